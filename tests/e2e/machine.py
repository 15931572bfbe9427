"""A machine that can lose its power: its processes and its mounts are in namespaces of their own.

Whoever ends the first process of a PID namespace ends all of them, at one moment; the mounts go
with the last. What a reboot keeps are directories, and what it does not keep (/run) is emptied
before the next start. Nothing is left on the machine that plays this one: /etc, /var and /run are
overlays in there.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import astuple

from tests.e2e.cgroups import Cgroup
from tests.e2e.processes import Process, child_of, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Machine"]

_MOUNTS: Final = """
base=$1; shift
for top in etc var run; do
    mkdir -p "$base/$top" "$base/.work/$top"
    mount -t overlay -o "lowerdir=/$top,upperdir=$base/$top,workdir=$base/.work/$top" none "/$top"
done
while [ "$1" != -- ]; do
    umount "$1"
    mount -t "$2" -o "$3" none "$1"
    if [ "$2" = cgroup2 ]; then
        mkdir "$1/programs"
        echo $$ >"$1/programs/cgroup.procs"
        for each in $(cat "$1/cgroup.controllers"); do
            echo "+$each" >"$1/cgroup.subtree_control"
        done
    fi
    shift 3
done
shift
for path; do
    mkdir -p "$base/kept$path" "$path"
    mount --bind "$base/kept$path" "$path"
done
mkdir -p "$base/sys"
for path in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
    kernel/keys/root_maxkeys kernel/keys/root_maxbytes
do
    file=$base/sys/${path##*/}
    cat "/proc/sys/$path" >"$file"
    mount --bind "$file" "/proc/sys/$path"
done
exec env --ignore-signal=CHLD sleep infinity
"""
"""The last step lets a kubelet have its way with what it sets for a whole machine, in files that
nobody else reads (setupKernelTunables in pkg/kubelet/cm). The first process ignores the end of its
children, so that none of them stays as a zombie."""


class Machine:
    """A machine, off at first.

    Args:
        directory: What it keeps.
        logs: Where its processes log.
        paths: Directories that are its own, and whose files can be seen from outside: `at` says
            where.
        volatile: Those of them that a reboot empties.
    """

    def __init__(
        self, directory: Path, logs: Path, paths: Sequence[str], volatile: Sequence[str]
    ) -> None:
        self._directory, self._logs = directory, logs
        self._paths, self._volatile = tuple(paths), tuple(volatile)
        self._cgroup = Cgroup(directory.parent.name)
        self._outer: Process | None = None
        self._first = 0
        self._processes: dict[str, Process] = {}
        directory.mkdir(parents=True)

    def at(self, path: str) -> Path:
        """Return where a directory of the machine, or a file in one, is seen from outside."""
        return self._directory / "kept" / path.lstrip("/")

    def power_on(self) -> None:
        """Start it, without any program."""
        for path in (*map(self.at, self._volatile), *self._overlays("run")):
            shutil.rmtree(path, ignore_errors=True)
        self._cgroup.make()
        flags = ("--mount", "--pid", "--mount-proc", "--propagation", "private")
        unshare = ("unshare", "--fork", "--kill-child=KILL", *flags, "--")
        # The first process alone joins, and makes the cgroup that it is in the root of all.
        joined = (*self._cgroup.joining(), "unshare", "--cgroup", "--")
        mounts = [part for each in self._cgroup.hierarchies for part in astuple(each)]
        words = [str(self._directory), *map(str, mounts), "--", *self._paths]
        script = ("sh", "-ec", _MOUNTS, "machine", *words)
        command = (*unshare, *joined, *script)
        self._outer = outer = Process("the machine", command, self._logs / "machine.log")
        self._first = outer.until(lambda: child_of(outer.pid), 30)
        mounted = Path(f"/proc/{self._first}/comm")
        outer.until(lambda: mounted.read_text().strip() == "sleep", 30)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program in it.

        Args:
            name: The program's, and its log's.
            command: Its words.
            environment: Its whole environment; None for that of the tests.
        """
        if self._outer is None:
            raise RuntimeError("the machine has no power")
        flags = ("--mount", "--pid", "--cgroup", "--")
        enter = [*self._cgroup.joining("programs"), "nsenter", f"--target={self._first}", *flags]
        log = self._logs / f"{name}.log"
        self._processes[name] = _Inside(name, [*enter, *command], log, environment=environment)
        return self._processes[name]

    def power_off(self) -> None:
        """End all of its programs at one moment; what they could have said is lost."""
        if self._outer is None:
            return
        self._outer.kill()  # unshare has promised to kill the first process, too
        # The kernel takes that one away when all the others are gone.
        gone = Path(f"/proc/{self._first}")
        eventually("the machine is off", lambda: not gone.exists(), pause=0.01)
        for process in self._processes.values():
            process.kill()
        self._processes.clear()
        self._outer = None
        self._cgroup.remove()

    def processes(self) -> list[str]:
        """Return the command lines of all of its processes."""
        lines = []
        for path in Path(f"/proc/{self._first}/root/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(path.read_bytes().replace(b"\0", b" ").decode())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended just now
        return lines

    def _overlays(self, top: str) -> tuple[Path, Path]:
        return self._directory / top, self._directory / ".work" / top


class _Inside(Process):
    """A program in a machine: nsenter, which waits for it."""

    def terminate(self) -> None:
        """Ask the program to end."""
        program = child_of(self.pid)
        if program is not None:
            os.kill(program, signal.SIGTERM)
