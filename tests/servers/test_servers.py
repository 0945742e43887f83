"""The router on every server that the project names, seen by a real client and in the server's log.

Each server starts once; all tests of it talk to the same process. Every line of its log is judged once: by the
test that asks for the news, so that what comes late is found by the next one and never lost.
"""

import itertools
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from .process import COMMANDS, Server, command, serving

SECONDS = 5
ROOT = Path(__file__).parents[2]
COMPLAINTS = ("Traceback", "ERROR", "WARNING", "Warning", "Exception", "unsupported")
# Uvicorn's own word on `--ws websockets`, whatever the application is.
ENVIRONMENT = {"PYTHONWARNINGS": "ignore:The `websockets` implementation is deprecated"}

HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
HOSTILE = {
    "raw bytes that are no UTF-8": b"/\xff\xe9",
    "escaped bytes that are no UTF-8": b"/%ff%E2%82",
    "escaped UTF-8": b"/caf%C3%A9",
    "64 KiB": b"/" + b"a" * 65536,
    "nothing but slashes": b"//",
    "NUL": b"/%00",
    "half an escape": b"/%",
    "half a URL": b"http://[::1",
}


class Site:
    """A running server with the project, and how far its log has been judged."""

    def __init__(self, name: str, server: Server, stop: Callable[[], None]) -> None:
        self.name = name
        self.server = server
        self.stop = stop
        self._judged = 0
        self._notes = itertools.count()

    def request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=SECONDS)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def websocket(self, path: str = "/") -> ClientConnection:
        url = f"ws://127.0.0.1:{self.server.port}{path}"
        return connect(url, proxy=None, open_timeout=SECONDS, close_timeout=SECONDS)

    def exchange(self, method: bytes, target: bytes, *, headers: bytes = b"Connection: close\r\n") -> Iterator[bytes]:
        """Send a request as it stands and give the lines of the answer; none if the connection is just closed."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=SECONDS) as sock:
            try:
                sock.sendall(b"%b %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n" % (method, target, headers))
                with sock.makefile("rb") as lines:
                    yield from lines
            except ConnectionError:
                return

    def log_until(self, text: str) -> str:
        """The lines that no test has judged, up to the last one there is once ``text`` is among them."""
        deadline = time.monotonic() + SECONDS
        while text not in (new := self.unjudged()):
            assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{new}"
            time.sleep(0.01)
        self._judged += len(new)
        return new

    def news(self) -> str:
        """The lines that no test has judged, when all that the server has answered so far is logged."""
        number = next(self._notes)
        self.request("GET", f"/note?{number}")
        return self.log_until(f"note {number}.")

    def unjudged(self) -> str:
        return self.server.log()[self._judged :]


@pytest.fixture(scope="module", params=COMMANDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name = request.param
    application = f"tests.servers.project:{'trio_application' if name == 'hypercorn-trio' else 'application'}"
    log = tmp_path_factory.mktemp(name) / "log"
    with ExitStack() as running:
        server = running.enter_context(serving(command(name, application), ROOT, log, env=ENVIRONMENT))
        yield Site(name, server, running.close)


@pytest.fixture
def ended(site: Site) -> Site:
    """The site after its end: the tests that take it stand last, nothing can be asked of the server any more."""
    site.stop()
    return site


def complaints(log: str) -> list[str]:
    return [line for line in log.splitlines() if any(word in line for word in COMPLAINTS)]


def exceptions(log: str) -> list[str]:
    """The last line of each traceback: the first one that is not indented."""
    return re.findall(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)*(.*)", log, re.MULTILINE)


def test_the_server_starts_the_application_that_knows_the_lifespan_and_has_no_complaint_about_django(site: Site):
    log = site.news()
    # Daphne has no lifespan at all.
    assert log.count("lifespan: started") == (0 if site.name == "daphne" else 1)
    assert complaints(log) == []


def test_http_is_answered_by_the_http_application(site: Site):
    assert site.request("GET", "/") == (200, b"hello from a view")
    assert complaints(site.news()) == []


@pytest.mark.parametrize(("path", "status"), [(b"/", b"200"), (b"/unlisted/", b"404")])
def test_head_is_answered_without_content(site: Site, path: bytes, status: bytes):
    status_line, *headers = site.exchange(b"HEAD", path)
    assert status_line.startswith(b"HTTP/1.1 " + status)
    assert headers.index(b"\r\n") == len(headers) - 1
    assert complaints(site.news()) == []


def test_http_without_an_application_is_answered_404(site: Site):
    assert site.request("GET", "/unlisted/") == (404, b"Not Found")
    assert complaints(site.news()) == []


def test_a_websocket_is_accepted_and_carries_text_and_bytes(site: Site):
    with site.websocket() as websocket:
        for message in ("grüß dich", b"\x00\xff"):
            websocket.send(message)
            assert websocket.recv(timeout=SECONDS) == message
    assert complaints(site.news()) == []


def test_the_application_hears_that_the_client_closes(site: Site):
    with site.websocket("/leaving") as websocket:
        websocket.close(3001, "enough")
    log = site.log_until("'/leaving': the client closed with") + site.news()
    # Hypercorn tells every application 1006.
    assert f"closed with {1006 if 'hypercorn' in site.name else 3001}\n" in log
    assert complaints(log) == []


def test_the_client_hears_the_code_with_which_the_application_closes(site: Site):
    with site.websocket() as websocket:
        websocket.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=SECONDS)
    # Daphne drops the reason.
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4003, "" if site.name == "daphne" else "as you wish")
    assert complaints(site.news()) == []


def test_what_an_application_leaves_at_start_up_is_in_the_state_of_its_websockets(site: Site):
    with site.websocket() as websocket:
        websocket.send("state")
        assert websocket.recv(timeout=SECONDS) == ("None" if site.name == "daphne" else "by the start-up")
    assert complaints(site.news()) == []


def test_an_unlisted_websocket_is_refused_with_403_before_the_handshake(site: Site):
    with pytest.raises(InvalidStatus) as refused, site.websocket("/unlisted/"):
        pass
    assert refused.value.response.status_code == 403
    assert complaints(site.news()) == []


@pytest.mark.parametrize("headers", [b"Connection: close\r\n", HANDSHAKE], ids=["http", "websocket"])
@pytest.mark.parametrize("target", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_target_is_answered_and_gives_no_traceback(site: Site, target: bytes, headers: bytes):
    for prefix in (b"", b"/unlisted"):
        status_line = next(site.exchange(b"GET", prefix + target, headers=headers), b"")
        # Where 64 KiB are too much, daphne hangs up without a word, and others before they have read it all.
        closed = not status_line and len(target) > 65536
        assert closed or re.match(rb"HTTP/1\.1 (101|4\d\d) ", status_line), (prefix, status_line)
    # Uvicorn logs a warning where it refuses a request itself.
    assert "Traceback" not in site.news()


def test_a_view_that_raises_is_answered_500_and_shows_one_traceback(site: Site):
    assert site.request("GET", "/view-raises/")[0] == 500
    log = site.log_until("RuntimeError: raised by a view") + site.news()
    assert exceptions(log) == ["RuntimeError: raised by a view"]
    assert log.count("Traceback") == 1


def test_an_application_that_raises_on_http_is_answered_500_and_shows_one_traceback(site: Site):
    assert site.request("GET", "/raise")[0] == 500
    log = site.log_until("RuntimeError: raised on http") + site.news()
    assert exceptions(log) == ["RuntimeError: raised on http"]
    assert log.count("Traceback") == 1


def test_an_application_that_raises_before_the_handshake_refuses_it_and_shows_one_traceback(site: Site):
    with pytest.raises(InvalidStatus) as refused, site.websocket("/raise"):
        pass
    assert refused.value.response.status_code == (403 if site.name == "granian" else 500)
    log = site.log_until("RuntimeError: raised before the handshake") + site.news()
    assert exceptions(log) == ["RuntimeError: raised before the handshake"]
    assert log.count("Traceback") == 1


def test_an_application_that_raises_after_the_handshake_ends_it_and_shows_one_traceback(site: Site):
    with site.websocket() as websocket:
        websocket.send("raise")
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=SECONDS)
    log = site.log_until("RuntimeError: raised after the handshake") + site.news()
    assert exceptions(log) == ["RuntimeError: raised after the handshake"]
    assert log.count("Traceback") == 1


def test_the_server_stops_the_application_that_knows_the_lifespan_and_ends_with_success(ended: Site):
    assert ended.server.process.returncode == 0
    assert ended.server.log().count("lifespan: stopped") == (0 if ended.name == "daphne" else 1)
    assert complaints(ended.unjudged()) == []
