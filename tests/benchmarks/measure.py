"""Measure what a request costs through several applications, side by side in one run.

Each coroutine is driven by hand, without event loop or server, on a fresh scope each time; the applications take
turns in every round, each for about the same time, and the best round of each counts. Every second round goes
backwards: whoever comes behind one that filled the processor's caches is slower for it. Time is the processor's, not
the clock's, so that what else the machine does matters little.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from time import thread_time_ns
from typing import Any, TypeVar

ROUNDS = 100
TURN = 1_000_000  # nanoseconds
LEAST_CALLS = 3  # of a slow application in its turn: one for each client of the rotation

Name = TypeVar("Name")
Scopes = Callable[[int], dict[str, Any]]


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: dict[str, Any]) -> None: ...


def nanoseconds(
    candidates: Mapping[Name, tuple[Any, Scopes]], rounds: int = ROUNDS, least_calls: int = LEAST_CALLS
) -> dict[Name, float]:
    """The time of one call of each application; the function beside it makes the scope of the n-th call."""
    best = dict.fromkeys(candidates, float("inf"))
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for name in reversed(best) if number % 2 else best:
                app, scope = candidates[name]
                calls = max(least_calls, int(TURN / best[name]))
                scopes = [scope(call) for call in range(calls)]
                started = thread_time_ns()
                for one in scopes:
                    _drive(app(one, receive, send))
                best[name] = min(best[name], (thread_time_ns() - started) / calls)
    finally:
        gc.enable()
    return best


def _drive(coroutine: Any) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("an application of a benchmark waited for something")


def table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float | str]]) -> None:
    """Print rows of numbers: whole ones as they are, others with two decimals."""
    lines = {name: [_shown(cell) for cell in cells] for name, cells in rows.items()}
    first = max(map(len, lines))
    widths = [max(map(len, cells)) for cells in zip(columns, *lines.values(), strict=True)]
    print(f"\n{title}")
    for name, cells in {"": columns, **lines}.items():
        print(f"  {name:<{first}}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)), sep="   ")


def _shown(cell: float | str) -> str:
    return f"{cell:,.2f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell
