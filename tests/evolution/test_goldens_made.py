"""How goldens are made: about twenty, the same ones each time, and none that the class refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen
from hypothesis import strategies as st

from checkpointkit import CheckpointManager, MemoryStore
from checkpointkit.envelope import (
    encode_payload,
    open_envelope,
)
from checkpointkit.errors import LockFileError
from checkpointkit.evolution.goldens import (
    GOLDEN_KEY,
    make_goldens,
    render_goldens,
)
from checkpointkit.evolution.samples import nearest
from checkpointkit.schema import Hook, Schema
from tests.evolution.stored import DRAWING, LEASE, Drawing, Lease, payloads_of

SECRET = "s3cret"
ROOT = Path(__file__).parents[2]


# ----------------------------------------------------------------------------------------- making


def test_about_twenty_goldens_are_made_and_no_two_are_the_same() -> None:
    goldens = make_goldens(DRAWING, {})
    assert 18 <= len(goldens.envelopes) <= 22
    assert len(set(goldens.envelopes)) == len(goldens.envelopes)
    assert goldens.becomes == {}


def test_a_manager_reads_goldens_as_it_reads_its_store() -> None:
    store = MemoryStore()
    manager = CheckpointManager(store, DRAWING)
    for data in make_goldens(DRAWING, {}).envelopes:
        store.remove(GOLDEN_KEY)
        store.write(GOLDEN_KEY, lambda _, __, data=data: data)  # type: ignore[misc]
        value = manager.get(GOLDEN_KEY)
        assert type(value) is Drawing
        stored = open_envelope(data, GOLDEN_KEY)
        assert encode_payload(DRAWING.dump(value)) == stored.payload
        assert (stored.header.kind, stored.header.schema_version) == (DRAWING.kind, 1)
        assert stored.header.fingerprint == DRAWING.fingerprint


def test_goldens_hold_what_breaks_programs() -> None:
    made = payloads_of(make_goldens(DRAWING, {}))
    assert {payload["color"] for payload in made} == {"red", "blue", "green"}
    assert {form["is"] for payload in made for form in payload["forms"]} == {"circle", "square"}
    assert {0, -1, 2**63} <= {payload["count"] for payload in made}
    assert "" in {payload["name"] for payload in made}
    assert any(not payload["name"].isascii() for payload in made)
    assert {payload["parent"] is None for payload in made} == {True, False}
    assert [] in [payload["forms"] for payload in made]


PROGRAM = """
from checkpointkit.evolution.goldens import make_goldens
from tests.evolution.stored import DRAWING
print(make_goldens(DRAWING, {}).digest)
"""


def run(program: str, directory: Path, given: str = "", **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **environment},
        cwd=directory,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_goldens_made_twice_are_the_same_in_every_process(tmp_path: Path) -> None:
    first = run(PROGRAM, tmp_path, PYTHONHASHSEED="0")
    assert first.startswith("sha256:")
    assert run(PROGRAM, tmp_path, PYTHONHASHSEED="4242") == first
    assert make_goldens(DRAWING, {}) == make_goldens(DRAWING, {})


WITHOUT = """
import sys
sys.modules["hypothesis"] = None
from checkpointkit.errors import MissingExtraError
from checkpointkit.evolution.goldens import judge, make_goldens, parse_goldens
from tests.evolution.stored import DRAWING
goldens = parse_goldens(sys.stdin.read(), "a.jsonl")
print(judge(DRAWING, 1, goldens.envelopes, None, 1))
try:
    make_goldens(DRAWING, {})
except MissingExtraError as error:
    print(error)
