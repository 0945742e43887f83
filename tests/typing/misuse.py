"""What ``mypy --strict`` and pyright refuse: a line that they accept makes its ``type: ignore`` an error."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from middleware import HostRouter, Middleware, PathRouter, ProtocolRouter, stack
from middleware.lint import LintMiddleware


async def app(scope: Any, receive: Any, send: Any) -> None: ...


async def endpoint(request: Any) -> str:
    return "hello"


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
