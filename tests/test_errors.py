"""One error, all problems, readable and in the log."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest

from middleware import ConfigurationError
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


def test_a_value_whose_repr_fails_does_not_hide_the_error() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "is not an application" in str(Problem("http", Broken(), "is not an application", "pass one"))


def test_the_error_survives_pickling_and_copying() -> None:
    error = ConfigurationError("stack", [ONE, TWO])
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(again) == str(error)
        assert again.problems == error.problems
