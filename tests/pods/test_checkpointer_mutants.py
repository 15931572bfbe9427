"""Checkpointers that are broken on purpose: the laws catch each of them, by the law that is meant.

Each has a life in which it does harm; the right checkpointer lives it without breaking a law.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from attrs import evolve, frozen

from checkpointkit.pods import model, observation, plan, sightings
from checkpointkit.pods.activation import Activation
from checkpointkit.pods.files import assetsets, directory
from checkpointkit.pods.files.assetsets import AssetFiles
from checkpointkit.pods.files.manifests import Manifests
from checkpointkit.pods.levelling import Levelling
from checkpointkit.pods.machine import Action
from checkpointkit.pods.observation import Api, ApiSight
from checkpointkit.pods.saving import Saver
from checkpointkit.pods.state import PodState
from tests.pods import laws
from tests.pods.lives import LONE, OWN
from tests.pods.simulation import Law, Moment, Step
from tests.pods.test_checkpointer_laws import HEALTHY, OUTAGE, a_node

Patch = Callable[[pytest.MonkeyPatch], None]


def step(*events: tuple[str, ...], seconds: float = 5.0) -> Step:
    return Step(events, seconds)


# ------------------------------------------------------------------------------ what may go wrong


def manifest_before_its_assets(patch: pytest.MonkeyPatch) -> None:
    real = Saver._write

    def write(self: Saver, parent: Any, made: Any, record: Any, *rest: Any) -> Any:
        self._manifests.write_inactive(record.name, made.data)
        return real(self, parent, made, record, *rest)

    patch.setattr(Saver, "_write", write)


def one_no_is_enough(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan, "_TICKS_OF_NO", 1)


def no_answer_means_gone(patch: pytest.MonkeyPatch) -> None:
    def api_sight(*arguments: Any, **options: Any) -> ApiSight:
        said = observation.api_sight(*arguments, **options)
        unknown = said.value is Api.UNKNOWN
        return ApiSight(Api.GONE, said.reason, confirmed=True) if unknown else said

    patch.setattr(sightings, "api_sight", api_sight)


def the_record_comes_after_the_deed(patch: pytest.MonkeyPatch) -> None:
    save, bring = PodState.save, Levelling.bring

    def late(self: Levelling, *arguments: Any) -> None:
        records: list[Any] = []

        def note(state: PodState, record: Any) -> bool:
            records.append(record)
            return bool(state.records().get(record.name) != record)

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(PodState, "save", note)
            bring(self, *arguments)
        for record in records:
            save(self._state, record)

    patch.setattr(Levelling, "bring", late)


def what_was_decided_is_done_once(patch: pytest.MonkeyPatch) -> None:
    real = Levelling._bring

    def bring(self: Levelling, ticking: Any, step: Any, *rest: Any) -> bool:
        return bool(step.actions) and real(self, ticking, step, *rest)

    patch.setattr(Levelling, "_bring", bring)


def removal_forgets_the_active_manifest(patch: pytest.MonkeyPatch) -> None:
    def remove(self: Levelling, step: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Activation, "stop", lambda *_, **__: False)
            real(self, step)

    real = Levelling._remove
    patch.setattr(Levelling, "_remove", remove)


def a_damaged_manifest_is_none(patch: pytest.MonkeyPatch) -> None:
    real = Manifests.scan
    patch.setattr(Manifests, "scan", lambda self: evolve(real(self), is_complete=True))


def what_is_lost_stays_lost(patch: pytest.MonkeyPatch) -> None:
    real = Levelling._start

    def start(self: Levelling, ticking: Any, step: Any, *rest: Any) -> bool:
        is_new = step.before.state.action is not Action.START
        has_file = bool(self._copies.files(step.name).active)
        return (is_new or has_file) and real(self, ticking, step, *rest)

    patch.setattr(Levelling, "_start", start)


def what_is_lost_is_restored_beside_its_parent(patch: pytest.MonkeyPatch) -> None:
    real = Levelling._start

    def start(self: Levelling, ticking: Any, step: Any, seen: Any, pod: Any) -> bool:
        nobody = evolve(seen, running=evolve(seen.running, value=None))
        return real(self, ticking, step, nobody, pod)

    patch.setattr(Levelling, "_start", start)


def an_active_copy_keeps_the_old_spec(patch: pytest.MonkeyPatch) -> None:
    real = Activation.start
    patch.setattr(
        Activation,
        "start",
        lambda self, name, files, saved: not files.active and real(self, name, files, saved),
    )


def every_parent_is_ready(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model, "_is_ready", lambda status: True)


def brothers_run_side_by_side(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan, "overruled", lambda *_: None)
    patch.setattr(plan, "families", lambda members: {})


def directories_are_for_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assetsets, "PRIVATE", 0o755)
    patch.setattr(directory, "PRIVATE", 0o755)


def manifests_are_for_everybody(patch: pytest.MonkeyPatch) -> None:
    real = directory.Directory.write

    def write(self: directory.Directory, name: str, *arguments: Any) -> None:
        real(self, name, *arguments)
        if len(arguments) == 1:  # without a mode: no file of a set
            self.system.chmod(name, 0o644, dir_fd=self._fd)

    patch.setattr(directory.Directory, "write", write)


def files_stay_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AssetFiles, "remove", lambda *_: None)
    patch.setattr(AssetFiles, "collect", lambda *_: ())


def itself_goes_first(patch: pytest.MonkeyPatch) -> None:
    real = Levelling.bring

    def bring(self: Levelling, ticking: Any, made: plan.Plan, seen: Any) -> None:
        steps = tuple(evolve(step, only_after=()) for step in reversed(made.steps))
        real(self, ticking, evolve(made, steps=steps), seen)

    patch.setattr(Levelling, "bring", bring)


# ----------------------------------------------------------------------------- where it does harm


def killed(*history: Step) -> tuple[tuple[Step, ...], ...]:
    """Return that history, and the same with a kill in the step before the last, anywhere in it."""
    *begin, last, end = history
    return (history, *((*begin, evolve(last, killed_before=n), end) for n in range(60)))


@frozen
class Mutant:
    """A way to be broken, lives in one of which it does harm, and the law that says so."""

    patch: Patch
    law: Law
    lives: tuple[tuple[Step, ...], ...]


LONE_IS_GONE: Final = (step(("life", LONE.name, "gone")), step(seconds=61.0), step(seconds=61.0))

MUTANTS: Final = (
    Mutant(
        manifest_before_its_assets,
        laws.what_is_saved_has_its_files,
        killed(step(("everything", "runs")), Step()),
    ),
    Mutant(
        one_no_is_enough,
        laws.no_copy_starts_before_two_ticks_in_a_row_said_that_its_parent_does_not_run,
        ((*HEALTHY, step(("outage",))),),
    ),
    Mutant(
        no_answer_means_gone,
        laws.nothing_is_removed_while_the_api_server_says_nothing,
        ((*HEALTHY, step(("api", "html")), step(seconds=61.0), step(seconds=61.0)),),
    ),
    Mutant(
        the_record_comes_after_the_deed,
        laws.no_copy_stops_before_somebody_said_that_it_is_not_needed,
        killed(*HEALTHY, step(("outage",)), Step(), Step()),
    ),
    Mutant(
        what_was_decided_is_done_once,
        laws.no_copy_stays_active_beside_a_parent_that_runs,
        killed(*OUTAGE, step(("return",)), Step()),
    ),
    Mutant(
        removal_forgets_the_active_manifest,
        laws.an_active_copy_is_saved_too,
        ((*OUTAGE, step(("api", "ok"), ("life", LONE.name, "gone")), *LONE_IS_GONE),),
    ),
    Mutant(
        a_damaged_manifest_is_none,
        laws.nothing_is_removed_while_the_api_server_says_nothing,
        (
            (
                *HEALTHY,
                step(
                    ("records", "deleted"),
                    ("hand", "damage inactive", LONE.name),
                    ("api", "unreachable"),
                    ("kubelet", "silent"),
                ),
            ),
        ),
    ),
    Mutant(
        what_is_lost_stays_lost,
        laws.a_copy_that_is_to_run_is_in_place,
        ((*OUTAGE, step(("hand", "delete active", LONE.name))),),
    ),
    Mutant(
        what_is_lost_is_restored_beside_its_parent,
        laws.no_copy_starts_beside_a_parent_that_runs,
        (
            (
                *OUTAGE,
                step(("api", "ok"), ("life", LONE.name, "ghost")),
                step(("hand", "delete active", LONE.name)),
            ),
        ),
    ),
    Mutant(
        an_active_copy_keeps_the_old_spec,
        laws.an_active_copy_is_what_is_saved,
        ((*HEALTHY, step(("recreated", OWN.name, "runs"))),),
    ),
    Mutant(
        every_parent_is_ready,
        laws.a_copy_is_saved_of_a_ready_parent_alone,
        ((*HEALTHY, step(("recreated", LONE.name, "unready"))),),
    ),
    Mutant(brothers_run_side_by_side, laws.one_copy_of_a_controller_is_active, (OUTAGE,)),
    Mutant(directories_are_for_everybody, laws.no_secret_can_be_reached_by_others, (HEALTHY,)),
    Mutant(manifests_are_for_everybody, laws.no_secret_can_be_reached_by_others, (OUTAGE,)),
    Mutant(
        files_stay_behind,
        laws.what_is_not_kept_any_more_takes_its_assets_along,
        ((*HEALTHY, *LONE_IS_GONE),),
    ),
    Mutant(
        itself_goes_first,
        laws.the_checkpointer_goes_last,
        killed(*HEALTHY, step(("everything", "gone")), step(seconds=61.0), Step()),
    ),
)


def broken_laws(life: tuple[Step, ...]) -> set[Law]:
    """Return the laws that are broken in a life."""
    with a_node() as node:
        moments = (node.tick(each) for each in life)
        return {law for moment in moments for law in laws.LAWS if is_broken(law, moment)}


def is_broken(law: Law, moment: Moment) -> bool:
    try:
        law(moment)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.patch.__name__)
@pytest.mark.usefixtures("unmeasured")
def test_each_broken_checkpointer_is_caught_and_the_right_one_breaks_no_law(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.patch(monkeypatch)
    harmful = next((life for life in mutant.lives if mutant.law in broken_laws(life)), None)
    assert harmful is not None, "it lives on"
    monkeypatch.undo()
    assert broken_laws(harmful) == set()
