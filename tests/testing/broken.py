"""Stores that are wrong in one place each; the docstring says where."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from itertools import count
from typing import TYPE_CHECKING, Self, cast

from attrs import frozen

from checkpointkit.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    ConflictError,
    CorruptCheckpointError,
    StoreError,
)
from checkpointkit.stores.base import ABSENT, BatchResult, Damaged, Entry, Expected, Feature, Seal
from tests.testing.plain import ALL, Bare, Box, Memory, Plain, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


@frozen
class Mistake:
    """A broken store, and the tests that have to fail for it.

    Attributes:
        kind: The store.
        caught_by: The tests that always fail.
        broad: Whether so much is wrong that any other test may fail, too.
        needs_others: Whether it takes several threads or processes.
        hangs: Whether it never returns, so that the suite should not wait for long.
    """

    kind: type[Plain]
    caught_by: frozenset[str]
    broad: bool
    needs_others: bool
    hangs: bool


MISTAKES: list[Mistake] = []


def caught_by(
    *tests: str,
    broad: bool = False,
    needs_others: bool = False,
    hangs: bool = False,
) -> Callable[[type[Plain]], type[Plain]]:
    """Say which tests of the suite fail for a store."""

    def note(kind: type[Plain]) -> type[Plain]:
        MISTAKES.append(Mistake(kind, frozenset(tests), broad, needs_others, hangs))
        return kind

    return note


# ---------------------------------------------------------------------------------------- errors


@caught_by(
    "after_an_error_the_key_can_be_saved",
    "an_absent_key_is_not_found_and_has_no_history",
    "reading_changes_nothing",
    "remove_takes_the_key_with_all_its_generations",
)
class WrongErrorForAbsence(Plain):
    """Raises a KeyError where a key is absent."""

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        if not self.history(key):
            raise KeyError(key)
        return super().read(key, generation, limit)


@caught_by("an_unknown_generation_is_not_found")
class WrongErrorForNumbers(Plain):
    """Raises an OverflowError for numbers that its engine does not know."""

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        (generation or 0).to_bytes(8, signed=True)
        return super().read(key, generation, limit)


@caught_by("after_close_every_method_raises_store_error")
class WrongErrorWhenClosed(Plain):
    """Raises a ValueError once it is closed."""

    def must_be_open(self, operation: str) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed store")


@caught_by(
    "absent_saves_only_where_there_is_nothing",
    "an_expected_generation_of_an_absent_key_conflicts",
    "an_expected_generation_saves_only_if_it_is_the_newest",
    "remove_compares_the_expectation",
)
class ErrorWithoutFacts(Plain):
    """Raises a ConflictError that names the wrong generations."""

    def compare(self, key: str, expected: Expected, newest: int | None) -> None:
        try:
            super().compare(key, expected, newest)
        except ConflictError as error:
            raise ConflictError(key, None, None) from error


@caught_by(
    "a_wrong_key_in_a_batch_raises_before_anything_is_saved",
    "what_is_no_key_is_refused_by_every_method",
)
class KeysUnchecked(Plain):
    """Takes any text for a key."""

    def check(self, key: object) -> str:
        return str(key)


# --------------------------------------------------------------------------------- keys, prefixes


@caught_by(
    "a_key_may_have_one_character_or_250_and_any_of_the_grammar",
    "keys_are_sorted",
    "keys_are_those_that_begin_with_the_prefix",
    "keys_differ_by_case",
    "reading_changes_nothing",
)
class CaseFolding(Plain):
    """Takes "A" for "a", as some file systems and databases do."""

    def name(self, key: str) -> str:
        return self.prefix + key.lower()


@caught_by("a_key_may_have_one_character_or_250_and_any_of_the_grammar")
class CutKeys(Plain):
    """Cuts long keys, as a column of a fixed width does."""

    def name(self, key: str) -> str:
        return self.prefix + key[:200]


@caught_by("keys_are_sorted", "keys_differ_by_case")
class UnsortedList(Plain):
    """Lists keys in the order of the first save."""

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        self.must_be_open("list")
        return tuple(key for key in self.present() if key.startswith(prefix))


@caught_by("keys_are_those_that_begin_with_the_prefix")
class PrefixAnywhere(Plain):
    """Lists the keys that contain the prefix."""

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        self.must_be_open("list")
        return tuple(sorted(key for key in self.present() if prefix in key))


@caught_by("keys_are_those_that_begin_with_the_prefix")
class PrefixAsPattern(Plain):
    """Takes the prefix for a pattern."""

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        self.must_be_open("list")
        pattern = prefix.replace("_", "?") + "*"
        return tuple(sorted(key for key in self.present() if fnmatchcase(key, pattern)))


# ----------------------------------------------------------------------------------- generations


@caught_by(
    "history_gives_the_newest_and_the_older_ones_after_it",
    "older_generations_are_read_as_they_were_saved",
    "until_the_next_save_a_key_set_aside_stays_damaged",
    "what_history_leaves_out_is_not_found",
)
class LostGeneration(Plain):
    """Declares a history, and keeps the newest alone."""

    older = 0


@caught_by(
    "a_number_is_not_used_again_after_opening_again",
    "a_number_is_not_used_again_after_other_keys_were_removed",
    "a_number_is_not_used_again_after_remove",
    "a_revision_is_another_one_as_soon_as_something_else_stands_there",
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "remove_takes_pinned_generations_with_the_key",
    "remove_works_on_damaged_checkpoints",
    "what_was_removed_does_not_come_back",
)
class ReusedAfterRemove(Plain):
    """Forgets the numbers of a key that is removed."""

    def clear(self, box: Box) -> None:
        super().clear(box)
        box.highest = 0


@caught_by(
    "a_number_is_not_used_again_after_opening_again",
    "remove_works_on_damaged_checkpoints",
)
class ReusedAfterOpening(Plain):
    """Knows the numbers of removed keys only as long as it is open."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        state = {name: box for name, box in self.load().items() if box.kept}
        if path.exists():
            self.save(state)


