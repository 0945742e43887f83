"""Sessions in cookies."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from .keeper import Keeper, decode, plain
from .session import Session, encode
from .tokens import Readable, Token, Tokens
from .visit import Visit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._headers import Headers
    from .cookies import Cookie
    from .lifetimes import Lifetimes

_logger = logging.getLogger("middleware.sessions")


class CookieKeeper(Keeper):
    """The cookie holds the data.

    Args:
        cookie: Its name and attributes.
        lifetimes: When a session ends.
        tokens: The form of what is in it.
        former: Another form that is read too, and written in the first one when the session changes.
        foreign: A form that is not read, but told of.
    """

    __slots__ = ("_foreign", "_former", "_tokens", "_told")

    def __init__(
        self,
        cookie: Cookie,
        lifetimes: Lifetimes,
        tokens: Tokens,
        *,
        former: Readable | None = None,
        foreign: Readable | None = None,
    ) -> None:
        super().__init__(cookie, lifetimes)
        self._tokens = tokens
        self._former = former
        self._foreign = foreign
        self._told: list[str] = []

    def open(self, headers: Headers) -> Session:
        """The session of a request, which is read when it is touched."""
        return Session.unread(Visit(), partial(self._read, headers))

    def _read(self, headers: Headers, visit: Visit) -> Mapping[str, Any]:
        now = int(time.time())
        for value in self._cookie.found(headers):
            visit.sent = True
            for form in (self._tokens, self._former):
                token = form.read(value) if form else None
                if token and not self._lifetimes.are_over(token.created, token.seen, now):
                    data = _decoded(token.data)
                    if isinstance(data, dict):
                        self._begin(visit, token.created, token.seen)
                        visit.before = token.data
                        return data
            if self._foreign and not self._told and self._foreign.read(value):
                self._told.append("once")
                _logger.warning(
                    "a session cookie of Starlette's class came and is not read: to go on with the sessions in those, "
                    "write SessionMiddleware(..., accept_starlette_cookies=True)"
                )
        return {}

    async def keep(self, session: Session) -> None:
        """Say what the cookie is to be, if it changes."""
        visit, now = session.visit, int(time.time())
        before = data = visit.before or b""
        if session.modified or session.shown:
            values = plain(session)
            data = encode(values) if values else b""
        session.touched = False
        ends = not data and session.modified and visit.sent
        if visit.started:
            if ends or data != before:
                _logger.warning(
                    "a session was changed after the response had begun: its cookie cannot be sent any more"
                )
        elif ends:
            visit.cookie, visit.before, visit.sent = b"", None, False
        elif data and (data != before or self._lifetimes.are_worth_renewing(visit.seen, now)):
            created = visit.created or now
            self._begin(visit, created, now)
            visit.before = data
            visit.cookie = self._tokens.write(Token(data, created, now))


def _decoded(data: bytes) -> Any:
    """What was authenticated, and may still have been written by something else."""
    try:
        return decode(data)
    except (ValueError, RecursionError):
        _logger.warning("the data of a session is not JSON; it is taken for none")
        return None
