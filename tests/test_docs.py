"""The documentation tells the truth: its code runs, its links lead somewhere, its tables and texts are real."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import format_exception_only
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter
from django.core.handlers.wsgi import WSGIHandler
from fastapi import FastAPI

from middleware import ConfigurationError, Middleware, ProtocolRouter, stack
from middleware.lint import LintMiddleware
from tests.asgi import CONNECT, SHUTDOWN, STARTUP, call, lifespan_scope, websocket_scope

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in [ROOT / "README.md", *PAGES]}

# Pages whose code blocks are run, each with the names that are the reader's own; the others are parsed only.
RUN = ["README.md", *(f"docs/{page}.md" for page in ("index", "protocol-router", "stack", "lint", "migrating"))]
RUN_HERE = "docs/troubleshooting.md"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXTS[page], re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)


def table(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table below ``heading``: the cells after the first one, by the first one."""
    _, _, section = TEXTS[page].partition(f"\n## {heading}\n")
    (rows,) = re.findall(r"^\|---.*\n((?:\|.*\n)+)", section.partition("\n## ")[0], re.MULTILINE)[:1]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]
    return {first: rest for first, *rest in cells}


def flat(text: object) -> str:
    """A message without what differs from run to run, and without the page's line breaks."""
    return " ".join(re.sub(r"0x[0-9a-f]+", "0x…", str(text)).split())


def quotes(page: str, message: object) -> bool:
    return any(flat(message) in flat(block) for block in blocks(page, "text"))


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
    own = dict.fromkeys(("application", "django", "chat", "worker"), app)
    classes = dict.fromkeys(("Outer", "Inner", "Layer"), Layer)
    return {**own, **classes, "routes": []}


@pytest.mark.parametrize("page", RUN)
def test_code_runs(page: str, readers_project: dict[str, Any]) -> None:
    names = {**readers_project}  # a page's later blocks may use what its earlier ones import
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), names)
        assert callable(names["application"])


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
    for name in ("ConfigurationError", "Middleware", "ProtocolRouter", "stack", "LintMiddleware", "LintError"):
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
    assert readme.count("\n") <= 120
    assert [*table("README.md", "What there is")] == ["`ProtocolRouter`", "`stack`", "`LintMiddleware`"]
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


@pytest.mark.parametrize(
    ("page", "function"),
    [("docs/protocol-router.md", ProtocolRouter), ("docs/stack.md", stack), ("docs/lint.md", LintMiddleware)],
)
def test_the_table_of_parameters_is_the_signature(page: str, function: Callable[..., Any]) -> None:
    described = {name.strip("`"): default.strip("`") for name, (default, _) in table(page, "Parameters").items()}
    actual = {}
    for parameter in inspect.signature(function).parameters.values():
        stars = "*" * (parameter.kind is parameter.VAR_POSITIONAL)
        actual[stars + parameter.name] = "" if parameter.default is parameter.empty else repr(parameter.default)
    assert [*described.items()] == [*actual.items()]


# Messages


class ChatConsumer(WebsocketConsumer): ...


class Asgi2:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class Wsgi(WSGIHandler):
    def __init__(self) -> None: ...  # Django need not be set up


Wsgi.__name__ = "WSGIHandler"


def wsgi_app(environ: Any, start_response: Any) -> None: ...
def asgi2(scope: Any) -> None: ...
def create_app() -> None: ...
def four(a, b, c, d): ...  # type: ignore[no-untyped-def]
def get_response(request: Any) -> None: ...
async def aget_response(request: Any) -> None: ...


def coroutine() -> None:
    called = app(None, None, None)
    try:
        ProtocolRouter(http=called)  # type: ignore[arg-type]
    finally:
        called.close()


PROJECT = ModuleType("project.asgi")
PROJECT.application = app  # type: ignore[attr-defined]

ROUTER_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "nothing, or an empty mapping": [ProtocolRouter, lambda: ProtocolRouter({})],
    "Channels' consumer class": [lambda: ProtocolRouter(websocket=ChatConsumer)],
    "the class of an application": [lambda: ProtocolRouter(http=FastAPI)],
    "Django's WSGI application": [lambda: ProtocolRouter(http=Wsgi())],
    "another WSGI application": [lambda: ProtocolRouter(http=wsgi_app)],
    "an ASGI 2 application, a function": [lambda: ProtocolRouter(http=asgi2)],
    "an ASGI 2 application, a class": [lambda: ProtocolRouter(http=Asgi2)],
    "a factory": [lambda: ProtocolRouter(http=create_app)],
    "a coroutine: `app()` for `app`": [coroutine],
    "a module": [lambda: ProtocolRouter(http=PROJECT)],
    "a function with other arguments": [lambda: ProtocolRouter(http=four)],
    "`None` in the mapping": [lambda: ProtocolRouter({"http": None})],
    "something else that is not callable": [lambda: ProtocolRouter(http=42), lambda: ProtocolRouter(lifespan=False)],
    "a string without `:attribute`": [
        lambda: ProtocolRouter(http="chat.sockets"),
        lambda: ProtocolRouter(http="chat:"),
    ],
    "a module that does not exist": [lambda: ProtocolRouter(http="chatt.sockets:application")],
    "a mistyped attribute": [lambda: ProtocolRouter(http="project.asgi:aplication")],
    "an attribute that is not there (yet)": [lambda: ProtocolRouter(http="project.asgi:nothing")],
    "`ws`, `wss`, `websockets` or `WebSocket` as a scope type": [
        lambda: ProtocolRouter({"ws": app}),
        lambda: ProtocolRouter({"wss": app}),
        lambda: ProtocolRouter({"websockets": app}),
        lambda: ProtocolRouter({"WebSocket": app}),
    ],
    "`https`, `web` or `HTTP` as a scope type": [
        lambda: ProtocolRouter({"https": app}),
        lambda: ProtocolRouter({"HTTP": app}),
    ],
    "a scope type that is no string": [lambda: ProtocolRouter({b"http": app})],
    '`"default"` in the mapping': [lambda: ProtocolRouter({"default": app})],
    "a scope type in the mapping and as a keyword": [lambda: ProtocolRouter({"http": app}, http=app)],
    "an application where the mapping belongs": [lambda: ProtocolRouter(app)],
    "the class in Django's `settings.MIDDLEWARE`, or a view": [lambda: ProtocolRouter(get_response)],
}
STACK_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "`stack(app, LintMiddleware)`": [lambda: stack(app, LintMiddleware)],
    "`stack(app, LintMiddleware(app))`": [lambda: stack(app, LintMiddleware(app))],
    "`stack(app, Middleware(LintMiddleware(app)))`": [lambda: stack(app, Middleware(LintMiddleware(app)))],
    "`stack(app, [Middleware(LintMiddleware)])`": [lambda: stack(app, [Middleware(LintMiddleware)])],
    "a layer that returns nothing": [lambda: stack(app, Middleware(lambda app: None))],
}


