"""An id for each request and websocket: in the scope, on log lines, in the header of the response.

    application = RequestIdMiddleware(application)
    logging.getLogger().handlers[0].addFilter(RequestIdFilter())  # then "%(request_id)s" in its format

An id that comes with the request is taken over if it is one: 8 to 128 of ``A-Za-z0-9._~+/=:@-``, in one header. All
others, which could be anything, are replaced and go nowhere.
"""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from .._asgi import application_problem
from .._errors import Problem, refuse
from .._headers import is_token, values
from .current import Current, random_id
from .hooks import Hook, hook_problem, trust_of, trust_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._asgi import ASGIApp

_KEY = "request_id"
_STARTS = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))
_ID = re.compile(rb"[A-Za-z0-9._~+/=:@-]{8,128}")
_WANTED = "8 to 128 of A-Z a-z 0-9 . _ ~ + / = : @ -"

_current: ContextVar[Current[str] | None] = ContextVar("request_id", default=None)


def request_id() -> str | None:
    """The id of the request that is being served, also in its tasks and threads; None outside of requests."""
    current = _current.get()
    return None if current is None else current.value


class RequestIdMiddleware:
    """Give each request and websocket an id, which the caller may have sent.

    It is in ``scope["request_id"]``, in ``request_id()``, and in the header of the response, of an accepted websocket
    and of a denied one, where it takes the place of what the application says. An instance inside another one does
    nothing. What the application logs has the id through ``RequestIdFilter``.

    Args:
        app: The ASGI application to wrap.
        header: The name of the header, in requests and responses.
        trust: Whether ids of callers are taken over; or a function of the scope that returns True where they are.
        generate: Makes an id, 8 to 128 of ``A-Za-z0-9._~+/=:@-``; by default 32 random hexadecimal digits.

    Raises:
        ConfigurationError: If an argument is wrong.
    """

    __slots__ = ("_generate", "_header", "_trust", "app")

    def __init__(
        self,
        app: ASGIApp,
        *,
        header: str = "X-Request-ID",
        trust: bool | Callable[[Any], bool] = True,
        generate: Callable[[], str] | None = None,
    ) -> None:
        problems = [application_problem("app", app), trust_problem(trust)]
        if not isinstance(header, str) or not header.isascii() or not is_token(header.encode()):
            problems.insert(1, Problem("header", header, "is not the name of a header", "write 'X-Request-ID'"))
        if generate is not None:
            problems.append(hook_problem("generate", generate, "generate() -> str"))
        refuse("RequestIdMiddleware", problems)

        self._header = header.lower().encode()
        self._trust = trust_of("RequestIdMiddleware", trust)
        self._generate: Callable[[], str | None] = random_id
        if generate is not None:
            name, remedy = "generate of RequestIdMiddleware", "the id is a random one then"
            self._generate = Hook(name, generate, _is_id, wanted=_WANTED, remedy=remedy).ask
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or _KEY in scope:
            return await self.app(scope, receive, send)
        header, trust = self._header, self._trust
        value = None
        if trust is not False:
            found = values(scope.get("headers") or (), header)
            if len(found) == 1 and _ID.fullmatch(found[0]) and (trust is True or trust(scope)):
                value = found[0].decode()
        if value is None:
            value = self._generate() or random_id()
        scope[_KEY] = value
        own = header, value.encode()

        def sending(message: Any) -> Any:
            if message["type"] not in _STARTS:
                return send(message)
            headers = [*(message.get("headers") or ())]
            if values(headers, header):
                headers = [(name, value) for name, value in headers if name.lower() != header]
            headers.append(own)
            return send({**message, "headers": headers})

        current = Current(_current, value)
        try:
            await self.app(scope, receive, sending)
        finally:
            current.end()


class RequestIdFilter(logging.Filter):
    """Put the id of the request on log records, as ``record.request_id``, "-" where there is none.

    It belongs on a handler, which sees the records of all loggers; if that is a ``QueueHandler``, on this one and not
    on those behind the queue, which run in another thread. A record that has a ``request_id`` keeps it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = request_id() or "-"
        return bool(super().filter(record))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value.encode("ascii", "replace")) is not None
