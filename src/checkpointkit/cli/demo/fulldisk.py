"""The disk runs full: what a save does then, with a reserve and without one."""

from __future__ import annotations

import json
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, frozen

from checkpointkit import StoreError
from checkpointkit.cli.demo.agents import forked
from checkpointkit.cli.demo.releases import KEY, RELEASE_3, Table3
from checkpointkit.cli.demo.smalldisk import mount_small_disk
from checkpointkit.cli.demo.table import Result, Row, row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from checkpointkit.cli.demo.agents import Body, Say

SAVES_ON_RESERVE: Final = 3
"""How many saves in a row the reserve has to let through."""

_MIB = 2**20


@frozen
class FullDisk:
    """What was seen on a full disk.

    Attributes:
        place: What kind of disk it was.
        refusal: Why the save without a reserve failed; None if it did not.
        state_kept: Whether the state of before was read afterwards.
        works_again: Whether the next save went through once there was room.
        reserve_saves: How many saves the reserve let through and were read back.
    """

    place: str
    refusal: str | None
    state_kept: bool
    works_again: bool
    reserve_saves: int


@frozen
class Limited:
    """What was seen where only the size of files could be limited, and why no disk was full."""

    problem: str
    refusal: str | None
    state_kept: bool
    works_again: bool


def disk_rows(seen: FullDisk | Limited) -> tuple[Row, Row, Row]:
    """Return the rows of the table for what was seen. Pure."""
    place = seen.place if isinstance(seen, FullDisk) else "at a limit of the file size"
    state = "the old state stays" if seen.state_kept else "the old state is gone"
    full = row(
        "disk full",
        seen.refusal is not None and seen.state_kept,
        f"{place}: {seen.refusal or 'no error'}; {state}",
    )
    after = "the next save went through" if seen.works_again else "saves still fail"
    again = row("room again", seen.works_again, after)
    if isinstance(seen, Limited):
        lacking = f"needs a small file system; none can be mounted here ({seen.problem})"
        return full, Row("with a reserve", Result.NOT_SHOWN, lacking), again
    reserve = row(
        "with a reserve",
        seen.reserve_saves == SAVES_ON_RESERVE,
        f"{seen.reserve_saves} of {SAVES_ON_RESERVE} saves went through on the full disk",
    )
    return full, reserve, again


def see_full_disk(directory: Path, state: Table3, size: int) -> FullDisk | Limited:
    """Save on a full disk, or where none can be had, up to a limit of the file size.

    Args:
        directory: An empty directory.
        state: What to save.
        size: How many bytes it takes, as stored.

    Raises:
        ChildProcessError: A child failed; its last words are on stderr.
    """
    disk_size = max(_MIB, 64 * size)
    report = _ask(partial(_try_small_disk, directory=directory, state=state, size=disk_size))
    if "problem" not in report:
        return FullDisk(**report)
    report |= _ask(partial(_try_limit, directory=directory, state=state, size=size))
    return Limited(**report)


def _ask(body: Body) -> dict[str, Any]:
    """Run `body` in a child, because it changes its process, and return what it reports."""
    with forked(body) as child:
        reports = list(child.listen_to_the_end())
    if not reports:
        raise ChildProcessError("a child ended without a report; see its last words")
    report: dict[str, Any] = json.loads(reports[-1])
    return report


def _try_small_disk(say: Say, directory: Path, state: Table3, size: int) -> None:
    try:
        mount_small_disk(directory, size)
    except OSError as error:
        say(json.dumps({"problem": error.strerror or str(error)}))
    else:
        place = f"tmpfs of {size / _MIB:.1f} MiB"
        say(json.dumps(asdict(fill_disk(directory, state, size // 8, place))))


def fill_disk(directory: Path, state: Table3, reserve: int, place: str) -> FullDisk:
    """Fill the disk that a directory is on, save to it, and make room again.

    Args:
        directory: Where to work. Not on a disk that anybody else uses.
        state: What to save.
        reserve: The size of the reserve, in bytes.
        place: What kind of disk it is.
    """
    plain = RELEASE_3.open(directory / "plain")
    reserved = RELEASE_3.open(directory / "reserved", reserve=reserve)
    for manager in (plain, reserved):
        manager.create(KEY, state)
    filler = directory / "filler"
    _fill(filler)

    newer = RELEASE_3.observe(state)
    refusal = _refusal(partial(plain.create, KEY, newer))
    state_kept = plain.get(KEY) == state
    reserve_saves, next_state = 0, state
    for _ in range(SAVES_ON_RESERVE):
        next_state = RELEASE_3.observe(next_state)
        refused = _refusal(partial(reserved.create, KEY, next_state))
        reserve_saves += refused is None and reserved.get(KEY) == next_state
    filler.unlink()
    works_again = _refusal(partial(plain.create, KEY, newer)) is None and plain.get(KEY) == newer
    return FullDisk(place, refusal, state_kept, works_again, reserve_saves)


def _fill(path: Path) -> None:
    """Write a file until not one byte more fits on its disk."""
    with path.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(bytes(size))
            except OSError:  # full for this many bytes; fewer may fit
                size //= 2


def _try_limit(say: Say, directory: Path, state: Table3, size: int) -> None:
    import resource  # noqa: PLC0415 - not on every system, and only needed without a small disk

    manager = RELEASE_3.open(directory)
    manager.create(KEY, state)
    newer = RELEASE_3.observe(state)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # or the kernel would kill this process
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    refusal = _refusal(partial(manager.create, KEY, newer))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    state_kept = manager.get(KEY) == state
    works_again = _refusal(partial(manager.create, KEY, newer)) is None
    seen = {"refusal": refusal, "state_kept": state_kept, "works_again": works_again}
    say(json.dumps(seen))


def _refusal(save: Callable[[], object]) -> str | None:
    """Return why a save failed, by the operating system's own words; None if it did not."""
    try:
        save()
    except StoreError as error:
        cause = error.__cause__
        reason = cause.strerror if isinstance(cause, OSError) else error.reason
        return f"{type(error).__name__} ({reason})"
    return None
