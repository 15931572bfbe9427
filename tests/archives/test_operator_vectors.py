"""The 92 recorded scenarios of the checkpoint-restore-operator, in the compatible mode.

Each is run twice: on the archives that it says are there, and on real files, through the scan, the
plan and the deletion. What differs from the record stands in `DIFFERENT` with its reason, and each
of these has a test of its own that says what is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import evolve

from checkpointkit.archives.model import MARKER_SUFFIX
from checkpointkit.archives.plan import plan
from checkpointkit.archives.policyfiles.operator import read_operator
from tests.archives.collector import LEVELS, Collector, Held
from tests.archives.scenarios import (
    NOW,
    archives_of,
    on_disk,
    on_paper,
    policy_of,
    scenarios,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.archives.scenarios import Scenario

ALL: Final = tuple(scenarios())
DIFFERENT: Final = {
    "broken-cut-newest-evicts": "a half-written archive is none, and evicts none",
    "count-order-dependent": "one stated order: all containers, then all pods, then namespaces",
    "count-order-dependent-2": "one stated order: all containers, then all pods, then namespaces",
    "event-odd-name": "a file with another name than an archive's is nobody's business",
    "name-bad-stamp": "a group is what the metadata says, whatever the name is after the prefix",
    "name-container-ambiguous": "two containers whose names look the same are two",
    "name-forged-glob": "what cannot be a name is no identity, and no pattern",
    "name-mismatch": "a group is what the metadata says, so that it is collected",
    "name-ns-prefix-event": "the namespace `prod` is not the namespace `prod-eu`",
    "name-ns-prefix-policy": "the namespace `prod` is not the namespace `prod-eu`",
    "orphan-api-unreachable": "who could not be asked about is not gone",
    "orphan-init-container": "an init container is a container",
    "orphan-ns-prefix": "the namespace `prod` is not the namespace `prod-eu`",
    "random-22": "one stated order: all containers, then all pods, then namespaces",
    "size-docs-sample": "10 bytes were meant as megabytes: what no archive can meet is not applied",
}
NO_BUG: Final = {"event-odd-name", "name-bad-stamp", "name-mismatch"}
"""Those whose note is no BUG: they follow from the operator's patterns over names."""
EQUAL_BUGS: Final = {
    "count-zero-specific": "nothing is deleted here either, but the notes say what is switched off",
    "random-10": "our stated order gives the most frequent result",
    "size-newest-too-big": "there is no floor in the compatible mode; ours has one",
}
ORDERS: Final = ("count-order-dependent", "count-order-dependent-2", "random-10", "random-22")


def ours(name: str, path: Path) -> frozenset[str]:
    """Return what we delete in a scenario: on paper and on the disk it is the same."""
    scenario = scenarios()[name]
    gone = on_paper(scenario)
    assert on_disk(scenario, path) == gone
    return gone


def archives_in(scenario: Scenario) -> Iterable[Mapping[str, Any]]:
    return (entry for entry in scenario.files if "metadata" in entry and "kind" not in entry)


def names(scenario: Scenario, **metadata: str) -> list[str]:
    """Return the names of a group's archives, oldest first."""
    found = [
        entry for entry in archives_in(scenario) if metadata.items() <= entry["metadata"].items()
    ]
    return [entry["name"] for entry in sorted(found, key=lambda entry: entry["mtime"])]


def test_there_are_all_of_them() -> None:
    assert len(ALL) == 92


@pytest.mark.parametrize("name", ALL)
def test_on_paper_it_is_as_recorded_or_one_of_those_that_differ(name: str) -> None:
    scenario = scenarios()[name]
    assert (on_paper(scenario) != scenario.deleted) == (name in DIFFERENT)


@pytest.mark.parametrize("name", ALL)
def test_on_the_disk_it_is_as_recorded_or_one_of_those_that_differ(
    name: str, tmp_path: Path
) -> None:
    scenario = scenarios()[name]
    assert (on_disk(scenario, tmp_path) != scenario.deleted) == (name in DIFFERENT)


def test_only_bugs_and_what_follows_from_patterns_over_names_differ() -> None:
    bugs = {name for name in ALL if scenarios()[name].note.startswith("BUG")}
    assert set(DIFFERENT) | set(EQUAL_BUGS) == bugs | NO_BUG
    assert not set(DIFFERENT) & set(EQUAL_BUGS)


# ------------------------------------------------------------------------------- broken archives


