"""The rules once more, as they are written and as slowly as that: what `plan` is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from checkpointkit.archives.model import Archive, Container, Gone, Level, Parent, State
from checkpointkit.archives.policies import INHERIT, Order, Percent, Rules
from tests.archives.strategies import NOW_NS, Case

Key = tuple[str, ...]
Found = tuple[str, str, int, int, dict[str, int]]


class Naive:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.policy = case.policy
        self.archives = sorted(case.archives, key=name_bytes)
        self.gone: dict[str, str] = {}
        self.unmet: list[Found] = []

    # ------------------------------------------------------------ what an archive is: 1, 2, 3, 10

    def taken(self, archive: Archive) -> int:
        stamps = [archive.checkpointed_ns, archive.named_ns]
        if archive.state is State.BROKEN:
            stamps = []
        if self.policy.order is Order.MTIME:
            return archive.mtime_ns
        five_minutes = 5 * 60 * 10**9
        stamps.append(archive.mtime_ns)
        good = [stamp for stamp in stamps if stamp is not None and stamp <= NOW_NS + five_minutes]
        return [*good, NEVER][0]

    def age(self, archive: Archive) -> int | None:
        """How old it is; None if nobody knows."""
        taken = self.taken(archive)
        return None if taken == NEVER else NOW_NS - taken

    def oldest_first(self, archives: Iterable[Archive]) -> list[Archive]:
        return sorted(archives, key=lambda each: (self.taken(each), name_bytes(each)))

    def owner(self, archive: Archive) -> Container | None:
        if archive.by_name and not self.policy.names_count:
            return None
        return archive.container

    def rule(self, name: str, container: Container | None) -> Any:
        places: list[Rules | None] = [self.policy.rules]
        if container is not None:
            pod = (container.namespace, container.pod)
            places = [
                self.policy.containers.get(container),
                self.policy.pods.get(pod),
                self.policy.namespaces.get(container.namespace),
                self.policy.rules,
            ]
        for place in places:
            value = INHERIT if place is None else getattr(place, name)
            if value is not INHERIT:
                return value
        return None

    def protection(self, archive: Archive) -> str | None:
        special = {
            State.OTHER: "other",
            State.POD_CHECKPOINT: "pod-checkpoint",
            State.IN_FLIGHT: "in-flight",
            State.UNREADABLE: "unreadable",
        }
        if archive.state in special:
            return special[archive.state]
        if self.owner(archive) is None and archive.state is not State.BROKEN:
            return "unknown"
        min_age = self.rule("min_age", self.owner(archive))
        age = self.age(archive)
        if age is None and archive.state is State.COMPLETE:
            return "undated"
        if min_age is not None and (age is None or age < ns(min_age)):
            return "min-age"
        return "pinned" if archive.pins else None

    def is_orphan(self, archive: Archive) -> Gone | None:
        container = self.owner(archive)
        rule = self.rule("orphans", container)
        if rule is None or container is None:
            return None
        gone = self.case.orphans.get(Parent(container, archive.pod_uid))
        widths = [Level.CONTAINER, Level.POD, Level.NAMESPACE]
        if gone is None or widths.index(gone.level) < widths.index(rule.gone):
            return None
        return gone

    def is_floor(self, archive: Archive) -> bool:
        """Rule 10."""
        container = self.owner(archive)
        if container is None or self.rule("allow_empty", container):
            return False
        candidates = [each for each in self.free_of(container) if not self.is_orphan(each)]
        return self.oldest_first(candidates)[-1:] == [archive]

    def free_of(self, container: Container) -> list[Archive]:
        """The complete archives of a container that are not protected."""
        return [
            each
            for each in self.archives
            if self.owner(each) == container
            and each.state is State.COMPLETE
            and self.protection(each) is None
        ]

    def is_there(self, archive: Archive) -> bool:
        return archive.name not in self.gone

    def may_go(self, archive: Archive) -> bool:
        return (
            self.is_there(archive)
            and self.protection(archive) is None
            and not self.is_floor(archive)
        )

    # --------------------------------------------------- keep rules, orphans, age and size: 4, 5, 6

    def selected(self, archive: Archive) -> list[str]:
        container = self.owner(archive)
        assert container is not None
        newest_first = self.oldest_first(self.free_of(container))[::-1]
        names = []
        last = self.rule("keep_last", container)
        if last is not None and archive in newest_first[:last]:
            names.append("keep-last")
        within = self.rule("keep_within", container)
        if within is not None and self.taken(newest_first[0]) - self.taken(archive) <= ns(within):
            names.append("keep-within")
        for rule, text in PERIODS:
            number = self.rule(rule, container)
            if number is None:
                continue
            first_of: dict[str, Archive] = {}
            for each in newest_first:
                first_of.setdefault(self.local(each, text), each)
            if archive in list(first_of.values())[:number]:
                names.append(rule.replace("_", "-"))
        return names

    def local(self, archive: Archive, text: str) -> str:
        second = max(self.taken(archive) // 10**9, -(10**10) * 6)
        there = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
        return there.astimezone(ZoneInfo(self.policy.timezone)).strftime(text)

    def expire(self, archive: Archive) -> None:
        container = self.owner(archive)
        assert container is not None
        keeps = [name for name in KEEPS if self.rule(name, container) is not None]
        oldest, size = self.rule("max_age", container), self.rule("max_size", container)
        age = self.age(archive)
        gone = self.is_orphan(archive)
        if keeps and not self.selected(archive):
            self.gone[archive.name] = "expired"
        elif gone and NOW_NS - gone.since_ns >= ns(self.rule("orphans", container).grace):
            self.gone[archive.name] = "orphan"
        elif oldest is not None and age is not None and age > ns(oldest):
            self.gone[archive.name] = "max-age"
        elif size is not None and archive.size > size:
            self.gone[archive.name] = "max-size"

    # ------------------------------------------------------------------- limits: 7, 8, 9, 11, 12

    def groups(self, container: Container) -> list[Key]:
        policy, pod = self.policy, (container.namespace, container.pod)
        keys: list[Key] = [(*pod, container.container), pod, (container.namespace,)]
        if policy.exclusive:
            if container in policy.containers:
                return keys[:1]
            if pod in policy.pods:
                return keys[1:2]
            if container.namespace in policy.namespaces:
                return keys[2:]
        return keys

    def is_touched(self, key: Key) -> bool:
        touched = self.case.touched
        return touched is None or any(key in self.groups(each) for each in touched)

    def counts(self, archive: Archive) -> bool:
        protection = self.protection(archive)
        return protection is None or (protection == "pinned" and self.policy.pins_count)

    def keeper(self, archive: Archive) -> str:
        protection = self.protection(archive)
        if protection is not None:
            return protection
        return "broken" if archive.state is State.BROKEN else "floor"

    def limit(self, rule: str, group: str, members: list[Archive], wanted: int | None) -> None:
        if wanted is None:
            return
        is_size = rule.endswith("size")

        def found() -> int:
            there = [each for each in members if self.is_there(each)]
            if is_size:
                return sum(each.size for each in there)
            return sum(map(self.counts, there))

        def go(archive: Archive) -> bool:
            is_broken = archive.state is State.BROKEN
            return self.may_go(archive) and is_broken == rule.startswith("quarantine")

        while found() > wanted:
            oldest = self.oldest_first(filter(go, members))[:1]
            if not oldest:
                there = [m for m in members if self.is_there(m) and (is_size or self.counts(m))]
                blocked = dict(Counter(map(self.keeper, there)))
                self.unmet.append((rule, group, wanted, found(), blocked))
                return
            self.gone[oldest[0].name] = rule

    def free_up(self, rule: str, needed: Callable[[int], int], wanted: int) -> None:
        def freed() -> int:
            return sum(each.size for each in self.archives if not self.is_there(each))

        def held(container: Container) -> int:
            there = filter(self.is_there, self.members((container,)))
            return sum(each.size for each in there)

        while needed(freed()) > 0:
            deletable = [e for e in self.archives if self.may_go(e) and e.state is State.COMPLETE]
            owners = {owner for each in deletable if (owner := self.owner(each))}
            if not owners:
                blocked = dict(Counter(map(self.keeper, filter(self.is_there, self.archives))))
                space = self.case.space
                assert space is not None
                free = space.free + freed()
                left = free if rule == "min-free" else space.total - free
                self.unmet.append((rule, "file system", wanted, left, blocked))
                return
            fullest = min(owners, key=lambda each: (-held(each), each))
            oldest = self.oldest_first(e for e in deletable if self.owner(e) == fullest)[0]
            self.gone[oldest.name] = rule

    def members(self, containers: tuple[Container, ...]) -> list[Archive]:
        return [
            each
            for each in self.archives
            if self.owner(each) in containers and each.state is not State.BROKEN
        ]

    def run(self) -> None:
        owners = {owner for each in self.archives if (owner := self.owner(each))}
        known = tuple(owner for owner in sorted(owners) if self.members((owner,)))
        for container in known:
            if any(map(self.is_touched, self.groups(container))):
                for each in [e for e in self.free_of(container) if self.may_go(e)]:
                    self.expire(each)
        broken = [each for each in self.archives if each.state is State.BROKEN]
        if self.policy.quarantine is not None:
            self.limit("quarantine-count", "quarantine", broken, self.policy.quarantine.count)
            self.limit("quarantine-size", "quarantine", broken, self.policy.quarantine.size)
        for width, level in ((3, "container"), (2, "pod"), (1, "namespace")):
            keys = {key for owner in known for key in self.groups(owner) if len(key) == width}
            for key in sorted(filter(self.is_touched, keys)):
                inside = tuple(owner for owner in known if key in self.groups(owner))
                members = self.members(inside)
                for what in ("count", "size"):
                    wanted = self.group_rule(f"{level}_{what}", key)
                    self.limit(f"{level}-{what}", "/".join(key), members, wanted)
        counted = [each for each in self.archives if each.state is not State.BROKEN]
        self.limit("directory-count", "directory", counted, self.policy.directory_count)
        self.limit("directory-size", "directory", self.archives, self.policy.directory_size)
        self.space()

    def group_rule(self, name: str, key: Key) -> Any:
        empty = Rules()
        places = [self.policy.rules, self.policy.namespaces.get(key[0], empty)]
        if len(key) > 1:
            places.append(self.policy.pods.get((key[0], key[1]), empty))
        if len(key) > 2:
            places.append(self.policy.containers.get(Container(*key), empty))
        values = [getattr(place, name) for place in places]
        return [None, *(value for value in values if value is not INHERIT)][-1]

    def space(self) -> None:
        space, policy = self.case.space, self.policy
        if space is None:
            return

        def share(amount: int | Percent) -> int:
            if isinstance(amount, int):
                return amount
            return int(space.total * amount.value / 100)

        if policy.min_free is not None:
            wanted = share(policy.min_free)
            self.free_up("min-free", lambda freed: wanted - space.free - freed, wanted)
        if policy.watermarks is not None:
            high = share(policy.watermarks.high)
            low = min(high, share(policy.watermarks.low))
            freed = sum(each.size for each in self.archives if not self.is_there(each))
            if space.total - space.free - freed > high:
                self.free_up("watermark", lambda freed: space.total - space.free - freed - low, low)

    # --------------------------------------------------------------------------------- the answer

    def answer(self) -> tuple[dict[str, tuple[bool, str]], list[Found]]:
        self.run()
        decisions = {each.name: self.decision(each) for each in self.archives}
        return decisions, self.unmet

    def decision(self, archive: Archive) -> tuple[bool, str]:
        if archive.name in self.gone:
            return True, self.gone[archive.name]
        protection = self.protection(archive)
        if protection is not None:
            return False, protection
        if archive.state is State.BROKEN:
            return False, "broken"
        if self.is_floor(archive):
            return False, "floor"
        owner = self.owner(archive)
        assert owner is not None
        is_looked_at = any(map(self.is_touched, self.groups(owner)))
        selected = self.selected(archive) if is_looked_at else []
        return False, [*selected, "no-rule"][0]


PERIODS = (
    ("keep_hourly", "%Y-%m-%d %H %z"),
    ("keep_daily", "%Y-%m-%d"),
    ("keep_weekly", "%G-%V"),
    ("keep_monthly", "%Y-%m"),
    ("keep_yearly", "%Y"),
)
NEVER = -(10**40)
KEEPS = ("keep_last", "keep_within", *(rule for rule, _ in PERIODS))


def ns(length: timedelta) -> int:
    return length // timedelta(microseconds=1) * 1000


def name_bytes(archive: Archive) -> bytes:
    return archive.name.encode("utf-8", "surrogateescape")


def answer(case: Case) -> tuple[dict[str, tuple[bool, str]], list[Found]]:
    return Naive(case).answer()
