"""Writers and a reader at work on a file system, its power cut, and the judgement afterwards."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from checkpointkit.errors import CheckpointError, CheckpointNotFoundError
from checkpointkit.records import read_record, rollback, verify
from checkpointkit.stores.files.store import FileStore
from tests.support.children import Child
from tests.support.states import NOW, generations, number_of, sealed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from tests.realfs.images import Image

WRITERS: Final = 3
HISTORY: Final = 2
PADS: Final = (0, 700, 5000, 20_000)
GONE: Final = -1


class Outcome(NamedTuple):
    """What all cuts together have shown."""

    violations: list[str]
    counts: Counter[str]


class Known:
    """What the writer of one key has reported of it: acknowledged, and still open."""

    def __init__(self) -> None:
        self.value = GONE
        self.generation = 0
        self.saves = 0  # acknowledged since the key was last made, as far as is known
        self.open: int | None = None
        self.late: list[tuple[int, int, int]] = []  # all before each late acknowledgement
        self.seen: list[tuple[int, int]] = []

    def take(self, words: list[str], *, late: bool) -> None:
        """Take a report; a late one was made after the call that cuts had begun."""
        if words[0] == "try":
            self.open = int(words[2])
        elif words[0] == "done":
            assert self.open is not None
            if late:
                self.late.append((self.value, self.generation, self.saves))
            self.value, self.open = self.open, None
            self.generation = max(self.generation, int(words[2]))
            self.saves = 0 if self.value == GONE else self.saves + 1
        else:
            self.seen.append((int(words[2]), int(words[3])))

    def is_there(self, found: int, generation: int) -> bool:
        """Tell whether what was found is what was acknowledged last, or what was still open."""
        if found == self.open:
            return True
        return found == self.value and (found == GONE or generation >= self.generation)

    def without_the_last_late_one(self) -> None:
        """Take the last late acknowledgement back: it is open."""
        self.open = self.value
        self.value, self.generation, self.saves = self.late.pop()


def keys_of(writer: int) -> tuple[str, str]:
    """Return the keys that one writer alone saves."""
    return f"w{writer}-a", f"w{writer}-b"


KEYS: Final = tuple(key for writer in range(WRITERS) for key in keys_of(writer))


def done(child: Child, key: str, generation: int) -> None:
    """Report an acknowledgement and its moment; the clock is the same in all processes."""
    child.say(f"done {key} {generation} {time.monotonic_ns()}")


def write_on(child: Child, store: FileStore, writer: int, chance: random.Random, n: int) -> None:
    """Save, remove and roll back until something fails; say so before and after."""
    keys = keys_of(writer)
    try:
        while True:
            n += 1
            key, pad = chance.choice(keys), chance.choice(PADS)
            act = chance.choice(("save", "save", "save", "many", "remove", "roll back"))
            older = generations(store, key)[1:]
            if act == "many":
                child.say(f"try {keys[0]} {n}\ntry {keys[1]} {n}")
                saved = store.write_many({k: sealed(k, n, pad=pad) for k in keys}).saved
                for name, entry in saved.items():
                    done(child, name, entry.generation)
                if len(saved) != len(keys):
                    return
            elif act == "remove":
                child.say(f"try {key} {GONE}")
                store.remove(key)
                done(child, key, 0)
            elif act == "roll back" and older:
                child.say(f"try {key} {number_of(store, key, older[0])}")
                done(child, key, rollback(store, key, older[0], NOW).generation)
            else:
                child.say(f"try {key} {n}")
                done(child, key, store.write(key, sealed(key, n, pad=pad)).generation)
    except CheckpointError:
        return  # the cut


def read_on(child: Child, store: FileStore) -> None:
    """Read all keys until something fails; say what is new."""
    told: dict[str, int] = {}
    try:
        while True:
            for key in KEYS:
                try:
                    record = read_record(store, key)
                except CheckpointNotFoundError:
                    continue
                generation = record.header.generation
                if told.get(key) != generation:
                    told[key] = generation
                    child.say(f"saw {key} {generation} 0")
    except CheckpointError:
        return  # the cut


def cut_again_and_again(
    disk: Image, cuts: int, seed: int, durability: Literal["full", "none"] = "full"
) -> Outcome:
    """Cut the power of a file system under the writers of a store, and judge what is left.

    Each cut comes after another number of acknowledgements, so it falls anywhere in a save.
    """
    outcome = Outcome([], Counter())
    place = disk.at / "store"
    known = {key: Known() for key in KEYS}
    disk.mount()
    FileStore(place, history=HISTORY).close()
    for number in range(cuts):
        chance = random.Random(seed * 1000 + number)
        _one_cut(disk, place, known, chance, number, durability, outcome)
        _judge(place, known, outcome, f"cut {number}")
        outcome.counts["cuts"] += 1
    disk.unmount()
    return outcome


def _one_cut(
    disk: Image,
    place: Path,
    known: dict[str, Known],
    chance: random.Random,
    number: int,
    durability: Literal["full", "none"],
    outcome: Outcome,
) -> None:
    store = FileStore(place, history=HISTORY, durability=durability)
    seeds = [random.Random(chance.random()) for _ in range(WRITERS)]
    start = (number + 1) * 10**6
    writers = [
        Child(lambda child, w=w: write_on(child, store, w, seeds[w], start))  # type: ignore[misc]
        for w in range(WRITERS)
    ]
    reader = Child(lambda child: read_on(child, store))
    lines = [writers[0].line() for _ in range(chance.randrange(4, 40))]
    began = time.monotonic_ns()
    disk.cut()
    for child in writers:
        lines += child.end()
    reader.kill()  # on btrfs it may read what is cached for ever
    lines += reader.end()
    for child in writers:
        if child.status:
            outcome.violations.append(f"cut {number}: a writer died: {lines[-12:]}")
    store.close()
    disk.restart()
    for line in lines:
        words = line.split()
        if len(words) > 2 and words[0] in ("try", "done", "saw"):
            known[words[1]].take(words, late=words[0] == "done" and int(words[3]) > began)
            outcome.counts[words[0]] += 1


def _judge(place: Path, known: dict[str, Known], outcome: Outcome, when: str) -> None:
    """See that what was acknowledged, or something newer, is there; take it as the new start."""
    bad = outcome.violations.append
    with FileStore(place, history=HISTORY) as store:
        for problem in verify(store).problems:
            promised = generations(store, problem.key)[: HISTORY + 1]
            if problem.generation in (None, *promised):
                bad(f"{when}: verify: {problem}")
            else:
                outcome.counts["rotten pruned"] += 1  # its deletion was not on the disk yet
        for key, it in known.items():
            found, generation, kept = _found(store, key)
            while it.late and not it.is_there(found, generation):
                # Told by a kernel that was stopped already; a real cut stops the writer, too.
                outcome.counts["late acknowledgements lost"] += 1
                it.without_the_last_late_one()
            if found not in {it.value, it.open} - {None}:
                bad(f"{when}: {key} is {found}, not {it.value} or {it.open}")
            elif found == it.value != it.open and found != GONE and generation < it.generation:
                bad(f"{when}: {key} has generation {generation}, not {it.generation}")
            if GONE not in (found, it.value) and kept < min(it.saves, HISTORY + 1):
                bad(f"{when}: {key} keeps {kept} generations of {it.saves} saves")
            _judge_reader(it, key, found, generation, outcome, when)
            _go_on(store, key, it, outcome, when)


def _found(store: FileStore, key: str) -> tuple[int, int, int]:
    try:
        promised = generations(store, key)[: HISTORY + 1]
        numbers = [number_of(store, key, generation) for generation in promised]
    except CheckpointError as error:
        return (hash(str(error)) | 1) - 10**20, 0, 0
    if not numbers:
        return GONE, 0, 0
    return numbers[0], generations(store, key)[0], len(numbers)


def _judge_reader(
    it: Known, key: str, found: int, generation: int, outcome: Outcome, when: str
) -> None:
    """Count the states that a reader was given before they were acknowledged, and that are gone.

    One state of a key at the most: that of the save whose last sync was cut off. It is no loss
    where a remove, acknowledged or open, is what took it.
    """
    ahead = {seen for seen, _ in it.seen if seen > max(generation, it.generation)}
    if ahead and ({found, it.value} != {GONE} or it.open not in (GONE, None)):
        outcome.counts["early reads"] += 1
        if len(ahead) > 1 or it.open in (GONE, None):
            outcome.violations.append(f"{when}: {key}: readers saw {ahead}, {generation} is there")


def _go_on(store: FileStore, key: str, it: Known, outcome: Outcome, when: str) -> None:
    """Save once more: it works, and no number that was acknowledged is used again."""
    highest = it.generation
    try:
        entry = store.write(key, sealed(key, 1))
        number = number_of(store, key)
    except CheckpointError as error:
        outcome.violations.append(f"{when}: {key}: a further save: {error}")
        store.remove(key)
        it.__init__()  # type: ignore[misc]
        return
    if number != 1 or entry.generation <= highest:
        outcome.violations.append(f"{when}: {key}: saved as {entry.generation} after {highest}")
    kept = len(generations(store, key))
    it.__init__()  # type: ignore[misc]
    it.value, it.generation, it.saves = 1, entry.generation, kept
