"""The watcher: real directories, real writers, real signals; and a clock of the test's own."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from checkpointkit.archives.disk.directory import ArchiveCalls
from checkpointkit.archives.kept.inventory import Inventory
from checkpointkit.archives.model import Container, Level, Parent
from checkpointkit.archives.policies import OrphanRule, Policy, Quarantine, Rules
from checkpointkit.archives.retention import Look, Retention
from checkpointkit.archives.watching.changes import Changes, Polled, Watched
from checkpointkit.archives.watching.orphans import Answer
from checkpointkit.archives.watching.pacing import Pace
from checkpointkit.archives.watching.rounds import Round
from checkpointkit.archives.watching.watch import Watcher, run_watch
from checkpointkit.errors import MissingExtraError, StoreUnavailableError
from checkpointkit.stopping import Stop
from tests.archives.making import START, WEB, archive, name_of, write

LONG = 120.0
TWO = Policy(rules=Rules(container_count=2))
HURRY = Pace(600.0, quiet=0.1, longest=0.5, rest=0.05, retry=0.1, longest_retry=0.2)


@define
class Place:
    """A directory of archives, and where the state is."""

    path: Path
    state: Path
    made: int = 0

    def add(self, count: int = 1, container: Container = WEB) -> list[str]:
        """Add archives, each newer than all before."""
        names: list[str] = []
        for _ in range(count):
            at = START + self.made
            self.made += 1
            names.append(name_of(container, at))
            data = archive(container, checkpointed_ns=at * 10**9)
            write(self.path, names[-1], data, mtime=at)
        return names

    def more(self) -> None:
        """Add one."""
        self.add()

    @property
    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def retention(self, policy: Policy = TWO, settle_ns: int = 0, **options: Any) -> Retention:
        return Retention(
            str(self.path), policy, state=str(self.state), settle_ns=settle_ns, **options
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "checkpoints").mkdir()
    return Place(tmp_path / "checkpoints", tmp_path / "state")


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; how long that takes is of no interest."""
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


# -------------------------------------------------------------------------- with a clock of its own


@define
class Script:
    """Changes that come when the test says; the time goes by while they are waited for."""

    stop: threading.Event
    every: float = float("inf")
    now: float = 1000.0
    problem: str = ""
    waits: list[float] = field(factory=list)
    calls: list[str] = field(factory=list)

    def arm(self) -> None:
        self.calls.append("arm")

    def disarm(self) -> None:
        self.calls.append("disarm")

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += min(self.every, seconds)
        return self.every < seconds

    def clock(self) -> float:
        return self.now


