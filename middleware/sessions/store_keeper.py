"""Sessions in a store."""

from __future__ import annotations

import logging
import re
import secrets
import time
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio

from .keeper import Keeper, decode, plain
from .session import Session, encode_fields
from .store import Change, Record, SessionStore, SessionStoreError
from .visit import Visit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Mapping

    from .._headers import Headers
    from .cookies import Cookie
    from .lifetimes import Lifetimes

_logger = logging.getLogger("middleware.sessions")
_DEAD = "a session had ended before a request that was under way changed it: that is lost"
_ID = re.compile(rb"[A-Za-z0-9_-]{43}")  # 32 random bytes


class StoreKeeper(Keeper):
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

    def open(self, headers: Headers) -> Session | Awaitable[Session]:
        """The session of a request, which is to be waited for if an id came."""
        found = self._cookie.found(headers)
        visit = self._visit(found)
        ids = [value for value in found if _ID.fullmatch(value)]
        return self._loaded(ids, visit) if ids else Session.unread(visit, _empty)

    async def _loaded(self, ids: list[bytes], visit: Visit) -> Session:
        """The session of the first id that the store knows.

        A failure of the store is one of those only who touch the session.
        """
        try:
            for value in ids:
                record = await self._load(value, visit)
                if record is not None:
                    return Session.unread(visit, partial(_decoded_fields, record))
        except SessionStoreError as error:
            return Session.unread(visit, partial(_failing, error))
        return Session.unread(visit, _empty)

    def _visit(self, found: list[bytes]) -> Visit:
        visit = Visit()
        visit.sent = bool(found)
        visit.save = self.keep
        return visit

    async def _load(self, value: bytes, visit: Visit) -> Record | None:
        key = _hashed(value)
        record = await self._record(key)
        if record is not None:
            self._begin(visit, record.created, record.seen)
            visit.key, visit.value, visit.before = key, value, record.fields
        return record

    async def _record(self, key: str) -> Record | None:
        record = await self._store.load(key)
        if record is None or self._lifetimes.are_over(record.created, record.seen, int(time.time())):
            return None
        return record

    async def keep(self, session: Session) -> None:
        """Store what changed, and say what the cookie is to be, if it changes."""
        visit = session.visit
        visit.lock = visit.lock or anyio.Lock(fast_acquire=True)
        async with visit.lock:
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
            fields = encode_fields(plain(session))
        if visit.cleared and not fields:
            visit.end()
        if visit.key:
            await self._change(visit, visit.key, before, fields, now)
        elif fields:
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

    async def _make(self, visit: Visit, fields: Mapping[str, bytes], now: int) -> None:
        if visit.started:
            _logger.warning(
                "a session was begun after the response had: it is lost, its cookie cannot be sent any more"
            )
            return
        stored = await self._carried_on(visit.origin, fields)
        if stored is None:
            _logger.warning(_DEAD)
            return
        value = secrets.token_urlsafe(32).encode()
        key = _hashed(value)
        self._begin(visit, now, now)
        await self._store.save(key, Change(stored, (), now, created=now), visit.expires - now)
        visit.key, visit.value, visit.before, visit.cookie, visit.origin = key, value, fields, value, None

    async def _carried_on(
        self, origin: tuple[str, Mapping[str, bytes]] | None, fields: Mapping[str, bytes]
    ) -> Mapping[str, bytes] | None:
        """What another session begins with: what others wrote meanwhile too; None if the former one had ended."""
        if origin is None:
            return fields
        key, before = origin
        record = await self._record(key)
        if record is None:
            return None
        changed, gone = _difference(before, fields)
        return {name: value for name, value in {**record.fields, **changed}.items() if name not in gone}

    async def _change(
        self, visit: Visit, key: str, before: Mapping[str, bytes], fields: Mapping[str, bytes], now: int
    ) -> None:
        changed, gone = _difference(before, fields)
        # The browser, which is to forget the session when the store does, is told of a renewal at the beginning only.
        due = not visit.started and self._lifetimes.are_worth_renewing(visit.seen, now)
        ttl = self._lifetimes.expires(visit.created, now) - now
        if changed or gone:
            if not await self._store.save(key, Change(changed, gone, now if due else None), ttl):
                _logger.warning(_DEAD)
                return
        elif not due or not await self._touch(key, now, ttl):
            return
        visit.before = fields
        if due:
            self._begin(visit, visit.created, now)
            visit.cookie = visit.value

    async def _touch(self, key: str, now: int, ttl: int) -> bool:
        try:
            return await self._store.touch(key, now, ttl)
        except SessionStoreError as error:
            _logger.warning("a session was read, but not renewed: %s", error)
            return False


def _difference(before: Mapping[str, bytes], fields: Mapping[str, bytes]) -> tuple[dict[str, bytes], Collection[str]]:
    """The fields that are new or another, and the names of those that are gone."""
    changed = {name: value for name, value in fields.items() if before.get(name) != value}
    return changed, before.keys() - fields.keys()


def _hashed(value: bytes) -> str:
    return sha256(value).hexdigest()


def _decoded_fields(record: Record, visit: Visit) -> dict[str, Any]:
    data = {}
    for name, value in record.fields.items():
        try:
            data[name] = decode(value)
        except (ValueError, RecursionError):
            _logger.warning("session[%r] in the store is not JSON; it is left out", name)
    visit.before = {name: record.fields[name] for name in data}
    return data


def _empty(visit: Visit) -> dict[str, Any]:
    return {}


def _failing(error: SessionStoreError, visit: Visit) -> dict[str, Any]:
    raise error
