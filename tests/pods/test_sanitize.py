"""How a parent becomes a static pod: the rules, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checkpointkit.pods.acceptance import refusals
from checkpointkit.pods.assets import Asset, AssetSet, Roots
from checkpointkit.pods.model import CHECKPOINT, CHECKPOINT_OF
from checkpointkit.pods.references import TOKEN_PATH, ObjectName
from checkpointkit.pods.sanitize import Refused, Sanitized, manifest_bytes, sanitize
from tests.pods.recorded import NODE, a_pod, mounted
from tests.pods.test_references import ACCOUNT

TOO_LONG = (
    "metadata.name: is no DNS subdomain of at most 253 characters together with the node's name"
)
Fetched = dict[ObjectName, Asset | None]


def fetched(**objects: dict[str, Any] | None) -> Fetched:
    """Return what was fetched: `s_` secrets, `c_` config maps; keys with `b_` are binary."""
    found: Fetched = {}
    for name, data in objects.items():
        kind, _, rest = name.partition("_")
        key = ObjectName("Secret" if kind == "s" else "ConfigMap", rest)
        binary = frozenset(each for each in data or () if each.startswith("b_"))
        found[key] = None if data is None else Asset(key, data, binary)
    return found


def done(pod: dict[str, Any], objects: Fetched | None = None, **options: Any) -> Sanitized:
    result = sanitize(pod, objects or {}, node=NODE, **options)
    assert isinstance(result, Sanitized), result
    assert not refusals(result.manifest, node=NODE)
    return result


def refused(pod: dict[str, Any], objects: Fetched | None = None) -> list[str]:
    result = sanitize(pod, objects or {}, node=NODE)
    assert isinstance(result, Refused)
    return [each.text() for each in result.refusals]


def container_of(result: Sanitized, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = result.manifest["spec"]["containers"][number]
    return found


def files_of(result: AssetSet) -> dict[str, tuple[bytes, int]]:
    return {each.path: (each.data, each.mode) for each in result.files}


# ---------------------------------------------------------------------------------- metadata


def test_of_the_metadata_the_copy_keeps_its_name_and_whose_copy_it_is() -> None:
    metadata = {
        "uid": "7f3e",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "selfLink": "/a",
        "generateName": "web-",
        "labels": {"app": "web"},
        "annotations": {CHECKPOINT: "true", "note": "gone"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "b"}],
        "finalizers": ["example.com/x"],
        "managedFields": [{"manager": "a"}],
        "fromTheFuture": [1],
    }
    pod = a_pod(metadata=metadata)
    expected = {
        "name": "web",
        "namespace": "prod",
        "annotations": {CHECKPOINT_OF: "web"},
        "fromTheFuture": [1],
    }
    assert done(pod).manifest["metadata"] == expected
    kept = done(pod, keep_labels=True).manifest["metadata"]
    assert kept == {**expected, "labels": {"app": "web"}}


def test_no_labels_stay_no_labels_when_they_are_kept() -> None:
    assert "labels" not in done(a_pod(), keep_labels=True).manifest["metadata"]


def test_a_pod_as_a_kubelet_lists_it_becomes_a_pod_and_its_status_goes() -> None:
    pod = a_pod()
    del pod["kind"], pod["apiVersion"]
    manifest = done(pod | {"status": {"phase": "Running"}, "fromTheFuture": None}).manifest
    assert (manifest["kind"], manifest["apiVersion"]) == ("Pod", "v1")
    assert "status" not in manifest
    assert manifest["fromTheFuture"] is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("../../etc", "metadata.name: is missing, or no such name"),
        ("", "metadata.name: is missing, or no such name"),
        ("a" * 247, TOO_LONG),
    ],
)
def test_a_name_that_would_lead_elsewhere_or_grows_too_long_is_refused(
    name: str, text: str
) -> None:
    assert text in refused(a_pod(metadata={"name": name}))


def test_a_namespace_that_would_lead_elsewhere_is_refused() -> None:
    assert "metadata.namespace: is missing, or no such name" in refused(
        a_pod(metadata={"namespace": ".."})
    )


def test_a_checkpoint_is_returned_as_it_is_or_refused() -> None:
    metadata = {"annotations": {CHECKPOINT_OF: "", "note": "kept"}, "labels": {"a": "b"}}
    pod = a_pod(metadata=metadata)
    assert done(pod).manifest == pod
    assert refused(a_pod(metadata=metadata, serviceAccountName="a")) == [
        "spec.serviceAccountName: a static pod may not refer to service accounts"
    ]


def test_another_kind_is_refused() -> None:
    assert refused(a_pod() | {"kind": "Service"}) == ["kind: is no Pod of version v1"]


def test_what_does_not_decode_is_refused() -> None:
    assert refused({"spec": {"containers": "none"}}) == ["spec.containers: is no list"]


# -------------------------------------------------------------------------------------- spec


def test_what_is_of_use_to_the_api_server_alone_goes() -> None:
    spec = {
        "affinity": {"podAntiAffinity": {}},
        "nodeSelector": {"a": "b"},
        "serviceAccount": "a",
        "serviceAccountName": "a",
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "schedulingGates": [],
    }
    kept = {"priorityClassName": "system-node-critical", "tolerations": [{"operator": "Exists"}]}
    manifest = done(a_pod(**spec, **kept)).manifest
    assert manifest["spec"] == a_pod(**kept)["spec"]


def test_debug_containers_go_and_it_is_said() -> None:
    debug = [{"name": "debug", "image": "d", "envFrom": [{"secretRef": {"name": "s"}}]}]
    result = done(a_pod(ephemeralContainers=debug))
    assert "ephemeralContainers" not in result.manifest["spec"]
    assert result.notes == ("spec.ephemeralContainers: a copy has no debug containers",)


@pytest.mark.parametrize(
    ("policy", "after"), [("Always", "IfNotPresent"), ("Never", "Never"), (None, "IfNotPresent")]
)
def test_without_its_pull_secrets_a_copy_runs_from_the_image_on_the_node(
    policy: str | None, after: str
) -> None:
    container = {"imagePullPolicy": policy}
    result = done(a_pod(container=container, imagePullSecrets=[{"name": "registry"}]))
    assert "imagePullSecrets" not in result.manifest["spec"]
    assert container_of(result)["imagePullPolicy"] == after
    assert result.notes == ("spec.imagePullSecrets: the image has to be on the node already",)


def test_without_pull_secrets_the_pull_policy_stays() -> None:
    assert (
        container_of(done(a_pod(container={"imagePullPolicy": "Always"})))["imagePullPolicy"]
        == "Always"
    )


def test_how_a_sidecar_would_be_resized_goes_for_a_kubelet_refuses_it() -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]
    sidecar = {"name": "s", "image": "s", "restartPolicy": "Always", "resizePolicy": policy}
    result = done(a_pod(container={"resizePolicy": policy}, initContainers=[sidecar]))
    assert "resizePolicy" not in result.manifest["spec"]["initContainers"][0]
    assert container_of(result)["resizePolicy"] == policy


@pytest.mark.parametrize(
    ("volume", "path"),
    [
        ({"csi": {"driver": "x"}}, "csi"),
        ({"persistentVolumeClaim": {"claimName": "x"}}, "persistentVolumeClaim"),
        ({"ephemeral": {}}, "ephemeral"),
        ({"azureFile": {"secretName": "a", "shareName": "b"}}, "azureFile"),
        ({"glusterfs": {"endpoints": "a", "path": "b"}}, "glusterfs"),
        (
            {"rbd": {"monitors": ["a"], "image": "b", "secretRef": {"name": "s"}}},
            "rbd.secretRef",
        ),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            "projected.sources[0].serviceAccountToken",
        ),
        (
            {"projected": {"sources": [{"configMap": {"name": "a"}}, {"clusterTrustBundle": {}}]}},
            "projected.sources[1].clusterTrustBundle",
        ),
        (
            {"projected": {"sources": [{"configMap": {"name": "a"}}, {"fromTheFuture": {}}]}},
            "projected.sources[1]",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_do_without_the_api_server_is_refused_with_its_path_in_the_parent(
    volume: dict[str, Any], path: str
) -> None:
    pod = a_pod(volumes=[ACCOUNT, {"name": "v", **volume}])
    result = sanitize(pod, fetched(c_a={}), node=NODE)
    assert isinstance(result, Refused)
    assert f"spec.volumes[1].{path}" in [each.path for each in result.refusals]


def test_what_the_api_server_lets_pass_and_a_kubelet_does_not_is_refused() -> None:
    container = {"lifecycle": {"preStop": {"sleep": {"seconds": 0}}}}
    (text,) = refused(a_pod(container=container))
    assert text.startswith("spec.containers[0].lifecycle.preStop.sleep.seconds: is not between 1")


def test_what_was_added_for_the_service_account_goes_with_its_mounts() -> None:
    mounts = [
        {"name": "data", "mountPath": "/data"},
        {"name": ACCOUNT["name"], "mountPath": TOKEN_PATH, "readOnly": True},
    ]
    account_only = {"name": "i", "image": "i", "volumeMounts": mounts[1:]}
    data = {"name": "data", "emptyDir": {}}
    pod = a_pod(
        container={"volumeMounts": mounts},
        initContainers=[account_only],
        volumes=[ACCOUNT, data],
        serviceAccountName="web",
    )
    spec = done(pod).manifest["spec"]
    assert spec["volumes"] == [data]
    assert spec["containers"][0]["volumeMounts"] == mounts[:1]
    assert "volumeMounts" not in spec["initContainers"][0]


# ------------------------------------------------------------------------------- environment

KEY = {"name": "a", "key": "k"}


def environment(objects: Fetched, **container: Any) -> list[dict[str, Any]]:
    result = done(a_pod(container=container), objects)
    assert "envFrom" not in container_of(result)
    variables: list[dict[str, Any]] = container_of(result).get("env", [])
    return variables


def test_variables_from_secrets_and_config_maps_become_literal() -> None:
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": KEY}},
        {"name": "B", "valueFrom": {"configMapKeyRef": KEY}},
        {"name": "C", "value": "$(A)"},
        {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    assert environment(fetched(s_a={"k": b"x"}, c_a={"k": b"\xc3\xbc"}), env=env) == [
        {"name": "A", "value": "x"},
        {"name": "B", "value": "ü"},
        *env[2:],
    ]


@pytest.mark.parametrize(
    ("value", "literal"),
    [("$(HOME)", "$$(HOME)"), ("$", "$$"), ("$$(A)", "$$$$(A)"), ("", ""), ("a b\n", "a b\n")],
)
def test_a_dollar_in_a_value_is_not_expanded(value: str, literal: str) -> None:
    env = [{"name": "A", "valueFrom": {"secretKeyRef": KEY}}]
    assert environment(fetched(s_a={"k": value.encode()}), env=env) == [
        {"name": "A", "value": literal}
    ]


def test_all_keys_of_an_object_come_first_the_later_source_wins_and_own_variables_after() -> None:
    objects = fetched(c_a={"A": b"1", "B": b"2", "b_x": b"\xff"}, s_a={"B": b"3"})
    sources = [
        {"configMapRef": {"name": "a"}},
        {"prefix": "P_", "configMapRef": {"name": "a"}},
        {"secretRef": {"name": "a"}},
    ]
    own = {"name": "B", "value": "$(B)4"}
    assert environment(objects, envFrom=sources, env=[own]) == [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "3"},
        {"name": "P_A", "value": "1"},
        {"name": "P_B", "value": "2"},
        own,
    ]


def test_what_is_optional_and_absent_is_no_variable() -> None:
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {**KEY, "optional": True}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {**KEY, "optional": True}}},
    ]
    sources = [{"secretRef": {"name": "b", "optional": True}}]
    assert environment(fetched(s_a={}, c_a=None, s_b=None), env=env, envFrom=sources) == []


@pytest.mark.parametrize(
    ("container", "objects", "text"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": KEY}}]},
            {"s_a": None},
            "env[0].valueFrom.secretKeyRef: Secret a does not exist",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": KEY}}]},
            {"s_a": {}},
            "env[0].valueFrom.secretKeyRef: refers to a key that is not there",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": KEY}}]},
            {"c_a": {}},
            "env[0].valueFrom.secretKeyRef: Secret a was not fetched",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {**KEY, "key": "b_"}}}]},
            {"c_a": {"b_": b""}},
            "env[0].valueFrom.configMapKeyRef: refers to a key that is not there",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": KEY}}]},
            {"s_a": {"k": b"\xff"}},
            "env[0].valueFrom.secretKeyRef: has a value that is no text for a variable",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": KEY}}]},
            {"s_a": {"k": b"a\0b"}},
            "env[0].valueFrom.secretKeyRef: has a value that is no text for a variable",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}]},
            {},
            "env[0].valueFrom.secretKeyRef: names no Secret",
        ),
        (
            {"envFrom": [{"configMapRef": {"name": "a"}}]},
            {"c_a": {"1st": b""}},
            "envFrom[0].configMapRef: has a key that names no variable of a static pod",
        ),
        (
            {"envFrom": [{"secretRef": {"name": "a"}}]},
            {"s_a": None},
            "envFrom[0].secretRef: Secret a does not exist",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_literal_is_refused(
    container: dict[str, Any], objects: dict[str, Any], text: str
) -> None:
    assert refused(a_pod(container=container), fetched(**objects)) == [f"spec.containers[0].{text}"]


def test_fields_that_the_copy_lacks_have_the_value_that_the_parent_had() -> None:
    fields = [
        "metadata.labels['app']",
        "metadata.labels['none']",
        "metadata.annotations['example.com/a']",
        "spec.serviceAccountName",
        "metadata.namespace",
    ]
    env = [
        {"name": f"F{number}", "valueFrom": {"fieldRef": {"fieldPath": field}}}
        for number, field in enumerate(fields)
    ]
    metadata = {"labels": {"app": "web"}, "annotations": {"example.com/a": "$b"}}
    pod = a_pod(container={"env": env}, metadata=metadata, serviceAccount="account")
    values = [each.get("value") for each in container_of(done(pod))["env"]]
    assert values == ["web", "", "$$b", "account", None]
    kept = [each.get("value") for each in container_of(done(pod, keep_labels=True))["env"]]
    assert kept == [None, None, "$$b", "account", None]


# ------------------------------------------------------------------------------------- files


def test_a_secret_becomes_files_on_the_host_with_their_modes() -> None:
    items = [{"key": "k", "path": "sub/f", "mode": 0o400}, {"key": "l", "path": "l"}]
    source = {"secretName": "a", "items": items, "defaultMode": 0o600}
    result = done(mounted({"name": "v", "secret": source}), fetched(s_a={"k": b"1", "l": b"2"}))
    (made,) = result.assets
    assert (made.root, made.path, made.mode, made.gid) == ("secrets", "prod/web/a", 0o755, 0)
    assert files_of(made) == {"sub/f": (b"1", 0o400), "l": (b"2", 0o600)}
    place = "/etc/kubernetes/checkpoint-secrets/prod/web/a"
    assert result.manifest["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": place}}]


def test_a_config_map_becomes_files_binary_data_included() -> None:
    pod = mounted({"name": "v", "configMap": {"name": "a"}, "fromTheFuture": 1})
    result = done(pod, fetched(c_a={"k": b"1", "b_": b"\xff"}), roots=Roots("/s", "/c"))
    assert files_of(result.assets[0]) == {"k": (b"1", 0o644), "b_": (b"\xff", 0o644)}
    assert result.manifest["spec"]["volumes"] == [
        {"name": "v", "fromTheFuture": 1, "hostPath": {"path": "/c/prod/web/a"}}
    ]


def test_with_an_fs_group_files_belong_to_the_group_which_can_read_them() -> None:
    pod = mounted({"name": "v", "secret": {"secretName": "a", "defaultMode": 0o400}})
    pod["spec"]["securityContext"] = {"fsGroup": 2000}
    (made,) = done(pod, fetched(s_a={"k": b""})).assets
    assert (made.gid, oct(made.mode)) == (2000, "0o2755")
    assert files_of(made) == {"k": (b"", 0o440)}


def test_a_container_cannot_write_to_the_files_as_it_could_not_before() -> None:
    pod = mounted({"name": "v", "secret": {"secretName": "a"}}, readOnly=False)
    assert container_of(done(pod, fetched(s_a={})))["volumeMounts"][0]["readOnly"] is True
    pod = mounted({"name": "v", "emptyDir": {}})
    assert "readOnly" not in container_of(done(pod))["volumeMounts"][0]


def test_what_is_optional_and_absent_is_an_empty_directory() -> None:
    pod = mounted({"name": "v", "secret": {"secretName": "a", "optional": True}})
    assert done(pod, fetched(s_a=None)).assets == (AssetSet("secrets", "prod/web/a", ()),)


def test_a_key_that_is_optional_and_absent_is_no_file() -> None:
    items = [{"key": "k", "path": "k"}, {"key": "gone", "path": "gone"}]
    source = {"name": "a", "items": items, "optional": True}
    pod = mounted({"name": "v", "configMap": source})
    (made,) = done(pod, fetched(c_a={"k": b"", "more": b""})).assets
    assert [each.path for each in made.files] == ["k"]


@pytest.mark.parametrize(
    ("source", "objects", "text"),
    [
        ({"secret": {"secretName": "a"}}, {"s_a": None}, "secret: Secret a does not exist"),
        ({"secret": {"secretName": "a"}}, {}, "secret: Secret a was not fetched"),
        ({"secret": {"secretName": "../a"}}, {}, "secret: names no Secret"),
        (
            {"configMap": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
            {"c_a": {}},
            "configMap.items[0].key: is not in ConfigMap a",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_volume_whose_files_are_not_to_be_had_is_refused(
    source: dict[str, Any], objects: dict[str, Any], text: str
) -> None:
    found = refused(mounted({"name": "v", **source}), fetched(**objects))
    assert found == [f"spec.volumes[0].{text}"]


@pytest.mark.parametrize(
    "path", ["..", "../x", "/x", "a/../../x", "..data/x", "a//b", "./a", "a/", "x\0", "x" * 256, ""]
)
def test_a_file_never_leaves_its_directory(path: str) -> None:
    items = [{"key": "k", "path": path}]
    pod = mounted({"name": "v", "secret": {"secretName": "a", "items": items}})
    assert refused(pod, fetched(s_a={"k": b""}))


@pytest.mark.parametrize("key", ["../../etc/cron.d/x", "/etc/passwd", "..data", ".."])
def test_a_key_that_would_lead_elsewhere_is_refused(key: str) -> None:
    pod = mounted({"name": "v", "secret": {"secretName": "a"}})
    assert refused(pod, fetched(s_a={key: b""})) == [
        "spec.volumes[0]: has a path that is no file below the volume"
    ]


def test_a_path_of_many_names_is_refused() -> None:
    def pod_with(depth: int) -> dict[str, Any]:
        items = [{"key": "k", "path": "/".join("a" * depth)}]
        return mounted({"name": "v", "secret": {"secretName": "a", "items": items}})

    objects = fetched(s_a={"k": b""})
    assert isinstance(sanitize(pod_with(12), objects, node=NODE), Sanitized)
    assert refused(pod_with(13), objects) == ["spec.volumes[0]: has a path of more than 12 names"]


def test_a_file_and_a_directory_at_one_path_are_refused() -> None:
    items = [{"key": "k", "path": "a"}, {"key": "k", "path": "a/b"}]
    pod = mounted({"name": "v", "secret": {"secretName": "a", "items": items}})
    assert refused(pod, fetched(s_a={"k": b""})) == [
        "spec.volumes[0]: has a file and a directory at one path"
    ]


def test_two_volumes_of_one_object_share_its_files_unless_they_want_others() -> None:
    secret = {"secretName": "a"}
    volumes = [
        {"name": "one", "secret": secret},
        {"name": "same", "secret": secret},
        {"name": "other", "secret": {**secret, "defaultMode": 0o400}},
        {"name": "map", "configMap": {"name": "a"}},
    ]
    result = done(a_pod(volumes=volumes), fetched(s_a={"k": b""}, c_a={"k": b""}))
    places = [each["hostPath"]["path"] for each in result.manifest["spec"]["volumes"]]
    root = "/etc/kubernetes/checkpoint-secrets/prod/web"
    assert places == [
        f"{root}/a",
        f"{root}/a",
        f"{root}/_other",
        "/etc/kubernetes/checkpoint-configmaps/prod/web/a",
    ]
    assert [(each.root, each.path) for each in result.assets] == [
        ("configmaps", "prod/web/a"),
        ("secrets", "prod/web/_other"),
        ("secrets", "prod/web/a"),
    ]


def projected(*sources: dict[str, Any], mode: int = 0o644) -> dict[str, Any]:
    return mounted({"name": "all", "projected": {"sources": [*sources], "defaultMode": mode}})


def downward(path: str, field: str, **item: Any) -> dict[str, Any]:
    items = [{"path": path, "fieldRef": {"fieldPath": field}, **item}]
    return {"downwardAPI": {"items": items}}


def test_a_projected_volume_becomes_one_set_of_files_the_later_source_wins() -> None:
    pod = projected(
        {"configMap": {"name": "a", "items": [{"key": "k", "path": "x", "mode": 0o600}]}},
        {"secret": {"name": "a"}},
        {"configMap": {"name": "gone", "optional": True}},
        downward("name", "metadata.name"),
        downward("namespace", "metadata.namespace", mode=0o400),
        mode=0o440,
    )
    objects = fetched(c_a={"k": b"1", "l": b"2"}, s_a={"k": b"3"}, c_gone=None)
    (made,) = done(pod, objects).assets
    assert (made.root, made.path) == ("secrets", "prod/web/_all")
    assert files_of(made) == {
        "k": (b"3", 0o440),
        "name": (b"web-mynode", 0o440),
        "namespace": (b"prod", 0o400),
        "x": (b"1", 0o600),
    }


def test_a_projected_volume_without_a_secret_is_no_secret() -> None:
    result = done(projected({"configMap": {"name": "a"}}), fetched(c_a={}))
    assert [each.root for each in result.assets] == ["configmaps"]


def test_what_only_the_node_knows_cannot_be_a_file_beside_a_secret() -> None:
    pod = projected({"secret": {"name": "a"}}, downward("uid", "metadata.uid"))
    (text,) = refused(pod, fetched(s_a={}))
    assert text.startswith("spec.volumes[0].projected.sources[1].downwardAPI.items[0]: cannot be")


@pytest.mark.parametrize(
    "source",
    [
        {"projected": {"sources": [downward("l", "metadata.labels")]}},
        downward("a", "metadata.annotations['x']"),
    ],
)
def test_a_volume_of_the_downward_api_stays_and_it_is_said_whose_labels_it_shows(
    source: dict[str, Any],
) -> None:
    pod = mounted({"name": "v", **source})
    result = done(pod)
    assert result.manifest["spec"]["volumes"] == pod["spec"]["volumes"]
    assert result.notes == ("spec.volumes[0]: shows the copy's own labels and annotations",)
    assert not done(mounted({"name": "v", **downward("n", "metadata.name")})).notes


# ------------------------------------------------------------------------------------- ports

PORTS = [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53}]


def test_in_the_hosts_network_ports_go_once_their_names_are_resolved() -> None:
    container = {
        "ports": PORTS,
        "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 3},
        "readinessProbe": {"tcpSocket": {"port": "dns"}},
        "startupProbe": {"httpGet": {"port": "missing"}},
        "lifecycle": {
            "preStop": {"httpGet": {"port": "http"}},
            "postStart": {"exec": {"command": ["a"]}},
        },
    }
    sidecar = {
        "name": "s",
        "image": "s",
        "restartPolicy": "Always",
        "ports": PORTS[1:],
        "readinessProbe": {"grpc": {"port": 1}},
    }
    pod = a_pod(container=container, hostNetwork=True, initContainers=[sidecar])
    result = done(pod)
    assert container_of(result) == {
        "name": "c",
        "image": "busybox:1",
        "livenessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 3},
        "readinessProbe": {"tcpSocket": {"port": 53}},
        "startupProbe": {"httpGet": {"port": "missing"}},
        "lifecycle": {
            "preStop": {"httpGet": {"port": 8080}},
            "postStart": {"exec": {"command": ["a"]}},
        },
    }
    assert "ports" not in result.manifest["spec"]["initContainers"][0]


def test_in_a_network_of_its_own_ports_stay_and_a_host_port_is_said() -> None:
    ports = [*PORTS, {"containerPort": 9, "hostPort": 9}]
    container = {"ports": ports, "livenessProbe": {"httpGet": {"port": "http"}}}
    result = done(a_pod(container=container))
    assert container_of(result) == a_pod(container=container)["spec"]["containers"][0]
    assert result.notes == (
        "spec.containers[0].ports[2].hostPort: parent and copy cannot run at the same time",
    )


# ---------------------------------------------------------------------------------- the file


def test_a_manifest_longer_than_a_kubelet_reads_is_refused() -> None:
    env = [{"name": f"A{number}", "valueFrom": {"secretKeyRef": KEY}} for number in range(11)]
    pod = a_pod(container={"env": env})
    assert refused(pod, fetched(s_a={"k": b"x" * 2**20})) == [
        "the pod: is longer than the 10 MiB that a kubelet reads"
    ]


def test_equal_manifests_have_equal_bytes_in_ascii_with_a_line_end() -> None:
    text = manifest_bytes({"b": "ü\ud800", "a": [1]})
    assert text == b'{"a":[1],"b":"\\u00fc\\ud800"}\n'
    assert manifest_bytes(json.loads(text)) == text


def test_no_repr_shows_what_is_in_a_secret() -> None:
    env = [{"name": "A", "valueFrom": {"secretKeyRef": KEY}}]
    pod = mounted({"name": "v", "secret": {"secretName": "a"}})
    pod["spec"]["containers"][0]["env"] = env
    assert "s3cret" not in repr(done(pod, fetched(s_a={"k": b"s3cret"})))


def test_two_volumes_of_one_name_are_refused_not_raised() -> None:
    volumes = [
        {"name": "v", "projected": {"sources": [{"configMap": {"name": name}}]}} for name in "ab"
    ]
    assert refused(a_pod(volumes=volumes), fetched(c_a={"k": b"1"}, c_b={"k": b"2"})) == [
        "spec.volumes[1].name: is there twice"
    ]
