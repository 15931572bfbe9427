"""When a secret or a config map is asked for again.

It is asked for when the parent changes, and once a minute; one that is immutable is not, for as
long as the parent has its UID. What could be had before is kept when it cannot be had now.
"""

from __future__ import annotations

import zlib

from attrs import evolve, frozen

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.pods.answers import Fetched, NotFound
from checkpointkit.pods.assets import Asset  # noqa: TC001 - attrs resolves it

__all__ = ["Held", "is_due", "spread", "taken"]

_FIRST_WAIT = 5.0


@frozen
class Held:
    """What is known of a secret or a config map that a parent needs.

    Attributes:
        asked_at: When it was last asked for, in seconds since 1970.
        is_known: Whether the API server has ever answered.
        asset: What it has answered last; None for "there is none".
        failures: How often in a row it did not answer.
        reason: Why, the last time.
    """

    asked_at: float
    is_known: bool = False
    asset: Asset | None = None
    failures: int = 0
    reason: str = ""


def is_due(held: Held | None, now: float, *, after: float) -> bool:
    """Tell whether an object is to be asked for.

    After a failure it is asked for sooner, and then less and less often.

    Args:
        held: What is known of it; None if it was never asked for.
        now: The time, in seconds since 1970.
        after: How long an answer is good for, in seconds.

    Example:
        >>> is_due(None, 0.0, after=60.0), is_due(Held(0.0, is_known=True), 59.0, after=60.0)
        (True, False)
        >>> is_due(Held(0.0, failures=2), 10.0, after=60.0)
        True
    """
    if held is None or now < held.asked_at:  # a clock that was set back says nothing
        return True
    if held.failures:
        wait = min(_FIRST_WAIT * 2.0 ** min(held.failures - 1, 16), after)
        return now >= held.asked_at + wait
    if held.asset is not None and held.asset.immutable:
        return False
    return now >= held.asked_at + after


def spread(after: float, name: str) -> float:
    """Return when to do again what has to be done once in some time, up to a quarter sooner.

    What began in one tick, after a restart, is so divided among many.

    Args:
        after: The time, in seconds.
        name: What it is done for; the same name has the same time.

    Example:
        >>> [round(spread(60.0, name), 1) for name in ("prod/web", "prod/db")]
        [48.1, 45.6]
    """
    return after * (0.75 + zlib.crc32(name.encode()) / 2**34)


def taken(held: Held | None, answer: Fetched, now: float) -> Held:
    """Return what is known when an answer has come.

    Example:
        >>> held = taken(None, Failed("timed out"), 0.0)
        >>> held.is_known, held.reason
        (False, 'timed out')
        >>> taken(held, NotFound(), 5.0)
        Held(asked_at=5.0, is_known=True, asset=None, failures=0, reason='')
    """
    if isinstance(answer, Failed):
        before = held or Held(now)
        return evolve(before, asked_at=now, failures=before.failures + 1, reason=answer.reason)
    return Held(now, is_known=True, asset=None if isinstance(answer, NotFound) else answer)
