"""No answer, as a value."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Failed"]


@frozen
class Failed:
    """A source that could not be asked, or whose answer is none.

    Attributes:
        reason: Why, in words.
    """

    reason: str
