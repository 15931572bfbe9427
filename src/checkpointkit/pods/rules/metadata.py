"""What a kubelet demands of a static pod's metadata, after it has appended the node's name.

The rules are those of `k8s.io/apimachinery/pkg/api/validation/objectmeta.go` (1.34).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.kubernetes.grammar import (
    is_label,
    is_label_value,
    is_qualified_name,
    is_subdomain,
)
from checkpointkit.pods.rules.decoding import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["metadata_refusals", "static_name"]

_ANNOTATIONS = 256 * 1024
_FINALIZERS = ("foregroundDeletion", "kubernetes", "orphan")
_OWNER = ("apiVersion", "kind", "name", "uid")


def static_name(name: str, node: str) -> str:
    """Return the name that a static pod gets on a node.

    Example:
        >>> static_name("kube-proxy", "Node1")
        'kube-proxy-node1'
    """
    return f"{name}-{node.lower()}"


def metadata_refusals(metadata: Mapping[str, Any], node: str) -> Iterator[Refusal]:
    """Yield what in decoded metadata keeps a kubelet from running the pod.

    Args:
        metadata: Decoded, so that known fields have their types.
        node: The node's name; if it is empty, the pod's name is looked at alone.

    Example:
        >>> for each in metadata_refusals({"name": "a" * 250}, "node1"):
        ...     print(each.text())
        metadata.name: is no DNS subdomain of at most 253 characters together with the node's name
    """
    name = metadata.get("name", "")
    if not name:
        yield Refusal("metadata.name", "is missing")
    elif not is_subdomain(static_name(name, node) if node else name):
        with_node = " together with the node's name" if node else ""
        yield Refusal("metadata.name", f"is no DNS subdomain of at most 253 characters{with_node}")
    if metadata.get("namespace") and not is_label(metadata["namespace"]):
        yield Refusal("metadata.namespace", "is no DNS label")
    prefix = metadata.get("generateName", "")
    if prefix and not is_subdomain(f"{prefix[:-1]}a" if prefix[-1] == "-" else prefix):
        yield Refusal("metadata.generateName", "is no beginning of a DNS subdomain")
    for field in ("generation", "deletionGracePeriodSeconds"):
        if metadata.get(field, 0) < 0:
            yield Refusal(f"metadata.{field}", "is negative")
    yield from _labels(metadata.get("labels", {}))
    yield from _annotations(metadata.get("annotations", {}))
    yield from _owners(metadata.get("ownerReferences", ()))
    for number, finalizer in enumerate(metadata.get("finalizers", ())):
        if finalizer not in _FINALIZERS and not ("/" in finalizer and is_qualified_name(finalizer)):
            yield Refusal(f"metadata.finalizers[{number}]", "is no qualified name")


def _labels(labels: Mapping[str, str]) -> Iterator[Refusal]:
    for key, value in labels.items():
        if not is_qualified_name(key):
            yield Refusal(f"metadata.labels[{key}]", "is no qualified name")
        if not is_label_value(value):
            yield Refusal(f"metadata.labels[{key}]", "has no label's value")


def _annotations(annotations: Mapping[str, str]) -> Iterator[Refusal]:
    for key in annotations:
        if not is_qualified_name(key.lower()):
            yield Refusal(f"metadata.annotations[{key}]", "is no qualified name")
    if (
        sum(len(part.encode("utf-8", "replace")) for pair in annotations.items() for part in pair)
        > _ANNOTATIONS
    ):
        yield Refusal("metadata.annotations", "are longer than 256 KiB")


def _owners(owners: Any) -> Iterator[Refusal]:
    for number, owner in enumerate(owners):
        for field in _OWNER:
            if not owner.get(field):
                yield Refusal(f"metadata.ownerReferences[{number}].{field}", "is missing")
        if not _is_version(owner.get("apiVersion", "v1")):
            yield Refusal(f"metadata.ownerReferences[{number}].apiVersion", "is no group/version")
    if sum(owner.get("controller", False) for owner in owners) > 1:
        yield Refusal("metadata.ownerReferences", "name more than one controller")


def _is_version(text: str) -> bool:
    return text.count("/") <= 1 and not text.endswith("/")
