"""The messages of the CRI that are needed, as protobuf's classes.

`cri.proto`, beside this file, says the same in protobuf's own words, and names the source.

The classes are made at run time, from the table below, and not generated. Generated code is bound
to its generator's version: protobuf refuses it or warns of it when its own version is too far off,
and brings a new major version every year. It would also register `runtime.v1` in the pool that the
whole process shares, where the code of another CRI client may stand already; this pool is private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from checkpointkit._extras import require

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FIELDS", "METHODS", "PACKAGE", "message_classes"]

PACKAGE: Final = "runtime.v1"
"""The package of messages and service."""

METHODS: Final = {
    name: f"/{PACKAGE}.RuntimeService/{name}"
    for name in ("ListPodSandbox", "ListContainers", "ContainerStatus")
}
"""The calls that are made, and their paths."""

# Enums are open: a number that has no name stays a number, as it does for an int32, and the two are
# the same on the wire. So is a map and a list of entries.
FIELDS: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = {
    "ListPodSandboxResponse": {"items": (1, "repeated PodSandbox")},
    "PodSandbox": {
        "id": (1, "string"),
        "metadata": (2, "PodSandboxMetadata"),
        "state": (3, "int32"),
        "created_at": (4, "int64"),
        "annotations": (6, "repeated Entry"),
    },
    "PodSandboxMetadata": {
        "name": (1, "string"),
        "uid": (2, "string"),
        "namespace": (3, "string"),
        "attempt": (4, "uint32"),
    },
    "Entry": {"key": (1, "string"), "value": (2, "string")},
    "ListContainersResponse": {"containers": (1, "repeated Container")},
    "Container": {
        "id": (1, "string"),
        "pod_sandbox_id": (2, "string"),
        "metadata": (3, "ContainerMetadata"),
        "state": (6, "int32"),
        "created_at": (7, "int64"),
    },
    "ContainerMetadata": {"name": (1, "string"), "attempt": (2, "uint32")},
    "ContainerStatusRequest": {"container_id": (1, "string")},
    "ContainerStatusResponse": {"status": (1, "ContainerStatus")},
    "ContainerStatus": {
        "id": (1, "string"),
        "state": (3, "int32"),
        "finished_at": (6, "int64"),
    },
}
"""The number and the type of each field of each message. The requests for lists have none."""


def message_classes() -> dict[str, Any]:
    r"""Return the class of each message, by its name.

    Raises:
        MissingExtraError: protobuf is not installed.

    Example:
        >>> request = message_classes()["ContainerStatusRequest"](container_id="c1")
        >>> request.SerializeToString()
        b'\n\x02c1'
    """
    descriptors = require("cri", "google.protobuf.descriptor_pb2")
    pools = require("cri", "google.protobuf.descriptor_pool")
    factory = require("cri", "google.protobuf.message_factory")
    kinds = descriptors.FieldDescriptorProto
    file = descriptors.FileDescriptorProto(
        name="checkpointkit/cri.proto", package=PACKAGE, syntax="proto3"
    )
    for message, fields in FIELDS.items():
        made = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            kept = kind.removeprefix("repeated ")
            field = made.field.add(name=name, number=number)
            field.label = kinds.LABEL_OPTIONAL if kept == kind else kinds.LABEL_REPEATED
            if kept in FIELDS:
                field.type = kinds.TYPE_MESSAGE
                field.type_name = f".{PACKAGE}.{kept}"
            else:
                field.type = getattr(kinds, f"TYPE_{kept.upper()}")
    pool = pools.DescriptorPool()
    pool.Add(file)
    return {
        name: factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in FIELDS
    }
