"""The demo for real: processes that are killed, a bit that flips, a disk that is full."""

from __future__ import annotations

import io
import os
import re
import signal
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from checkpointkit import CheckpointError, StoreError
from checkpointkit.cli.demo import _to_the_end, agents, fulldisk, run, smalldisk, story
from checkpointkit.cli.demo.agents import agent, forked, kill_agents
from checkpointkit.cli.demo.fulldisk import FullDisk, Limited, see_full_disk
from checkpointkit.cli.demo.ledger import Ledger
from checkpointkit.cli.demo.releases import KEY, RELEASE_1, RELEASE_2, RELEASE_3, Table3
from checkpointkit.cli.demo.table import Result, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
NO_MOUNTS = "neither root nor user namespaces: no file system can be mounted"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the demo work below `tmp_path`, and see that it leaves nothing there."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    yield directory
    assert not any(directory.iterdir())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # every child is reaped


def labels(text: str) -> list[str]:
    """Return the first column of the demo's table."""
    rows = text.split("---\n", 1)[1].split("\n\n", 1)[0]
    return [line[:16].rstrip() for line in rows.splitlines()]


def test_the_demo_keeps_its_promises(temporary: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    assert run(kills=10, out=out) == 0, out.getvalue()
    text = out.getvalue()
    assert str(temporary) in text
    assert "10 agents, " in text
    assert "lost: 0" in text
    assert "FAILED" not in text
    assert re.search(r"\n1[01] of 1[01] promises kept", text)
    assert capfd.readouterr() == ("", "")  # no warning between the rows, no last words of a child


def test_the_readme_shows_the_table_that_the_demo_prints(temporary: Path) -> None:
    (shown,) = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    out = io.StringIO()
    assert run(kills=1, out=out) == 0, out.getvalue()
    assert labels(out.getvalue()) == labels(shown)


def test_a_broken_promise_ends_the_demo_with_1(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(directory: Path, *, kills: int, random: Random) -> Iterator[Row]:
        yield Row("SIGKILL", Result.FAILED, "lost: 1")

    monkeypatch.setattr("checkpointkit.cli.demo.play", broken)
    out = io.StringIO()
    assert run(kills=1, out=out) == 1
    assert out.getvalue().splitlines()[-1].startswith("0 of 1 promise kept")


@pytest.mark.parametrize("error", [StoreError("a", "save", "EIO"), OSError(5, "EIO")])
def test_an_error_ends_the_story_with_a_row_that_names_it(error: Exception) -> None:
    def chapters() -> Iterator[Row]:
        yield Row("SIGKILL", Result.OK, "")
        raise error

    first, last = _to_the_end(chapters())
    assert first.result is Result.OK
    assert (last.label, last.result) == ("stopped", Result.FAILED)
    assert last.text == f"{type(error).__name__}: {error}"


# ------------------------------------------------------------------------------------ releases


def test_each_release_reads_what_the_one_before_saved(tmp_path: Path) -> None:
    first = RELEASE_1.open(tmp_path)
    second = RELEASE_2.open(tmp_path)
    third = RELEASE_3.open(tmp_path)
    agent(lambda line: None, tmp_path, range(1))
    one, two, three = first.get(KEY), second.get(KEY), third.get(KEY)
    assert [(m.mount_point, m.filesystem) for m in two.mounts] == [
        (m.mount_point, m.type) for m in three.mounts
    ]
    assert [m.options.split(",") for m in one.mounts] == [list(m.options) for m in three.mounts]
    assert three.boot_id is None
    assert (one.saves, two.saves, three.saves) == (1, 1, 1)
    # what a release observes by itself has the same shape as what it migrated
    assert second.update(KEY, RELEASE_2.observe).value.saves == 2
    assert third.update(KEY, RELEASE_3.observe).value.saves == 3


# -------------------------------------------------------------------------------------- agents


def test_an_agent_reports_what_it_reads_and_what_it_saves(tmp_path: Path) -> None:
    said: list[str] = []
    agent(said.append, tmp_path, range(2))
    agent(said.append, tmp_path, range(0))
    digest = RELEASE_1.open(tmp_path).load(KEY).info.digest
    assert [line.split()[:2] for line in said] == [
        ["read", "0"],
        ["saving", "1"],
        ["saved", "1"],
        ["saving", "2"],
        ["saved", "2"],
        ["read", "2"],
    ]
    assert [line.split()[2] for line in said[-2:]] == [digest, digest]


def test_killed_agents_lose_nothing(tmp_path: Path) -> None:
    books = kill_agents(tmp_path / "agent", 5, story.warm_up(tmp_path / "warm"), Random(3))
    assert (books.kills, books.lost) == (5, 0)
    assert books.found_acknowledged + books.found_in_flight == 5


def test_a_state_that_vanishes_counts_as_lost(tmp_path: Path) -> None:
    said: list[str] = []
    agent(said.append, tmp_path / "first", range(3))
    before = Ledger().hear(said).killed()
    found: list[str] = []
    agent(found.append, tmp_path / "second", range(0))
    assert before.hear(found).lost == 3


def test_an_agent_that_ends_by_itself_is_no_kill(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ChildProcessError, match="an agent ended by itself"):
        kill_agents(tmp_path / "file", 1, 0.0, Random(1))
    assert "StoreError" in capfd.readouterr().err  # its last words


def test_a_child_is_heard_to_its_end() -> None:
    def body(say: Callable[[str], None]) -> None:
        for number in range(1000):
            say(f"line {number}")

    with forked(body) as child:
        heard = list(child.listen_to_the_end())
        assert child.listen() == []
    assert heard == [f"line {number}" for number in range(1000)]


def test_a_child_whose_parent_no_longer_listens_ends(capfd: pytest.CaptureFixture[str]) -> None:
    go_reader, go_writer = os.pipe()

    def body(say: Callable[[str], None]) -> None:
        os.read(go_reader, 1)
        say("hello")

    with forked(body) as child, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), child._reader)  # closes the only end that was read from
        os.write(go_writer, b"!")
        ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 1)
    for descriptor in (go_reader, go_writer):
        os.close(descriptor)
    assert "BrokenPipeError" in capfd.readouterr().err


