"""What is refused when a middleware is made, and what to write instead."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from middleware import ConfigurationError, CORSMiddleware, WebSocketOriginMiddleware
from middleware._errors import Problem

SITE = ["https://app.example.com"]
SEVERAL = "write 'https://app.example.com', 'https://*.example.com' or 'http://localhost:*'"
DATABASE = "list the origins, or write allow_origin_func for those in a database"
NO_METHOD = ("is not a method", "write 'GET', 'PUT', … or '*'")
NO_NAME = ("is not the name of a header", "write 'X-Name' or '*'")
NO_PAGE = ("is a method that no page can use", "leave it out")
BROWSERS = ("is a header that the browser sets and no page can", "leave it out")
CORS_ITSELF = ("belongs to CORS itself", "leave it out")
NO_AGE = ("is not a whole number of seconds from 0 to 86400", "write one, or None for the browser's own default")
EVERYBODY = "with allow_credentials=True lets in everybody who has a name there"
ANYBODY = "with allow_credentials=True lets every site in"
HOST = r"name the host: r'https://.*\.example\.com'"
DOT = "with allow_credentials=True lets in whoever registers a name with another character for a dot"
EAVESDROPPER = "with allow_credentials=True lets in whoever stands between the browser and that site"


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def problems(cls: Any = CORSMiddleware, **keywords: Any) -> list[Problem]:
    try:
        cls(app, **keywords)
    except ConfigurationError as error:
        assert error.owner == cls.__name__
        return [*error.problems]
    return []


# The keywords, and the one parameter that is at fault: its value, the reason, what to write instead

REFUSED: dict[str, tuple[dict[str, Any], str, Any, str, str]] = {
    "nobody": (
        {},
        "allow_origins",
        None,
        "is not given, and neither are allow_origin_regex and allow_origin_func: nobody would be allowed",
        "write allow_origins=['https://app.example.com'], or [] if that is meant",
    ),
    "string": (
        {"allow_origins": "https://a.example"},
        *("allow_origins", "https://a.example", "is a string, not a list"),
        "write allow_origins=['https://a.example']",
    ),
    "string of several": (
        {"allow_origins": "https://a.example, https://b.example,"},
        *("allow_origins", "https://a.example, https://b.example,", "is a string, not a list"),
        "write allow_origins=['https://a.example', 'https://b.example']",
    ),
    "string of a star": (
        {"allow_origins": "*"},
        *("allow_origins", "*", "is a string, not a list", "write allow_origins=['*']"),
    ),
    "methods, string": (
        {"allow_methods": "GET"},
        *("allow_methods", "GET", "is a string, not a list", "write allow_methods=['GET']"),
    ),
    "headers, string": (
        {"allow_headers": "X-A"},
        *("allow_headers", "X-A", "is a string, not a list", "write allow_headers=['X-A']"),
    ),
    "exposed, string": (
        {"expose_headers": "X-A"},
        *("expose_headers", "X-A", "is a string, not a list", "write expose_headers=['X-A']"),
    ),
    "sockets, string": (
        {"websocket_origins": "*"},
        *("websocket_origins", "*", "is a string, not a list", "write websocket_origins=['*']"),
    ),
    "paths, string": ({"paths": "/api"}, "paths", "/api", "is a string, not a list", "write paths=['/api']"),
    "bytes": (
        {"allow_origins": b"*"},
        *("allow_origins", b"*", "is not a list", "write allow_origins=list(...)"),
    ),
    "mapping": ({"allow_origins": {}}, "allow_origins", {}, "is not a list", "write allow_origins=list(...)"),
    "number": ({"allow_headers": 5}, "allow_headers", 5, "is not a list", "write allow_headers=list(...)"),
    "origin": (
        {"allow_origins": ["https://a.example/"]},
        *("allow_origins", "https://a.example/", "has a slash at its end, and browsers never send that"),
        "write 'https://a.example'",
    ),
    "socket origin": (
        {"websocket_origins": ["a.example"]},
        *("websocket_origins", "a.example", "has no scheme, and browsers never send that", "write 'https://a.example'"),
    ),
    "star and another": (
        {"allow_origins": ["*", "https://a.example"]},
        *("allow_origins", "*", "allows every origin, and others are listed", "write one or the other"),
    ),
    "no function": (
        {"allow_origin_func": "is_allowed"},
        *("allow_origin_func", "is_allowed", "is not a function", "pass one: async def allow(origin, scope)"),
    ),
    "method": ({"allow_methods": ["GET, PUT"]}, "allow_methods", "GET, PUT", *NO_METHOD),
    "method of bytes": ({"allow_methods": [b"GET"]}, "allow_methods", b"GET", *NO_METHOD),
    "method, not ASCII": ({"allow_methods": ["GÉT"]}, "allow_methods", "GÉT", *NO_METHOD),
    "method, empty": ({"allow_methods": [""]}, "allow_methods", "", *NO_METHOD),
    "connect": ({"allow_methods": ["CONNECT"]}, "allow_methods", "CONNECT", *NO_PAGE),
    "trace": ({"allow_methods": ["Trace"]}, "allow_methods", "Trace", *NO_PAGE),
    "track": ({"allow_methods": ["track"]}, "allow_methods", "track", *NO_PAGE),
    "patch": (
        {"allow_methods": ["patch"]},
        *("allow_methods", "patch", "is not the same method as 'PATCH'", "write 'PATCH'"),
    ),
    "header": ({"allow_headers": ["X Foo"]}, "allow_headers", "X Foo", *NO_NAME),
    "header, line break": ({"allow_headers": ["X-A\r\nX: y"]}, "allow_headers", "X-A\r\nX: y", *NO_NAME),
    "header, not ASCII": ({"allow_headers": ["X-\u212a"]}, "allow_headers", "X-\u212a", *NO_NAME),
    "header of bytes": ({"allow_headers": [b"X-A"]}, "allow_headers", b"X-A", *NO_NAME),
    "cookie": (
        {"allow_headers": ["Cookie"]},
        *("allow_headers", "Cookie", BROWSERS[0], "write allow_credentials=True for cookies"),
    ),
    "header of a list": ({"allow_headers": [["X-A"]]}, "allow_headers", ["X-A"], *NO_NAME),
    "header of a mapping": ({"allow_headers": [{"X-A": 1}]}, "allow_headers", {"X-A": 1}, *NO_NAME),
    "fetch metadata": ({"allow_headers": ["Sec-Fetch-Site"]}, "allow_headers", "Sec-Fetch-Site", *BROWSERS),
    "any of sec": ({"allow_headers": ["sec-x"]}, "allow_headers", "sec-x", *BROWSERS),
    "any of proxy": ({"allow_headers": ["Proxy-Authorization"]}, "allow_headers", "Proxy-Authorization", *BROWSERS),
    "host": ({"allow_headers": ["host"]}, "allow_headers", "host", *BROWSERS),
    "origin as a header": ({"allow_headers": ["Origin"]}, "allow_headers", "Origin", *BROWSERS),
    "cors as a header": (
        {"allow_headers": ["Access-Control-Allow-Origin"]},
        *("allow_headers", "Access-Control-Allow-Origin", *CORS_ITSELF),
    ),
    "exposed": ({"expose_headers": ["X:Foo"]}, "expose_headers", "X:Foo", *NO_NAME),
    "exposed list": ({"expose_headers": [["X-A"]]}, "expose_headers", ["X-A"], *NO_NAME),
    "exposed set": ({"expose_headers": [{"X-A"}]}, "expose_headers", {"X-A"}, *NO_NAME),
    "exposed cookie": (
        {"expose_headers": ["Set-Cookie"]},
        *("expose_headers", "Set-Cookie", "is never shown to a page", "leave it out"),
    ),
    "exposed cors": (
        {"expose_headers": ["access-control-max-age"]},
        *("expose_headers", "access-control-max-age", *CORS_ITSELF),
    ),
    "credentials": (
        {"allow_credentials": "true"},
        *("allow_credentials", "true", "is not a boolean", "write allow_credentials=True or leave it out"),
    ),
    "private network": (
        {"allow_private_network": 1},
        *("allow_private_network", 1, "is not a boolean", "write allow_private_network=True or leave it out"),
    ),
    "insecure": (
        {"allow_insecure_origins": ["http://a.example"]},
        *("allow_insecure_origins", ["http://a.example"], "is not a boolean"),
        "write allow_insecure_origins=True or leave it out",
    ),
    "max_age, negative": ({"max_age": -1}, "max_age", -1, *NO_AGE),
    "max_age, a day and more": ({"max_age": 86401}, "max_age", 86401, *NO_AGE),
    "max_age, text": ({"max_age": "600"}, "max_age", "600", *NO_AGE),
    "max_age, fraction": ({"max_age": 1.5}, "max_age", 1.5, *NO_AGE),
    "max_age, flag": ({"max_age": True}, "max_age", True, *NO_AGE),
    "path": ({"paths": ["api"]}, "paths", "api", "does not begin with a slash", "write '/api'"),
    "regex": (
        {"allow_origin_regex": "("},
        *("allow_origin_regex", "("),
        "is not a regular expression: missing ), unterminated subpattern at position 0",
        r"write a string such as r'https://.*\.example\.com'",
    ),
    "regex, too large": (
        {"allow_origin_regex": "a{99999999999}"},
        *("allow_origin_regex", "a{99999999999}", "is not a regular expression: the repetition number is too large"),
        r"write a string such as r'https://.*\.example\.com'",
    ),
    "regex of bytes": (
        {"allow_origin_regex": b"."},
        *("allow_origin_regex", b".", "is not a regular expression"),
        r"write a string such as r'https://.*\.example\.com'",
    ),
    "regex that repeats what repeats": (
        {"allow_origin_regex": r"https://([a-z]+)+\.a\.example"},
        *("allow_origin_regex", r"https://([a-z]+)+\.a\.example"),
        "repeats what repeats itself, which can take for ever",
        "repeat one of the two",
    ),
    "regex in a list": (
        {"allow_origins": [r"https://.*\.a\.example"]},
        *("allow_origins", r"https://.*\.a\.example", "looks like a regular expression"),
        f"{SEVERAL}; CORSMiddleware has allow_origin_regex",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_keyword_is_refused_with_what_to_write_instead(name: str) -> None:
    keywords, *expected = REFUSED[name]
    if expected[:2] != ["allow_origins", None]:
        keywords = {"allow_origins": SITE, **keywords}
    assert [[*problem] for problem in problems(**keywords)] == [expected]


# With credentials, whoever is allowed acts as the user

WITH_CREDENTIALS: dict[str, tuple[dict[str, Any], str, Any, str, str]] = {
    "star": (
        {"allow_origins": ["*"]},
        *("allow_origins", "*", "with allow_credentials=True lets every site act as the user", DATABASE),
    ),
    "exposed star": (
        {"expose_headers": ["*"]},
        *("expose_headers", "*", "with allow_credentials=True is taken literally by browsers", "list the names"),
    ),
    "regex for all": ({"allow_origin_regex": ".*"}, "allow_origin_regex", ".*", ANYBODY, HOST),
    "regex for all of https": (
        {"allow_origin_regex": "https?://.+"},
        *("allow_origin_regex", "https?://.+", ANYBODY, HOST),
    ),
    "regex for all of http": (
        {"allow_origin_regex": "http://[^/]*"},
        *("allow_origin_regex", "http://[^/]*", ANYBODY, HOST),
    ),
    "regex for all names below a name": (
        {"allow_origin_regex": r"https://(\w+\.)+\w+\.\w+"},
        *("allow_origin_regex", r"https://(\w+\.)+\w+\.\w+", ANYBODY, HOST),
    ),
    "regex for all ports": (
        {"allow_origin_regex": r"https://.*:\d+"},
        *("allow_origin_regex", r"https://.*:\d+", ANYBODY, HOST),
    ),
    "compiled": (
        {"allow_origin_regex": re.compile("HTTPS://.*", re.IGNORECASE)},
        *("allow_origin_regex", "HTTPS://.*", ANYBODY, HOST),
    ),
    "dot": (
        {"allow_origin_regex": r"https://.*.a\.example"},
        *("allow_origin_regex", r"https://.*.a\.example", DOT, r"write r'https://.*\.a\.example'"),
    ),
    "dots": (
        {"allow_origin_regex": "https://www.a.example"},
        *("allow_origin_regex", "https://www.a.example", DOT, r"write r'https://www\.a\.example'"),
    ),
    "no dot": (
        {"allow_origin_regex": r"https://.*a\.example"},
        *("allow_origin_regex", r"https://.*a\.example"),
        "with allow_credentials=True lets in 'evila.example' too",
        r"put a dot in front of the name: r'\.example\.com'",
    ),
    "http by expression": (
        {"allow_origin_regex": r"https?://.*\.a\.example"},
        *("allow_origin_regex", r"https?://.*\.a\.example", EAVESDROPPER),
        "write 'https' for 'https?' and 'http', or allow_insecure_origins=True",
    ),
    "http": (
        {"allow_origins": ["http://a.example"]},
        *("allow_origins", "http://a.example"),
        EAVESDROPPER,
        "write 'https://a.example', or allow_insecure_origins=True",
    ),
    "http, pattern": (
        {"allow_origins": ["http://*.a.example:*"]},
        *("allow_origins", "http://*.a.example:*"),
        EAVESDROPPER,
        "write 'https://*.a.example:*', or allow_insecure_origins=True",
    ),
    "http, looks local": (
        {"allow_origins": ["http://localhost.example"]},
        *("allow_origins", "http://localhost.example"),
        EAVESDROPPER,
        "write 'https://localhost.example', or allow_insecure_origins=True",
    ),
}


@pytest.mark.parametrize("name", WITH_CREDENTIALS)
def test_what_is_insecure_with_credentials_is_refused_with_them_and_taken_without(name: str) -> None:
    keywords, *expected = WITH_CREDENTIALS[name]
    keywords = {"allow_origins": SITE, **keywords}
    assert [[*problem] for problem in problems(allow_credentials=True, **keywords)] == [expected]
    assert problems(**keywords) == []


@pytest.mark.parametrize(
    "keywords",
    [
        {"allow_origins": SITE},
        {"allow_origins": ["https://*.example.com", "https://a.example:8443", "https://10.0.0.1"]},
        {"allow_origins": ["http://localhost", "http://localhost:*", "http://*.localhost:*", "http://a.localhost:1"]},
        {"allow_origins": ["http://127.0.0.1:3000", "http://127.8.0.1", "http://[::1]:*"]},
        {"allow_origins": ["chrome-extension://abcdef", "capacitor://localhost", "ionic://localhost"]},
        {"allow_origin_regex": r"https://.*\.example\.com"},
        {"allow_origin_regex": r"https://([a-z.]+\.)?example\.com(:\d+)?"},
        {"allow_origin_regex": r"https://(app|www)\.example\.com"},
        {"allow_origin_regex": r"http://localhost:\d+"},
        {"allow_origin_regex": r"http://127\.0\.0\.1:\d+"},
        {"allow_origin_func": lambda origin, scope: True},
        {"allow_origins": [], "websocket_origins": ["*"]},
        {"allow_origins": SITE, "allow_methods": ["*"], "allow_headers": ["*"]},
    ],
)
def test_what_is_secure_with_credentials_is_taken(keywords: dict[str, Any]) -> None:
    assert problems(allow_credentials=True, **keywords) == []


# Expressions: who is let in is found by trial

WIDE = (
    r"https://example\.com.*",
    r"https://example\.com(\..*)?",
    r"https://example\.com\S*",
    r"https://app\..*",
    r"https://app\.[a-z]+\.com",
    r"https?://.*\.example\.com",
    r"https://.*\.com",
    r"https://[^.]+\.[a-z]{3}",
    r".*example\.com",
    r"https://.*.example.com",
    r".*",
    r"https://.*example\.com(:\d+)?",
    r"https://.*example\.com(?::[0-9]+)?",
    r"https://.*example\.com:\d+",
    r"https://.*example\.com:8443",
    r"https://.*example[.]com",
    r"https://.*(example|test)\.com",
    r"https://(app|.*)example\.(com|net)",
    r"https://.*\.net|https://app\.example\.com",
    r"https://.*example\.net|https://app\.example\.com",
    r"https?://.*\.example\.com(:\d+)?",
    r"https?://app\.example\.(com|net)",
    r"https?://(app|www)\.example\.com(:8443)?",
    r"https?://(?:\w+\.)?example[.]com",
    r"https://.{20,}",
    r"https://\w{10,}\.com",
    r"https://[^.]+\.[^.]+\.[^.]+\.[^.]+",
    r"https://.*\.io",
)
NARROW = (
    r"https://.*\.example\.com",
    r"https://(www\.)?example\.com",
    r"https://(a|b)\.example\.com",
    r"http://localhost:\d+",
    r"https?://localhost(:\d+)?",
    r"https://.*\.example\.com(:\d+)?",
    r"^https://[a-z0-9-]+\.example\.com$",
    r"https://pr-\d+\.preview\.example\.com",
    r"chrome-extension://[a-z]{32}",
    r"https://example\.(com|org)",
    r"https://([a-z0-9-]+\.)?example\.com(:\d+)?",
    r"https://(?!admin)[a-z]+\.example\.com",
    r"https://[a-z0-9-]+-preview\.example\.com",
    r"https://(?:[a-z0-9-]+\.)*example\.com",
    r"http://127\.0\.0\.1:\d+",
)


@pytest.mark.parametrize("regex", WIDE)
@pytest.mark.parametrize("extra", [True, False], ids=["with the extra", "without"])
def test_an_expression_that_lets_strangers_in_is_refused_with_credentials(
    regex: str, extra: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not extra:
        monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    (problem,) = problems(allow_origin_regex=regex, allow_credentials=True)
    assert problem.parameter == "allow_origin_regex"
    assert problem.reason.startswith("with allow_credentials=True lets in ") or problem.reason == ANYBODY
    assert problems(allow_origin_regex=regex) == []


@pytest.mark.parametrize("regex", NARROW)
def test_an_expression_that_names_a_site_is_taken_with_credentials(regex: str) -> None:
    assert problems(allow_origin_regex=regex, allow_credentials=True) == []


INSECURE = ["http://a.example", "http://*.b.example:*", "http://10.0.0.1:3000", "https://*.github.io"]


def test_one_keyword_allows_insecure_origins_and_nothing_else() -> None:
    given: dict[str, Any] = {"allow_credentials": True, "allow_insecure_origins": True}
    assert problems(allow_origins=INSECURE, allow_origin_regex=r"http://.*\.a\.example", **given) == []
    (problem,) = problems(allow_origin_regex=r"http://.*a\.example", **given)
    assert problem.reason == "with allow_credentials=True lets in 'evila.example' too"
    found = problems(allow_origins=["*"], expose_headers=["*"], allow_origin_regex=".*", **given)
    assert [problem.parameter for problem in found] == ["allow_origins", "expose_headers", "allow_origin_regex"]
    assert len(problems(allow_origins=["https://*.com", "null", "a.example"], **given)) == 3


# Public suffixes

SUFFIXES = ["https://*.co.uk", "https://*.github.io", "https://*.xn--55qx5d.cn"]


@pytest.mark.parametrize("origin", SUFFIXES)
def test_names_below_a_public_suffix_are_refused_with_the_extra(origin: str) -> None:
    pytest.importorskip("publicsuffixlist", reason="pip install publicsuffixlist")
    (problem,) = problems(allow_origins=[origin, "https://*.example.co.uk", *SITE], allow_credentials=True)
    assert (problem.parameter, problem.value, problem.reason) == ("allow_origins", origin, EVERYBODY)
    assert problem.remedy == "list the origins, or write allow_insecure_origins=True"
    assert problems(allow_origins=[origin]) == []
    regex = origin.replace(".", r"\.").replace("*", ".*")
    assert [problem.reason for problem in problems(allow_origin_regex=regex, allow_credentials=True)] == [EVERYBODY]


@pytest.mark.parametrize("origin", SUFFIXES)
def test_names_below_a_public_suffix_are_taken_without_the_extra(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    assert problems(allow_origins=[origin], allow_credentials=True) == []


def test_the_list_of_suffixes_is_asked_about_patterns_with_credentials_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Suffixes:
        def __init__(self, **_: Any) -> None: ...

        def is_public(self, host: str) -> bool:
            asked.append(host)
            return False

    monkeypatch.setitem(sys.modules, "publicsuffixlist", SimpleNamespace(PublicSuffixList=Suffixes))
    given = ["https://*.example.com", *SITE]
    assert problems(allow_origins=given) == problems(allow_origins=SITE, allow_credentials=True) == []
    assert asked == []
    assert problems(allow_origins=given, allow_credentials=True) == []
    assert asked == ["example.com"]


@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize("extra", [True, False], ids=["with the extra", "without"])
@pytest.mark.parametrize("credentials", [True, False], ids=["with credentials", "without"])
def test_names_below_a_top_level_domain_are_always_refused(
    dot: str, extra: bool, credentials: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not extra:
        monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    (problem,) = problems(allow_origins=[f"https://*.com{dot}"], allow_credentials=credentials)
    assert problem.reason == "stands for everybody who has a name there"
    assert problem.remedy == f"write 'https://*.example.com{dot}'"


# All of it at once


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        allow_origins=["null", "https://a.example/", "http://b.example"],
        allow_methods="GET",
        allow_headers=["Cookie"],
        allow_credentials=True,
        allow_origin_regex="[",
        allow_private_network=0,
        expose_headers=["*"],
        max_age=-5,
        allow_origin_func=5,
        paths=["api"],
        websocket_origins="*",
        allow_insecure_origins=None,
    )
    assert sorted(problem.parameter for problem in found) == [
        "allow_headers",
        "allow_insecure_origins",
        "allow_methods",
        "allow_origin_func",
        "allow_origin_regex",
        *["allow_origins"] * 3,
        "allow_private_network",
        "expose_headers",
        "max_age",
        "paths",
        "websocket_origins",
    ]


def test_the_text_of_a_refusal_names_each_problem() -> None:
    with pytest.raises(ConfigurationError) as caught:
        CORSMiddleware(app, ["*"], allow_credentials=True, max_age=-5)
    assert str(caught.value).splitlines() == [
        "CORSMiddleware: 2 problems",
        f"  - allow_origins='*' with allow_credentials=True lets every site act as the user; {DATABASE}",
        f"  - max_age=-5 {NO_AGE[0]}; {NO_AGE[1]}",
    ]


# What is taken


def test_an_empty_list_allows_nobody_and_needs_no_other_source() -> None:
    assert problems(allow_origins=[]) == problems(allow_origins=()) == []
    assert problems(allow_origin_regex=r"https://a\.example") == []
    assert problems(allow_origin_func=lambda origin, scope: False) == []


@pytest.mark.parametrize("collection", [list, tuple, set, frozenset, dict.fromkeys, dict], ids=lambda c: c.__name__)
def test_a_list_can_be_any_collection_but_a_mapping(collection: Any) -> None:
    given = collection([(SITE[0], 1)]) if collection is dict else collection(SITE)
    assert len(problems(allow_origins=given)) == isinstance(given, dict)


@pytest.mark.parametrize(
    "parameter",
    ["allow_origins", "allow_methods", "allow_headers", "expose_headers", "paths", "websocket_origins"],
)
def test_what_can_be_read_only_once_is_refused(parameter: str) -> None:
    given = (entry for entry in SITE)
    (problem,) = problems(**{"allow_origins": SITE, parameter: given})
    assert (problem.parameter, problem.value) == (parameter, given)
    assert (problem.reason, problem.remedy) == ("is not a list", f"write {parameter}=list(...)")
    assert [*given] == SITE


def test_the_callers_lists_are_copied() -> None:
    origins, methods, headers = [*SITE], ["PUT"], ["X-A"]
    made = CORSMiddleware(app, origins, methods, headers)
    before = repr(made._policy)
    for given in (origins, methods, headers):
        given.append("https://evil.example")
    assert repr(made._policy) == before
    assert not made._policy.allows(b"https://evil.example")


def test_methods_are_spelt_as_browsers_do() -> None:
    made = CORSMiddleware(app, SITE, allow_methods=["put", "Delete", "PUT", "PATCH", "PropFind"])
    assert made._policy.methods == ("PUT", "DELETE", "PATCH", "PropFind")


@pytest.mark.parametrize("age", [0, 1, 86400, None])
def test_an_age_that_browsers_take_is_taken(age: int | None) -> None:
    assert problems(allow_origins=SITE, max_age=age) == []


# The check of websockets alone


@pytest.mark.parametrize(
    ("given", "reason", "remedy"),
    [
        ("https://a.example", "is a string, not a list", "write allow_origins=['https://a.example']"),
        ([5], "is not an origin", SEVERAL),
        (["null"], "is the origin of sandboxed frames and of files: anybody can have it", "leave it out"),
        (["*", *SITE], "allows every origin, and others are listed", "write one or the other"),
        (["wss://*"], "has a '*' where none can stand", SEVERAL),
        (["wss://a.example"], "has a scheme that no origin has: 'wss'", SEVERAL),
        (iter(SITE), "is not a list", "write allow_origins=list(...)"),
    ],
)
def test_the_websocket_check_refuses_the_same_origins(given: Any, reason: str, remedy: str) -> None:
    (problem,) = problems(WebSocketOriginMiddleware, allow_origins=given)
    assert (problem.parameter, problem.reason, problem.remedy) == ("allow_origins", reason, remedy)


def test_the_application_is_checked_with_the_rest() -> None:
    for cls in (CORSMiddleware, WebSocketOriginMiddleware):
        with pytest.raises(ConfigurationError) as caught:
            cls(None, allow_origins=["a.example"])  # type: ignore[arg-type]
        assert [problem.parameter for problem in caught.value.problems] == ["app", "allow_origins"]
