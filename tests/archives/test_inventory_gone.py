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
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from checkpointkit.archives.model import Orphans
    from checkpointkit.stores.base import Store

ONE = Parent(WEB, "7f3e")
TWO = Parent(WEB)
LEVELS = (Level.CONTAINER, Level.POD, Level.NAMESPACE)
PARENTS = st.builds(Parent, st.builds(Container, TEXTS, TEXTS, TEXTS), TEXTS)


def bound(store: Store) -> Inventory:
    """Return the inventory of a node whose cluster is known."""
    inventory = Inventory(store)
    assert say(inventory, "6c1f", {}, 1, [ONE]) == {}
    return inventory


def say(
    inventory: Inventory,
    cluster: str,
    gone: Mapping[Parent, Level],
    now_ns: int,
    there: Collection[Parent] = (),
) -> Orphans:
    return inventory.note_gone(cluster, gone, now_ns, there=there)


def test_since_when_one_is_gone_survives_a_restart_and_a_return_is_forgotten() -> None:
    store = MemoryStore()
    gone = {ONE: Level.POD, TWO: Level.POD}
    assert say(bound(store), "6c1f", gone, 5) == {
        ONE: Gone(Level.POD, 5),
        TWO: Gone(Level.POD, 5),
    }
    inventory = Inventory(store)
    assert inventory.cluster == "6c1f"
    assert say(inventory, "6c1f", {ONE: Level.POD}, 7) == {ONE: Gone(Level.POD, 5)}
    assert say(Inventory(store), "6c1f", gone, 9)[TWO] == Gone(Level.POD, 9)


def test_more_that_is_gone_is_gone_since_now_and_less_since_before() -> None:
    inventory = bound(MemoryStore())
    seen = [
        say(inventory, "6c1f", {ONE: level}, now)[ONE]
        for now, level in enumerate((*LEVELS, Level.CONTAINER, Level.POD), 1)
    ]
    assert [one.since_ns for one in seen] == [1, 2, 3, 3, 5]
    assert [one.level for one in seen] == [*LEVELS, Level.CONTAINER, Level.POD]


