"""Requests through the class: what the application's responses become, and eighteen faults that it does not have."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
import starlette
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware as StarlettesMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from middleware import ConfigurationError, CORSMiddleware, Middleware, outermost
from middleware.lint import LintMiddleware
from tests.asgi import (
    BODY,
    CONNECT,
    REQUEST,
    START,
    Client,
    Message,
    Spy,
    call,
    http_scope,
    lifespan_scope,
    websocket_scope,
)

A, B, EVIL = "https://a.example", "https://b.example", "https://evil.example"
ALLOW = "access-control-allow-"
CREDENTIALS = f"{ALLOW}credentials"
ASKED = "access-control-request-"
ASKED_HEADERS = f"{ASKED}headers"


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: str

    def __getitem__(self, name: str) -> str | None:
        """The value of a header that the response must not have twice."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} is there {len(found)} times"
        return found[0] if found else None

    @property
    def cors(self) -> dict[str, str]:
        return {name: value for name, value in self.headers if name.startswith("access-control-")}


class Site(Spy):
    """An application whose response has these headers, anew each time: Starlette's class writes into the list."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        super().__init__(BODY)
        self.headers = [(name.encode(), value.encode()) for name, value in headers]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        await send({**START, "headers": [*self.headers]})
        return await super().__call__(scope, receive, send)


async def ask(
    app: Any, origin: str | None, method: str = "GET", *more: tuple[str, str], path: str = "/", **changes: Any
) -> Response:
    """The response to a request with an Origin, if one is given, and more headers."""
    headers = [("host", "api.example"), *([] if origin is None else [("origin", origin)]), *more]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    start, *body = await call(app, http_scope(path, method=method, headers=raw, **changes))
    return Response(
        start["status"],
        [(name.decode(), value.decode("latin-1")) for name, value in start.get("headers", ())],
        b"".join(message["body"] for message in body).decode(),
    )


async def preflight(app: Any, origin: str | None, method: str, *headers: str, **private: str) -> Response:
    asked = [(f"{ASKED}method", method), *[(ASKED_HEADERS, line) for line in headers]]
    asked += [(f"{ASKED}private-network", value) for value in private.values()]
    return await ask(app, origin, "OPTIONS", *asked)


# Eighteen faults of Starlette 1.10, each shown there and then here

REFUSED = "refused: "
FAULTS: list[tuple[Callable[[Any], Awaitable[Any]], Any, Any]] = []


def fault(starlettes: Any, ours: Any) -> Any:
    """A case that takes the class and returns what came of it, with what comes of Starlette's and of ours."""

    def add(case: Any) -> Any:
        FAULTS.append((case, starlettes, ours))
        return case

    return add


async def outcome(case: Any, cls: Any) -> Any:
    try:
        return await case(cls)
    except ConfigurationError as error:
        return REFUSED + ", ".join(dict.fromkeys(problem.parameter for problem in error.problems))


@fault(["https://example.co", "true"], REFUSED + "allow_origins")
async def fault_01_a_string_of_origins_is_searched(cls: Any) -> Any:
    answer = await ask(cls(Site(), allow_origins="https://example.com", allow_credentials=True), "https://example.co")
    return [answer[f"{ALLOW}origin"], answer[CREDENTIALS]]


@fault("G, E, T", REFUSED + "allow_methods")
async def fault_01_a_string_of_methods_is_spelt(cls: Any) -> Any:
    return (await preflight(cls(Site(), [A], allow_methods="GET"), A, "GET"))[f"{ALLOW}methods"]


@fault(["null", "not an origin <script>"], REFUSED + "allow_origins")
async def fault_02_everybody_acts_as_the_user(cls: Any) -> Any:
    app = cls(Site(), ["*"], allow_credentials=True)
    answers = [await ask(app, origin) for origin in ("null", "not an origin <script>")]
    return [answer[f"{ALLOW}origin"] for answer in answers if answer[CREDENTIALS] == "true"]


@fault({f"{ALLOW}origin": B, CREDENTIALS: "true"}, {f"{ALLOW}origin": B})
async def fault_03_an_inner_layer_gains_credentials_from_an_outer_one(cls: Any) -> Any:
    return (await ask(cls(cls(Site(), [B]), [A], allow_credentials=True), B)).cors


@fault({f"{ALLOW}origin": B, CREDENTIALS: "true"}, {f"{ALLOW}origin": B})
async def fault_03_an_application_gains_credentials(cls: Any) -> Any:
    return (await ask(cls(Site((f"{ALLOW}origin", B)), [A], allow_credentials=True), B)).cors


@fault({CREDENTIALS: "true", "access-control-expose-headers": "X-Secret"}, {})
async def fault_04_a_stranger_is_granted_the_rest(cls: Any) -> Any:
    return (await ask(cls(Site(), [A], allow_credentials=True, expose_headers=["X-Secret"]), EVIL)).cors


