"""The seed problem, and its cure: a framework's application with websockets beside it."""

from __future__ import annotations

import pytest

from .client import Browser, complaints, refusal, served, websocket
from .projects import Project
from .rows import FRAMEWORKS

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("row", FRAMEWORKS, ids=str),
]


def test_without_the_router_a_websocket_is_an_error_of_the_framework(project: Project, server: str):
    with served(project, server, "mysite.asgi_before") as process:
        assert Browser(process).get("/") == f"Hello from {project.row.framework}"
        assert refusal(process, "/ws/") == 500
    framework = project.row.framework.partition(" ")[0]
    assert f"{framework} can only handle ASGI/HTTP connections, not websocket" in process.log()
    assert complaints(process.log())


def test_in_the_router_http_and_websockets_are_served_side_by_side(project: Project, server: str):
    with served(project, server, "mysite.asgi") as process:
        assert Browser(process).get("/") == f"Hello from {project.row.framework}"
        with websocket(process, "/ws/") as connection:
            connection.send("ping")
            assert connection.recv(5) == "ping"
        assert Browser(process).get("/") == f"Hello from {project.row.framework}"
    assert not complaints(process.log())


def test_a_websocket_without_an_application_is_refused_quietly(project: Project, server: str):
    with served(project, server, "mysite.asgi_http_only") as process:
        assert Browser(process).get("/") == f"Hello from {project.row.framework}"
        assert refusal(process, "/ws/") == 403
    assert not complaints(process.log())
