"""The power fails between any two operations: what a file system may then have is old or new.

The states are those that `checkpointkit.testing.crash` builds for stores, with symbolic links.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import pytest
from attrs import frozen

from checkpointkit.pods.files.directory import FileCalls
from checkpointkit.pods.model import manifest_file, original_file
from checkpointkit.testing.crash.disk import Disk
from checkpointkit.testing.crash.drawing import draw_operations, draw_tree
from checkpointkit.testing.crash.numbers import draw
from checkpointkit.testing.crash.recording import RecordingCalls
from checkpointkit.testing.crash.states import Depth, cut_off, states
from checkpointkit.testing.crash.tree import Enter, Sync, Write
from tests.pods.files.support import (
    PLACE,
    WEB,
    KilledError,
    asset_files,
    asset_set,
    manifest,
    manifests,
    seen_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH: Final = Depth(cuts=1000, names=16, contents=5, random=2)
# Modes are not modelled: these are those that a court gives.
OLD: Final = asset_set({"a": b"old", "both/x": b"old", "gone": b"old"}, mode=0o700)
NEW: Final = asset_set({"a": b"new!", "both/x": b"new!", "fresh": b"new!"}, mode=0o700)
FILE: Final = manifest_file(WEB)
RETRY: Final = manifest_file(WEB, 1)


class LinkRecordingCalls(RecordingCalls, FileCalls):
    """Notes symbolic links, too: as files that have their bytes from the start."""

    def __init__(self, directory: str, first: int = 0) -> None:
        super().__init__(directory, first)
        setattr(self, "symlink", self._symlink)  # noqa: B010 - a static method

    def _symlink(self, target: str, name: str, *, dir_fd: int) -> None:
        above, last = self._place(name, dir_fd)
        FileCalls.symlink(target, name, dir_fd=dir_fd)
        if above is not None:
            node = self._new()
            self._do(Write(node, 0, target.encode()))
            self._do(Sync(node))
            self._do(Enter(above, last, node))


class LinkDisk(Disk):
    """A directory that is brought into states that have symbolic links."""

    def __init__(self, directory: Path, first: int = 0) -> None:
        super().__init__(directory, first)
        self.calls: LinkRecordingCalls = LinkRecordingCalls(str(directory), first)

    def _make(self, path: str, data: bytes) -> None:
        if data.startswith(b".."):
            os.symlink(data.decode(), self._path(path))
        else:
            super()._make(path, data)


def nothing(directory: Path, calls: FileCalls) -> None:
    """There is nothing."""


def old_set(directory: Path, calls: FileCalls) -> None:
    asset_files(directory, calls).write(OLD)


def old_manifests(directory: Path, calls: FileCalls) -> None:
    both = manifests(directory, calls)
    both.write_inactive(WEB, manifest(WEB, "old"))
    both.write_active(WEB, manifest(WEB, "old"), original_file(WEB))


def seen_set(directory: Path) -> str:
    return seen_of(directory, {"old": OLD, "new": NEW})


def seen_manifest(part: str) -> Callable[[Path], str]:
    def look(directory: Path) -> str:
        found = manifests(directory).scan()
        assert found.problems == ()
        if WEB not in found.pods:
            return "none"
        files = found.pods[WEB].active if part == "active" else found.pods[WEB].inactive
        notes = {each.manifest["note"] for each in files} or {"none"}
        return "new" if "new" in notes else notes.pop()

    return look


def mend_set(directory: Path, calls: FileCalls) -> None:
    asset_files(directory, calls).write(NEW)
    names = os.listdir(directory / PLACE)
    assert len(names) == 5, names  # three keys, `..data`, and what it leads to
    assert seen_set(directory) == "new"


def mend_manifests(directory: Path, calls: FileCalls) -> None:
    both = manifests(directory, calls)
    both.tidy()
    both.write_inactive(WEB, manifest(WEB, "new"))
    both.write_active(WEB, manifest(WEB, "new"), FILE)
    assert os.listdir(directory / "inactive") == [FILE]
    assert os.listdir(directory / "active") == [FILE]


@frozen
class Scenario:
    """A call, what is there before, and what may be there after the power has failed.

    Attributes:
        before: Makes what is there before, all of it durable.
        act: The call.
        seen: Tells what can be seen.
        allowed: What may be seen when it was cut off.
        after: What is to be seen once it has returned.
    """

    before: Callable[[Path, FileCalls], object]
    act: Callable[[Path, FileCalls], object]
    seen: Callable[[Path], str]
    allowed: set[str]
    after: str


SCENARIOS: Final = {
    "first set": Scenario(
        nothing, lambda d, c: asset_files(d, c).write(NEW), seen_set, {"none", "new"}, "new"
    ),
    "next set": Scenario(
        old_set, lambda d, c: asset_files(d, c).write(NEW), seen_set, {"old", "new"}, "new"
    ),
    "removed set": Scenario(
        old_set, lambda d, c: asset_files(d, c).remove(WEB), seen_set, {"old", "none"}, "none"
    ),
    "first manifest": Scenario(
        nothing,
        lambda d, c: manifests(d, c).write_inactive(WEB, manifest(WEB, "new")),
        seen_manifest("inactive"),
        {"none", "new"},
        "new",
    ),
    "next manifest": Scenario(
        old_manifests,
        lambda d, c: manifests(d, c).write_inactive(WEB, manifest(WEB, "new")),
        seen_manifest("inactive"),
        {"old", "new"},
        "new",
    ),
    "another active file": Scenario(
        old_manifests,
        lambda d, c: manifests(d, c).write_active(WEB, manifest(WEB, "new"), RETRY),
        seen_manifest("active"),
        {"old", "new"},
        "new",
    ),
    "removed manifest": Scenario(
        old_manifests,
        lambda d, c: manifests(d, c).remove_active(WEB),
        seen_manifest("active"),
        {"old", "none"},
        "none",
    ),
}


def judge(scenario: Scenario, directory: Path, name: str) -> int:
    """Judge the states that the power may leave when it fails after each operation."""
    stage, court = LinkDisk(directory / "stage"), LinkDisk(directory / "court", 10**9)
    scenario.before(stage.path, stage.calls)
    start = stage.calls.tree.copy()
    stage.calls.begin()
    scenario.act(stage.path, stage.calls)
    operations = stage.calls.operations
    random, drawn = Random(name), draw()
    known: set[tuple[bool, int]] = set()
    seen = set()
    for cut in range(len(operations) + 1):
        is_over = cut == len(operations)
        cutoff = cut_off(start, operations[:cut], random, DEPTH)
        for number, tree in states(cutoff, random, DEPTH, drawn):
            if (is_over, number) in known:
                continue
            known.add((is_over, number))
            court.become(tree)
            found = scenario.seen(court.path)
            seen.add(found)
            if found not in ({scenario.after} if is_over else scenario.allowed):
                lines = *draw_operations(start, operations[:cut]), "left:", *draw_tree(tree)
                raise AssertionError("\n".join((f"{name}: {found}", *lines)))
            mend = mend_set if scenario.seen is seen_set else mend_manifests
            mend(court.path, court.calls)
    assert seen == scenario.allowed
    return len(known)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_power_cut_leaves_the_old_or_the_new_and_the_next_write_mends_it(
    quick: Path, name: str, count: Callable[[str], None], unmeasured: None
) -> None:
    judged = judge(SCENARIOS[name], quick, name)
    count(f"pods, {name}: {judged} states after a power cut")
    assert judged > 2


def write_set_again(directory: Path, calls: FileCalls) -> None:
    asset_files(directory, calls).write(NEW)


def keep_manifest(directory: Path, calls: FileCalls) -> None:
    """Write it only if it is not there, as a tick does."""
    both = manifests(directory, calls)
    both.tidy()
    if seen_manifest("active")(directory) != "new":
        both.write_active(WEB, manifest(WEB, "new"), RETRY)


@pytest.mark.parametrize(
    ("name", "successor"), [("next set", write_set_again), ("another active file", keep_manifest)]
)
def test_what_a_killed_process_has_put_in_place_is_durable_once_its_successor_has_seen_it(
    quick: Path, name: str, successor: Callable[[Path, FileCalls], object], unmeasured: None
) -> None:
    scenario = SCENARIOS[name]
    for at in range(1000):
        directory = quick / str(at)
        directory.mkdir()
        stage, court = LinkDisk(directory / "stage"), LinkDisk(directory / "court", 10**9)
        scenario.before(stage.path, stage.calls)
        start = stage.calls.tree.copy()
        stage.calls.begin()
        stage.calls.before = Countdown(at)
        try:
            scenario.act(stage.path, stage.calls)
        except KilledError:
            stage.calls.before = None
        else:
            assert at > 5
            return
        successor(stage.path, stage.calls)
        operations = stage.calls.operations
        for _, tree in states(cut_off(start, operations, Random(at), DEPTH), Random(at), DEPTH):
            court.become(tree)
            assert scenario.seen(court.path) == "new", draw_operations(start, operations)


class Countdown:
    """Dies ahead of one operation, and of all that follow."""

    def __init__(self, left: int) -> None:
        self._left = left

    def __call__(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise KilledError
