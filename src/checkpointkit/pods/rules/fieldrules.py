"""What a kubelet demands of single fields of a pod's spec: a table, and a walk that applies it.

Rules that join several fields are in `checkpointkit.pods.rules.validation`. Both follow
`pkg/apis/core/validation/validation.go` of Kubernetes 1.34.2.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from checkpointkit.kubernetes.grammar import (
    is_data_key,
    is_env_name,
    is_header_name,
    is_label,
    is_label_value,
    is_local_path,
    is_port_name,
    is_qualified_name,
    is_subdomain,
    is_sysctl,
)
from checkpointkit.pods.rules.decoding import Refusal
from checkpointkit.pods.rules.fields import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["field_refusals", "is_volume_path"]


def is_volume_path(text: str) -> bool:
    """Tell whether a file of a volume may have this path; `..data` and its like are the kubelet's.

    Example:
        >>> is_volume_path("sub/kubeconfig"), is_volume_path("..data/kubeconfig")
        (True, False)
    """
    return is_local_path(text) and not text.startswith("..")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_search(text: str) -> bool:
    return is_subdomain(text.removesuffix("."))


_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "AWSElasticBlockStoreVolumeSource": ("volumeID",),
    "AppArmorProfile": ("type",),
    "AzureDiskVolumeSource": ("diskName", "diskURI"),
    "CephFSVolumeSource": ("monitors",),
    "CinderVolumeSource": ("volumeID",),
    "Container": ("name", "image"),
    "ContainerPort": ("containerPort",),
    "ContainerResizePolicy": ("resourceName", "restartPolicy"),
    "DownwardAPIVolumeFile": ("path",),
    "EnvVar": ("name",),
    "ExecAction": ("command",),
    "FileKeySelector": ("key", "path", "volumeName"),
    "FlexVolumeSource": ("driver",),
    "GCEPersistentDiskVolumeSource": ("pdName",),
    "GRPCAction": ("port",),
    "GitRepoVolumeSource": ("repository",),
    "HTTPGetAction": ("port",),
    "HTTPHeader": ("name",),
    "HostAlias": ("ip",),
    "HostPathVolumeSource": ("path",),
    "ISCSIVolumeSource": ("targetPortal", "iqn"),
    "ImageVolumeSource": ("pullPolicy",),
    "KeyToPath": ("key", "path"),
    "NFSVolumeSource": ("server", "path"),
    "ObjectFieldSelector": ("fieldPath",),
    "PhotonPersistentDiskVolumeSource": ("pdID",),
    "PodDNSConfigOption": ("name",),
    "PodOS": ("name",),
    "PodReadinessGate": ("conditionType",),
    "PortworxVolumeSource": ("volumeID",),
    "QuobyteVolumeSource": ("registry", "volume"),
    "RBDVolumeSource": ("monitors", "image"),
    "ResourceFieldSelector": ("resource",),
    "ScaleIOVolumeSource": ("gateway", "system", "volumeName"),
    "SeccompProfile": ("type",),
    "StorageOSVolumeSource": ("volumeName",),
    "Sysctl": ("name",),
    "TCPSocketAction": ("port",),
    "TopologySpreadConstraint": ("maxSkew", "topologyKey", "whenUnsatisfiable"),
    "Volume": ("name",),
    "VolumeMount": ("name", "mountPath"),
    "VsphereVirtualDiskVolumeSource": ("volumePath",),
}
_TEXTS: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "Container.image": ("has spaces around it", lambda text: text == text.strip()),
    "Container.name": ("is no DNS label", is_label),
    "ContainerPort.name": ("is no name for a port", is_port_name),
    "DownwardAPIVolumeFile.path": ("leaves the volume", is_volume_path),
    "EnvFromSource.prefix": ("is no name for a variable", is_env_name),
    "EnvVar.name": ("is no name for a variable of a static pod", is_env_name),
    "HTTPHeader.name": ("is no name of a header", is_header_name),
    "HostAlias.hostnames": ("is no DNS subdomain", is_subdomain),
    "HostAlias.ip": ("is no IP address", _is_ip),
    "HostPathVolumeSource.path": ("has `..` in it", lambda text: ".." not in text.split("/")),
    "KeyToPath.key": ("is no key", is_data_key),
    "KeyToPath.path": ("leaves the volume", is_volume_path),
    "NFSVolumeSource.path": ("is no absolute path", lambda text: text.startswith("/")),
    "PodDNSConfig.nameservers": ("is no IP address", _is_ip),
    "PodDNSConfig.searches": ("is no DNS subdomain", _is_search),
    "PodReadinessGate.conditionType": ("is no qualified name", is_qualified_name),
    "PodSpec.hostnameOverride": ("is no DNS subdomain", is_subdomain),
    "PodSpec.hostname": ("is no DNS label", is_label),
    "PodSpec.priorityClassName": ("is no DNS subdomain", is_subdomain),
    "PodSpec.runtimeClassName": ("is no DNS subdomain", is_subdomain),
    "PodSpec.subdomain": ("is no DNS label", is_label),
    "Sysctl.name": ("is no name of a sysctl", is_sysctl),
    "Toleration.key": ("is no qualified name", is_qualified_name),
    "Toleration.value": ("is no label's value", is_label_value),
    "Volume.name": ("is no DNS label", is_label),
    "VolumeMount.subPath": ("leaves the volume", is_local_path),
    "VolumeMount.subPathExpr": ("leaves the volume", is_local_path),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "AppArmorProfile.type": ("Localhost", "RuntimeDefault", "Unconfined"),
    "Container.imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "Container.terminationMessagePolicy": ("FallbackToLogsOnError", "File"),
    "ContainerPort.protocol": ("SCTP", "TCP", "UDP"),
    "ContainerResizePolicy.resourceName": ("cpu", "memory"),
    "ContainerResizePolicy.restartPolicy": ("NotRequired", "RestartContainer"),
    "HTTPGetAction.scheme": ("HTTP", "HTTPS"),
    "HostPathVolumeSource.type": (
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ),
    "ImageVolumeSource.pullPolicy": ("Always", "IfNotPresent", "Never"),
    "PodOS.name": ("linux", "windows"),
    "PodSecurityContext.fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "PodSecurityContext.supplementalGroupsPolicy": ("Merge", "Strict"),
    "PodSecurityContext.seLinuxChangePolicy": ("MountOption", "Recursive"),
    "PodSpec.dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "PodSpec.preemptionPolicy": ("Never", "PreemptLowerPriority"),
    "PodSpec.restartPolicy": ("Always", "Never", "OnFailure"),
    "SeccompProfile.type": ("Localhost", "RuntimeDefault", "Unconfined"),
    "SecurityContext.procMount": ("Default", "Unmasked"),
    "Toleration.effect": ("NoExecute", "NoSchedule", "PreferNoSchedule"),
    "Toleration.operator": ("Equal", "Exists"),
    "TopologySpreadConstraint.whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    "VolumeMount.mountPropagation": ("Bidirectional", "HostToContainer", "None"),
}
_ID = (0, 2**31 - 1)
_MODE = (0, 0o777)
_PORT = (1, 65535)
_COUNT = (0, 2**31 - 1)
_BOUNDS: Mapping[str, tuple[int, int]] = {
    "ConfigMapVolumeSource.defaultMode": _MODE,
    "ContainerPort.containerPort": _PORT,
    "ContainerPort.hostPort": (0, 65535),
    "DownwardAPIVolumeFile.mode": _MODE,
    "DownwardAPIVolumeSource.defaultMode": _MODE,
    "GRPCAction.port": _PORT,
    "HTTPGetAction.port": _PORT,
    "KeyToPath.mode": _MODE,
    "PodSecurityContext.fsGroup": _ID,
    "PodSecurityContext.runAsGroup": _ID,
    "PodSecurityContext.runAsUser": _ID,
    "PodSecurityContext.supplementalGroups": _ID,
    "PodSpec.activeDeadlineSeconds": (1, 2**31 - 1),
    "Probe.failureThreshold": _COUNT,
    "Probe.initialDelaySeconds": _COUNT,
    "Probe.periodSeconds": _COUNT,
    "Probe.successThreshold": _COUNT,
    "Probe.timeoutSeconds": _COUNT,
    "Probe.terminationGracePeriodSeconds": (1, 2**63 - 1),
    "ProjectedVolumeSource.defaultMode": _MODE,
    "SecretVolumeSource.defaultMode": _MODE,
    "SecurityContext.runAsGroup": _ID,
    "SecurityContext.runAsUser": _ID,
    "TCPSocketAction.port": _PORT,
    "TopologySpreadConstraint.maxSkew": _COUNT,
}


_NEVER_EMPTY = (
    "HostAlias.hostnames",
    "PodDNSConfig.nameservers",
    "PodDNSConfig.searches",
    "PodSecurityContext.fsGroupChangePolicy",
    "PodSecurityContext.supplementalGroupsPolicy",
    "PodSecurityContext.seLinuxChangePolicy",
    "PodSpec.hostnameOverride",
    "PodSpec.preemptionPolicy",
    "PodSpec.runtimeClassName",
    "SecurityContext.procMount",
    "VolumeMount.mountPropagation",
)
"""Where an empty text is not as good as none."""


def field_refusals(value: Any, kind: str, path: str) -> Iterator[Refusal]:
    """Yield what in single fields of a decoded value breaks a rule, at any depth.

    Args:
        value: Decoded, so that known fields have their types.
        kind: Its type, as `fields_of` knows it.
        path: Where it is in the pod.

    Example:
        >>> spec = {"containers": [{"name": "A", "image": "a:1"}], "restartPolicy": "Maybe"}
        >>> for each in field_refusals(spec, "PodSpec", "spec"):
        ...     print(each.text())
        spec.containers[0].name: is no DNS label
        spec.restartPolicy: is none of Always, Never, OnFailure
    """
    for name in _REQUIRED.get(kind, ()):
        if not value.get(name):
            yield Refusal(f"{path}.{name}", "is missing")
    for name, field in fields_of(kind).items():
        if name not in value:
            continue
        inner = field.strip("[]")
        for part, place in _parts(value[name], f"{path}.{name}"):
            yield from _field(part, f"{kind}.{name}", place)
            if inner[0].isupper():
                yield from field_refusals(part, inner, place)


def _parts(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    """Yield a value with its path, or each item of a list with its own."""
    if isinstance(value, list):
        yield from ((item, f"{path}[{number}]") for number, item in enumerate(value))
    else:
        yield value, path


def _field(value: Any, rule: str, path: str) -> Iterator[Refusal]:
    if value == "":
        if rule in _NEVER_EMPTY:
            yield Refusal(path, "is empty")
    elif rule in _TEXTS and not _TEXTS[rule][1](value):
        yield Refusal(path, _TEXTS[rule][0])
    elif rule in _CHOICES and value not in _CHOICES[rule]:
        yield Refusal(path, f"is none of {', '.join(_CHOICES[rule])}")
    elif rule in _BOUNDS:
        lowest, highest = _BOUNDS[rule]
        if isinstance(value, str):
            if not is_port_name(value):
                yield Refusal(path, "is neither a port nor the name of one")
        elif not lowest <= value <= highest:
            yield Refusal(path, f"is not between {lowest} and {highest}")
