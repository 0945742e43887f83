"""What the ids of a request have in common: the value that belongs to the current request, and hooks of the user."""

from __future__ import annotations

import inspect
import logging
import os
from contextlib import suppress
from os import urandom
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._errors import Problem, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar

T = TypeVar("T")

_SUPPLY = 64  # ids

_logger = logging.getLogger("middleware.request_log")
_supply: list[str] = []  # threads take from it and add to it in single steps

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_supply.clear)  # a child would give out the ids of its parent again


class Current(Generic[T]):
    """The value of one request, in a context variable from now on until the request ends, and beyond.

    It is set whatever the variable holds: a pipelined request inherits the context of the one before (uvicorn). In the
    end it stays, so that what the server logs of a failed request has it, unless the request before is unfinished:
    then this one was a call inside the process, and what its caller logs from now on belongs to the caller.
    """

    __slots__ = ("_outer", "_variable", "is_finished", "value")

    def __init__(self, variable: ContextVar[Current[T] | None], value: T) -> None:
        self._variable = variable
        self._outer = variable.get()
        self.value = value
        self.is_finished = False
        variable.set(self)

    def end(self) -> None:
        """The application has returned or raised."""
        self.is_finished = True
        outer, self._outer = self._outer, None  # the requests of a connection are no chain that grows
        if outer is not None and not outer.is_finished and self._variable.get() is self:
            self._variable.set(outer)


def random_id() -> str:
    """32 random hexadecimal digits, of which neither all nor the first 16 are zero: no trace or span has such an id.

    They come from a supply: to ask the operating system each time costs more than anything else about an id.
    """
    while True:
        try:
            return _supply.pop()
        except IndexError:
            digits = urandom(_SUPPLY * 16).hex()
            drawn = [digits[start : start + 32] for start in range(0, len(digits), 32)]
            _supply.extend([one for one in drawn if one[:16].strip("0")])


class Hook(Generic[T]):
    """A function of the user's that cannot fail a request; that it raises or returns nonsense is told once.

    Args:
        name: What it is called in the log.
        function: The function.
        is_right: Whether what it returned can be used.
        wanted: What it should return, for the log.
        remedy: What happens instead, for the log.
    """

    __slots__ = ("_function", "_is_right", "_name", "_remedy", "_told", "_wanted")

    def __init__(
        self, name: str, function: Callable[..., T], is_right: Callable[[object], bool], wanted: str, remedy: str
    ) -> None:
        self._name = name
        self._function = function
        self._is_right = is_right
        self._wanted = wanted
        self._remedy = remedy
        self._told = False

    def ask(self, *arguments: Any) -> T | None:
        """What the function returns, None if that cannot be used."""
        try:
            answer = self._function(*arguments)
            if self._is_right(answer):
                return answer
            self._tell(f"returned {shown(answer)}, not {self._wanted}", None)
        except Exception as error:
            self._tell("raised", error)
        return None

    def _tell(self, what: str, error: Exception | None) -> None:
        if not self._told:
            self._told = True
            with suppress(Exception):  # a handler that fails is no reason to fail the request
                text = "%s %s; %s. It is not told again when that happens"
                _logger.error(text, self._name, what, self._remedy, exc_info=error)


def trust_of(owner: str, trust: bool | Callable[[Any], bool]) -> bool | Callable[[Any], bool | None]:
    """``trust`` itself where it is a boolean, else what asks it about a scope."""
    if isinstance(trust, bool):
        return trust
    remedy = "what the caller sent is not taken over then"
    return Hook(f"trust of {owner}", trust, lambda answer: isinstance(answer, bool), "True or False", remedy).ask


def hook_problem(parameter: str, function: object, signature: str) -> Problem | None:
    """What is wrong with a function that is called with no chance to wait, None if nothing is."""
    if not callable(function):
        return Problem(parameter, function, "is not a function", f"pass one: def {signature}")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return Problem(parameter, function, "is asynchronous, and nothing is awaited here", f"write def {signature}")
    return None


def trust_problem(trust: object) -> Problem | None:
    """What is wrong with ``trust``, None if nothing is."""
    return None if isinstance(trust, bool) else hook_problem("trust", trust, "trust(scope) -> bool, or a boolean")
