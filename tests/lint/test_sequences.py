"""The state machines of Lint against an oracle that has none: a regular expression over what was said.

Each event of a conversation is a letter, small for what the application sends, capital for what the server hands
over. A conversation is legal if its letters match the expression of its protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from middleware.lint import LintError, LintMiddleware
from middleware.lint.shapes import RECEIVED, SCOPES, SENT
from tests.asgi import http_scope, lifespan_scope, websocket_scope

EXTENSIONS = {
    name: {}
    for name in (
        "http.response.trailers",
        "http.response.early_hint",
        "http.response.push",
        "http.response.debug",
        "websocket.http.response",
    )
}
HTTP = {
    "R": {"type": "http.request", "body": b"x", "more_body": True},
    "Q": {"type": "http.request", "body": b"x"},
    "X": {"type": "http.disconnect"},
    "d": {"type": "http.response.debug", "info": {}},
    "h": {"type": "http.response.early_hint", "links": []},
    "p": {"type": "http.response.push", "path": "/", "headers": []},
    "s": {"type": "http.response.start", "status": 200},
    "b": {"type": "http.response.body", "body": b"x", "more_body": True},
    "e": {"type": "http.response.body", "body": b"x"},
    "t": {"type": "http.response.trailers", "headers": []},
}
WEBSOCKET = {
    "C": {"type": "websocket.connect"},
    "M": {"type": "websocket.receive", "text": "x"},
    "X": {"type": "websocket.disconnect", "code": 1000},
    "a": {"type": "websocket.accept"},
    "m": {"type": "websocket.send", "text": "x"},
    "c": {"type": "websocket.close"},
    "s": {"type": "websocket.http.response.start", "status": 404},
    "b": {"type": "websocket.http.response.body", "body": b"x", "more_body": True},
    "e": {"type": "websocket.http.response.body", "body": b"x"},
}
LIFESPAN = {
    "U": {"type": "lifespan.startup"},
    "D": {"type": "lifespan.shutdown"},
    "u": {"type": "lifespan.startup.complete"},
    "v": {"type": "lifespan.startup.failed"},
    "d": {"type": "lifespan.shutdown.complete"},
    "w": {"type": "lifespan.shutdown.failed"},
}

# What the server says and what the application says are judged by themselves, but for three things: what the
# application sends after a disconnect is no matter, websocket data flows only when accepted, a lifespan is a dialogue.
REQUEST = re.compile(r"R*(Q?X*)|R*X+")
RESPONSE = re.compile(r"[hp]*d?[hp]*s[bhp]*e")
PROMISED = re.compile(r"[hp]*d?[hp]*s[bhp]*et")
CUT_SHORT = re.compile(r"[hp]*d?[hp]*(s[bhp]*e?)?")
HANDSHAKE = re.compile(r"am*c?|c|sb*e")
HANDSHAKE_CUT_SHORT = re.compile(r"(am*c?|c|sb*e?)?")
LIFETIME = re.compile(r"(Uu(D[dw])?|Uv)?")


def lowered(letters: str) -> str:
    return "".join(filter(str.islower, letters))


def uppered(letters: str) -> str:
    return "".join(filter(str.isupper, letters))


def http_is_legal(letters: str, trailers: bool) -> bool:
    application = lowered(letters.partition("X")[0])
    whole = PROMISED if trailers else RESPONSE
    legal = whole.fullmatch(application) or ("X" in letters and CUT_SHORT.fullmatch(application))
    return bool(REQUEST.fullmatch(uppered(letters)) and legal)


def websocket_is_legal(letters: str) -> bool:
    application = lowered(letters.partition("X")[0])
    accepted = letters.find("a") in range(letters.find("M")) if "M" in letters else True
    legal = (HANDSHAKE_CUT_SHORT if "X" in letters else HANDSHAKE).fullmatch(application)
    return bool(re.fullmatch(r"(CM*)?X*", uppered(letters)) and accepted and legal)


def lifespan_is_legal(letters: str) -> bool:
    return bool(LIFETIME.fullmatch(letters))


async def accepted(scope: Any, table: dict[str, Any], letters: str) -> bool:
    events = iter([dict(table[letter]) for letter in letters if letter.isupper()])

    async def receive() -> Any:
        return next(events)

    async def send(message: Any) -> None: ...

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for letter in letters:
            await (receive() if letter.isupper() else send(dict(table[letter])))

    try:
        await LintMiddleware(app, strict=True)(scope, receive, send)
    except LintError:
        return False
    return True


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


http_letters = st.text("RQXdhpsbet", max_size=9) | st.from_regex(r"R*Q?[hp]?d?s[bhp]{0,3}e?t?X?", fullmatch=True)
websocket_letters = st.text("CMXamcsbe", max_size=8) | st.from_regex(r"C(aM?m*X?c?|c|sb*e)M?X?", fullmatch=True)
lifespan_letters = st.text("UDuvdw", max_size=6) | st.from_regex(r"U[uv]D?[dw]?", fullmatch=True)


@settings(max_examples=1_000, deadline=None)
@given(http_letters, st.booleans())
@example("Qse", False)
@example("Qset", True)
def test_http_is_judged_as_the_expression_says(runner: asyncio.Runner, letters: str, trailers: bool) -> None:
    table = {**HTTP, "s": {**HTTP["s"], "trailers": trailers}}  # type: ignore[dict-item]
    assert runner.run(accepted(http_scope(extensions=EXTENSIONS), table, letters)) == http_is_legal(letters, trailers)


@settings(max_examples=1_000, deadline=None)
@given(websocket_letters)
@example("CaMmX")
@example("Csbe")
@example("aMC")
def test_websocket_is_judged_as_the_expression_says(runner: asyncio.Runner, letters: str) -> None:
    assert runner.run(accepted(websocket_scope(extensions=EXTENSIONS), WEBSOCKET, letters)) == websocket_is_legal(
        letters
    )


@settings(max_examples=500, deadline=None)
@given(lifespan_letters)
@example("UuDd")
def test_lifespan_is_judged_as_the_expression_says(runner: asyncio.Runner, letters: str) -> None:
    assert runner.run(accepted(lifespan_scope(), LIFESPAN, letters)) == lifespan_is_legal(letters)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3) | st.tuples(inner, inner)
    ),
    max_leaves=6,
)
SHAPES = [*SCOPES.values(), *SENT.values(), *RECEIVED.values()]
keys = st.sampled_from(sorted({key for shape in SHAPES for key in (*shape.required, *shape.optional)}))
types = st.sampled_from([*SENT, *RECEIVED])
messages = junk | st.builds(lambda rest, name: {**rest, "type": name}, st.dictionaries(keys, junk, max_size=5), types)
scopes = st.sampled_from([http_scope(), websocket_scope(), lifespan_scope()]).flatmap(
    lambda scope: st.dictionaries(keys, junk, max_size=4).map(lambda rest: {**scope, **rest, "type": scope["type"]})
)


@pytest.mark.filterwarnings("error")
@settings(max_examples=500, deadline=None)
@given(scopes, st.lists(messages, max_size=3), st.lists(messages, max_size=4), st.booleans())
def test_whatever_is_said_lint_itself_never_fails(
    runner: asyncio.Runner, scope: Any, received: Any, sent: Any, strict: bool
) -> None:
    events = iter(received)

    async def receive() -> Any:
        return next(events)

    async def send(message: Any) -> None: ...

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in received:
            await receive()
        for message in sent:
            try:
                await send(message)
            except LintError:
                continue

    with contextlib.suppress(LintError):
        runner.run(LintMiddleware(app, strict=strict)(scope, receive, send))
