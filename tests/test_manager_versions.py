"""Formats that change: upgrades, downgrades, drift, and what must never be overwritten."""

from __future__ import annotations

import json
import logging
import traceback
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import (
    ABSENT,
    BatchError,
    CheckpointError,
    CheckpointManager,
    CorruptCheckpointError,
    EncodeError,
    EnvelopeVersionError,
    FileStore,
    MemoryStore,
    MigrationError,
    Payload,
    Recovery,
    Schema,
    SchemaDriftError,
    Store,
    StructureError,
    VersionError,
    VersionTooNewError,
    VersionTooOldError,
    WrongKindError,
)
from checkpointkit.envelope import (
    encode_payload,
    make_header,
    open_envelope,
    seal_envelope,
    timestamp,
)
from checkpointkit.migrating import MigrationReport
from checkpointkit.schema import Json
from tests.support.states import NOW, raw, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "s3cret-t0ken"
KIND = "example.com/pod"


# Three releases of one agent.


@frozen
class PodV1:
    uid: str


@frozen
class PodV2:
    uid: str
    boot_id: str | None


@frozen
class PodV3:
    pod_uid: str
    boot_id: str | None


def add_boot_id(old: Payload) -> Payload:
    return {**old, "boot_id": None}


def rename_uid(old: Payload) -> Payload:
    return {"pod_uid" if name == "uid" else name: value for name, value in old.items()}


V1 = Schema(PodV1, kind=KIND, version=1)
V2 = Schema(PodV2, kind=KIND, version=2, migrations={1: add_boot_id})
V3 = Schema(PodV3, kind=KIND, version=3, migrations={1: add_boot_id, 2: rename_uid})
V3_FROM_2 = Schema(PodV3, kind=KIND, version=3, migrations={2: rename_uid})
V2_DRIFTED = Schema(PodV3, kind=KIND, version=2)
OTHER_KIND = Schema(PodV1, kind="example.com/lease", version=1)


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, quick: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(history=3)
    else:
        with FileStore(quick / "store", durability="none", history=3) as made:
            yield made


@pytest.fixture
def snapshot(store: Store, quick: Path) -> Callable[[], object]:
    """Tell everything that a store holds: files with their inodes, or bytes."""

    def take() -> object:
        if isinstance(store, FileStore):
            return {
                path: found
                for path, found in tree(quick / "store").items()
                if not path.startswith(".lock")
            }
        return {
            (key, entry): store.read(key, entry.generation)
            for key in store.keys()
            for entry in store.history(key)
        }

    return take


def release_1(store: Store) -> CheckpointManager[PodV1]:
    return CheckpointManager(store, V1)


def release_2(store: Store) -> CheckpointManager[PodV2]:
    return CheckpointManager(store, V2)


def release_3(store: Store) -> CheckpointManager[PodV3]:
    return CheckpointManager(store, V3)


def put(store: Store, payload: object, *, key: str = "a", **fields: Any) -> None:
    """Save an intact envelope around any payload: what another program may have written."""
    data = payload if isinstance(payload, bytes) else encode_payload(payload)  # type: ignore[arg-type]
    values: dict[str, Any] = {
        "key": key,
        "kind": KIND,
        "schema_version": 1,
        "fingerprint": V1.fingerprint,
        "created_at": timestamp(NOW),
        "previous": None,
        "payload": data,
    }

    def seal(generation: int, previous: object) -> bytes:
        header = make_header(**values | {"generation": generation} | fields)
        return seal_envelope(header, data)[0]

    store.write(key, seal)


def newer_envelope(key: str = "a") -> bytes:
    line_2 = json.dumps({"unknown": SECRET}).encode() + b"\n"
    digest = sha256(b"checkpointkit/2\n" + line_2).hexdigest().encode()
    return b"checkpointkit/2 sha256:%b\n%b%b" % (digest, line_2, SECRET.encode())


