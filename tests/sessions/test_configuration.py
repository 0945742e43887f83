"""What is refused when the class is made, what to write instead, and that no secret is told of."""

from __future__ import annotations

import inspect
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import Secret
from starlette.middleware.sessions import SessionMiddleware as StarlettesMiddleware

from middleware import ConfigurationError, MemoryStore, Middleware, SessionMiddleware, stack
from middleware._errors import Problem
from tests.asgi import BODY, START, call, http_scope

KEY = "0123456789abcdef" * 4
SECRET = "hunter2-hunter2"  # what must not be told
YEAR = 365 * 86_400

NO_SECRET = ("is not a string with something in it", "write 32 random bytes in hexadecimal, or Django's SECRET_KEY")
NO_NAME = ("is not the name of a cookie", "write 'session'")
NO_PATH = ("is not a path of a cookie", "write '/'")
NO_SITE = ("is none of 'lax', 'strict' and 'none'", "write one of them")
NO_DOMAIN = ("is not a domain", "write 'example.com', or leave it out for this host alone")
NO_HTTPS = ("is neither True, False nor 'auto'", "leave it out")
NO_SECONDS = ("is not a number of seconds", "write one, or None")
NO_KEY = ("is not a key of the scope", "write 'session' or leave it out")
NO_STORE = "pass a store: MemoryStore(), SQLiteStore(...), RedisStore(...)"
TOO_LONG = ("is longer than browsers keep a cookie, which is 400 days", "write 34560000 or less")
HOST_DOMAIN = ("with a cookie '__Host-...' makes one that browsers drop", "leave it out")
HOST_PATH = ("with a cookie '__Host-...' makes one that browsers drop", "write '/'")
FOR_COOKIES = ("is for data in cookies, and store is given", "leave it out")


async def app(scope: Any, receive: Any, send: Any) -> None:
    scope["session"]["user"] = 5
    await send({**START, "headers": []})  # Starlette's class writes into the list
    await send(BODY)


def problems(cls: Any = SessionMiddleware, **keywords: Any) -> list[Problem]:
    if "store" not in keywords:
        keywords = {"secret_key": KEY, **keywords}
    try:
        cls(app, **keywords)
    except ConfigurationError as error:
        assert error.owner == "SessionMiddleware"
        return [*error.problems]
    return []


async def set_cookie(made: Any, scheme: str = "http") -> str:
    start, *_ = await call(made, http_scope(scheme=scheme))
    return dict(start["headers"])[b"set-cookie"].decode()


def no_flag(name: str, value: object) -> tuple[str, Any, str, str]:
    return name, value, "is not a boolean", f"write {name}=True or leave it out"


def dropped(why: str) -> tuple[str, bool, str, str]:
    return "https_only", False, f"with {why} makes a cookie that browsers drop", "leave it out"


class Sync:
    """Like a store, but for the async."""

    def load(self, key: str) -> None: ...

    save = delete = touch = load


class Half:
    async def load(self, key: str) -> None: ...

    async def touch(self, key: str) -> None: ...


STORE = MemoryStore()

# The keywords, and the one parameter that is at fault: its value, the reason, what to write instead

