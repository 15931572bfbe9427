"""The state in each of the kubelet's files, as classes and schemas.

Where Go tells nil from empty, None stands for nil: the checksum does so, too.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.errors import MigrationError
from checkpointkit.kubelet import formats
from checkpointkit.schema import Payload, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.kubelet.formats import Format
    from checkpointkit.kubelet.restarts import ContainerMap

__all__ = [
    "ACTUATED_PODS",
    "ALLOCATED_PODS",
    "CPU_V1",
    "DEVICES",
    "DRA",
    "KIND",
    "MEMORY_V1",
    "MEMORY_V2",
    "SCHEMAS",
    "CpuStateV1",
    "CpuStateV2",
    "CpuStateV3",
    "DeviceData",
    "DeviceState",
    "DraState",
    "MemoryBlock",
    "MemoryStateV1",
    "MemoryStateV2",
    "MemoryTable",
    "NumaNode",
    "PodCpus",
    "PodDevices",
    "PodMemory",
    "PodsState",
    "cpu_v2",
    "cpu_v3",
]

KIND: Final = "kubelet"
"""What the kind of each begins with, as in `kubelet/cpu_manager_state`."""


@frozen
class CpuStateV1:
    """`cpu_manager_state` before Kubernetes 1.18.

    Attributes:
        policy_name: The policy of the CPU manager.
        default_cpu_set: The CPUs that are shared.
        entries: The CPUs of each container, by container ID.
    """

    policy_name: str
    default_cpu_set: str
    entries: dict[str, str] | None


@frozen
class CpuStateV2:
    """`cpu_manager_state` since 1.18.

    Attributes:
        policy_name: The policy of the CPU manager.
        default_cpu_set: The CPUs that are shared.
        entries: The CPUs of each container, by pod UID and name.
    """

    policy_name: str
    default_cpu_set: str
    entries: dict[str, dict[str, str] | None] | None


@frozen
class PodCpus:
    """The CPUs of a pod as a whole.

    Attributes:
        cpu_set: The CPUs.
    """

    cpu_set: str


@frozen
class CpuStateV3:
    """`cpu_manager_state` with the feature gate PodLevelResourceManagers.

    Attributes:
        policy_name: The policy of the CPU manager.
        default_cpu_set: The CPUs that are shared.
        entries: The CPUs of each container, by pod UID and name.
        pod_entries: The CPUs of each pod as a whole, by UID.
    """

    policy_name: str
    default_cpu_set: str
    entries: dict[str, dict[str, str] | None] | None
    pod_entries: dict[str, PodCpus] | None


@frozen
class MemoryTable:
    """The memory of one kind on a NUMA node, in bytes.

    Attributes:
        total: All of it.
        system_reserved: Kept for the system.
        allocatable: What pods may have.
        reserved: What pods have.
        free: What is left.
    """

    total: int
    system_reserved: int
    allocatable: int
    reserved: int
    free: int


@frozen
class NumaNode:
    """A NUMA node.

    Attributes:
        number_of_assignments: How many containers have memory of it.
        memory_map: Its memory, by kind (`memory`, `hugepages-2Mi`).
        cells: The NUMA nodes that its memory is given out together with.
    """

    number_of_assignments: int
    memory_map: dict[str, MemoryTable | None] | None
    cells: list[int] | None


@frozen
class MemoryBlock:
    """Memory of a container or pod.

    Attributes:
        numa_affinity: The NUMA nodes that it is from.
        type: Its kind.
        size: In bytes.
    """

    numa_affinity: list[int] | None
    type: str
    size: int


@frozen
class MemoryStateV1:
    """`memory_manager_state`.

    Attributes:
        policy_name: The policy of the memory manager.
        machine_state: The NUMA nodes, by number.
        entries: The memory of each container, by pod UID and name.
    """

    policy_name: str
    machine_state: dict[int, NumaNode | None] | None
    entries: dict[str, dict[str, list[MemoryBlock] | None] | None] | None


@frozen
class PodMemory:
    """The memory of a pod as a whole.

    Attributes:
        memory_blocks: The memory.
    """

    memory_blocks: list[MemoryBlock] | None


@frozen
class MemoryStateV2:
    """`memory_manager_state` with the feature gate PodLevelResourceManagers.

    Attributes:
        policy_name: The policy of the memory manager.
        machine_state: The NUMA nodes, by number.
        entries: The memory of each container, by pod UID and name.
        pod_entries: The memory of each pod as a whole, by UID.
    """

    policy_name: str
    machine_state: dict[int, NumaNode | None] | None
    entries: dict[str, dict[str, list[MemoryBlock] | None] | None] | None
    pod_entries: dict[str, PodMemory] | None


@frozen
class PodDevices:
    """The devices of a container.

    Attributes:
        pod_uid: Its pod.
        container_name: Its name.
        resource_name: The resource that they were asked for as.
        device_ids: The devices, by NUMA node (-1: no node).
        alloc_resp: What the device plugin has answered: an `AllocateResponse` in protobuf.
    """

    pod_uid: str
    container_name: str
    resource_name: str
    device_ids: dict[int, list[str] | None] | None
    alloc_resp: bytes | None


@frozen
class DeviceData:
    """What is hashed of `kubelet_internal_checkpoint`.

    Attributes:
        pod_device_entries: The devices that are given out.
        registered_devices: All that the plugins have registered, by resource.
    """

    pod_device_entries: list[PodDevices] | None
    registered_devices: dict[str, list[str] | None] | None


@frozen
class DeviceState:
    """`device-plugins/kubelet_internal_checkpoint`.

    Attributes:
        data: The devices.
    """

    data: DeviceData


@frozen
class PodsState:
    """`allocated_pods_state` and `actuated_pods_state`.

    Attributes:
        data: JSON: the resources of each pod, by UID.
    """

    data: str


@frozen
class DraState:
    """`dra_manager_state`.

    Attributes:
        data: JSON: the resource claims that are prepared.
    """

    data: str


def _kind(kind: Format) -> str:
    return f"{KIND}/{kind.file}"


def _to_v2(containers: ContainerMap, old: Payload) -> Payload:
    """Name the containers of a CPU file as its version 2 does, by pod and name."""
    entries: dict[str, dict[str, str]] = {}
    for container, cpus in (old["entries"] or {}).items():
        found = containers(container)
        if found is None:
            raise MigrationError(None, 1, "a container of entries is not known on this node")
        pod, name = found
        entries.setdefault(pod, {})[name] = cpus
    return {**old, "entries": entries}


def _cpus_with_pods(old: Payload) -> Payload:
    """Bring a CPU file to the version that has entries of pods, as the kubelet does: no nil."""
    entries = {pod: cpus or {} for pod, cpus in (old["entries"] or {}).items()}
    return {**old, "entries": entries, "pod_entries": {}}


def _memory_with_pods(old: Payload) -> Payload:
    """Bring a memory file to the version that has entries of pods, as the kubelet does."""
    state, entries = old["machine_state"] or {}, old["entries"] or {}
    return {**old, "machine_state": state, "entries": entries, "pod_entries": {}}


CPU_V1: Final = Schema(CpuStateV1, kind=_kind(formats.CPU_V1), version=1)
"""`cpu_manager_state` V1."""


def cpu_v2(containers: ContainerMap | None = None) -> Schema[CpuStateV2]:
    """Return the schema of `cpu_manager_state` V2.

    Args:
        containers: Which pod and container a container ID means, to read V1; None: V1 is refused.

    Example:
        >>> known = {"docker://7f3e": ("pod-a", "web")}
        >>> old = {"policy_name": "", "default_cpu_set": "", "entries": {"docker://7f3e": "3"}}
        >>> cpu_v2(known.get).load(old, version=1).entries
        {'pod-a': {'web': '3'}}
    """
    steps = {} if containers is None else {1: _step_to_v2(containers)}
    return Schema(CpuStateV2, kind=CPU_V1.kind, version=2, migrations=steps)


def cpu_v3(containers: ContainerMap | None = None) -> Schema[CpuStateV3]:
    """Return the schema of `cpu_manager_state` V3, which reads V2, too.

    Args:
        containers: As for `cpu_v2`; None: V1 is refused.
    """
    steps = {} if containers is None else {1: _step_to_v2(containers)}
    return Schema(CpuStateV3, kind=CPU_V1.kind, version=3, migrations={**steps, 2: _cpus_with_pods})


def _step_to_v2(containers: ContainerMap) -> Any:
    return lambda old: _to_v2(containers, old)


MEMORY_V1: Final = Schema(MemoryStateV1, kind=_kind(formats.MEMORY_V1), version=1)
"""`memory_manager_state` V1."""
MEMORY_V2: Final = Schema(
    MemoryStateV2, kind=_kind(formats.MEMORY_V2), version=2, migrations={1: _memory_with_pods}
)
"""`memory_manager_state` V2, which reads V1, too."""
DEVICES: Final = Schema(DeviceState, kind=_kind(formats.DEVICES), version=2)
"""`kubelet_internal_checkpoint`; its version 1 had no NUMA nodes."""
ALLOCATED_PODS: Final = Schema(PodsState, kind=_kind(formats.ALLOCATED_PODS), version=1)
"""`allocated_pods_state`."""
ACTUATED_PODS: Final = Schema(PodsState, kind=_kind(formats.ACTUATED_PODS), version=1)
"""`actuated_pods_state`."""
DRA: Final = Schema(DraState, kind=_kind(formats.DRA), version=1)
"""`dra_manager_state`."""

SCHEMAS: Final[Mapping[str, Schema[Any]]] = MappingProxyType(
    {
        formats.CPU_V1.name: CPU_V1,
        formats.CPU_V2.name: cpu_v2(),
        formats.CPU_V3.name: cpu_v3(),
        formats.MEMORY_V1.name: MEMORY_V1,
        formats.MEMORY_V2.name: MEMORY_V2,
        formats.DEVICES.name: DEVICES,
        formats.ALLOCATED_PODS.name: ALLOCATED_PODS,
        formats.ACTUATED_PODS.name: ACTUATED_PODS,
        formats.DRA.name: DRA,
    }
)
"""The schema of each format, by `Format.name`."""
