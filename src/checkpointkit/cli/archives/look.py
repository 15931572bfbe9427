"""How the commands look at a directory: with what is known of it, and a bar if it takes long."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

from checkpointkit.archives.kept.inventory import Inventory
from checkpointkit.archives.retention import Retention
from checkpointkit.cli.archives.policy import duration
from checkpointkit.cli.outcome import USAGE, Refused
from checkpointkit.cli.terminal import Progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from checkpointkit.archives.policies import Policy
    from checkpointkit.archives.retention import Look
    from checkpointkit.archives.watching.orphans import KubernetesLookup
    from checkpointkit.cli.archives.session import Session


@contextmanager
def looking(
    session: Session, directory: str, policy: Policy, *, write: bool = False
) -> Iterator[tuple[Retention, Look]]:
    """Look at a directory.

    Args:
        session: The run.
        directory: Where the archives are.
        policy: The policy to plan by.
        write: Whether what is read is stored, so that nobody reads it again; without it, nothing
            is written, and what was stored is used if it can be.

    Raises:
        CheckpointError: The directory, the state or the API server cannot be used.
        Refused: What was typed makes no sense.
    """
    arguments = session.arguments
    settle = duration(arguments, "settle")
    with lookup_of(arguments) as lookup:
        retention = Retention(
            directory,
            policy,
            state=arguments.state if write or _may_read(arguments.state) else None,
            settle_ns=round(settle.total_seconds() * 10**9),
            lookup=lookup,
            read_only=not write,
            clock=session.clock,
        )
        with Progress(0, thing="archives") as progress:
            look = retention.look(progress=progress.step)
        yield retention, look


def _may_read(state: str) -> bool:
    # it is for root alone, and whoever may read the archives may look without it
    return os.access(state, os.R_OK | os.X_OK)


def look_at(session: Session, directory: str, policy: Policy) -> Look:
    """Look at a directory, and change nothing. See `looking`."""
    with looking(session, directory, policy) as (_, look):
        return look


def open_inventory(session: Session, directory: str, *, write: bool = False) -> Inventory:
    """Open what is kept of a directory.

    Args:
        session: The run.
        directory: Where the archives are.
        write: Whether it is to be made, and may be written; without it, it may be empty.

    Raises:
        CheckpointError: It cannot be opened.
    """
    return Inventory.open(session.arguments.state, directory, read_only=not write)


def lookup_of(
    arguments: argparse.Namespace,
) -> AbstractContextManager[KubernetesLookup | None]:
    """Return what tells whose pods are gone, as a context; None where that was not asked for.

    Args:
        arguments: What was typed.

    Raises:
        Refused: Two ways to the API server were given.
        SourceConfigError: What was given cannot be used.
        MissingExtraError: The extra `kubernetes` is not installed.
    """
    kubeconfig = getattr(arguments, "kubeconfig", None)
    in_cluster = getattr(arguments, "in_cluster", False)
    if kubeconfig is None and not in_cluster:
        return nullcontext()
    if kubeconfig is not None and in_cluster:
        raise Refused(
            "--kubeconfig and --in-cluster are two ways to the API server",
            "give one of them",
            USAGE,
            "TwoApiServers",
        )
    from checkpointkit.archives.watching.orphans import KubernetesLookup  # noqa: PLC0415 - an extra

    return closing(KubernetesLookup.connect(kubeconfig))
