"""Our five layers together, beside a textbook's log, Starlette's CORS, GZip and session, and Channels' router.

In process; on uvicorn under wrk (Debian's package), where it is installed; and the memory of idle websockets.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import coroutine
from typing import Any
from urllib.request import urlopen

import anyio

from tests.asgi import START, call, http_scope, websocket_scope
from tests.benchmarks.bodies import html_of
from tests.benchmarks.cors import CHROMIUM, FIREFOX
from tests.benchmarks.measure import Scopes, nanoseconds, table
from tests.benchmarks.sessions import OTHERS, begin
from tests.benchmarks.stacks import BARE, OURS, STACKS, TEXTBOOK, THREE
from tests.servers.process import Server, serving

CLIENTS = ("host user-agent accept accept-encoding origin cookie", FIREFOX, CHROMIUM)  # the names of their headers
ORIGIN = "https://app.example.com"
LAYOUTS = {
    "few headers": [(b"content-type", b"text/html; charset=utf-8")],
    "many headers": [  # as Django sends them
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"X-Frame-Options", b"DENY"),
        (b"Vary", b"Accept-Language"),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Referrer-Policy", b"same-origin"),
        (b"Cross-Origin-Opener-Policy", b"same-origin"),
    ],
}
PAGE = html_of(2_000)
ANSWER = b'{"id":42,"name":"Green chair","price":{"amount":"89.00","currency":"EUR"},"stock":7}'
MANY = 500  # events or messages of a connection
EVENT = b"data: order 4711 was delivered\n\n"

WEBSOCKETS = 5_000
WRK = shutil.which("wrk")
ROUNDS, SECONDS, CONNECTIONS = 5, 2, 32
APPS = {BARE: "bare", THREE: "three", TEXTBOOK: "textbook", OURS: "five"}

Added = dict[str, dict[str, float]]  # what a stack adds, by case


def main() -> None:
    _in_process_targets({title: _in_process(title, headers) for title, headers in LAYOUTS.items()})
    _memory()
    _on_uvicorn()


# In process


def _in_process(title: str, headers: list[tuple[bytes, bytes]]) -> Added:
    """Measure and print the responses of one kind."""
    candidates: dict[tuple[str, str], tuple[Any, Scopes]] = {}
    for which, make in STACKS.items():
        cookie = "" if which == BARE else _cookie(make)
        page, answer = make(_page(headers)), make(_answer(headers))
        candidates["browser request", which] = page, _scopes(cookie, "gzip, deflate, br, zstd")
        candidates["browser request, gzip", which] = page, _scopes(cookie, "gzip")
        candidates["anonymous API request", which] = answer, _scopes("", "", browser=False)
        for count in (0, MANY):
            candidates[f"{count} events", which] = make(_stream(headers, count)), _scopes(cookie, "gzip, br")
            candidates[f"{count} messages", which] = _talking(make(_echo), count), _handshakes(cookie)
    times = nanoseconds(candidates)
    for which in STACKS:
        for one, many in (("event", "events"), ("message", "messages")):
            least, most = (times.pop((f"{count} {many}", which)) for count in (0, MANY))
            times[one, which] = (most - least) / MANY

    cases = [*dict.fromkeys(case for case, _ in times)]
    added = {case: {which: times[case, which] - times[case, BARE] for which in STACKS} for case in cases}
    rows = {
        case: [round(times[case, BARE]), *(round(row[which]) for which in STACKS if which != BARE), _ratio(row)]
        for case, row in added.items()
    }
    columns = [*STACKS, "ours / textbook"]
    table(f"Five layers, {title}: ns added to the bare application's", columns, rows)
    return added


def _ratio(row: dict[str, float]) -> float:
    return row[OURS] / row[TEXTBOOK]


def _page(headers: list[tuple[bytes, bytes]]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if "session" in scope:
            scope["session"]["user"]
        await send({**START, "headers": [*headers, (b"content-length", b"%d" % len(PAGE))]})
        await send({"type": "http.response.body", "body": PAGE})

    return app


def _answer(headers: list[tuple[bytes, bytes]]) -> Any:
    own = [(b"content-type", b"application/json"), *headers[1:], (b"content-length", b"%d" % len(ANSWER))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [*own]})
        await send({"type": "http.response.body", "body": ANSWER})

    return app


def _stream(headers: list[tuple[bytes, bytes]], count: int) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-type", b"text/event-stream"), *headers[1:]]})
        for _ in range(count):
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if "session" in scope:
        scope["session"]["user"]
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def _talking(app: Any, count: int) -> Any:
    """``app`` behind a server that has ``count`` messages for it."""

    def events() -> Iterator[dict[str, Any]]:
        yield {"type": "websocket.connect"}
        for _ in range(count):
            yield {"type": "websocket.receive", "text": "a message of a chat"}
        yield {"type": "websocket.disconnect", "code": 1000}

    async def talk(scope: Any, receive: Any, send: Any) -> None:
        following = events().__next__

        async def receiving() -> dict[str, Any]:
            return following()

        await app(scope, receiving, send)

    return talk


def _cookie(make: Callable[[Any], Any]) -> str:
    """The cookie of a session that the stack has begun."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begin(scope["session"])
        await send({**START, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    start, *_ = anyio.run(call, make(app), http_scope())
    (line,) = [value for name, value in start["headers"] if name == b"set-cookie"]
    return line.decode().partition(";")[0]


def _scopes(cookie: str, coding: str, browser: bool = True, template: Any = None) -> Scopes:
    """Scopes of the clients in turn, whose headers are made anew, as a server makes them."""
    own = {"accept-encoding": coding, "origin": ORIGIN, "cookie": "; ".join(filter(None, [*OTHERS, cookie]))}
    heads = []
    for client in CLIENTS:
        names = client.split() if browser else ["host", "user-agent", "accept", "authorization"]
        heads.append("\n".join(f"{name}:{own.get(name, '1')}" for name in names).encode())
    template = template or http_scope("/orders/42", query_string=b"page=2")

    def scope(number: int) -> dict[str, Any]:
        lines = heads[number % len(heads)].split(b"\n")
        return {**template, "headers": [tuple(line.split(b":", 1)) for line in lines]}

    return scope


def _handshakes(cookie: str) -> Scopes:
    return _scopes(cookie, "gzip", template=websocket_scope("/chat"))


def _in_process_targets(added: dict[str, Added]) -> None:
    cases = [*next(iter(added.values()))]
    rows = {case: [*(_ratio(found[case]) for found in added.values()), "0.25"] for case in cases}
    table("Five layers / the textbook's, added: ratios to reach", [*added, "at most"], rows)


# Memory


def _memory() -> None:
    """Print what an idle websocket takes, with the session read in its handshake and without."""
    rows = {}
    for name, reads in (("session not touched", False), ("session read", True)):
        found = {which: _of_a_websocket(make, reads) for which, make in STACKS.items()}
        rows[name] = [round(found[BARE]), *(round(found[which] - found[BARE]) for which in STACKS if which != BARE)]
    table(f"An idle websocket of {WEBSOCKETS:,}: bytes added to the bare application's", [*STACKS], rows)
    table("An idle websocket: to reach", ("bytes", "at most"), {name: [row[-1], "500"] for name, row in rows.items()})


def _of_a_websocket(make: Callable[[Any], Any], reads: bool) -> float:
    scopes = _handshakes("" if make is STACKS[BARE] else _cookie(make))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if reads and "session" in scope:
            scope["session"]["user"]
        await send({"type": "websocket.accept"})
        await receive()

    wrapped = make(app)

    def opened(number: int) -> Any:
        connected = False

        async def receive() -> dict[str, Any]:
            nonlocal connected
            if connected:
                await _for_ever()
            connected = True
            return {"type": "websocket.connect"}

        conversation = wrapped(scopes(number), receive, _sent)
        conversation.send(None)
        return conversation

    conversations = [opened(0)]  # the first one loads what all share
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    conversations += [opened(number) for number in range(WEBSOCKETS)]
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for conversation in conversations:
        conversation.close()
    return taken / WEBSOCKETS


async def _sent(message: Any) -> None: ...


@coroutine
def _for_ever() -> Any:
    yield


# On a server


def _on_uvicorn() -> None:
    """Print how many requests a second are left of the bare application's, each stack on a server of its own.

    By the clock, and by the processor time of the server, which is the same where nothing else runs on the machine.
    """
    if WRK is None:
        print("\nuvicorn under wrk: skipped, wrk is not installed (apt-get install wrk)")
        return
    rows: dict[str, list[float | str]] = {}
    reached: dict[str, list[float | str]] = {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {which: stack.enter_context(_server(app, Path(folder))) for which, app in APPS.items()}
        for name, path in (("browser request", "/page"), ("anonymous request", "/")):
            cookies = {which: _signed_in(servers[which]) if path == "/page" else "" for which in servers}
            found: dict[str, list[tuple[float, float]]] = {which: [] for which in servers}
            for number in range(ROUNDS):
                for which in reversed(servers) if number % 2 else servers:
                    found[which].append(_requests(servers[which], path, cookies[which]))
            for clock, index in (("by the clock", 0), ("by the processor", 1)):
                rate = {which: median(figures[index] for figures in taken) for which, taken in found.items()}
                case = f"{name}, {clock}"
                rows[case] = [round(rate[BARE]), *(rate[which] / rate[BARE] for which in servers if which != BARE)]
                reached[case] = [rate[OURS] / rate[THREE], rate[OURS] / rate[TEXTBOOK], "1.00"]
    table("uvicorn (httptools, uvloop) under wrk: requests per second, and the share that is left", [*APPS], rows)
    columns = (f"ours / {THREE}", "ours / the textbook's", "at least")
    table("uvicorn under wrk: ratios to reach", columns, reached)


def _server(app: str, folder: Path) -> Any:
    arguments = ["-m", "uvicorn", f"tests.benchmarks.server:{app}", "--host", "127.0.0.1", "--port", "PORT"]
    arguments += ["--http", "httptools", "--loop", "uvloop", "--lifespan", "off", "--no-access-log"]
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return serving(arguments, root, folder / f"{app}.log", env={"PYTHONPATH": path})


def _signed_in(server: Server) -> str:
    """The cookie of a session that the server has begun."""
    with urlopen(f"http://127.0.0.1:{server.port}/sign-in", timeout=10) as response:
        return (response.headers["Set-Cookie"] or "").partition(";")[0]


def _requests(server: Server, path: str, cookie: str) -> tuple[float, float]:
    """Requests per second, and per second that the server had a processor."""
    headers = []
    if path == "/page":
        headers = [f"Origin: {ORIGIN}", "Accept-Encoding: gzip, deflate, br, zstd", f"Cookie: theme=dark; {cookie}"]
    command = [str(WRK), "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *(f"-H{header}" for header in headers)]
    command.append(f"http://127.0.0.1:{server.port}{path}")
    before = _processor_time(server.process.pid)
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    taken = _processor_time(server.process.pid) - before
    if "Non-2xx" in output:
        raise RuntimeError(output)
    count, rate = (re.search(words, output) for words in (r"(\d+) requests in", r"Requests/sec:\s+([0-9.]+)"))
    assert count and rate
    return float(rate[1]), int(count[1]) / taken


def _processor_time(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
