"""The lock file: what goes in comes out, its diff reads well, and what is wrong is named."""

from __future__ import annotations

import difflib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import LockFileError
from checkpointkit.evolution.lockfile import (
    LockedKind,
    LockedVersion,
    LockFile,
    parse_lock,
    render_lock,
)
from checkpointkit.fingerprint import Shape, fingerprint
from tests.test_structuring_laws import schema_of, types

DIGEST = "sha256:" + "0" * 64
PATH = "src/agent/checkpointkit.lock"


def version(shape: Shape) -> LockedVersion:
    return LockedVersion(shape, fingerprint(shape), DIGEST)


def lock_of(**versions: Shape) -> LockFile:
    entries = {int(name[1:]): version(shape) for name, shape in versions.items()}
    return LockFile({"example.com/pods": LockedKind(entries)})


SHAPE: Shape = {
    "record": {
        "node": "str",
        "pods": {
            "list": {"record": {"uid": "str", "color": {"enum": ["blue", "red"]}, "up": {"up": 1}}}
        },
        "boot": {"union": ["null", "str"]},
    }
}


kinds = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5)
locks = st.builds(
    LockFile,
    st.dictionaries(
        kinds,
        st.builds(
            LockedKind,
            st.dictionaries(
                st.integers(1, 10**9 - 1),
                types.map(lambda typed: version(schema_of(typed.tp).shape)),
                max_size=3,
            ),
            reads_from=st.just(1),
            retired=st.booleans(),
        ),
        max_size=3,
    ),
)


@given(locks)
def test_what_is_written_is_read_again_and_written_the_same(lock: LockFile) -> None:
    text = render_lock(lock)
    again = parse_lock(text, PATH)
    assert again == lock
    assert render_lock(again) == text
    assert max(map(len, text.splitlines())) < 5000


def test_the_text_does_not_depend_on_any_order() -> None:
    one = LockFile({"b": LockedKind({2: version("int"), 1: version(SHAPE)}), "a": LockedKind({})})
    other = LockFile({"a": LockedKind({}), "b": LockedKind({1: version(SHAPE), 2: version("int")})})
    assert render_lock(one) == render_lock(other)


def test_each_field_has_a_line_and_all_else_stands_on_one() -> None:
    assert render_lock(lock_of(v1=SHAPE)).splitlines()[4:] == [
        '    "example.com/pods": {',
        '      "versions": {',
        '        "1": {',
        f'          "fingerprint": "{fingerprint(SHAPE)}",',
        f'          "goldens": "{DIGEST}",',
        '          "shape": {',
        '            "record": {',
        '              "boot": {"union": ["null", "str"]},',
        '              "node": "str",',
        '              "pods": {',
        '                "list": {',
        '                  "record": {',
        '                    "color": {"enum": ["blue", "red"]},',
        '                    "uid": "str",',
        '                    "up": {"up": 1}',
        "                  }",
        "                }",
        "              }",
        "            }",
        "          }",
        "        }",
        "      }",
        "    }",
        "  }",
        "}",
    ]


def test_a_field_more_is_a_line_more_in_the_diff() -> None:
    before = {"record": {"a": "int", "b": "str"}}
    after = {"record": {"a": "int", "and": "bool", "b": "str"}}
    diff = difflib.unified_diff(
        render_lock(lock_of(v1=before)).splitlines(),  # type: ignore[arg-type]
        render_lock(lock_of(v1=after)).splitlines(),  # type: ignore[arg-type]
        n=0,
    )
    changed = [line for line in diff if line[0] in "+-" and "fingerprint" not in line][2:]
    assert changed == ['+              "and": "bool",']


def test_a_new_version_only_adds_lines_to_the_diff() -> None:
    before = render_lock(lock_of(v1=SHAPE)).splitlines()
    after = render_lock(lock_of(v1=SHAPE, v2="int")).splitlines()
    removed = [line for line in difflib.ndiff(before, after) if line.startswith("- ")]
    assert removed in ([], ["-         }"])  # the bracket that gets a comma


def edited(**changes: Any) -> str:
    document = json.loads(render_lock(lock_of(v1=SHAPE)))
    document.update(changes)
    return json.dumps(document)


def with_version(number: str = "1", **changes: Any) -> str:
    document = json.loads(render_lock(lock_of(v1=SHAPE)))
    entries = document["kinds"]["example.com/pods"]["versions"]
    entry = entries.pop("1") | changes
    entries[number] = {name: part for name, part in entry.items() if part is not None}
    return json.dumps(document)


def with_kind(found: Any) -> str:
    return edited(kinds={"a": found})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is no JSON: line 1: Expecting value"),
        ("{\n]", "it is no JSON: line 2: Expecting property name"),
        ("[]", "the whole: expected an object, got list"),
        ("{}", "the whole: 'kinds' is missing"),
        (edited(lock=2), "its format is 2, this release reads 1; upgrade checkpointkit"),
        (edited(lock=True), "its format is True, this release reads 1; upgrade checkpointkit"),
        (edited(more=1), "the whole: 'more' is not known to this release"),
        (edited(kinds=[]), "kinds: expected an object, got list"),
        (with_kind([]), "'a': expected an object, got list"),
        (with_kind({}), "'a': 'versions' is missing"),
        (with_kind({"versions": {}, "x": 1}), "'a': 'x' is not known to this release"),
        (
            with_kind({"versions": {}, "reads_from": "1"}),
            "'a': reads_from is a number and retired is true or false",
        ),
        (
            with_kind({"versions": {}, "retired": 1}),
            "'a': reads_from is a number and retired is true or false",
        ),
        (
            with_kind({"versions": {}, "reads_from": 0}),
            "'a': reads_from is 0, and its versions are not",
        ),
        (
            with_kind({"versions": {}, "reads_from": 2}),
            "'a': reads_from is 2, and its versions are not",
        ),
        (with_kind({"versions": []}), "the versions of 'a': expected an object, got list"),
        (with_version("01"), "'example.com/pods' has a version '01', which is no number"),
        (with_version("0"), "'example.com/pods' has a version '0', which is no number"),
        (with_version(shape=None), "version 1 of 'example.com/pods': 'shape' is missing"),
        (
            with_version(fingerprint="x"),
            "version 1 of 'example.com/pods': its fingerprint is none",
        ),
        (with_version(goldens="sha256:0"), "version 1 of 'example.com/pods': its goldens is none"),
        (with_version(goldens=[DIGEST]), "version 1 of 'example.com/pods': its goldens is none"),
        (
            with_version(shape="integer"),
            "version 1 of 'example.com/pods': 'integer' is no shape that this release knows",
        ),
        ('{"lock": 1, "lock": 1, "kinds": {}}', "'lock' stands twice in one object; keep the one"),
        (
            render_lock(lock_of()).replace("{\n", "{\n<<<<<<< HEAD\n", 1),
            "it holds an unresolved merge; keep the entries of both sides",
        ),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_lock_file_is_named_with_its_path(text: str, reason: str) -> None:
    with pytest.raises(LockFileError) as caught:
        parse_lock(text, PATH)
    assert caught.value.path == PATH
    assert caught.value.reason.startswith(reason)


def test_what_is_not_there_has_no_version() -> None:
    lock = lock_of(v1=SHAPE, v3="int")
    assert lock.version("example.com/pods", 3) == version("int")
    assert lock.version("example.com/pods", 2) is None
    assert lock.version("example.com/other", 1) is None
    assert lock.kinds["example.com/pods"].newest == 3
    assert LockedKind({}).newest == 0
