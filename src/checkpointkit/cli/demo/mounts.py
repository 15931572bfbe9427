"""What the agent observes: the file systems that are mounted on this machine."""

from __future__ import annotations

import re
import shutil
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNTINFO: Final = Path("/proc/self/mountinfo")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_PLACES: Final = ("/tmp", "/var", "/System/Volumes/Data")  # noqa: S108 - looked at, not used
_FIELDS_AFTER_DASH: Final = 2
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


@frozen
class Mount:
    """One mounted file system, as release 1 of the agent keeps it.

    Attributes:
        mount_point: Where it is mounted.
        filesystem: Its type, for example `ext4`.
        source: What is mounted, for example a device.
        options: Its mount options with commas between them.
    """

    mount_point: str
    filesystem: str
    source: str
    options: str


def parse_mountinfo(text: bytes) -> tuple[Mount, ...]:
    r"""Parse the mount table of a Linux process (`proc_pid_mountinfo(5)`). Pure.

    Args:
        text: The bytes of `/proc/self/mountinfo`: paths may be in any encoding, or in none.

    Raises:
        ValueError: A line is none of a mount table.

    Example:
        >>> parse_mountinfo(b"36 35 98:0 / /my\\040disk rw,noatime shared:1 - ext3 /dev/a rw\n")
        (Mount(mount_point='/my disk', filesystem='ext3', source='/dev/a', options='rw,noatime'),)
    """
    return tuple(
        # a path may hold any other kind of line end, which the kernel does not escape
        _parse_line(number, line.removesuffix(b"\n"))
        for number, line in enumerate(BytesIO(text), start=1)
    )


def _parse_line(number: int, line: bytes) -> Mount:
    fields = line.split(b" ")
    # any number of optional fields stands between the sixth one and the dash
    rest = fields[fields.index(b"-", 6) + 1 :] if b"-" in fields[6:] else []
    if len(rest) < _FIELDS_AFTER_DASH:
        raise ValueError(f"line {number} is none of a mount table")
    return Mount(
        mount_point=_unescape(fields[4]),
        filesystem=_unescape(rest[0]),
        source=_unescape(rest[1]),
        options=_unescape(fields[5]),
    )


def _unescape(field: bytes) -> str:
    r"""Undo the kernel's octal escapes; bytes that are no UTF-8 stay readable as `\xff`."""
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field)
    return raw.decode(errors="backslashreplace")


def read_mounts(
    mountinfo: Path = MOUNTINFO, elsewhere: Iterable[Path] | None = None
) -> tuple[Mount, ...]:
    """Read the mount table of this machine.

    Args:
        mountinfo: The kernel's mount table.
        elsewhere: Paths to measure where there is no such table; None for the usual ones.

    Returns:
        Every mount; without a mount table, one entry for each path that exists, with its size as
        the only option.
    """
    if mountinfo.exists():
        return parse_mountinfo(mountinfo.read_bytes())
    paths = _usual_paths() if elsewhere is None else elsewhere
    return tuple(
        Mount(str(path), "unknown", "unknown", f"size={shutil.disk_usage(path).total}")
        for path in paths
        if path.exists()
    )


def _usual_paths() -> tuple[Path, ...]:
    here = Path.cwd()
    return (Path(here.anchor), *map(Path, _PLACES), here)


def read_boot_id(path: Path = BOOT_ID) -> str | None:
    """Return the id of this boot; None where the system gives none."""
    return path.read_text().strip() if path.exists() else None


def filesystem_of(path: str, mounts: Iterable[Mount]) -> str:
    """Return the type of the file system that an absolute path is on. Pure.

    The longest mount point above the path wins, and of two at one place the later one, which
    covers the other.
    """
    place = PurePosixPath(path)
    found, depth = "unknown", 0
    for mount in mounts:
        point = PurePosixPath(mount.mount_point)
        if place.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = mount.filesystem, len(point.parts)
    return found
