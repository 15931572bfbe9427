"""What is to be kept: values that say it, and which of them counts for whom.

A rule that is not set (`INHERIT`) is that of the next wider policy; None switches it off.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from attrs import field, frozen

from checkpointkit.archives.model import Container, Level

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

__all__ = [
    "DEFAULT_RULES",
    "INHERIT",
    "Inherit",
    "OrphanRule",
    "Order",
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
_Count: TypeAlias = "int | None | _Inherit"
_Bytes: TypeAlias = "int | None | _Inherit"
_Time: TypeAlias = "timedelta | None | _Inherit"


@frozen
class OrphanRule:
    """Archives of what is gone expire.

    Attributes:
        grace: How long after it was first seen to be gone.
        gone: The least that has to be gone: the container, its pod, or its namespace.
    """

    grace: timedelta
    gone: Level = Level.CONTAINER


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

    keep_last: _Count = INHERIT
    keep_within: _Time = INHERIT
    keep_hourly: _Count = INHERIT
    keep_daily: _Count = INHERIT
    keep_weekly: _Count = INHERIT
    keep_monthly: _Count = INHERIT
    keep_yearly: _Count = INHERIT
    max_age: _Time = INHERIT
    max_size: _Bytes = INHERIT
    min_age: _Time = INHERIT
    orphans: OrphanRule | None | _Inherit = INHERIT
    container_count: _Count = INHERIT
    container_size: _Bytes = INHERIT
    pod_count: _Count = INHERIT
    pod_size: _Bytes = INHERIT
    namespace_count: _Count = INHERIT
    namespace_size: _Bytes = INHERIT
    allow_empty: bool | _Inherit = INHERIT


DEFAULT_RULES: Final = Rules(container_count=10)
"""Ten of each container, as the operator's `maxCheckpointsPerContainer`."""


@frozen
class Percent:
    """A share of the file system.

    Attributes:
        value: Per cent of it, above 0 and below 100.
    """

    value: float


@frozen
class Watermarks:
    """Above `high` archives go, until `low` is reached (as the kubelet's image collector).

    Attributes:
        high: What of the file system may be in use, as bytes or a share of it.
        low: What may still be in use afterwards.
    """

    high: int | Percent
    low: int | Percent


@frozen(kw_only=True)
class Quarantine:
    """What may lie about of broken archives; the oldest of them go first.

    Attributes:
        count: At most so many.
        size: At most so many bytes of them.
    """

    count: int | None = None
    size: int | None = None


class Order(Enum):
    """What tells that an archive is older than another."""

    CHECKPOINTED = "checkpointed"
    """When it was taken: as it says itself, else as its name says, else when it was written."""
    MTIME = "mtime"
    """When it was last written, as for the operator."""


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
        exclusive: What has a policy of its own leaves the groups of wider ones (the operator's).
    """

    rules: Rules = DEFAULT_RULES
    namespaces: Mapping[str, Rules] = field(factory=dict)
    pods: Mapping[tuple[str, str], Rules] = field(factory=dict)
    containers: Mapping[Container, Rules] = field(factory=dict)
    directory_count: int | None = None
    directory_size: int | None = None
    min_free: int | Percent | None = None
    watermarks: Watermarks | None = None
    quarantine: Quarantine | None = None
    timezone: str = "UTC"
    order: Order = Order.CHECKPOINTED
    pins_count: bool = False
    exclusive: bool = False
