"""What is to be kept: values that say it, and which of them counts for whom.

A rule that is not set (`INHERIT`) is that of the next wider policy; None switches it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from attrs import evolve, field, fields, frozen

from checkpointkit.archives.calendar import zone_of
from checkpointkit.archives.checks import (
    flag,
    instance,
    length_of_time,
    number,
    or_value,
    percent,
    wait,
)
from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import Container, Level

if TYPE_CHECKING:
    from datetime import timedelta

    from attrs import Attribute

__all__ = [
    "DEFAULT_RULES",
    "INHERIT",
    "Inherit",
    "Order",
    "OrphanRule",
    "Percent",
    "Policy",
    "Quarantine",
    "Rules",
    "Watermarks",
]


class Inherit(Enum):
    """The type of `INHERIT`."""

    INHERIT = "inherit"


INHERIT: Final = Inherit.INHERIT
"""This rule is as the next wider policy has it."""

_Inherit: TypeAlias = Literal[Inherit.INHERIT]
_Count: TypeAlias = "int | _Inherit | None"
_Bytes: TypeAlias = "int | _Inherit | None"
_Time: TypeAlias = "timedelta | _Inherit | None"

_NUMBER: Final = or_value(INHERIT, number)
_LENGTH: Final = or_value(INHERIT, length_of_time)


@frozen
class OrphanRule:
    """Archives of what is gone expire.

    Attributes:
        grace: How long after it was first seen to be gone.
        gone: The least that has to be gone: the container, its pod, or its namespace.
    """

    grace: timedelta = field(validator=wait)
    gone: Level = field(default=Level.CONTAINER, validator=instance(Level))

    def __attrs_post_init__(self) -> None:
        if self.gone is Level.DIRECTORY:
            raise PolicyError(
                "gone", "a directory is never gone; write container, pod or namespace"
            )


@frozen(kw_only=True)
class Rules:
    """The rules for the archives of a namespace, a pod, a container, or all.

    Attributes:
        keep_last: Keep the newest so many of each container.
        keep_within: Keep what is not older than that before the newest of its container.
        keep_hourly: Keep the newest of each of so many hours that have one.
        keep_daily: The same for days.
        keep_weekly: The same for ISO weeks.
        keep_monthly: The same for months.
        keep_yearly: The same for years.
        max_age: What is older expires, whatever else keeps it.
        max_size: What is larger in bytes expires, whatever else keeps it.
        min_age: What is younger is protected.
        orphans: When archives expire whose parent is gone.
        container_count: At most so many archives of a container.
        container_size: At most so many bytes of a container.
        pod_count: At most so many archives of a pod.
        pod_size: At most so many bytes of a pod.
        namespace_count: At most so many archives of a namespace.
        namespace_size: At most so many bytes of a namespace.
        allow_empty: Delete the newest complete archive of a container, too, where a rule says so.
    """

    keep_last: _Count = field(default=INHERIT, validator=_NUMBER)
    keep_within: _Time = field(default=INHERIT, validator=_LENGTH)
    keep_hourly: _Count = field(default=INHERIT, validator=_NUMBER)
    keep_daily: _Count = field(default=INHERIT, validator=_NUMBER)
    keep_weekly: _Count = field(default=INHERIT, validator=_NUMBER)
    keep_monthly: _Count = field(default=INHERIT, validator=_NUMBER)
    keep_yearly: _Count = field(default=INHERIT, validator=_NUMBER)
    max_age: _Time = field(default=INHERIT, validator=_LENGTH)
    max_size: _Bytes = field(default=INHERIT, validator=_NUMBER)
    min_age: _Time = field(default=INHERIT, validator=_LENGTH)
    orphans: OrphanRule | _Inherit | None = field(
        default=INHERIT, validator=or_value(INHERIT, or_value(None, instance(OrphanRule)))
    )
    container_count: _Count = field(default=INHERIT, validator=_NUMBER)
    container_size: _Bytes = field(default=INHERIT, validator=_NUMBER)
    pod_count: _Count = field(default=INHERIT, validator=_NUMBER)
    pod_size: _Bytes = field(default=INHERIT, validator=_NUMBER)
    namespace_count: _Count = field(default=INHERIT, validator=_NUMBER)
    namespace_size: _Bytes = field(default=INHERIT, validator=_NUMBER)
    allow_empty: bool | _Inherit = field(default=INHERIT, validator=or_value(INHERIT, flag))


DEFAULT_RULES: Final = Rules(container_count=10)
"""Ten of each container, as the operator's `maxCheckpointsPerContainer`."""


