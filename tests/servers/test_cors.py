"""CORS on real servers: in front of a Django project as it is made, around FastAPI, and refused before any request."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from middleware import ConfigurationError, CORSMiddleware

from .cors import REFUSED, app
from .process import COMMANDS, Server, command, serving
from .test_servers import ENVIRONMENT, complaints, exceptions

SECONDS = 5
ROOT = Path(__file__).parents[2]
APP = "https://app.example.com"
STRANGER = "https://evil.example"
GRANTED = {"access-control-allow-origin": APP}
PREFLIGHT = {"Access-Control-Request-Method": "POST"}
WITH_TOKEN = {**PREFLIGHT, "Access-Control-Request-Headers": "content-type,x-csrftoken"}
TOKEN = "x" * 32
USER = {
    "DJANGO_SUPERUSER_USERNAME": "ada",
    "DJANGO_SUPERUSER_EMAIL": "ada@example.com",
    "DJANGO_SUPERUSER_PASSWORD": "analytical",
}
LOG_IN = "/admin/login/?next=/admin/"
FORM = {"username": "ada", "password": "analytical"}

IMPORT = "from middleware import CORSMiddleware\n"
LINE = f"application = CORSMiddleware(application, allow_origins=[{APP!r}])\n"
# As django-cors-headers has it: the policy in the settings, cookies allowed. Beside Django, websockets.
SETTINGS = f"""
CORS_ALLOWED_ORIGINS = [{APP!r}]
CORS_ALLOW_CREDENTIALS = True
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "user-agent", "x-csrftoken", "x-requested-with"]
CORS_ALLOW_METHODS = ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"]
CSRF_TRUSTED_ORIGINS = CORS_ALLOWED_ORIGINS
"""
LINES = """
from django.conf import settings
from middleware import ProtocolRouter
application = ProtocolRouter(http=application, websocket="tests.servers.sockets:application")
application = CORSMiddleware(
    application,
    allow_origins=settings.CORS_ALLOWED_ORIGINS,
    allow_methods=settings.CORS_ALLOW_METHODS,
    allow_headers=settings.CORS_ALLOW_HEADERS,
    allow_credentials=settings.CORS_ALLOW_CREDENTIALS,
)
"""


def ask(
    server: Server, path: str, origin: str | None, method: str = "GET", body: str = "", **headers: str
) -> tuple[int, dict[str, str], str]:
    """The status, the headers that CORS is about, and the content."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    try:
        connection.request(method, path, body, {**({"Origin": origin} if origin else {}), **headers})
        response = connection.getresponse()
        found = [(name.lower(), value) for name, value in response.getheaders()]
        found = [(name, value) for name, value in found if name == "vary" or name.startswith("access-control-")]
        assert len(dict(found)) == len(found), "a header is there twice"
        return response.status, dict(found), response.read().decode()
    finally:
        connection.close()


