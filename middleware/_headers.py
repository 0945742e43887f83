"""Pure functions over raw ASGI header lists: ``(name, value)`` pairs of byte strings, in order, with duplicates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

Headers = Iterable[tuple[bytes, bytes]]

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_FIELD_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?")  # RFC 9110 §5.5


def values(headers: Headers, name: bytes) -> list[bytes]:
    """The values of every header called ``name`` (lower case), in order; names are compared without case."""
    found = []
    length = len(name)  # most names are told apart by it, which costs less than lower()
    for key, value in headers:
        if len(key) == length and key.lower() == name:
            found.append(value)
    return found


def long_headers(headers: Headers, least: int) -> dict[bytes, list[bytes]]:
    """The values of headers whose names have ``least`` bytes or more, by name in lower case."""
    found: dict[bytes, list[bytes]] = {}
    for key, value in headers:
        if len(key) >= least:
            found.setdefault(key.lower(), []).append(value)
    return found


def with_vary(headers: Headers, name: bytes) -> list[tuple[bytes, bytes]]:
    """A copy of ``headers`` whose Vary has ``name``, once, unless it is ``*`` (RFC 9110 §12.5.5)."""
    copy = [*headers]
    last = None
    for index, (key, value) in enumerate(copy):
        if len(key) == 4 and key.lower() == b"vary":
            if _merged(value, name) == value:
                return copy
            last = index
    if last is None:
        copy.append((b"vary", name))
    else:
        copy[last] = b"vary", _merged(copy[last][1], name)
    return copy


@lru_cache(256)
def _merged(vary: bytes, name: bytes) -> bytes:
    tokens = [token.strip() for token in vary.lower().split(b",")]
    if b"*" in tokens or name.lower() in tokens:
        return vary
    vary = vary.rstrip(b", \t")
    return vary + b", " + name if vary else name


def is_token(name: bytes) -> bool:
    """Whether ``name`` can be a header's name."""
    return _TOKEN.fullmatch(name) is not None


def is_field_value(value: bytes) -> bool:
    """Whether ``value`` can be a header's value: no control character, no space around it."""
    return _FIELD_VALUE.fullmatch(value) is not None
