"""`checkpointkit kubelet`: verify, show, repair."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.cli.kubelet.tables import tables
from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome, Refused
from checkpointkit.cli.terminal import encoding_of, width_of, write
from checkpointkit.cli.text import INDENT, fields, json_text, printable
from checkpointkit.errors import CheckpointError
from checkpointkit.kubelet.explain import AT_START, Explanation, explain
from checkpointkit.kubelet.formats import DEVICES, FILES
from checkpointkit.kubelet.repair import RepairRefusedError, read_file, repair, running
from checkpointkit.kubelet.verdicts import Verdict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_FORMAT: Final = 1
"""Goes up if a name in a document is taken away or changes its meaning; new names may come."""
_PLUGINS: Final = "device-plugins"


def run(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name, print what came of it, return the exit status."""
    name = f"kubelet {arguments.part}"
    document: dict[str, Any]
    try:
        outcome = _carry_out(arguments)
    except Refused as refusal:
        text = f"{printable(refusal.message)}\n{INDENT}next: {refusal.advice}\n"
        document = {"type": refusal.name, "message": refusal.message, "next": refusal.advice}
        return _fail(name, refusal.status, text, document, as_json=arguments.json)
    except CheckpointError as problem:
        document = {"type": type(problem).__name__, "message": str(problem)}
        text = f"{printable(str(problem))}\n"
        return _fail(name, USAGE, text, document, as_json=arguments.json)
    if arguments.json:
        _print_document(name, outcome.document)
    else:
        write(outcome.text, sys.stdout)
    return outcome.status


def _carry_out(arguments: argparse.Namespace) -> Outcome:
    found = _find(arguments.paths, arguments.file)
    if arguments.part == "show":
        return _show(found)
    explained = [(path, _explain(path, file, arguments)) for path, file in found]
    return _verify(explained) if arguments.part == "verify" else _repair(explained)


def _find(paths: Sequence[str], file: str | None) -> list[tuple[str, str]]:
    """Return the paths of the files that are meant, each with the name that says what it is."""
    found: list[tuple[str, str]] = []
    for path in paths:
        if os.path.isdir(path):
            there = [(os.path.join(path, name), name) for name in FILES]
            there.append((os.path.join(path, _PLUGINS, DEVICES.file), DEVICES.file))
            there = [each for each in there if os.path.lexists(each[0])]
            if not there:
                advice = "name the kubelet's root directory, or a file"
                raise Refused(f"{path}: no file of the kubelet is there", advice, USAGE, "NoFile")
            found += there
        else:
            found.append((path, file or _named(path)))
    return found


def _named(path: str) -> str:
    base = os.path.basename(path)
    for file in FILES:
        if base.startswith(file):
            return file
    raise Refused(
        f"{path}: its name is none of the kubelet's files",
        f"say which one it is: --as {'|'.join(FILES)}",
        USAGE,
        "UnknownFile",
    )


def _explain(path: str, file: str, arguments: argparse.Namespace) -> Explanation:
    data = read_file(path)
    try:
        return explain(
            file,
            data,
            version=arguments.kubelet_version,
            gate=arguments.feature_gate,
            policy=arguments.policy,
            path=path,
        )
    except ValueError as error:
        problem = str(error)
    raise Refused(f"{path}: {problem}", "leave --kubelet-version out", USAGE, "NoSuchKubelet")


def _verify(explained: list[tuple[str, Explanation]]) -> Outcome:
    text = "\n".join(_text(path, found) for path, found in explained)
    status = FINE if all(found.ok for _, found in explained) else BAD
    return Outcome(status, text, {"files": [_document(*each) for each in explained]})