@fault(
    [400, {f"{ALLOW}methods", f"{ALLOW}headers", CREDENTIALS, "access-control-max-age"}],
    [400, set()],
)
async def fault_04_a_stranger_is_told_the_policy(cls: Any) -> Any:
    answer = await preflight(cls(Site(), [A], ["PUT"], ["X-Secret"], True), EVIL, "PUT")
    return [answer.status, {*answer.cors}]


@fault({f"{ALLOW}origin": "*", CREDENTIALS: "true"}, {f"{ALLOW}origin": A, CREDENTIALS: "true"})
async def fault_05_an_outer_star_covers_an_inner_origin(cls: Any) -> Any:
    return (await ask(cls(cls(Site(), [A], allow_credentials=True), ["*"]), A)).cors


def failing(request: Any) -> Any:
    raise ZeroDivisionError


@fault([500, None, None], [500, A, "Origin"])
async def fault_06_an_error_page_has_no_header(cls: Any) -> Any:
    app = Starlette(routes=[Route("/", failing)])
    if cls is CORSMiddleware:
        outermost(app, Middleware(cls, [A]))
    else:
        app.add_middleware(cls, allow_origins=[A])
    client = Client(REQUEST)
    with contextlib.suppress(ZeroDivisionError):
        await app(http_scope(headers=[(b"origin", A.encode())]), client.receive, client.send)
    headers = dict(client.sent[0]["headers"])
    found = [headers.get(f"{ALLOW}origin".encode()), headers.get(b"vary")]
    return [client.sent[0]["status"], *[value and value.decode() for value in found]]


@fault("websocket.accept", "websocket.close")
async def fault_07_any_page_opens_a_websocket(cls: Any) -> Any:
    scope = websocket_scope(headers=[(b"host", b"api.example"), (b"origin", EVIL.encode())])
    (message,) = await call(cls(Spy({"type": "websocket.accept"}), [A]), scope, CONNECT)
    return message["type"]


@fault([400, 400], [200, 200])
async def fault_08_the_methods_of_forms_are_refused(cls: Any) -> Any:
    app = cls(Site(), [A])
    return [(await preflight(app, A, method, "content-type")).status for method in ("POST", "HEAD")]


@fault([400, 400, 400], [200, 200, REFUSED + "allow_methods"])
async def fault_09_a_listed_method_is_refused(cls: Any) -> Any:
    async def patch(cls: Any) -> int:
        return (await preflight(cls(Site(), [A], ["patch"]), A, "PATCH")).status

    any_method, put = cls(Site(), [A], ["*"]), cls(Site(), [A], ["put"])
    statuses = [(await preflight(app, A, method)).status for app, method in ((any_method, "PROPFIND"), (put, "PUT"))]
    return [*statuses, await outcome(patch, cls)]


@fault(["Disallowed CORS headers"] * 3, ["OK"] * 3)
async def fault_10_an_empty_name_is_refused(cls: Any) -> Any:
    app = cls(Site(), [A], ["GET"], ["X-Foo", "X-Bar"])
    return [(await preflight(app, A, "GET", names)).body for names in ("", "x-bar,,x-foo", "x-bar,x-foo,")]


@fault(["OK", "x-bar"], ["Disallowed CORS headers", "x-bar, x-foo"])
async def fault_10_a_second_line_is_overlooked(cls: Any) -> Any:
    listing, echoing = (cls(Site(), [A], ["GET"], names, True) for names in (["X-Bar"], ["*"]))
    unlisted = await preflight(listing, A, "GET", "x-bar", "x-evil")
    return [unlisted.body, (await preflight(echoing, A, "GET", "x-bar", "x-foo"))[f"{ALLOW}headers"]]


@fault(["x," * 30_000, 'x"<>(){}'], [None, None])
async def fault_11_whatever_is_asked_is_echoed(cls: Any) -> Any:
    app = cls(Site(), [A], ["GET"], ["*"], True)
    return [(await preflight(app, A, "GET", names))[f"{ALLOW}headers"] for names in ("x," * 30_000, 'x"<>(){}')]


@fault([400, "true", "true"], [200, None, None])
async def fault_12_the_private_network_fails_or_is_granted_to_all(cls: Any) -> Any:
    off, on = (cls(Site(), [A], allow_private_network=allowed) for allowed in (False, True))
    answers = [await preflight(on, A, "GET", value="false"), await preflight(on, EVIL, "GET", value="true")]
    name = f"{ALLOW}private-network"
    return [(await preflight(off, A, "GET", value="true")).status, *[answer[name] for answer in answers]]


@fault([None, "Origin"], ["*", None])
async def fault_13_a_constant_answer_varies(cls: Any) -> Any:
    answer = await ask(cls(Site(), ["*"]), None)
    return [answer[f"{ALLOW}origin"], answer["vary"]]


@fault(["Origin, Accept-Encoding, Origin", "*, Origin"], ["Origin, Accept-Encoding", "*"])
async def fault_14_vary_is_repeated(cls: Any) -> Any:
    given = ("Origin, Accept-Encoding", "*")
    return [(await ask(cls(Site(("vary", value)), [A]), A))["vary"] for value in given]


