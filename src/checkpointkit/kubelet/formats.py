"""The kubelet's checkpoint formats: their Go types, what is hashed, and their files. Pure."""

from __future__ import annotations

import copy
from typing import Any, Final, Literal

from attrs import evolve, field, frozen

from checkpointkit.kubelet.godump import dump
from checkpointkit.kubelet.gotypes import (
    Bytes,
    CpuSet,
    Field,
    ListOf,
    MapOf,
    Number,
    Pointer,
    Struct,
    Text,
)
from checkpointkit.kubelet.sums import crc32, fnv1a32

__all__ = [
    "ACTUATED_PODS",
    "ALLOCATED_PODS",
    "CPU_V1",
    "CPU_V2",
    "CPU_V3",
    "DEVICES",
    "DRA",
    "FILES",
    "FORMATS",
    "MEMORY_V1",
    "MEMORY_V2",
    "Format",
]

_CHECKSUM: Final = Number("checksum.Checksum", signed=False)
_UINT64: Final = Number("uint64", signed=False)
_INT: Final = Number("int", signed=True)
_INTS: Final = ListOf("[]int", _INT)
_TEXTS: Final = ListOf("[]string", Text())

_POLICY: Final = Field("PolicyName", "policyName", "policy_name", Text())
_SUM: Final = Field("Checksum", "checksum", "checksum", _CHECKSUM)


@frozen
class Format:
    """One format of one file.

    Attributes:
        file: The name of the file.
        version: The version of the format, as the kubelet counts.
        struct: The Go type of the whole document; its last field is the checksum.
        hashed: What is hashed: the whole document with a checksum of 0, or a field of it.
        method: How.
        hashed_as: The name of the struct in the hashed text, where it is another than its own.
        own_name_too: Whether a kubelet with the feature gate off also takes the sum over the
            struct's own name.
        zero_passes: Whether a checksum of 0, or none, is taken for "not checked".
        before: The document before anything is decoded into it.
    """

    file: str
    version: int
    struct: Struct
    hashed: str = ""
    method: Literal["fnv-1a-32", "crc-32"] = "fnv-1a-32"
    hashed_as: str = ""
    own_name_too: bool = False
    zero_passes: bool = False
    before: dict[str, Any] = field(factory=dict, eq=False)

    @property
    def name(self) -> str:
        """The name of the file, with the version where there are several."""
        return f"{self.file} V{self.version}" if self.file in _VERSIONED else self.file

    def fresh(self) -> dict[str, Any]:
        """Return a document that nothing was decoded into."""
        return copy.deepcopy(self.before)

    def text(self, document: dict[str, Any], *, own_name: bool = False) -> str:
        """Return the text that is hashed of a document.

        Args:
            document: As `godecode.decode` returns it.
            own_name: Take the struct's own name, not the one that the kubelet puts in its place.
        """
        if self.method == "crc-32":
            text: str = document[self.hashed]
            return text
        for each in self.struct.fields:
            if each.name == self.hashed:
                return dump(each.type, document[self.hashed])
        struct = self.struct
        if self.hashed_as and not own_name:
            struct = evolve(struct, go=self.hashed_as)
        return dump(Pointer(struct), {**document, "checksum": 0})

    def sum(self, document: dict[str, Any], *, own_name: bool = False) -> int:
        """Return the checksum that a document should have."""
        data = self.text(document, own_name=own_name).encode()
        return crc32(data) if self.method == "crc-32" else fnv1a32(data)


_CPU_SETS: Final = MapOf("map[string]string", Text())
_CPU_NAME: Final = "state.CPUManagerCheckpoint"
_CPUS: Final = Field("DefaultCPUSet", "defaultCpuSet", "default_cpu_set", Text())
_CPU_ENTRIES: Final = Field(
    "Entries",
    "entries",
    "entries",
    MapOf("map[string]map[string]string", _CPU_SETS),
    omit_empty=True,
)
_POD_CPUS: Final = Struct(
    "state.PodEntry",
    (Field("CPUSet", "cpuSet", "cpu_set", CpuSet(), omit_empty=True),),
    helper="state.podEntryJSON",
)

