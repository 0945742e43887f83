"""CORS in real frameworks, in each way in which their users put it there, and around them with ``outermost``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import litestar
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.test import override_settings
from django.urls import path as django_path
from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import PlainTextResponse
from litestar.config.cors import CORSConfig
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware as StarlettesCORSMiddleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient

from middleware import ConfigurationError, CORSMiddleware, Middleware, PathRouter, outermost
from tests.asgi import CONNECT, REQUEST, Client, Spy, call, http_scope, websocket_scope

SITE = "https://api.example.com"
APP = "https://app.example.com"
PARTNER = "https://partner.example.com"
BOTH = "https://both.example.com"
STRANGER = "https://evil.example"
POLICY: dict[str, Any] = {"allow_origins": [APP], "allow_methods": ["PUT"], "allow_headers": ["X-Token"]}
# Django runs on asyncio only.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])

Answer = tuple[int, dict[str, str]]


def request(origin: str, path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    given = {"host": "api.example.com", "origin": origin, **headers}
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return http_scope(path, method=method, headers=encoded, scheme="https")


async def ask(app: Any, origin: str, path: str = "/hello", method: str = "GET", **headers: str) -> Answer:
    """The status of the answer and those of its headers that CORS is about, by name in lower case."""
    start, *_ = await call(app, request(origin, path, method, **headers))
    return start["status"], about_cors(start)


def about_cors(start: Any) -> dict[str, str]:
    headers = [(name.lower().decode(), value.decode()) for name, value in start["headers"]]
    found = [(name, value) for name, value in headers if name == "vary" or name.startswith("access-control-")]
    assert len(found) == len({name for name, _ in found}), "a header is there twice"
    return dict(found)


async def preflight(
    app: Any, origin: str, path: str = "/hello", method: str = "PUT", headers: str = "x-token"
) -> Answer:
    asked = {"access_control_request_method": method, "access_control_request_headers": headers}
    return await ask(app, origin, path, "OPTIONS", **asked)


async def connects(app: Any, origin: str, path: str = "/ws") -> bool:
    headers = [(b"host", b"api.example.com"), (b"origin", origin.encode())]
    first, *_ = await call(app, websocket_scope(path, headers=headers), CONNECT)
    return bool(first["type"] == "websocket.accept")


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello", headers={"Vary": "Cookie"})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def starlette(**options: Any) -> Starlette:
    return Starlette(routes=[Route("/hello", hello), WebSocketRoute("/ws", socket)], **options)


def fastapi(**options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.add_api_route("/hello", hello, response_model=None)
    app.add_api_websocket_route("/ws", socket)
    return app


def fastapi_with_a_layer() -> FastAPI:
    app = fastapi()
    app.add_middleware(CORSMiddleware, **POLICY)
    return app


@litestar.get("/hello", media_type="text/plain", response_headers={"Vary": "Cookie"})
async def litestar_hello() -> str:
    return "hello"


@litestar.websocket("/ws")
async def litestar_socket(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.close()


def litestar_app(**options: Any) -> litestar.Litestar:
    return litestar.Litestar([litestar_hello, litestar_socket], logging_config=None, **options)


class OurCORS(CORSMiddleware):
    """What Litestar takes as it is: a class that needs nothing but the application."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, **POLICY)


USES = {
    "Starlette, Middleware": lambda: starlette(middleware=[Middleware(CORSMiddleware, **POLICY)]),
    "Starlette, around it": lambda: CORSMiddleware(starlette(), **POLICY),
    "Starlette, around its route": lambda: Starlette(
        routes=[
            Route("/hello", hello, methods=["GET", "OPTIONS"], middleware=[Middleware(CORSMiddleware, **POLICY)]),
            WebSocketRoute("/ws", socket, middleware=[Middleware(OurCORS)]),
        ]
    ),
    "FastAPI, add_middleware": fastapi_with_a_layer,
    "FastAPI, middleware=": lambda: fastapi(middleware=[Middleware(CORSMiddleware, **POLICY)]),
    "FastAPI, outermost": lambda: outermost(fastapi(), Middleware(CORSMiddleware, **POLICY)),
    "Litestar, DefineMiddleware": lambda: litestar_app(middleware=[DefineMiddleware(CORSMiddleware, **POLICY)]),
    "Litestar, class": lambda: litestar_app(middleware=[OurCORS]),
    "Litestar, around it": lambda: CORSMiddleware(litestar_app(), **POLICY),
}
MOUNTS: dict[str, tuple[str, Any]] = {
    "alone": ("", lambda app: app),
    "PathRouter": ("/api", lambda app: PathRouter({"/api": app})),
    "Mount": ("/api", lambda app: Starlette(routes=[Mount("/api", app)])),
}
each_use = pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
each_mount = pytest.mark.parametrize(("prefix", "mount"), MOUNTS.values(), ids=MOUNTS.keys())


