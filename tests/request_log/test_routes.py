"""The route's template as a log around frameworks sees it, with this package's layers in between; never the path."""

from __future__ import annotations

import mimetypes
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import django
import litestar
import pytest
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.core.asgi import get_asgi_application
from django.core.signals import request_started
from django.http import Http404, HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import LocalePrefixPattern, URLResolver, include, re_path
from django.urls import path as django_path
from django.utils.translation import gettext_lazy
from fastapi import APIRouter, FastAPI
from fastapi import WebSocket as FastAPIWebSocket
from litestar.handlers import asgi
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from middleware import HostRouter, PathRouter, SessionMiddleware
from middleware._asgi import TRAIL
from middleware.request_log.routes import DJANGO, django_routes, route_of
from tests.asgi import BODY, CONNECT, REQUEST, START, call, http_scope, websocket_scope

pytestmark = pytest.mark.anyio

Answer = tuple[int, str | None]


async def ask(app: Any, path: str, *, root: str = "", method: str = "GET", websocket: bool = False) -> Answer:
    """The status of the answer, 101 for an accepted websocket, and the route."""
    make = websocket_scope if websocket else http_scope
    scope = make(root + path, root_path=root, **({} if websocket else {"method": method}))
    scope[TRAIL] = trail = [scope]
    try:
        sent = await call(app, scope, CONNECT if websocket else REQUEST)
        statuses = {"websocket.accept": 101, "websocket.close": 403}
        return sent[0].get("status") or statuses[sent[0]["type"]], route_of(trail[0])
    finally:
        trail.clear()


# Applications: the same routes in each framework


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


mimetypes.init()  # of the first file that is served: it reads files itself

starlette_app = Starlette(
    routes=[
        Route("/", page),
        Route("/items/{id:int}", page, methods=["GET"]),
        Route("/files/{path:path}", page),
        WebSocketRoute("/chat/{room}", socket),
        Mount("/shops/{shop}", routes=[Route("/v/{id}", page), WebSocketRoute("/chat/{room}", socket)]),
        Mount("/numbered/{number:int}", routes=[Route("/v", page)]),
        Mount("/known/{key:uuid}", routes=[Route("/v", page)]),
        Mount("/any/{rest:path}/end", routes=[Route("/v", page)]),
        Mount("/of/{shop}", routes=[Mount("/in/{city}", routes=[Route("/v/{id}", page)])]),
        Mount("/static", StaticFiles(directory=Path(__file__).parent)),
    ]
)

things = APIRouter()


@things.get("/things/{number}")
async def thing(number: int) -> int:
    return number


@things.websocket("/chat/{room}")
async def chat(websocket: FastAPIWebSocket) -> None:
    await websocket.accept()
    await websocket.close()


things.add_route("/plain/{id}", page)

included = APIRouter(prefix="/of/{org}")
included.include_router(things, prefix="/api")
included.mount("/mounted/{branch}", starlette_app)
included.mount("/static", StaticFiles(directory=Path(__file__).parent))

inner_fastapi = FastAPI()
inner_fastapi.get("/items/{number}")(thing)
inner_fastapi.include_router(things, prefix="/more")

fastapi_app = FastAPI()
fastapi_app.get("/items/{number}")(thing)
fastapi_app.include_router(included, prefix="/v1")
fastapi_app.mount("/sub/{name}", starlette_app)
fastapi_app.mount("/inner/{name}", inner_fastapi)
fastapi_app.mount("/static", StaticFiles(directory=Path(__file__).parent))


@litestar.get(["/", "/items/{id:int}", "/of/{org:str}/items/{id:int}"])
async def litestar_page() -> str:
    return "page"


