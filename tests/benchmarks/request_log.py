"""RequestLogMiddleware beside a textbook's logger, asgi-logger, Litestar's and OpenTelemetry's, where installed.

Every line is made and written to where nobody reads. OpenTelemetry's makes spans instead, which nobody keeps.
"""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from middleware import RequestIdMiddleware, RequestLogMiddleware, TraceContextMiddleware
from tests.asgi import BODY, START, http_scope
from tests.benchmarks.cors import CHROMIUM, FIREFOX, RESPONSES
from tests.benchmarks.measure import Scopes, nanoseconds, receive, send, table
from tests.benchmarks.stacks import nowhere, textbook

try:
    from asgi_correlation_id import CorrelationIdMiddleware
except ImportError:
    CorrelationIdMiddleware = None
try:
    from asgi_logger import AccessLoggerMiddleware
except ImportError:
    AccessLoggerMiddleware = None
try:
    from litestar import Litestar, Response, get
    from litestar.logging import LoggingConfig
    from litestar.middleware.logging import LoggingMiddlewareConfig
except ImportError:
    Litestar = None
try:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider
except ImportError:
    OpenTelemetryMiddleware = None

CLIENTS = ("host user-agent accept", FIREFOX, CHROMIUM)  # the names of their headers
CHUNKS = 100_000


class Layer:
    """What passes everything on, as any layer does."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def ours(app: Any, logger: str, line: str = "%(message)s", **options: Any) -> Any:
    return RequestLogMiddleware(app, logger=nowhere(logger, line), **options)


def ours_disabled(app: Any) -> Any:
    logger = nowhere("disabled")
    logger.setLevel(logging.CRITICAL + 1)
    return RequestLogMiddleware(app, logger=logger)


def ours_with_ids(app: Any) -> Any:
    return ours(RequestIdMiddleware(TraceContextMiddleware(app)), "with ids", TIMED)


def asgi_logger(app: Any) -> Any:
    return AccessLoggerMiddleware(app, logger=nowhere("access"))


def opentelemetrys(app: Any) -> Any:
    return OpenTelemetryMiddleware(app, tracer_provider=TracerProvider(), exclude_spans=["send", "receive"])


TIMED = "%(asctime)s %(levelname)s %(message)s"
BARE, PASSING, DISABLED, TEXT, JSON = "bare", "a layer that passes", "disabled", "textbook, text", "textbook, JSON"
PLAIN, COMBINED, IN_JSON, IDS, CORRELATION = "plain", "combined", "json", "request id", "asgi-correlation-id"
CLASSES: dict[str, Callable[[Any], Any]] = {
    PASSING: Layer,
    DISABLED: ours_disabled,
    TEXT: lambda app: textbook(app, nowhere("text")),
    PLAIN: partial(ours, logger="plain", line=TIMED),
    COMBINED: partial(ours, logger="combined", format="combined"),
    JSON: lambda app: textbook(app, nowhere("JSON", "%(message)s"), in_json=True),
    IN_JSON: partial(ours, logger="json", format="json"),
    IDS: RequestIdMiddleware,
    "plain, with ids and trace": ours_with_ids,
}
if CorrelationIdMiddleware is not None:
    CLASSES[CORRELATION] = CorrelationIdMiddleware
if AccessLoggerMiddleware is not None:
    CLASSES["asgi-logger"] = asgi_logger
if OpenTelemetryMiddleware is not None:
    CLASSES["OpenTelemetry's"] = opentelemetrys
LITESTARS = "Litestar's"  # within its application only

Added = dict[str, float]  # what the classes add


def main() -> None:
    added = {title: _measured(headers) for title, headers in RESPONSES.items()}
    names = [*next(iter(added.values()))]
    rows: dict[str, list[float | str]] = {name: [round(times[name]) for times in added.values()] for name in names}
    table("RequestLogMiddleware: ns added to the bare application's", [*added], rows)
    _targets(added)
    _chunks()


def _measured(headers: list[tuple[bytes, bytes]]) -> Added:
    """Measure one kind of responses."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [*headers]})  # its own: others write into it
        await send(BODY)

    scopes = _scopes()
    candidates: dict[str, tuple[Any, Scopes]] = {BARE: (app, scopes)}
    candidates |= {name: (make(app), scopes) for name, make in CLASSES.items()}
    if Litestar is not None:
        candidates |= {"Litestar": (_litestar(headers), scopes), LITESTARS: (_litestar(headers, logs=True), scopes)}
    times = nanoseconds(candidates)
    added = {name: times[name] - times[BARE] for name in CLASSES}
    return added if Litestar is None else {**added, LITESTARS: times[LITESTARS] - times["Litestar"]}