@each_mount
@each_use
async def test_a_page_of_a_listed_site_may_read_the_answer_and_no_other(use: Any, prefix: str, mount: Any) -> None:
    app = mount(use())
    told = {"vary": "Cookie, Origin"}
    assert await ask(app, APP, f"{prefix}/hello") == (200, {"access-control-allow-origin": APP, **told})
    assert await ask(app, STRANGER, f"{prefix}/hello") == (200, told)


@each_mount
@each_use
async def test_a_preflight_is_answered_for_the_application(use: Any, prefix: str, mount: Any) -> None:
    app = mount(use())
    status, headers = await preflight(app, APP, f"{prefix}/hello")
    assert (status, headers["access-control-allow-origin"]) == (200, APP)
    assert headers["access-control-allow-methods"] == "PUT"
    assert "X-Token" in headers["access-control-allow-headers"]
    status, headers = await preflight(app, STRANGER, f"{prefix}/hello")
    assert (status, headers.keys()) == (400, {"vary"})


@each_mount
@each_use
async def test_a_websocket_is_opened_to_a_listed_site_and_the_site_itself(use: Any, prefix: str, mount: Any) -> None:
    app = mount(use())
    assert [await connects(app, origin, f"{prefix}/ws") for origin in (APP, SITE, STRANGER)] == [True, True, False]


@pytest.mark.parametrize("name", [name for name in USES if "Litestar" not in name and "route" not in name])
async def test_what_is_not_found_or_refused_by_the_framework_is_readable_too(name: str) -> None:
    app = USES[name]()
    for method, path, status in (("GET", "/missing", 404), ("DELETE", "/hello", 405)):
        assert await ask(app, APP, path, method) == (status, {"vary": "Origin", "access-control-allow-origin": APP})


async def test_litestar_calls_its_layers_for_routes_only_and_what_stands_around_it_is_always_called() -> None:
    inside, around = USES["Litestar, DefineMiddleware"](), USES["Litestar, around it"]()
    assert await ask(inside, APP, "/missing") == (404, {})
    assert await ask(around, APP, "/missing") == (404, {"vary": "Origin", "access-control-allow-origin": APP})


async def test_an_exception_that_fastapi_answers_is_readable_wherever_the_layer_stands() -> None:
    for app in (fastapi_with_a_layer(), USES["FastAPI, outermost"]()):

        @app.get("/teapot")
        async def teapot() -> None:
            raise HTTPException(418)

        @app.get("/number")
        async def number(n: int) -> int:
            return n

        assert await ask(app, APP, "/teapot") == (418, {"vary": "Origin", "access-control-allow-origin": APP})
        assert await ask(app, APP, "/number") == (422, {"vary": "Origin", "access-control-allow-origin": APP})


OWN_CORS = {
    "FastAPI": lambda: fastapi(middleware=[Middleware(StarlettesCORSMiddleware, allow_origins=[PARTNER, BOTH])]),
    "Litestar": lambda: litestar_app(cors_config=CORSConfig(allow_origins=[PARTNER, BOTH])),
}


@pytest.mark.parametrize("make", OWN_CORS.values(), ids=OWN_CORS.keys())
async def test_what_the_frameworks_own_cors_grants_is_left_as_it_is_without_credentials(make: Any) -> None:
    app = CORSMiddleware(make(), allow_origins=[APP, BOTH], allow_credentials=True, expose_headers=["X-Total"])
    more = {"access-control-allow-credentials", "access-control-expose-headers"}
    for origin, added in ((PARTNER, set()), (BOTH, set()), (APP, more)):
        status, headers = await ask(app, origin)
        assert (status, headers["access-control-allow-origin"]) == (200, origin)
        assert headers.keys() & more == added


