"""Which store a command works on, and opening it."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.cli.outcome import USAGE, Refused
from checkpointkit.cli.text import printable
from checkpointkit.errors import StoreError
from checkpointkit.keys import is_key
from checkpointkit.stores.files.layout import (
    ASIDE,
    CURRENT,
    FORMAT,
    LOCKS,
    RESERVE,
    SCOPES,
    TEMPORARY,
    generation_of,
    pinned_by,
)
from checkpointkit.stores.files.store import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_KEEP_ALL: Final = 10**9
"""How many older generations this program keeps: the owner of the store decides what goes."""
_OWN_NAMES: Final = frozenset({ASIDE, FORMAT, LOCKS, RESERVE, SCOPES, TEMPORARY})


@frozen
class Target:
    """A store as the command line names it.

    Attributes:
        directory: The directory of the outermost store.
        scope: The names of the scopes on the way in.
        max_bytes: The largest envelope to read.
    """

    directory: str
    scope: tuple[str, ...]
    max_bytes: int

    def inner(self, name: str) -> Target:
        """Return the scope of that name."""
        return Target(self.directory, (*self.scope, name), self.max_bytes)

    def command(self, name: str, *keys: str, options: Sequence[str] = ()) -> str:
        """Return a command on this store, ready to be typed."""
        scope = [f"--scope={inner}" for inner in self.scope]
        return shlex.join(["checkpointkit", name, *options, *scope, self.directory, *keys])

    def place(self, key: str | None, generation: int | None = None) -> str:
        """Return how people read the name of a checkpoint: `scope/key, generation 7`."""
        if key is None:
            return f"the store {self.shown()}"
        name = "/".join((*self.scope, key))
        return name if generation is None else f"{name}, generation {generation}"

    def shown(self) -> str:
        """Return how people read the name of the store."""
        scope = f", scope {'/'.join(self.scope)}" if self.scope else ""
        return printable(self.directory) + scope


def open_to_read(target: Target) -> FileStore:
    """Open a store; nothing can be changed through it.

    Raises:
        Refused: It cannot be opened.
    """
    return _open(target, read_only=True)


def open_to_write(target: Target) -> FileStore:
    """Open a store, which has been opened for reading before, to change something.

    Its owner's older generations stay, however few the owner keeps.

    Raises:
        Refused: It cannot be opened.
    """
    return _open(target, read_only=False)


def check_owner(target: Target, path: str, keys: Iterable[str]) -> None:
    """Check that the owner of a store could read what this user saves in it.

    Args:
        target: The store.
        path: Its directory.
        keys: The keys that are to be saved.

    Raises:
        Refused: The files of a key belong to somebody else.
    """
    user = os.geteuid()
    for key in keys:
        try:
            owner = os.lstat(os.path.join(path, key, CURRENT)).st_uid
        except OSError:  # nothing stands there
            owner = os.lstat(path).st_uid
        if owner != user:
            raise Refused(
                f"{target.place(key)}: its files belong to user {owner}, who could not read what "
                f"user {user} saves",
                f"run it as its owner: sudo -u '#{owner}' checkpointkit ...",
                USAGE,
                "WrongUser",
            )


def scopes_of(path: str) -> tuple[str, ...]:
    """Return the names of the scopes of the store at `path`, sorted."""
    return tuple(
        name
        for name in _names(os.path.join(path, SCOPES))
        if is_key(name) and os.path.lexists(os.path.join(path, SCOPES, name, FORMAT))
    )


def strays_of(path: str, keys: Iterable[str]) -> tuple[str, ...]:
    """Return what stands in the directory of a store and is none of its files.

    Args:
        path: The directory of the store.
        keys: Its keys.
    """
    scopes = scopes_of(path)
    found = [name for name in _names(path) if not is_key(name) and name not in _OWN_NAMES]
    found += [
        os.path.join(SCOPES, name)
        for name in _names(os.path.join(path, SCOPES))
        if name not in scopes
    ]
    for key in keys:
        found += [
            os.path.join(key, name)
            for name in _names(os.path.join(path, key))
            if name != CURRENT and generation_of(name) is pinned_by(name) is None
        ]
    return tuple(found)


def file_of(path: str, key: str, generation: int, *, newest: bool) -> str:
    """Return the file that holds a generation."""
    return os.path.join(path, key, CURRENT if newest else str(generation))


def aside_of(path: str) -> str:
    """Return the directory that damaged files are moved to."""
    return os.path.join(path, ASIDE)


def _names(directory: str) -> Sequence[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:  # there is none; and what cannot be read, the store itself complains of
        return ()


def _open(target: Target, *, read_only: bool) -> FileStore:
    path = target.directory
    try:
        store = FileStore(path, history=_KEEP_ALL, read_only=read_only, max_bytes=target.max_bytes)
        for name in target.scope:
            path = store.path
            with store:
                store = store.scope(name)
    except StoreError as error:
        raise _cannot_open(target, path, error) from error
    return store


def _cannot_open(target: Target, outer: str, error: StoreError) -> Refused:
    advice = "name the directory that was given to FileStore: there is a file .format in it"
    cause = error.__cause__
    if isinstance(cause, PermissionError):
        advice = "run it as the user that the store belongs to"
    elif target.scope:
        names = ", ".join(scopes_of(outer)) or "none"
        advice = f"the scopes in {printable(os.path.abspath(outer))} are: {names}"
    message = f"cannot open the store {target.shown()}: {printable(error.reason)}"
    return Refused(message, advice, USAGE, type(error).__name__)
