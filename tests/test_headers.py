"""The grammar of headers, against the ABNF of RFC 9110 read character by character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware._headers import is_field_value, is_token, long_headers, values, with_vary

TCHAR = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def is_vchar(byte: int) -> bool:
    return 0x21 <= byte <= 0x7E or byte >= 0x80


@given(st.binary(max_size=20) | st.text("abcXYZ-_!:, \t\r\n\x00\x7f", max_size=20).map(str.encode))
def test_a_name_is_a_token_and_nothing_else_is(name: bytes) -> None:
    assert is_token(name) == (name != b"" and all(byte in TCHAR for byte in name))


@given(
    st.binary(max_size=20) | st.text("ab \t\r\n\x00\x7f\x1b\xff", max_size=20).map(lambda text: text.encode("latin-1"))
)
def test_a_value_has_visible_characters_at_both_ends_and_no_control_between(value: bytes) -> None:
    expected = value == b"" or (
        is_vchar(value[0]) and is_vchar(value[-1]) and all(is_vchar(byte) or byte in b" \t" for byte in value)
    )
    assert is_field_value(value) == expected


@pytest.mark.parametrize("value", [b"a\n", b"a\r\nb: c", b"a\x00", b"\x1b[0m", b" a", b"a\t"])
def test_no_value_can_carry_another_header_or_a_control_character(value: bytes) -> None:
    assert not is_field_value(value)


def test_values_are_found_without_case_in_order_with_duplicates() -> None:
    headers = [(b"a", b"1"), (b"Vary", b"x"), (b"vary", b"y"), (b"varying", b"z")]
    assert values(headers, b"vary") == [b"x", b"y"]
    assert values(headers, b"etag") == []


def test_long_headers_are_found_by_lower_case_with_all_their_values() -> None:
    headers = [(b"Etag", b"1"), (b"X-Long", b"2"), (b"accept", b"3"), (b"x-LONG", b"4")]
    assert long_headers(iter(headers), 6) == {b"x-long": [b"2", b"4"], b"accept": [b"3"]}
    assert long_headers(headers, 7) == {}


VARIED: dict[str, tuple[list[bytes], list[bytes]]] = {
    # the lines of Vary that are there, and those with Origin
    "none": ([], [b"Origin"]),
    "another": ([b"Cookie"], [b"Cookie, Origin"]),
    "the same": ([b"Origin"], [b"Origin"]),
    "the same in another case": ([b"ORIGIN"], [b"ORIGIN"]),
    "the same among others": ([b"Cookie ,\torigin, Accept"], [b"Cookie ,\torigin, Accept"]),
    "everything": ([b"*"], [b"*"]),
    "everything among others": ([b"Cookie, *"], [b"Cookie, *"]),
    "two lines": ([b"Cookie", b"Accept"], [b"Cookie", b"Accept, Origin"]),
    "the same on the first line": ([b"Origin", b"Cookie"], [b"Origin", b"Cookie"]),
    "everything on the first line": ([b"*", b"Cookie"], [b"*", b"Cookie"]),
    "part of another": ([b"X-Origin, Original"], [b"X-Origin, Original, Origin"]),
    "empty": ([b""], [b"Origin"]),
    "commas": ([b" , "], [b"Origin"]),
    "comma at the end": ([b"Cookie, "], [b"Cookie, Origin"]),
}


@pytest.mark.parametrize("name", VARIED)
@pytest.mark.parametrize("spelling", [b"vary", b"Vary"])
def test_a_name_is_in_vary_once(name: str, spelling: bytes) -> None:
    given, expected = VARIED[name]
    headers = [(b"a", b"1"), *[(spelling, value) for value in given], (b"b", b"2")]
    before = [*headers]
    merged = with_vary(headers, b"Origin")
    assert values(merged, b"vary") == expected
    assert [header for header in merged if header[0].lower() != b"vary"] == [(b"a", b"1"), (b"b", b"2")]
    assert headers == before
    assert merged is not headers


@given(st.lists(st.sampled_from([b"Origin", b"origin ,a", b"a", b"*", b"", b",", b"b, *"]), max_size=4))
def test_adding_a_name_to_vary_again_changes_nothing(lines: list[bytes]) -> None:
    once = with_vary(iter([(b"vary", line) for line in lines]), b"Origin")
    assert with_vary(once, b"oRIGIN") == once
