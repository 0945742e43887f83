"""What keeps the data of a session between two requests: the cookie, or a store that the cookie points to."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cookies import Cookie
    from .lifetimes import Lifetimes
    from .session import Session
    from .visit import Visit

_decode = json.JSONDecoder().decode


class Keeper:
    """What both kinds have in common."""

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


def plain(session: Session) -> dict[str, Any]:
    """The data of a session that was read, without touching it."""
    return dict(dict.items(session))


def decode(data: bytes) -> Any:
    """What is in data that was authenticated, or comes from a store; ValueError or RecursionError if it is not JSON."""
    return _decode(data.decode("utf-8", "surrogatepass"))
