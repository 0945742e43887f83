"""Dispatch a connection by its protocol: the ``type`` of its ASGI scope.

    application = ProtocolRouter(http=get_asgi_application(), websocket="chat.sockets:application")

Each application gets the very scope, ``receive`` and ``send`` that the server gave (but for ``lifespan``, which is one
conversation with several applications). A protocol without an
application is turned away as the protocol knows it: http with a 404, websocket with a close before the handshake
is done, which every server answers with 403.

Spec: ASGI 3.0, Applications and Protocol Specifications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .._asgi import application_problem, is_get_response
from .._errors import Problem, refuse, shown
from .applications import load_application
from .lifespan import Lifespan

if TYPE_CHECKING:
    from .._asgi import ASGIApp

_PROTOCOLS = ("http", "websocket", "lifespan")
_MISTAKEN = {"ws": "websocket", "wss": "websocket", "https": "http", "web": "http"}


class ProtocolRouter:
    """Give each connection to the application for its scope type.

    What an application returns is returned. A scope type that is not listed goes to ``default``; without one, http
    is answered 404, websocket is refused, and any other type raises ``ValueError``, as the specification asks of
    an application that does not know it. ``lifespan`` is answered for applications that do not know it; those that
    do are started in the order of the arguments and stopped in reverse.

    Args:
        application_mapping: Applications by scope type, any name; Channels' ``ProtocolTypeRouter`` takes the same.
        http: The application for ``http`` scopes, e.g. ``get_asgi_application()``.
        websocket: The application for ``websocket`` scopes.
        default: The application for scope types that are not listed.
        lifespan: The only application that takes part in the server's start and stop; by default all do.

    Every application is an object or a ``"module:attribute"`` string. Strings are imported in the order of the
    arguments, so consumers named after ``get_asgi_application()`` are imported once Django is set up.

    Attributes:
        application_mapping: The application of each scope type.

    Raises:
        ConfigurationError: If something given is not an application, a scope type is given twice or looks mistyped,
            or nothing is given.
    """

    __slots__ = ("_default", "_lifespan", "_states", "application_mapping")

    def __init__(
        self,
        application_mapping: Mapping[str, ASGIApp | str] | None = None,
        *,
        http: ASGIApp | str | None = None,
        websocket: ASGIApp | str | None = None,
        default: ASGIApp | str | None = None,
        lifespan: ASGIApp | str | None = None,
    ) -> None:
        problems: list[Problem] = []
        listed = _listed(application_mapping, problems)
        given = [(f"application_mapping[{shown(name)}]", name, app) for name, app in listed.items()]
        keywords = {"http": http, "websocket": websocket, "default": default, "lifespan": lifespan}
        for name, app in keywords.items():
            if app is None:
                continue
            if name in listed:
                problems.append(Problem(name, app, "is given twice, application_mapping has it too", "give it once"))
            given.append((name, name, app))
        if not given and not problems:
            remedy = "write ProtocolRouter(http=get_asgi_application(), websocket=...)"
            problems.append(Problem("http", None, "leaves the router without any application", remedy))

        apps = {name: load_application(parameter, app, problems) for parameter, name, app in given}
        refuse("ProtocolRouter", problems)

        self._lifespan = Lifespan({name: app for name, app in apps.items() if name != "lifespan"})
        self._states = self._lifespan.states  # looked at by every request
        self.application_mapping: dict[str, ASGIApp] = {"lifespan": self._lifespan, **apps}
        self._default = self.application_mapping.pop("default", _turning_away(self.application_mapping))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            name = scope["type"]
            app = self.application_mapping[name]
        except (KeyError, TypeError):
            name, app = "default", self._default
        if self._states:
            self._lifespan.share_state(name, scope)
        return await app(scope, receive, send)


def _listed(application_mapping: object, problems: list[Problem]) -> dict[str, Any]:
    """The entries of ``application_mapping`` whose names can be scope types."""
    if application_mapping is None:
        return {}
    if not isinstance(application_mapping, Mapping):
        parameter = "application_mapping"
        reason = "is not a mapping of scope types to applications"
        remedy = "write ProtocolRouter(http=...) or ProtocolRouter({'http': ...})"
        in_settings = (
            application_problem(parameter, application_mapping) if is_get_response(application_mapping) else None
        )
        problems.append(in_settings or Problem(parameter, application_mapping, reason, remedy))
        return {}
    listed = {}
    for name, app in application_mapping.items():
        reason, remedy = _name_problem(name)
        if reason:
            problems.append(Problem("application_mapping", name, reason, remedy))
        else:
            listed[name] = app
    return listed


def _name_problem(name: object) -> tuple[str, str]:
    if not isinstance(name, str) or not name:
        return "is not a scope type", "write a name such as 'http' or 'websocket'"
    if name == "default":
        return "is not a scope type", "write ProtocolRouter(..., default=...)"
    lowered = name.strip().lower()
    meant = _MISTAKEN.get(lowered) or next(iter(get_close_matches(lowered, _PROTOCOLS, n=1, cutoff=0.75)), name)
    return ("is not a scope type", f"did you mean {meant!r}?") if meant != name else ("", "")


def _turning_away(known: Iterable[str]) -> ASGIApp:
    """An application that refuses every connection as its protocol does that; ``known`` are the types with another."""

    async def turn_away(scope: Any, receive: Any, send: Any) -> None:
        protocol = scope.get("type")
        if protocol == "http":
            body = b"Not Found"
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            # RFC 9110 §9.3.2: the headers of GET, without its content.
            await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
        elif protocol == "websocket":
            # Closed, not denied with a 404: uvicorn logs an ERROR for each denial, and daphne knows none.
            message = await receive()
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.close", "code": 1000})
        else:
            types = ", ".join(map(repr, sorted(known)))
            remedy = "add it to ProtocolRouter or give a default"
            raise ValueError(f"no application for scope type {protocol!r}, only for {types}; {remedy}")

    return turn_away