DEAD: list[dict[str, Any]] = [
    *[
        {"allow_origins": [origin]}
        for origin in (
            "a.com",
            "https://a.com/",
            "HTTPS://A.COM",
            "https://a.com:443",
            "https://a.com/x",
            " https://a.com",
        )
    ],
    {"allow_origins": ["https://bücher.example"]},
    {"allow_origins": (origin for origin in [A])},
    *[{"allow_origins": [A], "max_age": age} for age in ("abc", -5)],
    {"allow_origins": [A], "allow_headers": ["X Foo"]},
    {"allow_origins": [A], "allow_methods": ["CONNECT"]},
    {"allow_origins": [A], "expose_headers": ["*"], "allow_credentials": True},
]


@fault([], DEAD)
async def fault_15_what_is_dead_is_accepted(cls: Any) -> Any:
    refused = []
    for keywords in DEAD:
        try:
            cls(Site(), **keywords)
        except ConfigurationError:
            refused.append(keywords)
    return refused


@fault([None, None], ["https://b.a.example", "http://localhost:3000"])
async def fault_15_a_pattern_never_matches(cls: Any) -> Any:
    app = cls(Site(), ["https://*.a.example", "http://localhost:*"])
    return [(await ask(app, origin))[f"{ALLOW}origin"] for origin in ("https://b.a.example", "http://localhost:3000")]


@fault(EVIL, None)
async def fault_16_the_callers_list_is_shared(cls: Any) -> Any:
    origins = [A]
    app = cls(Site(), origins)
    origins.append(EVIL)
    return (await ask(app, EVIL))[f"{ALLOW}origin"]


@fault("https://evil.com/.a.com", None)
async def fault_17_an_expression_matches_what_is_no_origin(cls: Any) -> Any:
    app = cls(Site(), (), allow_origin_regex=r"https://.*\.a\.com")
    return (await ask(app, "https://evil.com/.a.com"))[f"{ALLOW}origin"]


@fault("https://evil-a.com", REFUSED + "allow_origin_regex")
async def fault_17_a_dot_is_any_character(cls: Any) -> Any:
    app = cls(Site(), (), allow_origin_regex="https://.*.a.com", allow_credentials=True)
    return (await ask(app, "https://evil-a.com"))[f"{ALLOW}origin"]


@fault("", "*, Authorization")
async def fault_18_a_header_is_empty(cls: Any) -> Any:
    return (await preflight(cls(Site(), ["*"], ["GET"], ["*", "X-A"]), A, "GET", ""))[f"{ALLOW}headers"]


FAULTY = tuple(map(int, starlette.__version__.split(".")[:2])) >= (1, 10)  # where all of them have been seen


@pytest.mark.parametrize(("case", "starlettes", "ours"), FAULTS, ids=[case.__name__ for case, _, _ in FAULTS])
async def test_a_fault_of_starlettes_is_none_of_ours(case: Any, starlettes: Any, ours: Any) -> None:
    assert not FAULTY or await outcome(case, StarlettesMiddleware) == starlettes
    assert await outcome(case, CORSMiddleware) == ours


# What users' own tests look at stays as it was

VARY = ", ".join(["Origin", *(f"Access-Control-Request-{name}" for name in ("Method", "Headers", "Private-Network"))])
SAFE = "Accept, Accept-Language, Content-Language, Content-Type"


