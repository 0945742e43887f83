"""From what was noted of a request to a line in the user's log, whatever fails on the way."""

from __future__ import annotations

import logging
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .formats import combined, dev, in_json, plain
from .output import is_coloured, is_wanted, place_of, write

if TYPE_CHECKING:
    from .._asgi import Scope
    from .hooks import Hook
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

    __slots__ = ("_choices", "_has_failed", "has_begun", "highest", "logger", "redaction", "request_headers")

    def __init__(self, logger: logging.Logger, choices: Choices) -> None:
        self.logger = logger
        self.redaction, self.request_headers = choices.redaction, choices.request_headers
        self._choices = choices
        self._has_failed = self.has_begun = False
        # No record has a higher level: where that is not enabled, nothing needs to be noted.
        self.highest = logging.ERROR if choices.level is None else logging.CRITICAL
        if isinstance(choices.level, int):
            self.highest = max(choices.level, logging.WARNING)  # of slow ones

    def tell(self, watch: Watch, error: BaseException | None) -> None:
        """Write the record of what is over."""
        try:
            self._write(watch.record(error))
        except Exception:
            self._give_up()

    def say(self, subject: str, level: int, text: str, **fields: Any) -> None:
        """Write what is about no request to the child ``subject`` of the logger."""
        logger = self.logger.getChild(subject)
        try:
            place = place_of(logger)
            if is_wanted(logger, level, place):
                if self._choices.format == "json":
                    text = in_json(time(), level, {"message": text, **fields})
                write(logger, place, level, text, fields)
        except Exception:
            self._give_up()

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

    def _give_up(self) -> None:
        if not self._has_failed:
            self._has_failed = True
            with suppress(Exception):
                text = "a request could not be logged; it is not told again when that happens"
                self.logger.getChild("failures").exception(text)


def _waited(record: RequestRecord) -> float:
    return record.duration if record.time_to_first_byte is None else record.time_to_first_byte
