"""Small file systems of a test's own, mounted where no other process sees them."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from checkpointkit.cli.demo.smalldisk import mount_small_disk
from tests.support.children import Child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NEW_MOUNTS = 0x00020000  # gone with the child, killed or not
UNMOUNTABLE = "not mountable here: "


def on_small_tmpfs(directory: Path, size: int, work: Callable[[Path], object]) -> None:
    """Run `work` in a child in which a tmpfs of `size` bytes is mounted on `directory`."""

    def run(child: Child) -> None:
        try:
            mount_small_disk(directory, size)
        except OSError as error:
            child.say(f"{UNMOUNTABLE}{error}")
        else:
            work(directory)

    _finish(directory, run)


def on_small_ext4(directory: Path, size: int, work: Callable[[Path], object]) -> None:
    """Run `work` in a child in which an ext4 image of `size` bytes is mounted on `directory`."""
    image = directory.with_name(f"{directory.name}.img")

    def run(child: Child) -> None:
        try:
            image.touch()
            os.truncate(image, size)
            own_mounts()
            for command in (
                ["mount", "--make-rprivate", "/"],
                ["mkfs.ext4", "-q", "-m", "0", str(image)],
                ["mount", "-o", "loop", str(image), str(directory)],
            ):
                subprocess.run(command, check=True, capture_output=True)
            (directory / "lost+found").rmdir()
        except (OSError, subprocess.CalledProcessError) as error:
            child.say(f"{UNMOUNTABLE}{error}")
        else:
            work(directory)

    _finish(directory, run)


def own_mounts() -> None:
    """Give this process mounts of its own, gone with it, killed or not."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _finish(directory: Path, run: Callable[[Child], object]) -> None:
    directory.mkdir()
    with Child(run) as child:
        said = child.end()
        if said and said[0].startswith(UNMOUNTABLE):
            pytest.skip(said[0])
        assert child.status == 0, "\n".join(said)


def fill(directory: Path) -> None:
    """Take all the space that is left."""
    try:
        taken = (directory / f"hog-{len(os.listdir(directory))}").open("wb", buffering=0)
    except OSError as error:
        assert error.errno == errno.ENOSPC  # not even for a name
        return
    with taken as hog:
        for size in (2**16, 4096, 512, 1):
            try:
                while True:
                    hog.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC


def free(directory: Path) -> None:
    """Give it back."""
    for hog in directory.glob("hog-*"):
        hog.unlink()
