"""Records: history, verify, recover and rollback, without any class."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit.envelope import (
    HEADER_LIMIT,
    Envelope,
    encode_payload,
    make_header,
    seal_envelope,
)
from checkpointkit.errors import (
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    EnvelopeVersionError,
    StoreError,
    WrongKindError,
)
from checkpointkit.records import (
    CheckpointInfo,
    Problem,
    Recovery,
    Report,
    State,
    StateSeal,
    history,
    info_of,
    info_of_record,
    read_record,
    recover,
    rollback,
    verify,
)
from checkpointkit.stores.base import Damaged, Store
from checkpointkit.stores.files.store import FileStore
from checkpointkit.stores.memory import MemoryStore
from tests.support.states import NOW, generations, number_of, raw, sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATER = NOW + timedelta(days=1)
UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_LINE = 88


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, quick: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(history=5)
    else:
        with FileStore(quick / "store", durability="none", history=5) as made:
            yield made


class Acting:
    """A store that does something ahead of a call: what another process may do just then.

    Args:
        store: The store; all that is not planned goes through to it.
        plan: What to do ahead of the n-th call of a method, counted from 1.
    """

    def __init__(
        self,
        store: Store,
        plan: dict[tuple[str, int], Callable[[], object]],
        features: set[str] | None = None,
    ) -> None:
        self._store = store
        self._plan = plan
        self._features = features
        self.calls: defaultdict[str, int] = defaultdict(int)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name == "features" and self._features is not None:
            return frozenset(self._features)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            act = self._plan.pop((name, self.calls[name]), None)
            if act is not None:
                act()
            return found(*arguments, **options)

        return call

    @property
    def done(self) -> bool:
        """Whether all of the plan took place."""
        return not self._plan


def acting(
    store: Store,
    plan: dict[tuple[str, int], Callable[[], object]],
    features: set[str] | None = None,
) -> Any:
    """Return the store with a plan; `Any`, for a stand-in is no `Store` to a type checker."""
    return Acting(store, plan, features)


def raising(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


def save(store: Store, *numbers: int, key: str = "a") -> None:
    for number in numbers:
        store.write(key, sealed(key, number))


def save_bad(store: Store, number: int, key: str = "a", damage: str = "payload") -> bytes:
    """Save an envelope that does not verify, as the newest generation; return its bytes."""

    def seal(generation: int, previous: bytes | Damaged | None) -> bytes:
        good = sealed(key, number).seal(generation, None)
        return {
            "payload": good[:-2] + b"!}",
            "cut": good[:-5],
            "header": good.replace(b"example.com/", b"example.org/"),
            "empty": b"",
            "nul": bytes(len(good)),
        }[damage]

    store.write(key, seal)
    return store.read(key)


def save_newer_format(store: Store, key: str = "a") -> bytes:
    """Save an intact envelope of version 2, as the newest generation; return its bytes."""
    line_2 = b'{"who":"knows"}\n'
    digest = sha256(b"checkpointkit/2\n" + line_2).hexdigest().encode()
    store.write(key, raw(b"checkpointkit/2 sha256:%b\n%b???" % (digest, line_2)))
    return store.read(key)


def state_of(store: Store, key: str = "a") -> dict[int, bytes]:
    """Return the bytes of each generation that can be read."""
    return {number: store.read(key, number) for number in generations(store, key)}


# ---------------------------------------------------------------------------------------- infos


def test_an_info_tells_what_the_header_says(store: Store) -> None:
    save(store, 1)
    entry = store.write("a", sealed("a", 2))
    record = read_record(store, "a")
    info = info_of_record(record)
    assert info == CheckpointInfo(
        key="a",
        generation=2,
        kind="example.com/number",
        schema_version=1,
        created_at=NOW,
        size=entry.size,
        digest=f"sha256:{record.digest}",
        problem=None,
    )
    assert info == info_of(store.read("a", limit=HEADER_LIMIT), "a")
    assert info.created_at.tzinfo is not None
    assert record.header.previous == read_record(store, "a", 1).digest


def test_an_info_needs_no_payload_but_a_good_header(store: Store) -> None:
    bad = save_bad(store, 1)
    assert info_of(bad, "a").generation == 1
    with pytest.raises(CorruptCheckpointError, match="digest"):
        info_of(save_bad(store, 2, damage="header"), "a")


def test_a_date_that_does_not_exist_is_unknown_and_no_corruption(store: Store) -> None:
    payload = encode_payload({"n": 1})
    header = make_header(
        key="a",
        kind="example.com/number",
        schema_version=1,
        fingerprint="fp1:0",
        generation=1,
        created_at="2026-02-31T00:00:00.000000Z",
        previous=None,
        payload=payload,
    )
    store.write("a", raw(seal_envelope(header, payload)[0]))
    (info,) = history(store, "a")
    assert (info.created_at, info.problem) == (UNKNOWN, None)


def test_a_record_of_another_generation_is_corrupt(store: Store) -> None:
    save(store, 1)
    store.write("a", raw(store.read("a")))  # the bytes of generation 1 under the number 2
    with pytest.raises(CorruptCheckpointError, match="it holds generation 1"):
        read_record(store, "a", 2)


def test_a_seal_refuses_to_replace_what_is_damaged(store: Store) -> None:
    save_bad(store, 1)
    before = state_of(store)
    with pytest.raises(CorruptCheckpointError) as caught:
        save(store, 2)
    assert caught.value.generation == 1
    assert state_of(store) == before


def test_a_seal_refuses_to_replace_what_cannot_even_be_read() -> None:
    with pytest.raises(CorruptCheckpointError) as caught:
        sealed("a", 1)(2, Damaged("it is a link"))
    assert (caught.value.generation, caught.value.reason) == (None, "it is a link")


def test_a_seal_asks_its_check_about_the_present_record(store: Store) -> None:
    save(store, 1)
    seen: list[Envelope] = []
    state = State.of(read_record(store, "a"))
    seal = StateSeal("a", state, LATER, seen.append)
    store.write("a", seal)
    assert [record.header.generation for record in seen] == [1]
    assert seal.info() == info_of_record(read_record(store, "a"))
    assert seal.info().created_at == LATER


# -------------------------------------------------------------------------------------- history


def test_the_history_is_newest_first_with_all_that_is_known(store: Store) -> None:
    save(store, 1, 2, 3)
    found = history(store, "a")
    assert [info.generation for info in found] == [3, 2, 1]
    assert found == tuple(info_of_record(read_record(store, "a", n)) for n in (3, 2, 1))


def test_an_absent_key_has_no_history(store: Store) -> None:
    assert history(store, "a") == ()


@pytest.mark.parametrize("damage", ["payload", "cut"])
def test_a_bad_payload_leaves_what_the_header_says(store: Store, damage: str) -> None:
    save(store, 1)
    bad = save_bad(store, 2, damage=damage)
    newest, oldest = history(store, "a")
    assert oldest.problem is None
    assert newest.problem is not None
    assert newest.problem.startswith("the payload ")
    assert (newest.generation, newest.kind, newest.schema_version, newest.created_at) == (
        2,
        "example.com/number",
        1,
        NOW,
    )
    assert newest.size == len(bad)  # what is stored, not what was promised
    assert newest.digest.encode() in bad


@pytest.mark.parametrize("damage", ["header", "nul", "empty"])
def test_a_bad_header_leaves_the_number_and_the_size(store: Store, damage: str) -> None:
    save(store, 1)
    bad = save_bad(store, 2, damage=damage)
    newest, _ = history(store, "a")
    assert newest.problem is not None
    assert newest == CheckpointInfo("a", 2, "", 0, UNKNOWN, len(bad), "", newest.problem)


def test_a_file_in_another_one_s_place_keeps_its_place_in_the_history(store: Store) -> None:
    save(store, 1)
    store.write("a", raw(store.read("a")))
    newest, oldest = history(store, "a")
    assert (newest.generation, newest.problem) == (2, "it holds generation 1")
    assert (oldest.generation, oldest.problem) == (1, None)


def test_a_newer_envelope_in_the_history_is_a_problem_in_words(store: Store) -> None:
    bad = save_newer_format(store)
    (info,) = history(store, "a")
    assert info.problem is not None
    assert "upgrade checkpointkit" in info.problem
    assert (info.generation, info.kind, info.size) == (1, "", len(bad))


def test_what_is_too_large_to_read_is_in_the_history_with_its_header(quick: Path) -> None:
    with FileStore(quick / "store", durability="none") as large:
        size = large.write("a", sealed("a", 1, pad=10_000)).size
    with FileStore(quick / "store", durability="none", max_bytes=1000) as small:
        (info,) = history(small, "a")
        assert (info.size, info.kind, info.generation) == (size, "example.com/number", 1)
        assert info.problem is not None
        assert "max_bytes" in info.problem


def test_what_is_pruned_while_the_history_is_read_is_left_out(store: Store) -> None:
    save(store, 1, 2)

    def prune() -> None:
        store.remove("a")
        save(store, 3)

    assert history(acting(store, {("read", 1): prune}), "a") == ()


def test_damage_that_goes_while_the_history_is_read_still_is_told(store: Store) -> None:
    bad = save_bad(store, 1)
    (info,) = history(acting(store, {("read", 2): lambda: store.remove("a")}), "a")
    assert (info.generation, info.kind, info.size) == (1, "", len(bad))


def test_disk_trouble_is_no_damage(store: Store) -> None:
    save(store, 1)
    trouble = StoreError("a", "read", "Input/output error")
    for act in (history, read_record):
        with pytest.raises(StoreError) as caught:
            act(acting(store, {("read", 1): raising(trouble)}), "a")
        assert caught.value is trouble


# --------------------------------------------------------------------------------------- verify


def test_a_good_store_verifies(store: Store) -> None:
    save(store, 1, 2, 3)
    save(store, 1, key="b")
    report = verify(store)
    assert report == Report(checked=4)
    assert report.ok


def test_an_empty_store_verifies(store: Store) -> None:
    assert verify(store) == Report(0)


def test_every_bad_generation_is_found_also_an_older_one(store: Store) -> None:
    save(store, 1)
    save_bad(store, 2)
    store.write("a", raw(sealed("a", 3).seal(3, None)))
    save_bad(store, 1, key="b", damage="empty")
    save(store, 1, key="c")
    report = verify(store)
    assert not report.ok
    assert report.checked == 5
    assert [(p.key, p.generation, type(p.error)) for p in report.problems] == [
        ("a", 2, CorruptCheckpointError),
        ("b", 1, CorruptCheckpointError),
    ]


def test_only_the_keys_that_were_asked_for_are_read(store: Store) -> None:
    save(store, 1)
    save_bad(store, 1, key="b")
    assert verify(store, ["a"]) == Report(1)
    assert verify(store, iter(["a", "a"])) == Report(2)
    assert not verify(store, ["b"]).ok


def test_an_absent_key_that_was_asked_for_is_a_problem(store: Store) -> None:
    (problem,) = verify(store, ["a"]).problems
    assert (problem.key, problem.generation) == ("a", None)
    assert isinstance(problem.error, CheckpointNotFoundError)


def test_progress_is_told_after_each_key(store: Store) -> None:
    for key in ("a", "b", "c"):
        save(store, 1, 2, key=key)
    told: list[tuple[int, int]] = []
    verify(store, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_check_is_asked_about_the_newest_of_each_key_alone(store: Store) -> None:
    save(store, 1, 2)
    save(store, 1, key="b")
    seen = []
    verify(store, check=lambda key, record: seen.append((key, record.header.generation)))
    assert seen == [("a", 2), ("b", 1)]


def test_what_the_check_raises_is_a_problem(store: Store) -> None:
    save(store, 1, 2)
    error = WrongKindError("a", "b", "c")

    def check(key: str, record: object) -> None:
        raise error

    assert verify(store, check=check) == Report(2, (), (Problem("a", 2, error),))


def test_an_older_generation_is_never_checked_as_the_newest(store: Store) -> None:
    save(store, 1, 2)
    seen: list[int] = []
    gone = CheckpointNotFoundError("a", 2)
    report = verify(
        acting(store, {("read", 1): raising(gone)}),
        check=lambda key, record: seen.append(record.header.generation),
    )
    assert (seen, report) == ([], Report(1))


@pytest.mark.parametrize("method", ["read", "history"])
def test_disk_trouble_with_one_key_is_a_problem_and_the_others_are_read(
    store: Store, method: str
) -> None:
    save(store, 1)
    save(store, 1, key="b")
    trouble = StoreError("a", method, "Input/output error")
    report = verify(acting(store, {(method, 1): raising(trouble)}))
    assert [(p.key, p.error) for p in report.problems] == [("a", trouble)]
    assert report.checked >= 1


def test_trouble_with_the_store_as_a_whole_is_raised(store: Store) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        verify(store)


# -------------------------------------------------------------------------------------- recover


def test_a_good_key_needs_no_recovery(store: Store) -> None:
    save(store, 1)
    save_bad(store, 2, key="b")
    save(store, 3, key="c")
    before = state_of(store)
    assert recover(store, "a", LATER) == Recovery("a")
    assert state_of(store) == before


@pytest.mark.parametrize("damage", ["payload", "cut", "header", "empty", "nul"])
def test_recovery_goes_on_from_the_newest_good_generation(
    store: Store, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(store, 1, 2)
    good = read_record(store, "a")
    bad = save_bad(store, 3, damage=damage)
    with pytest.raises(CorruptCheckpointError) as caught:
        read_record(store, "a")

    recovery = recover(store, "a", LATER)

    new = read_record(store, "a")
    assert recovery.info == info_of_record(new)
    assert (recovery.key, recovery.problem, recovery.restored_from) == (
        "a",
        caught.value.reason,
        2,
    )
    assert new.payload == good.payload
    assert new.header.generation > 3
    assert new.header.previous == good.digest
    assert recovery.info.created_at == LATER
    assert number_of(store, "a", 2) == 2
    assert [info.problem for info in history(store, "a")] == [None] * len(history(store, "a"))
    assert caplog.record_tuples == [
        (
            "checkpointkit",
            logging.WARNING,
            f"checkpoint 'a': {recovery.problem}; recovered from generation 2",
        )
    ]
    if isinstance(store, FileStore):
        assert recovery.evidence is not None
        assert Path(recovery.evidence).read_bytes() == bad
    else:
        assert recovery.evidence == "memory, item 1 of the evidence"
    assert recover(store, "a", LATER) == Recovery("a")


def test_recovery_skips_older_generations_that_are_bad_or_too_new(store: Store) -> None:
    save(store, 1)
    save_bad(store, 2)
    save_newer_format(store)
    save_bad(store, 4)
    recovery = recover(store, "a", LATER)
    assert recovery.restored_from == 1
    assert number_of(store, "a") == 1


def test_recovery_of_an_absent_key_is_not_found(store: Store) -> None:
    with pytest.raises(CheckpointNotFoundError):
        recover(store, "a", LATER)


def test_where_no_generation_is_good_nothing_is_changed(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    save_bad(store, 1)
    save_bad(store, 2, damage="empty")
    before = state_of(store)
    with pytest.raises(CorruptCheckpointError) as caught:
        recover(store, "a", LATER)
    assert vars(caught.value) == {
        "key": "a",
        "generation": 2,
        "reason": "it is empty",
        "recoverable": False,
    }
    assert "recover()" not in str(caught.value)
    assert caught.value.__context__ is None
    assert state_of(store) == before


def test_a_newer_envelope_is_no_damage_and_nothing_is_changed(store: Store) -> None:
    save(store, 1)
    save_newer_format(store)
    before = state_of(store)
    with pytest.raises(EnvelopeVersionError):
        recover(store, "a", LATER)
    assert state_of(store) == before


def test_what_is_too_large_for_this_store_is_no_damage(quick: Path) -> None:
    with FileStore(quick / "store", durability="none") as large:
        save(large, 1)
        large.write("a", sealed("a", 2, pad=10_000))
        before = state_of(large)
        small = FileStore(quick / "store", durability="none", max_bytes=1000)
        with small, pytest.raises(CheckpointTooLargeError):
            recover(small, "a", LATER)
        assert state_of(large) == before
        assert number_of(large, "a") == 2


@pytest.mark.parametrize("damage", ["longer", "nul"])
def test_what_has_grown_too_large_by_damage_is_recovered_from(quick: Path, damage: str) -> None:
    with FileStore(quick / "store", durability="none") as store:
        save(store, 1, 2)
    path = quick / "store" / "a" / "current"
    good = path.read_bytes()
    path.write_bytes(good + bytes(1000) if damage == "longer" else bytes(2000))
    with FileStore(quick / "store", durability="none", max_bytes=1000) as store:
        recovery = recover(store, "a", LATER)
        assert recovery.restored_from == 1
        assert recovery.problem == (
            f"it has {len(good) + 1000} bytes, not {len(good)}"
            if damage == "longer"
            else "it begins with NUL bytes"
        )
        assert number_of(store, "a") == 1


def test_an_older_generation_that_is_too_large_is_no_source(quick: Path) -> None:
    with FileStore(quick / "store", durability="none", history=5) as store:
        save(store, 1)
        store.write("a", sealed("a", 2, pad=10_000))
        save(store, 3)
    (quick / "store" / "a" / "current").write_bytes(b"")
    with FileStore(quick / "store", durability="none", history=5, max_bytes=1000) as store:
        assert recover(store, "a", LATER).restored_from == 1


def test_a_store_that_keeps_no_evidence_is_recovered_all_the_same(store: Store) -> None:
    save(store, 1)
    save_bad(store, 2)
    recovery = recover(acting(store, {}, features={"history"}), "a", LATER)
    assert (recovery.restored_from, recovery.evidence) == (1, None)
    assert recovery.info is not None
    assert recovery.info.generation == 3
    assert number_of(store, "a") == 1
    if isinstance(store, MemoryStore):
        assert generations(store, "a") == [3, 2, 1]


# Somebody else is at the same key: what happens ahead of which call of recover.
SAVED = "saved"
RECOVERED = "recovered"
REMOVED = "removed"


def interfere(store: Store, what: str) -> Callable[[], object]:
    def act() -> None:
        if what == RECOVERED:
            recover(store, "a", NOW)
        else:
            store.remove("a")
            if what == SAVED:
                save(store, 9)

    return act


@pytest.mark.parametrize("what", [SAVED, RECOVERED, REMOVED])
@pytest.mark.parametrize(
    "moment",
    [("read", 1), ("read", 2), ("set_aside", 1), ("history", 2), ("write", 1)],
    ids=lambda moment: f"{moment[0]}-{moment[1]}",
)
def test_a_recovery_that_is_overtaken_begins_again(
    store: Store, moment: tuple[str, int], what: str
) -> None:
    """Whatever another process does in between, nothing of it is undone and no state is lost."""
    save(store, 1, 2)
    save_bad(store, 3)
    other = acting(store, {moment: interfere(store, what)})
    if what == REMOVED:
        with pytest.raises(CheckpointNotFoundError):
            recover(other, "a", LATER)
        assert generations(store, "a") == []
    else:
        assert recover(other, "a", LATER) == Recovery("a")  # good by now: nothing to do
        assert number_of(store, "a") == (9 if what == SAVED else 2)
        assert history(store, "a")[0].created_at == NOW
    assert other.done


def test_a_lost_race_at_the_last_moment_changes_nothing(store: Store) -> None:
    """Between the look at the damage and the save, another process has recovered the key."""
    save(store, 1)
    save_bad(store, 2)
    other = acting(store, {("write", 1): lambda: save_over(store, 7)}, features={"history"})
    assert recover(other, "a", LATER) == Recovery("a")
    assert number_of(store, "a") == 7
    assert other.done


def save_over(store: Store, number: int) -> None:
    store.write("a", raw_sealed(number))


def raw_sealed(number: int) -> Callable[[int, bytes | Damaged | None], bytes]:
    return lambda generation, previous: sealed("a", number).seal(generation, None)


def test_a_key_that_is_removed_at_the_last_moment_stays_removed(store: Store) -> None:
    save(store, 1)
    save_bad(store, 2)
    other = acting(store, {("write", 1): lambda: store.remove("a")})
    with pytest.raises(CheckpointNotFoundError):
        recover(other, "a", LATER)
    assert generations(store, "a") == []


def test_a_newer_release_at_the_last_moment_is_not_overwritten(store: Store) -> None:
    save(store, 1)
    save_bad(store, 2)
    other = acting(store, {("write", 1): lambda: save_newer_format(store)})
    with pytest.raises(EnvelopeVersionError):
        recover(other, "a", LATER)
    assert store.read("a").startswith(b"checkpointkit/2 ")


def test_the_source_may_be_pruned_while_the_bad_file_is_set_aside(store: Store) -> None:
    """The payload is in memory by then: it is saved, and tells where it came from."""
    save(store, 1)
    save_bad(store, 2)
    gone = CheckpointNotFoundError("a", 1)
    recovery = recover(acting(store, {("read", 3): raising(gone)}), "a", LATER)
    assert recovery.restored_from == 1
    assert number_of(store, "a") == 1


def test_disk_trouble_in_a_recovery_is_raised_and_a_second_one_succeeds(store: Store) -> None:
    save(store, 1, 2)
    save_bad(store, 3)
    trouble = StoreError("a", "save", "No space left on device")
    with pytest.raises(StoreError) as caught:
        recover(acting(store, {("write", 1): raising(trouble)}), "a", LATER)
    assert caught.value is trouble
    with pytest.raises(CorruptCheckpointError):  # never silently the older one
        read_record(store, "a")
    assert recover(store, "a", LATER).restored_from == 2
    assert number_of(store, "a") == 2


@pytest.mark.parametrize("call", [("read", 1), ("read", 2), ("history", 1), ("set_aside", 1)])
def test_disk_trouble_on_the_way_is_never_taken_for_damage(
    store: Store, call: tuple[str, int]
) -> None:
    save(store, 1)
    save_bad(store, 2)
    before = state_of(store)
    trouble = StoreError("a", call[0], "Input/output error")
    with pytest.raises(StoreError) as caught:
        recover(acting(store, {call: raising(trouble)}), "a", LATER)
    assert caught.value is trouble
    assert state_of(store) == before


# ------------------------------------------------------------------------------------- rollback


def test_a_rollback_saves_an_older_payload_anew(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    save(store, 1, 2)
    before = state_of(store)
    info = rollback(store, "a", 1, LATER)
    new = read_record(store, "a")
    assert info == info_of_record(new)
    assert (info.generation, info.created_at) == (3, LATER)
    assert new.payload == read_record(store, "a", 1).payload
    assert new.header.previous == read_record(store, "a", 2).digest
    assert {number: store.read("a", number) for number in before} == before
    (record,) = caplog.record_tuples
    assert record == (
        "checkpointkit",
        logging.WARNING,
        "checkpoint 'a': rolled back to generation 1",
    )


def test_a_rollback_goes_over_a_newer_envelope(store: Store) -> None:
    save(store, 1)
    newer = save_newer_format(store)
    rollback(store, "a", 1, LATER)
    record = read_record(store, "a")
    assert record.payload == read_record(store, "a", 1).payload
    assert record.header.previous is not None
    assert record.header.previous.encode() == newer[23:87]


def test_a_rollback_to_or_over_what_is_bad_is_refused(store: Store) -> None:
    save(store, 1)
    save_bad(store, 2)
    before = state_of(store)
    for generation in (1, 2):
        with pytest.raises(CorruptCheckpointError):
            rollback(store, "a", generation, LATER)
    with pytest.raises(CheckpointNotFoundError):
        rollback(store, "a", 3, LATER)
    assert state_of(store) == before


def test_a_rollback_to_another_envelope_version_is_refused(store: Store) -> None:
    save_newer_format(store)
    store.write("a", raw_sealed(2))
    with pytest.raises(EnvelopeVersionError):
        rollback(store, "a", 1, LATER)
    assert number_of(store, "a") == 2


def test_a_rollback_over_another_kind_is_refused(store: Store) -> None:
    save(store, 1)
    state = State("example.com/other", 1, "fp1:0", b"{}")
    store.write("a", StateSeal("a", state, NOW, lambda _: None))
    before = state_of(store)
    with pytest.raises(WrongKindError) as caught:
        rollback(store, "a", 1, LATER)
    assert (caught.value.stored, caught.value.expected) == (
        "example.com/other",
        "example.com/number",
    )
    assert state_of(store) == before


def test_a_conflict_is_not_raised_out_of_a_recovery(store: Store) -> None:
    """A store that reports a lost race three times in a row: recovery tries a fourth time."""
    save(store, 1)
    save_bad(store, 2)
    lost = [raising(ConflictError("a", None, 3)) for _ in range(3)]
    plan = {("write", call): act for call, act in enumerate(lost, 1)}
    other = acting(store, plan, features={"history"})
    assert recover(other, "a", LATER).restored_from == 1
    assert other.calls["write"] == 4
