"""What a pod is to the checkpointer, and the names of all that is kept of it.

Sources: the annotations, `isValidParent` and the rule for the own name are those of bootkube's pod
checkpointer (pkg/checkpoint/pod.go, manifest.go); the grammar of names is Kubernetes' (RFC 1123
labels and subdomains, apimachinery's validation package).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from checkpointkit.keys import MAX_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CHECKPOINT",
    "CHECKPOINT_OF",
    "CONFIG_SOURCE",
    "Pod",
    "PodName",
    "Scope",
    "manifest_file",
    "original_file",
    "own_name",
    "read_pod",
    "record_key",
]

CHECKPOINT: Final = "checkpointer.alpha.coreos.com/checkpoint"
"""The annotation of a parent; its value is `true`."""
CHECKPOINT_OF: Final = "checkpointer.alpha.coreos.com/checkpoint-of"
"""The annotation of a checkpoint; its value is the name of the parent."""
CONFIG_SOURCE: Final = "kubernetes.io/config.source"
"""The kubelet's annotation that says where it has a pod from; `file` for a static pod."""

_LABEL: Final = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_PART: Final = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAMESPACE: Final = re.compile(_LABEL)
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_PART}(?:\.{_PART})*")

_MAX_FILE_BYTES: Final = 255
_DIGEST_LENGTH: Final = 32
_TERMINAL: Final = {"Succeeded", "Failed"}


def _check_namespace(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value):
        raise ValueError("the namespace is no DNS label")


