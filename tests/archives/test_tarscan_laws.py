"""Reading archives: whatever the bytes are, there is a verdict; a good one is as tarfile has it."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from checkpointkit.archives.identity import Reading, read_spec
from checkpointkit.archives.model import Container, State
from checkpointkit.archives.tarscan import ReadLimits, read_archive
from checkpointkit.archives.tarscan.blocks import parse_header, parse_number
from checkpointkit.archives.tarscan.limits import BrokenError
from tests.archives.making import (
    BLOCK,
    COMPRESSIONS,
    END,
    WEB,
    archive,
    compressed,
    config,
    header,
    member,
    pax,
    sealed,
    spec,
    tar,
)

SMALL: Final = ReadLimits(headers=500, work=20_000_000)
VALID: Final = [archive(compression=compression) for compression in COMPRESSIONS] + [
    member("PaxHeader", pax({"path": "spec.dump"}), b"x") + member("x", spec("crio")) + END,
    member("@LongLink", b"spec.dump\x00", b"L") + member("x", spec("containerd")) + END,
]
NAMES: Final = st.sampled_from(
    [
        "spec.dump",
        "./spec.dump",
        "config.dump",
        "sub/spec.dump",
        "checkpoint/pages-1.img",
        "x" * 150,
    ]
) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
MEMBERS: Final = st.lists(
    st.tuples(NAMES, st.binary(max_size=1500) | st.just(spec("crio")), st.sampled_from(b"01256")),
    max_size=6,
)


def _read(data: bytes, size: int | None = None, limits: ReadLimits = SMALL) -> Reading:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        if size is not None:
            os.ftruncate(file.fileno(), size)
        return read_archive(file.fileno(), size or len(data), limits=limits)


def _check(reading: Reading) -> None:
    assert reading.state in {State.COMPLETE, State.BROKEN}
    if reading.conflicting:
        assert reading.container is None
    if reading.conflicting or reading.state is State.BROKEN:
        assert reading.problem
        assert reading.problem.isprintable()
    if reading.container is None:
        assert reading.pod_uid == ""


# ---------------------------------------------------------------------------------- any bytes


@given(st.binary(max_size=4 * BLOCK), st.sampled_from([b"", *(it[:20] for it in VALID)]))
def test_whatever_the_bytes_are_there_is_a_verdict(data: bytes, front: bytes) -> None:
    _check(_read(front + data))


@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=5),
    st.integers(0, 10_000),
    st.sampled_from(["keep", "cut", "double", "extend"]),
)
def test_whatever_becomes_of_a_good_archive_there_is_a_verdict(
    data: bytes, changes: list[tuple[int, int]], at: int, how: str
) -> None:
    made = bytearray(data)
    for place, value in changes:
        made[place % len(made)] = value
    at %= len(made)
    changed = {
        "keep": bytes(made),
        "cut": bytes(made[:at]),
        "double": bytes(made[:at] + made[at // BLOCK * BLOCK :]),
        "extend": bytes(made[:at] + bytes(BLOCK) + made[at:]),
    }[how]
    _check(_read(changed))


@given(
    st.sampled_from([index for index, data in enumerate(VALID) if data[257:262] == b"ustar"]),
    st.integers(0, 20),
    st.integers(0, BLOCK - 1),
    st.binary(min_size=1, max_size=12),
)
def test_a_header_that_lies_under_a_good_checksum_gets_a_verdict(
    index: int, number: int, place: int, value: bytes
) -> None:
    data = VALID[index]
    start = number % (len(data) // BLOCK) * BLOCK
    block = (data[start : start + place] + value + data[start + place + len(value) :])[:BLOCK]
    _check(_read(data[:start] + sealed(block.ljust(BLOCK, b"\0")) + data[start + BLOCK :]))


@given(st.sampled_from(COMPRESSIONS), st.integers(1, 9000))
def test_an_archive_that_is_cut_anywhere_is_never_whole(compression: str, cut: int) -> None:
    data = archive(compression=compression)
    cut = min(cut, len(data))
    assert _read(data[:-cut]).state is State.BROKEN


@given(st.integers(1, 64), st.binary(min_size=1, max_size=BLOCK), st.sampled_from(COMPRESSIONS))
def test_bytes_after_the_end_are_never_passed_over(
    zeros: int, rest: bytes, compression: str
) -> None:
    data = archive(compression=compression)
    found = _read(data + bytes(zeros * 37) + rest)
    assert found.state is (State.BROKEN if any(rest) else State.COMPLETE)


@given(st.integers(0, 3 * 10**6))
def test_a_hole_after_the_end_is_as_nothing(size: int) -> None:
    data = archive()
    assert _read(data, len(data) + size) == _read(data)


@given(st.sampled_from(COMPRESSIONS), st.sampled_from(["crio", "containerd", "podman", "conflict"]))
def test_compression_changes_nothing_but_its_name(compression: str, runtime: str) -> None:
    plain = _read(archive(runtime=runtime))
    found = _read(archive(runtime=runtime, compression=compression))
    assert found.compression == compression
    assert (found.container, found.problem, found.state) == (
        plain.container,
        plain.problem,
        plain.state,
    )


# ----------------------------------------------------------------------------- as tarfile has it


def _expected(data: bytes) -> tuple[int, dict[str, list[bytes | None]]]:
    """Return how many members tarfile sees, and what it reads of those at the top."""
    found: dict[str, list[bytes | None]] = {"spec.dump": [], "config.dump": []}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as made:
        members = made.getmembers()
        for info in members:
            name = info.name
            while name.startswith("./"):
                name = name[2:]
            if name in found:
                file = made.extractfile(info) if info.isreg() else None
                found[name].append(file.read() if file else None)
    return len(members), found


@settings(deadline=None)
@given(MEMBERS, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
@example([("spec.dump", spec("crio"), ord("0"))], tarfile.GNU_FORMAT)
@example([("spec.dump", spec("crio"), ord("0"))] * 2, tarfile.PAX_FORMAT)
@example([("x" * 150, b"x" * 600, ord("0")), ("./spec.dump", spec("crio"), ord("0"))], 1)
def test_what_tarfile_writes_is_read_as_tarfile_reads_it(members: list[Any], form: int) -> None:
    file = io.BytesIO()
    count = 0
    with tarfile.open(fileobj=file, mode="w", format=form) as made:
        for name, data, kind in members:
            info = tarfile.TarInfo(name)
            info.type = bytes([kind])
            info.linkname = "somewhere" if kind in b"12" else ""
            info.size = len(data) if info.isreg() else 0
            try:
                made.addfile(info, io.BytesIO(data))
            except ValueError:
                continue  # ustar has no place for such a name
            count += 1
    data = file.getvalue()
    seen, expected = _expected(data)
    assert seen == count
    found = _read(data)
    _check(found)
    if not count:
        assert found.problem == "it has no members"
        return
    assert found.state is State.COMPLETE
    documents = expected["spec.dump"]
    if any(len(it) > 1 or None in it for it in expected.values()):
        assert found.conflicting
    elif documents and documents[0] is not None and not found.conflicting:
        assert found.container == read_spec(documents[0]).container
    elif not documents:
        assert found.container is None


@given(st.integers(0, 8**11 - 1), st.integers(8**11, 2**87))
def test_numbers_are_read_as_tarfile_writes_them(small: int, large: int) -> None:
    for number in (small, large):
        info = tarfile.TarInfo("x")
        info.size = number
        block = info.tobuf(format=tarfile.GNU_FORMAT)
        assert parse_header(block) == (b"x", number, b"0")


@given(st.binary(min_size=12, max_size=12))
def test_a_field_is_a_number_or_refused(field: bytes) -> None:
    try:
        assert parse_number(field) >= 0
    except BrokenError:
        assert field.strip(b" \0")


@given(st.binary(min_size=BLOCK, max_size=BLOCK), st.booleans())
def test_a_checksum_is_the_sum(block: bytes, ascii_only: bool) -> None:
    if ascii_only:
        block = bytes(byte & 0x7F for byte in block)
    good = sealed(block[:124] + b"00000000017\0" + block[136:])
    assert parse_header(good)[1] == 15
    for wrong in (1, 65_521, -65_521, 65_520):
        total = int(good[148:154], 8) + wrong
        if total < 0:
            continue
        bad = b"%b%07o\0%b" % (good[:148], total, good[156:])
        signed = total + 256 * sum(byte > 127 for byte in good[:148] + good[156:])
        if signed == int(good[148:154], 8):
            continue
        try:
            parse_header(bad)
        except BrokenError:
            continue
        raise AssertionError(wrong)


@given(st.lists(st.sampled_from(["crio", "containerd", "checkpointctl"]), max_size=3))
def test_only_one_document_is_ever_believed(runtimes: list[str]) -> None:
    documents = [("spec.dump", spec(runtime)) for runtime in runtimes]
    found = _read(tar([*documents, ("config.dump", config())]))
    assert found.container == (WEB if len(runtimes) == 1 else None)
    assert found.conflicting == (len(runtimes) > 1)


@given(st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"]), st.sampled_from(COMPRESSIONS))
def test_the_contents_of_a_member_are_never_taken_for_headers(
    pod: str, other: str, compression: str
) -> None:
    inner = tar([("spec.dump", spec("crio", Container("default", other, "app")))])
    outer = spec("crio", Container("default", pod, "app"))
    data = tar([("rootfs-diff.tar", inner), ("spec.dump", outer), ("checkpoint/x", inner)])
    found = _read(compressed(data, compression))
    assert found.container == Container("default", pod, "app")
    assert found.state is State.COMPLETE


def test_a_member_may_end_at_any_byte_of_a_block() -> None:
    for size in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1):
        data = member("x", b"x" * size) + member("spec.dump", spec("crio")) + END
        assert _read(data).container == WEB
        assert len(header(b"x", size)) == BLOCK
