"""Classes: attrs, dataclasses, NamedTuples and TypedDicts, generic, recursive, private, odd."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import GenericAlias
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    NamedTuple,
    NotRequired,
    Protocol,
    Required,
    TypedDict,
    TypeVar,
)

import attrs
import pytest
from attrs import Factory, define, field, frozen, validators

from checkpointkit import EncodeError, StructureError
from checkpointkit.schema import Schema

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTyping

T = TypeVar("T")
U = TypeVar("U")


def schema_of(cls: Any) -> Schema[Any]:
    return Schema(cls, kind="example.com/t", version=1)


def round_trip(cls: Any, value: Any) -> Any:
    """Return the payload, after it was seen that the value comes back."""
    schema = schema_of(cls)
    payload = schema.dump(value)
    back = schema.structure(json.loads(json.dumps(payload)))
    assert type(back) is type(value)
    assert back == value
    assert schema.dump(back) == payload
    return payload


def refused(cls: Any) -> str:
    with pytest.raises(TypeError) as caught:
        schema_of(cls)
    return str(caught.value)


# --- attrs ---------------------------------------------------------------------------------------


@frozen
class Inner:
    a: int = 5


@define
class Outer:
    inner: Inner
    many: list[Inner] = Factory(list)
    count: ClassVar[int] = 3
    fixed: Final[int] = 2
    by_keyword: int = field(kw_only=True, default=1)


def test_nested_attrs_classes_with_defaults_factories_and_keywords() -> None:
    payload = round_trip(Outer, Outer(Inner(), [Inner(1)]))
    assert payload == {"inner": {"a": 5}, "many": [{"a": 1}], "fixed": 2, "by_keyword": 1}


def test_defaults_do_not_fill_in_a_missing_key() -> None:
    with pytest.raises(StructureError) as caught:
        schema_of(Outer).structure({})
    assert caught.value.problems == (
        "inner: missing",
        "many: missing",
        "fixed: missing",
        "by_keyword: missing",
    )


def test_extra_keys_are_refused_and_counted_without_their_names() -> None:
    with pytest.raises(StructureError) as caught:
        schema_of(Inner).structure({"a": 1, "s3cret": 1})
    assert caught.value.problems == ("1 unknown key",)
    with pytest.raises(StructureError) as caught:
        schema_of(Inner).structure({"s3cret": 1, "s3cret2": 1})
    assert caught.value.problems == ("a: missing", "2 unknown keys")


def test_a_key_too_many_does_not_hide_behind_one_that_is_missing() -> None:
    with pytest.raises(StructureError) as caught:
        schema_of(Inner).structure({"b": 1})
    assert caught.value.problems == ("a: missing", "1 unknown key")


@frozen
class Private:
    _x: int
    __y: int
    other: int = field(alias="wire")


def test_private_names_and_aliases_are_on_the_wire_by_their_alias() -> None:
    payload = round_trip(Private, Private(1, 2, 3))
    assert payload == {"x": 1, "Private__y": 2, "wire": 3}


@dataclass
class PrivateDataclass:
    _x: int


def test_a_private_name_of_a_dataclass_is_its_name_on_the_wire() -> None:
    assert round_trip(PrivateDataclass, PrivateDataclass(1)) == {"_x": 1}


@frozen
class SavedWithoutInit:
    a: int
    b: int = field(init=False, default=7)
    _c: list[int] = field(init=False, factory=list)


@dataclass(frozen=True, slots=True)
class SavedWithoutInitDataclass:
    a: int
    b: int = dataclasses.field(init=False, default=7)


@define
class NeverSet:
    a: int
    b: int = field(init=False)


def test_init_false_fields_are_saved_and_restored() -> None:
    value = SavedWithoutInit(1)
    object.__setattr__(value, "b", 9)
    value._c.append(4)
    assert round_trip(SavedWithoutInit, value) == {"a": 1, "b": 9, "c": [4]}
    other = SavedWithoutInitDataclass(1)
    object.__setattr__(other, "b", 9)
    assert round_trip(SavedWithoutInitDataclass, other) == {"a": 1, "b": 9}


def test_init_false_fields_are_required_and_checked() -> None:
    with pytest.raises(StructureError) as caught:
        schema_of(SavedWithoutInit).structure({"a": 1, "b": "9"})
    assert caught.value.problems == ("b: expected int, got str", "c: missing")
    good = {"a": 1, "b": 2, "c": []}
    with pytest.raises(StructureError) as caught:
        schema_of(dict[str, SavedWithoutInit]).structure({"good": good, "bad": {}})
    assert caught.value.problems == ("[*].a: missing", "[*].b: missing", "[*].c: missing")


def test_a_field_that_was_never_set_is_not_dumped() -> None:
    with pytest.raises(EncodeError) as caught:
        schema_of(NeverSet).dump(NeverSet(1))
    assert caught.value.problems == ("b: not set",)
    value = NeverSet(1)
    value.b = 2
    assert round_trip(NeverSet, value) == {"a": 1, "b": 2}


@frozen
class Wider(Inner):
    b: int = 0


class Undecorated(Inner):
    pass


@dataclass
class Data:
    a: int
    _: dataclasses.KW_ONLY
    b: int = 3
    count: ClassVar[int] = 3


class UndecoratedData(Data):
    pass


def test_a_subclass_with_more_fields_is_not_dumped() -> None:
    with pytest.raises(EncodeError) as caught:
        schema_of(Inner).dump(Wider(1, 2))
    assert caught.value.problems == ("expected Inner, got Wider",)
    assert round_trip(Wider, Wider(1, 2)) == {"a": 1, "b": 2}
    with pytest.raises(EncodeError):
        schema_of(Data).dump(UndecoratedData(1))


def test_a_subclass_without_the_decorator_is_refused() -> None:
    assert refused(Undecorated) == (
        "Undecorated: Undecorated is a subclass without the decorator of its base"
    )
    assert "without the decorator" in refused(UndecoratedData)
    assert "without the decorator" in refused(PointSubclass)


def test_a_dataclass_with_keyword_only_fields() -> None:
    assert round_trip(Data, Data(1, b=2)) == {"a": 1, "b": 2}


@dataclass
class WithInitVar:
    a: int
    b: dataclasses.InitVar[int]


def test_an_init_var_is_refused() -> None:
    assert refused(WithInitVar) == ("WithInitVar: b is an InitVar, which the object does not keep")


def test_an_init_var_is_refused_without_string_annotations() -> None:
    made = dataclasses.make_dataclass("Made", [("b", dataclasses.InitVar[int])])
    assert "b is an InitVar" in refused(made)


def test_an_init_var_is_refused_under_another_name() -> None:
    @dataclass
    class Renamed:
        a: int
        b: Once[int] = 0

    assert "b is an InitVar" in refused(Renamed)


@dataclass
class NamedLikeAnInitVar:
    a: dict[str, InitVariousName]
    count: ClassVar[int] = 3


InitVariousName = str
Once = dataclasses.InitVar


def test_a_type_that_is_only_named_like_an_init_var() -> None:
    round_trip(NamedLikeAnInitVar, NamedLikeAnInitVar({"a": "b"}))


# attribute names that the generator of cattrs uses for its own arguments
Clashing = attrs.make_class(
    "Clashing",
    {name: attrs.field(type=int) for name in ("attrs", "cl", "converter", "o", "res", "instance")},
    frozen=True,
)


def test_fields_named_like_the_arguments_of_cattrs() -> None:
    value = Clashing(*range(6))
    assert len(round_trip(Clashing, value)) == 6


def test_a_field_without_a_type_is_refused() -> None:
    untyped = attrs.make_class("Untyped", ["a"])
    assert refused(untyped) == "Untyped.a: has no type"


def test_a_plain_class_is_refused() -> None:
    class Plain:
        a: int

    assert "Plain is not supported" in refused(Plain)


@pytest.mark.parametrize("cls", [list[int], int, None, tuple[int, ...]])
def test_a_state_that_is_no_dict_on_the_wire_is_refused(cls: Any) -> None:
    assert "a schema needs a class (or a dict), which has named parts" in refused(cls)


@frozen(eq=False)
class ByIdentity:
    a: int


def test_a_class_without_equality_is_kept() -> None:
    schema = schema_of(ByIdentity)
    assert schema.structure(schema.dump(ByIdentity(1))).a == 1


@frozen
class SetOfByIdentity:
    members: frozenset[ByIdentity]


def test_items_of_a_set_that_are_the_same_on_the_wire_are_refused() -> None:
    schema = schema_of(SetOfByIdentity)
    assert schema.dump(SetOfByIdentity(frozenset({ByIdentity(1), ByIdentity(0)}))) == {
        "members": [{"a": 0}, {"a": 1}]
    }
    with pytest.raises(EncodeError) as caught:
        schema.dump(SetOfByIdentity(frozenset({ByIdentity(1), ByIdentity(1)})))
    assert caught.value.problems == ("members: items of a frozenset that are the same on the wire",)


@define(hash=True)
class MutableHash:
    items: list[int]


@frozen
class SetOfMutable:
    members: frozenset[MutableHash]


def test_a_hash_that_raises_is_a_structure_error() -> None:
    with pytest.raises(StructureError) as caught:
        schema_of(SetOfMutable).structure({"members": [{"items": []}]})
    assert caught.value.problems == ("members: raised TypeError",)


def test_a_class_without_a_hash_cannot_be_in_a_set() -> None:
    assert "has no hash" in refused(dict[str, set[Outer]])


# --- classes that run code when they are built ---------------------------------------------------


@define
class Converting:
    a: str = field(converter=str.strip)  # type: ignore[misc]  # more than mypy follows


@define
class Validated:
    a: int = field(validator=validators.ge(0))


@define
class PostInit:
    a: int

    def __attrs_post_init__(self) -> None:
        self.a = abs(self.a)


@define
class PreInit:
    a: int

    def __attrs_pre_init__(self) -> None:
        pass


@dataclass
class PostInitData:
    a: int

    def __post_init__(self) -> None:
        self.a = abs(self.a)


@define(init=False)
class OwnInit:
    a: int

    def __init__(self, a: int) -> None:
        self.a = abs(a)


@dataclass
class OwnInitData:
    a: int

    def __init__(self, a: int) -> None:
        self.a = abs(a)


@define(init=False)
class OtherInit:
    a: int

    def __init__(self, s3cret: int) -> None:
        self.a = s3cret


@dataclass(init=False)
class NoInit:
    a: int


@define
class OwnSetattr:
    a: int

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, abs(value))


class Interning(type):
    def __call__(cls, a: int) -> Any:
        return super().__call__(abs(a))


@define
class Interned(metaclass=Interning):
    a: int


@dataclass
class Shadowed:
    a: int

    def _get(self) -> int:
        return abs(self.__dict__["a"])  # type: ignore[no-any-return]  # more than mypy follows

    def _set(self, value: int) -> None:
        self.__dict__["a"] = value


Shadowed.a = property(Shadowed._get, Shadowed._set)  # type: ignore[assignment]  # what is tried


def put(value: Any, a: Any) -> Any:
    object.__setattr__(value, "a", a)
    return value


@pytest.mark.parametrize(
    ("value", "bad"),
    [
        (Converting("x"), " x"),
        (PostInit(1), -1),
        (PostInitData(1), -1),
        (OwnInit(1), -1),
        (OwnInitData(1), -1),
        (OwnSetattr(1), -1),
        (Interned(1), -1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_class_that_changes_what_it_is_built_from_is_proven_by_a_round_trip(
    value: Any, bad: Any
) -> None:
    schema = schema_of(type(value))
    round_trip(type(value), value)
    problems = (f"{type(value).__name__} changes a value that is built again",)
    with pytest.raises(EncodeError) as caught:
        schema.dump(put(value, bad))
    assert caught.value.problems == problems
    with pytest.raises(StructureError) as caught_too:
        schema.structure({"a": bad})
    assert caught_too.value.problems == problems


def test_a_property_in_place_of_a_field_is_proven_by_a_round_trip() -> None:
    schema = schema_of(Shadowed)
    assert schema._unproven == "Shadowed"
    round_trip(Shadowed, Shadowed(1))
    with pytest.raises(StructureError, match="Shadowed changes a value"):
        schema.structure({"a": -1})


def test_a_validator_that_refuses_is_an_error_without_the_value() -> None:
    schema = schema_of(Validated)
    assert round_trip(Validated, Validated(0)) == {"a": 0}
    for call in (
        lambda: schema.structure({"a": -77}),
        lambda: schema.dump(put(Validated(0), -77)),
    ):
        with pytest.raises((StructureError, EncodeError)) as caught:
            call()
        assert caught.value.problems == ("Validated raised ValueError",)
        assert caught.value.__context__ is None
        assert "77" not in str(caught.value)


@pytest.mark.parametrize("cls", [OtherInit, NoInit])
def test_an_init_that_does_not_take_the_fields_is_an_encode_error(cls: Any) -> None:
    value = put(cls.__new__(cls), 1)
    with pytest.raises(EncodeError) as caught:
        schema_of(cls).dump(value)
    assert caught.value.problems == (f"{cls.__name__} raised TypeError",)


def test_a_pre_init_is_proven_and_kept() -> None:
    round_trip(PreInit, PreInit(1))


@define
class Raising:
    a: int

    @property
    def b(self) -> int:
        raise AssertionError

    def __getattribute__(self, name: str) -> Any:
        if name == "a":
            raise RuntimeError("s3cret")
        return super().__getattribute__(name)


def test_an_attribute_that_raises_is_an_encode_error() -> None:
    with pytest.raises(EncodeError) as caught:
        schema_of(Raising).dump(Raising(1))
    assert caught.value.problems == ("raised RuntimeError",)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("where", ["init", "hash"])
def test_a_lack_of_memory_is_no_error_of_the_state(where: str) -> None:
    @define(hash=False, eq=False)
    class Hungry:
        a: int

        def __attrs_post_init__(self) -> None:
            if where == "init":
                raise MemoryError

        def __hash__(self) -> int:
            raise MemoryError

    with pytest.raises(MemoryError) as caught:
        schema_of(dict[str, set[Hungry]]).structure({"a": [{"a": 1}]})
    assert caught.value.__context__ is None


# --- recursion -----------------------------------------------------------------------------------


@frozen
class Node:
    value: int
    children: tuple[Node, ...] = ()
    named: dict[str, Node] = Factory(dict)
    parent: Node | None = None


@frozen
class Ping:
    pong: Pong | None


@dataclass(frozen=True)
class Pong:
    ping: Ping | None


class TreeDict(TypedDict):
    children: list[TreeDict]


def test_recursive_classes() -> None:
    round_trip(Node, Node(1, (Node(2), Node(3, (Node(4),))), {"a": Node(5)}, Node(6)))
    round_trip(Ping, Ping(Pong(Ping(None))))
    round_trip(TreeDict, {"children": [{"children": []}]})


def test_a_problem_deep_in_a_recursive_class_has_its_path() -> None:
    good = {"value": 1, "children": [], "named": {}, "parent": None}
    bad = {**good, "value": "1"}
    data = {**good, "children": [good, {**good, "named": {"s3cret": {**good, "parent": bad}}}]}
    with pytest.raises(StructureError) as caught:
        schema_of(Node).structure(data)
    assert caught.value.problems == ("children[1].named[*].parent.value: expected int, got str",)


def test_deep_nesting_is_an_error_and_no_recursion_error() -> None:
    schema = schema_of(Ping)
    value: Any = None
    data: Any = None
    for _ in range(50_000):
        value, data = Ping(Pong(value)), {"pong": {"ping": data}}
    with pytest.raises(EncodeError) as caught:
        schema.dump(value)
    assert caught.value.problems == ("nested too deeply",)
    with pytest.raises(StructureError) as caught_too:
        schema.structure(data)
    assert caught_too.value.problems == ("nested too deeply",)
    assert caught.value.__context__ is caught_too.value.__context__ is None
    while value is not None:  # taken apart by hand: freeing it in one go would recurse
        value, data = value.pong.ping, data["pong"]["ping"]


def test_a_value_that_contains_itself_is_an_encode_error() -> None:
    loop: TreeDict = {"children": []}
    loop["children"].append(loop)
    with pytest.raises(EncodeError) as caught:
        schema_of(TreeDict).dump(loop)
    assert caught.value.problems == ("nested too deeply",)


def test_a_hundred_levels_are_no_trouble() -> None:
    value = Ping(None)
    for _ in range(100):
        value = Ping(Pong(value))
    round_trip(Ping, value)


@frozen
class Growing(Generic[T]):
    inner: Growing[list[T]] | None


def test_a_generic_class_that_grows_without_end_is_refused() -> None:
    assert refused(Growing[int]).endswith("types nest without end")


# --- generic classes -----------------------------------------------------------------------------


@frozen
class Box(Generic[T]):
    item: T
    more: list[T] = Factory(list)


@dataclass(frozen=True)
class Pair(Generic[T, U]):
    left: T
    right: U | None


@frozen
class IntBox(Box[int]):
    extra: str = ""


@frozen
class ListBox(Box[list[T]], Generic[T]):  # the same variable means another thing in the base
    own: T | None = None


class GenericTuple(NamedTuple, Generic[T]):
    item: T


class GenericDict(TypedDict, Generic[T]):
    item: T


class IntDict(GenericDict[int]):
    more: str


class Named(Protocol[T]):  # type: ignore[misc]  # more than mypy follows
    pass


@frozen
class WithProtocol(Named[int]):
    a: int


@pytest.mark.parametrize(
    ("cls", "value", "bad"),
    [
        (Box[int], Box(1, [2]), Box("a", [])),
        (Box[Box[str]], Box(Box("a")), Box(Box(1))),
        (Pair[int, str], Pair(1, "a"), Pair("a", 1)),
        (IntBox, IntBox(1, [2], "x"), IntBox("a", [], "x")),  # type: ignore[arg-type]  # wrong on purpose
        (ListBox[str], ListBox(["a"], [["b"]], "c"), ListBox("a", ["b"], "c")),  # type: ignore[arg-type, list-item]  # wrong on purpose
        (GenericTuple[int], GenericTuple(1), GenericTuple("a")),
        (GenericDict[int], {"item": 1}, {"item": "a"}),
        (IntDict, {"item": 1, "more": "a"}, {"item": "a", "more": "a"}),
        (dict[str, Box[int | None]], {"a": Box(None)}, {"a": Box("a")}),
        (WithProtocol, WithProtocol(1), WithProtocol("a")),  # type: ignore[arg-type]  # wrong on purpose
    ],
    ids=lambda part: str(part)[:40],
)
def test_generic_classes(cls: Any, value: Any, bad: Any) -> None:
    round_trip(cls, value)
    with pytest.raises(EncodeError):
        schema_of(cls).dump(bad)


def test_a_type_argument_without_a_hash() -> None:
    round_trip(Box[Annotated[int, ["doc"]]], Box(1, [2]))


def test_a_generic_class_without_its_arguments_is_refused() -> None:
    assert refused(Box) == "Box.item: ~T is open; give the class its type arguments"
    assert "~T is open" in refused(Box[T])  # type: ignore[valid-type]  # more than mypy follows
    assert "~T is open" in refused(GenericDict)


# --- NamedTuples and TypedDicts ------------------------------------------------------------------


class Point(NamedTuple):
    x: int
    y: int = 0


class PointSubclass(Point):
    pass


Untyped = namedtuple("Untyped", ["a"])


def test_a_named_tuple_is_a_record_on_the_wire() -> None:
    assert round_trip(Point, Point(1, 2)) == {"x": 1, "y": 2}
    assert schema_of(dict[str, set[Point]]).dump({"a": {Point(2), Point(1)}}) == {
        "a": [{"x": 1, "y": 0}, {"x": 2, "y": 0}]
    }
    with pytest.raises(EncodeError):
        schema_of(Point).dump((1, 2))
    with pytest.raises(StructureError):
        schema_of(Point).structure({"x": 1})
    assert refused(Untyped) == "Untyped.a: has no type"


class Base(TypedDict):
    a: int
    b: NotRequired[int]


class Movie(Base, total=False):
    c: str
    d: Required[Annotated[str, "doc"]]
    e: Annotated[Required[str], "doc"]


Functional = TypedDict("Functional", {"a-b": int, "class": str})


def test_a_typed_dict_with_keys_that_may_be_absent() -> None:
    round_trip(Movie, {"a": 1, "d": "x", "e": "y"})
    round_trip(Movie, {"a": 1, "b": 2, "c": "z", "d": "x", "e": "y"})
    round_trip(Functional, {"a-b": 1, "class": "x"})


def test_a_typed_dict_is_strict() -> None:
    schema = schema_of(Movie)
    for bad, problems in [
        ({"a": 1}, ("d: missing", "e: missing")),
        ({"a": 1, "d": "x", "e": "y", "s3cret": 1}, ("1 unknown key",)),
        ({"a": True, "d": "x", "e": 1}, ("a: expected int, got bool", "e: expected str, got int")),
        ([], ("expected dict, got list",)),
    ]:
        with pytest.raises(StructureError) as caught:
            schema.structure(bad)  # type: ignore[arg-type]  # what is tried
        assert caught.value.problems == problems
        with pytest.raises(EncodeError) as caught_too:
            schema.dump(bad)
        assert caught_too.value.problems == problems


def test_a_good_part_beside_a_bad_one() -> None:
    movies: Schema[dict[str, Movie]] = schema_of(dict[str, Movie])
    good: Movie = {"a": 1, "d": "x", "e": "y"}
    with pytest.raises(StructureError) as caught:
        movies.structure({"good": good, "bad": {**good, "a": "1"}})
    assert caught.value.problems == ("[*].a: expected int, got str",)


# --- annotations ---------------------------------------------------------------------------------


def test_a_local_class_is_resolved_as_far_as_it_goes() -> None:
    @frozen
    class Local:
        value: int
        next: Local | None = None

    round_trip(Local, Local(1, Local(2)))

    @frozen
    class Other:
        local: Local

    assert refused(Other) == (
        "Other.local: its annotation cannot be resolved (NameError: name 'Local' is not defined); "
        "move what it names to the level of the module"
    )
    attrs.resolve_types(Other, localns={"Local": Local})
    round_trip(Other, Other(Local(1)))


def test_an_import_for_typing_only_is_refused_with_its_field() -> None:
    @frozen
    class Late:
        fine: int
        field: list[OnlyForTyping]

    assert refused(Late).startswith("Late.field: its annotation cannot be resolved (NameError")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is of Python 3.12")
@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_type_aliases_and_type_parameters(future: str, load: Callable[[str], Any]) -> None:
    module = load(future + NEW_SYNTAX)
    round_trip(module.Stack[int], module.Stack([1], {"a": (1, 1)}))
    with pytest.raises(EncodeError):
        schema_of(module.Stack[int]).dump(module.Stack(["a"], {}))
    assert round_trip(module.Tree, {"a": {"b": {}}}) == {"a": {"b": {}}}
    assert schema_of(module.Tree).shape == {"dict": ["str", {"up": 0}]}


NEW_SYNTAX = """
from attrs import frozen
type Pair[T] = tuple[T, T]
type Tree = dict[str, Tree]
@frozen
class Stack[T]:
    items: list[T]
    pairs: dict[str, Pair[T]]
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    def load(code: str) -> Any:
        path = tmp_path / "made.py"
        path.write_text(code)
        spec = spec_from_file_location("made", path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "made", module)
        spec.loader.exec_module(module)
        return module

    return load


