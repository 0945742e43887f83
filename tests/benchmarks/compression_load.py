"""Compression under load: the memory of open event streams, and what many large bodies do to the event loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from types import coroutine
from typing import Any

from starlette.middleware.gzip import GZipMiddleware as StarlettesGZipMiddleware
from starlette_compress import CompressMiddleware

from middleware import CompressionMiddleware, GZipMiddleware
from tests.asgi import START, http_scope
from tests.benchmarks.bodies import json_of
from tests.benchmarks.measure import receive, send, table

EVENTS = "text/event-stream"
MEMORY = Path("/proc/self/statm")  # of Linux; in pages
PAGE = 4  # KiB
STREAMS = 400
SENT = 300  # events in each stream before it is measured
STREAMING: dict[str, tuple[Any, str]] = {
    "the bare application": (lambda app: app, ""),
    "Starlette, gzip 6": (partial(StarlettesGZipMiddleware, compresslevel=6, exclude_content_types=()), "gzip"),
    "starlette-compress, gzip": (CompressMiddleware, "gzip"),
    "starlette-compress, br": (CompressMiddleware, "br"),
    "starlette-compress, zstd": (CompressMiddleware, "zstd"),
    "GZipMiddleware": (partial(GZipMiddleware, stream_content_types=[EVENTS]), "gzip"),
    "CompressionMiddleware, gzip": (partial(CompressionMiddleware, stream_content_types=[EVENTS]), "gzip"),
    "CompressionMiddleware, br": (partial(CompressionMiddleware, stream_content_types=[EVENTS]), "br"),
    "CompressionMiddleware, zstd": (partial(CompressionMiddleware, stream_content_types=[EVENTS]), "zstd"),
}

AT_ONCE = 40
REPEATS = 5
HEARTBEAT = 0.001  # seconds
LOADED: dict[str, tuple[Any, str]] = {
    "Starlette, 6": (partial(StarlettesGZipMiddleware, compresslevel=6), "gzip"),
    "Starlette, 9": (StarlettesGZipMiddleware, "gzip"),
    "GZipMiddleware": (GZipMiddleware, "gzip"),
    "CompressionMiddleware, br": (CompressionMiddleware, "br"),
    "CompressionMiddleware, zstd": (CompressionMiddleware, "zstd"),
}


def main() -> None:
    if MEMORY.exists():
        _memory()
    _stall()


def _memory() -> None:
    """Print what a stream takes while it is open, each class in a process of its own."""
    with ProcessPoolExecutor(2, get_context("spawn"), max_tasks_per_child=1) as pool:
        found = dict(zip(STREAMING, pool.map(_memory_of_a_stream, STREAMING), strict=True))
    floor = found["the bare application"][0]
    rows = {name: (f"{held:.1f}", f"{held - floor:.1f}", f"{ratio:.2f}") for name, (held, ratio) in found.items()}
    title = f"An open event stream after {SENT} events of 100 B: KiB, and how many times smaller it is sent"
    table(title, ("total", "added", "ratio"), rows)
    rows = {f"{name}, KiB": (f"{found[name][0]:.1f}", "40.0") for name in found if "Middleware" in name}
    table("An open event stream: to reach", ("reached", "at most"), rows)


def _memory_of_a_stream(name: str) -> tuple[float, float]:
    """KiB of an open stream, and how much smaller it is sent."""
    make, coding = STREAMING[name]
    text = json_of(SENT * 92)
    events = [b"data: %s\n\n" % text[start : start + 92] for start in range(0, SENT * 92, 92)]
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", EVENTS.encode())]
        await send({**START, "headers": headers})
        for event in events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await _for_ever()

    async def sending(message: dict[str, Any]) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))

    def opened() -> Any:
        stream = make(app)(http_scope(headers=[(b"accept-encoding", coding.encode())]), receive, sending)
        stream.send(None)
        return stream

    streams = [opened()]  # the first one loads what all share
    gc.collect()
    before = _resident()
    streams += [opened() for _ in range(STREAMS)]
    gc.collect()
    taken = _resident() - before
    for stream in streams:
        stream.close()
    return taken / STREAMS, sum(map(len, events)) * len(streams) / sent


@coroutine
def _for_ever() -> Any:
    yield


def _resident() -> int:
    """KiB of this process that are in memory."""
    return int(MEMORY.read_text().split()[1]) * PAGE


def _stall() -> None:
    """Print how late a task wakes up while many large bodies are encoded."""
    body = json_of(2**20)
    late: dict[str, list[list[float]]] = {name: [] for name in LOADED}
    for _ in range(REPEATS):
        for name, runs in late.items():
            runs.append(asyncio.run(_lateness(*LOADED[name], body)))
    rows = {name: [f"{figure:,.1f}" for figure in _figures(runs)] for name, runs in late.items()}
    title = f"{AT_ONCE} bodies of 1 MB at once: milliseconds by which a task that sleeps for one wakes up late"
    table(title, ("p50", "p99", "max", "p99 over time"), rows)
    _targets(late)


async def _lateness(make: Any, coding: str, body: bytes) -> list[float]:
    """Milliseconds by which a task that sleeps for one wakes up late, again and again until all bodies are sent."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    wrapped = make(app)
    gaps: list[float] = []

    async def heartbeat() -> None:
        while True:
            slept = perf_counter()
            await asyncio.sleep(HEARTBEAT)
            gaps.append((perf_counter() - slept - HEARTBEAT) * 1_000)

    beating = asyncio.create_task(heartbeat())
    await asyncio.sleep(10 * HEARTBEAT)
    gaps.clear()
    scopes = [http_scope(headers=[(b"accept-encoding", coding.encode())]) for _ in range(AT_ONCE)]
    await asyncio.gather(*(wrapped(scope, receive, send) for scope in scopes))
    await asyncio.sleep(2 * HEARTBEAT)  # for the gap in which the last one was encoded
    beating.cancel()
    return gaps


def _figures(runs: list[list[float]]) -> list[float]:
    every = [gap for run in runs for gap in run]
    return [median(every), _median_p99(runs), max(every), _median_p99(_over_time(runs))]


def _over_time(runs: list[list[float]]) -> list[list[float]]:
    """How long from each millisecond on it took until the loop went on: what a request meets that comes then.

    A second in which nothing goes on is one late sleep, but meets a thousand requests.
    """
    return [[late - waited for late in run for waited in range(int(late) + 1)] for run in runs]


def _median_p99(runs: list[list[float]]) -> float:
    return median(quantiles(run, n=100, method="inclusive")[-1] for run in runs)


def _targets(late: Mapping[str, list[list[float]]]) -> None:
    p99 = {name: (_median_p99(runs), _median_p99(_over_time(runs))) for name, runs in late.items()}
    rows = {
        f"{name} / {peer}": [ours / theirs for ours, theirs in zip(p99[name], p99[peer], strict=True)] + ["0.20"]
        for name in p99
        for peer in p99
        if "Middleware" in name and "Starlette" in peer
    }
    table("The event loop: ratios to reach", ("p99", "p99 over time", "at most"), rows)
