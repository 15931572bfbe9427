"""SIGKILL at each system call of a scenario, and what may be there afterwards."""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING, Final, NamedTuple

from attrs import frozen

from checkpointkit.errors import CheckpointError
from checkpointkit.records import read_record, recover, rollback, verify
from checkpointkit.stores.files.layout import stripe_name, stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import KillingCalls
from tests.support.calls import manager_of, rot, shown
from tests.support.children import Child
from tests.support.states import NOW, generations, number_of, pins, sealed, temporaries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Keys(NamedTuple):
    """The keys of one run.

    Attributes:
        key: What the scenario is about.
        neighbour: Another key of the same stripe, with as many states.
        other: A key of another stripe, absent at first.
    """

    key: str
    neighbour: str
    other: str


def keys_of(run: int) -> Keys:
    key = f"a{run}"
    neighbour = next(
        f"b{run}-{n}" for n in range(9999) if stripe_of(f"b{run}-{n}") == stripe_of(key)
    )
    return Keys(key, neighbour, f"c{run}")


@frozen
class Scenario:
    """A call that is killed, and what each key may show afterwards: before it and after it.

    Attributes:
        saves: How many states the key and its neighbour have before: the numbers 0, 1, …
        act: The call.
        before: What the key, the neighbour and the other key show before.
        after: What they show after.
        prepare: Done to the files before.
        history: The option of the store.
        reserve: The option of the store.
        pinned: The generations of the key that are pinned before and after.
        again: Whether the next process does it again, and has to finish it.
    """

    saves: int
    act: Callable[[FileStore, Keys], object]
    before: tuple[int | str, ...]
    after: tuple[int | str, ...]
    prepare: Callable[[Path, Keys], object] | None = None
    history: int = 1
    reserve: int = 0
    pinned: tuple[list[int], list[int]] = ([], [])
    again: bool = False


def save(store: FileStore, keys: Keys) -> object:
    return store.write(keys.key, sealed(keys.key, 50))


def save_many(store: FileStore, keys: Keys) -> object:
    result = store.write_many({key: sealed(key, 50) for key in keys})
    assert not result.failed
    return result


def remove(store: FileStore, keys: Keys) -> None:
    store.remove(keys.key)


def roll_back(store: FileStore, keys: Keys) -> object:
    return rollback(store, keys.key, store.history(keys.key)[-1].generation, NOW)


def recovering(store: FileStore, keys: Keys) -> object:
    return recover(store, keys.key, NOW)


def migrate(store: FileStore, keys: Keys) -> object:
    report = manager_of(store).migrate([keys.key, keys.neighbour])
    assert not report.problems
    return report


def pin(store: FileStore, keys: Keys) -> None:
    store.pin(keys.key, 1)


def unpin(store: FileStore, keys: Keys) -> None:
    store.unpin(keys.key, 1)


def pin_oldest(directory: Path, keys: Keys) -> None:
    with FileStore(directory) as store:
        store.pin(keys.key, 1)


def open_again(store: FileStore, keys: Keys) -> None:
    FileStore(store.path, system=store._disk.system, reserve=store._reserve_size).close()


def drop_number(directory: Path, keys: Keys) -> None:
    """Take the newest number away, as a power cut may."""
    (directory / keys.key / "2").unlink()


def add_number(directory: Path, keys: Keys) -> None:
    """Leave what a save leaves that is killed before it replaces `current`."""
    os.link(directory / keys.key / "1", directory / keys.key / "3")


def litter(directory: Path, keys: Keys) -> None:
    """Leave what killed writers leave."""
    stripe = stripe_name(stripe_of(keys.key))
    (directory / ".tmp" / f"{stripe}.0").write_bytes(b"cut off")
    for name in (f"{stripe}.1.d", f"{stripe}.0.gone", f"{63 - int(stripe):02d}.0.gone"):
        (directory / ".tmp" / name).mkdir()
        (directory / ".tmp" / name / "current").write_bytes(b"removed")


def take_ballast(directory: Path, keys: Keys) -> None:
    """Leave a store whose reserve was used up."""
    (directory / ".reserve" / "ballast").unlink()