def test_a_half_written_archive_evicts_no_complete_one(tmp_path: Path) -> None:
    """Two complete ones are to be kept, and two are; the half-written one is not counted."""
    scenario = scenarios()["broken-cut-newest-evicts"]
    assert ours(scenario.id, tmp_path) == set(names(scenario, container="app")[:-2])


# ------------------------------------------------------------------------------- one stated order


def narrow_to_wide(scenario: Scenario) -> frozenset[str]:
    collector = Collector(scenario.spec, held(scenario))
    collector.narrow_to_wide()
    return frozenset(each.name for each in held(scenario)) - {each.name for each in collector.left}


def held(scenario: Scenario) -> list[Held]:
    return [
        Held(
            entry["name"],
            tuple(entry["metadata"][part] for part in LEVELS),
            entry["size"],
            entry["mtime"],
            pinned=entry["name"] + MARKER_SUFFIX in scenario.names,
        )
        for entry in archives_in(scenario)
    ]


@pytest.mark.parametrize("name", ORDERS)
def test_what_depended_on_chance_has_one_result(name: str, tmp_path: Path) -> None:
    """The operator goes through the containers in the order of a Go map, and through the pod and
    the namespace of each at once: another container's surplus archives then count. Here a wider
    limit sees the survivors of all narrower ones.
    """
    scenario = scenarios()[name]
    assert len(scenario.outcomes) > 1
    assert ours(name, tmp_path) == narrow_to_wide(scenario)


@pytest.mark.parametrize("name", ORDERS)
def test_the_one_result_never_deletes_more_than_any_recorded_one(name: str) -> None:
    scenario = scenarios()[name]
    assert all(on_paper(scenario) <= outcome for outcome in scenario.outcomes)


def test_where_the_recorded_results_have_ours_is_known() -> None:
    found = {name for name in ORDERS if on_paper(scenarios()[name]) in scenarios()[name].outcomes}
    assert found == {"count-order-dependent", "random-10"}


# ------------------------------------------------------------------------------- whose it is


def test_a_file_with_no_name_of_an_archive_starts_nothing(tmp_path: Path) -> None:
    """`upload.part` is not among the patterns of names: it is not read, and nobody's archives are
    limited for it. They are when the next archive is written, or at the next look at all.
    """
    scenario = scenarios()["event-odd-name"]
    assert ours(scenario.id, tmp_path) == frozenset()
    whole = evolve(scenario, mode="immediate", triggers=())
    assert on_paper(whole) == scenario.deleted


def test_a_date_that_is_none_does_not_hide_an_archive(tmp_path: Path) -> None:
    """All four say that they are default/web/app, and one is to be kept: the one written last."""
    scenario = scenarios()["name-bad-stamp"]
    assert ours(scenario.id, tmp_path) == set(names(scenario)[:-1])


def test_two_containers_whose_files_have_the_same_names_are_two(tmp_path: Path) -> None:
    """a/p/b-c and a-b/p/c have four archives each, and five are kept of each container."""
    scenario = scenarios()["name-container-ambiguous"]
    assert len(names(scenario, namespace="a")) == len(names(scenario, namespace="a-b")) == 4
    assert ours(scenario.id, tmp_path) == frozenset()


def test_a_forged_identity_reaches_nobody_elses_archives(tmp_path: Path) -> None:
    """The two real containers lose what is above their own limit; the forged archive, of which
    nobody knows whose it is, is kept and counts for nobody.
    """
    scenario = scenarios()["name-forged-glob"]
    real = {*names(scenario, namespace="n1")[:-2], *names(scenario, namespace="n2")[:-2]}
    assert ours(scenario.id, tmp_path) == real


def test_an_archive_is_its_metadatas_whatever_its_name_says(tmp_path: Path) -> None:
    """14 archives of other/db/pg are named as default/web/app's: ten are kept, as of any."""
    scenario = scenarios()["name-mismatch"]
    assert ours(scenario.id, tmp_path) == set(names(scenario, container="pg")[:-10])


@pytest.mark.parametrize("name", ["name-ns-prefix-event", "name-ns-prefix-policy"])
def test_a_limit_of_prod_deletes_nothing_of_prod_eu(name: str, tmp_path: Path) -> None:
    """Three of `prod` and six of `prod-eu` are within their own limits of four and six or more."""
    scenario = scenarios()[name]
    assert len(names(scenario, namespace="prod")) == 3
    assert len(names(scenario, namespace="prod-eu")) == 6
    assert ours(name, tmp_path) == frozenset()


