"""A small file system of one's own: a tmpfs that no other process sees and that goes by itself.

It is mounted in a mount namespace, which ends with its last process, killed or not. A user
namespace around that makes it possible without being root, where the kernel allows it.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 1 << 18
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4


def mount_small_disk(directory: Path, size: int) -> None:
    """Mount a tmpfs on a directory, for this process and its children alone.

    For a process with one thread, such as one that was just forked: it changes its namespaces.

    Args:
        directory: An empty directory.
        size: How many bytes the file system takes.

    Raises:
        OSError: This machine does not allow it, or has no such thing.
    """
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWNS | _CLONE_NEWUSER)
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")  # the kernel asks for it before it takes a gid_map
    (own / "uid_map").write_text(f"0 {user} 1")
    (own / "gid_map").write_text(f"0 {group} 1")
    # no mount made here may reach the rest of the machine
    _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    place, options = os.fsencode(directory), b"size=%d,mode=0700" % size
    _call("mount", b"tmpfs", place, b"tmpfs", _MS_NOSUID | _MS_NODEV, options)


def _call(name: str, *arguments: bytes | int | None) -> None:
    """Call a function of the C library that returns 0, or -1 with errno set."""
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except AttributeError:
        raise OSError(f"this system has no {name}") from None
    # a plain int would be passed in 32 bits, where mount(2) takes a long
    passed = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    if function(*passed) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
