"""Sets of origins: what may stand in them, what they hold, and that the examples catch a wrong matcher."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from middleware import _hosts
from middleware.cors import origins
from middleware.cors.origins import Origins, origin_problem

LONG = ("a" * 63 + ".") * 3  # 192 bytes

# Each entry, with the origins that it allows and those that it does not

MATCHES: dict[str, tuple[str, str]] = {
    "https://app.example.com": (
        "https://app.example.com",
        """http://app.example.com https://app.example.com:8443 https://app.example.com. https://a.app.example.com
        https://example.com https://xapp.example.com https://app.example.comx https://app.example.co
        https://app-example.com https://app.example.com.evil.example https://evil.example https""",
    ),
    "https://app.example.com:8443": (
        "https://app.example.com:8443",
        "https://app.example.com https://app.example.com:844 https://app.example.com:84430 http://app.example.com:8443",
    ),
    "http://localhost:*": (
        "http://localhost http://localhost:1 http://localhost:3000 http://localhost:443 http://localhost:65535",
        """https://localhost http://localhost:80 http://localhost:65536 http://localhost:03000 http://localhost:0
        http://localhost: http://localhost:* http://localhost:a http://localhost:-1 http://localhost:3000:3000
        http://localhost:99999 http://localhost:300000 http://localhost. http://a.localhost:3000 http://local""",
    ),
    "https://*.example.com": (
        f"""https://a.example.com https://a.b.example.com https://a.b.c.d.example.com https://xn--bcher-kva.example.com
        https://a_b.example.com https://1.example.com https://a--b.example.com https://example.com.example.com
        https://{LONG}{"b" * 49}.example.com""",
        f"""https://example.com https://.example.com https://..example.com https://a..example.com https://-.example.com
        https://-a.example.com https://a-.example.com https://*.example.com https://evilexample.com
        https://evil-example.com https://a.example.com:443 https://a.example.com:8443 http://a.example.com
        https://a.example.com. https://a.example.org https://a.example.com.evil.example https://aXexample.com
        https://{LONG}{"b" * 50}.example.com https://{LONG * 400}.example.com""",
    ),
    "https://*.example.com:8443": (
        "https://a.example.com:8443 https://a.b.example.com:8443",
        "https://a.example.com https://example.com:8443 https://a.example.com:84 https://a.example.com:*",
    ),
    "http://*.example.com:1": ("http://a.example.com:1", "http://a.example.com http://a.example.com:2"),
    "http://*.localhost:*": (
        "http://a.localhost http://a.localhost:8000 http://a.b.localhost:1",
        "http://localhost http://localhost:8000 http://a.localhost:80 https://a.localhost:8000 http://xlocalhost:8000",
    ),
    "https://example.com.": (
        "https://example.com.",
        "https://example.com https://a.example.com. https://example.com..",
    ),
    "https://*.example.com.": ("https://a.example.com.", "https://a.example.com https://example.com. https://a.com."),
    "http://[::1]": ("http://[::1]", "http://[::1]:80 http://[::2] http://::1 https://[::1] http://[0::1] http://[::1"),
    "http://[2001:db8::a]:*": (
        "http://[2001:db8::a] http://[2001:db8::a]:8000",
        "http://[2001:DB8::A]:8000 http://[2001:db8:0::a]:8000 http://[2001:db8::b] http://2001:db8::a",
    ),
    "http://127.0.0.1:8000": ("http://127.0.0.1:8000", "http://127.0.0.1 http://127.0.0.2:8000 http://127.1:8000"),
    "chrome-extension://abcdefgh": ("chrome-extension://abcdefgh", "chrome-extension://abcdefgi https://abcdefgh"),
    "*": (
        f"""https://example.com http://example.com:8080 https://example.com. http://[::1]:81 http://127.0.0.1
        moz-extension://a-b {"s" * 64}://{LONG}{"b" * 61}:65535""",
        f"""https://example.com:443 HTTPS://example.com Https://example.com https://example.com:65536 http://[0::1]
        http://[::ffff:102:304] http://[::1%eth0] https://-a.example https://a..b
        https://{LONG}{"b" * 62} {"s" * 65}://a""",
    ),
}

# What no entry allows, "*" among them

