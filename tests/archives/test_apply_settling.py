"""What a kill has left open in the records is settled by what is there, and by nothing else."""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from checkpointkit import MemoryStore
from checkpointkit.archives.disk.apply import settle_idle, settle_log
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.kept.deletions import Deletion, DeletionLog
from checkpointkit.archives.kept.inventory import Inventory
from checkpointkit.errors import ReadOnlyError, StoreError
from checkpointkit.testing import FaultyStore
from tests.archives.disk import FailingArchiveCalls, calls_with, look, put
from tests.archives.making import START, archive, name_of
from tests.support.children import Child

if TYPE_CHECKING:
    from pathlib import Path

    from checkpointkit.archives.disk.scan import Scan
    from checkpointkit.archives.model import Archive

NAMES = [name_of(at=START + at) for at in range(4)]
NAME = NAMES[0]
INTERRUPTED = "interrupted before it was deleted"


@pytest.fixture
def log() -> DeletionLog:
    return DeletionLog(MemoryStore())


@pytest.fixture
def place(quick: Path) -> Path:
    made = quick / "checkpoints"
    made.mkdir()
    for at, name in enumerate(NAMES):
        put(made / name, archive(checkpointed_ns=(START + at) * 10**9))
    return made


def outcomes(log: DeletionLog) -> dict[str, str]:
    return {each.name: each.outcome for each in log.entries()}


def deletion_of(archive: Archive, found: Scan) -> Deletion:
    return Deletion(
        name=archive.name,
        container=archive.container,
        size=archive.size,
        device=archive.device,
        inode=archive.inode,
        mtime_ns=archive.mtime_ns,
        rule="max-age",
        words="old",
        at_ns=5,
        directory_inode=found.inode,
    )


# ---------------------------------------------------------------------------- by what is there


def test_what_was_cut_off_is_settled(place: Path, log: DeletionLog) -> None:
    found = look(place)
    records = [deletion_of(each, found) for each in found.archives]
    log.begin(records[:3])
    log.begin(records[3:])
    (place / NAMES[0]).unlink()
    put(place / "new").replace(place / NAMES[1])
    with ArchiveDirectory.open(str(place)) as directory:
        settle_log(directory, log)
        settle_log(directory, log)
    assert log.unfinished() == []
    interrupted = "interrupted before it was deleted"
    assert [outcomes(log)[name] for name in NAMES] == ["deleted", "deleted"] + [interrupted] * 2


def test_nothing_counts_as_deleted_because_its_file_system_is_not_there(
    place: Path, log: DeletionLog
) -> None:
    found = look(place)
    record = evolve(
        deletion_of(found.archives[0], found),
        name="checkpoint-gone.tar",
        device=found.device + 1,
        inode=1,
        mtime_ns=1,
    )
    same = found.archives[0]
    log.begin(
        [
            record,
            evolve(record, name=NAMES[1]),
            evolve(record, name=NAME, inode=same.inode, mtime_ns=same.mtime_ns),
        ]
    )
    with ArchiveDirectory.open(str(place)) as directory:
        settle_log(directory, log)
    unknown = "not known: its file system was not there when this was looked at"
    assert outcomes(log) == {
        "checkpoint-gone.tar": unknown,
        NAMES[1]: unknown,
        NAME: "interrupted before it was deleted",
    }


def test_nothing_is_settled_in_another_directory(place: Path, log: DeletionLog) -> None:
    found = look(place)
    assert found.archives
    log.begin([deletion_of(found.archives[0], found)])
    with ArchiveDirectory.open(str(place)) as directory:
        place.rename(place.with_name("aside"))
        place.mkdir()
        with pytest.raises(DirectoryError, match="another directory"):
            settle_log(directory, log)
    assert len(log.unfinished()) == 1


def test_nothing_is_settled_by_a_disk_that_fails(place: Path, log: DeletionLog) -> None:
    found = look(place)
    log.begin([deletion_of(found.archives[0], found)])
    calls = FailingArchiveCalls(place)
    with ArchiveDirectory.open(str(place), system=calls) as directory:
        calls.break_at(0, errno.EIO, match=f"stat {NAME}")
        with pytest.raises(DirectoryError, match="EIO") as caught:
            settle_log(directory, log)
    assert isinstance(caught.value.__cause__, OSError)
    assert len(log.unfinished()) == 1


