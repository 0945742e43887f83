"""One server, several applications: started in order, stopped in reverse, each by itself."""

from __future__ import annotations

import contextvars
import functools
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import anyio
import pytest
import sniffio
from hypothesis import given, settings
from hypothesis import strategies as st

from middleware import HostRouter, PathRouter, ProtocolRouter
from middleware.lint import LintMiddleware
from middleware.routing import participant
from middleware.routing.lifespan import RUNNING
from tests.asgi import (
    BODY,
    SHUTDOWN,
    START,
    STARTUP,
    Client,
    Message,
    Spy,
    call,
    http_scope,
    lifespan_scope,
    websocket_scope,
)

STARTED = "lifespan.startup.complete"
STOPPED = "lifespan.shutdown.complete"


class App:
    """An application with a lifespan that notes its steps in a log shared with others."""

    def __init__(
        self, name: str, log: list[str], *, state: Any = (), fails: str = "", message: str = "no database"
    ) -> None:
        self.name, self.log, self.state, self.fails, self.message = name, log, dict(state), fails, message
        self.seen: dict[str, Any] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            state = scope.get("state")
            self.seen = dict(state) if isinstance(state, dict) else {}
            await send(START)
            await send(BODY)
            return
        for event in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{event}"
            await anyio.lowlevel.checkpoint()
            self.log.append(f"{self.name} {event}")
            scope["state"].update(self.state)
            if self.fails == f"{event} raises":
                raise LookupError(self.message)
            if self.fails == f"{event} failed":
                await send({"type": f"lifespan.{event}.failed", "message": self.message})
                raise LookupError(self.message)  # as Starlette does after it has told
            await send({"type": f"lifespan.{event}.complete"})
            if self.fails == f"after {event}":
                raise LookupError(self.message)


async def django(scope: Any, receive: Any, send: Any) -> None:
    """What Django's application does with a scope that it does not know."""
    if scope["type"] != "http":
        raise ValueError(f"Django can only handle ASGI/HTTP connections, not {scope['type']}.")
    await send(START)
    await send(BODY)


async def run(
    router: Any, *, scope: Any = None, events: tuple[Message, ...] = (STARTUP, SHUTDOWN), lint: bool = True
) -> list[Message]:
    client = Client(*events)
    app = LintMiddleware(router, strict=True) if lint else router
    with anyio.fail_after(5):
        await app(lifespan_scope() if scope is None else scope, client.receive, client.send)
    return client.sent


@asynccontextmanager
async def serving(router: Any, scope: Any = None) -> AsyncIterator[None]:
    """What happens inside happens while the server runs ``router``."""
    started, ending = anyio.Event(), anyio.Event()

    class Server(Client):
        async def receive(self) -> Message:
            if self.received:
                await ending.wait()
            return await super().receive()

        async def send(self, message: Message) -> None:
            await super().send(message)
            started.set()

    server = Server(STARTUP, SHUTDOWN)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(LintMiddleware(router, strict=True), scope or lifespan_scope(), server.receive, server.send)
        with anyio.fail_after(5):
            await started.wait()
        yield
        ending.set()
    assert types(server.sent) == [STARTED, STOPPED]


def types(sent: list[Message]) -> list[str]:
    return [message["type"] for message in sent]


async def test_applications_start_in_declared_order_and_stop_in_reverse() -> None:
    log: list[str] = []
    router = ProtocolRouter(
        {"channel": App("channel", log)},
        http=App("http", log),
        websocket=App("websocket", log),
        default=App("default", log),
    )
    assert types(await run(router)) == [STARTED, STOPPED]
    order = ["channel", "http", "websocket", "default"]
    assert log == [f"{name} startup" for name in order] + [f"{name} shutdown" for name in reversed(order)]


async def test_django_which_does_not_know_it_is_left_alone_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    assert types(await run(ProtocolRouter(http=django, websocket=App("websocket", log)))) == [STARTED, STOPPED]
    assert log == ["websocket startup", "websocket shutdown"]
    assert types(await run(ProtocolRouter(http=django))) == [STARTED, STOPPED]
    assert not caplog.records


async def returns_at_once(scope: Any, receive: Any, send: Any) -> None: ...


