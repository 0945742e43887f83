"""From the words of the user to a log, or to all that is wrong with them."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from .._asgi import application_problem
from .._errors import Problem, listed, refuse
from .._headers import is_token
from .hooks import Hook, hook_problem
from .log import Choices, Log
from .text import Redaction
from .users import user_of

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMATS = ("dev", "combined", "json")


def log_of(app: object, **given: Any) -> Log:
    """The log that the keywords of ``RequestLogMiddleware`` describe; ConfigurationError if something is wrong."""
    problems = [application_problem("app", app)]
    found: list[Problem] = []
    logger = given["logger"]
    if not isinstance(logger, logging.Logger) and not (isinstance(logger, str) and logger):
        found.append(Problem("logger", logger, "is neither a logger nor the name of one", "write 'requests'"))
    user = user_of if given["user"] is None else given["user"]
    choices = Choices(
        format=_format(given["format"], found),
        level=_level(given["level"], found),
        skip=_hook("skip", given["skip"], "skip(record) -> bool", _is_bool, "the request is logged", found),
        slow=_seconds(given["slow"], found),
        user=_hook("user", user, "user(scope) -> str | None", _is_name, "nobody is named", found),
        request_headers=_headers(given["request_headers"], found),
        redaction=Redaction(_names("redact", given["redact"], found)),
    )
    refuse("RequestLogMiddleware", [*problems, *found])
    return Log(logging.getLogger(logger) if isinstance(logger, str) else logger, choices)


def _hook(
    name: str, function: Any, signature: str, is_right: Callable[[object], bool], remedy: str, problems: list[Problem]
) -> Hook[Any] | None:
    if function is None:
        return None
    problem = hook_problem(name, function, signature)
    if problem:
        problems.append(problem)
        return None
    wanted = signature.rpartition("-> ")[2]
    owned = f"{name} of RequestLogMiddleware"
    return Hook(owned, function, is_right, wanted=wanted, remedy=remedy)


def _format(value: Any, problems: list[Problem]) -> str | Hook[str] | None:
    if isinstance(value, str):
        if value not in _FORMATS:
            problems.append(Problem("format", value, "is none of 'dev', 'combined' and 'json'", "write one of them"))
        return value
    return _hook("format", value, "format(record) -> str", _is_text, "the line is one of ours", problems)


def _level(value: Any, problems: list[Problem]) -> int | Hook[int] | None:
    if isinstance(value, str):
        number = logging.getLevelNamesMapping().get(value)
        if not number:
            problems.append(Problem("level", value, "is not the name of a level", "write 'INFO'"))
        return number
    if isinstance(value, int) and not isinstance(value, bool):
        if value <= 0:
            problems.append(Problem("level", value, "is below every level", "write 'INFO'"))
        return value
    return _hook("level", value, "level(record) -> int", _is_level, "the level is that of the status", problems)


def _seconds(value: Any, problems: list[Problem]) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        problems.append(Problem("slow", value, "is not a number of seconds", "write slow=1.0"))
        return None
    return float(value)


def _headers(given: Any, problems: list[Problem]) -> frozenset[bytes]:
    names = _names("request_headers", given, problems)
    wrong = [name for name in names if not name.isascii() or not is_token(name.encode())]
    remedy = "write 'x-forwarded-for'"
    problems += [Problem("request_headers", name, "is not the name of a header", remedy) for name in wrong]
    return frozenset(name.lower().encode() for name in names)


def _names(parameter: str, given: Any, problems: list[Problem]) -> list[str]:
    names = listed(parameter, given, problems)
    wrong = [name for name in names if not isinstance(name, str) or not name]
    problems += [Problem(parameter, name, "is not a name", "write strings") for name in wrong]
    return [name for name in names if isinstance(name, str) and name]


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_name(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_level(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
