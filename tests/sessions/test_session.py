"""The session as a dict that is not read yet: no operation takes it for an empty one, and no change goes unnoticed."""

from __future__ import annotations

import copy
import json
import math
import operator
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from operator import eq, ne
from typing import Any

import pytest
import starlette
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from starlette.middleware import sessions as starlettes

from middleware import Session
from middleware.sessions.session import Visit, encode, encode_fields

Operation = Callable[[Any], Any]

DATA: dict[str, Any] = {"a": 1, "b": [2, {"c": None}], "t": "ä"}


def unread(data: dict[str, Any] = DATA) -> Session:
    """A session as a request has it, before anybody touched it."""
    return Session.unread(Visit(), lambda visit: copy.deepcopy(data))


def outcome(operation: Operation, on: Any) -> Any:
    """What an operation returns, or the class of what it raises."""
    try:
        result = operation(on)
    except Exception as error:
        return type(error)
    return [*result] if hasattr(result, "__next__") else result


def keywords(**given: Any) -> dict[str, Any]:
    return given


def matched(subject: Any) -> Any:
    match subject:
        case {"a": 1, "b": [2, *_], **rest}:
            return rest
    return "no match"


def matched_as_empty(subject: Any) -> bool:
    match subject:
        case {"z": _}:
            return True
    return False


def deleted(key: str) -> Operation:
    return lambda s: s.__delitem__(key)


def united(on: Any) -> Any:
    on |= {"a": 5, "z": 6}
    return on


# Each operation, with whether it says that the session is modified, and whether what it hands out can be changed in
# place (None where that does not matter, because nothing of the session is in it)

