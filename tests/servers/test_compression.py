"""Compression on real servers, seen by real clients: httpx over HTTP/1.1 and HTTP/2, and curl.

Each server starts once; all tests of it talk to the same process. No test waits for time to pass: a stream sends its
next piece when another request asks for it.
"""

from __future__ import annotations

import itertools
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import httpx
import pytest

from tests.compression.exchanges import Decoder

from .compressed import CHECKED, EVENTS, PIECES, content
from .process import Server, command, serving
from .test_servers import ENVIRONMENT, complaints, exceptions

SECONDS = 5
ROOT = Path(__file__).parents[2]
# Of each the versions of HTTP. How they speak websocket does not matter here.
SERVERS = {
    "uvicorn-h11-websockets": ["1.1"],
    "uvicorn-httptools-websockets": ["1.1"],
    "hypercorn-asyncio": ["1.1", "2"],
    "hypercorn-trio": ["1.1", "2"],
    "daphne": ["1.1"],
    "granian": ["1.1", "2"],
}
# Daphne sends no start before the first piece of the body is there, granian none but that of an event stream.
HOLDING = {"daphne": {"/stream", "/events"}, "granian": {"/stream"}}
SERVERS_FAULTS = {"granian": {"scope-shape"}}  # as in test_lint.py

CODINGS = {"zstd": "zstd", "br": "brotli", "gzip": "libz"}  # as curl calls them
ACCEPTED = [*CODINGS, "identity"]
SIZES = [2 << 10, 100 << 10, 1 << 20]  # from 128 KiB on in a thread, zstd from 1 MiB on
BODIES = [f"/body?size={size}" for size in SIZES]
STREAMS = {"/stream": PIECES, "/events": EVENTS}
# What Django and Starlette send to HEAD should stay in the server. Daphne lets out what follows the first piece,
# granian over HTTP/2 all of it.
BREAKING_HEAD = {("daphne", "1.1"): [*STREAMS], ("granian", "2"): [*BODIES, *STREAMS]}
HTTP = {"1.1": "--http1.1", "2": "--http2-prior-knowledge"}
CANNOT_RESUME = 33  # the exit code of curl if it asks for the rest and the whole comes

IMPORT = "from middleware import CompressionMiddleware\n"
LINE = "application = CompressionMiddleware(application)\n"


