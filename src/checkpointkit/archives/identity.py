"""Whose an archive is: what its metadata says, else what its name says, else nobody's.

The runtimes leave it in the annotations of `spec.dump` (the OCI runtime specification):

- CRI-O: `io.kubernetes.cri-o.Labels`, the kubelet's labels as JSON in a string;
- containerd: `io.kubernetes.cri.sandbox-namespace`, `.sandbox-name`, `.container-name`;
- checkpointctl: `org.criu.checkpoint.pod.namespace`, `.pod.name`, `.container.name`.

All that are there have to be complete and to agree. An archive that says anything else is believed
nothing: it is kept, and counts for nobody. So is one whose metadata cannot be read as one thing
alone (a key twice, bytes that are no UTF-8): what another reader believes is not known.
"""

from __future__ import annotations

from json import JSONDecoder
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from checkpointkit.archives.model import Container, State
from checkpointkit.archives.names import parse_name, parse_time
from checkpointkit.kubernetes.grammar import is_label, is_label_value, is_subdomain

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Identity", "LastSpec", "Reading", "identify", "read_config", "read_spec"]

_LABELS: Final = "io.kubernetes.cri-o.Labels"
_KUBELET: Final = (
    "io.kubernetes.pod.namespace",
    "io.kubernetes.pod.name",
    "io.kubernetes.container.name",
    "io.kubernetes.pod.uid",
)
_CONTAINERD: Final = (
    "io.kubernetes.cri.sandbox-namespace",
    "io.kubernetes.cri.sandbox-name",
    "io.kubernetes.cri.container-name",
    "io.kubernetes.cri.sandbox-uid",
)
_CHECKPOINTCTL: Final = (
    "org.criu.checkpoint.pod.namespace",
    "org.criu.checkpoint.pod.name",
    "org.criu.checkpoint.container.name",
    "org.criu.checkpoint.pod.uid",
)
_NOTHING: Final = ["", "", ""]
_UNSET: Final = "0001-01-01T00:00:00Z"
"""What Go writes for a time that nobody has set."""


@frozen(kw_only=True)
class Reading:
    """What was read of an archive.

    Attributes:
        state: `State.COMPLETE` or `State.BROKEN`.
        container: Whose it is, as its metadata says.
        pod_uid: The UID of its pod, as its metadata says; empty where it does not.
        checkpointed_ns: When it was taken, as its metadata says; nanoseconds since 1970.
        compression: `none`, `gzip`, `bzip2`, `xz` or `zstd`; empty where nothing could be told.
        problem: Why it is no archive, or why it is not believed; one line, of which nothing is
            quoted that stands in the archive.
        conflicting: It may say whose it is, and cannot be believed: neither is its name.
    """

    state: State
    container: Container | None = None
    pod_uid: str = ""
    checkpointed_ns: int | None = None
    compression: str = ""
    problem: str = ""
    conflicting: bool = False


@frozen
class Identity:
    """Whose an archive is.

    Attributes:
        container: The container; None where that is not known, or cannot be believed.
        pod_uid: The UID of its pod; empty where that is not known.
        problem: Why it is not known, or what else is wrong with the archive; empty for a good one.
    """

    container: Container | None = None
    pod_uid: str = ""
    problem: str = ""


def identify(name: str, reading: Reading) -> Identity:
    """Tell whose an archive is.

    Args:
        name: The base name of the file.
        reading: What was read of it.

    Returns:
        What the metadata says, if it says it; else what the name says, if that has one meaning.

    Example:
        >>> name = "checkpoint-web_default-app-2026-05-28T20:26:40Z.tar"
        >>> print(identify(name, Reading(state=State.COMPLETE)).container)
        default/web/app
        >>> print(identify(name, Reading(state=State.COMPLETE, conflicting=True)).container)
        None
    """
    if reading.conflicting:
        return Identity(problem=reading.problem)
    if reading.container is not None:
        return Identity(reading.container, reading.pod_uid, reading.problem)
    container = parse_name(name).container
    if container is None and not reading.problem:
        return Identity(problem="neither its metadata nor its name says whose it is")
    return Identity(container, problem=reading.problem)


def read_spec(data: bytes) -> Identity:
    """Read `spec.dump`.

    Args:
        data: Its contents; how much that may be is for the caller to say.

    Returns:
        What it says; with a problem where it cannot be believed, and then nothing else.

    Example:
        >>> read_spec(b'{"annotations": {}}')
        Identity(container=None, pod_uid='', problem='')
        >>> read_spec(b'{"annotations": {"org.criu.checkpoint.pod.name": "web"}}').problem
        'spec.dump says only in part whose it is'
    """
    try:
        found = _only(_document(data), "annotations")
    except (ValueError, RecursionError):
        return Identity(problem="spec.dump is no JSON object with each key once")
    if found is None:
        return Identity()
    if not isinstance(found, dict):
        return Identity(problem="the annotations in spec.dump are no object")
    try:
        claims = _claims(found)
    except (ValueError, RecursionError):
        return Identity(problem="the labels in spec.dump are no JSON object with each key once")
    return _agreed(claims, found.get(_KUBELET[3], "")) if claims else Identity()


