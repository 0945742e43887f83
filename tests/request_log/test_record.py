"""What a record says of its request: names and values of its fields, without credentials, whatever was sent."""

from __future__ import annotations

import json
import logging
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from middleware.request_log import RequestIdMiddleware, TraceContextMiddleware
from tests.asgi import BODY, START, http_scope, websocket_scope
from tests.request_log.heard import Told, read, request, script
from tests.request_log.test_formats import COMBINED
from tests.request_log.test_text import assert_safe, read_back

ACCEPT = {"type": "websocket.accept"}


def told_of(*steps: Any, **scope: Any) -> Told:
    """A request that is over."""
    told = Told(script(*(steps or (START, BODY))))
    request(told, http_scope(**scope))
    return told


# Its fields


def test_the_fields_of_a_request_have_the_names_of_opentelemetry() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope |= {"route": SimpleNamespace(path="/items/{id}"), "user": "ada"}
        await send({"type": "http.response.start", "status": 307, "headers": [(b"Location", b"/items/42/")]})
        await send(BODY)

    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    names = [(b"x-request-id", b"12345678"), (b"traceparent", trace), (b"x-forwarded-for", b"192.0.2.1")]
    more = [(b"user-agent", b"tests"), (b"referer", b"https://a.example/"), (b"x-forwarded-for", b"192.0.2.2")]
    told = Told(RequestIdMiddleware(TraceContextMiddleware(app)), request_headers=["X-Forwarded-For"])
    upload = {"type": "http.request", "body": b"12345678"}
    scope = http_scope("/items/42", method="POST", query_string=b"a=b", scheme="https", headers=[*names, *more])
    request(told, scope, upload)
    fields = told.fields
    times = [fields.pop("time_to_first_byte"), fields.pop("http.server.request.duration")]
    assert 0 < times[0] < times[1] < 1
    assert len(fields.pop("span_id")) == 16
    assert fields == {
        "http.request.method": "POST",
        "url.scheme": "https",
        "url.path": "/items/42",
        "url.query": "a=b",
        "http.route": "/items/{id}",
        "http.response.status_code": 307,
        "outcome": "completed",
        "complete": True,
        "client.address": "127.0.0.1",
        "client.port": 50000,
        "network.protocol.version": "1.1",
        "user.name": "ada",
        "user_agent.original": "tests",
        "http.request.header.referer": ["https://a.example/"],
        "http.request.header.x-forwarded-for": ["192.0.2.1", "192.0.2.2"],
        "http.response.header.location": ["/items/42/"],
        "request_id": "12345678",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "http.request.body.size": 8,
        "http.response.body.size": 5,
    }
    record = told.record
    assert (record.referer, record.location) == ("https://a.example/", "/items/42/")
    assert record.headers["x-forwarded-for"] == ["192.0.2.1", "192.0.2.2"]
    assert (record.route, record.user, record.request_id) == ("/items/{id}", "ada", "12345678")
    assert (record.bytes_received, record.bytes_sent) == (8, 5)


def test_the_fields_of_a_websocket() -> None:
    hello, bye = {"type": "websocket.receive", "text": "hello"}, {"type": "websocket.disconnect", "code": 4000}
    told = Told(script({**ACCEPT, "subprotocol": "chat"}, read, {"type": "websocket.send", "bytes": b"1"}, read))
    request(told, websocket_scope("/chat"), hello, {**bye, "reason": "done"})
    fields = told.fields
    times = [fields.pop("time_to_first_byte"), fields.pop("websocket.duration")]
    assert 0 < times[0] < times[1] < 1
    assert fields == {
        "http.request.method": "GET",
        "url.scheme": "ws",
        "url.path": "/chat",
        "http.response.status_code": 101,
        "outcome": "completed",
        "complete": True,
        "client.address": "127.0.0.1",
        "client.port": 50000,
        "network.protocol.version": "1.1",
        "user_agent.original": "tests",
        "websocket.subprotocol": "chat",
        "websocket.close_code": 4000,
        "websocket.close_reason": "done",
        "websocket.closed_by": "client",
        "websocket.messages_received": 1,
        "websocket.messages_sent": 1,
        "websocket.bytes_received": 5,
        "websocket.bytes_sent": 1,
    }


