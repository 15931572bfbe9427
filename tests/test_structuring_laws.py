"""The laws, over types and values that Hypothesis makes up.

1. What `dump` takes comes back through JSON, equal and of the same types.
2. `structure` takes nothing but what `dump` writes.
3. Equal sets give equal payloads.
4. No error tells a value.
"""

# ruff: noqa: UP045 - what is made at run time has other spellings

from __future__ import annotations

import enum
import json
import traceback
from dataclasses import dataclass, make_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple, Optional, TypedDict
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit import CheckpointError, EncodeError, StructureError
from checkpointkit.schema import Json, Schema

pytestmark = pytest.mark.usefixtures("unmeasured")

SECRET = "s3cret"


class Color(enum.Enum):
    RED = "red"
    SECOND = 2
    NOTHING = None


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Typed:
    """A type, with a strategy for its values."""

    def __init__(
        self, tp: Any, values: st.SearchStrategy[Any], *, key: bool = True, null: bool = False
    ) -> None:
        self.tp = tp
        self.values = values
        self.key = key  # can be a key of a dict
        self.null = null  # has null for a value that is not None

    def __repr__(self) -> str:
        return repr(self.tp)


texts = st.text(st.characters(codec="utf-8"), max_size=5)
zones = st.sampled_from([UTC, timezone(timedelta(hours=-3)), timezone(timedelta(seconds=5))])
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
scalars = st.sampled_from(
    [
        Typed(str, texts),
        Typed(int, st.integers()),
        Typed(bytes, st.binary(max_size=5)),
        Typed(Color, st.sampled_from(Color), key=False, null=True),
        Typed(Rights, st.sampled_from([Rights(0), *Rights, ~Rights(0)])),
        Typed(Literal["a", "b"], st.sampled_from(["a", "b"])),
        Typed(date, st.dates()),
        Typed(datetime, st.datetimes(timezones=zones).map(lambda at: at.replace(fold=0))),
        Typed(timedelta, st.timedeltas()),
        Typed(UUID, st.uuids()),
        Typed(PurePosixPath, texts.map(lambda text: PurePosixPath(text.replace("\0", "")))),
        Typed(float, st.floats(allow_nan=False, allow_infinity=False), key=False),
        Typed(Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
        Typed(bool, st.booleans(), key=False),
        Typed(type(None), st.none(), key=False),
        Typed(Literal[1, True, "1", None], st.sampled_from([1, True, "1", None]), key=False),
        Typed(
            str | int | bool | None, texts | st.integers() | st.booleans() | st.none(), key=False
        ),
    ]
)


def hashable(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    return st.one_of(
        inner.map(
            lambda item: Typed(
                tuple[item.tp, ...],  # type: ignore[name-defined]  # made at run time
                st.lists(item.values, max_size=3).map(tuple),
                key=False,
            )
        ),
        inner.map(
            lambda item: Typed(
                frozenset[item.tp],  # type: ignore[name-defined]  # made at run time
                st.frozensets(item.values, max_size=3),
                key=False,
            )
        ),
        inner.filter(lambda item: not item.null).map(
            lambda item: Typed(
                Optional[item.tp],
                st.none() | item.values,
                key=False,
            )
        ),
        st.lists(inner, max_size=3).map(record(frozen=True)),
    )


def record(*, frozen: bool) -> Any:
    def make(items: list[Typed]) -> Typed:
        names = [f"f{i}" for i in range(len(items))]
        if len(items) % 2:
            cls: Any = attrs.make_class(
                "Made",
                {name: attrs.field(type=item.tp) for name, item in zip(names, items, strict=True)},
                frozen=frozen,
            )
        else:
            fields = [(name, item.tp) for name, item in zip(names, items, strict=True)]
            cls = make_dataclass("Made", fields, frozen=frozen)
        return Typed(
            cls,
            st.tuples(*(item.values for item in items)).map(lambda values: cls(*values)),
            key=False,
        )

    return make


def any_type(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    return st.one_of(
        inner.map(
            lambda item: Typed(
                list[item.tp],  # type: ignore[name-defined]  # made at run time
                st.lists(item.values, max_size=3),
                key=False,
            )
        ),
        st.tuples(scalars.filter(lambda item: item.key), inner).map(
            lambda pair: Typed(
                dict[pair[0].tp, pair[1].tp],  # type: ignore[misc]  # made at run time
                st.dictionaries(pair[0].values, pair[1].values, max_size=3),
                key=False,
            )
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda items: Typed(
                tuple[tuple(item.tp for item in items)],  # type: ignore[misc]  # made at run time
                st.tuples(*(item.values for item in items)),
                key=False,
            )
        ),
        st.lists(inner, max_size=3).map(record(frozen=False)),
        st.just(Typed(Json, plain, key=False)),
    )


hashables = st.recursive(scalars, hashable, max_leaves=4)
types = st.recursive(hashables, any_type, max_leaves=5)


def same(left: Any, right: Any) -> bool:
    """Equal and of the same types, all the way down."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict):
        return all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, (list, tuple)):
        return all(map(same, left, right))
    return True


def schema_of(tp: Any) -> Schema[dict[str, Any]]:
    return Schema(dict[str, tp], kind="example.com/t", version=1)


@given(st.data())
def test_law_1_what_dump_takes_comes_back(data: st.DataObject) -> None:
    made = data.draw(types)
    value = {"v": data.draw(made.values)}
    schema = schema_of(made.tp)
    payload = schema.dump(value)
    text = json.dumps(payload, ensure_ascii=False, allow_nan=False, sort_keys=True)
    back = schema.structure(json.loads(text.encode()))
    assert same(back, value)
    assert same(schema.dump(back), payload)


@st.composite
def changed(draw: st.DrawFn, payload: Any) -> Any:
    """Return the payload with one part replaced, added or left out."""
    inner: list[Any] = []
    if isinstance(payload, dict):
        inner = list(payload)
    elif isinstance(payload, list):
        inner = list(range(len(payload)))
    if inner and draw(st.integers(0, 3)):  # type: ignore[arg-type]  # wrong on purpose
        key = draw(st.sampled_from(inner))
        copied = payload.copy()
        copied[key] = draw(changed(payload[key]))
        return copied
    replaced = plain | st.sampled_from(["1", 1, 1.0, True, None, "", [], {}, -0.0, "\ud800"])  # type: ignore[var-annotated]  # more than mypy follows
    if isinstance(payload, dict):
        key = draw(st.sampled_from(inner)) if inner else ""
        return draw(
            st.sampled_from(
                [
                    {name: part for name, part in payload.items() if name != key},
                    {**payload, draw(texts): draw(replaced)},
                ]
            )
        )
    if isinstance(payload, list) and draw(st.booleans()):
        return draw(st.sampled_from([payload[1:], payload[::-1], payload * 2]))
    return draw(replaced)


@given(st.data())
def test_law_2_structure_takes_only_what_dump_writes(data: st.DataObject) -> None:
    made = data.draw(types)
    schema = schema_of(made.tp)
    payload = schema.dump({"v": data.draw(made.values)})
    payload = data.draw(changed(payload))
    try:
        value = schema.structure(payload)
    except StructureError as error:
        assert error.problems
    else:
        assert same(schema.dump(value), payload)


@given(st.data())
def test_law_2_for_arbitrary_json(data: st.DataObject) -> None:
    schema = schema_of(data.draw(types).tp)
    payload = data.draw(plain)
    try:
        value = schema.structure(payload)  # type: ignore[arg-type]  # wrong on purpose
    except StructureError as error:
        assert error.problems
    else:
        assert same(schema.dump(value), payload)


@given(st.data())
def test_law_3_equal_sets_give_equal_payloads(data: st.DataObject) -> None:
    made = data.draw(hashables)
    schema = schema_of(frozenset[made.tp])  # type: ignore[name-defined]  # made at run time
    items = data.draw(st.lists(made.values, max_size=8))
    shuffled = data.draw(st.permutations(list(dict.fromkeys(items))))
    assert schema.dump({"v": frozenset(items)}) == schema.dump({"v": frozenset(shuffled)})


# --- secrets -------------------------------------------------------------------------------------

secrets = st.sampled_from([SECRET, f"{SECRET}\ud800", [SECRET], {SECRET: SECRET}, (SECRET,)])


class Point(NamedTuple):
    x: int
    y: str


class Movie(TypedDict, total=False):
    title: int


@attrs.define(hash=True)
class Checked:
    a: str = attrs.field(validator=attrs.validators.max_len(2))
    b: str = attrs.field(converter=str.upper, default="B")  # type: ignore[misc]  # more than mypy follows


@dataclass
class Wide:
    text: int
    keys: dict[int, Color]
    choice: Literal["a", 1]
    when: datetime
    number: Decimal
    data: bytes
    point: Point
    movie: Movie
    checked: Checked
    pair: tuple[int, UUID]
    members: frozenset[int]
    either: int | bool | None
    path: PurePosixPath


WIDE = Schema(dict[str, Wide], kind="example.com/wide", version=1)
NAMES = list(Wide.__annotations__)


def told(error: CheckpointError) -> str:
    """Return everything that an error tells, with all that it is chained to."""
    parts = []
    link: BaseException | None = error
    while link is not None:
        parts += [str(link), repr(link), repr(link.args), repr(vars(link))]
        link = link.__cause__ or link.__context__
    return "".join([*parts, *traceback.format_exception(error)])


@given(
    st.dictionaries(
        st.sampled_from([*NAMES, SECRET]),
        secrets
        | st.dictionaries(
            st.sampled_from([SECRET, "1", "a", "b", "x", "y", "title", "text"]), secrets
        ),
    )
)
def test_law_4_no_error_of_structure_tells_a_value(data: dict[str, Any]) -> None:
    with pytest.raises(StructureError) as caught:
        WIDE.structure({SECRET: data})
    assert SECRET not in told(caught.value)
    assert caught.value.__context__ is caught.value.__cause__ is None


@given(st.lists(secrets | st.builds(Point, secrets, secrets), min_size=13, max_size=13))
def test_law_4_no_error_of_dump_tells_a_value(parts: list[Any]) -> None:
    with pytest.raises(EncodeError) as caught:
        WIDE.dump({SECRET: Wide(*parts)})
    assert SECRET not in told(caught.value)
    assert caught.value.__context__ is caught.value.__cause__ is None


@given(st.text(st.characters(codec="ascii"), min_size=3))
def test_law_4_no_error_of_a_validator_tells_a_value(text: str) -> None:
    schema = Schema(Checked, kind="example.com/t", version=1)
    with pytest.raises(StructureError) as caught:
        schema.structure({"a": f"{SECRET}{text}", "b": SECRET})
    assert SECRET not in told(caught.value)
    assert caught.value.problems == ("Checked raised ValueError",)
