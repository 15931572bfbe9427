"""Random calls on a store, compared with a dict: the contract, whatever comes after whatever."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
)
from checkpointkit.stores.base import ABSENT, Damaged
from checkpointkit.testing.conformance.bench import (
    Bench,
    Refusal,
    RefusedError,
    Watcher,
    always,
    keeps,
    outcome_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.stores.base import Absent, Expected, Store
    from checkpointkit.testing.conformance.bench import StoreOpener

MACHINE_SETTINGS: Final = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""Bounded, and the same calls on every run."""

_LARGEST: Final = 11
_KEYS: Final = ("a", "b", "A")
_keys = st.sampled_from(_KEYS)
_data = st.binary(max_size=_LARGEST + 1)
_expectations = st.sampled_from(["none", "right", "wrong", "absent"])
_numbers: Final = itertools.count(1)


class Key:
    """What the model knows of one key.

    Attributes:
        saved: The states that may be there, by number, oldest first.
        damaged: Whether the newest was set aside.
        highest: The largest number ever used.
        pinned: The numbers that are pinned.
    """

    def __init__(self) -> None:
        self.saved: dict[int, bytes] = {}
        self.damaged = False
        self.highest = 0
        self.pinned: set[int] = set()

    @property
    def present(self) -> bool:
        """Whether there is such a key."""
        return self.damaged or bool(self.saved)

    @property
    def newest(self) -> bytes | None:
        """The newest state, if there is one and it can be read."""
        return None if self.damaged or not self.saved else self.saved[max(self.saved)]


def _not_there(model: Key) -> list[int]:
    """Return two numbers that no generation of a key has, now or any more.

    One of them is that of the newest, where it is damaged.
    """
    gone = [number for number in range(1, model.highest + 1) if number not in model.saved]
    return [*gone[-1:], model.highest + 1]


def _one_of(numbers: list[int], index: int) -> int:
    return numbers[index % len(numbers)]


