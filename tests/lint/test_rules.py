"""Every rule catches the side that breaks it, and lets the same thing done right pass."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest

from middleware.lint import LintError, LintMiddleware
from middleware.lint.rules import RULES
from tests.lint.broken import CASES, Case, Conversation


def _id(case: Case) -> str:
    return f"{case.rule}-{case.side}"


async def hold(conversation: Conversation, *, strict: bool) -> list[Any]:
    """Hold the conversation through Lint, once; return what reached the server."""
    scope, received, app, client_class = conversation
    client = client_class(*copy.deepcopy(received))
    scope = copy.deepcopy(scope)
    await LintMiddleware(app, strict=strict)(scope, client.receive, client.send)
    if "late" in scope:
        await scope["late"]({"type": "http.response.body"})
    return client.sent


@pytest.mark.parametrize("case", CASES, ids=_id)
async def test_strict_lint_raises_for_the_side_that_breaks_the_rule_only(case: Case) -> None:
    with pytest.raises(LintError) as caught:
        await hold(case.wrong, strict=True)
    assert (caught.value.rule, caught.value.side) == (case.rule, case.side)
    assert caught.value.section == RULES[case.rule].section
    assert case.rule in str(caught.value)

    await hold(case.right, strict=True)


@pytest.mark.parametrize("case", CASES, ids=_id)
async def test_the_servers_faults_are_warnings_and_the_applications_are_errors(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    if case.side == "server" or RULES[case.rule].tolerated:
        await hold(case.wrong, strict=False)
        assert [record.name for record in caplog.records] == ["middleware.lint"] * len(caplog.records)
        assert any(f"the {case.side} broke the rule {case.rule}:" in record.message for record in caplog.records)
    else:
        with pytest.raises(LintError, match=f"the application broke the rule {case.rule}:"):
            await hold(case.wrong, strict=False)


def test_no_rule_is_without_its_broken_application_or_server() -> None:
    assert {case.rule for case in CASES} == RULES.keys()


def test_the_documentation_lists_every_rule_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "lint.md").read_text()
    for rule in RULES.values():
        assert f"| `{rule.name}` | {rule.promise} | {rule.section} |" in page
        assert not rule.tolerated or f"`{rule.name}` (" in page
    assert page.count("\n| `") == len(RULES) + 2  # and the two parameters


async def test_a_fault_of_the_server_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    case = next(case for case in CASES if case.rule == "scope-shape")
    lint = LintMiddleware(case.wrong.app)
    for _ in range(3):
        client = case.wrong.client(*case.wrong.received)
        await lint(case.wrong.scope, client.receive, client.send)
    assert len(caplog.records) == 1
