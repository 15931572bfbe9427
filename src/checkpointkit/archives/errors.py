"""What goes wrong with archives as a whole; what is wrong with one is in its `problem`."""

from __future__ import annotations

from checkpointkit.errors import CheckpointError

__all__ = ["DirectoryError", "PolicyError"]


class PolicyError(CheckpointError, ValueError):
    """A policy cannot be used; nothing was deleted by it.

    Attributes:
        where: The rule, or the place in the file.
        reason: What is wrong with it, and what to write instead.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class DirectoryError(CheckpointError):
    """The directory of the archives cannot be used, or is no more the one that was looked at.

    Nothing was deleted after it was noticed. An `OSError` is its cause, where there was one.

    Attributes:
        directory: Its path.
        operation: What was tried.
        reason: What is wrong, and what to do.
    """

    def __init__(self, directory: str, operation: str, reason: str) -> None:
        super().__init__(directory, operation, reason)
        self.directory = directory
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot {self.operation} {self.directory}: {self.reason}"
