"""The page about the request log: what it shows is what comes out, its tables are tried, its recipes run."""

from __future__ import annotations

import inspect
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context
from copy import deepcopy
from typing import Any

import anyio
import pytest
from asgi_correlation_id import CorrelationIdFilter, CorrelationIdMiddleware, correlation_id
from asgi_logger import AccessLoggerMiddleware
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.applications import Starlette
from starlette.routing import Route
from uvicorn.importer import import_from_string

from middleware import (
    ConfigurationError,
    Middleware,
    RequestIdMiddleware,
    RequestLogMiddleware,
    TraceContextMiddleware,
    outermost,
    outgoing_headers,
)
from middleware.request_log import RequestRecord, TraceContext, request_id, trace_context
from tests.asgi import BODY, CONNECT, REQUEST, SHUTDOWN, START, STARTUP, Client, call, http_scope, lifespan_scope
from tests.asgi import websocket_scope as websocket
from tests.pages import ROOT, TEXTS, blocks, quoted, quotes, rows, table
from tests.request_log.transcripts import PICTURE, Lines, console, lines, picture, shown
from tests.servers.test_request_log import CLOSES

PAGE, HELP = "docs/request-log.md", "docs/troubleshooting.md"
NAME = "middleware.request_log"
LEFT = {"type": "http.disconnect"}
MORE = {**BODY, "more_body": True}
ACCEPT = {"type": "websocket.accept", "subprotocol": "chat"}
CLOSE = {"type": "websocket.close", "code": 4000, "reason": "done"}


def sends(*messages: Any, receives: int = 1, waits: bool = False, raises: BaseException | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(receives):
            await receive()
        for message in messages:
            await send(deepcopy(message))  # other libraries change what they are given
        if waits:
            await receive()
        if raises is not None:
            raise raises

    return app


app = sends(START, BODY)


async def record_of(app: Any, scope: Any, *events: Any, **options: Any) -> logging.LogRecord:
    """The one record that a request leaves."""
    logger = logging.Logger("one", logging.DEBUG)
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = found.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    with suppress(LookupError, *([anyio.get_cancelled_exc_class()] if options.pop("cancels", False) else [])):
        await call(RequestLogMiddleware(app, logger=logger, **options), scope, *events)
    (record,) = found
    return record


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    usual = vars(logging.makeLogRecord({}))
    return {name: value for name, value in vars(record).items() if name not in usual}


# What the script writes


@pytest.mark.parametrize("heading", ["Lines for handlers", "combined", "json"])
def test_the_page_shows_what_the_script_makes(heading: str) -> None:
    section = TEXTS[PAGE].partition(f"### {heading}\n")[2].partition("\n##")[0]
    (block,) = re.findall(r"^```(?:text|json)\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL)
    assert block == shown()[heading], "run python -m tests.request_log.transcripts"


def test_the_picture_is_what_a_terminal_shows() -> None:
    there = console()
    assert PICTURE.read_text() == picture(there), "run python -m tests.request_log.transcripts"
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in there] == lines("dev")
    assert any("\x1b[31m" in line for line in there)


def test_each_line_of_json_has_the_fields_of_its_line_for_handlers() -> None:
    for line, told in zip(lines("json"), lines(), strict=True):
        record = json.loads(line)
        assert record["level"] == told.split()[0]
        assert f"{record['url.path']}" in told


# Code


@pytest.fixture
def own_logging() -> Iterator[None]:
    """What the page's code does to logging is undone."""
    loggers = [logging.getLogger(), logging.getLogger(NAME)]
    before = [(one, one.level, [*one.handlers], one.propagate) for one in loggers]
    yield
    for one, level, handlers, propagate in before:
        one.setLevel(level)
        one.handlers[:] = handlers
        one.propagate = propagate


@pytest.fixture
def run(own_logging: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Run the page's first block and that one with a text; what it names is returned."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "project.settings")
    monkeypatch.setattr(logging.getLogger(f"{NAME}.startup"), "disabled", True)  # what other tests have set up
    ended: list[Callable[[], None]] = []
    monkeypatch.setattr("atexit.register", ended.append)

    def run(text: str) -> dict[str, Any]:
        (code,) = (code for code in blocks(PAGE, "python") if text in code)
        names: dict[str, Any] = {"application": app, "RequestLogMiddleware": RequestLogMiddleware}
        names["RequestIdMiddleware"] = RequestIdMiddleware
        logging.getLogger().handlers.clear()  # pytest's, which would keep basicConfig from doing anything
        exec(compile(code, PAGE, "exec", dont_inherit=True), names)
        return names

    yield run
    for end in ended:
        end()


MARKS = [
    "FastAPI(",
    "def line",
    "def level",
    "RequestIdMiddleware(application)",
    "basicConfig(level=logging.INFO, format",
]
MARKS += ["itertools", "httpx", "stdout", "pythonjsonlogger", "structlog", "loguru", "opentelemetry", "/healthz"]
MARKS += ["slow=", "LOGGING", "QueueHandler", "from middleware import RequestLogMiddleware\n", "get_asgi_application"]


def test_every_block_is_run() -> None:
    assert len(MARKS) == len(blocks(PAGE, "python"))


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark != "get_asgi_application"])  # tests/servers: Django
def test_code_runs(mark: str, run: Callable[[str], dict[str, Any]]) -> None:
    names = run(mark)
    assert callable(names["application"])


