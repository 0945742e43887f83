"""Where lines go: to the handlers that there are, else to the standard error stream.

Nobody's logging is configured here. Where nothing has handlers, a handler of our own is asked for each line, as
``logging.lastResort`` is, which would drop those below WARNING.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Literal

Place = Literal["handlers", "terminal", "elsewhere"]


class _StandardError(logging.Handler):
    """The standard error stream, as it is when a line is written."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr
        if stream is None:  # a Windows program without a console
            return
        try:
            stream.write(record.getMessage() + "\n")
            if hasattr(stream, "flush"):
                stream.flush()
        except Exception:
            self.handleError(record)


_standard_error = _StandardError()


def place_of(logger: logging.Logger) -> Place:
    """Where lines of a logger go now."""
    if logger.hasHandlers():
        return "handlers"
    return "terminal" if os.environ.get("FORCE_COLOR") or _is_terminal(sys.stderr) else "elsewhere"


def _is_terminal(stream: Any) -> bool:
    return hasattr(stream, "isatty") and stream.isatty()


def is_coloured() -> bool:
    """Whether a terminal is to show colours, as Python's own tools decide it."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or os.environ.get("TERM") != "dumb"


def is_wanted(logger: logging.Logger, level: int, place: Place) -> bool:
    """Whether a line would come out."""
    if place == "handlers" or logger.disabled:
        return logger.isEnabledFor(level)
    # The root logger says WARNING where nobody has configured it, which is no decision about our lines.
    decided = next((one.level for one in _up(logger) if one.level), logging.WARNING)
    is_default = decided == logging.WARNING and not any(one.level for one in _up(logger) if one.parent)
    return level >= (logging.INFO if is_default else decided) and level > logging.root.manager.disable


def write(logger: logging.Logger, place: Place, level: int, text: str, fields: dict[str, Any]) -> None:
    """Write a line, with ``fields`` as attributes of its record."""
    record = logging.getLogRecordFactory()(logger.name, level, __file__, 0, text, (), None, None, None)
    record.__dict__.update(fields)
    if place == "handlers":
        logger.handle(record)
        return
    kept = logger.filter(record)  # since Python 3.12 it may be another record
    if kept:
        _standard_error.handle(kept if isinstance(kept, logging.LogRecord) else record)


def silenced_by(logger: logging.Logger) -> str | None:
    """What of the configuration of logging keeps lines at INFO away, with what to write; None if nothing does.

    What the user has said about this very logger is meant so.
    """
    name, ask = logger.name, f"set the level of {logger.name!r} to INFO"
    if logger.disabled:
        remedy = "set 'disable_existing_loggers' to False in LOGGING (dictConfig)"
        return f"requests are not logged: {name!r} is disabled; {remedy}"
    if not logger.hasHandlers() or logger.level:
        return None
    owner = next((one for one in _up(logger) if one.level), logging.root)
    if owner.level > logging.INFO:
        level = logging.getLevelName(owner.level)
        return f"requests below {level} are not logged: that is the level of the logger {owner.name!r}; {ask}"
    if all(handler.level > logging.INFO for one in _heard(logger) for handler in one.handlers):
        return f"requests at INFO are not logged: no handler takes those; give {name!r} one with that level"
    return None


def _up(logger: logging.Logger) -> list[logging.Logger]:
    """A logger and those above it."""
    chain = [logger]
    while chain[-1].parent:
        chain.append(chain[-1].parent)
    return chain


def _heard(logger: logging.Logger) -> list[logging.Logger]:
    """The loggers whose handlers get the lines of a logger."""
    chain = _up(logger)
    last = next((number for number, one in enumerate(chain) if not one.propagate), len(chain))
    return chain[: last + 1]