@pytest.mark.parametrize("cls", [StarlettesMiddleware, CORSMiddleware], ids=["Starlette", "ours"])
class TestBoth:
    async def test_a_preflight_is_answered_ok(self, cls: Any) -> None:
        app = cls(Site(), [A], ["PUT", "PATCH"], ["X-Example", "Content-Type"], True, expose_headers=["X-Count"])
        answer = await preflight(app, A, "PUT", "X-Example, Content-Type")
        assert (answer.status, answer.body) == (200, "OK")
        assert dict(answer.headers) == {
            f"{ALLOW}origin": A,
            f"{ALLOW}methods": "PUT, PATCH",
            f"{ALLOW}headers": f"{SAFE}, X-Example",
            CREDENTIALS: "true",
            "access-control-max-age": "600",
            "vary": VARY if FAULTY or cls is CORSMiddleware else "Origin",
            "content-type": "text/plain; charset=utf-8",
            "content-length": "2",
        }
        assert app.app.calls == []

    async def test_a_star_is_answered_with_a_star(self, cls: Any) -> None:
        app = cls(Site(), ["*"], ["*"], max_age=5)
        answer = await preflight(app, A, "DELETE")
        assert [answer[name] for name in (f"{ALLOW}origin", "access-control-max-age")] == ["*", "5"]
        assert not FAULTY or answer[f"{ALLOW}methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"
        assert (await ask(app, A))[f"{ALLOW}origin"] == "*"

    async def test_a_preflight_of_a_stranger_is_answered_400(self, cls: Any) -> None:
        answer = await preflight(cls(Site(), [A]), EVIL, "GET")
        assert (answer.status, answer.body) == (400, "Disallowed CORS origin")
        assert answer[f"{ALLOW}origin"] is None
        assert answer["content-type"] == "text/plain; charset=utf-8"

    async def test_a_wrong_method_and_a_wrong_header_are_named(self, cls: Any) -> None:
        answer = await preflight(cls(Site(), [A]), A, "PUT", "X-Nope")
        assert answer.body == "Disallowed CORS method, headers"
        assert answer[f"{ALLOW}origin"] == A

    async def test_a_response_to_an_allowed_origin_names_it(self, cls: Any) -> None:
        app = cls(Site(("x-count", "1")), [A, B], allow_credentials=True, expose_headers=["X-Count", "ETag"])
        for origin in (A, B):
            answer = await ask(app, origin)
            assert (answer.status, answer.body) == (200, "hello")
            assert dict(answer.headers) == {
                "x-count": "1",
                f"{ALLOW}origin": origin,
                CREDENTIALS: "true",
                "access-control-expose-headers": "X-Count, ETag",
                "vary": "Origin",
            }

    @pytest.mark.parametrize("origin", [None, EVIL, "null", "https://a.example.evil.example", "HTTPS://A.EXAMPLE"])
    async def test_a_response_to_all_others_varies_and_grants_nothing(self, cls: Any, origin: str | None) -> None:
        if FAULTY or cls is CORSMiddleware:
            answer = await ask(cls(Site(("x-count", "1")), [A]), origin)
            assert answer.headers == [("x-count", "1"), ("vary", "Origin")]

    async def test_an_expression_is_to_match_the_whole_origin(self, cls: Any) -> None:
        app = cls(Site(), ["https://c.example"], allow_origin_regex=r"https://[a-z]+\.b\.example")
        given = ("https://a.b.example", "https://c.example", "https://a.b.example.evil.example", "http://a.b.example")
        assert [(await ask(app, origin))[f"{ALLOW}origin"] for origin in given] == [*given[:2], None, None]

    async def test_options_without_a_method_asked_for_is_the_applications(self, cls: Any) -> None:
        app = cls(Site(), [A])
        assert (await ask(app, A, "OPTIONS"))[f"{ALLOW}origin"] == A
        assert (await ask(app, None, "OPTIONS", (f"{ASKED}method", "PUT"))).body == "hello"
        assert (await ask(app, A, "GET", (f"{ASKED}method", "PUT"))).body == "hello"
        assert len(app.app.calls) == 3

    async def test_the_private_network_is_granted_to_whom_it_is_allowed(self, cls: Any) -> None:
        if FAULTY or cls is CORSMiddleware:
            answer = await preflight(cls(Site(), [A], allow_private_network=True), A, "GET", value="true")
            assert (answer.status, answer[f"{ALLOW}private-network"]) == (200, "true")

    async def test_a_subclass_with_keywords_works(self, cls: Any) -> None:
        class Mine(cls):  # type: ignore[misc]
            def __init__(self, app: Any, **keywords: Any) -> None:
                super().__init__(app, allow_origins=[A], **keywords)
                self.mine = True

        app = Mine(Site(), allow_credentials=True)
        assert app.mine
        assert (await ask(app, A)).cors == {f"{ALLOW}origin": A, CREDENTIALS: "true"}


async def test_no_max_age_is_told_if_there_is_none() -> None:
    answer = await preflight(CORSMiddleware(Site(), [A], max_age=None), A, "GET")
    assert answer["access-control-max-age"] is None


# What the application says itself


@pytest.mark.parametrize("origin", [A, B, EVIL, None])
@pytest.mark.parametrize(
    "own",
    [
        {f"{ALLOW}origin": B},
        {f"{ALLOW}origin": "*"},
        {f"{ALLOW}origin": B, CREDENTIALS: "true", "access-control-expose-headers": "X-B"},
    ],
    ids=["origin", "star", "all"],
)
async def test_an_application_that_names_an_origin_is_left_alone(origin: str | None, own: dict[str, str]) -> None:
    given = {"vary": "Cookie", **own}
    app = CORSMiddleware(Site(*given.items()), [A, B], allow_credentials=True, expose_headers=["X-A"])
    assert dict((await ask(app, origin)).headers) == {**given, "vary": "Cookie, Origin"}


async def test_names_in_upper_case_are_seen() -> None:
    app = CORSMiddleware(Site(("Access-Control-Allow-Origin", B), ("Vary", "Accept")), [A], allow_credentials=True)
    answer = await ask(app, A, "GET")
    assert {name.lower(): value for name, value in answer.headers} == {
        f"{ALLOW}origin": B,
        "vary": "Accept, Origin",
    }


async def test_what_the_application_gives_is_not_given_twice() -> None:
    own = ((CREDENTIALS, "true"), ("access-control-expose-headers", "X-Own"))
    app = CORSMiddleware(Site(*own), [A], allow_credentials=True, expose_headers=["X-A"])
    assert (await ask(app, A)).cors == {**dict(own), f"{ALLOW}origin": A}


@pytest.mark.parametrize("outer", [StarlettesMiddleware, CORSMiddleware], ids=["Starlette", "ours"])
async def test_an_outer_layer_without_this_origin_takes_nothing_away(outer: Any) -> None:
    inner = CORSMiddleware(Site(), [A], allow_credentials=True)
    assert (await ask(outer(inner, [B]), A)).cors == {f"{ALLOW}origin": A, CREDENTIALS: "true"}


async def test_an_inner_policy_for_all_gains_no_credentials() -> None:
    app = CORSMiddleware(CORSMiddleware(Site(), ["*"]), [A], allow_credentials=True)
    for origin in (A, B):
        assert (await ask(app, origin)).cors == {f"{ALLOW}origin": "*"}


@pytest.mark.parametrize("inner", [StarlettesMiddleware, CORSMiddleware], ids=["Starlette", "ours"])
async def test_what_an_inner_layer_grants_another_origin_is_nothing_to_this_one(inner: Any) -> None:
    app = CORSMiddleware(inner(Site(), [A], allow_credentials=True), [B])
    assert not {f"{ALLOW}origin", CREDENTIALS} <= (await ask(app, B)).cors.keys()


async def test_credentials_of_an_inner_layer_are_for_its_own_origins_only() -> None:
    inner = StarlettesMiddleware(Site(), [A], allow_credentials=True)
    assert (await ask(CORSMiddleware(inner, [B]), B)).cors == {CREDENTIALS: "true"}
    assert (await ask(CORSMiddleware(inner, [B]), A)).cors == {f"{ALLOW}origin": A, CREDENTIALS: "true"}
    both = {f"{ALLOW}origin": B, CREDENTIALS: "true"}
    assert (await ask(CORSMiddleware(inner, [B], allow_credentials=True), B)).cors == both


async def test_a_public_layer_says_a_star_around_credentials_which_browsers_do_not_combine() -> None:
    app = CORSMiddleware(StarlettesMiddleware(Site(), [A], allow_credentials=True), ["*"])
    assert (await ask(app, B)).cors == {f"{ALLOW}origin": "*", CREDENTIALS: "true"}
    assert (await ask(app, A)).cors == {f"{ALLOW}origin": A, CREDENTIALS: "true"}
    assert (await ask(app, None)).cors == {f"{ALLOW}origin": "*"}


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ((), ["Origin"]),
        (("Cookie",), ["Cookie, Origin"]),
        (("Origin",), ["Origin"]),
        (("origin, Cookie",), ["origin, Cookie"]),
        (("*",), ["*"]),
        (("Accept", "Cookie"), ["Accept", "Cookie, Origin"]),
        (("Origin", "Cookie"), ["Origin", "Cookie"]),
        (("X-Origin",), ["X-Origin, Origin"]),
    ],
    ids=str,
)
async def test_origin_is_in_vary_once(given: tuple[str, ...], merged: list[str]) -> None:
    for origin in (A, EVIL, None):
        app = CORSMiddleware(Site(*[("vary", value) for value in given]), [A])
        answer = await ask(app, origin)
        assert [value for name, value in answer.headers if name == "vary"] == merged