@litestar.websocket("/chat/{room:str}")
async def litestar_socket(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.close()


async def opaque(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


litestar_app = litestar.Litestar(
    [
        litestar_page,
        litestar_socket,
        asgi("/mounted", is_mount=True, copy_scope=False)(starlette_app),
        asgi("/opaque", is_mount=True, copy_scope=True)(opaque),
    ],
    logging_config=None,
)

APPS = {"starlette": starlette_app, "fastapi": fastapi_app, "litestar": litestar_app}

# What is asked for, the status, the route

ROUTES: dict[str, dict[str, Answer]] = {
    "starlette": {
        "/": (200, "/"),
        "/items/7": (200, "/items/{id}"),
        "/files/a/b/c": (200, "/files/{path}"),
        "/shops/acme/v/9": (200, "/shops/{shop}/v/{id}"),
        "/shops/9/v/9": (200, "/shops/{shop}/v/{id}"),
        "/shops/shops/v/9": (200, None),
        "/shops/acme/nope": (404, "/shops/{shop}/{path}"),
        "/numbered/7/v": (200, "/numbered/{number}/v"),
        "/numbered/007/v": (200, "/numbered/{number}/v"),
        "/known/0F1E2D3C-0000-4000-8000-00000000000A/v": (200, "/known/{key}/v"),
        "/any/a/b/end/v": (200, None),
        "/any/a/end/v": (200, "/any/{rest}/end/v"),
        "/of/acme/in/rome/v/9": (200, "/of/{shop}/in/{city}/v/{id}"),
        "/of/rome/in/rome/v/9": (200, None),
        "/static/test_routes.py": (200, "/static/{path}"),
        "/static/nope": (404, "/static/{path}"),
        "/items/7/": (307, None),
        "/nope": (404, None),
    },
    "fastapi": {
        "/items/7": (200, "/items/{number}"),
        "/items/x": (422, "/items/{number}"),
        "/v1/of/acme/api/things/3": (200, "/v1/of/{org}/api/things/{number}"),
        "/v1/of/acme/api/things/x": (422, "/v1/of/{org}/api/things/{number}"),
        "/v1/of/acme/api/plain/x": (200, "/v1/of/{org}/api/plain/{id}"),
        "/v1/mounted/a/shops/b/v/9": (200, "/v1/mounted/{branch}/shops/{shop}/v/{id}"),
        "/v1/static/test_routes.py": (200, "/v1/static/{path}"),
        "/v1/of/acme/api/nope": (404, None),
        "/sub/acme/items/7": (200, "/sub/{name}/items/{id}"),
        "/sub/a/shops/b/v/9": (200, "/sub/{name}/shops/{shop}/v/{id}"),
        "/inner/acme/items/7": (200, "/inner/{name}/items/{number}"),
        "/inner/acme/more/things/7": (200, "/inner/{name}/more/things/{number}"),
        "/inner/acme/docs": (200, "/inner/{name}/{path}"),
        "/static/test_routes.py": (200, "/static/{path}"),
        "/docs": (200, None),
        "/nope": (404, None),
    },
    "litestar": {
        "/": (200, "/"),
        "/items/7": (200, "/items/{id}"),
        "/of/acme/items/7": (200, "/of/{org}/items/{id}"),
        "/mounted/files/a": (200, None),
        "/opaque/a": (200, None),
        "/nope": (404, None),
        "/items/x": (404, None),
    },
}
CASES = [(app, path) for app, paths in ROUTES.items() for path in paths]


@pytest.mark.parametrize(("app", "path"), CASES)
async def test_the_route_is_the_template(app: str, path: str) -> None:
    assert await ask(APPS[app], path) == ROUTES[app][path]


@pytest.mark.parametrize(
    ("app", "path", "method", "answer"),
    [
        ("starlette", "/items/7", "DELETE", (405, "/items/{id}")),
        ("starlette", "/items/7", "HEAD", (200, "/items/{id}")),
        ("fastapi", "/items/7", "DELETE", (405, "/items/{number}")),
        ("fastapi", "/v1/of/acme/api/things/3", "DELETE", (405, "/v1/of/{org}/api/things/{number}")),
        ("litestar", "/items/7", "DELETE", (405, None)),
    ],
)
async def test_a_method_that_is_not_allowed_has_the_route_that_the_framework_names(
    app: str, path: str, method: str, answer: Answer
) -> None:
    assert await ask(APPS[app], path, method=method) == answer


@pytest.mark.parametrize(
    ("app", "path", "answer"),
    [
        ("starlette", "/chat/lobby", (101, "/chat/{room}")),
        ("starlette", "/shops/acme/chat/lobby", (101, "/shops/{shop}/chat/{room}")),
        ("starlette", "/nope", (403, None)),
        ("fastapi", "/v1/of/acme/api/chat/lobby", (101, "/v1/of/{org}/api/chat/{room}")),
        ("fastapi", "/inner/acme/more/chat/lobby", (101, "/inner/{name}/more/chat/{room}")),
        ("litestar", "/chat/lobby", (101, "/chat/{room}")),
    ],
)
async def test_a_websocket_has_a_route_too(app: str, path: str, answer: Answer) -> None:
    assert await ask(APPS[app], path, websocket=True) == answer


# Layers and roots in between

KNOWN = [(app, path) for app, path in CASES if ROUTES[app][path][1] not in (None, "/static/{path}")]


@pytest.mark.parametrize(("app", "path"), KNOWN)
async def test_the_route_begins_with_the_root_path(app: str, path: str) -> None:
    status, route = ROUTES[app][path]
    assert await ask(APPS[app], path, root="/base/api") == (status, f"/base/api{route}")


@pytest.mark.parametrize(("app", "path"), KNOWN)
async def test_the_name_in_a_prefix_of_a_path_router_is_part_of_the_route(app: str, path: str) -> None:
    status, route = ROUTES[app][path]
    router = PathRouter({"/t/{tenant}": APPS[app]}, lifespan=False)
    assert await ask(router, f"/t/its-own{path}", root="/base") == (status, f"/base/t/{{tenant}}{route}")


@pytest.mark.parametrize("app", ["starlette", "litestar"])
async def test_a_path_router_and_a_route_may_use_one_name(app: str) -> None:
    router = PathRouter({"/t/{id}": APPS[app]}, lifespan=False)
    assert await ask(router, "/t/acme/items/7") == (200, "/t/{id}/items/{id}")


async def test_a_path_router_and_a_mount_may_use_one_name() -> None:
    router = PathRouter({"/t/{shop}": starlette_app}, lifespan=False)
    assert await ask(router, "/t/acme/shops/other/v/9") == (200, "/t/{shop}/shops/{shop}/v/{id}")


@pytest.mark.parametrize(("app", "path"), CASES)
async def test_other_layers_change_nothing(app: str, path: str) -> None:
    async def dispatch(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    session = SessionMiddleware(APPS[app], secret_key="x" * 32)
    assert await ask(HostRouter({"127.0.0.1": session}, lifespan=False), path) == ROUTES[app][path]
    assert await ask(BaseHTTPMiddleware(session, dispatch), path) == ROUTES[app][path]


async def test_a_path_router_in_a_mount_is_below_the_mount() -> None:
    router = PathRouter({"/t/{tenant}": starlette_app}, lifespan=False)
    app = Starlette(routes=[Mount("/in/{city}", router)])
    assert await ask(app, "/in/rome/t/acme/shops/a/v/9") == (200, "/in/{city}/t/{tenant}/shops/{shop}/v/{id}")


async def test_the_name_in_a_starlette_host_is_no_part_of_the_path() -> None:
    app = Starlette(routes=[Host("{number}.0.0.1:8000", app=starlette_app), Host("{number}.0.0.1", app=starlette_app)])
    assert await ask(app, "/items/7") == (200, "/items/{id}")
    assert await ask(app, "/items/7", root="/base") == (200, None)


async def test_litestar_forgets_the_names_of_a_starlette_mount() -> None:
    app = Starlette(routes=[Mount("/in/{city}", litestar_app)])
    assert await ask(app, "/in/rome/items/7") == (200, None)


# Scopes as others leave them


def mounted(root: str, **params: Any) -> dict[str, Any]:
    route = SimpleNamespace(path_format="/v/{id}")
    return {"root_path": root, "path": f"{root}/v/7", "path_params": {**params, "id": "7"}, "route": route}


UUID_A = UUID("0f1e2d3c-0000-4000-8000-00000000000a")

SCOPES: dict[str, tuple[dict[str, Any], str | None]] = {
    "nothing": ({}, None),
    "a path alone": ({"path": "/a", "root_path": ""}, None),
    "FastAPI before 0.137": ({"route": SimpleNamespace(path="/v1/{a:int}", path_format="/v1/{a}")}, "/v1/{a}"),
    "a route with a path alone": ({"route": SimpleNamespace(path="/v1/{a:int}")}, "/v1/{a:int}"),
    "Starlette before 1.0": ({"endpoint": page, "path": "/a", "path_params": {}}, None),
    "Starlette before 1.0 in a mount": ({"root_path": "/a", "app_root_path": ""}, "/a/{path}"),
    "a route that is none": ({"route": object(), "fastapi": None}, None),
    "a route without a text": ({"route": SimpleNamespace(path=b"/a", path_format="")}, None),
    "Litestar's root of mounts": ({"path_template": ""}, None),
    "None for a root": ({"route": SimpleNamespace(path="/a"), "root_path": None, "path_params": None}, "/a"),
    "a slash at the root's end": (mounted("/a/"), "/a/v/{id}"),
    "a slash for a root": (mounted("/"), "/v/{id}"),
    "one place": (mounted("/m/acme", tenant="acme"), "/m/{tenant}/v/{id}"),
    "no place": (mounted("/m/acme", tenant="other"), None),
    "two places": (mounted("/acme/acme", tenant="acme"), None),
    "two names for one place": (mounted("/m/acme", a="acme", b="acme"), None),
    "a name for two segments": (mounted("/m/a/b", rest="a/b"), None),
    "a name for none": (mounted("/m", rest=""), None),
    "a part of a segment": (mounted("/m/v1-acme", tenant="acme"), None),
    "a number": (mounted("/m/007", n=7), "/m/{n}/v/{id}"),
    "a number that could be two": (mounted("/7/007", n=7), None),
    "a number with a fraction": (mounted("/m/1.50", n=1.5), "/m/{n}/v/{id}"),
    "a uuid": (mounted(f"/m/{str(UUID_A).upper()}", key=UUID_A), "/m/{key}/v/{id}"),
    "another type": (mounted("/m/True", flag=True), None),
    "braces in the path": (mounted("/m/{x}", tenant="{x}"), "/m/{tenant}/v/{id}"),
    "a typed name that stands below": (
        {**mounted("/m/7"), "route": SimpleNamespace(path="/v/{id:int}")},
        "/m/7/v/{id:int}",
    ),
}


@pytest.mark.parametrize("name", SCOPES)
def test_a_scope_has_a_route_or_none(name: str) -> None:
    scope, route = SCOPES[name]
    before = {**scope}
    assert route_of(scope) == route
    assert scope == before


# Django


def django_view(request: HttpRequest, **_: Any) -> HttpResponse:
    return HttpResponse("page")


async def django_async_view(request: HttpRequest, **_: Any) -> HttpResponse:
    return HttpResponse("page")


def django_not_found(request: HttpRequest, **_: Any) -> HttpResponse:
    raise Http404


def django_failing(request: HttpRequest, **_: Any) -> HttpResponse:
    raise RuntimeError("on purpose")


class Plain:
    urlpatterns = (
        django_path("", django_view),
        django_path("items/<int:id>/", django_view),
        django_path("async/<slug:name>/", django_async_view),
        django_path("gone/<int:id>/", django_not_found),
        django_path("failing/", django_failing),
        django_path("shop/<slug:shop>/", include([django_path("v/<uuid:id>", django_view)])),
        re_path(r"^old/(?P<year>[0-9]{4})/$", django_view),
        re_path(r"^in/", include([re_path(r"^(?P<id>\d+)$", django_view)])),
    )


class Languages:
    urlpatterns = (
        Plain.urlpatterns[1],
        # What i18n_patterns() makes, which needs the settings.
        URLResolver(LocalePrefixPattern(prefix_default_language=False), [django_path("pages/<int:id>/", django_view)]),
    )


@pytest.fixture(scope="module")
def project() -> Iterator[None]:
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    django.setup()
    with override_settings(ALLOWED_HOSTS=["*"], ROOT_URLCONF=Plain, MIDDLEWARE=[], LANGUAGE_CODE="en"):
        yield


@pytest.fixture
def marked(project: None) -> Iterator[None]:
    django_routes()
    yield
    request_started.disconnect(dispatch_uid=DJANGO)


on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])

DJANGO_ROUTES: dict[str, Answer] = {
    "/": (200, "/"),
    "/items/7/": (200, "/items/<int:id>/"),
    "/async/a/": (200, "/async/<slug:name>/"),
    "/gone/7/": (404, "/gone/<int:id>/"),
    "/failing/": (500, "/failing/"),
    "/shop/acme/v/0f1e2d3c-0000-4000-8000-00000000000a": (200, "/shop/<slug:shop>/v/<uuid:id>"),
    "/old/1999/": (200, "/old/(?P<year>[0-9]{4})/$"),
    "/in/7": (200, r"/in/(?P<id>\d+)$"),
    "/nope": (404, None),
    "/items/x/": (404, None),
}


@on_asyncio
@pytest.mark.parametrize("path", DJANGO_ROUTES)
@pytest.mark.usefixtures("marked")
async def test_django_s_route_is_the_one_of_its_urlconf(path: str) -> None:
    status, route = DJANGO_ROUTES[path]
    app = get_asgi_application()
    assert await ask(app, path) == (status, route)
    below = None if route is None else f"/base/t/{{tenant}}{route}"
    router = PathRouter({"/t/{tenant}": SessionMiddleware(app, secret_key="x" * 32)}, lifespan=False)
    assert await ask(router, f"/t/its-own{path}", root="/base") == (status, below)
    mount = Starlette(routes=[Mount("/t/{tenant}", app)])
    assert await ask(mount, f"/t/its-own{path}", root="/base") == (status, below)


@on_asyncio
@pytest.mark.usefixtures("marked")
async def test_django_is_heard_through_a_copy_that_another_library_makes() -> None:
    app = get_asgi_application()

    async def copying(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope}, receive, send)

    assert await ask(copying, "/items/7/") == (200, "/items/<int:id>/")


