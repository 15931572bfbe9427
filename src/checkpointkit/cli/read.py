"""`list`, `show` and `history`: they look and change nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from checkpointkit.cli.look import (
    COLUMNS,
    NUMBERS,
    Look,
    cells,
    document_of,
    look_at,
    look_at_all,
    look_at_newest,
    shown_state,
    times_of,
    trouble_with,
)
from checkpointkit.cli.outcome import BAD, FINE, Outcome
from checkpointkit.cli.target import file_of, open_to_read, scopes_of
from checkpointkit.cli.terminal import encoding_of
from checkpointkit.cli.text import (
    KIB,
    bytes_text,
    fields,
    json_text,
    plural,
    printable,
    table,
)
from checkpointkit.envelope import decode_payload
from checkpointkit.errors import CheckpointNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointkit.cli.session import Session
    from checkpointkit.cli.target import Target
    from checkpointkit.cli.trouble import Trouble
    from checkpointkit.stores.base import Store


def list_keys(session: Session, *, prefix: str, long: bool, recursive: bool) -> Outcome:
    """List the keys of a store; every one that can be seen, damaged or not.

    Args:
        session: The run.
        prefix: Only the keys that begin with it.
        long: Whether to read the header of each newest generation.
        recursive: Whether to list the scopes, too.
    """
    found: list[tuple[Target, str]] = []
    seen: list[tuple[Target, Look]] = []
    scopes: list[Target] = []
    waiting = [session.target]
    for target in waiting:
        with open_to_read(target) as store:
            inner = [target.inner(name) for name in scopes_of(store.path)]
            keys = store.keys(prefix)
            found += [(target, key) for key in keys]
            looks = [look_at_newest(store, key) for key in keys] if long else []
            seen += [(target, look) for look in looks if look is not None]
        scopes += inner
        if recursive:
            waiting += inner
    troubles = [trouble_with(look, target) for target, look in seen]
    depth = len(session.target.scope)
    note = "" if found else "no checkpoints here"
    if scopes and not recursive:
        names = ", ".join(target.scope[-1] for target in scopes)
        note += f"{'; ' if note else ''}{plural(len(scopes), 'scope')} not listed: {names}"
    if long:
        text = _looks_text(session, seen, troubles, depth)
        documents = [
            document_of(look, target, problem)
            for (target, look), problem in zip(seen, troubles, strict=True)
        ]
    else:
        text = "".join(f"{_name(target, key, depth)}\n" for target, key in found)
        documents = [{"scope": list(target.scope), "key": key} for target, key in found]
    return Outcome(
        BAD if any(troubles) else FINE,
        text,
        session.document(checkpoints=documents, scopes=[list(target.scope) for target in scopes]),
        note,
    )


def show(session: Session, key: str, *, generation: int | None, payload: bool) -> Outcome:
    """Show what the header of one generation says, or its payload.

    Args:
        session: The run.
        key: The key.
        generation: Which generation; None for the newest.
        payload: Whether to show the payload, which may hold secrets.

    Raises:
        CheckpointNotFoundError: There is no such checkpoint.
        CorruptCheckpointError: The payload was asked for, and is damaged.
    """
    with open_to_read(session.target) as store:
        seen = _find(store, key, generation)
        path = file_of(store.path, key, seen.generation or 0, newest=seen.newest)
    problem = trouble_with(seen, session.target)
    document = session.document(checkpoint=document_of(seen, session.target, problem))
    if not payload:
        text = _header_text(session, seen, path)
        if problem is not None:
            text += f"\n{problem.text()}"
        return Outcome(FINE if problem is None else BAD, text, document)
    decoded = decode_payload(seen.verified(), key, seen.generation)
    return Outcome(
        FINE,
        json_text(decoded, encoding_of(sys.stdout)),
        {**document, "payload": decoded},
    )


def history(session: Session, key: str) -> Outcome:
    """List the generations of a key, each of them read and verified.

    Raises:
        CheckpointNotFoundError: The key is absent.
    """
    target = session.target
    with open_to_read(target) as store:
        looks = look_at_all(store, key)
    if not looks:
        raise CheckpointNotFoundError(key)
    good = any(seen.good for seen in looks)
    troubles = [trouble_with(seen, target, others_good=good) for seen in looks]
    rows = [cells(seen, session.now) for seen in looks]
    text = table(COLUMNS, rows, numbers=NUMBERS, width=session.width)
    documents = [
        document_of(seen, target, problem) for seen, problem in zip(looks, troubles, strict=True)
    ]
    return Outcome(
        BAD if any(troubles) else FINE,
        text + _troubles_text(troubles),
        session.document(key=key, checkpoints=documents),
    )


def _find(store: Store, key: str, generation: int | None) -> Look:
    while True:
        entries = store.history(key)
        if not entries:
            raise CheckpointNotFoundError(key)
        wanted = [each for each in entries if generation in (None, each.generation)]
        if not wanted:
            raise CheckpointNotFoundError(key, generation)
        newest = wanted[0] is entries[0]
        seen = look_at(store, key, wanted[0], newest=newest, whole=True)
        if seen is not None:  # else it was pruned or removed a moment ago
            return seen


def _name(target: Target, key: str, depth: int) -> str:
    """Return the name of a key as seen from the scope that is `depth` deep."""
    return "/".join((*target.scope[depth:], key))


def _looks_text(
    session: Session,
    seen: Sequence[tuple[Target, Look]],
    troubles: Sequence[Trouble | None],
    depth: int,
) -> str:
    if not seen:
        return ""
    rows = [(_name(target, look.key, depth), *cells(look, session.now)) for target, look in seen]
    lines = table(("KEY", *COLUMNS), rows, numbers=NUMBERS, width=session.width)
    return lines + _troubles_text(troubles)


def _troubles_text(troubles: Sequence[Trouble | None]) -> str:
    return "".join(f"\n{problem.text()}" for problem in troubles if problem is not None)


def _header_text(session: Session, seen: Look, path: str) -> str:
    number = str(seen.generation)
    pairs = [
        ("key", session.target.place(seen.key)),
        ("generation", f"{number} (the newest)" if seen.newest else number),
        ("state", shown_state(seen)),
        ("file", printable(path)),
        ("size", _size_text(seen.size or 0)),
    ]
    header = seen.header
    if header is not None:
        saved, since = times_of(seen, session.now)
        pairs += [
            ("saved", f"{saved} ({since})"),
            ("kind", header.kind),
            ("schema version", str(header.schema_version)),
            ("fingerprint", header.fingerprint),
            ("payload", f"{_size_text(header.payload_size)}{'; see --payload' * seen.good}"),
            ("payload sha256", header.payload_sha256),
            ("digest", f"sha256:{seen.digest}"),
            (
                "follows",
                f"sha256:{header.previous}" if header.previous else "none, it is the first",
            ),
        ]
    return fields(pairs)


def _size_text(size: int) -> str:
    exact = plural(size, "byte")
    return exact if size < KIB else f"{bytes_text(size)} ({exact})"
