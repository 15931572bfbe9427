"""The grammars of Kubernetes' names: what of a pod is a good name, a good path, a good key.

The rules are those of `k8s.io/apimachinery/pkg/util/validation` (1.34).
"""

from __future__ import annotations

import re

__all__ = [
    "is_data_key",
    "is_env_name",
    "is_header_name",
    "is_label",
    "is_label_value",
    "is_local_path",
    "is_port_name",
    "is_qualified_name",
    "is_subdomain",
    "is_sysctl",
]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_ENV = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_HEADER = re.compile(r"[-A-Za-z0-9]+")
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PORT = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SYSCTL_PART = r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = re.compile(rf"({_SYSCTL_PART}[./])*{_SYSCTL_PART}")


def is_label(text: str) -> bool:
    """Tell whether it is a DNS label: the name of a container, a volume or a namespace.

    Example:
        >>> is_label("kube-system"), is_label("kube.system")
        (True, False)
    """
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None  # noqa: PLR2004 - RFC 1123


def is_subdomain(text: str) -> bool:
    """Tell whether it is a DNS subdomain: the name of a pod, a secret or a config map.

    Example:
        >>> is_subdomain("tls.example.com"), is_subdomain("../etc")
        (True, False)
    """
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None  # noqa: PLR2004 - RFC 1123


def is_qualified_name(text: str) -> bool:
    """Tell whether it is the key of a label or an annotation.

    Example:
        >>> is_qualified_name("example.com/name"), is_qualified_name("a/b/c")
        (True, False)
    """
    prefix, slash, name = text.rpartition("/")
    return (is_subdomain(prefix) if slash else True) and is_label_value(name) and bool(name)


def is_label_value(text: str) -> bool:
    """Tell whether it is the value of a label; it may be empty.

    Example:
        >>> is_label_value("v1.2_3"), is_label_value("-")
        (True, False)
    """
    return not text or (len(text) <= 63 and _NAME.fullmatch(text) is not None)  # noqa: PLR2004


def is_env_name(text: str) -> bool:
    """Tell whether a static pod may have a variable of this name.

    The API server takes nearly any name; a kubelet that reads a file does not.

    Example:
        >>> is_env_name("log.level"), is_env_name("1ST")
        (True, False)
    """
    return _ENV.fullmatch(text) is not None and text != "." and not text.startswith("..")


def is_header_name(text: str) -> bool:
    """Tell whether it is the name of an HTTP header, as a probe may send it.

    Example:
        >>> is_header_name("X-Probe"), is_header_name("X_Probe")
        (True, False)
    """
    return _HEADER.fullmatch(text) is not None


def is_data_key(text: str) -> bool:
    """Tell whether it is a key in a secret or a config map, and so a good name of a file.

    Example:
        >>> is_data_key("ca.crt"), is_data_key("..data")
        (True, False)
    """
    good = len(text) <= 253 and _KEY.fullmatch(text) is not None  # noqa: PLR2004
    return good and text != "." and not text.startswith("..")


def is_port_name(text: str) -> bool:
    """Tell whether it is the name of a port (an IANA service name).

    Example:
        >>> is_port_name("dns-tcp"), is_port_name("8080")
        (True, False)
    """
    return len(text) <= 15 and _PORT.fullmatch(text) is not None  # noqa: PLR2004 - RFC 6335


def is_local_path(text: str) -> bool:
    """Tell whether a path stays below the directory that it is relative to.

    Example:
        >>> is_local_path("sub/kubeconfig"), is_local_path("/etc"), is_local_path("a/../b")
        (True, False, False)
    """
    return bool(text) and not text.startswith("/") and ".." not in text.split("/")


def is_sysctl(text: str) -> bool:
    """Tell whether it is the name of a sysctl, with dots or slashes.

    Example:
        >>> is_sysctl("net.core.somaxconn"), is_sysctl("net..core")
        (True, False)
    """
    return len(text) <= 253 and _SYSCTL.fullmatch(text) is not None  # noqa: PLR2004
