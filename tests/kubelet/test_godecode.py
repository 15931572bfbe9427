"""Decoding into Go's types, and the text that is hashed: the rules, one by one."""

from __future__ import annotations

import base64
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.kubelet import formats
from checkpointkit.kubelet.cpusets import MAX_CPUS, CpuSetError, format_cpus, parse_cpus
from checkpointkit.kubelet.gobase64 import Base64Error, decode_base64
from checkpointkit.kubelet.godecode import GoTypeError, decode, fits, zero
from checkpointkit.kubelet.godump import dump
from checkpointkit.kubelet.gojson import parse
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
from checkpointkit.kubelet.pods import PodsDataError, check_pods_data
from checkpointkit.kubelet.sums import FNV_BASIS, FNV_PRIME, fnv1a32, plain_fnv1a32
from checkpointkit.kubelet.verdicts import read

INT = Number("int", signed=True)
NUMBER = "json: cannot unmarshal number into Go struct field CPUManagerCheckpoint"
UINT8 = Number("uint8", signed=False, bits=8)
POINT = Struct(
    "p.Point", (Field("X", "x", "x", INT), Field("Skis", "skis", "skis", Text("p.Skis")))
)
POINTS = ListOf("[]p.Point", POINT)


def into(kind: GoType, text: str, before: Any = None) -> Any:
    """Decode a text into the only field of a struct."""
    struct = Struct("p.T", (Field("V", "v", "v", kind),))
    value = zero(struct) if before is None else {"v": before}
    return decode(struct, parse(f'{{"v":{text}}}'.encode()), value)["v"]


def twice(kind: GoType, first: str, second: str) -> Any:
    struct = Struct("p.T", (Field("V", "v", "v", kind),))
    return decode(struct, parse(f'{{"v":{first},"V":{second}}}'.encode()), zero(struct))["v"]


def test_keys_match_in_any_case_the_kelvin_sign_and_the_long_s_too() -> None:
    for key in ("skis", "SKIS", "s\u212ais", "\u017f\u212aI\u017f"):
        assert decode(POINT, ((key, "a"),), zero(POINT))["skis"] == "a"
    for key in ("skıs", "ski", "skis ", "ßkis"):
        assert decode(POINT, ((key, "a"),), zero(POINT))["skis"] == ""


def test_a_map_that_stands_twice_is_merged_and_a_struct_too() -> None:
    numbers = MapOf("map[string]int", INT)
    assert twice(numbers, '{"a":1,"b":2}', '{"b":3}') == {"a": 1, "b": 3}
    assert twice(numbers, '{"a":1}', "null") is None
    assert twice(POINT, '{"x":1}', '{"skis":"b"}') == {"x": 1, "skis": "b"}
    assert twice(MapOf("m", POINT), '{"a":{"x":1}}', '{"a":{"skis":"b"}}') == {
        "a": {"x": 0, "skis": "b"}  # an element of a map is always new
    }
    assert twice(Pointer(POINT), '{"x":1}', '{"skis":"b"}') == {"x": 1, "skis": "b"}


def test_an_array_is_decoded_over_what_the_slice_had_its_hidden_end_too() -> None:
    assert twice(POINTS, '[{"x":1}]', '[{"skis":"b"}]') == [{"x": 1, "skis": "b"}]
    struct = Struct("p.T", (Field("V", "v", "v", POINTS),))
    text = b'{"v":[{"x":1},{"x":2}],"v":[{}],"v":[{},{"skis":"b"},{}]}'
    assert decode(struct, parse(text), zero(struct))["v"] == [
        {"x": 1, "skis": ""},
        {"x": 2, "skis": "b"},
        {"x": 0, "skis": ""},
    ]
    text = b'{"v":[{"x":1}],"v":[],"v":[{}]}'
    assert decode(struct, parse(text), zero(struct))["v"] == [{"x": 0, "skis": ""}]


