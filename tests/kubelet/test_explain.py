"""Causes, and what is to be done: one file for each."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.kubelet import formats
from checkpointkit.kubelet.explain import AT_START, CAUSES, Cause, Explanation, explain, formats_of
from checkpointkit.kubelet.formats import FILES
from checkpointkit.kubelet.restarts import ERAS, eras_of, parse_version, restart
from checkpointkit.kubelet.verdicts import read, render
from tests.kubelet.vectors import vectors

CPU = "cpu_manager_state"
GOOD = b'{"policyName":"none","defaultCpuSet":"","checksum":1353318690}'
PODS = b'{"data":"{}","checksum":694314937}'
NOW = (1, 36)


def causes(found: Explanation) -> list[Cause]:
    return [each.cause for each in found.findings]


def vector(name: str) -> bytes:
    (found,) = [each.data for each in vectors() if each.name == name]
    return found


@pytest.mark.parametrize(
    ("data", "cause", "detail"),
    [
        (b"", Cause.EMPTY, ""),
        (bytes(62), Cause.NUL, "62 of them"),
        (GOOD + bytes(3), Cause.NUL_TAIL, "3 of them, the rest is whole JSON"),
        (GOOD[:30] + bytes(32), Cause.NUL_TAIL, "32 of them, the rest is cut short"),
        (GOOD[:40], Cause.CUT, "after 40 bytes"),
        (GOOD + b"8690}", Cause.TAIL, "from byte 62 on"),
        (b"policy: none\n", Cause.NO_JSON, "from byte 0 on"),
        (GOOD.replace(b'"none"', b"4.5"), Cause.MISFIT, ""),
        (GOOD.replace(b"none", b"some"), Cause.STALE, "the bytes are laid out as"),
        (GOOD.replace(b"none", b"some") + b"\n", Cause.STALE, "the bytes are not laid out as"),
        (GOOD.replace(b"90}", b"91}"), Cause.FLIP, "bit 0 of byte 60, in the checksum"),
        (GOOD.replace(b"none", b"nooe"), Cause.FLIP, "bit 0 of byte 17"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(data: bytes, cause: Cause, detail: str) -> None:
    found = explain(CPU, data, version=NOW)
    assert not found.ok
    assert found.findings[0].cause is cause
    assert found.findings[0].detail.startswith(detail)
    assert found.findings[0].words.startswith(CAUSES[cause])
    assert found.advice[0].startswith("drain the node")


def test_a_good_file_is_good_and_an_unchecked_one_is_told() -> None:
    found = explain(CPU, GOOD, version=NOW, gate=False)
    assert (found.ok, found.findings, found.advice, found.corrected) == (True, (), (), None)
    for data in (b"{}", b"null", GOOD.replace(b"1353318690", b"0")):
        assert causes(explain(CPU, data, version=NOW)) == [Cause.UNCHECKED]
    found = explain(CPU, vector("cpu_manager_state_v3/checksum-zero-single"), version=NOW)
    assert found.ok
    assert Cause.UNCHECKED in causes(found)


def test_a_lost_key_of_the_checksum_is_found_though_the_kubelet_takes_the_file() -> None:
    found = explain(CPU, GOOD.replace(b"checksum", b"checjsum"), version=NOW)
    assert found.ok
    assert causes(found) == [Cause.FLIP, Cause.UNCHECKED]


def test_another_versions_file_is_whole_and_never_repaired() -> None:
    data = vector("cpu_manager_state_v3/base-single")
    found = explain(CPU, data, version=NOW, gate=False)
    assert causes(found) == [Cause.VERSION]
    assert found.findings[0].certain
    assert not found.ok
    assert found.corrected is None
    assert found.advice[0].startswith("start a kubelet that takes it")
    assert explain(CPU, data, version=NOW).ok  # with the gate on


def test_another_policys_file_is_whole_and_never_repaired() -> None:
    found = explain(CPU, GOOD, version=NOW, policy="static")
    assert causes(found) == [Cause.POLICY]
    assert found.corrected is None
    assert 'configured policy "static" differs' in found.restarts[0].problem
    memory = vector("memory_manager_state_v1/base-empty-none")
    found = explain("memory_manager_state", memory, version=NOW, policy="Static")
    assert causes(found) == [Cause.POLICY]
    assert "[memorymanager] configured policy" in found.restarts[0].problem


def test_a_sum_over_another_types_name_is_proven_and_can_be_corrected() -> None:
    found = explain(CPU, vector("cpu_manager_state_v1/base-marshal-0"), version=NOW)
    assert found.findings[0].cause is Cause.TYPE_NAME
    assert found.findings[0].detail == "state.CPUManagerCheckpointV1"
    assert found.corrected is not None
    assert explain(CPU, found.corrected, version=NOW).ok
    own = vector("cpu_manager_state_v2/own-type-name")
    assert explain(CPU, own, version=NOW, gate=False).ok
    found = explain(CPU, own, version=NOW, gate=True)
    assert causes(found) == [Cause.TYPE_NAME]


def test_a_correction_never_loses_what_else_is_in_the_file() -> None:
    data = vector("cpu_manager_state_v1/base-marshal-0")
    for changed in (data[:-1] + b',"new":{"a":1}}', b" " + data, data.replace(b'":"n', b'": "n')):
        found = explain(CPU, changed, version=NOW)
        assert found.findings[0].cause is Cause.TYPE_NAME
        assert found.corrected is None
        assert not any("repair" in step for step in found.advice)


def test_a_field_of_a_newer_kubelet_is_told() -> None:
    devices = vector("kubelet_internal_checkpoint/base-single")
    newer = devices[:-1] + b',"BootID":"x"}'
    found = explain("kubelet_internal_checkpoint", newer)
    assert found.ok
    assert causes(found) == [Cause.NEWER_FIELD]
    assert found.findings[0].detail == "1 of them"


def test_only_a_wrong_digit_of_the_checksum_is_corrected() -> None:
    in_sum = explain(CPU, GOOD.replace(b"90}", b"91}"), version=NOW)
    assert in_sum.corrected == GOOD
    assert "repair" in in_sum.advice[2]
    in_name = explain(CPU, GOOD.replace(b"none", b"nooe"), version=NOW)
    assert in_name.corrected is None
    by_hand = explain(CPU, GOOD.replace(b"90}", b"91 }"), version=NOW)
    assert by_hand.corrected is None
    assert not by_hand.findings[-1].certain
    own = vector("cpu_manager_state_v2/own-type-name")
    flipped = own.replace(b"653718665", b"653718664")
    assert explain(CPU, flipped, version=NOW, gate=False).corrected is None


def test_pods_are_read_beyond_the_checksum() -> None:
    data = render(formats.ALLOCATED_PODS, {"data": ""})
    found = explain("allocated_pods_state", data)
    assert causes(found) == [Cause.CONTENT]
    assert not found.ok
    assert "failed to get pod resource information" in found.restarts[0].problem


def test_claims_are_read_beyond_the_checksum() -> None:
    found = explain("dra_manager_state", render(formats.DRA, {"data": ""}))
    assert causes(found) == [Cause.CONTENT]
    assert found.restarts[0].problem == "GetEntries() on checkpoint: unexpected end of JSON input"
    data = '{"ClaimInfoStateList":[{"PodUIDs":{"u":{}},"DriverState":{"d":{"Devices":[{"x":1}]}}}]}'
    assert explain("dra_manager_state", render(formats.DRA, {"data": data})).ok
    found = explain("dra_manager_state", render(formats.DRA, {"data": data.replace("{}", "7")}))
    assert "cannot unmarshal number into Go struct field" in found.restarts[0].problem
    found = explain("dra_manager_state", b'{"Data":"{}","Checksum":1}')
    text = "failed to get checkpoint dra_manager_state: checkpoint is corrupted"
    assert found.restarts[0].problem == text


def test_cpus_are_read_beyond_the_checksum() -> None:
    state = {"policy_name": "none", "default_cpu_set": "x", "entries": {}}
    (era,) = eras_of(CPU, NOW, False)
    problem = restart(era, render(formats.CPU_V2, state), path="P").problem
    assert 'could not parse default cpu set "x": strconv.Atoi' in problem
    state = {"policy_name": "", "default_cpu_set": "", "entries": {"p": {"c": "3-1"}}}
    problem = restart(era, render(formats.CPU_V2, state)).problem
    assert 'could not parse cpuset "3-1" for container "c" in pod "p": invalid range' in problem


def test_version_1_needs_the_containers_of_the_node() -> None:
    (era,) = eras_of(CPU, NOW, False)
    data = vector("cpu_manager_state_v1/base-legacy-2")
    assert restart(era, data).ok
    assert restart(era, data, containers=lambda _: ("pod", "c")).ok
    problem = restart(era, data, containers=lambda _: None).problem
    assert "failed to migrate checkpoint from v1 to v2: containerID '" in problem


def test_older_kubelets_migrate_in_other_words_and_the_oldest_ones_do_not() -> None:
    data = vector("cpu_manager_state_v1/base-legacy-2")
    (era,) = eras_of(CPU, (1, 18))
    assert restart(era, data).ok
    problem = restart(era, data, containers=lambda _: None).problem
    assert "error migrating v1 checkpoint state to v2 checkpoint state: containerID '" in problem
    (era,) = eras_of(CPU, (1, 17))
    assert restart(era, data, containers=lambda _: None).ok
    state = {"policy_name": "", "default_cpu_set": "", "entries": {"id": "3-1"}}
    problem = restart(era, render(formats.CPU_V1, state)).problem
    assert 'could not parse cpuset "3-1" for container id "id": invalid range' in problem


def test_the_releases_that_are_known_are_bounded() -> None:
    assert eras_of(CPU, (1, 11)) == eras_of(CPU, (1, 37)) == ()
    assert [era.name for era in eras_of("kubelet_internal_checkpoint")] == [
        "1.20 to 1.21",
        "1.31 to 1.37",
    ]
    for number in range(12, 37):  # no gap and no overlap
        assert [era.gate for era in eras_of(CPU, (1, number))] == (
            [False, True] if number == 36 else [None]
        )


def test_what_an_earlier_try_has_read_stays_where_the_older_format_has_nothing() -> None:
    (era,) = eras_of("memory_manager_state", NOW, True)
    data = b'{"policyName":"None","machineState":{}}'
    assert restart(era, data, policy="None").ok
    assert not restart(era, data, policy="Static").ok


def test_old_kubelets_have_their_own_order() -> None:
    v2 = vector("cpu_manager_state_v2/base-single")
    told = {era.name: restart(era, v2).ok for era in eras_of(CPU)}
    assert told == {
        "1.12 to 1.17": False,
        "1.18 to 1.35": True,
        "1.36, PodLevelResourceManagers=false": True,
        "1.36, PodLevelResourceManagers=true": True,
    }
    own = vector("cpu_manager_state_v2/own-type-name")
    assert [restart(era, own).ok for era in eras_of(CPU)] == [False, False, True, False]


def test_the_newest_format_is_tried_first() -> None:
    (on,) = eras_of(CPU, NOW, True)
    found = restart(on, vector("cpu_manager_state_v3/base-single"))
    assert [each.format for each in found.readings] == [formats.CPU_V3]
    found = restart(on, vector("cpu_manager_state_v3/checksum-zero-single"))
    assert [each.format for each in found.readings] == [formats.CPU_V3, formats.CPU_V2]
    assert found.taken_as is formats.CPU_V2


def test_versions_and_gates_choose_the_kubelet() -> None:
    assert parse_version("v1.36.3") == parse_version("1.36.3-gke.1") == parse_version("1.36") == NOW
    for text in ("", "1", "x.y", "1.36 ", "1.36.3.4", "１.36"):
        with pytest.raises(ValueError, match="version"):
            parse_version(text)
    assert len(eras_of(CPU)) == 4
    assert [era.gate for era in eras_of(CPU, NOW)] == [False, True]
    assert eras_of("memory_manager_state", (1, 20)) == ()
    for version in ((1, 20), (1, 37)):
        with pytest.raises(ValueError, match=r"is not known; known are: 1\.21 to 1\.35, 1\.36$"):
            explain("memory_manager_state", b"", version=version)
    with pytest.raises(ValueError, match="known are: none"):
        explain("other", b"")
    assert {era.file for era in ERAS} == set(FILES) == set(AT_START)


def test_devices_have_advice_of_their_own() -> None:
    found = explain("kubelet_internal_checkpoint", b"")
    assert found.advice[0].startswith("move the file away and restart")


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(FILES), st.binary(max_size=60) | st.binary(max_size=9).map(lambda x: GOOD + x)
)
def test_arbitrary_bytes_give_an_explanation(file: str, data: bytes) -> None:
    found = explain(file, data, version=NOW)
    assert found.ok or found.findings
    assert found.ok or found.advice
    for kind in formats_of(file):
        assert read(kind, data).format is kind


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_give_an_explanation(data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from([each for each in vectors() if len(each.data) < 400]))
    cut = data.draw(st.integers(0, len(chosen.data)))
    more = data.draw(st.binary(max_size=3))
    end = data.draw(st.integers(cut, len(chosen.data)))
    found = explain(chosen.file, chosen.data[:cut] + more + chosen.data[end:], version=NOW)
    assert found.ok or found.findings
