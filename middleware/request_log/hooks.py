"""Functions of the user's, which cannot fail a request."""

from __future__ import annotations

import inspect
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._errors import Problem, shown
from .text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_logger = logging.getLogger("middleware.request_log")


class Hook(Generic[T]):
    """A function of the user's. That it raises or returns nonsense is counted, and told the first time.

    Args:
        name: What it is called in the log.
        function: The function.
        is_right: Whether what it returned can be used.
        wanted: What it should return, for the log.
        remedy: What happens instead, for the log.

    Attributes:
        failures: How often that happened.
    """

    __slots__ = ("_function", "_is_right", "_name", "_remedy", "_wanted", "failures")

    def __init__(
        self, name: str, function: Callable[..., T], is_right: Callable[[object], bool], *, wanted: str, remedy: str
    ) -> None:
        self._name = name
        self._function = function
        self._is_right = is_right
        self._wanted = wanted
        self._remedy = remedy
        self.failures = 0

    def ask(self, *arguments: Any) -> T | None:
        """What the function returns; None if that cannot be used."""
        try:
            answer = self._function(*arguments)
            if self._is_right(answer):
                return answer
            self._fail(f"returned {shown(answer)}, not {self._wanted}", None)
        except Exception as error:
            self._fail("raised", error)
        return None

    def _fail(self, what: str, error: Exception | None) -> None:
        self.failures += 1
        if self.failures == 1:
            with suppress(Exception):  # a handler that fails is no reason to fail the request
                text = "%s %s; %s. It is not told again when that happens"
                _logger.error(text, self._name, what, self._remedy, exc_info=error and escaped(error))


def hook_problem(parameter: str, function: object, signature: str) -> Problem | None:
    """What is wrong with a function that is called with no chance to wait, None if nothing is."""
    if not callable(function):
        return Problem(parameter, function, "is not a function", f"pass one: def {signature}")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return Problem(parameter, function, "is asynchronous, and nothing is awaited here", f"write def {signature}")
    return None


def trust_of(owner: str, trust: bool | Callable[[Any], bool]) -> bool | Callable[[Any], bool | None]:
    """``trust`` itself where it is a boolean, else what asks it about a scope."""
    if isinstance(trust, bool):
        return trust
    remedy = "what the caller sent is not taken over then"
    return Hook(
        f"trust of {owner}", trust, lambda answer: isinstance(answer, bool), wanted="True or False", remedy=remedy
    ).ask


def trust_problem(trust: object) -> Problem | None:
    """What is wrong with ``trust``, None if nothing is."""
    return None if isinstance(trust, bool) else hook_problem("trust", trust, "trust(scope) -> bool, or a boolean")
