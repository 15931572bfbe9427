"""One wrong bit: the verdict that the rules give, and the bit found wherever it can be known."""

from __future__ import annotations

import random

import pytest

from checkpointkit.kubelet import formats
from checkpointkit.kubelet.flips import LARGEST, find_flips, turned
from checkpointkit.kubelet.formats import Format
from checkpointkit.kubelet.verdicts import Verdict, read, render
from tests.kubelet.vectors import vectors

WRITTEN = [each for each in vectors() if each.by_the_kubelet and len(each.data) < 6000]
PODS = {
    f"{n:08x}-0c66-4bd4-8f4c-2d1b3f1e5a{n:02x}": {
        f"web-{n}": f"{n}-{n + 3}",
        "log": f"{2 * n + 40}",
    }
    for n in range(1, 15)
}
KIB = render(
    formats.CPU_V2,
    {"policy_name": "static", "default_cpu_set": "0,17-39,60-127", "entries": PODS},
)


def places(kind: Format, data: bytes) -> list[tuple[int, int]]:
    return [(each.offset, each.bit) for each in find_flips([kind], data)]


def check(kind: Format, data: bytes, offset: int, bit: int) -> bool:
    """See that a flip is found, unless the damaged file is as good; tell whether it was sought."""
    damaged = turned(data, offset, bit)
    found = read(kind, damaged)
    if found.verdict is Verdict.OK:
        return False
    assert places(kind, damaged) == [(offset, bit)], (offset, bit, damaged[offset - 9 : offset + 9])
    return True


def test_the_file_of_this_test_has_a_kibibyte() -> None:
    assert 1000 <= len(KIB) <= 1100
    assert read(formats.CPU_V2, KIB).verdict is Verdict.OK


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("part", range(8))
def test_every_bit_of_a_kibibyte_is_found(part: int) -> None:
    sought = sum(
        check(formats.CPU_V2, KIB, offset, bit)
        for offset in range(part, len(KIB), 8)
        for bit in range(8)
    )
    assert sought > len(KIB) * 9 // 10  # the rest is in the key of the checksum, or in a case


@pytest.mark.parametrize("kind", formats.FORMATS, ids=lambda kind: kind.name)
def test_wrong_bits_of_every_file_are_found(kind: Format) -> None:
    draw = random.Random(kind.name)
    files = [each for each in WRITTEN if each.kind.struct == kind.struct]
    sought = 0
    for _ in range(60):
        vector = draw.choice(files)
        offset = draw.randrange(len(vector.data))
        sought += check(vector.kind, vector.data, offset, draw.randrange(8))
    assert sought > 20


def brute(kind: Format, data: bytes) -> list[tuple[int, int]]:
    """Try every bit, one after the other."""
    found = []
    for offset in range(len(data)):
        for bit in range(8):
            changed = turned(data, offset, bit)
            reading = read(kind, changed)
            if reading.verdict is Verdict.OK and reading.stored:
                found.append((offset, bit, changed == render(kind, reading.document or {})))
    written = [(offset, bit) for offset, bit, good in found if good]
    return written or [(offset, bit) for offset, bit, _ in found]


@pytest.mark.parametrize(
    "kind", [formats.CPU_V2, formats.CPU_V3, formats.MEMORY_V1, formats.DEVICES]
)
def test_what_is_found_is_what_trying_every_bit_finds(kind: Format) -> None:
    draw = random.Random(5)
    files = [each for each in WRITTEN if each.kind is kind and len(each.data) < 320]
    for vector in files[:2]:
        for _ in range(2):
            damaged = turned(vector.data, draw.randrange(len(vector.data)), draw.randrange(8))
            if read(kind, damaged).verdict is not Verdict.OK:
                assert places(kind, damaged) == brute(kind, damaged), vector.name


def test_two_wrong_bits_are_not_taken_for_one() -> None:
    assert places(formats.CPU_V2, turned(turned(KIB, 60, 0), 200, 1)) == []
    assert places(formats.CPU_V2, KIB[:-9]) == []


def test_a_checksum_that_no_sum_can_be_is_one_bit_away_or_not() -> None:
    data = b'{"data":"{}","checksum":694314937}'
    assert places(formats.ALLOCATED_PODS, data.replace(b"7}", b"7999999}")) == []
    assert places(formats.ALLOCATED_PODS, data.replace(b"694", b"6y4")) == [(25, 6)]


def test_a_file_that_was_laid_out_by_hand_is_searched_too() -> None:
    data = b'{ "data": "{}", "checksum": 694314937 }'
    flips = find_flips([formats.ALLOCATED_PODS], data.replace(b"937", b"936"))
    assert [(each.offset, each.bit, each.written, each.in_checksum) for each in flips] == [
        (36, 0, False, True)
    ]
    damaged = data.replace(b' "checksum', b'0"checksum')
    assert [(each.offset, each.bit) for each in find_flips([formats.ALLOCATED_PODS], damaged)] == [
        (15, 4)
    ]
    blank = b'{"data":"{}","checksum":6943149 7}'.replace(b"9 7", b"9 37", 1)
    assert find_flips([formats.ALLOCATED_PODS], blank) == ()


def test_a_blank_that_was_a_digit_is_found() -> None:
    data = b'{"policyName":"none","defaultCpuSet":"","checksum":1353318690}'
    assert places(formats.CPU_V2, data.replace(b"690}", b"69 }")) == [(60, 4)]


def test_large_files_are_not_searched() -> None:
    assert find_flips([formats.ALLOCATED_PODS], b"{" * (LARGEST + 1)) == ()


def test_a_file_without_a_checksum_of_its_own_is_no_trouble() -> None:
    for damaged, place in ((b"{]", (1, 5)), (b"nulm", (3, 0))):
        (flip,) = find_flips([formats.DRA], damaged)
        assert (flip.offset, flip.bit) == place
        assert not flip.in_checksum


def test_a_checksum_of_zero_proves_nothing() -> None:
    data = b'{"policyName":"none","defaultCpuSet":"","checksum":\x10}'
    assert read(formats.CPU_V2, turned(data, 51, 5)).verdict is Verdict.OK  # taken unchecked
    assert places(formats.CPU_V2, data) == []
