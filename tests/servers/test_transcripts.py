"""The page that `python -m tests.servers.transcripts` writes."""

import re

import pytest

from .transcripts import CASES, PAGE, SERVERS

ERROR = "ValueError: Django can only handle ASGI/HTTP connections, not websocket."


@pytest.mark.parametrize("server", SERVERS)
def test_the_page_of_the_seed_problem_shows_each_server_before_and_after(server: str):
    _, *sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    before, after, unlisted = section_of(server, sections)
    assert status(before) == (403 if server == "granian" else 500)
    assert ERROR in before
    assert status(after) == 101
    assert status(unlisted) == 403
    assert "Traceback" not in after + unlisted
    assert "unsupported" not in after + unlisted


def test_the_page_of_the_seed_problem_holds_nothing_of_the_machine_that_wrote_it():
    page = PAGE.read_text(encoding="utf-8")
    paths = re.findall(r'File "/|site-packages|/home/|/tmp/', page)
    times_and_ports = re.findall(r"\d\d:\d\d:\d\d|(?:127\.0\.0\.1:|port=)(?!8000\b)\d", page)
    assert paths + times_and_ports == []


def section_of(server: str, sections: list[str]) -> list[str]:
    [section] = [section for section in sections if section.startswith(f"{server}\n")]
    _, *cases = re.split(r"^### ", section, flags=re.MULTILINE)
    assert [case.partition("\n")[0] for case in cases] == [*CASES]
    return cases


def status(case: str) -> int:
    return int(re.search(r"^HTTP/1\.1 (\d+)", case, re.MULTILINE)[1])
