"""Sessions on real servers: in front of a Django project as it is made, in frameworks, and behind a shared cache."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.matrix import nginx

from .process import Server, command, serving
from .sessions import PAGES
from .test_servers import ENVIRONMENT, complaints, exceptions

SECONDS = 5
ROOT = Path(__file__).parents[2]
SERVERS = ["uvicorn-httptools-websockets", "uvicorn-h11-wsproto", "hypercorn-asyncio", "granian", "daphne"]
DROPPING_HEADERS = {"granian", "daphne"}  # those of websocket.accept
WITHOUT_DENIALS = {"daphne"}  # it knows no websocket.http.response
MOUNTS = ["/starlette", "/fastapi", "/litestar", "/mounted/in/here", "/stored"]
each_mount = pytest.mark.parametrize("mount", MOUNTS)

USER = {
    "DJANGO_SUPERUSER_USERNAME": "ada",
    "DJANGO_SUPERUSER_EMAIL": "ada@example.com",
    "DJANGO_SUPERUSER_PASSWORD": "analytical",
}
FORM = {"username": "ada", "password": "analytical", "next": "/admin/"}
IMPORT = "from django.conf import settings\nfrom middleware import SessionMiddleware\n"
LINE = "application = SessionMiddleware(application, settings.SECRET_KEY)\n"
BESIDE = """
from middleware import DjangoSessionMiddleware, ProtocolRouter
from .asgi import application

