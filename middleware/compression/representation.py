"""What encoding changes in the headers of a response, and in the conditions of the requests that follow. No ASGI.

Spec: RFC 9110 §8.4 (Content-Encoding), §8.6, §8.8.3 (ETag), §12.5.5 (Vary), §13.1 (conditions), §14.3 (Accept-Ranges),
§15.4.5 (304); RFC 9111 §5.2 (no-transform); RFC 9530 (digests).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._headers import values, with_vary
from .codecs import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .._headers import Headers

Header = tuple[bytes, bytes]

_DIGESTS = frozenset((b"content-digest", b"repr-digest", b"digest", b"content-md5"))
_DROPPED = _DIGESTS | {b"content-length", b"accept-ranges"}
_TAG = re.compile(rb'(?:W/)?"[!#-~\x80-\xff]*"')
_SUFFIXES = tuple(kind.encode() for kind in KINDS)
_SUFFIXED = re.compile(rb'((?:W/)?"[!#-~\x80-\xff]*);(%s)"' % b"|".join(_SUFFIXES))
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def varying(headers: Headers) -> list[Header]:
    """A copy of ``headers`` that says that the response depends on Accept-Encoding."""
    return with_vary(headers, b"Accept-Encoding")


def encoded(headers: Headers, coding: bytes, suffix: bool, length: int | None) -> list[Header]:
    """The headers of the response in ``coding``; ``length`` bytes of it, if that is known."""
    kept = []
    for name, value in varying(headers):
        lowered = name.lower()
        if lowered == b"etag":
            tag = encoded_tag(value, coding, suffix)
            if tag is not None:
                kept.append((name, tag))
        elif lowered not in _DROPPED:
            kept.append((name, value))
    kept.append((b"content-encoding", coding))
    if length is not None:
        kept.append((b"content-length", b"%d" % length))
    return kept


def encoded_tag(tag: bytes, coding: bytes, suffix: bool) -> bytes | None:
    """The entity tag of the response in ``coding``; None if ``tag`` is malformed.

    A strong tag stands for the same bytes: it gets weak, or another one for each coding. Weak ones stay.
    """
    if not _TAG.fullmatch(tag):
        return None
    if tag.startswith(b"W/"):
        return tag
    return b'%s;%s"' % (tag[:-1], coding) if suffix else b"W/" + tag


def not_modified(headers: Headers, conditions: Iterable[bytes], coding: bytes | None, suffix: bool) -> list[Header]:
    """The headers of a 304: Vary, and the tag under which the client has the response (RFC 9110 §15.4.5).

    ``conditions`` are the values of If-None-Match. A client that has it in several codings is told the one that it
    would get now.
    """
    sent = set(_TAG.findall(b",".join(conditions)))

    def as_sent(tag: bytes) -> bytes:
        if suffix and coding is None:
            return tag
        other = encoded_tag(tag, coding or b"", suffix)
        has_other = other in sent or (other is not None and b"W/" + other in sent)
        return other if other and has_other and (coding or tag not in sent) else tag

    return [(name, as_sent(value) if name.lower() == b"etag" else value) for name, value in varying(headers)]


def without_digests(headers: Headers) -> list[Header]:
    """A copy of trailers without the digests of what was not sent."""
    return [header for header in headers if header[0].lower() not in _DIGESTS]


def rewritten(headers: Headers, method: str, coding: bytes | None, suffix: bool) -> list[Header]:
    """The headers of a request with its conditions in the application's terms.

    What the client has in another coding than ``coding``, which it would get now, is another response (§13.1.2); what
    it wants to overwrite is the same in all of them.
    """
    # A part is sent as it is, so it goes on after the part of a response that was not encoded. Only a strong tag says
    # that the client has one (§13.1.5, §8.8.2.2): a date does not tell the two apart.
    restart = coding is not None and not all(value.startswith(b'"') for value in values(headers, b"if-range"))
    asked = (coding,) if method in ("GET", "HEAD") else _SUFFIXES
    kept = []
    for name, value in headers:
        if suffix and name in (b"if-match", b"if-none-match"):
            value = _without_suffix(value, asked if name == b"if-none-match" else _SUFFIXES)
        if not (restart and name in (b"range", b"if-range")):
            kept.append((name, value))
    return kept


def _without_suffix(tags: bytes, suffixes: Collection[bytes | None]) -> bytes:
    return _SUFFIXED.sub(lambda tag: tag[1] + b'"' if tag[2] in suffixes else tag[0], tags)


def forbids_transformation(cache_control: Iterable[bytes]) -> bool:
    """Whether the directive no-transform is in Cache-Control."""
    lines = b",".join(cache_control).lower()
    if b"no-transform" not in lines:
        return False
    return b"no-transform" in [directive.strip(b" \t") for directive in _QUOTED.sub(b"", lines).split(b",")]


def is_from_another_site(headers: Headers) -> bool:
    """Whether a page of another site makes a browser send this request with the user's credentials.

    By repeating such requests and watching the size of the encrypted answers, it could guess what is in them
    (BREACH). CORS and what the user goes to are left out. Spec: Fetch Metadata.
    """
    if b"cross-site" not in values(headers, b"sec-fetch-site"):
        return False
    mode = values(headers, b"sec-fetch-mode")
    if mode == [b"cors"] or (mode == [b"navigate"] and values(headers, b"sec-fetch-dest") == [b"document"]):
        return False
    return bool(values(headers, b"cookie") or values(headers, b"authorization"))
