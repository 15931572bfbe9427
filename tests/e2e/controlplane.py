"""etcd, API server, controllers and scheduler on loopback, on ports that are free."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.e2e.certificates import Authority, Pair
from tests.e2e.kube import Kube
from tests.e2e.processes import Process, eventually, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ControlPlane"]

_LOOPBACK: Final = "127.0.0.1"
_SERVICES: Final = "10.96.0.0/24"  # nobody routes it here
_REVIEWS: Final = {"group": "authorization.k8s.io", "resources": ["subjectaccessreviews"]}
_AUDIT: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "RequestResponse", "userGroups": ["system:nodes"], "resources": [_REVIEWS]},
        {"level": "None"},
    ],
}


class ControlPlane:
    """What schedules pods, and can go away while they run.

    Admission is the default one, with service accounts: each pod gets its token volume, as
    everywhere.

    Args:
        directory: For certificates and data.
        binaries: Where the components are.
        logs: Where they log.
    """

    def __init__(self, directory: Path, binaries: Path, logs: Path) -> None:
        self._directory, self._binaries, self._logs = directory, binaries, logs
        self.keys = directory / "pki"
        self.authority = Authority(self.keys)
        ports = free_ports(5)
        self._etcd, self._peers, self._port, *self._others = ports
        self.url = f"https://{_LOOPBACK}:{self._port}"
        names = ("IP:127.0.0.1", "IP:10.96.0.1", "DNS:localhost", "DNS:kubernetes.default.svc")
        self._serving = self.authority.server("apiserver", "kube-apiserver", *names)
        self._signing = self.authority.signing_key("service-accounts")
        admin = self.authority.client("admin", "admin", "system:masters")
        self.kube = Kube(self.url, self.authority.certificate, admin)
        self._to_kubelets = self.authority.client("to-kubelets", "apiserver", "system:masters")
        self._policy, self._audit = directory / "audit.json", directory / "audit.log"
        self._policy.write_text(json.dumps(_AUDIT))
        self._store: Process | None = None
        self._controllers: list[Process] = []
        self._server: Process | None = None

    def start(self) -> None:
        """Start all of it."""
        self._start_etcd()
        self.start_server()
        self.start_controllers()
        account = "/api/v1/namespaces/kube-system/serviceaccounts/default"
        eventually("the controllers work", lambda: self.kube.get(account))  # pods need it

    def stop_server(self) -> None:
        """End the API server, as its crash does; the others stay, and wait."""
        if self._server is not None:
            self._server.kill()
        self._server = None

    def start_server(self) -> None:
        """Start the API server, and wait until it serves."""
        self._server = Process("kube-apiserver", self.server_command(), self._log("apiserver"))
        self._server.until(self.kube.is_ready, 120)

    def start_controllers(self) -> None:
        """Start what makes pods, and what gives them their node."""
        for name, port in zip(("controller-manager", "scheduler"), self._others, strict=True):
            self._controllers.append(self._start_controller(name, port))

    def stop_controllers(self) -> None:
        """End them; what they remember of objects goes, too."""
        for process in self._controllers:
            process.kill()
        self._controllers.clear()

    def stop(self) -> None:
        """End all of it."""
        self.stop_controllers()
        self.stop_server()
        if self._store is not None:
            self._store.kill()
        self._store = None

    def audited(self) -> list[dict[str, Any]]:
        """Return what the API server has noted: who has asked for what."""
        return [json.loads(line) for line in self._audit.read_text().splitlines()]

    def kubeconfig(self, name: str, user: Mapping[str, str] | Pair) -> Path:
        """Write a kubeconfig, and return where it is.

        Args:
            name: Of its file.
            user: What it says to the API server: a certificate, or `{"token": ...}`.
        """
        if isinstance(user, Pair):
            user = {"client-certificate": str(user.certificate), "client-key": str(user.key)}
        said = "".join(f"    {key}: {value}\n" for key, value in user.items())
        path = self._directory / f"{name}.kubeconfig"
        path.touch(0o600)
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: e2e\n"
            f"contexts:\n- name: e2e\n  context: {{cluster: e2e, user: {name}}}\n"
            f"clusters:\n- name: e2e\n  cluster:\n    server: {self.url}\n"
            f"    certificate-authority: {self.authority.certificate}\n"
            f"users:\n- name: {name}\n  user:\n{said}"
        )
        return path

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _start_etcd(self) -> None:
        clients = f"http://{_LOOPBACK}:{self._etcd}"
        peers = f"http://{_LOOPBACK}:{self._peers}"
        flags = (
            *("--name=e2e", f"--data-dir={self._directory / 'etcd'}", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"),
            *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"),
            f"--initial-cluster=e2e={peers}",
        )
        command = [str(self._binaries / "etcd"), *flags]
        self._store = Process("etcd", command, self._log("etcd"))

    def server_command(self) -> list[str]:
        """Return the words that start the API server."""
        public = self._signing  # with EC, the key's file has the public part, too
        kubelets = self._to_kubelets
        return [
            str(self._binaries / "kube-apiserver"),
            f"--etcd-servers=http://{_LOOPBACK}:{self._etcd}",
            f"--bind-address={_LOOPBACK}",
            f"--advertise-address={_LOOPBACK}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={self._serving.certificate}",
            f"--tls-private-key-file={self._serving.key}",
            f"--client-ca-file={self.authority.certificate}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-cluster-ip-range={_SERVICES}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={self._signing}",
            f"--kubelet-client-certificate={kubelets.certificate}",
            f"--kubelet-client-key={kubelets.key}",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            "--endpoint-reconciler-type=none",  # a service may not lead to loopback
            "--allow-privileged=true",
            "--permit-port-sharing=true",  # a pod may take it over
            f"--audit-policy-file={self._policy}",
            f"--audit-log-path={self._audit}",
        ]

    def _start_controller(self, name: str, port: int) -> Process:
        pair = self.authority.client(name, f"system:kube-{name}")
        kubeconfig = self.kubeconfig(name, pair)
        flags = [
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--bind-address={_LOOPBACK}",
            f"--secure-port={port}",
            "--leader-elect=false",
        ]
        if name == "controller-manager":
            flags += [
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={self._signing}",
                f"--root-ca-file={self.authority.certificate}",
            ]
        command = [str(self._binaries / f"kube-{name}"), *flags]
        return Process(f"kube-{name}", command, self._log(name))