NO_ORIGINS = (
    *(b"", b"null", b"*", b"https", b"https:", b"https://", b"//example.com", b"://example.com", b"example.com"),
    *(b"https://*", b"https:/example.com", b"file://", b"file:///x", b"about:blank", b"https://https://example.com"),
    *(f"{good}{end}".encode() for good in ("https://a.example.com", "http://localhost:3000") for end in "/?#@, *\0\n"),
    *(b" https://app.example.com", b"\thttps://app.example.com", b"https://app.example.com\r\n", b"Null", b"NULL"),
    *(b"https://u@app.example.com", b"https://u:p@a.example.com", b"https://evil.com/.example.com", b"https://a/@b"),
    *(b"https://app.example.com, https://app.example.com", b"https://app.example.com https://app.example.com"),
    *(b"HTTPS://APP.EXAMPLE.COM", b"https://APP.example.com", b"https://A.example.com", b"https://a.EXAMPLE.com"),
    *("https://bücher.example.com".encode(), b"https://b\xfccher.example.com", b"https://a\xff.example.com"),
    *("https://\u212a.example.com".encode(), "http://localhost:\uff13".encode(), b"https://a\x00.example.com"),
    *(b"https://[a.example.com", b"https://a].example.com", b"http://[]", b"http://[", b"a" * 65_536),
    *(b"https://" + b"a." * 40_000 + b"example.com", b"http://localhost:" + b"1" * 70_000),
)

TOGETHER = ("https://*.a.example:81", "https://*.a.example:82", "http://*.a.example", "https://b.a.example")
OF_THEM = (
    *(b"https://b.a.example", b"https://b.a.example:81", b"https://b.a.example:82", b"https://c.d.a.example:82"),
    b"http://c.a.example",
)
NOT_OF_THEM = (b"https://c.a.example", b"https://b.a.example:83", b"http://c.a.example:81", b"https://a.example:81")

# What is refused: the value, how the reason begins, what to write instead

EXAMPLES = "write 'https://app.example.com', 'https://*.example.com' or 'http://localhost:*'"
REGEX = ("looks like a regular expression", f"{EXAMPLES}; CORSMiddleware has allow_origin_regex")
NO_ORIGIN = ("is no origin that a browser sends", EXAMPLES)
NO_STAR = ("has a '*' where none can stand", EXAMPLES)
NO_SCHEMES = ("ws", "wss", "file", "data")
WRONG: dict[Any, tuple[str, str]] = {
    "null": ("is the origin of sandboxed frames", "leave it out"),
    "example.com": ("has no scheme", "write 'https://example.com'"),
    "app.example.com:8443": ("has no scheme", "write 'https://app.example.com:8443'"),
    "*.example.com": ("has no scheme", "write 'https://*.example.com'"),
    "localhost:3000": ("has no scheme", "write 'http://localhost:3000'"),
    "127.0.0.1:3000": ("has no scheme", "write 'http://127.0.0.1:3000'"),
    "https://a.example/": ("has a slash at its end", "write 'https://a.example'"),
    "https://*.a.example/": ("has a slash at its end", "write 'https://*.a.example'"),
    "https://a.example/x": ("has a path", "write 'https://a.example'"),
    "https://a.example?x": ("has a path", "write 'https://a.example'"),
    "https://u:p@a.example": ("has a user", "write 'https://a.example'"),
    "HTTPS://A.Example": ("has upper case", "write 'https://a.example'"),
    "http://LOCALHOST:*": ("has upper case", "write 'http://localhost:*'"),
    " https://a.example": ("has a space around it", "write 'https://a.example'"),
    "https://a.example\n": ("has a space around it", "write 'https://a.example'"),
    "https://bücher.example": ("is not in ASCII", "write 'https://xn--bcher-kva.example'"),
    "https://*.bücher.example": ("is not in ASCII", "write 'https://*.xn--bcher-kva.example'"),
    "https://a.example:443": ("names the port that the scheme has anyway", "write 'https://a.example'"),
    "http://a.example:80": ("names the port that the scheme has anyway", "write 'http://a.example'"),
    "https://a.example:08443": ("has a port or an address", "write 'https://a.example:8443'"),
    "https://a.example:": ("has a port or an address", "write 'https://a.example'"),
    "http://[0::1]:81": ("has a port or an address", "write 'http://[::1]:81'"),
    "http://[2001:DB8::A]": ("has upper case", "write 'http://[2001:db8::a]'"),
    "https://a.example,https://b.example": (
        "is several origins in one string",
        "write 'https://a.example', 'https://b.example'",
    ),
    r"https://.*\.a\.example": REGEX,
    r"https://a\.example": REGEX,
    "https://(a|b).example": REGEX,
    "https://*.com": ("stands for everybody who has a name there", "write 'https://*.example.com'"),
    "http://*.com:*": ("stands for everybody who has a name there", "write 'http://*.example.com:*'"),
    5: ("is not an origin", EXAMPLES),
    None: ("is not an origin", EXAMPLES),
    b"https://a.example": ("is not an origin", EXAMPLES),
    **dict.fromkeys(
        (
            *("", "https://", "://", "https://:443", "https://[", "file://", "file:///x", "about:blank"),
            *("https:a.example", "https://a..example", "https://-a.example", "https://a.example:99999", "//a.example"),
            *("https://a.example:81:82", "https://a.example:0", "https://[::1", "https://[::g]"),
            *("https://" + "a" * 100_000, "https://a.example:" + "9" * 5_000, "https://a.example:" + "0" * 5_000),
            *(
                "https://[::ffff:1.2.3.4]",
                "https://[::1%eth0]",
                "https://1.2.3",
                "https://01.2.3.4",
                "https://127.1",
                "https://1.2.3.4.",
            ),
            *("https://a.1", "https://256.1.1.1", "https://" + "a" * 254, "a://" + "b." * 200),
        ),
        NO_ORIGIN,
    ),
    **dict.fromkeys(
        (
            *("**", "https://*", "https://*.*.a.example", "https://a.*.example", "https://*a.example"),
            *("https://a*.example", "https://a.example:80:*", "https://*.[::1]", "https://*.127.0.0.1"),
        ),
        NO_STAR,
    ),
    **{f"{scheme}://x": (f"has a scheme that no origin has: '{scheme}'", EXAMPLES) for scheme in NO_SCHEMES},
}


