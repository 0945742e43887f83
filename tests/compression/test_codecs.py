"""What the codecs make, read by the reference decoders: nothing lost, nothing late, nothing mixed, little memory."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from middleware import CompressionMiddleware, ConfigurationError, GZipMiddleware
from middleware.compression.codecs import EVENTS, KINDS, Codec, Encode

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVELS = [(name, level) for name, kind in KINDS.items() for level in (kind.levels[0], kind.level, kind.levels[-1])]
CODECS = {f"{name} {level}": KINDS[name].at(level) for name, level in LEVELS}

every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
either_stream = pytest.mark.parametrize("begin", ["stream", "events"])
slow_levels = settings(deadline=None, max_examples=12)

bodies = st.one_of(
    st.binary(max_size=300),
    st.text("{}[],: 01", max_size=300).map(str.encode),
    st.builds(lambda part, times: part * times, st.binary(max_size=20), st.integers(0, 1_000)),
)
LARGE = b"".join(b'{"number": %d, "square": %d},\n' % (number, number * number) for number in range(5_000))


def decoder(coding: bytes) -> Callable[[bytes], bytes]:
    """What a client does with each piece that it receives."""
    if coding == b"gzip":
        return zlib.decompressobj(31).decompress
    if coding == b"zstd":
        return zstd.ZstdDecompressor().decompress
    made = brotli.Decompressor()

    def process(piece: bytes) -> bytes:
        plain = b""
        while more := made.process(piece):  # one call returns no more than its buffer holds
            plain, piece = plain + more, b""
            if made.is_finished():
                break
        return plain

    return process


def decoded(coding: bytes, body: bytes) -> bytes:
    """A whole body, which must be one that is complete."""
    if coding == b"br":
        return brotli.decompress(body)
    made = zlib.decompressobj(31) if coding == b"gzip" else zstd.ZstdDecompressor()
    plain = made.decompress(body)
    assert made.eof
    assert made.unused_data == b""
    return plain


def encoded(encode: Encode, pieces: list[bytes]) -> list[bytes]:
    return [encode(piece, number == len(pieces)) for number, piece in enumerate(pieces, 1)]


# Nothing is lost, nothing is late


@every_codec
@slow_levels
@given(bodies)
def test_a_whole_body_is_decoded_to_the_same_bytes(codec: Codec, body: bytes) -> None:
    assert decoded(codec.coding, codec.compress(body)) == body


@every_codec
@either_stream
@slow_levels
@given(st.lists(bodies, min_size=1, max_size=6))
def test_each_piece_of_a_stream_can_be_decoded_at_once(codec: Codec, begin: str, pieces: list[bytes]) -> None:
    sent = encoded(getattr(codec, begin)(), pieces)
    assert [*accumulate(map(decoder(codec.coding), sent))] == [*accumulate(pieces)]
    assert decoded(codec.coding, b"".join(sent)) == b"".join(pieces)


@every_codec
@either_stream
@pytest.mark.parametrize("size", [1_000, 65_536, len(LARGE)])
def test_a_long_stream_gets_smaller_in_pieces_of_any_size(codec: Codec, begin: str, size: int) -> None:
    pieces = [LARGE[start : start + size] for start in range(0, len(LARGE), size)]
    sent = encoded(getattr(codec, begin)(), pieces)
    assert [*accumulate(map(decoder(codec.coding), sent))] == [*accumulate(pieces)]
    assert len(b"".join(sent)) < len(LARGE) / 2


@every_codec
def test_a_large_body_gets_smaller(codec: Codec) -> None:
    body = codec.compress(LARGE)
    assert decoded(codec.coding, body) == LARGE
    assert len(body) < len(LARGE) / 3


# Nothing is kept, nothing is mixed


@every_codec
@slow_levels
@given(st.lists(bodies, min_size=2, max_size=4))
def test_a_codec_keeps_nothing_of_the_last_body(codec: Codec, given: list[bytes]) -> None:
    name, level = next(key for key, made in zip(LEVELS, CODECS.values(), strict=True) if made is codec)
    fresh = [KINDS[name].at(level).compress(body) for body in given]
    assert [codec.compress(body) for body in given] == fresh


@every_codec
def test_a_codec_that_was_given_no_bytes_goes_on_with_the_next_body(codec: Codec) -> None:
    before = codec.compress(LARGE)
    with pytest.raises(TypeError):
        codec.compress(None)  # type: ignore[arg-type]
    assert codec.compress(LARGE) == before


@every_codec
@either_stream
@slow_levels
@given(st.lists(st.tuples(st.booleans(), bodies), max_size=8))
def test_the_streams_of_two_requests_do_not_mix(codec: Codec, begin: str, turns: list[tuple[bool, bytes]]) -> None:
    streams = {which: getattr(codec, begin)() for which in (True, False)}
    mixed: dict[bool, list[bytes]] = {True: [], False: []}
    for which, piece in turns:
        mixed[which].append(streams[which](piece, False))
        codec.compress(piece)
    for which, sent in mixed.items():
        sent.append(streams[which](b"", True))
        assert sent == encoded(getattr(codec, begin)(), [*(piece for other, piece in turns if other == which), b""])


@pytest.mark.parametrize("level", KINDS["gzip"].levels)
def test_gzip_carries_no_time_and_no_name(level: int) -> None:
    codec = KINDS["gzip"].at(level)
    for body in (codec.compress(LARGE), codec.stream()(LARGE, True), codec.events()(b"data", False)):
        assert body[:3] == b"\x1f\x8b\x08"  # RFC 1952 §2.3: then come the flags and the time
        assert body[3:8] == bytes(5)


# Memory, of the client and ours


def window(frame: bytes) -> int:
    """The size in bytes that a zstd frame asks of its reader (RFC 8878 §3.1.1.1)."""
    assert frame[:4] == b"\x28\xb5\x2f\xfd"
    descriptor = frame[4]
    if not descriptor & 0x20:
        return (8 + (frame[5] & 7) << 7) << (frame[5] >> 3)
    start = 5 + (0, 1, 2, 4)[descriptor & 3]
    size = (1, 2, 4, 8)[descriptor >> 6]
    return int.from_bytes(frame[start : start + size], "little") + (256 if size == 2 else 0)


@pytest.mark.parametrize("level", KINDS["zstd"].levels)
def test_no_zstd_window_is_too_large_for_a_browser(level: int) -> None:
    codec, large = KINDS["zstd"].at(level), bytes(9 * 2**20)
    for body in (b"a", large):
        for frame in (codec.compress(body), codec.stream()(body, True), codec.stream()(body, False)):
            assert window(frame) <= 8 * 2**20  # RFC 9659 §3
    assert window(codec.events()(large, True)) == 2048


def test_a_zstd_window_that_is_too_large_is_seen() -> None:
    made = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    assert window(made.compress(b"a", made.FLUSH_BLOCK)) == 16 * 2**20
    assert window(zstd.compress(bytes(1_000))) == 1_000


def test_a_client_can_read_gzip_events_with_a_window_of_two_kibibytes() -> None:
    codec = KINDS["gzip"].at(9)
    assert zlib.decompressobj(16 + 11).decompress(codec.events()(LARGE, True)) == LARGE
    with pytest.raises(zlib.error):
        zlib.decompressobj(16 + 11).decompress(codec.stream()(LARGE, True))


MEASURE = """
import json, os
from middleware.compression.codecs import KINDS

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def begin(make):
    encode = make()
    for event in events:
        encode(event, False)
    return encode

