"""Run the example Django project as `make demo` does."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import Server

PROJECT = Path(__file__).parents[2] / "examples" / "django_project"
WAIT_SECONDS = 10


@contextlib.contextmanager
def demo(log: Path, **env: str) -> Iterator[Server]:
    """What `make demo` runs, from when it has started; killed in the end if it still runs.

    Its database is one for all tests, since it takes a while to make.
    """
    env = {"DATABASE": str(log.parent.parent / "demo.sqlite3"), **env}
    with log.open("wb") as output:
        arguments = [sys.executable, str(PROJECT / "serve.py")]
        process = subprocess.Popen(arguments, env={**os.environ, **env}, stdout=output, stderr=subprocess.STDOUT)
    server = Server(process, 0, log)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while "the application has started" not in server.log():
            assert process.poll() is None, server.log()
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.02)
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", server.log())
        assert address, server.log()
        server.port = int(address[1])
        yield server
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)


def sent(server: Server, path: str, accepted: str) -> tuple[str | None, int]:
    """The coding in which ``path`` is sent to a client that accepts these, and how many bytes that makes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Accept-Encoding": accepted})
        response = connection.getresponse()
        return response.headers["content-encoding"], len(response.read())
