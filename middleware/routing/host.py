"""Dispatch a connection by the host that the client asked for.

    application = HostRouter({"api.example.com": api, "*.example.com": tenants}, default=get_asgi_application())

Nothing is changed: the application gets the scope as it is. A host without an application, none at all or two of them
go to the default; without one they are turned away, http with a 404, websocket with a close before the handshake is
done, which every server answers with 403.

Spec: RFC 9110 §7.2 (Host), RFC 3986 §3.2.2 (host).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .._asgi import ASGIApp
from .._errors import Problem
from .._headers import values
from .._hosts import canonical_host, host_of
from .applications import Keys
from .starter import Starter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._headers import Headers

_Entry = tuple[str, ASGIApp]
_DEFAULT = "any other host"  # no host can be called so


class HostRouter:
    """Give each connection to the application for its host.

    The host is the one of the ``Host`` header, without port and last dot, compared without case. ``*.example.com``
    stands for all names below ``example.com``, not for itself; a host of its own is preferred to that, and a longer
    name behind the ``*.`` to a shorter one. A connection with a malformed host, with none or with two of them goes to
    the default.

    Args:
        hosts: Applications by host: ``"api.example.com"``, ``"*.example.com"``, ``"127.0.0.1"``, ``"[::1]"``.
        default: The application for all other hosts.
        lifespan: Who starts the applications, as for ``PathRouter``.

    Every application is an object or a ``"module:attribute"`` string.

    Raises:
        ConfigurationError: If something given is not an application, a host is malformed or given twice, or nothing
            is given.
    """

    __slots__ = ("_default", "_exact", "_starter", "_states", "_wildcards")

    def __init__(
        self,
        hosts: Mapping[str, ASGIApp | str],
        *,
        default: ASGIApp | str | None = None,
        lifespan: ASGIApp | str | Literal[False] | None = None,
    ) -> None:
        apps, other, chosen = _HOSTS.configured(hosts, default, lifespan)
        entries = [(_canonical(host) or "", (host, app)) for host, app in apps.items()]
        self._exact = {host: entry for host, entry in entries if not host.startswith("*.")}
        self._wildcards = {host[1:]: entry for host, entry in entries if host.startswith("*.")}
        self._default: _Entry = _DEFAULT, other
        self._starter = Starter("HostRouter", {**apps, _DEFAULT: other}, chosen)
        self._states = self._starter.states  # looked at by every connection

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("type") == "lifespan":
            return await self._starter.app(scope, receive, send)
        name, app = self._find(scope.get("headers") or ()) or self._default
        if self._states:
            await self._starter.before(name, scope)
        return await app(scope, receive, send)

    def _find(self, headers: Headers) -> _Entry | None:
        given = values(headers, b"host")
        host = host_of(given[0]) if len(given) == 1 else None
        if host is None:
            return None
        entry = self._exact.get(host)
        dot = host.find(".") if self._wildcards else -1
        while entry is None and dot >= 0:
            entry = self._wildcards.get(host[dot:])
            dot = host.find(".", dot + 1)
        return entry


def _canonical(host: str) -> str | None:
    wildcard, name = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    name = canonical_host(name) or ""
    return wildcard + name if name and not (wildcard and name.startswith("[")) else None


def _host_problem(parameter: str, host: object) -> Problem | None:
    def problem(reason: str, remedy: str) -> Problem:
        return Problem(parameter, host, reason, remedy)

    if not isinstance(host, str):
        return problem("is not a host", "write a string such as 'api.example.com'")
    if host == "*":
        return problem("stands for every host", "write HostRouter(..., default=...)")
    if _canonical(host):
        return None
    if not host.isascii():
        return problem("is not how a client writes it", "write its ASCII form, which begins with 'xn--'")
    bare = host.rpartition("//")[2].partition("/")[0]
    if canonical_host(f"[{bare}]"):
        return problem("is an address without its brackets", f"write '[{bare}]'")
    wildcard = "*." if bare.startswith("*.") else ""
    found = host_of(bare.removeprefix(wildcard).encode())
    if found and _canonical(wildcard + found):
        return problem("is more than a host: ports and paths are not looked at", f"write {wildcard + found!r}")
    return problem("is not a host", "write 'example.com', '*.example.com', '127.0.0.1' or '[::1]'")


_HOSTS = Keys("HostRouter", "hosts", "hosts", "HostRouter({'example.com': app})", _host_problem, canonical=_canonical)
