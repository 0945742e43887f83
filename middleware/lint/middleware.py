"""Stand between a server and an application and tell which of them breaks the ASGI specification.

Nothing goes over the wire differently while both keep the rules. A message with a fault of the application is not
passed on: the application's own ``await send(...)`` raises :class:`LintError` where the message was made.

    application = LintMiddleware(application)

Spec: ASGI 3.0, HTTP & WebSocket 2.5, Lifespan 2.0, TLS 0.2 and the published extensions.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio

from .._asgi import application_problem, call_with_copy
from .._errors import Problem, refuse
from .conversations import HTTP, Conversation, Lifespan, WebSocket
from .errors import LintError
from .rules import Fault, fault
from .shapes import RECEIVED, SCOPES, SENT, Message, scope_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .._asgi import ASGIApp, Receive, Scope, Send

_logger = logging.getLogger("middleware.lint")

_CONVERSATIONS: dict[str, Callable[[Any], Conversation]] = {"http": HTTP, "websocket": WebSocket, "lifespan": Lifespan}


class LintMiddleware:
    """Check both sides of every connection against the ASGI specification.

    The application gets a shallow copy of the scope, so that what it changes there reaches nobody else; the keys
    that it adds are handed back. The rules are those of the documentation's lint page. Connections of an unknown
    type pass unchecked, and so do unknown messages where the scope offers an unknown extension.

    Args:
        app: The ASGI application to wrap; it may be a single layer, ``LintMiddleware(Layer(LintMiddleware(app)))``.
        strict: Raise for the server's faults and for tolerated ones too. By default they are warned about, once for
            each rule, on the logger ``middleware.lint``: every server has some.

    Raises:
        ConfigurationError: If ``app`` is not an application or ``strict`` not a boolean.
    """

    __slots__ = ("_strict", "_warned", "app")

    def __init__(self, app: ASGIApp, *, strict: bool = False) -> None:
        problems = [application_problem("app", app)]
        if not isinstance(strict, bool):
            problems.append(Problem("strict", strict, "is not a boolean", "write strict=True or leave it out"))
        refuse("LintMiddleware", problems)
        self.app = app
        self._strict = strict
        self._warned: set[tuple[str, str]] = set()  # one entry for each rule and side

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        protocol = scope.get("type")
        if not isinstance(protocol, str):
            self._judge([fault("server", "scope-shape", "the scope has no type")])
        if not isinstance(protocol, str) or protocol not in SCOPES:
            return await self.app(scope, receive, send)
        self._judge(scope_faults(scope))
        watch = _Watch(_CONVERSATIONS[protocol](scope), receive, send, self._judge)
        before = _scope_snapshot(scope)
        try:
            result: None = await call_with_copy(self.app, scope, {**scope}, watch.receive, watch.send)
        finally:
            watch.over = True
        watch.finish()
        if _scope_snapshot(scope) != before:
            self._judge([fault("application", "scope-unchanged", "it changed what is inside the received scope")])
        return result

    def _judge(self, faults: Iterable[Fault]) -> None:
        for side, rule, detail in faults:
            error = LintError(side, rule.name, rule.section, detail)
            if self._strict or (side == "application" and not rule.tolerated):
                raise error
            if (side, rule.name) not in self._warned:
                self._warned.add((side, rule.name))
                _logger.warning("%s", error)


class _Watch:
    """The ``receive`` and ``send`` that the application gets, for one connection."""

    __slots__ = (
        "_broken",
        "_conversation",
        "_first_error",
        "_judge",
        "_receive",
        "_received",
        "_receiving",
        "_send",
        "_sent",
        "over",
    )

    def __init__(
        self, conversation: Conversation, receive: Receive, send: Send, judge: Callable[[Iterable[Fault]], None]
    ) -> None:
        self._conversation = conversation
        self._receive = receive
        self._send = send
        self._judge = judge
        self._received = _Memory()
        self._sent = _Memory()
        self._receiving = 0
        self._broken = False
        self._first_error: LintError | None = None
        self.over = False

    async def receive(self) -> Message:
        with self._remembering_the_error():
            self._judge(self._now("receive"))
            if self._receiving:
                self._judge([fault("application", "one-receive", "receive() while another one waits")])
        self._receiving += 1
        try:
            message = await self._receive()
        finally:
            self._receiving -= 1
        with self._remembering_the_error():
            self._judge(self._conversation.received(message))
        self._received.keep(message)
        return message

    async def send(self, message: Message) -> None:
        if self._broken or self._conversation.gone:
            # ASGI 3.0, Error Handling: what is sent on a closed connection is no error, the server ignores it.
            return await self._send(message)
        try:
            with self._remembering_the_error():
                self._judge(self._now("send"))
                self._judge(self._conversation.sending(message))
        except LintError:
            await anyio.lowlevel.checkpoint_if_cancelled()  # a cancelled application is stopped, not told
            raise
        self._sent.keep(message)
        self._sent.refresh()  # an application may change its own messages between two calls
        try:
            await self._send(message)
        except BaseException:
            self._broken = True
            raise
        with self._remembering_the_error():
            self._judge(fault("server", "message-unchanged", f"it changed {name}") for name in self._sent.changed())

    def finish(self) -> None:
        """The application has returned: raise what it swallowed, check what it left undone."""
        if self._first_error is not None:
            raise self._first_error
        self._judge(self._received_changes())
        if not self._broken:
            self._judge(self._conversation.returned())

    def _now(self, function: str) -> Iterator[Fault]:
        if self.over:
            yield fault("application", "nothing-after-return", f"{function}() after it had returned")
        yield from self._received_changes()

    def _received_changes(self) -> Iterator[Fault]:
        for name in self._received.changed():
            yield fault("application", "message-unchanged", f"it changed {name}")

    @contextmanager
    def _remembering_the_error(self) -> Iterator[None]:
        try:
            yield
        except LintError as error:
            self._first_error = self._first_error or error
            raise


class _Memory:
    """The newest message of each type, and how it looked."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        self._messages: dict[str, tuple[Message, Any]] = {}

    def keep(self, message: Message) -> None:
        name = message.get("type") if isinstance(message, dict) else None
        if isinstance(name, str) and (name in SENT or name in RECEIVED):
            self._messages[name] = message, _snapshot(message)

    def refresh(self) -> None:
        for message, _ in [*self._messages.values()]:
            self.keep(message)

    def changed(self) -> list[str]:
        """The types of the messages that no longer look as they did; each is told once."""
        found = [name for name, (message, before) in self._messages.items() if _snapshot(message) != before]
        for name in found:
            del self._messages[name]
        return found


def _scope_snapshot(scope: Scope) -> Any:
    """How the keys of the specification look, but for ``state``, which everybody writes to."""
    shape = SCOPES[scope["type"]]
    keys = (shape.required.keys() | shape.optional.keys()) - {"state"}
    return _snapshot({key: scope[key] for key in keys if key in scope})


def _snapshot(value: Any, depth: int = 4) -> Any:
    """A copy of ``value`` and of the containers in it, as deep as headers and the tls extension go."""
    if depth and isinstance(value, dict):
        return {key: _snapshot(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [_snapshot(item, depth - 1) for item in value]
    return value