class Pause(threading.Event):
    """A stop for which waiting takes no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def rounds_of(
    retention: Retention,
    count: int,
    *,
    script: Script | None = None,
    between: Callable[[int], None] = lambda _: None,
    settle_ns: int = 0,
    **options: Any,
) -> list[Round]:
    """Run a watcher for some rounds, with a clock of its own; return them."""
    stop = Pause()
    script = script or Script(stop)
    made: list[Round] = []

    def report(each: Round) -> None:
        made.append(each)
        if len(made) == count:
            stop.set()
        else:
            between(len(made))

    watcher = Watcher(
        retention,
        script,
        stop,
        pace=options.pop("pace", Pace(600.0)),
        settle_ns=settle_ns,
        clock=script.clock,
        report=report,
        **options,
    )
    watcher.run()
    return made


def test_the_first_look_comes_at_once_and_deletes_what_is_due(place: Place) -> None:
    names = place.add(5)
    (made,) = rounds_of(place.retention(), 1)
    assert place.names == names[3:]
    assert (made.archives, made.planned, made.deleted, made.error) == (5, 3, 3, "")
    assert made.planned_bytes > 0
    assert made.freed > 0
    assert made.problems == ()


def test_a_look_follows_after_the_interval_though_nobody_tells_of_anything(place: Place) -> None:
    script = Script(threading.Event())
    names = place.add(2)
    made = rounds_of(
        place.retention(), 2, script=script, between=lambda _: names.extend(place.add())
    )
    assert [each.deleted for each in made] == [0, 1]
    assert script.waits == [600.0]
    assert place.names == names[1:]


@pytest.mark.slow
def test_a_stream_of_hints_is_gathered_and_starves_nobody(place: Place) -> None:
    script = Script(threading.Event(), every=0.01)
    begun = script.now
    rounds_of(place.retention(), 21, script=script)
    assert 20 * 30 <= script.now - begun <= 20 * 40


def test_it_is_armed_before_each_look_and_keeps_no_names_of_what_it_deletes(place: Place) -> None:
    script = Script(threading.Event())
    place.add(5)
    rounds_of(place.retention(), 2, script=script)
    assert script.calls == ["arm", "disarm", "arm"]


def test_an_archive_that_is_still_written_brings_the_look_forward(place: Place) -> None:
    script = Script(threading.Event())
    place.add(1)
    settle = 3600 * 10**9
    (made, _) = rounds_of(
        place.retention(settle_ns=settle),
        2,
        script=script,
        settle_ns=settle,
        pace=Pace(10_000.0),
    )
    assert made.in_flight == 1
    assert 3000.0 < script.waits[0] <= 3602.0


def test_what_knows_less_than_it_could_says_so(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(threading.Event(), problem="it is looked at every 5 s")
    with caplog.at_level(logging.INFO, "checkpointkit.archives"):
        made = rounds_of(place.retention(), 3, script=script)
    assert {each.problems for each in made} == {("it is looked at every 5 s",)}
    assert caplog.messages == ["it is looked at every 5 s"]


def test_a_dry_run_deletes_nothing_and_says_what_it_would(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    names = place.add(5)
    with caplog.at_level(logging.INFO, "checkpointkit.archives"):
        made = rounds_of(place.retention(), 2, dry_run=True)
    assert place.names == names
    assert [(each.planned, each.deleted, each.dry_run) for each in made] == 2 * [(3, 0, True)]
    of_web = f"{WEB}: 3 archives of "
    assert [message.startswith(("3 archives of ", of_web)) for message in caplog.messages] == (
        2 * [True]
    )
    assert caplog.messages[1].endswith(", by container-count")


def test_a_dry_run_says_what_would_go_of_those_that_nobody_knows(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("checkpoint-a.tar", "checkpoint-b.tar"):
        write(place.path, name, b"no archive", mtime=START)
    policy = Policy(quarantine=Quarantine(count=1))
    with caplog.at_level(logging.INFO, "checkpointkit.archives"):
        rounds_of(place.retention(policy), 1, dry_run=True)
    assert "unknown: 1 archive of 10 B, by quarantine-count" in caplog.messages


def test_a_kernel_without_leases_is_said_once(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(ArchiveCalls, "set_lease", staticmethod(refuse))
    place.add(1)
    with caplog.at_level(logging.INFO, "checkpointkit.archives"):
        made = rounds_of(place.retention(), 3, between=lambda _: place.more())
    assert not all(each.leases for each in made)
    assert sum("leases are not supported" in message for message in caplog.messages) == 1
    assert {each.problems for each in made} == {()}


def test_a_limit_that_cannot_hold_is_said_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.add(3)
    with caplog.at_level(logging.INFO, "checkpointkit.archives"):
        made = rounds_of(place.retention(Policy(directory_size=1)), 3)
    assert [len(each.unmet) for each in made] == [1, 1, 1]
    assert place.names  # the newest stays
    assert sum("directory" in message for message in caplog.messages) == 1


def test_a_directory_that_vanishes_and_comes_back(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.add(2)

    def happen(number: int) -> None:
        if number == 1:
            shutil.rmtree(place.path)
        if number == 4:
            place.path.mkdir()
            place.add(3)

    with caplog.at_level(logging.INFO, "checkpointkit.archives"):
        made = rounds_of(place.retention(), 5, between=happen)
    assert [bool(each.error) for each in made] == [False, True, True, True, False]
    assert made[-1].deleted == 1
    assert [message for message in caplog.messages if "deleted" not in message] == [
        f"a round failed: {made[1].error}",
        "the rounds go well again",
    ]


def test_a_link_in_its_place_is_never_followed(place: Place, tmp_path: Path) -> None:
    names = place.add(5)
    place.path.rename(tmp_path / "elsewhere")
    place.path.symlink_to(tmp_path / "elsewhere")
    (made,) = rounds_of(place.retention(), 1)
    assert "link" in made.error
    assert sorted(os.listdir(tmp_path / "elsewhere")) == names


def test_while_another_process_applies_nothing_is_deleted_and_it_is_tried_again(
    place: Place,
) -> None:
    names = place.add(5)
    script = Script(threading.Event())
    inventory = Inventory.open(str(place.state), str(place.path))
    lock = inventory.exclusive()
    lock.__enter__()

    def happen(number: int) -> None:
        if number == 2:
            lock.__exit__(None, None, None)
            inventory.close()
        else:
            assert place.names == names

    made = rounds_of(place.retention(), 3, script=script, between=happen)
    assert [bool(each.error) for each in made] == [True, True, False]
    assert [each.planned for each in made] == [3, 3, 3]
    assert script.waits == [5.0, 10.0]
    assert place.names == names[3:]


class Failing(Retention):
    """Deletes what is in the first parts of a plan, and fails then."""

    parts = 0

    def apply(self, look: Look, **options: Any) -> Any:
        self.parts += 1
        if self.parts > 1:
            raise StoreUnavailableError(None, "record", "the disk is full")
        return super().apply(look, **options)


def test_what_was_deleted_before_it_failed_is_told(place: Place) -> None:
    names = place.add(303)
    retention = Failing(str(place.path), TWO, state=str(place.state), settle_ns=0)
    (made,) = rounds_of(retention, 1)
    assert "the disk is full" in made.error
    assert made.deleted == 200
    assert place.names == names[200:]


class StopsSoon(Pause):
    """Says after some questions that it is time to stop."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.slow
