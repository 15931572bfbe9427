"""A certificate authority for one run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Authority", "Pair"]

_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@frozen
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority, made here.

    Args:
        directory: Where its certificates go.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.pair = Pair(directory / "ca.crt", directory / "ca.key")
        _openssl(
            "req",
            "-x509",
            *_KEY,
            *("-days", "2", "-subj", "/CN=checkpointkit-e2e"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", str(self.pair.key), "-out", str(self.pair.certificate)),
        )

    @property
    def certificate(self) -> Path:
        """Its own certificate."""
        return self.pair.certificate

    def client(self, name: str, user: str, group: str = "") -> Pair:
        """Return a certificate that a client shows.

        Args:
            name: Of its files.
            user: Who the client is.
            group: What it belongs to.
        """
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        return self._issue(name, subject, "extendedKeyUsage=clientAuth")

    def server(self, name: str, user: str, *names: str) -> Pair:
        """Return a certificate that a server shows.

        Args:
            name: Of its files.
            user: Who the server is.
            names: How clients call it: `IP:127.0.0.1`, `DNS:localhost`.
        """
        extensions = f"subjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth"
        return self._issue(name, f"/CN={user}", extensions)

    def signing_key(self, name: str) -> Path:
        """Return a key without a certificate."""
        key = self._directory / f"{name}.key"
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
        return key

    def _issue(self, name: str, subject: str, extensions: str) -> Pair:
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        request, extra = (self._directory / f"{name}.{end}" for end in ("csr", "ext"))
        extra.write_text(extensions)
        _openssl("req", *_KEY, "-subj", subject, "-keyout", str(pair.key), "-out", str(request))
        _openssl(
            *("x509", "-req", "-days", "2", "-CAcreateserial"),
            *("-in", str(request), "-extfile", str(extra), "-out", str(pair.certificate)),
            *("-CA", str(self.certificate), "-CAkey", str(self.pair.key)),
        )
        return pair


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr.strip()}")
