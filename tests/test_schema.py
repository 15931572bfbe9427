"""Schemas: what they check when they are made, migrations, and what their errors say."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import EncodeError, MigrationError, StructureError
from checkpointkit.schema import Migration, Payload, Schema


@frozen
class Lease:
    holder: str
    seconds: int
    boot: str | None = None


def add_seconds(old: Payload) -> Payload:
    return {**old, "seconds": 30}


def add_boot(old: Payload) -> Payload:
    return {**old, "boot": None}


def lease(**changes: Any) -> Schema[Lease]:
    arguments: dict[str, Any] = {
        "kind": "example.com/lease",
        "version": 3,
        "migrations": {1: add_seconds, 2: add_boot},
        **changes,
    }
    return Schema(Lease, **arguments)


V1 = {"holder": "a"}
V2 = {"holder": "a", "seconds": 30}
V3 = {"holder": "a", "seconds": 30, "boot": None}


def test_each_version_is_loaded_through_its_migrations() -> None:
    schema = lease()
    value = Lease("a", 30)
    assert schema.dump(value) == V3
    assert [schema.load(V1, 1), schema.load(V2, 2), schema.load(V3, 3)] == [value] * 3
    assert schema.upgrade(V1, 1) == schema.upgrade(V2, 2) == schema.upgrade(V3, 3) == V3
    assert schema.structure(V3) == value


def test_the_present_version_runs_no_migration() -> None:
    def fail(old: Payload) -> Payload:
        raise AssertionError

    assert lease(migrations={1: fail, 2: fail}).load(V3, 3) == Lease("a", 30)


def test_oldest_is_where_the_chain_begins() -> None:
    assert lease().oldest == 1
    assert lease(migrations={2: add_boot}).oldest == 2
    assert lease(migrations={}).oldest == 3
    assert Schema(Lease, kind="a", version=7).oldest == 7


@pytest.mark.parametrize("version", [0, 1, 4, -1])
def test_a_version_that_the_schema_does_not_read(version: int) -> None:
    schema = lease(migrations={2: add_boot})
    with pytest.raises(ValueError, match=r"is not in 2 to 3"):
        schema.upgrade(V1, version)
    with pytest.raises(ValueError, match=r"is not in 2 to 3"):
        schema.load(V1, version)


@pytest.mark.parametrize(
    ("migrations", "text"),
    [
        ({1: add_seconds}, "the migration from 2 is missing"),
        ({0: add_seconds, 1: add_seconds, 2: add_boot}, "no migration from 0"),
        ({-1: add_seconds}, "no migration from -1"),
        ({2: add_boot, 3: add_boot}, "no migration from 3"),
        ({2: add_boot, 9: add_boot}, "no migration from 9"),
        ({"2": add_boot}, "must be an int, not str"),
        ({True: add_seconds, 2: add_boot}, "must be an int, not bool"),
        ({2.0: add_boot}, "must be an int, not float"),
        ({2: None}, "the migration from 2 cannot be called"),
        ({2: {}}, "the migration from 2 cannot be called"),
    ],
)
def test_a_broken_chain_is_a_type_error_when_the_schema_is_made(migrations: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        lease(migrations=migrations)


@pytest.mark.parametrize(
    ("version", "error"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), ("1", TypeError), (1.0, TypeError)],
)
def test_a_version_is_a_positive_int(version: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Schema(Lease, kind="a", version=version)


@pytest.mark.parametrize("kind", ["example.com/pod-devices", "a", "~", "a" * 253])
def test_a_sane_kind(kind: str) -> None:
    assert Schema(Lease, kind=kind, version=1).kind == kind


def test_a_schema_is_frozen() -> None:
    schema = lease()
    with pytest.raises(AttributeError, match="frozen"):
        schema.version = 4
    with pytest.raises(AttributeError, match="frozen"):
        del schema.version
    with pytest.raises(AttributeError):
        schema.other = 4
    with pytest.raises(TypeError):
        schema.migrations[3] = add_boot  # type: ignore[index]  # what is tried
    migrations: dict[int, Migration] = {2: add_boot}
    schema = lease(migrations=migrations)
    migrations.clear()
    assert dict(schema.migrations) == {2: add_boot}
    assert repr(schema) == "Schema(Lease, kind='example.com/lease', version=3)"


def test_a_schema_can_be_copied_and_pickled() -> None:
    schema = lease()
    for other in (
        pickle.loads(pickle.dumps(schema)),
        copy.copy(schema),
        copy.deepcopy(schema),
    ):
        assert other.fingerprint == schema.fingerprint
        assert other.load(V1, 1) == Lease("a", 30)
        assert other.migrations == schema.migrations


def test_two_formats_of_one_class() -> None:
    one = Schema(Lease, kind="example.com/a", version=1)
    two = Schema(Lease, kind="example.com/b", version=4)
    assert one.fingerprint == two.fingerprint
    assert one.dump(Lease("a", 1)) == two.dump(Lease("a", 1))


def fails(old: Payload) -> Payload:
    raise KeyError("s3cret", old)


def fails_from(old: Payload) -> Payload:
    try:
        return {"a": old["s3cret"]}
    except KeyError as error:
        raise ValueError("s3cret") from error


@pytest.mark.parametrize(
    ("migration", "problem"),
    [
        (fails, "raised KeyError"),
        (fails_from, "raised ValueError"),
        (lambda old: None, "returned NoneType, not dict"),
        (lambda old: [old], "returned list, not dict"),
        (lambda old: 1 / 0, "raised ZeroDivisionError"),
        (dict.clear, "returned NoneType, not dict"),
        (dict.__getitem__, "raised TypeError"),
    ],
)
def test_a_migration_that_fails_is_named_by_its_step(migration: Any, problem: str) -> None:
    schema = lease(migrations={1: migration, 2: add_boot})
    with pytest.raises(MigrationError) as caught:
        schema.load({"holder": "s3cret"}, 1)
    assert (caught.value.key, caught.value.step, caught.value.problem) == (None, 1, problem)
    assert caught.value.__context__ is caught.value.__cause__ is None
    assert "s3cret" not in repr(caught.value) + str(caught.value)
    assert schema.load(V2, 2) == Lease("a", 30)


def test_a_migration_that_never_ends_by_recursion() -> None:
    def recurse(old: Payload) -> Payload:
        return recurse(old)

    with pytest.raises(MigrationError) as caught:
        lease(migrations={2: recurse}).load(V2, 2)
    assert caught.value.problem == "raised RecursionError"


def test_what_a_migration_returns_is_checked_like_a_payload() -> None:
    schema = lease(migrations={2: lambda old: {**old, "boot": ("s3cret",), "s3cret": 1}})
    with pytest.raises(MigrationError) as caught:
        schema.load(V2, 2)
    assert (caught.value.step, caught.value.problem) == (
        2,
        "its result does not fit the class: boot: expected str, got tuple; 1 unknown key",
    )
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_a_lack_of_memory_is_passed_on() -> None:
    def hungry(old: Payload) -> Payload:
        raise MemoryError

    with pytest.raises(MemoryError):
        lease(migrations={2: hungry}).load(V2, 2)


@given(st.integers(1, 8), st.integers(1, 8), st.lists(st.integers(-9, 9), min_size=8, max_size=8))
def test_migrations_compose(start: int, middle: int, steps: list[int]) -> None:
    def add(number: int) -> Migration:
        return lambda old: {"n": 2 * old["n"] + number}

    def schema(version: int) -> Schema[dict[str, int]]:
        return Schema(
            dict[str, int],
            kind="a",
            version=version,
            migrations={step: add(steps[step - 1]) for step in range(1, version)},
        )

    start, middle = sorted((start, middle))
    whole = schema(8)
    halfway = schema(middle).upgrade({"n": 1}, start)
    assert whole.upgrade(halfway, middle) == whole.upgrade({"n": 1}, start)


def test_all_problems_at_once_but_no_more_than_twenty() -> None:
    schema = Schema(dict[str, list[int]], kind="a", version=1)
    with pytest.raises(StructureError) as caught:
        schema.structure({"a": ["x"] * 1000})
    problems = caught.value.problems
    assert problems[0] == "[*][0]: expected int, got str"
    assert problems[19] == "[*][19]: expected int, got str"
    assert problems[20:] == ("and 980 more",)
    with pytest.raises(EncodeError) as caught_too:
        schema.dump({"a": ["x"] * 20, "b": [], "c": ["x"]})  # type: ignore[list-item]  # tried
    assert caught_too.value.problems[20:] == ("and 1 more",)


def test_problems_at_several_levels() -> None:
    schema = Schema(dict[str, dict[int, Lease]], kind="a", version=1)
    with pytest.raises(StructureError) as caught:
        schema.structure({"s3cret": {"1": {"holder": 1}, "x": V3}, "b": []})
    assert caught.value.problems == (
        "[*][*] (key): str that is not the text of an int",
        "[*]: expected dict, got list",
    )
    with pytest.raises(StructureError) as caught:
        schema.structure({"s3cret": {"1": {"holder": 1}}})
    assert caught.value.problems == (
        "[*][*].holder: expected str, got int",
        "[*][*].seconds: missing",
        "[*][*].boot: missing",
    )


@pytest.mark.parametrize("payload", [None, [], "x", 1, (), [("holder", "a")]])
def test_a_payload_that_is_no_dict(payload: Any) -> None:
    with pytest.raises(StructureError) as caught:
        lease().structure(payload)
    assert caught.value.problems == (f"expected dict, got {type(payload).__name__}",)


def test_a_payload_of_a_dict_subclass_is_refused() -> None:
    class Sub(dict[str, Any]):
        pass

    with pytest.raises(StructureError):
        lease().structure(Sub(V3))
    with pytest.raises(StructureError):
        Schema(dict[str, int], kind="a", version=1).structure(Sub(a=1))
