"""What a kubelet of some version makes of a file when it starts. Pure.

In 1.36 the feature gate `PodLevelResourceManagers` decides between two formats of a file; before, a
file has one current format. A kubelet tries one format after the other and reports the last error.

Source: `checkpoint.go` and `state_checkpoint.go` of `pkg/kubelet/cm/cpumanager/state` and of
`memorymanager/state`, `pkg/kubelet/cm/{devicemanager,dra}`, `pkg/kubelet/allocation`, and
`pkg/features/kube_features.go` in k8s.io/kubernetes 1.10.0 to 1.12.0, 1.17.0 to 1.21.0, 1.31.0 to
1.33.0, 1.35.0, 1.36.3 and 1.37.0; 1.36.3 was also run. What lies between two releases that agree is
taken to agree. Not known, and so not answered: the CPU and memory files of 1.37, which have new
formats (`data`, `dataChecksum`), and its files of pods and claims, whose text has new fields; and
the devices of 1.22 to 1.30, some of which also read a format without NUMA nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from attrs import frozen

from checkpointkit.kubelet.claims import ClaimsDataError, check_claims_data
from checkpointkit.kubelet.cpusets import CpuSetError, parse_cpus
from checkpointkit.kubelet.formats import (
    ACTUATED_PODS,
    ALLOCATED_PODS,
    CPU_V1,
    CPU_V2,
    CPU_V3,
    DEVICES,
    DRA,
    MEMORY_V1,
    MEMORY_V2,
    Format,
)
from checkpointkit.kubelet.gojson import GoSyntaxError, parse
from checkpointkit.kubelet.gotext import quote
from checkpointkit.kubelet.pods import PodsDataError, check_pods_data
from checkpointkit.kubelet.verdicts import Reading, Verdict, read_document

__all__ = [
    "ERAS",
    "ContainerMap",
    "Era",
    "Restart",
    "Version",
    "eras_of",
    "parse_version",
    "restart",
]

Version: TypeAlias = tuple[int, int]
"""A minor release of the kubelet: `(1, 36)`."""

ContainerMap: TypeAlias = Callable[[str], tuple[str, str] | None]
"""Which (pod UID, container name) a container ID means; None where nobody knows it."""

_VERSION: Final = re.compile(
    r"v?(\d{1,3})\.(\d{1,3})(?:\.\d{1,4})?(?:[-+][0-9A-Za-z.+-]{1,80})?", re.ASCII
)


def parse_version(text: str) -> Version:
    """Return the minor release that a version text means.

    Raises:
        ValueError: It is no such text.

    Example:
        >>> parse_version("v1.36.3")
        (1, 36)
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError("a version of the kubelet looks like 1.36 or v1.36.3")
    return int(match[1]), int(match[2])


@frozen
class Era:
    """Releases, and a setting of the feature gate, that treat a file in the same way.

    Attributes:
        file: The name of the file.
        since: The first release.
        until: The first release that is none of them any more, or is not known.
        gate: The feature gate `PodLevelResourceManagers`; None where the release has none, or the
            file does not depend on it.
        tries: The formats that are tried, in this order.
    """

    file: str
    since: Version
    until: Version
    gate: bool | None
    tries: tuple[Format, ...]

    @property
    def name(self) -> str:
        """What to call it: `1.36, PodLevelResourceManagers=true`."""
        first, last = (f"{self.since[0]}.{minor}" for minor in (self.since[1], self.until[1] - 1))
        releases = first if first == last else f"{first} to {last}"
        if self.gate is None:
            return releases
        return f"{releases}, {GATE}={str(self.gate).lower()}"

    def covers(self, version: Version | None, gate: bool | None) -> bool:  # noqa: FBT001 - a filter
        """Tell whether it holds for a release and a setting; None stands for any."""
        if version is not None and not self.since <= version < self.until:
            return False
        return gate is None or self.gate is None or self.gate is gate


GATE: Final = "PodLevelResourceManagers"
"""The feature gate that decides between two formats of a file."""
_OFF: Final = False
_ON: Final = True

