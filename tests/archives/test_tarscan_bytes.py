"""Reading archives: compressed ones, the limits, and what of the file is read at all."""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import sys
from pathlib import Path

import pytest

from checkpointkit.archives.identity import Reading
from checkpointkit.archives.model import State
from checkpointkit.archives.tarscan import ReadLimits, read_archive
from tests.archives.making import (
    COMPRESSIONS,
    END,
    GOOD,
    WEB,
    Counted,
    archive,
    compressed,
    config,
    header,
    member,
    read_bytes,
    read_path,
    spec,
    tar,
    write,
    zstd,
)

MIB = 1 << 20
GIB = 1 << 30
SPEC = member("spec.dump", spec("crio"))
CONFIG = member("config.dump", config())


# ------------------------------------------------------------------------------------ compressed


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_several_streams_are_one(compression: str, tmp_path: Path) -> None:
    data = archive()
    pieces = [data[:700], data[700:5000], b"", data[5000:]]
    made = b"".join(compressed(piece, compression) for piece in pieces)
    found = read_bytes(tmp_path, made)
    assert (found.state, found.container, found.problem) == (State.COMPLETE, WEB, "")


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_zeros_may_follow_a_stream_in_it_and_after_it(compression: str, tmp_path: Path) -> None:
    made = compressed(archive() + bytes(MIB), compression)
    found = read_bytes(tmp_path, made, size=len(made) + 99)
    assert (found.state, found.container, found.problem) == (State.COMPLETE, WEB, "")


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_a_stream_is_read_in_pieces(compression: str, tmp_path: Path) -> None:
    pages = os.urandom(300_000) + bytes(700_000) + os.urandom(1000)
    data = tar([("checkpoint/pages-1.img", pages)], end=archive())
    found = read_bytes(tmp_path, compressed(data, compression))
    assert (found.state, found.container, found.problem) == (State.COMPLETE, WEB, "")


def test_frames_of_zstd_may_be_skipped(tmp_path: Path) -> None:
    skipped = b"\x5f\x2a\x4d\x18" + (70_000).to_bytes(4, "little") + b"x" * 70_000
    made = compressed(archive(), "zstd")
    found = read_bytes(tmp_path, skipped + made + skipped)
    assert (found.state, found.container, found.compression) == (State.COMPLETE, WEB, "zstd")


def test_a_member_may_have_a_name_like_the_magic_of_bzip2(tmp_path: Path) -> None:
    made = member("BZh91AY.img", b"x") + SPEC + CONFIG + END
    assert read_bytes(tmp_path, made) == GOOD


def test_without_zstd_an_archive_is_kept_and_its_problem_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "x.tar", archive(compression="zstd"))
    for module in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    assert read_path(path) == Reading(
        state=State.COMPLETE,
        compression="zstd",
        problem="it is compressed with zstd: install checkpointkit[archives] to read it",
        conflicting=True,
    )


