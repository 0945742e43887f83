"""The project that the real servers run: a router in front of Django and of plain ASGI applications.

``application`` is for asyncio. Django cannot run on trio: ``trio_application`` has plain ASGI in its place.
"""

import os
from typing import Any

from django.core.asgi import get_asgi_application

from middleware import PathRouter, ProtocolRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.servers.django_settings")


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Do what the Django project does; like Django, know nothing but http."""
    if scope["type"] != "http":
        raise ValueError(f"plain can only handle http, not {scope['type']}")
    if scope["path"] == "/view-raises/":
        raise RuntimeError("raised by a view")
    status, body = (200, b"hello from a view") if scope["path"] == "/" else (404, b"Not Found")
    await _answer(scope, send, status, body)


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("raised on http")


async def note(scope: Any, receive: Any, send: Any) -> None:
    """Print the query: everything that was done before stands above it in the log."""
    print(f"note {scope['query_string'].decode()}.")
    await _answer(scope, send, 200, b"noted")


async def never(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


async def _answer(scope: Any, send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _project(http: Any) -> ProtocolRouter:
    mounts = {"/raise": failing, "/note": note, "/unlisted": ProtocolRouter(websocket=never)}
    return ProtocolRouter(http=PathRouter(mounts, default=http), websocket="tests.servers.sockets:application")


application = _project(get_asgi_application())
trio_application = _project(plain)
