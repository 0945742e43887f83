"""Fifteen faults of Starlette's class, and those of others, each as what comes of one conversation."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import starlette
from starlette.middleware.gzip import GZipMiddleware as StarlettesMiddleware

from middleware import CompressionMiddleware, GZipMiddleware
from tests.asgi import Message, Spy, call, http_scope

from .exchanges import CODINGS, NOISE, PAGE, Answer, ask, body, offering, response, start

GZIP = "gzip"
FAULTS: list[tuple[Callable[[Any], Awaitable[Any]], Any, Any]] = []


def fault(starlettes: Any, ours: Any) -> Any:
    """A case that takes the class and returns what came of it, with what comes of Starlette's and of ours."""

    def add(case: Any) -> Any:
        FAULTS.append((case, starlettes, ours))
        return case

    return add


async def outcome(case: Any, cls: Any) -> Any:
    try:
        return await case(cls)
    except (KeyError, AttributeError) as error:
        return type(error)


class Anew(Spy):
    """An application that makes its messages anew for each request: Starlette's class writes into them."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self._messages:
            await send({**message, **({"headers": [*message["headers"]]} if "headers" in message else {})})


REFUSED = ("gzip;q=0, identity", "identity;q=1, gzip;q=0.1", "gzip;q=0", "mygzipx")
ACCEPTED = ("GZIP", "*", "x-gzip", "deflate;q=0.5, Gzip")


@fault([GZIP] * 4, [None] * 4)
async def fault_01_what_is_refused_is_sent(cls: Any) -> Any:
    return [(await ask(cls(Anew(*response())), value))["content-encoding"] for value in REFUSED]


@fault([None, None, GZIP, None], [GZIP] * 4)
async def fault_02_what_is_accepted_is_not_sent(cls: Any) -> Any:
    return [(await ask(cls(Anew(*response())), value))["content-encoding"] for value in ACCEPTED]


@fault(None, GZIP)
async def fault_02_a_second_line_is_overlooked(cls: Any) -> Any:
    return (await ask(cls(Anew(*response())), "deflate", ("accept-encoding", GZIP)))["content-encoding"]


async def resumable(scope: Any, receive: Any, send: Any) -> None:
    """A file, or what is left of it for who has the start under its strong tag."""
    headers = dict(scope["headers"])
    given = headers.get(b"range", b"bytes=0-").removeprefix(b"bytes=").removesuffix(b"-")
    offset = int(given) if headers.get(b"if-range") == b'"a"' else 0
    named = [("etag", '"a"'), ("accept-ranges", "bytes")]
    if offset:
        named.append(("content-range", f"bytes {offset}-{len(PAGE) - 1}/{len(PAGE)}"))
    for message in response(*named, content=PAGE[offset:], status=206 if offset else 200):
        await send(message)


@fault(['"a"', 206, zlib.error], ['W/"a"', 200, PAGE])
async def fault_03_a_resumed_download_is_spliced(cls: Any) -> Any:
    app = cls(resumable)
    first = await ask(app)
    tag = first["etag"] or ""
    resumed = await ask(app, GZIP, ("range", "bytes=200-"), ("if-range", tag))
    try:
        got = Answer([first.start, *body(first.body[:200], resumed.body)]) if resumed.status == 206 else resumed
        return [tag, resumed.status, got.decoded]
    except zlib.error as error:
        return [tag, resumed.status, type(error)]


@fault(GZIP, None)
async def fault_04_what_is_not_to_be_transformed_is(cls: Any) -> Any:
    return (await ask(cls(Anew(*response(("cache-control", "public, no-transform"))))))["content-encoding"]


@fault([None, None, str(len(PAGE))], [GZIP, "Accept-Encoding", None])
async def fault_05_head_describes_another_response(cls: Any) -> Any:
    first, _ = response(("content-type", "text/css"))
    answer = await ask(cls(Anew(first, *body(b""))), method="HEAD")
    return [answer[name] for name in ("content-encoding", "vary", "content-length")]


@fault([None, '"a"'], ["Accept-Encoding", 'W/"a"'])
async def fault_06_not_modified_does_not_vary(cls: Any) -> Any:
    app = cls(Anew(start(("etag", '"a"'), status=304), *body(b"")))
    answer = await ask(app, GZIP, ("if-none-match", 'W/"a"'))
    return [answer["vary"], answer["etag"]]


@fault([GZIP, False], [None, True])
async def fault_07_what_was_sent_is_changed(cls: Any) -> Any:
    messages = response()
    app = cls(Spy(*messages))
    await ask(app)
    answer = await ask(app, None)
    return [answer["content-encoding"], answer.body == PAGE]


@fault(["start", "body"], ["start", "zerocopysend", "body"])
async def fault_08_a_file_is_swallowed(cls: Any) -> Any:
    file = {"type": "http.response.zerocopysend", "file": 3, "more_body": True}
    answer = await ask(cls(Anew(start(), file, *body(b""))), **offering("zerocopysend"))
    return [message["type"].removeprefix("http.response.") for message in answer.messages]


@fault(False, True)
async def fault_09_what_a_test_wants_to_see_is_dropped(cls: Any) -> Any:
    debug = {"type": "http.response.debug", "info": {"template": "t", "context": {"page": 1}}}
    return debug in (await ask(cls(Anew(debug, *response())), **offering("debug"))).messages


@fault(False, True)
async def fault_09_a_push_is_dropped(cls: Any) -> Any:
    push = {"type": "http.response.push", "path": "/s.css", "headers": []}
    first, last = response()
    return push in (await ask(cls(Anew(push, first, last)), **offering("push"))).messages


@fault(KeyError, PAGE)
async def fault_10_a_piece_without_a_body_is_an_error(cls: Any) -> Any:
    app = cls(Anew(start(), {"type": "http.response.body", "more_body": True}, *body(PAGE)))
    return (await ask(app)).decoded


@fault(AttributeError, PAGE)
async def fault_10_a_tuple_of_headers_is_an_error(cls: Any) -> Any:
    return (await ask(cls(Spy({**start(), "headers": ()}, *body(PAGE))))).decoded


@fault([GZIP, GZIP, False], [None, None, True])
async def fault_11_what_has_no_body_gets_one(cls: Any) -> Any:
    answers = [await ask(cls(Anew(start(status=status), *body(b"", b"")))) for status in (204, 304)]
    return [*[answer["content-encoding"] for answer in answers], all(answer.body == b"" for answer in answers)]


@fault([GZIP, None], [None, "10"])
async def fault_12_a_small_body_in_pieces_is_encoded(cls: Any) -> Any:
    answer = await ask(cls(Anew(start(("content-length", "10")), *body(b'["a", "b"]', b""))))
    return [answer["content-encoding"], answer["content-length"]]


@fault([0, 0], [1, 0])
async def fault_13_the_start_is_held_for_everybody(cls: Any) -> Any:
    return [await seen_before_the_first_piece(cls, value) for value in (None, GZIP)]


async def seen_before_the_first_piece(cls: Any, accepted: str | None) -> int:
    sent: list[Message] = []
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        seen.append(len(sent))
        for message in body(PAGE, b""):
            await send(message)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"accept-encoding", accepted.encode())] if accepted else []
    await cls(app)(http_scope(headers=headers), None, send)
    return seen[0]


@fault([GZIP, True], [None, False])
async def fault_14_what_grows_is_sent(cls: Any) -> Any:
    answer = await ask(cls(Anew(*response(content=NOISE))))
    return [answer["content-encoding"], len(answer.body) > len(NOISE)]


@fault(["*, Accept-Encoding", "accept-encoding, Accept-Encoding"], ["*", "accept-encoding"])
async def fault_14_vary_is_repeated(cls: Any) -> Any:
    return [(await ask(cls(Anew(*response(("vary", value))))))["vary"] for value in ("*", "accept-encoding")]


STALE = ("accept-ranges", "content-digest", "repr-digest", "content-md5")


@fault([*STALE], [])
async def fault_14_digests_and_ranges_of_another_body_are_kept(cls: Any) -> Any:
    answer = await ask(cls(Anew(*response(*[(name, hashlib.sha256(PAGE).hexdigest()) for name in STALE]))))
    return [name for name, _ in answer.headers if name in STALE]


CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@fault(min(CPUS + 3, 40), CPUS)
async def fault_15_more_threads_than_processors_encode(cls: Any) -> Any:
    inside = 0
    enough, all_of_them, release = anyio.Event(), anyio.Event(), threading.Event()

    def one_more() -> None:
        nonlocal inside
        inside += 1
        if inside == CPUS:
            enough.set()
        if inside == CPUS + 3:
            all_of_them.set()

    class Slow:
        """A compressor that encodes nothing, and that only when it is let."""

        def compress(self, data: bytes) -> bytes:
            anyio.from_thread.run_sync(one_more)
            release.wait(10)
            return b""

        def flush(self, mode: int = zlib.Z_FINISH) -> bytes:
            return b""

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zlib, "compressobj", lambda *arguments: Slow())
        app = cls(Anew(*response()), thread_minimum_size=len(PAGE))
        async with anyio.create_task_group() as tasks:
            for _ in range(CPUS + 3):
                tasks.start_soon(ask, app)
            await enough.wait()
            with anyio.move_on_after(0.2):
                await all_of_them.wait()
            most = inside
            release.set()
    return most


FAULTY = tuple(map(int, starlette.__version__.split(".")[:2])) >= (1, 10)  # where all of them have been seen


@pytest.mark.parametrize(("case", "starlettes", "ours"), FAULTS, ids=[case.__name__ for case, _, _ in FAULTS])
async def test_a_fault_of_starlettes_is_none_of_ours(case: Any, starlettes: Any, ours: Any) -> None:
    assert not FAULTY or await outcome(case, StarlettesMiddleware) == starlettes
    assert await outcome(case, GZipMiddleware) == ours
    if "thread" not in case.__name__:
        assert await outcome(case, lambda app: CompressionMiddleware(app, codecs=["gzip"])) == ours


# Faults of brotli-asgi, zstd-asgi, starlette-compress, Litestar and Django


async def test_what_the_client_likes_best_is_sent() -> None:
    app = CompressionMiddleware(Anew(*response()))
    for value, coding in {"gzip;q=1, br;q=0.1": "gzip", "gzip;q=1, zstd;q=0.1": "gzip", "br, gzip;q=0.9": "br"}.items():
        assert (await ask(app, value))["content-encoding"] == coding


@pytest.mark.parametrize("coding", CODINGS)
async def test_what_is_encoded_already_is_not_encoded_again(coding: str) -> None:
    given = [("content-encoding", coding), ("content-length", str(len(PAGE)))]
    answer = await ask(CompressionMiddleware(Anew(start(*given), *body(PAGE))), ", ".join(CODINGS))
    assert (answer.headers, answer.body) == (given, PAGE)


async def test_a_second_line_of_vary_is_kept() -> None:
    answer = await ask(CompressionMiddleware(Anew(*response(("vary", "Origin"), ("vary", "Cookie")))))
    assert [value for name, value in answer.headers if name == "vary"] == ["Origin", "Cookie, Accept-Encoding"]


async def test_one_body_is_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    app = GZipMiddleware(Anew(*response()))
    first = (await ask(app)).body
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert (await ask(app)).body == first


@pytest.mark.parametrize("coding", CODINGS)
async def test_small_pieces_make_one_member_that_is_smaller_than_they_are(coding: str) -> None:
    lines = [b"data: line %d, and then some\n" % number for number in range(100)]
    answer = await ask(CompressionMiddleware(Anew(start(), *body(*lines))), coding)
    assert answer.decoded == b"".join(lines)
    assert len(answer.body) < len(answer.decoded)


@pytest.mark.parametrize("coding", CODINGS)
async def test_an_early_hint_does_not_end_the_encoding(coding: str) -> None:
    hint = {"type": "http.response.early_hint", "links": [b"</s.css>; rel=preload"]}
    answer = await ask(CompressionMiddleware(Anew(hint, *response())), coding, **offering("early_hint"))
    assert answer.messages[0] == hint
    assert answer["content-encoding"] == coding
    assert answer.decoded == PAGE


async def test_an_application_without_headers_is_served() -> None:
    app = GZipMiddleware(Spy({"type": "http.response.start", "status": 200}, *body(PAGE)))
    assert (await ask(app)).decoded == PAGE
    assert (await ask(app, None)).headers == [("vary", "Accept-Encoding")]
    for headers in (..., None):
        sent = await call(app, http_scope(headers=headers))
        assert sent[1]["body"] == PAGE