def test_null_leaves_a_scalar_and_a_struct_as_they_were() -> None:
    assert into(INT, "null", 7) == 7
    assert into(Text(), "null", "a") == "a"
    assert into(POINT, "null", {"x": 1, "skis": ""}) == {"x": 1, "skis": ""}
    assert into(POINTS, "null", [1]) is None
    assert into(Bytes(), "null", "AA==") is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (INT, "-0", 0),
        (INT, str(2**63 - 1), 2**63 - 1),
        (UINT8, "255", 255),
        (Bytes(), '"AAE="', "AAE="),
        (Bytes(), '"AA\\r\\nE="', "AAE="),
        (Bytes(), '"AAF="', "AAE="),  # bits that pad the last byte
        (Bytes(), "[0,255,128]", base64.b64encode(b"\0\xff\x80").decode()),
        (MapOf("m", Text(), INT), '{"+1":"a","-0":"b","007":"c"}', {"1": "a", "0": "b", "7": "c"}),
        (ListOf("l", Text()), "[]", []),
        (MapOf("m", Text()), "{}", {}),
    ],
)
def test_what_go_takes(kind: GoType, text: str, value: Any) -> None:
    assert into(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        (INT, "1.0", "number 1.0 into Go struct field T.v of type int"),
        (INT, str(2**63), f"number {2**63} into Go struct field T.v of type int"),
        (UINT8, "-0", "number -0 into Go struct field T.v of type uint8"),
        (UINT8, "256", "number 256 into Go struct field T.v of type uint8"),
        (INT, "true", "bool into Go struct field T.v of type int"),
        (INT, '"1"', "string into Go struct field T.v of type int"),
        (INT, "[]", "array into Go struct field T.v of type int"),
        (INT, "{}", "object into Go struct field T.v of type int"),
        (Text(), "1", "number into Go struct field T.v of type string"),
        (POINTS, '"a"', "string into Go struct field T.v of type []p.Point"),
        (POINT, "1.5", "number into Go struct field T.v of type p.Point"),
        (POINT, '{"x":"a"}', "string into Go struct field Point.v.x of type int"),
        (Pointer(POINT), "[]", "array into Go struct field T.v of type p.Point"),
        (Bytes(), "{}", "object into Go struct field T.v of type []uint8"),
        (Bytes(), "[1,256]", "number 256 into Go struct field T.v of type uint8"),
        (ListOf("l", Text()), '["a",1]', "number into Go struct field T.v of type string"),
        (ListOf("l", INT), '[1,"a"]', "string into Go struct field T.v of type int"),
        (MapOf("m", INT), '{"a":[]}', "array into Go struct field T.v of type int"),
        (MapOf("m", Text()), '{"a":[]}', "array into Go struct field T.v of type string"),
        (MapOf("m", INT, INT), '{"1_0":1}', "number 1_0 into Go struct field T.v of type int"),
        (MapOf("m", INT, INT), '{"٣":1}', "number ٣ into Go struct field T.v of type int"),
    ],
)
def test_what_go_refuses(kind: GoType, text: str, says: str) -> None:
    with pytest.raises(GoTypeError) as caught:
        into(kind, text)
    assert str(caught.value) == f"json: cannot unmarshal {says}"


def test_the_first_wrong_value_is_reported_and_the_rest_is_still_decoded() -> None:
    with pytest.raises(GoTypeError, match=r"Point\.skis"):
        decode(POINT, parse(b'{"skis":1,"x":"a"}'), zero(POINT))


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("A", 0),
        ("AAAA A", 4),
        ("AAA", 0),
        ("=", 0),
        ("A=", 1),
        ("AA=", 3),
        ("AA=A", 2),
        ("AA=\n=x", 5),
        ("AAA=A", 4),
        ("A\nA=\n", 5),
        ("é", 0),
    ],
)
def test_base64_is_refused_where_go_stops(text: str, offset: int) -> None:
    with pytest.raises(Base64Error, match=rf"byte {offset}$"):
        decode_base64(text)
    with pytest.raises(GoTypeError, match=rf"byte {offset}$"):
        into(Bytes(), '"' + text.replace("\n", "\\n") + '"')


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1,,2", "3-2", "٣", "9" * 30, f"0-{MAX_CPUS}"])
def test_what_is_no_set_of_cpus(text: str) -> None:
    with pytest.raises(CpuSetError):
        parse_cpus(text)


def test_many_ranges_are_no_way_around_the_limit() -> None:
    with pytest.raises(CpuSetError, match="more than"):
        parse_cpus(",".join(f"{n * 60000}-{n * 60000 + 59999}" for n in range(5)))


@given(st.sets(st.integers(0, 300)))
def test_sets_of_cpus_are_read_as_they_are_written(cpus: set[int]) -> None:
    assert parse_cpus(format_cpus(tuple(sorted(cpus)))) == tuple(sorted(cpus))


