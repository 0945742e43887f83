"""The answer to a connection that no application is there for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._asgi import ASGIApp


def turning_away(reason: Callable[[], str]) -> ASGIApp:
    """An application that refuses every connection as its protocol does that.

    Args:
        reason: Makes the text of the error for a scope type that has no refusal, read after "scope type 'x': ".
    """

    async def turn_away(scope: Any, receive: Any, send: Any) -> None:
        protocol = scope.get("type")
        if protocol == "http":
            body = b"Not Found"
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            # RFC 9110 §9.3.2: the headers of GET, without its content.
            await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
        elif protocol == "websocket":
            # Closed, not denied with a 404: uvicorn logs an ERROR for each denial, and daphne knows none.
            message = await receive()
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.close", "code": 1000})
        else:
            raise ValueError(f"no application for scope type {protocol!r}{reason()}")

    return turn_away
