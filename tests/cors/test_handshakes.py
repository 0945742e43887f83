"""Websocket handshakes: whose page may open one, through both classes."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from middleware import CORSMiddleware, WebSocketOriginMiddleware
from tests.asgi import CONNECT, Client, Message, Spy, call, http_scope, lifespan_scope, websocket_scope

ACCEPT: Message = {"type": "websocket.accept"}
CLOSE: Message = {"type": "websocket.close", "code": 1000}
GONE: Message = {"type": "websocket.disconnect", "code": 1006}
LISTED = ["https://app.example", "https://*.site.example", "http://localhost:*"]


def handshake(origin: Any = None, host: Any = "api.example", path: str = "/", **changes: Any) -> dict[str, Any]:
    """The scope of a handshake; a list is several lines, None is none."""
    lines = {"origin": origin, "host": host}
    headers = [
        (name.encode(), value.encode("latin-1"))
        for name, given in lines.items()
        for value in (given if isinstance(given, list) else [given] if given is not None else [])
    ]
    return websocket_scope(path, headers=headers, **changes)


async def is_accepted(app: Any, *given: Any, **changes: Any) -> bool:
    """Whether a handshake reaches the application; if not, it must be closed before it is accepted."""
    (message,) = await call(app, handshake(*given, **changes), CONNECT)
    assert message in (ACCEPT, CLOSE)
    return message == ACCEPT


def cors(app: Any) -> Any:
    return CORSMiddleware(app, LISTED)


def alone(app: Any) -> Any:
    return WebSocketOriginMiddleware(app, LISTED)


BOTH = pytest.mark.parametrize("make", [cors, alone])

# Origin and Host, as they come, and whether the handshake passes

HANDSHAKES: dict[str, tuple[Any, Any, bool]] = {
    "no browser": (None, "api.example", True),
    "no browser, no host": (None, None, True),
    "no browser, two hosts": (None, ["api.example", "b.example"], True),
    "listed": ("https://app.example", "api.example", True),
    "pattern": ("https://a.site.example", "api.example", True),
    "any port": ("http://localhost:3000", "api.example", True),
    "listed, no host": ("https://app.example", None, True),
    "listed, two hosts": ("https://app.example", ["api.example", "b.example"], True),
    "another": ("https://evil.example", "api.example", False),
    "another, no host": ("https://evil.example", None, False),
    "another scheme": ("http://app.example", "api.example", False),
    "looks listed": ("https://app.example.evil.example", "api.example", False),
    "same": ("https://api.example", "api.example", True),
    "same, plain": ("http://api.example", "api.example", True),
    "same, upper case": ("https://api.example", "API.Example", True),
    "same, dot in the host": ("https://api.example", "api.example.", True),
    "same, dot in the origin": ("https://api.example.", "api.example", True),
    "same port": ("https://api.example:8443", "api.example:8443", True),
    "same port, elided by the browser": ("https://api.example", "api.example:443", True),
    "same port, elided by the browser, plain": ("http://api.example", "api.example:80", True),
    "same port, of another scheme": ("http://api.example:443", "api.example:443", True),
    "same port, empty": ("https://api.example", "api.example:", True),
    "another port": ("https://api.example:8443", "api.example", False),
    "another port in the host": ("https://api.example", "api.example:8443", False),
    "port of the other scheme": ("http://api.example", "api.example:443", False),
    "ipv6": ("http://[::1]:8000", "[::1]:8000", True),
    "ipv6, spelt in another way": ("http://[::1]:8000", "[0:0::1]:8000", True),
    "ipv6, another": ("http://[::2]:8000", "[::1]:8000", False),
    "ipv4": ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
    "custom scheme on the same host": ("chrome-extension://api.example", "api.example", False),
    "custom scheme on the same host and port": ("app://api.example:8443", "api.example:8443", False),
    "custom scheme, explicit port": ("app://api.example:443", "api.example", False),
    "subdomain": ("https://a.api.example", "api.example", False),
    "same, two hosts": ("https://api.example", ["api.example", "api.example"], False),
    "same, two other hosts": ("https://api.example", ["api.example", "b.example"], False),
    "null": ("null", "api.example", False),
    "null and a host of that name": ("null", "null", False),
    "empty": ("", "api.example", False),
    "empty and an empty host": ("", "", False),
    "path": ("https://api.example/", "api.example", False),
    "user": ("https://u@api.example", "api.example", False),
    "upper case": ("https://API.example", "api.example", False),
    "port that is elided": ("https://api.example:443", "api.example", False),
    "no scheme": ("api.example", "api.example", False),
    "star": ("*", "*", False),
    "not ASCII": ("https://api.ex\xe4mple", "api.ex\xe4mple", False),
    "control character": ("https://api.example\x00", "api.example\x00", False),
    "twice": (["https://app.example", "https://app.example"], "api.example", False),
    "twice, one listed": (["https://app.example", "https://evil.example"], "api.example", False),
    "twice, one the same": (["https://api.example", "https://evil.example"], "api.example", False),
    "joined": ("https://app.example, https://evil.example", "api.example", False),
    "malformed host": ("https://api.example", "api.example/x", False),
    "longer than any": ("https://" + "a." * 50_000 + "site.example", "api.example", False),
}


@BOTH
@pytest.mark.parametrize("name", HANDSHAKES)
async def test_the_origin_decides(make: Any, name: str) -> None:
    origin, host, accepted = HANDSHAKES[name]
    spy = Spy(ACCEPT)
    scope = handshake(origin, host)
    assert await is_accepted(make(spy), origin, host) is accepted
    assert len(spy.calls) == accepted
    assert scope == handshake(origin, host)


@BOTH
async def test_names_of_headers_have_no_case(make: Any) -> None:
    headers = [(b"Host", b"api.example"), (b"ORIGIN", b"https://evil.example")]
    assert await call(make(Spy(ACCEPT)), websocket_scope(headers=headers), CONNECT) == [CLOSE]


@BOTH
@pytest.mark.parametrize("headers", [..., None, [], ()], ids=repr)
async def test_a_handshake_without_headers_comes_from_no_browser(make: Any, headers: Any) -> None:
    assert await call(make(Spy(ACCEPT)), websocket_scope(headers=headers), CONNECT) == [ACCEPT]


@BOTH
async def test_what_passes_passes_as_it_is(make: Any) -> None:
    spy, client = Spy(ACCEPT), Client(CONNECT)
    scope = handshake("https://app.example")
    await make(spy)(scope, client.receive, client.send)
    ((given, receive, send),) = spy.calls
    assert given is scope
    assert (receive, send) == (client.receive, client.send)


async def test_other_connections_are_not_looked_at() -> None:
    for scope in (
        http_scope(headers=[(b"origin", b"https://evil.example")]),
        lifespan_scope(),
        {"type": "webtransport"},
    ):
        spy, client = Spy({"type": "x"}), Client()
        await alone(spy)(scope, client.receive, client.send)
        assert spy.calls == [(scope, client.receive, client.send)]


@BOTH
async def test_a_refused_handshake_is_closed_once_the_client_asks_and_not_before(make: Any) -> None:
    order = []

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        order.append("received")
        return CONNECT

    async def send(message: Message) -> None:
        order.append(message["type"])

    await make(Spy(ACCEPT))(handshake("https://evil.example"), receive, send)
    assert order == ["received", "websocket.close"]


@BOTH
async def test_a_client_that_has_gone_is_sent_nothing(make: Any) -> None:
    spy = Spy(ACCEPT)
    assert await call(make(spy), handshake("https://evil.example"), GONE) == []
    assert spy.calls == []


# The words of CORSMiddleware

WORDS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "star opens none": (
        {"allow_origins": ["*"]},
        ["https://api.example"],
        ["https://evil.example", "http://localhost", "null"],
    ),
    "star, and another source": (
        {"allow_origins": ["*"], "allow_origin_regex": r"https://r\.example"},
        ["https://r.example", "https://api.example"],
        ["https://evil.example"],
    ),
    "an expression for all opens none": (
        {"allow_origin_regex": "https?://.*"},
        ["https://api.example"],
        ["https://evil.example", "http://evil.example:81"],
    ),
    "an expression for all, in short, opens none": (
        {"allow_origin_regex": ".*"},
        ["https://api.example"],
        ["https://evil.example", "http://localhost"],
    ),
    "an expression that credentials would refuse opens none": (
        {"allow_origin_regex": r"https://.*r\.example"},
        ["https://api.example"],
        ["https://a.r.example", "https://evilr.example"],
    ),
    "an expression without encryption opens none": (
        {"allow_origin_regex": r"https?://.*\.r\.example"},
        ["https://api.example"],
        ["https://a.r.example", "http://a.r.example"],
    ),
    "an expression without encryption, allowed": (
        {"allow_origin_regex": r"https?://.*\.r\.example", "allow_insecure_origins": True},
        ["https://a.r.example", "http://a.r.example"],
        ["https://evilr.example"],
    ),
    "an expression that opens none, and sockets of their own": (
        {"allow_origin_regex": ".*", "websocket_origins": ["https://ws.example"]},
        ["https://ws.example", "https://api.example"],
        ["https://evil.example"],
    ),
    "an expression that opens none, and a list": (
        {"allow_origin_regex": ".*", "allow_origins": ["https://app.example"]},
        ["https://app.example", "https://api.example"],
        ["https://evil.example"],
    ),
    "nobody": ({"allow_origins": []}, ["https://api.example"], ["https://app.example"]),
    "regex": (
        {"allow_origin_regex": r"https://[a-z]+\.r\.example|null"},
        ["https://a.r.example"],
        ["https://r.example", "https://a.r.example.evil.example", "null"],
    ),
    "sockets of their own": (
        {"allow_origins": LISTED, "websocket_origins": ["https://ws.example"]},
        ["https://ws.example", "https://api.example"],
        ["https://app.example", "https://a.site.example"],
    ),
    "sockets for all": (
        {"allow_origins": [], "websocket_origins": ["*"]},
        ["https://evil.example", "http://localhost:1", "https://api.example"],
        ["null", "", "https://evil.example/", "HTTPS://evil.example"],
    ),
    "sockets for none": (
        {"allow_origins": LISTED, "websocket_origins": []},
        ["https://api.example"],
        ["https://app.example"],
    ),
    "function": (
        {"allow_origin_func": lambda origin, scope: origin == "https://f.example"},
        ["https://f.example", "https://api.example"],
        ["https://evil.example"],
    ),
    "function, not asked": (
        {"allow_origin_func": lambda origin, scope: True, "websocket_origins": ["https://ws.example"]},
        ["https://ws.example"],
        ["https://f.example"],
    ),
    "star and a function": (
        {"allow_origins": ["*"], "allow_origin_func": lambda origin, scope: origin == "https://f.example"},
        ["https://f.example"],
        ["https://evil.example"],
    ),
}


@pytest.mark.parametrize("name", WORDS)
async def test_the_policy_is_the_one_of_requests_but_for_the_star(name: str) -> None:
    keywords, accepted, refused = WORDS[name]
    app = CORSMiddleware(Spy(ACCEPT), **keywords)
    assert [origin for origin in (*accepted, *refused) if await is_accepted(app, origin)] == accepted
    assert await is_accepted(app)


async def test_all_pages_open_websockets_if_the_check_alone_is_told_so() -> None:
    app = WebSocketOriginMiddleware(Spy(ACCEPT), ["*"])
    given = ("https://evil.example", "null", "https://evil.example/")
    assert [await is_accepted(app, origin) for origin in given] == [True, False, False]


async def test_only_the_site_itself_opens_websockets_if_nothing_is_listed() -> None:
    app = WebSocketOriginMiddleware(Spy(ACCEPT))
    given = ("https://api.example", "https://app.example")
    assert [await is_accepted(app, origin) for origin in given] == [True, False]


async def test_a_function_is_asked_about_an_origin_that_nothing_else_allows() -> None:
    asked: list[tuple[str, Any]] = []

    async def func(origin: str, scope: Any) -> bool:
        await anyio.lowlevel.checkpoint()
        asked.append((origin, scope))
        return False

    app = CORSMiddleware(Spy(ACCEPT), LISTED, allow_origin_func=func)
    for origin in (None, "https://app.example", "https://api.example", "null", "", ["https://f.example"] * 2):
        await is_accepted(app, origin)
    assert asked == []
    scope = handshake("https://f.example")
    assert await call(app, scope, CONNECT) == [CLOSE]
    assert [origin for origin, _ in asked] == ["https://f.example"]
    assert asked[0][1] is scope


async def test_a_function_that_raises_opens_no_websocket(caplog: pytest.LogCaptureFixture) -> None:
    def func(origin: str, scope: Any) -> bool:
        raise LookupError

    assert not await is_accepted(CORSMiddleware(Spy(ACCEPT), allow_origin_func=func), "https://f.example")
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


@pytest.mark.parametrize(
    ("path", "root_path", "accepted"),
    [
        ("/ws", "", False),
        ("/ws/x", "", False),
        ("/wss", "", True),
        ("/", "", True),
        ("/r/ws", "/r", False),
        ("/ws", "/r", False),
    ],
)
async def test_a_policy_for_paths_checks_the_handshakes_of_these(path: str, root_path: str, accepted: bool) -> None:
    app = CORSMiddleware(Spy(ACCEPT), [], paths=["/ws"])
    (message,) = await call(app, handshake("https://evil.example", path=path, root_path=root_path), CONNECT)
    assert message == (ACCEPT if accepted else CLOSE)


# The log


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {(record.name, record.levelno) for record in caplog.records} <= {("middleware.cors", logging.WARNING)}
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(("make", "parameter"), [(cors, "websocket_origins"), (alone, "allow_origins")])
async def test_a_refusal_is_logged_once_with_both_cures(
    make: Any, parameter: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = make(Spy(ACCEPT))
    for _ in range(3):
        await is_accepted(app, "https://evil.example", "127.0.0.1:8000")
    (line,) = told(caplog)
    assert "the origin 'https://evil.example' to the host '127.0.0.1:8000'" in line
    assert "proxy_set_header Host $host" in line
    assert f"{parameter}=[" in line


@BOTH
async def test_all_lines_of_a_header_are_shown(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    await is_accepted(make(Spy(ACCEPT)), ["https://a.example", "https://b.example"], ["c.example", "d.example"])
    (line,) = told(caplog)
    assert "the origin 'https://a.example, https://b.example' to the host 'c.example, d.example'" in line


@BOTH
async def test_there_is_an_end_to_what_is_told(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = make(Spy(ACCEPT))
    for number in range(150):
        await is_accepted(app, f"https://x{number}.example")
    lines = told(caplog)
    assert len(lines) == 100
    assert [number for number, line in enumerate(lines, 1) if line.endswith("; no more refusals are told")] == [100]


@BOTH
@pytest.mark.parametrize(
    "value",
    ["%s%d%(x)s%", "{0}{x}", "a\r\nmiddleware.cors: forged", "\x1b[31m\x00\x7f\x85", "\xad\xff", "a" * 65_536, "'\"\\"],
    ids=lambda value: repr(value)[:20],
)
async def test_a_line_of_the_log_is_one_short_line_of_ascii(
    make: Any, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await call(make(Spy(ACCEPT)), handshake(value, [value, value]), CONNECT) == [CLOSE]
    (line,) = told(caplog)
    assert line.isascii() and line.isprintable()
    assert len(line) < 1_500


@BOTH
async def test_what_passes_is_not_logged(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    for origin in (None, "https://app.example", "https://api.example"):
        assert await is_accepted(make(Spy(ACCEPT)), origin)
    assert told(caplog) == []
