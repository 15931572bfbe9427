"""What the name of an archive says: whose it is, and when it was taken.

The kubelet names it `checkpoint-<pod>_<namespace>-<container>-<time>.tar`, with its local time as
RFC 3339 has it (`(*Kubelet).CheckpointContainer`). A dash may stand in each of the three names, so
a name alone often has more than one meaning; then it has none here.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from attrs import frozen

from checkpointkit.archives.model import Container
from checkpointkit.kubernetes.grammar import is_label, is_subdomain

__all__ = ["Named", "parse_name", "parse_time", "time_in"]

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a zone is reckoned with apart
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SHAPE: Final = (
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_CLOCK}:[0-5][0-9]"
    rf"(?:\.([0-9]{{1,9}}))?(?:Z|([-+]){_CLOCK})"
)
_TIME: Final = re.compile(_SHAPE)
_SECONDS: Final = len("2006-01-02T15:04:05")
_NAME: Final = re.compile(
    r"checkpoint-([^_]+)_([^_]+)-"
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[-+][0-9]{2}:[0-9]{2}))\.tar"
)


@frozen
class Named:
    """What a name says.

    Attributes:
        container: Whose the archive is; None where the name has no meaning, or more than one.
        time_ns: When it was taken, in nanoseconds since 1970; None where no time stands there.
    """

    container: Container | None
    time_ns: int | None


def parse_name(name: str) -> Named:
    """Read the name of an archive.

    Args:
        name: The base name of the file.

    Returns:
        What it says; nothing of both for any other name.

    Example:
        >>> parse_name("checkpoint-web_default-app-2026-05-28T22:26:40+02:00.tar")
        Named(container=Container(namespace='default', pod='web', container='app'), \
time_ns=1780000000000000000)
        >>> print(parse_name("checkpoint-web_kube-system-app-2026-05-28T20:26:40Z.tar").container)
        None
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return Named(None, None)
    pod, rest, stamp = match.groups()
    return Named(_container(pod, rest), parse_time(stamp))


def time_in(name: str) -> int | None:
    """Return when an archive was taken, as `parse_name` has it; what else is said is not read.

    Example:
        >>> time_in("checkpoint-web_default-app-2026-05-28T22:26:40+02:00.tar")
        1780000000000000000
    """
    match = _NAME.fullmatch(name)
    return None if match is None else parse_time(match[3])


def _container(pod: str, rest: str) -> Container | None:
    if not is_subdomain(pod):
        return None
    found = None
    dash = rest.find("-")
    while dash >= 0:
        namespace, name = rest[:dash], rest[dash + 1 :]
        if is_label(namespace) and is_label(name):
            if found is not None:
                return None
            found = Container(namespace, pod, name)
        dash = rest.find("-", dash + 1)
    return found


def parse_time(text: str) -> int | None:
    """Read a time as Go writes it (RFC 3339 with at most nine digits after the point).

    Args:
        text: The time, with its offset or a `Z`.

    Returns:
        Nanoseconds since 1970, exactly; None for anything else, and for a day, an hour or an
        offset that cannot be.

    Example:
        >>> parse_time("1970-01-01T01:00:00.000000001+01:00")
        1
        >>> print(parse_time("2026-02-29T00:00:00Z"))
        None
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(text[:_SECONDS])
    except ValueError:
        return None
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    fraction, sign = match.groups()
    if sign is not None:
        offset = int(text[-5:-3]) * 3600 + int(text[-2:]) * 60
        seconds += offset if sign == "-" else -offset
    return seconds * 10**9 + (int(fraction.ljust(9, "0")) if fraction else 0)
