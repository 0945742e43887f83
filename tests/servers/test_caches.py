"""Many clients ask a site behind compression, through a shared cache and past it, and go on with what they got.

The cache is nginx with the plainest `proxy_cache`. It judges the conditions of its clients itself, and asks the site
without them; only what has expired it revalidates. Past the cache, the conditions reach the site.
"""

from __future__ import annotations

import gzip
import random
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import brotli
import pytest

from tests.matrix import nginx

from .process import Server, command, serving

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOT = Path(__file__).parents[2]
SECONDS = 5
EXPIRED_SECONDS = 2.1  # nginx counts in whole seconds: after two of them max-age=1 is over
CACHING = {
    "    server {{": "    proxy_cache_path cache keys_zone=site:1m;\n    server {{",
    "proxy_redirect off;": "proxy_cache site; proxy_cache_revalidate on; add_header X-Cache $upstream_cache_status;",
}

USERS = ["ada", "bob"]
FILES = {"short.csv": 4_000, "long.csv": 10_000}  # lines: read, and so sent, in one piece and in two
ENCODED = {"table", "personal", "brief", "changing", "stream", *FILES}
PATHS = [*sorted(ENCODED), "untouched", "picture", "noise", "small"]
CODINGS = {"gzip", "br", "zstd"}
ACCEPTED: dict[str | None, set[str]] = {
    None: set(),
    "identity": set(),
    "gzip": {"gzip"},
    "br": {"br"},
    "zstd": {"zstd"},
    "gzip, br, zstd": CODINGS,
    "gzip;q=0": set(),
    "br;q=0.5, gzip": {"br", "gzip"},
    "*": CODINGS,
}
DECODERS: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": zstd.decompress,
}
DAMAGED = (EOFError, OSError, zlib.error, brotli.error, zstd.ZstdError)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def coding(self) -> str | None:
        return self.headers.get("content-encoding")

    @property
    def tag(self) -> str:
        return self.headers.get("etag", "")

    @property
    def date(self) -> str:
        return self.headers.get("last-modified", "")

    @property
    def half(self) -> int:
        return len(self.body) // 2

    def decoded(self) -> bytes | None:
        """The content; None if it is damaged."""
        try:
            return DECODERS[self.coding](self.body)
        except DAMAGED:
            return None

    def resumed(self, part: Answer) -> Answer:
        """This one as a client has it that had lost the second half, and asked for it."""
        return self._replace(body=self.body[: self.half] + part.body)


class Condition(NamedTuple):
    """What a client sends that holds an answer: to the same request, or to one with another Accept-Encoding."""

    headers: Callable[[Answer], dict[str, str]]
    variant: bool = False


CONDITIONS = {
    "nothing": Condition(lambda held: {}),
    "tag": Condition(lambda held: {"If-None-Match": held.tag}),
    "tag of a variant": Condition(lambda held: {"If-None-Match": held.tag}, variant=True),
    "any tag": Condition(lambda held: {"If-None-Match": "*"}),
    "date": Condition(lambda held: {"If-Modified-Since": held.date}),
    "date of a variant": Condition(lambda held: {"If-Modified-Since": held.date}, variant=True),
    "range": Condition(lambda held: {"Range": f"bytes={held.half}-"}),
    "range, tag": Condition(lambda held: {"Range": f"bytes={held.half}-", "If-Range": held.tag}),
    "range, tag of a variant": Condition(
        lambda held: {"Range": f"bytes={held.half}-", "If-Range": held.tag}, variant=True
    ),
    # With that of a variant, it would be the client's fault: a date does not tell them apart (RFC 9110 §13.1.5).
    "range, date": Condition(lambda held: {"Range": f"bytes={held.half}-", "If-Range": held.date}),
}


