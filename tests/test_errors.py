"""One error, all problems, readable and in the log."""

from __future__ import annotations

import copy
import logging
import pickle
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from middleware import ConfigurationError, Middleware
from middleware._errors import Problem, listed, refuse

ONE = Problem("http", None, "is not an application", "pass one")
TWO = Problem("lifespan", 5, "is not an application", "leave it out")


def test_one_problem_reads_as_one_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        refuse("ProtocolRouter", [None, ONE])
    assert str(caught.value) == "ProtocolRouter: http=None is not an application; pass one"


def test_all_problems_stand_in_one_error() -> None:
    with pytest.raises(ValueError) as caught:
        refuse("ProtocolRouter", [ONE, None, TWO])
    error = caught.value
    assert isinstance(error, ConfigurationError)
    assert error.problems == (ONE, TWO)
    assert error.owner == "ProtocolRouter"
    assert str(error).splitlines() == [
        "ProtocolRouter: 2 problems",
        "  - http=None is not an application; pass one",
        "  - lifespan=5 is not an application; leave it out",
    ]


def test_the_refusal_stands_in_full_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError) as caught:
        refuse("ProtocolRouter", [ONE, TWO])
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("middleware", logging.ERROR, str(caught.value))


def test_nothing_wrong_is_nothing_logged_and_nothing_raised(caplog: pytest.LogCaptureFixture) -> None:
    refuse("ProtocolRouter", [])
    refuse("ProtocolRouter", [None])
    assert not caplog.records


def test_a_long_or_hostile_value_is_shortened_and_escaped() -> None:
    problem = Problem("http", "x\r\n\x1b[31m" + "y" * 10_000, "is a string", "import it")
    text = str(problem)
    assert len(text) < 300
    assert "\n" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        ("a:b", "'a:b'"),
        (int, "<class int>"),
        (logging, "<module 'logging'>"),
        (refuse, "<refuse>"),
        ({"SECRET_KEY": "hunter2"}, "<dict object>"),
        (Middleware(Problem, secret_key="hunter2"), "<Middleware object>"),  # type: ignore[arg-type]
    ],
)
def test_only_plain_values_are_shown_the_others_by_name_or_type(value: object, text: str) -> None:
    shown = str(Problem("http", value, "is wrong", "mend it"))
    assert shown == f"http={text} is wrong; mend it"


def test_the_error_survives_pickling_and_copying() -> None:
    error = ConfigurationError("stack", [ONE, TWO])
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(again) == str(error)
        assert again.problems == error.problems


# What a parameter lists


@pytest.mark.parametrize("collection", [list, tuple, set, frozenset, deque, lambda names: dict.fromkeys(names).keys()])
def test_any_collection_is_a_list_and_nothing_lists_none(collection: Callable[[Any], Any]) -> None:
    problems: list[Problem] = []
    assert sorted(listed("codecs", collection(["br", "gzip"]), problems)) == ["br", "gzip"]
    assert listed("codecs", collection([]), problems) == listed("codecs", None, problems) == ()
    assert problems == []


def test_what_is_listed_keeps_its_order_and_does_not_change_with_the_callers_list() -> None:
    names: list[Any] = ["br", 5, None, "br"]
    found = listed("codecs", names, [])
    names.clear()
    assert found == ("br", 5, None, "br")


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("br", "['br']"),
        (" br ,gzip,, ", "['br', 'gzip']"),
        ("", "[]"),
        (",", "[]"),
        ("it's", """["it's"]"""),
        ("a\r\n\x1b", r"['a\r\n\x1b']"),
    ],
)
def test_a_string_is_no_list_and_the_remedy_is_one(text: str, items: str) -> None:
    problems = [ONE]
    assert listed("codecs", text, problems) == ()
    assert problems == [ONE, Problem("codecs", text, "is a string, not a list", f"write codecs={items}")]


@pytest.mark.parametrize("given", [b"br", {"br": 4}, {}, 5, 0, True, ..., list, len], ids=repr)
def test_what_is_no_collection_is_no_list(given: object) -> None:
    problems = [ONE]
    assert listed("codecs", given, problems) == ()
    assert problems == [ONE, Problem("codecs", given, "is not a list", "write codecs=list(...)")]


def test_what_can_be_read_only_once_is_refused_unread() -> None:
    given = iter(["br", "gzip"])
    problems: list[Problem] = []
    assert listed("codecs", given, problems) == ()
    assert [problem.reason for problem in problems] == ["is not a list"]
    assert [*given] == ["br", "gzip"]
