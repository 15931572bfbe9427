"""The contract of a store: what `CheckpointManager` needs from whatever keeps its bytes.

A store keeps bytes by key and knows generations. It knows nothing of schemas, and it needs
nothing of the envelope: what it is given to keep, it gives back. To write a store, provide the
members of `Store`; this page is the whole contract.

**Keys** are texts of the grammar in `checkpointkit.keys`. A store tells `"A"` from `"a"`.

**Generations.** Every saved state of a key has a number, 1 or more, its *generation*. Numbers
grow with each save of a key, may skip, and are never used again for another state, not even
after the key was removed and created anew. The *newest* generation is the one saved last.

**Order and atomicity.** The saves and removes of one key take place one after the other, in one
order that all readers agree with, whoever asks: threads, and for a store with the feature
`shared` also other processes and other `Store` objects. A reader gets one state whole, never a
mixture, and never an older one than a reader before it. When `write` returns, the state is as
durable as the store's documentation says; with the feature `durable` it survives a power cut.

**Errors.** A raised error means that nothing has changed, `OutcomeUnknownError` excepted. The
only errors are those of `checkpointkit.errors`: `CheckpointNotFoundError`, `ConflictError`,
`CorruptCheckpointError`, `CheckpointTooLargeError`, `ReadOnlyError`, `LockTimeoutError`,
`InvalidKeyError`, and `StoreError` with its subclasses for all that the medium does; what an
engine raises is the `__cause__`. Whatever `seal` raises passes through as it is.

**Pins** (feature `pins`). A *pinned* generation is kept until it is unpinned or its key is removed,
however few older generations the store keeps; and it does not count among those. It is listed by
`history` with `Entry.pinned`, and read, as any other. When it becomes an older one it stays
pinned. A pin is not for what is damaged: what is set aside is not pinned any more.

**Buffers.** Bytes that went in or came out belong to nobody: later changes to a caller's buffer
never show in a store.

**What is optional** is declared in `features`. A method of an undeclared feature raises
`StoreError`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, Self

from checkpointkit.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.errors import CheckpointError


class Absent(Enum):
    """The type of `ABSENT`, the expectation that a key has no checkpoint."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""Pass it as `expected=` to create a checkpoint only where there is none."""

Expected = int | Absent | None
"""A generation, `ABSENT`, or None for "whatever is there"."""

Feature = Literal["atomic_many", "durable", "history", "pins", "scopes", "set_aside", "shared"]
"""What a store may offer beyond the minimum.

- `atomic_many`: `write_many(…, atomic=True)` saves all keys or none.
- `durable`: what `write` acknowledged survives a power cut, and the death of the process.
- `history`: older generations can be listed and read: the one before the newest at least.
- `pins`: `pin` keeps a generation until `unpin`. A store with `pins` has `history`, too.
- `scopes`: `scope(name)` gives a store within the store.
- `set_aside`: `set_aside` keeps the bytes of a damaged generation as evidence.
- `shared`: several processes may use the store at the same time. A store without it refuses a
  second opening, or keeps it apart.

A store with neither `durable` nor `shared` may be empty when it is opened again.
"""

DEFAULT_MAX_BYTES: Final = 64 * 2**20
"""The largest envelope that a store takes or reads unless told otherwise: 64 MiB."""


class Entry(NamedTuple):
    """One stored generation, as the store knows it.

    Attributes:
        generation: Its number.
        revision: Names these very bytes: another text as soon as other bytes stand there. It
            means nothing beyond equality (a digest, an etag, an inode with its times).
        size: Bytes stored.
        pinned: Whether it is pinned, as far as `history` found; whatever else returns an entry
            leaves it out.
    """

    generation: int
    revision: str
    size: int
    pinned: bool = False


class Damaged(NamedTuple):
    """Stands for the newest generation where its bytes cannot even be read.

    A store without such cases never makes one. In the file store: a symbolic link in place of
    the file, say, or a file that has vanished from a directory that must hold it.
    """

    reason: str


Seal = Callable[[int, bytes | Damaged | None], bytes]
"""`seal(generation, previous)` returns the bytes to store under the number `generation`.

`previous` is the newest generation's stored bytes, whole; None where the key is absent. The store
calls it where nobody else can save the key (or calls it again if somebody has), before it changes
anything and before it compares `expected`; its last call is the one that counts. If it raises,
nothing has changed, and what it raises passes through, whatever it is.
"""


class BatchResult(NamedTuple):
    """What `write_many` did: each key is in exactly one of the two."""

    saved: dict[str, Entry]
    failed: dict[str, CheckpointError]


