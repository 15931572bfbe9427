"""What a command comes to, and the exit statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

FINE: Final = 0
BAD: Final = 1
"""The store was opened, and something in it is damaged, missing, or could not be done."""
USAGE: Final = 2
"""The command makes no sense, the store cannot be opened, or a question could not be asked."""
INTERRUPTED: Final = 130
"""Ctrl-C: 128 + SIGINT."""


@frozen
class Outcome:
    """What a command found or did.

    Attributes:
        status: The exit status.
        text: What people read on stdout.
        document: What programs read on stdout instead, with `--json`.
        note: What people read on stderr, if stdout is a terminal.
    """

    status: int
    text: str
    document: Mapping[str, Any]
    note: str = ""


class Refused(Exception):  # noqa: N818 - no bug, an answer
    """A command that is not carried out.

    Args:
        message: Why.
        advice: What to do next.
        status: The exit status.
        name: What programs know it by.
    """

    def __init__(self, message: str, advice: str, status: int, name: str) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.status = status
        self.name = name
