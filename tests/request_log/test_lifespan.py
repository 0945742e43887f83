"""Start and stop of an application are told once each, with the time they took or the reason why they failed."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import anyio
import pytest

from tests.asgi import SHUTDOWN, STARTUP, lifespan_scope
from tests.request_log.heard import Server, Told, fields, read, request, script

STARTED = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}
NOT_STARTED = {"type": "lifespan.startup.failed"}
NOT_STOPPED = {"type": "lifespan.shutdown.failed"}
FAILURE = RuntimeError("no database\nat all\x1b")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError


# The steps of the application; for each line its level, what fails and why

LIFESPANS: dict[str, tuple[tuple[Any, ...], list[tuple[str, str, Any]]]] = {
    "well": ((read, STARTED, read, STOPPED), [("INFO", "startup", ""), ("INFO", "shutdown", "")]),
    "killed": ((read, STARTED), [("INFO", "startup", "")]),
    "not started": ((read, {**NOT_STARTED, "message": "no\nway"}), [("ERROR", "startup", r"no\nway")]),
    "not started, without a word": ((read, NOT_STARTED), [("ERROR", "startup", "")]),
    "not started, and raised": (
        (read, {**NOT_STARTED, "message": "no"}, FAILURE),
        [("ERROR", "startup", "no")],
    ),
    "raised at the start": ((read, FAILURE), [("ERROR", "startup", r"RuntimeError: no database\nat all\x1b")]),
    "raised before it was asked": ((FAILURE,), []),
    "no lifespan": ((), []),
    "raised while it served": ((read, STARTED, FAILURE), [("INFO", "startup", "")]),
    "not stopped": (
        (read, STARTED, read, {**NOT_STOPPED, "message": "\u202estuck"}),
        [("INFO", "startup", ""), ("ERROR", "shutdown", r"\u202estuck")],
    ),
    "raised at the end": (
        (read, STARTED, read, FAILURE),
        [("INFO", "startup", ""), ("ERROR", "shutdown", r"RuntimeError: no database\nat all\x1b")],
    ),
    "another message": ((read, {"type": "lifespan.unknown"}, STARTED), [("INFO", "startup", "")]),
    "said twice": ((read, STARTED, STARTED), [("INFO", "startup", "")]),
    "an exception for a message": (
        (read, {**NOT_STARTED, "message": FAILURE}),
        [("ERROR", "startup", ...)],
    ),
    "an exception without words": ((read, Unspeakable()), [("ERROR", "startup", ...)]),
}
TEXTS = {
    ("INFO", "startup"): "the application has started, in ",
    ("INFO", "shutdown"): "the application has shut down, in ",
    ("ERROR", "startup"): "the application did not start",
    ("ERROR", "shutdown"): "the application did not shut down well",
}


def told_by(told: Told) -> list[logging.LogRecord]:
    return [record for record in told.handler.records if record.name == "requests.lifespan"]


@pytest.mark.parametrize("name", LIFESPANS)
async def test_each_phase_is_told_once(name: str) -> None:
    steps, expected = LIFESPANS[name]
    told, server = Told(script(*steps)), Server(STARTUP, SHUTDOWN)
    failures = [step for step in steps if isinstance(step, Exception)]
    raised = None
    try:
        await told(lifespan_scope(), server.receive, server.send)
    except Exception as error:
        raised = error
    assert raised is (failures[0] if failures else None)
    assert server.sent == [step for step in steps if isinstance(step, dict)]
    lines = told_by(told)
    assert [(line.levelname, line.__dict__["lifespan.phase"]) for line in lines] == [case[:2] for case in expected]
    for line, (level, phase, reason) in zip(lines, expected, strict=True):
        text = line.getMessage()
        assert text.startswith(TEXTS[level, phase])
        assert line.__dict__["lifespan.duration"] >= 0
        assert text.isprintable()
        if reason is not ...:
            assert line.__dict__.get("error.message", "") == reason
            assert text.endswith(reason)
    assert told.logged == []


async def test_the_time_is_that_of_the_phase() -> None:
    async def work(receive: Any) -> None:
        await anyio.sleep(0.02)

    told, server = Told(script(work, read, work, STARTED, work, read, work, STOPPED)), Server(STARTUP, SHUTDOWN)
    began = time.perf_counter()
    await told(lifespan_scope(), server.receive, server.send)
    longest = time.perf_counter() - began - 3 * 0.019
    for line in told_by(told):
        assert 0.019 <= line.__dict__["lifespan.duration"] <= longest


async def test_a_start_that_is_cancelled_is_no_failure() -> None:
    told, server = Told(script(read, lambda receive: anyio.sleep_forever())), Server(STARTUP)
    with anyio.move_on_after(0.01) as limit:
        await told(lifespan_scope(), server.receive, server.send)
    assert limit.cancelled_caught
    assert told_by(told) == []


def test_in_json_it_is_json_too() -> None:
    told = Told(script(read, {**NOT_STARTED, "message": 'no "way"'}), format="json")
    request(told, lifespan_scope(), STARTUP)
    (line,) = told_by(told)
    said = json.loads(line.getMessage())
    assert (said["level"], said["lifespan.phase"], said["error.message"]) == ("ERROR", "startup", 'no "way"')
    assert said["message"] == 'the application did not start: no "way"'
    assert {"lifespan.phase", "lifespan.duration", "error.message"} == {*fields(line)}


@pytest.mark.parametrize("fails", ["handler", "filter"])
def test_a_log_that_fails_keeps_no_application_from_starting(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(script(read, STARTED))

    def fail(record: Any) -> Any:
        raise OSError

    if fails == "handler":
        monkeypatch.setattr(told.handler, "emit", fail)
    else:
        told.handler.addFilter(fail)
    request(told, lifespan_scope(), STARTUP)


def test_a_log_that_is_off_is_silent() -> None:
    told = Told(script(read, STARTED))
    told.logger.setLevel(logging.CRITICAL)
    request(told, lifespan_scope(), STARTUP)
    assert told.handler.records == []