CPU_V1: Final = Format(
    "cpu_manager_state",
    1,
    Struct(
        "state.CPUManagerCheckpointV1",
        (_POLICY, _CPUS, Field("Entries", "entries", "entries", _CPU_SETS, omit_empty=True), _SUM),
    ),
    hashed_as=_CPU_NAME,
    zero_passes=True,
    before={"policy_name": "", "default_cpu_set": "", "entries": {}, "checksum": 0},
)
CPU_V2: Final = Format(
    "cpu_manager_state",
    2,
    Struct("state.CPUManagerCheckpointV2", (_POLICY, _CPUS, _CPU_ENTRIES, _SUM)),
    hashed_as=_CPU_NAME,
    own_name_too=True,
    zero_passes=True,
    before={"policy_name": "", "default_cpu_set": "", "entries": {}, "checksum": 0},
)
CPU_V3: Final = Format(
    "cpu_manager_state",
    3,
    Struct(
        _CPU_NAME,
        (
            _POLICY,
            _CPUS,
            _CPU_ENTRIES,
            Field(
                "PodEntries",
                "podEntries",
                "pod_entries",
                MapOf("state.PodCPUAssignments", _POD_CPUS),
                omit_empty=True,
            ),
            _SUM,
        ),
    ),
    before={
        "policy_name": "",
        "default_cpu_set": "",
        "entries": {},
        "pod_entries": {},
        "checksum": 0,
    },
)

_RESOURCE: Final = Text("v1.ResourceName")
_MEMORY_NAME: Final = "state.MemoryManagerCheckpoint"
_TABLE: Final = Struct(
    "state.MemoryTable",
    (
        Field("TotalMemSize", "total", "total", _UINT64),
        Field("SystemReserved", "systemReserved", "system_reserved", _UINT64),
        Field("Allocatable", "allocatable", "allocatable", _UINT64),
        Field("Reserved", "reserved", "reserved", _UINT64),
        Field("Free", "free", "free", _UINT64),
    ),
)
_NODE: Final = Struct(
    "state.NUMANodeState",
    (
        Field("NumberOfAssignments", "numberOfAssignments", "number_of_assignments", _INT),
        Field(
            "MemoryMap",
            "memoryMap",
            "memory_map",
            MapOf("map[v1.ResourceName]*state.MemoryTable", Pointer(_TABLE), _RESOURCE),
        ),
        Field("Cells", "cells", "cells", _INTS),
    ),
)
_BLOCKS: Final = ListOf(
    "[]state.Block",
    Struct(
        "state.Block",
        (
            Field("NUMAAffinity", "numaAffinity", "numa_affinity", _INTS),
            Field("Type", "type", "type", _RESOURCE),
            Field("Size", "size", "size", _UINT64),
        ),
    ),
)
_MACHINE: Final = Field(
    "MachineState",
    "machineState",
    "machine_state",
    MapOf("state.NUMANodeMap", Pointer(_NODE), _INT),
)
_MEMORY_ENTRIES: Final = Field(
    "Entries",
    "entries",
    "entries",
    MapOf("state.ContainerMemoryAssignments", MapOf("map[string][]state.Block", _BLOCKS)),
    omit_empty=True,
)

