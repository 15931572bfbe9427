"""How `checkpointkit archives verify --export` writes a file: all of it, or not at all."""

from __future__ import annotations

import os
import stat
from secrets import token_hex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_ANYBODY: Final = 0o666
"""Who may read it is for the umask to say."""


def write_lines(path: str, lines: Iterable[str]) -> None:
    """Write lines to a file; if that fails on the way, what was there before is still there.

    They go to a file beside it, which takes its place at the end. A pipe and a device are
    written as they are.

    Args:
        path: The file; a link is followed.
        lines: The lines, without newlines.

    Raises:
        OSError: It cannot be written.
    """
    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        return
    beside = os.path.join(os.path.dirname(target), f".chain-{token_hex(8)}")
    descriptor = os.open(beside, _NEW, _ANYBODY)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            if mode is not None:
                os.fchmod(descriptor, stat.S_IMODE(mode))
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(descriptor)
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise
