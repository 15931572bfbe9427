"""The operator's collector as a model: what its levels do, over groups by identity.

It is a second reading of checkpoint-restore-operator f5b45d3 (applyPolicies and
handleCheckpointsForLevel), plain and slow, and shares nothing with the translator or the plan.
Where the operator looks for candidates by a pattern over names, a group is what has the identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.kubernetes.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from fractions import Fraction

LEVELS: Final = ("namespace", "pod", "container")
"""How many parts of an identity name a group: the place in this list, and one."""
_UNLIMITED: Final = 2**60


@frozen
class Held:
    """An archive: whose it is, and what the collector sees of it."""

    name: str
    whose: tuple[str, str, str]
    size: int
    mtime: float
    pinned: bool = False


@frozen
class _Limits:
    retain: bool
    count: int
    size: Fraction | int
    total: Fraction | int

    @property
    def is_off(self) -> bool:
        return self.count <= 0 or self.size <= 0 or self.total <= 0


class Collector:
    """Deletes archives as the operator does, in memory."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        archives: Iterable[Held],
        cluster: Mapping[str, Any] | None = None,
    ) -> None:
        self._spec = spec
        self._cluster = cluster
        self.left = sorted(archives, key=lambda each: (each.mtime, each.name.encode()))

    def look_for(self, whose: tuple[str, str, str]) -> None:
        """Do what the operator does when an archive of that container was written."""
        for level, limits in self._levels(whose):
            self._apply(level, whose, limits)

    def narrow_to_wide(self) -> None:
        """Do all of it once: all containers, then all pods, then all namespaces."""
        for level in reversed(LEVELS):
            for whose in sorted({each.whose for each in self.left}):
                for at, limits in self._levels(whose):
                    if at == level:
                        self._apply(level, whose, limits)

    def _levels(self, whose: tuple[str, ...]) -> Iterable[tuple[str, _Limits]]:
        for level in reversed(LEVELS):
            own = self._own(level, whose)
            if own is not None:
                yield level, _limits(own, "maxCheckpoints", "maxTotalSize", _UNLIMITED)
                return
        general = self._spec.get("globalPolicy", {})
        for level, default in (("container", 10), ("pod", 20), ("namespace", 30)):
            word = level.title()
            yield (
                level,
                _limits(
                    {**general, **_without_negative(general, f"maxCheckpointsPer{word}")},
                    f"maxCheckpointsPer{word}",
                    f"maxTotalSizePer{word}",
                    default,
                ),
            )

    def _own(self, level: str, whose: tuple[str, ...]) -> Mapping[str, Any] | None:
        parts = LEVELS[: LEVELS.index(level) + 1]
        for policy in self._spec.get(f"{level}Policies", ()):
            if all(policy.get(part) == name for part, name in zip(parts, whose, strict=False)):
                return dict(policy)
        return None

    def _apply(self, level: str, whose: tuple[str, ...], limits: _Limits) -> None:
        if limits.is_off:
            return
        parts = LEVELS.index(level) + 1
        group = [
            each
            for each in self.left
            if each.whose[:parts] == whose[:parts]
            and not any(self._own(narrower, each.whose) for narrower in LEVELS[parts:])
        ]
        if level == "container":
            group = [each for each in self.left if each.whose == whose]
        if not limits.retain and self._is_gone(level, whose):
            self._delete(each for each in group if not each.pinned)
            return
        self._delete(each for each in group if each.size > limits.size and not each.pinned)
        group = [each for each in group if each in self.left]
        free = [each for each in group if not each.pinned]
        excess = max(0, len(group) - limits.count)
        total = sum(each.size for each in group)
        self._delete(free[:excess])
        for each in free:
            if total <= limits.total:
                break
            total -= each.size
            self._delete([each])

    def _is_gone(self, level: str, whose: tuple[str, ...]) -> bool:
        if self._cluster is None:
            return False
        if whose[0] not in self._cluster["namespaces"]:
            return True
        pods = {(pod["namespace"], pod["name"]): pod for pod in self._cluster["pods"]}
        pod = pods.get((whose[0], whose[1]))
        if level == "namespace":
            return False
        return pod is None or (level == "container" and whose[2] not in pod["containers"])

    def _delete(self, archives: Iterable[Held]) -> None:
        gone = {each.name for each in archives}
        self.left = [each for each in self.left if each.name not in gone]


def _without_negative(policy: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return {name: None} if (policy.get(name) or 0) < 0 else {}


def _limits(policy: Mapping[str, Any], count: str, total: str, default: int) -> _Limits:
    def size(name: str) -> Fraction | int:
        found = parse_quantity(policy.get(name))
        return _UNLIMITED if found is None else found

    most = policy.get(count)
    retain = policy.get("retainOrphan")
    return _Limits(
        True if retain is None else retain,
        default if most is None else most,
        size("maxCheckpointSize"),
        size(total),
    )
