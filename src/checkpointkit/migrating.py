"""A pass over many checkpoints that saves those of older schema versions anew; and what follows.

Before a key is saved, its present generation is pinned: the way back stays, whatever `history`
says, until somebody releases it. A pass that was killed is begun again: what is done is done, and
a key that was pinned only is pinned and saved.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, frozen

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    ConflictError,
)
from checkpointkit.records import Problem, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from checkpointkit.envelope import Envelope
    from checkpointkit.records import StateSeal
    from checkpointkit.stores.base import Store

_log: Final = logging.getLogger("checkpointkit")


@frozen
class MigrationReport(Report):
    """The outcome of `migrate`.

    Attributes:
        versions: How many keys were at which schema version before, from the oldest on; those
            among `problems` are not counted.
        pinned: The keys whose former generation was pinned by this pass. A store without the
            feature `pins` pins none.
        dry_run: Whether nothing was done: then `changed` and `pinned` are what would be.
    """

    versions: Mapping[int, int] = Factory(dict)
    pinned: tuple[str, ...] = ()
    dry_run: bool = False


@frozen
class Pass:
    """How one key after the other is migrated.

    Attributes:
        store: The store.
        target: The schema version to reach; what is there already, or newer, is left alone.
        read: Reads and verifies the newest record of a key.
        decode: Returns the value of a record.
        seal: Returns the seal for a value, in the version that is written.
        write: Saves it, where the newest generation still is the expected one.
        pin: Whether to pin what is saved over.
        dry_run: Whether only to find out what would be done.
    """

    store: Store
    target: int
    read: Callable[[str], Envelope]
    decode: Callable[[str, Envelope], Any]
    seal: Callable[[str, Any], StateSeal]
    write: Callable[[str, StateSeal, int], None]
    pin: bool
    dry_run: bool

    def run(
        self, keys: Sequence[str], progress: Callable[[int, int], None] | None
    ) -> MigrationReport:
        """Migrate some keys; an error of one of them ends nothing."""
        versions: Counter[int] = Counter()
        changed: list[str] = []
        problems: list[Problem] = []
        for done, key in enumerate(keys, 1):
            try:
                version = self._migrate(key)
                versions[version] += 1
                if version < self.target:
                    changed.append(key)
            except CheckpointNotFoundError:
                pass  # removed in the meantime
            except CheckpointError as error:
                problems.append(Problem(key, getattr(error, "generation", None), error))
            if progress is not None:
                progress(done, len(keys))
        return MigrationReport(
            len(keys),
            tuple(changed),
            tuple(problems),
            dict(sorted(versions.items())),
            tuple(changed) if self.pin else (),
            self.dry_run,
        )

    def _migrate(self, key: str) -> int:
        """Migrate one key; return the version that it had before."""
        while True:
            record = self.read(key)
            version = record.header.schema_version
            value = self.decode(key, record)
            if version >= self.target:
                return version
            seal = self.seal(key, value)
            if self.dry_run:
                return version
            try:
                self._save(key, record.header.generation, seal)
            except ConflictError:
                continue  # saved in the meantime, perhaps in the present version
            return version

    def _save(self, key: str, generation: int, seal: StateSeal) -> None:
        if not self.pin:
            self.write(key, seal, generation)
            return
        try:
            self.store.pin(key, generation)
        except CheckpointNotFoundError as error:  # saved over and pruned in the meantime
            raise ConflictError(key, generation, None) from error
        # The pin stays whatever becomes of the save: another pass may have pinned the same
        # generation at the same time and saved over it, and nothing tells whose pin it is.
        self.write(key, seal, generation)


def unpin(
    store: Store,
    keys: Iterable[str] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Let every pinned generation go.

    Args:
        store: The store.
        keys: Which keys; None for all.
        progress: Called with the number of keys done and the number of all.

    Returns:
        How many generations were let go, and the keys that they are of.
    """
    chosen = store.keys() if keys is None else tuple(keys)
    released: list[str] = []
    problems: list[Problem] = []
    for done, key in enumerate(chosen, 1):
        number = None
        try:
            for number in pinned(store, key):
                store.unpin(key, number)
                released.append(key)
        except CheckpointError as error:
            problems.append(Problem(key, number, error))
        if progress is not None:
            progress(done, len(chosen))
    return Report(len(released), tuple(dict.fromkeys(released)), tuple(problems))


def pinned(store: Store, key: str) -> tuple[int, ...]:
    """Return the generations of a key that are pinned, newest first."""
    return tuple(entry.generation for entry in store.history(key) if entry.pinned)
