"""Removing a key, and setting a damaged generation aside; the key's lock is held."""

from __future__ import annotations

import errno
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from checkpointkit.errors import ConflictError, CorruptCheckpointError, OutcomeUnknownError
from checkpointkit.stores.base import Damaged, Expected, check_expected
from checkpointkit.stores.files import keydir
from checkpointkit.stores.files.disk import Disk, store_error
from checkpointkit.stores.files.evidence import keep_evidence
from checkpointkit.stores.files.layout import MAX_GENERATION, TEMPORARY, temporary_name

if TYPE_CHECKING:
    from checkpointkit.stores.files.locks import StripeLock

_log: Final = logging.getLogger("checkpointkit")
_TAKEN: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR})
"""What a rename says where something stands at its target."""
_NAMES: Final = 16
"""How many names are tried under `.tmp` where what stands there cannot be deleted."""


def remove_key(disk: Disk, lock: StripeLock, key: str, expected: Expected) -> None:
    """Remove a key; the files are deleted after the removal is durable. See `Store.remove`."""
    gone = None
    try:
        state = _look(disk, key)
        if expected is not None and state is not None and not state.known:
            # Its number is a guess, and a guess must not win a compare-and-swap.
            found = state.current
            reason = found.reason if isinstance(found, Damaged) else "its header does not verify"
            raise CorruptCheckpointError(key, None, reason)
        check_expected(key, expected, None if state is None else state.newest)
        if state is not None:
            lock.raise_high_water(_spent(state))
            gone = _move_out(disk, key, lock.stripe)
    except OSError as error:
        raise store_error(key, "remove", error) from error
    try:
        # Also where the key is absent: whoever removed it may have been killed before this sync,
        # and then a power cut would bring it back after we said that it is gone.
        disk.sync(disk.root)
    except OSError as error:
        reason = store_error(key, "remove", error).reason
        raise OutcomeUnknownError(key, "remove", reason) from error
    if gone is None:
        return
    try:
        disk.discard(gone)
    except OSError as error:
        _log.warning("checkpoint %r: its files stay under %s: %s", key, gone, error)


def set_aside(disk: Disk, lock: StripeLock, key: str, revision: str) -> str:
    """Take the newest generation out of a key and keep it; see `Store.set_aside`."""
    try:
        directory = keydir.open_key(disk, key)
        if directory is None:
            raise ConflictError(key, None, None)
        try:
            state = keydir.survey(disk, directory, key, whole=False)
            if state.entry().revision != revision:
                raise ConflictError(key, None, state.newest)
            lock.raise_high_water(_spent(state))
            return keep_evidence(disk, directory, key, state, lock.stripe)
        finally:
            disk.system.close(directory)
    except OSError as error:
        raise store_error(key, "set aside", error) from error


def _look(disk: Disk, key: str) -> keydir.KeyState | None:
    """Survey a key for its removal: what stands there may be anything."""
    try:
        directory = keydir.open_key(disk, key)
    except CorruptCheckpointError:
        return keydir.KeyState(1, (), (), keydir.MISSING, None)
    if directory is None:
        return None
    try:
        return keydir.survey(disk, directory, key, whole=False)
    finally:
        disk.system.close(directory)


def _move_out(disk: Disk, key: str, stripe: int) -> str:
    """Rename a key's directory into `.tmp`; return the name that it has there."""
    attempt = 0
    while True:
        gone = f"{TEMPORARY}/{temporary_name(stripe, attempt)}.gone"
        try:
            disk.system.rename(key, gone, src_dir_fd=disk.root, dst_dir_fd=disk.root)
        except OSError as error:
            attempt += 1
            if error.errno not in _TAKEN or attempt == _NAMES:
                raise
        else:
            return gone
        # A killed remove has left its files there. Its rename may not be durable yet, and must be
        # before they go: a power cut would else bring back an emptied checkpoint.
        disk.sync(disk.root)
        with suppress(OSError):  # what cannot be deleted stays, and the next name is taken
            disk.discard(gone)
            disk.system.rename(key, gone, src_dir_fd=disk.root, dst_dir_fd=disk.root)
            return gone


def _spent(state: keydir.KeyState) -> int:
    """Return the generation up to which no number may be used again.

    A number above a known newest generation was never acknowledged, or is a foreign file's name,
    which must not use up the numbers of the whole stripe.
    """
    return state.newest if state.known else min(state.highest(), MAX_GENERATION)
