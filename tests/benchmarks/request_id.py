"""RequestIdMiddleware beside asgi-correlation-id, TraceContextMiddleware beside OpenTelemetry's, where installed.

OpenTelemetry's makes spans as well, which ours does not; it is measured without an SDK, where it makes none, and with
one that keeps none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from middleware.request_log.request_id import RequestIdMiddleware
from middleware.request_log.trace_context import TraceContextMiddleware
from tests.asgi import BODY, START, http_scope
from tests.benchmarks.cors import CHROMIUM, FIREFOX, RESPONSES
from tests.benchmarks.measure import Scopes, nanoseconds, table

try:
    from asgi_correlation_id import CorrelationIdMiddleware
except ImportError:
    CorrelationIdMiddleware = None
try:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider
except ImportError:
    OpenTelemetryMiddleware = None

CLIENTS = ("host user-agent accept", FIREFOX, CHROMIUM)  # the names of their headers

PEER, WITHOUT_SDK, WITH_SDK = "asgi-correlation-id", "OTel, no SDK", "OTel"
IDS: dict[str, Callable[[Any], Any]] = {"ours": RequestIdMiddleware}
TRACES: dict[str, Callable[[Any], Any]] = {"ours": TraceContextMiddleware}
if CorrelationIdMiddleware is not None:
    IDS = {PEER: CorrelationIdMiddleware, **IDS}
if OpenTelemetryMiddleware is not None:
    quiet: dict[str, Any] = {"exclude_spans": ["send", "receive"]}
    TRACES = {
        WITHOUT_SDK: lambda app: OpenTelemetryMiddleware(app, **quiet),
        WITH_SDK: lambda app: OpenTelemetryMiddleware(app, tracer_provider=TracerProvider(), **quiet),
        **TRACES,
    }

# What the callers send, with ``{}`` for a number that changes each time.
ID_CASES = {
    "no id": "",
    "an id": "x-request-id:4bf92f3577b34da6a3ce9{:011x}",
    "a malformed id": "x-request-id:4bf92f35 {:011x}",
}
PARENT = "traceparent:00-4bf92f3577b34da6a3ce9{:011x}-00f067aa0ba902b7-01"
TRACE_CASES = {
    "no trace": "",
    "a trace": PARENT,
    "a trace and its state": f"{PARENT}\ntracestate:rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,dd=s:1;o:rum",
    "a malformed one": PARENT.replace("-01", "-1"),
}

Times = dict[str, dict[str, float]]  # what the classes add, by case


def main() -> None:
    # What is malformed is told in the log, which is nothing for the output of a benchmark.
    logging.getLogger("asgi_correlation_id").addHandler(logging.NullHandler())
    ids = {title: _measured("RequestIdMiddleware", title, IDS, ID_CASES) for title in RESPONSES}
    for title in RESPONSES:
        _measured("TraceContextMiddleware", title, TRACES, TRACE_CASES)
    if PEER in IDS:
        _targets(ids)


def _measured(ours: str, title: str, classes: Mapping[str, Callable[[Any], Any]], cases: Mapping[str, str]) -> Times:
    """Measure and print one class beside its peers, on one kind of responses."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [*RESPONSES[title]]})  # its own: others write into it
        await send(BODY)

    candidates: dict[tuple[str, str], tuple[Any, Scopes]] = {}
    for case, headers in cases.items():
        candidates[case, "bare"] = app, _scopes(headers)
        for which, made in classes.items():
            candidates[case, which] = made(app), _scopes(headers)
    times = nanoseconds(candidates)

    added: Times = {case: {} for case in cases}
    for (case, which), time in times.items():
        added[case][which] = time if which == "bare" else time - times[case, "bare"]
    peers = [which for which in classes if which != "ours"]
    rows = {
        case: [*(round(time) for time in row.values()), *(f"{row['ours'] / row[peer]:.3f}" for peer in peers)]
        for case, row in added.items()
    }
    columns = ["bare", *classes, *(f"ours / {peer}" for peer in peers)]
    table(f"{ours}, {title}: ns added to the bare application", columns, rows)
    return added


def _scopes(headers: str) -> Scopes:
    """Scopes of the clients in turn, whose headers are made anew, as a server makes them."""
    heads = ["\n".join([*(f"{name}:1" for name in client.split()), headers]).rstrip() for client in CLIENTS]
    template = http_scope()

    def scope(number: int) -> dict[str, Any]:
        lines = heads[number % len(heads)].format(number).encode().split(b"\n")
        return {**template, "headers": [tuple(line.split(b":", 1)) for line in lines]}

    return scope


def _targets(ids: Mapping[str, Times]) -> None:
    """Print what is to be reached beside what is."""
    rows: dict[str, list[float | str]] = {}
    for case in ID_CASES:
        rows[case] = [*(times[case]["ours"] / times[case][PEER] for times in ids.values()), "0.35"]
    table(f"RequestIdMiddleware / {PEER}: ratios to reach, added", [*ids, "at most"], rows)
