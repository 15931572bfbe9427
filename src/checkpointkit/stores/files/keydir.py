"""One key's directory: which generations it holds, and which of them is the newest."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from checkpointkit.envelope import HEADER_LIMIT, Header, open_header
from checkpointkit.errors import CorruptCheckpointError, EnvelopeVersionError
from checkpointkit.stores.base import Damaged, Entry
from checkpointkit.stores.files.layout import CURRENT, generation_of, pinned_by
from checkpointkit.stores.files.system import OPEN_DIRECTORY

if TYPE_CHECKING:
    import os

    from checkpointkit.stores.files.disk import Disk

MISSING: Final = Damaged("'current' is missing")


class KeyState(NamedTuple):
    """What stands in a key's directory.

    Attributes:
        newest: The newest generation. Where the damage hides it, the lowest that it can be.
        named: The generations that have a numbered file, ascending, without those of
            `unacknowledged`.
        unacknowledged: Numbers above the newest: a save that was cut off before it replaced
            `current`. Nobody was told of them.
        current: The bytes of `current`; empty if they were not asked for.
        status: The status of the file that they come from; None where there is none.
        linked: Whether `current` and the file numbered `newest` are one, as a save leaves them.
        known: Whether `newest` is certain: `linked`, or a header that verifies says so.
        perhaps_first: Whether `newest` may be the key's first generation.
        pinned: The generations that have a pin; it may be all that is left of them.
    """

    newest: int
    named: tuple[int, ...]
    unacknowledged: tuple[int, ...]
    current: bytes | Damaged
    status: os.stat_result | None
    linked: bool = False
    known: bool = False
    perhaps_first: bool = False
    pinned: frozenset[int] = frozenset()

    def highest(self) -> int:
        """Return the highest number that stands in the directory."""
        return max((self.newest, *self.named, *self.unacknowledged))

    def inode(self) -> int:
        """Return the inode of `current`; 0 where there is none."""
        return 0 if self.status is None else self.status.st_ino

    def entry(self) -> Entry:
        """Return the entry of the newest generation."""
        if self.status is None:
            reason = self.current.reason if isinstance(self.current, Damaged) else ""
            return Entry(self.newest, reason, 0)
        return self.entry_of(self.status, self.newest)

    def entry_of(self, status: os.stat_result, generation: int) -> Entry:
        """Return the entry of one of its files."""
        return entry_of(status, generation)._replace(pinned=generation in self.pinned)


def survey(disk: Disk, directory: int, key: str, *, whole: bool) -> KeyState:
    """Read what stands in a key's directory.

    Mostly `current` is one file with the highest number, and then that is the newest generation.
    A save that was cut off leaves it otherwise, and so does a copy that knew no hard links; then
    the header says which generation it is. It is needed, too, where there is one number only, to
    tell a first generation from one that stands alone because no history is kept.

    Args:
        disk: The store.
        directory: Descriptor of the key's directory.
        key: The key.
        whole: Read `current` whole. Otherwise its bytes are left out, no more than its header is
            looked at, and it is no error if that cannot be read.

    Raises:
        CheckpointTooLargeError: `current` is larger than the store reads.
        OSError: A system call failed.
    """
    try:
        opened = disk.open(directory, CURRENT)
    except FileNotFoundError:
        opened = MISSING
    if isinstance(opened, Damaged):
        numbers, pinned = _numbers(disk, directory)
        newest = numbers[-1] + 1 if numbers else 1
        return KeyState(newest, tuple(numbers), (), opened, None, pinned=pinned)
    fd, status = opened
    try:
        numbers, pinned = _numbers(disk, directory)
        current = disk.read(fd, status, key, None if whole else 0)
        if (
            len(numbers) > 1
            and status.st_nlink > 1
            and _inode(disk, directory, numbers[-1]) == status.st_ino
            and (not whole or _holds(current, numbers[-1]))
        ):
            newest = numbers[-1]
            return KeyState(
                newest,
                tuple(numbers),
                (),
                current,
                status,
                linked=True,
                known=True,
                pinned=pinned,
            )
        start = current if whole else _start(disk, fd, directory, status, numbers)
    finally:
        disk.system.close(fd)
    listed = _Listed(numbers, pinned, current, status, _header(key, start))
    found = _unusual(disk, directory, key, listed, whole=whole)
    return found._replace(pinned=pinned)


class _Listed(NamedTuple):
    """What was read of a key's directory; for the fields see `KeyState`."""

    numbers: list[int]
    pinned: frozenset[int]
    current: bytes
    status: os.stat_result
    header: tuple[Header, str] | None


def _numbers(disk: Disk, directory: int) -> tuple[list[int], frozenset[int]]:
    """Return the numbers in a key's directory, ascending, and those that have a pin."""
    names = disk.system.listdir(directory)
    numbers = sorted(filter(None, map(generation_of, names)))
    if len(names) == len(numbers) + 1 and CURRENT in names:  # mostly so
        return numbers, frozenset()
    return numbers, frozenset(filter(None, map(pinned_by, names)))