@on_asyncio
@pytest.mark.usefixtures("marked")
async def test_what_an_application_asks_django_itself_is_none_of_the_request() -> None:
    app = get_asgi_application()

    async def asking(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "path": "/items/7/"}, receive, send)

    assert await ask(asking, "/batch/") == (200, None)


LANGUAGE_ROUTES: dict[str, Answer] = {
    "/items/7/": (200, "/items/<int:id>/"),
    "/pages/7/": (200, "/pages/<int:id>/"),
    "/de/pages/7/": (200, "/de/pages/<int:id>/"),
    "/en/pages/7/": (404, None),
    "/xx/pages/7/": (404, None),
}


@on_asyncio
@pytest.mark.parametrize("path", LANGUAGE_ROUTES)
@pytest.mark.usefixtures("marked")
async def test_a_language_in_the_path_is_the_one_that_django_took(path: str) -> None:
    layers = ["django.middleware.locale.LocaleMiddleware"]
    with override_settings(ROOT_URLCONF=Languages, MIDDLEWARE=layers):
        assert await ask(get_asgi_application(), path) == LANGUAGE_ROUTES[path]


@pytest.fixture
def translated(marked: None) -> Iterator[None]:
    layers = ["django.middleware.locale.LocaleMiddleware"]
    with override_settings(LANGUAGE_CODE="de", MIDDLEWARE=layers):
        pages = i18n_patterns(django_path(gettext_lazy("January"), django_view), prefix_default_language=False)
        with override_settings(ROOT_URLCONF=type("Translated", (), {"urlpatterns": pages})):
            yield


