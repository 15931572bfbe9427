"""`checkpointkit archives forget-cluster`: no cluster is left without a yes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.kept.inventory import Inventory
from checkpointkit.archives.model import Level, Parent
from tests.archives.keeping import newest, rot
from tests.support.states import tree
from tests.test_cli_archives_support import APP, Capture, Node, archives, node
from tests.test_cli_support import run
from tests.test_cli_terminal import Screen, person, screen

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["node", "person", "screen"]

HERE = Parent(APP, "7f3e")
NONE = "no cluster is known; the first one that has a pod of the archives will be\n"


def inventory(node: Node) -> Inventory:
    return Inventory.open(str(node.state), str(node.path))


@pytest.fixture
def bound(node: Node) -> Node:
    """A node that belongs to the cluster 6c1f."""
    with inventory(node) as kept:
        kept.note_gone("6c1f", {}, 5, there=[HERE])
    return node


def cluster(node: Node) -> str:
    with inventory(node) as kept:
        return kept.cluster


def test_a_node_that_has_moved_is_of_its_new_cluster_after_the_command_that_is_named(
    bound: Node, capsys: Capture
) -> None:
    other = Parent(APP, "8a4f")
    with inventory(bound) as kept, pytest.raises(PolicyError, match="archives forget-cluster"):
        kept.note_gone("other", {HERE: Level.POD}, 6, there=[other])
    assert archives(capsys, "forget-cluster", "--yes") == "the cluster 6c1f is forgotten\n"
    with inventory(bound) as kept:
        assert set(kept.note_gone("other", {HERE: Level.POD}, 7, there=[other])) == {HERE}
    assert cluster(bound) == "other"


def test_programs_read_which_one_was_forgotten(bound: Node, capsys: Capture) -> None:
    wanted = {
        "format": 1,
        "command": "archives forget-cluster",
        "directory": str(bound.path),
        "problems": [],
    }
    status, out, _ = run(capsys, "archives", "forget-cluster", "--yes", "--json")
    assert status == 0
    found = json.loads(out)
    assert found == {**wanted, "cluster": "6c1f", "forgotten": True}
    _, out, _ = run(capsys, "archives", "forget-cluster", "--json")
    assert json.loads(out) == {**wanted, "cluster": None, "forgotten": False}


def test_where_no_cluster_is_known_nobody_is_asked_and_nothing_is_made(
    node: Node, capsys: Capture
) -> None:
    before = tree(node.root)
    assert archives(capsys, "forget-cluster") == NONE
    assert tree(node.root) == before


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_where_nobody_can_be_asked_nothing_is_forgotten(
    bound: Node, capsys: Capture, more: list[str]
) -> None:
    status, out, err = run(capsys, "archives", "forget-cluster", *more)
    assert status == 2
    assert "--yes" in out + err
    assert cluster(bound) == "6c1f"


def test_a_person_is_told_what_it_means_and_asked(
    bound: Node, capsys: Capture, person: Callable[[], Screen]
) -> None:
    seated = person()
    seated.type(b"y\n")
    status, out, _ = run(capsys, "archives", "forget-cluster")
    assert (status, out) == (0, "the cluster 6c1f is forgotten\n")
    shown = seated.shown()
    assert "grace periods of orphans begin anew.\n" in shown
    assert "Forget the cluster 6c1f? [y/N] " in shown
    assert cluster(bound) == ""


def test_anything_but_a_yes_forgets_nothing(
    bound: Node, capsys: Capture, person: Callable[[], Screen]
) -> None:
    person().type(b"n\n")
    status, out, _ = run(capsys, "archives", "forget-cluster")
    assert (status, out) == (1, "nothing was forgotten\n")
    assert cluster(bound) == "6c1f"


def test_what_is_damaged_is_forgotten_and_then_nothing_is_wrong(
    bound: Node, capsys: Capture
) -> None:
    rot(newest(bound.state, "gone"))
    status, out, _ = run(capsys, "archives", "forget-cluster", "--yes")
    assert (status, out) == (0, "the cluster that cannot be read is forgotten\n")
    assert archives(capsys, "forget-cluster", "--yes") == NONE


def test_another_problem_of_the_state_is_no_cluster(bound: Node, capsys: Capture) -> None:
    bound.add()
    archives(capsys, "verify", "--record")
    archives(capsys, "forget-cluster", "--yes")
    rot(newest(bound.state, "head"))
    status, out, _ = run(capsys, "archives", "forget-cluster", "--yes")
    assert (status, out) == (0, NONE)
