"""Pages of other sites in a real browser, and what its console says where they are refused.

Their hosts are named as in a deployment, app.example.com and api.example.com: Chromium finds all of *.localhost on
this machine, and takes those below example.localhost for one site, to which the cookies go from each of its pages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.chromium import chromium
from tests.examples.demo import WAIT_SECONDS
from tests.matrix import nginx
from tests.servers.process import Server, command, serving

ROOT = Path(__file__).parents[2]

# PAGES and SERVER stand for the port of the pages and of the server that they ask.
APP = "http://app.example.localhost:PAGES"
OTHER = "http://other.example.localhost:PAGES"
APEX = "http://example.localhost:PAGES"
API = "http://api.example.localhost:SERVER"
ANOTHER = "http://another.example.localhost:SERVER"
SANDBOXED = "http://app.example.localhost:SERVER/sandboxed"  # its origin is "null"

FETCH = """
async ([url, request]) => {
    try {
        const response = await fetch(url, request);
        return {status: response.status, headers: Object.fromEntries(response.headers), text: await response.text()};
    } catch (error) {
        return String(error);
    }
}
"""
UNREADABLE = "TypeError: Failed to fetch"
# The first message, or the code of the close if none comes.
CONNECT = """
url => new Promise(resolve => {
    const websocket = new WebSocket(url);
    websocket.onmessage = message => resolve(message.data);
    websocket.onclose = close => resolve(close.code);
})
"""
ABNORMAL = 1006


class Ask:
    """A page, and what it asks for, in the words of JavaScript's ``fetch``."""

    def __init__(self, page: str, path: str = "/", **request: Any) -> None:
        self.page = page
        self.path = path
        self.request = request


class Row(NamedTuple):
    """A policy, what it allows, what it does not allow, and the culprit that the console then names."""

    policy: dict[str, Any]
    allowed: Ask
    denied: Ask
    culprit: str


STRANGER = "No 'Access-Control-Allow-Origin' header is present"
WILDCARD = "The value of the 'Access-Control-Allow-Origin' header in the response must not be the wildcard '*'"
NO_CREDENTIALS = "The value of the 'Access-Control-Allow-Credentials' header in the response is ''"

LISTED = {"allow_origins": [APP]}
PUT = {**LISTED, "allow_methods": ["PUT"]}
TOKEN = {**LISTED, "allow_headers": ["X-Token"]}
LOGIN = {**LISTED, "allow_credentials": True}
ANYTHING = {**LISTED, "allow_methods": ["*"], "allow_headers": ["*"]}
PUBLIC = {"allow_origins": ["*"]}

POSTED = {"method": "POST", "headers": {"Content-Type": "application/json"}}
UNUSUAL = {"method": "PROPFIND", "headers": {"Authorization": "Bearer 1", "X-Other": "1"}}
INCLUDE = {"credentials": "include"}

