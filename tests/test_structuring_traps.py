"""The known traps of cattrs and of JSON, a test each, named after the trap.

Deep nesting, `init=False` fields, private names and local classes are in
`test_structuring_classes.py`.
"""

from __future__ import annotations

import enum
import json
import math
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any, Literal

import cattrs
import pytest
from attrs import frozen

from checkpointkit import EncodeError, StructureError
from checkpointkit.schema import Schema


class Level(enum.IntEnum):
    LOW = 1


def of(tp: Any) -> Schema[dict[str, Any]]:
    return Schema(dict[str, tp], kind="example.com/t", version=1)


def through_json(tp: Any, value: Any) -> Any:
    schema = of(tp)
    text = json.dumps(schema.dump({"v": value}), allow_nan=False)
    return schema.structure(json.loads(text))["v"]


def is_refused(tp: Any, data: Any) -> bool:
    try:
        of(tp).structure({"v": data})
    except StructureError:
        return True
    return False


def is_not_dumped(tp: Any, value: Any) -> bool:
    try:
        of(tp).dump({"v": value})
    except EncodeError:
        return True
    return False


def test_an_int_hook_does_not_capture_int_enums() -> None:
    assert through_json(Level, Level.LOW) is Level.LOW
    assert type(through_json(int, 1)) is int
    assert is_not_dumped(int, Level.LOW)
    assert is_not_dumped(Level, 1)
    assert is_refused(Level, 2)


def test_int_keys_of_a_dict_come_back_as_ints() -> None:
    assert through_json(dict[int, str], {1: "a", -2: "b"}) == {1: "a", -2: "b"}
    for text in ("01", "1.0", " 1", "1 ", "+1", "-0", "0x1", "1_0", "１", ""):
        assert is_refused(dict[int, str], {text: "a"})


def test_literal_1_does_not_take_true() -> None:
    for tp, value in [(Literal[1], True), (Literal[True], 1), (Literal[0], False)]:
        assert is_refused(tp, value)
        assert is_not_dumped(tp, value)
    assert is_refused(Literal[1], 1.0)


def test_bytes_are_base64_not_base85_and_canonical() -> None:
    data = bytes(range(256))
    assert of(bytes).dump({"v": b"checkpoint\xff"}) == {"v": "Y2hlY2twb2ludP8="}
    assert through_json(bytes, data) == data
    for text in ("YQ", "YQ==\n", "Y Q==", "YR==", "YQ===", "_-8=", "YQ==YQ=="):
        assert is_refused(bytes, text)


def test_dates_are_not_parsed_as_datetimes() -> None:
    day, moment = date(2024, 2, 29), datetime(2024, 2, 29, tzinfo=UTC)
    assert type(through_json(date, day)) is date
    assert type(through_json(datetime, moment)) is datetime
    assert is_not_dumped(date, moment)
    assert is_not_dumped(datetime, day)
    assert is_refused(date, "2024-02-29T00:00:00+00:00")
    assert is_refused(datetime, "2024-02-29")


def test_heterogeneous_tuples_keep_their_length_and_types() -> None:
    assert through_json(tuple[int, str, bool], (1, "a", True)) == (1, "a", True)
    for data in ([1, "a"], [1, "a", True, None], [1, "a", 1], ["1", "a", True]):
        assert is_refused(tuple[int, str, bool], data)


def test_nan_and_infinities_are_refused_both_ways() -> None:
    for value in (math.nan, math.inf, -math.inf):
        assert is_not_dumped(float, value)
        assert is_refused(float, value)


def test_ints_past_64_bits_are_kept() -> None:
    for value in (2**63, 2**64, -(2**200), 10**4299):
        assert through_json(int, value) == value
    assert is_not_dumped(int, 10**4300)


def test_the_largest_int_is_what_the_interpreter_can_print() -> None:
    assert sys.int_info.default_max_str_digits == 4300
    assert len(str(10**4300 - 1)) == 4300


def test_a_lone_surrogate_is_refused_both_ways() -> None:
    for tp, value in [
        (str, "\ud800"),
        (dict[str, int], {"\udfff": 1}),
        (set[str], {"\udc80"}),
    ]:
        assert is_not_dumped(tp, value)
    assert is_refused(str, json.loads('"\\ud800"'))


def test_a_str_is_no_list_of_str() -> None:
    assert is_refused(list[str], "ab")
    assert is_refused(set[str], "ab")
    assert is_refused(tuple[str, str], "ab")


def test_numbers_are_not_truncated_and_texts_not_parsed() -> None:
    assert cattrs.structure("1", int) == cattrs.structure(1.9, int) == 1  # the trap itself
    for data in ("1", 1.9, True, None, [1]):
        assert is_refused(int, data)
    for data in (1, "1.0", True):
        assert is_refused(float, data)
    for data in (1, 1.0, True, None):
        assert is_refused(str, data)
    for data in (0, 1, "", "x", None):
        assert is_refused(bool, data)


@frozen
class Defaults:
    a: int = 1
    b: str = "b"


def test_a_default_does_not_stand_in_for_a_missing_key() -> None:
    assert cattrs.structure({}, Defaults) == Defaults()  # the trap itself
    schema = Schema(Defaults, kind="example.com/t", version=1)
    for data in ({}, {"a": 1}, {"b": "b"}):
        with pytest.raises(StructureError):
            schema.structure(data)


def test_extra_keys_are_not_dropped() -> None:
    assert cattrs.structure({"c": 1}, Defaults) == Defaults()  # the trap itself
    schema = Schema(Defaults, kind="example.com/t", version=1)
    with pytest.raises(StructureError) as caught:
        schema.structure({"a": 1, "b": "b", "c": 1})
    assert caught.value.problems == ("1 unknown key",)


@frozen
class Many:
    a: int
    b: str
    c: list[Defaults]


def test_all_errors_are_gathered() -> None:
    schema = Schema(Many, kind="example.com/t", version=1)
    with pytest.raises(StructureError) as caught:
        schema.structure({"a": "x", "c": [{"a": 1, "b": "b"}, {"a": "x"}, 3], "d": 1})
    assert caught.value.problems == (
        "a: expected int, got str",
        "b: missing",
        "c[1].a: expected int, got str",
        "c[1].b: missing",
        "c[2]: expected dict, got int",
        "1 unknown key",
    )
    with pytest.raises(EncodeError) as caught_too:
        schema.dump(Many("x", 1, [Defaults("x"), 3]))  # type: ignore[arg-type,list-item]  # tried
    assert caught_too.value.problems == (
        "a: expected int, got str",
        "b: expected str, got int",
        "c[0].a: expected int, got str",
        "c[1]: expected Defaults, got int",
    )


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_sets_are_in_one_order_in_every_process(seed: str) -> None:
    code = """
from checkpointkit.schema import Schema
schema = Schema(dict[str, frozenset[tuple[str, int | None]]], kind="a", version=1)
print(schema.dump({"v": frozenset((text, n) for text in "abcdefgh" for n in (None, 1, 10))}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    in_order = [[text, n] for text in "abcdefgh" for n in (10, 1, None)]
    assert done.stdout.strip() == str({"v": in_order})
