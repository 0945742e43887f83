"""Mounted applications that need their lifespan, on servers that send one and on servers that send none."""

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.client import ConnectMode
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .process import COMMANDS, Server, command, serving
from .test_servers import complaints, exceptions

SECONDS = 5
ROOT = Path(__file__).parents[2]
WITHOUT_LIFESPAN = {
    "daphne": COMMANDS["daphne"],
    "uvicorn": [*COMMANDS["uvicorn-httptools-wsproto"], "--lifespan", "off"],
}
without_lifespan = pytest.mark.parametrize("server", WITHOUT_LIFESPAN.values(), ids=WITHOUT_LIFESPAN.keys())


def get(server: Server, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def hear(server: Server, path: str) -> str | bytes:
    """The first message of a websocket."""
    url = f"ws://127.0.0.1:{server.port}{path}"
    with connect(url, proxy=None, open_timeout=SECONDS, close_timeout=SECONDS) as websocket:
        return websocket.recv(timeout=SECONDS)


@without_lifespan
def test_lazy_starts_everything_once_when_the_first_connections_come(server: list[str], tmp_path: Path):
    with serving([*server, "tests.servers.mounted:lazy"], ROOT, tmp_path / "log") as running:
        with ThreadPoolExecutor() as threads:
            answer = threads.submit(get, running, "/api/db")
            assert hear(running, "/api/db") == "the database"
        assert answer.result() == get(running, "/api/db") == (200, b'"the database"')
        assert get(running, "/") == (200, b"hello from a view")
    assert running.log().count("database: opening") == 1
    assert complaints(running.log()) == []


@without_lifespan
def test_without_it_the_state_is_missing_and_one_warning_says_what_to_write(server: list[str], tmp_path: Path):
    with serving([*server, "tests.servers.mounted:application"], ROOT, tmp_path / "log") as running:
        assert get(running, "/") == (200, b"hello from a view")
        for _ in range(2):
            assert get(running, "/api/db")[0] == 500
        with pytest.raises(ConnectionClosed):
            hear(running, "/api/db")
    log = running.log()
    assert "database: opening" not in log
    assert log.count("AttributeError: 'State' object has no attribute 'db'") == 3
    assert log.count("the server sends no lifespan") == 1
    assert "ProtocolRouter(..., lifespan='lazy')" in log


@pytest.fixture
def no_blocking_calls() -> None:
    """The client of MCP reads files in the event loop."""


def test_an_mcp_server_answers_beside_django_and_one_that_fastapi_mounts_does_not(tmp_path: Path):
    async def add(url: str, mode: ConnectMode) -> Any:
        async with Client(url, mode=mode) as client:
            return (await client.call_tool("add", {"a": 1, "b": 2})).structured_content

    arguments = command("uvicorn-httptools-wsproto", "tests.servers.mounted_mcp:application")
    with serving(arguments, ROOT, tmp_path / "log") as running:
        # Both generations of the protocol: requests that stand alone, and a session that "initialize" opens.
        for mode in ("auto", "legacy"):
            assert anyio.run(add, f"http://127.0.0.1:{running.port}/mcp", mode) == {"result": 3}
        assert get(running, "/") == (200, b"hello from a view")
        assert complaints(running.log()) == []
        assert get(running, "/fastapi/mcp/")[0] == 500
    assert exceptions(running.log()) == ["RuntimeError: Task group is not initialized. Make sure to use run()."]