# -------------------------------------------------------------------------------------- upgrades


def test_an_upgrade_reads_each_older_version_through_its_steps(store: Store) -> None:
    release_1(store).create("one", PodV1("7f3e"))
    release_2(store).create("two", PodV2("7f3e", "b"))
    release_3(store).create("three", PodV3("7f3e", "b"))
    pods = release_3(store)
    assert pods.get("one") == PodV3("7f3e", None)
    assert pods.get("two") == PodV3("7f3e", "b")
    assert pods.get("three") == PodV3("7f3e", "b")
    assert pods.load("one").info.schema_version == 1  # of what is stored
    assert release_2(store).get("one") == PodV2("7f3e", None)


def test_an_upgrade_reaches_the_disk_with_the_next_save(
    store: Store, snapshot: Callable[[], object]
) -> None:
    release_1(store).create("a", PodV1("7f3e"))
    before = snapshot()
    release_3(store).get("a")
    assert snapshot() == before
    assert release_3(store).create("a", release_3(store).get("a")).schema_version == 3
    assert release_3(store).load("a").info.schema_version == 3
    assert release_3(store).load("a", generation=1).info.schema_version == 1


def test_update_migrates_on_its_way(store: Store) -> None:
    release_1(store).create("a", PodV1("7f3e"))
    result = release_3(store).update("a", lambda pod: PodV3(pod.pod_uid, "b"))
    assert (result.value, result.info.schema_version) == (PodV3("7f3e", "b"), 3)


def test_migrate_brings_every_key_to_the_present_version(store: Store) -> None:
    release_1(store).create("one", PodV1("1"))
    release_2(store).create("two", PodV2("2", None))
    release_3(store).create("three", PodV3("3", None))
    report = release_3(store).migrate()
    assert (report.checked, report.changed, report.ok) == (3, ("one", "two"), True)
    assert [release_3(store).load(key).info.schema_version for key in ("one", "two")] == [3, 3]
    assert release_3(store).migrate() == MigrationReport(3, versions={3: 3})


steps = st.lists(
    st.tuples(st.sampled_from(["set", "drop", "wrap", "same"]), st.sampled_from("abc")),
    max_size=5,
)


def migration(number: int, step: tuple[str, str]) -> Callable[[Payload], Payload]:
    what, name = step

    def apply(old: Payload) -> Payload:
        if what == "set":
            return {**old, name: number}
        if what == "drop":
            return {key: value for key, value in old.items() if key != name}
        if what == "wrap":
            return {name: old}
        return old

    return apply


@given(
    steps,
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.text("xyz"), max_size=3),
    st.data(),
)
def test_any_chain_equals_its_functions_one_after_the_other(
    chain: list[tuple[str, str]], payload: Payload, data: st.DataObject
) -> None:
    migrations = {number: migration(number, step) for number, step in enumerate(chain, 1)}
    first = data.draw(st.integers(1, len(chain) + 1))
    wanted = payload
    for number in range(first, len(chain) + 1):
        wanted = migrations[number](wanted)

    store = MemoryStore()
    old: Schema[dict[str, Json]] = Schema(dict[str, Json], kind=KIND, version=first)
    CheckpointManager(store, old).create("a", payload)
    new = Schema(dict[str, Json], kind=KIND, version=len(chain) + 1, migrations=migrations)
    manager = CheckpointManager(store, new)
    assert manager.get("a") == wanted
    report = manager.migrate()
    assert report.changed == (("a",) if first <= len(chain) else ())
    assert manager.get("a") == wanted
    assert manager.get("a", generation=1) == wanted


def test_a_migration_may_change_what_it_gets_and_nobody_else_sees_it(store: Store) -> None:
    def change(old: Payload) -> Payload:
        old["boot_id"] = old.pop("gone", None)
        return old

    release_1(store).create("a", PodV1("1"))
    pods = CheckpointManager(store, Schema(PodV2, kind=KIND, version=2, migrations={1: change}))
    assert pods.get("a") == pods.get("a") == PodV2("1", None)


