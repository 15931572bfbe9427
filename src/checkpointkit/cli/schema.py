"""`checkpointkit schema`: check, accept, diff, stub."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome
from checkpointkit.cli.terminal import encoding_of, write
from checkpointkit.cli.text import INDENT, json_text, plural
from checkpointkit.errors import CheckpointError
from checkpointkit.evolution.accept import Wishes
from checkpointkit.evolution.git import ignored
from checkpointkit.evolution.loading import said
from checkpointkit.evolution.project import save
from checkpointkit.evolution.workspace import Drift, Workspace, open_workspace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from checkpointkit.evolution.findings import Broken, Finding
    from checkpointkit.evolution.project import Project

_STORAGE: Final = "HYPOTHESIS_STORAGE_DIRECTORY"
_FORMAT: Final = 1
"""Goes up if a name in a document is taken away or changes its meaning; new names may come."""


def run(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name, print what came of it, return the exit status."""
    name = f"schema {arguments.part}"
    try:
        against = getattr(arguments, "against", None)
        with _scratch(), open_workspace(Path.cwd(), against) as workspace:
            # Classes, hooks and migrations run now: what they print is no part of a document.
            with redirect_stdout(sys.stderr):
                outcome = _carry_out(workspace, arguments)
            note = workspace.released.note if workspace.released else ""
    except CheckpointError as error:
        if arguments.json:
            document = {"error": {"type": type(error).__name__, "message": str(error)}}
            _print_document(name, document)
        else:
            write(f"checkpointkit: {error}\n", sys.stderr)
        return USAGE
    except SystemExit:
        write("checkpointkit: a class, a hook or a migration ends the process\n", sys.stderr)
        return USAGE
    if arguments.json:
        _print_document(name, {**_of(workspace.project), **outcome.document, "note": note})
    else:
        write(outcome.text, sys.stdout)
        if note:
            sys.stdout.flush()
            write(f"(note: {note})\n", sys.stderr)
    return outcome.status


@contextmanager
def _scratch() -> Iterator[None]:
    """Give Hypothesis a place of its own: it would leave `.hypothesis` in the user's project."""
    if _STORAGE in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="checkpointkit-") as directory:
        os.environ[_STORAGE] = directory
        try:
            yield
        finally:
            del os.environ[_STORAGE]


def _carry_out(workspace: Workspace, arguments: argparse.Namespace) -> Outcome:
    match arguments.part:
        case "check":
            return _check(workspace)
        case "accept":
            wishes = Wishes(arguments.amend, arguments.drop_old, tuple(arguments.retire))
            return _accept(workspace, wishes, dry_run=arguments.dry_run)
        case "diff":
            return _diff(workspace if arguments.kind is None else workspace.only(arguments.kind))
        case _:
            return _stub(
                workspace.only(arguments.kind), arguments.kind, downgrade=arguments.downgrade
            )


def _check(workspace: Workspace) -> Outcome:
    found = workspace.findings()
    if found:
        return _found(found)
    versions = sum(len(kind.versions) for kind in workspace.lock.kinds.values())
    checked = f"{plural(len(workspace.listed), 'schema')}, {plural(versions, 'version')}"
    return Outcome(FINE, f"{checked}: as accepted\n", {"ok": True, "findings": []})


def _accept(workspace: Workspace, wishes: Wishes, *, dry_run: bool) -> Outcome:
    accepted = workspace.accepted(wishes)
    if isinstance(accepted, tuple):
        return _found(accepted)
    written = save(
        workspace.project, workspace.lock, accepted.lock, accepted.goldens, dry_run=dry_run
    )
    wrote = "would write" if dry_run else "wrote"
    unseen = ignored(workspace.project.root, written)
    lines = [
        *accepted.lines,
        *(f"{wrote} {path}" for path in written),
        *(f"git ignores {path}: mend .gitignore, else it is not committed" for path in unseen),
    ]
    document = {
        "ok": True,
        "findings": [],
        "done": list(accepted.lines),
        "written": list(written),
        "ignored": list(unseen),
        "dry_run": dry_run,
    }
    text = "".join(f"{line}\n" for line in lines) if written else "nothing is new\n"
    return Outcome(FINE, text, document)


def _diff(workspace: Workspace) -> Outcome:
    drifts = workspace.differences()
    broken = workspace.broken()
    blocks = [*map(_drift_text, drifts), *map(_broken_text, broken)]
    document = {
        "ok": not blocks,
        "differences": [_drift_document(drift) for drift in drifts],
        "broken": [{"reference": each.reference, "message": said(each.error)} for each in broken],
    }
    text = "\n".join(blocks) or "every class is as it was accepted\n"
    return Outcome(BAD if blocks else FINE, text, document)


def _stub(workspace: Workspace, name: str, *, downgrade: bool) -> Outcome:
    stubs = workspace.downgrade_stubs() if downgrade else workspace.stubs()
    text = "\n\n".join(stub.rstrip() + "\n" for stub in stubs)
    if not stubs:
        text = f"# {name} needs no migration: none is missing\n"
    return Outcome(FINE, text, {"ok": True, "stubs": list(stubs)})


def _found(findings: Sequence[Finding]) -> Outcome:
    texts = [f"{finding.text().rstrip()}\n" for finding in findings]
    text = "\n".join([*texts, f"{plural(len(findings), 'finding')}\n"])
    document = {"ok": False, "findings": [_finding_document(finding) for finding in findings]}
    return Outcome(BAD, text, document)


def _finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "kind": finding.kind,
        "version": finding.version,
        "reference": finding.reference,
        "message": finding.message,
        "edit": finding.edit,
        "stub": finding.stub,
    }


def _drift_text(drift: Drift) -> str:
    if drift.against is None:
        return (
            f"{drift.kind} ({drift.reference}): version {drift.version} is not in the lock file\n"
        )
    title = (
        f"{drift.kind} ({drift.reference}): from version {drift.against} in the lock file to "
        f"version {drift.version} of the class\n"
    )
    lines = drift.lines or ("the same shape",)
    return title + "".join(f"{INDENT}{line}\n" for line in lines)


def _drift_document(drift: Drift) -> dict[str, Any]:
    return {
        "kind": drift.kind,
        "reference": drift.reference,
        "version": drift.version,
        "against": drift.against,
        "lines": list(drift.lines),
    }


def _broken_text(broken: Broken) -> str:
    return f"{broken.reference}: {said(broken.error)}\n"


def _of(project: Project) -> dict[str, str]:
    return {"project": str(project.root), "lock": project.lock}


def _print_document(name: str, fields: Mapping[str, Any]) -> None:
    document = {"format": _FORMAT, "command": name, **fields}
    write(json_text(document, encoding_of(sys.stdout)), sys.stdout)