async def test_functions_of_the_page_do_what_is_said(run: Callable[[str], dict[str, Any]]) -> None:
    line, level = run("def line")["line"], run("def level")["level"]
    healthy, slow = run("/healthz")["skip"], run("slow=")["skip"]
    assert (await record_of(app, http_scope("/a"), format=line)).getMessage() == "200 /a in 0.000 s"
    assert (await record_of(app, http_scope("/static/a"), level=level)).levelname == "DEBUG"
    assert (await record_of(app, http_scope("/"), level=level)).levelname == "INFO"
    fails = sends(raises=LookupError())
    assert (await record_of(fails, http_scope("/healthz"), skip=healthy)).levelname == "ERROR"
    assert (await record_of(fails, http_scope(), skip=slow)).levelname == "ERROR"
    for skip, path in ((healthy, "/healthz"), (slow, "/")):
        with pytest.raises(ValueError, match="not enough values"):
            await record_of(app, http_scope(path), skip=skip)

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(0.02)
        await app(scope, receive, send)

    assert (await record_of(slowly, http_scope(), skip=slow, slow=0.01)).levelname == "WARNING"


async def test_lines_of_the_application_have_the_id(
    run: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run("basicConfig(level=logging.INFO, format")

    async def shop(scope: Any, receive: Any, send: Any) -> None:
        logging.getLogger("shop").info("the cup is sold out")
        await send(START)
        await send({**BODY, "body": b"a" * 1227})

    layer = RequestLogMiddleware(RequestIdMiddleware(shop))
    sent = await call(layer, http_scope("/items/42", headers=[(b"x-request-id", b"9f3c1a7be0d24f6b")]))
    written = re.sub(r"\d+\.\d ms", "12.3 ms", capsys.readouterr().err).splitlines()
    (block,) = (block for block in blocks(PAGE, "text") if block.startswith("INFO 9f3c"))
    assert block.splitlines()[:2] == written
    assert block.splitlines()[2].startswith("INFO - ")
    assert (b"x-request-id", b"9f3c1a7be0d24f6b") in sent[0]["headers"]


def test_behind_a_queue_lines_have_the_id(run: Callable[[str], dict[str, Any]]) -> None:
    names = run("QueueHandler")
    found: list[logging.LogRecord] = []
    end = logging.Handler()
    end.emit = found.append  # type: ignore[method-assign]
    names["listener"].handlers = (end,)
    headers = [(b"x-request-id", b"9f3c1a7be0d24f6b")]
    anyio.run(call, RequestIdMiddleware(RequestLogMiddleware(app)), http_scope(headers=headers))
    names["listener"].stop()
    names["listener"].start()
    assert [record.request_id for record in found if record.name == NAME] == ["9f3c1a7be0d24f6b"]  # type: ignore[attr-defined]


async def test_the_id_goes_there_and_back_as_on_the_wire() -> None:
    (block,) = (block for block in blocks(PAGE, "text") if block.startswith("GET /items/42 HTTP"))
    request, response = block.strip().split("\n\n")
    pairs = [line.split(": ", 1) for line in request.splitlines()[1:]]
    headers = [(name.lower().encode(), value.encode()) for name, value in pairs]
    start, _ = await call(RequestIdMiddleware(sends({**START, "headers": []}, BODY)), http_scope(headers=headers))
    found = [f"{name.decode()}: {value.decode()}" for name, value in start["headers"]]
    assert response.splitlines() == [f"HTTP/1.1 {start['status']} OK", *found]


# Tables


@pytest.mark.parametrize("cls", [RequestLogMiddleware, RequestIdMiddleware, TraceContextMiddleware])
def test_the_table_of_parameters_is_the_signature(cls: Callable[..., Any]) -> None:
    described = {name.strip("`"): default.strip("`") for name, (default, _) in table(PAGE, cls.__name__).items()}
    parameters = inspect.signature(cls).parameters.values()
    assert [*described.items()] == [(p.name, "" if p.default is p.empty else repr(p.default)) for p in parameters]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters if parameter.name != "app")


