"""Frameworks mounted at prefixes, on every server, without a proxy and behind a real one of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.servers.process import COMMANDS, Server, serving

from .client import SECONDS, refusal, websocket
from .nginx import proxying

pytestmark = pytest.mark.matrix

ROOT = Path(__file__).parents[2]

SERVERS = {
    "uvicorn-h11": COMMANDS["uvicorn-h11-wsproto"],
    "uvicorn-httptools": [*COMMANDS["uvicorn-httptools-wsproto"], "--ws", "auto"],  # what uvicorn's users have
    **{name: COMMANDS[name] for name in ("hypercorn-asyncio", "hypercorn-trio", "daphne", "granian")},
}
SITES = [(name, proxy) for name in SERVERS for proxy in ("no-proxy", "stripping-proxy", "keeping-proxy")]

# Litestar makes URLs without a slash at their end, and answers with and without.
PAGES = {"django": "/hello/ada/", "starlette": "/hello/ada/", "fastapi": "/hello/ada/", "litestar": "/hello/ada"}


@dataclass(frozen=True)
class Site:
    """A running server, what its clients talk to (the server itself, or a proxy), and the root that they see."""

    server: Server
    front: Server
    root: str
    stop: Callable[[], None]


@dataclass(frozen=True)
class Mounted:
    """A framework's application, and where clients find it."""

    framework: str
    front: Server
    root: str

    @property
    def prefix(self) -> str:
        return f"{self.root}/{self.framework}"

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.front.port}{self.prefix}{path}"


@contextmanager
def running(name: str, proxy: str, application: str, folder: Path) -> Iterator[Site]:
    """Run the server ``name`` with ``application`` of ``mounts``; behind a stripping proxy it is told the root path."""
    stripping = proxy == "stripping-proxy"
    flag = "--url-path-prefix" if name == "granian" else "--root-path"
    arguments = [*SERVERS[name], *([flag, "/outer"] if stripping else []), f"tests.matrix.mounts:{application}"]
    with ExitStack() as stack:
        server = stack.enter_context(serving(arguments, ROOT, folder / "server.log"))
        if proxy == "no-proxy":
            yield Site(server, server, "", stack.close)
        else:
            front = stack.enter_context(proxying(server, "/outer", folder, stripping=stripping))
            yield Site(server, front, "/outer", stack.close)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name, proxy = request.param
    application = "keeping" if proxy == "keeping-proxy" else "application"
    lazy = "lazy_" if name == "daphne" else ""
    with running(name, proxy, f"{lazy}{application}", tmp_path_factory.mktemp(name)) as site:
        yield site


@pytest.fixture(scope="module")
def mounted(request: pytest.FixtureRequest, site: Site) -> Mounted:
    *_, framework = request.param
    return Mounted(framework, site.front, site.root)


def everywhere(*frameworks: str) -> pytest.MarkDecorator:
    """On each server and behind each proxy, but Django cannot run on trio."""
    # By the values of `site`, pytest orders the tests so that each site starts once.
    return pytest.mark.parametrize(
        ("mounted", "site"),
        [
            pytest.param((*site, framework), site, id="-".join([*site, framework]))
            for site in SITES
            for framework in frameworks
            if (site[0], framework) != ("hypercorn-trio", "django")
        ],
        indirect=True,
    )


def complaints(log: str) -> list[str]:
    return [line for line in log.splitlines() if re.search("Traceback|ERROR|WARNING|Warning|unsupported", line)]


