"""What is wrong with the formats of a project, and the exact edit that mends it. Pure.

Each rule compares three things: the schemas as the code has them, the lock file with its goldens,
and, if it is given, the lock file of a release. Nothing here reads a file or imports a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import frozen

from checkpointkit.chain import MissingMigrationError
from checkpointkit.envelope import open_header
from checkpointkit.errors import CorruptCheckpointError, EnvelopeVersionError, LockFileError
from checkpointkit.evolution.diff import differences
from checkpointkit.evolution.goldens import GOLDEN_KEY, judge, judge_downgrade, lost_goldens
from checkpointkit.evolution.stubs import name_of, stub
from checkpointkit.fingerprint import canonical, drifted, fingerprint
from checkpointkit.structuring.wire import field_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from checkpointkit.evolution.goldens import Goldens
    from checkpointkit.evolution.lockfile import LockedKind, LockedVersion, LockFile
    from checkpointkit.fingerprint import Shape
    from checkpointkit.schema import Schema

GoldensOf: TypeAlias = "Callable[[str, int], Goldens | None]"
"""Gives the goldens of a kind and a version as they are on the disk; None for a missing file."""

_ACCEPT = "run `checkpointkit schema accept` and commit what it writes"
_SAID_ALREADY = frozenset({"downgrade-shape", "shape-changed", "version-lowered"})
"""Where one of them is found, the goldens would say the same once more."""
_AMEND = "(if no release has version {0} yet: `checkpointkit schema accept --amend`)"
_IMPORT = "(the function is below; Payload comes from checkpointkit)"
_PUT_BACK = "put it back as it was (`git checkout`, or keep both sides of the merge)"


@frozen
class Listed:
    """A schema of the project.

    Attributes:
        reference: What the settings name it by: `agent.state:LEASES`.
        schema: The schema.
    """

    reference: str
    schema: Schema[Any]


@frozen
class Broken:
    """An entry of the settings that leads to no schema.

    Attributes:
        reference: What the settings name it by.
        error: What came of it; a `MissingMigrationError` for a gap in the chain.
    """

    reference: str
    error: Exception


@frozen
class Finding:
    """Something that is wrong.

    Attributes:
        rule: The name of the rule, for programs: `shape-changed`.
        kind: The kind; empty where it is not known.
        version: The schema version; None where it is about the whole kind.
        reference: The entry of the settings; empty for a kind that is listed no more.
        message: What is wrong.
        edit: The exact edit that mends it.
        stub: The source of a migration, to be pasted; empty where none is needed.
    """

    rule: str
    kind: str
    version: int | None
    reference: str
    message: str
    edit: str
    stub: str = ""

    def text(self) -> str:
        """Return it for people, with a line for each thing to do."""
        of_version = "" if self.version is None else f", version {self.version}"
        named = f" ({self.reference})" if self.reference else ""
        place = f"{self.kind}{of_version}{named}" if self.kind else self.reference
        lines = [f"{place}: {self.rule}", *self.message.splitlines(), *self.edit.splitlines()]
        lines += ["", *self.stub.splitlines()] if self.stub else []
        return "\n".join(
            f"    {line}".rstrip() if number else line for number, line in enumerate(lines)
        )


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
        return (_finding("not-accepted", listed, None, "the lock file has nothing of it", _ACCEPT),)
    if locked.retired:
        message = "it is listed, and the lock file has it as retired"
        return (_finding("not-accepted", listed, None, message, _ACCEPT),)
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
                _finding("listed-twice", each, None, message, "list one schema for each kind")
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


# --- one schema ----------------------------------------------------------------------------------


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
        yield _finding("version-lowered", listed, version, message, edit)
    elif entry is not None:
        if drifted(entry.fingerprint, schema.fingerprint):
            yield _shape_changed(listed, entry)
    elif version > newest + 1:
        message = f"its version is {version}, and the newest accepted one is {newest}"
        edit = f"in {_module_of(listed)}: set version={newest + 1}; no version is left out"
        yield _finding("version-skipped", listed, version, message, edit)
    elif schema.oldest <= newest:
        what = _said(locked.versions[newest].shape, schema.shape)
        message = f"version {version} is not in the lock file yet" + (f":\n{what}" if what else "")
        yield _finding("not-accepted", listed, version, message, _ACCEPT)


def _shape_changed(listed: Listed, entry: LockedVersion) -> Finding:
    schema, version = listed.schema, listed.schema.version
    message = "its class has changed, and its version has not:\n" + _said(entry.shape, schema.shape)
    edit = (
        f"in {_module_of(listed)}: set version={version + 1}, and add "
        f"{version}: {name_of(version)} to migrations; then {_ACCEPT}\n"
        f"{_IMPORT}\n" + _AMEND.format(version)
    )
    source = stub(entry.shape, schema.shape, version)
    return _finding("shape-changed", listed, version, message, edit, source)


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
        f"{_IMPORT}\n"
        "(to drop old versions on purpose: `checkpointkit schema accept --drop-old`)"
    )
    yield _finding(
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
    names: set[str] = set()
    for entry in locked.versions.values():
        names |= field_names(entry.shape)
    for version, found in goldens.items():
        if not schema.oldest <= version <= schema.version:
            continue
        becomes = None if frozen_at is None else frozen_at.becomes.get(version)
        problems = judge(schema, version, found.envelopes, becomes, at, names)
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
                edit += "\n" + _AMEND.format(at)
            yield _finding("golden-changed", listed, version, message, edit)


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
            yield _finding("downgrade-shape", listed, start - 1, message, edit)


def _downgrade_findings(listed: Listed, goldens: dict[int, Goldens]) -> Iterator[Finding]:
    schema = listed.schema
    problems = judge_downgrade(schema, goldens) if schema.downgrades else ()
    if problems:
        edit = (
            f"in {_module_of(listed)}: mend the downgrades: whatever an older version can say must "
            "come back unchanged from upgrade(downgrade(...))"
        )
        yield _finding("downgrade-loss", listed, schema.version, "\n".join(problems), edit)


# --- the lock file -------------------------------------------------------------------------------


def _gap_findings(kind: str, locked: LockedKind, goldens: GoldensOf) -> Iterator[Finding]:
    """Find the versions that were taken out, with their goldens or without."""
    newest = goldens(kind, locked.newest)
    known = {*locked.versions, *(newest.becomes if newest is not None else ())}
    for version in range(min(known, default=1), locked.newest):
        if version not in locked.versions:
            message = f"version {version} is missing, and there are older and newer ones"
            yield Finding("edited-entry", kind, version, "", message, _PUT_BACK)
        elif newest is not None and version >= locked.reads_from and version not in newest.becomes:
            message = f"the goldens of version {locked.newest} do not say what they become in it"
            yield Finding("edited-goldens", kind, version, "", message, _PUT_BACK)


def _entry_findings(
    kind: str, version: int, entry: LockedVersion, goldens: Goldens | None
) -> Iterator[Finding]:
    own = fingerprint(entry.shape)
    if drifted(entry.fingerprint, own):
        message = f"its shape has the fingerprint {own}, and {entry.fingerprint} stands beside it"
        yield Finding("edited-entry", kind, version, "", message, _PUT_BACK)
        return
    problem = lost_goldens(kind, version, entry, goldens) or _foreign(kind, version, entry, goldens)
    if problem:
        missing = "" if goldens is not None else "commit the directory of the goldens, too; or "
        yield Finding("edited-goldens", kind, version, "", problem, missing + _PUT_BACK)


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
            yield Finding("released-removed", kind, None, "", message, _PUT_BACK)
            continue
        for version, entry in was.versions.items():
            found = now.versions.get(version)
            if found is None:
                message = "a release has this version, and the lock file has not"
                yield Finding("released-removed", kind, version, "", message, _PUT_BACK)
            elif canonical(found.shape) != canonical(entry.shape):
                message = "a release has this version with another shape:\n" + _said(
                    entry.shape, found.shape
                )
                edit = f"{_PUT_BACK}; then give the changed class a new version"
                yield Finding("released-changed", kind, version, "", message, edit)
            elif found != entry:
                message = "a release has this version with other goldens, or another fingerprint"
                yield Finding("released-changed", kind, version, "", message, _PUT_BACK)


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
        + ("" if here is None else f"\n{_IMPORT}"),
        "" if here is None else stub(here.shape, after, step),
    )


def _finding(
    rule: str, listed: Listed, version: int | None, message: str, edit: str, source: str = ""
) -> Finding:
    kind, reference = listed.schema.kind, listed.reference
    return Finding(rule, kind, version, reference, message, edit, source)


def _said(old: Shape, new: Shape) -> str:
    return "\n".join(f"  {difference.text()}" for difference in differences(old, new))


def _module_of(listed: Listed) -> str:
    return listed.reference.partition(":")[0]


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", "...")
