"""Wrap an application in several layers, written in the order in which a request meets them.

application = stack(application, Middleware(RequestLog), Middleware(GZip, minimum_size=500))
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware as Middleware

from ._asgi import application_problem
from ._errors import Problem, refuse

if TYPE_CHECKING:
    from ._asgi import ASGIApp


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
    problems = [application_problem("app", app), *map(_layer_problem, range(1, len(middleware) + 1), middleware)]
    refuse("stack", problems)

    for number, (cls, args, kwargs) in reversed([*enumerate(middleware, 1)]):
        name = getattr(cls, "__qualname__", type(cls).__qualname__)
        try:
            app = cls(app, *args, **kwargs)
        except Exception as error:
            error.add_note(f"while stack() constructed layer {number} of {len(middleware)} (1 is outermost): {name}")
            raise
        refuse("stack", [application_problem(f"layer {number} ({name})", app)])
    return app


def _layer_problem(number: int, layer: Any) -> Problem | None:
    parameter = f"layer {number}"
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
        return Problem(parameter, layer, f"is a {type(layer).__name__}", "unpack it: stack(app, *middleware)")
    made = f"{type(layer).__qualname__}, ..." if hasattr(layer, "app") else "SomeMiddleware, ..."
    return Problem(parameter, layer, "is not a Middleware object", f"write Middleware({made})")
