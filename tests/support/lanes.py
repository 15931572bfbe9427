"""Children that are killed at random moments, and what is known of the stores they work on."""

from __future__ import annotations

import itertools
import random
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from checkpointkit.records import rollback, verify
from checkpointkit.stores.files.store import FileStore
from tests.support.children import Child
from tests.support.states import NOW, number_of, sealed, temporaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = ("a", "b", "c", "d")


class Counts(NamedTuple):
    """What came of a loop.

    Attributes:
        kills: How many children were killed.
        acknowledged: How many of their steps were acknowledged.
        in_flight: How many more had taken place when they were killed.
    """

    kills: int
    acknowledged: int
    in_flight: int


class Step(NamedTuple):
    """One thing that a child does: `save`, `save many`, `remove` or `rollback`.

    Attributes:
        act: What.
        keys: With which keys.
        number: What it saves.
    """

    act: str
    keys: tuple[str, ...]
    number: int


def steps(seed: int, number: int) -> Iterator[Step]:
    """Go on for ever, the same for a seed; each step saves another number."""
    chance = random.Random(seed)
    for n in itertools.count(number):
        act = chance.choice(["save", "save", "save", "save many", "remove", "rollback"])
        keys = chance.sample(KEYS, 3 if act == "save many" else 1)
        yield Step(act, tuple(keys), n)


class Lane:
    """A store, a child that works on it, and what is known of its keys.

    Attributes:
        kills: How many children were killed.
        acknowledged: How many steps were acknowledged.
        in_flight: How often a killed step had taken place.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self.kills = self.acknowledged = self.in_flight = 0
        self._directory = directory
        self._chance = random.Random(seed)
        self._store = FileStore(directory, history=2)
        self._known: dict[str, list[int]] = {key: [] for key in KEYS}  # numbers, oldest first
        self._content: dict[tuple[str, int], int] = {}
        self._number = 1
        self._seed = 0
        self._child: Child | None = None

    def start(self, seed: int) -> None:
        """Let a child go to work."""
        self._seed, number = seed, self._number

        def work(child: Child) -> None:
            again = seed % 8 == 0
            store = FileStore(self._directory, history=2) if again else self._store
            for step in steps(seed, number):
                child.say(" ".join(map(str, take(store, step))))

        self._child = Child(work)

    def finish(self) -> None:
        """Kill the child at some moment, and compare what is there with what it has told."""
        if self._child is None:
            return
        with self._child as child:
            lines = [child.line() for _ in range(self._chance.randrange(4))]
            time.sleep(self._chance.random() * 0.0005)  # any moment will do
            child.kill()
            lines += child.end()
            assert child.status == -signal.SIGKILL, lines
        self.kills += 1
        plan = steps(self._seed, self._number)
        for line, step in zip(lines, plan, strict=False):
            for key, generation in zip(step.keys, map(int, line.split()), strict=True):
                self._known[key] = self._after(step, key)
                if generation:
                    self._note(key, generation, self._known[key][-1])
        self.acknowledged += len(lines)
        self._judge(next(plan))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _after(self, step: Step, key: str) -> list[int]:
        """Say what a step makes of a key."""
        numbers = self._known[key]
        if step.act == "remove":
            return []
        if step.act == "rollback" and len(numbers) > 1:  # of nothing, it is a save
            return [*numbers, numbers[-2]][-3:]
        return [*numbers, step.number][-3:]

    def _note(self, key: str, generation: int, number: int) -> None:
        """See that a generation is never another state's."""
        assert self._content.setdefault((key, generation), number) == number

    def _judge(self, step: Step) -> None:
        """Open the store anew; `step` may have taken place, for each of its keys."""
        with FileStore(self._directory, history=2, lock_timeout=5) as store:
            assert temporaries(self._directory) == []
            for key in KEYS:
                found = held(store, key)
                for generation, number in found.items():
                    self._note(key, generation, number)
                numbers = list(found.values())
                allowed = [self._known[key]]
                if key in step.keys:
                    allowed.append(self._after(step, key))
                # what is pruned after the acknowledgement may still be there
                fits = [numbers[-len(each) :] == each if each else not numbers for each in allowed]
                assert any(fits), (key, numbers, allowed, step)
                self.in_flight += not fits[0]
                self._known[key] = numbers[-3:]
            if self._seed % 50 == 0:
                assert verify(store).ok
        self._number = step.number + 1


def take(store: FileStore, step: Step) -> list[int]:
    """Do it; return the generations that were saved."""
    key = step.keys[0]
    if step.act == "save many":
        saved = store.write_many({each: sealed(each, step.number) for each in step.keys}).saved
        return [saved[each].generation for each in step.keys]
    if step.act == "remove":
        store.remove(key)
        return [0]
    if step.act == "rollback" and len(store.history(key)) > 1:
        return [rollback(store, key, store.history(key)[1].generation, NOW).generation]
    return [store.write(key, sealed(key, step.number)).generation]


def held(store: FileStore, key: str) -> dict[int, int]:
    """Return the number of each generation, oldest first; each of them is verified."""
    numbers = [entry.generation for entry in store.history(key)]
    return {generation: number_of(store, key, generation) for generation in reversed(numbers)}


def kill_loop(directory: Path, kills: int) -> Counts:
    """Kill that many children at random moments; lose nothing that they were acknowledged.

    While one child comes up, the store of another one is judged.

    Raises:
        AssertionError: Something was lost.
    """
    lanes = [Lane(directory / str(n), n) for n in range(2)]
    for seed in range(kills):
        lane = lanes[seed % 2]
        lane.finish()
        lane.start(seed)
    for lane in lanes:
        lane.finish()
        lane.close()
    return Counts(
        sum(lane.kills for lane in lanes),
        sum(lane.acknowledged for lane in lanes),
        sum(lane.in_flight for lane in lanes),
    )
