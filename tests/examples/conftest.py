from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples.demo import PROJECT
from tests.servers.process import Server, command, serving


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The example Django project on uvicorn, without a database."""
    log = tmp_path_factory.mktemp("site") / "log"
    with serving(command("uvicorn-httptools-websockets", "project.asgi:application"), PROJECT, log) as server:
        yield server
