"""A shape, read back, takes what its class takes, and names what it does not take."""

from __future__ import annotations

import copy
import enum
from typing import Any, NotRequired, TypedDict

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import Hook, Schema, StructureError, tagged
from checkpointkit.fingerprint import Shape
from checkpointkit.structuring.wire import differing, misfits, unfit_paths, wire_codec
from tests.test_structuring_laws import Typed, schema_of, types

NEVER = object()


class Color(enum.Enum):
    RED = "red"
    ONE = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 4


@frozen
class Pod:
    uid: str
    ports: frozenset[int]
    next: Pod | None = None


@frozen
class Circle:
    radius: int
    inner: Circle | Square | None = None


@frozen
class Square:
    side: int


class Labels(TypedDict):
    app: str
    tier: NotRequired[int]


@frozen
class Everything:
    color: Color
    rights: Rights
    pod: Pod
    labels: Labels
    pair: tuple[int, str]
    by_id: dict[int, list[Pod]]
    figure: Circle | Square
    money: complex
    some: int | str | None


SCHEMA = Schema(
    Everything,
    kind="example.com/everything",
    version=1,
    hooks=[
        tagged(Circle | Square, {"circle": Circle, "square": Square}, field="type"),
        Hook(complex, wire="example.com/complex", dump=str, load=complex),
    ],
)
VALUE = Everything(
    Color.ONE,
    Rights.READ | Rights.WRITE,
    Pod("a", frozenset({2, 10}), Pod("b", frozenset())),
    {"app": "x"},
    (1, "x"),
    {7: [Pod("c", frozenset({1}))]},
    Circle(1, Square(2)),
    1j,
    None,
)


def changed(payload: Any, path: tuple[Any, ...], part: Any) -> Any:
    """Return a copy with another part at the path; without one for `NEVER`."""
    payload = copy.deepcopy(payload)
    place = payload
    for step in path[:-1]:
        place = place[step]
    if part is NEVER:
        del place[path[-1]]
    else:
        place[path[-1]] = part
    return payload


CASES: list[tuple[tuple[Any, ...], Any, tuple[str, ...]]] = [
    (("color",), "blue", ("color: str that is no value of the enum",)),
    (("color",), True, ("color: expected the enum, got bool",)),
    (("rights",), 2, ("rights: int that is no value of the flag",)),
    (("rights",), -1, ("rights: int that is no value of the flag",)),
    (("rights",), "1", ("rights: expected int, got str",)),
    (("pod", "uid"), NEVER, ("pod.uid: missing",)),
    (("pod", "more"), 1, ("pod: 1 unknown key",)),
    (("pod",), [], ("pod: expected dict, got list",)),
    (("pod", "ports"), [10, 2], ("pod.ports: items of a set that are not in order",)),
    (("pod", "ports"), [2, 2], ("pod.ports: items of a set that are equal",)),
    (("pod", "ports"), {"a": 1}, ("pod.ports: expected list, got dict",)),
    (("pod", "ports"), ["x", 1], ("pod.ports[*]: expected int, got str",)),
    (("pod", "next", "uid"), 1, ("pod.next.uid: expected str, got int",)),
    (("pod", "next", "next"), 1, ("pod.next.next: expected dict, got int",)),
    (("labels", "tier"), "1", ("labels.tier: expected int, got str",)),
    (("labels", "app"), NEVER, ("labels.app: missing",)),
    (("pair",), [1], ("pair: expected 2 items, got 1",)),
    (("pair", 1), 1, ("pair[1]: expected str, got int",)),
    (("by_id", "x"), [], ("by_id[*] (key): str that is not the text of an int",)),
    (("by_id", "7", 0, "uid"), None, ("by_id[*][0].uid: expected str, got NoneType",)),
    (("figure", "type"), "triangle", ("figure: has no known tag in 'type'",)),
    (("figure", "radius"), "1", ("figure.radius: expected int, got str",)),
    (("figure", "inner", "side"), "1", ("figure.inner.side: expected int, got str",)),
    (("figure",), 1, ("figure: expected dict, got int",)),
    (("money",), (1,), ("money: expected plain JSON data, got tuple",)),
    (("some",), 1.5, ("some: expected NoneType or int or str, got float",)),
]


@pytest.mark.parametrize(("path", "part", "problems"), CASES)
def test_what_does_not_fit_a_shape_is_named_by_its_path(
    path: tuple[Any, ...], part: Any, problems: tuple[str, ...]
) -> None:
    payload = SCHEMA.dump(VALUE)
    assert misfits(SCHEMA.shape, payload) == ()
    wrong = changed(payload, path, part)
    assert misfits(SCHEMA.shape, wrong) == problems
    with pytest.raises(StructureError):
        SCHEMA.structure(wrong)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (("labels", "tier"), 1),
        (("some",), "x"),
        (("money",), {"any": ["thing"]}),  # what a hook writes is not in the shape
        (("figure",), {"type": "square", "side": 1}),
        (("pod", "next"), None),
    ],
)
def test_what_fits_is_taken(path: tuple[Any, ...], part: Any) -> None:
    assert misfits(SCHEMA.shape, changed(SCHEMA.dump(VALUE), path, part)) == ()


@given(st.data())
def test_a_shape_takes_whatever_its_class_writes(data: st.DataObject) -> None:
    typed: Typed = data.draw(types)
    schema = schema_of(typed.tp)
    payload = schema.dump({"x": data.draw(typed.values)})
    assert misfits(schema.shape, payload) == ()
    assert differing(schema.shape, payload, payload) == ()