def test_the_attributes_of_a_trace_context_are_in_its_table() -> None:
    assert tuple(name.strip("`") for name in table(PAGE, "Trace context")) == TraceContext._fields


async def all_fields() -> dict[str, Any]:
    """One value of each field that there can be."""
    asked = [(b"user-agent", b"a"), (b"referer", b"b"), (b"x-a", b"c")]
    known = {"request_id": "d" * 8, "trace_context": TraceContext("e" * 32, "f" * 16), "path_template": "/{id}"}
    moved = sends({**START, "status": 302, "headers": [(b"location", b"/")]}, raises=LookupError())
    fields = {}
    for record in (
        await record_of(
            moved,
            http_scope(query_string=b"q=1", method="BREW", headers=asked, user="ada", **known),
            request_headers=["X-A"],
        ),
        await record_of(sends(ACCEPT, CLOSE), websocket(), CONNECT),
    ):
        fields |= fields_of(record)
    return fields


async def test_each_field_is_in_the_table_and_nothing_else() -> None:
    described = {quoted(field)[0]: quoted(attribute) for field, attribute, _ in rows(PAGE, "Fields")}
    fields = await all_fields()
    fields["http.request.header.<name>"] = fields.pop("http.request.header.x-a")
    assert described.keys() == fields.keys()


async def test_each_attribute_of_a_record_is_in_the_table_and_has_the_value_of_the_field() -> None:
    described = {quoted(field)[0]: quoted(attribute) for field, attribute, _ in rows(PAGE, "Fields")}
    public = {name for name in dir(RequestRecord) if not name.startswith("_")} - {"fields", "kind", "time", "target"}
    assert {name for (name,) in filter(None, described.values())} == public
    for application, scope, event in (
        (
            sends(START, BODY),
            http_scope(query_string=b"q=1", headers=[(b"user-agent", b"a"), (b"referer", b"b")]),
            REQUEST,
        ),
        (sends(ACCEPT, CLOSE), websocket(), CONNECT),
    ):
        records: list[Any] = []
        record = await record_of(application, scope, event, format=lambda one, to=records: to.append(one) or "line")
        for name, value in fields_of(record).items():
            (attribute,) = described[name]
            own = getattr(records[0], attribute)
            assert own == (value[0] if isinstance(value, list) else value)


