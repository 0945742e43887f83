"""What is known of a session beside its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import anyio

    from .session import Session


class Visit:
    """What is known of a session beside its data.

    Attributes:
        key: Under which a store has it; None if it is in no store.
        value: What the cookie of a session in a store holds.
        created: When it began, in seconds since the epoch; 0 if it has not.
        seen: When it was last written or renewed.
        expires: When it ends if nobody touches it again.
        before: Its data as it came, in the form in which it is kept.
        cleared: Whether the application has thrown all of it away.
        sent: Whether the request has a cookie of the name, whatever is in it.
        origin: The key of the session whose data goes on in this one, and that data as it came.
        ended: The keys of what the application has ended.
        started: Whether the response has begun, so that no cookie can be sent any more.
        given_up: Whether it could not be kept, so that nothing of it is any more.
        cookie: What is to be sent in the cookie: a value, b"" to delete it, None for nothing.
        save: Stores what changed, at any time; None if that cannot be done.
        lock: Held while it is stored: a task may save by hand while another begins the response.
    """

    __slots__ = (
        *("before", "cleared", "cookie", "created", "ended", "expires", "given_up"),
        *("key", "lock", "origin", "save", "seen", "sent", "started", "value"),
    )

    def __init__(self) -> None:
        self.key: str | None = None
        self.value = b""
        self.created = self.seen = self.expires = 0
        self.before: Any = None
        self.origin: tuple[str, Mapping[str, bytes]] | None = None
        self.cleared = self.sent = self.started = self.given_up = False
        self.ended: list[str] = []
        self.cookie: bytes | None = None
        self.save: Callable[[Session], Awaitable[None]] | None = None
        self.lock: anyio.Lock | None = None

    def begin(self, created: int, seen: int, expires: int) -> None:
        """Take the times of a session that is there."""
        self.created, self.seen, self.expires = created, seen, expires

    def end(self) -> None:
        """End the session that came; what comes of it is another."""
        if self.key:
            self.ended.append(self.key)
        self.key = self.before = self.cookie = None
        self.created = self.seen = self.expires = 0
