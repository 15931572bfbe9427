"""Opening a file store: make the directory a store, or see that it is one; sweep what was left."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from checkpointkit.errors import LockTimeoutError, StoreError
from checkpointkit.stores.base import Damaged
from checkpointkit.stores.files.disk import Disk, is_full, store_error
from checkpointkit.stores.files.layout import (
    DIRECTORY_MODE,
    FORMAT,
    FORMAT_TEXT,
    HIGH_WATER_SIZE,
    LOCKS,
    STRIPES,
    TEMPORARY,
    decode_high_water,
    new_high_water,
    owner_of,
    stripe_name,
)
from checkpointkit.stores.files.locks import StripeLock
from checkpointkit.stores.files.system import OPEN_DIRECTORY, OPEN_ROOT, OPEN_TO_WRITE

if TYPE_CHECKING:
    from checkpointkit.stores.files.system import SystemCalls

_log: Final = logging.getLogger("checkpointkit")
_OPEN: Final = "open the store"
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
)
_NEW_FORMAT: Final = f"{TEMPORARY}/format"
_LINK_TRIAL: Final = f"{TEMPORARY}/link"


def open_directory(
    path: str,
    *,
    system: SystemCalls,
    durable: bool,
    read_only: bool,
    max_bytes: int,
    timeout: float,
) -> Disk:
    """Open the store at `path`; unless `read_only`, make it where there is none yet.

    Raises:
        StoreError: It is no store, or of a newer layout, or cannot be made one here.
    """
    try:
        if not read_only:
            make_directories(system, path)
        root = system.open(path, OPEN_ROOT)
    except OSError as error:
        raise store_error(None, f"{_OPEN} {path}", error) from error
    try:
        status = system.fstat(root)
        disk = Disk(system, path, root, (status.st_dev, status.st_ino), durable, max_bytes)
        _make_ready(disk, read_only=read_only, timeout=timeout)
    except BaseException as error:
        with suppress(OSError):
            system.close(root)
        if isinstance(error, OSError):
            raise store_error(None, f"{_OPEN} {path}", error) from error
        raise
    return disk


def _make_ready(disk: Disk, *, read_only: bool, timeout: float) -> None:
    if not _is_store(disk):
        if read_only:
            raise StoreError(None, f"{_OPEN} {disk.path}", "there is no store yet")
        _initialise(disk, timeout)
    if read_only:
        return
    for name in (TEMPORARY, LOCKS):  # no link is followed below the root
        disk.system.close(disk.system.open(name, OPEN_DIRECTORY, dir_fd=disk.root))
    _try_links(disk)
    _sweep(disk)


def make_directories(system: SystemCalls, path: str) -> None:
    """Make the directory `path` and its parents where they are missing.

    They are made durable when the store in them is laid out, see `_sync_ancestors`.
    """
    missing = []
    while not _exists(system, path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        with suppress(FileExistsError):  # another process was quicker
            system.mkdir(directory, DIRECTORY_MODE)
            system.chmod(directory, DIRECTORY_MODE)


def _exists(system: SystemCalls, path: str) -> bool:
    try:
        system.stat(path)
    except FileNotFoundError:
        return False
    return True


def _is_store(disk: Disk) -> bool:
    """Tell whether the layout is in place; refuse one that this release does not know."""
    try:
        text = disk.read_file(disk.root, FORMAT, FORMAT, 1024)
    except FileNotFoundError:
        return False
    if text != FORMAT_TEXT:
        reason = (
            f"its {FORMAT} names a layout that this release does not know; upgrade checkpointkit"
        )
        raise StoreError(None, f"{_OPEN} {disk.path}", reason)
    return True


def _initialise(disk: Disk, timeout: float) -> None:
    """Lay out a new store. Cut off anywhere, it is begun again by whoever opens it next.

    The lock is one on the directory itself, since there are no lock files yet; `.format` comes
    last, and makes it a store.
    """
    system = disk.system
    deadline = system.monotonic() + timeout
    while not system.try_lock(disk.root):
        if system.monotonic() >= deadline:
            raise LockTimeoutError(None, timeout)
        system.sleep(0.001)
    try:
        if _is_store(disk):  # another process was quicker
            return
        _check_empty(disk)
        for name in (TEMPORARY, LOCKS):
            with suppress(FileExistsError):  # an earlier attempt was cut off
                system.mkdir(name, DIRECTORY_MODE, dir_fd=disk.root)
            system.chmod(name, DIRECTORY_MODE, dir_fd=disk.root)
        for stripe in range(STRIPES):
            _make_stripe(disk, stripe)
        disk.sync_directory(LOCKS)
        disk.discard(_NEW_FORMAT)
        fd = disk.create(_NEW_FORMAT, FORMAT_TEXT)
        try:
            disk.sync(fd)
        finally:
            system.close(fd)
        disk.sync(disk.root)
        _sync_ancestors(disk)
        system.rename(_NEW_FORMAT, FORMAT, src_dir_fd=disk.root, dst_dir_fd=disk.root)
        disk.sync(disk.root)
    finally:
        system.unlock(disk.root)


def _check_empty(disk: Disk) -> None:
    """Refuse a directory that holds anything but what an attempt that was cut off may leave."""
    own = {
        TEMPORARY: {os.path.basename(_NEW_FORMAT)},
        LOCKS: {stripe_name(stripe) for stripe in range(STRIPES)},
    }
    foreign = set(disk.system.listdir(disk.root)) - own.keys()
    for name, content in own.items():
        try:
            directory = disk.system.open(name, OPEN_DIRECTORY, dir_fd=disk.root)
        except FileNotFoundError:
            continue
        try:
            foreign |= set(disk.system.listdir(directory)) - content
        finally:
            disk.system.close(directory)
    if foreign:
        reason = "the directory is not empty and no store; give the store one of its own"
        raise StoreError(None, f"{_OPEN} {disk.path}", reason)


def _sync_ancestors(disk: Disk) -> None:
    """Make the store's own path durable, whoever made it: he may have been killed before a sync.

    Up to the mount point; a directory that may not be opened was not made by us.
    """
    path = os.path.dirname(disk.path)
    while True:
        try:
            directory = disk.system.open(path, OPEN_ROOT)
        except PermissionError:
            return
        try:
            if disk.system.fstat(directory).st_dev != disk.identity[0]:
                return
            disk.sync(directory)
        finally:
            disk.system.close(directory)
        if path == os.path.dirname(path):
            return
        path = os.path.dirname(path)


def _make_stripe(disk: Disk, stripe: int) -> None:
    """Make one stripe's file; what an earlier attempt has written is kept, never lowered."""
    name = f"{LOCKS}/{stripe_name(stripe)}"
    present: bytes | Damaged = Damaged("missing")
    with suppress(FileNotFoundError):
        present = disk.read_file(disk.root, name, name, HIGH_WATER_SIZE)
    if not isinstance(present, Damaged) and decode_high_water(stripe, present) is not None:
        fd = disk.system.open(name, OPEN_TO_WRITE, dir_fd=disk.root)
    else:
        disk.discard(name)
        fd, present = disk.create(name, new_high_water(stripe)), b""
    try:
        # The kept one, too: its writer may have been killed before the sync. Or that sync has
        # failed: then the kernel takes the page for clean until it is written again.
        if present:
            disk.write(fd, present)
        disk.sync(fd)
    finally:
        disk.system.close(fd)


