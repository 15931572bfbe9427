"""Rules for what is optional: where it is not declared, it has to be absent; and for `close`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    LockTimeoutError,
    StoreError,
)
from checkpointkit.stores.base import ABSENT, Damaged
from checkpointkit.testing.conformance.base import Rules
from checkpointkit.testing.conformance.bench import (
    Refusal,
    RefusedError,
    Watcher,
    always,
    keeps,
    outcome_of,
    snapshot,
)
from checkpointkit.testing.conformance.threads import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.stores.base import Store
    from checkpointkit.testing.conformance.bench import Bench

REFUSED: Final = (StoreError, LockTimeoutError)
"""What a second opening may raise where the store is not `shared`."""


class HistoryRules(Rules):
    """Older generations: the feature `history`, or its absence."""

    def test_history_gives_the_newest_and_the_older_ones_after_it(self, store: Store) -> None:
        """Without the feature `history` there is the newest alone."""
        entries = [store.write("a", always(b"%d" % n)) for n in range(2)]
        shown = store.history("a")
        assert isinstance(shown, tuple)
        if "history" in store.features:
            assert shown == (entries[1], entries[0])
        else:
            assert shown == (entries[1],)

    def test_older_generations_are_read_as_they_were_saved(self, store: Store) -> None:
        """Without `history`, any number but the newest one's is not found."""
        numbers = [store.write("a", always(b"%d" % n)).generation for n in range(2)]
        assert store.read("a", numbers[1]) == b"1"
        if "history" in store.features:
            assert store.read("a", numbers[0]) == store.read("a", numbers[0], 9) == b"0"
            assert store.read("a", numbers[0], 0) == b""
        else:
            with pytest.raises(CheckpointNotFoundError) as caught:
                store.read("a", numbers[0])
            assert (caught.value.key, caught.value.generation) == ("a", numbers[0])

    def test_what_history_leaves_out_is_not_found(self, store: Store) -> None:
        """There is no such generation: how many older ones are kept is the store's business."""
        saved = {store.write("a", always(b"%d" % n)).generation: b"%d" % n for n in range(8)}
        listed = [entry.generation for entry in store.history("a")]
        assert listed == sorted(set(listed) & set(saved), reverse=True)
        assert (len(listed) > 1) == ("history" in store.features)
        for generation, data in saved.items():
            read = outcome_of(partial(store.read, "a", generation), CheckpointNotFoundError)
            assert (read == data) == (generation in listed)

    def test_history_is_kept_when_the_store_is_opened_again(self, bench: Bench) -> None:
        """What `write` acknowledged is there, older generations too."""
        store = bench.open()
        for number in range(2):
            store.write("a", always(b"%d" % number))
        before = snapshot(store)
        store = bench.again(store)
        assert snapshot(store) == before or (not keeps(store) and snapshot(store) == {})


