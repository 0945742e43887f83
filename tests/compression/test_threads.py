"""What is long is encoded in threads: which, how many at once, and what is left when something goes wrong there."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from middleware import CompressionMiddleware, GZipMiddleware
from middleware.lint import LintMiddleware
from tests.asgi import REQUEST, Client, Message, Spy, http_scope

from .exchanges import CODINGS, PAGE, Answer, Decoder, ask, body, linted, response, start

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
BIG = PAGE * 50
ACCEPTING = [(b"accept-encoding", b"gzip")]
HERE = threading.get_ident()
COMPRESSOBJ = zlib.compressobj


class Encoders:
    """Stands in for zlib's compressors: notes where they work, holds them up until they are let, makes them fail."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.at_work = self.most = 0
        self.shared = False
        self.entered = anyio.Event()
        self.let = threading.Event()
        self.let.set()
        self.failure: Exception | None = None
        self._lock = threading.Lock()

    def hold(self) -> None:
        self.let.clear()
        self.entered = anyio.Event()

    def make(self, *arguments: Any) -> Any:
        return _Encoder(self, COMPRESSOBJ(*arguments))

    def compress(self, data: bytes, level: int, wbits: int) -> bytes:
        compressor = self.make(level, zlib.DEFLATED, wbits)
        encoded: bytes = compressor.compress(data) + compressor.flush()
        return encoded

    def enter(self) -> None:
        with self._lock:
            self.threads.append(threading.get_ident())
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        if threading.get_ident() != HERE:
            anyio.from_thread.run_sync(self.entered.set)
            self.let.wait(10)
        if self.failure is not None:
            raise self.failure

    def leave(self) -> None:
        with self._lock:
            self.at_work -= 1


class _Encoder:
    def __init__(self, encoders: Encoders, compressor: Any) -> None:
        self._encoders = encoders
        self._compressor = compressor
        self._alone = threading.Lock()
        self.flush = compressor.flush

    def compress(self, data: bytes) -> bytes:
        self._encoders.shared |= not self._alone.acquire(blocking=False)
        try:
            self._encoders.enter()
            encoded: bytes = self._compressor.compress(data)
            return encoded
        finally:
            self._encoders.leave()
            self._alone.release()


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Encoders]:
    encoders = Encoders()
    monkeypatch.setattr(zlib, "compressobj", encoders.make)
    monkeypatch.setattr(zlib, "compress", encoders.compress)
    yield encoders
    encoders.let.set()


# Which go to a thread


@pytest.mark.parametrize("sizes", [(999,), (1_000,), (999, 1_000, 998, 1_001, 0), (1_000, 999, 0)], ids=str)
async def test_what_is_long_is_encoded_in_a_thread(encoders: Encoders, sizes: tuple[int, ...]) -> None:
    pieces = [PAGE[:size] for size in sizes]
    answer = await ask(linted(GZipMiddleware, start(), *body(*pieces), thread_minimum_size=1_000))
    assert answer.decoded == b"".join(pieces)
    assert answer["content-length"] == (str(len(answer.body)) if len(pieces) == 1 else None)
    assert [thread != HERE for thread in encoders.threads] == [size >= 1_000 for size in sizes]


async def test_a_threshold_of_nothing_sends_all_but_empty_pieces_to_a_thread(encoders: Encoders) -> None:
    app = linted(GZipMiddleware, start(), *body(b"", b"x", PAGE, b"", b""), thread_minimum_size=0)
    assert (await ask(app)).decoded == b"x" + PAGE
    assert [thread != HERE for thread in encoders.threads] == [True, True, False]


async def test_a_body_is_the_same_bytes_from_a_thread() -> None:
    answers = [
        await ask(linted(GZipMiddleware, *response(content=BIG), thread_minimum_size=size)) for size in (1, 10**9)
    ]
    assert answers[0] == answers[1]