def get(url: str) -> tuple[int, str, str | None]:
    """The status, the content, and where a redirect leads."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    try:
        connection.request("GET", urlsplit(url).path)
        response = connection.getresponse()
        location = response.getheader("Location")
        return response.status, response.read().decode(), location and urljoin(url, location)
    finally:
        connection.close()


def page(mounted: Mounted) -> tuple[int, str, str | None]:
    return 200, f"hello ada from {mounted.framework}", None


def echo(mounted: Mounted, text: str) -> list[str | bytes]:
    """What comes back until the application closes: hypercorn on trio may fail when both sides close at once."""
    with websocket(mounted.front, f"{mounted.prefix}/echo") as connection:
        connection.send(text)
        return [*connection]


@everywhere("django", "starlette", "fastapi", "litestar")
def test_a_page_is_found(mounted: Mounted):
    assert get(mounted.url(PAGES[mounted.framework])) == page(mounted)


@everywhere("django", "starlette", "fastapi", "litestar")
def test_the_url_that_the_framework_makes_for_its_route_is_the_one_that_a_client_needs(mounted: Mounted):
    url = mounted.url(PAGES[mounted.framework])
    assert get(mounted.url("/where/")) == (200, url, None)
    assert get(url) == page(mounted)


@everywhere("django", "starlette", "fastapi", "litestar")
def test_a_redirect_to_a_route_leads_there(mounted: Mounted):
    *_, location = get(mounted.url("/moved/"))
    assert location == mounted.url(PAGES[mounted.framework])
    assert get(location) == page(mounted)


@everywhere("django", "starlette", "fastapi")
def test_a_redirect_that_adds_a_slash_leads_to_the_page(mounted: Mounted):
    *_, location = get(mounted.url("/hello/ada"))
    assert location == mounted.url("/hello/ada/")
    assert get(location) == page(mounted)


@everywhere("starlette", "fastapi", "litestar")
def test_a_websocket_is_accepted_and_echoes(mounted: Mounted):
    assert echo(mounted, "grüß dich") == ["grüß dich"]


@everywhere("starlette", "fastapi", "litestar")
def test_a_websocket_that_the_application_denies_sees_403(mounted: Mounted, site: Site):
    path = f"{mounted.prefix}/denied"
    assert refusal(mounted.front, path) == 403
    assert f"denied: {path}\n" in site.server.log()  # a router may have refused it as well


@everywhere("fastapi")
def test_a_request_has_the_state_that_the_lifespan_left(mounted: Mounted):
    assert get(mounted.url("/state/")) == (200, "by the start-up", None)


@pytest.mark.parametrize("site", SITES, ids="-".join, indirect=True)
def test_the_server_has_no_complaint_and_ends_with_success(site: Site):
    site.stop()
    assert complaints(site.server.log()) == []
    assert site.server.process.returncode == 0


@pytest.mark.parametrize(
    ("application", "root", "names"),
    [("application", "", "'/starlette', '/fastapi', '/litestar'"), ("keeping", "/outer", "'/outer'")],
    ids=["one-router", "nested-routers"],
)
def test_without_lifespan_daphnes_log_says_once_what_to_write(application: str, root: str, names: str, tmp_path: Path):
    with running("daphne", "no-proxy", application, tmp_path) as site:
        mounted = Mounted("fastapi", site.server, root)
        for _ in range(2):
            assert get(mounted.url("/state/")) == (200, "nothing", None)
            assert echo(mounted, "hello") == ["hello"]
    [complaint] = complaints(site.server.log())
    assert complaint.endswith(
        f"the server sends no lifespan, and {names} may need one to start: "
        "write PathRouter(..., lifespan='lazy'), or lifespan=False if not"
    )


# What PathRouter mends. These servers leave the root path out of `path` behind a proxy that strips it. Starlette's
# Mount finds the application all the same and adds its prefix to `root_path`; the application, told that it is at
# /outer/django, has a path that begins with /django, and finds no route.
@pytest.fixture(scope="module", params=["hypercorn-asyncio", "daphne", "granian"])
def starlettes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Starlette's own mounts behind a stripping proxy."""
    folder = tmp_path_factory.mktemp(request.param)
    with running(request.param, "stripping-proxy", "starlettes_mounts", folder) as site:
        yield site


@pytest.mark.parametrize("framework", ["django", "starlette", "fastapi", "litestar"])
def test_in_starlettes_mount_no_page_is_found_behind_a_stripping_proxy(starlettes: Site, framework: str):
    mounted = Mounted(framework, starlettes.front, starlettes.root)
    status, *_ = get(mounted.url(PAGES[framework]))
    assert status == 404
    past_the_proxy = Mounted(framework, starlettes.server, starlettes.root)
    assert get(past_the_proxy.url(PAGES[framework])) == page(past_the_proxy)


@pytest.mark.parametrize("framework", ["starlette", "fastapi", "litestar"])
def test_in_starlettes_mount_no_websocket_is_found_behind_a_stripping_proxy(starlettes: Site, framework: str):
    assert refusal(starlettes.front, f"{starlettes.root}/{framework}/echo") == 403
    past_the_proxy = Mounted(framework, starlettes.server, starlettes.root)
    assert echo(past_the_proxy, "hello") == ["hello"]