@caught_by("a_number_is_not_used_again_after_other_keys_were_removed")
class ReusedAfterOthers(Plain):
    """Keeps one number for all removed keys, that of the last one."""

    def load(self) -> State:
        state = super().load()
        state.setdefault("/", Box())
        for name, box in state.items():
            if name != "/" and not box.kept:
                box.highest = state["/"].highest
        return state

    def box(self, state: State, key: str) -> Box:
        return state.setdefault(self.name(key), Box())

    def prepare(self, state: State, key: str, seal: Seal, expected: Expected) -> tuple[int, bytes]:
        box = self.box(state, key)
        box.highest = box.highest or state["/"].highest
        return super().prepare(state, key, seal, expected)

    def remove(self, key: str, *, expected: Expected = None) -> None:
        highest = self.box(self.load(), key).highest
        super().remove(key, expected=expected)
        with self.locked():
            state = self.load()
            state["/"].highest = highest
            self.save(state)


@caught_by("numbers_begin_at_1_or_more_and_grow_with_each_save", broad=True)
class DecreasingNumbers(Plain):
    """Counts down."""

    def number(self, box: Box) -> int:
        return 10**9 if not box.highest else min(box.kept or [box.highest]) - 1


@caught_by(
    "a_number_is_not_used_again_after_remove",
    "an_unknown_generation_is_not_found",
    "numbers_begin_at_1_or_more_and_grow_with_each_save",
    "remove_works_on_damaged_checkpoints",
)
class NumbersFromZero(Plain):
    """Begins with 0."""

    def number(self, box: Box) -> int:
        return box.highest + 1 if box.kept or box.highest else 0


