"""One set of files in its directory, as the kubelet lays out a volume.

    ca.crt -> ..data/ca.crt
    ..data -> ..82113d3cc27dd9a9a5d1d7b8f0ec53c1-5b1f0c7e
    ..82113d3cc27dd9a9a5d1d7b8f0ec53c1-5b1f0c7e/ca.crt

A new set is a new directory, and `..data` is renamed over: what reads through it sees the old set
or the new one. (Kubernetes 1.34, pkg/volume/util/atomic_writer.go; other than there, the links of
new keys are made ahead of the swap, where they lead nowhere yet, so that a kill leaves none out;
and the directory bears the digest of what is in it, so that a set tells by itself whether it is
whole: the process may have been killed before it could note the digest elsewhere.)
"""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, Final

from checkpointkit.pods.assets import MAX_DEPTH, AssetFile, AssetSet, digest_of
from checkpointkit.stores.base import Damaged

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator

    from checkpointkit.pods.files.directory import Attempt, Directory

__all__ = ["DATA", "UnlikeError", "is_plain", "read_set", "remove_set", "write_set"]

DATA: Final = "..data"
_NEW: Final = "..new"
_MAX_BYTES: Final = 8 * 1024 * 1024
"""More than an object in an API server can have."""
_REACHABLE: Final = 0o555
_version: Final = re.compile(r"\.\.([0-9a-f]{32})-[0-9a-f]{8}").fullmatch


class UnlikeError(Exception):
    """What lies there is no set, or not as it was written; the text says why."""


def read_set(directory: Directory) -> AssetSet:
    """Return the set that lies in a directory; neither where it is nor what lies beside it counts.

    Raises:
        UnlikeError: Something is missing, or is not what this module has put there.
        OSError: A system call failed.
    """
    version = directory.target(DATA)
    if version is None:
        raise UnlikeError("it has no files")
    named = _version(version)
    if named is None:
        raise UnlikeError(f"its {DATA} leads somewhere else")
    try:
        data = directory.below(version)
    except FileNotFoundError:
        raise UnlikeError("its files are gone") from None
    with data:
        owned = data.own_status()
        files = sorted(_read(data, owned, "", MAX_DEPTH), key=lambda file: file.path)
    mode = stat.S_IMODE(owned.st_mode)
    if mode & _REACHABLE & ~directory.own_status().st_mode:
        raise UnlikeError("its directory is closed")
    for first in _firsts(files):
        if directory.target(first) != f"{DATA}/{first}":
            raise UnlikeError(f"{first!r} is no link to its file")
    found = AssetSet("secrets", "", tuple(files), mode, _group(directory, owned))
    if _short(found) != named[1]:
        raise UnlikeError("its files are not those that were saved")
    return found


def is_plain(directory: Directory) -> bool:
    """Tell whether files lie in a directory as bootkube's checkpointer has left them.

    They are the files themselves, and nothing tells whether all of them are there.
    """
    statuses = [directory.status(name) for name in directory.names()]
    return bool(statuses) and all(each and stat.S_ISREG(each.st_mode) for each in statuses)


def _short(files: AssetSet) -> str:
    """Return as much of a set's digest as its directory bears."""
    return digest_of(files).removeprefix("sha256:")[:32]


def _group(directory: Directory, status: os.stat_result) -> int:
    return 0 if status.st_gid == directory.system.own_group() else status.st_gid


def _firsts(files: Collection[AssetFile]) -> list[str]:
    """Return the names that a volume shows."""
    return sorted({file.path.partition("/")[0] for file in files})


def _read(
    directory: Directory, owned: os.stat_result, above: str, depth: int
) -> Iterator[AssetFile]:
    for name in directory.names():
        path = above + name
        status = directory.status(name)
        if (status.st_uid, status.st_gid) != (directory.system.geteuid(), owned.st_gid):
            raise UnlikeError(f"{path!r} has another owner")
        if stat.S_ISDIR(status.st_mode) and depth:
            if status.st_mode != owned.st_mode:
                raise UnlikeError(f"{path!r} has another mode")
            with directory.below(name) as inner:
                yield from _read(inner, owned, f"{path}/", depth - 1)
            continue
        read = Damaged("") if not stat.S_ISREG(status.st_mode) else directory.read(name, _MAX_BYTES)
        if isinstance(read, Damaged):
            raise UnlikeError(f"{path!r} is no file of a set")
        yield AssetFile(path, read[1], stat.S_IMODE(status.st_mode))


