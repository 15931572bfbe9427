"""What goldens find in a schema that has changed."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.envelope import encode_payload
from checkpointkit.errors import MigrationError
from checkpointkit.evolution.goldens import (
    judge,
    make_goldens,
)
from checkpointkit.schema import Hook, Payload, Schema
from tests.evolution.stored import LEASE, payloads_of, sealed

if TYPE_CHECKING:
    pass


SECRET = "s3cret"
STATE: Payload = {"holder": "a", "seconds": 1}
FRACTION = Hook(Fraction, wire="example.com/fraction", dump=str, load=Fraction)


@frozen
class Price:
    amount: Fraction


# ------------------------------------------------------------------------- what is frozen, judged


@frozen
class Lease3:
    holder: str
    milliseconds: int
    note: str | None


def to_milliseconds(old: Payload) -> Payload:
    return {"holder": old["holder"], "milliseconds": old["seconds"] * 1000}


def add_note(old: Payload) -> Payload:
    old["note"] = None  # in place, as a migration may
    return old


@frozen
class Lease2:
    holder: str
    milliseconds: int


LEASE2 = Schema(Lease2, kind="example.com/lease", version=2, migrations={1: to_milliseconds})


def lease3(first: Any = to_milliseconds, second: Any = add_note, cls: Any = Lease3) -> Schema[Any]:
    return Schema(cls, kind="example.com/lease", version=3, migrations={1: first, 2: second})


ONE = make_goldens(LEASE, {})
TWO = make_goldens(LEASE2, {1: ONE})
THREE = make_goldens(lease3(), {1: ONE, 2: TWO})


def test_what_every_older_golden_becomes_is_frozen() -> None:
    assert list(TWO.becomes) == [1]
    assert list(THREE.becomes) == [1, 2]
    for number, payload in enumerate(payloads_of(ONE)):
        assert TWO.becomes[1][number] == encode_payload(to_milliseconds(payload))
        assert THREE.becomes[1][number] == encode_payload(add_note(to_milliseconds(payload)))
    assert len(THREE.becomes[2]) == len(TWO.envelopes)


def test_versions_that_are_not_read_any_more_are_left_out() -> None:
    dropped = Schema(Lease3, kind="example.com/lease", version=3, migrations={2: add_note})
    assert list(make_goldens(dropped, {1: ONE, 2: TWO}).becomes) == [2]


def test_an_older_golden_that_does_not_load_stops_the_making() -> None:
    with pytest.raises(MigrationError):
        make_goldens(lease3(first=lambda old: old["nothing"]), {1: ONE, 2: TWO})


def test_a_good_schema_has_no_problems_at_any_version() -> None:
    schema = lease3()
    assert judge(schema, 1, ONE.envelopes, THREE.becomes[1], 3) == ()
    assert judge(schema, 2, TWO.envelopes, THREE.becomes[2], 3) == ()
    assert judge(schema, 3, THREE.envelopes, None, 3) == ()
    assert judge(schema, 1, ONE.envelopes, TWO.becomes[1], 2) == ()
    assert judge(LEASE, 1, ONE.envelopes, None, 1) == ()


def test_a_migration_that_raises_is_named_with_step_and_path() -> None:
    schema = lease3(second=lambda old: {**old, "note": old["remark"]})
    problems = judge(schema, 1, ONE.envelopes, THREE.becomes[1], 3)
    (problem,) = problems
    assert problem == (
        f"version 1, goldens 1 to {len(ONE.envelopes)}: cannot be loaded: the migration from "
        "version 2 to 3 failed: raised KeyError at remark"
    )


def test_a_migration_that_gives_another_value_is_found_though_the_class_takes_it() -> None:
    schema = lease3(first=lambda old: {**to_milliseconds(old), "holder": old["holder"].strip()})
    problems = judge(schema, 1, ONE.envelopes, THREE.becomes[1], 3)
    assert len(problems) == 1
    assert problems[0].startswith("version 1, golden")
    assert problems[0].endswith(": another value at version 3 than the frozen one: holder")


def test_a_value_that_is_only_equal_is_another_value() -> None:
    schema = Schema(
        dict[str, bool | int], kind="a", version=2, migrations={1: lambda old: {"n": True}}
    )
    goldens = (sealed({"n": 1}, kind="a"),)
    assert judge(schema, 1, goldens, [b'{"n":true}'], 2) == ()
    assert judge(schema, 1, goldens, [b'{"n":1}'], 2) == (
        "version 1, golden 1: another value at version 2 than the frozen one: [*]",
    )


def test_the_way_to_a_version_in_between_is_judged_too() -> None:
    # The second migration makes up for the first: what was frozen at version 2 is lost.
    schema = lease3(
        first=lambda old: {"holder": old["holder"], "milliseconds": old["seconds"]},
        second=lambda old: {**old, "milliseconds": old["milliseconds"] * 1000, "note": None},
    )
    assert judge(schema, 1, ONE.envelopes, THREE.becomes[1], 3) == ()
    changed = ": another value at version 2 than the frozen one: "
    (problem,) = judge(schema, 1, ONE.envelopes, TWO.becomes[1], 2, {2: LEASE2.shape})
    assert problem.endswith(f"{changed}milliseconds")
    # A name that is in no accepted shape may be data.
    (problem,) = judge(schema, 1, ONE.envelopes, TWO.becomes[1], 2)
    assert problem.endswith(f"{changed}[*]")


def test_a_class_that_refuses_what_it_took_is_found() -> None:
    @frozen
    class Stricter:
        holder: str
        milliseconds: int = attrs.field(validator=attrs.validators.ge(0))
        note: str | None

    problems = judge(lease3(cls=Stricter), 3, THREE.envelopes, None, 3)
    assert len(problems) == 1
    assert problems[0].endswith(": cannot be loaded: Stricter raised ValueError")


def test_a_hook_that_writes_something_else_is_found() -> None:
    first = Schema(Price, kind="a", version=1, hooks=[FRACTION])
    goldens = make_goldens(first, {})
    other = Hook(
        Fraction,
        wire="example.com/fraction",
        dump=lambda value: f"{value.numerator}/{value.denominator}",
        load=Fraction,
    )
    problems = judge(
        Schema(Price, kind="a", version=1, hooks=[other]), 1, goldens.envelopes, None, 1
    )
    assert len(problems) == 1
    assert "amount: the hook example.com/fraction would write something else" in problems[0]


def test_bytes_that_are_not_written_like_that_any_more_are_found() -> None:
    spaced = sealed(b'{"holder": "a", "seconds": 1}')
    assert judge(LEASE, 1, [spaced], None, 1) == (
        "version 1, golden 1: not written as it is stored, byte for byte",
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (sealed(STATE)[:-1], "cannot be loaded: the payload has "),
        (sealed(STATE, kind="b"), "cannot be loaded: checkpoint 'golden' holds kind 'b'"),
        (sealed(STATE, version=2), "of version 2"),
        (sealed({"holder": "a"}), "cannot be loaded: seconds: missing"),
        (sealed(b"[1]"), "cannot be loaded: the payload is no JSON object"),
    ],
)
def test_what_get_refuses_is_a_problem_of_a_golden(data: bytes, problem: str) -> None:
    (found,) = judge(LEASE, 1, [ONE.envelopes[0], data], None, 1)
    assert found.startswith(f"version 1, golden 2: {problem}")


def test_a_class_of_another_shape_has_drifted() -> None:
    drifted = Schema(Lease2, kind="example.com/lease", version=1)
    (found,) = judge(drifted, 1, ONE.envelopes, None, 1)
    assert "another shape" in found


def test_a_field_that_a_migration_forgets_to_drop_is_named() -> None:
    def forgets(old: Payload) -> Payload:
        return {**to_milliseconds(old), "seconds": 1, SECRET: 2}

    schema = Schema(Lease2, kind="example.com/lease", version=2, migrations={1: forgets})
    failed = "version 1, golden 1: cannot be loaded: the migration from version 1 to 2 failed: "
    (found,) = judge(schema, 1, [sealed(STATE)], None, 2, {1: LEASE.shape})
    assert found == f"{failed}its result does not fit the class: seconds: unknown; 1 unknown key"
    (found,) = judge(schema, 1, [sealed(STATE)], None, 2)
    assert found == f"{failed}its result does not fit the class: 2 unknown keys"


def test_goldens_without_their_frozen_values_are_counted() -> None:
    count = len(ONE.envelopes)
    assert judge(lease3(), 1, ONE.envelopes, THREE.becomes[1][:-1], 3) == (
        f"{count - 1} of the {count} goldens of version 1 have a value that is frozen at version 3",
    )


SPACED = "another value at version 2 than the frozen one in its bytes"
NO_PAYLOAD = "what it was at version 2 is no payload"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"holder":"a", "milliseconds":1000}', SPACED),
        (b'{"holder":"a","milliseconds":NaN}', f"{NO_PAYLOAD}: the payload is no"),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", f"{NO_PAYLOAD}: nested more"),
    ],
    ids=["spaced", "no JSON", "deep"],
)  # fmt: skip
def test_a_frozen_value_that_was_edited_is_found(data: bytes, problem: str) -> None:
    (found,) = judge(LEASE2, 1, [sealed(STATE)], [data], 2)
    assert found.startswith(f"version 1, golden 1: {problem}")


def test_a_migration_that_fails_now_and_then_has_loaded_in_the_end() -> None:
    calls = iter(range(9))

    def flaky(old: Payload) -> Payload:
        return to_milliseconds(old) if next(calls) else old["nothing"]

    schema = Schema(Lease2, kind="example.com/lease", version=2, migrations={1: flaky})
    assert judge(schema, 1, [sealed(STATE)], [b'{"holder":"a","milliseconds":1000}'], 2) == ()


def test_a_version_that_is_not_read_any_more_is_named() -> None:
    dropped = Schema(Lease3, kind="example.com/lease", version=3, migrations={2: add_note})
    (found,) = judge(dropped, 1, [sealed(STATE)], None, 3)
    assert "this release reads 2 to 3" in found


def test_the_numbers_of_goldens_with_the_same_problem_stand_together() -> None:
    bad, good = sealed({"holder": "a"}), sealed({"holder": "a", "seconds": 1})
    (found,) = judge(LEASE, 1, [bad, good, bad], None, 1)
    assert found == "version 1, goldens 1, 3: cannot be loaded: seconds: missing"


secrets = st.sampled_from([SECRET, [SECRET], {SECRET: SECRET}, 7, None])


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["holder", "seconds", SECRET]), secrets), secrets)
def test_no_problem_tells_a_value(payload: Payload, other: Any) -> None:
    envelope = sealed(payload)
    schema = lease3(first=lambda old: {"holder": other, "milliseconds": old[SECRET]})
    wide = Schema(dict[str, int | str], kind="example.com/lease", version=2, migrations={1: dict})
    for problem in (
        *judge(LEASE, 1, [envelope], None, 1),
        *judge(schema, 1, [envelope], [encode_payload({"holder": other})], 3),
        *judge(wide, 1, [envelope], [encode_payload({SECRET: other})], 2),
    ):
        assert SECRET not in problem.replace(f"at {SECRET}", "")
