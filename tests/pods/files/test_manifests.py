"""The manifests on a node: ours are found by their annotation, and nothing else is touched."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit.errors import StoreError
from checkpointkit.pods.files.manifests import Found, Manifests, PodFiles
from checkpointkit.pods.files.reading import MAX_BYTES
from checkpointkit.pods.model import CHECKPOINT_OF, PodName, manifest_file, original_file
from tests.pods.files.support import WEB, Calls, manifest, manifests, tree

if TYPE_CHECKING:
    from pathlib import Path

FILE = manifest_file(WEB)


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def found(directory: Path) -> Found:
    return manifests(directory).scan()


def names(files: PodFiles) -> tuple[list[str], list[str]]:
    return [each.file for each in files.inactive], [each.file for each in files.active]


def test_nothing_is_there_at_first_and_looking_makes_nothing(quick: Path) -> None:
    both = manifests(quick)
    both.tidy()
    assert both.scan() == Found({})
    assert not both.remove_active(WEB)
    assert not both.remove_inactive(WEB)
    assert list(quick.iterdir()) == []


def test_what_is_written_is_found_for_root_alone(quick: Path) -> None:
    both = manifests(quick / "etc" / "kubernetes")
    both.write_inactive(WEB, manifest(WEB))
    both.write_active(WEB, manifest(WEB, "active"), manifest_file(WEB, 2))
    for each in (both, manifests(quick / "etc" / "kubernetes")):
        files = each.scan().pods[WEB]
        assert names(files) == ([FILE], ["kube-system_web_2.json"])
        assert files.inactive[0].data == manifest(WEB)
        assert files.inactive[0].manifest["note"] == ""
        assert files.inactive[0].retry == 0
        assert files.active[0].retry == 2
        assert files.active[0].digest != files.inactive[0].digest
        assert not files.active[0].is_original
    for path, (mode, _) in tree(quick).items():
        assert stat.S_IMODE(mode) == (0o600 if path.endswith(".json") else 0o700), path


@pytest.mark.parametrize("mask", [0o777, 0])
def test_modes_do_not_depend_on_the_umask(quick: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        manifests(quick / "etc").write_inactive(WEB, manifest(WEB))
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(mode) for path, (mode, _) in tree(quick).items()}
    assert modes == {"etc": 0o700, "etc/inactive": 0o700, f"etc/inactive/{FILE}": 0o600}


def test_a_manifest_never_has_its_bytes_under_another_mode_or_another_name(quick: Path) -> None:
    seen = []

    class Watching(Calls):
        def before(self, name: str, event: str) -> None:
            for path, (mode, data) in tree(quick).items():
                if path.endswith(".json") or ".checkpointkit" in path:
                    seen.append((stat.S_IMODE(mode), bool(data), path.endswith(".json")))

    before = os.umask(0)
    try:
        manifests(quick, Watching(quick)).write_active(WEB, manifest(WEB), FILE)
    finally:
        os.umask(before)
    assert set(seen) == {(0o600, False, False), (0o600, True, False), (0o600, True, True)}


def test_two_pods_that_the_original_gave_one_file_have_two(quick: Path) -> None:
    one, two = PodName("a", "b-c"), PodName("a-b", "c")
    both = manifests(quick)
    both.write_inactive(one, manifest(one))
    both.write_inactive(two, manifest(two))
    assert both.scan().pods.keys() == {one, two}
    put(quick / "active" / original_file(one), manifest(two))
    with pytest.raises(StoreError, match="this is the checkpoint of a-b/c"):
        both.write_active(one, manifest(one), original_file(one))
    assert not both.remove_active(one)
    assert both.remove_active(two)


def test_an_originals_files_are_adopted_by_their_annotation_and_then_replaced(
    quick: Path,
) -> None:
    for part in ("inactive", "active"):
        put(quick / part / original_file(WEB), manifest(WEB, "old"))
        put(quick / part / "whatever.json", manifest(WEB, "older"))
        os.utime(quick / part / "whatever.json", (1, 1))
    both = manifests(quick)
    files = both.scan().pods[WEB]
    assert names(files) == ([original_file(WEB), "whatever.json"],) * 2
    assert files.active[0].is_original
    assert not files.active[1].is_original
    both.write_inactive(WEB, manifest(WEB, "new"))
    both.write_active(WEB, manifest(WEB, "new"), original_file(WEB))  # its UID is kept
    files = both.scan().pods[WEB]
    assert names(files) == ([FILE], [original_file(WEB)])
    assert files.active[0].data == manifest(WEB, "new")


def test_the_last_written_of_two_comes_first(quick: Path) -> None:
    for number, file in enumerate(["c.json", "a.json", "b.json"]):
        put(quick / "active" / file, manifest(WEB))
        os.utime(quick / "active" / file, (number // 2, number // 2))
    assert names(found(quick).pods[WEB])[1] == ["b.json", "a.json", "c.json"]


@pytest.mark.parametrize("retry", [0, 3])
def test_a_name_that_is_too_long_for_a_file_is_cut_and_still_found(quick: Path, retry: int) -> None:
    name = PodName("n" * 63, "x" * 253)
    both = manifests(quick)
    both.write_inactive(name, manifest(name))
    both.write_active(name, manifest(name), manifest_file(name, retry))
    files = both.scan().pods[name]
    assert files.active[0].retry == retry
    put(quick / "active" / manifest_file(name, retry), b"{")
    assert len(both.scan().problems) == 1
    assert both.remove_active(name)
    assert os.listdir(quick / "active") == []


FOREIGN: dict[str, bytes] = {
    "kube-apiserver.yaml": b"apiVersion: v1\nkind: Pod\n",
    "etcd.json": b'{"kind": "Pod", "metadata": {"name": "etcd", "annotations": null}}',
    "list.json": b"[]",
    "text.json": b'"text"',
    "metadata.json": b'{"metadata": []}',
    "annotations.json": b'{"metadata": {"annotations": 1}}',
    "garbage.json": b"\xff\xfe\0\x01",
    "cut.json": b'{"metadata": {"annotations": {"checkpointer.alpha',
    "latin.json": '{"metadata": {"name": "ü"}}'.encode("latin-1"),
    "long-number.json": b'{"a": ' + b"9" * 5000 + b"}",
    "deep.json": b"[" * 100_000,
    "deeper.json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "empty.json": b"",
    ".kube-system_web.json": manifest(WEB),
    ".hidden": b"x",
    "no-suffix": b"x",
}


def everything_of(directory: Path) -> dict[str, tuple[int, int, int, int]]:
    status = {each: os.lstat(directory / each) for each in os.listdir(directory)}
    return {
        name: (each.st_ino, each.st_mtime_ns, each.st_size, each.st_mode)
        for name, each in status.items()
    }


def test_foreign_manifests_are_neither_reported_nor_touched(quick: Path) -> None:
    active = quick / "active"
    for name, data in FOREIGN.items():
        put(active / name, data)
    with open(active / "huge.json", "wb") as file:
        file.truncate(100 * 2**20)
    (active / "directory").mkdir()
    (active / "directory" / FILE).write_bytes(manifest(WEB))
    os.mkfifo(active / "fifo")
    (active / "link.json").symlink_to(active / "directory" / FILE)
    (active / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(active / "socket"))
    before = everything_of(active)
    both = manifests(quick)
    assert both.scan() == Found({})
    both.write_active(WEB, manifest(WEB), FILE)
    both.write_active(WEB, manifest(WEB), manifest_file(WEB, 1))
    assert list(both.scan().pods) == [WEB]
    assert both.remove_active(WEB)
    both.tidy()
    assert everything_of(active) == before
    assert {each: (active / each).read_bytes() for each in FOREIGN} == FOREIGN


def special(path: Path, kind: str, outside: Path) -> None:
    if kind == "link":
        outside.write_bytes(manifest(WEB, "outside"))
        path.symlink_to(outside)
    elif kind == "dangling link":
        path.symlink_to(outside)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "device", "directory"])
def test_what_is_no_file_is_reported_under_a_name_of_ours_and_never_opened(
    quick: Path, kind: str
) -> None:
    active, outside = quick / "active", quick / "outside"
    active.mkdir()
    special(active / FILE, kind, outside)
    before = tree(quick).get("outside")
    both = manifests(quick)
    assert both.scan() == Found({}, (f"{active}/{FILE}: is no regular file",), False)
    if kind == "directory":
        with pytest.raises(StoreError, match="EISDIR"):
            both.write_active(WEB, manifest(WEB), FILE)
        assert not both.remove_active(WEB)
        assert os.listdir(active) == [FILE]
        return
    both.write_active(WEB, manifest(WEB), FILE)
    assert (active / FILE).read_bytes() == manifest(WEB)
    assert (active / FILE).is_file()
    assert not (active / FILE).is_symlink()
    (active / FILE).unlink()
    special(active / FILE, kind, outside)
    assert both.remove_active(WEB)
    assert os.listdir(active) == []
    assert tree(quick).get("outside") == before


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (manifest(WEB)[:-3], "is no complete JSON"),
        (b"", "is no complete JSON"),
        (b"\xff\xff", "is no complete JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b" " * (MAX_BYTES + 1), "is too large"),
    ],
)
def test_a_damaged_file_under_a_name_of_ours_is_reported_and_replaced(
    quick: Path, data: bytes, reason: str
) -> None:
    put(quick / "inactive" / FILE, data)
    both = manifests(quick)
    both.scan()
    assert both.scan() == Found({}, (f"{quick}/inactive/{FILE}: {reason}",), False)
    assert both.remove_inactive(WEB)
    put(quick / "inactive" / FILE, data)
    both.write_inactive(WEB, manifest(WEB))
    assert both.scan().problems == ()
    assert both.scan().is_complete


def test_the_directory_that_is_ours_alone_has_no_foreign_damage(quick: Path) -> None:
    for part in ("inactive", "active"):
        put(quick / part / original_file(WEB), b"{")
        put(quick / part / "notes.txt", b"{")
    assert found(quick).problems == (f"{quick}/inactive/kube-system-web.json: is no complete JSON",)


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {CHECKPOINT_OF: "web"}},
        {"namespace": "kube-system", "annotations": {CHECKPOINT_OF: "../web"}},
        {"namespace": "kube.system", "annotations": {CHECKPOINT_OF: "web"}},
        {"namespace": ["kube-system"], "annotations": {CHECKPOINT_OF: "web"}},
        {"namespace": "kube-system", "annotations": {CHECKPOINT_OF: None}},
    ],
)
def test_a_checkpoint_of_no_pod_is_reported_whatever_its_name(quick: Path, metadata: Any) -> None:
    put(quick / "active" / "x", json.dumps({"metadata": metadata}).encode())
    (problem,) = found(quick).problems
    assert problem.startswith(f"{quick}/active/x: is a checkpoint of no pod: the name")
    assert not found(quick).is_complete


def test_somebody_elses_manifest_under_a_name_of_ours_is_left(quick: Path) -> None:
    put(quick / "active" / FILE, b'{"kind": "Pod"}')
    both = manifests(quick)
    problem = f"{quick}/active/{FILE}: has a name of ours, and is no checkpoint: move it away"
    assert both.scan() == Found({}, (problem,), is_complete=True)
    with pytest.raises(StoreError, match="something else has this name; move it away"):
        both.write_active(WEB, manifest(WEB), FILE)
    both.write_active(WEB, manifest(WEB), manifest_file(WEB, 1))
    assert both.remove_active(WEB)
    assert (quick / "active" / FILE).read_bytes() == b'{"kind": "Pod"}'


@pytest.mark.parametrize(
    ("file", "data"),
    [
        (FILE, manifest(PodName("kube-system", "other"))),
        (FILE, b"{}"),
        (FILE, b"{"),
        (FILE, manifest(WEB) + b" " * MAX_BYTES),
        ("../x.json", manifest(WEB)),
        ("a\0", manifest(WEB)),
        (".x.json", manifest(WEB)),
        ("", manifest(WEB)),
        ("x" * 251 + ".json", manifest(WEB)),
    ],
)
def test_only_a_manifest_of_the_pod_is_written_and_only_there(
    quick: Path, file: str, data: bytes
) -> None:
    with pytest.raises(ValueError, match=r"manifest|name of the file"):
        manifests(quick).write_active(WEB, data, file)
    assert tree(quick) == {}


@pytest.mark.parametrize("kind", ["file", "loop", "forbidden"])
def test_a_directory_that_cannot_be_read_is_reported_and_nothing_may_be_collected(
    quick: Path, kind: str
) -> None:
    calls = Calls(quick)
    if kind == "file":
        put(quick / "active", b"")
        reason = "Not a directory"
    elif kind == "loop":
        (quick / "active").symlink_to("active")
        reason = "Too many levels of symbolic links"
    else:
        (quick / "active").mkdir()
        calls.break_at(0, 13, for_ever=True, match="open active")
        reason = "Permission denied"
    both = manifests(quick, calls)
    both.write_inactive(WEB, manifest(WEB))
    seen = both.scan()
    assert seen.problems == (f"{quick}/active: cannot be read: {reason}",)
    assert not seen.is_complete
    assert list(seen.pods) == [WEB]
    with pytest.raises(StoreError, match=f"write {quick}/active/{FILE} failed: {reason}"):
        both.write_active(WEB, manifest(WEB), FILE)
    with pytest.raises(StoreError, match=f"remove the manifests of {WEB} from"):
        both.remove_active(WEB)
    with pytest.raises(StoreError, match=f"tidy {quick}/active failed"):
        both.tidy()


def test_a_configured_directory_may_be_a_link(quick: Path) -> None:
    (quick / "elsewhere").mkdir()
    (quick / "active").symlink_to("elsewhere")
    manifests(quick).write_active(WEB, manifest(WEB), FILE)
    assert os.listdir(quick / "elsewhere") == [FILE]


def test_a_file_that_cannot_be_read_may_be_a_checkpoint(quick: Path) -> None:
    put(quick / "active" / "x", manifest(WEB))
    calls = Calls(quick)
    both = manifests(quick, calls)
    calls.break_at(0, 5, match="read active/x")
    seen = both.scan()
    assert seen.problems == (f"{quick}/active/x: cannot be read: Input/output error",)
    assert not seen.is_complete
    assert list(both.scan().pods) == [WEB]  # it is tried again


class Hooked(Calls):
    """Does something ahead of the first call whose description begins so."""

    def __init__(self, directory: Path, start: str, hook: Any) -> None:
        super().__init__(directory)
        self.start: str | None = start
        self.hook = hook

    def before(self, name: str, event: str) -> None:
        if self.start is not None and event.startswith(self.start):
            self.start = None
            self.hook()


@pytest.mark.parametrize("call", ["stat", "open"])
def test_a_file_that_vanishes_while_it_is_looked_at_is_not_there(quick: Path, call: str) -> None:
    path = quick / "active" / "x"
    put(path, manifest(WEB))
    both = manifests(quick, Hooked(quick, f"{call} active/x", path.unlink))
    assert both.scan() == Found({})


def test_a_file_that_becomes_a_fifo_while_it_is_looked_at_is_not_waited_for(
    quick: Path,
) -> None:
    path = quick / "active" / "x"
    put(path, manifest(WEB))

    def swap() -> None:
        path.unlink()
        os.mkfifo(path)

    both = manifests(quick, Hooked(quick, "open active/x", swap))
    assert not both.scan().is_complete


class At(Calls):
    """Real calls at a time of our choice."""

    def __init__(self, directory: Path, now: float) -> None:
        super().__init__(directory)
        setattr(self, "time", lambda: now)  # noqa: B010 - a static method


LATER = 2.0**33
"""Long after each of the files was written."""


def test_what_has_not_changed_is_not_read_again_and_nothing_is_written(quick: Path) -> None:
    calls = At(quick, LATER)
    both = manifests(quick, calls)
    for number in range(20):
        name = PodName("kube-system", f"web-{number}")
        both.write_inactive(name, manifest(name))
        both.write_active(name, manifest(name), manifest_file(name))
    both.tidy()
    first = both.scan()
    calls.forget()
    both.tidy()
    again = both.scan()
    assert again == first
    assert again.pods[name].active[0].manifest is first.pods[name].active[0].manifest
    kinds = [each.partition(" ")[0] for each in calls.attempts]
    assert {each: kinds.count(each) for each in kinds} == {
        "open": 2,
        "listdir": 2,
        "stat": 40,
        "close": 2,
    }


def test_a_change_within_a_tick_of_the_file_systems_clock_is_seen(quick: Path) -> None:
    path = quick / "active" / "x"
    put(path, manifest(WEB, "one"))
    status = path.stat()
    calls = At(quick, status.st_ctime + 1)
    both = manifests(quick, calls)
    both.scan()

    def same_stamps(each: os.stat_result) -> os.stat_result:
        return os.stat_result((*each[:7], *status[7:10]), {**_more(status)})

    real = calls.stat
    setattr(calls, "stat", lambda *a, **o: same_stamps(real(*a, **o)))  # noqa: B010
    path.write_bytes(manifest(WEB, "two"))
    assert both.scan().pods[WEB].active[0].data == manifest(WEB, "two")


def _more(status: os.stat_result) -> dict[str, Any]:
    names = ("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns")
    return {name: getattr(status, name) for name in names}


def test_a_file_that_was_replaced_is_read_again(quick: Path) -> None:
    calls = At(quick, LATER)
    both = manifests(quick, calls)
    both.write_active(WEB, manifest(WEB, "one"), FILE)
    assert both.scan().pods[WEB].active[0].data == manifest(WEB, "one")
    manifests(quick).write_active(WEB, manifest(WEB, "two"), FILE)
    assert both.scan().pods[WEB].active[0].data == manifest(WEB, "two")
    (quick / "active" / FILE).unlink()
    assert both.scan() == Found({})


def test_temporary_files_of_the_dead_are_swept_and_nothing_like_them(
    quick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    active = quick / "active"
    put(active / ".checkpointkit-0123456789abcdef", b"left")
    put(active / ".checkpointkit-notes", b"mine")
    (active / ".checkpointkit-0123456789abcdee").mkdir()
    both = manifests(quick)
    with caplog.at_level(logging.INFO, "checkpointkit"):
        both.tidy()
    assert sorted(os.listdir(active)) == [".checkpointkit-0123456789abcdee", ".checkpointkit-notes"]
    assert "swept" in caplog.text


def test_without_durability_nothing_is_synced(quick: Path) -> None:
    calls = Calls(quick)
    paths = str(quick / "inactive"), str(quick / "active")
    both = Manifests(*paths, system=calls, durable=False)
    both.write_inactive(WEB, manifest(WEB))
    both.tidy()
    assert not [each for each in calls.attempts if each.startswith("fsync")]


def test_the_defaults_are_the_contracts(quick: Path) -> None:
    calls = Calls(quick)
    calls.break_at(0, 2, for_ever=True)  # nothing of this machine is looked at
    assert Manifests(system=calls).scan() == Found({})
    assert [os.path.normpath(quick / each.split(" ")[1]) for each in calls.attempts] == [
        "/etc/kubernetes/inactive-manifests",
        "/etc/kubernetes/manifests",
    ]
