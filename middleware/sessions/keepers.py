"""Where the data of a session is between two requests: in the cookie, or in a store that the cookie points to."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio

from .session import Session, Visit, encode, encode_fields
from .store import Change, Record, SessionStore, SessionStoreError
from .tokens import Readable, Token, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._headers import Headers
    from .cookies import Cookie
    from .lifetimes import Lifetimes

_decode = json.JSONDecoder().decode
_logger = logging.getLogger("middleware.sessions")
_DEAD = "a session had ended before a request that was under way changed it: that is lost"
_TOO_LATE = "a session was changed after the response had begun: its cookie cannot be sent any more"
_ID = re.compile(rb"[A-Za-z0-9_-]{43}")  # 32 random bytes


class _Keeper:
    __slots__ = ("_cookie", "_lifetimes")

    def __init__(self, cookie: Cookie, lifetimes: Lifetimes) -> None:
        self._cookie = cookie
        self._lifetimes = lifetimes

    def line(self, visit: Visit, scheme: str | None) -> bytes | None:
        """The value of Set-Cookie, if there is something to tell."""
        if visit.cookie is None:
            return None
        if not visit.cookie:
            return self._cookie.deleted(scheme)
        return self._cookie.set(visit.cookie, self._lifetimes.age(visit.expires, int(time.time())), scheme)

    def _begin(self, visit: Visit, created: int, seen: int) -> None:
        visit.begin(created, seen, self._lifetimes.expires(created, seen))


class CookieKeeper(_Keeper):
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

    async def load(self, headers: Headers) -> Session:
        """The same, for who can wait."""
        return self.open(headers)

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
            values = _plain(session)
            data = encode(values) if values else b""
        session.touched = False
        ends = not data and session.modified and visit.sent
        if visit.started:
            if ends or data != before:
                _logger.warning(
                    "a session was changed after the response had begun: its cookie cannot be sent any more"
                )
        elif ends:
            visit.cookie = b""
        elif data and (data != before or self._lifetimes.are_worth_renewing(visit.seen, now)):
            created = visit.created or now
            self._begin(visit, created, now)
            visit.before = data
            visit.cookie = self._tokens.write(Token(data, created, now))


class StoreKeeper(_Keeper):
    """A store holds the data, and the cookie an id that nobody can guess.

    Args:
        cookie: Its name and attributes.
        lifetimes: When a session ends.
        store: Where the data is.
    """

    __slots__ = ("_store",)

    def __init__(self, cookie: Cookie, lifetimes: Lifetimes, store: SessionStore) -> None:
        super().__init__(cookie, lifetimes)
        self._store = store

    def open(self, headers: Headers) -> Session | None:
        """The session of a request that has no id; None if it is to be loaded."""
        found = self._cookie.found(headers)
        if any(map(_ID.fullmatch, found)):
            return None
        return Session.unread(self._visit(found), _empty)

    async def load(self, headers: Headers) -> Session:
        """The session of a request; an id that the store does not know is no session.

        A failure of the store is one of those only who touch the session.
        """
        found = self._cookie.found(headers)
        visit = self._visit(found)
        try:
            for value in filter(_ID.fullmatch, found):
                record = await self._load(value, visit)
                if record is not None:
                    return Session.unread(visit, partial(_decoded_fields, record))
        except SessionStoreError as error:
            return Session.unread(visit, partial(_failing, error))
        return Session.unread(visit, _empty)

    def _visit(self, found: list[bytes]) -> Visit:
        visit = Visit()
        visit.sent = bool(found)
        visit.save, visit.lock = self.keep, anyio.Lock()
        return visit

    async def _load(self, value: bytes, visit: Visit) -> Record | None:
        key = _hashed(value)
        record = await self._store.load(key)
        if record is None or self._lifetimes.are_over(record.created, record.seen, int(time.time())):
            return None
        self._begin(visit, record.created, record.seen)
        visit.key, visit.value, visit.before = key, value, record.fields
        return record

    async def keep(self, session: Session) -> None:
        """Store what changed, and say what the cookie is to be, if it changes."""
        async with session.visit.lock:
            session.touched = False
            try:
                await self._keep(session)
            except BaseException:
                session.touched = True
                raise

    async def _keep(self, session: Session) -> None:
        visit, now = session.visit, int(time.time())
        before: Mapping[str, bytes] = visit.before or {}
        fields = before
        if session.modified or session.shown:
            fields = encode_fields(_plain(session))
        if visit.key and not fields and session.modified:
            visit.end()
        if visit.key:
            await self._change(visit, visit.key, before, fields, now)
        elif fields and await self._may_go_on(visit, now):
            await self._make(visit, fields, now)
        elif session.modified:
            visit.cookie = b"" if visit.sent else None
        while visit.ended:
            key = visit.ended.pop()
            try:
                await self._store.delete(key)
            except BaseException:
                visit.ended.append(key)
                raise

    async def _may_go_on(self, visit: Visit, now: int) -> bool:
        """Whether data can go on in another session: not that of one that had ended meanwhile."""
        if not visit.carries or await self._store.touch(visit.ended[-1], now, self._lifetimes.idle):
            return True
        _logger.warning(_DEAD)
        return False

    async def _make(self, visit: Visit, fields: Mapping[str, bytes], now: int) -> None:
        if visit.started:
            _logger.warning(
                "a session was begun after the response had: it is lost, its cookie cannot be sent any more"
            )
            return
        value = secrets.token_urlsafe(32).encode()
        key = _hashed(value)
        self._begin(visit, now, now)
        await self._store.save(key, Change(fields, (), now, created=now), visit.expires - now)
        visit.key, visit.value, visit.before, visit.cookie = key, value, fields, value

    async def _change(
        self, visit: Visit, key: str, before: Mapping[str, bytes], fields: Mapping[str, bytes], now: int
    ) -> None:
        changed = {name: value for name, value in fields.items() if before.get(name) != value}
        gone = before.keys() - fields.keys()
        due = self._lifetimes.are_worth_renewing(visit.seen, now)
        # The store forgets the session no later than the browser does, who is told when it is renewed.
        seen = now if due else visit.seen
        ttl = self._lifetimes.expires(visit.created, seen) - now
        if changed or gone:
            if not await self._store.save(key, Change(changed, gone, seen), ttl):
                _logger.warning(_DEAD)
                return
        elif not due or not await self._touch(key, now, ttl):
            return
        self._begin(visit, visit.created, seen)
        visit.before = fields
        if due:
            visit.cookie = visit.value

    async def _touch(self, key: str, now: int, ttl: int) -> bool:
        try:
            return await self._store.touch(key, now, ttl)
        except SessionStoreError as error:
            _logger.warning("a session was read, but not renewed: %s", error)
            return False


def _plain(session: Session) -> dict[str, Any]:
    """The data of a session that was read, without touching it."""
    return dict(dict.items(session))


def _hashed(value: bytes) -> str:
    return sha256(value).hexdigest()


def _decoded(data: bytes) -> Any:
    """What was authenticated, or comes from the store: it may still have been written by something else."""
    try:
        return _decode(data.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        _logger.warning("the data of a session is not JSON; it is taken for none")
        return None


def _decoded_fields(record: Record, visit: Visit) -> dict[str, Any]:
    try:
        return {name: _decode(value.decode("utf-8", "surrogatepass")) for name, value in record.fields.items()}
    except (ValueError, RecursionError):
        _logger.warning("a value of a session in the store is not JSON; the session is taken for an empty one")
        return {}


def _empty(visit: Visit) -> dict[str, Any]:
    return {}


def _failing(error: SessionStoreError, visit: Visit) -> dict[str, Any]:
    raise error
