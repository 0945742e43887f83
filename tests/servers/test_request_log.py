"""The request log on real servers: what becomes of a connection is one true line, and Django needs no configuration."""

from __future__ import annotations

import itertools
import json
import re
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .process import COMMANDS, Server, serving
from .test_servers import ENVIRONMENT, HANDSHAKE

SECONDS = 5
ROOT = Path(__file__).parents[2]

# Without the servers' own lines: those of granian and hypercorn can be forged.
_UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "PORT", "--no-access-log"]
SERVERS = {
    "uvicorn-h11": [*_UVICORN, "--http", "h11", "--ws", "websockets"],
    "uvicorn-httptools": [*_UVICORN, "--http", "httptools", "--ws", "wsproto"],
    "hypercorn": ["-m", "hypercorn", "--bind", "127.0.0.1:PORT", "--error-logfile", "-"],
    "granian": COMMANDS["granian"],
    "daphne": [*COMMANDS["daphne"], "--access-log", "/dev/null"],
}

# What a server tells of a websocket whose client closes it with 4123 and a reason, or without a code, or is lost: the
# code, the reason, who it was. To hypercorn all are lost; to uvicorn with wsproto and to granian none is.
_SAID, _NOT_SAID = (4123, "be\\ncause", "client"), (4123, None, "client")
_NO_CODE, _LOST = (1005, None, "client"), (1006, None, "abnormal")
CLOSES = {
    "uvicorn-h11": [_SAID, _NO_CODE, _LOST],
    "uvicorn-httptools": [_SAID, _NO_CODE, _NO_CODE],
    "hypercorn": [_LOST, _LOST, _LOST],
    "granian": [_NOT_SAID, _NO_CODE, _NO_CODE],
    "daphne": [_NOT_SAID, _NO_CODE, _LOST],
}
WAYS = {"with a code": 0, "without a code": 1, "end of stream": 2, "reset": 2}
WITHOUT_DENIALS = {"daphne"}  # it knows no websocket.http.response
READS_BODY_FIRST = {"daphne"}  # and calls no application if there is none

FORGED = '1.2.3.4 - - [20/Nov/2026:21:00:00 +0000] "GET /forged HTTP/1.1" 200 5 "-" "-"'
# What is sent in a path, a query and headers, and how it is to be read in a record.
HOSTILE = {
    "CR LF, encoded": (b"%0d%0a", "%0d%0a"),
    "ESC, encoded": (b"%1b[31m", "%1b[31m"),
    "C1, encoded": (b"%c2%85", "%c2%85"),
    "bidi, encoded": (b"%E2%80%AE", "%E2%80%AE"),
    "quotes": (b'%22"\\', '%22"\\\\'),
    "CR LF": (b"\r\n", ""),
    "CR": (b"a\rb", ""),
    "LF": (b"a\nb", ""),
    "NUL": (b"a\0b", ""),
    "ESC": (b"\x1b[31m", "\\x1b[31m"),
    "C1": (b"\xc2\x85x", "\\u0085x"),
    "bidi": (b"\xe2\x80\xaex", "\\u202ex"),
    "no UTF-8": (b"\xffx", "\\xffx"),
}
ENCODED = {"CR LF, encoded", "ESC, encoded", "C1, encoded", "bidi, encoded"}
# Of the others, those that a server lets through; it answers the rest itself, and there is no record.
IN_TARGETS = {
    ("granian", "path"): {"quotes", "C1", "bidi"},
    ("granian", "query"): {"C1", "bidi"},
    **{(name, place): {"quotes"} for name in SERVERS if name != "granian" for place in ("path", "query")},
}
IN_HEADERS = {
    "uvicorn-h11": {"quotes", "ESC", "C1", "bidi", "no UTF-8"},
    "uvicorn-httptools": {"quotes", "C1", "bidi", "no UTF-8"},
    "hypercorn": {"quotes", "ESC", "C1", "bidi", "no UTF-8"},
    "granian": {"quotes", "C1", "bidi", "no UTF-8"},
    "daphne": {"quotes", "ESC", "bidi", "no UTF-8"},
}

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
COMBINED = re.compile(
    r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]{4,7} +)?"  # daphne configures logging
    r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
    rf'"[A-Z]+ (/(?:[^" \\]|\\.)*) HTTP/1\.1" \d{{3}} (?:\d+|-) {_QUOTED} {_QUOTED}'
)


