"""One deliberately broken application or server for each rule of Lint, each beside the same thing done right.

A conversation is what both sides say: the scope, what the server hands over, and what the application sends once it
has received all of that.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any, NamedTuple

import anyio

from middleware.lint import LintError
from tests.asgi import (
    BODY,
    CONNECT,
    REQUEST,
    SHUTDOWN,
    START,
    STARTUP,
    Client,
    http_scope,
    lifespan_scope,
    websocket_scope,
)

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
TEXT = {"type": "websocket.receive", "text": "hi"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
GONE = {"type": "http.disconnect"}
STARTED = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}


class Conversation(NamedTuple):
    scope: dict[str, Any]
    received: tuple[Any, ...]
    app: Any  # what the application does
    client: type[Client] = Client


class Case(NamedTuple):
    rule: str
    side: str
    wrong: Conversation
    right: Conversation


def start(status: int = 200, headers: Any = (), **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def body(content: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def sends(*messages: Any, events: int = 1) -> Any:
    """An application that receives ``events`` messages, then sends its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(events):
            await receive()
        for message in messages:
            await send(message)

    return app


def http(*messages: Any, received: tuple[Any, ...] = (REQUEST,), extensions: Any = (), **scope: Any) -> Conversation:
    offered = {key: {} for key in extensions} if isinstance(extensions, (list, tuple)) else extensions
    given = {**http_scope(extensions=offered), **scope}
    given = {key: value for key, value in given.items() if value is not ...}
    return Conversation(given, received, sends(*messages, events=len(received)))


def websocket(
    *messages: Any, received: tuple[Any, ...] = (CONNECT,), denial: bool = False, **scope: Any
) -> Conversation:
    extensions = {"websocket.http.response": {}} if denial else {}
    scope = websocket_scope(**{"extensions": extensions, **scope})
    return Conversation(scope, received, sends(*messages, events=len(received)))


def lifespan(*messages: Any, received: tuple[Any, ...] = (STARTUP,), **scope: Any) -> Conversation:
    return Conversation(lifespan_scope(**scope), received, sends(*messages, events=len(received)))


def calling(app: Any, scope: Any = None, received: tuple[Any, ...] = (REQUEST,), client: Any = Client) -> Conversation:
    return Conversation(scope or http_scope(), received, app, client)


def chat(*steps: Any, received: tuple[Any, ...], **scope: Any) -> Conversation:
    """A websocket application that follows its steps: receive for None, send for a message."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            await (receive() if step is None else send(step))

    return Conversation(websocket_scope(**scope), received, app)


def lifetime(*steps: Any, received: tuple[Any, ...]) -> Conversation:
    return chat(*steps, received=received)._replace(scope=lifespan_scope())


def application(rule: str, wrong: Conversation, right: Conversation) -> Case:
    return Case(rule, "application", wrong, right)


def server(rule: str, wrong: Conversation, right: Conversation) -> Case:
    return Case(rule, "server", wrong, right)


# Applications and servers that do more than talk.


async def changes_the_scope(scope: Any, receive: Any, send: Any) -> None:
    scope["headers"].append((b"x-added", b"1"))
    await sends(START, BODY)(scope, receive, send)


async def adds_to_the_scope(scope: Any, receive: Any, send: Any) -> None:
    scope["user"] = "ann"
    scope["root_path"] = "/mounted"  # in its own copy
    scope["state"]["seen"] = True
    await sends(START, BODY)(scope, receive, send)


async def changes_a_received_message(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    message["body"] = b"changed"
    await sends(START, BODY, events=0)(scope, receive, send)


async def changes_its_own_message(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    message = start(headers=[])
    await send(message)
    message["headers"].append((b"late", b"1"))
    await send(BODY)


class ChangesTheStart(Client):
    """A server, or a middleware that keeps the start back and changes it when the body comes."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        self.sent[0]["headers"].append((b"content-encoding", b"gzip"))