async def test_a_public_answer_is_the_same_for_everybody() -> None:
    app = CORSMiddleware(Site(("vary", "Cookie")), ["*"], ["*"], ["*"], expose_headers=["*"])
    answers = [await ask(app, origin) for origin in (None, A, EVIL, "null", "not an origin")]
    assert answers[0].headers == [("vary", "Cookie"), (f"{ALLOW}origin", "*"), ("access-control-expose-headers", "*")]
    assert answers == answers[:1] * 5
    for origin in (A, "null", "not an origin"):
        answer = await preflight(app, origin, "POST", "x-a")
        assert (answer.status, answer.body, answer[f"{ALLOW}origin"]) == (200, "OK", "*")


async def test_a_sandboxed_frame_is_answered_a_star_by_a_public_policy_and_nothing_by_others() -> None:
    for origin in ("null", None):
        assert (await ask(CORSMiddleware(Site(), ["*"]), origin)).cors == {f"{ALLOW}origin": "*"}
    answer = await preflight(CORSMiddleware(Site(), ["*"], ["PUT"]), "null", "PUT", "content-type")
    assert (answer.status, answer.body, answer[f"{ALLOW}origin"]) == (200, "OK", "*")
    answer = await preflight(CORSMiddleware(Site(), (), ["PUT"], allow_origin_regex=".*"), "null", "PUT")
    assert (answer.status, answer.cors) == (400, {})


async def test_a_method_that_is_too_long_is_not_echoed() -> None:
    for origins in (["*"], [A]):
        answer = await preflight(CORSMiddleware(Site(), origins, ["*"]), A, "A" * 60_000)
        assert (answer.status, answer.body) == (200, "Disallowed CORS method")
        assert sum(len(name) + len(value) for name, value in answer.headers) < 1_000


async def test_headers_are_found_whatever_their_case_and_place() -> None:
    app = CORSMiddleware(Site(), [A])
    raw = [(b"X", b"y"), (f"{ASKED}method".title().encode(), b"GET"), (b"ORIGIN", A.encode())]
    start, _ = await call(app, http_scope(method="OPTIONS", headers=raw))
    assert (start["status"], app.app.calls) == (200, [])


