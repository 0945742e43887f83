"""What every class promises, each as a check that can be held against any class, and a mutant that must fail it.

A promise is a coroutine function that takes a ``Subject`` and raises AssertionError (or lets an error through) when
it is broken. Its mutant is a way to call the class that breaks just this promise.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import FrameType
from typing import Any

import anyio
import sniffio

from middleware.lint import LintMiddleware
from tests.asgi import (
    BODY,
    CONNECT,
    REQUEST,
    SHUTDOWN,
    START,
    STARTUP,
    Client,
    Message,
    http_scope,
    lifespan_scope,
    websocket_scope,
)

Build = Callable[[type, Any], Any]
Caller = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Subject:
    """A public class and how to put it in front of an application.

    Args:
        cls: The class.
        build: Makes an instance of the class (or of a mutant of it) around an application.
        worked: Whether the class did its work on a request, from the scope that it received, the one that the
            application got, and what was sent: without that, a check says nothing.
        wrong: A configuration with several mistakes, and the parameters at fault.
        wrapped: Makes an instance with something wrong in place of the application.
        undone: A message that was sent, without what it is the class's work to add.
    """

    cls: type
    build: Build
    worked: Callable[[Any, Any, list[Message]], bool]
    wrong: tuple[Callable[[type], Any], Sequence[str]]
    wrapped: Callable[[type, Any], Any] = field(default=lambda cls, app: cls(app))
    undone: Callable[[Message], Message] = field(default=lambda message: message)

    def __str__(self) -> str:
        return self.cls.__name__

    def around(self, app: Any) -> Any:
        return self.build(self.cls, app)

    def mutant(self, call: Caller) -> Subject:
        """The same, with a class whose ``__call__`` is ``call(original, scope, receive, send)``."""

        async def __call__(this: Any, scope: Any, receive: Any, send: Any) -> Any:
            original = super(mutant, this).__call__  # type: ignore[misc]
            return await call(original, scope, receive, send)

        mutant = type(f"Mutant{self.cls.__name__}", (self.cls,), {"__call__": __call__})
        return replace(self, cls=mutant)


class Unchangeable(dict[str, Any]):
    """A dict that takes new keys, but lets nothing be changed that it has."""

    def __setitem__(self, key: str, value: Any) -> None:
        assert key not in self, f"changed {key!r}"
        super().__setitem__(key, value)

    def refuse(self, *arguments: Any, **keywords: Any) -> Any:
        raise AssertionError("changed a received dict")

    __delitem__ = pop = popitem = clear = update = __ior__ = refuse  # type: ignore[assignment]


def frozen(value: dict[str, Any]) -> Any:
    """``value`` with lists as tuples, unchangeable; ``state`` is left as it is, everybody writes to it."""
    headers = {"headers": tuple(value["headers"])} if "headers" in value else {}
    return Unchangeable({**value, **headers})


class Talker:
    """An application that receives what there is to receive first, notes its scope, and sends its messages."""

    def __init__(self, *messages: Message, receives: int = 1, fails: BaseException | None = None) -> None:
        self.messages, self.receives, self.fails = messages, receives, fails
        self.scopes: list[Any] = []
        self.received: list[Message] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        for _ in range(self.receives):
            self.received.append(await receive())
        for message in self.messages:
            await send(message)
        if self.fails is not None:
            raise self.fails


async def converse(subject: Subject, scope: Any, talker: Talker, *events: Message, client: Any = Client) -> Any:
    """One conversation through the subject; nobody may change what it was given, and the class must have worked."""
    server = client(*events)
    with anyio.fail_after(5):
        await subject.around(talker)(scope, server.receive, server.send)
    assert subject.worked(scope, talker.scopes[0], server.sent), "the class did nothing on this request"
    return server.sent


# What applications do. Everything that is legal must come out as it went in, unless it is the class's work to change.

TEXT = {"type": "websocket.receive", "text": "hi"}
GONE = {"type": "websocket.disconnect", "code": 1000}
ACCEPT = {"type": "websocket.accept", "subprotocol": None, "headers": [(b"x-a", b"1")]}
ECHO = {"type": "websocket.send", "text": "hi"}
CLOSE = {"type": "websocket.close", "code": 4000, "reason": "done"}
VARY = {"type": "http.response.start", "status": 200, "headers": [(b"vary", b"Accept, Cookie")]}
TRAILED = {**START, "trailers": True}


def offering(make: Callable[..., Any], *extensions: str) -> Any:
    return make(extensions={name: {} for name in extensions})


PROGRAMS: dict[str, tuple[Any, Talker, tuple[Message, ...]]] = {
    "simple": (http_scope(), Talker(START, BODY), (REQUEST,)),
    "headless": (http_scope(), Talker({**START, "status": 204, "headers": []}, {**BODY, "body": b""}), (REQUEST,)),
    "upload": (
        http_scope(method="POST"),
        Talker(START, BODY, receives=2),
        ({"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request", "body": b"b"}),
    ),
    "stream": (
        http_scope(),
        Talker(START, {**BODY, "more_body": True}, {**BODY, "more_body": True}, {"type": "http.response.body"}),
        (REQUEST,),
    ),
    "pathsend": (
        offering(http_scope, "http.response.pathsend"),
        Talker(START, {"type": "http.response.pathsend", "path": "/srv/file"}),
        (REQUEST,),
    ),
    "zerocopysend": (
        offering(http_scope, "http.response.zerocopysend"),
        Talker(START, {"type": "http.response.zerocopysend", "file": 3, "more_body": True}, BODY),
        (REQUEST,),
    ),
    "trailers": (
        offering(http_scope, "http.response.trailers"),
        Talker(TRAILED, BODY, {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}),
        (REQUEST,),
    ),
    "early hint": (
        offering(http_scope, "http.response.early_hint"),
        Talker({"type": "http.response.early_hint", "links": [b"</s.css>; rel=preload"]}, START, BODY),
        (REQUEST,),
    ),
    "push": (
        offering(http_scope, "http.response.push"),
        Talker(START, {"type": "http.response.push", "path": "/s.css", "headers": []}, BODY),
        (REQUEST,),
    ),
    "debug": (
        offering(http_scope, "http.response.debug"),
        Talker({"type": "http.response.debug", "info": {"template": "t"}}, START, BODY),
        (REQUEST,),
    ),
    "unknown extension": (
        offering(http_scope, "http.response.sparkle"),
        Talker(START, {"type": "http.response.sparkle", "colour": "gold"}, BODY, receives=2),
        (REQUEST, {"type": "http.sparkled"}),
    ),
    "websocket": (websocket_scope(), Talker(ACCEPT, ECHO, CLOSE), (CONNECT,)),
    "websocket refused": (websocket_scope(), Talker(CLOSE), (CONNECT,)),
    "websocket denied": (
        offering(websocket_scope, "websocket.http.response"),
        Talker(
            {"type": "websocket.http.response.start", "status": 401, "headers": []},
            {"type": "websocket.http.response.body", "body": b"no"},
        ),
        (CONNECT,),
    ),
}


async def programs_come_out_as_they_went_in(subject: Subject) -> None:
    """Legal in, legal out: Lint on both sides, every message in order."""
    for name, (scope, talker, events) in PROGRAMS.items():
        talker = Talker(*talker.messages, receives=talker.receives)
        inner, server = LintMiddleware(talker, strict=True), Client(*events)
        outer = LintMiddleware(subject.around(inner), strict=True)
        with anyio.fail_after(5):
            await outer(scope, server.receive, server.send)
        assert [subject.undone(message) for message in server.sent] == [*talker.messages], name
        assert talker.received == [*events], name


async def drops_what_it_does_not_know(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    async def known(message: Any) -> None:
        if message["type"] in ("http.response.start", "http.response.body"):
            await send(message)

    return await original(scope, receive, known if scope["type"] == "http" else send)


async def the_received_scope_is_not_changed(subject: Subject) -> None:
    for make, event in ((http_scope, REQUEST), (websocket_scope, CONNECT)):
        scope = frozen(make())
        before = dict(scope)
        messages = [CLOSE] if make is websocket_scope else [START, BODY]
        await converse(subject, scope, Talker(*messages), event)
        assert {key: scope[key] for key in before} == before


async def moves_the_path(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    scope["path"] = "/moved"
    return await original(scope, receive, send)


async def no_message_is_changed(subject: Subject) -> None:
    sent = [frozen(VARY), frozen(BODY)]
    await converse(subject, http_scope(), Talker(*sent), frozen(REQUEST))
    sent = [frozen(ACCEPT), frozen(ECHO), frozen(CLOSE)]
    await converse(subject, websocket_scope(), Talker(*sent), frozen(CONNECT))


async def labels_the_message(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    async def labelled(message: Any) -> None:
        message["labelled"] = True
        message["type"] = str(message["type"])
        await send(message)

    return await original(scope, receive, labelled)


async def the_same_messages_can_be_sent_again(subject: Subject) -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
    talker = Talker(start, BODY)
    app = subject.around(talker)
    answers = []
    for _ in range(3):
        server = Client(REQUEST)
        await app(http_scope(), server.receive, server.send)
        answers.append([{**m, "headers": [*m.get("headers", [])]} for m in server.sent])
    assert answers[0] == answers[1] == answers[2]
    assert start["headers"] == [(b"content-type", b"text/plain")]


_KEPT: list[tuple[bytes, bytes]] = []


async def keeps_the_headers_of_the_last_response(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    async def adding(message: Any) -> None:
        if "headers" in message:
            _KEPT.append((b"x-added", b"1"))
            message = {**message, "headers": [*message["headers"], *_KEPT]}
        await send(message)

    return await original(scope, receive, adding)


async def an_unknown_protocol_passes_untouched(subject: Subject) -> None:
    scope, server = frozen({"type": "webtransport"}), Client({"type": "webtransport.connect"}, {"odd": 1})
    messages = [{"type": "webtransport.accept"}, {"odd": object()}]
    talker = Talker(*messages, receives=2)  # type: ignore[arg-type]
    await subject.around(talker)(scope, server.receive, server.send)
    assert talker.scopes == [scope]
    assert talker.scopes[0] is scope
    assert server.sent == messages
    assert talker.received == [{"type": "webtransport.connect"}, {"odd": 1}]


async def ignores_unknown_protocols(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    if scope["type"] in ("http", "websocket", "lifespan"):
        return await original(scope, receive, send)
    return None


async def a_lifespan_starts_and_stops_the_application(subject: Subject) -> None:
    server = Client(STARTUP, SHUTDOWN)
    log: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "shutdown"):
            log.append((await receive())["type"])
            await send({"type": f"lifespan.{event}.complete"})

    with anyio.fail_after(5):
        await LintMiddleware(subject.around(app), strict=True)(lifespan_scope(), server.receive, server.send)
    assert log == ["lifespan.startup", "lifespan.shutdown"]
    assert [message["type"] for message in server.sent] == [f"{event}.complete" for event in log]


async def answers_the_lifespan_itself(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    if scope["type"] != "lifespan":
        return await original(scope, receive, send)
    for _ in range(2):
        await send({"type": f"{(await receive())['type']}.complete"})


async def the_applications_exception_comes_out_as_it_is(subject: Subject) -> None:
    for messages in ((), (START,), (START, BODY)):
        failure = LookupError("mine")
        try:
            await converse(subject, http_scope(), Talker(*messages, fails=failure), REQUEST)
        except LookupError as error:
            assert error is failure
            assert error.__cause__ is None
        else:
            raise AssertionError("the exception was swallowed")


async def wraps_exceptions(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    try:
        return await original(scope, receive, send)
    except LookupError as error:
        raise LookupError(*error.args) from error


async def a_failure_of_the_server_comes_out_as_it_is(subject: Subject) -> None:
    failure = OSError("gone")

    class Gone(Client):
        async def send(self, message: Message) -> None:
            raise failure

    try:
        await converse(subject, http_scope(), Talker(START, BODY), REQUEST, client=Gone)
    except OSError as error:
        assert error is failure
    else:
        raise AssertionError("the exception was swallowed")


async def swallows_errors_of_send(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    async def safe(message: Any) -> None:
        with contextlib.suppress(OSError):
            await send(message)

    return await original(scope, receive, safe)


async def cancellation_at_every_await_goes_through(subject: Subject) -> None:
    for scope, talker, events in (PROGRAMS["stream"], PROGRAMS["websocket"]):
        awaits = len(talker.messages) + len(events)
        for number in range(awaits):
            talker = Talker(*talker.messages, receives=talker.receives)
            with anyio.CancelScope() as cancelling:
                server = _CancellingClient(*events, after=number, cancelling=cancelling)
                await subject.around(talker)(dict(scope), server.receive, server.send)
            assert cancelling.cancelled_caught, f"the cancellation at await {number} was swallowed"
            assert len(server.sent) + server.received <= number


class _CancellingClient(Client):
    """Cancels the conversation at one of its awaits."""

    def __init__(self, *events: Message, after: int, cancelling: anyio.CancelScope) -> None:
        super().__init__(*events)
        self._left = after
        self._cancelling = cancelling

    async def receive(self) -> Message:
        self._count()
        return await super().receive()

    async def send(self, message: Message) -> None:
        self._count()
        await super().send(message)

    def _count(self) -> None:
        if self._left == 0:
            self._cancelling.cancel()
        self._left -= 1


async def swallows_cancellation(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    with contextlib.suppress(anyio.get_cancelled_exc_class()):
        return await original(scope, receive, send)


async def the_disconnect_reaches_the_application(subject: Subject) -> None:
    received = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        await send(START)
        await send(BODY)
        received.append(await receive())

    server = Client(REQUEST, {"type": "http.disconnect"})
    with anyio.fail_after(5):
        await subject.around(app)(http_scope(), server.receive, server.send)
    assert received == [REQUEST, {"type": "http.disconnect"}]


async def eats_the_disconnect(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    async def hungry() -> Any:
        message = await receive()
        return message if message["type"] != "http.disconnect" else REQUEST

    return await original(scope, hungry, send)


async def no_task_outlives_the_request(subject: Subject) -> None:
    if sniffio.current_async_library() == "trio":
        return  # a trio task cannot outlive the call that has no nursery
    before = asyncio.all_tasks()
    await converse(subject, http_scope(), Talker(START, BODY), REQUEST)
    left = asyncio.all_tasks() - before
    for task in left:
        task.cancel()
    assert not left


async def leaves_a_task(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    if sniffio.current_async_library() == "trio":
        raise AssertionError("nothing to leave on trio")
    this = asyncio.current_task()
    scope["left"] = asyncio.create_task(asyncio.sleep(60))
    assert this is not None
    return await original(scope, receive, send)


HOSTILE_HEADERS = [
    [(b"host", b"\xff\x00"), (b"host", b"b")],
    [(b"origin", b"null\r\nx: y"), (b"cookie", b";;;=\x00;" * 100)],
    [(b"accept-encoding", b"gzip;q=\xff,,,;q=2,*;q=-1" * 50), (b"content-length", b"-1")],
    [(b"x-forwarded-for", "‮".encode()), (b"", b""), (b"\x00", b"\x00")],
    [(b"traceparent", b"0" * 65_536)],
    [],
]
HOSTILE_PATHS = ["", "/" + "a" * 65_536, "/é/\u202e/\x00\r\n", "//@evil", "\udcff", "*", "http://a/b"]


async def a_malformed_request_is_never_a_failure(subject: Subject) -> None:
    for path in HOSTILE_PATHS:
        for headers in HOSTILE_HEADERS:
            scope = {**http_scope(headers=headers), "path": path, "query_string": b"\xff=\r\n"}
            sent = await converse(subject, scope, Talker(START, BODY), REQUEST)
            assert sent[0]["status"] == 200
    for missing in http_scope().keys() - {"type"}:
        scope = {key: value for key, value in http_scope().items() if key != missing}
        sent = await converse(subject, scope, Talker(START, BODY), REQUEST)
        assert sent[0]["status"] == 200


async def decodes_headers(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    for _, value in scope.get("headers", ()):
        value.decode("ascii")
    return await original(scope, receive, send)


async def the_cost_grows_with_the_request_no_faster_than_it(subject: Subject) -> None:
    """Counted in executed bytecodes of the package, for requests of one, two and four times a size."""

    async def silent(scope: Any, receive: Any, send: Any) -> None: ...

    app = subject.around(silent)
    for grow in (_more_headers, _longer_path, _longer_header):
        # The least of two: now and then a supply is filled, as that of random ids.
        costs = [min(_bytecodes(app, grow(size)) for _ in range(2)) for size in (200, 400, 800)]
        assert costs[0] > 0
        for smaller, larger in pairwise(costs):
            assert larger <= 2.2 * smaller, (grow.__name__, costs)


def _more_headers(size: int) -> Any:
    return http_scope(headers=[(b"x-%d" % number, b"1") for number in range(size)])


def _longer_path(size: int) -> Any:
    return http_scope("/a" * size)


def _longer_header(size: int) -> Any:
    return http_scope(headers=[(b"cookie", b"a=b;" * size), (b"accept-encoding", b"gzip;q=1," * size)])


def _bytecodes(app: Any, scope: Any) -> int:
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
        return trace

    call = app(scope, Client().receive, Client().send)
    call.cr_frame.f_trace_opcodes = True  # CPython 3.12 reports opcodes only if this was set before settrace()
    before = sys.gettrace()
    gc.disable()  # what runs in a collection is not the request's
    sys.settrace(trace)
    try:
        with contextlib.suppress(StopIteration, Exception):
            call.send(None)
    finally:
        sys.settrace(before)
        gc.enable()
        call.close()
    return count


async def compares_every_character_with_every_other(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    pairs = [len(scope["path"]), len(scope["headers"]), *(len(value) for _, value in scope["headers"][:1])]
    for number in pairs:
        for _ in range(number):
            for _ in range(number):
                pass
    return await original(scope, receive, send)


async def vary_is_kept_and_never_doubled(subject: Subject) -> None:
    sent = await converse(subject, http_scope(), Talker(VARY, BODY), REQUEST)
    tokens = [
        token.strip().lower() for name, value in sent[0]["headers"] if name == b"vary" for token in value.split(b",")
    ]
    assert {b"accept", b"cookie"} <= set(tokens)
    assert len(tokens) == len(set(tokens))


async def doubles_vary(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    async def doubling(message: Any) -> None:
        if "headers" in message:
            message = {**message, "headers": [*message["headers"], (b"vary", b"Cookie")]}
        await send(message)

    return await original(scope, receive, doubling)


async def nothing_of_the_request_gets_into_a_header_unchecked(subject: Subject) -> None:
    for headers in HOSTILE_HEADERS:
        scope = {**http_scope(headers=headers), "path": "/\r\nset-cookie: a=b", "query_string": b"\r\nx: y"}
        server = Client(REQUEST)
        # The server is at fault for such a scope, which is only a warning; what comes out must be clean.
        await LintMiddleware(subject.around(Talker(START, BODY)))(scope, server.receive, server.send)
        assert server.sent


async def reflects_the_path(original: Any, scope: Any, receive: Any, send: Any) -> Any:
    async def reflecting(message: Any) -> None:
        if "headers" in message:
            value = scope["path"].encode("utf-8", "replace")
            message = {**message, "headers": [*message["headers"], (b"x-path", value)]}
        await send(message)

    return await original(scope, receive, reflecting)


PROMISES: dict[Callable[[Subject], Awaitable[None]], Caller] = {
    the_received_scope_is_not_changed: moves_the_path,
    no_message_is_changed: labels_the_message,
    the_same_messages_can_be_sent_again: keeps_the_headers_of_the_last_response,
    programs_come_out_as_they_went_in: drops_what_it_does_not_know,
    an_unknown_protocol_passes_untouched: ignores_unknown_protocols,
    a_lifespan_starts_and_stops_the_application: answers_the_lifespan_itself,
    the_applications_exception_comes_out_as_it_is: wraps_exceptions,
    a_failure_of_the_server_comes_out_as_it_is: swallows_errors_of_send,
    cancellation_at_every_await_goes_through: swallows_cancellation,
    the_disconnect_reaches_the_application: eats_the_disconnect,
    no_task_outlives_the_request: leaves_a_task,
    a_malformed_request_is_never_a_failure: decodes_headers,
    the_cost_grows_with_the_request_no_faster_than_it: compares_every_character_with_every_other,
    vary_is_kept_and_never_doubled: doubles_vary,
    nothing_of_the_request_gets_into_a_header_unchecked: reflects_the_path,
}


@contextlib.contextmanager
def unchecked(subject: Subject) -> Iterator[Subject]:
    """A mutant whose constructor takes everything: the promises about construction must notice."""

    def __init__(this: Any, *arguments: Any, **keywords: Any) -> None:
        with contextlib.suppress(ValueError):
            super(mutant, this).__init__(*arguments, **keywords)  # type: ignore[misc]

    mutant = type(f"Unchecked{subject.cls.__name__}", (subject.cls,), {"__init__": __init__})
    yield replace(subject, cls=mutant)
