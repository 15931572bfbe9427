"""The files that the kubelet's own packages have written and judged."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

from checkpointkit.kubelet import formats
from checkpointkit.kubelet.formats import Format

DATA = Path(__file__).parents[1] / "data" / "kubelet"

KINDS = {
    "cpu_manager_state_v1": formats.CPU_V1,
    "cpu_manager_state_v2": formats.CPU_V2,
    "cpu_manager_state_v3": formats.CPU_V3,
    "memory_manager_state_v1": formats.MEMORY_V1,
    "memory_manager_state_v2": formats.MEMORY_V2,
    "kubelet_internal_checkpoint": formats.DEVICES,
    "allocated_pods_state": formats.ALLOCATED_PODS,
    "dra_manager_state": formats.DRA,
}


@frozen
class Vector:
    name: str
    kind: Format
    file: str
    data: bytes
    facts: dict[str, Any]

    @property
    def by_the_kubelet(self) -> bool:
        """Whether a kubelet wrote it itself, and would write it again."""
        notes: str = self.facts.get("notes", "")
        return bool(self.facts["verify"] == "ok") and notes.startswith(
            ("written by", "V1 with the")
        )


@cache
def vectors() -> tuple[Vector, ...]:
    lines = lzma.decompress((DATA / "vectors.jsonl.xz").read_bytes()).splitlines()
    found = []
    for line in lines:
        facts = json.loads(line)
        found.append(
            Vector(
                f"{facts['kind']}/{facts['name']}",
                KINDS[facts["kind"]],
                facts["kubelet_file_name"],
                facts["bytes"].encode("latin-1"),
                facts,
            )
        )
    return tuple(found)


@cache
def behaviour() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "behaviour.json").read_text())
    return found