async def receives_twice_at_once(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        with suppress(LintError), anyio.move_on_after(0.01):  # raised again when the application has returned
            await receive()
        tasks.cancel_scope.cancel()
    await sends(START, BODY, events=0)(scope, receive, send)


async def receives_again_after_giving_up(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    with anyio.move_on_after(0.01):
        await receive()
    with anyio.move_on_after(0.01):
        await receive()
    await sends(START, BODY, events=0)(scope, receive, send)


async def receives_one_by_one(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await receive()
    await sends(START, BODY, events=0)(scope, receive, send)


def leaves(use_late: bool) -> Any:
    """An application that keeps ``send`` and, if ``use_late``, uses it when it has returned."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sends(START, BODY)(scope, receive, send)
        if use_late:
            scope["late"] = send  # an added key: handed back to the caller

    return app


ONE_LENGTH = [(b"content-length", b"5")]
FIVE = body(b"hello")
NO_LENGTH = [(b"content-length", b"0")]
FILES = ("http.response.pathsend", "http.response.zerocopysend")
PATHSEND = {"type": "http.response.pathsend", "path": "/srv/file"}
ZEROCOPY = {"type": "http.response.zerocopysend", "file": 3}
HINT = {"type": "http.response.early_hint", "links": [b"</s.css>; rel=preload"]}
PUSH = {"type": "http.response.push", "path": "/s.css", "headers": []}
DEBUG = {"type": "http.response.debug", "info": {}}
DENY = {"type": "websocket.http.response.start", "status": 404, "headers": []}
DENY_BODY = {"type": "websocket.http.response.body", "body": b"no"}
TLS = {"server_cert": None, "tls_version": 0x0304, "cipher_suite": None}

OK = http(START, BODY)
OPEN = websocket(ACCEPT)

CASES = [
    # scopes
    *(
        server("scope-shape", http(START, BODY, **{key: value}), OK)
        for key, value in {
            "asgi": ...,
            "http_version": "1.2",
            "method": "get",
            "path": b"/",
            "query_string": "",
            "headers": None,
            "scheme": "",
            "raw_path": b"/?query",
            "root_path": None,
            "client": ["127.0.0.1", "54748"],
            "server": ("127.0.0.1",),
            "state": None,
            "extensions": 1,
        }.items()
    ),
    server(
        "scope-shape",
        http(START, BODY, extensions={"tls": {"tls_version": "1.3"}}),
        http(START, BODY, extensions={"tls": TLS}),
    ),
    server("scope-shape", websocket(ACCEPT, subprotocols="chat"), websocket(ACCEPT, subprotocols=["chat"])),
    server("scope-shape", lifespan(STARTED, state=None), lifespan(STARTED)),
    application("scope-unchanged", calling(changes_the_scope), calling(adds_to_the_scope)),
    # messages
    *(
        application("message-shape", http(start(), message, BODY), OK)
        for message in (
            None,
            {},
            {"type": "http.response.bdy"},
            {"type": "websocket.send", "text": "hi"},
            {"type": "http.request"},
            {"type": "http.response.body", "body": "text"},
            {"type": "http.response.body", "body": bytearray(b"text")},
            {"type": "http.response.body", "more_body": 1},
        )
    ),
    application("message-shape", http({"type": "http.response.start"}, BODY), OK),
    application("message-shape", http(start(103), BODY), OK),
    application("message-shape", http(start(headers=None), BODY), OK),
    application(
        "message-shape",
        http(start(), {"type": "http.response.pathsend"}, extensions=["http.response.pathsend"]),
        http(start(), PATHSEND, extensions=["http.response.pathsend"]),
    ),
    application("message-shape", websocket({"type": "websocket.accept", "subprotocol": b"chat"}), OPEN),
    application(
        "message-shape", lifespan({"type": "lifespan.startup.failed", "message": ValueError()}), lifespan(STARTED)
    ),
    server("message-shape", http(START, BODY, received=({"type": "http.request", "body": "text"},)), OK),
    server("message-shape", http(START, BODY, received=(REQUEST, {"type": "http.gone"})), OK),
    server("message-shape", http(START, BODY, received=(REQUEST, None)), OK),
    server(
        "message-shape",
        websocket(received=(CONNECT, {"type": "websocket.disconnect"})),
        websocket(received=(CONNECT, DISCONNECT)),
    ),
    application("message-unchanged", calling(changes_a_received_message), OK),
    server(
        "message-unchanged",
        calling(sends(start(headers=[]), body()), client=ChangesTheStart),
        calling(changes_its_own_message),
    ),
    # extensions
    *(
        application(
            "extension-offered",
            http(*before, message, *after),
            http(*before, message, *after, extensions=[message["type"]]),
        )
        for before, message, after in (
            ([start()], PATHSEND, []),
            ([start()], ZEROCOPY, []),
            ([], HINT, [START, BODY]),
            ([start()], PUSH, [BODY]),
            ([], DEBUG, [START, BODY]),
        )
    ),
    application(
        "extension-offered",
        http(start(trailers=True), BODY, TRAILERS),
        http(start(trailers=True), BODY, TRAILERS, extensions=["http.response.trailers"]),
    ),
    application("extension-offered", websocket(DENY, DENY_BODY), websocket(DENY, DENY_BODY, denial=True)),
    # the call
    application("one-receive", calling(receives_twice_at_once), calling(receives_one_by_one, received=(REQUEST, GONE))),
    application("one-receive", calling(receives_twice_at_once), calling(receives_again_after_giving_up)),
    application("nothing-after-return", calling(leaves(use_late=True)), calling(leaves(use_late=False))),
    application("nothing-after-the-end", http(START, BODY, BODY), http(START, body(more=True), BODY)),
    application("nothing-after-the-end", http(START, BODY, START), OK),
    application("nothing-after-the-end", websocket(CLOSE, CLOSE), websocket(CLOSE)),
    application("nothing-after-the-end", websocket(ACCEPT, CLOSE, {"type": "websocket.send", "text": "x"}), OPEN),
    # headers
    *(
        application(rule, http(start(headers=headers), BODY), OK)
        for rule, headers in (
            ("header-pairs", [(b"x-name", "text")]),
            ("header-pairs", [(b"x-name",)]),
            ("header-pairs", [b"ab"]),
            ("header-case", [(b"X-Name", b"1")]),
            ("header-name", [(b"x name", b"1")]),
            ("header-name", [(b":status", b"200")]),
            ("header-name", [(b"", b"1")]),
            ("header-value", [(b"x-name", b"a\r\nset-cookie: b=c")]),
            ("header-value", [(b"x-name", b"a\x00")]),
            ("header-value", [(b"x-name", b"a\n")]),
            ("header-value", [(b"x-name", b" a")]),
            ("header-value", [(b"x-name", b"a\x7f")]),
            ("header-single", [(b"content-type", b"text/plain"), (b"content-type", b"text/html")]),
            ("header-single", [(b"content-length", b"5"), (b"content-length", b"5")]),
        )
    ),
    application("header-value", websocket({"type": "websocket.accept", "headers": [(b"x", b"\n")]}), OPEN),
    application(
        "header-name",
        http(
            start(trailers=True), BODY, {**TRAILERS, "headers": [(b"x y", b"")]}, extensions=["http.response.trailers"]
        ),
        http(start(trailers=True), BODY, TRAILERS, extensions=["http.response.trailers"]),
    ),
    server("header-name", http(START, BODY, headers=[(b"x y", b"1")]), http(START, BODY, headers=[(b"X-Case", b"1")])),
    server(
        "header-value", http(START, BODY, headers=[(b"x", b"a\rb")]), http(START, BODY, headers=[(b"x", b"\xff\tz")])
    ),
    application(
        "header-forbidden",
        websocket(
            {"type": "websocket.accept", "headers": [(b"sec-websocket-protocol", b"chat")]}, subprotocols=["chat"]
        ),
        websocket({"type": "websocket.accept", "subprotocol": "chat"}, subprotocols=["chat"]),
    ),
    # http
    server(
        "request-order", http(START, BODY, received=(REQUEST, REQUEST)), http(START, BODY, received=(REQUEST, GONE))
    ),
    server(
        "request-order",
        http(START, BODY, received=(GONE, REQUEST)),
        http(START, BODY, received=({"type": "http.request", "more_body": True}, REQUEST)),
    ),
    application("response-order", http(BODY), OK),
    application("response-order", http(START, START, BODY), OK),
    application("response-complete", http(), http(received=(REQUEST, GONE))),
    application("response-complete", http(START), http(START, received=(REQUEST, GONE))),
    application("response-complete", http(START, body(b"a", more=True)), OK),
    application(
        "content-length",
        http(start(headers=[(b"content-length", b"five")]), FIVE),
        http(start(headers=ONE_LENGTH), FIVE),
    ),
    application(
        "content-length", http(start(headers=ONE_LENGTH), body(b"hell")), http(start(headers=ONE_LENGTH), FIVE)
    ),
    application(
        "content-length",
        http(start(headers=ONE_LENGTH), body(b"hello", more=True), body(b"!")),
        http(start(headers=ONE_LENGTH), body(b"hel", more=True), body(b"lo")),
    ),
    application(
        "content-length",
        http(start(headers=ONE_LENGTH), body()),
        http(start(headers=ONE_LENGTH), body(), method="HEAD"),
    ),
    application(
        "length-of-nothing",
        http(start(204, headers=[(b"content-length", b"0")]), body()),
        http(start(204), body()),
    ),
    application(
        "content-length", http(start(headers=ONE_LENGTH), body()), http(start(304, headers=ONE_LENGTH), body())
    ),
    application(
        "content-length",
        http(start(headers=ONE_LENGTH), body()),
        http(start(headers=ONE_LENGTH), PATHSEND, extensions=["http.response.pathsend"]),
    ),
    *(application("no-content", http(start(status), FIVE), http(start(status), body())) for status in (204, 205, 304)),
    application("head-content", http(start(), FIVE, method="HEAD"), http(start(), body(), method="HEAD")),
    *(
        application(
            "trailers-promised",
            http(*wrong, extensions=["http.response.trailers"]),
            http(
                start(trailers=True),
                BODY,
                {**TRAILERS, "more_trailers": True},
                TRAILERS,
                extensions=["http.response.trailers"],
            ),
        )
        for wrong in (
            [start(trailers=True), BODY],
            [start(), BODY, TRAILERS],
            [start(trailers=True), TRAILERS, BODY],
            [start(trailers=True), BODY, {**TRAILERS, "more_trailers": True}],
        )
    ),
    *(
        application(
            "debug-once",
            http(*wrong, extensions=["http.response.debug"]),
            http(DEBUG, START, BODY, extensions=["http.response.debug"]),
        )
        for wrong in ([START, DEBUG, BODY], [DEBUG, DEBUG, START, BODY])
    ),
    application(
        "nothing-after-the-end",
        http(START, BODY, HINT, extensions=["http.response.early_hint"]),
        http(START, HINT, BODY, extensions=["http.response.early_hint"]),
    ),
    application(
        "header-value",
        http({**HINT, "links": [b"</a>\r\nset-cookie: a=b"]}, START, BODY, extensions=["http.response.early_hint"]),
        http(HINT, START, BODY, extensions=["http.response.early_hint"]),
    ),
    *(
        application(rule, http(*wrong, extensions=[*FILES]), http(*right, extensions=[*FILES]))
        for rule, wrong, right in (
            (
                "content-length",
                [start(headers=ONE_LENGTH), {**ZEROCOPY, "count": 3}],
                [start(headers=ONE_LENGTH), {**ZEROCOPY, "count": 5}],
            ),
            (
                "content-length",
                [start(headers=ONE_LENGTH), {**ZEROCOPY, "count": 1, "more_body": True}, FIVE],
                [start(headers=ONE_LENGTH), {**ZEROCOPY, "count": 0, "more_body": True}, FIVE],
            ),
            (
                "content-length",
                [start(headers=NO_LENGTH), {**ZEROCOPY, "more_body": True}, FIVE],
                [start(headers=NO_LENGTH), PATHSEND],
            ),
            ("response-order", [START, body(b"a", more=True), PATHSEND], [START, body(b"a", more=True), ZEROCOPY]),
            ("nothing-after-the-end", [START, PATHSEND, BODY], [START, PATHSEND]),
            ("nothing-after-the-end", [START, BODY, ZEROCOPY], [START, ZEROCOPY]),
            ("response-order", [PATHSEND], [START, PATHSEND]),
            ("message-shape", [START, {**ZEROCOPY, "file": io.BytesIO(b"x")}], [START, ZEROCOPY]),
        )
    ),
    *(
        application("message-shape", http(start(), wrong, BODY, extensions=["http.response.sparkle"]), OK)
        for wrong in ({"type": "websocket.send", "text": "x"}, {"type": "http.request"})
    ),
    application(
        "nothing-after-the-end",
        http(start(trailers=True), BODY, TRAILERS, TRAILERS, extensions=["http.response.trailers"]),
        http(start(trailers=True), BODY, TRAILERS, extensions=["http.response.trailers"]),
    ),
    server(
        "scope-shape",
        http(START, BODY, asgi={"version": "3.0", "spec_version": 2}),
        http(START, BODY, asgi={"version": "3.0"}),
    ),
    application(
        "message-shape",
        websocket(ACCEPT, {"type": "websocket.send", "text": "\ud800"}),
        websocket(ACCEPT, {"type": "websocket.send", "text": "\U0001f600"}),
    ),
    # websocket
    application("handshake-order", websocket({"type": "websocket.send", "text": "x"}), OPEN),
    application("handshake-order", websocket(ACCEPT, ACCEPT), OPEN),
    application("handshake-order", websocket(DENY, CLOSE, denial=True), websocket(DENY, DENY_BODY, denial=True)),
    application("handshake-order", websocket(ACCEPT, DENY, DENY_BODY, denial=True), websocket(ACCEPT, denial=True)),
    server(
        "handshake-order",
        chat(None, None, ACCEPT, received=(CONNECT, CONNECT)),
        chat(None, ACCEPT, None, received=(CONNECT, TEXT)),
    ),
    server("handshake-order", chat(None, None, ACCEPT, received=(CONNECT, TEXT)), OPEN),
    server(
        "handshake-order",
        chat(None, ACCEPT, None, None, received=(CONNECT, DISCONNECT, TEXT)),
        chat(None, ACCEPT, None, None, received=(CONNECT, TEXT, DISCONNECT)),
    ),
    application("handshake-answered", websocket(), websocket(received=(CONNECT, DISCONNECT))),
    application("response-complete", websocket(DENY, denial=True), websocket(DENY, DENY_BODY, denial=True)),
    application(
        "subprotocol-offered",
        websocket({"type": "websocket.accept", "subprotocol": "soap"}, subprotocols=["chat"]),
        websocket({"type": "websocket.accept", "subprotocol": "chat"}, subprotocols=["chat"]),
    ),
    *(
        application(
            "websocket-data",
            websocket(ACCEPT, {"type": "websocket.send", **data}),
            websocket(ACCEPT, {"type": "websocket.send", "text": "", "bytes": None}),
        )
        for data in ({}, {"text": "a", "bytes": b"a"}, {"text": None})
    ),
    server(
        "websocket-data",
        chat(None, ACCEPT, None, received=(CONNECT, {"type": "websocket.receive"})),
        chat(None, ACCEPT, None, received=(CONNECT, TEXT)),
    ),
    *(
        application(
            "close-code",
            websocket(ACCEPT, {**CLOSE, **wrong}),
            websocket(ACCEPT, {**CLOSE, "code": 4999, "reason": "é" * 61}),
        )
        for wrong in ({"code": 1005}, {"code": 999}, {"code": 5000}, {"reason": "é" * 62})
    ),
    # lifespan
    application("lifespan-order", lifespan(STOPPED), lifespan(STARTED)),
    application("lifespan-order", lifespan(STARTED, STARTED), lifespan(STARTED)),
    application(
        "lifespan-order",
        lifespan({"type": "lifespan.startup.failed"}, STARTED),
        lifespan({"type": "lifespan.startup.failed"}),
    ),
    server(
        "lifespan-order", lifetime(None, STOPPED, received=(SHUTDOWN,)), lifetime(None, STARTED, received=(STARTUP,))
    ),
    server(
        "lifespan-order",
        lifetime(None, STARTED, None, STARTED, received=(STARTUP, STARTUP)),
        lifetime(None, STARTED, None, STOPPED, received=(STARTUP, SHUTDOWN)),
    ),
    application("lifespan-answered", lifespan(), lifespan(STARTED)),
    application(
        "lifespan-answered",
        lifetime(None, STARTED, None, received=(STARTUP, SHUTDOWN)),
        lifetime(None, STARTED, None, STOPPED, received=(STARTUP, SHUTDOWN)),
    ),
]
