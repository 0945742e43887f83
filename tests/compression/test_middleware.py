"""Responses through both classes: which are encoded, which are not, and with what headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from middleware import CompressionMiddleware, GZipMiddleware
from middleware.lint import LintMiddleware
from tests.asgi import REQUEST, Client, Message, Spy, call, http_scope, lifespan_scope, websocket_scope

from .exchanges import CODINGS, CROSS_SITE, NOISE, PAGE, Answer, ask, body, linted, offering, response, start

BOTH = pytest.mark.parametrize("cls", [GZipMiddleware, CompressionMiddleware])
HTML = ("content-type", "text/html; charset=utf-8")
VARY = ("vary", "Accept-Encoding")
EXCLUDED = ("content-type", "image/png")
SMALL = PAGE[:499]

# What becomes of a response: nothing; Vary is added; it is encoded, as a whole or as a stream
SAME, VARIES, WHOLE, STREAM = "same", "varies", "whole", "stream"


async def becomes(app: Any, given: Sequence[tuple[str, str]], content: bytes, **request: Any) -> str:
    """Which of the four it is; exactly the headers of that, in order, with the right body."""
    asked = dict(request)
    accepted, headers = asked.pop("accepted", "gzip"), asked.pop("headers", ())
    answer = await ask(app, accepted, *headers, **asked)
    assert (answer.body if ("content-encoding", "gzip") not in answer.headers else answer.decoded) == content
    kept = [header for header in given if header[0] != "content-length"]
    encoded = [*kept, VARY, ("content-encoding", "gzip")]
    forms = {
        SAME: [*given],
        VARIES: [*given, VARY],
        WHOLE: [*encoded, ("content-length", str(len(answer.body)))],
        STREAM: encoded,
    }
    (found,) = (form for form, headers in forms.items() if headers == answer.headers)
    return found


TYPES = {
    None: WHOLE,
    "text/html": WHOLE,
    "TEXT/HTML;charset=utf-8": WHOLE,
    "application/json": WHOLE,
    "application/problem+json": WHOLE,
    "image/svg+xml": WHOLE,
    "application/wasm": WHOLE,
    "font/ttf": WHOLE,
    "x": WHOLE,
    "image/png": SAME,
    "IMAGE/PNG": SAME,
    "image/jpeg ; q=1": SAME,
    "video/mp4": SAME,
    "audio/anything": SAME,
    "font/woff2": SAME,
    "application/zip": SAME,
    "application/grpc": SAME,
    "application/grpc+proto": SAME,
    "application/grpc-web": WHOLE,
    "text/event-stream": SAME,
    "text/event-stream; charset=utf-8": SAME,
}


@BOTH
@pytest.mark.parametrize(("content_type", "form"), TYPES.items(), ids=str)
async def test_what_is_compressed_already_is_not_compressed(cls: Any, content_type: str | None, form: str) -> None:
    given = [("content-type", content_type)] if content_type else []
    given.append(("content-length", str(len(PAGE))))
    assert await becomes(linted(cls, start(*given), *body(PAGE)), given, PAGE) == form
    assert await becomes(linted(cls, start(*given), *body(PAGE)), given, PAGE, accepted="identity;q=0, gzip") == WHOLE
    stream = [given[0]] if content_type else []
    expected = STREAM if form == WHOLE else SAME
    assert await becomes(linted(cls, start(*stream), *body(PAGE, PAGE)), stream, PAGE * 2) == expected


@BOTH
async def test_the_excluded_types_are_what_they_are_set_to(cls: Any) -> None:
    for content_type, form in {"text/css": SAME, "application/json": SAME, "image/png": WHOLE}.items():
        given = [("content-type", content_type), ("content-length", str(len(PAGE)))]
        app = linted(cls, *response(given[0]), exclude_content_types=["text/*", "application/json"])
        assert await becomes(app, given, PAGE) == form


# pieces, whether the response has a Content-Length, minimum_size
SIZES = [
    ((b"",), True, 500, SAME),
    ((b"",), False, 500, SAME),
    ((SMALL,), True, 500, SAME),
    ((SMALL,), False, 500, SAME),
    ((PAGE[:500],), True, 500, WHOLE),
    ((PAGE[:500],), False, 500, WHOLE),
    ((PAGE[:500],), True, 501, SAME),
    ((b"",), True, 0, SAME),
    ((PAGE[:3],), True, 0, VARIES),  # gzip would make it larger
    ((NOISE,), True, 500, VARIES),
    ((NOISE,), False, 500, VARIES),
    ((PAGE, b""), True, 500, WHOLE),
    ((NOISE, b""), True, 500, VARIES),
    ((PAGE, b""), False, 500, STREAM),
    ((PAGE[:200], PAGE[:200]), True, 500, SAME),
    ((PAGE[:200], PAGE[:200]), False, 500, STREAM),
    ((b"", PAGE), True, 500, STREAM),
    ((b"", b""), False, 500, STREAM),
    ((b"", b""), True, 500, SAME),
    ((PAGE[:1], PAGE[1:]), True, 500, STREAM),
]


@BOTH
@pytest.mark.parametrize(("pieces", "measured", "minimum_size", "form"), SIZES)
async def test_what_is_small_or_would_grow_is_sent_as_it_is(
    cls: Any, pieces: tuple[bytes, ...], measured: bool, minimum_size: int, form: str
) -> None:
    content = b"".join(pieces)
    given = [HTML, *([("content-length", str(len(content)))] if measured else [])]
    app = linted(cls, start(*given), *body(*pieces), minimum_size=minimum_size)
    assert await becomes(app, given, content) == form
    # Without a length there is nothing to see by which the body is small, and the start does not wait for it.
    known = measured and len(content) < minimum_size
    assert await becomes(app, given, content, accepted=None) == (SAME if known else VARIES)


@BOTH
@pytest.mark.parametrize("accepted", ["gzip, identity;q=0", "gzip, *;q=0"])
async def test_a_client_that_refuses_identity_gets_it_only_where_nothing_else_can_be(cls: Any, accepted: str) -> None:
    for content, headers, form in [
        (b"abc", [], WHOLE),
        (NOISE, [], WHOLE),
        (PAGE, [EXCLUDED], WHOLE),
        (b"", [], SAME),
        (PAGE, [("cache-control", "no-transform")], SAME),
        (PAGE, [("content-range", "bytes 0-9/10")], VARIES),
    ]:
        given = [*headers, ("content-length", str(len(content)))]
        assert await becomes(linted(cls, start(*given), *body(content)), given, content, accepted=accepted) == form
    app = linted(cls, *response())
    answer = await ask(app, "identity;q=0")
    assert (answer.headers, answer.body) == ([("content-length", str(len(PAGE))), VARY], PAGE)


STATUSES = {200: WHOLE, 201: WHOLE, 203: WHOLE, 206: VARIES, 301: WHOLE, 404: WHOLE, 412: WHOLE, 416: WHOLE, 500: WHOLE}


@BOTH
@pytest.mark.parametrize(("status", "form"), STATUSES.items())
async def test_an_answer_of_any_status_and_method_is_encoded_but_for_parts(cls: Any, status: int, form: str) -> None:
    given = [HTML, ("content-length", str(len(PAGE)))]
    app = linted(cls, start(*given, status=status), *body(PAGE))
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        assert await becomes(app, given, PAGE, method=method) == form


@BOTH
@pytest.mark.parametrize("pieces", [(b"",), (b"", b""), (b"", b"", b"")], ids=len)
@pytest.mark.parametrize(("status", "form"), {204: SAME, 205: SAME, 304: VARIES}.items())
async def test_what_has_no_body_stays_without_one(cls: Any, status: int, form: str, pieces: tuple[bytes, ...]) -> None:
    given = [("x-a", "1")]
    app = linted(cls, start(*given, status=status), *body(*pieces))
    for method in ("GET", "HEAD", "POST"):
        for accepted in ("gzip", None, "identity;q=0, gzip"):
            assert await becomes(app, given, b"", method=method, accepted=accepted) == form


@BOTH
@pytest.mark.parametrize("status", [206, 304])
async def test_how_long_a_part_is_says_nothing_about_the_whole(cls: Any, status: int) -> None:
    given = [HTML, ("content-length", "0")]
    assert await becomes(linted(cls, start(*given, status=status), *body(b"")), given, b"") == VARIES


async def test_a_provisional_response_passes_as_it_is() -> None:
    messages = [start(("link", "</s.css>; rel=preload"), status=103)]
    assert await call(GZipMiddleware(Spy(*messages)), http_scope(headers=[(b"accept-encoding", b"gzip")])) == messages


RESPONSES = {
    (("content-encoding", "br"),): SAME,
    (("content-encoding", "identity"),): SAME,
    (("content-encoding", ""),): SAME,
    (("cache-control", "no-transform"),): SAME,
    (("cache-control", "public, No-Transform ,max-age=1"),): SAME,
    (("cache-control", "public"), ("cache-control", "no-transform")): SAME,
    (("cache-control", 'x="no-transform"'),): WHOLE,
    (("cache-control", "no-transformation, max-age=1"),): WHOLE,
    (("cache-control", "no-store"),): WHOLE,
    (("signature-input", "sig1=()"), ("signature", "sig1=:AA==:")): SAME,
    (("content-range", "bytes 0-9/10"),): VARIES,
    (("content-range", "bytes */10"),): VARIES,
    (("set-cookie", "a=b"), ("set-cookie", "c=d")): WHOLE,
}


@BOTH
@pytest.mark.parametrize(("headers", "form"), RESPONSES.items(), ids=str)
async def test_a_response_says_that_it_is_to_stay_as_it_is(cls: Any, headers: Any, form: str) -> None:
    given = [*headers, ("content-length", str(len(PAGE)))]
    assert await becomes(linted(cls, start(*given), *body(PAGE)), given, PAGE) == form
    assert await becomes(linted(cls, start(*given), *body(PAGE)), given, PAGE, accepted=None) == (
        SAME if form == SAME else VARIES
    )


def cross_site(**changes: str | None) -> list[tuple[str, str]]:
    named = {**dict(CROSS_SITE), **{name.replace("_", "-"): value for name, value in changes.items()}}
    return [(name, value) for name, value in named.items() if value is not None]


REQUESTS = [
    ([("cache-control", "no-transform")], VARIES),
    ([("cache-control", "max-age=0, no-transform")], VARIES),
    ([("cache-control", "no-cache")], WHOLE),
    (cross_site(), VARIES),
    (cross_site(cookie=None), WHOLE),
    (cross_site(cookie=None, authorization="Basic YTpi"), VARIES),
    (cross_site(sec_fetch_site="same-origin"), WHOLE),
    (cross_site(sec_fetch_site="same-site"), WHOLE),
    (cross_site(sec_fetch_site="none"), WHOLE),
    (cross_site(sec_fetch_site=None), WHOLE),
    (cross_site(sec_fetch_mode="cors"), WHOLE),
    (cross_site(sec_fetch_mode=None), VARIES),
    (cross_site(sec_fetch_mode="websocket"), VARIES),
    (cross_site(sec_fetch_mode="navigate", sec_fetch_dest="document"), WHOLE),
    (cross_site(sec_fetch_mode="navigate", sec_fetch_dest="iframe"), VARIES),
    (cross_site(sec_fetch_mode="navigate", sec_fetch_dest=None), VARIES),
    (cross_site(sec_fetch_dest="document"), VARIES),
    (cross_site(sec_fetch_dest="script"), VARIES),
]


@BOTH
@pytest.mark.parametrize(("headers", "form"), REQUESTS, ids=str)
async def test_a_request_says_that_the_answer_is_to_stay_as_it_is(cls: Any, headers: Any, form: str) -> None:
    given = [HTML, ("content-length", str(len(PAGE)))]
    assert await becomes(linted(cls, *response(HTML)), given, PAGE, headers=headers) == form
    stream = linted(cls, start(HTML), *body(PAGE, PAGE))
    assert await becomes(stream, [HTML], PAGE * 2, headers=headers) == (STREAM if form == WHOLE else VARIES)


SECRET = "token=5e1c7a90"


async def reflecting(scope: Any, receive: Any, send: Any) -> None:
    """A page with a secret of the user, and with what it is asked."""
    page = b"<form><input value='%s'></form>" % SECRET.encode() + b"<p>" + scope["query_string"] + b"</p>" + PAGE
    for message in response(HTML, content=page):
        await send(message)


@pytest.mark.parametrize("coding", CODINGS)
async def test_the_length_tells_a_secret_to_the_own_site_only(coding: str) -> None:
    app = CompressionMiddleware(reflecting)
    guesses = [SECRET, *(f"token={number * 0x1F3D5B79 % 2**32:08x}" for number in range(1, 12))]

    async def lengths(*headers: tuple[str, str]) -> list[int]:
        return [len((await ask(app, coding, *headers, query_string=guess.encode())).body) for guess in guesses]

    told = await lengths(*cross_site(sec_fetch_site="same-site"))
    assert told[0] < min(told[1:])
    assert len({*await lengths(*CROSS_SITE)}) == 1


# should_compress


@BOTH
async def test_a_function_is_asked_with_scope_status_and_headers(cls: Any) -> None:
    asked: list[Any] = []

    def decide(*arguments: Any) -> bool:
        asked.append(arguments)
        return scope["path"] != "/plain"

    messages = response(HTML, status=404)
    for path, accepted, form in [("/", "gzip", WHOLE), ("/", None, VARIES), ("/plain", "gzip", SAME)]:
        app = cls(Spy(*messages), should_compress=decide)
        headers = [(b"accept-encoding", accepted.encode())] if accepted else []
        scope = http_scope(path, headers=headers)
        answer = Answer(await call(app, scope))
        assert (answer["content-encoding"] is None, answer["vary"] is None) == (form != WHOLE, form == SAME)
        ((given, status, pairs),) = asked
        assert given is scope
        assert (status, pairs) == (404, messages[0]["headers"])
        asked.clear()


@BOTH
async def test_a_function_is_not_asked_about_what_would_not_be_encoded_anyway(cls: Any) -> None:
    def decide(scope: Any, status: int, headers: Any) -> bool:
        raise AssertionError("asked")

    for messages in [
        response(EXCLUDED),
        response(content=SMALL),
        response(("content-encoding", "gzip")),
        response(("cache-control", "no-transform")),
        response(("signature-input", "sig1=()")),
        *[[start(status=status), *body(b"")] for status in (204, 205, 304)],
    ]:
        await ask(linted(cls, *messages, should_compress=decide))


async def test_a_function_sees_what_the_application_put_into_a_copy_of_the_scope() -> None:
    seen = []

    def decide(scope: Any, status: int, headers: Any) -> bool:
        seen.append(scope["route"])
        return True

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = "/{page}"
        await Spy(*response())(scope, receive, send)

    app = GZipMiddleware(routed, etag="suffix", should_compress=decide)
    await ask(app, "gzip", ("if-none-match", '"a;gzip"'))
    assert seen == ["/{page}"]


@BOTH
async def test_an_error_of_the_function_comes_out_as_it_is(cls: Any) -> None:
    failure, client = LookupError("database"), Client(REQUEST)

    def decide(scope: Any, status: int, headers: Any) -> bool:
        raise failure

    with pytest.raises(LookupError) as caught:
        await cls(Spy(*response()), should_compress=decide)(http_scope(), client.receive, client.send)
    assert caught.value is failure
    assert caught.value.__cause__ is None
    assert client.sent == []


# HEAD


MEASURED = ("content-length", str(len(PAGE)))
EVENTS = ("content-type", "text/event-stream")
# What GET is answered, and the pieces of the answer to HEAD
HEADS: dict[str, tuple[list[Message], tuple[bytes, ...]]] = {
    "without a body": (response(HTML, ("etag", '"a"')), (b"",)),
    "with a body": (response(HTML), (PAGE,)),
    "with a body that would grow": (response(HTML, content=NOISE), (NOISE,)),
    "of a stream": ([start(HTML), *body(PAGE, PAGE)], (b"", b"")),
    "of a stream with its body": ([start(HTML), *body(PAGE, PAGE)], (PAGE, PAGE)),
    "of a measured stream": ([start(HTML, MEASURED), *body(PAGE[:9], PAGE[9:])], (b"",)),
    "of a measured stream with its body": ([start(HTML, MEASURED), *body(PAGE[:9], PAGE[9:])], (PAGE[:9], PAGE[9:])),
    "of something small": (response(HTML, content=SMALL), (b"",)),
    "of something excluded": (response(EXCLUDED), (b"",)),
    "of a part": (response(HTML, status=206), (b"",)),
    "of events": ([start(EVENTS), *body(PAGE, b"")], (b"",)),
    "of what is to stay as it is": (response(("content-encoding", "identity")), (b"",)),
}


@BOTH
@pytest.mark.parametrize("case", HEADS)
async def test_head_has_the_headers_of_get(cls: Any, case: str) -> None:
    (first, *rest), pieces = HEADS[case]
    apps = [cls(Spy(first, *messages), stream_content_types=[EVENTS[1]]) for messages in (rest, body(*pieces))]
    for accepted in ("gzip", None, "identity;q=0, gzip"):
        get, head = await ask(apps[0], accepted), await ask(apps[1], accepted, method="HEAD")
        if get["content-length"] is None or not pieces[0]:
            assert head.pieces == [*pieces]  # nobody reads it
        unknown = get["content-encoding"] == "gzip" and not pieces[0]  # how long the encoded body would be
        assert head.headers == [header for header in get.headers if not (unknown and header[0] == "content-length")]


@BOTH
@pytest.mark.parametrize("extension", ["pathsend", "zerocopysend"])
async def test_head_of_what_may_be_a_file_says_no_coding(cls: Any, extension: str) -> None:
    for headers in ([HTML, MEASURED], [HTML]):
        app = linted(cls, start(*headers), *body(b""))
        answer = await ask(app, method="HEAD", **offering(extension))
        assert answer.headers == [*headers, VARY]


@BOTH
async def test_head_of_a_stream_says_no_coding_where_streams_are_not_encoded(cls: Any) -> None:
    app = linted(cls, start(HTML), *body(b"", b""))
    for method in ("GET", "HEAD"):
        assert (await ask(app, method=method, **offering("zerocopysend"))).headers == [HTML, VARY]


# Messages of extensions


HINT: Message = {"type": "http.response.early_hint", "links": [b"</s.css>; rel=preload"]}
PUSH: Message = {"type": "http.response.push", "path": "/s.css", "headers": []}
DEBUG: Message = {"type": "http.response.debug", "info": {}}
ODD: Message = {"type": "http.response.sparkle", "body": PAGE, "headers": [(b"vary", b"x")]}


@BOTH
@pytest.mark.parametrize("accepted", ["gzip", None])
@pytest.mark.parametrize("pieces", [(PAGE,), (PAGE, PAGE), (SMALL,)], ids=["whole", "stream", "small"])
async def test_messages_of_extensions_pass_in_their_order(cls: Any, accepted: str, pieces: tuple[bytes, ...]) -> None:
    offered = offering("early_hint", "push", "debug", "sparkle")
    first, *rest = [start(HTML), *body(*pieces)]
    coding = accepted if pieces != (SMALL,) else None
    for messages in (
        [HINT, DEBUG, PUSH, ODD, first, *rest],
        [HINT, first, PUSH, HINT, ODD, *rest],
        [first, rest[0], *([PUSH, HINT, ODD, *rest[1:]] if len(rest) > 1 else [ODD])],
    ):
        answer = await ask(linted(cls, *messages), accepted, **offered)
        assert [message["type"] for message in answer.messages] == [message["type"] for message in messages]
        for sent, given in zip(answer.messages, messages, strict=True):
            assert sent is given or given in (first, *rest)
        assert answer.decoded == b"".join(pieces)
        assert messages[1] is PUSH or answer["content-encoding"] in (coding, None)
    assert answer["content-encoding"] == coding


@BOTH
@pytest.mark.parametrize("pieces", [(PAGE,), (PAGE[:9], PAGE[9:])], ids=["whole", "stream"])
async def test_a_body_with_trailers_has_no_length_and_the_trailers_no_digest(cls: Any, pieces: Any) -> None:
    digests = [(name, b"sha-256=:AA==:") for name in (b"content-digest", b"Repr-Digest".lower(), b"digest")]
    trailers: Message = {"type": "http.response.trailers", "headers": [*digests, (b"x-took", b"3")]}
    app = linted(cls, start(HTML, MEASURED, trailers=True), *body(*pieces), trailers)
    answer = await ask(app, **offering("trailers"))
    assert answer.headers == [HTML, VARY, ("content-encoding", "gzip")]
    assert answer.start["trailers"] is True
    assert answer.decoded == PAGE
    assert answer.messages[-1] == {"type": "http.response.trailers", "headers": [(b"x-took", b"3")]}
    for accepted, plain in ((None, PAGE), ("gzip", NOISE)):
        app = linted(cls, start(HTML, trailers=True), *body(plain), trailers)
        assert (await ask(app, accepted, **offering("trailers"))).messages[-1] == trailers


FILE: Message = {"type": "http.response.zerocopysend", "file": 3, "more_body": True}
PATH: Message = {"type": "http.response.pathsend", "path": "/srv/page.html"}
LONG = ("content-length", "99999")
FILES = {
    "a path": [PATH],
    "a file": [{**FILE, "more_body": False}],
    "files": [FILE, {**FILE, "offset": 9, "count": 9}, *body(b"")],
    "a file, then a body": [FILE, *body(PAGE)],
    "a body, then a file": [*body(PAGE, b"")[:1], FILE, *body(PAGE)],
}


@BOTH
@pytest.mark.parametrize(("measured", "listed"), [((), ()), ((LONG,), ()), ((LONG,), ("text/html",))])
@pytest.mark.parametrize("case", FILES)
async def test_files_that_the_server_sends_are_not_labelled(cls: Any, case: str, measured: Any, listed: Any) -> None:
    headers = [HTML, ("etag", '"a"'), ("accept-ranges", "bytes"), *measured]
    app = cls(Spy(start(*headers), *FILES[case]), stream_content_types=listed)
    offered = ("pathsend",) if case == "a path" else ("pathsend", "zerocopysend")
    answer = await ask(app, **offering(*offered))
    assert answer.headers == [*headers, VARY]
    assert answer.messages[1:] == FILES[case]


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "page.html").write_bytes(PAGE * 40)
    return str(tmp_path / "page.html")


@BOTH
async def test_a_file_in_the_place_of_listed_events_is_encoded_as_its_start_says(cls: Any, file: str) -> None:
    app = cls(Spy(start(HTML), {**PATH, "path": file}), stream_content_types=["text/html"])
    answer = await ask(app, **offering("pathsend"))
    assert answer["content-encoding"] == "gzip"
    assert answer.decoded == PAGE * 40
    assert len(answer.body) < len(PAGE) * 20


# Isolation


@BOTH
@pytest.mark.parametrize("kind", [list, tuple, iter], ids=["list", "tuple", "iterator"])
async def test_a_message_sent_again_to_who_accepts_nothing_is_plain_and_unchanged(cls: Any, kind: Any) -> None:
    for messages in (response(HTML, ("etag", '"a"')), [start(HTML, ("etag", '"a"')), *body(PAGE, PAGE)]):
        shown = [{**message, "headers": [*message.get("headers", ())]} for message in messages]
        app = cls(Spy(*messages))
        given = messages[0]["headers"]
        for accepted in ("gzip", None, "gzip", None, "identity"):
            messages[0]["headers"] = kind(given)
            answer = await ask(app, accepted)
            assert answer["content-encoding"] == (accepted if accepted == "gzip" else None)
            if accepted != "gzip":
                assert answer.headers == [(n.decode(), v.decode()) for n, v in [*given, (b"vary", b"Accept-Encoding")]]
                assert answer.body == b"".join(message.get("body", b"") for message in messages)
            assert answer.decoded == b"".join(message.get("body", b"") for message in messages)
        messages[0]["headers"] = given
        assert [{**message, "headers": [*message.get("headers", ())]} for message in messages] == shown


@BOTH
async def test_two_requests_at_once_do_not_meet(cls: Any) -> None:
    contents = {b"/%d" % number: [b"%d " % number * 300] * 3 for number in range(6)}

    async def paged(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for message in body(*contents[scope["raw_path"]]):
            await anyio.lowlevel.checkpoint()
            await send(message)

    app = LintMiddleware(cls(paged), strict=True)
    answers = {}

    async def get(path: bytes, accepted: str | None) -> None:
        answers[path] = await ask(app, accepted, raw_path=path, path=path.decode())

    async with anyio.create_task_group() as tasks:
        for number, path in enumerate(contents):
            tasks.start_soon(get, path, "gzip" if number % 3 else None)
    assert {path: answer.decoded for path, answer in answers.items()} == {
        path: b"".join(pieces) for path, pieces in contents.items()
    }


@BOTH
@pytest.mark.parametrize("copied", [False, True])
async def test_the_scope_is_not_changed_and_new_keys_are_handed_back(cls: Any, copied: bool) -> None:
    seen = []

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        scope["route"] = "/{page}"
        await Spy(*response())(scope, receive, send)

    headers = [(b"accept-encoding", b"gzip"), *([(b"if-none-match", b'"a;gzip", "b"')] if copied else [])]
    scope = http_scope(headers=headers)
    before = {**scope, "headers": [*headers]}
    await call(cls(routed, etag="suffix"), scope)
    assert scope == {**before, "route": "/{page}"}
    assert (seen[0] is scope) != copied
    if copied:
        assert seen[0]["headers"] == [(b"accept-encoding", b"gzip"), (b"if-none-match", b'"a", "b"')]


@BOTH
@pytest.mark.parametrize(
    "scope", [lifespan_scope(), websocket_scope(headers=[(b"accept-encoding", b"gzip")]), {"type": "mqtt"}]
)
async def test_other_connections_pass_as_they_are(cls: Any, scope: Any) -> None:
    spy, client = Spy({"type": "x"}, returns="what it returned"), Client()
    assert await cls(spy)(scope, client.receive, client.send) == "what it returned"
    ((given, receive, send),) = spy.calls
    assert given is scope
    assert (receive, send) == (client.receive, client.send)
