"""Who takes part; each saves the same payload bytes under the same keys."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from benchmarks.ours import BareCalls, FileStoreFull, FileStoreNone
from benchmarks.peers import AtomicWrites, DiskCache, Joblib, Lmdb, Shelve, Sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.contender import Contender
    from benchmarks.states import State

CONTENDERS: Final[tuple[type[Contender], ...]] = (
    BareCalls,
    FileStoreFull,
    FileStoreNone,
    Sqlite,
    DiskCache,
    Lmdb,
    AtomicWrites,
    Shelve,
    Joblib,
)


def by_name(name: str) -> type[Contender]:
    """Return the contender of that name."""
    return next(contender for contender in CONTENDERS if contender.name == name)


def save_and_close(contender: type[Contender], path: str, states: Iterable[State]) -> None:
    """Save one key again and again: what counting its syncs needs."""
    with closing(contender(path)) as store:
        for state in states:
            store.save("node-a", state)
