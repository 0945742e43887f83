"""Conditions and what a client has: whatever it got in which coding, it never holds other bytes than it would get."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from middleware import CompressionMiddleware, GZipMiddleware
from middleware.lint import LintMiddleware
from tests.asgi import Message

from .exchanges import CODINGS, CROSS_SITE, PAGE, Answer, Decoder, ask, body, start

BOTH = pytest.mark.parametrize("cls", [GZipMiddleware, CompressionMiddleware])


class Document:
    """A resource with a strong tag and a date that keeps every clause of RFC 9110 §13 and §14."""

    def __init__(self) -> None:
        self.version = 1

    @property
    def tag(self) -> str:
        return f'"v{self.version}"'

    @property
    def date(self) -> str:
        return f"Fri, 20 Nov 2026 {self.version // 60 % 24:02}:{self.version % 60:02}:00 GMT"

    @property
    def content(self) -> bytes:
        return b"version %d\n" % self.version * 20 + PAGE

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self.answer(
            scope["method"], {name.decode(): value.decode() for name, value in scope["headers"]}
        ):
            await send(message)

    def answer(self, method: str, asked: dict[str, str]) -> list[Message]:
        if method == "PUT":
            if "if-match" in asked and self.tag not in asked["if-match"].split(", "):  # strong comparison
                return [start(status=412), *body(b"")]
            self.version += 1
            return [start(("etag", self.tag), status=204), *body(b"")]
        headers = [("etag", self.tag), ("last-modified", self.date), ("accept-ranges", "bytes")]
        listed = asked.get("if-none-match", "").split(", ")
        if self.tag in [tag.removeprefix("W/") for tag in listed]:  # weak comparison
            return [start(*headers, status=304), *body(b"")]
        content, status = self.content, 200
        if "range" in asked and asked.get("if-range", self.tag) in (self.tag, self.date):
            offset = int(asked["range"].removeprefix("bytes=").removesuffix("-"))
            headers.append(("content-range", f"bytes {offset}-{len(content) - 1}/{len(content)}"))
            content, status = content[offset:], 206
        headers += [("content-type", "text/plain"), ("content-length", str(len(content)))]
        return [start(*headers, status=status), *body(b"" if method == "HEAD" else content)]


def behind(cls: Any, **keywords: Any) -> tuple[Document, Any]:
    document = Document()
    return document, LintMiddleware(cls(LintMiddleware(document, strict=True), **keywords), strict=True)


# The round trips of a cache


@BOTH
@pytest.mark.parametrize(("etag", "tag"), [("weak", 'W/"v1"'), ("suffix", '"v1;gzip"')])
async def test_what_the_client_has_is_not_sent_again(cls: Any, etag: str, tag: str) -> None:
    _, app = behind(cls, etag=etag)
    got = await ask(app)
    assert (got.status, got["etag"], got["accept-ranges"]) == (200, tag, None)
    again = await ask(app, "gzip", ("if-none-match", f'"other", {tag}'))
    assert (again.status, again["etag"], again["vary"], again.body) == (304, tag, "Accept-Encoding", b"")
    assert {name for name, _ in again.headers} == {"etag", "last-modified", "accept-ranges", "vary"}


@BOTH
@pytest.mark.parametrize("etag", ["weak", "suffix"])
async def test_what_the_client_has_in_plain_keeps_its_strong_tag(cls: Any, etag: str) -> None:
    _, app = behind(cls, etag=etag)
    got = await ask(app, None)
    assert (got["etag"], got["accept-ranges"], got["vary"]) == ('"v1"', "bytes", "Accept-Encoding")
    for accepted in (None, "gzip"):
        again = await ask(app, accepted, ("if-none-match", '"v1"'))
        assert (again.status, again["etag"]) == (304, '"v1"')


@BOTH
@pytest.mark.parametrize("etag", ["weak", "suffix"])
async def test_a_new_version_is_sent(cls: Any, etag: str) -> None:
    document, app = behind(cls, etag=etag)
    tag = (await ask(app))["etag"] or ""
    document.version += 1
    answer = await ask(app, "gzip", ("if-none-match", tag))
    assert (answer.status, answer["content-encoding"], answer.decoded) == (200, "gzip", document.content)


async def test_under_a_suffix_another_coding_is_another_response() -> None:
    document, app = behind(CompressionMiddleware, etag="suffix")
    for had in CODINGS:
        for accepted in CODINGS:
            answer = await ask(app, accepted, ("if-none-match", f'"v1;{had}"'))
            assert answer.status == (304 if had == accepted else 200)
            assert answer["etag"] == f'"v1;{accepted}"'
        answer = await ask(app, None, ("if-none-match", f'"v1;{had}"'))
        assert (answer.status, answer["etag"], answer.body) == (200, '"v1"', document.content)
        answer = await ask(app, had, ("if-none-match", f'W/"v1;{had}"'))
        assert (answer.status, answer["etag"]) == (304, f'"v1;{had}"')


async def test_who_has_several_codings_is_told_the_one_that_it_would_get() -> None:
    _, app = behind(CompressionMiddleware, etag="suffix")
    tags = ("if-none-match", '"v1", "v1;gzip", "v1;br"')
    for accepted, tag in {"gzip": '"v1;gzip"', "br": '"v1;br"'}.items():
        answer = await ask(app, accepted, tags)
        assert (answer.status, answer["etag"]) == (304, tag)
    answer = await ask(app, None, tags)
    assert (answer.status, answer["etag"]) == (304, '"v1"')


@BOTH
async def test_who_has_it_in_plain_and_encoded_is_told_the_one_that_it_would_get(cls: Any) -> None:
    _, app = behind(cls)
    for accepted, tag in {None: '"v1"', "gzip": 'W/"v1"'}.items():
        answer = await ask(app, accepted, ("if-none-match", '"v1", W/"v1"'))
        assert (answer.status, answer["etag"]) == (304, tag)


@BOTH
@pytest.mark.parametrize("headers", [CROSS_SITE, (("cache-control", "no-transform"),)], ids=["cross-site", "transform"])
@pytest.mark.parametrize("etag", ["weak", "suffix"])
async def test_what_it_has_encoded_is_not_said_to_be_what_it_would_get_in_plain(
    cls: Any, etag: str, headers: Any
) -> None:
    document, app = behind(cls, etag=etag)
    tag = (await ask(app))["etag"] or ""
    answer = await ask(app, "gzip", ("if-none-match", tag), *headers)
    if answer.status == 304:
        assert answer["etag"] == tag
    else:
        assert (answer["etag"], answer.body) == ('"v1"', document.content)


@BOTH
@pytest.mark.parametrize("etag", ["weak", "suffix"])
async def test_head_is_a_conditional_request_like_get(cls: Any, etag: str) -> None:
    _, app = behind(cls, etag=etag)
    tag = (await ask(app, method="HEAD"))["etag"] or ""
    assert tag == (await ask(app))["etag"]
    answer = await ask(app, "gzip", ("if-none-match", tag), method="HEAD")
    assert (answer.status, answer["etag"]) == (304, tag)
    assert (await ask(app, "gzip", ("if-none-match", '"v1;br"'), method="HEAD")).status == 200


# Writing


@BOTH
async def test_under_a_suffix_what_was_read_in_any_coding_can_be_written(cls: Any) -> None:
    document, app = behind(cls, etag="suffix")
    for tag in ('"v1"', '"v2;gzip"', '"other", "v3;br"', '"v4;zstd", "other"'):
        answer = await ask(app, "gzip", ("if-match", tag), method="PUT")
        assert (answer.status, answer["etag"]) == (204, document.tag)
    assert document.version == 5
    for tag in ('"v4;gzip"', '"v5;deflate"', '"v5;gzip;gzip"', 'W/"v5;gzip"', "v5;gzip"):
        assert (await ask(app, None, ("if-match", tag), method="PUT")).status == 412
    assert document.version == 5


@BOTH
async def test_a_weak_tag_lets_nobody_write(cls: Any) -> None:
    document, app = behind(cls)
    tag = (await ask(app))["etag"] or ""
    assert (await ask(app, "gzip", ("if-match", tag), method="PUT")).status == 412
    assert (await ask(app, "gzip", ("if-match", '"v1;gzip"'), method="PUT")).status == 412
    assert (await ask(app, "gzip", ("if-match", '"v1"'), method="PUT")).status == 204
    assert document.version == 2


# Downloads that go on


@BOTH
@pytest.mark.parametrize("etag", ["weak", "suffix"])
async def test_a_download_in_plain_goes_on_where_it_was(cls: Any, etag: str) -> None:
    document, app = behind(cls, etag=etag)
    for accepted, validator in [(None, '"v1"'), (None, document.date), ("gzip", '"v1"'), ("gzip;q=0", document.date)]:
        answer = await ask(app, accepted, ("range", "bytes=100-"), ("if-range", validator))
        assert (answer.status, answer["vary"]) == (206, "Accept-Encoding")
        assert (answer["etag"], answer.body) == ('"v1"', document.content[100:])


@BOTH
@pytest.mark.parametrize("etag", ["weak", "suffix"])
async def test_a_download_in_a_coding_begins_anew(cls: Any, etag: str) -> None:
    document, app = behind(cls, etag=etag)
    got = await ask(app)
    for validator in (got["etag"] or "", document.date, 'W/"v1"', '"v1;gzip"', '"v1;br"', '"other"', "x"):
        answer = await ask(app, "gzip", ("range", "bytes=100-"), ("if-range", validator))
        assert (answer.status, answer["content-encoding"], answer.decoded) == (200, "gzip", document.content)


@BOTH
async def test_a_part_of_which_nothing_is_known_is_the_clients_own_choice(cls: Any) -> None:
    document, app = behind(cls)
    answer = await ask(app, "gzip", ("range", "bytes=100-"))
    assert (answer.status, answer["content-encoding"], answer.body) == (206, None, document.content[100:])


# Any sequence of all that


@pytest.fixture(scope="module", autouse=True)
def runner() -> Iterator[None]:
    with asyncio.Runner() as runner:
        Browsing.runner = runner
        yield


@dataclass(frozen=True)
class Stored:
    """A response that a client keeps, maybe only its beginning."""

    tag: str
    date: str
    coding: str | None
    raw: bytes
    complete: bool


class Browsing(RuleBasedStateMachine):
    """Clients with caches read, write and resume; what they hold is always what the application means."""

    runner: asyncio.Runner
    clients = Bundle("clients")
    accepted = st.sampled_from([None, "identity", *CODINGS, "gzip, br;q=0.5", "*", "identity;q=0, zstd"])
    circumstances = st.sampled_from([(), (), (), CROSS_SITE, (("cache-control", "no-transform"),)])

    @initialize(target=clients, etag=st.sampled_from(["weak", "suffix"]))
    def serve(self, etag: str) -> dict[str | None, Stored]:
        self.document, self.app = behind(CompressionMiddleware, etag=etag)
        self.versions = {1: self.document.content}
        return {}

    def ask(self, accepted: str | None, *headers: tuple[str, str], method: str = "GET") -> Answer:
        return self.runner.run(ask(self.app, accepted, *headers, method=method))

    def means(self, stored: Stored) -> None:
        """A complete response is, decoded, the version under whose tag and date it is kept."""
        decoder = Decoder(stored.coding)
        decoded = decoder(stored.raw)
        assert decoder.has_ended()
        (version,) = (number for number, content in self.versions.items() if content == decoded)
        names = {f'"v{version}"'} if stored.coding is None else {f'W/"v{version}"', f'"v{version};{stored.coding}"'}
        assert stored.tag in names

    def store(self, cache: dict[str | None, Stored], answer: Answer, *, cut: int | None = None) -> Stored:
        raw = answer.body if cut is None else answer.body[:cut]
        complete = cut is None
        assert answer["vary"] == "Accept-Encoding"
        stored = Stored(answer["etag"] or "", answer["last-modified"] or "", answer["content-encoding"], raw, complete)
        cache[stored.coding] = stored
        if complete:
            self.means(stored)
        return stored

    @rule(target=clients)
    def join(self) -> dict[str | None, Stored]:
        return {}

    @precondition(lambda self: len(self.versions) < 4)
    @rule()
    def edit(self) -> None:
        self.document.version += 1
        self.versions[self.document.version] = self.document.content

    @rule(cache=clients, accepted=accepted, more=circumstances)
    def read(self, cache: dict[str | None, Stored], accepted: str | None, more: Any) -> None:
        whole = [stored for stored in cache.values() if stored.complete]
        condition = [("if-none-match", ", ".join(stored.tag for stored in whole))] if whole else []
        answer = self.ask(accepted, *condition, *more)
        if answer.status == 200:
            stored = self.store(cache, answer)
        else:
            assert (answer.status, answer["vary"]) == (304, "Accept-Encoding")
            matching = [stored for stored in whole if stored.tag == answer["etag"]]
            assert matching
            stored = matching[-1]
        assert Decoder(stored.coding)(stored.raw) == self.document.content

    @rule(cache=clients, accepted=accepted, more=circumstances, cut=st.integers(1, 150))
    def begin(self, cache: dict[str | None, Stored], accepted: str | None, more: Any, cut: int) -> None:
        self.store(cache, self.ask(accepted, *more), cut=cut)

    @rule(cache=clients, other=accepted, more=circumstances, by_date=st.booleans())
    def resume(self, cache: dict[str | None, Stored], other: str | None, more: Any, by_date: bool) -> None:
        for stored in [stored for stored in cache.values() if not stored.complete]:
            # A date does not name a coding: with it, the client asks for what it asked for before.
            accepted = (stored.coding or "identity") if by_date else other
            validator = stored.date if by_date else stored.tag
            answer = self.ask(accepted, ("range", f"bytes={len(stored.raw)}-"), ("if-range", validator), *more)
            if answer.status == 206:
                assert (answer["content-range"] or "").startswith(f"bytes {len(stored.raw)}-")
                assert answer["content-encoding"] is None
                spliced = Stored(stored.tag, stored.date, stored.coding, stored.raw + answer.body, complete=True)
                self.means(spliced)
                cache[stored.coding] = spliced
            else:
                assert answer.status == 200
                self.store(cache, answer)

    @precondition(lambda self: len(self.versions) < 8)
    @rule(cache=clients, accepted=accepted, coding=st.sampled_from([None, *CODINGS]))
    def write(self, cache: dict[str | None, Stored], accepted: str | None, coding: str | None) -> None:
        if coding not in cache:
            return
        tag, before = cache[coding].tag, self.document.version
        answer = self.ask(accepted, ("if-match", tag), method="PUT")
        may = tag in (f'"v{before}"', f'"v{before};{coding}"')
        assert answer.status == (204 if may else 412)
        assert self.document.version == before + may
        self.versions[self.document.version] = self.document.content


Browsing.TestCase.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
test_a_client_always_holds_what_the_application_means = Browsing.TestCase
