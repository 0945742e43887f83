"""The shape of the package: rooms that do not know each other, mirrored by tests and pages, small."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import middleware

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "middleware"
ROOMS = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
SHARED_TESTS = {"benchmarks", "examples", "matrix", "servers", "transcripts", "typing"}
# Lines of each room, with docstrings; "" is what stands beside them.
LIMITS = {
    "": 800,
    "compression": 1_000,
    "cors": 900,
    "lint": 1_000,
    "request_log": 2_100,
    "routing": 1_050,
    "sessions": 2_100,
}
PAGES = {
    "routing": ["protocol-router.md", "path-router.md", "host-router.md", "lifespan.md", "deploying.md"],
    "compression": ["compression.md"],
    "cors": ["cors.md"],
    "lint": ["lint.md"],
    "request_log": ["request-log.md"],
    "sessions": ["sessions.md"],
}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def room_of(path: Path) -> str:
    """The room of a module, or "" for one that stands beside the rooms."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """The package's own modules that ``path`` imports, as dotted names below the package."""
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            yield ".".join([*base, *filter(None, [node.module])])


def test_rooms_import_each_other_never_and_all_may_use_the_shared_modules() -> None:
    for path, tree in modules():
        if path == PACKAGE / "__init__.py":
            continue
        for name in imports(path, tree):
            first = name.partition(".")[0]
            assert first.startswith("_") or first == room_of(path), f"{path} imports {name}"


def test_the_check_of_imports_sees_a_room_that_imports_another(tmp_path: Path) -> None:
    tree = ast.parse("from ..routing.protocol import ProtocolRouter\nfrom . import shapes\nfrom .. import _asgi")
    assert [*imports(PACKAGE / "lint" / "shapes.py", tree)] == ["routing.protocol", "lint", ""]


def test_all_imports_inside_the_package_are_relative() -> None:
    for path, tree in modules():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(name.partition(".")[0] == "middleware" for name in names), path


def test_every_room_has_its_tests_and_its_page() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - SHARED_TESTS == ROOMS
    assert PAGES.keys() == ROOMS
    for room, pages in PAGES.items():
        assert [*(ROOT / "tests" / room).glob("test_*.py")]
        assert all((ROOT / "docs" / page).is_file() for page in pages)


def test_every_shared_module_has_its_tests() -> None:
    for path in PACKAGE.glob("*.py"):
        if path.stem != "__init__":
            assert (ROOT / "tests" / f"test_{path.stem.lstrip('_')}.py").is_file(), path


def test_the_package_stays_small() -> None:
    lines = {path: path.read_text().count("\n") for path, _ in modules()}
    rooms = Counter[str]()
    for path, count in lines.items():
        rooms[room_of(path)] += count
    assert {room: count for room, count in rooms.items() if count > LIMITS[room]} == {}
    assert max(lines.values()) <= 260
    assert len(middleware.__all__) <= 28


def test_every_public_name_is_there_and_documented() -> None:
    for name in middleware.__all__:
        assert hasattr(middleware, name)
        assert name == "Middleware" or getattr(middleware, name).__doc__


def test_classes_that_speak_asgi_have_slots_and_write_to_themselves_only_in_init() -> None:
    for path, tree in modules():
        for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            functions = {
                node.name: node for node in cls.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
            if "__call__" not in functions:
                continue
            assert any(
                isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__" for node in cls.body
            ), f"{path}: {cls.name}"
            for name, function in functions.items():
                written = [target for target in ast.walk(function) if _is_attribute_of_self_written(target)]
                assert name == "__init__" or not written, f"{path}: {cls.name}.{name}"


def _is_attribute_of_self_written(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, (ast.Store, ast.Del))
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def test_nothing_unfinished_is_left() -> None:
    for path, tree in modules():
        source = path.read_text()
        assert not any(mark in source for mark in ("TODO", "FIXME", "XXX")), path
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), f"{path}: validation by assert"
