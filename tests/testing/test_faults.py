"""Stores that fail where they are told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from checkpointkit import ABSENT, CheckpointManager, MemoryStore, Schema
from checkpointkit.errors import (
    CheckpointNotFoundError,
    ConflictError,
    OutcomeUnknownError,
    StoreError,
    StoreUnavailableError,
)
from checkpointkit.testing import FaultyStore
from checkpointkit.testing.faults import Method
from tests.support.states import raw

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = Schema(dict[str, int], kind="example.com/number", version=1)


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def store(inner: MemoryStore) -> FaultyStore:
    return FaultyStore(inner)


def calls_of(store: FaultyStore) -> dict[Method, Callable[[], object]]:
    return {
        "read": lambda: store.read("a"),
        "write": lambda: store.write("a", raw(b"new")),
        "write_many": lambda: store.write_many({"a": raw(b"new")}),
        "keys": store.keys,
        "history": lambda: store.history("a"),
        "set_aside": lambda: store.set_aside("a", store.history("a")[0].revision),
        "pin": lambda: store.pin("a", store.history("a")[0].generation),
        "unpin": lambda: store.unpin("a", 1),
        "remove": lambda: store.remove("a"),
        "scope": lambda: store.scope("devices"),
        "close": store.close,
    }


def test_each_method_of_a_store_can_fail_once_and_changes_nothing(
    store: FaultyStore, inner: MemoryStore
) -> None:
    assert set(calls_of(store)) == set(get_args(Method))
    for method, call in calls_of(store).items():
        inner.write("a", raw(b"old"))
        before = inner.history("a")
        store.fail(method)
        with pytest.raises(StoreUnavailableError) as caught:
            call()
        assert caught.value.operation == method
        keyed = method not in {"write_many", "keys", "scope", "close"}
        assert caught.value.key == ("a" if keyed else None)
        assert inner.history("a") == before
        call()


@pytest.mark.parametrize("method", ["write", "write_many", "set_aside", "pin", "remove"])
def test_a_change_can_take_effect_and_fail_nevertheless(
    store: FaultyStore, inner: MemoryStore, method: Method
) -> None:
    inner.write("a", raw(b"old"))
    before = inner.history("a")
    store.fail(method, after=True)
    with pytest.raises(OutcomeUnknownError):
        calls_of(store)[method]()
    assert inner.history("a") != before


def test_the_error_can_be_chosen(store: FaultyStore) -> None:
    error = ConflictError("a", 1, 2)
    store.fail("write", error)
    with pytest.raises(ConflictError) as caught:
        store.write("a", raw(b"state"))
    assert caught.value is error
    unknown = OutcomeUnknownError("a", "save", "the sync failed")
    store.fail("write", unknown, after=True)
    with pytest.raises(OutcomeUnknownError) as known:
        store.write("a", raw(b"state"))
    assert known.value is unknown
    assert store.read("a") == b"state"


def test_some_later_calls_fail(store: FaultyStore) -> None:
    store.write("a", raw(b"state"))
    store.fail("read", call=2, times=2)
    outcomes = []
    for _ in range(5):
        try:
            outcomes.append(store.read("a"))
        except StoreUnavailableError:
            outcomes.append(b"")
    assert outcomes == [b"state", b"", b"", b"state", b"state"]
    assert store.calls == {"write": 1, "read": 5}


def test_all_later_calls_fail_until_it_is_healed(store: FaultyStore) -> None:
    store.write("a", raw(b"state"))
    store.fail("read", StoreError("a", "read", "gone"), times=None)
    for _ in range(9):
        with pytest.raises(StoreError, match="gone"):
            store.read("a")
    store.heal()
    assert store.read("a") == b"state"
    assert store.calls["read"] == 10


def test_a_scope_shares_the_faults_and_the_counts(store: FaultyStore) -> None:
    scope = store.scope("devices")
    store.fail("write", call=2)
    scope.write("a", raw(b"inner"))
    with pytest.raises(StoreUnavailableError):
        store.write("a", raw(b"outer"))
    store.heal()
    scope.fail("read")
    with pytest.raises(StoreUnavailableError):
        store.read("a")
    with pytest.raises(CheckpointNotFoundError):
        store.read("a")
    assert scope.read("a") == b"inner"
    assert scope.calls == store.calls


def test_faults_of_one_call_happen_in_the_order_in_which_they_were_asked_for(
    store: FaultyStore,
) -> None:
    said: list[str | None] = []
    store.meanwhile("read", lambda key: said.append(f"first {key}"))
    store.meanwhile("read", lambda key: said.append(f"second {key}"), after=True)
    store.fail("read", ConflictError("a", 1, 2), call=2)
    store.meanwhile("read", lambda key: said.append("never"), call=2)
    store.write("a", raw(b"state"))
    assert store.read("a") == b"state"
    with pytest.raises(ConflictError):
        store.read("a")
    assert said == ["first a", "second a"]


def test_an_update_wins_against_others_that_come_in_between(
    store: FaultyStore, inner: MemoryStore
) -> None:
    mine, other = CheckpointManager(store, NUMBERS), CheckpointManager(inner, NUMBERS)
    mine.create("a", {"n": 0}, expected=ABSENT)
    store.meanwhile("write", lambda key: other.update("a", lambda s: {"n": s["n"] + 10}), times=3)
    assert mine.update("a", lambda state: {"n": state["n"] + 1}).value == {"n": 31}
    assert store.calls["write"] == 5


@pytest.mark.parametrize("method", ["read", "keys", "history", "scope", "close"])
def test_what_changes_nothing_cannot_fail_after_its_effect(
    store: FaultyStore, method: Method
) -> None:
    with pytest.raises(ValueError, match="changes nothing"):
        store.fail(method, after=True)


def test_an_error_that_would_break_the_contract_is_refused(store: FaultyStore) -> None:
    with pytest.raises(ValueError, match="after=True"):
        store.fail("write", StoreError("a", "save", "full"), after=True)
    with pytest.raises(ValueError, match="after=True"):
        store.fail("write", OutcomeUnknownError("a", "save", "full"))


def test_what_is_no_method_and_no_call_is_refused(store: FaultyStore) -> None:
    with pytest.raises(ValueError, match="no method 'save'"):
        store.fail("save")  # type: ignore[arg-type]
    for wrong in ({"call": 0}, {"times": 0}):
        with pytest.raises(ValueError, match="1 or more"):
            store.fail("read", **wrong)  # type: ignore[arg-type]
    assert store.features == MemoryStore().features
    assert store.max_bytes == MemoryStore().max_bytes
