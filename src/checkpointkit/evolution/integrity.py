"""The lock file as a whole: edited, cut, or not the heir of a release. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from checkpointkit.chain import MissingMigrationError
from checkpointkit.envelope import open_header
from checkpointkit.errors import CorruptCheckpointError, EnvelopeVersionError
from checkpointkit.evolution.findings import PUT_BACK, Broken, Finding, changes_between, finding_of
from checkpointkit.evolution.goldens import GOLDEN_KEY, lost_goldens
from checkpointkit.fingerprint import canonical, drifted, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from checkpointkit.evolution.findings import GoldensOf, Listed
    from checkpointkit.evolution.goldens import Goldens
    from checkpointkit.evolution.lockfile import LockedKind, LockedVersion, LockFile


def check_lock(
    listed: Sequence[Listed | Broken],
    lock: LockFile,
    goldens: GoldensOf,
    released: LockFile | None = None,
) -> tuple[Finding, ...]:
    """Return what is wrong with the lock file as a whole: edited, cut, or not a release's heir."""
    findings: list[Finding] = []
    seen: dict[str, str] = {}
    for each in listed:
        if isinstance(each, Broken):
            continue
        kind = each.schema.kind
        if kind in seen:
            message = f"{seen[kind]} is of this kind, too, and one of them would go unchecked"
            findings.append(
                finding_of("listed-twice", each, None, message, "list one schema for each kind")
            )
        seen[kind] = each.reference
    errors = [each.error for each in listed if isinstance(each, Broken)]
    gaps = {error.kind for error in errors if isinstance(error, MissingMigrationError)}
    # One that cannot be imported at all may be of any kind.
    all_known = all(isinstance(error, MissingMigrationError) for error in errors)
    for kind, locked in lock.kinds.items():
        if all_known and kind not in seen and kind not in gaps and not locked.retired:
            findings.append(_unlisted(kind))
        findings += _gap_findings(kind, locked, goldens)
        for version, entry in locked.versions.items():
            findings += _entry_findings(kind, version, entry, goldens(kind, version))
    if released is not None:
        findings += _release_findings(lock, released)
    return tuple(findings)


def _gap_findings(kind: str, locked: LockedKind, goldens: GoldensOf) -> Iterator[Finding]:
    """Find the versions that were taken out, with their goldens or without."""
    newest = goldens(kind, locked.newest)
    becomes = {} if newest is None else newest.becomes
    known = sorted({*locked.versions, *becomes})
    for version, following in pairwise([*known, locked.newest + 1]):
        gap = version if version not in locked.versions else version + 1
        if gap < following:
            message = f"version {gap} is missing, and there are older or newer ones"
            yield Finding("edited-entry", kind, gap, "", message, PUT_BACK)
        elif locked.reads_from <= version < locked.newest and newest and version not in becomes:
            message = f"the goldens of version {locked.newest} do not say what they become in it"
            yield Finding("edited-goldens", kind, version, "", message, PUT_BACK)


def _entry_findings(
    kind: str, version: int, entry: LockedVersion, goldens: Goldens | None
) -> Iterator[Finding]:
    own = fingerprint(entry.shape)
    if drifted(entry.fingerprint, own):
        message = f"its shape has the fingerprint {own}, and {entry.fingerprint} stands beside it"
        yield Finding("edited-entry", kind, version, "", message, PUT_BACK)
        return
    problem = lost_goldens(kind, version, entry, goldens) or _foreign(kind, version, entry, goldens)
    if problem:
        missing = "" if goldens is not None else "commit the directory of the goldens, too; or "
        yield Finding("edited-goldens", kind, version, "", problem, missing + PUT_BACK)


def _foreign(kind: str, version: int, entry: LockedVersion, goldens: Goldens | None) -> str:
    """Say where goldens are not of the entry that names them, which was edited with its digest."""
    if goldens is None or not goldens.envelopes:
        return "its goldens file is empty"
    for envelope in goldens.envelopes[:1]:
        try:
            header = open_header(envelope, GOLDEN_KEY)[0]
        except (CorruptCheckpointError, EnvelopeVersionError) as error:
            return str(error)
        if (header.kind, header.schema_version) != (kind, version):
            return f"its goldens are of {header.kind}, version {header.schema_version}"
        # By the text: entry and goldens were made in one moment, by one algorithm.
        if header.fingerprint != entry.fingerprint:
            return f"its goldens were made of another shape, {header.fingerprint}"
    return ""


def _release_findings(lock: LockFile, released: LockFile) -> Iterator[Finding]:
    """Find the entries of a release that do not stand as they were."""
    for kind, was in released.kinds.items():
        now = lock.kinds.get(kind)
        if now is None:
            message = "a release has this kind, and the lock file has not"
            yield Finding("released-removed", kind, None, "", message, PUT_BACK)
            continue
        for version, entry in was.versions.items():
            found = now.versions.get(version)
            if found is None:
                message = "a release has this version, and the lock file has not"
                yield Finding("released-removed", kind, version, "", message, PUT_BACK)
            elif canonical(found.shape) != canonical(entry.shape):
                message = "a release has this version with another shape:\n" + changes_between(
                    entry.shape, found.shape
                )
                edit = f"{PUT_BACK}; then give the changed class a new version"
                yield Finding("released-changed", kind, version, "", message, edit)
            elif found != entry:
                message = "a release has this version with other goldens, or another fingerprint"
                yield Finding("released-changed", kind, version, "", message, PUT_BACK)


def _unlisted(kind: str) -> Finding:
    return Finding(
        "not-listed",
        kind,
        None,
        "",
        "the lock file has this kind, and the settings list no schema of it",
        "list its schema in [tool.checkpointkit] schemas\n"
        f"(if no file of it is left: `checkpointkit schema accept --retire {kind}`)",
    )
