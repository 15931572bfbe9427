"""Ports of a pod in the host's network: a copy declares none, so that it can run beside the parent.

A declared port of such a pod is a host port, and a kubelet rejects a second pod with the same host
port for good (`Failed`, `NodePorts`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["without_ports"]

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")
_ACTIONS = ("httpGet", "tcpSocket")


def without_ports(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decoded container without ports, those that probes and hooks name put in place.

    Example:
        >>> without_ports({
        ...     "ports": [{"name": "http", "containerPort": 80}],
        ...     "livenessProbe": {"httpGet": {"port": "http"}},
        ... })
        {'livenessProbe': {'httpGet': {'port': 80}}}
    """
    ports = {
        port["name"]: port.get("containerPort")
        for port in reversed(container.get("ports", ()))  # the first of a name counts
        if port.get("name")
    }
    copy = {name: part for name, part in container.items() if name != "ports"}
    _resolve(copy, _PROBES, ports)
    if "lifecycle" in copy:
        copy["lifecycle"] = dict(copy["lifecycle"])
        _resolve(copy["lifecycle"], _HOOKS, ports)
    return copy


def _resolve(handlers: dict[str, Any], names: tuple[str, ...], ports: Mapping[str, Any]) -> None:
    for name in names:
        for action in _ACTIONS:
            port = handlers.get(name, {}).get(action, {}).get("port")
            if isinstance(port, str) and port in ports:
                changed = {**handlers[name][action], "port": ports[port]}
                handlers[name] = {**handlers[name], action: changed}
