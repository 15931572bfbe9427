"""System calls of the file store that fail in turn, and what is looked at afterwards."""

from __future__ import annotations

import errno
import gc
import os
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    OutcomeUnknownError,
    StoreError,
    StoreUnavailableError,
)
from checkpointkit.manager import CheckpointManager
from checkpointkit.records import recover, rollback
from checkpointkit.schema import Schema
from checkpointkit.stores.files.disk import FULL
from checkpointkit.stores.files.layout import EVIDENCE_KEPT
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import FailingCalls, RecordedCalls
from tests.support.states import NOW, generations, number_of, sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.errors import CheckpointError
    from checkpointkit.stores.base import Store

ERRORS: Final = [
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EMFILE,
    errno.EINTR,
]
PASSING: Final = {errno.EMFILE, errno.EINTR}


@frozen
class Number:
    """What `sealed` saves."""

    n: int
    pad: str


MIGRATED: Final = Schema(
    Number,
    kind="example.com/number",
    version=2,
    migrations={1: lambda payload: {**payload, "n": payload["n"] + 100}},
)


class Hooked(RecordedCalls):
    """Runs a function once, ahead of the first call that matches or after it.

    Attributes:
        hooks: For each start of an event's description, what to do ahead of it, once.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.hooks: dict[str, Callable[[], object]] = {}

    def before(self, name: str, event: str) -> None:
        """Run the first hook that matches."""
        for start in self.hooks:
            if event.startswith(start):
                self.hooks.pop(start)()
                return


class InterruptingCalls(FailingCalls):
    """Raises `KeyboardInterrupt` where a call would fail."""

    def before(self, name: str, event: str) -> None:
        try:
            super().before(name, event)
        except OSError:
            raise KeyboardInterrupt from None


def descriptors() -> set[str]:
    """Return what this process has open."""
    with os.scandir("/dev/fd") as found:
        names = [entry.name for entry in found]
    return {name for name in names if _is_open(int(name))}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def settle() -> None:
    """Close the stores that other tests have dropped now, not while descriptors are counted."""
    gc.collect()


def shown(store: Store, key: str) -> int | str:
    """Return what a key shows: its number, or why there is none."""
    try:
        return number_of(store, key)
    except CheckpointNotFoundError:
        return "absent"
    except CorruptCheckpointError:
        return "damaged"


def check_error(error: CheckpointError, number: int, *, once: bool) -> None:
    """See that an error is the documented one, and has its cause."""
    assert isinstance(error, StoreError), error
    assert isinstance(error.__cause__, OSError), error
    if once:
        same = FULL if number in FULL else {number}  # without a ballast, the reserve says ENOSPC
        assert error.__cause__.errno in same, error
        if not isinstance(error, OutcomeUnknownError):
            assert isinstance(error, StoreUnavailableError) is (number in PASSING), error


@frozen
class Scenario:
    """A call, what is there before it, and what the key shows before and after.

    Attributes:
        saves: How many states are saved before: the numbers 0, 1, …
        act: The call, for a store and its key.
        after: What the key shows when it has succeeded.
        prepare: Done to the files before.
        history: The option of the store.
        reserve: The option of the store.
    """

    saves: int
    act: Callable[[FileStore, str], object]
    after: int | str
    prepare: Callable[[Path, str], None] | None = None
    history: int = 1
    reserve: int = 0

    def options(self) -> dict[str, Any]:
        """Return the options of the store."""
        return {"history": self.history, "reserve": self.reserve}


def rot(directory: Path, key: str) -> None:
    """Damage the newest state of a key."""
    path = directory / key / "current"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def highest(directory: Path, key: str) -> int:
    """Return the highest number that stands in a key's directory."""
    return max(int(name) for name in os.listdir(directory / key) if name.isdigit())


def unlink_newest(directory: Path, key: str) -> None:
    """Take the number of the newest state away, as a power cut may."""
    (directory / key / str(highest(directory, key))).unlink()


def add_unacknowledged(directory: Path, key: str) -> None:
    """Leave what a save leaves that is killed before it replaces `current`."""
    (directory / key / str(highest(directory, key) + 1)).write_bytes(b"cut off")


def pin_oldest(directory: Path, key: str) -> None:
    """Pin the first state of a key."""
    oldest = min(int(name) for name in os.listdir(directory / key) if name.isdigit())
    (directory / key / f"{oldest}.pin").touch()