IMPORT = "from middleware import RequestLogMiddleware\n"
LINE = "application = RequestLogMiddleware(application)\n"
PAGES = """
from django.http import HttpResponse
from django.urls import path

def page(request):
    return HttpResponse("page")

def fails(request):
    raise LookupError("raised by a view")

urlpatterns = [path("", page), path("fails/", fails)]
"""
HANDLERS = '"handlers": {"console": {"class": "logging.StreamHandler"}}'
SETTINGS = {
    "settings_default": "",
    "settings_warning": (
        f'LOGGING = {{"version": 1, "disable_existing_loggers": False, {HANDLERS},'
        ' "root": {"handlers": ["console"], "level": "WARNING"}}'
    ),
    "settings_disabling": (
        f'LOGGING = {{"version": 1, "disable_existing_loggers": True, {HANDLERS},'
        ' "root": {"handlers": ["console"], "level": "INFO"}}'
    ),
}
ASKED = {"/": 200, "/missing": 404, "/fails/": 500}
# A line of ours: where nothing has handlers as in an access log, else short.
PLAIN = re.compile(r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]{4,7} +)?GET (\S+) \d{3} [\d.]+ m?s [\d.]+ k?B")
DOUBLED = "the server logs each request as well; to have one line, run "
SILENCED = "are not logged: "


class Site:
    """A running server, its records by path, and how many of each path there should be."""

    def __init__(self, name: str, server: Server, records: Path, stop: Callable[[], None]) -> None:
        self.name = name
        self.server = server
        self.stop = stop
        self.expected: Counter[str] = Counter()
        self._records = records
        self._read = 0
        self._found: list[dict[str, Any]] = []
        self._keys = itertools.count()

    def path(self, what: str, records: int = 1) -> str:
        """A path of its own below what is to happen."""
        path = f"/{what}/{next(self._keys)}"
        self.expected[path] = records
        return path

    def records(self) -> list[dict[str, Any]]:
        """All records of requests and websockets so far."""
        *lines, _ = self._records.read_bytes()[self._read :].split(b"\n")
        self._read += sum(len(line) + 1 for line in lines)
        self._found += [record for line in lines if "url.path" in (record := json.loads(line.decode("ascii")))]
        return self._found

    def record(self, path: str) -> dict[str, Any]:
        """The record of a path, as soon as it is there."""
        found = self.wait(lambda: [record for record in self.records() if record["url.path"] == path])
        return dict(found[0])

    def wait(self, ask: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (found := ask()):
            assert time.monotonic() < deadline, self.server.log()
            time.sleep(0.002)
        return found

    @contextmanager
    def sending(self, target: str | bytes, method: str = "GET", headers: bytes = b"", body: bytes = b"") -> Any:
        """A connection on which a request has been sent."""
        target = target if isinstance(target, bytes) else target.encode()
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=SECONDS) as sock:
            sock.sendall(b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (method.encode(), target, headers, body))
            yield sock

    def ask(self, what: str, *sent: Any) -> dict[str, Any]:
        """The record of a request whose client waits until there is one."""
        path = self.path(what)
        with self.sending(path, *sent):
            return self.record(path)

    def connect(self, path: str, **options: Any) -> ClientConnection:
        url = f"ws://127.0.0.1:{self.server.port}{path}"
        return connect(url, proxy=None, open_timeout=SECONDS, close_timeout=SECONDS, **options)


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("log")
    environment = {**ENVIRONMENT, "RECORDS": str(folder / "records")}
    arguments = [*SERVERS[request.param], "tests.servers.request_log:application"]
    with ExitStack() as running:
        server = running.enter_context(serving(arguments, ROOT, folder / "log", env=environment))
        yield Site(request.param, server, folder / "records", running.close)


