"""The agent's three releases: what each of them keeps, and how each reads its predecessors' state.

A real agent has only the newest of these classes in its source; here the releases stand side by
side, because the demo plays upgrades and a downgrade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from attrs import evolve, frozen

from checkpointkit import CheckpointManager, FileStore, Payload, Schema
from checkpointkit.cli.demo.mounts import Mount, read_boot_id, read_mounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

KEY: Final = "mount-table"
KIND: Final = "example.com/mount-table"


@frozen
class Table1:
    """Release 1: the mounts as they were read, and how often this state was saved."""

    saves: int
    mounts: tuple[Mount, ...]


@frozen
class Mount2:
    """Release 2: the options one by one."""

    mount_point: str
    filesystem: str
    source: str
    options: tuple[str, ...]


@frozen
class Table2:
    """Release 2."""

    saves: int
    mounts: tuple[Mount2, ...]


@frozen
class Mount3:
    """Release 3: `filesystem` is called `type`, as mount(8) calls it."""

    mount_point: str
    type: str
    source: str
    options: tuple[str, ...]


@frozen
class Table3:
    """Release 3: the boot that the table was read in; None for a table of an older release."""

    saves: int
    boot_id: str | None
    mounts: tuple[Mount3, ...]


def split_options(old: Payload) -> Payload:
    """Migrate from version 1 to 2. Pure."""
    return old | {"mounts": [m | {"options": m["options"].split(",")} for m in old["mounts"]]}


def add_boot_id(old: Payload) -> Payload:
    """Migrate from version 2 to 3. Pure."""
    return old | {
        "boot_id": None,
        "mounts": [
            {"type" if name == "filesystem" else name: value for name, value in mount.items()}
            for mount in old["mounts"]
        ],
    }


@frozen
class Release(Generic[T]):
    """One release of the agent.

    Attributes:
        number: Its number, which is its schema version, too.
        schema: What it keeps.
        observe: Returns the state to save next, with what is mounted at present.
    """

    number: int
    schema: Schema[T]
    observe: Callable[[T], T]

    def open(self, directory: Path, *, reserve: int = 0) -> CheckpointManager[T]:
        """Start this release on the state in a directory."""
        return CheckpointManager(FileStore(directory, reserve=reserve), self.schema)


def _observe_1(old: Table1) -> Table1:
    return Table1(old.saves + 1, read_mounts())


def _observe_2(old: Table2) -> Table2:
    mounts = tuple(
        Mount2(m.mount_point, m.filesystem, m.source, tuple(m.options.split(",")))
        for m in read_mounts()
    )
    return evolve(old, saves=old.saves + 1, mounts=mounts)


def _observe_3(old: Table3) -> Table3:
    mounts = tuple(
        Mount3(m.mount_point, m.filesystem, m.source, tuple(m.options.split(",")))
        for m in read_mounts()
    )
    return Table3(old.saves + 1, read_boot_id(), mounts)


RELEASE_1: Final = Release(1, Schema(Table1, kind=KIND, version=1), _observe_1)
RELEASE_2: Final = Release(
    2, Schema(Table2, kind=KIND, version=2, migrations={1: split_options}), _observe_2
)
RELEASE_3: Final = Release(
    3,
    Schema(Table3, kind=KIND, version=3, migrations={1: split_options, 2: add_boot_id}),
    _observe_3,
)
