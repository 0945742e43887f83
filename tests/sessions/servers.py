"""What the tests of the stores run on: a real redis-server, each kind of store, and visitors with a cookie each."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.middleware.errors import ServerErrorMiddleware

from middleware import MemoryStore, RedisStore, Session, SessionMiddleware, SQLiteStore
from middleware.sessions import Change, Record
from tests.asgi import BODY, START, Message, call, http_scope

START_SECONDS = 30
STOP_SECONDS = 15

_WAIT = """
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1]) end
"""

_prefixes = (f"test{number}:" for number in count())


class RedisServer:
    """A redis-server on a free port of 127.0.0.1, which can be frozen, killed and started again."""

    def __init__(self, program: str, folder: Path, *, keeps: bool) -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            self.port = int(sock.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        listening = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder), "--logfile", "log")
        self._command = [program, *listening, "--save", "", "--appendonly", "yes" if keeps else "no"]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while self._answer_to_ping() != b"+PONG\r\n":
            assert self._process.poll() is None and time.monotonic() < deadline, "redis-server does not start"
            time.sleep(0.01)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def ask(self, *command: str | int) -> Any:
        """The answer to a command, asked over a connection of its own."""
        import redis

        with redis.Redis(port=self.port) as client:
            return client.execute_command(*command)

    def wait(self, seconds: int) -> None:
        """Let all keys grow older, as if the time had passed."""
        self.ask("EVAL", _WAIT, 0, seconds * 1000)

    def _answer_to_ping(self) -> bytes:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(100)
        return b""


@contextmanager
def redis_server(folder: Path, *, keeps: bool = False) -> Iterator[RedisServer]:
    """A running redis-server; what is in it survives a restart only if it ``keeps`` it. Skips where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server: apt-get install redis-server")
    server = RedisServer(program, folder, keeps=keeps)
    try:
        yield server
    finally:
        server.kill()  # to ask it to end takes a tenth of a second


def new_store(name: str, folder: Path, server: Callable[[], RedisServer]) -> MemoryStore | SQLiteStore | RedisStore:
    """An empty store: "memory", "sqlite" or "redis"."""
    if name == "redis":
        return RedisStore(server().url, prefix=next(_prefixes))
    return MemoryStore() if name == "memory" else SQLiteStore(folder / "sessions.sqlite3")


async def close(store: MemoryStore | SQLiteStore | RedisStore) -> None:
    """Close the connections of a store, those of this event loop, as the end of the process would."""
    if isinstance(store, SQLiteStore):
        store._close()
    elif isinstance(store, RedisStore):
        _, _, closing = store._loops.get(asyncio.get_running_loop(), (None, None, None))
        if closing is not None:
            await closing.aclose()


class Counting:
    """A store that notes what it was asked, and asks another one."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.asked: list[str] = []
        self.keys: list[str] = []
        self.changes: list[Change] = []

    async def load(self, key: str) -> Record | None:
        self._note("load", key)
        return await self.store.load(key)

    async def save(self, key: str, change: Change, ttl: int) -> bool:
        self._note("save", key)
        self.changes.append(change)
        return await self.store.save(key, change, ttl)

    async def delete(self, key: str) -> None:
        self._note("delete", key)
        await self.store.delete(key)

    async def touch(self, key: str, seen: int, ttl: int) -> bool:
        self._note("touch", key)
        return await self.store.touch(key, seen, ttl)

    def _note(self, verb: str, key: str) -> None:
        self.asked.append(verb)
        self.keys.append(key)


class Answer(NamedTuple):
    """What came of a visit.

    Attributes:
        status: Of the response, or of the denial of a websocket; 101 if it was accepted.
        cookies: The values of Set-Cookie.
        error: What the application raised.
    """

    status: int
    cookies: list[bytes]
    error: Exception | None


Page = Callable[[Session], Any]


def nothing(session: Session) -> None:
    """The page that does not touch the session."""


def read(session: Session) -> None:
    """The page that looks at the session."""
    session.get("a")


class Visitor:
    """A browser, which knows one cookie."""

    def __init__(self, store: Any, cookie: bytes | None = None, **settings: Any) -> None:
        self.cookie = cookie
        self._settings = {"store": store, **settings}

    async def visit(self, page: Page) -> Answer:
        """Ask for a page."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await done(page(scope["session"]))
            await send(START)
            await send(BODY)

        return await self.call(application, http_scope(headers=self.headers()))

    async def data(self) -> dict[str, Any]:
        """What the session holds, as a request sees it that changes nothing."""
        found: dict[str, Any] = {}
        answer = await self.visit(found.update)
        assert answer.error is None, answer.error
        return found

    async def call(self, application: Any, scope: Any, *events: Message) -> Answer:
        """Call an application with the session around it, and a page that says 500 around that; take the cookie."""
        sent: list[Message] = []
        error = None

        async def noted(scope: Any, receive: Any, send: Any) -> None:
            async def sending(message: Message) -> None:
                sent.append(message)
                self._take(message)
                await send(message)

            await ServerErrorMiddleware(SessionMiddleware(application, **self._settings))(scope, receive, sending)

        try:
            await call(noted, scope, *events)
        except Exception as raised:
            error = raised
        starts = [message for message in sent if "headers" in message or message["type"] == "websocket.accept"]
        status = starts[0].get("status", 101) if starts else 0
        return Answer(status, [line for message in starts for line in _cookies(message)], error)

    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """The headers of a request."""
        return [] if self.cookie is None else [(b"cookie", b"session=" + self.cookie)]

    def _take(self, message: Message) -> None:
        for line in _cookies(message):
            value = line.partition(b";")[0].removeprefix(b"session=")
            self.cookie = None if value == b"null" else value


async def done(result: Any) -> None:
    """Wait for a result, if it is one to wait for."""
    if inspect.isawaitable(result):
        await result


def _cookies(message: Message) -> list[bytes]:
    return [value for name, value in message.get("headers") or () if name == b"set-cookie"]
