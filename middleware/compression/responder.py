"""One response on its way: what is held, what is encoded, what passes. The state machine of both classes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from .._headers import values
from .configuration import EXCLUDED, STREAMED
from .representation import (
    encoded,
    forbids_encoding,
    forbids_transformation,
    not_modified,
    varying,
    without_digests,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from .._asgi import Message, Scope, Send
    from .codecs import Codec, Encode
    from .configuration import Rules
    from .negotiation import Choice

_EMPTY = frozenset((*range(100, 200), 204, 205))  # statuses of responses without a body, but for 304
_BEFORE, _HELD, _ENCODING, _BUSY, _PASSING = range(5)
_PIECE = 65_536  # bytes of a file
_CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_limiters: RunVar[anyio.CapacityLimiter] = RunVar("middleware.compression")


class Responder:
    """What one application's ``send`` does with one response.

    A response starts at once where it is clear that the body stays as it is, or that it is a stream of events. Else
    the start waits for the first piece of the body, which tells a whole body from a stream.
    """

    __slots__ = ("_choice", "_codec", "_encode", "_length", "_rules", "_scope", "_send", "_start", "_state")

    _start: Message
    _length: int | None  # of the body, as the application says
    _codec: Codec
    _encode: Encode | None

    def __init__(self, rules: Rules, choice: Choice, scope: Scope, send: Send) -> None:
        self._rules = rules
        self._choice = choice
        self._scope = scope
        self._send = send
        self._state = _BEFORE

    def send(self, message: Any) -> Awaitable[None]:
        """Send a message, or what it becomes."""
        state = self._state
        if state == _PASSING:
            return self._send(message)
        kind = message["type"]
        if state == _BEFORE:
            return self._begin(message) if kind == "http.response.start" else self._send(message)
        if state == _BUSY:
            raise RuntimeError("send() was called while another send() compressed a body, or after one had failed")
        if state == _HELD:
            return self._first(message) if kind == "http.response.body" else self._start_as_it_is(message)
        if kind == "http.response.body" and self._encode:
            return self._piece(message, self._encode)
        if kind == "http.response.pathsend" and self._encode:
            return self._send_file(message["path"])
        if kind == "http.response.trailers":
            message = {**message, "headers": without_digests(message.get("headers") or ())}
        return self._send(message)

    def _begin(self, start: Message) -> Awaitable[None]:
        """Decide what can be decided without the body."""
        self._state = _PASSING
        rules, choice, scope = self._rules, self._choice, self._scope
        status, headers = start["status"], start.get("headers")
        if not isinstance(headers, (list, tuple)):
            headers = [*(headers or ())]
            start = {**start, "headers": headers}
        named = {name.lower(): value for name, value in headers}
        kind = rules.kind(named.get(b"content-type", b""))
        if kind == EXCLUDED and not choice.must:
            return self._send(start)
        length = _number(named[b"content-length"]) if b"content-length" in named else None
        whole = status not in (206, 304) and b"content-range" not in named
        if (
            (whole and length is not None and length < rules.minimum_size and not choice.must)
            or status in _EMPTY
            or b"content-encoding" in named
            or b"signature-input" in named  # RFC 9421: what would change may be signed
            or (b"cache-control" in named and forbids_transformation(values(headers, b"cache-control")))
            or (rules.should_compress and whole and not rules.should_compress(scope, status, headers))
        ):
            return self._send(start)

        events = kind == STREAMED and length is None  # with a length it is a file, which the server may send itself
        codec = choice.events if events else choice.codec
        requested = scope.get("headers") or ()
        if codec and forbids_encoding(requested):
            codec = None
        if status == 304:
            conditions = values(requested, b"if-none-match")
            changed = not_modified(headers, conditions, codec and codec.coding, rules.suffix)
            return self._send({**start, "headers": changed})
        if codec is None or not whole or (events and _offers(scope, "zerocopysend")):
            return self._send({**start, "headers": varying(headers)})

        if scope.get("method") == "HEAD" and b"content-type" not in named:
            length = None  # what a GET would get is not to be guessed from it
        self._start, self._length, self._codec, self._encode = start, length, codec, None
        if not events:
            self._state = _HELD
            return _nothing()
        if scope.get("method") != "HEAD":
            self._encode, self._state = codec.events(), _ENCODING
        return self._send(self._encoded_start())

    def _first(self, message: Message) -> Awaitable[None]:
        """Send the start that was held, and the first piece of the body."""
        self._state = _BUSY
        body, more = message.get("body", b""), message.get("more_body", False)
        # Pieces of files may follow the first piece of a stream.
        streams = more and not _offers(self._scope, "zerocopysend")
        if self._scope.get("method") == "HEAD" and (more or not body):
            # What a GET would get is to be told, without its body. Where it may be a file, nothing is known.
            if streams or (self._length and not more and not _offers(self._scope, "pathsend", "zerocopysend")):
                return self._deliver(message, self._encoded_start(), _PASSING)
            return self._start_as_it_is(message)
        if not more or len(body) == self._length:
            if not body or (len(body) < self._rules.minimum_size and not self._choice.must):
                return self._deliver(message, self._start, _PASSING)
            if len(body) < self._codec.offload:
                return self._whole(message, self._codec.compress(body))
            return self._in_a_thread(self._codec.stream(), message, True, self._whole)
        if not streams:
            return self._start_as_it_is(message)
        self._encode = self._codec.stream()
        return self._piece(message, self._encode, self._encoded_start())

    def _start_as_it_is(self, message: Message) -> Awaitable[None]:
        """Send the start that was held, and what came after it: a body that stays as it is, a file, anything else."""
        self._state = _BUSY
        return self._deliver(message, {**self._start, "headers": varying(self._start["headers"])}, _PASSING)

    def _encoded_start(self, length: int | None = None) -> Message:
        headers = encoded(self._start["headers"], self._codec.coding, self._rules.suffix, length)
        return {**self._start, "headers": headers}

    def _whole(self, message: Message, body: bytes) -> Awaitable[None]:
        """Send the start and a whole body that was encoded to ``body``, if that was worth it."""
        if len(body) >= len(message["body"]) and not self._choice.must:
            return self._start_as_it_is(message)
        start = self._encoded_start(None if self._start.get("trailers") else len(body))
        return self._deliver({**message, "body": body}, start)

    def _piece(self, message: Message, encode: Encode, start: Message | None = None) -> Awaitable[None]:
        """Encode the next piece of a stream and send it, behind ``start`` if it is the first."""
        body, last = message.get("body", b""), not message.get("more_body", False)
        if last:
            self._encode = None

        def send(message: Message, piece: bytes) -> Awaitable[None]:
            return self._deliver({**message, "body": piece}, start)

        if body and len(body) >= self._codec.offload:
            self._state = _BUSY
            return self._in_a_thread(encode, message, last, send)
        return send(message, encode(body, last) if body or last else b"")

    async def _in_a_thread(self, encode: Encode, message: Message, last: bool, send: Any) -> None:
        # If the task is cancelled here, the thread goes on, and what it makes is lost.
        await send(message, await anyio.to_thread.run_sync(encode, message["body"], last, limiter=_limiter()))

    async def _deliver(self, message: Message, start: Message | None, state: int = _ENCODING) -> None:
        """Send a message, behind ``start`` if that was held; ``state`` is that of the response from then on."""
        try:
            if start is not None:
                await self._send(start)
            self._state = state
            await self._send(message)
        except BaseException as error:
            # What follows would refer to a piece that may not have been sent.
            is_lost = state == _ENCODING and isinstance(error, anyio.get_cancelled_exc_class())
            self._state = _BUSY if is_lost else state
            raise

    async def _send_file(self, path: str) -> None:
        """Encode a file that was to be sent by the server, behind a start that says that it is encoded."""
        async with await anyio.open_file(path, "rb") as file:
            while piece := await file.read(_PIECE):
                await self.send({"type": "http.response.body", "body": piece, "more_body": True})
        await self.send({"type": "http.response.body"})


def _limiter() -> anyio.CapacityLimiter:
    """What bounds the threads of an event loop: more of them than processors only make each other late."""
    try:
        return _limiters.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_CPUS)
        _limiters.set(limiter)
        return limiter


def _offers(scope: Scope, *extensions: str) -> bool:
    offered = scope.get("extensions") or ()
    return any(f"http.response.{extension}" in offered for extension in extensions)


def _number(length: bytes) -> int | None:
    return int(length) if length.isdigit() and len(length) < 20 else None


async def _nothing() -> None: ...
