"""One lifespan for several applications.

A server starts one application; a router stands for several. Each distinct application is started in declared
order and stopped in reverse order, in a task of its own that lasts as long as the server does (cancel scopes and
context variables must be left where they were entered). An application that does not know the protocol, such as
Django's, is left alone: the server hears ``lifespan.startup.complete`` all the same, and logs nothing.

An application that stands in several places is started once, also across routers inside routers: the outermost
one hands on a list of what runs, in the scope.

What an application leaves in ``state`` is its own: it finds it in its requests, the others do not.

Spec: ASGI Lifespan Protocol 2.0.
"""

from __future__ import annotations

import inspect
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from .._asgi import application_problem
from .participant import Participant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anyio.abc import TaskGroup

    from .._asgi import ASGIApp, Receive, Scope, Send

_Running = list[tuple[Any, Participant]]
_States = dict[str, dict[str, Any]]
RUNNING = "middleware.lifespan"
"""Key of a lifespan scope: the applications that run already, each with its participant."""


class _Application(NamedTuple):
    """A distinct application: what the router calls it, and the wrappers through which it can be reached."""

    itself: Any
    names: list[str]
    ways: list[ASGIApp]


class Lifespan:
    """Start and stop several applications as one; an ASGI application for ``lifespan`` scopes.

    Args:
        apps: The applications by the name that the router gives them, in the order in which they start; one that
            stands there twice, wrapped or not, is started through the first wrapper that lets a lifespan through.

    Attributes:
        running: The event loops in which the applications run.
        states: For each thread, what the applications left in their state, by name, in each lifespan that it runs
            now, of which the newest counts; empty while nobody left anything.
    """

    __slots__ = ("_applications", "running", "states")

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._applications: list[_Application] = []
        for name, app in apps.items():
            itself = innermost(app)
            known = next((one for one in self._applications if _same(one.itself, itself)), None)
            if known is None:
                self._applications.append(_Application(itself, [name], [app]))
                continue
            known.names.append(name)
            if not any(_same(way, app) for way in known.ways):
                known.ways.append(app)
        self.running: set[EventLoopToken] = set()
        self.states: dict[int | None, list[_States]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        shared = scope.get(RUNNING)
        if isinstance(shared, list):
            return await self._run(scope, shared, receive, send)
        shared = []
        try:
            await self._run({**scope, RUNNING: shared}, shared, receive, send)
        finally:
            shared.clear()  # those in it have the scope that has it: a garbage cycle

    async def _run(self, scope: Scope, shared: _Running, receive: Receive, send: Send) -> None:
        participants: list[Participant] = []
        states: _States = {}
        loop = current_token()
        error: BaseException | None = None
        event, failures = "startup", []
        async with anyio.create_task_group() as tasks:
            try:
                failures = await self._start(tasks, scope, shared, participants, states)
                if not failures:
                    self.running.add(loop)
                    await send({"type": "lifespan.startup.complete"})
                    await receive()  # lifespan.shutdown
                    event = "shutdown"
                failures += await _stop(participants)
            except (Exception, SystemExit, KeyboardInterrupt) as server_error:
                error = server_error  # raised below: the task group would wrap it in an ExceptionGroup
            finally:
                self.running.discard(loop)
                self._forget(states)
            tasks.cancel_scope.cancel()  # an application need not return after its last answer

        # The last word comes when every task has ended: a server that has heard it cancels what is left.
        try:
            if error is not None:
                raise error
            if failures:
                await send({"type": f"lifespan.{event}.failed", "message": "; ".join(failures)})
            else:
                await send({"type": "lifespan.shutdown.complete"})
            for participant in participants:
                if participant.fatal is not None:
                    raise participant.fatal
        finally:
            del error  # an exception that is raised holds this frame: a garbage cycle

    async def _start(
        self,
        tasks: TaskGroup,
        scope: Scope,
        shared: _Running,
        participants: list[Participant],
        states: _States,
    ) -> list[str]:
        """Start one application after the other, until one fails: its failure is returned."""
        for application in self._applications:
            running = next((one for itself, one in shared if one.runs and _same(itself, application.itself)), None)
            for way in application.ways if running is None else ():
                participant = Participant(application.names, way, scope)
                participants.append(participant)
                await participant.start(tasks)
                if participant.started:
                    running = participant
                    shared.append((application.itself, participant))
                    break
                if participant.failure is not None:
                    return [participant.failure]
            if running is not None and running.state:
                if not states:
                    self.states.setdefault(get_ident(), []).append(states)
                states.update(dict.fromkeys(application.names, running.state))
        return []

    def _forget(self, states: _States) -> None:
        left = [other for other in self.states.pop(get_ident(), ()) if other is not states]
        if left:
            self.states[get_ident()] = left


async def _stop(participants: Sequence[Participant]) -> list[str]:
    """Stop those that have started, the last one first; return their failures."""
    started = [participant for participant in reversed(participants) if participant.started]
    for participant in started:
        await participant.stop()
    return [participant.failure for participant in started if participant.failure is not None]


def innermost(app: Any) -> Any:
    """The application that is wrapped: Starlette's and our classes keep it as ``app``, Channels' as ``inner``."""
    seen = [app]
    while True:
        inner = _kept(app, "app") or _kept(app, "inner")
        if inner is None or application_problem("app", inner[0]) or any(inner[0] is one for one in seen):
            return app
        seen.append(app := inner[0])


def _kept(app: Any, name: str) -> tuple[Any] | None:
    """What the object itself keeps under ``name``; methods, properties and made-up attributes are not kept."""
    own = name in getattr(app, "__dict__", ()) or inspect.ismemberdescriptor(inspect.getattr_static(app, name, None))
    return (getattr(app, name),) if own and hasattr(app, name) else None


def _same(one: Any, other: Any) -> bool:
    return one is other or (inspect.ismethod(one) and inspect.ismethod(other) and one == other)
