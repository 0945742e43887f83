"""Paths below a root path, and tables of prefixes that match at segment boundaries.

One rule for routers and for whatever else looks at prefixes: a prefix matches the path that equals it or goes on
with ``/``. Nothing is decoded, collapsed or resolved here: the application would then see another path than the one
that was judged.

Spec: ASGI HTTP & WebSocket 2.5, Connection Scope (``path``, ``root_path``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import unquote

from ._errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")

_SEGMENT = re.compile(r"\{[^\W\d]\w*\}|(?!\.{1,2}$)[^{}?#*/]+")


def below_root(scope: Mapping[str, Any]) -> tuple[str, str, bool]:
    """The root path of a scope without a slash at its end, the path below it, and whether ``path`` had the root.

    By the specification ``path`` begins with ``root_path``. Behind a proxy that strips the root, hypercorn, daphne
    and granian leave it out: such a path is below the root as it is.
    """
    path = scope.get("path") or ""
    root = (scope.get("root_path") or "").rstrip("/")
    if not root:
        return root, path, True
    if path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return root, path[len(root) :], True
    return root, path, False


class PrefixTable(Generic[T]):
    """Values by path prefix: the longest that matches wins, of two as long the one with a literal further left.

    A look-up is one probe of a dictionary for each shape that prefixes have (how many segments, which of them are a
    ``{name}``), however many prefixes there are and however long the path is.

    Args:
        entries: Prefixes that ``prefix_problem`` finds nothing wrong with, no two of them with one ``prefix_key``,
            and their values.
    """

    __slots__ = ("_deepest", "_shapes")

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        tables: dict[tuple[bool, ...], dict[Any, tuple[T, list[str]]]] = {}
        for prefix, value in entries:
            segments = _segments(prefix)
            shape = tuple(map(_is_name, segments))
            names = [segment[1:-1] for segment in segments if _is_name(segment)]
            tables.setdefault(shape, {})[prefix_key(prefix)] = value, names
        self._shapes = [
            (len(shape), shape if any(shape) else None, tables[shape])
            for shape in sorted(tables, key=lambda shape: (-len(shape), shape))
        ]
        self._deepest = max(map(len, tables), default=0)

    def find(self, path: str) -> tuple[T, str, dict[str, str] | None] | None:
        """The value of the best prefix of ``path``, the part of the path that it matched, and its named segments."""
        ends = [0]  # of the first segments, no more of them than a prefix has
        end = 0
        if path[:1] == "/":
            while end >= 0 and len(ends) <= self._deepest:
                end = path.find("/", end + 1)
                ends.append(end if end >= 0 else len(path))
        for depth, shape, table in self._shapes:
            if depth >= len(ends):
                continue
            matched = path[: ends[depth]]
            if shape is None:
                entry = table.get(matched)
                if entry is not None:
                    return entry[0], matched, None
                continue
            segments = matched.split("/")[1:]
            entry = table.get(
                tuple([None if named else segment for segment, named in zip(segments, shape, strict=True)])
            )
            if entry is not None:
                params = [segment for segment, named in zip(segments, shape, strict=True) if named]
                if all(params):
                    return entry[0], matched, dict(zip(entry[1], params, strict=True))
        return None


def prefix_key(prefix: str) -> Any:
    """What prefixes have in common that match the same paths: their names do not count, nor does a last slash."""
    segments = _segments(prefix)
    if any(map(_is_name, segments)):
        return tuple([None if _is_name(segment) else segment for segment in segments])
    return prefix.removesuffix("/")


def prefix_problem(parameter: str, prefix: object) -> Problem | None:
    """What is wrong with ``prefix`` as a prefix of paths, None if nothing is."""

    def problem(reason: str, remedy: str) -> Problem:
        return Problem(parameter, prefix, reason, remedy)

    if not isinstance(prefix, str):
        return problem("is not a path prefix", "write a string such as '/api'")
    if prefix in ("", "/"):
        return None
    if not prefix.startswith("/"):
        return problem("does not begin with a slash", f"write {'/' + prefix!r}")
    if unquote(prefix) != prefix:
        return problem("is percent-encoded, and paths are matched decoded", f"write {unquote(prefix)!r}")
    segments = _segments(prefix)
    if not all(map(_SEGMENT.fullmatch, segments)):
        return problem(
            "is not a path prefix",
            "write '/literal' or '/{name}' for each segment; what is below a prefix needs no '*'",
        )
    names = [*filter(_is_name, segments)]
    if len(set(names)) < len(names):
        return problem("has a name twice", "give each {name} its own")
    return None


def _segments(prefix: str) -> list[str]:
    return prefix.removesuffix("/").split("/")[1:]


def _is_name(segment: str) -> bool:
    return segment.startswith("{")
