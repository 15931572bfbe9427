"""The books on the killed agents: what they acknowledged, and what their successors found. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTHING: Final = "-"
"""What an agent says for the digest where it found no state."""


@frozen
class Ledger:
    """What is known from the reports of all agents so far.

    An agent reports one line at a time: `read N DIGEST` when it starts, `saving N` before each
    save, and `saved N DIGEST` once the save is acknowledged. N counts the saves in the state.

    Attributes:
        acknowledged: The save that the next agent has to find, or a newer one.
        digest: The digest of that save.
        in_flight: The save that was begun and not acknowledged; None between saves.
        saves: How many saves were acknowledged.
        kills: How many agents were killed.
        kills_in_save: How many of them in the middle of a save.
        found_acknowledged: How many restarted agents found the last acknowledged state.
        found_in_flight: How many found the state that was in flight, whole.
        lost: How many acknowledged saves were not found.
    """

    acknowledged: int = 0
    digest: str = NOTHING
    in_flight: int | None = None
    saves: int = 0
    kills: int = 0
    kills_in_save: int = 0
    found_acknowledged: int = 0
    found_in_flight: int = 0
    lost: int = 0

    def hear(self, reports: Iterable[str]) -> Ledger:
        """Return the books with the lines of an agent added."""
        ledger = self
        for report in reports:
            ledger = ledger._hear(*report.split(" "))
        return ledger

    def _hear(self, event: str, number: str, digest: str = NOTHING) -> Ledger:
        count = int(number)
        if event == "saving":
            return evolve(self, in_flight=count)
        now = evolve(self, acknowledged=count, digest=digest, in_flight=None)
        if event == "saved":
            return evolve(now, saves=self.saves + 1)
        if self.kills == 0:
            return now  # the first agent of all: nobody acknowledged anything yet
        if (count, digest) == (self.acknowledged, self.digest):
            return evolve(now, found_acknowledged=self.found_acknowledged + 1)
        if count == self.in_flight:
            return evolve(now, found_in_flight=self.found_in_flight + 1)
        # an older state, none at all, or the right number with other bytes
        return evolve(now, lost=self.lost + max(1, self.acknowledged - count))

    def killed(self) -> Ledger:
        """Return the books after the agent was killed and everything it said was heard."""
        in_save = self.in_flight is not None
        return evolve(self, kills=self.kills + 1, kills_in_save=self.kills_in_save + in_save)