@pytest.fixture
def ended(site: Site) -> Site:
    """The site after its end: the test that takes it stands last."""
    site.stop()
    return site


def became(record: dict[str, Any]) -> tuple[Any, ...]:
    """Status, outcome, whether the whole was handed over, the error, the level."""
    names = ("http.response.status_code", "outcome", "complete", "error.type", "level")
    return tuple(record.get(name) for name in names)


def closed(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record.get(f"websocket.{name}") for name in ("close_code", "close_reason", "closed_by"))


def cut_off(sock: socket.socket) -> None:
    """Have the connection end with RST, as where a cable is cut or a process killed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("answer", (200, "completed", True, None, "INFO")),
        ("fails", (500, "failed", False, "LookupError", "ERROR")),
        ("fails_midway", (200, "failed", False, "LookupError", "ERROR")),
        ("fails_after", (200, "completed", True, None, "INFO")),
        ("nothing", (500, "no_response", False, None, "ERROR")),
        ("stops", (200, "incomplete", False, None, "ERROR")),
    ],
)
def test_a_record_says_what_the_application_did(site: Site, what: str, expected: tuple[Any, ...]):
    assert became(site.ask(what)) == expected


@pytest.mark.parametrize(
    ("what", "method", "headers", "body", "sizes"),
    [
        ("answer", "GET", b"", b"", (0, 32)),
        ("answer", "HEAD", b"", b"", (0, 0)),
        ("answer", "POST", b"Content-Length: 200000\r\n", b"a" * 200_000, (200_000, 32)),
        ("answer", "POST", b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", (5, 32)),
        ("unread", "POST", b"Content-Length: 5\r\n", b"abcde", (0, 5)),
        ("fails_midway", "GET", b"", b"", (0, 4)),
    ],
)
def test_bytes_are_counted_as_they_pass(
    site: Site, what: str, method: str, headers: bytes, body: bytes, sizes: tuple[int, int]
):
    record = site.ask(what, method, headers, body)
    assert (record["http.request.body.size"], record["http.response.body.size"]) == sizes
    assert record["http.server.request.duration"] >= record["time_to_first_byte"] >= 0


@pytest.mark.parametrize("with_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("what", "status", "outcome"),
    [
        ("leaving", None, "client_disconnected"),
        ("late", 200, "client_disconnected"),
        ("deaf", 200, "completed"),  # no server tells an application that does not ask
    ],
)
def test_who_leaves_before_the_response_is_told_of_if_the_application_hears_of_it(
    site: Site, what: str, status: int | None, outcome: str, with_reset: bool
):
    path = site.path(what)
    with site.sending(path) as sock:
        site.wait(lambda: f"begun {path}." in site.server.log())
        if with_reset:
            cut_off(sock)
    if what == "deaf":
        left = path.replace("deaf", "left")
        site.expected[left] = 1
        with site.sending(left):
            site.record(left)
    assert became(site.record(path)) == (status, outcome, outcome == "completed", None, "INFO")


@pytest.mark.parametrize("with_reset", [False, True], ids=["closed", "reset"])
def test_who_leaves_during_a_stream_is_told_of(site: Site, with_reset: bool):
    path = site.path("stream")
    with site.sending(path) as sock:
        received = b""
        while b"piece" not in received:
            received += sock.recv(1000)
        if with_reset:
            cut_off(sock)
    record = site.record(path)
    assert became(record) == (200, "client_disconnected", False, None, "INFO")
    assert record["http.response.body.size"] >= len(b"piece\n")


def test_who_leaves_during_an_upload_is_told_of(site: Site):
    calls_none = site.name in READS_BODY_FIRST
    path = site.path("leaving", records=0 if calls_none else 1)
    with site.sending(path, "POST", b"Content-Length: 1000\r\n", b"a" * 100):
        if not calls_none:
            site.wait(lambda: f"begun {path}." in site.server.log())
    if not calls_none:
        record = site.record(path)
        assert became(record) == (None, "client_disconnected", False, None, "INFO")
        assert record["http.request.body.size"] <= 100


def test_pipelined_requests_have_records_and_ids_of_their_own_in_their_order(site: Site):
    paths = [site.path("answer") for _ in range(3)]
    rest = b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode() for path in paths[1:])
    received = b""
    with site.sending(paths[0], "GET", b"", rest) as sock:
        while len(re.findall(rb"\r\n\r\n[0-9a-f]{32}", received)) < 3:
            received += sock.recv(10_000)
    records = [site.record(path) for path in paths]
    ids = [record["request_id"] for record in records]
    assert len({*ids}) == 3
    assert [one.decode() for one in re.findall(rb"\r\n\r\n([0-9a-f]{32})", received)] == ids
    assert [one.decode() for one in re.findall(rb"\nx-request-id: *([0-9a-f]{32})\r", received, re.IGNORECASE)] == ids
    assert [record["url.path"] for record in site.records() if record["url.path"] in paths] == paths


@pytest.mark.parametrize("place", ["path", "query"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_target_is_in_its_record_as_it_was_sent_or_the_server_refuses_it(site: Site, kind: str, place: str):
    hostile, escaped = HOSTILE[kind]
    between = "?" if place == "query" else "/"
    forged = FORGED.replace(" ", "%20").replace('"', "%22")
    path = site.path("answer", records=0)
    target = (path + between).encode() + hostile
    if kind in ENCODED | IN_TARGETS[site.name, place]:
        logged = escaped + forged
        expected = path if place == "query" else f"{path}/{logged}"
        site.expected[expected] = 1
        with site.sending(target + forged.encode()):
            assert site.record(expected).get("url.query") == (logged if place == "query" else None)
    else:
        with site.sending(target + FORGED.encode()) as sock:
            assert sock.recv(1000)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 404")


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "CR LF"])  # which ends a header
def test_a_hostile_header_is_in_its_record_as_it_was_sent_or_the_server_refuses_it(site: Site, kind: str):
    hostile, escaped = HOSTILE[kind]
    path = site.path("answer", records=1 if kind in ENCODED | IN_HEADERS[site.name] else 0)
    value = hostile + FORGED.encode()
    with site.sending(path, "GET", b"X-Hostile: %b\r\nUser-Agent: %b\r\n" % (value, value)) as sock:
        if not site.expected[path]:
            assert sock.recv(1000)[:12] == b"HTTP/1.1 400"
            return
        record = site.record(path)
    assert record["http.request.header.x-hostile"] == [record["user_agent.original"]] == [escaped + FORGED]


@pytest.mark.parametrize(
    ("what", "expected", "close"),
    [
        ("refuses", (403, "completed", True, None, "WARNING"), (1000, None, "application")),
        ("denies", (401, "completed", True, None, "WARNING"), (None, None, None)),
        ("refuses_by_failure", (500, "failed", False, "LookupError", "ERROR"), (None, None, None)),
        ("accepts_and_fails", (101, "failed", False, "LookupError", "ERROR"), (None, None, None)),
        ("accepts_and_returns", (101, "incomplete", False, None, "ERROR"), (None, None, None)),
    ],
)
def test_a_websocket_has_one_record_of_what_the_application_did(
    site: Site, what: str, expected: tuple[Any, ...], close: tuple[Any, ...]
):
    if what == "denies" and site.name in WITHOUT_DENIALS:
        expected, close = (403, *expected[1:]), (1000, None, "application")
    record = site.ask(what, "GET", HANDSHAKE)
    assert became(record) == expected
    assert closed(record) == close


def test_a_websocket_that_the_application_closes_has_its_code_and_reason(site: Site):
    path = site.path("closes")
    with pytest.raises(ConnectionClosed), site.connect(path) as websocket:
        websocket.recv(timeout=SECONDS)
    record = site.record(path)
    assert became(record) == (101, "completed", True, None, "INFO")
    assert closed(record) == (4003, "as you\\nwish", "application")


@pytest.mark.parametrize("way", WAYS)
def test_a_websocket_that_the_client_closes_has_what_the_server_tells_of_it(site: Site, way: str):
    path = site.path("echo")
    if way == "with a code":
        with site.connect(path, subprotocols=["chat"]) as websocket:
            websocket.send("héllo")
            websocket.recv(timeout=SECONDS)
            websocket.close(4123, "be\ncause")
    else:
        with site.sending(path, "GET", HANDSHAKE) as sock:
            assert sock.recv(1000).startswith(b"HTTP/1.1 101")
            if way == "without a code":
                sock.sendall(b"\x88\x80\0\0\0\0")
                while sock.recv(1000):
                    pass
            elif way == "reset":
                cut_off(sock)
    record = site.record(path)
    expected = CLOSES[site.name][WAYS[way]]
    assert closed(record) == expected
    outcome = "client_disconnected" if expected == _LOST else "completed"
    assert became(record) == (101, outcome, expected != _LOST, None, "INFO")
    if way == "with a code":
        names = ("subprotocol", "messages_received", "messages_sent", "bytes_received", "bytes_sent")
        assert [record[f"websocket.{name}"] for name in names] == ["chat", 1, 1, 6, 6]


def test_each_connection_has_one_line_in_each_format_and_no_line_is_forged(ended: Site):
    assert ended.server.process.returncode == 0
    records = ended.records()
    assert Counter(record["url.path"] for record in records) == +ended.expected
    log = ended.server.log()
    assert not re.search(r"[^\n\x20-\x7e]", log)
    lines = [line for line in log.splitlines() if "127.0.0.1 - - [" in line or "/forged" in line]
    if "uvicorn" in ended.name:
        lines = [line for line in lines if '"WebSocket ' not in line]  # of its own, and safe
    read = [COMBINED.fullmatch(line) for line in lines]
    assert all(read), lines
    targets = [record["url.path"] + ("?" + query if (query := record.get("url.query")) else "") for record in records]
    assert Counter(found[1].replace('\\"', '"') for found in read if found) == Counter(targets)
    agents = Counter(record.get("user_agent.original", "-") for record in records)
    assert Counter(found[3].replace('\\"', '"') for found in read if found) == agents


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``django-admin startproject`` makes, with a page; one import and one line more in its ``asgi.py``."""
    folder = tmp_path_factory.mktemp("project")
    run = [sys.executable, "-m", "django", "startproject", "mysite", "."]
    subprocess.run(run, cwd=folder, check=True, capture_output=True, timeout=60)
    made = folder / "mysite" / "asgi.py"
    asgi = made.read_text()
    made.with_stem("asgi_as_made").write_text(asgi)
    made.with_stem("asgi_imported_first").write_text(IMPORT + asgi + LINE)
    made.write_text(asgi + IMPORT + LINE)
    made.with_stem("pages").write_text(PAGES)
    for name, lines in SETTINGS.items():
        made.with_stem(name).write_text(f'from .settings import *\nROOT_URLCONF = "mysite.pages"\n{lines}\n')
    return folder


