"""The grammar of headers, against the ABNF of RFC 9110 read character by character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware._headers import is_field_value, is_token, values

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
