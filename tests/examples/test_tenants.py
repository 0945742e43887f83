"""The example with tenants in a database, by the commands of its README."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.examples.demo import WAIT_SECONDS
from tests.servers.process import Server, command, serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "tenants"
MIGRATE, REGISTER, REMOVE = re.findall(r"    python (manage\.py .*)", (EXAMPLE / "README.md").read_text())
SHOP = "https://shop.example"
ALLOWED = {"access-control-allow-origin": SHOP}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example with an empty database of its own."""
    folder = shutil.copytree(EXAMPLE, tmp_path / "tenants", ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__"))
    run(folder, MIGRATE)
    return folder


@pytest.fixture
def site(project: Path) -> Iterator[Server]:
    log = project / "log"
    with serving(command("uvicorn-httptools-wsproto", "project.asgi:application"), project, log) as server:
        yield server


def run(project: Path, line: str) -> None:
    arguments = [sys.executable, *shlex.split(line)]
    ended = subprocess.run(arguments, cwd=project, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")  # what Django's own checks find would stand there


def ask(server: Server, path: str = "/acme/orders", origin: str = SHOP, **headers: str) -> tuple[int, dict[str, str]]:
    """The status and who is allowed: of a preflight if its headers are given, else of the request."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)
    try:
        method = "OPTIONS" if headers else "GET"
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Origin": origin, **given})
        response = connection.getresponse()
        return response.status, {n: v for n, v in response.getheaders() if n == "access-control-allow-origin"}
    finally:
        connection.close()


def preflight(server: Server) -> tuple[int, dict[str, str]]:
    return ask(server, access_control_request_method="DELETE", access_control_request_headers="authorization")


def test_a_site_is_allowed_while_it_is_registered_for_the_tenant_and_the_server_goes_on(project: Path, site: Server):
    assert (preflight(site), ask(site)) == ((400, {}), (200, {}))
    run(project, REGISTER)
    assert (preflight(site), ask(site)) == ((200, ALLOWED), (200, ALLOWED))
    assert ask(site, "/other/orders") == ask(site, origin=f"{SHOP}.evil.example") == (200, {})
    run(project, REMOVE)
    assert (preflight(site), ask(site)) == ((400, {}), (200, {}))
    assert "Traceback" not in site.log()


def test_when_the_database_cannot_be_asked_no_site_is_allowed_and_the_log_says_why(project: Path, site: Server):
    run(project, REGISTER)
    assert preflight(site) == (200, ALLOWED)
    database = project / "db.sqlite3"
    backup = database.rename(project / "backup")
    assert (preflight(site), ask(site)) == ((400, {}), (200, {}))
    assert site.log().count(f"allow_origin_func raised, so the origin '{SHOP}' is not allowed\nTraceback") == 2
    assert "OperationalError: no such table: tenants_origin\n" in site.log()
    backup.replace(database)
    assert preflight(site) == (200, ALLOWED)
