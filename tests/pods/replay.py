"""The recorded behaviour of bootkube's pod checkpointer, and our machine in its place.

The vectors were made by running the original's own code (56216d7). A condition is four digits: the
API server answers, it has the parent here, the runtime runs it, the kubelet lists it.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from checkpointkit.pods.machine import Observation, Stage, State
from checkpointkit.pods.observation import Api, ApiSight
from checkpointkit.pods.runtime import Running, RunningSight
from checkpointkit.pods.sightings import Sighting

DATA = Path(__file__).parent.parent / "data" / "pods"


@cache
def vectors(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a file of vectors says of itself, and the vectors."""
    whole = json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))
    return whole["meta"], whole["vectors"]


def api_of(cond: str) -> Api:
    if cond[0] == "0":
        return Api.UNKNOWN
    return Api.HERE if cond[1] == "1" else Api.GONE


def observed(cond: str) -> Observation:
    """Return the observation of a condition.

    The original confirms nothing and waits for no second "no": both are taken as given.
    """
    running = Running.YES if cond[2] == "1" else Running.NO
    return Observation(api_of(cond), running, listed=cond[3] == "1", confirmed=True)


def sighted(cond: str) -> Sighting:
    """Return the same for a plan of all pods."""
    seen = observed(cond)
    return Sighting(
        ApiSight(seen.api, "", confirmed=True), RunningSight(seen.running, ""), seen.listed
    )


def is_known(cond: str) -> bool:
    """Whether the original takes notice of a pod that it knows nothing of: from a list."""
    return api_of(cond) is Api.HERE or cond[3] == "1"


def shown(stage: Stage) -> str:
    """Return a stage as the vectors write it."""
    return f"{stage.state.value}@{stage.until:.0f}" if stage.in_grace else stage.state.value


def stage_of(state: str, end: float | None = None) -> Stage:
    return Stage(State(state)) if end is None else Stage(State(state), end - 60, end)