# ------------------------------------------------------------------------------------ downgrades


@pytest.mark.parametrize("expected", [None, ABSENT, 1, 7])
def test_a_downgrade_is_refused_on_read_and_on_write_and_the_file_is_untouched(
    store: Store, snapshot: Callable[[], object], expected: Any
) -> None:
    release_3(store).create("a", PodV3("7f3e", "b"))
    before = snapshot()
    old = release_1(store)
    acts: list[Callable[[], object]] = [
        lambda: old.get("a"),
        lambda: old.get("a", default=None),
        lambda: old.get("a", generation=1),
        lambda: old.load("a"),
        lambda: old.create("a", PodV1("empty"), expected=expected),
        lambda: old.update("a", lambda pod: pod),
        lambda: old.rollback("a", 1),
    ]
    for act in acts:
        with pytest.raises(VersionTooNewError) as caught:
            act()
        assert vars(caught.value) == {"key": "a", "stored": 3, "oldest": 1, "newest": 1}
        assert snapshot() == before
    with pytest.raises(BatchError) as batch:
        old.create_many({"a": PodV1("empty"), "b": PodV1("1")})
    assert [type(error) for error in batch.value.failed.values()] == [VersionTooNewError]
    assert release_3(store).get("a") == PodV3("7f3e", "b")


def test_a_downgrade_is_a_problem_for_verify_and_migrate_and_none_for_recover(
    store: Store, snapshot: Callable[[], object]
) -> None:
    release_3(store).create("a", PodV3("7f3e", "b"))
    before = snapshot()
    for report in (release_2(store).verify(), release_2(store).migrate()):
        assert [type(problem.error) for problem in report.problems] == [VersionTooNewError]
        assert report.changed == ()
    assert release_2(store).recover("a") == Recovery("a")
    assert snapshot() == before


def test_after_a_downgrade_a_rollback_or_a_remove_is_what_clears_the_newer_state(
    store: Store,
) -> None:
    release_2(store).create("a", PodV2("1", None))
    release_3(store).create("a", PodV3("2", None))
    assert release_2(store).rollback("a", 1).generation == 3
    assert release_2(store).get("a") == PodV2("1", None)
    assert release_3(store).get("a", generation=2) == PodV3("2", None)  # still there
    release_3(store).create("b", PodV3("2", None))
    release_2(store).remove("b")
    release_2(store).create("b", PodV2("3", None))


def test_a_state_below_the_first_migration_is_too_old_to_read(
    store: Store, snapshot: Callable[[], object]
) -> None:
    release_1(store).create("a", PodV1("1"))
    pods = CheckpointManager(store, V3_FROM_2)
    before = snapshot()
    acts: list[Callable[[], object]] = [
        lambda: pods.get("a"),
        lambda: pods.get("a", default=None),
        lambda: pods.update("a", lambda pod: pod),
        lambda: pods.rollback("a", 1),
    ]
    for act in acts:
        with pytest.raises(VersionTooOldError) as caught:
            act()
        assert isinstance(caught.value, VersionError)
        assert vars(caught.value) == {"key": "a", "stored": 1, "oldest": 2, "newest": 3}
    assert [type(p.error) for p in pods.migrate().problems] == [VersionTooOldError]
    assert snapshot() == before


def test_a_state_that_is_too_old_may_be_replaced(store: Store) -> None:
    """It is of the past, and nobody can go back to it; the history keeps it."""
    release_1(store).create("a", PodV1("1"))
    pods = CheckpointManager(store, V3_FROM_2)
    pods.create("a", PodV3("2", None))
    assert pods.get("a") == PodV3("2", None)
    assert release_1(store).get("a", generation=1) == PodV1("1")


# ---------------------------------------------------------------------------------- kind, drift


