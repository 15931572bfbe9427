"""Policy files: what is read, what is refused and where, and that a policy can be written down."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.model import DEFAULT_DIRECTORY, Container, Level
from checkpointkit.archives.policies import (
    DEFAULT_RULES,
    INHERIT,
    Order,
    OrphanRule,
    Percent,
    Policy,
    Quarantine,
    Rules,
    Watermarks,
)
from checkpointkit.archives.policyfiles.documents import LONGEST_DOCUMENT
from checkpointkit.archives.policyfiles.fields import GENERAL, RULES
from checkpointkit.archives.policyfiles.reading import PolicyFile, load_policy, read_policy

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "apiVersion: checkpointkit/v1\nkind: RetentionPolicy\n"
DAY = timedelta(days=1)
SECRET = "hunter2-hunter2"


def read(body: str) -> PolicyFile:
    return read_policy(HEAD + body, source="p.yaml")


def policy(body: str) -> Policy:
    return read(body).policy


def refusal(body: str, *, head: str = HEAD) -> str:
    with pytest.raises(PolicyError) as caught:
        read_policy(head + body, source="p.yaml")
    assert SECRET not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------- what is read


def test_every_field_is_read() -> None:
    found = read("""
checkpointDirectory: /srv/checkpoints
keepLast: 1
keepWithin: 2d
keepHourly: 3
keepDaily: 4
keepWeekly: 5
keepMonthly: 6
keepYearly: 7
maxAge: 90d
maxCheckpointSize: 10Gi
minAge: 10min
orphans: {grace: 1d, gone: pod}
maxCheckpointsPerContainer: 11
maxTotalSizePerContainer: 12Gi
maxCheckpointsPerPod: 13
maxTotalSizePerPod: 14 GiB
maxCheckpointsPerNamespace: 15
maxTotalSizePerNamespace: 16G
allowEmpty: true
maxCheckpointsPerDirectory: 17
maxTotalSizePerDirectory: 18Gi
minFree: 10%
watermarks:
  high: 85%
  low: 500Gi
quarantine:
  maxCheckpoints: 19
  maxTotalSize: 20Gi
timeZone: Europe/Berlin
order: mtime
pinsCount: true
exclusive: true
namesCount: false
namespaces:
- namespace: shop
  keepLast: 21
  maxCheckpointsPerNamespace: none
pods:
- {namespace: shop, pod: web-0, orphans: none}
containers:
- namespace: shop
  pod: web-0
  container: app
  allowEmpty: false
