"""What becomes of requests and websockets on real servers, each below a path of its own, and what the log says of it.

A record is written twice: as a line of the server's output, and in JSON to the file that ``RECORDS`` names.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from starlette.responses import StreamingResponse

from middleware import RequestIdMiddleware, RequestLogMiddleware
from middleware.request_log import request_id

_TEXT = (b"content-type", b"text/plain")
_START = {"type": "http.response.start", "status": 200, "headers": [_TEXT]}

_left: dict[str, anyio.Event] = defaultdict(anyio.Event)


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Read the body, then answer with the id of the request."""
    while (await receive()).get("more_body"):
        pass
    await _answer(send, str(request_id()).encode())


async def unread(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"hello")


async def leaving(scope: Any, receive: Any, send: Any) -> None:
    """Wait until the client has left, and say nothing."""
    print(f"begun {scope['path']}.")
    await _disconnected(receive)


async def late(scope: Any, receive: Any, send: Any) -> None:
    """Answer to a client that has left."""
    print(f"begun {scope['path']}.")
    await _disconnected(receive)
    await _answer(send, b"too late")


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Answer to a client that has left without listening: another request tells of it."""
    print(f"begun {scope['path']}.")
    await _left[scope["path"]].wait()
    await _answer(send, b"too late")


async def left(scope: Any, receive: Any, send: Any) -> None:
    _left[scope["path"].replace("left", "deaf", 1)].set()
    await _answer(send, b"")


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Stream without end, as Starlette does."""

    async def pieces() -> Any:
        while True:
            yield b"piece\n"
            await anyio.sleep(0.005)

    await StreamingResponse(pieces())(scope, receive, send)


async def fails(scope: Any, receive: Any, send: Any) -> None:
    raise LookupError("raised before the start")


async def fails_midway(scope: Any, receive: Any, send: Any) -> None:
    await send(_START)
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise LookupError("raised midway")


async def fails_after(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, b"hello")
    raise LookupError("raised after the end")


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    pass


async def stops(scope: Any, receive: Any, send: Any) -> None:
    await send(_START)
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send back what comes in until the client closes."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def closes(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4003, "reason": "as you\nwish"})


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def denies(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [_TEXT]})
    await send({"type": "websocket.http.response.body", "body": b"denied"})


async def refuses_by_failure(scope: Any, receive: Any, send: Any) -> None:
    raise LookupError("raised before the handshake")


async def accepts_and_fails(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    raise LookupError("raised after the handshake")


async def accepts_and_returns(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Any, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({**_START, "headers": [_TEXT, length]})
    await send({"type": "http.response.body", "body": body})


_APPLICATIONS: dict[str, Callable[[Any, Any, Any], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        *(answer, unread, leaving, late, deaf, left, stream, fails, fails_midway, fails_after, nothing, stops),
        *(echo, closes, refuses, denies, refuses_by_failure, accepts_and_fails, accepts_and_returns),
    )
}


async def _routes(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    await _APPLICATIONS[scope["path"].split("/")[1]](scope, receive, send)


_records = logging.getLogger("records")
_records.setLevel(logging.INFO)
_records.propagate = False
_records.addHandler(logging.FileHandler(os.environ.get("RECORDS", os.devnull), "w"))

application = RequestLogMiddleware(
    RequestLogMiddleware(RequestIdMiddleware(_routes), logger=_records, format="json", request_headers=["x-hostile"]),
    format="combined",
)
unconfigured = RequestLogMiddleware(_routes)
