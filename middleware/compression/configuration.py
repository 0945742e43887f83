"""From the words of the user to rules, or to all that is wrong with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .._asgi import application_problem
from .._errors import Problem, listed, refuse
from .._headers import is_token
from .codecs import KINDS, Codec
from .negotiation import Choice, negotiator

ShouldCompress = Callable[[Any, int, Any], bool]

DEFAULT_EXCLUDED_CONTENT_TYPES = (
    "application/grpc",
    "application/gzip",
    "application/java-archive",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.rar",
    "application/x-7z-compressed",
    "application/x-bzip2",
    "application/x-gzip",
    "application/x-xz",
    "application/zip",
    "application/zstd",
    "audio/*",
    "font/woff",
    "font/woff2",
    "image/avif",
    "image/gif",
    "image/heic",
    "image/jpeg",
    "image/jxl",
    "image/png",
    "image/webp",
    "text/event-stream",
    "video/*",
)
"""What is compressed already, and streams of events."""

EXCLUDED, STREAMED, OTHER = range(3)  # kinds of content types
_MAX_REMEMBERED = 256  # content types


class Rules(NamedTuple):
    """A configuration, compiled.

    Attributes:
        codecs: On offer, in order of preference.
        minimum_size: Bytes of a body below which it is sent as it is.
        suffix: Whether the tag of an encoded response has the coding behind it; else it is weak.
        should_compress: What the user's function is asked.
        choose: The codec for a value of Accept-Encoding.
        kind: Which kind of content type a value of Content-Type is.
    """

    codecs: Sequence[Codec]
    minimum_size: int
    suffix: bool
    should_compress: ShouldCompress | None
    choose: Callable[[bytes], Choice]
    kind: Callable[[bytes], int]


def rules_of(owner: str, app: object, codecs: Sequence[Codec], problems: list[Problem], **given: Any) -> Rules:
    """The rules in the keywords that both classes have; ConfigurationError, raised for ``owner``, if one is wrong."""
    excluded = _content_types("exclude_content_types", given["exclude_content_types"], problems)
    streamed = _content_types("stream_content_types", given["stream_content_types"], problems)
    if given["etag"] not in ("weak", "suffix"):
        remedy = "write 'weak', or 'suffix' for clients that send If-Match"
        problems.append(Problem("etag", given["etag"], "is neither of the two ways", remedy))
    func = given["should_compress"]
    if func is not None and not callable(func):
        remedy = "pass one: def should_compress(scope, status, headers)"
        problems.append(Problem("should_compress", func, "is not a function", remedy))
    elif inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(type(func).__call__):
        remedy = "write it with def; it is to await nothing"
        problems.append(Problem("should_compress", func, "is an async function", remedy))
    refuse(owner, [application_problem("app", app), *problems])

    def kind(content_type: bytes) -> int:
        name = content_type.partition(b";")[0].strip(b" \t").lower()
        names = {name, name.partition(b"/")[0] + b"/*", name.partition(b"+")[0]}  # application/grpc+proto
        if not streamed.isdisjoint(names):
            return STREAMED
        return OTHER if excluded.isdisjoint(names) else EXCLUDED

    return Rules(
        codecs=codecs,
        minimum_size=given["minimum_size"],
        suffix=given["etag"] == "suffix",
        should_compress=given["should_compress"],
        choose=negotiator(codecs),
        kind=lru_cache(_MAX_REMEMBERED)(kind),
    )


def load_codecs(names: object, levels: object, problems: list[Problem]) -> list[Codec]:
    """The codecs in the order of ``names``, those that are installed if it is None; at ``levels``, or their own."""
    of_levels = []
    if levels is not None and not isinstance(levels, Mapping):
        of_levels.append(Problem("levels", levels, "is not a mapping", "write levels={'gzip': 6}"))
        levels = None
    wanted = {**(levels or {})}
    named = [*KINDS] if names is None else listed("codecs", names, problems)
    if names is not None and not named and not problems:
        problems.append(Problem("codecs", names, "names none", "write codecs=['gzip'], or leave it out"))

    codecs = []
    for number, name in enumerate(named):
        if not isinstance(name, str) or name not in KINDS:
            problems.append(Problem("codecs", name, "is not a codec", f"write one of {', '.join(map(repr, KINDS))}"))
            continue
        if name in named[:number]:
            problems.append(Problem("codecs", name, "is named twice", "name it once"))
        explicit = names is not None or name in wanted
        level = wanted.pop(name, KINDS[name].level)
        if check_level(f"levels[{name!r}]", name, level, of_levels):
            try:
                codecs.append(KINDS[name].at(level))
            except ImportError:
                if explicit:
                    remedy = f"run: pip install 'asgi-middleware[{name}]'"
                    (parameter, its) = ("levels", of_levels) if names is None else ("codecs", problems)
                    its.append(Problem(parameter, name, "is not installed", remedy))
    offered = [repr(name) for name in named if isinstance(name, str) and name in KINDS]
    if offered:
        remedy = f"write one of {', '.join(offered)}"
        of_levels += [Problem("levels", name, "is not one of the codecs", remedy) for name in wanted]
    problems += of_levels
    return codecs


def check_level(parameter: str, name: str, level: Any, problems: list[Problem]) -> bool:
    """Whether ``level`` is one of the codec's; it is added to ``problems`` if not."""
    levels = KINDS[name].levels
    if not isinstance(level, bool) and isinstance(level, int) and level in levels:
        return True
    reason = f"is not a level of {name} from {levels[0]} to {levels[-1]}"
    problems.append(Problem(parameter, level, reason, f"write {KINDS[name].level}, or leave it out"))
    return False


def check_size(parameter: str, size: object, problems: list[Problem]) -> None:
    """Add to ``problems`` that ``size`` is no number of bytes, if so."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        problems.append(Problem(parameter, size, "is not a number of bytes", "write one, or leave it out"))


def _content_types(parameter: str, given: object, problems: list[Problem]) -> frozenset[bytes]:
    found = set()
    if given is None:
        problems.append(Problem(parameter, None, "is not a list", f"write {parameter}=[], or leave it out"))
    for entry in listed(parameter, given, problems):
        name = entry.partition(";")[0].strip().lower() if isinstance(entry, str) and entry.isascii() else ""
        main, _, sub = name.partition("/")
        is_name = is_token(main.encode()) and is_token(sub.encode())
        if is_name and "*" not in main and (sub == "*" or "*" not in sub):
            found.add(name.encode())
        else:
            problems.append(Problem(parameter, entry, "is not a content type", "write 'text/csv' or 'image/*'"))
    return frozenset(found)
