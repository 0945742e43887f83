"""Measure what a request costs through several applications, side by side in one run.

Each coroutine is driven by hand, without event loop or server, on a fresh scope each time; the applications take
turns in every round, and the best round of each counts. What is told is the cost above the bare application.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

ROUNDS = 40
CALLS = 4_000


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: dict[str, Any]) -> None: ...


def nanoseconds(apps: Mapping[str, Any], scope: Callable[[int], dict[str, Any]]) -> dict[str, float]:
    """The time of one call of each application; ``scope(n)`` makes the scope of the n-th call."""
    best = dict.fromkeys(apps, float("inf"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, app in apps.items():
                scopes = [scope(number) for number in range(CALLS)]
                started = perf_counter_ns()
                for one in scopes:
                    _drive(app(one, receive, send))
                best[name] = min(best[name], (perf_counter_ns() - started) / CALLS)
    finally:
        gc.enable()
    return best


def _drive(coroutine: Any) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("an application of a benchmark waited for something")


def report(title: str, times: Mapping[str, float], *, bare: str, peer: str) -> None:
    """Print the cost of each application above ``bare``, and as a ratio of the peer's."""
    print(f"\n{title}")
    for name, time in times.items():
        added = time - times[bare]
        share = added / (times[peer] - times[bare])
        print(f"  {name:<44} {time:6.0f} ns, added {added:6.0f} ns, {share:5.2f} of the peer's")