def _try_links(disk: Disk) -> None:
    """See that the file system has hard links, before the first save needs one."""
    disk.discard(_LINK_TRIAL)
    try:
        disk.system.link(
            FORMAT, _LINK_TRIAL, src_dir_fd=disk.root, dst_dir_fd=disk.root, follow_symlinks=False
        )
    except FileExistsError:  # another process tries at this moment, and has one
        return
    except OSError as error:
        if is_full(error):  # a full disk must not keep an agent from what it has saved
            return
        if error.errno not in _NO_LINKS:
            raise
        reason = f"this file system has no hard links, which the store needs ({error.strerror})"
        raise StoreError(None, f"{_OPEN} {disk.path}", reason) from error
    disk.discard(_LINK_TRIAL)


def _sweep(disk: Disk) -> None:
    """Delete what killed writers have left under `.tmp`; what a living one holds is not touched."""
    left: dict[int, list[str]] = {}
    directory = disk.system.open(TEMPORARY, OPEN_DIRECTORY, dir_fd=disk.root)
    try:
        for name in disk.system.listdir(directory):
            owner = owner_of(name)
            if owner is not None:
                left.setdefault(owner, []).append(name)
    finally:
        disk.system.close(directory)
    if not left:
        return
    for stripe, names in sorted(left.items()):
        try:
            with StripeLock(disk, stripe, None, timeout=0):
                # A removed key may have been renamed here and its writer killed before the sync:
                # without this one, a power cut could bring back its name with nothing in it.
                disk.sync(disk.root)
                for name in names:
                    _discard(disk, f"{TEMPORARY}/{name}")
        except LockTimeoutError:
            continue
        _log.info("%s: swept %d temporary files", disk.path, len(names))


def _discard(disk: Disk, name: str) -> None:
    try:
        disk.discard(name)
    except OSError as error:  # no reason not to open the store
        _log.warning("%s: %s stays behind: %s", disk.path, name, error)
