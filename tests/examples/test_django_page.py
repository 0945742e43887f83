"""The page of the example Django project, in a real browser."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import __version__ as version
from playwright.sync_api import Browser, Route

from tests.chromium import chromium
from tests.examples.demo import WAIT_SECONDS, demo, sent
from tests.servers.process import Server, free_port


class Tab:
    """The page in a window of its own, with all that it asks for and everything that its console says.

    ``api`` answers instead of the server what the page asks the API.
    """

    def __init__(
        self, browser: Browser, address: str, api: Callable[[Route], None] | None = None, **context: Any
    ) -> None:
        self.page = browser.new_context(**context).new_page()
        if api is not None:
            self.page.route("**/api/**", api)
        self.page.set_default_timeout(1000 * WAIT_SECONDS)
        self.asked_for: list[str] = []
        self.console: list[str] = []
        self.page.on("request", lambda request: self.asked_for.append(request.url))
        self.page.on("websocket", lambda opened: self.asked_for.append(opened.url))
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.goto(address)

    def say(self, text: str) -> None:
        self.page.get_by_label("Message").fill(text)
        self.page.keyboard.press("Enter")

    def log_in(self, name: str, password: str) -> None:
        if "login" not in self.page.url:
            self.page.get_by_role("link", name="Log in").click()
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.keyboard.press("Enter")

    def sees(self, text: str) -> None:
        self.page.get_by_text(text).wait_for()


@pytest.fixture
def no_blocking_calls() -> None:
    """Not here: Playwright's synchronous calls run an event loop in this thread, and block in it by design."""


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_what_is_typed_in_one_window_shows_as_text_in_the_other(site: Server, browser: Browser):
    one, two = (Tab(browser, f"http://127.0.0.1:{site.port}/") for _ in "12")
    for tab in (one, two):
        tab.sees("Connected as Guest")
        tab.sees("went to chat/sockets.py, which accepted it")
        tab.sees(f"/ws/ came from a page of this site, http://127.0.0.1:{site.port}, and passed.")
        tab.sees(f"/api/visits may be read by pages of http://127.0.0.1:{site.port}.")
    one.say("hello, is anybody here?")
    two.sees("hello, is anybody here?")
    hostile = "<img src=x onerror=\"console.error('run')\"><script>console.error('run')</script> & co"
    two.say(hostile)
    for tab in (one, two):
        tab.sees(hostile)
        assert tab.page.locator("#conversation img, #conversation script").count() == 0
        hosts = {urlsplit(url).netloc for url in tab.asked_for if not url.startswith("data:")}
        assert hosts == {f"127.0.0.1:{site.port}"}
        assert f"ws://127.0.0.1:{site.port}/ws/" in tab.asked_for
        assert tab.console == []


def test_a_page_of_another_site_opens_no_websocket(site: Server, browser: Browser):
    stranger = Tab(browser, f"http://localhost:{site.port}/api/status")  # the same server by another name
    opened = """address => new Promise(done => {
        const socket = new WebSocket(address);
        socket.onopen = () => done(true);
        socket.onclose = () => done(false);
    })"""
    assert [stranger.page.evaluate(opened, f"ws://{host}:{site.port}/ws/") for host in ("127.0.0.1", "localhost")] == [
        False,
        True,
    ]
    assert "403" in "".join(stranger.console)


def test_whoever_logs_in_with_django_is_greeted_by_name_in_the_websocket(tmp_path: Path, browser: Browser):
    with demo(tmp_path / "log", PORT=str(free_port())) as server:
        address = f"http://127.0.0.1:{server.port}/"
        ada, guest = Tab(browser, address), Tab(browser, address)
        session = ada.page.locator("#session")
        ada.sees("Connected as Guest")
        assert session.inner_text() == "/ws/ brought no session in which anybody is logged in."
        ada.log_in("ada", "not the password")
        ada.sees("do not belong together")
        ada.log_in("ada", "chat")
        ada.sees("Hello, ada!")
        ada.sees("Connected as ada")
        assert session.inner_text() == "/ws/ brought Django's session: ada is logged in."
        ada.say("good evening")
        guest.sees("good evening")
        assert guest.page.locator(".message .who").inner_text().startswith("ada, ")
        assert guest.page.get_by_text("Hello").count() == 0
        assert {urlsplit(url).netloc for url in ada.asked_for if not url.startswith("data:")} == {
            urlsplit(address).netloc
        }
        ada.page.get_by_role("button", name="Log out").click()
        ada.sees("Connected as Guest")
        assert ada.page.get_by_text("Hello, ada!").count() == 0
        assert ada.console == guest.console == []


def test_a_user_in_two_windows_is_two_people_by_one_name(tmp_path: Path, browser: Browser):
    with demo(tmp_path / "log", PORT=str(free_port())) as server:
        one = Tab(browser, f"http://127.0.0.1:{server.port}/")
        one.log_in("grace", "chat")
        one.sees("Connected as grace")
        two = one.page.context.new_page()
        two.goto(one.page.url)
        two.get_by_text("Connected as grace 2").wait_for()
        two.get_by_text("Hello, grace!").wait_for()


def test_the_page_counts_visits_at_the_api_and_shows_who_answered(tmp_path: Path, browser: Browser):
    with demo(tmp_path / "log", PORT=str(free_port())) as server:
        for visit in (1, 2):
            tab = Tab(browser, f"http://127.0.0.1:{server.port}/")
            tab.sees(f"Visit {visit} since ")
            outcome = tab.page.locator("#api").inner_text()
            assert re.fullmatch(rf"/api/visits went to FastAPI {version}, .* with the root path /api\.", outcome)
            assert tab.console == []


