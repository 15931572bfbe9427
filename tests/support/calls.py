"""System calls of the file store that are recorded, that fail, and that kill."""

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
    from pathlib import Path

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
    "stat",
}


class Watched(SystemCalls):
    """Real system calls, each of them described first; paths are relative to the store.

    Args:
        directory: The store's directory.

    Attributes:
        attempts: All calls, in order.
        events: Those that succeeded.
    """

    def __init__(self, directory: Path) -> None:
        self.attempts: list[str] = []
        self.events: list[str] = []
        self._directory = directory
        self._paths: dict[int, str] = {}
        for name in CALLS:
            setattr(self, name, partial(self._call, name, getattr(SystemCalls, name)))

    def before(self, name: str, event: str) -> None:
        """Do something ahead of a call, such as to raise."""

    def _call(self, name: str, real: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        event = self._describe(name, arguments, options)
        self.attempts.append(event)
        result: Any = None
        if name == "close":
            real(*arguments)  # close(2) gives the descriptor back even if it reports an error
            self.before(name, event)
        else:
            self.before(name, event)
            result = real(*arguments, **options)
        if name == "open":
            self._paths[result] = self._path(arguments[0], options.get("dir_fd"))
        self.events.append(event)
        return result

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

    def changes(self) -> list[str]:
        """Return the recorded events that change or sync something, and forget all of them."""
        events = [event for event in self.events if event.partition(" ")[0] in CHANGES]
        self.forget()
        return events

    def forget(self) -> None:
        """Forget what was recorded."""
        self.attempts.clear()
        self.events.clear()


class Faulty(Watched):
    """Fails at one call, once or from then on.

    Attributes:
        at: Which call fails, counted from 0; None for none.
        error: The errno.
        for_ever: Whether each later call fails, too.
        failed: The calls that have failed.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.failed: list[str] = []
        self.heal()

    def heal(self) -> None:
        """Let every call succeed, and count from 0 again."""
        self.at: int | None = None
        self.error = errno.EIO
        self.for_ever = False
        self.count = itertools.count()

    def break_at(self, at: int, error: int, *, for_ever: bool) -> None:
        """Fail at call `at` from here on."""
        self.heal()
        self.failed.clear()
        self.forget()
        self.at, self.error, self.for_ever = at, error, for_ever

    def before(self, name: str, event: str) -> None:
        """Fail if it is time to."""
        if self.at is None:
            return
        number = next(self.count)
        if number == self.at or (self.for_ever and number > self.at):
            self.failed.append(event)
            raise OSError(self.error, os.strerror(self.error))


class Deadly(Watched):
    """Kills its own process ahead of one call.

    Attributes:
        left: How many calls to let pass; None for all of them.
    """

    left: int | None = None

    def before(self, name: str, event: str) -> None:
        """Die if it is time to."""
        if self.left is not None:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1


class Hooked(Watched):
    """Runs a function once, ahead of the first call that matches or after it.

    Attributes:
        hooks: For each start of an event's description, what to do ahead of it, once.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.hooks: dict[str, Callable[[], object]] = {}

    def before(self, name: str, event: str) -> None:
        """Run the first hook that matches."""
        for start in self.hooks:
            if event.startswith(start):
                self.hooks.pop(start)()
                return
