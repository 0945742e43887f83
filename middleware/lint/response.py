"""What may be said when in a response: of http, or of a websocket that is denied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from .._headers import values
from .rules import Fault, fault
from .shapes import Message, header_pairs

Faults = Iterator[Fault]

_NO_CONTENT = (204, 205, 304)


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
        yield from self._expect(message, "start")
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
        yield from self._piece(message, len(message.get("body", b"")))

    def open_file(self, message: Message) -> Faults:
        """A piece of the body that the server reads from a descriptor: all that is left in it, or ``count`` bytes."""
        count = message.get("count")
        self._measured = self._measured and count is not None
        yield from self._piece(message, count or 0)

    def whole_file(self, message: Message) -> Faults:
        """The whole body, which the server reads from a path."""
        yield from self._expect(message, "body")
        if self._begun:
            yield fault("application", "response-order", f"{message['type']} after a part of the body")
        self._measured = False
        yield from self._continued(message)

    def trailers(self, message: Message) -> Faults:
        if self._trailers and self.phase == "end":
            yield from self._expect(message, "trailers")
        elif self.phase != "trailers":
            detail = "before the end of the body" if self._trailers else "that the start did not promise"
            yield fault("application", "trailers-promised", f"trailers {detail}")
        if not message.get("more_trailers", False):
            self.phase = "end"

    def interim(self, message: Message) -> Faults:
        """A push promise or an early hint, at any time before the end of the body."""
        yield from self._expect(message, "start", "body")

    def returned(self) -> Faults:
        if self.phase == "trailers":
            yield fault("application", "trailers-promised", "it returned without the trailers that the start promised")
        elif self.phase != "end":
            missing = "a response" if self.phase == "start" else "the last message of the body (more_body False)"
            yield fault("application", "response-complete", f"it returned without {missing}")

    def _piece(self, message: Message, length: int) -> Faults:
        yield from self._expect(message, "body")
        yield from self._content(length)
        self._begun = True
        yield from self._continued(message)

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

    def _expect(self, message: Message, *phases: str) -> Faults:
        if self.phase in phases:
            return
        rule = "nothing-after-the-end" if self.phase in ("trailers", "end") else "response-order"
        expected = {"start": "the start", "body": "the body", "trailers": "trailers", "end": "nothing"}[self.phase]
        yield fault("application", rule, f"{message['type']} where {expected} is expected")