def unmet(module: Any) -> list[object]:
    """The examples that a version of the module ``origins`` does not meet."""
    wrong: list[object] = [entry for entry in MATCHES if module.origin_problem("p", entry) is not None]
    wrong += [entry for entry in WRONG if not met(module.origin_problem("p", entry), *WRONG[entry])]
    if wrong:
        return wrong
    for entry, (allowed, denied) in MATCHES.items():
        listed = module.Origins((entry,))
        wrong += [(entry, value) for value in allowed.encode().split() if value not in listed]
        wrong += [(entry, value) for value in (*denied.encode().split(), *NO_ORIGINS) if value in listed]
    listed = module.Origins(TOGETHER)
    wrong += [value for value in OF_THEM if value not in listed]
    return wrong + [value for value in (*NOT_OF_THEM, *NO_ORIGINS) if value in listed]


def met(problem: Any, reason: str, remedy: str) -> bool:
    return problem is not None and problem.reason.startswith(reason) and problem.remedy == remedy


@pytest.mark.parametrize("entry", MATCHES)
def test_an_entry_allows_what_it_says_and_nothing_else(entry: str) -> None:
    allowed, denied = MATCHES[entry]
    listed = Origins((entry,))
    assert origin_problem("allow_origins", entry) is None
    assert [value for value in allowed.encode().split() if value not in listed] == []
    assert [value for value in (*denied.encode().split(), *NO_ORIGINS) if value in listed] == []


@pytest.mark.parametrize("entry", WRONG, ids=lambda entry: repr(entry)[:40])
def test_an_entry_that_no_browser_sends_is_refused_with_the_right_one(entry: Any) -> None:
    problem = origin_problem("allow_origins", entry)
    assert problem is not None
    assert (problem.parameter, problem.value) == ("allow_origins", entry)
    assert problem.reason.startswith(WRONG[entry][0])
    assert problem.remedy == WRONG[entry][1]


def test_entries_add_up() -> None:
    listed = Origins(TOGETHER)
    assert [value for value in OF_THEM if value not in listed] == []
    assert [value for value in (*NOT_OF_THEM, *NO_ORIGINS) if value in listed] == []


def test_an_empty_set_holds_nothing() -> None:
    listed = Origins(())
    assert not any(value in listed for value in (b"https://a.example", b"", *NO_ORIGINS))


def test_sets_of_the_same_entries_are_equal_and_show_them() -> None:
    one, same, other = Origins(("https://a.example",)), Origins(("https://a.example",)), Origins(("*",))
    assert one == same != other
    assert hash(one) == hash(same)
    assert repr(one) == "Origins(entries=('https://a.example',))"


