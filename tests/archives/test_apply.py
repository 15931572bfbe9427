"""What a plan says goes, if it still is what was planned; nothing else does, whatever happens."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from checkpointkit import MemoryStore
from checkpointkit.archives.disk.apply import Applied, apply
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.kept.deletions import IN_A_BATCH, Deletion, DeletionLog
from checkpointkit.archives.model import State
from tests.archives.disk import (
    FailingArchiveCalls,
    calls_with,
    go,
    look,
    plan_for,
    put,
    reasons,
    unchanged,
)
from tests.archives.making import START, WEB, archive, name_of
from tests.support.calls import descriptors
from tests.support.children import Child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


NAMES = [name_of(at=START + at) for at in range(4)]
NAME = NAMES[0]


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


# ------------------------------------------------------------------------------- what goes


def test_what_the_plan_has_go_is_gone_and_recorded(place: Path, log: DeletionLog) -> None:
    found = look(place)
    blocks = sum((place / name).stat().st_blocks * 512 for name in NAMES[:2])
    held = descriptors()
    applied = go(place, plan_for(found, NAMES[:2]), log)
    assert unchanged(place, NAMES[2:])
    assert [each.name for each in applied.deleted] == NAMES[:2], "oldest first"
    assert (applied.skipped, applied.freed, applied.problems) == ((), blocks, ())
    newest, oldest = log.entries()
    assert oldest == Deletion(
        name=NAME,
        container=WEB,
        size=found.archives[0].size,
        device=found.archives[0].device,
        inode=found.archives[0].inode,
        mtime_ns=found.archives[0].mtime_ns,
        rule="max-age",
        words=oldest.words,
        at_ns=5,
        directory_inode=place.stat().st_ino,
        outcome="deleted",
    )
    assert newest.name == NAMES[1]
    assert oldest.words
    assert log.unfinished() == []
    assert descriptors() == held


def test_a_plan_that_deletes_nothing_does_nothing(place: Path, log: DeletionLog) -> None:
    assert go(place, plan_for(look(place), []), log) == Applied((), (), 0, ())
    assert unchanged(place, NAMES)
    assert list(log.entries()) == []


def test_a_broken_one_may_go_too(place: Path, log: DeletionLog) -> None:
    put(place / "checkpoint-broken.tar", b"no archive")
    assert go(place, plan_for(look(place)), log).skipped == ()
    assert unchanged(place, [])


def test_each_batch_is_recorded_ahead_of_it(quick: Path, log: DeletionLog) -> None:
    for n in range(2 * IN_A_BATCH + 1):
        (quick / f"checkpoint-{n:05d}.tar").touch()
    began: list[int] = []
    begin = log.begin

    def count(deletions: list[Deletion]) -> int:
        assert all((quick / each.name).exists() for each in deletions)
        assert log.unfinished() == []
        began.append(len(deletions))
        return begin(deletions)

    log.begin = count  # type: ignore[method-assign,assignment]
    told: list[tuple[int, int]] = []
    total = 2 * IN_A_BATCH + 1
    plan = plan_for(look(quick))
    applied = go(quick, plan, log, progress=lambda done, of: told.append((done, of)))
    assert began == [IN_A_BATCH, IN_A_BATCH, 1]
    assert told == [(IN_A_BATCH, total), (2 * IN_A_BATCH, total), (total, total)]
    assert len(applied.deleted) == total
    assert len(list(log.entries())) == total
    assert unchanged(quick, [])


def test_the_directory_is_synced_after_a_batch(place: Path, log: DeletionLog) -> None:
    calls = FailingArchiveCalls(place)
    go(place, plan_for(look(place)), log, system=calls)
    changes = [each for each in calls.changes() if "lock" not in each]
    assert changes == [*(f"unlink {name}" for name in NAMES), "fsync ."]
    (place / NAME).touch()
    plan = plan_for(look(place))
    (place / NAME).write_bytes(b"changed")
    go(place, plan, log, system=calls)
    assert "fsync ." not in calls.changes(), "nothing was deleted"


def test_bytes_are_free_only_if_it_was_the_last_name(place: Path, log: DeletionLog) -> None:
    os.link(place / NAME, place.parent / "kept")
    applied = go(place, plan_for(look(place), [NAME]), log)
    assert ([each.name for each in applied.deleted], applied.freed) == ([NAME], 0)
    assert (place.parent / "kept").read_bytes()


def test_a_hole_frees_what_it_takes_and_no_more(place: Path, log: DeletionLog) -> None:
    with (place / NAME).open("r+b") as file:
        file.truncate(2**30)
    blocks = (place / NAME).stat().st_blocks * 512
    assert go(place, plan_for(look(place), [NAME]), log).freed == blocks < 2**20


def test_names_that_are_no_text_go_too(place: Path, log: DeletionLog) -> None:
    odd = [b"checkpoint-\xff\n.tar", b"checkpoint-" + b"x" * 240 + b".tar", b"checkpoint-*.tar"]
    for each in odd:
        put(place / os.fsdecode(each))
    plan = plan_for(look(place), [os.fsdecode(each) for each in odd])
    assert len(go(place, plan, log).deleted) == 3
    assert unchanged(place, NAMES)
    assert {os.fsencode(each.name) for each in log.entries()} == set(odd)


# -------------------------------------------------------------------- what no plan may say


@pytest.mark.parametrize(
    "state", [State.IN_FLIGHT, State.UNREADABLE, State.OTHER, State.POD_CHECKPOINT]
)
def test_what_was_not_read_never_goes(place: Path, log: DeletionLog, state: State) -> None:
    found = look(place)
    wrong = evolve(found, archives=tuple(evolve(each, state=state) for each in found.archives))
    applied = go(place, plan_for(wrong), log)
    assert set(reasons(applied).values()) == {f"it is {state.value}"}
    assert unchanged(place, NAMES)


@pytest.mark.parametrize("name", ["../outside", "sub/inside", "/etc/hostname"])
def test_a_name_that_leads_elsewhere_never_goes(place: Path, log: DeletionLog, name: str) -> None:
    (place / "sub").mkdir()
    put(place / "sub" / "inside")
    put(place.parent / "outside")
    found = look(place)
    target = place / name
    status = target.stat()
    wrong = evolve(
        found.archives[0],
        name=name,
        size=status.st_size,
        inode=status.st_ino,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )
    applied = go(place, plan_for(evolve(found, archives=(wrong,))), log)
    assert reasons(applied) == {name: "it is no name of a file in the directory"}
    assert target.exists()


def test_a_plan_for_another_directory_is_refused(place: Path, log: DeletionLog) -> None:
    plan = plan_for(look(place))
    other = place.parent / "other"
    other.mkdir()
    for name in NAMES:
        os.link(place / name, other / name)
    scanned = (place.stat().st_dev, place.stat().st_ino)
    with pytest.raises(DirectoryError, match="made for another directory"):
        go(other, plan, log, scanned=scanned)
    assert unchanged(other, NAMES)
    there = plan_for(look(place))
    assert len(go(place, there, log, scanned=scanned).deleted) == 4


def test_a_plan_for_another_file_system_is_refused(place: Path, log: DeletionLog) -> None:
    found = look(place)
    wrong = evolve(
        found, archives=tuple(evolve(each, device=each.device + 1) for each in found.archives)
    )
    with pytest.raises(DirectoryError, match="mounted anew"):
        go(place, plan_for(wrong), log)
    assert unchanged(place, NAMES)


@pytest.mark.parametrize("kind", ["link", "directory"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_directory_that_was_replaced_loses_nothing(
    place: Path, log: DeletionLog, kind: str, when: str
) -> None:
    aside = place.with_name("aside")

    def replace_it() -> None:
        place.rename(aside)
        if kind == "link":
            place.symlink_to("aside")
        else:
            place.mkdir()
            for name in NAMES:
                os.link(aside / name, place / name)

    plan = plan_for(look(place))
    with ArchiveDirectory.open(str(place)) as directory:
        if when == "before":
            replace_it()
        else:
            begin = log.begin

            def begin_later(deletions: Sequence[Deletion]) -> int:
                number = begin(deletions)
                replace_it()
                return number

            log.begin = begin_later  # type: ignore[method-assign]
        with pytest.raises(DirectoryError, match="has been put in its place"):
            apply(plan, directory, log, clock_ns=lambda: 5)
    assert unchanged(aside, NAMES)
    assert unchanged(place, NAMES)
    assert log.unfinished() == []
    assert not {"deleted", ""} & set(outcomes(log).values())


# --------------------------------------------------------------------------- two at a time


def test_two_appliers_delete_each_archive_once(quick: Path) -> None:
    names = [f"checkpoint-{n:03d}.tar" for n in range(200)]
    for name in names:
        put(quick / name)
    plan = plan_for(look(quick))

    def work(child: Child) -> None:
        child.wait_for_word()
        applied = go(quick, plan, DeletionLog(MemoryStore()))
        child.say(json.dumps([[each.name for each in applied.deleted], reasons(applied)]))

    with Child(work) as one, Child(work) as other:
        one.go()
        other.go()
        (first, kept), (second, left) = (json.loads(child.line()) for child in (one, other))
    assert sorted([*first, *second]) == names, "each by one of them"
    assert set(kept) == set(second)
    assert set(left) == set(first)
    assert {*kept.values(), *left.values()} == {"gone: somebody else has deleted it"}
    assert unchanged(quick, [])


def test_who_has_the_lock_too_long_is_told(place: Path, log: DeletionLog) -> None:
    plan = plan_for(look(place))
    with ArchiveDirectory.open(str(place)) as directory, directory.locked("pin"):
        ticks = itertools.count(0, 10)
        system = calls_with(monotonic=lambda: next(ticks), sleep=lambda seconds: None)
        with pytest.raises(DirectoryError, match="another process has had its lock for 30 seconds"):
            go(place, plan, log, system=system)
    assert unchanged(place, NAMES)
    assert log.unfinished() == []
