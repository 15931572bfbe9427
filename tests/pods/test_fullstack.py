"""The whole checkpointer beside the original: the same worlds, tick by tick, and the same tree.

What differs has a name, and a number: how often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.pods.fullstack import ACTIVE, INACTIVE, Tick, name_of, replayed
from tests.pods.recorded import recorded

Pairs = dict[str, tuple[Any, Any]]
Rule = Callable[[Tick, str, Pairs], bool]
LACKS, HAS = (True, False), (False, True)
"""The original has it and we do not; the other way round."""


def paths(found: Pairs) -> set[tuple[Any, Any]]:
    return {pair for what, pair in found.items() if what.startswith("/")}


def runs(tick: Tick, pod: str) -> bool:
    return pod in tick.fields["CRIContain"]


def objects(tick: Tick, pod: str) -> set[str]:
    """Return what is difficult about a pod that the API server has."""
    specs = [each["spec"] for each in tick.fields["APIPods"] if str(name_of(each)) == pod]
    if not specs:
        return set()
    (spec,) = specs
    kinds = set()
    for volume in spec.get("volumes", ()):
        name = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
        path = f"kube-system/{name}"
        known = path in tick.fields["Secrets"] or path in tick.fields["ConfigMaps"]
        kinds |= {"projected"} & volume.keys()
        kinds |= {"missing"} if name and not known else set()
        kinds |= {"optional"} if volume.get("secret", {}).get("optional") else set()
        kinds |= {"binary"} if path in tick.fields["BinaryData"] else set()
        if f"secret:{path}" in tick.fields["ObjModes"]:
            kinds.add(tick.fields["ObjModes"][f"secret:{path}"])
    return kinds | ({"user"} if "runAsUser" in spec.get("securityContext", {}) else set())


def waits_for_a_second_no(tick: Tick, pod: str, found: Pairs) -> bool:
    """One "no" of the runtime starts nothing; it may be a moment between two containers."""
    if found == {"start": HAS}:
        assert tick.before is not None
        return waits_for_a_second_no(tick.before, pod, tick.before.differences[pod])
    reasons = [each.reason for each in tick.ours["tick"].pods if str(each.name) == pod]
    return (
        found.get("state") == ("active", "inactive")
        and found.keys() - {"start", "state"} == {active_path(pod)}
        and reasons[0].endswith("for the first time)")
        and not runs(tick, pod)
    )


def an_error_of_the_runtime_says_nothing(tick: Tick, pod: str, found: Pairs) -> bool:
    """D4: the original starts a copy beside its parent that runs; and stops it again."""
    if found == {"stop": LACKS}:
        assert tick.before is not None
        return bool(tick.before.fields["CRIMode"] != "ok")
    return tick.fields["CRIMode"] != "ok" and found == {
        "state": ("active", "inactive"),
        "start": LACKS,
        active_path(pod): LACKS,
    }


def it_goes_back_to_self(tick: Tick, pod: str, found: Pairs) -> bool:
    """D3: the original becomes inactive, and stops all others in each tick, whatever they need."""
    if tick.theirs["states"].get(tick.own) != "inactive":
        return False
    assert tick.ours["states"][tick.own] == "self"
    if pod != tick.own:
        return found.keys() <= {"state", "stop"} and tick.ours["states"][pod] == "inactive"
    return found == {
        "state": ("inactive", "self"),
        "start": HAS,
        "stop": LACKS,
        active_path(pod): HAS,
    }


def it_has_left(tick: Tick, pod: str, found: Pairs) -> bool:
    """When it has removed all and itself, nothing is saved; the original begins anew."""
    return tick.has_left and tick.ours["states"] == {} and paths(found) <= {LACKS}


def saves_what_the_api_server_has_and_what_runs(tick: Tick, pod: str, found: Pairs) -> bool:
    """The original saves what any list has: without its secrets, or what never was Ready."""
    unknown = tick.fields["APIMode"] != "ok"
    lists = (*tick.fields["APIPods"], *tick.fields["KubeletPods"])
    if pod not in {str(name_of(each)) for each in lists}:
        return False
    return (
        (unknown or not runs(tick, pod))
        and pod not in tick.ours["states"]
        and (paths(found) == {LACKS})
    )


def saves_nothing_that_is_not_complete(tick: Tick, pod: str, found: Pairs) -> bool:
    """A manifest without its assets would be a copy that cannot start."""
    difficult = objects(tick, pod) & {"missing", "forbidden", "projected"}
    told = [each.problems for each in tick.ours["tick"].pods if str(each.name) == pod]
    return bool(difficult) and bool(told[0]) and set(found.values()) == {LACKS}


def asks_again_before_the_minute_is_over(tick: Tick, pod: str, found: Pairs) -> bool:
    return "ok" in objects(tick, pod) and set(found.values()) == {HAS} and tick.theirs["now"] < 60


def asks_anew_a_little_before_the_minute_is_over(tick: Tick, pod: str, found: Pairs) -> bool:
    """Each object at a time of its own, so that not all of them are asked for in one tick."""
    secret = "kube-system/kube-apiserver"
    place = f"/etc/kubernetes/checkpoint-secrets/{pod}/kube-apiserver/"
    ours = {
        path.removeprefix(place): entry["content"]
        for path, entry in tick.ours["tree"].items()
        if path.startswith(place) and "/.." not in path
    }
    return (
        45 <= tick.ours["now"] < 60
        and all(what.startswith(place) for what in found)
        and (HAS in found.values() or f"{place}apiserver.crt: content" in found)
        and ours == tick.fields["Secrets"][secret]
    )


def optional_is_optional(tick: Tick, pod: str, found: Pairs) -> bool:
    """What is missing and optional is empty, and the rest is there."""
    return objects(tick, pod) >= {"missing", "optional"} and set(found.values()) == {HAS}


def binary_data_is_data(tick: Tick, pod: str, found: Pairs) -> bool:
    return "binary" in objects(tick, pod) and (
        found
        == {
            "/etc/kubernetes/checkpoint-configmaps/kube-system/kube-scheduler-1/sched-cfg/blob": HAS
        }
    )


def files_belong_to_root(tick: Tick, pod: str, found: Pairs) -> bool:
    """The original gives files to the containers' user, and if there are two, it writes none."""
    return "user" in objects(tick, pod) and set(found.values()) == {HAS}