@pytest.mark.parametrize("expected", [None, ABSENT, 1])
def test_another_kind_is_neither_read_nor_replaced(
    store: Store, snapshot: Callable[[], object], expected: Any
) -> None:
    CheckpointManager(store, OTHER_KIND).create("a", PodV1("1"))
    before = snapshot()
    pods = release_1(store)
    acts: list[Callable[[], object]] = [
        lambda: pods.get("a"),
        lambda: pods.create("a", PodV1("2"), expected=expected),
        lambda: pods.update("a", lambda pod: pod),
        lambda: pods.rollback("a", 1),
    ]
    for act in acts:
        with pytest.raises(WrongKindError) as caught:
            act()
        assert vars(caught.value) == {
            "key": "a",
            "stored": "example.com/lease",
            "expected": "example.com/pod",
        }
    assert snapshot() == before


def test_the_kind_is_compared_before_the_version(store: Store) -> None:
    CheckpointManager(store, Schema(PodV1, kind="example.com/x", version=9)).create("a", PodV1(""))
    with pytest.raises(WrongKindError):
        release_1(store).get("a")
    with pytest.raises(WrongKindError):
        release_1(store).create("a", PodV1(""))


@pytest.mark.parametrize("expected", [None, ABSENT, 1])
def test_a_class_that_changed_without_a_new_version_is_drift(
    store: Store, snapshot: Callable[[], object], expected: Any
) -> None:
    release_2(store).create("a", PodV2("1", None))
    before = snapshot()
    drifted = CheckpointManager(store, V2_DRIFTED)
    acts: list[Callable[[], object]] = [
        lambda: drifted.get("a"),
        lambda: drifted.get("a", default=None),
        lambda: drifted.create("a", PodV3("2", None), expected=expected),
        lambda: drifted.update("a", lambda pod: pod),
        lambda: drifted.rollback("a", 1),
    ]
    for act in acts:
        with pytest.raises(SchemaDriftError) as caught:
            act()
        assert vars(caught.value) == {
            "key": "a",
            "version": 2,
            "stored": V2.fingerprint,
            "expected": V2_DRIFTED.fingerprint,
            "problems": ("pod_uid: missing", "1 unknown key"),
        }
    with pytest.raises(BatchError) as batch:
        drifted.create_many({"a": PodV3("2", None)})
    assert isinstance(batch.value.failed["a"], SchemaDriftError)
    assert snapshot() == before


def test_an_older_version_is_told_by_its_number_whatever_its_fingerprint(store: Store) -> None:
    put(store, {"uid": "1"}, fingerprint="fp1:" + "0" * 32)
    assert release_3(store).get("a") == PodV3("1", None)
    assert release_3(store).create("a", PodV3("2", None)).generation == 2


@pytest.mark.parametrize("fingerprint", ["fp2:" + "0" * 32, "fp10:0", "other"])
def test_a_fingerprint_of_another_algorithm_says_nothing(store: Store, fingerprint: str) -> None:
    put(store, {"uid": "1"}, fingerprint=fingerprint)
    assert release_1(store).get("a") == PodV1("1")
    assert release_1(store).create("a", PodV1("2")).generation == 2


@pytest.mark.parametrize("fingerprint", ["fp1:", "fp1:0", V1.fingerprint + "0"])
def test_every_other_fingerprint_of_the_same_algorithm_is_drift(
    store: Store, fingerprint: str
) -> None:
    put(store, {"uid": "1"}, fingerprint=fingerprint)
    with pytest.raises(SchemaDriftError):
        release_1(store).get("a")


def test_renaming_a_class_is_no_drift(store: Store) -> None:
    @frozen
    class Renamed:
        uid: str

    release_1(store).create("a", PodV1("1"))
    assert CheckpointManager(store, Schema(Renamed, kind=KIND, version=1)).get("a") == Renamed("1")


# -------------------------------------------------------------------- migrations, shapes, envelopes


