"""A stub is Python that compiles, does what is certain, and leaves `...` where nobody can know."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import Downgrade, Payload
from checkpointkit.evolution.stubs import downgrade_stub, stub
from checkpointkit.fingerprint import Shape
from checkpointkit.structuring.wire import misfits
from tests.evolution.test_edits import CHANGED, accepted, pod
from tests.test_structuring_laws import Typed, schema_of, types


def record(**fields: Shape) -> Shape:
    return {"record": fields}


def run(source: str, payload: Payload) -> Any:
    namespace: dict[str, Any] = {"Payload": dict}
    exec(source, namespace)
    (name,) = (name for name in namespace if name.startswith("to_"))
    return namespace[name](copy.deepcopy(payload))


CASES: list[tuple[Shape, Shape, list[str]]] = [
    (record(a="int"), record(a="int"), ["return old"]),
    (
        record(a="int"),
        record(a={"union": ["int", "null"]}),
        [
            "# what such a state holds fits the other version as it is:",
            "# ~ a: int -> int or null",
            "return old",
        ],
    ),
    (
        record(a="int", b="str", c="str"),
        record(x="int", y="str"),
        [
            'old["x"] = old.pop("a")  # renamed, or is it not?',
            'del old["b"]',
            'del old["c"]',
            'old["y"] = ...  # str: what is it for an old state?',
            "return old",
        ],
    ),
    (
        record(a="int"),
        record(x="int", y="int"),
        [
            'del old["a"]',  # which of the two it may have become is not to be guessed
            'old["x"] = ...  # int: what is it for an old state?',
            'old["y"] = ...  # int: what is it for an old state?',
            "return old",
        ],
    ),
    (
        record(),
        record(
            a={"union": ["int", "null"]},
            b={"list": "int"},
            c={"dict": ["str", "int"]},
            d={"tuple": "int"},
            e={"tuple": ["int"]},
            f="null",
        ),
        [
            'old["a"] = None',
            'old["b"] = []',
            'old["c"] = {}',
            'old["d"] = []',
            'old["e"] = ...  # tuple of (int): what is it for an old state?',
            'old["f"] = None',
            "return old",
        ],
    ),
    (
        record(pods={"list": record(by={"dict": ["str", record(n="int")]})}),
        record(pods={"list": record(by={"dict": ["str", record(n="str")]})}),
        [
            'for item in old["pods"]:',
            '    for item2 in item["by"].values():',
            '        item2["n"] = str(item2["n"])',
            "return old",
        ],
    ),
    (
        record(a={"union": [record(n="int"), "null"]}),
        record(a={"union": [record(n="float"), "null"]}),
        [
            'if old["a"] is not None:',
            '    old["a"]["n"] = float(old["a"]["n"])',
            "return old",
        ],
    ),
    (
        record(a={"union": ["int", "null"]}),
        record(a="int"),
        [
            'if old["a"] is None:',
            '    old["a"] = ...  # int: what is it for an old state?',
            "return old",
        ],
    ),
    (
        record(a={"enum": ["x", 1, True]}),
        record(a={"enum": ["y"]}),
        [
            'old["a"] = ...  # now one of "y"',  # True in (1,)
            "return old",
        ],
    ),
    (
        record(a={"enum": ["x", 2, None]}),
        record(a={"enum": ["y", 2]}),
        [
            'if old["a"] in ("x", None,):',
            '    old["a"] = ...  # now one of "y" | 2',
            "return old",
        ],
    ),
    (
        {"record": {}, "optional": {"a": {"list": "int"}}},
        {"record": {"a": {"list": "int"}}},
        ['if "a" not in old:', '    old["a"] = []', "return old"],
    ),
    (
        {"record": {}, "optional": {"a": "int"}},
        {"record": {"a": "str"}},
        [
            'if "a" in old:',
            '    old["a"] = str(old["a"])',
            "else:",
            '    old["a"] = ...  # str: what is it for an old state?',
            "return old",
        ],
    ),
    (
        {"record": {}, "optional": {"a": "int", "b": "str"}},
        {"record": {"c": "str"}},
        [
            'old.pop("a", None)',
            'if "b" in old:',
            '    old["c"] = old.pop("b")  # renamed, or is it not?',
            "else:",
            '    old["c"] = ...  # str: what is it for an old state?',
            "return old",
        ],
    ),
    (
        {"record": {}, "optional": {"b": "str"}},
        {"record": {}, "optional": {"c": "str"}},
        [
            'if "b" in old:',
            '    old["c"] = old.pop("b")  # renamed, or is it not?',
            "return old",
        ],
    ),
    (
        record(a={"record": {"x\nimport os": "int"}}),
        record(a="int"),
        ['old["a"] = ...  # was record of x\\nimport os, is int', "return old"],
    ),
    (
        {"record": {"a": "int"}},
        {"record": {"a": "int"}, "optional": {"b": "str"}},
        [
            "# what such a state holds fits the other version as it is:",
            "# + b: str, or absent",
            "return old",
        ],
    ),
    (
        {"tagged": ["t", {"a": record(n="int")}]},
        {"tagged": ["t", {"a": record(n="str")}]},
        [
            "# old: was one of a, told by 't', is one of a, told by 't'; change it in place",
            "return old",
        ],
    ),
    (
        {"dict": ["str", {"dict": ["int", "int"]}]},
        {"dict": ["str", {"dict": ["str", "int"]}]},
        [
            "for item in old.values():",
            "    # item: was dict of int to int, is dict of str to int; change it in place",
            "    ...",
            "return old",
        ],
    ),
    (
        record(a={"union": [{"list": "int"}, "null"]}),
        record(a={"union": [{"set": "int"}, "null"]}),
        [
            'if old["a"] is not None:',
            '    old["a"] = ...  # was list of int, is set of int',
            "return old",
        ],
    ),
    (
        record(a={"dict": ["str", {"tuple": record(n="int")}]}),
        record(a={"dict": ["str", {"tuple": record()}]}),
        [
            'for item in old["a"].values():',
            "    for item2 in item:",
            '        del item2["n"]',
            "return old",
        ],
    ),
    (
        record(a={"union": ["int", "null", "str"]}),
        record(a={"union": ["bool", "null"]}),
        [
            'if old["a"] is not None:',
            '    old["a"] = ...  # was int or str, is bool',
            "return old",
        ],
    ),
]


@pytest.mark.parametrize(("old", "new", "lines"), CASES)
def test_a_stub_line_by_line(old: Shape, new: Shape, lines: list[str]) -> None:
    head, *body = stub(old, new, 3).splitlines()
    assert head == "def to_4(old: Payload) -> Payload:  # 3 -> 4"
    assert body == [f"    {line}" for line in lines]


@given(st.data())
def test_every_stub_runs_and_a_finished_one_makes_what_fits(data: st.DataObject) -> None:
    one: Typed = data.draw(types)
    other: Typed = data.draw(types)
    old, new = schema_of(one.tp), schema_of(other.tp)
    source = stub(old.shape, new.shape, 1)
    made = run(source, old.dump({"x": data.draw(one.values)}))
    if "..." not in source and "change it in place" not in source:
        assert misfits(new.shape, made) == ()


small = st.sampled_from(["int", "float", "str", {"list": "int"}, {"union": ["int", "null"]}])
values: dict[str, Any] = {"int": 1, "float": 1.5, "str": "x"}


@given(st.data())
def test_what_may_be_absent_is_no_trouble(data: st.DataObject) -> None:
    fields = st.dictionaries(st.sampled_from("abcd"), st.tuples(small, st.booleans()), max_size=3)

    def shape(found: Any) -> Any:
        return {
            "record": {name: part for name, (part, optional) in found.items() if not optional},
            "optional": {name: part for name, (part, optional) in found.items() if optional},
        }

    before, after = data.draw(fields), data.draw(fields)
    payload = {
        name: values.get(part if isinstance(part, str) else "", [] if "list" in part else None)
        for name, (part, optional) in before.items()
        if not optional or data.draw(st.booleans())
    }
    source = stub(shape(before), shape(after), 1)
    made = run(source, payload)
    unfit = misfits(shape(after), made)
    assert unfit == () or "ellipsis" in str(unfit)


@given(st.data())
def test_every_stub_of_a_downgrade_makes_one(data: st.DataObject) -> None:
    old, new = (schema_of(data.draw(types).tp).shape for _ in range(2))
    namespace: dict[str, Any] = {"Payload": dict, "Downgrade": Downgrade}
    exec(downgrade_stub(old, new, 7), namespace)
    assert namespace["FROM_8"] == Downgrade(namespace["from_8"], old)


@pytest.mark.parametrize("make", [each[1] for each in CHANGED], ids=[each[0] for each in CHANGED])
def test_stubs_of_real_edits_take_the_goldens_as_far_as_they_are_finished(make: Any) -> None:
    changed = make()
    source = stub(pod().shape, changed.shape, 1)
    goldens = accepted().goldens_of("example.com/pod", 1)
    assert goldens is not None
    unfinished = "..." in source or "change it in place" in source
    for envelope in goldens.envelopes:
        made = run(source, json.loads(envelope.split(b"\n", 2)[2]))
        assert unfinished or misfits(changed.shape, made) == ()