def test_a_clock_that_was_ahead_does_not_keep_it_for_ever() -> None:
    inventory = bound(MemoryStore())
    say(inventory, "6c1f", {ONE: Level.POD}, 10**18)
    assert say(inventory, "6c1f", {ONE: Level.POD}, 5)[ONE].since_ns == 5
    assert say(inventory, "6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 5


@pytest.mark.parametrize("cluster", ["", "other"])
def test_an_empty_new_cluster_does_not_say_that_every_pod_is_gone(cluster: str) -> None:
    store = MemoryStore()
    inventory = bound(store)
    say(inventory, "6c1f", {ONE: Level.POD}, 5)
    for again in (inventory, Inventory(store)):
        with pytest.raises(PolicyError, match="nobody is gone"):
            say(again, cluster, {ONE: Level.POD}, 9, [TWO])
    assert say(Inventory(store), "6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 5


def test_a_cluster_that_is_nobody_is_not_the_first_one() -> None:
    with pytest.raises(PolicyError, match="does not say"):
        say(Inventory(MemoryStore()), "", {TWO: Level.POD}, 9, [ONE])


def test_a_cluster_that_has_none_of_the_pods_is_not_the_first_one() -> None:
    store = MemoryStore()
    for now in (5, 6):
        inventory = Inventory(store)
        with pytest.raises(PolicyError, match="may be the wrong one; nobody is gone"):
            say(inventory, "empty", {ONE: Level.NAMESPACE, TWO: Level.NAMESPACE}, now)
        assert say(inventory, "empty", {}, now) == {}
        assert inventory.cluster == Inventory(store).cluster == ""
    assert say(inventory, "6c1f", {TWO: Level.POD}, 7, [ONE]) == {TWO: Gone(Level.POD, 7)}
    assert Inventory(store).cluster == "6c1f"


def test_a_pod_of_the_same_name_does_not_make_a_cluster_the_first_one() -> None:
    """Of two clusters both may have default/web-0, and a UID is in one of them."""
    store = MemoryStore()
    with pytest.raises(PolicyError, match="may be the wrong one"):
        say(Inventory(store), "other", {ONE: Level.POD}, 5, [TWO])
    # where no archive says a UID there is nothing else to go by
    db = Parent(Container("default", "db", "app"))
    assert say(Inventory(store), "6c1f", {db: Level.POD}, 5, [TWO]) == {db: Gone(Level.POD, 5)}


def test_a_cluster_is_the_first_one_to_be_read_only_too_and_nothing_is_written() -> None:
    store = MemoryStore()
    inventory = Inventory(store, read_only=True)
    with pytest.raises(PolicyError):
        say(inventory, "6c1f", {TWO: Level.POD}, 5)
    assert say(inventory, "6c1f", {TWO: Level.POD}, 5, [ONE]) == {TWO: Gone(Level.POD, 5)}
    assert Inventory(store).cluster == ""


def test_a_node_that_has_moved_begins_anew() -> None:
    store = MemoryStore()
    inventory = Inventory(store)
    assert not inventory.leave()
    say(bound(store), "6c1f", {ONE: Level.POD}, 5)
    inventory = Inventory(store)
    assert inventory.leave()
    assert inventory.cluster == Inventory(store).cluster == ""
    with pytest.raises(PolicyError):
        say(inventory, "other", {ONE: Level.POD}, 8)
    db = Parent(Container("default", "db", "app"), "8a4f")
    assert say(inventory, "other", {ONE: Level.POD}, 9, [db])[ONE].since_ns == 9


def test_nothing_is_written_while_nothing_changes_or_to_be_read_only() -> None:
    store = FaultyStore(MemoryStore())
    inventory = bound(store)
    say(inventory, "6c1f", {ONE: Level.POD}, 5)
    for now in range(6, 9):
        say(inventory, "6c1f", {ONE: Level.POD}, now)
        found = say(Inventory(store, read_only=True), "6c1f", {TWO: Level.POD}, now)
        assert found == {TWO: Gone(Level.POD, now)}
    assert store.calls["write"] == 2


def test_what_could_not_be_stored_is_as_it_was() -> None:
    store = FaultyStore(MemoryStore())
    inventory = bound(store)
    say(inventory, "6c1f", {ONE: Level.POD}, 5)
    store.fail("write")
    with pytest.raises(StoreError):
        say(inventory, "6c1f", {TWO: Level.POD}, 9)
    assert say(inventory, "6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 5


def test_after_damage_the_cluster_is_known_and_grace_periods_begin_anew(tmp_path: Path) -> None:
    with Inventory.open(str(tmp_path), "/a") as inventory:
        say(inventory, "6c1f", {ONE: Level.POD}, 5, [Parent(WEB, "8a4f")])
        say(inventory, "6c1f", {}, 6)
        say(inventory, "6c1f", {ONE: Level.POD}, 7)
    rot(newest(tmp_path, "gone"))
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert len(inventory.problems) == 1
        with pytest.raises(PolicyError):
            say(inventory, "other", {ONE: Level.POD}, 9)
        assert say(inventory, "6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 9
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert inventory.problems == ()


def lost(state: Path) -> None:
    """Damage all that was ever kept of who is gone."""
    for path in newest(state, "gone").parent.iterdir():
        if path.is_file() and not path.is_symlink():
            rot(path)


@pytest.mark.parametrize("cluster", ["6c1f", "other"])
def test_after_the_loss_of_all_no_cluster_is_believed_before_it_has_one_of_the_pods(
    tmp_path: Path, cluster: str
) -> None:
    with Inventory.open(str(tmp_path), "/a") as inventory:
        say(inventory, "6c1f", {TWO: Level.POD}, 5, [ONE])
    lost(tmp_path)
    for _ in range(2):
        with Inventory.open(str(tmp_path), "/a") as inventory:
            assert inventory.cluster == ""
            assert len(inventory.problems) == 1
            assert "of which cluster they are, is lost" in inventory.problems[0]
            with pytest.raises(PolicyError, match="nobody is gone"):
                say(inventory, cluster, {ONE: Level.POD, TWO: Level.POD}, 9)
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert say(inventory, cluster, {TWO: Level.POD}, 9, [ONE])[TWO].since_ns == 9
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert (inventory.problems, inventory.cluster) == ((), cluster)


def test_what_is_damaged_can_be_forgotten(tmp_path: Path) -> None:
    with Inventory.open(str(tmp_path), "/a") as inventory:
        say(inventory, "6c1f", {TWO: Level.POD}, 5, [ONE])
    lost(tmp_path)
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert inventory.leave()
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert inventory.problems == ()
        assert not inventory.leave()


def test_what_is_no_parent_is_not_gone() -> None:
    store = MemoryStore()
    wrong = GoneSince("6c1f", (GoneParent("uid", Level.POD, 5),))
    CheckpointManager(store, GONE).create("gone", wrong)
    inventory = Inventory(store)
    assert inventory.problems == ()
    assert say(inventory, "6c1f", {ONE: Level.POD}, 9)[ONE].since_ns == 9


@given(st.dictionaries(PARENTS, st.sampled_from(LEVELS), max_size=6))
@settings(max_examples=60)
def test_any_parents_are_given_back(gone: dict[Parent, Level]) -> None:
    store = MemoryStore()
    found = say(bound(store), "6c1f", gone, 5)
    assert say(Inventory(store), "6c1f", gone, 9) == found
    assert {parent: one.level for parent, one in found.items()} == gone
