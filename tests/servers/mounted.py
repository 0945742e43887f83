"""A FastAPI application that needs its lifespan, beside Django: the projects of servers that send none.

``application`` waits for a server that starts it, ``lazy`` for the first connection.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from django.core.asgi import get_asgi_application
from fastapi import FastAPI, Request, WebSocket

from middleware import PathRouter, ProtocolRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.servers.django_settings")


class Arrivals:
    """Tell when the second connection comes."""

    def __init__(self, app: Any) -> None:
        self.second = asyncio.Event()
        self._app = app
        self._count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._count += 1
        if self._count == 2:
            self.second.set()
        await self._app(scope, receive, send)


@asynccontextmanager
async def database(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    """Take so long to open that a second connection comes meanwhile."""
    print("database: opening")
    async with asyncio.timeout(5):
        await lazy.second.wait()
    yield {"db": "the database"}


api = FastAPI(lifespan=database)


@api.get("/db")
async def db(request: Request) -> str:
    return request.state.db


@api.websocket("/db")
async def websocket_db(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.state.db)
    await websocket.close()


def project(lifespan: Any = None) -> ProtocolRouter:
    http = PathRouter({"/api": api, "/": get_asgi_application()})
    return ProtocolRouter(http=http, websocket=PathRouter({"/api": api}), lifespan=lifespan)


application = project()
lazy = Arrivals(project("lazy"))
