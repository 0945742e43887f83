"""One lifespan for several applications.

A server starts one application; a router stands for several. Each distinct application is started in declared
order and stopped in reverse order, in a task of its own that lasts as long as the server does (cancel scopes and
context variables must be left where they were entered). An application that does not know the protocol, such as
Django's, is left alone: the server hears ``lifespan.startup.complete`` all the same, and logs nothing.

What an application leaves in ``state`` is its own: it finds it in its requests, the others do not.

Spec: ASGI Lifespan Protocol 2.0.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio

from .._asgi import application_problem, call_with_copy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anyio.abc import TaskGroup

    from .._asgi import ASGIApp, Message, Receive, Scope, Send

_logger = logging.getLogger("middleware")


class Lifespan:
    """Start and stop several applications as one; an ASGI application for ``lifespan`` scopes.

    Args:
        apps: The applications by the name that the router gives them, in the order in which they start. An
            application that stands there twice, wrapped or not, is started once, through the first of the two.

    Attributes:
        states: By name, what the application left in its ``state`` at start-up.
    """

    __slots__ = ("_distinct", "states")

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        distinct: dict[int, tuple[list[str], ASGIApp]] = {}
        for name, app in apps.items():
            names, _ = distinct.setdefault(id(_innermost(app)), ([], app))
            names.append(name)
        self._distinct = [*distinct.values()]
        self.states: dict[str, dict[str, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure = None
        async with anyio.create_task_group() as tasks:
            try:
                await self._serve(tasks, scope, receive, send)
            except Exception as error:  # raised below: the task group would wrap it in an ExceptionGroup
                failure = error
            tasks.cancel_scope.cancel()  # an application need not return after its last answer
        if failure is not None:
            raise failure

    async def _serve(self, tasks: TaskGroup, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        running: list[_Participant] = []
        for names, app in self._distinct:
            participant = _Participant(names, app, scope)
            tasks.start_soon(participant.run)
            await participant.answered.wait()
            if participant.started:
                running.append(participant)
                self.states.update(dict.fromkeys(names, participant.state))
            elif participant.failure is not None:
                failures = [participant.failure, *await _stop(running)]
                await send({"type": "lifespan.startup.failed", "message": "; ".join(failures)})
                return
        await send({"type": "lifespan.startup.complete"})

        await receive()  # lifespan.shutdown
        failures = await _stop(running)
        if failures:
            await send({"type": "lifespan.shutdown.failed", "message": "; ".join(failures)})
        else:
            await send({"type": "lifespan.shutdown.complete"})


class _Participant:
    """One application in its task: a server to the application, an application to the router."""

    __slots__ = (
        "_app",
        "_asked",
        "_level",
        "_name",
        "_scope",
        "_shutdown",
        "answered",
        "ended",
        "failure",
        "started",
        "state",
    )

    def __init__(self, names: Sequence[str], app: ASGIApp, scope: Scope) -> None:
        self._name = names[0]
        # Who writes an application for websockets alone does not expect another protocol: its failure is no news.
        self._level = logging.DEBUG if [*names] == ["websocket"] else logging.WARNING
        self._app = app
        self._scope = scope
        self._asked = 0
        self._shutdown = anyio.Event()
        self.state: dict[str, Any] = {**(scope.get("state") or {})}
        self.started = False
        self.failure: str | None = None
        self.answered = anyio.Event()
        self.ended = anyio.Event()

    async def run(self) -> None:
        try:
            await call_with_copy(self._app, self._scope, self._next_event, self._answer, [("state", self.state)])
        except Exception as error:
            self._explain(error)
        finally:
            self.answered.set()
            self.ended.set()

    async def stop(self) -> None:
        self._shutdown.set()
        await self.ended.wait()

    async def _next_event(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        self.answered.set()  # who asks for more without an answer does not know the protocol
        await self._shutdown.wait()
        if self._asked > 2:
            await anyio.sleep_forever()
        return {"type": "lifespan.shutdown"}

    async def _answer(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self.started = True
                self.answered.set()
            case "lifespan.startup.failed":
                self._fail(message.get("message", ""))
                self.answered.set()
            case "lifespan.shutdown.complete":
                self.ended.set()
            case "lifespan.shutdown.failed":
                self._fail(message.get("message", ""))
                self.ended.set()
            case other:
                raise _NoLifespan(f"{other!r} is no answer to a lifespan event")

    def _explain(self, error: Exception) -> None:
        if self.failure is not None or isinstance(error, _NoLifespan):
            return  # frameworks raise what they have just reported
        if self.started:
            _logger.error("the application %s failed in its lifespan", self._name, exc_info=error)
            self._fail(repr(error))
        elif self._asked:
            # Still "does not support lifespan" to the spec, but every server loses this traceback.
            text = "the application %s runs without lifespan, its start-up raised"
            _logger.log(self._level, text, self._name, exc_info=error)

    def _fail(self, message: str) -> None:
        self.failure = f"{self._name}: {message}"


class _NoLifespan(Exception):
    """The application answers a lifespan event in another protocol: it looks at messages, not at the scope."""


async def _stop(running: Sequence[_Participant]) -> list[str]:
    for participant in reversed(running):
        await participant.stop()
    return [participant.failure for participant in reversed(running) if participant.failure is not None]


def share_state(state: Mapping[str, Any], scope: Scope) -> None:
    """Put what an application left in its lifespan's state into the state of a request, in place.

    Servers give each request a dict of its own, a shallow copy of the lifespan's, that middleware further out writes
    to and reads from: what stands there already wins.
    """
    received = scope.get("state")
    if received is None:
        received = scope["state"] = {}
    for key, value in state.items():
        received.setdefault(key, value)


def _innermost(app: Any) -> Any:
    """The application that is wrapped: Starlette's and our classes keep it as ``app``, Channels' as ``inner``."""
    seen = [app]
    while True:
        inner = getattr(app, "app", None) or getattr(app, "inner", None)
        if application_problem("app", inner) or any(inner is one for one in seen):
            return app
        seen.append(app := inner)