def raises(old: Payload) -> Payload:
    raise KeyError(SECRET, old)


def raises_chained(old: Payload) -> Payload:
    try:
        return raises(old)
    except KeyError as error:
        raise RuntimeError(f"{SECRET} {old}") from error


def returns_list(old: Payload) -> Payload:
    return [old]  # type: ignore[return-value]


def returns_nothing(old: Payload) -> Payload:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (raises, "raised KeyError"),
        (raises_chained, "raised RuntimeError"),
        (returns_list, "returned list, not dict"),
        (returns_nothing, "returned NoneType, not dict"),
    ],
)
@pytest.mark.parametrize("step", [1, 2])
def test_a_migration_that_fails_is_named_by_key_and_step(
    store: Store, snapshot: Callable[[], object], step: int, broken: Any, problem: str
) -> None:
    release_1(store).create("a", PodV1(SECRET))
    before = snapshot()
    migrations = {1: add_boot_id, 2: rename_uid} | {step: broken}
    pods = CheckpointManager(store, Schema(PodV3, kind=KIND, version=3, migrations=migrations))
    acts: list[Callable[[], object]] = [
        lambda: pods.get("a"),
        lambda: pods.get("a", default=None),
        lambda: pods.update("a", lambda pod: pod),
        lambda: pods.rollback("a", 1),
    ]
    for act in acts:
        with pytest.raises(MigrationError) as caught:
            act()
        assert vars(caught.value) == {
            "key": "a",
            "step": step,
            "problem": problem,
            "end": step + 1,
        }
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
    (found,) = pods.migrate().problems
    assert (found.key, type(found.error)) == ("a", MigrationError)
    assert snapshot() == before


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({}, "uid"),
        ({"uid": 1}, "uid: expected str, got int"),
        ({"uid": None}, "uid: expected str, got NoneType"),
        ({"uid": "1", SECRET: 2}, ""),
    ],
)
def test_intact_bytes_of_another_shape_are_no_corruption(
    store: Store, snapshot: Callable[[], object], payload: Payload, problem: str
) -> None:
    put(store, payload)
    before = snapshot()
    with pytest.raises(StructureError) as caught:
        release_1(store).get("a", default=None)
    assert caught.value.key == "a"
    assert any(problem in each for each in caught.value.problems)
    assert type(caught.value) is StructureError
    assert release_1(store).recover("a") == Recovery("a")
    assert snapshot() == before
    release_1(store).create("a", PodV1("2"))  # the version and the shape are this schema's


def test_a_migration_whose_result_the_class_cannot_take_is_named_with_the_path(
    store: Store,
) -> None:
    release_1(store).create("a", PodV1("1"))
    schema = Schema(PodV2, kind=KIND, version=2, migrations={1: lambda old: {**old, "x": 1}})
    with pytest.raises(MigrationError) as caught:
        CheckpointManager(store, schema).get("a")
    assert vars(caught.value) == {
        "key": "a",
        "step": 1,
        "problem": "its result does not fit the class: boot_id: missing; 1 unknown key",
        "end": 2,
    }


@pytest.mark.parametrize("payload", [b"[]", b"{", b'{"uid":"1","uid":"2"}', b'{"uid":NaN}'])
def test_a_payload_that_is_no_json_object_is_corruption(store: Store, payload: bytes) -> None:
    put(store, payload)
    with pytest.raises(CorruptCheckpointError) as caught:
        release_1(store).get("a")
    assert (caught.value.key, caught.value.generation) == ("a", 1)


