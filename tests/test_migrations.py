"""The helpers for migrations: they do what their path says, or name the place where they cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import CheckpointManager, MemoryStore, MigrationError, Schema
from checkpointkit.migrations import add, drop, map_values, rename, steps
from tests.test_manager_versions import KIND, PodV1, put

NODE: dict[str, Any] = {
    "name": "a",
    "pods": [{"uid": "1", "ports": [1, 2]}, {"uid": "2", "ports": []}],
    "by_name": {"x": {"uid": "3"}, "y": {"uid": "4"}},
}


def node() -> Any:
    return json.loads(json.dumps(NODE))


def test_a_field_at_the_top() -> None:
    assert rename("name", "node")({"name": 1, "x": 2}) == {"node": 1, "x": 2}
    assert drop("name")({"name": 1, "x": 2}) == {"x": 2}
    assert add("note", None)({"x": 2}) == {"x": 2, "note": None}
    assert map_values("x", str)({"x": 2}) == {"x": "2"}
    assert rename("name", "name")({"name": 1}) == {"name": 1}


def test_a_field_of_every_item_and_of_every_value() -> None:
    migrated = steps(
        rename("pods[*].uid", "pod_uid"),
        drop("pods[*].ports"),
        add("by_name[*].boot", []),
        map_values("by_name[*].uid", int),
    )(node())
    assert migrated == {
        "name": "a",
        "pods": [{"pod_uid": "1"}, {"pod_uid": "2"}],
        "by_name": {"x": {"uid": 3, "boot": []}, "y": {"uid": 4, "boot": []}},
    }
    migrated["by_name"]["x"]["boot"].append(1)
    assert migrated["by_name"]["y"]["boot"] == []  # each place has its own copy


def test_items_themselves() -> None:
    assert map_values("pods[*].ports[*]", lambda n: n + 1)(node())["pods"][0]["ports"] == [2, 3]
    assert map_values("by_name[*]", lambda pod: pod["uid"])(node())["by_name"] == {
        "x": "3",
        "y": "4",
    }
    assert map_values("a[*][*]", str)({"a": [[1], {"b": 2}]}) == {"a": [["1"], {"b": "2"}]}


@pytest.mark.parametrize(
    ("migration", "problem"),
    [
        (rename("uid", "x"), "uid: is missing"),
        (rename("pods[*].name", "x"), "pods[*].name: is missing"),
        (rename("pods[*].uid", "ports"), "pods[*].ports: is there already"),
        (drop("pods[*].note"), "pods[*].note: is missing"),
        (add("by_name[*].uid", 1), "by_name[*].uid: is there already"),
        (add("name.first", 1), "name: expected dict, got str"),
        (drop("name[*].x"), "name: expected list or dict, got str"),
        (drop("pods[*].uid.x"), "pods[*].uid: expected dict, got str"),
        (map_values("pods.uid", int), "pods: expected dict, got list"),
        (map_values("name[*]", int), "name: expected list or dict, got str"),
        (map_values("name", int), "name: raised ValueError"),
        (map_values("pods[*].ports[*]", lambda n: 1 / (n - 1)), "pods[*].ports[*]: raised Zero"),
    ],
)
def test_what_is_not_as_the_path_says_is_named(migration: Any, problem: str) -> None:
    with pytest.raises(MigrationError) as caught:
        migration(node())
    assert caught.value.problem.startswith(problem)
    assert caught.value.__context__ is None


def test_a_payload_that_is_no_dict_is_named_so() -> None:
    with pytest.raises(MigrationError) as caught:
        add("a", 1)([])  # type: ignore[arg-type]
    assert caught.value.problem == "the payload: expected dict, got list"


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "[*]", "a[0]", "a[*]b", "a]", "*"])
def test_what_is_no_path_is_refused_when_the_schema_is_made(path: str) -> None:
    for helper in (drop, lambda path: rename(path, "x"), lambda path: map_values(path, str)):
        with pytest.raises(ValueError, match="is no path"):
            helper(path)


def test_a_path_that_must_name_a_field() -> None:
    for make in (drop, lambda path: rename(path, "x"), lambda path: add(path, 1)):
        with pytest.raises(ValueError, match="does not end with the name of a field"):
            make("a[*]")


def test_a_lack_of_memory_is_passed_on() -> None:
    def hungry(value: Any) -> Any:
        raise MemoryError

    with pytest.raises(MemoryError):
        map_values("name", hungry)(node())


names = st.text(st.characters(exclude_characters=".[]*", codec="utf-8"), min_size=1, max_size=4)
payloads = st.dictionaries(names, st.integers(), min_size=1, max_size=4)


@given(payloads, names, st.data())
def test_a_renaming_back_is_no_change(payload: Any, name: str, data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(sorted(payload)))
    there = rename(one, name)
    back = steps(there, rename(name, one))
    if name in payload and name != one:
        with pytest.raises(MigrationError):
            there(dict(payload))
    else:
        assert back(dict(payload)) == payload


@given(payloads, names, st.integers())
def test_what_was_added_can_be_dropped(payload: Any, name: str, value: int) -> None:
    payload.pop(name, None)
    assert steps(add(name, value), drop(name))(dict(payload)) == payload


def test_through_the_manager_the_error_has_the_key_the_step_and_the_place() -> None:
    store = MemoryStore()
    put(store, {"uid": "s3cret"})
    schema = Schema(PodV1, kind=KIND, version=2, migrations={1: rename("name", "x")})
    with pytest.raises(MigrationError) as caught:
        CheckpointManager(store, schema).get("a")
    assert vars(caught.value) == {
        "key": "a",
        "step": 1,
        "problem": "name: is missing",
        "end": 2,
    }
