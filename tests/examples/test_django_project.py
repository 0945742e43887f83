"""The example Django project, served as its readers serve it."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import difflib
import http.client
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import fastapi
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.asgi import websocket_scope
from tests.examples.demo import PROJECT, WAIT_SECONDS, demo, sent
from tests.servers.process import Server, command, free_port, serving


def get(server: Server, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers.get("content-type", ""), response.read().decode()


def post(server: Server, path: str) -> tuple[int, str, str]:
    return get(server, path, "POST")


def ask(server: Server, path: str, **headers: str) -> tuple[int, Message]:
    """The status and the headers of the response to a GET with ``headers``."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers


def enter(server: Server, path: str = "/ws/") -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}{path}", open_timeout=WAIT_SECONDS, close_timeout=2, proxy=None)


def hear(client: ClientConnection, event: str) -> dict[str, Any]:
    """The next ``event`` that the client is told; others before it are passed over."""
    while True:
        message = json.loads(client.recv(timeout=WAIT_SECONDS))
        if message["event"] == event:
            return message


def test_django_answers_the_page_and_the_admin_beside_it_without_a_database(site: Server):
    database = PROJECT / "db.sqlite3"  # as `manage.py migrate` makes it
    existed = database.exists()
    status, content_type, page = get(site, "/")
    assert (status, content_type) == (200, "text/html; charset=utf-8")
    assert "went to Django" in page
    assert get(site, "/admin/")[0] == 302
    assert get(site, "/nowhere")[0] == 404
    assert database.exists() == existed


def test_fastapi_answers_below_api_from_what_its_start_has_set_up(site: Server):
    before = json.loads(get(site, "/api/status")[2])
    assert (before["framework"], before["root_path"]) == (f"FastAPI {fastapi.__version__}", "/api")
    first, second = (post(site, "/api/visits") for _ in "12")
    assert (first[0], second[0]) == (201, 201)
    assert json.loads(second[2])["visit"] == json.loads(first[2])["visit"] + 1
    assert json.loads(get(site, "/api/status")[2])["started"] == before["started"]


def test_what_is_not_below_api_is_not_for_fastapi(site: Server):
    assert get(site, "/api/nowhere")[:2] == (404, "application/json")
    assert get(site, "/apix")[:2] == (404, "text/html; charset=utf-8")


def test_fastapi_describes_itself_where_it_is_mounted(site: Server):
    description = json.loads(get(site, "/api/openapi.json")[2])
    assert description["servers"] == [{"url": "/api"}]
    assert description["paths"].keys() == {"/status", "/visits"}
    assert "url: '/api/openapi.json'" in get(site, "/api/docs")[2]


def test_what_django_and_fastapi_send_is_compressed_if_that_is_worth_it(site: Server):
    for path in ("/", "/admin/login/", "/api/docs"):
        plain, size = sent(site, path, "identity")
        coding, less = sent(site, path, "gzip")
        assert (plain, coding) == (None, "gzip")
        assert less < size
    assert sent(site, "/api/status", "gzip")[0] is None


def test_the_api_starts_and_stops_with_the_server_and_sees_the_chat_beside_it(tmp_path: Path):
    earliest = datetime.now(UTC)
    with demo(tmp_path / "log", PORT=str(free_port())) as server:
        status = json.loads(get(server, "/api/status")[2])
        assert earliest <= datetime.fromisoformat(status["started"]) <= datetime.now(UTC)
        assert status["people"] == 0
        with enter(server) as client:
            hear(client, "welcome")
            assert json.loads(get(server, "/api/status")[2])["people"] == 1
        assert "the store is closed" not in server.log()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(5) == 0
    steps = ["the store is open", "application has started", "the store is closed", "application has shut down"]
    assert re.findall("|".join(steps), server.log()) == steps


