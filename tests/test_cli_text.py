"""How the command line writes things, apart from any store."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from checkpointkit.cli.text import (
    age_text,
    bytes_text,
    encodable,
    fields,
    json_text,
    printable,
    progress_bar,
    since_text,
    table,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (10 * 2**20, "10.0 MiB"),
        (2**40, "1.0 TiB"),
        (5000 * 2**40, "5,000.0 TiB"),
    ],
)
def test_a_size_has_the_unit_that_suits_it(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (2 * 86400 - 1, "47 h"),
        (2 * 86400, "2 d"),
        (729 * 86400, "729 d"),
        (730 * 86400, "2 y"),
    ],
)
def test_an_age_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_a_time_is_ago_or_to_come_or_unknown() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    stored = "2026-01-02T03:04:05.000000Z"
    assert since_text(stored, now) == "0 s ago"
    assert since_text(stored, now - timedelta(milliseconds=500)) == "0 s ago"
    assert since_text(stored, now - timedelta(hours=5)) == "in 5 h"
    assert since_text("2026-02-31T00:00:00.000000Z", now) == "?"


ROWS = [("a", "1"), ("node-b", "1000")]


def test_a_table_is_aligned_and_ends_no_line_with_blanks() -> None:
    assert table(("KEY", "SIZE"), ROWS, numbers=("SIZE",), width=12) == (
        "KEY     SIZE\na          1\nnode-b  1000\n"
    )
    assert table(("SIZE", "KEY"), [("1", "a")]) == "SIZE  KEY\n1     a\n"


def test_a_table_that_is_wider_than_the_terminal_becomes_blocks() -> None:
    assert table(("KEY", "SIZE"), ROWS, numbers=("SIZE",), width=11) == (
        "KEY   a\nSIZE  1\n\nKEY   node-b\nSIZE  1000\n"
    )


def test_fields_without_a_value_end_with_their_name() -> None:
    assert fields([("a", ""), ("long", "x")]) == "a\nlong  x\n"


@pytest.mark.parametrize(
    ("done", "total", "width", "bar"),
    [
        (0, 8, 25, "[..........] 0 of 8 keys"),
        (4, 8, 25, "[#####.....] 4 of 8 keys"),
        (8, 8, 25, "[##########] 8 of 8 keys"),
        (8, 8, 500, f"[{40 * '#'}] 8 of 8 keys"),
        (8, 8, 24, "8 of 8 keys"),
        (8, 8, 6, "8 of "),
        (8, 8, 0, ""),
    ],
)
def test_a_bar_fits_the_terminal(done: int, total: int, width: int, bar: str) -> None:
    assert progress_bar(done, total, width) == bar
    assert len(bar) < max(width, 1)


def test_a_bar_does_not_change_its_length_when_the_numbers_do() -> None:
    ends = {progress_bar(done, 1000, 60).index("]") for done in (0, 10, 100, 1000)}
    assert len(ends) == 1


def test_what_moves_a_cursor_is_escaped() -> None:
    assert printable("é\x1b[2J\x9b\u202e\n\udcff") == "é\\x1b[2J\\x9b\\u202e\\n\\udcff"


def test_what_an_encoding_cannot_take_is_escaped() -> None:
    assert encodable("é", "utf-8") == "é"
    assert encodable("é", "ascii") == "\\xe9"


def test_json_is_readable_safe_and_the_same_document() -> None:
    document = {"é日": "\x9b31m\u202e\ud800\U0001f600\U000e0001", "n": [1, 2.5, None, True]}
    text = json_text(document)
    assert '"é日"' in text
    assert "\U0001f600" in text
    assert all(each.isprintable() or each == "\n" for each in text)
    assert json.loads(text) == document
    assert json.loads(json_text(document, "ascii")) == document
    assert json_text(document, "ascii").isascii()
