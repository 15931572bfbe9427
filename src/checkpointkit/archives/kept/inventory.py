"""What is known of the archives of a directory, on the disk, so that nothing is read twice.

All of it can be read anew from the archives, but for when one was first seen, its digest, the
records of deletions, the chain of custody, and since when pods are gone.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Final, Self

from checkpointkit.archives.kept.custody import Custody
from checkpointkit.archives.kept.deletions import DeletionLog
from checkpointkit.archives.kept.gone import GoneMemory
from checkpointkit.archives.kept.shelf import Shelf
from checkpointkit.errors import LockTimeoutError, ReadOnlyError
from checkpointkit.stores.files.disk import store_error
from checkpointkit.stores.files.layout import SCOPES
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.files.system import OPEN_TO_WRITE, SystemCalls
from checkpointkit.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from types import TracebackType

    from checkpointkit.archives.model import Archive, Level, Orphans, Parent
    from checkpointkit.stores.base import Store

__all__ = ["Inventory", "scope_of"]

_OPEN_LOCK: Final = OPEN_TO_WRITE | os.O_CREAT
_READABLE: Final = 40
_LARGEST: Final = 2**29
"""Bytes of a checkpoint: if every pod of a large cluster is gone, there is much to remember."""
_RESERVE: Final = 1024 * 1024
"""Bytes for the record of a batch on a full disk: without it nothing could be deleted there."""
_POLL: Final = 0.02
"""Seconds between two tries to get the lock."""


def scope_of(directory: str) -> str:
    """Return the name under which all of a directory's state is kept: another for each path.

    Example:
        >>> scope_of("/var/lib/kubelet/checkpoints")
        'checkpoints-8f5c84fcad20884db1f333a5d5bd0695'
    """
    digest = blake2b(os.fsencode(directory), digest_size=16).hexdigest()
    name = os.path.basename(directory).encode("ascii", "ignore").decode()
    readable = "".join(each for each in name[:_READABLE] if each.isalnum())
    return f"{readable or 'root'}-{digest}"


def _scoped(
    state: str,
    scope: str,
    name: str,
    *,
    reserve: int,
    read_only: bool,
    system: SystemCalls | None,
) -> Store:
    path = os.path.join(state, name)
    try:
        if not read_only:
            os.makedirs(state, mode=0o700, exist_ok=True)
        elif not _is_there(os.path.join(path, SCOPES, scope)):
            return MemoryStore()
    except OSError as error:
        raise store_error(None, f"open {state}", error) from error
    with FileStore(
        path, read_only=read_only, reserve=reserve, max_bytes=_LARGEST, system=system
    ) as store:
        return store.scope(scope)


def _is_there(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


class Inventory:
    """What is known of the archives of one directory.

    What it gives back is what is stored. Several processes may have one open; who saves last
    counts, and what is lost then is read again from the archives.

    Args:
        store: Where it is kept; all of it is this directory's.
        directory: The path of the archives' directory.
        records: Where the records of deletions are kept; None for the same store.
        lock: The path of the file whose lock `exclusive` takes; None for a lock in this process.
        read_only: Write nothing.
        system: The system calls; for tests.

    Raises:
        DirectoryError: The store has what belongs to another directory.
        VersionTooNewError: A newer release has saved it.
        CheckpointError: It cannot be read; the error says why.

    Example:
        >>> from checkpointkit import MemoryStore
        >>> from checkpointkit.archives.model import Archive, State
        >>> inventory = Inventory(MemoryStore())
        >>> archive = Archive(
        ...     name="checkpoint-a.tar", size=1, device=1, inode=1, mtime_ns=1, ctime_ns=1,
        ...     state=State.COMPLETE,
        ... )
        >>> inventory.save([archive]), inventory.save([archive])
        (1, 0)
        >>> inventory.load() == {"checkpoint-a.tar": archive}
        True
    """

    def __init__(
        self,
        store: Store,
        directory: str = "",
        *,
        records: Store | None = None,
        lock: str | None = None,
        read_only: bool = False,
        system: SystemCalls | None = None,
    ) -> None:
        self._store = store
        self._records = store if records is None else records
        self._lock_path = lock
        self._lock = Lock()
        self._read_only = read_only
        self._system = system or SystemCalls()
        self._shelf = Shelf(store, directory)
        self._gone = GoneMemory(store, read_only=read_only)
        self.deletions: DeletionLog = DeletionLog(self._records)
        """The records of what was deleted."""
        self.custody: Custody = Custody(store, directory)
        """The digests of archives, each linked to the one before."""

    @classmethod
    def open(
        cls,
        state: str,
        directory: str,
        *,
        read_only: bool = False,
        system: SystemCalls | None = None,
    ) -> Self:
        """Open the inventory of a directory; it is created if there is none.

        Args:
            state: The path of the directory in which the state of all directories is kept.
            directory: The path of the archives' directory.
            read_only: Change nothing, and create nothing: if there is none, it is empty.
            system: The system calls; for tests.

        Raises:
            StoreError: It cannot be opened.
            CheckpointError: As for the class itself.
        """
        directory = os.path.realpath(directory)
        scope = scope_of(directory)
        opening = partial(_scoped, state, scope, read_only=read_only, system=system)
        with ExitStack() as stack:
            inventory = cls(
                stack.enter_context(closing(opening("store", reserve=0))),
                directory,
                records=stack.enter_context(closing(opening("records", reserve=_RESERVE))),
                lock=os.path.join(state, f"{scope}.lock"),
                read_only=read_only,
                system=system,
            )
            stack.pop_all()
        return inventory

    def close(self) -> None:
        """Give back what the stores hold; a second call does nothing."""
        self._store.close()
        self._records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong with what was read, one line each."""
        return (*self._shelf.problems, *self._gone.problems)

    @property
    def cluster(self) -> str:
        """The UID of the cluster that the node belongs to; empty if unknown."""
        return self._gone.cluster

    def load(self) -> dict[str, Archive]:
        """Return the archives as they were saved, by name, without pins: those are on the disk.

        What is damaged is left out and told in `problems`: it is read again from the archives.

        Raises:
            VersionTooNewError: A newer release has saved some of it.
            CheckpointError: It cannot be read; the error says why.
        """
        return self._shelf.load()

    def save(self, archives: Iterable[Archive]) -> int:
        """Store all archives; what is not among them is forgotten.

        Returns:
            How many shards were written; those alone in which something has changed.

        Raises:
            ReadOnlyError: It was opened read-only.
            VersionTooNewError: A newer release has saved some of it.
            CheckpointError: Some of it could not be stored; the next save tries it again.
        """
        if self._read_only:
            raise ReadOnlyError("save the inventory")
        return self._shelf.save(archives)

    def note_gone(
        self,
        cluster: str,
        gone: Mapping[Parent, Level],
        now_ns: int,
        *,
        there: Collection[Parent],
    ) -> Orphans:
        """Remember since when each parent is gone, and forget who is not gone any more.

        The node's cluster is the first one that has any of the parents. Where UIDs are known, it
        has to be one with its UID: a pod of the same name may be in any cluster.

        Args:
            cluster: The UID of the cluster that says so.
            gone: Who is confirmed to be gone, and the widest of each that is.
            now_ns: The time, in nanoseconds since 1970.
            there: Who is confirmed to be there.

        Returns:
            Who is gone and since when. With more of one gone than before, that begins now.

        Raises:
            PolicyError: Another cluster says so, or one that may be another.
            CheckpointError: It could not be stored.

        Example:
            >>> from checkpointkit import MemoryStore
            >>> from checkpointkit.archives.model import Container, Level, Parent
            >>> inventory = Inventory(MemoryStore())
            >>> web = Parent(Container("default", "web", "app"))
            >>> inventory.note_gone("6c1f", {}, 4, there=[web])
            {}
            >>> inventory.note_gone("6c1f", {web: Level.POD}, 5, there=[])[web].since_ns
            5
            >>> inventory.note_gone("6c1f", {web: Level.POD}, 9, there=[])[web].since_ns
            5
        """
        return self._gone.note(cluster, gone, now_ns, there=there)

    def leave(self) -> bool:
        """Forget the cluster that the node belongs to, and who is gone; False if there is nothing.

        Raises:
            ReadOnlyError: It was opened read-only.
            CheckpointError: It could not be stored.
        """
        if self._read_only:
            raise ReadOnlyError("forget the cluster")
        return self._gone.leave()

    @contextmanager
    def exclusive(self, timeout: float = 0.0) -> Iterator[None]:
        """Be the only one that deletes archives of this directory, of all threads and processes.

        The kernel gives the lock back when a process dies, however it dies.

        Args:
            timeout: How long to wait for another one at most, in seconds; 0 tries once.

        Raises:
            LockTimeoutError: Another one held it all the time.
            ReadOnlyError: The inventory was opened read-only.
            StoreError: The lock cannot be taken.
        """
        if self._read_only:
            raise ReadOnlyError("delete archives")
        if not self._lock.acquire(timeout=timeout):
            raise LockTimeoutError(None, timeout)
        try:
            with nullcontext() if self._lock_path is None else self._locked(timeout):
                yield
        finally:
            self._lock.release()

    @contextmanager
    def _locked(self, timeout: float) -> Iterator[None]:
        """Hold the lock of the file, which stays for the next one."""
        try:
            fd = self._system.open(self._lock_path, _OPEN_LOCK, 0o600)
        except OSError as error:
            raise store_error(None, "lock", error) from error
        try:
            until = self._system.monotonic() + timeout
            while not self._try_lock(fd):
                if self._system.monotonic() >= until:
                    raise LockTimeoutError(None, timeout)
                self._system.sleep(_POLL)
            yield
        finally:
            self._system.close(fd)

    def _try_lock(self, fd: int) -> bool:
        try:
            return self._system.try_lock(fd)
        except OSError as error:
            raise store_error(None, "lock", error) from error
