"""`checkpointkit archives pin`, `unpin` and `verify`: what is to be kept, what was recorded."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from attrs import evolve

from checkpointkit.archives.identity import identify
from checkpointkit.archives.kept.custody import Custody
from checkpointkit.archives.kept.deletions import Deletion
from checkpointkit.archives.kept.inventory import Inventory
from checkpointkit.archives.model import State
from checkpointkit.archives.tarscan.limits import ReadLimits
from checkpointkit.cli.archives.verify import is_open
from tests.archives import making
from tests.archives.keeping import archive, rot
from tests.support.states import tree
from tests.test_cli_archives_support import APP, GIB, Capture, Node, archives, document, node
from tests.test_cli_support import run

__all__ = ["node"]


# ------------------------------------------------------------------------------------------ pins


def test_a_pinned_archive_outlives_apply_and_an_unpinned_one_does_not(
    node: Node, capsys: Capture
) -> None:
    old = node.add(hours=50)
    node.add(hours=1)
    path = node.path / old
    assert archives(capsys, "pin", "--owner", "alice", path) == f"{old}: pinned by alice\n"
    archives(capsys, "apply", "--yes", "--keep-last", "1")
    assert path.exists()
    assert archives(capsys, "unpin", "--owner", "alice", path) == f"{old}: no longer pinned\n"
    archives(capsys, "apply", "--yes", "--keep-last", "1")
    assert not path.exists()


def test_each_owner_has_a_pin_of_its_own(node: Node, capsys: Capture) -> None:
    path = node.path / node.add()
    archives(capsys, "pin", path)
    again = archives(capsys, "pin", path)
    assert again == f"{path.name}: pinned by admin; it was so before\n"
    both = archives(capsys, "pin", "--owner", "bob", path)
    assert both == f"{path.name}: pinned by admin, bob\n"
    left = archives(capsys, "unpin", path)
    assert left == f"{path.name}: still pinned by bob\n"
    other = archives(capsys, "unpin", path)
    assert other == f"{path.name}: admin did not pin it; still pinned by bob\n"
    archives(capsys, "unpin", "--owner", "bob", path)
    assert archives(capsys, "unpin", path) == f"{path.name}: it was not pinned\n"


def test_a_marker_of_a_person_takes_force(node: Node, capsys: Capture) -> None:
    path = node.path / node.add()
    marker = node.path / f"{path.name}.keep"
    marker.touch()
    status, out, err = run(capsys, "archives", "unpin", path)
    assert (status, err) == (1, "")
    assert out.startswith(f"cannot unpin {path.name}: ")
    assert marker.exists()
    assert archives(capsys, "unpin", "--force", path) == f"{path.name}: no longer pinned\n"
    assert not marker.exists()


def test_what_cannot_be_pinned_keeps_nobody_else_from_it(node: Node, capsys: Capture) -> None:
    good, gone = node.path / node.add(), node.path / "checkpoint-gone.tar"
    status, out, _ = run(capsys, "archives", "pin", gone, good)
    assert status == 1
    assert f"{good.name}: pinned by admin\n" in out
    assert f"\ncannot pin {gone.name}: " in out
    found = document(capsys, "pin", gone, good, status=1)
    assert found["ok"] is False
    first, second = found["archives"]
    assert (first["name"], first["pins"], first["changed"]) == (gone.name, None, False)
    assert first["problem"].startswith("cannot pin")
    assert second == {
        "directory": str(node.path),
        "name": good.name,
        "pins": ["admin"],
        "changed": False,
        "problem": None,
    }


def test_an_archive_of_the_present_directory_needs_no_path(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = node.add()
    monkeypatch.chdir(node.path)
    assert archives(capsys, "pin", name) == f"{name}: pinned by admin\n"


@pytest.mark.parametrize("path", ["/", "..", "a/..", "a\0b", "."])
def test_a_path_without_a_name_is_no_archive(node: Node, capsys: Capture, path: str) -> None:
    found = document(capsys, "pin", path, status=2)
    assert found["error"]["type"] == "NoArchive"


# ---------------------------------------------------------------------------------------- verify


def test_a_chain_is_recorded_verified_and_exported(node: Node, capsys: Capture) -> None:
    oldest = node.add(hours=9)
    newest = node.add(hours=1)
    text = archives(capsys, "verify")
    assert text == "2 archives looked at\nno digests are recorded; --record records them\n"
    text = archives(capsys, "verify", "--record")
    assert text.startswith(
        "2 archives looked at\n2 digests recorded\n"
        "2 links in the chain: 2 as recorded, 0 deleted by this program\nthe last link is "
    )
    last = text.split()[-1]
    found = document(capsys, "verify", "--record")
    assert (found["ok"], found["recorded"], found["chain"]["last"]) == (True, [], last)

    file = node.root / "chain.jsonl"
    archives(capsys, "verify", "--export", file)
    assert [json.loads(line).get("name") for line in file.read_text().splitlines()] == [
        None,
        oldest,
        newest,
    ]
    text = archives(capsys, "verify", "--from", file)
    assert text == f"2 links; the last one is {last}\n"
    status, out, err = run(capsys, "archives", "verify", "--export", "-")
    assert (status, out) == (0, file.read_text())
    assert err.startswith("2 archives looked at\n")


def test_an_archive_that_has_changed_breaks_the_chain(node: Node, capsys: Capture) -> None:
    name = node.add()
    archives(capsys, "verify", "--record")
    node.write(name, making.archive(APP, runtime="containerd"))
    status, out, _ = run(capsys, "archives", "verify")
    assert status == 1
    assert name in out.splitlines()[-1]
    (fault,) = document(capsys, "verify", status=1)["chain"]["faults"]
    assert (fault["rule"], fault["index"], fault["name"]) == ("changed", 0, name)


def test_what_this_program_has_deleted_is_no_fault(node: Node, capsys: Capture) -> None:
    node.add(hours=9)
    node.add(hours=1)
    archives(capsys, "verify", "--record")
    archives(capsys, "apply", "--yes", "--keep-last", "1")
    assert ": 1 as recorded, 1 deleted by this program\n" in archives(capsys, "verify")


def test_what_somebody_else_has_deleted_is_a_fault(node: Node, capsys: Capture) -> None:
    name = node.add()
    archives(capsys, "verify", "--record")
    (node.path / name).unlink()
    found = document(capsys, "verify", status=1)
    assert [fault["rule"] for fault in found["chain"]["faults"]] == ["missing"]


def test_archives_that_are_not_whole_are_told(node: Node, capsys: Capture) -> None:
    name = node.write("checkpoint-half_default-x-2026-01-01T00:00:00Z.tar", b"no" * 999)
    status, out, _ = run(capsys, "archives", "verify")
    assert status == 1
    assert out.splitlines()[-1].startswith(f"{name}: broken: ")


def test_what_could_not_be_recorded_is_told(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = node.add(size=GIB)
    real = sys.modules["checkpointkit.archives.kept.custody"].digest_of

    def vanishing(*given: object, **options: object) -> object:
        (node.path / name).unlink()
        return real(*given, **options)

    monkeypatch.setattr("checkpointkit.archives.kept.custody.digest_of", vanishing)
    status, out, _ = run(capsys, "archives", "verify", "--record")
    assert status == 1
    assert f"{name}: it was not recorded: " in out


@pytest.mark.parametrize("text", ["", "{}\n", "[]\n\xff\n"])
def test_what_is_no_exported_chain_is_told(node: Node, capsys: Capture, text: str) -> None:
    file = node.root / "chain.jsonl"
    file.write_text(text, encoding="latin-1")
    status, out, _ = run(capsys, "archives", "verify", "--from", file)
    assert status == 1
    assert out.startswith("0 links; the last one is missing\n")


def test_a_link_that_was_changed_in_an_export_is_told(node: Node, capsys: Capture) -> None:
    node.add(hours=9)
    node.add(hours=1)
    file = node.root / "chain.jsonl"
    archives(capsys, "verify", "--record", "--export", file)
    start, first, second = file.read_text().splitlines()
    changed = json.dumps({**json.loads(first), "size": "1"}, separators=(",", ":"))
    file.write_text(f"{start}\n{changed}\n{second}\n")
    found = document(capsys, "verify", "--from", file, status=1)
    assert [fault["rule"] for fault in found["chain"]["faults"]] == ["link"]


@pytest.mark.parametrize("flag", ["--from", "--export"])
def test_a_file_that_cannot_be_used_is_told(node: Node, capsys: Capture, flag: str) -> None:
    node.add()
    archives(capsys, "verify", "--record")
    found = document(capsys, "verify", flag, node.root / "gone" / "file", status=2)
    assert found["error"]["type"] == "NoExport"


def test_an_export_of_nothing_is_refused(node: Node, capsys: Capture) -> None:
    file = node.root / "chain.jsonl"
    found = document(capsys, "verify", "--export", file, status=2)
    assert found["error"]["type"] == "NoChain"
    assert not Path(file).exists()


def test_verify_alone_changes_nothing(node: Node, capsys: Capture) -> None:
    node.add()
    archives(capsys, "verify", "--record")
    before = tree(node.root)
    archives(capsys, "verify")
    document(capsys, "list", "--deleted")
    assert tree(node.root) == before


# --------------------------------------------------------------- a state of other directories alone


@pytest.mark.parametrize("typed", [[], ["list"], ["plan"], ["usage"], ["verify"]])
def test_a_state_that_knows_nothing_of_a_directory_is_done_without(
    node: Node, capsys: Capture, typed: list[str]
) -> None:
    node.add()
    archives(capsys, "verify", "--record")
    other = node.root / "other"
    other.mkdir()
    before = tree(node.root)
    status, _, err = run(capsys, "archives", *typed, other)
    assert status == 0, err
    assert tree(node.root) == before


def test_nothing_was_deleted_in_a_directory_that_is_not_known(node: Node, capsys: Capture) -> None:
    node.add()
    archives(capsys, "verify", "--record")
    other = node.root / "other"
    other.mkdir()
    assert document(capsys, "list", "--deleted", other)["deleted"] == []


# ---------------------------------------------------------------- what nobody can say for certain


def rotten(node: Node, key: str) -> None:
    for place in node.state.rglob(key):
        for path in place.glob("[0-9]*"):
            rot(path)


def test_damaged_records_of_deletions_are_told(node: Node, capsys: Capture) -> None:
    node.add(hours=9)
    node.add(hours=1)
    archives(capsys, "verify", "--record")
    archives(capsys, "apply", "--yes", "--keep-last", "1")
    rotten(node, "deleted-*")
    status, out, _ = run(capsys, "archives", "list", "--deleted")
    assert status == 1
    assert out.startswith("records of deletions are damaged, and left out: ")
    found = document(capsys, "list", "--deleted", status=1)
    assert found["deleted"] == []
    assert len(found["problems"]) == 1
    # without them nothing says why it is gone
    found = document(capsys, "verify", status=1)
    assert [fault["rule"] for fault in found["chain"]["faults"]] == ["missing"]
    assert any("records of deletions are damaged" in each for each in found["problems"])


def recorded_deletion(node: Node, name: str, outcome: str | None) -> None:
    archive = os.stat(node.path / name)
    with Inventory.open(str(node.state), str(node.path)) as inventory:
        number = inventory.deletions.begin(
            [
                Deletion(
                    name=name,
                    container=APP,
                    size=archive.st_size,
                    device=archive.st_dev,
                    inode=archive.st_ino,
                    mtime_ns=archive.st_mtime_ns,
                    rule="max-age",
                    words="",
                    at_ns=2**62,
                )
            ]
        )
        if outcome is not None:
            inventory.deletions.finish(number, [outcome])


def test_what_a_kill_has_cut_off_is_told_and_is_no_fault(node: Node, capsys: Capture) -> None:
    name = node.add()
    archives(capsys, "verify", "--record")
    recorded_deletion(node, name, None)
    (node.path / name).unlink()
    text = archives(capsys, "verify")
    assert "1 link of what this program had begun to delete, and is gone\n" in text
    chain = document(capsys, "verify")["chain"]
    assert chain["faults"] == []
    (note,) = chain["notes"]
    assert (note["rule"], note["index"], note["name"]) == ("begun", 0, name)


def test_what_is_older_than_the_records_is_told_and_is_no_fault(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Custody.verify, "__kwdefaults__", {"keep": 1, "progress": None})
    gone, other = node.add(hours=9), node.add(hours=1)
    archives(capsys, "verify", "--record")
    (node.path / gone).unlink()
    recorded_deletion(node, other, "kept")
    text = archives(capsys, "verify")
    assert "1 link of what is gone: a record of the deletion would be older than the 1" in text
    (note,) = document(capsys, "verify")["chain"]["notes"]
    assert (note["rule"], note["name"]) == ("forgotten", gone)


def test_an_archive_whose_end_was_not_looked_at_does_not_pass_as_whole(
    node: Node, capsys: Capture
) -> None:
    lz4 = b"\x04\x22\x4d\x18\x64\x40" + b"x" * 600
    name = node.write("checkpoint-web_default-app-2026-01-01T00:00:00Z.tar", lz4)
    nobody = node.write("checkpoint-x.tar", making.tar([("a", b"")]))
    for flags in ([], ["--record"], []):  # read, and taken from what is known
        status, out, _ = run(capsys, "archives", "verify", *flags)
        assert status == 1
        told = f"{name}: not known whether it is whole: it is compressed with lz4: "
        assert sum(line.startswith(told) for line in out.splitlines()) == 1
        assert f"{nobody}:" not in out  # that nobody knows whose it is is another thing
    assert "it is compressed with lz4" in archives(capsys, "list")
    found = document(capsys, "verify", status=1)
    assert found["ok"] is False


READINGS = [
    (making.tar([("a", b"")] * 9), ReadLimits(headers=4), True),
    (making.tar([("a", b"")]) + b"\0" * 10**6, ReadLimits(tail=1024), True),
    (making.compressed(making.archive(APP), "gzip"), ReadLimits(work=1), True),
    (making.compressed(making.archive(APP), "xz"), ReadLimits(memory=2), True),
    (b"LZIP\x01\x0c" + b"x" * 600, ReadLimits(), True),
    (making.tar([("spec.dump", b"no"), ("a", b"")]), ReadLimits(), False),
    (making.tar([("spec.dump", b'{"annotations":5}')]), ReadLimits(), False),
    (making.tar([("spec.dump", b"{}"), ("spec.dump", b"{}")]), ReadLimits(), False),
    (making.tar([("spec.dump", b"{}" * 9)]), ReadLimits(document=3), False),
    (making.tar([("config.dump", b"[]")]), ReadLimits(), False),
    (making.tar([("config.dump", b'{"checkpointedTime": "x"}')]), ReadLimits(), False),
    (making.tar([("a", b"")]), ReadLimits(), False),
    (making.archive(APP), ReadLimits(), False),
]


@pytest.mark.parametrize(("data", "limits", "expected"), READINGS)
def test_what_is_wrong_with_whose_it_is_says_nothing_of_its_end(
    data: bytes, limits: ReadLimits, *, expected: bool, tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint-x.tar"
    file.write_bytes(data)
    reading = making.read_path(file, limits=limits)
    assert reading.state is State.COMPLETE
    identity = identify(file.name, reading)
    found = archive(container=identity.container, problem=identity.problem)
    assert is_open(found) is expected
    assert not is_open(evolve(found, state=State.BROKEN))