@given(st.data())
def test_a_class_refuses_whatever_its_shape_refuses(data: st.DataObject) -> None:
    one: Typed = data.draw(types)
    other: Typed = data.draw(types)
    payload = schema_of(other.tp).dump({"x": data.draw(other.values)})
    schema = schema_of(one.tp)
    try:
        value = schema.structure(payload)
    except StructureError:
        return
    assert misfits(schema.shape, schema.dump(value)) == ()
    assert misfits(schema.shape, payload) == ()


@pytest.mark.parametrize(
    "shape",
    [
        "string",
        1,
        None,
        {},
        [],
        {"list": "integer"},
        {"up": 1},
        {"up": -1},
        {"up": True},
        {"list": {"up": 1}},
        {"dict": ["float", "int"]},
        {"dict": ["str"]},
        {"record": ["a"]},
        {"record": {}, "required": {}},
        {"list": "int", "set": "int"},
        {"enum": [[]]},
        {"flag": ["a"]},
        {"flag": [-1]},
        {"tagged": ["type"]},
        {"union": "int"},
        {"sum": []},
    ],
)
def test_what_is_no_shape_is_refused(shape: Shape) -> None:
    with pytest.raises(ValueError, match="is no shape that this release knows") as caught:
        wire_codec(shape)
    assert caught.value.__cause__ is None


def test_a_payload_that_has_no_end_is_a_misfit() -> None:
    payload: dict[str, Any] = {}
    payload["next"] = payload
    shape: Shape = {"record": {"next": {"union": ["null", {"up": 1}]}}}
    assert misfits(shape, payload) == ("nested too deeply",)


def test_unknown_names_print_where_they_are_known_to_be_names_of_fields() -> None:
    codec = wire_codec({"record": {"a": "int"}}, nameable={"note"})
    assert unfit_paths(codec, {"a": 1, "note": 2, "s3cret": 3}) == ("note", "the whole payload")
    assert unfit_paths(codec, {"note": 2}) == ("a", "note")
    assert unfit_paths(codec, {"a": 1}) == ()


@pytest.mark.parametrize(("path", "part"), [(path, part) for path, part, _ in CASES])
def test_two_payloads_differ_where_one_was_changed(path: tuple[Any, ...], part: Any) -> None:
    before = SCHEMA.dump(VALUE)
    if part == (1,):
        part = ["no tuple, which JSON has not"]
    found = differing(SCHEMA.shape, before, changed(before, path, part))
    names = [f".{step}" if isinstance(step, str) else f"[{step}]" for step in path]
    steps = "".join(names).removeprefix(".")
    for data in (".7", ".x", ".more"):
        steps = steps.replace(data, "[*]")
    expected = {(10, 2): ("[0]", "[1]"), (2, 2): ("[1]",), ("x", 1): ("[0]", "[1]")}
    items = expected.get(tuple(part), ("",)) if path[-1] == "ports" else ("",)
    assert found == tuple(steps + item for item in items)


def test_names_that_are_data_are_not_told() -> None:
    shape: Shape = {"record": {"free": "json", "by_name": {"dict": ["str", "json"]}}}
    left = {"free": {"s3cret": [1, 2]}, "by_name": {"s3cret": {"s3cret": 1}}}
    right = {"free": {"s3cret": [1, 3]}, "by_name": {"s3cret": {"s3cret": 2}}}
    assert differing(shape, left, right) == ("by_name[*][*]", "free[*][1]")


@pytest.mark.parametrize(("left", "right"), [(1, True), (1, 1.0), (0.0, -0.0), ("1", 1)])
def test_equal_is_not_the_same(left: Any, right: Any) -> None:
    assert differing({"record": {"a": "json"}}, {"a": left}, {"a": right}) == ("a",)


def test_what_differs_as_a_whole_has_no_path() -> None:
    assert differing("json", [1], {"a": 1}) == ("the whole payload",)


def test_a_fixed_tuple_has_a_shape_for_each_item() -> None:
    shape: Shape = {"tuple": [{"record": {"a": "int"}}, "int"]}
    assert differing(shape, [{"a": 1}, 1, {"a": 1}], [{"a": 2}, 1, {"a": 2}]) == ("[0].a", "[2][*]")


@frozen
class Dog:
    name: str
    other: Dog | Cat | None


@frozen
class Cat:
    lives: int


def test_a_union_that_leads_back_to_itself() -> None:
    animals = tagged(Dog | Cat, {"dog": Dog, "cat": Cat}, field="type")

    @frozen
    class Zoo:
        animal: Dog | Cat

    schema = Schema(Zoo, kind="a", version=1, hooks=[animals])

    def payload(lives: int) -> Any:
        return schema.dump(Zoo(Dog("a", Dog("b", Cat(lives)))))

    assert misfits(schema.shape, payload(9)) == ()
    assert differing(schema.shape, payload(9), payload(8)) == ("animal.other.other.lives",)


def test_a_tag_that_changes_is_the_difference() -> None:
    shape: Shape = {"tagged": ["type", {"a": {"record": {"n": "int"}}, "b": {"record": {}}}]}
    left, right = {"type": "a", "n": 1}, {"type": "b"}
    assert differing(shape, left, right) == ("n", "type")
    assert differing(shape, {"type": "?", "n": 1}, {"type": "?", "n": 2}) == ("[*]",)
