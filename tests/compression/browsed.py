"""The server that a browser asks for texts, streams, files and secrets, and what went over the wire.

The environment says in JSON what each folder is behind, the keywords of ``CompressionMiddleware``, and where the files
are.
"""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

from middleware import CompressionMiddleware

PAGE = "<!doctype html><title>A page</title><body>"
TEXT = "".join(f"line {number} of a text, größer\n" for number in range(1000))
WAIT_SECONDS = 10

wishes: dict[str, asyncio.Queue[None]] = defaultdict(asyncio.Queue)


async def stream(request: Request) -> Response:
    """Pieces, each of which is sent when the page has asked for the next one."""
    wished = wishes[request.query_params["name"]]

    async def pieces() -> AsyncIterator[str]:
        async with asyncio.timeout(WAIT_SECONDS):
            for piece in request.query_params.getlist("piece"):
                await wished.get()
                yield piece

    return StreamingResponse(pieces(), media_type=request.query_params["type"])


async def wish(request: Request) -> Response:
    wishes[request.query_params["name"]].put_nowait(None)
    return Response()


async def login(request: Request) -> Response:
    response = HTMLResponse(PAGE)
    response.set_cookie("visitor", "seven", samesite="none", secure=True)
    return response


async def secret(request: Request) -> Response:
    # Where the user has allowed cookies to pages of other sites, Chromium sends them when it is told so here.
    return HTMLResponse(PAGE + TEXT, headers={"Activate-Storage-Access": "retry; allowed-origin=*"})


site = Router(
    [
        Route("/text", PlainTextResponse(TEXT)),
        Route("/stream", stream),
        Route("/next", wish, methods=["POST"]),
        Route("/login", login),
        Route("/secret", secret),
        Mount("/files", StaticFiles(directory=os.environ["FILES"])),
    ]
)
folders = Router(
    [
        Route("/page.html", HTMLResponse(PAGE)),
        *(
            Mount(f"/{name}", CompressionMiddleware(site, **options))
            for name, options in json.loads(os.environ["FOLDERS"]).items()
        ),
    ]
)


async def application(scope: Any, receive: Any, send: Any) -> None:
    async def tell(message: Any) -> None:
        if message["type"] == "http.response.start":
            address = f"{scope['path']}?{scope['query_string'].decode()}"
            print(json.dumps([address, decoded(scope), message["status"], decoded(message)]), flush=True)
        await send(message)

    await folders(scope, receive, tell)


def decoded(headed: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headed["headers"]}