@given(
    st.text()
    | st.text("htps:/*.a-1[]@,?#\\ ", max_size=30)
    | st.builds("{}://{}{}".format, st.sampled_from(["https", "HTTP"]), st.text("aB.*-é1", max_size=9), st.text(":*80"))
)
@example("*.com")
@example("https://*.COM")
@example("https://a.example:" + "9" * 5_000)
def test_every_corrected_value_is_taken(entry: str) -> None:
    problem = origin_problem("allow_origins", entry)
    if problem is not None and not met(problem, *NO_ORIGIN) and not met(problem, *REGEX):
        for corrected in re.findall(r"'([^']*)'", problem.remedy) if "," not in entry else ():
            assert origin_problem("allow_origins", corrected) is None


# Origins derived from entries, against an oracle that goes label by label

ENTRIES = (
    *("https://app.example.com", "http://a.example:8000", "https://*.example.com", "https://*.b-c.example:8443"),
    *("http://localhost:*", "http://*.localhost:*", "http://[::1]:*", "http://127.0.0.1:*", "https://*.d.example."),
)
LOWER, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"


def allowed_by(entry: str, value: str) -> bool:
    scheme, host, port = parts(entry)
    other_scheme, other_host, other_port = parts(value)
    if scheme != other_scheme or not (other_port == port or (port == ":*" and is_port(other_port, scheme))):
        return False
    labels, others = host.split("."), other_host.split(".")
    if labels[0] != "*":
        return others == labels
    below = others[: 1 - len(labels)]
    return below != [] and all(map(is_label, below)) and others[len(below) :] == labels[1:]


def parts(origin: str) -> tuple[str, str, str]:
    scheme, _, rest = origin.partition("://")
    end = rest.find(":", rest.find("]") + 1)
    return (scheme, rest, "") if end < 0 else (scheme, rest[:end], rest[end:])


def is_port(port: str, scheme: str) -> bool:
    digits = port.removeprefix(":")
    if port == "" or digits == "" or not all(digit in DIGITS for digit in digits):
        return port == ""
    return digits[0] != "0" and int(digits) <= 65535 and digits != {"http": "80", "https": "443"}[scheme]


def is_label(label: str) -> bool:
    return label != "" and all(c in f"{LOWER}{DIGITS}_-" for c in label) and label[0] != "-" != label[-1]


def derived(random: Random) -> str:
    """An origin that an entry stands for, with at most one edit."""
    entry = random.choice(ENTRIES)
    labels = [random.choice(("a", "www", "x-y", "_z", "9", "localhost")) for _ in range(random.randint(1, 3))]
    value = entry.replace("*", ".".join(labels), 1) if "://*" in entry else entry
    if value.endswith(":*"):
        value = value.removesuffix(":*") + random.choice(("", ":1", ":3000", ":8080", ":65535"))
    place = random.randrange(len(value) + 1)
    drawn = random.choice(f"{LOWER}{DIGITS}.-:/*[]_AZ%@ \n\0\x7f\xe9\xff")
    edits = (value[:place] + drawn + value[place:], value[:place] + value[place + 1 :])
    return random.choice((value, value, *edits, value[:place] + drawn + value[place + 1 :]))


def is_allowed(value: str) -> bool:
    return any(allowed_by(entry, value) for entry in ENTRIES)


@given(st.randoms(use_true_random=False))
def test_derived_origins_are_judged_as_label_by_label(random: Random) -> None:
    value = derived(random)
    assert (value.encode("latin-1") in Origins(ENTRIES)) == is_allowed(value)


def test_of_the_derived_origins_enough_are_allowed_and_enough_denied() -> None:
    sample = [derived(Random(seed)) for seed in range(2000)]
    share = sum(map(is_allowed, sample)) / len(sample)
    assert 0.3 <= share <= 0.7
    assert all((value.encode("latin-1") in Origins(ENTRIES)) == is_allowed(value) for value in sample)


OUTSIDE = sorted({*range(256)} - {*f"{LOWER}{DIGITS}+.-_:/[]".encode()})


@given(st.randoms(use_true_random=False), st.sampled_from(OUTSIDE))
def test_a_byte_outside_the_grammar_is_denied_wherever_it_stands(random: Random, byte: int) -> None:
    value = derived(random).encode("latin-1")
    place = random.randrange(len(value) + 1)
    value = value[:place] + bytes([byte]) + value[place:]
    assert value not in Origins(ENTRIES)
    assert value not in Origins(("*",))


# What a look-up costs


def opcodes(function: Callable[[], object]) -> int:
    """How many bytecodes a call executes."""
    count = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # CPython 3.12 reports opcodes only if this was set before settrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("form", ["https://a{}.example", "https://*.a{}.example", "http://a{}.example:*"])
