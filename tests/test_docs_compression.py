"""The page about compression: each exchange on the wire and each row of its tables is tried."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import anyio
import brotli
import pytest
from backports import zstd
from django.conf import settings
from django.http import HttpRequest
from django.middleware.csrf import get_token

from middleware import CompressionMiddleware, GZipMiddleware
from middleware.compression import DEFAULT_EXCLUDED_CONTENT_TYPES
from middleware.compression.codecs import KINDS
from tests.asgi import call, http_scope
from tests.pages import TEXTS, blocks, quoted, quotes, rows

PAGE = "docs/compression.md"
ITEMS = [{"id": n, "name": f"item {n}", "price": n * 7 % 100, "tags": ["new", "sale"][: n % 3]} for n in range(200)]
BODY = json.dumps(ITEMS).encode()
TAG = b'"a"'
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": zstd.decompress,
}


async def origin(scope: Any, receive: Any, send: Any) -> None:
    """One document with an entity tag, from an application that knows conditions and ranges."""
    asked = dict(scope["headers"])
    document = [(b"content-type", b"application/json"), (b"etag", TAG), (b"accept-ranges", b"bytes")]
    status, headers, body = 200, document, BODY
    if TAG in asked.get(b"if-none-match", b""):  # the weak comparison
        status, headers, body = 304, [(b"etag", TAG)], b""
    elif scope["method"] == "PUT":
        status, headers, body = (204 if asked.get(b"if-match") == TAG else 412), [], b""
    elif b"range" in asked and asked.get(b"if-range", TAG) == TAG:
        first = int(asked[b"range"].decode().removeprefix("bytes=").removesuffix("-"))
        status, body = 206, BODY[first:]
        headers = [*document, (b"content-range", b"bytes %d-%d/%d" % (first, len(BODY) - 1, len(BODY)))]
    if status not in (204, 304):
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def answering(*pieces: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """An application with this response, in one piece or several."""
    raw = [(name.encode(), value.encode()) for name, value in ({"content-type": "text/html"} | (headers or {})).items()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": raw})
        for number, piece in enumerate(pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    return app


async def response(
    app: Any, *lines: str, method: str = "GET", extensions: Any = None
) -> tuple[int, dict[str, str], bytes]:
    pairs = [line.split(": ", 1) for line in lines]
    headers = [(name.lower().encode(), value.encode()) for name, value in pairs]
    scope = http_scope("/items", method=method, headers=headers, extensions=extensions or {})
    start, *bodies = await call(app, scope)
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(message.get("body", b"") for message in bodies)


# On the wire


def exchanges() -> list[Any]:
    """Each exchange on the page, with the code that stands above it."""
    found, code = [], "application = application"
    for language, block in re.findall(r"^```(python|text)\n(.*?)^```$", TEXTS[PAGE], re.MULTILINE | re.DOTALL):
        if language == "python":
            code = block
        elif re.match(r"(GET|PUT) ", block):
            found.append(pytest.param(code, block, id=block.partition(" HTTP")[0]))
    return found


@pytest.mark.parametrize(("code", "block"), exchanges())
async def test_the_request_on_the_wire_gets_the_response_on_the_wire(code: str, block: str) -> None:
    names: dict[str, Any] = {"application": origin, "CompressionMiddleware": CompressionMiddleware}
    exec(code, names)
    request, described = block.strip().split("\n\n")
    line, *lines = request.splitlines()
    status, headers, body = await response(names["application"], *lines, method=line.partition(" ")[0])
    first, *expected = described.splitlines()
    assert first == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    length = dict(line.split(": ", 1) for line in expected).get("content-length")
    if "content-encoding" in headers:  # the bytes are those of the installed library
        assert length is not None
        assert 0.9 < int(length) / int(headers["content-length"]) < 1.1
        headers["content-length"] = length
        assert DECODE[headers["content-encoding"]](body) == BODY
    assert sorted(expected) == sorted(f"{name}: {value}" for name, value in headers.items())


async def test_what_the_application_sends_stands_above_what_becomes_of_it() -> None:
    (block,) = (block for block in blocks(PAGE, "text") if block.startswith("HTTP/1.1 "))
    status, headers, _ = await response(origin)
    assert status == 200
    assert sorted(block.splitlines()[1:]) == sorted(f"{name}: {value}" for name, value in headers.items())


def test_the_wire_has_all_kinds_of_exchanges() -> None:
    assert len(exchanges()) == 8


# What is encoded


@pytest.mark.parametrize(("accepted", "negotiated", "gzipped", "_why"), rows(PAGE, "Which coding"))
async def test_the_client_gets_the_coding_of_its_row(accepted: str, negotiated: str, gzipped: str, _why: str) -> None:
    lines = [f"Accept-Encoding: {value}" for value in quoted(accepted)]
    for make, cell in ((CompressionMiddleware, negotiated), (GZipMiddleware, gzipped)):
        _, headers, body = await response(make(answering(BODY)), *lines)
        coding = headers.get("content-encoding")
        assert cell == (f"`{coding}`" if coding else "as it is")
        assert headers["vary"] == "Accept-Encoding"
        assert (DECODE[coding](body) if coding else body) == BODY


GZIP = "Accept-Encoding: gzip"
OTHER_SITE = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Cookie: sessionid=1")
RANDOM = random.Random(1).randbytes(3000)


async def pathsend(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"content-length", b"12553")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.pathsend", "path": "items.json"})
    await send({"type": "http.response.body"})  # for the client of the tests, which knows no other end


CASES: dict[str, list[Any]] = {
    "a body of 500 bytes or more": [answering(b"a" * 500), GZIP],
    "several pieces": [answering(b"a" * 9, b"b" * 9, b""), GZIP],
    "the client accepts no coding on offer": [answering(BODY), "Accept-Encoding: deflate"],
    "a body below `minimum_size`": [answering(b"a" * 499), GZIP],
    "`Content-Length` below `minimum_size`, whatever follows": [
        answering(b"a", b"a", headers={"content-length": "2"}),
        GZIP,
    ],
    "an excluded content type": [answering(BODY, headers={"content-type": "image/png"}), GZIP],
    "small or excluded, but identity is refused": [
        answering(b"a", headers={"content-type": "image/png"}),
        f"{GZIP}, identity;q=0",
    ],
    "a whole body that would not get smaller": [answering(RANDOM), GZIP],
    "it has a `Content-Encoding`, also `identity`": [answering(BODY, headers={"content-encoding": "identity"}), GZIP],
    "`Cache-Control: no-transform` of the response": [
        answering(BODY, headers={"cache-control": "public, no-transform"}),
        GZIP,
    ],
    "`Cache-Control: no-transform` of the request": [answering(BODY), GZIP, "Cache-Control: no-transform"],
    "`Signature-Input`": [answering(BODY, headers={"signature-input": "sig1=()"}), GZIP],
    "`should_compress` returns `False`": [answering(BODY), GZIP],
    "206, or `Content-Range`": [answering(BODY, headers={"content-range": "bytes 0-12552/12553"}), GZIP],
    "204 or 205": [answering(b"", b"", status=205), GZIP],
    "304": [answering(b"", status=304), GZIP],
    "HEAD, where the GET would be encoded": [answering(b"", headers={"content-length": "12553"}), GZIP],
    "a file that the server sends itself": [pathsend, GZIP],
    "a page of another site asks, with cookies": [answering(BODY), GZIP, *OTHER_SITE],
}


@pytest.mark.parametrize(("what", "sent", "varies", "_why"), rows(PAGE, "What is encoded"))
async def test_the_response_is_sent_as_its_row_says(what: str, sent: str, varies: str, _why: str) -> None:
    app, *lines = CASES[what]
    options = {"should_compress": lambda *_: False} if "should_compress" in what else {}
    method = "HEAD" if "HEAD" in what else "GET"
    extensions = {"http.response.pathsend": {}} if app is pathsend else {}
    for listed in ([], ["text/event-stream"]):
        layer = GZipMiddleware(app, exclude_content_types=["image/png"], stream_content_types=listed, **options)
        _, headers, _ = await response(layer, *lines, method=method, extensions=extensions)
        assert (headers.get("content-encoding") == "gzip") is (sent == "encoded")
        assert ("vary" in headers) is (varies == "yes")
        assert method == "GET" or "content-length" not in headers


def test_each_row_is_tried() -> None:
    assert [row[0] for row in rows(PAGE, "What is encoded")] == [*CASES]


def test_the_excluded_content_types_are_these() -> None:
    described = [name for _, cell in rows(PAGE, "Content types") for name in quoted(cell)]
    assert sorted(described) == [*DEFAULT_EXCLUDED_CONTENT_TYPES]


async def test_what_the_names_of_content_types_stand_for() -> None:
    for name, coding in (("application/grpc+proto", None), ("image/svg+xml", "gzip"), ("", "gzip"), ("a/b", "gzip")):
        _, headers, _ = await response(GZipMiddleware(answering(BODY, headers={"content-type": name})), GZIP)
        assert headers.get("content-encoding") == coding


async def test_digests_are_left_out_and_nothing_else_is() -> None:
    (digests,) = (quoted(name) for name, *_ in rows(PAGE, "What it does") if "Digest" in name)
    others = {"vary": "Cookie, *", "x-name": "one", "content-type": "text/html"}
    app = answering(BODY, headers=others | {name.lower(): "x" for name in digests})
    _, headers, _ = await response(GZipMiddleware(app), GZIP)
    assert len(digests) == 4
    assert headers.keys() == others.keys() | {"content-encoding", "content-length"}
    assert others.items() <= headers.items()


def test_the_levels_are_those_of_the_codecs() -> None:
    described = {
        quoted(coding)[0]: (
            levels,
            int(default),
            {int(level): int(size) for level, size in re.findall(r"(\d+): (\d+)", offload)},
        )
        for coding, levels, default, offload in rows(PAGE, "Levels")
    }
    assert described == {
        name: (f"{kind.levels[0]} to {kind.levels[-1]}", kind.level, {up: n // 1024 for up, n in kind.offload.items()})
        for name, kind in KINDS.items()
    }


# Streams


async def test_a_listed_stream_starts_at_once_and_others_with_their_first_piece() -> None:
    sent: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        started.append(len(sent))
        for piece in (b"data: 1\n\n", b"", b"data: 2\n\n"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    for options, at_once in (
        ({"stream_content_types": ["text/event-stream"]}, 1),
        ({"exclude_content_types": []}, 0),
        ({}, 1),
    ):
        started: list[int] = []
        sent.clear()
        layer = CompressionMiddleware(app, codecs=["br", "gzip"], **options)  # type: ignore[arg-type]
        await layer(http_scope(headers=[(b"accept-encoding", b"br, gzip")]), anyio.sleep_forever, send)
        assert started == [at_once]
        assert [bool(piece) for piece in sent] == [False, True, False, True, bool(options)]


async def test_for_events_gzip_is_taken_among_those_that_are_liked_equally() -> None:
    app = answering(b"data: 1\n\n", b"", headers={"content-type": "text/event-stream"})
    layer = CompressionMiddleware(app, codecs=["br", "zstd", "gzip"], stream_content_types=["text/event-stream"])
    for accepted, coding in (("gzip, br, zstd", "gzip"), ("gzip;q=0.5, br, zstd", "zstd"), ("br", "br")):
        _, headers, _ = await response(layer, f"Accept-Encoding: {accepted}")
        assert headers["content-encoding"] == coding


def test_gzip_makes_little_of_small_events_and_large_pieces_cost_less() -> None:
    prices = random.Random(1)
    events = [b"data: %s\n\n" % json.dumps(item | {"price": prices.random()}).encode() for item in ITEMS]
    codecs = {name: kind.at(kind.level) for name, kind in KINDS.items()}
    sizes = {
        name: sum(map(len, map(codec.events(), events, itertools.repeat(False)))) for name, codec in codecs.items()
    }
    assert sizes["gzip"] < sizes["zstd"]
    assert sizes["gzip"] < sizes["br"] * 1.1
    for codec in codecs.values():
        small, large = codec.stream(), codec.stream()
        in_tens = sum(len(large(b"".join(events[n : n + 10]), False)) for n in range(0, len(events), 10))
        assert in_tens < sum(len(small(event, False)) for event in events)


# Files, tags, functions, threads


async def test_a_date_in_if_range_starts_again_only_if_the_client_accepts_a_coding() -> None:
    lines = "Range: bytes=1000-", "If-Range: Fri, 20 Nov 2026 12:00:00 GMT"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(b"", status=206 if any(name == b"range" for name, _ in scope["headers"]) else 200)(
            scope, receive, send
        )

    for coding, status in (("gzip", 200), ("identity", 206)):
        assert (await response(GZipMiddleware(app), f"Accept-Encoding: {coding}", *lines))[0] == status


async def test_streams_stay_as_they_are_where_pieces_of_files_may_follow() -> None:
    for extensions, coding in (({"http.response.zerocopysend": {}}, None), ({}, "gzip")):
        _, headers, _ = await response(GZipMiddleware(answering(b"a", b"b")), GZIP, extensions=extensions)
        assert headers.get("content-encoding") == coding


@pytest.mark.parametrize("way", ["weak", "suffix"])
async def test_the_table_of_entity_tags_is_right(way: str) -> None:
    described = {first: cells[way == "suffix"] for first, *cells in rows(PAGE, "Entity tags")}
    layer = CompressionMiddleware(origin, etag=way)
    _, headers, _ = await response(layer, GZIP)
    tag = headers["etag"]
    same, other = [
        (await response(layer, f"Accept-Encoding: {coding}", f"If-None-Match: {tag}"))[0] for coding in ("gzip", "br")
    ]
    assert [same, other] == ([304, 304] if way == "weak" else [304, 200])
    assert described["`If-None-Match`"].startswith("304")
    (put, *_), (part, *_) = (
        await response(layer, f"If-Match: {tag}", method="PUT"),
        await response(layer, GZIP, "Range: bytes=1000-", f"If-Range: {tag}"),
    )
    assert put == (412 if described["`If-Match` with the tag of an encoded response"] == "412" else 204)
    assert str(part) == described["`If-Range` with the tag of an encoded response"]
    for own, found in (('W/"b"', 'W/"b"'), ("b", None)):  # weak, malformed
        _, headers, _ = await response(CompressionMiddleware(answering(BODY, headers={"etag": own}), etag=way), GZIP)
        assert headers.get("etag") == found


async def test_the_function_is_asked_about_what_no_other_rule_leaves_out() -> None:
    asked = []

    def should_compress(scope: Any, status: int, headers: Any) -> bool:
        asked.append((scope["path"], status, dict(headers)[b"content-type"]))
        return True

    for app, line, times in (
        (answering(BODY, status=404), GZIP, 1),
        (answering(BODY), "Accept-Encoding: identity", 1),
        (answering(BODY, headers={"content-encoding": "gzip"}), GZIP, 0),
        (answering(b"", status=304), GZIP, 0),
    ):
        await response(GZipMiddleware(app, should_compress=should_compress), line)
        assert len(asked) == times
        asked.clear()

    def raising(scope: Any, status: int, headers: Any) -> bool:
        raise RuntimeError("of the function")

    with pytest.raises(RuntimeError, match="of the function"):
        await response(GZipMiddleware(answering(BODY), should_compress=raising), GZIP)


async def test_the_function_of_the_page_leaves_downloads_as_they_are() -> None:
    (code,) = (code for code in blocks(PAGE, "python") if "def should_compress" in code)
    names: dict[str, Any] = {"application": answering(BODY), "CompressionMiddleware": CompressionMiddleware}
    exec(code, names)
    for path, coding in (("/downloads/a.csv", None), ("/items", b"gzip")):
        start, _ = await call(names["application"], http_scope(path, headers=[(b"accept-encoding", b"gzip")]))
        assert dict(start["headers"]).get(b"content-encoding") == coding


async def test_what_is_sent_while_a_body_is_in_a_thread_raises_what_is_quoted() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with anyio.move_on_after(0):
            await send({"type": "http.response.body", "body": BODY})
        await send({"type": "http.response.body"})

    with pytest.raises(RuntimeError) as caught:
        await response(GZipMiddleware(app, thread_minimum_size=0), GZIP)
    for page in (PAGE, "docs/troubleshooting.md"):
        assert quotes(page, f"RuntimeError: {caught.value}")
    assert "### send() was called while another send() compressed a body\n" in TEXTS["docs/troubleshooting.md"]


# Secrets


@pytest.mark.parametrize(("site", "mode", "dest", "has", "sent"), rows(PAGE, "Secrets"))
async def test_the_page_of_another_site_gets_what_its_row_says(
    site: str, mode: str, dest: str, has: str, sent: str
) -> None:
    lines = [
        f"Sec-Fetch-{name}: {quoted(cell)[0]}"
        for name, cell in (("Site", site), ("Mode", mode), ("Dest", dest))
        if quoted(cell)
    ]
    lines += [f"{name}: secret" for name in quoted(has)]
    _, headers, _ = await response(GZipMiddleware(answering(BODY)), GZIP, *lines)
    assert ("content-encoding" in headers) is sent.startswith("encoded")
    assert headers["vary"] == "Accept-Encoding"


def test_what_is_said_of_django() -> None:
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    assert settings.SESSION_COOKIE_SAMESITE == settings.CSRF_COOKIE_SAMESITE == "Lax"
    request = HttpRequest()
    assert get_token(request) != get_token(request)
