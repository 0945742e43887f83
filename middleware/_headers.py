"""Pure functions over raw ASGI header lists: ``(name, value)`` pairs of byte strings, in order, with duplicates."""

from __future__ import annotations

import re
from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_FIELD_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?")  # RFC 9110 §5.5


def values(headers: Headers, name: bytes) -> list[bytes]:
    """The values of every header called ``name`` (lower case), in order; names are compared without case."""
    return [value for key, value in headers if key.lower() == name]


def is_token(name: bytes) -> bool:
    """Whether ``name`` can be a header's name."""
    return _TOKEN.fullmatch(name) is not None


def is_field_value(value: bytes) -> bool:
    """Whether ``value`` can be a header's value: no control character, no space around it."""
    return _FIELD_VALUE.fullmatch(value) is not None
