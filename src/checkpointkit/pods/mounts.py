"""Which sets of files a manifest mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpointkit.pods.rules.decoding import decoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpointkit.pods.assets import Roots

__all__ = ["mounted"]


def mounted(manifest: Mapping[str, Any], roots: Roots) -> tuple[str, ...]:
    """Return the places of the sets that a manifest mounts, sorted.

    Args:
        manifest: A manifest that a kubelet takes (`acceptance.refusals` has nothing against it).
        roots: Where the sets are.

    Example:
        >>> from checkpointkit.pods.assets import Roots
        >>> tls = {"path": "/etc/kubernetes/checkpoint-secrets/prod/web/tls"}
        >>> logs = {"path": "/var/log"}
        >>> volumes = [{"name": "tls", "hostPath": tls}, {"name": "logs", "hostPath": logs}]
        >>> mounted({"spec": {"volumes": volumes}}, Roots())
        ('secrets/prod/web/tls',)
    """
    known, _ = decoded(manifest)  # a null is as good as nothing
    paths = [
        volume.get("hostPath", {}).get("path", "")
        for volume in known.get("spec", {}).get("volumes", ())
    ]
    return tuple(
        sorted(
            {
                f"{root}/{path.removeprefix(f'{directory}/')}"
                for root, directory in (
                    ("secrets", roots.secrets),
                    ("configmaps", roots.configmaps),
                )
                for path in paths
                if path.startswith(f"{directory}/")
            }
        )
    )
