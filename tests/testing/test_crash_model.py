"""The model behind the crash states: what may be lost, what may not, and what is recorded."""

from __future__ import annotations

import itertools
import os
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checkpointkit import FileStore, MemoryStore
from checkpointkit.errors import StoreError
from checkpointkit.stores.base import Entry
from checkpointkit.testing.crash import (
    QUICK,
    CrashViolation,
    Scene,
    Workload,
    enumerate_crashes,
    save,
)
from checkpointkit.testing.crash.disk import Disk
from checkpointkit.testing.crash.drawing import draw_operations, draw_tree
from checkpointkit.testing.crash.judge import Expectation, Judge
from checkpointkit.testing.crash.log import DAMAGED, Change, Log, LoggedStore, look
from checkpointkit.testing.crash.numbers import draw
from checkpointkit.testing.crash.recording import RecordingCalls
from checkpointkit.testing.crash.states import (
    SECTOR,
    Cutoff,
    certain_beginning,
    contents_of,
    cut_off,
    states,
)
from checkpointkit.testing.crash.tree import (
    ROOT,
    Cut,
    Enter,
    Leave,
    Move,
    Operation,
    Sync,
    Tree,
    Write,
)
from tests.support.states import raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from checkpointkit.stores.base import Expected, Seal
    from checkpointkit.stores.files.system import SystemCalls
    from checkpointkit.testing.crash.numbers import Drawn


def left(*operations: Operation, start: Tree | None = None) -> set[tuple[tuple[str, bytes], ...]]:
    """Return each state that a cut may leave, as paths and bytes."""
    cutoff = cut_off(start or Tree(), operations, Random(0), QUICK)
    return {
        tuple(sorted((path, tree.files.get(node, b"/")) for path, node in tree.paths().items()))
        for _, tree in states(cutoff, Random(0), QUICK)
    }


# ------------------------------------------------------------------------------ what may be lost


def test_what_was_synced_is_there_and_what_was_not_may_be_there_or_not() -> None:
    made = (Enter(ROOT, "a", 1), Write(1, 0, b"xy"))
    assert left(*made, Sync(1), Sync(ROOT)) == {(("a", b"xy"),)}
    assert left(*made, Sync(1)) == {(), (("a", b"xy"),)}
    assert left(*made, Sync(ROOT)) == {(("a", data),) for data in (b"", b"xy", b"\0\0", b"x")}


def test_a_sync_of_a_file_says_nothing_of_its_name_and_the_other_way_round() -> None:
    start = Tree({ROOT: {"d": 1}, 1: {}}, {})
    made = (Enter(1, "a", 2), Write(2, 0, b"x"))
    assert left(*made, Sync(2), start=start) == {(("d", b"/"),), (("d", b"/"), ("d/a", b"x"))}
    assert (("d", b"/"), ("d/a", b"")) in left(*made, Sync(1), start=start)


def test_a_rename_never_loses_both_names_and_one_sync_makes_it_certain() -> None:
    start = Tree({ROOT: {"a": 1, "d": 2}, 2: {}}, {1: b"x"})
    moved = Move(ROOT, "a", 2, "b", 1, is_directory=False)
    before, after = (("a", b"x"), ("d", b"/")), (("d", b"/"), ("d/b", b"x"))
    both = (("a", b"x"), ("d", b"/"), ("d/b", b"x"))
    assert left(moved, start=start) == {before, after, both}
    assert left(moved, Sync(2), start=start) == {after, both}
    assert left(moved, Sync(ROOT), start=start) == {after}


def test_a_directory_never_has_two_names_and_takes_along_what_is_in_it() -> None:
    start = Tree({ROOT: {"d": 1, "e": 3}, 1: {"a": 2}, 3: {}}, {2: b"x"})
    moved = Move(ROOT, "d", 3, "f", 1, is_directory=True)
    assert left(moved, start=start) == {
        (("d", b"/"), ("d/a", b"x"), ("e", b"/")),
        (("e", b"/"), ("e/f", b"/"), ("e/f/a", b"x")),
    }


def test_a_name_that_was_taken_away_may_come_back_until_its_directory_is_synced() -> None:
    start = Tree({ROOT: {"a": 1}}, {1: b"x"})
    assert left(Leave(ROOT, "a"), start=start) == {(), (("a", b"x"),)}
    assert left(Leave(ROOT, "a"), Sync(ROOT), start=start) == {()}


