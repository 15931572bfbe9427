"""What the tests of the files on the node share: manifests, sets, and calls that fail or kill."""

from __future__ import annotations

import errno
import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.pods.assets import AssetFile, AssetSet, Roots, digest_of
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.directory import FileCalls
from checkpointkit.pods.files.manifests import Manifests
from checkpointkit.pods.model import CHECKPOINT_OF, PodName
from checkpointkit.testing.calls import FailingCalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WEB: Final = PodName("kube-system", "web")
GID: Final = os.getegid()


def manifest(name: PodName, note: str = "") -> bytes:
    """Return the manifest of a checkpoint."""
    metadata = {
        "name": name.name,
        "namespace": name.namespace,
        "annotations": {CHECKPOINT_OF: name.name},
    }
    return json.dumps({"metadata": metadata, "note": note}).encode()


def manifests(directory: Path, system: FileCalls | None = None) -> Manifests:
    """Return the two directories of manifests, below one."""
    return Manifests(str(directory / "inactive"), str(directory / "active"), system=system)


def asset_set(
    files: dict[str, bytes],
    *,
    path: str = "kube-system/web/tls",
    modes: dict[str, int] | None = None,
    mode: int = 0o755,
    gid: int = 0,
) -> AssetSet:
    """Return a set of secrets; the modes are 0600 unless said otherwise."""
    modes = modes or {}
    made = tuple(AssetFile(each, files[each], modes.get(each, 0o600)) for each in sorted(files))
    return AssetSet("secrets", path, made, mode, gid)


PLACE: Final = "secrets/kube-system/web/tls"


def holds(directory: Path, files: AssetFiles, wanted: AssetSet) -> bool:
    """Tell whether a whole set can be seen, and it is this one: its directory bears its digest."""
    link = directory / PLACE / "..data"
    if files.problem(PLACE) or not link.is_symlink():
        return False
    return os.readlink(link)[2:34] == digest_of(wanted).removeprefix("sha256:")[:32]


def seen_of(directory: Path, sets: Mapping[str, AssetSet]) -> str:
    """Return which set can be seen, by its digest; that of each key has to agree."""
    files = asset_files(directory)
    for name, wanted in sets.items():
        if holds(directory, files, wanted):
            for file in wanted.files:
                assert (directory / PLACE / file.path).read_bytes() == file.data
            return name
    return "none"


def place(files: AssetSet) -> str:
    """Return where a set is."""
    return f"{files.root}/{files.path}"


def roots(directory: Path) -> Roots:
    """Return two roots below a directory."""
    return Roots(str(directory / "secrets"), str(directory / "configmaps"))


def asset_files(directory: Path, system: FileCalls | None = None) -> AssetFiles:
    """Return the sets below a directory."""
    return AssetFiles(roots(directory), system=system)


def tree(directory: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return all that is below a directory: modes, and bytes or what a link says."""
    return dict(_tree(str(directory), ""))


def _tree(directory: str, above: str) -> Iterator[tuple[str, tuple[int, bytes | str]]]:
    for entry in sorted(os.scandir(directory), key=lambda each: each.name):
        path, mode = above + entry.name, entry.stat(follow_symlinks=False).st_mode
        if entry.is_symlink():
            yield path, (mode, os.readlink(entry.path))
        elif entry.is_dir():
            yield path, (mode, "")
            yield from _tree(entry.path, f"{path}/")
        elif entry.is_file():
            with open(entry.path, "rb") as file:
                yield path, (mode, file.read())
        else:
            yield path, (mode, "special")


class KilledError(BaseException):
    """What a killed process sees: nothing that an `except Exception` could catch."""


class Calls(FailingCalls, FileCalls):
    """Real system calls, some of which fail; or the process dies ahead of one.

    Attributes:
        left: How many calls pass until the process dies; None for all of them.
        breaking: The description of a call, and how many such pass until one fails, with EIO.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self.left: int | None = None
        self.breaking: tuple[str, int] | None = None
        for name in ("fchown", "readlink", "symlink"):
            setattr(self, name, partial(self._call, name, getattr(FileCalls, name)))
        setattr(self, "listdir", self._listdir)  # noqa: B010 - a static method

    def _listdir(self, directory: int) -> list[str]:
        """Return the names in an order that a file system may have, the worst for a set."""
        names = self._call("listdir", FileCalls.listdir, directory)
        return sorted(names, key=lambda name: (name == "..data", name))

    def before(self, name: str, event: str) -> None:
        """Die, or fail, if it is time to."""
        if self.left is not None:
            if self.left <= 0:
                raise KilledError  # and so does each later call: the dead clean nothing up
            self.left -= 1
        if self.breaking is not None and self.breaking[0] == event:
            event, left = self.breaking
            self.breaking = (event, left - 1) if left else None
            if not left:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().before(name, event)

    def _describe(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
        if name == "symlink":
            return f"symlink {self._path(arguments[1], options['dir_fd'])}"
        return super()._describe(name, arguments, options)
