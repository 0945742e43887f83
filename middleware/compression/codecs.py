"""The codecs: how a whole body, a stream and a stream of events become gzip, br or zstd.

gzip comes with Python. The libraries of the others are extras and imported when a codec is made.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

Encode = Callable[[bytes, bool], bytes]
"""What a stream makes of its next piece: all of it, flushed; the second argument says whether it is the last."""

_KIB = 1024


class Codec(NamedTuple):
    """A coding at a level.

    Attributes:
        coding: Its name in Content-Encoding.
        compress: Encode a whole body, on the event loop: zstd has one context for all bodies, and a thread would make
            the loop wait for it.
        stream: Begin a stream.
        events: Begin a stream of events, which is open for long and needs little memory.
        offload: The size in bytes from which encoding takes so long that it belongs into a thread.
    """

    coding: bytes
    compress: Callable[[bytes], bytes]
    stream: Callable[[], Encode]
    events: Callable[[], Encode]
    offload: int


class Kind(NamedTuple):
    """A coding, its levels, and from which size on it is slow up to which level (about five milliseconds)."""

    make: Callable[[int, int], Codec]
    level: int
    levels: range
    offload: Mapping[int, int]

    def at(self, level: int) -> Codec:
        """The codec of this kind at ``level``; ImportError if its library is not there."""
        return self.make(level, next(size for highest, size in self.offload.items() if level <= highest))


def _gzip(level: int, offload: int) -> Codec:
    def stream(window: int = 15, memory: int = 8) -> Encode:
        compressor = zlib.compressobj(level, zlib.DEFLATED, window + 16, memory)

        def encode(data: bytes, last: bool) -> bytes:
            return compressor.compress(data) + compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)

        return encode

    return Codec(b"gzip", lambda body: zlib.compress(body, level, 31), stream, lambda: stream(11, 3), offload)


def _brotli(level: int, offload: int) -> Codec:
    brotli: Any = import_module("brotli")

    def stream(window: int = 22) -> Encode:
        compressor = brotli.Compressor(quality=level, lgwin=window)

        def encode(data: bytes, last: bool) -> bytes:
            encoded: bytes = compressor.process(data) + (compressor.finish() if last else compressor.flush())
            return encoded

        return encode

    return Codec(b"br", lambda body: brotli.compress(body, quality=level), stream, lambda: stream(12), offload)


def _zstd(level: int, offload: int) -> Codec:
    try:
        zstd: Any = import_module("compression.zstd")  # Python 3.14
    except ImportError:
        zstd = import_module("backports.zstd")
    parameter = zstd.CompressionParameter
    small = {parameter.window_log: 11, parameter.hash_log: 9, parameter.chain_log: 9}

    def stream(window: Mapping[Any, int] = MappingProxyType({})) -> Encode:
        compressor = zstd.ZstdCompressor(options={parameter.compression_level: level, **window})

        def encode(data: bytes, last: bool) -> bytes:
            encoded: bytes = compressor.compress(data, compressor.FLUSH_FRAME if last else compressor.FLUSH_BLOCK)
            return encoded

        return encode

    context = zstd.ZstdCompressor(level)  # making one takes longer than encoding two kilobytes
    return Codec(
        b"zstd",
        lambda body: context.compress(body, context.FLUSH_FRAME),
        stream,
        lambda: stream(small),
        offload,
    )


# In order of preference. Levels of zstd above 19 take windows that browsers refuse (RFC 9659 §3).
KINDS = {
    "zstd": Kind(_zstd, 3, range(1, 20), {4: 1024 * _KIB, 9: 128 * _KIB, 19: 16 * _KIB}),
    "br": Kind(_brotli, 4, range(12), {5: 128 * _KIB, 9: 32 * _KIB, 11: 4 * _KIB}),
    "gzip": Kind(_gzip, 6, range(1, 10), {9: 128 * _KIB}),
}
EVENTS = (b"gzip", b"zstd", b"br")
"""In order of preference for streams of events: of their memory, which each open stream takes."""
