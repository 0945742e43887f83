"""What Lint does beside its rules: it is not there while both sides keep them."""

from __future__ import annotations

import pickle
from typing import Any

import anyio
import pytest

from middleware import ConfigurationError
from middleware.lint import LintError, LintMiddleware
from tests.asgi import BODY, REQUEST, START, Client, Spy, call, http_scope, websocket_scope

WRONG = {"type": "http.response.body", "body": "text"}


async def test_a_lawful_conversation_passes_message_by_message() -> None:
    spy = Spy()
    sent = await call(LintMiddleware(spy, strict=True), http_scope())
    assert sent[0] is START
    assert sent[1] is BODY


async def test_the_application_gets_a_copy_of_the_scope_and_what_it_adds_is_handed_back() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = "/items/{id}"
        scope["path"] = "/changed"
        await Spy()(scope, receive, send)

    scope = http_scope("/items/1")
    await call(LintMiddleware(app, strict=True), scope)
    assert scope["route"] == "/items/{id}"
    assert scope["path"] == "/items/1"


async def test_what_the_application_added_is_handed_back_when_it_fails() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = "/items/{id}"
        raise LookupError

    scope = http_scope()
    with pytest.raises(LookupError):
        await call(LintMiddleware(app), scope)
    assert scope["route"] == "/items/{id}"


async def test_a_message_with_a_fault_of_the_application_does_not_reach_the_server() -> None:
    client = Client(REQUEST)
    with pytest.raises(LintError):
        await LintMiddleware(Spy(START, WRONG))(http_scope(), client.receive, client.send)
    assert client.sent == [START]


async def test_an_application_cannot_hide_its_fault_by_swallowing_the_error() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        try:
            await send(WRONG)
        except Exception:
            await send(BODY)

    client = Client(REQUEST)
    with pytest.raises(LintError, match="message-shape"):
        await LintMiddleware(app)(http_scope(), client.receive, client.send)
    assert client.sent == [START, BODY]


async def test_a_failing_application_fails_as_without_lint() -> None:
    failure = LookupError("mine")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        raise failure

    with pytest.raises(LookupError) as caught:
        await call(LintMiddleware(app, strict=True), http_scope())
    assert caught.value is failure


async def test_a_client_that_is_gone_is_no_fault_of_the_application() -> None:
    class Gone(Client):
        async def send(self, message: Any) -> None:
            raise OSError("gone")  # ASGI HTTP 2.4: what send() raises on a closed connection

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(START)
        except OSError:
            return

    client = Gone(REQUEST)
    await LintMiddleware(app, strict=True)(http_scope(), client.receive, client.send)


