"""What a policy says, byte for byte."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware.cors.origins import Origins
from middleware.cors.policy import Answer, Asked, Policy

APP = b"https://app.example.com"
HERS = Origins(("https://app.example.com",))
ALL = Origins(("*",))

VARY = (
    b"vary",
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network",
)
ORIGIN = (b"access-control-allow-origin", APP)
STAR = (b"access-control-allow-origin", b"*")
CREDENTIALS = (b"access-control-allow-credentials", b"true")
PRIVATE = (b"access-control-allow-private-network", b"true")
AGE = (b"access-control-max-age", b"600")
SAFE = b"Accept, Accept-Language, Content-Language, Content-Type"


def methods(value: bytes) -> tuple[bytes, bytes]:
    return b"access-control-allow-methods", value


def headers(value: bytes) -> tuple[bytes, bytes]:
    return b"access-control-allow-headers", value


def answer(status: int, body: bytes, *granted: tuple[bytes, bytes]) -> Answer:
    length = (b"content-length", b"%d" % len(body))
    return Answer(status, sorted([VARY, *granted, length, (b"content-type", b"text/plain; charset=utf-8")]), body)


def preflight(policy: Policy, *asked: Any, origin: bytes = APP) -> Answer:
    """The answer with its headers sorted, each of which it has once, and without what the log is told."""
    given = policy.preflight(origin, policy.allows(origin), Asked(*asked))
    assert len({name for name, _ in given.headers}) == len(given.headers)
    return Answer(given.status, sorted(given.headers), given.body)


PLAIN = Policy(HERS)
RICH = Policy(
    HERS,
    methods=("PUT", "PATCH"),
    headers=("X-B", "x-a"),
    credentials=True,
    private_network=True,
    expose_headers=("X-Count", "ETag"),
    max_age=7200,
)
PUBLIC = Policy(ALL, methods=("*",), headers=("*",))
ECHOING = Policy(HERS, methods=("*",), headers=("*",), credentials=True)

PLAINLY = (methods(b"GET"), AGE, headers(SAFE), ORIGIN)
RICHLY = (
    methods(b"PUT, PATCH"),
    (b"access-control-max-age", b"7200"),
    headers(SAFE + b", X-B, x-a"),
    CREDENTIALS,
    ORIGIN,
)
EVERY = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"
PUBLICLY = (AGE, headers(b"*, Authorization"), STAR)
ECHOED = (methods(EVERY), AGE, CREDENTIALS, ORIGIN)

PREFLIGHTS: dict[str, tuple[Policy, Asked, Answer]] = {
    "plain": (PLAIN, Asked(b"GET"), answer(200, b"OK", *PLAINLY)),
    "head": (PLAIN, Asked(b"HEAD"), answer(200, b"OK", *PLAINLY)),
    "post": (PLAIN, Asked(b"POST", (b"content-type",)), answer(200, b"OK", *PLAINLY)),
    "post, nothing listed": (
        Policy(HERS, methods=()),
        Asked(b"POST"),
        answer(200, b"OK", AGE, headers(SAFE), ORIGIN),
    ),
    "method": (PLAIN, Asked(b"PUT"), answer(200, b"Disallowed CORS method", *PLAINLY)),
    "method in lower case": (RICH, Asked(b"put"), answer(200, b"Disallowed CORS method", *RICHLY)),
    "no method": (PLAIN, Asked(b""), answer(200, b"Disallowed CORS method", *PLAINLY)),
    "headers": (PLAIN, Asked(b"GET", (b"x-a",)), answer(200, b"Disallowed CORS headers", *PLAINLY)),
    "both": (PLAIN, Asked(b"PUT", (b"x-a",)), answer(200, b"Disallowed CORS method, headers", *PLAINLY)),
    "private network, off": (PLAIN, Asked(b"GET", (), True), answer(200, b"OK", *PLAINLY)),
    "rich": (RICH, Asked(b"PATCH", (b"x-a,x-b",)), answer(200, b"OK", *RICHLY)),
    "rich, safe headers": (RICH, Asked(b"PUT", (b"accept,content-type",)), answer(200, b"OK", *RICHLY)),
    "rich, headers": (RICH, Asked(b"PUT", (b"x-a,x-c",)), answer(200, b"Disallowed CORS headers", *RICHLY)),
    "private network": (RICH, Asked(b"PUT", (), True), answer(200, b"OK", *RICHLY, PRIVATE)),
    "private network, refused": (
        RICH,
        Asked(b"DELETE", (), True),
        answer(200, b"Disallowed CORS method", *RICHLY),
    ),
    "public": (PUBLIC, Asked(b"PUT", (b"x-whatever",)), answer(200, b"OK", methods(EVERY), *PUBLICLY)),
    "public, other method": (
        PUBLIC,
        Asked(b"PROPFIND", (b"authorization",)),
        answer(200, b"OK", methods(EVERY + b", PROPFIND"), *PUBLICLY),
    ),
    "public, no method": (
        PUBLIC,
        Asked(b"A B\r\n"),
        answer(200, b"Disallowed CORS method", methods(EVERY), *PUBLICLY),
    ),
    "public, method of 64 bytes": (
        PUBLIC,
        Asked(b"A" * 64),
        answer(200, b"OK", methods(EVERY + b", " + b"A" * 64), *PUBLICLY),
    ),
    "public, longer method": (
        PUBLIC,
        Asked(b"A" * 65),
        answer(200, b"Disallowed CORS method", methods(EVERY), *PUBLICLY),
    ),
    "public, method of 60,000 bytes": (
        PUBLIC,
        Asked(b"A" * 60_000),
        answer(200, b"Disallowed CORS method", methods(EVERY), *PUBLICLY),
    ),
    "echo": (ECHOING, Asked(b"PUT", (b"x-a,x-b",)), answer(200, b"OK", *ECHOED, headers(b"x-a, x-b"))),
    "echo, lines": (
        ECHOING,
        Asked(b"PUT", (b"x-a", b"", b" x-b ,,x-c")),
        answer(200, b"OK", *ECHOED, headers(b"x-a, x-b, x-c")),
    ),
    "echo of nothing": (ECHOING, Asked(b"PUT", (b"",)), answer(200, b"OK", *ECHOED)),
    "echo, not asked": (ECHOING, Asked(b"PUT"), answer(200, b"OK", *ECHOED)),
    "echo of garbage": (ECHOING, Asked(b"PUT", (b'x"<>(){}',)), answer(200, b"Disallowed CORS headers", *ECHOED)),
    "echo of a line break": (ECHOING, Asked(b"PUT", (b"a\r\nb: c",)), answer(200, b"Disallowed CORS headers", *ECHOED)),
    "echo of 4 KiB": (ECHOING, Asked(b"PUT", (b"a" * 4096,)), answer(200, b"OK", *ECHOED, headers(b"a" * 4096))),
    "echo of more": (ECHOING, Asked(b"PUT", (b"a" * 4097,)), answer(200, b"Disallowed CORS headers", *ECHOED)),
    "echo of more lines": (
        ECHOING,
        Asked(b"PUT", (b"a" * 2048, b"b" * 2048)),
        answer(200, b"Disallowed CORS headers", *ECHOED),
    ),
    "star and a name": (
        Policy(ALL, headers=("*", "X-A")),
        Asked(b"GET", (b"",)),
        answer(200, b"OK", methods(b"GET"), *PUBLICLY),
    ),
    "no max_age": (
        Policy(HERS, max_age=None),
        Asked(b"GET"),
        answer(200, b"OK", methods(b"GET"), headers(SAFE), ORIGIN),
    ),
    "max_age 0": (
        Policy(HERS, max_age=0),
        Asked(b"GET"),
        answer(200, b"OK", methods(b"GET"), (b"access-control-max-age", b"0"), headers(SAFE), ORIGIN),
    ),
}


@pytest.mark.parametrize("name", PREFLIGHTS)
def test_a_preflight_is_told_the_true_policy(name: str) -> None:
    policy, asked, expected = PREFLIGHTS[name]
    assert preflight(policy, *asked) == expected


@pytest.mark.parametrize("name", PREFLIGHTS)
@pytest.mark.parametrize(
    "origin", [b"https://evil.example", b"null", b"", b"https://app.example.com/", APP + b"\r\nx: y"]
)
def test_a_stranger_learns_nothing_about_the_policy(name: str, origin: bytes) -> None:
    policy, asked, _ = PREFLIGHTS[name]
    if policy.is_public:
        policy = Policy(HERS, methods=policy.methods, headers=policy.headers)
    assert preflight(policy, *asked, origin=origin) == answer(400, b"Disallowed CORS origin")


@pytest.mark.parametrize(
    ("policy", "asked", "lacking"),
    [
        (PLAIN, Asked(b"GET"), ()),
        (PLAIN, Asked(b"PUT"), ("allow_methods",)),
        (PLAIN, Asked(b"GET", (b"x-a",)), ("allow_headers",)),
        (PLAIN, Asked(b"PUT", (b"x-a",)), ("allow_methods", "allow_headers")),
    ],
)
def test_the_log_is_told_what_is_lacking(policy: Policy, asked: Asked, lacking: tuple[str, ...]) -> None:
    assert policy.preflight(APP, True, asked).lacking == lacking
    assert policy.preflight(APP, False, asked).lacking == ("allow_origins",)


@pytest.mark.parametrize(
    ("policy", "granted"),
    [
        (PLAIN, [ORIGIN]),
        (RICH, [ORIGIN, CREDENTIALS, (b"access-control-expose-headers", b"X-Count, ETag")]),
        (PUBLIC, [STAR]),
        (Policy(ALL, expose_headers=("*",)), [STAR, (b"access-control-expose-headers", b"*")]),
        (Policy(ALL, credentials=True), [ORIGIN, CREDENTIALS]),
    ],
    ids=["plain", "rich", "public", "exposing", "never a star beside credentials"],
)
def test_an_actual_response_is_granted_what_the_browser_looks_at(policy: Policy, granted: list[Any]) -> None:
    assert [*policy.granted(APP)] == granted


# Access-Control-Request-Headers

NAMES = tuple(f"X-{letter}" for letter in "ABC")
LISTING = Policy(HERS, headers=NAMES)
FULL = b",".join(b"  " + name + b"  " for name in (*SAFE.split(b", "), b"x-a", b"x-b", b"x-c"))
ASKED: dict[str, tuple[tuple[bytes, ...], bool]] = {
    "none": ((), True),
    "empty": ((b"",), True),
    "as browsers write it": ((b"x-a,x-b,x-c",), True),
    "upper case": ((b"X-A,X-B,CONTENT-TYPE",), True),
    "out of order": ((b"x-c,accept,x-a",), True),
    "spaces": ((b" x-a , x-b\t,  x-c ",), True),
    "empty elements": ((b",x-a,,x-b,",), True),
    "two lines": ((b"x-a", b"x-b"), True),
    "two lines, an empty one": ((b"", b"x-b"), True),
    "all of them": ((b"accept,accept-language,content-language,content-type,x-a,x-b,x-c",), True),
    "all, spaced": ((b" , ".join((*SAFE.split(b", "), b"x-a", b"x-b", b"x-c")),), True),
    "sixteen empty elements": ((b"x-a" + b"," * 16,), True),
    "as long as it can be": ((FULL + b"," * 16,), True),
    "longer than it can be": ((FULL + b"," * 17,), False),
    "another": ((b"x-d",), False),
    "another among them": ((b"x-a,x-d,x-b",), False),
    "another on the second line": ((b"x-a", b"x-d"), False),
    "prefix": ((b"x-",), False),
    "longer": ((b"x-aa",), False),
    "semicolons": ((b"x-a;x-b",), False),
    "star": ((b"*",), False),
    "line break": ((b"x-a\r\nx-b",), False),
    "not ASCII": ((b"x-a\xff",), False),
    "64 KiB of commas": ((b"," * 65_536,), False),
    "64 KiB of spaces": ((b" " * 65_536,), False),
    "64 KiB of a name": ((b"x-a," * 16_384,), False),
    "as much in many lines": ((b"x-a",) * 16_384, False),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_headers_that_are_asked_for_are_compared_as_names(name: str) -> None:
    lines, allowed = ASKED[name]
    assert preflight(LISTING, b"GET", lines).body == (b"OK" if allowed else b"Disallowed CORS headers")


@given(
    st.lists(st.sampled_from([*NAMES, "x-d", "Accept", "x-a"]), unique_by=str.lower),
    st.sampled_from([",", ", ", " ,", "\t,\t"]),
    st.integers(0, 3),
)
def test_any_list_of_allowed_names_is_allowed_and_any_other_is_not(names: list[str], comma: str, lines: int) -> None:
    asked = (*[name.encode() for name in names[:lines]], comma.join(names[lines:]).encode())
    allowed = "x-d" not in names
    assert preflight(LISTING, b"GET", asked).body == (b"OK" if allowed else b"Disallowed CORS headers")


@pytest.mark.parametrize("policy", [LISTING, ECHOING, PUBLIC], ids=["listing", "echoing", "public"])
@pytest.mark.parametrize("value", [b"," * 65_536, b"x-a," * 16_384, b"a" * 65_536, b"X " * 32_768])
def test_a_list_that_is_too_long_is_not_even_copied(policy: Policy, value: bytes) -> None:
    asked = Asked(b"GET", (value,))
    policy.preflight(APP, True, asked)
    tracemalloc.start()
    try:
        policy.preflight(APP, True, asked)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(value) / 4


# Which origins a policy allows


def test_an_expression_is_to_match_a_whole_origin_and_nothing_but_an_origin() -> None:
    policy = Policy(HERS, re.compile(r"https://.*\.b\.example|null|.*evil.*/.*"))
    allowed = [APP, b"https://a.b.example", b"https://a.a.b.example"]
    denied = [b"https://a.b.example:81", b"https://a.b.example.evil.example", b"null", b"https://evil.com/.b.example"]
    denied += [
        b"https://evil.com#.b.example",
        b"https://a.b.example\n",
        b"https://\xff.b.example",
        b"https://.b.example",
    ]
    assert [origin for origin in (*allowed, *denied) if policy.allows(origin)] == allowed


def test_what_is_remembered_is_true_and_bounded() -> None:
    policy = Policy(Origins(("https://*.example.com",)))
    for number in range(3_000):
        assert policy.allows(b"https://a%d.example.com" % number)
        assert not policy.allows(b"https://a%d.example.org" % number)
    assert not policy.allows(b"https://" + b"a" * 1_000_000)
    assert policy.allows(b"https://a0.example.com")
    assert policy._remembered.cache_info().currsize <= 1024  # type: ignore[attr-defined]


def test_an_origin_that_is_too_long_is_not_remembered() -> None:
    policy = Policy(ALL)
    longest = b"s" * 64 + b"://" + b".".join([b"a" * 63] * 3 + [b"a" * 61]) + b".:65535"
    assert policy.allows(longest)
    assert not policy.allows(longest + b"0")
    assert policy._remembered.cache_info().currsize == 1  # type: ignore[attr-defined]


# A policy is a value


def rich(**changes: Any) -> Policy:
    return Policy(
        **{
            "origins": Origins(("https://a.example",)),
            "origin_regex": re.compile("a"),
            "origin_func": print,
            "methods": ("PUT",),
            "headers": ("X-A",),
            "credentials": True,
            "private_network": True,
            "expose_headers": ("X-B",),
            "max_age": 5,
            **changes,
        }
    )


def test_policies_that_say_the_same_are_equal() -> None:
    rich().allows(APP)
    assert rich() == rich()
    assert hash(rich()) == hash(rich())
    assert Policy() == Policy()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origins", HERS),
        ("origin_regex", None),
        ("origin_func", None),
        ("methods", ("GET",)),
        ("headers", ()),
        ("credentials", False),
        ("private_network", False),
        ("expose_headers", ()),
        ("max_age", None),
    ],
)
def test_policies_that_differ_are_not_equal(name: str, value: Any) -> None:
    assert rich(**{name: value}) != rich()


def test_a_policy_shows_what_it_says_and_nothing_that_it_made_of_it() -> None:
    assert repr(Policy(HERS, methods=("PUT",), max_age=None)) == (
        "Policy(origins=Origins(entries=('https://app.example.com',)), origin_regex=None, origin_func=None, "
        "methods=('PUT',), headers=(), credentials=False, private_network=False, expose_headers=(), max_age=None)"
    )


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        PLAIN.credentials = True  # type: ignore[misc]
    with pytest.raises(AttributeError):
        HERS.entries = ()  # type: ignore[misc]


def test_answers_share_nothing_that_can_be_changed() -> None:
    first = PLAIN.preflight(APP, True, Asked(b"GET"))
    first.headers.clear()
    assert preflight(PLAIN, b"GET") == answer(200, b"OK", *PLAINLY)