OPERATIONS: dict[str, tuple[Operation, bool, bool | None]] = {
    "get an item": (lambda s: s["a"], False, False),
    "get an item, a list": (lambda s: s["b"], False, True),
    "get an item that is not there": (lambda s: s["z"], False, False),
    "get": (lambda s: s.get("t"), False, False),
    "get, a list": (lambda s: s.get("b"), False, True),
    "get what is not there": (lambda s: s.get("z", 7), False, False),
    "get an unhashable key": (lambda s: s.get([]), False, False),
    "in": (lambda s: "a" in s, False, False),
    "not in": (lambda s: "z" not in s, False, False),
    "len": (len, False, False),
    "bool": (bool, False, False),
    "repr": (repr, False, False),
    "str": (str, False, False),
    "f-string": (lambda s: f"{s} {s!r:>80}", False, False),
    "percent": (lambda s: operator.mod("%(a)s", s), False, False),
    "format_map": ("{a} {t}".format_map, False, False),
    "iter": (iter, False, None),
    "list": (list, False, None),
    "set": (set, False, None),
    "sorted": (sorted, False, None),
    "max": (max, False, None),
    "reversed": (reversed, False, None),
    "star": (lambda s: [*s], False, None),
    "keys": (lambda s: [*s.keys()], False, None),
    "keys and keys": (lambda s: s.keys() & {"a", "z"}, False, None),
    "fromkeys": (lambda s: dict.fromkeys(s, 0), False, None),
    "values": (lambda s: [*s.values()], False, True),
    "items": (lambda s: [*s.items()], False, True),
    "copy": (lambda s: s.copy(), False, True),
    "copy.copy": (copy.copy, False, True),
    "deepcopy": (copy.deepcopy, False, None),
    "pickle": (lambda s: pickle.loads(pickle.dumps(s)), False, None),
    "pickle, old": (lambda s: pickle.loads(pickle.dumps(s, 0)), False, None),
    "dict": (dict, False, True),
    "dict and more": (lambda s: dict(s, z=1), False, True),
    "two stars": (lambda s: {**s}, False, True),
    "two stars between": (lambda s: {"t": 0, **s, "a": 9}, False, True),
    "keywords": (lambda s: keywords(**s), False, True),
    "update another": (lambda s: [other := {"z": 1}, other.update(s)], False, True),
    "unite another in place": (lambda s: {"z": 1}.__ior__(s), False, True),
    "match": (matched, False, True),
    "match what is not there": (matched_as_empty, False, None),
    "or": (lambda s: s | {"a": 0, "z": 1}, False, True),
    "or, reflected": (lambda s: {"a": 0, "z": 1} | s, False, True),
    "or, wrong": (lambda s: s | 5, False, None),
    "equal": (lambda s: [eq(s, DATA), eq(DATA, s)], False, False),
    "equal to nothing": (lambda s: [eq(s, {}), eq({}, s), eq(s, 5), eq(None, s)], False, False),
    "not equal": (lambda s: [ne(s, DATA), ne(DATA, s), ne(s, {}), ne({}, s)], False, False),
    "less": (lambda s: s < {}, False, None),
    "hash": (hash, False, None),
    "json": (lambda s: json.loads(json.dumps(s)), False, None),
    "json, indented": (lambda s: json.loads(json.dumps(s, indent=2)), False, None),
    "json, sorted": (lambda s: json.loads(json.dumps(s, sort_keys=True)), False, None),
    "json, inside": (lambda s: json.loads(json.dumps({"session": [s]}, indent=1)), False, None),
    "json, in pieces": (lambda s: json.loads("".join(json.JSONEncoder().iterencode(s))), False, None),
    "set an item": (lambda s: s.__setitem__("z", [1]), True, None),
    "set it again": (lambda s: s.__setitem__("a", 1), True, None),
    "delete": (deleted("a"), True, None),
    "delete what is not there": (deleted("z"), True, None),
    "pop": (lambda s: s.pop("b"), True, None),
    "pop what is not there": (lambda s: s.pop("z"), False, False),
    "pop a default": (lambda s: s.pop("z", None), False, False),
    "pop the last": (lambda s: s.popitem(), True, None),
    "clear": (lambda s: s.clear(), True, None),
    "update": (lambda s: s.update({"a": 3}, z=4), True, None),
    "update, pairs": (lambda s: s.update([("a", 3)]), True, None),
    "update, nothing": (lambda s: s.update(), True, None),
    "update, wrong": (lambda s: s.update(5), True, None),
    "setdefault": (lambda s: s.setdefault("a", 9), False, False),
    "setdefault, a list": (lambda s: s.setdefault("b"), False, True),
    "setdefault what is not there": (lambda s: s.setdefault("z", []), True, None),
    "setdefault, nothing": (lambda s: s.setdefault("z"), True, None),
    "unite in place": (united, True, None),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("data", [DATA, {}, {"z": []}], ids=["full", "empty", "other"])
def test_an_operation_does_to_an_unread_session_what_it_does_to_a_dict(name: str, data: dict[str, Any]) -> None:
    operation, *_ = OPERATIONS[name]
    session, model = unread(data), copy.deepcopy(data)
    assert outcome(operation, session) == outcome(operation, model)
    assert session == model
    assert [*session] == [*model]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_marks_the_session(name: str) -> None:
    operation, modified, shown = OPERATIONS[name]
    session = unread()
    assert not (session.accessed or session.modified or session.shown)
    outcome(operation, session)
    assert session.accessed is (name not in ("hash", "less"))  # no session has these
    assert session.modified is modified
    assert shown is None or session.shown is shown


OLD = tuple(map(int, starlette.__version__.split(".")[:2])) < (1, 10)  # popitem and |= were no modification


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("data", [DATA, {}], ids=["full", "empty"])
def test_modified_means_what_it_means_with_starlettes_session(name: str, data: dict[str, Any]) -> None:
    ours, theirs = unread(data), starlettes.Session(copy.deepcopy(data))
    for session in (ours, theirs):
        outcome(OPERATIONS[name][0], session)
    assert ours.modified is theirs.modified or OLD


# What dict has beside: it looks at no data, or makes a new one

HARMLESS = {"__new__", "__getattribute__", "__sizeof__", "__class_getitem__", "fromkeys", "__lt__", "__le__", "__gt__"}


def test_every_method_of_dict_is_one_of_ours() -> None:
    methods = {name for name, value in vars(dict).items() if callable(value) or isinstance(value, classmethod)}
    assert methods - vars(Session).keys() == HARMLESS | {"__ge__"}


# Two sessions


def test_two_unread_sessions_are_equal_if_their_data_is() -> None:
    other = {"a": 1}
    for left, right in ((DATA, DATA), ({}, {}), (DATA, {}), ({}, DATA), (DATA, other), (other, DATA)):
        assert eq(unread(left), unread(right)) is (left == right)
        assert ne(unread(left), unread(right)) is (left != right)


def test_two_unread_sessions_are_united() -> None:
    assert unread({"a": 1, "b": 2}) | unread({"b": 3}) == {"a": 1, "b": 3}
    assert Session(unread()) == DATA
    session = unread({"a": 1})
    session |= unread({"b": 2})
    session.update(unread({"c": 3}))
    assert session == {"a": 1, "b": 2, "c": 3}


# Libraries that look into the storage of a dict

ENCODERS: dict[str, Callable[[Any, Any], Any]] = {
    "orjson": lambda orjson, data: orjson.loads(orjson.dumps(data)),
    "msgspec": lambda msgspec, data: msgspec.json.decode(msgspec.json.encode(data)),
    "msgpack": lambda msgpack, data: msgpack.loads(msgpack.dumps(data)),
    "ujson": lambda ujson, data: ujson.loads(ujson.dumps(data)),
    "cbor2": lambda cbor2, data: cbor2.loads(cbor2.dumps(data)),
    "pydantic_core": lambda core, data: core.from_json(core.to_json(data)),
}


@pytest.mark.parametrize("library", [name for name in ENCODERS if find_spec(name)])
@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: {"s": [data]}], ids=["alone", "inside"])
def test_an_encoder_in_c_writes_an_unread_session_rightly_or_fails(library: str, wrap: Callable[[Any], Any]) -> None:
    module = import_module(library)
    session = unread()
    found = outcome(lambda data: ENCODERS[library](module, data), wrap(session))
    assert found == wrap(DATA) or (isinstance(found, type) and issubclass(found, TypeError | ValueError))
    session.mark_accessed()
    assert ENCODERS[library](module, wrap(session)) == wrap(DATA)