# ------------------------------------------------------------------------------- orphans


def test_nobody_is_gone_while_the_api_server_cannot_be_asked(tmp_path: Path) -> None:
    assert ours("orphan-api-unreachable", tmp_path) == frozenset()


def test_an_error_of_the_api_server_is_no_answer() -> None:
    scenario = scenarios()["orphan-container-gone"]
    assert on_paper(evolve(scenario, cluster={"error": 403})) == frozenset()


def test_an_init_container_of_a_living_pod_is_not_gone(tmp_path: Path) -> None:
    assert ours("orphan-init-container", tmp_path) == frozenset()


def test_the_archives_of_prod_eu_stay_when_prod_is_gone(tmp_path: Path) -> None:
    scenario = scenarios()["orphan-ns-prefix"]
    assert ours(scenario.id, tmp_path) == set(names(scenario, namespace="prod"))


# ------------------------------------------------------------------------------- sizes


def test_a_size_in_bytes_that_was_meant_in_megabytes_deletes_nothing(tmp_path: Path) -> None:
    """The shipped sample says 10, 100, 500 and 1000 where its comments say MB."""
    scenario = scenarios()["size-docs-sample"]
    assert ours(scenario.id, tmp_path) == frozenset()
    notes = read_operator(scenario.spec).notes
    assert [note.partition(":")[0] for note in notes] == [
        "globalPolicy.maxCheckpointSize",
        "globalPolicy.maxTotalSizePerContainer",
        "globalPolicy.maxTotalSizePerPod",
        "globalPolicy.maxTotalSizePerNamespace",
    ]
    assert all("it is not applied; a bare number is bytes" in note for note in notes)


def test_a_limit_of_zero_switches_off_its_level_and_says_so(tmp_path: Path) -> None:
    """The recorded result stays, as for every 0: the total of that policy was never enforced, and
    to begin with it now would delete what nobody expects. But it is not silent any more.
    """
    scenario = scenarios()["count-zero-specific"]
    assert ours(scenario.id, tmp_path) == scenario.deleted == frozenset()
    said = "is not above 0: it switches off all that this does for a container"
    assert read_operator(scenario.spec).notes[1] == (
        f"containerPolicies[0].maxCheckpoints: {said}, other limits and orphans as well"
    )


def test_with_a_floor_one_archive_above_the_total_is_kept_and_reported(tmp_path: Path) -> None:
    """The compatible mode has no floor, and deletes even the only ones left; ours keeps the newest
    and says that the limit cannot hold.
    """
    scenario = scenarios()["size-newest-too-big"]
    assert ours(scenario.id, tmp_path) == scenario.deleted == scenario.names
    policy = policy_of(scenario)
    safe = evolve(policy, rules=evolve(policy.rules, allow_empty=False))
    planned = plan(archives_of(scenario), safe, NOW)
    newest = names(scenario)[-1]
    assert {each.archive.name for each in planned.deletions} == scenario.names - {newest}
    assert [(each.rule, each.left) for each in planned.unmet] == [("container-size", 90_000)]


# ------------------------------------------------------------------------------- equal mtimes


def test_archives_of_the_same_moment_go_by_their_names() -> None:
    """Go's sort is not stable, so that the record is an accident; ours is the bytes of the name."""
    scenario = scenarios()["order-mtime-tie-large"]
    assert len({entry["mtime"] for entry in scenario.files}) == 1
    assert on_paper(scenario) == set(sorted(scenario.names, key=str.encode)[:-25])


def test_every_other_kind_of_archive_is_known_by_its_metadata_alone(tmp_path: Path) -> None:
    """In the compatible mode a name is not asked: what has no identity inside is kept."""
    scenario = scenarios()["id-pod-annotations-only"]
    for runtime in ("podman", "nospec", "badjson", "subspec", "conflict", "badlabels"):
        files = tuple({**entry, "runtime": runtime} for entry in scenario.files)
        changed = evolve(scenario, files=files)
        assert on_paper(changed) == frozenset()
        path = tmp_path / runtime
        path.mkdir()
        assert on_disk(changed, path) == frozenset()
    files = tuple({**entry, "runtime": "checkpointctl"} for entry in scenario.files)
    assert len(on_paper(evolve(scenario, files=files))) == 3
