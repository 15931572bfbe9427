"""Taking the formats of a project, as its code has them now, into the lock file. Pure.

What is accepted stays: an entry is added, never changed, but for the newest one of a kind that no
release has yet (`amend`). What would hide a mistake is refused with the findings that say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from checkpointkit.evolution.check import check, check_schema
from checkpointkit.evolution.findings import Broken, Finding, Listed
from checkpointkit.evolution.goldens import digest_of, render_goldens
from checkpointkit.evolution.judging import payloads_of
from checkpointkit.evolution.lockfile import LockedKind, LockedVersion, LockFile
from checkpointkit.evolution.nodes import harvest, hook_names, read_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from checkpointkit.evolution.findings import GoldensOf
    from checkpointkit.evolution.goldens import Goldens
    from checkpointkit.schema import Schema


@frozen
class Accepted:
    """What is to be written.

    Attributes:
        lock: The new lock file.
        goldens: The goldens that are new, by kind and version.
        lines: What was done, for people; none where everything was accepted already.
    """

    lock: LockFile
    goldens: Mapping[tuple[str, int], Goldens]
    lines: tuple[str, ...]


@frozen
class Wishes:
    """What is done on purpose, and would be a finding otherwise.

    Attributes:
        amend: Replace the newest version of a kind where its class, or what its migrations and
            hooks do, has changed since: for a version that no release has.
        drop_old: Let schemas stop to read old versions.
        retire: The kinds that are not in use any more.
    """

    amend: bool = False
    drop_old: bool = False
    retire: Collection[str] = ()


def accept(
    listed: Sequence[Listed | Broken],
    lock: LockFile,
    goldens: GoldensOf,
    make: Callable[[Schema[Any], Mapping[int, Goldens]], Goldens],
    released: LockFile | None = None,
    wishes: Wishes = Wishes(),
) -> Accepted | tuple[Finding, ...]:
    """Return what is to be written, or why nothing may be.

    Args:
        listed: The schemas that the settings list.
        lock: The lock file.
        goldens: The goldens on the disk.
        make: Makes the goldens of a new version, from a schema and the goldens of older versions.
        released: The lock file of a release, whose entries stay as they are.
        wishes: What is done on purpose.
    """
    purged, lines = _as_wished(listed, lock, goldens, released, wishes)
    blocking = tuple(
        finding
        for finding in check(listed, purged, goldens, released)
        if finding.rule != "not-accepted"
    )
    if blocking:
        return blocking
    kinds = dict(purged.kinds)
    made: dict[tuple[str, int], Goldens] = {}
    for entry in listed:
        if isinstance(entry, Broken) or purged.version(entry.schema.kind, entry.schema.version):
            continue
        schema = entry.schema
        kind, version = schema.kind, schema.version
        locked = kinds.get(kind, LockedKind({}))
        older = {
            number: found
            for number in locked.versions
            if number >= schema.oldest and (found := goldens(kind, number)) is not None
        }
        made[kind, version] = make(schema, older)
        digest = digest_of(render_goldens(made[kind, version]))
        new = LockedVersion(schema.shape, schema.fingerprint, digest)
        kinds[kind] = evolve(locked, versions={**locked.versions, version: new})
        count = len(made[kind, version].envelopes)
        lines.append(f"{kind}: version {version} is accepted, with {count} goldens")
        lines += _unseen(schema, made[kind, version])
    return Accepted(LockFile(kinds), made, tuple(lines))


def _unseen(schema: Schema[Any], goldens: Goldens) -> list[str]:
    """Say of which hooks no golden has a value: nothing would show what becomes of one."""
    node = read_shape(schema.shape)
    seen = harvest(node, payloads_of(goldens))
    return [
        f"{schema.kind}: no golden has a value of the hook {name}, as none could be made up; take "
        "these goldens back, name values in [tool.checkpointkit.examples], and accept it anew"
        for name in sorted(hook_names(node) - seen.keys())
    ]


def _as_wished(
    listed: Sequence[Listed | Broken],
    lock: LockFile,
    goldens: GoldensOf,
    released: LockFile | None,
    wishes: Wishes,
) -> tuple[LockFile, list[str]]:
    """Return the lock file with what is done on purpose, and what that is."""
    kinds = dict(lock.kinds)
    lines: list[str] = []
    used = {entry.schema.kind for entry in listed if isinstance(entry, Listed)}
    for kind in wishes.retire:
        if kind in used:
            lines.append(f"{kind}: not retired, as it is listed")
        elif kind in kinds and not kinds[kind].retired:
            kinds[kind] = evolve(kinds[kind], retired=True)
            lines.append(f"{kind}: retired")
    for entry in listed:
        if isinstance(entry, Broken) or entry.schema.kind not in kinds:
            continue
        schema, locked = entry.schema, kinds[entry.schema.kind]
        if locked.retired:
            locked = evolve(locked, retired=False)
            lines.append(f"{schema.kind}: not retired any more")
        if schema.oldest < locked.reads_from:
            locked = evolve(locked, reads_from=max(schema.oldest, min(locked.versions, default=1)))
            lines.append(f"{schema.kind}: versions from {locked.reads_from} on are read again")
        if wishes.drop_old and locked.reads_from < schema.oldest <= locked.newest + 1:
            locked = evolve(locked, reads_from=schema.oldest)
            lines.append(f"{schema.kind}: versions before {schema.oldest} are dropped")
        is_released = released is not None and released.version(schema.kind, schema.version)
        if wishes.amend and not is_released and _has_changed(entry, lock, goldens):
            rest = {n: each for n, each in locked.versions.items() if n != schema.version}
            locked = evolve(locked, versions=rest)
            lines.append(f"{schema.kind}: version {schema.version} is taken back")
        kinds[schema.kind] = locked
    return LockFile(kinds), lines


def _has_changed(entry: Listed, lock: LockFile, goldens: GoldensOf) -> bool:
    """Tell whether the newest version is not as it was accepted: its shape, or what it does."""
    if lock.version(entry.schema.kind, entry.schema.version) is None:
        return False
    found = check_schema(entry, lock, goldens)
    return any(finding.rule in ("shape-changed", "golden-changed") for finding in found)
