"""What a plan keeps of a container has to be there when the others of it go."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from checkpointkit import MemoryStore
from checkpointkit.archives.disk.apply import apply
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.kept.deletions import IN_A_BATCH, DeletionLog
from checkpointkit.archives.model import Container, Gone, Level, Parent
from checkpointkit.archives.plan import plan
from checkpointkit.archives.planning.order import since_1970
from checkpointkit.archives.policies import Order, OrphanRule, Policy, Quarantine, Rules
from tests.archives.disk import FailingArchiveCalls, go, look, put, reasons, unchanged
from tests.archives.making import START, WEB, archive, name_of
from tests.archives.strategies import NOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from checkpointkit.archives.plan import Plan

NAMES = [name_of(at=START + at) for at in range(4)]
NEWEST = NAMES[-1]
DB = Container("default", "db", "app")
DB_NAMES = [f"checkpoint-db-{n}.tar" for n in range(2)]
WHY = f"what was to be kept of {WEB} is no longer there; look again"
ONE = Policy(rules=Rules(container_count=1))


@pytest.fixture
def log() -> DeletionLog:
    return DeletionLog(MemoryStore())


@pytest.fixture
def place(quick: Path) -> Path:
    """A directory in which what was taken last was written first."""
    made = quick / "checkpoints"
    made.mkdir()
    for at, name in enumerate(NAMES):
        put(made / name, archive(checkpointed_ns=(START + at) * 10**9), age=1000 + at)
    return made


def planned(place: Path, policy: Policy = ONE, **options: Any) -> Plan:
    found = look(place)
    assert found.problems == ()
    return plan(found.archives, policy, NOW, **options)


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    put(path.with_name("new")).replace(path)


def written_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def touched(path: Path) -> None:
    os.utime(path)


def linked(path: Path) -> None:
    os.link(path, path.with_name("other"))


@pytest.mark.parametrize("change", [removed, replaced, written_to, touched, linked])
def test_without_the_one_that_stays_none_of_its_container_goes(
    place: Path, log: DeletionLog, change: Callable[[Path], None]
) -> None:
    for name in DB_NAMES:
        put(place / name, archive(container=DB, checkpointed_ns=START * 10**9))
    made = planned(place)
    assert {each.name for each in made.floors.values()} == {NEWEST, DB_NAMES[1]}
    change(place / NEWEST)
    applied = go(place, made, log)
    assert [each.name for each in applied.deleted] == [DB_NAMES[0]], "it is another's"
    assert reasons(applied) == dict.fromkeys(NAMES[:3], WHY)
    assert {each.outcome for each in log.entries() if each.name in NAMES} == {WHY}
    assert applied.problems == ()


def test_two_policies_leave_a_container_what_one_of_them_keeps(
    place: Path, log: DeletionLog
) -> None:
    by_stamp = planned(place)
    by_mtime = planned(place, evolve(ONE, order=Order.MTIME))
    assert len(go(place, by_stamp, log).deleted) == 3
    assert set(reasons(go(place, by_mtime, log)).values()) == {WHY}
    assert unchanged(place, [NEWEST])


def test_it_is_looked_at_again_for_each_batch(quick: Path) -> None:
    names = [f"checkpoint-{n:05d}.tar" for n in range(IN_A_BATCH + 3)]
    for name in names:
        put(quick / name, archive(checkpointed_ns=START * 10**9))
    log = DeletionLog(MemoryStore())

    def progress(done: int, _: int) -> None:
        if done == IN_A_BATCH:
            (quick / names[-1]).unlink()

    applied = go(quick, planned(quick), log, progress=progress)
    assert len(applied.deleted) == IN_A_BATCH
    assert reasons(applied) == dict.fromkeys(names[-3:-1], WHY)
    assert unchanged(quick, names[-3:-1])


def test_it_is_looked_at_for_a_part_of_a_plan_too(place: Path, log: DeletionLog) -> None:
    made = planned(place)
    (place / NEWEST).unlink()
    for each in made.deletions:
        assert go(place, evolve(made, decisions=(each,)), log).deleted == ()
    assert unchanged(place, NAMES[:3])


def test_a_container_that_may_be_empty_needs_nothing_to_be_there(
    place: Path, log: DeletionLog
) -> None:
    made = planned(place, Policy(rules=Rules(container_count=1, allow_empty=True)))
    (place / NEWEST).unlink()
    assert len(go(place, made, log).deleted) == 3
    assert unchanged(place, [])


def test_orphans_need_nothing_to_be_there(place: Path, log: DeletionLog) -> None:
    parents = {Parent(WEB, each.pod_uid) for each in look(place).archives}
    gone = {each: Gone(Level.POD, since_1970(NOW) - 1) for each in parents}
    made = planned(place, Policy(rules=Rules(orphans=OrphanRule(timedelta()))), orphans=gone)
    assert len(go(place, made, log).deleted) == 4


def test_a_broken_one_is_no_archive_that_is_left(place: Path, log: DeletionLog) -> None:
    broken = place / "checkpoint-web_default-app-2026-01-01T00:00:00Z.tar"
    put(broken, b"no archive")
    made = planned(place, evolve(ONE, quarantine=Quarantine(size=1)))
    assert broken.name in {each.archive.name for each in made.deletions}
    (place / NEWEST).unlink()
    assert [each.name for each in go(place, made, log).deleted] == [broken.name]


def test_a_disk_that_does_not_say_whether_it_is_there_deletes_nothing(
    place: Path, log: DeletionLog
) -> None:
    made = planned(place)
    calls = FailingArchiveCalls(place)
    with ArchiveDirectory.open(str(place), system=calls) as directory:
        calls.break_at(0, errno.EACCES, match=f"stat {NEWEST}")
        with pytest.raises(DirectoryError, match="EACCES"):
            apply(made, directory, log, clock_ns=lambda: 5)
    assert unchanged(place, NAMES)
    assert log.unfinished() == []
