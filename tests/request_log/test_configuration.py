"""What is refused when a request log is made, and what to write instead."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from middleware import ConfigurationError
from middleware._errors import Problem
from middleware.request_log import RequestLogMiddleware


async def app(scope: Any, receive: Any, send: Any) -> None: ...


async def later(record: Any) -> bool:
    return True


class Later:
    async def __call__(self, record: Any) -> bool:
        return True


LATER = Later()


def problems(**keywords: Any) -> list[Problem]:
    try:
        RequestLogMiddleware(app, **keywords)
    except ConfigurationError as error:
        assert error.owner == "RequestLogMiddleware"
        return [*error.problems]
    return []


NO_LOGGER = ("is neither a logger nor the name of one", "write 'requests'")
NO_FORM = ("is none of 'dev', 'combined' and 'json'", "write one of them")
NO_LEVEL = ("is not the name of a level", "write 'INFO'")
NO_SECONDS = ("is not a number of seconds", "write slow=1.0")
NO_FUNCTION = "is not a function"
NOT_AWAITED = "is asynchronous, and nothing is awaited here"
NO_HEADER = ("is not the name of a header", "write 'x-forwarded-for'")
NO_NAME = ("is not a name", "write strings")

# The parameter, its value, the reason, what to write instead

REFUSED: dict[str, tuple[str, Any, str, str]] = {
    "logger, none": ("logger", None, *NO_LOGGER),
    "logger, empty": ("logger", "", *NO_LOGGER),
    "logger, module": ("logger", logging, *NO_LOGGER),
    "logger, adapter": ("logger", logging.LoggerAdapter(logging.getLogger("a")), *NO_LOGGER),
    "format, unknown": ("format", "common", *NO_FORM),
    "format, case": ("format", "JSON", *NO_FORM),
    "format, empty": ("format", "", *NO_FORM),
    "format, of logging": ("format", "%(message)s", *NO_FORM),
    "format, bytes": ("format", b"json", NO_FUNCTION, "pass one: def format(record) -> str"),
    "format, formatter": ("format", logging.Formatter(), NO_FUNCTION, "pass one: def format(record) -> str"),
    "format, async": ("format", later, NOT_AWAITED, "write def format(record) -> str"),
    "level, lower case": ("level", "info", *NO_LEVEL),
    "level, unknown": ("level", "TRACE", *NO_LEVEL),
    "level, number in text": ("level", "20", *NO_LEVEL),
    "level, fraction": ("level", 20.0, NO_FUNCTION, "pass one: def level(record) -> int"),
    "level, flag": ("level", True, NO_FUNCTION, "pass one: def level(record) -> int"),
    "level, async": ("level", LATER, NOT_AWAITED, "write def level(record) -> int"),
    "skip, list": ("skip", ["/healthz"], NO_FUNCTION, "pass one: def skip(record) -> bool"),
    "skip, flag": ("skip", False, NO_FUNCTION, "pass one: def skip(record) -> bool"),
    "skip, async": ("skip", later, NOT_AWAITED, "write def skip(record) -> bool"),
    "slow, zero": ("slow", 0, *NO_SECONDS),
    "slow, negative": ("slow", -1.0, *NO_SECONDS),
    "slow, text": ("slow", "1s", *NO_SECONDS),
    "slow, flag": ("slow", True, *NO_SECONDS),
    "slow, infinite": ("slow", math.inf, *NO_SECONDS),
    "user, text": ("user", "ada", NO_FUNCTION, "pass one: def user(scope) -> str | None"),
    "user, empty text": ("user", "", NO_FUNCTION, "pass one: def user(scope) -> str | None"),
    "user, flag": ("user", False, NO_FUNCTION, "pass one: def user(scope) -> str | None"),
    "user, zero": ("user", 0, NO_FUNCTION, "pass one: def user(scope) -> str | None"),
    "user, async": ("user", LATER, NOT_AWAITED, "write def user(scope) -> str | None"),
    "headers, text": (
        *("request_headers", "X-A, X-B", "is a string, not a list"),
        "write request_headers=['X-A', 'X-B']",
    ),
    "headers, bytes": ("request_headers", b"X-A", "is not a list", "write request_headers=list(...)"),
    "headers, flag": ("request_headers", True, "is not a list", "write request_headers=list(...)"),
    "redact, text": ("redact", "tenant", "is a string, not a list", "write redact=['tenant']"),
    "redact, number": ("redact", 1, "is not a list", "write redact=list(...)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_keyword_is_refused_with_what_to_write_instead(name: str) -> None:
    parameter, value, reason, remedy = REFUSED[name]
    assert problems(**{parameter: value}) == [(parameter, value, reason, remedy)]


NAMES: dict[str, tuple[str, Any, str, str]] = {
    "header": ("request_headers", "X A", *NO_HEADER),
    "header with a colon": ("request_headers", "X-A:", *NO_HEADER),
    "header with a line break": ("request_headers", "X-A\n", *NO_HEADER),
    "header, not ASCII": ("request_headers", "X-\u212a", *NO_HEADER),
    "header, empty": ("request_headers", "", *NO_NAME),
    "header of bytes": ("request_headers", b"X-A", *NO_NAME),
    "header of a list": ("request_headers", ["X-A"], *NO_NAME),
    "redacted, empty": ("redact", "", *NO_NAME),
    "redacted, a number": ("redact", 1, *NO_NAME),
    "redacted, bytes": ("redact", b"tenant", *NO_NAME),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_name_in_a_list_is_refused_alone(name: str) -> None:
    parameter, value, reason, remedy = NAMES[name]
    assert problems(**{parameter: ["X-Right", value]}) == [(parameter, value, reason, remedy)]


def test_a_number_of_seconds_that_is_none_is_refused() -> None:
    assert [problem[2:] for problem in problems(slow=math.nan)] == [NO_SECONDS]


@pytest.mark.parametrize("level", [0, -10, "NOTSET"])
def test_a_level_at_which_nothing_is_ever_logged_is_refused(level: Any) -> None:
    assert [problem.parameter for problem in problems(level=level)] == ["level"]


def test_all_problems_come_at_once_in_the_order_of_the_parameters() -> None:
    wrong: dict[str, Any] = {
        "logger": 1,
        "format": "xml",
        "level": "loud",
        "skip": 1,
        "slow": -1,
        "user": 1,
        "request_headers": ["a b", 1],
        "redact": [2],
    }
    with pytest.raises(ConfigurationError) as caught:
        RequestLogMiddleware("app", **wrong)  # type: ignore[arg-type]
    names = [problem.parameter for problem in caught.value.problems]
    assert [*dict.fromkeys(names)] == ["app", *wrong]
    assert names.count("request_headers") == 2
    text = str(caught.value)
    assert text.startswith("RequestLogMiddleware: 10 problems\n  - app='app' is a string, not an application; ")
    assert "\n  - slow=-1 is not a number of seconds; write slow=1.0" in text


def test_a_refusal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert problems(slow=0)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("middleware", "ERROR")
    assert "slow=0" in record.getMessage()


RIGHT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a logger": {"logger": logging.getLogger("requests")},
    "the root": {"logger": logging.getLogger()},
    "the name of one": {"logger": "requests"},
    "forms": {"format": "combined"},
    "a form of the user's": {"format": lambda record: "line"},
    "a level": {"level": "WARNING"},
    "a number": {"level": 15},
    "a level of the user's": {"level": lambda record: logging.INFO},
    "a method": {"skip": [].append},
    "whole seconds": {"slow": 1},
    "parts of a second": {"slow": 0.25},
    "none of all": dict.fromkeys(["format", "level", "skip", "slow", "user", "request_headers", "redact"]),
    "a tuple": {"request_headers": ("X-A", "x-a"), "redact": ("Tenant",)},
    "a set": {"request_headers": {"X-A"}, "redact": {"tenant", "Größe"}},
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_taken(name: str) -> None:
    assert problems(**RIGHT[name]) == []


def test_what_is_unknown_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        RequestLogMiddleware(app, colour=True)  # type: ignore[call-arg]


def test_making_one_makes_no_decision_of_logging() -> None:
    logger = logging.getLogger("made.by.nobody")
    RequestLogMiddleware(app, logger=logger)
    assert (logger.level, logger.handlers, logger.filters, logger.propagate) == (logging.NOTSET, [], [], True)
