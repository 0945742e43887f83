"""Read the documentation: its code blocks, its prose, its tables, what it quotes."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in [ROOT / "README.md", *PAGES]}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXTS[page], re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below ``heading``, row by row."""
    section = TEXTS[page].partition(f"# {heading}\n")[2].partition("\n##")[0]
    (found,) = re.findall(r"^\|---.*\n((?:\|.*\n)+)", section, re.MULTILINE)[:1]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found.splitlines()]


def table(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table below ``heading``: the cells after the first one, by the first one."""
    return {first: rest for first, *rest in rows(page, heading)}


def quoted(cell: str) -> list[str]:
    """What a cell has in backticks; ``""`` there is nothing."""
    return ["" if text == '""' else text for text in re.findall(r"`([^`]+)`", cell)]


def flat(text: object) -> str:
    """A message without what differs from run to run, and without the page's line breaks."""
    return " ".join(re.sub(r"0x[0-9a-f]+", "0x…", str(text)).split())


def quotes(page: str, message: object) -> bool:
    return any(flat(message) in flat(block) for block in blocks(page, "text"))
