"""The static manifests of checkpoints: the inactive ones, and those that the kubelet runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from checkpointkit.pods.files.directory import FileCalls
from checkpointkit.pods.files.manifestdir import ManifestDirectory
from checkpointkit.pods.files.reading import ManifestFile
from checkpointkit.pods.model import manifest_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.model import PodName

__all__ = ["Found", "ManifestFile", "Manifests", "PodFiles"]


@frozen
class PodFiles:
    """The manifests of one pod; the last written first.

    There are two of a kind where a process was killed, or an original's file lies beside ours.

    Attributes:
        inactive: Those that are kept.
        active: Those that the kubelet runs.
    """

    inactive: tuple[ManifestFile, ...] = ()
    active: tuple[ManifestFile, ...] = ()


@frozen
class Found:
    """What manifests there are.

    Attributes:
        pods: By pod.
        problems: What could not be read, a line each.
        is_complete: No other pod can have a manifest: what none of these needs may be collected.
    """

    pods: Mapping[PodName, PodFiles]
    problems: tuple[str, ...] = ()
    is_complete: bool = True


class Manifests:
    """The two directories of manifests. One process at a time may write.

    What is no checkpoint, by its annotation, is never touched.

    Args:
        inactive: Where the copies are kept.
        active: The kubelet's directory for static pods.
        system: The system calls.
        durable: Whether what is written is synced; without it, a power cut may lose it.
    """

    def __init__(
        self,
        inactive: str = "/etc/kubernetes/inactive-manifests",
        active: str = "/etc/kubernetes/manifests",
        *,
        system: FileCalls | None = None,
        durable: bool = True,
    ) -> None:
        calls = FileCalls() if system is None else system
        self._inactive = ManifestDirectory(inactive, calls, durable=durable, is_ours=True)
        self._active = ManifestDirectory(active, calls, durable=durable, is_ours=False)

    def tidy(self) -> None:
        """Finish what a process before this one was killed in.

        Its temporary files go, and what it has put in place becomes durable. Call it ahead of
        each scan that something is decided by, while no other process may write; it costs nothing
        but the first time, and after an error.

        Raises:
            StoreError: The disk does not do it.
        """
        self._inactive.tidy()
        self._active.tidy()

    def scan(self) -> Found:
        """Tell what manifests there are; reads what has changed since the last time."""
        inactive, active = self._inactive.look(), self._active.look()
        found: dict[PodName, tuple[list[ManifestFile], list[ManifestFile]]] = {}
        for number, files in enumerate((inactive.files, active.files)):
            for file in files:
                found.setdefault(file.name, ([], []))[number].append(file)
        pods = {name: PodFiles(tuple(kept), tuple(run)) for name, (kept, run) in found.items()}
        problems = inactive.problems + active.problems
        return Found(pods, problems, inactive.is_complete and active.is_complete)

    def write_inactive(self, name: PodName, data: bytes) -> None:
        """Keep a manifest; other kept ones of the pod are removed afterwards.

        Raises:
            ValueError: It is no manifest of that pod.
            OutcomeUnknownError: It is in place, but perhaps not durably, or not alone.
            StoreError: It cannot be written, or something else has its name; nothing changed.
        """
        self._inactive.put(name, manifest_file(name), data)

    def write_active(self, name: PodName, data: bytes, file: str) -> None:
        """Let the kubelet run a manifest; other active ones of the pod are removed afterwards.

        Args:
            name: The parent.
            data: The manifest.
            file: The name of its file. It is part of the static pod's UID: another name is
                another pod to the kubelet.

        Raises:
            ValueError: It is no manifest of that pod, or no name of a file.
            OutcomeUnknownError: It is in place, but perhaps not durably, or not alone.
            StoreError: It cannot be written, or something else has its name; nothing changed.
        """
        self._active.put(name, file, data)

    def remove_active(self, name: PodName) -> bool:
        """Take away all active manifests of a pod, durably; tell whether there were any.

        Raises:
            StoreError: The disk does not do it.
        """
        return self._active.remove(name)

    def remove_inactive(self, name: PodName) -> bool:
        """Take away all kept manifests of a pod, durably; tell whether there were any.

        Raises:
            StoreError: The disk does not do it.
        """
        return self._inactive.remove(name)
