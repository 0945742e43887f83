"""Sets of origins: exact ones, patterns, all of them.

``https://*.example.com`` stands for every name below ``example.com``, not for itself; ``http://localhost:*`` for every
port, the scheme's own among them; ``*`` for every origin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

from .._errors import Problem
from .._hosts import DEFAULT_PORTS, canonical_host, parse_origin

_ANY_PORT = 0
LOOPBACK = re.compile(r"(?:.*\.)?localhost|127\.[0-9.]+|\[::1\]")  # RFC 6761 §6.3
_NEVER_SENT = ("data", "file", "ws", "wss")  # pages of the first two have the origin null, websockets their page's
_DIFFERENCES = (
    (r"^\s|\s$", "has a space around it"),
    (r"^(?!.*://)", "has no scheme"),
    (r"@", "has a user"),
    (r"//[^/]*/$", "has a slash at its end"),
    (r"//.*[/?#]", "has a path"),
    (r"[^\x00-\x7f]", "is not in ASCII"),
    (r"[A-Z]", "has upper case"),
    (r":(80|443)$", "names the port that the scheme has anyway"),
    (r"", "has a port or an address in another spelling"),
)
_EXAMPLES = "write 'https://app.example.com', 'https://*.example.com' or 'http://localhost:*'"


class Pattern(NamedTuple):
    """A parsed entry: ``host`` begins with a dot where it stands for all names below, ``port`` is 0 for all of them."""

    scheme: str
    host: str
    port: int | None

    @property
    def is_exact(self) -> bool:
        return self.port != _ANY_PORT and not self.host.startswith(".")

    @property
    def is_everybody(self) -> bool:
        """Whether it stands for all who have a name below a top-level domain."""
        return self.host.startswith(".") and "." not in self.host[1:].removesuffix(".") and not self.is_loopback

    @property
    def is_loopback(self) -> bool:
        return LOOPBACK.fullmatch(self.host) is not None


@dataclass(frozen=True)
class Origins:
    """A set of origins that is made of ``entries``, each of which ``origin_problem`` finds nothing wrong with.

    A look-up costs one probe of a dictionary; where there are patterns, one more for each label of the host.
    """

    entries: tuple[str, ...]
    any: bool = field(init=False, compare=False, repr=False)
    exact: frozenset[bytes] = field(init=False, compare=False, repr=False)
    _ports: dict[tuple[str, str], set[int | None]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        patterns = {entry: parse_pattern(entry) for entry in self.entries}
        ports: dict[tuple[str, str], set[int | None]] = {}
        for pattern in patterns.values():
            if pattern is not None and not pattern.is_exact:
                ports.setdefault((pattern.scheme, pattern.host), set()).add(pattern.port)
        exact = frozenset(entry.encode() for entry, pattern in patterns.items() if pattern and pattern.is_exact)
        for name, value in (("any", "*" in self.entries), ("exact", exact), ("_ports", ports)):
            object.__setattr__(self, name, value)

    @property
    def only_exact(self) -> bool:
        return not (self.any or self._ports)

    def __contains__(self, value: bytes) -> bool:
        if value in self.exact:
            return True
        origin = parse_origin(value) if self._ports or self.any else None
        if origin is None or self.any:
            return origin is not None
        dot = 0  # the whole host, then what follows each of its labels
        while dot >= 0:
            ports = self._ports.get((origin.scheme, origin.host[dot:]))
            if ports is not None and (origin.port in ports or _ANY_PORT in ports):
                return True
            dot = origin.host.find(".", dot + 1)
        return False


NOBODY = Origins(())


def parse_pattern(text: str) -> Pattern | None:
    """The parts of an entry, None if it is malformed or ``*``."""
    scheme, _, rest = text.removesuffix(":*").partition("://")
    host = rest.removeprefix("*.")
    origin = parse_origin(f"{scheme}://{host}".encode("ascii", "replace"))
    if origin is None or (text.endswith(":*") and origin.port is not None) or not _is_host(origin.host, rest != host):
        return None
    port = _ANY_PORT if text.endswith(":*") else origin.port
    return Pattern(origin.scheme, f".{origin.host}" if rest != host else origin.host, port)


def _is_host(host: str, below: bool) -> bool:
    """Whether a browser may have ``host``, or names ``below`` it, in an origin."""
    if host.startswith("["):
        return not below
    if not host.removesuffix(".").rpartition(".")[2].isdigit():
        return True
    try:  # URL standard, host parsing: a last label of digits makes it an IPv4 address
        return not below and str(IPv4Address(host)) == host
    except AddressValueError:
        return False


def origin_problem(parameter: str, entry: object) -> Problem | None:
    """What is wrong with ``entry`` as an origin or a pattern of origins, None if nothing is."""

    def problem(reason: str, remedy: str) -> Problem:
        return Problem(parameter, entry, reason, remedy)

    if not isinstance(entry, str):
        return problem("is not an origin", _EXAMPLES)
    pattern = parse_pattern(entry)
    if pattern and pattern.is_everybody:
        return problem("stands for everybody who has a name there", f"write {entry.replace('*.', '*.example.')!r}")
    if pattern and pattern.scheme in _NEVER_SENT:
        return problem(f"has a scheme that no origin has: {pattern.scheme!r}", _EXAMPLES)
    if entry == "*" or pattern:
        return None
    if entry == "null":
        return problem("is the origin of sandboxed frames and of files: anybody can have it", "leave it out")
    if "," in entry:
        items = [item.strip() for item in entry.split(",") if item.strip()]
        return problem("is several origins in one string", f"write {', '.join(map(repr, items))}")
    if re.search(r"[\\^$+(){}|]|//\.[*+]", entry):
        return problem("looks like a regular expression", f"{_EXAMPLES}; CORSMiddleware has allow_origin_regex")
    meant = as_browsers_write(entry)
    if meant is None and "*" in entry:
        return problem("has a '*' where none can stand", _EXAMPLES)
    if meant is None:
        return problem("is no origin that a browser sends", _EXAMPLES)
    difference = next(reason for expression, reason in _DIFFERENCES if re.search(expression, entry))
    return problem(f"{difference}, and browsers never send that", f"write {meant!r}")


def as_browsers_write(entry: str) -> str | None:
    """The right spelling of a wrong entry, None if there is none to be seen."""
    scheme, _, rest = entry.strip().rpartition("://")
    scheme = scheme.lower() or ("http" if LOOPBACK.match(rest) else "https")
    authority = re.split(r"[/?#]", rest.rpartition("@")[2])[0].lower()
    host, _colon, port = authority.rpartition(":") if re.search(r":(\d{0,5}|\*)$", authority) else (authority, "", "")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            return None
    if port.isdigit():
        port = "" if int(port) == DEFAULT_PORTS.get(scheme) else str(int(port))
    if host.startswith("["):
        host = canonical_host(host) or host
    text = f"{scheme}://{host}" + (f":{port}" if port else "")
    pattern = parse_pattern(text)
    named = "://" in entry or "." in host or LOOPBACK.fullmatch(host)
    return text if named and pattern and not pattern.is_everybody and scheme not in _NEVER_SENT else None
