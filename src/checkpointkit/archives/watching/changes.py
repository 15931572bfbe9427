"""Hints that something in a directory may have changed.

A hint is worth a look, and no hint is worth nothing: the kernel's queue overflows, a directory is
unmounted, a network file system tells of its own clients' changes alone. So a look follows after
the interval in any case, and all that is decided is decided by what is seen then.

What is known of watchfiles (1.3, src/lib.rs, on notify 8, src/inotify.rs): an overflow of the
queue is not told; that a file is closed neither; a watched directory that is moved is still
watched where it is now, and one that is removed, never again; a name that is no UTF-8 ends the
watch with an error that stays. Its thread keeps each changed name until it is asked.
"""

from __future__ import annotations

import os
import re
from fnmatch import translate
from typing import TYPE_CHECKING, Any, Final, Protocol

from checkpointkit._extras import require
from checkpointkit.archives.model import DEFAULT_NAMES, MARKER_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Changes", "Polled", "Stopping", "Watched"]

_COARSE: Final = 5.0
"""Seconds; no file system in use has coarser times of change (FAT: 2 s)."""
_STEP: Final = 0.25
"""Seconds; so long after a change another one is waited for, and so late a stop is heard of."""
_GATHER: Final = 1.0
"""Seconds after which a change is told, however many more there are."""

_Stamp = tuple[int, int, int]
_Names = tuple[int, int]


class Stopping(Protocol):
    """Says when it is time to stop (`checkpointkit.stopping.Stop`, `threading.Event`)."""

    def is_set(self) -> bool:
        """Tell whether it is."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for so many seconds, or until it is; tell whether it is."""
        ...


class Changes(Protocol):
    """Tells that something may have changed."""

    @property
    def problem(self) -> str:
        """Why it knows less than it could; empty if it does not."""
        ...

    def arm(self) -> None:
        """Note how it is: what changes from here on is told by `wait`. It comes before a look."""
        ...

    def disarm(self) -> None:
        """Keep nothing in mind until it is armed again; it may tell of a change, or not."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until something may have changed, it is time to stop, or the time is over.

        Args:
            seconds: For how long.

        Returns:
            Whether something may have changed.
        """
        ...


class Polled:
    """Looks again and again whether the directory is the same, and has the same names in it.

    What is written to an archive that is there is not noticed. Where nothing changes, a look is one
    system call.

    Args:
        path: The directory.
        stop: Says when it is time to stop.
        clock: A clock that is never set.
        every: Seconds between two looks.
    """

    problem = ""

    def __init__(
        self, path: str, stop: Stopping, *, clock: Callable[[], float], every: float = 5.0
    ) -> None:
        self._path = path
        self._stop = stop
        self._clock = clock
        self.every = every
        self._stamp: _Stamp | None = None
        self._stamped = 0.0
        self._names: _Names | None = None

    def arm(self) -> None:
        """Note how the directory is."""
        self.has_changed()

    def disarm(self) -> None:
        """Do nothing: there is nothing to forget."""

    def has_changed(self) -> bool:
        """Tell whether it is another than when it was last looked at."""
        before = self._stamp, self._names
        stamp = _stamp(self._path)
        now = self._clock()
        if stamp != self._stamp:
            self._stamp, self._stamped = stamp, now
        # A name that comes in the same tick of the file system's clock leaves the same stamp.
        if now - self._stamped <= _COARSE:
            self._names = _names(self._path)
        return (self._stamp, self._names) != before

    def wait(self, seconds: float) -> bool:
        """Wait until something may have changed, it is time to stop, or the time is over."""
        until = self._clock() + seconds
        while not self.has_changed():
            left = until - self._clock()
            if left <= 0 or self._stop.wait(min(left, self.every)):
                return False
        return True


