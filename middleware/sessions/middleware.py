"""SessionMiddleware: a session in the scope of each request and websocket."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .._asgi import call_with_copy
from .configuration import keeper_of
from .cookies import varying, with_cookie
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Collection

    from .._asgi import ASGIApp, Message, Scope, Send
    from .store import SessionStore

_logger = logging.getLogger("middleware.sessions")
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class SessionMiddleware:
    """Keep data about each visitor between requests, in ``scope["session"]`` (``request.session``).

    The data is in a signed cookie, or in a store to which the cookie points. Nothing is read, and no cookie sent, for
    those who do not touch it. A response to which the session matters has ``Vary: Cookie``; one with a cookie is kept
    from shared caches. Websockets get their cookie when they are accepted or denied.

    Args:
        app: The ASGI application to wrap.
        secret_key: What signs or encrypts the cookies; 32 random bytes or more. Not needed with a store.
        session_cookie: The name of the cookie. ``__Host-session`` keeps the neighbours of the host out.
        max_age: Seconds until the browser forgets the cookie, and the server the session, if nobody touches it;
            None until the browser ends.
        path: The paths to which browsers send the cookie.
        same_site: ``"lax"``, ``"strict"`` or ``"none"``.
        https_only: Whether the cookie has Secure; ``"auto"`` for yes where the connection is https or wss.
        domain: The domain to which browsers send the cookie, with all below it; None for this host alone.
        partitioned: Whether the cookie of an embedded page is another for each site that embeds it (CHIPS).
        secret_key_fallbacks: Former secrets, whose cookies are still read.
        encrypt: Whether visitors cannot read what their cookies hold; needs ``asgi-middleware[crypto]``.
        store: Where the data is, if not in the cookie.
        idle_timeout: Seconds after which a session ends that nobody touched.
        absolute_timeout: Seconds after which a session ends in any case.
        scope_key: The key in the scope.
        accept_starlette_cookies: Whether cookies that Starlette's class signed are read, with the same secret.

    Raises:
        ConfigurationError: If an argument is wrong, or two of them contradict each other.
        SessionTooLargeError: From ``send``, if the cookie would be larger than browsers take.
        SessionStoreError: From the first touch, or from ``send``, if the store does not answer.
    """

    __slots__ = ("_keeper", "_scope_key", "app")

    def __init__(
        self,
        app: ASGIApp,
        secret_key: object = None,
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: str = "lax",
        https_only: bool | str = "auto",
        domain: str | None = None,
        partitioned: bool = False,
        *,
        secret_key_fallbacks: Collection[object] = (),
        encrypt: bool = False,
        store: SessionStore | None = None,
        idle_timeout: int | None = None,
        absolute_timeout: int | None = None,
        scope_key: str = "session",
        accept_starlette_cookies: bool = False,
    ) -> None:
        self._keeper = keeper_of(
            app,
            secret_key=secret_key,
            session_cookie=session_cookie,
            max_age=max_age,
            path=path,
            same_site=same_site,
            https_only=https_only,
            domain=domain,
            partitioned=partitioned,
            secret_key_fallbacks=secret_key_fallbacks,
            encrypt=encrypt,
            store=store,
            idle_timeout=idle_timeout,
            absolute_timeout=absolute_timeout,
            scope_key=scope_key,
            accept_starlette_cookies=accept_starlette_cookies,
        )
        self._scope_key = scope_key
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        opened = self._keeper.open(scope.get("headers") or ())
        session = opened if isinstance(opened, Session) else await opened
        visit, key = session.visit, self._scope_key
        inner = scope
        if key in scope:  # another instance of this class is around us; its session stays what it is
            inner = {**scope, key: session}
        else:
            scope[key] = session

        def sending(message: Any) -> Any:
            if visit.started or message["type"] not in _STARTS:
                return send(message)
            if inner.get(key) is session and not session.accessed:
                visit.started = True
                return send(message)
            return self._begin(session, inner, send, message)

        try:
            if inner is scope:
                await self.app(scope, receive, sending)
            else:
                await call_with_copy(self.app, scope, inner, receive, sending)
        except Exception:
            try:
                await self._finish(session, scope)
            except Exception:
                _logger.exception("a session could not be kept after the application had failed")
            raise
        await self._finish(session, scope)

    async def _begin(self, session: Session, scope: Scope, send: Send, message: Message) -> None:
        """Begin the response, with what the session adds to its headers."""
        visit, headers = session.visit, message.get("headers") or ()
        put = scope.get(self._scope_key, session)
        try:
            if put is not session:  # the application has put another in its place, or nothing (Litestar: Empty)
                session.clear()
                session.update(put if isinstance(put, dict) else ())
            await self._keeper.keep(session)
            line = self._keeper.line(visit, scope.get("scheme"))
        except Exception:
            visit.started = visit.given_up = True  # the response that tells of this is to get through
            raise
        visit.started = True
        if message["type"] != "websocket.accept":
            headers = varying(headers) if line is None else with_cookie(varying(headers), line)
        elif line is not None:
            headers = [*headers, (b"set-cookie", line)]
        await send({**message, "headers": headers})

    async def _finish(self, session: Session, scope: Scope) -> None:
        """Keep what changed after the response had begun, or in a websocket that was closed without one."""
        if scope["type"] == "websocket":
            session.visit.started = True
        if session.visit.started and not session.visit.given_up and (session.touched or session.shown):
            await self._keeper.keep(session)
