"""How long a source that could not be asked is left alone.

A refused connection costs nothing, and its end is what the checkpointer waits for: it is asked
again in every tick. A time-out costs the whole tick: the source is left alone for a while, which
doubles with each further one, up to a bound.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve, field, frozen

from checkpointkit.kubernetes.failed import Failed

__all__ = ["Patience"]

_SLOW: Final = 1.0
_FIRST: Final = 5.0
_LONGEST: Final = 60.0


@frozen
class Patience:
    """When a source is asked again; a value, which every answer turns into the next one.

    Attributes:
        slow: A failure that took as many seconds is one that costs.
        first: For how many seconds the source is left alone after the first of them.
        longest: The bound of that.
        wait: For how long it is left alone now; 0 if it is not.
        until: When it is asked again.
        failed: What came of the last request, if the source is left alone.

    Example:
        >>> patience = Patience().after(Failed("no answer within 10 s"), took=10.0, now=100.0)
        >>> patience.held(102.0)
        Failed(reason='no answer within 10 s; it is asked again in 3 s')
        >>> patience.held(105.0)
        >>> patience.after(Failed("connection refused"), took=0.0, now=106.0).held(106.0)
    """

    slow: float = _SLOW
    first: float = _FIRST
    longest: float = _LONGEST
    wait: float = field(default=0.0, kw_only=True)
    until: float = field(default=0.0, kw_only=True)
    failed: Failed | None = field(default=None, kw_only=True)

    def held(self, now: float) -> Failed | None:
        """Return why the source is not asked now; None if it is.

        Args:
            now: The time, of a clock that is never set.
        """
        if self.failed is None or now >= self.until:
            return None
        rest = max(1, round(self.until - now))
        return Failed(f"{self.failed.reason}; it is asked again in {rest} s")

    def after(self, failed: Failed | None, *, took: float, now: float) -> Patience:
        """Return what follows from a request.

        Args:
            failed: Why it failed; None if it did not.
            took: How many seconds it took.
            now: When it ended.
        """
        if failed is None or took < self.slow:
            return evolve(self, wait=0.0, until=0.0, failed=None)
        wait = min(self.longest, 2 * self.wait or self.first)
        return evolve(self, wait=wait, until=now + wait, failed=failed)
