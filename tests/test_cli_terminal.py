"""The command line in a terminal: questions, the progress bar, widths. On a real pty."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
import time
from contextlib import closing
from typing import TYPE_CHECKING, Literal, TextIO

import pytest

from checkpointkit.cli import terminal
from checkpointkit.cli.terminal import Progress, can_ask, encoding_of, width_of, write
from checkpointkit.stores.files.store import FileStore
from tests.support.states import generations, sealed, tree
from tests.test_cli_support import flip, make_scope, make_store, overtake, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

PROGRAM = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that its keys make signals
runpy.run_module("checkpointkit", run_name="__main__")
"""


class Screen:
    """A terminal that a test types on and reads from."""

    def __init__(self) -> None:
        self.keyboard, self.line = pty.openpty()
        self.resize(80)

    def resize(self, columns: int) -> None:
        termios.tcsetwinsize(self.line, (24, columns))

    def type(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def stream(self, mode: Literal["r", "w"]) -> TextIO:
        return os.fdopen(os.dup(self.line), mode, encoding="utf-8")

    def read_until(self, end: str) -> str:
        seen = b""
        while not seen.endswith(end.encode()):
            seen += os.read(self.keyboard, 4096)
        return seen.decode().replace("\r\n", "\n")

    def shown(self) -> str:
        """Return what has been shown up to now."""
        os.write(self.line, b"\0")
        return self.read_until("\0").removesuffix("\0")

    def close(self) -> None:
        os.close(self.keyboard)
        os.close(self.line)


@pytest.fixture
def screen() -> Iterator[Screen]:
    with closing(Screen()) as screen:
        yield screen


@pytest.fixture
def person(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Screen]]:
    """Somebody who sits down at a terminal when called; stdout still is captured."""
    with screen.stream("r") as stdin, screen.stream("w") as stderr:

        def sit_down() -> Screen:
            # within the test: between its phases, pytest puts streams of its own there
            monkeypatch.setattr(sys, "stdin", stdin)
            monkeypatch.setattr(sys, "stderr", stderr)
            return screen

        yield sit_down


def start(screen: Screen, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start the program in a terminal of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdin=screen.line,
        stdout=screen.line,
        stderr=screen.line,
        start_new_session=True,
    )


# ---------------------------------------------------------------------------------- questions


def test_a_conversation(quick: Path, screen: Screen) -> None:
    make_store(quick, "a", "b")
    flip(quick / "a" / "current")
    screen.resize(200)
    with start(screen, "recover", quick, "a", "b") as program:
        plan = screen.read_until("[y/N] ")
        assert plan.startswith("a, generation 3: corrupt: the payload does not match its digest\n")
        assert "\n    generation 2, saved 2026-01-02T03:04:05Z (" in plan
        assert plan.endswith("b: good, nothing to recover\nRecover 1 checkpoint? [y/N] ")
        screen.type(b"y\n")
        assert program.wait() == 0
    assert screen.shown().splitlines()[:2] == [
        "y",  # the terminal's echo
        "a: generation 2 is back as generation 4",
    ]


def test_ctrl_c_at_a_question_changes_nothing(quick: Path, screen: Screen) -> None:
    make_store(quick, "a")
    before = tree(quick)
    with start(screen, "remove", quick, "a") as program:
        screen.read_until("Remove 1 checkpoint for good? [y/N] ")
        screen.type(b"\x03")
        assert program.wait() == 130
    assert screen.shown() == "^C\ncheckpointkit: interrupted; nothing was changed\n"
    assert tree(quick) == before


@pytest.mark.parametrize("answer", ["y", "Y", "yes", " YES "])
def test_a_yes_is_a_yes(
    answer: str, quick: Path, person: Callable[[], Screen], capsys: Capture
) -> None:
    seated = person()
    make_store(quick, "a", "b")
    seated.type(f"{answer}\n".encode())
    assert run(capsys, "remove", quick, "a", "b")[:2] == (0, "a: removed\nb: removed\n")
    assert "Remove 2 checkpoints for good? [y/N] " in seated.shown()


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"no\n", b"yess\n", b"j\n", b"\xff\n"])
def test_anything_else_is_a_no(
    answer: bytes, quick: Path, person: Callable[[], Screen], capsys: Capture
) -> None:
    seated = person()
    make_store(quick, "a")
    before = tree(quick)
    seated.type(answer)
    assert run(capsys, "remove", quick, "a")[:2] == (1, "nothing was changed\n")
    flip(quick / "a" / "current")
    seated.type(answer)
    assert run(capsys, "recover", quick, "a")[:2] == (1, "nothing was changed\n")
    flip(quick / "a" / "current")
    assert tree(quick) == before


