"""Rules for keys, and for what is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    InvalidKeyError,
)
from checkpointkit.stores.base import Entry, Feature
from checkpointkit.testing.conformance.base import Rules
from checkpointkit.testing.conformance.bench import LIMIT, always, keeps, outcome_of, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.stores.base import Store
    from checkpointkit.testing.conformance.bench import Bench

NO_KEYS = ("", ".", "..", "../a", "a/b", "a\n", ".tmp", "-a", "a_", "a b", "a\0", "ä", "a" * 251)
BYTES = bytes(range(256))
PREFIXES = (
    *("", "n", "N", "n_", "n_a", "n_a.", "a", "n" * 300),
    *("%", "n%", "n*", "n?", "[n]", "..", "/", "\0", "\udc80"),
)


class KeyRules(Rules):
    """Which keys there are, and what tells them apart."""

    def test_what_is_no_key_is_refused_by_every_method(self, store: Store) -> None:
        """Keys are texts of the grammar in `checkpointkit.keys`."""
        state = always(b"state")
        calls: dict[str, Callable[[str], object]] = {
            "read": store.read,
            "write": lambda key: store.write(key, state),
            "write_many": lambda key: store.write_many({"good": state, key: state}),
            "history": store.history,
            "remove": store.remove,
        }
        if "set_aside" in store.features:
            calls["set_aside"] = lambda key: store.set_aside(key, "1")
        if "pins" in store.features:
            calls["pin"] = lambda key: store.pin(key, 1)
            calls["unpin"] = lambda key: store.unpin(key, 1)
        if "scopes" in store.features:
            calls["scope"] = store.scope
        taken = [
            (name, key)
            for key in NO_KEYS
            for name, call in calls.items()
            if not isinstance(outcome_of(lambda: call(key), CheckpointError), InvalidKeyError)  # noqa: B023 - called at once
        ]
        assert taken == []
        assert store.keys() == ()

    def test_a_key_may_have_one_character_or_250_and_any_of_the_grammar(self, store: Store) -> None:
        """Keys are texts of the grammar in `checkpointkit.keys`."""
        keys = ["0", "1", "k" * 250, "A-_.Z", "con", "1e5", "a.lock", "current", "format", "lock"]
        keys = sorted([*keys, "tmp", "x--y"])
        for key in keys:
            store.write(key, always(b"old"))
            store.write(key, always(key.encode()))
        assert list(store.keys()) == keys
        assert [store.read(key) for key in keys] == [key.encode() for key in keys]
        for key in keys:
            store.remove(key)
        assert store.keys() == ()

    def test_keys_differ_by_case(self, store: Store) -> None:
        """A store tells `"A"` from `"a"`."""
        store.write("a", always(b"small"))
        store.write("A", always(b"large"))
        assert (store.read("a"), store.read("A")) == (b"small", b"large")
        assert store.keys() == ("A", "a")
        store.remove("a")
        assert store.keys() == ("A",)
        assert store.read("A") == b"large"

    def test_keys_do_not_touch_one_another(self, store: Store) -> None:
        """A store keeps bytes by key."""
        for key in ("a", "a.b", "a-b"):
            store.write(key, always(key.encode()))
        kept = snapshot(store)
        del kept["a"]
        store.write("a", always(b"new"))
        store.remove("a")
        assert snapshot(store) == kept

    def test_keys_are_sorted(self, store: Store) -> None:
        """`keys` returns them sorted."""
        keys = ["node-b", "10", "node-a", "pod", "Node-a", "2", "node-a.1", "node_a", "Z", "z"]
        for key in keys:
            store.write(key, always(b"state"))
            store.write("last", always(b"state"))
        assert store.keys() == tuple(sorted([*keys, "last"]))

    def test_keys_are_those_that_begin_with_the_prefix(self, store: Store) -> None:
        """`keys` returns those that begin with `prefix`: no pattern, no other case."""
        keys = ("N.1", "nXa", "n_a", "n_b", "na")
        for key in keys:
            store.write(key, always(b"state"))
        given = {prefix: store.keys(prefix) for prefix in PREFIXES}
        assert given == {
            prefix: tuple(key for key in keys if key.startswith(prefix)) for prefix in PREFIXES
        }


class ReadRules(Rules):
    """What `read` gives, what it refuses, and that it leaves no trace."""

    def test_what_was_given_to_keep_is_given_back(self, bench: Bench) -> None:
        """What it is given to keep, it gives back."""
        store = bench.open()
        kept = dict(zip("abcde", (b"", b"\0", b"line\r\n", BYTES, b"x" * 300_000), strict=True))
        for key, data in kept.items():
            entry = store.write(key, always(data))
            assert (type(entry), entry.size) == (Entry, len(data))
            for given in (store.read(key), store.read(key, entry.generation)):
                assert given == data
                assert isinstance(given, bytes)
        store = bench.again(store)
        held = {key: store.read(key) for key in store.keys()}  # noqa: SIM118 - a store is no dict
        assert held == kept or (not keeps(store) and held == {})

    def test_the_state_saved_last_is_the_newest(self, store: Store) -> None:
        """The newest generation is the one saved last."""
        for number in range(4):
            data = b"%d" % number
            entry = store.write("a", always(data))
            assert store.read("a") == store.read("a", entry.generation) == data
            assert store.history("a")[0] == entry

    def test_an_absent_key_is_not_found_and_has_no_history(self, store: Store) -> None:
        """There is no such key."""
        store.write("a", always(b"state"))
        store.remove("a")
        store.write("aa", always(b"state"))
        for key in ("a", "A", "b"):
            for generation in (None, 1):
                with pytest.raises(CheckpointNotFoundError) as caught:
                    store.read(key, generation)
                assert (caught.value.key, caught.value.generation) == (key, generation)
            assert store.history(key) == ()

    def test_an_unknown_generation_is_not_found(self, store: Store) -> None:
        """There is no such generation, however large."""
        newest = store.write("a", always(b"state")).generation
        store.write("b", always(b"state"))
        for generation in (0, -1, newest + 1, -newest, 2**31, 2**32 + newest, 2**63, 10**30):
            for limit in (None, 0):
                with pytest.raises(CheckpointNotFoundError) as caught:
                    store.read("a", generation, limit)
                assert (caught.value.key, caught.value.generation) == ("a", generation)

    def test_a_limit_gives_the_start(self, store: Store) -> None:
        """Give no more than the first `limit` bytes; None for all of them."""
        data = BYTES * 40
        newest = store.write("a", always(data)).generation
        for limit in (0, 1, 4095, 4096, 5000, len(data) - 1, len(data), 2 * len(data), 2**70):
            for generation in (None, newest):
                assert store.read("a", generation, limit) == data[:limit]
        with pytest.raises(CheckpointNotFoundError):
            store.read("a", newest + 1, 0)

    def test_reading_changes_nothing(self, store: Store) -> None:
        """What is read stays as it is: bytes, numbers, revisions, keys."""
        entry = store.write("a", always(b"state"))
        before = snapshot(store)
        for _ in range(3):
            assert store.read("a") == store.read("a", entry.generation) == b"state"
            assert store.read("a", limit=2) == b"st"
            assert store.history("a")[0] == entry
            for absent in ("b", "A"):
                with pytest.raises(CheckpointNotFoundError):
                    store.read(absent)
                assert store.history(absent) == ()
            store.remove("never-there")
        assert snapshot(store) == before

    def test_a_state_beyond_max_bytes_is_not_read(self, bench: Bench) -> None:
        """It has more than `max_bytes`, and `limit` is None."""
        store = bench.open()
        store.write("a", always(b"small"))
        store.write("a", always(b"x" * 101))
        store = bench.again(store, max_bytes=100)
        held = store.keys()
        assert held == ("a",) or (not keeps(store) and held == ())
        for key in held:
            entry, *older = store.history(key)
            assert [store.read(key, each.generation) for each in older] == [b"small"] * len(older)
            for generation in (None, entry.generation):
                with pytest.raises(CheckpointTooLargeError) as caught:
                    store.read(key, generation)
                error = caught.value
                assert (error.key, error.size, error.limit) == ("a", 101, 100)
                assert store.read(key, generation, 5) == b"xxxxx"
                assert store.read(key, generation, 101) == b"x" * 101
            with pytest.raises(CheckpointTooLargeError):
                store.write(key, always(b"y"))
            assert store.history(key) == (entry, *older)
            store.remove(key)
        assert store.keys() == ()

    def test_features_and_limits_are_what_they_are_declared_to_be(self, store: Store) -> None:
        """What is optional is declared in `features`; `max_bytes` is what it was opened with."""
        assert isinstance(store.features, frozenset)
        assert store.features <= frozenset(get_args(Feature))
        assert store.max_bytes == LIMIT
