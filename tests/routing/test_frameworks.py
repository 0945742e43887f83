"""Real frameworks behind the routers: their URLs, their websockets, their lifespans, and what they tell layers outside.

Where Starlette's own ``Mount`` does it right, the routers are compared with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import mimetypes
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import litestar
import pytest
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path, reverse
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from middleware import HostRouter, PathRouter, ProtocolRouter
from tests.asgi import CONNECT, Client, Spy, call, http_scope, websocket_scope

from .test_lifespan import serving

SITE = "http://127.0.0.1:8000"
# Django and Channels run on asyncio only.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


async def get(app: Any, path: str, **changes: Any) -> tuple[int, str]:
    """The status and the body of the answer."""
    start, *body = await call(app, http_scope(path, **changes))
    return start["status"], b"".join(message["body"] for message in body).decode()


async def talk(app: Any, path: str) -> list[str]:
    """What a websocket is sent until it is closed; ``"closed"`` if it is not accepted."""
    first, *messages = await call(app, websocket_scope(path), CONNECT)
    return [message["text"] for message in messages if "text" in message] if "accept" in first["type"] else ["closed"]


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.url_for("hello", who="ann")))


async def tell(websocket: WebSocket) -> None:
    """Say at which URL the client is."""
    await websocket.accept()
    await websocket.send_text(str(websocket.url))
    await websocket.close()


def starlette() -> Any:
    return Starlette(
        routes=[
            Route("/hello/{who}", hello, name="hello"),
            WebSocketRoute("/", tell),
            WebSocketRoute("/ws", tell),
        ]
    )


def fastapi(**options: Any) -> Any:
    app = FastAPI(**options)

    @app.get("/hello/{who}", name="hello")
    async def own_url(who: str, request: Request) -> Any:
        return await hello(request)

    app.websocket("/")(tell)
    app.websocket("/ws")(tell)
    return app


@litestar.get("/hello/{who:str}", name="hello", media_type="text/plain")
async def litestar_hello(request: litestar.Request[Any, Any, Any]) -> str:
    return request.url_for("hello", who="ann")


@litestar.websocket(["/", "/ws"])
async def litestar_tell(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text(str(socket.url))
    await socket.close()


def litestar_app() -> Any:
    return litestar.Litestar([litestar_hello, litestar_tell], logging_config=None)


APPLICATIONS = {"starlette": starlette, "fastapi": fastapi, "litestar": litestar_app}
each_application = pytest.mark.parametrize("make", APPLICATIONS.values(), ids=APPLICATIONS.keys())


async def django_hello(request: HttpRequest, who: str) -> HttpResponse:
    """Tell the URL of this view, once as many requests have come as the test wants at a time."""
    await request.scope["state"]["all_here"].wait()  # type: ignore[attr-defined]
    return HttpResponse(reverse("hello", args=[who]))


class Urls:
    """A URLconf of Django."""

    urlpatterns = (
        path("hello/<who>", django_hello, name="hello"),
        path("state", lambda request: HttpResponse(told(request.scope["state"]))),
    )


@pytest.fixture
def django() -> Iterator[Any]:
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], DEBUG=False):
        yield get_asgi_application()


def in_starlette(router: Any) -> Any:
    return Starlette(routes=[Route("/hello/{who}", hello, name="hello"), Mount("/v1", router)])


def in_fastapi(router: Any) -> Any:
    app = fastapi()
    app.mount("/v1", router)
    return app


OUTSIDE = {
    "nothing": ("", lambda router: router),
    "starlette": ("/v1", in_starlette),
    "fastapi": ("/v1", in_fastapi),
    "two path routers": ("/v1/eu", lambda router: PathRouter({"/v1": PathRouter({"/eu": router})})),
    "protocol, host and path router": (
        "/v1",
        lambda router: ProtocolRouter(http=HostRouter({"127.0.0.1": PathRouter({"/v1": router})})),
    ),
}


@pytest.mark.parametrize(("root", "outside"), OUTSIDE.values(), ids=OUTSIDE.keys())
@each_application
async def test_applications_with_the_same_route_name_reverse_to_their_own_urls(
    make: Any, root: str, outside: Any
) -> None:
    prefixes = ("", "/a", "/b", "/b/c")
    app = outside(PathRouter({prefix: make() for prefix in prefixes}))
    for prefix in prefixes:
        assert await get(app, f"{root}{prefix}/hello/ann") == (200, f"{SITE}{root}{prefix}/hello/ann")


@on_asyncio
async def test_one_django_under_two_prefixes_keeps_them_apart_in_requests_at_the_same_time(django: Any) -> None:
    router = PathRouter({"/a": django, "/b": django})
    state = {"all_here": asyncio.Barrier(40)}
    paths = [f"/{'ab'[number % 2]}/hello/{number}" for number in range(40)]
    answers = await asyncio.gather(*(get(router, path, state=state) for path in paths))
    assert answers == [(200, path) for path in paths]


@each_application
async def test_a_longer_segment_never_reaches_the_application(make: Any) -> None:
    elsewhere = Spy()
    router = PathRouter({"/api": make()}, default=elsewhere)
    urls = ["/apix", "/apix/ws", "/apiws", "/apihello/ann", "/api-internal/hello/ann", "/API/hello/ann"]
    for url in urls:
        await get(router, url)
        await talk(router, url)
    assert [scope["path"] for scope, *_ in elsewhere.calls] == [url for url in urls for _ in range(2)]


@each_application
async def test_a_websocket_is_reached_at_the_prefix_and_below_it(make: Any) -> None:
    router = PathRouter({"/api/chat": make()})
    url = "ws://127.0.0.1:8000/api/chat"
    assert [await talk(router, f"/api/chat{path}") for path in ("", "/", "/ws", "/missing")] == [
        [f"{url}/"],
        [f"{url}/"],
        [f"{url}/ws"],
        ["closed"],
    ]


async def test_mounts_of_starlette_inside_a_mounted_application_have_all_prefixes_in_their_urls() -> None:
    async def both(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.url_for('hello', who='ann')} {request.url_for('in:hello', who='ann')}")

    inner = Mount("/in", starlette(), name="in")
    app = Starlette(routes=[Route("/", both), Route("/hello/{who}", hello, name="hello"), inner])
    router = PathRouter({"/out": PathRouter({"/api": app})})
    urls = f"{SITE}/out/api/hello/ann {SITE}/out/api/in/hello/ann"
    assert await get(router, "/out/api/") == (200, urls)
    assert (await get(router, "/out/api/in/hello/ann"))[0] == 200


@pytest.fixture
def static_files(tmp_path: Path) -> Any:
    folder = tmp_path / "static"
    (folder / "css").mkdir(parents=True)
    (folder / "css" / "site.css").write_text("style")
    (folder / "index.html").write_text("index")
    (tmp_path / "secret").write_text("secret")
    mimetypes.init()  # reads files, and Starlette would leave it to the first request
    # A file that is not there is an exception, which a Starlette application around it would answer.
    return ExceptionMiddleware(StaticFiles(directory=folder, html=True))


async def test_static_files_are_served_below_their_prefix_and_nothing_above_their_folder(static_files: Any) -> None:
    router = PathRouter({"/static": static_files, "/": Spy()})
    assert await get(router, "/static/css/site.css") == (200, "style")
    assert await get(router, "/static/") == (200, "index")
    for url in ("/static/missing", "/static/../secret", "/static//../../secret", "/static/static/css/site.css"):
        assert (await get(router, url))[0] == 404


async def test_the_documentation_page_of_a_mounted_fastapi_finds_its_schema() -> None:
    router = PathRouter({"/shop": PathRouter({"/api": fastapi()})})
    url = re.search(r"url: '(.*?)'", (await get(router, "/shop/api/docs"))[1])
    assert url and url[1] == "/shop/api/openapi.json"
    status, schema = await get(router, url[1])
    assert (status, json.loads(schema)["servers"]) == (200, [{"url": "/shop/api"}])


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize(
    ("given", "root_path", "path"),
    [("/api", "", "/api"), ("/outer/api", "/outer", "/outer/api"), ("/outer/api", "/outer", "/api")],
    ids=["no proxy", "keeping proxy", "stripping proxy"],
)
async def test_a_fastapi_that_is_told_its_whole_root_path_is_right(given: str, root_path: str, path: str) -> None:
    router = PathRouter({"/api": fastapi(root_path=given)})
    answer = await get(router, f"{path}/hello/ann", root_path=root_path)
    assert answer == (200, f"{SITE}{given}/hello/ann")


class Layer:
    """A layer outside in plain ASGI: notes what the application has added when it is done."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: dict[str, Any] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            self.note(scope)

    def note(self, scope: Any) -> None:
        self.seen = {key: scope.get(key) for key in ("route", "endpoint", "path_params", "session")}


