"""What a kubelet demands of a static pod's spec where one rule joins several fields.

The rules are those of `pkg/apis/core/validation/validation.go` of Kubernetes 1.34.2, called with
no option set, as a kubelet does for files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.kubernetes.grammar import is_label_value, is_qualified_name
from checkpointkit.kubernetes.quantity import parse_quantity
from checkpointkit.pods.rules.decoding import Refusal
from checkpointkit.pods.rules.downward import file_refusals, variable_refusals
from checkpointkit.pods.rules.fieldrules import field_refusals
from checkpointkit.pods.rules.fields import fields_of
from checkpointkit.pods.rules.resources import resource_refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["spec_refusals"]

_GRACE = 30
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_SOURCES = fields_of("Volume").keys() - {"name"}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def spec_refusals(spec: Mapping[str, Any]) -> Iterator[Refusal]:
    """Yield what in a decoded spec breaks a rule, references to objects of the API aside.

    Example:
        >>> mount = {"name": "gone", "mountPath": "/data"}
        >>> container = {"name": "a", "image": "a:1", "volumeMounts": [mount]}
        >>> for each in spec_refusals({"containers": [container]}):
        ...     print(each.text())
        spec.containers[0].volumeMounts[0].name: names no volume
    """
    yield from field_refusals(spec, "PodSpec", "spec")
    if not spec.get("containers"):
        yield Refusal("spec.containers", "is missing")
    for field in ("ephemeralContainers", "schedulingGates"):
        if spec.get(field):
            yield Refusal(f"spec.{field}", "may not be set for a static pod")
    yield from _twice("spec.volumes", spec.get("volumes", ()))
    for number, volume in enumerate(spec.get("volumes", ())):
        yield from _volume(volume, f"spec.volumes[{number}]")
    yield from _names(spec)
    for kind in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(kind, ())):
            path = f"spec.{kind}[{number}]"
            yield from _container(container, path, spec)
            yield from (_hooks if kind == "containers" else _init)(container, path)
            yield from _sleep(container, f"{path}.lifecycle", spec)
    yield from _host(spec)
    if spec.get("dnsPolicy") == "None" and not spec.get("dnsConfig", {}).get("nameservers"):
        yield Refusal("spec.dnsConfig.nameservers", "is missing, which dnsPolicy None needs")
    yield from _scheduling(spec)


def _scheduling(spec: Mapping[str, Any]) -> Iterator[Refusal]:
    for name, value in spec.get("nodeSelector", {}).items():
        if not is_qualified_name(name) or not is_label_value(value):
            yield Refusal(f"spec.nodeSelector[{name}]", "is no label")
    yield from resource_refusals({"limits": spec.get("overhead", {})}, "spec.overhead")
    for number, toleration in enumerate(spec.get("tolerations", ())):
        yield from _toleration(toleration, f"spec.tolerations[{number}]")


def _twice(path: str, items: Iterable[Mapping[str, Any]], field: str = "name") -> Iterator[Refusal]:
    seen = set()
    for number, item in enumerate(items):
        if item.get(field) and item[field] in seen:
            yield Refusal(f"{path}[{number}].{field}", "is there twice")
        seen.add(item.get(field))


def _volume(volume: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    if len(volume.keys() & _SOURCES) > 1:
        yield Refusal(path, "has more than one source")
    if (parse_quantity(volume.get("emptyDir", {}).get("sizeLimit", 0)) or 0) < 0:
        yield Refusal(f"{path}.emptyDir.sizeLimit", "is negative")
    items = volume.get("downwardAPI", {}).get("items", ())
    for number, item in enumerate(items):
        yield from file_refusals(item, f"{path}.downwardAPI.items[{number}]")
    paths = []
    for number, source in enumerate(volume.get("projected", {}).get("sources", ())):
        place = f"{path}.projected.sources[{number}]"
        for index, item in enumerate(source.get("downwardAPI", {}).get("items", ())):
            yield from file_refusals(item, f"{place}.downwardAPI.items[{index}]")
        for form in ("secret", "configMap", "downwardAPI"):
            paths += [item.get("path") for item in source.get(form, {}).get("items", ())]
    if len(set(paths)) < len(paths):
        yield Refusal(f"{path}.projected", "has two files at one path")


def _sleep(container: Mapping[str, Any], path: str, spec: Mapping[str, Any]) -> Iterator[Refusal]:
    grace = max(spec.get("terminationGracePeriodSeconds", _GRACE), 1)
    for name in ("postStart", "preStop"):
        handler = container.get("lifecycle", {}).get(name, {})
        if "sleep" in handler and not 0 < handler["sleep"].get("seconds", 0) <= grace:
            reason = "is not between 1 and terminationGracePeriodSeconds"
            yield Refusal(f"{path}.{name}.sleep.seconds", reason)
    if "stopSignal" in container.get("lifecycle", {}) and "os" not in spec:
        yield Refusal(f"{path}.stopSignal", "needs spec.os.name")


def _names(spec: Mapping[str, Any]) -> Iterator[Refusal]:
    yield from _twice("spec.containers", spec.get("containers", ()))
    regular = {each.get("name") for each in spec.get("containers", ())}
    yield from _twice("spec.initContainers", spec.get("initContainers", ()))
    for number, container in enumerate(spec.get("initContainers", ())):
        if container.get("name") in regular:
            yield Refusal(f"spec.initContainers[{number}].name", "is there twice")


def _container(
    container: Mapping[str, Any], path: str, spec: Mapping[str, Any]
) -> Iterator[Refusal]:
    yield from _mounts(container, path, {each.get("name") for each in spec.get("volumes", ())})
    yield from _twice(f"{path}.ports", container.get("ports", ()))
    for number, variable in enumerate(container.get("env", ())):
        yield from _variable(variable, f"{path}.env[{number}]", spec)
    for number, source in enumerate(container.get("envFrom", ())):
        if len(source.keys() & {"configMapRef", "secretRef"}) != 1:
            yield Refusal(f"{path}.envFrom[{number}]", "needs one of configMapRef and secretRef")
    yield from resource_refusals(container.get("resources", {}), f"{path}.resources")
    yield from _twice(
        f"{path}.resizePolicy", container.get("resizePolicy", ()), field="resourceName"
    )
    context = container.get("securityContext", {})
    if context.get("privileged") and context.get("allowPrivilegeEscalation") is False:
        yield Refusal(f"{path}.securityContext", "is privileged, yet may not escalate privileges")
    if context.get("procMount") == "Unmasked" and spec.get("hostUsers") is not False:
        yield Refusal(f"{path}.securityContext.procMount", "needs hostUsers to be false")


def _mounts(container: Mapping[str, Any], path: str, volumes: set[Any]) -> Iterator[Refusal]:
    mounts = container.get("volumeMounts", ())
    yield from _twice(f"{path}.volumeMounts", mounts, field="mountPath")
    privileged = container.get("securityContext", {}).get("privileged", False)
    for number, mount in enumerate(mounts):
        place = f"{path}.volumeMounts[{number}]"
        if mount.get("name") and mount["name"] not in volumes:
            yield Refusal(f"{place}.name", "names no volume")
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield Refusal(f"{place}.subPathExpr", "is not possible beside subPath")
        if mount.get("mountPropagation") == "Bidirectional" and not privileged:
            yield Refusal(f"{place}.mountPropagation", "needs a privileged container")
    for number, device in enumerate(container.get("volumeDevices", ())):
        # A block device comes from a claim, which no static pod may have.
        if device.get("name") not in volumes:
            yield Refusal(f"{path}.volumeDevices[{number}].name", "names no volume")
        else:
            yield Refusal(f"{path}.volumeDevices[{number}]", "needs a persistent volume claim")


def _variable(variable: Mapping[str, Any], path: str, spec: Mapping[str, Any]) -> Iterator[Refusal]:
    if "valueFrom" not in variable:
        return
    source = variable["valueFrom"]
    used = [name for name in _ENV_SOURCES if name in source]
    if len(used) != 1 or variable.get("value"):
        yield Refusal(f"{path}.valueFrom", "needs one source, and no value beside it")
    yield from variable_refusals(source, f"{path}.valueFrom")
    if "fileKeyRef" in source:
        wanted = source["fileKeyRef"].get("volumeName")
        found = [each for each in spec.get("volumes", ()) if each.get("name") == wanted]
        if not found or found[0].keys() & (_SOURCES - {"emptyDir"}):
            yield Refusal(f"{path}.valueFrom.fileKeyRef.volumeName", "names no emptyDir volume")


def _hooks(container: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    for name in _PROBES:
        if name in container:
            yield from _handler(container[name], f"{path}.{name}", _HANDLERS[:-1])
            if name != "readinessProbe" and container[name].get("successThreshold", 1) > 1:
                yield Refusal(f"{path}.{name}.successThreshold", "is not 1")
    for name, handler in container.get("lifecycle", {}).items():
        if name in ("postStart", "preStop"):
            yield from _handler(handler, f"{path}.lifecycle.{name}", _HANDLERS)
    if "terminationGracePeriodSeconds" in container.get("readinessProbe", {}):
        yield Refusal(f"{path}.readinessProbe.terminationGracePeriodSeconds", "ends no container")
    if "restartPolicy" in container and path.startswith("spec.containers"):
        yield Refusal(f"{path}.restartPolicy", "may be set for init containers alone")


def _handler(handler: Mapping[str, Any], path: str, kinds: tuple[str, ...]) -> Iterator[Refusal]:
    if sum(kind in handler for kind in kinds) != 1:
        yield Refusal(path, f"needs one of {', '.join(kinds)}")


def _init(container: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    if container.get("resizePolicy"):
        yield Refusal(f"{path}.resizePolicy", "may not be set for an init container")
    if container.get("restartPolicy") == "Always":
        yield from _hooks(container, path)
        return
    if "restartPolicy" in container:
        yield Refusal(f"{path}.restartPolicy", "is not Always")
    for name in ("lifecycle", *_PROBES):
        if name in container:
            yield Refusal(f"{path}.{name}", "needs an init container with restartPolicy Always")


def _host(spec: Mapping[str, Any]) -> Iterator[Refusal]:
    network = spec.get("hostNetwork", False)
    regular = [
        (f"spec.containers[{number}].ports[{index}].hostPort", port)
        for number, container in enumerate(spec.get("containers", ()))
        for index, port in enumerate(container.get("ports", ()))
    ]
    for path, port in regular:
        if network and port.get("hostPort", 0) not in (0, port.get("containerPort")):
            yield Refusal(path, "differs from containerPort, though hostNetwork is set")
    yield from _taken(regular, network=network)
    for number, container in enumerate(spec.get("initContainers", ())):
        path = f"spec.initContainers[{number}]"
        ports = enumerate(container.get("ports", ()))
        own = [(f"{path}.ports[{index}].hostPort", port) for index, port in ports]
        yield from _taken(own, network=network)
    if spec.get("hostUsers") is False:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                yield Refusal(f"spec.{field}", "is not possible while hostUsers is false")
    sysctls = spec.get("securityContext", {}).get("sysctls", ())
    for number, sysctl in enumerate(sysctls):
        name = sysctl.get("name", "").replace("/", ".")
        if (network and name.startswith("net.")) or (spec.get("hostIPC") and name.startswith(_IPC)):
            path = f"spec.securityContext.sysctls[{number}].name"
            yield Refusal(path, "belongs to the host in this pod")
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        yield Refusal("spec.shareProcessNamespace", "is not possible beside hostPID")


def _taken(ports: Iterable[tuple[str, Mapping[str, Any]]], *, network: bool) -> Iterator[Refusal]:
    seen = set()
    for path, port in ports:
        host = port.get("hostPort") or (network and port.get("containerPort"))
        taken = (host, port.get("protocol") or "TCP", port.get("hostIP", ""))
        if host and taken in seen:
            yield Refusal(path, "is there twice")
        seen.add(taken)


def _toleration(toleration: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    if not toleration.get("key") and toleration.get("operator") != "Exists":
        yield Refusal(f"{path}.operator", "has to be Exists where there is no key")
    if toleration.get("value") and toleration.get("operator") == "Exists":
        yield Refusal(f"{path}.value", "has to be empty for the operator Exists")
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        yield Refusal(f"{path}.effect", "has to be NoExecute beside tolerationSeconds")