events = [b"data: " + os.urandom(500).hex().encode() + b"\\n\\n" for _ in range(200)]
found, opened = {}, []
for name in ("gzip", "zstd"):
    codec = KINDS[name].at(KINDS[name].level)
    for way in ("events", "stream"):
        make = getattr(codec, way)
        opened.append(begin(make))
        before = resident()
        opened += [begin(make) for _ in range(100)]
        found[f"{name} {way}"] = (resident() - before) / 100
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc: run it on Linux")
def test_an_open_stream_of_events_takes_little_memory() -> None:
    printed = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, check=True, timeout=50).stdout
    found = json.loads(printed)
    assert found["gzip events"] < 40 * 1024
    assert found["zstd events"] < 64 * 1024
    assert found["gzip stream"] > 128 * 1024
    assert found["zstd stream"] > 128 * 1024


# Levels and threads


@pytest.mark.parametrize("name", KINDS)
def test_a_level_reaches_the_library_on_every_way(name: str) -> None:
    low, high = (KINDS[name].at(level) for level in (KINDS[name].levels[0], KINDS[name].levels[-1]))
    assert len(high.compress(LARGE)) < len(low.compress(LARGE))
    assert len(high.stream()(LARGE, True)) < len(low.stream()(LARGE, True))
    assert len(high.events()(LARGE, True)) < len(low.events()(LARGE, True))