TABLE = {
    "origin": Row(LISTED, Ask(APP), Ask(OTHER), STRANGER),
    "nobody": Row({"allow_origins": []}, Ask(APP, "/opened"), Ask(APP), STRANGER),
    "pattern": Row({"allow_origins": ["http://*.example.localhost:*"]}, Ask(OTHER), Ask(APEX), STRANGER),
    "regex": Row({"allow_origin_regex": r"http://app\..+\.localhost:\d+"}, Ask(APP), Ask(OTHER), STRANGER),
    "preflight": Row(LISTED, Ask(APP, **POSTED), Ask(OTHER, **POSTED), STRANGER),
    "method": Row(
        PUT,
        Ask(APP, method="PUT"),
        Ask(APP, method="DELETE"),
        "Method DELETE is not allowed by Access-Control-Allow-Methods",
    ),
    "method-of-a-stranger": Row(PUT, Ask(APP, method="PUT"), Ask(OTHER, method="PUT"), STRANGER),
    "method-in-lower-case": Row(
        {**LISTED, "allow_methods": ["PATCH"]},
        Ask(APP, method="PATCH"),
        Ask(APP, method="patch"),
        "Method patch is not allowed by Access-Control-Allow-Methods",
    ),
    "header": Row(
        TOKEN,
        Ask(APP, headers={"X-Token": "1"}),
        Ask(APP, headers={"X-Token": "1", "X-Other": "1"}),
        "Request header field x-other is not allowed by Access-Control-Allow-Headers",
    ),
    "header-of-a-stranger": Row(
        TOKEN, Ask(APP, headers={"X-Token": "1"}), Ask(OTHER, headers={"X-Token": "1"}), STRANGER
    ),
    "anything": Row(ANYTHING, Ask(APP, **UNUSUAL), Ask(OTHER, **UNUSUAL), STRANGER),
    "anything-with-credentials": Row(
        ANYTHING | LOGIN, Ask(APP, **UNUSUAL, **INCLUDE), Ask(OTHER, **UNUSUAL, **INCLUDE), STRANGER
    ),
    "credentials": Row(LOGIN, Ask(APP, **INCLUDE), Ask(OTHER, **INCLUDE), STRANGER),
    "credentials-after-a-preflight": Row(
        LOGIN | PUT, Ask(APP, method="PUT", **INCLUDE), Ask(OTHER, method="PUT", **INCLUDE), STRANGER
    ),
    "no-credentials": Row(LISTED, Ask(APP), Ask(APP, **INCLUDE), NO_CREDENTIALS),
    # The policy adds nothing to what the application says itself.
    "opened": Row(LOGIN, Ask(APP, "/opened"), Ask(APP, "/opened", **INCLUDE), NO_CREDENTIALS),
    "opened-to-a-stranger": Row(LOGIN, Ask(OTHER, "/opened"), Ask(OTHER, "/opened", **INCLUDE), NO_CREDENTIALS),
    "no-credentials-for-all": Row(PUBLIC, Ask(OTHER), Ask(OTHER, **INCLUDE), WILDCARD),
    "redirect": Row(LISTED, Ask(APP, "/moved?to=there"), Ask(OTHER, "/moved?to=there"), STRANGER),
    "redirect-after-a-preflight": Row(
        PUT, Ask(APP, "/moved?to=there", method="PUT"), Ask(OTHER, "/moved?to=there", method="PUT"), STRANGER
    ),
    # A redirect to another host makes the origin "null", whatever it was.
    "redirect-elsewhere": Row(
        LISTED, Ask(APP, f"/moved?to={API}/origin/"), Ask(APP, f"/moved?to={ANOTHER}/origin/"), STRANGER
    ),
    "redirect-elsewhere-for-all": Row(
        PUBLIC,
        Ask(APP, f"/moved?to={ANOTHER}/redirect-elsewhere-for-all/"),
        Ask(APP, f"/moved?to={ANOTHER}/origin/"),
        STRANGER,
    ),
    "sandboxed": Row({"allow_origin_regex": ".+"}, Ask(OTHER), Ask(SANDBOXED), STRANGER),
    "sandboxed-for-all": Row(PUBLIC, Ask(SANDBOXED), Ask(SANDBOXED, **INCLUDE), WILDCARD),
}


class Sockets(NamedTuple):
    """The keywords of ``CORSMiddleware`` or the origins of ``WebSocketOriginMiddleware``, and who may connect then."""

    policy: dict[str, Any] | list[str]
    allowed: str
    denied: str


SOCKETS = {
    "sockets": Sockets(LISTED, APP, OTHER),
    "sockets-of-the-site": Sockets({"allow_origins": []}, API, APP),
    "sockets-of-a-pattern": Sockets({"allow_origins": ["http://*.example.localhost:*"]}, OTHER, APEX),
    "sockets-of-public-pages": Sockets(PUBLIC, API, OTHER),
    "sockets-listed-apart": Sockets({**LISTED, "websocket_origins": [OTHER]}, OTHER, APP),
    "sockets-for-all": Sockets({**LISTED, "websocket_origins": ["*"]}, OTHER, SANDBOXED),
    "sockets-alone": Sockets([], API, APP),
    "sockets-alone-and-listed": Sockets([APP], APP, OTHER),
}

