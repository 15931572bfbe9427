"""A corrected copy of a file, beside it: written only where nothing else could have been meant."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.errors import CheckpointError

if TYPE_CHECKING:
    from checkpointkit.kubelet.explain import Explanation

__all__ = ["KubeletFileError", "RepairRefusedError", "Repaired", "read_file", "repair", "running"]

_MODE: Final = 0o600
_SUFFIX: Final = ".repaired"
LARGEST: Final = 64 * 2**20
"""Larger files are not read, in bytes: the kubelet never wrote them."""


class KubeletFileError(CheckpointError):
    """A file of the kubelet cannot be read, or the copy of one cannot be written.

    Attributes:
        path: The file.
        reason: Why.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class RepairRefusedError(CheckpointError):
    """A file is not repaired; nothing was written.

    Attributes:
        path: The file.
        reason: Why not.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} is not repaired: {self.reason}; nothing was written"


@frozen
class Repaired:
    """A copy that was written.

    Attributes:
        copy: Its path.
        steps: What is left to do.
    """

    copy: str
    steps: tuple[str, ...]


def read_file(path: str) -> bytes:
    """Return a file of the kubelet, whole.

    Raises:
        KubeletFileError: It cannot be read, is no regular file, or is too large.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        fd = os.open(path, flags)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe would look like an empty file
                raise KubeletFileError(path, "it is no regular file")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(LARGEST + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise KubeletFileError(path, f"cannot be read: {error.strerror}") from error
    if len(data) > LARGEST:
        raise KubeletFileError(path, f"it has more than {LARGEST} bytes")
    return data


def running(proc: str = "/proc") -> tuple[int, ...] | None:
    """Return the processes on this machine that are a kubelet; None where nobody can tell.

    Args:
        proc: Where the kernel lists the processes.
    """
    found: list[int] = []
    try:
        names = os.listdir(proc)
    except OSError:
        return None
    for name in names:
        if name.isdecimal():
            # It may have ended since; then it is no kubelet that runs.
            with suppress(OSError), open(f"{proc}/{name}/comm", "rb") as file:
                if file.read().strip() == b"kubelet":
                    found.append(int(name))
    return tuple(sorted(found))


def repair(path: str, found: Explanation, *, kubelets: tuple[int, ...] | None) -> Repaired:
    """Write a copy with the right checksum beside a file; the file itself is never written.

    Args:
        path: The file.
        found: What was found out about it.
        kubelets: The kubelets that run, as `running` tells.

    Raises:
        RepairRefusedError: The checksum is right; more than the checksum is wrong; it is not
            certain what is; or a kubelet runs, which would write its own state over it.
        KubeletFileError: The copy cannot be written, or is there already.
    """
    if found.reading.problem == "":
        raise RepairRefusedError(path, "its checksum is right")
    if found.corrected is None:
        causes = "; ".join(each.words for each in found.findings)
        reason = f"only a checksum is corrected, and only where the cause is certain ({causes})"
        raise RepairRefusedError(path, reason)
    if kubelets is None:
        raise RepairRefusedError(path, "nobody can tell whether a kubelet runs here")
    if kubelets:
        processes = ", ".join(map(str, kubelets))
        reason = f"a kubelet runs (process {processes}) and writes the file from its memory"
        raise RepairRefusedError(path, reason)
    copy = f"{path}{_SUFFIX}"
    _write(copy, found.corrected)
    steps = (
        "keep the node drained and the kubelet stopped until this is done",
        f"mv -- {shlex.quote(copy)} {shlex.quote(path)}",
        "systemctl start kubelet; kubectl uncordon NODE",
    )
    return Repaired(copy, steps)


def _write(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        with open(os.open(path, flags, _MODE), "wb") as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.unlink(path)  # half a copy must not be moved over the file
                raise
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise KubeletFileError(path, f"cannot be written: {error.strerror}") from error
