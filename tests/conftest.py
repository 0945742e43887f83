"""Every test: on asyncio, uvloop and trio if it is a coroutine, and with blocking calls in an event loop an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

# On a developer's machine hypothesis looks for something new each time; CI judges the change, not the luck.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    if request.param == "uvloop":
        return "asyncio", {"use_uvloop": True}
    return request.param, {}


# Python 3.12 crashes when methods of locks are replaced while a thread waits in one: there it is done once.
@pytest.fixture(autouse=True, scope="session" if sys.version_info[:2] == (3, 12) else "function")
def no_blocking_calls() -> Iterator[None]:
    with blockbuster_ctx():
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-on-skip", action="store_true", help="make a skipped test a failure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, object, object]:
    return _failed_if_skipped(item.config, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, object, object]:
    return _failed_if_skipped(collector.config, (yield))


def _failed_if_skipped(config: pytest.Config, report: object) -> object:
    if config.getoption("--fail-on-skip") and getattr(report, "skipped", False):
        report.outcome = "failed"  # type: ignore[attr-defined]
        report.longrepr = f"skipped: {report.longrepr[-1]}"  # type: ignore[attr-defined]
    return report