class BaseLayer(Layer):
    """The same with Starlette's ``BaseHTTPMiddleware``, which is back before the application is done."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def dispatch(request: Request, call_next: Any) -> Any:
            response = await call_next(request)
            self.note(request.scope)
            return response

        await BaseHTTPMiddleware(self.app, dispatch)(scope, receive, send)


ROUTED = {
    "mounted": ("/api", "/api", lambda api: PathRouter({"/api": api})),
    "at the root": ("", "", lambda api: PathRouter({"/": api, "/other": Spy()})),
    "in routers": (
        "/v1/api",
        "/v1/api",
        lambda api: ProtocolRouter(http=HostRouter({"127.0.0.1": PathRouter({"/v1": PathRouter({"/api": api})})})),
    ),
    "named": ("/{tenant}", "/acme", lambda api: PathRouter({"/{tenant}": api})),
    "named further out": (
        "/{tenant}/api",
        "/acme/api",
        lambda api: PathRouter({"/{tenant}": PathRouter({"/api": api})}),
    ),
    "named twice": (
        "/{tenant}/{version}",
        "/acme/2",
        lambda api: PathRouter({"/{tenant}": PathRouter({"/{version}": api})}),
    ),
}


@pytest.mark.parametrize("outcome", ["answers", "raises"])
@pytest.mark.parametrize("layer", [Layer, BaseLayer])
@pytest.mark.parametrize(("prefix", "below", "routed"), ROUTED.values(), ids=ROUTED.keys())
async def test_layers_outside_see_what_the_application_adds_as_they_do_around_starlettes_mount(
    prefix: str, below: str, routed: Any, layer: type[Layer], outcome: str, request: pytest.FixtureRequest
) -> None:
    api = FastAPI()
    api.add_middleware(SessionMiddleware, secret_key="only for tests")

    @api.get("/items/{number}")
    async def item(number: int) -> int:
        if outcome == "raises":
            raise LookupError(number)
        return number

    seen = []
    for app in (Starlette(routes=[Mount(prefix, api)]), routed(api)):
        around = layer(app)
        with contextlib.suppress(LookupError):
            await call(around, http_scope(f"{below}/items/7"))
        seen.append(around.seen)
    around_mount, around_router = seen
    assert around_mount["endpoint"] is item
    assert around_mount["session"] is not None
    if "named " in request.node.callspec.id:  # a key that stood in the inner router's scope is not changed there
        assert around_router.pop("path_params") == {"tenant": "acme"}
        assert around_mount.pop("path_params").items() > {"tenant": "acme"}.items()
    assert around_router == around_mount


class Room(AsyncJsonWebsocketConsumer):
    """Tell the client what the URL said."""

    async def connect(self) -> None:
        await self.accept()
        await self.send_json(self.scope["url_route"]["kwargs"])

    async def receive_json(self, content: Any) -> None:
        await self.send_json({"room": self.scope["url_route"]["kwargs"]["room"], "said": content})
        await self.close()


ROOMS = {
    "path router": ("/ws/lobby", {"room": "lobby"}, lambda: PathRouter({"/ws/{room}": Room.as_asgi()})),
    "path routers": (
        "/acme/ws/lobby",
        {"tenant": "acme", "room": "lobby"},
        lambda: PathRouter({"/{tenant}": PathRouter({"/ws/{room}": Room.as_asgi()})}),
    ),
    "URLRouter of Channels inside": (
        "/ws/acme/rooms/lobby/",
        {"tenant": "acme", "room": "lobby"},
        lambda: PathRouter({"/ws/{tenant}": URLRouter([path("rooms/<room>/", Room.as_asgi())])}),
    ),
    "nested URLRouters of Channels inside": (
        "/ws/acme/lobby/",
        {"tenant": "acme", "room": "lobby"},
        lambda: PathRouter({"/ws": URLRouter([path("<tenant>/", URLRouter([path("<room>/", Room.as_asgi())]))])}),
    ),
}


@on_asyncio
@pytest.mark.usefixtures("django")  # consumers look for channel layers in the settings
@pytest.mark.parametrize(("url", "kwargs", "make"), ROOMS.values(), ids=ROOMS.keys())
async def test_consumers_of_channels_find_the_named_segments(url: str, kwargs: Any, make: Any) -> None:
    events = [
        CONNECT,
        {"type": "websocket.receive", "text": '"hi"'},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    client = Client(*events)
    with contextlib.suppress(StopConsumer):
        await ProtocolRouter(websocket=make())(websocket_scope(url), client.receive, client.send)
    accept, told, answer, close = client.sent
    assert (accept["type"], close["type"]) == ("websocket.accept", "websocket.close")
    assert json.loads(told["text"]) == kwargs
    assert json.loads(answer["text"]) == {"room": "lobby", "said": "hi"}


async def test_starlette_finds_the_named_segments_beside_its_own() -> None:
    async def params(request: Request) -> PlainTextResponse:
        return PlainTextResponse(json.dumps(request.path_params))

    inside = Starlette(routes=[Route("/items/{number:int}", params)])
    router = PathRouter({"/{tenant}": PathRouter({"/v/{version}": inside})})
    everything = {"tenant": "acme", "version": "2", "number": 7}
    status, body = await get(router, "/acme/v/2/items/7")
    assert (status, json.loads(body)) == (200, everything)
    status, body = await get(Starlette(routes=[Mount("/{region}", router)]), "/eu/acme/v/2/items/7")
    assert (status, json.loads(body)) == (200, {"region": "eu", **everything})


def told(state: Any) -> str:
    """What the server and the frameworks left in the state, without Litestar's own keys."""
    return json.dumps({key: state[key] for key in ("server", "db", "starlette", "fastapi") if key in state})


