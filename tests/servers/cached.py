"""What a shared cache stands in front of: a small site, as it is and behind compression."""

import json
import os
import random
from collections.abc import Iterator
from email.utils import formatdate
from hashlib import sha256
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, Router

from middleware import CompressionMiddleware

LONG = "max-age=600"
BRIEF = "max-age=1"
NOISE = random.Random(0).randbytes(3000)
DAY = 24 * 60 * 60

version = 1


def rows(title: Any) -> bytes:
    return json.dumps([{"id": number, "name": f"{title} {number}"} for number in range(100)]).encode()


def pieces() -> Iterator[bytes]:
    for number in range(10):
        yield rows(f"piece {number}")


def resource(name: str, user: str) -> tuple[bytes, dict[str, str]]:
    """The content, and the headers that are special."""
    match name:
        case "personal":
            return rows(user), {"Vary": "Cookie"}
        case "brief":
            return rows("brief"), {"Cache-Control": BRIEF}
        case "changing":
            modified = formatdate(version * DAY, usegmt=True)
            return rows(f"version {version}"), {"Cache-Control": BRIEF, "Last-Modified": modified}
        case "untouched":
            return rows("untouched"), {"Cache-Control": f"{LONG}, no-transform"}
        case "picture":
            return rows("pixel"), {"Content-Type": "image/png"}
        case "noise":
            return NOISE, {"Content-Type": "application/octet-stream"}
        case "small":
            return b'"small"', {}
        case _:
            return rows("table"), {}


async def answer(request: Request) -> Response:
    content, special = resource(request.path_params["name"], request.cookies["user"])
    tag, modified = f'"{sha256(content).hexdigest()[:16]}"', formatdate(DAY, usegmt=True)
    headers = {"Content-Type": "application/json", "Cache-Control": LONG, "ETag": tag, "Last-Modified": modified}
    headers |= special
    if "if-none-match" in request.headers:
        known = tag in request.headers["if-none-match"]
    else:
        known = request.headers.get("if-modified-since") == headers["Last-Modified"]
    return Response(None, 304, headers) if known else Response(content, 200, headers)


async def stream(request: Request) -> Response:
    return StreamingResponse(pieces(), 200, {"Cache-Control": LONG, "ETag": '"stream"'}, "application/json")


async def file(request: Request) -> Response:
    path = os.path.join(os.environ["FILES"], f"{request.path_params['name']}.csv")
    return FileResponse(path, headers={"Cache-Control": LONG})


async def change(request: Request) -> Response:
    global version
    version += 1
    return Response()


site = Router([Route("/stream", stream), Route("/{name}.csv", file), Route("/{name}", answer)])
application = Router(
    [
        Route("/change", change, methods=["POST"]),
        Mount("/bare", site),
        Mount("/weak", CompressionMiddleware(site)),
        Mount("/suffix", CompressionMiddleware(site, etag="suffix")),
        Mount("/starlette", GZipMiddleware(site)),
    ]
)
