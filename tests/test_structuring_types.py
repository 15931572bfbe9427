"""Each type that checkpointkit keeps: what it takes, what it writes, what it refuses."""

# ruff: noqa: UP006, UP007, UP035, UP045 - the old spellings are tried, too

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, localcontext
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import (
    Annotated,
    Any,
    Final,
    List,
    Literal,
    NewType,
    Optional,
    Tuple,
    Union,
)
from uuid import UUID

import pytest

from checkpointkit import EncodeError, StructureError
from checkpointkit.schema import Json, Schema


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Mixed(enum.Enum):
    ONE = 1
    TRUE = "true"
    HALF = 0.5
    ZERO = 0.0
    NOTHING = None


class Rights(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Loose(enum.IntFlag, boundary=enum.KEEP):
    A = 1
    B = 4


class Clipped(enum.Flag, boundary=enum.CONFORM):
    A = 1


class SubStr(str):
    __slots__ = ()


class SubInt(int):
    pass


class SubFloat(float):
    pass


class SubDict(dict[str, int]):
    pass


class SubList(list[int]):
    pass


class SubTuple(tuple[int, ...]):
    __slots__ = ()


class Named(tzinfo):
    """A zone with rules of its own, as of zoneinfo."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        return timedelta(0)


class SubDate(date):
    pass


UserId = NewType("UserId", str)
MaybeInt = NewType("MaybeInt", int | None)  # type: ignore[valid-newtype]  # works at run time
MaybeMoment = NewType("MaybeMoment", datetime | None)  # type: ignore[valid-newtype]  # likewise
EAST = timezone(timedelta(hours=5, minutes=30))
HERE = type(Path())


def label(part: Any) -> str:
    if isinstance(part, set | frozenset):  # whose order differs from process to process
        part = sorted(part, key=repr)
    return "big" if type(part) is int and abs(part) > 2**64 else repr(part)[:40]


def of(tp: Any) -> Schema[dict[str, Any]]:
    return Schema(dict[str, tp], kind="example.com/t", version=1)


def exactly_equal(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down (1 is no True, -0.0 no 0.0)."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(
            exactly_equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(exactly_equal, left, right))
    return bool(left == right) and (type(left) is not float or repr(left) == repr(right))


GOOD = [
    (str, "", ""),
    (str, "é\0😀", "é\0😀"),
    (int, -1, -1),
    (int, 2**64, 2**64),
    (int, 10**4300 - 1, 10**4300 - 1),
    (float, 1.0, 1.0),
    (float, -0.0, -0.0),
    (float, 1e308, 1e308),
    (float, 5e-324, 5e-324),
    (bool, True, True),
    (None, None, None),
    (list[int], [1, 2], [1, 2]),
    (tuple[int, ...], (1, 2), [1, 2]),
    (tuple[int, ...], (), []),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (tuple[()], (), []),
    (Tuple[()], (), []),
    (List[int], [1], [1]),
    (set[int], {10, 9, 1}, [1, 9, 10]),
    (set[str], {"b", "a"}, ["a", "b"]),
    (frozenset[float], frozenset({0.5, -1.0}), [-1.0, 0.5]),
    (frozenset[tuple[int, str]], frozenset({(2, "a"), (10, "a")}), [[10, "a"], [2, "a"]]),
    (set[frozenset[int]], {frozenset({2, 1}), frozenset()}, [[1, 2], []]),
    (set[int | None], {None, 3, 12}, [12, 3, None]),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (Mapping[str, int], {"a": 1}, {"a": 1}),
    (dict[int, str], {-1: "a", 10**20: "b"}, {"-1": "a", "1" + "0" * 20: "b"}),
    (dict[Level, int], {Level.HIGH: 1}, {"2": 1}),
    (dict[Color, int], {Color.RED: 1}, {"red": 1}),
    (dict[Literal["a", "b"], int], {"a": 1}, {"a": 1}),
    (dict[UUID, int], {UUID(int=1): 1}, {str(UUID(int=1)): 1}),
    (dict[date, int], {date(2024, 2, 29): 1}, {"2024-02-29": 1}),
    (dict[timedelta, int], {timedelta(seconds=1): 1}, {"1000000": 1}),
    (dict[Rights, int], {Rights.BOTH: 1}, {"3": 1}),
    (dict[Path, int], {Path("/a"): 1}, {"/a": 1}),
    (Literal[1, "1"], 1, 1),
    (Literal[True, 1], True, True),
    (Literal[None, "a"], None, None),
    (Literal[Color.RED, "green"], Color.RED, "red"),
    (Color, Color.BLUE, "blue"),
    (Level, Level.HIGH, 2),
    (Word, Word.YES, "yes"),
    (Mixed, Mixed.HALF, 0.5),
    (Mixed, Mixed.NOTHING, None),
    (Rights, Rights.READ | Rights.WRITE, 3),
    (Rights, Rights(0), 0),
    (Loose, Loose.A | Loose.B, 5),
    (Optional[int], None, None),
    (int | None, 1, 1),
    (Color | None, Color.RED, "red"),
    (Literal["auto"] | int, "auto", "auto"),
    (str | int | bool | None, True, True),
    (str | float, 0.5, 0.5),
    (datetime, datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T00:00:00+00:00"),
    (datetime, datetime(2024, 1, 1, 1, 2, 3, 4, tzinfo=EAST), "2024-01-01T01:02:03.000004+05:30"),
    (datetime, datetime(1, 1, 1, tzinfo=timezone(-timedelta(seconds=1))), None),
    (date, date(2024, 1, 1), "2024-01-01"),
    (time, time(1, 2), "01:02:00"),
    (timedelta, timedelta(days=-1, microseconds=1), -86399999999),
    (timedelta, timedelta.max, None),
    (bytes, b"", ""),
    (bytes, b"\xff\xfe\xfd", "//79"),
    (UUID, UUID("7F3E0000-0000-0000-0000-000000000000"), "7f3e0000-0000-0000-0000-000000000000"),
    (Decimal, Decimal("1.00"), "1.00"),
    (Decimal, Decimal("-0E+3"), "-0E+3"),
    (Decimal, Decimal("1E+999999"), "1E+999999"),
    (Path, Path("/a/b c"), "/a/b c"),
    (PurePath, PurePath("a"), "a"),
    (PurePosixPath, PurePosixPath("//a"), "//a"),
    (PureWindowsPath, PureWindowsPath("c:/a"), "c:\\a"),
    (Annotated[int, "doc"], 1, 1),
    (Annotated[int, ["no hash"]], 1, 1),
    (UserId, UserId("u"), "u"),
    (Final[int], 1, 1),
    (Json, {"a": [1, 1.0, True, None, "x", {}]}, {"a": [1, 1.0, True, None, "x", {}]}),
    (Json | None, None, None),
    (list[Json], [None, 1], [None, 1]),
    (Optional[MaybeInt], None, None),
    (MaybeInt | str, None, None),
    (Optional[MaybeMoment], None, None),
    (Optional[Literal[None, "a"]], None, None),
]


@pytest.mark.parametrize(("tp", "value", "payload"), GOOD, ids=label)
def test_a_value_comes_back_equal_and_of_the_same_type(tp: Any, value: Any, payload: Any) -> None:
    schema = of(tp)
    dumped = schema.dump({"v": value})
    if payload is not None:
        assert exactly_equal(dumped, {"v": payload})
    parsed = json.loads(json.dumps(dumped, allow_nan=False))
    assert exactly_equal(parsed, dumped)
    assert exactly_equal(schema.structure(parsed), {"v": value})
    assert exactly_equal(schema.dump(schema.structure(parsed)), dumped)


NOT_DUMPED = [
    (str, 1, "expected str, got int"),
    (str, SubStr("a"), "expected str, got SubStr"),
    (str, Word.YES, "expected str, got Word"),
    (str, "\ud800", "str with a lone surrogate"),
    (int, True, "expected int, got bool"),
    (int, 1.0, "expected int, got float"),
    (int, SubInt(1), "expected int, got SubInt"),
    (int, Level.LOW, "expected int, got Level"),
    (int, 10**4300, "int of more than 4300 digits"),
    (float, 1, "expected float, got int"),
    (float, SubFloat(1), "expected float, got SubFloat"),
    (float, math.nan, "float that is not finite"),
    (float, -math.inf, "float that is not finite"),
    (bool, 1, "expected bool, got int"),
    (None, 0, "expected None, got int"),
    (list[int], (1,), "expected list, got tuple"),
    (list[int], SubList([1]), "expected list, got SubList"),
    (tuple[int, ...], [1], "expected tuple, got list"),
    (tuple[int, ...], SubTuple((1,)), "expected tuple, got SubTuple"),
    (tuple[int, str], ["a", 1], "expected tuple, got list"),
    (tuple[int, str], (1,), "expected 2 items, got 1"),
    (tuple[int, str], ("a", "b"), "[0]: expected int, got str"),
    (set[int], frozenset({1}), "expected set, got frozenset"),
    (set[int], {True}, "[*]: expected int, got bool"),
    (dict[str, int], OrderedDict(a=1), "expected dict, got OrderedDict"),
    (dict[str, int], defaultdict(int, a=1), "expected dict, got defaultdict"),
    (dict[str, int], SubDict(a=1), "expected dict, got SubDict"),
    (dict[str, int], {1: 1}, "[*] (key): expected str, got int"),
    (dict[int, int], {True: 1}, "[*] (key): expected int, got bool"),
    (dict[int, int], {"1": 1}, "[*] (key): expected int, got str"),
    (Literal[1], True, "expected its Literal, got bool"),
    (Literal[1], 1.0, "expected its Literal, got float"),
    (Literal[1], 2, "int that is no value of its Literal"),
    (Literal[1], [], "expected its Literal, got list"),
    (Color, "red", "expected Color, got str"),
    (Level, 1, "expected Level, got int"),
    (Rights, 1, "expected Rights, got int"),
    (Loose, Loose(2), "int that is no value of Loose"),
    (int | None, "1", "expected int, got str"),
    (str | int, True, "expected int or str, got bool"),
    (datetime, datetime(2024, 1, 1), "datetime without a UTC offset"),
    (
        datetime,
        datetime(2024, 1, 1, tzinfo=Named()),  # type: ignore[abstract]  # wrong on purpose
        "datetime of a named zone; use astimezone(timezone.utc)",
    ),
    (
        datetime,
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET")),
        "datetime of a named zone; use astimezone(timezone.utc)",
    ),
    (datetime, datetime(2024, 1, 1, fold=1, tzinfo=UTC), "datetime with fold=1"),
    (datetime, date(2024, 1, 1), "expected datetime, got date"),
    (date, datetime(2024, 1, 1, tzinfo=UTC), "expected date, got datetime"),
    (date, SubDate(2024, 1, 1), "expected date, got SubDate"),
    (time, time(1, tzinfo=UTC), "time with a zone or with fold=1"),
    (time, time(1, fold=1), "time with a zone or with fold=1"),
    (timedelta, 1, "expected timedelta, got int"),
    (bytes, bytearray(b"a"), "expected bytes, got bytearray"),
    (UUID, str(UUID(int=1)), "expected UUID, got str"),
    (Decimal, Decimal("NaN"), "Decimal that is not finite"),
    (Decimal, Decimal("sNaN"), "Decimal that is not finite"),
    (Decimal, Decimal("-Infinity"), "Decimal that is not finite"),
    (Decimal, 1, "expected Decimal, got int"),
    (Path, PurePath("a"), f"expected {HERE.__name__}, got {type(PurePath()).__name__}"),
    (PurePath, Path("a"), f"expected {type(PurePath()).__name__}, got {HERE.__name__}"),
    (Path, Path("\udcff"), "str with a lone surrogate"),
    (Json, (1,), "expected plain JSON data, got tuple"),
    (Json, {1: 1}, "[*] (key): expected str, got int"),
    (Json, [{"a": [math.inf]}], "[0][*][0]: float that is not finite"),
    (Json, SubStr("a"), "expected plain JSON data, got SubStr"),
]


@pytest.mark.parametrize(("tp", "value", "problem"), NOT_DUMPED, ids=label)
def test_a_value_of_another_type_is_not_dumped(tp: Any, value: Any, problem: str) -> None:
    with pytest.raises(EncodeError) as caught:
        of(tp).dump({"v": value})
    step = "" if problem.startswith("[") else ": "
    assert caught.value.problems == (f"[*]{step}{problem}",)
    assert caught.value.__context__ is caught.value.__cause__ is None


NOT_STRUCTURED = [
    (str, 1),
    (str, None),
    (str, "\udfff"),
    (int, "1"),
    (int, 1.0),
    (int, 1.9),
    (int, True),
    (int, 10**4300),
    (float, 1),
    (float, "1.0"),
    (float, math.nan),
    (float, math.inf),
    (bool, 1),
    (bool, "true"),
    (None, False),
    (list[int], "ab"),
    (list[str], "ab"),
    (list[str], {"a": 1}),
    (list[int], (1,)),
    (tuple[int, ...], "12"),
    (tuple[int, str], [1]),
    (tuple[int, str], [1, "a", 2]),
    (tuple[int, str], "1a"),
    (set[int], [2, 1]),
    (set[int], [1, 1]),
    (set[int], {"1": 1}),
    (set[int], [True]),
    (frozenset[tuple[int, str]], [[2, "a"], [10, "a"]]),
    (dict[str, int], [["a", 1]]),
    (dict[int, int], {"01": 1}),
    (dict[int, int], {"1.0": 1}),
    (dict[int, int], {" 1": 1}),
    (dict[int, int], {"+1": 1}),
    (dict[int, int], {"-0": 1}),
    (dict[int, int], {"1_0": 1}),
    (dict[int, int], {"٣": 1}),
    (dict[int, int], {"x": 1}),
    (dict[int, int], {"": 1}),
    (dict[int, int], {"1" * 5000: 1}),
    (dict[int, int], {1: 1}),
    (dict[Level, int], {"3": 1}),
    (dict[Decimal, int], {"1.0": 1, "1.00": 1}),
    (Literal[1], True),
    (Literal[True], 1),
    (Literal["a"], "b"),
    (Literal["a"], []),
    (Color, "RED"),
    (Color, []),
    (Level, True),
    (Level, 1.0),
    (Level, 3),
    (Mixed, 1.0),
    (Mixed, True),
    (Mixed, -0.0),
    (Rights, 4),
    (Rights, -1),
    (Rights, True),
    (Loose, 2),
    (Loose, -1),
    (Clipped, 3),
    (str | int, 1.0),
    (str | int, None),
    (datetime, "2024-01-01"),
    (datetime, "2024-01-01T00:00:00"),
    (datetime, "2024-01-01T00:00:00Z"),
    (datetime, "2024-01-01 00:00:00+00:00"),
    (datetime, "2024-01-01T00:00:00.000000+00:00"),
    (datetime, "2024-01-01T00:00:00-00:00"),
    (datetime, 1704067200),
    (date, "20240101"),
    (date, "2024-W01-1"),
    (date, "2024-01-01T00:00:00+00:00"),
    (date, "2024-02-30"),
    (time, "01:02"),
    (time, "01:02:00+00:00"),
    (timedelta, 1.0),
    (timedelta, 10**40),
    (bytes, "//79\n"),
    (bytes, "//7"),
    (bytes, "/w"),
    (bytes, "/x=="),
    (bytes, "é"),
    (bytes, [1]),
    (UUID, "7F3E0000-0000-0000-0000-000000000000"),
    (UUID, "{7f3e0000-0000-0000-0000-000000000000}"),
    (UUID, "7f3e0000000000000000000000000000"),
    (UUID, "x"),
    (Decimal, "NaN"),
    (Decimal, "Infinity"),
    (Decimal, " 1"),
    (Decimal, "1_0"),
    (Decimal, "1e+3"),
    (Decimal, "+1"),
    (Decimal, "x"),
    (Decimal, 1),
    (Path, "a//b"),
    (Path, "a/"),
    (Path, ""),
    (PureWindowsPath, "c:/a"),
    (Json, math.nan),
    (Json, {"a": (1,)}),
]


@pytest.mark.parametrize(("tp", "data"), NOT_STRUCTURED, ids=label)
def test_nothing_is_coerced_and_one_value_has_one_text(tp: Any, data: Any) -> None:
    with pytest.raises(StructureError) as caught:
        of(tp).structure({"v": data})
    assert len(caught.value.problems) == 1
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_the_thread_s_decimal_context_changes_no_byte() -> None:
    schema = of(Decimal)
    value = {"v": Decimal("1.234E+5")}
    with localcontext(prec=2, capitals=0):
        assert schema.dump(value) == {"v": "1.234E+5"}
        assert schema.structure({"v": "1.234E+5"}) == value


def test_the_exponent_of_a_decimal_survives() -> None:
    schema = of(Decimal)
    back = schema.structure(schema.dump({"v": Decimal("1.00")}))
    assert str(back["v"]) == "1.00"


def test_utcoffset_survives() -> None:
    schema = of(datetime)
    value = datetime(2024, 1, 1, tzinfo=EAST)
    back = schema.structure(schema.dump({"v": value}))["v"]
    assert (back, back.utcoffset()) == (value, value.utcoffset())


@pytest.mark.parametrize(
    ("tp", "text"),
    [
        (Any, "t[*]: Any takes every value"),
        (object, "object takes every value"),
        (list, "list of what?"),
        (tuple, "tuple of what?"),
        (dict, "dict of what?"),
        (List, "list of what?"),
        (Tuple, "tuple of what?"),
        (Mapping, "Mapping of what?"),
        (list[Any], "[*][*]: Any takes every value"),
        (set[list[int]], "[*][*]: cannot be in a set, as it has no hash"),
        (frozenset[dict[str, int]], "cannot be in a frozenset"),
        (set[tuple[list[int], int]], "cannot be in a set"),
        (dict[float, int], "[*][*] (key): not supported"),
        (dict[bool, int], "(key): not supported"),
        (dict[str | None, int], "(key): not supported"),
        (dict[str | int, int], "(key): not supported"),
        (dict[tuple[int, int], int], "(key): not supported"),
        (int | float, "needs a tag"),
        (list[int] | dict[str, int], "needs a tag"),
        (str | UUID, "needs a tag"),
        (Union[Color, Level], "needs a tag"),
        (Literal["a"] | str, "needs a tag"),
        (Literal[b"a"], "no plain JSON scalar"),
        (Literal[Color.RED, "red"], "two values are the same on the wire"),
        (Optional[Mixed], "None would stand for two values"),
        (Literal[Mixed.NOTHING] | None, "None would stand for two values"),
        (complex, "complex is not supported; give the schema a hook for it"),
        (type[int], "is not supported"),
        ("int", "is not supported"),
        (WindowsPath if HERE is PosixPath else PosixPath, "does not exist on this system"),
        (bytearray, "is not supported"),
        (range, "is not supported"),
    ],
    ids=repr,
)
def test_a_type_that_cannot_be_kept_strictly_is_refused_with_its_path(tp: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        of(tp)
    assert text.removeprefix("t") in str(caught.value)
    assert str(caught.value).startswith("dict[")


@pytest.mark.parametrize(
    "members",
    [{"A": (1, 2)}, {"A": b"x"}, {"A": math.nan}, {"A": "\ud800"}, {"A": SubStr("a")}],
    ids=repr,
)
def test_an_enum_with_a_value_that_is_no_json_scalar_is_refused(members: dict[str, Any]) -> None:
    odd = enum.Enum("Odd", members)  # type: ignore[misc]  # made of data
    with pytest.raises(TypeError, match=r"Odd has a value that is no plain JSON scalar"):
        of(odd)


def test_a_flag_with_a_value_that_is_no_int_is_refused() -> None:
    class Odd(enum.Flag):
        A = True

    with pytest.raises(TypeError, match="Odd has a value that is no int"):
        of(Odd)


def test_containers_of_a_payload_are_new() -> None:
    schema = of(Json)
    value = {"v": {"a": [1]}}
    dumped = schema.dump(value)
    dumped["v"]["a"].append(2)
    assert value == {"v": {"a": [1]}}