def pod_cpus(text: str) -> Any:
    return read(formats.CPU_V3, f'{{"podEntries":{{"a":{text}}}}}'.encode())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("7", f"{NUMBER}.podEntries of type state.podEntryJSON"),
        ('{"cpuSet":7}', f"{NUMBER}.podEntries.cpuSet of type string"),
        ('{"cpuSet":"x"}', 'failed to parse cpuset: strconv.Atoi: parsing "x": invalid syntax'),
    ],
)  # fmt: skip
def test_a_struct_that_decodes_itself_ends_the_decoding(text: str, says: str) -> None:
    assert pod_cpus(text).problem == says
    later = b'{"policyName":1,"podEntries":{"a":%s}}' % text.encode()
    assert read(formats.CPU_V3, later).problem == says


@pytest.mark.parametrize("text", ["null", "{}", '{"cpuSet":null}', '{"CPUSET":""}'])
def test_a_pod_without_cpus_has_an_empty_set_and_none_that_is_nil(text: str) -> None:
    found = pod_cpus(text)
    assert (
        "PodEntries:(state.PodCPUAssignments)map[a:{CPUSet:(cpuset.CPUSet)"
        "{elems:(map[int]struct {})map[]}}]" in formats.CPU_V3.text(found.document)
    )


def test_a_nil_pointer_takes_the_type_of_the_next_field_away() -> None:
    """go-spew's own slip: after a nil pointer in a map it believes that a type was printed."""
    found = read(formats.MEMORY_V1, b'{"machineState":{"0":null}}').document
    assert found is not None
    assert formats.MEMORY_V1.text(found) == (
        "(*state.MemoryManagerCheckpoint){PolicyName:(string) "
        "MachineState:(state.NUMANodeMap)map[0:<nil>] Entries:map[] "
        "Checksum:(checksum.Checksum)0}"
    )


def test_a_number_alone_has_its_type() -> None:
    assert dump(INT, 7) == "(int)7"


def test_the_text_of_a_pointer_that_is_no_element() -> None:
    struct = Struct("p.T", (Field("P", "p", "p", Pointer(POINT)), Field("N", "n", "n", INT)))
    assert dump(struct, {"p": None, "n": 1}) == "(p.T){P:(*p.Point)<nil> N:(int)1}"
    value = {"p": {"x": 1, "skis": ""}, "n": 1}
    assert dump(struct, value) == "(p.T){P:(*p.Point){X:(int)1 Skis:(p.Skis)} N:(int)1}"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "unexpected end of JSON input"),
        ('{"entries":7}', "cannot unmarshal number"),
        ('{"entries":{"a":{"ContainerResources":{"c":{"limits":{"cpu":"x"}}}}}}', "quantities"),
        ('{"entries":{"a":{"ContainerResources":{"c":{"limits":{"cpu":{}}}}}}}', "quantities"),
        ('{"entries":{"a":{"ContainerResources":{"c":{"limits":{"cpu":true}}}}}}', "quantities"),
    ],
)
def test_the_data_of_pods_is_read_at_the_start(data: str, says: str) -> None:
    with pytest.raises(PodsDataError, match=says):
        check_pods_data(data)


def test_amounts_are_texts_numbers_or_null() -> None:
    text = '{"entries":{"a":{"ContainerResources":{"c":{"limits":{"cpu":2,"m":1.5,"n":null}}}}}}'
    found = check_pods_data(text)["entries"]["a"]["containers"]["c"]["limits"]
    assert found == {"cpu": "2", "m": "1.5", "n": "0"}


@settings(max_examples=50)
@given(st.binary(max_size=70))
def test_the_sum_is_fnv_1a_with_the_extra_and_without(data: bytes) -> None:
    value = FNV_BASIS
    for byte in data:
        value = (value ^ byte) * FNV_PRIME % 2**32
    assert plain_fnv1a32(data) == fnv1a32(data) == value


def test_without_the_extra_the_sum_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setitem(sys.modules, "fnv_hash_fast", None)
    assert fnv1a32(b"kubelet") == plain_fnv1a32(b"kubelet")


def test_what_a_struct_that_decodes_itself_refuses_does_not_fit() -> None:
    (pods,) = [each.type for each in formats.CPU_V3.struct.fields if each.name == "pod_entries"]
    assert fits(pods, (("uid", (("cpuSet", "0-3"),)),))
    assert not fits(pods, (("uid", (("cpuSet", "3-0"),)),))
