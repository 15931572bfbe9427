"""File systems of each kind on loop devices, mounted for a child alone, and their power cuts."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.children import Child
from tests.support.disks import UNMOUNTABLE, own_mounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SHUTDOWN: Final = 0x8004587D  # FS_IOC_SHUTDOWN: the same number for ext4 and xfs
_NO_LOG_FLUSH: Final = struct.pack("I", 2)
_MIB: Final = 2**20
_MAKE: Final = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-m", "single"],
}
_SIZE: Final = {"ext4": 64 * _MIB, "xfs": 320 * _MIB, "btrfs": 160 * _MIB}


class Image:
    """A file system in an image file, mounted on a loop device.

    Args:
        kind: ext4, xfs or btrfs.
        image: The image file; made here.
        at: Where it is mounted.
        options: For the mount, beyond `loop`.
        make: For mkfs.
    """

    def __init__(
        self, kind: str, image: Path, at: Path, *, options: str = "", make: tuple[str, ...] = ()
    ) -> None:
        self.kind, self.image, self.at, self._options = kind, image, at, options
        image.touch()
        os.truncate(image, _SIZE[kind])
        at.mkdir(exist_ok=True)
        command([*_MAKE[kind], *make, str(image)])

    def mount(self) -> None:
        """Mount it."""
        options = f"loop,{self._options}" if self._options else "loop"
        command(["mount", "-t", self.kind, "-o", options, str(self.image), str(self.at)])

    def unmount(self) -> None:
        """Unmount it."""
        command(["umount", str(self.at)])

    def cut(self) -> None:
        """Stop it at once: nothing that is not on the disk by now gets there."""
        fd = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def restart(self) -> None:
        """Come back after a cut."""
        self.unmount()
        self.mount()


class Nested(Image):
    """A file system without a shutdown call: its image lies on an ext4 that has one.

    The cut of the ext4 takes the disk away under all that the inner one does, at one moment.
    """

    def __init__(self, kind: str, image: Path, at: Path) -> None:
        self._outer = Image("ext4", image, at.with_name("outer"), make=("-E", "lazy_itable_init=0"))
        os.truncate(image, 2 * _SIZE[kind])
        command(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)])
        self._outer.mount()
        super().__init__(kind, self._outer.at / "inner.img", at)
        # Blocks that are there already: the inner one does not find out how the outer one grows.
        with self.image.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, _SIZE[kind])
            os.fsync(file.fileno())
        os.sync()

    def cut(self) -> None:
        """Cut the outer one."""
        self._outer.cut()

    def restart(self) -> None:
        """Come back, from the outside in."""
        self.unmount()
        self._outer.restart()
        self.mount()


def command(words: list[str]) -> str:
    """Run a command; what it says is in the error if it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def require(kind: str) -> None:
    """Skip, with the reason, where this machine cannot mount an image of this kind."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts an image")
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("no loop devices here")
    if kind in _MAKE and shutil.which(_MAKE[kind][0]) is None:
        pytest.skip(f"no {_MAKE[kind][0]} here")


def in_own_mounts(kind: str, work: Callable[[Child], object]) -> list[str]:
    """Run `work` in a child whose mounts are gone with it; return what it says."""
    require(kind)

    def run(child: Child) -> None:
        try:
            own_mounts()
            command(["mount", "--make-rprivate", "/"])
        except OSError as error:
            child.say(f"{UNMOUNTABLE}{error}")
        else:
            work(child)

    with Child(run) as child:
        said = child.end()
        if said and said[0].startswith(UNMOUNTABLE):
            pytest.skip(said[0])
        assert child.status == 0, "\n".join(said)
    return said