def test_a_stop_in_the_middle_leaves_nothing_deleted_without_its_record(place: Place) -> None:
    names = place.add(602)
    retention = place.retention()
    rounds_of(retention, 1, dry_run=True)  # from here on, a look is short
    seen: set[int] = set()
    for after in range(9):
        script = Script(threading.Event())
        Watcher(
            retention,
            script,
            StopsSoon(after),
            pace=Pace(600.0),
            settle_ns=0,
            clock=script.clock,
        ).run()
        left = place.names
        assert left == names[len(names) - len(left) :]
        seen.add(len(left))
        inventory = retention.inventory()
        assert inventory is not None
        records = list(inventory.deletions.entries())
        inventory.close()
        assert sorted(each.name for each in records) == names[: len(names) - len(left)]
        assert {each.outcome for each in records} <= {"deleted"}
    assert {602, 402, 2} <= seen  # before, between two parts, at the end


def test_an_archive_that_somebody_opens_in_between_is_kept_and_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = place.add(5)
    retention = place.retention()
    inner = retention.apply

    def apply(look: Look, **options: Any) -> Any:
        with open(place.path / names[0], "rb"):
            return inner(look, **options)

    monkeypatch.setattr(retention, "apply", apply)
    (made,) = rounds_of(retention, 1)
    if made.deleted == 3:
        pytest.skip("there are no leases on this file system")
    assert place.names == [names[0], *names[3:]]
    assert made.problems == ("archives were not deleted: in use: somebody has it open",)


# --------------------------------------------------------------------------------------- for real


@contextmanager
def running(
    place: Place,
    *,
    kind: type[Polled | Watched] = Watched,
    settle_ns: int = 0,
    policy: Policy = TWO,
    count: int = 1,
) -> Iterator[list[Round]]:
    """Run watchers in threads of their own; yields the rounds of all of them."""
    made: list[Round] = []
    stop = threading.Event()

    def work(changes: Changes) -> None:
        retention = place.retention(policy, settle_ns=settle_ns)
        watcher = Watcher(
            retention, changes, stop, pace=HURRY, settle_ns=settle_ns, report=made.append
        )
        watcher.run()

    all_changes = [
        kind(str(place.path), stop, clock=time.monotonic, every=0.1) for _ in range(count)
    ]
    threads = [threading.Thread(target=work, args=(each,)) for each in all_changes]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stop.set()
        for thread in threads:
            thread.join(LONG)
        for each in all_changes:
            each.disarm()
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Polled, Watched])
def test_what_is_finished_later_is_looked_at(place: Place, kind: type[Polled | Watched]) -> None:
    with running(place, kind=kind) as made:
        until(lambda: bool(made))
        names = place.add(4)
        until(lambda: place.names == names[2:])
    assert not any(each.error for each in made)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Polled, Watched])
