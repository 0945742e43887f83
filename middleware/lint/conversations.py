"""What may be said when: one state machine for each protocol.

Rule of this file: no I/O and no opinion. A machine is told what was received, sent and that the application has
returned; it yields the faults in that, and takes the step only if its caller goes on after them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from .._headers import values
from .rules import Fault, fault, short
from .shapes import Message, header_pairs, message_faults

Faults = Iterator[Fault]

_NO_CONTENT = (204, 205, 304)


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


class Response:
    """One response: a start, a body in pieces, trailers if the start promised them."""

    __slots__ = ("_announced", "_begun", "_head", "_length", "_measured", "_status", "_trailers", "phase")

    def __init__(self, method: str) -> None:
        self.phase: Literal["start", "body", "trailers", "end"] = "start"
        self._head = method == "HEAD"
        self._status = 200
        self._trailers = False
        self._announced: int | None = None
        self._length = 0
        self._begun = False
        self._measured = True

    def start(self, message: Message) -> Faults:
        if self.phase != "start":
            yield from self._out_of_order(message)
        status = message.get("status")
        lengths = values(header_pairs(message.get("headers", ())), b"content-length")
        if status == 204 and lengths:  # RFC 9110 §8.6
            yield fault("application", "length-of-nothing", "Content-Length in a 204 response")
        self._status = status
        self._trailers = message["type"] == "http.response.start" and message.get("trailers", False)
        if lengths and not self._head and status not in (204, 304):  # they announce the length that GET would have
            self._announced = int(lengths[0])
        self.phase = "body"

    def body(self, message: Message) -> Faults:
        if self.phase != "body":
            yield from self._out_of_order(message)
        yield from self._content(len(message.get("body", b"")))
        self._begun = True
        yield from self._continued(message)

    def open_file(self, message: Message) -> Faults:
        """A piece of the body that the server reads from a descriptor: all that is left in it, or ``count`` bytes."""
        if self.phase != "body":
            yield from self._out_of_order(message)
        count = message.get("count")
        if count is None:
            self._measured = False
        yield from self._content(count or 0)
        self._begun = True
        yield from self._continued(message)

    def whole_file(self, message: Message) -> Faults:
        """The whole body, which the server reads from a path."""
        if self.phase != "body":
            yield from self._out_of_order(message)
        if self._begun:
            yield fault("application", "response-order", f"{message['type']} after a part of the body")
        self._measured = False
        yield from self._continued(message)

    def trailers(self, message: Message) -> Faults:
        if self.phase == "end" and self._trailers:
            yield from self._out_of_order(message)
        elif self.phase != "trailers":
            detail = "before the end of the body" if self._trailers else "that the start did not promise"
            yield fault("application", "trailers-promised", f"trailers {detail}")
        if not message.get("more_trailers", False):
            self.phase = "end"

    def interim(self, message: Message) -> Faults:
        """A push promise or an early hint, at any time before the end of the body."""
        if self.phase not in ("start", "body"):
            yield from self._out_of_order(message)

    def returned(self) -> Faults:
        if self.phase == "trailers":
            yield fault("application", "trailers-promised", "it returned without the trailers that the start promised")
        elif self.phase != "end":
            missing = "a response" if self.phase == "start" else "the last message of the body (more_body False)"
            yield fault("application", "response-complete", f"it returned without {missing}")

    def _content(self, length: int) -> Faults:
        if length and self._status in _NO_CONTENT:
            yield fault("application", "no-content", f"content in a {self._status} response")
        elif length and self._head:
            yield fault("application", "head-content", "content in the response to HEAD")
        self._length += length
        if self._announced is not None and self._length > self._announced:
            yield fault("application", "content-length", f"more than the {self._announced} bytes announced")

    def _continued(self, message: Message) -> Faults:
        if message.get("more_body", False):
            return
        if self._measured and self._announced is not None and self._length < self._announced:
            detail = f"{self._length} of the {self._announced} bytes announced"
            yield fault("application", "content-length", detail)
        self.phase = "trailers" if self._trailers else "end"

    def _out_of_order(self, message: Message) -> Faults:
        rule = "nothing-after-the-end" if self.phase in ("trailers", "end") else "response-order"
        expected = {"start": "the start", "body": "the body", "trailers": "trailers", "end": "nothing"}[self.phase]
        yield fault("application", rule, f"{message['type']} where {expected} is expected")


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
            if not self._accepted or self.gone:
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


def _data_faults(side: Any, message: Message) -> Faults:
    if (message.get("bytes") is None) == (message.get("text") is None):
        yield fault(side, "websocket-data", f"{message['type']} with both or neither of bytes and text")


def _close_faults(message: Message) -> Faults:
    code = message.get("code", 1000)
    if not (code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code <= 4999):
        yield fault("application", "close-code", f"{short(code)} may not be sent in a close frame")
    if len((message.get("reason") or "").encode("utf-8", "surrogatepass")) > 123:
        yield fault("application", "close-code", "the reason is longer than 123 bytes in UTF-8")
