"""Sessions in Redis or Valkey: for many workers on many machines.

Each session is a hash with a field for each key of the session, so that changes of two requests do not meet; one script
makes a change, so that it is made as a whole and in one round trip. Spec: Redis HSET, EVAL, PEXPIRE.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._errors import Problem, refuse
from .store import Change, Record, SessionStoreError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    _Opened = tuple[Any, asyncio.Semaphore, AsyncGenerator[None, None]]

_logger = logging.getLogger("middleware.sessions")
_HIDDEN = "…"  # an address may hold a password
_BUDGET = 0.25  # seconds for a command, with the connection to it
_MAX_CONNECTIONS = 50  # of an event loop
_CREATED, _SEEN, _DATA = b"created", b"seen", b"d:"

# KEYS: the session. ARGV: whether to make it, its milliseconds if it is renewed, how many fields to delete, those,
# names and values.
_CHANGE = """
if ARGV[1] == '0' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[1] == '1' then redis.call('DEL', KEYS[1]) end
local last = 3 + tonumber(ARGV[3])
for i = 4, last do redis.call('HDEL', KEYS[1], ARGV[i]) end
for i = last + 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
"""


class RedisStore:
    """Keep sessions in Redis or Valkey; needs ``asgi-middleware[redis]``, and asyncio.

    A command that is not answered within 250 ms, the time to connect included, fails with ``SessionStoreError``;
    nothing is tried twice.

    Args:
        url: ``"redis://localhost:6379/0"``, ``"rediss://..."`` or ``"unix://..."``.
        prefix: What the names of the keys begin with.

    Raises:
        ConfigurationError: If redis is not installed, or ``url`` is not one.
    """

    __slots__ = ("_library", "_loops", "_prefix", "_url")

    def __init__(self, url: str, *, prefix: str = "session:") -> None:
        try:
            self._library: Any = import_module("redis.asyncio")
        except ImportError:
            self._library = None
        wrong = None if isinstance(prefix, str) else Problem("prefix", prefix, "is not a string", "write 'session:'")
        refuse("RedisStore", [self._problem(url), wrong])
        self._url = url
        self._prefix = prefix
        self._loops: dict[asyncio.AbstractEventLoop, _Opened] = {}

    def _problem(self, url: str) -> Problem | None:
        if self._library is None:
            remedy = "run: pip install 'asgi-middleware[redis]'"
            return Problem("url", _HIDDEN, "needs redis, which is not installed", remedy)
        try:
            self._library.ConnectionPool.from_url(url, **self._silent()).make_connection()
        except (ValueError, TypeError, AttributeError, self._library.RedisError):
            return Problem("url", _HIDDEN, "is not the address of a Redis", "write 'redis://localhost:6379/0'")
        return None

    async def load(self, key: str) -> Record | None:
        found: dict[bytes, bytes] = await self._ask(lambda redis: redis.hgetall(self._prefix + key))
        if _CREATED not in found:
            return None
        data = [(name[len(_DATA) :], value) for name, value in found.items() if name.startswith(_DATA)]
        try:
            fields = {name.decode("utf-8", "surrogatepass"): value for name, value in data}
            return Record(fields, int(found[_CREATED]), int(found[_SEEN]))
        except (KeyError, ValueError):
            _logger.warning("a session in Redis is not one of ours; it is taken for none")
            return None

    async def save(self, key: str, change: Change, ttl: int) -> bool:
        pairs: list[Any] = [] if change.seen is None else [_SEEN, change.seen]
        if change.created is not None:
            pairs += [_CREATED, change.created]
        for name, value in change.set.items():
            pairs += [_DATA + name.encode("utf-8", "surrogatepass"), value]
        gone = [_DATA + name.encode("utf-8", "surrogatepass") for name in change.delete]
        milliseconds = 0 if change.seen is None else ttl * 1000
        arguments = [int(change.created is not None), milliseconds, len(gone), *gone, *pairs]
        return bool(await self._ask(lambda redis: redis.eval(_CHANGE, 1, self._prefix + key, *arguments)))

    async def delete(self, key: str) -> None:
        await self._ask(lambda redis: redis.unlink(self._prefix + key))

    async def touch(self, key: str, seen: int, ttl: int) -> bool:
        return await self.save(key, Change({}, (), seen), ttl)

    async def _ask(self, command: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise SessionStoreError("RedisStore needs asyncio: on trio, use another store") from None
        try:
            async with asyncio.timeout(_BUDGET):
                client, turns, _ = await self._opened(loop)
                async with turns:
                    try:
                        return await command(client)
                    except self._library.ConnectionError:
                        # The others that are idle lead to the same end: let no later command fail because of it.
                        await client.connection_pool.disconnect(inuse_connections=False)
                        raise
        except TimeoutError as error:
            raise SessionStoreError(f"Redis did not answer within {_BUDGET} seconds") from error
        except (self._library.RedisError, OSError) as error:
            raise SessionStoreError(f"Redis: {error}") from error

    async def _opened(self, loop: asyncio.AbstractEventLoop) -> _Opened:
        """The client of an event loop, whose connections are of no use to another."""
        if loop not in self._loops:
            for other in [*self._loops]:
                if other.is_closed():  # without having closed its generators
                    del self._loops[other]
            client = self._client()
            closing = self._close(loop, client)
            # A pool that waits for connections itself does not always end in time.
            self._loops[loop] = (client, asyncio.Semaphore(_MAX_CONNECTIONS), closing)
            await anext(closing)
        return self._loops[loop]

    async def _close(self, loop: asyncio.AbstractEventLoop, client: Any) -> AsyncGenerator[None, None]:
        """Let go of the connections when the event loop ends, which then closes what it has of generators."""
        try:
            yield
        finally:
            del self._loops[loop]
            await client.connection_pool.disconnect()

    def _client(self) -> Any:
        pool = self._library.ConnectionPool.from_url(
            self._url,
            socket_connect_timeout=_BUDGET,
            retry=import_module("redis.asyncio.retry").Retry(import_module("redis.backoff").NoBackoff(), 0),
            **self._silent(),
        )
        pool.max_connections = _MAX_CONNECTIONS
        # Whatever the address says. A time limit for the socket would be kept by `asyncio.wait_for`, which loses
        # cancellations before Python 3.12, and so the one that ends a command in time.
        pool.connection_kwargs |= {"decode_responses": False, "socket_timeout": None}
        return self._library.Redis(connection_pool=pool)

    def _silent(self) -> dict[str, None]:
        """What keeps redis from telling its version with each connection: to find that, it reads files."""
        names = inspect.signature(self._library.connection.AbstractConnection).parameters
        return dict.fromkeys(["driver_info"] if "driver_info" in names else ["lib_name", "lib_version"])