def _check_name(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("the name is no DNS subdomain")


@frozen(order=True, cache_hash=True)
class PodName:
    """A pod's namespace and name; a path made of them stays below its root.

    Attributes:
        namespace: The namespace, a DNS label.
        name: The name in it, a DNS subdomain.

    Raises:
        ValueError: One of them breaks the grammar.

    Example:
        >>> str(PodName("kube-system", "kube-apiserver-x7k2p"))
        'kube-system/kube-apiserver-x7k2p'
        >>> PodName("kube-system", "../etc")
        Traceback (most recent call last):
        ...
        ValueError: the name is no DNS subdomain
    """

    namespace: str = field(validator=_check_namespace)
    name: str = field(validator=_check_name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@frozen
class Pod:
    """What the checkpointer looks at in a pod that a source has shown.

    Attributes:
        name: Namespace and name.
        uid: Its UID; empty where the source has none.
        controller_uid: The UID of the owner that controls it; empty without one.
        node: The node that it is bound to; empty while there is none.
        phase: The phase of its status; empty where there is none.
        terminating: It has a deletion timestamp.
        ready: Its condition Ready is true.
        marked: It has the annotation of a parent.
        static: The kubelet has it from a file.
        checkpoint_of: The name of the parent that it is a checkpoint of; None for no checkpoint.
        decoded: The whole of it, as JSON has it; of this a copy is made. Nobody may change it.
    """

    name: PodName
    uid: str = ""
    controller_uid: str = ""
    node: str = ""
    phase: str = ""
    terminating: bool = False
    ready: bool = False
    marked: bool = False
    static: bool = False
    checkpoint_of: str | None = None
    decoded: Mapping[str, Any] = field(factory=dict[str, Any], repr=False, eq=False)

    @property
    def is_parent(self) -> bool:
        """Whether it wants a checkpoint: marked, not from a file, and no checkpoint itself."""
        return self.marked and not self.static and self.checkpoint_of is None

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""
        return self.phase in _TERMINAL

    @property
    def parent(self) -> PodName | None:
        """The parent of a checkpoint; None if this is none, or its annotation names no pod."""
        if not self.checkpoint_of:
            return None
        try:
            return PodName(self.name.namespace, self.checkpoint_of)
        except ValueError:
            return None


@frozen
class Scope:
    """What is watched: one node, some namespaces.

    Attributes:
        node: The node's name.
        namespaces: The namespaces.

    Example:
        >>> scope = Scope("node1", frozenset({"kube-system"}))
        >>> parent = Pod(PodName("monitoring", "agent-1"), marked=True)
        >>> scope.watches(parent.name), scope.misses(parent)
        (False, True)
    """

    node: str
    namespaces: frozenset[str]

    def watches(self, name: PodName) -> bool:
        """Whether a pod of that name is ours to look after."""
        return name.namespace in self.namespaces

    def misses(self, pod: Pod) -> bool:
        """Whether a pod wants a checkpoint and gets none, which somebody should be told."""
        return pod.is_parent and not self.watches(pod.name)


def read_pod(decoded: Any) -> Pod:
    """Return what the checkpointer looks at, from a pod as JSON has it.

    Null is as good as absent, as everywhere in Kubernetes; unknown fields are of no interest.

    Raises:
        ValueError: A field is of another type; the message says which, not what is in it.

    Example:
        >>> read_pod({"metadata": {"namespace": "kube-system", "name": "a", "uid": "7f3e"}})
        Pod(name=PodName(namespace='kube-system', name='a'), uid='7f3e', controller_uid='', \
node='', phase='', terminating=False, ready=False, marked=False, static=False, checkpoint_of=None)
        >>> read_pod({"metadata": {"namespace": "kube-system", "name": ["a"]}})
        Traceback (most recent call last):
        ...
        ValueError: metadata.name is no text
    """
    if not isinstance(decoded, dict):
        raise ValueError("a pod is an object")  # noqa: TRY004 - it is data that is wrong
    metadata = _object(decoded, "metadata", "")
    spec = _object(decoded, "spec", "")
    status = _object(decoded, "status", "")
    annotations = _object(metadata, "annotations", "metadata.")
    marks = {
        name: _text(annotations, name, "metadata.annotations.")
        for name in (CHECKPOINT, CHECKPOINT_OF, CONFIG_SOURCE)
    }
    return Pod(
        PodName(
            _text(metadata, "namespace", "metadata."),
            _text(metadata, "name", "metadata."),
        ),
        uid=_text(metadata, "uid", "metadata."),
        controller_uid=_controller(metadata),
        node=_text(spec, "nodeName", "spec."),
        phase=_text(status, "phase", "status."),
        terminating=bool(_text(metadata, "deletionTimestamp", "metadata.")),
        ready=_is_ready(status),
        marked=marks[CHECKPOINT] == "true",
        static=marks[CONFIG_SOURCE] == "file",
        checkpoint_of=marks[CHECKPOINT_OF] if CHECKPOINT_OF in annotations else None,
        decoded=decoded,
    )


def _object(parent: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{path}{name} is no object")  # noqa: TRY004
    return value


def _text(parent: Mapping[str, Any], name: str, path: str) -> str:
    value = parent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{path}{name} is no text")  # noqa: TRY004
    return value


def _objects(parent: Mapping[str, Any], name: str, path: str) -> list[dict[str, Any]]:
    value = parent.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{path}{name} is no list of objects")
    return value


def _controller(metadata: Mapping[str, Any]) -> str:
    for owner in _objects(metadata, "ownerReferences", "metadata."):
        if owner.get("controller") is True:
            return _text(owner, "uid", "metadata.ownerReferences.")
    return ""


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in _objects(status, "conditions", "status.")
    )


def own_name(namespace: str, pod_name: str, node: str) -> PodName:
    """Return the name of the checkpointer's own parent.

    As a static pod it runs under the parent's name with `-<node>` behind it.

    Args:
        namespace: The checkpointer's namespace (`POD_NAMESPACE`).
        pod_name: The name of the pod that it runs in (`POD_NAME`).
        node: The node's name (`NODE_NAME`).

    Raises:
        ValueError: What is left is no name of a pod.

    Example:
        >>> str(own_name("kube-system", "pod-checkpointer-q9zlm-node1", "node1"))
        'kube-system/pod-checkpointer-q9zlm'
        >>> str(own_name("kube-system", "pod-checkpointer-q9zlm", "node1"))
        'kube-system/pod-checkpointer-q9zlm'
    """
    return PodName(namespace, pod_name.removesuffix(f"-{node}") if node else pod_name)


def manifest_file(name: PodName, retry: int = 0) -> str:
    """Return the name of the file of a pod's manifest.

    No two pods share one, nor does a pod with its own retries: `_` is in no name. A file's name
    is part of a static pod's UID, so a retry, which takes a new UID, takes a new file.

    Args:
        name: The parent.
        retry: How often the kubelet has rejected it for good.

    Example:
        >>> manifest_file(PodName("kube-system", "kube-apiserver-x7k2p"))
        'kube-system_kube-apiserver-x7k2p.json'
        >>> manifest_file(PodName("a", "b"), retry=2)
        'a_b_2.json'
    """
    suffix = f"_{retry}.json" if retry else ".json"
    return _cut(f"{name.namespace}_{name.name}", _MAX_FILE_BYTES - len(suffix)) + suffix


def original_file(name: PodName) -> str:
    """Return the name that bootkube's checkpointer would have given the file.

    Two pods may share it: whose it is, the annotation in the file says.

    Example:
        >>> original_file(PodName("a", "b-c")) == original_file(PodName("a-b", "c"))
        True
    """
    return f"{name.namespace}-{name.name}.json"


def record_key(name: PodName) -> str:
    """Return the key of a pod's record.

    No two pods share one: a namespace has no dot, so that the first one ends it.

    Example:
        >>> record_key(PodName("kube-system", "kube-apiserver-x7k2p"))
        'kube-system.kube-apiserver-x7k2p'
        >>> len(record_key(PodName("kube-system", "x" * 253)))
        250
    """
    return _cut(f"{name.namespace}.{name.name}", MAX_KEY_BYTES)


def _cut(text: str, length: int) -> str:
    """Return the text, or as much of it as fits with `_-` and a digest of the whole behind it."""
    if len(text) <= length:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{text[: length - _DIGEST_LENGTH - 2]}_-{digest}"
