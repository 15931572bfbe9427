"""States to save, and what a store says of them."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from checkpointkit.envelope import encode_payload
from checkpointkit.records import State, StateSeal, read_record

if TYPE_CHECKING:
    from pathlib import Path

    from checkpointkit.stores.base import Damaged, Seal, Store

_LARGE = 2**24
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def raw(data: bytes) -> Seal:
    """Return a seal for bytes as they are; a store needs no envelope."""

    def seal(generation: int, previous: bytes | Damaged | None) -> bytes:
        return data

    return seal


def sealed(key: str, number: int, *, pad: int = 0) -> StateSeal:
    """Return the seal that a manager would make; it refuses to replace a damaged state."""
    payload = encode_payload({"n": number, "pad": "x" * pad})
    state = State("example.com/number", 1, "fp1:0", payload)
    return StateSeal(key, state, NOW, lambda _: None)


def number_of(store: Store, key: str, generation: int | None = None) -> int:
    """Return the number that `sealed` has put into a verified state."""
    record = read_record(store, key, generation)
    number = json.loads(record.payload)["n"]
    assert isinstance(number, int)
    return number


def generations(store: Store, key: str) -> list[int]:
    """Return the numbers in a key's history."""
    return [entry.generation for entry in store.history(key)]


def pins(store: Store, key: str) -> list[int]:
    """Return the numbers in a key's history that are pinned."""
    return [entry.generation for entry in store.history(key) if entry.pinned]


def tree(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return each path below a directory with its inode, its mode, and its bytes."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        plain = stat.S_ISREG(status.st_mode) and status.st_size < _LARGE
        data = path.read_bytes() if plain else b""
        found[str(path.relative_to(directory))] = (status.st_ino, status.st_mode, data)
    return found


def temporaries(directory: Path) -> list[str]:
    """Return what is left under the `.tmp` of a store."""
    return sorted(os.listdir(directory / ".tmp"))
