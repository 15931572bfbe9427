"""Steps up and down: a downgrade loses nothing, and a step that fails is named with its place."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import (
    Downgrade,
    DowngradeLossError,
    MigrationError,
    MissingMigrationError,
    Payload,
    Schema,
)
from checkpointkit.fingerprint import Shape, fingerprint
from checkpointkit.tracing import place_of_failure

KIND = "example.com/lease"
SHAPE_1: Shape = {"record": {"holder": "str", "seconds": "int"}}
SHAPE_2: Shape = {"record": {"holder": "str", "milliseconds": "int"}}
SHAPE_3: Shape = {
    "record": {"holder": {"enum": ["a", "b"]}, "milliseconds": "int", "note": {"list": "str"}}
}


@frozen
class Lease:
    holder: str
    milliseconds: int
    note: list[str]


def to_2(old: Payload) -> Payload:
    return {"holder": old["holder"], "milliseconds": old["seconds"] * 1000}


def to_3(old: Payload) -> Payload:
    return {**old, "note": []}


def down_to_1(new: Payload) -> Payload:
    return {"holder": new["holder"], "seconds": new["milliseconds"] // 1000}


def down_to_2(new: Payload) -> Payload:
    del new["note"]
    return new


DOWN = {3: Downgrade(down_to_2, SHAPE_2), 2: Downgrade(down_to_1, SHAPE_1)}


def leases(**options: Any) -> Schema[Lease]:
    return Schema(
        Lease,
        **{
            "kind": KIND,
            "version": 3,
            "migrations": {1: to_2, 2: to_3},
            "downgrades": DOWN,
            **options,
        },
    )


payloads = st.fixed_dictionaries(
    {
        "holder": st.sampled_from(["", "a", "é"]),
        "milliseconds": st.integers(-3000, 3000) | st.integers(-3, 3).map(lambda n: n * 1000),
        "note": st.lists(st.just("x"), max_size=1),
    }
)


@given(payloads, st.integers(1, 3))
def test_a_downgrade_comes_back_equal_or_is_refused(payload: Payload, version: int) -> None:
    schema = leases()
    text = json.dumps(payload, sort_keys=True)
    lost = [
        name
        for name, is_lost in (
            ("milliseconds", version < 2 and payload["milliseconds"] % 1000 != 0),
            ("note", version < 3 and payload["note"] != []),
        )
        if is_lost
    ]
    if lost:
        with pytest.raises(DowngradeLossError) as caught:
            schema.downgrade(payload, version)
        assert (caught.value.version, caught.value.fields) == (version, tuple(lost))
    else:
        lower = schema.downgrade(payload, version)
        assert json.dumps(schema.upgrade(lower, version), sort_keys=True) == text


def test_a_migration_that_changes_its_payload_does_not_change_what_is_written() -> None:
    def up(old: Payload) -> Payload:
        old["more"] = 0
        return old

    schema = Schema(
        dict[str, int],
        kind="a",
        version=2,
        migrations={1: up},
        downgrades={2: Downgrade(lambda new: {"n": new["n"]}, {"record": {"n": "int"}})},
    )
    assert schema.downgrade({"n": 1, "more": 0}, 1) == {"n": 1}


def test_what_the_older_shape_has_no_word_for_is_a_loss_though_it_would_come_back() -> None:
    # the commonest case: a new member of an enum, which every step hands through
    same = Downgrade(lambda new: new, {"record": {"color": {"enum": ["red"]}}})
    schema = Schema(
        dict[str, str],
        kind="a",
        version=2,
        migrations={1: lambda old: old},
        downgrades={2: same},
        write_version=1,
    )
    assert schema.downgrade({"color": "red"}, 1) == {"color": "red"}
    with pytest.raises(DowngradeLossError) as caught:
        schema.downgrade({"color": "green"}, 1)
    assert caught.value.fields == ("color",)


def test_a_new_field_that_a_downgrade_forgets_is_named() -> None:
    forgets = Downgrade(lambda new: new, SHAPE_2)
    with pytest.raises(DowngradeLossError) as caught:
        leases(downgrades={3: forgets}).downgrade({"holder": "", "milliseconds": 1, "note": []}, 2)
    assert (caught.value.version, caught.value.fields) == (2, ("note",))


def test_a_downgrade_may_say_itself_what_is_lost() -> None:
    def refuses(new: Payload) -> Payload:
        raise DowngradeLossError(None, 0, ("holder",))

    schema = leases(downgrades={3: Downgrade(refuses, SHAPE_2)})
    with pytest.raises(DowngradeLossError) as caught:
        schema.downgrade({}, 2)
    assert vars(caught.value) == {"key": None, "version": 2, "fields": ("holder",)}
    assert caught.value.__context__ is None


def test_a_migration_may_say_itself_what_it_cannot_take() -> None:
    def refuses(old: Payload) -> Payload:
        raise MigrationError("s3cret", 77, "pods[0].uid: is missing")

    with pytest.raises(MigrationError) as caught:
        leases(migrations={1: refuses, 2: to_3}).upgrade({}, 1)
    assert vars(caught.value) == {
        "key": None,
        "step": 1,
        "problem": "pods[0].uid: is missing",
        "end": 2,
    }
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (lambda new: new["s3cret"], "raised KeyError"),
        (lambda new: None, "returned NoneType, not dict"),
    ],
)
def test_a_downgrade_that_fails_is_named_by_its_step(step: Any, problem: str) -> None:
    schema = leases(downgrades={3: Downgrade(step, SHAPE_2)})
    with pytest.raises(MigrationError) as caught:
        schema.downgrade({}, 2)
    assert (caught.value.step, caught.value.end, caught.value.problem) == (3, 2, problem)
    assert "the downgrade from schema version 3 to 2 failed" in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "made",
    [(1,), {1}, b"1", object(), float("nan"), {1: 2}, 10**5000, True],
    ids=["tuple", "set", "bytes", "object", "nan", "int key", "int too long", "bool"],
)
def test_a_migration_that_makes_what_cannot_be_saved_is_found_before_the_save(made: Any) -> None:
    schema = Schema(
        dict[str, int],
        kind="a",
        version=2,
        migrations={1: lambda old: {"n": made}},
        downgrades={2: Downgrade(lambda new: {}, {"record": {}})},
    )
    with pytest.raises(MigrationError) as caught:
        schema.downgrade({"n": 1}, 1)
    assert caught.value.problem.startswith("its result does not fit the class: [*]: ")


def test_a_migration_is_no_downgrade() -> None:
    def refuses(old: Payload) -> Payload:
        raise DowngradeLossError(None, 1, ("s3cret",))

    with pytest.raises(MigrationError) as caught:
        leases(migrations={1: refuses, 2: to_3}).upgrade({}, 1)
    assert (caught.value.step, caught.value.problem) == (1, "raised DowngradeLossError")


def test_a_lack_of_memory_is_passed_on() -> None:
    def hungry(new: Payload) -> Payload:
        raise MemoryError

    with pytest.raises(MemoryError):
        leases(downgrades={3: Downgrade(hungry, SHAPE_2)}).downgrade({}, 2)
    with pytest.raises(MemoryError):
        place_of_failure(hungry, {})


def test_a_schema_knows_the_fingerprints_of_what_it_writes() -> None:
    schema = leases(write_version=1)
    assert schema.fingerprints == {
        1: fingerprint(SHAPE_1),
        2: fingerprint(SHAPE_2),
        3: schema.fingerprint,
    }
    assert (schema.version, schema.write_version) == (3, 1)
    assert leases().write_version == 3
    assert list(schema.downgrades) == [3, 2]
    again = pickle.loads(pickle.dumps(leases(write_version=2)))
    assert again.write_version == 2
    assert again.downgrades == DOWN


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"write_version": 4}, "write_version is 4, and the class has version 3"),
        ({"write_version": "1"}, "write_version must be an int, not str"),
        ({"write_version": True}, "write_version must be an int, not bool"),
        (
            {"write_version": 1, "downgrades": {3: DOWN[3]}},
            "the downgrade from 2 is missing: write_version is 1",
        ),
        (
            {"write_version": 2, "downgrades": {}},
            "the downgrade from 3 is missing: write_version is 2",
        ),
        ({"downgrades": {2: DOWN[2]}}, "the downgrade from 3 is missing"),
        ({"downgrades": {"3": DOWN[3]}}, "a downgrade starts from an int, not str"),
        (
            {"downgrades": {3: down_to_2}},
            r"the downgrade from 3 must be a Downgrade\(step, shape\)",
        ),
        (
            {"downgrades": {**DOWN, 4: DOWN[3]}},
            "a downgrade from 4 leads to nothing that this schema reads: it reads 1 to 3",
        ),
        (
            {"migrations": {2: to_3}, "downgrades": DOWN},
            "a downgrade from 2 leads to nothing that this schema reads: it reads 2 to 3",
        ),
        (
            {"downgrades": {3: Downgrade(down_to_2, "string")}},
            "'string' is no shape that this release knows",
        ),
        (
            {"downgrades": {3: Downgrade(down_to_2, {"record": {"a": int}})}},  # type: ignore[dict-item]  # tried
            r"{'record': {'a': <class 'int'>}} is no shape that this release knows",
        ),
    ],
)
def test_a_schema_that_could_not_write_what_it_says_is_not_made(
    options: dict[str, Any], problem: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{problem}$"):
        leases(**options)


def test_a_version_to_which_no_downgrade_leads() -> None:
    with pytest.raises(ValueError, match="version 0 is not in 1 to 3"):
        leases().downgrade({}, 0)
    with pytest.raises(ValueError, match="version 2 is not in 3 to 3"):
        leases(downgrades={}).downgrade({}, 2)
    payload = {"holder": "a", "milliseconds": 1, "note": ["x"]}
    assert leases(downgrades={}).downgrade(payload, 3) == payload


def test_a_gap_in_the_chain_says_all_that_a_stub_needs() -> None:
    with pytest.raises(MissingMigrationError) as caught:
        Schema(Lease, kind=KIND, version=5, migrations={1: to_2, 3: to_3})
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.kind, error.version, error.missing) == (KIND, 5, (2, 4))
    assert error.shape == leases().shape
    assert str(error) == f"the migration from 2, 4 is missing in the schema of {KIND!r}, version 5"
    assert isinstance(error, TypeError)


# --------------------------------------------------------------- where a migration was at work


def taken_from_list(old: Payload) -> Payload:
    return {"uids": [pod["uid"] for pod in old["pods"]]}


def popped(old: Payload) -> Payload:
    for pod in old["pods"]:
        pod["pod_uid"] = pod.pop("uid")
    return old


def popped_or(old: Payload) -> Payload:
    return {"n": old.pop("n", None) + 1}


def deleted(old: Payload) -> Payload:
    del old["note"]
    return old


def got(old: Payload) -> Payload:
    return {"n": old.get("seconds") * 1000}  # type: ignore[operator]


def by_index(old: Payload) -> Payload:
    return {"first": old["pods"][1]["uid"]}


def by_slice(old: Payload) -> Payload:
    return {"rest": [pod["uid"] for pod in old["pods"][1:]]}


def through_values(old: Payload) -> Payload:
    return {"uids": [pod["uid"] for pod in old["by_name"].values()]}


def through_items(old: Payload) -> Payload:
    def of(pod: Payload) -> str:
        return str(pod["uid"])

    return {name: of(pod) for name, pod in old["by_name"].items()}


def by_a_name_that_is_data(old: Payload) -> Payload:
    return {"n": old["by_name"][old["name"]]["uid"]}


def after_all_of_a_list(old: Payload) -> Payload:
    return {"n": len([pod for pod in old["pods"] if pod]) + old["n"]}


def before_anything(old: Payload) -> Payload:
    raise ValueError("s3cret")


PODS: Payload = {"pods": [{"uid": "1"}, {}], "by_name": {"s3cret": {}}, "name": "s3cret", "n": None}


@pytest.mark.parametrize(
    ("step", "place"),
    [
        (taken_from_list, "pods[1].uid"),
        (popped, "pods[1].uid"),
        (popped_or, "n"),
        (deleted, "note"),
        (got, "seconds"),
        (by_index, "pods[1].uid"),
        (by_slice, "pods[1].uid"),
        (through_values, "by_name[*].uid"),
        (through_items, "by_name[*].uid"),
        (by_a_name_that_is_data, "by_name[*].uid"),
        (after_all_of_a_list, "n"),
        (before_anything, ""),
        (lambda old: copy.deepcopy(old)["pods"][1]["uid"], "pods[1].uid"),
        (lambda old: copy.deepcopy(old["pods"])[1]["uid"], "pods[1].uid"),
        (lambda old: json.loads(json.dumps(old))["s3cret"], ""),  # a copy that is not followed
        (lambda old: {"n": len(old["by_name"].values()) + old["n"]}, "n"),
        (lambda old: old["pods"][7], "pods[7]"),
        (lambda old: dict[str, int]()["s3cret"] if old["pods"] else old, ""),
        (lambda old: {"a": old[("n", "m")[1]]}, "m"),
        (dict.clear, ""),
    ],
)
def test_a_migration_that_raises_is_found_at_work(step: Any, place: str) -> None:
    payload = json.loads(json.dumps(PODS))
    assert place_of_failure(step, payload) == place
    assert payload == PODS


def test_a_callable_that_is_no_function_shows_no_names() -> None:
    class Step:
        def __call__(self, old: Payload) -> Payload:
            return {"n": old["s3cret"]}

    assert place_of_failure(Step(), {}) == "[*]"
