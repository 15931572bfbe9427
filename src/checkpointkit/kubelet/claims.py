"""What stands in `Data` of the resource claims, and whether the kubelet takes it. Pure.

Source: `pkg/kubelet/cm/dra/state/{checkpoint,state}.go` and `newClaimInfoCache` of Kubernetes
1.36.3.
"""

from __future__ import annotations

from typing import Any, Final

from checkpointkit.kubelet.godecode import GoTypeError, decode, zero
from checkpointkit.kubelet.gojson import GoSyntaxError, parse
from checkpointkit.kubelet.gotypes import Field, ListOf, MapOf, Struct, Text

__all__ = ["CLAIMS_DATA", "ClaimsDataError", "check_claims_data"]

_TEXTS: Final = ListOf("[]string", Text())
_DEVICE: Final = Struct(
    "state.Device",
    (
        Field("PoolName", "PoolName", "pool", Text()),
        Field("DeviceName", "DeviceName", "device", Text()),
        Field("ShareID", "ShareID", "share", Text("types.UID")),
        Field("RequestNames", "RequestNames", "requests", _TEXTS),
        Field("CDIDeviceIDs", "CDIDeviceIDs", "cdi_devices", _TEXTS),
    ),
)
_DRIVER: Final = Struct(
    "state.DriverState",
    (Field("Devices", "Devices", "devices", ListOf("[]state.Device", _DEVICE)),),
)
_CLAIM: Final = Struct(
    "state.ClaimInfoState",
    (
        Field("ClaimUID", "ClaimUID", "uid", Text("types.UID")),
        Field("ClaimName", "ClaimName", "name", Text()),
        Field("Namespace", "Namespace", "namespace", Text()),
        Field("PodUIDs", "PodUIDs", "pods", MapOf("sets.Set[string]", Struct("sets.Empty", ()))),
        Field(
            "DriverState", "DriverState", "drivers", MapOf("map[string]state.DriverState", _DRIVER)
        ),
    ),
)
CLAIMS_DATA: Final = Struct(
    "state.CheckpointData",
    (
        Field("Kind", "kind", "kind", Text()),
        Field("APIVersion", "apiVersion", "api_version", Text()),
        Field(
            "ClaimInfoStateList",
            "ClaimInfoStateList",
            "claims",
            ListOf("state.ClaimInfoStateList", _CLAIM),
        ),
    ),
)
"""The document in `Data` of dra_manager_state."""


class ClaimsDataError(ValueError):
    """The kubelet does not take the text in `Data`; the message is Go's."""


def check_claims_data(data: str) -> dict[str, Any]:
    """Return what the kubelet makes of the text in `Data`.

    Raises:
        ClaimsDataError: It takes it for no claims.

    Example:
        >>> check_claims_data('{"ClaimInfoStateList":null}')["claims"]
        >>> check_claims_data("")
        Traceback (most recent call last):
        ...
        checkpointkit.kubelet.claims.ClaimsDataError: unexpected end of JSON input
    """
    try:
        return decode(CLAIMS_DATA, parse(data.encode()), zero(CLAIMS_DATA))
    except (GoSyntaxError, GoTypeError) as error:
        problem = str(error)
    raise ClaimsDataError(problem)