# Who is asked, and about what


@pytest.mark.parametrize("origins", [(A, A), (A, EVIL), (EVIL, A)], ids=str)
async def test_an_origin_that_comes_twice_is_denied(origins: tuple[str, str]) -> None:
    asked = []
    app = CORSMiddleware(Site(), [A], allow_origin_func=lambda origin, scope: asked.append(origin) or True)
    assert (await ask(app, origins[0], "GET", ("Origin", origins[1]))).cors == {}
    answer = await ask(app, origins[0], "OPTIONS", ("origin", origins[1]), (f"{ASKED}method", "GET"))
    assert (answer.status, answer.cors) == (400, {})
    assert asked == []


async def asynchronously(origin: str, scope: Any) -> bool:
    await anyio.lowlevel.checkpoint()
    return origin == A


def synchronously(origin: str, scope: Any) -> bool:
    return origin == A


class Later:
    """What a task or a future is: awaitable, no coroutine."""

    def __init__(self, origin: str, scope: Any) -> None:
        self.coroutine = asynchronously(origin, scope)

    def __await__(self) -> Any:
        return self.coroutine.__await__()


@pytest.mark.parametrize("tenants", [synchronously, asynchronously, Later])
async def test_a_function_allows_what_it_says(tenants: Any) -> None:
    app = CORSMiddleware(Site(), allow_origin_func=tenants, allow_credentials=True)
    assert (await ask(app, A)).headers == [("vary", "Origin"), (f"{ALLOW}origin", A), (CREDENTIALS, "true")]
    assert (await ask(app, B)).headers == [("vary", "Origin")]
    assert [(await preflight(app, origin, "GET")).status for origin in (A, B)] == [200, 400]