class SetAsideRules(Rules):
    """Evidence of damage: the feature `set_aside`, or its absence."""

    def test_set_aside_takes_the_newest_out_or_is_refused(self, store: Store) -> None:
        """Take the newest generation out of the key; undeclared, it raises `StoreError`."""
        store.write("a", always(b"old"))
        bad = store.write("a", always(b"bad"))
        before = snapshot(store)
        if "set_aside" not in store.features:
            for revision in (bad.revision, "another"):
                with pytest.raises(StoreError):
                    store.set_aside("a", revision)
            assert snapshot(store) == before
            return
        where = store.set_aside("a", bad.revision)
        assert isinstance(where, str)
        assert where
        newest = store.history("a")[0]
        for generation in (None, newest.generation):
            with pytest.raises(CorruptCheckpointError) as caught:
                store.read("a", generation)
            assert caught.value.key == "a"
        assert newest.revision != bad.revision
        assert store.keys() == ("a",)
        assert store.history("a")[1:] == tuple(entry for entry, _ in before["a"][1:])
        for entry, data in before["a"][1:]:
            assert store.read("a", entry.generation) == data

    def test_an_empty_state_is_set_aside_like_any_other(self, store: Store) -> None:
        """A revision is another text as soon as other bytes stand there: or none any more."""
        bad = store.write("a", always(b""))
        if "set_aside" not in store.features:
            assert store.history("a")[0] == bad
            return
        store.set_aside("a", bad.revision)
        assert store.history("a")[0].revision != bad.revision
        with pytest.raises(CorruptCheckpointError):
            store.read("a")
        with pytest.raises(ConflictError):
            store.set_aside("a", bad.revision)

    def test_until_the_next_save_a_key_set_aside_stays_damaged(self, bench: Bench) -> None:
        """A seal is given `Damaged`; no older generation shows as the newest."""
        store = bench.open()
        old = store.write("a", always(b"old"))
        bad = store.write("a", always(b"bad"))
        if "set_aside" not in store.features:
            watcher = Watcher()
            store.write("a", watcher)
            assert watcher.previous == b"bad"
            return
        store.set_aside("a", bad.revision)
        if keeps(store):
            store = bench.again(store)
        before = store.history("a")
        with pytest.raises(RefusedError):
            store.write("a", Refusal())
        assert store.history("a") == before
        with pytest.raises(CorruptCheckpointError):
            store.read("a")
        watcher = Watcher(b"new")
        new = store.write("a", watcher)
        assert isinstance(watcher.previous, Damaged)
        assert new.generation > bad.generation
        assert store.read("a") == b"new"
        assert store.history("a")[:2] == ((new, old) if "history" in store.features else (new,))
        with pytest.raises(CheckpointNotFoundError):
            store.read("a", bad.generation)

    def test_another_revision_is_not_set_aside(self, store: Store) -> None:
        """The newest generation has another revision by now."""
        old = store.write("a", always(b"old"))
        new = store.write("a", always(b"new"))
        before = snapshot(store)
        error = ConflictError if "set_aside" in store.features else StoreError
        for key, revision in (("a", old.revision), ("a", ""), ("absent", new.revision)):
            with pytest.raises(error):
                store.set_aside(key, revision)
            assert snapshot(store) == before
        if error is ConflictError:
            store.set_aside("a", new.revision)
        with pytest.raises(error):
            store.set_aside("a", new.revision)

    def test_remove_works_on_damaged_checkpoints(self, bench: Bench) -> None:
        """It works on damaged checkpoints, too, and no number is used again."""
        store = bench.open()
        bad = store.write("a", always(b"bad"))
        if "set_aside" in store.features:
            store.set_aside("a", bad.revision)
        store.remove("a")
        if keeps(store):
            store = bench.again(store)
        assert (store.keys(), store.history("a")) == ((), ())
        assert store.write("a", always(b"new"), expected=ABSENT).generation > bad.generation

    def test_a_batch_goes_on_from_what_was_set_aside(self, store: Store) -> None:
        """Each of them as `write` does: a seal is given `Damaged`."""
        bad = store.write("a", always(b"bad"))
        watcher = Watcher(b"new")
        given: type = bytes
        if "set_aside" in store.features:
            store.set_aside("a", bad.revision)
            given = Damaged
        assert store.write_many({"a": watcher}).saved["a"].generation > bad.generation
        assert isinstance(watcher.previous, given)
        assert store.read("a") == b"new"


class ScopeRules(Rules):
    """Stores within the store: the feature `scopes`, or its absence."""

    def test_a_scope_has_keys_of_its_own_or_is_refused(self, store: Store) -> None:
        """The store named `name`, with keys of its own; undeclared, it raises `StoreError`."""
        store.write("a", always(b"outer"))
        if "scopes" not in store.features:
            with pytest.raises(StoreError):
                store.scope("devices")
            assert store.keys() == ("a",)
            return
        scope, other = store.scope("devices"), store.scope("Devices")
        scope.write("a", always(b"inner"))
        scope.write("b", always(b"inner"))
        assert (store.keys(), scope.keys(), other.keys()) == (("a",), ("a", "b"), ())
        assert store.scope("devices").read("b") == b"inner"
        assert scope.scope("devices").keys() == ()
        scope.remove("a")
        assert store.read("a") == b"outer"
        store.remove("a")
        assert (store.keys(), scope.keys()) == ((), ("b",))
        assert (scope.features, scope.max_bytes) == (store.features, store.max_bytes)
        for each in (other, scope):
            each.close()
        assert store.write("a", always(b"new")).size == len(store.read("a"))

    def test_a_scope_that_was_closed_is_there_again(self, store: Store) -> None:
        """The same name gives the same keys, at any time."""
        if "scopes" not in store.features:
            with pytest.raises(StoreError):
                store.scope("devices")
            return
        store.scope("devices").write("a", always(b"inner"))
        scope = store.scope("devices")
        scope.close()
        assert store.scope("devices").read("a") == b"inner"
        assert store.scope("devices").write("a", always(b"new")).size == len(b"new")

    def test_a_scope_takes_as_much_as_its_store(self, bench: Bench) -> None:
        """A scope has the features of its store, and its limit."""
        store = bench.open(max_bytes=100)
        if "scopes" not in store.features:
            with pytest.raises(StoreError):
                store.scope("devices")
            return
        scope = store.scope("devices")
        scope.write("a", always(b"x" * 100))
        with pytest.raises(CheckpointTooLargeError):
            scope.write("a", always(b"x" * 101))
        assert scope.read("a") == b"x" * 100

    def test_a_scope_is_there_when_the_store_is_opened_again(self, bench: Bench) -> None:
        """What was saved in a scope is as durable as what was saved outside."""
        store = bench.open()
        if "scopes" not in store.features:
            with pytest.raises(StoreError):
                store.scope("devices")
            return
        scope = store.scope("devices")
        scope.write("a", always(b"inner"))
        if keeps(store):
            scope.close()
            store = bench.again(store)
        assert store.keys() == ()
        scope = store.scope("devices")
        assert scope.read("a") == b"inner"
        scope.close()