@frozen
class Percent:
    """A share of the file system.

    Attributes:
        value: Per cent of it, above 0 and below 100.
    """

    value: float = field(validator=percent)


def _mark(of: object, attribute: Attribute[Any], value: object) -> None:
    if value is None:
        raise PolicyError(attribute.name, "both are needed; leave both away to switch them off")
    number(of, attribute, value)


@frozen
class Watermarks:
    """Above `high` archives go, until `low` is reached (as the kubelet's image collector).

    Attributes:
        high: What of the file system may be in use, as bytes or a share of it.
        low: What may still be in use afterwards.
    """

    high: int | Percent = field(validator=or_value(Percent, _mark))
    low: int | Percent = field(validator=or_value(Percent, _mark))

    def __attrs_post_init__(self) -> None:
        # A share and a number of bytes can be compared when the file system is known; then, too,
        # nothing goes below the lower of both.
        if type(self.high) is type(self.low) and _amount(self.low) > _amount(self.high):
            raise PolicyError("low", "the low watermark is above the high one; exchange them")


def _amount(mark: int | Percent) -> float:
    return mark.value if isinstance(mark, Percent) else mark


@frozen(kw_only=True)
class Quarantine:
    """What may lie about of broken archives; the oldest of them go first.

    Attributes:
        count: At most so many.
        size: At most so many bytes of them.
    """

    count: int | None = field(default=None, validator=number)
    size: int | None = field(default=None, validator=number)


class Order(Enum):
    """What tells that an archive is older than another."""

    CHECKPOINTED = "checkpointed"
    """When it was taken: as it says itself, else as its name says, else when it was written."""
    MTIME = "mtime"
    """When it was last written, as for the operator."""


def _own(entries: Any) -> Any:
    # A policy does not change when the mapping that it was made of does.
    return dict(entries) if isinstance(entries, Mapping) else entries


