"""The one error that a wrong configuration raises.

Every class looks at its whole configuration first and refuses it once, with all problems in one
:class:`ConfigurationError`. The refusal is logged as well: Starlette and FastAPI construct middleware inside the
lifespan, where servers swallow exceptions ("lifespan appears unsupported").
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from reprlib import Repr
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_logger = logging.getLogger("middleware")

_repr = Repr()
_repr.maxstring = _repr.maxother = 120


def shown(value: object) -> str:
    """``value`` for an error text: short, on one line, and by its name or type if it may hold secrets."""
    if isinstance(value, int) and value.bit_length() > 1_000:  # Python writes no number of more than 4,300 digits
        return "<a very large number>"
    if value is None or isinstance(value, bool | int | float | str):
        return _repr.repr(value)
    if isinstance(value, ModuleType):
        return f"<module {_repr.repr(value.__name__)}>"
    if isinstance(value, type):
        return f"<class {value.__qualname__}>"
    name = value.__name__ if isinstance(value, FunctionType) else f"{type(value).__qualname__} object"
    return f"<{name}>"


class Problem(NamedTuple):
    """One wrong parameter of a configuration.

    Args:
        parameter: The name under which the user gave the value.
        value: What was given.
        reason: What is wrong with it, read after the value: "is a class, not an application".
        remedy: What to write instead: "write ChatConsumer.as_asgi()".
    """

    parameter: str
    value: object
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.parameter}={shown(self.value)} {self.reason}; {self.remedy}"


class ConfigurationError(ValueError):
    """A class of this package refuses the configuration that it was given.

    Args:
        owner: The class or function that refuses.
        problems: Everything that is wrong with the configuration, in the order of the parameters.

    Attributes:
        owner: As above.
        problems: As above, a tuple of named tuples ``(parameter, value, reason, remedy)``.
    """

    def __init__(self, owner: str, problems: Iterable[Problem]) -> None:
        self.owner = owner
        self.problems = tuple(problems)
        super().__init__(owner, self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.owner}: {self.problems[0]}"
        return "\n  - ".join([f"{self.owner}: {len(self.problems)} problems", *map(str, self.problems)])


def refuse(owner: str, problems: Iterable[Problem | None]) -> None:
    """Log and raise the refusal if there is any problem; else do nothing."""
    error = ConfigurationError(owner, [problem for problem in problems if problem is not None])
    if error.problems:
        _logger.error("%s", error)
        raise error


def listed(parameter: str, given: object, problems: list[Problem]) -> tuple[Any, ...]:
    """What a parameter lists, copied: the caller's list may change later, an iterator can be read only once.

    That it is no list is added to ``problems``; None lists nothing.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        items = [item.strip() for item in given.split(",") if item.strip()]
        problems.append(Problem(parameter, given, "is a string, not a list", f"write {parameter}={items!r}"))
        return ()
    if isinstance(given, Collection) and not isinstance(given, bytes | Mapping):
        return tuple(given)
    problems.append(Problem(parameter, given, "is not a list", f"write {parameter}=list(...)"))
    return ()


def check_flag(parameter: str, value: object, problems: list[Problem]) -> None:
    """Add to ``problems`` that ``value`` is no boolean, if so."""
    if not isinstance(value, bool):
        problems.append(Problem(parameter, value, "is not a boolean", f"write {parameter}=True or leave it out"))
