"""What of a tick is worth a line in the log: what has changed, and never the same thing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import field, frozen

from checkpointkit.pods.machine import Action, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from checkpointkit.pods.ticks import PodTick, Tick

__all__ = ["Journal", "Line"]

_MENDED_AFTER: Final = 300.0
"""Seconds after which what was not heard of again counts as mended, and is said when it is back.

What is wrong with a pod shows in those ticks alone in which its copy would be saved.
"""
_COUNTDOWN: Final = "; it is asked again in "
"""What follows it in a reason differs from tick to tick (`clients.patience`)."""


@frozen
class Line:
    """One line.

    Attributes:
        level: How grave it is.
        text: What happened.
    """

    level: Literal["info", "warning"]
    text: str


@frozen
class Journal:
    """What was said of the ticks so far, so that it is not said again.

    Attributes:
        unavailable: The sources that could not be asked, and why.
        said: What else was said, with the time when it was last true.

    Example:
        >>> from checkpointkit.pods.ticks import Tick
        >>> tick = Tick(0.0, unavailable={"kubelet": "answered with status 401"})
        >>> lines, journal = Journal().told(tick)
        >>> [line.text for line in lines]
        ['the kubelet cannot be asked: answered with status 401']
        >>> journal.told(tick)[0]
        ()
        >>> [line.text for line in journal.told(Tick(5.0))[0]]
        ['the kubelet can be asked again']
    """

    unavailable: Mapping[str, str] = field(factory=dict[str, str])
    said: Mapping[str, float] = field(factory=dict[str, float])

    def told(self, tick: Tick) -> tuple[tuple[Line, ...], Journal]:
        """Return the lines for a tick, and what has been said after it."""
        unavailable = {
            source: reason.partition(_COUNTDOWN)[0] for source, reason in tick.unavailable.items()
        }
        lasting = {line.text: line for line in _lasting(tick)}
        recent = {
            text: at for text, at in self.said.items() if tick.at - _MENDED_AFTER <= at <= tick.at
        }
        lines = (
            *self._sources(unavailable),
            *(line for text, line in lasting.items() if text not in recent),
            *(line for pod in tick.pods for line in _news(pod)),
        )
        return lines, Journal(unavailable, recent | dict.fromkeys(lasting, tick.at))

    def _sources(self, unavailable: Mapping[str, str]) -> Iterator[Line]:
        for source, reason in unavailable.items():
            if self.unavailable.get(source) != reason:
                yield Line("warning", f"the {source} cannot be asked: {reason}")
        for source in self.unavailable:
            if source not in unavailable:
                yield Line("info", f"the {source} can be asked again")


def _lasting(tick: Tick) -> Iterator[Line]:
    """Yield what stays true for many ticks, and is said once."""
    for name in tick.not_watched:
        text = f"{name}: it asks for a checkpoint, and its namespace is not watched"
        yield Line("warning", text)
    for text in tick.problems:
        yield Line("warning", text)
    for pod in tick.pods:
        for text in pod.problems:
            yield Line("warning", f"{pod.name}: {text}")
        for text in pod.notes:
            yield Line("info", f"{pod.name}: {text}")


def _news(pod: PodTick) -> Iterator[Line]:
    """Yield what has happened in this tick."""
    if pod.saved:
        yield Line("info", f"{pod.name}: a copy was saved")
    if pod.is_transition:
        way = f"{pod.before.value} -> {pod.state.value}"
        yield Line("info", f"{pod.name}: {way}: {pod.reason}")
    if pod.state is State.REMOVE and Action.REMOVE in pod.actions and not pod.problems:
        yield Line("info", f"{pod.name}: all that was kept of it was removed")