class Watched:
    """Has the kernel tell of changes, by watchfiles.

    The directory is looked at now and then as well (`Polled`): so an overflow of the kernel's
    queue costs some seconds, and a directory that has gone or was mounted over is noticed. Where
    it cannot be watched, that is all.

    Args:
        path: The directory.
        stop: Says when it is time to stop; within a quarter of a second it is heard of.
        names: The patterns of archives' names; what happens to others is of no interest.
        clock: A clock that is never set.
        every: Seconds between two looks.

    Raises:
        MissingExtraError: The extra `watch` is not installed.
    """

    def __init__(
        self,
        path: str,
        stop: Stopping,
        *,
        clock: Callable[[], float],
        names: Sequence[str] = DEFAULT_NAMES,
        every: float = 5.0,
    ) -> None:
        require("watch", "watchfiles")
        # What `watchfiles.watch` is made of, documented for direct use: it can be asked in between.
        self._make = require("watch", "watchfiles._rust_notify").RustNotify
        self._path = path
        self._stop = stop
        self._clock = clock
        self._every = every
        self._polled = Polled(path, stop, clock=clock, every=every)
        patterns = "|".join(translate(pattern) for pattern in names)
        self._is_name = re.compile(patterns).match
        self._notify: Any = None
        self._watched: tuple[int, int] | None = None
        self.problem: str = ""

    def arm(self) -> None:
        """Note how the directory is, and watch the one that is there now."""
        identity = _identity(self._path)
        if self._notify is None or self._watched != identity:
            self.disarm()
            self._watch(identity)
        self._polled.arm()

    def disarm(self) -> None:
        """Watch no more; what its thread has kept is forgotten."""
        notify, self._notify = self._notify, None
        if notify is not None:
            notify.close()

    def wait(self, seconds: float) -> bool:
        """Wait until something may have changed, it is time to stop, or the time is over."""
        until = self._clock() + seconds
        while not self._polled.has_changed():
            left = min(until - self._clock(), self._every)
            if left <= 0 or self._stop.is_set():
                return False
            if self._notify is None:
                self._stop.wait(left)
            elif self._heard(left):
                return True
        return True

    def _watch(self, identity: tuple[int, int] | None) -> None:
        self._watched = identity
        self.problem = ""
        if identity is None:
            return  # the look that follows says why
        try:
            self._notify = self._make(
                [self._path],
                debug=False,
                force_polling=False,
                poll_delay_ms=1000,
                recursive=False,
                ignore_permission_denied=False,
            )
        except (OSError, RuntimeError, ValueError) as error:
            # No more watches left (fs.inotify.max_user_instances), a path that is no UTF-8, ...
            self.problem = (
                "the kernel does not tell of changes in the directory, so that it is looked at "
                f"every {self._every:g} s ({type(error).__name__})"
            )

    def _heard(self, seconds: float) -> bool:
        try:
            heard = self._notify.watch(
                debounce_ms=int(_GATHER * 1000),
                step_ms=int(_STEP * 1000),
                timeout_ms=max(1, int(seconds * 1000)),
                stop_event=self._stop,
            )
        except RuntimeError:  # its thread has met with an error, which stays
            self.disarm()
            return True
        if heard == "signal":
            raise KeyboardInterrupt  # what the handler has raised is lost; only SIGINT's does
        return isinstance(heard, set) and any(self._is_ours(path) for _, path in heard)

    def _is_ours(self, path: str) -> bool:
        name = os.path.basename(path).removesuffix(MARKER_SUFFIX)
        return path == self._path or self._is_name(name) is not None


def _identity(path: str) -> tuple[int, int] | None:
    stamp = _stamp(path)
    return None if stamp is None else stamp[:2]


def _stamp(path: str) -> _Stamp | None:
    """Return what tells that a directory, or what is in it, is another; None if it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _names(path: str) -> _Names | None:
    """Return how many names there are, and a sum over them: a million names are two numbers."""
    count = total = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                count += 1
                total += hash(entry.name)
    except OSError:
        return None
    return count, total