def test_everybody_hears_what_anybody_says_and_who_comes_and_goes(site: Server):
    with enter(site) as one:
        welcome = hear(one, "welcome")
        first = welcome["name"]
        assert welcome["user"] is None
        with enter(site) as two:
            second = hear(two, "welcome")["name"]
            assert second != first
            hear(one, "joined")
            assert hear(one, "joined") == {"event": "joined", "name": second, "people": [first, second]}
            one.send("hello")
            two.send("  <b>hello</b> yourself\n")
            for client in (one, two):
                said = [hear(client, "said"), hear(client, "said")]
                assert {"event": "said", "name": first, "text": "hello"} in said
                assert {"event": "said", "name": second, "text": "<b>hello</b> yourself"} in said
        assert hear(one, "left") == {"event": "left", "name": second, "people": [first]}


MASKED_EMPTY_KEY = bytes(4)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param(b"\x82\x83" + MASKED_EMPTY_KEY + b"abc", 4003, id="binary"),
        pytest.param(b"\x81\xfe\x01\xf5" + MASKED_EMPTY_KEY + b"x" * 501, 4009, id="one-character-too-long"),
        pytest.param(b"\x81\xff" + (2**40).to_bytes(8) + MASKED_EMPTY_KEY, 1009, id="announced-as-a-terabyte"),
        pytest.param(b"\x83\x80" + MASKED_EMPTY_KEY, 1002, id="reserved-opcode"),
        pytest.param(b"\x81\x03abc", 1002, id="unmasked"),
        pytest.param(b"\x81\x82" + MASKED_EMPTY_KEY + b"\xff\xfe", 1007, id="not-utf-8"),
    ],
)
def test_a_frame_that_is_no_message_ends_its_own_connection_only(site: Server, frame: bytes, code: int):
    with enter(site) as good, enter(site) as bad:
        name = hear(bad, "welcome")["name"]
        bad.socket.sendall(frame)
        with pytest.raises(ConnectionClosed) as closed:
            hear(bad, "nothing that is ever said")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        while hear(good, "left")["name"] != name:
            pass
        good.send("x" * 500)
        assert hear(good, "said")["text"] == "x" * 500
    assert "sockets.py" not in site.log()
    assert "Exception in ASGI application" not in site.log()


def test_what_is_blank_is_not_said(site: Server):
    with enter(site) as client:
        for text in ("", " \t\n", "something"):
            client.send(text)
        assert hear(client, "said")["text"] == "something"


def test_another_websocket_path_is_refused_before_the_handshake(site: Server):
    with pytest.raises(InvalidStatus) as refused:
        enter(site, "/ws/elsewhere/")
    assert refused.value.response.status_code == 403
    assert "Traceback" not in site.log().partition("/ws/elsewhere/")[2]


def test_a_websocket_from_a_page_of_another_site_is_refused_before_the_handshake(site: Server):
    address = f"ws://127.0.0.1:{site.port}/ws/"
    for stranger in ("https://evil.example", f"http://localhost:{site.port}"):  # which may read responses
        with pytest.raises(InvalidStatus) as refused:
            connect(address, origin=Origin(stranger), open_timeout=WAIT_SECONDS, proxy=None)
        assert refused.value.response.status_code == 403
        assert f"a websocket from the origin '{stranger}'" in site.log()
    with connect(address, origin=Origin(f"http://127.0.0.1:{site.port}"), proxy=None) as client:
        hear(client, "welcome")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("http://localhost:3000", "http://localhost:3000"), ("https://evil.example", None)],
)
def test_pages_of_other_sites_on_this_machine_may_read_responses(site: Server, origin: str, allowed: str | None):
    _, headers = ask(site, "/api/status", Origin=origin)
    assert headers["access-control-allow-origin"] == allowed
    assert headers["access-control-allow-credentials"] is None


