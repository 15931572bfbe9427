"""The manager: every method, every rule, in memory and in files."""

from __future__ import annotations

import logging
import pickle
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import pytest
from attrs import evolve, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import (
    ABSENT,
    BatchError,
    Checkpoint,
    CheckpointError,
    CheckpointManager,
    CheckpointNotFoundError,
    CheckpointTooLargeError,
    ConflictError,
    CorruptCheckpointError,
    EncodeError,
    FileStore,
    InvalidKeyError,
    MemoryStore,
    ReadOnlyError,
    Recovery,
    Report,
    Schema,
    Store,
    StoreError,
    VersionTooNewError,
    WrongKindError,
)
from checkpointkit.envelope import open_envelope
from checkpointkit.migrating import MigrationReport
from checkpointkit.schema import Json
from tests.support.states import NOW, raw, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "s3cret-t0ken"


@frozen
class Pod:
    uid: str
    devices: tuple[str, ...] = ()
    restarts: int = 0


@frozen
class BiggerPod(Pod):
    extra: str = ""


@dataclass
class Lease:
    holder: str
    seconds: float


class Point(NamedTuple):
    x: int
    y: int


class Movie(TypedDict):
    title: str
    year: int | None


class Key(StrEnum):
    A = "a"


class OldKey(str, Enum):  # noqa: UP042 - this older way has another `str`
    A = "a"


PODS = Schema(Pod, kind="example.com/pod", version=2, migrations={1: lambda old: old})
OLD_PODS = Schema(Pod, kind="example.com/pod", version=1)
NEW_PODS = Schema(Pod, kind="example.com/pod", version=3)
NUMBERS = Schema(dict[str, int], kind="example.com/number", version=1)


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, quick: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(history=5)
    else:
        with FileStore(quick / "store", durability="none", history=5) as made:
            yield made


@pytest.fixture
def pods(store: Store) -> CheckpointManager[Pod]:
    return CheckpointManager(store, PODS)


def states(store: Store) -> dict[tuple[str, int], bytes | str]:
    """Return all that a store holds, good or bad."""
    found: dict[tuple[str, int], bytes | str] = {}
    for key in store.keys():
        for entry in store.history(key):
            found[key, entry.generation] = store.read(key, entry.generation)
    return found


def damage(store: Store, key: str = "a") -> None:
    """Save something as the newest generation that nobody has sealed."""
    store.write(key, lambda generation, previous: f"{SECRET} {generation}".encode())


def made_by(schema: Schema[Any], value: object, key: str, generation: int) -> bytes:
    """Return what another release would store as this generation of a key."""
    manager: CheckpointManager[Any] = CheckpointManager(MemoryStore(), schema)
    for _ in range(generation):
        manager.create(key, value)
    return manager.store.read(key)


class NoStore:
    """A store that must not be touched."""

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"the store was asked for {name}")


def no_store() -> Any:
    return NoStore()


class Acting:
    """A store that does something ahead of the first call of a method."""

    def __init__(self, store: Store, method: str, *acts: Callable[[], object]) -> None:
        self._store = store
        self._method = method
        self._acts = list(acts)

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self._acts:
            self._acts.pop(0)()
        return getattr(self._store, name)


def acting(store: Store, method: str, *acts: Callable[[], object]) -> Any:
    return Acting(store, method, *acts)


# --------------------------------------------------------------------------------------- create


def test_what_create_acknowledges_get_returns(pods: CheckpointManager[Pod]) -> None:
    value = Pod("7f3e", ("gpu0", "gpu1"), 3)
    info = pods.create("a", value)
    assert pods.get("a") == value
    assert type(pods.get("a")) is Pod
    assert (info.key, info.generation, info.kind, info.schema_version, info.problem) == (
        "a",
        1,
        "example.com/pod",
        2,
        None,
    )
    stored = pods.store.read("a")
    assert info.size == len(stored)
    assert stored.startswith(f"checkpointkit/1 {info.digest}\n".encode())
    assert info.created_at.utcoffset() == timedelta(0)
    assert timedelta(0) <= datetime.now(UTC) - info.created_at < timedelta(minutes=1)


def test_create_replaces_and_the_generation_grows(pods: CheckpointManager[Pod]) -> None:
    infos = [pods.create("a", Pod(str(n))) for n in range(3)]
    assert [info.generation for info in infos] == [1, 2, 3]
    assert pods.get("a") == Pod("2")
    assert pods.get("a", generation=2) == Pod("1")


def test_an_older_state_of_the_same_kind_is_replaced(store: Store) -> None:
    CheckpointManager(store, OLD_PODS).create("a", Pod("1"))
    assert CheckpointManager(store, PODS).create("a", Pod("2")).schema_version == 2


