"""The short way comes to what the long way comes to, or leaves it to that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.kubelet import formats, godecode, godump
from checkpointkit.kubelet.godecode import GoTypeError, decode, zero
from checkpointkit.kubelet.godump import dump
from checkpointkit.kubelet.gojson import RawNumber
from checkpointkit.kubelet.goplain import OddError, decoder_of, dumper_of
from checkpointkit.kubelet.gotypes import (
    Bytes,
    Field,
    GoType,
    ListOf,
    MapOf,
    Number,
    Pointer,
    Struct,
    Text,
)

INT = Number("int8", signed=True, bits=8)
INTS = ListOf("[]int8", INT)
BLOCK = Struct(
    "p.Block", (Field("I", "i", "i", INTS), Field("T", "t", "t", Text()), Field("N", "n", "n", INT))
)
BLOCKS = ListOf("[]p.Block", BLOCK)
MAPS = MapOf("map[string]map[string][]p.Block", MapOf("map[string][]p.Block", BLOCKS))
TEXTS = MapOf("map[string]string", Text())
KINDS: tuple[GoType, ...] = (INTS, BLOCKS, MAPS, TEXTS, ListOf("[]string", Text()))


def good(kind: GoType) -> st.SearchStrategy[Any]:
    """Make documents as the kubelet writes them."""
    if isinstance(kind, Text):
        return st.text(max_size=3)
    if isinstance(kind, Number):
        return st.integers(kind.least, kind.most)
    if isinstance(kind, ListOf):
        return st.lists(good(kind.item), max_size=3)
    if isinstance(kind, MapOf):
        return st.dictionaries(st.text(max_size=2), good(kind.value), max_size=3).map(
            lambda made: tuple(made.items())
        )
    assert isinstance(kind, Struct)
    return st.tuples(*(st.tuples(st.just(each.json), good(each.type)) for each in kind.fields))


@st.composite
def odd(draw: st.DrawFn, kind: GoType) -> Any:
    """Make documents with something else in them now and then."""
    if draw(st.integers(0, 7)) == 0:
        others: tuple[Any, ...] = (
            None,
            True,
            7,
            128,
            -129,
            RawNumber("1.0"),
            "x",
            [],
            (),
            [None],
            (("a", None),),
        )
        return draw(st.sampled_from(others))
    if isinstance(kind, ListOf):
        return draw(st.lists(odd(kind.item), max_size=3))
    keys = st.sampled_from(("a", "b"))
    if isinstance(kind, MapOf):
        return tuple(draw(st.lists(st.tuples(keys, odd(kind.value)), max_size=3)))
    if isinstance(kind, Struct):
        fields = [(each.json, draw(odd(each.type))) for each in kind.fields]
        names = draw(st.sampled_from(("itn", "itn", "itnt", "nti", "it", "itnx", "xtn", "iTn", "")))
        made = dict(fields)
        return tuple((name, made.get(name.lower())) for name in names)
    return draw(good(kind))


def come_to(kind: GoType, node: Any) -> tuple[Any, str]:
    struct = Struct("p.T", (Field("V", "v", "v", kind),))
    value = zero(struct)
    try:
        return decode(struct, (("v", node),), value)["v"], ""
    except GoTypeError as error:
        return value["v"], str(error)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_both_ways_agree(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    node = data.draw(odd(kind) | good(kind))
    quick = come_to(kind, node)
    text = dump(kind, quick[0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(godecode, "decoder_of", lambda _: None)
        patched.setattr(godump, "dumper_of", lambda _: None)
        assert come_to(kind, node) == quick
        assert dump(kind, quick[0]) == text


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_the_kubelet_writes_goes_the_short_way(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    short = decoder_of(kind)
    assert short is not None
    assert short(data.draw(good(kind))) is not None


BAD_BLOCKS: tuple[Any, ...] = (
    [(("i", []), ("t", "x"))],
    [(("i", []), ("t", "x"), ("m", 1))],
    [(("i", []), ("t", 1), ("n", 1))],
    [(("i", [True]), ("t", "x"), ("n", 1))],
    [(("i", ()), ("t", "x"), ("n", 1))],
    [(("i", []), ("t", "x"), ("n", 128))],
    [[]],
    (),
)


@pytest.mark.parametrize("node", BAD_BLOCKS)
def test_what_is_odd_is_left_to_the_long_way(node: Any) -> None:
    short = decoder_of(BLOCKS)
    assert short is not None
    with pytest.raises(OddError):
        short(node)


def test_a_key_that_stands_twice_is_left_to_the_long_way() -> None:
    short = decoder_of(TEXTS)
    assert short is not None
    nodes: tuple[Any, ...] = ((("a", "1"), ("a", "2")), [], (("a", 1),))
    for node in nodes:
        with pytest.raises(OddError):
            short(node)


def test_what_was_decoded_is_no_part_of_the_document() -> None:
    node = [1, 2]
    short = decoder_of(INTS)
    assert short is not None
    short(node).append(3)
    assert node == [1, 2]


@pytest.mark.parametrize(
    "kind",
    [
        Bytes(),
        Pointer(BLOCK),
        ListOf("[]*p.Block", Pointer(BLOCK)),
        MapOf("map[string][]byte", Bytes()),
        MapOf("map[int8]string", Text(), INT),
        Struct("p.S", (Field("B", "b", "b", Bytes()),)),
        Struct("p.S", (Field("T", "t", "t", Text()),), helper="p.h"),
    ],
)
def test_types_with_rules_of_their_own_have_no_short_way(kind: GoType) -> None:
    assert decoder_of(kind) is None
    assert dumper_of(kind) is None


def test_the_files_of_the_kubelet_have_a_short_way() -> None:
    for kind in (formats.CPU_V1, formats.CPU_V2, formats.MEMORY_V1):
        (entries,) = [each.type for each in kind.struct.fields if each.name == "entries"]
        assert decoder_of(entries)
        assert dumper_of(entries)


@pytest.mark.parametrize("kind", [INTS, BLOCKS, MAPS, TEXTS])
def test_what_is_nil_is_nil_the_short_way_too(kind: GoType) -> None:
    short = dumper_of(kind)
    assert short is not None
    assert short(None) == "<nil>"