@pytest.mark.parametrize("name", KINDS)
def test_a_higher_level_goes_to_a_thread_with_no_larger_bodies(name: str) -> None:
    kind = KINDS[name]
    made = [kind.at(level) for level in kind.levels]
    assert {codec.coding for codec in made} == {name.encode()}
    assert all(low.offload >= high.offload > 0 for low, high in pairwise(made))
    assert kind.level in kind.levels


def test_every_codec_has_its_place_among_those_for_events() -> None:
    assert sorted(EVENTS) == sorted(name.encode() for name in KINDS)


# Libraries that are not installed

LIBRARIES = {"br": ("brotli",), "zstd": ("compression.zstd", "backports.zstd"), "gzip": ()}


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def block(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        for module in LIBRARIES[name]:
            monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ((), ["zstd", "br", "gzip"]),
        (("br",), ["zstd", "gzip"]),
        (("zstd",), ["br", "gzip"]),
        (("br", "zstd"), ["gzip"]),
    ],
)
def test_the_default_is_what_is_installed(
    missing: tuple[str, ...], left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    block(monkeypatch, *missing)
    assert repr(CompressionMiddleware(app)) == f"CompressionMiddleware(codecs={left})"
    assert repr(CompressionMiddleware(app, levels={"gzip": 1})) == f"CompressionMiddleware(codecs={left})"
    assert repr(GZipMiddleware(app)) == "GZipMiddleware(codecs=['gzip'])"


@pytest.mark.parametrize("name", ["br", "zstd"])
@pytest.mark.parametrize(
    ("parameter", "keywords"),
    [
        ("codecs", lambda name: {"codecs": [name]}),
        ("codecs", lambda name: {"codecs": ["gzip", name], "levels": {name: 5}}),
        ("levels", lambda name: {"levels": {name: 5}}),
    ],
)
def test_a_named_codec_that_is_not_installed_is_refused_with_what_mends_it(
    name: str, parameter: str, keywords: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    CompressionMiddleware(app, **keywords(name))
    block(monkeypatch, name)
    with pytest.raises(ConfigurationError) as caught:
        CompressionMiddleware(app, **keywords(name))
    remedy = f"run: pip install 'asgi-middleware[{name}]'"
    assert str(caught.value) == f"CompressionMiddleware: {parameter}='{name}' is not installed; {remedy}"
    assert name in (importlib.metadata.metadata("asgi-middleware").get_all("Provides-Extra") or ())


USED = """
import sys
from middleware import CompressionMiddleware, GZipMiddleware

async def app(scope, receive, send): ...

def extras():
    return sorted({"brotli", "backports.zstd"} & {*sys.modules})

print(extras())
GZipMiddleware(app)
CompressionMiddleware(app, codecs=["gzip"])
print(extras())
CompressionMiddleware(app, codecs=["br"])
print(extras())
"""


def test_no_library_is_imported_before_its_codec_is_made() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", USED], capture_output=True, check=True, timeout=50, text=True
    ).stdout
    assert printed.splitlines() == ["[]", "[]", "['brotli']"]