def test_expected_is_a_compare_and_swap(pods: CheckpointManager[Pod]) -> None:
    first = pods.create("a", Pod("1"), expected=ABSENT)
    second = pods.create("a", Pod("2"), expected=first.generation)
    for expected, known in ((first.generation, first.generation), (99, 99), (ABSENT, None)):
        with pytest.raises(ConflictError) as caught:
            pods.create("a", Pod("3"), expected=expected)
        assert vars(caught.value) == {"key": "a", "expected": known, "actual": second.generation}
    with pytest.raises(ConflictError) as caught:
        pods.create("b", Pod("3"), expected=1)
    assert vars(caught.value) == {"key": "b", "expected": 1, "actual": None}
    assert pods.get("a") == Pod("2")
    assert pods.list() == ("a",)


@pytest.mark.parametrize("expected", [True, 1.0, "1", b"1", (1,), "absent"])
def test_an_expectation_of_a_wrong_type_is_refused_before_any_io(expected: Any) -> None:
    pods = CheckpointManager(no_store(), PODS)
    with pytest.raises(TypeError, match=f"not {type(expected).__name__}"):
        pods.create("a", Pod("1"), expected=expected)
    with pytest.raises(TypeError, match=f"not {type(expected).__name__}"):
        pods.remove("a", expected=expected)


WRONG = [
    BiggerPod("1"),
    Lease("1", 2.0),
    {"uid": "1"},
    None,
    Pod("1", ["gpu0"]),  # type: ignore[arg-type]
    Pod("1", ("gpu0", 7)),  # type: ignore[arg-type]
    Pod("1", (), restarts=True),
    Pod("1", (), 1.0),  # type: ignore[arg-type]
    Pod("\ud800"),
    Pod(b"1"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("value", WRONG, ids=ascii)
def test_a_value_that_does_not_fit_is_refused_before_any_io_and_the_error_has_the_key(
    value: Any,
) -> None:
    pods = CheckpointManager(no_store(), PODS)
    with pytest.raises(EncodeError) as one:
        pods.create("a", value)
    with pytest.raises(EncodeError) as many:
        pods.create_many({"b": Pod("1"), "a": value})
    for error in (one.value, many.value):
        assert error.key == "a"
        assert error.problems
        assert error.__context__ is None


@pytest.mark.parametrize("depth", [199, 200, 5000])
def test_the_depth_of_a_state_has_a_bound(store: Store, depth: int) -> None:
    manager = CheckpointManager(store, Schema(dict[str, Json], kind="example.com/json", version=1))
    deep: Any = 0
    for _ in range(depth):
        deep = [deep]
    if depth == 199:
        manager.create("a", {"x": deep})
        assert manager.get("a") == {"x": deep}
    else:
        with pytest.raises(EncodeError, match="checkpoint 'a' cannot be encoded: nested"):
            manager.create("a", {"x": deep})
        assert manager.list() == ()


BAD_KEYS = ["", "../a", "a/b", "a\n", ".a", "k" * 251, "é", None, 7, b"a"]


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key)[:8])
def test_a_wrong_key_is_refused_by_every_method_before_any_io(key: Any) -> None:
    pods = CheckpointManager(no_store(), PODS)
    for act in (
        lambda: pods.create(key, Pod("1")),
        lambda: pods.create_many({"a": Pod("1"), key: Pod("2")}),
        lambda: pods.get(key),
        lambda: pods.get(key, default=None),
        lambda: pods.load(key),
        lambda: pods.remove(key),
        lambda: pods.update(key, lambda pod: pod),
        lambda: pods.history(key),
        lambda: pods.rollback(key, 1),
        lambda: pods.recover(key),
        lambda: pods.verify([key]),
        lambda: pods.migrate([key]),
    ):
        with pytest.raises(InvalidKeyError):
            act()


@pytest.mark.parametrize("key", [Key.A, OldKey.A])
def test_a_member_of_an_enum_is_the_key_of_its_value(
    pods: CheckpointManager[Pod], key: str
) -> None:
    infos = [pods.create(key, Pod("1")), *pods.create_many({key: Pod("2")})]
    infos += [pods.update(key, lambda pod: evolve(pod, uid="3")).info, pods.rollback(key, 1)]
    pods.create("a", pods.get(key))
    assert pods.get("a") == Pod("1")
    assert open_envelope(pods.store.read("a"), "a").header.key == "a"
    for text in (*pods.list(), *(info.key for info in infos), pods.history(key)[0].key):
        assert (type(text), text) == (str, "a")
    assert pods.verify([key]).ok
    assert pods.recover(key) == Recovery("a")
    pods.remove(key)
    assert pods.list() == ()


def test_a_state_larger_than_the_store_takes_is_refused(quick: Path) -> None:
    for store in (MemoryStore(max_bytes=1000), FileStore(quick / "s", max_bytes=1000)):
        pods = CheckpointManager(store, PODS)
        pods.create("a", Pod("1"))
        before = states(store)
        with pytest.raises(CheckpointTooLargeError) as caught:
            pods.create("a", Pod("x" * 1000))
        assert (caught.value.key, caught.value.limit) == ("a", 1000)
        assert states(store) == before
        store.close()


