"""Lint on real servers, in front of Django and plain ASGI: everything works, and what it tells is known."""

import re
from http.client import HTTPConnection
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .process import COMMANDS, command, serving

SECONDS = 5
ROOT = Path(__file__).parents[2]

# The server's faults on the requests of this test; granian gives ports as strings.
SERVERS_FAULTS = {"granian": {"scope-shape"}}
# Django keeps the case of header names and leaves it to the server to drop the content of HEAD.
DJANGOS_FAULTS = {"header-case", "head-content"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_project_behind_lint_works_on_every_server_and_the_faults_are_known(name: str, tmp_path: Path) -> None:
    trio = name.endswith("trio")
    attribute = "trio_application" if trio else "application"
    with serving(command(name, f"tests.servers.linted:{attribute}"), ROOT, tmp_path / "log") as server:
        for method in ("GET", "HEAD"):
            connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
            connection.request(method, "/")
            response = connection.getresponse()
            assert (response.status, response.read()[:5]) == (200, b"hello" if method == "GET" else b"")
            connection.close()
        url = f"ws://127.0.0.1:{server.port}"
        with connect(f"{url}/", proxy=None, open_timeout=SECONDS, close_timeout=SECONDS) as websocket:
            websocket.send("to lint")
            assert websocket.recv(SECONDS) == "to lint"
            websocket.send("close")
            with pytest.raises(ConnectionClosed):
                websocket.recv(SECONDS)
        with pytest.raises(InvalidStatus):
            connect(f"{url}/unlisted", proxy=None, open_timeout=SECONDS)
    assert set(re.findall(r"the server broke the rule ([\w-]+):", server.log())) == SERVERS_FAULTS.get(name, set())
    assert set(re.findall(r"the application broke the rule ([\w-]+):", server.log())) == (
        set() if trio else DJANGOS_FAULTS
    )
    assert "Traceback" not in server.log()
