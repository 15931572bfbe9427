"""What a pod needs, and where; what admission has added is not needed."""

from __future__ import annotations

from typing import Any

import pytest

from checkpointkit.pods.references import (
    TOKEN_PATH,
    Item,
    ObjectName,
    Reference,
    account_volumes,
    needed,
    references,
)
from tests.pods.recorded import a_pod

TOKEN = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
ROOT = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
NAMESPACE = {
    "downwardAPI": {
        "items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]
    }
}
ACCOUNT = {"name": "kube-api-access-x", "projected": {"sources": [TOKEN, ROOT, NAMESPACE]}}


def secret(name: str) -> ObjectName:
    return ObjectName("Secret", name)


def config(name: str) -> ObjectName:
    return ObjectName("ConfigMap", name)


def test_a_volume_is_referred_to_with_its_keys_modes_and_whether_it_is_optional() -> None:
    items = [{"key": "k", "path": "sub/f", "mode": 0o400}, {"key": "l", "path": "l"}]
    volumes = [
        {"name": "a", "secret": {"secretName": "s", "items": items, "optional": True}},
        {"name": "b", "configMap": {"name": "c"}},
        {"name": "c", "emptyDir": {}},
    ]
    assert references(a_pod(volumes=volumes)) == (
        Reference(
            secret("s"),
            "spec.volumes[0].secret",
            optional=True,
            items=(Item("k", "sub/f", 0o400), Item("l", "l")),
        ),
        Reference(config("c"), "spec.volumes[1].configMap"),
    )


def test_the_sources_of_a_projected_volume_are_referred_to_one_by_one() -> None:
    sources = [{"configMap": {"name": "c", "items": []}}, NAMESPACE, {"secret": {"name": "s"}}]
    found = references(a_pod(volumes=[{"name": "v", "projected": {"sources": sources}}]))
    assert found == (
        Reference(config("c"), "spec.volumes[0].projected.sources[0].configMap"),
        Reference(secret("s"), "spec.volumes[0].projected.sources[2].secret"),
    )


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_variables_are_referred_to_in_containers_that_last(kind: str) -> None:
    container = {
        "name": "x",
        "image": "x",
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}],
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "d", "optional": True}}},
            {"name": "C", "value": "plain"},
        ],
    }
    path = f"spec.{kind}[0]"
    assert references(a_pod(**{kind: [container]})) == (
        Reference(config("c"), f"{path}.envFrom[0].configMapRef"),
        Reference(secret("s"), f"{path}.envFrom[1].secretRef"),
        Reference(secret("s"), f"{path}.env[0].valueFrom.secretKeyRef", key="k"),
        Reference(config("d"), f"{path}.env[1].valueFrom.configMapKeyRef", optional=True),
    )


def test_a_debug_container_needs_nothing_for_a_copy_has_none() -> None:
    debug = {"name": "d", "image": "d", "envFrom": [{"secretRef": {"name": "s"}}]}
    assert needed(a_pod(ephemeralContainers=[debug])) == ()


def test_what_is_needed_twice_is_fetched_once_and_kinds_are_kept_apart() -> None:
    volumes = [
        {"name": "a", "secret": {"secretName": "x"}},
        {"name": "b", "secret": {"secretName": "x"}},
        {"name": "c", "configMap": {"name": "x"}},
    ]
    assert needed(a_pod(volumes=volumes)) == (config("x"), secret("x"))


def test_a_pod_of_another_shape_is_refused_by_path() -> None:
    with pytest.raises(ValueError, match=r"^spec\.volumes: is no list$"):
        references({"spec": {"volumes": "s3cret"}})


# ------------------------------------------------------------------- what admission has added


def spec_with(volume: dict[str, Any], *mounts: dict[str, Any]) -> dict[str, Any]:
    mounted = [{"name": volume["name"], **mount} for mount in mounts]
    return {
        "containers": [{"name": "c", "volumeMounts": mounted}],
        "volumes": [{"name": "other", "emptyDir": {}}, volume],
    }


@pytest.mark.parametrize("path", [TOKEN_PATH, TOKEN_PATH + "/"])
def test_the_volume_of_the_service_account_is_found_whatever_its_number(path: str) -> None:
    spec = spec_with(ACCOUNT, {"mountPath": path, "readOnly": True})
    assert account_volumes(spec) == {1}
    assert needed({"spec": spec}) == ()


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ([TOKEN, ROOT], "no namespace"),
        ([TOKEN, ROOT, NAMESPACE, {"secret": {"name": "mine"}}], "one more source"),
        ([TOKEN, TOKEN, NAMESPACE], "two tokens"),
        ([TOKEN, {"configMap": {"name": "mine"}}, NAMESPACE], "another config map"),
        (
            [{"serviceAccountToken": {"path": "token", "audience": "vault"}}, ROOT, NAMESPACE],
            "a token for somebody else",
        ),
        ([{"serviceAccountToken": {"path": "t"}}, ROOT, NAMESPACE], "a token elsewhere"),
        ([], "no source"),
    ],
)
def test_a_volume_that_only_looks_like_the_service_accounts_is_kept(
    sources: list[Any], why: str
) -> None:
    volume = {"name": "kube-api-access-x", "projected": {"sources": sources}}
    assert account_volumes(spec_with(volume, {"mountPath": TOKEN_PATH})) == frozenset(), why


@pytest.mark.parametrize(
    "mount", [{"mountPath": "/t"}, {"mountPath": TOKEN_PATH, "subPath": "token"}]
)
def test_the_volume_of_the_service_account_is_kept_if_it_is_mounted_elsewhere_too(
    mount: dict[str, Any],
) -> None:
    assert account_volumes(spec_with(ACCOUNT, {"mountPath": TOKEN_PATH}, mount)) == frozenset()


def test_a_volume_of_another_name_is_not_the_service_accounts() -> None:
    volume = {**ACCOUNT, "name": "mine"}
    assert account_volumes(spec_with(volume, {"mountPath": TOKEN_PATH})) == frozenset()
