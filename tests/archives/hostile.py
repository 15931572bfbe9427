"""Archives that somebody has made to be misread, each with its verdict.

The verdicts: GOOD is whole, and whose it says; NOBODY is whole, and is believed nothing; LIMIT was
not read to its end, and is believed nothing either; BROKEN is no archive, or no whole one.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.archives.model import Container, State
from tests.archives.making import (
    BLOCK,
    END,
    UID,
    WEB,
    annotations_of,
    compressed,
    config,
    header,
    member,
    pax,
    sealed,
    spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.archives.identity import Reading

MIB: Final = 1 << 20
GIB: Final = 1 << 30
GOOD_SPEC: Final = spec("crio")
SPEC: Final = member("spec.dump", GOOD_SPEC)
OTHER: Final = member("spec.dump", spec("crio", Container("shop", "cart", "app")))
CONFIG: Final = member("config.dump", config())
PAGES: Final = member("checkpoint/pages-1.img", b"p" * 4096)


class Verdict(Enum):
    GOOD = "good"
    NOBODY = "nobody"
    LIMIT = "limit"
    BROKEN = "broken"


GOOD, NOBODY, LIMIT, BROKEN = Verdict.GOOD, Verdict.NOBODY, Verdict.LIMIT, Verdict.BROKEN


@frozen
class Case:
    verdict: Verdict
    why: str
    """A part of the problem that is reported."""
    data: bytes | Callable[[], bytes]
    size: int | None = None
    pieces: tuple[tuple[int, bytes], ...] = ()
    """More that is written, at these offsets."""

    def write(self, path: Path) -> None:
        data = self.data if isinstance(self.data, bytes) else self.data()
        with path.open("wb") as file:
            file.write(data)
            for offset, piece in self.pieces:
                file.seek(offset)
                file.write(piece)
            if self.size is not None:
                file.truncate(self.size)

    def check(self, reading: Reading) -> None:
        """See to it that it was read as it has to be."""
        assert self.why in reading.problem, reading
        assert reading.state is (State.BROKEN if self.verdict is BROKEN else State.COMPLETE)
        if self.verdict is GOOD:
            assert (reading.container, reading.pod_uid, reading.problem) == (WEB, UID, "")
        if self.verdict in {NOBODY, LIMIT}:
            assert reading.conflicting
        if reading.conflicting:
            assert (reading.container, reading.pod_uid) == (None, "")
            assert reading.problem


def _with(*parts: bytes) -> bytes:
    """Put members before and after a good spec.dump."""
    return b"".join([PAGES, *parts, SPEC, CONFIG, END])


def _instead(*parts: bytes) -> bytes:
    """Put members in the place of spec.dump."""
    return b"".join([PAGES, *parts, CONFIG, END])


def _json(data: bytes) -> bytes:
    return _instead(member("spec.dump", data))


def _annotated(**changes: Any) -> bytes:
    labels = json.loads(annotations_of("crio", WEB)["io.kubernetes.cri-o.Labels"])
    labels.update({f"io.kubernetes.{key.replace('_', '.')}": it for key, it in changes.items()})
    return _json(spec("crio", more={"io.kubernetes.cri-o.Labels": json.dumps(labels)}))


def _field(size_field: bytes) -> bytes:
    return _with(header(b"odd", 0, size_field=size_field.ljust(12, b"\x00")))


def _pax(body: bytes, kind: bytes = b"x") -> bytes:
    return member("PaxHeaders.0/x", body, kind)


def _base256(number: int) -> bytes:
    return b"\x80" + number.to_bytes(11, "big")


def _chain(blocks: int, *, ends: bool) -> bytes:
    """A GNU sparse member whose map goes on for so many blocks."""
    front = bytearray(header(b"checkpoint/pages-2.img", 0, b"S"))
    front[482] = 1
    more = bytearray(BLOCK)
    more[504] = 1
    return sealed(bytes(front)) + bytes(more) * blocks + (bytes(BLOCK) if ends else b"")


# --------------------------------------------------------------------------------- compressed


def _huge(compression: str, size: int = 8 * GIB) -> bytes:
    """A good archive with a member of gigabytes, in thousands of streams of a mebibyte."""
    front = SPEC + CONFIG + header(b"checkpoint/pages-2.img", 0, size_field=_base256(size))
    body = compressed(bytes(MIB), compression)
    end = compressed(END, compression)
    return compressed(front, compression) + body * (size // MIB) + end


def _large_window() -> bytes:
    """A frame of zstd that wants gigabytes of memory, says its header."""
    return b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00" + bytes(64)


def _large_dictionary() -> bytes:
    """An xz stream that wants 64 MiB of memory for its dictionary."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 64 * MIB, "mode": lzma.MODE_FAST,
                "mf": lzma.MF_HC3}]  # fmt: skip
    return lzma.compress(_with(), filters=filters)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def _million(compression: str) -> bytes:
    some = compressed(header(b"checkpoint/core-1.img", 0) * 1000, compression)
    return some * 1000 + compressed(END, compression)


