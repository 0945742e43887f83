"""The page about other libraries: they do what it says of them, and the routers do what it says instead."""

from __future__ import annotations

from typing import Any

import pytest
from channels.routing import URLRouter
from django.urls import Resolver404, path, re_path
from hypercorn.middleware import DispatcherMiddleware
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware as StarletteCORS
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from middleware import ConfigurationError, CORSMiddleware, HostRouter, PathRouter
from tests.asgi import CONNECT, SHUTDOWN, STARTUP, call, http_scope, lifespan_scope, websocket_scope
from tests.pages import quoted, table

ACCEPTED, CLOSED = "websocket.accept", "websocket.close"


def named(name: str) -> Any:
    """An application that answers with its name, and that is what Django is to a lifespan."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError(name)
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.accept"})
        await PlainTextResponse(f"{name} {scope['root_path']}")(scope, receive, send)

    return app


async def get(app: Any, path: str, *hosts: bytes, **changes: Any) -> tuple[int, str]:
    headers = [(b"host", host) for host in hosts or (b"example.com",)]
    start, *body = await call(app, http_scope(path, headers=headers, **changes))
    return start["status"], b"".join(message.get("body", b"") for message in body).decode()


async def handshake(app: Any, path: str) -> str:
    return str((await call(app, websocket_scope(path), CONNECT))[0]["type"])


API, V2, SITE = named("api"), named("v2"), named("site")


async def test_the_first_mount_hides_a_longer_one_but_not_here() -> None:
    for make in (
        lambda mounts: Router([Mount(prefix, app) for prefix, app in mounts.items()]),
        DispatcherMiddleware,
        PathRouter,
    ):
        found = await get(make({"/api": API, "/api/v2": V2}), "/api/v2/x")
        assert found == ((200, "v2 /api/v2") if make is PathRouter else (200, "api /api"))


async def test_exactly_at_the_prefix_starlette_redirects_and_refuses_the_websocket_but_not_here() -> None:
    mount, router = Router([Mount("/api", API)]), PathRouter({"/api": API})
    assert (await get(mount, "/api"), await handshake(mount, "/api")) == ((307, ""), CLOSED)
    assert (await get(router, "/api"), await handshake(router, "/api")) == ((200, "api /api"), ACCEPTED)


async def test_behind_a_stripping_proxy_starlette_finds_nothing_that_is_mounted_but_not_here() -> None:
    child = Starlette(routes=[Route("/x", PlainTextResponse("found"))])
    parent = Starlette(routes=[Mount("/api", child)])
    assert (await get(parent, "/api/x", root_path="/outer"))[0] == 404
    for mended in (PathRouter({"/api": child}), PathRouter({"/": parent})):
        assert await get(mended, "/api/x", root_path="/outer") == (200, "found")


async def test_starlette_makes_the_url_of_the_first_route_of_that_name_but_not_here() -> None:
    async def where(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url_for("where").path)

    mounts = {prefix: Starlette(routes=[Route("/", where, name="where")]) for prefix in ("/a", "/b")}
    starlettes = Starlette(routes=[Mount(prefix, app) for prefix, app in mounts.items()])
    assert await get(starlettes, "/b/") == (200, "/a/")
    assert await get(PathRouter(mounts), "/b/") == (200, "/b/")


async def test_starlette_changes_the_received_scope_but_not_here() -> None:
    for router, root_path in ((Router([Mount("/api", API)]), "/api"), (PathRouter({"/api": API}), "")):
        scope = http_scope("/api/x")
        await call(router, scope)
        assert scope["root_path"] == root_path


async def test_a_scope_of_another_type_is_an_error_without_a_text_but_not_here() -> None:
    scope = http_scope("/x", type="webtransport")
    with pytest.raises(AssertionError) as silent:
        await call(Router([Mount("/api", API)]), scope)
    assert not str(silent.value)
    with pytest.raises(ValueError, match="webtransport"):
        await call(PathRouter({"/api": API}), scope)


async def test_starlette_takes_the_first_host_and_no_last_dot_but_not_here() -> None:
    starlettes = Router([Host("api.example.com", API), Mount("/", SITE)])
    ours = HostRouter({"api.example.com": API}, default=SITE)
    for app, dotted, doubled in ((starlettes, "site ", "api "), (ours, "api ", "site ")):
        assert await get(app, "/", b"api.example.com.") == (200, dotted)
        assert await get(app, "/", b"api.example.com", b"evil.example") == (200, doubled)


async def test_channels_raises_for_an_unknown_path_and_swallows_an_error_but_not_here() -> None:
    async def raising(scope: Any, receive: Any, send: Any) -> None:
        raise Resolver404

    channels = URLRouter([path("api/", raising), re_path("^api/", API)])
    ours = PathRouter({"/api": raising})
    with pytest.raises(ValueError, match="No route found for path"):
        await handshake(channels, "/x")
    with pytest.raises(ValueError, match="No route found for path"):
        await call(channels, websocket_scope("/api/", root_path="/outer"), CONNECT)
    assert await handshake(ours, "/x") == CLOSED
    assert await handshake(channels, "/api/") == ACCEPTED
    with pytest.raises(Resolver404):
        await handshake(ours, "/api/")


async def test_channels_router_works_below_a_prefix() -> None:
    assert await handshake(PathRouter({"/outer": URLRouter([path("ws/<room>/", API)])}), "/outer/ws/lobby/") == ACCEPTED


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # DispatcherMiddleware knows no other
async def test_hypercorns_dispatcher_has_the_faults_of_the_table_but_not_here() -> None:
    theirs, ours = DispatcherMiddleware({"/api": API, "/": SITE}), PathRouter({"/api": API, "/": SITE})
    assert (await get(theirs, "/apix"), await get(ours, "/apix")) == ((200, "api /api"), (200, "site "))
    assert (await get(theirs, "/x"), await get(ours, "/x")) == ((200, "site /"), (200, "site "))

    theirs, ours = (make({"/api": make({"/v2": API})}) for make in (DispatcherMiddleware, PathRouter))
    assert (await get(theirs, "/api/v2"), await get(ours, "/api/v2")) == ((404, ""), (200, "api /api/v2"))
    assert (await handshake(theirs, "/x"), await handshake(ours, "/x")) == ("http.response.start", CLOSED)
    with pytest.raises(KeyError, match="root_path"):
        await call(theirs, http_scope("/api/v2", root_path=...))
    assert (await call(ours, http_scope("/api/v2", root_path=...)))[0]["status"] == 200

    with pytest.raises(ExceptionGroup):
        await call(theirs, lifespan_scope(), STARTUP, SHUTDOWN)
    assert len(await call(ours, lifespan_scope(), STARTUP, SHUTDOWN)) == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # DispatcherMiddleware knows no other
async def test_hypercorns_dispatcher_starts_twice_shares_the_state_and_keeps_a_failure_to_itself_but_not_here() -> None:
    states = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        states.append(scope["state"])
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    for make, starts, answers in (
        (DispatcherMiddleware, 2, []),
        (PathRouter, 1, [{"type": "lifespan.startup.failed", "message": "/b: no database"}]),
    ):
        scope = lifespan_scope()
        await call(make({"/a": app, "/c": app}), scope, STARTUP, SHUTDOWN)
        assert len(states) == starts
        assert all(state is scope["state"] for state in states) is (make is DispatcherMiddleware)
        states.clear()
        assert await call(make({"/b": failing}), lifespan_scope(), STARTUP, SHUTDOWN) == answers


# CORS


SITE_A, EVIL = "https://app.example.com", "https://evil.example"
ORIGIN, CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"


def answering(*headers: tuple[bytes, bytes]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.accept"})
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
        await send({"type": "http.response.body"})

    return app


async def response(layer: Any, origin: str | None = SITE_A, **changes: Any) -> tuple[int, dict[str, str], str]:
    sent_origin = [] if origin is None else [(b"origin", origin.encode())]
    headers = [*sent_origin, *changes.pop("headers", [])]
    start, *body = await call(layer, http_scope(headers=headers, **changes))
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(message.get("body", b"") for message in body).decode()


async def preflight(
    layer: Any, origin: str = SITE_A, method: str = "GET", *names: str, private: str | None = None
) -> tuple[int, dict[str, str], str]:
    asked = [(b"access-control-request-method", method.encode())]
    asked += [(b"access-control-request-headers", line.encode()) for line in names]
    if private:
        asked.append((b"access-control-request-private-network", private.encode()))
    return await response(layer, origin, method="OPTIONS", headers=asked)


def both(*origins: str, app: Any = None, **options: Any) -> tuple[Any, Any]:
    """Starlette's layer and ours, with the same words."""
    app = app or answering()
    return StarletteCORS(app, origins, **options), CORSMiddleware(app, origins, **options)


