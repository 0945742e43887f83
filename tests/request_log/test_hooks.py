"""Functions of the user: what they decide, and that they can neither fail a request nor cost a record."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from middleware.request_log import RequestRecord
from middleware.request_log.hooks import Hook
from tests.asgi import BODY, START, http_scope, websocket_scope
from tests.request_log.heard import Told, request, script

OURS = "middleware.request_log"
FAILURE = RuntimeError("no\nword")


def fail(*given: Any) -> Any:
    raise FAILURE


def start(status: int) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": []}


def told_of(status: int = 200, **keywords: Any) -> Told:
    told = Told(script(start(status), BODY), **keywords)
    request(told, http_scope("/a"))
    return told


def messages(told: Told) -> list[str]:
    return [record.getMessage() for record in told.logged]


# What they decide


def test_a_format_is_the_message() -> None:
    told = told_of(format=lambda record: f"{record.method} {record.target} {record.status} {record.route}")
    assert messages(told) == ["GET /a 200 None"]


def test_a_level_is_that_of_the_record() -> None:
    told = told_of(404, level=lambda record: logging.DEBUG if record.status == 404 else logging.INFO)
    assert [record.levelno for record in told.logged] == [logging.DEBUG]


LEVELS = [
    (200, None, "INFO"),
    (304, None, "INFO"),
    (404, None, "WARNING"),
    (500, None, "ERROR"),
    (500, "INFO", "INFO"),
    (200, "DEBUG", "DEBUG"),
    (200, logging.CRITICAL, "CRITICAL"),
    (404, 15, "Level 15"),
]


@pytest.mark.parametrize(("status", "level", "name"), LEVELS)
def test_the_level_is_that_of_the_status_or_the_given_one(status: int, level: Any, name: str) -> None:
    assert [record.levelname for record in told_of(status, level=level).logged] == [name]


def test_what_is_skipped_is_not_logged() -> None:
    seen: list[RequestRecord] = []

    def skip(record: RequestRecord) -> bool:
        seen.append(record)
        return record.path == "/healthz" and record.status == 200

    healthy = Told(script(START, BODY), skip=skip)
    request(healthy, http_scope("/healthz"))
    request(healthy, http_scope("/other"))
    assert len(healthy.logged) == 1
    ill = Told(script(start(503), BODY), skip=skip)
    request(ill, http_scope("/healthz"))
    assert ill.level == "ERROR"
    assert [(record.path, record.status) for record in seen] == [("/healthz", 200), ("/other", 200), ("/healthz", 503)]


@pytest.mark.parametrize(
    ("slow", "level", "expected"),
    [(1e-9, None, "WARNING"), (1e-9, "ERROR", "ERROR"), (1e-9, "DEBUG", "WARNING"), (60, None, None)],
)
def test_what_is_slow_is_a_warning_at_least_and_never_skipped(slow: float, level: Any, expected: str | None) -> None:
    told = told_of(slow=slow, level=level, skip=lambda record: True)
    assert [record.levelname for record in told.logged] == ([expected] if expected else [])


def test_what_is_slow_is_logged_where_only_warnings_are() -> None:
    told = Told(script(START, BODY), slow=1e-9, level="DEBUG")
    told.logger.setLevel(logging.WARNING)
    request(told, http_scope())
    assert told.level == "WARNING"


def test_the_first_byte_makes_it_slow_and_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0

    def later(seconds: float) -> Any:
        async def step(receive: Any) -> None:
            nonlocal now
            now += int(seconds * 1e9)

        return step

    monkeypatch.setattr("middleware.request_log.watch.perf_counter_ns", lambda: now)
    for steps, level in (
        ((later(0.9), START, later(5), BODY), "INFO"),
        ((later(1.0), START, BODY), "WARNING"),
        ((later(5), START, BODY), "WARNING"),
    ):
        told = Told(script(*steps), slow=1)
        request(told, http_scope())
        assert told.level == level
        assert round(told.record.duration, 3) == now / 1e9
        now = 0
    waited = Told(script(later(5)), slow=1)  # no byte at all
    request(waited, http_scope())
    assert waited.level == "ERROR"
    socket = Told(script(later(5), {"type": "websocket.accept"}, later(5), {"type": "websocket.close"}), slow=1)
    request(socket, websocket_scope())
    assert socket.level == "INFO"


def test_the_user_is_asked_for_by_the_newest_scope() -> None:
    told = told_of(user=lambda scope: f"{scope['type']} {scope['path']}")
    assert told.record.user == "http /a"
    assert told_of(user=lambda scope: None).record.user is None


def test_a_websocket_asks_them_too() -> None:
    seen = []
    told = Told(script(), skip=lambda record: bool(seen.append(record.kind)), user=lambda scope: "ada")
    request(told, websocket_scope())
    assert seen == ["websocket"]
    assert told.record.user == "ada"


# That they fail

# The hook, what it does, what is told of it, the level and the line that are written nevertheless

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "format raises": ({"format": fail}, "format of RequestLogMiddleware raised; the line is one of ours"),
    "format without a line": (
        {"format": lambda record: None},
        "format of RequestLogMiddleware returned None, not str; the line is one of ours",
    ),
    "format of bytes": (
        {"format": lambda record: b"line"},
        "format of RequestLogMiddleware returned <bytes object>, not str; the line is one of ours",
    ),
    "level raises": ({"level": fail}, "level of RequestLogMiddleware raised; the level is that of the status"),
    "level by name": (
        {"level": lambda record: "INFO"},
        "level of RequestLogMiddleware returned 'INFO', not int; the level is that of the status",
    ),
    "level of a flag": (
        {"level": lambda record: True},
        "level of RequestLogMiddleware returned True, not int; the level is that of the status",
    ),
    "skip raises": ({"skip": fail}, "skip of RequestLogMiddleware raised; the request is logged"),
    "skip without an answer": (
        {"skip": lambda record: None},
        "skip of RequestLogMiddleware returned None, not bool; the request is logged",
    ),
    "user raises": ({"user": fail}, "user of RequestLogMiddleware raised; nobody is named"),
    "user of an object": (
        {"user": lambda scope: scope},
        "user of RequestLogMiddleware returned <dict object>, not str | None; nobody is named",
    ),
    "too many arguments": (
        {"skip": lambda record, more: True},
        "skip of RequestLogMiddleware raised; the request is logged",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_hook_that_fails_is_told_once_and_the_request_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    keywords, said = FAULTS[name]
    told = Told(script(start(404), BODY), **keywords)
    for _ in range(3):
        request(told, http_scope("/a"))
    assert [record.levelname for record in told.logged] == ["WARNING"] * 3
    plain = [line for line in messages(told) if line == "a request" or line.startswith("GET /a 404 ")]
    assert len(plain) == 3
    (record,) = caplog.records
    assert (record.name, record.levelname) == (OURS, "ERROR")
    assert record.getMessage().startswith(f"{said}. ")
    raised = record.exc_info[1] if record.exc_info else None
    assert (raised is None) is ("raised" not in said)
    assert raised is None or type(raised).__name__ in (type(FAILURE).__name__, "TypeError")


def test_what_a_client_sent_forges_no_line_in_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def careless(scope: Any) -> str:
        raise LookupError(scope["path"])

    request(Told(script(START, BODY), user=careless), http_scope("/\nINFO GET /admin 200"))
    (record,) = caplog.records
    assert record.exc_info
    printed = logging.Formatter().formatException(record.exc_info)
    assert printed.splitlines()[-1] == "LookupError: /\\nINFO GET /admin 200"
    assert "in careless" in printed


def test_failures_are_counted() -> None:
    hook: Hook[bool] = Hook("skip", fail, lambda answer: True, wanted="bool", remedy="nothing is")
    assert [hook.ask(1), hook.ask(2), hook.failures] == [None, None, 2]
    right: Hook[bool] = Hook("skip", lambda record: True, lambda answer: True, wanted="bool", remedy="nothing is")
    assert (right.ask(1), right.failures) == (True, 0)


def test_that_nobody_can_be_told_of_a_hook_fails_no_request_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(OURS), "handle", fail)
    told = told_of(skip=fail)
    assert messages(told) == ["a request"]


def test_two_logs_tell_of_their_hooks_each(caplog: pytest.LogCaptureFixture) -> None:
    told_of(skip=fail, user=fail)
    told_of(skip=fail)
    assert len(caplog.records) == 3


# That handlers and filters fail


@pytest.mark.parametrize("error", [OSError, ValueError, RecursionError])
@pytest.mark.parametrize("where", ["emit", "filter of the handler", "filter of the logger"])
def test_a_handler_or_a_filter_that_raises_fails_no_request(where: str, error: type[Exception]) -> None:
    calls = []

    def broken(record: logging.LogRecord) -> bool:
        calls.append(record.name)
        raise error

    told = Told(script(START, BODY))
    if where == "emit":
        told.handler.emit = broken  # type: ignore[assignment,method-assign]
    else:
        (told.handler if "handler" in where else told.logger).addFilter(broken)
    for _ in range(3):
        request(told, http_scope())
    assert calls.count("requests") == 3
    assert calls.count("requests.failures") == (0 if where == "filter of the logger" else 1)


def test_that_a_request_could_not_be_logged_is_told_once() -> None:
    told = Told(script(START, BODY))
    told.logger.addFilter(fail)
    for _ in range(3):
        request(told, http_scope())
    (record,) = told.handler.records
    assert (record.name, record.levelname) == ("requests.failures", "ERROR")
    assert record.getMessage().startswith("a request could not be logged")
    assert record.exc_info
    assert type(record.exc_info[1]).__name__ == type(FAILURE).__name__


def test_a_filter_that_refuses_is_obeyed() -> None:
    told = Told(script(START, BODY))
    told.logger.addFilter(lambda record: record.__dict__["http.response.status_code"] != 200)
    request(told, http_scope())
    assert told.logged == []