ERAS: Final = (
    Era(CPU_V1.file, (1, 12), (1, 18), None, (CPU_V1,)),
    Era(CPU_V1.file, (1, 18), (1, 36), None, (CPU_V1, CPU_V2)),
    Era(CPU_V1.file, (1, 36), (1, 37), _OFF, (CPU_V2, CPU_V1)),
    Era(CPU_V1.file, (1, 36), (1, 37), _ON, (CPU_V3, CPU_V2, CPU_V1)),
    Era(MEMORY_V1.file, (1, 21), (1, 36), None, (MEMORY_V1,)),
    Era(MEMORY_V1.file, (1, 36), (1, 37), _OFF, (MEMORY_V1,)),
    Era(MEMORY_V1.file, (1, 36), (1, 37), _ON, (MEMORY_V2, MEMORY_V1)),
    Era(DEVICES.file, (1, 20), (1, 22), None, (DEVICES,)),
    Era(DEVICES.file, (1, 31), (1, 38), None, (DEVICES,)),
    Era(ALLOCATED_PODS.file, (1, 33), (1, 37), None, (ALLOCATED_PODS,)),
    Era(ACTUATED_PODS.file, (1, 33), (1, 37), None, (ACTUATED_PODS,)),
    Era(DRA.file, (1, 31), (1, 37), None, (DRA,)),
)
"""What is known, older ones of a file first; see the top for the source."""


def eras_of(
    file: str,
    version: Version | None = None,
    gate: bool | None = None,  # noqa: FBT001 - a filter
) -> tuple[Era, ...]:
    """Return what is known of a file, for a release and a setting; None stands for any."""
    return tuple(era for era in ERAS if era.file == file and era.covers(version, gate))


@frozen
class Restart:
    """What becomes of a start on a file.

    Attributes:
        era: The kubelet.
        problem: The error that it gives, in its words; empty where it takes the file.
        taken_as: The format that it took the file for; None where it took none.
        readings: What was tried, in this order.
    """

    era: Era
    problem: str
    taken_as: Format | None
    readings: tuple[Reading, ...]

    @property
    def ok(self) -> bool:
        """Whether it takes the file."""
        return not self.problem


class _Refused(Exception):  # noqa: N818 - no error of ours: what the kubelet says
    """The parser has taken the file, and the manager behind it does not."""


def restart(
    era: Era,
    data: bytes,
    *,
    path: str = "",
    policy: str | None = None,
    containers: ContainerMap | None = None,
) -> Restart:
    """Tell what a kubelet does when it starts on a file.

    Args:
        era: The kubelet.
        data: The whole file.
        path: The path that its error names.
        policy: The policy that it is configured with; None for the one in the file.
        containers: The containers of the node, for a CPU file of version 1; None: all are known.
    """
    readings: list[Reading] = []
    problem = ""
    taken: Reading | None = None
    try:
        document = parse(data)
    except GoSyntaxError as error:
        problem = str(error)
        readings = [Reading(each, Verdict.ERROR, problem, None, None, None) for each in era.tries]
    else:
        for kind in era.tries:
            # Before the gate, the name without a version was the struct's own.
            readings.append(read_document(kind, document, gate=era.gate is not False))
            problem = readings[-1].problem
            if not problem:
                taken = readings[-1]
                break
    if problem and era.file == DRA.file:
        problem = f"failed to get checkpoint {era.file}: {problem}"
    if taken is not None:
        try:
            _CHECKS[era.file](era, taken, policy, containers, readings)
        except _Refused as refused:
            problem = str(refused)
    if problem:
        problem = _TEXTS[era.file].format(problem=problem, path=quote(path))
    return Restart(
        era, problem, None if problem or taken is None else taken.format, tuple(readings)
    )


def _check_policy(state: Mapping[str, Any], policy: str | None, who: str = "") -> None:
    stored = state["policy_name"]
    if policy is not None and policy != stored:
        raise _Refused(
            f"{who}configured policy {quote(policy)} differs from state checkpoint policy "
            f"{quote(stored)}"
        )