def without_ballast(directory: Path, key: str) -> None:
    """Take the ballast away, so that the save makes it anew."""
    (directory / ".reserve" / "ballast").unlink()


def save(store: FileStore, key: str) -> object:
    return store.write(key, sealed(key, 50))


def remove(store: FileStore, key: str) -> None:
    store.remove(key)


def set_aside(store: FileStore, key: str) -> object:
    return store.set_aside(key, store.history(key)[0].revision)


def recovering(store: FileStore, key: str) -> object:
    return recover(store, key, NOW)


def roll_back(store: FileStore, key: str) -> object:
    return rollback(store, key, store.history(key)[-1].generation, NOW)


def manager_of(store: FileStore) -> CheckpointManager[Number]:
    return CheckpointManager(store, MIGRATED, clock=lambda: NOW)


def migrate(store: FileStore, key: str) -> object:
    """Save the state in the next schema version; raise what the report tells."""
    report = manager_of(store).migrate([key])
    for problem in report.problems:
        raise problem.error
    assert report.changed == (key,)
    return report


def update(store: FileStore, key: str) -> object:
    return manager_of(store).update(key, lambda state: Number(state.n + 7, state.pad))


SCENARIOS: Final = {
    "first save": Scenario(0, save, 50),
    "next save": Scenario(2, save, 50),
    "second save": Scenario(1, save, 50),
    "save that prunes all": Scenario(3, save, 50, history=0),
    "save with a long history": Scenario(6, save, 50, history=3),
    "save after a lost number": Scenario(2, save, 50, unlink_newest),
    "save after a cut-off one": Scenario(2, save, 50, add_unacknowledged),
    "save over a pin": Scenario(2, save, 50, pin_oldest),
    "save with a reserve": Scenario(2, save, 50, reserve=500),
    "save that refills the reserve": Scenario(2, save, 50, without_ballast, reserve=500),
    "remove": Scenario(2, remove, "absent"),
    "remove of nothing": Scenario(0, remove, "absent"),
    "remove after a lost number": Scenario(2, remove, "absent", unlink_newest),
    "remove of a damaged one": Scenario(2, remove, "absent", rot),
    "set aside": Scenario(2, set_aside, "damaged", rot),
    "recover": Scenario(2, recovering, 0, rot),
    "rollback": Scenario(3, roll_back, 0, history=2),
    "migrate": Scenario(2, migrate, 101),
    "update": Scenario(2, update, 108),
}


class Bench:
    """One store on which one call after the other is broken, each on a key of its own."""

    def __init__(self, directory: Path, calls: FailingCalls | None = None, **options: Any) -> None:
        self.directory = directory / "store"
        self.calls = FailingCalls(self.directory) if calls is None else calls
        self.options = options
        self.store = FileStore(self.directory, system=self.calls, lock_timeout=0.2, **options)
        self.runs = 0

    def ready(self, scenario: Scenario) -> str:
        """Make a key that the scenario begins with."""
        self.calls.heal()
        self.runs += 1
        key = f"a{self.runs}"
        for n in range(scenario.saves):
            self.store.write(key, sealed(key, n))
        if scenario.prepare is not None:
            scenario.prepare(self.directory, key)
        return key

    def close(self) -> None:
        """Close the store."""
        self.calls.heal()
        self.store.close()

    def attempts(self, scenario: Scenario) -> list[str]:
        """Return the system calls that the scenario makes; there may be fewer another time."""
        for _ in range(EVIDENCE_KEPT if scenario.act in (set_aside, recovering) else 0):
            scenario.act(self.store, self.ready(scenario))  # from here on it prunes the evidence
        key = self.ready(scenario)
        self.calls.forget()
        scenario.act(self.store, key)
        attempts = list(self.calls.attempts)
        assert shown(self.store, key) == scenario.after
        return attempts

    def length(self, scenario: Scenario) -> int:
        """Return how many system calls the scenario makes, at most."""
        return len(self.attempts(scenario))

    def healed(self, key: str, above: int = 0) -> None:
        """See that a store on a healed disk goes on, with a generation above those before."""
        self.calls.heal()
        if shown(self.store, key) == "damaged":
            recover(self.store, key, NOW)
        if shown(self.store, key) in (101, 108):  # in a newer schema version
            update(self.store, key)
        else:
            self.store.write(key, sealed(key, 99))
            assert number_of(self.store, key) == 99
        assert generations(self.store, key)[0] > above