def in_both_ways(answer: Any) -> Any:
    """An answer as a plain function gives it, and as an asynchronous one does."""

    async def later(origin: str, scope: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return answer

    return [lambda origin, scope: answer, later]


@pytest.mark.parametrize(
    "answer",
    [1, "False", "True", b"true", [True], (value for value in (True,)), object(), None],
    ids=lambda answer: type(answer).__name__,
)
async def test_a_function_allows_with_true_and_nothing_else(answer: Any) -> None:
    for func in in_both_ways(answer):
        app = CORSMiddleware(Site(), allow_origin_func=func, allow_credentials=True)
        assert (await ask(app, A)).cors == {}
        assert (await preflight(app, A, "GET")).status == 400


async def test_a_function_written_as_a_generator_allows_nothing() -> None:
    def plain(origin: str, scope: Any) -> Any:
        yield True

    async def asynchronous(origin: str, scope: Any) -> Any:
        yield True

    for func in (plain, asynchronous):
        assert (await ask(CORSMiddleware(Site(), allow_origin_func=func), A)).cors == {}


async def test_a_coroutine_that_nobody_awaits_allows_nothing() -> None:
    forgotten = []

    async def func(origin: str, scope: Any) -> Any:
        forgotten.append(asynchronously(origin, scope))  # where ``return await`` was meant
        return forgotten[-1]

    answer = await ask(CORSMiddleware(Site(), allow_origin_func=func), A)
    for coroutine in forgotten:
        coroutine.close()
    assert (answer.cors, len(forgotten)) == ({}, 1)


async def test_a_function_is_asked_once_and_only_about_an_origin_that_nothing_else_allows() -> None:
    asked: list[tuple[str, Any]] = []

    def func(origin: str, scope: Any) -> bool:
        asked.append((origin, scope))
        return True

    app = CORSMiddleware(
        Site(), [A, "https://*.a.example"], allow_origin_regex=r"https://b\.example", allow_origin_func=func
    )
    for origin in (
        None,
        A,
        "https://b.a.example",
        B,
        "null",
        "",
        "x",
        f"{A}/",
        "https://A.example",
        "http://a.example:80",
    ):
        await ask(app, origin)
        await ask(app, origin, "OPTIONS", (f"{ASKED}method", "GET"))
    await ask(app, "https://b\xfccher.example")
    assert asked == []
    scope = http_scope(headers=[(b"origin", EVIL.encode())])
    await call(app, scope)
    assert [origin for origin, _ in asked] == [EVIL]
    assert asked[0][1] is scope


async def test_a_function_is_asked_anew_for_each_request() -> None:
    tenants = {A}
    app = CORSMiddleware(Site(), allow_origin_func=lambda origin, scope: origin in tenants)
    assert (await ask(app, A))[f"{ALLOW}origin"] == A
    tenants.clear()
    assert (await ask(app, A))[f"{ALLOW}origin"] is None


async def fails(origin: str, scope: Any) -> bool:
    await anyio.lowlevel.checkpoint()
    raise LookupError("database")


def fails_at_once(origin: str, scope: Any) -> bool:
    raise LookupError("database")


@pytest.mark.parametrize("tenants", [fails, fails_at_once])
async def test_a_function_that_raises_allows_nothing_and_is_logged(
    tenants: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await ask(CORSMiddleware(Site(), [B], allow_origin_func=tenants), A)
    assert (answer.status, answer.cors, answer["vary"]) == (200, {}, "Origin")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("middleware.cors", logging.ERROR)
    assert record.getMessage() == f"allow_origin_func raised, so the origin '{A}' is not allowed"
    assert record.exc_info and record.exc_info[0] is LookupError


async def test_other_requests_go_on_while_a_function_waits() -> None:
    asked, answered = anyio.Event(), anyio.Event()

    async def func(origin: str, scope: Any) -> bool:
        asked.set()
        await answered.wait()
        return True

    app = CORSMiddleware(Site(), [B], allow_origin_func=func)
    answers: list[Response] = []

    async def slowly() -> None:
        answers.append(await ask(app, A))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slowly)
            await asked.wait()
            assert (await ask(app, B))[f"{ALLOW}origin"] == B
            assert answers == []
            answered.set()
    assert answers[0][f"{ALLOW}origin"] == A


async def test_a_cancelled_function_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    spy = Site()

    async def func(origin: str, scope: Any) -> bool:
        cancelling.cancel()
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.CancelScope() as cancelling:
        await ask(CORSMiddleware(spy, allow_origin_func=func), A)
    assert cancelling.cancelled_caught
    assert (spy.calls, caplog.records) == ([], [])


# Which requests a policy is for


@pytest.mark.parametrize(
    ("path", "root_path", "origin"),
    [
        ("/api", "", A),
        ("/api/", "", A),
        ("/api/x", "", A),
        ("/apis", "", None),
        ("/", "", None),
        ("", "", None),
        ("/x/api", "", None),
        ("/public/x", "", B),
        ("/outer/api/x", "/outer", A),
        ("/outer/public", "/outer/", B),
        ("/outer/x", "/outer", None),
        ("/api/public", "", A),
        ("/tenants/5/api/x", "", A),
        ("/tenants/5/x", "", None),
    ],
)
async def test_two_policies_are_two_classes_with_paths(path: str, root_path: str, origin: str | None) -> None:
    spy = Site()
    app = CORSMiddleware(spy, [A], paths=["/api", "/tenants/{id}/api"], allow_credentials=True)
    app = CORSMiddleware(app, [B], paths=("/public",))
    for asked in (A, B):
        granted = asked if asked == origin else None
        answer = await ask(app, asked, path=path, root_path=root_path)
        assert answer[f"{ALLOW}origin"] == granted
        assert (answer[CREDENTIALS], answer["vary"]) == ("true" if granted == A else None, origin and "Origin")
        answer = await ask(app, asked, "OPTIONS", (f"{ASKED}method", "GET"), path=path, root_path=root_path)
        assert answer.status == (400 if granted is None and origin else 200)
        assert answer[f"{ALLOW}origin"] == granted
    assert len(spy.calls) == (2 if origin else 4)


async def test_a_request_for_another_path_passes_as_it_is() -> None:
    spy, client = Site(), Client(REQUEST)
    scope = http_scope("/x", headers=[(b"origin", A.encode())])
    await CORSMiddleware(spy, [A], paths=["/api"])(scope, client.receive, client.send)
    ((given, receive, send),) = spy.calls
    assert given is scope
    assert (receive, send) == (client.receive, client.send)


# ASGI


async def test_head_is_granted_what_get_is() -> None:
    app = CORSMiddleware(Spy({**START, "headers": []}, {**BODY, "body": b""}), [A])
    assert (await ask(app, A, "HEAD")).headers == (await ask(app, A)).headers
    assert (await ask(app, A, "HEAD"))[f"{ALLOW}origin"] == A


async def test_a_preflight_is_a_legal_conversation() -> None:
    app = LintMiddleware(CORSMiddleware(Site(), [A]), strict=True)
    assert [(await preflight(app, origin, "PUT")).status for origin in (A, B)] == [200, 400]


async def test_a_message_that_is_sent_again_has_no_more_than_before() -> None:
    start: Message = {**START, "headers": [(b"vary", b"Cookie")]}
    app = CORSMiddleware(Spy(start, BODY), [A])
    answers = [await ask(app, A) for _ in range(3)]
    assert answers == answers[:1] * 3
    assert start == {**START, "headers": [(b"vary", b"Cookie")]}


@pytest.mark.parametrize("headers", [..., None, [], ()], ids=repr)
async def test_a_response_without_headers_is_granted_too(headers: Any) -> None:
    start = {key: value for key, value in {**START, "headers": headers}.items() if value is not ...}
    assert (await ask(CORSMiddleware(Spy(start, BODY), [A]), A)).headers == [("vary", "Origin"), (f"{ALLOW}origin", A)]


async def test_messages_and_extensions_that_are_not_known_pass_untouched() -> None:
    unknown: list[Message] = [
        {"type": "http.response.early_hint", "links": [b"</s.css>"]},
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.sparkle", "headers": [(b"vary", b"x")]},
    ]
    spy = Spy(*unknown, START, BODY, {"type": "http.response.trailers", "headers": []})
    scope = http_scope(headers=[(b"origin", A.encode())], extensions={"http.response.sparkle": {}})
    sent = await call(CORSMiddleware(spy, [A]), scope)
    assert spy.calls[0][0] is scope
    assert len(sent) == 6
    assert all(one is other for one, other in zip(sent[:3], unknown, strict=True))
    assert sent[4] is BODY


@pytest.mark.parametrize("scope", [lifespan_scope(), {"type": "webtransport", "path": "/"}, {"type": "mqtt"}], ids=str)
async def test_other_connections_pass_as_they_are(scope: Any) -> None:
    for paths in (None, ["/api"]):
        spy, client = Spy({"type": "x"}), Client()
        await CORSMiddleware(spy, [A], paths=paths)(scope, client.receive, client.send)
        ((given, receive, send),) = spy.calls
        assert given is scope
        assert (receive, send) == (client.receive, client.send)


async def test_a_scope_without_headers_is_served() -> None:
    for headers in (..., None, []):
        start, _ = await call(CORSMiddleware(Site(), [A]), http_scope(headers=headers))
        assert (b"vary", b"Origin") in start["headers"]


# What is told of refusals


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {(record.name, record.levelno) for record in caplog.records} <= {("middleware.cors", logging.WARNING)}
    return [record.getMessage() for record in caplog.records]


async def test_a_refused_preflight_is_logged_once_with_what_would_allow_it(caplog: pytest.LogCaptureFixture) -> None:
    app = CORSMiddleware(Site(), [A])
    for _ in range(3):
        await preflight(app, B, "GET", "x-a")
        await preflight(app, A, "PUT")
        await preflight(app, A, "GET", "x-a", "x-b")
        await preflight(app, A, "PUT", "x-a")
        await preflight(app, A, "GET")
        await ask(app, B)
    text = "a preflight from the origin '{}' for '{}' with the headers '{}' was refused; to allow it, add to {}"
    assert told(caplog) == [
        text.format(B, "GET", "x-a", "allow_origins"),
        text.format(A, "PUT", "", "allow_methods"),
        text.format(A, "GET", "x-a, x-b", "allow_headers"),
        text.format(A, "PUT", "x-a", "allow_methods and allow_headers"),
    ]


@pytest.mark.parametrize("origin", ["null", "https://a.example/", "https://a.example, https://b.example", ""])
async def test_of_what_no_policy_can_allow_the_log_says_so(origin: str, caplog: pytest.LogCaptureFixture) -> None:
    await preflight(CORSMiddleware(Site(), [B]), origin, "GET")
    (line,) = told(caplog)
    assert line.endswith("was refused; no policy can allow that origin")


async def test_there_is_an_end_to_what_is_told(caplog: pytest.LogCaptureFixture) -> None:
    apps = [CORSMiddleware(Site(), [A]) for _ in range(2)]
    for app in apps:
        for number in range(150):
            await preflight(app, f"https://x{number}.example", "GET")
    lines = told(caplog)
    assert len(lines) == 200
    ends = [number for number, line in enumerate(lines, 1) if line.endswith("; no more refusals are told")]
    assert ends == [100, 200]


async def test_what_is_kept_of_refusals_is_bounded() -> None:
    app = CORSMiddleware(Site(), [A])
    for number in range(300):
        await preflight(app, f"https://x{number}" + "a" * 5_000, "P" * 5_000, "x-a" * 5_000)
    kept = app._refusals._told
    assert len(kept) == 100
    assert sum(len(value) for key in kept for value in key) <= 100 * 4 * 100


@pytest.mark.parametrize(
    "value",
    ["%s%d%(x)s%", "{0}{x}", "a\r\nmiddleware.cors: forged", "\x1b[31m\x00\x7f\x85", "\xad\xff", "a" * 65_536, "'\"\\"],
    ids=lambda value: repr(value)[:20],
)
async def test_a_line_of_the_log_is_one_short_line_of_ascii(value: str, caplog: pytest.LogCaptureFixture) -> None:
    app = CORSMiddleware(Site(), [A])
    await preflight(app, value, "GET")
    await preflight(app, A, value, value)
    lines = told(caplog)
    assert len(lines) == 2
    for line in lines:
        assert line.isascii() and line.isprintable()
        assert len(line) < 1_500


# The layer outside the error page


async def test_an_error_page_of_the_users_own_has_the_headers() -> None:
    app = Starlette(routes=[Route("/", failing)], exception_handlers={500: page})
    outermost(app, Middleware(CORSMiddleware, [A], allow_credentials=True))
    client = Client(REQUEST)
    with contextlib.suppress(ZeroDivisionError):
        await app(http_scope(headers=[(b"origin", A.encode())]), client.receive, client.send)
    start, body = client.sent
    assert (start["status"], body["body"]) == (500, b"my page")
    assert (f"{ALLOW}origin".encode(), A.encode()) in start["headers"]
    assert (CREDENTIALS.encode(), b"true") in start["headers"]


async def page(request: Any, error: Exception) -> Any:
    return PlainTextResponse("my page", 500)
