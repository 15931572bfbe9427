"""What else people keep state in.

The peers are tuned for durability as their documentation says; where they cannot be durable,
`durable` is False and `note` says what is lost. What the methods do is said in `Contender`.
"""
# ruff: noqa: D102

from __future__ import annotations

import dbm
import os
import shelve
import sqlite3
import tempfile
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contender import Contender, encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.states import State


class Sqlite(Contender):
    """The standard library's database."""

    name = "sqlite3"
    note = (
        "WAL, synchronous=FULL; a batch is one transaction. One sync for each save (and more at "
        "checkpoints); no checksums, no generations"
    )

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._db = sqlite3.connect(f"{path}/states.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE states (key TEXT PRIMARY KEY, value BLOB NOT NULL)")

    _SAVE: Final = (
        "INSERT INTO states VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )

    def put(self, key: str, data: bytes) -> None:
        self._db.execute(self._SAVE, (key, data))

    def fetch(self, key: str) -> bytes:
        query = "SELECT value FROM states WHERE key = ?"
        data: bytes = self._db.execute(query, (key,)).fetchone()[0]
        return data

    def list(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT key FROM states ORDER BY key")]

    def remove(self, key: str) -> None:
        self._db.execute("DELETE FROM states WHERE key = ?", (key,))

    def save_many(self, states: Mapping[str, State]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(self._SAVE, encoded(states))
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class DiskCache(Contender):
    """A cache over SQLite."""

    name = "diskcache"
    module = "diskcache"
    note = (
        "synchronous=FULL, no eviction, and all values kept in its SQLite database: the files "
        "that it would else write for values from 32 KiB are never synced"
    )

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._cache: Any = import_module("diskcache").Cache(
            f"{path}/cache",
            sqlite_synchronous=2,
            disk_min_file_size=2**30,
            eviction_policy="none",
            size_limit=2**40,
        )

    def put(self, key: str, data: bytes) -> None:
        self._cache.set(key, data)

    def fetch(self, key: str) -> bytes:
        data: bytes = self._cache[key]
        return data

    def list(self) -> list[str]:
        return sorted(self._cache)

    def remove(self, key: str) -> None:
        self._cache.delete(key)

    def save_many(self, states: Mapping[str, State]) -> None:
        with self._cache.transact():
            super().save_many(states)

    def close(self) -> None:
        self._cache.close()


class Lmdb(Contender):
    """A memory-mapped B-tree."""

    name = "lmdb"
    module = "lmdb"
    note = (
        "sync=True, metasync=True; a batch is one transaction. One sync and one synchronous write "
        "for each save; the map's size is fixed; no checksums, no generations"
    )

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._env: Any = import_module("lmdb").open(f"{path}/map", map_size=2**31)

    def put(self, key: str, data: bytes) -> None:
        with self._env.begin(write=True) as transaction:
            transaction.put(key.encode(), data)

    def fetch(self, key: str) -> bytes:
        with self._env.begin() as transaction:
            data: bytes = transaction.get(key.encode())
        return data

    def list(self) -> list[str]:
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            return [key.decode() for key in cursor.iternext(values=False)]

    def remove(self, key: str) -> None:
        with self._env.begin(write=True) as transaction:
            transaction.delete(key.encode())

    def save_many(self, states: Mapping[str, State]) -> None:
        with self._env.begin(write=True) as transaction:
            for key, data in encoded(states):
                transaction.put(key.encode(), data)

    def close(self) -> None:
        self._env.close()


class AtomicWrites(Contender):
    """A file for each key, replaced by a rename; the package is no longer maintained."""

    name = "atomicwrites"
    module = "atomicwrites"
    note = (
        "syncs file and directory; it has no remove, so that is an unlink and a sync by hand. No "
        "lock, no checksums, no generations; no longer maintained"
    )

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._write: Any = import_module("atomicwrites").atomic_write

    def put(self, key: str, data: bytes) -> None:
        with self._write(f"{self.path}/{key}", mode="wb", overwrite=True) as file:
            file.write(data)

    def fetch(self, key: str) -> bytes:
        with open(f"{self.path}/{key}", "rb") as file:
            return file.read()

    def list(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def remove(self, key: str) -> None:
        os.unlink(f"{self.path}/{key}")
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)

    def fill(self, states: Mapping[str, State]) -> None:
        for key, data in encoded(states):
            with open(f"{self.path}/{key}", "wb") as file:
                file.write(data)


class Shelve(Contender):
    """The standard library's shelf."""

    name = "shelve"
    durable = False
    note = (
        "sync() after each save, which writes and asks nothing of the disk where the database is "
        "dbm.dumb. Not atomic: a crash may damage all keys; one writer"
    )

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._shelf = shelve.open(f"{path}/shelf")  # noqa: S301, SIM115 - what is measured

    def put(self, key: str, data: bytes) -> None:
        self._shelf[key] = data
        self._shelf.sync()

    def fetch(self, key: str) -> bytes:
        data: bytes = self._shelf[key]
        return data

    def list(self) -> list[str]:
        return sorted(self._shelf)

    def remove(self, key: str) -> None:
        del self._shelf[key]
        self._shelf.sync()

    def save_many(self, states: Mapping[str, State]) -> None:
        for key, data in encoded(states):
            self._shelf[key] = data
        self._shelf.sync()

    def close(self) -> None:
        self._shelf.close()

    @classmethod
    def release(cls) -> str:
        with tempfile.TemporaryDirectory() as path:
            shelve.open(f"{path}/shelf").close()  # noqa: S301 - new and empty
            return f"shelve over {dbm.whichdb(f'{path}/shelf')}"


class Joblib(Contender):
    """A pickle for each key."""

    name = "joblib"
    module = "joblib"
    durable = False
    note = "joblib.dump to the file: no sync, not atomic (a crash leaves half a file), a pickle"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._joblib: Any = import_module("joblib")

    def put(self, key: str, data: bytes) -> None:
        self._joblib.dump(data, f"{self.path}/{key}")

    def fetch(self, key: str) -> bytes:
        data: bytes = self._joblib.load(f"{self.path}/{key}")
        return data

    def list(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def remove(self, key: str) -> None:
        os.unlink(f"{self.path}/{key}")