def _text(path: str, found: Explanation) -> str:
    reading = found.reading
    rows = [("format", reading.format.name), ("size", f"{found.size} bytes")]
    if reading.verdict is Verdict.ERROR:
        rows.append(("parser", printable(reading.problem)))
    elif reading.stored == reading.computed:
        rows.append(("checksum", f"{reading.stored}, and it should be"))
    else:
        rows.append(("checksum", f"{reading.stored}, and it should be {reading.computed}"))
    rows += [("why", each.words) for each in found.findings]
    rows += [("start", f"{each.era.name}: {_outcome(each.problem)}") for each in found.restarts]
    if not found.ok:
        rows.append(("then", AT_START[found.file]))
    rows += [(f"next {number}", step) for number, step in enumerate(found.advice, 1)]
    state = "good" if found.ok else "not taken"
    if found.ok and found.findings:
        state = "taken"
    indented = "".join(f"{INDENT}{line}\n" for line in fields(rows).splitlines())
    return f"{printable(path)}: {state}\n{indented}"


def _outcome(problem: str) -> str:
    return f"refused: {printable(problem)}" if problem else "taken"


def _document(path: str, found: Explanation) -> dict[str, Any]:
    reading = found.reading
    return {
        "path": path,
        "file": found.file,
        "size": found.size,
        "ok": found.ok,
        "format": {"file": reading.format.file, "version": reading.format.version},
        "verdict": reading.verdict.value,
        "problem": reading.problem,
        "checksum": {
            "method": reading.format.method,
            "stored": reading.stored,
            "computed": reading.computed,
        },
        "findings": [
            {
                "cause": each.cause.value,
                "detail": each.detail,
                "certain": each.certain,
                "words": each.words,
            }
            for each in found.findings
        ],
        "flips": [
            {"offset": each.offset, "bit": each.bit, "in_checksum": each.in_checksum}
            for each in found.flips
        ],
        "starts": [
            {
                "kubelet": each.era.name,
                "feature_gate": each.era.gate,
                "ok": each.ok,
                "problem": each.problem,
            }
            for each in found.restarts
        ],
        "at_start": "" if found.ok else AT_START[found.file],
        "next": list(found.advice),
        "repairable": found.corrected is not None,
    }


def _show(found: list[tuple[str, str]]) -> Outcome:
    width = width_of(sys.stdout)
    texts: list[str] = []
    documents: list[dict[str, Any]] = []
    status = FINE
    for path, file in found:
        explained = explain(file, read_file(path), path=path)
        reading = explained.reading
        if not explained.ok:
            status = BAD
        note = "" if explained.ok else "; some kubelet does not take it: see verify"
        texts.append(f"{printable(path)}: {reading.format.name}{note}\n{tables(reading, width)}")
        state = reading.document
        documents.append({**_document(path, explained), "state": state})
    return Outcome(status, "\n".join(texts), {"files": documents})


def _repair(explained: list[tuple[str, Explanation]]) -> Outcome:
    kubelets = running()
    texts: list[str] = []
    documents: list[dict[str, Any]] = []
    status = FINE
    for path, found in explained:
        document = _document(path, found)
        try:
            made = repair(path, found, kubelets=kubelets)
        except RepairRefusedError as refusal:
            status = BAD
            texts.append(f"{printable(str(refusal))}\n")
            document |= {"copy": None, "refused": refusal.reason}
        else:
            steps = [(f"next {number}", step) for number, step in enumerate(made.steps, 1)]
            lines = "".join(f"{INDENT}{line}\n" for line in fields(steps).splitlines())
            texts.append(f"{printable(path)}: the copy is {printable(made.copy)}\n{lines}")
            document |= {"copy": made.copy, "refused": "", "next": list(made.steps)}
        documents.append(document)
    return Outcome(status, "".join(texts), {"files": documents})


def _fail(name: str, status: int, text: str, error: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        _print_document(name, {"error": error})
    else:
        write(f"checkpointkit: {text}", sys.stderr)
    return status


def _print_document(name: str, document: Any) -> None:
    text = json_text({"format": _FORMAT, "command": name, **document}, encoding_of(sys.stdout))
    write(text, sys.stdout)
