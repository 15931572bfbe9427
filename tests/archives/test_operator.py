"""The translator of the operator's policy: it means what the operator's own source means.

`collector` is a model of that source. It gives the recorded results, and what it deletes for any
policy and any archives is what our plan deletes with the translated policy.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import (
    DEFAULT_DIRECTORY,
    MARKER_SUFFIX,
    Archive,
    Container,
    Gone,
    Level,
    Parent,
    State,
)
from checkpointkit.archives.plan import plan
from checkpointkit.archives.policies import INHERIT, Order, OrphanRule, Policy, Rules
from checkpointkit.archives.policyfiles.operator import read_operator
from tests.archives.collector import LEVELS, Collector, Held
from tests.archives.scenarios import NOW, Scenario, asked, scenarios

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Whose = tuple[str, str, str]
CONTAINERS: Final[tuple[Whose, ...]] = (
    ("a", "p", "c"),
    ("a", "p", "d"),
    ("a", "q", "c"),
    ("b", "p", "c"),
)


# ------------------------------------------------------------------------------- the model


def readable(scenario: Scenario) -> list[Held]:
    return [
        Held(
            entry["name"],
            tuple(entry["metadata"][part] for part in LEVELS),
            entry["size"],
            entry["mtime"],
            pinned=entry["name"] + MARKER_SUFFIX in scenario.names,
        )
        for entry in scenario.files
        if entry.get("runtime") in ("crio", "containerd") and "kind" not in entry
    ]


MODELLED: Final = tuple(
    name
    for name, scenario in scenarios().items()
    if not scenario.note.startswith("BUG") and not name.startswith(("name-", "event-odd"))
)


@pytest.mark.parametrize("name", MODELLED)
def test_the_model_gives_what_was_recorded(name: str) -> None:
    scenario = scenarios()[name]
    archives = readable(scenario)
    collector = Collector(scenario.spec, archives, scenario.cluster)
    whose = {each.name: each.whose for each in archives}
    if scenario.mode == "immediate":
        looked_for = sorted(set(whose.values()))
    elif scenario.mode == "event":
        looked_for = [whose[trigger] for trigger in scenario.triggers if trigger in whose]
    else:
        looked_for = [
            (namespace, pod, each)
            for namespace, pod, names in (trigger.split("/") for trigger in scenario.triggers)
            for each in names.split(",")
        ]
    for each in looked_for:
        collector.look_for(each)
    if name == "order-mtime-tie-large":
        assert len(collector.left) == 25
    else:
        assert whose.keys() - {each.name for each in collector.left} == scenario.deleted


# ------------------------------------------------------------------------------- the same meaning


counts = st.one_of(st.none(), st.integers(-1, 4))
sizes = st.sampled_from(
    [None, None, None, 0, -1, "-5", 20_000, "20k", "4Ki", "0.05M", "1Gi", "2e4"]
)
retain = st.sampled_from([None, None, True, False])


def limits(count: str, total: str) -> dict[str, st.SearchStrategy[Any]]:
    return {count: counts, total: sizes}


def fields(**found: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=found)


OWN: Final = {
    "maxCheckpoints": counts,
    "maxTotalSize": sizes,
    "maxCheckpointSize": sizes,
    "retainOrphan": retain,
}
general = fields(
    retainOrphan=retain,
    maxCheckpointSize=sizes,
    **limits("maxCheckpointsPerContainer", "maxTotalSizePerContainer"),
    **limits("maxCheckpointsPerPod", "maxTotalSizePerPod"),
    **limits("maxCheckpointsPerNamespace", "maxTotalSizePerNamespace"),
)


def lists(parts: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    named = st.sampled_from(CONTAINERS).map(
        lambda whose: dict(zip(LEVELS[:parts], whose, strict=False))
    )
    both = st.tuples(named, fields(**OWN)).map(lambda found: {**found[0], **found[1]})
    return st.lists(both, max_size=2)


specs = fields(
    globalPolicy=general,
    namespacePolicies=lists(1),
    podPolicies=lists(2),
    containerPolicies=lists(3),
)


@st.composite
def directories(draw: st.DrawFn) -> list[Held]:
    found = draw(
        st.lists(
            st.tuples(
                st.sampled_from(CONTAINERS),
                st.sampled_from([5_000, 16_384, 20_000, 20_001, 60_000]),
                st.integers(0, 20),
                st.sampled_from([False, False, False, True]),
            ),
            min_size=6,
            max_size=14,
        )
    )
    return [
        Held(f"checkpoint-{at}.tar", whose, size, float(mtime), pinned=pinned)
        for at, (whose, size, mtime, pinned) in enumerate(found)
    ]


@st.composite
def clusters(draw: st.DrawFn) -> dict[str, Any] | None:
    living = draw(st.none() | st.sets(st.sampled_from(CONTAINERS)))
    if living is None:
        return None
    empty = draw(st.sets(st.sampled_from([("a", "p"), ("a", "q"), ("b", "p")])))
    bare = draw(st.sets(st.sampled_from(["a", "b"])))
    pods = {each[:2] for each in living} | empty
    return {
        "namespaces": sorted(bare | {namespace for namespace, _ in pods}),
        "pods": [
            {
                "namespace": namespace,
                "name": name,
                "containers": [each[2] for each in sorted(living) if each[:2] == (namespace, name)],
            }
            for namespace, name in sorted(pods)
        ],
    }


def gone(cluster: Mapping[str, Any] | None) -> dict[Parent, Gone]:
    if cluster is None:
        return {}
    pods = {(pod["namespace"], pod["name"]): pod["containers"] for pod in cluster["pods"]}
    found = {}
    for whose in CONTAINERS:
        if whose[0] not in cluster["namespaces"]:
            found[Parent(Container(*whose))] = Gone(Level.NAMESPACE, 0)
        elif whose[:2] not in pods:
            found[Parent(Container(*whose))] = Gone(Level.POD, 0)
        elif whose[2] not in pods[whose[:2]]:
            found[Parent(Container(*whose))] = Gone(Level.CONTAINER, 0)
    return found


def ours(
    spec: Mapping[str, Any],
    held: Sequence[Held],
    cluster: Mapping[str, Any] | None,
    touched: Collection[Whose] | None,
) -> set[str]:
    """Return what is left."""
    archives = [
        Archive(
            name=each.name,
            size=each.size,
            device=1,
            inode=1,
            mtime_ns=int(each.mtime) * 10**9,
            ctime_ns=0,
            state=State.COMPLETE,
            container=Container(*each.whose),
            pins=("marker",) * each.pinned,
        )
        for each in held
    ]
    containers = None if touched is None else [Container(*whose) for whose in touched]
    planned = plan(
        archives,
        read_operator(spec).policy,
        NOW,
        orphans=asked(gone(cluster), containers),
        touched=containers,
    )
    return {each.archive.name for each in planned.decisions if not each.delete}


def _has_a_level_off(policy: Mapping[str, Any]) -> bool:
    return policy.keys() & {"retainOrphan", "maxCheckpointSize"} != set() and any(
        value in (0, -1, "-5") and value is not False for value in policy.values()
    )


@pytest.mark.slow
@given(specs, directories(), clusters(), st.sampled_from(CONTAINERS))
@settings(max_examples=60)
def test_one_event_deletes_what_the_operator_would_delete(
    spec: dict[str, Any], held: list[Held], cluster: dict[str, Any] | None, whose: Whose
) -> None:
    # With a level off, the operator does not look at the rest of its group at all; here what is
    # too large or orphaned there goes at once, and not only when its own container is looked at.
    assume(not _has_a_level_off(spec.get("globalPolicy", {})))
    collector = Collector(spec, held, cluster)
    collector.look_for(whose)
    assert ours(spec, held, cluster, [whose]) == {each.name for each in collector.left}


@pytest.mark.slow
@given(specs, directories(), clusters())
@settings(max_examples=60)
def test_a_whole_look_is_the_operators_levels_narrow_to_wide(
    spec: dict[str, Any], held: list[Held], cluster: dict[str, Any] | None
) -> None:
    collector = Collector(spec, held, cluster)
    collector.narrow_to_wide()
    assert ours(spec, held, cluster, None) == {each.name for each in collector.left}


# ------------------------------------------------------------------------------- what is read


def rules(**policy: Any) -> Rules:
    return read_operator({"globalPolicy": policy}).policy.rules


def notes(spec: dict[str, Any]) -> tuple[str, ...]:
    return read_operator(spec).notes


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"globalPolicy": None, "podPolicies": None, "checkpointDirectory": None},
        {"globalPolicy": {}, "containerPolicies": [], "applyPoliciesImmediately": None},
        {"globalPolicy": {"maxCheckpointsPerPod": None, "maxCheckpointSize": None}},
        {"checkpointDirectory": "", "applyPoliciesImmediately": False},
    ],
)
def test_what_is_not_there_is_the_operators_default(spec: dict[str, Any]) -> None:
    found = read_operator(spec)
    assert (found.directory, found.immediately, found.notes) == (DEFAULT_DIRECTORY, False, ())
    assert found.policy == Policy(
        rules=Rules(
            container_count=10,
            container_size=None,
            pod_count=20,
            pod_size=None,
            namespace_count=30,
            namespace_size=None,
            max_size=None,
            orphans=None,
            allow_empty=True,
        ),
        order=Order.MTIME,
        pins_count=True,
        exclusive=True,
        names_count=False,
    )


def test_every_list_has_its_level() -> None:
    own = {"maxCheckpoints": 2, "maxTotalSize": "1Gi", "retainOrphan": False}
    policy = read_operator(
        {
            "namespacePolicies": [{"namespace": "a", **own}],
            "podPolicies": [{"namespace": "a", "pod": "p", **own}],
            "containerPolicies": [{"namespace": "a", "pod": "p", "container": "c", **own}],
        }
    ).policy

    def expected(level: Level) -> Rules:
        limits: dict[str, Any] = {f"{level.value}_count": 2, f"{level.value}_size": 2**30}
        return Rules(**limits, max_size=None, orphans=OrphanRule(timedelta(), level))

    assert policy.namespaces == {"a": expected(Level.NAMESPACE)}
    assert policy.pods == {("a", "p"): expected(Level.POD)}
    assert policy.containers == {Container("a", "p", "c"): expected(Level.CONTAINER)}


def test_orphans_are_looked_for_at_the_narrowest_level_that_is_on() -> None:
    assert rules(retainOrphan=False).orphans == OrphanRule(timedelta(), Level.CONTAINER)
    without = {"retainOrphan": False, "maxCheckpointsPerContainer": 0}
    assert rules(**without).orphans == OrphanRule(timedelta(), Level.POD)
    without["maxTotalSizePerPod"] = -1
    assert rules(**without).orphans == OrphanRule(timedelta(), Level.NAMESPACE)
    without["maxCheckpointsPerNamespace"] = 0
    assert rules(**without).orphans is None


def test_zero_switches_a_whole_level_off_and_a_size_of_zero_all_of_them() -> None:
    some = rules(maxCheckpointsPerPod=0, maxTotalSizePerPod="1Gi", maxCheckpointSize="2Gi")
    assert (some.pod_count, some.pod_size) == (INHERIT, INHERIT)
    assert (some.container_count, some.max_size) == (10, 2**31)
    for size in (0, "0", "-1Gi"):
        assert rules(maxCheckpointSize=size) == Rules(orphans=None, allow_empty=True)


def test_a_negative_count_for_all_is_ignored_and_one_of_its_own_is_not() -> None:
    assert rules(maxCheckpointsPerContainer=-1).container_count == 10
    own = {"namespace": "a", "maxCheckpoints": -1, "maxTotalSize": "1Gi", "retainOrphan": False}
    policy = read_operator({"namespacePolicies": [own]}).policy
    off = Rules(namespace_count=None, namespace_size=None, max_size=None, orphans=None)
    assert policy.namespaces == {"a": off}


def test_the_first_of_two_counts() -> None:
    found = read_operator(
        {"namespacePolicies": [{"namespace": "a", "maxCheckpoints": at} for at in (5, 2)]}
    )
    assert found.policy.namespaces["a"].namespace_count == 5
    assert found.notes == (
        "namespacePolicies[1].namespace: there is an earlier one for the same, and that one counts",
    )


def test_a_star_is_a_name() -> None:
    found = read_operator({"podPolicies": [{"namespace": "a", "pod": "*", "maxCheckpoints": 1}]})
    assert set(found.policy.pods) == {("a", "*")}
    assert found.notes == ("podPolicies[0].pod: is taken to the letter, and no pattern",)


def test_a_policy_without_a_name_is_for_nothing() -> None:
    found = read_operator({"podPolicies": [{"namespace": "a", "maxCheckpoints": 1}]})
    assert found.policy.pods == {}
    assert found.notes == ("podPolicies[0].pod: is empty, so that this is for no archive",)


def test_what_is_more_than_anything_is_no_limit() -> None:
    found = rules(
        maxCheckpointsPerContainer=2**40, maxTotalSizePerPod="9Ei", maxCheckpointSize="1Ei"
    )
    assert (found.container_count, found.pod_size, found.max_size) == (None, None, 2**60)


@pytest.mark.parametrize(
    ("size", "limit", "note"),
    [
        ("1Mi", 2**20, ""),
        (2**20, 2**20, ""),
        (2**20 - 1, 2**20 - 1, "is 1048575 B only; a bare number is bytes, write 1048575Mi"),
        ("20k", 20_000, "is 20k only"),
        (4096, 4096, "is 4 KiB only; a bare number is bytes, write 4096Mi"),
        (4095, None, "is 4095 B, and no archive is that small: all of them would go, so it is not"),
        ("500m", None, "is 0 B, and no archive is that small"),
        ("4096.5", 4096, "is 4 KiB only"),
        (20_000.0, 20_000, "is 20k only"),
    ],
)
def test_sizes_that_nobody_means_are_noted_and_impossible_ones_not_applied(
    size: Any, limit: int | None, note: str
) -> None:
    spec = {"globalPolicy": {"maxCheckpointSize": size}}
    assert read_operator(spec).policy.rules.max_size == limit
    assert bool(notes(spec)) == bool(note)
    assert all(each.startswith(f"globalPolicy.maxCheckpointSize: {note}") for each in notes(spec))


def test_fields_that_are_not_known_are_noted_and_odd_ones_not_shown() -> None:
    found = notes(
        {
            "globalPolicies": {},
            "globalPolicy": {"maxCheckpointPerPod": 1, "a b": 1, "x" * 50: 1, 7: 1},
            "podPolicies": [{"namespace": "a", "pod": "p", "container": "c"}],
        }
    )
    assert found == (
        "globalPolicies: is no field that is known here; globalPolicy is",
        "globalPolicy.maxCheckpointPerPod: is no field that is known here; maxCheckpointsPerPod is",
        "globalPolicy.(a field): is no field that is known here",
        "podPolicies[0].container: is no field that is known here",
    )


QUANTITY: Final = "a quantity, such as 10Gi or 500M"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([], "spec: has to be a mapping"),
        ("", "spec: has to be a mapping"),
        ({"globalPolicy": 5}, "globalPolicy: has to be a mapping"),
        ({"podPolicies": {}}, "podPolicies: has to be a list"),
        ({"podPolicies": "a"}, "podPolicies: has to be a list"),
        ({"podPolicies": [None]}, "podPolicies[0]: has to be a mapping"),
        ({"podPolicies": [{}, []]}, "podPolicies[1]: has to be a mapping"),
        ({"podPolicies": [{"pod": 5}]}, "podPolicies[0].pod: has to be text"),
        ({"checkpointDirectory": 5}, "checkpointDirectory: has to be text"),
        ({"applyPoliciesImmediately": "yes"}, "applyPoliciesImmediately: has to be true or false"),
    ],
)
def test_a_wrong_type_is_refused_where_it_stands(spec: Any, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read_operator(spec)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "what", "values"),
    [
        ("retainOrphan", "true or false", (0, "false")),
        ("maxCheckpointsPerPod", "a whole number", ("5", 5.0, True, [])),
        ("maxCheckpointSize", QUANTITY, (True, "", "10GB", "1 Gi", [], float("nan"))),
        ("maxCheckpointSize", QUANTITY, (float("inf"), "9" * 5000)),
    ],
)
def test_a_wrong_value_of_a_limit_is_refused(name: str, what: str, values: Sequence[Any]) -> None:
    for value in values:
        with pytest.raises(PolicyError) as caught:
            read_operator({"globalPolicy": {name: value}})
        assert str(caught.value) == f"globalPolicy.{name}: has to be {what}"


def test_a_number_that_takes_long_to_read_is_refused() -> None:
    with pytest.raises(PolicyError, match=QUANTITY):
        read_operator({"globalPolicy": {"maxCheckpointSize": 10**5000}})
