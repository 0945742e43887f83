"""Call an ASGI application by hand: scopes, a scripted client, applications that note what they were given."""

from __future__ import annotations

from typing import Any

import anyio

Message = dict[str, Any]

REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY: Message = {"type": "http.response.body", "body": b"hello"}
CONNECT: Message = {"type": "websocket.connect"}
STARTUP: Message = {"type": "lifespan.startup"}
SHUTDOWN: Message = {"type": "lifespan.shutdown"}


def http_scope(path: str = "/", **changes: Any) -> dict[str, Any]:
    """The scope of a GET request as uvicorn makes it; a change to ``...`` leaves the key out."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"tests")],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {},
    }
    return {key: value for key, value in {**scope, **changes}.items() if value is not ...}


def websocket_scope(path: str = "/", **changes: Any) -> dict[str, Any]:
    """The scope of a websocket handshake as uvicorn makes it."""
    return http_scope(path, **{"type": "websocket", "scheme": "ws", "method": ..., "subprotocols": [], **changes})


def lifespan_scope(**changes: Any) -> dict[str, Any]:
    """The scope of a server's start and stop."""
    return {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}, **changes}


class Client:
    """What a server is to an application: ``receive`` follows a script, ``send`` collects.

    The messages of the script are handed out as they are. When it is at its end, ``receive`` waits: for the end of
    the response, after which it gives ``http.disconnect`` as servers do, else for ever.
    """

    def __init__(self, *events: Message) -> None:
        self.sent: list[Message] = []
        self.received = 0
        self._events = iter(events)
        self._response_ended = anyio.Event()

    async def receive(self) -> Message:
        await anyio.lowlevel.checkpoint()
        for event in self._events:
            self.received += 1
            return event
        await self._response_ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent.append(message)
        if message.get("type") == "http.response.body" and not message.get("more_body"):
            self._response_ended.set()


async def call(app: Any, scope: Any, *events: Message) -> list[Message]:
    """Call ``app`` once, within five seconds, and return what it sent."""
    client = Client(*(events or (REQUEST,)))
    with anyio.fail_after(5):
        await app(scope, client.receive, client.send)
    return client.sent


class Spy:
    """An application that notes its calls, sends the given messages and returns ``returns``."""

    def __init__(self, *messages: Message, returns: Any = None) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []
        self._messages = messages or (START, BODY)
        self._returns = returns

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        self.calls.append((scope, receive, send))
        for message in self._messages:
            await send(message)
        return self._returns