KIB = 1024
THRESHOLDS = {
    ("gzip", 1): 128 * KIB,
    ("gzip", 9): 128 * KIB,
    ("br", 0): 128 * KIB,
    ("br", 4): 128 * KIB,
    ("br", 9): 32 * KIB,
    ("br", 11): 4 * KIB,
    ("zstd", 1): 1024 * KIB,
    ("zstd", 3): 1024 * KIB,
    ("zstd", 9): 128 * KIB,
    ("zstd", 19): 16 * KIB,
}


@pytest.mark.parametrize(("codec", "threshold"), THRESHOLDS.items(), ids=str)
async def test_how_long_depends_on_the_codec_and_its_level(
    codec: tuple[str, int], threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    offloaded = []
    run_sync = anyio.to_thread.run_sync

    async def noting(function: Any, *arguments: Any, **keywords: Any) -> Any:
        offloaded.append(len(arguments[0]))
        return await run_sync(function, *arguments, **keywords)

    monkeypatch.setattr(anyio.to_thread, "run_sync", noting)
    content = (PAGE * 200)[:threshold]
    keywords = {"codecs": [codec[0]], "levels": {codec[0]: codec[1]}}
    for size in (threshold - 1, threshold):
        for messages in (response(content=content[:size]), [start(), *body(content[:size], b"")]):
            answer = await ask(linted(CompressionMiddleware, *messages, **keywords), codec[0])
            assert answer.decoded == content[:size]
    assert offloaded == [threshold] * 2


@pytest.mark.parametrize("coding", CODINGS)
async def test_bodies_and_pieces_from_threads_are_what_others_are(coding: str) -> None:
    pieces = (b"", BIG * 4, b"", b"short", BIG * 4, b"")
    answer = await ask(linted(CompressionMiddleware, start(), *body(*pieces)), coding)
    decoder = Decoder(coding)
    assert [decoder(piece) for piece in answer.pieces] == [*pieces]
    assert (decoder.has_ended(), answer["content-length"]) == (True, None)
    answer = await ask(linted(CompressionMiddleware, *response(content=BIG * 4)), coding)
    assert (answer["content-length"], answer.decoded) == (str(len(answer.body)), BIG * 4)


# How many at once


async def serve(app: Any, requests: int) -> list[Answer]:
    answers: list[Answer] = []

    async def get() -> None:
        answers.append(await ask(app))

    async with anyio.create_task_group() as tasks:
        for _ in range(requests):
            tasks.start_soon(get)
    return answers


async def test_the_event_loop_goes_on_while_a_thread_encodes(encoders: Encoders) -> None:
    app = linted(GZipMiddleware, *response(), thread_minimum_size=1_000)
    encoders.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, app)
        await encoders.entered.wait()
        assert (await ask(linted(GZipMiddleware, *response()))).decoded == PAGE
        assert encoders.at_work == 1
        encoders.let.set()


async def test_bodies_that_wait_for_a_thread_keep_nobody_else_from_one(encoders: Encoders) -> None:
    app = linted(GZipMiddleware, *response(), thread_minimum_size=1_000)
    requests = int(anyio.to_thread.current_default_thread_limiter().total_tokens) + CPUS
    encoders.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, app, requests)
        await encoders.entered.wait()
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            await anyio.to_thread.run_sync(int)
        encoders.let.set()
    assert len(encoders.threads) == requests
    assert encoders.most <= CPUS


def test_one_instance_serves_loop_after_loop(anyio_backend: tuple[str, dict[str, Any]], encoders: Encoders) -> None:
    app = linted(GZipMiddleware, *response(), thread_minimum_size=1_000)
    name, options = anyio_backend
    for _ in range(2):
        answers = anyio.run(serve, app, CPUS + 5, backend=name, backend_options=options)
        assert [answer.decoded for answer in answers] == [PAGE] * (CPUS + 5)
    assert encoders.most <= CPUS


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("pieces", [(PAGE,), (BIG * 4,), (PAGE, BIG * 4)], ids=["whole", "offloaded", "stream"])
def test_one_instance_serves_several_loops_at_once(
    anyio_backend: tuple[str, dict[str, Any]], coding: str, pieces: tuple[bytes, ...]
) -> None:
    app = CompressionMiddleware(Spy(start(), *body(*pieces)))
    name, options = anyio_backend
    decoded = []

    async def ask_again() -> None:
        decoded.extend([(await ask(app, coding)).decoded for _ in range(2 if len(pieces[-1]) > len(PAGE) else 40)])

    run = functools.partial(anyio.run, ask_again, backend=name, backend_options=options)
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {*decoded} == {b"".join(pieces)}
    assert len(decoded) == 3 * (2 if len(pieces[-1]) > len(PAGE) else 40)


