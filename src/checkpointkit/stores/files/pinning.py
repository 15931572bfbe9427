"""Pins: an empty file beside a generation's own keeps it; the key's lock is held."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    OutcomeUnknownError,
)
from checkpointkit.stores.base import Damaged
from checkpointkit.stores.files import keydir
from checkpointkit.stores.files.disk import Disk, store_error
from checkpointkit.stores.files.layout import TEMPORARY, pin_name, temporary_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from checkpointkit.stores.files.locks import StripeLock

_log: Final = logging.getLogger("checkpointkit")


def pin(disk: Disk, lock: StripeLock, key: str, generation: int) -> None:
    """Keep a generation until it is unpinned; see `Store.pin`."""
    try:
        with _key(disk, key) as directory:
            if directory is None:
                raise CheckpointNotFoundError(key, generation)
            state = keydir.survey(disk, directory, key, whole=False)
            _check_there(state, key, generation)
            _mend(disk, directory, state)
            if generation not in state.pinned:
                _make(disk, directory, generation, f"{TEMPORARY}/{temporary_name(lock.stripe)}")
            # Also where the pin was there: its maker may have been killed before this.
            _confirm(disk, directory, key, "pin")
    except OSError as error:
        raise store_error(key, "pin", error) from error


def unpin(disk: Disk, key: str, generation: int) -> None:
    """Let a generation go with the next save; see `Store.unpin`."""
    try:
        with _key(disk, key) as directory:
            if directory is None:
                return
            if generation in keydir.survey(disk, directory, key, whole=False).pinned:
                disk.discard(pin_name(generation), directory)
            # Also where there was no pin: who took it away may have been killed before this.
            _confirm(disk, directory, key, "unpin")
    except OSError as error:
        raise store_error(key, "unpin", error) from error


def _check_there(state: keydir.KeyState, key: str, generation: int) -> None:
    """Check that a generation is there, and that it is known to be this one."""
    if generation != state.newest:
        if generation not in state.named:
            raise CheckpointNotFoundError(key, generation)
    elif isinstance(state.current, Damaged):
        raise CorruptCheckpointError(key, generation, state.current.reason)
    elif not state.known:
        raise CorruptCheckpointError(key, generation, "its header does not verify")


def _mend(disk: Disk, directory: int, state: keydir.KeyState) -> None:
    """Make what a pin relies on survive a power cut: the name of the key, and the number.

    A save that was cut off may have left them otherwise, as for the next save.
    """
    if state.perhaps_first:
        disk.sync(disk.root)
    if state.known and not state.linked:
        keydir.link_newest(disk, directory, state)


def _make(disk: Disk, directory: int, generation: int, temporary: str) -> None:
    """Make the pin, whole or not at all."""
    disk.discard(temporary)  # a killed writer may have left it there
    fd = disk.create(temporary, b"")
    try:
        try:
            disk.sync(fd)
        finally:
            disk.system.close(fd)
        disk.system.rename(
            temporary, pin_name(generation), src_dir_fd=disk.root, dst_dir_fd=directory
        )
    except BaseException:
        try:
            disk.discard(temporary)
        except OSError as error:  # it must not hide the first error
            _log.warning("%s: %s stays behind: %s", disk.path, temporary, error)
        raise


def _confirm(disk: Disk, directory: int, key: str, operation: str) -> None:
    """Make the change of names survive a power cut; readers see it by now."""
    try:
        disk.sync(directory)
    except OSError as error:
        reason = store_error(key, operation, error).reason
        raise OutcomeUnknownError(key, operation, reason) from error


@contextmanager
def _key(disk: Disk, key: str) -> Iterator[int | None]:
    """Open a key's directory, and close it again; None where the key is absent."""
    directory = keydir.open_key(disk, key)
    try:
        yield directory
    finally:
        if directory is not None:
            try:
                disk.system.close(directory)
            except OSError as error:  # what was done is settled by now
                _log.warning("checkpoint %r: a file was not closed: %s", key, error)