HTTP, WS = (http_scope, REQUEST), (websocket, CONNECT)
OUTCOMES: dict[str, list[tuple[Any, Any, Any]]] = {
    "completed": [
        (sends(START, BODY), HTTP, 200),
        (sends(START, BODY, raises=LookupError()), HTTP, 200),
        (sends(ACCEPT, CLOSE), WS, 101),
        (sends(ACCEPT, waits=True), (*WS, {"type": "websocket.disconnect", "code": 1001}), 101),
    ],
    "failed": [
        (sends(START, MORE, raises=LookupError()), HTTP, 200),
        (sends(raises=LookupError()), HTTP, 500),
        (sends(ACCEPT, raises=LookupError()), WS, 101),
    ],
    "client_disconnected": [
        (sends(START, MORE, BODY, receives=2), (*HTTP, LEFT), 200),
        (sends(receives=2), (*HTTP, LEFT), None),
        (sends(ACCEPT, waits=True), (*WS, {"type": "websocket.disconnect", "code": 1006}), 101),
    ],
    "cancelled": [],  # a test of its own
    "incomplete": [(sends(START, MORE), HTTP, 200), (sends(ACCEPT), WS, 101)],
    "no_response": [(sends(), HTTP, 500), (sends(), WS, 500)],
}


async def test_the_outcomes_are_those_of_the_table() -> None:
    described = table(PAGE, "Outcomes")
    assert [quoted(name)[0] for name in described] == [*OUTCOMES]
    for name, cases in OUTCOMES.items():
        _, _, level = described[f"`{name}`"]
        for application, (scope, *events), status in cases:
            record = await record_of(application, scope(), *events)
            fields = fields_of(record)
            assert (fields["outcome"], fields.get("http.response.status_code")) == (name, status)
            assert record.levelname == ("INFO" if level == "by the status" else level)


async def test_a_cancelled_request_is_told_of() -> None:
    _, _, level = table(PAGE, "Outcomes")["`cancelled`"]
    assert level == "WARNING at least"

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    found: list[logging.LogRecord] = []
    logger, handler = logging.Logger("one", logging.DEBUG), logging.Handler()
    handler.emit = found.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    with anyio.move_on_after(0.01):
        client = Client(REQUEST)
        await RequestLogMiddleware(waits, logger=logger)(http_scope(), client.receive, client.send)
    (record,) = found
    assert record.levelname == "WARNING"
    assert fields_of(record)["outcome"] == "cancelled"
    assert "http.response.status_code" not in fields_of(record)
    assert "error.type" not in fields_of(record)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_inside_of_the_error_page_sees_the_exception_and_what_is_outside_the_page() -> None:
    def fails(request: Any) -> None:
        raise LookupError

    logger, handler = logging.Logger("one", logging.DEBUG), Lines(None)
    logger.addHandler(handler)
    layer: Any = Middleware(RequestLogMiddleware, logger=logger)
    for api in (
        Starlette(routes=[Route("/", fails)], middleware=[layer]),
        outermost(Starlette(routes=[Route("/", fails)]), layer),
    ):
        with pytest.raises(LookupError):
            await call(api, http_scope())
    inside, outside = handler.lines[-2:]
    assert re.fullmatch(r"ERROR   GET / 500 \d+\.\d ms 0 B failed LookupError", inside)
    assert re.fullmatch(r"ERROR   GET / 500 \d+\.\d ms 21 B", outside)


def test_what_servers_tell_of_a_websocket_is_what_was_seen() -> None:
    names = {"uvicorn, `--ws websockets`": "uvicorn-h11", "uvicorn, `--ws wsproto`": "uvicorn-httptools"}
    section = TEXTS[PAGE].partition("**A websocket whose client closed it**")[2]
    found = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", section, re.MULTILINE)[1:6]
    described = {names.get(server, server): cells for server, *cells in found}
    for server, closes in CLOSES.items():
        written = [
            f"{code}{' and the reason' if reason else ''}, {'abnormal' if party == 'abnormal' else f'by the {party}'}"
            for code, reason, party in closes
        ]
        assert described.pop(server) == written
    assert not described


