"""The client's side: pages with cookies, websockets, and the log of the server that is asked for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.servers.process import Server, serving

from .projects import Project

SECONDS = 20

# As their users type it; what uvicorn chooses by itself is what is installed in a row.
SERVERS = {
    "uvicorn": ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "PORT"],
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", "PORT"],
}


@contextmanager
def served(project: Project, server: str, module: str) -> Iterator[Server]:
    """Serve ``application`` of ``module`` on ``server``, in the project's own environment."""
    with running(project, [*SERVERS[server], f"{module}:application"]) as process:
        yield process


@contextmanager
def running(project: Project, arguments: list[str]) -> Iterator[Server]:
    """Run the project's Python with ``arguments`` until it listens."""
    log = project.folder / "server.log"
    with serving(arguments, project.folder, log, python=project.python) as process:
        yield process


class Browser:
    """Pages of one server, with the cookies that it sets."""

    def __init__(self, server: Server) -> None:
        self._address = f"http://127.0.0.1:{server.port}"
        self._cookies = CookieJar()
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self._cookies))

    def get(self, path: str) -> str:
        """The page at ``path``; an error if its status is one."""
        return self._open(path, None)

    def post(self, path: str, **form: str) -> str:
        return self._open(path, urlencode(form).encode())

    def cookies(self) -> str:
        """The value of a ``Cookie`` header."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)

    def _open(self, path: str, body: bytes | None) -> str:
        with self._opener.open(self._address + path, body, timeout=SECONDS) as response:
            return response.read().decode()


def websocket(server: Server, path: str, origin: str | None = None, cookies: str = "") -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}{path}",
        origin=origin,
        additional_headers={"Cookie": cookies} if cookies else None,
        proxy=None,
        open_timeout=SECONDS,
        close_timeout=SECONDS,
    )


def refusal(server: Server, path: str, origin: str | None = None) -> int | None:
    """The status with which a websocket is refused, None if it is accepted."""
    try:
        with websocket(server, path, origin):
            return None
    except InvalidStatus as error:
        return error.response.status_code


def complaints(log: str) -> list[str]:
    """The lines of a server's log that would worry who reads it."""
    words = ("warn", "error", "exception", "traceback", "unsupported")
    return [line for line in log.splitlines() if any(word in line.lower() for word in words)]