def _unusual(disk: Disk, directory: int, key: str, listed: _Listed, *, whole: bool) -> KeyState:
    """Say what stands where `current` is not just the highest of several numbers."""
    numbers, current, status = listed.numbers, listed.current, listed.status
    header = None if listed.header is None else listed.header[0]
    own = [number for number in numbers if _inode(disk, directory, number) == status.st_ino]
    if not own and _inode(disk, directory, CURRENT) != status.st_ino:
        return survey(disk, directory, key, whole=whole)  # somebody overtook this reader
    if own:
        newest = own[-1]
    elif header is not None:
        newest = header.generation
    else:
        newest = numbers[-1] + 1 if numbers else 1
        return KeyState(newest, tuple(numbers), (), current, status)
    if own and header is not None and header.generation != newest:
        # Somebody has written another generation's bytes into the file.
        other = Damaged(f"it holds generation {header.generation}")
        return KeyState(newest, tuple(numbers), (), other, None, linked=True)
    named = tuple(number for number in numbers if number <= newest)
    above = tuple(numbers[len(named) :])
    if above and not own:
        # A save that was cut off leaves `current` linked to its own number. Or, if the writer
        # before it was killed ahead of its last sync, with no number of its own.
        try:
            cut_off = newest not in numbers and _was_cut_off(disk, directory, key, listed, named)
        except FileNotFoundError:  # somebody has mended it in the meantime
            return survey(disk, directory, key, whole=whole)
        if not cut_off:
            older = Damaged(f"an older copy stands in place of generation {above[-1]}")
            return KeyState(above[-1] + 1, tuple(numbers), (), older, None)
    return KeyState(
        newest,
        named,
        above,
        current,
        status,
        linked=bool(own),
        known=True,
        perhaps_first=header is None or header.previous is None,
    )


def _was_cut_off(
    disk: Disk, directory: int, key: str, listed: _Listed, older: tuple[int, ...]
) -> bool:
    """Tell whether a save was cut off after another one that was never acknowledged.

    Then the older generations are there that only an acknowledged save would have deleted. Pinned
    ones it would have left: where there are no others, each file has to name the one before it.

    Raises:
        FileNotFoundError: A file is gone by now.
    """
    if any(number not in listed.pinned for number in older):
        return True
    if not older or len(listed.numbers) != len(older) + 1 or listed.header is None:
        return False
    header, digest = listed.header
    before = _header_of(disk, directory, key, older[-1])
    after = _header_of(disk, directory, key, listed.numbers[-1])
    return (
        before is not None
        and after is not None
        and header.previous == before[1]
        and after[0].previous == digest
    )


def _holds(current: bytes, generation: int) -> bool:
    """Tell whether bytes, if they are an envelope, say that they are this generation's.

    Nothing is verified here; it only has to be quick. What does not say so is looked at closely.
    """
    return not current.startswith(b"checkpointkit/") or (
        b'"generation":%d,"key":' % generation in current[:HEADER_LIMIT]
    )


def _start(
    disk: Disk, fd: int, directory: int, status: os.stat_result, numbers: list[int]
) -> bytes:
    try:
        return disk.read_start(fd, min(HEADER_LIMIT, status.st_size))
    except OSError:
        # Its number may stand beside it, and who reads the bytes finds the same, and says so. Else
        # it is in the header alone: a guess would give readers another generation than they asked
        # for, or none, and after a remove it could be used twice.
        if not any(_inode(disk, directory, number) == status.st_ino for number in numbers):
            raise
        return b""


def _header(key: str, start: bytes) -> tuple[Header, str] | None:
    """Return the header and the digest of an envelope; None where they do not verify."""
    try:
        header, digest, _ = open_header(start, key)
    except (CorruptCheckpointError, EnvelopeVersionError):
        return None  # whoever reads the bytes finds the same, and says so
    return header, digest


def _header_of(disk: Disk, directory: int, key: str, generation: int) -> tuple[Header, str] | None:
    start = disk.read_file(directory, str(generation), key, HEADER_LIMIT)
    return None if isinstance(start, Damaged) else _header(key, start)


def _inode(disk: Disk, directory: int, name: object) -> int | None:
    status = _stat(disk, directory, str(name))
    return None if status is None else status.st_ino


def _stat(disk: Disk, directory: int, name: str) -> os.stat_result | None:
    try:
        return disk.system.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def entry_of(status: os.stat_result, generation: int) -> Entry:
    """Return the entry of a file."""
    revision = f"{status.st_ino}.{status.st_mtime_ns}.{status.st_size}.{status.st_mode}"
    return Entry(generation, revision, status.st_size)


def entries(disk: Disk, directory: int, state: KeyState) -> tuple[Entry, ...]:
    """Return the entries of the newest generation, whatever it is, and of the older ones."""
    found = [state.entry()]
    for number in reversed(state.named):
        if number != state.newest:
            status = _stat(disk, directory, str(number))
            if status is not None:  # else pruned a moment ago
                found.append(state.entry_of(status, number))
    return tuple(found)


def link_newest(disk: Disk, directory: int, state: KeyState) -> None:
    """Give `current` its number where it has none, in a directory whose lock is held.

    The link was lost in a power cut, or a copy knew no hard links. The caller syncs the directory.
    """
    disk.discard(str(state.newest), directory)
    disk.system.link(
        CURRENT,
        str(state.newest),
        src_dir_fd=directory,
        dst_dir_fd=directory,
        follow_symlinks=False,
    )


def open_key(disk: Disk, key: str, flags: int = OPEN_DIRECTORY) -> int | None:
    """Open a key's directory; None where the key is absent.

    Raises:
        CorruptCheckpointError: Something else than a directory stands there.
        OSError: A system call failed.
    """
    try:
        return disk.system.open(key, flags, dir_fd=disk.root)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
    raise CorruptCheckpointError(key, None, "something else than its directory stands there")


def is_there(disk: Disk, key: str, directory: int) -> bool:
    """Tell whether the open directory still is the one that the key names.

    A reader can be overtaken by a remove, and must not call the emptied directory damaged.
    """
    status = _stat(disk, disk.root, key)
    return status is not None and status.st_ino == disk.system.fstat(directory).st_ino
