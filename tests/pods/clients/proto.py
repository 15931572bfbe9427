"""`cri.proto`, read by a parser of its own, so that a server need not share the client's table."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import checkpointkit.pods.clients

FILE = Path(checkpointkit.pods.clients.__file__).with_name("cri.proto")

_BLOCK = re.compile(r"^(message|enum|service) (\w+) \{(.*?)\}$", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"((?:repeated )?\w+|map<string, string>) (\w+) = (\d+);")
_VALUE = re.compile(r"(\w+) = (\d+);")
_METHOD = re.compile(r"rpc (\w+)\((\w+)\) returns \((\w+)\);")


def _blocks(kind: str) -> dict[str, str]:
    text = re.sub(r"//.*", "", FILE.read_text(encoding="utf-8"))
    return {name: body for found, name, body in _BLOCK.findall(text) if found == kind}


@cache
def messages() -> dict[str, dict[str, tuple[int, str]]]:
    """Return the number and the type of each field of each message."""
    return {
        name: {field: (int(number), kind) for kind, field, number in _FIELD.findall(body)}
        for name, body in _blocks("message").items()
    }


@cache
def enums() -> dict[str, dict[str, int]]:
    return {
        name: {value: int(number) for value, number in _VALUE.findall(body)}
        for name, body in _blocks("enum").items()
    }


@cache
def methods() -> dict[str, tuple[str, str]]:
    (body,) = _blocks("service").values()
    return {name: (request, answer) for name, request, answer in _METHOD.findall(body)}


@cache
def classes() -> dict[str, Any]:
    """Return the class of each message."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package="cri", syntax="proto3")
    for name, values in enums().items():
        made = file.enum_type.add(name=name)
        for value, number in values.items():
            made.value.add(name=value, number=number)
    for name, fields in messages().items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number)
            kept = kind.removeprefix("repeated ")
            field.label = kinds.LABEL_OPTIONAL if kept == kind else kinds.LABEL_REPEATED
            if kept in messages():
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".cri.{kept}"
            elif kept in enums():
                field.type, field.type_name = kinds.TYPE_ENUM, f".cri.{kept}"
            elif kept.startswith("map"):
                entry = message.nested_type.add(name=f"{field_name.capitalize()}Entry")
                entry.options.map_entry = True
                for at, part in enumerate(("key", "value"), 1):
                    entry.field.add(
                        name=part, number=at, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING
                    )
                field.label, field.type = kinds.LABEL_REPEATED, kinds.TYPE_MESSAGE
                field.type_name = f".cri.{name}.{entry.name}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{kept.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"cri.{name}"))
        for name in messages()
    }