def test_a_newer_envelope_is_neither_read_nor_replaced(
    store: Store, snapshot: Callable[[], object]
) -> None:
    release_1(store).create("a", PodV1("1"))
    store.write("a", raw(newer_envelope()))
    before = snapshot()
    pods = release_1(store)
    acts: list[Callable[[], object]] = [
        lambda: pods.get("a"),
        lambda: pods.get("a", default=None),
        lambda: pods.create("a", PodV1("2")),
        lambda: pods.create("a", PodV1("2"), expected=2),
        lambda: pods.update("a", lambda pod: pod),
        lambda: pods.recover("a"),
    ]
    for act in acts:
        with pytest.raises(EnvelopeVersionError) as caught:
            act()
        assert vars(caught.value) == {"key": "a", "stored": 2, "supported": 1}
    for report in (pods.verify(), pods.migrate()):
        assert [type(problem.error) for problem in report.problems] == [EnvelopeVersionError]
    assert snapshot() == before
    assert pods.rollback("a", 1).generation == 3  # explicit, and so allowed
    assert pods.get("a") == PodV1("1")


def test_a_newer_envelope_with_one_wrong_bit_is_rot(store: Store) -> None:
    store.write("a", raw(newer_envelope().replace(b"unknown", b"unknowm")))
    with pytest.raises(CorruptCheckpointError):
        release_1(store).get("a")


def test_a_checkpoint_of_another_key_is_corruption(store: Store) -> None:
    put(store, {"uid": "1"}, key="a")
    store.write("b", raw(store.read("a")))
    with pytest.raises(CorruptCheckpointError, match="it holds the checkpoint 'a'"):
        release_1(store).get("b")


# ----------------------------------------------------------------------------------------- order


def test_the_checks_come_in_the_documented_order(store: Store) -> None:
    """Each envelope has every fault from some check on; the first fault is the one that is told."""
    schema = Schema(PodV2, kind=KIND, version=3, migrations={2: raises})
    pods = CheckpointManager(store, schema)
    bad_payload: dict[str, Any] = {"payload_sha256": "0" * 64}

    def found(payload: object, **fields: Any) -> type[BaseException]:
        store.remove("a")
        put(store, payload)
        generation = store.history("a")[0].generation
        envelope = open_envelope(store.read("a"), "a")
        header = envelope.header._replace(**fields)
        put_raw = seal_envelope(header._replace(generation=generation + 1), envelope.payload)[0]
        store.write("a", raw(put_raw))
        with pytest.raises(CheckpointError) as caught:
            pods.get("a")
        return type(caught.value)

    drift = {"fingerprint": "fp1:0"}
    newer = {"schema_version": 4} | drift
    kind = {"kind": "example.com/x"}
    assert found(b"[]", **kind, **newer, **bad_payload) is CorruptCheckpointError
    assert found(b"[]", **kind, **newer) is WrongKindError
    assert found(b"[]", **newer) is VersionTooNewError
    assert found(b"[]", schema_version=3, **drift) is SchemaDriftError
    assert found(b"[]", schema_version=1, **drift) is VersionTooOldError
    assert found(b"[]", schema_version=2) is CorruptCheckpointError
    assert found({"wrong": 1}, schema_version=2) is MigrationError
    right = schema.fingerprint
    assert found({"wrong": 1}, schema_version=3, fingerprint=right) is StructureError


# --------------------------------------------------------------------------------------- secrets


def told_by(error: BaseException, seen: set[int] | None = None) -> str:
    """Return all that an error and its chain could write into a log."""
    seen = set() if seen is None else seen
    if id(error) in seen:
        return ""
    seen.add(id(error))
    text = f"{error} {error!r} {error.args!r} {getattr(error, '__notes__', '')}"
    text += repr(vars(error)) if isinstance(error, CheckpointError) else ""
    text += "".join(traceback.format_exception(error))
    for other in (error.__cause__, error.__context__):
        text += told_by(other, seen) if other is not None else ""
    if isinstance(error, BatchError):
        for other in error.failed.values():
            text += told_by(other, seen)
    return text


