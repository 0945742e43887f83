"""Wrap an application in several layers, written in the order in which a request meets them.

application = stack(application, Middleware(RequestLog), Middleware(GZip, minimum_size=500))
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.middleware import Middleware as Middleware

from ._asgi import application_problem
from ._errors import Problem, refuse

if TYPE_CHECKING:
    from ._asgi import ASGIApp

App = TypeVar("App")


def stack(app: ASGIApp, *middleware: Middleware) -> ASGIApp:
    """Return ``app`` wrapped in ``middleware``, the first one outermost.

    An exception from the construction of a layer carries a note that names the layer.

    Args:
        app: The ASGI application.
        *middleware: Starlette's ``Middleware`` objects, each a class with its arguments but the application.

    Raises:
        ConfigurationError: If ``app`` or what a layer makes of it is not an application, or a layer is not a
            ``Middleware`` object.
    """
    refuse("stack", _problems("stack", app, middleware))

    for number, (cls, args, kwargs) in reversed([*enumerate(middleware, 1)]):
        name = getattr(cls, "__qualname__", type(cls).__qualname__)
        try:
            app = cls(app, *args, **kwargs)
        except Exception as error:
            error.add_note(f"while stack() constructed layer {number} of {len(middleware)} (1 is outermost): {name}")
            raise
        refuse("stack", [application_problem(f"layer {number} ({name})", app)])
    return app


def outermost(app: App, *middleware: Middleware) -> App:
    """Return ``app`` with ``middleware`` around all that a Starlette or FastAPI application does, its error page too.

    ``app.add_middleware`` puts layers inside the one that answers an unhandled exception with a 500, so that page has
    none of their headers. These stand outside; ``app`` stays what it is, for ``fastapi run`` and for more routes.

    Args:
        app: The application of Starlette or FastAPI; it has not been started.
        *middleware: Starlette's ``Middleware`` objects, the first one outermost.

    Raises:
        ConfigurationError: If ``app`` is no such application or has been started, or a layer cannot be made.
    """
    problems = _problems("outermost", app, middleware)
    if not any(problems) and not hasattr(app, "build_middleware_stack"):
        remedy = "write stack(app, ...) around any other application"
        problems.append(Problem("app", app, "is not an application of Starlette or FastAPI", remedy))
    if getattr(app, "middleware_stack", None) is not None:
        remedy = "call outermost(app, ...) where the application is made"
        problems.append(Problem("app", app, "has been started", remedy))
    refuse("outermost", problems)
    stack(_anything, *middleware)  # what is wrong with a layer shows here, not when the first connection comes
    build: Any = app.build_middleware_stack  # type: ignore[attr-defined]
    vars(app)["build_middleware_stack"] = lambda: stack(build(), *middleware)
    return app


async def _anything(scope: Any, receive: Any, send: Any) -> None: ...


def _problems(owner: str, app: Any, middleware: tuple[Any, ...]) -> list[Problem | None]:
    layers = [_layer_problem(owner, f"layer {number}", layer) for number, layer in enumerate(middleware, 1)]
    return [application_problem("app", app), *layers]


def _layer_problem(owner: str, parameter: str, layer: Any) -> Problem | None:
    if isinstance(layer, Middleware):
        cls: Any = layer.cls
        # A class makes a layer, and so may any function; what is called asynchronously is a layer already.
        if callable(cls) and (inspect.isclass(cls) or not inspect.iscoroutinefunction(type(cls).__call__)):
            return None
        name = type(cls).__qualname__ if callable(cls) else "SomeMiddleware"
        return Problem(parameter, cls, "stands in Middleware(...) for a class", f"write Middleware({name}, ...)")
    if inspect.isclass(layer):
        return Problem(parameter, layer, "is a bare class", f"write Middleware({layer.__qualname__})")
    if isinstance(layer, (list, tuple)):
        return Problem(parameter, layer, f"is a {type(layer).__name__}", f"unpack it: {owner}(app, *middleware)")
    made = f"{type(layer).__qualname__}, ..." if hasattr(layer, "app") else "SomeMiddleware, ..."
    return Problem(parameter, layer, "is not a Middleware object", f"write Middleware({made})")
