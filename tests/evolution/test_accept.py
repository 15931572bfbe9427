"""Accepting: entries are added and never changed, and nothing that hides a mistake is taken in."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from attrs import frozen

from checkpointkit import Payload, Schema
from checkpointkit.evolution.findings import Broken
from tests.evolution.formats import Formats, Refused
from tests.evolution.test_check import KIND, ONE, Other, first, second, two
from tests.evolution.test_goldens_made import FRACTION, ODD, Odd


def rules_of(refused: pytest.ExceptionInfo[Refused]) -> list[str]:
    return refused.value.rules


def test_a_new_version_is_added_and_nothing_that_was_there_changes() -> None:
    formats = first().copy()
    before = formats.lock.version(KIND, 1), formats.goldens[KIND, 1]
    lines = formats.accept(two())
    assert lines == (f"{KIND}: version 2 is accepted, with 20 goldens",)
    assert (formats.lock.version(KIND, 1), formats.goldens[KIND, 1]) == before
    assert list(formats.lock.kinds[KIND].versions) == [1, 2]
    assert len(formats.goldens[KIND, 2].becomes[1]) == len(formats.goldens[KIND, 1].envelopes)


@frozen
class Listing:
    price: Fraction | None
    odd: Odd | None
    next: Listing | None


def test_a_hook_of_which_no_golden_has_a_value_is_told() -> None:
    schema = Schema(Listing, kind=KIND, version=1, hooks=[FRACTION, ODD])
    accepted, told = Formats().accept(schema)
    assert accepted.startswith(f"{KIND}: version 1 is accepted, with ")
    assert told == (
        f"{KIND}: no golden has a value of the hook example.com/odd, as none could be made up; "
        "take these goldens back, name values in [tool.checkpointkit.examples], and accept it anew"
    )


def test_accepting_twice_does_nothing() -> None:
    formats = second().copy()
    assert formats.accept(two()) == ()
    assert formats.lock == second().lock


@pytest.mark.parametrize(
    ("schema", "rule"),
    [
        (Schema(Other, kind=KIND, version=2, migrations={1: dict}), "shape-changed"),
        (Schema(Other, kind=KIND, version=3), "missing-migration"),
        (two(migrations={1: lambda old: {**old, "ms": 1}}), "golden-changed"),
        (Schema(Other, kind="example.com/other", version=1), "not-listed"),
        (Broken("agent.state:X", ImportError("no")), "not-importable"),
    ],
)
def test_what_is_wrong_is_not_accepted(schema: Any, rule: str) -> None:
    formats = second().copy()
    with pytest.raises(Refused) as refused:
        formats.accept(schema)
    assert rule in rules_of(refused)
    assert formats.lock == second().lock


def test_a_new_version_whose_migration_does_not_fit_is_not_accepted() -> None:
    @frozen
    class Three:
        holder: str
        ms: int
        note: str

    def forgets(old: Payload) -> Payload:
        return old

    formats = first().copy()
    with pytest.raises(Refused) as refused:
        formats.accept(Schema(Three, kind=KIND, version=2, migrations={1: forgets}))
    assert rules_of(refused) == ["golden-changed"]
    assert "note: missing" in refused.value.findings[0].message


def test_the_newest_version_can_be_amended_while_no_release_has_it() -> None:
    changed = Schema(Other, kind=KIND, version=2, migrations={1: minutes})
    formats = second().copy()
    lines = formats.accept(changed, against=first(), amend=True)
    assert lines == (
        f"{KIND}: version 2 is taken back",
        f"{KIND}: version 2 is accepted, with 20 goldens",
    )
    assert formats.check(changed, against=first()) == ()
    with pytest.raises(Refused) as refused:
        second().copy().accept(changed, against=second(), amend=True)
    assert rules_of(refused) == ["shape-changed"]


def minutes(old: Payload) -> Payload:
    return {"holder": old["holder"], "minutes": old["seconds"]}


def test_a_migration_can_be_mended_while_no_release_has_the_version() -> None:
    formats = second().copy()
    mended = two(migrations={1: lambda old: {"holder": old["holder"], "ms": old["seconds"]}})
    with pytest.raises(Refused) as refused:
        formats.accept(mended)
    assert rules_of(refused) == ["golden-changed"]
    assert "if no release has version 2 yet" in refused.value.findings[0].edit
    with pytest.raises(Refused):
        formats.accept(mended, against=second(), amend=True)
    assert len(formats.accept(mended, against=first(), amend=True)) == 2
    assert formats.check(mended, against=first()) == ()


def test_an_older_version_is_never_amended() -> None:
    with pytest.raises(Refused) as refused:
        second().copy().accept(Schema(Other, kind=KIND, version=1), amend=True)
    assert rules_of(refused) == ["version-lowered"]


def test_a_new_version_that_is_wrong_is_not_amended() -> None:
    formats = first().copy()
    with pytest.raises(Refused) as refused:
        formats.accept(two(migrations={1: lambda old: old}), amend=True)
    assert rules_of(refused) == ["golden-changed"]
    assert "--amend" not in refused.value.findings[0].edit


def test_amending_what_has_not_changed_does_nothing() -> None:
    formats = second().copy()
    assert formats.accept(two(), amend=True) == ()


def test_old_versions_are_dropped_on_purpose_alone() -> None:
    late = two(migrations={})
    formats = second().copy()
    with pytest.raises(Refused) as refused:
        formats.accept(late)
    assert rules_of(refused) == ["missing-migration"]
    assert formats.accept(late, drop_old=True) == (f"{KIND}: versions before 2 are dropped",)
    assert formats.lock.kinds[KIND].reads_from == 2
    assert list(formats.lock.kinds[KIND].versions) == [1, 2]  # what it looked like is kept
    assert formats.check(late) == ()
    assert formats.accept(late, drop_old=True) == ()


def test_migrations_that_come_back_are_watched_again() -> None:
    late = two(migrations={})
    formats = second().copy()
    formats.accept(late, drop_old=True)
    assert formats.accept(two()) == (f"{KIND}: versions from 1 on are read again",)
    assert formats.rules(late) == ["missing-migration"]


def test_a_kind_is_retired_on_purpose_alone() -> None:
    formats = first().copy()
    assert formats.accept(retire=[KIND, "example.com/unknown"]) == (f"{KIND}: retired",)
    assert formats.check() == ()
    assert formats.accept(retire=[KIND]) == ()


def test_several_kinds_at_once() -> None:
    formats = Formats()
    other = Schema(Other, kind="example.com/other", version=3)
    assert len(formats.accept(ONE, other)) == 2
    assert formats.check(ONE, other) == ()
    assert list(formats.lock.kinds["example.com/other"].versions) == [3]