def write_set(directory: Directory, files: AssetSet, tried: Attempt, *, anew: bool) -> bool:
    """Bring a directory to hold a set and nothing else.

    Args:
        directory: The directory of the set.
        files: The set.
        tried: Told when the new set can be seen.
        anew: Write it even if it is there already: it may not be durable.

    Returns:
        Whether anything has changed.
    """
    current = directory.target(DATA)
    firsts = _firsts(files.files)
    if not anew and _holds(directory, files):
        cleaned = _clean(directory, {DATA, current, *firsts}, tried)
        if cleaned:
            directory.sync()
        return cleaned
    version = f"..{_short(files)}-{directory.system.urandom(4).hex()}"
    made = [version]
    try:
        _clean_versions(directory, current)
        with directory.made(version) as data:
            _fill(data, [(file.path, file) for file in files.files], (files.mode, files.gid))
        directory.own(files.mode, files.gid)
        names = set(directory.names())
        for first in firsts:
            if first not in names:
                made.append(first)
                directory.link(f"{DATA}/{first}", first)
        made.append(_NEW)
        directory.link(version, _NEW)
        directory.sync()  # or a power cut might keep the swap and lose what it leads to
        if current is None:
            directory.discard(DATA)
        directory.rename(_NEW, DATA)
    except BaseException:
        for name in reversed(made):
            directory.take_back(name)
        raise
    tried.published = True
    directory.sync()
    shown = _show(directory, firsts)
    cleaned = _clean(directory, {DATA, version, *firsts}, tried)
    if shown or cleaned:
        directory.sync()
    return True


def _holds(directory: Directory, files: AssetSet) -> bool:
    try:
        found = read_set(directory)
    except (UnlikeError, OSError):  # what cannot be read is written anew
        return False
    wanted = tuple(sorted(files.files, key=lambda file: file.path))
    outer = directory.own_status()
    return (found.files, found.mode, found.gid) == (wanted, files.mode, files.gid) and (
        stat.S_IMODE(outer.st_mode),
        _group(directory, outer),
    ) == (files.mode, files.gid)


def _clean_versions(directory: Directory, current: str | None) -> None:
    """Remove what killed processes have left, so that a full disk gets it back."""
    for name in directory.names():
        if name.startswith("..") and name not in {DATA, current}:
            directory.discard(name)


def _fill(directory: Directory, files: list[tuple[str, AssetFile]], owned: tuple[int, int]) -> None:
    """Write files below a new directory, by their paths in it, and sync the innermost first."""
    inner: dict[str, list[tuple[str, AssetFile]]] = {}
    for path, file in files:
        first, slash, rest = path.partition("/")
        if slash:
            inner.setdefault(first, []).append((rest, file))
        else:
            directory.write(first, file.data, (file.mode, owned[1]))
    for name, below in inner.items():
        with directory.made(name) as made:
            _fill(made, below, owned)
    directory.own(*owned)
    directory.sync()


def _show(directory: Directory, firsts: Collection[str]) -> bool:
    """Let each name that the volume shows be a link, whatever is there; tell if any was none."""
    mended = False
    for first in firsts:
        target = f"{DATA}/{first}"
        if directory.target(first) == target:
            continue
        if directory.has_directory(first):  # nothing can be renamed over it
            directory.discard(first)
        directory.link(target, _NEW)
        directory.rename(_NEW, first)
        mended = True
    return mended


def _clean(directory: Directory, keep: Collection[str | None], tried: Attempt) -> bool:
    """Remove what does not belong to the set; tell whether there was anything."""
    others = [name for name in directory.names() if name not in keep]
    for name in others:
        directory.discard(name)
        tried.published = True
    return bool(others)


def remove_set(directory: Directory, name: str) -> None:
    """Remove a set; cut off anywhere, what is left of it is no set any more."""
    if directory.has_directory(name):
        with directory.below(name) as found:
            found.discard(DATA)
    directory.discard(name)