def test_what_was_written_to_since_may_be_another_one(place: Path, log: DeletionLog) -> None:
    found = look(place)
    log.begin([deletion_of(each, found) for each in found.archives])
    os.utime(place / NAMES[1])
    with ArchiveDirectory.open(str(place)) as directory:
        settle_log(directory, log)
    assert outcomes(log) == dict.fromkeys(NAMES, INTERRUPTED) | {
        NAMES[1]: "not known: it has changed"
    }


@pytest.mark.parametrize("noted", [True, False])
def test_nothing_counts_as_deleted_because_another_directory_is_there(
    place: Path, log: DeletionLog, *, noted: bool
) -> None:
    found = look(place)
    records = [deletion_of(each, found) for each in found.archives[:3]]
    log.begin([each if noted else evolve(each, directory_inode=0) for each in records])
    aside = place.rename(place.with_name("aside"))
    place.mkdir()
    put(place / NAMES[1])
    (aside / NAMES[2]).rename(place / NAMES[2])
    with ArchiveDirectory.open(str(place)) as directory:
        settle_log(directory, log)
    elsewhere = "not known: another directory was there when this was looked at"
    assert outcomes(log) == {NAME: elsewhere, NAMES[1]: elsewhere, NAMES[2]: INTERRUPTED}


def test_who_deletes_or_pins_is_waited_for(place: Path, log: DeletionLog) -> None:
    found = look(place)
    log.begin([deletion_of(found.archives[0], found)])
    ticks = itertools.count(0, 10)
    system = calls_with(monotonic=lambda: next(ticks), sleep=lambda seconds: None)
    with (
        ArchiveDirectory.open(str(place), system=system) as directory,
        ArchiveDirectory.open(str(place)) as other,
    ):
        with other.locked("delete in"), pytest.raises(DirectoryError, match="has had its lock"):
            settle_log(directory, log)
        assert len(log.unfinished()) == 1
        settle_log(directory, log)
    assert log.unfinished() == []


# ------------------------------------------------------------------------- by whoever looks


def test_who_only_looks_settles_what_a_kill_has_left(quick: Path, place: Path) -> None:
    state = str(quick / "state")
    found = look(place)
    with (
        Inventory.open(state, str(place)) as inventory,
        ArchiveDirectory.open(str(place)) as directory,
    ):
        assert settle_idle(directory, inventory) == ()
        inventory.deletions.begin([deletion_of(found.archives[0], found)])
        (place / NAME).unlink()
        assert settle_idle(directory, inventory) == ()
        assert outcomes(inventory.deletions) == {NAME: "deleted"}


def test_what_another_process_is_about_to_delete_is_not_settled(quick: Path, place: Path) -> None:
    state = str(quick / "state")
    found = look(place)

    def work(child: Child) -> None:
        with Inventory.open(state, str(place)) as inventory, inventory.exclusive():
            number = inventory.deletions.begin([deletion_of(found.archives[0], found)])
            child.say("begun")
            child.wait_for_word()
            (place / NAME).unlink()
            inventory.deletions.finish(number, ["deleted"])
            child.say("done")

    with Child(work) as child, ArchiveDirectory.open(str(place)) as directory:
        assert child.line() == "begun"
        with Inventory.open(state, str(place)) as inventory:
            assert settle_idle(directory, inventory) == ()
            assert len(inventory.deletions.unfinished()) == 1
            child.go()
            assert child.line() == "done"
            assert outcomes(inventory.deletions) == {NAME: "deleted"}


def test_what_cannot_be_settled_stops_no_look(place: Path) -> None:
    found = look(place)
    store = FaultyStore(MemoryStore())
    inventory = Inventory(store)
    inventory.deletions.begin([deletion_of(found.archives[0], found)])
    store.fail("write", StoreError("deleted", "save", "No space left on device (ENOSPC)"))
    with ArchiveDirectory.open(str(place)) as directory:
        (problem,) = settle_idle(directory, inventory)
    assert problem.startswith("what became of deletions that were cut off is not recorded: ")
    assert "ENOSPC" in problem


def test_who_may_not_write_cannot_settle(quick: Path, place: Path) -> None:
    state = str(quick / "state")
    Inventory.open(state, str(place)).close()
    with (
        Inventory.open(state, str(place), read_only=True) as inventory,
        ArchiveDirectory.open(str(place)) as directory,
        pytest.raises(ReadOnlyError),
    ):
        settle_idle(directory, inventory)
