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
_DROPPED = _DIGESTS | {b"content-length", b"accept-ranges", b"transfer-encoding"}
_TAG = re.compile(rb'(?:W/)?"[!#-~\x80-\xff]*"')
_SUFFIXES = tuple(kind.encode() for kind in KINDS)
_SUFFIXED = re.compile(rb'((?:W/)?"[!#-~\x80-\xff]*);(%s)"' % b"|".join(_SUFFIXES))
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def varying(headers: Headers) -> list[Header]:
    """A copy of ``headers`` that says that the response depends on Accept-Encoding."""
    return with_vary(headers, b"Accept-Encoding")


def encoded(headers: Headers, coding: bytes, suffix: bool, length: int | None) -> list[Header]:
    """The headers of the response in ``coding``; ``length`` bytes of it, if that is known."""
    kept: list[Header] = []
    for header in varying(headers):
        name = header[0].lower()
        if name == b"etag":
            tag = encoded_tag(header[1], coding, suffix)
            if tag is not None:
                kept.append((header[0], tag))
        elif name not in _DROPPED:
            kept.append(header)
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
    restart = any(_is_of_an_encoded_one(value, coding, suffix) for value in values(headers, b"if-range"))
    part = bool(values(headers, b"range"))  # it is one of the plain response, whatever tag that has
    named: dict[bytes, Collection[bytes | None]] = {}
    if suffix and not part:
        named[b"if-match"] = named[b"if-none-match"] = _SUFFIXES
        if method in ("GET", "HEAD"):
            named[b"if-none-match"] = () if forbids_encoding(headers) else (coding,)
    kept = []
    for name, value in headers:
        if name in named:
            value = _without_suffix(value, named[name])
        if not (restart and name in (b"range", b"if-range")):
            kept.append((name, value))
    return kept


def _is_of_an_encoded_one(validator: bytes, coding: bytes | None, suffix: bool) -> bool:
    """Whether a client that sends this in If-Range may have the beginning of an encoded response.

    A part of the plain one must not go on after that. A strong tag without our suffix says that it has not; a date may
    stand for both (RFC 9110 §8.8.2.2), and a weak tag for nothing (§13.1.5).
    """
    if validator.startswith(b'"'):
        return suffix and _SUFFIXED.fullmatch(validator) is not None
    return coding is not None or validator.startswith(b"W/")


def _without_suffix(tags: bytes, suffixes: Collection[bytes | None]) -> bytes:
    return _SUFFIXED.sub(lambda tag: tag[1] + b'"' if tag[2] in suffixes else tag[0], tags)


def forbids_transformation(cache_control: Iterable[bytes]) -> bool:
    """Whether the directive no-transform is in Cache-Control."""
    for line in cache_control:
        if b"no-transform" in (lowered := line.lower()):
            directives = _QUOTED.sub(b"", lowered).split(b",")
            if b"no-transform" in [directive.strip(b" \t") for directive in directives]:
                return True
    return False


def forbids_encoding(headers: Headers) -> bool:
    """Whether a request is not to be answered with an encoded response, whatever it accepts.

    A page of another site can make a browser send requests with the user's credentials. By repeating them and watching
    the size of the encrypted answers, it could guess what is in them (BREACH), but for CORS and what the user goes to.
    Spec: RFC 9111 §5.2.1.6 (no-transform), Fetch Metadata.
    """
    for name, value in headers:
        if name == b"cache-control" and forbids_transformation([value]):
            return True
        if name == b"sec-fetch-site" and value == b"cross-site" and _is_made_by_a_page(headers):
            return True
    return False


def _is_made_by_a_page(headers: Headers) -> bool:
    mode = values(headers, b"sec-fetch-mode")
    if mode == [b"cors"] or (mode == [b"navigate"] and values(headers, b"sec-fetch-dest") == [b"document"]):
        return False
    return bool(values(headers, b"cookie") or values(headers, b"authorization"))
