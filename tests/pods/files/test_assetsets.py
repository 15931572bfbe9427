"""Sets of files on a node: whole, with their modes, for nobody else, and nothing beside them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit.errors import StoreError
from checkpointkit.pods.assets import AssetFile, AssetSet, Roots
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.model import PodName
from tests.pods.files.support import GID, PLACE, WEB, Calls, asset_files, asset_set, roots, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLD = asset_set({"ca.crt": b"old", "tls.key": b"old", "gone/a/b": b"old"})
NEW = asset_set({"ca.crt": b"new", "tls.key": b"new", "sub/c/d": b"new", "sub/e": b"new"})
SET = "secrets/kube-system/web/tls"


def shown(directory: Path, path: str = SET) -> dict[str, bytes]:
    """Return what a container sees, by paths without dots at their start."""
    found = {}
    for name in os.listdir(directory / path):
        if name.startswith(".."):
            continue
        for parent, _, files in os.walk(directory / path / name):
            for each in files:
                full = os.path.join(parent, each)
                with open(full, "rb") as file:
                    found[os.path.relpath(full, directory / path)] = file.read()
        if (directory / path / name).is_file():
            found[name] = (directory / path / name).read_bytes()
    return found


def contents(files: AssetSet) -> dict[str, bytes]:
    return {each.path: each.data for each in files.files}


def test_a_set_is_written_once_and_replaced_as_a_whole(quick: Path) -> None:
    files = asset_files(quick)
    assert not files.is_present(PLACE)
    assert files.problem(PLACE) == f"{PLACE}: is missing"
    for wanted in (OLD, NEW, asset_set({}), OLD):
        assert files.write(wanted)
        assert not files.write(wanted)
        assert not asset_files(quick).write(wanted)
        assert files.is_present(PLACE)
        assert files.problem(PLACE) == ""
        assert shown(quick) == contents(wanted)
        versions = [each for each in os.listdir(quick / SET) if each.startswith("..")]
        assert len(versions) == 2  # `..data`, and what it leads to


def test_a_set_lies_there_as_the_kubelet_lays_out_a_volume(quick: Path) -> None:
    asset_files(quick).write(NEW)
    links = {
        path: data
        for path, (mode, data) in tree(quick / SET).items()
        if stat.S_ISLNK(mode) and path != "..data"
    }
    assert links == {
        "ca.crt": "..data/ca.crt",
        "sub": "..data/sub",
        "tls.key": "..data/tls.key",
    }


@pytest.mark.parametrize("mask", [0o777, 0])
@pytest.mark.parametrize("mode", [0o755, 0o2755, 0o700])
def test_modes_are_as_wanted_whatever_the_umask(quick: Path, mask: int, mode: int) -> None:
    wanted = asset_set(
        {"a": b"1", "b": b"2", "sub/c": b"3"}, modes={"a": 0o644, "b": 0o440}, mode=mode
    )
    before = os.umask(mask)
    try:
        asset_files(quick).write(wanted)
    finally:
        os.umask(before)
    found = {path: stat.S_IMODE(mode) for path, (mode, _) in tree(quick).items()}
    assert found[SET] == mode
    data = f"{SET}/{os.readlink(quick / SET / '..data')}"
    assert [found[f"{data}{each}"] for each in ("", "/a", "/b", "/sub", "/sub/c")] == [
        mode,
        0o644,
        0o440,
        mode,
        0o600,
    ]
    assert [found["/".join(SET.split("/")[:depth])] for depth in (1, 2, 3)] == [0o700] * 3
    assert all(os.lstat(quick / path).st_gid == GID for path in found if path.startswith(data))


@pytest.mark.root
def test_files_and_directories_get_the_group_of_the_set(quick: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files to any group")
    wanted = asset_set({"a": b"1", "s/b": b"2"}, modes={"a": 0o2755}, mode=0o2755, gid=4711)
    files = asset_files(quick)
    files.write(asset_set({"a": b"1", "s/b": b"2"}, modes={"a": 0o2755}))
    assert files.write(wanted)  # the group alone is another one
    assert not files.write(wanted)
    assert files.problem(PLACE) == ""
    for parent, directories, names in os.walk(quick / SET / "..data/"):
        for name in (*directories, *names, "."):
            status = os.stat(os.path.join(parent, name))
            assert (status.st_uid, status.st_gid) == (0, 4711)
            assert status.st_mode & stat.S_ISGID or name == "b"
    os.chown(quick / SET / "a", -1, GID)
    assert files.problem(PLACE) == f"{PLACE}: 'a' has another owner"
    os.chown(quick / SET / "a", 65534, 4711)
    assert files.problem(PLACE) == f"{PLACE}: 'a' has another owner"
    assert files.write(wanted)
    assert files.problem(PLACE) == ""


def test_files_of_another_owner_are_not_those_that_were_written(quick: Path) -> None:
    calls = Calls(quick)
    files = asset_files(quick, calls)
    files.write(OLD)
    setattr(calls, "geteuid", lambda: os.geteuid() + 1)  # noqa: B010 - a static method
    assert files.problem(PLACE) == f"{PLACE}: 'ca.crt' has another owner"


def test_who_may_not_give_files_away_is_told_what_it_takes(quick: Path) -> None:
    calls = Calls(quick)
    files = asset_files(quick, calls)
    files.write(OLD)
    calls.break_at(0, errno.EPERM, match="fchown", for_ever=True)
    reason = r"only root can give .*/ca.crt to group 4711: run as root \(EPERM\)"
    with pytest.raises(StoreError, match=reason):
        files.write(asset_set({"ca.crt": b"new"}, gid=4711))
    assert files.problem(PLACE) == ""
    assert shown(quick) == contents(OLD)


def test_a_file_system_that_keeps_no_modes_is_refused(quick: Path) -> None:
    calls = Calls(quick)
    asset_files(quick, calls).write(OLD)
    setattr(calls, "fchmod", lambda fd, mode: None)  # noqa: B010 - a static method
    with pytest.raises(StoreError, match="did not take mode 0644 and group"):
        asset_files(quick, calls).write(asset_set({"a": b""}, modes={"a": 0o644}))
    assert shown(quick) == contents(OLD)


def test_the_bytes_of_a_file_are_never_under_another_mode_but_for_root_alone(quick: Path) -> None:
    seen = set()

    class Watching(Calls):
        def before(self, name: str, event: str) -> None:
            for path, (mode, data) in tree(quick).items():
                if path.endswith("/wide") and stat.S_ISREG(mode):
                    seen.add((stat.S_IMODE(mode), bool(data)))

    before = os.umask(0)
    try:
        wanted = asset_set({"wide": b"1"}, modes={"wide": 0o444})
        asset_files(quick, Watching(quick)).write(wanted)
    finally:
        os.umask(before)
    assert seen == {(0o600, False), (0o600, True), (0o444, True)}


@pytest.mark.parametrize("act", ["write", "remove", "collect", "discard_others"])
def test_a_root_that_others_can_enter_is_closed(quick: Path, act: str) -> None:
    for root in ("secrets", "configmaps"):
        (quick / root).mkdir()
        (quick / root).chmod(0o755)
    files = asset_files(quick)
    if act == "write":
        files.write(OLD)
        files.write(AssetSet("configmaps", "a/b/c", ()))
    elif act == "remove":
        files.remove(WEB)
    elif act == "collect":
        files.collect([])
    else:
        files.discard_others(WEB, [])
    assert {stat.S_IMODE((quick / each).stat().st_mode) for each in os.listdir(quick)} == {0o700}


def test_a_root_that_cannot_be_closed_gets_nothing(quick: Path) -> None:
    (quick / "secrets").mkdir(0o755)
    calls = Calls(quick)
    calls.break_at(0, errno.EPERM, match="fchmod secrets", for_ever=True)
    with pytest.raises(StoreError, match="EPERM"):
        asset_files(quick, calls).write(OLD)
    assert os.listdir(quick / "secrets") == []


def test_files_that_vanish_one_by_one_are_missed(quick: Path) -> None:
    files = asset_files(quick)
    data = quick / SET / "..data"
    for gone in ("ca.crt", "tls.key", "gone/a/b"):
        files.write(OLD)
        (data / gone).unlink()
        assert files.problem(PLACE) == f"{PLACE}: its files are not those that were saved"
        assert files.is_present(PLACE)
    files.write(OLD)
    (quick / SET / "ca.crt").unlink()
    assert files.problem(PLACE) == f"{PLACE}: 'ca.crt' is no link to its file"
    shutil.rmtree(data.resolve())
    assert files.problem(PLACE) == f"{PLACE}: its files are gone"
    assert not files.is_present(PLACE)
    data.unlink()
    assert files.problem(PLACE) == f"{PLACE}: it has no files"
    shutil.rmtree(quick / SET)
    assert files.problem(PLACE) == f"{PLACE}: is missing"
    assert files.write(OLD)
    assert files.problem(PLACE) == ""


def chmod(path: str, mode: int) -> Callable[[Path], object]:
    return lambda where: (where / path).chmod(mode)


def rot(where: Path) -> None:
    data = bytearray((where / "..data" / "tls.key").read_bytes())
    data[1] ^= 1
    (where / "tls.key").write_bytes(data)


def swap_for_fifo(where: Path) -> None:
    (where / "..data" / "ca.crt").unlink()
    os.mkfifo(where / "..data" / "ca.crt")


def swap_for_link(where: Path) -> None:
    (where / "..data" / "ca.crt").unlink()
    (where / "..data" / "ca.crt").symlink_to("/etc/hostname")


def swap_for_huge(where: Path) -> None:
    os.truncate(where / "ca.crt", 1 << 30)


def lead_out(where: Path) -> None:
    shutil.copytree(where / "..data", where.parent.parent / "out")
    (where / "..data").unlink()
    (where / "..data").symlink_to("../../out")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (rot, "its files are not those that were saved"),
        (chmod("ca.crt", 0o644), "its files are not those that were saved"),
        (chmod("..data/gone/a", 0o700), "'gone/a' has another mode"),
        (chmod("", 0o700), "its directory is closed"),
        (swap_for_fifo, "'ca.crt' is no file of a set"),
        (swap_for_link, "'ca.crt' is no file of a set"),
        (swap_for_huge, "'ca.crt' is no file of a set"),
        (lead_out, "its ..data leads somewhere else"),
    ],
)
def test_damage_is_seen_and_mended(
    quick: Path, damage: Callable[[Path], object], reason: str
) -> None:
    files = asset_files(quick)
    files.write(OLD)
    damage(quick / SET)
    assert reason in files.problem(PLACE)
    assert files.write(OLD)
    assert files.problem(PLACE) == ""
    assert not files.write(OLD)


def test_directories_that_are_nested_too_deep_end_the_look(quick: Path) -> None:
    files = asset_files(quick)
    files.write(OLD)
    deep = quick / SET / "..data"
    for _ in range(13):
        deep /= "x"
        deep.mkdir(0o755)
        deep.chmod(0o755)
    assert files.problem(PLACE).endswith("is no file of a set")
    assert files.write(OLD)


@pytest.mark.parametrize("at", ["secrets", "secrets/kube-system", "secrets/kube-system/web", SET])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_planted_in_place_of_a_directory_is_never_followed(
    quick: Path, at: str, kind: str
) -> None:
    outside = asset_files(quick / "outside")
    outside.write(OLD)
    outside_of = quick / "outside" / at
    planted = quick / at
    planted.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        planted.symlink_to(outside_of)
    else:
        planted.write_bytes(b"")
    before = tree(quick / "outside")
    files = asset_files(quick)
    if at == "secrets" and kind == "link":
        assert not files.write(OLD)  # a root that was configured may be a link
        assert files.problem(PLACE) == ""
        return
    assert files.problem(PLACE) == f"{PLACE}: cannot be read: Not a directory"
    with pytest.raises(StoreError, match=rf"write {SET} failed: Not a directory"):
        files.write(NEW)
    if at != "secrets":
        files.discard_others(WEB, [PLACE])
        files.collect([])
        files.remove(WEB)
        assert not os.path.lexists(planted) or at == "secrets/kube-system"
    else:
        with pytest.raises(StoreError, match="Not a directory"):
            files.remove(WEB)
    assert tree(quick / "outside") == before


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "link"])
def test_what_is_planted_in_place_of_data_or_a_key_is_replaced(quick: Path, kind: str) -> None:
    victim = quick / "victim"
    victim.mkdir()
    (victim / "file").write_bytes(b"victim")
    files = asset_files(quick)
    for name in ("..data", "ca.crt", "sub", "gone"):
        files.write(OLD)
        planted = quick / SET / name
        if os.path.lexists(planted):
            planted.unlink()
        if kind == "file":
            planted.write_bytes(b"x")
        elif kind == "directory":
            (planted / "deeper").mkdir(parents=True)
            (planted / "deeper" / "link").symlink_to(victim)
        elif kind == "fifo":
            os.mkfifo(planted)
        else:
            planted.symlink_to(victim)
        assert files.write(NEW)
        assert shown(quick) == contents(NEW)
        assert not files.write(NEW)
    assert tree(victim) == {"file": (0o100644, b"victim")} or os.listdir(victim) == ["file"]


def test_an_originals_plain_files_are_taken_as_they_are_and_are_replaced(quick: Path) -> None:
    directory = quick / SET
    directory.mkdir(parents=True)
    for name in ("ca.crt", "vanished"):
        (directory / name).write_bytes(b"original")
    files = asset_files(quick)
    assert files.is_present(PLACE)
    assert files.problem(PLACE) == ""
    assert files.write(OLD)
    assert shown(quick) == contents(OLD)


def test_a_directory_without_files_is_no_set(quick: Path) -> None:
    (quick / SET).mkdir(parents=True)
    files = asset_files(quick)
    assert not files.is_present(PLACE)
    assert files.problem(PLACE) == f"{PLACE}: it has no files"


def test_a_set_tells_by_itself_that_another_has_been_put_in_its_directory(quick: Path) -> None:
    files = asset_files(quick)
    files.write(OLD)
    before = os.readlink(quick / SET / "..data")
    files.write(NEW)
    after = os.readlink(quick / SET / "..data")
    (quick / SET / after).rename(quick / SET / before)
    (quick / SET / "..data").unlink()
    (quick / SET / "..data").symlink_to(before)
    assert files.problem(PLACE) == f"{PLACE}: its files are not those that were saved"


def test_what_somebody_puts_beside_a_set_is_no_problem_of_it_and_goes_with_the_next_write(
    quick: Path,
) -> None:
    files = asset_files(quick)
    files.write(OLD)
    (quick / SET / "extra").write_bytes(b"x")
    (quick / SET / ".hidden").mkdir()
    (quick / SET / "..0123456789abcdef0123456789abcdef-01234567").mkdir()
    (quick / SET / "..new").symlink_to("/")
    assert files.problem(PLACE) == ""
    assert files.write(OLD)
    assert not files.write(OLD)
    assert shown(quick) == contents(OLD)


def test_keys_that_begin_with_a_dot_are_keys(quick: Path) -> None:
    wanted = asset_set({".dockerconfigjson": b"{}", ".a/.b": b"x", ".checkpointkit": b""})
    files = asset_files(quick)
    files.write(wanted)
    assert shown(quick) == contents(wanted)
    assert not files.write(wanted)


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a//b", "a/../b", "./a", "..data", "..x/y", "a\0", "\ud800", "", "a/"]
)
def test_a_path_that_would_leave_the_set_is_refused(quick: Path, path: str) -> None:
    with pytest.raises(ValueError, match="the path of a file in a set leaves it"):
        asset_files(quick).write(asset_set({path: b"x"}))
    assert os.listdir(quick) == []


def test_a_path_that_nests_too_deep_is_refused(quick: Path) -> None:
    files = asset_files(quick)
    deepest = asset_set({"/".join("abcdefghijkl"): b"x"})
    assert files.write(deepest)
    assert files.problem(PLACE) == ""
    with pytest.raises(ValueError, match="more than 12 names"):
        files.write(asset_set({"/".join("abcdefghijklm"): b"x"}))
    files.remove(WEB)
    assert os.listdir(quick / "secrets") == []


@pytest.mark.parametrize(
    "path", ["../b/c", "a/b", "a/b/c/d", "a//c", "a/b/.c", "a/b/c\0", "", "/a/b/c"]
)
def test_a_set_lies_nowhere_but_below_its_root(quick: Path, path: str) -> None:
    files = asset_files(quick)
    with pytest.raises(ValueError, match="the path of a set is"):
        files.write(AssetSet("secrets", path, ()))
    assert files.problem(f"secrets/{path}") == f"secrets/{path}: is no place of a set"
    assert not files.is_present(f"secrets/{path}")
    assert not files.is_present(f"elsewhere/{path}")
    assert "is no place of a set" in files.problem("elsewhere/a/b/c")
    assert os.listdir(quick) == []


def fill(files: AssetFiles, *paths: str) -> None:
    for path in paths:
        root: Any = "secrets" if path.endswith("tls") else "configmaps"
        files.write(AssetSet(root, path, (AssetFile("k", b"x", 0o644),)))


def places(directory: Path) -> list[str]:
    return sorted(
        path
        for path, (mode, _) in tree(directory).items()
        if stat.S_ISDIR(mode) and path.count("/") == 3
    )


def test_the_sets_of_a_pod_are_removed_from_both_roots(quick: Path) -> None:
    files = asset_files(quick)
    files.remove(WEB)
    fill(files, "kube-system/web/tls", "kube-system/web/conf", "kube-system/web-2/tls")
    files.remove(WEB)
    assert places(quick) == ["secrets/kube-system/web-2/tls"]
    files.remove(WEB)
    files.remove(PodName("kube-system", "web-2"))
    assert tree(quick).keys() == {"secrets", "configmaps"}
    fill(files, "kube-system/web/tls")
    assert files.is_present(PLACE)


def test_what_no_pod_needs_is_collected(quick: Path) -> None:
    files = asset_files(quick)
    assert files.collect([]) == ()
    fill(files, "a/b/tls", "a/b/conf", "a/c/tls", "d/b/tls")
    assert files.collect([PodName("a", "b")]) == ("secrets/a/c", "secrets/d/b")
    assert files.collect([PodName("a", "b")]) == ()
    assert places(quick) == ["configmaps/a/b/conf", "secrets/a/b/tls"]
    assert files.collect([], ["d"]) == ()
    assert files.collect([], ["a"]) == ("configmaps/a/b", "secrets/a/b")
    assert tree(quick).keys() == {"secrets", "configmaps"}


def test_strange_entries_are_left_and_logged_once(
    quick: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = asset_files(quick)
    fill(files, "a/b/tls")
    root = quick / "secrets"
    (root / "Notes").mkdir()
    (root / "link").symlink_to(quick)
    (root / "a" / "file").write_bytes(b"")
    (root / "a" / "Upper").mkdir()
    (root / "a" / "linked").symlink_to(quick)
    before = tree(quick)
    for _ in range(2):
        files.collect([PodName("a", "b")])
    assert tree(quick) == before
    assert sorted(each.getMessage().partition(" ")[0] for each in caplog.records) == [
        "secrets/Notes",
        "secrets/a/Upper",
        "secrets/a/file",
        "secrets/a/linked",
        "secrets/link",
    ]


def test_one_pod_that_cannot_be_removed_does_not_keep_the_others(quick: Path) -> None:
    calls = Calls(quick)
    files = asset_files(quick, calls)
    fill(files, "a/b/tls", "a/c/tls", "d/e/tls")
    calls.break_at(0, errno.EBUSY, match="rmdir secrets/a/b", for_ever=True)
    with pytest.raises(StoreError, match="remove the files of pods that are gone failed"):
        files.collect([])
    calls.heal()
    assert [each for each in places(quick) if not each.startswith("secrets/a/b")] == []
    assert not files.is_present("secrets/a/b/tls")
    assert files.collect([]) == ("secrets/a/b",)
    assert os.listdir(quick / "secrets") == []


def test_sets_that_a_manifest_no_longer_mounts_are_removed(quick: Path) -> None:
    files = asset_files(quick)
    assert not files.discard_others(WEB, [])
    fill(files, "kube-system/other/tls", "kube-system/web/conf")
    assert not files.discard_others(WEB, ["configmaps/kube-system/web/conf"])
    fill(files, "kube-system/web/tls", "kube-system/web/old-tls", "kube-system/web/_volume")
    (quick / "secrets/kube-system/web/file").write_bytes(b"")
    (quick / "secrets/kube-system/web/link").symlink_to(quick)
    assert files.discard_others(WEB, [PLACE, "secrets/kube-system/web/_volume"])
    assert places(quick) == ["secrets/kube-system/other/tls", SET]
    assert sorted(os.listdir(quick / "secrets/kube-system/web")) == ["tls"]
    shutil.rmtree(quick / "secrets/kube-system")
    assert not files.discard_others(WEB, [])


def test_a_set_whose_directories_were_deleted_by_hand_is_durable_again(quick: Path) -> None:
    calls = Calls(quick)
    files = asset_files(quick, calls)
    files.write(OLD)
    calls.forget()
    assert not files.write(OLD)
    assert not [each for each in calls.attempts if each.startswith("fsync")]
    shutil.rmtree(quick / "secrets" / "kube-system")
    calls.forget()
    assert files.write(OLD)
    synced = [each for each in calls.attempts if each.startswith("fsync")]
    assert "fsync secrets" in synced
    assert f"fsync {SET}" in synced


def test_without_durability_nothing_is_synced(quick: Path) -> None:
    calls = Calls(quick)
    files = AssetFiles(roots(quick), system=calls, durable=False)
    files.write(OLD)
    files.remove(WEB)
    assert not [each for each in calls.attempts if each.startswith("fsync")]


def test_looking_costs_one_call_and_writes_nothing(quick: Path) -> None:
    calls = Calls(quick)
    files = asset_files(quick, calls)
    files.write(OLD)
    calls.forget()
    assert files.is_present(PLACE)
    assert calls.attempts == [f"stat {SET}/..data"]
    before = tree(quick)
    files.problem(PLACE)
    files.write(OLD)
    files.collect([WEB])
    files.discard_others(WEB, [PLACE])
    assert tree(quick) == before
    assert not calls.changes()


def test_the_default_roots_are_the_contracts(tmp_path: Path) -> None:
    calls = Calls(tmp_path)
    calls.break_at(0, errno.ENOENT, for_ever=True)  # nothing of this machine is looked at
    AssetFiles(Roots(), system=calls).collect([])
    assert [os.path.normpath(tmp_path / each.split(" ")[1]) for each in calls.attempts] == [
        "/etc/kubernetes/checkpoint-configmaps",
        "/etc/kubernetes/checkpoint-secrets",
    ]