REFUSED: dict[str, tuple[dict[str, Any], tuple[str, Any, str, str]]] = {
    "no secret": (
        {"secret_key": None},
        ("secret_key", None, "is not given, and there is no store", NO_SECRET[1]),
    ),
    **{
        f"secret_key={value!r}": ({"secret_key": value}, ("secret_key", "…", *NO_SECRET))
        for value in ("", b"x" * 64, 5, [KEY], Secret(""), False, object)
    },
    "empty fallback": ({"secret_key_fallbacks": [""]}, ("secret_key_fallbacks", "…", *NO_SECRET)),
    "no fallback": ({"secret_key_fallbacks": [KEY, None]}, ("secret_key_fallbacks", "…", *NO_SECRET)),
    "fallback of bytes": ({"secret_key_fallbacks": (b"x",)}, ("secret_key_fallbacks", "…", *NO_SECRET)),
    "secret with a store": ({"store": STORE, "secret_key": b"x"}, ("secret_key", "…", *NO_SECRET)),
    **{
        f"session_cookie={value!r}": ({"session_cookie": value}, ("session_cookie", value, *NO_NAME))
        for value in (
            "",
            "a b",
            "a=b",
            "a;b",
            "a,b",
            "a\r\nb",
            "a\0",
            "sitzüng",
            "\u212a",
            '"a"',
            b"session",
            None,
            5,
            [],
        )
    },
    **{
        f"path={value!r}": ({"path": value}, ("path", value, *NO_PATH))
        for value in ("", "shop", "/a;b", "/a b", "/a\r\nSet-Cookie: x", "/ü", "/a\x7f", b"/", None, 5, ["/"], "/a\n")
    },
    **{
        f"same_site={value!r}": ({"same_site": value}, ("same_site", value, *NO_SITE))
        for value in ("", "Lax", "lax ", None, True, b"lax", ["lax"], "lax; domain=x")
    },
    **{
        f"https_only={value!r}": ({"https_only": value}, ("https_only", value, *NO_HTTPS))
        for value in ("", "yes", None, 1, 0, b"auto", ["auto"], {})
    },
    **{
        f"domain={value!r}": ({"domain": value}, ("domain", value, *NO_DOMAIN))
        for value in (
            *("", ".", "a b", "a;b", "https://a.example", "a.example/", "a.example:80", "*.a.example", "-a.example"),
            *("a.example\r\n", "a.example\n", "bücher.example", "\u212a.example", "\u017f.example"),
            *(b"a.example", 5, True, ["a.example"]),
        )
    },
    **{
        f"{name}={value!r}": ({name: value}, no_flag(name, value))
        for name in ("partitioned", "encrypt", "accept_starlette_cookies")
        for value in ("", "true", 1, 0, None, [])
    },
    **{
        f"{name}={value!r}": ({name: value}, (name, value, *NO_SECONDS))
        for name in ("max_age", "idle_timeout", "absolute_timeout")
        for value in (0, -1, 1.5, "60", True, False, b"60", [60], float("inf"))
    },
    "max_age of 401 days": ({"max_age": 401 * 86_400}, ("max_age", 34_646_400, *TOO_LONG)),
    "max_age of 400 days and a second": ({"max_age": 34_560_001}, ("max_age", 34_560_001, *TOO_LONG)),
    "idle for longer than it lives": (
        {"idle_timeout": 61, "absolute_timeout": 60},
        ("idle_timeout", 61, "is longer than absolute_timeout=60", "write less"),
    ),
    **{
        f"scope_key={value!r}": ({"scope_key": value}, ("scope_key", value, *NO_KEY))
        for value in ("", None, 5, b"session", ["session"])
    },
    "store, class": ({"store": MemoryStore}, ("store", MemoryStore, "is a class", NO_STORE)),
    "store, address": (
        {"store": "redis://localhost"},
        ("store", "redis://localhost", "has no async load, save, delete, touch", NO_STORE),
    ),
    "store, dict": ({"store": {}}, ("store", {}, "has no async load, save, delete, touch", NO_STORE)),
    "store, half": (
        {"store": (half := Half())},
        ("store", half, "has no async save, delete", NO_STORE),
    ),
    "store, not async": (
        {"store": (sync := Sync())},
        ("store", sync, "has no async load, save, delete, touch", NO_STORE),
    ),
    "store and encrypt": ({"store": STORE, "encrypt": True}, ("encrypt", True, *FOR_COOKIES)),
    "store and starlette": (
        {"store": STORE, "accept_starlette_cookies": True},
        ("accept_starlette_cookies", True, *FOR_COOKIES),
    ),
    # Attributes that contradict each other
    "host, not secure": ({"session_cookie": "__Host-a", "https_only": False}, dropped("session_cookie='__...'")),
    "secure, not secure": ({"session_cookie": "__secure-a", "https_only": False}, dropped("session_cookie='__...'")),
    "http, not secure": ({"session_cookie": "__Http-a", "https_only": False}, dropped("session_cookie='__...'")),
    "none, not secure": ({"same_site": "none", "https_only": False}, dropped("same_site='none'")),
    "partitioned, not secure": ({"partitioned": True, "https_only": False}, dropped("partitioned=True")),
    "host and domain": (
        {"session_cookie": "__Host-a", "domain": "a.example"},
        ("domain", "a.example", *HOST_DOMAIN),
    ),
    "host and domain, lower case": (
        {"session_cookie": "__host-a", "domain": "a.example"},
        ("domain", "a.example", *HOST_DOMAIN),
    ),
    "host and path": ({"session_cookie": "__HOST-a", "path": "/a"}, ("path", "/a", *HOST_PATH)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_argument_is_refused_with_what_to_write_instead(name: str) -> None:
    keywords, expected = REFUSED[name]
    assert problems(**keywords) == [expected]


def test_the_keywords_are_those_of_the_table() -> None:
    parameters = inspect.signature(SessionMiddleware).parameters.keys() - {"app"}
    assert parameters == {parameter for _, (parameter, *_) in REFUSED.values()}


TAKEN: list[dict[str, Any]] = [
    {},
    {"secret_key": Secret(KEY)},
    {"secret_key_fallbacks": [KEY, Secret(KEY)]},
    {"secret_key_fallbacks": {KEY}},
    {"secret_key_fallbacks": None},
    *[
        {"session_cookie": name}
        for name in ("s", "__Host-session", "__Http-x", "__Secure-x", "a.b", "__a", "_host", "!#$%&'*+-.^_`|~")
    ],
    *[{"path": path} for path in ("/", "/shop", "/a%20b/", "/a,b=c\"'<>")],
    *[{"same_site": value} for value in ("lax", "strict", "none")],
    *[{"https_only": value} for value in (True, False, "auto")],
    *[
        {"domain": value}
        for value in (None, "localhost", ".example.com", "a-b.EXAMPLE", "xn--bcher-kva.example", "10.0.0.1")
    ],
    *[{"max_age": value} for value in (None, 1, 34_560_000)],
    *[{"idle_timeout": value} for value in (None, 1, YEAR)],
    *[{"absolute_timeout": value} for value in (None, 1, 10 * YEAR)],
    {"idle_timeout": 60, "absolute_timeout": 60},
    {"idle_timeout": 600, "max_age": 60},
    {"partitioned": True},
    {"partitioned": True, "same_site": "none", "https_only": True, "session_cookie": "__Host-a"},
    {"encrypt": True},
    {"encrypt": True, "accept_starlette_cookies": True},
    {"scope_key": "my.session"},
    {"store": STORE},
    {"store": STORE, "secret_key": KEY},
    {"store": STORE, "session_cookie": "__Host-id", "max_age": None, "idle_timeout": 60},
]


@pytest.mark.parametrize("keywords", TAKEN, ids=repr)
def test_what_is_right_is_taken(keywords: dict[str, Any]) -> None:
    assert problems(**keywords) == []


# Lists


@pytest.mark.parametrize(
    ("given", "reason", "remedy"),
    [
        (b"x", "is not a list", "write secret_key_fallbacks=[...]"),
        ({"a": KEY}, "is not a list", "write secret_key_fallbacks=[...]"),
        (5, "is not a list", "write secret_key_fallbacks=[...]"),
        (iter([KEY]), "is not a list", "write secret_key_fallbacks=[...]"),
    ],
)
def test_the_fallbacks_are_a_list(given: Any, reason: str, remedy: str) -> None:
    (problem,) = problems(secret_key_fallbacks=given)
    assert (problem.parameter, problem.reason, problem.remedy) == ("secret_key_fallbacks", reason, remedy)


async def test_the_callers_list_of_fallbacks_is_copied() -> None:
    former: list[object] = []
    made = SessionMiddleware(app, KEY, secret_key_fallbacks=former)
    former.append(KEY.upper())
    value = (await set_cookie(SessionMiddleware(app, KEY.upper()))).partition(";")[0]
    seen: list[Any] = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["session"]))

    made.app = reading
    await call(made, http_scope(headers=[(b"cookie", value.encode())]))
    assert seen == [{}]


