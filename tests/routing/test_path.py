"""Applications below prefixes: which one gets a connection, and what it sees of the path."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from middleware import ConfigurationError, HostRouter, PathRouter, ProtocolRouter
from middleware._asgi import TRAIL
from middleware.lint import LintMiddleware
from tests.asgi import BODY, CONNECT, REQUEST, START, Client, Spy, call, http_scope, websocket_scope

CLOSE = {"type": "websocket.close", "code": 1000}


async def app(scope: Any, receive: Any, send: Any) -> None: ...


async def given(router: Any, scope: Any, *spies: Spy) -> tuple[int, Any]:
    """Which of the spies was called, and with what scope."""
    await call(router, scope)
    ((number, scope),) = [(number, scope) for number, spy in enumerate(spies) for scope, _, _ in spy.calls]
    return number, scope


# What the mounted application sees

SEEN: dict[str, tuple[Any, Any, str, str]] = {
    # (path, root_path) as the server gives them, and as the application below /api gets them
    "no root": ("/api/x", "", "/api/x", "/api"),
    "no root_path": ("/api/x", ..., "/api/x", "/api"),
    "root is None": ("/api/x", None, "/api/x", "/api"),
    "root is a slash": ("/api/x", "/", "/api/x", "/api"),
    "keeping proxy": ("/outer/api/x", "/outer", "/outer/api/x", "/outer/api"),
    "keeping proxy, slash": ("/outer/api/x", "/outer/", "/outer/api/x", "/outer/api"),
    "stripping proxy": ("/api/x", "/outer", "/outer/api/x", "/outer/api"),
    "stripping proxy, slash": ("/api/x", "/outer/", "/outer/api/x", "/outer/api"),
    "root is no prefix of a segment": ("/api/x", "/ap", "/ap/api/x", "/ap/api"),
    "itself": ("/api", "", "/api", "/api"),
    "itself, stripping proxy": ("/api", "/outer", "/outer/api", "/outer/api"),
    "with a slash": ("/api/", "", "/api/", "/api"),
    "two slashes": ("/api//x", "", "/api//x", "/api"),
    "dots": ("/api/../x", "", "/api/../x", "/api"),
    "decoded slash": ("/api/a/b", "", "/api/a/b", "/api"),
    "looks like the root": ("/api/x", "/api", "/api/api/x", "/api/api"),
}


@pytest.mark.parametrize("kind", [http_scope, websocket_scope], ids=["http", "websocket"])
@pytest.mark.parametrize("name", SEEN)
async def test_root_path_grows_and_path_has_all_of_it(name: str, kind: Any) -> None:
    path, root_path, seen_path, seen_root = SEEN[name]
    spy = Spy() if kind is http_scope else Spy(CLOSE)
    router = PathRouter({"/api": spy}) if name != "looks like the root" else PathRouter({"/api": spy, "/x": app})
    if name == "looks like the root":
        path = "/api/api/x"  # a stripped path that begins with the root is taken for one that has it
    scope = kind(path, root_path=root_path, raw_path=b"/raw")
    before = {**scope}
    _, seen = await given(LintMiddleware(router), scope, spy)
    if kind is websocket_scope and seen_path == seen_root:
        seen_path += "/"
    assert (seen["path"], seen["root_path"], seen["raw_path"]) == (seen_path, seen_root, b"/raw")
    assert before == {key: scope[key] for key in before}


async def test_a_path_without_the_root_that_no_mount_has_goes_to_the_default_with_it() -> None:
    spy = Spy()
    _, seen = await given(PathRouter({"/api": app}, default=spy), http_scope("/x", root_path="/outer/"), spy)
    assert (seen["path"], seen["root_path"]) == ("/outer/x", "/outer")


@pytest.mark.parametrize("prefix", ["/", "", None])
@pytest.mark.parametrize(
    ("path", "root_path"), [("/x", ""), ("/outer/x", "/outer"), ("/outer", "/outer/"), ("", ""), ("*", "")]
)
async def test_at_the_root_the_application_gets_the_very_scope(prefix: str | None, path: str, root_path: str) -> None:
    spy = Spy(returns=7)
    router = PathRouter({"/api": app}, default=spy) if prefix is None else PathRouter({"/api": app, prefix: spy})
    scope, client = http_scope(path, root_path=root_path), Client(REQUEST)
    assert await router(scope, client.receive, client.send) == 7  # type: ignore[func-returns-value]
    ((seen, receive, send),) = spy.calls
    assert seen is scope
    assert (receive, send) == (client.receive, client.send)


async def test_what_a_mounted_application_returns_is_returned() -> None:
    client = Client(REQUEST)
    assert await PathRouter({"/a": Spy(returns=7)})(http_scope("/a"), client.receive, client.send) == 7  # type: ignore[func-returns-value]


@pytest.mark.parametrize(("path", "seen_path"), [("/ws", "/ws/"), ("/ws/", "/ws/"), ("/ws/x", "/ws/x")])
async def test_a_websocket_at_the_prefix_gets_the_slash_that_it_cannot_be_redirected_to(
    path: str, seen_path: str
) -> None:
    spy = Spy(CLOSE)
    _, seen = await given(PathRouter({"/ws": spy}), websocket_scope(path), spy)
    assert (seen["path"], seen["root_path"]) == (seen_path, "/ws")


async def test_an_http_request_at_the_prefix_is_left_to_the_application() -> None:
    spy = Spy()
    _, seen = await given(PathRouter({"/api": spy}), http_scope("/api"), spy)
    assert seen["path"] == "/api"


async def test_any_protocol_with_a_path_is_routed() -> None:
    spy = Spy({"type": "webtransport.accept"})
    _, seen = await given(PathRouter({"/wt": spy}), {"type": "webtransport", "path": "/wt/x"}, spy)
    assert (seen["path"], seen["root_path"]) == ("/wt/x", "/wt")


# Named segments


async def test_a_named_segment_stands_where_starlette_and_where_channels_look_for_it() -> None:
    spy = Spy()
    _, seen = await given(PathRouter({"/ws/{room}/{seat}": spy}), http_scope("/ws/lobby/é/x"), spy)
    assert seen["path_params"] == {"room": "lobby", "seat": "é"}
    assert seen["url_route"] == {"args": (), "kwargs": {"room": "lobby", "seat": "é"}}
    assert seen["root_path"] == "/ws/lobby/é"


async def test_those_of_a_router_further_out_stay() -> None:
    spy = Spy()
    outer = {"path_params": {"a": 1, "b": 2}, "url_route": {"args": (5,), "kwargs": {"a": 1, "b": 2}, "more": 1}}
    scope = http_scope("/x/y", **outer)
    _, seen = await given(PathRouter({"/x/{b}": spy}), scope, spy)
    assert seen["path_params"] == {"a": 1, "b": "y"}
    assert seen["url_route"] == {"args": (5,), "kwargs": {"a": 1, "b": "y"}, "more": 1}
    assert outer == {
        "path_params": {"a": 1, "b": 2},
        "url_route": {"args": (5,), "kwargs": {"a": 1, "b": 2}, "more": 1},
    }


async def test_without_named_segments_nothing_is_said_of_them() -> None:
    spy = Spy()
    _, seen = await given(PathRouter({"/x": spy}), http_scope("/x"), spy)
    assert "path_params" not in seen
    assert "url_route" not in seen


@pytest.mark.parametrize("left", [None, 5, [], "x", {"kwargs": None}, {"kwargs": 5}], ids=repr)
async def test_malformed_params_of_others_are_no_failure(left: Any) -> None:
    spy = Spy()
    scope = http_scope("/x/y", path_params=left, url_route=left)
    _, seen = await given(PathRouter({"/x/{b}": spy}), scope, spy)
    assert seen["path_params"]["b"] == "y"
    assert seen["url_route"]["kwargs"] == {"b": "y"}


# Routers around routers


async def test_routers_in_routers_add_their_prefixes() -> None:
    spy = Spy()
    router = PathRouter({"/a": PathRouter({"/b": PathRouter({"/{c}": spy, "/": app})})})
    _, seen = await given(ProtocolRouter(http=HostRouter({"127.0.0.1": router})), http_scope("/a/b/c/d"), spy)
    assert (seen["path"], seen["root_path"], seen["path_params"]) == ("/a/b/c/d", "/a/b/c", {"c": "c"})


async def test_routers_in_routers_behind_a_stripping_proxy() -> None:
    spy = Spy()
    router = PathRouter({"/a": PathRouter({"/a": spy})})
    _, seen = await given(router, http_scope("/a/a/x", root_path="/outer"), spy)
    assert (seen["path"], seen["root_path"]) == ("/outer/a/a/x", "/outer/a/a")


@pytest.mark.parametrize("keys", [("router", "app_root_path", "route", "endpoint"), ("path_remaining",)])
async def test_the_keys_of_the_parents_router_are_not_the_mounted_applications(keys: tuple[str, ...]) -> None:
    spy = Spy()
    parent = dict.fromkeys(keys, "parent's")
    for path, root_path in (("/a/x", "/a"), ("/x", ""))[: len(keys)]:
        spy.calls.clear()
        scope = http_scope(path, app="parent", user="ann", **parent)
        _, seen = await given(PathRouter({"/a": spy}, default=spy), scope, spy)
        assert not parent.keys() & seen.keys()
        assert (seen["path"], seen["root_path"]) == (path, root_path)
        assert (seen["app"], seen["user"]) == ("parent", "ann")
        assert {key: scope[key] for key in parent} == parent


async def test_two_applications_with_one_route_name_reverse_to_their_own_urls() -> None:
    def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url_for("hello").path)

    def starlette() -> Starlette:
        return Starlette(routes=[Route("/hello", hello, name="hello")])

    router = PathRouter({"/a": starlette(), "/b": starlette()})
    parent = Starlette(routes=[Mount("/p", app=router), Route("/parents", hello, name="hello")])
    for site, root in ((router, ""), (parent, "/p")):
        for path in ("/a/hello", "/b/hello"):
            _, body = await call(site, http_scope(root + path))
            assert body["body"] == (root + path).encode()


async def test_keys_that_the_application_adds_are_handed_back_and_what_it_changes_is_not() -> None:
    async def writes(scope: Any, receive: Any, send: Any) -> None:
        scope.update(user="ann", route="/x", path="/changed", root_path="/changed")
        await Spy()(scope, receive, send)

    scope = http_scope("/a/{x}/y")
    await call(PathRouter({"/a/{b}": writes}), scope)
    assert scope["user"] == "ann"
    assert scope["route"] == "/x"
    assert scope["path_params"] == {"b": "{x}"}
    assert (scope["path"], scope["root_path"]) == ("/a/{x}/y", "")


async def test_below_a_parent_the_parents_layers_reverse_in_the_parent_and_see_what_was_added() -> None:
    seen = []

    async def notes(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        seen.append((request.url_for("home").path, "session" in request.scope))
        return response

    def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    inner = Starlette(routes=[Mount("/v1", routes=[Route("/hello", hello)])])
    parent = Starlette(
        routes=[Route("/home", hello, name="home")], middleware=[Middleware(BaseHTTPMiddleware, dispatch=notes)]
    )
    parent.router.default = PathRouter({"/api": SessionMiddleware(inner, "secret")}, lifespan=False)
    start, *_ = await call(parent, http_scope("/api/v1/hello"))
    assert start["status"] == 200
    assert seen == [("/home", True)]


async def test_the_trail_follows_the_copy() -> None:
    spy = Spy()
    scope = http_scope("/a/b")
    scope[TRAIL] = [scope]
    await call(PathRouter({"/a": PathRouter({"/b": spy})}), scope)
    assert scope[TRAIL][0] is spy.calls[0][0]


# Nobody there

NOBODY = [
    "/",
    "",
    "/apix",
    "/ap",
    "//api",
    "/API",
    "/x/../api",
    "*",
    "/%2Fapi",
    "/\udcff",
    "/" + "a/" * 30_000,
    "api",
    "/ws/",
    "/ws//",
]


@pytest.mark.parametrize("path", NOBODY, ids=lambda path: path[:10])
@pytest.mark.parametrize("root_path", ["", "/", "/outer", "/outer/", "outer", None])
async def test_a_path_that_no_prefix_matches_is_turned_away(path: str, root_path: Any) -> None:
    router = LintMiddleware(PathRouter({"/api": app, "/ws/{room}": app}))
    scope = {**http_scope(root_path=root_path), "path": path}
    start, body = await call(router, scope)
    assert (start["status"], body["body"]) == (404, b"Not Found")
    start, body = await call(router, {**scope, "method": "HEAD"})
    assert (start["status"], body["body"]) == (404, b"")
    assert await call(router, {**websocket_scope(root_path=root_path), "path": path}, CONNECT) == [CLOSE]


@pytest.mark.parametrize("key", ["path", "root_path", "headers", "extensions", "raw_path"])
@pytest.mark.parametrize("value", [..., None])
async def test_a_missing_key_is_no_failure(key: str, value: Any) -> None:
    scope = {name: one for name, one in {**http_scope("/x"), key: value}.items() if one is not ...}
    start, _ = await call(PathRouter({"/api": app}), scope)
    assert start["status"] == 404


async def test_a_protocol_without_refusal_is_an_error_that_says_what_to_write() -> None:
    with pytest.raises(
        ValueError, match="no application for scope type 'channel' among the path prefixes; give a default"
    ) as caught:
        await call(PathRouter({"/api": app}), {"type": "channel"})
    assert caught.value.__context__ is None


@pytest.mark.parametrize("where", ["mount", "default"])
async def test_an_error_of_the_application_comes_out_as_it_is(where: str) -> None:
    error = KeyError("type")

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        await call(PathRouter({"/api": failing}, default=failing), http_scope("/api" if where == "mount" else "/"))
    assert caught.value is error


# Construction


async def test_a_string_names_an_application() -> None:
    router = PathRouter({"/api": "tests.routing.test_path:spied"}, default="tests.routing.test_path:spied")
    assert await call(router, http_scope("/api/x")) == [START, BODY]
    assert await call(router, http_scope("/x")) == [START, BODY]


async def spied(scope: Any, receive: Any, send: Any) -> None:
    await Spy()(scope, receive, send)


async def test_a_default_alone_is_enough() -> None:
    assert await call(PathRouter({}, default=Spy()), http_scope("/x")) == [START, BODY]


async def test_what_the_mapping_becomes_later_is_not_the_routers() -> None:
    spy = Spy()
    mounts: Any = {"/api": spy}
    router = PathRouter(mounts)
    mounts["/"] = mounts["/api"] = app
    assert await call(router, http_scope("/api")) == [START, BODY]
    assert (await call(router, http_scope("/x")))[0]["status"] == 404


REFUSED: dict[str, tuple[Any, str, str]] = {
    "nothing": (lambda: PathRouter({}), "mounts", "write PathRouter({'/api': app})"),
    "application": (lambda: PathRouter(app), "mounts", "write PathRouter({'/api': app})"),  # type: ignore
    "pairs": (lambda: PathRouter([("/api", app)]), "mounts", "write PathRouter({'/api': app})"),  # type: ignore
    "none": (lambda: PathRouter({"/api": None}), "mounts['/api']", "pass the ASGI application"),  # type: ignore
    "class": (lambda: PathRouter({"/api": Spy}), "mounts['/api']", "create an instance: Spy(...)"),  # type: ignore
    "no colon": (lambda: PathRouter({"/api": "api"}), "mounts['/api']", "write 'module:attribute'"),
    "no slash": (lambda: PathRouter({"api": app}), "mounts", "write '/api'"),
    "star": (lambda: PathRouter({"/api/*": app}), "mounts", "needs no '*'"),
    "twice": (lambda: PathRouter({"/api": app, "/api/": app}), "mounts", "keep one of them"),
    "root twice": (lambda: PathRouter({"": app, "/": app}), "mounts", "keep one of them"),
    "name twice": (lambda: PathRouter({"/{a}": app, "/{b}": app}), "mounts", "keep one of them"),
    "default": (lambda: PathRouter({"/api": app}, default=5), "default", "pass an ASGI application"),  # type: ignore
    "lifespan": (lambda: PathRouter({"/api": app}, lifespan=5), "lifespan", "or write 'lazy', False or nothing"),  # type: ignore
    "lifespan True": (lambda: PathRouter({"/api": app}, lifespan=True), "lifespan", "or write 'lazy'"),  # type: ignore
    "lifespan word": (lambda: PathRouter({"/api": app}, lifespan="auto"), "lifespan", "or write 'lazy'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_configuration_is_refused_with_what_to_write_instead(name: str) -> None:
    make, parameter, remedy = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        make()
    (problem,) = caught.value.problems
    assert problem.parameter == parameter
    assert remedy in problem.remedy
    assert caught.value.owner == "PathRouter"


def test_all_problems_are_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PathRouter({"api": app, "/a": 5, "/b": app, "/b/": app}, default=Spy, lifespan=5)  # type: ignore
    assert [problem.parameter for problem in caught.value.problems] == [
        *("mounts", "mounts", "mounts['/a']", "default", "lifespan")
    ]
    assert [(record.name, record.levelno) for record in caplog.records] == [("middleware", logging.ERROR)]


def test_listed_in_djangos_middleware_setting_it_says_where_it_belongs() -> None:
    def get_response(request: Any) -> Any: ...

    for router in (PathRouter, HostRouter):
        with pytest.raises(ConfigurationError, match=r"wrap `application` in asgi\.py, not in MIDDLEWARE"):
            router(get_response)  # type: ignore[arg-type]