class Alias:
    """What `type Twin[T] = tuple[T, T]` makes since Python 3.12."""

    def __init__(self, value: Any, parameters: tuple[Any, ...]) -> None:
        self.__value__ = value
        self.__type_params__ = parameters

    def __getitem__(self, argument: Any) -> Any:
        return GenericAlias(self, argument)  # type: ignore[arg-type]  # as Python does it


Twin: Any = Alias(tuple[T, T], (T,))  # type: ignore[valid-type]  # more than mypy follows


@frozen
class WithAlias(Generic[T]):
    twins: dict[str, Twin[T]]


def test_a_generic_type_alias() -> None:
    round_trip(WithAlias[int], WithAlias({"a": (1, 2)}))
    with pytest.raises(EncodeError):
        schema_of(WithAlias[int]).dump(WithAlias({"a": (1, "a")}))
    assert schema_of(dict[str, Twin[int]]).shape == {"dict": ["str", {"tuple": ["int", "int"]}]}


def test_annotations_that_are_no_texts(load: Callable[[str], Any]) -> None:
    module = load("""
from typing import NamedTuple, NotRequired, TypedDict
from attrs import frozen
class Movie(TypedDict):
    a: NotRequired["int"]
class Point(NamedTuple):
    movie: Movie
@frozen
class State:
    nothing: None
    points: list["Point"]
""")
    round_trip(module.State, module.State(None, [module.Point({"a": 1}), module.Point({})]))