class Site:
    """A running server, and a client for each version of HTTP that it knows."""

    def __init__(self, name: str, server: Server, stop: Callable[[], None]) -> None:
        self.name = name
        self.server = server
        self.stop = stop
        self.url = f"http://127.0.0.1:{server.port}"
        self.clients = {
            version: httpx.Client(
                base_url=self.url, http1=version == "1.1", http2=version == "2", timeout=SECONDS, trust_env=False
            )
            for version in SERVERS[name]
        }
        self._keys = itertools.count()

    def key(self) -> str:
        """A name for a response about which more is asked."""
        return str(next(self._keys))

    def ask(self, path: str) -> str:
        """The answer to a request beside the one that is tested."""
        return self.clients["1.1"].get(path).raise_for_status().text

    def let_send(self, key: str, pieces: int = 1) -> None:
        self.ask(f"/next?key={key}&pieces={pieces}")

    def ready(self, path: str) -> str:
        """The path of a response that waits for nothing."""
        key = self.key()
        self.let_send(key, 10)
        return f"{path}{'&' if '?' in path else '?'}key={key}"


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from running(request.param, "tests.servers.compressed", ROOT, tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``django-admin startproject`` makes, with one import and one line more in its ``asgi.py``."""
    folder = tmp_path_factory.mktemp("project")
    run = [sys.executable, "-m", "django", "startproject", "mysite", "."]
    subprocess.run(run, cwd=folder, check=True, capture_output=True, timeout=60)
    asgi = folder / "mysite" / "asgi.py"
    asgi.write_text(asgi.read_text() + IMPORT + LINE)
    return folder


@pytest.fixture(scope="module", params=["daphne", "uvicorn-httptools-websockets"])
def django(request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from running(request.param, "mysite.asgi", project, tmp_path_factory.mktemp("log"))


def running(name: str, module: str, folder: Path, logs: Path) -> Iterator[Site]:
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        run = serving(command(name, f"{module}:application"), folder, logs / "log", env=environment)
        site = Site(name, stack.enter_context(run), stack.close)
        for client in site.clients.values():
            stack.enter_context(client)
        yield site


@pytest.fixture
def ended(site: Site) -> Site:
    """The site after its end: the test that takes it stands last."""
    site.stop()
    return site


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that Starlette sends in more than one piece."""
    path = tmp_path_factory.mktemp("files") / "picture.svg"
    path.write_bytes(content(200_000))
    return path


@cache
def curls_features() -> str:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    run = subprocess.run(["curl", "--version"], check=True, capture_output=True, text=True, timeout=SECONDS)
    return run.stdout


def curl(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    curls_features()
    run = ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments]
    return subprocess.run(run, check=False, capture_output=True, timeout=SECONDS)


def coding_of(response: httpx.Response) -> str:
    return response.headers.get("content-encoding", "identity")


def decoder(coding: str) -> Decoder:
    return Decoder(None if coding == "identity" else coding)


def raw(client: httpx.Client, path: str, coding: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """The response to GET, and its body as it came."""
    with client.stream("GET", path, headers={"Accept-Encoding": coding, **headers}) as response:
        return response, b"".join(response.iter_raw())


def decoded(coding: str, body: bytes) -> bytes:
    decode = decoder(coding)
    found = decode(body)
    assert decode.has_ended(), "the body is cut off or has something behind it"
    return found


def said(response: httpx.Response) -> dict[str, str]:
    """The headers, without the date and how the body is sent."""
    return {name: value for name, value in response.headers.items() if name not in {"date", "transfer-encoding"}}


def test_a_page_of_django_comes_in_every_coding_and_is_the_same_in_all(django: Site):
    client = django.clients["1.1"]
    for path, vary in (("/", "Accept-Encoding"), ("/admin/login/", "Cookie, Accept-Encoding")):
        pages = set()
        for coding in ACCEPTED:
            response, body = raw(client, path, coding)
            assert (response.status_code, coding_of(response), response.headers["vary"]) == (200, coding, vary)
            assert int(response.headers["content-length"]) == len(body)
            pages.add(re.sub(rb'(name="csrfmiddlewaretoken" value)="\w+"', rb"\1", decoded(coding, body)))
        (page,) = pages
        assert page.strip().lower().startswith(b"<!doctype html>")
    assert exceptions(django.server.log()) == []


def test_head_of_a_page_of_django_has_the_headers_of_get(django: Site):
    client = django.clients["1.1"]
    for coding in ACCEPTED:
        asked = {"Accept-Encoding": coding}
        head = client.head("/", headers=asked)
        assert coding_of(head) == coding
        assert said(head) == said(client.get("/", headers=asked))


@pytest.mark.parametrize("coding", ACCEPTED)
def test_a_body_comes_whole_in_the_coding_that_is_accepted(site: Site, coding: str):
    for client, size in itertools.product(site.clients.values(), SIZES):
        response, body = raw(client, f"/body?size={size}", coding)
        assert (coding_of(response), response.headers["vary"]) == (coding, "Accept-Encoding")
        assert int(response.headers["content-length"]) == len(body)
        assert decoded(coding, body) == content(size)
        assert len(body) < size or coding == "identity"


def test_a_browser_gets_zstd_and_who_names_nothing_gets_identity(site: Site):
    for client in site.clients.values():
        assert coding_of(raw(client, "/body?size=2048", "gzip, deflate, br, zstd")[0]) == "zstd"
        request = client.build_request("GET", "/body?size=2048")
        del request.headers["accept-encoding"]
        response = client.send(request)
        assert (coding_of(response), response.content) == ("identity", content(2048))


@pytest.mark.parametrize("coding", CODINGS)
def test_curl_decodes_what_it_asked_for(site: Site, coding: str):
    if CODINGS[coding] not in curls_features():
        pytest.skip(f"needs a curl that knows {CODINGS[coding]}")
    asked = ["--compressed", "--header", f"Accept-Encoding: {coding}", "--write-out", "%header{content-encoding}"]
    bodies = zip(BODIES, map(content, SIZES), strict=True)
    expected = {**dict(bodies), **{path: b"".join(pieces) for path, pieces in STREAMS.items()}}
    for version, path in itertools.product(site.clients, expected):
        run = curl(HTTP[version], *asked, site.url + site.ready(path))
        assert run.stdout == expected[path] + coding.encode()


@pytest.mark.parametrize("coding", ACCEPTED)
@pytest.mark.parametrize("path", STREAMS)
def test_each_piece_of_a_stream_can_be_read_before_the_next_is_sent(site: Site, path: str, coding: str):
    starts_at_once = (coding == "identity" or path == "/events") and path not in HOLDING.get(site.name, ())
    for client in site.clients.values():
        key, decode = site.key(), decoder(coding)
        if not starts_at_once:
            site.let_send(key)
        with client.stream("GET", f"{path}?key={key}", headers={"Accept-Encoding": coding}) as response:
            assert (coding_of(response), response.headers["vary"]) == (coding, "Accept-Encoding")
            arriving = response.iter_raw()
            if starts_at_once:
                site.let_send(key)
            for piece in STREAMS[path]:
                found = b""
                while len(found) < len(piece):
                    found += decode(next(arriving))
                assert found == piece
                site.let_send(key)
            assert b"".join(map(decode, arriving)) == b""
            assert decode.has_ended()


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_head_has_the_headers_of_get(site: Site, coding: str, picture: Path):
    asked = {"Accept-Encoding": coding}
    paths = [*BODIES, *STREAMS, f"/file?path={picture}", "/nothing", "/unchanged"]
    for (version, client), path in itertools.product(site.clients.items(), paths):
        if path not in BREAKING_HEAD.get((site.name, version), ()):
            head = client.head(site.ready(path), headers=asked)
            assert said(head) == said(client.get(site.ready(path), headers=asked))


@pytest.mark.parametrize("coding", CODINGS)
def test_what_has_no_content_keeps_none_and_a_304_has_the_tag_of_the_client(site: Site, coding: str):
    for client in site.clients.values():
        nothing, body = raw(client, "/nothing", coding)
        assert (nothing.status_code, body, {"vary", "content-encoding"} & {*nothing.headers}) == (204, b"", set())
        for prefix, tag in (("", 'W/"a"'), ("/tagged", f'"a;{coding}"')):
            response, _ = raw(client, f"{prefix}/body?size=2048", coding)
            assert response.headers["etag"] == tag
            unchanged, body = raw(client, f"{prefix}/unchanged", coding, **{"If-None-Match": tag})
            assert (unchanged.status_code, body, coding_of(unchanged)) == (304, b"", "identity")
            assert (unchanged.headers["etag"], unchanged.headers["vary"]) == (tag, "Accept-Encoding")


@pytest.mark.parametrize("coding", CODINGS)
def test_a_file_is_compressed_but_where_the_server_sends_it(site: Site, coding: str, picture: Path):
    for client in site.clients.values():
        response, body = raw(client, f"/file?path={picture}", coding)
        sent_by_server = "http.response.pathsend" in site.ask("/offers")
        assert coding_of(response) == ("identity" if sent_by_server else coding)
        assert ("accept-ranges" in response.headers) == sent_by_server
        assert response.headers["vary"] == "Accept-Encoding"
        assert decoded(coding_of(response), body) == picture.read_bytes()
    assert sent_by_server == (site.name == "granian")


def test_trailers_come_without_the_digest_of_what_was_not_sent(site: Site):
    for version, client in site.clients.items():
        offered = "http.response.trailers" in client.get("/offers").text
        assert offered == (version == "2" and site.name != "granian")
        if offered:
            asked = ["--compressed", "--dump-header", "-", "--header", "TE: trailers"]
            run = curl(HTTP[version], *asked, f"{site.url}/trailers")
            head, _, trailers = run.stdout.partition(content(2048))
            assert b"content-length" not in head
            assert re.search(rb"^content-encoding: ", head, re.MULTILINE)
            assert trailers.split() == [CHECKED[0] + b":", CHECKED[1]]


@pytest.mark.parametrize(
    ("query", "until", "expected"),
    [
        ("size=4000000", "sending", "sending http.disconnect sent end"),
        ("size=2048&first", "sent", "sending sent http.disconnect sending sent end"),
    ],
    ids=["while a body is compressed in a thread", "between the pieces of a stream"],
)
def test_the_application_hears_that_the_client_leaves_as_without_compression(
    site: Site, query: str, until: str, expected: str
):
    heard = {}
    for prefix in ("/plain", ""):
        key = site.key()
        with socket.create_connection(("127.0.0.1", site.server.port), timeout=SECONDS) as sock:
            target = f"{prefix}/left?key={key}&{query}"
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n".encode())
            site.ask(f"/heard?key={key}&until={until}")
        heard[prefix] = site.ask(f"/heard?key={key}&until=end").split()
    assert heard[""] == expected.split()
    assert sorted(heard["/plain"]) == sorted(heard[""])  # without, a body may be called sent while it waits


def test_forty_at_once_get_what_each_asked_for(site: Site):
    def fetch(client: httpx.Client, number: int) -> bool:
        size, coding = 1000 + 5000 * number, ACCEPTED[number % 4]
        response, body = raw(client, f"/body?size={size}&seed={number}", coding)
        return coding_of(response) == coding and decoded(coding, body) == content(size, number)

    for client in site.clients.values():
        with ThreadPoolExecutor(40) as threads:
            assert [*threads.map(fetch, [client] * 40, range(40))] == [True] * 40


# Of what broke off, the half is there. A weak tag or a date cannot tell whether the rest is in the same coding.
@pytest.mark.parametrize(
    ("prefix", "had", "accepted", "validator", "goes_on"),
    [
        ("", "gzip", "gzip", "etag", False),
        ("", "gzip", "gzip", "last-modified", False),
        ("", "gzip", "identity", "etag", False),
        ("", "identity", "gzip", "etag", True),
        ("", "identity", "gzip", "last-modified", False),
        ("", "identity", "identity", "last-modified", True),
        ("/tagged", "gzip", "gzip", "etag", False),
        ("/tagged", "zstd", "gzip", "etag", False),
        ("/tagged", "identity", "gzip", "etag", True),
    ],
)
def test_a_download_that_broke_off_goes_on_or_begins_anew(
    site: Site, picture: Path, tmp_path: Path, prefix: str, had: str, accepted: str, validator: str, goes_on: bool
):
    path = f"{prefix}/file?path={picture}"
    client = site.clients["1.1"]
    response, whole = raw(client, path, had)
    half = tmp_path / "half"
    half.write_bytes(whole[: len(whole) // 2])
    condition = {"If-Range": response.headers[validator]}
    asked = ["--header", f"Accept-Encoding: {accepted}", "--header", f"If-Range: {condition['If-Range']}"]
    run = curl(*asked, "--continue-at", "-", "--output", half, site.url + path)
    if site.name == "granian":  # which sends files itself, so all have the same
        goes_on = validator == "etag" or accepted == "identity"
    if goes_on:
        assert (run.returncode, half.read_bytes()) == (0, whole)
    else:
        assert (run.returncode, half.read_bytes()) == (CANNOT_RESUME, whole[: len(whole) // 2])
        anew, body = raw(client, path, accepted, Range="bytes=1000-", **condition)
        assert (anew.status_code, body) == (200, raw(client, path, accepted)[1])


def test_what_curl_has_decoded_it_can_go_on_with(site: Site, picture: Path, tmp_path: Path):
    half = tmp_path / "half"
    half.write_bytes(picture.read_bytes()[:100_000])
    run = curl("--compressed", "--continue-at", "-", "--output", half, f"{site.url}/file?path={picture}")
    assert (run.returncode, half.read_bytes()) == (0, picture.read_bytes())


def test_lint_on_both_sides_has_no_complaint(site: Site, picture: Path):
    paths = [*BODIES, *STREAMS, f"/file?path={picture}", "/nothing", "/unchanged"]
    for client, path, coding in itertools.product(site.clients.values(), paths, ["gzip", "identity"]):
        response, body = raw(client, "/linted" + site.ready(path), coding)
        assert response.status_code < 400
        decoded(coding_of(response), body)


def test_the_server_has_had_no_complaint(ended: Site):
    log = ended.server.log()
    faults = {("server", rule) for rule in SERVERS_FAULTS.get(ended.name, ())}
    assert set(re.findall(r"the (\w+) broke the rule ([\w-]+):", log)) == faults
    assert [line for line in complaints(log) if "the server broke the rule" not in line] == []
    assert ended.server.process.returncode == 0