@pytest.mark.parametrize(("came", "logged"), rows(PAGE, "Redaction"))
async def test_secrets_are_logged_as_their_row_says(came: str, logged: str) -> None:
    (given,), (expected,) = quoted(came), quoted(logged)
    if given.startswith("?"):
        record = await record_of(app, http_scope("/", query_string=given[1:].encode()))
        assert f" /{expected} " in f" {record.getMessage().split()[1]} "
        return
    name, value = given.split(": ")
    scope = http_scope(headers=[(name.lower().encode(), value.encode())])
    fields = fields_of(await record_of(app, scope, request_headers=[name]))
    assert fields[f"http.request.header.{name.lower()}"] == [expected]


async def test_redact_adds_names() -> None:
    record = await record_of(app, http_scope(query_string=b"customer=1&token=2"), redact=["customer"])
    assert fields_of(record)["url.query"] == "customer=REDACTED&token=REDACTED"


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian", "daphne"])
def test_the_options_of_the_servers_exist(server: str) -> None:
    (how,) = table(PAGE, "The servers' own lines")[server]
    (option, *_) = quoted(how)[0].split()
    done = subprocess.run(
        [sys.executable, "-m", server, "--help"], capture_output=True, text=True, timeout=50, check=True
    )
    assert option in done.stdout


# Errors and lines of the log


async def asynchronous(record: Any) -> bool: ...
def get_response(request: Any) -> None: ...


def log(**options: Any) -> Callable[[], Any]:
    return lambda: RequestLogMiddleware(app, **options)


MISTAKES: dict[str, list[Callable[[], Any]]] = {
    '`logger=""`, or what is no logger': [log(logger=""), log(logger=logging), log(logger=None)],
    '`format="common"`': [log(format="common")],
    '`level="info"`': [log(level="info")],
    '`skip="/healthz"` or a list': [log(skip="/healthz"), log(skip=["/healthz"])],
    "`skip` with `async def`": [log(skip=asynchronous)],
    '`user="ada"`': [log(user="ada")],
    '`slow=0` or `"1"`': [log(slow=0), log(slow="1")],
    '`request_headers="x-a"`': [log(request_headers="x-a")],
    '`request_headers=["x a"]`': [log(request_headers=["x a"])],
    '`redact=[b"customer"]`': [log(redact=[b"customer"])],
    '`RequestIdMiddleware(header="X Id")`': [lambda: RequestIdMiddleware(app, header="X Id")],
    '`trust="yes"`, in either class': [
        lambda: RequestIdMiddleware(app, trust="yes"),  # type: ignore[arg-type]
        lambda: TraceContextMiddleware(app, trust="yes"),  # type: ignore[arg-type]
    ],
    "`generate=uuid4().hex`, without `lambda:`": [lambda: RequestIdMiddleware(app, generate="0" * 32)],  # type: ignore[arg-type]
    "the class in Django's `settings.MIDDLEWARE`, or a view": [
        lambda cls=cls: cls(get_response) for cls in (RequestLogMiddleware, RequestIdMiddleware, TraceContextMiddleware)
    ],
}


def mistakes() -> dict[str, str]:
    section = TEXTS[PAGE].partition("## Mistakes\n")[2]
    found = re.findall(r"^\| (?!you gave|---)(.+?) \| (.+) \|$", section, re.MULTILINE)
    return {mistake: text.strip("`").replace("\\|", "|") for mistake, text in found}