def test_what_is_not_known_has_no_field() -> None:
    for scope in ({"type": "http"}, {"type": "websocket"}):
        told = Told(script())
        request(told, scope)
        fields = told.fields
        assert not [name for name, value in fields.items() if value is None]
        assert not {"url.query", "client.address", "client.port", "http.route", "user.name", "request_id"} & {*fields}
        assert (told.record.client, told.record.client_port, told.record.query) == (None, None, "")


def test_a_record_of_logging_has_nothing_but_the_fields() -> None:
    told = told_of()
    (record,) = told.logged
    assert (record.name, record.levelno, record.args, record.exc_info) == ("requests", logging.INFO, (), None)
    assert all("." in name or "_" in name or name in ("outcome", "complete") for name in told.fields)


MISSING = ["asgi", "http_version", "scheme", "raw_path", "query_string", "headers", "client", "server", "extensions"]


@pytest.mark.parametrize("key", MISSING)
@pytest.mark.parametrize("kind", [http_scope, websocket_scope])
def test_a_scope_may_lack_what_is_optional(kind: Any, key: str) -> None:
    # asgi-logger raises without a client or a query.
    told = Told(script(START, BODY))
    request(told, kind("/a", **{key: ...}))
    assert told.record.path == "/a"


@pytest.mark.parametrize("key", ["raw_path", "query_string", "headers", "client", "server"])
def test_none_in_a_scope_is_nothing(key: str) -> None:
    assert told_of(path="/a", **{key: None}).record.target == "/a"


METHODS = [
    ("GET", "GET", None),
    ("QUERY", "QUERY", None),
    ("PROPFIND", "_OTHER", "PROPFIND"),
    ("get", "_OTHER", "get"),
    ("GET\r\n", "_OTHER", r"GET\r\n"),
    ("", "_OTHER", ""),
]


@pytest.mark.parametrize(("method", "field", "original"), METHODS)
def test_an_unknown_method_is_other_for_those_who_count(method: str, field: str, original: str | None) -> None:
    told = told_of(method=method)
    assert told.fields["http.request.method"] == field
    assert told.fields.get("http.request.method_original") == original
    assert told.record.method == (field if original is None else original)


@pytest.mark.parametrize(
    ("client", "address", "port"),
    [
        (("127.0.0.1", 50000), "127.0.0.1", 50000),
        (["2001:db8::1", 443], "2001:db8::1", 443),
        (("fe80::1%eth0", 1), "fe80::1%eth0", 1),
        (("203.0.113.7", 0), "203.0.113.7", 0),
        (("testclient", None), "testclient", None),
        (None, None, None),
    ],
)
def test_the_client(client: Any, address: str | None, port: int | None) -> None:
    told = told_of(client=client)
    assert (told.record.client, told.record.client_port) == (address, port)
    assert None not in told.fields.values()


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/a b", "raw_path": b"/a%20b"}, "/a%20b"),
        ({"path": "/a b/ü", "raw_path": ...}, "/a%20b/%C3%BC"),
        ({"path": "/a\r\nb", "raw_path": ...}, "/a%0D%0Ab"),
        ({"path": "/a\r\nb", "raw_path": b"/a%0d%0ab"}, "/a%0d%0ab"),
        ({"path": "/app/a", "root_path": "/app"}, "/app/a"),
        ({"path": "/\udcff", "raw_path": ...}, "/%FF"),
        ({"path": "", "raw_path": b""}, ""),
        ({"path": "/", "raw_path": b"/\xff\x1b"}, r"/\xff\x1b"),
    ],
)
def test_the_path_is_the_one_that_was_sent(scope: dict[str, Any], path: str) -> None:
    # asgi-logger writes the root path twice; hypercorn, granian and others let %0d%0a make a line of its own.
    assert told_of(**scope).record.path == path


def test_the_page_and_the_browser_are_found() -> None:
    record = told_of(headers=[(b"referer", b"https://a.example/"), (b"user-agent", b"curl")]).record
    assert (record.referer, record.user_agent) == ("https://a.example/", "curl")


def test_only_responses_that_redirect_say_where_to() -> None:
    for status, location in ((201, None), (302, "/b")):
        start = {"type": "http.response.start", "status": status, "headers": [(b"location", b"/b")]}
        assert told_of(start, BODY).record.location == location


