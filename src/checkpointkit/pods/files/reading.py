"""What a file among static manifests is: a checkpoint, damaged, or somebody else's. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from checkpointkit.pods.model import CHECKPOINT_OF, PodName, manifest_file, original_file

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MAX_BYTES",
    "Alien",
    "Broken",
    "ManifestFile",
    "has_our_form",
    "read_manifest",
    "retry_of",
]

MAX_BYTES: Final = 10 * 1024 * 1024
"""A kubelet reads no more of a file (Kubernetes 1.34, pkg/kubelet/config: maxConfigLength)."""

_LABEL: Final = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_OURS: Final = re.compile(rf"{_LABEL}_[-.a-z0-9]+(?:_-[0-9a-f]{{32}})?(?:_[1-9][0-9]*)?\.json")
_RETRY: Final = re.compile(r"_([1-9][0-9]{0,8})\.json\Z")


@frozen
class ManifestFile:
    """The file of a checkpoint.

    Attributes:
        file: Its name in its directory.
        name: The parent: the namespace, and what the annotation says.
        manifest: What is in it; several readers share it, so it is not to be changed.
        digest: The digest of its bytes, `sha256:…`.
        data: Its bytes.
        retry: How often the kubelet had rejected the copy for good, as the name of the file says.
        is_original: Its name is one that bootkube's checkpointer gives.
        modified_at: When it was written, in seconds since 1970.
    """

    file: str
    name: PodName
    manifest: Mapping[str, Any] = field(repr=False, eq=False)
    digest: str
    data: bytes = field(repr=False, eq=False)
    retry: int = 0
    is_original: bool = False
    modified_at: float = 0.0


@frozen
class Broken:
    """What might be the file of a checkpoint, and cannot be read as one.

    Attributes:
        reason: Why, in words.
        is_marked: It bears the annotation of a checkpoint, or nobody could look.
    """

    reason: str
    is_marked: bool = False


@frozen
class Alien:
    """Somebody else's manifest, and none of our business."""


def read_manifest(file: str, data: bytes, modified_at: float) -> ManifestFile | Broken | Alien:
    """Tell what a file is.

    Example:
        >>> read_manifest("a.json", b'{"kind": "Pod"', 0)
        Broken(reason='is no complete JSON', is_marked=False)
        >>> read_manifest("a.json", b'{"kind": "Pod"}', 0)
        Alien()
        >>> data = (
        ...     b'{"metadata": {"namespace": "kube-system", "annotations":'
        ...     b' {"checkpointer.alpha.coreos.com/checkpoint-of": "web"}}}'
        ... )
        >>> str(read_manifest("kube-system_web_2.json", data, 0).name)
        'kube-system/web'
    """
    try:
        manifest = json.loads(data)
    except ValueError:
        return Broken("is no complete JSON")
    except RecursionError:
        return Broken("is nested too deeply")
    metadata = _object(manifest, "metadata")
    annotations = _object(metadata, "annotations")
    if CHECKPOINT_OF not in annotations:
        return Alien()
    try:
        name = PodName(metadata.get("namespace", ""), annotations[CHECKPOINT_OF])
    except ValueError as error:
        return Broken(f"is a checkpoint of no pod: {error}", is_marked=True)
    return ManifestFile(
        file,
        name,
        manifest,
        f"sha256:{hashlib.sha256(data).hexdigest()}",
        data,
        retry_of(file, name) or 0,
        file == original_file(name),
        modified_at,
    )


def _object(parent: Any, name: str) -> Mapping[str, Any]:
    value = parent.get(name) if isinstance(parent, dict) else None
    return value if isinstance(value, dict) else {}


def retry_of(file: str, name: PodName) -> int | None:
    """Return which retry of a pod a file's name stands for; None where it is none of its names.

    Example:
        >>> [retry_of(file, PodName("a", "b")) for file in ("a_b.json", "a_b_3.json", "a-b.json")]
        [0, 3, None]
    """
    found = _RETRY.search(file)
    for retry in (0, int(found[1]) if found else 0):
        if file == manifest_file(name, retry):
            return retry
    return None


def has_our_form(file: str) -> bool:
    """Tell whether a file's name has the form of those that `model.manifest_file` gives.

    Example:
        >>> has_our_form("kube-system_web_2.json"), has_our_form("kube-system-web.json")
        (True, False)
    """
    return _OURS.fullmatch(file) is not None
