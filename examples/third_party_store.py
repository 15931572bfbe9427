"""A store that is not from here: checkpoints in one SQLite file, and nothing that is optional.

Written from the contract in `checkpointkit.stores.base` alone. It keeps the newest generation of
each key, so it declares neither `history`, `pins` nor `set_aside`. The tests run the conformance
suite on it:

    class TestOneFileStore(StoreTests):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda name, max_bytes: OneFileStore(tmp_path / name, max_bytes=max_bytes)
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from checkpointkit import CheckpointManager, Schema
from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    LockTimeoutError,
    StoreError,
)
from checkpointkit.keys import check_key
from checkpointkit.stores.base import (
    DEFAULT_MAX_BYTES,
    BatchResult,
    Entry,
    Expected,
    Feature,
    Seal,
    check_expected,
    check_limits,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

# A removed key keeps its row without data: its number must not be used again.
TABLE = """
CREATE TABLE IF NOT EXISTS checkpoints (
    key TEXT COLLATE BINARY PRIMARY KEY,
    generation INTEGER NOT NULL,
    data BLOB
)
"""


class _SealError(Exception):
    """Carries an SQLite error of a seal past those of the store: it has to come out as it is."""

    def __init__(self, error: sqlite3.Error) -> None:
        self.error = error


def _sealed(seal: Seal, generation: int, previous: bytes | None) -> bytes:
    try:
        return bytes(seal(generation, previous))  # a copy: the buffer is the caller's
    except sqlite3.Error as error:
        raise _SealError(error) from error


class OneFileStore:
    """Keeps the newest state of each key in a table; several processes may share the file.

    Args:
        path: The file; made where it is missing.
        max_bytes: The largest envelope that is taken or given.
        lock_timeout: How long a writer waits for another one, in seconds.
    """

    features: frozenset[Feature] = frozenset({"durable", "shared"})

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        lock_timeout: float = 10.0,
    ) -> None:
        check_limits(history=0, max_bytes=max_bytes)
        self.max_bytes = max_bytes
        self._path = path
        self._lock_timeout = lock_timeout
        self._closed = False
        with self._transaction(None, "open", write=True) as database:
            database.execute(TABLE)

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        key = check_key(key)
        with self._transaction(key, "read") as database:
            newest, data = self._newest(database, key)
        if data is None or generation not in (None, newest):
            raise CheckpointNotFoundError(key, generation)
        if limit is None and len(data) > self.max_bytes:
            raise CheckpointTooLargeError(key, len(data), self.max_bytes)
        return data[:limit]

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        key = check_key(key)
        with self._transaction(key, "save", write=True) as database:
            return self._save(database, key, seal, expected)

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        items = {check_key(key): seal for key, seal in items.items()}
        if atomic:
            self._refuse("save all or none")
        saved: dict[str, Entry] = {}
        failed: dict[str, CheckpointError] = {}
        with self._transaction(None, "save", write=True) as database:
            for key, seal in items.items():
                try:
                    saved[key] = self._save(database, key, seal, None)
                except CheckpointError as error:
                    failed[key] = error
        return BatchResult(saved, failed)

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        with self._transaction(None, "list") as database:
            rows = database.execute("SELECT key FROM checkpoints WHERE data IS NOT NULL")
            return tuple(sorted(key for (key,) in rows if key.startswith(prefix)))

    def history(self, key: str) -> tuple[Entry, ...]:
        key = check_key(key)
        with self._transaction(key, "read the history") as database:
            newest, data = self._newest(database, key)
        return () if data is None else (Entry(newest, str(newest), len(data)),)

    def remove(self, key: str, *, expected: Expected = None) -> None:
        key = check_key(key)
        with self._transaction(key, "remove", write=True) as database:
            newest, data = self._newest(database, key)
            check_expected(key, expected, None if data is None else newest)
            database.execute("UPDATE checkpoints SET data = NULL WHERE key = ?", (key,))

    def set_aside(self, key: str, revision: str) -> str:  # noqa: ARG002 - it keeps no evidence
        self._refuse("set aside")

    def pin(self, key: str, generation: int) -> None:  # noqa: ARG002 - it keeps no generations
        self._refuse("pin")

    def unpin(self, key: str, generation: int) -> None:  # noqa: ARG002 - so none is pinned
        self._refuse("unpin")

    def scope(self, name: str) -> NoReturn:  # noqa: ARG002 - it has none
        self._refuse("scope")

    def close(self) -> None:
        self._closed = True  # each method opens the file, and closes it again

    def _refuse(self, operation: str) -> NoReturn:
        raise StoreError(None, operation, "this store does not offer it")

    def _newest(self, database: sqlite3.Connection, key: str) -> tuple[int, bytes | None]:
        query = "SELECT generation, data FROM checkpoints WHERE key = ?"
        row: tuple[int, bytes | None] | None = database.execute(query, (key,)).fetchone()
        return (0, None) if row is None else row

    def _save(
        self, database: sqlite3.Connection, key: str, seal: Seal, expected: Expected
    ) -> Entry:
        last, data = self._newest(database, key)
        if data is not None and len(data) > self.max_bytes:
            raise CheckpointTooLargeError(key, len(data), self.max_bytes)
        sealed = _sealed(seal, last + 1, data)
        check_expected(key, expected, None if data is None else last)
        if len(sealed) > self.max_bytes:
            raise CheckpointTooLargeError(key, len(sealed), self.max_bytes)
        database.execute("REPLACE INTO checkpoints VALUES (?, ?, ?)", (key, last + 1, sealed))
        return Entry(last + 1, str(last + 1), len(sealed))

    @contextmanager
    def _transaction(
        self, key: str | None, operation: str, *, write: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each call, which threads and processes need not share."""
        if self._closed:
            raise StoreError(key, operation, "the store is closed")
        try:
            database = sqlite3.connect(self._path, timeout=self._lock_timeout, isolation_level=None)
            try:
                database.execute("PRAGMA synchronous = EXTRA")  # the directory, too
                database.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                yield database
                database.execute("COMMIT")
            finally:
                database.close()  # what was not committed is taken back
        except _SealError as wrapped:
            raise wrapped.error  # noqa: B904 - as it is: with its own cause, or none
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise LockTimeoutError(key, self._lock_timeout) from error
            raise StoreError(key, operation, str(error)) from error
        except sqlite3.Error as error:
            raise StoreError(key, operation, str(error)) from error


if __name__ == "__main__":
    schema = Schema(dict[str, int], kind="example.com/counts", version=1)
    manager = CheckpointManager(OneFileStore("counts.db"), schema)
    counts = manager.get("node-a", default={"starts": 0})
    manager.create("node-a", {"starts": counts["starts"] + 1})
    print(manager.get("node-a"))
