"""What a store of sessions has to do: four verbs, which carry changes of single values.

Two requests of one visitor run at once and each changes something else: because ``save`` says what changed and not
what all is, a store keeps both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class SessionStoreError(Exception):
    """A store of sessions did not do what it was asked, or not in time."""


class Record(NamedTuple):
    """What a store has of a session.

    Attributes:
        fields: The values by key, each in JSON.
        created: When the session began, in seconds since the epoch.
        seen: When it was last renewed.
    """

    fields: Mapping[str, bytes]
    created: int
    seen: int


class Change(NamedTuple):
    """What a request changed in a session.

    Attributes:
        set: New values by key, each in JSON.
        delete: Keys whose values are gone.
        seen: When that was, in seconds since the epoch, if the session is renewed; None if it is not, so that it
            expires when it would have.
        created: The same time, if the record is to be made; None if it must be there.
    """

    set: Mapping[str, bytes]
    delete: Collection[str]
    seen: int | None
    created: int | None = None


class SessionStore(Protocol):
    """Where sessions are kept. ``MemoryStore``, ``SQLiteStore`` and ``RedisStore`` are ready; others can be written.

    Keys are hashes in hexadecimal: the store does not learn what the cookies are. A record that is not there is no
    error; what goes wrong in the store itself raises ``SessionStoreError``.
    """

    async def load(self, key: str) -> Record | None:
        """The record, None if there is none or it has expired."""
        ...

    async def save(self, key: str, change: Change, ttl: int) -> bool:
        """Apply the change at once or not at all; keep a record that is renewed for ``ttl`` seconds from now.

        False if the record is to be there and is not: what has ended does not come back.
        """
        ...

    async def delete(self, key: str) -> None:
        """Forget the record."""
        ...

    async def touch(self, key: str, seen: int, ttl: int) -> bool:
        """Note when the session was seen and keep it for ``ttl`` seconds from now; False if it is not there."""
        ...
