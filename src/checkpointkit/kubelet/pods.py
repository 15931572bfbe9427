"""What stands in `data` of the pods' resources, and whether the kubelet takes it. Pure."""

from __future__ import annotations

from typing import Any, Final

from checkpointkit.kubelet.godecode import GoTypeError, decode, zero
from checkpointkit.kubelet.gojson import GoSyntaxError, parse
from checkpointkit.kubelet.gotypes import Amount, Field, ListOf, MapOf, Pointer, Struct, Text

__all__ = ["PODS_DATA", "PodsDataError", "check_pods_data"]

_AMOUNTS: Final = MapOf("v1.ResourceList", Amount(), Text("v1.ResourceName"))
_REQUIREMENTS: Final = Struct(
    "v1.ResourceRequirements",
    (
        Field("Limits", "limits", "limits", _AMOUNTS, omit_empty=True),
        Field("Requests", "requests", "requests", _AMOUNTS, omit_empty=True),
        Field(
            "Claims",
            "claims",
            "claims",
            ListOf(
                "[]v1.ResourceClaim",
                Struct(
                    "v1.ResourceClaim",
                    (
                        Field("Name", "name", "name", Text()),
                        Field("Request", "request", "request", Text(), omit_empty=True),
                    ),
                ),
            ),
            omit_empty=True,
        ),
    ),
)
PODS_DATA: Final = Struct(
    "state.PodResourceCheckpointInfo",
    (
        Field(
            "Entries",
            "entries",
            "entries",
            MapOf(
                "state.PodResourceInfoMap",
                Struct(
                    "state.PodResourceInfo",
                    (
                        Field(
                            "ContainerResources",
                            "ContainerResources",
                            "containers",
                            MapOf("map[string]v1.ResourceRequirements", _REQUIREMENTS),
                        ),
                        Field(
                            "PodLevelResources", "PodLevelResources", "pod", Pointer(_REQUIREMENTS)
                        ),
                    ),
                ),
                Text("types.UID"),
            ),
            omit_empty=True,
        ),
    ),
)
"""The document in `data` of allocated_pods_state and actuated_pods_state."""


class PodsDataError(ValueError):
    """The kubelet does not take the text in `data`; the message is Go's."""


def check_pods_data(data: str) -> dict[str, Any]:
    """Return what the kubelet makes of the text in `data`.

    Raises:
        PodsDataError: It takes it for no resources of pods.

    Example:
        >>> check_pods_data('{"entries":{}}')
        {'entries': {}}
    """
    try:
        return decode(PODS_DATA, parse(data.encode()), zero(PODS_DATA))
    except (GoSyntaxError, GoTypeError) as error:
        problem = str(error)
    raise PodsDataError(problem)
