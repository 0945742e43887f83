"""Applications by host: which one gets a connection."""

from __future__ import annotations

from typing import Any

import pytest

from middleware import ConfigurationError, HostRouter
from middleware.lint import LintMiddleware
from tests.asgi import BODY, CONNECT, REQUEST, START, Client, Spy, call, http_scope, websocket_scope

CLOSE = {"type": "websocket.close", "code": 1000}
HOSTS = [
    "api.example.com",
    "*.example.com",
    "*.eu.example.com",
    "EXAMPLE.com.",
    "[::1]",
    "127.0.0.1",
    "*.org",
    "x.a.org",
]
DEFAULT = "default"

FOUND: dict[bytes, str] = {
    b"api.example.com": "api.example.com",
    b"API.Example.COM": "api.example.com",
    b"api.example.com.": "api.example.com",
    b"api.example.com:8000": "api.example.com",
    b"api.example.com.:8000": "api.example.com",
    b"example.com": "EXAMPLE.com.",
    b"a.example.com": "*.example.com",
    b"a.b.example.com": "*.example.com",
    b"a.api.example.com": "*.example.com",
    b"a.eu.example.com": "*.eu.example.com",
    b"a.b.eu.example.com:1": "*.eu.example.com",
    b"eu.example.com": "*.example.com",
    b"y.a.org": "*.org",
    b"x.a.org": "x.a.org",
    b"[::1]": "[::1]",
    b"[::1]:8000": "[::1]",
    b"[0::0:1]:8000": "[::1]",
    b"127.0.0.1:80": "127.0.0.1",
    **dict.fromkeys(
        (
            *(b"", b"org", b"com", b"badexample.com", b"example.com.evil.net", b"api-example.com", b"*.example.com"),
            *(
                b"[::2]",
                b"::1",
                b"127.0.0.2",
                b"a..example.com",
                b".example.com",
                b"api.example.com:x",
                b"a b.example.com",
            ),
            *(
                b"api.example.com/",
                b"u@api.example.com",
                b"api.example.com,a",
                b"api.example.com\x00",
                b"\xffa.example.com",
            ),
            *(b"-.example.com", b"a" * 65_536 + b".example.com", b"http://api.example.com", b"api.example.com:80:80"),
        ),
        DEFAULT,
    ),
}


def router(spies: dict[str, Spy]) -> Any:
    return HostRouter({host: spies[host] for host in HOSTS}, default=spies[DEFAULT])


@pytest.mark.parametrize("kind", [http_scope, websocket_scope], ids=["http", "websocket"])
@pytest.mark.parametrize(("value", "found"), FOUND.items(), ids=lambda one: repr(one)[:40])
async def test_the_host_decides(value: bytes, found: str, kind: Any) -> None:
    spies = {host: Spy() if kind is http_scope else Spy(CLOSE) for host in (*HOSTS, DEFAULT)}
    scope = kind("/x", headers=[(b"accept", b"*/*"), (b"host", value), (b"x-forwarded-host", b"x.a.org")])
    await call(router(spies), scope)
    ((name, spy),) = [(name, spy) for name, spy in spies.items() if spy.calls]
    assert name == found
    assert spy.calls[0][0] is scope


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"x.a.org"), (b"host", b"x.a.org")],
        [(b"host", b"x.a.org"), (b"Host", b"evil.example")],
        [(b"x-host", b"x.a.org")],
        ...,
        None,
    ],
    ids=repr,
)
async def test_no_host_or_two_of_them_go_to_the_default(headers: Any) -> None:
    spies = {host: Spy() for host in (*HOSTS, DEFAULT)}
    await call(router(spies), http_scope(headers=headers))
    assert [name for name, spy in spies.items() if spy.calls] == [DEFAULT]


async def test_the_order_of_declaration_is_none() -> None:
    for hosts in (HOSTS, HOSTS[::-1]):
        spies = {host: Spy() for host in HOSTS}
        site = HostRouter({host: spies[host] for host in hosts})
        await call(site, http_scope(headers=[(b"host", b"a.eu.example.com")]))
        assert [name for name, spy in spies.items() if spy.calls] == ["*.eu.example.com"]


async def test_what_the_application_returns_is_returned() -> None:
    client = Client(REQUEST)
    site = HostRouter({"127.0.0.1": Spy(returns=7)})
    assert await site(http_scope(), client.receive, client.send) == 7  # type: ignore[func-returns-value]


