"""One pod, one tick: its state, what was observed and the time give the next state, and what to do.

The states and their way are those of bootkube's pod checkpointer (pkg/checkpoint/state.go), with
these differences, found by running it:

- D1: nothing is removed while nobody knows what the API server says.
- D2: a grace period is part of the state that is kept, and goes on after a restart.
- D3: the checkpointer's own copy goes back to `self`, never to inactive.
- What D4 and D5 change lies in the observations (`runtime`, `observation`).
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import evolve, field, frozen

from checkpointkit.pods.observation import Api
from checkpointkit.pods.runtime import Running

__all__ = ["Action", "Kin", "Observation", "Stage", "State", "Step", "step"]


class Action(enum.Enum):
    """What there is to do for a pod."""

    START = "start"
    """Put the active manifest in place."""
    STOP = "stop"
    """Take the active manifest away."""
    REMOVE = "remove"
    """Take away all that is kept of the pod, the manifests first."""
    CONFIRM = "confirm"
    """Ask the API server for this very pod, and decide again: it is about to be removed."""


class State(enum.Enum):
    """Where a pod's checkpoint stands."""

    NONE = "none"
    INACTIVE = "inactive"
    INACTIVE_GRACE = "inactive-grace"
    ACTIVE = "active"
    ACTIVE_GRACE = "active-grace"
    SELF = "self"
    REMOVE = "remove"

    @property
    def action(self) -> Action | None:
        """The action that leads to this state; what is on the disk in it, always."""
        return _ACTIONS[self]


_ACTIONS: Final = {
    State.NONE: None,
    State.INACTIVE: Action.STOP,
    State.INACTIVE_GRACE: Action.STOP,
    State.ACTIVE: Action.START,
    State.ACTIVE_GRACE: Action.START,
    State.SELF: Action.START,
    State.REMOVE: Action.REMOVE,
}


class Kin(enum.Enum):
    """What the other pods of the same controller do on this node; the busiest of them counts."""

    NONE = 0
    """There is none."""
    QUIET = 1
    """None of them runs, as far as anybody knows."""
    CRASHING = 2
    """The containers of one have exited; the kubelet is to start them again."""
    STARTING = 3
    """One is starting."""
    RUNNING = 4
    """One runs."""


@frozen
class Stage:
    """A state, with its grace period; it survives a restart.

    Attributes:
        state: The state.
        since: When the grace period began, in seconds since 1970; 0 without one.
        until: When it ends; 0 without one.
    """

    state: State = State.NONE
    since: float = 0.0
    until: float = 0.0

    @property
    def in_grace(self) -> bool:
        """Whether a grace period is running, or has ended and nobody could act on it."""
        return self.state in {State.INACTIVE_GRACE, State.ACTIVE_GRACE}


@frozen
class Observation:
    """What was observed of one pod in one tick.

    Attributes:
        api: What the API server says (A).
        running: What the container runtime says (R); a "no" that the tick before said, too.
        listed: Whether the kubelet lists it (L); None for unknown.
        confirmed: That it is gone was confirmed by asking for this very pod.
        obstacle: Why its copy cannot be started; empty if it can.
        kin: What the other pods of its controller do on this node.
        held: Its copy is the last good one: the API server has a successor here, and no copy of
            that is saved yet.
        why_api: Why `api` is what it is.
        why_running: Why `running` is what it is.
    """

    api: Api
    running: Running
    listed: bool | None = None
    confirmed: bool = field(default=False, kw_only=True)
    obstacle: str = field(default="", kw_only=True)
    kin: Kin = field(default=Kin.NONE, kw_only=True)
    held: bool = field(default=False, kw_only=True)
    why_api: str = field(default="", kw_only=True)
    why_running: str = field(default="", kw_only=True)

    @property
    def is_seen(self) -> bool:
        """Whether the kubelet or the runtime knows the pod."""
        return bool(self.listed) or self.running in {Running.YES, Running.STARTING}


@frozen
class Step:
    """What became of a pod in one tick.

    Attributes:
        stage: Its new stage.
        actions: What to do, in this order.
        reason: Why.
    """

    stage: Stage
    actions: tuple[Action, ...]
    reason: str


