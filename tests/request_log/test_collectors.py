"""What reads logs reads ours: GoAccess each line in the combined format, the logging libraries each field."""

from __future__ import annotations

import json
import logging
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from middleware import RequestLogMiddleware
from middleware.request_log import TraceContext
from tests.asgi import BODY, CONNECT, REQUEST, START, http_scope, websocket_scope
from tests.pages import blocks

PAGE = "docs/request-log.md"
NAME = "middleware.request_log"
LEFT = {"type": "http.disconnect"}


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Scripted:
    """An application that sends what stands in its scope, and a client that has one thing to say."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in scope["sends"]:
            await send(message)
        if scope["fails"]:
            raise LookupError


def drive(app: Any, scope: Any, event: Any) -> None:
    """Call an application that never waits, without an event loop: ten thousand of them take a second."""

    async def receive() -> Any:
        return event

    async def send(message: Any) -> None: ...

    try:
        app(scope, receive, send).send(None)
    except (StopIteration, LookupError):
        return
    raise AssertionError("the application waits")


# GoAccess

METHODS = ["GET", "HEAD", "POST", "PUT", "QUERY", "PROPFIND", "VERSION-CONTROL", "get", "PURGE", "!#$%&'*+-.^_`|~"]
VALUES = [
    *(b"", b"-", b"a", b"a b", b" ", b"'", b"%", b"%22%0d%0a", b"`$(id)`", b"<script>", b"^%h", b" HTTP/1.1"),
    *(b'"', b'"' * 50, b"\\", b'\\"', b'\\\\"', b'" 200 5 "-" "-"', b"[20/Nov/2026:00:00:00 +0000]", b"a" * 500),
    *(b'\r\n127.0.0.1 - - [x] "GET / HTTP/1.1" 200 5', b"\n", b"\t", b"\x1b[31m", b"\0", b"\x7f", b"\xff\xfe"),
    *(text.encode() for text in ("ü 漢字 🙂", "\x85", "\u2028", "\u202e", "\u3000")),
    b"Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
]
CLIENTS = [("127.0.0.1", 50000), ("2001:db8::1", 50000), ("::ffff:203.0.113.9", 50000), ("203.0.113.9", 0)]
USERS = [None, None, "ada", "ada b", 'a"b', "ü", "-", "\\", "a[b", "[20/Nov/2026"]
STATUSES = [101, 103, 200, 204, 206, 301, 304, 400, 404, 418, 451, 499, 500, 503, 599]
ACCEPT, CLOSE = {"type": "websocket.accept"}, {"type": "websocket.close"}


def requests(count: int) -> Iterator[tuple[Any, Any, int]]:
    """Scopes, what the client says, the status that is to be read."""
    chance = random.Random(7)
    for _ in range(count):
        status = chance.choice(STATUSES)
        body = {**BODY, "body": b"a" * chance.choice([0, 1, 700])}
        make, event, sends, fails, logged = chance.choice(
            [
                (http_scope, REQUEST, [{**START, "status": status}, body], False, status),
                (http_scope, REQUEST, [{**START, "status": status}, {**body, "more_body": True}], True, status),
                (http_scope, LEFT, [], False, 499),
                (http_scope, REQUEST, [], True, 500),
                (http_scope, REQUEST, [], False, 500),
                (websocket_scope, CONNECT, [ACCEPT, CLOSE], False, 101),
                (websocket_scope, CONNECT, [CLOSE], False, 403),
            ]
        )
        method = {"method": chance.choice(METHODS)} if make is http_scope else {}
        names = [name for name in (b"user-agent", b"referer") if chance.random() < 0.8]
        yield (
            make(
                raw_path=b"/" + chance.choice(VALUES),
                query_string=chance.choice(VALUES),
                headers=[(name, chance.choice(VALUES)) for name in names],
                http_version=chance.choice(["1.0", "1.1", "2", "3"]),
                client=chance.choice(CLIENTS),
                user=chance.choice(USERS),
                sends=sends,
                fails=fails,
                **method,
            ),
            event,
            logged,
        )


@pytest.fixture
def report(tmp_path: Path) -> Any:
    """Have GoAccess read lines; what it reports of them."""
    goaccess = shutil.which("goaccess")
    if goaccess is None:
        pytest.skip("needs goaccess: apt-get install goaccess")

    def report(lines: list[str], *options: str) -> Any:
        log, found, invalid = (tmp_path / name for name in ("access.log", "report.json", "invalid.log"))
        log.write_text("".join(f"{line}\n" for line in lines))
        command = [goaccess, log, "--log-format=COMBINED", "--no-global-config", "--no-progress", "-o", found]
        subprocess.run(
            [*command, f"--invalid-requests={invalid}", *options], capture_output=True, timeout=50, check=False
        )
        assert not invalid.exists() or not invalid.read_text(), invalid.read_text()[:2000]
        return json.loads(found.read_text())

    return report


def written(scopes: Any) -> list[str]:
    logger, handler = logging.Logger("goaccess", logging.DEBUG), Lines()
    logger.addHandler(handler)
    layer = RequestLogMiddleware(Scripted(), logger=logger, format="combined")
    for scope, event, *_ in scopes:
        drive(layer, scope, event)
    return [record.getMessage() for record in handler.records if record.name == "goaccess"]


def test_goaccess_reads_ten_thousand_lines_whatever_is_in_them(report: Any) -> None:
    asked = [*requests(10_000)]
    lines = written(asked)
    assert len(lines) == 10_000
    found = report(lines)
    general = found["general"]
    assert (general["total_requests"], general["valid_requests"], general["failed_requests"]) == (10_000, 10_000, 0)
    read = Counter()
    for group in found["status_codes"]["data"]:
        for item in group["items"]:
            read[item["data"][:3]] += item["hits"]["count"]
    sent = Counter("Unk" if status in (103, 599) else str(status) for _, _, status in asked)  # Unknown
    assert read == sent
    hosts = {item["data"] for item in found["hosts"]["data"]}
    assert hosts == {host for host, _ in CLIENTS}


def test_a_users_name_is_one_word_and_begins_no_date() -> None:
    scope = http_scope(sends=[START, BODY], fails=False, user='Ada "the [first"')
    (line,) = written([(scope, REQUEST)])
    assert line.startswith(r"127.0.0.1 - Ada\x20\"the\x20\x5bfirst\" [")


def test_clients_without_an_address_are_read_with_an_option(report: Any) -> None:
    scopes = [
        (http_scope(client=client, sends=[START, BODY], fails=False), REQUEST)
        for client in (None, ("/run/app.sock", 0), ("testclient", 50000), ("fe80::1%eth0", 50000))
    ]
    general = report(written(scopes), "--no-ip-validation")["general"]
    assert (general["valid_requests"], general["failed_requests"]) == (4, 0)


# Logging libraries


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the page's code does to logging is undone."""
    monkeypatch.setattr(logging.getLogger(f"{NAME}.startup"), "disabled", True)  # what other tests have set up
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def run(mark: str) -> dict[str, Any]:
    """What the block of the page with ``mark`` names."""
    (code,) = (code for code in blocks(PAGE, "python") if mark in code)
    names: dict[str, Any] = {}
    logging.getLogger().handlers.clear()  # pytest's, which would keep basicConfig from doing anything
    exec(compile(code, PAGE, "exec", dont_inherit=True), names)
    return names


