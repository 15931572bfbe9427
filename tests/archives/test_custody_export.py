"""A chain of custody as a file: anybody can check it, without the store."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.archives.kept import links as form
from checkpointkit.archives.kept.links import (
    ChainReport,
    Link,
    check_export,
    export_lines,
    faults_of,
    start_of,
)
from checkpointkit.archives.model import Container
from tests.archives.keeping import NAMES, TEXTS, WEB

if TYPE_CHECKING:
    from pathlib import Path


def rules(report: ChainReport) -> list[tuple[int | None, str]]:
    return [(fault.index, fault.rule) for fault in report.faults]


LINKS = st.lists(
    st.tuples(NAMES, st.none() | st.builds(Container, TEXTS, TEXTS, TEXTS), TEXTS), max_size=5
)


def chain(rows: list[tuple[str, Container | None, str]], directory: str) -> list[Link]:
    links: list[Link] = []
    for index, (name, container, uid) in enumerate(rows):
        link = Link(
            index=index,
            name=name,
            container=container,
            pod_uid=uid,
            size=2**63,
            mtime_ns=-index,
            recorded_ns=2**70,
            sha256=hashlib.sha256(b"%d" % index).hexdigest(),
            previous=links[-1].link if links else start_of(directory),
            link="",
        )
        links.append(evolve(link, link=link.digest()))
    return links


@given(LINKS, NAMES)
@settings(max_examples=60)
def test_any_exported_chain_is_checked_without_the_store(
    rows: list[tuple[str, Container | None, str]], directory: str
) -> None:
    links = chain(rows, directory)
    lines = list(export_lines(links, directory))
    assert "\n" not in "".join(lines)
    report = check_export(line.encode().decode() + "\n" for line in lines)
    assert report == ChainReport(len(links), links[-1].link if links else start_of(directory))
    assert [faults for _, faults in faults_of(links, start_of(directory))] == [()] * len(links)


@given(st.data())
@settings(max_examples=80)
def test_an_exported_chain_in_which_any_value_is_changed_does_not_pass(data: st.DataObject) -> None:
    lines = list(
        export_lines(chain([("a", WEB, "7f3e"), ("b", None, ""), ("c", WEB, "")], "/a"), "/a")
    )
    place = data.draw(st.integers(0, 3))
    value = json.loads(lines[place])
    name = data.draw(st.sampled_from(sorted(value)))
    other: Any = data.draw(
        st.one_of(TEXTS, st.integers(), st.none(), st.just([]), st.just("f" * 64))
    )
    if value[name] == other:
        return
    # what the last link says can be changed with its digest, and that alone
    changed = json.dumps({**value, name: other})
    report = check_export([*lines[:place], changed, *lines[place + 1 :]])
    assert report.faults


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        "[]",
        "1",
        "null",
        '"a"',
        "{}",
        '{"index":0}',
        "[" * 100_000,
        '{"custody":1}',
        "1" * 9999,
    ],
)
def test_lines_that_are_no_chain_are_told(line: str) -> None:
    assert rules(check_export([line])) == [(None, "form")]
    good = list(export_lines(chain([("a", WEB, "")], "/a"), "/a"))
    assert rules(check_export([*good, line])) == [(None, "form")]


def test_an_empty_export_is_no_chain() -> None:
    assert rules(check_export([])) == [(None, "form")]


def test_another_way_to_write_the_same_is_refused() -> None:
    """Who checks by hand hashes what stands there."""
    start, line = export_lines(chain([("a", WEB, "")], "/a"), "/a")
    for one, other in (('"a"', '"%0061"'), ('"mtime_ns":"0"', '"mtime_ns":"00"'), ("{", '{"x":1,')):
        assert one in line
        assert rules(check_export([start, line.replace(one, other)])) == [(None, "form")]


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
def test_a_person_can_check_a_link_with_jq(
    tmp_path: Path,
) -> None:
    links = chain([("é%\udcff\n\x7f", WEB, "7f3e")], "/a")
    (tmp_path / "chain.jsonl").write_text(
        "".join(f"{line}\n" for line in export_lines(links, "/a"))
    )
    told = re.search(r"jq -j '([^']*)'", form.__doc__ or "")
    assert told
    program = told[1].replace("3", "0")
    done = subprocess.run(
        ["jq", "-j", program, str(tmp_path / "chain.jsonl")], check=True, capture_output=True
    )
    assert hashlib.sha256(done.stdout).hexdigest() == links[0].link
