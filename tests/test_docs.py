"""The documentation tells the truth: its code runs, its links lead somewhere, its parameters are the real ones."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from channels.generic.websocket import WebsocketConsumer
from django.conf import settings
from fastapi import FastAPI
from starlette.testclient import TestClient

import middleware
from middleware import (
    CompressionMiddleware,
    CORSMiddleware,
    DjangoSessionMiddleware,
    GZipMiddleware,
    HostRouter,
    PathRouter,
    ProtocolRouter,
    SessionMiddleware,
    WebSocketOriginMiddleware,
    outermost,
    stack,
)
from middleware.compression import DEFAULT_EXCLUDED_CONTENT_TYPES
from middleware.lint import LintMiddleware
from tests.asgi import CONNECT, call, websocket_scope
from tests.pages import DOCS, PAGES, ROOT, TEXTS, blocks, prose, table

# Pages whose code blocks are run, each with the names that are the reader's own; the others are parsed only.
ROUTING = ("protocol-router", "path-router", "host-router", "lifespan", "deploying")
RUN = [
    "README.md",
    *(
        f"docs/{page}.md"
        for page in ("index", *ROUTING, "cors", "compression", "sessions", "stack", "lint", "migrating")
    ),
]
RUN_HERE = "docs/troubleshooting.md"


# Code


@pytest.mark.parametrize(
    ("page", "code"), [pytest.param(page, code, id=page) for page in TEXTS for code in blocks(page, "python")]
)
def test_code_is_python(page: str, code: str) -> None:
    ast.parse(code)


async def app(scope: Any, receive: Any, send: Any) -> None: ...


class Layer:
    def __init__(self, app: Any, size: int = 0) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.fixture
def readers_project(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The module that the examples name, as the README writes it, and the names that stand for the reader's own."""
    sockets = ModuleType("chat.sockets")
    exec(next(code for code in blocks("README.md", "python") if code.startswith("async def")), vars(sockets))
    monkeypatch.setitem(sys.modules, "chat", ModuleType("chat"))
    monkeypatch.setitem(sys.modules, "chat.sockets", sockets)
    django = ModuleType("django.core.asgi")  # Django itself: tests/examples and tests/servers
    django.get_asgi_application = lambda: app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "django.core.asgi", django)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "project.settings")  # and forget it after the test
    for secret in ("SECRET_KEY", "FORMER_SECRET_KEY"):
        monkeypatch.setenv(secret, "0123456789abcdef" * 2)
    own = dict.fromkeys(("application", "django", "api", "shop", "chat", "worker"), app)
    classes = dict.fromkeys(("Outer", "Inner", "Layer"), Layer)
    return {**own, **classes, "PathRouter": PathRouter, "routes": []}


def run(page: str, names: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Run one block after the other: a page's later blocks may use what its earlier ones import."""
    names = {"__name__": __name__, **names}  # Litestar looks its handlers' annotations up in their module
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec", dont_inherit=True), names)  # annotations are objects, as they are there
        yield {**names}


@pytest.mark.parametrize("page", RUN)
def test_code_runs(page: str, readers_project: dict[str, Any]) -> None:
    for names in run(page, readers_project):
        assert callable(names["application"])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # Channels knows no other
async def test_the_consumer_finds_its_room(readers_project: dict[str, Any]) -> None:
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    names = next(names for names in run("docs/path-router.md", readers_project) if "ChatConsumer" in names)
    rooms = []

    async def accept(consumer: Any) -> None:
        rooms.append(consumer.room)

    names["ChatConsumer"].accept = accept
    scope, gone = websocket_scope("/ws/lobby"), {"type": "websocket.disconnect", "code": 1000}
    await call(names["application"], scope, CONNECT, gone)
    assert rooms == ["lobby"]


def test_the_mcp_server_answers_at_its_url(readers_project: dict[str, Any]) -> None:
    *_, names = run("docs/path-router.md", readers_project)
    version = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": version}
    headers = {"accept": "application/json, text/event-stream"}
    with TestClient(names["application"], base_url="https://example.com") as client:
        answer = client.post("/mcp/", json=message, headers=headers)
        elsewhere = client.post("/mcp/mcp", json=message, headers=headers)
    assert (answer.status_code, elsewhere.status_code) == (200, 404)
    assert '"name":"shop"' in answer.text


async def test_the_readmes_websocket_answers(readers_project: dict[str, Any]) -> None:
    application = sys.modules["chat.sockets"].application
    hello = {"type": "websocket.receive", "text": "hello"}
    for router in (application, ProtocolRouter(http=app, websocket="chat.sockets:application")):
        linted = LintMiddleware(router, strict=True)
        sent = await call(linted, websocket_scope(), CONNECT, hello, {"type": "websocket.disconnect", "code": 1000})
        assert sent == [{"type": "websocket.accept"}, {"type": "websocket.send", "text": "you said hello"}]


async def test_the_route_that_refuses_a_path() -> None:
    (code,) = (code for code in blocks(RUN_HERE, "python") if "def refuse" in code)
    names: dict[str, Any] = {"path": lambda *_: None, "re_path": lambda *_: None, "ChatConsumer": WebsocketConsumer}
    exec(code, names)
    assert await call(LintMiddleware(names["refuse"], strict=True), websocket_scope(), CONNECT) == [
        {"type": "websocket.close"}
    ]


def test_the_routers_name_hides_the_frameworks() -> None:
    (code,) = (code for code in blocks(RUN_HERE, "python") if "@app.get" in code)
    with pytest.raises(AttributeError) as caught:
        exec(code, {"FastAPI": FastAPI, "ProtocolRouter": ProtocolRouter})
    assert f"### {caught.value}" in TEXTS[RUN_HERE]


# Links and pages


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page.relative_to(ROOT).as_posix()), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def links() -> Iterator[tuple[str, str]]:
    for page in TEXTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            yield page, target