def test_a_directory_that_comes_late_and_is_replaced(
    place: Place, kind: type[Polled | Watched]
) -> None:
    place.path.rmdir()
    with running(place, kind=kind) as made:
        until(lambda: bool(made))
        place.path.mkdir()
        first = place.add(3)
        until(lambda: place.names == first[1:])
        place.path.rename(place.path.with_name("old"))
        until(lambda: bool(made[-1].error))
        place.path.mkdir()
        second = place.add(3)
        until(lambda: place.names == second[1:])
    assert sorted(os.listdir(place.path.with_name("old"))) == first[1:]


def looked_again(place: Place, made: list[Round]) -> None:
    """Give hints until a look has begun and ended."""
    for _ in range(2):  # one may have begun before
        before = len(made)
        marker = place.path / "checkpoint-of-nobody.tar.keep"
        marker.touch()
        marker.unlink()
        until(lambda before=before: len(made) > before)  # type: ignore[misc]


WRITER = """
import sys, time
data = open(sys.argv[2], "rb").read()
with open(sys.argv[1], "wb", buffering=0) as file:
    for at in range(0, len(data), 1024):
        file.write(data[at : at + 1024])
        print(at, flush=True)
        time.sleep(0.02)
    sys.stdin.readline()  # all of it is there, and it is still open
"""


