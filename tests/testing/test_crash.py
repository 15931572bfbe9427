"""Power cuts: the file store loses nothing, and each broken one is reported."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit import FileStore
from checkpointkit.stores.files import locks, opening, removing, saving, steps
from checkpointkit.stores.files.disk import Disk
from checkpointkit.stores.files.keydir import entry_of
from checkpointkit.stores.files.layout import owner_of
from checkpointkit.stores.files.locks import StripeLock
from checkpointkit.stores.files.steps import FirstSave, NextSave
from checkpointkit.stores.files.system import OPEN_TO_WRITE
from checkpointkit.testing.crash import DEEP, WORKLOADS, Depth, enumerate_crashes
from checkpointkit.testing.crash.recording import RecordingCalls
from checkpointkit.testing.crash.tree import Sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.stores.files.system import SystemCalls

BY_NAME = {workload.name: workload for workload in WORKLOADS}


def files(path: Path, system: SystemCalls) -> FileStore:
    return FileStore(path / "store", system=system, lock_timeout=0.5)


def short_history(path: Path, system: SystemCalls) -> FileStore:
    return FileStore(path / "store", system=system, lock_timeout=0.5, history=0)


def long_history(path: Path, system: SystemCalls) -> FileStore:
    return FileStore(path / "store", system=system, lock_timeout=0.5, history=3)


# ------------------------------------------------------------------------------- what is promised


@pytest.mark.usefixtures("unmeasured")
def test_after_every_power_cut_the_file_store_has_what_it_acknowledged(
    quick: Path, count: Callable[[str], None]
) -> None:
    report = enumerate_crashes(files, quick)
    count(str(report))
    assert report.violations == [], str(report)
    assert all(report.judged[name] for name in BY_NAME)
    assert report.judged.total() > 5_000
    assert report.taken_back > 0  # else it was not looked for


def test_a_shallow_run_judges_few_states_of_each_workload(quick: Path) -> None:
    shallow = Depth(cuts=3, names=2, contents=2, random=1)
    alone = [w for w in WORKLOADS if w.killed is None and w.meanwhile is None]
    report = enumerate_crashes(files, quick, alone, depth=shallow)
    assert report.violations == [], str(report)
    assert report.judged.keys() == {workload.name for workload in alone}
    assert report.judged.total() < 12 * len(alone)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("store", [short_history, long_history])
def test_after_every_power_cut_the_history_is_as_long_as_it_was(
    quick: Path, store: Callable[[Path, SystemCalls], FileStore]
) -> None:
    names = ("further saves", "a history", "a remove and a save", "a save after a kill in a save")
    report = enumerate_crashes(store, quick, [BY_NAME[name] for name in names])
    assert report.violations == [], str(report)


@pytest.mark.deep
def test_a_hundred_thousand_states_after_power_cuts_hold_no_violation(
    quick: Path, count: Callable[[str], None]
) -> None:
    total = 0
    for number, store in enumerate((files, short_history, long_history)):
        directory = quick / str(number)
        directory.mkdir()
        # Without a history, a recovery has nothing to go on from.
        chosen = [w for w in WORKLOADS if store is not short_history or "recovery" not in w.name]
        report = enumerate_crashes(store, directory, chosen, depth=DEEP, seed=number)
        count(str(report))
        assert report.violations == [], str(report)
        total += report.judged.total()
    assert total > 100_000


@pytest.mark.usefixtures("unmeasured")
def test_the_same_seed_judges_the_same_states(quick: Path) -> None:
    chosen = [BY_NAME["growth"], BY_NAME["a history"]]
    counts = []
    for number, seed in enumerate((1, 1, 2)):
        directory = quick / str(number)
        directory.mkdir()
        report = enumerate_crashes(files, directory, chosen, seed=seed)
        assert report.violations == []
        counts.append((report.judged, report.taken_back))
    assert counts[0] == counts[1]
    assert counts[0] != counts[2]


# ------------------------------------------------------------------------------------ the mutants


class Mutant:
    """A store with one mistake.

    Args:
        patch: Makes it.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.set = patch.setattr

    def open(self, path: Path, system: SystemCalls) -> FileStore:
        return files(path, system)


class NoDataSync(Mutant):
    """Never syncs what it writes into files."""

    def open(self, path: Path, system: SystemCalls) -> FileStore:
        leave_out(system, stat.S_ISREG)
        return files(path, system)


class NoDirectorySync(Mutant):
    """Never syncs names."""

    def open(self, path: Path, system: SystemCalls) -> FileStore:
        leave_out(system, stat.S_ISDIR)
        return files(path, system)


def leave_out(system: SystemCalls, kind: Callable[[int], bool]) -> None:
    if not hasattr(system, "left_out"):
        real = system.fsync

        def sync(fd: int) -> None:
            if not kind(os.fstat(fd).st_mode):
                real(fd)

        system.fsync = sync
        system.left_out = True  # type: ignore[attr-defined]


