"""System calls of a `FileStore` that are recorded, fail, lose data or kill the process.

Pass an instance as `FileStore(…, system=…)`. The calls are the real ones, on real files; what is
injected is the one thing that cannot be had when a test wants it.

A *description* of a call is its name and the paths that it concerns, relative to the store:
`"fsync .tmp/43.0"`, `"rename .tmp/43.0 -> node-a/current"`.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.stores.files.system import SystemCalls

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGES: Final = frozenset(
    {
        "fsync",
        "ftruncate",
        "link",
        "mkdir",
        "pwrite",
        "rename",
        "rmdir",
        "try_lock",
        "unlink",
        "unlock",
        "write",
    }
)
"""What changes a disk, makes a change durable, or keeps others from changing it."""
CALLS: Final = CHANGES | {
    "chmod",
    "close",
    "fchmod",
    "fstat",
    "fstatvfs",
    "listdir",
    "open",
    "pread",
    "read",
    "start_writing",
    "stat",
}
"""What is recorded: every call on a file, a directory or a descriptor."""
MOVES: Final = frozenset({"pread", "pwrite", "read", "write"})
"""What moves bytes, and may move fewer than it was asked to."""


class RecordedCalls(SystemCalls):
    """Real system calls, each of them described first.

    Args:
        directory: The store's directory; descriptions are relative to it.

    Attributes:
        attempts: The descriptions of all calls, in order.
        events: Those that succeeded.

    Example:
        >>> import tempfile
        >>> from checkpointkit import FileStore
        >>> directory = tempfile.TemporaryDirectory()
        >>> calls = RecordedCalls(directory.name)
        >>> store = FileStore(directory.name, system=calls)
        >>> for state in (b"1", b"2", b"3"):
        ...     calls.forget()
        ...     entry = store.write("node-a", lambda generation, previous: state)
        >>> for event in calls.changes():
        ...     print(event)
        try_lock .lock/43
        write .tmp/43.0
        fsync .tmp/43.0
        link .tmp/43.0 -> node-a/3
        rename .tmp/43.0 -> node-a/current
        fsync node-a
        unlink node-a/1
        unlock .lock/43
        >>> store.close()
        >>> directory.cleanup()
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.attempts: list[str] = []
        self.events: list[str] = []
        self._directory = directory
        self._paths: dict[int, str] = {}
        for name in CALLS.intersection(dir(SystemCalls)):
            setattr(self, name, partial(self._call, name, getattr(SystemCalls, name)))

    def before(self, name: str, event: str) -> None:
        """Do something ahead of a call, such as to raise; for subclasses.

        Of `close`, it comes after the call: close(2) gives the descriptor back even if it reports
        an error.

        Args:
            name: The name of the call.
            event: Its description.
        """

    def forget(self) -> None:
        """Forget what was recorded."""
        self.attempts.clear()
        self.events.clear()

    def changes(self) -> list[str]:
        """Return the recorded events that change or sync something, and forget all of them."""
        events = [event for event in self.events if event.partition(" ")[0] in CHANGES]
        self.forget()
        return events

    def _call(self, name: str, real: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        event = self._describe(name, arguments, options)
        self.attempts.append(event)
        result: Any = None
        if name == "close":
            self._paths.pop(arguments[0], None)
            real(*arguments)
            self.before(name, event)
        else:
            self.before(name, event)
            result = real(*self._arguments(event, arguments), **options)
        if name == "open":
            self._paths[result] = self._path(arguments[0], options.get("dir_fd"))
        self.events.append(event)
        return result

    def _arguments(self, event: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ARG002 - subclasses want it
        return arguments

    def _describe(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
        if "src_dir_fd" in options:
            source = self._path(arguments[0], options["src_dir_fd"])
            target = self._path(arguments[1], options["dst_dir_fd"])
            return f"{name} {source} -> {target}"
        return f"{name} {self._path(arguments[0], options.get('dir_fd'))}"

    def _path(self, path: str | int, directory: int | None) -> str:
        if isinstance(path, int):
            return self._paths.get(path, "?")
        if directory is None:
            return os.path.relpath(path, self._directory)
        return os.path.normpath(os.path.join(self._paths.get(directory, "?"), path))


class FailingCalls(RecordedCalls):
    """Real system calls, some of which fail, or move fewer bytes than they were asked to.

    A failing call does nothing but raise; `close` alone has closed. To let every call of an
    operation fail in turn, count them first, in `attempts`.

    Args:
        directory: The store's directory; descriptions are relative to it.

    Attributes:
        failed: The descriptions of the calls that have failed.
        shortened: The descriptions of the calls that have moved less.

    Example:
        >>> import errno, tempfile
        >>> from checkpointkit import FileStore, StoreError
        >>> directory = tempfile.TemporaryDirectory()
        >>> calls = FailingCalls(directory.name)
        >>> store = FileStore(directory.name, system=calls)
        >>> calls.break_at(0, errno.EIO, match="fsync")
        >>> try:
        ...     store.write("node-a", lambda generation, previous: b"state")
        ... except StoreError as error:
        ...     print(error)
        checkpoint 'node-a': save failed: Input/output error (EIO); the previous state is unchanged
        >>> calls.failed
        ['fsync .tmp/43.0']
        >>> calls.heal()
        >>> store.write("node-a", lambda generation, previous: b"state").generation
        1
        >>> store.close()
        >>> directory.cleanup()
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        super().__init__(directory)
        self.failed: list[str] = []
        self.shortened: list[str] = []
        self.heal()

    def heal(self) -> None:
        """Let every call succeed; `failed` and `shortened` stay."""
        self._at: int | None = None
        self._error = errno.EIO
        self._match: str | tuple[str, ...] = ""
        self._for_ever = False
        self._count = itertools.count()
        self._to: Callable[[int], int] | None = None

    def break_at(
        self, at: int, error: int, *, for_ever: bool = False, match: str | tuple[str, ...] = ""
    ) -> None:
        """Let a call fail; whatever was asked for before is over, and the record begins anew.

        Args:
            at: Which call, counted from 0 and from here on.
            error: The errno.
            for_ever: Let each later call fail, too.
            match: Count and fail only calls whose description begins so, or with one of these.
        """
        self._begin(at, match, for_ever=for_ever)
        self._error = error

    def shorten_at(self, at: int, to: Callable[[int], int], *, for_ever: bool = False) -> None:
        """Let a read or write move less; whatever was asked for before is over.

        Args:
            at: Which of the calls that move bytes, counted from 0 and from here on.
            to: Returns how many bytes it may move, for the number that was asked for.
            for_ever: Shorten each later one, too.
        """
        self._begin(at, tuple(f"{name} " for name in MOVES), for_ever=for_ever)
        self._to = to

    def before(self, name: str, event: str) -> None:  # noqa: ARG002 - see RecordedCalls
        """Fail if it is time to."""
        if self._to is None and self._is_time(event):
            self.failed.append(event)
            raise OSError(self._error, os.strerror(self._error))

    def _begin(self, at: int, match: str | tuple[str, ...], *, for_ever: bool) -> None:
        self.heal()
        self.forget()
        self.failed.clear()
        self.shortened.clear()
        self._at, self._match, self._for_ever = at, match, for_ever

    def _is_time(self, event: str) -> bool:
        if self._at is None or not event.startswith(self._match):
            return False
        number = next(self._count)
        return number == self._at or (self._for_ever and number > self._at)

    def _arguments(self, event: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        if self._to is None or not self._is_time(event):
            return arguments
        self.shortened.append(event)
        fd, what, *rest = arguments
        if isinstance(what, int):
            return (fd, self._to(what), *rest)
        return (fd, memoryview(what)[: self._to(len(what))], *rest)


class LosingCalls(FailingCalls):
    """Real system calls with syncs that lose data when they fail, as Linux does.

    When the disk refuses a page, fsync(2) reports an error, once. The page then counts as clean:
    readers still see its bytes, the next sync succeeds, and the disk never gets them ("fsyncgate",
    PostgreSQL 2018). `lose` takes them away, as memory pressure or a power cut would, with all
    that was never synced. It looks at the bytes of files, not at the names of directories.

    Args:
        directory: The store's directory; descriptions are relative to it. Nobody else writes to
            its files.

    Example:
        >>> import errno, os, tempfile
        >>> directory = tempfile.TemporaryDirectory()
        >>> calls = LosingCalls(directory.name)
        >>> path = os.path.join(directory.name, "file")
        >>> fd = calls.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        >>> calls.write(fd, b"state")
        5
        >>> calls.break_at(0, errno.EIO, match="fsync")
        >>> try:
        ...     calls.fsync(fd)
        ... except OSError:
        ...     calls.fsync(fd)  # believe the second answer
        >>> calls.close(fd)
        >>> os.path.getsize(path)
        5
        >>> calls.lose()
        ['file']
        >>> os.path.getsize(path)
        0
        >>> directory.cleanup()
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        super().__init__(directory)
        self._images: dict[tuple[int, int], _Image] = {}

    def lose(self) -> list[str]:
        """Give each file the bytes that the disk has; return the paths of those that change."""
        changed = []
        for parent, _, names in os.walk(self._directory):
            for name in sorted(names):
                path = os.path.join(parent, name)
                status = os.lstat(path)
                image = self._images.get((status.st_dev, status.st_ino))
                if image is not None and image.lose(path):
                    changed.append(os.path.relpath(path, self._directory))
        return changed

    def _call(self, name: str, real: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            result = super()._call(name, real, *arguments, **options)
        except OSError:
            if name == "fsync" and (image := self._image(arguments[0])) is not None:
                image.dirty.clear()
            raise
        if name == "open":
            if arguments[1] & (os.O_WRONLY | os.O_RDWR):
                self._note_open(result, arguments[0], options.get("dir_fd"))
        elif name in ("write", "pwrite", "ftruncate", "fsync"):
            self._note_change(name, arguments, result)
        return result

    def _image(self, fd: int) -> _Image | None:
        status = os.fstat(fd)
        return self._images.get((status.st_dev, status.st_ino))

    def _note_open(self, fd: int, path: str, directory: int | None) -> None:
        """Begin to follow a file; one that is empty now has nothing on the disk."""
        status = os.fstat(fd)
        identity = (status.st_dev, status.st_ino)
        if identity in self._images and status.st_size:
            return
        reading = os.open(path, os.O_RDONLY, dir_fd=directory)
        try:
            self._images[identity] = _Image(os.pread(reading, status.st_size, 0))
        finally:
            os.close(reading)

    def _note_change(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        image = self._image(arguments[0])
        if image is None:
            return  # a directory
        if name == "fsync":
            image.sync()
        elif name == "ftruncate":
            image.cut(arguments[1])
        else:
            after = arguments[2] + result if name == "pwrite" else os.lseek(arguments[0], 0, 1)
            image.write(bytes(arguments[1][:result]), after - result)


class _Image:
    """The bytes of one file, in memory and on the disk.

    Attributes:
        dirty: The pages that the next sync writes.
    """

    _PAGE: Final = 4096

    def __init__(self, data: bytes) -> None:
        self.dirty: set[int] = set()
        self._memory = bytearray(data)
        self._disk = bytearray(data)

    def write(self, data: bytes, at: int) -> None:
        """Write in memory."""
        self._memory.extend(bytes(max(0, at - len(self._memory))))
        self._memory[at : at + len(data)] = data
        self.dirty.update(range(at // self._PAGE, (at + len(data) - 1) // self._PAGE + 1))

    def cut(self, size: int) -> None:
        """Set the size of both: it is in no page, and a journal keeps it."""
        for data in (self._memory, self._disk):
            del data[size:]
            data.extend(bytes(size - len(data)))

    def sync(self) -> None:
        """Write the dirty pages to the disk; what it never got before them reads as zeros."""
        for page in sorted(self.dirty):
            start, end = page * self._PAGE, (page + 1) * self._PAGE
            self._disk.extend(bytes(max(0, start - len(self._disk))))
            self._disk[start:end] = self._memory[start:end]
        self.dirty.clear()

    def lose(self, path: str) -> bool:
        """Give the file the bytes of the disk; tell whether that changes it."""
        changes = self._disk != self._memory
        if changes:
            with open(path, "r+b") as file:
                file.truncate(0)
                file.write(self._disk)
        self._memory[:] = self._disk
        self.dirty.clear()
        return changes


class KillingCalls(RecordedCalls):
    """Real system calls that end their own process ahead of one of them.

    Use it in a child process, and count the calls first, in `attempts`.

    Args:
        directory: The store's directory; descriptions are relative to it.
        number: The signal, SIGKILL by default; `signal.SIGSTOP` lets a test look at the process.

    Attributes:
        left: How many calls to let pass; None for all of them.

    Example:
        >>> import os, signal, tempfile
        >>> from checkpointkit import FileStore
        >>> directory = tempfile.TemporaryDirectory()
        >>> pid = os.fork()
        >>> if pid == 0:
        ...     calls = KillingCalls(directory.name)
        ...     store = FileStore(directory.name, system=calls)
        ...     calls.left = 9
        ...     store.write("node-a", lambda generation, previous: b"state")
        >>> os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        True
        >>> with FileStore(directory.name) as store:
        ...     store.keys()
        ()
        >>> directory.cleanup()
    """

    def __init__(self, directory: str | os.PathLike[str], number: int | None = None) -> None:
        super().__init__(directory)
        self.left: int | None = None
        self._number = signal.SIGKILL if number is None else number

    def before(self, name: str, event: str) -> None:  # noqa: ARG002 - see RecordedCalls
        """Send the signal if it is time to."""
        if self.left is None:
            return
        if self.left == 0:
            os.kill(os.getpid(), self._number)
        self.left -= 1
