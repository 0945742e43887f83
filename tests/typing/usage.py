"""What users write, for ``mypy --strict`` and pyright to accept; ``test_usage.py`` runs it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable
from asgiref.typing import Scope as AsgirefScope
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path, re_path
from fastapi import FastAPI, WebSocket
from litestar import Litestar, asgi
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp as LitestarApplication
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.middleware.gzip import GZipMiddleware as StarlettesGZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp as StarletteApplication
from starlette.types import Receive, Scope, Send

from middleware import (
    CompressionMiddleware,
    ConfigurationError,
    CORSMiddleware,
    DjangoSessionMiddleware,
    GZipMiddleware,
    HostRouter,
    MemoryStore,
    Middleware,
    PathRouter,
    ProtocolRouter,
    RedisStore,
    Session,
    SessionMiddleware,
    SessionStore,
    SQLiteStore,
    WebSocketOriginMiddleware,
    outermost,
    stack,
)
from middleware.lint import LintError, LintMiddleware
from middleware.sessions import Change, Record, SessionStoreError

if TYPE_CHECKING:
    from asgiref.typing import WebSocketAcceptEvent
    from starlette.requests import Request
    from starlette.websockets import WebSocket as StarletteWebSocket

# Applications in every typing that is in use: none, Any, Starlette's, asgiref's, a class, a method.


async def untyped(scope, receive, send):  # type: ignore[no-untyped-def]
    await receive()
    await send({"type": "websocket.close"})


async def loose(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def in_starlettes_types(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


async def in_asgirefs_types(scope: AsgirefScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await receive()
    accept: WebSocketAcceptEvent = {"type": "websocket.accept", "subprotocol": None, "headers": []}
    await send(accept)


class Application:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("hello")(scope, receive, send)

    async def method(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("hello")(scope, receive, send)


application = Application()


class Layer:
    """A layer as users write them, in Starlette's types."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], *, size: int = 0) -> None:
        self.app = app
        self.size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def functions() -> list[ProtocolRouter]:
    return [
        ProtocolRouter(http=in_starlettes_types, websocket=untyped),
        ProtocolRouter(http=application, websocket=loose, default=application.method),
        ProtocolRouter(websocket=in_asgirefs_types, lifespan=application),
        ProtocolRouter(http=ProtocolRouter(http=application), websocket=None, default=None, lifespan=None),
        ProtocolRouter({"http": in_starlettes_types, "websocket": in_asgirefs_types, "webtransport": loose}),
        ProtocolRouter({"http": application}, websocket=f"{__name__}:untyped"),
        ProtocolRouter(application_mapping={"http": f"{__name__}:loose"}),
        ProtocolRouter(http=f"{__name__}:in_starlettes_types", websocket=f"{__name__}:application.method"),
    ]


def django() -> ProtocolRouter:
    return ProtocolRouter(http=get_asgi_application(), websocket=in_asgirefs_types)


def django_with_static_files() -> ProtocolRouter:
    return ProtocolRouter(http=ASGIStaticFilesHandler(get_asgi_application()), websocket=loose)


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()


class EchoConsumer(WebsocketConsumer):
    def connect(self) -> None:
        self.accept()


def channels() -> list[ProtocolRouter]:
    http = get_asgi_application()
    chat: Any = ChatConsumer.as_asgi()  # Django's stubs know views only, Channels' stubs a route of their own
    echo: Any = EchoConsumer.as_asgi()
    urlpatterns: list[Any] = [path("chat/", chat), re_path(r"^echo/$", echo)]
    routes = URLRouter(urlpatterns)
    return [
        ProtocolRouter(http=http, websocket=routes),
        ProtocolRouter(http=http, websocket=AllowedHostsOriginValidator(AuthMiddlewareStack(routes))),
        ProtocolRouter(http=http, websocket=ChatConsumer.as_asgi()),
        ProtocolRouter({"http": http, "websocket": routes, "channel": ChannelNameRouter({"jobs": loose})}),
        ProtocolRouter(default=ProtocolTypeRouter({"http": http, "websocket": routes})),
    ]


