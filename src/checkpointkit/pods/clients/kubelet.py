"""The kubelet of this node."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Final, Self

from attrs import frozen

from checkpointkit.kubernetes.failed import Failed
from checkpointkit.kubernetes.http import (
    MAX_BODY,
    Http,
    SourceConfigError,
    as_go_verifies,
    check_url,
    marks_of,
)
from checkpointkit.pods.answers import PodList, read_kubelet_list
from checkpointkit.pods.clients.podlists import PodLists

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpointkit.kubernetes.http import Connection
    from checkpointkit.kubernetes.patience import Patience

__all__ = ["KubeletClient"]

_OK: Final = 200
_SOURCE: Final = "the kubelet"


class KubeletClient:
    """Asks the kubelet for the pods of its node (`sources.Kubelet`); made by `connect`.

    Args:
        http: The way to it.
    """

    def __init__(self, http: Http) -> None:
        self._http = http
        self._lists = PodLists(read_kubelet_list)

    @classmethod
    def connect(  # noqa: PLR0913 - each by its name
        cls,
        url: str = "https://127.0.0.1:10250",
        *,
        token_file: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        ca: str | None = None,
        server_name: str | None = None,
        timeout: float = 10.0,
        max_bytes: int = MAX_BODY,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
    ) -> Self:
        """Return a client; nothing is asked yet, so that the kubelet need not be there.

        The kubelet's certificate is verified, always. Mostly it is not signed by the cluster's
        CA, and it bears the node's name and addresses, but not 127.0.0.1:

        - With `serverTLSBootstrap: true` in the kubelet's configuration, and its request
          approved, `ca` is the cluster's CA, and `server_name` the node's name.
        - Without it, the kubelet signs one for the node's name at its first start: `ca` is
          `/var/lib/kubelet/pki/kubelet.crt`, and `server_name` the node's name.

        The port for reading, which wants no credentials and has no TLS, is asked where the URL
        says so: `http://127.0.0.1:10255`.

        Files that are replaced later (tokens and certificates rotate) are read again.

        Args:
            url: The kubelet's URL.
            token_file: A file with a bearer token; its account may get `nodes/pods`, or
                `nodes/proxy` in older clusters.
            certificate: A file with a client certificate (PEM).
            key: A file with its key; None if it is in the same file.
            ca: A file with the certificates that the kubelet's is verified with; None for those
                of the system.
            server_name: The name that the kubelet's certificate has to bear; None for the one in
                the URL.
            timeout: Seconds for a request, all in all.
            max_bytes: The largest answer.
            clock: A clock that is never set.
            patience: When a kubelet is asked again that has not answered in time.

        Raises:
            SourceConfigError: A file cannot be used, or the URL.
            MissingExtraError: The extra `kubernetes` is not installed.
        """
        scheme, _ = check_url(_SOURCE, url)
        files = [file for file in (token_file, certificate, key, ca) if file is not None]
        if scheme == "http" and (files or server_name):
            raise SourceConfigError(_SOURCE, "over http nothing is verified; give an https URL")
        if key is not None and certificate is None:
            raise SourceConfigError(_SOURCE, "there is a key, and no certificate; give both")
        opener = _Opener(
            url=url,
            is_secure=scheme == "https",
            token_file=token_file,
            certificate=certificate,
            key=key,
            ca=ca,
            server_name=server_name,
            max_bytes=max_bytes,
            clock=clock,
        )
        return cls(Http(opener, timeout=timeout, clock=clock, patience=patience))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def pods(self) -> PodList | Failed:
        """Return the pods that the kubelet knows, static ones too.

        Where nothing has changed, it is the object of the last time.
        """
        reply = self._http.get("/pods")
        if isinstance(reply, Failed):
            return reply
        if reply.status != _OK:
            return read_kubelet_list(reply.status, None)
        page = self._lists.page(0, reply.body)
        return page if isinstance(page, Failed) else page[1]


@frozen(kw_only=True)
class _Opener:
    """How connections to a kubelet are made; the arguments are those of `connect`."""

    url: str
    is_secure: bool
    token_file: str | None
    certificate: str | None
    key: str | None
    ca: str | None
    server_name: str | None
    max_bytes: int
    clock: Callable[[], float]

    def open(self) -> Connection:
        from checkpointkit.kubernetes import transport  # noqa: PLC0415 - it needs an extra

        # The marks first: what is replaced in between is read again.
        marks = marks_of(file for file in (self.certificate, self.key, self.ca) if file)
        return transport.Channel(
            self.url,
            self._context() if self.is_secure else None,
            auth=transport.TokenFile(self.token_file) if self.token_file else None,
            server_name=self.server_name,
            limit=self.max_bytes,
            clock=self.clock,
            marks=marks,
        )

    def explain(self, error: Exception) -> str:
        from checkpointkit.kubernetes import transport  # noqa: PLC0415 - it needs an extra

        return transport.explain(error)

    def _context(self) -> ssl.SSLContext:
        problem = f"the file {self.ca} with its CA"
        try:
            context = as_go_verifies(ssl.create_default_context(cafile=self.ca))
            if self.certificate is None:
                return context
            problem = f"the client certificate {self.certificate}, or its key,"
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
            problem = f"{problem} cannot be used: {reason or 'it is none'}"
        else:
            return context
        raise SourceConfigError(_SOURCE, problem)


def _no_password() -> str:
    """Refuse to ask for the password of an encrypted key, which OpenSSL does on the terminal."""
    raise ValueError("the key is encrypted")
