"""Paths below a root path, and tables of prefixes that match at segment boundaries.

One rule for routers and for whatever else looks at prefixes: a prefix matches the path that equals it or goes on
with ``/``. Nothing is decoded, collapsed or resolved here: the application would then see another path than the one
that was judged.

Spec: ASGI HTTP & WebSocket 2.5, Connection Scope (``path``, ``root_path``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import unquote

from ._errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")

_Found = tuple[T, str, dict[str, str] | None]
_Shape = tuple[Callable[[list[str]], Any], dict[Any, tuple[T, list[tuple[int, str]]]]]
"""Prefixes with names at the same places: what takes the literals out of their segments, and the prefixes by those."""

_SEGMENT = re.compile(r"\{[^\W\d]\w*\}|(?!\.{1,2}$)[^{}?#*/]+")


def below_root(scope: Mapping[str, Any]) -> tuple[str, str, bool]:
    """The root path of a scope without a slash at its end, the path below it, and whether ``path`` had the root.

    By the specification ``path`` begins with ``root_path``. Behind a proxy that strips the root, hypercorn, daphne
    and granian leave it out: such a path is below the root as it is.
    """
    path = scope.get("path") or ""
    root = scope.get("root_path")
    if not root:
        return "", path, True
    root = root.rstrip("/")
    if path == root or path.startswith(f"{root}/"):
        return root, path[len(root) :], True
    return root, path, False


class PrefixTable(Generic[T]):
    """Values by path prefix: the longest that matches wins, of two as long the one with a literal further left.

    A look-up takes a step for each segment that the longest prefix has, however many prefixes there are and however
    long the path is.

    Args:
        entries: Prefixes that ``prefix_problem`` finds nothing wrong with, no two of them with one ``prefix_key``,
            and their values.
    """

    __slots__ = ("_levels", "_root")

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        split = [(["", *_segments(prefix)], value) for prefix, value in entries]
        depth = max((len(segments) for segments, _ in split), default=1)
        literals: list[dict[str, _Found[T]]] = [{} for _ in range(depth)]
        shapes: list[dict[tuple[bool, ...], _Shape[T]]] = [{} for _ in range(depth)]
        for segments, value in split:
            level = len(segments) - 1
            names = [(index, segment[1:-1]) for index, segment in enumerate(segments) if _is_name(segment)]
            if names:
                shape = tuple(map(_is_name, segments))
                literal = itemgetter(*[index for index, named in enumerate(shape) if not named])
                known: _Shape[T] = shapes[level].setdefault(shape, (literal, {}))
                known[1][literal(segments)] = value, names
            else:
                prefix = "/".join(segments)
                literals[level][prefix] = value, prefix, None
        self._root = literals[0].get("")
        by_literals_first = [[level[shape] for shape in sorted(level)] for level in shapes]
        self._levels = [*zip(literals, by_literals_first, strict=True)][1:]

    def find(self, path: str) -> _Found[T] | None:
        """The value of the best prefix of ``path``, the part of the path that it matched, and its named segments."""
        found = self._root
        end = 0
        for literals, shapes in self._levels:
            end = path.find("/", end + 1)
            head = path if end < 0 else path[:end]
            literal = literals.get(head)
            if literal is not None:
                found = literal
            elif shapes:
                found = _with_names(head, shapes) or found
            if end < 0:
                break
        return found


def _with_names(head: str, shapes: Iterable[_Shape[T]]) -> _Found[T] | None:
    if head[:1] != "/" or head[-1] == "/" or "//" in head:
        return None  # a segment is empty
    segments = head.split("/")
    if "/." in head and not {".", ".."}.isdisjoint(segments):
        return None  # whoever takes a name for that of a file would leave the folder
    for literal, table in shapes:
        entry = table.get(literal(segments))
        if entry is not None:
            value, names = entry
            return value, head, {name: segments[index] for index, name in names}
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
