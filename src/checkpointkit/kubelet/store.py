"""A store whose keys are files of the kubelet, or of any Go code with its checkpoint manager."""

from __future__ import annotations

import os
import stat
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    CorruptCheckpointError,
    InvalidKeyError,
    LockTimeoutError,
    OutcomeUnknownError,
    ReadOnlyError,
    StoreError,
)
from checkpointkit.keys import check_key
from checkpointkit.kubelet.translating import KUBELET_FILES, Translation, from_file, to_file
from checkpointkit.stores.base import (
    DEFAULT_MAX_BYTES,
    BatchResult,
    Damaged,
    Entry,
    Expected,
    Feature,
    Seal,
    check_expected,
    check_limits,
)
from checkpointkit.stores.files.disk import Disk, store_error
from checkpointkit.stores.files.system import OPEN_DIRECTORY, OPEN_ROOT, SystemCalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["KubeletCalls", "KubeletStore"]

_FEATURES: Final[frozenset[Feature]] = frozenset({"durable", "shared"})
_TICK: Final = 100
"""Nanoseconds between two generations: a header has no room for more digits."""
_DIRECTORY_MODE: Final = 0o755
_POLL: Final = 0.002


class KubeletCalls(SystemCalls):
    """The system calls of this store: those of the file store, and the times of files."""

    utime: staticmethod[..., None] = staticmethod(os.utime)
    makedirs: staticmethod[..., None] = staticmethod(os.makedirs)
    time_ns: staticmethod[[], int] = staticmethod(time.time_ns)


