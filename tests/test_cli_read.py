"""`list`, `show` and `history`."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from checkpointkit.envelope import ENVELOPE_VERSION
from checkpointkit.records import State, StateSeal
from checkpointkit.stores.files.store import FileStore
from tests.support.states import NOW, sealed, tree
from tests.test_cli_support import (
    Clock,
    flip,
    make_scope,
    make_store,
    overtake,
    run,
    run_json,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
CORRUPT = "corrupt: the payload does not match its digest"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpointkit.cli.run.datetime", Clock)


def newer_envelope(file: Path) -> None:
    """Make a file an intact one of the next envelope version."""
    from hashlib import sha256  # noqa: PLC0415

    _, line_2, payload = file.read_bytes().split(b"\n", 2)
    version = b"checkpointkit/%d" % (ENVELOPE_VERSION + 1)
    digest = sha256(version + b"\n" + line_2 + b"\n").hexdigest().encode()
    file.write_bytes(b"%b sha256:%b\n%b\n%b" % (version, digest, line_2, payload))


# --------------------------------------------------------------------------------------- list


def test_list_prints_each_visible_key_and_changes_nothing(quick: Path, capsys: Capture) -> None:
    make_store(quick, "b", "A", "a.b_c-d")
    (quick / "A" / "current").write_bytes(b"rot")
    (quick / "README").write_text("a file in place of a key")
    before = tree(quick)
    assert run(capsys, "list", quick) == (0, "A\nREADME\na.b_c-d\nb\n", "")
    assert run(capsys, "list", quick, "--prefix", "a") == (0, "a.b_c-d\n", "")
    assert tree(quick) == before


def test_list_of_an_empty_store_prints_nothing_into_a_pipe(quick: Path, capsys: Capture) -> None:
    make_scope(quick, "devices")
    assert run(capsys, "list", quick) == (0, "", "")
    assert run(capsys, "list", "-l", quick) == (0, "", "")


def test_list_decodes_nothing(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")
    monkeypatch.setattr(FileStore, "read", None)
    assert run(capsys, "list", quick) == (0, "a\n", "")


def test_a_long_list_says_what_the_headers_say(quick: Path, capsys: Capture) -> None:
    make_store(quick, "node-a", "b", saves=2, pad=2000)
    flip(quick / "b" / "current")  # in the payload, which is not read
    assert run(capsys, "list", "--long", quick) == (
        0,
        (
            "KEY     GENERATION  KIND                VERSION     SIZE  SAVED                   "
            "  AGE  STATE\n"
            "b                2  example.com/number        1  2.4 KiB  2026-01-02T03:04:05Z"
            "  3 h ago  header good\n"
            "node-a           2  example.com/number        1  2.4 KiB  2026-01-02T03:04:05Z"
            "  3 h ago  header good\n"
        ),
        "",
    )


def test_a_long_list_names_damage_that_the_header_shows(quick: Path, capsys: Capture) -> None:
    make_store(quick, "cut", "empty", "good", "header", "newer", "number")
    os.truncate(quick / "cut" / "current", (quick / "cut" / "current").stat().st_size - 1)
    os.truncate(quick / "empty" / "current", 0)
    flip(quick / "header" / "current", 100)
    newer_envelope(quick / "newer" / "current")
    (quick / "number" / "current").write_bytes((quick / "number" / "2").read_bytes())
    (quick / "strange").write_text("")
    status, out, err = run(capsys, "list", "-l", quick)
    assert (status, err) == (1, "")
    table, *troubles = out.split("\n\n")
    assert {line.split()[0]: line.split("  ")[-1] for line in table.splitlines()[1:]} == {
        "cut": "corrupt",
        "empty": "corrupt",
        "good": "header good",
        "header": "corrupt",
        "newer": "newer format",
        "number": "corrupt",
        "strange": "corrupt",
    }
    dry = "next: see whether there is a good generation to go on from: checkpointkit recover"
    assert [each.splitlines()[0] for each in troubles] == [
        "cut, generation 3: corrupt: the payload has 15 bytes, not 16",
        "empty, generation 3: corrupt: it is empty",
        "header, generation 3: corrupt: the header does not match its digest",
        (
            "newer, generation 3: saved by a newer release of checkpointkit (envelope version 2, "
            "this one reads up to 1)"
        ),
        "number, generation 3: corrupt: it holds generation 2",
        "strange, generation 1: corrupt: something else than its directory stands there",
    ]
    assert troubles[0].splitlines()[1] == f"    {dry} --dry-run {quick} cut"
    assert troubles[3].splitlines()[1] == "    next: upgrade checkpointkit here; the file is fine"


def test_a_long_list_goes_on_after_a_key_that_cannot_be_read(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a", "b")

    def deny(store: FileStore) -> None:
        raise store_error

    from checkpointkit.errors import StoreError  # noqa: PLC0415

    store_error = StoreError("a", "read the history", "Input/output error (EIO)")
    overtake(monkeypatch, "history", deny)
    status, document = run_json(capsys, "list", "-l", quick)
    assert status == 1
    assert [(each["key"], each["state"]) for each in document["checkpoints"]] == [
        ("a", "unreadable"),
        ("b", "header good"),
    ]
    assert document["checkpoints"][0]["generation"] is None
    overtake(monkeypatch, "history", deny)
    status, out, _ = run(capsys, "list", "-l", quick)
    assert out.splitlines()[1].split() == ["a", *"??????", "unreadable"]
    assert "a: cannot read the history: Input/output error (EIO)\n" in out


def test_a_long_list_leaves_out_what_was_removed_while_it_looked(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a", "b")

    def remove(store: FileStore) -> None:
        with closing(FileStore(quick, durability="none")) as other:
            other.remove("a")

    overtake(monkeypatch, "history", remove)
    assert [line[0] for line in run(capsys, "list", "-l", quick)[1].splitlines()] == ["K", "b"]
    make_store(quick, "a")
    overtake(monkeypatch, "read", remove)  # it looks again, and then finds nothing
    assert [line[0] for line in run(capsys, "list", "-l", quick)[1].splitlines()] == ["K", "b"]


def test_list_reaches_scopes(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    make_scope(quick, "devices", keys=("gpu",))
    make_scope(quick, "devices", "old", keys=("x", "y"))
    (quick / ".scope" / "begun").mkdir()  # one that was cut off when it was made
    assert run(capsys, "list", quick)[1] == "a\n"
    assert run(capsys, "list", "-r", quick)[1] == "a\ndevices/gpu\ndevices/old/x\ndevices/old/y\n"
    assert run(capsys, "list", "--scope", "devices", "-r", quick)[1] == "gpu\nold/x\nold/y\n"
    assert run(capsys, "list", "--scope=devices", "--scope=old", quick)[1] == "x\ny\n"
    rows = run(capsys, "list", "-lr", quick, "--prefix", "x")[1].splitlines()
    assert [row.split()[0] for row in rows] == ["KEY", "devices/old/x"]
    assert run_json(capsys, "list", "-r", quick) == (
        0,
        {
            "format": 1,
            "command": "list",
            "store": str(quick),
            "scope": [],
            "checkpoints": [
                {"scope": [], "key": "a"},
                {"scope": ["devices"], "key": "gpu"},
                {"scope": ["devices", "old"], "key": "x"},
                {"scope": ["devices", "old"], "key": "y"},
            ],
            "scopes": [["devices"], ["devices", "old"]],
        },
    )


# --------------------------------------------------------------------------------------- show


def test_show_says_what_the_header_says_and_no_payload(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", saves=2, pad=2000)
    status, out, err = run(capsys, "show", quick, "a")
    assert (status, err) == (0, "")
    assert "xxx" not in out
    shown = dict(line.split(maxsplit=1) for line in out.splitlines() if line[:7] != "payload")
    assert shown["generation"] == "2 (the newest)"
    assert shown["state"] == "good"
    assert shown["file"] == str(quick / "a" / "current")
    size = (quick / "a" / "current").stat().st_size
    assert shown["size"] == f"2.4 KiB ({size:,} bytes)"
    assert shown["saved"] == "2026-01-02T03:04:05Z (3 h ago)"
    assert shown["kind"] == "example.com/number"
    assert "payload         2.0 KiB (2,016 bytes); see --payload\n" in out
    assert "schema version  1\n" in out
    older = run(capsys, "show", quick, "a", "--generation", "1")[1]
    assert "generation      1\n" in older
    assert f"file            {quick}/a/1\n" in older
    assert "follows         none, it is the first\n" in older
    digest = next(line for line in older.splitlines() if line.startswith("digest")).split()[1]
    assert shown["follows"] == digest


def test_show_payload_prints_nothing_else(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    with closing(FileStore(quick, durability="none")) as store:
        payload = '{"name":"日本\\u001b","n":[1,2.5,null]}'.encode()
        state = State("example.com/number", 1, "fp1:0", payload)
        store.write("a", StateSeal("a", state, NOW, lambda _: None))
    status, out, err = run(capsys, "show", quick, "a", "--payload")
    assert (status, err) == (0, "")
    assert '"name": "日本\\u001b"' in out
    assert json.loads(out) == json.loads(payload)
    status, out, _ = run(capsys, "show", quick, "a", "--payload", "--generation=3")
    assert (status, json.loads(out)) == (0, {"n": 3, "pad": ""})


def test_show_as_json_has_the_payload_only_where_it_is_asked_for(
    quick: Path, capsys: Capture
) -> None:
    make_scope(quick, "s", keys=("a",))
    status, document = run_json(capsys, "show", "--scope=s", quick, "a")
    assert status == 0
    checkpoint = document["checkpoint"]
    assert document == {
        "format": 1,
        "command": "show",
        "store": str(quick),
        "scope": ["s"],
        "checkpoint": checkpoint,
    }
    digests = ("digest", "previous", "payload_sha256")
    assert {name: value for name, value in checkpoint.items() if name not in digests} == {
        "scope": ["s"],
        "key": "a",
        "generation": 3,
        "newest": True,
        "pinned": False,
        "kind": "example.com/number",
        "schema_version": 1,
        "fingerprint": "fp1:0",
        "created_at": "2026-01-02T03:04:05.000000Z",
        "size": (quick / ".scope" / "s" / "a" / "current").stat().st_size,
        "payload_size": 16,
        "state": "good",
        "problem": None,
    }
    assert [len(checkpoint[name]) for name in digests] == [71, 71, 64]
    assert (
        run_json(capsys, "show", "--scope=s", "--generation=1", quick, "a")[1]["checkpoint"][
            "previous"
        ]
        is None
    )
    with_payload = run_json(capsys, "show", "--scope=s", "--payload", quick, "a")
    assert with_payload == (0, {**document, "payload": {"n": 3, "pad": ""}})


def test_show_of_a_damaged_one_says_what_the_header_still_tells(
    quick: Path, capsys: Capture
) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    status, out, err = run(capsys, "show", quick, "a")
    assert (status, err) == (1, "")
    assert "state           corrupt\n" in out
    assert "kind            example.com/number\n" in out
    assert "payload         16 bytes\n" in out
    assert out.endswith(
        f"\n\na, generation 3: {CORRUPT}\n    next: see whether there is a good generation to go on"
        f" from: checkpointkit recover --dry-run {quick} a\n"
    )
    assert run_json(capsys, "show", quick, "a")[1]["checkpoint"]["problem"] == {
        "type": "CorruptCheckpointError",
        "scope": [],
        "key": "a",
        "generation": 3,
        "message": CORRUPT,
        "next": "see whether there is a good generation to go on from: checkpointkit recover "
        f"--dry-run {quick} a",
    }


def test_a_damaged_payload_is_not_shown(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    status, out, err = run(capsys, "show", quick, "a", "--payload")
    assert (status, out) == (1, "")
    assert err.startswith(f"checkpointkit: a, generation 3: {CORRUPT}\n    next: ")
    assert '"n"' not in err


def test_show_of_one_without_a_header_says_what_is_left(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    (quick / "a" / "current").write_bytes(b"\0" * 2048)
    assert run(capsys, "show", quick, "a") == (
        1,
        (
            "key         a\n"
            "generation  3 (the newest)\n"
            "state       corrupt\n"
            f"file        {quick}/a/current\n"
            "size        2.0 KiB (2,048 bytes)\n"
            "\n"
            "a, generation 3: corrupt: it begins with NUL bytes\n"
            "    next: see whether there is a good generation to go on from: checkpointkit recover "
            f"--dry-run {quick} a\n"
        ),
        "",
    )
    checkpoint = run_json(capsys, "show", quick, "a")[1]["checkpoint"]
    assert [checkpoint[name] for name in ("kind", "created_at", "digest", "previous")] == 4 * [None]
    (quick / "a" / "current").unlink()
    (quick / "a" / "current").symlink_to("3")
    assert "'current' is no regular file" in run(capsys, "show", quick, "a")[1]


def test_show_of_one_that_is_too_large_says_so(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", pad=9000)
    limit = ("--max-bytes", "5000")
    status, out, _ = run(capsys, "show", *limit, quick, "a")
    assert status == 1
    size = (quick / "a" / "current").stat().st_size
    assert "state           too large\n" in out
    assert "kind            example.com/number\n" in out
    assert (
        f"a, generation 3: it has {size} bytes, and the limit is 5000\n"
        f"    next: if its program saves states of that size, add --max-bytes={size}\n"
    ) in out
    os.truncate(quick / "a" / "current", 6000)
    assert "state           corrupt\n" in run(capsys, "show", *limit, quick, "a")[1]


@pytest.mark.parametrize("command", ["show", "history"])
def test_what_is_not_there_is_said_with_a_way_to_find_what_is(
    command: str, quick: Path, capsys: Capture
) -> None:
    make_store(quick, "a")
    assert run(capsys, command, quick, "b") == (
        1,
        "",
        (
            "checkpointkit: b: there is no such checkpoint\n"
            f"    next: see which there are: checkpointkit list {quick}\n"
        ),
    )
    assert run_json(capsys, command, quick, "b")[1]["error"]["type"] == "CheckpointNotFoundError"


def test_a_generation_that_is_not_there(quick: Path, capsys: Capture) -> None:
    make_scope(quick, "s", keys=("a",))
    assert run(capsys, "show", quick, "--scope=s", "a", "--generation=7") == (
        1,
        "",
        (
            "checkpointkit: s/a, generation 7: there is no such generation\n"
            f"    next: see which there are: checkpointkit history --scope=s {quick} a\n"
        ),
    )


def test_show_looks_again_when_a_save_overtakes_it(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")

    def save(store: FileStore) -> None:
        with closing(FileStore(quick, history=0, durability="none")) as other:
            other.write("a", sealed("a", 4))

    overtake(monkeypatch, "read", save)
    status, out, _ = run(capsys, "show", quick, "a")
    assert (status, out.splitlines()[1]) == (0, "generation      4 (the newest)")


def test_a_payload_of_another_program_is_no_traceback(quick: Path, capsys: Capture) -> None:
    with closing(FileStore(quick, durability="none")) as store:
        state = State("example.com/number", 1, "fp1:0", b'["secret"]')
        store.write("a", StateSeal("a", state, NOW, lambda _: None))
    status, out, err = run(capsys, "show", quick, "a", "--payload")
    assert (status, out) == (1, "")
    assert "the payload is no JSON object of this format" in err
    assert "secret" not in err


# ------------------------------------------------------------------------------------ history


def test_history_lists_the_generations_newest_first(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", saves=10)
    status, out, err = run(capsys, "history", quick, "a")
    assert (status, err) == (0, "")
    assert out.splitlines()[:2] == [
        "GENERATION  KIND                VERSION   SIZE  SAVED                     AGE  STATE",
        "        10  example.com/number        1  425 B  2026-01-02T03:04:05Z  3 h ago  good",
    ]
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(map(str, range(10, 0, -1)))


def test_history_says_what_is_wrong_and_what_to_do(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    flip(quick / "a" / "1", 10)
    status, out, _ = run(capsys, "history", quick, "a")
    assert status == 1
    assert [line.split()[-1] for line in out.splitlines()[1:4]] == ["corrupt", "good", "corrupt"]
    assert out.split("\n\n")[1:] == [
        (
            f"a, generation 3: {CORRUPT}\n"
            "    next: go on from the newest good generation: checkpointkit recover "
            f"{quick} a"
        ),
        (
            "a, generation 1: corrupt: line 1 is no envelope's\n"
            "    next: nothing has to be done: it is an older one, and later saves delete it\n"
        ),
    ]
    status, document = run_json(capsys, "history", quick, "a")
    assert status == 1
    assert document["key"] == "a"
    assert [(each["generation"], each["newest"]) for each in document["checkpoints"]] == [
        (3, True),
        (2, False),
        (1, False),
    ]


def test_history_without_anything_good_says_so(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", saves=1)
    flip(quick / "a" / "current")
    assert (
        "next: no generation is good; copy what you need of it, then start empty: checkpointkit "
        f"remove {quick} a\n"
    ) in run(capsys, "history", quick, "a")[1]


def test_history_leaves_out_what_is_pruned_while_it_reads(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")

    def prune(store: FileStore) -> None:
        with closing(FileStore(quick, history=0, durability="none")) as other:
            other.write("a", sealed("a", 4))

    overtake(monkeypatch, "read", prune)  # the newest is gone: from the start
    assert [line.split()[0] for line in run(capsys, "history", quick, "a")[1].splitlines()] == [
        "GENERATION",
        "4",
    ]
    make_store(quick, "b")
    real = FileStore.read

    def read(store: FileStore, key: str, generation: int | None, limit: int | None) -> bytes:
        if generation == 2:
            (quick / "b" / "2").unlink(missing_ok=True)
        return real(store, key, generation, limit)

    monkeypatch.setattr(FileStore, "read", read)
    numbers = [line.split()[0] for line in run(capsys, "history", quick, "b")[1].splitlines()]
    assert numbers == ["GENERATION", "3", "1"]
