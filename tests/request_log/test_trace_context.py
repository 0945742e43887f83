"""W3C Trace Context Level 2: what is taken over from a caller, to the character, and what goes on to others."""

from __future__ import annotations

import logging
import re
import string
from contextvars import copy_context
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware import ConfigurationError
from middleware.request_log import current
from middleware.request_log.trace_context import (
    Parent,
    TraceContext,
    TraceContextMiddleware,
    outgoing_headers,
    parse_traceparent,
    parse_tracestate,
    trace_context,
)
from tests.asgi import CONNECT, STARTUP, Spy, call, http_scope, lifespan_scope, websocket_scope

TRACE = "12345678901234567890123456789012"
PARENT = "1234567890123456"
VALID = f"00-{TRACE}-{PARENT}-01"
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"

OUTGOING = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-0[0-3]")
MEMBER = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


def headers(*lines: str) -> list[tuple[bytes, bytes]]:
    """Headers by lines; what stands alone is a traceparent."""
    pairs = [line.split(":", 1) if ":" in line else ("traceparent", line) for line in lines]
    return [(b"host", b"a.example"), *((name.encode(), value.encode("latin-1")) for name, value in pairs)]


async def received(*lines: str, trust: Any = True, **scope: Any) -> tuple[TraceContext, dict[str, str]]:
    """What the application sees of a request with these headers, and what it would send on."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert trace_context() is scope["trace_context"]
        seen.append((scope["trace_context"], outgoing_headers()))

    await call(TraceContextMiddleware(app, trust=trust), http_scope(headers=headers(*lines), **scope))
    ((context, sent),) = seen
    match = OUTGOING.fullmatch(sent["traceparent"])
    assert match and match[1] == context.trace_id
    return context, sent


# traceparent

MALFORMED = {
    "empty": "",
    "white space": " \t ",
    "one field": "00",
    "version alone": "00-",
    "no flags": f"00-{TRACE}-{PARENT}",
    "no flags, with a dash": f"00-{TRACE}-{PARENT}-",
    "no parent": f"00-{TRACE}-01",
    "version 00 goes on with a dot": f"{VALID}.",
    "version 00 goes on": f"{VALID}-what-the-future-will-be-like",
    "version 00 goes on with a dash": f"{VALID}-",
    "version cc goes on without a dash": f"cc{VALID[2:]}.what-the-future-will-be-like",
    "version cc goes on with a digit": f"cc{VALID[2:]}0",
    "version cc is too short": f"cc{VALID[2:-1]}",
    "version ff": f"ff{VALID[2:]}",
    "version ff goes on": f"ff{VALID[2:]}-",
    "version, illegal first": f".0{VALID[2:]}",
    "version, illegal second": f"0.{VALID[2:]}",
    "version, upper case": f"CC{VALID[2:]}",
    "version of three": f"0{VALID}",
    "version of four": f"00{VALID}",
    "version of one": VALID[1:],
    "version of none": VALID[2:],
    "trace, zero": f"00-{'0' * 32}-{PARENT}-01",
    "trace, zero, of a later version": f"cc-{'0' * 32}-{PARENT}-01",
    "trace, illegal first": f"00-.{TRACE[1:]}-{PARENT}-01",
    "trace, illegal last": f"00-{TRACE[:-1]}.-{PARENT}-01",
    "trace, not hexadecimal": f"00-{TRACE[:-1]}g-{PARENT}-01",
    "trace, upper case": f"00-{TRACE[:-1]}A-{PARENT}-01",
    "trace of 33": f"00-{TRACE}3-{PARENT}-01",
    "trace of 31": f"00-{TRACE[1:]}-{PARENT}-01",
    "trace of 31, parent of 17": f"00-{TRACE[1:]}-{PARENT}7-01",
    "parent, zero": f"00-{TRACE}-{'0' * 16}-01",
    "parent, illegal first": f"00-{TRACE}-.{PARENT[1:]}-01",
    "parent, illegal last": f"00-{TRACE}-{PARENT[:-1]}.-01",
    "parent, upper case": f"00-{TRACE}-{PARENT[:-1]}F-01",
    "parent of 17": f"00-{TRACE}-{PARENT}7-01",
    "parent of 15": f"00-{TRACE}-{PARENT[1:]}-01",
    "flags, illegal first": f"{VALID[:-2]}.0",
    "flags, illegal second": f"{VALID[:-2]}0.",
    "flags, upper case": f"{VALID[:-2]}0A",
    "flags of three": f"{VALID[:-2]}001",
    "flags of one": f"{VALID[:-2]}1",
    "other dashes": VALID.replace("-", "_"),
    "one other dash": f"00-{TRACE}_{PARENT}-01",
    "space inside": f"00 -{TRACE}-{PARENT}-01",
    "no-break space around": f"\xa0{VALID}",
    "form feed around": f"{VALID}\f",
    "line break": f"{VALID}\n",
    "line break in front": f"\n{VALID}",
    "nul": f"{VALID}\0",
    "plus sign": f"00-{TRACE}-{PARENT}-+1",
    "underscore between digits": f"00-{TRACE[:-2]}_2-{PARENT}-01",
    "two values in one": f"{VALID},{VALID}",
    "quoted": f'"{VALID}"',
    "digits of another script": VALID.replace("1", "\xb9"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_traceparent_begins_another_trace_without_its_state(name: str) -> None:
    context, sent = await received(f"traceparent:{MALFORMED[name]}", f"tracestate:{STATE}")
    assert TRACE not in (context.trace_id, sent["traceparent"])
    assert context == TraceContext(context.trace_id, context.span_id, None, True, True, "", None)
    assert "tracestate" not in sent


def test_nothing_malformed_is_parsed() -> None:
    assert {name for name, value in MALFORMED.items() if parse_traceparent(value.encode("latin-1"))} == set()


ACCEPTED = {
    "sampled": (VALID, Parent(TRACE, PARENT, True, False)),
    "not sampled": (f"{VALID[:-2]}00", Parent(TRACE, PARENT, False, False)),
    "random": (f"{VALID[:-2]}02", Parent(TRACE, PARENT, False, True)),
    "random and sampled": (f"{VALID[:-2]}03", Parent(TRACE, PARENT, True, True)),
    "flags of the future": (f"{VALID[:-2]}fc", Parent(TRACE, PARENT, False, False)),
    "all flags": (f"{VALID[:-2]}ff", Parent(TRACE, PARENT, True, True)),
    "version cc": (f"cc{VALID[2:]}", Parent(TRACE, PARENT, True, False)),
    "version fe": (f"fe{VALID[2:]}", Parent(TRACE, PARENT, True, False)),
    "version 01": (f"01{VALID[2:]}", Parent(TRACE, PARENT, True, False)),
    "version cc goes on": (f"cc{VALID[2:]}-what-the-future-will-be-like", Parent(TRACE, PARENT, True, False)),
    "version cc goes on with a dash": (f"cc{VALID[2:]}-", Parent(TRACE, PARENT, True, False)),
    "version cc goes on with anything": (f"cc{VALID[2:]}-\xff, -", Parent(TRACE, PARENT, True, False)),
    "version cc goes on with line breaks": (f"cc{VALID[2:]}-a\r\n", Parent(TRACE, PARENT, True, False)),
    "space in front": (f" {VALID}", Parent(TRACE, PARENT, True, False)),
    "tab in front": (f"\t{VALID}", Parent(TRACE, PARENT, True, False)),
    "space behind": (f"{VALID} ", Parent(TRACE, PARENT, True, False)),
    "tab behind": (f"{VALID}\t", Parent(TRACE, PARENT, True, False)),
    "spaces and tabs": (f"\t {VALID} \t", Parent(TRACE, PARENT, True, False)),
    "nearly zero": (f"00-{'0' * 31}1-{'0' * 15}1-00", Parent(f"{'0' * 31}1", f"{'0' * 15}1", False, False)),
    "letters": (f"00-{'f' * 32}-{'a' * 16}-00", Parent("f" * 32, "a" * 16, False, False)),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a_trace_goes_on_with_our_own_parent_id_and_the_flags_that_are_known(name: str) -> None:
    value, parent = ACCEPTED[name]
    context, sent = await received(f"traceparent:{value}")
    assert context == TraceContext(
        parent.trace_id, context.span_id, parent.parent_id, parent.sampled, parent.random, "", None
    )
    assert parent.parent_id not in (context.span_id, sent["traceparent"].split("-")[2])
    flags = parent.sampled + 2 * parent.random
    assert sent == {"traceparent": f"00-{parent.trace_id}-{sent['traceparent'].split('-')[2]}-{flags:02x}"}


@pytest.mark.parametrize("second", [VALID, VALID.replace("2-", "1-", 1), "", "malformed"])
@pytest.mark.parametrize("names", [("traceparent", "traceparent"), ("traceparent", "TraceParent")])
async def test_a_doubled_traceparent_begins_another_trace(second: str, names: tuple[str, str]) -> None:
    context, sent = await received(f"{names[0]}:{VALID}", f"{names[1]}:{second}", f"tracestate:{STATE}")
    assert (context.parent_id, context.tracestate) == (None, "")
    assert context.trace_id not in (TRACE, second[3:35])
    assert "tracestate" not in sent


@pytest.mark.parametrize("name", ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
async def test_the_names_of_the_headers_have_any_case(name: str) -> None:
    state = {"TraceParent": "TraceState", "TrAcEpArEnT": "TrAcEsTaTe", "TRACEPARENT": "TRACESTATE"}[name]
    context, sent = await received(f"{name}:{VALID}", f"{state}:foo=1")
    assert (context.trace_id, context.tracestate) == (TRACE, "foo=1")
    assert [*sent] == ["traceparent", "tracestate"]


@pytest.mark.parametrize("name", ["trace-parent", "trace.parent", "trace_parent", "traceparents"])
async def test_another_name_is_another_header(name: str) -> None:
    assert (await received(f"{name}:{VALID}"))[0].trace_id != TRACE
    state = name.replace("parent", "state")
    assert (await received(VALID, f"{state}:foo=1"))[0].tracestate == ""


async def test_without_headers_a_trace_begins_that_is_sampled_and_random() -> None:
    for scope in ({}, {"headers": None}, {"headers": []}, {"headers": ...}):
        seen: list[TraceContext] = []

        async def app(scope: Any, receive: Any, send: Any, seen: Any = seen) -> None:
            seen += [scope["trace_context"], outgoing_headers()]

        await call(TraceContextMiddleware(app), http_scope(**scope))
        context, sent = seen
        assert context == TraceContext(context.trace_id, context.span_id, None, True, True, "", None)
        assert re.fullmatch(rf"00-{context.trace_id}-[0-9a-f]{{16}}-03", sent["traceparent"])


async def test_a_state_without_a_trace_is_dropped() -> None:
    for state in ("foo=1", "foo=1,bar=2"):
        context, sent = await received(f"tracestate:{state}")
        assert (context.tracestate, [*sent]) == ("", ["traceparent"])


# tracestate

KEY = string.ascii_lowercase + string.digits + "_-*/"
VALUE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
MEMBERS = [f"bar{number:02}={number:02}" for number in range(1, 34)]

STATES: dict[str, tuple[list[str], str]] = {
    "two": (["foo=1,bar=2"], "foo=1,bar=2"),
    "one": (["foo=1"], "foo=1"),
    "empty": ([""], ""),
    "white space": ([" \t"], ""),
    "commas": ([",, ,\t,"], ""),
    "an empty one behind": (["foo=1", ""], "foo=1"),
    "an empty one in front": (["", "foo=1"], "foo=1"),
    "empty members": (["foo=1,,bar=2,"], "foo=1,bar=2"),
    "several headers": (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
    "all characters": ([f"{KEY}={VALUE}"], f"{KEY}={VALUE}"),
    "all characters and a vendor": ([f"{KEY}@a-z0-9_-*/={VALUE}"], f"{KEY}@a-z0-9_-*/={VALUE}"),
    "space and tab around": (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
    "tab and space around": (["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
    "space in front": ([" foo=1"], "foo=1"),
    "tab in front": (["\tfoo=1"], "foo=1"),
    "space behind": (["foo=1 "], "foo=1"),
    "tab behind": (["foo=1\t"], "foo=1"),
    "space and tab on both sides": (["\t foo=1 \t"], "foo=1"),
    "spaces in a value": (["foo=  1 2"], "foo=  1 2"),
    "the same twice": (["foo=1,foo=1"], "foo=1"),
    "a key twice": (["foo=1,bar=3,foo=2"], "foo=1,bar=3"),
    "a key in two headers": (["foo=1", "foo=2"], "foo=1"),
    "a digit first": (["1a-2f@foo=bar1"], "1a-2f@foo=bar1"),
    "an at sign at the end": (["foo@=1,bar=2"], "foo@=1,bar=2"),
    "two at signs": (["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
    "at signs": (["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
    "an at sign first": (["@foo=1,bar=2"], ""),
    "a dash first": (["-foo=1"], ""),
    "an underscore first": (["_foo=1"], ""),
    "an asterisk first": (["*foo=1"], ""),
    "a slash first": (["/foo=1"], ""),
    "space in a key": (["foo =1"], ""),
    "upper case in a key": (["FOO=1"], ""),
    "a dot in a key": (["foo.bar=1"], ""),
    "not ASCII in a key": (["fo\xf6=1"], ""),
    "no key": (["=1,bar=2"], ""),
    "no value": (["foo=,bar=2"], ""),
    "a value of spaces": (["foo=  ,bar=2"], ""),
    "no equals sign": (["foo,bar=2"], ""),
    "two equals signs": (["foo=1=2"], ""),
    "tab in a value": (["foo=1\t2"], ""),
    "line break in a value": (["foo=1\r\nx: y"], ""),
    "nul in a value": (["foo=1\x002"], ""),
    "delete in a value": (["foo=1\x7f2"], ""),
    "not ASCII in a value": (["foo=\xff"], ""),
    "a line break around": (["foo=1\n"], ""),
    "no-break space around": (["\xa0foo=1"], ""),
    "one of many is malformed": (["foo=1", "bar=2,baz,x=3"], ""),
    "a key of 256": (["foo=1", f"{'z' * 256}=1"], f"foo=1,{'z' * 256}=1"),
    "a key of 257": (["foo=1", f"{'z' * 257}=1"], ""),
    "a key of 256 with a vendor": (["foo=1", f"{'t' * 241}@{'v' * 14}=1"], f"foo=1,{'t' * 241}@{'v' * 14}=1"),
    "a tenant of 242": ([f"{'t' * 242}@v=1"], f"{'t' * 242}@v=1"),
    "a vendor of 15": ([f"t@{'v' * 15}=1"], f"t@{'v' * 15}=1"),
    "a value of 256": ([f"foo={'v' * 256}"], f"foo={'v' * 256}"),
    "a value of 257": ([f"foo={'v' * 257}"], ""),
    "a value of 256 and spaces": ([f"foo={'v' * 256}  "], f"foo={'v' * 256}"),
    "32 members": ([",".join(MEMBERS[:10]), ",".join(MEMBERS[10:32])], ",".join(MEMBERS[:32])),
    "32 members and empty ones": ([",,".join(MEMBERS[:32]), ",", ""], ",".join(MEMBERS[:32])),
    "33 members": ([",".join(MEMBERS[:10]), ",".join(MEMBERS[10:])], ""),
    "33 members of one key": (["foo=1" + ",foo=1" * 32], ""),
    "32 members as large as can be": (
        [f"{number:0256}={'v' * 256}" for number in range(32)],
        ",".join(f"{number:0256}={'v' * 256}" for number in range(32)),
    ),
}


@pytest.mark.parametrize("name", STATES)
async def test_a_state_goes_on_as_it_came_or_not_at_all_and_the_trace_in_any_case(name: str) -> None:
    fields, expected = STATES[name]
    context, sent = await received(VALID, *(f"tracestate:{field}" for field in fields))
    assert (context.trace_id, context.parent_id, context.tracestate) == (TRACE, PARENT, expected)
    assert sent.get("tracestate", "") == expected
    assert ("tracestate" in sent) is bool(expected)


# Whatever comes

NOISE = st.binary(max_size=80)
ALMOST = st.tuples(st.just(VALID.encode()), st.integers(0, len(VALID)), st.integers(0, 2), NOISE.map(lambda b: b[:2]))
BROKEN = ALMOST.map(lambda drawn: drawn[0][: drawn[1]] + drawn[3] + drawn[0][drawn[1] + drawn[2] :])
PARENTS = st.one_of(
    NOISE,
    BROKEN,
    st.from_regex(rb"[ \t]*[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?[ \t]*", fullmatch=True),
)
PIECES = st.sampled_from([b"a", b"foo", b"=", b",", b" ", b"\t", b"@", b"A", b"\n", b"\xff", b"1", b"z" * 255])
FIELDS = st.lists(st.one_of(NOISE, st.lists(PIECES, max_size=40).map(b"".join)), max_size=5)


def plainly(value: bytes) -> Parent | None:
    """``parse_traceparent``, in steps as the specification tells them."""
    text = value.decode("latin-1").strip(" \t")
    if len(text) < 55 or (text[2], text[35], text[52]) != ("-", "-", "-"):
        return None
    version, trace, parent, flags, rest = text[:2], text[3:35], text[36:52], text[53:55], text[55:]
    if set(version + trace + parent + flags) - set("0123456789abcdef"):
        return None
    if version == "ff" or (version == "00" and rest) or rest[:1] not in ("", "-"):
        return None
    if set(trace) == {"0"} or set(parent) == {"0"}:
        return None
    return Parent(trace, parent, int(flags, 16) % 2 == 1, int(flags, 16) // 2 % 2 == 1)


@given(PARENTS)
def test_the_parser_does_what_the_specification_tells_whatever_comes(value: bytes) -> None:
    assert parse_traceparent(value) == plainly(value)


@given(FIELDS)
def test_what_is_left_of_a_state_is_valid_and_came_in(fields: list[bytes]) -> None:
    state = parse_tracestate(fields)
    if state:
        members = state.split(",")
        assert all(map(MEMBER.fullmatch, members))
        assert len(members) <= 32
        assert len({member.partition("=")[0] for member in members}) == len(members)
        came = [member.strip(b" \t") for member in b",".join(fields).split(b",")]
        assert [member for member in members if member.encode() not in came] == []
        assert parse_tracestate([state.encode()]) == state


@given(st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9_\-*/@]{0,255}", fullmatch=True), st.text(VALUE, max_size=255)))
def test_every_valid_state_goes_on(members: dict[str, str]) -> None:
    state = ",".join([f"{key}={value}~" for key, value in [*members.items()][:32]])
    assert parse_tracestate([state.encode()]) == state


@given(st.lists(st.tuples(st.sampled_from([b"traceparent", b"tracestate", b"TraceParent"]), PARENTS | NOISE)))
def test_whatever_comes_what_goes_out_is_valid(pairs: list[tuple[bytes, bytes]]) -> None:
    seen: list[dict[str, str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(outgoing_headers())

    def serve() -> None:
        with pytest.raises(StopIteration):
            TraceContextMiddleware(app)(http_scope(headers=pairs), None, None).send(None)

    copy_context().run(serve)  # the value stays in the context of a request
    (sent,) = seen
    assert OUTGOING.fullmatch(sent["traceparent"])
    assert all(map(MEMBER.fullmatch, sent.get("tracestate", "a=1").split(",")))


LONG = {
    "version": b"0" * 1_000_000,
    "future": f"cc{VALID[2:]}-".encode() + b"-" * 1_000_000,
    "spaces": b" " * 1_000_000 + VALID.encode(),
    "spaces inside": VALID.encode() + b" " * 1_000_000 + b"x",
}
LONG_STATES = {
    "commas": b"," * 1_000_000,
    "spaces": b" " * 1_000_000,
    "spaces inside": b"foo=1" + b" " * 1_000_000 + b"1",
    "a key": b"a" * 1_000_000,
    "a value": b"a=" + b"b" * 1_000_000,
    "members": b"a=1," * 250_000,
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_traceparent_takes_no_time(name: str) -> None:
    began = process_time()
    parse_traceparent(LONG[name])
    assert process_time() - began < 1


@pytest.mark.parametrize("name", LONG_STATES)
def test_a_long_state_takes_no_time(name: str) -> None:
    began = process_time()
    assert parse_tracestate([LONG_STATES[name]]) == ""
    assert process_time() - began < 1


# Ids

SOME = [VALID, "malformed", f"tracestate:{STATE}"]


@pytest.mark.parametrize("line", SOME)
async def test_each_call_to_another_service_has_an_id_of_its_own(line: str) -> None:
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        sent.extend(outgoing_headers()["traceparent"].split("-") for _ in range(3))
        sent.append(("00", scope["trace_context"].trace_id, scope["trace_context"].span_id, ""))

    await call(TraceContextMiddleware(app), http_scope(headers=headers(line)))
    assert len({trace for _, trace, _, _ in sent}) == 1
    assert len({parent for _, _, parent, _ in sent}) == 4


async def test_ids_are_never_zero_and_never_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = [0]

    def urandom(size: int) -> bytes:
        draws[0] += 1
        return bytes(size) if draws[0] == 1 else real(size)

    real = current.urandom
    monkeypatch.setattr(current, "urandom", urandom)
    current._supply.clear()
    contexts = [(await received())[0] for _ in range(200)]
    assert draws[0] > 1
    assert len({context.trace_id for context in contexts}) == len({context.span_id for context in contexts}) == 200
    assert all(context.trace_id.strip("0") and context.span_id.strip("0") for context in contexts)


# Trust


@pytest.mark.parametrize("trust", [False, lambda scope: False], ids=["never", "not this one"])
async def test_the_trace_of_a_caller_that_is_not_trusted_is_linked_to_and_its_state_dropped(trust: Any) -> None:
    context, sent = await received(f"{VALID[:-2]}00", f"tracestate:{STATE}", trust=trust)
    assert context.trace_id != TRACE
    assert context == TraceContext(context.trace_id, context.span_id, None, True, True, "", TRACE)
    assert [*sent] == ["traceparent"]


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_malformed_is_not_linked_to(name: str) -> None:
    assert (await received(f"traceparent:{MALFORMED[name]}", trust=False))[0].link is None


async def test_trust_is_decided_by_the_scope() -> None:
    def trust(scope: Any) -> bool:
        return bool(scope["client"][0].startswith("10."))

    for client, trusted in ((("10.0.0.1", 1), True), (("192.0.2.1", 1), False)):
        context, _ = await received(VALID, trust=trust, client=client)
        assert (context.trace_id == TRACE) is trusted
        assert context.link == (None if trusted else TRACE)


def raising(scope: Any) -> bool:
    raise LookupError("secret")


ODD = {
    "raises": (raising, "raised"),
    "none": (lambda scope: None, "returned None, not True or False"),
    "truthy": (lambda scope: "10.0.0.1", "returned '10.0.0.1', not True or False"),
    "one": (lambda scope: 1, "returned 1, not True or False"),
}


@pytest.mark.parametrize("name", ODD)
async def test_trust_that_fails_is_none_and_is_told_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    trust, told = ODD[name]
    middleware = TraceContextMiddleware(Spy(), trust=trust)
    for _ in range(3):
        scope = http_scope(headers=headers(VALID))
        await call(middleware, scope)
        assert (scope["trace_context"].link, scope["trace_context"].parent_id) == (TRACE, None)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("middleware.request_log", logging.ERROR)
    remedy = "what the caller sent is not taken over then. It is not told again when that happens"
    assert record.getMessage() == f"trust of TraceContextMiddleware {told}; {remedy}"


async def asynchronous(scope: Any) -> bool:
    return True


@pytest.mark.parametrize("trust", [None, "10.0.0.0/8", 1, 0, ["10.0.0.1"], asynchronous])
def test_what_trust_cannot_be_is_refused(trust: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TraceContextMiddleware(5, trust=trust)  # type: ignore[arg-type]
    assert [problem.parameter for problem in caught.value.problems] == ["app", "trust"]


# Where it is


async def test_a_websocket_is_in_a_trace_as_well() -> None:
    inner = Spy({"type": "websocket.accept"})
    scope = websocket_scope(headers=headers(VALID))
    await call(TraceContextMiddleware(inner), scope, CONNECT)
    assert inner.calls[0][0]["trace_context"].trace_id == TRACE


async def test_nothing_is_wrapped_and_what_is_no_connection_passes_as_it_is() -> None:
    for scope in (http_scope(), lifespan_scope(), {"type": "mqtt"}):
        inner, keys = Spy({"type": "any"}), {*scope}
        given: list[Any] = []

        async def receive() -> Any: ...

        async def send(message: Any, given: Any = given) -> None:
            given.append(message)

        await TraceContextMiddleware(inner)(scope, receive, send)
        assert inner.calls == [(scope, receive, send)]
        assert {*scope} - keys == ({"trace_context"} if scope["type"] == "http" else set())
        assert given == [{"type": "any"}]


async def test_an_instance_inside_another_one_does_nothing() -> None:
    inner = Spy()
    scope = http_scope(headers=headers(VALID))
    await call(TraceContextMiddleware(TraceContextMiddleware(inner, trust=False)), scope)
    context = inner.calls[0][0]["trace_context"]
    assert (context.trace_id, context.link) == (TRACE, None)


async def test_a_call_inside_the_process_changes_nothing_for_its_caller_and_the_next_request_has_its_own() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await call(middleware, http_scope("/inner", headers=headers(*outgoing_headers().values())))
        seen.append((scope["path"], scope["trace_context"], trace_context()))

    middleware = TraceContextMiddleware(app)
    for _ in range(2):  # in one task, so in one context
        await call(middleware, http_scope())
    assert [(path, own is found) for path, own, found in seen] == [("/inner", True), ("/", True)] * 2
    inner, outer, _, second = (own for _, own, _ in seen)
    assert inner.trace_id == outer.trace_id != second.trace_id
    assert inner.parent_id not in (None, outer.span_id)


async def test_outside_of_requests_there_is_no_trace() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((trace_context(), outgoing_headers()))

    await call(TraceContextMiddleware(app), lifespan_scope(), STARTUP)
    assert seen == [(None, {})]
