"""Damaged files that were set aside: kept as evidence, the last few of a store."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from checkpointkit.errors import OutcomeUnknownError
from checkpointkit.stores.files.disk import Disk, store_error
from checkpointkit.stores.files.layout import (
    ASIDE,
    CURRENT,
    DIRECTORY_MODE,
    EVIDENCE_KEPT,
    evidence_name,
    evidence_number,
)
from checkpointkit.stores.files.system import OPEN_DIRECTORY

if TYPE_CHECKING:
    from checkpointkit.stores.files.keydir import KeyState

_log: Final = logging.getLogger("checkpointkit")


def keep_evidence(disk: Disk, directory: int, key: str, state: KeyState, stripe: int) -> str:
    """Move what stands as `current`, and its number, out of a key's directory.

    Args:
        disk: The store.
        directory: Descriptor of the key's directory; its lock is held.
        key: The key.
        state: What was found there. The stripe's high-water covers it already.
        stripe: The key's stripe.

    Returns:
        The path of the evidence.

    Raises:
        OSError: A system call failed; `current` still stands.
        OutcomeUnknownError: `current` is out of the way, it is not known whether durably.
    """
    system = disk.system
    _make_directory(disk)
    aside = system.open(ASIDE, OPEN_DIRECTORY, dir_fd=disk.root)
    try:
        kept = sorted(
            (number, name)
            for name in system.listdir(aside)
            if (number := evidence_number(name)) is not None
        )
        name = evidence_name(kept[-1][0] + 1 if kept else 1, stripe)
        added = _link(disk, directory, aside, name)
        for number in state.unacknowledged:  # without `current`, they would count as saved
            disk.discard(str(number), directory)
        if state.unacknowledged:
            disk.sync(directory)
        if state.linked:  # the evidence keeps the file, and the history loses it
            disk.discard(str(state.newest), directory)
        disk.discard(CURRENT, directory)
        try:
            disk.sync(directory)
        except OSError as error:
            problem = store_error(key, "set aside", error)
            raise OutcomeUnknownError(key, "set aside", problem.reason) from error
        for _, oldest in kept[: max(0, len(kept) + added - EVIDENCE_KEPT)]:
            try:
                disk.discard(oldest, aside)
            except OSError as error:
                _log.warning("%s: %s/%s stays: %s", disk.path, ASIDE, oldest, error)
    finally:
        system.close(aside)
    # Where nothing stands, that it is missing is the damage, and there is nothing to keep.
    return f"{disk.path}/{ASIDE}" + (f"/{name}" if added else "")


def _make_directory(disk: Disk) -> None:
    with suppress(FileExistsError):  # its maker may have been killed before the rest of this
        disk.system.mkdir(ASIDE, DIRECTORY_MODE, dir_fd=disk.root)
    disk.system.chmod(ASIDE, DIRECTORY_MODE, dir_fd=disk.root)
    disk.sync(disk.root)


def _link(disk: Disk, directory: int, aside: int, name: str) -> bool:
    """Give what stands as `current` a second name, durably; a directory is moved instead."""
    system = disk.system
    try:
        system.link(CURRENT, name, src_dir_fd=directory, dst_dir_fd=aside, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except PermissionError:  # what link(2) says of a directory
        system.rename(CURRENT, name, src_dir_fd=directory, dst_dir_fd=aside)
    disk.sync(aside)
    return True
