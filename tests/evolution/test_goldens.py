"""The file of goldens: what stands in it, what it is called, and what an edit of it does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit import CheckpointManager, FileStore
from checkpointkit.envelope import (
    decode_payload,
    encode_payload,
    open_envelope,
)
from checkpointkit.errors import LockFileError
from checkpointkit.evolution.goldens import (
    GOLDEN_KEY,
    Goldens,
    digest_of,
    file_name,
    lost_goldens,
    parse_goldens,
    render_goldens,
)
from checkpointkit.evolution.lockfile import LockedVersion
from tests.evolution.stored import LEASE, Lease, sealed

if TYPE_CHECKING:
    from pathlib import Path


# ------------------------------------------------------------------------------------- the file

texts = st.sampled_from(
    ["}, {", "]}", '"', "\\", '"golden": 2', "\u2028", "\x85", "\r", "\n", "\0", "é", "😀"]
) | st.text(st.characters(codec="utf-8"), max_size=5)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner | texts, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
states = st.dictionaries(texts, plain, max_size=3)
files = st.builds(
    Goldens,
    st.lists(states.map(sealed), max_size=4).map(tuple),
    st.dictionaries(
        st.integers(1, 10**9 - 1),
        st.lists(states.map(encode_payload), min_size=1, max_size=3).map(tuple),
        max_size=3,
    ),
)


@settings(max_examples=30)
@given(files)
def test_what_is_rendered_is_parsed_again(goldens: Goldens) -> None:
    text = render_goldens(goldens)
    parsed = parse_goldens(text, "a.jsonl")
    assert parsed == goldens
    assert parsed.digest == goldens.digest == digest_of(text)
    assert render_goldens(parsed) == text


@settings(max_examples=30)
@given(files)
def test_git_may_change_the_ends_of_lines(goldens: Goldens) -> None:
    text = render_goldens(goldens)
    windows = text.replace("\n", "\r\n")
    parsed = parse_goldens(windows, "a.jsonl")
    assert parsed == goldens
    assert parsed.digest == digest_of(windows) == goldens.digest


@settings(max_examples=30)
@given(files)
def test_each_line_is_json_that_anybody_reads(goldens: Goldens) -> None:
    first, *lines = map(json.loads, render_goldens(goldens).split("\n")[:-1])
    assert first == {"goldens": 1}
    for line, envelope in zip(lines, goldens.envelopes, strict=False):
        begin, header, payload = line["envelope"]
        assert begin.encode() + b"\n" == envelope[: len(begin) + 1]
        record = open_envelope(envelope, GOLDEN_KEY)
        assert tuple(header.values()) == tuple(record.header)
        assert payload == decode_payload(record.payload, GOLDEN_KEY, None)


def test_a_file_that_a_store_has_written_goes_in_and_out_byte_for_byte(tmp_path: Path) -> None:
    with FileStore(tmp_path / "store", durability="none") as store:
        CheckpointManager(store, LEASE).create(GOLDEN_KEY, Lease('a"}, {"b', 7))
    stored = (tmp_path / "store" / GOLDEN_KEY / "current").read_bytes()
    text = render_goldens(Goldens((stored,)))
    assert parse_goldens(text, "a.jsonl").envelopes == (stored,)


GOOD = render_goldens(
    Goldens((sealed({"a": 1}), sealed({"b": 2})), {1: (b'{"c":3}',), 2: (b"{}",)})
)
LINES = GOOD.split("\n")


@pytest.mark.parametrize(
    ("lines", "bad"),
    [
        ([], 1),
        (LINES[1:], 1),
        (LINES[:-1], 1),
        (["\ufeff" + LINES[0], *LINES[1:]], 1),
        (['{"goldens": 2}', *LINES[1:]], 1),
        ([LINES[0], *LINES[2:]], 2),
        ([LINES[0], LINES[2], LINES[1], *LINES[3:]], 2),
        ([*LINES[:2], LINES[1], *LINES[3:]], 3),
        ([*LINES[:2], "", *LINES[2:]], 3),
        ([*LINES[:4], LINES[2], *LINES[4:]], 5),
        ([*LINES[:3], LINES[4], LINES[3], ""], 5),
        ([*LINES[:4], LINES[3], *LINES[4:]], 5),
        ([*LINES[:4], '{"from": 2, "golden": 1, "becomes": 7}', ""], 5),
        ([*LINES[:4], '{"from": 2, "golden": 2, "becomes": {}}', ""], 5),
        ([LINES[0], LINES[1].replace("}]}", "}"), ""], 2),
        ([LINES[0], LINES[1].replace('", {', '" {'), ""], 2),
        ([LINES[0], LINES[1].replace("}, {", "},{"), ""], 2),
        ([*LINES[:4], '{"from": 2, "golden": 1, "becomes": {"a":1}', ""], 5),
        ([*LINES[:4], "<<<<<<< HEAD", *LINES[4:]], 5),
        ([*LINES[:5], " ", ""], 6),
    ],
)
def test_a_file_that_was_edited_is_refused_with_the_line(lines: list[str], bad: int) -> None:
    with pytest.raises(LockFileError) as caught:
        parse_goldens("\n".join(lines), "agent/a.jsonl")
    assert caught.value.path == "agent/a.jsonl"
    assert f"line {bad} is none of this format" in caught.value.reason


@given(st.data())
def test_no_edit_of_a_golden_goes_unseen(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD)))
    put = data.draw(st.sampled_from(["", "0", " ", "\n", "}", "a"]))
    edited = GOOD[:at] + put + GOOD[at + 1 :]
    entry = LockedVersion("int", "fp1:00", digest_of(GOOD))
    try:
        goldens = parse_goldens(edited, "a.jsonl")
    except LockFileError:
        return
    assert bool(lost_goldens("a", 1, entry, goldens)) == (edited != GOOD)


def test_goldens_that_are_missing_are_named_with_their_file() -> None:
    entry = LockedVersion("int", "fp1:00", digest_of(GOOD))
    assert lost_goldens("a", 1, entry, parse_goldens(GOOD, "a.jsonl")) == ""
    assert lost_goldens("a", 1, entry, None) == "its goldens are missing: a.1.jsonl"
    changed = lost_goldens("a", 1, entry, Goldens(()))
    assert changed == "its goldens are not those that were accepted: a.1.jsonl"


@pytest.mark.parametrize(
    "data", [b"", b"a\n{}\n{}", b"a\nb\nc", b'a"\n{"a":1}\n{}', b"a\n{}\n{}\n"]
)
def test_what_is_no_envelope_is_not_rendered(data: bytes) -> None:
    if data == b"a\n{}\n{}":  # three lines like those of an envelope pass
        assert render_goldens(Goldens((data,)))
        return
    with pytest.raises(ValueError, match="golden 1 is no envelope"):
        render_goldens(Goldens((data,), digest="of no interest"))


# --------------------------------------------------------------------------------- names of files

kinds = st.text(st.sampled_from("aAbB.%-/:*1c~"), min_size=1, max_size=6) | st.text(
    st.sampled_from([chr(n) for n in range(33, 127) if chr(n) not in "\"'\\"]),
    min_size=1,
    max_size=253,
)


@settings(max_examples=50)
@given(st.lists(st.tuples(kinds, st.integers(1, 99)), unique=True))
def test_no_two_versions_share_a_file_whatever_the_file_system_folds(
    versions: list[tuple[str, int]],
) -> None:
    names = [file_name(kind, version) for kind, version in versions]
    assert len({name.casefold() for name in names}) == len(names)


@given(kinds, st.integers(1, 10**9 - 1))
def test_a_name_is_one_that_every_file_system_takes(kind: str, version: int) -> None:
    name = file_name(kind, version)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-%")
    assert len(name) <= 143  # what an encrypting file system leaves of 255
    assert name[0] not in ".-"
    assert name.endswith(f".{version}.jsonl")


def test_long_kinds_that_begin_alike_have_names_of_their_own() -> None:
    assert len({file_name("a" * 250 + end, 1) for end in "abc"}) == 3


@pytest.mark.parametrize("kind", ["con", "nul", "aux", "com1", "lpt9", "con.a", "prn"])
def test_no_name_is_that_of_a_device(kind: str) -> None:
    assert file_name(kind, 1) == f"%{ord(kind[0]):02x}{kind[1:]}.1.jsonl"


def test_names_of_files_never_change() -> None:
    assert file_name("example.com/lease", 2) == "example.com%2flease.2.jsonl"
    assert file_name("console", 3) == "console.3.jsonl"
    assert file_name(".a", 3) == "%2ea.3.jsonl"
