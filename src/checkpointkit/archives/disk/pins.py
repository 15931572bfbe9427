"""Pins: a marker `<archive>.keep` beside an archive keeps it, whatever the policy says.

Anything of that name pins, an empty file or a directory, too: who put it there meant it. Two
programs write markers that name owners, both as a JSON object:

- this one: `{"managedBy": "checkpointkit", "owners": ["alice"]}`;
- the checkpoint-restore-operator: `{"managedBy": "checkpoint-restore-operator/podrestore",
  "podRestoreOwners": ["default/restore-a"]}`. It rewrites its markers with these two fields alone,
  and deletes one with its last owner (f5b45d3, internal/controller/podrestore_controller.go). So
  an owner of ours that joins such a marker stands among `podRestoreOwners`, as
  `checkpointkit:alice`: there the operator keeps it, and keeps the marker for it. No owner of the
  operator's looks so, since they are `<namespace>/<name>`.

The operator takes every other marker for a person's, and leaves it alone. It also leaves none of
its own beside one of ours: do not unpin an archive while it is being restored.
"""

from __future__ import annotations

import errno
import json
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.archives.disk.directory import words_of
from checkpointkit.archives.model import MARKER_SUFFIX
from checkpointkit.errors import CheckpointError
from checkpointkit.stores.files.system import OPEN_NEW, OPEN_TO_READ

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.archives.disk.directory import ArchiveCalls, ArchiveDirectory

__all__ = [
    "SOMEBODY",
    "TEMPORARY",
    "PinError",
    "Pinned",
    "has_marker",
    "pin",
    "read_pins",
    "unpin",
]

SOMEBODY: Final = "marker"
"""The owner of a marker that names none."""
TEMPORARY: Final = ".checkpointkit-pin"
"""A marker that is being written. One at a time: whoever writes has the directory's lock."""
MARKER_LIMIT: Final = 65536
"""Bytes of a marker that are read; what is larger is somebody's, and is not read."""
OWNER_LIMIT: Final = 256
"""Characters of an owner's name."""
_OURS: Final = "checkpointkit"
_OPERATORS: Final = "checkpoint-restore-operator/podrestore"
_FIELDS: Final = {_OURS: "owners", _OPERATORS: "podRestoreOwners"}
_PREFIX: Final = f"{_OURS}:"
_MODE: Final = 0o600


class PinError(CheckpointError):
    """An archive could not be pinned or unpinned; do it again.

    Its marker is the old one or the new one, and `read_pins` tells which. If a sync has failed, a
    power cut may undo it.

    Attributes:
        name: The archive.
        operation: What was tried: `pin` or `unpin`.
        reason: What is wrong, and what to do.
    """

    def __init__(self, name: str, operation: str, reason: str) -> None:
        super().__init__(name, operation, reason)
        self.name = name
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot {self.operation} {self.name}: {self.reason}"


@frozen
class Pinned:
    """The outcome of `pin` or `unpin`.

    Attributes:
        owners: Who wants the archive kept now; empty if nobody does any more.
        changed: Whether the marker was changed.
        recorded: Whether the owner stands in the marker; not so in a person's own, which is left
            as it is, and keeps the archive for as long as it is there.
    """

    owners: tuple[str, ...]
    changed: bool
    recorded: bool