async def test_a_websocket_from_another_site_is_accepted_by_starlettes_but_not_here() -> None:
    scope = websocket_scope(headers=[(b"host", b"api.example.com"), (b"origin", EVIL.encode())])
    for origin in (SITE_A, "*"):
        opened = [(await call(layer, scope, CONNECT))[0]["type"] for layer in both(origin)]
        assert opened == [ACCEPTED, CLOSED]
    opened = [(await call(layer, scope, CONNECT))[0]["type"] for layer in both(allow_origin_regex=".*")]
    assert opened == [ACCEPTED, CLOSED]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"allow_origins": ["*"], "allow_credentials": True},
        {"allow_origin_regex": ".*", "allow_credentials": True},
        {"allow_origins": SITE_A},
        *({"allow_origins": [origin]} for origin in ("https://a.example/", "a.example", "HTTPS://A.EXAMPLE")),
        {"allow_origins": ["https://a.example:443"]},
        {"allow_origins": ["null"]},
        {"allow_origins": ["*", SITE_A]},
        {"allow_origins": ["http://app.example.com"], "allow_credentials": True},
        {"allow_origins": ["https://*.github.io"], "allow_credentials": True},
        {"allow_origin_regex": "https://.*.example.com", "allow_credentials": True},
        {"allow_origin_regex": r"https://.*example\.com", "allow_credentials": True},
        {"allow_origin_regex": r"https?://.*\.example\.com", "allow_credentials": True},
        {"allow_origin_regex": "(a+)+"},
        {"allow_origins": ["wss://a.example"]},
        {"allow_origins": [SITE_A], "allow_methods": ["patch"]},
        {"allow_origins": [SITE_A], "allow_headers": ["X Name"]},
        {"allow_origins": [SITE_A], "max_age": "abc"},
    ],
)
def test_starlettes_takes_what_is_refused_here(options: dict[str, Any]) -> None:
    StarletteCORS(answering(), **options)
    with pytest.raises(ConfigurationError):
        CORSMiddleware(answering(), **options)


