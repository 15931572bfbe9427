"""`verify`: reads everything and changes nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import frozen

from checkpointkit import records
from checkpointkit.cli.outcome import BAD, FINE, Outcome, Refused
from checkpointkit.cli.target import open_to_read, scopes_of, strays_of
from checkpointkit.cli.terminal import Progress
from checkpointkit.cli.text import INDENT, plural, printable
from checkpointkit.cli.trouble import Around, Trouble, trouble
from checkpointkit.errors import CheckpointError, CheckpointNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpointkit.cli.session import Session
    from checkpointkit.cli.target import Target
    from checkpointkit.stores.base import Store


@frozen
class _Part:
    """One scope and what is to be verified in it."""

    target: Target
    keys: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()


@frozen
class _Verified:
    """What came of one key: how many generations were read, and what is wrong with them."""

    generations: int
    troubles: tuple[Trouble, ...]


def verify(session: Session, keys: Sequence[str]) -> Outcome:
    """Read every generation and see that it verifies.

    Args:
        session: The run.
        keys: Which keys; none for the whole store, with the scopes in it.
    """
    parts = [_Part(session.target, tuple(dict.fromkeys(keys)))] if keys else _all_of(session.target)
    troubles = [each for part in parts for each in part.troubles]
    generations = done = 0
    with Progress(sum(len(part.keys) for part in parts)) as progress:
        for part in filter(_has_keys, parts):
            with open_to_read(part.target) as store:
                for key in part.keys:
                    verified = _verify_key(store, part.target, key, asked_for=bool(keys))
                    troubles += verified.troubles
                    generations += verified.generations
                    done += 1
                    progress.step(done)
    strays = [stray for part in parts for stray in part.strays]
    return Outcome(
        BAD if troubles else FINE,
        _text(parts, generations, troubles, strays),
        session.document(
            ok=not troubles,
            keys=done,
            generations=generations,
            problems=[each.document() for each in troubles],
            strays=strays,
        ),
    )


def _all_of(target: Target) -> list[_Part]:
    """Return a store and the scopes in it, each with all its keys."""
    with open_to_read(target) as store:
        keys = store.keys()
        path = store.path
    strays = tuple(os.path.join(path, name) for name in strays_of(path, keys))
    parts = [_Part(target, keys, strays)]
    for name in scopes_of(path):
        inner = target.inner(name)
        try:
            parts += _all_of(inner)
        except Refused as refusal:
            parts.append(_Part(inner, troubles=(_closed(inner, refusal),)))
    return parts


def _closed(target: Target, refusal: Refused) -> Trouble:
    place = target.place(None)
    return Trouble(refusal.name, target.scope, None, None, place, refusal.message, refusal.advice)


def _has_keys(part: _Part) -> bool:
    return bool(part.keys)


def _verify_key(store: Store, target: Target, key: str, *, asked_for: bool) -> _Verified:
    report = records.verify(store, [key])
    problems = [
        problem
        for problem in report.problems
        if asked_for or not isinstance(problem.error, CheckpointNotFoundError)  # removed just now
    ]
    if not problems:
        return _Verified(report.checked, ())
    try:
        newest = store.history(key)[:1]
    except CheckpointError:  # it is among the problems already
        newest = ()
    newest_numbers = (None, *(entry.generation for entry in newest))
    good = report.checked > len(problems)
    return _Verified(
        report.checked,
        tuple(
            trouble(
                problem.error,
                target,
                key,
                problem.generation,
                Around(problem.generation in newest_numbers, good),
            )
            for problem in problems
        ),
    )


def _text(
    parts: Sequence[_Part], generations: int, troubles: Sequence[Trouble], strays: Sequence[str]
) -> str:
    found = "".join(f"{each.text()}\n" for each in troubles)
    if strays:
        names = "".join(f"{INDENT}{printable(stray)}\n" for stray in strays)
        found += f"not of the store, and ignored by it:\n{names}\n"
    keys = plural(sum(len(part.keys) for part in parts), "key")
    scopes = f" in the store and {plural(len(parts) - 1, 'scope')} of it" if parts[1:] else ""
    result = plural(len(troubles), "problem") if troubles else "all good"
    return f"{found}{keys}{scopes}, {plural(generations, 'generation')} read: {result}\n"
