"""Many processes and threads on one store: no lost update, no torn read, no dead lock."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import CheckpointNotFoundError, ConflictError, LockTimeoutError
from checkpointkit.records import read_record, verify
from checkpointkit.stores.base import ABSENT
from checkpointkit.stores.files.layout import stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.memory import MemoryStore
from checkpointkit.testing.calls import RecordedCalls as Watched
from tests.support.children import Child
from tests.support.states import number_of, sealed, temporaries, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.stores.base import Damaged

STRIPE = f"{stripe_of('a'):02d}"


def increment(store: FileStore | MemoryStore, key: str) -> int:
    """Add 1 by compare-and-swap, as often as it takes; return what it has become."""
    while True:
        record = read_record(store, key)
        number: int = json.loads(record.payload)["n"] + 1
        try:
            store.write(key, sealed(key, number), expected=record.header.generation)
        except ConflictError:
            continue
        return number


def disturb(store: FileStore | MemoryStore, chance: random.Random) -> None:
    """Create, replace, remove, read and list whatever is there; all of it has to verify."""
    key = chance.choice(("x", "y", "z"))
    act = chance.randrange(5)
    try:
        if act == 0:
            store.write(key, sealed(key, 1), expected=ABSENT)
        elif act == 1:
            store.write_many({each: sealed(each, 2, pad=3000) for each in ("z", "x", "y")})
        elif act == 2:
            store.remove(key)
        else:
            for entry in store.history(key):
                assert number_of(store, key, entry.generation) in (1, 2)
            assert number_of(store, key) in (1, 2)
    except (ConflictError, CheckpointNotFoundError):
        pass
    assert set(store.keys()) <= {"a", "x", "y", "z"}
    assert "a" in store.keys()


# ----------------------------------------------------------------------------------- processes


def test_eight_processes_lose_no_update_though_some_are_killed(quick: Path) -> None:
    directory = quick / "store"
    increments = 100
    with FileStore(directory) as store:
        store.write("a", sealed("a", 0))

    def work(child: Child) -> None:
        chance = random.Random(os.getpid())
        with FileStore(directory, lock_timeout=30) as store:
            for _ in range(increments):
                child.say(str(increment(store, "a")))
                disturb(store, chance)

    def work_on(child: Child) -> None:
        chance = random.Random(os.getpid())
        with FileStore(directory, lock_timeout=30) as store:
            while True:
                child.say(str(increment(store, "a")))
                disturb(store, chance)

    killed = [Child(work_on) for _ in range(3)]
    children = [Child(work) for _ in range(5)]
    reached: list[str] = []
    try:
        for child in killed:
            reached += [child.line(), child.line()]
            child.kill()
            reached += child.end()
        for child in children:
            lines = child.end()
            assert len(lines) == increments, lines
            reached += lines
    finally:
        for child in killed + children:
            child.__exit__(None, None, None)
    with FileStore(directory, lock_timeout=1) as store:
        assert temporaries(directory) == []
        assert verify(store).ok
        numbers = sorted(map(int, reached))
        assert numbers == sorted(set(numbers))  # no number was reached twice: nothing was lost
        total = number_of(store, "a")
        assert len(numbers) <= total <= len(numbers) + len(killed)
        assert set(numbers) <= set(range(1, total + 1))
        assert increment(store, "a") == total + 1


def test_batches_in_any_order_of_keys_do_not_lock_each_other_out(quick: Path) -> None:
    directory = quick / "store"
    keys = [f"key-{n}" for n in range(40)]
    FileStore(directory).close()

    def work(child: Child) -> None:
        chance = random.Random(os.getpid())
        with FileStore(directory, durability="none", lock_timeout=30) as store:
            for n in range(15):
                chosen = chance.sample(keys, 20)
                assert len(store.write_many({key: sealed(key, n) for key in chosen}).saved) == 20

    children = [Child(work) for _ in range(4)]
    assert [child.end() for child in children] == [[]] * 4
    assert [child.status for child in children] == [0] * 4
    with FileStore(directory) as store:
        assert verify(store).ok


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_eight_threads_lose_no_update(quick: Path, kind: str) -> None:
    store = MemoryStore() if kind == "memory" else FileStore(quick / "store", lock_timeout=30)
    store.write("a", sealed("a", 0))

    def work(seed: int) -> list[int]:
        chance = random.Random(seed)
        reached = []
        for _ in range(15):
            reached.append(increment(store, "a"))
            disturb(store, chance)
        return reached

    with ThreadPoolExecutor(8) as pool:
        reached = list(itertools.chain(*pool.map(work, range(8))))
    assert sorted(reached) == list(range(1, 8 * 15 + 1))
    assert number_of(store, "a") == 8 * 15
    assert verify(store).ok
    store.close()
    if kind == "files":
        assert temporaries(quick / "store") == []


def test_readers_of_a_key_that_is_removed_and_created_again_and_again_see_all_or_nothing(
    quick: Path,
) -> None:
    directory = quick / "store"
    FileStore(directory).close()

    def write(child: Child) -> None:
        with FileStore(directory, durability="none") as store:
            for n in range(100_000):
                for _ in range(n % 3 + 1):
                    store.write("a", sealed("a", n))
                if not n:
                    child.say("begun")
                store.remove("a")

    with Child(write) as child:
        assert child.line() == "begun"
        found = absent = 0
        newest = 0
        end = time.monotonic() + 1
        with FileStore(directory, read_only=True) as store:
            while time.monotonic() < end:
                try:
                    number = number_of(store, "a")
                    assert number >= newest
                    newest = number
                    found += 1
                    for entry in store.history("a"):
                        number_of(store, "a", entry.generation)
                except CheckpointNotFoundError:
                    absent += 1
        assert child.status is None
    assert found > 20
    assert absent > 20


# --------------------------------------------------------------------------------------- locks


class Holder(Child):
    """A child that holds the lock of `a` in the middle of a save until it is told to go on."""

    def __init__(self, directory: Path) -> None:
        def work(child: Child) -> None:
            def seal(generation: int, previous: bytes | Damaged | None) -> bytes:
                child.say("held")
                child.wait_for_word()
                return sealed("a", 7)(generation, previous)

            with FileStore(directory) as store:
                store.write("a", seal)

        super().__init__(work)
        assert self.line() == "held"


def test_a_taken_lock_ends_the_wait_in_time_and_changes_nothing(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory, lock_timeout=0.1) as store, FileStore(directory) as patient:
        entry = store.write("a", sealed("a", 1))
        with Holder(directory) as holder:
            before = tree(directory)
            calls: list[Callable[[], object]] = [
                lambda: store.write("a", sealed("a", 2)),
                lambda: store.remove("a"),
                lambda: store.set_aside("a", entry.revision),
            ]
            for call in calls:
                began = time.monotonic()
                with pytest.raises(LockTimeoutError) as caught:
                    call()
                assert 0.1 <= time.monotonic() - began < 1
                assert (caught.value.key, caught.value.timeout) == ("a", 0.1)
            failed = store.write_many({"a": sealed("a", 2)}).failed
            assert isinstance(failed["a"], LockTimeoutError)
            assert number_of(store, "a") == 1
            assert store.keys() == ("a",)
            assert store.history("a") == (entry,)
            assert tree(directory) == before
            holder.go()
            assert patient.write("a", sealed("a", 8)).generation == 3
            assert holder.end() == []


def test_a_timeout_of_0_tries_once(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory, lock_timeout=0) as store:
        store.write("a", sealed("a", 1))
        with Holder(directory), pytest.raises(LockTimeoutError):
            store.write("a", sealed("a", 2))


def test_the_lock_of_a_killed_process_is_free_at_once(quick: Path) -> None:
    directory = quick / "store"
    with FileStore(directory, lock_timeout=0) as store, Holder(directory) as holder:
        holder.kill()
        holder.wait()
        store.write("a", sealed("a", 2))
        assert number_of(store, "a") == 2


MOMENTS = [
    "try_lock .lock", "fstat .lock", "pread .lock", "write .tmp", "unlock .lock",
]  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("parent_dies", [True, False], ids=["parent dies", "child dies"])
def test_a_child_forked_while_a_thread_holds_a_lock_neither_keeps_nor_releases_it(  # noqa: PLR0915
    quick: Path, moment: str, parent_dies: bool
) -> None:
    directory = quick / "store"
    FileStore(directory).close()

    class Pausing(Watched):
        """Stops a thread at a moment until the fork has taken place."""

        def before(self, name: str, event: str) -> None:
            if event.startswith(moment) and threading.current_thread() is thread:
                arrived.set()
                forked.wait()

    arrived, forked = threading.Event(), threading.Event()
    thread = threading.Thread(daemon=True)

    def parent(child: Child) -> None:
        nonlocal thread
        warnings.simplefilter("ignore")  # newer Pythons advise against forks beside threads
        store = FileStore(directory, system=Pausing(directory))
        thread = threading.Thread(target=lambda: store.write("a", sealed("a", 1)), daemon=True)
        thread.start()
        arrived.wait()
        reading, writing = os.pipe()
        grandchild = os.fork()
        if grandchild == 0:
            os.close(writing)
            if parent_dies:
                child.say("forked")
                os.read(reading, 1)  # until the test has ended the parent, and 1 s longer
                child.wait_for_word()
            store.close()
            os._exit(0)
        os.close(reading)
        if parent_dies:
            child.wait_for_word()
        else:
            os.waitpid(grandchild, 0)
            child.say("forked")
            child.wait_for_word()
            forked.set()
            thread.join()

    with Child(parent) as child, FileStore(directory, lock_timeout=0.05) as store:
        assert child.line() == "forked"
        taken = moment != MOMENTS[0]
        if parent_dies:
            child.kill()
            os.waitpid(child.pid, 0)
            child.status = -9
            store.write("a", sealed("a", 2))  # the grandchild lives on
            assert number_of(store, "a") == 2
            child.go()
        elif taken:
            with pytest.raises(LockTimeoutError):
                store.write("a", sealed("a", 2))
            child.go()
            assert child.end() == []
            assert number_of(store, "a") == 1
        else:
            store.write("a", sealed("a", 2))
            child.go()
            assert child.end() == []
            assert number_of(store, "a") == 1
        store.write("a", sealed("a", 3))


def test_a_child_forked_inside_a_seal_gives_back_neither_the_lock_nor_what_it_has_opened(
    quick: Path,
) -> None:
    class LeaveError(Exception):
        pass

    pid = 0
    opened: list[int] = []

    def seal(generation: int, previous: bytes | Damaged | None) -> bytes:
        nonlocal pid
        pid = os.fork()
        if pid == 0:
            opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(20))
            raise LeaveError
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        with (
            FileStore(quick / "store", lock_timeout=0) as other,
            pytest.raises(LockTimeoutError),
        ):
            other.write("a", sealed("a", 2))
        return sealed("a", 1)(generation, previous)

    with FileStore(quick / "store") as store:
        try:
            store.write("a", seal)
        except LeaveError:  # in the child
            status = 1
            try:
                for fd in opened:
                    os.fstat(fd)
                status = 0
            finally:
                os._exit(status)
        assert number_of(store, "a") == 1


def test_a_store_works_in_a_forked_child_beside_its_parent(quick: Path) -> None:
    with FileStore(quick / "store", lock_timeout=5) as store:
        store.write("a", sealed("a", 0))

        def work(child: Child) -> None:
            for _ in range(30):
                increment(store, "a")

        children = [Child(work) for _ in range(2)]
        for _ in range(30):
            increment(store, "a")
        assert [child.end() for child in children] == [[], []]
        assert number_of(store, "a") == 90


# ------------------------------------------------------------------------------------- threads


def test_a_batch_is_saved_where_no_thread_can_be_started(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with FileStore(quick / "store") as store:
        result = store.write_many({key: sealed(key, 1) for key in "abcdefgh"})
        assert sorted(result.saved) == list("abcdefgh")
        assert [number_of(store, key) for key in "abcdefgh"] == [1] * 8


def test_an_interrupted_batch_cleans_up_only_after_its_threads_have_ended(quick: Path) -> None:
    directory = quick / "store"
    main = threading.current_thread()
    started, interrupted, cleaning = threading.Event(), threading.Event(), threading.Event()
    running: list[str] = []
    seen: list[list[str]] = []

    class Interrupted(Watched):
        armed = False

        def before(self, name: str, event: str) -> None:
            if not self.armed:
                return
            if name == "fsync" and threading.current_thread() is not main:
                running.append(event)
                started.set()
                interrupted.wait(5)
                cleaning.wait(0.2)
                running.remove(event)
            elif name == "fsync" and not interrupted.is_set():
                started.wait(5)
                interrupted.set()
                raise KeyboardInterrupt
            elif name in ("unlink", "unlock"):
                seen.append(list(running))
                cleaning.set()

    calls = Interrupted(directory)
    store = FileStore(directory, system=calls)
    calls.armed = True
    with pytest.raises(KeyboardInterrupt):
        store.write_many({key: sealed(key, 1) for key in "ab"})
    calls.armed = False
    assert seen
    assert seen == [[]] * len(seen)
    assert store.keys() == ()
    assert temporaries(directory) == []
    store.write("a", sealed("a", 2))
    store.close()


def test_an_exit_handler_can_save_whether_it_was_registered_before_the_store_or_after(
    quick: Path,
) -> None:
    script = f"""
import atexit
from checkpointkit.stores.files.store import FileStore
store = None
def save(key):
    many = {{key: lambda generation, previous: b"last words" for key in (key, key + "2")}}
    assert sorted(store.write_many(many).saved) == [key, key + "2"]
    store.write(key, lambda generation, previous: b"last words")
    print(key, flush=True)
atexit.register(save, "early")
store = FileStore({str(quick / "store")!r})
atexit.register(save, "late")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": PATH},
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (["late", "early"], "")
    with FileStore(quick / "store") as store:
        assert store.keys() == ("early", "early2", "late", "late2")


PATH = os.pathsep.join(path for path in sys.path if path)