async def test_what_starlettes_makes_of_some_of_them() -> None:
    for options, origin in (
        ({"allow_origins": ["*"], "allow_credentials": True}, "null"),
        ({"allow_origin_regex": ".*", "allow_credentials": True}, "null"),
        ({"allow_origins": "https://example.com"}, "https://example.co"),
        ({"allow_origins": ["null"]}, "null"),
        ({"allow_origin_regex": "https://.*.example.com", "allow_credentials": True}, "https://evil-example.com"),
        ({"allow_origin_regex": r"https://.*example\.com", "allow_credentials": True}, "https://evilexample.com"),
    ):
        assert (await response(StarletteCORS(answering(), **options), origin))[1][ORIGIN] == origin


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [("https://*.example.com", "https://app.example.com"), ("http://localhost:*", "http://localhost:5173")],
)
async def test_patterns_never_match_in_starlettes_but_here(pattern: str, origin: str) -> None:
    theirs, ours = both(pattern)
    assert ORIGIN not in (await response(theirs, origin))[1]
    assert (await response(ours, origin))[1][ORIGIN] == origin


async def test_a_regular_expression_sees_only_origins_here() -> None:
    regex, no_origin = r"https://.*\.example\.com", "https://evil.example/.example.com"
    theirs, ours = both(allow_origin_regex=regex, allow_credentials=True)
    assert ORIGIN in (await response(theirs, no_origin))[1]
    assert ORIGIN not in (await response(ours, no_origin))[1]


async def test_what_preflights_are_refused_by_starlettes_and_how_they_are_answered_here() -> None:
    theirs, ours = both(SITE_A)
    for method, names in (("DELETE", ()), ("GET", ("x-name",))):
        assert (await preflight(theirs, SITE_A, method, *names))[0] == 400
        status, headers, body = await preflight(ours, SITE_A, method, *names)
        assert (status, headers[ORIGIN]) == (200, SITE_A)
        assert body.startswith("Disallowed CORS")
    for options, method in (({}, "POST"), ({}, "HEAD"), ({"allow_methods": ["*"]}, "PROPFIND")):
        theirs, ours = both(SITE_A, **options)
        assert (await preflight(theirs, SITE_A, method))[0] == 400
        assert (await preflight(ours, SITE_A, method))[::2] == (200, "OK")
    theirs, ours = both(SITE_A, allow_methods=["put"])
    assert (await preflight(theirs, SITE_A, "PUT"))[0] == 400
    assert (await preflight(ours, SITE_A, "PUT"))[::2] == (200, "OK")
    theirs, ours = both(SITE_A)
    assert (await preflight(theirs, private="true"))[0] == 400
    assert (await preflight(ours, private="true"))[::2] == (200, "OK")
    theirs, ours = both(SITE_A, allow_private_network=True)
    answered = "access-control-allow-private-network"
    assert [answered in (await preflight(layer, private="false"))[1] for layer in (theirs, ours)] == [True, False]


async def test_what_stays_for_strangers_and_for_those_who_are_allowed() -> None:
    for layer in both(SITE_A, allow_methods=["PUT"]):
        assert (await preflight(layer, EVIL, "PUT"))[::2] == (400, "Disallowed CORS origin")
        assert (await preflight(layer, SITE_A, "PUT", "Content-Type, Accept"))[::2] == (200, "OK")


