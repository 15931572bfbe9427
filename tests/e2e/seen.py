"""What the pods of the tests have written down: what they saw, and when they lived."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import frozen

from tests.e2e.processes import eventually

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Beat", "Diary", "now"]


def now() -> float:
    """Return the seconds since the machine was started, which the pods write down, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@frozen(order=True)
class Beat:
    """A sign of life.

    Attributes:
        at: When, in seconds since the machine was started.
        name: The pod's name, as it sees it.
    """

    at: float
    name: str


class Diary:
    """The directory where the pods write.

    Args:
        directory: It.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        directory.chmod(0o777)  # the pods have users of their own

    def beats(self, since: float = 0.0) -> list[Beat]:
        """Return all signs of life, in order."""
        path = self.directory / "heartbeats"
        if not path.exists():
            return []
        whole = path.read_text().rpartition("\n")[0]
        beats = (line.split() for line in whole.splitlines())
        return sorted(Beat(float(at), name) for name, at in beats if float(at) >= since)

    def first(self, name: str, since: float, patience: float = 120.0) -> float:
        """Wait for the first sign of life of a pod, and return when it was.

        Args:
            name: The pod's name.
            since: What was before does not count.
            patience: For how many seconds it is waited for.
        """
        found = eventually(f"{name} lives", lambda: self._of(name, since), patience)
        return found[0]

    def last(self, name: str) -> float:
        """Return when a pod lived for the last time."""
        return self._of(name, 0.0)[-1]

    def longest_silence(self, since: float, until: float) -> float:
        """Return for how many seconds nobody lived."""
        times = [beat.at for beat in self.beats(since) if beat.at <= until]
        return max(after - before for before, after in pairwise(times))

    def files(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return what a pod saw of its files: mode, group and sum of each, by path."""
        found: dict[str, tuple[str, ...]] = {}
        for each in ("modes", "sums"):
            for line in (self.directory / name / each).read_text().splitlines():
                *facts, path = line.split()
                found[path] = (*found.get(path, ()), *facts)
        return found

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a pod."""
        lines = (self.directory / name / "env").read_text().splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def _of(self, name: str, since: float) -> list[float]:
        return [beat.at for beat in self.beats(since) if beat.name == name]
