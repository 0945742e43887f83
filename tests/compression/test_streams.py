"""Bodies in pieces: each piece is sent when it is there, can be read when it arrives, and together they are smaller."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from middleware import CompressionMiddleware, GZipMiddleware
from tests.asgi import Message, Spy, http_scope

from .exchanges import CODINGS, NOISE, PAGE, Decoder, ask, body, linted, offering, start

TEXT = PAGE * 3
EVENTS = ("content-type", "text/event-stream")
EACH_CODING = pytest.mark.parametrize("coding", CODINGS)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def pieces_of(sizes: list[int], data: bytes = TEXT) -> list[bytes]:
    ends = [*accumulate(sizes)]
    return [data[end - size : end] for size, end in zip(sizes, ends, strict=True)]


@st.composite
def conversations(draw: Callable[[Any], Any], least: int = 0) -> tuple[list[bytes], list[Message], bool]:
    """A body in pieces of ``least`` bytes or none, its messages in one of the legal spellings, with a length or not."""
    size = st.integers(least, 400) | st.integers(least, 4_000) | st.just(0)
    pieces = pieces_of(draw(st.lists(size, min_size=1, max_size=4)))
    messages = []
    for number, message in enumerate(body(*pieces)):
        spelt = {**message}
        if not message["body"] and draw(st.booleans()):
            del spelt["body"]
        if number == len(pieces) - 1 and draw(st.booleans()):
            del spelt["more_body"]
        messages.append(spelt)
    return pieces, messages, draw(st.booleans())


@settings(max_examples=300, deadline=None)
@given(conversations(), st.sampled_from(CODINGS))
@example(
    (pieces_of([0, 0, 700]), [{"type": "http.response.body", "more_body": True}] * 2 + body(TEXT[:700]), True), "br"
)
@example((pieces_of([700, 0]), [*body(TEXT[:700], b"")[:1], {"type": "http.response.body"}], True), "zstd")
def test_a_body_in_any_pieces_is_encoded_and_read_piece_by_piece(
    runner: asyncio.Runner, conversation: tuple[list[bytes], list[Message], bool], coding: str
) -> None:
    pieces, messages, measured = conversation
    plain = b"".join(pieces)
    length = [("content-length", str(len(plain)))] if measured else []
    app = linted(CompressionMiddleware, start(*length), *messages)
    answer = runner.run(ask(app, coding))

    at_once = len(pieces) == 1 or (measured and len(pieces[0]) == len(plain))
    small = len(plain) < 500 and (at_once or measured)
    event("small" if small else "whole" if at_once else "stream")
    assert answer["content-encoding"] == (None if small else coding)
    assert answer["vary"] == (None if small else "Accept-Encoding")
    expected = len(plain) if small and measured else len(answer.body) if at_once and not small else None
    assert answer["content-length"] == (None if expected is None else str(expected))

    sent = answer.messages[1:]
    assert [(one["type"], one.get("more_body", False)) for one in sent] == [
        (one["type"], one.get("more_body", False)) for one in messages
    ]
    decoder, read = Decoder(answer["content-encoding"]), b""
    for piece, until_then in zip(answer.pieces, accumulate(pieces), strict=True):
        read += decoder(piece)
        assert read == until_then
    assert decoder.has_ended()


@settings(max_examples=200, deadline=None)
@given(conversations(least=64), st.sampled_from(CODINGS))
def test_text_in_any_pieces_is_smaller_than_it_was(
    runner: asyncio.Runner, conversation: tuple[list[bytes], list[Message], bool], coding: str
) -> None:
    pieces, messages, _ = conversation
    plain = b"".join(pieces)
    answer = runner.run(ask(linted(CompressionMiddleware, start(), *messages), coding))
    assert answer.decoded == plain
    assert len(answer.body) < len(plain) or len(plain) < 500


@EACH_CODING
@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_what_is_like_bytes_is_encoded_too(coding: str, kind: Any) -> None:
    for pieces in ([PAGE], [PAGE, b"", PAGE]):
        app = CompressionMiddleware(Spy(start(), *body(*map(kind, pieces))))
        answer = await ask(app, coding)
        assert answer["content-encoding"] == coding
        assert answer.decoded == b"".join(pieces)


@EACH_CODING
async def test_an_empty_piece_stays_empty(coding: str) -> None:
    answer = await ask(linted(CompressionMiddleware, start(), *body(b"", PAGE, b"", b"", PAGE, b"", b"")), coding)
    assert [bool(piece) for piece in answer.pieces] == [False, True, False, False, True, False, True]
    assert answer.decoded == PAGE * 2


@EACH_CODING
async def test_a_stream_that_does_not_get_smaller_is_sent_all_the_same(coding: str) -> None:
    answer = await ask(linted(CompressionMiddleware, start(), *body(NOISE, NOISE[::-1])), coding)
    assert (answer["content-encoding"], answer.decoded) == (coding, NOISE + NOISE[::-1])


async def test_streams_have_the_level_of_their_codec() -> None:
    lengths = [
        len((await ask(GZipMiddleware(Spy(start(), *body(PAGE, PAGE)), compresslevel=level))).body) for level in (1, 9)
    ]
    assert lengths[0] > lengths[1]


@EACH_CODING
async def test_where_files_may_follow_a_stream_stays_as_it_is(coding: str) -> None:
    app = linted(CompressionMiddleware, start(), *body(PAGE, PAGE))
    answer = await ask(app, coding, **offering("zerocopysend"))
    assert (answer.headers, answer.pieces) == ([("vary", "Accept-Encoding")], [PAGE, PAGE])
    assert (await ask(app, coding, **offering("pathsend")))["content-encoding"] == coding
    app = linted(CompressionMiddleware, start(), *body(PAGE))
    assert (await ask(app, coding, **offering("zerocopysend")))["content-encoding"] == coding


# When the start is sent

NOW, WITH_THE_FIRST_PIECE = True, False
STARTS: list[tuple[str | None, list[tuple[str, str]], dict[str, Any], bool]] = [
    ("gzip", [], {}, WITH_THE_FIRST_PIECE),
    ("gzip", [("content-length", "500")], {}, WITH_THE_FIRST_PIECE),
    (None, [], {}, NOW),
    ("identity", [], {}, NOW),
    ("gzip;q=0", [], {}, NOW),
    ("gzip", [("content-length", "499")], {}, NOW),
    ("gzip", [("content-type", "image/png")], {}, NOW),
    ("gzip", [EVENTS], {}, NOW),
    ("gzip", [EVENTS], {"stream_content_types": ["text/event-stream"]}, NOW),
    ("gzip", [("content-type", "text/csv")], {"stream_content_types": ["text/*"]}, NOW),
    ("gzip", [("content-type", "text/csv")], {}, WITH_THE_FIRST_PIECE),
    ("gzip", [("content-encoding", "br")], {}, NOW),
    ("gzip", [("cache-control", "no-transform")], {}, NOW),
    ("gzip", [("signature-input", "a=()")], {}, NOW),
    ("gzip", [("content-range", "bytes 0-9/10")], {}, NOW),
    ("gzip", [], {"should_compress": lambda scope, status, headers: False}, NOW),
    ("gzip, identity;q=0", [("content-length", "499")], {}, WITH_THE_FIRST_PIECE),
]


@pytest.mark.parametrize(("accepted", "headers", "keywords", "at_once"), STARTS, ids=str)
@pytest.mark.parametrize("cls", [GZipMiddleware, CompressionMiddleware])
async def test_the_start_waits_only_where_the_body_decides(
    cls: Any, accepted: str | None, headers: Any, keywords: dict[str, Any], at_once: bool
) -> None:
    sent: list[Message] = []
    pieces = body(PAGE[:250], PAGE[250:500])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(*headers))
        assert len(sent) == at_once
        for number, piece in enumerate(pieces, 2):
            await send(piece)
            assert len(sent) == number

    async def send(message: Message) -> None:
        sent.append(message)

    asked = [(b"accept-encoding", accepted.encode())] if accepted else []
    await cls(app, **keywords)(http_scope(headers=asked), None, send)
    assert [message["type"].rpartition(".")[2] for message in sent] == ["start", "body", "body"]


# Streams of events


@EACH_CODING
@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream; charset=utf-8", "text/x-log"])
async def test_each_event_can_be_read_when_it_is_sent(coding: str, content_type: str) -> None:
    events = [b'event: price\ndata: {"symbol": "ABC", "price": %d, "volume": 1000}\n\n' % price for price in range(200)]
    app = linted(
        CompressionMiddleware,
        start(("content-type", content_type), ("cache-control", "no-cache")),
        *body(*events, b""),
        codecs=[coding],
        stream_content_types=["text/event-stream", "text/x-log"],
    )
    answer = await ask(app, coding)
    assert answer.headers == [
        ("content-type", content_type),
        ("cache-control", "no-cache"),
        ("vary", "Accept-Encoding"),
        ("content-encoding", coding),
    ]
    decoder = Decoder(coding)
    assert [decoder(piece) for piece in answer.pieces] == [*events, b""]
    assert decoder.has_ended()
    assert len(answer.body) < len(b"".join(events))


async def test_of_codings_liked_equally_events_get_gzip() -> None:
    for accepted, coding in {"br, zstd, gzip": "gzip", "*": "gzip", "br, gzip;q=0.9": "br", "br, zstd": "zstd"}.items():
        app = linted(CompressionMiddleware, start(EVENTS), *body(PAGE, b""), stream_content_types=[EVENTS[1]])
        answer = await ask(app, accepted)
        assert (answer["content-encoding"], answer.decoded) == (coding, PAGE)
    app = linted(CompressionMiddleware, start(), *body(PAGE, b""), stream_content_types=[EVENTS[1]])
    assert (await ask(app, "br, zstd, gzip"))["content-encoding"] == "zstd"


@EACH_CODING
async def test_events_are_left_alone_unless_they_are_listed(coding: str) -> None:
    answer = await ask(linted(CompressionMiddleware, start(EVENTS), *body(PAGE, PAGE)), coding)
    assert (answer.headers, answer.pieces) == ([EVENTS], [PAGE, PAGE])


@EACH_CODING
async def test_what_has_a_listed_type_and_a_length_is_a_file(coding: str) -> None:
    messages = [start(EVENTS, ("content-length", str(len(PAGE)))), *body(PAGE)]
    answer = await ask(linted(CompressionMiddleware, *messages, stream_content_types=[EVENTS[1]]), coding)
    assert (answer["content-encoding"], answer["content-length"]) == (coding, str(len(answer.body)))
    assert answer.decoded == PAGE


async def test_a_stream_of_events_takes_less_memory_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    compressobj = zlib.compressobj

    def noting(level: int, method: int, window: int, memory: int) -> Any:
        asked.append((window - 16, memory))
        return compressobj(level, method, window, memory)

    monkeypatch.setattr(zlib, "compressobj", noting)
    for headers in ([EVENTS], []):
        app = linted(GZipMiddleware, start(*headers), *body(PAGE, PAGE), stream_content_types=[EVENTS[1]])
        assert (await ask(app)).decoded == PAGE * 2
    assert asked == [(11, 3), (15, 8)]


@EACH_CODING
async def test_where_files_may_follow_events_are_left_as_they_are(coding: str) -> None:
    app = linted(CompressionMiddleware, start(EVENTS), *body(PAGE, PAGE), stream_content_types=[EVENTS[1]])
    answer = await ask(app, coding, **offering("zerocopysend"))
    assert (answer.headers, answer.pieces) == ([EVENTS, ("vary", "Accept-Encoding")], [PAGE, PAGE])