# Cancellation


CONVERSATIONS = {
    "whole": [start(), *body(PAGE)],
    "stream": [start(), *body(PAGE, b"", PAGE, b"")],
    "offloaded": [start(), *body(BIG)],
    "offloaded stream": [start(), *body(BIG, b"", PAGE, BIG)],
    "plain": [start(("content-encoding", "identity")), *body(PAGE, PAGE)],
}


class CancellingClient(Client):
    """Cancels the conversation when a message is sent, before or after that."""

    def __init__(self, number: int, scope: anyio.CancelScope) -> None:
        super().__init__(REQUEST)
        self.number, self.scope = number, scope

    async def send(self, message: Message) -> None:
        if len(self.sent) == self.number:
            self.scope.cancel()
        await super().send(message)


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_a_cancelled_send_is_cancelled_and_nothing_else_is_sent(name: str) -> None:
    messages = CONVERSATIONS[name]
    app = GZipMiddleware(Spy(*messages))
    whole = Client(REQUEST)
    await app(http_scope(headers=ACCEPTING), whole.receive, whole.send)
    for number in range(len(messages)):
        with anyio.CancelScope() as scope:
            client = CancellingClient(number, scope)
            await app(http_scope(headers=ACCEPTING), client.receive, client.send)
        assert scope.cancelled_caught
        assert client.sent == whole.sent[:number]


@pytest.mark.parametrize("pieces", [(PAGE,), (PAGE, b""), (b"x", PAGE, PAGE)], ids=["whole", "stream", "later"])
async def test_a_cancelled_request_waits_for_its_thread_and_sends_nothing_of_it(
    encoders: Encoders, pieces: tuple[bytes, ...]
) -> None:
    client, raised = Client(REQUEST), []
    encoders.hold()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await Spy(start(), *body(*pieces))(scope, receive, send)
        except BaseException as error:
            raised.append((error, encoders.at_work))
            raise

    async def run() -> None:
        with scope:
            wrapped = LintMiddleware(GZipMiddleware(app, thread_minimum_size=1_000), strict=True)
            await wrapped(http_scope(headers=ACCEPTING), client.receive, client.send)

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await encoders.entered.wait()
        sent = len(client.sent)
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        assert raised == []
        encoders.let.set()
    ((error, at_work),) = raised
    assert scope.cancelled_caught
    assert isinstance(error, anyio.get_cancelled_exc_class())
    assert (at_work, len(client.sent)) == (0, sent)


NATIVE = pytest.mark.parametrize("anyio_backend", [("asyncio", {}), ("asyncio", {"use_uvloop": True})], indirect=False)


@pytest.mark.parametrize("pieces", [(PAGE,), (PAGE, b""), (b"x", PAGE, PAGE)], ids=["whole", "stream", "later"])
@NATIVE
async def test_after_a_task_was_cancelled_at_its_thread_nothing_can_be_sent(
    encoders: Encoders, pieces: tuple[bytes, ...]
) -> None:
    client, failures = Client(REQUEST), []
    encoders.hold()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await Spy(start(), *body(*pieces))(scope, receive, send)
        except asyncio.CancelledError:
            for message in (start(status=500), *body(b"", b"error"), {"type": "http.response.debug", "info": {}}):
                try:
                    await send(message)
                except RuntimeError as error:
                    failures.append(error)
            raise

    wrapped = GZipMiddleware(app, thread_minimum_size=1_000)
    call = wrapped(http_scope(headers=ACCEPTING), client.receive, client.send)
    before = asyncio.all_tasks()
    task = asyncio.create_task(call)
    await encoders.entered.wait()
    sent = len(client.sent)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert encoders.at_work == 1
    encoders.let.set()
    assert all(str(failure).startswith("send() was called") for failure in failures)
    assert (len(failures), len(client.sent)) == (4, sent)
    assert asyncio.all_tasks() == before
    assert not encoders.shared


