"""The locks of a file store, one for each stripe, and the high-water that lives beside each.

Mutual exclusion rests on these locks alone. Each acquisition opens the stripe's file anew, so
that threads exclude one another just as processes do (a flock belongs to the open file), and so
that the kernel gives the lock back when a process dies, however it dies.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Final, Self

from checkpointkit.errors import LockTimeoutError, StoreError
from checkpointkit.stores.files.disk import Disk, store_error
from checkpointkit.stores.files.layout import (
    HIGH_WATER_SIZE,
    LOCKS,
    decode_high_water,
    encode_slot,
    other_slot,
    stripe_name,
)
from checkpointkit.stores.files.system import OPEN_TO_WRITE

if TYPE_CHECKING:
    from types import TracebackType

_log: Final = logging.getLogger("checkpointkit")
_POLL_SECONDS: Final = 0.001
"""How often a taken lock is tried again; a save takes about half of it."""

_held: Final[set[int]] = set()
"""Descriptors of lock files that this process has open. One set for the process, because a fork
copies them all: a child must close its copies, or they would keep the locks if the parent died."""
_forks: Final = RLock()
"""No fork between opening a lock file and noting it, or between forgetting it and closing it."""


@cache
def _guard_forks() -> None:
    """Register, once and at the first lock, what a forked child has to drop."""
    os.register_at_fork(
        before=_forks.acquire, after_in_parent=_forks.release, after_in_child=_drop_inherited
    )


def _drop_inherited() -> None:
    while _held:
        os.close(_held.pop())
    _forks.release()


class StripeLock:
    """A held lock, as a context; entering waits for it.

    Args:
        disk: The store's directory.
        stripe: Which lock.
        key: For errors: the key that the lock is taken for.
        timeout: How long to wait at most, in seconds; 0 tries once.

    Raises:
        LockTimeoutError: It was taken all the time.
        StoreError: The lock's file is not there, or cannot be locked.
    """

    def __init__(self, disk: Disk, stripe: int, key: str | None, timeout: float) -> None:
        self.stripe = stripe
        self._disk = disk
        self._key = key
        self._timeout = timeout
        self._fd = -1
        self._owner = 0
        self._found: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        _guard_forks()
        system = self._disk.system
        name = f"{LOCKS}/{stripe_name(self.stripe)}"
        try:
            with _forks:
                self._fd = system.open(name, OPEN_TO_WRITE, dir_fd=self._disk.root)
                _held.add(self._fd)
        except FileNotFoundError as error:
            raise StoreError(self._key, "lock", self._lost("is missing")) from error
        except OSError as error:
            raise store_error(self._key, "lock", error) from error
        self._owner = os.getpid()
        try:
            self._wait(self._fd)
        except BaseException:
            self._close()
            raise
        return self

    def _close(self) -> None:
        """Close the file, which gives the lock back; what was done under it is settled by now."""
        with _forks:
            _held.discard(self._fd)
            fd, self._fd = self._fd, -1
            try:
                self._disk.system.close(fd)
            except OSError as problem:
                _log.warning("%s: a lock file was not closed: %s", self._disk.path, problem)

    def _wait(self, fd: int) -> None:
        system = self._disk.system
        try:
            if not system.try_lock(fd):
                deadline = system.monotonic() + self._timeout
                while True:
                    if system.monotonic() >= deadline:
                        raise LockTimeoutError(self._key, self._timeout)
                    system.sleep(_POLL_SECONDS)
                    if system.try_lock(fd):
                        break
            if not system.fstat(fd).st_nlink:
                raise StoreError(self._key, "lock", self._lost("was deleted"))
        except OSError as error:
            raise store_error(self._key, "lock", error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # In a forked child, the descriptor is closed already, and to unlock it would unlock the
        # parent's lock.
        if self._owner != os.getpid():
            return
        try:
            # For copies of the descriptor, in a child that was forked in the meantime.
            self._disk.system.unlock(self._fd)
        except OSError as problem:
            _log.warning("%s: a lock was not given back: %s", self._disk.path, problem)
        finally:
            self._close()

    def high_water(self) -> int:
        """Return the generation that no key of this stripe may be given again.

        Raises:
            StoreError: It is lost. A guess could use a generation twice.
        """
        return self._read()[0]

    def raise_high_water(self, generation: int) -> None:
        """Make the high-water at least `generation`, durably.

        It is written and synced even where it is high enough: whoever wrote that may have been
        killed, or have failed, before it was durable. One slot is written and synced before the
        other one is touched, so at every moment one of them holds what was acknowledged; in the
        end both do, and rot in one of them loses nothing.

        Raises:
            StoreError: It could not be written, or the present one is lost.
        """
        high_water, offset = self._read()
        slot = encode_slot(self.stripe, max(generation, high_water))
        self._found = None
        try:
            self._write(slot, offset)
            self._disk.sync(self._fd)
            self._write(slot, other_slot(offset))
        except OSError as error:
            raise store_error(self._key, "raise the high-water", error) from error

    def _write(self, slot: bytes, offset: int) -> None:
        if self._disk.system.pwrite(self._fd, slot, offset) != len(slot):
            raise StoreError(self._key, "raise the high-water", "it was written in part")

    def _lost(self, what: str) -> str:
        return (
            f"{LOCKS}/{stripe_name(self.stripe)} {what}, and with it what keeps generations from "
            "being used twice: copy the checkpoints of this store into a new one"
        )

    def _read(self) -> tuple[int, int]:
        """Read the file once for all keys of a batch: while the lock is held, nobody writes it."""
        if self._found is not None:
            return self._found
        try:
            data = self._disk.read_start(self._fd, HIGH_WATER_SIZE)
        except OSError as error:
            raise store_error(self._key, "read the high-water", error) from error
        found = decode_high_water(self.stripe, data)
        if found is None:
            raise StoreError(self._key, "read the high-water", self._lost("is damaged"))
        self._found = found
        return found
