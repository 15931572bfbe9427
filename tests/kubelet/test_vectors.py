"""Every file that the kubelet's own packages judged is judged so here, word for word."""

from __future__ import annotations

import json

import pytest

from checkpointkit.kubelet import models
from checkpointkit.kubelet.formats import ACTUATED_PODS, FORMATS, Format
from checkpointkit.kubelet.goencode import encode
from checkpointkit.kubelet.restarts import eras_of, restart
from checkpointkit.kubelet.verdicts import Verdict, read, render
from tests.kubelet.vectors import KINDS, Vector, vectors


def of(kind: str) -> list[Vector]:
    return [vector for vector in vectors() if vector.kind is KINDS[kind]]


each_kind = pytest.mark.parametrize("kind", KINDS)


def test_there_are_as_many_as_there_are() -> None:
    assert len(vectors()) == 1218
    assert sum(vector.by_the_kubelet for vector in vectors()) == 56
    assert {*KINDS.values()} == {*FORMATS} - {ACTUATED_PODS}


@each_kind
def test_the_parser_says_what_the_kubelets_parser_says(kind: str) -> None:
    for vector in of(kind):
        found = read(vector.kind, vector.data)
        said = found.verdict.value, found.problem
        assert said == (vector.facts["verify"], vector.facts.get("error", "")), vector.name


@each_kind
def test_the_checksum_is_the_one_that_go_computes(kind: str) -> None:
    for vector in of(kind):
        found = read(vector.kind, vector.data)
        assert found.computed == vector.facts["computed_checksum"], vector.name
        if found.verdict is not Verdict.ERROR:
            assert found.stored == vector.facts["checksum"], vector.name


@each_kind
def test_the_hashed_text_is_gos(kind: str) -> None:
    for vector in of(kind):
        if "dump" in vector.facts:
            document = read(vector.kind, vector.data).document
            assert document is not None
            assert vector.kind.text(document) == vector.facts["dump"], vector.name


@each_kind
def test_the_value_is_the_one_that_go_has_parsed(kind: str) -> None:
    for vector in of(kind):
        if "parsed" in vector.facts:
            document = read(vector.kind, vector.data).document
            assert json.loads(encode(vector.kind.struct, document)) == vector.facts["parsed"]


@each_kind
def test_what_the_kubelet_wrote_is_written_again_byte_for_byte(kind: str) -> None:
    written = [vector for vector in of(kind) if vector.by_the_kubelet]
    assert written
    for vector in written:
        document = read(vector.kind, vector.data).document
        assert document is not None
        assert render(vector.kind, document) == vector.data, vector.name


@each_kind
@pytest.mark.parametrize("gate", [False, True])
def test_a_start_ends_as_the_kubelets_start_ends(kind: str, gate: bool) -> None:
    for vector in of(kind):
        told = vector.facts.get("restore_gate_on" if gate else "restore_gate_off")
        if told is not None:
            (era,) = eras_of(vector.file, (1, 36), gate)
            found = restart(era, vector.data, path=f"DIR/{vector.file}")
            assert (found.problem or "ok") == told, vector.name


def state_of(kind: Format, document: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if name != "checksum"}


@each_kind
def test_every_value_goes_through_its_class_and_back(kind: str) -> None:
    for vector in of(kind):
        document = read(vector.kind, vector.data).document
        if document is not None:
            state = state_of(vector.kind, document)
            schema = models.SCHEMAS[vector.kind.name]
            assert schema.dump(schema.structure(state)) == state, vector.name
