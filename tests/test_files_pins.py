"""Pins of the file store: the files, the order of the calls, and calls that fail."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from checkpointkit.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    OutcomeUnknownError,
    StoreError,
)
from checkpointkit.records import recover, verify
from checkpointkit.stores.files.store import FileStore
from checkpointkit.testing.calls import FailingCalls, LosingCalls, RecordedCalls
from tests.support.calls import (
    ERRORS,
    Bench,
    Hooked,
    InterruptingCalls,
    Scenario,
    check_error,
    descriptors,
    shown,
)
from tests.support.states import NOW, generations, number_of, pins, sealed, temporaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def store(quick: Path) -> Iterator[FileStore]:
    with FileStore(quick / "store") as store:
        yield store


def names(store: FileStore, key: str = "a") -> list[str]:
    return sorted(os.listdir(f"{store.path}/{key}"))


def save(store: FileStore, *numbers: int, key: str = "a") -> int:
    return [store.write(key, sealed(key, number)).generation for number in numbers][-1]


# ------------------------------------------------------------------------------------- the files


def test_a_pin_is_an_empty_private_file_beside_the_generation(store: FileStore) -> None:
    save(store, 0)
    mask = os.umask(0o777)
    try:
        store.pin("a", 1)
    finally:
        os.umask(mask)
    assert names(store) == ["1", "1.pin", "current"]
    status = os.stat(f"{store.path}/a/1.pin")
    assert (status.st_size, status.st_mode & 0o777) == (0, 0o600)
    save(store, 1, 2, 3)
    assert names(store) == ["1", "1.pin", "3", "4", "current"]
    store.unpin("a", 1)
    assert names(store) == ["1", "3", "4", "current"], "it goes with the next save"
    save(store, 4)
    assert names(store) == ["4", "5", "current"]


def test_a_pin_is_durable_before_it_is_acknowledged(quick: Path) -> None:
    calls = RecordedCalls(quick / "store")
    with FileStore(quick / "store", system=calls) as store:
        save(store, 0, 1)
        calls.forget()
        store.pin("a", 1)
        changes = [event for event in calls.attempts if event.startswith(("fsync", "rename"))]
        assert [event.split(".tmp/")[0] for event in changes] == ["fsync ", "rename ", "fsync a"]
        calls.forget()
        store.pin("a", 1)
        assert "fsync a" in calls.attempts, "its maker may have been killed before that"
        calls.forget()
        store.unpin("a", 1)
        changes = [event for event in calls.attempts if event.startswith(("fsync", "unlink"))]
        assert changes == ["unlink a/1.pin", "fsync a"]
        calls.forget()
        store.unpin("a", 1)
        assert "fsync a" in calls.attempts, "who took it away may have been killed before that"


def test_a_first_generation_is_pinned_with_the_name_of_its_key(quick: Path) -> None:
    calls = RecordedCalls(quick / "store")
    with FileStore(quick / "store", system=calls) as store:
        save(store, 0)
        calls.forget()
        store.pin("a", 1)
        assert calls.attempts.index("fsync .") < calls.attempts.index("fsync a")


def test_a_pin_gives_a_generation_without_a_number_one(store: FileStore) -> None:
    save(store, 0, 1)
    os.unlink(f"{store.path}/a/2")
    store.pin("a", 2)
    assert names(store) == ["1", "2", "2.pin", "current"]
    assert os.stat(f"{store.path}/a/2").st_nlink == 2
    save(store, 2, 3, 4)
    assert number_of(store, "a", 2) == 1
    assert pins(store, "a") == [2]


def test_what_a_killed_writer_has_left_is_in_no_pins_way(store: FileStore) -> None:
    save(store, 0, 1)
    store.pin("a", 2)
    for name in os.listdir(f"{store.path}/.lock"):
        os.mkdir(f"{store.path}/.tmp/{name}.0")
    store.pin("a", 1)
    assert pins(store, "a") == [2, 1]


@pytest.mark.parametrize("make", [os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_whatever_has_the_name_of_a_pin_is_one(
    store: FileStore, make: Callable[[str], object]
) -> None:
    save(store, 0, 1)
    make(f"{store.path}/a/1.pin")
    save(store, 2, 3)
    assert pins(store, "a") == [1]
    store.pin("a", 1)
    store.unpin("a", 1)
    assert pins(store, "a") == []
    assert names(store) == ["1", "3", "4", "current"]


def test_names_that_look_like_pins_and_are_none_are_left_alone(store: FileStore) -> None:
    save(store, 0, 1)
    strays = ["01.pin", "1.pin~", "0.pin", ".pin", "-1.pin", "1.PIN", "1" * 19 + ".pin"]
    for name in strays:
        (open(f"{store.path}/a/{name}", "w")).close()
    save(store, 2)
    assert pins(store, "a") == []
    assert names(store) == sorted(["2", "3", "current", *strays])


def test_the_pin_of_what_was_set_aside_goes_with_the_next_save(store: FileStore) -> None:
    save(store, 0, 1)
    store.pin("a", 2)
    data = bytearray(store.read("a"))
    data[-2] ^= 1
    with open(f"{store.path}/a/current", "r+b") as file:
        file.write(data)
    assert recover(store, "a", NOW).restored_from == 1
    assert names(store) == ["1", "3", "current"]
    assert pins(store, "a") == []


def flip_header(path: str) -> None:
    with open(f"{path}/a/current", "r+b") as file:
        file.seek(100)
        file.write(b"\0")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: os.unlink(f"{path}/a/current"), "is missing"),
        (flip_header, "header does not verify"),
    ],
)
def test_what_is_damaged_past_knowing_its_number_cannot_be_pinned(
    store: FileStore, damage: Callable[[str], object], reason: str
) -> None:
    save(store, 0, 1)
    os.unlink(f"{store.path}/a/2")
    damage(store.path)
    newest = store.history("a")[0].generation
    before = names(store)
    with pytest.raises(CorruptCheckpointError, match=reason) as caught:
        store.pin("a", newest)
    assert (caught.value.key, caught.value.generation) == ("a", newest)
    assert names(store) == before


def test_a_key_that_is_no_directory_cannot_be_pinned_or_unpinned(store: FileStore) -> None:
    os.symlink("elsewhere", f"{store.path}/a")
    for refused in (store.pin, store.unpin):
        with pytest.raises(CorruptCheckpointError, match="something else"):
            refused("a", 1)


# ----------------------------------------------------- an older copy, or a save that was cut off?


@pytest.mark.parametrize("copied", [2, 3])
def test_an_older_copy_is_not_taken_for_a_cut_off_save_because_of_a_pin(
    quick: Path, copied: int
) -> None:
    """A pinned generation is no proof that nothing was acknowledged after it."""
    with FileStore(quick / "store", history=0) as store:
        save(store, 0)
        store.pin("a", 1)
        for number in (1, 2, 3):
            save(store, number)
            os.link(f"{store.path}/a/current", f"{store.path}/copy{number + 1}")
        os.rename(f"{store.path}/copy{copied}", f"{store.path}/a/current")
        with pytest.raises(CorruptCheckpointError, match="an older copy"):
            store.read("a")
        with pytest.raises(CorruptCheckpointError, match="an older copy"):
            save(store, 9)
        assert names(store) == ["1", "1.pin", "4", "current"]
        assert number_of(store, "a", 4) == 3


def cut_off(store: FileStore, *, pinned: bool = True) -> None:
    """Leave 1, then 2 as `current` without its number, and 3, which is not `current`.

    The power was cut while 3 was saved, after a writer that was killed before the sync of 2.
    """
    save(store, 0)
    if pinned:
        store.pin("a", 1)
    save(store, 1)
    for name in ("1", "current"):
        os.link(f"{store.path}/a/{name}", f"{store.path}/{name}")
    save(store, 2)
    os.unlink(f"{store.path}/a/2")
    os.rename(f"{store.path}/current", f"{store.path}/a/current")
    if pinned:
        os.unlink(f"{store.path}/1")
    else:
        os.rename(f"{store.path}/1", f"{store.path}/a/1")


@pytest.mark.parametrize("pinned", [True, False])
def test_a_save_cut_off_after_an_unacknowledged_one_is_mended(
    store: FileStore, *, pinned: bool
) -> None:
    cut_off(store, pinned=pinned)
    pin = ["1.pin"] * pinned
    assert names(store) == sorted(["1", "3", "current", *pin])
    assert number_of(store, "a") == 1
    assert generations(store, "a") == [2, 1]
    assert save(store, 9) == 4
    assert names(store) == sorted(["1"] * pinned + ["2", "4", "current", *pin])


@pytest.mark.parametrize("wrong", ["below", "nothing below", "above", "another above", "many"])
def test_files_that_do_not_follow_one_another_are_damage(store: FileStore, wrong: str) -> None:
    cut_off(store)
    below, above = f"{store.path}/a/1", f"{store.path}/a/3"
    if wrong == "below":
        os.truncate(below, 10)
    elif wrong == "nothing below":
        os.unlink(below)
    elif wrong == "above":
        os.unlink(above)
        os.symlink("nowhere", above)
    elif wrong == "another above":
        save(store, 0, 1, 2, key="b")
        os.rename(f"{store.path}/b/3", above)
    else:
        os.link(above, f"{store.path}/a/4")
    with pytest.raises(CorruptCheckpointError, match="an older copy"):
        store.read("a")
    assert not verify(store).ok


def test_raw_bytes_that_are_no_envelopes_have_a_number_or_are_damage(store: FileStore) -> None:
    for number in range(2):
        store.write("a", lambda *_, number=number: b"raw %d" % number)
        store.pin("a", number + 1)
    assert pins(store, "a") == [2, 1]
    assert store.read("a", 1) == b"raw 0"


def test_a_reader_that_a_mend_overtakes_looks_again(quick: Path) -> None:
    calls = Hooked(quick / "store")
    with FileStore(quick / "store", system=calls) as store, FileStore(quick / "store") as other:
        cut_off(store)
        calls.hooks["open a/3"] = lambda: save(other, 9)
        assert number_of(store, "a") in (1, 9)
        assert calls.hooks == {}, "it has not looked at the file"
        assert number_of(store, "a") == 9
        assert generations(store, "a") == [4, 2, 1]


# -------------------------------------------------------------------------------- calls that fail


def pin(store: FileStore, key: str) -> None:
    store.pin(key, generations(store, key)[-1])


def unpin(store: FileStore, key: str) -> None:
    store.unpin(key, generations(store, key)[-1])


def pinned_already(directory: Path, key: str) -> None:
    oldest = min(int(name) for name in os.listdir(directory / key) if name.isdigit())
    (directory / key / f"{oldest}.pin").touch()


def without_number(directory: Path, key: str) -> None:
    (number,) = (name for name in os.listdir(directory / key) if name.isdigit())
    (directory / key / number).unlink()


SCENARIOS = {
    "pin": Scenario(2, pin, 1),
    "pin of a first generation": Scenario(1, pin, 0),
    "pin of what lost its number": Scenario(1, pin, 0, without_number),
    "pin of what is pinned": Scenario(2, pin, 1, pinned_already),
    "unpin": Scenario(2, unpin, 1, pinned_already),
    "unpin of what is not pinned": Scenario(2, unpin, 1),
}


def is_pinned(bench: Bench, key: str) -> bool:
    return bool(pins(bench.store, key))


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_failing_call_leaves_the_pins_as_they_were_or_says_that_it_may_not_have(
    quick: Path, request: pytest.FixtureRequest, name: str, for_ever: bool
) -> None:
    scenario = SCENARIOS[name]
    wanted = scenario.act is pin
    bench = Bench(quick)
    request.addfinalizer(bench.close)
    length = bench.length(scenario)
    before = descriptors()
    failures = unknown = 0
    for at in range(length):
        for number in {errno.EIO, ERRORS[at % len(ERRORS)]}:
            key = bench.ready(scenario)
            old, history = is_pinned(bench, key), generations(bench.store, key)
            bench.calls.break_at(at, number, for_ever=for_ever)
            error: StoreError | None = None
            try:
                scenario.act(bench.store, key)
            except StoreError as raised:
                error = raised
            failed = bench.calls.failed
            bench.calls.heal()
            where = f"{os.strerror(number)} at {failed}: {error!r}"
            assert failed, where
            seen = error is None or isinstance(error, OutcomeUnknownError)
            assert is_pinned(bench, key) == (wanted if seen else old), where
            assert generations(bench.store, key) == history, where
            assert shown(bench.store, key) == scenario.after, where
            if error is not None:
                check_error(error, number, once=not for_ever)
                failures += 1
                unknown += isinstance(error, OutcomeUnknownError)
            assert descriptors() == before, where
            if not for_ever and not failed[0].startswith("unlink"):
                assert temporaries(bench.directory) == [], where
            scenario.act(bench.store, key)
            assert is_pinned(bench, key) == wanted, where
            assert temporaries(bench.directory) == [], where
    assert failures > length / 2
    assert unknown or for_ever


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_interrupt_at_any_call_leaves_a_pin_or_none_and_no_lock(
    quick: Path, request: pytest.FixtureRequest, name: str
) -> None:
    scenario = SCENARIOS[name]
    bench = Bench(quick, InterruptingCalls(quick / "store"))
    request.addfinalizer(bench.close)
    before = descriptors()
    for at in range(bench.length(scenario)):
        key = bench.ready(scenario)
        bench.calls.break_at(at, 0, for_ever=False)
        with suppress(KeyboardInterrupt):
            scenario.act(bench.store, key)
            assert not bench.calls.failed, "the interrupt was swallowed"
        bench.calls.heal()
        assert shown(bench.store, key) == scenario.after
        assert descriptors() == before, at
        bench.healed(key)
        FileStore(bench.directory).close()
        assert temporaries(bench.directory) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_pin_whose_sync_has_failed_was_never_acknowledged(quick: Path, name: str) -> None:
    scenario = SCENARIOS[name]
    wanted = scenario.act is pin
    at = 0
    while True:
        calls = LosingCalls(quick / str(at) / "store")
        bench = Bench(quick / str(at), calls)
        key = bench.ready(scenario)
        allowed = {is_pinned(bench, key), wanted}
        calls.break_at(at, errno.EIO, match="fsync")
        try:
            scenario.act(bench.store, key)
            allowed = {wanted}
        except StoreError:
            pass
        tried = list(calls.failed)
        calls.heal()
        bench.close()
        calls.lose()
        with FileStore(bench.directory) as store:
            assert bool(pins(store, key)) in allowed, tried
            assert shown(store, key) == scenario.after
        if not tried:
            break
        at += 1
    assert at >= 1


def test_on_a_full_disk_nothing_is_pinned_and_nothing_is_lost(quick: Path) -> None:
    calls = FailingCalls(quick / "store")
    with FileStore(quick / "store", system=calls) as store:
        save(store, 0, 1)
        calls.break_at(0, errno.ENOSPC, match="open .tmp", for_ever=True)
        with pytest.raises(StoreError, match="ENOSPC"):
            store.pin("a", 1)
        calls.heal()
        assert names(store) == ["1", "2", "current"]
        with pytest.raises(CheckpointNotFoundError):
            store.pin("b", 1)
