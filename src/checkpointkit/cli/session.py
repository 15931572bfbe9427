"""What a command is given beside its own arguments."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

if TYPE_CHECKING:
    from datetime import datetime

    from checkpointkit.cli.target import Target

_FORMAT: Final = 1
"""Goes up if a name in a document is taken away or changes its meaning; new names may come."""


@frozen
class Session:
    """One run of a command on a store.

    Attributes:
        name: The command.
        target: The store.
        as_json: Whether a document is wanted; then nobody is asked anything.
        now: The time.
        width: The width of the terminal; None where there is none.
    """

    name: str
    target: Target
    as_json: bool
    now: datetime
    width: int | None

    def document(self, **fields: Any) -> dict[str, Any]:
        """Return a document for programs: what all of them have, and `fields`."""
        return {
            "format": _FORMAT,
            "command": self.name,
            "store": os.path.abspath(self.target.directory),
            "scope": list(self.target.scope),
            **fields,
        }