def test_a_ctrl_c_at_the_fork_is_the_parents_alone() -> None:
    """It is held back until the child is known, and then ends the parent's block."""

    def body(say: Callable[[str], None]) -> None:
        say("alive")
        signal.pause()

    fork = os.fork

    def interrupted_fork() -> int:
        signal.raise_signal(signal.SIGINT)
        return fork()

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "fork", interrupted_fork)
        with forked(body):
            pytest.fail("the interrupt was lost")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # the child is killed and reaped


def test_a_silent_child_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "PATIENCE", 0.01)
    with (
        pytest.raises(TimeoutError, match=r"said nothing for 0\.01 s"),
        forked(lambda say: signal.pause()) as child,
    ):
        child.listen()
    child.kill()  # a second kill does nothing
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# ----------------------------------------------------------------------------------------- rot


def test_flipping_a_bit_twice_brings_the_file_back(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\x00\x00\x00")
    story.flip_bit(file, 10)
    assert file.read_bytes() == b"\x00\x04\x00"
    story.flip_bit(file, 10)
    assert file.read_bytes() == b"\x00\x00\x00"


def test_an_error_that_does_not_come_is_none() -> None:
    assert story.error_of(lambda: None) is None
    error = CheckpointError()

    def fail() -> None:
        raise error

    assert story.error_of(fail) is error


# ----------------------------------------------------------------------------------- full disk


@pytest.fixture
def state() -> Table3:
    return RELEASE_3.observe(Table3(0, None, ()))


def test_where_nothing_can_be_mounted_the_size_of_files_is_limited(
    tmp_path: Path, state: Table3
) -> None:
    # nothing can be mounted on a directory that is not there
    size = RELEASE_3.open(tmp_path / "other").create(KEY, state).size
    seen = see_full_disk(tmp_path / "missing", state, size)
    assert isinstance(seen, Limited)
    assert seen.refusal == f"StoreError ({os.strerror(27)})"  # EFBIG
    assert seen.state_kept
    assert seen.works_again


@pytest.mark.root
def test_on_a_full_disk_only_the_reserve_saves(tmp_path: Path, state: Table3) -> None:
    seen = see_full_disk(tmp_path, state, 4096)
    if isinstance(seen, Limited):
        pytest.skip(f"{NO_MOUNTS} ({seen.problem})")
    assert seen == FullDisk(
        place="tmpfs of 1.0 MiB",
        refusal=f"StoreError ({os.strerror(28)})",  # ENOSPC
        state_kept=True,
        works_again=True,
        reserve_saves=3,
    )
    assert not any(tmp_path.iterdir())  # the mount was the child's alone


def test_a_disk_that_never_fills_up_breaks_the_promise(tmp_path: Path, state: Table3) -> None:
    """Whether it fails is judged by the save, not by the filler."""
    (tmp_path / "filler").symlink_to("/dev/full")
    seen = fulldisk.fill_disk(tmp_path, state, 1 << 16, "large disk")
    assert seen == FullDisk("large disk", None, False, True, 3)


def test_a_child_without_a_report_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def body(say: Callable[[str], None]) -> None:
        raise ValueError("last words")

    with pytest.raises(ChildProcessError, match="ended without a report"):
        fulldisk._ask(body)
    assert "last words" in capfd.readouterr().err


def test_a_refusal_without_an_error_of_the_system_gives_the_reason() -> None:
    def fail() -> None:
        raise StoreError("a", "save", "no stripe")

    assert fulldisk._refusal(fail) == "StoreError (no stripe)"
    assert fulldisk._refusal(partial(int, 1)) is None


def test_a_system_without_a_call_says_so() -> None:
    with pytest.raises(OSError, match="this system has no unshare_it_all"):
        smalldisk._call("unshare_it_all", 0)
