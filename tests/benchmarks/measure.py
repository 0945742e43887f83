"""Measure what a request costs through several applications, side by side in one run.

Each coroutine is driven by hand, without event loop or server, on a fresh scope each time; the applications take
turns in every round, each for about the same time, and the best round of each counts.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, TypeVar

ROUNDS = 100
TURN = 1_000_000  # nanoseconds
LEAST_CALLS = 3  # of a slow application in its turn: one for each client of the rotation

Name = TypeVar("Name")
Scopes = Callable[[int], dict[str, Any]]


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: dict[str, Any]) -> None: ...


def nanoseconds(candidates: Mapping[Name, tuple[Any, Scopes]]) -> dict[Name, float]:
    """The time of one call of each application; the function beside it makes the scope of the n-th call."""
    best = dict.fromkeys(candidates, float("inf"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, (app, scope) in candidates.items():
                calls = max(LEAST_CALLS, int(TURN / best[name]))
                scopes = [scope(number) for number in range(calls)]
                started = perf_counter_ns()
                for one in scopes:
                    _drive(app(one, receive, send))
                best[name] = min(best[name], (perf_counter_ns() - started) / calls)
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