# ---------------------------------------------------------------------------------------- cases

CUT = "it is cut"
SUM = "checksum"
NUMBER = "not octal"
DOUBT = "no plain file"
ONCE = "no JSON object with each key once"

_KINDS = (
    ("a hard link", b"1"), ("a link", b"2"), ("a character device", b"3"),
    ("a block device", b"4"), ("a directory", b"5"), ("a fifo", b"6"),
    ("contiguous", b"7"), ("of a kind that nobody knows", b"Z"), ("sparse", b"S"),
)  # fmt: skip
_LEADING = (
    "/spec.dump", "//spec.dump", "../spec.dump", "../../spec.dump", "x/../spec.dump",
    ".//spec.dump", "spec.dump/", "spec.dump/.", "./x/./.././spec.dump",
)  # fmt: skip
_NEARLY = (
    "sub/spec.dump", "xspec.dump", "spec.dump.bak", "SPEC.DUMP", "spec.dumpx",
    "checkpoint/../sub/spec.dump", "...spec.dump", "spec.dump\\", " spec.dump",
)  # fmt: skip

CASES: dict[str, Case] = {
    # no archive at all
    "empty": Case(BROKEN, "empty", b""),
    "one byte": Case(BROKEN, CUT, b"\x00"),
    "less than a block of zeros": Case(BROKEN, CUT, bytes(511)),
    "the end alone": Case(BROKEN, "no members", END),
    "10 GiB of zeros": Case(BROKEN, "no members", END, size=10 * GIB),
    "garbage": Case(BROKEN, SUM, bytes(range(256)) * 64),
    "text": Case(BROKEN, SUM, b"this is no archive\n" * 100),
    "a header of spaces": Case(BROKEN, SUM, b" " * BLOCK + END),
    # cut, or never finished
    "cut in a header": Case(BROKEN, CUT, _with()[: len(PAGES) + 300]),
    "cut after a header": Case(BROKEN, CUT, _with()[: len(PAGES) + BLOCK]),
    "cut in spec.dump": Case(BROKEN, CUT, _with()[: len(PAGES) + BLOCK + 100]),
    "cut in a member": Case(BROKEN, CUT, SPEC + PAGES[:3000]),
    "cut at the boundary of members": Case(BROKEN, CUT, PAGES + SPEC),
    "one block of zeros at its end": Case(BROKEN, CUT, PAGES + SPEC + END[:BLOCK]),
    "a block and a half at its end": Case(BROKEN, CUT, PAGES + SPEC + END[:-1]),
    "goes on after one block of zeros": Case(
        BROKEN, "goes on after", PAGES + END[:BLOCK] + SPEC + END
    ),
    "preallocated, and the rest never written": Case(
        BROKEN, CUT, header(b"checkpoint/pages-1.img", GIB), size=GIB
    ),
    # something after its end
    "a byte after its end": Case(BROKEN, "after its end", _with() + b"x"),
    "a byte after its end and 10 GiB of hole": Case(
        BROKEN, "after its end", _with(), pieces=((10 * GIB, b"x"),)
    ),
    "the tail of an older archive": Case(
        BROKEN, "after its end", _with() + _with(PAGES * 99)[len(_with()) :]
    ),
    "a second archive after its end": Case(BROKEN, "after its end", _with() + OTHER + END),
    "a long tail that ends like an archive": Case(
        BROKEN, "after its end", lambda: _with() + bytes(4 * MIB) + SPEC + END
    ),
    "a long tail of zeros": Case(LIMIT, "after its end there are", lambda: _with() + bytes(MIB)),
    "a tail in a thousand pieces": Case(
        LIMIT,
        "after its end there are",
        _with(),
        size=256 * MIB,
        pieces=tuple((MIB // 4 * number, b"\x00") for number in range(1, 1000)),
    ),
    # headers that lie
    "a wrong checksum": Case(BROKEN, SUM, _flipped(_with(), len(PAGES) + 3)),
    "no checksum": Case(BROKEN, SUM, SPEC[:148] + bytes(8) + SPEC[156:] + END),
    "a checksum that is no number": Case(BROKEN, SUM, SPEC[:148] + b"xxxxxxxx" + SPEC[156:] + END),
    "a size that is not octal": Case(BROKEN, NUMBER, _field(b"00000000089")),
    "a size with a sign": Case(BROKEN, NUMBER, _field(b"+0000000010")),
    "a size below zero": Case(BROKEN, NUMBER, _field(b"-0000000010")),
    "a size with an underscore": Case(BROKEN, NUMBER, _field(b"0000_000010")),
    "a size with a prefix": Case(BROKEN, NUMBER, _field(b"0o000000010")),
    "a size in two parts": Case(BROKEN, NUMBER, _field(b"0000 000010")),
    "a size below zero in base 256": Case(BROKEN, "negative", _field(b"\xff" * 12)),
    "a size of 8 GiB in octal": Case(BROKEN, CUT, _field(b"77777777777")),
    "a size of 2^87 in base 256": Case(BROKEN, CUT, _field(_base256((1 << 87) - 1))),
    "a size that would wrap at 2^64": Case(BROKEN, CUT, _field(_base256((1 << 64) - BLOCK))),
    "a directory with contents": Case(BROKEN, "with contents", _with(member("d/", b"x", b"5"))),
    "a link with contents": Case(BROKEN, "with contents", _with(member("l", SPEC, b"2"))),
    "a hard link with contents": Case(BROKEN, "with contents", _with(member("l", SPEC, b"1"))),
    "a device with contents": Case(BROKEN, "with contents", _with(member("n", SPEC, b"4"))),
    # extended headers that lie
    "a pax size that lies": Case(BROKEN, CUT, _with(_pax(pax({"size": "99999999999"})) + PAGES)),
    "a pax size below zero": Case(BROKEN, "long size", _with(_pax(pax({"size": "-1"})) + PAGES)),
    "a pax size of 5000 digits": Case(
        BROKEN, "long size", _with(_pax(pax({"size": "9" * 5000})) + PAGES)
    ),
    "an empty pax size": Case(BROKEN, "long size", _with(_pax(pax({"size": ""})) + PAGES)),
    "a pax size for a directory": Case(
        BROKEN, "with contents", _with(_pax(pax({"size": "512"})) + member("d/", b"", b"5"))
    ),
    "a pax record without a length": Case(BROKEN, "no length", _with(_pax(b"path=x\n") + PAGES)),
    "a pax record of no length": Case(BROKEN, "malformed", _with(_pax(b"0 path=x\n") + PAGES)),
    "a pax record shorter than its length": Case(
        BROKEN, "malformed", _with(_pax(b"1 path=x\n") + PAGES)
    ),
    "a pax record that ends in its key": Case(
        BROKEN, "malformed", _with(_pax(b"3 \npath=x\n") + PAGES)
    ),
    "a pax record longer than its header": Case(
        BROKEN, "malformed", _with(_pax(b"999 path=x\n") + PAGES)
    ),
    "a pax record of a giant length": Case(
        BROKEN, "no length", _with(_pax(b"9" * 5000 + b" path=x\n") + PAGES)
    ),
    "a pax record without a value": Case(BROKEN, "malformed", _with(_pax(b"7 path\n") + PAGES)),
    "a pax record without a key": Case(BROKEN, "malformed", _with(_pax(b"5 =x\n") + PAGES)),
    "a pax record without a line feed": Case(
        BROKEN, "malformed", _with(_pax(b"10 path=xx") + PAGES)
    ),
    "a pax record and zeros": Case(
        BROKEN, "no length", _with(_pax(pax({"path": "x"}) + bytes(9)) + PAGES)
    ),
    "two pax headers": Case(BROKEN, "two extended", _with(_pax(pax({"path": "x"})) * 2 + PAGES)),
    "two long names": Case(
        BROKEN, "two extended", _with(member("@LongLink", b"x", b"L") * 2 + PAGES)
    ),
    "two long link names": Case(
        BROKEN, "two extended", _with(member("@LongLink", b"x", b"K") * 2 + PAGES)
    ),
    "a long name of both kinds": Case(
        BROKEN,
        "two long names",
        _with(_pax(pax({"path": "x"})) + member("@LongLink", b"y", b"L") + PAGES),
    ),
    "an empty pax path": Case(BROKEN, "long name", _with(_pax(pax({"path": ""})) + PAGES)),
    "a zero in a pax path": Case(
        BROKEN, "long name", _with(_pax(pax({"path": b"spec.dump\x00x"})) + PAGES)
    ),
    "an empty long name": Case(BROKEN, "long name", _with(member("@LongLink", b"", b"L") + PAGES)),
    "a long name of 2 MiB": Case(
        BROKEN, "longer than", lambda: _with(member("@LongLink", b"x" * 2 * MIB, b"L") + PAGES)
    ),
    "a pax header of 8 EiB": Case(
        BROKEN, "longer than", _with(header(b"x", 0, b"x", size_field=_base256(1 << 63)))
    ),
    "a pax header without a member": Case(
        BROKEN, "without a member", PAGES + SPEC + _pax(pax({"path": "x"})) + END
    ),
    "a pax path for all members": Case(
        BROKEN, "for all", _with(_pax(pax({"path": "spec.dump"}), b"g"))
    ),
    "a pax size for all members": Case(BROKEN, "for all", _with(_pax(pax({"size": "0"}), b"g"))),
    "holes in all members": Case(
        BROKEN, "for all", _with(_pax(pax({"GNU.sparse.major": "1"}), b"g"))
    ),
    "a sparse map without an end": Case(BROKEN, CUT, PAGES + _chain(9, ends=False)),
    # too much
    "a million members": Case(
        LIMIT,
        "65536 headers",
        lambda: SPEC + header(b"checkpoint/core-1.img", 0) * 70_000,
        size=512 * MIB,
    ),
    "a million records in a pax header": Case(
        LIMIT,
        "65536 headers",
        lambda: _with(*[_pax(b"5 a=\n" * 200_000) + PAGES] * 5),
    ),
    "a million of the longest names": Case(
        LIMIT,
        "65536 headers",
        lambda: _with(*[member("@LongLink", b"x" * (MIB - 1), b"L") + PAGES] * 40),
    ),
    "a sparse map of 35 MiB": Case(
        LIMIT, "65536 headers", lambda: PAGES + _chain(70_000, ends=True)
    ),
    **{
        f"8 GiB in {compression}": Case(LIMIT, "too large", partial(_huge, compression))
        for compression in ("gzip", "bzip2", "xz", "zstd")
    },
    **{
        f"a million members in {compression}": Case(LIMIT, "", partial(_million, compression))
        for compression in ("gzip", "bzip2", "xz", "zstd")
    },
    "100,000 empty streams": Case(
        LIMIT, "too large", lambda: gzip.compress(_with()[:-BLOCK]) + gzip.compress(b"") * 100_000
    ),
    "a dictionary of 64 MiB": Case(LIMIT, "memory", _large_dictionary),
    "a window of 2 GiB": Case(LIMIT, "memory", _large_window()),
    # compressed and broken
    "a bomb of zeros": Case(BROKEN, "no members", lambda: gzip.compress(bytes(64 * MIB))),
    "an archive in an archive's place": Case(
        BROKEN, SUM, gzip.compress(gzip.compress(_with(), mtime=0), mtime=0)
    ),
    "the magic of gzip alone": Case(BROKEN, "compressor's end", b"\x1f\x8b"),
    "the magic of gzip and garbage": Case(BROKEN, "damaged", b"\x1f\x8b" + b"x" * 99),
    "an unknown frame of zstd": Case(BROKEN, "damaged", b"\x28\xb5\x2f\xfd\xff" + b"x" * 99),
    "frames of zstd to be skipped": Case(
        BROKEN, CUT, (b"\x50\x2a\x4d\x18" + (9).to_bytes(4, "little") + b"x" * 9) * 9
    ),
    "gzip with a wrong checksum": Case(BROKEN, "damaged", _flipped(gzip.compress(_with()), -6)),
    "a byte after gzip": Case(BROKEN, "after its end", gzip.compress(_with()) + b"x"),
    "another stream after gzip": Case(
        BROKEN, "after its end", gzip.compress(_with()) + bz2.compress(_with())
    ),
    "a second archive in gzip": Case(
        BROKEN, "after its end", gzip.compress(_with()) + gzip.compress(OTHER)
    ),
    **{
        f"{compression} cut by a byte": Case(
            BROKEN, "compressor's end", compressed(_with(), compression)[:-1]
        )
        for compression in ("gzip", "bzip2", "xz", "zstd")
    },
    **{
        f"{compression} cut in its middle": Case(
            BROKEN, "compressor's end", compressed(_with(), compression)[:200]
        )
        for compression in ("gzip", "bzip2", "xz", "zstd")
    },
    **{
        f"{compression} of half an archive": Case(
            BROKEN, CUT, compressed(PAGES + SPEC, compression)
        )
        for compression in ("gzip", "bzip2", "xz", "zstd")
    },
    # whose it is cannot be told
    "spec.dump twice": Case(NOBODY, "twice", _with(SPEC)),
    "another spec.dump after it": Case(NOBODY, "twice", PAGES + SPEC + OTHER + END),
    "another spec.dump before it": Case(NOBODY, "twice", _with(OTHER)),
    "config.dump twice": Case(NOBODY, "twice", _with(CONFIG)),
    **{
        f"spec.dump is {what}": Case(NOBODY, DOUBT, _instead(member("spec.dump", b"", kind)))
        for what, kind in _KINDS
    },
    "spec.dump and a link of its name": Case(NOBODY, DOUBT, _with(member("spec.dump", b"", b"2"))),
    "config.dump is a link": Case(
        NOBODY, DOUBT, SPEC + member("config.dump", b"", b"2", link=b"/etc/shadow") + END
    ),
    "spec.dump with holes": Case(
        NOBODY, DOUBT, _instead(_pax(pax({"GNU.sparse.major": "1"})) + SPEC)
    ),
    "a sparse member that is called spec.dump": Case(
        NOBODY, DOUBT, _with(_pax(pax({"GNU.sparse.name": "spec.dump"})) + PAGES)
    ),
    **{f"called {name}": Case(NOBODY, DOUBT, _with(member(name, GOOD_SPEC))) for name in _LEADING},
    "spec.dump of 2 MiB": Case(NOBODY, "more than", lambda: _json(GOOD_SPEC + b" " * 2 * MIB)),
    "spec.dump of 8 GiB": Case(
        NOBODY,
        "more than",
        header(b"spec.dump", 0, size_field=_base256(8 * GIB)),
        size=8 * GIB + BLOCK + 2 * BLOCK,
    ),
    "spec.dump is empty": Case(NOBODY, ONCE, _json(b"")),
    "a deep nesting of lists": Case(NOBODY, ONCE, lambda: _json(b"[" * MIB)),
    "a deep nesting of objects": Case(NOBODY, ONCE, lambda: _json(b'{"a":' * 200_000)),
    "a deep nesting in the labels": Case(
        NOBODY,
        "labels",
        lambda: _json(spec("crio", more={"io.kubernetes.cri-o.Labels": "[" * 500_000})),
    ),
    "a million lists": Case(NOBODY, ONCE, lambda: _json(b"[" + b"[]," * 349_000 + b"0]")),
    "a million objects": Case(NOBODY, ONCE, lambda: _json(b"[" + b'{"":0},' * 149_000 + b"0]")),
    "a million keys": Case(
        NOBODY, ONCE, lambda: _json(b"{" + b",".join(b'"%x":0' % it for it in range(100_000)))
    ),
    "a number of a million digits": Case(
        GOOD, "", lambda: _json(GOOD_SPEC[:-1] + b', "x": 1' + b"0" * 1_000_000 + b"}")
    ),
    "not a number": Case(NOBODY, ONCE, _json(GOOD_SPEC[:-1] + b', "x": NaN}')),
    "no UTF-8": Case(NOBODY, ONCE, _json(GOOD_SPEC[:-1] + b', "x": "\xff"}')),
    "UTF-16": Case(NOBODY, ONCE, _json(GOOD_SPEC.decode().encode("utf-16"))),
    "a byte order mark": Case(NOBODY, ONCE, _json(b"\xef\xbb\xbf" + GOOD_SPEC)),
    "annotations twice": Case(NOBODY, ONCE, _json(GOOD_SPEC[:-1] + b', "annotations": {}}')),
    "annotations in another case": Case(
        NOBODY, ONCE, _json(GOOD_SPEC[:-1] + b', "Annotations": {}}')
    ),
    "a name of all archives": Case(NOBODY, "does not allow", _annotated(pod_name="*")),
    "a name that leads elsewhere": Case(
        NOBODY, "does not allow", _annotated(pod_namespace="../../../etc")
    ),
    "a name with a line feed": Case(NOBODY, "does not allow", _annotated(container_name="a\nb")),
    "half a character as a name": Case(
        NOBODY, "does not allow", _annotated(container_name="\ud800")
    ),
    "no name": Case(NOBODY, "in part", _annotated(container_name="")),
    "a number as a name": Case(NOBODY, "does not allow", _annotated(container_name=5)),
    "a UID that leads elsewhere": Case(NOBODY, "UID", _annotated(pod_uid="../x")),
    "two runtimes that differ": Case(NOBODY, "differ", _json(spec("conflict"))),
    "labels that are no JSON": Case(NOBODY, "labels", _json(spec("badlabels"))),
    "config.dump with a time twice": Case(
        NOBODY,
        "config.dump",
        SPEC + member("config.dump", b'{"checkpointedTime": "", "checkpointedTime": ""}') + END,
    ),
    "config.dump with a time that cannot be": Case(
        NOBODY,
        "time",
        SPEC + member("config.dump", config(checkpointed="2026-02-30T00:00:00Z")) + END,
    ),
    # odd, and all the same good: what is not wanted is passed over, and never followed
    "a name that leads elsewhere, of a member": Case(
        GOOD, "", _with(member("../../../../etc/passwd", b"x"), member("/etc/shadow", b"x"))
    ),
    "a link that leads elsewhere": Case(
        GOOD, "", _with(member("checkpoint/x", b"", b"2", link=b"/etc/shadow"))
    ),
    "devices and fifos": Case(
        GOOD, "", _with(*[member("checkpoint/x", b"", kind) for kind in (b"3", b"4", b"6")])
    ),
    "names that are nearly it": Case(
        GOOD,
        "",
        _with(*[member(name, spec("conflict")) for name in _NEARLY]),
    ),
    "an archive as the contents of a member": Case(GOOD, "", _with(member("x", OTHER + END))),
    "a name with zeros and another after it": Case(
        GOOD, "", _with(member(b"x\x00spec.dump", b"{}"))
    ),
    "names that are no UTF-8": Case(GOOD, "", _with(member(b"\xff\xfe", b"x"))),
    "4 GiB of hole in a member": Case(
        GOOD,
        "",
        SPEC + CONFIG + header(b"checkpoint/pages-1.img", 4 * GIB),
        size=4 * GIB + len(SPEC + CONFIG) + BLOCK + len(END),
    ),
    "4 GiB of hole after its end": Case(GOOD, "", _with(), size=4 * GIB),
    "half a mebibyte of zeros after its end": Case(GOOD, "", lambda: _with() + bytes(MIB // 2)),
}
