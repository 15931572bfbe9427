"""Whose an archive is: what all of its metadata says, else what its name says, else nobody's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointkit.archives.identity import (
    Identity,
    LastSpec,
    Reading,
    identify,
    read_config,
    read_spec,
)
from checkpointkit.archives.model import Container, State
from checkpointkit.kubernetes.grammar import is_label, is_subdomain
from tests.archives.making import START, UID, WEB, annotations_of, config, name_of, spec

SECOND = 10**9
LABELS = "io.kubernetes.cri-o.Labels"
JSON: st.SearchStrategy[Any] = st.text(max_size=4) | st.sampled_from(
    [None, True, 0, 0.5, [], [[]], {}, {"a": ""}, "", "web", "app", "default", "*", "{}", UID]
)
KEYS = sorted(
    {
        key
        for runtime in ("crio", "containerd", "checkpointctl")
        for key in annotations_of(runtime, WEB)
    }
)


def _spec(annotations: Any) -> bytes:
    return json.dumps({"ociVersion": "1.2.0", "annotations": annotations}).encode()


def _labels(**changes: Any) -> dict[str, Any]:
    labels = json.loads(annotations_of("crio", WEB)[LABELS])
    labels.update({f"io.kubernetes.{key.replace('_', '.')}": it for key, it in changes.items()})
    return {LABELS: json.dumps(labels)}


# ------------------------------------------------------------------------------------ spec.dump


@pytest.mark.parametrize("runtime", ["crio", "containerd"])
def test_a_runtime_says_the_pod_with_its_uid(runtime: str) -> None:
    assert read_spec(spec(runtime)) == Identity(WEB, UID)
    assert read_spec(spec(runtime, uid="")) == Identity(WEB)


def test_checkpointctl_says_the_pod() -> None:
    assert read_spec(spec("checkpointctl")) == Identity(WEB)


@pytest.mark.parametrize("runtime", ["podman", "podannot"])
def test_other_annotations_say_nothing(runtime: str) -> None:
    assert read_spec(spec(runtime)) == Identity()


def test_all_runtimes_may_say_the_same() -> None:
    found = annotations_of("crio", WEB)
    for runtime in ("containerd", "checkpointctl"):
        found |= annotations_of(runtime, WEB)
    assert read_spec(_spec(found)) == Identity(WEB, UID)


@pytest.mark.parametrize("document", [{}, {"annotations": None}, {"annotations": {}}])
def test_no_annotations_are_no_identity_and_no_conflict(document: Any) -> None:
    assert read_spec(json.dumps(document).encode()) == Identity()


def test_an_empty_annotation_is_as_none() -> None:
    empty = dict.fromkeys(annotations_of("checkpointctl", WEB), "")
    found = {**annotations_of("containerd", WEB), **empty, LABELS: ""}
    assert read_spec(_spec(found)) == Identity(WEB, UID)


@pytest.mark.parametrize("runtime", ["conflict", "badlabels", "badjson"])
def test_what_does_not_agree_or_cannot_be_read_is_not_believed(runtime: str) -> None:
    found = read_spec(spec(runtime))
    assert found.container is None
    assert found.pod_uid == ""
    assert found.problem


@pytest.mark.parametrize("runtime", ["crio", "containerd", "checkpointctl"])
@pytest.mark.parametrize("other", ["crio", "containerd", "checkpointctl"])
@pytest.mark.parametrize("part", ["namespace", "pod", "container"])
def test_two_runtimes_that_differ_in_one_part_are_a_conflict(
    runtime: str, other: str, part: str
) -> None:
    parts = {"namespace": "default", "pod": "web", "container": "app", part: "else"}
    found = annotations_of(runtime, WEB) | annotations_of(other, Container(**parts))
    known = read_spec(_spec(found))
    if runtime == other:
        assert known.container == Container(**parts)
    else:
        assert known == Identity(problem="spec.dump says in two ways whose it is, and they differ")


@pytest.mark.parametrize("runtime", ["containerd", "checkpointctl"])
def test_a_part_that_is_missing_is_a_conflict_whatever_others_say(runtime: str) -> None:
    whole = annotations_of(runtime, WEB)
    names = [key for key in whole if key.endswith(("name", "namespace"))]
    assert len(names) == 3
    for missing in names:
        rest = {key: value for key, value in whole.items() if key != missing}
        for found in (rest, {**annotations_of("crio", WEB), **rest}):
            known = read_spec(_spec(found))
            assert known == Identity(problem="spec.dump says only in part whose it is")


@pytest.mark.parametrize("part", ["pod_namespace", "pod_name", "container_name"])
def test_labels_that_are_not_complete_are_a_conflict(part: str) -> None:
    known = read_spec(_spec(_labels(**{part: ""})))
    assert known == Identity(problem="spec.dump says only in part whose it is")


@pytest.mark.parametrize(
    "labels", ["{}", "[]", "null", "5", '"x"', "{", "", " ", '{"a": 1, "a": 1}', "[" * 10**5, 7, {}]
)
def test_labels_that_are_none_are_never_passed_over(labels: Any) -> None:
    found = {**annotations_of("containerd", WEB), LABELS: labels}
    if labels == "":
        assert read_spec(_spec(found)).container == WEB
    else:
        assert read_spec(_spec(found)).container is None
        assert read_spec(_spec(found)).problem


@pytest.mark.parametrize(
    "name",
    ["*", "?", "[a]", "../x", "a/b", "A", "-a", "a-", "a_b", "a\n", "\udc80", "a" * 64, 5, []],
)
@pytest.mark.parametrize("part", ["pod_namespace", "container_name", "pod_name"])
def test_a_name_that_kubernetes_does_not_allow_is_never_a_group(name: Any, part: str) -> None:
    known = read_spec(_spec(_labels(**{part: name})))
    if part == "pod_name" and name == "a" * 64:
        assert known.container == Container("default", name, "app")  # a pod's may be longer
    else:
        assert known == Identity(problem="spec.dump has names that Kubernetes does not allow")


@pytest.mark.parametrize("uid", ["a/b", "*", "a" * 64, "\n", 5, None, [], "-"])
def test_a_uid_that_kubernetes_does_not_allow_is_a_conflict(uid: Any) -> None:
    known = read_spec(_spec(_labels(pod_uid=uid)))
    assert known == Identity(problem="spec.dump has a UID that Kubernetes does not allow")


@pytest.mark.parametrize(
    "key",
    ["io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid", "org.criu.checkpoint.pod.uid"],
)
def test_two_uids_are_a_conflict(key: str) -> None:
    found: dict[str, str] = {}
    for runtime in ("crio", "containerd", "checkpointctl"):
        found |= annotations_of(runtime, WEB)
    known = read_spec(_spec({**found, key: "another"}))
    assert known == Identity(problem="spec.dump names two pods by their UID")


def test_a_uid_alone_says_nothing() -> None:
    assert read_spec(_spec({"io.kubernetes.pod.uid": UID})) == Identity()
    assert read_spec(_spec({"io.kubernetes.cri.sandbox-uid": UID})) == Identity()


# ----------------------------------------------------------------------------------------- JSON


ONCE = "no JSON object with each key once"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"annotations"',
        b"\xef\xbb\xbf{}",
        '{"annotations": {}}'.encode("utf-16"),
        b'{"x": "\xff"}',
        b'{"x": NaN}',
        b'{"x": -Infinity}',
        b'{"x": 1} {}',
        b'{"x": 1, "x": 1}',
        b'{"x": {"y": 1, "y": 2}}',
        b'{"annotations": {}, "annotations": {}}',
        b'{"annotations": {}, "Annotations": {}}',
        b'{"annotationS": {}}',
        '{"annotation\u017f": {}}'.encode(),
        b'{"\\u0061nnotations": {}, "annotations": {}}',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"x": "\n"}',
    ],
)
def test_what_two_readers_may_read_in_two_ways_is_not_read(data: bytes) -> None:
    assert read_spec(data) == Identity(problem=f"spec.dump is {ONCE}")


@pytest.mark.parametrize("data", [b'{"x": 1' + b"0" * 500_000 + b"}", b'{"x": 1e999999999}'])
def test_giant_numbers_are_not_computed(data: bytes) -> None:
    assert read_spec(data) == Identity()
    assert read_config(data) == (None, "")


@pytest.mark.parametrize("found", [[], "x", 5, True, 0.5])
def test_annotations_that_are_no_object_are_a_conflict(found: Any) -> None:
    assert read_spec(_spec(found)) == Identity(problem="the annotations in spec.dump are no object")


def test_a_key_of_an_identity_twice_is_a_conflict() -> None:
    data = spec("checkpointctl")
    twice = data.replace(b'{"org', b'{"org.criu.checkpoint.pod.name": "other", "org', 1)
    assert read_spec(data).container == WEB
    assert ONCE in read_spec(twice).problem


# ---------------------------------------------------------------------------------- config.dump


def test_the_time_is_exact_to_the_nanosecond() -> None:
    assert read_config(config(START * SECOND + 1)) == (START * SECOND + 1, "")


@pytest.mark.parametrize("text", ["2026-05-28T22:26:40+02:00", "2026-05-28T20:26:40Z"])
def test_a_time_has_its_offset(text: str) -> None:
    assert read_config(config(checkpointed=text)) == (START * SECOND, "")


def test_a_time_that_nobody_has_set_is_none_and_no_problem() -> None:
    assert read_config(config(checkpointed="0001-01-01T00:00:00Z")) == (None, "")
    assert read_config(b"{}") == (None, "")
    assert read_config(b'{"checkpointedTime": null}') == (None, "")


@pytest.mark.parametrize("found", ["", "now", "2026-02-30T00:00:00Z", 5, [], {}, True])
def test_a_time_that_cannot_be_is_a_problem(found: Any) -> None:
    data = json.dumps({"checkpointedTime": found}).encode()
    assert read_config(data) == (None, "the time in config.dump is none")


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"checkpointedTime": "x", "checkpointedtime": "y"}', b"[" * 10**5]
)
def test_a_config_that_cannot_be_read_is_a_problem(data: bytes) -> None:
    assert read_config(data) == (None, f"config.dump is {ONCE}")


# ------------------------------------------------------------------------------------- identify


def test_metadata_comes_before_the_name() -> None:
    other = Container("shop", "cart", "app")
    reading = Reading(state=State.COMPLETE, container=other, pod_uid=UID)
    assert identify(name_of(WEB), reading) == Identity(other, UID)


def test_a_name_counts_where_the_metadata_says_nothing() -> None:
    assert identify(name_of(WEB), Reading(state=State.COMPLETE)) == Identity(WEB)


def test_an_ambiguous_name_is_nobodys() -> None:
    known = identify(name_of(Container("kube-system", "web", "app")), Reading(state=State.COMPLETE))
    assert known == Identity(problem="neither its metadata nor its name says whose it is")


def test_where_the_metadata_cannot_be_believed_neither_can_the_name() -> None:
    reading = Reading(state=State.COMPLETE, problem="why", conflicting=True)
    assert identify(name_of(WEB), reading) == Identity(problem="why")


def test_what_is_wrong_with_an_archive_is_passed_on() -> None:
    reading = Reading(state=State.BROKEN, problem="why")
    assert identify(name_of(WEB), reading) == Identity(WEB, problem="why")
    assert identify("checkpoint-x.tar", reading) == Identity(problem="why")


# ----------------------------------------------------------------------------------------- laws


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_whatever_the_annotations_are_who_is_believed_has_a_good_name(found: Any) -> None:
    known = read_spec(_spec(found))
    assert known.container is None or not known.problem
    if known.container is not None:
        assert is_label(known.container.namespace)
        assert is_subdomain(known.container.pod)
        assert is_label(known.container.container)
    else:
        assert known.pod_uid == ""


@given(JSON | st.text() | st.binary())
def test_whatever_the_bytes_are_nothing_is_raised(found: Any) -> None:
    data = found if isinstance(found, bytes) else json.dumps(found).encode()
    assert read_spec(data).container is None
    assert read_config(data)[0] is None


@given(
    st.lists(st.sampled_from(["crio", "containerd", "checkpointctl"]), min_size=1, unique=True),
    st.lists(st.sampled_from([WEB, Container("shop", "cart", "app")]), min_size=3, max_size=3),
)
def test_one_who_disagrees_is_enough_for_none_to_be_believed(
    runtimes: list[str], containers: list[Container]
) -> None:
    said = list(zip(runtimes, containers, strict=False))
    found: dict[str, str] = {}
    for runtime, container in said:
        found |= annotations_of(runtime, container)
    names = {container for _, container in said}
    known = read_spec(_spec(found)).container
    assert known == (names.pop() if len(names) == 1 else None)


# -------------------------------------------------------------------------------- the last one


@given(st.lists(st.sampled_from([spec("crio"), spec("conflict"), spec("podman"), b"{", b""])))
def test_the_last_one_is_remembered_by_all_its_bytes(documents: list[bytes]) -> None:
    read = LastSpec()
    assert [read(each) for each in documents] == [read_spec(each) for each in documents]


def test_an_empty_document_is_read_though_nothing_came_before_it() -> None:
    assert LastSpec()(b"").problem


@pytest.mark.parametrize("other", ["xcheckpointedTime", "CHECKPOINTEDTIMES", "checkpointed\nTime"])
def test_a_key_that_only_contains_the_wanted_one_is_another(other: str) -> None:
    found = {other: "x", "checkpointedTime": "1970-01-01T00:00:01Z"}
    assert read_config(json.dumps(found).encode()) == (SECOND, "")
    assert read_config(json.dumps({other: "x"}).encode()) == (None, "")


@pytest.mark.parametrize("other", ["checkpointedtime", "CheckpointedTime", "CHECKPOINTEDTIME"])
def test_a_key_in_another_case_is_refused_next_to_longer_ones(other: str) -> None:
    for more in ({}, {"checkpointedTime": "1970-01-01T00:00:01Z"}, {"xcheckpointedTimex": ""}):
        taken, problem = read_config(json.dumps({**more, other: "x"}).encode())
        assert taken is None
        assert problem
