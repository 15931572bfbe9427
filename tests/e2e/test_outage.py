"""The API server goes away, the node loses its power, and both come back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from tests.e2e.account import NAMESPACE, granted, used
from tests.e2e.daemon import GRACE
from tests.e2e.node import NODE
from tests.e2e.processes import eventually
from tests.e2e.scene import ACTIVE, INACTIVE, Scene
from tests.e2e.seen import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from tests.e2e.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.root]

_SOON = 15.0
"""Seconds within which a copy lives after the start of the node; measured 2 to 5."""
_SILENCE = 2.0
"""Seconds for which nobody may live while parent and copy change over; measured 0.2."""
_WHILE = 4.0
"""Seconds within which something wrong would have happened."""


@frozen
class Saved:
    """A pod is saved, and runs."""

    scene: Scene
    parent: str
    manifest: dict[str, Any]
    files: list[Path]
    status: dict[str, str]

    @property
    def copy(self) -> str:
        return f"{self.parent}-{NODE}"

    @property
    def file(self) -> str:
        return f"{NAMESPACE}_{self.parent}.json"


@frozen
class Outage:
    """The API server is down; the node was without power from `off` to `on`.

    `early` were the kubelet's files before that; at `written` the copy's was there, and at `lived`
    the copy gave its first sign of life.
    """

    early: set[str]
    on: float
    written: float
    lived: float
    status: dict[str, str]


@frozen
class Back:
    """The API server was started again at `started`.

    The parent lived at `lived`, the copy's file went at `gone`, the copy lived until `last`, and
    for a while, until `until`, nothing more was done.
    """

    started: float
    lived: float
    gone: float
    last: float
    until: float
    status: dict[str, str]


@frozen
class End:
    """The parent was deleted at `deleted`; at `forgotten` the last file of it went."""

    deleted: float
    forgotten: float
    files: list[Path]
    status: dict[str, str]


@pytest.fixture(scope="module")
def saved(cluster: Cluster) -> Iterator[Saved]:
    with Scene(cluster, "web") as scene:
        scene.apply()
        scene.start_daemon()
        parent = scene.pod()
        scene.diary.first(parent, 0.0)
        copy = eventually(f"{parent} is saved", lambda: scene.files(INACTIVE))
        manifest = copy[f"{NAMESPACE}_{parent}.json"]
        yield Saved(scene, parent, manifest, scene.assets(), scene.status())


@pytest.fixture(scope="module")
def outage(saved: Saved) -> Outage:
    scene, node = saved.scene, saved.scene.cluster.node
    scene.cluster.control.stop_server()
    early = scene.started(_WHILE)
    node.power_off()
    on = now()
    node.power_on()
    scene.start_daemon()
    lived = scene.diary.first(saved.copy, on)
    written = (node.at(ACTIVE) / saved.file).stat().st_mtime - time.time() + now()
    return Outage(early, on, written, lived, scene.status())


@pytest.fixture(scope="module")
def back(saved: Saved, outage: Outage) -> Back:
    scene = saved.scene
    started = now()
    scene.cluster.control.start_server()
    eventually("the copy has gone", lambda: not scene.files(ACTIVE), 120, pause=0.02)
    gone = now()
    time.sleep(_WHILE)
    lived, last = scene.diary.first(saved.parent, outage.on), scene.diary.last(saved.copy)
    return Back(started, lived, gone, last, now(), scene.status())


@pytest.fixture(scope="module")
def end(saved: Saved, back: Back) -> End:
    scene = saved.scene
    scene.delete(scene.name)
    eventually("the parent has gone", lambda: scene.is_going(saved.parent), pause=0.02)
    deleted = now()
    eventually("all has gone", lambda: not (scene.files(INACTIVE) or scene.assets()), pause=0.02)
    forgotten = now()
    time.sleep(_WHILE)
    return End(deleted, forgotten, scene.leftovers(), scene.status())


def test_a_ready_pod_is_saved_with_what_it_needs(saved: Saved) -> None:
    names = {path.name for path in saved.files}
    assert {"web.conf", "blob", "tls.key", "password"} <= names
    assert "unused" in names  # of the projection, which takes the whole config map
    assert {"secret", "configMap", "projected"}.isdisjoint(
        key for volume in saved.manifest["spec"]["volumes"] for key in volume
    )


def test_nobody_but_root_reads_what_is_saved(saved: Saved) -> None:
    node = saved.scene.cluster.node
    copy = node.at(INACTIVE) / saved.file
    assert copy.stat().st_mode & 0o077 == 0
    for directory in {copy.parent, *saved.scene.asset_roots()}:
        assert directory.stat().st_mode & 0o077 == 0


def test_no_copy_starts_beside_a_parent_that_runs(outage: Outage) -> None:
    assert outage.early == set()


def test_a_copy_lives_within_seconds_of_the_nodes_start(outage: Outage) -> None:
    print(f"\nfrom power to life: {outage.lived - outage.on:.2f} s")  # noqa: T201
    print(f"from manifest to life: {outage.lived - outage.written:.2f} s")  # noqa: T201
    assert outage.lived - outage.on < _SOON


def test_a_copy_sees_the_files_of_its_parent(saved: Saved, outage: Outage) -> None:
    diary = saved.scene.diary
    files = diary.files(saved.parent)
    assert len(files) == 10
    assert diary.files(saved.copy) == files


def test_a_copy_sees_the_environment_of_its_parent(saved: Saved, outage: Outage) -> None:
    environment = saved.scene.diary.environment(saved.copy)
    expected = saved.scene.diary.environment(saved.parent)
    assert environment["NAME"] == saved.copy  # the downward API tells it the truth
    assert environment["LINE"] == f"production for {saved.copy}: pa$(HOME)$$word $HOME $(NAME)"
    told = {"MODE", "PASSWORD", "WEB_GREETING", "WEB_MODE", "PATH", "HOME"}
    assert {name: environment[name] for name in told} == {name: expected[name] for name in told}
    assert "NOTHING" not in environment


def test_a_copy_goes_when_its_parent_lives_again(back: Back) -> None:
    print(f"\nfrom the API server's start to the parent's life: {back.lived - back.started:.2f} s")  # noqa: T201
    print(f"from the parent's life to the copy's end: {back.last - back.lived:.2f} s")  # noqa: T201
    assert back.lived < back.gone
    assert back.last < back.until - _WHILE / 2


def test_somebody_lives_at_any_time(saved: Saved, outage: Outage, back: Back) -> None:
    silence = saved.scene.diary.longest_silence(outage.lived, back.until)
    print(f"\nlongest silence: {silence:.2f} s")  # noqa: T201
    assert silence < _SILENCE


def test_all_goes_a_grace_period_after_the_parent(end: End) -> None:
    print(f"\nfrom the parent's end to the last file's: {end.forgotten - end.deleted:.2f} s")  # noqa: T201
    assert end.forgotten - end.deleted > GRACE - 1  # the daemon may have known a little earlier
    assert end.files == []


def test_the_status_says_where_the_pod_stands(
    saved: Saved, outage: Outage, back: Back, end: End
) -> None:
    said = [each.status for each in (saved, outage, back, end)]
    parent = saved.parent
    assert said == [{parent: "inactive"}, {parent: "active"}, {parent: "inactive"}, {}]


def test_the_checkpointer_ends_when_it_is_asked(saved: Saved, end: End) -> None:
    assert saved.scene.end_daemon() == 0


def test_each_right_of_its_account_is_used(saved: Saved, end: End) -> None:
    assert used(saved.scene.cluster) == granted()