def _litestar(headers: list[tuple[bytes, bytes]], logs: bool = False) -> Any:
    names = {name.decode(): value.decode() for name, value in headers if name.lower() != b"content-length"}

    @get("/orders/42")
    async def answer() -> Response[bytes]:
        return Response(b"hello", headers=names)

    fields = {"request_log_fields": ("method", "path", "query", "client"), "response_log_fields": ("status_code",)}
    layers = [LoggingMiddlewareConfig(logger_name="litestar.lines", **fields).middleware] if logs else []
    app = Litestar([answer], middleware=layers, logging_config=LoggingConfig(), openapi_config=None)
    nowhere("litestar.lines")
    return app


def _scopes() -> Scopes:
    """Scopes of the clients in turn, whose headers are made anew, as a server makes them."""
    heads = ["\n".join(f"{name}:1" for name in client.split()).encode() for client in CLIENTS]
    template = http_scope("/orders/42", query_string=b"page=2")

    def scope(number: int) -> dict[str, Any]:
        lines = heads[number % len(heads)].split(b"\n")
        return {**template, "headers": [tuple(line.split(b":", 1)) for line in lines]}

    return scope


def _targets(added: Mapping[str, Added]) -> None:
    """Print what is to be reached beside what is."""
    ratios = [
        ("plain / textbook, text", PLAIN, TEXT, "0.75"),
        ("combined / textbook, text", COMBINED, TEXT, "0.75"),
        ("json / textbook, JSON", IN_JSON, JSON, "0.60"),
        ("disabled / a layer that passes", DISABLED, PASSING, "1.20"),
    ]
    if CorrelationIdMiddleware is not None:
        ratios.append(("request id / asgi-correlation-id", IDS, CORRELATION, "0.35"))
    rows = {name: [*(times[one] / times[other] for times in added.values()), most] for name, one, other, most in ratios}
    table("RequestLogMiddleware: ratios to reach, added", [*added, "at most"], rows)


def _chunks() -> None:
    """Print what is allocated for each further chunk of a body."""
    rows: dict[str, list[float | str]] = {}
    for version in ("2.3", "2.5"):
        found = {name: _of_a_chunk(CLASSES.get(name), version) for name in (BARE, TEXT, PLAIN)}
        rows[f"ASGI {version}"] = [f"{kept:.3f}, {while_sent}" for kept, while_sent in found.values()]
    table("A further chunk of a body: bytes that stay, and that are there while it is sent", [BARE, TEXT, PLAIN], rows)


def _of_a_chunk(make: Any, version: str) -> tuple[float, int]:
    found = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": []})
        chunk = {**BODY, "more_body": True}
        for _ in range(10):
            await send(chunk)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(CHUNKS):
            await send(chunk)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        await send(chunk)
        found.append(((after - before) / CHUNKS, tracemalloc.get_traced_memory()[1] - after))
        await send(BODY)

    asgi = {"version": "3.0", "spec_version": version}
    conversation = (make(app) if make else app)(http_scope(asgi=asgi), receive, send)
    tracemalloc.start()
    with suppress(StopIteration):
        conversation.send(None)
    tracemalloc.stop()
    return found[0]


if __name__ == "__main__":
    main()
