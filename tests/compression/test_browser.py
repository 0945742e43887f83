"""Compressed responses in a real browser, which offers all codings to hosts of its own machine, without TLS too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.chromium import chromium
from tests.examples.demo import WAIT_SECONDS
from tests.servers.process import Server, command, serving

ROOT = Path(__file__).parents[2]

# Chromium takes the hosts below example.localhost for one site.
OURS = "http://app.example.localhost:PORT"
SIBLING = "http://shop.example.localhost:PORT"
OTHER = "http://other.localhost:PORT"

EVENTS = {"stream_content_types": ["text/event-stream"]}
# The levels are the defaults, and those that want the largest windows.
FOLDERS = {
    "zstd": {"codecs": ["zstd"], **EVENTS},
    "zstd-19": {"codecs": ["zstd"], "levels": {"zstd": 19}, **EVENTS},
    "br": {"codecs": ["br"], **EVENTS},
    "br-11": {"codecs": ["br"], "levels": {"br": 11}, **EVENTS},
    "gzip": {"codecs": ["gzip"], **EVENTS},
    "gzip-9": {"codecs": ["gzip"], "levels": {"gzip": 9}, **EVENTS},
}
CODINGS = [pytest.param(name, name.partition("-")[0], id=name) for name in FOLDERS]
OTHER_FOLDERS = {"weak": {}, "suffix": {"etag": "suffix"}}

FETCH = """
async url => {
    const response = await fetch(url);
    return [response.headers.get("content-encoding"), await response.text()];
}
"""
SIZES = "url => performance.getEntriesByName(url).map(entry => [entry.encodedBodySize, entry.decodedBodySize])[0]"
# What is heard until the stream ends; the next event is asked for when the last one is there.
LISTEN = """
([url, next]) => new Promise(resolve => {
    const heard = [];
    const source = new EventSource(url);
    source.onopen = () => fetch(next, {method: "POST"});
    source.onmessage = event => {
        heard.push(event.data);
        fetch(next, {method: "POST"});
    };
    source.onerror = () => {
        source.close();
        resolve(heard);
    };
})
"""
NEXT = "url => fetch(url, {method: 'POST'}).then(() => {})"
# By a link, by fetch, or by an element, whatever becomes of it.
REQUEST = """
([way, url]) => {
    if (way === "a") return Object.assign(document.createElement("a"), {href: url}).click();
    if (way.endsWith("cors")) return fetch(url, {mode: way, credentials: "include"}).catch(() => {}).then(() => {});
    const element = Object.assign(document.createElement(way), {src: url});
    document.body.append(element);
    return new Promise(resolve => element.onload = element.onerror = () => resolve());
}
"""


class Exchange(NamedTuple):
    """A response that went out, and the headers of its request."""

    path: str
    asked: dict[str, str]
    status: int
    headers: dict[str, str]


def wire(server: Server, path: str) -> list[Exchange]:
    """All that was sent for ``path`` up to now."""
    lines = [Exchange(*json.loads(line)) for line in server.log().splitlines() if line.startswith("[")]
    return [exchange for exchange in lines if exchange.path == path]


@pytest.fixture
def no_blocking_calls() -> None:
    """Not here: Playwright's synchronous calls run an event loop in this thread, and block in it by design."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def server(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"FOLDERS": json.dumps(FOLDERS | OTHER_FOLDERS), "FILES": str(files)}
    arguments = command("uvicorn-httptools-wsproto", "tests.compression.browsed:application")
    with serving(arguments, ROOT, tmp_path_factory.mktemp("server") / "log", env=environment) as server:
        yield server


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with browser.new_context() as context:
        yield opened(context, OURS, server)


def opened(context: BrowserContext, place: str, server: Server) -> Page:
    page = context.new_page()
    page.set_default_timeout(1000 * WAIT_SECONDS)
    page.goto(f"{address(place, server)}/page.html")
    return page


def address(place: str, server: Server) -> str:
    return place.replace("PORT", str(server.port))


@pytest.mark.parametrize(("name", "coding"), CODINGS)
def test_a_page_reads_the_text_in_every_coding(page: Page, server: Server, name: str, coding: str):
    url = f"{address(OURS, server)}/{name}/text"
    found, text = page.evaluate(FETCH, url)
    assert found == coding
    assert text == "".join(f"line {number} of a text, größer\n" for number in range(1000))
    size_encoded, size = page.wait_for_function(SIZES, arg=url).json_value()
    assert size_encoded < size / 5
    assert size == len(text.encode())
    (exchange,) = wire(server, f"/{name}/text?")
    assert exchange.headers["content-length"] == str(size_encoded)


@pytest.mark.parametrize(("name", "coding"), CODINGS)
def test_each_event_is_heard_before_the_next_is_sent(page: Page, server: Server, name: str, coding: str):
    events = [f"event {number}" for number in range(5)]
    stream, next_piece = streamed(server, name, "text/event-stream", [f"data: {text}\n\n" for text in events])
    with page.expect_response(stream) as response:
        heard = page.evaluate(LISTEN, [stream, next_piece])
    assert heard == events
    assert response.value.header_value("content-encoding") == coding


