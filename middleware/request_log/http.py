"""A request and its response, as they pass.

Spec: ASGI HTTP & WebSocket 2.5 and its extensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._headers import values
from .record import DURATION, LOCATION
from .text import decoded, printable
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from .._asgi import Receive, Scope, Send
    from .log import Log


class Exchange(Watch):
    """One request."""

    kind = "http"
    __slots__ = ("_has_trailers", "_response_headers", "_sends_file")

    def __init__(self, log: Log, scope: Scope, receive: Receive, send: Send, trail: list[Scope]) -> None:
        super().__init__(log, scope, receive, send, trail)
        self._has_trailers = self._sends_file = False
        self._response_headers: Any = ()

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes_received += len(message.get("body") or b"")
        elif message["type"] == "http.disconnect":
            self.has_left = True
        return message

    def send(self, message: Any) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.body":
            self.bytes_sent += len(message.get("body") or b"")
            if not message.get("more_body") and not self._has_trailers:
                return self._finish(message)
        elif kind == "http.response.start":
            if self.status is None:
                self._response_headers = message.get("headers") or ()
                self._has_trailers = message.get("trailers", False)
            self.begin(message["status"])
        elif kind == "http.response.trailers":
            if not message.get("more_trailers"):
                return self._finish(message)
        elif kind == "http.response.pathsend" or (
            kind == "http.response.zerocopysend" and not message.get("more_body")
        ):
            self._sends_file = True
            if not self._has_trailers:
                return self._finish(message)
        return self.sending(message) if self._sends_raise else self._send(message)

    async def _finish(self, message: Any) -> None:
        """Send what ends the response, and tell of it: what the application does then is no part of it."""
        # Servers that close the connection say "disconnect" before this returns (hypercorn).
        had_left = self.has_left
        await self.sending(message)
        self.is_complete = not had_left
        self.end()

    def _announced(self) -> int | None:
        lengths = values(self._response_headers, b"content-length")
        return int(lengths[0]) if lengths and lengths[0].isdigit() and len(lengths[0]) < 20 else None

    def _add_own(self, fields: dict[str, Any], duration: float) -> None:
        fields[DURATION] = duration
        fields["http.request.body.size"] = self.bytes_received
        sent = self._announced() if self._sends_file else self.bytes_sent
        if self._method == "HEAD":
            sent = 0  # servers send none of it
        if sent is not None:
            fields["http.response.body.size"] = sent
        if self.status is not None and 300 <= self.status < 400:
            locations = values(self._response_headers, b"location")
            if locations:
                fields[LOCATION] = [printable(self._log.redaction.url(decoded(value))) for value in locations]
