"""Write what docs/request-log.md shows: some requests and websockets in each format, and a picture of a terminal.

python -m tests.request_log.transcripts
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, Router, WebSocketRoute

from middleware import RequestLogMiddleware
from middleware.request_log import TraceContext
from tests.asgi import CONNECT, REQUEST, Client, http_scope, websocket_scope

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURE = DOCS / "request-log.md", DOCS / "request-log-console.svg"
NOON = 1_795_176_000.0  # 20 November 2026, 12:00:00 UTC
AGENT = "Mozilla/5.0 Firefox/150.0"
LEFT = {"type": "http.disconnect"}
LOGGER = logging.getLogger("transcripts")
LOGGER.propagate = False
LOGGER.setLevel(logging.INFO)


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.nanoseconds = 0

    def wait(self, seconds: float) -> None:
        self.nanoseconds += round(seconds * 1e9)

    def time(self) -> float:
        return NOON + self.nanoseconds / 1e9


class Report:
    """An application that asks whether the client is there yet, and gives up."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.clock.wait(0.94)
        await receive()


class Site:
    """An application to which everything happens that can happen."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.app = Router(
            [
                Route("/items/{id}", self.item),
                Route("/items", self.create, methods=["POST"]),
                Route("/basket", self.moved),
                Route("/search", self.search),
                Route("/export", self.export),
                Route("/report", Report(clock)),
                Route("/pay", self.pay),
                WebSocketRoute("/chat/{room}", self.chat),
                WebSocketRoute("/admin", self.forbidden),
            ]
        )

    async def item(self, request: Any) -> Response:
        self.clock.wait(0.0123)
        return JSONResponse({"text": "a" * 1216})

    async def create(self, request: Any) -> Response:
        await request.body()
        self.clock.wait(0.0317)
        return JSONResponse({"id": 43}, 201)

    async def moved(self, request: Any) -> Response:
        self.clock.wait(0.0008)
        return RedirectResponse("/login?next=/basket")

    async def search(self, request: Any) -> Response:
        self.clock.wait(1.82)
        return PlainTextResponse("a" * 48_211)

    async def export(self, request: Any) -> Response:
        async def rows() -> AsyncIterator[bytes]:
            self.clock.wait(0.21)
            yield b"a" * 65_536
            raise LookupError

        return StreamingResponse(rows())

    async def pay(self, request: Any) -> Response:
        self.clock.wait(0.0041)
        raise ConnectionRefusedError

    async def chat(self, websocket: Any) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            self.clock.wait(123.4)
            await websocket.send_text("hello back")

    async def forbidden(self, websocket: Any) -> None:
        self.clock.wait(0.0006)
        await websocket.close()


def exchanges() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Scopes, and what the client does."""
    lang = [(b"user-agent", AGENT.encode()), (b"referer", b"https://example.com/?sort=price")]
    upload = {"type": "http.request", "body": b'{"name":"cup"}'}
    text = {"type": "websocket.receive", "text": "hello"}
    trace = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    ids = {"request_id": "9f3c1a7be0d24f6b", "trace_context": trace}
    gone = {"type": "websocket.disconnect", "code": 1001}
    yield http_scope("/items/42", headers=lang, user="ada", **ids), (REQUEST,)
    yield http_scope("/items", method="POST", headers=lang), (upload,)
    yield http_scope("/basket", query_string=b"token=s3cret&page=2", headers=lang), (REQUEST,)
    yield http_scope("/search", query_string=b"q=cup", headers=lang), (REQUEST,)
    yield http_scope("/wp-login.php", headers=[(b"user-agent", b'"\x1b[2J\r\n')]), (REQUEST,)
    yield http_scope("/report", headers=lang), (LEFT,)
    yield http_scope("/export", headers=lang), (REQUEST,)
    yield http_scope("/pay", headers=lang), (REQUEST,)
    yield websocket_scope("/chat/tea", headers=lang), (CONNECT, text, text, gone)
    yield websocket_scope("/admin", headers=lang), (CONNECT,)


class Lines(logging.Handler):
    """Keeps what is logged, as a handler with "%(levelname)-7s %(message)s" does, or the messages alone."""

    def __init__(self, way: str | None) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(None if way else "%(levelname)-7s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def at_noon(clock: Clock) -> Iterator[None]:
    """The clock is the one that the log looks at, in UTC."""
    watch = "middleware.request_log.watch"
    with (
        mock.patch(f"{watch}.perf_counter_ns", lambda: clock.nanoseconds),
        mock.patch(f"{watch}.time", clock.time),
        mock.patch.dict(os.environ, TZ="UTC", TERM="xterm", NO_COLOR="", FORCE_COLOR=""),
    ):
        time.tzset()
        yield
    time.tzset()


def lines(way: str | None = None) -> list[str]:
    """What a handler writes of all exchanges."""
    handler = Lines(way)
    with mock.patch.object(LOGGER, "handlers", [handler]):
        visit(way)
    return handler.lines


def console() -> list[str]:
    """What a terminal shows where logging is not configured."""
    written: list[str] = []
    terminal = mock.Mock(write=written.append, isatty=lambda: True)
    with mock.patch("sys.stderr", terminal), mock.patch.object(LOGGER, "handlers", []):
        visit()
    return "".join(written).splitlines()


def visit(way: str | None = None) -> None:
    clock = Clock()
    LOGGER.getChild("startup").disabled = True  # it would tell what else the process has set up

    async def every() -> None:
        layer = RequestLogMiddleware(Site(clock).app, logger=LOGGER, format=way)
        for scope, events in exchanges():
            client = Client(*events)
            with suppress(LookupError, ConnectionRefusedError):
                await layer(scope, client.receive, client.send)
            clock.wait(0.25)

    with at_noon(clock):
        anyio.run(every)


COLOURS = {"2": "#8b949e", "31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "36": "#79c0ff", "0": "#e6edf3"}


def picture(shown: list[str]) -> str:
    """An SVG of lines with the codes of a terminal in them."""
    rows = []
    for number, line in enumerate(shown):
        spans, colour = [], COLOURS["0"]
        for code, text in re.findall("(?:\x1b\\[(\\d+)m)?([^\x1b]*)", line):
            colour = COLOURS.get(code, colour)
            spans.append(f'<tspan fill="{colour}">{escape(text)}</tspan>' * bool(text))
        rows.append(f'  <text x="16" y="{34 + number * 22}" xml:space="preserve">{"".join(spans)}</text>\n')
    width = 32 + round(8.5 * max(len(re.sub("\x1b\\[\\d+m", "", line)) for line in shown))
    height = 32 + 22 * len(shown)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">\n'
        f'  <rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>\n{"".join(rows)}</svg>\n'
    )


def shown() -> dict[str, str]:
    """The blocks of the page, by the heading that they stand below."""
    first, *_ = lines("json")
    texts = {"Lines for handlers": lines(), "combined": lines("combined")}
    return {heading: "\n".join(found) for heading, found in texts.items()} | {
        "json": json.dumps(json.loads(first), indent=2)
    }


def main() -> None:
    page = PAGE.read_text()
    for heading, text in shown().items():
        page = re.sub(
            rf"(^### {heading}\n.*?^```\w+\n).*?(^```$)",
            lambda match, text=text: f"{match[1]}{text}\n{match[2]}",  # type: ignore[misc]
            page,
            count=1,
            flags=re.MULTILINE | re.DOTALL,
        )
    PAGE.write_text(page)
    PICTURE.write_text(picture(console()))


if __name__ == "__main__":
    main()