@pytest.mark.parametrize(("name", "coding"), CODINGS)
def test_the_first_piece_of_a_slow_page_is_painted_before_the_next_is_sent(
    page: Page, server: Server, name: str, coding: str
):
    pieces = ["<!doctype html><title>A page</title><p>the first piece</p>", "<p>the last piece</p>"]
    stream, next_piece = streamed(server, name, "text/html", pieces)
    page.evaluate(NEXT, next_piece)
    response = page.goto(stream, wait_until="commit")
    assert response is not None
    assert response.header_value("content-encoding") == coding
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    assert page.evaluate("[document.readyState, document.body.innerText]") == ["loading", "the first piece"]
    page.evaluate(NEXT, next_piece)
    page.get_by_text("the last piece").wait_for()


def streamed(server: Server, name: str, content_type: str, pieces: list[str]) -> tuple[str, str]:
    """The address of a stream, and the one that asks for its next piece."""
    folder = f"{address(OURS, server)}/{name}"
    stream = {"name": f"{name}-{content_type}", "type": content_type, "piece": pieces}
    return f"{folder}/stream?{urlencode(stream, doseq=True)}", f"{folder}/next?{urlencode({'name': stream['name']})}"


@pytest.mark.parametrize(("name", "tag"), [("weak", 'W/"{}"'), ("suffix", '"{};zstd"')])
def test_what_has_not_changed_is_not_sent_again_and_what_has_changed_is(
    page: Page, server: Server, files: Path, name: str, tag: str
):
    def shown() -> str:
        return page.locator("body").inner_text()

    file, path = files / f"{name}.txt", f"/{name}/files/{name}.txt"
    file.write_text("first " * 1000)
    page.goto(f"{address(OURS, server)}{path}")
    assert shown() == "first " * 1000
    page.reload()
    assert shown() == "first " * 1000
    file.write_text("second " * 1000)
    page.reload()
    assert shown() == "second " * 1000

    first, again, changed = wire(server, f"{path}?")
    assert [first.status, again.status, changed.status] == [200, 304, 200]
    assert first.headers["content-encoding"] == changed.headers["content-encoding"] == "zstd"
    held = first.headers["etag"]
    assert held == tag.format(held.removeprefix("W/")[1:33])
    assert held == again.asked["if-none-match"] == again.headers["etag"] == changed.asked["if-none-match"]
    assert held != changed.headers["etag"]
    assert {exchange.headers["vary"] for exchange in (first, again, changed)} == {"Accept-Encoding"}


COOKIES: dict[str, Any] = {"permissions": ["storage-access"]}  # to pages of other sites too
NO_COOKIES: dict[str, Any] = {}


class Row(NamedTuple):
    """Who requests it and how, what the user allows, what the browser says of it, and how it is sent then."""

    page: str
    way: str
    allowed: dict[str, Any]
    site: str
    cookie: str | None
    coding: str | None


REQUESTS = {
    "image": Row(OTHER, "img", COOKIES, "cross-site", "visitor=seven", None),
    "script": Row(OTHER, "script", COOKIES, "cross-site", "visitor=seven", None),
    "frame": Row(OTHER, "iframe", COOKIES, "cross-site", "visitor=seven", None),
    "no-cors": Row(OTHER, "no-cors", COOKIES, "cross-site", "visitor=seven", None),
    "cors": Row(OTHER, "cors", COOKIES, "cross-site", "visitor=seven", "zstd"),
    "link": Row(OTHER, "a", COOKIES, "cross-site", "visitor=seven", "zstd"),
    "image-without-cookies": Row(OTHER, "img", NO_COOKIES, "cross-site", None, "zstd"),
    "frame-without-cookies": Row(OTHER, "iframe", NO_COOKIES, "cross-site", None, "zstd"),
    "image-of-the-same-site": Row(SIBLING, "img", COOKIES, "same-site", "visitor=seven", "zstd"),
    "image-of-its-own": Row(OURS, "img", COOKIES, "same-origin", "visitor=seven", "zstd"),
    "script-of-its-own": Row(OURS, "script", NO_COOKIES, "same-origin", "visitor=seven", "zstd"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_another_site_requests_with_the_users_cookies_is_sent_as_it_is(
    browser: Browser, server: Server, name: str
):
    row = REQUESTS[name]
    path = f"/weak/secret?{name}"
    with browser.new_context(**row.allowed) as context:
        opened(context, OURS, server).goto(f"{address(OURS, server)}/weak/login")
        page = opened(context, row.page, server)
        page.evaluate(REQUEST, [row.way, f"{address(OURS, server)}{path}"])
        if row.way == "a":
            page.wait_for_url(f"**{path}")
    exchange = wire(server, path)[-1]
    assert exchange.asked["sec-fetch-site"] == row.site
    assert exchange.asked.get("cookie") == row.cookie
    assert exchange.headers.get("content-encoding") == row.coding
    assert exchange.headers["vary"] == "Accept-Encoding"
