"""Hooks for foreign types, and unions of classes with a tag."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, TypedDict, TypeVar

import pytest
from attrs import define, field, frozen

from checkpointkit import EncodeError, StructureError
from checkpointkit.schema import Hook, Schema, Tagged, tagged

FRACTION = Hook(Fraction, wire="example.com/fraction", dump=str, load=Fraction)

T = TypeVar("T")


def schema_of(cls: Any, *hooks: Hook[Any] | Tagged) -> Schema[Any]:
    return Schema(cls, kind="example.com/t", version=1, hooks=hooks)


def round_trip(schema: Schema[Any], value: Any) -> Any:
    payload = schema.dump(value)
    back = schema.structure(json.loads(json.dumps(payload, sort_keys=True)))
    assert type(back) is type(value)
    assert back == value
    return payload


# --- hooks ---------------------------------------------------------------------------------------


@frozen
class WithFractions:
    one: Fraction
    more: list[Fraction]
    members: frozenset[Fraction] = frozenset()
    maybe: Fraction | None = None


def test_a_hook_is_used_wherever_its_type_is_met() -> None:
    value = WithFractions(
        Fraction(1, 2), [Fraction(3)], frozenset({Fraction(5), Fraction(1, 3)}), Fraction(7)
    )
    assert round_trip(schema_of(WithFractions, FRACTION), value) == {
        "one": "1/2",
        "more": ["3"],
        "members": ["1/3", "5"],
        "maybe": "7",
    }


def test_a_hook_writes_in_canonical_form_only() -> None:
    schema = schema_of(dict[str, Fraction], FRACTION)
    with pytest.raises(StructureError) as caught:
        schema.structure({"a": "2/4"})
    assert caught.value.problems == (
        "[*]: the hook example.com/fraction would write something else",
    )


def test_a_hook_that_raises_is_named_with_the_type_of_its_error() -> None:
    def fail(value: object) -> Any:
        raise LookupError(f"s3cret {value}")

    hook = Hook(Fraction, wire="example.com/fraction", dump=fail, load=fail)
    schema = schema_of(WithFractions, hook)
    problem = "the hook example.com/fraction raised LookupError"
    with pytest.raises(EncodeError) as caught:
        schema.dump(WithFractions(Fraction(1), [Fraction(2)]))
    assert caught.value.problems == (f"one: {problem}", f"more[0]: {problem}")
    with pytest.raises(StructureError) as caught_too:
        schema.structure({"one": "s3cret", "more": [], "members": [], "maybe": None})
    assert caught_too.value.problems == (f"one: {problem}",)
    assert caught.value.__context__ is caught_too.value.__context__ is None


def test_a_lack_of_memory_in_a_hook_is_no_error_of_the_state() -> None:
    def fail(value: object) -> Any:
        raise MemoryError

    hook = Hook(Fraction, wire="example.com/fraction", dump=fail, load=fail)
    with pytest.raises(MemoryError):
        schema_of(dict[str, Fraction], hook).dump({"a": Fraction(1)})


class Celsius:
    """Foreign, without equality."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


class Kelvin(Celsius):
    pass


