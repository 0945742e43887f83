"""Dispatch a connection by its protocol: the ``type`` of its ASGI scope.

    application = ProtocolRouter(http=get_asgi_application(), websocket="chat.sockets:application")

Each application gets the very scope, ``receive`` and ``send`` that the server gave (but for ``lifespan``, which is one
conversation with several applications). A protocol without an application is turned away as the protocol knows it:
http with a 404, websocket with a close before the handshake is done, which every server answers with 403.

Spec: ASGI 3.0, Applications and Protocol Specifications.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from .._errors import Problem, refuse
from .applications import Keys, load_application, load_lifespan, turning_away
from .starter import Starter

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        lifespan: Who starts the applications, as for ``PathRouter``.

    Every application is an object or a ``"module:attribute"`` string. Strings are imported in the order of the
    arguments, so consumers named after ``get_asgi_application()`` are imported once Django is set up.

    Attributes:
        application_mapping: The application of each scope type.

    Raises:
        ConfigurationError: If something given is not an application, a scope type is given twice or looks mistyped,
            or nothing is given.
    """

    __slots__ = ("_default", "_starter", "_states", "application_mapping")

    def __init__(
        self,
        application_mapping: Mapping[str, ASGIApp | str] | None = None,
        *,
        http: ASGIApp | str | None = None,
        websocket: ASGIApp | str | None = None,
        default: ASGIApp | str | None = None,
        lifespan: ASGIApp | str | Literal[False] | None = None,
    ) -> None:
        problems: list[Problem] = []
        apps = _TYPES.load({} if application_mapping is None else application_mapping, problems)
        keywords = {"http": http, "websocket": websocket, "default": default}
        for name, value in {**keywords, "lifespan": lifespan}.items():
            if name in apps and value is not None:
                problems.append(Problem(name, value, "is given twice, application_mapping has it too", "give it once"))
        apps.update({name: load_application(name, app, problems) for name, app in keywords.items() if app is not None})
        chosen = apps.pop("lifespan") if "lifespan" in apps else load_lifespan(lifespan, problems)
        if not apps and not callable(chosen) and not problems:
            remedy = "write ProtocolRouter(http=get_asgi_application(), websocket=...)"
            problems.append(Problem("http", None, "leaves the router without any application", remedy))
        refuse("ProtocolRouter", problems)

        self._starter = Starter("ProtocolRouter", apps, chosen)
        self._states = self._starter.states  # looked at by every connection
        self.application_mapping: dict[str, ASGIApp] = {"lifespan": self._starter.app, **apps}
        self._default = self.application_mapping.pop("default", turning_away(self._known))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            name = scope["type"]
            app = self.application_mapping[name]
        except (KeyError, TypeError):
            name, app = "default", self._default
        if self._states and name != "lifespan":
            await self._starter.before(name, scope)
        return await app(scope, receive, send)

    def _known(self) -> str:
        types = ", ".join(map(repr, sorted(self.application_mapping)))
        return f", only for {types}; add it to ProtocolRouter or give a default"


def _name_problem(parameter: str, name: object) -> Problem | None:
    def problem(remedy: str) -> Problem:
        return Problem(parameter, name, "is not a scope type", remedy)

    if not isinstance(name, str) or not name:
        return problem("write a name such as 'http' or 'websocket'")
    if name == "default":
        return problem("write ProtocolRouter(..., default=...)")
    lowered = name.strip().lower()
    meant = _MISTAKEN.get(lowered) or next(iter(get_close_matches(lowered, _PROTOCOLS, n=1, cutoff=0.75)), name)
    return problem(f"did you mean {meant!r}?") if meant != name else None


_TYPES = Keys(
    "ProtocolRouter",
    "application_mapping",
    "scope types",
    "ProtocolRouter(http=...) or ProtocolRouter({'http': ...})",
    _name_problem,
)
