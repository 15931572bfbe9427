"""Saving: look at what is there, seal the new state, and take it through the steps."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Final, Literal

from checkpointkit.errors import CheckpointTooLargeError, OutcomeUnknownError, StoreError
from checkpointkit.stores.base import Damaged, Expected, Seal, check_expected
from checkpointkit.stores.files import keydir
from checkpointkit.stores.files.disk import Disk, store_error
from checkpointkit.stores.files.layout import MAX_GENERATION, temporary_name
from checkpointkit.stores.files.steps import FirstSave, NextSave, Save

if TYPE_CHECKING:
    from collections.abc import Iterable

    from checkpointkit.stores.files.locks import StripeLock
    from checkpointkit.stores.files.steps import Source

_SYNC_THREADS: Final = 8

Step = Literal["write", "sync", "publish", "confirm"]
_AFTER_WRITE: Final[tuple[tuple[Step, bool], ...]] = (
    ("sync", True),
    ("publish", False),
    ("confirm", True),
)
"""The later steps, and whether the saves of a batch may take them side by side."""


def prepare(
    disk: Disk,
    lock: StripeLock,
    key: str,
    seal: Seal,
    expected: Expected,
    source: Source,
    index: int = 0,
) -> Save:
    """Look at what is there, and seal the new state under its number; writes nothing yet."""
    temporary = temporary_name(lock.stripe, index)
    high_water = lock.high_water()
    try:
        directory = keydir.open_key(disk, key)
    except OSError as error:
        raise store_error(key, "save", error) from error
    # What a seal raises is none of the store's errors, and passes through even if it is an OSError.
    if directory is None:
        data = _seal(disk, key, seal, high_water + 1, None)
        check_expected(key, expected, None)
        return FirstSave(disk, key, high_water + 1, data, temporary=temporary, source=source)
    try:
        state = _survey(disk, directory, key)
        number = max(state.highest(), high_water) + 1
        data = _seal(disk, key, seal, number, state.current)
        check_expected(key, expected, state.newest)
    except BaseException:
        with suppress(OSError):  # it must not hide the first error
            disk.system.close(directory)
        raise
    return NextSave(
        disk,
        key,
        number,
        data,
        temporary=temporary,
        source=source,
        directory=directory,
        state=state,
    )


def _survey(disk: Disk, directory: int, key: str) -> keydir.KeyState:
    try:
        return keydir.survey(disk, directory, key, whole=True)
    except OSError as error:
        raise store_error(key, "save", error) from error


def _seal(disk: Disk, key: str, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
    if number > MAX_GENERATION:
        reason = "no generation is left: look for a foreign file with a number for a name"
        raise StoreError(key, "save", reason)
    data = bytes(seal(number, previous))
    if len(data) > disk.max_bytes:
        raise CheckpointTooLargeError(key, len(data), disk.max_bytes)
    return data


def carry_out(
    disk: Disk, prepared: Iterable[Save], history: int, *, several: bool = False
) -> tuple[list[Save], dict[str, StoreError]]:
    """Take saves through the four steps.

    Args:
        disk: The store.
        prepared: One for each key; all their locks are held. Each is written before the next one
            is asked for, so that the disk is at work while that one is prepared.
        history: How many older generations to keep.
        several: Whether more than one is to be expected.

    Returns:
        The saves, closed by now; and the errors of those that failed, by key:
        `OutcomeUnknownError` where readers see the new state already. The others are acknowledged.
    """
    saves: list[Save] = []
    errors: dict[str, StoreError] = {}
    try:
        for save in prepared:
            saves.append(save)
            _attempt(save, "write", errors)
            if several and save.key not in errors:
                save.start_sync()
        for step, parallel in _AFTER_WRITE:
            alive = [save for save in saves if save.key not in errors]
            if parallel and len(alive) > 1:
                _in_parallel(alive, step, errors)
            else:
                for save in alive:
                    _attempt(save, step, errors)
            if step == "publish":
                _sync_root(disk, alive, errors)
        for save in saves:
            if save.key not in errors:
                save.prune(history)
    finally:
        for save in saves:
            save.end()
    return saves, errors


def _attempt(save: Save, step: Step, errors: dict[str, StoreError]) -> None:
    try:
        getattr(save, step)()
    except OSError as error:
        errors[save.key] = _failure(save, error)


def _in_parallel(saves: list[Save], step: Step, errors: dict[str, StoreError]) -> None:
    """Sync several files at a time.

    With a journal, one commit serves all of them, and whoever comes later finds it done. Without
    one the disk has several requests at a time.
    """
    waiting = deque(saves)
    bugs: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                try:
                    save = waiting.popleft()
                except IndexError:
                    return
                _attempt(save, step, errors)
        except BaseException as bug:  # noqa: BLE001 - raised again in the caller's thread
            bugs.append(bug)

    helpers = []
    for _ in range(min(_SYNC_THREADS, len(saves)) - 1):
        helper = Thread(target=work)
        try:
            helper.start()
        except RuntimeError:  # no more threads, or the interpreter is shutting down
            break
        helpers.append(helper)
    try:
        work()
    finally:  # also when interrupted: nobody else may come in while a helper is at work
        waiting.clear()
        for helper in helpers:
            helper.join()
    if bugs:
        raise bugs[0]


def _sync_root(disk: Disk, saves: list[Save], errors: dict[str, StoreError]) -> None:
    waiting = [save for save in saves if save.needs_root_sync and save.published]
    if waiting:
        try:
            disk.sync(disk.root)
        except OSError as error:
            errors.update({save.key: _failure(save, error) for save in waiting})


def _failure(save: Save, error: OSError) -> StoreError:
    failure = store_error(save.key, "save", error)
    if save.published:
        failure = OutcomeUnknownError(save.key, "save", failure.reason)
    failure.__cause__ = error
    return failure