def _check_cpus(
    era: Era,
    taken: Reading,
    policy: str | None,
    containers: ContainerMap | None,
    tried: list[Reading],
) -> None:
    state = dict(taken.document or {})
    if taken.format is CPU_V1:
        entries = {"": state["entries"] or {}}
        if era.tries != (CPU_V1,):  # which knows containers by their ID alone
            _check_containers(_MIGRATING[taken is tried[0]], entries[""], containers)
    else:
        entries = {pod: each or {} for pod, each in (state["entries"] or {}).items()}
    # A migration leaves what an earlier try has read where the older format has nothing.
    for each in tried:
        for name in ("policy_name", "default_cpu_set"):
            if each is not taken and each.format is CPU_V3 and each.document and not state[name]:
                state[name] = each.document[name]
    _check_policy(state, policy)
    _check_set("default cpu set", state["default_cpu_set"], "")
    for pod, sets in entries.items():
        for container, cpus in sets.items():
            whose = f"container {quote(container)} in pod {quote(pod)}"
            if era.tries == (CPU_V1,):
                whose = f"container id {quote(container)}"
            _check_set("cpuset", cpus, f" for {whose}")


def _check_set(what: str, cpus: str, whose: str) -> None:
    problem = ""
    try:
        parse_cpus(cpus)
    except CpuSetError as error:
        problem = f"could not parse {what} {quote(cpus)}{whose}: {error}"
    if problem:
        raise _Refused(problem)


_MIGRATING: Final = (
    "failed to migrate checkpoint from v1 to v2",
    "error migrating v1 checkpoint state to v2 checkpoint state",  # where it is tried first
)


def _check_containers(
    problem: str, entries: Mapping[str, str], containers: ContainerMap | None
) -> None:
    for container in entries if containers is not None else ():
        if containers is not None and containers(container) is None:
            raise _Refused(
                f"{problem}: containerID '{container}' not found in initial containers list"
            )


def _check_memory(
    _era: Era, taken: Reading, policy: str | None, _: ContainerMap | None, tried: list[Reading]
) -> None:
    state = dict(taken.document or {})
    for each in tried:
        if each is not taken and each.document and not state["policy_name"]:
            state["policy_name"] = each.document["policy_name"]
    _check_policy(state, policy, "[memorymanager] ")


def _check_pods(
    _era: Era, taken: Reading, _policy: str | None, _: ContainerMap | None, _tried: list[Reading]
) -> None:
    problem = ""
    try:
        check_pods_data((taken.document or {})["data"])
    except PodsDataError as error:
        problem = f"failed to get pod resource information: {error}"
    if problem:
        raise _Refused(problem)


def _check_claims(
    _era: Era,
    taken: Reading,
    _policy: str | None,
    _: ContainerMap | None,
    _tried: list[Reading],
) -> None:
    problem = ""
    try:
        check_claims_data((taken.document or {})["data"])
    except ClaimsDataError as error:
        problem = f"GetEntries() on checkpoint: {error}"
    if problem:
        raise _Refused(problem)


def _check_nothing(
    _era: Era,
    _taken: Reading,
    _policy: str | None,
    _: ContainerMap | None,
    _tried: list[Reading],
) -> None:
    """The kubelet looks at no more than the checksum when it starts."""


_CHECKS: Final = MappingProxyType(
    {
        CPU_V1.file: _check_cpus,
        MEMORY_V1.file: _check_memory,
        DEVICES.file: _check_nothing,
        ALLOCATED_PODS.file: _check_pods,
        ACTUATED_PODS.file: _check_pods,
        DRA.file: _check_claims,
    }
)

_DRAIN: Final = (
    "could not restore state from checkpoint: {problem}, please drain this node and delete "
)
_PODS_TEXT: Final = (
    f"{_DRAIN}pod resource information checkpoint file {{path}} before restarting Kubelet"
)
_TEXTS: Final = MappingProxyType(
    {
        CPU_V1.file: f"{_DRAIN}the CPU manager checkpoint file {{path}} before restarting Kubelet",
        MEMORY_V1.file: (
            f"{_DRAIN}the memory manager checkpoint file {{path}} before restarting Kubelet"
        ),
        DEVICES.file: "{problem}",
        ALLOCATED_PODS.file: _PODS_TEXT,
        ACTUATED_PODS.file: _PODS_TEXT,
        DRA.file: "{problem}",
    }
)
