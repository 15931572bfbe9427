"""The kubelet's state as tables. Pure."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.cli.text import INDENT, bytes_text, fields, printable, table
from checkpointkit.kubelet.formats import (
    ACTUATED_PODS,
    ALLOCATED_PODS,
    CPU_V1,
    DEVICES,
    DRA,
    MEMORY_V1,
)
from checkpointkit.kubelet.pods import PodsDataError, check_pods_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from checkpointkit.kubelet.verdicts import Reading

_NONE: Final = "-"
_Row = tuple[str, ...]


def tables(reading: Reading, width: int | None) -> str:
    """Return what is in a file, indented.

    Args:
        reading: The file.
        width: The width of the terminal; None where there is none.
    """
    if reading.document is None:
        text = f"nothing can be read of it: {printable(reading.problem)}\n"
    else:
        text = "".join(_TABLES[reading.format.file](reading.document, width))
    return "".join(f"{INDENT}{line}\n" if line else "\n" for line in text.splitlines())


def _cpus(state: dict[str, Any], width: int | None) -> Iterator[str]:
    yield fields(_texts(policy=state["policy_name"], shared=state["default_cpu_set"]))
    rows: list[_Row] = []
    for owner, cpus in (state["entries"] or {}).items():
        if isinstance(cpus, str):
            rows.append((owner, _NONE, cpus))
        else:
            rows += [(owner, name, each) for name, each in (cpus or {}).items()]
    pods = state.get("pod_entries") or {}
    rows += [(pod, "(the pod)", each["cpu_set"]) for pod, each in pods.items()]
    yield from _table(("POD OR CONTAINER ID", "CONTAINER", "CPUS"), rows, width)


def _memory(state: dict[str, Any], width: int | None) -> Iterator[str]:
    yield fields(_texts(policy=state["policy_name"]))
    nodes = state["machine_state"] or {}
    rows: list[_Row] = []
    for node, each in nodes.items():
        for name, memory in ((each or {}).get("memory_map") or {}).items():
            sizes = memory or {}
            amounts = ("total", "system_reserved", "allocatable", "reserved", "free")
            rows.append((node, name, *(bytes_text(sizes.get(part, 0)) for part in amounts)))
    names = ("NODE", "KIND", "TOTAL", "SYSTEM", "ALLOCATABLE", "RESERVED", "FREE")
    yield from _table(names, rows, width)
    given = [
        (pod, name, *_block(block))
        for pod, containers in (state["entries"] or {}).items()
        for name, blocks in (containers or {}).items()
        for block in blocks or ()
    ]
    pods = state.get("pod_entries") or {}
    given += [
        (pod, "(the pod)", *_block(block))
        for pod, each in pods.items()
        for block in each["memory_blocks"] or ()
    ]
    yield from _table(("POD", "CONTAINER", "NODES", "KIND", "SIZE"), given, width)


def _block(block: dict[str, Any]) -> _Row:
    nodes = ",".join(map(str, block["numa_affinity"] or ())) or _NONE
    return nodes, block["type"], bytes_text(block["size"])


def _devices(state: dict[str, Any], width: int | None) -> Iterator[str]:
    data = state["data"]
    rows: list[_Row] = []
    for each in data["pod_device_entries"] or ():
        names = each["pod_uid"], each["container_name"], each["resource_name"]
        for node, ids in (each["device_ids"] or {"": ()}).items():
            rows.append((*names, node or _NONE, ",".join(ids or ()) or _NONE))
    yield from _table(("POD", "CONTAINER", "RESOURCE", "NODE", "DEVICES"), rows, width)
    registered: list[_Row] = [
        (resource, ",".join(ids or ()) or _NONE)
        for resource, ids in (data["registered_devices"] or {}).items()
    ]
    yield from _table(("RESOURCE", "REGISTERED"), registered, width)


def _pods(state: dict[str, Any], width: int | None) -> Iterator[str]:
    try:
        entries = check_pods_data(state["data"])["entries"] or {}
    except PodsDataError as error:
        yield f"its data cannot be read: {printable(str(error))}\n"
        return
    rows: list[_Row] = []
    for pod, each in entries.items():
        for name, resources in (each["containers"] or {}).items():
            rows.append((pod, name, *_resources(resources)))
        if each["pod"] is not None:
            rows.append((pod, "(the pod)", *_resources(each["pod"])))
    yield from _table(("POD", "CONTAINER", "REQUESTS", "LIMITS"), rows, width)


def _resources(resources: dict[str, Any]) -> _Row:
    requests, limits = (
        " ".join(f"{name}={amount}" for name, amount in (resources[part] or {}).items()) or _NONE
        for part in ("requests", "limits")
    )
    return requests, limits


def _claims(state: dict[str, Any], width: int | None) -> Iterator[str]:
    rows: list[_Row] = []
    try:
        claims = json.loads(state["data"])["ClaimInfoStateList"] or ()
        for claim in claims:
            pods = ",".join(claim["PodUIDs"] or ()) or _NONE
            for driver, each in (claim["DriverState"] or {"": None}).items():
                devices = (each or {}).get("Devices") or ()
                names = ",".join(f"{one['PoolName']}/{one['DeviceName']}" for one in devices)
                name = f"{claim['Namespace']}/{claim['ClaimName']}"
                rows.append((name, claim["ClaimUID"], pods, driver or _NONE, names or _NONE))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        yield "its data cannot be read\n"
        return
    yield from _table(("CLAIM", "UID", "PODS", "DRIVER", "DEVICES"), rows, width)


def _texts(**texts: str) -> list[tuple[str, str]]:
    return [(name, printable(text) or _NONE) for name, text in texts.items()]


def _table(names: _Row, rows: list[_Row], width: int | None) -> Iterator[str]:
    if rows:
        cells = [tuple(printable(cell) or _NONE for cell in row) for row in rows]
        room = None if width is None else width - len(INDENT)
        yield "\n"
        yield table(names, cells, width=room)


_TABLES: Final[MappingProxyType[str, Callable[[dict[str, Any], int | None], Iterator[str]]]] = (
    MappingProxyType(
        {
            CPU_V1.file: _cpus,
            MEMORY_V1.file: _memory,
            DEVICES.file: _devices,
            ALLOCATED_PODS.file: _pods,
            ACTUATED_PODS.file: _pods,
            DRA.file: _claims,
        }
    )
)
