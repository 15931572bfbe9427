"""A release that writes the version before its own: nothing is lost on the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen

from checkpointkit import (
    BatchError,
    CheckpointManager,
    Downgrade,
    DowngradeLossError,
    MemoryStore,
    MigrationError,
    Payload,
    Schema,
    SchemaDriftError,
    Store,
    VersionTooNewError,
)
from checkpointkit.fingerprint import Shape
from tests.test_manager_versions import PodV1, PodV2, put

KIND = "example.com/pod"
SHAPE_1: Shape = {"record": {"uid": "str"}}
V1 = Schema(PodV1, kind=KIND, version=1)
UP: dict[int, Callable[[Payload], Payload]] = {1: lambda old: {**old, "boot_id": None}}
DOWN = {2: Downgrade(lambda new: {"uid": new["uid"]}, SHAPE_1)}
BOTH = Schema(PodV2, kind=KIND, version=2, migrations=UP, downgrades=DOWN, write_version=1)
V2 = Schema(PodV2, kind=KIND, version=2, migrations=UP)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(history=5)


def test_what_the_middle_release_writes_the_old_one_reads(store: Store) -> None:
    old, middle = CheckpointManager(store, V1), CheckpointManager(store, BOTH)
    info = middle.create("a", PodV2("1", None))
    assert info.schema_version == 1
    assert old.get("a") == PodV1("1")
    assert middle.get("a") == PodV2("1", None)
    old.create("a", PodV1("2"))
    assert middle.update("a", lambda pod: PodV2(pod.uid + "!", None)).info.schema_version == 1
    assert old.get("a") == PodV1("2!")
    assert [info.schema_version for info in middle.create_many({"a": PodV2("3", None)})] == [1]


def test_what_the_old_release_cannot_say_is_refused_before_any_io(store: Store) -> None:
    middle = CheckpointManager(store, BOTH)
    middle.create("a", PodV2("1", None))
    lossy = PodV2("2", "s3cret")
    acts: list[Callable[[], Any]] = [
        lambda: middle.create("a", lossy),
        lambda: middle.create_many({"a": lossy}),
        lambda: middle.update("a", lambda _: lossy),
    ]
    for act in acts:
        with pytest.raises(DowngradeLossError) as caught:
            act()
        assert vars(caught.value) == {"key": "a", "version": 1, "fields": ("boot_id",)}
        assert "s3cret" not in str(caught.value)
        assert caught.value.__context__ is None
    assert [info.generation for info in middle.history("a")] == [1]


def test_the_middle_release_reads_what_the_new_one_wrote_and_replaces_it(store: Store) -> None:
    middle, new = CheckpointManager(store, BOTH), CheckpointManager(store, V2)
    new.create("a", PodV2("1", "boot"))
    assert middle.get("a") == PodV2("1", "boot")
    with pytest.raises(DowngradeLossError):
        middle.create("a", PodV2("2", "boot"))
    assert middle.get("a") == PodV2("1", "boot")  # nothing is lost, whatever is refused
    middle.create("a", PodV2("2", None))
    assert CheckpointManager(store, V1).get("a") == PodV1("2")


def test_the_old_release_still_refuses_what_the_new_one_wrote(store: Store) -> None:
    CheckpointManager(store, V2).create("a", PodV2("1", "boot"))
    with pytest.raises(VersionTooNewError):
        CheckpointManager(store, V1).create("a", PodV1("2"))


def test_a_downgrade_that_fails_is_named_by_key_and_step(store: Store) -> None:
    broken = {2: Downgrade(lambda new: new["s3cret"], SHAPE_1)}
    schema = Schema(PodV2, kind=KIND, version=2, migrations=UP, downgrades=broken, write_version=1)
    with pytest.raises(MigrationError) as caught:
        CheckpointManager(store, schema).create("a", PodV2("1", None))
    assert (caught.value.key, caught.value.step, caught.value.end) == ("a", 2, 1)
    assert store.keys() == ()


def test_drift_of_the_version_that_is_written_is_noticed(store: Store) -> None:
    @frozen
    class Changed:
        uid: str
        more: int

    CheckpointManager(store, Schema(Changed, kind=KIND, version=1)).create("a", Changed("1", 2))
    middle = CheckpointManager(store, BOTH)
    for act in (lambda: middle.get("a"), lambda: middle.create("a", PodV2("1", None))):
        with pytest.raises(SchemaDriftError) as caught:
            act()
        assert (caught.value.version, caught.value.expected) == (1, V1.fingerprint)
        assert caught.value.problems == ()
    with pytest.raises(BatchError):
        middle.create_many({"a": PodV2("1", None)})


def test_migrate_goes_no_further_than_the_version_that_is_written(store: Store) -> None:
    CheckpointManager(store, V1).create("a", PodV1("1"))
    CheckpointManager(store, V2).create("b", PodV2("1", "boot"))
    assert CheckpointManager(store, BOTH).migrate().changed == ()
    assert CheckpointManager(store, V2).migrate().changed == ("a",)


def test_drift_where_all_of_it_fits_gives_both_fingerprints(store: Store) -> None:
    put(store, {"uid": "1"}, fingerprint="fp1:" + "0" * 32, kind=KIND)
    with pytest.raises(SchemaDriftError) as caught:
        CheckpointManager(store, V1).get("a")
    assert caught.value.problems == ()
    assert V1.fingerprint in str(caught.value)
    assert "fp1:" + "0" * 32 in str(caught.value)
    assert "checkpointkit schema diff" in str(caught.value)


def test_drift_of_something_that_is_no_payload(store: Store) -> None:
    put(store, b"[]", fingerprint="fp1:" + "0" * 32, kind=KIND)
    with pytest.raises(SchemaDriftError, match="it is no JSON object"):
        CheckpointManager(store, V1).get("a")


def test_a_migration_that_raises_is_named_with_the_place_in_the_payload(store: Store) -> None:
    def first(old: Payload) -> Payload:
        old["pods"] = [{"uid": "s3cret"}, {}]  # it may change what it is given
        return old

    def second(old: Payload) -> Payload:
        return {"uids": [pod["uid"] for pod in old["pods"]]}

    put(store, {"uid": "s3cret"}, kind=KIND)
    schema = Schema(PodV1, kind=KIND, version=3, migrations={1: first, 2: second})
    with pytest.raises(MigrationError) as caught:
        CheckpointManager(store, schema).get("a")
    assert (caught.value.key, caught.value.step) == ("a", 2)
    assert caught.value.problem == "raised KeyError at pods[1].uid"
    assert "s3cret" not in str(caught.value)
