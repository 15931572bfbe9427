"""`migrate`, which needs a schema, and `unpin`: they say first what they will do, and do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from checkpointkit.cli.mend import NOT_DONE, agreed
from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome, Refused
from checkpointkit.cli.target import check_owner, open_to_read, open_to_write
from checkpointkit.cli.terminal import Progress
from checkpointkit.cli.text import INDENT, bytes_text, plural, printable
from checkpointkit.cli.trouble import Trouble, trouble
from checkpointkit.errors import CheckpointError, CheckpointNotFoundError, LockFileError
from checkpointkit.evolution.loading import load_schema
from checkpointkit.manager import CheckpointManager

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointkit.cli.session import Session
    from checkpointkit.cli.target import Target
    from checkpointkit.migrating import MigrationReport
    from checkpointkit.schema import Schema
    from checkpointkit.stores.base import Entry, Store


@frozen
class Order:
    """What `migrate` was asked for.

    Attributes:
        reference: Where the schema is, `pkg.mod:NAME`.
        keys: Which keys; none for all of the store.
        pin: Whether to pin the generations that are saved over.
        yes: Whether not to ask.
        dry_run: Whether only to say what would be done.
    """

    reference: str
    keys: tuple[str, ...]
    pin: bool
    yes: bool
    dry_run: bool


def migrate(session: Session, order: Order) -> Outcome:
    """Save every checkpoint of an older schema version anew.

    Raises:
        CheckpointNotFoundError: One of the keys is absent; nothing was done.
        Refused: There is no such schema, nobody can be asked, or the files belong to somebody else.
    """
    schema = _load(order.reference)
    target = session.target
    with open_to_read(target) as store:
        keys = _chosen(store, order.keys)
        plan = _pass(session, store, schema, keys, pin=order.pin, dry_run=True)
        if not order.dry_run:
            check_owner(target, store.path, plan.changed)
    text = _plan_text(plan, schema, order, target)
    troubles = _troubles_text(_troubles(plan, target))
    if order.dry_run or not plan.changed:
        return _migrated(session, order, schema, plan, text + troubles)
    question = f"Migrate {plural(len(plan.changed), 'checkpoint')}?"
    if not agreed(session, text + troubles, question, yes=order.yes):
        return Outcome(BAD, NOT_DONE, {})
    with open_to_write(target) as store:
        done = _pass(session, store, schema, plan.changed, pin=order.pin, dry_run=False)
    # What failed when it was only tried was not tried again; it is reported all the same.
    done = evolve(done, versions=plan.versions, problems=(*plan.problems, *done.problems))
    text = f"{plural(len(done.changed), 'checkpoint')} migrated to version {schema.write_version}\n"
    text += _troubles_text(_troubles(done, target))
    return _migrated(session, order, schema, done, text)


def unpin(session: Session, keys: Sequence[str], *, yes: bool, dry_run: bool) -> Outcome:
    """Let every pinned generation go.

    Args:
        session: The run.
        keys: Which keys; none for all of the store.
        yes: Whether not to ask.
        dry_run: Whether only to say what would be done.

    Raises:
        CheckpointNotFoundError: One of the keys is absent; nothing was done.
        Refused: Nobody can be asked.
    """
    target = session.target
    found: list[tuple[str, Entry]] = []
    troubles: list[Trouble] = []
    with open_to_read(target) as store:
        for key in _chosen(store, keys):
            try:
                found += [(key, entry) for entry in store.history(key) if entry.pinned]
            except CheckpointError as error:
                troubles.append(trouble(error, target, key))
    text = _pins_text(target, found, named=bool(keys))
    if dry_run or not found:
        text += _troubles_text(troubles)
        return _unpinned(session, text, found, troubles, dry_run=dry_run)
    question = f"Let {plural(len(found), 'generation')} go?"
    if not agreed(session, text + _troubles_text(troubles), question, yes=yes):
        return Outcome(BAD, NOT_DONE, {})
    released: list[tuple[str, Entry]] = []
    with open_to_write(target) as store, Progress(len(found)) as progress:
        for number, (key, entry) in enumerate(found, 1):
            try:
                store.unpin(key, entry.generation)
            except CheckpointError as error:
                troubles.append(trouble(error, target, key, entry.generation))
            else:
                released.append((key, entry))
            progress.step(number)
    text = f"{plural(len(released), 'generation')} unpinned\n" + _troubles_text(troubles)
    return _unpinned(session, text, released, troubles, dry_run=False)


def _load(reference: str) -> Schema[Any]:
    try:
        return load_schema(reference)
    except LockFileError as error:
        raise Refused(
            printable(str(error)),
            "name it as module:NAME, in a package that is installed here, or in a directory that "
            "PYTHONPATH names",
            USAGE,
            "NoSchema",
        ) from error


def _chosen(store: Store, keys: Sequence[str]) -> tuple[str, ...]:
    present = store.keys()
    for key in keys:
        if key not in present:
            raise CheckpointNotFoundError(key)
    return tuple(dict.fromkeys(keys)) or present


def _pass(
    session: Session,
    store: Store,
    schema: Schema[Any],
    keys: Sequence[str],
    *,
    pin: bool,
    dry_run: bool,
) -> MigrationReport:
    manager = CheckpointManager(store, schema, clock=lambda: session.now)
    with Progress(len(keys)) as progress:
        return manager.migrate(
            keys, dry_run=dry_run, pin=pin, progress=lambda done, _: progress.step(done)
        )


def _plan_text(plan: MigrationReport, schema: Schema[Any], order: Order, target: Target) -> str:
    """Return how many keys are at which version, and what is to be done about it."""
    counts = [
        f"{plural(number, 'key')} at schema version {version}"
        for version, number in plan.versions.items()
    ]
    text = "".join(f"{each}\n" for each in counts) or "no checkpoints of this schema here\n"
    wanted = plural(len(plan.changed), "checkpoint")
    if plan.problems and not plan.versions:
        return f"nothing can be migrated to version {schema.write_version}\n"
    if not plan.changed:
        return f"{text}nothing to migrate to version {schema.write_version}\n"
    text += f"{wanted} to migrate to version {schema.write_version}\n"
    if plan.pinned:
        release = target.command("unpin", *order.keys)
        text += f"{INDENT}the generations before are kept until they are unpinned: {release}\n"
    else:
        text += (
            f"{INDENT}the generations before are kept as the program's history= says, not longer\n"
        )
    return text


def _troubles(report: MigrationReport, target: Target) -> list[Trouble]:
    return [
        trouble(problem.error, target, problem.key, problem.generation)
        for problem in report.problems
    ]


def _troubles_text(troubles: Sequence[Trouble]) -> str:
    return "".join(each.text() for each in troubles)


def _migrated(
    session: Session, order: Order, schema: Schema[Any], report: MigrationReport, text: str
) -> Outcome:
    problems = [each.document() for each in _troubles(report, session.target)]
    document = session.document(
        ok=not problems,
        dry_run=report.dry_run and order.dry_run,
        schema=order.reference,
        kind=schema.kind,
        version=schema.write_version,
        versions={str(version): number for version, number in report.versions.items()},
        migrated=list(report.changed),
        pinned=list(report.pinned),
        problems=problems,
    )
    return Outcome(BAD if problems else FINE, text, document)


def _pins_text(target: Target, found: Sequence[tuple[str, Entry]], *, named: bool) -> str:
    if not found:
        return "nothing is pinned here\n"
    lines = [
        f"{target.place(key, entry.generation)}: pinned, {bytes_text(entry.size)}\n"
        for key, entry in found
        if named
    ]
    keys = plural(len({key for key, _ in found}), "key")
    size = bytes_text(sum(entry.size for _, entry in found))
    return (
        f"{''.join(lines)}{plural(len(found), 'pinned generation')} of {keys}, {size}\n"
        f"{INDENT}unpinned, they go as the program saves: there is no way back to them then\n"
    )


def _unpinned(
    session: Session,
    text: str,
    found: Sequence[tuple[str, Entry]],
    troubles: Sequence[Trouble],
    *,
    dry_run: bool,
) -> Outcome:
    document = session.document(
        ok=not troubles,
        dry_run=dry_run,
        unpinned=[{"key": key, "generation": entry.generation} for key, entry in found],
        problems=[each.document() for each in troubles],
    )
    return Outcome(BAD if troubles else FINE, text, document)