# Secrets are not told of

LEAKS: dict[str, dict[str, Any]] = {
    "bytes": {"secret_key": SECRET.encode()},
    "list": {"secret_key": [SECRET]},
    "dict": {"secret_key": {"key": SECRET}},
    "object": {"secret_key": SimpleNamespace(key=SECRET)},
    "fallbacks of bytes": {"secret_key_fallbacks": [SECRET.encode()]},
    "fallbacks, a string": {"secret_key_fallbacks": SECRET},
    "fallbacks, a string of several": {"secret_key_fallbacks": f"{SECRET}, {SECRET}"},
    "fallbacks, a secret": {"secret_key_fallbacks": Secret(SECRET)},
    "fallbacks, bytes": {"secret_key_fallbacks": SECRET.encode()},
    "fallbacks, a mapping": {"secret_key_fallbacks": {"old": SECRET}},
    "something else": {"secret_key": SECRET, "path": None},
    "its surrogate": {"secret_key": SECRET + "\udcff"},
    "a fallback's surrogate": {"secret_key_fallbacks": [SECRET + "\udcff"]},
}


@pytest.mark.parametrize("name", LEAKS)
def test_no_secret_is_told_in_a_refusal(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SessionMiddleware(app, **{"secret_key": KEY, **LEAKS[name]})
    for text in (str(caught.value), repr(caught.value.args), caplog.text):
        assert "hunter2" not in text
        assert KEY not in text


def test_no_secret_is_shown_by_the_object() -> None:
    made = SessionMiddleware(app, SECRET * 3, secret_key_fallbacks=[SECRET])
    assert "hunter2" not in repr(made)


# A short secret


@pytest.mark.parametrize(
    ("secret", "short"),
    [("example", True), ("x" * 31, True), ("x" * 32, False), ("ä" * 16, False), (Secret("x"), True), (KEY, False)],
    ids=repr,
)
async def test_a_short_secret_is_warned_of_once(secret: Any, short: bool, caplog: pytest.LogCaptureFixture) -> None:
    made = SessionMiddleware(app, secret, secret_key_fallbacks=["old"])
    for _ in range(3):
        await set_cookie(made)
    text = "secret_key has fewer than 32 bytes: somebody may guess it and sign cookies"
    expected = [("middleware.sessions", logging.WARNING, text)] * short
    assert caplog.record_tuples == expected


def test_a_short_secret_is_no_matter_where_it_signs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    SessionMiddleware(app, "x", store=STORE)
    assert caplog.records == []


# All of it at once


def test_all_problems_are_told_at_once_in_the_order_of_the_parameters() -> None:
    with pytest.raises(ConfigurationError) as caught:
        SessionMiddleware(
            None,  # type: ignore[arg-type]
            accept_starlette_cookies=1,  # type: ignore[arg-type]
            scope_key="",
            absolute_timeout=0,
            idle_timeout=-1,
            store=5,  # type: ignore[arg-type]
            encrypt="yes",  # type: ignore[arg-type]
            secret_key_fallbacks=5,  # type: ignore[arg-type]
            partitioned="",  # type: ignore[arg-type]
            domain="",
            https_only="no",
            same_site="",
            path="",
            max_age=0,
            session_cookie="",
            secret_key="",
        )
    assert [problem.parameter for problem in caught.value.problems] == [
        *inspect.signature(SessionMiddleware).parameters
    ]


def test_contradictions_are_told_beside_other_problems() -> None:
    found = problems(same_site="x", idle_timeout=61, absolute_timeout=60, session_cookie="__Host-a", path="/a")
    assert [problem.parameter for problem in found] == ["path", "same_site", "idle_timeout"]


def test_a_missing_library_is_told_beside_other_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    assert [problem.parameter for problem in problems(encrypt=True, path="")] == ["path", "encrypt"]


def test_the_text_of_a_refusal_names_each_problem(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SessionMiddleware(app, "", max_age=0, https_only=False, session_cookie="__Host-a")
    assert str(caught.value).splitlines() == [
        "SessionMiddleware: 3 problems",
        f"  - secret_key='…' {NO_SECRET[0]}; {NO_SECRET[1]}",
        f"  - max_age=0 {NO_SECONDS[0]}; {NO_SECONDS[1]}",
        "  - https_only=False with session_cookie='__...' makes a cookie that browsers drop; leave it out",
    ]
    assert caplog.record_tuples == [("middleware", logging.ERROR, str(caught.value))]


def test_an_unknown_keyword_is_pythons_error() -> None:
    with pytest.raises(TypeError):
        SessionMiddleware(app, KEY, cookie_name="x")  # type: ignore[call-arg]


# Secure where it must be

FORCED: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"https_only": True}, True),
    ({"session_cookie": "__Host-a"}, True),
    ({"session_cookie": "__secure-a"}, True),
    ({"session_cookie": "__Http-a", "path": "/a", "domain": "a.example"}, True),
    ({"session_cookie": "__HTTP-a"}, True),
    ({"same_site": "none"}, True),
    ({"partitioned": True}, True),
    ({"session_cookie": "_Host-a", "same_site": "strict"}, False),
    ({"session_cookie": "Host-a"}, False),
    ({"session_cookie": "__Httpa"}, False),
]