def visited(
    project: Path, name: str, *options: str, asgi: str = "asgi", settings: str = "settings_default"
) -> list[str]:
    """All lines of a server that Django ran on and whose pages were asked for, without the frames of tracebacks."""
    arguments = [*COMMANDS[name], *options, f"mysite.{asgi}:application"]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": f"mysite.{settings}"}
    with serving(arguments, project, project / "log", env=environment) as server:
        assert [status(server, path) for path in ASKED] == [*ASKED.values()]
    assert server.process.returncode == 0
    return [line for line in server.log().splitlines() if not line.startswith(" ")]


def status(server: Server, path: str) -> int:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)) as connection:
        connection.request("GET", path)
        with connection.getresponse() as response:
            response.read()
            return response.status


def ours(lines: list[str]) -> list[str]:
    """The paths of our lines."""
    return [found[1] for line in lines if (found := COMBINED.fullmatch(line) or PLAIN.fullmatch(line))]


def others(lines: list[str]) -> list[str]:
    """The lines that are not ours, without what differs each time."""
    left = [line for line in lines if not (COMBINED.fullmatch(line) or PLAIN.fullmatch(line) or DOUBLED in line)]
    return [re.sub(r"\d+", "0", line) for line in left]


@pytest.mark.parametrize(
    ("name", "options"), [("uvicorn-httptools-wsproto", ["--no-access-log"]), ("daphne", ["--access-log", "/dev/null"])]
)
def test_one_line_in_a_new_django_project_logs_each_request_once_and_changes_nothing_else(
    project: Path, name: str, options: list[str]
):
    lines = visited(project, name, *options)
    assert ours(lines) == [*ASKED]
    as_made = visited(project, name, *options, asgi="asgi_as_made")
    assert ours(as_made) == []
    assert others(lines) == others(as_made)
    for path in ("Not Found: /missing", "Internal Server Error: /fails/"):
        assert any(path in line for line in as_made)