""")
    assert found.directory == "/srv/checkpoints"
    assert found.immediately
    assert found.notes == ()
    assert found.policy == Policy(
        rules=Rules(
            keep_last=1,
            keep_within=2 * DAY,
            keep_hourly=3,
            keep_daily=4,
            keep_weekly=5,
            keep_monthly=6,
            keep_yearly=7,
            max_age=90 * DAY,
            max_size=10 * 2**30,
            min_age=timedelta(minutes=10),
            orphans=OrphanRule(DAY, Level.POD),
            container_count=11,
            container_size=12 * 2**30,
            pod_count=13,
            pod_size=14 * 2**30,
            namespace_count=15,
            namespace_size=16 * 10**9,
            allow_empty=True,
        ),
        namespaces={"shop": Rules(keep_last=21, namespace_count=None)},
        pods={("shop", "web-0"): Rules(orphans=None)},
        containers={Container("shop", "web-0", "app"): Rules(allow_empty=False)},
        directory_count=17,
        directory_size=18 * 2**30,
        min_free=Percent(10),
        watermarks=Watermarks(high=Percent(85), low=500 * 2**30),
        quarantine=Quarantine(count=19, size=20 * 2**30),
        timezone="Europe/Berlin",
        order=Order.MTIME,
        pins_count=True,
        exclusive=True,
        names_count=False,
    )


def test_every_field_of_a_policy_has_a_name_in_the_file() -> None:
    assert {of.attribute for of in RULES.values()} == {each.name for each in fields(Rules)}
    general = {of.attribute for of in GENERAL.values()}
    others = {each.name for each in fields(Policy) if each.init} - general
    assert others == {"rules", "namespaces", "pods", "containers"}


def test_a_file_that_says_nothing_is_the_default_policy() -> None:
    found = read("")
    assert found == PolicyFile(Policy(), DEFAULT_DIRECTORY, immediately=True, notes=())
    assert found.policy.rules == DEFAULT_RULES


def test_a_small_size_with_a_unit_is_what_it_says() -> None:
    found = policy("minFree: 10 B\nmaxCheckpointSize: 511 B\nmaxTotalSizePerPod: 4096\n")
    assert (found.min_free, found.rules.max_size, found.rules.pod_size) == (10, 511, 4096)


def test_json_is_read_as_well() -> None:
    text = {"apiVersion": "checkpointkit/v1", "kind": "RetentionPolicy", "keepLast": 5}
    rules = read_policy(json.dumps(text), source="p.json").policy.rules
    assert rules.keep_last == 5


def test_none_switches_off_and_what_is_unset_is_inherited() -> None:
    found = policy(
        "maxCheckpointsPerContainer: none\nmaxAge: none\nminFree: none\nwatermarks: none\n"
        "quarantine: none\norphans: none\n"
    )
    assert found.rules == Rules(container_count=None, max_age=None, orphans=None)
    assert (found.min_free, found.watermarks, found.quarantine) == (None, None, None)


def test_orphans_without_grace_say_so() -> None:
    assert policy("orphans: {grace: none}").rules.orphans == OrphanRule(timedelta())


def test_an_empty_quarantine_has_no_limit() -> None:
    assert policy("quarantine: {}").quarantine == Quarantine()


def test_words_that_yaml_guesses_at_are_texts() -> None:
    found = policy("namespaces: [{namespace: on}, {namespace: 'null'}, {namespace: 010}]")
    assert set(found.namespaces) == {"on", "null", "010"}


# ------------------------------------------------------------------------------- the default


@pytest.mark.parametrize("rule", ["keepLast: 20", "keepWithin: 2d", "keepYearly: 1"])
def test_a_default_that_nobody_wrote_never_cuts_what_keep_rules_keep(rule: str) -> None:
    found = read(f"{rule}\n")
    assert found.policy.rules.container_count is None
    assert found.notes == (
        "maxCheckpointsPerContainer: the default of 10 is off: the keep rules say it alone",
    )


def test_a_written_limit_cuts_what_keep_rules_keep() -> None:
    found = read("keepLast: 20\nmaxCheckpointsPerContainer: 10\n")
    assert found.policy.rules == Rules(keep_last=20, container_count=10)
    assert found.notes == ()


def test_the_default_is_off_for_those_alone_that_have_keep_rules() -> None:
    found = read("""
