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


async def bare_with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    await send(START)
    await send(BODY)


async def with_state(scope: Any, receive: Any, send: Any) -> None:
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
    stateless = ProtocolRouter(http=bare_with_lifespan, websocket=bare)
    stateful = ProtocolRouter(http=with_state, websocket=with_state)
    lifespans = []
    for router in (stateless, stateful):
        client = Client(STARTUP)
        lifespans.append(asyncio.create_task(router(lifespan_scope(), client.receive, client.send)))
    await anyio.wait_all_tasks_blocked()

    for kind, make in (("http", http_scope), ("websocket", websocket_scope)):
        times = nanoseconds(
            {
                "bare": bare,
                "Channels ProtocolTypeRouter": ProtocolTypeRouter(mapping),
                "ProtocolRouter": ProtocolRouter(mapping),
                "ProtocolRouter, a lifespan runs": stateless,
                "ProtocolRouter, with state from a lifespan": stateful,
            },
            lambda number, make=make: make(headers=CLIENTS[number % len(CLIENTS)]),
        )
        report(f"Protocol router: a {kind} scope", times, bare="bare", peer="Channels ProtocolTypeRouter")
    for lifespan in lifespans:
        lifespan.cancel()
