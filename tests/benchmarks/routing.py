"""Type dispatch beside Channels' ``ProtocolTypeRouter``, on scopes of several clients in rotation."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
from channels.routing import ProtocolTypeRouter

from middleware import ProtocolRouter
from tests.asgi import BODY, START, STARTUP, Client, http_scope, lifespan_scope, websocket_scope
from tests.benchmarks.measure import nanoseconds, report

CLIENTS = [
    [(b"host", b"example.com"), (b"accept", b"*/*")],
    [(b"host", b"example.com"), (b"user-agent", b"curl/8"), (b"accept", b"*/*"), (b"cookie", b"a=b")],
    [(b"x-%d" % number, b"1") for number in range(14)],
]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["database"] = object()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    await send(START)
    await send(BODY)


def main() -> None:
    asyncio.run(_measure())


async def _measure() -> None:
    mapping = {"http": bare, "websocket": bare}
    started = ProtocolRouter(http=with_lifespan, websocket=with_lifespan)
    client = Client(STARTUP)
    lifespan = asyncio.create_task(started(lifespan_scope(), client.receive, client.send))
    await anyio.wait_all_tasks_blocked()

    for kind, make in (("http", http_scope), ("websocket", websocket_scope)):
        times = nanoseconds(
            {
                "bare": bare,
                "Channels ProtocolTypeRouter": ProtocolTypeRouter(mapping),
                "ProtocolRouter": ProtocolRouter(mapping),
                "ProtocolRouter with state from a lifespan": started,
            },
            lambda number, make=make: make(headers=CLIENTS[number % len(CLIENTS)]),
        )
        title = f"Protocol router: a {kind} scope"
        report(title, times, bare="bare", ours="ProtocolRouter", peer="Channels ProtocolTypeRouter")
    lifespan.cancel()