# Reading


def test_nothing_is_read_before_the_first_touch_and_once_then() -> None:
    times: list[Visit] = []

    def read(visit: Visit) -> dict[str, Any]:
        times.append(visit)
        return {"a": 1}

    visit = Visit()
    session = Session.unread(visit, read)
    assert times == []
    assert (session["a"], session.get("a"), len(session), session.is_new) == (1, 1, 1, True)
    assert times == [visit]


def test_what_cannot_be_read_fails_at_each_touch_and_is_never_empty() -> None:
    def read(visit: Visit) -> dict[str, Any]:
        raise OSError("the disk is gone")

    session = Session.unread(Visit(), read)
    for name, (operation, *_) in OPERATIONS.items():
        assert outcome(operation, session) is (TypeError if name in ("hash", "less") else OSError), name
    assert session.modified is False


def test_it_is_read_by_mark_accessed() -> None:
    session = unread()
    session.mark_accessed()
    assert dict.__len__(session) == len(DATA)
    assert (session.accessed, session.modified) == (True, False)


def test_it_is_read_by_mark_modified() -> None:
    session = unread()
    session.mark_modified()
    assert dict.__len__(session) == len(DATA)
    assert (session.accessed, session.modified) == (True, True)


def test_what_is_read_is_no_modification() -> None:
    session = unread()
    assert session == DATA
    assert (session.accessed, session.modified, session.shown) == (True, False, False)


# One of its own


def test_a_session_that_belongs_to_no_connection_works_alone() -> None:
    session = Session({"a": 1}, b=[2])
    assert isinstance(session, dict)
    assert (session.accessed, session.modified) == (False, False)
    assert session == {"a": 1, "b": [2]}
    session["c"] = 3
    assert json.loads(json.dumps(session)) == {"a": 1, "b": [2], "c": 3}
    assert Session() == {} and Session([("a", 1)]) == {"a": 1}
    assert (session.id, session.is_new, session.created, session.expires_at) == (None, True, None, None)
    session.invalidate()
    assert session == {}


