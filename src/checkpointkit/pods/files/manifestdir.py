"""One directory of static manifests: some of them checkpoints, the others none of our business."""

from __future__ import annotations

import logging
import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.errors import StoreError
from checkpointkit.pods.files.directory import Attempt, Directory, FileCalls, attempt, shown
from checkpointkit.pods.files.reading import (
    MAX_BYTES,
    Alien,
    Broken,
    ManifestFile,
    has_our_form,
    read_manifest,
    retry_of,
)
from checkpointkit.stores.base import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from checkpointkit.pods.model import PodName

    Content = ManifestFile | Broken | Alien

__all__ = ["Looked", "ManifestDirectory"]

_SETTLED: Final = 2.0
"""Seconds after which the time stamps of a file tell each further change of it."""
_MAX_NAME_BYTES: Final = 255
_temporary: Final = re.compile(r"\.checkpointkit-[0-9a-f]{16}").fullmatch
_log: Final = logging.getLogger("checkpointkit")


@frozen
class Looked:
    """What was found in a directory.

    Attributes:
        files: The checkpoints, the last written first.
        problems: What is wrong, a line each.
        is_complete: Nothing else in it can be a checkpoint.
    """

    files: tuple[ManifestFile, ...]
    problems: tuple[str, ...] = ()
    is_complete: bool = True


@frozen
class _Remembered:
    """What a file was when it was last read, and by what one knows that it is the same still."""

    stamp: tuple[int, ...]
    content: Content


