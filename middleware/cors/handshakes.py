"""Whether a page may open a websocket.

Browsers send ``Origin`` with every handshake, and cookies; they ask for no permission first and look at no header of
the answer. It is the server that has to refuse (RFC 6455 §4.2.2, §10.2).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .._asgi import application_problem, refuse_websocket
from .._errors import refuse
from .._headers import values
from .._hosts import parse_origin
from .configuration import load_origins

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .._asgi import ASGIApp, Receive, Send
    from .._errors import Problem
    from .._headers import Headers

_logger = logging.getLogger("middleware.cors")
_MAX_TOLD = 100
_SHOWN = 100  # bytes of a value

NEVER = "no policy can allow that origin"


class WebSocketOriginMiddleware:
    """Refuse websockets from pages of other sites; the check of ``CORSMiddleware`` alone.

    A handshake passes without ``Origin`` (it comes from no browser), from the site itself (the origin has the host and
    port of ``Host``), and from ``allow_origins``. All others, with a malformed, doubled or ``null`` origin among them,
    are closed before they are accepted: every server answers 403. Other connections pass as they are.

    Args:
        app: The ASGI application to wrap.
        allow_origins: Other origins that may connect: ``"https://app.example.com"``, ``"https://*.example.com"``,
            ``"http://localhost:*"``.

    Raises:
        ConfigurationError: If ``app`` is not an application or an origin not one that a browser sends.
    """

    __slots__ = ("_origins", "_refusals", "app")

    def __init__(self, app: ASGIApp, allow_origins: Collection[str] = ()) -> None:
        problems: list[Problem] = []
        self._origins = load_origins("allow_origins", allow_origins, problems)
        refuse("WebSocketOriginMiddleware", [application_problem("app", app), *problems])
        self._refusals = Refusals()
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            headers = scope.get("headers") or ()
            if not is_allowed(headers, self._origins.__contains__):
                return await refuse_handshake(headers, receive, send, self._refusals, "allow_origins")
        await self.app(scope, receive, send)


def is_allowed(headers: Headers, allows: Callable[[bytes], bool]) -> bool:
    """Whether a handshake with these headers is from no browser, from the site itself, or from an allowed origin."""
    origins, hosts = values(headers, b"origin"), values(headers, b"host")
    if len(origins) != 1:
        return not origins
    origin = parse_origin(origins[0])
    if origin is None:
        return False
    return (len(hosts) == 1 and origin.is_of(hosts[0])) or allows(origins[0])


async def refuse_handshake(headers: Headers, receive: Receive, send: Send, refusals: Refusals, parameter: str) -> None:
    """Close the websocket before it is accepted, and tell what would have let it through."""
    origin, host = (b", ".join(values(headers, name)) for name in (b"origin", b"host"))
    if refusals.are_news(origin, host):
        cures = (
            "if that is this site, a proxy hides the host: let it pass that on (nginx: proxy_set_header Host $host; "
            "$http_host if the port is not the usual one); if another site may connect, list it with those that may "
            f"already: {parameter}=[...]"
        )
        hint = cures if parse_origin(origin) else NEVER
        refusals.tell(f"a websocket from the origin %s to the host %s was refused; {hint}", origin, host)
    await refuse_websocket(receive, send)


class Refusals:
    """Tell of refusals on the logger ``middleware.cors``; strangers cause them, so there is an end to it."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: set[tuple[bytes, ...]] = set()

    def are_news(self, *values: bytes) -> bool:
        """Whether a refusal of these ``values`` is still to be told; of equal ones, the first is."""
        if len(self._told) >= _MAX_TOLD:
            return False
        key = tuple([value[:_SHOWN] for value in values])
        if key in self._told:
            return False
        self._told.add(key)
        return True

    def tell(self, text: str, *values: bytes) -> None:
        """Log ``text`` with ``values`` filled in."""
        last = "; no more refusals are told" if len(self._told) >= _MAX_TOLD else ""
        _logger.warning("%s%s", text % tuple(map(shown_bytes, values)), last)


def shown_bytes(value: bytes) -> str:
    """A value that was received, for a log line: short, without control characters."""
    return ascii(value[:_SHOWN].decode("latin-1"))