@pytest.mark.parametrize(("keywords", "forced"), FORCED, ids=repr)
async def test_secure_is_set_over_http_too_where_browsers_ask_for_it(keywords: dict[str, Any], forced: bool) -> None:
    made = SessionMiddleware(app, KEY, **keywords)
    assert ("; secure" in await set_cookie(made, "http")) is forced
    assert "; secure" in await set_cookie(made, "https")


# As Starlette's


def test_the_arguments_are_starlettes_in_their_order() -> None:
    theirs = [*inspect.signature(StarlettesMiddleware).parameters.values()]
    ours = [*inspect.signature(SessionMiddleware).parameters.values()]
    changed = {"secret_key": None, "https_only": "auto"}  # a store needs no secret
    for one, other in zip(ours, theirs, strict=False):
        assert (one.name, one.kind) == (other.name, other.kind)
        assert one.default == changed.get(one.name, other.default)


async def test_the_arguments_can_be_given_by_position() -> None:
    given = (KEY, "id", 60, "/shop", "strict", True, "example.com")
    expected = await set_cookie(StarlettesMiddleware(app, *given))  # type: ignore[arg-type]
    found = await set_cookie(SessionMiddleware(app, *given))
    assert found.partition(";")[2] == expected.partition(";")[2]
    assert found.startswith("id=")


