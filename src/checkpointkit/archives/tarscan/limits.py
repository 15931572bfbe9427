"""How much of an archive is looked at, and how it ends when that is not enough."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from checkpointkit.errors import CheckpointError

__all__ = ["DEFAULT_LIMITS", "MIB", "BrokenError", "Budget", "ReadLimits", "UndecidedError"]

MIB: Final = 1 << 20


class BrokenError(CheckpointError):
    """It is no archive, or no whole one; it never leaves `read_archive`."""


class UndecidedError(CheckpointError):
    """A limit came before the end; it never leaves `read_archive`."""


@frozen(kw_only=True)
class ReadLimits:
    """How much of one archive is looked at.

    The defaults keep every archive below a second and 64 MiB; what a container runtime writes
    does not come near them, but for compressed archives of large processes.

    Attributes:
        headers: So many headers and records of extended headers; each is a step of equal work.
        document: So many bytes of `spec.dump` and of `config.dump`.
        tail: So many bytes after the end of the tar that are no hole.
        work: What decompressing may cost: about so many nanoseconds of a slow core, but counted
            by the bytes that go in and come out, so that it is the same everywhere.
        memory: So many bytes for the window of a decompressor.
    """

    headers: int = 1 << 16
    document: int = MIB
    tail: int = MIB // 2
    work: int = 400_000_000
    memory: int = 32 * MIB


DEFAULT_LIMITS: Final = ReadLimits()


class Budget:
    """What is left of a limit.

    Args:
        left: The limit.
        problem: What to say when it is used up.
    """

    __slots__ = ("_left", "_problem")

    def __init__(self, left: int, problem: str) -> None:
        self._left = left
        self._problem = problem

    def spend(self, amount: int) -> None:
        """Take from it.

        Raises:
            UndecidedError: There is no more.
        """
        self._left -= amount
        if self._left < 0:
            raise UndecidedError(self._problem)