class StoreMachine(RuleBasedStateMachine):
    """Calls a store's methods in random order, and compares what it shows with a model.

    Subclass it to add rules of your own; to run it as it is, call `run_store_machine`. Each run
    opens a store by a new name.

    Attributes:
        open_store: Opens a store; see `StoreOpener`.
    """

    open_store: ClassVar[StoreOpener]

    def __init__(self) -> None:
        super().__init__()
        self.bench: Bench = Bench(type(self).open_store)
        self.name: str = f"run-{next(_numbers)}"
        self.store: Store = self.bench.open(self.name, _LARGEST)
        self.model: dict[str, Key] = {key: Key() for key in _KEYS}

    def teardown(self) -> None:
        """Close what was opened."""
        self.bench.close()

    @rule(key=_keys, data=_data, expectation=_expectations)
    def write(self, key: str, data: bytes, expectation: str) -> None:
        """Save a state, with an expectation that holds or not."""
        model = self.model[key]
        expected, holds = self._expectation(key, expectation)
        watcher = Watcher(data)
        allowed = [
            *([] if holds else [ConflictError]),
            *([] if len(data) <= _LARGEST else [CheckpointTooLargeError]),
        ]
        if allowed:
            self._fails(lambda: self.store.write(key, watcher, expected=expected), *allowed)
            return
        entry = self.store.write(key, watcher, expected=expected)
        assert entry.size == len(data)
        assert watcher.generation == entry.generation
        if model.damaged:
            assert isinstance(watcher.previous, Damaged)
        else:
            assert watcher.previous == model.newest
        self._saved(key, entry.generation, data)

    @rule(batch=st.dictionaries(_keys, st.binary(max_size=_LARGEST)))
    def write_many(self, batch: dict[str, bytes]) -> None:
        """Save several states."""
        result = self.store.write_many({key: always(data) for key, data in batch.items()})
        assert result.failed == {}
        assert result.saved.keys() == batch.keys()
        for key, data in batch.items():
            self._saved(key, result.saved[key].generation, data)

    @rule(key=_keys)
    def refuse(self, key: str) -> None:
        """Save with a seal that raises."""
        self._fails(lambda: self.store.write(key, Refusal()), RefusedError)

    @rule(key=_keys, expectation=_expectations)
    def remove(self, key: str, expectation: str) -> None:
        """Remove a key, with an expectation that holds or not."""
        # What is expected of a damaged key cannot always be compared.
        unsure = self.model[key].damaged
        expected, holds = self._expectation(key, "none" if unsure else expectation)
        if not holds:
            self._fails(lambda: self.store.remove(key, expected=expected), ConflictError)
            return
        self.store.remove(key, expected=expected)
        self.model[key].saved.clear()
        self.model[key].pinned.clear()
        self.model[key].damaged = False

    @precondition(lambda self: "set_aside" in self.store.features and self._intact())
    @rule(data=st.data())
    def set_aside(self, data: st.DataObject) -> None:
        """Set the newest generation of a key aside."""
        key = data.draw(st.sampled_from(self._intact()))
        self.store.set_aside(key, self.store.history(key)[0].revision)
        number, _ = self.model[key].saved.popitem()
        self.model[key].pinned.discard(number)
        self.model[key].damaged = True

    @precondition(lambda self: "pins" in self.store.features)
    @rule(key=_keys, index=st.integers(0, 4))
    def pin(self, key: str, index: int) -> None:
        """Pin the newest generation, one before it, or one that is not there."""
        model = self.model[key]
        generation = _one_of([*sorted(model.saved, reverse=True), *_not_there(model)], index)
        if generation in model.saved:
            self.store.pin(key, generation)
            model.pinned.add(generation)
        elif model.damaged and generation == self.store.history(key)[0].generation:
            self._fails(lambda: self.store.pin(key, generation), CorruptCheckpointError)
        else:
            self._fails(lambda: self.store.pin(key, generation), CheckpointNotFoundError)

    @precondition(lambda self: "pins" in self.store.features)
    @rule(key=_keys, index=st.integers(0, 4))
    def unpin(self, key: str, index: int) -> None:
        """Unpin a generation, whether it is pinned, and there, or not."""
        model = self.model[key]
        others = [*sorted(set(model.saved) - model.pinned), *_not_there(model)]
        generation = _one_of([*sorted(model.pinned), *others], index)
        self.store.unpin(key, generation)
        model.pinned.discard(generation)

    @precondition(lambda self: keeps(self.store))
    @rule()
    def open_again(self) -> None:
        """Close the store and open it again."""
        self.store = self.bench.again(self.store, self.name, _LARGEST)

    @precondition(lambda self: "shared" in self.store.features)
    @rule()
    def go_on_through_another(self) -> None:
        """Open the store once more, and go on with that."""
        self.store = self.bench.open(self.name, _LARGEST)

    @rule(key=_keys, back=st.integers(-1, 3), limit=st.none() | st.integers(0, 12))
    def read(self, key: str, back: int, limit: int | None) -> None:
        """Read the newest generation, one before it, or one that is not there."""
        model = self.model[key]
        generation = model.highest - back
        if generation in model.saved:
            data = self.store.read(key, generation, limit)
            assert data == model.saved[generation][:limit]
        elif not (model.damaged and generation == self.store.history(key)[0].generation):
            self._fails(lambda: self.store.read(key, generation, limit), CheckpointNotFoundError)

    @invariant()
    def agrees(self) -> None:
        """Compare all that the store shows with the model."""
        present = sorted(key for key, model in self.model.items() if model.present)
        assert list(self.store.keys()) == present
        for key, model in self.model.items():
            entries = self.store.history(key)
            numbers = [entry.generation for entry in entries]
            assert {entry.generation for entry in entries if entry.pinned} == model.pinned
            if not model.present:
                assert numbers == []
                self._fails(partial(self.store.read, key), CheckpointNotFoundError)
                continue
            older = numbers[1:]
            if model.damaged:
                self._fails(partial(self.store.read, key), CorruptCheckpointError)
            else:
                assert numbers[0] == max(model.saved)
                assert self.store.read(key) == model.newest
            self._check_older(model, older)
            for generation in older:
                assert self.store.read(key, generation) == model.saved[generation]

    def _check_older(self, model: Key, older: list[int]) -> None:
        """Check the older generations: which of them are kept is up to the store."""
        candidates = sorted(model.saved, reverse=True)
        candidates = candidates if model.damaged else candidates[1:]
        assert older == [generation for generation in candidates if generation in older]
        if "history" in self.store.features:
            assert older[:1] == candidates[:1]
        else:
            assert older == []
        for gone in set(candidates) - set(older):
            del model.saved[gone]

    def _fails(self, call: Callable[[], object], *errors: type[Exception]) -> None:
        outcome = outcome_of(call, *errors)
        assert isinstance(outcome, errors), f"it returned {outcome!r} and raised none of {errors}"

    def _saved(self, key: str, generation: int, data: bytes) -> None:
        model = self.model[key]
        assert generation > model.highest
        model.highest = generation
        model.saved[generation] = data
        model.damaged = False

    def _expectation(self, key: str, which: str) -> tuple[Expected, bool]:
        """Return an expectation, and whether it holds."""
        present = self.model[key].present
        right: int | Absent = self.store.history(key)[0].generation if present else ABSENT
        cases: dict[str, tuple[Expected, bool]] = {
            "none": (None, True),
            "right": (right, True),
            "wrong": (self.model[key].highest + 10**9, False),
            "absent": (ABSENT, not present),
        }
        return cases[which]

    def _intact(self) -> list[str]:
        return [key for key, model in self.model.items() if model.newest is not None]


def run_store_machine(open_store: StoreOpener, settings: settings = MACHINE_SETTINGS) -> None:
    """Compare a store with a dict over many random sequences of calls.

    Args:
        open_store: Opens a store by name; see `StoreOpener`.
        settings: Hypothesis' settings: how many sequences, and how long.

    Raises:
        AssertionError: The store broke the contract; the shortest sequence of calls that
            Hypothesis found is printed.

    Example:
        >>> from checkpointkit import MemoryStore
        >>> run_store_machine(lambda name, max_bytes: MemoryStore(max_bytes=max_bytes))
    """

    class Machine(StoreMachine):
        pass

    Machine.open_store = staticmethod(open_store)
    run_state_machine_as_test(Machine, settings=settings)