def step(
    stage: Stage, seen: Observation, now: float, *, grace: float, is_self: bool = False
) -> Step:
    """Return the next stage of a pod, and what to do.

    Args:
        stage: The stage after the last tick.
        seen: What was observed in this tick.
        now: The time, in seconds since 1970.
        grace: How long a checkpoint outlives its parent, in seconds; 0 for not at all.
        is_self: The pod is the checkpointer itself.

    Example:
        >>> down = Observation(Api.UNKNOWN, Running.NO, why_api="timed out")
        >>> done = step(Stage(State.INACTIVE), down, 100.0, grace=60.0)
        >>> done.stage.state, done.actions
        (<State.ACTIVE: 'active'>, (<Action.START: 'start'>,))
        >>> done.reason
        'the API server: unknown (timed out); the runtime: no'
    """
    stage = _with_clock_set_back(stage, now)
    after = _own(stage, seen, now, grace) if is_self else _next(stage, seen, now, grace)
    reason = _reason(seen)
    if seen.obstacle and _starts(stage, after):
        after = stage
        reason += f"; its copy cannot be started: {seen.obstacle}"
    actions = _actions(stage, after, is_self=is_self)
    if _waits_for_confirmation(after, seen, now):
        actions = (*actions, Action.CONFIRM)
        reason += "; it goes when the API server, asked for this very pod, says the same"
    return Step(after, actions, reason)


def _starts(stage: Stage, after: Stage) -> bool:
    return after.state.action is Action.START and stage.state.action is not Action.START


def _actions(stage: Stage, after: Stage, *, is_self: bool) -> tuple[Action, ...]:
    action = after.state.action
    again = is_self or action is Action.REMOVE  # every tick, as long as it lasts
    return () if action is None or (action is stage.state.action and not again) else (action,)


def _waits_for_confirmation(after: Stage, seen: Observation, now: float) -> bool:
    at_its_end = after.in_grace and after.until <= now
    return at_its_end and seen.api is Api.GONE and not (seen.held or seen.confirmed)


def _next(stage: Stage, seen: Observation, now: float, grace: float) -> Stage:
    """Return what the table says for a pod that is not the checkpointer."""
    if stage.state is State.REMOVE:
        return stage
    if stage.state is State.NONE:
        if not seen.is_seen:
            return stage
        stage = Stage(State.INACTIVE)
    elif stage.state is State.SELF:
        stage = Stage(State.ACTIVE)
    if seen.api is Api.GONE:
        return _gone(stage, seen, now, grace)
    running = seen.running
    if seen.api is Api.HERE:
        return _here(stage, running)
    if seen.kin is Kin.RUNNING:
        running = Running.YES  # one of the controller's pods is up: that is what the copy is for
    elif seen.kin is Kin.STARTING and running is Running.NO:
        running = Running.STARTING
    return _unknown(stage, running, now)


def _gone(stage: Stage, seen: Observation, now: float, grace: float) -> Stage:
    active = stage.state.action is Action.START
    if not stage.in_grace:
        stage = Stage(stage.state, now, now + grace)
    ended = stage.until <= now
    if ended and seen.confirmed and not seen.held:
        return Stage(State.REMOVE)
    # A successor that runs takes over at once. One that crashes may want what the copy holds (a
    # port), and no copy runs for a crash loop while the API server answers.
    if seen.kin is Kin.RUNNING or (ended and seen.kin is Kin.CRASHING):
        active = False
    return evolve(stage, state=State.ACTIVE_GRACE if active else State.INACTIVE_GRACE)


def _here(stage: Stage, running: Running) -> Stage:
    if running is Running.YES:
        return Stage(State.INACTIVE)
    if running is Running.NO or stage.state is State.ACTIVE_GRACE:
        return Stage(State.ACTIVE)
    if stage.state is State.INACTIVE_GRACE:
        return Stage(State.INACTIVE)
    return stage


def _unknown(stage: Stage, running: Running, now: float) -> Stage:
    if stage.state.action is Action.STOP:
        return Stage(State.ACTIVE) if running is Running.NO else stage
    if running is Running.YES:
        return Stage(State.INACTIVE)
    ended = stage.state is State.ACTIVE_GRACE and stage.until <= now
    return Stage(State.ACTIVE) if ended and running is Running.NO else stage


def _own(stage: Stage, seen: Observation, now: float, grace: float) -> Stage:
    """Return what the table says for the checkpointer itself, which runs beside its copy."""
    if stage.state in {State.NONE, State.INACTIVE, State.INACTIVE_GRACE}:
        stage = Stage(State.SELF)  # it was not itself before
    if stage.state is State.SELF and seen.api is not Api.GONE:
        return stage
    after = _next(stage, evolve(seen, kin=Kin.NONE), now, grace)
    return Stage(State.SELF) if after.state is State.INACTIVE else after


def _with_clock_set_back(stage: Stage, now: float) -> Stage:
    """Return the stage with its grace period begun anew if the clock was set back behind it."""
    if stage.in_grace and now < stage.since:
        return Stage(stage.state, now, now + stage.until - stage.since)
    return stage


def _reason(seen: Observation) -> str:
    api = f"the API server: {seen.api.value}" + (f" ({seen.why_api})" if seen.why_api else "")
    running = f"the runtime: {seen.running.value}" + (
        f" ({seen.why_running})" if seen.why_running else ""
    )
    return f"{api}; {running}"