async def test_what_is_sent_after_the_client_has_gone_is_not_judged() -> None:
    """ASGI 3.0, Error Handling: the server ignores it."""
    length = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]}

    async def download(scope: Any, receive: Any, send: Any) -> None:
        await send(length)
        await receive()
        await send(BODY)

    client = Client({"type": "http.disconnect"})
    await LintMiddleware(download, strict=True)(http_scope(), client.receive, client.send)
    assert client.sent == [length, BODY]

    async def chat(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        code = (await receive())["code"]
        await send({"type": "websocket.close", "code": code})

    client = Client({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1005})
    await LintMiddleware(chat, strict=True)(websocket_scope(), client.receive, client.send)
    assert len(client.sent) == 2


async def test_a_failing_send_fails_again_with_the_servers_own_error() -> None:
    class Gone(Client):
        async def send(self, message: Any) -> None:
            raise OSError(f"gone before {message['type']}")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for _ in range(2):
            with pytest.raises(OSError, match=r"gone before websocket\.close"):
                await send({"type": "websocket.close"})

    client = Gone({"type": "websocket.connect"})
    await LintMiddleware(app, strict=True)(websocket_scope(), client.receive, client.send)


async def test_a_cancelled_application_is_stopped_not_told_of_its_fault() -> None:
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cancelling.cancel()
        try:
            await send(BODY)
        finally:
            reached.append(True)

    client = Client(REQUEST)
    with anyio.CancelScope() as cancelling:
        await LintMiddleware(app)(http_scope(), client.receive, client.send)
    assert cancelling.cancelled_caught
    assert reached == [True]


async def test_what_the_application_returns_is_returned() -> None:
    client = Client(REQUEST)
    assert await LintMiddleware(Spy(returns=7))(http_scope(), client.receive, client.send) == 7


async def test_an_iterable_that_may_be_read_once_is_not_read() -> None:
    class Once:
        def __init__(self, *items: Any) -> None:
            self.items = iter(items)

        def __iter__(self) -> Any:
            return self.items

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": Once((b"x-a", b"1"))})

    scope = websocket_scope(subprotocols=iter(["a", "b", "c"]), headers=Once((b"host", b"x")))
    client = Client({"type": "websocket.connect"})
    await LintMiddleware(app, strict=True)(scope, client.receive, client.send)
    assert [*scope["subprotocols"]] == ["a", "b", "c"]
    assert [*scope["headers"]] == [(b"host", b"x")]
    assert [*client.sent[0]["headers"]] == [(b"x-a", b"1")]


@pytest.mark.parametrize("protocol", ["webtransport", "http3"])
async def test_a_connection_of_an_unknown_type_passes_untouched(protocol: str) -> None:
    messages = [{"type": f"{protocol}.accept"}, {"anything": object()}]
    spy = Spy(*messages)
    scope = {"type": protocol}
    client = Client()
    await LintMiddleware(spy, strict=True)(scope, client.receive, client.send)
    assert spy.calls == [(scope, client.receive, client.send)]
    assert spy.calls[0][0] is scope
    assert client.sent == messages


async def test_unknown_messages_pass_in_order_where_an_unknown_extension_is_offered() -> None:
    unknown = {"type": "http.response.sparkle", "colour": "gold"}
    scope = http_scope(extensions={"http.response.sparkle": {}})
    assert await call(LintMiddleware(Spy(START, unknown, BODY), strict=True), scope) == [START, unknown, BODY]
    with pytest.raises(LintError, match="message-shape"):
        await call(LintMiddleware(Spy(START, unknown, BODY)), http_scope())


async def test_headers_that_can_be_read_only_once_are_left_for_the_server() -> None:
    class Server(Client):
        async def send(self, message: Any) -> None:
            self.sent += [*message.get("headers", ())]

    client = Server(REQUEST)
    start = {"type": "http.response.start", "status": 200, "headers": iter([(b"x-a", b"1")])}
    await LintMiddleware(Spy(start, BODY), strict=True)(http_scope(), client.receive, client.send)
    assert client.sent == [(b"x-a", b"1")]


@pytest.mark.parametrize("scope", [{}, {"type": None}, {"type": 5}, {"type": []}])
async def test_a_scope_without_a_type_is_the_servers_fault(scope: dict[str, Any]) -> None:
    spy = Spy()
    await call(LintMiddleware(spy), scope)
    assert spy.calls[0][0] is scope
    with pytest.raises(LintError, match="the server broke the rule scope-shape"):
        await call(LintMiddleware(spy, strict=True), scope)


@pytest.mark.parametrize("make", [http_scope, websocket_scope])
async def test_a_scope_that_lacks_every_key_but_its_type_never_fails_in_lint(make: Any) -> None:
    kind = make()["type"]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope == {"type": kind}
        await receive()
        await receive()

    client = Client(*[{"type": f"{kind}.disconnect"}] * 2)
    await LintMiddleware(app)({"type": kind}, client.receive, client.send)


def test_the_error_says_who_what_and_where_and_can_be_pickled() -> None:
    error = LintError("server", "scope-shape", "ASGI HTTP, Scope", "no path")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "the server broke the rule scope-shape: no path (ASGI HTTP, Scope)"
    assert (again.side, again.rule, again.section) == ("server", "scope-shape", "ASGI HTTP, Scope")


def test_all_of_a_wrong_configuration_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        LintMiddleware(None, strict="yes")  # type: ignore[arg-type]
    assert [problem.parameter for problem in caught.value.problems] == ["app", "strict"]


async def test_a_number_that_python_does_not_print_is_named_by_its_type() -> None:
    close = {"type": "websocket.close", "code": 10**5_000}
    with pytest.raises(LintError, match="a int may not be sent"):
        await call(LintMiddleware(Spy(close)), websocket_scope(), {"type": "websocket.connect"})
