"""What was measured on: processor, system, file system; no names of machines or people."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from datetime import UTC, datetime


def processor(cpuinfo: str, count: int | None) -> str:
    r"""Return the processor's name from the text of /proc/cpuinfo.

    Example:
        >>> processor("processor: 0\nmodel name\t: Fast CPU\n", 2)
        '2 x Fast CPU'
    """
    names = (
        line.partition(":")[2].strip() for line in cpuinfo.splitlines() if "model name" in line
    )
    return f"{count} x {next(names, 'unknown processor')}"


def mount_of(path: str, mountinfo: str) -> tuple[str, str, str]:
    r"""Return type, device and options of the file system of a path, by /proc/self/mountinfo.

    Example:
        >>> mount_of("/var/x", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /v rw - tmpfs t rw")
        ('ext4', '/dev/sda1', 'rw')
    """
    found = ("", ("unknown", "", ""))
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        place = fields.split()[4]
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(found[0]):
            kind, device, options = rest.split()[:3]
            found = (place, (kind, device, options))
    return found[1]


def file_system(path: str) -> str:
    """Describe the file system under a path: its type, and for ext4 whether it has a journal."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            kind, device, options = mount_of(os.path.realpath(path), file.read())
    except OSError:
        return "unknown file system"
    notes = [option for option in options.split(",") if option in ("discard", "nobarrier")]
    if kind == "ext4":
        name = os.path.basename(os.path.realpath(device))
        try:
            journals = os.listdir("/proc/fs/jbd2")
        except OSError:
            journals = []
        if not any(journal.rpartition("-")[0] == name for journal in journals):
            notes.insert(0, "no journal")
    return f"{kind} ({', '.join(notes)})" if notes else kind


def describe(path: str) -> dict[str, str]:
    """Return what the figures depend on."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            cpuinfo = file.read()
    except OSError:
        cpuinfo = ""
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(cpuinfo, os.cpu_count()),
        "system": f"{platform.system()} {kernel}",
        "file system": file_system(path),
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "sqlite": sqlite3.sqlite_version,
        "load": f"{os.getloadavg()[0]:.1f} at the start",
    }