async def returns_after_startup(scope: Any, receive: Any, send: Any) -> None:
    await receive()


async def talks_websocket(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def waits_for_its_own_messages(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def swallows_and_goes_on(scope: Any, receive: Any, send: Any) -> None:
    while True:
        await receive()
        try:
            await send({"type": "websocket.accept"})
        except Exception:
            continue


@pytest.mark.parametrize(
    "app",
    [returns_at_once, returns_after_startup, talks_websocket, waits_for_its_own_messages, swallows_and_goes_on],
)
async def test_an_application_that_looks_at_messages_only_neither_holds_up_the_start_nor_is_told_of(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    assert types(await run(ProtocolRouter(http=app, websocket=App("websocket", log)))) == [STARTED, STOPPED]
    assert log == ["websocket startup", "websocket shutdown"]
    assert not caplog.records


async def reads_the_path(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept" if scope["path"] == "/chat" else "websocket.close"})


async def test_an_application_for_websockets_alone_that_expects_no_lifespan_is_not_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert types(await run(ProtocolRouter(http=django, websocket=reads_the_path))) == [STARTED, STOPPED]
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]

    async def without_redis(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ConnectionError("no redis")

    for told in (ProtocolRouter(http=reads_the_path), ProtocolRouter(websocket=without_redis)):
        caplog.clear()
        await run(told)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_a_start_that_raises_is_told_with_its_name_and_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    router = ProtocolRouter(http=App("http", log, fails="startup raises"), websocket=App("websocket", log))
    assert types(await run(router)) == [STARTED, STOPPED]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("middleware", logging.WARNING)
    assert "http" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)
    assert log == ["http startup", "websocket startup", "websocket shutdown"]


@pytest.mark.parametrize("message", ["no database", ""])
async def test_a_failed_start_stops_those_before_it_starts_none_after_it_and_is_named(message: str) -> None:
    log: list[str] = []
    router = ProtocolRouter(
        {"channel": App("channel", log)},
        http=App("http", log),
        websocket=App("websocket", log, fails="startup failed", message=message),
        default=App("default", log),
    )
    sent = await run(router, events=(STARTUP,))
    assert sent == [{"type": "lifespan.startup.failed", "message": f"websocket: {message}"}]
    assert log == ["channel startup", "http startup", "websocket startup", "http shutdown", "channel shutdown"]


async def test_a_failed_stop_is_named_and_the_others_are_stopped_all_the_same() -> None:
    log: list[str] = []
    router = ProtocolRouter(http=App("http", log), websocket=App("websocket", log, fails="shutdown failed"))
    sent = await run(router)
    assert sent[1:] == [{"type": "lifespan.shutdown.failed", "message": "websocket: no database"}]
    assert log[-1] == "http shutdown"


@pytest.mark.parametrize("fails", ["after startup", "shutdown raises"])
async def test_a_crash_is_told_at_once_and_reported_at_the_end(fails: str, caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    router = ProtocolRouter(http=App("http", log), websocket=App("websocket", log, fails=fails))
    sent = await run(router)
    assert sent[1:] == [{"type": "lifespan.shutdown.failed", "message": "websocket: LookupError('no database')"}]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "websocket" in record.getMessage()
    assert record.exc_info is not None
    assert log[-1] == "http shutdown"


class Wrapper:
    def __init__(self, app: Any, attribute: str = "app") -> None:
        setattr(self, attribute, app)
        self.wrapped = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.wrapped(scope, receive, send)


@pytest.mark.parametrize("attribute", ["app", "inner"])
async def test_an_application_that_is_listed_twice_wrapped_or_not_is_started_once(attribute: str) -> None:
    log: list[str] = []
    site = App("site", log, state={"db": 1})
    router = ProtocolRouter(http=Wrapper(Wrapper(site), attribute), websocket=site, default=site)
    async with serving(router):
        for scope in (http_scope(), websocket_scope(), {"type": "other", "state": {}}):
            await call(router, scope)
            assert site.seen == {"db": 1}
    assert log == ["site startup", "site shutdown"]


async def test_a_wrapper_that_holds_itself_or_something_else_as_app_is_no_trap() -> None:
    log: list[str] = []
    first, second = App("first", log), App("second", log)
    first.app, second.app = first, "a name"  # type: ignore[attr-defined]
    third, fourth = App("third", log), App("fourth", log)
    third.app = fourth.app = None  # type: ignore[attr-defined]
    await run(ProtocolRouter({"third": third, "fourth": fourth}, http=first, websocket=second))
    assert log[:4] == ["third startup", "fourth startup", "first startup", "second startup"]


async def test_state_is_each_applications_own() -> None:
    log: list[str] = []
    http = App("http", log, state={"db": "http's", "only": 1})
    websocket = App("websocket", log, state={"db": "websocket's"})
    router = ProtocolRouter(http=http, websocket=websocket)
    scope = lifespan_scope(state={"outer": True})
    async with serving(router, scope):
        assert scope["state"] == {"outer": True}
        await call(router, http_scope(state={"outer": True}))
        await call(router, websocket_scope(state={"outer": True}))
    assert http.seen == {"outer": True, "db": "http's", "only": 1}
    assert websocket.seen == {"outer": True, "db": "websocket's"}


async def test_state_is_merged_into_the_dict_of_the_request_in_place_and_what_stands_there_wins() -> None:
    router = ProtocolRouter(http=App("http", [], state={"db": 1, "user": None}))
    state = {"user": "ann"}
    scope = http_scope(state=state)
    async with serving(router):
        await call(router, scope)
    assert scope["state"] is state
    assert state == {"user": "ann", "db": 1}


async def test_two_requests_do_not_share_what_they_write_into_the_state() -> None:
    router = ProtocolRouter(http=App("http", [], state={"db": 1}))
    first, second = http_scope(), http_scope()
    async with serving(router):
        await call(router, first)
        first["state"]["user"] = "ann"
        await call(router, second)
    assert second["state"] == {"db": 1}


@pytest.mark.parametrize("state", [None, [], "x", 5])
async def test_a_malformed_state_of_the_server_fails_nothing_and_is_left_as_it_is(state: Any) -> None:
    router = ProtocolRouter(http=App("http", [], state={"db": 1}))
    client = Client(STARTUP, SHUTDOWN)
    await router(lifespan_scope(state=state), client.receive, client.send)
    assert types(client.sent) == [STARTED, STOPPED]
    async with serving(router):
        scope = http_scope(state=state)
        assert await call(router, scope) == [START, BODY]
        assert scope["state"] is state


@pytest.mark.parametrize("state", [..., {}])
async def test_state_works_where_the_server_keeps_none(state: Any) -> None:
    app = App("http", [], state={"db": 1})
    router = ProtocolRouter(http=app)
    async with serving(router, {"type": "lifespan", "asgi": {"version": "3.0"}}):
        await call(router, http_scope(state=state))
    assert app.seen == {"db": 1}


async def test_without_a_running_lifespan_the_scope_stays_as_it_is() -> None:
    router = ProtocolRouter(http=App("http", [], state={"db": 1}))
    for _ in range(2):
        scope = http_scope(state=...)
        await call(router, scope)
        assert "state" not in scope
        await run(router)  # what it left is closed by now


async def test_an_application_that_left_nothing_finds_the_scope_as_it_is() -> None:
    router = ProtocolRouter(http=django, websocket=App("websocket", []))
    async with serving(router):
        for scope in (http_scope(state=...), websocket_scope(state=...)):
            await call(router, scope)
            assert "state" not in scope


async def test_what_an_application_adds_to_the_lifespan_scope_the_next_one_does_not_see() -> None:
    seen = []

    async def first(scope: Any, receive: Any, send: Any) -> None:
        scope["app"] = "first"
        scope["state"]["secret"] = 1
        raise ValueError

    async def second(scope: Any, receive: Any, send: Any) -> None:
        seen.append({key: value for key, value in scope.items() if key != RUNNING})

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
    await run(ProtocolRouter(http=first, websocket=second), scope=scope)
    assert seen == [{"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}]
    assert scope == {"type": "lifespan", "asgi": {"version": "3.0"}}


def test_two_servers_in_two_threads_each_have_their_own_state() -> None:
    app = App("http", [], state={})
    router = ProtocolRouter(http=app)
    both_run = threading.Barrier(2, timeout=5)
    seen = {}

    async def main(name: str) -> None:
        app.state = {"pool": name}
        async with serving(router):
            await anyio.to_thread.run_sync(both_run.wait)
            scope = http_scope()
            await call(router, scope)
            seen[name] = scope["state"]
            await anyio.to_thread.run_sync(both_run.wait)

    threads = [threading.Thread(target=anyio.run, args=(main, name)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join(10)
    assert seen == {"one": {"pool": "one"}, "two": {"pool": "two"}}


async def test_an_application_given_as_lifespan_is_the_only_one_that_takes_part() -> None:
    log: list[str] = []
    lifespan = Spy({"type": STARTED}, {"type": STOPPED})
    scope, client = lifespan_scope(), Client()
    router = ProtocolRouter(http=App("http", log), lifespan=lifespan)
    await router(scope, client.receive, client.send)
    assert lifespan.calls[0] == (scope, client.receive, client.send)
    assert lifespan.calls[0][0] is scope
    assert log == []
    again = ProtocolRouter({"http": App("http", log), "lifespan": lifespan})
    assert again.application_mapping["lifespan"] is lifespan


async def test_each_application_lives_in_one_task_from_start_to_stop() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        variable.set("inside")
        with anyio.CancelScope():  # must be left in the task that entered it
            await send({"type": STARTED})
            await receive()
            seen.append(variable.get())
        await send({"type": STOPPED})

    assert types(await run(ProtocolRouter(http=app))) == [STARTED, STOPPED]
    assert seen == ["inside"]
    assert variable.get() == "outside"


async def test_an_application_that_does_not_return_after_its_last_answer_is_ended() -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
        finally:
            ended.append(True)

    assert types(await run(ProtocolRouter(http=app))) == [STARTED, STOPPED]
    assert ended == [True]


async def test_the_server_may_cancel_it_at_any_time() -> None:
    log: list[str] = []
    router = ProtocolRouter(http=App("http", log), websocket=App("websocket", log))
    client = Client(STARTUP)
    with anyio.move_on_after(0.05) as cancelled:
        await router(lifespan_scope(), client.receive, client.send)
    assert cancelled.cancelled_caught
    assert log == ["http startup", "websocket startup"]


@pytest.mark.parametrize("failure", [OSError("server"), SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("broken", ["receive", "send"])
async def test_a_failure_of_the_server_comes_out_as_it_is(broken: str, failure: BaseException) -> None:

    class Server(Client):
        async def send(self, message: Any) -> None:
            if broken == "send":
                raise failure

        async def receive(self) -> Message:
            if broken == "receive" and self.received:
                raise failure
            return await super().receive()

    server = Server(STARTUP, SHUTDOWN)
    with pytest.raises(type(failure)) as caught:
        await ProtocolRouter(http=App("http", []))(lifespan_scope(), server.receive, server.send)
    assert caught.value is failure


@pytest.mark.parametrize("when", ["startup", "serving", "shutdown"])
async def test_a_task_that_an_application_cancels_and_awaits_ends_that_application_only(when: str) -> None:
    async def interrupted(scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "serving", "shutdown"):
            if event != "serving":
                await receive()
            if event == when:
                raise anyio.get_cancelled_exc_class()() if anyio_is_asyncio() else LookupError("not on trio")
            if event != "serving":
                await send({"type": f"lifespan.{event}.complete"})

    log: list[str] = []
    sent = await run(ProtocolRouter(http=App("http", log), websocket=interrupted), lint=False)
    if anyio_is_asyncio():
        event = "startup" if when == "startup" else "shutdown"
        assert sent[-1] == {"type": f"lifespan.{event}.failed", "message": "websocket: CancelledError()"}
    assert log == ["http startup", "http shutdown"]


def anyio_is_asyncio() -> bool:
    return sniffio.current_async_library() == "asyncio"


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("error", [SystemExit("no database"), KeyboardInterrupt()], ids=repr)
async def test_an_exception_that_ends_the_process_stops_the_others_first(error: BaseException, told: bool) -> None:
    async def exits(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if told:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise error

    log: list[str] = []
    client = Client(STARTUP)
    with pytest.raises(type(error)) as caught:
        await ProtocolRouter(http=App("http", log), websocket=exits)(lifespan_scope(), client.receive, client.send)
    assert caught.value is error
    assert types(client.sent) == ["lifespan.startup.failed"]
    assert "no database" in client.sent[0]["message"] or "KeyboardInterrupt" in client.sent[0]["message"]
    assert log == ["http startup", "http shutdown"]


async def test_an_application_whose_cleanup_fails_at_the_very_end_leaves_no_exception_group() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            try:
                for event in ("startup", "shutdown"):
                    await receive()
                    await send({"type": f"lifespan.{event}.complete"})
                await anyio.sleep_forever()
            finally:
                raise LookupError("cleanup")

    assert types(await run(ProtocolRouter(http=app), lint=False)) == [STARTED, STOPPED]


async def test_an_application_that_answers_late_is_stopped_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        async with anyio.create_task_group() as tasks:

            async def wait_for_shutdown() -> None:
                log.append((await receive())["type"])
                await send({"type": STOPPED})

            tasks.start_soon(wait_for_shutdown)
            await anyio.sleep(0.05)
            await send({"type": STARTED})

    router = ProtocolRouter(http=late)
    async with serving(router):
        await anyio.sleep(0.1)
    assert log == ["lifespan.shutdown"]
    assert not caplog.records


async def test_a_failure_that_comes_too_late_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with anyio.move_on_after(0.01):
            await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async with serving(ProtocolRouter(http=late)):
        await anyio.sleep(0.1)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "the application http failed to start: no database"


async def test_a_wrapper_that_lets_no_lifespan_through_does_not_hide_the_application() -> None:
    class WebSocketOnly(Wrapper):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "websocket":
                raise ValueError("only websockets")
            await super().__call__(scope, receive, send)

    log: list[str] = []
    site = App("site", log)
    await run(ProtocolRouter({"websocket": WebSocketOnly(site, "inner"), "http": site}))
    assert log == ["site startup", "site shutdown"]


async def test_distinct_applications_are_never_taken_for_one() -> None:
    class Framework(App):
        async def app(self, scope: Any, receive: Any, send: Any) -> None: ...

    log: list[str] = []
    await run(ProtocolRouter(http=Framework("a", log), websocket=Framework("b", log), default=Framework("c", log)))
    assert log[:3] == ["a startup", "b startup", "c startup"]


async def test_one_method_of_one_object_is_one_application() -> None:
    class Site(App):
        async def handle(self, scope: Any, receive: Any, send: Any) -> None:
            await self(scope, receive, send)

    log: list[str] = []
    site = Site("site", log)
    await run(ProtocolRouter(http=site.handle, websocket=site.handle))
    assert log == ["site startup", "site shutdown"]


def test_an_application_that_makes_up_its_attributes_can_be_wrapped() -> None:
    class Failing(App):
        @property
        def app(self) -> Any:
            raise RuntimeError

    class Slotted:
        __slots__ = ("app",)

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    ProtocolRouter(http=AsyncMock(), websocket=MagicMock(), default=Failing("x", []))
    ProtocolRouter(http=Slotted())


@pytest.mark.parametrize("broken", [True, False])
async def test_a_lifespan_leaves_no_garbage_cycle(broken: bool) -> None:
    app = App("http", [], fails="startup failed" if broken else "")
    router = ProtocolRouter(http=PathRouter({"/": app}), websocket=app)
    await run(router, lint=False, events=(STARTUP, SHUTDOWN))
    gc.collect()
    gc.disable()
    try:
        await run(router, lint=False, events=(STARTUP, SHUTDOWN))
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [one for one in gc.garbage if type(one).__module__.startswith("middleware")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not ours


async def test_nested_routers_are_one_participant_each() -> None:
    log: list[str] = []
    inner = ProtocolRouter(http=App("a", log, state={"db": 1}), default=App("b", log))
    router = ProtocolRouter(http=inner, websocket=App("c", log))
    await run(router)
    assert log == ["a startup", "b startup", "c startup", "c shutdown", "b shutdown", "a shutdown"]


async def test_an_application_in_several_routers_is_started_once_and_is_at_home_in_all() -> None:
    log: list[str] = []
    api, chat, site = (App(name, log, state={"db": name}) for name in ("api", "chat", "site"))
    router = ProtocolRouter(
        http=PathRouter({"/api": Wrapper(api), "/": HostRouter({"127.0.0.1": site}, default=api)}),
        websocket=Wrapper(PathRouter({"/chat": chat, "/api": Wrapper(Wrapper(api), "inner")})),
        default=api,
    )
    async with serving(router):
        for scope, app in (
            (http_scope("/api"), api),
            (http_scope("/"), site),
            (http_scope("/", headers=[]), api),
            (websocket_scope("/chat"), chat),
            (websocket_scope("/api"), api),
            ({"type": "other"}, api),
        ):
            app.seen = {}
            await call(router, scope)
            assert app.seen == {"db": app.name}
    assert log == [f"{name} startup" for name in ("api", "site", "chat")] + [
        f"{name} shutdown" for name in ("chat", "site", "api")
    ]


async def test_what_an_inner_router_has_started_it_stops_if_the_next_application_fails() -> None:
    log: list[str] = []
    api, failing = App("api", log), App("failing", log, fails="startup failed")
    inner = PathRouter({"/api": api, "/failing": failing})
    sent = await run(ProtocolRouter(http=api, websocket=inner, default=App("never", log)), events=(STARTUP,))
    assert sent == [{"type": "lifespan.startup.failed", "message": "websocket: /failing: no database"}]
    assert log == ["api startup", "failing startup", "api shutdown"]


async def test_an_application_that_was_stopped_with_a_router_is_started_again_for_another() -> None:
    log: list[str] = []
    api = App("api", log, state={"db": 1})
    inner = PathRouter({"/api": api, "/failing": App("failing", log, fails="startup failed")})

    async def swallows(scope: Any, receive: Any, send: Any) -> None:
        async def quiet(message: Message) -> None:
            if message["type"] != "lifespan.startup.failed":
                await send(message)

        await inner(scope, receive, quiet)

    await run(ProtocolRouter(http=swallows, websocket=api))
    assert log == ["api startup", "failing startup", "api shutdown", "api startup", "api shutdown"]


async def test_of_two_servers_in_one_loop_each_leaves_the_other_its_state() -> None:
    app = App("app", [], state={"db": 1})
    router = PathRouter({"/": app})
    async with serving(router):
        app.state = {"db": 2}
        for _ in range(2):
            async with serving(router):
                await call(router, http_scope())
                assert app.seen == {"db": 2}
            await call(router, http_scope())
            assert app.seen == {"db": 1}
    await call(router, http_scope(state={}))
    assert app.seen == {}


async def test_an_application_without_lifespan_is_offered_it_once() -> None:
    offered = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        offered.append(scope["type"])
        raise ValueError

    await run(PathRouter({"/a": site, "/b": site, "/c": Wrapper(site)}))
    assert offered == ["lifespan"] * 2  # itself, and through the wrapper


async def test_an_application_that_asks_for_a_third_event_waits() -> None:
    asked = []

    async def curious(scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "shutdown"):
            asked.append((await receive())["type"])
            await send({"type": f"lifespan.{event}.complete"})
        asked.append((await receive())["type"])

    assert types(await run(PathRouter({"/": curious}), lint=False)) == [STARTED, STOPPED]
    assert asked == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_router_that_stands_in_two_places_is_started_once() -> None:
    log: list[str] = []
    inner = PathRouter({"/api": App("api", log)})
    await run(ProtocolRouter(http=inner, websocket=Wrapper(inner)))
    assert log == ["api startup", "api shutdown"]


@pytest.mark.parametrize("event", ["startup", "shutdown"])
async def test_a_hang_is_told_with_the_name_of_the_application_and_waited_for(
    event: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant, "_PATIENCE", 0.02)
    log: list[str] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async def delayed() -> Message:
            message: Message = await receive()
            if message["type"] == f"lifespan.{event}":
                await anyio.sleep(0.1)
            return message

        await App("slow", log)(scope, delayed, send)

    assert types(await run(PathRouter({"/fast": App("fast", log), "/slow": slow}))) == [STARTED, STOPPED]
    assert log == ["fast startup", "slow startup", "slow shutdown", "fast shutdown"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("middleware", logging.WARNING)
    assert record.getMessage() == f"still waiting for the application /slow to answer lifespan.{event}"


async def test_it_can_be_started_again() -> None:
    log: list[str] = []
    router = ProtocolRouter(http=App("http", log, state={"db": 1}))
    await run(router)
    await run(router)
    assert log == ["http startup", "http shutdown"] * 2


BEHAVIOURS = {
    "starts": {},
    "raises": {"fails": "startup raises"},
    "fails": {"fails": "startup failed"},
    "crashes": {"fails": "after startup"},
    "stop fails": {"fails": "shutdown failed"},
    "stop raises": {"fails": "shutdown raises"},
    "django": None,
    "websocket": None,
}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*BEHAVIOURS]), min_size=1, max_size=5))
def test_any_mixture_of_applications_is_started_and_stopped_as_the_rules_say(behaviours: list[str]) -> None:
    log: list[str] = []
    mapping = {
        f"app{number}": Wrapper(django if one == "django" else waits_for_its_own_messages)
        if BEHAVIOURS[one] is None
        else App(f"app{number}", log, **BEHAVIOURS[one])  # type: ignore[arg-type]
        for number, one in enumerate(behaviours)
    }
    failed = behaviours.index("fails") if "fails" in behaviours else len(behaviours)
    heard = [number for number, one in enumerate(behaviours[: failed + 1]) if BEHAVIOURS[one] is not None]
    running = [number for number in heard if behaviours[number] not in ("raises", "fails")]
    stopped = [number for number in reversed(running) if behaviours[number] != "crashes"]
    broken = [number for number in reversed(running) if behaviours[number] != "starts"]

    sent = anyio.run(functools.partial(run, ProtocolRouter(mapping), lint=False))

    assert log == [f"app{number} startup" for number in heard] + [f"app{number} shutdown" for number in stopped]
    if failed < len(behaviours):
        (answer,) = sent
        assert answer["type"] == "lifespan.startup.failed"
        broken.insert(0, failed)
    else:
        assert sent[0] == {"type": STARTED}
        answer = sent[1]
        assert answer["type"] == ("lifespan.shutdown.failed" if broken else STOPPED)
    named = [part.partition(":")[0] for part in answer.get("message", "").split("; ") if part]
    assert named == [f"app{number}" for number in broken]


TREES = st.recursive(
    st.integers(0, 3),
    lambda children: st.tuples(
        st.sampled_from([PathRouter, HostRouter, Wrapper]), st.lists(children, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=3), st.none() | st.integers(0, 3))
def test_in_any_tree_of_routers_each_application_is_started_once_in_order_and_stopped_in_reverse(
    trees: list[Any], failing: int | None
) -> None:
    log: list[str] = []
    apps = [App(f"app{number}", log, fails="startup failed" * (number == failing)) for number in range(4)]
    first_seen: dict[str, None] = {}

    def built(tree: Any) -> Any:
        if isinstance(tree, int):
            first_seen[f"app{tree}"] = None
            return apps[tree]
        cls, children = tree
        if cls is Wrapper:
            return Wrapper(built(children[0]))
        prefix = "/" if cls is PathRouter else "host"
        return cls({f"{prefix}{number}": built(child) for number, child in enumerate(children)})

    router = ProtocolRouter({f"type{number}": built(tree) for number, tree in enumerate(trees)})
    sent = anyio.run(functools.partial(run, router))

    order = [*first_seen]
    if failing is not None and f"app{failing}" in order:
        order = order[: order.index(f"app{failing}") + 1]
        assert types(sent) == ["lifespan.startup.failed"]
        assert sent[0]["message"].endswith("no database")
    else:
        assert types(sent) == [STARTED, STOPPED]
    stopped = [name for name in reversed(order) if name != f"app{failing}"]
    assert log == [f"{name} startup" for name in order] + [f"{name} shutdown" for name in stopped]
