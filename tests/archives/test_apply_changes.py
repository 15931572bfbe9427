"""What has changed since it was planned stays, however late that is."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpointkit import MemoryStore
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.disk.pins import pin
from checkpointkit.archives.kept.deletions import DeletionLog
from tests.archives.disk import (
    FailingArchiveCalls,
    calls_with,
    failing,
    go,
    look,
    opener,
    plan_for,
    put,
    reasons,
    unchanged,
)
from tests.archives.making import START, archive, name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.archives.disk.directory import ArchiveCalls

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


# ------------------------------------------------------------------- what has changed since


def rewrite(path: Path) -> None:
    time.sleep(0.01)  # the clock of file systems has ticks
    status = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    """Put another file of the same bytes and times there; not opened, for a lease would wait."""
    status = path.stat()
    put(path.with_name("new"), archive(checkpointed_ns=START * 10**9)).replace(path)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def link(path: Path) -> None:
    time.sleep(0.01)
    os.link(path, path.with_name("another"))


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("aside"))
    path.symlink_to("aside")


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (rewrite, "it has changed"),
        (grow, "it has changed"),
        (link, "it has changed"),
        (replace, "something else has taken its place"),
        (replace_by_link, "something else has taken its place"),
        (replace_by_directory, "something else has taken its place"),
        (replace_by_fifo, "something else has taken its place"),
    ],
)
def test_what_has_changed_since_the_plan_stays(
    place: Path, log: DeletionLog, change: Callable[[Path], None], why: str
) -> None:
    plan = plan_for(look(place))
    change(place / NAME)
    calls = FailingArchiveCalls(place)
    applied = go(place, plan, log, system=calls)
    assert os.path.lexists(place / NAME)
    assert why in reasons(applied)[NAME]
    assert f"open {NAME}" not in calls.attempts, "what has taken its place may be a device"
    assert [each.name for each in applied.deleted] == NAMES[1:], "the others go"
    assert outcomes(log) == {**dict.fromkeys(NAMES, "deleted"), NAME: reasons(applied)[NAME]}


def test_what_somebody_else_has_deleted_is_told(place: Path, log: DeletionLog) -> None:
    plan = plan_for(look(place))
    (place / NAME).unlink()
    applied = go(place, plan, log)
    assert reasons(applied) == {NAME: "gone: somebody else has deleted it"}
    assert (len(applied.deleted), applied.problems) == (3, ())


@pytest.mark.parametrize("kind", ["ours", "empty", "directory", "link"])
def test_what_was_pinned_since_the_plan_stays(place: Path, log: DeletionLog, kind: str) -> None:
    plan = plan_for(look(place))
    marker = place / f"{NAME}.keep"
    if kind == "ours":
        with ArchiveDirectory.open(str(place)) as directory:
            pin(directory, NAME, "alice")
    elif kind == "empty":
        marker.touch()
    elif kind == "directory":
        marker.mkdir()
    else:
        marker.symlink_to("nowhere")
    applied = go(place, plan, log)
    assert reasons(applied) == {NAME: "it was pinned since it was planned"}
    assert unchanged(place, [NAME, marker.name])


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
def test_what_somebody_has_open_stays(place: Path, log: DeletionLog, flags: int) -> None:
    found = look(place)
    if not found.leases:
        pytest.skip("this file system has no leases")
    with opener(place / NAME, flags) as child:
        applied = go(place, plan_for(found), log)
        assert reasons(applied) == {NAME: "in use: somebody has it open"}
        assert unchanged(place, [NAME])
        child.go()
        child.end()
    assert reasons(go(place, plan_for(found, [NAME]), log)) == {}


def test_who_has_a_lease_on_it_uses_it(place: Path, log: DeletionLog) -> None:
    def open_(path: str, flags: int, **options: Any) -> int:
        if path == NAME:
            raise BlockingIOError(errno.EWOULDBLOCK, "held")
        return os.open(path, flags, **options)

    applied = go(place, plan_for(look(place)), log, system=calls_with(open=open_))
    assert reasons(applied) == {NAME: "in use: somebody has it open"}


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_user_that_the_kernel_tells_of_keeps_it(place: Path, log: DeletionLog, when: str) -> None:
    if when == "before":
        system = calls_with(set_lease=failing(errno.EAGAIN))
    else:
        taken: list[int] = []
        system = calls_with(
            set_lease_signal=lambda fd, number: None,
            set_lease=lambda fd, kind: taken.append(fd),
            lease=lambda fd: fcntl.F_UNLCK,
        )
    applied = go(place, plan_for(look(place)), log, system=system)
    assert reasons(applied) == dict.fromkeys(NAMES, "in use: somebody has it open")
    assert unchanged(place, NAMES)


def test_without_leases_it_goes_all_the_same(place: Path, log: DeletionLog) -> None:
    def refuse(fd: int, kind: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    system = calls_with(set_lease=refuse)
    with opener(place / NAME, os.O_RDONLY) as child:
        assert go(place, plan_for(look(place)), log, system=system).skipped == ()
        child.go()
        child.end()


def hooked(at: int, change: Callable[[], object]) -> ArchiveCalls:
    """Return system calls that do something just ahead of the look at `NAME` of that number."""
    looks = itertools.count(1)

    def stat(path: str, **options: Any) -> os.stat_result:
        if path == NAME and next(looks) == at:
            change()
        return os.stat(path, **options)

    return calls_with(stat=stat)


def touch(path: Path) -> None:
    os.utime(path, ns=(5, 5))


@pytest.mark.parametrize("change", [touch, replace, replace_by_link, replace_by_fifo])
def test_a_change_just_ahead_of_the_last_look_is_seen(
    place: Path, log: DeletionLog, change: Callable[[Path], None]
) -> None:
    plan = plan_for(look(place), [NAME])
    applied = go(place, plan, log, system=hooked(2, lambda: change(place / NAME)))
    assert applied.deleted == ()
    assert "since it was planned" in reasons(applied)[NAME]
    assert os.path.lexists(place / NAME)


def test_another_file_between_the_first_look_and_the_opening_is_seen(
    place: Path, log: DeletionLog
) -> None:
    def open_(path: str, flags: int, **options: Any) -> int:
        if path == NAME:
            replace(place / NAME)
        return os.open(path, flags, **options)

    applied = go(place, plan_for(look(place)), log, system=calls_with(open=open_))
    assert "something else has taken its place" in reasons(applied)[NAME]
    assert unchanged(place, [NAME])


def test_the_lease_is_on_the_file_that_goes(place: Path, log: DeletionLog) -> None:
    """Another file is there just for the opening; not every file system shows that by a ctime."""
    original = os.lstat(place / NAME)

    def open_(path: str, flags: int, **options: Any) -> int:
        if path == NAME:
            replace(place / NAME)
        return os.open(path, flags, **options)

    def stat(path: str, **options: Any) -> os.stat_result:
        return original if path == NAME else os.stat(path, **options)

    system = calls_with(open=open_, stat=stat)
    applied = go(place, plan_for(look(place), [NAME]), log, system=system)
    assert "something else has taken its place" in reasons(applied)[NAME]
    assert unchanged(place, NAMES)


def test_the_same_inode_of_another_file_system_is_something_else(
    place: Path, log: DeletionLog
) -> None:
    def stat(path: str, **options: Any) -> os.stat_result:
        found = os.stat(path, **options)
        if path != NAME:
            return found
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:]))

    applied = go(place, plan_for(look(place), [NAME]), log, system=calls_with(stat=stat))
    assert "something else has taken its place" in reasons(applied)[NAME]
    assert unchanged(place, NAMES)


def test_who_comes_for_it_just_ahead_of_the_deletion_is_seen(place: Path, log: DeletionLog) -> None:
    found = look(place)
    if not found.leases:
        pytest.skip("this file system has no leases")

    def come() -> None:
        with pytest.raises(BlockingIOError):  # it breaks the lease all the same
            os.open(place / NAME, os.O_RDONLY | os.O_NONBLOCK)

    applied = go(place, plan_for(found), log, system=hooked(2, come))
    assert reasons(applied) == {NAME: "in use: somebody has it open"}
    assert unchanged(place, [NAME])


def test_a_deletion_between_two_looks_is_told(place: Path, log: DeletionLog) -> None:
    system = hooked(2, (place / NAME).unlink)
    applied = go(place, plan_for(look(place)), log, system=system)
    assert reasons(applied) == {NAME: "gone: somebody else has deleted it"}


# ----------------------------------------------------------------------------------- a law


def nothing(path: Path) -> None:
    """Leave it as it is."""


def unlink(path: Path) -> None:
    path.unlink()


def pin_it(path: Path) -> None:
    path.with_name(f"{path.name}.keep").touch()


def chmod(path: Path) -> None:
    path.chmod(0o640)


CHANGES = (nothing, unlink, pin_it, chmod, grow, replace, replace_by_fifo, replace_by_directory)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    planned=st.lists(st.booleans(), min_size=4, max_size=4),
    changes=st.lists(st.sampled_from(CHANGES), min_size=4, max_size=4),
)
def test_just_what_was_planned_and_is_as_it_was_goes(
    place: Path, planned: list[bool], changes: list[Callable[[Path], None]]
) -> None:
    shutil.rmtree(place)
    place.mkdir()
    for name in NAMES:
        put(place / name, age=10_000)
    plan = plan_for(look(place), [name for name, goes in zip(NAMES, planned, strict=True) if goes])
    time.sleep(0.005)  # the clock of file systems has ticks
    for name, change in zip(NAMES, changes, strict=True):
        change(place / name)
    before = set(os.listdir(place))
    log = DeletionLog(MemoryStore())
    applied = go(place, plan, log)
    expected = {
        name
        for name, goes, change in zip(NAMES, planned, changes, strict=True)
        if goes and change is nothing
    }
    assert {each.name for each in applied.deleted} == before - set(os.listdir(place)) == expected
    assert {name for name, outcome in outcomes(log).items() if outcome == "deleted"} == expected
    assert len(applied.deleted) + len(applied.skipped) == sum(planned)
