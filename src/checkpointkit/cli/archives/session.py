"""What a command on archives is given beside its own arguments."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.archives.model import DEFAULT_DIRECTORY

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from datetime import datetime

FORMAT: Final = 1
"""Goes up if a name in a document is taken away or changes its meaning; new names may come."""


@frozen
class Session:
    """One run of a command on a directory of archives.

    Attributes:
        arguments: What was typed.
        now: The time at which it began.
        clock: Tells the time.
        width: The width of the terminal; None where there is none.
        encoding: How stdout writes text.
        environment: The environment.
    """

    arguments: argparse.Namespace
    now: datetime
    clock: Callable[[], datetime]
    width: int | None
    encoding: str
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the command is called."""
        return f"archives {self.arguments.part}".rstrip()

    @property
    def as_json(self) -> bool:
        """Whether a document is wanted; then nobody is asked anything."""
        return bool(getattr(self.arguments, "json", False))

    @property
    def now_ns(self) -> int:
        """The time in nanoseconds since 1970."""
        return int(self.now.timestamp()) * 10**9 + self.now.microsecond * 1000

    def directory(self, of_policy: str = "") -> str:
        """Return where the archives are.

        Args:
            of_policy: What the policy says; what was typed goes before it.
        """
        return self.arguments.directory or of_policy or DEFAULT_DIRECTORY

    def typed(self, directory: str) -> str:
        """Return a directory as it is typed again behind a command; nothing for the usual one."""
        return "" if directory == DEFAULT_DIRECTORY else f" {directory}"

    def document(self, directory: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return a document for programs: what all of them have, and `fields`."""
        place = {} if directory is None else {"directory": os.path.abspath(directory)}
        return {"format": FORMAT, "command": self.name, **place, **fields}