@pytest.mark.parametrize("name", ["uvicorn-httptools-wsproto", "daphne"])
def test_a_root_logger_at_warning_is_named_once_as_what_keeps_lines_away(project: Path, name: str):
    lines = visited(project, name, settings="settings_warning")
    (told,) = [line for line in lines if SILENCED in line]
    assert told.endswith("'root'; set the level of 'middleware.request_log' to INFO")
    assert ours(lines) == ["/missing", "/fails/"]
    assert not any(DOUBLED in line for line in lines)


@pytest.mark.parametrize("name", ["uvicorn-httptools-wsproto", "daphne"])
def test_a_configuration_that_disables_the_logger_is_named_once(project: Path, name: str):
    lines = visited(project, name, asgi="asgi_imported_first", settings="settings_disabling")
    (told,) = [line for line in lines if SILENCED in line]
    assert told.endswith("is disabled; set 'disable_existing_loggers' to False in LOGGING (dictConfig)")
    assert ours(lines) == []


# The server's own line of a request for /answer, with which options it writes one, what is told to do about it, and
# the options for that.
@pytest.mark.parametrize(
    ("server", "own", "with_lines", "without_lines"),
    [
        (_UVICORN[:-1], r'"GET (\S+) HTTP/1\.1" 200 OK$', [], ["--no-access-log"]),
        (SERVERS["hypercorn"], r'\] \[INFO\] .*"GET (\S+) 1\.1" 200 ', ["--access-logfile", "-"], []),
        (COMMANDS["granian"], r'^\[.*"GET (\S+) HTTP/1\.1" 200 [\d.]+$', ["--access-log"], []),
        (COMMANDS["daphne"], r'\] "GET (\S+)" 200 \d+$', [], ["--access-log", "/dev/null"]),
    ],
    ids=["uvicorn", "hypercorn", "granian", "daphne"],
)
def test_that_the_server_logs_requests_too_is_told_once_and_who_follows_the_hint_has_one_line(
    tmp_path: Path, server: list[str], own: str, with_lines: list[str], without_lines: list[str]
):
    for options, told in ((with_lines, 1), (without_lines, 0)):
        arguments = [*server, *options, "tests.servers.request_log:unconfigured"]
        with serving(arguments, ROOT, tmp_path / "log", env=ENVIRONMENT) as running:
            assert [status(running, path) for path in ("/answer/1", "/answer/2")] == [200, 200]
        lines = running.log().splitlines()
        assert ours(lines) == ["/answer/1", "/answer/2"]
        assert [found[1] for line in lines if (found := re.search(own, line))] == ["/answer/1", "/answer/2"] * told
        hints = [line.partition(DOUBLED)[2] for line in lines if DOUBLED in line]
        assert len(hints) == told
        for hint in hints:
            assert all(option in hint for option in without_lines)
