"""The page about other libraries: they do what it says of them, and the routers do what it says instead."""

from __future__ import annotations

from typing import Any

import pytest
from channels.routing import URLRouter
from django.urls import Resolver404, path, re_path
from hypercorn.middleware import DispatcherMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from middleware import HostRouter, PathRouter
from tests.asgi import CONNECT, SHUTDOWN, STARTUP, call, http_scope, lifespan_scope, websocket_scope

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
