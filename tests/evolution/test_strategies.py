"""Payloads from a shape: at its edges, and generated. The class takes whatever the shape gives."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal, NotRequired, TypedDict
from uuid import UUID

import attrs
import pytest
from attrs import frozen
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from checkpointkit.evolution.edges import edges
from checkpointkit.evolution.nodes import harvest, likeness, read_shape
from checkpointkit.evolution.strategies import hooks_of, payloads, takes, values
from checkpointkit.fingerprint import Shape, canonical
from checkpointkit.schema import Hook, Json, Payload, Schema, tagged
from checkpointkit.structuring.wire import misfits
from checkpointkit.testing.strategies import values_of
from tests.test_fingerprint import SHAPES
from tests.test_structuring_laws import same, schema_of, types

QUICK = settings(
    max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
FRESH = settings(max_examples=200, database=None, derandomize=True)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Number(enum.Enum):
    TEN = 10
    NINE = 9


class Mixed(enum.Enum):
    TEXT = "1"
    INT = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 4


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@frozen
class Circle:
    radius: int


@frozen
class Square:
    side: int


@frozen
class Node:
    value: int
    children: list[Node]
    parent: Node | None
    named: dict[Color, Node]


@dataclass(frozen=True)
class Every:
    text: str
    pair: tuple[int, bool]
    empty: tuple[()]
    several: tuple[str, ...]
    numbers: dict[int, float]
    spans: dict[timedelta, bytes]
    decimals: dict[Decimal, time]
    colors: frozenset[Color]
    tens: frozenset[Number]
    mixed: frozenset[Mixed]
    prices: frozenset[tuple[Decimal, ...]]
    moments: frozenset[datetime]
    drives: frozenset[PureWindowsPath]
    floats: frozenset[float]
    either: frozenset[int | str | None]
    forms: frozenset[Circle | Square]
    literal: Literal[1, True, None, "1"]
    movie: Movie
    rights: Rights
    day: date | None
    path: PurePosixPath
    uid: UUID
    form: Circle | Square
    plain: Json
    tree: Node


FORMS = tagged(Circle | Square, {"circle": Circle, "square": Square}, field="is")
TWO_TAGS: Shape = {"tagged": ["is", {"a": {"record": {}}, "b": {"record": {}}}]}
FRACTION = Hook(Fraction, wire="example.com/fraction", dump=str, load=Fraction)
EVERY = Schema(Every, kind="example.com/every", version=1, hooks=[FORMS])


def run(strategy: Any, count: int = 40) -> list[Any]:
    """Return what a strategy gives, without a search for anything."""
    found = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(strategy)
    def collect(made: Any) -> None:
        found.append(made)

    collect()
    return found


# ----------------------------------------------------------------- the class takes what is made


@QUICK
@given(st.data())
def test_any_class_takes_the_edges_of_its_shape_and_what_is_generated(data: st.DataObject) -> None:
    schema = schema_of(data.draw(types).tp)
    for payload in [*edges(schema.shape), data.draw(payloads(schema.shape))]:
        assert misfits(schema.shape, payload) == ()
        schema.structure(payload)


def test_every_form_of_shape_has_edges_that_its_class_takes() -> None:
    made = edges(EVERY.shape)
    assert len(made) == len(set(map(canonical, made)))
    for payload in made:
        EVERY.structure(payload)


def test_every_form_of_shape_is_generated_as_its_class_takes_it() -> None:
    made = run(payloads(EVERY.shape), 15)
    assert len(made) > 9
    for payload in made:
        EVERY.structure(payload)


@pytest.mark.parametrize("shape", [shape for _, shape in SHAPES], ids=lambda shape: str(shape)[:40])
def test_edges_and_generated_payloads_fit_their_shape(shape: Any) -> None:
    whole: Shape = {"dict": ["str", shape]}
    hooks = {"example.com/fraction": ["1/2", "3"]}
    strategies = {name: st.sampled_from(texts) for name, texts in hooks.items()}
    found = [*edges(whole, hooks), *run(payloads(whole, strategies), 20)]
    for payload in found:
        assert misfits(whole, payload) == ()
    assert {"{}"} < set(map(canonical, found))  # and not the empty one alone


# ------------------------------------------------------------------------------------ the edges


def leaves(payload: Any) -> list[Any]:
    if isinstance(payload, dict):
        return [leaf for part in payload.values() for leaf in leaves(part)]
    if isinstance(payload, list):
        return [leaf for part in payload for leaf in leaves(part)]
    return [payload]


def wraps(shape: Any) -> list[Any]:
    """Return shapes around a shape, of which each keeps all of its edges."""
    return [
        {"list": shape},
        {"tuple": shape},
        {"tuple": ["int", shape]},
        {"record": {"a": "bool", "b": shape}},
        {"record": {"a": "bool"}, "optional": {"b": shape}},
        {"union": ["null", shape]},
        {"tagged": ["is", {"a": {"record": {}}, "b": {"record": {"b": shape}}}]},
        {"dict": [{"enum": ["k"]}, shape]},
        {"list": {"list": {"record": {"b": shape}}}},
    ]


MANY: Shape = {"enum": [f"m{i:03}" for i in range(150)]}


@pytest.mark.parametrize("shape", wraps(MANY), ids=lambda shape: str(shape)[:30])
def test_each_member_of_an_enum_is_in_one_of_the_edges(shape: Any) -> None:
    found = {leaf for leaf in leaves(edges({"record": {"x": shape}})) if str(leaf).startswith("m")}
    assert len(found) == 150


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ("int", [0, -1, 2**63, 10**30]),
        ("str", ["", "caf\xe9 \U0001f600", '\0\n"\\']),
        ("bool", [False, True]),
        ("date", ["0001-01-01", "9999-12-31"]),
        ("datetime", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"]),
        ("timedelta", [-86399999913600000000, 86399999999999999999]),
        ({"list": "bool"}, [[], [False, True]]),
        ({"set": {"enum": ["a", "b"]}}, [[], ["a", "b"]]),
        ({"dict": ["str", "null"]}, [{}]),
        ({"flag": [1, 4]}, [0, 1, 4, 5]),
        ({"union": ["bool", "null"]}, [None, True]),
        (
            {"record": {"a": "null"}, "optional": {"b": "null"}},
            [{"a": None}, {"a": None, "b": None}],
        ),
        (
            {"tagged": ["is", {"x": {"record": {}}, "y": {"record": {}}}]},
            [{"is": "x"}, {"is": "y"}],
        ),
        ({"tuple": []}, [[]]),
    ],
    ids=str,
)
def test_the_edges_hold_what_breaks_programs(shape: Any, wanted: list[Any]) -> None:
    found = list(map(canonical, edges(shape)))
    assert {canonical(edge) for edge in wanted} <= set(found)


def test_edges_of_one_kind_are_not_multiplied_with_those_of_another() -> None:
    shape: Shape = {
        "record": {f"f{i}": {"list": {"record": {"n": "int", "t": "str"}}} for i in range(30)}
    }
    assert len(edges(shape)) < 10


def test_lists_of_edges_stay_small_enough_to_be_read() -> None:
    inner: Any = "int"
    for _ in range(6):
        inner = {"list": {"record": {"a": inner, "b": inner}}}
    for payload in edges(inner):
        assert len(leaves(payload)) <= 500


def test_a_recursive_shape_has_edges_that_go_around_once() -> None:
    made = edges(Schema(Node, kind="a", version=1).shape)
    depths = [canonical(payload).count('"value"') for payload in made]
    assert min(depths) == 1
    assert max(depths) > 1


# ------------------------------------------------------------------------------------ recursion


def test_what_is_generated_of_a_recursive_shape_ends() -> None:
    shape = Schema(Node, kind="a", version=1).shape
    made = [canonical(payload).count('"value"') for payload in run(payloads(shape))]
    assert max(made) > 3
    assert len(made) > 20


@pytest.mark.parametrize(
    "shape",
    [
        {"record": {"next": {"up": 0}}},
        {"record": {"n": "int", "pair": {"tuple": [{"up": 1}, "int"]}}},
        {"tagged": ["is", {"a": {"record": {"again": {"up": 1}}}}]},
        {"record": {"either": {"union": [{"up": 1}]}}},
        {"record": {"none": {"enum": []}}},
    ],
    ids=str,
)
def test_a_shape_without_an_end_has_no_payloads(shape: Any) -> None:
    assert edges(shape) == []
    with pytest.raises(ValueError, match="no payload of this shape"):
        payloads(shape)


@pytest.mark.parametrize(
    ("shape", "empty"),
    [
        ({"list": {"up": 0}}, []),
        ({"dict": ["str", {"record": {"again": {"up": 0}}}]}, {}),
        ({"union": ["null", {"record": {"again": {"record": {"again": {"up": 0}}}}}]}, None),
        ({"record": {}, "optional": {"again": {"record": {"again": {"up": 0}}}}}, {}),
    ],
    ids=str,
)
def test_what_can_be_left_out_ends_a_shape(shape: Any, empty: Any) -> None:
    assert empty in edges(shape)
    assert empty in run(payloads(shape), 30)


@pytest.mark.parametrize(
    "shape",
    ["complex", 7, None, {}, {"record": 7}, {"list": "x"}, {"up": 0}, {"new": "int"}, {"enum": 3},
     {"record": {"a": {"up": 1}}}, {"dict": ["str"]}, {"tagged": ["is"]}],
    ids=str,
)  # fmt: skip
def test_a_shape_of_a_newer_release_is_refused_by_name(shape: Any) -> None:
    with pytest.raises(ValueError, match="is no shape that this release knows"):
        read_shape(shape)


# ---------------------------------------------------------------------------------------- hooks


@frozen
class Price:
    name: str
    amount: Fraction
    others: list[Fraction]
    best: Fraction | None


PRICE = Schema(Price, kind="example.com/price", version=1, hooks=[FRACTION])


def test_what_a_hook_writes_is_made_from_the_type_that_it_is_for() -> None:
    made = run(values(PRICE))
    assert len({payload["amount"] for payload in made}) > 5
    for payload in made:
        PRICE.structure(payload)


def test_what_a_hook_has_written_is_found_in_payloads() -> None:
    shape = Schema(dict[str, Price | None], kind="a", version=1, hooks=[FRACTION]).shape
    one = {"name": "x", "amount": "1/2", "others": ["3", "1/2"], "best": "5/7"}
    other: Payload = {"name": "x", "amount": "1/2", "others": [], "best": None}
    found = harvest(read_shape(shape), [{"a": one, "b": None}, {"c": other}])
    assert found == {"example.com/fraction": ["1/2", "5/7", "3"]}


def test_hooks_are_found_everywhere_in_a_shape() -> None:
    hook: Shape = {"hook": "h"}
    shape: Shape = {
        "record": {
            "pair": {"tuple": ["int", hook]},
            "set": {"set": hook},
            "tagged": {"tagged": ["is", {"a": {"record": {"h": hook}}}]},
            "again": {"union": ["null", {"up": 1}]},
            "key": {"dict": ["str", hook]},
        }
    }
    inner: Payload = {"pair": [1, 1], "set": [2, 3], "tagged": {"is": "a", "h": 4}, "again": None}
    payload = {**inner, "key": {"key": 5}, "again": {**inner, "pair": [1, 6], "key": {}}}
    assert sorted(harvest(read_shape(shape), [payload])["h"]) == [1, 2, 3, 4, 5, 6]


def test_a_hook_of_which_nothing_is_known_is_left_out_where_that_is_possible() -> None:
    hook: Shape = {"hook": "h"}
    shape: Shape = {"record": {"all": {"list": hook}, "one": {"union": ["null", hook]}}}
    made = [*edges(shape), *run(payloads(shape), 9)]
    assert set(map(canonical, made)) == {'{"all":[],"one":null}'}
    assert edges({"record": {"h": {"hook": "h"}}}) == []
    with pytest.raises(ValueError, match="has a hook"):
        payloads({"record": {"h": {"hook": "h"}}})


def test_unions_of_classes_are_no_hooks() -> None:
    assert hooks_of(EVERY) == {}
    assert list(hooks_of(PRICE)) == ["example.com/fraction"]


# ----------------------------------------------------------------------------- what is the same


@pytest.mark.parametrize(
    ("shape", "left", "right", "alike"),
    [
        ("decimal", "1.0", "1", True),
        ("str", "1.0", "1", False),
        ("datetime", "2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00+00:00", True),
        ("windows-path", "A", "a", True),
        ("path", "A", "a", False),
        ("float", 0.0, -0.0, True),
        ({"union": ["bool", "int"]}, 1, True, True),
        ({"union": ["decimal", "null"]}, "1", "1.0", True),
        ({"union": [{"enum": [1]}, "str"]}, 1, "1", False),
        ({"tuple": "decimal"}, ["1"], ["1.0"], True),
        ({"tuple": ["decimal", "str"]}, ["1", "1"], ["1.0", "1.0"], False),
        ({"set": "decimal"}, ["1.0", "2"], ["1", "2.0"], True),
        ({"record": {"a": "decimal"}}, {"a": "1"}, {"a": "1.0"}, True),
        ({"record": {}, "optional": {"a": "int", "b": "int"}}, {"a": 1}, {"b": 1}, False),
        (TWO_TAGS, {"is": "a"}, {"is": "b"}, False),
        ({"hook": "h"}, {"a": [1]}, {"a": [1]}, True),
        ({"tuple": {"union": ["null", {"up": 1}]}}, [[None]], [[[None]]], False),
    ],
)  # fmt: skip
def test_members_of_a_set_are_told_apart_as_values_are(
    shape: Any, left: Any, right: Any, alike: bool
) -> None:
    node = read_shape(shape)
    assert (likeness(node, left) == likeness(node, right)) == alike


# ------------------------------------------------------------------------------------ for users


@frozen
class Port:
    number: int = attrs.field(validator=[attrs.validators.ge(1), attrs.validators.le(99)])
    name: str = attrs.field(default="", validator=attrs.validators.max_len(3))


@settings(QUICK, max_examples=10)
@given(values_of(EVERY))
def test_values_of_a_schema_come_back(value: Every) -> None:
    assert type(value) is Every
    assert same(EVERY.structure(EVERY.dump(value)), value)


def test_values_of_a_schema_pass_its_validators() -> None:
    schema = Schema(Port, kind="a", version=1)
    made = run(values_of(schema))
    assert len(made) > 20
    assert {type(port) for port in made} == {Port}
    assert not takes(schema, {"number": 0, "name": ""})


def test_values_of_a_schema_shrink_to_the_plainest_that_will_do() -> None:
    schema = Schema(Port, kind="a", version=1)
    found = find(values_of(schema), lambda port: port.number > 1 and port.name, settings=FRESH)
    assert found == Port(2, "0")


def test_texts_of_users_are_all_of_unicode_and_those_of_goldens_are_not() -> None:
    shape: Shape = {"record": {"text": "str"}}
    wide = st.text(st.characters(codec="utf-8"))

    def odd(payload: dict[str, str]) -> bool:
        return any(char < " " or char == "\u202e" for char in payload["text"])

    assert odd(find(payloads(shape, texts=wide), odd, settings=FRESH))
    with pytest.raises(NoSuchExample):
        find(payloads(shape), odd, settings=FRESH)