@pytest.mark.slow
def test_a_slow_writer_is_left_alone_and_evicts_nothing_before_it_has_ended(
    place: Place, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(archive(WEB, checkpointed_ns=(START + 1000) * 10**9))
    (old,) = place.add(1)
    new = name_of(WEB, START + 1000)
    only = Policy(rules=Rules(container_count=1))
    # The settle time is none: what keeps the watcher from it is that it is open.
    with (
        running(place, policy=only) as made,
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place.path / new), str(whole)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer,
    ):
        assert writer.stdin is not None
        assert writer.stdout is not None
        for _ in range(len(whole.read_bytes()) // 1024):
            writer.stdout.readline()
        looked_again(place, made)
        if not made[-1].in_flight:
            writer.kill()
            pytest.skip("there are no leases on this file system")
        assert place.names == sorted([old, new])
        writer.stdin.write("\n")
        writer.stdin.close()
        assert writer.wait(LONG) == 0
        looked_again(place, made)
        until(lambda: place.names == [new])


@pytest.mark.slow
def test_thousands_of_archives_at_once_are_a_few_rounds(place: Place) -> None:
    with running(place) as made:
        until(lambda: bool(made))
        names = [
            name
            for number in range(20)
            for name in place.add(25, Container("default", "web", f"c{number}"))
        ]
        until(lambda: len(place.names) == 40)
    assert len(made) < len(names) / 2
    assert sum(each.deleted for each in made) == 460


@pytest.mark.slow
def test_two_watchers_on_one_directory_delete_each_archive_once(place: Place) -> None:
    names = place.add(60)
    with running(place, count=2) as made:
        until(lambda: place.names == names[58:])
        more = place.add(60)
        until(lambda: place.names == more[58:])
    assert sum(each.deleted for each in made) == 118
    for each in made:
        assert not each.error or "lock" in each.error


# ------------------------------------------------------------------------------------- run_watch


def test_run_watch_puts_it_together(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = place.add(5)
    for poll in (False, True):
        stop = Stop()
        made: list[Round] = []

        def report(each: Round, stop: Stop = stop, made: list[Round] = made) -> None:
            made.append(each)
            stop.set()

        with caplog.at_level(logging.INFO, "checkpointkit.archives"):
            run_watch(
                str(place.path),
                TWO,
                state=str(place.state),
                stop=stop,
                settle=timedelta(0),
                poll=poll,
                notes=["a field: is no field that is known here"] if poll else [],
                report=report,
            )
        assert place.names == names[3:]
        assert [each.deleted for each in made] == [0 if poll else 3]
    assert caplog.messages[0] == f"watching {place.path}, and looking at it at least every 10min"
    assert caplog.messages[-1] == "stopped"
    noted = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert noted == ["a field: is no field that is known here"]


def test_run_watch_asks_who_is_gone_and_is_left_while_it_waits_for_the_answer(
    place: Place,
) -> None:
    names = place.add(1) + place.add(1, Container("default", "there", "app"))
    rules = Rules(orphans=OrphanRule(timedelta(0)))
    stop = Stop()

    class Asked:
        def look(self, parents: Any) -> Answer:
            there = frozenset(each for each in parents if each.container != WEB)
            return Answer("6c1f", dict.fromkeys({*parents} - there, Level.POD), there=there)

    def run(lookup: Any, dry_run: bool) -> list[Round]:
        made: list[Round] = []

        def report(each: Round) -> None:
            made.append(each)
            stop.set()

        run_watch(
            str(place.path),
            Policy(rules=rules),
            state=str(place.state),
            stop=stop,
            settle=timedelta(0),
            poll=True,
            lookup=lookup,
            dry_run=dry_run,
            report=report,
        )
        return made

    assert [each.planned for each in run(Asked(), dry_run=True)] == [1]
    assert place.names == sorted(names)

    stop = Stop()

    class Hangs:
        def look(self, parents: Any) -> Answer:
            stop.set()  # the signal comes while it waits
            time.sleep(LONG)
            raise AssertionError

    assert run(Hangs(), dry_run=False) == []
    assert place.names == sorted(names)


def test_a_stop_during_a_look_ends_it(place: Place) -> None:
    names = place.add(5)
    stop = Stop()

    class Stops(Retention):
        def look(self, **options: Any) -> Look:
            stop.set()
            return super().look(**options)

    made: list[Round] = []
    retention = Stops(str(place.path), TWO, state=str(place.state), settle_ns=0)
    changes = Polled(str(place.path), stop, clock=time.monotonic)
    Watcher(retention, changes, stop, pace=HURRY, settle_ns=0, report=made.append).run()
    assert made == []
    assert place.names == names


def test_without_the_extra_polling_still_works(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    stop = Stop()
    with pytest.raises(MissingExtraError):
        run_watch(str(place.path), TWO, state=None, stop=stop)
    run_watch(
        str(place.path),
        TWO,
        state=str(place.state),
        stop=stop,
        poll=True,
        report=lambda _: stop.set(),
    )


DAEMON = """
import logging, sys
from datetime import timedelta
from checkpointkit.archives.policies import Policy, Rules
from checkpointkit.archives.watching.watch import run_watch
from checkpointkit.stopping import Stop, handling_signals

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
stop = Stop()
with handling_signals(stop):
    run_watch(
        sys.argv[1],
        Policy(rules=Rules(container_count=2)),
        state=sys.argv[2],
        stop=stop,
        settle=timedelta(0),
        poll=sys.argv[3] == "poll",
        report=lambda made: print("round", made.deleted, flush=True),
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["poll", "watch"])
def test_a_process_of_its_own_ends_on_sigterm(place: Place, how: str) -> None:
    names = place.add(5)
    command = [sys.executable, "-c", DAEMON, str(place.path), str(place.state), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        lines = iter(daemon.stdout.readline, "")
        assert "round 3\n" in lines
        daemon.send_signal(signal.SIGTERM)
        assert "stopped\n" in lines
        assert daemon.wait(LONG) == 0
    assert place.names == names[3:]


def test_parents_are_asked_for_by_uid(place: Place) -> None:
    place.add(1)
    asked: list[Parent] = []

    class Asked:
        def look(self, parents: Any) -> Answer:
            asked.extend(parents)
            return Answer("", {}, ("nobody knows",))

    rules = Rules(orphans=OrphanRule(timedelta(0)))
    (made,) = rounds_of(place.retention(Policy(rules=rules), lookup=Asked()), 1)
    assert [parent.container for parent in asked] == [WEB]
    assert asked[0].uid
    assert "nobody knows" in made.problems
    assert made.deleted == 0
