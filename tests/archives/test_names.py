"""What the name of an archive says: all that has one meaning, and nothing that has two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from checkpointkit.archives.model import Container
from checkpointkit.archives.names import Named, parse_name, parse_time, time_in
from checkpointkit.kubernetes.grammar import is_label, is_subdomain
from tests.archives.making import START, WEB, name_of

SECOND = 10**9
LABELS = st.text("ab0-", min_size=1, max_size=6).filter(is_label)
SIMPLE = st.text("ab0", min_size=1, max_size=6)
PODS = st.text("ab0-.", min_size=1, max_size=6).filter(is_subdomain)
MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 3),
    max_value=datetime(9999, 12, 29),
    timezones=st.integers(-1439, 1439).map(lambda it: timezone(timedelta(minutes=it))),
)


def _stamp(moment: datetime, digits: str = "") -> str:
    offset = moment.strftime("%z")
    point = f".{digits}" if digits else ""
    return (
        f"{moment:%Y}".rjust(4, "0") + f"{moment:-%m-%dT%H:%M:%S}{point}{offset[:3]}:{offset[3:5]}"
    )


def test_the_name_of_the_kubelet_says_whose_it_is_and_when_it_was_taken() -> None:
    assert parse_name(name_of()) == Named(WEB, START * SECOND)


@pytest.mark.parametrize(
    ("body", "container"),
    [
        ("web_default-app", WEB),
        ("web.example.com_default-app", Container("default", "web.example.com", "app")),
        ("a-b-c_default-app", Container("default", "a-b-c", "app")),
        ("web_default-a--b", Container("default", "web", "a--b")),  # no label ends with a dash
        ("web_kube-system-app", None),  # kube/system-app, or kube-system/app
        ("web_default", None),
        ("web_-app", None),
        ("web_default-", None),
        ("web_default-App", None),
        ("Web_default-app", None),
        (".._default-app", None),
        ("*_default-app", None),
        ("web_def*-app", None),
        ("we/b_default-app", None),
        ("web\n_default-app", None),
        ("web_default-app\n", None),
        ("web_default-ap\u017f", None),
        ("web_default-\udcff", None),
        ("web_" + "n" * 64 + "-app", None),
        ("web_default-" + "c" * 64, None),
        ("p" * 254 + "_default-app", None),
    ],
)
def test_a_name_has_one_meaning_or_none_but_its_time_stands_there_all_the_same(
    body: str, container: Container | None
) -> None:
    found = parse_name(f"checkpoint-{body}-2026-05-28T20:26:40Z.tar")
    assert found == Named(container, START * SECOND)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "checkpoint-.tar",
        "checkpoint-web_default-app.tar",
        "checkpoint-web_default-app-2026-05-28T20:26:40Z",
        "checkpoint-web_default-app-2026-05-28T20:26:40Z.tar.gz",
        "checkpoint-web_default-app-2026-05-28T20:26:40Z.tar.keep",
        "checkpoint-web_default-app-2026-05-28T20:26:40Z.tar\n",
        " checkpoint-web_default-app-2026-05-28T20:26:40Z.tar",
        "checkpoint-web_default-app-2026-05-28T20:26:40.tar",
        "checkpoint-web_default-app-2026-05-28 20:26:40Z.tar",
        "checkpoint-web_default-app-2026-05-28T20:26Z.tar",
        "checkpoint-web_default-app-1780000000.tar",
        "checkpoint-we_b_default-app-2026-05-28T20:26:40Z.tar",
        "checkpoint-web_defa_ult-app-2026-05-28T20:26:40Z.tar",
        "checkpoint-web-default-app-2026-05-28T20:26:40Z.tar",
        "checkpoint-web_default-app-\u0662026-05-28T20:26:40Z.tar",
        "checkpoint-web_default-app-2026-05-28T20:26:40.0000000001Z.tar",
    ],
)
def test_any_other_name_says_nothing(name: str) -> None:
    assert parse_name(name) == Named(None, None)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-05-28T20:26:40Z", START * SECOND),
        ("2026-05-28T22:26:40+02:00", START * SECOND),
        ("2026-05-28T14:56:40-05:30", START * SECOND),
        ("2026-05-28T20:26:40-00:00", START * SECOND),
        ("2026-05-28T20:26:40.5Z", START * SECOND + SECOND // 2),
        ("2026-05-28T20:26:40.000000001Z", START * SECOND + 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * SECOND),
        ("9999-12-31T23:59:59-23:59", (253_402_300_799 + 86_340) * SECOND),
        ("0001-01-01T00:00:00+23:59", (-62_135_596_800 - 86_340) * SECOND),
    ],
)
def test_a_time_is_exact_to_the_nanosecond_with_its_offset(text: str, time_ns: int) -> None:
    assert parse_time(text) == time_ns


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-05-28T24:00:00Z",
        "2026-05-28T20:60:00Z",
        "2026-05-28T20:26:60Z",
        "2026-05-28T20:26:40+24:00",
        "2026-05-28T20:26:40+02:60",
        "2026-05-28T20:26:40",
        "2026-05-28t20:26:40z",
        "2026-05-28T20:26:40,5Z",
        "2026-05-28T20:26:40.Z",
        "2026-05-28T20:26:40.0000000000Z",
        "2026-05-28T20:26:40+0200",
        "+2026-05-28T20:26:40Z",
        "2026-05-28T20:26:40Z\n",
        "\u0662026-05-28T20:26:40Z",
    ],
)
def test_a_time_that_cannot_be_is_none(text: str) -> None:
    assert parse_time(text) is None


def test_a_name_with_a_time_that_cannot_be_says_still_whose_it_is() -> None:
    assert parse_name(name_of(stamp="2026-02-30T00:00:00Z")) == Named(WEB, None)


@given(MOMENTS, st.integers(0, 999_999_999))
def test_every_time_is_read_as_it_was_written(moment: datetime, nanosecond: int) -> None:
    seconds = moment.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)
    wanted = (seconds.days * 86_400 + seconds.seconds) * SECOND + nanosecond
    assert parse_time(_stamp(moment, f"{nanosecond:09d}")) == wanted


@given(st.lists(st.integers(-(10**19), 10**19), min_size=2, max_size=5, unique=True))
def test_later_times_are_greater_numbers(times: list[int]) -> None:
    written = []
    for time_ns in sorted(times):
        seconds, nanosecond = divmod(time_ns, SECOND)
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        written.append(parse_time(_stamp(moment, f"{nanosecond:09d}")))
    assert written == sorted(times)


@given(PODS, SIMPLE, SIMPLE, MOMENTS)
def test_a_name_without_dashes_in_it_is_never_ambiguous(
    pod: str, namespace: str, name: str, moment: datetime
) -> None:
    container = Container(namespace, pod, name)
    assert parse_name(name_of(container, stamp=_stamp(moment))).container == container


@given(PODS, LABELS, LABELS)
def test_what_is_read_of_any_name_is_what_was_written_or_nothing(
    pod: str, namespace: str, name: str
) -> None:
    found = parse_name(name_of(Container(namespace, pod, name)))
    assert found.time_ns == START * SECOND
    assert found.container in {Container(namespace, pod, name), None}
    if found.container is None:
        rest = f"{namespace}-{name}"
        ways = [
            at
            for at in range(len(rest))
            if rest[at] == "-" and is_label(rest[:at]) and is_label(rest[at + 1 :])
        ]
        assert len(ways) > 1


@given(st.text())
def test_whatever_a_name_is_what_it_says_would_be_written_like_it(text: str) -> None:
    for name in (text, name_of().replace("web", text), name_of().replace("app", text)):
        found = parse_name(name)
        if found.container is not None:
            parts = (found.container.namespace, found.container.container)
            assert all(is_label(part) for part in parts)
            assert is_subdomain(found.container.pod)
            front = f"checkpoint-{found.container.pod}_{parts[0]}-{parts[1]}-"
            assert name.startswith(front)


@given(st.lists(LABELS, min_size=3, max_size=5, unique=True))
def test_names_of_two_containers_never_say_the_same(labels: list[str]) -> None:
    containers = [Container(first, "web", second) for first, second in pairwise(labels)]
    found = [parse_name(name_of(container)).container for container in containers]
    known = [container for container in found if container is not None]
    assume(known)
    assert len(known) == len(set(known))


@given(
    st.from_regex(
        r"checkpoint-[ab.]{1,3}_[ab-]{1,4}-[0-9]{4}-0[0-9]-[0-3][0-9]T2[0-9]:0[0-9]:[5-6]0Z\.tar",
        fullmatch=True,
    )
)
def test_the_time_alone_is_the_same(name: str) -> None:
    for each in (name, name + "x"):
        assert time_in(each) == parse_name(each).time_ns
