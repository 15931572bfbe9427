"""The parts put together: look at a directory, and do what the plan says.

The command line and the watcher go through this; a program of its own can as well.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit.archives.disk.apply import apply, settle_idle, settle_log
from checkpointkit.archives.disk.directory import ArchiveDirectory
from checkpointkit.archives.disk.scan import SETTLE_NS, scan
from checkpointkit.archives.errors import PolicyError
from checkpointkit.archives.kept.gone import GoneMemory
from checkpointkit.archives.kept.inventory import Inventory
from checkpointkit.archives.model import DEFAULT_NAMES, Parent, State
from checkpointkit.archives.plan import plan
from checkpointkit.archives.planning.order import since_1970
from checkpointkit.errors import BatchError, ReadOnlyError, StoreError
from checkpointkit.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from checkpointkit.archives.disk.apply import Applied
    from checkpointkit.archives.disk.scan import Scan
    from checkpointkit.archives.model import Archive, Orphans
    from checkpointkit.archives.plan import Plan
    from checkpointkit.archives.policies import Policy
    from checkpointkit.archives.watching.orphans import Lookup

__all__ = ["Look", "Retention"]

_NOT_ASKED: Final = (
    "the policy has a rule for orphans, and nobody is asked which pods there are: no archive is "
    "taken for one; name an API server to ask, or set orphans to none"
)
_NOT_KEPT = (State.OTHER, State.POD_CHECKPOINT)


@frozen
class Look:
    """What a directory holds, and what is to be done about it.

    Attributes:
        scan: What lies there.
        plan: What goes and what stays, and why.
        problems: What could not be found out, one line each; nothing was deleted for it.
    """

    scan: Scan
    plan: Plan
    problems: tuple[str, ...]


class Retention:
    """A directory of archives, and what is to be kept of it.

    Nothing is held open between two calls. One process may apply at a time, any number may look.

    Args:
        path: The directory of the archives.
        policy: What is to be kept.
        state: The directory in which the inventory is kept, with the records of what was
            deleted; it is made if there is none. None: nothing is kept, each look reads all
            archives anew, and nothing can be applied.
        names: The patterns of archives' names.
        settle_ns: How long nothing may have been written to an archive that counts as finished.
        lookup: Who knows which pods are gone; None: no archive is an orphan.
        read_only: Write nothing. A state that is there is read, one that is not is done without.
        clock: Says what time it is.

    Example:
        >>> import tempfile
        >>> from checkpointkit.archives.policies import Policy, Rules
        >>> directory, state = tempfile.mkdtemp(), tempfile.mkdtemp()
        >>> retention = Retention(directory, Policy(rules=Rules(container_count=3)), state=state)
        >>> look = retention.look()
        >>> [decision.words for decision in look.plan.deletions]
        []
        >>> retention.apply(look).freed
        0
    """

    def __init__(
        self,
        path: str,
        policy: Policy,
        *,
        state: str | None,
        names: Sequence[str] = DEFAULT_NAMES,
        settle_ns: int = SETTLE_NS,
        lookup: Lookup | None = None,
        read_only: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = path
        self.policy = policy
        self._state = state
        self._names = names
        self._settle_ns = settle_ns
        self._lookup = lookup
        self._read_only = read_only
        self._clock = clock

    def look(self, *, progress: Callable[[int, int], None] | None = None) -> Look:
        """Return what is there, and what is to be done; nothing is deleted.

        Args:
            progress: Is told now and then how many archives have been looked at, and of how many.

        Raises:
            DirectoryError: The directory cannot be used.
            CheckpointError: The state cannot be read or written; the error says why.
        """
        with ExitStack() as stack:
            directory = stack.enter_context(ArchiveDirectory.open(self.path))
            kept = self.inventory()
            if kept is not None:
                stack.enter_context(closing(kept))
            now = self._clock()
            found = scan(
                directory,
                {} if kept is None else kept.load(),
                now_ns=since_1970(now),
                names=self._names,
                settle_ns=self._settle_ns,
                progress=progress,
            )
            problems = [*found.problems]
            if kept is not None and not self._read_only:
                problems += _save(kept, found.archives)
                problems += settle_idle(directory, kept)
            orphans, more = self._orphans(found.archives, kept, since_1970(now))
            decided = plan(found.archives, self.policy, now, space=found.space, orphans=orphans)
            known = () if kept is None else kept.problems
            return Look(found, decided, (*problems, *known, *more))

    def apply(self, look: Look, *, progress: Callable[[int, int], None] | None = None) -> Applied:
        """Delete what the plan says, if it still is what was planned.

        Before an archive goes there is a record of it; what a run that was killed has left open
        is recorded first.

        Args:
            look: What `look` has returned.
            progress: Is told after each batch how many archives are done with, and of how many.

        Returns:
            What was deleted, what was not and why, and how many bytes are free again.

        Raises:
            ReadOnlyError: There is no state to record it in, or it may not be written.
            LockTimeoutError: Another process is applying.
            DirectoryError: The directory cannot be used, or is another by now.
            CheckpointError: A record could not be stored; what has none is still there.
        """
        inventory = None if self._read_only else self.inventory()
        if inventory is None:
            raise ReadOnlyError("apply")
        with (
            closing(inventory),
            inventory.exclusive(),
            ArchiveDirectory.open(self.path) as directory,
        ):
            settle_log(directory, inventory.deletions)
            return apply(
                look.plan,
                directory,
                inventory.deletions,
                clock_ns=self._clock_ns,
                scanned=(look.scan.device, look.scan.inode),
                progress=progress,
            )

    def inventory(self) -> Inventory | None:
        """Open what is kept of this directory; None where nothing is.

        Raises:
            CheckpointError: It cannot be opened.
        """
        if self._state is None:
            return None
        return Inventory.open(self._state, self.path, read_only=self._read_only)

    def _orphans(
        self, archives: Iterable[Archive], kept: Inventory | None, now_ns: int
    ) -> tuple[Orphans, tuple[str, ...]]:
        """Return the parents that are gone, and what could not be found out."""
        rules_for = self.policy.rules_for
        # Once for each container: there may be a million archives.
        containers = {each.container for each in archives if each.container is not None}
        asking = {each for each in containers if rules_for(each).orphans is not None}
        parents = (
            {
                Parent(each.container, each.pod_uid)
                for each in archives
                if each.container is not None and each.container in asking
            }
            if asking
            else set()
        )
        if not parents:
            return {}, ()
        if self._lookup is None:
            return {}, (_NOT_ASKED,)
        answer = self._lookup.look(parents)
        if not answer.cluster:  # whose pods are gone is not known, and the problems say why
            return {}, answer.problems
        # Without a state, what the answer itself proves has to do.
        memory = GoneMemory(MemoryStore()).note if kept is None else kept.note_gone
        try:
            orphans = memory(answer.cluster, answer.gone, now_ns, there=answer.there)
        except PolicyError as refusal:
            return {}, (*answer.problems, str(refusal))
        return orphans, answer.problems

    def _clock_ns(self) -> int:
        return since_1970(self._clock())


def _save(kept: Inventory, archives: Iterable[Archive]) -> tuple[str, ...]:
    """Store what was read; return what went wrong.

    On a disk that is full this fails, and then something has to be deleted all the more: what is
    not stored is read again.
    """
    try:
        kept.save(each for each in archives if each.state not in _NOT_KEPT)
    except (BatchError, StoreError) as error:
        return (f"what was read could not be stored, and is read again: {error}",)
    return ()
