"""One response on its way: what is held, what is encoded, what passes. The state machine of both classes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from anyio.lowlevel import RunVar

from .._headers import long_headers, values
from .configuration import EXCLUDED, OTHER, STREAMED
from .representation import (
    encoded,
    forbids_transformation,
    is_from_another_site,
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

_SHORTEST = len(b"content-type")  # of the names that matter here
_EMPTY = frozenset((*range(100, 200), 204, 205))  # statuses of responses without a body, but for 304
_BEFORE, _HELD, _ENCODING, _BUSY, _PASSING = range(5)
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
            raise RuntimeError("send() was called while a body was being compressed, or after that was cancelled")
        if state == _HELD:
            return self._first(message) if kind == "http.response.body" else self._start_as_it_is(message)
        if kind == "http.response.body" and self._encode:
            return self._piece(message, self._encode)
        if kind == "http.response.trailers":
            message = {**message, "headers": without_digests(message.get("headers") or ())}
        return self._send(message)

    def _begin(self, start: Message) -> Awaitable[None]:
        """Decide what can be decided without the body."""
        self._state = _PASSING
        rules, choice, scope = self._rules, self._choice, self._scope
        status, headers = start["status"], start.get("headers") or ()
        if not isinstance(headers, (list, tuple)):
            headers = [*headers]
            start = {**start, "headers": headers}
        named = long_headers(headers, _SHORTEST)
        kind = rules.kind(named[b"content-type"][0]) if b"content-type" in named else OTHER
        length = _number(named[b"content-length"][0]) if b"content-length" in named else None
        whole = status not in (206, 304) and b"content-range" not in named
        small = whole and length is not None and length < rules.minimum_size
        if (
            ((kind == EXCLUDED or small) and not choice.must)
            or status in _EMPTY
            or b"content-encoding" in named
            or b"signature-input" in named  # RFC 9421: what would change may be signed
            or (b"cache-control" in named and forbids_transformation(named[b"cache-control"]))
            or not (rules.should_compress is None or status == 304 or rules.should_compress(scope, status, headers))
        ):
            return self._send(start)

        events = kind == STREAMED and length is None  # with a length it is a file, which the server may send itself
        codec = choice.events if events else choice.codec
        requested = scope.get("headers") or ()
        if codec and (is_from_another_site(requested) or forbids_transformation(values(requested, b"cache-control"))):
            codec = None
        if status == 304:
            conditions = values(requested, b"if-none-match")
            changed = not_modified(headers, conditions, codec and codec.coding, rules.suffix)
            return self._send({**start, "headers": changed})
        if codec is None or not whole or (events and _offers(scope, "zerocopysend")):
            return self._send({**start, "headers": varying(headers)})

        self._start, self._length, self._codec, self._encode = start, length, codec, None
        if not events:
            self._state = _HELD
            return _nothing()
        if scope.get("method") != "HEAD":
            self._encode, self._state = codec.events(), _ENCODING
        return self._send(self._encoded_start())

    def _first(self, message: Message) -> Awaitable[None]:
        """Send the start that was held, and the first piece of the body."""
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._scope.get("method") == "HEAD" and (more or not body):
            # What a GET would get is to be told, without its body. Where it may be a file, nothing is known.
            if more or (self._length and not _offers(self._scope, "pathsend")):
                self._state = _PASSING
                return _both(self._send, self._encoded_start(), message)
            return self._start_as_it_is(message)
        if not more or len(body) == self._length:
            if not body or (len(body) < self._rules.minimum_size and not self._choice.must):
                self._state = _PASSING
                return _both(self._send, self._start, message)
            if len(body) < self._codec.offload:
                return self._whole(message, self._codec.compress(body))
            return self._whole_in_a_thread(message)
        if _offers(self._scope, "zerocopysend"):  # pieces of files may follow
            return self._start_as_it_is(message)
        self._encode = self._codec.stream()
        return self._piece(message, self._encode, self._encoded_start())

    def _start_as_it_is(self, message: Message) -> Awaitable[None]:
        """Send the start that was held, and what came after it: a body that stays as it is, a file, anything else."""
        self._state = _PASSING
        start = {**self._start, "headers": varying(self._start.get("headers") or ())}
        return _both(self._send, start, message)

    def _encoded_start(self, length: int | None = None) -> Message:
        headers = encoded(self._start.get("headers") or (), self._codec.coding, self._rules.suffix, length)
        return {**self._start, "headers": headers}

    def _whole(self, message: Message, body: bytes) -> Awaitable[None]:
        """Send the start and a whole body that was encoded to ``body``, if that was worth it."""
        if len(body) >= len(message["body"]) and not self._choice.must:
            return self._start_as_it_is(message)
        self._state = _ENCODING
        start = self._encoded_start(None if self._start.get("trailers") else len(body))
        return _both(self._send, start, {**message, "body": body})

    async def _whole_in_a_thread(self, message: Message) -> None:
        body = await self._in_a_thread(self._codec.stream(), message["body"], last=True)
        await self._whole(message, body)

    def _piece(self, message: Message, encode: Encode, start: Message | None = None) -> Awaitable[None]:
        """Encode the next piece of a stream and send it, behind ``start`` if it is the first."""
        body, last = message.get("body", b""), not message.get("more_body", False)
        if body and len(body) >= self._codec.offload:
            return self._piece_in_a_thread(message, encode, start)
        return self._send_piece(message, encode(body, last) if body or last else b"", start)

    async def _piece_in_a_thread(self, message: Message, encode: Encode, start: Message | None) -> None:
        piece = await self._in_a_thread(encode, message["body"], last=not message.get("more_body", False))
        await self._send_piece(message, piece, start)

    def _send_piece(self, message: Message, piece: bytes, start: Message | None) -> Awaitable[None]:
        self._state = _ENCODING
        if not message.get("more_body", False):
            self._encode = None
        message = {**message, "body": piece}
        return self._send(message) if start is None else _both(self._send, start, message)

    async def _in_a_thread(self, encode: Encode, body: bytes, last: bool) -> bytes:
        # If the task is cancelled here, the thread goes on, and what it makes is lost: nothing may follow.
        self._state = _BUSY
        return await anyio.to_thread.run_sync(encode, body, last, limiter=_limiter())


def _limiter() -> anyio.CapacityLimiter:
    """What bounds the threads of an event loop: more of them than processors only make each other late."""
    try:
        return _limiters.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_CPUS)
        _limiters.set(limiter)
        return limiter


def _offers(scope: Scope, extension: str) -> bool:
    return f"http.response.{extension}" in (scope.get("extensions") or ())


def _number(length: bytes) -> int | None:
    return int(length) if length.isdigit() and len(length) < 20 else None


async def _both(send: Send, start: Message, message: Message) -> None:
    await send(start)
    await send(message)


async def _nothing() -> None: ...
