"""What a kubelet demands of the downward API: fields of the pod as variables or as files.

The rules are those of `pkg/apis/core/validation/validation.go` of Kubernetes 1.34.2.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from checkpointkit.kubernetes.grammar import is_qualified_name
from checkpointkit.kubernetes.quantity import parse_quantity
from checkpointkit.pods.rules.decoding import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["file_refusals", "variable_refusals"]

_BOTH = ("metadata.name", "metadata.namespace", "metadata.uid")
_VARIABLES = (
    *_BOTH,
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_FILES = (*_BOTH, "metadata.annotations", "metadata.labels")
_SUBSCRIPT = re.compile(r"metadata\.(annotations|labels)\['(.*)'\]", re.DOTALL)
_RESOURCE = re.compile(r"(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.*)", re.DOTALL)
_CPU = (Fraction(1, 1000), Fraction(1))
_BYTES = tuple(Fraction(base) ** power for base in (1000, 1024) for power in range(7))


def variable_refusals(source: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    """Yield what is wrong with the decoded `valueFrom` of a variable, as to the downward API.

    Example:
        >>> source = {"fieldRef": {"fieldPath": "metadata.labels"}}
        >>> [each.path for each in variable_refusals(source, "valueFrom")]
        ['valueFrom.fieldRef.fieldPath']
    """
    yield from _source(source, path, _VARIABLES)


def file_refusals(item: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    """Yield what is wrong with a decoded file of a downward API volume.

    Example:
        >>> [each.text() for each in file_refusals({"path": "labels"}, "items[0]")]
        ['items[0]: needs one of fieldRef and resourceFieldRef']
    """
    if len(item.keys() & {"fieldRef", "resourceFieldRef"}) != 1:
        yield Refusal(path, "needs one of fieldRef and resourceFieldRef")
    yield from _source(item, path, _FILES)
    if "resourceFieldRef" in item and not item["resourceFieldRef"].get("containerName"):
        yield Refusal(f"{path}.resourceFieldRef.containerName", "is missing")


def _source(source: Mapping[str, Any], path: str, known: tuple[str, ...]) -> Iterator[Refusal]:
    if "fieldRef" in source:
        field = source["fieldRef"]
        if field.get("apiVersion") not in (None, "", "v1"):
            yield Refusal(f"{path}.fieldRef.apiVersion", "is not v1")
        if field.get("fieldPath") and not _is_field(field["fieldPath"], known):
            yield Refusal(f"{path}.fieldRef.fieldPath", "is no field that can be had here")
    if "resourceFieldRef" in source:
        yield from _resource(source["resourceFieldRef"], f"{path}.resourceFieldRef")


def _is_field(path: str, known: tuple[str, ...]) -> bool:
    match = _SUBSCRIPT.fullmatch(path)
    if match is None:
        return path in known
    return is_qualified_name(match[2].lower() if match[1] == "annotations" else match[2])


def _resource(source: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    match = _RESOURCE.fullmatch(source.get("resource", ""))
    if match is None:
        if source.get("resource"):
            yield Refusal(f"{path}.resource", "is no resource of a container")
        return
    divisor = parse_quantity(source.get("divisor", 0))
    if divisor and divisor not in (_CPU if match[2] == "cpu" else _BYTES):
        yield Refusal(f"{path}.divisor", "is no unit of this resource")
