"""A websocket, as it passes.

Spec: ASGI HTTP & WebSocket 2.5; RFC 6455 §7.4 (close codes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .text import printable
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from .._asgi import Receive, Scope, Send
    from .log import Log
    from .record import CloseParty

_NO_CODE = 1005
_LOST = 1006


class Conversation(Watch):
    """One websocket."""

    kind = "websocket"
    __slots__ = ("_close_code", "_close_reason", "_closed_by", "_received", "_sent", "_subprotocol")

    def __init__(self, log: Log, scope: Scope, receive: Receive, send: Send, trail: list[Scope]) -> None:
        super().__init__(log, scope, receive, send, trail)
        self._received = self._sent = 0
        self._close_code: int | None = None
        self._closed_by: CloseParty | None = None
        self._close_reason = self._subprotocol = None

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._received += 1
            self.bytes_received += _size(message)
        elif message["type"] == "websocket.disconnect" and self._closed_by is None:
            code = message.get("code") or _NO_CODE
            self._close(message, code, "abnormal" if code == _LOST else "client")
            self.has_left = self.status != 101 or code == _LOST
            self.is_complete = not self.has_left
            self.end()
        return message

    def send(self, message: Any) -> Awaitable[None]:
        kind = message["type"]
        if kind == "websocket.send":
            self._sent += 1
            self.bytes_sent += _size(message)
        elif kind == "websocket.accept":
            self.begin(101)
            self._subprotocol = message.get("subprotocol")
        elif kind == "websocket.close":
            if self._closed_by is None:
                self.begin(403)  # if it was not accepted: that is what servers answer
                self._close(message, message.get("code") or 1000, "application")
            return self._finish(message)
        elif kind == "websocket.http.response.start":
            self.begin(message["status"])
        elif kind == "websocket.http.response.body":
            self.bytes_sent += len(message.get("body") or b"")
            if not message.get("more_body"):
                return self._finish(message)
        return self.sending(message) if self._sends_raise else self._send(message)

    async def _finish(self, message: Any) -> None:
        await self.sending(message)
        self.is_complete = not self.has_left
        self.end()

    def _close(self, message: Any, code: int, party: CloseParty) -> None:
        self._close_code, self._close_reason, self._closed_by = code, message.get("reason"), party

    def _add_own(self, fields: dict[str, Any], duration: float) -> None:
        fields["websocket.duration"] = duration
        fields["websocket.messages_received"], fields["websocket.messages_sent"] = self._received, self._sent
        fields["websocket.bytes_received"], fields["websocket.bytes_sent"] = self.bytes_received, self.bytes_sent
        if self._subprotocol is not None:
            fields["websocket.subprotocol"] = printable(self._log.redaction.word(self._subprotocol))
        if self._closed_by is not None:
            fields["websocket.close_code"], fields["websocket.closed_by"] = self._close_code, self._closed_by
        if self._close_reason:
            fields["websocket.close_reason"] = printable(self._close_reason)


def _size(message: Any) -> int:
    """The bytes of a message's payload."""
    data = message.get("bytes")
    if data is not None:
        return len(data)
    text = message.get("text") or ""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
