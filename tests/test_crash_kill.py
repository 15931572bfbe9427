"""SIGKILL, at random moments and at every system call: what was acknowledged is there."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from checkpointkit.errors import CheckpointNotFoundError, CorruptCheckpointError
from checkpointkit.records import read_record, recover, verify
from checkpointkit.stores.files.layout import stripe_of
from checkpointkit.stores.files.store import FileStore
from tests.support.calls import Deadly, Watched
from tests.support.children import Child
from tests.support.states import NOW, generations, number_of, sealed, temporaries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEIGHBOUR = next(f"b{n}" for n in range(9999) if stripe_of(f"b{n}") == stripe_of("a"))
KILLS = 500


def rot(directory: Path) -> None:
    """Damage the newest state of `a`."""
    path = directory / "a" / "current"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def shown(store: FileStore, key: str) -> int | str:
    """What a key shows: its number, or why there is none."""
    try:
        return number_of(store, key)
    except CheckpointNotFoundError:
        return "absent"
    except CorruptCheckpointError:
        return "damaged"


@frozen
class Scenario:
    """A call that is killed, and what each key may show afterwards: before it and after it."""

    saves: int
    act: Callable[[FileStore], object]
    outcomes: dict[str, tuple[int | str, int | str]]
    prepare: Callable[[Path], None] | None = None
    history: int = 1


def save_both(store: FileStore) -> object:
    return store.write_many({key: sealed(key, 50) for key in ("a", "c", NEIGHBOUR)})


def remove_and_create(store: FileStore) -> object:
    store.remove("a")
    return store.write("a", sealed("a", 50))


SCENARIOS = {
    "first save": Scenario(0, lambda s: s.write("a", sealed("a", 50)), {"a": ("absent", 50)}),
    "second save": Scenario(1, lambda s: s.write("a", sealed("a", 50)), {"a": (0, 50)}),
    "next save": Scenario(3, lambda s: s.write("a", sealed("a", 50)), {"a": (2, 50)}),
    "save without history": Scenario(
        3, lambda s: s.write("a", sealed("a", 50)), {"a": (2, 50)}, history=0
    ),
    "save that mends a lost number": Scenario(
        2,
        lambda s: s.write("a", sealed("a", 50)),
        {"a": (1, 50)},
        lambda directory: (directory / "a" / "2").unlink(),
    ),
    "save after a cut-off one": Scenario(
        2,
        lambda s: s.write("a", sealed("a", 50)),
        {"a": (1, 50)},
        lambda directory: os.link(directory / "a" / "1", directory / "a" / "3"),
    ),
    "batch": Scenario(2, save_both, {"a": (1, 50), "c": ("absent", 50), NEIGHBOUR: (1, 50)}),
    "remove": Scenario(2, lambda s: s.remove("a"), {"a": (1, "absent"), NEIGHBOUR: (1, 1)}),
    "recover": Scenario(2, lambda s: recover(s, "a", NOW), {"a": ("damaged", 0)}, rot),
    "opening": Scenario(
        2,
        lambda s: FileStore(s.path, system=s._disk.system).close(),
        {"a": (1, 1)},
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_system_call_leaves_the_state_before_it_or_after_it(
    quick: Path, name: str
) -> None:
    scenario = SCENARIOS[name]
    killed = 0
    for at in itertools.count():
        directory = quick / str(at)
        highest = 0
        with FileStore(directory, history=scenario.history) as store:
            for n in range(scenario.saves):
                store.write(NEIGHBOUR, sealed(NEIGHBOUR, n))
                highest = store.write("a", sealed("a", n)).generation
        if scenario.prepare is not None:
            scenario.prepare(directory)

        def work(child: Child, directory: Path = directory, at: int = at) -> None:
            calls = Deadly(directory)
            store = FileStore(directory, history=scenario.history, system=calls)
            calls.left = at
            scenario.act(store)
            calls.left = None
            child.say("done")

        with Child(work) as child:
            said = child.end()
            assert (said, child.status) in (([], -signal.SIGKILL), (["done"], 0)), said
        killed += not said
        with FileStore(directory, history=scenario.history, lock_timeout=0.5) as store:
            assert temporaries(directory) == []
            for key, (before, after) in scenario.outcomes.items():
                allowed = (after,) if said else (before, after)
                assert shown(store, key) in allowed, (key, at)
                for generation in generations(store, key)[1:]:
                    assert read_record(store, key, generation).header.generation == generation
            if shown(store, "a") == "damaged":
                recover(store, "a", NOW)
                assert shown(store, "a") == scenario.outcomes["a"][1]
            entry = store.write("a", sealed("a", 99))
            assert entry.generation > highest
            assert number_of(store, "a") == 99
            assert verify(store).ok
            assert len(store.history("a")) <= 1 + scenario.history
        if said:
            break
    assert killed == at > 10


def test_a_kill_at_any_system_call_of_the_first_opening_lets_the_next_one_finish(
    quick: Path,
) -> None:
    calls = Watched(quick / "dry" / "run")
    FileStore(quick / "dry" / "run", system=calls).close()
    # the 64 stripes are made alike: three of them are enough
    middle = [f"/{n:02d}" for n in range(64) if n not in (0, 31, 63)]
    points = [n for n, e in enumerate(calls.attempts) if not any(m in e for m in middle)]
    assert len(points) > 50
    for at in points:
        directory = quick / str(at) / "store"

        def work(child: Child, directory: Path = directory, at: int = at) -> None:
            calls = Deadly(directory)
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


def agent(child: Child, directory: Path, start: int) -> None:
    """Save, save together, create and remove, and report each acknowledgement."""
    with FileStore(directory, history=2) as store:
        child.say("up")
        for n in itertools.count(start):
            entry = store.write("a", sealed("a", n))
            child.say(f"a {n} {entry.generation}")
            saved = store.write_many({key: sealed(key, n) for key in ("b", "c")}).saved
            child.say(f"b {n} {saved['b'].generation}")
            entry = store.write("d", sealed("d", n))
            child.say(f"d {n} {entry.generation}")
            store.remove("d")
            child.say(f"gone {n} 0")


def test_a_few_hundred_kills_at_random_moments_lose_nothing_acknowledged(quick: Path) -> None:
    directory = quick / "store"
    chance = random.Random(7)
    acknowledged = 0  # complete rounds and, below, the last report of the round under way
    content: dict[tuple[str, int], int] = {}
    saves = in_flight = 0
    for _ in range(KILLS):

        def work(child: Child, start: int = acknowledged + 1) -> None:
            agent(child, directory, start)

        with Child(work) as child:
            assert child.line() == "up"
            lines = [child.line() for _ in range(chance.randrange(6))]
            time.sleep(chance.random() * 0.002)
            child.kill()
            reports = [line.split() for line in lines + child.end()]
            assert child.status == -signal.SIGKILL
        last = {"a": acknowledged, "b": acknowledged, "d": acknowledged, "gone": acknowledged}
        for name, number, generation in reports:
            last[name] = int(number)
            saves += name != "gone"
            if name != "gone":
                assert content.setdefault((name, int(generation)), int(number)) == int(number)
        with FileStore(directory, history=2, lock_timeout=1) as store:
            assert temporaries(directory) == []
            assert verify(store).ok
            numbers = {key: shown(store, key) for key in "abcd"}
            for key in "abc":
                done = last["b" if key == "c" else key]
                allowed = (done, done + 1) if done else (0, 1, "absent")
                assert numbers[key] in allowed, (key, reports[-5:])
            removed = last["gone"] == last["d"]
            now = ("absent", last["d"] + 1) if removed else (last["d"], "absent")
            assert numbers["d"] in now, reports[-5:]
            for key in "ab":
                for entry in store.history(key):
                    found = number_of(store, key, entry.generation)
                    assert content.setdefault((key, entry.generation), found) == found
            in_flight += numbers["a"] != last["a"]
            # the next child begins where every key has been
            acknowledged = max(
                [number for number in numbers.values() if type(number) is int] or [0]
            )
            for key in "abc":
                store.write(key, sealed(key, acknowledged))
            store.remove("d")
    assert saves > KILLS
    assert in_flight > 0
