"""The floor: the protocol of the file store in bare system calls, written out by hand.

Lock, verifying read and sha256 are in it, as they are in the protocol; errors, odd states and
everything else that a store has to care for are not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_SPARE_DESCRIPTORS: Final = 128


class Order(NamedTuple):
    """How a batch is taken through the steps.

    Attributes:
        threads: How many threads sync.
        advise: Whether each file is advised to the disk (`posix_fadvise`) before the first sync.
    """

    threads: int
    advise: bool


ORDERS: Final = (Order(1, advise=True), Order(8, advise=True), Order(8, advise=False))
"""Which of them is best depends on the file system: a journal serves many syncs by one commit,
without one several threads keep the disk busy."""


def seal(payload: bytes) -> bytes:
    """Return a file's bytes: a digest and the payload."""
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def unseal(data: bytes) -> bytes:
    """Return the payload of a file's bytes, verified."""
    if hashlib.sha256(data[65:]).hexdigest().encode() != data[:64]:
        raise ValueError("the payload does not match its digest")
    return data[65:]


class Bare:
    """Keys in a directory, one lock for all of them.

    Args:
        path: The directory; made.
    """

    def __init__(self, path: str) -> None:
        os.makedirs(f"{path}/.tmp", mode=0o700)
        self._path = path
        self.root = os.open(path, _DIRECTORY)
        with open(f"{path}/.lock", "wb") as file:
            file.write(b" " * 1024)

    def close(self) -> None:
        """Close the directory."""
        os.close(self.root)

    def _lock(self) -> int:
        os.stat(self._path)
        lock = os.open(".lock", os.O_RDWR | os.O_NOFOLLOW, dir_fd=self.root)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fstat(lock)
        return lock

    def _unlock(self, lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)

    def create(self, name: str, data: bytes) -> int:
        """Create a file with these bytes, not yet synced; return its descriptor."""
        fd = os.open(name, _NEW, 0o600, dir_fd=self.root)
        os.fchmod(fd, 0o600)
        os.write(fd, data)
        os.fstat(fd)
        return fd

    def save(self, key: str, payload: bytes) -> None:
        """Save one key, the first time or again."""
        save = _Save(self, key, self._lock())
        save.prepare()
        save.write(payload)
        save.sync()
        save.publish()
        if save.first:
            os.fsync(self.root)
        save.confirm()
        save.finish()
        self._unlock(save.lock)

    def save_many(self, items: Sequence[tuple[str, bytes]], order: Order) -> None:
        """Save many keys, each step for as many of them as descriptors allow."""
        size = (os.sysconf("SC_OPEN_MAX") - _SPARE_DESCRIPTORS) // 2
        lock = self._lock()
        for start in range(0, len(items), size):
            saves = []
            for key, payload in items[start : start + size]:
                save = _Save(self, key, lock)
                save.prepare()
                save.write(payload)
                if order.advise:
                    os.posix_fadvise(save.file, 0, 0, os.POSIX_FADV_DONTNEED)
                saves.append(save)
            _in_threads(order.threads, [save.sync for save in saves])
            for save in saves:
                save.publish()
            if any(save.first for save in saves):
                os.fsync(self.root)
            _in_threads(order.threads, [save.confirm for save in saves if not save.first])
            for save in saves:
                save.finish()
        self._unlock(lock)

    def fill(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Save first states without a sync."""
        lock = self._lock()
        for key, payload in items:
            save = _Save(self, key, lock)
            save.prepare()
            save.write(payload)
            save.publish()
            save.finish()
        self._unlock(lock)

    def get(self, key: str) -> bytes:
        """Return the payload of a key, verified."""
        file = os.open(f"{key}/current", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.root)
        data = os.read(file, os.fstat(file).st_size)
        os.close(file)
        return unseal(data)

    def list(self) -> list[str]:
        """Return the keys, sorted."""
        with os.scandir(self._path) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != ".")

    def remove(self, key: str) -> None:
        """Remove a key: its number is kept first, its files are deleted last."""
        lock = self._lock()
        directory = os.open(key, _DIRECTORY, dir_fd=self.root)
        names = os.listdir(directory)
        os.stat(names[0], dir_fd=directory, follow_symlinks=False)
        os.pread(lock, 1024, 0)
        os.pwrite(lock, b"%029d" % len(names), 0)
        os.fsync(lock)
        os.pwrite(lock, b"%029d" % len(names), 512)
        os.rename(key, ".tmp/gone", src_dir_fd=self.root, dst_dir_fd=self.root)
        os.fsync(self.root)
        for name in names:
            os.unlink(name, dir_fd=directory)
        os.close(directory)
        os.rmdir(".tmp/gone", dir_fd=self.root)
        self._unlock(lock)


class _Save:
    """One key on its way; the steps as `docs/files.md` has them."""

    def __init__(self, store: Bare, key: str, lock: int) -> None:
        self._create = store.create
        self._root = store.root
        self._key = key
        self._temporary = f".tmp/{key}"
        self.lock = lock
        self.file = -1
        self.first = False

    def prepare(self) -> None:
        self._numbers: list[int] = []
        try:
            directory = os.open(self._key, _DIRECTORY, dir_fd=self._root)
        except FileNotFoundError:
            self.first = True
        else:
            current = os.open("current", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
            unseal(os.read(current, os.fstat(current).st_size))
            os.close(current)
            names = os.listdir(directory)
            self._numbers = sorted(int(name) for name in names if name != "current")
            os.stat(str(self._numbers[-1]), dir_fd=directory, follow_symlinks=False)
            self._directory = directory
        os.pread(self.lock, 1024, 0)

    def write(self, payload: bytes) -> None:
        self.file = self._create(self._temporary, seal(payload))
        if self.first:
            built = self._temporary + ".d"
            os.mkdir(built, 0o700, dir_fd=self._root)
            os.chmod(built, 0o700, dir_fd=self._root)
            directory = self._directory = os.open(built, _DIRECTORY, dir_fd=self._root)
            os.rename(self._temporary, "current", src_dir_fd=self._root, dst_dir_fd=directory)
            os.link("current", "1", src_dir_fd=directory, dst_dir_fd=directory)

    def sync(self) -> None:
        os.fsync(self.file)
        if self.first:
            os.fsync(self._directory)

    def publish(self) -> None:
        root = self._root
        if self.first:
            os.rename(self._temporary + ".d", self._key, src_dir_fd=root, dst_dir_fd=root)
            return
        number = str(self._numbers[-1] + 1)
        os.link(self._temporary, number, src_dir_fd=root, dst_dir_fd=self._directory)
        os.rename(self._temporary, "current", src_dir_fd=root, dst_dir_fd=self._directory)

    def confirm(self) -> None:
        if not self.first:
            os.fsync(self._directory)

    def finish(self) -> None:
        for number in self._numbers[:-1]:  # the newest and one older are kept
            os.unlink(str(number), dir_fd=self._directory)
        os.close(self.file)
        os.close(self._directory)


def _in_threads(threads: int, calls: Sequence[Callable[[], None]]) -> None:
    waiting = deque(calls)

    def work() -> None:
        while True:
            try:
                call = waiting.popleft()
            except IndexError:
                return
            call()

    helpers = [threading.Thread(target=work) for _ in range(threads - 1) if len(calls) > 1]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
