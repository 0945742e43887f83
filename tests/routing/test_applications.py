"""``"module:attribute"`` strings: imported in order, and what is said of a wrong one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware import ConfigurationError, ProtocolRouter

APP = "async def application(scope, receive, send):\n    pass\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Write a module that can be imported during the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, source: str = APP) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def problem_of(**arguments: Any) -> Any:
    with pytest.raises(ConfigurationError) as caught:
        ProtocolRouter(**arguments)
    (problem,) = caught.value.problems
    return problem


def test_a_string_names_the_application(module: Any) -> None:
    module("mounted.sockets")
    router = ProtocolRouter(http="mounted.sockets:application")
    assert router.application_mapping["http"] is sys.modules["mounted.sockets"].application


def test_the_attribute_may_be_inside_an_object(module: Any) -> None:
    module("nested", f"class site:\n    {APP}".replace("\n    ", "\n        ").replace("        async", "    async"))
    router = ProtocolRouter(http="nested:site.application")
    assert router.application_mapping["http"] is sys.modules["nested"].site.application


def test_strings_are_imported_in_the_order_of_the_arguments(module: Any) -> None:
    for name in "abcde":
        module(f"order_{name}", f"import order_log\norder_log.seen.append('{name}')\n{APP}")
    module("order_log", "seen = []")
    ProtocolRouter(
        {"channel": "order_b:application", "mqtt": "order_a:application"},
        lifespan="order_e:application",
        default="order_d:application",
        http="order_c:application",
    )
    assert sys.modules["order_log"].seen == ["b", "a", "c", "d", "e"]


@pytest.mark.parametrize("path", ["", "chat", "chat.sockets", ":app", "chat:", "a b:app", "a/b:c", "a:b:c", ".:x"])
def test_a_string_of_another_form_is_refused_with_the_form(path: str) -> None:
    problem = problem_of(websocket=path)
    assert (problem.parameter, problem.value) == ("websocket", path)
    assert "write 'module:attribute', e.g. 'chat.sockets:application'" in problem.remedy


def test_a_module_that_does_not_exist_is_named(module: Any) -> None:
    module("package.sockets")
    assert "does not exist: 'package.sokets'" in problem_of(websocket="package.sokets:application").reason
    assert "does not exist: 'pakage'" in problem_of(websocket="pakage.sockets:application").reason


def test_an_attribute_that_does_not_exist_is_answered_with_a_near_one(module: Any) -> None:
    module("sockets")
    problem = problem_of(websocket="sockets:aplication")
    assert "has no 'aplication'" in problem.reason
    assert problem.remedy == "did you mean 'application'?"
    assert "above where the router is made" in problem_of(websocket="sockets:zzz").remedy


def test_what_stands_in_the_users_module_is_not_printed(module: Any) -> None:
    module("conf", "DATABASES = {'default': {'PASSWORD': 'hunter2'}}")
    assert "hunter2" not in str(problem_of(websocket="conf:DATABASES.application"))
    assert "hunter2" not in str(problem_of(websocket="conf:DATABASES"))


def test_an_attribute_that_is_made_on_access_is_made_once(module: Any) -> None:
    module("lazy", f"{APP}\nmade = []\ndef __getattr__(name):\n    made.append(name)\n    return application\n")
    ProtocolRouter(http="lazy:app")
    assert sys.modules["lazy"].made.count("app") == 1


def test_what_the_string_names_is_checked_like_an_object(module: Any) -> None:
    module("consumers", "class Chat:\n    @classmethod\n    def as_asgi(cls): ...\n")
    problem = problem_of(websocket="consumers:Chat")
    assert problem.value == "consumers:Chat"
    assert problem.remedy == "write Chat.as_asgi()"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import package_that_is_missing", ModuleNotFoundError),
        ("from os import nothing_of_that_name", ImportError),
        ("1 / 0", ZeroDivisionError),
        ("object().missing", AttributeError),
        ("raise ModuleNotFoundError('by hand')", ModuleNotFoundError),
    ],
)
def test_an_error_inside_the_users_module_goes_through_with_its_own_traceback(
    module: Any, source: str, error: type[Exception]
) -> None:
    module("broken", source)
    with pytest.raises(error) as caught:
        ProtocolRouter(websocket="broken:application")
    assert not isinstance(caught.value, ConfigurationError)
    assert any(entry.path.name == "broken.py" for entry in caught.traceback if isinstance(entry.path, Path))


@given(st.text(max_size=30) | st.from_regex(r"[a-z_.]{0,6}:?[a-z_.]{0,6}", fullmatch=True))
def test_any_other_text_is_refused_and_never_fails_in_another_way(text: str) -> None:
    with pytest.raises(ConfigurationError):
        ProtocolRouter(http=f"no_such_package.{text}")
    with pytest.raises(ConfigurationError):
        ProtocolRouter(http=text.replace(":", ""))
