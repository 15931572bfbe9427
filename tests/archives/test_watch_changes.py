"""Hints of changes: the kernel's, and those of looking; lost ones, and directories that go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkpointkit.archives.watching.changes import Changes, Polled, Watched
from checkpointkit.errors import MissingExtraError
from checkpointkit.stopping import Stop, handling_signals

LONG = 120.0
NAME = "checkpoint-web_default-app-2026-05-28T20:26:40Z.tar"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints"
    path.mkdir()
    return path


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


Make = Callable[..., Changes]


@pytest.fixture(params=["polled", "watched"])
def make(request: pytest.FixtureRequest, stop: threading.Event) -> Iterator[Make]:
    """Make changes of both kinds; they are disarmed in the end."""
    made: list[Changes] = []

    def build(path: Path, every: float = 0.05) -> Changes:
        kind = Polled if request.param == "polled" else Watched
        changes = kind(str(path), stop, clock=time.monotonic, every=every)
        changes.arm()
        made.append(changes)
        return changes

    yield build
    for changes in made:
        changes.disarm()


def watched(path: Path, stop: threading.Event | Stop, every: float = LONG) -> Watched:
    """Make one that is armed, and looks for itself so seldom that the kernel has to tell."""
    changes = Watched(str(path), stop, clock=time.monotonic, every=every)
    changes.arm()
    assert changes.problem == ""
    return changes


def settled(changes: Changes) -> None:
    """Take the hints that are still on their way."""
    while changes.wait(0.3):
        pass


# ------------------------------------------------------------------------------------ both kinds


def test_nothing_is_no_change(make: Make, directory: Path) -> None:
    changes = make(directory)
    assert not changes.wait(0.2)
    assert not changes.wait(0.0)


def test_a_new_name_is_a_change(make: Make, directory: Path) -> None:
    changes = make(directory)
    (directory / NAME).touch()
    assert changes.wait(LONG)
    settled(changes)


def test_what_has_changed_before_a_look_is_no_news(make: Make, directory: Path) -> None:
    changes = make(directory)
    (directory / NAME).touch()
    changes.disarm()
    changes.arm()
    assert not changes.wait(0.3)


def test_a_change_during_a_look_is_told_behind_it(make: Make, directory: Path) -> None:
    changes = make(directory)
    (directory / NAME).touch()  # a look takes a while
    assert changes.wait(LONG)


def test_a_pin_that_is_taken_away_is_a_change(make: Make, directory: Path) -> None:
    marker = directory / f"{NAME}.keep"
    marker.touch()
    changes = make(directory)
    marker.unlink()
    assert changes.wait(LONG)


def test_a_directory_that_is_missing_is_waited_for(make: Make, directory: Path) -> None:
    directory.rmdir()
    changes = make(directory)
    assert changes.problem == ""  # the look says what is wrong
    assert not changes.wait(0.2)
    directory.mkdir()
    assert changes.wait(LONG)
    changes.arm()
    (directory / NAME).touch()
    assert changes.wait(LONG)


def test_a_directory_that_vanishes_is_a_change(make: Make, directory: Path) -> None:
    changes = make(directory)
    directory.rmdir()
    assert changes.wait(LONG)
    changes.arm()
    assert not changes.wait(0.2)


def test_another_directory_in_its_place_is_a_change_and_is_watched_from_then_on(
    make: Make, directory: Path
) -> None:
    changes = make(directory)
    directory.rename(directory.with_name("old"))
    directory.mkdir()
    assert changes.wait(LONG)
    changes.arm()
    settled(changes)
    (directory.with_name("old") / NAME).touch()
    assert not changes.wait(0.3)
    (directory / NAME).touch()
    assert changes.wait(LONG)


def test_it_ends_when_it_is_time_to_stop(
    make: Make, directory: Path, stop: threading.Event
) -> None:
    changes = make(directory, every=LONG)
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    assert not changes.wait(LONG)
    timer.join()
    assert not changes.wait(LONG)


@pytest.mark.root
def test_a_file_system_that_is_mounted_over_it_and_unmounted(make: Make, directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    changes = make(directory)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this root may not mount")
    try:
        assert changes.wait(LONG)
        changes.arm()
        settled(changes)
        (directory / NAME).touch()
        assert changes.wait(LONG)
        changes.arm()
    finally:
        changes.disarm()
        subprocess.run(["umount", str(directory)], check=True)
    assert changes.wait(LONG)


# ------------------------------------------------------------------------------------------ polling


def test_names_that_come_in_one_tick_of_a_coarse_clock_are_noticed(
    directory: Path, stop: threading.Event
) -> None:
    changes = Polled(str(directory), stop, clock=time.monotonic, every=0.05)
    stamp = os.stat(directory).st_mtime_ns
    changes.arm()
    (directory / NAME).touch()
    os.utime(directory, ns=(stamp, stamp))
    assert changes.has_changed()


def test_a_directory_that_rests_is_not_listed(directory: Path, stop: threading.Event) -> None:
    now = [100.0]
    changes = Polled(str(directory), stop, clock=lambda: now[0], every=1.0)
    changes.arm()
    now[0] += 60.0
    stamp = os.stat(directory).st_mtime_ns
    (directory / NAME).touch()
    os.utime(directory, ns=(stamp, stamp))  # as if nothing had been: one system call tells
    assert not changes.has_changed()


def test_a_directory_that_may_not_be_listed_is_no_error(stop: threading.Event) -> None:
    changes = Polled("/proc/self/mem", stop, clock=time.monotonic)
    changes.arm()
    assert not changes.has_changed()
    assert changes.problem == ""


# --------------------------------------------------------------------------------------- watchfiles


def test_a_write_to_an_archive_that_is_there_is_told(
    directory: Path, stop: threading.Event
) -> None:
    (directory / NAME).touch()
    changes = watched(directory, stop)
    with (directory / NAME).open("ab") as file:
        file.write(b"more")
    assert changes.wait(LONG)
    changes.disarm()


@pytest.mark.slow
def test_what_happens_to_other_files_is_of_no_interest(
    directory: Path, stop: threading.Event
) -> None:
    (directory / "log").touch()
    changes = watched(directory, stop, every=0.05)
    settled(changes)
    with (directory / "log").open("ab", buffering=0) as file:
        for _ in range(5):
            file.write(b"a line\n")
            assert not changes.wait(0.3)
    changes.disarm()


def test_names_of_ones_own_choice(directory: Path, stop: threading.Event) -> None:
    for name in ("a.img", "b.dump", "c.tar"):
        (directory / name).touch()
    changes = Watched(str(directory), stop, clock=time.monotonic, names=("*.img", "b*"), every=LONG)
    changes.arm()
    for name, told in (("a.img", True), ("c.tar", False), ("b.dump", True)):
        with (directory / name).open("ab") as file:
            file.write(b"more")
        assert changes.wait(LONG if told else 0.5) == told
    changes.disarm()


def test_a_stream_of_changes_is_told_all_the_same(directory: Path, stop: threading.Event) -> None:
    changes = watched(directory, stop)
    done = threading.Event()

    def work() -> None:
        number = 0
        while not done.is_set():
            (directory / f"checkpoint-{number}.tar").touch()
            number += 1
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert all(changes.wait(LONG) for _ in range(3))
    finally:
        done.set()
        thread.join()
        changes.disarm()


LISTENER = """
import sys, threading, time
from checkpointkit.archives.watching.changes import Watched

