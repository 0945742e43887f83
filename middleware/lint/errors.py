"""The error that Lint raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rules import Side


class LintError(Exception):
    """One side of an ASGI conversation broke a rule of the specification.

    Attributes:
        side: ``"application"`` or ``"server"``, whose fault it is.
        rule: The name of the rule, as in the documentation's table.
        section: Where the rule is written.
    """

    def __init__(self, side: Side, rule: str, section: str, detail: str) -> None:
        self.side = side
        self.rule = rule
        self.section = section
        super().__init__(side, rule, section, detail)

    def __str__(self) -> str:
        side, rule, section, detail = self.args
        return f"the {side} broke the rule {rule}: {detail} ({section})"
