"""What is compressed on real servers: bodies, streams whose next piece has to be asked for, files, trailers.

``application`` has it behind compression; below /plain as it is, below /linted with lint on both sides of
compression, below /tagged with another tag for each coding.
"""

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import anyio
from starlette.responses import FileResponse

from middleware import CompressionMiddleware, PathRouter
from middleware.lint import LintMiddleware

PIECES = [b"the first, ", b"the second, " * 100, b"", b"the third"]
EVENTS = [b"data: %d\n\n" % number for number in range(3)]
TAG = b'"a"'
DIGEST = (b"content-digest", b"sha-256=:AAAA:")
CHECKED = (b"x-checked", b"yes")

_TEXT = (b"content-type", b"text/plain")
_steps: dict[str, anyio.Semaphore] = defaultdict(lambda: anyio.Semaphore(0))
_heard: dict[str, list[str]] = defaultdict(list)
_noted: dict[tuple[str, str], anyio.Event] = defaultdict(anyio.Event)


@cache
def content(size: int, seed: int = 0) -> bytes:
    """Text of ``size`` bytes, another one for each seed, of which compression makes half after much work."""
    return random.Random(seed).randbytes(size // 2).hex().encode()


async def body(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    whole = content(int(query["size"]), int(query.get("seed", 0)))
    await _answer(send, 200, whole, (b"content-length", b"%d" % len(whole)), (b"etag", TAG))


async def stream(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    await _one_by_one(query["key"], send, PIECES, b"text/plain")


async def events(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    await _one_by_one(query["key"], send, EVENTS, b"text/event-stream")


async def next_piece(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    for _ in range(int(query["pieces"])):
        _steps[query["key"]].release()
    await _answer(send, 204)


async def nothing(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "more_body": True})
    await send({"type": "http.response.body"})


async def unchanged(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, 304, b"", (b"etag", TAG))


async def file(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    await FileResponse(query["path"])(scope, receive, send)


async def offers(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, 200, " ".join(sorted(scope.get("extensions") or ())).encode())


async def trailers(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [_TEXT], "trailers": True})
    await send({"type": "http.response.body", "body": content(2048)})
    await send({"type": "http.response.trailers", "headers": [DIGEST, CHECKED]})


async def left(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    """Send a body or, with ``first``, the end of one when the client has left; note what happens."""
    key = query["key"]

    async def listen() -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        _note(key, message["type"])

    async def tell(body: bytes, more_body: bool = False) -> None:
        _note(key, "sending")
        await send({"type": "http.response.body", "body": body, "more_body": more_body})
        _note(key, "sent")

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await send({"type": "http.response.start", "status": 200, "headers": [_TEXT]})
            if "first" in query:
                await tell(content(2048), more_body=True)
                await _noted[key, "http.disconnect"].wait()
            await tell(content(int(query["size"])))
    finally:
        _note(key, "end")


async def heard(query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
    """What was noted, once ``until`` was."""
    await _noted[query["key"], query["until"]].wait()
    await _answer(send, 200, " ".join(_heard[query["key"]]).encode())


def _note(key: str, what: str) -> None:
    _heard[key].append(what)
    _noted[key, what].set()


async def _one_by_one(key: str, send: Any, pieces: list[bytes], content_type: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
    for piece in pieces:
        await _steps[key].acquire()
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await _steps[key].acquire()
    await send({"type": "http.response.body"})


async def _answer(send: Any, status: int, body: bytes = b"", *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [_TEXT, *headers]})
    await send({"type": "http.response.body", "body": body})


_ROUTES: dict[str, Callable[[dict[str, str], Any, Any, Any], Awaitable[None]]] = {
    "/body": body,
    "/stream": stream,
    "/events": events,
    "/next": next_piece,
    "/nothing": nothing,
    "/unchanged": unchanged,
    "/file": file,
    "/offers": offers,
    "/trailers": trailers,
    "/left": left,
    "/heard": heard,
}


async def _routes(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    await _ROUTES[path](query, scope, receive, send)


_compressed = CompressionMiddleware(_routes, stream_content_types=["text/event-stream"])
_mounts = {
    "/plain": _routes,
    "/linted": LintMiddleware(
        CompressionMiddleware(LintMiddleware(_routes), stream_content_types=["text/event-stream"])
    ),
    "/tagged": CompressionMiddleware(_routes, etag="suffix"),
}
application = PathRouter(_mounts, default=_compressed)
