"""Rot on the disk itself, below the mounted file: reported, and never passed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpointkit.errors import CorruptCheckpointError, StoreError
from checkpointkit.records import read_record, recover, verify
from checkpointkit.stores.files.store import FileStore
from tests.realfs.images import Image, in_own_mounts
from tests.support.children import Child
from tests.support.states import NOW, generations, number_of, sealed

pytestmark = [pytest.mark.realfs, pytest.mark.root]

PAD = 20_000  # btrfs keeps small files within its metadata


def rot(image: Path, state: bytes) -> int:
    """Change a bit in each place of an image that holds the bytes; return how many there are."""
    data = image.read_bytes()
    found = 0
    place = data.find(state)
    with image.open("r+b") as file:
        while place >= 0:
            file.seek(place + 1000)
            file.write(bytes([state[1000] ^ 1]))
            found += 1
            place = data.find(state, place + 1)
    return found


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_rot_below_the_file_is_reported_and_the_state_before_is_kept(
    kind: str, quick: Path
) -> None:
    def work(child: Child) -> None:
        disk = Image(kind, quick / "image", quick / "disk")
        disk.mount()
        with FileStore(disk.at / "store") as store:
            for n in range(3):
                store.write("a", sealed("a", n, pad=PAD))
            state = store.read("a")
        disk.unmount()
        assert rot(disk.image, state[:4096]) == 1
        disk.mount()
        with FileStore(disk.at / "store") as store:
            expected = StoreError if kind == "btrfs" else CorruptCheckpointError
            for _ in range(2):
                with pytest.raises(expected) as caught:
                    read_record(store, "a")
                assert type(caught.value) is expected
            with pytest.raises(expected):
                store.write("a", sealed("a", 3))
            assert not verify(store).ok
            assert generations(store, "a") == [3, 2]
            assert number_of(store, "a", 2) == 1
            if kind != "btrfs":
                assert recover(store, "a", NOW).restored_from == 2
                assert number_of(store, "a") == 1
        disk.unmount()

    in_own_mounts(kind, work)