async def test_a_session_without_a_store_cannot_be_saved_by_hand() -> None:
    with pytest.raises(RuntimeError) as caught:
        await Session({"a": 1}).save()
    text = "only a session in a store can be saved by hand: SessionMiddleware(..., store=...)"
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda s: s.copy(), lambda s: pickle.loads(pickle.dumps(s))]
)
def test_a_copy_is_a_dict_that_belongs_to_no_connection(make: Operation) -> None:
    session = unread()
    made = make(session)
    assert type(made) is dict
    made["a"] = 5
    assert session["a"] == 1
    assert session.modified is False


def test_a_deep_copy_shares_nothing() -> None:
    session = unread()
    copy.deepcopy(session)["b"][1]["c"] = 5
    assert session == DATA


# What is known beside the data


def test_the_properties_tell_of_the_session_that_came() -> None:
    def read(visit: Visit) -> dict[str, Any]:
        visit.begin(1_800_000_000, 1_800_000_100, 1_800_000_700)
        return {}

    visit = Visit()
    visit.key = "5f"
    for name, expected in {
        "id": "5f",
        "is_new": False,
        "created": datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC),
        "expires_at": datetime(2027, 1, 15, 8, 11, 40, tzinfo=UTC),
    }.items():
        session = Session.unread(visit, read)
        assert getattr(session, name) == expected
        assert (session.accessed, session.modified) == (True, False)


@pytest.mark.parametrize("name", ["id", "is_new", "created", "expires_at"])
def test_the_properties_cannot_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(unread(), name, None)


def test_regenerate_goes_on_with_the_data_in_another_session() -> None:
    session = unread()
    session.visit.key = "5f"
    session.visit.begin(5, 6, 7)
    session.regenerate()
    assert session == DATA
    assert session.modified
    assert (session.id, session.created, session.expires_at) == (None, None, None)
    assert session.visit.ended == ["5f"]


def test_invalidate_forgets_the_data_too() -> None:
    session = unread()
    session.visit.key = "5f"
    session.visit.begin(5, 6, 7)
    session.invalidate()
    assert session == {}
    assert session.modified
    assert (session.id, session.created, session.expires_at) == (None, None, None)
    assert session.visit.ended == ["5f"]


# What it can hold

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(st.characters()), values, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters()), JSON, max_size=4))
def test_what_json_can_hold_comes_back_the_same(data: dict[str, Any]) -> None:
    encoded = encode(unread(data))
    assert json.loads(encoded) == data
    assert encode(json.loads(encoded)) == encoded
    assert {name: json.loads(value) for name, value in encode_fields(unread(data)).items()} == data


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("ä\U0001f600", '"ä\U0001f600"'.encode()),
        ("\ud800", b'"\xed\xa0\x80"'),
        (math.inf, b"Infinity"),
        (math.nan, b"NaN"),
        (2**63, b"9223372036854775808"),
        (1.0, b"1.0"),
        ((1, 2), b"[1,2]"),
        ("\x00\r\n\u2028</script>", b'"\\u0000\\r\\n\xe2\x80\xa8</script>"'),
    ],
    ids=ascii,
)
def test_a_value_is_written_without_ornament(value: Any, encoded: bytes) -> None:
    assert encode({"a": value}) == b'{"a":%s}' % encoded
    assert encode_fields({"a": value}) == {"a": encoded}
    assert repr(json.loads(encoded)) == repr([*value] if isinstance(value, tuple) else value)


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    return value


class Model:
    pass


NOT_JSON = {
    "datetime": (datetime(2026, 1, 1), TypeError, "Object of type datetime is not JSON serializable"),
    "bytes": (b"x", TypeError, "Object of type bytes is not JSON serializable"),
    "set": ({1}, TypeError, "Object of type set is not JSON serializable"),
    "object": ([{"x": Model()}], TypeError, "Object of type Model is not JSON serializable"),
    "key": ({"x": {(1, 2): 3}}, TypeError, "keys must be str, int, float, bool or None, not tuple"),
    "circular": (circular(), ValueError, "Circular reference detected"),
    "digits": (10**5000, ValueError, "Exceeds the limit (4300 digits) for integer string conversion"),
    "deep": (deep(), RecursionError, ""),
}


