"""From what was noted of a request to a line in the user's log, whatever fails on the way."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .formats import clock, combined, dev, in_json, plain
from .hooks import Hook
from .output import is_coloured, is_wanted, place_of, write
from .text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._asgi import Scope
    from .output import Place
    from .record import RequestRecord
    from .text import Redaction
    from .watch import Watch

_FAILED = ("failed", "incomplete", "no_response")


class Choices(NamedTuple):
    """What the user has chosen; see ``RequestLogMiddleware``. A choice made by a function is a hook."""

    format: str | Hook[str] | None
    level: int | Hook[int] | None
    skip: Hook[bool] | None
    slow: float | None
    user: Hook[str | None] | None
    request_headers: frozenset[bytes]
    redaction: Redaction


class Log:
    """Writes records to a logger, as was chosen."""

    __slots__ = (
        "_choices",
        "_failures",
        "has_begun",
        "has_served",
        "highest",
        "logger",
        "redaction",
        "request_headers",
    )

    def __init__(self, logger: logging.Logger, choices: Choices) -> None:
        self.logger = logger
        self.redaction, self.request_headers = choices.redaction, choices.request_headers
        self._choices = choices
        self._failures = 0
        self.has_begun = self.has_served = False
        # No record has a higher level: where that is not enabled, nothing needs to be noted.
        self.highest = logging.ERROR if choices.level is None else logging.CRITICAL
        if isinstance(choices.level, int):
            self.highest = max(choices.level, logging.WARNING)  # of slow ones

    def tell(self, watch: Watch, error: BaseException | None) -> None:
        """Write the record of what is over."""
        try:
            self._write(watch.record(error))
        except Exception as error:
            self._fail(error)

    def say(self, subject: str, level: int, text: str, **fields: Any) -> None:
        """Write what is about no request to the child ``subject`` of the logger."""
        with self.guarded():
            logger = self.logger.getChild(subject)
            place = place_of(logger)
            if not is_wanted(logger, level, place):
                return
            if self._choices.format == "json":
                text = in_json(time(), level, {"message": text, **fields})
            elif self._choices.format == "dev" or (self._choices.format is None and place == "terminal"):
                text = f"{clock(time())} {text}"
            write(logger, place, level, text, fields)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Let no failure of the log be one of the application."""
        try:
            yield
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            with suppress(Exception):
                text = "a request could not be logged; it is not told again when that happens"
                self.logger.getChild("failures").error(text, exc_info=escaped(error))

    def sum_up(self) -> None:
        """Tell in the end how often something failed that was told once."""
        choices = self._choices
        hooks = [hook for hook in (choices.format, choices.level, choices.skip, choices.user) if isinstance(hook, Hook)]
        count = self._failures + sum(hook.failures for hook in hooks)
        if count > 1:
            self.say("failures", logging.ERROR, f"in all, {count} times something failed while requests were logged")

    def user_of(self, scope: Scope) -> str | None:
        user = self._choices.user
        return user.ask(scope) if user else None

    def _write(self, record: RequestRecord) -> None:
        choices = self._choices
        is_slow = choices.slow is not None and record.kind == "http" and _waited(record) >= choices.slow
        if choices.skip and not is_slow and choices.skip.ask(record):
            return
        level = self._level(record)
        if is_slow:
            level = max(level, logging.WARNING)
        place = place_of(self.logger)
        if is_wanted(self.logger, level, place):
            fields = record.fields()
            write(self.logger, place, level, self._text(record, fields, level, place), fields)

    def _level(self, record: RequestRecord) -> int:
        level = self._choices.level
        if isinstance(level, int):
            return level
        chosen = level.ask(record) if level else None
        if chosen is not None:
            return chosen
        status = record.status or 0
        if status >= 500 or record.outcome in _FAILED:
            return logging.ERROR
        return logging.WARNING if status >= 400 or record.outcome == "cancelled" else logging.INFO

    def _text(self, record: RequestRecord, fields: dict[str, Any], level: int, place: Place) -> str:
        name = self._choices.format
        if name is not None and not isinstance(name, str):
            text = name.ask(record)
            if text is not None:
                return text
            name = None
        if name == "json":
            return in_json(record.time, level, fields)
        if name == "combined" or (name is None and place == "elsewhere"):
            return combined(record)
        if name == "dev" or place == "terminal":
            return dev(record, colour=place == "terminal" and is_coloured())
        return plain(record)


def _waited(record: RequestRecord) -> float:
    return record.duration if record.time_to_first_byte is None else record.time_to_first_byte
