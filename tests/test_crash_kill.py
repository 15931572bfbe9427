"""SIGKILL, at random moments and at every system call: what was acknowledged is there."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import KillingCalls, RecordedCalls
from tests.support.children import Child
from tests.support.killer import Killer
from tests.support.kills import SCENARIOS
from tests.support.states import number_of, sealed, temporaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = 2000


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with Killer() as made:
        yield made


pytestmark = pytest.mark.usefixtures("settled")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_system_call_leaves_the_state_before_it_or_after_it(
    quick: Path, killer: Killer, name: str
) -> None:
    outcome = killer.scenario(quick / "store", name)
    assert outcome.problems == []
    assert outcome.kills > 10
    assert outcome.acknowledged >= 1, "the last child got through"
    assert outcome.landed or "opening" in name


@pytest.mark.usefixtures("unmeasured")
def test_a_kill_at_any_system_call_of_the_first_opening_lets_the_next_one_finish(
    quick: Path,
) -> None:
    calls = RecordedCalls(quick / "dry" / "run")
    FileStore(quick / "dry" / "run", system=calls).close()
    # the 64 stripes are made alike: three of them are enough
    middle = [f"/{n:02d}" for n in range(64) if n not in (0, 31, 63)]
    points = [n for n, e in enumerate(calls.attempts) if not any(m in e for m in middle)]
    assert len(points) > 50
    for at in points:
        directory = quick / str(at) / "store"

        def work(child: Child, directory: Path = directory, at: int = at) -> None:
            calls = KillingCalls(directory)
            calls.left = at
            FileStore(directory, system=calls)
            child.say("done")

        with Child(work) as child:
            assert child.end() == []
            assert child.status == -signal.SIGKILL
        with FileStore(directory, lock_timeout=0.5) as store:
            assert store.keys() == ()
            assert temporaries(directory) == []
            store.write("a", sealed("a", 1))
            assert number_of(store, "a") == 1
            assert sorted(os.listdir(directory / ".lock")) == [f"{n:02d}" for n in range(64)]


def test_two_thousand_kills_at_random_moments_lose_nothing_acknowledged(
    quick: Path, killer: Killer
) -> None:
    counts = killer.loop(quick, KILLS)
    assert counts.kills == KILLS
    assert counts.acknowledged > KILLS
    assert counts.in_flight > KILLS / 100
