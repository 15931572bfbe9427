"""`checkpointkit archives forget-cluster`: for a node that has moved to another cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checkpointkit.cli.archives.look import open_inventory
from checkpointkit.cli.outcome import BAD, FINE, USAGE, Outcome, Refused
from checkpointkit.cli.terminal import ask, can_ask
from checkpointkit.cli.text import printable

if TYPE_CHECKING:
    from checkpointkit.cli.archives.session import Session

NOT_DONE: Final = "nothing was forgotten\n"
"""What people read when they have said no."""
_NONE: Final = "no cluster is known; the first one that has a pod of the archives will be\n"
_EFFECT: Final = (
    "The next one that has a pod of the archives is the node's, and grace periods of orphans "
    "begin anew.\n"
)


def forget_cluster(session: Session) -> Outcome:
    """Forget which cluster the node belongs to, and since when pods are gone.

    Args:
        session: The run.

    Raises:
        CheckpointError: The state cannot be used.
        Refused: Nobody can be asked.
    """
    directory = session.directory()
    with open_inventory(session, directory) as inventory:
        cluster, problems = inventory.cluster, inventory.problems
    if not cluster and not problems:
        document = session.document(directory, cluster=None, forgotten=False, problems=[])
        return Outcome(FINE, _NONE, document)
    what = f"the cluster {printable(cluster)}" if cluster else "the cluster that cannot be read"
    if not _agreed(session, _EFFECT, f"Forget {what}?"):
        return Outcome(BAD, NOT_DONE, {})
    with open_inventory(session, directory, write=True) as inventory:
        forgotten = inventory.leave()
    document = session.document(
        directory, cluster=cluster or None, forgotten=forgotten, problems=list(problems)
    )
    return Outcome(FINE, f"{what} is forgotten\n" if forgotten else _NONE, document)


def _agreed(session: Session, text: str, question: str) -> bool:
    if session.arguments.yes:
        return True
    if session.as_json or not can_ask():
        raise Refused(
            "this would have to be confirmed, and nobody can be asked here",
            "repeat the command with --yes",
            USAGE,
            "Unconfirmed",
        )
    return ask(text, question)