class LastSpec:
    """Does as `read_spec`, and remembers the last one: the same bytes are not parsed again.

    All archives of a container that runs on hold the same `spec.dump`.

    Example:
        >>> read = LastSpec()
        >>> read(b'{"annotations": {}}') is read(b'{"annotations": {}}')
        True
    """

    __slots__ = ("_data", "_identity")

    def __init__(self) -> None:
        self._data: bytes | None = None
        self._identity = Identity()

    def __call__(self, data: bytes) -> Identity:
        """Read it; see `read_spec`."""
        if data != self._data:
            self._identity = read_spec(data)
            self._data = data
        return self._identity


def _claims(annotations: dict[str, Any]) -> list[list[Any]]:
    """Return what each runtime says: namespace, pod, container and UID."""
    claims = []
    text = annotations.get(_LABELS, "")
    if text != "":
        labels = _decode(text) if isinstance(text, str) else None
        if not isinstance(labels, dict):
            raise ValueError
        claims.append(_claim(labels, _KUBELET))
    for keys in (_CONTAINERD, _CHECKPOINTCTL):
        claim = _claim(annotations, keys)
        if claim[:3] != _NOTHING:
            claims.append(claim)
    return claims


def _claim(found: dict[str, Any], keys: tuple[str, str, str, str]) -> list[Any]:
    get, (namespace, pod, container, uid) = found.get, keys
    return [get(namespace, ""), get(pod, ""), get(container, ""), get(uid, "")]


def _agreed(claims: Sequence[Sequence[Any]], uid: Any) -> Identity:
    first = claims[0][:3]
    uids = [] if uid == "" else [uid]
    for claim in claims:
        if "" in claim[:3]:
            return Identity(problem="spec.dump says only in part whose it is")
        if claim[:3] != first:
            return Identity(problem="spec.dump says in two ways whose it is, and they differ")
        if claim[3] != "":
            uids.append(claim[3])
    if not _are_names(*first):
        return Identity(problem="spec.dump has names that Kubernetes does not allow")
    uid = uids[0] if uids else ""
    if uids.count(uid) != len(uids):
        return Identity(problem="spec.dump names two pods by their UID")
    if not (isinstance(uid, str) and is_label_value(uid)):
        return Identity(problem="spec.dump has a UID that Kubernetes does not allow")
    return Identity(Container(*first), uid)


def _are_names(namespace: Any, pod: Any, container: Any) -> bool:
    if not (isinstance(namespace, str) and isinstance(pod, str) and isinstance(container, str)):
        return False
    return is_label(namespace) and is_subdomain(pod) and is_label(container)


def read_config(data: bytes) -> tuple[int | None, str]:
    """Read `config.dump`: when the checkpoint was taken.

    Args:
        data: Its contents.

    Returns:
        Nanoseconds since 1970, or None where no time stands there; and what is wrong with it,
        or nothing.

    Example:
        >>> read_config(b'{"checkpointedTime": "2026-05-28T20:26:40.000000001Z"}')
        (1780000000000000001, '')
    """
    try:
        found = _only(_document(data), "checkpointedTime")
    except (ValueError, RecursionError):
        return None, "config.dump is no JSON object with each key once"
    if found is None or found == _UNSET:
        return None, ""
    taken = parse_time(found) if isinstance(found, str) else None
    return taken, "" if taken is not None else "the time in config.dump is none"


# ---------------------------------------------------------------------------------------- JSON


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError  # Go takes the last of them, others the first
    return found


def _number(_text: str) -> int:
    return 0  # none is wanted, and a giant one would have to be computed


def _constant(_text: str) -> None:
    raise ValueError  # NaN and Infinity are no JSON


_raw_decode: Final = JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_number,
    parse_float=_number,
    parse_constant=_constant,
).raw_decode
_SPACE: Final = " \t\n\r"


def _decode(text: str) -> Any:
    text = text.strip(_SPACE)
    found, end = _raw_decode(text)
    if end != len(text):
        raise ValueError
    return found


def _document(data: bytes) -> dict[str, Any]:
    document = _decode(data.decode())
    if not isinstance(document, dict):
        raise ValueError  # noqa: TRY004 - of one kind for the caller
    return document


def _only(document: dict[str, Any], wanted: str) -> Any:
    """Return the value of a field, which Go would find in any case of letters."""
    folded = wanted.casefold()
    # All keys at once: where it is found no more often, no other key is the same but for case.
    if "\n".join(document).casefold().count(folded) != (wanted in document) and any(
        key.casefold() == folded for key in document if key != wanted
    ):
        raise ValueError
    return document.get(wanted)
