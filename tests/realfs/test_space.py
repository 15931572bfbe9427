"""Full file systems, and file systems without inodes: what `reserve=` holds on each."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpointkit.errors import StoreError
from checkpointkit.records import verify
from checkpointkit.stores.files.store import FileStore
from tests.realfs.images import Image, command, in_own_mounts
from tests.support.children import Child
from tests.support.disks import fill, free
from tests.support.states import number_of, sealed, temporaries

pytestmark = [pytest.mark.realfs, pytest.mark.root]

PAD = 20_000
RESERVE = 2**20
SAVES = 20


def mounted(kind: str, directory: Path, *make: str) -> Path:
    """Mount an empty file system of a kind."""
    at = directory / "disk"
    if kind == "tmpfs":
        at.mkdir()
        command(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(at)])
    else:
        Image(kind, directory / "image", at, make=make).mount()
    return at


def saves_until_refused(store: FileStore, disk: Path, *, greedy: bool) -> int:
    """Save on a full disk, which another program may fill again before each save."""
    for n in range(10, 10 + SAVES):
        if greedy:
            fill(disk)
        try:
            store.write("a", sealed("a", n, pad=PAD))
        except StoreError:
            return n - 10
        assert number_of(store, "a") == n
    return SAVES


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "xfs", "btrfs"])
def test_what_a_reserve_holds_on_a_full_disk(kind: str, greedy: bool, quick: Path) -> None:
    def work(child: Child) -> None:
        disk = mounted(kind, quick)
        store = FileStore(disk / "store", reserve=RESERVE)
        for n in range(3):
            store.write("a", sealed("a", n, pad=PAD))
        fill(disk)
        saved = saves_until_refused(store, disk, greedy=greedy)
        child.say(f"{kind} greedy={greedy}: {saved} of {SAVES}")
        last = 9 + saved if saved else 2
        assert number_of(store, "a") == last
        assert temporaries(disk / "store") == []
        assert verify(store).ok
        if kind in ("tmpfs", "ext4") or (kind == "xfs" and not greedy):
            assert saved == SAVES
        free(disk)
        if kind == "btrfs":  # its metadata may stay full for longer
            assert number_of(store, "a") == last
            return
        store.write("a", sealed("a", 99, pad=PAD))
        assert number_of(store, "a") == 99

    print(*in_own_mounts(kind, work))  # noqa: T201 - the figures of this run


def test_without_inodes_the_old_state_stays_and_saves_go_on_when_there_are_some(
    quick: Path,
) -> None:
    def work(child: Child) -> None:
        disk = mounted("ext4", quick, "-N", "256")
        store = FileStore(disk / "store")
        store.write("a", sealed("a", 1))
        store.write("a", sealed("a", 2))
        taken: list[Path] = []
        with pytest.raises(OSError, match="No space"):
            while True:
                path = disk / f"taken-{len(taken)}"
                path.touch()
                taken.append(path)
        with pytest.raises(StoreError, match="ENOSPC"):
            store.write("a", sealed("a", 3))
        with pytest.raises(StoreError, match="ENOSPC"):
            store.write("new", sealed("new", 1))
        assert number_of(store, "a") == 2
        assert store.keys() == ("a",)
        assert temporaries(disk / "store") == []
        for path in taken:
            path.unlink()
        store.write("a", sealed("a", 3))
        assert number_of(store, "a") == 3
        assert verify(store).ok

    in_own_mounts("ext4", work)


def test_a_reserve_serves_without_inodes_too(quick: Path) -> None:
    def work(child: Child) -> None:
        disk = mounted("ext4", quick, "-N", "256")
        store = FileStore(disk / "store", reserve=RESERVE)
        for n in range(3):
            store.write("a", sealed("a", n))
        with pytest.raises(OSError, match="No space"):
            for n in range(1000):
                (disk / f"taken-{n}").touch()
        for n in range(3, 23):
            store.write("a", sealed("a", n))
            assert number_of(store, "a") == n

    in_own_mounts("ext4", work)
