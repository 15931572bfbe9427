"""What is wrong with the formats of a project, and the exact edit that mends it. Pure.

Each rule compares three things: the schemas as the code has them, the lock file with its goldens,
and, if it is given, the lock file of a release. Nothing here reads a file or imports a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.chain import MissingMigrationError
from checkpointkit.errors import LockFileError
from checkpointkit.evolution.findings import (
    ACCEPT,
    AMEND,
    IMPORT,
    Broken,
    Finding,
    Listed,
    changes_between,
    finding_of,
)
from checkpointkit.evolution.goldens import judge, judge_downgrade
from checkpointkit.evolution.integrity import check_lock
from checkpointkit.evolution.stubs import name_of, stub
from checkpointkit.fingerprint import drifted, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from checkpointkit.evolution.findings import GoldensOf
    from checkpointkit.evolution.goldens import Goldens
    from checkpointkit.evolution.lockfile import LockedKind, LockedVersion, LockFile

_SAID_ALREADY = frozenset({"downgrade-shape", "shape-changed", "version-lowered"})
"""Where one of them is found, the goldens would say the same once more."""


def check(
    listed: Sequence[Listed | Broken],
    lock: LockFile,
    goldens: GoldensOf,
    released: LockFile | None = None,
) -> tuple[Finding, ...]:
    """Return what is wrong with the formats of a project; nothing for a good one.

    Args:
        listed: The schemas that the settings list.
        lock: The lock file.
        goldens: The goldens on the disk.
        released: The lock file of a release, whose entries must all stand as they are.
    """
    findings: list[Finding] = []
    for entry in listed:
        if isinstance(entry, Listed):
            findings += check_schema(entry, lock, goldens)
        elif all(entry.error is not each.error for each in broken(listed, before=entry)):
            findings.append(check_broken(entry, lock))
    findings += check_lock(listed, lock, goldens, released)
    return tuple(findings)


def broken(listed: Sequence[Listed | Broken], before: Broken) -> list[Broken]:
    """Return the broken entries before one: a module that fails does so for all that is in it."""
    earlier = listed[: list(map(id, listed)).index(id(before))]
    return [entry for entry in earlier if isinstance(entry, Broken)]


def check_schema(listed: Listed, lock: LockFile, goldens: GoldensOf) -> tuple[Finding, ...]:
    """Return what is wrong with one schema: its shape, its chain, its goldens, its downgrades."""
    locked = lock.kinds.get(listed.schema.kind)
    if locked is None or not locked.versions:
        return (
            finding_of("not-accepted", listed, None, "the lock file has nothing of it", ACCEPT),
        )
    if locked.retired:
        message = "it is listed, and the lock file has it as retired"
        return (finding_of("not-accepted", listed, None, message, ACCEPT),)
    schema = listed.schema
    entry = locked.versions.get(schema.version)
    of_version = {
        number: kept
        for number in locked.versions
        if number <= schema.version and (kept := goldens(schema.kind, number)) is not None
    }
    found = [
        *_version_findings(listed, locked, entry),
        *_chain_findings(listed, locked),
        *_foreign_downgrades(listed, locked),
    ]
    if _SAID_ALREADY.isdisjoint(finding.rule for finding in found):
        found += _golden_findings(listed, locked, of_version)
        found += _downgrade_findings(listed, of_version)
    # What is in its way has to be mended first: `accept` would refuse it.
    blocking = tuple(finding for finding in found if finding.rule != "not-accepted")
    return blocking or tuple(found)


def _version_findings(
    listed: Listed, locked: LockedKind, entry: LockedVersion | None
) -> Iterator[Finding]:
    schema = listed.schema
    version, newest = schema.version, locked.newest
    if version < newest:
        message = f"its version is {version}, and version {newest} was accepted before"
        edit = (
            f"in {_module_of(listed)}: set version={newest} (a release that is to be taken back "
            f"writes an older one with write_version={version})"
        )
        yield finding_of("version-lowered", listed, version, message, edit)
    elif entry is not None:
        if drifted(entry.fingerprint, schema.fingerprint):
            yield _shape_changed(listed, entry)
    elif version > newest + 1:
        message = f"its version is {version}, and the newest accepted one is {newest}"
        edit = f"in {_module_of(listed)}: set version={newest + 1}; no version is left out"
        yield finding_of("version-skipped", listed, version, message, edit)
    elif schema.oldest <= newest:
        what = changes_between(locked.versions[newest].shape, schema.shape)
        message = f"version {version} is not in the lock file yet" + (f":\n{what}" if what else "")
        yield finding_of("not-accepted", listed, version, message, ACCEPT)


def _shape_changed(listed: Listed, entry: LockedVersion) -> Finding:
    schema, version = listed.schema, listed.schema.version
    message = "its class has changed, and its version has not:\n" + changes_between(
        entry.shape, schema.shape
    )
    edit = (
        f"in {_module_of(listed)}: set version={version + 1}, and add "
        f"{version}: {name_of(version)} to migrations; then {ACCEPT}\n"
        f"{IMPORT}\n" + AMEND.format(version)
    )
    source = stub(entry.shape, schema.shape, version)
    return finding_of("shape-changed", listed, version, message, edit, source)


def _chain_findings(listed: Listed, locked: LockedKind) -> Iterator[Finding]:
    """Find the accepted versions that the schema does not read any more."""
    schema = listed.schema
    lost = [
        number
        for number in locked.versions
        if locked.reads_from <= number < min(schema.oldest, schema.version)
    ]
    if not lost:
        return
    last = max(lost)
    target = locked.versions.get(last + 1)
    after = schema.shape if last + 1 == schema.version or target is None else target.shape
    steps = ", ".join(map(str, lost))
    message = f"it reads {schema.oldest} and newer, and version {steps} was accepted before"
    edit = (
        f"in {_module_of(listed)}: add {last}: {name_of(last)} to migrations\n"
        f"{IMPORT}\n"
        "(to drop old versions on purpose: `checkpointkit schema accept --drop-old`)"
    )
    yield finding_of(
        "missing-migration",
        listed,
        last,
        message,
        edit,
        stub(locked.versions[last].shape, after, last),
    )


def _golden_findings(
    listed: Listed, locked: LockedKind, goldens: dict[int, Goldens]
) -> Iterator[Finding]:
    """Run every golden of every version to the current one."""
    schema = listed.schema
    at = max((number for number in locked.versions if number <= schema.version), default=0)
    frozen_at = goldens.get(at)
    shapes = {number: entry.shape for number, entry in locked.versions.items()}
    for version, found in goldens.items():
        if not schema.oldest <= version <= schema.version:
            continue
        becomes = None if frozen_at is None else frozen_at.becomes.get(version)
        problems = judge(schema, version, found.envelopes, becomes, at, shapes)
        if problems:
            message = "\n".join(problems)
            if version < schema.version:
                edit = (
                    f"in {_module_of(listed)}: mend the migrations, hooks or validators so that "
                    "stored states of this version give the frozen values again; goldens are never "
                    "made anew"
                )
            else:
                edit = (
                    f"in {_module_of(listed)}: what this version writes has changed though its "
                    "shape has not (a hook, an enum, a codec); undo that, or set "
                    f"version={version + 1} and add {version}: {name_of(version)} to migrations"
                )
            if at == schema.version == locked.newest:
                edit += "\n" + AMEND.format(at)
            yield finding_of("golden-changed", listed, version, message, edit)


def _foreign_downgrades(listed: Listed, locked: LockedKind) -> Iterator[Finding]:
    """Find the downgrades whose shape is not that of the version that they lead to."""
    for start, downgrade in listed.schema.downgrades.items():
        entry = locked.versions.get(start - 1)
        if entry is not None and drifted(entry.fingerprint, fingerprint(downgrade.shape)):
            message = f"the shape of version {start - 1} in its downgrade is not the accepted one"
            edit = (
                f"in {_module_of(listed)}: {start}: Downgrade({_name(downgrade.step)}, "
                f"shape={entry.shape!r})"
            )
            yield finding_of("downgrade-shape", listed, start - 1, message, edit)


def _downgrade_findings(listed: Listed, goldens: dict[int, Goldens]) -> Iterator[Finding]:
    schema = listed.schema
    problems = judge_downgrade(schema, goldens) if schema.downgrades else ()
    if problems:
        edit = (
            f"in {_module_of(listed)}: mend the downgrades: whatever an older version can say must "
            "come back unchanged from upgrade(downgrade(...))"
        )
        yield finding_of("downgrade-loss", listed, schema.version, "\n".join(problems), edit)


def check_broken(entry: Broken, lock: LockFile) -> Finding:
    """Return what is wrong with an entry that leads to no schema."""
    error = entry.error
    if not isinstance(error, MissingMigrationError):
        if isinstance(error, LockFileError):
            message = error.reason
        else:
            message = f"it cannot be imported: {type(error).__name__}: {error}"
        edit = "mend it, or correct its entry in [tool.checkpointkit] schemas"
        return Finding("not-importable", "", None, entry.reference, message, edit)
    step = error.missing[-1]
    here, there = lock.version(error.kind, step), lock.version(error.kind, step + 1)
    after = error.shape if step + 1 == error.version or there is None else there.shape
    return Finding(
        "missing-migration",
        error.kind,
        error.version,
        entry.reference,
        f"the migration from {', '.join(map(str, error.missing))} is missing",
        f"in {entry.reference.partition(':')[0]}: add {step}: {name_of(step)} to migrations"
        + ("" if here is None else f"\n{IMPORT}"),
        "" if here is None else stub(here.shape, after, step),
    )


def _module_of(listed: Listed) -> str:
    return listed.reference.partition(":")[0]


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", "...")
