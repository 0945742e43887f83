"""The grammar of host names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware._hosts import canonical_host, host_of

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
    assert _hosts._host_of.cache_info().currsize <= 1024