changes = Watched(sys.argv[1], threading.Event(), clock=time.monotonic, every=0.2)
changes.arm()
print("armed", flush=True)
for line in sys.stdin:
    print(changes.wait(30.0), flush=True)
    changes.arm()
    while changes.wait(0.5):
        pass
    print("settled", flush=True)
"""


@pytest.mark.slow
def test_a_queue_that_overflows_costs_a_moment_and_no_change(directory: Path) -> None:
    """While it is stopped nobody empties the kernel's queue, which holds 16,384 events."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as listener:
        assert listener.stdin is not None
        assert listener.stdout is not None
        try:
            assert listener.stdout.readline() == "armed\n"
            for number in range(2):
                listener.stdin.write("wait\n")
                listener.stdin.flush()
                time.sleep(0.2)  # it may listen by now, or not
                os.kill(listener.pid, signal.SIGSTOP)
                for at in range(9000):
                    (directory / f"checkpoint-{number}-{at}.tar").touch()
                os.kill(listener.pid, signal.SIGCONT)
                assert listener.stdout.readline() == "True\n"
                assert listener.stdout.readline() == "settled\n"
        finally:
            listener.kill()


def test_a_name_that_is_no_text_ends_the_watch_and_it_is_begun_anew(
    directory: Path, stop: threading.Event
) -> None:
    (directory / NAME).touch()
    changes = watched(directory, stop)
    bad = os.path.join(os.fsencode(directory), b"checkpoint-\xff.tar")
    timer = threading.Timer(0.3, lambda: os.close(os.open(bad, os.O_CREAT | os.O_WRONLY)))
    timer.start()
    assert changes.wait(LONG)
    timer.join()
    changes.arm()
    settled(changes)
    (directory / NAME).write_bytes(b"more")  # of this the kernel alone tells
    assert changes.wait(LONG)
    changes.disarm()


def test_a_directory_that_cannot_be_watched_is_looked_at(
    tmp_path: Path, stop: threading.Event
) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff")
    os.mkdir(path)
    changes = Watched(os.fsdecode(path), stop, clock=time.monotonic, every=0.05)
    changes.arm()
    assert changes.problem == (
        "the kernel does not tell of changes in the directory, so that it is looked at every "
        "0.05 s (UnicodeEncodeError)"
    )
    assert not changes.wait(0.2)
    os.mkdir(os.path.join(path, b"checkpoint-a.tar"))
    assert changes.wait(LONG)


def test_a_directory_that_is_replaced_while_the_watch_begins_is_watched_anew(
    directory: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = Watched(str(directory), stop, clock=time.monotonic, every=LONG)
    make = changes._make

    def late(*arguments: object, **named: object) -> object:
        made = make(*arguments, **named)
        directory.rename(directory.with_name("old"))
        directory.mkdir()
        (directory / NAME).touch()
        return made

    monkeypatch.setattr(changes, "_make", late)
    changes.arm()
    monkeypatch.setattr(changes, "_make", make)
    changes.arm()
    settled(changes)
    (directory / NAME).write_bytes(b"more")  # of this the kernel alone tells
    assert changes.wait(LONG)
    changes.disarm()


def test_without_the_extra_it_says_what_to_install(
    directory: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(MissingExtraError, match=r"checkpointkit\[watch\]"):
        Watched(str(directory), stop, clock=time.monotonic)


def test_sigterm_ends_the_waiting(directory: Path) -> None:
    stop = Stop()
    changes = watched(directory, stop)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    with handling_signals(stop):
        timer.start()
        assert not changes.wait(LONG)
        timer.join()
    assert stop.is_set()
    changes.disarm()


def test_control_c_is_not_swallowed(directory: Path, stop: threading.Event) -> None:
    changes = watched(directory, stop)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            changes.wait(LONG)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
        changes.disarm()