"""


def test_hypothesis_is_needed_to_make_goldens_and_not_to_judge_them(tmp_path: Path) -> None:
    goldens = make_goldens(DRAWING, {})
    judged, said = run(WITHOUT, tmp_path, render_goldens(goldens)).splitlines()
    assert judged == "()"
    assert said.endswith("is missing; install it with: pip install 'checkpointkit[testing]'")


LEAKING = """
import tokens
from checkpointkit.evolution.samples import draw
shape = {"record": {"text": "str", "data": "bytes", "path": "path", "plain": "json"}}
print(draw(shape, {}, 200))
"""


def test_no_constant_of_a_module_that_is_loaded_gets_into_goldens(tmp_path: Path) -> None:
    # Hypothesis looks for such constants in all modules that are not installed.
    (tmp_path / "tokens.py").write_text(
        "".join(f"A{i} = 'token-{i}-t0ken'\nB{i} = b'token-{i}-t0ken'\n" for i in range(50))
    )
    printed = run(LEAKING, tmp_path)
    assert len(printed) > 10_000
    assert "t0ken" not in printed
    assert "dDBrZW4" not in printed  # the same in base64
    assert "QwbjI" not in printed


def test_examples_come_first() -> None:
    examples = [Lease("node-a", 30), Lease("node-b", 15)]
    made = payloads_of(make_goldens(LEASE, {}, iter(examples)))
    assert made[:2] == [LEASE.dump(each) for each in examples]
    assert len(made) >= 18


def test_many_examples_leave_room_for_the_edges() -> None:
    made = payloads_of(make_goldens(LEASE, {}, [Lease(f"node-{i}", i) for i in range(50)]))
    assert 18 <= len(made) <= 22
    assert 2**63 in [payload["seconds"] for payload in made]


def test_a_tiny_format_has_few_goldens() -> None:
    @frozen
    class Switch:
        on: bool

    made = payloads_of(make_goldens(Schema(Switch, kind="a", version=1), {}))
    assert made == [{"on": False}, {"on": True}]


def test_a_wide_format_has_goldens_of_its_edges_in_no_time() -> None:
    wide = attrs.make_class("Wide", {f"f{i}": attrs.field(type=list[str]) for i in range(400)})
    made = payloads_of(make_goldens(Schema(wide, kind="a", version=1), {}))
    assert [] in [payload["f399"] for payload in made]
    assert len(made) == 2
    half = attrs.make_class("Half", {f"f{i}": attrs.field(type=list[str]) for i in range(200)})
    assert len(payloads_of(make_goldens(Schema(half, kind="a", version=1), {}))) > 6


# ------------------------------------------------------------------- classes that refuse a lot


@frozen
class Narrow:
    name: str = attrs.field(validator=attrs.validators.matches_re("node-[a-z]+"))
    port: int = attrs.field(validator=[attrs.validators.ge(1), attrs.validators.le(65535)])
    tags: list[str]


NARROW = Schema(Narrow, kind="example.com/narrow", version=1)


def test_a_class_that_refuses_what_its_shape_allows_needs_examples() -> None:
    with pytest.raises(LockFileError) as caught:
        make_goldens(NARROW, {})
    assert caught.value.path == "pyproject.toml"
    assert "[tool.checkpointkit.examples]" in caught.value.reason
    assert '"example.com/narrow" = "package.module:NAME"' in caught.value.reason


def test_of_what_such_a_class_refuses_as_much_is_tried_as_it_takes() -> None:
    made = payloads_of(make_goldens(NARROW, {}, [Narrow("node-a", 80, ["x"])]))
    assert len(made) >= 15
    assert {payload["name"] for payload in made} == {"node-a"}
    assert 1 in {payload["port"] for payload in made}
    assert [] in [payload["tags"] for payload in made]


def test_an_example_that_does_not_fit_is_named_without_its_value() -> None:
    with pytest.raises(LockFileError) as caught:
        make_goldens(LEASE, {}, [Lease("a", 1), Lease(SECRET, SECRET)])  # type: ignore[arg-type]
    assert "example 2 of example.com/lease does not fit: seconds: expected int" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("wanted", "base", "made"),
    [
        ({"a": 1}, {"a": 0}, {"a": 1}),
        ({"a": -1}, {"a": 0}, {"a": 0}),
        ({"b": {"c": 2, "d": -1}}, {"b": {"c": 0, "d": 0}}, {"b": {"c": 2, "d": 0}}),
        ({"a": [1, -1, 2]}, {"a": [0]}, {"a": [1, 2]}),
        ({"a": [-1, -2]}, {"a": [0]}, {"a": []}),
        ({"x": 5, "y": -5}, {"a": 0}, {"a": 0, "x": 5}),
        ({"a": {"b": -1}}, {"a": 0}, {"a": 0}),
    ],
)  # fmt: skip
def test_as_much_is_taken_as_fits(wanted: Any, base: Any, made: Any) -> None:
    assert nearest(wanted, base, lambda tried: "-" not in json.dumps(tried)) == made


def test_a_list_that_must_not_be_short_stays_as_it_was() -> None:
    def fits(made: Any) -> bool:
        return len(made["a"]) > 1 and min(made["a"]) > 0

    assert nearest({"a": [1, -1]}, {"a": [7, 8]}, fits) == {"a": [7, 8]}


# ---------------------------------------------------------------------------------------- hooks


@frozen
class Price:
    amount: Fraction


class Odd:
    """Hypothesis cannot know what it takes."""

    def __init__(self, text: Any) -> None:
        if text != "odd":
            raise ValueError(text)
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd)

    __hash__ = None  # type: ignore[assignment]


@frozen
class HasOdd:
    odd: Odd
    n: int


FRACTION = Hook(Fraction, wire="example.com/fraction", dump=str, load=Fraction)
ODD = Hook(Odd, wire="example.com/odd", dump=lambda odd: odd.text, load=Odd)


def test_values_of_a_hook_are_made_up() -> None:
    schema = Schema(Price, kind="a", version=1, hooks=[FRACTION])
    made = payloads_of(make_goldens(schema, {}))
    assert len(made) >= 5
    assert all(Fraction(payload["amount"]) is not None for payload in made)


def test_what_a_hook_must_not_write_is_not_taken_for_a_sample() -> None:
    odd = Hook(Fraction, wire="a", dump=lambda value: value, load=lambda data: data)
    with pytest.raises(LockFileError, match="name some values of it"):
        make_goldens(Schema(Price, kind="a", version=1, hooks=[odd]), {})


def test_a_lack_of_memory_is_none_of_a_hook() -> None:
    def no_memory() -> Fraction:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(st, "from_type", lambda _: st.builds(no_memory))
        make_goldens(Schema(Price, kind="a", version=1, hooks=[FRACTION]), {})


def test_what_a_hook_writes_is_learnt_from_examples_and_from_older_goldens() -> None:
    schema = Schema(HasOdd, kind="a", version=1, hooks=[ODD])
    with pytest.raises(LockFileError, match="name some values of it"):
        make_goldens(schema, {})
    first = make_goldens(schema, {}, [HasOdd(Odd("odd"), 1)])
    assert len(payloads_of(first)) >= 15
    newer = Schema(HasOdd, kind="a", version=2, hooks=[ODD], migrations={1: lambda old: old})
    assert len(payloads_of(make_goldens(newer, {1: first}))) >= 15
