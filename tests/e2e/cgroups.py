"""A cgroup of one's own in each hierarchy: what was started can be found, and nobody else's is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tests.e2e.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cgroup", "Hierarchy", "hierarchies"]

_HERE: Final = Path("/sys/fs/cgroup")
_OWN_OPTIONS: Final = {"rw", "xattr", "clone_children"}


@frozen
class Hierarchy:
    """A mounted hierarchy of cgroups.

    Attributes:
        path: Where it is mounted.
        kind: cgroup or cgroup2.
        options: What to mount it with.
    """

    path: Path
    kind: str
    options: str


def hierarchies() -> tuple[Hierarchy, ...]:
    """Return the hierarchies of this machine: one on a machine of today, else several."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        path, (kind, _, options) = Path(before.split()[4]), after.split(" ", 2)
        if kind in {"cgroup", "cgroup2"} and path.is_relative_to(_HERE):
            chosen = [each for each in options.split(",") if each.split("=")[0] not in _OWN_OPTIONS]
            if any(each.startswith("name=") for each in chosen):
                chosen.insert(0, "none")
            found.append(Hierarchy(path, kind, ",".join(chosen) if kind == "cgroup" else "rw"))
    return tuple(found)


class Cgroup:
    """A cgroup of the same name in all hierarchies, as the root of a machine's own.

    In the hierarchy of today (cgroup2) a cgroup with controllers for others has no processes, so
    that the machine's are in one below it.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self.hierarchies = hierarchies()
        self._paths = [each.path / name for each in self.hierarchies]
        self._enabled: list[tuple[Path, str]] = []

    def make(self) -> None:
        """Make it; it is empty."""
        for path in self._paths:
            path.mkdir(exist_ok=True)
            for each in ("cpuset.cpus", "cpuset.mems"):  # without them it takes no process
                if (path / "cgroup.clone_children").exists() and (path / each).exists():
                    (path / each).write_text((path.parent / each).read_text())
            self._enable_controllers(path.parent)

    def joining(self, below: str = "") -> list[str]:
        """Return the words before a command that is to be in it, with all that it starts.

        Args:
            below: The cgroup below it to join in the hierarchy of today.
        """
        paths = [
            path / below if each.kind == "cgroup2" else path
            for path, each in zip(self._paths, self.hierarchies, strict=True)
        ]
        script = 'for each in $1; do echo $$ >"$each/cgroup.procs"; done; shift; exec "$@"'
        return ["sh", "-ec", script, "cgroup", " ".join(map(str, paths))]

    def _enable_controllers(self, parent: Path) -> None:
        switch, there = parent / "cgroup.subtree_control", parent / "cgroup.controllers"
        if not there.exists():
            return
        for each in set(there.read_text().split()) - set(switch.read_text().split()):
            switch.write_text(f"+{each}")
            self._enabled.append((switch, each))

    def remove(self) -> None:
        """Remove it, and what was made in it, as soon as its processes have ended."""
        for path in self._paths:
            for each in _tree(path):
                eventually(f"{each} is empty", partial(_is_removed, each))
        for switch, controller in self._enabled:
            switch.write_text(f"-{controller}")
        self._enabled.clear()


def _tree(path: Path) -> Iterator[Path]:
    """Return the cgroups below one, and it, the innermost first."""
    if path.is_dir():
        for each in sorted(path.iterdir()):
            if each.is_dir():
                yield from _tree(each)
        yield path


def _is_removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError:  # the kernel is about to take the last processes away
        return False
    return True
