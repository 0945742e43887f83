"""What the request log says: a logger that nobody else has, a logging that nobody has configured, servers that fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import anyio

from middleware.request_log import RequestLogMiddleware, RequestRecord
from tests.asgi import Client

_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime"}
_SERVERS = ("uvicorn.access", "hypercorn.access", "_granian.access", "gunicorn.access")


class Heard(logging.Handler):
    """A handler that keeps what it is given."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.records]


class Told:
    """A ``RequestLogMiddleware`` around ``app``, with all that it says of requests."""

    def __init__(self, app: Any, **keywords: Any) -> None:
        self.handler = Heard()
        self.logger = logging.Manager(logging.RootLogger(logging.DEBUG)).getLogger("requests")
        self.logger.addHandler(self.handler)
        self.records: list[RequestRecord] = []
        self.app = RequestLogMiddleware(app, logger=self.logger, **{"format": self._keep, **keywords})

    def _keep(self, record: RequestRecord) -> str:
        self.records.append(record)
        return "a request"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    @property
    def logged(self) -> list[logging.LogRecord]:
        return [record for record in self.handler.records if record.name == "requests"]

    @property
    def line(self) -> str:
        """The message of the one record."""
        (record,) = self.logged
        return record.getMessage()

    @property
    def level(self) -> str:
        """The level of the one record."""
        (record,) = self.logged
        return record.levelname

    @property
    def fields(self) -> dict[str, Any]:
        """What the one record has beyond any record of ``logging``."""
        (record,) = self.logged
        return fields(record)

    @property
    def record(self) -> RequestRecord:
        (record,) = self.records
        return record


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run what never waits, without an event loop, in a context of its own as a server would."""
    try:
        copy_context().run(coroutine.send, None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def request(app: Any, scope: Any, *messages: Any) -> None:
    """Call ``app`` with a server that never waits; ``messages`` are all that it receives."""
    script = iter(messages)

    async def receive() -> Any:
        return next(script)

    async def send(message: Any) -> None: ...

    run(app(scope, receive, send))


class Server(Client):
    """A scripted client; from the message ``lost_after`` on, ``send`` raises as servers do whose client has left."""

    def __init__(self, *events: Any, lost_after: int | None = None) -> None:
        super().__init__(*events)
        self.lost_after = lost_after
        self.error = ConnectionResetError("the client has left")

    async def send(self, message: Any) -> None:
        if self.lost_after is not None and len(self.sent) >= self.lost_after:
            await anyio.lowlevel.checkpoint()
            raise self.error
        await super().send(message)


@contextmanager
def unconfigured() -> Iterator[None]:
    """Logging as Python starts with it: no handlers, no loggers, levels as they are."""
    root, manager = logging.root, logging.root.manager
    before = root.handlers, root.level, root.disabled, manager.disable, manager.loggerDict, logging._handlerList
    root.handlers, manager.loggerDict, logging._handlerList = [], {}, []
    root.setLevel(logging.WARNING)
    manager.disable = logging.NOTSET
    try:
        yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers, level, root.disabled, manager.disable, manager.loggerDict, logging._handlerList = before
        root.setLevel(level)


def script(*steps: Any) -> Callable[[Any, Any, Any], Coroutine[Any, Any, None]]:
    """An application that sends each dictionary, raises each exception and calls each function with ``receive``."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            await (send(step) if isinstance(step, dict) else step(receive))

    return app


async def read(receive: Any) -> None:
    """Receive one message."""
    await receive()
