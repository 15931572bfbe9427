"""Every system call fails in turn while a store is opened, scoped, swept and closed."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import StoreError
from checkpointkit.records import verify
from checkpointkit.stores.files.layout import stripe_of
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import FailingCalls
from tests.support.calls import ERRORS, check_error, descriptors
from tests.support.states import number_of, sealed, temporaries, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESERVE = 300
STRIPE = f"{stripe_of('a'):02d}"


pytestmark = pytest.mark.usefixtures("settled")


def nothing(directory: Path) -> None:
    """There is no store yet, and no directory for it."""


def begun(directory: Path) -> None:
    """An opening was cut off after it had made a few files."""
    calls = FailingCalls(directory)
    calls.break_at(0, errno.EIO, match="fsync .lock/03")
    with pytest.raises(StoreError):
        FileStore(directory, system=calls)


def filled(directory: Path) -> None:
    """There is a store with a state in it."""
    with FileStore(directory, reserve=RESERVE) as store:
        for n in range(2):
            store.write("a", sealed("a", n))


def littered(directory: Path) -> None:
    """Killed writers have left files, a directory and a removed key."""
    filled(directory)
    temporary = directory / ".tmp"
    (temporary / f"{STRIPE}.0").write_bytes(b"cut off")
    (temporary / f"{STRIPE}.1.d").mkdir()
    os.link(temporary / f"{STRIPE}.0", temporary / f"{STRIPE}.1.d" / "current")
    (temporary / "07.0.gone").mkdir()
    (temporary / "07.0.gone" / "1").write_bytes(b"removed")
    (temporary / "format").write_bytes(b"cut")
    (temporary / "link").write_bytes(b"cut")


def without_reserve(directory: Path) -> None:
    """The ballast was used up."""
    filled(directory)
    (directory / ".reserve" / "ballast").unlink()


def points(attempts: list[str]) -> list[int]:
    """Return which calls to break; the 64 stripes are alike, and three of them are enough."""
    alike = tuple(f".lock/{n:02d}" for n in range(64) if n not in (0, 3, 63, int(STRIPE)))
    return [n for n, event in enumerate(attempts) if not event.endswith(alike)]


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("before", [nothing, begun, filled, littered, without_reserve])
def test_an_opening_whose_calls_fail_loses_nothing_and_the_next_one_finishes(
    quick: Path, before: Callable[[Path], None], for_ever: bool
) -> None:
    has_state = before in (filled, littered, without_reserve)
    before(quick / "dry")
    calls = FailingCalls(quick / "dry")
    FileStore(quick / "dry", system=calls, reserve=RESERVE).close()
    chosen = points(calls.attempts[:-1])  # the last one closes the store
    open_now = descriptors()
    failures = 0
    for at in chosen:
        directory = quick / str(at)
        before(directory)
        for number in (ERRORS[at % 7], ERRORS[(at + 3) % 7]):
            calls = FailingCalls(directory)
            calls.break_at(at, number, for_ever=for_ever)
            try:
                store = FileStore(directory, system=calls, reserve=RESERVE, lock_timeout=0.2)
            except StoreError as error:
                check_error(error, number, once=not for_ever)
                failures += 1
            else:
                calls.heal()
                assert store.keys() == (("a",) if has_state else ())
                store.close()
            assert "close ?" not in calls.attempts, "closed twice"
            assert descriptors() == open_now, calls.failed
            if before is littered:
                before(directory)
            elif before is without_reserve:
                (directory / ".reserve" / "ballast").unlink(missing_ok=True)
            elif not (directory / ".format").exists():
                continue  # the second error meets what the first has left
            if not has_state:
                break
        with FileStore(directory, reserve=RESERVE, lock_timeout=0.2) as store:
            assert temporaries(directory) in ([], ["format"], ["format", "link"])
            if has_state:
                assert number_of(store, "a") >= 1
            store.write("a", sealed("a", 5))
            assert number_of(store, "a") == 5
            assert verify(store).ok
        assert (directory / ".reserve" / "ballast").stat().st_size == RESERVE
    assert failures > len(chosen) / 2


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_a_store_that_is_only_read_is_opened_or_says_why_not(quick: Path, number: int) -> None:
    filled(quick / "store")
    there = tree(quick / "store")
    calls = FailingCalls(quick / "store")
    FileStore(quick / "store", system=calls, read_only=True).close()
    before = descriptors()
    for at in range(len(calls.attempts) - 1):
        calls.break_at(at, number)
        with pytest.raises(StoreError) as caught:
            FileStore(quick / "store", system=calls, read_only=True)
        check_error(caught.value, number, once=True)
        assert descriptors() == before
    assert tree(quick / "store") == there


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_a_scope_is_opened_or_says_why_not(quick: Path, number: int) -> None:
    calls = FailingCalls(quick / "store")
    with FileStore(quick / "store", system=calls) as store:
        store.scope("inner").close()
        calls.forget()
        store.scope("inner").close()
        before, failures = descriptors(), 0
        attempts = calls.attempts[:-1]
        for at in range(len(attempts)):
            calls.break_at(at, number)
            try:
                scope = store.scope("inner")
            except StoreError as error:
                check_error(error, number, once=True)
                failures += 1
            else:
                scope.close()
            calls.heal()
            assert descriptors() == before
        assert failures > len(attempts) / 2
        with store.scope("inner") as scope:
            assert scope.keys() == ()


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_a_store_is_closed_once_even_if_that_reports_an_error(quick: Path, number: int) -> None:
    calls = FailingCalls(quick / "store")
    before = descriptors()
    store = FileStore(quick / "store", system=calls)
    store.write("a", sealed("a", 1))
    calls.break_at(0, number, for_ever=True)
    try:
        store.close()
    except StoreError as error:
        check_error(error, number, once=True)
    assert calls.failed == ["close ."]
    store.close()
    assert calls.attempts == ["close ."]
    assert descriptors() == before
    with pytest.raises(StoreError, match="closed"):
        store.read("a")
    with FileStore(quick / "store") as again:
        assert number_of(again, "a") == 1
