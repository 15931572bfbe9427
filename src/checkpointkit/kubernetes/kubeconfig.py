"""Which API server, and as whom: kubeconfig files and service accounts, read by lightkube.

The requests are made with a client of our own, for what counts is the status and the body as they
came, and the time until they came.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from typing import TYPE_CHECKING, Final

from attrs import frozen

from checkpointkit._extras import require
from checkpointkit.kubernetes.http import (
    Marks,
    SourceConfigError,
    as_go_verifies,
    check_url,
    marks_of,
)

require("kubernetes", "lightkube")

from lightkube.config import client_adapter  # noqa: E402 - only now it is known to be there
from lightkube.config.kubeconfig import KubeConfig, SingleConfig  # noqa: E402
from lightkube.config.models import User  # noqa: E402

from checkpointkit.kubernetes import transport  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import httpx2

__all__ = ["SOURCE", "ApiServerOpener"]

SOURCE: Final = "the API server"

_EXEC_VERSIONS: Final = {
    "client.authentication.k8s.io/v1alpha1",
    "client.authentication.k8s.io/v1beta1",
}
"""Those that lightkube 1.0 speaks."""


@frozen(kw_only=True)
class ApiServerOpener:
    """How connections to the API server are made.

    Attributes:
        kubeconfig: The path of a kubeconfig file; None for the pod's service account.
        context: The context in it; None for its current one.
        service_account: The directory of the service account.
        max_bytes: The largest body.
        clock: A clock that is never set.
    """

    kubeconfig: str | None
    context: str | None
    service_account: str
    max_bytes: int
    clock: Callable[[], float]

    def open(self) -> transport.Channel:
        """Return a new connection, from files as they are now.

        Raises:
            SourceConfigError: They cannot be used.
        """
        # The marks first: what is replaced in between is read again.
        marks = marks_of([self.kubeconfig]) if self.kubeconfig is not None else {}
        problem = ""
        try:
            config = self._config()
            marks |= _marks(config)
            return self._channel(config, marks)
        except SourceConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - lightkube raises what comes up in a wrong file
            problem = _explain(error)
        raise SourceConfigError(SOURCE, f"{self._named()} cannot be used: {problem}")

    def explain(self, error: Exception) -> str:
        """Return why a request failed."""
        return transport.explain(error)

    def _named(self) -> str:
        if self.kubeconfig is not None:
            return f"the kubeconfig {self.kubeconfig}"
        return (
            f"the service account in {self.service_account} (give a kubeconfig, or run in a pod "
            "with automountServiceAccountToken)"
        )

    def _config(self) -> SingleConfig:
        if self.kubeconfig is None:
            for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
                if not os.environ.get(name):
                    raise _ProblemError(f"{name} is not set")
            whole = KubeConfig.from_service_account(self.service_account)
        else:
            whole = KubeConfig.from_file(self.kubeconfig)
        name = self.context if self.context is not None else whole.current_context or ""
        # lightkube has errors for some of what may be missing, and quotes the file in others.
        if not name:
            raise _ProblemError("it has no current context; name one")
        context = whole.contexts.get(name)
        if context is None:
            raise _ProblemError("it has no context of the name wanted")
        if context.cluster not in whole.clusters:
            raise _ProblemError("the cluster of its context is missing")
        if context.user and context.user not in whole.users:
            raise _ProblemError("the user of its context is missing")
        config = whole.get(name)
        assert config is not None  # noqa: S101 - without a default it is there, or has raised
        return config

    def _channel(self, config: SingleConfig, marks: Marks) -> transport.Channel:
        scheme, host = check_url(SOURCE, config.cluster.server)
        if config.cluster.insecure:
            raise _ProblemError(
                "it has insecure-skip-tls-verify; whoever answers then could have copies removed: "
                "give certificate-authority instead"
            )
        if scheme == "http" and not _is_loopback(host):
            raise _ProblemError("its server is asked over http; give an https URL")
        user = config.user or User()
        return transport.Channel(
            config.cluster.server,
            _context(config, user) if scheme == "https" else None,
            auth=_auth(config, user),
            limit=self.max_bytes,
            clock=self.clock,
            marks=marks,
        )


class _ProblemError(Exception):
    """What is wrong with a configuration; it quotes nothing of it."""


class _Plugin(transport.Auth):
    """An exec plugin, whose failures quote what it has written: these do not."""

    def __init__(self, inner: httpx2.Auth) -> None:
        self._inner = inner

    def sync_auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        try:
            yield from self._inner.sync_auth_flow(request)
        except Exception as error:  # noqa: BLE001 - whatever a program does that is not ours
            problem = type(error).__name__
        else:
            return
        raise transport.CredentialsError(
            f"the exec plugin of the kubeconfig failed ({problem}); run it by hand to see why"
        )


def _auth(config: SingleConfig, user: User) -> httpx2.Auth | None:
    if user.token_file is not None:
        return transport.TokenFile(str(config.abs_file(user.token_file)))
    if user.exec is not None and user.token is None:
        if user.exec.apiVersion not in _EXEC_VERSIONS:
            raise _ProblemError(
                "the version of its exec plugin's API is not supported; use v1beta1, a client "
                "certificate, or tokenFile"
            )
        return _Plugin(client_adapter.ExecAuth(user.exec))
    return client_adapter.user_auth(user)


def _context(config: SingleConfig, user: User) -> ssl.SSLContext:
    context = client_adapter.verify_cluster(config.cluster, user, config.abs_file, trust_env=False)
    return as_go_verifies(context)


def _marks(config: SingleConfig) -> Marks:
    user = config.user or User()
    files = (config.cluster.certificate_auth, user.client_cert, user.client_key)
    return marks_of(str(config.abs_file(file)) for file in files if file)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _explain(error: Exception) -> str:
    if isinstance(error, _ProblemError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return f"a certificate or key in it is none that TLS takes ({error.reason})"
    if isinstance(error, OSError):
        at = f"{error.filename}: " if error.filename else ""
        return f"{at}{error.strerror or error}"
    # Messages of a YAML parser and of lightkube quote the file, and there are tokens in it.
    return f"it is not what it should be ({type(error).__name__}); kubectl config view may tell"
