"""What ``together`` runs on uvicorn: ``tests.benchmarks.server:bare`` and the stacks around it."""

from __future__ import annotations

from typing import Any

from tests.asgi import START
from tests.benchmarks.bodies import html_of
from tests.benchmarks.stacks import our_five, starlettes_three, textbook_five

PAGE = html_of(2_000)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answer with a page; the session is read where there is one, and begun at ``/sign-in``."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    session = scope.get("session")
    if session is not None and scope["path"] == "/sign-in":
        session["user"] = "Ada Lovelace"
    elif session is not None and scope["path"] == "/page":
        session["user"]
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(PAGE))]
    await send({**START, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE})


five = our_five(bare)
three = starlettes_three(bare)
textbook = textbook_five(bare)