def test_the_page_shows_when_the_api_started_by_the_clock_of_the_visitor(site: Server, browser: Browser):
    def answer(route: Route) -> None:
        route.fulfill(json={"visit": 7, "framework": "Other", "root_path": "/", "started": "2026-01-01T22:45:00+00:00"})

    tab = Tab(browser, f"http://127.0.0.1:{site.port}/", answer, locale="en-GB", timezone_id="Asia/Kolkata")
    tab.sees("Visit 7 since 04:15")
    tab.sees("went to Other, running since 04:15 with the root path /.")


def test_the_page_shows_its_line_of_the_request_log_a_404_and_a_websocket_that_was_closed(
    tmp_path: Path, browser: Browser
):
    with demo(tmp_path / "log", PORT=str(free_port())) as server:
        address = f"http://127.0.0.1:{server.port}/"
        tab = Tab(browser, address)
        own = tab.page.locator("#log .mine", has_text=re.compile(r"^GET / 200, \d+\.\d ms$"))
        own.wait_for()
        request_id = tab.page.locator("#request-id").inner_text()
        assert (own.get_attribute("title") or "").startswith(f"id {request_id}, trace ")
        tab.page.locator("#log .mine", has_text="GET /api/status 200").wait_for()
        other = Tab(browser, address)
        other.sees("Connected as Guest 2")
        their_id = (other.page.locator("#id").inner_text()).removeprefix("/ws/ has the id ")
        other.page.goto(f"{address}nowhere")
        log = tab.page.locator("#log")
        missing = log.locator(":not(.mine)", has_text=re.compile(r"^GET /nowhere 404, \d+\.\d ms$"))
        closed = log.locator(":not(.mine)", has_text=re.compile(r"^WS /ws/ 101, .*, closed with 1001 by client$"))
        missing.wait_for()
        closed.wait_for()
        assert their_id in (closed.get_attribute("title") or "")
        assert tab.console == []


def test_the_page_has_its_log_once_when_it_has_connected_again(tmp_path: Path, browser: Browser):
    with demo(tmp_path / "log", PORT=str(free_port())) as server:
        tab = Tab(browser, f"http://127.0.0.1:{server.port}/")
        tab.page.locator("#log .mine", has_text="GET /api/status").wait_for()
        tab.page.evaluate("socket.close()")
        tab.page.locator("#log .mine", has_text="WS /ws/ 101").wait_for()
        assert tab.page.locator("#log li", has_text="GET / 200").count() == 1


@pytest.mark.parametrize(
    ("missing", "coding"),
    [
        pytest.param([], "zstd", id="all"),
        pytest.param(["compression.zstd", "backports.zstd"], "br", id="br"),
        pytest.param(["compression.zstd", "backports.zstd", "brotli"], "gzip", id="gzip-alone"),
    ],
)
def test_the_page_shows_its_bytes_before_and_after_compression_by_what_is_installed(
    tmp_path: Path, browser: Browser, missing: list[str], coding: str
):
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules |= dict.fromkeys({missing})\n")
    with demo(tmp_path / "log", PORT=str(free_port()), PYTHONPATH=str(tmp_path)) as server:
        tab = Tab(browser, f"http://127.0.0.1:{server.port}/", locale="en-US")
        (_, before), (_, after) = (sent(server, "/", accepted) for accepted in ("identity", coding))
        tab.sees(f" bytes in {coding}.")
        shown = tab.page.locator("#page").inner_text()
        found = re.fullmatch(rf"/ was {before:,} bytes, and went out as ([\d,]+) bytes in {coding}\.", shown)
        assert found, shown
        assert abs(int(found[1].replace(",", "")) - after) < 50  # each page has ids of its own
        assert tab.console == []


def test_the_page_shows_that_it_was_not_compressed(site: Server, browser: Browser):
    plain = {"Accept-Encoding": "identity"}
    tab = Tab(browser, f"http://127.0.0.1:{site.port}/", locale="en-US", extra_http_headers=plain)
    tab.sees(f"went out as it is: {sent(site, '/', 'identity')[1]:,} bytes.")


@pytest.mark.parametrize(
    ("api", "error"),
    [
        pytest.param(lambda route: route.abort(), "the API did not answer", id="unreachable"),
        pytest.param(lambda route: route.fulfill(status=500), "the API answered with error 500", id="broken"),
        pytest.param(lambda route: route.fulfill(body="<p>"), "the API did not answer with JSON", id="something-else"),
    ],
)
def test_the_page_says_what_is_wrong_with_the_api_and_the_conversation_goes_on(
    site: Server, browser: Browser, api: Callable[[Route], None], error: str
):
    tab = Tab(browser, f"http://127.0.0.1:{site.port}/", api)
    tab.sees(f"Visits are not counted: {error}")
    for entry in ("#cors", "#api"):
        assert tab.page.locator(entry).inner_text() == f"/api/visits was asked for, but {error}."
    tab.say(f"{error}?")
    tab.sees(f"{error}?")


def test_the_page_says_that_the_connection_is_lost_and_comes_back_by_itself(tmp_path: Path, browser: Browser):
    port = str(free_port())
    with demo(tmp_path / "first", PORT=port) as server:
        tab = Tab(browser, f"http://127.0.0.1:{port}/")
        tab.sees("Connected as Guest 1")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(5) == 0
        tab.sees("Connection lost, next attempt in")
        tab.sees("Visits are not counted: the API did not answer")
        assert tab.page.get_by_role("button", name="Send").is_disabled()
    with demo(tmp_path / "second", PORT=port):
        tab.sees("Connected as Guest 1")
        tab.sees("Visit 1 since")
        tab.say("here again")
        tab.sees("here again")