class OpeningRules(Rules):
    """Closing, opening again, and being open twice: the feature `shared`, or its absence."""

    def test_after_close_every_method_raises_store_error(self, store: Store) -> None:
        """Any other method then raises `StoreError`; a second call does nothing."""
        generation, revision, *_ = store.write("a", always(b"state"))
        store.close()
        store.close()
        calls: dict[str, Callable[[], object]] = {
            "read": lambda: store.read("a"),
            "write": lambda: store.write("a", always(b"state")),
            "write_many": lambda: store.write_many({"a": always(b"state")}),
            "write_many of nothing": lambda: store.write_many({}),
            "keys": store.keys,
            "history": lambda: store.history("a"),
            "remove": lambda: store.remove("a"),
            "set_aside": lambda: store.set_aside("a", revision),
            "pin": lambda: store.pin("a", generation),
            "unpin": lambda: store.unpin("a", generation),
            "scope": lambda: store.scope("devices"),
        }
        allowed = {
            name
            for name, call in calls.items()
            if not isinstance(outcome_of(call, StoreError), StoreError)
        }
        assert allowed == set()

    def test_another_opening_shows_the_states_whole_or_none(self, bench: Bench) -> None:
        """A store that is `durable` or `shared` keeps them; another one may have forgotten."""
        store = bench.open()
        for key in ("a", "b"):
            store.write(key, always(key.encode()))
        before = snapshot(store)
        store = bench.again(store)
        after = snapshot(store)
        assert after == before or not keeps(store)
        assert all(state == before[key] for key, state in after.items())
        store.write("a", always(b"new"))
        assert store.read("a") == b"new"

    def test_stores_of_other_names_have_keys_of_their_own(self, bench: Bench) -> None:
        """For the suite's own sake: `open_store` gives another store for another name."""
        one, two = bench.open("one"), bench.open("two")
        one.write("a", always(b"one"))
        assert (one.keys(), two.keys()) == (("a",), ())

    def test_a_second_opening_shares_the_store_or_is_kept_apart(self, bench: Bench) -> None:
        """Without `shared`, it is refused, or it is a store of its own."""
        one = bench.open()
        first = one.write("a", always(b"first"))
        if "shared" not in one.features:
            look = Task(lambda: outcome_of(lambda: bench.open().keys(), *REFUSED))
            seen = look.result()
            assert isinstance(seen, REFUSED) or seen == (), (
                f"two openings see the same keys, {seen}: declare `shared`, or refuse the second"
            )
            assert one.read("a") == b"first"
            return
        two = bench.open()
        assert two.history("a") == (first,)
        second = two.write("a", always(b"second"), expected=first.generation)
        assert one.read("a") == b"second"
        assert one.history("a") == two.history("a")
        with pytest.raises(ConflictError):
            one.write("a", always(b"third"), expected=first.generation)
        one.remove("a", expected=second.generation)
        assert two.keys() == ()
        assert two.write("a", always(b"new")).generation > second.generation
        one.close()
        assert two.read("a") == b"new"
