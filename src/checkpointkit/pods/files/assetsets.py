"""The sets of files that copies of pods mount in place of secrets and config maps."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from checkpointkit.kubernetes.grammar import is_label, is_subdomain
from checkpointkit.pods.assets import MAX_DEPTH, AssetSet, Roots
from checkpointkit.pods.files.directory import (
    PRIVATE,
    Attempt,
    Directory,
    FileCalls,
    attempt,
    shown,
)
from checkpointkit.pods.files.oneset import (
    DATA,
    UnlikeError,
    is_plain,
    read_set,
    remove_set,
    write_set,
)
from checkpointkit.pods.model import PodName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["AssetFiles"]

_KINDS: Final = ("configmaps", "secrets")
_PARTS: Final = 4
_log: Final = logging.getLogger("checkpointkit")


class AssetFiles:
    """The sets of all pods, below their two roots. One process at a time may write.

    The roots are for root alone, so that nobody else reaches by path what is below them, whatever
    its mode; containers reach it by their mounts.

    A *place* names a set: its root and its path, `secrets/kube-system/web/tls`.

    Args:
        roots: The two directories.
        system: The system calls.
        durable: Whether what is written is synced; without it, a power cut may lose it.
    """

    def __init__(
        self, roots: Roots, *, system: FileCalls | None = None, durable: bool = True
    ) -> None:
        self._paths: dict[str, str] = {
            "configmaps": os.path.abspath(roots.configmaps),
            "secrets": os.path.abspath(roots.secrets),
        }
        self._system = FileCalls() if system is None else system
        self._durable = durable
        self._certain: set[str] = set()
        """Places, and roots, whose names this process has synced."""
        self._doubtful: set[str] = set()
        """Places where something has failed after it could be seen."""
        self._logged: set[str] = set()

    def write(self, files: AssetSet) -> bool:
        """Write a set, in place of what is there; durable when it returns.

        All of it changes at once. Other things in its directory are removed.

        Returns:
            Whether anything was changed.

        Raises:
            ValueError: A path would not be a file below the root.
            OutcomeUnknownError: The new set is in place, but perhaps not durably.
            StoreError: It cannot be written; the old set is as it was.
        """
        _check(files)
        place = f"{files.root}/{files.path}"
        with attempt(f"write {place}") as tried, ExitStack() as stack:
            chain = [stack.enter_context(self._make_root(files.root))]
            for name in files.path.split("/"):
                chain.append(stack.enter_context(chain[-1].made(name)))
            certain = place in self._certain and not any(each.is_new for each in chain)
            self._certain.discard(place)
            try:
                changed = write_set(chain[-1], files, tried, anew=place in self._doubtful)
                if not certain:  # a process before this one may have been killed ahead of its syncs
                    for directory in reversed(chain):
                        directory.sync()
                    chain[0].sync_above()
            except BaseException:
                self._doubtful.add(place)
                raise
            self._certain.add(place)
            self._doubtful.discard(place)
            return changed

    def _make_root(self, kind: str) -> Directory:
        root = Directory.make(self._system, self._paths[kind], durable=self._durable)
        return self._closed_to_others(root)

    @contextmanager
    def _roots(self) -> Iterator[list[tuple[str, Directory]]]:
        """Open the roots that there are."""
        with ExitStack() as stack:
            roots = []
            for kind, path in self._paths.items():
                with suppress(FileNotFoundError):
                    root = Directory.find(self._system, path, durable=self._durable)
                    roots.append((kind, stack.enter_context(self._closed_to_others(root))))
            yield roots

    def _closed_to_others(self, root: Directory) -> Directory:
        """Take a root for root alone, whoever has made it."""
        try:
            status = root.own_status()
            mode, uid = stat.S_IMODE(status.st_mode), status.st_uid
            if (mode, uid) != (PRIVATE, self._system.geteuid()):
                root.own(PRIVATE, status.st_gid)
        except BaseException:
            root.close()
            raise
        return root

    def problem(self, place: str) -> str:
        """Tell why a set is not as it was written; all of it is read.

        Files that bootkube's checkpointer has written are taken as they are.

        Args:
            place: Which.

        Returns:
            The reason, in words; empty if nothing is wrong. What lies beside the files is not.
        """
        parts = _split(place)
        if parts is None:
            return f"{place}: is no place of a set"
        try:
            with ExitStack() as stack:
                path = self._paths[parts[0]]
                found = stack.enter_context(Directory.find(self._system, path))
                for name in parts[1:]:
                    found = stack.enter_context(found.below(name))
                if not is_plain(found):
                    read_set(found)
        except FileNotFoundError:
            return f"{place}: is missing"
        except OSError as error:
            return f"{place}: cannot be read: {error.strerror}"
        except UnlikeError as error:
            return f"{place}: {error}"
        return ""

    def is_present(self, place: str) -> bool:
        """Tell whether there is a set, whatever is in it; costs one system call if there is."""
        root, _, path = place.partition("/")
        try:
            status = self._system.stat(f"{self._paths[root]}/{path}/{DATA}")
        except FileNotFoundError:
            return not self.problem(place)  # the files of bootkube's checkpointer have no such link
        except (KeyError, OSError, ValueError):
            return False
        return stat.S_ISDIR(status.st_mode)

    def remove(self, name: PodName) -> None:
        """Remove all sets of a pod, durably.

        Raises:
            StoreError: The disk does not do it.
        """
        with attempt(f"remove the files of {name}") as tried, self._roots() as roots:
            for kind, root in roots:
                if not root.has_directory(name.namespace):
                    continue
                with root.below(name.namespace) as namespace:
                    if name.name in namespace.names():
                        self._remove(kind, namespace, name, tried)
                        namespace.sync()
                if root.rmdir(name.namespace):
                    root.sync()

    def _remove(self, kind: str, namespace: Directory, name: PodName, tried: Attempt) -> None:
        """Remove the directory of a pod."""
        self._forget(f"{kind}/{name}/")
        tried.published = True
        if namespace.has_directory(name.name):
            with namespace.below(name.name) as pod:
                for each in pod.names():
                    remove_set(pod, each)
        namespace.discard(name.name)

    def _forget(self, prefix: str) -> None:
        for places in (self._certain, self._doubtful):
            places.difference_update([each for each in places if each.startswith(prefix)])

    def collect(
        self, keep: Collection[PodName], namespaces: Collection[str] | None = None
    ) -> tuple[str, ...]:
        """Remove the sets of all pods but some, durably.

        What is no directory of a pod, by its name, is left; it is logged once.

        Args:
            keep: The pods whose sets stay.
            namespaces: Only in these anything is removed; None for all of them.

        Returns:
            The sets that were removed, each as root and pod.

        Raises:
            StoreError: The disk does not do it, of one at least; the others are removed.
        """
        removed: list[str] = []
        failed: list[OSError] = []
        with attempt("remove the files of pods that are gone") as tried, self._roots() as roots:
            for kind, root in roots:
                for name in root.names():
                    if namespaces is not None and name not in namespaces:
                        continue
                    if not is_label(name) or not root.has_directory(name):
                        self._leave(f"{kind}/{name}")
                        continue
                    with root.below(name) as namespace:
                        for pod in self._pods(kind, name, namespace):
                            if pod not in keep:
                                try:
                                    self._remove(kind, namespace, pod, tried)
                                    namespace.sync()
                                    removed.append(f"{kind}/{pod}")
                                except OSError as error:
                                    failed.append(error)
                        is_empty = not namespace.names()
                    if is_empty and root.rmdir(name):
                        root.sync()
            if failed:
                raise failed[0]
        return tuple(removed)

    def _pods(self, kind: str, name: str, namespace: Directory) -> list[PodName]:
        """Return whose directories are in that of a namespace."""
        pods = []
        for each in namespace.names():
            if is_subdomain(each) and namespace.has_directory(each):
                pods.append(PodName(name, each))
            else:
                self._leave(f"{kind}/{name}/{each}")
        return pods

    def _leave(self, entry: str) -> None:
        if entry not in self._logged:
            self._logged.add(entry)
            _log.warning("%s is left where it is: it is no directory of a pod", shown(entry))

    def discard_others(self, name: PodName, places: Collection[str]) -> bool:
        """Remove the sets of a pod, but those at some places, durably; tell if there were any.

        Raises:
            StoreError: The disk does not do it.
        """
        found = False
        with attempt(f"remove old files of {name}") as tried, self._roots() as roots:
            for kind, root in roots:
                if not root.has_directory(name.namespace):
                    continue
                with root.below(name.namespace) as namespace:
                    if not namespace.has_directory(name.name):
                        continue
                    with namespace.below(name.name) as pod:
                        prefix = f"{kind}/{name}/"
                        found = self._discard_others(prefix, pod, places, tried) or found
        return found

    def _discard_others(
        self, prefix: str, pod: Directory, places: Collection[str], tried: Attempt
    ) -> bool:
        others = [name for name in pod.names() if prefix + name not in places]
        for name in others:
            tried.published = True
            self._forget(prefix + name)
            remove_set(pod, name)
        if others:
            pod.sync()
        return bool(others)


def _split(place: str) -> list[str] | None:
    """Return the parts of a place; None if it is none."""
    parts = place.split("/")
    if parts[0] not in _KINDS or len(parts) != _PARTS or not all(map(_is_plain, parts)):
        return None
    return parts


def _is_plain(name: str) -> bool:
    return bool(name) and not name.startswith(".") and "\0" not in name


def _check(files: AssetSet) -> None:
    if _split(f"{files.root}/{files.path}") is None:
        raise ValueError("the path of a set is <namespace>/<pod>/<object>")
    for file in files.files:
        parts = file.path.split("/")
        good = not file.path.startswith("..") and not {"", ".", ".."}.intersection(parts)
        if not good or "\0" in file.path or not _is_encodable(file.path):
            raise ValueError("the path of a file in a set leaves it, or names no file")
        if len(parts) > MAX_DEPTH:
            raise ValueError(f"the path of a file in a set has more than {MAX_DEPTH} names")


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True