@pytest.mark.parametrize("encoder", [encode, encode_fields])
@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_json_is_named_by_its_key(name: str, encoder: Callable[[Any], object]) -> None:
    value, error, text = NOT_JSON[name]
    with pytest.raises(error) as caught:
        encoder(Session({"a": 1, "the one": value, "z": 2}))
    assert type(caught.value) is error
    assert str(caught.value).startswith(f"session['the one'] is not JSON: {text}")


def test_a_session_that_holds_itself_is_named_by_the_key() -> None:
    session = unread()
    session["me"] = session
    with pytest.raises(ValueError) as caught:
        encode(session)
    assert str(caught.value) == "session['me'] is not JSON: Circular reference detected"


@pytest.mark.parametrize("encoder", [encode, encode_fields])
@pytest.mark.parametrize("key", [1, None, True, 1.5, b"x", (1, 2)], ids=repr)
def test_a_key_that_is_no_string_is_refused(key: Any, encoder: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as caught:
        encoder(Session({"a": 1, key: 2}))
    assert str(caught.value) == f"the keys of a session are strings: write session[{str(key)!r}]"


# Anything, in any order

KEYS = st.sampled_from("abt") | st.just("")
VALUES = st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2) | st.just({"c": []})
ALL = st.dictionaries(KEYS, VALUES, max_size=3)


def alone(operation: Operation) -> Callable[..., Any]:
    return lambda on, key, value, more: operation(on)


STEPS: dict[str, Callable[[Any, str, Any, dict[str, Any]], Any]] = {
    **{name: alone(operation) for name, (operation, *_) in OPERATIONS.items()},
    "set one": lambda on, key, value, more: on.__setitem__(key, value),
    "get one": lambda on, key, value, more: on[key],
    "get one or": lambda on, key, value, more: on.get(key, value),
    "delete one": lambda on, key, value, more: on.__delitem__(key),
    "pop one": lambda on, key, value, more: on.pop(key),
    "pop one or": lambda on, key, value, more: on.pop(key, value),
    "default one": lambda on, key, value, more: on.setdefault(key, value),
    "update all": lambda on, key, value, more: on.update(more),
    "update more": lambda on, key, value, more: on.update(more, t=value),
    "compare": lambda on, key, value, more: [on == more, more == on, on != more, more != on],
    "unite": lambda on, key, value, more: [on | more, more | on],
    "unite in place": lambda on, key, value, more: on.__ior__(more),
    "find": lambda on, key, value, more: [key in on, value in on.values(), (key, value) in on.items()],
}


class AgainstADict(RuleBasedStateMachine):
    """A session and a dict, to which the same is done."""

    @initialize(data=ALL)
    def begin(self, data: dict[str, Any]) -> None:
        self.session, self.model, self.before = unread(data), copy.deepcopy(data), encode(data)

    @rule(name=st.sampled_from([*STEPS]), key=KEYS, value=VALUES, more=ALL)
    def step(self, name: str, key: str, value: Any, more: dict[str, Any]) -> None:
        found, expected = (
            outcome(lambda on: STEPS[name](on, *copy.deepcopy((key, value, more))), on)
            for on in (self.session, self.model)
        )
        assert found == expected

    @rule(key=KEYS, value=VALUES)
    def change_inside(self, key: str, value: Any) -> None:
        for on in (self.session, self.model):
            found: Any = on.get(key)
            if isinstance(found, list):
                found.append(copy.deepcopy(value))
            elif isinstance(found, dict):
                found["c"] = copy.deepcopy(value)

    @rule()
    def regenerate(self) -> None:
        self.session.regenerate()

    @rule()
    def invalidate(self) -> None:
        self.session.invalidate()
        self.model.clear()

    def teardown(self) -> None:
        if hasattr(self, "session"):
            noticed = self.session.modified or self.session.shown
            assert encode(self.session) == encode(self.model)
            assert noticed or encode(self.session) == self.before


def test_a_session_is_a_dict_whatever_is_done_to_it_and_no_change_is_missed() -> None:
    run_state_machine_as_test(AgainstADict, settings=settings(max_examples=150, stateful_step_count=12, deadline=None))