def test_ctrl_d_is_a_no_and_ends_the_line(
    quick: Path, person: Callable[[], Screen], capsys: Capture
) -> None:
    seated = person()
    make_store(quick, "a")
    seated.type(b"\x04")
    assert run(capsys, "remove", quick, "a")[:2] == (1, "nothing was changed\n")
    assert seated.shown().endswith("[y/N] \n")


def test_what_could_not_be_planned_is_shown_before_the_question_alone(
    quick: Path, person: Callable[[], Screen], capsys: Capture
) -> None:
    seated = person()
    make_store(quick, "bad", "good")
    flip(quick / "bad" / "current")
    seated.type(b"y\n")
    status, out, _ = run(capsys, "recover", quick, "bad", "good", "zz")
    assert (status, out.splitlines()[0]) == (1, "bad: generation 2 is back as generation 4")
    assert len(out.splitlines()) == 2
    assert "good: good, nothing to recover\nzz: there is no such checkpoint\n" in seated.shown()


def test_nothing_to_recover_is_no_question(
    quick: Path, person: Callable[[], Screen], capsys: Capture
) -> None:
    seated = person()
    make_store(quick, "a")
    assert run(capsys, "recover", quick, "a")[:2] == (0, "a: good, nothing to recover\n")
    assert seated.shown() == ""


def test_yes_and_json_ask_nothing(
    quick: Path, person: Callable[[], Screen], capsys: Capture
) -> None:
    seated = person()
    make_store(quick, "a")
    assert run(capsys, "remove", "--json", quick, "a")[0] == 2
    assert run(capsys, "remove", "--yes", quick, "a")[0] == 0
    assert seated.shown() == ""


