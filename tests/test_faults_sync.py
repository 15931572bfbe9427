"""Syncs that fail once, and succeed when tried again though the disk never got the bytes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import CheckpointError, OutcomeUnknownError, StoreError
from checkpointkit.records import recover, verify
from checkpointkit.stores.base import ABSENT
from checkpointkit.stores.files.steps import Save
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import LosingCalls, RecordedCalls
from tests.support.calls import SCENARIOS, Bench, descriptors, shown
from tests.support.states import NOW, number_of, sealed, temporaries

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.calls import Scenario

SYNCED = {name: scenario for name, scenario in SCENARIOS.items() if scenario.saves != 6}


pytestmark = pytest.mark.usefixtures("settled", "unmeasured")


def losses(directory: Path, scenario: Scenario, *, again: bool) -> tuple[list[str], int]:
    """Let each sync of a scenario fail, and take away what it would have written.

    Args:
        directory: Where the stores are made.
        scenario: What is tried.
        again: Whether it is tried a second time, as a program may, before the power fails.

    Returns:
        What is wrong, and how many syncs were tried.
    """
    wrong = []
    at = 0
    while True:
        calls = LosingCalls(directory / str(at) / "store")
        bench = Bench(directory / str(at), calls, **scenario.options())
        key = bench.ready(scenario)
        allowed = {shown(bench.store, key)}
        calls.break_at(at, errno.EIO, match="fsync")
        try:
            scenario.act(bench.store, key)
            allowed = {scenario.after}
        except OutcomeUnknownError:
            allowed.add(scenario.after)
        except StoreError:
            pass
        tried = list(calls.failed)
        calls.heal()
        if again and scenario.after == "absent":
            scenario.act(bench.store, key)
            allowed = {"absent"}
        elif again:
            bench.healed(key)
            allowed = {shown(bench.store, key)}
        bench.close()
        calls.lose()
        wrong += problems(bench.directory, key, allowed, tried)
        if not tried:
            return wrong, at
        at += 1


def problems(directory: Path, key: str, allowed: set[int | str], tried: list[str]) -> list[str]:
    """Say what is wrong with a store after the cut; it must show one of `allowed`."""
    try:
        with FileStore(directory) as store:
            found = shown(store, key)
            if found == "damaged" and "damaged" in allowed:
                recover(store, key, NOW)
            if found not in (101, 108, 115):  # in a newer schema version
                store.write(key, sealed(key, 99))
            report = verify(store)
            left = temporaries(directory)
    except CheckpointError as error:
        return [f"{tried}: {error}"]
    texts = [str(problem.error) for problem in report.problems] + left
    if found not in allowed:
        texts.append(f"{found!r} is none of {allowed}")
    return [f"{tried}: {text}" for text in texts]


@pytest.mark.parametrize("again", [False, True], ids=["given up", "tried again"])
@pytest.mark.parametrize("name", SYNCED)
def test_bytes_that_a_failed_sync_has_lost_were_never_acknowledged(
    quick: Path, name: str, again: bool
) -> None:
    wrong, syncs = losses(quick, SYNCED[name], again=again)
    assert wrong == []
    assert syncs >= 1


def test_a_save_that_syncs_a_second_time_would_be_found(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: it believes the second sync."""
    sync = Save.sync

    def stubborn(self: Save) -> None:
        try:
            sync(self)
        except OSError:
            sync(self)

    monkeypatch.setattr(Save, "sync", stubborn)
    wrong, _ = losses(quick, SCENARIOS["next save"], again=False)
    assert wrong
    assert "['fsync .tmp/" in wrong[0]


def test_a_save_that_syncs_nothing_would_be_found(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(self: Save) -> None:
        self._disk.system.close(self._fd)
        self._fd = -1

    monkeypatch.setattr(Save, "sync", careless)
    wrong, _ = losses(quick, SCENARIOS["next save"], again=False)
    assert wrong


def test_of_a_batch_those_whose_sync_failed_were_never_acknowledged(quick: Path) -> None:
    """The files are synced side by side: which sync fails is not known before."""
    keys = [f"k{n}" for n in range(6)]
    failures = 0
    for at in range(40):
        calls = LosingCalls(quick / str(at))
        store = FileStore(quick / str(at), system=calls)
        for key in keys[:3]:
            store.write(key, sealed(key, 1))
        allowed: dict[str, set[int | str]] = {
            key: {1 if key in keys[:3] else "absent"} for key in keys
        }
        calls.break_at(at, errno.EIO, match="fsync")
        result = store.write_many({key: sealed(key, 2) for key in keys})
        tried = bool(calls.failed)
        calls.heal()
        for key in keys:
            if key in result.saved:
                allowed[key] = {2}
            elif isinstance(result.failed[key], OutcomeUnknownError):
                allowed[key].add(2)
        failures += len(result.failed)
        store.close()
        calls.lose()
        with FileStore(quick / str(at)) as store:
            assert all(shown(store, key) in allowed[key] for key in keys), (at, allowed)
            assert verify(store).ok
        if not tried:
            break
    assert at > len(keys)
    assert failures >= at


def test_what_a_failed_opening_left_is_on_the_disk_when_the_next_one_succeeds(
    quick: Path,
) -> None:
    """Its files are kept; and the kernel may take their pages for clean."""
    calls = RecordedCalls(quick / "dry")
    FileStore(quick / "dry", system=calls).close()
    syncs = [event for event in calls.attempts if event.startswith("fsync")]
    before = descriptors()
    for at in [
        n for n, e in enumerate(syncs) if "/" not in e or e[-2:] in ("00", "31", "63", "at")
    ]:
        directory = quick / str(at)
        losing = LosingCalls(directory)
        losing.break_at(at, errno.EIO, match="fsync")
        with pytest.raises(StoreError):
            FileStore(directory, system=losing)
        assert losing.failed
        losing.heal()
        with FileStore(directory, system=losing) as store:
            for key in ("a", "b"):
                store.write(key, sealed(key, 1))
        losing.lose()
        with FileStore(directory) as store:
            assert verify(store).checked == 2
            for n in range(200):  # of all stripes
                assert store.write(f"k{n}", sealed(f"k{n}", n)).generation == 1
        assert descriptors() == before


def test_numbers_are_not_used_again_after_a_high_water_whose_sync_failed(quick: Path) -> None:
    """However often the sync fails before it succeeds, and whichever of the slots it was for."""
    for failures in range(1, 4):
        calls = LosingCalls(quick / str(failures))
        with FileStore(quick / str(failures), system=calls) as store:
            highest = 0
            for _ in range(3):
                for n in range(3):
                    highest = store.write("a", sealed("a", n)).generation
                for _ in range(failures):
                    calls.break_at(0, errno.EIO, match="fsync .lock")
                    with pytest.raises(StoreError):
                        store.remove("a")
                    assert number_of(store, "a") == 2
                    calls.heal()
                store.remove("a")
                calls.lose()
                assert store.write("a", sealed("a", 9), expected=ABSENT).generation > highest
