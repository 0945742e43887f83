"""RFC 9110 §12.5.3, §12.4.2 and §8.4.1.3, clause by clause, and against a reading that is slow and plain."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from middleware.compression.codecs import Codec
from middleware.compression.negotiation import Choice, negotiator, weights


def codec(coding: bytes) -> Codec:
    """One that is never asked to encode."""
    stop: Any = None
    return Codec(coding, stop, stop, stop, 0)


def server(*codings: bytes) -> Callable[[bytes], Choice]:
    return negotiator([codec(coding) for coding in codings])


def name(codec: Codec | None) -> bytes:
    return codec.coding if codec else b"identity"


THREE = (b"zstd", b"br", b"gzip")
ALL, ALONE = server(*THREE), server(b"gzip")
MUST = True

# A value, what it gets from all three codecs and from gzip alone, and whether identity is refused

CLAUSES: dict[str, list[tuple[bytes, str, str, bool]]] = {
    "a coding that is listed is acceptable, others are not": [
        (b"gzip", "gzip", "gzip", False),
        (b"br", "br", "identity", False),
        (b"zstd", "zstd", "identity", False),
        (b"deflate", "identity", "identity", False),
        (b"compress, deflate, exi, dcz, dcb", "identity", "identity", False),
        (b"mygzipx, xgzip, gzipx, gzip2, gz", "identity", "identity", False),
        (b"deflate, gzip", "gzip", "gzip", False),
    ],
    "of several liked equally the server chooses": [
        (b"gzip, deflate, br, zstd", "zstd", "gzip", False),
        (b"gzip, br", "br", "gzip", False),
        (b"gzip;q=0.5, br;q=0.5", "br", "gzip", False),
        (b"gzip, br;q=1.000, zstd;q=1.0", "zstd", "gzip", False),
        (b"gzip,br,zstd", "zstd", "gzip", False),
        (b"deflate, compress", "identity", "identity", False),
    ],
    "the highest weight wins": [
        (b"gzip;q=1, br;q=0.1", "gzip", "gzip", False),
        (b"br;q=0.8, gzip;q=0.801", "gzip", "gzip", False),
        (b"br;q=0.8, gzip;q=0.799, zstd;q=0.79", "br", "gzip", False),
        (b"gzip;q=0.001", "gzip", "gzip", False),
        (b"deflate, identity;q=0.002, gzip;q=0.001", "identity", "identity", False),
    ],
    "no weight means 1": [
        (b"zstd;q=0.999, gzip", "gzip", "gzip", False),
        (b"zstd;q=1, gzip", "zstd", "gzip", False),
        (b"identity, gzip;q=0.999", "identity", "identity", False),
    ],
    "a weight of 0 means not acceptable": [
        (b"gzip;q=0", "identity", "identity", False),
        (b"gzip;q=0.0", "identity", "identity", False),
        (b"gzip;q=0.000", "identity", "identity", False),
        (b"gzip;q=0.", "identity", "identity", False),
        (b"zstd;q=0, br, gzip;q=0", "br", "identity", False),
        (b"gzip;q=0, identity", "identity", "identity", False),
    ],
    "codings are compared without case": [
        (b"GZIP", "gzip", "gzip", False),
        (b"GZip, Br;q=0", "gzip", "gzip", False),
        (b"GZIP;Q=0", "identity", "identity", False),
        (b"BR;Q=0.5, gzip;q=0.4", "br", "gzip", False),
        (b"IDENTITY;q=0, ZSTD", "zstd", "identity", MUST),
        # U+212A KELVIN SIGN is a k in lower case, \xc7 an \xe7 in Latin-1: neither is in a token
        ("gzip, \u212a".encode(), "gzip", "gzip", False),
    ],
    "x-gzip is gzip (8.4.1.3)": [
        (b"x-gzip", "gzip", "gzip", False),
        (b"X-GZip;q=0.5, br;q=0.4", "gzip", "gzip", False),
        (b"x-gzip;q=0, *", "zstd", "identity", False),
        (b"x-br, x-zstd, x-identity;q=0", "identity", "identity", False),
    ],
    "* is every coding that is not listed": [
        (b"*", "zstd", "gzip", False),
        (b"*;q=0.5", "zstd", "gzip", False),
        (b"*, zstd;q=0", "br", "gzip", False),
        (b"zstd;q=0, br;q=0, *", "gzip", "gzip", False),
        (b"gzip;q=0, *", "zstd", "identity", False),
        (b"*;q=0.5, gzip", "gzip", "gzip", False),
        (b"*, gzip;q=0.5", "zstd", "gzip", False),
        (b"gzip;q=0, br;q=0.5, *;q=0.1", "br", "identity", False),
        (b"**, *gzip, gzip*", "identity", "identity", False),
    ],
    "*;q=0 refuses what is not listed, identity too": [
        (b"*;q=0", "identity", "identity", MUST),
        (b"gzip, *;q=0", "gzip", "gzip", MUST),
        (b"br;q=0.1, *;q=0.0", "br", "identity", MUST),
        (b"*;q=0, gzip;q=0", "identity", "identity", MUST),
        (b"*;q=0, identity", "identity", "identity", False),
        (b"gzip, *;q=0, identity;q=0.1", "gzip", "gzip", False),
    ],
    "identity is acceptable unless it is refused": [
        (b"gzip, identity;q=0", "gzip", "gzip", MUST),
        (b"identity;q=0", "identity", "identity", MUST),
        (b"identity;q=0, *", "zstd", "gzip", MUST),
        (b"identity;q=0, gzip;q=0.001", "gzip", "gzip", MUST),
        (b"gzip, identity;q=0.001", "gzip", "gzip", False),
        (b"gzip, *;q=0.001", "gzip", "gzip", False),
    ],
    "identity competes if it is listed": [
        (b"identity", "identity", "identity", False),
        (b"identity;q=1, gzip;q=0.5", "identity", "identity", False),
        (b"gzip;q=0.4, identity;q=0.5, br;q=0.6", "br", "identity", False),
        (b"identity;q=0.5, *;q=0.4", "identity", "identity", False),
        (b"identity;q=0.5, gzip;q=0.5", "gzip", "gzip", False),
        (b"identity, gzip, br", "br", "gzip", False),
        (b"identity, *", "zstd", "gzip", False),
        (b"gzip;q=0.1", "gzip", "gzip", False),
    ],
    "of a coding that is listed twice the smaller weight counts": [
        (b"gzip, gzip", "gzip", "gzip", False),
        (b"gzip, gzip;q=0", "identity", "identity", False),
        (b"gzip;q=0, gzip", "identity", "identity", False),
        (b"gzip;q=0.5, br;q=0.4, gzip;q=0.3", "br", "gzip", False),
        (b"gzip, x-gzip;q=0", "identity", "identity", False),
        (b"x-gzip;q=0.5, gzip", "gzip", "gzip", False),
        (b"*, *;q=0", "identity", "identity", MUST),
        (b"identity, gzip, identity;q=0", "gzip", "gzip", MUST),
        (b"gzip;q=1, gzip;q=2", "identity", "identity", False),
    ],
    "spaces and tabs may stand around an element and its semicolon, and nowhere else": [
        (b" \tgzip\t ", "gzip", "gzip", False),
        (b"gzip \t; \tq=0 , br\t", "br", "identity", False),
        (b"br ;q=0.5,gzip; q=0.6", "gzip", "gzip", False),
        (b"gzip;q =1", "identity", "identity", False),
        (b"gzip;q= 1", "identity", "identity", False),
        (b"gzip;q=0. 5", "identity", "identity", False),
        (b"gz ip", "identity", "identity", False),
        (b"gzip\n", "identity", "identity", False),
        (b"gzip\r", "identity", "identity", False),
        (b"\x0bgzip", "identity", "identity", False),
        (b"gzip\xa0", "identity", "identity", False),
    ],
    "elements may be empty (5.6.1)": [
        (b"", "identity", "identity", False),
        (b" \t", "identity", "identity", False),
        (b",", "identity", "identity", False),
        (b", ,gzip,, ,", "gzip", "gzip", False),
        (b",identity;q=0,,br,", "br", "identity", MUST),
        (b";q=1", "identity", "identity", False),
        (b";q=0, gzip", "gzip", "gzip", False),
    ],
    "a malformed element refuses its coding, but never identity": [
        (b"gzip;", "identity", "identity", False),
        (b"gzip;q", "identity", "identity", False),
        (b"gzip;;q=1", "identity", "identity", False),
        (b"gzip;level=9", "identity", "identity", False),
        (b"gzip;q=1;level=9", "identity", "identity", False),
        (b"gzip;q=1;q=1", "identity", "identity", False),
        (b"gzip q=1", "identity", "identity", False),
        (b'"gzip"', "identity", "identity", False),
        (b'gzip;q="1"', "identity", "identity", False),
        (b"gzip\0", "identity", "identity", False),
        (b"gzip/1.0, <gzip>, {gzip}", "identity", "identity", False),
        (b"gzip;x, *", "zstd", "identity", False),
        (b"br;x, gzip", "gzip", "gzip", False),
        (b"identity;q=x, gzip", "gzip", "gzip", False),
        (b"identity;q=-0, gzip;q=0.1", "gzip", "gzip", False),
        (b"*;q=x", "identity", "identity", False),
        (b"*;q=00, gzip", "gzip", "gzip", False),
        (bytes(range(256)), "identity", "identity", False),
        (b"\xff\xfe\x00", "identity", "identity", False),
    ],
    "several lines are one list (5.3)": [
        (b",".join([b"deflate", b"gzip"]), "gzip", "gzip", False),
        (b",".join([b"gzip", b"gzip;q=0, br"]), "br", "identity", False),
        (b",".join([b"", b"gzip", b""]), "gzip", "gzip", False),
        (b",".join([b"gzip, ", b" ,identity;q=0"]), "gzip", "gzip", MUST),
    ],
    "a value may have a kibibyte": [
        (b"," * 1_020 + b"gzip", "gzip", "gzip", False),
        (b"gzip".ljust(1_024), "gzip", "gzip", False),
        (b"gzip" + b"\t" * 1_000 + b";q=0", "identity", "identity", False),
        (b"a" * 1_000 + b", br", "br", "identity", False),
        (b"gzip, " * 150 + b"gzip;q=0", "identity", "identity", False),
        (b",".join(b"x%d" % number for number in range(200)) + b", identity;q=0, zstd", "zstd", "identity", MUST),
        (b"gzip;q=0." + b"1" * 1_000, "identity", "identity", False),
    ],
    "a longer value is not read": [
        (b"gzip".ljust(1_024), "gzip", "gzip", False),
        (b"gzip".ljust(1_025), "identity", "identity", False),
        (b"gzip, identity;q=0".ljust(1_025), "identity", "identity", False),
        (b"*;q=0" + b"," * 65_536, "identity", "identity", False),
        (b"gzip, " * 11_000, "identity", "identity", False),
    ],
}
ROWS = [pytest.param(*row, id=f"{clause}: {row[0][:40]!r}") for clause, rows in CLAUSES.items() for row in rows]


@pytest.mark.parametrize(("value", "of_all", "of_gzip", "must"), ROWS)
def test_a_client_gets_what_it_likes_best(value: bytes, of_all: str, of_gzip: str, must: bool) -> None:
    assert (name(ALL(value).codec).decode(), ALL(value).must) == (of_all, must)
    assert (name(ALONE(value).codec).decode(), ALONE(value).must) == (of_gzip, must)


def test_every_clause_has_a_row_that_is_encoded_and_one_that_is_not() -> None:
    for clause, rows in CLAUSES.items():
        encoded = {coding != "identity" for row in rows for coding in row[1:3]}
        assert encoded == {True, False}, clause


# Weights: the whole grammar of §12.4.2

DIGITS = ["", *("".join(digits) for size in (1, 2, 3) for digits in product("0123456789", repeat=size))]
QVALUES = {
    "0": Fraction(0),
    **{f"0.{digits}": Fraction(int(digits or "0"), 10 ** len(digits)) for digits in DIGITS},
    **dict.fromkeys(("1", "1.", "1.0", "1.00", "1.000"), Fraction(1)),
}
NO_QVALUES = (
    *("", "2", "10", "01", "00", "00.5", ".5", ".", "0.0000", "0.1234", "1.0000", "1.001", "1.5", "1.1", "0.5.5"),
    *("-0", "-1", "+1", "+0.5", "1e0", "1e-1", "0x1", "0_1", "0.1_", "0,5", "0.a", "a", "nan", "inf", "true", "1/2"),
    *(" 0", "0 .5", "0.5;", "0.5 x", '"0.5"', "0.5\0", "\uff11", "0.\u0665", "9" * 999, "0" * 999),
)


def test_every_weight_of_the_grammar_is_read_to_the_thousandth() -> None:
    assert len(QVALUES) == 1 + 1111 + 5
    read = {text: weights(f"gzip;q={text}".encode()) for text in QVALUES}
    assert [text for text, weight in QVALUES.items() if read[text] != {b"gzip": weight * 1000}] == []


@pytest.mark.parametrize("text", NO_QVALUES, ids=lambda text: ascii(text)[:20])
def test_what_is_no_weight_refuses_the_coding(text: str) -> None:
    value = f"gzip;q={text}".encode()
    assert ALL(value) == (None, None, False)
    assert ALL(b"*, " + value).codec == codec(b"zstd")
    assert ALONE(b"*, " + value).codec is None


# Against a plain reading: a list of pairs, from which candidates are sorted

TCHAR = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def read(value: bytes) -> list[tuple[str, Fraction | None]]:
    """The codings in a value and their weights, None for a malformed one."""
    pairs: list[tuple[str, Fraction | None]] = []
    for element in value.decode("latin-1").split(","):
        before, semicolon, after = element.partition(";")
        coding = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in before.strip(" \t"))
        weight = after.strip(" \t")
        if not semicolon and coding and TCHAR.issuperset(coding):
            pairs.append((coding, Fraction(1)))
        elif coding and TCHAR.issuperset(coding) and weight[:2] in ("q=", "Q="):
            pairs.append((coding, QVALUES.get(weight[2:])))
        else:
            pairs.append((coding, None))
    return [("gzip" if coding == "x-gzip" else coding, weight) for coding, weight in pairs]


def expected(value: bytes, offered: tuple[bytes, ...]) -> tuple[bytes, bool]:
    """The coding, and whether identity is refused."""
    if len(value) > 1024:
        return b"identity", False
    pairs = [pair for pair in read(value) if pair not in (("*", None), ("identity", None))]

    def weight(coding: str, otherwise: Fraction | None) -> Fraction | None:
        return min((weight or Fraction(0) for listed, weight in pairs if listed == coding), default=otherwise)

    star = weight("*", None)
    candidates = []
    for place, coding in enumerate(offered):
        liked = weight(coding.decode(), star)
        if liked:
            candidates.append((-liked, place, coding))
    identity = weight("identity", None)
    if identity:
        candidates.append((-identity, len(offered), b"identity"))
    best = min(candidates)[-1] if candidates else b"identity"
    return best, (star if identity is None else identity) == 0


spaces = st.text(" \t", max_size=2)
codings = st.sampled_from(["gzip", "x-gzip", "br", "zstd", "identity", "*", "deflate", "GZip", "Identity", "gzi", ""])
qvalues = st.sampled_from(["0", "1", "0.5", "0.50", "0.001", "0.000", "0.", "1.000"]) | st.sampled_from(
    [*QVALUES, *NO_QVALUES]
)
weighted = st.builds("{}{}{};{}{}={}{}".format, spaces, codings, spaces, spaces, st.sampled_from("qQ"), qvalues, spaces)
plain = st.builds("{}{}{}".format, spaces, codings, spaces)
junk = st.text('gzip;q=01. ,*"\0\x7f\xe9', max_size=8)
elements = st.lists(st.one_of(plain, weighted, weighted, plain, junk), max_size=6).map(
    lambda made: ",".join(made).encode()
)
offers = st.permutations(THREE).flatmap(lambda order: st.integers(1, 3).map(lambda count: tuple(order[:count])))


@given(elements, offers)
@example(b"gzip;q=0.5, identity;q=0.5", (b"gzip",))
@example(b"*;q=0, identity;q=0.1", (b"br", b"gzip"))
def test_a_client_gets_what_a_plain_reading_gives_it(value: bytes, offered: tuple[bytes, ...]) -> None:
    choice = server(*offered)(value)
    assert (name(choice.codec), choice.must) == expected(value, offered)


@given(elements)
def test_streams_of_events_are_chosen_likewise_but_gzip_first(value: bytes) -> None:
    assert name(ALL(value).events) == expected(value, (b"gzip", b"zstd", b"br"))[0]


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"gzip;q=0", b"*;q=0", b"zstd;q=0.000", b"*", b"br;q=1"])))
def test_no_junk_gives_a_client_what_it_refuses(parts: list[bytes]) -> None:
    value = b",".join(parts)
    choice = ALL(value)
    pairs = read(value)
    if choice.codec:
        coding = choice.codec.coding.decode()
        assert (coding, 0) not in pairs
        assert (coding, None) not in pairs
        assert any(weight and listed in (coding, "*") for listed, weight in pairs)
    assert not choice.must or ("identity", 0) in pairs or ("*", 0) in pairs


def test_the_generated_values_are_of_every_kind() -> None:
    sample = [b",".join(pair) for pair in product([row[0] for rows in CLAUSES.values() for row in rows], repeat=2)]
    sample = [value for value in sample if len(value) < 100]
    assert {expected(value, THREE) for value in sample} == {*product([*THREE, b"identity"], [True, False])}
    assert all((name(ALL(value).codec), ALL(value).must) == expected(value, THREE) for value in sample)


# Order


@pytest.mark.parametrize("value", [b"*", b"gzip, br, zstd", b"br;q=0.3, zstd;q=0.3, gzip;q=0.3", b"identity, *"])
@pytest.mark.parametrize("order", [THREE, THREE[::-1], (b"br", b"gzip", b"zstd"), (b"gzip", b"zstd"), (b"br",)])
def test_ties_go_to_the_codec_that_the_server_names_first(value: bytes, order: tuple[bytes, ...]) -> None:
    assert name(server(*order)(value).codec) == order[0]


@pytest.mark.parametrize(
    ("value", "order", "coding"),
    [
        (b"*", THREE, b"gzip"),
        (b"zstd, br", THREE, b"zstd"),
        (b"zstd, br", (b"br", b"zstd"), b"zstd"),
        (b"*", (b"br", b"gzip"), b"gzip"),
        (b"*", (b"br",), b"br"),
        (b"gzip;q=0.5, br;q=0.6", THREE, b"br"),
        (b"gzip;q=0, *", THREE, b"zstd"),
        (b"identity, gzip;q=0.5", THREE, b"identity"),
        (b"", THREE, b"identity"),
    ],
)
def test_for_streams_of_events_ties_go_to_gzip_then_zstd(value: bytes, order: tuple[bytes, ...], coding: bytes) -> None:
    assert name(server(*order)(value).events) == coding


# What it costs


def test_the_last_values_are_remembered() -> None:
    choose = server(*THREE)
    assert choose(b"gzip, br") is choose(b"gzip, br")
    assert choose(b"gzip, br") is not choose(b"gzip,br")


@pytest.mark.parametrize(("length", "kept"), [(100, True), (1_024, True), (1_025, False), (65_536, False)])
def test_a_long_value_is_not_kept(length: int, kept: bool) -> None:
    choose = server(*THREE)
    value = b"gzip".ljust(length)
    before = sys.getrefcount(value)
    choose(value)
    assert (sys.getrefcount(value) > before) == kept


def test_an_attacker_cannot_fill_the_memory() -> None:
    choose = server(*THREE)
    values = [b"gzip;q=0.5, x%d" % number for number in range(10_000)]
    before = [sys.getrefcount(value) for value in values]
    assert {name(choice.codec) for choice in map(choose, values)} == {b"gzip"}
    after = [sys.getrefcount(value) for value in values]
    kept = [number for number, (then, now) in enumerate(zip(before, after, strict=True)) if now > then]
    assert (len(kept), min(kept), max(kept)) == (512, 9_488, 9_999)


SHAPES: dict[str, Callable[[int], bytes]] = {
    "commas": lambda size: b"," * size,
    "one token": lambda size: b"a" * size,
    "one token and junk": lambda size: b"a" * size + b'"',
    "elements": lambda size: b"gzip;q=0.5, " * (size // 12),
    "different elements": lambda size: b",".join(b"a%09d" % number for number in range(size // 10)),
    "spaces": lambda size: b" " * size,
    "spaces before": lambda size: b" " * size + b"gzip",
    "spaces behind": lambda size: b"gzip" + b" " * size + b"x",
    "spaces around a semicolon": lambda size: b"gzip" + b" " * (size // 2) + b";" + b"\t" * (size // 2) + b"p",
    "semicolons": lambda size: b"gzip" + b";" * size,
    "weights": lambda size: b"gzip" + b";q=0" * (size // 4),
    "decimals": lambda size: b"gzip;q=0." + b"1" * size,
    "stars": lambda size: b"*" * size,
    "bytes": lambda size: bytes(range(255, -1, -1)) * (size // 256),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_value_of_eight_times_the_length_costs_about_eight_times_as_much(shape: str) -> None:
    def cost(size: int) -> float:
        value = SHAPES[shape](size)
        times = []
        for _ in range(5):
            began = time.thread_time()
            weights(value)
            times.append(time.thread_time() - began)
        return min(times)

    assert cost(128 * 1024) < 32 * cost(16 * 1024)  # it would be 64 times if it were quadratic
