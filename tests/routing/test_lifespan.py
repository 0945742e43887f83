"""One server, several applications: started in order, stopped in reverse, each by itself."""

from __future__ import annotations

import contextvars
import logging
from typing import Any

import anyio
import pytest

from middleware import ProtocolRouter
from middleware.lint import LintMiddleware
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
            self.seen = dict(scope.get("state", {}))
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


async def run(router: Any, *, scope: Any = None, events: tuple[Message, ...] = (STARTUP, SHUTDOWN)) -> list[Message]:
    client = Client(*events)
    with anyio.fail_after(5):
        await LintMiddleware(router, strict=True)(scope or lifespan_scope(), client.receive, client.send)
    return client.sent


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
    await run(ProtocolRouter(http=reads_the_path))
    assert [record.levelno for record in caplog.records if record.levelno >= logging.INFO] == [logging.WARNING]


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
    await run(router)
    assert log == ["site startup", "site shutdown"]
    for scope in (http_scope(), websocket_scope(), {"type": "other", "state": {}}):
        await call(router, scope)
        assert site.seen == {"db": 1}


async def test_a_wrapper_that_holds_itself_or_something_else_as_app_is_no_trap() -> None:
    log: list[str] = []
    first, second = App("first", log), App("second", log)
    first.app, second.app = first, "a name"  # type: ignore[attr-defined]
    await run(ProtocolRouter(http=first, websocket=second))
    assert log[:2] == ["first startup", "second startup"]


async def test_state_is_each_applications_own() -> None:
    log: list[str] = []
    http = App("http", log, state={"db": "http's", "only": 1})
    websocket = App("websocket", log, state={"db": "websocket's"})
    router = ProtocolRouter(http=http, websocket=websocket)
    scope = lifespan_scope(state={"outer": True})
    await run(router, scope=scope)
    assert scope["state"] == {"outer": True}

    await call(router, http_scope(state={"outer": True}))
    await call(router, websocket_scope(state={"outer": True}))
    assert http.seen == {"outer": True, "db": "http's", "only": 1}
    assert websocket.seen == {"outer": True, "db": "websocket's"}


async def test_state_is_merged_into_the_dict_of_the_request_in_place_and_what_stands_there_wins() -> None:
    router = ProtocolRouter(http=App("http", [], state={"db": 1, "user": None}))
    await run(router)
    state = {"user": "ann"}
    scope = http_scope(state=state)
    await call(router, scope)
    assert scope["state"] is state
    assert state == {"user": "ann", "db": 1}


async def test_two_requests_do_not_share_what_they_write_into_the_state() -> None:
    router = ProtocolRouter(http=App("http", [], state={"db": 1}))
    await run(router)
    first, second = http_scope(), http_scope()
    await call(router, first)
    first["state"]["user"] = "ann"
    await call(router, second)
    assert second["state"] == {"db": 1}


@pytest.mark.parametrize("state", [..., {}, None])
async def test_state_works_where_the_server_keeps_none(state: Any) -> None:
    app = App("http", [], state={"db": 1})
    router = ProtocolRouter(http=app)
    await run(router, scope={"type": "lifespan", "asgi": {"version": "3.0"}})
    await call(router, http_scope(state=state))
    assert app.seen == {"db": 1}


async def test_without_a_lifespan_the_scope_stays_as_it_is() -> None:
    scope = http_scope(state=...)
    await call(ProtocolRouter(http=App("http", [], state={"db": 1})), scope)
    assert "state" not in scope


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


@pytest.mark.parametrize("broken", ["receive", "send"])
async def test_a_failure_of_the_server_comes_out_as_it_is(broken: str) -> None:
    failure = OSError("server")

    class Server(Client):
        async def send(self, message: Any) -> None:
            if broken == "send":
                raise failure

        async def receive(self) -> Message:
            if broken == "receive" and self.received:
                raise failure
            return await super().receive()

    server = Server(STARTUP, SHUTDOWN)
    with pytest.raises(OSError) as caught:
        await ProtocolRouter(http=App("http", []))(lifespan_scope(), server.receive, server.send)
    assert caught.value is failure


async def test_nested_routers_are_one_participant_each() -> None:
    log: list[str] = []
    inner = ProtocolRouter(http=App("a", log, state={"db": 1}), default=App("b", log))
    router = ProtocolRouter(http=inner, websocket=App("c", log))
    await run(router)
    assert log == ["a startup", "b startup", "c startup", "c shutdown", "b shutdown", "a shutdown"]


async def test_it_can_be_started_again() -> None:
    log: list[str] = []
    router = ProtocolRouter(http=App("http", log, state={"db": 1}))
    await run(router)
    await run(router)
    assert log == ["http startup", "http shutdown"] * 2