async def test_a_secret_of_starlettes_is_its_text() -> None:
    value = (await set_cookie(SessionMiddleware(app, Secret(KEY)))).partition(";")[0]
    assert value == (await set_cookie(SessionMiddleware(app, KEY))).partition(";")[0]


async def test_the_class_can_be_derived_from() -> None:
    class Mine(SessionMiddleware):
        def __init__(self, app: Any, secret_key: str, **keywords: Any) -> None:
            self.named = "mine"
            super().__init__(app=app, secret_key=secret_key, session_cookie="mine", **keywords)

    made = Mine(app, KEY, max_age=60)
    assert (made.named, made.app) == ("mine", app)
    assert "; Max-Age=60; " in await set_cookie(made)


async def test_the_class_makes_a_layer_of_a_stack() -> None:
    made = stack(
        app, Middleware(SessionMiddleware, secret_key=KEY, max_age=60), Middleware(SessionMiddleware, KEY, "b")
    )
    assert isinstance(made, SessionMiddleware)
    assert isinstance(made.app, SessionMiddleware)
    assert (await set_cookie(made)).startswith("b=")


def test_the_application_is_checked_with_the_rest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        SessionMiddleware(SessionMiddleware, "")  # type: ignore[arg-type]
    assert [problem.parameter for problem in caught.value.problems] == ["app", "secret_key"]


# Whatever the timeouts, their dates can be told


@pytest.mark.parametrize("name", ["idle_timeout", "absolute_timeout"])
@pytest.mark.parametrize("seconds", [10**10, 10**12, 10**20])
async def test_a_timeout_beyond_all_dates_is_refused_or_works(name: str, seconds: int) -> None:
    if found := problems(max_age=None, **{name: seconds}):
        assert [problem.parameter for problem in found] == [name]
        return

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["user"] = 5
        await send(START)
        assert scope["session"].expires_at is not None

    await call(SessionMiddleware(reading, KEY, max_age=None, **{name: seconds}), http_scope())