@caught_by(
    "a_batch_saves_each_key_as_write_does",
    "a_seal_is_told_the_number_of_the_entry",
    "an_atomic_batch_saves_all_keys_or_is_refused",
)
class SealToldAnotherNumber(Plain):
    """Tells the seal the number of the generation before."""

    def ask(self, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
        return super().ask(seal, number - 1, previous)


@caught_by(
    "a_revision_is_another_one_as_soon_as_something_else_stands_there",
    "an_empty_state_is_set_aside_like_any_other",
    "another_revision_is_not_set_aside",
    "set_aside_takes_the_newest_out_or_is_refused",
)
class ConstantRevision(Plain):
    """Gives every state the same revision."""

    def entry(self, number: int, data: bytes | Damaged) -> Entry:
        return super().entry(number, data)._replace(revision="1")


@caught_by(
    "a_revision_is_another_one_as_soon_as_something_else_stands_there",
    "reading_changes_nothing",
    broad=True,
)
class ChangingRevision(Plain):
    """Gives the same state another revision each time."""

    numbers = count()

    def history(self, key: str) -> tuple[Entry, ...]:
        shown = super().history(key)
        return tuple(entry._replace(revision=f"{next(self.numbers)}") for entry in shown)


# ---------------------------------------------------------------------------------------- order


@caught_by(
    "a_revision_is_another_one_as_soon_as_something_else_stands_there",
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "an_atomic_batch_saves_all_keys_or_is_refused",
    "an_unpinned_generation_is_one_of_the_older_ones_again",
    "another_opening_sees_the_pins_and_keeps_to_them",
    "pinned_generations_are_kept_or_pins_are_refused",
    "pinning_is_done_once_and_undone_once",
    "set_aside_takes_the_newest_out_or_is_refused",
    "the_state_saved_last_is_the_newest",
    "until_the_next_save_a_key_set_aside_stays_damaged",
    "what_was_removed_does_not_come_back",
)
class StaleHistory(Plain):
    """Remembers a history that it has shown."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.shown: dict[str, tuple[Entry, ...]] = {}

    def history(self, key: str) -> tuple[Entry, ...]:
        entries = super().history(key)
        return self.shown.setdefault(key, entries) if entries else ()


@caught_by(
    "a_scope_has_keys_of_its_own_or_is_refused",
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "another_opening_sees_the_pins_and_keeps_to_them",
    "of_two_who_expect_the_same_one_wins",
    needs_others=True,
)
class StaleReads(Plain):
    """Remembers what it has read, though others may save."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.mine: State | None = None

    def save(self, state: State) -> None:
        super().save(state)
        self.mine = None

    def load(self) -> State:
        if self.mine is None:
            self.mine = super().load()
        return self.mine


@caught_by(
    "at_each_step_of_a_change_readers_see_the_old_state_or_the_new_one",
    needs_others=True,
)
class NotAtomic(Plain):
    """Writes a state in two steps, and readers see the first one."""

    def place(self, state: State, key: str, number: int, data: bytes) -> Entry:
        super().place(state, key, number, data[: len(data) // 2])
        self.save(state)
        return super().place(state, key, number, data)


@caught_by(
    "a_batch_keeps_what_is_pinned",
    "an_unpinned_generation_is_one_of_the_older_ones_again",
    "another_opening_sees_the_pins_and_keeps_to_them",
    "at_each_step_of_a_change_readers_see_the_old_state_or_the_new_one",
    "pinned_generations_are_kept_or_pins_are_refused",
    "pinned_generations_do_not_count_in_the_history",
    "pins_are_there_when_the_store_is_opened_again",
    "what_is_set_aside_is_not_pinned_any_more",
    needs_others=True,
)
class RemovesFirst(Plain):
    """Takes the old state away before the new one is there."""

    older = 0
    features = ALL - {"history"}

    def place(self, state: State, key: str, number: int, data: bytes) -> Entry:
        self.clear(state.setdefault(self.name(key), Box()))
        self.save(state)
        return super().place(state, key, number, data)


@caught_by(
    "a_remove_waits_for_a_save_or_goes_before_it",
    "of_two_who_expect_the_same_one_wins",
    "saves_take_place_one_after_the_other",
    needs_others=True,
)
class NoLock(Memory):
    """Knows no lock but for the moment in which it changes something."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def place(self, state: State, key: str, number: int, data: bytes) -> Entry:
        with self.lock:
            return super().place(state, key, number, data)


@caught_by(
    "a_remove_waits_for_a_save_or_goes_before_it",
    "of_two_who_expect_the_same_one_wins",
    "saves_of_two_processes_take_place_one_after_the_other",
    "saves_take_place_one_after_the_other",
    needs_others=True,
)
class LockOfOneOpening(Plain):
    """Locks out its own threads, and no other opening."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.mine = threading.Lock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.mine:
            yield

    def save(self, state: State) -> None:
        with super().locked():
            super().save(state)


@caught_by(
    "after_an_error_the_key_can_be_saved",
    "what_a_seal_raises_passes_through_and_nothing_has_changed",
    "what_is_none_of_our_errors_passes_through_a_batch",
    hangs=True,
)
class LockNotReleased(Memory):
    """Keeps its lock when a seal is interrupted."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        self.lock.acquire()
        try:
            yield
        except Exception:
            self.lock.release()
            raise
        self.lock.release()


@caught_by("a_process_that_dies_in_a_save_leaves_the_state_before", needs_others=True, hangs=True)
class LockOfTheDead(Plain):
    """Takes a lock that outlives the process which holds it."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        name = self.path.with_suffix(".held")
        while True:
            with suppress(FileExistsError):
                name.touch(exist_ok=False)
                break
            time.sleep(0.0005)
        try:
            yield
        finally:
            name.unlink()


@caught_by("a_process_that_dies_in_a_save_leaves_the_state_before", needs_others=True)
class SavedWhenClosed(Memory):
    """Declares that it is durable, and writes when it is closed."""

    features = Memory.features | {"durable"}

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.state = Plain.load(self)

    def close(self) -> None:
        super().close()
        if not self.prefix:
            Plain.save(self, self.state)


@caught_by(
    "another_opening_shows_the_states_whole_or_none",
    "what_was_given_to_keep_is_given_back",
    "history_is_kept_when_the_store_is_opened_again",
    "what_was_removed_stays_so_when_the_store_is_opened_again",
    broad=True,
    needs_others=True,
)
class Forgetful(Memory):
    """Declares that it is durable, and keeps everything in memory."""

    features = Memory.features | {"durable"}


# --------------------------------------------------------------------------------- expectations


@caught_by(
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "absent_saves_only_where_there_is_nothing",
    "after_an_error_the_key_can_be_saved",
    "an_expected_generation_of_an_absent_key_conflicts",
    "an_expected_generation_saves_only_if_it_is_the_newest",
)
class SwallowedConflict(Plain):
    """Says nothing where an expectation does not hold, and saves nothing."""

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        try:
            return super().write(key, seal, expected=expected)
        except ConflictError:
            return next(iter(self.history(key)), Entry(1, "1", 0))


@caught_by(
    "absent_saves_only_where_there_is_nothing",
    "after_an_error_the_key_can_be_saved",
    "remove_compares_the_expectation",
)
class AbsentIgnored(Plain):
    """Takes ABSENT for "whatever is there"."""

    def compare(self, key: str, expected: Expected, newest: int | None) -> None:
        super().compare(key, None if expected is ABSENT else expected, newest)


@caught_by(
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "absent_saves_only_where_there_is_nothing",
    "after_an_error_the_key_can_be_saved",
    "an_expected_generation_of_an_absent_key_conflicts",
    "an_expected_generation_saves_only_if_it_is_the_newest",
)
class ConflictAfterTheChange(Plain):
    """Compares when it has saved."""

    def write(self, key: str, seal: Seal, *, expected: Expected = None) -> Entry:
        shown = self.history(key)
        entry = super().write(key, seal)
        self.compare(key, expected, shown[0].generation if shown else None)
        return entry


@caught_by("after_an_error_the_key_can_be_saved", "remove_compares_the_expectation")
class RemoveWithoutComparing(Plain):
    """Removes, whatever was expected."""

    def remove(self, key: str, *, expected: Expected = None) -> None:
        super().remove(key)


@caught_by("a_seal_is_asked_before_the_expectation_is_compared")
class ComparedBeforeTheSeal(Plain):
    """Compares before it asks the seal."""

    def prepare(self, state: State, key: str, seal: Seal, expected: Expected) -> tuple[int, bytes]:
        self.compare(key, expected, self.box(state, key).newest)
        return super().prepare(state, key, seal, expected)


# ----------------------------------------------------------------------------------------- seals


@caught_by(
    "while_a_seal_is_at_work_readers_see_the_state_before",
    "what_a_seal_raises_passes_through_and_nothing_has_changed",
    broad=True,
    needs_others=True,
)
class SealedAfterTheChange(Plain):
    """Shows an empty state under the new number while it asks the seal."""

    def prepare(self, state: State, key: str, seal: Seal, expected: Expected) -> tuple[int, bytes]:
        early = self.load()
        self.place(early, key, self.number(self.box(early, key)), b"")
        self.save(early)
        return super().prepare(state, key, seal, expected)


@caught_by(
    "a_key_of_a_batch_fails_by_itself",
    "a_seal_is_asked_before_the_expectation_is_compared",
    "after_an_error_the_key_can_be_saved",
    "an_atomic_batch_saves_none_where_a_seal_raises",
    "an_atomic_batch_saves_none_where_one_fails",
    "until_the_next_save_a_key_set_aside_stays_damaged",
    "what_a_seal_raises_passes_through_and_nothing_has_changed",
    "what_is_none_of_our_errors_passes_through_a_batch",
)
class SealErrorSwallowed(Plain):
    """Keeps the old state where a seal raises, and says nothing."""

    def ask(self, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
        try:
            return super().ask(seal, number, previous)
        except Exception:
            return previous if isinstance(previous, bytes) else b""


@caught_by(
    "what_a_seal_raises_passes_through_and_nothing_has_changed",
    "what_is_none_of_our_errors_passes_through_a_batch",
)
class SealErrorTranslated(Plain):
    """Takes an OSError of a seal for one of its own."""

    def ask(self, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
        try:
            return super().ask(seal, number, previous)
        except OSError as error:
            raise StoreError(None, "save", "the disk failed") from error


@caught_by("a_seal_is_given_the_newest_state_whole")
class PreviousCutShort(Plain):
    """Gives a seal the first 4096 bytes of the previous state."""

    def ask(self, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
        start = previous[:4096] if isinstance(previous, bytes) else previous
        return super().ask(seal, number, start)


@caught_by("a_seal_is_given_the_newest_state_whole")
class PreviousOfTheRemoved(Plain):
    """Gives a seal the last state, removed or not."""

    def ask(self, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
        if previous is None and number > 1:
            previous = b"removed"
        return super().ask(seal, number, previous)


@caught_by("a_buffer_that_went_in_belongs_to_nobody", "seals_of_a_batch_may_share_a_buffer")
class BuffersKept(Memory):
    """Keeps the buffer that a seal returned."""

    def ask(self, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
        return seal(number, previous)

    def measure(self, key: str, data: bytes) -> None:
        super().measure(key, bytes(data))

    def entry(self, number: int, data: bytes | Damaged) -> Entry:
        return super().entry(number, data if isinstance(data, Damaged) else bytes(data))

    def cut(self, data: bytes, limit: int | None) -> bytes:
        return bytes(data)[:limit]


@caught_by(
    "a_batch_of_many_keys_is_saved",
    "a_buffer_that_went_in_belongs_to_nobody",
    "what_came_out_belongs_to_nobody",
    "what_is_none_of_our_errors_passes_through_a_batch",
    "what_was_given_to_keep_is_given_back",
)
class BuffersGivenAway(Plain):
    """Gives readers a buffer that they can change."""

    def cut(self, data: bytes, limit: int | None) -> bytes:
        return cast("bytes", bytearray(data[:limit]))


# ----------------------------------------------------------------------------------------- reads


@caught_by(
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "reading_changes_nothing",
    "the_state_saved_last_is_the_newest",
    "until_the_next_save_a_key_set_aside_stays_damaged",
)
class ReadThatWrites(Plain):
    """Saves when the time of the last read is noted."""

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        data = super().read(key, generation, limit)
        if generation is None and limit is None:
            super().write(key, lambda _generation, _previous: data)
        return data


@caught_by("reading_changes_nothing", "remove_takes_the_key_with_all_its_generations", broad=True)
class ReadThatCreates(Plain):
    """Makes a key by looking for it, as a defaultdict does."""

    def box(self, state: State, key: str) -> Box:
        return state.setdefault(self.name(key), Box())

    def history(self, key: str) -> tuple[Entry, ...]:
        shown = super().history(key)
        state = self.load()
        self.box(state, key)
        with self.locked():
            self.save(state)
        return shown

    def present(self) -> list[str]:
        names = [name for name in self.load() if name.startswith(self.prefix)]
        return [key for name in names if "/" not in (key := name.removeprefix(self.prefix))]


@caught_by(
    "a_limit_gives_the_start",
    "a_state_beyond_max_bytes_is_not_read",
    "older_generations_are_read_as_they_were_saved",
    "reading_changes_nothing",
)
class LimitIgnored(Plain):
    """Gives all of it, whatever the limit."""

    def cut(self, data: bytes, limit: int | None) -> bytes:
        return data


@caught_by("a_limit_gives_the_start", "older_generations_are_read_as_they_were_saved")
class LimitZeroIgnored(Plain):
    """Takes a limit of 0 for none."""

    def cut(self, data: bytes, limit: int | None) -> bytes:
        return data[: limit or None]


@caught_by("the_state_saved_last_is_the_newest", broad=True)
class OlderIsNewest(Plain):
    """Reads the oldest generation that it has."""

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        shown = self.history(key)
        if generation is None and shown:
            generation = shown[-1].generation
        return super().read(key, generation, limit)


# ---------------------------------------------------------------------------------------- limits


@caught_by(
    "a_key_of_a_batch_fails_by_itself",
    "a_scope_takes_as_much_as_its_store",
    "a_state_beyond_max_bytes_is_not_read",
    "after_an_error_the_key_can_be_saved",
    "an_atomic_batch_saves_none_where_one_fails",
    "more_than_max_bytes_is_not_saved",
)
class NoLimit(Plain):
    """Takes more than max_bytes."""

    def measure(self, key: str, data: bytes) -> None:
        pass


@caught_by("a_state_beyond_max_bytes_is_not_read")
class LimitWrittenAlone(Plain):
    """Gives more than max_bytes."""

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        return super().read(key, generation, 2**70 if limit is None else limit)


@caught_by("a_state_beyond_max_bytes_is_not_read")
class LimitOfTheNewest(Plain):
    """Measures the newest generation, whichever is read."""

    def read(self, key: str, generation: int | None = None, limit: int | None = None) -> bytes:
        if generation is not None and limit is None and self.history(key):
            self.measure(key, bytes(self.history(key)[0].size))
        return super().read(key, generation, limit)


@caught_by(
    "a_key_of_a_batch_fails_by_itself",
    "a_scope_takes_as_much_as_its_store",
    "a_state_beyond_max_bytes_is_not_read",
    "as_much_as_max_bytes_is_saved",
    "more_than_max_bytes_is_not_saved",
)
class OneByteLess(Plain):
    """Takes max_bytes less one."""

    def measure(self, key: str, data: bytes) -> None:
        super().measure(key, data + b"x" if data else data)


@caught_by("more_than_max_bytes_is_not_saved")
class ItemsCounted(Plain):
    """Counts the items of a buffer and not its bytes."""

    def ask(self, seal: Seal, number: int, previous: bytes | Damaged | None) -> bytes:
        sealed = seal(number, previous)
        if len(sealed) <= self.max_bytes < len(bytes(sealed)):
            return bytes(sealed)[: len(sealed)]
        return bytes(sealed)


# --------------------------------------------------------------------------------------- removes


@caught_by("what_was_removed_does_not_come_back")
class Resurrection(Plain):
    """Hides what is removed, and shows it again behind a new state."""

    def place(self, state: State, key: str, number: int, data: bytes) -> Entry:
        hidden = state.pop(f"{self.name(key)}/hidden", Box())
        box = state.setdefault(self.name(key), Box())
        box.kept = hidden.kept | box.kept
        return super().place(state, key, number, data)

    def remove(self, key: str, *, expected: Expected = None) -> None:
        state = self.load()
        super().remove(key, expected=expected)
        after = self.load()
        if self.box(state, key).kept:
            after[f"{self.name(key)}/hidden"] = self.box(state, key)
            with self.locked():
                self.save(after)


@caught_by(
    "a_key_may_have_one_character_or_250_and_any_of_the_grammar",
    "a_seal_is_given_the_newest_state_whole",
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "a_state_beyond_max_bytes_is_not_read",
    "keys_do_not_touch_one_another",
    "remove_compares_the_expectation",
    "remove_takes_pinned_generations_with_the_key",
    "remove_takes_the_key_with_all_its_generations",
    "what_was_removed_does_not_come_back",
)
class RemoveOfTheNewest(Plain):
    """Removes the newest generation alone."""

    def clear(self, box: Box) -> None:
        if box.kept:
            box.kept.popitem()


@caught_by("reading_changes_nothing", "remove_of_an_absent_key_is_no_error")
class RemoveOfTheAbsent(Plain):
    """Takes it for an error to remove what is absent."""

    def remove(self, key: str, *, expected: Expected = None) -> None:
        if expected is None and not self.history(key):
            raise CheckpointNotFoundError(key)
        super().remove(key, expected=expected)


# --------------------------------------------------------------------------------------- batches


@caught_by("an_empty_batch_saves_nothing")
class BatchOfAtLeastOne(Plain):
    """Takes an empty batch for an error."""

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        if self.closed or items or atomic:
            return super().write_many(items, atomic=atomic)
        raise StoreError(None, "save", "there is nothing to save")


@caught_by("a_key_of_a_batch_fails_by_itself", "an_atomic_batch_saves_none_where_one_fails")
class BatchSpoiled(Plain):
    """Fails a whole batch for one key."""

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        result = super().write_many(items, atomic=atomic)
        for error in result.failed.values():
            raise error
        return result


@caught_by("a_key_of_a_batch_fails_by_itself", "an_atomic_batch_saves_none_where_one_fails")
class BatchWithHoles(Plain):
    """Says nothing of the keys that failed."""

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        return super().write_many(items, atomic=atomic)._replace(failed={})


@caught_by(
    "an_atomic_batch_saves_none_where_a_seal_raises",
    "what_is_none_of_our_errors_passes_through_a_batch",
)
class BatchGathersAll(Plain):
    """Gathers errors that are none of ours."""

    def prepare_many(
        self, state: State, items: Mapping[str, Seal]
    ) -> tuple[dict[str, tuple[int, bytes]], dict[str, CheckpointError]]:
        ready: dict[str, tuple[int, bytes]] = {}
        failed: dict[str, CheckpointError] = {}
        for key, seal in items.items():
            try:
                ready[key] = self.prepare(state, key, seal, None)
            except CheckpointError as error:
                failed[key] = error
            except Exception as error:
                failed[key] = StoreError(key, "save", str(error))
        return ready, failed


@caught_by(
    "a_wrong_key_in_a_batch_raises_before_anything_is_saved",
    "what_is_no_key_is_refused_by_every_method",
)
class BatchKeysCheckedLate(Plain):
    """Checks each key of a batch when its turn comes."""

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        if atomic or not items:
            return super().write_many(items, atomic=atomic)
        saved: dict[str, Entry] = {}
        failed: dict[str, CheckpointError] = {}
        for key, seal in items.items():
            result = super().write_many({key: seal})
            saved |= result.saved
            failed |= result.failed
        return BatchResult(saved, failed)


@caught_by("an_atomic_batch_saves_none_where_one_fails")
class BatchInPart(Plain):
    """Declares atomic_many, and saves what it can."""

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        return super().write_many(items)


# -------------------------------------------------------------------------------------- features


@caught_by("features_and_limits_are_what_they_are_declared_to_be")
class UnknownFeature(Plain):
    """Declares what nobody knows."""

    features = ALL | cast("frozenset[Feature]", {"encryption"})


@caught_by(
    "an_atomic_batch_saves_all_keys_or_is_refused",
    "an_atomic_batch_saves_none_where_a_seal_raises",
    "an_atomic_batch_saves_none_where_one_fails",
)
class UndeclaredBatch(Bare):
    """Declares no atomic_many, and takes atomic=True for a hint."""

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        return super().write_many(items)


@caught_by(
    "history_gives_the_newest_and_the_older_ones_after_it",
    "older_generations_are_read_as_they_were_saved",
    "what_history_leaves_out_is_not_found",
)
class UndeclaredHistory(Bare):
    """Declares no history, and has one."""

    older = 1


@caught_by(
    "a_scope_has_keys_of_its_own_or_is_refused",
    "a_scope_is_there_when_the_store_is_opened_again",
    "a_scope_takes_as_much_as_its_store",
    "a_scope_that_was_closed_is_there_again",
    "after_close_every_method_raises_store_error",
)
class UndeclaredScopes(Bare):
    """Declares no scopes, and gives one."""

    def scope(self, name: str) -> Self:
        return self


@caught_by("another_revision_is_not_set_aside", "set_aside_takes_the_newest_out_or_is_refused")
class UndeclaredEvidence(Bare):
    """Declares no set_aside, and has one."""

    def set_aside(self, key: str, revision: str) -> str:
        self.must_be_open("set aside")
        return "nowhere"


@caught_by(
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "another_process_shares_the_store_or_is_kept_apart",
    needs_others=True,
)
class UndeclaredSharing(Plain):
    """Declares nothing of other openings, and lets them in."""

    features = ALL - {"durable", "shared"}


@caught_by(
    "a_scope_has_keys_of_its_own_or_is_refused",
    "a_scope_is_there_when_the_store_is_opened_again",
    "a_scope_takes_as_much_as_its_store",
    "a_scope_that_was_closed_is_there_again",
)
class MissingScopes(Plain):
    """Declares scopes, and has none."""

    def within(self, name: str) -> Self:
        raise StoreError(None, "scope", "not yet")


@caught_by(
    "a_scope_has_keys_of_its_own_or_is_refused",
    "a_scope_is_there_when_the_store_is_opened_again",
)
class ScopeSharingKeys(Plain):
    """Gives itself for a scope."""

    def within(self, name: str) -> Self:
        return type(self)(self.path, self.max_bytes, self.prefix)


@caught_by(
    "a_batch_goes_on_from_what_was_set_aside",
    "an_empty_state_is_set_aside_like_any_other",
    "set_aside_takes_the_newest_out_or_is_refused",
    "until_the_next_save_a_key_set_aside_stays_damaged",
    "what_is_set_aside_is_not_pinned_any_more",
)
class EvidenceLeavesTheOlder(Plain):
    """Sets the newest aside, and shows the older one as the newest."""

    def set_aside(self, key: str, revision: str) -> str:
        where = super().set_aside(key, revision)
        with self.locked():
            state = self.load()
            self.box(state, key).kept.popitem()
            self.save(state)
        return where


@caught_by("an_empty_state_is_set_aside_like_any_other")
class EvidenceLooksEmpty(Plain):
    """Makes a revision of number and size, and has no other one for what was set aside."""

    def entry(self, number: int, data: bytes | Damaged) -> Entry:
        size = 0 if isinstance(data, Damaged) else len(data)
        return Entry(number, f"{number}, {size} bytes", size)


@caught_by(
    "an_empty_state_is_set_aside_like_any_other",
    "another_revision_is_not_set_aside",
)
class EvidenceOfAnyRevision(Plain):
    """Sets aside whatever is the newest by now."""

    def set_aside(self, key: str, revision: str) -> str:
        shown = self.history(key)
        if not shown:
            raise ConflictError(key, None, None)
        return super().set_aside(key, shown[0].revision)


@caught_by("remove_works_on_damaged_checkpoints")
class DamageStays(Plain):
    """Cannot remove what is damaged."""

    def remove(self, key: str, *, expected: Expected = None) -> None:
        if self.history(key)[:1] and self.history(key)[0].size == 0:
            try:
                self.read(key)
            except CorruptCheckpointError as error:
                raise StoreError(key, "remove", error.reason) from error
        super().remove(key, expected=expected)


# ------------------------------------------------------------------------------------------ pins


@caught_by("pinned_generations_do_not_count_in_the_history")
class PinThatIsCounted(Plain):
    """Counts what is pinned among the older generations that it keeps."""

    def prune(self, box: Box) -> None:
        super().prune(box)
        loose = [n for n in box.kept if n not in box.pinned and n != box.newest]
        for oldest in loose if box.pinned else ():
            del box.kept[oldest]


@caught_by(
    "a_batch_keeps_what_is_pinned",
    "an_unpinned_generation_is_one_of_the_older_ones_again",
    "another_opening_sees_the_pins_and_keeps_to_them",
    "pinned_generations_are_kept_or_pins_are_refused",
    "pinned_generations_do_not_count_in_the_history",
    "pins_are_there_when_the_store_is_opened_again",
    "what_is_set_aside_is_not_pinned_any_more",
)
class PinLostAtTheSecondSave(Plain):
    """Keeps what is pinned while it is the one before the newest."""

    def prune(self, box: Box) -> None:
        box.pinned &= set(list(box.kept)[-2:])
        super().prune(box)


@caught_by(
    "an_unpinned_generation_is_one_of_the_older_ones_again",
    "pins_are_there_when_the_store_is_opened_again",
)
class UnpinDeletesAnother(Plain):
    """Lets all of a key's pins go with the one that is named, and deletes what they kept."""

    def unpin(self, key: str, generation: int) -> None:
        super().unpin(key, generation)
        with self.locked():
            state = self.load()
            box = self.box(state, key)
            box.pinned.clear()
            self.prune(box)
            self.save(state)


@caught_by("an_unpinned_newest_generation_stays_the_newest", "pinning_is_done_once_and_undone_once")
class UnpinDeletesTheNewest(Plain):
    """Deletes whatever is unpinned."""

    def unpin(self, key: str, generation: int) -> None:
        super().unpin(key, generation)
        with self.locked():
            state = self.load()
            self.box(state, key).kept.pop(generation, None)
            self.save(state)


@caught_by("pinned_generations_are_kept_or_pins_are_refused")
class UndeclaredPins(Plain):
    """Takes pins, and does not say so."""

    features = ALL - {"pins"}


@caught_by("pinning_is_done_once_and_undone_once")
class CountedPins(Plain):
    """Wants to be unpinned as often as it was pinned."""

    def pin(self, key: str, generation: int) -> None:
        again = any(entry.pinned for entry in self.history(key) if entry.generation == generation)
        super().pin(key, generation)
        self.locks = getattr(self, "locks", 0) + again

    def unpin(self, key: str, generation: int) -> None:
        if getattr(self, "locks", 0):
            self.locks -= 1
        else:
            super().unpin(key, generation)


@caught_by("pinning_is_done_once_and_undone_once")
class UnpinOfNothing(Plain):
    """Cannot unpin what is not pinned."""

    def unpin(self, key: str, generation: int) -> None:
        if not any(e.pinned for e in self.history(key) if e.generation == generation):
            raise CheckpointNotFoundError(key, generation)
        super().unpin(key, generation)


@caught_by("remove_takes_pinned_generations_with_the_key", "what_is_not_there_cannot_be_pinned")
class PinOfAnything(Plain):
    """Notes a pin for whatever number it is given."""

    def pin(self, key: str, generation: int) -> None:
        try:
            super().pin(key, generation)
        except CheckpointNotFoundError:
            self.must_be_open("pin")


@caught_by(
    "a_pin_is_of_one_key_alone",
    "an_unpinned_generation_is_one_of_the_older_ones_again",
    "pinned_generations_do_not_count_in_the_history",
)
class PinsByNumber(Plain):
    """Keeps one list of pinned numbers for all keys."""

    def pin(self, key: str, generation: int) -> None:
        super().pin(key, generation)
        with self.locked():
            state = self.load()
            for box in state.values():
                box.pinned.add(generation)
            self.save(state)

    def place(self, state: State, key: str, number: int, data: bytes) -> Entry:
        everywhere = set().union(*(box.pinned for box in state.values()))
        state.setdefault(self.name(key), Box()).pinned |= everywhere
        return super().place(state, key, number, data)


@caught_by("remove_takes_pinned_generations_with_the_key")
class RemoveSparesThePinned(Plain):
    """Removes what is not pinned."""

    def clear(self, box: Box) -> None:
        for number in set(box.kept) - box.pinned:
            del box.kept[number]


@caught_by("a_batch_keeps_what_is_pinned")
class BatchPrunesThePinned(Plain):
    """Looks at no pin where several keys are saved."""

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        result = super().write_many(items, atomic=atomic)
        with self.locked():
            state = self.load()
            for key in result.saved:
                box = self.box(state, key)
                box.pinned.clear()
                self.prune(box)
            self.save(state)
        return result


@caught_by(
    "another_opening_sees_the_pins_and_keeps_to_them",
    "pins_are_there_when_the_store_is_opened_again",
)
class PinsOfOneOpening(Plain):
    """Keeps its pins beside the states, where nobody else sees them."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.pins: dict[str, set[int]] = {}

    def load(self) -> State:
        state = super().load()
        for name, box in state.items():
            box.pinned = self.pins.get(name, set())
        return state

    def save(self, state: State) -> None:
        self.pins = {name: set(box.pinned) for name, box in state.items()}
        super().save(state)


@caught_by("what_is_set_aside_is_not_pinned_any_more")
class EvidenceStaysPinned(Plain):
    """Pins what is damaged."""

    def set_aside(self, key: str, revision: str) -> str:
        pinned = {entry.generation for entry in self.history(key) if entry.pinned}
        where = super().set_aside(key, revision)
        with self.locked():
            state = self.load()
            self.box(state, key).pinned |= pinned
            self.save(state)
        return where


# --------------------------------------------------------------------------------------- closing


@caught_by(
    "a_second_opening_shares_the_store_or_is_kept_apart",
    "after_close_every_method_raises_store_error",
)
class CloseOnce(Plain):
    """Cannot be closed twice."""

    def close(self) -> None:
        self.must_be_open("close")
        super().close()


@caught_by("after_close_every_method_raises_store_error")
class NeverClosed(Plain):
    """Goes on when it is closed."""

    def close(self) -> None:
        pass


@caught_by("stores_of_other_names_have_keys_of_their_own")
class OneForAllNames(Plain):
    """Opens the same store by any name: a mistake of the fixture, not of the store."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path.with_name(path.name.partition("-")[0]), max_bytes, prefix)


@caught_by("a_scope_that_was_closed_is_there_again")
class ScopeClosedForGood(Memory):
    """Gives a scope that was closed once more, as it is."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.scopes: dict[str, Self] = {}

    def within(self, name: str) -> Self:
        return self.scopes.setdefault(name, super().within(name))


@caught_by("a_scope_takes_as_much_as_its_store")
class ScopeWithoutLimit(Plain):
    """Has the limit in its name alone where a scope is concerned."""

    def measure(self, key: str, data: bytes) -> None:
        if not self.prefix:
            super().measure(key, data)


@caught_by(
    "a_scope_has_keys_of_its_own_or_is_refused",
    "a_scope_that_was_closed_is_there_again",
)
class ScopeClosesTheStore(Memory):
    """Closes all with one of its scopes."""

    def __init__(self, path: Path, max_bytes: int, prefix: str = "") -> None:
        super().__init__(path, max_bytes, prefix)
        self.outer: ScopeClosesTheStore | None = None

    def within(self, name: str) -> Self:
        scope = super().within(name)
        scope.outer = self
        return scope

    def close(self) -> None:
        super().close()
        if self.outer is not None:
            self.outer.close()
