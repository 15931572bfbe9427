"""The laws of sanitizing, over pods that Hypothesis makes up.

1. What is written is what a kubelet takes, and it needs nothing of the API server.
2. Sanitizing what is written changes nothing.
3. Unknown fields survive.
4. A container gets the environment that it had.
5. Files lie below their roots, each mounted directory is written, and no two are the same.
6. Nothing but manifest and files tells a secret, and the parent is not touched.
7. Garbage in any place gives a manifest or a reason.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointkit.pods.acceptance import refusals
from checkpointkit.pods.assets import Asset, Roots
from checkpointkit.pods.references import ObjectName, needed
from checkpointkit.pods.sanitize import Refused, Sanitized, manifest_bytes, sanitize
from tests.pods.recorded import NODE, recorded
from tests.pods.test_acceptance import changed
from tests.pods.test_references import ACCOUNT

KEYS = ("a", "b", "ca.crt")
OBJECTS = ("one", "two", "three")
SECRET = "s3cret"
UNKNOWN = "fromTheFuture"

FEW = settings(max_examples=40)
names = st.sampled_from(OBJECTS)
keys = st.sampled_from(KEYS)
values = st.text("$()ab{}\n", max_size=6).map(lambda text: text + SECRET)
variables = st.sampled_from(["A", "B", "P_a", "P_b", "a", "b"])
modes = st.none() | st.sampled_from([0o400, 0o644, 0o600])
items = st.none() | st.lists(
    st.builds(
        lambda key, folder, mode: (
            {"key": key, "path": f"{folder}{key}"} | ({} if mode is None else {"mode": mode})
        ),
        keys,
        st.sampled_from(["", "sub/", "deep/er/"]),
        modes,
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item["path"],
)

pytestmark = pytest.mark.usefixtures("unmeasured")


def without_nones(**fields: Any) -> dict[str, Any]:
    return {name: field for name, field in fields.items() if field is not None}


sources = st.one_of(
    st.builds(
        lambda *parts: {
            "secret": without_nones(
                secretName=parts[0], items=parts[1], defaultMode=parts[2], optional=parts[3]
            )
        },
        names,
        items,
        modes,
        st.booleans(),
    ),
    st.builds(
        lambda name, some, mode: {
            "configMap": without_nones(name=name, items=some, defaultMode=mode)
        },
        names,
        items,
        modes,
    ),
    st.builds(
        lambda secret, config, some: {
            "projected": {
                "sources": [
                    {"secret": without_nones(name=secret, items=some)},
                    {"configMap": {"name": config}},
                ]
            }
        },
        names,
        names,
        items,
    ),
    st.just({"emptyDir": {}}),
    st.just({}),
    st.just({"hostPath": {"path": "/etc/ssl"}}),
)
own_variables = st.builds(
    lambda name, part: {"name": name, **part},
    variables,
    st.one_of(
        st.builds(lambda text: {"value": text}, st.text("$()AB_ab", max_size=8)),
        st.builds(
            lambda name, key: {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}},
            names,
            keys,
        ),
        st.builds(
            lambda name, key: {
                "valueFrom": {"configMapKeyRef": {"name": name, "key": key, "optional": True}}
            },
            names,
            keys | st.just("none"),
        ),
        st.just({"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}),
    ),
)
all_variables = st.builds(
    lambda field, name, prefix: {field: {"name": name}} | ({"prefix": prefix} if prefix else {}),
    st.sampled_from(["secretRef", "configMapRef"]),
    names,
    st.sampled_from(["", "P_"]),
)


@st.composite
def parents(draw: st.DrawFn) -> dict[str, Any]:
    """Make a parent with what a pod may need of secrets and config maps, and unknown fields."""
    volumes = [
        {"name": f"v{number}", **source}
        for number, source in enumerate(draw(st.lists(sources, max_size=3)))
    ]
    container: dict[str, Any] = {
        "name": "c",
        "image": "busybox:1",
        "env": draw(st.lists(own_variables, max_size=3)),
        "envFrom": draw(st.lists(all_variables, max_size=2)),
        "volumeMounts": [
            {"name": each["name"], "mountPath": f"/{each['name']}", UNKNOWN: 1} for each in volumes
        ],
        "ports": [{"name": "http", "containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": "http"}},
    }
    spec: dict[str, Any] = {
        "containers": [container],
        "volumes": [ACCOUNT, *volumes] if draw(st.booleans()) else volumes,
        "hostNetwork": draw(st.booleans()),
        "serviceAccountName": draw(st.sampled_from(["", "web"])),
    }
    if draw(st.booleans()):
        spec["initContainers"] = [{**deepcopy(container), "name": "i"}]
        del spec["initContainers"][0]["livenessProbe"]
    if draw(st.booleans()):
        spec["securityContext"] = {"fsGroup": 2000}
    pod: dict[str, Any] = {
        "metadata": {"name": "web", "namespace": "prod", "labels": {"app": "web"}, "uid": "7f3e"},
        "spec": spec,
        "status": {"phase": "Running"},
    }
    for part in (pod, pod["metadata"], spec, container, *volumes):
        part[UNKNOWN] = {"deep": [None, draw(st.integers())]}
    return pod


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], dict[ObjectName, Asset | None]]:
    pod = draw(parents())
    fetched: dict[ObjectName, Asset | None] = {}
    for name in needed(pod):
        data = {key: draw(values).encode() for key in KEYS}
        fetched[name] = Asset(name, data, uid="u")
    return pod, fetched


def written(case: tuple[dict[str, Any], dict[ObjectName, Asset | None]], **how: Any) -> Sanitized:
    result = sanitize(*case, node=NODE, **how)
    assert isinstance(result, Sanitized), result
    return result


@FEW
@given(cases(), st.booleans())
def test_what_is_written_is_taken_by_a_kubelet_and_needs_nothing(
    case: Any, keep_labels: bool
) -> None:
    manifest = written(case, keep_labels=keep_labels).manifest
    assert not refusals(manifest, node=NODE)
    assert needed(manifest) == ()
    assert "7f3e" not in manifest_bytes(manifest).decode()


@FEW
@given(cases(), st.booleans())
def test_sanitizing_again_changes_nothing(case: Any, keep_labels: bool) -> None:
    text = manifest_bytes(written(case).manifest)
    again = sanitize(json.loads(text), {}, node=NODE, keep_labels=keep_labels)
    assert isinstance(again, Sanitized)
    assert manifest_bytes(again.manifest) == text
    assert again.assets == ()


@FEW
@given(cases())
def test_unknown_fields_survive(case: Any) -> None:
    pod, _ = case
    manifest = written(case).manifest
    for part in ("metadata", "spec"):
        assert manifest[part][UNKNOWN] == pod[part][UNKNOWN]
    assert manifest[UNKNOWN] == pod[UNKNOWN]
    container = manifest["spec"]["containers"][0]
    assert container[UNKNOWN] == pod["spec"]["containers"][0][UNKNOWN]
    assert all(mount[UNKNOWN] == 1 for mount in container.get("volumeMounts", ()))
    kept = {each["name"]: each[UNKNOWN] for each in manifest["spec"].get("volumes", ())}
    assert kept == {
        each["name"]: each[UNKNOWN] for each in pod["spec"]["volumes"] if UNKNOWN in each
    }


def expanded(text: str, known: dict[str, str]) -> str:
    """Expand as the kubelet does (third_party/forked/golang/expansion)."""

    def one(match: re.Match[str]) -> str:
        whole = match[0]
        if whole == "$$":
            return "$"
        return known.get(whole[2:-1], whole)

    return re.sub(r"\$\$|\$\([^)]*\)", one, text)


def environment(container: dict[str, Any], fetched: Any) -> dict[str, str]:
    """Return the variables of a container: what makeEnvironmentVariables makes of them."""
    known: dict[str, str] = {}
    kinds = {"secretRef": "Secret", "secretKeyRef": "Secret"}
    for source in container.get("envFrom", ()):
        for field in source.keys() & {"secretRef", "configMapRef"}:
            data = fetched[ObjectName(kinds.get(field, "ConfigMap"), source[field]["name"])].data  # type: ignore[arg-type] # one of two texts
            known |= {source.get("prefix", "") + key: data[key].decode() for key in data}
    for variable in container.get("env", ()):
        name = variable["name"]
        if "valueFrom" not in variable:
            known[name] = expanded(variable.get("value", ""), known)
            continue
        ((field, source),) = variable["valueFrom"].items()
        if field == "fieldRef":
            known[name] = "prod"
            continue
        data = fetched[ObjectName(kinds.get(field, "ConfigMap"), source["name"])].data  # type: ignore[arg-type] # one of two texts
        if source["key"] in data:
            known[name] = data[source["key"]].decode()
    return known


@FEW
@given(cases())
def test_a_container_gets_the_environment_that_it_had(case: Any) -> None:
    pod, fetched = case
    manifest = written(case).manifest
    for kind in ("containers", "initContainers"):
        parts = zip(pod["spec"].get(kind, ()), manifest["spec"].get(kind, ()), strict=True)
        for before, after in parts:
            assert environment(after, {}) == environment(before, fetched)


@FEW
@given(cases())
def test_each_mounted_directory_is_written_below_its_root_and_no_other(case: Any) -> None:
    roots = Roots("/roots/s", "/roots/c")
    result = written(case, roots=roots)
    places = [roots.place(each) for each in result.assets]
    assert len(set(places)) == len(places)
    mounted = {
        each["hostPath"]["path"]
        for each in result.manifest["spec"].get("volumes", ())
        if each.get("hostPath", {}).get("path", "").startswith("/roots")
    }
    assert mounted == set(places)
    for each in result.assets:
        assert each.path.startswith("prod/web/")
        assert each.path.count("/") == 2
        for file in each.files:
            assert not {"", ".", ".."} & set(file.path.split("/"))
            assert each.gid == 0 or file.mode & 0o440 == 0o440


@FEW
@given(cases())
def test_nothing_but_manifest_and_files_tells_a_secret_and_the_parent_stays(case: Any) -> None:
    pod, fetched = case
    before = deepcopy(pod)
    result = written(case)
    assert SECRET not in repr(result) + "".join(result.notes)
    for each in result.assets:
        if each.root == "configmaps":
            assert all(
                any(file.data in asset.data.values() for name, asset in fetched.items())
                for file in each.files
            )
    result.manifest["spec"].clear()
    assert pod == before


@FEW
@given(cases())
def test_without_one_object_that_it_needs_nothing_is_written(case: Any) -> None:
    pod, fetched = case
    for name in fetched:
        rest = {other: asset for other, asset in fetched.items() if other != name}
        result = sanitize(pod, rest, node=NODE)
        assert isinstance(result, Refused)
        assert f"{name} was not fetched" in {each.reason for each in result.refusals}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.integers(0, len(recorded("kubelet134_changes")["changes"]) - 1), json_values)
def test_garbage_in_any_place_gives_a_manifest_or_a_reason(number: int, value: Any) -> None:
    data = recorded("kubelet134_changes")
    base, path, *_ = data["changes"][number]
    pod = changed(data["bases"][base], path, "put" if path else "base", value)
    asset = Asset(ObjectName("Secret", "s"), dict.fromkeys(("k", "p"), b"x"))
    fetched = {
        ObjectName(kind, name): asset for kind in ("Secret", "ConfigMap") for name in ("s", "a")
    }
    result = sanitize(pod, fetched, node=NODE)
    if isinstance(result, Sanitized):
        assert not refusals(result.manifest, node=NODE)
        assert json.loads(manifest_bytes(result.manifest)) == result.manifest
    else:
        assert all(each.reason for each in result.refusals)
        assert result.refusals
