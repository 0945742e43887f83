"""Run a real server as a process of its own on a free port of 127.0.0.1, and read its log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 15


class Server:
    """A running server: its ``port``, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def serving(
    arguments: Sequence[str],
    folder: Path,
    log: Path,
    *,
    python: str | Path = sys.executable,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run ``python *arguments`` in ``folder``, each "PORT" in an argument replaced, until it listens; end it after.

    It is asked to end by SIGINT, as by Ctrl-C, and killed if it does not within 15 seconds; its exit code is then
    in ``server.process.returncode``.
    """
    port = free_port()
    command = [str(python), *(argument.replace("PORT", str(port)) for argument in arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers can be killed with it
            preexec_fn=_heed_sigint,
        )
    server = Server(process, port, log)
    try:
        _wait_until_it_listens(server)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _heed_sigint() -> None:
    # A test run in the background of a shell ignores SIGINT, and what it starts inherits that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _wait_until_it_listens(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended with {server.process.returncode}:\n{server.log()}")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", server.port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"the server does not listen after {START_SECONDS} s:\n{server.log()}")


def command(server: str, application: str) -> list[str]:
    """The arguments to ``python`` that serve ``application`` ("module:attribute"), by the name of the server.

    >>> command("daphne", "project.asgi:application")
    ['-m', 'daphne', '-b', '127.0.0.1', '-p', 'PORT', 'project.asgi:application']
    """
    return [*COMMANDS[server], application]


_UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "PORT"]
_HYPERCORN = ["-m", "hypercorn", "--bind", "127.0.0.1:PORT", "--access-logfile", "-", "--error-logfile", "-"]

COMMANDS = {
    "uvicorn-h11-websockets": [*_UVICORN, "--http", "h11", "--ws", "websockets"],
    "uvicorn-h11-wsproto": [*_UVICORN, "--http", "h11", "--ws", "wsproto"],
    "uvicorn-httptools-websockets": [*_UVICORN, "--http", "httptools", "--ws", "websockets"],
    "uvicorn-httptools-wsproto": [*_UVICORN, "--http", "httptools", "--ws", "wsproto"],
    "hypercorn-asyncio": [*_HYPERCORN, "--worker-class", "asyncio"],
    "hypercorn-trio": [*_HYPERCORN, "--worker-class", "trio"],
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", "PORT"],
    "granian": ["-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "PORT"],
}