def visit() -> tuple[list[dict[str, Any]], list[str]]:
    """The fields of a request and a websocket, and their messages."""
    heard = Lines()
    logging.getLogger(NAME).addHandler(heard)
    layer = RequestLogMiddleware(Scripted())
    known = {
        "request_id": "9f3c1a7be0d24f6b",
        "trace_context": TraceContext("4b" * 16, "00f067aa0ba902b7"),
        "user": "ü",
    }
    moved = {**START, "status": 302, "headers": [(b"location", b"/{0}%s")]}
    headers = [(b"user-agent", b"{braces} %(percent)s <tag>"), (b"referer", b"http://a/")]
    try:
        drive(
            layer, http_scope(query_string=b"q=1", headers=headers, sends=[moved, BODY], fails=False, **known), REQUEST
        )
        drive(layer, websocket_scope(sends=[ACCEPT, CLOSE], fails=False), CONNECT)
    finally:
        logging.getLogger(NAME).removeHandler(heard)
    usual = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
    records = [record for record in heard.records if record.name == NAME]
    fields = [{name: value for name, value in vars(record).items() if name not in usual} for record in records]
    assert [len(one) > 15 for one in fields] == [True, True]
    return fields, [record.getMessage() for record in records]


@pytest.mark.parametrize(("mark", "message"), [("pythonjsonlogger", "message"), ("structlog", "event")])
def test_a_formatter_for_json_writes_all_fields(mark: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(mark)
    fields, messages = visit()
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [one[message] for one in found] == messages
    for one, expected in zip(found, fields, strict=True):
        assert {name: one.get(name) for name in expected} == expected


def test_loguru_gets_all_fields() -> None:
    loguru = run("loguru")["loguru"]
    found: list[Any] = []
    sink = loguru.logger.add(lambda message: found.append(message.record))
    try:
        fields, messages = visit()
    finally:
        loguru.logger.remove(sink)
    assert [record["message"] for record in found] == messages
    assert [record["extra"] for record in found] == fields


def test_opentelemetry_gets_all_fields_as_attributes() -> None:
    provider, exporter = run("opentelemetry")["provider"], InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    try:
        fields, messages = visit()
    finally:
        provider.shutdown()
    found = [one.log_record for one in exporter.get_finished_logs()]
    assert [record.body for record in found] == messages
    attributes = [json.loads(json.dumps(dict(record.attributes), default=list)) for record in found]
    assert attributes == fields
