"""The messages that are made at run time are those of `cri.proto`, whose numbers are the CRI's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from checkpointkit.errors import MissingExtraError
from checkpointkit.pods.clients.crimessages import FIELDS, METHODS, PACKAGE, message_classes
from checkpointkit.pods.runtime import ContainerState
from tests.pods.clients import proto


def as_in_the_table(kind: str) -> str:
    if kind in proto.enums():
        return "int32"
    return "repeated Entry" if kind == "map<string, string>" else kind


def test_every_field_has_the_number_and_the_type_of_the_proto_file() -> None:
    expected = {
        name: {field: (number, as_in_the_table(kind)) for field, (number, kind) in fields.items()}
        for name, fields in proto.messages().items()
        if fields
    }
    assert len(expected) == 9
    assert expected | {"Entry": {"key": (1, "string"), "value": (2, "string")}} == FIELDS


def test_every_line_of_the_proto_file_was_understood() -> None:
    """A parser that overlooks a line would overlook a wrong number in it."""
    text = proto.FILE.read_text(encoding="utf-8")
    fields = sum(len(fields) for fields in proto.messages().values())
    values = sum(len(values) for values in proto.enums().values())
    numbered = [line for line in text.splitlines() if " = " in line and not line.startswith("syn")]
    assert fields + values == len(numbered)
    assert len(proto.methods()) == text.count("rpc ")


def test_the_calls_are_those_of_the_service() -> None:
    text = proto.FILE.read_text(encoding="utf-8")
    assert f"\npackage {PACKAGE};\n" in text
    assert "\nservice RuntimeService {\n" in text
    assert {name: f"/runtime.v1.RuntimeService/{name}" for name in proto.methods()} == METHODS
    assert set(proto.methods()) == {"ListPodSandbox", "ListContainers", "ContainerStatus"}


def test_the_states_are_those_of_the_enums() -> None:
    assert proto.enums() == {
        "PodSandboxState": {"SANDBOX_READY": 0, "SANDBOX_NOTREADY": 1},
        "ContainerState": {f"CONTAINER_{state.name}": state.value for state in ContainerState},
    }


@pytest.mark.parametrize("name", [name for name, fields in proto.messages().items() if fields])
def test_what_one_writes_the_other_reads(name: str) -> None:
    theirs = proto.classes()[name]()
    for field in theirs.DESCRIPTOR.fields:
        if field.message_type is None:
            setattr(theirs, field.name, "x" if field.type == field.TYPE_STRING else 1)
    ours = message_classes()[name].FromString(theirs.SerializeToString())
    assert len(theirs.ListFields()) == len(ours.ListFields())
    for field, value in theirs.ListFields():
        assert getattr(ours, field.name) == value
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )


def test_the_code_of_another_cri_client_in_the_process_is_not_in_the_way() -> None:
    first, second = message_classes(), message_classes()
    assert first["PodSandbox"] is not second["PodSandbox"]
    assert first["PodSandbox"].DESCRIPTOR.full_name == "runtime.v1.PodSandbox"


def test_the_extra_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.protobuf.descriptor_pb2", None)
    with pytest.raises(MissingExtraError, match=r"checkpointkit\[cri\]"):
        message_classes()


def test_importing_the_clients_imports_neither_grpc_nor_protobuf() -> None:
    program = (
        "import sys, checkpointkit.pods.clients.cri\n"
        "sys.exit(' '.join({'grpc', 'google.protobuf'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
