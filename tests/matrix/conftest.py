"""Each row in its environment; a row whose Python is not on this machine is reported as not run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

from .client import SERVERS
from .environments import build_wheel, interpreter, prepare
from .projects import Project, make_project
from .rows import Row

T = TypeVar("T")

NOT_RUN = pytest.StashKey[list[Row]]()


@pytest.hookimpl(trylast=True)  # after the choice by marker, so that `make test` looks for no Python
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = {row: None for item in items if (row := _row(item)) and interpreter(row.pythons) is None}
    config.stash[NOT_RUN] = [*missing]
    deselected = [item for item in items if _row(item) in missing]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if _row(item) not in missing]


def _row(item: pytest.Item) -> Row | None:
    row = item.callspec.params.get("row") if hasattr(item, "callspec") else None
    return row if isinstance(row, Row) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for row in config.stash.get(NOT_RUN, []):
        terminalreporter.write_line(f"not run: {row} needs Python {' or '.join(row.pythons)}, none found", yellow=True)


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests or the user have set must not reach the rows: the checkout, other settings."""
    for name in ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "GINGER_SETTINGS_MODULE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Row], Path]:
    """The Python of a row's environment, prepared once in a session."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    return _once(lambda row: prepare(row, wheel))


@pytest.fixture(scope="session")
def projects(environments: Callable[[Row], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[Row], Project]:
    """A row's project, made once in a session."""
    return _once(lambda row: make_project(row, environments(row), tmp_path_factory.mktemp(row.name)))


def _once(make: Callable[[Row], T]) -> Callable[[Row], T]:
    """Make it once for each row; if that fails, all tests of the row fail at once with the same error."""

    @cache
    def outcome(row: Row) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(make(row))
        except Exception as error:
            future.set_exception(error)
        return future

    return lambda row: outcome(row).result()


@pytest.fixture
def python(row: Row, environments: Callable[[Row], Path]) -> Path:
    return environments(row)


@pytest.fixture
def project(row: Row, projects: Callable[[Row], Project]) -> Project:
    return projects(row)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return request.param
