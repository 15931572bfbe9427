"""Each call to the disk fails, or is the last: old or new is there, and the next write mends."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

import pytest
from attrs import frozen

from checkpointkit.errors import OutcomeUnknownError, StoreError
from checkpointkit.pods.files.manifests import PodFiles
from checkpointkit.pods.model import manifest_file, original_file
from tests.pods.files.support import (
    PLACE,
    WEB,
    Calls,
    KilledError,
    asset_files,
    asset_set,
    manifest,
    manifests,
    seen_of,
    tree,
)
from tests.support.calls import descriptors, settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.pods.files.directory import FileCalls

OLD: Final = asset_set({"a": b"old", "both/x": b"old", "gone": b"old"})
NEW: Final = asset_set({"a": b"new", "both/x": b"new", "both/y": b"new", "fresh": b"new"})
FILE: Final = manifest_file(WEB)
RETRY: Final = manifest_file(WEB, 1)


@frozen
class Scenario:
    """A call, what is there before, and what may be seen after it was cut off.

    Attributes:
        prepare: Makes what is there before.
        act: The call, for a directory and system calls.
        seen: Tells what can be seen.
    """

    prepare: Callable[[Path], object]
    act: Callable[[Path, FileCalls], object]
    seen: Callable[[Path], object]


def nothing(directory: Path) -> None:
    """There is nothing."""


def write_old(directory: Path) -> None:
    asset_files(directory).write(OLD)


def write_original(directory: Path) -> None:
    path = directory / PLACE
    path.mkdir(parents=True)
    (path / "unknown").write_bytes(b"original")


def seen_set(directory: Path) -> str:
    return seen_of(directory, {"old": OLD, "new": NEW})


def put_manifests(directory: Path) -> None:
    both = manifests(directory)
    both.write_inactive(WEB, manifest(WEB, "old"))
    both.write_active(WEB, manifest(WEB, "old"), RETRY)
    for part in ("inactive", "active"):
        (directory / part / original_file(WEB)).write_bytes(manifest(WEB, "original"))
        os.utime(directory / part / original_file(WEB), (1, 1))


def seen_manifests(part: str) -> Callable[[Path], object]:
    def look(directory: Path) -> str:
        found = manifests(directory).scan()
        assert found.problems == ()
        files = found.pods.get(WEB, PodFiles())
        each = files.active if part == "active" else files.inactive
        return each[0].manifest["note"] if each else "none"

    return look


SCENARIOS: Final = {
    "first set": Scenario(nothing, lambda d, c: asset_files(d, c).write(NEW), seen_set),
    "next set": Scenario(write_old, lambda d, c: asset_files(d, c).write(NEW), seen_set),
    "same set": Scenario(write_old, lambda d, c: asset_files(d, c).write(OLD), seen_set),
    "set over files": Scenario(write_original, lambda d, c: asset_files(d, c).write(NEW), seen_set),
    "removed sets": Scenario(write_old, lambda d, c: asset_files(d, c).remove(WEB), seen_set),
    "collected sets": Scenario(write_old, lambda d, c: asset_files(d, c).collect([]), seen_set),
    "discarded sets": Scenario(
        write_old, lambda d, c: asset_files(d, c).discard_others(WEB, []), seen_set
    ),
    "first manifest": Scenario(
        nothing,
        lambda d, c: manifests(d, c).write_inactive(WEB, manifest(WEB, "new")),
        seen_manifests("inactive"),
    ),
    "next manifest": Scenario(
        put_manifests,
        lambda d, c: manifests(d, c).write_inactive(WEB, manifest(WEB, "new")),
        seen_manifests("inactive"),
    ),
    "active manifest": Scenario(
        put_manifests,
        lambda d, c: manifests(d, c).write_active(WEB, manifest(WEB, "new"), RETRY),
        seen_manifests("active"),
    ),
    "another active file": Scenario(
        put_manifests,
        lambda d, c: manifests(d, c).write_active(WEB, manifest(WEB, "new"), FILE),
        seen_manifests("active"),
    ),
    "removed manifest": Scenario(
        put_manifests, lambda d, c: manifests(d, c).remove_active(WEB), seen_manifests("active")
    ),
    "tidy": Scenario(put_manifests, lambda d, c: manifests(d, c).tidy(), seen_manifests("active")),
}
ALLOWED: Final = {
    "first set": {"none", "new"},
    "next set": {"old", "new"},
    "same set": {"old"},
    "set over files": {"none", "new"},
    "removed sets": {"old", "none"},
    "collected sets": {"old", "none"},
    "discarded sets": {"old", "none"},
    "first manifest": {"none", "new"},
    "next manifest": {"old", "new"},
    "active manifest": {"old", "new"},
    "another active file": {"old", "new"},
    "removed manifest": {"old", "none"},
    "tidy": {"old"},
}


CHANGING: Final = (
    "chmod",
    "fchmod",
    "fchown",
    "fsync",
    "mkdir",
    "rename",
    "rmdir",
    "symlink",
    "unlink",
    "write",
)
"""What changes something, or comes after it: to die ahead of others is to die ahead of these."""
GROWING: Final = ("fsync", "mkdir", "open", "rename", "symlink", "write")
"""What may find the disk full."""


def temporaries(directory: Path) -> list[str]:
    """Return what only an operation that was cut off leaves."""
    found = []
    for path in tree(directory):
        above, _, name = path.rpartition("/")
        if name.startswith(".checkpointkit-") or name == "..new":
            found.append(path)
        elif name.startswith("..") and name != "..data":
            link = directory / above / "..data"
            if not link.is_symlink() or os.readlink(link) != name:
                found.append(path)
    return found


def mended(scenario: Scenario, directory: Path) -> None:
    """Write anew, as the next tick does, and see that nothing else is there."""
    if scenario.seen is seen_set:
        asset_files(directory).write(NEW)
        assert seen_set(directory) == "new"
        shown = [name for name in os.listdir(directory / PLACE) if not name.startswith("..")]
        assert sorted(shown) == ["a", "both", "fresh"]
        assert os.listdir(directory) == ["secrets"]
    else:
        both = manifests(directory)
        both.write_inactive(WEB, manifest(WEB, "last"))
        both.write_active(WEB, manifest(WEB, "last"), FILE)
        assert os.listdir(directory / "inactive") == [FILE]
        assert os.listdir(directory / "active") == [FILE]
        assert scenario.seen(directory) == "last"
    assert temporaries(directory) == []


def attempts(scenario: Scenario, directory: Path) -> list[str]:
    """Return the calls that the scenario makes."""
    directory.mkdir()
    scenario.prepare(directory)
    calls = Calls(directory)
    scenario.act(directory, calls)
    return calls.attempts


@pytest.mark.parametrize("name", SCENARIOS)
def test_whichever_call_a_killed_process_dies_ahead_of_the_next_one_mends_it(
    quick: Path, name: str, unmeasured: None
) -> None:
    scenario = SCENARIOS[name]
    settle()
    before = descriptors()
    seen = set()
    for at, call in enumerate(attempts(scenario, quick / "counted")):
        if not call.startswith(CHANGING):
            continue
        directory = quick / str(at)
        directory.mkdir()
        scenario.prepare(directory)
        calls = Calls(directory)
        calls.left = at
        with pytest.raises(KilledError):
            scenario.act(directory, calls)
        seen.add(found := scenario.seen(directory))
        if scenario.seen is seen_set:
            names = os.listdir(directory / PLACE) if (directory / PLACE).exists() else []
            is_there = found != "none" or names == ["unknown"]  # the original's, as it was
            assert asset_files(directory).is_present(PLACE) == is_there
        mended(scenario, directory)
    assert seen == ALLOWED[name]
    assert descriptors() == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", SCENARIOS)
def test_whichever_call_fails_the_error_says_whether_the_new_state_is_there(
    quick: Path, name: str, number: int, unmeasured: None
) -> None:
    scenario = SCENARIOS[name]
    before = descriptors()
    failures = 0
    for at, call in enumerate(attempts(scenario, quick / "counted")):
        if number == errno.ENOSPC and not call.startswith(GROWING):
            continue
        directory = quick / str(at)
        directory.mkdir()
        scenario.prepare(directory)
        start = scenario.seen(directory)
        calls = Calls(directory)
        calls.break_at(at, number)
        published = False
        try:
            scenario.act(directory, calls)
        except StoreError as error:
            failures += 1
            assert errno.errorcode[number] in str(error)
            published = isinstance(error, OutcomeUnknownError)
            assert published or scenario.seen(directory) == start, calls.failed
        (failed,) = calls.failed
        if failed.startswith("fsync"):  # the next sync would succeed, whatever the disk has
            assert failed not in calls.attempts[at + 1 :]
        if not published and name != "tidy":
            assert temporaries(directory) == [], failed
        mended(scenario, directory)
    assert failures
    assert descriptors() == before


def test_a_set_whose_sync_has_failed_is_written_anew(quick: Path) -> None:
    calls = Calls(quick)
    files = asset_files(quick, calls)
    files.write(OLD)
    calls.breaking = (f"fsync {PLACE}", 1)  # the one after the swap
    with pytest.raises(OutcomeUnknownError):
        files.write(NEW)
    assert seen_set(quick) == "new"
    version = os.readlink(quick / PLACE / "..data")
    assert files.write(NEW)
    assert os.readlink(quick / PLACE / "..data") != version
    assert not files.write(NEW)


def test_manifests_whose_sync_has_failed_are_synced_with_something_new_among_them(
    quick: Path,
) -> None:
    calls = Calls(quick)
    both = manifests(quick, calls)
    both.write_active(WEB, manifest(WEB, "old"), FILE)
    for act in (
        lambda: both.write_active(WEB, manifest(WEB, "new"), FILE),
        lambda: both.remove_active(WEB),
    ):
        calls.breaking = ("fsync active", 0)
        with pytest.raises(OutcomeUnknownError):
            act()
        calls.forget()
        both.tidy()
        made = [each for each in calls.events if each.startswith("fsync active/.checkpointkit-")]
        assert len(made) == 1
        assert calls.events.index(made[0]) < calls.events.index("fsync active")
        calls.forget()
        both.tidy()
        assert calls.attempts == ["open inactive"]  # there is none
    assert both.scan().pods == {}
