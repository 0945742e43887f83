"""The shapes of ASGI scopes, messages and headers, as tables, and the checks against them.

Rule of this file: nothing here depends on what was said before. What may be said when stands in ``conversations``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .._headers import is_field_value, is_token, values
from .rules import Fault, Side, fault, short

Message = Any  # what a side sent: that it is a dict is for us to find out


class Kind(NamedTuple):
    """What a value has to be, in words and as a test."""

    words: str
    fits: Callable[[Any], bool]


class Shape(NamedTuple):
    """The keys of a scope or message, and the extension that it belongs to."""

    required: Mapping[str, Kind] = {}
    optional: Mapping[str, Kind] = {}
    extension: str | None = None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_address(value: object, *, port_may_be_none: bool = False) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not isinstance(value[0], str):
        return False
    return _is_integer(value[1]) or (port_may_be_none and value[1] is None)


def _is_iterable_of(kind: type) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            return False
        return all(isinstance(item, kind) for item in readable(value))

    return fits


def readable(value: Any) -> Collection[Any]:
    """``value`` if it can be read again, else nothing: an iterator is legal, but looking at it would use it up."""
    return value if isinstance(value, Collection) else ()


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # a lone surrogate, RFC 6455 §5.6
        return False


def _is_file(value: Any) -> bool:
    try:
        return _is_integer(value) or _is_integer(value.fileno())
    except Exception:  # io.BytesIO has the method, and no descriptor
        return False


def _is_asgi(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return isinstance(value.get("version"), str) and isinstance(value.get("spec_version", ""), str)


_VERSIONS = ("1.0", "1.1", "2", "3")

BYTES = Kind("a byte string", lambda value: isinstance(value, bytes))
BYTES_OR_NONE = Kind("a byte string or None", lambda value: value is None or isinstance(value, bytes))
STR = Kind("a string", lambda value: isinstance(value, str))
TEXT_OR_NONE = Kind("text that UTF-8 can carry or None", lambda value: value is None or _is_text(value))
STR_OR_NONE = Kind("a string or None", lambda value: value is None or isinstance(value, str))
INT = Kind("an integer", _is_integer)
INT_OR_NONE = Kind("an integer or None", lambda value: value is None or _is_integer(value))
BOOL = Kind("a boolean", lambda value: isinstance(value, bool))
DICT = Kind("a dict", lambda value: isinstance(value, dict))
DICT_OR_NONE = Kind("a dict or None", lambda value: value is None or isinstance(value, dict))
STATUS = Kind("a status from 200 to 599", lambda value: _is_integer(value) and 200 <= value <= 599)  # RFC 9110 §15
HEADERS = Kind("an iterable", lambda value: isinstance(value, Iterable))  # its items: header_faults
FILE = Kind("an open file", _is_file)
STRINGS = Kind("an iterable of strings", _is_iterable_of(str))
LINKS = Kind("an iterable of byte strings", _is_iterable_of(bytes))
ASGI = Kind('a dict with a "version"', _is_asgi)
SCHEME = Kind("a string that is not empty", lambda value: isinstance(value, str) and value != "")
METHOD = Kind("an upper-case string", lambda value: isinstance(value, str) and value != "" and value == value.upper())
HTTP_VERSION = Kind('"1.0", "1.1", "2" or "3"', lambda value: isinstance(value, str) and value in _VERSIONS)
RAW_PATH = Kind(
    "a byte string without query or None",
    lambda value: value is None or (isinstance(value, bytes) and b"?" not in value),
)
CLIENT = Kind("[host, port] or None", lambda value: value is None or _is_address(value))
SERVER = Kind("[host, port] or None", lambda value: value is None or _is_address(value, port_may_be_none=True))

_CONNECTION = {
    "scheme": SCHEME,
    "raw_path": RAW_PATH,
    "root_path": STR,
    "client": CLIENT,
    "server": SERVER,
    "state": DICT,
    "extensions": DICT_OR_NONE,
}

SCOPES = {
    "http": Shape(
        {
            "asgi": ASGI,
            "http_version": HTTP_VERSION,
            "method": METHOD,
            "path": STR,
            "query_string": BYTES,
            "headers": HEADERS,
        },
        _CONNECTION,
    ),
    "websocket": Shape(
        {"asgi": ASGI, "path": STR, "headers": HEADERS},
        {**_CONNECTION, "http_version": HTTP_VERSION, "query_string": BYTES_OR_NONE, "subprotocols": STRINGS},
    ),
    "lifespan": Shape({"asgi": ASGI}, {"state": DICT}),
}
TLS = Shape(  # ASGI TLS Extension 0.2
    {"server_cert": STR_OR_NONE, "tls_version": INT_OR_NONE, "cipher_suite": INT_OR_NONE},
    {"client_cert_chain": STRINGS, "client_cert_name": STR_OR_NONE, "client_cert_error": STR_OR_NONE},
)

_BODY = {"body": BYTES, "more_body": BOOL}
_DATA = {"bytes": BYTES_OR_NONE, "text": TEXT_OR_NONE}
_DENIAL = "websocket.http.response"

RECEIVED = {
    "http.request": Shape(optional=_BODY),
    "http.disconnect": Shape(),
    "websocket.connect": Shape(),
    "websocket.receive": Shape(optional=_DATA),
    "websocket.disconnect": Shape({"code": INT}, {"reason": STR_OR_NONE}),
    "lifespan.startup": Shape(),
    "lifespan.shutdown": Shape(),
}
SENT = {
    "http.response.start": Shape({"status": STATUS}, {"headers": HEADERS, "trailers": BOOL}),
    "http.response.body": Shape(optional=_BODY),
    "http.response.zerocopysend": Shape(
        {"file": FILE},
        {"offset": INT_OR_NONE, "count": INT_OR_NONE, "more_body": BOOL},
        "http.response.zerocopysend",
    ),
    "http.response.pathsend": Shape({"path": STR}, extension="http.response.pathsend"),
    "http.response.trailers": Shape({"headers": HEADERS}, {"more_trailers": BOOL}, "http.response.trailers"),
    "http.response.push": Shape({"path": STR, "headers": HEADERS}, extension="http.response.push"),
    "http.response.early_hint": Shape({"links": LINKS}, extension="http.response.early_hint"),
    "http.response.debug": Shape({"info": DICT}, extension="http.response.debug"),
    "websocket.accept": Shape(optional={"subprotocol": STR_OR_NONE, "headers": HEADERS}),
    "websocket.send": Shape(optional=_DATA),
    "websocket.close": Shape(optional={"code": INT, "reason": TEXT_OR_NONE}),
    "websocket.http.response.start": Shape({"status": STATUS}, {"headers": HEADERS}, _DENIAL),
    "websocket.http.response.body": Shape(optional=_BODY, extension=_DENIAL),
    "lifespan.startup.complete": Shape(),
    "lifespan.startup.failed": Shape(optional={"message": STR}),
    "lifespan.shutdown.complete": Shape(),
    "lifespan.shutdown.failed": Shape(optional={"message": STR}),
}
PUBLISHED = {"tls", *(shape.extension for shape in SENT.values() if shape.extension)}


def scope_faults(scope: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a scope of a known type; the server made it."""
    for detail in _key_faults(scope, SCOPES[scope["type"]]):
        yield fault("server", "scope-shape", f"in the {scope['type']} scope {detail}")
    tls = _extensions(scope).get("tls")
    if tls is not None:
        for detail in _key_faults(tls, TLS) if isinstance(tls, dict) else ["tls is not a dict"]:
            yield fault("server", "scope-shape", f"in the tls extension {detail}")
    yield from header_faults("server", scope.get("headers", ()), sent=False)


