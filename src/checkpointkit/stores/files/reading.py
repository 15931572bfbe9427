"""Reading: without a lock, beside writers who may overtake at every step.

A writer replaces `current` by a rename, so whoever has opened it has one state whole. What a reader
has to mind is that two looks may see two states; where that matters, it looks again.

The functions raise the errors of `checkpointkit.errors` for what they find, and let `OSError` pass
for what the system says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpointkit.errors import CheckpointNotFoundError, CorruptCheckpointError
from checkpointkit.keys import is_key
from checkpointkit.stores.base import Damaged, Entry
from checkpointkit.stores.files import keydir
from checkpointkit.stores.files.layout import CURRENT
from checkpointkit.stores.files.system import OPEN_DIRECTORY, OPEN_PATH, OPEN_ROOT

if TYPE_CHECKING:
    from checkpointkit.stores.files.disk import Disk


def list_keys(disk: Disk, prefix: str) -> tuple[str, ...]:
    """Return the keys that begin with `prefix`, sorted, from one scan of the root."""
    # A descriptor of its own for each scan: it begins at the start, and no other scan moves it.
    directory = disk.system.open(".", OPEN_ROOT, dir_fd=disk.root)
    try:
        names = disk.system.listdir(directory)
    finally:
        disk.system.close(directory)
    disk.check_in_place()
    if prefix:
        names = [name for name in names if name.startswith(prefix)]
    found = list(filter(is_key, names))
    found.sort()
    return tuple(found)


def read_newest(disk: Disk, key: str, limit: int | None) -> bytes:
    """Return the bytes of a key's newest generation; see `Store.read`."""
    while True:
        directory = keydir.open_key(disk, key, OPEN_PATH)
        if directory is None:
            disk.check_in_place()
            raise CheckpointNotFoundError(key)
        try:
            data = _read_current(disk, directory, key, limit)
        except FileNotFoundError:
            if not keydir.is_there(disk, key, directory):
                continue  # removed, or removed and made anew, while we looked
            data = keydir.MISSING
        finally:
            disk.system.close(directory)
        if isinstance(data, Damaged):
            raise CorruptCheckpointError(key, None, data.reason)
        return data


def _read_current(disk: Disk, directory: int, key: str, limit: int | None) -> bytes | Damaged:
    opened = disk.open(directory, CURRENT)
    if isinstance(opened, Damaged):
        return opened
    fd, status = opened
    try:
        if status.st_nlink == 1:
            # A save leaves two names: this may be an older copy that somebody has put back.
            inner = disk.system.open(".", OPEN_DIRECTORY, dir_fd=directory)
            try:
                state = keydir.survey(disk, inner, key, whole=False)
            finally:
                disk.system.close(inner)
            if state.status is None and isinstance(state.current, Damaged):
                if state.current == keydir.MISSING:
                    raise FileNotFoundError  # removed, or damaged: the caller finds out
                return state.current
        return disk.read(fd, status, key, limit)
    finally:
        disk.system.close(fd)


def read_generation(disk: Disk, key: str, generation: int, limit: int | None) -> bytes:
    """Return the bytes of one of a key's generations; see `Store.read`."""
    while True:
        directory = keydir.open_key(disk, key)
        if directory is None:
            disk.check_in_place()
            raise CheckpointNotFoundError(key, generation)
        try:
            data = _read_named(disk, directory, key, generation, limit)
        except FileNotFoundError:  # pruned, or removed, a moment ago
            continue
        finally:
            disk.system.close(directory)
        if isinstance(data, Damaged):
            raise CorruptCheckpointError(key, generation, data.reason)
        return data


def _read_named(
    disk: Disk, directory: int, key: str, generation: int, limit: int | None
) -> bytes | Damaged:
    state = keydir.survey(disk, directory, key, whole=False)
    if not state.known and not keydir.is_there(disk, key, directory):
        raise FileNotFoundError  # a remove is deleting the files
    if generation != state.newest:
        if generation not in state.named:
            raise CheckpointNotFoundError(key, generation)
        return disk.read_file(directory, f"{generation:d}", key, limit)
    if isinstance(state.current, Damaged):
        return state.current
    opened = disk.open(directory, CURRENT)
    if isinstance(opened, Damaged):
        return opened
    fd, status = opened
    try:
        if status.st_ino != state.inode():
            raise FileNotFoundError  # a save overtook us: the generation is an older one now
        return disk.read(fd, status, key, limit)
    finally:
        disk.system.close(fd)


def read_history(disk: Disk, key: str) -> tuple[Entry, ...]:
    """Return the entries of a key's generations, newest first; see `Store.history`."""
    while True:
        try:
            directory = keydir.open_key(disk, key)
        except CorruptCheckpointError:
            return (Entry(1, "no directory", 0),)  # `read` says what is wrong with it
        if directory is None:
            disk.check_in_place()
            return ()
        try:
            state = keydir.survey(disk, directory, key, whole=False)
            if state.known or keydir.is_there(disk, key, directory):
                return keydir.entries(disk, directory, state)
        except FileNotFoundError:
            continue  # removed a moment ago
        finally:
            disk.system.close(directory)