class Walk:
    """All clients' requests to a site in random order, one of four past the cache, and what was wrong."""

    def __init__(self, site: str, cache: HTTPConnection, server: HTTPConnection) -> None:
        self.faults: list[tuple[str, str]] = []
        self.cached: Counter[tuple[str, str, int, str | None]] = Counter()  # what X-Cache says, path, status, coding
        self._site = site
        self._cache = cache
        self._server = server
        self._random = random.Random(site)
        self._held: dict[tuple[str, str, str | None], Answer] = {}
        self._bytes: dict[tuple[str, str], bytes] = {}

    def go(self, share: float = 1) -> None:
        targets = [*product(USERS, PATHS)]
        contents = {(user, path): ask(self._server, "GET", f"/bare/{path}", user).body for user, path in targets}
        rows = [*product(targets, ACCEPTED, CONDITIONS)]
        for (user, path), encoding, name in self._random.sample(rows, int(share * len(rows))):
            self._step(user, path, encoding, name, contents[user, path])

    def _step(self, user: str, path: str, encoding: str | None, name: str, content: bytes) -> None:
        condition = CONDITIONS[name]
        method = self._random.choice(["GET", "GET", "GET", "HEAD"])
        connection = self._random.choice([self._cache, self._cache, self._cache, self._server])
        held = self._held.get((user, path, self._random.choice([*ACCEPTED]) if condition.variant else encoding))
        sent = {key: value for key, value in condition.headers(held).items() if value} if held else {}
        answer = ask(connection, method, f"/{self._site}/{path}", user, encoding, sent)

        last = self._held.get((user, path, encoding))
        found = [*faults(method, encoding, sent, held, answer, content), *changes(last, answer, content)]
        if method == "GET" and answer.status == 200:
            self._held[user, path, encoding] = answer
            if answer.tag.startswith('"') and self._bytes.setdefault((path, answer.tag), answer.body) != answer.body:
                found.append("other bytes with the same strong tag")
        where = answer.headers.get("x-cache", "past the cache")
        row = f"{where}: {user}, {method} /{path}, {encoding}, {name}: {sent} → {answer.status} {answer.headers}"
        self.faults += [(fault, row) for fault in found]
        if connection is self._cache:
            self.cached[where, path, answer.status, answer.coding] += 1


def faults(
    method: str, encoding: str | None, sent: dict[str, str], held: Answer | None, answer: Answer, content: bytes
) -> Iterator[str]:
    """What is wrong with an answer to a client that sent these conditions, made of what it holds."""
    if answer.coding and answer.coding not in ACCEPTED[encoding]:
        yield "a coding that is not accepted"
    if method == "HEAD" and answer.body:
        yield "a body for HEAD"
    if answer.status == 200:
        if method == "GET" and answer.decoded() != content:
            yield "another content"
    elif answer.status == 304 and held and sent and "Range" not in sent:
        tag = sent.get("If-None-Match", answer.tag)
        if tag != "*" and held.decoded() != content:
            yield "not modified, but what is held is not the content"
        if tag != "*" and tag.removeprefix("W/") != answer.tag.removeprefix("W/"):
            yield "not modified, with another tag"
    elif answer.status == 206 and held and "Range" in sent:
        # Without If-Range, a client puts together what has the same strong tag (RFC 9110 §15.3.7.3).
        fits = "If-Range" in sent or (answer.tag == held.tag and answer.tag.startswith('"'))
        if method == "GET" and fits and held.resumed(answer).decoded() != content:
            yield "a part that does not fit what is held"
        if method == "GET" and answer.coding is None and answer.body != part(answer.headers["content-range"], content):
            yield "a part of something else"
    else:
        yield "an answer to another question"


def changes(last: Answer | None, answer: Answer, content: bytes) -> Iterator[str]:
    """How the headers differ from those that the same client got before with the same content."""
    if last is None or last.decoded() != content:
        return
    if answer.status == 200:
        length = str(len(last.body))
        if answer.headers.get("content-length", length) != length:
            yield "another content-length"
        for name in ("content-type", "content-encoding", "etag", "vary"):
            if answer.headers.get(name) != last.headers.get(name):
                yield f"another {name}"
    if answer.status == 304 and not varying(last) <= varying(answer):  # it may vary more: the size is not known
        yield "another vary"