def starlette() -> ProtocolRouter:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    async def socket(websocket: StarletteWebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app = Starlette(
        routes=[Route("/", page), WebSocketRoute("/ws", socket)],
        middleware=[StarletteMiddleware(LintMiddleware), StarletteMiddleware(LintMiddleware, strict=False)],
    )
    app.add_middleware(LintMiddleware)
    return ProtocolRouter(http=app, websocket=app)


def fastapi() -> ProtocolRouter:
    app = FastAPI(middleware=[Middleware(LintMiddleware)])
    app.add_middleware(LintMiddleware)
    app.add_middleware(LintMiddleware, strict=False)

    @app.get("/")
    async def page() -> str:
        return "hello"

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    mounted = FastAPI()
    mounted.mount("/api", ProtocolRouter(http=app, websocket=app))
    return ProtocolRouter(http=mounted, websocket=mounted)


def litestar() -> ProtocolRouter:
    layer = DefineMiddleware(LintMiddleware, strict=False)
    cors = DefineMiddleware(CORSMiddleware, allow_origins=["https://a.example.com"])
    gzip = DefineMiddleware(GZipMiddleware, minimum_size=1000)
    session = DefineMiddleware(SessionMiddleware, store=MemoryStore())
    app = Litestar(
        [],
        middleware=[LintMiddleware, layer, TenantsCORS, cors, gzip, ApiCompression, CompressionMiddleware, session],
        logging_config=None,
    )
    return ProtocolRouter(http=app, websocket=app)


def mounts() -> list[PathRouter | HostRouter | ProtocolRouter]:
    django = get_asgi_application()
    starlettes = {"/a": Starlette(), "/b": Starlette()}
    chat: Any = ChatConsumer.as_asgi()
    paths = PathRouter({"/api": FastAPI(), "/ws/{room}": chat, "/x": f"{__name__}:untyped"}, default=django)
    return [
        paths,
        PathRouter(starlettes),
        PathRouter({}, default=in_asgirefs_types, lifespan="lazy"),
        PathRouter(mounts={"/": Litestar(logging_config=None)}, lifespan=False),
        PathRouter({"/": HostRouter({"api.example.com": paths, "*.example.com": application.method}, default=loose)}),
        HostRouter({"[::1]": in_starlettes_types}, lifespan=f"{__name__}:loose"),
        HostRouter(hosts={"example.com": ProtocolRouter(http=django)}, lifespan=application),
        ProtocolRouter(http=paths, websocket=PathRouter({"/ws": application}), lifespan="lazy"),
        ProtocolRouter(http=paths, lifespan=False),
    ]


def layers() -> list[Callable[[Any, Any, Any], Awaitable[None]]]:
    app = Application()
    theirs = Middleware(StarlettesGZipMiddleware, minimum_size=9)
    configured: list[Middleware] = [Middleware(LintMiddleware, strict=True), theirs]
    return [
        stack(app),
        stack(app, Middleware(LintMiddleware, strict=True)),
        stack(app, *configured, StarletteMiddleware(Layer, size=500)),
        stack(ProtocolRouter(http=app), Middleware(Layer)),
        Layer(LintMiddleware(Layer(ProtocolRouter(http=LintMiddleware(app, strict=True))), strict=False)),
    ]


class TenantsCORS(CORSMiddleware):
    """What existing projects do with Starlette's class: subclass it, with the policy inside."""

    def __init__(self, app: StarletteApplication) -> None:
        super().__init__(app, allow_origin_func=self.is_tenant, allow_credentials=True)

    async def is_tenant(self, origin: str, scope: Scope) -> bool:
        return origin.endswith(".example.com")


def policies() -> list[CORSMiddleware | WebSocketOriginMiddleware]:
    app = Application()

    async def is_tenant(origin: str, scope: Any) -> bool:
        return origin.endswith(".example.com")

    def is_tenant_of_django(origin: str, scope: dict[str, Any]) -> bool:
        return origin.endswith(".example.com")

    return [
        CORSMiddleware(app, ["https://a.example.com"], ["PUT"], ["X-A"], True, None, False, ["X-B"], 60),
        CORSMiddleware(app=get_asgi_application(), allow_origins=frozenset({"https://*.example.com"}), max_age=None),
        CORSMiddleware(in_asgirefs_types, allow_origins=("*",), allow_methods=("*",), websocket_origins=["*"]),
        CORSMiddleware(loose, allow_origin_regex=r"https://.*\.example\.com", expose_headers={"X-Total"}),
        CORSMiddleware(untyped, allow_origin_regex=re.compile(r"https://.*\.example\.com"), paths=["/api"]),
        CORSMiddleware(app.method, allow_origin_func=is_tenant, allow_private_network=True),
        CORSMiddleware(app, allow_origin_func=is_tenant_of_django),
        CORSMiddleware(app, ["http://intranet"], allow_credentials=True, allow_insecure_origins=True),
        TenantsCORS(WebSocketOriginMiddleware(CORSMiddleware(app, []), ["https://*.example.com"])),
        WebSocketOriginMiddleware(app=ProtocolRouter(websocket=loose)),
    ]


class ApiCompression(GZipMiddleware):
    """What existing projects do with Starlette's class: subclass it, with the options inside."""

    def __init__(self, app: StarletteApplication) -> None:
        super().__init__(app, minimum_size=1000, should_compress=self.is_api)

    def is_api(self, scope: Scope, status: int, headers: list[tuple[bytes, bytes]]) -> bool:
        return status == 200 and scope["path"].startswith("/api")


def compression() -> list[GZipMiddleware | CompressionMiddleware]:
    app = Application()

    def is_public(scope: Any, status: int, headers: Any) -> bool:
        return (b"x-private", b"1") not in headers

    return [
        GZipMiddleware(app, 500, 9, 128 * 1024, exclude_content_types=("image/png", "audio/*")),
        GZipMiddleware(app=get_asgi_application(), minimum_size=0, compresslevel=1, thread_minimum_size=0),
        GZipMiddleware(in_asgirefs_types, exclude_content_types=[], stream_content_types={"text/event-stream"}),
        GZipMiddleware(untyped, etag="suffix", should_compress=is_public),
        ApiCompression(GZipMiddleware(CompressionMiddleware(loose))),
        CompressionMiddleware(app.method, codecs=["br", "gzip"], levels={"br": 5}),
        CompressionMiddleware(app=in_starlettes_types, codecs=None, levels=None, minimum_size=1000, etag="weak"),
        CompressionMiddleware(app, codecs=("zstd",), exclude_content_types=frozenset({"text/csv"})),
        CompressionMiddleware(ProtocolRouter(http=app), stream_content_types=["text/event-stream"]),
        CompressionMiddleware(app, should_compress=lambda scope, status, headers: status < 400),
    ]


class Table:
    """A store of the user's own: the four verbs, and no base class."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    async def load(self, key: str) -> Record | None:
        return self.records.get(key)

    async def save(self, key: str, change: Change, ttl: int) -> bool:
        record = self.records.get(key)
        if change.created is not None:
            record = Record({}, change.created, seen=change.created)
        if record is None:
            return False
        if ttl < 1:
            raise SessionStoreError("what has expired cannot be saved")
        fields = {**record.fields, **change.set}
        kept = {name: value for name, value in fields.items() if name not in change.delete}
        self.records[key] = Record(kept, record.created, seen=change.seen or record.seen)
        return True

    async def delete(self, key: str) -> None:
        self.records.pop(key, None)

    async def touch(self, key: str, seen: int, ttl: int) -> bool:
        return key in self.records


class Logins(SessionMiddleware):
    """What existing projects do with Starlette's class: subclass it, with the options inside."""

    def __init__(self, app: StarletteApplication, store: SessionStore) -> None:
        super().__init__(app, store=store, session_cookie="login", same_site="strict", scope_key="login")


def stores() -> tuple[SessionStore, ...]:
    with tempfile.TemporaryDirectory() as folder:
        return (
            Table(),
            MemoryStore(),
            MemoryStore(max_sessions=10),
            SQLiteStore(f"{folder}/a.sqlite3"),
            SQLiteStore(Path(folder) / "b.sqlite3"),
            RedisStore("redis://127.0.0.1:6379/0"),
            RedisStore(url="rediss://127.0.0.1", prefix="shop:"),
        )


def sessions() -> list[SessionMiddleware | DjangoSessionMiddleware]:
    app, secret = Application(), "0123456789abcdef" * 2
    return [
        SessionMiddleware(app, secret, "session", 14 * 86_400, "/", "lax", False, None, False),
        SessionMiddleware(app=get_asgi_application(), secret_key=Secret(secret), max_age=None, https_only="auto"),
        SessionMiddleware(in_asgirefs_types, secret, secret_key_fallbacks=("former " * 5,), encrypt=True),
        SessionMiddleware(loose, secret, idle_timeout=1800, absolute_timeout=28_800, accept_starlette_cookies=True),
        SessionMiddleware(untyped, secret, domain="example.com", https_only=True, partitioned=True, path="/shop"),
        SessionMiddleware(ProtocolRouter(http=app), store=Table()),
        Logins(SessionMiddleware(app.method, store=MemoryStore(), scope_key="visit"), Table()),
        DjangoSessionMiddleware(in_starlettes_types),
        DjangoSessionMiddleware(app=ProtocolRouter(websocket=loose)),
    ]


def visits() -> list[object]:
    """A session is a dict, with what is known of it beside."""
    session = Session({"cart": [1]}, user="ada")
    as_dict: dict[str, Any] = session
    session["views"] = session.get("views", 0) + 1
    session.setdefault("cart", []).append(2)
    user: str = session.pop("user")
    session.update(theme="dark")
    session.mark_accessed()
    session.mark_modified()
    flags: tuple[bool, bool, bool] = (session.accessed, session.modified, session.is_new)
    known: tuple[str | None, datetime | None, datetime | None] = (session.id, session.created, session.expires_at)
    session.regenerate()
    session.invalidate()

    async def in_a_websocket() -> None:
        await session.save()

    return [in_a_websocket, user, flags, known, as_dict | {"a": 1}, session.copy()]


def around() -> list[Starlette | FastAPI]:
    """``outermost`` gives back what it was given, in its own type."""
    shop: FastAPI = outermost(FastAPI(), Middleware(CORSMiddleware, allow_origins=["https://a.example.com"]))
    shop.add_middleware(CORSMiddleware, allow_origins=["https://b.example.com"], paths=["/b"])
    shop.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    shop.add_middleware(CompressionMiddleware)
    shop.add_middleware(SessionMiddleware, secret_key="0123456789abcdef" * 2, same_site="strict")
    shop.add_middleware(SessionMiddleware, store=MemoryStore(), scope_key="visit", session_cookie="visit")
    pages: Starlette = outermost(
        Starlette(middleware=[StarletteMiddleware(TenantsCORS)]),
        StarletteMiddleware(WebSocketOriginMiddleware),
        StarletteMiddleware(GZipMiddleware, 500, 5),
        Middleware(CompressionMiddleware, codecs=["gzip"], etag="suffix"),
        Middleware(ApiCompression),
        Middleware(SessionMiddleware, "0123456789abcdef" * 2, max_age=None),
        StarletteMiddleware(Logins, store=MemoryStore()),
        Middleware(Layer, size=500),
    )
    return [shop, pages, outermost(FastAPI())]


class Router(ProtocolRouter):
    """What existing projects do with ``ProtocolTypeRouter``: subclass it, and read what it holds."""

    def __init__(self, chat: ASGI3Application) -> None:
        super().__init__({"http": Application()}, websocket=chat)
        self.chat = chat

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(scope, receive, send)


def attributes() -> list[object]:
    router = Router(in_asgirefs_types)
    http: Callable[[Any, Any, Any], Awaitable[None]] = router.application_mapping["http"]
    linted = LintMiddleware(http)
    inner: Callable[[Any, Any, Any], Awaitable[None]] = linted.app
    return [router.chat, sorted(router.application_mapping), inner is http]


def borders() -> list[object]:
    """Each class is an application in everybody's types, where an application is expected."""
    in_asgirefs: ASGI3Application = ProtocolRouter(http=Application())
    in_starlettes: StarletteApplication = ProtocolRouter(http=in_asgirefs)
    in_litestars: LitestarApplication = ProtocolRouter(http=in_starlettes)
    linted: list[ASGI3Application | StarletteApplication | LitestarApplication] = [LintMiddleware(in_litestars)]
    layered: ASGI3Application = stack(in_asgirefs, Middleware(LintMiddleware))
    shared: ASGI3Application = CORSMiddleware(in_starlettes, ["https://a.example.com"])
    checked: StarletteApplication = WebSocketOriginMiddleware(shared)
    packed: LitestarApplication = GZipMiddleware(checked)
    negotiated: ASGI3Application = CompressionMiddleware(packed)
    remembering: StarletteApplication = SessionMiddleware(negotiated, store=MemoryStore())
    knowing: LitestarApplication = DjangoSessionMiddleware(remembering)
    remembered: ASGI3Application = SessionMiddleware(knowing, store=MemoryStore())
    return [
        *linted,
        layered,
        remembered,
        Starlette(routes=[Mount("/", app=ProtocolRouter(http=in_starlettes))]),
        Litestar([asgi("/", is_mount=True, copy_scope=True)(ProtocolRouter(http=in_litestars))], logging_config=None),
        AllowedHostsOriginValidator(ProtocolRouter(websocket=in_asgirefs_types)),
    ]


def errors() -> list[tuple[str, str]]:
    try:
        ProtocolRouter()
    except ConfigurationError as error:
        return [(problem.parameter, problem.remedy) for problem in error.problems]
    return []


def lint_errors(error: LintError) -> tuple[str, str, str]:
    return error.side, error.rule, error.section


def serve() -> None:
    """Not called: it would serve."""
    uvicorn.run(django())
    uvicorn.run(LintMiddleware(Application(), strict=True), host="127.0.0.1", port=8000)
    uvicorn.run(stack(Application(), Middleware(LintMiddleware)))
    uvicorn.Server(uvicorn.Config(ProtocolRouter(http=Application()))).run()