# Without credentials

SECRET = "s3cr3t"


REDACTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "query": (
        {"query_string": b"a=1&token=s3cr3t&b=2"},
        {"url.query": "a=1&token=REDACTED&b=2"},
    ),
    "query, encoded": (
        {"query_string": b"%74oken=s3cr3t&X-Amz-Signature=s3cr3t"},
        {"url.query": "%74oken=REDACTED&X-Amz-Signature=REDACTED"},
    ),
    "a name of the user's": ({"query_string": b"Tenant=s3cr3t"}, {"url.query": "Tenant=REDACTED"}),
    "Referer": (
        {"headers": [(b"referer", b"https://ada:s3cr3t@a.example/?code=s3cr3t#access_token=s3cr3t")]},
        {"http.request.header.referer": ["https://REDACTED@a.example/?code=REDACTED#access_token=REDACTED"]},
    ),
    "headers": (
        {
            "headers": [
                (b"authorization", b"Bearer s3cr3t"),
                (b"cookie", b"a=s3cr3t"),
                (b"cookie", b"b=s3cr3t"),
                (b"x-api-key", b"s3cr3t"),
                (b"x-tenant", b"s3cr3t"),
                (b"x-plain", b"yes"),
            ]
        },
        {
            "http.request.header.authorization": ["REDACTED"],
            "http.request.header.cookie": ["REDACTED", "REDACTED"],
            "http.request.header.x-api-key": ["REDACTED"],
            "http.request.header.x-tenant": ["REDACTED"],
            "http.request.header.x-plain": ["yes"],
        },
    ),
    "headers that nobody asked for": ({"headers": [(b"x-other", b"s3cr3t")]}, {}),
}
ALL = ["Authorization", "cookie", "x-api-key", "x-tenant", "x-plain"]


@pytest.mark.parametrize("form", ["dev", "combined", "json", None])
@pytest.mark.parametrize("name", REDACTED)
def test_no_credential_is_logged(name: str, form: str | None) -> None:
    scope, fields = REDACTED[name]
    told = Told(script(START, BODY), format=form, redact=["tenant", "X-Tenant"], request_headers=ALL)
    request(told, http_scope(**scope))
    names = ("url.query", "http.request.header.")
    assert {key: value for key, value in told.fields.items() if key.startswith(names)} == fields
    assert SECRET not in told.line
    assert SECRET not in repr(told.fields)


@pytest.mark.parametrize("form", ["dev", "combined", "json", None])
def test_no_credential_in_a_redirection_is_logged(form: str | None) -> None:
    location = b"https://ada:s3cr3t@a.example/?state=1&code=s3cr3t"
    told = Told(
        script({"type": "http.response.start", "status": 302, "headers": [(b"location", location)]}, BODY), format=form
    )
    request(told, http_scope())
    assert told.fields["http.response.header.location"] == ["https://REDACTED@a.example/?state=1&code=REDACTED"]
    assert SECRET not in told.line


# What others have left in the scope