def varying(answer: Answer) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get("vary", "").split(",")} - {""}


def part(content_range: str, content: bytes) -> bytes | None:
    """What a Content-Range says that it is of ``content``."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range)
    if found is None or int(found[3]) != len(content):
        return None
    return content[int(found[1]) : int(found[2]) + 1]


def ask(
    connection: HTTPConnection,
    method: str,
    path: str,
    user: str = "",
    encoding: str | None = None,
    conditions: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    connection.putrequest(method, path, skip_accept_encoding=True)
    accepted = {} if encoding is None else {"Accept-Encoding": encoding}
    for name, value in {"Cookie": f"user={user}", **accepted, **conditions}.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    headers = [(name.lower(), value) for name, value in response.getheaders()]
    assert len(dict(headers)) == len(headers), "a header is there twice"
    return Answer(response.status, dict(headers), response.read())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    for name, lines in FILES.items():
        (folder / name).write_text("".join(f"{number},{number**2}\n" for number in range(lines)))
    options = ["--no-access-log", "--timeout-keep-alive", "60"]
    arguments = [*command("uvicorn-httptools-wsproto", "tests.servers.cached:application"), *options]
    with serving(arguments, ROOT, folder / "log", env={"FILES": str(folder)}) as server:
        yield server


@pytest.fixture(scope="module")
def cache(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    configuration = nginx.CONFIGURATION
    for directive, caching in CACHING.items():
        configuration = configuration.replace(directive, caching)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nginx, "CONFIGURATION", configuration)
        with nginx.proxying(server, "", tmp_path_factory.mktemp("cache"), stripping=False) as cache:
            yield cache


@pytest.fixture(scope="module")
def walks(server: Server, cache: Server) -> dict[str, Walk]:
    """A walk through each site, and a shorter one after some content has changed and what is cached of it expired."""
    with (
        closing(HTTPConnection("127.0.0.1", cache.port, timeout=SECONDS)) as to_cache,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)) as to_server,
    ):
        walks = {site: Walk(site, to_cache, to_server) for site in ("weak", "suffix", "starlette")}
        for walk in walks.values():
            walk.go()
        ask(to_server, "POST", "/change")
        time.sleep(EXPIRED_SECONDS)
        for walk in walks.values():
            walk.go(0.3)
    return walks


@pytest.mark.parametrize("etag", ["weak", "suffix"])
def test_every_client_ends_up_with_what_the_site_has_for_its_user_in_a_coding_that_it_accepts(
    walks: dict[str, Walk], etag: str
):
    assert walks[etag].faults == []


@pytest.mark.parametrize("etag", ["weak", "suffix"])
def test_the_cache_gives_what_it_has_in_every_coding_and_revalidates_it(walks: dict[str, Walk], etag: str):
    cached = walks[etag].cached
    assert 3 * sum(count for (said, *_), count in cached.items() if said in ("HIT", "REVALIDATED")) > cached.total()
    assert "brief" in {path for said, path, _, _ in cached if said == "REVALIDATED"}
    assert {path for said, path, _, _ in cached if said == "EXPIRED"} == {"changing"}  # else it had to be sent again
    hits = [row for said, *row in cached if said == "HIT"]
    assert {(path, coding) for path, _, coding in hits if coding} == {*product(ENCODED, CODINGS)}
    assert {path for path, status, _ in hits if status == 304} == {*PATHS}
    assert {(path, coding) for path, status, coding in hits if status == 206} == {*product(FILES, [None])}


def test_behind_starlettes_class_some_get_what_they_do_not_accept_or_a_part_that_does_not_fit(walks: dict[str, Walk]):
    found = {fault for fault, _ in walks["starlette"].faults}
    assert found >= {"a coding that is not accepted", "a part that does not fit what is held"}
