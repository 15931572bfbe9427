"""`FileStore`: the default store, one directory for each key, durable when `write` returns."""

from __future__ import annotations

import logging
import os
import stat
import weakref
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, Literal, Self

from checkpointkit.errors import (
    CheckpointError,
    LockTimeoutError,
    OutcomeUnknownError,
    ReadOnlyError,
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
    check_limits,
)
from checkpointkit.stores.files import pinning, reading, removing
from checkpointkit.stores.files.disk import is_full, store_error
from checkpointkit.stores.files.layout import (
    SCOPES,
    stripe_of,
    temporary_name,
)
from checkpointkit.stores.files.locks import StripeLock
from checkpointkit.stores.files.opening import open_directory
from checkpointkit.stores.files.reserve import Reserve
from checkpointkit.stores.files.saving import carry_out, prepare
from checkpointkit.stores.files.system import (
    SystemCalls,
    require_posix,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from checkpointkit.stores.files.steps import Save, Source

_FEATURES: Final[dict[str, frozenset[Feature]]] = {
    "full": frozenset({"durable", "history", "pins", "scopes", "set_aside", "shared"}),
    "none": frozenset({"history", "pins", "scopes", "set_aside", "shared"}),
}
_BATCH: Final = 256
"""Keys of `write_many` that are saved at a time: the more, the fewer syncs wait for the disk; but
their locks are held all the while."""
_BATCH_SHARE: Final = 8
"""Each of them needs two descriptors: at most a quarter of what this process may have open."""
_log: Final = logging.getLogger("checkpointkit")


class FileStore:
    """Keeps checkpoints as files below a directory; many processes and threads may share it.

    What `write` acknowledged survives SIGKILL and a power cut, on a local file system that keeps
    its promises (ext4, xfs, btrfs, …; not on NFS). `docs/files.md` gives the layout and the
    protocol.

    Args:
        path: The store's directory; made, with its parents, where it is missing. It must be
            empty or a store.
        history: How many older generations of each key are kept, beside those that are pinned.
        durability: `"full"` syncs each save before it is acknowledged. `"none"` syncs nothing: a
            save still is atomic, and survives the death of the process, but after a power cut a
            key may have any older state, a damaged one, or none. For caches and tests.
        read_only: Creates no file, takes no lock; every writing method raises `ReadOnlyError`.
        reserve: Bytes kept ready for saves on a full disk: at least the largest envelope.
        lock_timeout: How long a writer waits for another one of the same stripe, in seconds.
        max_bytes: The largest envelope that is written or read.
        system: The system calls; for tests that record them or make them fail.

    Raises:
        TypeError: `path`, `history` or `max_bytes` is of the wrong type.
        ValueError: An option is out of bounds.
        StoreError: The directory cannot be made or used as a store.
        LockTimeoutError: Another process is laying out the store, for longer than `lock_timeout`.

    Example:
        >>> import tempfile
        >>> directory = tempfile.TemporaryDirectory()
        >>> store = FileStore(directory.name)
        >>> store.write("a", lambda generation, previous: b"state").generation
        1
        >>> store.read("a")
        b'state'
        >>> store.close()
        >>> directory.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        history: int = 1,
        durability: Literal["full", "none"] = "full",
        read_only: bool = False,
        reserve: int = 0,
        lock_timeout: float = 10.0,
        max_bytes: int = DEFAULT_MAX_BYTES,
        system: SystemCalls | None = None,
    ) -> None:
        check_limits(history=history, max_bytes=max_bytes)
        if durability not in _FEATURES:
            raise ValueError(f"durability is 'full' or 'none', not {durability!r}")
        if type(reserve) is not int or reserve < 0:
            raise ValueError(f"reserve is a number of bytes, 0 or more, not {reserve!r}")
        if not lock_timeout >= 0:
            raise ValueError(f"lock_timeout is 0 or more seconds, not {lock_timeout!r}")
        path = os.fspath(path)
        if not isinstance(path, str):
            raise TypeError("path is a str or a path of str")
        if not path:
            raise ValueError("path is empty; name the store's directory")
        require_posix()
        self._history = history
        self._durability: Literal["full", "none"] = durability
        self._read_only = read_only
        self._reserve_size = reserve
        self._lock_timeout = lock_timeout
        self._disk = open_directory(
            os.path.abspath(path),
            system=system or SystemCalls(),
            durable=durability == "full",
            read_only=read_only,
            max_bytes=max_bytes,
            timeout=lock_timeout,
        )
        self._reserve = Reserve(self._disk, reserve)
        self._is_open = True
        self._give_back = weakref.finalize(self, self._disk.system.close, self._disk.root)
        self._give_back.atexit = False  # an exit handler may want to save the last state
        if reserve and not read_only:
            try:
                self._fill_reserve()
            except BaseException:
                self.close()
                raise

    @property
    def path(self) -> str:
        """The store's directory."""
        return self._disk.path

    @property
    def features(self) -> frozenset[Feature]:
        """See `Store.features`: `durable` with full durability alone."""
        return _FEATURES[self._durability]

    @property
    def max_bytes(self) -> int:
        """See `Store.max_bytes`."""
        return self._disk.max_bytes

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        """See `Store.read`. Takes no lock."""
        key = check_key(key)
        self._check_open("read")
        try:
            if generation is None:
                return reading.read_newest(self._disk, key, limit)
            return reading.read_generation(self._disk, key, generation, limit)
        except OSError as error:
            raise store_error(key, "read", error) from error

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        """See `Store.write`."""
        key = check_key(key)
        self._check_writable("save")
        with self._lock(key, stripe_of(key)) as lock:
            try:
                return self._save(lock, key, seal, expected, self._disk.create)
            except StoreError as error:
                if not self._can_use_reserve(error):
                    raise
                return self._save(lock, key, seal, expected, self._reserve.take)
            finally:
                self._reserve.fill(temporary_name(lock.stripe))

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        """See `Store.write_many`; there is no `atomic_many`. The syncs are made together."""
        items = {check_key(key): seal for key, seal in items.items()}
        self._check_writable("save")
        if atomic:
            raise StoreError(None, "save many at once", "this store saves each key by itself")
        saved: dict[str, Entry] = {}
        failed: dict[str, CheckpointError] = {}
        keys = sorted(items, key=lambda key: (stripe_of(key), key))
        size = self._batch_size()
        for start in range(0, len(keys), size):
            batch = {key: items[key] for key in keys[start : start + size]}
            try:
                self._save_batch(batch, saved, failed)
            except CheckpointError as error:  # no lock, say: it is the error of all of them
                failed.update(dict.fromkeys(batch, error))
        for key in [key for key, error in failed.items() if self._can_use_reserve(error)]:
            try:
                saved[key] = self.write(key, items[key])
                del failed[key]
            except CheckpointError as error:
                failed[key] = error
        return BatchResult(saved, failed)

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """See `Store.keys`: one scan of the directory."""
        self._check_open("list")
        try:
            return reading.list_keys(self._disk, prefix)
        except OSError as error:
            raise store_error(None, "list", error) from error

    def history(self, key: str) -> tuple[Entry, ...]:
        """See `Store.history`. Takes no lock."""
        key = check_key(key)
        self._check_open("read the history")
        try:
            return reading.read_history(self._disk, key)
        except OSError as error:
            raise store_error(key, "read the history", error) from error

    def remove(self, key: str, *, expected: Expected = None) -> None:
        """See `Store.remove`; the files are deleted after the removal is durable."""
        key = check_key(key)
        self._check_writable("remove")
        with self._lock(key, stripe_of(key)) as lock:
            removing.remove_key(self._disk, lock, key, expected)

    def set_aside(self, key: str, revision: str) -> str:
        """See `Store.set_aside`; returns the path of the evidence."""
        key = check_key(key)
        self._check_writable("set aside")
        with self._lock(key, stripe_of(key)) as lock:
            return removing.set_aside(self._disk, lock, key, revision)

    def pin(self, key: str, generation: int) -> None:
        """See `Store.pin`: an empty file beside the generation's own."""
        key = check_key(key)
        self._check_writable("pin")
        with self._lock(key, stripe_of(key)) as lock:
            pinning.pin(self._disk, lock, key, generation)

    def unpin(self, key: str, generation: int) -> None:
        """See `Store.unpin`; if it is not kept any more, it goes with the next save."""
        key = check_key(key)
        self._check_writable("unpin")
        with self._lock(key, stripe_of(key)):
            pinning.unpin(self._disk, key, generation)

    def scope(self, name: str) -> FileStore:
        """See `Store.scope`: a complete store with the same options, a reserve of its own too."""
        name = check_key(name)
        self._check_open("scope")
        disk = self._disk
        try:
            disk.check_in_place()
            for path in (SCOPES, f"{SCOPES}/{name}"):
                with suppress(FileNotFoundError):
                    status = disk.system.stat(path, dir_fd=disk.root, follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        raise StoreError(None, "scope", f"{path} is no directory")
        except OSError as error:
            raise store_error(None, "scope", error) from error
        return FileStore(
            os.path.join(disk.path, SCOPES, name),
            history=self._history,
            durability=self._durability,
            read_only=self._read_only,
            reserve=self._reserve_size,
            lock_timeout=self._lock_timeout,
            max_bytes=self._disk.max_bytes,
            system=self._disk.system,
        )

    def close(self) -> None:
        """See `Store.close`; not while another thread is in one of the methods."""
        self._is_open = False
        try:
            self._give_back()
        except OSError as error:  # the descriptor is given back all the same
            _log.warning("%s: the directory was not closed: %s", self._disk.path, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FileStore({self._disk.path!r})"

    def _check_open(self, operation: str) -> None:
        if not self._is_open:
            raise StoreError(None, operation, "the store is closed")

    def _check_writable(self, operation: str) -> None:
        self._check_open(operation)
        if self._read_only:
            raise ReadOnlyError(operation)
        try:
            self._disk.check_in_place()
        except OSError as error:
            raise store_error(None, operation, error) from error

    def _batch_size(self) -> int:
        limit = self._disk.system.open_files_limit()
        return _BATCH if limit < 0 else max(1, min(_BATCH, limit // _BATCH_SHARE))

    def _lock(self, key: str | None, stripe: int) -> StripeLock:
        return StripeLock(self._disk, stripe, key, self._lock_timeout)

    def _fill_reserve(self) -> None:
        try:
            with StripeLock(self._disk, 0, None, timeout=0) as lock:
                self._reserve.fill(temporary_name(lock.stripe))
        except LockTimeoutError:
            _log.info("%s: the next save fills the reserve", self._disk.path)

    def _can_use_reserve(self, error: CheckpointError) -> bool:
        return bool(
            self._reserve_size
            and is_full(error.__cause__)
            and not isinstance(error, OutcomeUnknownError)
        )

    def _save(
        self, lock: StripeLock, key: str, seal: Seal, expected: Expected, source: Source
    ) -> Entry:
        save = prepare(self._disk, lock, key, seal, expected, source)
        _, errors = carry_out(self._disk, [save], self._history)
        if errors:
            raise errors[key]
        return save.entry

    def _save_batch(
        self,
        batch: Mapping[str, Seal],
        saved: dict[str, Entry],
        failed: dict[str, CheckpointError],
    ) -> None:
        """Save some keys together; what happened goes into `saved` and `failed`."""
        disk = self._disk
        with ExitStack() as locks:
            held = {
                stripe: locks.enter_context(self._lock(None, stripe))
                for stripe in sorted({stripe_of(key) for key in batch})  # ascending: no deadlock
            }

            def prepared() -> Iterator[Save]:
                for index, (key, seal) in enumerate(batch.items()):
                    lock = held[stripe_of(key)]
                    try:
                        yield prepare(disk, lock, key, seal, None, disk.create, index)
                    except CheckpointError as error:
                        failed[key] = error

            several = len(batch) > 1
            saves, errors = carry_out(disk, prepared(), self._history, several=several)
            failed.update(errors)
            saved.update({save.key: save.entry for save in saves if save.key not in errors})
