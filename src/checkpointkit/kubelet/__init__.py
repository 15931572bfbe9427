"""The kubelet's own checkpoint files: read, verify, explain and write them.

The way in: `gotypes` describes Go types as data, and `formats` the kubelet's; `gojson`, `godecode`,
`godump` and `goencode` do what Go does with them; `verdicts` and `restarts` are what the kubelet
says; `models` are the classes and schemas, and `store` lets an agent share a file with Go code.
"""

from __future__ import annotations

from checkpointkit.kubelet.models import (
    ACTUATED_PODS,
    ALLOCATED_PODS,
    CPU_V1,
    DEVICES,
    DRA,
    MEMORY_V1,
    MEMORY_V2,
    CpuStateV1,
    CpuStateV2,
    CpuStateV3,
    DeviceData,
    DeviceState,
    DraState,
    MemoryBlock,
    MemoryStateV1,
    MemoryStateV2,
    MemoryTable,
    NumaNode,
    PodCpus,
    PodDevices,
    PodMemory,
    PodsState,
    cpu_v2,
    cpu_v3,
)
from checkpointkit.kubelet.store import KubeletStore

__all__ = [
    "ACTUATED_PODS",
    "ALLOCATED_PODS",
    "CPU_V1",
    "DEVICES",
    "DRA",
    "MEMORY_V1",
    "MEMORY_V2",
    "CpuStateV1",
    "CpuStateV2",
    "CpuStateV3",
    "DeviceData",
    "DeviceState",
    "DraState",
    "KubeletStore",
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
