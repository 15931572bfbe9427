"""What people do to a class, and the verdict of the check on each of it.

docs/lock-file.md has the table for users. What no shape can show is caught by a golden, or stands
here as what nobody can see.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import make_dataclass
from datetime import date, datetime
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Literal, NewType, NotRequired, TypedDict

import attrs
import pytest

from checkpointkit import Hook, Json, MissingMigrationError, Payload, Schema, tagged
from checkpointkit.evolution.findings import Broken
from tests.evolution.formats import Formats

KIND = "example.com/pod"


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class ColorAndGreen(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class OnlyRed(enum.Enum):
    RED = "red"


class ScarletForRed(enum.Enum):
    SCARLET = "red"
    BLUE = "blue"


class RedIsNow1(enum.Enum):
    RED = 1
    BLUE = "blue"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class MoreRights(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


@attrs.frozen
class Port:
    number: int
    name: str | None


@attrs.frozen
class PortWithHost:
    number: int
    name: str | None
    host: str


@attrs.frozen
class Cpu:
    cores: int


@attrs.frozen
class Gpu:
    model: str


@attrs.frozen
class Tpu:
    pods: int


class Labels(TypedDict):
    app: str
    tier: str


class LabelsMaybe(TypedDict):
    app: str
    tier: NotRequired[str]


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)


Uid = NewType("Uid", str)
Device = Cpu | Gpu

FIELDS: dict[str, Any] = {
    "uid": str,
    "count": int,
    "note": str | None,
    "color": Color,
    "rights": Rights,
    "ports": list[Port],
    "ids": tuple[int, ...],
    "pair": tuple[int, str],
    "labels": Labels,
    "by_id": dict[str, int],
    "size": int | str,
    "phase": Literal["run", "stop"],
    "since": date,
    "mark": frozenset[str],
    "device": Device,
    "price": Money,
    "path": PurePosixPath,
}
MONEY = Hook(Money, wire="example.com/money", dump=lambda m: m.cents, load=Money)
DEVICE = tagged(Device, {"cpu": Cpu, "gpu": Gpu}, field="type")
SETTINGS: dict[str, Any] = {"kind": KIND, "version": 1, "hooks": [MONEY, DEVICE]}


def pod(
    fields: dict[str, Any] | None = None,
    *,
    name: str = "Pod",
    without: str = "",
    only: bool = False,
    **options: Any,
) -> Schema[Any]:
    """Return the schema of a class like `FIELDS`, with some of them changed."""
    made = {
        field: tp if isinstance(tp, type(attrs.field())) else attrs.field(type=tp)
        for field, tp in {**({} if only else FIELDS), **(fields or {})}.items()
        if field != without
    }
    return Schema(attrs.make_class(name, made, frozen=True), **{**SETTINGS, **options})


def money(number: int) -> Money:
    if number < 0:
        raise ValueError
    return Money(number)


def positive(_: Any, __: Any, value: int) -> None:
    if value < 0:
        raise ValueError


SHAPE_CHANGED = "shape-changed"
FINE = ""
CHANGED: list[tuple[str, Callable[[], Schema[Any]], str]] = [
    ("a field is added", lambda: pod({"more": int}), "+ more: int"),
    (
        "a field with a default is added",
        lambda: pod({"more": attrs.field(type=int, default=0)}),
        "+ more: int",
    ),
    ("a field is removed", lambda: pod(without="note"), "- note: str or null"),
    ("a field is renamed", lambda: pod({"pod_uid": str}, without="uid"), "+ pod_uid: str"),
    ("an int becomes a str", lambda: pod({"count": str}), "~ count: int -> str"),
    ("an int becomes a float", lambda: pod({"count": float}), "~ count: int -> float"),
    ("an int becomes a bool", lambda: pod({"count": bool}), "~ count: int -> bool"),
    (
        "a field is made optional",
        lambda: pod({"uid": str | None}),
        "~ uid: str -> str or null",
    ),
    ("a field is made required", lambda: pod({"note": str}), "~ note: str or null -> str"),
    (
        "a member is added to an enum",
        lambda: pod({"color": ColorAndGreen}),
        '~ color: "blue" | "red" -> "blue" | "green" | "red"',
    ),
    (
        "a member is taken out of an enum",
        lambda: pod({"color": OnlyRed}),
        '~ color: "blue" | "red" -> "red"',
    ),
    (
        "the value of a member is changed",
        lambda: pod({"color": RedIsNow1}),
        '~ color: "blue" | "red" -> "blue" | 1',
    ),
    (
        "a bit is added to a flag",
        lambda: pod({"rights": MoreRights}),
        "~ rights: flag of 1, 2 -> flag of 1, 2, 4",
    ),
    (
        "a literal is added",
        lambda: pod({"phase": Literal["run", "stop", "wait"]}),
        '~ phase: "run" | "stop" -> "run" | "stop" | "wait"',
    ),
    (
        "a nested class gets a field",
        lambda: pod({"ports": list[PortWithHost]}),
        "+ ports[*].host: str",
    ),
    (
        "a union is widened",
        lambda: pod({"size": int | str | bool}),
        "~ size: int or str -> bool or int or str",
    ),
    ("a union is narrowed", lambda: pod({"size": int}), "~ size: int or str -> int"),
    (
        "a list becomes a tuple",
        lambda: pod({"ports": tuple[Port, ...]}),
        "~ ports: list of record of name, number -> tuple of record of name, number, ...",
    ),
    (
        "a list becomes a set",
        lambda: pod({"ids": frozenset[int]}),
        "~ ids: tuple of int, ... -> set of int",
    ),
    (
        "a tuple becomes a longer one",
        lambda: pod({"pair": tuple[int, str, int]}),
        "~ pair: tuple of (int, str) -> tuple of (int, str, int)",
    ),
    (
        "the keys of a dict become ints",
        lambda: pod({"by_id": dict[int, int]}),
        "~ by_id: dict of str to int -> dict of int to int",
    ),
    (
        "the values of a dict become texts",
        lambda: pod({"by_id": dict[str, str]}),
        "~ by_id[*]: int -> str",
    ),
    (
        "a key of a TypedDict may be absent",
        lambda: pod({"labels": LabelsMaybe}),
        "~ labels.tier: str -> str, or absent",
    ),
    (
        "a field gets an alias",
        lambda: pod({"uid": attrs.field(type=str, alias="id")}),
        "+ id: str",
    ),
    ("a date becomes a datetime", lambda: pod({"since": datetime}), "~ since: date -> datetime"),
    ("a path becomes a str", lambda: pod({"path": str}), "~ path: path -> str"),
    (
        "a class becomes plain JSON",
        lambda: pod({"labels": Json}),
        "~ labels: record of app, tier -> json",
    ),
    (
        "a class is added to a tagged union",
        lambda: pod(
            {"device": Cpu | Gpu | Tpu},
            hooks=[
                MONEY,
                tagged(Cpu | Gpu | Tpu, {"cpu": Cpu, "gpu": Gpu, "tpu": Tpu}, field="type"),
            ],
        ),
        "+ device<tpu>: record of pods",
    ),
    (
        "a tag is renamed",
        lambda: pod(hooks=[MONEY, tagged(Device, {"cpu": Cpu, "card": Gpu}, field="type")]),
        "+ device<card>: record of model",
    ),
    (
        "the field of a tag is renamed",
        lambda: pod(hooks=[MONEY, tagged(Device, {"cpu": Cpu, "gpu": Gpu}, field="is")]),
        "~ device: one of cpu, gpu, told by 'type' -> one of cpu, gpu, told by 'is'",
    ),
    (
        "a hook gets another wire name",
        lambda: pod(
            hooks=[
                DEVICE,
                Hook(Money, wire="example.com/cents", dump=lambda m: m.cents, load=Money),
            ]
        ),
        "~ price: hook example.com/money -> hook example.com/cents",
    ),
    (
        "a hook takes over a type",
        lambda: pod(hooks=[MONEY, DEVICE, Hook(date, wire="d", dump=str, load=date.fromisoformat)]),
        "~ since: date -> hook d",
    ),
]

CAUGHT_BY_GOLDENS: list[tuple[str, Callable[[], Schema[Any]], str]] = [
    (
        "a hook writes something else under its old name",
        lambda: pod(
            hooks=[
                DEVICE,
                Hook(
                    Money,
                    wire="example.com/money",
                    dump=lambda m: str(m.cents),
                    load=lambda text: Money(int(text)),
                ),
            ]
        ),
        "price: the hook example.com/money would write something else",
    ),
    (
        "a hook refuses what it took",
        lambda: pod(
            hooks=[
                DEVICE,
                Hook(Money, wire="example.com/money", dump=lambda m: m.cents, load=money),
            ]
        ),
        "price: the hook example.com/money raised ValueError",
    ),
    (
        "a validator refuses what it took",
        lambda: pod({"count": attrs.field(type=int, validator=positive)}),
        "Pod raised ValueError",
    ),
    (
        "a converter changes what was saved",
        lambda: pod({"uid": attrs.field(type=str, converter=str.strip)}),
        "Pod changes a value that is built again",
    ),
]

NO_CHANGE: list[tuple[str, Callable[[], Schema[Any]]]] = [
    ("nothing is changed", pod),
    ("the class is renamed", lambda: pod(name="Renamed")),
    (
        "the fields are in another order",
        lambda: pod(fields=dict(reversed(FIELDS.items())), only=True),
    ),
    (
        "attrs becomes a dataclass",
        lambda: Schema(make_dataclass("Pod", FIELDS.items()), **SETTINGS),
    ),
    (
        "a method is added, and with it a meaning",
        lambda: Schema(
            make_dataclass("Pod", FIELDS.items(), namespace={"ms": lambda self: self.count}),
            **SETTINGS,
        ),
    ),
    ("a default is given", lambda: pod({"path": attrs.field(type=PurePosixPath, default="/")})),
    (
        "a default is changed",
        lambda: pod({"path": attrs.field(type=PurePosixPath, default="/tmp")}),
    ),
    ("a member of an enum is renamed", lambda: pod({"color": ScarletForRed})),
    ("a str gets a name of its own", lambda: pod({"uid": Uid})),
    ("a frozenset becomes a set", lambda: pod({"mark": set[str]})),
    ("a field becomes private", lambda: pod({"_uid": str}, without="uid")),
    (
        "a field is not init any more",
        lambda: pod({"note": attrs.field(type=FIELDS["note"], init=False)}),
    ),
    ("a union is written the other way round", lambda: pod({"size": str | int})),
    (
        "a validator is added that takes all there is",
        lambda: pod({"count": attrs.field(type=int, validator=attrs.validators.instance_of(int))}),
    ),
]


@cache
def accepted() -> Formats:
    formats = Formats()
    formats.accept(pod())
    return formats


@pytest.mark.parametrize(
    ("make", "line"), [each[1:] for each in CHANGED], ids=[each[0] for each in CHANGED]
)
def test_a_change_of_the_shape_is_found_with_the_edit_to_make(
    make: Callable[[], Schema[Any]], line: str
) -> None:
    (finding,) = accepted().check(make())
    assert (finding.rule, finding.kind, finding.version) == (SHAPE_CHANGED, KIND, 1)
    assert f"  {line}" in finding.message.splitlines()
    assert "in agent.state: set version=2, and add 1: to_2 to migrations" in finding.edit
    compile(finding.stub, "stub", "exec")
    assert finding.stub.startswith("def to_2(old: Payload) -> Payload:  # 1 -> 2\n")


@pytest.mark.parametrize(
    ("make", "problem"),
    [each[1:] for each in CAUGHT_BY_GOLDENS],
    ids=[each[0] for each in CAUGHT_BY_GOLDENS],
)
def test_a_change_that_no_shape_shows_is_caught_by_a_golden(
    make: Callable[[], Schema[Any]], problem: str
) -> None:
    (finding,) = accepted().check(make())
    assert (finding.rule, finding.version) == ("golden-changed", 1)
    assert problem in finding.message
    assert "set version=2 and add 1: to_2 to migrations" in finding.edit


@pytest.mark.parametrize(
    "make", [each[1] for each in NO_CHANGE], ids=[each[0] for each in NO_CHANGE]
)
def test_what_changes_nothing_on_the_wire_is_no_finding(make: Callable[[], Schema[Any]]) -> None:
    assert accepted().check(make()) == ()


def test_the_table_is_long_enough() -> None:
    assert len(CHANGED) + len(CAUGHT_BY_GOLDENS) + len(NO_CHANGE) + len(VERSIONS) >= 50


def add_more(old: Payload) -> Payload:
    return {**old, "more": 0}


def add_x(old: Payload) -> Payload:
    return {**old, "x": 0}


def two(**options: Any) -> Schema[Any]:
    return pod(**{"fields": {"more": int}, "version": 2, "migrations": {1: add_more}, **options})


@cache
def accepted_twice() -> Formats:
    formats = accepted().copy()
    formats.accept(two())
    return formats


VERSIONS: list[tuple[str, Callable[[], Schema[Any]], list[str], str]] = [
    ("nothing", two, [], ""),
    (
        "the version goes up with a migration",
        lambda: pod({"more": int, "x": int}, version=3, migrations={1: add_more, 2: add_x}),
        ["not-accepted"],
        "version 3 is not in the lock file yet:",
    ),
    (
        "the version goes up with a migration that leaves something out",
        lambda: pod({"more": int, "x": int}, version=3, migrations={1: add_more, 2: dict}),
        ["golden-changed", "golden-changed"],  # it would not be accepted before that is mended
        "x: missing",
    ),
    (
        "the version goes up without a migration",
        lambda: two(version=3, migrations={}),
        ["missing-migration"],
        "it reads 3 and newer, and version 1, 2 was accepted before",
    ),
    (
        "the first step is taken out",
        lambda: two(migrations={}),
        ["missing-migration"],
        "it reads 2 and newer, and version 1 was accepted before",
    ),
    (
        "the version goes down",
        lambda: pod(version=1),
        ["version-lowered"],
        "its version is 1, and version 2 was accepted before",
    ),
    (
        "a version is left out",
        lambda: two(version=4, migrations={1: add_more, 2: dict, 3: dict}),
        ["version-skipped"],
        "its version is 4, and the newest accepted one is 2",
    ),
    (
        "a migration gives another value",
        lambda: two(migrations={1: lambda old: {**old, "more": 1}}),
        ["golden-changed"],
        "more",
    ),
    (
        "a migration raises",
        lambda: two(migrations={1: lambda old: {**old, "more": old["less"]}}),
        ["golden-changed"],
        "raised KeyError at less",
    ),
    (
        "the kind is renamed",
        lambda: two(kind="example.com/other"),
        ["not-accepted", "not-listed"],
        "the lock file has nothing of it",
    ),
]


@pytest.mark.parametrize(
    ("make", "rules", "message"),
    [each[1:] for each in VERSIONS],
    ids=[each[0] for each in VERSIONS],
)
def test_a_change_of_the_version_or_of_its_chain(
    make: Callable[[], Schema[Any]], rules: list[str], message: str
) -> None:
    findings = accepted_twice().check(make())
    assert [finding.rule for finding in findings] == rules
    assert not findings or message in findings[0].message


def test_what_a_version_in_between_becomes_is_told_with_the_names_of_its_fields() -> None:
    # The class is of version 3, and has other fields; version 2 is known from the lock file.
    first = {1: lambda old: {**old, "more": 1}, 2: lambda old: {"x": old.pop("more") * 0, **old}}
    (finding,) = accepted_twice().check(pod({"x": int}, version=3, migrations=first))
    assert (finding.rule, finding.version) == ("golden-changed", 1)
    assert finding.message.endswith(": another value at version 2 than the frozen one: more")


def test_a_gap_in_the_chain_is_found_with_its_stub() -> None:
    with pytest.raises(MissingMigrationError) as caught:
        pod({"more": int, "x": int}, version=3, migrations={1: add_more})
    (finding,) = accepted_twice().check(Broken("agent.state:POD", caught.value))
    assert (finding.rule, finding.kind, finding.version) == ("missing-migration", KIND, 3)
    assert finding.edit.startswith("in agent.state: add 2: to_3 to migrations\n")
    assert finding.stub == (
        "def to_3(old: Payload) -> Payload:  # 2 -> 3\n"
        '    old["x"] = ...  # int: what is it for an old state?\n'
        "    return old\n"
    )
