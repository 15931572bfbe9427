"""Recorded data about manifests, and small pods to begin from."""

from __future__ import annotations

import gzip
import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data" / "pods"
NODE = "mynode"


@cache
def recorded(name: str) -> dict[str, Any]:
    """Return a file of recorded data, whole."""
    whole: dict[str, Any] = json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))
    return whole


def a_pod(*, container: Any = None, metadata: Any = None, **spec: Any) -> dict[str, Any]:
    """Return a static pod with one container, and what a test adds."""
    return deepcopy(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "prod", **(metadata or {})},
            "spec": {
                "containers": [{"name": "c", "image": "busybox:1", **(container or {})}],
                **spec,
            },
        }
    )


def mounted(volume: dict[str, Any], **mount: Any) -> dict[str, Any]:
    """Return a pod whose container mounts a volume."""
    mounts = [{"name": volume["name"], "mountPath": "/data", **mount}]
    return a_pod(container={"volumeMounts": mounts}, volumes=[volume])