async def test_a_stranger_learns_something_from_starlettes_but_not_here() -> None:
    theirs, ours = both(SITE_A, allow_credentials=True, expose_headers=["X-Total"])
    learnt = {CREDENTIALS, "access-control-expose-headers"}
    assert learnt <= (await response(theirs, EVIL))[1].keys()
    assert (await response(ours, EVIL))[1] == {"vary": "Origin"}
    policy = {"access-control-allow-methods", "access-control-allow-headers", "access-control-max-age"}
    assert policy <= (await preflight(theirs, EVIL))[1].keys()
    assert not policy & (await preflight(ours, EVIL))[1].keys()
    texts = [(await preflight(layer, EVIL, "DELETE"))[2] for layer in (theirs, ours)]
    assert texts == ["Disallowed CORS origin, method", "Disallowed CORS origin"]


async def test_for_everybody_starlettes_varies_but_not_here() -> None:
    theirs, ours = both("*")
    assert ORIGIN in (await response(theirs))[1]
    assert (await response(theirs, None))[1] == {"vary": "Origin"}
    for origin in (SITE_A, None):
        assert (await response(ours, origin))[1] == {ORIGIN: "*"}


async def test_what_the_application_sets_stays_here() -> None:
    theirs, ours = both(SITE_A, app=answering((ORIGIN.encode(), b"*")), allow_credentials=True)
    overwritten, kept = (await response(theirs))[1], (await response(ours))[1]
    assert (overwritten[ORIGIN], kept[ORIGIN]) == (SITE_A, "*")
    theirs, ours = both(SITE_A, app=answering((ORIGIN.encode(), EVIL.encode())), allow_credentials=True)
    escalated, kept = (await response(theirs, EVIL))[1], (await response(ours, EVIL))[1]
    assert (escalated[ORIGIN], kept[ORIGIN]) == (EVIL, EVIL)
    assert CREDENTIALS in escalated
    assert CREDENTIALS not in kept
    for own, theirs_is, ours_is in ((b"Origin", "Origin, Origin", "Origin"), (b"*", "*, Origin", "*")):
        theirs, ours = both(SITE_A, app=answering((b"vary", own)))
        assert ((await response(theirs))[1]["vary"], (await response(ours))[1]["vary"]) == (theirs_is, ours_is)


async def test_what_is_done_with_the_headers_that_are_asked_for() -> None:
    told = "access-control-allow-headers"
    theirs, ours = both(SITE_A, allow_headers=["*"])
    long = ",".join(f"x-{number}" for number in range(10_000))
    assert (await preflight(theirs, SITE_A, "GET", long))[1][told] == long
    assert (await preflight(ours, SITE_A, "GET", long))[1][told] == "*, Authorization"
    theirs, ours = both(SITE_A, allow_headers=["*"], allow_credentials=True)
    for asked, back in (("x-a,x-b", "x-a, x-b"), ('x"<>', None), (long, None)):
        assert (await preflight(theirs, SITE_A, "GET", asked))[1][told] == asked
        assert (await preflight(ours, SITE_A, "GET", asked))[1].get(told) == back
    theirs, ours = both(SITE_A, allow_headers=["X-A"])
    lines, empty = ("x-a", "x-evil"), ("x-a,,accept,",)
    assert (await preflight(theirs, SITE_A, "GET", *lines))[2] == "OK"
    assert (await preflight(ours, SITE_A, "GET", *lines))[2] == "Disallowed CORS headers"
    assert (await preflight(theirs, SITE_A, "GET", *empty))[0] == 400
    assert (await preflight(ours, SITE_A, "GET", *empty))[2] == "OK"


async def test_a_list_that_is_changed_later_and_the_attributes() -> None:
    listed = [SITE_A]
    theirs, ours = StarletteCORS(answering(), listed), CORSMiddleware(answering(), listed)
    listed.append(EVIL)
    assert ORIGIN in (await response(theirs, EVIL))[1]
    assert ORIGIN not in (await response(ours, EVIL))[1]
    assert [hasattr(theirs, "simple_headers"), hasattr(ours, "simple_headers")] == [True, False]


async def test_the_defaults_of_django_cors_headers_are_to_be_listed() -> None:
    settings = table("docs/migrating.md", "From django-cors-headers")
    (methods, _), (headers, _) = settings["`CORS_ALLOW_METHODS`"], settings["`CORS_ALLOW_HEADERS`"]
    options = {"allow_methods": quoted(methods), "allow_headers": quoted(headers)}
    for layer, passes in ((CORSMiddleware(answering(), [SITE_A]), False), (both(SITE_A, **options)[1], True)):
        for method, names in (("PATCH", ()), ("GET", (",".join(quoted(headers)),))):
            assert ((await preflight(layer, SITE_A, method, *names))[2] == "OK") is passes