class Store(Protocol):
    """Where checkpoints live; see the module for what holds in every method."""

    @property
    def features(self) -> frozenset[Feature]:
        """What this store offers beyond the minimum."""
        ...

    @property
    def max_bytes(self) -> int:
        """The largest number of bytes that `write` takes and `read` gives.

        Whoever opens a store chooses it.
        """
        ...

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        """Return the bytes of a generation.

        Args:
            key: The key.
            generation: Which one; None for the newest. Without the feature `history`, any number
                but the newest one's is not found.
            limit: Give no more than the first `limit` bytes; None for all of them.

        Raises:
            CheckpointNotFoundError: There is no such key or generation.
            CorruptCheckpointError: There is one, and its bytes cannot be had (see `Damaged`).
            CheckpointTooLargeError: It has more than `max_bytes`, and `limit` is None.
        """
        ...

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        """Save what `seal` returns as the newest generation of `key`.

        Args:
            key: The key.
            seal: Makes the bytes; see `Seal`.
            expected: Save only if the newest generation is this one, or with `ABSENT` only if
                the key is absent.

        Returns:
            The entry of the new generation.

        Raises:
            ConflictError: The newest generation is not the expected one.
            CheckpointTooLargeError: `seal` returned, or the store holds, more than `max_bytes`.
        """
        ...

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        """Save several keys, each of them as `write` does.

        Args:
            items: A seal for each key.
            atomic: Save all or none (feature `atomic_many`).

        Returns:
            The entries of what is saved and the errors of what is not. Only errors of
            `checkpointkit.errors` that concern a key are gathered so. A wrong key or a closed
            store raises before anything is saved; what is none of our errors passes through, and
            then each key has its old state or its new one.
        """
        ...

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys that begin with `prefix`, sorted; reads no stored bytes."""
        ...

    def history(self, key: str) -> tuple[Entry, ...]:
        """Return the newest generation of `key`, damaged or not, and the older ones after it.

        An absent key has none. Without the feature `history` there is the newest alone.
        """
        ...

    def remove(self, key: str, *, expected: Expected = None) -> None:
        """Remove `key` with all its generations; no error where it is absent already.

        As durable as a save when it returns. It works on damaged checkpoints, too.

        Args:
            key: The key.
            expected: Remove only if the newest generation is this one.

        Raises:
            ConflictError: The newest generation is not the expected one.
            CorruptCheckpointError: Something is expected of a damaged checkpoint whose number
                cannot be read; a guess must not win.
        """
        ...

    def set_aside(self, key: str, revision: str) -> str:
        """Take the newest generation, a damaged one, out of the key, and keep it as evidence.

        Until the next `write`, the key stays damaged: `read` raises `CorruptCheckpointError` and
        a seal is given `Damaged`; no older generation shows as the newest.

        Args:
            key: The key.
            revision: The revision that was found to be damaged.

        Returns:
            Where a person finds the evidence.

        Raises:
            ConflictError: The newest generation has another revision by now.
        """
        ...

    def pin(self, key: str, generation: int) -> None:
        """Keep a generation until it is unpinned; no error where it is pinned already.

        As durable as a save when it returns.

        Args:
            key: The key.
            generation: Which one; the newest or an older one.

        Raises:
            CheckpointNotFoundError: There is no such key or generation.
            CorruptCheckpointError: There is one, and its bytes cannot be had (see `Damaged`).
        """
        ...

    def unpin(self, key: str, generation: int) -> None:
        """Let a generation go: it counts among the older ones again, and may go at once.

        As durable as a save when it returns. No error where it is not pinned, or not there.

        Args:
            key: The key.
            generation: Which one.
        """
        ...

    def scope(self, name: str) -> Self:
        """Return the store named `name` within this one, with keys of its own.

        `name` obeys the grammar of keys. The same name gives the same keys, at any time; a scope
        has the features of its store, and scopes of its own. Closing a scope leaves the store
        open.
        """
        ...

    def close(self) -> None:
        """Give back what the store holds; a second call does nothing.

        Any other method then raises `StoreError`.
        """
        ...


def check_expected(key: str, expected: Expected, actual: int | None) -> None:
    """Compare the expectation of a writer with the newest generation (None: key absent).

    Raises:
        ConflictError: They differ.

    Example:
        >>> check_expected("a", None, 7)
        >>> check_expected("a", ABSENT, 7)
        Traceback (most recent call last):
        ...
        checkpointkit.errors.ConflictError: checkpoint 'a': expected no checkpoint, found \
generation 7; load it again and decide anew
    """
    if expected is None:
        return
    wanted = None if expected is ABSENT else expected
    if wanted != actual:
        raise ConflictError(key, wanted, actual)


def check_limits(*, history: int, max_bytes: int) -> None:
    """Check what every store is given when it is made.

    Raises:
        TypeError: One of them is no `int`.
        ValueError: `history` is negative, or `max_bytes` is no positive number.
    """
    for name, number, least in (("history", history, 0), ("max_bytes", max_bytes, 1)):
        if type(number) is not int:
            raise TypeError(f"{name} is an int, not {type(number).__name__}")
        if number < least:
            raise ValueError(f"{name} is at least {least}, not {number}")