class ManifestDirectory:
    """A directory of manifests.

    Args:
        path: Where it is.
        system: The system calls.
        durable: Whether what is written is synced.
        is_ours: Nobody else is to write there, so that each damaged JSON file in it is reported,
            whatever its name.
    """

    def __init__(self, path: str, system: FileCalls, *, durable: bool, is_ours: bool) -> None:
        self._path = os.path.abspath(path)
        self._system = system
        self._durable = durable
        self._is_ours = is_ours
        self._remembered: dict[str, _Remembered] = {}
        self._doubtful = True
        """There may be names that are not durable: a process before this one may have left them."""
        self._failed = False
        """There are such names: the sync has failed."""

    def look(self) -> Looked:
        """Tell what is there; reads what has changed since the last time, and writes nothing."""
        try:
            with self._open() as directory:
                contents = self._contents(directory)
        except FileNotFoundError:
            self._remembered = {}
            return Looked(())
        except OSError as error:
            reason = f"{self._path}: cannot be read: {error.strerror}"
            return Looked((), (reason,), is_complete=False)
        files, problems, is_complete = [], [], True
        for file, content in contents.items():
            if isinstance(content, ManifestFile):
                files.append(content)
            elif problem := self._problem(file, content):
                problems.append(f"{self._path}/{shown(file)}: {problem}")
                is_complete = is_complete and isinstance(content, Alien)
        files.sort(key=lambda each: (-each.modified_at, -each.retry, each.is_original, each.file))
        return Looked(tuple(files), tuple(problems), is_complete)

    def _problem(self, file: str, content: Broken | Alien) -> str:
        """Return what to report of a file; nothing for what is nobody's checkpoint."""
        if isinstance(content, Alien):
            return "has a name of ours, and is no checkpoint: move it away" * has_our_form(file)
        named = has_our_form(file) or (self._is_ours and file.endswith(".json"))
        return content.reason if named or content.is_marked else ""

    def _open(self) -> Directory:
        return Directory.find(self._system, self._path, durable=self._durable)

    def _contents(self, directory: Directory) -> dict[str, Content]:
        """Return what each file is; dotfiles are as nothing to a kubelet, and to us."""
        found = {}
        for file in directory.names():
            if not file.startswith("."):
                with suppress(FileNotFoundError):  # somebody has deleted it meanwhile
                    found[file] = self._known(directory, file)
        self._remembered = found
        return {file: each.content for file, each in found.items()}

    def _known(self, directory: Directory, file: str) -> _Remembered:
        """Return what a file is; it is read if it has changed."""
        status = directory.status(file)
        known = self._remembered.get(file)
        if known is not None and known.stamp == _stamp(status):
            return known
        if not stat.S_ISREG(status.st_mode):  # never opened: there are devices that act on that
            return _Remembered((), Broken("is no regular file"))
        if status.st_size > MAX_BYTES:
            return _Remembered((), Broken("is too large"))
        try:
            opened = directory.read(file, MAX_BYTES)
        except FileNotFoundError:
            raise
        except OSError as error:
            return _Remembered((), Broken(f"cannot be read: {error.strerror}", is_marked=True))
        if isinstance(opened, Damaged):
            return _Remembered((), Broken("was replaced while it was read", is_marked=True))
        status, data = opened
        # Two changes within one tick of the file system's clock leave one time stamp.
        settled = abs(self._system.time() - status.st_ctime) > _SETTLED
        content = read_manifest(file, data, status.st_mtime)
        return _Remembered(_stamp(status) if settled else (), content)

    def put(self, name: PodName, file: str, data: bytes) -> None:
        """Write the manifest of a pod, and then remove its other ones.

        Raises:
            ValueError: It is no manifest of that pod, or no name of a file.
            StoreError: It cannot be written, or something else has that name.
        """
        _check(name, file, data)
        with attempt(f"write {self._path}/{file}") as tried, self._made() as directory:
            self._check_free(directory, name, file)
            self._sweep(directory)
            temporary = self._temporary()
            try:
                directory.write(temporary, data)
                directory.rename(temporary, file)
            except BaseException:
                directory.take_back(temporary)
                raise
            tried.published = self._doubtful = self._failed = True
            directory.sync()
            if self._delete(directory, name, tried, but=file):
                directory.sync()
            self._doubtful = self._failed = False

    @contextmanager
    def _made(self) -> Iterator[Directory]:
        """Open the directory; make it where there is none.

        It is for root alone, the kubelet's own, too: a kubelet runs as root, and kubeadm makes
        it so (Kubernetes 1.34, cmd/kubeadm/app/util/staticpod).
        """
        directory = Directory.make(self._system, self._path, durable=self._durable)
        with directory:
            if self._doubtful:
                directory.sync_above()
            yield directory

    def _check_free(self, directory: Directory, name: PodName, file: str) -> None:
        """Refuse to write over what is not this pod's."""
        content = self._contents(directory).get(file)
        if content is None or _is_of(content, file, name):
            return
        reason = "something else has this name; move it away"
        if isinstance(content, ManifestFile):
            reason = f"this is the checkpoint of {content.name}"
        raise StoreError(None, f"write {self._path}/{file}", reason)

    def _delete(
        self, directory: Directory, name: PodName, tried: Attempt, *, but: str = ""
    ) -> bool:
        """Remove the manifests of a pod, but one; tell whether there were any."""
        files = [
            file
            for file, content in self._contents(directory).items()
            if file != but and _is_of(content, file, name) and not directory.has_directory(file)
        ]
        for file in files:
            directory.unlink(file)
            tried.published = self._doubtful = self._failed = True
        return bool(files)

    def remove(self, name: PodName) -> bool:
        """Remove all manifests of a pod, durably; tell whether there were any."""
        with attempt(f"remove the manifests of {name} from {self._path}") as tried:
            try:
                directory = self._open()
            except FileNotFoundError:
                return False
            with directory:
                before = self._doubtful, self._failed
                found = self._delete(directory, name, tried)
                if found:
                    directory.sync()
                    self._doubtful, self._failed = before
        return found

    def tidy(self) -> None:
        """Sweep what a killed process has left, and make durable what it has not."""
        if not self._doubtful:
            return
        with attempt(f"tidy {self._path}"):
            try:
                directory = self._open()
            except FileNotFoundError:
                return
            with directory:
                self._sweep(directory)
                if self._failed:
                    # A sync that has failed is not to be repeated: the next would succeed, whatever
                    # the disk has. So there is something new to sync.
                    temporary = self._temporary()
                    directory.write(temporary, b"")
                    directory.unlink(temporary)
                directory.sync_above()
                directory.sync()
            self._doubtful = self._failed = False

    def _temporary(self) -> str:
        return f".checkpointkit-{self._system.urandom(8).hex()}"

    def _sweep(self, directory: Directory) -> None:
        """Delete the temporary files of killed processes; there is no other writer."""
        for name in directory.names():
            if _temporary(name) and not directory.has_directory(name):
                directory.unlink(name)
                _log.info("%s: swept the temporary file %s", self._path, name)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _is_of(content: Content, file: str, name: PodName) -> bool:
    """Tell whether a file is a pod's: its annotation says so, or, in the damaged, its name."""
    if isinstance(content, ManifestFile):
        return content.name == name
    return isinstance(content, Broken) and retry_of(file, name) is not None


def _check(name: PodName, file: str, data: bytes) -> None:
    if "/" in file or "\0" in file or file.startswith(".") or not file:
        raise ValueError("this is no name for a manifest's file")
    if len(file.encode("utf-8", "replace")) > _MAX_NAME_BYTES:
        raise ValueError("the name of the file is too long")
    content = read_manifest(file, data, 0.0)
    if not isinstance(content, ManifestFile) or content.name != name or len(data) > MAX_BYTES:
        raise ValueError(f"this is no manifest of a checkpoint of {name}")
