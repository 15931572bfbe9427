"""Disks that fail or are full, and kills: what is recorded is what has happened."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from checkpointkit import FileStore, MemoryStore
from checkpointkit.archives.disk.apply import apply, settle_log
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.errors import DirectoryError
from checkpointkit.archives.kept.deletions import IN_A_BATCH, DeletionLog
from checkpointkit.errors import CheckpointError, StoreError
from tests.archives.disk import (
    FailingArchiveCalls,
    KillingArchiveCalls,
    aged,
    calls_with,
    failing,
    go,
    in_own_mounts,
    look,
    plan_for,
    put,
    reasons,
    unchanged,
)
from tests.archives.making import START, name_of
from tests.support.calls import descriptors
from tests.support.children import Child
from tests.support.disks import fill, on_small_tmpfs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from checkpointkit.archives.kept.deletions import Deletion

NAMES = [name_of(at=START + at) for at in range(3)]
NAME = NAMES[0]


@pytest.fixture
def log() -> DeletionLog:
    return DeletionLog(MemoryStore())


@pytest.fixture
def place(quick: Path) -> Path:
    made = quick / "checkpoints"
    made.mkdir()
    fill_place(made)
    return made


def fill_place(place: Path) -> None:
    for name in NAMES:
        put(place / name)


def outcomes(log: DeletionLog) -> dict[str, str]:
    return {each.name: each.outcome for each in log.entries()}


def honest(place: Path, log: DeletionLog) -> bool:
    """Tell whether the records say just what has happened."""
    gone = set(NAMES) - set(os.listdir(place))
    return gone == {name for name, outcome in outcomes(log).items() if outcome == "deleted"}


# ----------------------------------------------------------------------------- the records


@pytest.mark.parametrize("at", [0, 1])
def test_what_cannot_be_recorded_is_not_deleted(quick: Path, log: DeletionLog, at: int) -> None:
    names = [f"checkpoint-{n:04d}.tar" for n in range(IN_A_BATCH + 5)]
    for n, name in enumerate(names):
        put(quick / name, b"", age=10_000 - n)
    plan = plan_for(look(quick))
    begin, left = log.begin, [at]

    def full(deletions: Sequence[Deletion]) -> int:
        if left[0] == 0:
            raise StoreError("deleted-0", "save", "No space left on device (ENOSPC)")
        left[0] -= 1
        return begin(deletions)

    log.begin = full  # type: ignore[method-assign]
    if at == 0:
        with pytest.raises(StoreError, match="ENOSPC"):
            go(quick, plan, log)
        assert unchanged(quick, names)
        return
    applied = go(quick, plan, log)
    assert unchanged(quick, names[IN_A_BATCH:])
    assert len(applied.deleted) == IN_A_BATCH
    assert set(reasons(applied)) == set(names[IN_A_BATCH:])
    assert all(why.startswith("not tried: ") for _, why in applied.skipped)
    assert "nothing more was deleted" in applied.problems[0]
    assert "ENOSPC" in applied.problems[0]


@pytest.mark.parametrize("gone", [False, True])
def test_an_outcome_that_cannot_be_recorded_stops_it_and_is_settled_later(
    place: Path, log: DeletionLog, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(look(place))
    monkeypatch.setattr(log, "finish", failing_store)
    if gone:
        for name in NAMES:
            (place / name).unlink()
        with pytest.raises(StoreError):
            go(place, plan, log)
    else:
        applied = go(place, plan, log)
        assert len(applied.deleted) == 3
        assert "nothing more was deleted" in applied.problems[0]
    monkeypatch.undo()
    assert len(log.unfinished()) == 1
    with ArchiveDirectory.open(str(place)) as directory:
        settle_log(directory, log)
    assert honest(place, log)


def failing_store(number: int, found: Sequence[str]) -> None:
    raise StoreError("deleted-0", "save", "Input/output error (EIO)")


# ------------------------------------------------------------------------------- the disk


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errno.EACCES, "this user may not"),
        (errno.EPERM, "immutable"),
        (errno.EBUSY, "something is mounted on it"),
        (errno.ETXTBSY, "ETXTBSY"),
    ],
)
def test_an_archive_that_may_not_be_deleted_is_told_and_the_others_go(
    place: Path, log: DeletionLog, error: int, words: str
) -> None:
    calls = FailingArchiveCalls(place)
    calls.break_at(0, error, match="unlink")
    applied = go(place, plan_for(look(place)), log, system=calls)
    assert (len(applied.deleted), applied.problems) == (2, ())
    ((kept, why),) = applied.skipped
    assert words in why
    assert errno.errorcode[error] in why
    assert unchanged(place, [kept.name])
    assert honest(place, log)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize("at", [0, 1])
def test_a_disk_that_fails_ends_it(place: Path, log: DeletionLog, error: int, at: int) -> None:
    calls = FailingArchiveCalls(place)
    calls.break_at(at, error, match="unlink")
    if at == 0:
        with pytest.raises(DirectoryError, match=errno.errorcode[error]) as caught:
            go(place, plan_for(look(place)), log, system=calls)
        assert isinstance(caught.value.__cause__, OSError)
        assert unchanged(place, NAMES)
    else:
        applied = go(place, plan_for(look(place)), log, system=calls)
        assert (len(applied.deleted), len(applied.skipped)) == (1, 2)
        assert errno.errorcode[error] in applied.problems[0]
    assert calls.failed == calls.failed[:1], "and nothing else was tried"
    assert log.unfinished() == []
    assert honest(place, log)


def test_what_has_stopped_a_batch_stops_those_after_it(
    place: Path, log: DeletionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpointkit.archives.disk.apply.IN_A_BATCH", 1)
    calls = FailingArchiveCalls(place)
    calls.break_at(1, errno.EIO, match="unlink")
    applied = go(place, plan_for(look(place)), log, system=calls)
    assert (len(applied.deleted), len(applied.problems)) == (1, 1)
    assert [why.startswith("not tried: ") for _, why in applied.skipped] == [True, True]
    assert len(list(log.entries())) == 2, "the third was not even begun"


@pytest.mark.parametrize("error", [errno.EIO, errno.EINVAL, errno.EOPNOTSUPP])
def test_a_sync_that_fails_is_told_unless_there_is_none(
    place: Path, log: DeletionLog, error: int
) -> None:
    calls = FailingArchiveCalls(place)
    calls.break_at(0, error, match="fsync")
    applied = go(place, plan_for(look(place)), log, system=calls)
    assert len(applied.deleted) == 3
    if error == errno.EIO:
        assert "may be there again after a power cut" in applied.problems[0]
        assert "nothing more was deleted" in applied.problems[1]
    else:
        assert applied.problems == ()
    assert honest(place, log)


@pytest.mark.parametrize(
    "error", [errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENOENT]
)
def test_whatever_call_fails_the_records_say_what_has_happened(place: Path, error: int) -> None:
    calls = FailingArchiveCalls(place)
    held = descriptors()
    for at in range(100):
        fill_place(place)
        plan = plan_for(look(place))
        log = DeletionLog(MemoryStore())
        calls.break_at(at, error)
        try:
            with ArchiveDirectory.open(str(place), system=calls) as directory:
                applied = apply(plan, directory, log, clock_ns=lambda: 5)
        except CheckpointError:
            assert sorted(os.listdir(place)) == NAMES, calls.failed
        else:
            gone = set(NAMES) - set(os.listdir(place))
            assert {each.name for each in applied.deleted} == gone, calls.failed
            assert set(reasons(applied)) == set(NAMES) - gone
        assert honest(place, log), calls.failed
        assert log.unfinished() == [], calls.failed
        assert descriptors() == held, calls.failed
        if not calls.failed:
            break
    assert not calls.failed
    assert at > 30


# --------------------------------------------------------------------------------- kills


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
def test_a_kill_at_any_call_loses_no_record(quick: Path) -> None:
    place, state = quick / "place", quick / "state"
    place.mkdir()
    kills, cut_off, before = 0, 0, 0
    for at in range(1000):
        for name in os.listdir(place):
            (place / name).unlink()
        fill_place(place)
        (place / f"{NAMES[1]}.keep").touch()
        plan = plan_for(look(place))

        def work(child: Child, at: int = at, plan: object = plan) -> None:
            calls = KillingArchiveCalls(place)
            with (
                FileStore(state, system=calls) as store,
                ArchiveDirectory.open(str(place), system=calls) as directory,
            ):
                calls.left = at
                apply(plan, directory, DeletionLog(store), clock_ns=lambda: 5)  # type: ignore[arg-type]
                calls.left = None

        with Child(work) as child:
            said = child.end()
        assert child.status in {0, -9}, said
        with FileStore(state) as store, ArchiveDirectory.open(str(place)) as directory:
            log = DeletionLog(store)
            cut_off += bool(log.unfinished())
            settle_log(directory, log)
            assert log.unfinished() == []
            assert (place / NAMES[1]).exists()
            gone = set(NAMES) - set(os.listdir(place))
            records = list(log.entries())
            told = records[: len(records) - before]
            before = len(records)
            assert {each.name for each in told if each.outcome == "deleted"} == gone, f"call {at}"
        if child.status == 0:
            break
        kills += 1
    assert child.status == 0
    assert gone == {NAMES[0], NAMES[2]}
    assert kills > 50
    assert cut_off > 20


# ------------------------------------------------------------------------------ real disks


def test_a_full_disk_stops_nothing_where_the_records_are_elsewhere(
    tmp_path: Path, log: DeletionLog
) -> None:
    def work(path: Path) -> None:
        fill_place(path)
        found = plan_for(look(path))
        fill(path)
        assert len(go(path, found, log).deleted) == 3
        assert min(os.listdir(path)).startswith("hog")

    on_small_tmpfs(tmp_path / "small", 65536, work)


def test_a_full_disk_with_the_records_on_it_deletes_nothing(tmp_path: Path) -> None:
    def work(path: Path) -> None:
        place = path / "place"
        place.mkdir()
        fill_place(place)
        with FileStore(path / "state", reserve=0) as store:
            log = DeletionLog(store)
            plan = plan_for(look(place))
            fill(path)
            with pytest.raises(CheckpointError, match="ENOSPC"):
                go(place, plan, log)
            assert unchanged(place, NAMES)
            for hog in path.glob("hog-*"):
                hog.unlink()
            assert len(go(place, plan, log).deleted) == 3

    on_small_tmpfs(tmp_path / "small", 2**20, work)


@pytest.mark.root
def test_a_read_only_mount_is_told_and_loses_nothing(tmp_path: Path, log: DeletionLog) -> None:
    place = tmp_path / "place"
    place.mkdir()
    fill_place(place)

    def work() -> None:
        plan = plan_for(look(place))
        with pytest.raises(DirectoryError, match="EROFS"):
            go(place, plan, log)
        assert unchanged(place, NAMES)
        assert set(outcomes(log)) == set(NAMES)
        assert log.unfinished() == []

    bind = ["mount", "--bind", str(place), str(place)]
    in_own_mounts([bind, ["mount", "-o", "remount,ro,bind", str(place)]], work)


@pytest.mark.root
def test_an_archive_that_something_is_mounted_on_stays(tmp_path: Path, log: DeletionLog) -> None:
    place = tmp_path / "place"
    place.mkdir()
    fill_place(place)

    def work() -> None:
        plan = plan_for(look(place))
        subprocess.run(["mount", "--bind", place / NAME, place / NAME], check=True)
        applied = go(place, plan, log)
        assert set(reasons(applied)) == {NAME}
        assert "something is mounted on it" in reasons(applied)[NAME]
        assert unchanged(place, [NAME])

    in_own_mounts([], work)


@pytest.mark.root
def test_a_file_of_another_file_system_in_its_place_stays(tmp_path: Path, log: DeletionLog) -> None:
    place, other = tmp_path / "place", tmp_path / "other"
    place.mkdir()
    other.mkdir()
    fill_place(place)

    def work() -> None:
        plan = plan_for(look(place))
        put(other / "file")
        subprocess.run(["mount", "--bind", other / "file", place / NAME], check=True)
        applied = go(place, plan, log)
        assert "something else has taken its place" in reasons(applied)[NAME]
        assert (other / "file").exists()

    in_own_mounts([["mount", "-t", "tmpfs", "none", str(other)]], work)


@pytest.mark.root
def test_an_unmounted_directory_is_told(tmp_path: Path, log: DeletionLog) -> None:
    place = tmp_path / "place"
    place.mkdir()

    def work() -> None:
        fill_place(place)
        plan = plan_for(look(place))
        with ArchiveDirectory.open(str(place)) as directory:
            subprocess.run(["umount", "-l", str(place)], check=True)
            with pytest.raises(DirectoryError, match="mounted there, or unmounted"):
                apply(plan, directory, log, clock_ns=lambda: 5)
            assert sorted(os.listdir(directory.fd)) == NAMES
        with pytest.raises(DirectoryError, match="made for another directory"):
            go(place, plan, log)

    in_own_mounts([["mount", "-t", "tmpfs", "none", str(place)]], work)


@pytest.mark.root
def test_an_immutable_archive_stays(tmp_path: Path, log: DeletionLog) -> None:
    fill_place(tmp_path)
    try:
        subprocess.run(["chattr", "+i", tmp_path / NAME], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no chattr here: {error}")
    try:
        applied = go(tmp_path, plan_for(look(tmp_path)), log)
        assert unchanged(tmp_path, [NAME])
        assert "EPERM" in reasons(applied)[NAME]
        assert "chattr -i" in reasons(applied)[NAME]
    finally:
        subprocess.run(["chattr", "-i", tmp_path / NAME], check=True)


def test_a_close_that_fails_says_nothing_of_what_was_deleted(place: Path, log: DeletionLog) -> None:
    calls = FailingArchiveCalls(place)
    calls.break_at(0, errno.EIO, match=f"close {NAME}", for_ever=True)
    assert go(place, plan_for(look(place)), log, system=calls).problems == ()
    assert unchanged(place, [])


def test_an_unlock_that_fails_says_nothing_of_what_was_deleted(
    place: Path, log: DeletionLog
) -> None:
    system = calls_with(unlock=failing(errno.EIO))
    assert go(place, plan_for(look(place)), log, system=system).problems == ()
    aged(put(place / NAME), 5)
    assert unchanged(place, [NAME])