async def test_two_instances_with_different_paths_are_two_policies() -> None:
    app = CORSMiddleware(PathRouter({"/public": fastapi(), "/": starlette()}), **POLICY, paths=["/hello", "/ws"])
    app = CORSMiddleware(app, allow_origins=["*"], paths=["/public"])
    for mounted, prefix in ((app, ""), (Starlette(routes=[Mount("/v1", app)]), "/v1")):
        _, headers = await ask(mounted, STRANGER, f"{prefix}/public/hello")
        assert headers == {"vary": "Cookie", "access-control-allow-origin": "*"}
        assert (await ask(mounted, STRANGER, f"{prefix}/hello"))[1] == {"vary": "Cookie, Origin"}
        assert (await ask(mounted, APP, f"{prefix}/hello"))[1]["access-control-allow-origin"] == APP
        assert (await preflight(mounted, APP, f"{prefix}/hello"))[0] == 200
        assert (await preflight(mounted, STRANGER, f"{prefix}/hello"))[0] == 400
        assert (await preflight(mounted, STRANGER, f"{prefix}/public/hello", "GET", ""))[0] == 200


def django_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_token(request), headers={"Vary": "Accept-Language"})


def django_form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.POST["text"])


class Urls:
    """A URLconf of Django."""

    urlpatterns = (django_path("hello", django_page), django_path("form", django_form))


@pytest.fixture
def django() -> Iterator[Any]:
    """Django as those have set it up who have pages on another site: the site is named in both policies."""
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    middleware = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
    with override_settings(
        ROOT_URLCONF=Urls,
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=middleware,
        DEBUG=False,
        CSRF_TRUSTED_ORIGINS=[APP],
    ):
        origins = settings.CSRF_TRUSTED_ORIGINS
        headers = ["content-type", "x-csrftoken"]
        yield CORSMiddleware(
            get_asgi_application(), allow_origins=origins, allow_headers=headers, allow_credentials=True
        )


TOKEN = "x" * 32
GRANTED = {"access-control-allow-origin": APP, "access-control-allow-credentials": "true"}


@on_asyncio
async def test_what_django_varies_by_is_kept_in_one_header(django: Any) -> None:
    vary = {"vary": "Accept-Language, Cookie, Origin"}
    assert await ask(django, APP) == (200, {**GRANTED, **vary})
    assert await ask(django, STRANGER) == (200, vary)


@on_asyncio
@pytest.mark.parametrize(
    ("origin", "sent", "status", "granted"),
    [
        pytest.param(APP, TOKEN, 200, GRANTED, id="listed"),
        pytest.param(APP, "", 403, GRANTED, id="listed, without the token"),  # the page may read why
        pytest.param(STRANGER, TOKEN, 403, {}, id="stranger"),
    ],
)
async def test_a_form_with_djangos_token_is_taken_from_a_page_of_the_listed_site(
    django: Any, origin: str, sent: str, status: int, granted: dict[str, str]
) -> None:
    allowed, _ = await preflight(django, origin, "/form", "POST", "content-type,x-csrftoken")
    assert allowed == (200 if granted else 400)
    form = {"cookie": f"csrftoken={TOKEN}", "content_type": "application/x-www-form-urlencoded", "x_csrftoken": sent}
    body = {"type": "http.request", "body": b"text=hello"}
    start, *_ = await call(django, request(origin, "/form", "POST", **form), body)
    headers = about_cors(start)
    assert "Origin" in headers.pop("vary")
    assert (start["status"], headers) == (status, granted)


def broken(request: Request) -> None:
    raise RuntimeError("broken")


def own_page(request: Request, error: Exception) -> PlainTextResponse:
    return PlainTextResponse("We are sorry", 500)


PAGES: dict[str, dict[str, Any]] = {
    "the framework's page": {},
    "the traceback": {"debug": True},
    "a handler for Exception": {"exception_handlers": {Exception: own_page}},
    "a handler for 500": {"exception_handlers": {500: own_page}},
}


