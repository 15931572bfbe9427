"""`verify`: reads everything, changes nothing, and says what to do."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import StoreError
from checkpointkit.stores.files.store import FileStore
from tests.support.states import tree
from tests.test_cli_support import flip, make_scope, make_store, overtake, run, run_json

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
CORRUPT = "corrupt: the payload does not match its digest"


def test_a_good_store_is_good(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", "b")
    before = tree(quick)
    assert run(capsys, "verify", quick) == (0, "2 keys, 6 generations read: all good\n", "")
    assert tree(quick) == before
    assert run_json(capsys, "verify", quick) == (
        0,
        {
            "format": 1,
            "command": "verify",
            "store": str(quick),
            "scope": [],
            "ok": True,
            "keys": 2,
            "generations": 6,
            "problems": [],
            "strays": [],
        },
    )


def test_an_empty_store_is_good(quick: Path, capsys: Capture) -> None:
    make_store(quick)
    assert run(capsys, "verify", quick) == (0, "0 keys, 0 generations read: all good\n", "")


def test_each_problem_is_named_with_what_to_do_about_it(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", "b", "c")
    flip(quick / "a" / "current")
    flip(quick / "b" / "2")
    for name in ("current", "1", "2"):
        (quick / "c" / name).write_bytes(b"")
    assert run(capsys, "verify", quick) == (
        1,
        (
            f"a, generation 3: {CORRUPT}\n"
            f"    next: go on from the newest good generation: checkpointkit recover {quick} a\n"
            "\n"
            f"b, generation 2: {CORRUPT}\n"
            "    next: nothing has to be done: it is an older one, and later saves delete it\n"
            "\n"
            "c, generation 3: corrupt: it is empty\n"
            "    next: no generation is good; copy what you need of it, then start empty: "
            f"checkpointkit remove {quick} c\n"
            "\n"
            "c, generation 2: corrupt: it is empty\n"
            "    next: nothing has to be done: it is an older one, and later saves delete it\n"
            "\n"
            "c, generation 1: corrupt: it is empty\n"
            "    next: nothing has to be done: it is an older one, and later saves delete it\n"
            "\n"
            "3 keys, 9 generations read: 5 problems\n"
        ),
        "",
    )


def test_verify_of_some_keys_looks_at_no_other(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", "b")
    make_scope(quick, "s")
    flip(quick / "b" / "current")
    (quick / "b~").mkdir()
    assert run(capsys, "verify", quick, "a", "a") == (
        0,
        "1 key, 3 generations read: all good\n",
        "",
    )


def test_a_key_that_was_asked_for_and_is_absent_is_a_problem(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    status, document = run_json(capsys, "verify", quick, "zz", "a")
    assert (status, document["ok"], document["generations"]) == (1, False, 3)
    assert document["problems"] == [
        {
            "type": "CheckpointNotFoundError",
            "scope": [],
            "key": "zz",
            "generation": None,
            "message": "there is no such checkpoint",
            "next": f"see which there are: checkpointkit list {quick}",
        }
    ]


def test_a_key_that_is_removed_in_the_meantime_is_none(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a", "b")

    def remove(store: FileStore) -> None:
        with closing(FileStore(quick, durability="none")) as other:
            other.remove("a")

    overtake(monkeypatch, "history", remove)
    assert run(capsys, "verify", quick)[:2] == (0, "2 keys, 3 generations read: all good\n")


def test_a_key_that_cannot_be_read_does_not_end_it(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a", "b")
    real = FileStore.history

    def history(store: FileStore, key: str) -> object:
        if key == "a":
            raise StoreError("a", "read the history", "Input/output error (EIO)") from OSError(5)
        return real(store, key)

    monkeypatch.setattr(FileStore, "history", history)
    assert run(capsys, "verify", quick) == (
        1,
        (
            "a: cannot read the history: Input/output error (EIO)\n"
            "    next: see to the cause (the kernel's log may say more), then repeat the command\n"
            "\n"
            "2 keys, 3 generations read: 1 problem\n"
        ),
        "",
    )


def test_the_scopes_are_part_of_the_store(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    make_scope(quick, "s", keys=("b",))
    inner = make_scope(quick, "s", "t", keys=("c",))
    flip(inner / "c" / "current")
    status, out, _ = run(capsys, "verify", quick)
    assert status == 1
    assert out == (
        f"s/t/c, generation 3: {CORRUPT}\n"
        "    next: go on from the newest good generation: checkpointkit recover --scope=s --scope=t"
        f" {quick} c\n"
        "\n"
        "3 keys in the store and 2 scopes of it, 9 generations read: 1 problem\n"
    )
    assert run_json(capsys, "verify", quick)[1]["problems"][0]["scope"] == ["s", "t"]
    status, out, _ = run(capsys, "verify", "--scope", "s", quick, "b")
    assert (status, out) == (0, "1 key, 3 generations read: all good\n")


def test_a_scope_that_cannot_be_opened_is_a_problem(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    (make_scope(quick, "s") / ".format").write_text("checkpointkit files 9\n")
    status, document = run_json(capsys, "verify", quick)
    assert (status, document["keys"], document["generations"]) == (1, 1, 3)
    (problem,) = document["problems"]
    assert (problem["scope"], problem["key"], problem["type"]) == (["s"], None, "StoreError")
    assert "names a layout that this release does not know" in problem["message"]
    assert f"the store {quick}, scope s: cannot open" in run(capsys, "verify", quick)[1]


def test_what_is_none_of_the_store_s_is_told_and_is_no_problem(
    quick: Path, capsys: Capture
) -> None:
    make_store(quick, "a")
    make_scope(quick, "s")
    (quick / "lost+found").mkdir()
    (quick / ".hidden").write_text("")
    (quick / "a" / "current~").write_text("")
    (quick / "a" / "007").write_text("")
    (quick / ".scope" / "s" / "inner" / "\x1b[31m").write_text("")
    (quick / ".scope" / "unfinished").mkdir()
    strays = [
        ".hidden",
        "lost+found",
        ".scope/unfinished",
        "a/007",
        "a/current~",
        ".scope/s/inner/\x1b[31m",
    ]
    assert run_json(capsys, "verify", quick)[1]["strays"] == [f"{quick}/{name}" for name in strays]
    status, out, _ = run(capsys, "verify", quick)
    assert status == 0
    assert out == (
        "not of the store, and ignored by it:\n"
        + "".join(f"    {quick}/{name}\n" for name in strays).replace("\x1b", "\\x1b")
        + "\n2 keys in the store and 1 scope of it, 6 generations read: all good\n"
    )


def test_what_the_store_keeps_for_itself_is_no_stray(quick: Path, capsys: Capture) -> None:
    with closing(FileStore(quick, reserve=1024)):
        pass
    make_store(quick, "a")
    flip(quick / "a" / "current")
    assert run(capsys, "recover", "--yes", quick, "a")[0] == 0
    assert {".aside", ".format", ".lock", ".reserve", ".tmp"} <= set(os.listdir(quick))
    assert run_json(capsys, "verify", quick)[1]["strays"] == []
