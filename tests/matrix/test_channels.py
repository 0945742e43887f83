"""Channels as the websocket side: its origin check, its users, its consumers, and its ``runserver``."""

from __future__ import annotations

import json
import re

import pytest

from tests.servers.process import Server

from .client import Browser, complaints, refusal, running, served, websocket
from .environments import run
from .projects import USER, Project
from .rows import DJANGO, FRAMEWORKS

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]

SOCKET = "/ws/chat/"


@pytest.mark.parametrize("row", FRAMEWORKS, ids=str)
def test_channels_is_served_beside_the_framework(project: Project, server: str):
    with served(project, server, "mysite.asgi_channels") as process:
        assert Browser(process).get("/") == f"Hello from {project.row.framework}"
        assert _said(process) == {"user": "", "said": "hello"}
        assert refusal(process, SOCKET, "http://evil.example") == 403
    assert not complaints(process.log())


@pytest.mark.parametrize("row", DJANGO, ids=str)
def test_a_consumer_knows_who_has_logged_in_over_http(project: Project, server: str):
    with served(project, server, "mysite.asgi_channels") as process:
        browser = _logged_in(process)
        assert _said(process, browser.cookies()) == {"user": "ada", "said": "hello"}
    assert not complaints(process.log())


@pytest.mark.parametrize("row", DJANGO, ids=str)
def test_consumers_cannot_be_imported_before_django_is_set_up(project: Project):
    """The import order that the "module:attribute" string of ``asgi_channels`` gets right."""
    settings = {"DJANGO_SETTINGS_MODULE": "mysite.settings"}
    with pytest.raises(RuntimeError, match="AppRegistryNotReady: Apps aren't loaded yet"):
        run([project.python, "-c", "import chat.routing"], project.folder, settings)


@pytest.mark.parametrize("row", DJANGO, ids=str)
def test_runserver_serves_the_wrapped_application(project: Project):
    arguments = ["manage.py", "runserver", "--noreload", "--settings", "mysite.settings_runserver", "127.0.0.1:PORT"]
    with running(project, arguments) as process:
        assert Browser(process).get("/") == f"Hello from {project.row.framework}"
        assert "body" in Browser(process).get("/static/admin/css/base.css")
        browser = _logged_in(process)
        assert _said(process, browser.cookies()) == {"user": "ada", "said": "hello"}
        assert refusal(process, SOCKET, "http://evil.example") == 403
    assert not complaints(process.log())


def _said(process: Server, cookies: str = "") -> object:
    """What the consumer answers when it is told hello from a page of its own site."""
    with websocket(process, SOCKET, f"http://127.0.0.1:{process.port}", cookies) as connection:
        connection.send(json.dumps("hello"))
        return json.loads(connection.recv(5))


def _logged_in(process: Server) -> Browser:
    browser = Browser(process)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get("/admin/login/"))
    assert token
    name, password = USER["DJANGO_SUPERUSER_USERNAME"], USER["DJANGO_SUPERUSER_PASSWORD"]
    browser.post("/admin/login/?next=/", username=name, password=password, csrfmiddlewaretoken=token[1])
    return browser
