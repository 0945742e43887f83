"""The grammar of host names and origins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware._hosts import MAX_ORIGIN, Origin, canonical_host, host_of, parse_origin

HOSTS: dict[bytes, str | None] = {
    b"example.com": "example.com",
    b"EXAMPLE.com.": "example.com",
    b"example.com:8000": "example.com",
    b"example.com.:8000": "example.com",
    b"example.com:": "example.com",
    b"localhost": "localhost",
    b"a_b.example-1.com": "a_b.example-1.com",
    b"_dmarc": "_dmarc",
    b"127.0.0.1:80": "127.0.0.1",
    b"[::1]": "[::1]",
    b"[::1]:80": "[::1]",
    b"[::1]:": "[::1]",
    b"[0:0:0:0:0:0:0:1]:80": "[::1]",
    b"[2001:DB8::A]": "[2001:db8::a]",
    b"xn--bcher-kva.example": "xn--bcher-kva.example",
    b"a" * 253: "a" * 253,
    b"a" * 253 + b".:65535": "a" * 253,
    **dict.fromkeys(
        (
            *(b"", b".", b"..", b"a..b", b".a", b"a..", b"-a", b"a-", b"a.-b", b" a", b"a ", b"a b", b"a\x00", b"a\n"),
            *(
                b":80",
                b"a:b",
                b"a:-1",
                b"a:123456",
                b"a:80:80",
                b"a:8\xb2",
                b"a,b",
                b"a/b",
                b"a@b",
                b"a?b",
                b"a#b",
                b"*",
            ),
            *(
                b"::1",
                b"[::1",
                b"::1]",
                b"[]",
                b"[a]",
                b"[::1]x",
                b"[::1%25eth0]",
                b"[::1%eth0]",
                b"[1.2.3.4]",
                b"[::ffff:1.2.3.4]",
                b"[::ffff:102:304]",
                b"[::g]",
            ),
            *(b"b\xfccher.example", "bücher.example".encode(), "\u212a.example".encode(), b"\xff", b"a" * 254),
            *(b"*.example.com", b"http://a", b"a" * 65_536, b"[" + b":" * 65_536),
        )
    ),
}


@pytest.mark.parametrize(("value", "host"), HOSTS.items(), ids=lambda one: repr(one)[:40])
def test_a_host_has_one_spelling_and_a_malformed_one_has_none(value: bytes, host: str | None) -> None:
    assert host_of(value) == host


@given(st.binary(max_size=300) | st.text(alphabet="aA1.-_:[]%", max_size=40).map(str.encode))
def test_whatever_comes_is_one_spelling_or_nothing(value: bytes) -> None:
    host = host_of(value)
    if host is not None:
        assert host == host.lower()
        assert canonical_host(host) == host
        assert host_of(host.encode()) == host
        assert host_of(host.encode() + b":8000") == host


def test_a_letter_that_only_becomes_one_of_a_host_in_lower_case_is_none_of_it() -> None:
    assert canonical_host("\u212aelvin.example") is None
    assert canonical_host("KELVIN.example") == "kelvin.example"


def test_what_is_remembered_of_hosts_is_bounded() -> None:
    from middleware import _hosts

    for number in range(5_000):
        host_of(b"h%d.example" % number)
    assert _hosts._host_and_port.cache_info().currsize <= 1024


LONG = b".".join([b"a" * 63] * 3 + [b"a" * 61])  # 253 bytes

ORIGINS: dict[bytes, tuple[str, str, int | None] | None] = {
    b"https://example.com": ("https", "example.com", None),
    b"http://a.b.example.com:8080": ("http", "a.b.example.com", 8080),
    b"https://example.com.": ("https", "example.com.", None),
    b"https://example.com:80": ("https", "example.com", 80),
    b"http://example.com:443": ("http", "example.com", 443),
    b"http://localhost:1": ("http", "localhost", 1),
    b"http://localhost:65535": ("http", "localhost", 65535),
    b"http://127.0.0.1:3000": ("http", "127.0.0.1", 3000),
    b"http://[::1]": ("http", "[::1]", None),
    b"http://[2001:db8::a]:8000": ("http", "[2001:db8::a]", 8000),
    b"https://a_b.xn--bcher-kva.example": ("https", "a_b.xn--bcher-kva.example", None),
    b"chrome-extension://abcdef": ("chrome-extension", "abcdef", None),
    b"a+b.c-1://d": ("a+b.c-1", "d", None),
    b"ws://example.com:80": ("ws", "example.com", 80),
    b"s" * 64 + b"://" + LONG + b".:65535": ("s" * 64, LONG.decode() + ".", 65535),
    **dict.fromkeys(
        (
            *(b"", b"null", b"*", b"example.com", b"//example.com", b"https:", b"https://", b"https:example.com"),
            *(b"HTTPS://example.com", b"https://Example.com", b"https://example.com/", b"https://example.com?a"),
            *(b"https://example.com#a", b"https://u@example.com", b"https://*.example.com", b"https://a b"),
            *(b" https://a", b"https://a ", b"https://a\n", b"https://a\x00", b"https://a,https://b", b"file:///a"),
            *(b"https://a..b", b"https://.a", b"https://-a", b"https://a-", b"https://a..", b"https://.", b"1a://b"),
            *(b"https://a:443", b"http://a:80", b"http://a:", b"http://a:0", b"http://a:080", b"http://a:65536"),
            *(b"http://a:123456", b"http://a:-1", b"http://a:8\xb2", b"http://a:1:1", b"http://a:*", b"http://a: 1"),
            *(b"http://::1", b"http://[::1", b"http://::1]", b"http://[]", b"http://[0::1]", b"http://[::A]"),
            *(b"http://[::ffff:102:304]", b"http://[::ffff:1.2.3.4]", b"http://[::1%25a]", b"http://[::1]a"),
            *(b"https://b\xfccher.example", "https://bücher.example".encode(), b"https://\xff"),
            *(
                b"s" * 65 + b"://a",
                b"https://" + LONG + b"a",
                b"https://" + b"a" * 100_000,
                b"a" * MAX_ORIGIN + b"://b",
            ),
        )
    ),
}


@pytest.mark.parametrize(("value", "parts"), ORIGINS.items(), ids=lambda one: repr(one)[:40])
def test_an_origin_is_what_a_browser_writes_and_nothing_else_is(
    value: bytes, parts: tuple[str, str, int | None] | None
) -> None:
    assert parse_origin(value) == parts


def test_no_origin_is_longer_than_the_longest() -> None:
    assert max(len(value) for value, parts in ORIGINS.items() if parts) == MAX_ORIGIN


@given(
    st.binary(max_size=40)
    | st.builds(
        b"%s://%s%s".__mod__,
        st.tuples(
            st.sampled_from([b"https", b"http", b"a-b", b"A"]),
            st.text("aA1.-_[]:", max_size=12).map(str.encode) | st.sampled_from([b"[::1]", b"a.example"]),
            st.sampled_from([b"", b":", b":80", b":443", b":8000", b":65536", b":08"]),
        ),
    )
)
def test_an_origin_is_spelt_in_one_way(value: bytes) -> None:
    origin = parse_origin(value)
    if origin is not None:
        port = f":{origin.port}" if origin.port else ""
        assert f"{origin.scheme}://{origin.host}{port}".encode() == value


SAME: dict[tuple[bytes, bytes], bool] = {
    # an origin and a Host
    (b"https://example.com", b"example.com"): True,
    (b"http://example.com", b"example.com"): True,
    (b"https://example.com", b"EXAMPLE.com."): True,
    (b"https://example.com.", b"example.com"): True,
    (b"https://example.com", b"example.com:443"): True,
    (b"http://example.com", b"example.com:80"): True,
    (b"https://example.com", b"example.com:"): True,
    (b"https://example.com:8443", b"example.com:8443"): True,
    (b"https://example.com:80", b"example.com:80"): True,
    (b"http://[::1]:8000", b"[0::1]:8000"): True,
    (b"https://example.com:8443", b"example.com"): False,
    (b"https://example.com", b"example.com:8443"): False,
    (b"https://example.com", b"example.com:80"): False,
    (b"http://example.com", b"example.com:443"): False,
    (b"https://example.com", b"a.example.com"): False,
    (b"https://a.example.com", b"example.com"): False,
    (b"https://example.com", b"example.org"): False,
    (b"http://[::1]", b"[::2]"): False,
    (b"http://[::1]", b"::1"): False,
    (b"https://example.com", b""): False,
    (b"https://example.com", b"example.com/"): False,
    (b"https://example.com", b"example.com, example.com"): False,
    (b"https://example.com", b"example.com:443:443"): False,
    (b"https://example.com", b"u@example.com"): False,
    (b"https://example.com", b"\xff"): False,
    (b"https://example.com", b"example.com" + b"." * 65_536): False,
}


@pytest.mark.parametrize(("origin", "host"), SAME, ids=lambda one: repr(one)[:40])
def test_an_origin_is_of_the_host_with_its_name_and_port(origin: bytes, host: bytes) -> None:
    parsed = parse_origin(origin)
    assert parsed is not None
    assert parsed.is_of(host) is SAME[origin, host]


def test_the_parts_of_an_origin_have_names() -> None:
    assert parse_origin(b"http://a:1") == Origin(scheme="http", host="a", port=1)