@pytest.mark.parametrize(
    ("page", "heading", "mistakes"),
    [
        ("docs/protocol-router.md", "Mistakes", ROUTER_MISTAKES),
        ("docs/stack.md", "Mistakes and what the error says", STACK_MISTAKES),
    ],
)
def test_the_table_of_mistakes_has_the_real_texts(
    page: str, heading: str, mistakes: dict[str, list[Callable[[], Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "project", ModuleType("project"))
    monkeypatch.setitem(sys.modules, "project.asgi", PROJECT)
    described = {mistake: text.strip("`") for mistake, (text,) in table(page, heading).items()}
    assert described.keys() == mistakes.keys()
    for mistake, ways in mistakes.items():
        for way in ways:
            with pytest.raises(ConfigurationError) as caught:
                way()
            assert str(caught.value).endswith(described[mistake])


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ("docs/protocol-router.md", lambda: ProtocolRouter({"ws": app, "http": FastAPI}, websocket="chat.sockets")),
        ("docs/protocol-router.md", lambda: ProtocolRouter(websocket=ChatConsumer)),
        ("docs/stack.md", lambda: stack(app, Middleware(LintMiddleware), Middleware(LintMiddleware, strict=1))),
        ("docs/troubleshooting.md", lambda: LintMiddleware(app, strict=1)),
        ("docs/troubleshooting.md", lambda: ProtocolRouter(async_to_sync(aget_response))),
    ],
)
def test_messages_are_quoted_as_they_are(page: str, wrong: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        wrong()
    message = str(caught.value)
    if hasattr(caught.value, "__notes__"):
        message = "".join(format_exception_only(caught.value))
    assert quotes(page, message.replace(f"{__name__}.ChatConsumer", "chat.consumers.ChatConsumer"))


async def test_the_one_traceback_of_ours_is_quoted() -> None:
    with pytest.raises(ValueError) as caught:
        await call(ProtocolRouter(http=app), {"type": "channel"})
    assert quotes("docs/protocol-router.md", f"ValueError: {caught.value}")


async def test_what_channels_raises_is_quoted() -> None:
    page = TEXTS["docs/migrating.md"]
    for router, scope in (
        (ProtocolTypeRouter({}), {"type": "websocket"}),
        (ProtocolTypeRouter({"http": "project.asgi:application"}), {"type": "http"}),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            await call(router, scope)
        assert f"{caught.value}`" in page


async def test_the_lines_in_the_log_are_quoted(caplog: pytest.LogCaptureFixture) -> None:
    async def raises(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["state"]:
            await send({"type": "lifespan.startup.complete"})
        raise RuntimeError

    for state in ({}, {"start": "well"}):
        await call(ProtocolRouter(http=raises), lifespan_scope(state=state), STARTUP, SHUTDOWN)
    first, second = caplog.messages
    assert quotes("docs/protocol-router.md", first)
    assert quotes("docs/protocol-router.md", second)
    assert f"### {first}" in TEXTS["docs/troubleshooting.md"]


@pytest.mark.parametrize(
    ("pages", "files", "start"),
    [
        (["README.md", RUN_HERE], {"middleware.py": "", "asgi.py": "from middleware import ProtocolRouter"}, "asgi"),
        (["README.md", RUN_HERE], {"middleware.py": "from middleware import ProtocolRouter"}, "middleware"),
        (
            [RUN_HERE],
            {"middleware.py": "import asgi", "asgi.py": "from middleware import ProtocolRouter"},
            "middleware",
        ),
        (["README.md", RUN_HERE], {"middleware/auth.py": "", "asgi.py": "import middleware.auth"}, "asgi"),
        ([RUN_HERE], {"middleware.py": "", "asgi.py": "from middleware.lint import LintMiddleware"}, "asgi"),
    ],
    ids=["hidden", "asks for itself", "asks in a circle", "folder", "submodule"],
)
def test_the_clash_of_names_is_told_in_pythons_words(
    pages: list[str], files: dict[str, str], start: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-B", "-c", f"import {start}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # as if it were installed: after the folder of the project
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=50)
    message = done.stderr.splitlines()[-1].replace(str(tmp_path), "/srv/project")
    assert all(quotes(page, message) for page in pages), message
