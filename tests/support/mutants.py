"""Broken protocols of the file store; each is put in in a child, and gone with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from checkpointkit.stores.base import Entry
from checkpointkit.stores.files import removing
from checkpointkit.stores.files.layout import CURRENT
from checkpointkit.stores.files.locks import StripeLock
from checkpointkit.stores.files.steps import FirstSave, NextSave
from checkpointkit.stores.files.store import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.stores.base import Expected, Seal


def replace(owner: object, name: str, function: Callable[..., object]) -> None:
    """Put a broken part in."""
    setattr(owner, name, function)


def tell_early() -> None:
    """Acknowledge a save at once, and make it when the store is closed."""
    waiting: list[Callable[[], object]] = []
    write, close = FileStore.write, FileStore.close

    def write_later(self: FileStore, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        waiting.append(lambda: write(self, key, seal, expected=expected))
        return Entry(0, "", 0)

    def write_now(self: FileStore) -> None:
        while waiting:
            waiting.pop(0)()
        close(self)

    replace(FileStore, "write", write_later)
    replace(FileStore, "close", write_now)


def in_place() -> None:
    """Overwrite `current` where it is."""

    def publish(self: NextSave) -> None:
        system, flags = self._disk.system, os.O_WRONLY | os.O_TRUNC
        fd = system.open(CURRENT, flags, dir_fd=self._directory)
        self._disk.write(fd, self._data)
        system.close(fd)
        self.published = True

    replace(NextSave, "publish", publish)


def rename_first() -> None:
    """Put the file in its place, and write it then."""
    publish = NextSave.publish

    def write_nothing(self: NextSave) -> None:
        self._fd = self._source(self._temporary, b"")

    def publish_and_write(self: NextSave) -> None:
        publish(self)
        system = self._disk.system
        fd = system.open(CURRENT, os.O_WRONLY, dir_fd=self._directory)
        self._disk.write(fd, self._data)
        system.close(fd)

    replace(NextSave, "write", write_nothing)
    replace(NextSave, "publish", publish_and_write)


def prune_first() -> None:
    """Delete the old generations before the new one is there."""
    publish = NextSave.publish

    def prune_and_publish(self: NextSave) -> None:
        for number in self._state.named[:-1]:
            self._discard(str(number), self._directory)
        publish(self)

    replace(NextSave, "publish", prune_and_publish)


def prune_pinned() -> None:
    """Delete the old generations, pinned or not."""
    prune = NextSave.prune

    def prune_all(self: NextSave, history: int) -> None:
        self._state = self._state._replace(pinned=frozenset())
        prune(self, history)

    replace(NextSave, "prune", prune_all)


def unlink_first() -> None:
    """Make room for the new state before it takes its place."""
    publish = NextSave.publish

    def unlink_and_publish(self: NextSave) -> None:
        self._disk.discard(CURRENT, self._directory)
        publish(self)

    replace(NextSave, "publish", unlink_and_publish)


def directory_first() -> None:
    """Make the key's directory where readers look, and fill it there."""

    def publish(self: FirstSave) -> None:
        disk, system, built = self._disk, self._disk.system, self._temporary + ".d"
        system.mkdir(self.key, 0o700, dir_fd=disk.root)
        system.rename(
            f"{built}/{CURRENT}",
            f"{self.key}/{CURRENT}",
            src_dir_fd=disk.root,
            dst_dir_fd=disk.root,
        )
        number = str(self.generation)
        system.rename(
            f"{built}/{number}", f"{self.key}/{number}", src_dir_fd=disk.root, dst_dir_fd=disk.root
        )
        system.rmdir(built, dir_fd=disk.root)
        self.published = True

    replace(FirstSave, "publish", publish)


def delete_in_place() -> None:
    """Delete a removed key's files where readers look."""

    def move_out(disk: Any, key: str, stripe: int) -> str:
        disk.discard(key)
        return ".tmp/nothing"

    replace(removing, "_move_out", move_out)


def forget_numbers() -> None:
    """Remove a key without noting which numbers are spent."""

    def nothing(self: StripeLock, generation: int) -> None:
        pass

    replace(StripeLock, "raise_high_water", nothing)


MUTANTS: dict[str, tuple[Callable[[], None], str]] = {
    "acknowledges before it publishes": (tell_early, "next save"),
    "acknowledges a first save before it publishes": (tell_early, "first save"),
    "overwrites in place": (in_place, "next save"),
    "overwrites in place in a batch": (in_place, "next batch"),
    "renames before it writes": (rename_first, "next save"),
    "renames before it writes when rolling back": (rename_first, "rollback"),
    "prunes before it publishes": (prune_first, "next save"),
    "prunes what is pinned": (prune_pinned, "save over a pin without history"),
    "unlinks before it renames": (unlink_first, "migrate"),
    "fills a key's directory in place": (directory_first, "first save"),
    "deletes in place": (delete_in_place, "remove"),
    "uses numbers again": (forget_numbers, "remove"),
}
