"""RequestLogMiddleware: one record of each request and websocket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._asgi import TRAIL
from . import startup
from .configuration import log_of
from .http import Exchange
from .lifespan import Lifespan
from .websocket import Conversation

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection

    from .._asgi import ASGIApp
    from .record import RequestRecord


class RequestLogMiddleware:
    """Log each request when its last byte is sent, and each websocket when it closes.

    A line has what came and what became of it: status, duration, bytes, and whether the client left, the application
    failed or was cancelled. The same is in the fields of the log record (``extra``), under OpenTelemetry's names.
    Nothing that passes is changed, nothing is read that the application does not read, and no failure of logging is one
    of the request. How long an application takes to start and to stop is logged too.

    Where logging is not configured, lines go to the standard error stream. Credentials are not logged: headers, and
    parameters of queries, that are called like one have the value ``REDACTED``.

    Args:
        app: The ASGI application to wrap.
        logger: A logger, or the name of one.
        format: What the message of a record is: ``"dev"`` for a terminal, ``"combined"`` as of httpd and nginx,
            ``"json"``, or a function of the ``RequestRecord``. None: a short line for handlers that write time and
            level themselves; where there are none, ``"dev"`` on a terminal and ``"combined"`` elsewhere.
        level: The level of all records, ``"INFO"``, or a function of the record. None: ERROR for a failure and for 5xx,
            WARNING for 4xx, else INFO.
        skip: A function of the record that returns True for one that is not to be logged.
        slow: Seconds to the first byte from which a response is logged at WARNING at least, and is never skipped.
        user: A function of the scope that returns who is logged in, or None. None: by ``scope["user"]``, if that is
            there and needs no work.
        request_headers: Names of further request headers to log.
        redact: Names of further headers and parameters whose values are not to be logged.

    Raises:
        ConfigurationError: If an argument is wrong.
    """

    __slots__ = ("_log", "_logger", "app")

    def __init__(
        self,
        app: ASGIApp,
        *,
        logger: str | logging.Logger = "middleware.request_log",
        format: str | Callable[[RequestRecord], str] | None = None,  # noqa: A002 - the word that users look for
        level: int | str | Callable[[RequestRecord], int] | None = None,
        skip: Callable[[RequestRecord], bool] | None = None,
        slow: float | None = None,
        user: Callable[[Any], str | None] | None = None,
        request_headers: Collection[str] = (),
        redact: Collection[str] = (),
    ) -> None:
        self._log = log_of(
            app,
            logger=logger,
            format=format,
            level=level,
            skip=skip,
            slow=slow,
            user=user,
            request_headers=request_headers,
            redact=redact,
        )
        self._logger = self._log.logger
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            return await self._watch_lifespan(scope, receive, send)
        if kind not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if not self._log.has_served:
            startup.serve(self._log)
        if not self._logger.isEnabledFor(self._log.highest):
            return await self.app(scope, receive, send)
        trail = scope.get(TRAIL)
        is_ours = trail is None
        if trail is None:
            trail = scope[TRAIL] = [scope]
        elif not trail or trail[0] is not scope:
            trail = [scope]  # that one is the trail of another request, of which this scope is a copy
        watch = (Exchange if kind == "http" else Conversation)(self._log, scope, receive, send, trail)
        try:
            await self.app(scope, watch.receive, watch.send)
        except BaseException as error:
            watch.end(error)
            raise
        else:
            watch.end()
        finally:
            if is_ours:
                trail.clear()

    async def _watch_lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._log.has_begun:
            startup.begin(self._log)
        lifespan = Lifespan(self._log, receive, send)
        try:
            await self.app(scope, lifespan.receive, lifespan.send)
        except Exception as error:
            lifespan.fail(error)
            raise
        finally:
            self._log.sum_up()