def a_key_that_is_gone_is_gone(tick: Tick, pod: str, found: Pairs) -> bool:
    known = {key for data in tick.fields["Secrets"].values() for key in data}
    places = [path.rpartition("/") for path in found]
    return (
        set(found.values()) == {LACKS}
        and all("checkpoint-secrets" in directory for directory, _, _ in places)
        and all(directory in tick.ours["tree"] for directory, _, _ in places)
        and not known & {key for _, _, key in places}
    )


def what_was_deleted_is_put_back_at_once(tick: Tick, pod: str, found: Pairs) -> bool:
    deleted = tick.vector["steps"][tick.number]["delete"]
    below = tuple(deleted)
    return (
        bool(deleted)
        and set(found.values()) == {HAS}
        and all(path.startswith(below) for path in found)
    )


def yaml_is_not_ours(tick: Tick, pod: str, found: Pairs) -> bool:
    """All that either checkpointer has ever written is JSON."""
    return pod == "kube-system/yam" and found == {
        "state": ("inactive-grace@60", None),
        f"{INACTIVE}/kube-system-yam.json": LACKS,
    }


def dotfiles_of_others_stay(tick: Tick, pod: str, found: Pairs) -> bool:
    return found.keys() == {f"{ACTIVE}/.tmp123", f"{INACTIVE}/.9999"} and (
        set(found.values()) == {HAS}
    )


def what_no_copy_mounts_is_collected(tick: Tick, pod: str, found: Pairs) -> bool:
    """The original keeps files of pods that it does not know for ever, with their secrets."""
    strange = {path for step in tick.vector["steps"] for path in step["files"]}
    return set(found.values()) == {LACKS} and all(
        any(file.startswith(path) for file in strange) for path in found
    )


def empty_directories_go(tick: Tick, pod: str, found: Pairs) -> bool:
    """With the last pod of a namespace goes the directory of the namespace."""
    leaves = tick.own in tick.theirs["remove"] and not tick.has_left
    return leaves and found == {
        "/etc/kubernetes/checkpoint-secrets/kube-system": LACKS,
        "/etc/kubernetes/checkpoint-configmaps/kube-system": LACKS,
    }


def active_path(pod: str) -> str:
    return f"{ACTIVE}/{pod.replace('/', '-')}.json"


RULES: Final[dict[Rule, int]] = {
    waits_for_a_second_no: 7,
    an_error_of_the_runtime_says_nothing: 3,
    it_goes_back_to_self: 10,
    it_has_left: 8,
    saves_what_the_api_server_has_and_what_runs: 5,
    saves_nothing_that_is_not_complete: 4,
    asks_again_before_the_minute_is_over: 2,
    asks_anew_a_little_before_the_minute_is_over: 1,
    optional_is_optional: 2,
    binary_data_is_data: 1,
    files_belong_to_root: 1,
    a_key_that_is_gone_is_gone: 2,
    what_was_deleted_is_put_back_at_once: 3,
    yaml_is_not_ours: 2,
    dotfiles_of_others_stay: 2,
    what_no_copy_mounts_is_collected: 3,
    empty_directories_go: 2,
}
"""All that differs: a rule, and for how many pods and ticks (a pod in a tick differs by one)."""

EVERYWHERE: Final = {
    "name of a manifest": 271,
    "mode of a manifest: 0644 0600": 266,
    "layout: ..data and what it names": 330,
    "mode of a file of a volume: 0600 0644": 522,
    "mode of a dir of a volume: 0700 0755": 318,
    "mode of a dir of a volume: 0755 0700": 6,
}
"""Names and modes that are others wherever they are: for how many paths."""


def test_each_tick_is_the_originals_but_for_differences_that_have_a_name(quick: Path) -> None:
    found: Counter[str] = Counter()
    everywhere: Counter[str] = Counter()
    vectors = recorded("fullstack")["vectors"]
    for vector in vectors:
        for tick in replayed(vector, quick / vector["name"]):
            for pod, differs in tick.differences.items():
                named = [rule.__name__ for rule in RULES if rule(tick, pod, differs)]
                assert len(named) == 1, (vector["name"], tick.number, pod, differs, named)
                found[named[0]] += 1
            everywhere += tick.everywhere
    assert len(vectors) == 32
    assert found == {rule.__name__: count for rule, count in RULES.items()}
    assert everywhere == EVERYWHERE
