"""ASGI at the border of this package: loose types, the application check, the copied scope.

The types are loose on purpose: applications annotated with Starlette's, asgiref's or no types at all pass
``mypy --strict`` and pyright only against ``Any`` parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from types import FunctionType, ModuleType
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync

from ._errors import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

TRAIL = "middleware.trail"
"""Scope key of a one-item list that follows the newest copy of the scope.

Whoever needs to see early what the application writes puts ``[scope]`` there and empties the list in the end (a
scope that refers to itself would be a garbage cycle).
"""

_CONTENT = ("http.response.body", "websocket.send")


async def call_with_copy(
    app: ASGIApp, scope: Scope, copy: Scope, receive: Receive, send: Send, changed: Collection[str] = ()
) -> Any:
    """Call ``app`` with ``copy``, return what it returns; hand back to ``scope`` the keys that were added.

    A middleware must copy the scope before it changes something in it (ASGI 3.0, Middleware), yet layers outside
    read what frameworks add (``route``, ``path_params``, ``user``): keys that ``copy`` has and ``scope`` has not are
    set in ``scope``, but for those that the middleware has ``changed``. That is done when ``app`` begins a response,
    where Starlette's ``BaseHTTPMiddleware`` goes on, and when it returns or raises.
    """
    trail = scope.get(TRAIL)
    if trail and trail[0] is scope:  # else this is a request of the application's own, made of the scope it was given
        trail[0] = copy

    def handing_back(message: Any) -> Awaitable[None]:
        if not isinstance(message, dict) or message.get("type") not in _CONTENT:
            _hand_back(scope, copy, changed)
        return send(message)

    try:
        return await app(copy, receive, handing_back)
    finally:
        _hand_back(scope, copy, changed)


def _hand_back(scope: Scope, copy: Scope, changed: Collection[str]) -> None:
    keys = [*copy]
    if keys != [*scope]:
        for key in keys:
            if key not in scope and key not in changed:
                scope[key] = copy[key]


async def refuse_websocket(receive: Receive, send: Send) -> None:
    """Close a websocket before it is accepted; every server answers 403.

    It is not denied with a response: uvicorn logs an ERROR for each of those, and daphne knows none.
    """
    message = await receive()
    if message["type"] == "websocket.connect":
        await send({"type": "websocket.close", "code": 1000})


def application_problem(parameter: str, value: Any) -> Problem | None:
    """Return what is wrong with ``value`` as an ASGI application, None if nothing is.

    What can be called with ``(scope, receive, send)`` is taken at its word; a callable without a readable
    signature too.
    """

    def problem(reason: str, remedy: str) -> Problem:
        return Problem(parameter, value, reason, remedy)

    if is_get_response(value):
        return problem(
            "takes one argument, the request: it is Django's get_response or a view",
            "wrap `application` in asgi.py, not in MIDDLEWARE; a view belongs in urls.py",
        )
    if value is None:
        return problem("is not an application", "did a function forget to return it? pass the ASGI application")
    if isinstance(value, str):
        return problem("is a string, not an application", "import the application and pass it")
    if isinstance(value, ModuleType):
        return problem("is a module, not an application", f"pass the application in it{_application_in(value)}")
    if inspect.isawaitable(value):
        return problem("is awaitable: an async function was called", "pass the function itself, without calling it")
    if not callable(value):
        return problem("is not callable", "pass an ASGI application: async def app(scope, receive, send)")
    if inspect.isclass(value):
        return _class_problem(parameter, value)

    if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        return problem("is a generator: it yields", "await send(...) instead")
    if _accepts(value, 3):
        return None
    name = value.__name__ if isinstance(value, FunctionType) and value.__name__.isidentifier() else "..."
    if _accepts(value, 0):
        call = f"call it: {name}()" if name != "..." else "call it and pass what it returns"
        return problem("takes no argument: a factory, not an application", call)
    if _accepts(value, 1):
        return problem("takes one argument: an ASGI 2 application", _adapt_asgi2(name))
    if _accepts(value, 2):
        if type(value).__name__ == "WSGIHandler":
            return problem("is Django's WSGI application", "use django.core.asgi.get_asgi_application()")
        return problem("takes two arguments: a WSGI application", f"write asgiref.wsgi.WsgiToAsgi({name})")
    return problem(
        "cannot be called with (scope, receive, send)", "pass an ASGI application: async def app(scope, receive, send)"
    )


def is_get_response(value: object) -> bool:
    """Whether ``value`` is what Django hands to the classes in ``settings.MIDDLEWARE``.

    Under ASGI, Django hands a synchronous class (and it takes ours for one) its handler behind ``async_to_sync``.
    """
    if isinstance(value, AsyncToSync):
        value = value.awaitable
    if isinstance(value, SyncToAsync):
        value = value.func
    signature = None if inspect.isclass(value) else _signature(value)
    return signature is not None and [*signature.parameters] == ["request"]


def _class_problem(parameter: str, cls: type) -> Problem | None:
    # Starlette's endpoint classes are applications: calling one with three arguments gives an awaitable.
    if hasattr(cls, "__await__") and _accepts(cls, 3):
        return None
    name = cls.__qualname__
    if hasattr(cls, "as_asgi"):
        return Problem(parameter, cls, "is a class, not an application", f"write {name}.as_asgi()")
    if _accepts(cls, 1) and _accepts(cls.__call__, 3) and not _accepts(cls.__call__, 4):  # self counts
        return Problem(parameter, cls, "is an ASGI 2 application", _adapt_asgi2(name))
    return Problem(parameter, cls, "is a class, not an application", f"create an instance: {name}(...)")


def _accepts(function: Any, arguments: int) -> bool:
    """Whether ``function`` can be called so; a signature that cannot be read is no reason to refuse it."""
    signature = _signature(function)
    if signature is None:
        return True
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return False
    return True


def _signature(function: Any) -> inspect.Signature | None:
    try:
        # Its own, not that of what it says it wraps: Channels' as_asgi() claims to be the consumer's class.
        return inspect.signature(function, follow_wrapped=False)
    except Exception:  # whatever an object's own attributes raise
        return None


def _adapt_asgi2(name: str) -> str:
    return f"write asgiref.compatibility.double_to_single_callable({name})"


def _application_in(module: ModuleType) -> str:
    found = [name for name in ("application", "app") if callable(getattr(module, name, None))]
    return f": {module.__name__}.{found[0]}" if found else ""
