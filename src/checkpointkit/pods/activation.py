"""Active manifests: put in place, kept as the saved ones are, taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from checkpointkit.pods.answers import PodList
from checkpointkit.pods.model import manifest_file

if TYPE_CHECKING:
    from checkpointkit.kubernetes.failed import Failed
    from checkpointkit.pods.files.manifests import ManifestFile, Manifests, PodFiles
    from checkpointkit.pods.model import PodName

__all__ = ["Activation", "rejected"]

_FIRST_WAIT: Final = 10.0
_LONGEST_WAIT: Final = 300.0


@define
class _Retries:
    """How often the kubelet has rejected a copy for good, and when to try again."""

    uid: str
    count: int
    again_at: float


class Activation:
    """Starts and stops copies: a copy runs while its active manifest is in place.

    Args:
        manifests: The manifests.
    """

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests
        self._retries: dict[PodName, _Retries] = {}

    def start(self, name: PodName, files: PodFiles, saved: ManifestFile) -> bool:
        """Put the saved manifest in place, under the name that its file has already.

        Args:
            name: The parent.
            files: Its manifests.
            saved: The one to start.

        Returns:
            Whether anything was written.

        Raises:
            StoreError: It could not be written.
        """
        if [each.digest for each in files.active] == [saved.digest]:
            return False
        # a file's name is part of the pod's UID: another one would be another pod
        file = next((each.file for each in files.active), manifest_file(name))
        self._manifests.write_active(name, saved.data, file)
        return True

    def retry(self, name: PodName, files: PodFiles, uid: str, now: float) -> bool:
        """Put the manifest of a copy that the kubelet has rejected under another name.

        A static pod that was rejected once, for a port that was taken, stays so for good; under
        another name it is another pod. That is done less and less often.

        Args:
            name: The parent.
            files: Its manifests.
            uid: The UID of the copy that was rejected.
            now: The time, in seconds since 1970.

        Returns:
            Whether anything was written.

        Raises:
            StoreError: It could not be written.
        """
        if len(files.active) != 1:
            return False
        tried = self._retries.get(name)
        if tried is not None and (
            tried.uid == uid or tried.again_at - _LONGEST_WAIT <= now < tried.again_at
        ):
            return False
        active = files.active[0]
        self._manifests.write_active(name, active.data, manifest_file(name, active.retry + 1))
        count = tried.count + 1 if tried else 1
        wait = min(_FIRST_WAIT * 2.0 ** min(count - 1, 16), _LONGEST_WAIT)
        self._retries[name] = _Retries(uid, count, now + wait)
        return True

    def stop(self, name: PodName, files: PodFiles, *, is_certain: bool = True) -> bool:
        """Take the active manifests of a pod away.

        Args:
            name: The parent.
            files: Its manifests.
            is_certain: There can be no others; else there may be one that is damaged, which the
                kubelet may have read when it was whole.

        Returns:
            Whether there was one.

        Raises:
            StoreError: One could not be taken away.
        """
        self._retries.pop(name, None)
        is_there = bool(files.active) or not is_certain
        return is_there and self._manifests.remove_active(name)


def rejected(kubelet: PodList | Failed) -> dict[PodName, str]:
    """Return the parents whose copies the kubelet has rejected for good, with the copies' UIDs.

    Example:
        >>> from checkpointkit.pods.model import Pod, PodName
        >>> copy = Pod(PodName("prod", "web-node1"), "0f3e", phase="Failed", static=True,
        ...            checkpoint_of="web")
        >>> rejected(PodList((copy,)))
        {PodName(namespace='prod', name='web'): '0f3e'}
    """
    if not isinstance(kubelet, PodList):
        return {}
    return {
        pod.parent: pod.uid
        for pod in kubelet.pods
        if pod.static and pod.phase == "Failed" and pod.parent is not None
    }
