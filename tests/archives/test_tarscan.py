"""Reading archives: what runtimes write, in all the ways in which a tar can be written."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from checkpointkit.archives.identity import Reading
from checkpointkit.archives.model import Container, State
from tests.archives.making import (
    BLOCK,
    COMPRESSIONS,
    END,
    GOOD,
    RUNTIMES,
    START,
    UID,
    WEB,
    archive,
    compressed,
    config,
    header,
    member,
    name_of,
    pax,
    read_bytes,
    read_path,
    sealed,
    spec,
    tar,
    write,
)

DATA = Path(__file__).parent.parent / "data" / "archives"
CART = Container("shop", "cart-6f7d-abc", "app")
TIME = START * 10**9
SPEC = member("spec.dump", spec("crio"))
CONFIG = member("config.dump", config())


# ------------------------------------------------------------------------------------ real ones


@pytest.mark.parametrize(
    ("name", "container", "compression"),
    [
        ("crio", CART, "none"),
        ("crio-dot-slash", CART, "none"),
        ("crio-gzip", CART, "gzip"),
        ("crio-zstd", CART, "zstd"),
        ("containerd", CART, "none"),
        ("checkpointctl", CART, "none"),
        ("podman-noidentity", None, "none"),
        ("no-spec", None, "none"),
    ],
)
def test_a_whole_archive_says_whose_it_is(
    name: str, container: Container | None, compression: str
) -> None:
    found = read_path(DATA / f"{name}.tar")
    uid = UID if name.startswith("crio") else ""
    assert found == Reading(
        state=State.COMPLETE,
        container=container,
        pod_uid=uid,
        checkpointed_ns=TIME,
        compression=compression,
    )


def test_an_archive_that_says_two_things_is_nobodys() -> None:
    found = read_path(DATA / "conflict.tar")
    assert found.conflicting
    assert found.state is State.COMPLETE
    assert found.container is None


@pytest.mark.parametrize("name", ["half-written-boundary", "half-written-midmember"])
def test_half_an_archive_is_broken_wherever_it_was_cut(name: str) -> None:
    found = read_path(DATA / f"{name}.tar")
    assert found.state is State.BROKEN
    assert found.problem == "it is cut: its end is missing"


def test_each_real_archive_has_a_verdict_here() -> None:
    assert len(list(DATA.glob("*.tar"))) == 11


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("prefix", ["", "./", "././"])
def test_what_a_runtime_writes(runtime: str, prefix: str, compression: str, tmp_path: Path) -> None:
    data = archive(runtime=runtime, prefix=prefix, compression=compression)
    found = read_bytes(tmp_path, data)
    known = runtime in {"crio", "containerd", "checkpointctl"}
    assert found.state is State.COMPLETE
    assert found.container == (WEB if known else None)
    assert found.conflicting == (runtime in {"conflict", "badlabels", "badjson"})
    assert bool(found.problem) == found.conflicting
    assert found.checkpointed_ns == TIME
    assert found.compression == compression


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_archive_may_do_without_config_dump(compression: str, tmp_path: Path) -> None:
    data = archive(checkpointed_ns=None, compression=compression)
    found = read_bytes(tmp_path, data)
    assert (found.container, found.checkpointed_ns) == (WEB, None)


def test_an_older_and_longer_archive_of_the_same_name_leaves_a_tail(tmp_path: Path) -> None:
    """CRI-O and containerd open without O_TRUNC."""
    path = write(tmp_path, name_of(), tar([("checkpoint/pages-1.img", bytes(20_000))], end=SPEC))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(fd, archive())
    os.close(fd)
    found = read_path(path)
    assert found.state is State.BROKEN
    assert found.problem == "it has other bytes than zeros after its end"


# ------------------------------------------------------------------------------- ways to write it


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_members_of_every_kind_are_passed_over(form: int, compression: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as made:
        for number, kind in enumerate((b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7")):
            info = tarfile.TarInfo(f"checkpoint/{'long/' * 25}{number}")
            info.type, info.linkname, info.mtime = kind, "target/" * 12, START
            info.pax_headers = {"SCHILY.xattr.user.x": "x\n=x"}
            data = b"x" * 700 if kind in {b"0", b"7"} else b""
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
        for name, data in (("spec.dump", spec("crio")), ("config.dump", config())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    found = read_bytes(tmp_path, compressed(file.getvalue(), compression))
    assert (found.state, found.container, found.problem) == (State.COMPLETE, WEB, "")


_LONG = "checkpoint/" + "x" * 300


@pytest.mark.parametrize(
    "parts",
    [
        [member("PaxHeader", pax({"path": "spec.dump"}), b"x"), member("x", spec("crio"))],
        [member("PaxHeader", pax({"path": "./spec.dump"}), b"x"), member("x", spec("crio"))],
        [member("@LongLink", b"spec.dump\x00", b"L"), member("x", spec("crio"))],
        [member("@LongLink", b"./spec.dump", b"L"), member("x", spec("crio"))],
        [member("@LongLink", b"y" * 200, b"K"), SPEC],
        [member("@LongLink", b"y" * 200, b"K"), member("@LongLink", b"spec.dump", b"L"),
         member("PaxHeader", pax({"mtime": "1.5"}), b"x"), member("x", spec("crio"))],
        [member("PaxHeader", pax({"path": _LONG}), b"x"), member("spec.dump", b"{}"), SPEC],
        [member("@LongLink", _LONG.encode(), b"L"), member("spec.dump", b"{}"), SPEC],
        [member("PaxHeader", pax([("path", "x"), ("path", "spec.dump")]), b"x"),
         member("x", spec("crio"))],
        [member("global", pax({"comment": "path=x"}), b"g"), SPEC],
        [member("global", b"", b"g"), SPEC],
        [member("PaxHeader", b"", b"x"), SPEC],
        [member("PaxHeader", pax({"size": str(len(spec("crio")))}), b"x"),
         header(b"spec.dump", 0) + SPEC[BLOCK:]],
        [member("PaxHeader", pax({"size": "0", "GNU.sparse.name": _LONG}), b"x"),
         header(b"spec.dump", 700), SPEC],
        [member("checkpoint/x", b"x" * 700, b"S"), SPEC],
        [member(b"spec.dump", spec("crio"), b"\x00")],
        [member(b"spec.dump", spec("crio"), magic=bytes(8))],
        [member(b"spec.dump", spec("crio"), magic=b"ustar\x0000")],
        [member(b"spec.dump", b"{}", magic=b"ustar\x0000", prefix=b"sub"), SPEC],
        [member(b"spec.dump", spec("crio"), prefix=b"times of GNU's")],
        [member("volume", b"", b"V"), SPEC],
    ],
)  # fmt: skip
def test_a_name_and_a_size_may_stand_in_many_places(parts: list[bytes], tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"".join([*parts, CONFIG, END])) == GOOD


@pytest.mark.parametrize("count", [1, 3])
def test_the_map_of_a_sparse_member_is_passed_over(count: int, tmp_path: Path) -> None:
    front = bytearray(header(b"checkpoint/pages-1.img", 700, b"S"))
    front[482] = 1
    more, last = bytearray(BLOCK), bytearray(BLOCK)
    more[504] = 1
    blocks = bytes(more) * (count - 1) + bytes(last)
    data = sealed(bytes(front)) + blocks + b"x" * 700 + bytes(2 * BLOCK - 700) + SPEC + CONFIG
    assert read_bytes(tmp_path, data + END) == GOOD


@pytest.mark.parametrize(
    "field",
    [b"%011o\x00", b"%011o ", b"%012o", b"%o", b"   %o  ", b"%o\x00rest", b"%o \x00rest"],
)
def test_a_number_may_be_written_in_many_ways(field: bytes, tmp_path: Path) -> None:
    data = spec("crio")
    numbers = (field % len(data)).ljust(12, b"\x00")
    made = header(b"spec.dump", 0, size_field=numbers) + member("", data)[BLOCK:]
    assert read_bytes(tmp_path, made + CONFIG + END) == GOOD


def test_a_size_may_be_in_base_256_or_left_out(tmp_path: Path) -> None:
    data = spec("crio")
    numbers = b"\x80" + len(data).to_bytes(11, "big")
    made = header(b"spec.dump", 0, size_field=numbers) + member("", data)[BLOCK:]
    empty = header(b"checkpoint/", 0, b"5", size_field=bytes(12))
    assert read_bytes(tmp_path, empty + made + CONFIG + END) == GOOD


@pytest.mark.parametrize("signed", [False, True])
def test_a_checksum_of_other_bytes_than_ascii_may_be_signed_or_not(
    signed: bool, tmp_path: Path
) -> None:
    made = header("checkpoint/ä€".encode(), 0)
    if signed:
        total = sum(byte - 256 if byte > 127 else byte for byte in made[:148] + made[156:])
        made = b"%b%06o\x00 %b" % (made[:148], total + 256, made[156:])
    assert read_bytes(tmp_path, made + SPEC + CONFIG + END) == GOOD
    wrong = b"%b%06o\x00 %b" % (made[:148], 65521 + 9000, made[156:])
    assert read_bytes(tmp_path, wrong + SPEC + CONFIG + END).state is State.BROKEN


def test_a_checksum_is_not_compared_modulo_anything(tmp_path: Path) -> None:
    total = int(SPEC[148:154], 8)
    made = b"%b%07o\x00%b" % (SPEC[:148], total + 65521, SPEC[156:])
    assert read_bytes(tmp_path, made + CONFIG + END).state is State.BROKEN
