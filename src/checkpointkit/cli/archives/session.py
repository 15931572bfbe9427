"""What a command on archives is given beside its own arguments."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.archives.model import DEFAULT_DIRECTORY
from checkpointkit.cli.archives import arguments as known

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

    def typed(self, directory: str, *, lookup: bool = False) -> str:
        """Return what is typed again behind a command, so that it looks at the same.

        Args:
            directory: Where the archives are; the usual place is left out, as all that is usual.
            lookup: Whether with the way to the API server.
        """
        arguments = self.arguments
        parts: list[str] = []
        if arguments.state != known.DEFAULT_STATE:
            parts += ["--state", arguments.state]
        if arguments.settle != known.DEFAULT_SETTLE:
            parts += ["--settle", arguments.settle]
        if lookup and arguments.kubeconfig is not None:
            parts += ["--kubeconfig", arguments.kubeconfig]
        if lookup and arguments.in_cluster:
            parts.append("--in-cluster")
        if directory != DEFAULT_DIRECTORY:
            parts.append(directory)
        return "".join(f" {shlex.quote(part)}" for part in parts)

    def document(self, directory: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return a document for programs: what all of them have, and `fields`."""
        place = {} if directory is None else {"directory": os.path.abspath(directory)}
        return {"format": FORMAT, "command": self.name, **place, **fields}