@pytest.mark.parametrize("options", PAGES.values(), ids=PAGES.keys())
@pytest.mark.parametrize("make", [starlette, fastapi])
async def test_the_page_of_an_unhandled_exception_is_readable_with_outermost_and_not_with_add_middleware(
    make: Any, options: dict[str, Any]
) -> None:
    inside, outside = make(**options), make(**options)
    inside.add_middleware(CORSMiddleware, **POLICY)
    assert outermost(outside, Middleware(CORSMiddleware, **POLICY)) is outside
    for app, headers in (
        (inside, {}),
        (outside, {"vary": "Origin", "access-control-allow-origin": APP}),
    ):
        app.add_route("/broken", broken)
        client = Client(REQUEST)
        with pytest.raises(RuntimeError, match="broken"):  # the server has to log it
            await app(request(APP, "/broken"), client.receive, client.send)
        start, body = client.sent
        assert (start["status"], about_cors(start)) == (500, headers)
        assert (b"sorry" in body["body"]) == ("exception_handlers" in options)


class Named:
    """A layer that writes its name when a request passes."""

    def __init__(self, app: Any, name: str, log: list[str]) -> None:
        self.app, self.name, self.log = app, name, log

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.log.append(f"{self.name} {scope['type']}")
        await self.app(scope, receive, send)


async def test_the_first_layer_is_outermost_the_last_call_too_and_add_middleware_stays_inside() -> None:
    log: list[str] = []
    app = fastapi(middleware=[Middleware(Named, "given", log)])
    outermost(app, Middleware(Named, "second", log), Middleware(Named, "third", log))
    outermost(app, Middleware(Named, "first", log))
    app.add_middleware(Named, "added", log)
    app.add_api_route("/late", hello, response_model=None)
    assert (await ask(app, APP, "/late"))[0] == 200
    assert log == [f"{name} http" for name in ("first", "second", "third", "added", "given")]


@pytest.mark.parametrize("make", [starlette, fastapi])
def test_an_application_with_layers_around_it_starts_and_stops_as_often_as_it_is_told(make: Any) -> None:
    log: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        log.append("started")
        yield {"database": "open"}
        log.append("stopped")

    async def state(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.database)

    app = outermost(make(lifespan=lifespan), Middleware(CORSMiddleware, **POLICY), Middleware(Named, "layer", log))
    app.add_route("/state", state)
    for _ in range(2):
        with TestClient(app, headers={"Origin": APP}) as client:
            response = client.get("/state")
            assert (response.text, response.headers["access-control-allow-origin"]) == ("open", APP)
            with client.websocket_connect("/ws"):
                pass
    assert log == ["layer lifespan", "started", "layer http", "layer websocket", "stopped"] * 2


def test_what_finds_a_fastapi_application_finds_it_with_its_layers_and_its_schema() -> None:
    app = outermost(fastapi(title="Shop"), Middleware(CORSMiddleware, **POLICY))
    assert type(app) is FastAPI
    schema = TestClient(app).get("/openapi.json", headers={"Origin": APP})
    assert (schema.json()["info"]["title"], schema.headers["access-control-allow-origin"]) == ("Shop", APP)


def started() -> FastAPI:
    app = fastapi()
    TestClient(app).get("/hello")
    return app


LAYER = Middleware(CORSMiddleware, **POLICY)
WRONG: dict[str, tuple[Any, Any, str]] = {
    "function": (Spy, LAYER, r"app=<Spy object> is not .* of Starlette or FastAPI; write stack\(app, \.\.\.\)"),
    "litestar": (litestar_app, LAYER, "is not an application of Starlette or FastAPI"),
    "wrapped": (lambda: CORSMiddleware(fastapi(), **POLICY), LAYER, "is not an application of Starlette or FastAPI"),
    "started": (started, LAYER, r"app=<FastAPI object> has been started; call outermost\(app, \.\.\.\) where"),
    "bare class": (fastapi, CORSMiddleware, r"is a bare class; write Middleware\(CORSMiddleware\)"),
    "policy": (fastapi, Middleware(CORSMiddleware), "allow_origins=None is not given"),
}


@pytest.mark.parametrize(("make", "layer", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_use_of_outermost_is_refused_where_it_is_written(make: Any, layer: Any, message: str) -> None:
    app = make()
    with pytest.raises(ConfigurationError, match=message):
        outermost(app, layer)


async def test_an_application_whose_layers_were_refused_is_as_it_was() -> None:
    app = fastapi()
    with pytest.raises(ConfigurationError):
        outermost(app, LAYER, Middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True))
    assert await ask(app, APP) == (200, {"vary": "Cookie"})