keepLast: none
namespaces:
- {namespace: a, keepDaily: 20}
- {namespace: b, keepDaily: none}
- {namespace: c, maxCheckpointsPerContainer: 5}
pods:
- {namespace: a, pod: p, keepLast: 30}
- {namespace: c, pod: p, keepLast: 30}
containers:
- {namespace: d, pod: p, container: c, keepLast: 30}
- {namespace: d, pod: p, container: d, keepLast: 30, maxCheckpointsPerContainer: 7}
""")
    assert found.policy.rules.container_count == 10
    assert found.policy.namespaces["a"].container_count is None
    assert found.policy.namespaces["b"].container_count is INHERIT
    assert found.policy.pods["a", "p"].container_count is None
    assert found.policy.pods["c", "p"].container_count is INHERIT
    assert found.policy.containers[Container("d", "p", "c")].container_count is None
    assert found.policy.containers[Container("d", "p", "d")].container_count == 7
    assert len(found.notes) == 3


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("keepLst: 5", "p.yaml:3: keepLst: is no field of a policy; did you mean keepLast?"),
        ("keep_daily: 5", "p.yaml:3: (a field): is no field of a policy; did you mean keepDaily?"),
        ("zzz: 5", "p.yaml:3: zzz: is no field of a policy"),
        ("globalPolicy: {}", "p.yaml:3: globalPolicy: is no field of a policy"),
        (
            "pods:\n- {namespace: a, pod: b, minFree: 5%}",
            "p.yaml:4: pods[0].minFree: does nothing here; did you mean minAge?",
        ),
        (
            "containers:\n- namespace: a\n  pod: b\n  container: c\n  maxCheckpointsPerPod: 3",
            "p.yaml:7: containers[0].maxCheckpointsPerPod: does nothing here; did you mean",
        ),
        (
            "watermarks: {high: 80%, lo: 70%}",
            "p.yaml:3: watermarks.lo: is no field of a policy; did you mean low?",
        ),
        ("keepLast: 1\nkeepLast: 2", "p.yaml:4: the field is there twice; remove one"),
        (
            "pods:\n- {namespace: a, pod: b}\n- {pod: b, namespace: a}",
            "p.yaml:5: pods[1]: there is one for the same in line 4; write one of them",
        ),
        ("keepLast: 0", "p.yaml:3: keepLast: has to be above 0; write none to switch it off"),
        ("keepLast: -1", "p.yaml:3: keepLast: has to be above 0; write none to switch it off"),
        (
            "keepLast: 2147483648",
            "p.yaml:3: keepLast: is more than 2147483647; write none for no limit",
        ),
        (
            "keepLast:",
            "p.yaml:3: keepLast: is empty; write none to switch it off, or leave it away",
        ),
        ("allowEmpty: ~", "p.yaml:3: allowEmpty: is empty; write a value, or leave it away"),
        ("allowEmpty: none", "p.yaml:3: allowEmpty: has to be true or false"),
        ("keepLast: [1]", "p.yaml:3: keepLast: has to be a single value"),
        ("pods: 5", "p.yaml:3: pods: has to be a list; begin each entry with -"),
        ("pods: {}", "p.yaml:3: pods: has to be a list; begin each entry with -"),
        (
            "namespaces:\n- shop",
            "p.yaml:4: namespaces[0]: has to be a mapping with: namespace, keepLast",
        ),
        ("pods:\n- {namespace: a}", "p.yaml:4: pods[0].pod: is missing"),
        (
            "pods:\n- {namespace: a, pod: 'web-*'}",
            "p.yaml:4: pods[0].pod: is no name of a pod; patterns are not read here",
        ),
        ("pods:\n- {namespace: A, pod: a}", "p.yaml:4: pods[0].namespace: is no name"),
        ("watermarks: {high: 80%}", "p.yaml:3: watermarks.low: is missing"),
        (
            "watermarks: {high: 70%, low: 80%}",
            "p.yaml:3: watermarks.low: the low watermark is above the high one; exchange them",
        ),
        ("watermarks: {high: none, low: 80%}", "p.yaml:3: watermarks.high: is no size"),
        ("watermarks: 80%", "p.yaml:3: watermarks: has to be a mapping with: high, low"),
        ("orphans: {gone: pod}", "p.yaml:3: orphans.grace: is missing"),
        (
            "orphans: {grace: 1d, gone: directory}",
            "p.yaml:3: orphans.gone: has to be one of: container, pod, namespace",
        ),
        ("orphans: {grace: 0s}", "p.yaml:3: orphans.grace: has to be above 0; write none"),
        ("order: newest", "p.yaml:3: order: has to be one of: checkpointed, mtime"),
        ("timeZone: Europe/Bern", "p.yaml:3: timeZone: is no time zone; write Europe/Berlin"),
        ("timeZone: ../../etc/passwd", "p.yaml:3: timeZone: is no time zone"),
        ("checkpointDirectory: a/b", "p.yaml:3: checkpointDirectory: has to be an absolute path"),
        ('checkpointDirectory: "/a\\0"', "p.yaml:3: checkpointDirectory: has to be an absolute"),
        ("minFree: 100%", "p.yaml:3: minFree: has to be above 0% and below 100%"),
        # nobody means 85 bytes, and to empty the directory
        (
            "watermarks: {high: 85, low: 75}",
            "p.yaml:3: watermarks.high: a bare number may mean per cent or bytes; write 85%",
        ),
        ("watermarks: {high: 85%, low: 7.5e1}", "p.yaml:3: watermarks.low: a bare number may mean"),
        ("minFree: 10", "p.yaml:3: minFree: a bare number may mean per cent or bytes"),
        ("minFree: '10737418240'", "p.yaml:3: minFree: a bare number may mean per cent or bytes"),
        (
            "maxCheckpointSize: 500",
            "p.yaml:3: maxCheckpointSize: a bare number is bytes, and no archive is that small",
        ),
        ("maxTotalSizePerPod: 4095", "p.yaml:3: maxTotalSizePerPod: a bare number is bytes"),
        ("maxTotalSizePerDirectory: 1e3", "p.yaml:3: maxTotalSizePerDirectory: a bare number is"),
        ("quarantine: {maxTotalSize: 10}", "p.yaml:3: quarantine.maxTotalSize: a bare number is"),
        ("maxTotalSizePerPod: 0", "p.yaml:3: maxTotalSizePerPod: has to be above 0; write none"),
    ],
)
def test_what_is_refused_names_the_line_the_field_and_what_to_write(
    body: str, message: str
) -> None:
    assert refusal(body).startswith(message)


@pytest.mark.parametrize(
    "body",
    [
        "keepLast: 010",  # 8 to YAML 1.1, 10 to 1.2
        "keepLast: 0o10",
        "keepLast: 0x10",
        "keepLast: 1_000",
        "keepLast: 1:30",  # 90 to YAML 1.1
        "keepLast: 10.0",
        "keepLast: 1e1",
        "keepLast: +5",
        "keepLast: .inf",
        "keepLast: .nan",
        "keepLast: ٣",
        "keepLast: true",
        "keepLast: 2026-11-21",
        "maxAge: 1:30",
        "maxAge: 2026-11-21",
        "maxAge: 90",
        "maxAge: 6m",
        "maxCheckpointSize: 010",
        "maxCheckpointSize: 0o17",
        "maxCheckpointSize: 1_000",
        "maxCheckpointSize: 1:30",
        "maxCheckpointSize: .inf",
        "maxCheckpointSize: 10GB",
        "allowEmpty: yes",
        "allowEmpty: on",
        "allowEmpty: True",
        "allowEmpty: 1",
        "pods: none",
    ],
)
def test_nothing_is_guessed(body: str) -> None:
    field = body.partition(":")[0]
    assert refusal(body).startswith(f"p.yaml:3: {field}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.yaml: is empty"),
        ("# nothing\n", "p.yaml: is empty"),
        ("---\n", "p.yaml:2: is no policy; begin with apiVersion: checkpointkit/v1"),
        ("[]", "p.yaml:1: is no policy; begin with apiVersion: checkpointkit/v1 and kind:"),
        ("5", "p.yaml:1: is no policy"),
        ("keepLast: 5", "p.yaml:1: apiVersion: is missing; begin with apiVersion:"),
        ("apiVersion: checkpointkit/v1", "p.yaml:1: kind: is missing; begin with"),
        ("apiVersion: []\nkind: a", "p.yaml:1: apiVersion: is missing"),
        (
            "apiVersion: checkpointkit/v2\nkind: RetentionPolicy",
            "p.yaml:1: apiVersion: is no version that is known here; begin with",
        ),
        (
            "apiVersion: checkpointkit/v1\nkind: Retention",
            "p.yaml:2: kind: has to be RetentionPolicy",
        ),
        (
            "apiVersion: criu.org/v1\nkind: PodRestore",
            "p.yaml:1: apiVersion: is no version that is known here",
        ),
        (HEAD + "---\n" + HEAD, "p.yaml:3: there is a second document; one file has one"),
        (HEAD + "keepLast: &a 5", "p.yaml:3: anchors and aliases are not read; write it out"),
        ("a: *b", "p.yaml:1: anchors and aliases are not read; write it out"),
        (HEAD + "keepLast: !!int 5", "p.yaml:3: tags are not read"),
        ("!!python/object/apply:os.system ['true']", "p.yaml:1: tags are not read"),
        ("? [a]\n: b", "p.yaml:1: the name of a field has to be a text"),
        ("? {a: b}\n: b", "p.yaml:1: the name of a field has to be a text"),
        (HEAD + "<<: {keepLast: 5}", "p.yaml:3: (a field): is no field of a policy"),
        (HEAD + "null: 5", "p.yaml:3: null: is no field of a policy"),
        ("[" * 13, "p.yaml:1: is too deep for a policy"),
        ("{a: " * 13, "p.yaml:1: is too deep for a policy"),
        (HEAD + f"keepLast: [{SECRET}", "p.yaml:3: is no YAML from here on"),
        (HEAD + f"\t{SECRET}: 5", "p.yaml:3: is no YAML from here on"),
        (HEAD + f"a: b: {SECRET}", "p.yaml:3: is no YAML from here on"),
        (f"{SECRET}\0", "p.yaml: is no YAML from here on"),
        ('"\\UFFFFFFFF"', "p.yaml: is no YAML from here on"),
        ('"\\U00110000"', "p.yaml: is no YAML from here on"),
        ("%YAML " + "9" * 5000 + ".1\n---\n", "p.yaml: is no YAML from here on"),
        ("\ud800", "p.yaml: is no YAML from here on"),
        ("a" * (LONGEST_DOCUMENT + 1), "p.yaml: is longer than 256 KiB, so no policy"),
    ],
)
def test_what_is_no_document_is_refused_and_not_quoted(text: str, message: str) -> None:
    assert refusal(text, head="").startswith(message)


def test_a_document_of_many_brackets_takes_no_long_time_and_no_recursion() -> None:
    for mark in ("[", "{a: ", "- ", "? ", "a:\n"):
        assert "p.yaml" in refusal(mark * (LONGEST_DOCUMENT // len(mark)), head="")


def test_a_field_with_an_odd_name_is_not_shown() -> None:
    assert refusal(f'"\\e[2J{SECRET}": 5').startswith("p.yaml:3: (a field): ")


def test_values_are_never_quoted() -> None:
    names = [*RULES, *GENERAL, "checkpointDirectory", "namespaces", "pods", "containers"]
    for name in names:
        assert refusal(f"{name}: {SECRET}").startswith(f"p.yaml:3: {name}: ")


# ------------------------------------------------------------------------------- files


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode() + b"keepLast: 5\n")
    assert load_policy(str(path)).policy.rules.keep_last == 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe" + SECRET.encode(), "is no text in UTF-8"),
        (b"#" * (LONGEST_DOCUMENT + 1), "is longer than 256 KiB, so no policy"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(data)
    with pytest.raises(PolicyError) as caught:
        load_policy(str(path))
    assert str(caught.value) == f"{path}: {message}"


def test_a_file_that_is_not_there_says_so_and_keeps_its_cause(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: No such file") as caught:
        load_policy(str(tmp_path / "absent.yaml"))
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_without_pyyaml_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['yaml'] = None\n"
        "from checkpointkit.archives.policyfiles.reading import read_policy\n"
        "from checkpointkit.errors import MissingExtraError\n"
        "try:\n    read_policy('', source='a')\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'checkpointkit[archives]'" in done.stdout


@given(st.text(st.sampled_from("ab:-[]{},#&*!|>'\"%@`\n\t ?~0\\"), max_size=40))
def test_any_text_is_read_or_refused_in_our_words(text: str) -> None:
    with pytest.raises(PolicyError, match=r"^p\.yaml"):
        read_policy(text, source="p.yaml")
