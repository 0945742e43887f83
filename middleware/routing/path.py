"""Mount applications below path prefixes.

    application = PathRouter({"/api": fastapi_app, "/ws/{room}": chat, "/": get_asgi_application()})

The mounted application sees itself at ``root_path``: it routes by what is below its prefix, and the URLs that it makes
have the prefix. What has no application is turned away: http with a 404, websocket with a close before the handshake
is done, which every server answers with 403.

Spec: ASGI HTTP & WebSocket 2.5, Connection Scope (``path``, ``root_path``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .._asgi import call_with_copy
from .._paths import PrefixTable, below_root, prefix_key, prefix_problem
from .applications import Keys
from .starter import Starter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._asgi import ASGIApp

_PREFIXES = Keys(
    "PathRouter", "mounts", "path prefixes", "PathRouter({'/api': app})", prefix_problem, canonical=prefix_key
)

# With the parent's router, a mounted Starlette application would reverse its URLs in the parent; with what remained of
# the path for one of Channels' URLRouters, another would route by that.
_OF_THE_PARENT = ("router", "app_root_path", "route", "endpoint", "path_remaining")

_CHANGED = ("path", "root_path")
_CHANGED_BELOW_A_PARENT = (*_CHANGED, "app_root_path")


class PathRouter:
    """Give each connection to the application with the longest prefix of its path.

    A prefix matches the path that equals it or goes on with ``/``, below the root path of the server; the order of
    the mounts does not matter. The application gets a copy of the scope: ``root_path`` has the prefix, ``path`` all
    of the root path, even if a proxy has stripped the server's. A websocket exactly at the prefix gets a ``/``
    appended, because it cannot be redirected there. An application at ``/`` and the default get the very
    scope if nothing in it has to change.

    Args:
        mounts: Applications by prefix. A segment ``{name}`` matches any one segment, and puts it into
            ``path_params`` (Starlette) and ``url_route["kwargs"]`` (Channels); a literal is preferred to it.
        default: The application for all other paths.
        lifespan: Who starts the applications: None for the server, all in the order of the arguments; ``"lazy"``
            for the first connection, where the server has no lifespan; an application to start that one alone;
            False for nobody.

    Every application is an object or a ``"module:attribute"`` string.

    Raises:
        ConfigurationError: If something given is not an application, a prefix is malformed or given twice, or
            nothing is given.
    """

    __slots__ = ("_default", "_starter", "_states", "_table")

    def __init__(
        self,
        mounts: Mapping[str, ASGIApp | str],
        *,
        default: ASGIApp | str | None = None,
        lifespan: ASGIApp | str | Literal[False] | None = None,
    ) -> None:
        apps, other, chosen = _PREFIXES.configured(mounts, default, lifespan)
        self._table = PrefixTable((prefix, (prefix, app)) for prefix, app in apps.items())
        self._default = "default", other
        self._starter = Starter("PathRouter", {**apps, "default": other}, chosen)
        self._states = self._starter.states  # looked at by every connection

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        protocol = scope.get("type")
        if protocol == "lifespan":
            return await self._starter.app(scope, receive, send)
        root, path, had_root = below_root(scope)
        (name, app), prefix, params = self._table.find(path) or (self._default, "", None)
        if self._states:
            await self._starter.before(name, scope)
        if had_root and not prefix and "router" not in scope:
            return await app(scope, receive, send)

        copy = {**scope}
        copy["root_path"] = root + prefix
        copy["path"] = root + path + ("/" if protocol == "websocket" and path == prefix else "")
        if params:
            copy.update(_with_params(scope, params))
        changed: tuple[str, ...] = _CHANGED
        if "router" in copy or "path_remaining" in copy:
            changed = _CHANGED_BELOW_A_PARENT
            for key in _OF_THE_PARENT:
                copy.pop(key, None)
        result: None = await call_with_copy(app, scope, copy, receive, send, changed)
        return result


def _with_params(scope: Mapping[str, Any], params: dict[str, str]) -> dict[str, Any]:
    """The named segments where Starlette and where Channels look for them, beside those of a router further out."""
    path_params, url_route = _dict(scope.get("path_params")), _dict(scope.get("url_route"))
    kwargs = {**_dict(url_route.get("kwargs")), **params}
    return {"path_params": {**path_params, **params}, "url_route": {"args": (), **url_route, "kwargs": kwargs}}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
