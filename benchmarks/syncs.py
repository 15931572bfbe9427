"""Counting syncs: does each contender that is called durable really ask the disk?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Final

from benchmarks.contenders import CONTENDERS, by_name, save_and_close
from benchmarks.states import States

CALLS: Final = ("fsync", "fdatasync", "msync", "sync_file_range", "syncfs", "sync")
_SAVES: Final = 20
_SYNCHRONOUS: Final = re.compile(r"O_D?SYNC")


def parse_trace(trace: str) -> tuple[int, bool]:
    r"""Return how many syncs an strace log shows, and whether writes to some file are synchronous.

    Example:
        >>> parse_trace('7 fsync(3) = 0\n7 openat(4, "a", O_RDWR|O_DSYNC) = 5\n')
        (1, True)
    """
    syncs = sum(
        bool(re.match(rf"(\d+ +)?({'|'.join(CALLS)})\(", line)) for line in trace.split("\n")
    )
    return syncs, bool(_SYNCHRONOUS.search(trace))


def _trace(name: str, saves: int) -> tuple[int, bool]:
    with tempfile.TemporaryDirectory(prefix="checkpointkit-") as path:
        command = ["strace", "-f", "-qq", "-o", f"{path}/trace"]
        command += ["-e", f"trace=openat,{','.join(CALLS)}", sys.executable, "-m", __spec__.name]
        subprocess.run([*command, name, str(saves), f"{path}/store"], check=True)
        with open(f"{path}/trace", encoding="utf-8", errors="replace") as file:
            return parse_trace(file.read())


def count_syncs() -> dict[str, str]:
    """Return, by contender, how many syncs one further save makes, as strace sees it.

    The difference between many saves and twice as many, so that opening and closing cancel out.
    Empty where there is no strace.
    """
    found: dict[str, str] = {}
    if shutil.which("strace") is None:
        return found
    for contender in CONTENDERS:
        if contender.missing() is None:
            few, _ = _trace(contender.name, _SAVES)
            many, synchronous = _trace(contender.name, 2 * _SAVES)
            found[contender.name] = f"{(many - few) / _SAVES:g}" + " + O_DSYNC" * synchronous
    return found


def main(name: str, saves: str, path: str) -> None:
    """Save some states: what is traced."""
    os.mkdir(path)
    states = States("1 KiB")
    save_and_close(by_name(name), path, (states.next() for _ in range(int(saves))))


if __name__ == "__main__":
    main(*sys.argv[1:])