def test_an_overwrite_of_synced_bytes_leaves_each_sector_old_or_new_or_blank() -> None:
    old, new = b"o" * 2 * SECTOR, b"n" * 2 * SECTOR
    found = contents_of(old, [Write(1, 0, new)], Random(0), 2)
    assert {data[:1] + data[SECTOR : SECTOR + 1] for data in found} == {
        b"oo",
        b"nn",
        b"on",
        b"no",
        b"\0\0",
    }
    assert {len(data) for data in found} == {2 * SECTOR}


def test_a_file_may_have_grown_without_its_bytes_and_may_be_cut_short_anywhere() -> None:
    data = bytes(range(1, 256)) * 5
    found = contents_of(b"", [Write(1, 0, data)], Random(0), 2)
    assert b"\0" * len(data) in found
    assert {SECTOR, 2 * SECTOR, 1, len(data) // 2, len(data) - 1} <= {len(item) for item in found}
    assert data[:SECTOR] + b"\0" * (len(data) - SECTOR) in found
    assert contents_of(b"abc", [Cut(1, 1)], Random(0), 2) == [b"abc", b"a", b"\0"]
    assert contents_of(b"abc", [Write(1, 0, b"abc")], Random(0), 2) == [b"abc"]


@given(
    st.lists(
        st.one_of(
            st.builds(Write, st.integers(1, 2), st.integers(0, 3), st.binary(max_size=3)),
            st.builds(Cut, st.integers(1, 2), st.integers(0, 3)),
            st.builds(Enter, st.just(ROOT), st.sampled_from("ab"), st.integers(1, 2)),
            st.builds(Leave, st.just(ROOT), st.sampled_from("ab")),
            st.builds(Sync, st.integers(0, 2)),
        ),
        max_size=8,
    )
)
@example([Write(1, 0, b"x"), Cut(1, 0), Write(2, 0, b"x"), Enter(0, "a", 1), Enter(0, "b", 2)])
def test_a_cut_may_lose_all_that_was_not_synced_or_nothing_and_syncing_all_leaves_one_state(
    operations: list[Operation],
) -> None:
    start = Tree(files={1: b"", 2: b""})
    done, certain = start.copy(), start.copy()
    last = {op.node: at for at, op in enumerate(operations) if isinstance(op, Sync)}
    for at, operation in enumerate(operations):
        done.apply(operation)
        node = operation.directory if isinstance(operation, Enter | Leave) else None
        if isinstance(operation, Write | Cut):
            node = operation.file
        if node is not None and last.get(node, -1) > at:
            certain.apply(operation)

    def shown(tree: Tree) -> tuple[tuple[str, bytes], ...]:
        return tuple(sorted((path, tree.files[node]) for path, node in tree.paths().items()))

    found = left(*operations, start=start)
    assert {shown(done), shown(certain)} <= found
    assert left(*operations, Sync(0), Sync(1), Sync(2), start=start) == {shown(done)}


# ------------------------------------------------------------------------- what is judged once


def numbered(cutoff: Cutoff, drawn: Drawn) -> Iterator[tuple[int, dict[str, tuple[int, bytes]]]]:
    """Yield the number of each state, and all that it is: paths, what they name, bytes."""
    for number, tree in states(cutoff, Random(0), QUICK, drawn):
        found = tree.paths().items()
        yield number, {path: (node, tree.files.get(node, b"/")) for path, node in found}


def below(directory: int) -> st.SearchStrategy[Operation]:
    """Return changes of names in a directory, of three files and the one other directory."""
    here, names, files = st.just(directory), st.sampled_from("ab"), st.integers(3, 5)
    there = st.sampled_from([ROOT, 1])
    return st.one_of(
        st.builds(Enter, here, names, files),
        st.builds(Leave, here, names),
        st.builds(Move, here, names, there, names, files, st.just(value=False)),
    )


OPERATIONS = st.lists(
    st.one_of(
        below(ROOT),
        below(1),
        st.builds(Write, st.integers(3, 5), st.integers(0, 2), st.sampled_from([b"x", b"y"])),
        st.builds(Cut, st.integers(3, 5), st.integers(0, 2)),
        st.builds(Sync, st.sampled_from([ROOT, 1, 3, 4, 5])),
    ),
    max_size=8,
)
START = Tree({ROOT: {"d": 1, "a": 3}, 1: {"a": 3, "b": 4}}, {3: b"x", 4: b"y", 5: b""})


@given(OPERATIONS, OPERATIONS)
def test_states_have_the_same_number_if_and_only_if_they_are_equal_whatever_was_cut(
    some: list[Operation], others: list[Operation]
) -> None:
    drawn = draw()
    by_number: dict[int, dict[str, tuple[int, bytes]]] = {}
    for operations in (some, others):
        cutoff = cut_off(START, operations, Random(0), QUICK)
        for number, found in numbered(cutoff, drawn):
            assert by_number.setdefault(number, found) == found
    distinct = {tuple(sorted(found.items())) for found in by_number.values()}
    assert len(distinct) == len(by_number)


def test_two_files_that_have_changed_places_are_another_state() -> None:
    # A sum of hashes of pairs is the same for both, one time in four.
    drawn, found = draw(), []
    for x, y in itertools.permutations([bytes([n]) for n in range(16)], 2):
        tree = Tree({ROOT: {"a": 1, "b": 2}}, {1: x, 2: y})
        found += [number for number, _ in numbered(Cutoff(tree, [], {}), drawn)]
        pending = Cutoff(tree, [], {1: [x, y], 2: [y, x]})
        found += [number for number, _ in numbered(pending, drawn)]
    assert len(set(found)) == 16 * 15 + 16  # with the equal ones, which only the pending ones have


@given(OPERATIONS)
def test_what_is_certain_after_one_cut_is_so_after_each_later_one(
    operations: list[Operation],
) -> None:
    beginning = certain_beginning(operations)
    later = START.copy()
    for operation in operations[:beginning]:
        later.apply(operation)
    whole = cut_off(START, operations, Random(0), QUICK)
    rest = cut_off(later, operations[beginning:], Random(0), QUICK)
    assert rest == whole


# ------------------------------------------------------------------------------ what is recorded


@pytest.fixture
def calls(quick: Path) -> RecordingCalls:
    (quick / "watched").mkdir()
    return RecordingCalls(str(quick / "watched"))


def test_the_recorded_tree_is_that_of_the_directory(calls: RecordingCalls, quick: Path) -> None:
    at = str(quick / "watched")
    root = calls.open(at, os.O_RDONLY)
    calls.mkdir("d", 0o700, dir_fd=root)
    fd = calls.open("d/a", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=root)
    assert calls.write(fd, b"hello") == 5
    assert calls.write(fd, b" world") == 6
    calls.pwrite(fd, b"J", 0)
    calls.ftruncate(fd, 7)
    calls.fsync(fd)
    calls.close(fd)
    fd = calls.open(f"{at}/d/a", os.O_RDWR)
    assert calls.read(fd, 3) == b"Jel"
    calls.write(fd, b"L")
    calls.link("d/a", "b", src_dir_fd=root, dst_dir_fd=root)
    calls.rename("d/a", "b", src_dir_fd=root, dst_dir_fd=root)  # two names of one file: both stay
    calls.rename("b", "c", src_dir_fd=root, dst_dir_fd=root)
    calls.unlink("d/a", dir_fd=root)
    calls.rmdir("d", dir_fd=root)
    calls.fsync(root)
    calls.close_all()
    assert calls.tree.paths() == {"c": calls.tree.find("c")}
    assert calls.tree.files[calls.tree.paths()["c"]] == (quick / "watched/c").read_bytes()
    assert calls.operations[-1] == Sync(ROOT)
    assert draw_tree(calls.tree) == ("c: 7 bytes",)
    drawn = draw_operations(Tree(), calls.operations)
    assert "* make directory d" not in drawn
    assert "  cut d/a to 7 bytes" in drawn
    assert "  rename b to c" in drawn
    assert "* delete d/a" in drawn


def test_what_lies_outside_is_done_and_not_recorded(calls: RecordingCalls, quick: Path) -> None:
    outside = str(quick)
    root = calls.open(outside, os.O_RDONLY)
    fd = calls.open(f"{outside}/a", os.O_RDWR | os.O_CREAT, 0o600)
    calls.write(fd, b"abc")
    calls.pwrite(fd, b"x", 0)
    calls.ftruncate(fd, 2)
    calls.fsync(fd)
    calls.close(fd)
    fd = calls.open(f"{outside}/a", os.O_RDONLY)
    assert calls.read(fd, 9) == b"xb"
    calls.close(fd)
    calls.link("a", "b", src_dir_fd=root, dst_dir_fd=root)
    calls.rename("a", "c", src_dir_fd=root, dst_dir_fd=root)
    calls.unlink("b", dir_fd=root)
    calls.mkdir("d", dir_fd=root)
    calls.rmdir("d", dir_fd=root)
    calls.fsync(root)
    calls.close(root)
    assert (quick / "c").read_bytes() == b"xb"
    assert calls.operations == []
    assert calls.tree == Tree()


def test_a_directory_becomes_each_state_whatever_it_was_before(quick: Path) -> None:
    disk = Disk(quick / "court")
    wanted = [
        Tree({0: {"a": 1, "d": 2}, 2: {"b": 1, "c": 3}}, {1: b"one", 3: b"three"}),
        Tree({0: {"a": 1, "e": 2}, 2: {"c": 3}}, {1: b"one", 3: b"other"}),
        Tree({0: {"a": 2, "d": 1}, 2: {}}, {1: b"a file by now"}),
        Tree(),
    ]
    for tree in [*wanted, *reversed(wanted)]:
        disk.become(tree)
        found = {
            str(path.relative_to(disk.path)): path.read_bytes() if path.is_file() else b"/"
            for path in disk.path.rglob("*")
        }
        assert found == {path: tree.files.get(node, b"/") for path, node in tree.paths().items()}
        linked = disk.path / "a"
        if "d/b" in found:
            assert linked.stat().st_ino == (disk.path / "d/b").stat().st_ino


# -------------------------------------------------------------------- what is told, and to whom


def test_a_logged_store_passes_everything_on_and_has_no_scopes() -> None:
    log = Log(lambda: 0)
    store = LoggedStore(MemoryStore(), log, set())
    store.write("a", raw(b"x"))
    assert store.read("a") == b"x"
    assert store.max_bytes == MemoryStore().max_bytes
    assert "scopes" not in store.features
    with pytest.raises(StoreError, match="a store of its own"):
        store.scope("devices")
    assert log.changes["a"][0].state == b"x"
    store.set_aside("a", store.history("a")[0].revision)
    assert look(store, "a") == DAMAGED
    assert log.changes["a"][-1].state == DAMAGED
    store.close()
    with pytest.raises(StoreError):
        store.keys()


def test_a_workload_that_fails_is_a_violation(quick: Path) -> None:
    def fail(scene: Scene) -> None:
        raise StoreError("a", "save", "on purpose")

    report = enumerate_crashes(files, quick, [Workload("bad", fail, save(5))])
    (violation, *_) = report.violations
    assert violation.problems == (
        (
            "it failed: StoreError: checkpoint 'a': save failed: on purpose; the previous state "
            "is unchanged"
        ),
    )


def files(path: Path, system: SystemCalls) -> FileStore:
    return FileStore(path / "store", system=system)


def test_a_store_that_opens_no_more_is_a_violation(quick: Path) -> None:
    opened = []

    def open_store(path: Path, system: SystemCalls) -> FileStore:
        if path.name == "court":
            opened.append(path)
            raise StoreError(None, "open", "on purpose")
        return files(path, system)

    report = enumerate_crashes(open_store, quick, [Workload("one", save(5), save(6))])
    assert len(report.violations) == len(opened) == 5
    assert "the store does not open: " in str(report)
    assert "on purpose" in str(report)
    assert "5 violations" in str(report)


def test_a_violation_without_a_trace_is_its_problems() -> None:
    assert str(CrashViolation("a save", ("one", "two"))) == "a save: one\na save: two"


@pytest.mark.parametrize("where", ["read", "history", "write"])
def test_an_unexplained_error_is_a_violation(quick: Path, where: str) -> None:
    class Failing(FileStore):
        def fail(self, method: str, key: str) -> None:
            if method == where and "court" in self.path:
                raise StoreError(key, method, "on purpose")

        def history(self, key: str) -> tuple[Entry, ...]:
            self.fail("history", key)
            return super().history(key)

        def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
            self.fail("write", key)
            return super().write(key, seal, expected=expected)

        def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
            self.fail("read", key)
            return super().read(key, generation, limit)

    def open_failing(path: Path, system: SystemCalls) -> FileStore:
        return Failing(path / "store", system=system)

    report = enumerate_crashes(open_failing, quick, [Workload("one", save(5), save(6))])
    assert "on purpose" in str(report) or where == "read"
    assert report.violations


# ------------------------------------------------------------------------------------ the judge


def judged(store: MemoryStore, *problems: str, **options: Any) -> None:
    """Have a store judged by hand-made expectations for the key `a`."""
    log = Log(lambda: 0)
    log.bytes["a", 1].add(b"one")
    log.changes["a"].append(Change(b"one", 1, -1, -1, options.pop("older", ())))
    known: dict[str, Any] = {"under_way": (), "seen": b"one", "window": True, "highest": 1}
    expectation = Expectation(log.changes["a"][0], **known | options)
    verdict = Judge(log).judge(lambda: store, {"a": expectation})
    assert [text for text in verdict.problems if not text.startswith("verify")] == list(problems)


def holding(kind: Callable[[], MemoryStore] = MemoryStore, saves: int = 1) -> MemoryStore:
    store = kind()
    for _ in range(saves):
        store.write("a", raw(b"one"))
    return store


def test_a_state_as_it_was_acknowledged_is_fine() -> None:
    judged(holding())


def test_a_state_under_another_number_is_reported() -> None:
    judged(holding(saves=2), "'a' has generation 1 under the number 2")


def test_what_a_reader_saw_is_reported_once_its_name_was_synced() -> None:
    newer = Change(b"two", 2, 0, 9)
    judged(
        holding(),
        "'a': what a reader was given is gone after its sync",
        under_way=(newer,),
        seen=b"two",
        window=False,
    )
    judged(holding(), under_way=(newer,), seen=b"two")


def test_a_number_that_was_acknowledged_and_is_used_again_is_reported() -> None:
    judged(holding(), "'a' uses generation 2 again", highest=2)


def test_a_further_save_that_does_not_show_is_reported() -> None:
    class Stuck(MemoryStore):
        def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
            return b"one"

    judged(holding(Stuck), "a further save of 'a' shows something else")


def test_lost_generations_are_reported() -> None:
    judged(
        holding(partial(MemoryStore, history=0)),
        "'a' has lost its older generations [7]",
        "a further save of 'a' has lost generation 1",
        older=(7,),
    )


def test_bytes_that_nobody_has_saved_are_reported() -> None:
    store = MemoryStore()
    store.write("a", raw(b"junk"))
    judged(store, "'a' shows 4 bytes that nobody has saved; promised was generation 1")
    store = MemoryStore()
    for data in (b"junk", b"one"):
        store.write("a", raw(data))
    judged(
        store,
        "'a' has generation 1 under the number 2",
        "generation 1 of 'a' has bytes that nobody has saved",
    )


def test_what_is_there_is_noted_and_what_is_damaged_has_no_bytes() -> None:
    store = holding(saves=2)
    store.set_aside("a", store.history("a")[0].revision)
    log = Log(lambda: 0)
    log.note_all(store)
    assert log.changes["a"][0].state == DAMAGED
    assert log.bytes == {("a", 1): {b"one"}, ("a", 2): set()}


def test_a_seal_may_be_called_again_and_has_to_be_called() -> None:
    class Twice(MemoryStore):
        def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
            seal(7, None)
            return super().write(key, seal, expected=expected)

    log = Log(lambda: 0)
    store = cast("MemoryStore", Twice())
    LoggedStore(store, log, set()).write("a", raw(b"x"))
    assert [change.generation for change in log.changes["a"]] == [1]

    class Never(MemoryStore):
        def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
            return Entry(1, "", 0)

    store = cast("MemoryStore", Never())
    with pytest.raises(AssertionError, match="its seal was never called"):
        LoggedStore(store, log, set()).write("a", raw(b"x"))