@frozen(kw_only=True)
class Policy:
    """All that `plan` has to know of what is wanted.

    Attributes:
        rules: The rules for all archives.
        namespaces: Those for a namespace.
        pods: Those for a pod, by namespace and name.
        containers: Those for a container.
        directory_count: At most so many archives in the directory.
        directory_size: At most so many bytes in the directory.
        min_free: What has to be free of the file system, as bytes or a share of it.
        watermarks: When the file system is too full, and when no more.
        quarantine: What may lie about of broken archives; None leaves them alone.
        timezone: The time zone in which hours, days, weeks, months and years begin (IANA).
        order: What tells that an archive is older than another.
        pins_count: Pinned archives count like others (the operator's way), and are kept.
        exclusive: What has a policy of its own is limited at that level alone, and leaves the
            groups of the wider ones (the operator's way).
        names_count: An archive whose name alone says whose it is, is theirs; False has it kept like
            one of which nobody knows whose it is (the operator's way).
    """

    rules: Rules = field(default=DEFAULT_RULES, validator=instance(Rules))
    namespaces: Mapping[str, Rules] = field(
        factory=dict, converter=_own, validator=instance(Mapping)
    )
    pods: Mapping[tuple[str, str], Rules] = field(
        factory=dict, converter=_own, validator=instance(Mapping)
    )
    containers: Mapping[Container, Rules] = field(
        factory=dict, converter=_own, validator=instance(Mapping)
    )
    directory_count: int | None = field(default=None, validator=number)
    directory_size: int | None = field(default=None, validator=number)
    min_free: int | Percent | None = field(default=None, validator=or_value(Percent, number))
    watermarks: Watermarks | None = field(
        default=None, validator=or_value(None, instance(Watermarks))
    )
    quarantine: Quarantine | None = field(
        default=None, validator=or_value(None, instance(Quarantine))
    )
    timezone: str = field(default="UTC", validator=instance(str))
    order: Order = field(default=Order.CHECKPOINTED, validator=instance(Order))
    pins_count: bool = field(default=False, validator=flag)
    exclusive: bool = field(default=False, validator=flag)
    names_count: bool = field(default=True, validator=flag)
    _resolved: dict[tuple[object, ...], Rules] = field(
        factory=dict, init=False, repr=False, eq=False
    )

    def __attrs_post_init__(self) -> None:
        zone_of(self.timezone)
        for namespace, rules in self.namespaces.items():
            if not _are_texts(namespace):
                raise PolicyError("namespaces", f"a namespace is named by a str, not {namespace!r}")
            _check_entry(namespace, rules, ())
        for pod, rules in self.pods.items():
            if not _is_pod(pod):
                raise PolicyError("pods", f"a pod is named by (namespace, pod), not {pod!r}")
            _check_entry("/".join(pod), rules, ("namespace_",))
        for container, rules in self.containers.items():
            if type(container) is not Container:
                reason = f"a container is named by a Container, not {container!r}"
                raise PolicyError("containers", reason)
            _check_entry(str(container), rules, ("pod_", "namespace_"))

    def rules_for(self, container: Container) -> Rules:
        """Return the rules for a container's archives, each of them set: None is off.

        Those of its own policy, else of its pod's, else of its namespace's, else the general ones,
        field by field; what is set nowhere is off.

        Example:
            >>> of_web = {("default", "web"): Rules(keep_last=3)}
            >>> rules = Policy(pods=of_web).rules_for(Container("default", "web", "app"))
            >>> rules.keep_last, rules.container_count, rules.max_age
            (3, 10, None)
        """
        return self._rules(
            self.namespaces.get(container.namespace),
            self.pods.get((container.namespace, container.pod)),
            self.containers.get(container),
        )

    def general_rules(self) -> Rules:
        """Return the rules for whatever has none of its own, each of them set: None is off."""
        return self._rules()

    def rules_of_pod(self, namespace: str, pod: str) -> Rules:
        """Return the rules for a pod's archives together, each of them set: None is off."""
        return self._rules(self.namespaces.get(namespace), self.pods.get((namespace, pod)))

    def rules_of_namespace(self, namespace: str) -> Rules:
        """Return the rules for a namespace's archives together, each of them set: None is off."""
        return self._rules(self.namespaces.get(namespace))

    def _rules(self, *specific: Rules | None) -> Rules:
        found = [rules for rules in specific if rules is not None]
        # They are this policy's own values and live as long, so that each has its number alone.
        key = tuple(map(id, found))
        rules = self._resolved.get(key)
        if rules is None:
            rules = _UNSET
            for each in (self.rules, *found):
                rules = evolve(rules, **_set_in(each))
            self._resolved[key] = rules
        return rules


def _set_in(rules: Rules) -> dict[str, Any]:
    values = {name: getattr(rules, name) for name in _FIELDS}
    return {name: value for name, value in values.items() if value is not INHERIT}


def _is_pod(name: object) -> bool:
    return isinstance(name, tuple) and len(name) == _PARTS_OF_A_POD and _are_texts(*name)


def _are_texts(*names: object) -> bool:
    return all(isinstance(name, str) for name in names)


def _check_entry(whose: str, rules: object, wider: tuple[str, ...]) -> None:
    if not isinstance(rules, Rules):
        raise PolicyError(whose, f"it has to be Rules, not {type(rules).__name__}")
    for name in _set_in(rules):
        for level in wider:
            if name.startswith(level):
                level_name = level.removesuffix("_")
                reason = (
                    f"that is a {level_name}'s limit; write it in the policy of the {level_name}"
                )
                raise PolicyError(f"{name} of {whose}", reason)


_PARTS_OF_A_POD: Final = 2
_FIELDS: Final = tuple(attribute.name for attribute in fields(Rules))
_UNSET: Final = Rules(**dict.fromkeys(_FIELDS[:-1]), allow_empty=False)
