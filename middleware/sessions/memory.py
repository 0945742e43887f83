"""Sessions in the memory of one process: for development, for tests, and for a single worker."""

from __future__ import annotations

import heapq
import threading
import time
from typing import NamedTuple

from .._errors import Problem, refuse
from .store import Change, Record


class _Kept(NamedTuple):
    record: Record
    expires: float


class MemoryStore:
    """Keep sessions in memory, until they expire or the process ends.

    It can be used from several event loops and threads at once.

    Args:
        max_sessions: How many are kept; above that, those that expire first are forgotten.

    Raises:
        ConfigurationError: If ``max_sessions`` is no positive number.
    """

    __slots__ = ("_expiring", "_kept", "_lock", "_max_sessions")

    def __init__(self, max_sessions: int = 100_000) -> None:
        if isinstance(max_sessions, bool) or not isinstance(max_sessions, int) or max_sessions < 1:
            refuse("MemoryStore", [Problem("max_sessions", max_sessions, "is not a positive number", "write one")])
        self._kept: dict[str, _Kept] = {}
        self._expiring: list[tuple[float, str]] = []  # a heap; an entry whose time is not that of the key is stale
        self._lock = threading.Lock()
        self._max_sessions = max_sessions

    async def load(self, key: str) -> Record | None:
        with self._lock:
            return self._alive(key)

    async def save(self, key: str, change: Change, ttl: int) -> bool:
        with self._lock:
            record = self._alive(key) if change.created is None else Record({}, change.created, change.created)
            if record is None:
                return False
            fields = {name: value for name, value in record.fields.items() if name not in change.delete}
            record = record._replace(fields={**fields, **change.set})
            if change.seen is None:
                self._kept[key] = self._kept[key]._replace(record=record)
            else:
                self._keep(key, record._replace(seen=change.seen), ttl)
            return True

    async def delete(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)

    async def touch(self, key: str, seen: int, ttl: int) -> bool:
        with self._lock:
            record = self._alive(key)
            if record is not None:
                self._keep(key, record._replace(seen=seen), ttl)
            return record is not None

    def _alive(self, key: str) -> Record | None:
        kept = self._kept.get(key)
        return kept.record if kept and kept.expires > time.time() else None

    def _keep(self, key: str, record: Record, ttl: int) -> None:
        expires = time.time() + ttl
        self._kept[key] = _Kept(record, expires)
        heapq.heappush(self._expiring, (expires, key))
        self._sweep()

    def _sweep(self) -> None:
        """Forget what has expired, and what is too much."""
        now = time.time()
        while self._expiring and (self._expiring[0][0] <= now or len(self._kept) > self._max_sessions):
            expires, key = heapq.heappop(self._expiring)
            if key in self._kept and self._kept[key].expires == expires:
                del self._kept[key]
        if len(self._expiring) > 2 * len(self._kept) + 100:
            self._expiring = [(kept.expires, key) for key, kept in self._kept.items()]
            heapq.heapify(self._expiring)