def test_the_table_of_mistakes_has_the_real_texts() -> None:
    described = mistakes()
    assert described.keys() == MISTAKES.keys()
    for mistake, ways in MISTAKES.items():
        for way in ways:
            with pytest.raises(ConfigurationError) as caught:
                way()
            assert str(caught.value).endswith(described[mistake]), mistake


def test_several_mistakes_are_quoted_as_they_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RequestLogMiddleware(app, format="xml", level="LOUD", slow="1 s")  # type: ignore[arg-type]
    assert quotes(PAGE, caught.value)


async def test_the_line_about_a_function_that_fails_is_quoted(caplog: pytest.LogCaptureFixture) -> None:
    layer = RequestLogMiddleware(app, skip=lambda record: None)  # type: ignore[arg-type, return-value]
    for _ in range(2):
        await call(layer, http_scope())
    (message,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert quotes(PAGE, message)
    assert quotes(HELP, message)


async def test_what_keeps_lines_away_is_quoted(own_logging: None, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().addHandler(caplog.handler)
    logging.getLogger().setLevel(logging.WARNING)
    await call(RequestLogMiddleware(app), http_scope())
    (message,) = caplog.messages
    assert quotes(PAGE, message)
    assert quotes(HELP, message)
    caplog.clear()
    logging.getLogger(NAME).disabled = True
    try:
        await call(RequestLogMiddleware(app), http_scope())
    finally:
        logging.getLogger(NAME).disabled = False
    (message,) = caplog.messages
    assert quotes(HELP, message)


async def test_the_line_about_a_server_that_logs_too_is_quoted(
    own_logging: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    access, handler = logging.getLogger("uvicorn.access"), logging.NullHandler()
    level = access.level
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    try:
        await call(RequestLogMiddleware(app), http_scope())
    finally:
        access.setLevel(level)
        access.removeHandler(handler)
    assert any(quotes(HELP, message) for message in caplog.messages), caplog.messages


async def test_the_lines_about_start_and_failure_are_quoted(
    own_logging: None, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger().addHandler(caplog.handler)
    logging.getLogger().setLevel(logging.INFO)

    async def starts(scope: Any, receive: Any, send: Any) -> None:
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    await call(RequestLogMiddleware(starts), lifespan_scope(), STARTUP, SHUTDOWN)
    failing = RequestLogMiddleware(sends(raises=ConnectionRefusedError("no database")))
    with suppress(ConnectionRefusedError):
        await call(failing, lifespan_scope(), STARTUP)
    messages = [record.getMessage() for record in caplog.records if record.name == f"{NAME}.lifespan"]
    told = [re.sub(r"\d+\.\d{3} s", "0.412 s", message) for message in messages]
    (block,) = (block for block in blocks(PAGE, "text") if block.startswith("the application has started"))
    assert [told[0], told[-1]] == block.splitlines()


def test_the_places_of_lines_are_tried() -> None:
    code = """if True:
        import anyio, logging, sys
        from middleware import RequestLogMiddleware
        from tests.asgi import call, http_scope
        from tests.test_docs_request_log import app
        if "configured" in sys.argv:
            logging.basicConfig(level=logging.INFO, format="%(message)s")
        options = {"format": "json"} if "json" in sys.argv else {}
        anyio.run(call, RequestLogMiddleware(app, **options), http_scope())
    """
    assert len(table(PAGE, "Use")) == 4
    starts = {"": "127.0.0.1 - - [", "configured": "GET / 200 ", "json": '{"timestamp":'}  # a terminal: the picture
    for argument, start in starts.items():
        done = subprocess.run(
            [sys.executable, "-c", code, argument], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True
        )
        (line,) = done.stderr.splitlines()
        assert line.startswith(start)


async def test_outgoing_headers_have_an_id_of_their_own_for_each_call() -> None:
    found: list[Any] = []

    async def calls(scope: Any, receive: Any, send: Any) -> None:
        found.extend([trace_context(), outgoing_headers(), outgoing_headers()])
        await app(scope, receive, send)

    parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = [(b"traceparent", parent), (b"tracestate", b"vendor=1")]
    await call(TraceContextMiddleware(calls), http_scope(headers=headers))
    place, first, second = found
    assert (place.trace_id, place.parent_id, place.sampled) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
        True,
    )
    assert first["tracestate"] == second["tracestate"] == "vendor=1"
    assert len({parent.decode(), first["traceparent"], second["traceparent"]}) == 3
    await call(TraceContextMiddleware(calls, trust=False), http_scope(headers=headers))
    assert found[3].link == place.trace_id != found[3].trace_id


# The order of the layers


def test_the_drawing_names_the_layers_in_the_order_of_the_code() -> None:
    section = TEXTS["docs/stack.md"].partition("## The order of the layers\n")[2].partition("\n## ")[0]
    (drawing,) = re.findall(r"^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    layers = re.findall(r"^ +Middleware\((\w+)", code, re.MULTILINE)
    assert len(layers) == 6
    assert re.findall(r"\w+Middleware\b", drawing) == layers
    assert [*table("docs/stack.md", "The order of the layers")] == [*(f"`{name}`" for name in layers), "the routers"]
    assert all(callable(import_from_string(f"middleware:{name}")) for name in layers)


# Words that are said in several places


@pytest.mark.parametrize("heading", ["requests are not logged", "is not told again", "Each request has two lines"])
def test_troubleshooting_has_the_lines_as_headings(heading: str) -> None:
    assert re.search(rf"^### .*{re.escape(heading)}", TEXTS[HELP], re.MULTILINE | re.IGNORECASE)


def test_the_example_of_django_is_a_configuration_of_logging() -> None:
    (settings,) = (code for code in blocks(PAGE, "python") if "LOGGING" in code)
    code = f"""{settings}
import anyio, logging.config
from middleware import RequestIdMiddleware, RequestLogMiddleware
from tests.asgi import call, http_scope
from tests.test_docs_request_log import app
logging.config.dictConfig(LOGGING)
logging.getLogger("django.request").warning("Not Found: /")
logging.getLogger("shop").info("open")
scope = http_scope(headers=[(b"x-request-id", b"9f3c1a7be0d24f6b")])
anyio.run(call, RequestLogMiddleware(RequestIdMiddleware(app)), scope)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True
    )
    shop, request = (line.split(" ", 2)[2] for line in done.stderr.splitlines())
    assert shop == "INFO shop - open"
    assert request.startswith(f"INFO {NAME} 9f3c1a7be0d24f6b GET / 200 ")


# Other libraries

MIGRATING = "docs/migrating.md"


@pytest.mark.parametrize(
    ("heading", "cls"),
    [("From asgi-logger", AccessLoggerMiddleware), ("From asgi-correlation-id", CorrelationIdMiddleware)],
)
def test_the_keywords_of_the_other_libraries_are_these(heading: str, cls: Callable[..., Any]) -> None:
    described = {name.strip("`"): default.strip("`") for name, (default, _) in table(MIGRATING, heading).items()}
    parameters = [one for one in inspect.signature(cls).parameters.values() if one.name != "app"]
    assert [*described] == [one.name for one in parameters]
    plain = [one for one in parameters if not callable(one.default)]
    assert [described[one.name] for one in plain] == [repr(one.default) for one in plain]


async def test_what_asgi_logger_does_and_not_here(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("asgi-logger")
    logger.setLevel(logging.INFO)

    async def told(
        app: Any, scope: Any, *events: Any, way: str = "%(r)s %(s)s %(b)s", raises: Any = LookupError
    ) -> str:
        caplog.clear()
        with suppress(raises):
            await call(AccessLoggerMiddleware(app, format=way, logger=logger), scope, *events)
        return "".join(caplog.messages)

    assert await told(sends(START, MORE, raises=LookupError()), http_scope()) == "GET / HTTP/1.1 500 -"
    assert await told(app, http_scope("/a\r\n\x1b")) == "GET /a\r\n\x1b HTTP/1.1 200 -"
    assert await told(app, http_scope("/api/a", root_path="/api")) == "GET /api/api/a HTTP/1.1 200 -"
    assert await told(sends(ACCEPT), websocket(), CONNECT) == ""
    with pytest.raises(KeyError, match="status"):
        await told(sends(), http_scope(), raises=ZeroDivisionError)

    async def background(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        later.extend(caplog.messages)

    later: list[str] = []
    assert await told(background, http_scope())
    assert later == []
    access, before = logging.getLogger("access"), [*logging.getLogger("access").handlers]
    try:
        for _ in range(2):
            AccessLoggerMiddleware(app)
        assert len(access.handlers) == len(before) + 2
    finally:
        access.handlers[:] = before


async def test_what_asgi_correlation_id_does_and_not_here() -> None:
    name = b"x-request-id"
    ulid, uuid = b"01JD3R5XAPQ4T1M9VQ2Z8K7N6E", b"9f3c1a7be0d24f6b8a1d2c3e4f506172"

    async def ids(make: Any, *given: bytes, app: Any = app, scope: Any = http_scope) -> list[bytes]:
        start, *_ = await call(make(app), scope(headers=[(name, value) for value in given]), CONNECT)
        return [value for key, value in start.get("headers", ()) if key.lower() == name]

    own = sends({**START, "headers": [(name, b"0123456789")]}, BODY)
    long = b"-" * 5000 + uuid
    theirs, ours = CorrelationIdMiddleware, RequestIdMiddleware
    assert await ids(theirs, ulid) != [ulid]
    assert await ids(ours, ulid) == [ulid]
    assert await ids(theirs, uuid, ulid) == [uuid]
    assert await ids(ours, uuid, ulid) not in ([uuid], [ulid])
    assert await ids(theirs, long) == [long]
    assert await ids(ours, long) != [long]
    assert [len(await ids(make, app=sends(ACCEPT), scope=websocket)) for make in (theirs, ours)] == [0, 1]
    assert [len(await ids(make, app=own)) for make in (theirs, ours)] == [2, 1]

    async def nested(make: Any, ask: Callable[[], Any]) -> bool:
        async def outer(scope: Any, receive: Any, send: Any) -> None:
            before = ask()
            await call(make(app), http_scope())
            same.append(ask() == before)
            await app(scope, receive, send)

        same: list[bool] = []
        await call(make(outer), http_scope())
        return same[0]

    assert [await nested(theirs, correlation_id.get), await nested(ours, request_id)] == [False, True]
    record = logging.makeLogRecord({})
    Context().run(CorrelationIdFilter().filter, record)
    assert vars(record)["correlation_id"] is None


async def test_what_opentelemetry_does_with_headers_and_not_here() -> None:
    first, second = (b"00-%b-00f067aa0ba902b7-01" % (digit * 32) for digit in (b"a", b"b"))
    for headers, theirs, ours in (
        ([(b"traceparent", first), (b"traceparent", second)], ("a" * 32, ""), (None, "")),
        ([(b"traceparent", first), (b"tracestate", b"vendor@=1")], ("a" * 32, ""), ("a" * 32, "vendor@=1")),
    ):
        found: list[Any] = []

        async def asks(scope: Any, receive: Any, send: Any, found: list[Any] = found) -> None:
            found.append(trace_context())
            await app(scope, receive, send)

        scope = http_scope(headers=headers)
        span = get_current_span(TraceContextTextMapPropagator().extract(scope, getter=asgi_getter)).get_span_context()
        await call(TraceContextMiddleware(asks), http_scope(headers=headers))
        assert (f"{span.trace_id:032x}", span.trace_state.to_header()) == theirs
        assert (found[0].trace_id if found[0].parent_id else None, found[0].tracestate) == ours
