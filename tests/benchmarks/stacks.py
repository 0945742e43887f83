"""Five layers around an application: ours, those of a textbook with Starlette's and Channels', and Starlette's three.

A layer of the textbook's logs as many write it: a closure around ``send``, and eight fields in a line.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any

from channels.routing import ProtocolTypeRouter
from starlette.middleware.cors import CORSMiddleware as StarlettesCORSMiddleware
from starlette.middleware.gzip import GZipMiddleware as StarlettesGZipMiddleware
from starlette.middleware.sessions import SessionMiddleware as StarlettesSessionMiddleware

from middleware import (
    CompressionMiddleware,
    CORSMiddleware,
    ProtocolRouter,
    RequestLogMiddleware,
    SessionMiddleware,
)

SECRET = "0123456789abcdef" * 4
CORS: dict[str, Any] = {"allow_origins": ["https://app.example.com"], "allow_credentials": True}

Make = Callable[[Any], Any]


def nowhere(name: str, line: str = "%(asctime)s %(levelname)s %(message)s") -> logging.Logger:
    """A logger whose lines are made, and written to where nobody reads."""
    logger = logging.getLogger(name)
    handler = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115 - it stays open
    handler.setFormatter(logging.Formatter(line))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


def textbook(app: Any, logger: logging.Logger, in_json: bool = False) -> Any:
    async def logged(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        started = perf_counter()
        status, size = 500, 0

        async def sending(message: Any) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await app(scope, receive, sending)
        finally:
            headers = dict(scope["headers"])
            fields = {
                "method": scope.get("method", "GET"),
                "path": scope["path"],
                "query": scope["query_string"].decode("latin-1"),
                "status": status,
                "duration": round((perf_counter() - started) * 1_000, 1),
                "size": size,
                "client": scope["client"][0],
                "agent": headers.get(b"user-agent", b"").decode("latin-1"),
            }
            if in_json:
                logger.info(json.dumps({"time": datetime.now(UTC).isoformat(), "level": "INFO", **fields}))
            else:
                logger.info("%s %s %s %s %.1f ms %s %s %s", *fields.values())

    return logged


def starlettes_three(app: Any) -> Any:
    app = StarlettesSessionMiddleware(app, SECRET)
    return StarlettesCORSMiddleware(StarlettesGZipMiddleware(app), **CORS)


def textbook_five(app: Any) -> Any:
    app = starlettes_three(ProtocolTypeRouter({"http": app, "websocket": app}))
    return textbook(app, nowhere("textbook"))


def our_five(app: Any, **log: Any) -> Any:
    app = SessionMiddleware(ProtocolRouter(http=app, websocket=app, lifespan=False), SECRET)
    app = CORSMiddleware(CompressionMiddleware(app), **CORS)
    return RequestLogMiddleware(app, logger=nowhere("ours"), **log)


BARE, TEXTBOOK, OURS, THREE = "bare", "textbook + Starlette + Channels", "our five", "Starlette's three"
STACKS: dict[str, Make] = {
    BARE: lambda app: app,
    THREE: starlettes_three,
    TEXTBOOK: textbook_five,
    OURS: partial(our_five),
}
