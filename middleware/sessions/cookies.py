"""The cookie on the wire: found in requests, set and deleted in responses, kept out of shared caches.

Spec: RFC 6265bis §4.1 (Set-Cookie), §4.1.3 (prefixes), §5.6 (limits); RFC 9111 §5.2, §7.3; RFC 9213.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from .._headers import Headers, values, with_vary
from .tokens import TOO_LARGE, SessionTooLargeError

Header = tuple[bytes, bytes]

_MAX_TRIED = 4  # cookies of one name: others may have been set for a parent domain, to be in the way
_MAX_SIZE = 4096  # bytes of a line; browsers drop larger cookies without a word
_DIRECTIVE = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)
_SHARING = (b"public", b"private", b"s-maxage")
# What shared caches ask before Cache-Control, with their words for "not here".
_SHARED_CACHES = {b"cdn-cache-control": b"private", b"surrogate-control": b"no-store", b"x-accel-expires": b"0"}


class Cookie(NamedTuple):
    """A cookie with its attributes, but for Max-Age.

    Attributes:
        name: Of the cookie.
        path: The value of Path.
        same_site: The value of SameSite.
        secure: Whether Secure is set always, never, or (None) where the connection is.
        reach: The attributes behind these.
    """

    name: str
    path: str
    same_site: str
    secure: bool | None
    reach: str = ""

    def found(self, headers: Headers) -> list[bytes]:
        """The values of the cookie in a request, no more than four of them."""
        found = [value for line in values(headers, b"cookie") for value in _pattern(self.name).findall(line)]
        return [value.strip(b' \t"') for value in found[:_MAX_TRIED]]

    def set(self, value: bytes, max_age: int | None, scheme: str | None) -> bytes:
        """The value of Set-Cookie."""
        age = "" if max_age is None else f"Max-Age={max_age}; "
        line = self._line(value, age, scheme)
        if len(line) > _MAX_SIZE:
            raise SessionTooLargeError(
                f"the cookie of the session would have {len(line)} bytes, and browsers drop those of more than "
                f"{_MAX_SIZE}; {TOO_LARGE}"
            )
        return line

    def deleted(self, scheme: str | None) -> bytes:
        """The value of Set-Cookie that deletes the cookie."""
        return self._line(b"null", "expires=Thu, 01 Jan 1970 00:00:00 GMT; ", scheme)

    def _line(self, value: bytes, age: str, scheme: str | None) -> bytes:
        secure = "; secure" if (scheme in ("https", "wss") if self.secure is None else self.secure) else ""
        attributes = f"path={self.path}; {age}httponly; samesite={self.same_site}{secure}{self.reach}"
        return b"%s=%s; %s" % (self.name.encode(), value, attributes.encode())


@lru_cache(16)
def _pattern(name: str) -> re.Pattern[bytes]:
    # What comes first is literal, so that it is found fast; what stands before it is looked at then.
    escaped = re.escape(name.encode())
    return re.compile(rb"%s(?:(?<=^%s)|(?<=;%s)|(?<=; %s))[ \t]*=([^;]*)" % ((escaped,) * 4))


def with_cookie(headers: Headers, line: bytes) -> list[Header]:
    """A copy of ``headers`` with Set-Cookie, which no shared cache may keep."""
    kept: list[Header] = []
    directives: list[bytes] = []
    for name, value in headers:
        lowered = name.lower()
        if lowered == b"cache-control":
            directives += filter(None, (directive.strip(b" \t") for directive in _DIRECTIVE.findall(value)))
        else:
            kept.append((name, _SHARED_CACHES.get(lowered, value)))
    if not {b"private", b"no-store"} & {directive.lower() for directive in directives}:
        # private="x-name" is about that header alone (RFC 9111 §5.2.2.7).
        directives = [one for one in directives if one.partition(b"=")[0].lower() not in _SHARING] + [b"private"]
    if directives:
        kept.append((b"cache-control", b", ".join(directives)))
    kept.append((b"set-cookie", line))
    return kept


def varying(headers: Headers) -> list[Header]:
    """A copy of ``headers`` that says that the response depends on the cookies."""
    return with_vary(headers, b"Cookie")
