"""Rules for several processes, and for what survives the death of one.

The children are forked, so that they open the store under test with the very callable that the
fixture gave. They are forked before the test opens the store itself: what a store holds open need
not survive a fork.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import pytest

from checkpointkit.errors import CheckpointError, CheckpointNotFoundError
from checkpointkit.testing.conformance.base import Rules
from checkpointkit.testing.conformance.bench import Watcher, always, counting, outcome_of
from checkpointkit.testing.conformance.optional import REFUSED
from checkpointkit.testing.conformance.threads import Pause, check_order, patiently

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from checkpointkit.stores.base import Entry
    from checkpointkit.testing.conformance.bench import Bench

CHILDREN: Final = 3
SAVES: Final = 10


class Child:
    """A forked process that works on the store, step by step with its parent.

    It sends what its work returns, or the error. As a context, it is ended at the end.

    Args:
        work: Called in the child with the child itself, to talk through.
    """

    def __init__(self, work: Callable[[Child], object]) -> None:
        self._from_child, self._to_parent = os.pipe()
        self._from_parent, self._to_child = os.pipe()
        self._pid = os.fork() or self._work(work)
        os.close(self._to_parent)
        os.close(self._from_parent)
        self._file = os.fdopen(self._from_child, "rb")

    def _work(self, work: Callable[[Child], object]) -> NoReturn:
        os.close(self._from_child)
        os.close(self._to_child)
        try:
            self.say(work(self))
        except BaseException as error:  # noqa: BLE001 - the parent raises it
            self.say(RuntimeError(f"{type(error).__name__} in a child: {error}"))
        finally:
            os._exit(0)

    def say(self, message: object) -> None:
        """Send something to the parent; called in the child."""
        os.write(self._to_parent, pickle.dumps(message))

    def wait(self) -> None:
        """Wait until the parent calls `go`, or end where it has no use for the child."""
        if not os.read(self._from_parent, 1):
            os._exit(0)

    def go(self) -> None:
        """Let `wait` return."""
        os.write(self._to_child, b"!")

    def hear(self) -> Any:
        """Return the next thing that the child says, or raise its error."""
        message = pickle.load(self._file)  # noqa: S301 - from a child of this very test
        if isinstance(message, RuntimeError):
            raise message
        return message

    def end(self) -> None:
        """Wait until the child has ended by itself."""
        assert self._file.read() == b"", "the child did not end where it should have"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._to_child)
        try:
            if error is None:
                self._file.read()  # until it has ended
        finally:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._file.close()


class ProcessRules(Rules):
    """Other processes: the features `shared` and `durable`, or their absence."""

    @pytest.fixture
    def can_fork(self) -> None:
        """Leave a test out, and say so, where there is no fork."""
        if not hasattr(os, "fork"):
            pytest.skip("this platform cannot fork: several processes are not tested")

    @pytest.mark.usefixtures("can_fork")
    def test_another_process_shares_the_store_or_is_kept_apart(self, bench: Bench) -> None:
        """For a store with the feature `shared` also other processes; else it is refused."""

        def look(child: Child) -> object:
            child.wait()
            return outcome_of(lambda: bench.open().read("a"), CheckpointError)

        with Child(look) as child:
            store = bench.open()
            store.write("a", always(b"state"))
            child.go()
            seen = child.hear()
        if "shared" in store.features:
            assert seen == b"state"
        else:
            assert isinstance(seen, (CheckpointNotFoundError, *REFUSED)), (
                f"another process sees {seen!r}: declare `shared`, or refuse it"
            )
        assert store.read("a") == b"state"

    @pytest.mark.usefixtures("can_fork")
    def test_saves_of_two_processes_take_place_one_after_the_other(self, bench: Bench) -> None:
        """The saves of one key take place one after the other: also those of other processes."""

        def save(child: Child) -> object:
            child.wait()
            pause = Pause()

            def meanwhile() -> None:
                child.say("inside")
                pause()

            slow = Watcher(b"slow", meanwhile)
            return bench.open().write("a", slow), slow.calls

        with Child(save) as child:
            store = bench.open()
            store.write("a", always(b"before"))
            if "shared" not in store.features:
                assert store.read("a") == b"before"
                return
            child.go()
            assert child.hear() == "inside"
            quick, slow = Watcher(b"quick"), Watcher(b"slow")
            entry = patiently(lambda: store.write("a", quick))
            other, slow.calls = child.hear()
        assert store.read("a") == check_order([(other, slow), (entry, quick)], b"before")

    @pytest.mark.usefixtures("can_fork")
    def test_no_save_of_several_processes_is_lost(self, bench: Bench) -> None:
        """In one order that all readers agree with: also other processes."""

        def add(child: Child) -> object:
            child.wait()
            store = bench.open()
            return [patiently(lambda: store.write("a", counting)).generation for _ in range(SAVES)]

        with ExitStack() as stack:
            children = [stack.enter_context(Child(add)) for _ in range(CHILDREN)]
            store = bench.open()
            expected = [store.write("a", counting).generation]
            if "shared" in store.features:
                for child in children:
                    child.go()
                numbers = [child.hear() for child in children]
                assert all(mine == sorted(mine) for mine in numbers)
                expected += itertools.chain(*numbers)
            assert len(set(expected)) == len(expected)
            assert store.read("a") == b"%d" % len(expected)

    @pytest.mark.usefixtures("can_fork")
    def test_a_process_that_dies_in_a_save_leaves_the_state_before(self, bench: Bench) -> None:
        """What `write` acknowledged survives (feature `durable`), else it is whole or absent."""

        def die(child: Child) -> object:
            store = bench.open()
            store.write("a", always(b"old"))
            store.write("b", always(b"gone"))
            acknowledged = store.write("a", always(b"new"))
            store.remove("b")
            child.say(acknowledged)
            return store.write("a", Watcher(b"never", lambda: os._exit(0)))

        with Child(die) as child:
            acknowledged: Entry = child.hear()
            child.end()
        store = bench.open()
        held = store.keys()
        if "durable" in store.features:
            assert held == ("a",)
            assert (store.read("a"), store.history("a")[0]) == (b"new", acknowledged)
        else:
            assert {store.read(key) for key in held} <= {b"old", b"new", b"gone"}
        entry = store.write("a", always(b"next"))
        assert entry.generation > (acknowledged.generation if held == ("a",) else 0)
        assert store.read("a") == b"next"
