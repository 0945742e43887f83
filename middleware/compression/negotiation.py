"""Which codec a client gets: Accept-Encoding against what is on offer.

Spec: RFC 9110 §12.5.3 (Accept-Encoding), §12.4.2 (quality values).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .codecs import EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .codecs import Codec

_ELEMENT = re.compile(
    rb"[ \t]*([!#$%&'*+.^_`|~0-9a-z-]+)(?:[ \t]*;[ \t]*q=(0(?:\.([0-9]{0,3}))?|1(?:\.0{0,3})?))?[ \t]*"
)
_ALIASES = {b"x-gzip": b"gzip"}  # RFC 9110 §8.4.1.3
_MAX_REMEMBERED = 512
_LONGEST = 1024  # bytes; no client sends a tenth of it


class Choice(NamedTuple):
    """What a client gets.

    Attributes:
        codec: For bodies; None for identity.
        events: For streams of events.
        must: Whether the client refuses identity.
    """

    codec: Codec | None
    events: Codec | None
    must: bool


IDENTITY = Choice(None, None, must=False)


def negotiator(codecs: Sequence[Codec]) -> Callable[[bytes], Choice]:
    """A function from the value of Accept-Encoding to the choice among ``codecs``, which are in order of preference.

    It remembers the last values, which are few: clients send what their makers wrote.
    """
    for_events = sorted(codecs, key=lambda codec: EVENTS.index(codec.coding))

    def choose(value: bytes) -> Choice:
        found = weights(value)
        must = found.get(b"identity", found.get(b"*", 1)) == 0
        return Choice(_best(codecs, found), _best(for_events, found), must)

    remembered = lru_cache(_MAX_REMEMBERED)(choose)
    return lambda value: remembered(value) if len(value) <= _LONGEST else IDENTITY


def weights(value: bytes) -> dict[bytes, int]:
    """The codings of an Accept-Encoding and their weights in thousandths; of a coding named twice, the smaller one.

    A coding with something malformed behind it is refused; identity and ``*`` are then taken as not named.
    """
    found: dict[bytes, int] = {}
    for element in value.lower().split(b","):
        match = _ELEMENT.fullmatch(element)
        if match:
            name, weight, decimals = match.groups()
            thousandths = 1000 if weight is None or weight[:1] == b"1" else int((decimals or b"").ljust(3, b"0"))
        else:
            name, thousandths = element.partition(b";")[0].strip(b" \t"), 0
            if name in (b"identity", b"*"):
                continue
        name = _ALIASES.get(name, name)
        found[name] = min(thousandths, found.get(name, thousandths))
    return found


def _best(codecs: Sequence[Codec], found: dict[bytes, int]) -> Codec | None:
    others = found.get(b"*", 0)
    best, most = None, found.get(b"identity", 0)  # identity is acceptable unnamed, but competes only if it is named
    for codec in codecs:
        weight = found.get(codec.coding, others)
        if weight and (weight > most or (best is None and weight == most)):
            best, most = codec, weight
    return best
