"""Who starts a router's applications where the server does not, or is not to."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import sniffio
from channels.generic.websocket import WebsocketConsumer
from channels.routing import URLRouter
from django.core.handlers.asgi import ASGIHandler
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware

from middleware import HostRouter, PathRouter, ProtocolRouter
from middleware.lint import LintMiddleware
from tests.asgi import BODY, SHUTDOWN, START, STARTUP, Client, Spy, call, http_scope, lifespan_scope, websocket_scope
from tests.routing.test_lifespan import App, django, run, serving

ROUTERS: dict[str, Callable[..., Any]] = {
    "ProtocolRouter": lambda app, **keywords: ProtocolRouter(http=app, websocket=app, **keywords),
    "PathRouter": lambda app, **keywords: PathRouter({"/": app, "/x": app}, **keywords),
    "HostRouter": lambda app, **keywords: HostRouter({"127.0.0.1": app}, default=app, **keywords),
}
NO_LIFESPAN = "the server sends no lifespan"


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(params=ROUTERS)
def make(request: pytest.FixtureRequest) -> Any:
    return ROUTERS[request.param]


# The first connection


async def test_the_first_connection_starts_all_and_finds_their_state(make: Any) -> None:
    log: list[str] = []
    app = App("app", log, state={"db": 1})
    router = make(app, lifespan="lazy")
    assert log == []
    for scope in (http_scope("/x"), websocket_scope("/"), http_scope("/")):
        app.seen = {}
        await call(router, scope)
        assert app.seen == {"db": 1}
        assert scope["state"] == {"db": 1}
    assert log == ["app startup"]


class Slow(App):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await anyio.sleep(0.05)
        await super().__call__(scope, receive, send)


async def test_connections_that_come_first_together_start_it_once_and_wait_for_it(make: Any) -> None:
    log: list[str] = []
    app = Slow("app", log, state={"db": 1})
    router = make(app, lifespan="lazy")
    scopes = [http_scope() for _ in range(10)]
    async with anyio.create_task_group() as tasks:
        for scope in scopes:
            tasks.start_soon(call, router, scope)
    assert [scope["state"] for scope in scopes] == [{"db": 1}] * 10
    assert log == ["app startup"]


async def test_a_connection_that_is_cancelled_takes_the_start_from_no_other() -> None:
    log: list[str] = []
    router = PathRouter({"/": Slow("app", log, state={"db": 1})}, lifespan="lazy")
    with anyio.move_on_after(0.01) as cancelled:
        await call(router, http_scope())
    assert cancelled.cancelled_caught
    scope = http_scope()
    await call(router, scope)
    assert scope["state"] == {"db": 1}
    assert log == ["app startup"]


async def test_what_runs_is_not_collected_as_garbage() -> None:
    log: list[str] = []
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            try:
                await App("app", log)(scope, receive, send)
            finally:
                ended.append(True)
        else:
            await Spy()(scope, receive, send)

    router = PathRouter({"/": app}, lifespan="lazy")
    await call(router, http_scope())
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)
    await call(router, http_scope())
    assert (log, ended) == (["app startup"], [])


async def test_a_failed_start_fails_the_connection_with_its_name_and_the_next_one_tries_again() -> None:
    log: list[str] = []
    app = App("app", log, fails="startup failed", state={"db": 1})
    first = App("first", log)
    router = PathRouter({"/first": first, "/": app}, lifespan="lazy")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="PathRouter: the start-up failed: /: no database"):
            await call(router, http_scope())
        await anyio.sleep(0.01)
    assert log == ["first startup", "app startup", "first shutdown"] * 2
    app.fails = ""
    assert await call(router, http_scope()) == [START, BODY]
    assert app.seen == {"db": 1}


async def test_the_start_that_is_played_keeps_to_the_specification() -> None:
    log: list[str] = []
    await call(PathRouter({"/": LintMiddleware(App("app", log), strict=True)}, lifespan="lazy"), http_scope())
    assert log == ["app startup"]


async def test_an_application_without_lifespan_is_no_failure(make: Any) -> None:
    assert await call(make(django, lifespan="lazy"), http_scope()) == [START, BODY]


async def test_a_router_inside_is_started_with_the_others() -> None:
    log: list[str] = []
    app = App("app", log, state={"db": 1})
    inner = PathRouter({"/api": app})
    for router in (
        ProtocolRouter(http=inner, websocket=HostRouter({"127.0.0.1": inner}), lifespan="lazy"),
        ProtocolRouter(http=PathRouter({"/api": app}, lifespan="lazy"), websocket=inner, lifespan="lazy"),
    ):
        log.clear()
        await call(router, http_scope("/api"))
        assert app.seen == {"db": 1}
        await call(router, websocket_scope("/api"))
        assert log == ["app startup"]


async def test_only_the_inner_router_may_be_lazy() -> None:
    log: list[str] = []
    app = App("app", log, state={"db": 1})
    await call(ProtocolRouter(http=PathRouter({"/api": app}, lifespan="lazy")), http_scope("/api"))
    assert (log, app.seen) == (["app startup"], {"db": 1})


async def test_where_the_server_has_a_lifespan_lazy_is_the_same_as_nothing(make: Any) -> None:
    log: list[str] = []
    app = App("app", log)  # leaves no state
    router = make(app, lifespan="lazy")
    async with serving(router):
        await call(router, http_scope())
    assert log == ["app startup", "app shutdown"]


def test_each_event_loop_has_its_own_start_and_its_end_ends_it() -> None:
    log: list[str] = []
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await App("app", log, state={"loop": id(asyncio.get_running_loop())})(scope, receive, send)
        finally:
            if scope["type"] == "lifespan":
                ended.append(True)

    router = PathRouter({"/": app}, lifespan="lazy")

    async def main() -> None:
        for _ in range(2):
            scope = http_scope()
            await call(router, scope)
            assert scope["state"] == {"loop": id(asyncio.get_running_loop())}

    for number in (1, 2):
        asyncio.run(main())
        assert (log, ended) == (["app startup"] * number, [True] * number)


def test_the_end_of_the_event_loop_is_no_failure_of_the_applications(caplog: pytest.LogCaptureFixture) -> None:
    async def main(router: Any) -> None:
        await call(router, http_scope())

    for _ in range(20):
        apps = [App(name, [], state={"db": 1}) for name in "abc"]
        asyncio.run(main(PathRouter(dict(zip(("/", "/b", "/c"), apps, strict=True)), lifespan="lazy")))
    assert not caplog.records


def test_where_a_server_had_started_it_the_next_loop_starts_it_again_and_nothing_is_kept() -> None:
    log: list[str] = []
    router = PathRouter({"/": App("app", log, state={"db": 1})}, lifespan="lazy")

    async def served() -> None:
        async with serving(router):
            await call(router, http_scope())
        await call(router, http_scope())

    async def not_served() -> None:
        await call(router, http_scope())

    asyncio.run(served())
    assert log == ["app startup", "app shutdown", "app startup"]
    for number in range(30):
        asyncio.run(not_served())
        assert len(log) == 4 + number
    starter = router._starter
    assert not (starter._late or starter._lifespan.running)
    assert [*starter.states] == [None]


async def test_the_applications_do_not_live_in_the_context_of_the_first_connection() -> None:
    import contextvars

    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            seen.append(variable.get())
        await App("app", [])(scope, receive, send)

    variable.set("ann")
    await call(PathRouter({"/": app}, lifespan="lazy"), http_scope())
    assert seen == ["nobody"]


def test_on_trio_it_is_an_error_that_says_why() -> None:
    async def main() -> None:
        assert sniffio.current_async_library() == "trio"
        with pytest.raises(RuntimeError, match="lifespan='lazy' needs asyncio"):
            await call(PathRouter({"/": App("app", [])}, lifespan="lazy"), http_scope())

    anyio.run(main, backend="trio")


# Nobody


async def test_false_declares_that_there_is_no_lifespan(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    router = make(App("app", log), lifespan=False)
    client = Client(STARTUP, SHUTDOWN)
    with pytest.raises(ValueError, match="lifespan=False"):
        await router(lifespan_scope(), client.receive, client.send)
    await call(router, http_scope())
    assert (log, client.sent, client.received) == ([], [], 0)
    assert not caplog.records


async def test_an_application_of_its_own_is_the_only_one_that_is_started(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    chosen = Spy({"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"})
    router = make(App("app", log), lifespan=chosen)
    scope = lifespan_scope()
    await call(router, scope, STARTUP, SHUTDOWN)
    assert chosen.calls[0][0] is scope
    await call(router, http_scope())
    assert log == []
    assert not caplog.records


async def test_it_may_be_a_string(make: Any) -> None:
    router = make(django, lifespan="tests.routing.test_starter:started")
    sent = await call(router, lifespan_scope(), STARTUP, SHUTDOWN)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def started(scope: Any, receive: Any, send: Any) -> None:
    await App("started", [])(scope, receive, send)


# The warning


async def test_without_a_lifespan_an_application_that_may_need_one_is_told_of_once_with_the_line_that_mends_it(
    make: Any, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    router = make(App("app", []))
    for _ in range(3):
        await call(router, http_scope())
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("middleware", logging.WARNING)
    text = record.getMessage()
    assert text.startswith(NO_LIFESPAN)
    owner = next(name for name, one in ROUTERS.items() if one is make)
    assert f"write {owner}(..., lifespan='lazy')" in text


async def test_it_names_the_applications(caplog: pytest.LogCaptureFixture) -> None:
    router = PathRouter({"/api": App("a", []), "/": django}, default=App("b", []))
    await call(router, http_scope())
    (text,) = caplog.messages
    assert text.endswith(
        "and '/api', 'default' may need one to start: write PathRouter(..., lifespan='lazy'), or lifespan=False if not"
    )


class Consumer(WebsocketConsumer):
    pass


@pytest.mark.parametrize(
    "app",
    [
        django,
        ASGIHandler.__new__(ASGIHandler),
        Consumer.as_asgi(),
        URLRouter([]),
        SessionMiddleware(ASGIHandler.__new__(ASGIHandler), "secret"),
        SessionMiddleware(PathRouter({}, default=django), "secret"),
        ProtocolRouter(http=App("app", []), lifespan=False),
        ProtocolRouter(http=App("app", []), lifespan=django),
        ProtocolRouter(http=App("app", []), lifespan="lazy"),
    ],
    ids=lambda app: type(app).__name__,
)
async def test_what_has_none_or_is_cared_for_is_no_reason_to_warn(
    app: Any, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    router = make(app)
    with pytest.MonkeyPatch.context() as patch:
        for cls in (ASGIHandler, URLRouter, Consumer):
            patch.setattr(cls, "__call__", Spy().__call__)
        await call(router, http_scope())
    assert not caplog.records


@pytest.mark.parametrize(
    "app",
    [Starlette(), SessionMiddleware(Starlette(), "secret"), App("x", []).__call__],
    ids=lambda app: type(app).__name__,
)
async def test_what_may_have_one_is_a_reason(app: Any, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    await call(make(app), http_scope())
    assert [record.getMessage().startswith(NO_LIFESPAN) for record in caplog.records] == [True]


async def test_routers_in_routers_warn_once_the_outermost_speaks(caplog: pytest.LogCaptureFixture) -> None:
    app = App("app", [])
    inner = PathRouter({"/api": PathRouter({"/": app}), "/b": app})
    await call(ProtocolRouter(http=SessionMiddleware(inner, "secret"), websocket=django), http_scope("/api"))
    (record,) = caplog.records
    assert "'http' may need one to start: write ProtocolRouter(" in record.getMessage()


async def test_what_the_outer_router_was_told_not_to_start_the_inner_one_does_not_ask_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for choice in (False, started):
        await call(ProtocolRouter(http=PathRouter({"/": App("app", [])}), lifespan=choice), http_scope())
    assert not caplog.records
    inner = PathRouter({"/": App("app", [])})
    ProtocolRouter(http=inner, lifespan=False)  # of no use to anybody
    await call(inner, http_scope())
    assert len(caplog.records) == 1


async def test_an_inner_router_that_is_lazy_is_so_below_one_that_warns(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    lazy = PathRouter({"/": App("lazy", log)}, lifespan="lazy")
    await call(ProtocolRouter(http=lazy, websocket=App("other", log)), http_scope())
    assert log == ["lazy startup"]
    assert len(caplog.records) == 1


async def test_a_server_with_a_lifespan_is_no_reason_to_warn(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    router = make(App("app", []))
    async with serving(router):
        await call(router, http_scope())
    await call(router, http_scope())  # late, the server is about to end
    await run(router)
    assert not caplog.records