def test_a_type_that_is_an_argument_of_its_field() -> None:
    @define(auto_attribs=False)
    class Old:
        a = field(type=int)
        b = field(type=list["str"])

    round_trip(Old, Old(1, ["a"]))
    with pytest.raises(EncodeError):
        schema_of(Old).dump(Old("a", []))  # type: ignore[arg-type]  # wrong on purpose


@frozen
class WithDefaultNamedLikeItsType:
    Inner: Inner = Inner(3)  # noqa: RUF009 - it is frozen


def test_a_default_does_not_stand_before_the_type_of_the_module() -> None:
    round_trip(WithDefaultNamedLikeItsType, WithDefaultNamedLikeItsType())


def test_a_class_of_no_module_that_is_loaded() -> None:
    namespace: dict[str, Any] = {"__name__": "not.loaded", "define": define}
    exec(
        "from __future__ import annotations\n@define\nclass Gone:\n    a: int\n    g: Gone | None",
        namespace,
    )
    gone = namespace["Gone"]
    round_trip(gone, gone(1, gone(2, None)))


def test_two_fields_with_one_name_on_the_wire_are_refused() -> None:
    made = attrs.make_class(
        "Twice",
        {
            "a": attrs.field(type=int, init=False, alias="x"),
            "x": attrs.field(type=int),
        },
    )
    assert refused(made) == "Twice: two fields have the same name on the wire"


def test_a_cached_value_in_the_object_is_no_state() -> None:
    @define(slots=False)
    class Cached:
        a: int

        @functools.cached_property
        def twice(self) -> int:
            return 2 * self.a

    value = Cached(1)
    assert value.twice == 2
    assert round_trip(Cached, value) == {"a": 1}