async def greet(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": f"hello {scope['user']}"})
    await send({"type": "websocket.close"})

application = ProtocolRouter(http=application, websocket=DjangoSessionMiddleware(greet))
"""
VIEWS = """
from django.http import HttpResponse
from django.urls import path
from .urls import urlpatterns as made

def visit(request):
    session = request.scope["session"]
    session["visits"] = session.get("visits", 0) + 1
    return HttpResponse(session["visits"])

async def visits(request):
    return HttpResponse(request.scope["session"].get("visits", 0))

urlpatterns = [*made, path("visit/", visit), path("visits/", visits)]
"""

CACHING = {
    "    server {{": "    proxy_cache_path cache keys_zone=site:1m;\n    server {{",
    # Left to itself nginx keeps nothing that sets a cookie; other caches do (RFC 9111 §7.3), and this one if told.
    "proxy_redirect off;": (
        "proxy_cache site; proxy_ignore_headers Set-Cookie; add_header X-Cache $upstream_cache_status;"
    ),
}
CLIENTS = [f"client {number}" for number in range(6)]
STEPS = 500


class Site:
    """A running server, and how its websockets are asked."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.server = server

    def client(self) -> httpx.Client:
        """A visitor that has no cookie yet."""
        url = f"http://127.0.0.1:{self.server.port}"
        return httpx.Client(base_url=url, timeout=SECONDS, trust_env=False)

    def websocket(self, path: str, client: httpx.Client) -> str:
        """The first message, or the body of the denial; the client takes the cookies that come."""
        url = f"ws://127.0.0.1:{self.server.port}{path}"
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        try:
            with connect(url, additional_headers={"Cookie": cookie}, proxy=None, open_timeout=SECONDS) as websocket:
                response, text = websocket.response, websocket.recv(timeout=SECONDS)
        except InvalidStatus as error:
            response, text = error.response, error.response.body.decode()
        request = httpx.Request("GET", f"http://127.0.0.1:{self.server.port}{path}")
        client.cookies.extract_cookies(httpx.Response(200, headers=[*response.headers.raw_items()], request=request))
        return str(text)


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    arguments = command(request.param, "tests.servers.sessions:application")
    with serving(arguments, ROOT, tmp_path_factory.mktemp("log") / "log", env=ENVIRONMENT) as server:
        yield Site(request.param, server)
        assert exceptions(server.log()) == []


@each_mount
def test_who_logs_in_is_known_until_the_logout(site: Site, mount: str):
    with site.client() as ada, site.client() as bob:
        for client, name in ((ada, "ada"), (bob, "bob")):
            assert client.get(f"{mount}/name").text == "nobody"
            assert client.get(f"{mount}/untouched").headers.keys().isdisjoint({"set-cookie", "vary"})
            assert not client.cookies
            assert client.get(f"{mount}/login/{name}").text == name
        known = dict(bob.cookies)
        for client, name in ((ada, "ada"), (bob, "bob")):
            response = client.get(f"{mount}/name")
            assert (response.text, response.headers["vary"], "set-cookie" in response.headers) == (
                name,
                "Cookie",
                False,
            )
        assert bob.get(f"{mount}/logout").text == "nobody"
        assert not bob.cookies
        assert [client.get(f"{mount}/name").text for client in (ada, bob)] == ["ada", "nobody"]
        bob.cookies.update(known)  # what the server does not keep cannot be taken back
        assert bob.get(f"{mount}/name").text == ("nobody" if mount == "/stored" else "bob")


@each_mount
def test_a_websocket_knows_the_visitor_and_its_cookie_comes_with_the_accept(site: Site, mount: str):
    with site.client() as client:
        assert site.websocket(f"{mount}/accepting", client) == "nobody"
        assert [*client.cookies] == ([] if site.name in DROPPING_HEADERS else ["session"])
        client.get(f"{mount}/login/ada")
        before = dict(client.cookies)
        assert site.websocket(f"{mount}/accepting", client) == "ada"
        assert dict(client.cookies) == before
        assert client.get(f"{mount}/name").text == "ada"


@pytest.mark.parametrize("mount", [mount for mount in MOUNTS if mount != "/litestar"])  # which denies nothing
def test_the_cookie_of_a_websocket_comes_with_its_denial(site: Site, mount: str):
    with site.client() as client:
        denial = site.websocket(f"{mount}/denying", client)
        if site.name in WITHOUT_DENIALS:
            assert not client.cookies
        else:
            assert (denial, client.get(f"{mount}/name").text) == ("denied", "denied")


def test_one_login_is_known_in_all_applications_with_the_same_secret(site: Site):
    with site.client() as client:
        client.get("/litestar/login/ada")
        for mount in ("/starlette", "/fastapi", "/mounted/in/here"):
            assert client.get(f"{mount}/name").text == "ada"


def test_litestars_own_calls_put_and_end_the_session(site: Site):
    with site.client() as client:
        client.get("/litestar/login/ada")
        client.get("/litestar/set")
        assert client.get("/litestar/name").text == "set"
        client.get("/litestar/clear")
        assert client.get("/litestar/name").text == "nobody"


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_a_layer_outside_sees_route_and_path_params_as_around_starlettes_class(site: Site, framework: str):
    with site.client() as client:
        for path, seen in (
            ("login/ada", "/login/{name} {'name': 'ada'}"),
            ("name", "/name {}"),
            ("untouched", "/untouched {}"),
        ):
            for whose in ("ours", "starlettes"):
                client.cookies.clear()
                assert client.get(f"/around/{framework}/{whose}/{path}").headers["x-seen"] == seen


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``django-admin startproject`` makes, with one line more, a database, and somebody who may log in."""
    folder = tmp_path_factory.mktemp("project")
    for arguments in (
        ["-m", "django", "startproject", "mysite", "."],
        ["manage.py", "migrate"],
        ["manage.py", "createsuperuser", "--no-input"],
    ):
        run = [sys.executable, *arguments]
        subprocess.run(run, cwd=folder, env={**os.environ, **USER}, check=True, capture_output=True, timeout=60)
    asgi = folder / "mysite" / "asgi.py"
    asgi.write_text(asgi.read_text() + IMPORT + LINE)
    asgi.with_stem("asgi_beside").write_text(BESIDE)
    asgi.with_stem("views").write_text(VIEWS)
    asgi.with_stem("settings_views").write_text("from .settings import *\nROOT_URLCONF = 'mysite.views'\n")
    return folder


@pytest.fixture(scope="module", params=["daphne", "uvicorn-httptools-websockets"])
def django(request: pytest.FixtureRequest, project: Path) -> Iterator[dict[str, Site]]:
    """Django alone with the one line, and with views that use the session and websockets beside it."""
    name = request.param
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        sites = {}
        for module, settings in (("asgi", "settings"), ("asgi_beside", "settings_views")):
            env = {**environment, "DJANGO_SETTINGS_MODULE": f"mysite.{settings}"}
            run = serving(command(name, f"mysite.{module}:application"), project, project / f"{name}-{module}", env=env)
            sites[module] = Site(name, stack.enter_context(run))
        yield sites
        assert [exceptions(site.server.log()) for site in sites.values()] == [[], []]


def post(client: httpx.Client, path: str, **form: str) -> httpx.Response:
    token = client.cookies["csrftoken"]
    return client.post(path, data={**form, "csrfmiddlewaretoken": token}, follow_redirects=True)


def test_django_goes_on_as_before_behind_the_one_line(django: dict[str, Site]):
    site = django["asgi"]
    with site.client() as client:
        first = client.get("/")
        assert (first.status_code, {"set-cookie", "vary"} & {*first.headers}) == (200, set())
        assert client.get("/admin/login/").headers["vary"] == "Cookie"
        assert "Site administration" in post(client, "/admin/login/", **FORM).text
        assert {*client.cookies} == {"csrftoken", "sessionid"}
        assert "Logged out" in post(client, "/admin/logout/").text
        assert {*client.cookies} == {"csrftoken"}
    assert [line for line in complaints(site.server.log()) if "lifespan" not in line] == []


def test_views_of_django_have_the_session_of_the_one_line_beside_their_own(django: dict[str, Site]):
    with django["asgi_beside"].client() as client, django["asgi_beside"].client() as other:
        assert [client.get("/visit/").text for _ in "123"] == ["1", "2", "3"]
        client.get("/admin/login/")
        post(client, "/admin/login/", **FORM)
        assert {*client.cookies} == {"csrftoken", "sessionid", "session"}
        response = client.get("/visits/")
        assert (response.text, response.headers["vary"]) == ("3", "Cookie")
        assert other.get("/visits/").text == "0"
        post(client, "/admin/logout/")
        assert client.get("/visits/").text == "3"


def test_who_logged_in_with_django_is_greeted_by_name_in_a_websocket_until_the_logout(django: dict[str, Site]):
    site = django["asgi_beside"]
    with site.client() as client:
        assert site.websocket("/", client) == "hello AnonymousUser"
        client.get("/admin/login/")
        post(client, "/admin/login/", **FORM)
        assert site.websocket("/", client) == "hello ada"
        with site.client() as thief:
            thief.cookies.update(client.cookies)
            post(client, "/admin/logout/")
            assert [site.websocket("/", visitor) for visitor in (client, thief)] == ["hello AnonymousUser"] * 2


class Walk:
    """The requests of all clients to a site in random order, all through the cache, and what was wrong."""

    def __init__(self, site: str, cache: HTTPConnection) -> None:
        self.faults: Counter[str] = Counter()
        self.cached: Counter[tuple[str, str, bool]] = Counter()  # what X-Cache says, the page, whether a cookie came
        self._site = site
        self._cache = cache
        self._random = random.Random(site)
        self._names = dict.fromkeys(CLIENTS, "nobody")
        self._cookies = dict.fromkeys(CLIENTS, "")
        self._owners: dict[str, str] = {}

    def go(self) -> None:
        for _ in range(STEPS):
            # Most have no cookie at any time, as those to whom a cache could give another's.
            page = self._random.choice([*PAGES, "forget"])
            self._step(self._random.choice(CLIENTS), page, self._random.randrange(3))

    def _step(self, client: str, page: str, number: int) -> None:
        cookie = self._cookies[client]
        headers = {"X-Client": client, **({"Cookie": f"session={cookie}"} if cookie else {})}
        self._cache.request("GET", f"/cached/{self._site}/{page}/{number}", headers=headers)
        response = self._cache.getresponse()
        text, lines = response.read().decode(), response.headers.get_all("Set-Cookie", [])
        self.cached[response.headers["X-Cache"], page, bool(cookie)] += 1

        self._names[client] = {"keep": client, "forget": "nobody"}.get(page, self._names[client])
        expected = "untouched" if page == "untouched" else self._names[client]
        if text != expected:
            self.faults["another's page"] += 1
        for line in lines:
            value = line.partition(";")[0].removeprefix("session=")
            self._cookies[client] = "" if value == "null" else value
            if value != "null" and self._owners.setdefault(value, client) != client:
                self.faults["another's cookie"] += 1
            if "public" in (control := response.headers["Cache-Control"]) or "private" not in control:
                self.faults["a cookie that caches may keep"] += 1


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Walk]]:
    arguments = [*command("uvicorn-httptools-wsproto", "tests.servers.sessions:application"), "--no-access-log"]
    configuration = nginx.CONFIGURATION
    for directive, caching in CACHING.items():
        configuration = configuration.replace(directive, caching)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(nginx, "CONFIGURATION", configuration)
        log = tmp_path_factory.mktemp("server") / "log"
        server = stack.enter_context(serving(arguments, ROOT, log, env=ENVIRONMENT))
        cache = stack.enter_context(nginx.proxying(server, "", tmp_path_factory.mktemp("cache"), stripping=False))
        connection = stack.enter_context(closing(HTTPConnection("127.0.0.1", cache.port, timeout=SECONDS)))
        walks = {site: Walk(site, connection) for site in ("cookies", "store", "starlettes")}
        for walk in walks.values():
            walk.go()
        yield walks


@pytest.mark.parametrize("site", ["cookies", "store"])
def test_no_client_of_a_shared_cache_sees_the_page_or_the_cookie_of_another(walks: dict[str, Walk], site: str):
    assert walks[site].faults == {}


@pytest.mark.parametrize("site", ["cookies", "store"])
def test_the_cache_keeps_what_does_not_depend_on_the_visitor(walks: dict[str, Walk], site: str):
    cached = walks[site].cached
    assert sum(cached["MISS", "untouched", has_cookie] for has_cookie in (False, True)) == 3  # each page once
    assert cached["HIT", "untouched", False] > 0 < cached["HIT", "untouched", True]
    assert cached["MISS", "name", False] <= 3 < cached["HIT", "name", False]  # nobody's page is one for all of them
    assert cached["HIT", "keep", False] == 0


def test_behind_starlettes_class_clients_get_the_page_and_the_cookie_of_another(walks: dict[str, Walk]):
    assert walks["starlettes"].faults.keys() >= {"another's page", "another's cookie"}