@pytest.mark.parametrize("expected", [None, 2, 1, ABSENT])
def test_a_damaged_state_is_never_replaced(
    pods: CheckpointManager[Pod], store: Store, expected: Any
) -> None:
    pods.create("a", Pod("1"))
    damage(store)
    before = states(store)
    for act in (
        lambda: pods.create("a", Pod("2"), expected=expected),
        lambda: pods.update("a", lambda pod: pod),
        lambda: pods.rollback("a", 1),
    ):
        with pytest.raises(CorruptCheckpointError):
            act()
    with pytest.raises(BatchError) as caught:
        pods.create_many({"a": Pod("2")})
    assert isinstance(caught.value.failed["a"], CorruptCheckpointError)
    assert states(store) == before


texts = st.text(st.characters(codec="utf-8"), max_size=10)
values: list[tuple[Schema[Any], st.SearchStrategy[Any]]] = [
    (PODS, st.builds(Pod, texts, st.lists(texts, max_size=3).map(tuple), st.integers())),
    (
        Schema(Lease, kind="example.com/lease", version=1),
        st.builds(Lease, texts, st.floats(allow_nan=False, allow_infinity=False)),
    ),
    (
        Schema(Movie, kind="example.com/movie", version=1),
        st.fixed_dictionaries({"title": texts, "year": st.none() | st.integers()}),
    ),
    (Schema(Point, kind="example.com/point", version=1), st.builds(Point, *[st.integers()] * 2)),
    (NUMBERS, st.dictionaries(texts, st.integers(), max_size=12)),
    (
        Schema(dict[str, list[Lease]], kind="example.com/leases", version=1),
        st.dictionaries(
            texts,
            st.lists(
                st.builds(Lease, st.sampled_from([":8080", ":", "", "{}", "a b"]), st.just(0.5))
            ),
            max_size=4,
        ),
    ),
]


@given(st.sampled_from(values).flatmap(lambda both: st.tuples(st.just(both[0]), both[1])))
def test_whatever_create_acknowledges_get_returns_equal(both: tuple[Schema[Any], Any]) -> None:
    schema, value = both
    manager: CheckpointManager[Any] = CheckpointManager(MemoryStore(), schema)
    manager.create("a", value)
    back = manager.get("a")
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value) or isinstance(value, dict)
    again = manager.create("b", back)
    first, second = (open_envelope(manager.store.read(key), key).payload for key in "ab")
    assert first == second
    assert manager.load("b").info == again


# ---------------------------------------------------------------------------------- create_many


def test_many_are_saved_in_the_order_that_was_given(pods: CheckpointManager[Pod]) -> None:
    pods.create("m", Pod("0"))
    names = ["z", "a", "m", "b"]
    infos = pods.create_many({name: Pod(name) for name in names})
    assert [info.key for info in infos] == names
    assert [info.generation for info in infos] == [1, 1, 2, 1]
    assert {name: pods.get(name) for name in names} == {name: Pod(name) for name in names}
    assert infos == tuple(pods.load(name).info for name in names)
    assert pods.create_many({}) == ()


@pytest.mark.parametrize("wrong", [{"b": 7}, {"/": Pod("1")}, {7: Pod("1")}])
def test_nothing_of_a_batch_is_saved_when_one_value_or_key_is_wrong(
    pods: CheckpointManager[Pod], wrong: dict[Any, Any]
) -> None:
    with pytest.raises((EncodeError, InvalidKeyError)):
        pods.create_many({"a": Pod("1")} | wrong | {"c": Pod("3")})
    assert pods.list() == ()