SCENARIOS: Final = {
    "first save": Scenario(0, save, ("absent",) * 3, (50, "absent", "absent")),
    "first save without history": Scenario(
        0, save, ("absent",) * 3, (50, "absent", "absent"), history=0
    ),
    "second save": Scenario(1, save, (0, 0, "absent"), (50, 0, "absent")),
    "next save": Scenario(3, save, (2, 2, "absent"), (50, 2, "absent")),
    "save without history": Scenario(3, save, (2, 2, "absent"), (50, 2, "absent"), history=0),
    "save with a reserve": Scenario(
        2, save, (1, 1, "absent"), (50, 1, "absent"), take_ballast, reserve=300
    ),
    "save that mends a lost number": Scenario(
        2, save, (1, 1, "absent"), (50, 1, "absent"), drop_number
    ),
    "save after a cut-off one": Scenario(2, save, (1, 1, "absent"), (50, 1, "absent"), add_number),
    "save over what was left": Scenario(2, save, (1, 1, "absent"), (50, 1, "absent"), litter),
    "first batch": Scenario(0, save_many, ("absent",) * 3, (50,) * 3),
    "next batch": Scenario(2, save_many, (1, 1, "absent"), (50,) * 3),
    "remove": Scenario(2, remove, (1, 1, "absent"), ("absent", 1, "absent")),
    "remove over what was left": Scenario(
        2, remove, (1, 1, "absent"), ("absent", 1, "absent"), litter
    ),
    "rollback": Scenario(3, roll_back, (2, 2, "absent"), (1, 2, "absent")),
    "recover": Scenario(
        2,
        recovering,
        ("damaged", 1, "absent"),
        (0, 1, "absent"),
        lambda directory, keys: rot(directory, keys.key),
    ),
    "pin": Scenario(2, pin, (1, 1, "absent"), (1, 1, "absent"), pinned=([], [1])),
    "pin of a first save": Scenario(1, pin, (0, 0, "absent"), (0, 0, "absent"), pinned=([], [1])),
    "unpin": Scenario(2, unpin, (1, 1, "absent"), (1, 1, "absent"), pin_oldest, pinned=([1], [])),
    "save over a pin": Scenario(
        2, save, (1, 1, "absent"), (50, 1, "absent"), pin_oldest, pinned=([1], [1])
    ),
    "save over a pin without history": Scenario(
        1, save, (0, 0, "absent"), (50, 0, "absent"), pin_oldest, history=0, pinned=([1], [1])
    ),
    "migrate": Scenario(
        2, migrate, (1, 1, "absent"), (101, 101, "absent"), pinned=([], [2]), again=True
    ),
    "opening": Scenario(2, open_again, (1, 1, "absent"), (1, 1, "absent")),
    "opening with a reserve": Scenario(
        2, open_again, (1, 1, "absent"), (1, 1, "absent"), take_ballast, reserve=300
    ),
    "opening over what was left": Scenario(
        2, open_again, (1, 1, "absent"), (1, 1, "absent"), litter
    ),
}


class Outcome(NamedTuple):
    """What came of the kills of one scenario.

    Attributes:
        kills: How many children were killed.
        acknowledged: How many calls were acknowledged.
        landed: How many kills left the new state.
        problems: What must not be.
    """

    kills: int
    acknowledged: int
    landed: int
    problems: list[str]


