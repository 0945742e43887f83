"""What the ids of a request have in common: random ones, and the value that belongs to the current request."""

from __future__ import annotations

import os
from os import urandom
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from contextvars import ContextVar

T = TypeVar("T")

_SUPPLY = 64  # ids

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
