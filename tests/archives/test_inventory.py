"""What is known of archives is given back as it was saved, and no more is written than that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit import CheckpointManager, MemoryStore, Schema
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.kept import shards, shelf
from checkpointkit.archives.kept.formats import (
    HEAD,
    SHARD,
    as_line,
    from_line,
    parent_of,
    parent_text,
)
from checkpointkit.archives.kept.inventory import Inventory, scope_of
from checkpointkit.archives.kept.shards import bits_for, shard_key, shard_of, to_archives, to_shard
from checkpointkit.archives.model import Archive, Container, State
from checkpointkit.errors import (
    BatchError,
    CheckpointError,
    LockTimeoutError,
    ReadOnlyError,
    StoreError,
    VersionTooNewError,
)
from checkpointkit.stores.files.system import SystemCalls
from checkpointkit.testing import FaultyStore
from tests.archives.keeping import ARCHIVES, NAMES, TEXTS, archive, archives, newest, rot
from tests.support.children import Child

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let four archives be a full shard."""
    monkeypatch.setattr(shards, "IN_A_SHARD", 4)


def by_name(found: Iterable[Archive]) -> dict[str, Archive]:
    return {one.name: evolve(one, pins=()) for one in found}


def told(inventory: Inventory) -> int:
    return len(inventory.problems)


# ------------------------------------------------------------------------------------- columns


@given(st.text(st.characters()))
def test_a_text_of_any_kind_becomes_one_line_of_utf8_and_comes_back(text: str) -> None:
    line = as_line(text)
    assert from_line(line) == text
    assert line.encode().decode() == line
    assert not set(line) & {chr(code) for code in (*range(32), 127)}


@given(NAMES)
def test_the_usual_name_stands_as_it_is(name: str) -> None:
    usual = name.isascii() and name.isprintable() and "%" not in name
    assert not usual or as_line(name) == name


@given(st.lists(ARCHIVES, max_size=8, unique_by=lambda one: one.name))
def test_columns_give_back_the_archives(found: list[Archive]) -> None:
    dumped = SHARD.dump(to_shard(found))
    again = to_archives(SHARD.structure(dumped), {})
    assert {one.name: one for one in again} == by_name(found)
    assert all(type(one) is Archive and hash(one.container) for one in again)


def test_archives_of_one_container_share_it_across_shards() -> None:
    parents: dict[str, Any] = {}
    one, other = (to_archives(to_shard([archive(name)]), parents)[0] for name in ("a.tar", "b.tar"))
    assert one.container is other.container


@given(st.none() | st.builds(Container, TEXTS, TEXTS, TEXTS), TEXTS)
def test_any_parent_is_given_back_and_an_empty_one_is_not_an_unknown_one(
    container: Container | None, uid: str
) -> None:
    assert parent_of(parent_text(container, uid)) == (container, uid)


@pytest.mark.parametrize("text", ["a/b", "a/b/c", "a/b/c/d/e"])
def test_what_is_no_parent_is_an_unknown_one(text: str) -> None:
    assert parent_of(text) == (None, "")


@pytest.mark.parametrize("column", ["sizes", "mtimes", "parents", "by_name", "digests"])
def test_columns_of_different_lengths_are_no_shard(column: str) -> None:
    shard = to_shard([archive(f"{number}", size=number, mtime_ns=number) for number in range(3)])
    with pytest.raises(ValueError, match="length"):
        to_archives(evolve(shard, **{column: getattr(shard, column)[:1] * 2}), {})


@given(st.integers(0, 10**7), st.integers(0, 12))
def test_shards_are_never_too_full_and_seldom_too_empty(count: int, bits: int) -> None:
    chosen = bits_for(count, bits)
    assert count <= 4096 << chosen
    assert bits_for(count, chosen) == chosen
    assert chosen == bits or count > 4096 << bits or count * 8 < 4096 << bits


def test_there_is_an_end_to_the_number_of_shards() -> None:
    assert bits_for(10**12) == 16


def test_the_shard_of_a_name_is_the_same_for_ever() -> None:
    assert [shard_of(name, 8) for name in ("checkpoint-a.tar", "\udcff", "\ud800", "é")] == [
        180,
        135,
        40,
        62,
    ]


# ------------------------------------------------------------------------------------- saving