class KubeletStore:
    """Keeps each checkpoint in one file, as the kubelet's checkpoint manager does.

    `cpu_manager_state` and the other files of the kubelet are written and read in its formats; so
    are the keys that `files` adds. Every other key holds an envelope, as it is.

    A file is replaced by a rename in its directory, with the rights 0600, synced before; unlike
    the kubelet, the store syncs the directory, too. There is no history: a file has no room for
    one. A generation is the time of the file, in units of 100 ns, so that a save of Go code is a
    new generation like any other; two saves of Go code within one tick of the kernel's clock
    (4 ms) are one. Processes with this library save one after the other (they lock the directory
    itself, and leave no file); Go code knows no lock, so a compare-and-swap can miss its save.

    Args:
        path: The directory; made where it is missing.
        files: What other keys are in Go; it comes before the kubelet's own.
        read_only: Whether every change is refused.
        lock_timeout: How many seconds to wait for another writer.
        max_bytes: The largest envelope, and the largest file.
        system: The system calls; for tests.

    Raises:
        StoreError: The directory cannot be opened.
        TypeError: `max_bytes` is no int.
        ValueError: `max_bytes` is not positive.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from checkpointkit import CheckpointManager
        >>> from checkpointkit.kubelet import ALLOCATED_PODS, PodsState
        >>> with TemporaryDirectory() as directory:
        ...     manager = CheckpointManager(KubeletStore(directory), ALLOCATED_PODS)
        ...     _ = manager.create("allocated_pods_state", PodsState("{}"))
        ...     with open(f"{directory}/allocated_pods_state") as file:
        ...         file.read()
        '{"data":"{}","checksum":694314937}'
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        files: Mapping[str, Translation] | None = None,
        read_only: bool = False,
        lock_timeout: float = 10.0,
        max_bytes: int = DEFAULT_MAX_BYTES,
        system: KubeletCalls | None = None,
    ) -> None:
        check_limits(history=0, max_bytes=max_bytes)
        self._files = {**KUBELET_FILES, **(files or {})}
        self._read_only = read_only
        self._timeout = lock_timeout
        self._max_bytes = max_bytes
        self._system = system or KubeletCalls()
        self._closed = False
        self._highest: dict[str, int] = {}
        self._lock = threading.Lock()
        self._disk = self._open_directory(os.path.abspath(path))

    def _open_directory(self, path: str) -> Disk:
        system = self._system
        try:
            if not self._read_only:
                system.makedirs(path, _DIRECTORY_MODE, exist_ok=True)
            root = system.open(path, OPEN_ROOT)
        except OSError as error:
            raise store_error(None, f"open the store {path}", error) from error
        status = system.fstat(root)
        identity = status.st_dev, status.st_ino
        return Disk(system, path, root, identity, durable=True, max_bytes=self._max_bytes)

    @property
    def features(self) -> frozenset[Feature]:
        """See `Store.features`."""
        return _FEATURES

    @property
    def max_bytes(self) -> int:
        """See `Store.max_bytes`."""
        return self._max_bytes

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        """See `Store.read`."""
        key = check_key(key)
        self._must_be_open("read", key)
        found = self._present(key, "read", limit)
        if found is None or generation not in (None, found[0].generation):
            raise CheckpointNotFoundError(key, generation)
        entry, data = found
        if isinstance(data, Damaged):
            raise CorruptCheckpointError(key, entry.generation, data.reason, recoverable=False)
        if limit is None and len(data) > self._max_bytes:
            raise CheckpointTooLargeError(key, len(data), self._max_bytes)
        return data[:limit]

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        """See `Store.write`."""
        key = check_key(key)
        self._must_write("save", key)
        with self._locked(key):
            return self._write(key, seal, expected)

    def _write(self, key: str, seal: Seal, expected: Expected) -> Entry:
        found = self._present(key, "save", None)
        newest = None if found is None else found[0].generation
        number = max(
            self._system.time_ns() // _TICK, (newest or 0) + 1, self._highest.get(key, 0) + 1
        )
        sealed = bytes(seal(number, None if found is None else found[1]))
        check_expected(key, expected, newest)
        how = self._files.get(key)
        data = sealed if how is None else to_file(how, key, sealed)
        for size in (len(sealed), len(data)):
            if size > self._max_bytes:
                raise CheckpointTooLargeError(key, size, self._max_bytes)
        entry = self._replace(key, number, data)
        self._highest[key] = number
        return entry

    def _replace(self, key: str, number: int, data: bytes) -> Entry:
        """Put a new file in the place of the old one, as `filestore.go` does, and sync the name."""
        disk, system = self._disk, self._system
        try:
            disk.check_in_place()
            temporary = f".{int.from_bytes(system.urandom(7)):017d}"
            fd = disk.create(temporary, data)
            try:
                system.utime(fd, ns=(number * _TICK, number * _TICK))
                disk.sync(fd)
                status = system.fstat(fd)
                _check_time(key, status, number)
                system.rename(temporary, key, src_dir_fd=disk.root, dst_dir_fd=disk.root)
            except BaseException:
                with suppress(OSError):
                    system.unlink(temporary, dir_fd=disk.root)
                raise
            finally:
                system.close(fd)
        except OSError as error:
            raise store_error(key, "save", error) from error
        self._sync_names(key, "save")
        return _entry(status)

    def _sync_names(self, key: str, operation: str) -> None:
        try:
            self._disk.sync(self._disk.root)
        except OSError as error:
            reason = store_error(key, operation, error).reason
            raise OutcomeUnknownError(key, operation, reason) from error

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        """See `Store.write_many`; each key by itself."""
        if atomic:
            raise _missing("save a batch as one")
        items = {check_key(key): seal for key, seal in items.items()}
        self._must_write("save")
        saved: dict[str, Entry] = {}
        failed: dict[str, CheckpointError] = {}
        for key, seal in items.items():
            try:
                saved[key] = self.write(key, seal)
            except CheckpointError as error:
                failed[key] = error
        return BatchResult(saved, failed)

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """See `Store.keys`; the Go code lists directories, too, and names that are no keys."""
        self._must_be_open("list")
        try:
            names = self._system.listdir(self._disk.root)
            self._disk.check_in_place()
            found = [name for name in names if name.startswith(prefix) and self._is_key(name)]
        except OSError as error:
            raise store_error(None, "list", error) from error
        return tuple(sorted(found))

    def _is_key(self, name: str) -> bool:
        try:
            check_key(name)
        except InvalidKeyError:
            return False
        try:
            status = self._system.stat(name, dir_fd=self._disk.root, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return not stat.S_ISDIR(status.st_mode)

    def history(self, key: str) -> tuple[Entry, ...]:
        """See `Store.history`."""
        key = check_key(key)
        self._must_be_open("history", key)
        found = self._present(key, "history", 0)
        return () if found is None else (found[0],)

    def remove(self, key: str, *, expected: Expected = None) -> None:
        """See `Store.remove`."""
        key = check_key(key)
        self._must_write("remove", key)
        with self._locked(key):
            found = self._present(key, "remove", 0)
            check_expected(key, expected, None if found is None else found[0].generation)
            if found is None:
                return
            self._highest[key] = max(self._highest.get(key, 0), found[0].generation)
            try:
                self._disk.check_in_place()
                self._system.unlink(key, dir_fd=self._disk.root)
            except OSError as error:
                raise store_error(key, "remove", error) from error
            self._sync_names(key, "remove")

    def set_aside(self, key: str, revision: str) -> str:  # noqa: ARG002 - the contract's
        """Refuse: see `Store.features`."""
        raise _missing("set aside", key)

    def pin(self, key: str, generation: int) -> None:  # noqa: ARG002 - the contract's
        """Refuse: see `Store.features`."""
        raise _missing("pin", key)

    def unpin(self, key: str, generation: int) -> None:  # noqa: ARG002 - the contract's
        """Refuse: see `Store.features`."""
        raise _missing("unpin", key)

    def scope(self, name: str) -> Self:  # noqa: ARG002 - the contract's
        """Refuse: see `Store.features`."""
        raise _missing("scope")

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._system.close(self._disk.root)

    def _must_be_open(self, operation: str, key: str | None = None) -> None:
        if self._closed:
            raise StoreError(key, operation, "the store is closed")

    def _must_write(self, operation: str, key: str | None = None) -> None:
        self._must_be_open(operation, key)
        if self._read_only:
            raise ReadOnlyError(operation)

    def _present(
        self, key: str, operation: str, limit: int | None
    ) -> tuple[Entry, bytes | Damaged] | None:
        """Return what stands under a key: the entry, and the bytes that went in or `Damaged`.

        A file in a format of Go is read whole, since its envelope is made of all of it; with a
        limit of 0 no file is read.
        """
        disk, system, how = self._disk, self._system, self._files.get(key)
        try:
            try:
                opened = disk.open(disk.root, key)
            except FileNotFoundError:
                disk.check_in_place()
                return None
            if isinstance(opened, Damaged):
                status = system.stat(key, dir_fd=disk.root, follow_symlinks=False)
                return _entry(status), opened
            fd, status = opened
            try:
                data = disk.read(fd, status, key, limit if how is None or not limit else None)
            finally:
                system.close(fd)
        except OSError as error:
            raise store_error(key, operation, error) from error
        entry = _entry(status)
        if how is None or limit == 0:
            return entry, data
        try:
            made = from_file(
                how, key, data, generation=entry.generation, mtime_ns=status.st_mtime_ns
            )
        except CorruptCheckpointError as error:
            return entry, Damaged(error.reason)
        return entry, made

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Keep other writers out: threads by a lock, processes by a lock on the directory."""
        system = self._system
        deadline = system.monotonic() + self._timeout
        if not self._lock.acquire(timeout=self._timeout):
            raise LockTimeoutError(key, self._timeout)
        try:
            self._must_be_open("save", key)
            # A descriptor of its own: a fork would share that of the store, and its lock.
            try:
                fd = system.open(".", OPEN_DIRECTORY, dir_fd=self._disk.root)
            except OSError as error:
                raise store_error(key, "lock", error) from error
            try:
                while not system.try_lock(fd):
                    if system.monotonic() >= deadline:
                        raise LockTimeoutError(key, self._timeout)
                    system.sleep(_POLL)
                yield
            finally:
                system.close(fd)
        finally:
            self._lock.release()


def _generation(status: os.stat_result) -> int:
    return max(1, status.st_mtime_ns // _TICK)


def _check_time(key: str, status: os.stat_result, number: int) -> None:
    if _generation(status) != number:
        raise StoreError(key, "save", "the file system keeps no times of 100 ns")


def _entry(status: os.stat_result) -> Entry:
    revision = f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
    return Entry(_generation(status), revision, status.st_size)


def _missing(operation: str, key: str | None = None) -> StoreError:
    return StoreError(key, operation, "this store has no such feature")
