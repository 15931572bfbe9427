"""Who has how much: totals by namespace, pod and container. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, frozen

from checkpointkit.archives.model import Archive, Level, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Group", "Totals", "Usage", "is_protected", "usage"]

_DEPTH: Final = {Level.NAMESPACE: 0, Level.POD: 1, Level.CONTAINER: 2}
"""How far below the namespaces the groups of a level are."""


@frozen(kw_only=True)
class Totals:
    """What some archives come to.

    Attributes:
        archives: How many there are.
        size: Their bytes (`st_size`).
        pinned: How many of them are pinned.
        protected: How many of them no rule deletes, whatever the policy: the pinned ones, those of
            unknown identity, those in flight, and what could not be read.
        in_flight: How many of them may still be written.
        broken: How many of them were read, and are no whole archives.
        oldest_ns: When the oldest was taken, in nanoseconds since 1970; None where there is none.
        newest_ns: When the newest was taken.
    """

    archives: int = 0
    size: int = 0
    pinned: int = 0
    protected: int = 0
    in_flight: int = 0
    broken: int = 0
    oldest_ns: int | None = None
    newest_ns: int | None = None


@frozen
class Group:
    """The archives of a namespace, a pod, or a container.

    Attributes:
        names: The names of the namespace, the pod and the container, as far as they are given.
        totals: What they come to.
        members: The narrower groups in it, most bytes first; none in a container.
    """

    names: tuple[str, ...]
    totals: Totals
    members: tuple[Group, ...] = ()

    def __str__(self) -> str:
        return "/".join(self.names)


@frozen(kw_only=True)
class Usage:
    """Who has how much of a directory.

    Attributes:
        totals: All archives.
        namespaces: The archives whose identity is known, most bytes first.
        unknown: The whole archives of which nobody knows whose they are.
        broken: The broken ones of which nobody knows that; a quarantine may delete them.
        unread: All others of which nobody knows that: they may still be written, could not be
            read, or are no files.
        pod_checkpoints: The directories of the kubelet's own (KEP-5823).
        foreign: How many files are there that are no archives by their names.
        foreign_size: Their bytes.
    """

    totals: Totals
    namespaces: tuple[Group, ...]
    unknown: Totals
    broken: Totals
    unread: Totals
    pod_checkpoints: Totals
    foreign: int = 0
    foreign_size: int = 0

    def groups(self, level: Level) -> tuple[Group, ...]:
        """Return all groups of a level, most bytes first, then by name.

        Args:
            level: `Level.NAMESPACE`, `Level.POD` or `Level.CONTAINER`.
        """
        found: Iterable[Group] = self.namespaces
        for _ in range(_DEPTH[level]):
            found = [member for group in found for member in group.members]
        return tuple(sorted(found, key=_rank))


def usage(
    archives: Iterable[Archive],
    *,
    moment: Callable[[Archive], int] | None = None,
    foreign: int = 0,
    foreign_size: int = 0,
) -> Usage:
    """Return who has how much.

    Args:
        archives: The archives, in any order.
        moment: Tells when an archive was taken, in nanoseconds since 1970; None: when it was last
            written.
        foreign: How many other files there are.
        foreign_size: Their bytes.

    Example:
        >>> from checkpointkit.archives.model import Container
        >>> web = Container("default", "web", "app")
        >>> archive = Archive(name="a.tar", size=9, device=1, inode=2, mtime_ns=3, ctime_ns=3,
        ...     state=State.COMPLETE, container=web)
        >>> found = usage([archive])
        >>> print(*found.groups(Level.POD), found.totals.size)
        default/web 9
    """
    everything, pod_checkpoints = _Sum(), _Sum()
    unknown, broken, unread = _Sum(), _Sum(), _Sum()
    nobodys = {State.COMPLETE: unknown, State.BROKEN: broken}
    groups: dict[tuple[str, ...], _Sum] = {}
    for archive in archives:
        when = archive.mtime_ns if moment is None else moment(archive)
        everything.add(archive, when)
        if archive.state is State.POD_CHECKPOINT:
            pod_checkpoints.add(archive, when)
        elif archive.container is None:
            nobodys.get(archive.state, unread).add(archive, when)
        else:
            own = archive.container
            names = (own.namespace, own.pod, own.container)
            for width in (1, 2, 3):
                group = groups.get(names[:width])
                if group is None:
                    group = groups[names[:width]] = _Sum()
                group.add(archive, when)
    return Usage(
        totals=everything.totals(),
        namespaces=tuple(_tree(groups)),
        unknown=unknown.totals(),
        broken=broken.totals(),
        unread=unread.totals(),
        pod_checkpoints=pod_checkpoints.totals(),
        foreign=foreign,
        foreign_size=foreign_size,
    )


def is_protected(archive: Archive) -> bool:
    """Tell whether no rule deletes an archive, whatever the policy (but for its minimum age).

    Args:
        archive: The archive.
    """
    if archive.pins:
        return True
    if archive.state is State.BROKEN:  # it was read, and is no archive: it may go in quarantine
        return False
    return archive.state is not State.COMPLETE or archive.container is None


def _tree(groups: dict[tuple[str, ...], _Sum]) -> Iterator[Group]:
    members: dict[tuple[str, ...], list[Group]] = {}
    for names in sorted(groups, key=len, reverse=True):  # containers, then pods, then namespaces
        within = sorted(members.pop(names, ()), key=_rank)
        group = Group(names, groups[names].totals(), tuple(within))
        members.setdefault(names[:-1], []).append(group)
    return iter(sorted(members.get((), ()), key=_rank))


def _rank(group: Group) -> tuple[int, tuple[str, ...]]:
    return -group.totals.size, group.names


@define
class _Sum:
    """Totals that grow."""

    archives: int = 0
    size: int = 0
    pinned: int = 0
    protected: int = 0
    in_flight: int = 0
    broken: int = 0
    oldest_ns: int | None = None
    newest_ns: int | None = None

    def add(self, archive: Archive, when: int) -> None:
        """Count an archive that was taken at `when`."""
        self.archives += 1
        self.size += archive.size
        self.pinned += bool(archive.pins)
        self.protected += is_protected(archive)
        self.in_flight += archive.state is State.IN_FLIGHT
        self.broken += archive.state is State.BROKEN
        if self.oldest_ns is None or when < self.oldest_ns:
            self.oldest_ns = when
        if self.newest_ns is None or when > self.newest_ns:
            self.newest_ns = when

    def totals(self) -> Totals:
        """Return what it has come to."""
        return Totals(
            archives=self.archives,
            size=self.size,
            pinned=self.pinned,
            protected=self.protected,
            in_flight=self.in_flight,
            broken=self.broken,
            oldest_ns=self.oldest_ns,
            newest_ns=self.newest_ns,
        )