@pytest.mark.parametrize(("page", "target"), [link for link in links() if not link[1].startswith("https://")])
def test_links_lead_to_a_file_and_a_heading(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    assert file.is_file()
    assert not anchor or anchor in anchors(file.resolve())


def test_the_index_and_the_site_name_every_page() -> None:
    named = {target.partition("#")[0] for page, target in links() if page == "docs/index.md"}
    site = (ROOT / "zensical.toml").read_text()
    for page in PAGES:
        assert page.name == "index.md" or page.name in named
        assert site.count(f'"{page.name}"') == 1


def test_every_room_and_public_name_stands_in_the_index() -> None:
    index = TEXTS["docs/index.md"]
    for name in (*middleware.__all__, "LintMiddleware", "LintError"):
        assert re.search(rf"\b{name}\b", index)


def test_the_site_asks_no_other_host_for_anything(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "zensical.toml").write_text((ROOT / "zensical.toml").read_text())
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [*(tmp_path / "site").rglob("*.html")]
    assert len(pages) > len(PAGES)  # and the page for a 404
    for page in pages:
        html = page.read_text()
        loaded = re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="([^"]*)"', html)
        assert loaded
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)]
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text())


def test_the_readme_is_short_and_names_what_there_is() -> None:
    readme = TEXTS["README.md"]
    assert readme.count("\n") <= 126
    routers, cors = ["ProtocolRouter", "PathRouter", "HostRouter"], ["CORSMiddleware", "WebSocketOriginMiddleware"]
    layers = ["GZipMiddleware", "CompressionMiddleware", "SessionMiddleware", "DjangoSessionMiddleware"]
    log = ["RequestLogMiddleware", "RequestIdMiddleware", "TraceContextMiddleware"]
    names = [*routers, *cors, *layers, *log, "stack", "LintMiddleware"]
    assert [*table("README.md", "What there is")] == [f"`{name}`" for name in names]
    for command in ("make demo", "make test", "pip install asgi-middleware"):
        assert command in readme


def test_the_code_that_the_readme_leads_through_is_there() -> None:
    _, _, section = TEXTS["README.md"].partition("\n## Reading the code\n")
    paths = re.findall(r"`([\w./]+/[\w./]*)`", section)
    assert len(paths) > 5
    assert all((ROOT / path).exists() for path in paths if path != "lint/")


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest, *_ = re.findall(r"^## (\S+) - (?:unreleased|\d{4}-\d\d-\d\d)$", TEXTS["docs/changelog.md"], re.MULTILINE)
    assert newest == version


# Parameters


NAMED = {repr(DEFAULT_EXCLUDED_CONTENT_TYPES): "DEFAULT_EXCLUDED_CONTENT_TYPES"}  # defaults that have a name


@pytest.mark.parametrize(
    ("page", "heading", "function"),
    [
        ("docs/protocol-router.md", "Parameters", ProtocolRouter),
        ("docs/path-router.md", "Parameters", PathRouter),
        ("docs/host-router.md", "Parameters", HostRouter),
        ("docs/cors.md", "Parameters", CORSMiddleware),
        ("docs/cors.md", "WebSocketOriginMiddleware", WebSocketOriginMiddleware),
        ("docs/compression.md", "GZipMiddleware", GZipMiddleware),
        ("docs/compression.md", "CompressionMiddleware", CompressionMiddleware),
        ("docs/sessions.md", "Parameters", SessionMiddleware),
        ("docs/sessions.md", "DjangoSessionMiddleware", DjangoSessionMiddleware),
        ("docs/stack.md", "Parameters", stack),
        ("docs/stack.md", "outermost", outermost),
        ("docs/lint.md", "Parameters", LintMiddleware),
    ],
)
def test_the_table_of_parameters_is_the_signature(page: str, heading: str, function: Callable[..., Any]) -> None:
    described = {name.strip("`"): default.strip("`") for name, (default, _) in table(page, heading).items()}
    actual = {}
    for parameter in inspect.signature(function).parameters.values():
        stars = "*" * (parameter.kind is parameter.VAR_POSITIONAL)
        default = "" if parameter.default is parameter.empty else repr(parameter.default)
        actual[stars + parameter.name] = NAMED.get(default, default)
    assert [*described.items()] == [*actual.items()]
