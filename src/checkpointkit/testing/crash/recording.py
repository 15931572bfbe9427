"""System calls that note what they do to the disk."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.stores.files.system import SystemCalls
from checkpointkit.testing.crash.tree import (
    ROOT,
    Cut,
    Enter,
    Leave,
    Move,
    Operation,
    Sync,
    Tree,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMES: Final = {"link", "mkdir", "rename", "rmdir", "unlink"}
_CHANGES: Final = _NAMES | {"fsync", "ftruncate", "pwrite", "write"}


class RecordingCalls(SystemCalls):
    """Real system calls, noted as operations on a tree; pass it as `FileStore(…, system=…)`.

    What lies outside of its directory is not noted. It is for one process; in threads, the order
    of syncs that nothing comes between is made the same each time.

    Args:
        directory: The directory that is watched; it has to be empty.
        first: What is made gets numbers above this one.

    Attributes:
        tree: What is in the directory now.
        operations: What was done to it.
        before: Called ahead of each change and of each sync.
        changed: Called after each change of names.
    """

    def __init__(self, directory: str, first: int = ROOT) -> None:
        self._directory = os.path.realpath(directory)
        self.tree: Tree = Tree()
        self.operations: list[Operation] = []
        self.before: Callable[[], object] | None = None
        self.changed: Callable[[], object] | None = None
        self._threads: list[int] = []
        self._opened: dict[int, int] = {}
        self._offsets: dict[int, int] = {}
        self._nodes = first
        self._lock = threading.RLock()
        for name in _CHANGES:
            noted = self._noted_name if name in _NAMES else self._noted
            setattr(
                self, name, partial(noted, getattr(self, f"_{name}"), getattr(SystemCalls, name))
            )
        for name in ("open", "close", "read"):
            setattr(self, name, getattr(self, f"_{name}"))

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Do something without being told of it, such as to look at the store."""
        before, self.before = self.before, None
        changed, self.changed = self.changed, None
        try:
            yield
        finally:
            self.before, self.changed = before, changed

    def begin(self, tree: Tree | None = None) -> None:
        """Forget what was done: what is there now is what the next operations start from.

        Args:
            tree: What is there, where somebody else has changed the directory.
        """
        self.operations.clear()
        self._threads.clear()
        if tree is not None:
            self.tree = tree.copy()

    def in_order(self) -> list[Operation]:
        """Return the operations, with the syncs of several threads in an order of their own."""
        ordered: list[Operation] = []
        block: list[tuple[Operation, int]] = []
        for item in zip(self.operations, self._threads, strict=True):
            if not isinstance(item[0], Sync):
                ordered += _sorted(block)
                block = []
                ordered.append(item[0])
            else:
                block.append(item)
        return ordered + _sorted(block)

    def close_all(self) -> None:
        """Close what a killed process has left open, as the kernel does."""
        while self._opened:
            os.close(self._opened.popitem()[0])

    def _noted(self, note: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if self.before is not None:
            self.before()
        with self._lock:
            return note(*arguments, **options)

    def _noted_name(self, note: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        result = self._noted(note, *arguments, **options)
        if (changed := self.changed) is not None:
            with self.unwatched():
                changed()
        return result

    def _do(self, operation: Operation) -> None:
        with self._lock:
            self.operations.append(operation)
            self._threads.append(threading.get_ident())
            self.tree.apply(operation)

    def _place(self, path: str, directory: int | None) -> tuple[int | None, str]:
        """Return the directory that a path's last name is in, and that name."""
        if directory is None:
            path = os.path.relpath(path, self._directory)
            above: int | None = None if path.startswith("..") else ROOT
        else:
            above = self._opened.get(directory)
        if above is None or "/" not in path:
            return above, path
        parent, _, name = path.rpartition("/")
        return self.tree.find(parent, above), name

    def _open(self, path: str, flags: int, *mode: int, dir_fd: int | None = None) -> int:
        above, name = self._place(path, dir_fd)
        node = None if above is None else self.tree.find(name, above)
        fd = SystemCalls.open(path, flags, *mode, dir_fd=dir_fd)
        if above is not None:
            if node is None:
                node = self._new()
                self._do(Enter(above, name, node))
            self._opened[fd] = node
            self._offsets[fd] = 0
        return fd

    def _new(self) -> int:
        self._nodes += 1
        return self._nodes

    def _close(self, fd: int) -> None:
        self._opened.pop(fd, None)
        SystemCalls.close(fd)

    def _read(self, fd: int, size: int) -> bytes:
        data = SystemCalls.read(fd, size)
        if fd in self._opened:
            self._offsets[fd] += len(data)
        return data

    def _write(self, real: Callable[..., int], fd: int, data: bytes) -> int:
        count = real(fd, data)
        if fd in self._opened:
            self._do(Write(self._opened[fd], self._offsets[fd], bytes(data)[:count]))
            self._offsets[fd] += count
        return count

    def _pwrite(self, real: Callable[..., int], fd: int, data: bytes, offset: int) -> int:
        count = real(fd, data, offset)
        if fd in self._opened:
            self._do(Write(self._opened[fd], offset, bytes(data)[:count]))
        return count

    def _ftruncate(self, real: Callable[..., None], fd: int, size: int) -> None:
        real(fd, size)
        if fd in self._opened:
            self._do(Cut(self._opened[fd], size))

    def _fsync(self, real: Callable[..., None], fd: int) -> None:
        real(fd)
        if fd in self._opened:
            self._do(Sync(self._opened[fd]))

    def _mkdir(self, real: Callable[..., None], path: str, *mode: int, **at: Any) -> None:
        above, name = self._place(path, at.get("dir_fd"))
        real(path, *mode, **at)
        if above is not None:
            self._do(Enter(above, name, self._new(), is_directory=True))

    def _link(self, real: Callable[..., None], path: str, to: str, **at: Any) -> None:
        above, name = self._place(path, at.get("src_dir_fd"))
        to_above, to_name = self._place(to, at.get("dst_dir_fd"))
        real(path, to, **at)
        if above is not None and to_above is not None:
            self._do(Enter(to_above, to_name, self.tree.directories[above][name]))

    def _rename(self, real: Callable[..., None], path: str, to: str, **at: Any) -> None:
        above, name = self._place(path, at.get("src_dir_fd"))
        to_above, to_name = self._place(to, at.get("dst_dir_fd"))
        real(path, to, **at)
        if above is not None and to_above is not None:
            node = self.tree.directories[above][name]
            if self.tree.directories[to_above].get(to_name) == node:
                return  # of two names of one file, rename(2) leaves both
            is_directory = node in self.tree.directories
            self._do(Move(above, name, to_above, to_name, node, is_directory))

    def _unlink(self, real: Callable[..., None], path: str, **at: Any) -> None:
        above, name = self._place(path, at.get("dir_fd"))
        real(path, **at)
        if above is not None:
            self._do(Leave(above, name))

    _rmdir = _unlink


def _sorted(block: list[tuple[Operation, int]]) -> list[Operation]:
    operations = [operation for operation, _ in block]
    if len({thread for _, thread in block}) > 1:
        operations.sort(key=lambda operation: operation.node if isinstance(operation, Sync) else 0)
    return operations