# To one URL, each with a preflight of its own unless the answer to an earlier one covers it.
THREE = [
    {"method": "PUT", "headers": {"X-Token": "1"}},
    {"method": "DELETE", "headers": {"Authorization": "Bearer 1"}},
    {"method": "PATCH", "headers": {"Content-Type": "application/json"}},
]
LISTS = {"allow_methods": ["PUT", "DELETE", "PATCH"], "allow_headers": ["X-Token", "Authorization"]}
PREFLIGHTS = {
    "lists": (LISTED | LISTS, 1),
    "wildcards": (ANYTHING, 1),
    "wildcards-with-credentials": (ANYTHING | LOGIN, 3),
    "not-remembered": ({**LISTED, **LISTS, "max_age": 0}, 3),
}

POLICIES = {
    **{name: row.policy for name, row in {**TABLE, **SOCKETS}.items()},
    **{name: policy for name, (policy, _count) in PREFLIGHTS.items()},
    "exposed": {**LISTED, "expose_headers": ["X-Total"]},
    "cookies": LOGIN,
}


class Tab:
    """A page at ``place``, and what it can do with the server."""

    def __init__(self, context: BrowserContext, ports: dict[str, int], place: str) -> None:
        self._ports = ports
        self._page = context.new_page()
        self._page.set_default_timeout(1000 * WAIT_SECONDS)
        self._page.goto(self._address(f"{place}/page.html"))

    def fetch(self, name: str, path: str = "/", **request: Any) -> Any:
        return self._page.evaluate(FETCH, [self._address(f"{API}/{name}{path}"), request])

    def connect(self, name: str) -> str | int:
        return self._page.evaluate(CONNECT, self._address(f"{API}/{name}/").replace("http", "ws", 1))

    def console(self, name: str) -> Any:
        """Wait at the end of a ``with`` for what the console says of ``name``."""
        return self._page.expect_console_message(lambda message: f"/{name}/" in message.text)

    def _address(self, text: str) -> str:
        for name, port in self._ports.items():
            text = text.replace(name, str(port))
        return text


