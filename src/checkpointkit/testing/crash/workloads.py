"""What a store does while its operations are recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from attrs import Factory, define, frozen

from checkpointkit.manager import CheckpointManager
from checkpointkit.schema import Schema
from checkpointkit.testing.crash.log import Log, LoggedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.envelope import Payload
    from checkpointkit.stores.base import Entry, Expected, Seal, Store

_NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)


@frozen
class Old:
    """A state of the first version."""

    number: int


@frozen
class New:
    """A state of the second version."""

    number: int
    text: str


def _add_text(old: Payload) -> Payload:  # 1 -> 2
    return {**old, "text": ""}


FIRST: Final = Schema(Old, kind="example.com/number", version=1)
SECOND: Final = Schema(New, kind="example.com/number", version=2, migrations={1: _add_text})


@define
class Scene:
    """Where a workload plays.

    Attributes:
        open_store: Opens the store, one object more each time.
        log: What was acknowledged.
        keys: The keys that were named.
    """

    open_store: Callable[[], Store]
    log: Log
    keys: set[str] = Factory(set)
    _opened: list[Store] = Factory(list)

    def store(self) -> LoggedStore:
        """Open the store once more."""
        store = self.open_store()
        self._opened.append(store)
        return LoggedStore(store, self.log, self.keys)

    def manager(self) -> CheckpointManager[New]:
        """Open the store once more, for a manager."""
        return CheckpointManager(self.store(), SECOND, clock=lambda: _NOON)

    def old_manager(self) -> CheckpointManager[Old]:
        """Open the store once more, for a manager of the release before."""
        return CheckpointManager(self.store(), FIRST, clock=lambda: _NOON)

    def readers_look(self) -> None:
        """Note what a reader sees at this moment."""
        if self._opened:
            self.log.note_readers(self._opened[0], self.keys)

    def close(self) -> None:
        """Close what was opened."""
        while self._opened:
            self._opened.pop().close()


@frozen
class Workload:
    """Something that a store does.

    Attributes:
        name: What it is called in reports.
        run: Does it; what happens in here is cut off.
        prepare: Done before, and on the disk by then.
        killed: Done before `run`, by a process that is killed ahead of each of its operations in
            turn; `run` is what the next process does.
        meanwhile: Done by another writer ahead of each operation of `run` in turn.
    """

    name: str
    run: Callable[[Scene], None]
    prepare: Callable[[Scene], None] | None = None
    killed: Callable[[Scene], None] | None = None
    meanwhile: Callable[[Scene], None] | None = None


def save(*sizes: int, key: str = "a") -> Callable[[Scene], None]:
    """Return what saves a key several times, with texts of these sizes."""

    def run(scene: Scene) -> None:
        manager = scene.manager()
        for number, size in enumerate(sizes):
            manager.create(key, New(number, f"{number}" * size))

    return run


def _open(scene: Scene) -> None:
    scene.store()


def _remove(scene: Scene) -> None:
    scene.manager().remove("a")


def _remove_and_create(scene: Scene) -> None:
    manager = scene.manager()
    manager.remove("a")
    manager.create("a", New(7, "new"))


def _save_two(scene: Scene) -> None:
    manager = scene.manager()
    manager.create_many({"a": New(1, "x"), "b": New(2, "y" * 600)})


def _save_four(scene: Scene) -> None:
    manager = scene.manager()
    manager.create_many({key: New(10, key * 500) for key in "abcd"})


def _save_old(scene: Scene) -> None:
    manager = scene.old_manager()
    for key in "ab":
        manager.create(key, Old(1))
        manager.create(key, Old(2))


def _migrate(scene: Scene) -> None:
    scene.manager().migrate()


def _rollback(scene: Scene) -> None:
    manager = scene.manager()
    manager.rollback("a", manager.history("a")[-1].generation)


def _pin_newest(scene: Scene) -> None:
    store = scene.store()
    for entry in store.history("a")[:1]:
        store.pin("a", entry.generation)


def _unpin(scene: Scene) -> None:
    store = scene.store()
    for entry in store.history("a"):
        store.unpin("a", entry.generation)


def _save_and_pin(scene: Scene) -> None:
    save(10)(scene)
    _pin_newest(scene)


def _pin_and_release(scene: Scene) -> None:
    _pin_newest(scene)
    save(20, 600, 30)(scene)
    _unpin(scene)
    save(40)(scene)


class _RottingStore(LoggedStore):
    """Loses the end of what it saves."""

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        """See `Store.write`."""
        return super().write(key, lambda *known: seal(*known)[:-9], expected=expected)


def _damage(scene: Scene) -> None:
    save(10, 900)(scene)
    store = _RottingStore(scene.open_store(), scene.log, scene.keys)
    CheckpointManager(store, SECOND, clock=lambda: _NOON).create("a", New(3, "rotten"))
    store.close()


def _recover(scene: Scene) -> None:
    scene.manager().recover("a")


WORKLOADS: Final = (
    Workload("a first save in a new directory", save(40)),
    Workload("a first save beside others", save(1200, key="b"), save(10, 20)),
    Workload("further saves", save(700, 30), save(40)),
    Workload("growth", save(10, 700, 6000), save(1)),
    Workload("a history", save(10, 600, 20, 1100), save(30, 800)),
    Workload("a remove", _remove, save(10, 600)),
    Workload("a remove and a save", _remove_and_create, save(10, 600)),
    Workload("several keys", _save_four, _save_two),
    Workload("a migration", _migrate, _save_old),
    Workload("a rollback", _rollback, save(10, 600)),
    Workload("a recovery", _recover, _damage),
    Workload("pins", _pin_and_release, save(10, 600)),
    Workload("a remove of what is pinned", _remove_and_create, _save_and_pin),
    Workload("an opening after a kill in a first save", _open, _open, killed=save(600)),
    Workload("an opening after a kill in a save", _open, save(10, 20), killed=save(600)),
    Workload("a save after a kill in a first save", save(20), _open, killed=save(600)),
    Workload("a save after a kill in a save", save(20), save(10, 600), killed=save(700)),
    Workload("a save over a pin after a kill in one", save(20), _save_and_pin, killed=save(700)),
    Workload("a save after a kill in a pin", save(20, 30), save(10, 600), killed=_pin_newest),
    Workload("a save after a kill in an unpin", save(20, 30), _save_and_pin, killed=_unpin),
    Workload("a pin after a kill in a save", _pin_newest, _open, killed=save(600)),
    Workload("a remove after a kill in a save", _remove, save(10, 20), killed=save(700)),
    Workload("a save after a kill in a remove", save(20), save(10, 600), killed=_remove),
    Workload("a recovery after a kill in one", _recover, _damage, killed=_recover),
    Workload("a save while another key is saved", save(600), save(10), meanwhile=save(5, key="b")),
    Workload("a first save while others open the store", save(600), _open, meanwhile=_open),
)
"""All that a file store can do, alone, after the death of others, and beside them."""
