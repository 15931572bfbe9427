"""When to look at a directory next: pure.

What somebody says of changes is a hint. It brings a look forward, and nothing else: whatever is
lost of it, the next look comes within the interval, and sees all that is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Pace", "settles_after"]

_SHARE: Final = 4
"""A look that took a second is followed by this many seconds without one."""
_DOUBLINGS: Final = 32
"""More of them are longer than anybody waits."""
_SECOND: Final = 10**9
_OPEN: Final = 30 * _SECOND
"""For that long, at least, one is left alone that somebody keeps open."""


@frozen
class Pace:
    """When to look; a value, which everything that happens turns into the next one.

    All are seconds; moments are those of a clock that is never set.

    Attributes:
        interval: The longest time without a look.
        quiet: For how long nothing may have changed before a look, so that a burst of changes is
            looked at once.
        longest: How long after the first change that is waited for.
        rest: The shortest time between two looks; longer, after a look that took long.
        retry: How long after the first look that failed comes the next; it doubles with each
            further one.
        longest_retry: The bound of that.
        looked: When the last look ended; None before the first.
        took: How long it took.
        failures: How many looks have failed in a row.
        settles: When an archive that was still written may be finished.
        first: When the first change after the last look was heard of.
        last: When the last one was.

    Example:
        >>> pace = Pace(interval=600.0)
        >>> pace.due
        0.0
        >>> pace = pace.looked_at(began=10.0, ended=11.0)
        >>> pace.due
        611.0
        >>> pace = pace.changed(100.0)
        >>> pace.due
        102.0
        >>> pace.changed(101.0).due
        103.0
    """

    interval: float
    quiet: float = 2.0
    longest: float = 30.0
    rest: float = 5.0
    retry: float = 5.0
    longest_retry: float = 60.0
    looked: float | None = field(default=None, kw_only=True)
    took: float = field(default=0.0, kw_only=True)
    failures: int = field(default=0, kw_only=True)
    settles: float | None = field(default=None, kw_only=True)
    first: float | None = field(default=None, kw_only=True)
    last: float | None = field(default=None, kw_only=True)

    def changed(self, now: float) -> Pace:
        """Return what follows from a change.

        Args:
            now: When it was heard of.
        """
        return evolve(self, first=now if self.first is None else self.first, last=now)

    def looked_at(self, *, began: float, ended: float, settles: float | None = None) -> Pace:
        """Return what follows from a look.

        Args:
            began: When it began; what has changed before, it has seen.
            ended: When it ended.
            settles: When an archive that is still written may be finished; None if none is.
        """
        return self._after(began, ended, failures=0, settles=settles)

    def failed(self, *, began: float, ended: float) -> Pace:
        """Return what follows from a look that failed.

        Args:
            began: When it began.
            ended: When it ended.
        """
        return self._after(began, ended, failures=self.failures + 1, settles=None)

    def _after(self, began: float, ended: float, *, failures: int, settles: float | None) -> Pace:
        return evolve(
            self,
            looked=ended,
            took=ended - began,
            failures=failures,
            settles=settles,
            first=None,
            last=None,
        )

    @property
    def due(self) -> float:
        """When to look next."""
        if self.looked is None:
            return 0.0
        if self.failures:
            # Changes do not hurry it: what fails may be what changes all the time.
            waits = self.retry * 2.0 ** min(self.failures - 1, _DOUBLINGS)
            return self.looked + min(waits, self.longest_retry, self.interval)
        moments = [self.looked + self.interval]
        if self.settles is not None:
            moments.append(self.settles)
        if self.first is not None and self.last is not None:
            moments.append(min(self.last + self.quiet, self.first + self.longest))
        rest = min(max(self.rest, _SHARE * self.took), self.interval)
        return max(min(moments), self.looked + rest)


def settles_after(written: Iterable[int], *, now_ns: int, settle_ns: int) -> float | None:
    """Return in how many seconds the first of some archives may be finished.

    One that should be and is not (somebody has it open) is looked at again after as long again:
    that it is closed is nothing that one hears of.

    Args:
        written: When each archive that is still written was last written, in nanoseconds.
        now_ns: When they were looked at.
        settle_ns: For how long an archive must not have been written to be finished.

    Returns:
        The seconds from `now_ns` on; None without archives.

    Example:
        >>> settles_after([40 * 10**9, 90 * 10**9], now_ns=95 * 10**9, settle_ns=60 * 10**9)
        5.0
        >>> settles_after([30 * 10**9], now_ns=95 * 10**9, settle_ns=60 * 10**9)
        60.0
    """
    open_until = now_ns + max(settle_ns, _OPEN)
    moments = (at + settle_ns if at + settle_ns > now_ns else open_until for at in written)
    first = min(moments, default=None)
    return None if first is None else (first - now_ns) / _SECOND