def message_faults(side: Side, message: Message, scope: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a message by itself: its type, its keys, its headers, an extension that was not offered."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        yield fault(side, "message-shape", f"{type(message).__name__} without a type is not a message")
        return
    name = message["type"]
    shape = (SENT if side == "application" else RECEIVED).get(name)
    ours = name.partition(".")[0] == scope["type"]
    if shape is None or not ours:
        known = name in SENT or name in RECEIVED or not ours
        if known or _extensions(scope).keys() <= PUBLISHED:  # else it may belong to the extension that is not
            yield fault(side, "message-shape", f"{short(name)} is not a type that it may send here")
        return
    for detail in _key_faults(message, shape):
        yield fault(side, "message-shape", f"in {name} {detail}")
    promises_trailers = name == "http.response.start" and message.get("trailers")
    extension = "http.response.trailers" if promises_trailers else shape.extension
    if extension is not None and extension not in _extensions(scope):
        yield fault(side, "extension-offered", f"{name} needs {extension!r} in scope['extensions']")
    yield from header_faults(side, message.get("headers", ()), sent=True)
    for link in readable(message.get("links", ())):
        if isinstance(link, bytes) and not is_field_value(link):
            yield fault(side, "header-value", f"the link {short(link)}")


def header_faults(side: Side, headers: Any, *, sent: bool) -> Iterator[Fault]:
    """What is wrong with a list of headers; in those of a request, the client's case and duplicates are kept."""
    for item in readable(headers):
        if not _is_pair(item):
            yield fault(side, "header-pairs", f"{short(item)} is not a pair of byte strings")
    pairs = header_pairs(headers)
    for name, value in pairs:
        if not is_token(name):
            yield fault(side, "header-name", f"{short(name)} is not a token")
        elif sent and name != name.lower():
            yield fault(side, "header-case", f"{short(name)} is not in lower case")
        if not is_field_value(value):
            yield fault(side, "header-value", f"the value {short(value)} of {short(name)}")
    for name in (b"content-length", b"content-type") if sent else ():
        if len(values(pairs, name)) > 1:
            yield fault(side, "header-single", f"more than one {name.decode()}")
    for value in values(pairs, b"content-length"):
        if not value.isdigit() or len(value) > 19:  # 2**63 has 19 digits
            yield fault(side, "content-length", f"{short(value)} is not a number of bytes")


def header_pairs(headers: Any) -> list[tuple[bytes, bytes]]:
    """The pairs of byte strings among ``headers``."""
    return [(item[0], item[1]) for item in readable(headers) if _is_pair(item)]


def _is_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(part, bytes) for part in item)


def _key_faults(given: Mapping[str, Any], shape: Shape) -> Iterator[str]:
    for key in shape.required:
        if key not in given:
            yield f"{key!r} is missing"
    for key, kind in (*shape.required.items(), *shape.optional.items()):
        if key in given and not kind.fits(given[key]):
            yield f"{key!r} is not {kind.words}, it is of type {type(given[key]).__name__}"


def _extensions(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    extensions = scope.get("extensions")
    return extensions if isinstance(extensions, dict) else {}
