"""Since when parents are gone: never earlier than it was seen, and never by another cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit import CheckpointManager, MemoryStore
from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.kept.formats import GONE, GoneParent, GoneSince
from checkpointkit.archives.kept.inventory import Inventory
from checkpointkit.archives.model import Container, Gone, Level, Parent
from checkpointkit.errors import StoreError
from checkpointkit.testing import FaultyStore
from tests.archives.keeping import TEXTS, WEB, newest, rot

if TYPE_CHECKING:
    from pathlib import Path

ONE = Parent(WEB, "7f3e")
TWO = Parent(WEB)
LEVELS = (Level.CONTAINER, Level.POD, Level.NAMESPACE)
PARENTS = st.builds(Parent, st.builds(Container, TEXTS, TEXTS, TEXTS), TEXTS)


def test_since_when_one_is_gone_survives_a_restart_and_a_return_is_forgotten() -> None:
    store = MemoryStore()
    gone = {ONE: Level.POD, TWO: Level.POD}
    assert Inventory(store).note_gone("6c1f", gone, 5) == {
        ONE: Gone(Level.POD, 5),
        TWO: Gone(Level.POD, 5),
    }
    inventory = Inventory(store)
    assert inventory.cluster == "6c1f"
    assert inventory.note_gone("6c1f", {ONE: Level.POD}, 7) == {ONE: Gone(Level.POD, 5)}
    assert Inventory(store).note_gone("6c1f", gone, 9)[TWO] == Gone(Level.POD, 9)


def test_more_that_is_gone_is_gone_since_now_and_less_since_before() -> None:
    inventory = Inventory(MemoryStore())
    seen = [
        inventory.note_gone("6c1f", {ONE: level}, now)[ONE]
        for now, level in enumerate((*LEVELS, Level.CONTAINER, Level.POD), 1)
    ]
    assert [one.since_ns for one in seen] == [1, 2, 3, 3, 5]
    assert [one.level for one in seen] == [*LEVELS, Level.CONTAINER, Level.POD]


def test_a_clock_that_was_ahead_does_not_keep_it_for_ever() -> None:
    inventory = Inventory(MemoryStore())
    inventory.note_gone("6c1f", {ONE: Level.POD}, 10**18)
    assert inventory.note_gone("6c1f", {ONE: Level.POD}, 5)[ONE].since_ns == 5
    assert inventory.note_gone("6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 5


@pytest.mark.parametrize("cluster", ["", "other"])
def test_an_empty_new_cluster_does_not_say_that_every_pod_is_gone(cluster: str) -> None:
    store = MemoryStore()
    inventory = Inventory(store)
    inventory.note_gone("6c1f", {ONE: Level.POD}, 5)
    for again in (inventory, Inventory(store)):
        with pytest.raises(PolicyError, match="nobody is gone"):
            again.note_gone(cluster, {ONE: Level.POD, TWO: Level.POD}, 9)
    assert Inventory(store).note_gone("6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 5


def test_a_cluster_that_is_nobody_is_not_the_first_one() -> None:
    with pytest.raises(PolicyError, match="does not say"):
        Inventory(MemoryStore()).note_gone("", {ONE: Level.POD}, 9)


def test_a_node_that_has_moved_begins_anew() -> None:
    store = MemoryStore()
    inventory = Inventory(store)
    assert not inventory.leave()
    inventory.note_gone("6c1f", {ONE: Level.POD}, 5)
    assert inventory.leave()
    assert inventory.cluster == Inventory(store).cluster == ""
    assert inventory.note_gone("other", {ONE: Level.POD}, 9)[ONE].since_ns == 9


def test_nothing_is_written_while_nothing_changes_or_to_be_read_only() -> None:
    store = FaultyStore(MemoryStore())
    inventory = Inventory(store)
    inventory.note_gone("6c1f", {ONE: Level.POD}, 5)
    for now in range(6, 9):
        inventory.note_gone("6c1f", {ONE: Level.POD}, now)
        found = Inventory(store, read_only=True).note_gone("6c1f", {TWO: Level.POD}, now)
        assert found == {TWO: Gone(Level.POD, now)}
    assert store.calls["write"] == 1


def test_what_could_not_be_stored_is_as_it_was() -> None:
    store = FaultyStore(MemoryStore())
    inventory = Inventory(store)
    inventory.note_gone("6c1f", {ONE: Level.POD}, 5)
    store.fail("write")
    with pytest.raises(StoreError):
        inventory.note_gone("6c1f", {TWO: Level.POD}, 9)
    assert inventory.note_gone("6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 5


def test_after_damage_the_cluster_is_known_and_grace_periods_begin_anew(tmp_path: Path) -> None:
    with Inventory.open(str(tmp_path), "/a") as inventory:
        inventory.note_gone("6c1f", {ONE: Level.POD}, 5)
        inventory.note_gone("6c1f", {}, 6)
        inventory.note_gone("6c1f", {ONE: Level.POD}, 7)
    rot(newest(tmp_path, "gone"))
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert len(inventory.problems) == 1
        with pytest.raises(PolicyError):
            inventory.note_gone("other", {ONE: Level.POD}, 9)
        assert inventory.note_gone("6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 9
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert inventory.problems == ()
        inventory.note_gone("6c1f", {ONE: Level.POD, TWO: Level.POD}, 9)
    for path in newest(tmp_path, "gone").parent.iterdir():
        if path.is_file() and not path.is_symlink():
            rot(path)
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert inventory.cluster == ""
        inventory.note_gone("6c1f", {TWO: Level.POD}, 9)


def test_what_is_no_parent_is_not_gone() -> None:
    store = MemoryStore()
    wrong = GoneSince("6c1f", (GoneParent("uid", Level.POD, 5),))
    CheckpointManager(store, GONE).create("gone", wrong)
    inventory = Inventory(store)
    assert inventory.problems == ()
    assert inventory.note_gone("6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 9


@given(st.dictionaries(PARENTS, st.sampled_from(LEVELS), max_size=6))
@settings(max_examples=60)
def test_any_parents_are_given_back(gone: dict[Parent, Level]) -> None:
    store = MemoryStore()
    found = Inventory(store).note_gone("6c1f", gone, 5)
    assert Inventory(store).note_gone("6c1f", gone, 9) == found
    assert {parent: one.level for parent, one in found.items()} == gone