class Never:
    """Equal to nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]  # as Python would set it


@pytest.mark.parametrize(
    ("hook", "value", "problem"),
    [
        (
            Hook(Celsius, wire="c", dump=lambda v: (v.degrees,), load=Celsius),
            Celsius(1.0),
            "expected plain JSON data, got tuple",
        ),
        (
            Hook(Celsius, wire="c", dump=lambda v: {"d": [float("nan")]}, load=Celsius),
            Celsius(1.0),
            "[*][0]: float that is not finite",
        ),
        (
            Hook(Celsius, wire="c", dump=lambda v: v.degrees, load=Celsius),
            Kelvin(1.0),
            "the hook c gives back a Celsius",
        ),
        (
            Hook(Celsius, wire="c", dump=lambda v: v.degrees, load=lambda data: data),
            Celsius(1.0),
            "expected Celsius, got float",
        ),
        (
            Hook(Celsius, wire="c", dump=lambda v: v.degrees, load=Celsius),
            1.0,
            "expected Celsius, got float",
        ),
        (
            Hook(Celsius, wire="c", dump=lambda v: v.degrees, load=lambda data: Celsius(data + 1)),
            Celsius(1.0),
            "the hook c would write something else",
        ),
        (
            Hook(Never, wire="n", dump=lambda v: None, load=lambda data: Never()),
            Never(),
            "the hook n does not give the value back",
        ),
    ],
)
def test_a_hook_that_does_not_give_the_value_back_is_an_encode_error(
    hook: Hook[Any], value: Any, problem: str
) -> None:
    with pytest.raises(EncodeError) as caught:
        schema_of(dict[str, hook.cls], hook).dump({"a": value})  # type: ignore[name-defined]
    step = "" if problem.startswith("[") else ": "
    assert caught.value.problems == (f"[*]{step}{problem}",)


def test_a_hook_of_a_type_without_equality() -> None:
    hook = Hook(Celsius, wire="c", dump=lambda v: {"b": v.degrees, "a": 1}, load=_celsius)
    schema = schema_of(dict[str, Celsius], hook)
    payload = schema.dump({"x": Celsius(3.5)})
    assert payload == {"x": {"b": 3.5, "a": 1}}
    assert schema.structure({"x": {"a": 1, "b": 3.5}})["x"].degrees == 3.5


def _celsius(data: Any) -> Celsius:
    assert data.pop("a") == 1  # a hook gets data of its own
    return Celsius(data["b"])


def test_a_hook_stands_for_the_whole_state_if_it_writes_a_dict() -> None:
    good = schema_of(
        Celsius,
        Hook(Celsius, wire="c", dump=lambda v: {"d": v.degrees}, load=lambda d: Celsius(d["d"])),
    )
    assert good.structure(good.dump(Celsius(1.5))).degrees == 1.5
    bad = schema_of(Celsius, Hook(Celsius, wire="c", dump=lambda v: v.degrees, load=Celsius))
    with pytest.raises(EncodeError) as caught:
        bad.dump(Celsius(1.5))
    assert caught.value.problems == ("expected dict as payload, got float",)
    with pytest.raises(StructureError) as caught_too:
        bad.structure(1.5)  # type: ignore[arg-type]  # what is tried
    assert caught_too.value.problems == ("expected dict as payload, got float",)


def test_a_hook_goes_before_what_checkpointkit_would_do() -> None:
    hook = Hook(bytes, wire="example.com/hex", dump=bytes.hex, load=bytes.fromhex)
    assert round_trip(schema_of(dict[str, bytes], hook), {"a": b"\xff"}) == {"a": "ff"}


def test_a_hook_that_writes_none_does_not_pass_for_none() -> None:
    hook = Hook(
        bytes, wire="n", dump=lambda v: v.hex() or None, load=lambda d: bytes.fromhex(d or "")
    )
    assert round_trip(schema_of(dict[str, bytes], hook), {"a": b""}) == {"a": None}
    schema = schema_of(dict[str, bytes | None], hook)
    assert round_trip(schema, {"a": None, "b": b"b"}) == {"a": None, "b": "62"}
    with pytest.raises(EncodeError) as caught:
        schema.dump({"a": b""})
    assert caught.value.problems == ("[*]: the hook writes None, which stands for None alone",)


def test_a_hook_for_a_type_that_is_no_class() -> None:
    kind: Any = list[T]  # type: ignore[valid-type]  # a type that checkpointkit would refuse
    hook = Hook(kind, wire="example.com/list", dump=list, load=list)
    schema = schema_of(dict[str, kind], hook)
    assert round_trip(schema, {"a": [1, "a"]}) == {"a": [1, "a"]}


@define(eq=True)
class Unhashable:
    a: int


def test_a_hook_of_a_type_without_a_hash_cannot_be_in_a_set() -> None:
    hook = Hook(Unhashable, wire="u", dump=lambda v: v.a, load=Unhashable)
    with pytest.raises(TypeError, match="has no hash"):
        schema_of(dict[str, set[Unhashable]], hook)


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        ("", ValueError),
        ("a b", ValueError),
        ("a\n", ValueError),
        ("é", ValueError),
        ("a'", ValueError),
        ('a"', ValueError),
        ("a\\", ValueError),
        ("a" * 254, ValueError),
        (1, TypeError),
        (None, TypeError),
    ],
)
def test_names_on_the_wire_are_sane(wire: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Hook(Fraction, wire=wire, dump=str, load=Fraction)
    with pytest.raises(error):
        tagged(Circle | Square, {wire: Circle}, field="type")
    with pytest.raises(error):
        tagged(Circle | Square, {"circle": Circle}, field=wire)
    with pytest.raises(error):
        Schema(Circle, kind=wire, version=1)


def test_the_functions_of_a_hook_are_functions() -> None:
    with pytest.raises(TypeError, match="must be functions"):
        Hook(Fraction, wire="a", dump=str, load=None)  # type: ignore[arg-type]  # what is tried


def test_hooks_and_tagged_unions_are_frozen_and_can_be_pickled() -> None:
    for spec in (FRACTION, SHAPE):
        with pytest.raises(AttributeError, match="is frozen"):
            spec.cls = int
        assert repr(pickle.loads(pickle.dumps(spec))) == repr(spec)
    assert repr(FRACTION) == "Hook(Fraction, wire='example.com/fraction')"


def test_two_hooks_for_one_type_are_refused() -> None:
    with pytest.raises(TypeError, match="two hooks for one type"):
        schema_of(WithFractions, FRACTION, FRACTION)


def test_something_else_as_hook_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a Hook or tagged\(\.\.\.\), not a str"):
        schema_of(WithFractions, "x")  # type: ignore[arg-type]  # what is tried


# --- unions of classes ---------------------------------------------------------------------------


@frozen
class Circle:
    radius: int


@dataclass(frozen=True)
class Square:
    side: int


class Dot(NamedTuple):
    x: int = 0


class Figure:
    pass


@frozen
class Star(Figure):
    points: int


@frozen
class Group(Figure):
    members: tuple[Figure, ...]


SHAPE = tagged(Circle | Square | Dot, {"circle": Circle, "square": Square, "dot": Dot}, field="is")
FIGURE = tagged(Figure, {"star": Star, "group": Group}, field="type")


@frozen
class Drawing:
    shapes: list[Square | Dot | Circle]
    maybe: Circle | Dot | Square | None = None
    members: frozenset[Circle | Square | Dot] = frozenset()
    plain: Circle | None = None


def test_a_union_of_classes_is_told_apart_by_its_tag() -> None:
    schema = schema_of(Drawing, SHAPE)
    value = Drawing([Circle(1), Square(2), Dot()], Square(3), frozenset({Dot(), Circle(1)}))
    assert round_trip(schema, value) == {
        "shapes": [
            {"is": "circle", "radius": 1},
            {"is": "square", "side": 2},
            {"is": "dot", "x": 0},
        ],
        "maybe": {"is": "square", "side": 3},
        "members": [{"is": "circle", "radius": 1}, {"is": "dot", "x": 0}],
        "plain": None,
    }
    round_trip(schema, Drawing([], None, plain=Circle(1)))


def test_a_class_of_a_tagged_union_has_no_tag_where_it_stands_alone() -> None:
    assert schema_of(Drawing, SHAPE).dump(Drawing([], plain=Circle(1)))["plain"] == {"radius": 1}


def test_a_union_of_classes_without_a_tag_is_refused_with_its_path() -> None:
    with pytest.raises(TypeError, match=r"^Drawing\.shapes\[\*\]: a union that JSON cannot tell"):
        schema_of(Drawing)


def test_a_base_class_stands_for_its_tagged_classes() -> None:
    schema = schema_of(Figure, FIGURE)
    value = Group((Star(5), Group((Star(6),))))
    assert round_trip(schema, value) == {
        "type": "group",
        "members": [
            {"type": "star", "points": 5},
            {"type": "group", "members": [{"type": "star", "points": 6}]},
        ],
    }


def test_a_class_may_hold_the_tagged_union_that_it_belongs_to() -> None:
    group = Group((Star(5), Group(())))
    payload = round_trip(schema_of(Group, FIGURE), group)
    assert payload["members"][1] == {"type": "group", "members": []}


@frozen
class Heavy(Star):
    kilograms: int


def test_a_value_of_another_class_has_no_tag() -> None:
    schema = schema_of(Figure, FIGURE)
    for value in (Figure(), Heavy(1, 2), {"type": "star", "points": 5}, None):
        with pytest.raises(EncodeError) as caught:
            schema.dump(value)
        assert caught.value.problems == (f"expected Star or Group, got {type(value).__name__}",)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"points": 5}, "has no known tag in 'type'"),
        ({"type": "s3cret", "points": 5}, "has no known tag in 'type'"),
        ({"type": ["star"], "points": 5}, "has no known tag in 'type'"),
        ({"type": 1, "points": 5}, "has no known tag in 'type'"),
        ({"type": "star"}, "points: missing"),
        ({"type": "star", "points": 5, "s3cret": 1}, "1 unknown key"),
        ([], "expected dict, got list"),
        ("star", "expected dict, got str"),
    ],
)
def test_a_payload_without_a_known_tag_is_refused(data: Any, problem: str) -> None:
    with pytest.raises(StructureError) as caught:
        schema_of(Figure, FIGURE).structure(data)
    assert caught.value.problems == (problem,)


class AsDict(TypedDict):
    a: int


@frozen
class HasType:
    type: int


@frozen
class HasAlias:
    a: int = field(alias="type")


@pytest.mark.parametrize("cls", [AsDict, HasType, HasAlias, dict[str, int], int, Fraction])
def test_a_class_that_cannot_carry_the_tag_is_refused(cls: Any) -> None:
    spec = tagged(Figure, {"star": Star, "x": cls}, field="type")
    with pytest.raises(TypeError, match="Figure<x>: a class of a tagged union must be"):
        schema_of(Figure, spec, FRACTION)


def test_a_class_with_two_tags_is_refused() -> None:
    with pytest.raises(TypeError, match="Figure: a class has two tags"):
        schema_of(Figure, tagged(Figure, {"a": Star, "b": Star}, field="type"))


def test_a_tagged_union_without_classes_is_refused() -> None:
    with pytest.raises(TypeError, match="needs classes"):
        tagged(Figure, {}, field="type")