def test_a_batch_that_is_saved_in_part_tells_what_is_saved_and_what_is_not(
    pods: CheckpointManager[Pod], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    damage(store, "b")
    CheckpointManager(store, NUMBERS).create("c", {"n": 1})
    before = states(store)
    with pytest.raises(BatchError) as caught:
        pods.create_many({key: Pod(key) for key in "dcba"})
    error = caught.value
    assert list(error.saved) == ["d", "a"]
    assert error.saved == {key: pods.load(key).info for key in "da"}
    assert {key: type(each) for key, each in error.failed.items()} == {
        "c": WrongKindError,
        "b": CorruptCheckpointError,
    }
    again = pickle.loads(pickle.dumps(error))
    assert (again.saved, str(again)) == (error.saved, str(error))
    assert {key: vars(each) for key, each in again.failed.items()} == {
        key: vars(each) for key, each in error.failed.items()
    }
    assert {at: data for at, data in states(store).items() if at[0] in "bc"} == before
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # of the damaged one


# -------------------------------------------------------------------------------------- get, load


def test_a_default_stands_for_absence(pods: CheckpointManager[Pod]) -> None:
    with pytest.raises(CheckpointNotFoundError) as caught:
        pods.get("a")
    assert vars(caught.value) == {"key": "a", "generation": None}
    for default in (None, 0, Pod("x"), ABSENT):
        assert pods.get("a", default=default) is default
    pods.create("a", Pod("1"))
    assert pods.get("a", default=None) == Pod("1")


def test_a_default_never_stands_for_anything_else(
    pods: CheckpointManager[Pod], store: Store
) -> None:
    damage(store, "damaged")
    CheckpointManager(store, NUMBERS).create("kind", {"n": 1})
    CheckpointManager(store, NEW_PODS).create("newer", Pod("1"))
    wanted = {
        "damaged": CorruptCheckpointError,
        "kind": WrongKindError,
        "newer": VersionTooNewError,
    }
    for key, error in wanted.items():
        with pytest.raises(error):
            pods.get(key, default=None)
    store.close()
    with pytest.raises(StoreError):
        pods.get("absent", default=None)


def test_a_default_does_not_stand_for_a_generation(pods: CheckpointManager[Pod]) -> None:
    pods.create("a", Pod("1"))
    with pytest.raises(TypeError):
        pods.get("a", generation=9, default=None)  # type: ignore[call-overload]


def test_each_kept_generation_can_be_read(pods: CheckpointManager[Pod]) -> None:
    for n in range(3):
        pods.create("a", Pod(str(n)))
    assert [pods.get("a", generation=n) for n in (1, 2, 3)] == [Pod("0"), Pod("1"), Pod("2")]
    assert pods.load("a", generation=2) == Checkpoint(Pod("1"), pods.history("a")[1])
    for read in (pods.get, pods.load):
        with pytest.raises(CheckpointNotFoundError) as caught:
            read("a", generation=4)
        assert vars(caught.value) == {"key": "a", "generation": 4}


@pytest.mark.parametrize("generation", [True, 1.0, "1", ABSENT])
def test_a_generation_is_an_int(generation: Any) -> None:
    pods = CheckpointManager(no_store(), PODS)
    for act in (pods.get, pods.load):
        with pytest.raises(TypeError, match=f"not {type(generation).__name__}"):
            act("a", generation=generation)
    for wrong in (generation, None):
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
            pods.rollback("a", wrong)  # type: ignore[arg-type]


def test_load_gives_what_a_compare_and_swap_needs_in_one_read(
    pods: CheckpointManager[Pod],
) -> None:
    info = pods.create("a", Pod("1"))
    assert pods.load("a") == Checkpoint(Pod("1"), info)
    pods.create("a", Pod("2"), expected=pods.load("a").info.generation)
    with pytest.raises(ConflictError):
        pods.create("a", Pod("3"), expected=info.generation)


def test_reading_writes_nothing_whatever_is_there(quick: Path) -> None:
    with FileStore(quick / "store", durability="none") as store:
        old = CheckpointManager(store, OLD_PODS)
        old.create_many({"a": Pod("1"), "b": Pod("2")})
        old.create("a", Pod("3"))
        damage(store, "c")
        pods = CheckpointManager(store, PODS)
        before = tree(quick)
        assert pods.get("a") == Pod("3")  # migrated on the way
        assert pods.get("a", generation=1) == Pod("1")
        assert pods.load("b").value == Pod("2")
        assert pods.get("d", default=None) is None
        with pytest.raises(CorruptCheckpointError):
            pods.get("c")
        assert pods.list() == ("a", "b", "c")
        assert len(pods.history("a")) == 2
        assert len(pods.verify().problems) == 1
        assert pods.recover("a") == Recovery("a")
        assert tree(quick) == before


def test_on_a_read_only_store_reading_works_and_nothing_else(quick: Path) -> None:
    with FileStore(quick / "store", durability="none") as store:
        CheckpointManager(store, PODS).create("a", Pod("1"))
        CheckpointManager(store, PODS).create("a", Pod("2"))
        damage(store, "b")
    before = tree(quick)
    with FileStore(quick / "store", read_only=True) as store:
        pods = CheckpointManager(store, PODS)
        assert pods.get("a") == Pod("2")
        assert len(pods.verify().problems) == 1
        for act in (
            lambda: pods.create("a", Pod("3")),
            lambda: pods.create_many({"a": Pod("3")}),
            lambda: pods.update("a", lambda pod: pod),
            lambda: pods.remove("a"),
            lambda: pods.rollback("a", 1),
        ):
            with pytest.raises(ReadOnlyError):
                act()
    assert tree(quick) == before


# ---------------------------------------------------------------------------------- list, remove


def test_list_gives_the_sorted_keys_with_a_prefix(pods: CheckpointManager[Pod]) -> None:
    assert pods.list() == ()
    pods.create_many({key: Pod(key) for key in ["node-b", "a", "node-a", "Z", "node"]})
    assert pods.list() == ("Z", "a", "node", "node-a", "node-b")
    assert pods.list(prefix="node-") == ("node-a", "node-b")
    assert pods.list(prefix="node-b") == ("node-b",)
    for prefix in ("x", "../", "/", "NODE"):
        assert pods.list(prefix=prefix) == ()


def test_list_decodes_nothing(pods: CheckpointManager[Pod], store: Store) -> None:
    damage(store, "bad")
    CheckpointManager(store, NUMBERS).create("other", {})
    assert pods.list() == ("bad", "other")


def test_remove_takes_all_generations_and_an_absent_key_is_no_error(
    pods: CheckpointManager[Pod],
) -> None:
    pods.create("a", Pod("1"))
    pods.create("a", Pod("2"))
    pods.remove("a")
    pods.remove("a")
    assert pods.list() == ()
    assert pods.history("a") == ()
    assert pods.get("a", default=None) is None
    assert pods.create("a", Pod("3")).generation > 2  # no number is used twice


def test_remove_compares_the_generation(pods: CheckpointManager[Pod]) -> None:
    info = pods.create("a", Pod("1"))
    with pytest.raises(ConflictError):
        pods.remove("a", expected=info.generation + 1)
    with pytest.raises(ConflictError):
        pods.remove("a", expected=ABSENT)
    assert pods.get("a") == Pod("1")
    pods.remove("a", expected=info.generation)
    pods.remove("a", expected=ABSENT)
    with pytest.raises(ConflictError):
        pods.remove("a", expected=info.generation)


def test_remove_clears_whatever_is_there(pods: CheckpointManager[Pod], store: Store) -> None:
    damage(store)
    CheckpointManager(store, NUMBERS).create("b", {})
    CheckpointManager(store, NEW_PODS).create("c", Pod("1"))
    for key in "abc":
        pods.remove(key)
    assert pods.list() == ()


# --------------------------------------------------------------------------------------- update


def restart(pod: Pod) -> Pod:
    return evolve(pod, restarts=pod.restarts + 1)


def test_update_saves_what_change_returns(pods: CheckpointManager[Pod]) -> None:
    pods.create("a", Pod("1"))
    result = pods.update("a", restart)
    assert result == Checkpoint(Pod("1", (), 1), pods.load("a").info)
    assert result.info.generation == 2


def test_update_tries_again_with_the_new_state_when_it_lost(store: Store) -> None:
    pods = CheckpointManager(store, PODS)
    pods.create("a", Pod("1"))
    seen = []

    def change(pod: Pod) -> Pod:
        seen.append(pod.restarts)
        if len(seen) <= 3:  # somebody else is quicker, three times
            pods.create("a", evolve(pod, restarts=pod.restarts + 10))
        return restart(pod)

    result = pods.update("a", change)
    assert seen == [0, 10, 20, 30]
    assert (result.value.restarts, pods.get("a").restarts) == (31, 31)
    assert result.info == pods.load("a").info


def test_update_of_an_absent_key_is_not_found_also_when_it_goes_meanwhile(
    pods: CheckpointManager[Pod],
) -> None:
    with pytest.raises(CheckpointNotFoundError):
        pods.update("a", restart)
    pods.create("a", Pod("1"))

    def change(pod: Pod) -> Pod:
        pods.remove("a")
        return pod

    with pytest.raises(CheckpointNotFoundError):
        pods.update("a", change)
    assert pods.list() == ()


def test_a_conflict_inside_of_change_is_the_caller_s_own(pods: CheckpointManager[Pod]) -> None:
    pods.create("a", Pod("1"))
    calls = []

    def change(pod: Pod) -> Pod:
        calls.append(pod)
        assert len(calls) == 1  # taken for a lost race, it would go on for ever
        pods.create("b", pod, expected=99)
        return pod

    with pytest.raises(ConflictError) as caught:
        pods.update("a", change)
    assert (caught.value.key, len(calls)) == ("b", 1)


def test_when_change_raises_the_state_stays(pods: CheckpointManager[Pod], store: Store) -> None:
    pods.create("a", Pod("1"))
    before = states(store)
    for error in (KeyError("x"), KeyboardInterrupt()):

        def change(pod: Pod, error: BaseException = error) -> Pod:
            raise error

        with pytest.raises(type(error)) as caught:
            pods.update("a", change)
        assert caught.value is error
    with pytest.raises(EncodeError, match="checkpoint 'a'"):
        pods.update("a", lambda pod: None)  # type: ignore[arg-type,return-value]
    assert states(store) == before


def test_no_lock_is_held_while_change_runs(quick: Path) -> None:
    with FileStore(quick / "store", durability="none", lock_timeout=0.0) as store:
        pods = CheckpointManager(store, PODS)
        pods.create("a", Pod("1"))

        def change(pod: Pod) -> Pod:
            pods.create("b", pod)
            pods.remove("b")
            return restart(pod)

        assert pods.update("a", change).value.restarts == 1


def test_eight_threads_update_one_counter_and_nothing_is_lost(store: Store) -> None:
    counters = CheckpointManager(store, NUMBERS)
    counters.create("a", {"n": 0})
    start = threading.Barrier(8)
    problems: list[BaseException] = []

    def work() -> None:
        try:
            start.wait()
            for _ in range(15):
                counters.update("a", lambda old: {"n": old["n"] + 1})
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert counters.get("a") == {"n": 120}
    assert counters.load("a").info.generation == 121


# ---------------------------------------------------------------------- history, rollback, recover


def test_history_tells_of_every_kept_generation(store: Store) -> None:
    pods = CheckpointManager(store, PODS)
    infos = [pods.create("a", Pod(str(n))) for n in range(3)]
    damage(store)
    found = pods.history("a")
    assert found[1:] == tuple(reversed(infos))
    assert (found[0].generation, found[0].problem) == (4, "line 1 is no envelope's")


def test_history_needs_no_schema_that_fits(store: Store) -> None:
    info = CheckpointManager(store, NUMBERS).create("a", {"n": 1})
    assert CheckpointManager(store, PODS).history("a") == (info,)


def test_rollback_saves_the_older_payload_byte_for_byte(
    pods: CheckpointManager[Pod], store: Store
) -> None:
    pods.create("a", Pod("1"))
    pods.create("a", Pod("2"))
    info = pods.rollback("a", 1)
    assert info.generation == 3
    assert pods.load("a") == Checkpoint(Pod("1"), info)
    newest, oldest = (open_envelope(store.read("a", n), "a").payload for n in (3, 1))
    assert newest == oldest


def test_rollback_to_an_older_schema_version_keeps_it(store: Store) -> None:
    CheckpointManager(store, OLD_PODS).create("a", Pod("1"))
    pods = CheckpointManager(store, PODS)
    pods.create("a", Pod("2"))
    assert pods.rollback("a", 1).schema_version == 1
    assert pods.get("a") == Pod("1")
    header = open_envelope(store.read("a"), "a").header
    assert (header.schema_version, header.fingerprint) == (1, OLD_PODS.fingerprint)


def test_rollback_is_the_way_of_an_older_release_over_a_newer_one_s_state(store: Store) -> None:
    pods = CheckpointManager(store, PODS)
    pods.create("a", Pod("1"))
    store.write("a", lambda generation, previous: made_by(NEW_PODS, Pod("newer"), "a", generation))
    with pytest.raises(VersionTooNewError):
        pods.create("a", Pod("3"))
    with pytest.raises(VersionTooNewError):
        pods.rollback("a", 2)  # to the newer one: it cannot be read
    assert pods.rollback("a", 1).generation == 3
    assert pods.get("a") == Pod("1")


def test_rollback_is_refused_where_it_cannot_be_read_or_is_of_another_kind(
    pods: CheckpointManager[Pod], store: Store
) -> None:
    pods.create("a", Pod("1"))
    with pytest.raises(CheckpointNotFoundError):
        pods.rollback("a", 7)
    with pytest.raises(CheckpointNotFoundError):
        pods.rollback("b", 1)
    CheckpointManager(store, NUMBERS).create("n", {"n": 1})
    with pytest.raises(WrongKindError):
        pods.rollback("n", 1)
    pods.create("k", Pod("1"))
    store.write("k", lambda generation, previous: made_by(NUMBERS, {}, "k", generation))
    with pytest.raises(WrongKindError):
        pods.rollback("k", 1)
    damage(store)
    before = states(store)
    for generation in (1, 2):
        with pytest.raises(CorruptCheckpointError):
            pods.rollback("a", generation)
    assert states(store) == before


def test_recover_goes_on_from_the_newest_good_generation(
    pods: CheckpointManager[Pod], store: Store
) -> None:
    pods.create("a", Pod("1"))
    pods.create("a", Pod("2"))
    damage(store)
    recovery = pods.recover("a")
    assert (recovery.key, recovery.restored_from) == ("a", 2)
    assert recovery.problem == "line 1 is no envelope's"
    loaded = pods.load("a")
    assert (loaded.value, loaded.info) == (Pod("2"), recovery.info)
    assert pods.recover("a") == Recovery("a")
    pods.create("a", Pod("3"))
    assert pods.get("a") == Pod("3")


def test_nothing_but_damage_is_recovered_from(pods: CheckpointManager[Pod], store: Store) -> None:
    pods.create("newer", Pod("1"))
    store.write(
        "newer", lambda generation, previous: made_by(NEW_PODS, Pod("newer"), "newer", generation)
    )
    CheckpointManager(store, NUMBERS).create("kind", {"n": 1})
    before = states(store)
    assert pods.recover("newer") == Recovery("newer")
    assert pods.recover("kind") == Recovery("kind")
    assert states(store) == before
    with pytest.raises(CheckpointNotFoundError):
        pods.recover("absent")


# ------------------------------------------------------------------------------- verify, migrate


def test_verify_reads_every_generation_and_decodes_the_newest(store: Store) -> None:
    CheckpointManager(store, OLD_PODS).create("a", Pod("1"))
    pods = CheckpointManager(store, PODS)
    pods.create("a", Pod("2"))
    CheckpointManager(store, NUMBERS).create("k", {"n": 1})
    damage(store, "z")
    before = states(store)
    told: list[tuple[int, int]] = []
    report = pods.verify(progress=lambda done, total: told.append((done, total)))
    assert (report.checked, report.changed, report.ok) == (4, (), False)
    assert [(p.key, p.generation, type(p.error)) for p in report.problems] == [
        ("k", 1, WrongKindError),
        ("z", 1, CorruptCheckpointError),
    ]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert pods.verify(["a"]) == Report(2)
    assert pods.verify(iter(["a"])) == Report(2)
    assert states(store) == before


def test_one_key_is_no_list_of_keys() -> None:
    pods = CheckpointManager(no_store(), PODS)
    with pytest.raises(TypeError):
        pods.verify("abc")
    with pytest.raises(TypeError):
        pods.migrate("abc")


def test_migrate_saves_older_versions_anew_and_leaves_the_rest(store: Store) -> None:
    old = CheckpointManager(store, OLD_PODS)
    old.create_many({"a": Pod("1"), "c": Pod("3")})
    pods = CheckpointManager(store, PODS)
    pods.create("b", Pod("2"))
    CheckpointManager(store, NUMBERS).create("k", {"n": 1})
    CheckpointManager(store, NEW_PODS).create("n", Pod("4"))
    damage(store, "z")
    before = states(store)
    told: list[tuple[int, int]] = []
    report = pods.migrate(progress=lambda done, total: told.append((done, total)))
    assert (report.checked, report.changed, report.ok) == (6, ("a", "c"), False)
    assert [(p.key, type(p.error)) for p in report.problems] == [
        ("k", WrongKindError),
        ("n", VersionTooNewError),
        ("z", CorruptCheckpointError),
    ]
    assert told == [(n, 6) for n in range(1, 7)]
    after = states(store)
    assert after.keys() - before.keys() == {("a", 2), ("c", 2)}
    assert {at: after[at] for at in before} == before
    assert (pods.load("a").info.schema_version, pods.get("a")) == (2, Pod("1"))
    again = pods.migrate(["a", "b", "absent"])
    assert again == MigrationReport(3, versions={2: 2})


def test_a_save_while_migrating_is_not_undone(store: Store) -> None:
    CheckpointManager(store, OLD_PODS).create("a", Pod("1"))
    direct = CheckpointManager(store, PODS)
    for act, changed, uid in (
        (lambda: direct.create("a", Pod("2")), (), "2"),
        (lambda: CheckpointManager(store, OLD_PODS).create("a", Pod("3")), ("a",), "3"),
    ):
        direct.remove("a")
        CheckpointManager(store, OLD_PODS).create("a", Pod("1"))
        pods = CheckpointManager(acting(store, "write", act), PODS)
        assert pods.migrate().changed == changed
        assert direct.get("a") == Pod(uid)


def test_a_key_that_goes_while_migrating_is_no_problem(store: Store) -> None:
    CheckpointManager(store, OLD_PODS).create("a", Pod("1"))
    pods = CheckpointManager(acting(store, "write", lambda: store.remove("a")), PODS)
    assert pods.migrate() == MigrationReport(1)
    assert store.keys() == ()


# -------------------------------------------------------------------------------- clock, logging


def test_the_clock_tells_the_time_of_each_save(store: Store) -> None:
    times = [NOW + timedelta(seconds=n) for n in range(9)]
    clock = iter(times)
    pods = CheckpointManager(store, PODS, clock=lambda: next(clock))
    assert pods.create("a", Pod("1")).created_at == times[0]
    assert pods.create_many({"b": Pod("1")})[0].created_at == times[1]
    assert pods.update("a", restart).info.created_at == times[2]
    assert pods.rollback("a", 1).created_at == times[3]
    damage(store)
    recovered = pods.recover("a").info
    assert recovered is not None
    assert recovered.created_at == times[4]
    assert [pods.load(key).info.created_at for key in "ab"] == [times[4], times[1]]


def test_a_time_is_given_back_in_utc(store: Store) -> None:
    zone = timezone(timedelta(hours=-9, minutes=-30))
    pods = CheckpointManager(store, PODS, clock=lambda: datetime(2026, 1, 1, tzinfo=zone))
    assert pods.create("a", Pod("1")).created_at.isoformat() == "2026-01-01T09:30:00+00:00"


def test_a_clock_that_runs_backwards_changes_no_order(store: Store) -> None:
    times = iter([NOW, NOW - timedelta(days=400)])
    pods = CheckpointManager(store, PODS, clock=lambda: next(times))
    pods.create("a", Pod("1"))
    pods.create("a", Pod("2"))
    assert [info.generation for info in pods.history("a")] == [2, 1]
    assert pods.get("a") == Pod("2")


def test_a_naive_clock_is_refused_and_nothing_is_saved(
    pods: CheckpointManager[Pod], store: Store
) -> None:
    pods.create("a", Pod("1"))
    before = states(store)
    naive = CheckpointManager(store, PODS, clock=lambda: datetime(2026, 1, 1))
    for act in (
        lambda: naive.create("a", Pod("2")),
        lambda: naive.create("b", Pod("2")),
        lambda: naive.create_many({"b": Pod("2")}),
        lambda: naive.update("a", restart),
        lambda: naive.rollback("a", 1),
    ):
        with pytest.raises(ValueError, match="aware"):
            act()
    assert states(store) == before


def test_the_package_installs_no_handler() -> None:
    logger = logging.getLogger("checkpointkit")
    assert logger.handlers == []
    assert logger.level == logging.NOTSET
    assert logger.propagate


def test_damage_and_what_is_done_about_it_is_logged_and_never_a_payload(
    pods: CheckpointManager[Pod], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pods.create("a", Pod(SECRET))
    pods.create("a", Pod(SECRET, (SECRET,)))
    pods.rollback("a", 1)
    damage(store)
    acts: list[Callable[[], object]] = [
        lambda: pods.get("a"),
        lambda: pods.load("a"),
        lambda: pods.create("a", Pod(SECRET)),
        lambda: pods.create_many({"a": Pod(SECRET)}),
        lambda: pods.rollback("a", 1),
    ]
    for act in acts:
        caplog.clear()
        with pytest.raises(CheckpointError):
            act()
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("checkpointkit", logging.WARNING)
        assert "checkpoint 'a', generation 4 is corrupt" in record.getMessage() or (
            "checkpoint 'a' is corrupt" in record.getMessage()
        )
        assert SECRET not in record.getMessage() + repr(record.args)
    caplog.clear()
    pods.recover("a")
    (record,) = caplog.records
    assert "recovered from generation 3" in record.getMessage()
    assert SECRET not in record.getMessage() + repr(record.args)


def test_a_good_life_is_silent(
    pods: CheckpointManager[Pod], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pods.create("a", Pod("1"))
    pods.update("a", restart)
    pods.get("a")
    pods.get("b", default=None)
    pods.verify()
    pods.migrate()
    pods.remove("a")
    assert caplog.records == []


# ------------------------------------------------------------------------------------- the rest


def test_the_manager_tells_its_store_and_its_schema(store: Store) -> None:
    pods = CheckpointManager(store, PODS)
    assert pods.store is store
    assert pods.schema is PODS


def test_scopes_keep_types_apart(store: Store) -> None:
    pods = CheckpointManager(store.scope("pods"), PODS)
    numbers = CheckpointManager(store.scope("numbers"), NUMBERS)
    pods.create("a", Pod("1"))
    numbers.create("a", {"n": 1})
    assert (pods.get("a"), numbers.get("a")) == (Pod("1"), {"n": 1})
    assert store.keys() == ()
    for manager in (pods, numbers):
        manager.store.close()


def test_a_value_that_changes_after_create_does_not_change_what_is_saved(store: Store) -> None:
    numbers = CheckpointManager(store, NUMBERS)
    value = {"n": 1}
    numbers.create("a", value)
    value["n"] = 2
    assert numbers.get("a") == {"n": 1}
    numbers.get("a")["n"] = 3
    assert numbers.get("a") == {"n": 1}


def test_bytes_that_somebody_else_wrote_in_our_envelope_are_still_checked(store: Store) -> None:
    """`raw` bytes that are no envelope at all: corruption, whatever they look like."""
    pods = CheckpointManager(store, PODS)
    for data in (b"", b"{}", b'{"uid":"1","devices":[],"restarts":0}', b"checkpointkit/1"):
        store.write("a", raw(data))
        with pytest.raises(CorruptCheckpointError):
            pods.get("a")


class TwoFaced:
    """Equal to everything; a default must be compared by identity."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_any_object_can_be_a_default(pods: CheckpointManager[Pod]) -> None:
    default = TwoFaced()
    assert pods.get("a", default=default) is default


@frozen
class Late:
    moment: datetime
    tags: frozenset[str] = field(factory=frozenset)


@given(st.sets(texts, max_size=6), st.datetimes().map(lambda m: m.replace(tzinfo=UTC, fold=0)))
def test_equal_values_give_equal_bytes(tags: set[str], moment: datetime) -> None:
    manager = CheckpointManager(
        MemoryStore(),
        Schema(Late, kind="example.com/late", version=1),
        clock=lambda: NOW,
    )
    digests = []
    for order in (sorted(tags), sorted(tags, reverse=True)):
        info = manager.create("a", Late(moment, frozenset(order)))
        digests.append(open_envelope(manager.store.read("a"), "a").header.payload_sha256)
        assert info.created_at == NOW
    assert digests[0] == digests[1]
