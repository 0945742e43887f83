"""One application in a lifespan: a server to the application, an application to the router."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from .._asgi import ASGIApp, Message, Scope

_logger = logging.getLogger("middleware")

_PATIENCE = 5  # seconds
_NOT_MY_PROTOCOL = (AssertionError, KeyError, NotImplementedError, TypeError, ValueError)


class Participant:
    """An application that is run in a task of its own, from the server's start to its end.

    Args:
        names: What the router calls the application.
        app: The application.
        scope: The server's lifespan scope; the application gets a copy with a ``state`` of its own.

    Attributes:
        started: Whether the answer was that it has started.
        failure: What went wrong, with the name of the application; None if nothing did.
        fatal: An exception that is to end the process, for the server to hear of.
        state: What the application keeps for its requests.
    """

    def __init__(self, names: Sequence[str], app: ASGIApp, scope: Scope) -> None:
        self._names = names
        self._app = app
        self._scope = scope
        self._asked = 0
        self._shutdown = anyio.Event()
        self._ended = anyio.Event()
        self._answered = anyio.Event()
        self.started = False
        self.failure: str | None = None
        self.fatal: BaseException | None = None
        given = scope.get("state")
        self.state: dict[str, Any] = {**given} if isinstance(given, dict) else {}

    async def start(self, tasks: TaskGroup) -> None:
        """Run the application in a task of its own; return when it has answered."""
        tasks.start_soon(self._run)
        await self._wait(self._answered, "lifespan.startup")

    async def _run(self) -> None:
        """Run the application; whatever it raises is reported, nothing comes out but a cancellation from outside."""
        cancelled = anyio.get_cancelled_exc_class()
        try:
            # What it adds to this scope is nobody's: the next application must not see it.
            await self._app({**self._scope, "state": self.state}, self._next_event, self._answer)
        except (Exception, BaseExceptionGroup, SystemExit, KeyboardInterrupt, cancelled) as error:
            if isinstance(error, cancelled) and _is_cancelled():
                raise
            self._explain(error)
        finally:
            self._answered.set()
            self._ended.set()

    @property
    def runs(self) -> bool:
        """Whether it has started and has not ended."""
        return self.started and not self._ended.is_set()

    async def stop(self) -> None:
        """Tell the application to shut down and wait until it has."""
        self._shutdown.set()
        await self._wait(self._ended, "lifespan.shutdown")

    async def _wait(self, event: anyio.Event, asked: str) -> None:
        with anyio.move_on_after(_PATIENCE):
            return await event.wait()
        # The server waits too, and most of them say nothing.
        _logger.warning("still waiting for the application %s to answer %s", self._names[0], asked)
        await event.wait()

    async def _next_event(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        self._answered.set()  # who asks for more without an answer does not know the protocol
        await self._shutdown.wait()
        if self._asked > 2:
            await anyio.sleep_forever()
        return {"type": "lifespan.shutdown"}

    async def _answer(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self.started = True
                self._answered.set()
            case "lifespan.startup.failed":
                self._fail(message.get("message", ""))
                if self._answered.is_set():  # too late to stop the server
                    _logger.error("the application %s failed to start: %s", self._names[0], message.get("message", ""))
                self._answered.set()
            case "lifespan.shutdown.complete":
                self._ended.set()
            case "lifespan.shutdown.failed":
                self._fail(message.get("message", ""))
                self._ended.set()
            case other:
                raise _NoLifespan(f"{other!r} is no answer to a lifespan event")

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, SystemExit | KeyboardInterrupt):
            self.fatal = error
        if self.failure is not None or isinstance(error, _NoLifespan):
            return  # frameworks raise what they have just reported
        if self.started:
            _logger.error("the application %s failed in its lifespan", self._names[0], exc_info=error)
            self._fail(repr(error))
        elif not isinstance(error, Exception):
            self._fail(repr(error))
        elif self._asked:
            # Still "does not support lifespan" to the spec, but every server loses this traceback. Who writes for
            # websockets alone expects no other protocol: that it fails on the scope or the message is no news.
            expected = [*self._names] == ["websocket"] and isinstance(error, _NOT_MY_PROTOCOL)
            level = logging.DEBUG if expected else logging.WARNING
            text = "the application %s runs without lifespan, its start-up raised"
            _logger.log(level, text, self._names[0], exc_info=error)

    def _fail(self, message: str) -> None:
        self.failure = f"{self._names[0]}: {message}"


def _is_cancelled() -> bool:
    """Whether this task is cancelled: on asyncio, an application that awaits a task of its own may raise the same."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True  # trio
    return task is not None and task.cancelling() > 0


class _NoLifespan(Exception):
    """The application answers a lifespan event in another protocol: it looks at messages, not at the scope."""
