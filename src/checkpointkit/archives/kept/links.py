r"""A chain of custody as values and as lines of JSON: what is hashed, and what is wrong. Pure.

As in the operator's forensic snapshot chain each link has the sha256 of an archive and names the
link before. There only the digests of the archives are linked; here a link vouches for all that
it says, and for every link before it.

A link's own digest is the sha256 of these lines, each with a newline at its end:

    checkpointkit/archives-custody/1
    <index>          its place in the chain, from 0
    <previous>       the digest of the link before
    <sha256>         that of the archive
    <size>           the archive's length in bytes
    <mtime_ns>       when it was last written, in nanoseconds since 1970
    <recorded_ns>    when the link was made, in nanoseconds since 1970
    <container>      namespace/pod/container/UID, or an empty line
    <name>           the archive's name in the directory

The link before the first one is the start: the sha256 of the first of these lines and the path of
the directory, with a newline each. In texts, control characters, `%`, and bytes that are no UTF-8
are written as `%` and four hex digits.

An exported chain is a line of JSON for the start, and one for each link, so that anybody can check
it. For the link 3 of a file:

    jq -j 'select(.index == 3) | "checkpointkit/archives-custody/1\n\(.index)\n\(.previous)\n" +
      "\(.sha256)\n\(.size)\n\(.mtime_ns)\n\(.recorded_ns)\n\(.container)\n\(.name)\n"' \
      chain.jsonl | sha256sum

Who can write all of the state can make a new chain, or leave out its end. So keep the last link's
digest where he cannot write.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from checkpointkit.archives.kept.formats import as_line, from_line, parent_of, parent_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from checkpointkit.archives.model import Container

__all__ = ["ChainReport", "Fault", "Link", "check_export", "export_lines", "faults_of", "start_of"]

_DOMAIN: Final = "checkpointkit/archives-custody/1"
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_TEXTS: Final = (
    "name",
    "container",
    "size",
    "mtime_ns",
    "recorded_ns",
    "sha256",
    "previous",
    "link",
)


@frozen(kw_only=True)
class Link:
    """A link of the chain: an archive, and the link before.

    Attributes:
        index: Its place in the chain, from 0.
        name: The archive's name in the directory.
        container: Whose archive it is; None where that is not known.
        pod_uid: The UID of its pod; empty where that is not known.
        size: The archive's length in bytes.
        mtime_ns: When it was last written, in nanoseconds since 1970.
        recorded_ns: When the link was made, in nanoseconds since 1970.
        sha256: The digest of the archive's bytes, lower-case hex.
        previous: The digest of the link before, or the start of the chain.
        link: Its own digest, as it is stored.
    """

    index: int
    name: str
    container: Container | None
    pod_uid: str = ""
    size: int
    mtime_ns: int
    recorded_ns: int
    sha256: str
    previous: str
    link: str

    def digest(self) -> str:
        """Return what its own digest has to be."""
        lines = (
            _DOMAIN,
            self.index,
            self.previous,
            self.sha256,
            self.size,
            self.mtime_ns,
            self.recorded_ns,
            parent_text(self.container, self.pod_uid),
            as_line(self.name),
        )
        return _digest(lines)


@frozen
class Fault:
    """Something that does not fit.

    Attributes:
        index: The place of the link; None where it is not of one link.
        name: The archive's name; empty where it is not of one archive.
        rule: What does not fit: `link`, `order`, `damaged`, `changed`, `missing`, `unreadable`,
            `form`; in notes `begun` and `forgotten`.
        words: The same for a person.
    """

    index: int | None
    name: str
    rule: str
    words: str


@frozen
class ChainReport:
    """What a check of a chain has found.

    Attributes:
        links: How many links there are.
        last: The digest of the last link, or the start of the chain.
        matching: Links whose archive is there as it was; 0 if no archive was looked at.
        deleted: Links whose archive was deleted, as the records of deletions say.
        faults: What does not fit.
        notes: Links whose archive is gone, and nothing says that it was not deleted by the rules:
            this program had `begun` to delete it, or the record would be `forgotten` by now.
    """

    links: int
    last: str
    matching: int = 0
    deleted: int = 0
    faults: tuple[Fault, ...] = field(default=())
    notes: tuple[Fault, ...] = field(default=())


def start_of(directory: str) -> str:
    """Return the start of the chain of a directory.

    Example:
        >>> start_of("/var/lib/kubelet/checkpoints")[:8]
        '58a76890'
    """
    return _digest((_DOMAIN, as_line(directory)))


def _digest(lines: Iterable[object]) -> str:
    return sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def faults_of(links: Iterable[Link], start: str) -> Iterator[tuple[Link, tuple[Fault, ...]]]:
    """Return each link with what is wrong with it and its place.

    A link with another digest than its own is told once: the one after it is compared with the
    digest that it has.
    """
    previous, index = start, 0
    for link in links:
        faults = []
        if link.index != index:
            words = f"link {link.index} stands where link {index} has to be"
            faults.append(Fault(link.index, link.name, "order", words))
        if link.previous != previous:
            words = f"link {link.index} does not follow the link before it"
            faults.append(Fault(link.index, link.name, "order", words))
        if link.link != link.digest():
            words = f"link {link.index} is not what was recorded"
            faults.append(Fault(link.index, link.name, "link", words))
        yield link, tuple(faults)
        previous, index = link.link, link.index + 1


def export_lines(links: Iterable[Link], directory: str) -> Iterator[str]:
    """Return a chain as lines of JSON, without newlines."""
    start = {"custody": 1, "directory": as_line(directory), "start": start_of(directory)}
    yield _json(start)
    for link in links:
        yield _json(_row(link))


def _row(link: Link) -> dict[str, str | int]:
    return {
        "index": link.index,
        "name": as_line(link.name),
        "container": parent_text(link.container, link.pod_uid),
        # As texts: jq, and others, keep 53 bits of a number.
        "size": str(link.size),
        "mtime_ns": str(link.mtime_ns),
        "recorded_ns": str(link.recorded_ns),
        "sha256": link.sha256,
        "previous": link.previous,
        "link": link.link,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def check_export(lines: Iterable[str]) -> ChainReport:
    """Check a chain that was exported, without the store and the archives.

    What it cannot see is that links are missing at the end: compare the last digest with one
    that was kept elsewhere.

    Example:
        >>> check_export(export_lines([], "/a")).faults
        ()
    """
    rows = iter(lines)
    start = _start(next(rows, ""))
    if start is None:
        words = "the first line does not say of which directory the chain is"
        return ChainReport(0, "", faults=(Fault(None, "", "form", words),))
    faults: list[Fault] = []

    def links() -> Iterator[Link]:
        for number, row in enumerate(rows, 2):
            link = _link(row)
            if link is None:
                faults.append(Fault(None, "", "form", f"line {number} is no link of a chain"))
            else:
                yield link

    count, last = 0, start
    for link, found in faults_of(links(), start):
        faults.extend(found)
        count, last = count + 1, link.link
    return ChainReport(count, last, faults=tuple(faults))


def _start(row: str) -> str | None:
    try:
        value = json.loads(row)
        start, directory = value["start"], value["directory"]
        known = value["custody"] == 1 and start == start_of(from_line(directory))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return str(start) if known else None


def _link(row: str) -> Link | None:
    try:
        value = json.loads(row)
        if type(value["index"]) is not int or any(type(value[name]) is not str for name in _TEXTS):
            return None
        container, uid = parent_of(value["container"])
        link = Link(
            index=value["index"],
            name=from_line(value["name"]),
            container=container,
            pod_uid=uid,
            size=int(value["size"]),
            mtime_ns=int(value["mtime_ns"]),
            recorded_ns=int(value["recorded_ns"]),
            sha256=value["sha256"],
            previous=value["previous"],
            link=value["link"],
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    # What is written in another way would have another digest for whoever checks it by hand.
    digests = (link.sha256, link.previous, link.link)
    same = _row(link) == value and all(map(_DIGEST.fullmatch, digests))
    return link if same else None