def test_a_state_that_was_not_shown_is_not_removed(
    quick: Path, person: Callable[[], Screen], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seated = person()
    make_store(quick, "a")

    def save(store: FileStore) -> None:
        with closing(FileStore(quick, durability="none")) as other:
            other.write("a", sealed("a", 4))

    seated.type(b"y\ny\n")
    overtake(monkeypatch, "remove", save)
    assert run(capsys, "remove", quick, "a")[:2] == (
        1,
        (
            "a: it was saved or removed by another program in the meantime\n"
            "    next: look again, and repeat the command if it still is what you want\n"
        ),
    )
    overtake(monkeypatch, "remove", save)
    assert run(capsys, "remove", "--yes", quick, "a")[:2] == (0, "a: removed\n")


def test_what_is_damaged_can_be_removed_after_a_question(
    quick: Path, person: Callable[[], Screen], capsys: Capture
) -> None:
    seated = person()
    make_store(quick, "a")
    os.truncate(quick / "a" / "current", 0)
    seated.type(b"y\n")
    assert run(capsys, "remove", quick, "a")[:2] == (0, "a: removed\n")
    assert "    corrupt\nRemove 1 checkpoint for good?" in seated.shown()


def test_who_is_not_there_is_not_asked(
    person: Callable[[], Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    person()
    assert can_ask()
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert not can_ask()
    monkeypatch.setattr(sys, "stdin", None)  # closed, as by `<&-`
    assert not can_ask()


# ------------------------------------------------------------------------------------ widths


def test_a_narrow_terminal_gets_blocks_and_a_wide_one_a_table(quick: Path, screen: Screen) -> None:
    make_store(quick, "a", "b")
    for columns in (60, 200):
        screen.resize(columns)
        with start(screen, "list", "--long", quick) as program:
            assert program.wait() == 0
        lines = screen.shown().splitlines()
        assert (lines[0] == "KEY         a") == (columns == 60)
        assert len(lines) == (17 if columns == 60 else 3)


def test_a_person_is_told_of_scopes_that_are_not_listed(quick: Path, screen: Screen) -> None:
    make_scope(quick, "devices")
    make_scope(quick, "old")
    with start(screen, "list", quick) as program:
        assert program.wait() == 0
    assert screen.shown() == "(no checkpoints here; 2 scopes not listed: devices, old)\n"
    make_store(quick, "a")
    with start(screen, "list", quick) as program:
        assert program.wait() == 0
    assert screen.shown() == "a\n(2 scopes not listed: devices, old)\n"


def test_a_terminal_without_a_size_counts_as_80_wide(screen: Screen) -> None:
    with screen.stream("w") as stream:
        screen.resize(61)
        assert width_of(stream) == 61
        screen.resize(0)
        assert width_of(stream) == 80


def test_what_is_no_terminal_has_no_width(tmp_path: Path) -> None:
    assert width_of(None) is None
    with (tmp_path / "file").open("w") as stream:
        assert width_of(stream) is None


def test_a_terminal_that_cannot_be_asked_for_its_size_counts_as_80_wide() -> None:
    class Odd(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            raise io.UnsupportedOperation

    assert width_of(Odd()) == 80


def test_a_closed_stream_takes_everything() -> None:
    write("text", None)
    assert encoding_of(None) == "utf-8"
    assert encoding_of(io.StringIO()) == "utf-8"


# ------------------------------------------------------------------------------ the progress bar


class Hands:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bar_comes_after_a_while_and_goes_at_the_end(person: Callable[[], Screen]) -> None:
    seated = person()
    seated.resize(29)
    clock = Hands()
    with Progress(2000, clock) as progress:
        progress.step(1)
        assert seated.shown() == ""
        clock.now = 0.5
        progress.step(1)
        assert seated.shown() == "\r1 of 2,000 keys"
        clock.now = 0.55
        progress.step(2)
        assert seated.shown() == ""  # not more often than can be read
        seated.resize(80)  # too late for this run
        clock.now = 0.6
        progress.step(2000)
        assert seated.shown() == "\r2,000 of 2,000 keys"
    assert seated.shown() == f"\r{' ' * 19}\r"


def test_what_is_counted_and_how_much_there_is_may_be_told_later(
    person: Callable[[], Screen],
) -> None:
    seated = person()
    seated.resize(40)
    clock = Hands()
    with Progress(0, clock, thing="archives") as progress:
        clock.now = 1.0
        progress.step(500, 1000)
        assert seated.shown().endswith("] 500 of 1,000 archives")


def test_a_short_run_shows_no_bar(person: Callable[[], Screen]) -> None:
    seated = person()
    with Progress(10, Hands()) as progress:
        progress.step(10)
    assert seated.shown() == ""


def test_verify_shows_a_bar_in_a_terminal_alone(
    quick: Path,
    person: Callable[[], Screen],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seated = person()
    make_store(quick, *"abcd")
    monkeypatch.setattr(terminal, "_PATIENCE", 0)
    monkeypatch.setattr(terminal, "_INTERVAL", 0)
    assert run(capsys, "verify", quick)[1] == "4 keys, 12 generations read: all good\n"
    bars = seated.shown().split("\r")
    assert bars[1] == f"[{10 * '#'}{30 * '.'}] 1 of 4 keys"
    assert bars[4] == f"[{40 * '#'}] 4 of 4 keys"
    assert bars[5:] == [" " * len(bars[4]), ""]
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run(capsys, "verify", quick)
    assert seated.shown() == ""


def test_ctrl_c_takes_the_bar_away(
    quick: Path, person: Callable[[], Screen], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seated = person()
    make_store(quick, *"abcd")
    monkeypatch.setattr(terminal, "_PATIENCE", 0)
    real = FileStore.history

    def history(store: FileStore, key: str) -> object:
        if key == "c":
            raise KeyboardInterrupt
        return real(store, key)

    monkeypatch.setattr(FileStore, "history", history)
    assert run(capsys, "verify", quick)[:2] == (130, "")
    assert seated.shown().endswith(" \r\ncheckpointkit: interrupted\n")


def test_time_passes_by_itself(
    person: Callable[[], Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    seated = person()
    monkeypatch.setattr(terminal, "_PATIENCE", 0.001)
    with Progress(1) as progress:
        time.sleep(0.002)
        progress.step(1)
    assert "1 of 1 keys" in seated.shown()


def test_recovery_in_a_terminal_keeps_the_older_generations(
    quick: Path, person: Callable[[], Screen], capsys: Capture
) -> None:
    seated = person()
    make_store(quick, "a", saves=5)
    flip(quick / "a" / "current")
    seated.type(b"yes\n")
    assert run(capsys, "recover", quick, "a")[0] == 0
    with closing(FileStore(quick, read_only=True)) as store:
        assert generations(store, "a") == [6, 4, 3, 2, 1]