def test_many_entries_cost_no_more_than_one(form: str) -> None:
    one, many = (Origins(tuple(map(form.format, range(count)))) for count in (1, 10_000))
    value = form.format(0).replace("*.", "b.").replace(":*", ":81").encode()
    assert value in one
    assert opcodes(lambda: value in one) == opcodes(lambda: value in many) > 0


# The examples catch a matcher that is wrong in one place

MUTANTS: tuple[tuple[ModuleType, str, str], ...] = (
    (origins, "if value in self.exact", "if value.lower() in self.exact"),
    (origins, "if value in self.exact", "if value.strip() in self.exact"),
    (origins, "if value in self.exact", "if value.removesuffix(b'.') in self.exact"),
    (origins, "if value in self.exact", "if value.startswith(tuple(self.exact))"),
    (origins, "if value in self.exact", "if any(value in exact for exact in self.exact)"),
    (origins, "return origin is not None", "return True"),
    (origins, "while dot >= 0", "if dot >= 0"),
    (origins, "dot = 0 ", "dot = origin.host.find('.') "),
    (origins, 'find(".", dot + 1)', 'rfind(".", dot + 1)'),
    (origins, "origin.host[dot:]", 'origin.host[dot:].removesuffix(".")'),
    (origins, "(origin.scheme, origin.host[dot:])", "('https', origin.host[dot:])"),
    (origins, "(origin.port in ports or _ANY_PORT in ports)", "(origin.port in ports)"),
    (origins, "(origin.port in ports or _ANY_PORT in ports)", "(_ANY_PORT in ports)"),
    (origins, " and (origin.port in ports or _ANY_PORT in ports)", ""),
    (origins, "or _ANY_PORT in ports)", "or None in ports)"),
    (
        origins,
        "ports.setdefault((pattern.scheme, pattern.host), set()).add(pattern.port)",
        "ports[pattern[:2]] = {pattern.port}",
    ),
    (origins, "self.port != _ANY_PORT and ", ""),
    (origins, ' and not self.host.startswith(".")', ""),
    (origins, 'removeprefix("*.")', 'removeprefix("*").removeprefix(".")'),
    (origins, 'port = _ANY_PORT if text.endswith(":*") else origin.port', "port = origin.port"),
    (origins, 'f".{origin.host}" if', "origin.host if"),
    (origins, '(text.endswith(":*") and origin.port is not None)', "False"),
    (origins, '"["):\n        return not below', '"["):\n        return True'),
    (origins, "return not below and str(IPv4Address(host)) == host", "return True"),
    (origins, 'host.removesuffix(".").rpartition(".")[2].isdigit()', "host.isdigit()"),
    (_hosts, "_ORIGIN.fullmatch(value)", "_ORIGIN.match(value)"),
    (_hosts, "canonical_host(host) != host.removesuffix", "canonical_host(host) != host or not host.removesuffix"),
    (_hosts, 'canonical_host(host) != host.removesuffix(".")', "canonical_host(host) is None"),
    (_hosts, "port > 65535 or ", ""),
    (_hosts, " or port == DEFAULT_PORTS.get(scheme)", ""),
    (_hosts, "([1-9][0-9]{0,4})", "([0-9]{1,5})"),
    (_hosts, 'rb"([a-z]', 'rb"([a-zA-Z]'),
    (_hosts, "Origin(scheme, host, port)", 'Origin(scheme, host.removesuffix("."), port)'),
)


def mutant(of: ModuleType, old: str, new: str, patch: pytest.MonkeyPatch) -> ModuleType:
    """The module ``origins`` as it is with ``old`` replaced by ``new`` in the source of ``of``."""
    made = origins
    for original in (_hosts, origins):  # the second imports from the first
        source = Path(str(original.__file__)).read_text("utf-8")
        if original is of:
            assert source.count(old) == 1, f"{old!r} is not in {of.__name__} once"
            source = source.replace(old, new)
        made = ModuleType(original.__name__)
        made.__package__ = original.__package__
        patch.setitem(sys.modules, original.__name__, made)
        exec(compile(source, f"mutant of {original.__file__}", "exec"), vars(made))
    return made


def test_the_original_meets_every_example(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unmet(origins) == []
    assert unmet(mutant(origins, "while dot", "while dot", monkeypatch)) == []


@pytest.mark.parametrize(("of", "old", "new"), MUTANTS, ids=[f"{number:02}" for number in range(1, len(MUTANTS) + 1)])
def test_a_wrong_matcher_does_not_meet_the_examples(
    of: ModuleType, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unmet(mutant(of, old, new, monkeypatch)) != []
