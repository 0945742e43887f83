"""Tell browsers which pages of other sites may use the application, and refuse websockets from all others.

    application = CORSMiddleware(application, allow_origins=["https://app.example.com"], allow_credentials=True)

A preflight is answered here. An actual request always reaches the application: whether the page may read the response
is the browser's to decide, by these headers.

Spec: Fetch §3.3 (CORS protocol), RFC 6455 §10.2 (websockets), RFC 9110 §12.5.5 (Vary).
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._asgi import application_problem
from .._errors import check_flag, refuse
from .._headers import long_headers, values, with_vary
from .._hosts import parse_origin
from .._paths import below_root
from .configuration import load_origins, load_prefixes, policy_of, regex_problems
from .handshakes import NEVER, Refusals, is_allowed, refuse_handshake, shown_bytes
from .origins import NOBODY
from .policy import Asked

if TYPE_CHECKING:
    import re
    from collections.abc import Collection

    from .._asgi import ASGIApp, Send
    from .._errors import Problem
    from .._headers import Headers
    from .policy import Header, OriginFunc

_logger = logging.getLogger("middleware.cors")
_SHORTEST = len("access-control-allow-origin")  # of the names that count, after Origin: hardly another is so long
_CREDENTIALS = b"access-control-allow-credentials"


class CORSMiddleware:
    """Let pages of listed origins use the application from a browser; Starlette's class with its holes closed.

    Every response to an allowed origin names it; all others get no CORS header. Headers that the application sets
    itself are left as they are. A preflight (``OPTIONS`` with ``Origin`` and ``Access-Control-Request-Method``) is
    answered 200 to an allowed origin, with the policy, and 400 to others, without it. **Websockets are checked too**:
    those without ``Origin``, of the site itself, and of allowed origins pass, except that ``"*"`` lets none through;
    others are refused with 403.

    Args:
        app: The ASGI application to wrap.
        allow_origins: ``"https://app.example.com"``, ``"https://*.example.com"`` (all names below),
            ``"http://localhost:*"`` (all ports), or ``"*"`` alone. An empty list allows none.
        allow_methods: Methods that preflights are told, default ``GET``; GET, HEAD and POST need no listing. ``"*"``
            stands for any.
        allow_headers: Request headers that preflights are told; ``"*"`` stands for any.
        allow_credentials: Whether requests may carry cookies and HTTP authentication.
        allow_origin_regex: A regular expression that is to match a whole origin.
        allow_private_network: Whether to answer ``Access-Control-Request-Private-Network``, which Chromium once sent.
        expose_headers: Response headers that a page may read; ``"*"`` for all, without credentials.
        max_age: Seconds that a browser remembers a preflight, 0 to 86400, default 600; None for its own default.
        allow_origin_func: ``func(origin, scope)``, async or not, for origins that nothing else allows, e.g. those in
            a database: only ``True`` allows one. A plain function must not wait for anything.
        paths: Path prefixes that this policy is for, below the root path; by default all.
        websocket_origins: Origins whose pages may open websockets, in place of ``allow_origins``; ``["*"]`` for all.
        allow_insecure_origins: Accept ``http://`` origins and names below public suffixes together with credentials.

    Raises:
        ConfigurationError: If no origin is given, or anything in the policy is insecure or can never match.
    """

    __slots__ = ("_func", "_paths", "_policy", "_refusals", "_socket_allows", "_socket_func", "app")

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: Collection[str] | None = None,
        allow_methods: Collection[str] = ("GET",),
        allow_headers: Collection[str] = (),
        allow_credentials: bool = False,
        allow_origin_regex: str | re.Pattern[str] | None = None,
        allow_private_network: bool = False,
        expose_headers: Collection[str] = (),
        max_age: int | None = 600,
        *,
        allow_origin_func: OriginFunc | None = None,
        paths: Collection[str] | None = None,
        websocket_origins: Collection[str] | None = None,
        allow_insecure_origins: bool = False,
    ) -> None:
        problems: list[Problem] = []
        self._policy = policy_of(
            problems,
            insecure=allow_insecure_origins,
            allow_origins=allow_origins,
            allow_methods=allow_methods,
            allow_headers=allow_headers,
            allow_credentials=allow_credentials,
            allow_origin_regex=allow_origin_regex,
            allow_private_network=allow_private_network,
            expose_headers=expose_headers,
            max_age=max_age,
            allow_origin_func=allow_origin_func,
        )
        sockets = load_origins("websocket_origins", websocket_origins, problems)
        check_flag("allow_insecure_origins", allow_insecure_origins, problems)
        self._paths = load_prefixes("paths", paths, problems)
        refuse("CORSMiddleware", [application_problem("app", app), *problems])

        self._func = allow_origin_func
        self._refusals = Refusals()
        # What lets everybody in is for responses that anybody may read; a websocket carries the cookies of the user.
        to_sockets = self._policy
        if to_sockets.origins.any:
            to_sockets = replace(to_sockets, origins=NOBODY)
        if to_sockets.origin_regex and regex_problems(to_sockets.origin_regex, allow_insecure_origins):
            to_sockets = replace(to_sockets, origin_regex=None)
        self._socket_allows = to_sockets.allows if websocket_origins is None else sockets.__contains__
        self._socket_func = allow_origin_func if websocket_origins is None else None
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket") or (self._paths and not self._paths.find(below_root(scope)[1])):
            return await self.app(scope, receive, send)
        headers = scope.get("headers") or ()
        if kind == "websocket":
            if not is_allowed(headers, self._socket_allows) and not await self._ask(self._socket_func, headers, scope):
                return await refuse_handshake(headers, receive, send, self._refusals, "websocket_origins")
            return await self.app(scope, receive, send)

        policy = self._policy
        public = policy.is_public
        granted = policy.granted(b"") if public else ()
        if (not public or scope.get("method") == "OPTIONS") and (origins := values(headers, b"origin")):
            allowed = public or (len(origins) == 1 and policy.allows(origins[0]))
            if not allowed and self._func:
                allowed = await self._ask(self._func, headers, scope)
            if scope.get("method") == "OPTIONS" and (asked := _asked(headers)):
                return await self._preflight(b", ".join(origins), allowed, asked, send)
            if allowed:
                granted = policy.granted(origins[0])

        def sending(message: Any) -> Any:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _added(message.get("headers") or (), granted, public)}
            return send(message)

        await self.app(scope, receive, sending)

    async def _ask(self, func: OriginFunc | None, headers: Headers, scope: Any) -> bool:
        """Ask the user's function about an origin that nothing else allows."""
        origins = values(headers, b"origin")
        if func is None or len(origins) != 1 or parse_origin(origins[0]) is None:
            return False
        try:
            answer = func(origins[0].decode(), scope)
            return (await answer if inspect.isawaitable(answer) else answer) is True
        except Exception:
            _logger.exception("allow_origin_func raised, so the origin %s is not allowed", shown_bytes(origins[0]))
            return False

    async def _preflight(self, origin: bytes, allowed: bool, asked: Asked, send: Send) -> None:
        answer = self._policy.preflight(origin, allowed, asked)
        if answer.lacking:
            sent = origin, asked.method, b", ".join(asked.headers)
            if self._refusals.are_news(answer.body, *sent):
                hint = f"to allow it, add to {' and '.join(answer.lacking)}" if parse_origin(origin) else NEVER
                text = "a preflight from the origin %s for %s with the headers %s was refused; "
                self._refusals.tell(text + hint, *sent)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})


def _asked(headers: Headers) -> Asked | None:
    found = long_headers(headers, _SHORTEST)
    methods = found.get(b"access-control-request-method")
    if methods is None:
        return None
    names = tuple(found.get(b"access-control-request-headers", ()))
    private = found.get(b"access-control-request-private-network") == [b"true"]
    return Asked(methods[0] if len(methods) == 1 else b"", names, private)


def _added(headers: Headers, granted: tuple[Header, ...], is_public: bool) -> list[Header]:
    """The headers of a response with those of the policy, unless the application gives an origin itself."""
    added = [*headers] if is_public else with_vary(headers, b"Origin")
    own = long_headers(added, _SHORTEST) if granted else {}
    if b"access-control-allow-origin" in own:
        return added
    if _CREDENTIALS in own and not is_public and _CREDENTIALS not in [name for name, _ in granted]:
        return added  # said by a layer inside, of its own origins
    # Browsers refuse a response that says twice that credentials are allowed.
    added += [header for header in granted if header[0] not in own] if own else granted
    return added
