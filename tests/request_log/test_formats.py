"""The lines of known records, to the letter, and that other people's parsers read them."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

import pytest

from middleware.request_log import RequestRecord
from middleware.request_log.formats import combined, dev, in_json, plain
from tests.asgi import BODY, START, http_scope, websocket_scope
from tests.request_log.heard import Told, request, script

MOMENT = 1_795_167_437.25  # 2026-11-20 09:37:17

REQUEST = {
    "http.request.method": "GET",
    "url.scheme": "https",
    "url.path": "/items/42",
    "network.protocol.version": "1.1",
    "client.address": "203.0.113.7",
    "client.port": 50000,
    "user_agent.original": "Mozilla/5.0 (X11)",
    "outcome": "completed",
    "complete": True,
}
HTTP = {
    **REQUEST,
    "http.route": "/items/{id}",
    "http.response.status_code": 200,
    "time_to_first_byte": 0.01,
    "http.server.request.duration": 0.0123,
    "http.request.body.size": 0,
    "http.response.body.size": 1234,
}
WEBSOCKET = {
    **REQUEST,
    "url.path": "/chat",
    "http.response.status_code": 101,
    "websocket.duration": 61.5,
    "websocket.messages_received": 12,
    "websocket.messages_sent": 3,
    "websocket.bytes_received": 55,
    "websocket.bytes_sent": 1234,
    "websocket.close_code": 1001,
    "websocket.closed_by": "client",
}
NAMES = {
    "status": "http.response.status_code",
    "error_type": "error.type",
    "bytes_sent": "http.response.body.size",
    "duration": "http.server.request.duration",
    "waited": "websocket.duration",
    "close_code": "websocket.close_code",
    "closed_by": "websocket.closed_by",
    "received": "websocket.messages_received",
    "sent": "websocket.messages_sent",
    "method": "http.request.method",
    "path": "url.path",
    "query": "url.query",
    "http_version": "network.protocol.version",
    "client": "client.address",
    "user": "user.name",
    "user_agent": "user_agent.original",
}
FAILED = {"status": 500, "outcome": "failed", "complete": False, "error_type": "app.Broken", "bytes_sent": 0}
LEFT = {"status": None, "outcome": "client_disconnected", "complete": False, "bytes_sent": 0}
LOST = {"outcome": "client_disconnected", "complete": False, "close_code": 1006, "closed_by": "abnormal"}
REFUSED = {"status": 403, "close_code": 1000, "closed_by": "application", "received": 0, "sent": 0}


def record(given: dict[str, Any] = HTTP, *, time: float = MOMENT, **changes: Any) -> RequestRecord:
    fields = {**given}
    for name, value in changes.items():
        key = NAMES.get(name, name)
        if name in ("referer", "location"):
            key = f"http.{'request' if name == 'referer' else 'response'}.header.{name}"
            value = [value]
        fields[key] = value
    known = {name: value for name, value in fields.items() if value is not None}
    return RequestRecord("websocket" if "websocket.duration" in given else "http", time, known)


# What changes, the line in plain, that of combined from the request on

LINES: dict[str, tuple[RequestRecord, str, str]] = {
    "request": (
        record(),
        "GET /items/42 200 12.3 ms 1.2 kB",
        '"GET /items/42 HTTP/1.1" 200 1234 "-" "Mozilla/5.0 (X11)"',
    ),
    "query": (
        record(method="POST", query="page=2&q=%20", http_version="2", referer="https://a.example/?b"),
        "POST /items/42?page=2&q=%20 200 12.3 ms 1.2 kB",
        '"POST /items/42?page=2&q=%20 HTTP/2" 200 1234 "https://a.example/?b" "Mozilla/5.0 (X11)"',
    ),
    "nothing": (
        record(status=304, bytes_sent=0, user_agent=None),
        "GET /items/42 304 12.3 ms 0 B",
        '"GET /items/42 HTTP/1.1" 304 - "-" "-"',
    ),
    "moved": (
        record(status=307, bytes_sent=0, location="/items/42/"),
        "GET /items/42 307 12.3 ms 0 B to /items/42/",
        '"GET /items/42 HTTP/1.1" 307 - "-" "Mozilla/5.0 (X11)"',
    ),
    "file of unknown length": (
        record(bytes_sent=None),
        "GET /items/42 200 12.3 ms",
        '"GET /items/42 HTTP/1.1" 200 - "-" "Mozilla/5.0 (X11)"',
    ),
    "failed": (
        record(**FAILED),
        "GET /items/42 500 12.3 ms 0 B failed app.Broken",
        '"GET /items/42 HTTP/1.1" 500 - "-" "Mozilla/5.0 (X11)"',
    ),
    "failed midway": (
        record(**{**FAILED, "status": 200, "bytes_sent": 64_000}),
        "GET /items/42 200 12.3 ms 64.0 kB failed app.Broken",
        '"GET /items/42 HTTP/1.1" 200 64000 "-" "Mozilla/5.0 (X11)"',
    ),
    "left": (
        record(**LEFT),
        "GET /items/42 499 12.3 ms 0 B client disconnected",
        '"GET /items/42 HTTP/1.1" 499 - "-" "Mozilla/5.0 (X11)"',
    ),
    "no response": (
        record(status=500, outcome="no_response", complete=False, bytes_sent=0),
        "GET /items/42 500 12.3 ms 0 B no response",
        '"GET /items/42 HTTP/1.1" 500 - "-" "Mozilla/5.0 (X11)"',
    ),
    "quotation marks": (
        record(path='/"', user_agent='"\\\\"', referer='"'),
        'GET /" 200 12.3 ms 1.2 kB',
        r'"GET /\" HTTP/1.1" 200 1234 "\"" "\"\\\""',
    ),
    "websocket": (
        record(WEBSOCKET),
        "WS /chat 101 61.50 s 12 in, 3 out closed with 1001 by client",
        '"GET /chat HTTP/1.1" 101 1234 "-" "Mozilla/5.0 (X11)"',
    ),
    "websocket, lost": (
        record(WEBSOCKET, **LOST),
        "WS /chat 101 61.50 s 12 in, 3 out client disconnected",
        '"GET /chat HTTP/1.1" 101 1234 "-" "Mozilla/5.0 (X11)"',
    ),
    "websocket, refused": (
        record(WEBSOCKET, **REFUSED, waited=0.001),
        "WS /chat 403 1.0 ms 0 in, 0 out closed with 1000 by application",
        '"GET /chat HTTP/1.1" 403 1234 "-" "Mozilla/5.0 (X11)"',
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_the_lines_of_a_record(name: str) -> None:
    made, line, from_request = LINES[name]
    assert plain(made) == line
    assert combined(made) == f"203.0.113.7 - - [20/Nov/2026:09:37:17 +0000] {from_request}"


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_a_terminal_shows_the_time_of_the_place() -> None:
    assert dev(record()) == "18:37:17 200 GET  /items/42  12.3 ms  1.2 kB"
    assert dev(record(method="DELETE")) == "18:37:17 200 DELETE /items/42  12.3 ms  1.2 kB"
    assert dev(record(**LEFT)) == "18:37:17 499 GET  /items/42  12.3 ms  0 B  client disconnected"
    line = "18:38:18 101 WS   /chat  61.50 s  12 in, 3 out  closed with 1001 by client"
    assert dev(record(WEBSOCKET)) == line


@pytest.mark.usefixtures("in_tokyo")
def test_files_have_utc() -> None:
    moment = MOMENT + 3600  # of no other test: the last one is remembered
    assert "[20/Nov/2026:10:37:17 +0000]" in combined(record(time=moment))
    assert in_json(moment, logging.INFO, {}) == '{"timestamp":"2026-11-20T10:37:17.250000Z","level":"INFO"}'


@pytest.mark.parametrize(
    ("changes", "colour"),
    [
        ({}, 32),
        ({"status": 101}, 32),
        ({"status": 302}, 36),
        ({"status": 404}, 33),
        (LEFT, 33),
        ({"status": 500}, 31),
        (FAILED, 31),
        ({**FAILED, "status": 200}, 31),
    ],
)
def test_the_status_has_the_colour_of_its_class(changes: dict[str, Any], colour: int) -> None:
    made = record(**changes)
    shown = dev(made, colour=True)
    assert f"\x1b[{colour}m{made.status or 499}\x1b[0m" in shown
    assert re.sub(r"\x1b\[\d+m", "", shown) == dev(made)


@pytest.mark.parametrize("month", range(12))
def test_the_months_are_english_ones(month: int) -> None:
    begin = time.mktime((2026, month + 1, 15, 12, 0, 0, 0, 0, 0))
    name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month]
    assert f"[15/{name}/2026:" in combined(record(time=begin))


def test_the_locale_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_no_locale(form: str, *moment: Any) -> str:
        assert not set(re.findall("%(.)", form)) - set("YmdHMS")
        return formatted(form, *moment)

    formatted = time.strftime
    monkeypatch.setattr(time, "strftime", of_no_locale)
    made = record(time=MOMENT + 86400)
    assert "[21/Nov/2026:09:37:17 +0000]" in combined(made)
    assert dev(made)
    assert in_json(made.time, logging.INFO, {}).startswith('{"timestamp":"2026-11-21T09:37:17.250000Z"')


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0.0 ms"),
        (0.00004, "0.0 ms"),
        (0.00123, "1.2 ms"),
        (0.9994, "999.4 ms"),
        (1.0, "1.00 s"),
        (61.5, "61.50 s"),
        (86_400.0, "86400.00 s"),
    ],
)
def test_a_duration(seconds: float, shown: str) -> None:
    assert plain(record(duration=seconds)) == f"GET /items/42 200 {shown} 1.2 kB"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_250_000, "1.2 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_000_000_000_000, "7000.0 GB"),
    ],
)
def test_a_size(size: int, shown: str) -> None:
    assert plain(record(bytes_sent=size)) == f"GET /items/42 200 12.3 ms {shown}"


# A word ends at a space, a field between quotation marks at the next one without a backslash

WORD = r"(?:[^\s\"\\]|\\.)+"
QUOTED = r'"((?:[^"\\]|\\.)*)"'
COMBINED = re.compile(
    rf"({WORD}) - ({WORD}) \[(\d\d/[A-Z][a-z][a-z]/\d{{4}}:\d\d:\d\d:\d\d \+0000)\] {QUOTED}"
    rf" ([1-5]\d\d) (\d+|-) {QUOTED} {QUOTED}"
)


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({}, ("203.0.113.7", "-")),
        ({"client": "2001:db8::1"}, ("2001:db8::1", "-")),
        ({"client": None}, ("-", "-")),
        ({"client": ""}, ("-", "-")),
        ({"user": "ada"}, ("203.0.113.7", "ada")),
        ({"user": ""}, ("203.0.113.7", "-")),
        ({"user": 'Ada "L" King'}, ("203.0.113.7", r"Ada\x20\"L\"\x20King")),
        ({"user": r"a\\b"}, ("203.0.113.7", r"a\\b")),
    ],
)
def test_each_field_of_combined_is_found(changes: dict[str, Any], who: tuple[str, str]) -> None:
    found = COMBINED.fullmatch(combined(record(**changes, referer='a "b" \\\\')))
    assert found
    assert found.groups()[:2] == who
    assert found.groups()[3:] == ("GET /items/42 HTTP/1.1", "200", "1234", r"a \"b\" \\", "Mozilla/5.0 (X11)")


@pytest.mark.parametrize("made", [case[0] for case in LINES.values()], ids=list(LINES))
def test_combined_has_one_form(made: RequestRecord) -> None:
    assert COMBINED.fullmatch(combined(made))


def test_json_has_the_fields_and_when_the_request_came() -> None:
    made = record(request_id="a" * 8)
    line = in_json(made.time, logging.WARNING, made.fields())
    assert line == (
        '{"timestamp":"2026-11-20T09:37:17.250000Z","level":"WARNING","http.request.method":"GET",'
        '"url.scheme":"https","url.path":"/items/42","network.protocol.version":"1.1",'
        '"client.address":"203.0.113.7","client.port":50000,"user_agent.original":"Mozilla/5.0 (X11)",'
        '"outcome":"completed","complete":true,"http.route":"/items/{id}","http.response.status_code":200,'
        '"time_to_first_byte":0.01,"http.server.request.duration":0.0123,"http.request.body.size":0,'
        '"http.response.body.size":1234,"request_id":"aaaaaaaa"}'
    )
    assert json.loads(line)


@pytest.mark.parametrize(
    ("moment", "stamp"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (MOMENT + 0.5, "2026-11-20T09:37:17.750000Z"),
        (MOMENT + 0.749999, "2026-11-20T09:37:17.999999Z"),
        (MOMENT + 0.75, "2026-11-20T09:37:18.000000Z"),
    ],
)
def test_the_time_in_json_has_microseconds(moment: float, stamp: str) -> None:
    given = json.loads(in_json(moment, logging.INFO, {}))["timestamp"]
    assert abs(float(given[17:26]) - float(stamp[17:26])) < 2e-6
    assert (given[:17], len(given)) == (stamp[:17], len(stamp))


# Chosen by the parameter

FORMS: dict[str, tuple[str, str]] = {
    "dev": (
        r"\d\d:\d\d:\d\d 200 GET  /a  [\d.]+ ms  5 B",
        r"\d\d:\d\d:\d\d 500 WS   /a  [\d.]+ ms  0 in, 0 out  no response",
    ),
    "combined": (
        r'127\.0\.0\.1 - - \[[^]]+\] "GET /a HTTP/1\.1" 200 5 "-" "tests"',
        r'127\.0\.0\.1 - - \[[^]]+\] "GET /a HTTP/1\.1" 500 - "-" "tests"',
    ),
    "json": (r'\{"timestamp":".*"level":"INFO".*\}', r'\{"timestamp":".*"level":"ERROR".*\}'),
    "plain": (r"GET /a 200 [\d.]+ ms 5 B", r"WS /a 500 [\d.]+ ms 0 in, 0 out no response"),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_message_has_the_chosen_format(name: str) -> None:
    chosen = None if name == "plain" else name
    http, websocket = Told(script(START, BODY), format=chosen), Told(script(), format=chosen)
    request(http, http_scope("/a"))
    request(websocket, websocket_scope("/a"))
    assert re.fullmatch(FORMS[name][0], http.line)
    assert re.fullmatch(FORMS[name][1], websocket.line)


def test_percent_signs_in_a_message_stand_for_themselves() -> None:
    told = Told(script(START, BODY), format=None)
    request(told, http_scope("/%s%d", raw_path=b"/%s%(name)s%%"))
    assert told.line.startswith("GET /%s%(name)s%% 200 ")
