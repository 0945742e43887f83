"""What a policy says to a preflight and to an actual request: bytes in, bytes out, no ASGI.

Spec: Fetch §3.3 (CORS protocol), §4.8 (CORS-preflight fetch).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .._headers import is_token
from .._hosts import MAX_ORIGIN, parse_origin
from .origins import NOBODY, Origins

if TYPE_CHECKING:
    import re

OriginFunc = Callable[[str, Any], bool | Awaitable[bool]]
Header = tuple[bytes, bytes]

ALL_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY")
SAFE_METHODS = frozenset((b"GET", b"HEAD", b"POST"))  # Fetch §4.8: they pass without being listed
SAFE_HEADERS = ("Accept", "Accept-Language", "Content-Language", "Content-Type")
_REQUEST = "Access-Control-Request"
_VARY = (b"vary", f"Origin, {_REQUEST}-Method, {_REQUEST}-Headers, {_REQUEST}-Private-Network".encode())
_BODIES = {  # by what is lacking, with the headers that describe them
    lacking: (body, [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain; charset=utf-8")])
    for lacking, body in {
        (): b"OK",
        ("allow_origins",): b"Disallowed CORS origin",
        ("allow_methods",): b"Disallowed CORS method",
        ("allow_headers",): b"Disallowed CORS headers",
        ("allow_methods", "allow_headers"): b"Disallowed CORS method, headers",
    }.items()
}
_MAX_METHOD = 64
_MAX_ECHO = 4096  # bytes of header names that a browser is told again
_MAX_EMPTY = 16  # RFC 9110 §5.6.1.2: empty elements are tolerated, not any number of them
_MAX_REMEMBERED = 1024


class Asked(NamedTuple):
    """What a preflight asks for: the values of its headers, those of Access-Control-Request-Headers line by line."""

    method: bytes
    headers: tuple[bytes, ...] = ()
    private_network: bool = False


class Answer(NamedTuple):
    """The answer to a preflight, and which parameters would have to say more for it to be allowed."""

    status: int
    headers: list[Header]
    body: bytes
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """Who may do what, in the words of ``CORSMiddleware``; two policies in the same words are equal."""

    origins: Origins = NOBODY
    origin_regex: re.Pattern[str] | None = None
    origin_func: OriginFunc | None = None
    methods: tuple[str, ...] = ("GET",)
    headers: tuple[str, ...] = ()
    credentials: bool = False
    private_network: bool = False
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = 600
    is_public: bool = field(init=False, compare=False, repr=False)
    """Whether the answer to every origin is the same: ``*``, which no cache has to tell apart."""
    _remembered: Callable[[bytes], bool] | None = field(init=False, compare=False, repr=False)
    _exposed: tuple[Header, ...] = field(init=False, compare=False, repr=False)
    _granted: tuple[Header, ...] = field(init=False, compare=False, repr=False)
    _methods: frozenset[bytes] = field(init=False, compare=False, repr=False)
    _names: frozenset[bytes] = field(init=False, compare=False, repr=False)
    _longest: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        credentials = ((b"access-control-allow-credentials", b"true"),) * self.credentials
        exposed = ", ".join(self.expose_headers).encode()
        methods = ALL_METHODS if "*" in self.methods else self.methods
        headers = sorted({*SAFE_HEADERS, *self.headers})
        if "*" in self.headers:
            # Fetch, CORS non-wildcard request-header name: ``*`` does not stand for Authorization.
            headers = [] if self.credentials else ["*", "Authorization"]
        granted = [(b"access-control-allow-methods", ", ".join(methods).encode())] if methods else []
        if self.max_age is not None:
            granted.append((b"access-control-max-age", b"%d" % self.max_age))
        if headers:
            granted.append((b"access-control-allow-headers", ", ".join(headers).encode()))
        names = {name.lower().encode() for name in (*SAFE_HEADERS, *headers)}
        only_exact = self.origins.only_exact and self.origin_regex is None
        compiled = {
            "is_public": self.origins.any and not self.credentials,
            "_remembered": None if only_exact else lru_cache(_MAX_REMEMBERED)(self._allows),
            "_exposed": credentials + ((b"access-control-expose-headers", exposed),) * bool(exposed),
            "_granted": (*granted, *credentials, _VARY),
            "_methods": frozenset(method.encode() for method in methods) | SAFE_METHODS,
            "_names": frozenset({*names, b""}),
            # Names are unique in a browser's request; a space or two around each is what intermediaries add.
            "_longest": len(b",".join(names)) + 4 * len(names) + _MAX_EMPTY,
        }
        for name, value in compiled.items():
            object.__setattr__(self, name, value)

    def allows(self, origin: bytes) -> bool:
        """Whether the static rules allow ``origin``; what the dearer ones said of the last ones is remembered."""
        if len(origin) > MAX_ORIGIN:
            return False
        return origin in self.origins.exact or (self._remembered is not None and self._remembered(origin))

    def _allows(self, origin: bytes) -> bool:
        if origin in self.origins:
            return True
        if self.origin_regex is None or parse_origin(origin) is None:
            return False
        return self.origin_regex.fullmatch(origin.decode()) is not None

    def granted(self, origin: bytes) -> tuple[Header, ...]:
        """The headers of a response to an allowed origin."""
        return ((b"access-control-allow-origin", b"*" if self.is_public else origin), *self._exposed)

    def preflight(self, origin: bytes, allowed: bool, asked: Asked) -> Answer:
        """The answer to a preflight from ``origin``.

        A stranger learns nothing about the policy. An allowed origin that asks for too much gets the true policy with
        an ok status: only then does a browser's console name the culprit.
        """
        if not (allowed or self.is_public):
            return _answer(400, [_VARY], ("allow_origins",))
        headers = [*self._granted, (b"access-control-allow-origin", b"*" if self.is_public else origin)]
        lacking: tuple[str, ...] = ()
        if asked.method not in self._methods:
            if "*" in self.methods and len(asked.method) <= _MAX_METHOD and is_token(asked.method):
                headers[0] = headers[0][0], headers[0][1] + b", " + asked.method
            else:
                lacking = ("allow_methods",)
        names = b",".join(asked.headers)
        echoed = _tokens(names) if self._echoes else b""
        if echoed:
            headers.append((b"access-control-allow-headers", echoed))
        if echoed is None or not ("*" in self.headers or self._has(names)):
            lacking += ("allow_headers",)
        if asked.private_network and self.private_network and not lacking:
            headers.append((b"access-control-allow-private-network", b"true"))
        return _answer(200, headers, lacking)

    @property
    def _echoes(self) -> bool:
        # Fetch §3.3.5: with credentials, ``*`` in Access-Control-Allow-Headers is a name like others.
        return self.credentials and "*" in self.headers

    def _has(self, names: bytes) -> bool:
        """Whether all names of the list are allowed; a list that is longer than it can be costs nothing."""
        return len(names) <= self._longest and self._names.issuperset(names.lower().translate(None, b" \t").split(b","))


def _tokens(names: bytes) -> bytes | None:
    """The names of a list in one spelling, None if it holds anything else, or too much of it."""
    if len(names) > _MAX_ECHO:
        return None
    tokens = [name for name in names.translate(None, b" \t").split(b",") if name]
    return b", ".join(tokens) if all(map(is_token, tokens)) else None


def _answer(status: int, headers: list[Header], lacking: tuple[str, ...]) -> Answer:
    body, described = _BODIES[lacking]
    return Answer(status, [*headers, *described], body, lacking)
