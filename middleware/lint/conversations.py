"""What may be said when: one state machine for each protocol.

Rule of this file: no I/O and no opinion. A machine is told what was received, sent and that the application has
returned; it yields the faults in that, and takes the step only if its caller goes on after them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from .._headers import values
from .response import Response
from .rules import Fault, Side, fault, short
from .shapes import Message, header_pairs, message_faults

Faults = Iterator[Fault]


class Conversation(Protocol):
    """Both sides of one scope.

    Attributes:
        gone: The client has left and the application knows: what it sends from now on is ignored by servers.
    """

    gone: bool

    def received(self, message: Message) -> Faults:
        """The server hands ``message`` to the application."""
        ...

    def sending(self, message: Message) -> Faults:
        """The application hands ``message`` to the server."""
        ...

    def returned(self) -> Faults:
        """The application has returned, without an exception."""
        ...


class HTTP:
    """One request and its response."""

    __slots__ = ("_debugged", "_requested", "_response", "_scope", "gone")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self._response = Response(scope.get("method", "GET"))
        self._requested = False
        self.gone = False
        self._debugged = False

    def received(self, message: Message) -> Faults:
        yield from message_faults("server", message, self._scope)
        match _type_of(message):
            case "http.request":
                if self._requested or self.gone:
                    yield fault("server", "request-order", "http.request after the end of the request")
                self._requested = not message.get("more_body", False)
            case "http.disconnect":
                self.gone = True

    def sending(self, message: Message) -> Faults:
        yield from message_faults("application", message, self._scope)
        match _type_of(message):
            case "http.response.start":
                yield from self._response.start(message)
            case "http.response.body":
                yield from self._response.body(message)
            case "http.response.zerocopysend":
                yield from self._response.open_file(message)
            case "http.response.pathsend":
                yield from self._response.whole_file(message)
            case "http.response.trailers":
                yield from self._response.trailers(message)
            case "http.response.push" | "http.response.early_hint":
                yield from self._response.interim(message)
            case "http.response.debug":
                if self._debugged or self._response.phase != "start":
                    yield fault("application", "debug-once", "http.response.debug after the start or sent before")
                self._debugged = True

    def returned(self) -> Faults:
        if not self.gone:
            yield from self._response.returned()


class WebSocket:
    """One websocket: a handshake that is accepted, closed or denied, then data until either side closes."""

    __slots__ = ("_accepted", "_asked", "_denial", "_phase", "_scope", "gone")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        # Frameworks close a handshake without having received websocket.connect; no server minds.
        self._phase: Literal["handshake", "open", "denied", "closed"] = "handshake"
        self._asked = False
        self._accepted = False
        self.gone = False
        self._denial = Response("GET")

    def received(self, message: Message) -> Faults:
        yield from message_faults("server", message, self._scope)
        kind = _type_of(message)
        if kind == "websocket.connect":
            if self._asked or self.gone:
                yield fault("server", "handshake-order", "websocket.connect a second time or after the end")
            self._asked = True
        elif kind == "websocket.receive":
            # After the application's close, what was under way may still arrive.
            if not (self._asked and self._accepted) or self.gone:
                yield fault("server", "handshake-order", "websocket.receive outside an accepted connection")
            yield from _data_faults("server", message)
        elif kind == "websocket.disconnect":
            self.gone = True

    def sending(self, message: Message) -> Faults:
        yield from message_faults("application", message, self._scope)
        match _type_of(message):
            case "websocket.accept":
                yield from self._expect(message, "handshake")
                yield from self._accept_faults(message)
                self._phase = "open"
                self._accepted = True
            case "websocket.send":
                yield from self._expect(message, "open")
                yield from _data_faults("application", message)
            case "websocket.close":
                yield from self._expect(message, "handshake", "open")
                yield from _close_faults(message)
                self._phase = "closed"
            case "websocket.http.response.start":
                yield from self._expect(message, "handshake")
                yield from self._denial.start(message)
                self._phase = "denied"
            case "websocket.http.response.body":
                yield from self._expect(message, "denied")
                yield from self._denial.body(message)

    def returned(self) -> Faults:
        if self.gone:
            return
        if self._phase == "denied":
            yield from self._denial.returned()
        elif self._phase == "handshake":
            yield fault("application", "handshake-answered", "it returned without accept, close or a denial")

    def _expect(self, message: Message, *phases: str) -> Faults:
        if self._phase in phases:
            return
        if self._phase == "closed":
            yield fault("application", "nothing-after-the-end", f"{message['type']} after websocket.close")
        else:
            state = {
                "handshake": "before the handshake was accepted",
                "open": "after websocket.accept",
                "denied": "in a denial",
            }[self._phase]
            yield fault("application", "handshake-order", f"{message['type']} {state}")

    def _accept_faults(self, message: Message) -> Faults:
        subprotocol = message.get("subprotocol")
        offered = self._scope.get("subprotocols", ())
        if subprotocol is not None and isinstance(offered, list | tuple) and subprotocol not in offered:
            yield fault("application", "subprotocol-offered", f"the client did not offer {short(subprotocol)}")
        if values(header_pairs(message.get("headers", ())), b"sec-websocket-protocol"):
            yield fault("application", "header-forbidden", "sec-websocket-protocol among the headers")


class Lifespan:
    """One start and stop of the server."""

    __slots__ = ("_phase", "_scope", "gone")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self.gone = False
        self._phase: Literal["new", "startup", "running", "shutdown", "end"] = "new"

    def received(self, message: Message) -> Faults:
        yield from message_faults("server", message, self._scope)
        event = _type_of(message)
        if event in ("lifespan.startup", "lifespan.shutdown"):
            expected = {"new": "lifespan.startup", "running": "lifespan.shutdown"}.get(self._phase, "nothing")
            if event != expected:
                yield fault("server", "lifespan-order", f"{event} where {expected} is expected")
            self._phase = "startup" if event == "lifespan.startup" else "shutdown"

    def sending(self, message: Message) -> Faults:
        yield from message_faults("application", message, self._scope)
        match _type_of(message).split("."):
            case ["lifespan", event, ("complete" | "failed") as outcome]:
                if self._phase != event:
                    yield fault("application", "lifespan-order", f"{message['type']} answers nothing")
                self._phase = "running" if (event, outcome) == ("startup", "complete") else "end"

    def returned(self) -> Faults:
        if self._phase in ("startup", "shutdown"):
            yield fault("application", "lifespan-answered", f"it returned without an answer to lifespan.{self._phase}")


def _type_of(message: Message) -> str:
    """The type of a message whose shape may be wrong: after a warning the conversation goes on."""
    name = message.get("type") if isinstance(message, dict) else None
    return name if isinstance(name, str) else ""


def _data_faults(side: Side, message: Message) -> Faults:
    if (message.get("bytes") is None) == (message.get("text") is None):
        yield fault(side, "websocket-data", f"{message['type']} with both or neither of bytes and text")


def _close_faults(message: Message) -> Faults:
    code = message.get("code", 1000)
    if not (code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code <= 4999):
        yield fault("application", "close-code", f"{short(code)} may not be sent in a close frame")
    if len((message.get("reason") or "").encode("utf-8", "surrogatepass")) > 123:
        yield fault("application", "close-code", "the reason is longer than 123 bytes in UTF-8")
