"""`checkpointkit pods status`: the records of a node, and whether their files are there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome, Refused
from checkpointkit.cli.pods.arguments import flags_of
from checkpointkit.cli.text import age_text, plural, printable, table
from checkpointkit.pods.acceptance import refusals
from checkpointkit.pods.daemon.settings import read_directories
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.manifests import Manifests, PodFiles
from checkpointkit.pods.machine import Action
from checkpointkit.pods.mounts import mounted
from checkpointkit.pods.state import PodState

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from checkpointkit.pods.assets import Roots
    from checkpointkit.pods.model import PodName
    from checkpointkit.pods.record import Record

_COLUMNS: Final = ("POD", "STATE", "UNTIL", "COPY", "UID", "DIGEST", "FILES")
_NONE: Final = "-"
_SHORT: Final = 12
"""Characters of a digest or a UID that people read."""


@frozen
class _Row:
    """A pod, its files, and what is wrong with them."""

    record: Record
    files: PodFiles
    problems: tuple[str, ...]


def status(arguments: argparse.Namespace, now: float, width: int | None) -> Outcome:
    """Return what is kept of each pod.

    Args:
        arguments: What was typed.
        now: The time, in seconds since 1970.
        width: The width of the terminal; None where there is none.

    Raises:
        Refused: What was typed makes no sense.
        CheckpointError: The records cannot be read.
    """
    try:
        directories = read_directories(flags_of(arguments))
    except ValueError as error:
        advice = "see checkpointkit pods status --help"
        raise Refused(str(error), advice, USAGE, "BadSettings") from error
    state = PodState.open(directories.state, read_only=True)
    found = Manifests(directories.inactive, directories.active).scan()
    assets = AssetFiles(directories.roots)
    records = {name: record for name, record in state.records().items() if not record.removed}
    rows = [
        _row(record, found.pods, assets, directories.roots) for _, record in sorted(records.items())
    ]
    unknown = [
        f"{name}: it has manifests, and no record" for name in found.pods if name not in records
    ]
    return _outcome(rows, (*state.problems, *found.problems, *unknown), state.cluster, now, width)


def _row(
    record: Record, found: Mapping[PodName, PodFiles], assets: AssetFiles, roots: Roots
) -> _Row:
    files = found.get(record.name, PodFiles())
    return _Row(record, files, tuple(_problems(record, files, assets, roots)))


def _problems(record: Record, files: PodFiles, assets: AssetFiles, roots: Roots) -> Iterator[str]:
    copy, action = record.copy, record.stage.state.action
    if copy is None:
        yield "no copy of it is saved; the daemon's log says why"
        return
    if not any(file.digest == copy.digest for file in files.inactive):
        yield f"its saved manifest is {'another one' if files.inactive else 'missing'}"
    if action is Action.START and not files.active:
        yield "it is to run from the kubelet's directory, and is not there"
    if action is Action.STOP and files.active:
        yield "it is in the kubelet's directory, and is not to run"
    places = set(copy.assets)
    for file in files.inactive:
        if refused := refusals(file.manifest):
            yield f"{file.file}: a kubelet would refuse it: {refused[0].text()}"
        else:
            places.update(mounted(file.manifest, roots))
    for place in sorted(places):
        if problem := assets.problem(place):
            yield problem


# ----------------------------------------------------------------------------- what is printed


def _outcome(
    rows: list[_Row], others: tuple[str, ...], cluster: str, now: float, width: int | None
) -> Outcome:
    problems = [
        *others,
        *(f"{row.record.name}: {problem}" for row in rows for problem in row.problems),
    ]
    document = {
        "ok": not problems,
        "cluster": cluster or None,
        "pods": [_document(row) for row in rows],
        "problems": list(others),
    }
    text = table(_COLUMNS, [_cells(row, now) for row in rows], width=width) if rows else ""
    if problems:
        lines = "".join(f"{printable(problem)}\n" for problem in problems)
        text += f"\n{lines}" if text else lines
    note = "" if text else f"{plural(0, 'pod')}\n"
    return Outcome(BAD if problems else FINE, text, document, note)


def _cells(row: _Row, now: float) -> tuple[str, ...]:
    record, copy = row.record, row.record.copy
    places = [
        name
        for name, files in (("kept", row.files.inactive), ("active", row.files.active))
        if files
    ]
    return (
        str(record.name),
        record.stage.state.value,
        _until(record, now),
        f"{age_text(max(now - copy.saved_at, 0))} ago" if copy else _NONE,
        record.uid[:_SHORT] or _NONE,
        copy.digest.removeprefix("sha256:")[:_SHORT] if copy else _NONE,
        ", ".join(places) or _NONE,
    )


def _until(record: Record, now: float) -> str:
    if not record.stage.in_grace:
        return _NONE
    left = record.stage.until - now
    return f"in {age_text(left)}" if left > 0 else f"{age_text(-left)} ago"


def _document(row: _Row) -> dict[str, Any]:
    record, copy = row.record, row.record.copy
    return {
        "namespace": record.name.namespace,
        "name": record.name.name,
        "state": record.stage.state.value,
        "until": _moment(record.stage.until) if record.stage.in_grace else None,
        "uid": record.uid or None,
        "controller_uid": record.controller_uid or None,
        "copy": copy
        and {
            "uid": copy.uid,
            "saved_at": _moment(copy.saved_at),
            "digest": copy.digest,
            "assets": sorted(copy.assets),
        },
        "inactive": [file.file for file in row.files.inactive],
        "active": [file.file for file in row.files.active],
        "problems": list(row.problems),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
