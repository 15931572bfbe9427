"""`checkpointkit demo`: a small node agent lives through whatever its state has to survive.

The agent keeps the machine's mount table. Everything happens for real and through the public API:
the processes are forked and killed, the bit is flipped in the file, the disk is full.

`mounts` observes, `releases` are the agent's three releases, `agents` runs and kills them, `story`
plays the rest, `fulldisk` (on a `smalldisk`) runs out of space; `ledger` and `table` judge and
print, and are pure like each `..._row` function.
"""

from __future__ import annotations

import logging
import random
import tempfile
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from checkpointkit import CheckpointError
from checkpointkit.cli.demo.mounts import filesystem_of, read_mounts
from checkpointkit.cli.demo.story import play
from checkpointkit.cli.demo.table import Row, all_kept, document_of, heading, line, row, summary
from checkpointkit.cli.text import json_text, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def run(*, kills: int, out: TextIO, as_json: bool = False) -> int:
    """Play the demo in a temporary directory and print what happened.

    Args:
        kills: How many agents to kill.
        out: Where the table goes.
        as_json: Whether to print one JSON document at the end instead.

    Returns:
        0 if every promise was kept, 1 if one was broken.
    """
    started = time.monotonic()
    with _quiet(), tempfile.TemporaryDirectory(prefix="checkpointkit-demo-") as name:
        place = Path(name).resolve()
        mounts = read_mounts()
        dice = random.Random()  # noqa: S311 - no secret
        story = _to_the_end(play(place, kills=kills, random=dice))
        if as_json:
            rows = list(story)
            out.write(json_text(document_of(rows, time.monotonic() - started)))
            return 0 if all_kept(rows) else 1
        print(
            f"checkpointkit {version('checkpointkit')}: a node agent keeps this machine's "
            f"mount table\n{plural(len(mounts), 'mount')}, kept in {place} "
            f"({filesystem_of(str(place), mounts)})\n",
            file=out,
        )
        rows = _print_rows(story, out)
    print(f"\n{summary(rows, time.monotonic() - started)}", file=out)
    return 0 if all_kept(rows) else 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings (recovered, reserve used) from standing between the rows that say the same."""
    log = logging.getLogger("checkpointkit")
    handler = logging.NullHandler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _print_rows(rows: Iterable[Row], out: TextIO) -> list[Row]:
    """Print each row as soon as it is there."""
    print(heading(), file=out, flush=True)
    printed = []
    for each in rows:
        print(line(each), file=out, flush=True)
        printed.append(each)
    return printed


def _to_the_end(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows of a story; what ends it early is its last row."""
    try:
        yield from rows
    except (CheckpointError, OSError) as error:
        yield row("stopped", kept=False, text=f"{type(error).__name__}: {error}")