@on_asyncio
@pytest.mark.usefixtures("translated")
async def test_a_path_without_a_language_is_in_the_project_s_own() -> None:
    app = get_asgi_application()
    assert await ask(app, "/Januar") == (200, "/Januar")
    assert await ask(app, "/January") == (404, None)
    assert await ask(app, "/en/January") == (200, "/en/January")


@on_asyncio
@pytest.mark.usefixtures("marked")
async def test_a_project_without_languages_in_its_paths_has_no_language_activated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("django.utils.translation.override", None)
    assert await ask(get_asgi_application(), "/items/7/") == (200, "/items/<int:id>/")


@on_asyncio
@pytest.mark.usefixtures("project")
async def test_without_the_receiver_django_s_routes_are_not_known() -> None:
    assert await ask(get_asgi_application(), "/items/7/") == (200, None)


@pytest.mark.usefixtures("marked")
def test_the_receiver_is_connected_once_and_stays_connected() -> None:
    before = len(request_started.receivers)
    django_routes()
    assert len(request_started.receivers) == before


@pytest.mark.usefixtures("marked")
def test_a_request_without_a_trail_is_left_alone() -> None:
    scope: dict[str, Any] = {"path": "/items/7/"}
    request_started.send(None, scope=scope)
    request_started.send(None, scope={**scope, TRAIL: []})
    request_started.send(None, environ={})
    assert scope == {"path": "/items/7/"}


@pytest.mark.usefixtures("project")
def test_a_urlconf_that_fails_gives_no_route() -> None:
    scope = {"path": "/items/7/", DJANGO: True}
    assert route_of(scope) == "/items/<int:id>/"
    with override_settings(ROOT_URLCONF="nowhere.urls"):
        assert route_of(scope) is None


def test_django_is_not_imported_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "django")
    monkeypatch.setitem(sys.modules, "django.core.signals", None)
    django_routes()
