"""What goes by which rule, and what stays: a pure function of what was found and what is wanted.

`plan` touches nothing: it takes the inventory as it is, the policy and the time, and returns a
decision for every archive. The same question always has the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, overload

from attrs import field, frozen

from checkpointkit.archives.calendar import zone_of
from checkpointkit.archives.planning.expiry import Expiry
from checkpointkit.archives.planning.groups import Groups
from checkpointkit.archives.planning.ledger import Ledger
from checkpointkit.archives.planning.limits import Broken, Piles, blocked_by, free_up, hold
from checkpointkit.archives.planning.order import by_name, moment, moments, since_1970
from checkpointkit.archives.planning.reasons import RULES, Reason, Unmet, words
from checkpointkit.archives.policies import Order, Percent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from checkpointkit.archives.model import Archive, Container, Gone, Orphans, Parent, Space
    from checkpointkit.archives.policies import Policy, Watermarks

__all__ = ["RULES", "Decision", "Decisions", "Plan", "Reason", "Unmet", "moment", "plan"]

_NOBODY: Final[Mapping[Parent, Gone]] = {}
_HUNDRED: Final = 100


@frozen
class Decision:
    """That an archive goes, or stays.

    Attributes:
        archive: The archive.
        reason: Why.
    """

    archive: Archive
    reason: Reason

    @property
    def delete(self) -> bool:
        """Whether it goes."""
        return self.reason.delete

    @property
    def rule(self) -> str:
        """Which rule says so, of `RULES`."""
        return self.reason.rule

    @property
    def words(self) -> str:
        """Why, for a person."""
        return words(self.archive, self.reason)


@frozen
class Decisions(Sequence[Decision]):
    """The decisions of a plan: a sequence of which each is made when somebody looks at it.

    A million of them would have the garbage collector go through everything time and again.

    Attributes:
        archives: The archives.
        reasons: Why each goes or stays.
    """

    archives: tuple[Archive, ...] = field(repr=False)
    reasons: tuple[Reason, ...] = field(repr=False)

    @overload
    def __getitem__(self, place: int) -> Decision: ...

    @overload
    def __getitem__(self, place: slice) -> Decisions: ...

    def __getitem__(self, place: int | slice) -> Decision | Decisions:
        if isinstance(place, slice):
            return Decisions(self.archives[place], self.reasons[place])
        return Decision(self.archives[place], self.reasons[place])

    def __iter__(self) -> Iterator[Decision]:
        return map(Decision, self.archives, self.reasons)

    def __len__(self) -> int:
        return len(self.archives)


@frozen
class Plan:
    """What is to be done with a directory.

    Attributes:
        decisions: One for every archive, sorted by the bytes of their names.
        unmet: The limits that do not hold afterwards, each with what blocks it.
        now_ns: When it was made, in nanoseconds since 1970.
        order: What tells that an archive is older than another.
        floors: By container, the archive that always stays, where others go: those may go only as
            long as it is there. A container of which nothing has to stay has none.
    """

    decisions: Sequence[Decision] = field(repr=False)
    unmet: tuple[Unmet, ...]
    now_ns: int
    order: Order = Order.CHECKPOINTED
    floors: Mapping[Container, Archive] = field(factory=dict, repr=False)

    @property
    def deletions(self) -> tuple[Decision, ...]:
        """The decisions that delete, oldest archive first."""
        found = [decision for decision in self.decisions if decision.reason.delete]
        times = moments([decision.archive for decision in found], self.order, self.now_ns)
        return tuple(found[place] for place in sorted(range(len(found)), key=times.__getitem__))

    @property
    def freed(self) -> int:
        """The bytes of what goes (`st_size`)."""
        return sum(each.archive.size for each in self.decisions if each.reason.delete)


def plan(
    archives: Iterable[Archive],
    policy: Policy,
    now: datetime,
    *,
    space: Space | None = None,
    orphans: Orphans = _NOBODY,
    touched: Collection[Container] | None = None,
) -> Plan:
    """Return what goes and what stays, each with the rule that says so.

    Each name is an archive with all its bytes. Of two names of one inode (hard links) one may go
    and the other stay, and then no bytes are free; `apply` says what is. It also finds that the
    first one's deletion has changed the inode, and leaves the other names of it to the next look.

    Args:
        archives: All that lies in the directory, of different names, in any order.
        policy: What is wanted.
        now: The time, with a time zone.
        space: The file system's blocks; None where nobody has looked: then `min_free` and
            `watermarks` have nothing go.
        orphans: The parents that are confirmed to be gone.
        touched: Only groups that one of these containers is in are looked at, whether it has
            archives or not; None for all. What is for the whole directory always acts.

    Raises:
        PolicyError: The time has no time zone.

    Example:
        >>> from datetime import UTC, datetime
        >>> from checkpointkit.archives.model import Archive, Container, State
        >>> from checkpointkit.archives.policies import Policy, Rules
        >>> app = Container("default", "web", "app")
        >>> found = [
        ...     Archive(
        ...         name=f"{n}.tar",
        ...         size=9,
        ...         device=1,
        ...         inode=n,
        ...         mtime_ns=n,
        ...         ctime_ns=n,
        ...         state=State.COMPLETE,
        ...         container=app,
        ...     )
        ...     for n in (1, 2, 3)
        ... ]
        >>> policy = Policy(rules=Rules(container_count=2))
        >>> for decision in plan(found, policy, datetime.now(UTC)).decisions:
        ...     print(decision.archive.name, decision.delete, decision.words)
        1.tar True the container default/web/app has 3 archives, 2 are allowed
        2.tar False no rule says that it goes
        3.tar False newest complete archive of default/web/app, always kept
    """
    now_ns = since_1970(now)
    found = by_name(archives)
    times = moments(found, policy.order, now_ns)
    ledger = Ledger(found, times, now_ns, policy, zone_of(policy.timezone))
    groups = Groups(ledger, policy, touched)
    expiry = Expiry(ledger, orphans, now_ns)
    for pile in ledger.piles.values():
        expiry.find_floor(pile)
    for pile in groups.reached():
        expiry.expire(pile)
    unmet = _quarantine(ledger, policy)
    for group, rule, wanted in groups.limits():
        unmet += hold(ledger, group, rule, wanted)
    directory = Piles(
        ledger, "directory", list(ledger.piles.values()), strays=[*ledger.strays, *ledger.broken]
    )
    unmet += hold(ledger, directory, "directory-count", policy.directory_count)
    unmet += hold(ledger, directory, "directory-size", policy.directory_size)
    if space is not None:
        unmet += _keep_free(ledger, directory, policy.min_free, space)
        unmet += _keep_below(ledger, directory, policy.watermarks, space)
    unmet.sort(key=lambda each: (RULES.index(each.rule), each.group))
    decisions = Decisions(tuple(found), ledger.settle())
    return Plan(decisions, tuple(unmet), now_ns, policy.order, ledger.floors())


def _quarantine(ledger: Ledger, policy: Policy) -> list[Unmet]:
    quarantine = policy.quarantine
    if quarantine is None:
        return []
    broken = Broken(ledger)
    return [
        *hold(ledger, broken, "quarantine-count", quarantine.count),
        *hold(ledger, broken, "quarantine-size", quarantine.size),
    ]


def _keep_free(
    ledger: Ledger, directory: Piles, min_free: int | Percent | None, space: Space
) -> list[Unmet]:
    if min_free is None:
        return []
    wanted = _bytes(min_free, space)
    free = space.free + ledger.freed
    reason = Reason("min-free", delete=True, group="file system", wanted=wanted, found=free)
    free_up(ledger, wanted - free, reason)
    free = space.free + ledger.freed
    if free >= wanted:
        return []
    return [Unmet("min-free", "file system", wanted, free, _blocks(directory))]


def _keep_below(
    ledger: Ledger, directory: Piles, marks: Watermarks | None, space: Space
) -> list[Unmet]:
    used = space.total - space.free - ledger.freed
    if marks is None or used <= (high := _bytes(marks.high, space)):
        return []
    # Of a share and a number of bytes the low one may be the larger, on a small file system.
    low = min(_bytes(marks.low, space), high)
    reason = Reason("watermark", delete=True, group="file system", wanted=low, found=used)
    free_up(ledger, used - low, reason)
    used = space.total - space.free - ledger.freed
    if used <= low:
        return []
    return [Unmet("watermark", "file system", low, used, _blocks(directory))]


def _blocks(directory: Piles) -> Mapping[str, int]:
    return blocked_by(directory.blocks(counted=False))


def _bytes(share: int | Percent, space: Space) -> int:
    if isinstance(share, Percent):
        return math.floor(space.total * share.value / _HUNDRED)
    return share
