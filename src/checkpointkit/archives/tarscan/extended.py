"""What may stand before a header and replaces parts of it: pax records and GNU's long names; pure.

Readers differ in which of two such names wins, and in whether global records count; so neither
is allowed here, as no container runtime writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checkpointkit.archives.tarscan.limits import BrokenError

if TYPE_CHECKING:
    from checkpointkit.archives.tarscan.limits import Budget

__all__ = ["Extended", "is_replacing", "parse_records"]

_SPARSE: Final = b"GNU.sparse."
_SPARSE_NAME: Final = b"GNU.sparse.name"
_REPLACING: Final = (b"path", b"size", _SPARSE_NAME)
_DIGITS: Final = 7
"""An extended header is at most a mebibyte long, and so is a record in it."""


def parse_records(body: bytes, budget: Budget) -> dict[bytes, bytes]:
    r"""Read the records of a pax header: `<length> <key>=<value>` and a line feed, each.

    Args:
        body: The contents of the header.
        budget: Each record is a step.

    Returns:
        The values by their keys; of a key that stands twice the last, as everybody has it.

    Raises:
        BrokenError: They are none.
        UndecidedError: They are too many.

    Example:
        >>> from checkpointkit.archives.tarscan.limits import Budget
        >>> parse_records(b"12 path=a/b\n", Budget(1, ""))
        {b'path': b'a/b'}
    """
    found: dict[bytes, bytes] = {}
    start = 0
    while start < len(body):
        budget.spend(1)
        space = body.find(b" ", start, start + _DIGITS + 1)
        digits = body[start:space]
        if space < 0 or not digits.isdigit():
            raise BrokenError("it has an extended header with no length")
        end = start + int(digits)
        record = body[space + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if end > len(body) or not key or not equals or not record.endswith(b"\n"):
            raise BrokenError("it has an extended header that is malformed")
        found[key] = value
        start = end
    return found


def is_replacing(records: dict[bytes, bytes]) -> bool:
    """Tell whether records say how a member is called, or how long it is."""
    return any(key in _REPLACING or key.startswith(_SPARSE) for key in records)


class Extended:
    """What stands before one header, and is for it alone.

    Attributes:
        records: Pax records; None if there are none.
        long_name: GNU's long name; None if there is none.
        long_link: Whether GNU's long link name is there.
    """

    __slots__ = ("long_link", "long_name", "records")

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] | None = None
        self.long_name: bytes | None = None
        self.long_link: bool = False

    def add(self, kind: bytes, body: bytes, budget: Budget) -> None:
        """Take in one more of them.

        Args:
            kind: The type of its header: `x`, `L` or `K`.
            body: Its contents.
            budget: Each record is a step.

        Raises:
            BrokenError: It is malformed, or the second of its kind.
            UndecidedError: It has too many records.
        """
        if kind == b"x":
            twice = self.records is not None
            self.records = parse_records(body, budget)
        elif kind == b"L":
            twice = self.long_name is not None
            self.long_name = body.partition(b"\x00")[0]
        else:
            twice = self.long_link
            self.long_link = True
        if twice:
            raise BrokenError("it has two extended headers for one member")

    def apply(self, name: bytes, size: int) -> tuple[bytes, int, bool]:
        """Replace what a header says.

        Args:
            name: The name in the header.
            size: The size in the header.

        Returns:
            The name, the size, and whether holes are left out of the contents.

        Raises:
            BrokenError: It says two things at once.
        """
        records = self.records or {}
        names = [records[key] for key in (b"path",) if key in records]
        if self.long_name is not None:
            names.append(self.long_name)
        if len(names) > 1:
            raise BrokenError("it has two long names for one member")
        sparse = any(key.startswith(_SPARSE) for key in records)
        if _SPARSE_NAME in records:
            names = [records[_SPARSE_NAME]]
        if names:
            name = names[0]
            if not name or b"\x00" in name:
                raise BrokenError("it has a long name that is none")
        if b"size" in records:
            digits = records[b"size"]
            if not digits.isdigit() or len(digits) > len(str(1 << 64)):
                raise BrokenError("it has a long size that is none")
            size = int(digits)
        return name, size, sparse
