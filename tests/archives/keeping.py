"""Archives out of nowhere, and stores that die: for tests of what is kept of archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from checkpointkit.archives.model import Archive, Container, State
from checkpointkit.stores.base import BatchResult
from checkpointkit.testing import FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from checkpointkit.stores.base import Seal

WEB: Final = Container("default", "web", "app")


def archive(name: str = "checkpoint-a.tar", **other: Any) -> Archive:
    """Return a complete archive of `WEB`, 9 KiB large."""
    values: dict[str, Any] = {
        "size": 9216,
        "device": 1,
        "inode": 2,
        "mtime_ns": 10,
        "ctime_ns": 11,
        "state": State.COMPLETE,
        "container": WEB,
        "first_seen_ns": 20,
    }
    return Archive(name=name, **{**values, **other})


def archives(count: int, start: int = 0) -> list[Archive]:
    """Return so many archives of different names."""
    return [archive(f"checkpoint-{number}.tar") for number in range(start, start + count)]


NAMES: Final = st.binary(min_size=1, max_size=12).map(
    lambda data: data.replace(b"\0", b"%").decode("utf-8", "surrogateescape")
) | st.sampled_from(["a", "%0025", "b%", "c\n", "d\udcff"])
"""Names as `os.listdir` returns them."""
TEXTS: Final = st.text(st.characters(), max_size=6) | st.sampled_from(["%002f", "a/b", "\ud800"])
"""Any texts, those that JSON makes of half a pair of surrogates too."""
MOMENTS: Final = st.integers(-(2**63), 2**70)
ARCHIVES: Final = st.builds(
    Archive,
    name=NAMES,
    size=st.integers(0, 2**63),
    device=st.integers(0, 2**64 - 1),
    inode=st.integers(0, 2**64 - 1),
    mtime_ns=MOMENTS,
    ctime_ns=MOMENTS,
    state=st.sampled_from(State),
    container=st.none() | st.builds(Container, TEXTS, TEXTS, TEXTS),
    by_name=st.booleans(),
    pod_uid=TEXTS,
    checkpointed_ns=st.none() | MOMENTS,
    named_ns=st.none() | MOMENTS,
    first_seen_ns=MOMENTS,
    pins=st.just(()) | st.tuples(TEXTS),
    digest=st.sampled_from(["", "00ff" * 16]),
    problem=TEXTS,
)
"""Any archives."""


class Killed(BaseException):
    """The process is no more."""


class OneByOne(FaultyStore):
    """A store that saves a batch key by key, so that a kill may cut it anywhere."""

    def write_many(self, items: Mapping[str, Seal], *, atomic: bool = False) -> BatchResult:
        """See `Store.write_many`."""
        assert not atomic
        return BatchResult({key: self.write(key, seal) for key, seal in items.items()}, {})

    def die(self, change: int, *, after: bool = False) -> None:
        """Let the process die at a change, counted from 0, or just after it."""
        left = iter(range(change, -1, -1))

        def act(_: str | None) -> None:
            if next(left, 1) == 0:
                raise Killed

        for method in ("write", "remove"):
            self.meanwhile(method, act, times=None, after=after)


def deaths(store: OneByOne, work: Callable[[], object], change: int, *, after: bool) -> bool:
    """Do something that dies at a change; False if it came to its end before."""
    store.die(change, after=after)
    try:
        work()
    except Killed:
        return True
    else:
        return False
    finally:
        store.heal()


def rot(path: Path) -> None:
    """Damage a file."""
    path.write_bytes(path.read_bytes()[:-9])


def newest(directory: Path, key: str) -> Path:
    """Return the file of the newest generation of a key, of whatever scope."""
    (place,) = (path for path in directory.rglob(key) if path.is_dir())
    return max((path for path in place.iterdir() if path.name.isdigit()), key=lambda p: int(p.name))
