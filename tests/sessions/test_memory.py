"""MemoryStore: how much it keeps, and for how long."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from middleware import ConfigurationError, MemoryStore
from middleware.sessions import Change, Record, memory

START = 1_000_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=START)
    monkeypatch.setattr(memory, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


async def make(store: MemoryStore, *keys: str, ttl: int = 60, value: bytes = b"1") -> None:
    for key in keys:
        await store.save(key, Change({"a": value}, (), 1_000, created=1_000), ttl)


async def alive(store: MemoryStore, *keys: str) -> list[str]:
    return [key for key in keys if await store.load(key)]


async def test_a_record_lives_for_just_as_long_as_it_was_told(clock: SimpleNamespace) -> None:
    store = MemoryStore()
    await make(store, "a", ttl=10)
    clock.now = START + 9.999
    assert await alive(store, "a") == ["a"]
    await store.touch("a", 1_000, 5)
    clock.now += 4.999
    assert await store.save("a", Change({"b": b"2"}, (), 1_000), 5)
    clock.now += 5
    assert await store.load("a") is None
    assert not await store.save("a", Change({}, (), 1_000), 5)
    assert not await store.touch("a", 1_000, 5)


async def test_above_the_limit_those_that_expire_first_are_forgotten() -> None:
    store = MemoryStore(max_sessions=3)
    await make(store, "long", ttl=1_000)
    await make(store, "short", ttl=10)
    await make(store, "middle", ttl=100)
    await make(store, "new", ttl=500)
    assert await alive(store, "long", "short", "middle", "new") == ["long", "middle", "new"]
    assert not await store.save("short", Change({}, (), 1_000), 60)
    await store.touch("middle", 1_000, 2_000)
    await make(store, "newer", ttl=501)
    assert await alive(store, "long", "middle", "new", "newer") == ["long", "middle", "newer"]


async def test_at_the_limit_the_sessions_that_are_there_can_change() -> None:
    store = MemoryStore(max_sessions=2)
    await make(store, "a", "b")
    for number in range(1_000):
        assert await store.save("ab"[number % 2], Change({f"n{number % 7}": b"1"}, (), 1_000), 60)
    assert len((await store.load("a") or Record({}, 0, 0)).fields) == 8


async def test_a_deleted_session_makes_room() -> None:
    store = MemoryStore(max_sessions=2)
    await make(store, "a", "b")
    await store.delete("b")
    await make(store, "c")
    assert await alive(store, "a", "b", "c") == ["a", "c"]


@pytest.fixture
def grown() -> Any:
    """Says by how many bytes the memory in use has grown."""
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]

    def grown() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    yield grown
    tracemalloc.stop()


async def test_what_has_expired_is_freed(clock: SimpleNamespace, grown: Callable[[], int]) -> None:
    store = MemoryStore()
    for number in range(1_000):
        await make(store, str(number), value=bytes(1_000))
    assert 1_000_000 < (full := grown()) < 5_000_000
    clock.now += 60
    await make(store, "new")
    assert grown() < full - 1_000_000
    assert await alive(store, "new") == ["new"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("verb", ["touch", "save", "made again", "deleted"])
async def test_a_storm_leaves_no_more_than_the_sessions(verb: str, grown: Callable[[], int]) -> None:
    store = MemoryStore()
    keys = [str(number) for number in range(10)]
    await make(store, *keys)
    for number in range(10_000):
        key = keys[number % 10]
        if verb == "touch":
            await store.touch(key, number, 60 + number)
        elif verb == "save":
            await store.save(key, Change({"a": b"%d" % number}, (), number), 60 + number)
        else:
            if verb == "deleted":
                await store.delete(key)
            await make(store, key, ttl=60 + number)
    assert grown() < 300_000
    assert await alive(store, *keys) == keys


@pytest.mark.parametrize("number", [0, -1, 1.5, "10", None, True, [1]], ids=repr)
def test_a_limit_that_is_no_positive_number_is_refused(number: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_sessions=.* is not a positive number"):
        MemoryStore(max_sessions=number)
