"""The shapes of ASGI scopes, messages and headers, as tables, and the checks against them.

Rule of this file: nothing here depends on what was said before. What may be said when stands in ``conversations``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from reprlib import repr as short
from typing import Any, NamedTuple

from .._headers import is_field_value, is_token, values
from .rules import Fault, Side, fault

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


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_address(value: object, *, port_may_be_none: bool = False) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not isinstance(value[0], str):
        return False
    return _is_port(value[1]) or (port_may_be_none and value[1] is None)


def _is_iterable_of(kind: type) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return (
            isinstance(value, Iterable)
            and not isinstance(value, (str, bytes))
            and (_reads_once(value) or all(isinstance(item, kind) for item in value))
        )

    return fits


def _reads_once(value: Any) -> bool:
    """Whether looking at ``value`` would use it up."""
    return iter(value) is value


BYTES = Kind("a byte string", lambda value: isinstance(value, bytes))
BYTES_OR_NONE = Kind("a byte string or None", lambda value: value is None or isinstance(value, bytes))
STR = Kind("a string", lambda value: isinstance(value, str))
STR_OR_NONE = Kind("a string or None", lambda value: value is None or isinstance(value, str))
INT = Kind("an integer", _is_port)
INT_OR_NONE = Kind("an integer or None", lambda value: value is None or _is_port(value))
BOOL = Kind("a boolean", lambda value: isinstance(value, bool))
DICT = Kind("a dict", lambda value: isinstance(value, dict))
DICT_OR_NONE = Kind("a dict or None", lambda value: value is None or isinstance(value, dict))
STATUS = Kind("a status from 200 to 599", lambda value: _is_port(value) and 200 <= value <= 599)  # RFC 9110 §15
HEADERS = Kind("an iterable", lambda value: isinstance(value, Iterable))  # its items: header_faults
FILE = Kind("an open file", lambda value: hasattr(value, "fileno") or _is_port(value))
STRINGS = Kind("an iterable of strings", _is_iterable_of(str))
LINKS = Kind("an iterable of byte strings", _is_iterable_of(bytes))
ASGI = Kind('a dict with a "version"', lambda value: isinstance(value, dict) and isinstance(value.get("version"), str))
SCHEME = Kind("a string that is not empty", lambda value: isinstance(value, str) and value != "")
METHOD = Kind("an upper-case string", lambda value: isinstance(value, str) and value != "" and value == value.upper())
HTTP_VERSION = Kind('"1.0", "1.1", "2" or "3"', lambda value: value in ("1.0", "1.1", "2", "3"))
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
_DATA = {"bytes": BYTES_OR_NONE, "text": STR_OR_NONE}
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
    "websocket.close": Shape(optional={"code": INT, "reason": STR_OR_NONE}),
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
    yield from header_faults("server", scope.get("headers", ()), lower_case=False)


def message_faults(side: Side, message: Message, scope: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a message by itself: its type, its keys, its headers, an extension that was not offered."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        yield fault(side, "message-shape", f"{type(message).__name__} without a type is not a message")
        return
    name = message["type"]
    shape = (SENT if side == "application" else RECEIVED).get(name)
    if shape is None or name.partition(".")[0] != scope["type"]:
        if _extensions(scope).keys() <= PUBLISHED:  # else it may belong to the extension that is not
            yield fault(side, "message-shape", f"{short(name)} is not a type that it may send here")
        return
    for detail in _key_faults(message, shape):
        yield fault(side, "message-shape", f"in {name} {detail}")
    promises_trailers = name == "http.response.start" and message.get("trailers")
    extension = "http.response.trailers" if promises_trailers else shape.extension
    if extension is not None and extension not in _extensions(scope):
        yield fault(side, "extension-offered", f"{name} needs {extension!r} in scope['extensions']")
    yield from header_faults(side, message.get("headers", ()), lower_case=True)


def header_faults(side: Side, headers: Any, *, lower_case: bool) -> Iterator[Fault]:
    """What is wrong with a list of headers; names must be lower case in what applications send."""
    for item in _items(headers):
        if not _is_pair(item):
            yield fault(side, "header-pairs", f"{short(item)} is not a pair of byte strings")
    pairs = header_pairs(headers)
    for name, value in pairs:
        if not is_token(name) or (lower_case and name != name.lower()):
            yield fault(side, "header-name", f"{short(name)} is not a token{' in lower case' * lower_case}")
        if not is_field_value(value):
            yield fault(side, "header-value", f"the value {short(value)} of {short(name)}")
    for name in (b"content-length", b"content-type"):
        if len(values(pairs, name)) > 1:
            yield fault(side, "header-single", f"more than one {name.decode()}")
    for value in values(pairs, b"content-length"):
        if not value.isdigit() or len(value) > 19:  # 2**63 has 19 digits
            yield fault(side, "content-length", f"{short(value)} is not a number of bytes")


def header_pairs(headers: Any) -> list[tuple[bytes, bytes]]:
    """The pairs among ``headers``; none if they are an iterator, which is legal but can be read only once."""
    return [(item[0], item[1]) for item in _items(headers) if _is_pair(item)]


def _items(headers: Any) -> Iterable[Any]:
    return headers if isinstance(headers, Iterable) and not _reads_once(headers) else ()


def _is_pair(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and [*map(type, item)] == [bytes, bytes]


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
