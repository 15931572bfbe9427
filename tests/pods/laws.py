"""What has to hold after every tick, whatever happened: each law is a function of one moment."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from checkpointkit.pods.acceptance import refusals
from checkpointkit.pods.files.reading import MAX_BYTES
from checkpointkit.pods.machine import Action, State
from checkpointkit.pods.model import PodName
from tests.pods.lives import NODE, OWN, SECRET
from tests.pods.simulation import Law, Moment, Node, view
from tests.pods.world import Disk


def _state(moment: Moment, name: PodName) -> State:
    record = moment.records.get(name)
    return record.stage.state if record else State.NONE


# ------------------------------------------------------------------------------- active copies


def no_copy_stays_active_beside_a_parent_that_runs(moment: Moment) -> None:
    for name in moment.after.active.keys() - {OWN}:
        # What the API server says is gone is no parent here any more; its copy may outlive it.
        if moment.whole and moment.seen.runs(name):
            assert moment.seen.api_of(name) == "gone", name


def no_copy_starts_beside_a_parent_that_runs(moment: Moment) -> None:
    for name in moment.after.active.keys() - moment.before.active.keys() - {OWN}:
        assert not moment.seen.runs(name), name


def no_copy_starts_before_two_ticks_in_a_row_said_that_its_parent_does_not_run(
    moment: Moment,
) -> None:
    for name in moment.after.active.keys() - moment.before.active.keys() - {OWN}:
        if _state(moment, name).action is Action.START:
            continue  # it was decided before; the file was lost since, or a kill came between
        assert moment.seen.may_be_no(name, moment.now), name
        assert moment.seen_before is not None, name
        assert moment.seen_before.may_be_no(name, moment.now), name


def no_copy_stops_before_somebody_said_that_it_is_not_needed(moment: Moment) -> None:
    for name in moment.before.active.keys() - moment.after.active.keys() - {OWN}:
        assert name in moment.node.may_stop or _leaves(moment), name


def a_copy_that_is_to_run_is_in_place(moment: Moment) -> None:
    for name, record in moment.records_after.items():
        pod = moment.tick.find(name) if moment.tick and moment.whole else None
        if pod is None or pod.problems or (moment.seen.runs(name) and name != OWN):
            continue
        if record.stage.state.action is Action.START and name in moment.after.inactive:
            assert name in moment.after.active, name


def an_active_copy_is_saved_too(moment: Moment) -> None:
    """What is active alone would be lost at the first stop; it is saved again at once."""
    if moment.whole:
        assert moment.after.active.keys() <= moment.after.inactive.keys() | moment.after.damaged


def an_active_copy_is_what_is_saved(moment: Moment) -> None:
    if moment.whole:
        for name, data in moment.after.active.items():
            if name in moment.after.inactive:
                assert data == moment.after.inactive[name], name


def one_copy_of_a_controller_is_active(moment: Moment) -> None:
    """Whose controller is known: copies do not name it, and the records may be lost."""
    owners = {name: record.controller_uid for name, record in moment.records_after.items()}
    active = [owners[name] for name in moment.after.active if owners.get(name)]
    if moment.whole:
        assert len(active) == len(set(active)), active


def a_copy_that_starts_is_accepted_and_finds_its_files_all_of_one_version(moment: Moment) -> None:
    for name in moment.after.active.keys() - moment.before.active.keys():
        pod = json.loads(moment.after.active[name])
        assert refusals(pod, node=NODE) == (), name
        places = [Path(volume["hostPath"]["path"]) for volume in pod["spec"]["volumes"]]
        secret = [place for place in places if place.is_relative_to(moment.node.disk.roots.secrets)]
        assert all((place / "crt").exists() for place in secret), name
        if _state(moment, name).action is not Action.START:
            # One that is only put back was running with these files, whoever has damaged them.
            texts = {(place / key).read_text() for place in secret for key in ("crt", "key")}
            assert len(texts) == 1, name
            assert texts.pop().startswith(SECRET), name


# ------------------------------------------------------------------------------------- removals


def nothing_is_removed_while_the_api_server_says_nothing(moment: Moment) -> None:
    records = {name for name, record in moment.records.items() if record.copy is not None}
    left = {name for name, record in moment.records_after.items() if record.copy is not None}
    lost = moment.before.kept - moment.after.kept
    known = records | moment.before.damaged
    lost |= {name for name in moment.before.assets - moment.after.assets if name in known}
    lost |= records - left - (moment.after.kept & moment.before.kept)
    for name in lost:
        if _state(moment, name) is not State.REMOVE:
            assert _may_go(moment, name), name


def _may_go(moment: Moment, name: PodName) -> bool:
    if moment.seen.api_of(name) == "gone":
        return True
    # When the checkpointer itself leaves, it takes all others along, but for those that nobody
    # can say anything of.
    return _leaves(moment) and moment.seen.api_of(name) == "here"


def _leaves(moment: Moment) -> bool:
    return moment.seen.api_of(OWN) == "gone" or _state(moment, OWN) is State.REMOVE


def the_checkpointer_goes_last(moment: Moment) -> None:
    if OWN in moment.before.kept and OWN not in moment.after.kept:
        assert not moment.after.kept
    if OWN in moment.before.active and OWN not in moment.after.active:
        assert not moment.after.kept - {OWN}


def what_is_not_kept_any_more_takes_its_assets_along(moment: Moment) -> None:
    if moment.whole and moment.tick and not moment.tick.problems:
        known = {name for name, record in moment.records_after.items() if not record.removed}
        assert moment.after.assets <= moment.after.kept | known


# ---------------------------------------------------------------------------------------- saves


def a_copy_is_saved_of_a_ready_parent_alone(moment: Moment) -> None:
    for name, data in moment.after.inactive.items():
        if data not in moment.node.copies[name]:
            assert moment.seen.api_of(name) == "here", name
            assert moment.seen.runs(name), name
            assert name in moment.seen.ready, name


def what_is_saved_has_its_files(moment: Moment) -> None:
    for name, data in moment.after.inactive.items():
        if data not in moment.node.copies[name]:
            for volume in json.loads(data)["spec"]["volumes"]:
                assert (Path(volume["hostPath"]["path"]) / "..data").exists(), name


# -------------------------------------------------------------------------------------- secrets


def no_secret_can_be_reached_by_others(moment: Moment) -> None:
    assert list(_reachable(moment.node.disk.root)) == []


def _reachable(directory: Path) -> list[Path]:
    """Return the files with a secret in them that anybody can open by their path."""
    found = []
    for entry in os.scandir(directory):
        status = entry.stat(follow_symlinks=False)
        mode = status.st_mode
        if stat.S_ISDIR(mode) and mode & stat.S_IXOTH:
            found.extend(_reachable(Path(entry.path)))
        elif stat.S_ISREG(mode) and mode & stat.S_IROTH and status.st_size < MAX_BYTES:
            data = Path(entry.path).read_bytes()
            if SECRET.encode() in data:
                found.append(Path(entry.path))
    return found


# --------------------------------------------------------------------------------- other people


def what_is_not_ours_is_left_alone(moment: Moment) -> None:
    for path, data in moment.node.strange.items():
        assert path.read_bytes() == data, path


LAWS: Final[tuple[Law, ...]] = (
    no_copy_stays_active_beside_a_parent_that_runs,
    no_copy_starts_beside_a_parent_that_runs,
    no_copy_starts_before_two_ticks_in_a_row_said_that_its_parent_does_not_run,
    no_copy_stops_before_somebody_said_that_it_is_not_needed,
    a_copy_that_is_to_run_is_in_place,
    an_active_copy_is_saved_too,
    an_active_copy_is_what_is_saved,
    one_copy_of_a_controller_is_active,
    a_copy_that_starts_is_accepted_and_finds_its_files_all_of_one_version,
    nothing_is_removed_while_the_api_server_says_nothing,
    the_checkpointer_goes_last,
    what_is_not_kept_any_more_takes_its_assets_along,
    a_copy_is_saved_of_a_ready_parent_alone,
    what_is_saved_has_its_files,
    no_secret_can_be_reached_by_others,
    what_is_not_ours_is_left_alone,
)


def temporaries(disk: Disk) -> list[Path]:
    """Return what a process has left on its way to something else."""
    found = list(disk.state.glob("*/.tmp/*"))
    for path in (disk.root / "etc/kubernetes").rglob(".*"):
        current = path.parent / "..data"
        if path.name != "..data" and not (current.is_symlink() and current.samefile(path)):
            found.append(path)
    return found


def check(moment: Moment) -> None:
    """Check all laws."""
    for law in LAWS:
        law(moment)


def unclean(node: Node, kept: dict[PodName, State]) -> dict[str, Any]:
    """Return what is not as it has to be in the end, when those pods alone are here and run."""
    assert node.state is not None
    records = node.state.records()
    images = {name: f"img:{being.number}" for name, being in node.beings.items()}
    found: dict[str, Any] = {}

    def expect(what: str, ours: object, wanted: object) -> None:
        if ours != wanted:
            found[what] = (ours, wanted)

    now = view(node.disk)
    expect("states", {name: it.stage.state for name, it in records.items()}, kept)
    expect("inactive", set(now.inactive), set(kept))
    expect("active", set(now.active), {OWN} & kept.keys())
    expect("assets", set(now.assets), set(kept))
    expect("temporaries", [path for path in temporaries(node.disk) if path not in node.strange], [])
    for name, data in now.inactive.items():
        pod = json.loads(data)
        expect(f"image of {name}", pod["spec"]["containers"][0]["image"], images[name])
        for volume in pod["spec"]["volumes"]:
            place = Path(volume["hostPath"]["path"])
            for key in ("crt", "key", "policy"):
                path = place / key
                wanted = str(node.version) if key == "policy" else f"{SECRET}{node.version}"
                if path.exists() or (place.name == "tls" and key != "policy"):
                    expect(f"{path}", path.exists() and path.read_text(), wanted)
    return found
