"""Every way in which a request and a websocket can end, and what its one record says then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

import anyio
import pytest

from middleware import PathRouter
from middleware.request_log import RequestLogMiddleware
from tests.asgi import BODY, CONNECT, REQUEST, START, Spy, call, http_scope, lifespan_scope, websocket_scope
from tests.request_log.heard import Server, Told, read, request, run, script

PART = {"type": "http.response.body", "body": b"hello", "more_body": True}
END = {"type": "http.response.body", "body": b"", "more_body": False}
UPLOAD = {"type": "http.request", "body": b"12345678", "more_body": True}
LEFT = {"type": "http.disconnect"}
FAILURE = RuntimeError("no")


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [*headers], **more}


def sized(length: bytes) -> dict[str, Any]:
    return start(200, (b"Content-Length", length))


async def idle() -> Any: ...


async def nowhere(message: Any) -> None: ...


async def cancelled(receive: Any) -> None:
    """Be cancelled by the server."""
    limit.get().cancel()
    await anyio.sleep_forever()


limit: ContextVar[anyio.CancelScope] = ContextVar("limit")


class Case(NamedTuple):
    """What the application does, and what the record says: level, status, outcome, bytes, error."""

    steps: tuple[Any, ...]
    said: str
    events: tuple[Any, ...] = (REQUEST,)
    lost_after: int | None = None
    scope: Mapping[str, Any] = MappingProxyType({})


def of(*steps: Any) -> tuple[Any, ...]:
    return steps


FILE = {"type": "http.response.pathsend", "path": "/srv/file"}
COPY = {"type": "http.response.zerocopysend", "file": 3}
HEAD = {"method": "HEAD"}
OLD = {"asgi": {"version": "3.0", "spec_version": "2.3"}}

HTTP: dict[str, Case] = {
    # whole responses
    "whole": Case(of(START, BODY), "INFO 200 completed 5"),
    "streamed": Case(of(START, PART, PART, END), "INFO 200 completed 10"),
    "without a body": Case(of(start(204), END), "INFO 204 completed 0"),
    "a body without 'body'": Case(of(START, {"type": "http.response.body"}), "INFO 200 completed 0"),
    "a start without headers": Case(of({"type": "http.response.start", "status": 200}, BODY), "INFO 200 completed 5"),
    "not modified": Case(of(start(304), END), "INFO 304 completed 0"),
    "moved": Case(of(start(302, (b"location", b"/b")), END), "INFO 302 completed 0"),
    "not found": Case(of(start(404), BODY), "WARNING 404 completed 5"),
    "an answer that says 500": Case(of(start(500), BODY), "ERROR 500 completed 5"),
    "HEAD": Case(of(sized(b"5"), BODY), "INFO 200 completed 0", scope=HEAD),
    "HEAD, by a file": Case(of(sized(b"5"), FILE), "INFO 200 completed 0", scope=HEAD),
    "a wrong content-length": Case(of(sized(b"1000"), {**BODY, "body": b"abc"}), "INFO 200 completed 3"),
    "early hints": Case(
        of({"type": "http.response.early_hint", "links": [b"</a.css>"]}, START, BODY), "INFO 200 completed 5"
    ),
    "a debug message": Case(of({"type": "http.response.debug", "info": {}}, START, BODY), "INFO 200 completed 5"),
    "a push": Case(
        of({"type": "http.response.push", "path": "/a", "headers": []}, START, BODY), "INFO 200 completed 5"
    ),
    "trailers": Case(
        of(
            start(200, trailers=True),
            BODY,
            {"type": "http.response.trailers", "headers": [], "more_trailers": True},
            {"type": "http.response.trailers", "headers": [], "more_trailers": False},
        ),
        "INFO 200 completed 5",
    ),
    "trailers that do not come": Case(of(start(200, trailers=True), BODY), "ERROR 200 incomplete 5"),
    "trailers that do not end": Case(
        of(start(200, trailers=True), BODY, {"type": "http.response.trailers", "more_trailers": True}),
        "ERROR 200 incomplete 5",
    ),
    "a file by path": Case(of(sized(b"1234"), FILE), "INFO 200 completed 1234"),
    "a file of unknown length by path": Case(of(START, FILE), "INFO 200 completed None"),
    "a file of a length that is none": Case(of(sized(b"many"), FILE), "INFO 200 completed None"),
    "a file and trailers": Case(
        of(start(200, (b"content-length", b"9"), trailers=True), FILE, {"type": "http.response.trailers"}),
        "INFO 200 completed 9",
    ),
    "a file by descriptor": Case(of(sized(b"1234"), COPY), "INFO 200 completed 1234"),
    "a file in parts": Case(of(sized(b"12"), {**COPY, "more_body": True}, COPY), "INFO 200 completed 12"),
    "a file that does not end": Case(of(START, {**COPY, "more_body": True}), "ERROR 200 incomplete 0"),
    # failures
    "failed": Case(of(FAILURE), "ERROR 500 failed 0 RuntimeError"),
    "failed while streaming": Case(of(START, PART, FAILURE), "ERROR 200 failed 5 RuntimeError"),
    "failed after the start": Case(of(START, FAILURE), "ERROR 200 failed 0 RuntimeError"),
    "failed after early hints": Case(
        of({"type": "http.response.early_hint", "links": []}, FAILURE), "ERROR 500 failed 0 RuntimeError"
    ),
    "failed after the last byte": Case(of(START, BODY, FAILURE), "INFO 200 completed 5"),
    "the program is told to stop": Case(of(KeyboardInterrupt()), "ERROR 500 failed 0 KeyboardInterrupt"),
    "an exception of a library": Case(of(START, anyio.EndOfStream()), "ERROR 200 failed 0 anyio.EndOfStream"),
    "nothing sent": Case((), "ERROR 500 no_response 0"),
    "nothing but early hints sent": Case(
        of({"type": "http.response.early_hint", "links": []}), "ERROR 500 no_response 0"
    ),
    "no end of the body": Case(of(START, PART), "ERROR 200 incomplete 5"),
    "no body": Case(of(START), "ERROR 200 incomplete 0"),
    # given up
    "cancelled": Case(of(cancelled), "WARNING None cancelled 0"),
    "cancelled while streaming": Case(of(START, PART, cancelled), "WARNING 200 cancelled 5"),
    "cancelled after the last byte": Case(of(START, BODY, cancelled), "INFO 200 completed 5"),
    # the client leaves
    "left": Case(of(read, read), "INFO None client_disconnected 0", (REQUEST, LEFT)),
    "left while it sends": Case(of(read, read), "INFO None client_disconnected 0", (UPLOAD, LEFT)),
    "left while streaming": Case(of(read, START, PART, read), "INFO 200 client_disconnected 5", (REQUEST, LEFT)),
    "left, which the application does not mind": Case(
        of(read, START, PART, read, PART, END), "INFO 200 client_disconnected 10", (REQUEST, LEFT)
    ),
    "left, and the application is cancelled": Case(
        of(START, PART, read, cancelled), "INFO 200 client_disconnected 5", (LEFT,)
    ),
    "left, told by the first part": Case(
        of(START, PART, PART), "INFO 200 client_disconnected 5 ConnectionResetError", lost_after=1
    ),
    "left, told by the start": Case(
        of(START, BODY), "INFO 200 client_disconnected 0 ConnectionResetError", lost_after=0
    ),
    "left, told by the last part": Case(
        of(START, BODY), "INFO 200 client_disconnected 5 ConnectionResetError", lost_after=1
    ),
    "left, told by the last part to an old server": Case(
        of(START, BODY), "INFO 200 client_disconnected 5 ConnectionResetError", lost_after=1, scope=OLD
    ),
    "left after the last byte": Case(of(read, START, BODY, read), "INFO 200 completed 5", (REQUEST, LEFT)),
    # an OSError of the application's own is none of the client
    "a file is missing": Case(of(START, FileNotFoundError("gone")), "ERROR 200 failed 0 FileNotFoundError"),
}


async def serve(told: Told, case: Any, scope: dict[str, Any], server: Server) -> BaseException | None:
    """Serve one request or websocket; return what was raised."""
    with anyio.move_on_after(5) as given_up:
        limit.set(given_up)
        try:
            await told(scope, server.receive, server.send)
        except (Exception, KeyboardInterrupt) as error:
            return error
    assert given_up.cancelled_caught is (cancelled in case.steps)
    return None


def raised_in(case: Any, server: Server) -> BaseException | None:
    failures = [step for step in case.steps if isinstance(step, BaseException)]
    return failures[0] if failures else server.error if case.lost_after is not None else None


@pytest.mark.parametrize("name", HTTP)
async def test_of_a_request_there_is_one_record_that_says_how_it_ended(name: str) -> None:
    case = HTTP[name]
    told, server = Told(script(*case.steps)), Server(*case.events, lost_after=case.lost_after)
    raised = await serve(told, case, http_scope(**case.scope), server)
    assert raised is raised_in(case, server)
    record = told.record
    said = [told.level, record.status, record.outcome, record.bytes_sent, record.error_type or ""]
    assert " ".join(map(str, said)).strip() == case.said
    assert record.complete is (record.outcome == "completed")
    assert record.kind == "http"
    assert 0 <= record.duration < 5
    assert (record.time_to_first_byte is None) is (record.status is None or START["type"] not in sent(case.steps))


def sent(steps: tuple[Any, ...]) -> list[str]:
    return [step["type"] for step in steps if isinstance(step, dict)]


# The same for websockets: also code, party, messages and bytes both ways

ACCEPT: dict[str, Any] = {"type": "websocket.accept", "subprotocol": None, "headers": []}
TEXT = {"type": "websocket.send", "text": "grüße"}  # 7 bytes
BYTES = {"type": "websocket.send", "bytes": b"123"}
CLOSE = {"type": "websocket.close"}
HELLO = {"type": "websocket.receive", "text": "hello"}
BLOB = {"type": "websocket.receive", "bytes": b"12", "text": None}
DENIAL = {"type": "websocket.http.response.start", "status": 401, "headers": []}
DENIED = {"type": "websocket.http.response.body", "body": b"who?"}


def gone(*code: int) -> dict[str, Any]:
    return {"type": "websocket.disconnect", **({"code": code[0]} if code else {})}


NOTHING = "in 0/0 out 0/0"

WEBSOCKETS: dict[str, Case] = {
    "closed by the application": Case(
        of(read, ACCEPT, TEXT, BYTES, read, read, CLOSE),
        "INFO 101 completed 1000 application in 2/7 out 2/10",
        (CONNECT, HELLO, BLOB),
    ),
    "closed by the application, with a code": Case(
        of(read, ACCEPT, {**CLOSE, "code": 4001, "reason": "no"}),
        f"INFO 101 completed 4001 application {NOTHING}",
        (CONNECT,),
    ),
    "closed by both": Case(
        of(read, ACCEPT, {**CLOSE, "code": 4001}, read),
        f"INFO 101 completed 4001 application {NOTHING}",
        (CONNECT, gone(1000)),
    ),
    "closed twice": Case(
        of(read, ACCEPT, {**CLOSE, "code": 4001}, {**CLOSE, "code": 4002}),
        f"INFO 101 completed 4001 application {NOTHING}",
        (CONNECT,),
    ),
    "closed by the client": Case(
        of(read, ACCEPT, read, read), "INFO 101 completed 1001 client in 1/5 out 0/0", (CONNECT, HELLO, gone(1001))
    ),
    "closed by the client, who was answered": Case(
        of(read, ACCEPT, read, CLOSE), f"INFO 101 completed 4123 client {NOTHING}", (CONNECT, gone(4123))
    ),
    "closed by the client without a code": Case(
        of(read, ACCEPT, read), f"INFO 101 completed 1005 client {NOTHING}", (CONNECT, gone())
    ),
    "closed by the client with no status": Case(
        of(read, ACCEPT, read), f"INFO 101 completed 1005 client {NOTHING}", (CONNECT, gone(1005))
    ),
    "lost": Case(
        of(read, ACCEPT, read), f"INFO 101 client_disconnected 1006 abnormal {NOTHING}", (CONNECT, gone(1006))
    ),
    "lost before it was accepted": Case(
        of(read, read), f"INFO None client_disconnected 1006 abnormal {NOTHING}", (CONNECT, gone(1006))
    ),
    "left before it was accepted": Case(
        of(read, read), f"INFO None client_disconnected 1001 client {NOTHING}", (CONNECT, gone(1001))
    ),
    "lost, told by send": Case(
        of(read, ACCEPT, TEXT, TEXT),
        "INFO 101 client_disconnected None None in 0/0 out 1/7 ConnectionResetError",
        (CONNECT,),
        1,
    ),
    "refused": Case(of(read, CLOSE), f"WARNING 403 completed 1000 application {NOTHING}", (CONNECT,)),
    "denied by a response": Case(
        of(read, DENIAL, DENIED), "WARNING 401 completed None None in 0/0 out 0/4", (CONNECT,)
    ),
    "denied by a streamed response": Case(
        of(read, DENIAL, {**DENIED, "more_body": True}, DENIED),
        "WARNING 401 completed None None in 0/0 out 0/8",
        (CONNECT,),
    ),
    "denied by half a response": Case(
        of(read, DENIAL, {**DENIED, "more_body": True}),
        "ERROR 401 incomplete None None in 0/0 out 0/4",
        (CONNECT,),
    ),
    "failed": Case(of(read, FAILURE), f"ERROR 500 failed None None {NOTHING} RuntimeError", (CONNECT,)),
    "failed after it was accepted": Case(
        of(read, ACCEPT, TEXT, FAILURE), "ERROR 101 failed None None in 0/0 out 1/7 RuntimeError", (CONNECT,)
    ),
    "failed after it was closed": Case(
        of(read, ACCEPT, CLOSE, FAILURE), f"INFO 101 completed 1000 application {NOTHING}", (CONNECT,)
    ),
    "cancelled": Case(of(read, cancelled), f"WARNING None cancelled None None {NOTHING}", (CONNECT,)),
    "cancelled after it was accepted": Case(
        of(read, ACCEPT, cancelled), f"WARNING 101 cancelled None None {NOTHING}", (CONNECT,)
    ),
    "not answered": Case(of(read), f"ERROR 500 no_response None None {NOTHING}", (CONNECT,)),
    "not closed": Case(of(read, ACCEPT), f"ERROR 101 incomplete None None {NOTHING}", (CONNECT,)),
}


@pytest.mark.parametrize("name", WEBSOCKETS)
async def test_of_a_websocket_there_is_one_record_that_says_how_it_ended(name: str) -> None:
    case = WEBSOCKETS[name]
    told, server = Told(script(*case.steps)), Server(*case.events, lost_after=case.lost_after)
    raised = await serve(told, case, websocket_scope(**case.scope), server)
    assert raised is raised_in(case, server)
    record = told.record
    came = f"in {record.messages_received}/{record.bytes_received}"
    went = f"out {record.messages_sent}/{record.bytes_sent}"
    said = [told.level, record.status, record.outcome, record.close_code, record.closed_by, came, went]
    assert " ".join(map(str, [*said, record.error_type or ""])).strip() == case.said
    assert record.complete is (record.outcome == "completed")
    assert (record.kind, record.method, record.scheme) == ("websocket", "GET", "ws")


def test_a_websocket_says_its_subprotocol_and_why_it_was_closed() -> None:
    told = Told(script({**ACCEPT, "subprotocol": "chat\n2"}, {**CLOSE, "code": 4000, "reason": "bye\x1b"}))
    request(told, websocket_scope())
    assert told.record.subprotocol == r"chat\n2"
    assert told.record.close_reason == r"bye\x1b"
    told = Told(script(ACCEPT, read))
    request(told, websocket_scope(), {**gone(4000), "reason": "bye\n"})
    assert (told.record.subprotocol, told.record.close_reason) == (None, r"bye\n")


# When it is told


async def test_the_record_is_written_when_the_last_byte_was_handed_over() -> None:
    seen = []
    told = Told(script(START, PART, END))

    class Watching(Server):
        async def send(self, message: Any) -> None:
            await super().send(message)
            seen.append(len(told.logged))

    client = Watching(REQUEST)
    await told(http_scope(), client.receive, client.send)
    assert seen == [0, 0, 0]
    assert len(told.logged) == 1


async def test_work_in_the_background_is_neither_waited_for_nor_counted() -> None:
    seen = []

    async def work(receive: Any) -> None:
        seen.append(told.record.duration)
        await anyio.sleep(0.03)

    told = Told(script(START, BODY, work))
    await call(told, http_scope())
    assert seen == [told.record.duration]


async def test_the_duration_counts_to_the_last_byte_and_the_other_time_to_the_first() -> None:
    async def pause(receive: Any) -> None:
        await anyio.sleep(0.02)

    told = Told(script(pause, START, pause, PART, pause, END))
    await call(told, http_scope())
    first, whole = told.record.time_to_first_byte, told.record.duration
    assert first is not None
    assert 0.019 <= first <= whole - 0.038


async def test_waiting_for_a_slow_client_is_part_of_the_duration() -> None:
    class Slow(Server):
        async def send(self, message: Any) -> None:
            await anyio.sleep(0.02)
            await super().send(message)

    told, client = Told(script(START, BODY)), Slow(REQUEST)
    await told(http_scope(), client.receive, client.send)
    first = told.record.time_to_first_byte
    assert first is not None
    assert first <= told.record.duration - 0.038


async def test_a_server_that_says_it_is_over_while_it_sends_the_last_byte_has_lost_nobody() -> None:
    # hypercorn, if it closes the connection then (Connection: close, HTTP/1.0); Starlette's streams listen for it.
    over = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await anyio.lowlevel.checkpoint()
            await send(START)
            await send(BODY)

    class Hasty(Server):
        async def receive(self) -> Any:
            await over.wait()
            return LEFT

        async def send(self, message: Any) -> None:
            await super().send(message)
            if message is BODY:
                over.set()
                await anyio.sleep(0.01)

    told, client = Told(app), Hasty()
    await told(http_scope(), client.receive, client.send)
    assert (told.record.outcome, told.record.complete) == ("completed", True)


async def test_a_server_that_says_it_is_over_while_it_closes_a_websocket_has_closed_nothing() -> None:
    over = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await anyio.lowlevel.checkpoint()
            await send({**CLOSE, "code": 4001, "reason": "no"})

    class Hasty(Server):
        async def receive(self) -> Any:
            await over.wait()
            return gone(1006)

        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == "websocket.close":
                over.set()
                await anyio.sleep(0.01)

    told, client = Told(app), Hasty()
    await told(websocket_scope(), client.receive, client.send)
    record = told.record
    assert (record.outcome, record.close_code, record.closed_by) == ("completed", 4001, "application")
    assert record.close_reason == "no"


async def test_requests_at_the_same_time_are_told_apart() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for _ in scope["path"][1:]:
            await send(PART)
        await send(END)

    told = Told(app)
    async with anyio.create_task_group() as group:
        for path in ("/a", "/ab", "/abc", "/"):
            group.start_soon(call, told, http_scope(path))
    assert {record.path: record.bytes_sent for record in told.records} == {"/a": 5, "/ab": 10, "/abc": 15, "/": 0}


# What is counted


def test_the_bytes_of_a_body_are_counted_as_they_are_read() -> None:
    read_all = Told(script(read, read, read, START, BODY))
    request(read_all, http_scope(), UPLOAD, UPLOAD, {"type": "http.request", "body": b"9"})
    assert read_all.record.bytes_received == 17
    read_nothing = Told(script(START, BODY))
    request(read_nothing, http_scope(), UPLOAD)
    assert read_nothing.record.bytes_received == 0


def test_a_message_that_is_sent_twice_is_counted_twice() -> None:
    told = Told(script(START, PART, PART, PART, END))
    request(told, http_scope())
    assert told.record.bytes_sent == 15


def test_what_is_sent_after_the_last_byte_does_not_count() -> None:
    told = Told(script(START, BODY, BODY))
    request(told, http_scope())
    assert told.record.bytes_sent == 5


def test_a_second_start_changes_nothing() -> None:
    moved = start(302, (b"location", b"/first"))
    told = Told(script(moved, start(301, (b"location", b"/second"), trailers=True), BODY))
    request(told, http_scope())
    record = told.record
    assert (record.status, record.location, record.outcome) == (302, "/first", "completed")


def test_an_answer_to_nobody_has_the_status_that_the_application_gave() -> None:
    told = Told(script(START, read, END))
    request(told, http_scope(), LEFT)
    assert (told.record.status, told.record.outcome, told.record.complete) == (200, "client_disconnected", False)


# What passes


def test_messages_pass_as_they_are() -> None:
    came, went = [], []
    messages = [start(200), PART, {"type": "http.response.unknown"}, PART, END]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        came.extend([await receive(), await receive()])
        for message in messages:
            await send(message)

    async def send(message: Any) -> None:
        went.append(message)

    events = iter([UPLOAD, REQUEST])

    async def receive() -> Any:
        return next(events)

    told = Told(app)
    before = [dict(message) for message in messages]
    run(told(http_scope(), receive, send))
    assert came[0] is UPLOAD
    assert came[1] is REQUEST
    assert [id(message) for message in went] == [id(message) for message in messages]
    assert messages == before


def test_nothing_in_the_scope_is_changed() -> None:
    spy = Spy()
    scope = http_scope()
    before = {**scope, "headers": [*scope["headers"]]}
    request(Told(spy), scope)
    assert spy.calls[0][0] is scope
    assert {key: scope[key] for key in before} == before


def test_what_the_request_was_is_told_and_not_what_became_of_its_scope() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        changes = {"method": "PUT", "path": "/other", "raw_path": b"/other", "query_string": b"b", "scheme": "https"}
        scope |= {**changes, "client": ("10.0.0.1", 1), "headers": [(b"user-agent", b"other")], "http_version": "2"}
        await Spy()(scope, receive, send)

    told = Told(app)
    request(told, http_scope("/a", query_string=b"q=1"))
    record = told.record
    assert (record.method, record.target, record.scheme, record.http_version) == ("GET", "/a?q=1", "http", "1.1")
    assert (record.client, record.user_agent) == ("127.0.0.1", "tests")


@pytest.mark.parametrize("scope", [lifespan_scope(), {"type": "unknown"}], ids=["lifespan", "unknown"])
def test_what_is_no_request_has_no_record(scope: dict[str, Any]) -> None:
    told = Told(script())
    request(told, scope)
    assert told.logged == []


def test_a_scope_of_an_unknown_type_passes_as_it_came() -> None:
    spy = Spy()
    scope = {"type": "unknown"}
    run(Told(spy).app(scope, idle, nowhere))
    assert spy.calls == [(scope, idle, nowhere)]
    assert scope == {"type": "unknown"}


@pytest.mark.parametrize("level", [logging.ERROR, logging.CRITICAL])
def test_a_log_that_is_off_passes_everything_through(level: int) -> None:
    spy = Spy()
    told = Told(spy, level=None if level == logging.ERROR else lambda record: logging.INFO)
    told.logger.setLevel(level + 1)
    run(told(http_scope(), idle, nowhere))
    assert spy.calls[0][1:] == (idle, nowhere)
    assert told.logged == []


def test_a_log_that_is_turned_on_again_tells_the_next_request() -> None:
    told = Told(script(START, BODY))
    for level, number in ((logging.CRITICAL, 0), (logging.INFO, 1), (logging.WARNING, 1), (logging.NOTSET, 2)):
        told.logger.setLevel(level)
        request(told, http_scope())
        assert len(told.logged) == number


def test_the_trail_is_emptied_when_the_request_is_over() -> None:
    trails = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        trails.append(scope["middleware.trail"])
        assert trails[-1][0] is scope
        if len(trails) == 2:
            raise FAILURE
        await Spy()(scope, receive, send)

    told = Told(app)
    request(told, http_scope())
    with pytest.raises(RuntimeError):
        request(told, http_scope())
    assert trails == [[], []]


def test_each_of_two_logs_writes_each_request_once() -> None:
    inner = Told(script(START, BODY))
    outer = Told(inner.app)
    for _ in range(3):
        request(outer, http_scope())
    assert len(inner.logged) == len(outer.logged) == 3
    again = RequestLogMiddleware(inner.app, logger=inner.logger)
    request(again, http_scope())
    assert len(inner.logged) == 5  # two logs on one logger: no handler was added by any


def test_it_can_be_called_with_keywords_as_daphne_does() -> None:
    told = Told(script(START, BODY))
    run(told.app(http_scope(), receive=idle, send=nowhere))
    assert told.record.status == 200


async def test_a_timeout_around_the_application_stays_one() -> None:
    # asgi-logger turns it into KeyError: 'status'.
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with anyio.fail_after(0.01):
            await told(scope, receive, send)

    async def wait(receive: Any) -> None:
        await anyio.sleep_forever()

    told = Told(script(wait))
    with pytest.raises(TimeoutError):
        await call(app, http_scope())
    assert told.record.outcome == "cancelled"
    told = Told(script(START, wait))
    inside = Told(app)
    with pytest.raises(TimeoutError):
        await call(inside, http_scope())
    assert (inside.record.outcome, inside.record.error_type) == ("failed", "TimeoutError")
    assert told.record.outcome == "cancelled"


def test_what_an_application_asks_itself_is_no_part_of_its_own_record() -> None:
    inner = Told(Spy(START, BODY))

    async def batch(scope: Any, receive: Any, send: Any) -> None:
        for name in ("bob", "carol"):
            copy = {**scope, "root_path": "", "path": f"/{name}", "raw_path": f"/{name}".encode(), "user": name}
            await PathRouter({"/": inner})(copy, receive, nowhere)
        scope["user"] = "ada"
        for message in (START, BODY):
            await send(message)

    told = Told(batch)
    request(told, http_scope("/batch"))
    assert [(record.path, record.user) for record in inner.records] == [("/bob", "bob"), ("/carol", "carol")]
    assert [(record.path, record.user) for record in told.records] == [("/batch", "ada")]


FAILURES: dict[str, tuple[BaseException, str, str | None]] = {
    "a group with a failure": (
        BaseExceptionGroup("", [asyncio.CancelledError(), ValueError()]),
        "failed",
        "BaseException",
    ),
    "a group of cancelled tasks": (BaseExceptionGroup("", [asyncio.CancelledError()]), "cancelled", None),
    "an interrupt": (KeyboardInterrupt(), "failed", "KeyboardInterrupt"),
    "a name with a line break": (type("X\nforged", (Exception,), {"__module__": "builtins"})(), "failed", "X\\nforged"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_from_the_end_of_a_task(name: str) -> None:
    error, outcome, said = FAILURES[name]
    told = Told(script(START, error))
    with pytest.raises(type(error)):
        request(told, http_scope())
    (record,) = told.records
    assert record.outcome == outcome
    assert (record.error_type is None) if said is None else (record.error_type or "").startswith(said)


@pytest.mark.parametrize("error", [TimeoutError(), FileNotFoundError()])
@pytest.mark.parametrize("version", ["2.3", "2.4", "2.10"])
def test_a_deadline_or_a_lost_file_is_no_client_that_left(error: OSError, version: str) -> None:
    async def failing(message: Any) -> None:
        raise error

    told = Told(Spy(START, BODY))
    scope = http_scope(asgi={"version": "3.0", "spec_version": version})
    with pytest.raises(OSError):
        run(told(scope, idle, failing))
    (record,) = told.records
    assert (record.outcome, record.error_type) == ("failed", type(error).__name__)


ODD: list[dict[str, Any]] = [
    *({"asgi": None}, {"asgi": {"spec_version": None}}, {"asgi": {"spec_version": "new"}}, {"client": ("a", 1, 2)}),
    *({"client": (None, 0)}, {"method": None}, {"scheme": None}, {"http_version": None}, {"headers": None}),
    {"path": "/\ud800", "raw_path": None},
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_scope_has_its_record_too(odd: dict[str, Any]) -> None:
    told = Told(script(START, BODY))
    request(told, {**http_scope(), **odd})
    assert [record.status for record in told.records] == [200]