@given(st.lists(st.lists(ARCHIVES, max_size=12), min_size=1, max_size=5))
@settings(max_examples=40)
def test_what_was_saved_last_is_what_is_loaded(saves: list[list[Archive]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "IN_A_SHARD", 2)
        store = MemoryStore()
        inventory = Inventory(store)
        for found in saves:
            inventory.save(found)
            assert Inventory(store).load() == by_name(found)
            assert inventory.load() == by_name(found)
            assert inventory.save(found) == 0


@pytest.mark.usefixtures("small_shards")
def test_one_new_archive_costs_one_shard() -> None:
    store = FaultyStore(MemoryStore())
    Inventory(store).save(archives(100))
    inventory = Inventory(store)
    known = inventory.load()
    before = store.calls["write_many"], store.calls["write"]
    assert inventory.save([*known.values(), archive("new")]) == 1
    assert (store.calls["write_many"], store.calls["write"]) == (before[0] + 1, before[1])
    assert inventory.save([*known.values(), archive("new")]) == 0
    assert inventory.save(known.values()) == 1
    assert store.calls["write_many"] == before[0] + 2
    assert Inventory(store).load() == known


@pytest.mark.parametrize("change", [{"size": 1}, {"digest": "00"}, {"state": State.BROKEN}])
def test_whatever_changes_is_written(change: dict[str, Any]) -> None:
    store = MemoryStore()
    inventory = Inventory(store)
    inventory.save([archive()])
    assert inventory.save([archive(**change)]) == 1
    assert Inventory(store).load() == by_name([archive(**change)])


def test_a_pin_is_on_the_disk_and_nowhere_else() -> None:
    store = MemoryStore()
    inventory = Inventory(store)
    inventory.save([archive()])
    assert inventory.save([archive(pins=("me",))]) == 0
    assert inventory.save([archive(pins=("me",), digest="00")]) == 1
    assert Inventory(store).load() == by_name([archive(digest="00")])
    assert inventory.save([archive(digest="00")]) == 0


def test_a_save_without_a_load_keeps_what_has_not_changed() -> None:
    store = MemoryStore()
    Inventory(store).save([archive()])
    assert Inventory(store).save([archive()]) == 0


@pytest.mark.usefixtures("small_shards")
def test_the_number_of_shards_follows_that_of_the_archives() -> None:
    store = MemoryStore()
    inventory = Inventory(store)
    for count, expected in ((0, 1), (4, 1), (5, 2), (8, 2), (33, 16), (9, 16), (7, 2), (0, 1)):
        inventory.save(archives(count))
        assert len(store.keys("shard-")) == expected, count
        assert Inventory(store).load() == by_name(archives(count))


@pytest.mark.usefixtures("small_shards")
def test_another_process_that_has_spread_them_anew_is_noticed() -> None:
    store = MemoryStore()
    mine, other = Inventory(store), Inventory(store)
    mine.save(archives(3))
    other.save(archives(40))
    assert mine.save(archives(41)) == 16
    assert Inventory(store).load() == by_name(archives(41))
    assert other.save(archives(41)) <= 1
    assert Inventory(store).load() == by_name(archives(41))


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("call", [1, 2])
def test_what_could_not_be_saved_is_saved_the_next_time(call: int) -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    inventory = Inventory(store)
    inventory.save(archives(5))
    store.fail("write_many", call=call)
    for count in (6, 40):
        try:
            inventory.save(archives(count))
        except CheckpointError:
            inventory.save(archives(count))
        assert Inventory(memory).load() == by_name(archives(count))
    assert inventory.save(archives(40)) == 0


@pytest.mark.usefixtures("small_shards")
def test_after_a_spread_that_failed_the_old_shards_are_not_taken_for_new_ones() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    inventory = Inventory(store)
    inventory.save(archives(5))
    store.fail("write")
    new = [archive(one.name, digest="00") for one in archives(40)]
    with pytest.raises(StoreError):
        inventory.save(new)
    inventory.save(new[:5])
    assert Inventory(memory).load() == by_name(new[:5])


def test_a_head_that_could_not_be_saved_is_saved_the_next_time() -> None:
    store = FaultyStore(MemoryStore())
    inventory = Inventory(store)
    store.fail("write")
    with pytest.raises(StoreError):
        inventory.save([archive()])
    assert inventory.save([archive()]) == 1
    assert inventory.save([archive()]) == 0


# ------------------------------------------------------------------------------------- damage


@pytest.mark.usefixtures("small_shards")
def test_a_damaged_shard_is_told_and_the_others_stay(tmp_path: Path) -> None:
    with Inventory.open(str(tmp_path), "/a") as inventory:
        inventory.save(archives(16))
    lost = {one.name for one in archives(16) if shard_of(one.name, 2) == 1}
    rot(newest(tmp_path, shard_key(2, 1)))
    with Inventory.open(str(tmp_path), "/a", read_only=True) as inventory:
        assert set(inventory.load()) == by_name(archives(16)).keys() - lost
        (problem,) = inventory.problems
        assert "first seen" in problem
        assert "checkpoint-" not in problem
    with Inventory.open(str(tmp_path), "/a") as inventory:
        inventory.load()
        assert inventory.save(archives(16)) == 1
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert inventory.load() == by_name(archives(16))
        assert told(inventory) == 0


def test_of_a_damaged_shard_the_one_before_counts(tmp_path: Path) -> None:
    with Inventory.open(str(tmp_path), "/a") as inventory:
        inventory.save([archive("a", digest="00")])
        inventory.save([archive("a", digest="00"), archive("b")])
    rot(newest(tmp_path, shard_key(0, 0)))
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert inventory.load() == by_name([archive("a", digest="00")])
        assert told(inventory) == 1
        assert inventory.save([archive("a", digest="00")]) == 1
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert told(inventory) == 0


def test_a_shard_that_was_damaged_meanwhile_is_written_anew(tmp_path: Path) -> None:
    with Inventory.open(str(tmp_path), "/a") as inventory:
        inventory.save([archive("a")])
        rot(newest(tmp_path, shard_key(0, 0)))
        assert inventory.save([archive("b")]) == 1
        assert inventory.load() == by_name([archive("b")])


@pytest.mark.usefixtures("small_shards")
def test_without_its_head_nothing_of_the_archives_is_lost(tmp_path: Path) -> None:
    with Inventory.open(str(tmp_path), "/a") as inventory:
        inventory.save(archives(16))
    rot(newest(tmp_path, "head"))
    with Inventory.open(str(tmp_path), "/a") as inventory:
        assert inventory.load() == by_name(archives(16))
        assert told(inventory) == 1
        assert inventory.save(archives(16)) == 4
        assert inventory.load() == by_name(archives(16))
        assert told(inventory) == 0


def test_columns_that_do_not_fit_are_damage() -> None:
    store = MemoryStore()
    Inventory(store).save([archive()])
    wrong = evolve(to_shard(archives(3)), sizes=(1, 2))
    CheckpointManager(store, SHARD).create(shard_key(0, 0), wrong)
    inventory = Inventory(store)
    assert inventory.load() == {}
    assert told(inventory) == 1
    inventory.save([archive()])
    assert Inventory(store).load() == by_name([archive()])


def newer(schema: Schema[Any]) -> Schema[Any]:
    return Schema(schema.cls, kind=schema.kind, version=2, migrations={1: lambda old: old})


def test_what_a_newer_release_has_saved_is_left_alone() -> None:
    store = MemoryStore()
    Inventory(store).save([archive()])
    inventory = Inventory(store)
    inventory.load()
    CheckpointManager(store, newer(SHARD)).create(shard_key(0, 0), to_shard([]))
    with pytest.raises(BatchError, match="VersionTooNewError"):
        inventory.save([])
    with pytest.raises(VersionTooNewError):
        inventory.load()
    head = CheckpointManager(store, HEAD).get("head")
    CheckpointManager(store, newer(HEAD)).create("head", head)
    with pytest.raises(VersionTooNewError):
        Inventory(store)
    with pytest.raises(VersionTooNewError):
        inventory.save([])


def test_an_error_of_the_store_is_not_taken_for_damage() -> None:
    store = FaultyStore(MemoryStore())
    inventory = Inventory(store)
    inventory.save([archive()])
    store.fail("read")
    with pytest.raises(StoreError):
        inventory.load()
    assert inventory.load() == by_name([archive()])


# ------------------------------------------------------------------------------------- files


def test_each_directory_has_an_inventory_of_its_own(tmp_path: Path) -> None:
    for path in ("/a", "/b/a", "/"):
        with Inventory.open(str(tmp_path), path) as inventory:
            assert inventory.load() == {}
            inventory.save([archive(path.replace("/", "-"))])
    with Inventory.open(str(tmp_path), "/b/../a") as inventory:
        assert set(inventory.load()) == {"-a"}


@given(st.binary(min_size=1, max_size=60))
def test_any_path_has_a_scope(path: bytes) -> None:
    assert MemoryStore().scope(scope_of(os.fsdecode(path.replace(b"\0", b"/"))))


def test_the_state_of_another_directory_is_refused() -> None:
    store = MemoryStore()
    Inventory(store, "/a\udcff").save([])
    with pytest.raises(DirectoryError, match=r"udcff"):
        Inventory(store, "/b")
    assert Inventory(store, "/a\udcff").load() == {}


def test_read_only_writes_nothing_and_creates_nothing(tmp_path: Path) -> None:
    with Inventory.open(str(tmp_path / "state"), "/a", read_only=True) as inventory:
        assert inventory.load() == {}
        assert list(inventory.deletions.entries()) == []
    assert not (tmp_path / "state").exists()
    with Inventory.open(str(tmp_path), "/a") as inventory:
        inventory.save([archive()])
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    with Inventory.open(str(tmp_path), "/a", read_only=True) as inventory:
        assert inventory.load() == by_name([archive()])
        with pytest.raises(ReadOnlyError):
            inventory.save([])
        with pytest.raises(ReadOnlyError):
            inventory.leave()
        with pytest.raises(ReadOnlyError), inventory.exclusive():
            pass
    with Inventory.open(str(tmp_path), "/never", read_only=True) as inventory:
        assert inventory.load() == {}
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_a_state_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for read_only in (False, True):
        with pytest.raises(StoreError):
            Inventory.open(str(tmp_path / "file" / "state"), "/a", read_only=read_only)


def test_a_store_is_closed_where_its_inventory_cannot_be_read(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shelf.Shelf, "__init__", _refuse)
            with pytest.raises(StoreError):
                Inventory.open(str(tmp_path), "/a")
    assert len(os.listdir("/proc/self/fd")) == before


def _refuse(*_: object) -> None:
    raise StoreError(None, "read", "it will not")


# ------------------------------------------------------------------------------------- the lock


def test_one_process_applies_at_a_time_and_a_kill_gives_the_lock_back(tmp_path: Path) -> None:
    def hold(child: Child) -> None:
        with Inventory.open(str(tmp_path), "/a") as inventory, inventory.exclusive():
            child.say("held")
            child.wait_for_word()

    with Child(hold) as child:
        assert child.line() == "held"
        with Inventory.open(str(tmp_path), "/a") as inventory:
            with pytest.raises(LockTimeoutError), inventory.exclusive():
                pass
            with pytest.raises(LockTimeoutError), inventory.exclusive(timeout=0.05):
                pass
            with (
                Inventory.open(str(tmp_path), "/b") as other,
                other.exclusive(),
            ):
                pass
            child.kill()
            child.wait()
            with inventory.exclusive():
                pass


def test_who_waits_is_let_in(tmp_path: Path) -> None:
    def hold(child: Child) -> None:
        with Inventory.open(str(tmp_path), "/a") as inventory, inventory.exclusive():
            child.say("held")
            child.wait_for_word()

    with Child(hold) as child, Inventory.open(str(tmp_path), "/a") as inventory:
        assert child.line() == "held"
        child.go()
        with inventory.exclusive(timeout=60):
            pass
        assert child.end() == []


@pytest.mark.parametrize("path", [None, "lock"])
def test_two_threads_do_not_apply_together_either(path: str | None, tmp_path: Path) -> None:
    inventory = Inventory(MemoryStore(), lock=path and str(tmp_path / path))
    with inventory.exclusive(), pytest.raises(LockTimeoutError), inventory.exclusive():
        pass


@pytest.mark.parametrize("call", ["open", "try_lock"])
def test_a_lock_that_cannot_be_taken_is_an_error_of_the_store(call: str, tmp_path: Path) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise PermissionError(13, "not you")

    system = SystemCalls()
    setattr(system, call, fails)
    inventory = Inventory(MemoryStore(), lock=str(tmp_path / "lock"), system=system)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StoreError), inventory.exclusive():
        pass
    assert len(os.listdir("/proc/self/fd")) == before
