"""One error, all problems, readable and in the log."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest

from middleware import ConfigurationError, Middleware
from middleware._errors import Problem, refuse

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
