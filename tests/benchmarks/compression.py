"""The compression classes beside Starlette's, brotli-asgi and starlette-compress, with short and long responses.

Each class encodes at our levels: gzip 6, br 4, zstd 3. Starlette's own default, 9, has a column of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import brotli
from brotli_asgi import BrotliMiddleware
from starlette.middleware.gzip import GZipMiddleware as StarlettesGZipMiddleware
from starlette_compress import CompressMiddleware

from middleware import CompressionMiddleware, GZipMiddleware
from tests.asgi import START, http_scope
from tests.benchmarks import compression_load, compression_plots
from tests.benchmarks.bodies import json_of
from tests.benchmarks.cors import CHROMIUM, FIREFOX
from tests.benchmarks.cors import RESPONSES as CORS_RESPONSES
from tests.benchmarks.measure import Scopes, nanoseconds, table

try:
    from compression import zstd  # Python 3.14
except ImportError:
    from backports import zstd

FEW, MANY = CORS_RESPONSES["few headers"], CORS_RESPONSES["many headers"]
CLIENTS = ("host user-agent accept accept-encoding", FIREFOX, CHROMIUM)  # the names of their headers
RESPONSES = {
    "few headers": FEW,
    "many headers": [(name.lower(), value) for name, value in MANY],
    "as Django sends them": MANY,  # of which Starlette's class does not see Content-Type: it encodes the image
}
BROWSER = "gzip, deflate, br, zstd"
JSON = b"application/json"

STARLETTE, STARLETTES_DEFAULT, GZIP, NEGOTIATED = "Starlette", "Starlette, 9", "GZip", "Compression"
CLASSES: dict[str, Callable[[Any], Any]] = {
    STARLETTE: partial(StarlettesGZipMiddleware, compresslevel=6),
    STARLETTES_DEFAULT: StarlettesGZipMiddleware,
    "brotli-asgi": BrotliMiddleware,
    "starlette-compress": partial(CompressMiddleware, gzip_level=6, zstd_level=3),
    GZIP: GZipMiddleware,
    NEGOTIATED: CompressionMiddleware,
}
ENCODING = {
    "gzip": [STARLETTE, STARLETTES_DEFAULT, "starlette-compress", GZIP, NEGOTIATED],
    "br": ["brotli-asgi", "starlette-compress", NEGOTIATED],
    "zstd": ["starlette-compress", NEGOTIATED],
}


class Case(NamedTuple):
    """What a client accepts, and the pieces of the response."""

    accept: str | None
    pieces: Sequence[bytes]
    content_type: bytes = JSON


TWO = [json_of(2_000)]
HUNDRED = [json_of(100_000)]
THOUSAND = json_of(1_000_000)
SLICES = [THOUSAND[start : start + len(THOUSAND) // 63] for start in range(0, len(THOUSAND), len(THOUSAND) // 63)]

PASSING = {
    "no Accept-Encoding": Case(None, TWO),
    "a body of 100 B": Case(BROWSER, [TWO[0][:100]]),
    "image/png": Case(BROWSER, TWO, b"image/png"),
}
SMALL = {f"2 KB in {coding}": Case(coding, TWO) for coding in ENCODING}
LARGE = {
    f"{size} in {coding}": Case(coding, pieces)
    for size, pieces in (("100 KB", HUNDRED), ("1 MB, 64 pieces,", SLICES))
    for coding in ENCODING
}

Times = dict[str, dict[str, float]]  # what the classes add, by case


def main() -> None:
    small = {title: _measured(title, {**PASSING, **SMALL}, headers) for title, headers in RESPONSES.items()}
    large = _measured("large bodies", LARGE, FEW, rounds=40)
    _targets(small, large)
    compression_load.main()
    compression_plots.main()


def _measured(
    title: str, cases: Mapping[str, Case], headers: list[tuple[bytes, bytes]], rounds: int | None = None
) -> Times:
    """Measure and print one kind of responses; of the slow ones, only ``rounds``."""
    candidates: dict[tuple[str, str], tuple[Any, Scopes]] = {}
    for name, case in cases.items():
        app, scopes = _application(case, headers), _scopes(case.accept)
        candidates[name, "bare"] = app, scopes
        for which in ENCODING.get(str(case.accept), CLASSES):
            candidates[name, which] = CLASSES[which](app), scopes
        if case.accept in ENCODING:
            candidates[name, "codec"] = _codec_alone(case.accept, case.pieces), scopes
    times = nanoseconds(candidates) if rounds is None else nanoseconds(candidates, rounds, least_calls=1)

    added: Times = {name: {} for name in cases}
    for (name, which), time in times.items():
        added[name][which] = time if which in ("bare", "codec") else time - times[name, "bare"]
    columns = ["bare", *CLASSES, "codec"]
    rows = {name: [round(row[which]) if which in row else "-" for which in columns] for name, row in added.items()}
    table(f"Compression, {title}: ns added to the bare application, and the codec alone", columns, rows)
    return added


def _application(case: Case, headers: list[tuple[bytes, bytes]]) -> Any:
    """An application whose messages are new each time: Starlette's class writes into them."""
    length = b"%d" % len(case.pieces[0]) if len(case.pieces) == 1 else None
    changed = {b"content-type": case.content_type, b"content-length": length}
    named = [(name, changed.get(name.lower(), value)) for name, value in headers]
    template = [(name, value) for name, value in named if value is not None]
    *others, last = case.pieces

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [*template]})
        for piece in others:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": last})

    return app


