"""What ``mypy --strict`` and pyright refuse: a line that they accept makes its ``type: ignore`` an error."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from middleware import (
    CompressionMiddleware,
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
    SQLiteStore,
    WebSocketOriginMiddleware,
    outermost,
    stack,
)
from middleware.lint import LintMiddleware
from middleware.sessions import Change, Record


async def app(scope: Any, receive: Any, send: Any) -> None: ...


async def endpoint(request: Any) -> str:
    return "hello"


def is_allowed(origin: str, scope: Any) -> bool:
    return True


def is_origin(origin: str) -> bool:
    return True


def is_compressed(scope: Any, status: int) -> bool:
    return True


async def is_compressed_later(scope: Any, status: int, headers: Any) -> bool:
    return True


class WithoutTouch:
    async def load(self, key: str) -> Record | None:
        return None

    async def save(self, key: str, change: Change, ttl: int) -> bool:
        return True

    async def delete(self, key: str) -> None: ...


class Blocking(WithoutTouch):
    def touch(self, key: str, seen: int, ttl: int) -> bool:
        return True


class OfBlobs(WithoutTouch):
    async def save(self, key: str, change: bytes, ttl: int) -> bool:  # type: ignore[override]
        return True

    async def touch(self, key: str, seen: int, ttl: int) -> bool:
        return True


def create_app() -> LintMiddleware:
    return LintMiddleware(app)


def misuse(wsgi: Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]) -> None:
    """Not called: most of these lines raise."""
    ProtocolRouter(http=42)  # type: ignore[arg-type]
    ProtocolRouter(http=wsgi)  # type: ignore[arg-type]
    ProtocolRouter(http=endpoint)  # type: ignore[arg-type]
    ProtocolRouter(http=create_app)  # type: ignore[arg-type]
    ProtocolRouter(http=LintMiddleware)  # type: ignore[arg-type]
    ProtocolRouter(http=app, ws=app)  # type: ignore[call-arg]
    ProtocolRouter(app)  # type: ignore[arg-type]
    ProtocolRouter({"http": app}, app)  # type: ignore[call-arg]
    ProtocolRouter({1: app})  # type: ignore[dict-item]
    ProtocolRouter({"http": None})  # type: ignore[dict-item]
    ProtocolRouter(http=app, lifespan=True)  # type: ignore[arg-type]
    PathRouter()  # type: ignore[call-arg]
    PathRouter(app)  # type: ignore[arg-type]
    PathRouter({"/api": 42})  # type: ignore[dict-item]
    PathRouter({"/api": app}, app)  # type: ignore[call-arg]
    PathRouter({"/api": app}, lifespan=True)  # type: ignore[arg-type]
    HostRouter()  # type: ignore[call-arg]
    HostRouter([("example.com", app)])  # type: ignore[arg-type]
    HostRouter({b"example.com": app})  # type: ignore[dict-item]
    LintMiddleware()  # type: ignore[call-arg]
    LintMiddleware(app, True)  # type: ignore[call-arg]
    LintMiddleware(app, strict="yes")  # type: ignore[arg-type]
    LintMiddleware("project.asgi:application")  # type: ignore[arg-type]
    stack(app, LintMiddleware)  # type: ignore[arg-type]
    stack(app, LintMiddleware(app))  # type: ignore[arg-type]
    stack(app, [Middleware(LintMiddleware)])  # type: ignore[arg-type]
    stack(app, Middleware(LintMiddleware, stict=True))  # type: ignore[call-arg]
    CORSMiddleware()  # type: ignore[call-arg]
    CORSMiddleware(LintMiddleware, [])  # type: ignore[arg-type]
    CORSMiddleware(app, origins=["https://a.example.com"])  # type: ignore[call-arg]
    CORSMiddleware(app, allow_origins=[b"https://a.example.com"])  # type: ignore[list-item]
    CORSMiddleware(app, allow_origins=42)  # type: ignore[arg-type]
    CORSMiddleware(app, allow_origins=(origin for origin in ["*"]))  # type: ignore[arg-type]
    CORSMiddleware(app, allow_origin_regex=[r"https://.*"])  # type: ignore[arg-type]
    CORSMiddleware(app, [], allow_credentials="yes")  # type: ignore[arg-type]
    CORSMiddleware(app, [], max_age="600")  # type: ignore[arg-type]
    CORSMiddleware(app, ["*"], ["*"], ["*"], False, None, False, [], 600, is_allowed)  # type: ignore[call-arg]
    CORSMiddleware(app, allow_origin_func=is_origin)  # type: ignore[arg-type]
    CORSMiddleware(app, allow_origin_func="project.tenants:is_allowed")  # type: ignore[arg-type]
    Middleware(CORSMiddleware, allow_origin=["https://a.example.com"])  # type: ignore[call-arg]
    WebSocketOriginMiddleware(app, [], True)  # type: ignore[call-arg]
    WebSocketOriginMiddleware(app, allow_origins=None)  # type: ignore[arg-type]
    outermost(FastAPI(), CORSMiddleware)  # type: ignore[arg-type]
    outermost(FastAPI(), [Middleware(CORSMiddleware, [])])  # type: ignore[arg-type]
    GZipMiddleware()  # type: ignore[call-arg]
    GZipMiddleware(LintMiddleware)  # type: ignore[arg-type]
    GZipMiddleware(app, "500")  # type: ignore[arg-type]
    GZipMiddleware(app, 500, 6, 0, ())  # type: ignore[call-arg]
    GZipMiddleware(app, minimum_size=None)  # type: ignore[arg-type]
    GZipMiddleware(app, compresslevel=0.5)  # type: ignore[arg-type]
    GZipMiddleware(app, level=6)  # type: ignore[call-arg]
    GZipMiddleware(app, codecs=["gzip"])  # type: ignore[call-arg]
    GZipMiddleware(app, exclude_content_types=[b"image/png"])  # type: ignore[list-item]
    GZipMiddleware(app, stream_content_types=True)  # type: ignore[arg-type]
    GZipMiddleware(app, etag=None)  # type: ignore[arg-type]
    GZipMiddleware(app, should_compress=True)  # type: ignore[arg-type]
    GZipMiddleware(app, should_compress=is_compressed)  # type: ignore[arg-type]
    GZipMiddleware(app, should_compress=is_compressed_later)  # type: ignore[arg-type]
    Middleware(GZipMiddleware, minimumsize=500)  # type: ignore[call-arg]
    CompressionMiddleware()  # type: ignore[call-arg]
    CompressionMiddleware(app, ["br"])  # type: ignore[call-arg]
    CompressionMiddleware(app, codecs=42)  # type: ignore[arg-type]
    CompressionMiddleware(app, codecs=[b"br"])  # type: ignore[list-item]
    CompressionMiddleware(app, codecs=["br"], levels=[5])  # type: ignore[arg-type]
    CompressionMiddleware(app, levels={"br": "5"})  # type: ignore[dict-item]
    CompressionMiddleware(app, compresslevel=6)  # type: ignore[call-arg]
    CompressionMiddleware(app, thread_minimum_size=0)  # type: ignore[call-arg]
    CompressionMiddleware(app, exclude_content_types=None)  # type: ignore[arg-type]
    FastAPI().add_middleware(GZipMiddleware, minimum_size="500")  # type: ignore[arg-type]
    FastAPI().add_middleware(CompressionMiddleware, codec="br")  # type: ignore[call-arg]
    SessionMiddleware()  # type: ignore[call-arg]
    SessionMiddleware(LintMiddleware, "secret")  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", None)  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", "session", "600")  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", "session", None, "/", "lax", "auto", None, False, ())  # type: ignore[call-arg]
    SessionMiddleware(app, "secret", cookie_name="session")  # type: ignore[call-arg]
    SessionMiddleware(app, "secret", path=None)  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", same_site=None)  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", https_only=None)  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", domain=["example.com"])  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", partitioned="yes")  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", secret_key_fallbacks=None)  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", encrypt=None)  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", idle_timeout=0.5)  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", absolute_timeout="1 day")  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", scope_key=None)  # type: ignore[arg-type]
    SessionMiddleware(app, "secret", accept_starlette_cookies=None)  # type: ignore[arg-type]
    SessionMiddleware(app, store="redis://127.0.0.1")  # type: ignore[arg-type]
    SessionMiddleware(app, store=MemoryStore)  # type: ignore[arg-type]
    SessionMiddleware(app, store={})  # type: ignore[arg-type]
    SessionMiddleware(app, store=WithoutTouch())  # type: ignore[arg-type]
    SessionMiddleware(app, store=Blocking())  # type: ignore[arg-type]
    SessionMiddleware(app, store=OfBlobs())  # type: ignore[arg-type]
    Middleware(SessionMiddleware, secret="secret")  # type: ignore[call-arg]
    FastAPI().add_middleware(SessionMiddleware, "secret", max_age="600")  # type: ignore[arg-type]
    MemoryStore("100")  # type: ignore[arg-type]
    SQLiteStore()  # type: ignore[call-arg]
    SQLiteStore(42)  # type: ignore[arg-type]
    RedisStore()  # type: ignore[call-arg]
    RedisStore("redis://127.0.0.1", "session:")  # type: ignore[call-arg]
    RedisStore("redis://127.0.0.1", prefix=b"session:")  # type: ignore[arg-type]
    DjangoSessionMiddleware()  # type: ignore[call-arg]
    DjangoSessionMiddleware(app, "secret")  # type: ignore[call-arg]
    DjangoSessionMiddleware(DjangoSessionMiddleware)  # type: ignore[arg-type]
    Session({})[1] = 2  # type: ignore[index]
    Session({}).id = "other"  # type: ignore[misc]
    Session({}).expires_at.isoformat()  # type: ignore[union-attr]
    Session({}).regenerate(True)  # type: ignore[call-arg]
    Session({}).invalidated()  # type: ignore[attr-defined]


async def misuse_later(session: Session) -> None:
    """Not called either."""
    session.save()  # type: ignore[unused-coroutine]
