"""A virtual environment for each row, kept under ``.venvs``, with the wheel of this checkout freshly in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from .rows import Row

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venvs"
SECONDS = 300


def run(command: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Run ``command`` in ``folder`` and return what it prints; if it fails, the error says what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


@cache
def interpreter(pythons: tuple[str, ...]) -> Path | None:
    """The first of the minor versions ``pythons`` that is on this machine and can make virtual environments."""
    for minor in pythons:
        for candidate in _candidates(minor):
            if _runs(candidate, minor):
                return candidate
    return None


def _candidates(minor: str) -> Iterator[Path]:
    name = f"python{minor}"
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        yield Path(folder, name)
    for root in _pyenv_roots():
        yield from sorted(root.glob(f"versions/{minor}.*/bin/{name}"))


def _pyenv_roots() -> Iterator[Path]:
    if "PYENV_ROOT" in os.environ:
        yield Path(os.environ["PYENV_ROOT"])
    if shutil.which("pyenv"):
        yield Path(subprocess.run(["pyenv", "root"], capture_output=True, text=True, timeout=30).stdout.strip())
    yield Path.home() / ".pyenv"


def _runs(python: Path, minor: str) -> bool:
    # What stands on the PATH may be a shim of pyenv that fails, or a Python of the system without ensurepip.
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == minor


def build_wheel(folder: Path) -> Path:
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def prepare(row: Row, wheel: Path) -> Path:
    """Return the Python of the row's environment, made if it is not there yet, with ``wheel`` installed in it."""
    folder = ENVIRONMENTS / row.name
    python = folder / "bin" / "python"
    base = interpreter(row.pythons)
    assert base is not None, "rows without a Python are deselected"
    pins = _pins(row)
    stamp, wanted = folder / "installed", "\n".join([str(base), *row.packages, *pins])
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        ENVIRONMENTS.mkdir(exist_ok=True)
        run([base, "-m", "venv", "--clear", folder], ENVIRONMENTS)
        (folder / "pins.txt").write_text("\n".join(pins))
        # Compiling is left to the first import: most modules of a framework are never imported here.
        _pip(python, "install", "--no-compile", "--constraint", str(folder / "pins.txt"), *row.packages)
        stamp.write_text(wanted)
    _pip(python, "install", "--no-deps", "--force-reinstall", str(wheel))
    _pip(python, "check")
    return python


def _pins(row: Row) -> list[str]:
    own = {name.lower() for name, exact, _ in (package.partition("==") for package in row.packages) if exact}
    lines = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    return [line for line in lines if line.partition("==")[0].lower() not in own]


def _pip(python: Path, command: str, *arguments: str) -> None:
    run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", command, *arguments], ENVIRONMENTS)