def kill_everywhere(
    directory: Path, scenario: Scenario, mutate: Callable[[], object] = object
) -> Outcome:
    """Kill a child at the first system call of a scenario, at the second, and so on to its end.

    Each child is forked from this process, which holds the store open; it reports through a pipe
    what was acknowledged.

    Args:
        directory: The store's directory.
        scenario: What the children do.
        mutate: Called in each child first; what it breaks has to be found out.
    """
    calls = KillingCalls(directory)
    store = FileStore(directory, history=scenario.history, reserve=scenario.reserve, system=calls)
    problems: list[str] = []
    acknowledged = landed = 0
    for at in itertools.count():
        keys = keys_of(at)
        for n in range(scenario.saves):
            for key in (keys.key, keys.neighbour):
                store.write(key, sealed(key, n))
        old = {key: generations(store, key) for key in keys}
        if scenario.prepare is not None:
            scenario.prepare(directory, keys)

        def work(child: Child, at: int = at, keys: Keys = keys) -> None:
            mutate()
            calls.left = at
            scenario.act(store, keys)
            child.say("acknowledged")
            store.close()

        with Child(work) as child:
            said = child.end()
        told = said == ["acknowledged"]
        killed = child.status == -signal.SIGKILL
        if not told and (said or not killed):
            problems.append("\n".join([f"call {at}: exit {child.status}", *said]))
        where = f"call {at}, {'acknowledged' if told else 'killed'}"
        found, worse = _judge(directory, scenario, keys, old, told=told)
        problems += [f"{where}: {problem}" for problem in worse]
        acknowledged += told
        landed += not told and found == scenario.after
        if not killed:
            store.close()
            return Outcome(at, acknowledged, landed, problems)
    raise AssertionError


def _judge(
    directory: Path, scenario: Scenario, keys: Keys, old: dict[str, list[int]], *, told: bool
) -> tuple[tuple[int | str, ...], list[str]]:
    """Open the store anew, as the next process does, and say what is wrong with it."""
    problems = []
    found: tuple[int | str, ...] = ()
    try:
        with FileStore(
            directory, history=scenario.history, reserve=scenario.reserve, lock_timeout=0.5
        ) as store:
            if left := temporaries(directory):
                problems.append(f"{left} was left behind")
            found = tuple(shown(store, key) for key in keys)
            for key, state, *both in zip(keys, found, scenario.before, scenario.after, strict=True):
                if state not in (both[1:] if told else both):
                    problems.append(f"{key!r} shows {state!r}, of {both}")
                for generation in generations(store, key)[1:]:
                    read_record(store, key, generation)
                unchanged = state == both[0] != both[1] and state != "damaged"
                if unchanged and generations(store, key) != old[key]:
                    problems.append(f"{key!r} has {generations(store, key)}, not {old[key]}")
            if pins(store, keys.key) not in scenario.pinned[told:]:
                problems.append(f"{pins(store, keys.key)} are pinned, of {scenario.pinned}")
            if scenario.again and not problems:
                problems += _finish(store, scenario, keys)
            problems += _go_on(store, scenario, keys, old)
    except CheckpointError as error:
        problems.append(repr(error))
    return found, problems


def _finish(store: FileStore, scenario: Scenario, keys: Keys) -> list[str]:
    """Do again what was cut off, and see that nothing is missing."""
    scenario.act(store, keys)
    problems = []
    for key, before, after in zip(keys, scenario.before, scenario.after, strict=True):
        if shown(store, key) != after:
            problems.append(f"{key!r} shows {shown(store, key)} when it was done again")
        problems += [
            f"{key!r} has {generation} pinned, which is not the way back"
            for generation in pins(store, key)
            if number_of(store, key, generation) != before
        ]
        if before != after and pins(store, key) != scenario.pinned[1]:
            problems.append(f"{key!r} has {pins(store, key)} pinned when it was done again")
    return problems


def _go_on(
    store: FileStore, scenario: Scenario, keys: Keys, old: dict[str, list[int]]
) -> list[str]:
    """See that the store works, and uses no number twice."""
    problems = []
    pinned = pins(store, keys.key)
    for key in keys:
        if shown(store, key) == "damaged":
            recover(store, key, NOW)
            if number_of(store, key) != scenario.after[keys.index(key)]:
                problems.append(f"{key!r} was recovered as {number_of(store, key)}")
        entry = store.write(key, sealed(key, 99))
        if entry.generation <= max(old[key], default=0):
            problems.append(f"{key!r}: generation {entry.generation} is used twice")
        older = [entry for entry in store.history(key)[1:] if not entry.pinned]
        if number_of(store, key) != 99 or len(older) > scenario.history:
            problems.append(f"{key!r} was saved, and shows {shown(store, key)}")
    if pins(store, keys.key) != pinned:
        problems.append(f"a further save has left {pins(store, keys.key)} pinned, not {pinned}")
    problems += [str(problem.error) for problem in verify(store, keys).problems]
    return problems
