"""The grammar of host names: one rule for everybody who decides by them.

Spec: RFC 3986 §3.2.2 (host), RFC 9110 §7.2 (Host), RFC 1035 §2.3.4 (length).
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"(?::[0-9]{0,5})?")  # RFC 3986 §3.2.3: it may be empty
_MAX_NAME = 253
_MAX_VALUE = _MAX_NAME + len(".:65535")


def host_of(value: bytes) -> str | None:
    """The host in the value of a Host header: lower case, without port and last dot; None if it is malformed."""
    return _host_of(value) if len(value) <= _MAX_VALUE else None


@lru_cache(maxsize=1024)
def _host_of(value: bytes) -> str | None:
    text = value.decode("latin-1")
    end = text.find("]") + 1 if text.startswith("[") else text.find(":")
    name, port = (text[:end], text[end:]) if end > 0 else (text, "")
    return canonical_host(name) if _PORT.fullmatch(port) else None


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
