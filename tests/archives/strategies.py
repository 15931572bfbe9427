"""Any inventory and any policy, small enough that much of it collides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import evolve, field, fields, frozen
from hypothesis import strategies as st

from checkpointkit.archives.model import Archive, Container, Gone, Level, Parent, Space, State
from checkpointkit.archives.plan import Plan, plan
from checkpointkit.archives.policies import (
    Order,
    OrphanRule,
    Percent,
    Policy,
    Quarantine,
    Rules,
    Watermarks,
)

NOW: Final = datetime(2026, 10, 25, 12, tzinfo=UTC)
NOW_NS: Final = int(NOW.timestamp()) * 10**9
MINUTE: Final = 60 * 10**9
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


@frozen(kw_only=True)
class Case:
    """A question to `plan`."""

    archives: tuple[Archive, ...]
    policy: Policy
    space: Space | None = None
    orphans: Mapping[Parent, Gone] = field(factory=dict)
    touched: frozenset[Container] | None = None

    def plan(self) -> Plan:
        return plan(
            self.archives,
            self.policy,
            NOW,
            space=self.space,
            orphans=self.orphans,
            touched=self.touched,
        )

    def of(self, **changes: Any) -> Case:
        return evolve(self, **changes)


def archive(name: str, container: Container | None = None, **changes: Any) -> Archive:
    """Return a complete archive of one byte that was written a day ago."""
    values: dict[str, Any] = {
        "name": name,
        "size": 1,
        "device": 1,
        "inode": 1,
        "mtime_ns": NOW_NS - DAY,
        "ctime_ns": NOW_NS - DAY,
        "state": State.COMPLETE,
        "container": container,
    }
    return Archive(**{**values, **changes})


# ----------------------------------------------------------------------------------- the archives

CONTAINERS: Final = tuple(
    Container(namespace, pod, container)
    for namespace in ("a", "a-b")
    for pod in ("p", "q")
    for container in ("x", "y")
)
NAMES: Final = ("a", "b", "c", "d", "e", "ä", "\udcff", "z", "éa", "0", "\U0001f600", "ab", "B")
UIDS: Final = ("", "u1", "u2")

containers = st.sampled_from(CONTAINERS)
offsets = st.one_of(
    st.sampled_from(
        [
            *(hours * HOUR for hours in range(-3, 15)),
            *(days * DAY for days in (1, 2, 7, 8, 31, 400)),
            4 * MINUTE - 9 * MINUTE,
            -5 * MINUTE,
            -5 * MINUTE - 1,
            0,
        ]
    ),
    st.integers(-2 * DAY, 800 * DAY),
)
moments = offsets.map(lambda offset: NOW_NS - offset)
stamps = st.one_of(st.none(), st.sampled_from([-62_135_596_800 * 10**9, 2**80]), moments)
sizes = st.one_of(st.integers(0, 6), st.sampled_from([0, 2**62]))
states = st.sampled_from([State.COMPLETE] * 12 + [State.BROKEN] * 3 + list(State))
pins = st.sampled_from([(), (), (), (), (), ("me",), ("marker", "you")])


@st.composite
def archives(draw: Callable[[Any], Any], most: int = 12) -> tuple[Archive, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=most))
    few = draw(st.lists(containers, min_size=1, max_size=4))
    return tuple(
        Archive(
            name=name,
            size=draw(sizes),
            device=1,
            inode=1,
            mtime_ns=draw(moments),
            ctime_ns=0,
            state=draw(states),
            container=draw(st.sampled_from([*few, *few, None])),
            pod_uid=draw(st.sampled_from(UIDS)),
            checkpointed_ns=draw(stamps),
            named_ns=draw(stamps),
            pins=draw(pins),
            by_name=draw(st.sampled_from([False, False, False, True])),
        )
        for name in names
    )


# ----------------------------------------------------------------------------------- the policies

COUNTS: Final = st.integers(1, 5)
BYTES: Final = st.one_of(st.integers(1, 12), st.just(2**62 + 3))
TIMES: Final = st.one_of(
    st.sampled_from([timedelta(hours=1), timedelta(hours=5), timedelta(days=1), timedelta(days=9)]),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=30)),
)
ORPHAN_RULES: Final = st.builds(
    OrphanRule,
    st.one_of(st.just(timedelta()), TIMES),
    st.sampled_from([Level.CONTAINER, Level.POD, Level.NAMESPACE]),
)


def _kind(name: str) -> st.SearchStrategy[Any]:
    if name == "allow_empty":
        return st.sampled_from([False, True])
    if name == "orphans":
        return st.one_of(st.none(), ORPHAN_RULES)
    if name in {"keep_within", "max_age", "min_age"}:
        return st.one_of(st.none(), TIMES)
    return st.one_of(st.none(), BYTES if name.endswith("size") else COUNTS)


FIELDS: Final = tuple(attribute.name for attribute in fields(Rules))


@st.composite
def rules(draw: Callable[[Any], Any], fields: tuple[str, ...] = FIELDS, most: int = 6) -> Rules:
    chosen = draw(st.lists(st.sampled_from(fields), unique=True, max_size=most))
    return Rules(**{name: draw(_kind(name)) for name in chosen})


POD_FIELDS: Final = tuple(name for name in FIELDS if not name.startswith("namespace_"))
CONTAINER_FIELDS: Final = tuple(name for name in POD_FIELDS if not name.startswith("pod_"))

shares = st.one_of(st.integers(1, 40), st.sampled_from([Percent(10), Percent(50.5), Percent(90)]))


@st.composite
def watermarks(draw: Callable[[Any], Any]) -> Watermarks:
    marks = [draw(shares), draw(shares)]
    if type(marks[0]) is type(marks[1]):
        marks.sort(key=lambda mark: mark.value if isinstance(mark, Percent) else mark)
    return Watermarks(high=marks[1], low=marks[0])


optional_counts = st.one_of(st.none(), COUNTS)
optional_bytes = st.one_of(st.none(), BYTES)

policies = st.builds(
    Policy,
    rules=rules(),
    namespaces=st.dictionaries(st.sampled_from(["a", "a-b"]), rules(most=3), max_size=2),
    pods=st.dictionaries(
        st.tuples(st.sampled_from(["a", "a-b"]), st.sampled_from(["p", "q"])),
        rules(POD_FIELDS, 3),
        max_size=2,
    ),
    containers=st.dictionaries(containers, rules(CONTAINER_FIELDS, 3), max_size=2),
    directory_count=optional_counts,
    directory_size=optional_bytes,
    min_free=st.one_of(st.none(), shares),
    watermarks=st.one_of(st.none(), watermarks()),
    quarantine=st.one_of(
        st.none(), st.builds(Quarantine, count=optional_counts, size=optional_bytes)
    ),
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo"]),
    order=st.sampled_from(Order),
    pins_count=st.booleans(),
    exclusive=st.booleans(),
    names_count=st.booleans(),
)

spaces = st.one_of(
    st.none(), st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda t: Space(sum(t), t[1]))
)
gone = st.builds(
    Gone,
    st.sampled_from([Level.CONTAINER, Level.POD, Level.NAMESPACE]),
    st.sampled_from([NOW_NS, NOW_NS - HOUR, NOW_NS - 10 * DAY]),
)
orphans = st.dictionaries(st.builds(Parent, containers, st.sampled_from(UIDS)), gone, max_size=8)
touched = st.one_of(st.none(), st.frozensets(containers, max_size=2))

cases = st.builds(
    Case, archives=archives(), policy=policies, space=spaces, orphans=orphans, touched=touched
)

# One limit and nothing else: the rule that deletes, and how it is set.

LIMITS: Final[Mapping[str, Callable[[int], Policy]]] = {
    **{
        name: lambda number, name=name: Policy(rules=Rules(**{name: number}))  # type: ignore[misc]
        for name in (
            "container_count",
            "container_size",
            "pod_count",
            "pod_size",
            "namespace_count",
            "namespace_size",
        )
    },
    "directory_count": lambda number: Policy(rules=Rules(), directory_count=number),
    "directory_size": lambda number: Policy(rules=Rules(), directory_size=number),
    "quarantine_count": lambda n: Policy(rules=Rules(), quarantine=Quarantine(count=n)),
    "quarantine_size": lambda n: Policy(rules=Rules(), quarantine=Quarantine(size=n)),
    "keep_last": lambda number: Policy(rules=Rules(keep_last=number)),
    "keep_hourly": lambda number: Policy(rules=Rules(keep_hourly=number)),
    "keep_daily": lambda number: Policy(rules=Rules(keep_daily=number)),
    "keep_weekly": lambda number: Policy(rules=Rules(keep_weekly=number)),
    "keep_within": lambda n: Policy(rules=Rules(keep_within=timedelta(hours=n))),
    "max_age": lambda number: Policy(rules=Rules(max_age=timedelta(hours=number))),
    "max_size": lambda number: Policy(rules=Rules(max_size=number)),
}