class OverwritesTheNewest(Mutant):
    """Writes the new state into the file of the last one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)

        def write(save: Any) -> None:
            system: SystemCalls = save._disk.system
            save._fd = system.open("current", OPEN_TO_WRITE, dir_fd=save._directory)
            system.write(save._fd, save._data)
            system.ftruncate(save._fd, len(save._data))
            save.entry = entry_of(system.fstat(save._fd), save.generation)

        def publish(save: Any) -> None:
            at = save._directory
            old, new = str(save._state.newest), str(save.generation)
            save._disk.system.rename(old, new, src_dir_fd=at, dst_dir_fd=at)
            save.published = True

        self.set(NextSave, "write", write)
        self.set(NextSave, "publish", publish)


class AcknowledgesFirst(Mutant):
    """Returns from a save, and syncs in the background."""

    def open(self, path: Path, system: SystemCalls) -> FileStore:
        assert isinstance(system, RecordingCalls)
        if not hasattr(system, "late"):
            late: list[int] = []

            def flush() -> None:
                while late:
                    system._do(Sync(late.pop(0)))

            real = system.open

            def sync(fd: int) -> None:
                late.append(system._opened.get(fd, 0))

            def open_(path: str, *flags: int, dir_fd: int | None = None) -> int:
                if path.startswith(".lock/"):  # the next save
                    flush()
                return real(path, *flags, dir_fd=dir_fd)

            system.fsync = sync
            system.open = open_
            system.late = late  # type: ignore[attr-defined]
        return files(path, system)


class PrunesBeforeTheSync(Mutant):
    """Deletes the oldest generation before the new one is durable."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)
        publish, prune = NextSave.publish, NextSave.prune

        def hasty(save: NextSave) -> None:
            prune(save, 1)
            publish(save)

        self.set(NextSave, "publish", hasty)
        self.set(NextSave, "prune", lambda save, history: None)


class RenamesBeforeTheSync(Mutant):
    """Shows the new state, and then syncs its bytes."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)
        order = (("publish", False), ("sync", True), ("confirm", True))
        self.set(saving, "_AFTER_WRITE", order)


class TrustsTheHighWater(Mutant):
    """Believes a high-water without its checksum."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)
        self.set(locks, "decode_high_water", trusting)


def trusting(stripe: int, data: bytes) -> tuple[int, int]:
    return int(data[512:532].strip(b"\0 \n") or b"0"), 0


class UsesANumberAgain(Mutant):
    """Forgets the numbers of a removed key."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)
        self.set(StripeLock, "raise_high_water", lambda lock, generation: None)


class SweepsTheLiving(Mutant):
    """Deletes temporary files whose writer is at work."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)

        def sweep(disk: Disk) -> None:
            for name in os.listdir(f"{disk.path}/.tmp"):
                if owner_of(name) is not None:
                    disk.discard(f".tmp/{name}")

        self.set(opening, "_sweep", sweep)


class ForgetsTheRootOfAKilledWriter(Mutant):
    """Never syncs the name of a key whose first writer was killed before it did."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)
        mend = NextSave._mend

        def careless(save: NextSave) -> None:
            save._state = save._state._replace(perhaps_first=False)
            mend(save)

        self.set(NextSave, "_mend", careless)


class SyncsNoNewDirectory(Mutant):
    """Shows a new key's directory before the names in it are durable."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)
        self.set(FirstSave, "sync", steps.Save.sync)


class RemovesBeforeTheSync(Mutant):
    """Deletes the files of a removed key in place, one by one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)

        def move_out(disk: Disk, key: str, stripe: int) -> str:
            for name in sorted(os.listdir(f"{disk.path}/{key}")):
                disk.discard(f"{key}/{name}")
            disk.system.rmdir(key, dir_fd=disk.root)
            return f".tmp/{stripe:02d}.0.gone"

        self.set(removing, "_move_out", move_out)


MUTANTS = {
    NoDataSync: ["further saves", "a first save beside others"],
    NoDirectorySync: ["further saves", "a first save beside others", "a remove"],
    OverwritesTheNewest: ["further saves"],
    AcknowledgesFirst: ["further saves"],
    PrunesBeforeTheSync: ["a history"],
    RenamesBeforeTheSync: ["further saves"],
    TrustsTheHighWater: ["a remove"],
    UsesANumberAgain: ["a remove and a save"],
    SweepsTheLiving: ["a save while another key is saved", "a first save while others open"],
    ForgetsTheRootOfAKilledWriter: ["a save after a kill in a first save"],
    SyncsNoNewDirectory: ["a first save beside others"],
    RemovesBeforeTheSync: ["a remove"],
}


@pytest.mark.parametrize("kind", MUTANTS, ids=lambda kind: kind.__name__)
def test_a_broken_store_is_reported(
    kind: type[Mutant], quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = kind(monkeypatch)
    for number, start in enumerate(MUTANTS[kind]):
        workload = next(item for name, item in BY_NAME.items() if name.startswith(start))
        directory = quick / str(number)
        directory.mkdir()
        report = enumerate_crashes(mutant.open, directory, [workload])
        assert report.violations, workload.name
        drawn = str(report.violations[0])
        assert workload.name in drawn
        assert "done before the power cut" in drawn
        assert ".format: 22 bytes" in drawn
