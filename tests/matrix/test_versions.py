"""The oldest and the newest that the package promises to run on, with the wheel that is shipped."""

from __future__ import annotations

import shutil
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from .environments import ROOT, run
from .rows import FRAMEWORKS, LOWEST, VERSIONS, Row

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]

# They need more than a row has, or look at the repository.
LEFT_OUT = (
    "servers",
    "matrix",
    "benchmarks",
    "typing",
    "examples",
    "test_architecture.py",
    "test_docs*.py",
    "test_browser.py",
    "test_collectors.py",
)


@pytest.mark.parametrize("row", VERSIONS, ids=str)
def test_the_unit_tests_pass(row: Row, python: Path, tmp_path: Path):
    left_out = shutil.ignore_patterns(*LEFT_OUT, *row.left_out, "__pycache__")
    for folder in ("docs", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    printed = run([python, "-m", "pytest", "-q", "--tb=short", "--show-capture=no"], tmp_path)
    assert " passed" in printed


@pytest.mark.parametrize("row", [*FRAMEWORKS, *VERSIONS], ids=str)
def test_the_wheel_is_what_runs(python: Path, tmp_path: Path):
    imported = run([python, "-c", "import middleware; print(middleware.__file__)"], tmp_path)
    assert Path(imported.strip()).is_relative_to(python.parents[1] / "lib")


def test_the_lowest_row_has_the_floors_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(package.split("==") for package in LOWEST.packages if "==" in package)
    extras = [project["optional-dependencies"][name] for name in ("br", "zstd", "redis", "crypto")]
    for requirement in map(Requirement, chain(project["dependencies"], *extras)):
        (floor,) = requirement.specifier
        assert (floor.operator, Version(floor.version)) == (">=", Version(pins[requirement.name]))
    assert project["requires-python"] == f">={LOWEST.pythons[0]}"