FOREIGN: dict[str, dict[str, Any]] = {
    "an id with a line break": {"request_id": "a\nb\u202e"},
    "an id that is no text": {"request_id": uuid.UUID(int=1)},
    "bytes": {"request_id": b"\xff\n"},
    "a trace of somebody else": {"trace_context": "00-1"},
    "another trace": {"trace_context": SimpleNamespace(trace_id=1, span_id=None)},
    "a route with a line break": {"route": SimpleNamespace(path="/a\n\u202e")},
    "a user with a line break": {"user": "a\n\u202e"},
    "a user that fails": {"user": type("User", (), {"is_authenticated": property(lambda self: 1 // 0)})()},
}


@pytest.mark.parametrize("form", ["dev", "combined", "json", None])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_have_left_in_the_scope_costs_no_record(name: str, form: str | None) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope |= FOREIGN[name]
        await send(START)
        await send(BODY)

    told = Told(app, format=form)
    request(told, http_scope("/a"))
    assert_safe(told.line)
    assert_safe("".join(value for value in told.fields.values() if isinstance(value, str)))


# Whatever is sent

TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
LINE = st.binary(max_size=12) | st.sampled_from(
    [b"\r\n", b"\x1b[2J", "\u202e\u2028\x85".encode(), b'"\\', b"- -", b"\xff"]
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": TEXT,
        "scheme": TEXT,
        "http_version": TEXT,
        "raw_path": LINE.map(lambda path: b"/" + path),
        "query_string": LINE,
        "client": st.tuples(TEXT, st.integers(0, 65535)),
        "user": TEXT,
        "headers": st.fixed_dictionaries({b"user-agent": LINE, b"referer": LINE, b"x-a": LINE}).map(
            lambda headers: [*headers.items()]
        ),
    }
)


def sent(text: str) -> bytes:
    """The bytes that an escaped text stands for."""
    return read_back(text).encode("utf-8", "surrogateescape")


@settings(max_examples=60, deadline=None)
@given(scope=REQUESTS, form=st.sampled_from(["dev", "combined", "json", None]))
def test_whatever_is_sent_is_one_line_that_can_be_read_back(scope: dict[str, Any], form: str | None) -> None:
    told = Told(script(START, BODY), format=form, request_headers=["x-a"])
    request(told, http_scope(**scope))
    line, fields = told.line, told.fields
    assert_safe(line)
    assert line.splitlines() == [line]
    for value in fields.values():
        for text in value if isinstance(value, list) else [value]:
            assert_safe(str(text))

    assert sent(fields["url.path"]) == scope["raw_path"]
    assert read_back(fields.get("http.request.method_original", fields["http.request.method"])) == scope["method"]
    assert read_back(fields["client.address"]) == scope["client"][0]
    assert read_back(fields.get("user.name", "")) == scope["user"]
    assert sent(fields["user_agent.original"]) == dict(scope["headers"])[b"user-agent"]
    assert sent(fields["http.request.header.x-a"][0]) == dict(scope["headers"])[b"x-a"]
    query, referer = fields.get("url.query", ""), fields["http.request.header.referer"][0]
    assert "REDACTED" in query or sent(query) == scope["query_string"]
    assert "REDACTED" in referer or sent(referer) == dict(scope["headers"])[b"referer"]

    if form == "json":
        assert json.loads(line).items() >= fields.items()
    if form == "combined":
        found = COMBINED.fullmatch(line)
        assert found
        words = [group.replace(r"\"", '"') for group in found.groups()]
        assert read_back(words[0]) == (scope["client"][0] or "-")
        assert read_back(words[1]) == (scope["user"] or "-")
        target = f"{fields['url.path']}?{query}" if query else fields["url.path"]
        method = fields.get("http.request.method_original", fields["http.request.method"])
        assert words[3] == f"{method} {target} HTTP/{fields['network.protocol.version']}"
        assert words[6:] == [referer or "-", fields["user_agent.original"] or "-"]


@settings(max_examples=30, deadline=None)
@given(reason=TEXT, subprotocol=TEXT, form=st.sampled_from(["dev", "combined", "json", None]), location=LINE)
def test_whatever_is_answered_is_one_line_too(reason: str, subprotocol: str, form: str | None, location: bytes) -> None:
    told = Told(script({**ACCEPT, "subprotocol": subprotocol}, read), format=form)
    request(told, websocket_scope(), {"type": "websocket.disconnect", "code": 4000, "reason": reason})
    assert told.line.splitlines() == [told.line]
    assert_safe(told.line)
    assert read_back(told.fields.get("websocket.close_reason", "")) == reason
    shown = told.fields["websocket.subprotocol"]
    assert shown == "REDACTED" or read_back(shown) == subprotocol

    headers = [(b"location", location)]
    told = Told(script({"type": "http.response.start", "status": 302, "headers": headers}, BODY), format=form)
    request(told, http_scope())
    assert told.line.splitlines() == [told.line]
    assert_safe(told.line)
    shown = told.fields["http.response.header.location"][0]
    assert "REDACTED" in shown or sent(shown) == location


@settings(max_examples=30, deadline=None)
@given(path=st.text(st.characters(exclude_categories=("Cs",)), max_size=12))
def test_a_path_that_was_decoded_is_quoted_again(path: str) -> None:
    told = told_of(path="/" + path, raw_path=...)
    assert_safe(told.line)
    assert told.record.path.isascii()
