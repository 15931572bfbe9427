"""Input and output of the command line: streams, questions, the progress bar."""

from __future__ import annotations

import os
import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, TextIO

from checkpointkit.cli.text import encodable, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_PATIENCE: Final = 0.5
"""Seconds until a long run shows how far it is."""
_INTERVAL: Final = 0.1
_DEFAULT_WIDTH: Final = 80
_YES: Final = frozenset({"y", "yes"})


def write(text: str, stream: TextIO | None) -> None:
    """Write `text` as the stream's encoding can take it; nothing where the stream is closed."""
    if stream is not None:
        stream.write(encodable(text, encoding_of(stream)))


def encoding_of(stream: TextIO | None) -> str:
    """Return the encoding of a stream."""
    return (stream and stream.encoding) or "utf-8"


def width_of(stream: TextIO | None) -> int | None:
    """Return the width of a terminal; None for a file, a pipe, or a stream that is closed."""
    if stream is None or not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_WIDTH
    except OSError:
        return _DEFAULT_WIDTH


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask(text: str, question: str) -> bool:
    """Show `text`, ask a question, and tell whether the answer is yes; anything else is a no.

    Raises:
        KeyboardInterrupt: Ctrl-C, with what to say about it.
    """
    try:
        write(f"{text}{question} [y/N] ", sys.stderr)
        sys.stderr.flush()
        answer = sys.stdin.readline()
    except UnicodeDecodeError:
        return False
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; nothing was changed") from None
    if not answer.endswith("\n"):  # Ctrl-D: nobody has ended the line
        write("\n", sys.stderr)
    return answer.strip().lower() in _YES


class Progress(AbstractContextManager["Progress"]):
    """A bar on stderr, if that is a terminal and it takes a while; it is gone at the end.

    Args:
        total: How many things there are.
        clock: Tells the seconds.
        thing: What is counted.
    """

    def __init__(
        self, total: int, clock: Callable[[], float] = time.monotonic, *, thing: str = "keys"
    ) -> None:
        self._total = total
        self._thing = thing
        self._clock = clock
        self._width = width_of(sys.stderr)
        self._next = clock() + _PATIENCE
        self._shown = 0

    def step(self, done: int, total: int | None = None) -> None:
        """Say how many are done, and how many there are where that was not known before."""
        self._total = self._total if total is None else total
        if self._width is None or self._clock() < self._next:
            return
        self._next = self._clock() + _INTERVAL
        self._draw(progress_bar(done, self._total, self._width, self._thing))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            self._draw("")
            write("\r", sys.stderr)

    def _draw(self, bar: str) -> None:
        write("\r" + bar.ljust(self._shown), sys.stderr)
        sys.stderr.flush()
        self._shown = len(bar)