def hear(server: Server, origin: str | None, path: str = "/ws") -> str:
    """What the websocket sends back, or the status with which it is refused."""
    url = f"ws://127.0.0.1:{server.port}{path}"
    try:
        with connect(url, origin=origin, proxy=None, open_timeout=SECONDS, close_timeout=SECONDS) as websocket:
            websocket.send("hello")
            return str(websocket.recv(timeout=SECONDS))
    except InvalidStatus as error:
        return str(error.response.status_code)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``django-admin startproject`` makes, with a database and somebody who may log in."""
    folder = tmp_path_factory.mktemp("project")
    for arguments in (
        ["-m", "django", "startproject", "mysite", "."],
        ["manage.py", "migrate"],
        ["manage.py", "createsuperuser", "--no-input"],
    ):
        run = [sys.executable, *arguments]
        subprocess.run(run, cwd=folder, env={**os.environ, **USER}, check=True, capture_output=True, timeout=60)
    made = folder / "mysite" / "asgi.py"
    asgi = made.read_text()
    made.write_text(asgi + IMPORT + LINE)
    made.with_stem("asgi_sockets").write_text(asgi + IMPORT + LINES)
    made.with_stem("settings_cors").write_text("from .settings import *\n" + SETTINGS)
    return folder


@pytest.fixture(scope="module", params=["daphne", "uvicorn-httptools-wsproto"])
def django(request: pytest.FixtureRequest, project: Path) -> Iterator[Server]:
    """The project with one import and one line more in its ``asgi.py``."""
    with served(request.param, "mysite.asgi", project) as server:
        yield server


@pytest.fixture(scope="module", params=["daphne", "uvicorn-httptools-wsproto"])
def with_sockets(request: pytest.FixtureRequest, project: Path) -> Iterator[Server]:
    """The project with its policy in the settings, and websockets beside Django."""
    with served(request.param, "mysite.asgi_sockets", project, DJANGO_SETTINGS_MODULE="mysite.settings_cors") as server:
        yield server


def served(name: str, module: str, project: Path, **env: str) -> AbstractContextManager[Server]:
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT), **env}
    return serving(command(name, f"{module}:application"), project, project / f"{name}-{module}.log", env=environment)


def test_a_page_of_the_listed_site_may_read_what_django_answers_and_no_other(django: Server):
    for path, status, vary in (("/", 200, "Origin"), ("/admin/login/", 200, "Cookie, Origin"), ("/no", 404, "Origin")):
        assert ask(django, path, APP)[:2] == (status, {**GRANTED, "vary": vary})
        assert ask(django, path, STRANGER)[:2] == ask(django, path, None)[:2] == (status, {"vary": vary})
    assert exceptions(django.log()) == []


def test_a_preflight_never_reaches_django(django: Server):
    status, headers, body = ask(django, "/admin/", APP, "OPTIONS", **PREFLIGHT)
    assert (status, headers["access-control-allow-origin"], body) == (200, APP, "OK")
    status, headers, body = ask(django, "/admin/", STRANGER, "OPTIONS", **PREFLIGHT)
    assert (status, headers.keys(), body) == (400, {"vary"}, "Disallowed CORS origin")
    assert ask(django, "/admin/", APP, "OPTIONS")[0] == 302  # no preflight: the admin sends to its log-in


def test_the_admin_lets_in_and_out_as_without(django: Server):
    site = f"http://127.0.0.1:{django.port}"
    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor(cookies := CookieJar()))
    browser.open(f"{site}/admin/login/", timeout=SECONDS).close()

    def post(path: str, **form: str) -> str:
        token = {"csrfmiddlewaretoken": next(cookie.value for cookie in cookies if cookie.name == "csrftoken")}
        request = Request(site + path, urlencode({**form, **token}).encode(), {"Origin": site})
        with browser.open(request, timeout=SECONDS) as response:
            assert response.headers["access-control-allow-origin"] is None
            return response.read().decode()

    assert "Site administration" in post(LOG_IN, **FORM)
    assert "Logged out" in post("/admin/logout/")


def test_django_alone_gets_no_websocket_of_a_stranger(django: Server):
    assert hear(django, STRANGER) == "403"
    assert hear(django, APP) == "500"  # Django knows no websockets
    assert "can only handle ASGI/HTTP connections, not websocket" in django.log()
    assert f"from the origin '{STRANGER}'" in django.log()


def test_a_page_of_the_listed_site_logs_in_with_a_cookie_and_no_other(with_sockets: Server):
    status, headers, _ = ask(with_sockets, "/admin/login/", APP, "OPTIONS", **WITH_TOKEN)
    assert (status, headers["access-control-allow-credentials"]) == (200, "true")
    sent = {"Cookie": f"csrftoken={TOKEN}", "X-CSRFToken": TOKEN, "Content-Type": "application/x-www-form-urlencoded"}
    granted = {**GRANTED, "access-control-allow-credentials": "true"}
    assert ask(with_sockets, LOG_IN, APP, "POST", urlencode(FORM), **sent)[:2] == (
        302,
        {**granted, "vary": "Cookie, Origin"},
    )
    status, headers, _ = ask(with_sockets, LOG_IN, STRANGER, "POST", urlencode(FORM), **sent)
    assert (status, headers.keys()) == (403, {"vary"})


def test_a_websocket_beside_django_is_opened_to_the_site_itself_and_to_listed_ones(with_sockets: Server):
    itself = f"http://127.0.0.1:{with_sockets.port}"
    origins = [None, itself, APP, STRANGER, "null", "http://127.0.0.1:1", f"{APP}.evil.example"]
    assert [hear(with_sockets, origin) for origin in origins] == ["hello"] * 3 + ["403"] * 4
    (told,) = [line for line in with_sockets.log().splitlines() if f"'{STRANGER}'" in line]
    assert f"to the host '127.0.0.1:{with_sockets.port}' was refused" in told
    assert "proxy_set_header Host $host" in told
    assert "websocket_origins=[" in told
    assert exceptions(with_sockets.log()) == []


@pytest.mark.parametrize("name", ["uvicorn-httptools-wsproto", "hypercorn-asyncio", "granian"])
def test_a_server_finds_a_fastapi_with_layers_around_it_and_pages_may_read_its_500(name: str, tmp_path: Path):
    with serving(command(name, "tests.servers.cors:app"), ROOT, tmp_path / "log", env=ENVIRONMENT) as server:
        assert ask(server, "/", APP) == (200, {**GRANTED, "vary": "Origin"}, '"hello"')
        assert complaints(server.log()) == []
        assert ask(server, "/broken", APP) == (500, {**GRANTED, "vary": "Origin"}, "Internal Server Error")
        assert ask(server, "/broken", STRANGER)[:2] == (500, {"vary": "Origin"})
        assert [hear(server, origin) for origin in (APP, STRANGER)] == ["hello", "403"]
    assert exceptions(server.log()) == ["RuntimeError: raised by a route"] * 2


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "daphne"])  # which starts no application
def test_a_refused_policy_stands_in_full_in_the_servers_output_before_the_first_request(name: str, tmp_path: Path):
    with pytest.raises(ConfigurationError) as refused:
        CORSMiddleware(app, **REFUSED)
    text = str(refused.value)
    assert len(text.splitlines()) == 1 + len(refused.value.problems) == 6
    # Nothing but the connection that is opened and closed to see that it listens has reached the server.
    with serving(command(name, "tests.servers.cors:refused"), ROOT, tmp_path / "log", env=ENVIRONMENT) as server:
        deadline = time.monotonic() + SECONDS
        while f"{text}\n" not in server.log():
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.02)
