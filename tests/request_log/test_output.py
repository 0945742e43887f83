"""Where lines go: to the standard error stream if nobody has configured logging, else where its configuration says."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import logging.handlers
import pickle
import queue
import re
import subprocess
import sys
from typing import Any

import pytest
from uvicorn.config import LOGGING_CONFIG

from middleware.request_log import RequestLogMiddleware
from tests.asgi import BODY, SHUTDOWN, START, STARTUP, call, http_scope, lifespan_scope
from tests.request_log.heard import Heard, fields, read, request, script, unconfigured

NAME = "middleware.request_log"
DEV = r"\d\d:\d\d:\d\d 200 GET  /a  [\d.]+ ms  5 B\n"
COLOURED = r"\x1b\[2m\d\d:\d\d:\d\d\x1b\[0m \x1b\[32m200\x1b\[0m GET  /a  \x1b\[2m[\d.]+ ms  5 B\x1b\[0m\n"
COMBINED = r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /a HTTP/1\.1" 200 5 "-" "tests"\n'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delitem(sys.modules, "daphne.cli", raising=False)


def answer(status: int = 200) -> Any:
    return script({**START, "status": status}, BODY)


def ask(*statuses: int, **keywords: Any) -> None:
    """Wrap an application and send it requests that it answers with these."""
    current = iter(statuses)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(next(current))(scope, receive, send)

    logged = RequestLogMiddleware(app, **keywords)
    for _ in statuses:
        request(logged, http_scope("/a"))


# Nobody has configured logging

OUT_OF_THE_BOX: dict[str, tuple[type[io.StringIO], dict[str, str], dict[str, Any], str]] = {
    "a terminal": (Terminal, {}, {}, COLOURED),
    "a file": (io.StringIO, {}, {}, COMBINED),
    "a terminal without colours": (Terminal, {"NO_COLOR": "1"}, {}, DEV),
    "an empty wish": (Terminal, {"NO_COLOR": "", "FORCE_COLOR": ""}, {}, COLOURED),
    "a terminal that knows none": (Terminal, {"TERM": "dumb"}, {}, DEV),
    "a terminal that knows some": (Terminal, {"TERM": "dumb", "FORCE_COLOR": "1"}, {}, COLOURED),
    "a build": (io.StringIO, {"FORCE_COLOR": "1"}, {}, COLOURED),
    "a build without colours": (io.StringIO, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, {}, DEV),
    "a file without colours": (io.StringIO, {"NO_COLOR": "1"}, {}, COMBINED),
    "dev in a file": (io.StringIO, {}, {"format": "dev"}, DEV),
    "combined on a terminal": (Terminal, {}, {"format": "combined"}, COMBINED),
    "JSON on a terminal": (Terminal, {}, {"format": "json"}, r'\{"timestamp":.*"level":"INFO".*\}\n'),
    "words of the user": (Terminal, {}, {"format": lambda record: "a line"}, "a line\n"),
    "another logger": (io.StringIO, {}, {"logger": "requests"}, COMBINED),
}


@pytest.mark.parametrize("name", OUT_OF_THE_BOX)
def test_out_of_the_box_there_is_a_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, environment, keywords, expected = OUT_OF_THE_BOX[name]
    stream = kind()
    monkeypatch.setattr(sys, "stderr", stream)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with unconfigured():
        ask(200, **keywords)
    assert re.fullmatch(expected, stream.getvalue())


async def test_in_an_event_loop_too(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        await call(RequestLogMiddleware(answer()), http_scope("/a"))
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(COMBINED, err)


def test_nobodys_logging_is_configured() -> None:
    with unconfigured():
        ask(200, 404, 500)
        loggers = [logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)]
        assert [logger.handlers for logger in loggers] == [[]] * len(loggers)
        assert [logger.level for logger in loggers[1:]] == [logging.NOTSET] * (len(loggers) - 1)
        assert logging.root.level == logging.WARNING
        assert all(logger.propagate for logger in loggers)


def statuses(text: str) -> list[int]:
    return [int(status) for status in re.findall(r'" (\d{3}) ', text)]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (logging.NOTSET, [200, 404, 500]),
        (logging.DEBUG, [200, 404, 500]),
        (logging.INFO, [200, 404, 500]),
        (logging.WARNING, [404, 500]),
        (logging.ERROR, [500]),
        (logging.CRITICAL, []),
    ],
)
@pytest.mark.parametrize("owner", [NAME, "middleware"])
def test_a_level_without_a_handler_counts(
    owner: str, level: int, shown: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with unconfigured():
        logging.getLogger(owner).setLevel(level)
        ask(200, 404, 500)
    assert statuses(capsys.readouterr().err) == shown


def test_details_are_not_shown_to_those_who_have_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        ask(200, level="DEBUG")
        assert capsys.readouterr().err == ""
        logging.root.setLevel(logging.DEBUG)
        ask(200, level="DEBUG")
        assert statuses(capsys.readouterr().err) == [200]


def test_a_filter_without_a_handler_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        logging.getLogger(NAME).addFilter(OnlyErrors())
        ask(200, 404, 500)
    assert statuses(capsys.readouterr().err) == [500]


def test_what_is_disabled_is_silent_without_a_handler_too(capsys: pytest.CaptureFixture[str]) -> None:
    app = script(read, {"type": "lifespan.startup.complete"})
    with unconfigured():
        logging.getLogger(f"{NAME}.lifespan").disabled = True
        request(RequestLogMiddleware(app), lifespan_scope(), STARTUP)
    assert capsys.readouterr() == ("", "")


def test_the_stream_is_the_one_that_there_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    with unconfigured():
        logged = RequestLogMiddleware(answer())
        streams = [io.StringIO(), io.StringIO()]
        for stream in streams:
            monkeypatch.setattr(sys, "stderr", stream)
            request(logged, http_scope("/a"))
    assert [stream.getvalue().count("\n") for stream in streams] == [1, 1]


def test_who_configures_logging_later_gets_the_lines_from_then_on(capsys: pytest.CaptureFixture[str]) -> None:
    heard = Heard()
    with unconfigured():
        logged = RequestLogMiddleware(answer())
        request(logged, http_scope("/a"))
        logging.getLogger(NAME).addHandler(heard)
        logging.getLogger(NAME).setLevel(logging.INFO)
        request(logged, http_scope("/b"))
    assert re.fullmatch(COMBINED, capsys.readouterr().err)
    assert [line.split()[1] for line in heard.lines] == ["/b"]


@pytest.mark.parametrize("fails", [False, True])
def test_start_and_stop_are_shown_out_of_the_box(fails: bool, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[Any] = (
        [read, {"type": "lifespan.startup.failed", "message": "no"}]
        if fails
        else [*(read, {"type": "lifespan.startup.complete"}, read, {"type": "lifespan.shutdown.complete"})]
    )
    with unconfigured():
        request(RequestLogMiddleware(script(*steps)), lifespan_scope(), STARTUP, SHUTDOWN)
    text = capsys.readouterr().err
    expected = (
        "the application did not start: no\n"
        if fails
        else (r"the application has started, in \d\.\d{3} s\nthe application has shut down, in \d\.\d{3} s\n")
    )
    assert re.fullmatch(expected, text)


# A stream that fails


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


class OnlyWrites:
    """As libraries put in place of the stream that send what is written to a logger."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed(), Broken()], ids=["none", "closed", "broken"])
