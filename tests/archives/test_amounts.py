"""Sizes, durations and shares: a text is read in one way or refused, and written exactly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checkpointkit.archives.amounts import (
    LARGEST_SIZE,
    LONGEST,
    duration_text,
    parse_duration,
    parse_share,
    parse_size,
    quantity_text,
    share_text,
    size_text,
)
from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.policies import Percent

GIB = 2**30
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        (1, 1),
        (20_000, 20_000),
        ("20k", 20_000),
        ("2e4", 20_000),
        ("2E4", 20_000),
        ("10M", 10_000_000),
        ("10Mi", 10 * 2**20),
        ("1.5Gi", 3 * GIB // 2),
        (".5Ki", 512),
        ("5000m", 5),
        ("512 MiB", 512 * 2**20),
        ("512MiB", 512 * 2**20),
        ("1.5 GiB", 3 * GIB // 2),
        ("7 B", 7),
        ("7B", 7),
        ("7Ei", 7 * 2**60),
        (LARGEST_SIZE, LARGEST_SIZE),
    ],
)
def test_a_size_is_a_quantity_or_has_a_binary_unit(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", [0, "0", "0Gi", -1, "-5", "-1Gi", "+0"])
def test_a_size_of_nothing_is_refused_with_the_word_for_it(text: str | int) -> None:
    with pytest.raises(PolicyError, match="maxAge: has to be above 0; write none"):
        parse_size(text, "maxAge")


@pytest.mark.parametrize("text", ["10GB", "10 GB", "5 kB", "5KB", "1.5 TB", "10b", "10 Mb"])
def test_units_that_mean_two_things_are_refused_with_both(text: str) -> None:
    with pytest.raises(PolicyError, match="write 10G or 10Gi"):
        parse_size(text)


@pytest.mark.parametrize("text", ["1m", "500m", "1.5", "0.1Ki", "1n", "1u"])
def test_parts_of_a_byte_are_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="no whole number of bytes; m is a thousandth"):
        parse_size(text)


@pytest.mark.parametrize("text", ["8Ei", "1e99", 2**63, "9" * 60])
def test_a_size_above_any_file_system_is_refused(text: str | int) -> None:
    with pytest.raises(PolicyError, match="write none for no limit"):
        parse_size(text)


def test_a_number_too_long_to_be_written_is_refused() -> None:
    with pytest.raises(PolicyError, match="write none for no limit"):
        parse_size(10**5000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "nan",
        "inf",
        "1 Gi",
        "Gi",
        "1_000",
        "1,5Gi",
        "0x10",
        "010",
        "-010",
        "10%",
        "٣",
        "1" * 5000,
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=r"^size: is no size; write 10Gi"):
        parse_size(text)


@pytest.mark.parametrize("value", [True, 1.5, float("nan"), float("inf"), None, b"1"])
def test_other_types_are_no_sizes(value: Any) -> None:
    with pytest.raises(PolicyError, match="is no size"):
        parse_size(value)


@given(st.integers(1, LARGEST_SIZE))
@example(1000)
@example(1024)
@example(1536)
@example(2**62)
def test_a_size_is_read_back_as_it_was_written(size: int) -> None:
    assert parse_size(size_text(size)) == size
    assert parse_size(quantity_text(size)) == size


@given(st.integers(1, 9999), st.integers(0, 5))
def test_a_round_size_is_short(number: int, power: int) -> None:
    assert len(size_text(number * 1024**power)) <= len("1234 GiB")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1k"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (20_480, "20 KiB"),
        (3 * GIB // 2, "1.5 GiB"),
        (10 * 2**40, "10 TiB"),
        (10**9, "1G"),
        (GIB + 1, f"{GIB + 1} B"),
    ],
)
def test_a_size_is_written_with_the_fewest_digits_that_are_exact(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("5min", timedelta(minutes=5)),
        ("12h", timedelta(hours=12)),
        ("14d", 14 * DAY),
        ("2w", 14 * DAY),
        ("1y", 365 * DAY),
        ("1d12h", timedelta(hours=36)),
        ("1y2w3d4h5min6s", timedelta(days=382, hours=4, minutes=5, seconds=6)),
        ("1.5h", timedelta(minutes=90)),
        ("0.000001s", timedelta(microseconds=1)),
        ("1h30m", timedelta(minutes=90)),
        ("1m30s", timedelta(seconds=90)),
        ("2h0m0s", timedelta(hours=2)),
        ("1d0h", DAY),
        ("1000y", LONGEST),
    ],
)
def test_a_duration_has_units_the_larger_ones_first(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["6m", "1y6m", "1d30m", "5m7d", "1.5m"])
def test_minutes_that_restic_reads_as_months_are_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="write min for minutes, and months in days"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "0d", "0d0h", "-1d", "-14d"])
def test_no_time_at_all_is_refused_with_the_word_for_it(text: str) -> None:
    with pytest.raises(PolicyError, match="has to be above 0; write none"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["90", "0", 90, 0, 1.5, None, True])
def test_a_duration_without_a_unit_is_refused(text: Any) -> None:
    with pytest.raises(PolicyError, match="it has no unit; write 14d"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["12h1d", "1d1d", "1s1min", "1h1w", "1h30m5min"])
def test_units_twice_or_in_disorder_are_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="larger ones first"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    ["", "d", "1 d", "14D", "P14D", "1mo", "14days", "nan", "1e3s", "1d ", ".5d", "٣d", "1d" * 99],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=r"is no duration; its units are y, w, d, h, min and s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1001y", "1000y1s", "9" * 60 + "d"])
def test_more_than_a_thousand_years_are_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="longer than a thousand years"):
        parse_duration(text)


def test_parts_of_a_microsecond_are_refused() -> None:
    with pytest.raises(PolicyError, match="finer than a microsecond"):
        parse_duration("0.0000001s")


@given(st.timedeltas(timedelta(microseconds=1), LONGEST))
@example(timedelta(seconds=60))
@example(timedelta(days=1, microseconds=1))
def test_a_duration_is_read_back_as_it_was_written(duration: timedelta) -> None:
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.parametrize(
    ("text", "share"),
    [("80%", Percent(80.0)), ("12.5 %", Percent(12.5)), ("0.1%", Percent(0.1)), ("1Gi", GIB)],
)
def test_a_share_is_per_cent_or_a_size(text: str, share: Percent | int) -> None:
    assert parse_share(text) == share
    assert parse_share(4096) == 4096


@pytest.mark.parametrize("text", ["0%", "100%", "100.0%", "250%", "0.0%"])
def test_shares_that_leave_nothing_or_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="above 0% and below 100%"):
        parse_share(text)


@pytest.mark.parametrize("text", ["%", "-5%", "80%%", "8e1%", "nan%", "80% ", "1" * 70 + "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="is no share"):
        parse_share(text)


@given(st.floats(0.001, 100, exclude_max=True).map(Percent) | st.integers(1, LARGEST_SIZE))
def test_a_share_is_read_back_as_it_was_written(share: Percent | int) -> None:
    assert parse_share(share_text(share)) == share


@given(st.text(st.sampled_from("0123456789.+-eE kKMGiBymindhs%w"), max_size=12) | st.text())
def test_any_text_is_read_or_refused_in_our_words(text: str) -> None:
    for read in (parse_size, parse_duration, parse_share):
        try:
            value = read(text)
        except PolicyError:
            continue
        assert value
