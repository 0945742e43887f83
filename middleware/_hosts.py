"""The grammar of host names and origins: one rule for everybody who decides by them.

Spec: RFC 3986 §3.2.2 (host), RFC 9110 §7.2 (Host), RFC 1035 §2.3.4 (length), Fetch §3.2 (origin).
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"(?::[0-9]{0,5})?")  # RFC 3986 §3.2.3: it may be empty
_MAX_NAME = 253
_MAX_VALUE = _MAX_NAME + len(".:65535")
_ORIGIN = re.compile(rb"([a-z][a-z0-9+.-]{0,63})://(\[[0-9a-f:]+\]|[a-z0-9_.-]+)(?::([1-9][0-9]{0,4}))?")
MAX_ORIGIN = 64 + len("://") + _MAX_VALUE

DEFAULT_PORTS = {"http": 80, "https": 443}


def host_of(value: bytes) -> str | None:
    """The host in the value of a Host header: lower case, without port and last dot; None if it is malformed."""
    return _host_and_port(value)[0] if len(value) <= _MAX_VALUE else None


@lru_cache(maxsize=1024)
def _host_and_port(value: bytes) -> tuple[str | None, int | None]:
    text = value.decode("latin-1")
    end = text.find("]") + 1 if text.startswith("[") else text.find(":")
    name, port = (text[:end], text[end:]) if end > 0 else (text, "")
    return (canonical_host(name), int(port[1:] or 0) or None) if _PORT.fullmatch(port) else (None, None)


def canonical_host(text: str) -> str | None:
    """``text`` as the one spelling of the host that it names; None if it names none."""
    if text.startswith("[") and text.endswith("]"):
        try:
            address = IPv6Address(text[1:-1])
        except AddressValueError:
            return None
        # A zone (RFC 6874) means something on the client's machine only; an IPv4 address in an IPv6 one has several
        # spellings, of which Python 3.13 prefers another than 3.12.
        return None if address.scope_id or address.ipv4_mapped else f"[{address}]"
    if not text.isascii():  # lower() makes "k" of the Kelvin sign
        return None
    name = text.removesuffix(".").lower()
    return name if len(name) <= _MAX_NAME and _NAME.fullmatch(name) else None


class Origin(NamedTuple):
    """A parsed origin; ``port`` is None where it is the scheme's own."""

    scheme: str
    host: str
    port: int | None

    def is_of(self, host: bytes) -> bool:
        """Whether ``host``, the value of a Host header, names this site: its host and port, be it http or https."""
        name, port = _host_and_port(host) if len(host) <= _MAX_VALUE else (None, None)
        own = DEFAULT_PORTS.get(self.scheme)
        return own is not None and name == self.host.removesuffix(".") and (port or own) == (self.port or own)


def parse_origin(value: bytes) -> Origin | None:
    """The origin in the value of an Origin header, None if it is none: ``null`` and every byte but a browser's.

    Fetch §3.2 (``Origin`` header): lower case, no default port, the host as the URL standard serializes it.
    """
    match = _ORIGIN.fullmatch(value) if len(value) <= MAX_ORIGIN else None
    if match is None:
        return None
    scheme, host, digits = match[1].decode(), match[2].decode(), match[3]
    port = int(digits) if digits else None
    if canonical_host(host) != host.removesuffix("."):
        return None
    if port is not None and (port > 65535 or port == DEFAULT_PORTS.get(scheme)):
        return None
    return Origin(scheme, host, port)