@pytest.mark.parametrize("module", ["bz2", "lzma"])
def test_a_python_without_a_module_keeps_what_it_cannot_read(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compression = {"bz2": "bzip2", "lzma": "xz"}[module]
    path = write(tmp_path, "x.tar", archive(compression=compression))
    monkeypatch.setitem(sys.modules, module, None)
    found = read_path(path)
    assert found.problem == f"it is compressed with {compression}: this Python was built without it"
    assert (found.state, found.conflicting) == (State.COMPLETE, True)


@pytest.mark.parametrize(
    ("head", "compression"),
    [
        (b"\x04\x22\x4d\x18\x64\x40", "lz4"),
        (b"\x02\x21\x4c\x18\x64\x40", "lz4"),
        (b"\x5d\x00\x00\x80\x00" + b"\xff" * 8, "lzma"),
        (b"LZIP\x01\x0c", "lzip"),
        (b"\x1f\x9d\x90", "compress"),
    ],
)
def test_what_nobody_here_decompresses_may_be_good_and_is_not_broken(
    head: bytes, compression: str, tmp_path: Path
) -> None:
    assert read_bytes(tmp_path, head + b"x" * 600) == Reading(
        state=State.COMPLETE,
        compression=compression,
        problem=f"it is compressed with {compression}: that is not read here; gzip, bzip2, xz and "
        "zstd are",
        conflicting=True,
    )


@pytest.mark.parametrize("name", ["]", "LZIP"])
def test_a_member_that_is_called_like_a_compressor_is_a_member(name: str, tmp_path: Path) -> None:
    made = tar([(name, b"x")], end=archive())
    assert read_bytes(tmp_path, made).container == WEB


@pytest.mark.parametrize("zeros", [0, 4, 12, 400, 60_000])
def test_zeros_between_two_streams_of_xz_are_none_of_the_archive(
    zeros: int, tmp_path: Path
) -> None:
    data = archive()
    first, second = (compressed(part, "xz") for part in (data[:1000], data[1000:]))
    assert read_bytes(tmp_path, first + bytes(zeros) + second).container == WEB
    assert read_bytes(tmp_path, first + second + bytes(zeros)).container == WEB


@pytest.mark.parametrize("between", [b"\0\0\0", b"\0\0\0\0x"])
def test_anything_else_between_two_streams_of_xz_is_broken(between: bytes, tmp_path: Path) -> None:
    data = archive()
    first, second = (compressed(part, "xz") for part in (data[:1000], data[1000:]))
    found = read_bytes(tmp_path, first + between + second)
    assert found.state is State.BROKEN


# ---------------------------------------------------------------------------------------- limits


LARGE = tar([("checkpoint/pages-1.img", bytes(MIB))], end=archive())


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_more_work_than_is_allowed_is_no_verdict(compression: str, tmp_path: Path) -> None:
    made = compressed(LARGE, compression)
    found = read_bytes(tmp_path, made, limits=ReadLimits(work=2_000_000))
    assert found == Reading(
        state=State.COMPLETE,
        compression=compression,
        problem="it is compressed, and too large to be read to its end",
        conflicting=True,
    )
    assert read_bytes(tmp_path, made, limits=ReadLimits(work=20_000_000)).container == WEB


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_what_goes_in_is_work_too(compression: str, tmp_path: Path) -> None:
    data = tar([("checkpoint/pages-1.img", os.urandom(MIB))], end=archive())
    made = compressed(data, compression)
    found = read_bytes(tmp_path, made, limits=ReadLimits(work=8_000_000))
    assert found.problem == "it is compressed, and too large to be read to its end"
    assert read_bytes(tmp_path, made, limits=ReadLimits(work=200_000_000)).container == WEB


def test_more_memory_than_is_allowed_is_no_verdict(tmp_path: Path) -> None:
    module = zstd()
    options = {module.CompressionParameter.window_log: 20}
    made = module.ZstdCompressor(options=options)
    for data in (
        made.compress(LARGE) + made.flush(),
        lzma.compress(LARGE, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": MIB}]),
    ):
        found = read_bytes(tmp_path, data, limits=ReadLimits(memory=MIB // 2))
        assert found.problem == "it takes too much memory to decompress it"
        assert (found.state, found.conflicting) == (State.COMPLETE, True)
        assert read_bytes(tmp_path, data, limits=ReadLimits(memory=4 * MIB)).container == WEB


def test_a_limit_says_nothing_of_what_was_found_before_it(tmp_path: Path) -> None:
    made = SPEC + header(b"x", 0) * 9 + END
    found = read_bytes(tmp_path, made, limits=ReadLimits(headers=9))
    assert (found.container, found.pod_uid, found.conflicting) == (None, "", True)
    assert read_bytes(tmp_path, made, limits=ReadLimits(headers=10)).container == WEB


def test_a_document_may_be_as_long_as_allowed(tmp_path: Path) -> None:
    size = len(spec("crio"))
    made = SPEC + CONFIG + END
    assert read_bytes(tmp_path, made, limits=ReadLimits(document=size)) == GOOD
    found = read_bytes(tmp_path, made, limits=ReadLimits(document=size - 1))
    assert found.problem == f"spec.dump has more than {size - 1} bytes"
    assert found.conflicting


def test_an_archive_that_is_broken_and_says_two_things_says_that_it_is_broken(
    tmp_path: Path,
) -> None:
    found = read_bytes(tmp_path, SPEC + SPEC)
    assert found.state is State.BROKEN
    assert found.problem == "it is cut: its end is missing"
    assert found.conflicting


# ----------------------------------------------------------------------------------- input, output


def test_a_small_archive_is_read_by_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "x.tar", archive(), size=9216)
    counted = Counted(monkeypatch)
    assert read_path(path) == GOOD
    assert (counted.calls, counted.bytes) == (1, 9216)


@pytest.mark.parametrize("after", [False, True])
def test_4_gibibytes_of_images_are_not_read(
    after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images come before the metadata in archives of CRI-O; containerd has them between."""
    pages = header(b"checkpoint/pages-1.img", 4 * GIB)
    path = tmp_path / "x.tar"
    with path.open("wb") as file:
        file.write((SPEC if after else b"") + member("dump.log", b"x" * 300_000) + pages)
        file.seek(4 * GIB, os.SEEK_CUR)
        file.write((b"" if after else SPEC) + CONFIG + END)
    counted = Counted(monkeypatch)
    assert read_path(path) == GOOD
    assert counted.bytes < MIB // 4
    assert counted.calls < 10


def test_members_side_by_side_are_read_together_and_far_ones_are_leapt_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = tar([(f"checkpoint/core-{it}.img", b"x" * 900) for it in range(3000)], end=b"")
    far = tar([(f"checkpoint/pages-{it}.img", bytes(200_000)) for it in range(30)], end=b"")
    path = write(tmp_path, "x.tar", near + far + near + SPEC + CONFIG + END)
    counted = Counted(monkeypatch)
    assert read_path(path) == GOOD
    assert counted.calls < 2 * len(near) // (64 << 10) + 30 + 20
    assert counted.bytes < 2 * len(near) + 30 * (4 << 10) + MIB // 2


def test_an_archive_that_is_cut_while_it_is_read_is_broken(tmp_path: Path) -> None:
    data = tar([("checkpoint/pages-1.img", bytes(300_000))], end=archive())
    path = write(tmp_path, "x.tar", data[: -len(END)])
    fd = os.open(path, os.O_RDONLY)
    try:
        found = read_archive(fd, len(data))
    finally:
        os.close(fd)
    assert found.state is State.BROKEN
    assert found.problem == "it is cut: it was shortened while it was read"


def test_a_call_may_return_less_than_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "x.tar", archive())
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, min(length, 99), offset))
    assert read_path(path) == GOOD


def test_what_cannot_be_read_is_no_verdict(tmp_path: Path) -> None:
    fd = os.open(write(tmp_path, "x.tar", archive()), os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="descriptor") as caught:
            read_archive(fd, 9216)
    finally:
        os.close(fd)
    assert caught.value.errno == errno.EBADF


def test_a_failing_disk_is_no_damaged_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module for bzip2 raises OSError of its own, for damage."""
    pages = os.urandom(MIB)
    data = compressed(tar([("checkpoint/pages-1.img", pages)], end=archive()), "bzip2")
    path = write(tmp_path, "x.tar", data)
    pread = os.pread

    def fails(fd: int, length: int, offset: int) -> bytes:
        if offset:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", fails)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        read_path(path)


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_where_the_file_system_knows_no_holes_the_tail_is_read(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_fd: int, _offset: int, _how: int) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "lseek", fails)
    counted = Counted(monkeypatch)
    assert read_bytes(tmp_path, archive(), size=MIB // 2) == GOOD
    found = read_bytes(tmp_path, archive(), size=GIB)
    assert found.problem == "after its end there are more than 524288 bytes"
    assert found.conflicting
    assert counted.bytes < 2 * MIB
    path = write(tmp_path, "x.tar", archive(), size=GIB)
    with open(path, "r+b") as file:
        file.seek(-600, os.SEEK_END)
        file.write(b"x")
    assert read_path(path).state is State.BROKEN


def test_where_holes_cannot_be_looked_for_there_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_fd: int, _offset: int, _how: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = write(tmp_path, "x.tar", archive(), size=MIB)
    monkeypatch.setattr(os, "lseek", fails)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        read_path(path)


def test_gzip_may_have_more_to_give_when_all_of_it_went_in(tmp_path: Path) -> None:
    """A stream of some hundred bytes that makes more than one piece of output."""
    made = gzip.compress(archive() + bytes((256 << 10) * 2 - len(archive())))
    assert read_bytes(tmp_path, made).container == WEB