def test_no_error_and_no_log_tells_a_payload(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    failing = Schema(PodV2, kind=KIND, version=2, migrations={1: raises_chained})
    release_1(store).create("v1", PodV1(SECRET))
    release_2(store).create("v2", PodV2(SECRET, SECRET))
    release_3(store).create("v3", PodV3(SECRET, SECRET))
    CheckpointManager(store, OTHER_KIND).create("kind", PodV1(SECRET))
    put(store, {"uid": [SECRET]}, key="shape")
    put(store, {"uid": SECRET, "more": SECRET}, key="more")
    put(store, f'{{"uid":"{SECRET}"'.encode(), key="json")
    put(store, f'{{"uid":"{SECRET}","uid":"{SECRET}"}}'.encode(), key="twice")
    put(store, f'{{"uid":"{SECRET}'.encode() + b'\xff"}', key="utf8")
    put(store, f'["{SECRET}"]'.encode(), key="list")
    store.write("envelope", raw(newer_envelope()))
    store.write("rot", raw(SECRET.encode()))
    store.write("cut", raw(store.read("v1")[:-3]))
    store.write("flipped", raw(store.read("v1").replace(SECRET.encode(), SECRET[::-1].encode())))

    class Talkative:
        def __repr__(self) -> str:
            return SECRET

        __str__ = __repr__

    errors: list[BaseException] = []

    def collect(act: Callable[[], object]) -> None:
        with pytest.raises(CheckpointError) as caught:
            act()
        errors.append(caught.value)

    pods, other = release_2(store), CheckpointManager(store, failing)
    one = release_1(store)
    drifted = CheckpointManager(store, V2_DRIFTED)
    keys = ("shape", "more", "json", "twice", "utf8", "list", "envelope", "rot", "cut", "flipped")
    for key in ("v3", "kind", *keys):
        collect(lambda key=key: one.get(key))  # type: ignore[misc]
        collect(lambda key=key: pods.update(key, lambda pod: pod))  # type: ignore[misc]
    for key in ("v3", "kind", "envelope", "rot"):
        collect(lambda key=key: pods.create(key, PodV2(SECRET, SECRET)))  # type: ignore[misc]
        collect(lambda key=key: pods.create_many({key: PodV2(SECRET, SECRET)}))  # type: ignore[misc]
    collect(lambda: other.get("v1"))
    collect(lambda: other.update("v1", lambda pod: pod))
    collect(lambda: drifted.get("v2"))
    collect(lambda: drifted.create("v2", PodV3(SECRET, SECRET)))
    collect(lambda: CheckpointManager(store, V3_FROM_2).get("v1"))
    wrong: list[Any] = [
        PodV1(SECRET),
        {"uid": SECRET},
        PodV2(Talkative(), None),  # type: ignore[arg-type]
        PodV2([SECRET], SECRET),  # type: ignore[arg-type]
        PodV2(SECRET + "\ud800", None),
        SECRET,
    ]
    for value in wrong:
        collect(lambda value=value: pods.create("new", value))  # type: ignore[misc]
        collect(lambda value=value: pods.create_many({"new": value}))  # type: ignore[misc]
    collect(lambda: pods.create("v2", PodV2(SECRET, None), expected=99))
    collect(lambda: pods.get("v2", generation=99))
    collect(lambda: pods.recover("rot"))
    errors += [problem.error for problem in pods.verify().problems]
    errors += [problem.error for problem in other.migrate().problems]

    kinds = {type(error) for error in errors}
    assert kinds >= {
        BatchError,
        CorruptCheckpointError,
        EncodeError,
        EnvelopeVersionError,
        MigrationError,
        SchemaDriftError,
        StructureError,
        VersionTooNewError,
        VersionTooOldError,
        WrongKindError,
    }
    for error in errors:
        assert SECRET not in told_by(error), type(error)
        assert SECRET[::-1] not in told_by(error), type(error)
    assert len(caplog.records) > len(keys) // 2
    for record in caplog.records:
        assert (record.name, record.levelno) == ("checkpointkit", logging.WARNING)
        assert SECRET not in record.getMessage() + repr(record.args) + str(record.exc_info)