def _scopes(accept: str | None) -> Scopes:
    """Scopes of the clients in turn, whose headers are made anew, as a server makes them."""
    heads = []
    for client in CLIENTS:
        lines = {name: f"{name}:1" for name in client.split()}
        lines["accept-encoding"] = f"accept-encoding:{accept}" if accept else ""
        heads.append("\n".join(filter(None, lines.values())).encode())
    template = http_scope()

    def scope(number: int) -> dict[str, Any]:
        lines = heads[number % len(heads)].split(b"\n")
        return {**template, "headers": [tuple(line.split(b":", 1)) for line in lines]}

    return scope


def _codec_alone(coding: str, pieces: Sequence[bytes]) -> Any:
    """What calls the codec on the same pieces with the same flushes, and nothing else."""
    *others, last = pieces
    context = zstd.ZstdCompressor(3)

    def in_gzip() -> None:
        if others:
            compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
            for piece in others:
                compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
            compressor.compress(last) + compressor.flush()
        else:
            zlib.compress(last, 6, 31)

    def in_br() -> None:
        if others:
            compressor = brotli.Compressor(quality=4)
            for piece in others:
                compressor.process(piece) + compressor.flush()
            compressor.process(last) + compressor.finish()
        else:
            brotli.compress(last, quality=4)

    def in_zstd() -> None:
        compressor = zstd.ZstdCompressor(3) if others else context
        for piece in others:
            compressor.compress(piece, compressor.FLUSH_BLOCK)
        compressor.compress(last, compressor.FLUSH_FRAME)

    codec = {"gzip": in_gzip, "br": in_br, "zstd": in_zstd}[coding]

    async def alone(scope: Any, receive: Any, send: Any) -> None:
        codec()

    return alone


def _targets(small: Mapping[str, Times], large: Times) -> None:
    """Print what is to be reached beside what is."""
    what = {**dict.fromkeys(PASSING, "0.25"), "2 KB in gzip": "0.70"}
    rows: dict[str, list[float | str]] = {}
    for case, most in what.items():
        for ours in (GZIP, NEGOTIATED):
            ratios = [times[case][ours] / times[case][STARLETTE] for times in small.values()]
            rows[f"{ours}, {case} / Starlette's"] = [*ratios, most]
    table("Compression: ratios to reach, added", [*small, "at most"], rows)

    rows = {
        f"{ours}, {case} / the codec": [f"{times[ours] / times['codec']:.3f}", "1.020"]
        for case, times in large.items()
        for ours in (GZIP, NEGOTIATED)
        if ours in times
    }
    table("Compression: ratios to reach, large bodies, added", ("reached", "at most"), rows)
