"""Who starts the applications of a router: the server, the first connection, one application for all, or nobody.

Some servers send no lifespan: daphne, uvicorn with ``--lifespan off``. A router that has reason to think that its
applications wait for one says so once, with the line that mends it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from anyio.lowlevel import EventLoopToken, current_token

from .lifespan import Lifespan, innermost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._asgi import ASGIApp, Message, Receive, Scope, Send

_logger = logging.getLogger("middleware")

_UNHEARD = None  # the mark, a key that is no thread's
_WITHOUT_LIFESPAN = ("asgiref", "channels", "django", "gingerdj")


class Starter:
    """The ASGI application of a router for ``lifespan`` scopes, and what precedes its other connections.

    Args:
        owner: The class of the router.
        apps: The router's applications by the name that it gives them, in the order in which they start.
        choice: None for all applications when the server starts, ``"lazy"`` for all when the first connection
            comes, an application for that one alone, False for none: the router says that it knows no lifespan.

    Attributes:
        app: The application for ``lifespan`` scopes.
        states: Those of the lifespan, and a mark while no server has sent one; empty while there is nothing to do
            before a connection, else ``before`` must be awaited.
        needing: The names of the applications that may wait for a lifespan of the server.
    """

    __slots__ = ("_late", "_lazy", "_lifespan", "_nested", "_owner", "app", "needing", "states")

    def __init__(
        self, owner: str, apps: Mapping[str, ASGIApp], choice: ASGIApp | Literal["lazy", False] | None
    ) -> None:
        inner = {name: innermost(app) for name, app in apps.items()}
        self._owner = owner
        self._nested = [app._starter for app in inner.values() if isinstance(getattr(app, "_starter", None), Starter)]
        self._lazy = isinstance(choice, str)
        self._late: dict[EventLoopToken, _Late] = {}
        self.needing: list[str] = []
        if choice is None or isinstance(choice, str):
            self.app: ASGIApp = self
            self._lifespan = Lifespan(apps)
            if choice is None:
                self.needing += [name for name, app in inner.items() if _may_need_a_lifespan(app)]
        else:
            self.app = _declining if choice is False else choice
            self._lifespan = Lifespan({})
        self.states = self._lifespan.states
        if choice is not None or self.needing:
            self.states[_UNHEARD] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._lazy:
            self.states.pop(_UNHEARD, None)
        await self._lifespan(scope, receive, send)

    async def before(self, name: str, scope: Scope) -> None:
        """Do what precedes a connection to the application ``name``: start all, or say that nobody does; share state.

        What the application left in its state at start-up is put into the state of the request, in place. Servers
        give each request a dict of its own, a shallow copy of the lifespan's, that middleware further out writes to
        and reads from: what stands there already wins.
        """
        if _UNHEARD in self.states:
            if self._lazy:
                await self._start()
            else:
                self._warn()
        running = self.states.get(get_ident())
        state = running[-1].get(name) if running else None
        if state is None:
            return
        received = scope.setdefault("state", {})
        if isinstance(received, dict):
            for key, value in state.items():
                received.setdefault(key, value)

    def _warn(self) -> None:
        if self.states.pop(_UNHEARD, None) is None:
            return  # another thread was first
        self._hush()
        if self.needing:
            _logger.warning(
                "the server sends no lifespan, and %s may need one to start: write %s(..., lifespan='lazy'), "
                "or lifespan=False if not",
                ", ".join(map(repr, self.needing)),
                self._owner,
            )

    def _hush(self) -> None:
        """One warning is enough: the outermost router speaks for those inside it."""
        for starter in self._nested:
            if not starter._lazy:
                starter.states.pop(_UNHEARD, None)
                starter._hush()

    async def _start(self) -> None:
        """Start all applications unless they run in this event loop, or wait for a connection that is at it."""
        loop = current_token()
        if loop in self._lifespan.running:
            return
        late = self._late.get(loop)
        if late is None:
            late = self._late[loop] = _start_in_the_background(self._lifespan)
            late.task.add_done_callback(lambda _: self._late.pop(loop))
        message = await asyncio.shield(late.answer)  # a connection that is cancelled takes no other with it
        if message["type"] != "lifespan.startup.complete":
            raise RuntimeError(f"{self._owner}: the start-up failed: {message.get('message', '')}")


class _Late(NamedTuple):
    """A lifespan that no server runs: the task, which nobody else would keep, and the answer to its start-up."""

    task: asyncio.Task[None]
    answer: asyncio.Future[Message]


def _start_in_the_background(lifespan: Lifespan) -> _Late:
    """Play the server that starts ``lifespan`` and never stops it."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("lifespan='lazy' needs asyncio: on trio, only a server can start applications") from None
    answer: asyncio.Future[Message] = loop.create_future()
    events = [{"type": "lifespan.startup"}]

    async def receive() -> Message:
        if not events:
            await loop.create_future()
        return events.pop()

    async def send(message: Message) -> None:
        if not answer.done():
            answer.set_result(message)

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if not answer.done():
            answer.set_result({"type": "lifespan.startup.failed", "message": repr(error)})

    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
    # In a context of its own: the applications outlive the connection that starts them.
    task = loop.create_task(lifespan(scope, receive, send), context=Context())
    task.add_done_callback(ended)
    return _Late(task, answer)


def _may_need_a_lifespan(app: Any) -> bool:
    """Whether ``app`` has a lifespan for all that is known; functions rarely do, Django and Channels never."""
    if isinstance(starter := getattr(app, "_starter", None), Starter):
        return bool(starter.needing)
    return not inspect.isfunction(app) and type(app).__module__.partition(".")[0] not in _WITHOUT_LIFESPAN


async def _declining(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("lifespan=False: no application takes part in the server's start and stop")
