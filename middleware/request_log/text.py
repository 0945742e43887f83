r"""Text that is safe to log: on one line, without control or bidi characters, without credentials.

``printable`` escapes whatever is not printable, and the backslash, so that the original can be had back:

- ``\\``, ``\n``, ``\r``, ``\t``
- ``\x1b``: another ASCII character
- ``\xff``: a byte that is not UTF-8
- ``\u0085``, ``\U000e0001``: any other character, a lone surrogate among them

``Redaction`` puts ``REDACTED`` where a credential stands and leaves every other byte as it was sent.

Source: OpenTelemetry semantic conventions, ``url.full`` and ``url.query`` (redaction).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

REDACTED = "REDACTED"

_REMEMBERED = 256  # characters
_MAX_KNOWN = 1_000
_SHORT = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}

_SECRET = re.compile(
    "token|secret|pass(?:w|phrase|code)|signature|credential|(?:api|access|private|subscription|functions)[-_.]?key"
    "|jwt|sess(?:ion)?[-_.]?id|authorization|cookie|assertion|samlresponse"
)
_NAMES = frozenset(
    (
        *("auth", "code", "dpop", "otp", "pass", "pwd", "sec-websocket-protocol"),
        *("session", "sid", "sig", "ticket"),
    )
)
_URLS = ("referer", "location", "content-location", "x-forwarded-uri", "x-original-url", "x-rewrite-url")
_PARTS = re.compile(r"[\[\].]+")
# A URL in a parameter: next=%2Freset%3Ftoken%3D...
_NESTED = re.compile(r"(%3f|%26|%23)([\w.-]++)(%3d)((?:(?!%26|%23)[^&#])*+)", re.IGNORECASE)
_MAX_WORD = 64

# A key is read once: nothing before it is tried as its beginning, and what was read is not given back.
_KEY = re.compile("(?:^|(?<=[?&;#]))([^?&;#=]*+)=")
_USERINFO = re.compile(r"((?:[^/\\?#:]*+:)?+[/\\]{2,}+)[^/\\?#]*@")  # browsers take a backslash for a slash


def decoded(value: bytes) -> str:
    """``value`` as UTF-8; what is not comes as lone surrogates, which ``printable`` knows for bytes."""
    return value.decode("utf-8", "surrogateescape")


def printable(value: str | bytes) -> str:
    """``value`` with every character escaped that is not printable; bytes are read as UTF-8."""
    if isinstance(value, bytes):
        value = decoded(value)
    if value.isprintable() and "\\" not in value:
        return value
    return "".join([char if char.isprintable() and char != "\\" else _escaped(char) for char in value])


def escaped(error: Exception) -> Exception:
    """A stand-in for an exception whose text may hold what a client sent; its traceback is the same."""
    stand_in: type[Exception] = type(type(error).__name__, (Exception,), {"__module__": type(error).__module__})
    return stand_in(printable(str(error))).with_traceback(error.__traceback__)


def short(value: str | bytes) -> str:
    """``printable`` for what comes again and again, the same each time."""
    return _remembered(value) if len(value) <= _REMEMBERED else printable(value)


_remembered = lru_cache(256)(printable)


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # how surrogateescape decodes a byte
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class Redaction:
    """Replace credentials by ``REDACTED``.

    A key of a query or the name of a header is secret, percent-decoded and without regard to case, if it contains
    ``token``, ``secret``, ``passw``, ``signature``, ``credential``, ``api_key``, ``access_key`` (with any or no
    separator) or ``jwt``, or is one of those that browsers and OAuth use for credentials: ``authorization``,
    ``cookie``, ``code``, ``session``, ``sig`` and the like. A secret value ends at ``&``: a ``;`` separates
    parameters for few servers, and may stand in a value for the others.

    Args:
        names: Further names of query keys and headers, without regard to case.
    """

    __slots__ = ("_known", "_names")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._known: dict[str, bool] = {}  # what was found out about keys
        self._names = _NAMES.union(name.strip().lower() for name in names)

    def query(self, text: str) -> str:
        """A query, without its ``?``, whose secret values are replaced."""
        if "=" not in text:
            return text
        kept = []
        end = 0
        for key in _KEY.finditer(text):
            if key.start() >= end and self._is_secret(key[1]):
                kept.append(text[end : key.end()])
                end = text.find("&", key.end())
                if end < 0:
                    end = len(text)
        kept.append(text[end:])
        return _NESTED.sub(self._nested, REDACTED.join(kept))

    def _nested(self, match: re.Match[str]) -> str:
        before, key, equals, value = match.groups()
        return f"{before}{key}{equals}{REDACTED if self._is_secret(key) else value}"

    def word(self, text: str) -> str:
        """What should be a name and may be a credential: a websocket's subprotocol."""
        return REDACTED if len(text) > _MAX_WORD or "bearer" in text.lower() or self._is_secret(text) else text

    def url(self, text: str) -> str:
        """A URL, absolute or not, whose user and whose secret values in query and fragment are replaced."""
        user = _USERINFO.match(text) if "@" in text else None
        if user:
            text = f"{user[1]}{REDACTED}@{text[user.end() :]}"
        if "=" not in text:
            return text
        rest, hash_, fragment = text.partition("#")
        path, mark, query = rest.partition("?")
        return f"{path}{mark}{self.query(query)}{hash_}{self.query(fragment)}"

    def header(self, name: str, value: str) -> str:
        """The value of a header: replaced if its name is secret, with its secrets replaced if it is a URL."""
        if self._is_secret(name):
            return REDACTED
        return self.url(value) if name.lower() in _URLS else value

    def _is_secret(self, key: str) -> bool:
        secret = self._known.get(key)
        if secret is None:
            secret = self._looks_secret(key)
            if len(key) <= _REMEMBERED and len(self._known) < _MAX_KNOWN:
                self._known[key] = secret
        return secret

    def _looks_secret(self, key: str) -> bool:
        if "%" in key or "+" in key:
            key = unquote_plus(key)
        key = key.strip().lower()
        return not self._names.isdisjoint((key, *_PARTS.split(key))) or _SECRET.search(key) is not None