async def state(request: Request) -> PlainTextResponse:
    return PlainTextResponse(told(request.scope["state"]))


class Lived:
    """The frameworks' own applications with a lifespan: each notes its steps and tells the state that it finds."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @asynccontextmanager
    async def noted(self, name: str) -> AsyncIterator[None]:
        self.log.append(f"{name} started")
        yield
        self.log.append(f"{name} stopped")

    def left(self, name: str) -> Any:
        """A lifespan as Starlette and FastAPI take it."""

        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
            async with self.noted(name):
                yield {name: "open", "db": name}

        return lifespan

    def starlette(self) -> Any:
        return Starlette(routes=[Route("/state", state)], lifespan=self.left("starlette"))

    def fastapi(self) -> Any:
        app = FastAPI(lifespan=self.left("fastapi"))

        app.add_route("/state", state)

        @app.websocket("/state")
        async def websocket_state(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text(websocket.state.db)
            await websocket.close()

        return app

    def litestar(self) -> Any:
        @asynccontextmanager
        async def lifespan(app: litestar.Litestar) -> AsyncIterator[None]:
            async with self.noted("litestar"):
                app.state.db = "litestar"
                yield

        @litestar.get("/state", media_type="text/plain")
        async def litestar_state(request: litestar.Request[Any, Any, Any]) -> str:
            return told({**request.scope["state"], "db": request.app.state.db})

        return litestar.Litestar([litestar_state], lifespan=[lifespan], logging_config=None)


def by_path(apps: dict[str, Any]) -> Any:
    return PathRouter({f"/{name}": app for name, app in apps.items()})


def by_host(apps: dict[str, Any]) -> Any:
    return HostRouter({f"{name}.test": app for name, app in apps.items()})


def by_protocol(apps: dict[str, Any]) -> Any:
    return ProtocolRouter(http=by_path(apps), websocket=by_host(apps))


@pytest.mark.parametrize("router", [by_path, by_host, by_protocol])
async def test_lifespans_of_frameworks_run_in_declared_order_and_leave_each_its_own_state(
    router: Any, django: Any, anyio_backend_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    lived = Lived()
    apps = {"starlette": lived.starlette(), "django": django, "fastapi": lived.fastapi(), "litestar": lived.litestar()}
    found = {}
    with caplog.at_level(logging.WARNING, "middleware"):
        app = router(apps)
        async with serving(app):
            for name in apps:
                if name == "django" and anyio_backend_name == "trio":
                    continue
                path = "/state" if router is by_host else f"/{name}/state"
                status, body = await get(app, path, headers=[(b"host", f"{name}.test".encode())], state={"server": 1})
                assert status == 200
                found[name] = json.loads(body)
    assert found.pop("django", {"server": 1}) == {"server": 1}
    assert found == {
        "starlette": {"server": 1, "starlette": "open", "db": "starlette"},
        "fastapi": {"server": 1, "fastapi": "open", "db": "fastapi"},
        "litestar": {"server": 1, "db": "litestar"},
    }
    order = ["starlette", "fastapi", "litestar"]
    assert lived.log == [f"{name} started" for name in order] + [f"{name} stopped" for name in reversed(order)]
    assert [record.getMessage() for record in caplog.records if record.name == "middleware"] == []


async def test_an_application_mounted_twice_once_behind_a_middleware_is_started_once_and_found_from_both() -> None:
    lived = Lived()
    api = lived.fastapi()
    router = ProtocolRouter(
        http=PathRouter({"/api": api}),
        websocket=PathRouter({"/api": SessionMiddleware(api, secret_key="only for tests")}),
    )
    async with serving(router):
        assert json.loads((await get(router, "/api/state"))[1])["db"] == "fastapi"
        assert await talk(router, "/api/state") == ["fastapi"]
    assert lived.log == ["fastapi started", "fastapi stopped"]