@pytest.fixture
def no_blocking_calls() -> None:
    """Not here: Playwright's synchronous calls run an event loop in this thread, and block in it by design."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "page.html").write_text("<!doctype html><title>A page</title>")
    with serving(["-m", "http.server", "PORT", "--bind", "127.0.0.1"], folder, folder / "log") as server:
        yield server


@pytest.fixture(scope="module")
def server(pages: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"POLICIES": json.dumps(POLICIES).replace("PAGES", str(pages.port))}
    arguments = command("uvicorn-httptools-wsproto", "tests.cors.browsed:application")
    with serving(arguments, ROOT, tmp_path_factory.mktemp("server") / "log", env=environment) as server:
        yield server


@pytest.fixture(scope="module")
def ports(pages: Server, server: Server) -> dict[str, int]:
    return {"PAGES": pages.port, "SERVER": server.port}


@pytest.fixture(scope="module")
def visit(context: BrowserContext, ports: dict[str, int]) -> Callable[[str], Tab]:
    """Give the tab of a place, always the same one: a new one takes a browser long."""
    return cache(partial(Tab, context, ports))


@pytest.mark.parametrize("name", TABLE)
def test_a_page_reads_what_the_policy_allows_and_the_console_names_what_it_does_not(
    visit: Callable[[str], Tab], name: str
):
    _policy, allowed, denied, culprit = TABLE[name]
    assert visit(allowed.page).fetch(name, allowed.path, **allowed.request)["status"] == 200
    tab = visit(denied.page)
    with tab.console(name) as said:
        assert tab.fetch(name, denied.path, **denied.request) == UNREADABLE
    assert culprit in said.value.text


@pytest.mark.parametrize("name", SOCKETS)
def test_a_websocket_opens_for_whom_the_policy_allows_and_the_console_says_403_to_others(
    visit: Callable[[str], Tab], name: str
):
    _policy, allowed, denied = SOCKETS[name]
    assert visit(allowed).connect(name) == "hello stranger"
    tab = visit(denied)
    with tab.console(name) as said:
        assert tab.connect(name) == ABNORMAL
    assert "Unexpected response code: 403" in said.value.text


def test_a_cookie_comes_back_to_who_set_it_where_credentials_are_included(browser: Browser, ports: dict[str, int]):
    with browser.new_context() as another:
        tab = Tab(another, ports, APP)
        assert tab.fetch("cookies", "/login", **INCLUDE)["text"] == '"welcome"'
        assert tab.fetch("cookies", **INCLUDE)["text"] == '{"visitor":"seven"}'
        assert tab.fetch("cookies")["text"] == "{}"
        assert tab.connect("cookies") == "hello seven"


def test_a_page_sees_the_response_headers_that_are_exposed_and_no_others(visit: Callable[[str], Tab]):
    tab = visit(APP)
    headers, unexposed = (tab.fetch(name)["headers"] for name in ("exposed", "origin"))
    assert headers == {**unexposed, "x-total": "3"}
    assert "x-internal" not in headers


@pytest.mark.parametrize(("name", "count"), [(name, count) for name, (_, count) in PREFLIGHTS.items()])
def test_three_different_requests_need_one_preflight_where_it_tells_the_whole_policy(
    visit: Callable[[str], Tab], server: Server, name: str, count: int
):
    tab = visit(APP)
    credentials = INCLUDE if POLICIES[name].get("allow_credentials") else {}
    for request in THREE:
        assert tab.fetch(name, **request, **credentials)["status"] == 200
    assert server.log().count(f'"OPTIONS /{name}/') == count


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("starlette", "Internal Server Error"),
        ("fastapi", '"we are sorry"'),
        ("fastapi-debug", "RuntimeError: raised by an endpoint"),
    ],
)
def test_a_page_reads_the_500_of_an_application_whose_policy_is_outermost(
    visit: Callable[[str], Tab], name: str, text: str
):
    response = visit(APP).fetch(name)
    assert response["status"] == 500
    assert text in response["text"]
    tab = visit(OTHER)
    with tab.console(name) as said:
        assert tab.fetch(name) == UNREADABLE
    assert STRANGER in said.value.text


def test_no_page_reads_the_500_of_an_application_whose_policy_is_inside(visit: Callable[[str], Tab]):
    tab = visit(APP)
    with tab.console("add-middleware") as said:
        assert tab.fetch("add-middleware") == UNREADABLE
    assert STRANGER in said.value.text


@pytest.mark.parametrize(
    ("directive", "outcome"),
    [
        pytest.param("", ABNORMAL, id="nothing"),
        pytest.param("proxy_set_header Host $host;", ABNORMAL, id="host-without-port"),
        pytest.param("proxy_set_header Host $http_host;", "hello stranger", id="host"),
    ],
)
def test_behind_nginx_a_page_of_the_site_itself_may_connect_if_the_host_is_passed_on(
    context: BrowserContext,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    directive: str,
    outcome: str | int,
):
    configuration = nginx.CONFIGURATION.replace("proxy_set_header Host $http_host;", directive)
    monkeypatch.setattr(nginx, "CONFIGURATION", configuration)
    with nginx.proxying(server, "", tmp_path, stripping=False) as proxy:
        assert Tab(context, {"SERVER": proxy.port}, API).connect("sockets-of-the-site") == outcome
    told = rf"from the origin 'http://api\.example\.localhost:{proxy.port}' .* proxy_set_header Host .*\$http_host"
    assert len(re.findall(told, server.log())) == (outcome == ABNORMAL)
