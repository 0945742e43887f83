"""The session that an application sees: a dict that is read when it is first touched, and notices what changes in it.

C code (``orjson``, parts of ``json``) looks into the storage of a dict without asking its methods, and would take a
session that is not read yet for an empty one. Until then one key that is no string stands there: such code asks the
methods after all, or fails.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from .visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Unread:
    """The key that stands in the storage of a session until it is read; nobody can write it down."""

    def __str__(self) -> str:
        raise TypeError("the session is not read yet; read it with dict(session)")

    __repr__ = __str__


_UNREAD = _Unread()
_UNCHANGEABLE = frozenset((str, int, float, bool, type(None)))
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode(session: Mapping[str, Any]) -> bytes:
    """All data of a session in JSON; TypeError or ValueError, with the key, if something in it is not JSON."""
    if all(isinstance(name, str) for name in session):
        with suppress(TypeError, ValueError, RecursionError):
            return _json(session)
    return b"{%s}" % b",".join(b"%s:%s" % (_json(name), value) for name, value in encode_fields(session).items())


def encode_fields(session: Mapping[str, Any]) -> dict[str, bytes]:
    """The data of a session in JSON, each value for itself; it raises as ``encode`` does."""
    fields = {}
    for name, value in session.items():
        if not isinstance(name, str):
            raise TypeError(f"the keys of a session are strings: write session[{str(name)!r}]")
        try:
            fields[name] = _json(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise type(error)(f"session[{name!r}] is not JSON: {error}") from None
    return fields


def _json(value: object) -> bytes:
    return _encoder.encode(value).encode("utf-8", "surrogatepass")  # as json.loads decodes


def _reading(name: str) -> Any:
    """A method of dict that reads. What it hands out may be changed in place later."""
    method = getattr(dict, name)

    @wraps(method)
    def reading(self: Session, *args: Any) -> Any:
        self.mark_accessed()
        result = method(self, *args)
        if result.__class__ not in _UNCHANGEABLE:
            self.shown = True
        return result

    return reading


def _writing(name: str) -> Any:
    """A method of dict that writes."""
    method = getattr(dict, name)

    @wraps(method)
    def writing(self: Session, *args: Any, **kwargs: Any) -> Any:
        self.mark_modified()
        return method(self, *args, **kwargs)

    return writing


class Session(dict[str, Any]):
    """What is known of a visitor: a dict of values that JSON can hold.

    It is read when it is first touched, and sent or stored at the end if anything in it, however deep, is another.
    ``Session({...})`` is one that belongs to no connection.

    Attributes:
        accessed: Whether the application read or wrote it.
        modified: Whether the application wrote it; changes inside of values are found at the end only.
    """

    # touched: since it was kept last. shown: something that can change in place was handed out.
    __slots__ = ("__weakref__", "_read", "accessed", "modified", "shown", "touched", "visit")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accessed = self.modified = self.shown = self.touched = False
        self.visit = Visit()
        self._read: Callable[[Visit], Mapping[str, Any]] | None = None

    @classmethod
    def unread(cls, visit: Visit, read: Callable[[Visit], Mapping[str, Any]]) -> Session:
        """A session whose data is what ``read`` returns when it is first touched."""
        session = cls.__new__(cls)
        dict.__setitem__(session, cast("str", _UNREAD), None)
        session.accessed = session.modified = session.shown = session.touched = False
        session.visit = visit
        session._read = read
        return session

    def mark_accessed(self) -> None:
        """Say that the response depends on the session; it is read now, if it was not."""
        self.accessed = self.touched = True
        if self._read:
            data = self._read(self.visit)
            self._read = None
            dict.clear(self)
            dict.update(self, data)

    def mark_modified(self) -> None:
        """Say that the session changed."""
        self.mark_accessed()
        self.modified = True

    @property
    def id(self) -> str | None:
        """What a store knows the session by, a hash of the cookie; None if it is new, or the cookie is all there is."""
        return self._begun().key

    @property
    def is_new(self) -> bool:
        """Whether it is not kept yet: none came with the request, or that one was ended."""
        return not self._begun().created

    @property
    def created(self) -> datetime | None:
        """When it began."""
        created = self._begun().created
        return datetime.fromtimestamp(created, UTC) if created else None

    @property
    def expires_at(self) -> datetime | None:
        """When it ends if nobody touches it again."""
        expires = self._begun().expires
        return datetime.fromtimestamp(expires, UTC) if expires else None

    def regenerate(self) -> None:
        """Go on with the same data in another session, and end this one: to be done at each login.

        Raises:
            RuntimeError: If the response has begun, so that the cookie of another session cannot be sent.
        """
        visit = self.visit
        if visit.started:
            raise RuntimeError("regenerate() must come before the response begins: its cookie goes out with that")
        self.mark_modified()
        if visit.key:
            visit.origin = visit.key, visit.before
        visit.end()

    def invalidate(self) -> None:
        """End the session and forget its data: to be done at each logout. What is written later begins another."""
        self.clear()
        self.visit.end()
        self.visit.origin = None

    async def save(self) -> None:
        """Store what changed, now, where the response has begun already: in a websocket, in a long stream.

        Raises:
            RuntimeError: If the data is in the cookie, which is sent with the beginning of a response only.
            SessionStoreError: If the store does not answer.
        """
        if self.visit.save is None:
            raise RuntimeError("only a session in a store can be saved by hand: SessionMiddleware(..., store=...)")
        self.mark_accessed()
        await self.visit.save(self)

    def _begun(self) -> Visit:
        self.mark_accessed()
        return self.visit

    if not TYPE_CHECKING:  # for type checkers they are those of dict
        __getitem__, get, values, items = map(_reading, ("__getitem__", "get", "values", "items"))
        __contains__, __iter__, __reversed__ = map(_reading, ("__contains__", "__iter__", "__reversed__"))
        __len__, __repr__, __or__, __ror__ = map(_reading, ("__len__", "__repr__", "__or__", "__ror__"))
        copy, keys = map(_reading, ("copy", "keys"))
        __setitem__, __delitem__, __ior__ = map(_writing, ("__setitem__", "__delitem__", "__ior__"))
        update = _writing("update")

    def clear(self) -> None:
        self.mark_modified()
        self.visit.cleared = True
        super().clear()

    def pop(self, key: str, *default: Any) -> Any:
        if key in self:
            self.mark_modified()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        self.mark_accessed()
        item = super().popitem()
        self.mark_modified()
        return item

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def __eq__(self, other: object) -> bool:
        self.mark_accessed()
        if isinstance(other, Session):
            other.mark_accessed()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (self.copy(),)  # a copy belongs to no connection