@pytest.mark.parametrize("value", [b"other.example", b"\xff\x00", b""])
async def test_a_host_without_an_application_is_turned_away(value: bytes) -> None:
    site = LintMiddleware(HostRouter({"example.com": app}))
    headers = [(b"host", value)]
    start, body = await call(site, http_scope(headers=headers))
    assert (start["status"], body["body"]) == (404, b"Not Found")
    start, body = await call(site, http_scope(headers=headers, method="HEAD"))
    assert (start["status"], body["body"]) == (404, b"")
    assert await call(site, websocket_scope(headers=headers), CONNECT) == [CLOSE]


async def test_any_protocol_with_headers_is_routed_and_the_others_go_to_the_default() -> None:
    spy = Spy({"type": "x.accept"})
    site = HostRouter({"example.com": spy})
    await call(site, {"type": "webtransport", "headers": [(b"host", b"example.com")]})
    assert len(spy.calls) == 1
    with pytest.raises(ValueError, match="no application for scope type 'channel' among the hosts; give a default"):
        await call(site, {"type": "channel"})


async def app(scope: Any, receive: Any, send: Any) -> None: ...


async def spied(scope: Any, receive: Any, send: Any) -> None:
    await Spy()(scope, receive, send)


async def test_a_string_names_an_application() -> None:
    site = HostRouter({"127.0.0.1": "tests.routing.test_host:spied"}, default="tests.routing.test_host:app")
    assert await call(site, http_scope()) == [START, BODY]


REFUSED: dict[str, tuple[Any, str, str]] = {
    "nothing": (lambda: HostRouter({}), "hosts", "write HostRouter({'example.com': app})"),
    "application": (lambda: HostRouter(app), "hosts", "write HostRouter({'example.com': app})"),  # type: ignore
    "class": (lambda: HostRouter({"a": Spy}), "hosts['a']", "create an instance: Spy(...)"),  # type: ignore
    "no string": (lambda: HostRouter({b"a": app}), "hosts", "write a string such as 'api.example.com'"),  # type: ignore
    "every host": (lambda: HostRouter({"*": app}), "hosts", "write HostRouter(..., default=...)"),
    "port": (lambda: HostRouter({"example.com:8000": app}), "hosts", "write 'example.com'"),
    "url": (lambda: HostRouter({"https://Example.com/x": app}), "hosts", "write 'example.com'"),
    "ipv6": (lambda: HostRouter({"::1": app}), "hosts", "write '[::1]'"),
    "ipv6 with port": (lambda: HostRouter({"[::1]:80": app}), "hosts", "write '[::1]'"),
    "idna": (lambda: HostRouter({"bücher.example": app}), "hosts", "begins with 'xn--'"),
    "star inside": (lambda: HostRouter({"a.*.example": app}), "hosts", "write 'example.com', '*.example.com'"),
    "star, no dot": (lambda: HostRouter({"*example.com": app}), "hosts", "write 'example.com', '*.example.com'"),
    "dot": (lambda: HostRouter({".example.com": app}), "hosts", "write 'example.com', '*.example.com'"),
    "empty": (lambda: HostRouter({"": app}), "hosts", "write 'example.com', '*.example.com'"),
    "space": (lambda: HostRouter({"a b": app}), "hosts", "write 'example.com', '*.example.com'"),
    "twice": (lambda: HostRouter({"a.b": app, "A.b.": app}), "hosts", "keep one of them"),
    "wildcard twice": (lambda: HostRouter({"*.b": app, "*.B.": app}), "hosts", "keep one of them"),
    "wildcard with port": (lambda: HostRouter({"*.example.com:80": app}), "hosts", "write '*.example.com'"),
    "wildcard of an address": (lambda: HostRouter({"*.[::1]": app}), "hosts", "write 'example.com'"),
    "default": (lambda: HostRouter({"a": app}, default=5), "default", "pass an ASGI application"),  # type: ignore
    "lifespan": (lambda: HostRouter({"a": app}, lifespan=5), "lifespan", "or write 'lazy', False or nothing"),  # type: ignore
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_configuration_is_refused_with_what_to_write_instead(name: str) -> None:
    make, parameter, remedy = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        make()
    (problem,) = caught.value.problems
    assert problem.parameter == parameter
    assert remedy in problem.remedy
    assert caught.value.owner == "HostRouter"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        HostRouter({"*": app, "a:80": app, "b": 5}, default=Spy, lifespan=5)  # type: ignore
    assert [problem.parameter for problem in caught.value.problems] == [
        "hosts",
        "hosts",
        "hosts['b']",
        "default",
        "lifespan",
    ]
