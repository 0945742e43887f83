"""The path below the root path, and the table of prefixes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware._paths import PrefixTable, below_root, prefix_key, prefix_problem

BELOW: dict[tuple[Any, Any], tuple[str, str, bool]] = {
    ("/x", ""): ("", "/x", True),
    ("/x", None): ("", "/x", True),
    ("/x", "/"): ("", "/x", True),
    ("/x", "//"): ("", "/x", True),
    ("", ""): ("", "", True),
    (None, None): ("", "", True),
    ("*", ""): ("", "*", True),
    ("/outer/x", "/outer"): ("/outer", "/x", True),
    ("/outer/x", "/outer/"): ("/outer", "/x", True),
    ("/outer//x", "/outer/"): ("/outer", "//x", True),  # uvicorn with `--root-path /outer/`
    ("/outer", "/outer"): ("/outer", "", True),
    ("/outer/", "/outer"): ("/outer", "/", True),
    ("/x", "/outer"): ("/outer", "/x", False),
    ("/outerx", "/outer"): ("/outer", "/outerx", False),
    ("/", "/outer"): ("/outer", "/", False),
    ("", "/outer"): ("/outer", "", False),
    ("/a/outer/x", "/outer"): ("/outer", "/a/outer/x", False),
    ("/outer/outer/x", "/outer"): ("/outer", "/outer/x", True),
    ("/é/x", "/é"): ("/é", "/x", True),
    ("outer/x", "outer"): ("outer", "/x", True),
}


@pytest.mark.parametrize(("given_", "expected"), BELOW.items(), ids=repr)
def test_the_path_below_the_root(given_: tuple[Any, Any], expected: tuple[str, str, bool]) -> None:
    path, root_path = given_
    assert below_root({"path": path, "root_path": root_path}) == expected


def test_the_keys_of_the_scope_are_optional() -> None:
    assert below_root({}) == ("", "", True)


def find(prefixes: list[str], path: str) -> tuple[str, str, dict[str, str] | None] | None:
    return PrefixTable((prefix, prefix) for prefix in prefixes).find(path)


FOUND: dict[str, tuple[list[str], str, tuple[str, str, dict[str, str] | None] | None]] = {
    "itself": (["/api"], "/api", ("/api", "/api", None)),
    "below": (["/api"], "/api/x", ("/api", "/api", None)),
    "slash": (["/api"], "/api/", ("/api", "/api", None)),
    "slash in the prefix": (["/api/"], "/api", ("/api/", "/api", None)),
    "other name": (["/api"], "/apix", None),
    "case": (["/api"], "/API", None),
    "above": (["/a/b"], "/a", None),
    "longest": (["/a", "/a/b"], "/a/b/c", ("/a/b", "/a/b", None)),
    "longest, declared first": (["/a/b", "/a"], "/a/b/c", ("/a/b", "/a/b", None)),
    "shorter": (["/a/b", "/a"], "/a/c", ("/a", "/a", None)),
    "m1 is not m19": (["/m1", "/m19"], "/m19/x", ("/m19", "/m19", None)),
    "dot is a dot": (["/a.b"], "/aXb", None),
    "root": (["/"], "/x", ("/", "", None)),
    "root, empty": ([""], "/x", ("", "", None)),
    "root, no slash": (["/"], "*", ("/", "", None)),
    "root, nothing": (["/"], "", ("/", "", None)),
    "root last": (["/", "/a"], "/a/x", ("/a", "/a", None)),
    "two slashes": (["/api"], "//api", None),
    "two slashes inside": (["/a/b"], "/a//b", None),
    "two slashes behind": (["/api"], "/api//x", ("/api", "/api", None)),
    "dots are left": (["/api"], "/x/../api", None),
    "dots behind": (["/api"], "/api/../admin", ("/api", "/api", None)),
    "no slash": (["/api"], "api", None),
    "name": (["/ws/{room}"], "/ws/lobby/x", ("/ws/{room}", "/ws/lobby", {"room": "lobby"})),
    "name, whole path": (["/ws/{room}"], "/ws/lobby", ("/ws/{room}", "/ws/lobby", {"room": "lobby"})),
    "name, empty": (["/ws/{room}"], "/ws/", None),
    "name, empty, more": (["/ws/{room}"], "/ws//x", None),
    "name, missing": (["/ws/{room}"], "/ws", None),
    "one of a kind": (["/a/{x}", "/b/{x}"], "/a/1", ("/a/{x}", "/a/1", {"x": "1"})),
    "another of the kind": (["/a/{x}", "/b/{y}"], "/b/1", ("/b/{y}", "/b/1", {"y": "1"})),
    "empty name before a literal": (["/{x}/b"], "//b", None),
    "dot": (["/{x}/b"], "/./b", None),
    "two dots": (["/{x}"], "/../b", None),
    "dots in a name": (["/{x}"], "/...", ("/{x}", "/...", {"x": "..."})),
    "hidden": (["/{x}"], "/.well-known/a", ("/{x}", "/.well-known", {"x": ".well-known"})),
    "two names": (["/{a}/x/{b}"], "/1/x/2/3", ("/{a}/x/{b}", "/1/x/2", {"a": "1", "b": "2"})),
    "literal first": (["/ws/{room}", "/ws/lobby"], "/ws/lobby", ("/ws/lobby", "/ws/lobby", None)),
    "literal further left": (["/{a}/b", "/a/{b}"], "/a/b", ("/a/{b}", "/a/b", {"b": "b"})),
    "name is longer": (
        ["/ws/lobby", "/ws/{a}/{b}"],
        "/ws/lobby/x",
        ("/ws/{a}/{b}", "/ws/lobby/x", {"a": "lobby", "b": "x"}),
    ),
    "empty name, shorter": (["/ws", "/ws/{room}"], "/ws//x", ("/ws", "/ws", None)),
    "a name that looks like one": (["/{a}"], "/{a}", ("/{a}", "/{a}", {"a": "{a}"})),
    "space": (["/a b"], "/a b/c", ("/a b", "/a b", None)),
    "nothing": ([], "/x", None),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_longest_prefix_at_a_segment_boundary(name: str) -> None:
    prefixes, path, expected = FOUND[name]
    assert find(prefixes, path) == expected
    assert find(prefixes[::-1], path) == expected  # the order of declaration is none


SEGMENT = st.sampled_from(["a", "b", "ab", "{x}", "{y}"])
PREFIXES = st.lists(
    st.lists(SEGMENT, max_size=3).filter(lambda one: prefix_problem("mounts", "/" + "/".join(one)) is None),
    max_size=6,
).map(
    lambda many: list({prefix_key(p): p for p in ("".join(f"/{segment}" for segment in one) for one in many)}.values())
)
PATHS = st.text(alphabet="ab/", max_size=8) | st.lists(st.sampled_from(["a", "b", "ab", "", "z"])).map("/".join)


@given(PREFIXES, PATHS)
def test_it_finds_what_trying_every_prefix_by_itself_finds(prefixes: list[str], path: str) -> None:
    def rank(prefix: str) -> tuple[int, list[bool]]:
        segments = prefix.split("/")[1:]
        return -len(segments), [segment.startswith("{") for segment in segments]

    matches = []
    for prefix in sorted(prefixes, key=rank):
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(prefix)) + "(?=/|$)"
        match = re.match(pattern if prefix else "", path)
        if match:
            matches.append((prefix, match[0], match.groupdict() or None))
    assert find(prefixes, path) == (matches[0] if matches else None)


WRONG: dict[Any, str] = {
    "api": "write '/api'",
    "ws/{room}": "write '/ws/{room}'",
    "/a//b": "write '/literal' or '/{name}' for each segment",
    "/a/..": "for each segment",
    "/./a": "for each segment",
    "/a*": "needs no '*'",
    "/a/*": "needs no '*'",
    "/a?x": "for each segment",
    "/a#x": "for each segment",
    "//": "for each segment",
    "/a{b}": "for each segment",
    "/{b}c": "for each segment",
    "/{}": "for each segment",
    "/{1}": "for each segment",
    "/{a:int}": "for each segment",
    "/{a-b}": "for each segment",
    "/{a": "for each segment",
    "/{a}/{a}": "give each {name} its own",
    "/caf%C3%A9": "write '/café'",
    5: "write a string such as '/api'",
    b"/api": "write a string such as '/api'",
    None: "write a string such as '/api'",
}


@pytest.mark.parametrize(("prefix", "remedy"), WRONG.items(), ids=repr)
def test_a_wrong_prefix_is_told_with_what_to_write_instead(prefix: Any, remedy: str) -> None:
    problem = prefix_problem("mounts", prefix)
    assert problem is not None
    assert (problem.parameter, problem.value) == ("mounts", prefix)
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    "prefix", ["", "/", "/a", "/a/", "/a/b", "/{a}/b/{c}", "/.well-known", "/...", "/100%", "/é", "/a b"]
)
def test_what_is_right_is_taken(prefix: str) -> None:
    assert prefix_problem("mounts", prefix) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/api", "/api/", True),
        ("", "/", True),
        ("/{a}", "/{b}/", True),
        ("/a/{b}", "/a/{c}", True),
        ("/a", "/{a}", False),
        ("/a/{b}", "/{a}/b", False),
        ("/a", "/A", False),
    ],
)
def test_prefixes_that_match_the_same_paths_are_known(one: str, other: str, same: bool) -> None:
    assert (prefix_key(one) == prefix_key(other)) is same
