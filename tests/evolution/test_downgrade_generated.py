"""Downgrades, checked as migrations are: over goldens, and over what Hypothesis makes up."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.chain import Downgrade
from checkpointkit.errors import DowngradeLossError
from checkpointkit.evolution.goldens import Goldens, judge_downgrade, make_goldens
from checkpointkit.schema import Hook, Migration, Payload, Schema
from tests.evolution.stored import LEASE, sealed

KIND = LEASE.kind
ONE = LEASE.shape
SECRET = "s3cret"


@frozen
class Lease2:
    holder: str
    milliseconds: int
    tags: list[str]


@frozen
class Lease3:
    holder: str
    milliseconds: int
    tags: list[str]
    note: str | None


TWO = Schema(Lease2, kind=KIND, version=1).shape


def up_2(old: Payload) -> Payload:
    return {"holder": old["holder"], "milliseconds": old["seconds"] * 1000, "tags": []}


def down_2(new: Payload) -> Payload:
    if new["tags"]:
        raise DowngradeLossError(None, 1, ("tags",))
    return {"holder": new["holder"], "seconds": new["milliseconds"] // 1000}


def up_3(old: Payload) -> Payload:
    old["note"] = None  # in place, as a migration may
    return old


def down_3(new: Payload) -> Payload:
    if new.pop("note") is not None:  # likewise
        raise DowngradeLossError(None, 2, ("note",))
    return new


def lease2(down: Migration = down_2, up: Migration = up_2, cls: Any = Lease2) -> Schema[Any]:
    return Schema(
        cls,
        kind=KIND,
        version=2,
        migrations={1: up},
        downgrades={2: Downgrade(down, ONE)},
        write_version=1,
    )


def lease3(down: Migration = down_3, lower: Migration = down_2) -> Schema[Any]:
    return Schema(
        Lease3,
        kind=KIND,
        version=3,
        migrations={1: up_2, 2: up_3},
        downgrades={3: Downgrade(down, TWO), 2: Downgrade(lower, ONE)},
        write_version=1,
    )


# Made without the downgrades: an older version knows of none.
GOLDENS_1 = make_goldens(LEASE, {})
GOLDENS_2 = make_goldens(Schema(Lease2, kind=KIND, version=2, migrations={1: up_2}), {1: GOLDENS_1})
GOLDENS = {1: GOLDENS_1, 2: GOLDENS_2}


def test_good_downgrades_have_no_problems() -> None:
    assert judge_downgrade(lease2(), GOLDENS) == ()
    assert judge_downgrade(lease3(), GOLDENS) == ()


def test_a_schema_without_downgrades_has_none() -> None:
    assert judge_downgrade(LEASE, GOLDENS) == ()


def test_what_the_older_version_can_express_must_come_back_up() -> None:
    def capitals(new: Payload) -> Payload:
        return {"holder": new["holder"].upper(), "seconds": new["milliseconds"] // 1000}

    (problem,) = judge_downgrade(lease2(capitals), GOLDENS)
    assert problem == (
        "version 1 can express it, and on the way down from version 2 and up again it changes: "
        "holder (as in golden 2 of version 1)"
    )


def test_all_fields_that_are_lost_are_named_together() -> None:
    (problem,) = judge_downgrade(lease2(lambda _: {"holder": "", "seconds": 0}), GOLDENS)
    assert "it changes: " in problem
    assert "holder" in problem
    assert "milliseconds" in problem


def test_a_downgrade_that_does_not_lead_to_its_shape_is_found() -> None:
    (problem,) = judge_downgrade(lease2(lambda new: {"holder": new["holder"]}), GOLDENS)
    assert "it changes: seconds" in problem


def test_a_value_of_a_golden_alone_is_enough() -> None:
    def only_there(new: Payload) -> Payload:
        return {**down_2(new), "seconds": 0} if new["holder"] == SECRET else down_2(new)

    golden = Goldens(
        (sealed({"holder": "a", "seconds": 1}), sealed({"holder": SECRET, "seconds": 1}))
    )
    assert judge_downgrade(lease2(only_there), GOLDENS) == ()
    (problem,) = judge_downgrade(lease2(only_there), {1: golden})
    assert problem.endswith("it changes: milliseconds (as in golden 2 of version 1)")


def test_what_older_goldens_have_become_counts_as_well() -> None:
    def only_there(new: Payload) -> Payload:
        return {**down_3(new), "milliseconds": 0} if new["holder"] == SECRET else down_3(new)

    became = Goldens((), {1: (b'{"holder":"s3cret","milliseconds":5,"tags":["x"]}',)})
    (problem,) = judge_downgrade(lease3(only_there), {2: became})
    assert problem.endswith("it changes: milliseconds (as in golden 1 of version 1)")


def test_a_generated_value_alone_is_enough() -> None:
    def cut(new: Payload) -> Payload:
        return {**down_2(new), "holder": new["holder"][:4]}

    few = Goldens((sealed({"holder": "a", "seconds": 1}),))
    (problem,) = judge_downgrade(lease2(cut), {1: few})
    assert problem.endswith("it changes: holder (as in a generated value of version 1)")


def test_the_edges_of_the_older_shape_are_tried() -> None:
    def clamped(new: Payload) -> Payload:
        return {**down_2(new), "seconds": min(new["milliseconds"] // 1000, 2**63 - 1)}

    (problem,) = judge_downgrade(lease2(clamped), {})
    assert "it changes: milliseconds" in problem


def test_each_step_of_a_longer_way_down_is_judged() -> None:
    def forgets_tags(new: Payload) -> Payload:
        return {**down_3(new), "tags": []}

    (problem,) = judge_downgrade(lease3(forgets_tags), GOLDENS)
    assert problem.startswith("version 2 can express it, and on the way down from version 3")
    assert ": tags " in problem

    (problem,) = judge_downgrade(lease3(lower=lambda _: {"holder": "", "seconds": 0}), GOLDENS)
    assert problem.startswith("version 1 can express it, and on the way down from version 3")


def test_a_downgrade_that_fails_is_named_with_its_step() -> None:
    def first_tag(new: Payload) -> Payload:
        return {**down_2(new), "seconds": new["milliseconds"] // len(new["holder"])}

    problems = judge_downgrade(lease2(first_tag), GOLDENS)
    assert any(
        problem.startswith("the downgrade from version 2 to 1 failed: raised ZeroDivisionError")
        for problem in problems
    )


def test_a_downgrade_must_not_fail_on_what_the_older_version_cannot_express() -> None:
    def no_tags(new: Payload) -> Payload:
        assert not new["tags"]  # not the error that says so
        return down_2(new)

    (problem,) = judge_downgrade(lease2(no_tags), GOLDENS)
    assert problem.startswith("the downgrade from version 2 to 1 failed: raised AssertionError")
    assert "of version 2)" in problem


def test_what_only_the_newer_version_can_express_may_be_refused() -> None:
    def refuses(new: Payload) -> Payload:
        lossy = new["milliseconds"] % 1000
        return {**down_2(new), "seconds": 0} if lossy else down_2(new)

    assert judge_downgrade(lease2(refuses), GOLDENS) == ()


def test_what_no_class_ever_took_is_no_problem() -> None:
    @frozen
    class Natural:
        holder: str
        milliseconds: int = attrs.field(validator=attrs.validators.ge(0))
        tags: list[str]

    def natural(new: Payload) -> Payload:
        return {**down_2(new), "seconds": abs(new["milliseconds"] // 1000)}

    def picky(old: Payload) -> Payload:
        return up_2(old) if old["seconds"] >= 0 else old["no such thing"]

    assert judge_downgrade(lease2(natural), {}) != ()
    assert judge_downgrade(lease2(natural, cls=Natural), {}) == ()
    assert judge_downgrade(lease2(natural, up=picky, cls=Natural), {}) == ()


@frozen
class Price:
    amount: Fraction
    note: str


FRACTION = Hook(Fraction, wire="example.com/fraction", dump=str, load=Fraction)


def test_values_of_hooks_go_down_and_up() -> None:
    def price(down: Migration) -> Schema[Price]:
        return Schema(
            Price,
            kind="a",
            version=2,
            hooks=[FRACTION],
            migrations={1: lambda old: {**old, "note": ""}},
            downgrades={
                2: Downgrade(down, {"record": {"amount": {"hook": "example.com/fraction"}}})
            },
        )

    assert judge_downgrade(price(lambda new: {"amount": new["amount"]}), {}) == ()
    (problem,) = judge_downgrade(price(lambda new: {"amount": new["amount"].partition("/")[0]}), {})
    assert ": amount " in problem


def test_a_hook_that_is_gone_is_learnt_from_goldens() -> None:
    # The older version had a hook that the schema does not know: its goldens show what it wrote.
    shape: Any = {"record": {"at": {"hook": "example.com/gone"}}}
    schema = Schema(
        dict[str, int],
        kind="a",
        version=2,
        migrations={1: lambda old: {"at": int(old["at"], 16)}},
        downgrades={2: Downgrade(lambda new: {"at": hex(new["at"] & 0xFF)}, shape)},
    )
    (problem,) = judge_downgrade(schema, {1: Goldens((sealed({"at": "0x7f"}, kind="a"),))})
    assert "raised KeyError" in problem  # what else a dict can hold has no "at"
    lost = judge_downgrade(schema, {1: Goldens((sealed({"at": "0x1ff"}, kind="a"),))})
    assert "it changes: [*] (as in golden 1 of version 1)" in lost[0]


def test_the_same_is_found_each_time() -> None:
    def cut(new: Payload) -> Payload:
        return {**down_2(new), "holder": new["holder"][:4]}

    assert judge_downgrade(lease2(cut), {}) == judge_downgrade(lease2(cut), {})


@pytest.mark.parametrize("field", ["holder", "seconds"])
@pytest.mark.parametrize("value", [SECRET, 7, {SECRET: 1}], ids=["text", "int", "dict"])
def test_no_problem_tells_a_value(field: str, value: Any) -> None:
    golden = Goldens((sealed({"holder": SECRET, "seconds": 1}),))
    schema = lease2(lambda new: {**down_2(new), field: value})
    problems = judge_downgrade(schema, {1: golden})
    assert problems
    assert SECRET not in "".join(problems)


# ----------------------------------------------------------------------------------- the law itself


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {
            "holder": st.text(max_size=3),
            "milliseconds": st.integers(),
            "tags": st.lists(st.just("t")),
        }
    )
)
def test_down_and_up_is_what_it_was_or_the_fields_are_named(payload: Payload) -> None:
    schema = lease2()
    try:
        older = schema.downgrade(dict(payload), 1)
    except DowngradeLossError as error:
        assert error.fields in {("tags",), ("milliseconds",)}
        assert payload["tags"] or payload["milliseconds"] % 1000
    else:
        assert LEASE.structure(older)
        assert schema.upgrade(older, 1) == payload
