"""`recover`, `rollback` and `remove`, where nobody has to be asked."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import closing
from pathlib import Path

import pytest

from checkpointkit.errors import (
    CorruptCheckpointError,
    LockTimeoutError,
    OutcomeUnknownError,
    StoreError,
)
from checkpointkit.records import State, StateSeal
from checkpointkit.stores.files.store import FileStore
from tests.support.states import NOW, generations, number_of, sealed, tree
from tests.test_cli_support import (
    Clock,
    flip,
    make_scope,
    make_store,
    overtake,
    run,
    run_json,
)

Capture = pytest.CaptureFixture[str]
CORRUPT = "corrupt: the payload does not match its digest"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpointkit.cli.run.datetime", Clock)


def state(path: Path, key: str) -> tuple[int, list[int]]:
    """Return the number that is saved as the newest state, and the generations."""
    with closing(FileStore(path, read_only=True)) as store:
        return number_of(store, key), generations(store, key)


# ------------------------------------------------------------------------------------ recover


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    quick: Path, capsys: Capture
) -> None:
    make_store(quick, "bad", "good", "lost")
    flip(quick / "bad" / "current")
    for name in ("current", "2", "1"):
        flip(quick / "lost" / name)
    before = tree(quick)
    assert run(capsys, "recover", "--dry-run", quick, "good", "bad", "lost", "zz") == (
        1,
        (
            "good: good, nothing to recover\n"
            f"bad, generation 3: {CORRUPT}\n"
            f"    it will be set aside, to be kept as evidence in {quick}/.aside\n"
            "    generation 2, saved 2026-01-02T03:04:05Z (3 h ago), will be saved anew as "
            "the newest\n"
            "    what was saved after it is lost\n"
            f"lost, generation 3: {CORRUPT}\n"
            "    next: no generation is good; copy what you need of it, then start empty: "
            f"checkpointkit remove {quick} lost\n"
            "zz: there is no such checkpoint\n"
            f"    next: see which there are: checkpointkit list {quick}\n"
        ),
        "",
    )
    status, document = run_json(capsys, "recover", "-n", quick, "good", "bad", "lost", "zz")
    assert (status, document["ok"], document["dry_run"]) == (1, False, True)
    assert [
        (each["key"], each["generation"], each["action"], each["restored_from"])
        for each in document["checkpoints"]
    ] == [
        ("good", 3, "none", None),
        ("bad", 3, "recover", 2),
        ("lost", 3, "impossible", None),
        ("zz", None, "impossible", None),
    ]
    assert tree(quick) == before


def test_recover_does_what_the_dry_run_said(quick: Path, capsys: Capture) -> None:
    make_store(quick, "bad", "good", "lost")
    flip(quick / "bad" / "current")
    damaged = (quick / "bad" / "current").read_bytes()
    os.truncate(quick / "lost" / "current", 0)
    for name in ("2", "1"):
        (quick / "lost" / name).unlink()
    status, out, err = run(capsys, "recover", "--yes", quick, "good", "bad", "lost")
    evidence = out.splitlines()[2].split()[-1]
    assert (status, err) == (1, "")
    assert out == (
        "good: good, nothing to recover\n"
        "bad: generation 2 is back as generation 4\n"
        f"    the damaged file is kept as {evidence}\n"
        "lost, generation 3: corrupt: it is empty\n"
        "    next: no generation is good; copy what you need of it, then start empty: "
        f"checkpointkit remove {quick} lost\n"
    )
    assert Path(evidence).read_bytes() == damaged
    assert state(quick, "bad") == (2, [4, 2, 1])


def test_recover_as_json(quick: Path, capsys: Capture) -> None:
    make_scope(quick, "s", keys=("bad",))
    flip(quick / ".scope" / "s" / "bad" / "current")
    status, document = run_json(capsys, "recover", "-y", "--scope=s", quick, "bad", "bad")
    assert (status, document["ok"]) == (0, True)
    (checkpoint,) = document["checkpoints"]
    assert checkpoint.pop("problem")["message"] == CORRUPT
    assert checkpoint.pop("evidence").startswith(f"{quick}/.scope/s/.aside/")
    assert checkpoint == {
        "scope": ["s"],
        "key": "bad",
        "generation": 3,
        "action": "recovered",
        "restored_from": 2,
        "saved_as": 4,
    }
    assert run(capsys, "recover", "--scope=s", quick, "bad") == (
        0,
        "s/bad: good, nothing to recover\n",
        "",
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("command", ["recover", "remove"])
def test_without_a_terminal_and_yes_nothing_is_done(
    command: str, options: tuple[str, ...], quick: Path, capsys: Capture
) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    before = tree(quick)
    status, out, err = run(capsys, command, *options, quick, "a")
    assert status == 2
    assert "nobody can be asked here" in out + err
    assert (out == "") == (not options)
    assert tree(quick) == before


def test_nothing_falls_back_where_a_newer_release_has_saved(quick: Path, capsys: Capture) -> None:
    from tests.test_cli_read import newer_envelope  # noqa: PLC0415

    make_store(quick, "a")
    newer_envelope(quick / "a" / "current")
    before = tree(quick)
    status, out, _ = run(capsys, "recover", "--yes", quick, "a")
    assert status == 1
    assert "next: upgrade checkpointkit here; the file is fine\n" in out
    assert tree(quick) == before


def test_a_state_larger_than_the_limit_is_not_set_aside(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", saves=1)
    with closing(FileStore(quick)) as store:
        store.write("a", sealed("a", 2, pad=5000))
    status, out, _ = run(capsys, "recover", "--yes", "--max-bytes=1000", quick, "a")
    assert status == 1
    assert "add --max-bytes=" in out
    assert state(quick, "a") == (2, [2, 1])


def test_somebody_else_may_be_quicker(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")

    def mend(store: object, key: str, now: object) -> object:
        flip(quick / "a" / "current")
        return real(store, key, now)  # type: ignore[arg-type]

    from checkpointkit.records import recover as real  # noqa: PLC0415

    monkeypatch.setattr("checkpointkit.records.recover", mend)
    status, document = run_json(capsys, "recover", "--yes", quick, "a")
    assert (status, document["checkpoints"][0]["action"]) == (0, "none")
    flip(quick / "a" / "current")
    assert run(capsys, "recover", "--yes", quick, "a") == (
        0,
        "a: another program was quicker; the newest generation is good now\n",
        "",
    )
    assert state(quick, "a") == (3, [3, 2, 1])


def test_a_store_that_keeps_no_evidence_names_none(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    monkeypatch.setattr(FileStore, "features", frozenset({"history"}))
    assert run(capsys, "recover", "--yes", quick, "a")[:2] == (
        0,
        "a: generation 2 is back as generation 4\n",
    )


TROUBLE = [
    (
        StoreError("a", "save", "No space left on device (ENOSPC)"),
        OSError(errno.ENOSPC, ""),
        "a: cannot save: No space left on device (ENOSPC)",
        "make room on the disk, then repeat the command",
    ),
    (
        StoreError("a", "save", "Permission denied (EACCES)"),
        OSError(errno.EACCES, ""),
        "a: cannot save: Permission denied (EACCES)",
        "run it as the user that the store belongs to",
    ),
    (
        StoreError("a", "save", "Read-only file system (EROFS)"),
        OSError(errno.EROFS, ""),
        "a: cannot save: Read-only file system (EROFS)",
        "mount it read-write, or run it where the store can be written",
    ),
    (
        StoreError("a", "save", "it is odd"),
        None,
        "a: cannot save: it is odd",
        "see to the cause (the kernel's log may say more), then repeat the command",
    ),
    (
        OutcomeUnknownError("a", "save", "Input/output error (EIO)"),
        None,
        (
            "a: cannot save it for certain: Input/output error (EIO); readers see the change, "
            "a power cut may take it back"
        ),
        "see to the disk, then repeat the command to be sure",
    ),
    (
        LockTimeoutError("a", 10.0),
        None,
        "a: another program holds its lock; waited 10 s",
        "try again; if it stays so, see which program saves all the time, or hangs",
    ),
]


@pytest.mark.parametrize(("error", "cause", "message", "advice"), TROUBLE)
@pytest.mark.parametrize("command", ["recover", "remove"])
def test_each_kind_of_trouble_has_its_own_advice(
    command: str,
    error: Exception,
    cause: OSError | None,
    message: str,
    advice: str,
    quick: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    error.__cause__ = cause

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(FileStore, "set_aside" if command == "recover" else "remove", fail)
    assert run(capsys, command, "--yes", quick, "a") == (
        1,
        f"{message}\n    next: {advice}\n",
        "",
    )
    status, document = run_json(capsys, command, "--yes", quick, "a")
    assert (status, document["ok"]) == (1, False)
    problems = document.get("problems") or [document["checkpoints"][0]["problem"]]
    assert [(each["key"], each["message"], each["next"]) for each in problems] == [
        ("a", message.removeprefix("a: "), advice)
    ]


# ----------------------------------------------------------------------------------- rollback


def test_rollback_saves_the_older_state_as_a_new_one(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", saves=5)
    assert run(capsys, "rollback", quick, "a", "2") == (
        0,
        "a: generation 2 is back as generation 6\n",
        "",
    )
    assert state(quick, "a") == (2, [6, 5, 4, 3, 2, 1])  # nothing is pruned
    assert run_json(capsys, "rollback", quick, "a", "5") == (
        0,
        {
            "format": 1,
            "command": "rollback",
            "store": str(quick),
            "scope": [],
            "key": "a",
            "restored_from": 5,
            "saved_as": 7,
        },
    )
    assert state(quick, "a")[0] == 5


def test_rollback_reaches_a_scope(quick: Path, capsys: Capture) -> None:
    inner = make_scope(quick, "s", "t")
    out = run(capsys, "rollback", "--scope=s", "--scope=t", quick, "inner", "1")
    assert out == (0, "s/t/inner: generation 1 is back as generation 4\n", "")
    assert state(inner, "inner")[0] == 1


def test_rollback_to_what_is_not_there_or_damaged(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "2")
    before = tree(quick)
    status, out, err = run(capsys, "rollback", quick, "a", "9")
    assert (status, out) == (1, "")
    assert err.startswith("checkpointkit: a, generation 9: there is no such generation\n")
    status, _, err = run(capsys, "rollback", quick, "a", "2")
    assert status == 1
    assert err.startswith(f"checkpointkit: a, generation 2: {CORRUPT}\n")
    assert tree(quick) == before


def test_rollback_covers_no_damage_up(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    status, _, err = run(capsys, "rollback", quick, "a", "2")
    assert status == 1
    assert err.startswith(f"checkpointkit: a, generation 3: {CORRUPT}\n    next: ")


def test_rollback_to_another_kind_is_refused(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    with closing(FileStore(quick, history=9)) as store:
        other = State("example.com/other", 1, "fp1:0", b"{}")
        store.write("a", StateSeal("a", other, NOW, lambda _: None))
    assert run(capsys, "rollback", quick, "a", "2") == (
        1,
        "",
        (
            "checkpointkit: a: the newest generation is of kind example.com/other, not "
            "example.com/number\n"
            "    next: two programs may share this key, see: checkpointkit history "
            f"{quick} a\n"
        ),
    )


# ------------------------------------------------------------------------------------- remove


def test_remove_takes_the_keys_and_nothing_else(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", "b", "c")
    make_scope(quick, "s", keys=("a",))
    flip(quick / "b" / "current")
    assert run(capsys, "remove", "--yes", quick, "a", "b", "a") == (
        0,
        "a: removed\nb: removed\n",
        "",
    )
    assert run(capsys, "list", "-r", quick)[1] == "c\ns/a\n"
    status, document = run_json(capsys, "remove", "-y", "--scope=s", quick, "a")
    assert status == 0
    assert document == {
        "format": 1,
        "command": "remove",
        "store": str(quick),
        "scope": ["s"],
        "ok": True,
        "dry_run": False,
        "removed": ["a"],
        "problems": [],
    }


def test_a_dry_run_of_remove_removes_nothing(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a", "b")
    os.truncate(quick / "b" / "current", 0)
    before = tree(quick)
    assert run(capsys, "remove", "-n", quick, "a", "b") == (
        0,
        (
            "a: all generations, the newest is 3\n"
            "    kind example.com/number, saved 2026-01-02T03:04:05Z (3 h ago)\n"
            "b: all generations, the newest is 3\n"
            "    corrupt\n"
        ),
        "",
    )
    document = run_json(capsys, "remove", "-n", quick, "a", "b")[1]
    assert (document["dry_run"], document["removed"]) == (True, [])
    assert tree(quick) == before


def test_a_key_whose_number_cannot_be_read_can_be_removed(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")

    def deny(store: FileStore) -> None:
        raise StoreError("a", "read the history", "Input/output error (EIO)")

    overtake(monkeypatch, "history", deny)
    assert run(capsys, "remove", "-n", quick, "a")[1] == (
        "a: all generations, the newest is ?\n    unreadable\n"
    )
    overtake(monkeypatch, "history", deny)
    assert run(capsys, "remove", "-y", quick, "a") == (0, "a: removed\n", "")


def test_nothing_is_removed_where_one_of_the_keys_is_absent(quick: Path, capsys: Capture) -> None:
    make_store(quick, "a")
    status, out, err = run(capsys, "remove", "--yes", quick, "a", "b")
    assert (status, out) == (1, "")
    assert err.startswith("checkpointkit: b: there is no such checkpoint\n")
    assert run(capsys, "list", quick)[1] == "a\n"


# ---------------------------------------------------------------------- the owner, the warnings


@pytest.mark.parametrize("command", [("recover", "--yes"), ("rollback",)])
def test_files_that_the_owner_could_not_read_are_not_made(
    command: tuple[str, ...], quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    before = tree(quick)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    more = ("2",) if command == ("rollback",) else ()
    expected = (
        f"checkpointkit: a: its files belong to user {owner}, who could not read what user "
        f"{owner + 1} saves\n    next: run it as its owner: sudo -u '#{owner}' checkpointkit ...\n"
    )
    assert run(capsys, *command, quick, "a", *more) == (2, "", expected)
    (quick / "a" / "current").unlink()  # then it is the store's own owner that counts
    assert run(capsys, *command, quick, "a", *more) == (2, "", expected)
    assert tree(quick).keys() == before.keys() - {"a/current"}


def test_a_dry_run_is_for_every_user(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    assert run(capsys, "recover", "-n", quick, "a")[0] == 1


def test_warnings_of_the_library_are_shown_once(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")
    log = logging.getLogger("checkpointkit")

    def warn(store: FileStore) -> None:
        log.warning("its files stay under %s", "\x1b")

    overtake(monkeypatch, "remove", warn)
    handlers = list(log.handlers)
    assert run(capsys, "remove", "--yes", quick, "a") == (
        0,
        "a: removed\n",
        "checkpointkit: its files stay under \\x1b\n",
    )
    assert log.handlers == handlers


def test_an_error_without_words_of_ours_keeps_its_own(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from checkpointkit.errors import ReadOnlyError  # noqa: PLC0415

    make_store(quick, "a")

    def refuse(store: FileStore) -> None:
        raise ReadOnlyError("remove")

    overtake(monkeypatch, "remove", refuse)
    status, out, _ = run(capsys, "remove", "--yes", quick, "a")
    assert (status, out.splitlines()[0]) == (
        1,
        "a: cannot remove: the store was opened read-only",
    )


def test_corruption_that_recover_cannot_mend_is_said_to_be_so(
    quick: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(quick, "a")
    flip(quick / "a" / "current")

    def give_up(*_: object) -> None:
        raise CorruptCheckpointError("a", 3, "it is gone", recoverable=False)

    monkeypatch.setattr("checkpointkit.records.recover", give_up)
    assert run(capsys, "recover", "--yes", quick, "a")[:2] == (
        1,
        (
            "a, generation 3: corrupt: it is gone\n"
            "    next: no generation is good; copy what you need of it, then start empty: "
            f"checkpointkit remove {quick} a\n"
        ),
    )