def test_a_newcomer_is_told_the_last_lines_and_everybody_each_new_one(site: Server):
    with enter(site) as client:
        welcome = hear(client, "welcome")
        before = hear(client, "logged")["lines"]
        assert len(before) <= 12
        assert welcome["request_id"] == client.response.headers["x-request-id"]
        status, headers = ask(site, "/", **{"X-Request-ID": "the-page", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
        (page,) = hear(client, "logged")["lines"]
        shown = {
            name: page[name] for name in ("method", "path", "status", "outcome", "close", "request_id", "trace_id")
        }
        assert shown == {
            "method": "GET",
            "path": "/",
            "status": status,
            "outcome": "completed",
            "close": None,
            "request_id": headers["x-request-id"],
            "trace_id": "a" * 32,
        }
        assert (status, headers["x-request-id"]) == (200, "the-page")
        get(site, "/nowhere?token=secret")
        (missing,) = hear(client, "logged")["lines"]
        assert (missing["method"], missing["path"], missing["status"]) == ("GET", "/nowhere", 404)
        with enter(site) as other:
            left = hear(other, "welcome")
            other.close(4321)
        (closed,) = hear(client, "logged")["lines"]
        shown = {name: closed[name] for name in ("method", "path", "status", "close", "closed_by")}
        assert shown == {"method": "WS", "path": "/ws/", "status": 101, "close": 4321, "closed_by": "client"}
        assert closed["request_id"] == left["request_id"]
        assert not any(line["request_id"] == welcome["request_id"] for line in before)  # its line is yet to come
    assert "secret" not in json.dumps([page, missing, closed])


@pytest.mark.parametrize(
    ("terminal", "line"),
    [
        pytest.param("", r'127\.0\.0\.1 - - \[.*\] "{method} {path} HTTP/1\.1" {status} ', id="elsewhere"),
        pytest.param("1", r"\x1b\[2m[\d:]{{8}}\x1b\[0m \x1b\[3[23]m{status}\x1b\[0m {shown} +{path}  ", id="terminal"),
    ],
)
def test_the_console_has_one_line_of_each_request_and_of_each_websocket(tmp_path: Path, terminal: str, line: str):
    with demo(tmp_path / "log", PORT=str(free_port()), FORCE_COLOR=terminal) as server:
        for path in ("/", "/nowhere", "/api/status"):
            get(server, path)
        with enter(server) as client:
            hear(client, "welcome")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(5) == 0
    written = server.log().partition("has started")[2].splitlines()[1:]
    expected = [("GET", "/", 200), ("GET", "/nowhere", 404), ("GET", "/api/status", 200), ("WS", "/ws/", 101)]
    for text, (shown, path, status) in zip(written, expected, strict=False):
        assert re.match(line.format(method="GET", shown=shown, path=path, status=status), text), text
    assert len(written) == len(expected) + 2  # the store is closed, the application has shut down


@pytest.mark.parametrize("name", ["daphne", "granian", "hypercorn-asyncio"])
def test_it_is_the_same_on_every_server(name: str, tmp_path: Path):
    with serving(command(name, "project.asgi:application"), PROJECT, tmp_path / "log") as server:
        assert get(server, "/")[0] == 200
        assert sent(server, "/", "gzip")[0] == "gzip"
        assert json.loads(post(server, "/api/visits")[2]) == {"visit": 1}
        assert json.loads(get(server, "/api/status")[2])["root_path"] == "/api"
        with enter(server) as one, enter(server) as two:
            guest = hear(one, "welcome")["name"]
            one.send("hello")
            assert hear(two, "said") == {"event": "said", "name": guest, "text": "hello"}
            one.send(b"binary")
            hear(two, "left")
            with pytest.raises(ConnectionClosed) as closed:
                hear(one, "nothing that is ever said")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4003
    assert not re.search("Traceback|ERROR|WARNING", server.log()), server.log()
    assert server.process.returncode == 0
    stops = ["closed"] if name != "daphne" else []  # which tells no application that it ends
    assert re.findall(r"the store is (\w+)", server.log()) == ["open", *stops]


def test_django_finds_nothing_wrong_with_the_project(tmp_path: Path):
    arguments = [sys.executable, str(PROJECT / "manage.py"), "check", "--fail-level", "DEBUG"]
    ended = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """``chat/sockets.py``, with nobody in the room."""
    monkeypatch.syspath_prepend(PROJECT)
    module = importlib.import_module("chat.sockets")
    yield module
    module.log.logger.removeFilter(module.log.note)
    for name in ("chat", "chat.log", "chat.sockets"):
        del sys.modules[name]


def visitors_scope() -> dict[str, Any]:
    nobody = SimpleNamespace(get_username=str)  # what chat/sockets.py asks of an AnonymousUser
    ids = {"request_id": "an-id", "trace_context": SimpleNamespace(trace_id="a-trace")}
    return websocket_scope("/ws/", user=nobody, **ids)


class Visitor:
    """A websocket in this process: what it does to the application, and what it does with each event it is told."""

    def __init__(self, sockets: Any, tell: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.does: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.does.put_nowait({"type": "websocket.connect"})
        self._tell = tell
        self.connection = asyncio.create_task(sockets.chat(visitors_scope(), self.does.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await self._tell(json.loads(message["text"]))


def test_whoever_does_not_read_costs_a_bounded_mailbox_and_holds_up_nobody(sockets: Any):
    async def scenario() -> None:
        spoken = [str(number) for number in range(3 * sockets.MAILBOX_LIMIT)]
        heard: list[str] = []
        heard_the_last = asyncio.Event()

        async def note(event: dict[str, Any]) -> None:
            if event["event"] == "said":
                heard.append(event["text"])
                if event["text"] == spoken[-1]:
                    heard_the_last.set()

        async def never_done(event: dict[str, Any]) -> None:
            await asyncio.Event().wait()

        visitors = [Visitor(sockets, never_done), Visitor(sockets, note)]
        for text in spoken:
            visitors[1].does.put_nowait({"type": "websocket.receive", "text": text})
        async with asyncio.timeout(WAIT_SECONDS):
            await heard_the_last.wait()
            assert heard == spoken
            mailbox = sockets.mailboxes["Guest 1"]
            waiting = [json.loads(mailbox.get_nowait())["text"] for _ in range(mailbox.qsize())]
            assert waiting == spoken[-sockets.MAILBOX_LIMIT :]
            for visitor in visitors:
                visitor.does.put_nowait({"type": "websocket.disconnect", "code": 1001})
                await visitor.connection
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not sockets.mailboxes

    asyncio.run(scenario())


def test_a_connection_that_breaks_or_is_cancelled_leaves_the_room_and_no_task(sockets: Any):
    async def scenario() -> None:
        told = asyncio.Barrier(3)

        async def broken(event: dict[str, Any]) -> None:
            await told.wait()
            raise ConnectionResetError

        gone, cancelled = Visitor(sockets, broken), Visitor(sockets, broken)
        async with asyncio.timeout(WAIT_SECONDS):
            await told.wait()
            gone.does.put_nowait({"type": "websocket.disconnect", "code": 1006})
            await gone.connection
            assert [*sockets.mailboxes] == ["Guest 2"]
            cancelled.connection.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled.connection
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not sockets.mailboxes

    asyncio.run(scenario())


def test_the_room_has_a_last_place(sockets: Any):
    sent: list[Any] = []

    async def connects() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    sockets.mailboxes.update({str(number): asyncio.Queue() for number in range(sockets.PEOPLE_LIMIT)})
    asyncio.run(asyncio.wait_for(sockets.chat(visitors_scope(), connects, send), WAIT_SECONDS))
    assert [(message["type"], message.get("code")) for message in sent] == [
        ("websocket.accept", None),
        ("websocket.close", 4013),
    ]
    assert len(sockets.mailboxes) == sockets.PEOPLE_LIMIT


def test_ctrl_c_ends_the_demo_at_once_and_without_an_error_while_websockets_are_open(tmp_path: Path):
    with demo(tmp_path / "log", PORT=str(free_port())) as server, enter(server) as client, enter(server) as other:
        for guest in (client, other):
            hear(guest, "joined")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(5) == 0
        with pytest.raises(ConnectionClosed):
            hear(client, "nothing that is ever said")
    assert "the application has shut down" in server.log()
    assert not re.search("Traceback|ERROR|WARNING|Cancel", server.log()), server.log()


def test_the_demo_takes_the_next_port_if_the_first_is_taken_and_prints_it(tmp_path: Path):
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # taken by somebody else: as good
            stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        server = stack.enter_context(demo(tmp_path / "log", PORT=""))
        assert server.port > 8000
        assert get(server, "/")[0] == 200
        assert "two tabs" in server.log()


def test_the_demo_says_so_if_the_port_that_it_was_given_is_taken(tmp_path: Path, site: Server):
    arguments = [sys.executable, str(PROJECT / "serve.py")]
    environment = {**os.environ, "PORT": str(site.port)}
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (1, f"port {site.port} is not free\n")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the installed Django makes of `django-admin startproject project .`"""
    folder = tmp_path_factory.mktemp("generated")
    arguments = [sys.executable, "-m", "django", "startproject", "project", "."]
    subprocess.run(arguments, cwd=folder, check=True, timeout=60)
    return folder


@pytest.mark.parametrize(
    ("file", "removed", "added"),
    [
        (
            "project/asgi.py",
            {"application = get_asgi_application()"},
            {
                (
                    "from middleware import CompressionMiddleware, CORSMiddleware, Middleware, PathRouter, "
                    "ProtocolRouter, RequestIdMiddleware, RequestLogMiddleware, TraceContextMiddleware, stack"
                ),
                (
                    "application = ProtocolRouter(http=PathRouter({'/api': 'chat.api:application'}, "
                    "default=get_asgi_application()), websocket='chat.sockets:application', lifespan='lazy')"
                ),
                (
                    "application = stack(application, Middleware(RequestLogMiddleware), "
                    "Middleware(RequestIdMiddleware), Middleware(TraceContextMiddleware), "
                    "Middleware(CORSMiddleware, ['http://localhost:*', 'http://127.0.0.1:*'], websocket_origins=[]), "
                    "Middleware(CompressionMiddleware))"
                ),
            },
        ),
        ("manage.py", set(), set()),
        ("project/__init__.py", set(), set()),
        ("project/wsgi.py", set(), set()),
        (
            "project/urls.py",
            {"from django.urls import path", "urlpatterns = [path('admin/', admin.site.urls)]"},
            {
                "from chat.views import page",
                "from django.urls import include, path",
                (
                    "urlpatterns = [path('', page), path('accounts/', include('django.contrib.auth.urls')), "
                    "path('admin/', admin.site.urls)]"
                ),
            },
        ),
    ],
)
def test_the_project_differs_from_startproject_only_by_what_a_user_writes(
    generated: Path, file: str, removed: set[str], added: set[str]
):
    difference = [*difflib.ndiff(statements(generated / file), statements(PROJECT / file))]
    assert {line[2:] for line in difference if line.startswith("- ")} == removed
    assert {line[2:] for line in difference if line.startswith("+ ")} == added


def test_its_settings_differ_from_startproject_by_app_key_database_log_and_where_a_login_leads(generated: Path):
    difference = [
        *difflib.ndiff(statements(generated / "project/settings.py"), statements(PROJECT / "project/settings.py"))
    ]
    changed = {line[2:].split(" = ")[0] for line in difference if line[0] in "-+"}
    assert changed == {
        "import os",
        "SECRET_KEY",
        "INSTALLED_APPS",
        "DATABASES",
        "LOGIN_REDIRECT_URL",
        "LOGGING",
    }


def statements(file: Path) -> list[str]:
    """The code of a file without its docstring, comments and layout."""
    tree = ast.parse(file.read_text())
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    return ast.unparse(tree).splitlines()
