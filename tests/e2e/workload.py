"""What runs in the pods of the tests, and how it is asked for."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["CRASHING", "GOOD", "IMAGES", "OBJECTS", "annotated", "daemon_set"]

GOOD: Final = "checkpointkit.test/workload:good"
CRASHING: Final = "checkpointkit.test/workload:crashing"

# It says what it sees, then that it lives, 10 times a second.
_WORKLOAD: Final = """#!/bin/sh
trap 'exit 0' TERM
out=/out/$NAME
mkdir -p "$out"
env | sort >"$out/.env" && mv "$out/.env" "$out/env"
cd /seen || exit 1
find -L . -type f ! -path '*/..*' -exec stat -L -c '%a %g %n' {} + | sort -k 3 >"$out/modes"
find -L . -type f ! -path '*/..*' -exec sha256sum {} + | sort -k 2 >"$out/sums"
touch /tmp/ready
while :; do
    read -r up idle </proc/uptime
    echo "$NAME $up" >>/out/heartbeats
    usleep 100000
done
"""
IMAGES: Final = {GOOD: {"workload": _WORKLOAD}, CRASHING: {"workload": "#!/bin/sh\nexit 1\n"}}

_BINARY: Final = "AAEC/w=="

OBJECTS: Final[tuple[dict[str, Any], ...]] = (
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "web-tls"},
        "data": {"tls.key": _BINARY, "tls.crt": "Y2VydA=="},
    },
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "web-password"},
        "stringData": {"password": "pa$(HOME)$$word $HOME"},
    },
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "web-config"},
        "data": {"web.conf": "listen 80\n", "log.conf": "debug\n", "unused": "no\n"},
        "binaryData": {"blob": _BINARY},
    },
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "web-env"},
        "data": {"MODE": "production", "GREETING": "hello $(NAME)"},
    },
)
"""What the pods refer to; the namespace is put in when they are applied."""


def daemon_set(name: str, namespace: str, out: str, image: str = GOOD) -> dict[str, Any]:
    """Return a DaemonSet whose pods say what they see, and are to be checkpointed.

    They have a user of their own, and read their files as members of a group; they see a secret,
    a config map with items, a projection of both, and the environment, in each of its ways.

    Args:
        name: The DaemonSet's.
        namespace: Where it goes.
        out: A directory of the node where the pods write what they see.
        image: `GOOD` or `CRASHING`.
    """
    spec = {
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000},
        "containers": [_container(image)],
        "volumes": [*_volumes(), {"name": "out", "hostPath": {"path": out}}],
    }
    return annotated(name, namespace, spec)


def annotated(name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return a DaemonSet whose pods are to be checkpointed.

    Args:
        name: The DaemonSet's.
        namespace: Where it goes.
        spec: What its pods have beyond the host's network, and a short time to end.
    """
    labels = {"app": name}
    marks = {"checkpointer.alpha.coreos.com/checkpoint": "true"}
    common = {
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 5,
        "tolerations": [{"operator": "Exists"}],
    }
    template = {"metadata": {"labels": labels, "annotations": marks}, "spec": {**common, **spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _container(image: str) -> dict[str, Any]:
    seen = ("config", "everything", "password", "tls")
    return {
        "name": "web",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["/bin/workload"],
        "ports": [{"name": "web", "containerPort": 48080, "hostPort": 48080}],
        "readinessProbe": {
            "exec": {"command": ["/bin/test", "-f", "/tmp/ready"]},
            "periodSeconds": 2,
        },
        "envFrom": [{"prefix": "WEB_", "configMapRef": {"name": "web-env"}}],
        "env": [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "MODE", "valueFrom": _key("configMapKeyRef", "web-env", "MODE")},
            {"name": "PASSWORD", "valueFrom": _key("secretKeyRef", "web-password", "password")},
            {"name": "LINE", "value": "$(MODE) for $(NAME): $(PASSWORD) $$(NAME)"},
            {
                "name": "NOTHING",
                "valueFrom": {"secretKeyRef": {"name": "none", "key": "none", "optional": True}},
            },
        ],
        "volumeMounts": [
            *({"name": each, "mountPath": f"/seen/{each}"} for each in seen),
            {"name": "out", "mountPath": "/out"},
        ],
    }


def _key(kind: str, name: str, key: str) -> dict[str, Any]:
    return {kind: {"name": name, "key": key}}


def _volumes() -> list[dict[str, Any]]:
    return [
        {"name": "tls", "secret": {"secretName": "web-tls", "defaultMode": 0o440}},
        {"name": "password", "secret": {"secretName": "web-password", "defaultMode": 0o400}},
        {
            "name": "config",
            "configMap": {
                "name": "web-config",
                "items": [
                    {"key": "web.conf", "path": "conf.d/web.conf", "mode": 0o640},
                    {"key": "blob", "path": "blob"},
                ],
            },
        },
        {
            "name": "everything",
            "projected": {
                "sources": [
                    {
                        "secret": {
                            "name": "web-tls",
                            "items": [{"key": "tls.crt", "path": "tls/tls.crt"}],
                        }
                    },
                    {"configMap": {"name": "web-config"}},
                    {"configMap": {"name": "none", "optional": True}},
                ]
            },
        },
    ]