def has_marker(name: str, directory: ArchiveDirectory) -> bool:
    """Tell whether an archive has a marker now.

    Args:
        name: The archive.
        directory: Where it lies.

    Returns:
        Whether there is one, of whatever kind.

    Raises:
        OSError: The system would not say.
    """
    try:
        directory.system.stat(name + MARKER_SUFFIX, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # no file can have that name
            return False
        raise
    return True


def read_pins(name: str, directory: ArchiveDirectory) -> tuple[str, ...]:
    """Return who wants an archive kept that has a marker.

    Args:
        name: The archive.
        directory: Where it lies.

    Returns:
        The owners that its marker names, sorted; `SOMEBODY` if it names none, or cannot be read.
        Empty if there is no marker any more.
    """
    marker = _find(name, directory)
    return () if marker is None else marker.shown


def pin(directory: ArchiveDirectory, name: str, owner: str) -> Pinned:
    """Have an archive kept for an owner; there may be several.

    Args:
        directory: Where the archive lies.
        name: The archive.
        owner: Who wants it kept: any printable words.

    Returns:
        Who wants it kept now. A marker that a person made is left as it is; it keeps the archive,
        and `recorded` is false.

    Raises:
        PinError: There is no such archive, it is no regular file, its name leaves no room for the
            marker's, the owner cannot be written, or the system refuses it.
        DirectoryError: The directory is no more what it was, or somebody has its lock.
    """
    _check_owner(name, owner, "pin")
    return _change(directory, name, owner, "pin", force=False)


def unpin(directory: ArchiveDirectory, name: str, owner: str, *, force: bool = False) -> Pinned:
    """Let an owner's wish to keep an archive go; with the last one its marker goes.

    Of the operator's markers, one goes only if nobody stands in it any more, as it would itself
    have it.

    Args:
        directory: Where the archive lies; it may be gone itself.
        name: The archive.
        owner: Whose wish.
        force: Delete the marker whoever made it, and whoever else stands in it.

    Returns:
        Who wants it kept now; `changed` is false if the owner did not stand there.

    Raises:
        PinError: A person made the marker, and it is only deleted by `force`; or the system
            refuses it.
        DirectoryError: The directory is no more what it was, or somebody has its lock.
    """
    _check_owner(name, owner, "unpin")
    return _change(directory, name, owner, "unpin", force=force)


@frozen
class _Marker:
    """What a marker says.

    Attributes:
        fields: All of it, if it is a program's; None if it is a person's.
        entries: Its owners, as they stand there.
        identity: The device and inode of its file.
    """

    fields: Mapping[str, Any] | None
    entries: tuple[str, ...]
    identity: tuple[int, int]

    @property
    def by_operator(self) -> bool:
        return self.fields is not None and self.fields["managedBy"] == _OPERATORS

    @property
    def shown(self) -> tuple[str, ...]:
        owners = {each.removeprefix(_PREFIX) for each in self.entries}
        return tuple(sorted(owners)) or (SOMEBODY,)

    def entry(self, owner: str) -> str:
        """Return how an owner of ours is written here."""
        return f"{_PREFIX}{owner}" if self.by_operator else owner

    def data(self, entries: tuple[str, ...]) -> bytes:
        """Return the marker with other owners; all else stays as it is."""
        fields = dict(self.fields or {"managedBy": _OURS})
        fields[_FIELDS[fields["managedBy"]]] = sorted(entries)
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


_NEW: Final = _Marker({"managedBy": _OURS}, (), (0, 0))


def _change(
    directory: ArchiveDirectory, name: str, owner: str, operation: str, *, force: bool
) -> Pinned:
    if "/" in name or "\0" in name or name in {"", ".", ".."}:
        raise PinError(name, operation, "it is no name of a file in the directory")
    directory.check()
    try:
        with directory.locked(operation):
            if operation == "pin":
                return _pin(directory, name, owner)
            return _unpin(directory, name, owner, force=force)
    except OSError as error:
        reason = words_of(error)
        if error.errno == errno.ENAMETOOLONG:
            reason = (
                f"its name leaves no room for {MARKER_SUFFIX}; rename it, or let a policy keep it"
            )
        raise PinError(name, operation, reason) from error


def _pin(directory: ArchiveDirectory, name: str, owner: str) -> Pinned:
    _check_there(directory, name)
    marker = _find(name, directory) or _NEW
    if marker.fields is None:
        return Pinned(marker.shown, changed=False, recorded=False)
    entry = marker.entry(owner)
    if entry in marker.entries:
        directory.system.fsync(directory.fd)  # whoever wrote it may have been killed before that
        return Pinned(marker.shown, changed=False, recorded=True)
    data = marker.data((*marker.entries, entry))
    if len(data) > MARKER_LIMIT:
        raise PinError(name, "pin", "its marker has too many owners; unpin some of them")
    _write(directory, name, data, marker)
    return Pinned(read_pins(name, directory), changed=True, recorded=True)


def _unpin(directory: ArchiveDirectory, name: str, owner: str, *, force: bool) -> Pinned:
    marker = _find(name, directory)
    if marker is None:
        return Pinned((), changed=False, recorded=False)
    if not force:
        if marker.fields is None:
            reason = f"{name}{MARKER_SUFFIX} is nothing that this program made; delete it by force"
            raise PinError(name, "unpin", reason)
        entry = marker.entry(owner)
        if entry not in marker.entries:
            return Pinned(marker.shown, changed=False, recorded=False)
        if left := tuple(each for each in marker.entries if each != entry):
            _write(directory, name, marker.data(left), marker)
            return Pinned(read_pins(name, directory), changed=True, recorded=False)
    _delete(directory, name)
    return Pinned((), changed=True, recorded=False)


def _find(name: str, directory: ArchiveDirectory) -> _Marker | None:
    """Read a marker; None where there is none, and a person's if it cannot be read."""
    try:
        return _read(name, directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        return None if error.errno == errno.ENAMETOOLONG else _Marker(None, (), (0, 0))


def _read(name: str, directory: ArchiveDirectory) -> _Marker:
    """Read a marker; what is no file, too large, or no program's is a person's."""
    system = directory.system
    fd = system.open(name + MARKER_SUFFIX, OPEN_TO_READ, dir_fd=directory.fd)
    try:
        status = system.fstat(fd)
        data = b""
        if stat.S_ISREG(status.st_mode) and status.st_size <= MARKER_LIMIT:
            data = system.read(fd, MARKER_LIMIT)
    finally:
        system.close(fd)
    identity = (status.st_dev, status.st_ino)
    fields = _parse(data)
    if fields is None:
        return _Marker(None, (), identity)
    return _Marker(fields, tuple(fields.get(_FIELDS[fields["managedBy"]]) or ()), identity)


def _parse(data: bytes) -> Mapping[str, Any] | None:
    """Return what a program wrote; None for anything else."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    manager = document.get("managedBy")
    if not isinstance(manager, str) or manager not in _FIELDS:
        return None
    entries = document.get(_FIELDS[manager])
    if entries is not None and not _are_owners(entries):
        return None
    return document


def _are_owners(entries: Any) -> bool:
    return isinstance(entries, list) and all(
        isinstance(each, str) and each.isprintable() and 0 < len(each) <= OWNER_LIMIT + len(_PREFIX)
        for each in entries
    )


def _write(directory: ArchiveDirectory, name: str, data: bytes, before: _Marker) -> None:
    """Put a marker in place, all of it or nothing, durably."""
    system, fd = directory.system, directory.fd
    marker = name + MARKER_SUFFIX
    _write_temporary(system, fd, data)
    try:
        if before is _NEW:
            # Not over one that the operator, or a person, has made meanwhile.
            system.link(TEMPORARY, marker, src_dir_fd=fd, dst_dir_fd=fd)
        else:
            now = system.stat(marker, dir_fd=fd, follow_symlinks=False)
            if (now.st_dev, now.st_ino) != before.identity:
                reason = "somebody else has changed its marker meanwhile; try again"
                raise PinError(name, "change the marker of", reason)
            system.rename(TEMPORARY, marker, src_dir_fd=fd, dst_dir_fd=fd)
    except FileExistsError as error:
        reason = "somebody else has pinned it meanwhile; try again"
        raise PinError(name, "change the marker of", reason) from error
    finally:
        with suppress(OSError):  # after a rename there is none; the next pin deletes what is left
            system.unlink(TEMPORARY, dir_fd=fd)
    system.fsync(fd)


def _write_temporary(system: ArchiveCalls, directory: int, data: bytes) -> None:
    with suppress(FileNotFoundError):  # of a process that was killed
        system.unlink(TEMPORARY, dir_fd=directory)
    fd = system.open(TEMPORARY, OPEN_NEW, _MODE, dir_fd=directory)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[system.write(fd, view) :]
            system.fsync(fd)
        finally:
            system.close(fd)
    except BaseException:
        with suppress(OSError):  # the error that is on its way says more
            system.unlink(TEMPORARY, dir_fd=directory)
        raise


def _delete(directory: ArchiveDirectory, name: str) -> None:
    system, marker = directory.system, name + MARKER_SUFFIX
    with suppress(FileNotFoundError):  # somebody else was quicker
        status = system.stat(marker, dir_fd=directory.fd, follow_symlinks=False)
        remove = system.rmdir if stat.S_ISDIR(status.st_mode) else system.unlink
        remove(marker, dir_fd=directory.fd)
    system.fsync(directory.fd)


def _check_there(directory: ArchiveDirectory, name: str) -> None:
    try:
        status = directory.system.stat(name, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError as error:
        raise PinError(name, "pin", "there is no such archive") from error
    if not stat.S_ISREG(status.st_mode):
        raise PinError(name, "pin", "it is no file, and nobody would delete it; name an archive")


def _check_owner(name: str, owner: str, operation: str) -> None:
    if not owner or len(owner) > OWNER_LIMIT or not owner.isprintable():
        reason = f"an owner is 1 to {OWNER_LIMIT} printable characters"
        raise PinError(name, operation, reason)
