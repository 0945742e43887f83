"""Each connection to its application; the others turned away as their protocol knows it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter

from middleware import ConfigurationError, ProtocolRouter
from middleware.lint import LintMiddleware
from tests.asgi import BODY, CONNECT, REQUEST, START, Client, Spy, call, http_scope, websocket_scope

CLOSE = {"type": "websocket.close", "code": 1000}


async def app(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("kind", ["http", "websocket", "webtransport", "channel"])
async def test_the_application_gets_the_very_scope_receive_and_send_and_its_result_is_returned(kind: str) -> None:
    spy = Spy(returns=7)
    scope, client = {"type": kind}, Client()
    assert await ProtocolRouter({kind: spy})(scope, client.receive, client.send) == 7  # type: ignore[func-returns-value]
    ((given, receive, send),) = spy.calls
    assert given is scope
    assert (receive, send) == (client.receive, client.send)
    assert client.sent == [START, BODY]
    assert client.sent[0] is START


async def test_daphne_may_call_it_with_keywords() -> None:
    client = Client(REQUEST)
    await ProtocolRouter(http=Spy())(http_scope(), receive=client.receive, send=client.send)
    assert client.sent == [START, BODY]


async def test_mapping_and_keywords_are_merged() -> None:
    http, websocket, other = Spy(), Spy(CLOSE), Spy()
    router = ProtocolRouter({"websocket": websocket, "channel": other}, http=http)
    for scope in (http_scope(), websocket_scope(), {"type": "channel"}):
        await call(router, scope)
    assert [len(spy.calls) for spy in (http, websocket, other)] == [1, 1, 1]


@pytest.mark.parametrize("make", [ProtocolTypeRouter, ProtocolRouter])
async def test_channels_mapping_works_unchanged(make: Any) -> None:
    http, websocket = Spy(), Spy(CLOSE)
    router = make({"http": http, "websocket": websocket})
    await call(router, http_scope())
    await call(router, websocket_scope())
    assert (len(http.calls), len(websocket.calls)) == (1, 1)
    assert router.application_mapping["http"] is http
    again = make(application_mapping={"http": http})
    assert again.application_mapping["http"] is http


async def test_a_subclass_may_call_the_constructor_with_keywords() -> None:
    class Router(ProtocolRouter):
        def __init__(self, site: Any) -> None:
            super().__init__(http=site)
            self.name = "site"

    spy = Spy()
    assert await call(Router(spy), http_scope()) == [START, BODY]


async def test_unlisted_http_is_answered_404() -> None:
    start, body = await call(ProtocolRouter(websocket=app), http_scope())
    assert start["status"] == 404
    assert dict(start["headers"]) == {b"content-type": b"text/plain; charset=utf-8", b"content-length": b"9"}
    assert body["body"] == b"Not Found"


async def test_unlisted_http_head_is_answered_404_without_content() -> None:
    start, body = await call(LintMiddleware(ProtocolRouter(websocket=app), strict=True), http_scope(method="HEAD"))
    assert start["status"] == 404
    assert dict(start["headers"])[b"content-length"] == b"9"
    assert body["body"] == b""


@pytest.mark.parametrize("extensions", [..., None, {}, {"websocket.http.response": {}}])
async def test_an_unlisted_websocket_is_closed_before_it_is_accepted(extensions: Any) -> None:
    client = Client(CONNECT)
    scope = websocket_scope(extensions=extensions)
    await ProtocolRouter(http=app)(scope, client.receive, client.send)
    assert client.sent == [CLOSE]
    assert client.received == 1


async def test_a_websocket_that_is_gone_already_is_not_closed() -> None:
    client = Client({"type": "websocket.disconnect", "code": 1006})
    await ProtocolRouter(http=app)(websocket_scope(), client.receive, client.send)
    assert client.sent == []


@pytest.mark.parametrize("scope", [{"type": "webtransport"}, {"type": None}, {"type": []}, {}], ids=repr)
async def test_any_other_unlisted_type_is_refused_by_an_error_that_names_the_known_ones(scope: Any) -> None:
    with pytest.raises(ValueError, match="'http', 'lifespan', 'websocket'") as caught:
        await call(ProtocolRouter(http=app, websocket=app), scope)
    assert repr(scope.get("type")) in str(caught.value)
    assert caught.value.__context__ is None  # one traceback, not that of a failed look-up as well


@pytest.mark.parametrize("kind", ["http", "websocket", "webtransport"])
async def test_the_default_gets_what_is_not_listed(kind: str) -> None:
    listed, default = Spy(), Spy(returns=3)
    client, scope = Client(), {"type": kind}
    router = ProtocolRouter({"channel": listed}, default=default)
    assert await router(scope, client.receive, client.send) == 3  # type: ignore[func-returns-value]
    assert default.calls[0][0] is scope
    assert listed.calls == []


@pytest.mark.parametrize("error", [KeyError("type"), TypeError("mine")])
async def test_an_error_of_the_application_is_not_taken_for_a_missing_application(error: Exception) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await call(ProtocolRouter(http=failing, default=Spy()), http_scope())
    assert caught.value is error


@pytest.mark.parametrize("path", ["/" + "ä" * 10, "/" + "a" * 65_536, "/\udcff", "", "//", "/\x00"], ids=len)
@pytest.mark.parametrize("changes", [{}, {"headers": ...}, {"method": ...}, {"root_path": None}, {"extensions": 5}])
async def test_no_path_and_no_missing_key_makes_the_refusal_fail(path: str, changes: dict[str, Any]) -> None:
    scope = {**http_scope("/", **changes), "path": path}
    start, _ = await call(ProtocolRouter(websocket=app), scope)
    assert start["status"] == 404
    assert await call(ProtocolRouter(http=app), {**scope, "type": "websocket"}, CONNECT) == [CLOSE]


REFUSED: dict[str, tuple[Any, str, str]] = {
    "nothing": (lambda: ProtocolRouter(), "http", "write ProtocolRouter(http=get_asgi_application(), websocket=...)"),
    "empty mapping": (lambda: ProtocolRouter({}), "http", "write ProtocolRouter(http="),
    "twice": (lambda: ProtocolRouter({"http": app}, http=app), "http", "give it once"),
    "lifespan twice": (lambda: ProtocolRouter({"lifespan": app}, http=app, lifespan=app), "lifespan", "give it once"),
    "application": (lambda: ProtocolRouter(app), "application_mapping", "write ProtocolRouter(http=...)"),  # type: ignore
    "string": (lambda: ProtocolRouter("a:b"), "application_mapping", "write ProtocolRouter(http=...)"),  # type: ignore
    "pairs": (lambda: ProtocolRouter([("http", app)]), "application_mapping", "{'http': ...}"),  # type: ignore
    "none": (lambda: ProtocolRouter({"http": None}), "application_mapping['http']", "pass the ASGI application"),  # type: ignore
    "class": (lambda: ProtocolRouter(http=Spy), "http", "create an instance: Spy(...)"),  # type: ignore
    "default": (lambda: ProtocolRouter({"default": app}), "application_mapping", "default=..."),
    "name": (lambda: ProtocolRouter({5: app}), "application_mapping", "write a name"),  # type: ignore
    "empty name": (lambda: ProtocolRouter({"": app}), "application_mapping", "write a name"),
    **{
        name: (lambda name=name: ProtocolRouter({name: app}), "application_mapping", f"did you mean {meant!r}?")
        for name, meant in {
            "ws": "websocket",
            "wss": "websocket",
            "websockets": "websocket",
            "web_socket": "websocket",
            "WebSocket": "websocket",
            "https": "http",
            "HTTP": "http",
            "http ": "http",
            "life-span": "lifespan",
            "websoket": "websocket",
            "web": "http",
            "http2": "http",
            "htpp": "http",
        }.items()
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_configuration_is_refused_with_what_to_write_instead(name: str) -> None:
    make, parameter, remedy = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        make()
    (problem,) = caught.value.problems
    assert problem.parameter == parameter
    assert remedy in problem.remedy
    assert remedy in str(caught.value)


def test_all_problems_are_told_at_once_in_the_order_of_the_arguments(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ProtocolRouter({"ws": app, "channel": 5}, http=Spy, default="nowhere", lifespan=5)  # type: ignore
    assert [problem.parameter for problem in caught.value.problems] == [
        "application_mapping",
        "application_mapping['channel']",
        "http",
        "default",
        "lifespan",
    ]
    assert [(record.name, record.levelno) for record in caplog.records] == [("middleware", logging.ERROR)]


def test_other_names_stay_legal() -> None:
    ProtocolRouter(dict.fromkeys(("webtransport", "channel", "mqtt", "sse", "lifespan"), app))


def test_an_unknown_keyword_stays_a_type_error() -> None:
    with pytest.raises(TypeError, match="'ws'"):
        ProtocolRouter(http=app, ws=app)  # type: ignore[call-arg]


def test_listed_in_djangos_middleware_setting_it_says_where_it_belongs() -> None:
    def get_response(request: Any) -> Any: ...

    with pytest.raises(ConfigurationError, match=r"wrap `application` in asgi\.py, not in MIDDLEWARE"):
        ProtocolRouter(get_response)  # type: ignore[arg-type]
