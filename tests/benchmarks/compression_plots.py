"""How small and how fast the codecs are at their levels, as a table and as the plots of the documentation.

The plots have a background of their own, which follows the reader's choice of light or dark.
"""

from __future__ import annotations

import math
import platform
import zlib
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import brotli

from middleware.compression.codecs import KINDS
from tests.asgi import http_scope
from tests.benchmarks.bodies import html_of, json_of
from tests.benchmarks.measure import nanoseconds, table

try:
    from compression import zstd  # Python 3.14
except ImportError:
    from backports import zstd

DOCS = Path(__file__).parents[2] / "docs"
LEVELS = {"gzip": (1, 4, 6, 9), "br": (1, 4, 5, 9), "zstd": (1, 3, 6, 9)}
BODIES = {"JSON, 2 KB": json_of(2_000), "JSON, 100 KB": json_of(100_000), "HTML, 50 KB": html_of(50_000)}
ROUNDS = 50

WIDTH, LEFT, TOP, PANEL, GAP, ROW, SPACE = 860, 72, 78, 246, 16, 19, 8  # pixels
COLOURS = {"gzip": ("#3567a8", "#6ea8ec"), "br": ("#b35900", "#e99a4c"), "zstd": ("#1a7f5a", "#4fc295")}
INKS = {"paper": ("#ffffff", "#16191f"), "text": ("#1f2328", "#e6e9ee"), "line": ("#d9dde3", "#363c46")}
FONTS = """
text { font: 12px system-ui, sans-serif }
.title { font-size: 15px; font-weight: 600 }
.bold { font-weight: 600 }
.number { font-size: 11px; paint-order: stroke; stroke-width: 3px }
.end { text-anchor: end }
.middle { text-anchor: middle }
.other { opacity: .5 }
"""

Figures = Mapping[tuple[str, int], Mapping[str, float]]  # by codec and level, then by body


class Axis(NamedTuple):
    """What a plot shows: ``position`` says where in a panel, from 0 to 1, a figure is."""

    title: str
    unit: str
    ticks: tuple[int, ...]
    position: Callable[[float], float]
    shown: Callable[[float], str]
    is_bar: bool  # or a dot, where there is no zero


RATIO = Axis(
    "How many times smaller a body becomes",
    "bytes of the body / bytes sent",
    (0, 2, 4, 6),
    lambda figure: figure / 7.2,
    "{:.2f}".format,
    is_bar=True,
)
SPEED = Axis(
    "How fast a body is encoded",
    "megabytes of the body per second, logarithmic",
    (1, 10, 100, 1_000),
    lambda figure: math.log10(figure / 0.6) / math.log10(4_000 / 0.6),
    lambda figure: f"{float(f'{figure:.2g}'):,g}",
    is_bar=False,
)


def main() -> None:
    ratios, speeds = _measured()
    rows = {
        f"{codec} {level}": [
            f"{figures[name]:.2f}" for figures in (ratios[codec, level], speeds[codec, level]) for name in BODIES
        ]
        for codec, level in ratios
    }
    columns = [f"{name}{unit}" for unit in (": ratio", ": MB/s") for name in BODIES]
    table("Codecs: how many times smaller, and megabytes per second", columns, rows)
    (DOCS / "compression-ratio.svg").write_text(_plot(RATIO, ratios))
    (DOCS / "compression-speed.svg").write_text(_plot(SPEED, speeds))


def _measured() -> tuple[Figures, Figures]:
    """Ratios and megabytes per second."""
    ratios: dict[tuple[str, int], dict[str, float]] = {}
    candidates: dict[tuple[str, int, str], Any] = {}
    for codec, levels in LEVELS.items():
        for level in levels:
            compress = KINDS[codec].at(level).compress
            ratios[codec, level] = {name: len(body) / len(compress(body)) for name, body in BODIES.items()}
            for name, body in BODIES.items():
                candidates[codec, level, name] = _application(compress, body), lambda number: http_scope()
    times = nanoseconds(candidates, ROUNDS, least_calls=1)
    return ratios, {
        (codec, level): {name: len(body) * 1_000 / times[codec, level, name] for name, body in BODIES.items()}
        for codec, level in ratios
    }


def _application(compress: Callable[[bytes], bytes], body: bytes) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        compress(body)

    return app


def _plot(axis: Axis, figures: Figures) -> str:
    """A panel for each body, and in it a line for each codec and level."""
    heights = {}
    height = TOP
    for number, (codec, level) in enumerate(figures):
        height += SPACE if level == LEVELS[codec][0] and number else 0
        heights[codec, level] = height
        height += ROW
    parts = [_text(LEFT, 26, axis.title, "title")]
    parts += [
        _text(LEFT - 8, y + 13, f"{codec} {level}", "end bold" if level == KINDS[codec].level else "end")
        for (codec, level), y in heights.items()
    ]
    for number, name in enumerate(BODIES):
        left = LEFT + number * (PANEL + GAP)
        parts.append(_text(left, TOP - 16, name, "bold"))
        for tick in axis.ticks:
            x = left + PANEL * axis.position(tick)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP - 4}V{height + 4}"/>')
            parts.append(_text(x, height + 18, f"{tick:,}", "number middle"))
        for (codec, level), y in heights.items():
            parts += _mark(axis, left, y, figures[codec, level][name], codec, level)
    parts.append(_text(LEFT, height + 38, axis.unit))
    made_with = f"Python {platform.python_version()}, zlib {zlib.ZLIB_RUNTIME_VERSION}, brotli {brotli.__version__}"
    note = f"Bold and full: the default level. {made_with}, zstd {zstd.zstd_version}; one core."
    parts.append(_text(LEFT, height + 58, note, "number"))
    size = f'width="{WIDTH}" height="{height + 72}" viewBox="0 0 {WIDTH} {height + 72}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(axis.title)}">'
    paper = '<rect class="paper" width="100%" height="100%" rx="6"/>'
    return "\n".join([opening, _style(), paper, *parts, "</svg>\n"])


def _mark(axis: Axis, left: float, y: float, figure: float, codec: str, level: int) -> list[str]:
    """A bar or a dot, with its number behind it."""
    x = left + PANEL * axis.position(figure)
    name = codec if level == KINDS[codec].level else f"{codec} other"
    if axis.is_bar:
        mark = f'<rect class="{name}" x="{left}" y="{y + 3}" width="{x - left:.1f}" height="{ROW - 6}"/>'
    else:
        mark = f'<circle class="{name}" cx="{x:.1f}" cy="{y + ROW / 2}" r="5"/>'
    behind = 5 if axis.is_bar else 9
    weight = " bold" if level == KINDS[codec].level else ""
    return [mark, _text(x + behind, y + 13, axis.shown(figure), f"number{weight}")]


def _text(x: float, y: float, text: str, names: str = "") -> str:
    attribute = f' class="{names}"' if names else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _style() -> str:
    def colours(mode: int) -> str:
        fills = {f".{codec}": pair[mode] for codec, pair in COLOURS.items()}
        fills |= {"text": INKS["text"][mode], ".paper": INKS["paper"][mode]}
        strokes = {".grid": INKS["line"][mode], ".number": INKS["paper"][mode]}
        rules = [f"{selector} {{ fill: {colour} }}" for selector, colour in fills.items()]
        return "\n".join([*rules, *(f"{selector} {{ stroke: {colour} }}" for selector, colour in strokes.items())])

    return f"<style>{FONTS}{colours(0)}\n@media (prefers-color-scheme: dark) {{\n{colours(1)}\n}}\n</style>"
