"""The example of FastAPI with sessions in Redis, on a real server and a real Redis."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.examples.demo import WAIT_SECONDS
from tests.servers.process import Server, command, serving
from tests.sessions.servers import RedisServer, redis_server

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "fastapi_redis"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


def ask(server: Server, method: str, path: str, cookie: str, body: Any = None) -> tuple[int, Any, str]:
    """Status and answer, and the cookie that the client has then."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)
    headers = {"Cookie": cookie, "Content-Type": "application/json"}
    connection.request(method, path, body=json.dumps(body), headers=headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    new = response.headers["set-cookie"]
    return response.status, answer, new.partition(";")[0] if new else cookie


def test_a_session_outlives_the_server_and_ends_with_the_logout(redis: RedisServer, tmp_path: Path):
    arguments, env = command("uvicorn-httptools-websockets", "main:app"), {"REDIS_URL": redis.url}
    with serving(arguments, EXAMPLE, tmp_path / "first", env=env) as server:
        assert ask(server, "POST", "/login", "", {"name": "Ada", "password": "wrong"})[0] == 401
        status, answer, cookie = ask(server, "POST", "/login", "", {"name": "Ada", "password": "secret"})
        assert (status, answer) == (200, {"user": "Ada"})
        assert cookie.startswith("__Host-session=")
        assert ask(server, "POST", "/cart/book", cookie)[1] == ["book"]
    with serving(arguments, EXAMPLE, tmp_path / "second", env=env) as server:
        assert ask(server, "POST", "/cart/pen", cookie)[1] == ["book", "pen"]
        assert ask(server, "GET", "/user", cookie)[1] == {"user": "Ada"}
        ask(server, "POST", "/logout", cookie)
        assert ask(server, "GET", "/user", cookie)[1] == {"user": None}
    assert redis.ask("DBSIZE") == 0


def test_the_documentation_shows_the_same():
    shown = re.search(
        r"^### FastAPI with Redis\n.*?^```python\n(.*?)^```$",
        (ROOT / "docs" / "sessions.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert shown
    written = (EXAMPLE / "main.py").read_text()
    docstring = ast.get_docstring(ast.parse(written), clean=False)
    assert written == f'"""{docstring}"""\n\n{shown[1]}'
