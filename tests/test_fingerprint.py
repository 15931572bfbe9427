"""Fingerprints: of the wire alone, and the same everywhere and for ever."""

# ruff: noqa: UP006, UP035 - the old spellings are tried, too

from __future__ import annotations

import dataclasses
import enum
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from timeit import timeit
from typing import (
    Annotated,
    Any,
    Dict,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import attrs
import pytest
from attrs import field, frozen

from checkpointkit.fingerprint import fingerprint
from checkpointkit.schema import Hook, Json, Schema, Tagged, tagged

T = TypeVar("T")


def of(cls: Any, *hooks: Hook[Any] | Tagged) -> Schema[Any]:
    return Schema(cls, kind="a", version=1, hooks=hooks)


def field_of(tp: Any, *hooks: Hook[Any] | Tagged) -> Any:
    shape: Any = of(dict[str, tp], *hooks).shape
    return shape["dict"][1]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Numbers(enum.Enum):
    TEN = 10
    NINE = 9
    HALF = 0.5
    TEXT = "9"


class Rights(enum.Flag):
    READ = 1
    WRITE = 4
    BOTH = 5


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: int


@frozen
class Node:
    value: int
    children: list[Node]
    parent: Node | None = None


@frozen
class Circle:
    radius: int


@frozen
class Square:
    side: int


UserId = NewType("UserId", str)
MaybeBool = NewType("MaybeBool", bool | None)  # type: ignore[valid-newtype]  # works at run time
FRACTION = Hook(Fraction, wire="example.com/fraction", dump=str, load=Fraction)
SHAPE = tagged(Circle | Square, {"circle": Circle, "square": Square}, field="is")

SHAPES: list[tuple[Any, Any]] = [
    (str, "str"),
    (int, "int"),
    (float, "float"),
    (bool, "bool"),
    (None, "null"),
    (Json, "json"),
    (bytes, "bytes"),
    (date, "date"),
    (datetime, "datetime"),
    (time, "time"),
    (timedelta, "timedelta"),
    (Decimal, "decimal"),
    (UUID, "uuid"),
    (Path, "path" if os.name == "posix" else "windows-path"),
    (PurePath, "path" if os.name == "posix" else "windows-path"),
    (PurePosixPath, "path"),
    (PureWindowsPath, "windows-path"),
    (UserId, "str"),
    (Annotated[int, "doc"], "int"),
    (list[int], {"list": "int"}),
    (tuple[int, ...], {"tuple": "int"}),
    (tuple[int, str], {"tuple": ["int", "str"]}),
    (set[int], {"set": "int"}),
    (frozenset[int], {"set": "int"}),
    (dict[str, int], {"dict": ["str", "int"]}),
    (Mapping[int, str], {"dict": ["int", "str"]}),
    (dict[Color, int], {"dict": [{"enum": ["blue", "red"]}, "int"]}),
    (Color, {"enum": ["blue", "red"]}),
    (Literal["red", "blue"], {"enum": ["blue", "red"]}),
    (Numbers, {"enum": ["9", 0.5, 10, 9]}),
    (Literal[1, True, None, "1"], {"enum": ["1", 1, None, True]}),
    (Rights, {"flag": [1, 4]}),
    (int | None, {"union": ["int", "null"]}),
    (None | str | int, {"union": ["int", "null", "str"]}),
    (str | MaybeBool, {"union": ["bool", "null", "str"]}),
    (Point, {"record": {"x": "int", "y": "int"}}),
    (Movie, {"record": {"title": "str"}, "optional": {"year": "int"}}),
    (Fraction, {"hook": "example.com/fraction"}),
    (
        Circle | Square,
        {
            "tagged": [
                "is",
                {"circle": {"record": {"radius": "int"}}, "square": {"record": {"side": "int"}}},
            ]
        },
    ),
    (
        Node,
        {
            "record": {
                "value": "int",
                "children": {"list": {"up": 1}},
                "parent": {"union": ["null", {"up": 1}]},
            }
        },
    ),
]


@pytest.mark.parametrize(("tp", "shape"), SHAPES, ids=lambda part: str(part)[:40])
def test_the_shape_of_each_type(tp: Any, shape: Any) -> None:
    assert field_of(tp, FRACTION, SHAPE) == shape


@frozen
class Device:
    uid: str
    devices: dict[str, tuple[str, ...]]
    boot_id: str | None
    color: Color
    seen: datetime
    weights: set[float]


# Frozen: a fingerprint that changes here makes every stored state of that shape "drifted".
GOLDEN = {
    "int": "fp1:cb067b3b4310f0875902f3286d0728f1",
    "device": "fp1:cd867832a3a258ed9dbeba179de0fb20",
    "node": "fp1:4b1fa00ed7e76f80f0e7ebef4d45ee96",
    "movie": "fp1:180a63047ea1b6c02c739180473dcb87",
    "tagged": "fp1:a13bf6f02cc51ed3bda0a61ed17b35ae",
    "literal": "fp1:4dab45cf094b9f0ee1037a3ed6485c47",
}


def fingerprints() -> dict[str, str]:
    return {
        "int": of(dict[str, int]).fingerprint,
        "device": of(Device).fingerprint,
        "node": of(Node).fingerprint,
        "movie": of(Movie).fingerprint,
        "tagged": of(dict[str, Circle | Square | None], SHAPE).fingerprint,
        "literal": of(dict[str, Literal[1, True, None, "1", "é"]]).fingerprint,
    }


def test_fingerprints_never_change() -> None:
    assert fingerprints() == GOLDEN


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_fingerprints_are_the_same_in_every_process(seed: str) -> None:
    code = f"""
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("elsewhere", {__file__!r})
sys.modules["elsewhere"] = module = module_from_spec(spec)
spec.loader.exec_module(module)
print(module.fingerprints())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(GOLDEN)


# --- what does not count -------------------------------------------------------------------------


def variants() -> dict[str, Any]:
    @frozen
    class Base:
        a: int
        b: str | None

    @frozen
    class Renamed:
        a: int
        b: str | None

    @frozen
    class Reordered:
        b: str | None
        a: int

    @frozen
    class WithDefaults:
        a: int = 3
        b: str | None = None

    @frozen
    class Private:
        _a: int
        other: str | None = field(alias="b")

    @dataclass
    class Data:
        a: int
        b: None | str

    class Named(NamedTuple):
        a: int
        b: Annotated[str | None, "doc"]

    class Typed(TypedDict):
        a: int
        b: str | None

    @frozen
    class NewTypes:
        a: int
        b: UserId | None

    @frozen
    class Generics(Generic[T]):
        a: T
        b: str | None

    @frozen
    class WithoutInit:
        a: int
        b: str | None = field(init=False)

    return {
        "renamed": Renamed,
        "reordered": Reordered,
        "defaults": WithDefaults,
        "attribute names": Private,
        "dataclass": Data,
        "named tuple": Named,
        "typed dict": Typed,
        "new type": NewTypes,
        "generic": Generics[int],
        "without init": WithoutInit,
        "base": Base,
    }


@pytest.mark.parametrize("name", list(variants()))
def test_names_order_defaults_and_the_kind_of_class_do_not_count(name: str) -> None:
    made = variants()
    assert of(made[name]).fingerprint == of(made["base"]).fingerprint


def test_the_module_of_a_class_does_not_count() -> None:
    one = attrs.make_class("One", {"a": attrs.field(type=int)})
    two = attrs.make_class("Two", {"a": attrs.field(type=int)})
    two.__module__ = "elsewhere"
    assert of(one).fingerprint == of(two).fingerprint


@frozen
class Rec:
    named: Dict[str, Rec]


def test_the_spelling_of_a_recursive_type_does_not_count() -> None:
    new = of(dict[str, Rec])
    old = of(Dict[str, Rec])
    assert (
        new.shape
        == old.shape
        == {"dict": ["str", {"record": {"named": {"dict": ["str", {"up": 1}]}}}]}
    )


# --- what counts ---------------------------------------------------------------------------------


def test_everything_that_is_seen_on_the_wire_counts() -> None:
    distinct: list[Any] = [
        int,
        str,
        float,
        bool,
        bytes,
        int | None,
        list[int],
        tuple[int, ...],
        tuple[int],
        tuple[int, int],
        set[int],
        dict[str, int],
        dict[int, int],
        Literal[1],
        Literal[True],
        Literal["1"],
        Literal[1, 2],
        Color,
        Json,
        datetime,
        date,
        Point,
        Movie,
        Circle,
        Square,
        Node,
    ]
    assert len({of(dict[str, tp]).fingerprint for tp in distinct}) == len(distinct)  # type: ignore[valid-type]  # more than mypy follows


def test_a_member_of_an_enum_counts() -> None:
    wider = enum.Enum("Color", {"RED": "red", "BLUE": "blue", "GREEN": "green"})  # type: ignore[misc]  # more than mypy follows
    renamed = enum.Enum("Colour", {"ROUGE": "red", "BLEU": "blue"})  # type: ignore[misc]  # more than mypy follows
    assert field_of(wider) != field_of(Color) == field_of(renamed)


def test_the_name_on_the_wire_counts() -> None:
    one = attrs.make_class("A", {"a": attrs.field(type=int)})
    two = attrs.make_class("A", {"a": attrs.field(type=int, alias="b")})
    assert of(one).fingerprint != of(two).fingerprint


def test_the_wire_name_of_a_hook_counts_and_its_class_does_not() -> None:
    other = Hook(Fraction, wire="example.com/other", dump=str, load=Fraction)
    same = Hook(Decimal, wire="example.com/fraction", dump=str, load=Decimal)
    assert field_of(Fraction, FRACTION) != field_of(Fraction, other)
    assert field_of(Fraction, FRACTION) == field_of(Decimal, same)


def test_a_tag_and_the_field_of_a_tag_count() -> None:
    tags = [
        SHAPE,
        tagged(Circle | Square, {"circle": Circle, "square": Square}, field="type"),
        tagged(Circle | Square, {"c": Circle, "square": Square}, field="is"),
        tagged(Circle | Square, {"square": Circle, "circle": Square}, field="is"),
    ]
    assert len({of(dict[str, Circle | Square], spec).fingerprint for spec in tags}) == 4
    reordered = tagged(Square | Circle, {"square": Square, "circle": Circle}, field="is")
    assert (
        of(dict[str, Circle | Square], reordered).fingerprint
        == of(dict[str, Circle | Square], SHAPE).fingerprint
    )


def test_fields_that_may_be_absent_count() -> None:
    class Whole(TypedDict):
        title: str
        year: int

    assert of(Whole).fingerprint != of(Movie).fingerprint


# --- how it is made ------------------------------------------------------------------------------


def test_a_fingerprint_is_a_prefix_and_hex() -> None:
    assert fingerprint("int").startswith("fp1:")
    assert len(fingerprint("int")) == 4 + 32
    int(fingerprint("int").removeprefix("fp1:"), 16)


def test_a_fingerprint_is_computed_once() -> None:
    schema = of(Device)
    assert schema.fingerprint is schema.fingerprint
    assert timeit(lambda: fingerprint(schema.shape), number=100) / 100 < 1e-3


def test_dataclass_fields_count_by_their_names() -> None:
    one = dataclasses.make_dataclass("A", [("a", int)])
    two = dataclasses.make_dataclass("A", [("b", int)])
    assert of(one).fingerprint != of(two).fingerprint
