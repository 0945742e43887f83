"""The cookie on the wire, byte for byte: found, set as Starlette does, deleted, kept out of shared caches."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import itsdangerous
import pytest
import starlette
from hypothesis import given
from hypothesis import strategies as st
from starlette.middleware.sessions import SessionMiddleware as StarlettesMiddleware

from middleware import SessionMiddleware
from middleware.sessions import SessionTooLargeError
from middleware.sessions.cookies import Cookie, varying, with_cookie
from tests.asgi import BODY, START, call, http_scope

COOKIE = Cookie("session", "/", "lax", None)
KEY = "0123456789abcdef" * 4
STAMP = 1_800_000_000

Header = tuple[bytes, bytes]


def found(*lines: bytes, name: str = "session") -> list[bytes]:
    return COOKIE._replace(name=name).found([(b"cookie", line) for line in lines])


# The lines of a request, and what is found

FOUND: dict[str, tuple[tuple[bytes, ...], list[bytes]]] = {
    "no line": ((), []),
    "empty": ((b"",), []),
    "alone": ((b"session=a",), [b"a"]),
    "first": ((b"session=a; b=c",), [b"a"]),
    "last": ((b"b=c; session=a",), [b"a"]),
    "between": ((b"b=c; session=a; d=e",), [b"a"]),
    "no space": ((b"b=c;session=a;d=e",), [b"a"]),
    "spaces": ((b"b=c; session =  a\t ; d=e",), [b"a"]),
    "more space than clients send": ((b"b=c;  session=a",), []),
    "quoted": ((b'session="a"',), [b"a"]),
    "quoted and spaces": ((b'session= "a" ',), [b"a"]),
    "equals signs": ((b"session=a=b==",), [b"a=b=="]),
    "no value": ((b"session=",), [b""]),
    "no equals sign": ((b"session",), []),
    "two lines": ((b"b=c", b"session=a"), [b"a"]),
    "on both lines": ((b"session=a", b"session=b"), [b"a", b"b"]),
    "twice": ((b"session=a; session=b",), [b"a", b"b"]),
    "another that ends so": ((b"xsession=a; x-session=b; x session=c",), []),
    "another that begins so": ((b"session2=a; sessionid=b; session-=c",), []),
    "another that ends so, and it": ((b"xsession=a; session=b",), [b"b"]),
    "a value that has it": ((b"x=session=a; y=session",), []),
    "a quoted value that has it": ((b'x="; session=a"',), [b"a"]),  # browsers end a cookie at each semicolon
    "upper case": ((b"SESSION=a; Session=b",), []),
    "not text": ((b"session=\xff\x00",), [b"\xff\x00"]),
    "four": ((b"session=a; session=b", b"session=c; session=d"), [b"a", b"b", b"c", b"d"]),
    "five": ((b"session=a; session=b", b"session=c; session=d; session=e"), [b"a", b"b", b"c", b"d"]),
    "hundreds": ((b"session=a; " * 500,), [b"a"] * 4),
    "semicolons": ((b";;; ;session=a;;",), [b"a"]),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_cookie_is_found(name: str) -> None:
    lines, expected = FOUND[name]
    assert found(*lines) == expected


def test_only_cookie_lines_are_searched() -> None:
    headers = [(b"x-cookie", b"session=a"), (b"cookie2", b"session=b"), (b"set-cookie", b"session=c")]
    assert COOKIE.found(headers) == []
    assert COOKIE.found([*headers, (b"Cookie", b"session=d"), (b"COOKIE", b"session=e")]) == [b"d", b"e"]


@pytest.mark.parametrize("name", ["s", "__Host-session", "a.b", "*", "session+"])
def test_a_name_is_taken_literally(name: str) -> None:
    raw = name.encode()
    assert found(b"x%s=1; %sx=2; axb=3; %s=4; sessionn=5" % (raw, raw, raw), name=name) == [b"4"]


NAMES = st.sampled_from(["session", "xsession", "session2", "s", "ession"])


@given(st.lists(st.tuples(NAMES, st.text("abc019-_.", max_size=4)), max_size=6), st.integers(0, 6))
def test_the_first_four_of_the_name_are_found_in_order(pairs: list[tuple[str, str]], cut: int) -> None:
    lines = [
        b"; ".join(b"%s=%s" % (key.encode(), value.encode()) for key, value in part)
        for part in (pairs[:cut], pairs[cut:])
    ]
    assert found(*lines) == [value.encode() for key, value in pairs if key == "session"][:4]


@given(st.lists(st.binary(max_size=60) | st.from_regex(rb"( ?session ?=[^;]{0,8};?){0,7}", fullmatch=True), max_size=4))
def test_no_line_is_too_strange(lines: list[bytes]) -> None:
    values = found(*lines)
    assert len(values) <= 4
    assert all(value == value.strip(b' \t"') and b";" not in value for value in values)


# Set-Cookie, as Starlette's class spells it with the same arguments

PARTITIONED = tuple(map(int, starlette.__version__.split(".")[:2])) >= (1, 10)

SAME: dict[str, dict[str, Any]] = {
    "nothing": {},
    "name": {"session_cookie": "id"},
    "max_age": {"max_age": 60},
    "until the browser ends": {"max_age": None},
    "path": {"path": "/shop"},
    "strict": {"same_site": "strict"},
    "none": {"same_site": "none", "https_only": True},
    "secure": {"https_only": True},
    "not secure": {"https_only": False},
    "domain": {"domain": "example.com"},
    "domain with a dot": {"domain": ".example.com"},
    "prefix": {"session_cookie": "__Secure-session", "https_only": True},
    "host": {"session_cookie": "__Host-session", "https_only": True},
    "most": {"path": "/a", "max_age": 5, "same_site": "strict", "https_only": True, "domain": "a.example"},
    **({"partitioned": {"https_only": True, "partitioned": True}} if PARTITIONED else {}),
    **({"all": {"domain": "a.example", "https_only": True, "partitioned": True}} if PARTITIONED else {}),
}


class Doing:
    """An application that does something to the session."""

    def __init__(self, what: Any) -> None:
        self.what = what

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.what(scope["session"])
        await send({**START, "headers": []})
        await send(BODY)


async def cookies_of(app: Any, **changes: Any) -> list[tuple[str, str]]:
    """The values of the cookies that are set, apart from their attributes."""
    start, *_ = await call(app, http_scope(**changes))
    lines = [value.decode() for name, value in start["headers"] if name == b"set-cookie"]
    return [
        (line.partition(";")[0].partition("=")[2], line.partition("=")[0] + line[line.index(";") :]) for line in lines
    ]


@pytest.mark.parametrize("name", SAME)
async def test_a_cookie_is_set_as_starlette_sets_it(name: str) -> None:
    app = Doing(lambda session: session.update(user=5))
    ((_, expected),) = await cookies_of(StarlettesMiddleware(app, KEY, **SAME[name]))
    ((value, attributes),) = await cookies_of(SessionMiddleware(app, KEY, **SAME[name]))
    assert attributes == expected
    assert value not in ("", "null")


@pytest.mark.parametrize("name", SAME)
async def test_a_cookie_is_deleted_as_starlette_deletes_it(name: str) -> None:
    app = Doing(lambda session: session.clear())
    signed = itsdangerous.TimestampSigner(KEY).sign(b64encode(json.dumps({"user": 5}).encode()))
    sent = [(b"cookie", SAME[name].get("session_cookie", "session").encode() + b"=" + signed)]
    expected = await cookies_of(StarlettesMiddleware(app, KEY, **SAME[name]), headers=sent)
    ours = SessionMiddleware(app, KEY, **SAME[name], accept_starlette_cookies=True)
    assert await cookies_of(ours, headers=sent) == expected
    assert expected[0][0] == "null"


def test_a_cookie_is_deleted_with_the_attributes_with_which_it_was_set() -> None:
    cookie = Cookie("id", "/a", "none", True, "; domain=example.com; partitioned")
    rest = b"httponly; samesite=none; secure; domain=example.com; partitioned"
    assert cookie.set(b"x", 60, "http") == b"id=x; path=/a; Max-Age=60; " + rest
    assert cookie.set(b"x", None, "http") == b"id=x; path=/a; " + rest
    assert cookie.set(b"x", 0, "http") == b"id=x; path=/a; Max-Age=0; " + rest
    assert cookie.deleted("http") == b"id=null; path=/a; expires=Thu, 01 Jan 1970 00:00:00 GMT; " + rest


@pytest.mark.parametrize("secure", [None, True, False])
@pytest.mark.parametrize(
    ("scheme", "safe"),
    [("https", True), ("wss", True), ("http", False), ("ws", False), (None, False), ("HTTPS", False), ("", False)],
)
def test_secure_is_set_by_the_scheme_unless_it_is_said(secure: bool | None, scheme: str | None, safe: bool) -> None:
    cookie = COOKIE._replace(secure=secure)
    expected = safe if secure is None else secure
    for line in (cookie.set(b"x", 60, scheme), cookie.deleted(scheme)):
        assert line.endswith(b"httponly; samesite=lax; secure" if expected else b"httponly; samesite=lax")


@pytest.mark.parametrize("cookie", [COOKIE, Cookie("a" * 50, "/b", "strict", True, "; domain=example.com")])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_line_has_4096_bytes_and_no_more(cookie: Cookie, scheme: str) -> None:
    empty = len(cookie.set(b"", 60, scheme))
    assert len(cookie.set(b"x" * (4096 - empty), 60, scheme)) == 4096
    with pytest.raises(SessionTooLargeError) as caught:
        cookie.set(b"x" * (4097 - empty), 60, scheme)
    assert str(caught.value) == (
        "the cookie of the session would have 4097 bytes, and browsers drop those of more than 4096; "
        "keep less in it, or write SessionMiddleware(..., store=...)"
    )
    assert isinstance(caught.value, ValueError)


# Kept out of shared caches

LINE = b"session=x; path=/"

CACHED: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "nothing": ((), b"private"),
    "empty": ((b"",), b"private"),
    "commas": ((b" , ,",), b"private"),
    "public": ((b"public",), b"private"),
    "public for a time": ((b"public, max-age=60",), b"max-age=60, private"),
    "public in upper case": ((b"Public, S-MaxAge=5",), b"private"),
    "s-maxage": ((b"s-maxage=60, max-age=5",), b"max-age=5, private"),
    "max-age": ((b"max-age=60",), b"max-age=60, private"),
    "no space": ((b"public,max-age=60,immutable",), b"max-age=60, immutable, private"),
    "no-cache": ((b"no-cache",), b"no-cache, private"),
    "no-store": ((b"no-store",), b"no-store"),
    "no-store in upper case": ((b"No-Store, max-age=0",), b"No-Store, max-age=0"),
    "no-store on another line": ((b"max-age=0", b"no-store"), b"max-age=0, no-store"),
    "private": ((b"private",), b"private"),
    "private for a time": ((b"Private, max-age=60",), b"Private, max-age=60"),
    "several lines": (
        (b"public", b"max-age=60", b"s-maxage=5, must-revalidate"),
        b"max-age=60, must-revalidate, private",
    ),
    "quoted": ((b'no-cache="set-cookie, x", max-age=1',), b'no-cache="set-cookie, x", max-age=1, private'),
    "a value that has it": ((b"community=public, x=private",), b"community=public, x=private, private"),
    "not a directive": ((b"privately, no-stored",), b"privately, no-stored, private"),
}


def values_of(headers: list[Header], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


@pytest.mark.parametrize("name", CACHED)
def test_a_response_with_a_cookie_is_private(name: str) -> None:
    lines, expected = CACHED[name]
    given_ = [(b"x-a", b"1"), *[(b"Cache-Control", line) for line in lines], (b"x-b", b"2")]
    headers = with_cookie(given_, LINE)
    assert values_of(headers, b"cache-control") == [expected]
    assert [header for header in headers if header[0] in (b"x-a", b"x-b")] == [(b"x-a", b"1"), (b"x-b", b"2")]
    assert headers[-1] == (b"set-cookie", LINE)


@pytest.mark.parametrize(
    "line", [b'private="x-name"', b'private="set-cookie", max-age=60', b'max-age=5, private="a, b"']
)
def test_private_for_some_fields_is_not_private(line: bytes) -> None:
    """RFC 9111 §5.2.2.7: a shared cache may store the rest of such a response."""
    (value,) = values_of(with_cookie([(b"cache-control", line)], LINE), b"cache-control")
    assert value.split(b", ")[-1] == b"private"


@pytest.mark.parametrize(
    "line", [b"public, private", b"private, s-maxage=60", b"public, no-store", b"no-store, s-maxage=9"]
)
def test_contradictions_stay_uncached(line: bytes) -> None:
    (value,) = values_of(with_cookie([(b"cache-control", line)], LINE), b"cache-control")
    assert {b"private", b"no-store"} & {directive.strip() for directive in value.split(b",")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"cdn-cache-control", b"private"),
        (b"CDN-Cache-Control", b"private"),
        (b"surrogate-control", b"no-store"),
        (b"Surrogate-Control", b"no-store"),
        (b"x-accel-expires", b"0"),
        (b"X-Accel-Expires", b"0"),
    ],
)
def test_what_comes_before_cache_control_keeps_it_out_too(name: bytes, value: bytes) -> None:
    for given_ in (b"public, max-age=600", b"60", b"@1900000000", b""):
        headers = with_cookie([(name, given_), (b"cache-control", b"no-store")], LINE)
        assert headers == [(name, value), (b"cache-control", b"no-store"), (b"set-cookie", LINE)]
    assert values_of(with_cookie([], LINE), name.lower()) == []


def test_the_cookies_of_others_stay() -> None:
    headers = with_cookie([(b"set-cookie", b"a=1"), (b"Set-Cookie", b"session=old")], LINE)
    assert values_of(headers, b"set-cookie") == [b"a=1", b"session=old", LINE]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"cache-control", b"Cache-Control", b"vary", b"x-a", b"x-accel-expires"]),
            st.binary(max_size=20)
            | st.from_regex(rb'((public|private|no-store|s-maxage=1|max-age="2"), ?){0,4}', fullmatch=True),
        ),
        max_size=4,
    )
)
def test_headers_are_copied_and_whatever_is_in_them_the_response_is_not_shared(headers: list[Header]) -> None:
    before = [*headers]
    after = with_cookie(varying(headers), LINE)
    assert headers == before
    (value,) = values_of(after, b"cache-control")
    names = {directive.strip(b" \t").lower().partition(b"=")[0] for directive in value.split(b",")}
    assert names & {b"private", b"no-store"}
    assert set(values_of(after, b"x-accel-expires")) <= {b"0"}
    assert b"cookie" in b",".join(values_of(after, b"vary")).lower() or b"*" in b",".join(values_of(after, b"vary"))
    assert [header for header in after if header[0] == b"x-a"] == [header for header in before if header[0] == b"x-a"]


# Vary


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], [b"Cookie"]),
        ([b"Accept-Encoding"], [b"Accept-Encoding, Cookie"]),
        ([b"Accept", b"Origin"], [b"Accept", b"Origin, Cookie"]),
        ([b"Cookie"], [b"Cookie"]),
        ([b"accept, cookie"], [b"accept, cookie"]),
        ([b"COOKIE", b"Origin"], [b"COOKIE", b"Origin"]),
        ([b"*"], [b"*"]),
        ([b"Cookie2"], [b"Cookie2, Cookie"]),
        ([b""], [b"Cookie"]),
    ],
)
def test_vary_has_cookie_once(lines: list[bytes], expected: list[bytes]) -> None:
    given_ = [(b"Vary", line) for line in lines]
    once = varying([*given_, (b"x-a", b"1")])
    assert values_of(once, b"vary") == expected
    assert values_of(varying(once), b"vary") == expected