MEMORY_V1: Final = Format(
    "memory_manager_state",
    1,
    Struct("state.MemoryManagerCheckpointV1", (_POLICY, _MACHINE, _MEMORY_ENTRIES, _SUM)),
    hashed_as=_MEMORY_NAME,
    own_name_too=True,
    zero_passes=True,
    before={"policy_name": "", "machine_state": {}, "entries": {}, "checksum": 0},
)
MEMORY_V2: Final = Format(
    "memory_manager_state",
    2,
    Struct(
        _MEMORY_NAME,
        (
            _POLICY,
            _MACHINE,
            _MEMORY_ENTRIES,
            Field(
                "PodEntries",
                "podEntries",
                "pod_entries",
                MapOf(
                    "state.PodMemoryAssignments",
                    Struct(
                        "state.PodEntry",
                        (
                            Field(
                                "MemoryBlocks",
                                "memoryBlocks",
                                "memory_blocks",
                                _BLOCKS,
                                omit_empty=True,
                            ),
                        ),
                    ),
                ),
                omit_empty=True,
            ),
            _SUM,
        ),
    ),
    before={
        "policy_name": "",
        "machine_state": {},
        "entries": {},
        "pod_entries": {},
        "checksum": 0,
    },
)

DEVICES: Final = Format(
    "kubelet_internal_checkpoint",
    2,
    Struct(
        "checkpoint.Data",
        (
            Field(
                "Data",
                "Data",
                "data",
                Struct(
                    "checkpoint.checkpointData",
                    (
                        Field(
                            "PodDeviceEntries",
                            "PodDeviceEntries",
                            "pod_device_entries",
                            ListOf(
                                "[]checkpoint.PodDevicesEntry",
                                Struct(
                                    "checkpoint.PodDevicesEntry",
                                    (
                                        Field("PodUID", "PodUID", "pod_uid", Text()),
                                        Field(
                                            "ContainerName",
                                            "ContainerName",
                                            "container_name",
                                            Text(),
                                        ),
                                        Field(
                                            "ResourceName", "ResourceName", "resource_name", Text()
                                        ),
                                        Field(
                                            "DeviceIDs",
                                            "DeviceIDs",
                                            "device_ids",
                                            MapOf(
                                                "checkpoint.DevicesPerNUMA",
                                                _TEXTS,
                                                Number("int64", signed=True),
                                            ),
                                        ),
                                        Field("AllocResp", "AllocResp", "alloc_resp", Bytes()),
                                    ),
                                ),
                            ),
                        ),
                        Field(
                            "RegisteredDevices",
                            "RegisteredDevices",
                            "registered_devices",
                            MapOf("map[string][]string", _TEXTS),
                        ),
                    ),
                ),
            ),
            Field("Checksum", "Checksum", "checksum", _CHECKSUM),
        ),
    ),
    hashed="data",
    before={"data": {"pod_device_entries": [], "registered_devices": {}}, "checksum": 0},
)

_PODS: Final = Struct("state.Checkpoint", (Field("Data", "data", "data", Text()), _SUM))
ALLOCATED_PODS: Final = Format(
    "allocated_pods_state", 1, _PODS, hashed="data", before={"data": "", "checksum": 0}
)
ACTUATED_PODS: Final = evolve(ALLOCATED_PODS, file="actuated_pods_state")

_NO_CLAIMS: Final = (
    '{"kind":"DRACheckpoint","apiVersion":"checkpoint.dra.kubelet.k8s.io/v1",'
    '"ClaimInfoStateList":null}'
)
DRA: Final = Format(
    "dra_manager_state",
    1,
    Struct(
        "state.Checkpoint",
        (
            Field("Data", "Data", "data", Text()),
            Field("Checksum", "Checksum", "checksum", Number("uint32", signed=False, bits=32)),
        ),
    ),
    hashed="data",
    method="crc-32",
    before={"data": _NO_CLAIMS, "checksum": crc32(_NO_CLAIMS.encode())},
)

FORMATS: Final = (
    CPU_V1,
    CPU_V2,
    CPU_V3,
    MEMORY_V1,
    MEMORY_V2,
    DEVICES,
    ALLOCATED_PODS,
    ACTUATED_PODS,
    DRA,
)
"""All of them, the older ones of a file first."""

FILES: Final = tuple(dict.fromkeys(each.file for each in FORMATS))
"""The names of the files."""

_VERSIONED: Final = frozenset({CPU_V1.file, MEMORY_V1.file})