@pytest.mark.parametrize("coding", CODINGS)
async def test_nothing_is_sent_that_refers_to_a_piece_whose_send_was_cancelled(coding: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        first, second, third = body(PAGE[:2_000], PAGE[2_000:], PAGE[2_000:])
        await send(start())
        await send(first)
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await send(second)
        with pytest.raises(RuntimeError):
            await send(third)

    client = Client(REQUEST)
    headers = [(b"accept-encoding", coding.encode())]
    await CompressionMiddleware(app)(http_scope(headers=headers), client.receive, client.send)
    assert Decoder(coding)(Answer(client.sent).body) == PAGE[:2_000]


async def test_two_sends_at_once_never_use_one_compressor(encoders: Encoders) -> None:
    failures = []
    encoders.hold()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        first, second, last = body(PAGE, PAGE, b"")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, first)
            await encoders.entered.wait()
            for message in (second, {"type": "http.response.early_hint", "links": []}):
                with pytest.raises(RuntimeError, match=r"send\(\) was called while another"):
                    await send(message)
                failures.append(message)
            encoders.let.set()
        await send(second)
        await send(last)

    answer = await ask(GZipMiddleware(app, thread_minimum_size=1_000))
    assert (answer.decoded, len(failures), encoders.shared) == (PAGE * 2, 2, False)


# Failures


class LeavingClient(Client):
    """Is gone when it has got this many messages."""

    def __init__(self, number: int) -> None:
        super().__init__(REQUEST)
        self.number, self.failure = number, OSError("gone")

    async def send(self, message: Message) -> None:
        if len(self.sent) == self.number:
            raise self.failure
        await super().send(message)


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_that_the_client_is_gone_is_told_as_the_server_tells_it(name: str) -> None:
    messages = CONVERSATIONS[name]
    for number in range(len(messages)):
        client = LeavingClient(number)
        with pytest.raises(OSError, match="gone") as caught:
            await GZipMiddleware(Spy(*messages))(http_scope(headers=ACCEPTING), client.receive, client.send)
        assert caught.value is client.failure
        assert caught.value.__cause__ is None
        assert len(client.sent) == number


@pytest.mark.parametrize("threshold", [1_000, 10**9], ids=["thread", "loop"])
@pytest.mark.parametrize("pieces", [(PAGE,), (PAGE, b"")], ids=["whole", "stream"])
async def test_an_error_of_an_encoder_comes_out_as_it_is_and_nothing_is_sent(
    encoders: Encoders, threshold: int, pieces: tuple[bytes, ...]
) -> None:
    encoders.failure, client = MemoryError("too much"), Client(REQUEST)
    app = GZipMiddleware(Spy(start(), *body(*pieces)), thread_minimum_size=threshold)
    with pytest.raises(MemoryError) as caught:
        await app(http_scope(headers=ACCEPTING), client.receive, client.send)
    assert caught.value is encoders.failure
    assert client.sent == []


async def test_after_an_error_in_a_thread_nothing_can_be_sent(encoders: Encoders) -> None:
    raised: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        first, *others = body(b"x", PAGE, PAGE, b"")
        await send(start())
        await send(first)
        encoders.failure = MemoryError("too much")
        for message in others:
            with pytest.raises((MemoryError, RuntimeError)) as caught:
                await send(message)
            raised.append(type(caught.value))

    client = Client(REQUEST)
    await GZipMiddleware(app, thread_minimum_size=1_000)(http_scope(headers=ACCEPTING), client.receive, client.send)
    assert (raised, len(client.sent)) == ([MemoryError, RuntimeError, RuntimeError], 2)
