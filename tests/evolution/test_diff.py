"""What differs between two shapes is told path by path, and nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.evolution.diff import described, differences, widens
from checkpointkit.fingerprint import Shape
from checkpointkit.structuring.wire import misfits
from tests.test_structuring_laws import Typed, schema_of, types

DEEP: Shape = {"record": {"pods": {"list": {"record": {"uid": "str", "next": {"up": 1}}}}}}


def record(**fields: Shape) -> Shape:
    return {"record": fields}


def maybe(**fields: Shape) -> Shape:
    return {"record": {}, "optional": fields}


CASES: list[tuple[Shape, Shape, list[str]]] = [
    (record(a="int"), record(a="int"), []),
    (record(a="int"), record(b="int"), ["- a: int", "+ b: int"]),
    (record(a="int"), record(a="str"), ["~ a: int -> str"]),
    (
        {"dict": ["str", record(a="int")]},
        {"dict": ["str", record(a="str", b="int")]},
        ["~ [*].a: int -> str", "+ [*].b: int"],
    ),
    (
        {"dict": ["str", "int"]},
        {"dict": ["int", "int"]},
        ["~ the whole payload: dict of str to int -> dict of int to int"],
    ),
    (record(a={"set": "int"}), record(a={"set": "str"}), ["~ a[*]: int -> str"]),
    (
        record(a={"tuple": ["int", "str"]}),
        record(a={"tuple": ["int", "int"]}),
        ["~ a: tuple of (int, str) -> tuple of (int, int)"],
    ),
    (
        record(a={"union": [{"list": record(b="int")}, "null"]}),
        record(a={"union": [{"list": record(b="str")}, "null"]}),
        ["~ a[*].b: int -> str"],
    ),
    (
        record(a={"union": [record(b="int"), "null"]}),
        record(a=record(b="int")),
        ["~ a: record of b or null -> record of b"],
    ),
    (
        record(a={"union": [{"enum": [1]}, "null"]}),
        record(a={"union": [{"enum": [2]}, "null"]}),
        ["~ a: 1 or null -> 2 or null"],
    ),
    (
        record(a={"union": [{"list": "int"}, "null"]}),
        record(a={"union": [{"set": "int"}, "null"]}),
        ["~ a: list of int or null -> set of int or null"],
    ),
    (maybe(a="int"), record(a="int"), ["~ a: int, or absent -> int"]),
    (maybe(a=record(b="int")), maybe(a=record(b="str")), ["~ a.b: int -> str"]),
    (
        {"tagged": ["t", {"a": record(n="int"), "b": record()}]},
        {"tagged": ["t", {"a": record(n="str"), "c": record()}]},
        ["~ <a>.n: int -> str", "- <b>: record of ", "+ <c>: record of "],
    ),
    (
        DEEP,
        record(pods={"list": record(uid="str", next={"up": 2})}),
        ["~ pods[*].next: the record 1 levels up -> the record 2 levels up"],
    ),
]


@pytest.mark.parametrize(("old", "new", "lines"), CASES)
def test_each_difference_has_a_line(old: Shape, new: Shape, lines: list[str]) -> None:
    assert [each.text() for each in differences(old, new)] == lines


shapes = types.map(lambda typed: schema_of(typed.tp).shape)


@given(shapes, shapes)
def test_two_shapes_differ_if_their_texts_do(old: Shape, new: Shape) -> None:
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert (differences(old, new) == ()) is same
    there = {(each.path, each.sign) for each in differences(old, new)}
    turned = {"+": "-", "-": "+", "~": "~"}
    back = {(each.path, turned[each.sign]) for each in differences(new, old)}
    assert there == back


@given(st.data())
def test_what_is_said_to_widen_takes_every_payload_of_the_old_shape(data: st.DataObject) -> None:
    one: Typed = data.draw(types)
    other: Typed = data.draw(st.sampled_from([one]) | types)
    wider: object = data.draw(
        st.sampled_from([other.tp, other.tp | None if other.tp is not type(None) else other.tp])
        if not other.null
        else st.just(other.tp)
    )
    old, new = schema_of(one.tp), schema_of(wider)
    payload = old.dump({"x": data.draw(one.values)})
    if all(widens(each.old, each.new) for each in differences(old.shape, new.shape)):
        assert misfits(new.shape, payload) == ()


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("int", "int", True),
        ("int", "json", True),
        ("int", "float", False),
        ("int", {"union": ["int", "null"]}, True),
        ({"union": ["int", "null"]}, {"union": ["int", "null", "str"]}, True),
        ({"union": ["int", "null"]}, "int", False),
        ({"enum": [1]}, {"enum": [1, 2]}, True),
        ({"enum": [1]}, {"enum": [True, 2]}, False),
        ({"enum": [1, 2]}, {"enum": [1]}, False),
        ({"flag": [1]}, {"flag": [1, 2]}, True),
        ({"flag": [1, 2]}, {"flag": [1]}, False),
        ({"list": "int"}, {"tuple": "int"}, True),
        ({"set": "int"}, {"list": {"union": ["int", "null"]}}, True),
        ({"list": "int"}, {"set": "int"}, False),
        ({"tuple": ["int"]}, {"list": "int"}, False),
        ({"list": "int"}, {"tuple": ["int"]}, False),
        ({"list": "int"}, {"dict": ["str", "int"]}, False),
        ("int", {"list": "int"}, False),
        ({"list": "int"}, "int", False),
        ("int", {"maybe": "int"}, True),
        ({"maybe": "int"}, {"maybe": "int"}, True),
        ({"list": "int"}, {"maybe": {"list": "int"}}, True),
        ({"maybe": "int"}, "int", False),
        ({"maybe": "int"}, {"maybe": "str"}, False),
    ],
)
def test_widening(old: Shape, new: Shape, verdict: bool) -> None:
    assert widens(old, new) is verdict


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ({"flag": [1, 2]}, "flag of 1, 2"),
        ({"hook": "example.com/x"}, "hook example.com/x"),
        ({"up": 0}, "the record around it"),
        ({"optional": {"b": "int"}, "record": {"a": "int"}}, "record of a, b"),
        ({"record": {"a": "int"}, "optional": {"b": "int"}}, "record of a, b"),
        ({"tagged": ["type", {"a": record()}]}, "one of a, told by 'type'"),
        ({"enum": ["é", None, 1.5]}, '"é" | null | 1.5'),
        (
            {"enum": [f"a-very-long-member-of-an-enum-{n}" for n in range(5)]},
            '"a-very-long-member-of-an-enum-0" | "a-very-long-member-of-a…',
        ),
    ],
)
def test_a_shape_in_a_few_words(shape: Shape, text: str) -> None:
    assert described(shape) == text
