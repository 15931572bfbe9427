"""The way of a state to the disk, for one key whose lock is held.

A save goes through four steps, in this order, and each of them through all saves of a batch
before the next begins:

1. `write`: the bytes, in a file under `.tmp` (for a first save with the new directory around it).
2. `sync`: they survive a power cut.
3. `publish`: readers see it. Up to here an error changes nothing.
4. `confirm`: that they see it survives a power cut, too. Then the save is acknowledged.

The reasons for the order are those of "All File Systems Are Not Created Equal" (ALICE, Pillai et
al., OSDI 2014): a file system may keep unsynced data and unsynced directory entries, lose them,
or keep some of them.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from checkpointkit.stores.base import Damaged, Entry
from checkpointkit.stores.files.keydir import KeyState, entry_of, link_newest
from checkpointkit.stores.files.layout import CURRENT, DIRECTORY_MODE, TEMPORARY, pin_name
from checkpointkit.stores.files.system import OPEN_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.stores.files.disk import Disk

    Source = Callable[[str, bytes], int]
    """Makes a file with these bytes under this name, and returns its descriptor."""

_log: Final = logging.getLogger("checkpointkit")


class Save(ABC):
    """What first and later saves share: a file under `.tmp`, written and synced.

    Args:
        disk: The store.
        key: The key; its lock is held.
        generation: The new number.
        data: The bytes to store.
        temporary: The name under `.tmp`; the lock makes it ours alone.
        source: How the file is made.
    """

    needs_root_sync: bool = False
    entry: Entry

    def __init__(
        self,
        disk: Disk,
        key: str,
        generation: int,
        data: bytes,
        *,
        temporary: str,
        source: Source,
    ) -> None:
        self.key = key
        self.generation = generation
        self.entry = Entry(generation, "", len(data))
        self.published = False
        self._disk = disk
        self._data = data
        self._temporary = f"{TEMPORARY}/{temporary}"
        self._source = source
        self._fd = -1
        self._directory = -1

    def write(self) -> None:
        """Write the bytes under `.tmp`, over what a killed writer may have left there."""
        try:
            self._fd = self._source(self._temporary, self._data)
        except FileExistsError:
            self._disk.discard(self._temporary)
            self._fd = self._source(self._temporary, self._data)
        self.entry = entry_of(self._disk.system.fstat(self._fd), self.generation)

    def start_sync(self) -> None:
        """Let the disk begin with what `sync` will wait for; for batches."""
        self._disk.start_sync(self._fd)

    def sync(self) -> None:
        """Sync the file.

        After an error it is never synced again: the kernel may have marked the lost pages clean,
        and a second sync would succeed ("fsyncgate", PostgreSQL 2018).
        """
        self._disk.sync(self._fd)
        fd, self._fd = self._fd, -1
        self._disk.system.close(fd)

    @abstractmethod
    def publish(self) -> None:
        """Let readers see the new state."""

    @abstractmethod
    def confirm(self) -> None:
        """Make what `publish` did survive a power cut."""

    @abstractmethod
    def prune(self, history: int) -> None:
        """Delete the generations that nobody wants to keep; the save is acknowledged by now."""

    def end(self) -> None:
        """Take back what an unpublished save has left, and close what is open."""
        if not self.published:
            self.abandon()
        self.close()

    def abandon(self) -> None:
        """Take back what an unpublished save has left."""
        self._discard(self._temporary)

    def _discard(self, name: str, directory: int | None = None) -> None:
        """Delete what is not needed any more; an error here must not hide how the save went."""
        try:
            self._disk.discard(name, directory)
        except OSError as error:
            _log.warning("checkpoint %r: %s stays behind: %s", self.key, name, error)

    def close(self) -> None:
        """Close what is open; how the save went is settled by now."""
        descriptors = [fd for fd in (self._fd, self._directory) if fd >= 0]
        self._fd = self._directory = -1
        for fd in descriptors:
            try:
                self._disk.system.close(fd)
            except OSError as error:
                _log.warning("checkpoint %r: a file was not closed: %s", self.key, error)


class FirstSave(Save):
    """The key is absent: a directory is built under `.tmp` and renamed into the root."""

    needs_root_sync = True

    def write(self) -> None:
        """Write the file, and build the directory around it.

        Both before the first sync, so that with a journal one commit holds them both.
        """
        super().write()
        disk, system = self._disk, self._disk.system
        built = self._temporary + ".d"
        try:
            system.mkdir(built, DIRECTORY_MODE, dir_fd=disk.root)
        except FileExistsError:
            disk.discard(built)
            system.mkdir(built, DIRECTORY_MODE, dir_fd=disk.root)
        system.chmod(built, DIRECTORY_MODE, dir_fd=disk.root)  # whatever the umask left of it
        self._directory = system.open(built, OPEN_DIRECTORY, dir_fd=disk.root)
        system.rename(self._temporary, CURRENT, src_dir_fd=disk.root, dst_dir_fd=self._directory)
        system.link(
            CURRENT,
            str(self.generation),
            src_dir_fd=self._directory,
            dst_dir_fd=self._directory,
            follow_symlinks=False,
        )

    def sync(self) -> None:
        """Sync the file, then the directory."""
        super().sync()
        self._disk.sync(self._directory)
        directory, self._directory = self._directory, -1
        self._disk.system.close(directory)

    def publish(self) -> None:
        """Rename the directory to the key. The root is synced by the caller, once for a batch."""
        root = self._disk.root
        self._disk.system.rename(self._temporary + ".d", self.key, src_dir_fd=root, dst_dir_fd=root)
        self.published = True

    def confirm(self) -> None:
        """Nothing is left to do: the caller syncs the root."""

    def prune(self, history: int) -> None:
        """There is nothing older."""

    def abandon(self) -> None:
        """Take back the directory, too."""
        super().abandon()
        self._discard(self._temporary + ".d")


class NextSave(Save):
    """The key exists: the file gets its number, and takes the place of `current`.

    Args:
        directory: Descriptor of the key's directory; closed by `close`.
        state: What was found there.
    """

    def __init__(
        self,
        disk: Disk,
        key: str,
        generation: int,
        data: bytes,
        *,
        temporary: str,
        source: Source,
        directory: int,
        state: KeyState,
    ) -> None:
        super().__init__(disk, key, generation, data, temporary=temporary, source=source)
        self._directory = directory
        self._state = state
        self._linked = False

    def publish(self) -> None:
        """Mend what a cut-off save has left, then link the number and replace `current`."""
        self._mend()
        disk, directory = self._disk, self._directory
        disk.system.link(
            self._temporary,
            str(self.generation),
            src_dir_fd=disk.root,
            dst_dir_fd=directory,
            follow_symlinks=False,
        )
        self._linked = True
        if isinstance(self._state.current, Damaged):
            disk.discard(CURRENT, directory)  # a directory in its place cannot be renamed over
        disk.system.rename(self._temporary, CURRENT, src_dir_fd=disk.root, dst_dir_fd=directory)
        self.published = True

    def _mend(self) -> None:
        """Bring the directory into the state that the last acknowledged save has left.

        All of it is rare, and each mend is synced before the new state goes in: otherwise a power
        cut could keep the new state and lose the mend.
        """
        disk, directory, state = self._disk, self._directory, self._state
        if not state.known:
            return
        if state.perhaps_first:
            # The first save's sync of the root may not have taken place: its writer may have been
            # killed in between, and a sync of this directory says nothing of its own name.
            disk.sync(disk.root)
        mended = False
        if not state.linked:
            link_newest(disk, directory, state)
            mended = True
        for number in state.unacknowledged:
            disk.system.unlink(str(number), dir_fd=directory)
            mended = True
        if mended:
            disk.sync(directory)

    def confirm(self) -> None:
        """Sync the key's directory."""
        self._disk.sync(self._directory)

    def prune(self, history: int) -> None:
        """Delete the generations past the newest and `history` older ones, oldest first.

        Pinned ones stay, and do not count. A pin stays behind where its generation was set aside.
        """
        state = self._state
        old = {*state.named, state.newest} if state.known else {*state.named}
        loose = sorted(old - state.pinned)
        for number in loose[: max(0, len(loose) - history)]:
            self._discard(str(number), self._directory)
        for number in sorted(state.pinned - old):
            self._discard(pin_name(number), self._directory)

    def abandon(self) -> None:
        """Take back the number, too."""
        if self._linked:
            self._discard(str(self.generation), self._directory)
        super().abandon()
