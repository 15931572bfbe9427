"""What was deleted is recorded before, settled after, and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit import CheckpointManager, FileStore, MemoryStore, Schema
from checkpointkit.archives.kept import deletions
from checkpointkit.archives.kept.deletions import IN_A_BATCH, Deletion, DeletionLog
from checkpointkit.archives.kept.formats import DELETIONS
from checkpointkit.archives.model import Container
from checkpointkit.errors import CorruptCheckpointError, StoreError, VersionTooNewError
from checkpointkit.testing import FaultyStore
from tests.archives.keeping import NAMES, TEXTS, WEB, OneByOne, deaths, rot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ANY = st.builds(
    Deletion,
    name=NAMES,
    container=st.none() | st.builds(Container, TEXTS, TEXTS, TEXTS),
    size=st.integers(0, 2**63),
    device=st.integers(0, 2**64 - 1),
    inode=st.integers(0, 2**64 - 1),
    mtime_ns=st.integers(-(2**63), 2**70),
    rule=TEXTS,
    words=TEXTS,
    at_ns=st.integers(0, 2**70),
    directory_inode=st.integers(0, 2**64 - 1),
)


def deletion(name: str) -> Deletion:
    return Deletion(
        name=name,
        container=WEB,
        size=9216,
        device=1,
        inode=2,
        mtime_ns=3,
        rule="container-count",
        words="the 11th newest of default/web/app; 10 are kept",
        at_ns=5,
    )


def batch(count: int, start: int = 0) -> list[Deletion]:
    return [deletion(str(number)) for number in range(start, start + count)]


def done(log: DeletionLog, planned: Sequence[Deletion]) -> int:
    number = log.begin(planned)
    log.finish(number, ["deleted"] * len(planned))
    return number


def told(log: DeletionLog) -> int:
    return len(log.problems)


def names(log: DeletionLog) -> list[str]:
    return [one.name for one in log.entries()]


@given(st.lists(st.lists(ANY, min_size=1, max_size=4), max_size=4), TEXTS)
@settings(max_examples=50)
def test_any_deletions_are_given_back_newest_first(
    batches: list[list[Deletion]], outcome: str
) -> None:
    store = MemoryStore()
    expected: list[Deletion] = []
    for planned in batches:
        log = DeletionLog(store)
        number = log.begin(planned)
        assert DeletionLog(store).unfinished() == [(number, tuple(planned))]
        log.finish(number, [outcome] * len(planned))
        assert DeletionLog(store).unfinished() == []
        expected += (evolve(one, outcome=outcome) for one in planned)
    assert list(DeletionLog(store).entries()) == expected[::-1]


def test_a_batch_costs_one_save_before_and_one_after() -> None:
    store = FaultyStore(MemoryStore())
    log = DeletionLog(store)
    for start in range(0, 5 * IN_A_BATCH, IN_A_BATCH):
        done(log, batch(IN_A_BATCH, start))
    assert store.calls["write"] == 10
    assert len(store.keys()) == 5


def test_small_batches_share_a_checkpoint() -> None:
    store = MemoryStore()
    log = DeletionLog(store)
    assert [done(log, batch(100, 100 * number)) for number in range(11)] == [
        100 * number for number in range(11)
    ]
    assert store.keys() == ("deleted-000000000000", "deleted-000000000500", "deleted-000000001000")
    assert names(log) == [str(number) for number in range(1099, -1, -1)]


@pytest.mark.parametrize("count", [0, IN_A_BATCH + 1])
def test_a_batch_is_neither_empty_nor_too_large(count: int) -> None:
    with pytest.raises(ValueError, match="512"):
        DeletionLog(MemoryStore()).begin(batch(count))


@pytest.mark.parametrize(("number", "count"), [(0, 2), (1, 3), (7, 1), (-1, 3)])
def test_what_was_not_begun_cannot_be_finished(number: int, count: int) -> None:
    log = DeletionLog(MemoryStore())
    log.begin(batch(3))
    with pytest.raises(ValueError, match="no batch"):
        log.finish(number, ["deleted"] * count)
    assert [found for found, _ in log.unfinished()] == [0]


def test_nothing_was_ever_begun() -> None:
    log = DeletionLog(MemoryStore())
    assert log.unfinished() == []
    assert names(log) == []
    with pytest.raises(ValueError, match="no batch"):
        log.finish(0, [])


def test_what_a_kill_has_left_is_found_however_much_came_after() -> None:
    store = MemoryStore()
    log = DeletionLog(store)
    first = log.begin(batch(3))
    for start in range(3):
        done(log, batch(IN_A_BATCH, start))
    last = log.begin(batch(2))
    assert [number for number, _ in DeletionLog(store).unfinished()] == [first, last]
    log.finish(first, ["kept: it is pinned"] * 3)
    assert [number for number, _ in log.unfinished()] == [last]
    done(log, batch(IN_A_BATCH))
    assert [number for number, _ in log.unfinished()] == [last]
    log.finish(last, ["deleted", "kept: it is pinned"])
    done(log, batch(IN_A_BATCH))
    assert log.unfinished() == []
    assert sum(one.outcome.startswith("kept") for one in log.entries()) == 4


def test_to_find_what_is_unfinished_does_not_take_reading_all() -> None:
    store = FaultyStore(MemoryStore())
    log = DeletionLog(store)
    for _ in range(20):
        done(log, batch(IN_A_BATCH))
    before = store.calls["read"]
    assert log.unfinished() == []
    assert store.calls["read"] == before + 1


def test_old_records_go_but_for_those_that_are_unfinished() -> None:
    store = FaultyStore(MemoryStore())
    log = DeletionLog(store, keep=1000)
    first = log.begin(batch(1))
    for start in range(1, 6000, 500):
        done(log, batch(500, start))
        found = names(log)
        assert found[:1000] == [str(number) for number in range(start + 499, -1, -1)][:1000]
        assert len(found) <= 1000 + 2 * IN_A_BATCH
    assert [number for number, _ in log.unfinished()] == [first]
    log.finish(first, ["deleted"])
    done(log, batch(IN_A_BATCH, 6000))
    done(log, batch(IN_A_BATCH, 7000))
    assert "0" not in names(log)
    assert len(list(store.keys())) <= 5


def test_by_default_a_hundred_thousand_are_kept() -> None:
    assert deletions.KEPT == 100_000


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_anywhere_leaves_a_record_of_whatever_may_be_deleted(*, after: bool) -> None:
    for change in range(20):
        memory = MemoryStore()
        log = DeletionLog(memory, keep=600)
        for start in range(0, 1000, 500):
            done(log, batch(500, start))
        store = OneByOne(memory)
        begun: list[int] = []

        def work(store: OneByOne = store, begun: list[int] = begun) -> None:
            log = DeletionLog(store, keep=600)
            begun.append(log.begin(batch(500, 1000)))
            log.finish(begun[0], ["deleted"] * 500)

        died = deaths(store, work, change, after=after)
        again = DeletionLog(memory, keep=600)
        recorded = [name for name in names(again) if int(name) >= 1000]
        assert len(recorded) in (0, 500)
        assert recorded or not begun, "nothing goes before its record is durable"
        for number, planned in again.unfinished():
            again.finish(number, ["deleted"] * len(planned))
        assert again.unfinished() == []
        assert len(names(again)) >= 600
        if not died:
            break
    else:
        pytest.fail("it never came to its end")


def test_without_its_record_nothing_may_be_deleted() -> None:
    store = FaultyStore(MemoryStore())
    log = DeletionLog(store)
    store.fail("write")
    with pytest.raises(StoreError):
        log.begin(batch(1))
    assert log.unfinished() == []


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("deleted-*/*") if path.name.isdigit())


def test_damaged_records_are_told_and_the_others_stay(tmp_path: Path) -> None:
    with FileStore(tmp_path, history=0) as store:
        log = DeletionLog(store)
        first = log.begin(batch(1, 10))
        done(log, batch(512, 1000))
        done(log, batch(400, 2000))
        rot(files(tmp_path)[-1])
        assert {int(name) // 1000 for name in names(log)} == {0, 1}
        assert told(log) == 1
        assert [number for number, _ in log.unfinished()] == [first]
        number = log.begin(batch(1, 3000))
        assert number == 513 + 512
        assert [number for number, _ in log.unfinished()] == [first, number]
        log.finish(number, ["deleted"])
        assert {int(name) // 1000 for name in names(log)} == {0, 1, 3}
        rot(files(tmp_path)[0])
        assert {int(name) // 1000 for name in names(log)} == {1, 3}
        assert told(log) == 2
        assert log.unfinished() == []
        assert told(log) == 1
        with pytest.raises(CorruptCheckpointError):
            log.finish(first, ["deleted"])


def test_what_is_unfinished_before_two_damaged_parts_is_found(tmp_path: Path) -> None:
    with FileStore(tmp_path, history=0) as store:
        log = DeletionLog(store)
        first = log.begin(batch(1, 10))
        done(log, batch(512, 1000))
        done(log, batch(512, 2000))
        for path in files(tmp_path)[1:]:
            rot(path)
        assert [number for number, _ in log.unfinished()] == [first]
        assert told(log) == 2


def test_what_a_newer_release_has_recorded_is_left_alone() -> None:
    store = MemoryStore()
    log = DeletionLog(store)
    number = log.begin(batch(1))
    newer = Schema(DELETIONS.cls, kind=DELETIONS.kind, version=2, migrations={1: lambda old: old})
    CheckpointManager(store, newer).create("deleted-000000000000", DELETIONS.cls((), ()))
    for attempt in (
        lambda: log.begin(batch(1)),
        lambda: log.finish(number, ["deleted"]),
        log.unfinished,
        lambda: names(log),
    ):
        with pytest.raises(VersionTooNewError):
            attempt()