def test_a_stream_that_fails_fails_no_request(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with unconfigured():
        ask(200, 404, 500)


def test_a_stream_need_not_be_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = OnlyWrites()
    monkeypatch.setattr(sys, "stderr", stream)
    with unconfigured():
        ask(200)
    assert re.fullmatch(COMBINED, stream.text)


# Somebody has

ROOT_AT_WARNING = (
    f"requests below WARNING are not logged: that is the level of the logger 'root'; set the level of '{NAME}' to INFO"
)
MIDDLEWARE_AT_WARNING = ROOT_AT_WARNING.replace("'root'", "'middleware'")
HANDLER_AT_WARNING = f"requests at INFO are not logged: no handler takes those; give '{NAME}' one with that level"
DISABLED = (
    f"requests are not logged: '{NAME}' is disabled; set 'disable_existing_loggers' to False in LOGGING (dictConfig)"
)


class OnlyErrors(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR


def handled(level: str = "NOTSET", **more: Any) -> dict[str, Any]:
    return {"handlers": ["heard"], "level": level, **more}


# The configuration, the statuses that come out of 200, 404 and 500, what is said at the start

CONFIGURED: dict[str, tuple[dict[str, Any], list[int], str | None]] = {
    "root at INFO": ({"root": handled("INFO")}, [200, 404, 500], None),
    "root at DEBUG": ({"root": handled("DEBUG")}, [200, 404, 500], None),
    "root at WARNING": ({"root": handled("WARNING")}, [404, 500], ROOT_AT_WARNING),
    "root at ERROR": ({"root": handled("ERROR")}, [500], None),  # which is no place for a warning
    "root at WARNING, ours at INFO": (
        {"root": handled("WARNING"), "loggers": {NAME: {"level": "INFO"}}},
        *([200, 404, 500], None),
    ),
    "root at INFO, ours at WARNING": (
        {"root": handled("INFO"), "loggers": {NAME: {"level": "WARNING"}}},
        *([404, 500], None),
    ),
    "ours at CRITICAL": ({"root": handled("INFO"), "loggers": {NAME: {"level": "CRITICAL"}}}, [], None),
    "the one above at WARNING": (
        {"root": handled("INFO"), "loggers": {"middleware": {"level": "WARNING"}}},
        *([404, 500], MIDDLEWARE_AT_WARNING),
    ),
    "the one above at INFO": (
        {"root": handled("WARNING"), "loggers": {"middleware": {"level": "INFO"}}},
        *([200, 404, 500], None),
    ),
    "a handler of our own": ({"loggers": {NAME: handled("INFO")}}, [200, 404, 500], None),
    "a handler of our own alone": (
        {"root": {"level": "ERROR"}, "loggers": {NAME: handled("INFO", propagate=False)}},
        *([200, 404, 500], None),
    ),
    "a handler at WARNING": (
        {"root": handled("INFO"), "handlers": {"heard": {"level": "WARNING"}}},
        *([404, 500], HANDLER_AT_WARNING),
    ),
    "a filter": (
        {"root": handled("INFO"), "handlers": {"heard": {"filters": ["errors"]}}},
        *([500], None),
    ),
    "a filter of our own": (
        {"root": handled("INFO"), "loggers": {NAME: {"filters": ["errors"]}}},
        *([500], None),
    ),
    "disabled": ({"root": handled("INFO"), "disable_existing_loggers": True}, [], DISABLED),
    "disabled but for us": (
        {"root": handled("INFO"), "disable_existing_loggers": True, "loggers": {NAME: {}}},
        *([200, 404, 500], None),
    ),
}


def configure(heard: Heard, given: dict[str, Any]) -> None:
    def make(level: str = "NOTSET") -> Heard:
        heard.setLevel(level)
        return heard

    handler = {"()": make, **given.get("handlers", {}).get("heard", {})}
    base = {"version": 1, "disable_existing_loggers": False, "filters": {"errors": {"()": OnlyErrors}}}
    logging.config.dictConfig({**base, **given, "handlers": {"heard": handler}})


def heard_of(heard: Heard) -> tuple[list[int], list[str]]:
    requests = [record for record in heard.records if record.name == NAME]
    said = [record for record in heard.records if record.name == f"{NAME}.startup"]
    assert len(requests) + len(said) == len(heard.records)
    return [fields(record)["http.response.status_code"] for record in requests], [one.getMessage() for one in said]


@pytest.mark.parametrize("name", CONFIGURED)
def test_configured_logging_decides(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    given, shown, said = CONFIGURED[name]
    heard = Heard()
    with unconfigured():
        logging.getLogger(NAME)  # as an import of the package makes it
        configure(heard, given)
        ask(200, 404, 500)
    assert heard_of(heard) == (shown, [said] if said else [])
    assert capsys.readouterr() == ("", "")
    assert all(record.levelname == "WARNING" for record in heard.records if record.name.endswith("startup"))


def test_a_handler_gets_a_line_without_time_and_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    heard = Heard()
    with unconfigured():
        configure(heard, {"root": handled("INFO")})
        ask(200)
        ask(200, format="dev")
    assert re.fullmatch(r"GET /a 200 [\d.]+ ms 5 B", heard.lines[0])
    assert re.fullmatch(DEV[:-2], heard.lines[1])


def test_silence_is_told_once_and_before_anything_is_logged() -> None:
    heard = Heard()
    with unconfigured():
        configure(heard, {"root": handled("WARNING")})
        logged = RequestLogMiddleware(answer(404))
        request(logged, lifespan_scope())
        assert heard.lines == [ROOT_AT_WARNING]
        request(logged, http_scope())
        request(logged, http_scope())
    assert [record.name for record in heard.records] == [f"{NAME}.startup", NAME, NAME]


def test_silence_is_told_where_nothing_has_a_handler(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        logging.getLogger(NAME)
        logging.config.dictConfig({"version": 1})
        ask(200, 500)
    assert capsys.readouterr().err == f"{DISABLED}\n"


def test_a_null_handler_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        logging.getLogger(NAME).addHandler(logging.NullHandler())
        logging.getLogger(NAME).setLevel(logging.INFO)
        ask(200, 500)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("handlers", [False, True], ids=["no handlers", "a handler"])
@pytest.mark.parametrize(("level", "shown"), [(logging.INFO, [404, 500]), (logging.ERROR, []), (logging.CRITICAL, [])])
def test_logging_can_be_disabled_below_a_level(
    level: int, shown: list[int], handlers: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    with unconfigured():
        if handlers:
            configure(heard, {"root": handled("INFO")})
        logging.disable(level)
        ask(200, 404, 500)
    assert (heard_of(heard)[0] if handlers else statuses(capsys.readouterr().err)) == shown


# Beside the server's own lines

SERVERS = {
    "uvicorn.access": "uvicorn --no-access-log",
    "hypercorn.access": "hypercorn without --access-logfile",
    "gunicorn.access": "gunicorn without --access-logfile",
}


def doubled(remedy: str) -> str:
    return f"the server logs each request as well; to have one line, run {remedy}"


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_logs_requests_too_is_named(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        logger = logging.getLogger(server)
        logger.addHandler(Heard())
        logger.setLevel(logging.INFO)
        ask(200, 200)
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == doubled(SERVERS[server])
        assert len(lines) == 3

        def is_doubled() -> bool:
            ask(200)
            return len(capsys.readouterr().err.splitlines()) > 1

        logger.setLevel(logging.WARNING)
        assert not is_doubled()
        logger.setLevel(logging.INFO)
        logger.disabled = True
        assert not is_doubled()
        logger.disabled = False
        assert is_doubled()
        logger.handlers = []
        assert not is_doubled()


def test_daphne_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "daphne.cli", io)
    with unconfigured():
        ask(200)
    assert capsys.readouterr().err.splitlines()[0] == doubled("daphne --access-log /dev/null")


def test_uvicorns_own_configuration_leaves_us_where_we_were(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        logging.config.dictConfig(LOGGING_CONFIG)
        ask(200)
        assert capsys.readouterr().err.splitlines()[0] == doubled("uvicorn --no-access-log")
        logging.getLogger("uvicorn.access").handlers = []  # as --no-access-log does
        logging.getLogger("uvicorn.access").propagate = False
        ask(200)
        assert re.fullmatch(COMBINED, capsys.readouterr().err)


def test_whose_lines_are_silenced_is_not_told_of_doubles() -> None:
    heard = Heard()
    given = {"root": handled("INFO"), "loggers": {"uvicorn.access": {"level": "INFO"}}}
    with unconfigured():
        logging.getLogger(NAME)
        configure(heard, {**given, "disable_existing_loggers": True})
        ask(200)
    assert heard.lines == [DISABLED]


# What a handler gets


def test_a_queue_gets_all_of_it() -> None:
    waiting: queue.Queue[logging.LogRecord] = queue.Queue()
    with unconfigured():
        logging.root.addHandler(logging.handlers.QueueHandler(waiting))
        logging.root.setLevel(logging.INFO)
        ask(404)
    record = waiting.get_nowait()
    assert waiting.empty()
    assert record.getMessage().startswith("GET /a 404 ")
    assert fields(record)["http.response.status_code"] == 404
    assert fields(pickle.loads(pickle.dumps(record))) == fields(record)


def test_a_factory_of_records_is_asked() -> None:
    class Record(logging.LogRecord):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.service = "shop"

    heard = Heard()
    with unconfigured():
        configure(heard, {"root": handled("INFO")})
        before = logging.getLogRecordFactory()
        logging.setLogRecordFactory(Record)
        try:
            ask(200)
        finally:
            logging.setLogRecordFactory(before)
    assert heard.records[0].__dict__["service"] == "shop"


def test_a_formatter_of_logging_reads_the_fields() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    form = "%(levelname)s %(name)s %(http.response.status_code)s %(url.path)s %(message)s"
    handler.setFormatter(logging.Formatter(form, validate=False))
    with unconfigured():
        logging.root.addHandler(handler)
        logging.root.setLevel(logging.INFO)
        ask(200, format="json")
    level, name, status, path, message = stream.getvalue().split(maxsplit=4)
    assert (level, name, status, path) == ("INFO", NAME, "200", "/a")
    assert json.loads(message)["url.path"] == "/a"


# Django

PROGRAM = """
import asyncio
from middleware import RequestLogMiddleware
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("items/<int:number>/", lambda request, number: HttpResponse("hello"))]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], **CHANGES)
application = RequestLogMiddleware(get_asgi_application(), **KEYWORDS)


async def main():
    messages = [{"type": "http.request", "body": b""}]

    async def receive():
        if messages:
            return messages.pop()
        await asyncio.sleep(60)

    async def send(message):
        pass

    await application(SCOPE, receive, send)


asyncio.run(main())
"""


@pytest.mark.parametrize("disables", [False, True], ids=["default", "disable_existing_loggers"])
def test_django_shows_a_line_or_says_why_not(disables: bool) -> None:
    logging_of_django = {"version": 1, "handlers": {"console": {"class": "logging.StreamHandler"}}}
    changes = {"LOGGING": {**logging_of_django, "root": {"handlers": ["console"], "level": "INFO"}}} if disables else {}
    given = {"CHANGES": changes, "KEYWORDS": {"format": "json"}, "SCOPE": http_scope("/items/42/")}
    program = "".join(f"{name} = {value!r}\n" for name, value in given.items()) + PROGRAM
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("{")]  # Django 4.2 warns of USE_TZ
    said = json.loads(line)
    if disables:
        assert (said["level"], said["message"]) == ("WARNING", DISABLED)
    else:
        assert (said["level"], said["http.response.status_code"], said["http.response.body.size"]) == ("INFO", 200, 5)
        assert said["http.route"] == "/items/<int:number>/"
