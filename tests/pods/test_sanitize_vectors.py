"""The recorded outputs of bootkube's pod checkpointer, and ours beside them.

What the original wrote and a kubelet of today runs, we write too, but for the differences that are
named here, each with its count. What a kubelet of today refuses is mended, or refused by us.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from checkpointkit.pods.acceptance import refusals
from checkpointkit.pods.assets import Asset
from checkpointkit.pods.model import CHECKPOINT_OF
from checkpointkit.pods.references import needed, references
from checkpointkit.pods.sanitize import Refused, Sanitized, sanitize
from tests.pods.recorded import NODE, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = recorded("sanitizer")["vectors"]
OUTPUTS = [each for each in VECTORS if "output" in each]
ACCEPTED = [each for each in OUTPUTS if each["kubelet_1_34_accepts_output"]]
MENDED = {
    "bound-service-account-token",
    "env-from-refs",
    "env-value-from-refs",
    "image-pull-secrets",
}
"""A kubelet refuses what the original wrote; it takes what we write."""
REFUSED = {
    "already-a-checkpoint-from-disk": "spec.serviceAccountName",
    "checkpoint-of-empty-value": "spec.serviceAccountName",
    "csi-and-ephemeral": "spec.volumes[0].csi",
    "persistent-volume-claim": "spec.volumes[0].persistentVolumeClaim",
    "quantity-forms": "spec.containers[0].resources.limits[hugepages-2Mi]",
    "volume-secret-refs": "spec.volumes[0].cephfs.secretRef",
}
"""A kubelet refuses what the original wrote, and we write nothing, because of this path."""


def sanitized(pod: dict[str, Any], *, keep_labels: bool = False) -> Sanitized | Refused:
    """Sanitize a pod whose secrets and config maps have all the keys that it asks for."""
    keys = {"any.key"}
    for reference in references(pod):
        keys |= {item.key for item in reference.items or ()} | {reference.key or "any.key"}
    fetched = {name: Asset(name, dict.fromkeys(keys, b"x")) for name in needed(pod)}
    return sanitize(pod, fetched, node=NODE, keep_labels=keep_labels)


def pruned(value: Any) -> Any:
    """Return a pod as the vectors have it: without nulls and what Go always writes."""
    if isinstance(value, list):
        return [pruned(item) for item in value]
    if not isinstance(value, dict):
        return value
    parts = {name: pruned(part) for name, part in value.items() if part is not None}
    return {name: part for name, part in parts.items() if (name, part) != ("resources", {})}


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield sign, path and value of what only one of two pods has, or has otherwise."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted({**theirs, **ours}):
            place = f"{path}.{name}".lstrip(".")
            if name not in ours:
                yield "-", place, theirs[name]
            elif name not in theirs:
                yield "+", place, ours[name]
            else:
                yield from differences(theirs[name], ours[name], place)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, pair in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(*pair, f"{path}[{number}]")
    elif theirs != ours:
        yield "~", path, ours


def kind_of(sign: str, path: str, value: Any, pod: dict[str, Any]) -> str:
    """Name a difference; a difference that is not meant gets its path for a name."""
    if (sign, path) == ("-", "metadata.labels"):
        return "no labels"
    if (sign, path) == ("-", "metadata.ownerReferences"):
        return "no owner"
    if sign == "+" and path.endswith(".readOnly") and value is True and is_asset_mount(path, pod):
        return "assets are mounted read-only"
    return f"{sign} {path}"


def is_asset_mount(path: str, pod: dict[str, Any]) -> bool:
    place: Any = pod
    for step in path.removesuffix(".readOnly").replace("]", "").replace("[", ".").split("."):
        place = place[int(step) if step.isdigit() else step]
    return any(
        volume["name"] == place["name"] and volume.keys() & {"secret", "configMap"}
        for volume in pod["spec"]["volumes"]
    )


def found_differences(*, keep_labels: bool) -> Counter[str]:
    found: Counter[str] = Counter()
    for vector in ACCEPTED:
        ours = sanitized(vector["input"], keep_labels=keep_labels)
        assert isinstance(ours, Sanitized), vector["name"]
        for difference in differences(vector["output_pruned"], pruned(ours.manifest)):
            found[kind_of(*difference, vector["input"])] += 1
    return found


def test_what_a_kubelet_runs_of_the_original_we_write_too_but_for_named_differences() -> None:
    assert len(ACCEPTED) == 18
    assert found_differences(keep_labels=False) == {
        "no labels": 6,
        "no owner": 18,
        "assets are mounted read-only": 4,
    }


def test_with_keep_labels_the_labels_are_those_of_the_original() -> None:
    assert found_differences(keep_labels=True) == {
        "no owner": 18,
        "assets are mounted read-only": 4,
    }


def test_what_a_kubelet_refuses_of_the_original_is_mended_or_refused() -> None:
    names = {each["name"] for each in OUTPUTS if each not in ACCEPTED}
    assert names == MENDED | REFUSED.keys()


@pytest.mark.parametrize("vector", OUTPUTS, ids=lambda each: each["name"])
def test_a_kubelet_takes_what_we_write(vector: dict[str, Any]) -> None:
    ours = sanitized(vector["input"])
    if vector["name"] in REFUSED:
        assert isinstance(ours, Refused)
        assert ours.refusals[0].path == REFUSED[vector["name"]]
    else:
        assert isinstance(ours, Sanitized)
        assert not refusals(ours.manifest, node=NODE)


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda each: each["name"])
def test_assets_lie_where_the_original_has_them(vector: dict[str, Any]) -> None:
    ours = sanitized(vector["input"])
    assert isinstance(ours, Sanitized)
    places = {volume["hostPath"]["path"] for volume in volumes_of(ours.manifest)}
    assert {*vector["secret_dirs"], *vector["configmap_dirs"]} <= places
    roots = tuple(f"{vector[root]}/" for root in ("secrets_root", "configmaps_root"))
    written = [each for each in places if each.startswith("/etc/kubernetes/checkpoint-")]
    assert all(place.startswith(roots) for place in written)
    assert len(written) == len(ours.assets)


def volumes_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in manifest["spec"].get("volumes", ()) if "hostPath" in each]


@pytest.mark.parametrize(
    "vector", [each for each in VECTORS if "error" in each], ids=lambda each: each["name"]
)
def test_what_the_original_cannot_decode_is_refused(vector: dict[str, Any]) -> None:
    assert isinstance(sanitize(vector["input"], {}, node=NODE), Refused)


@pytest.mark.parametrize(
    "vector",
    [each for each in OUTPUTS if each["source"] == "kubelet"],
    ids=lambda each: each["name"],
)
def test_an_accepted_output_of_the_original_is_adopted_as_it_is(vector: dict[str, Any]) -> None:
    adopted = sanitize(vector["output"], {}, node=NODE)
    if vector["kubelet_1_34_accepts_output"]:
        assert isinstance(adopted, Sanitized)
        assert pruned(adopted.manifest) == pruned(vector["output"])
        assert adopted.manifest["metadata"]["annotations"].keys() == {CHECKPOINT_OF}
    else:
        assert isinstance(adopted, Refused)
