"""The websocket side of the project that the real servers run, in plain ASGI; it knows the lifespan as well."""

from typing import Any

from middleware import PathRouter, ProtocolRouter


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send back what comes in; ``close`` and ``raise`` are commands, ``state`` asks what the start-up left."""
    if scope["type"] == "lifespan":
        return await _lifespan(scope, receive, send)
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        match message.get("text"):
            case None:
                await send({"type": "websocket.send", "bytes": message["bytes"]})
            case "close":
                return await send({"type": "websocket.close", "code": 4003, "reason": "as you wish"})
            case "raise":
                raise RuntimeError("raised after the handshake")
            case "state":
                await send({"type": "websocket.send", "text": str(scope.get("state", {}).get("left"))})
            case text:
                await send({"type": "websocket.send", "text": text})
    print(f"{scope['path']!a}: the client closed with {message['code']}")


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("raised before the handshake")


async def never(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


async def _lifespan(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    print("lifespan: started")
    scope["state"]["left"] = "by the start-up"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("lifespan: stopped")
    await send({"type": "lifespan.shutdown.complete"})


application = PathRouter({"/raise": failing, "/unlisted": ProtocolRouter(http=never)}, default=echo)
