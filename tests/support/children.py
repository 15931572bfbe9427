"""Child processes, forked from the warm one that runs the tests."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Child:
    """A forked child that runs a function and exits; as a context, it is ended at the end.

    Args:
        work: Called in the child with the child itself, to report through.
    """

    def __init__(self, work: Callable[[Child], object]) -> None:
        reading, writing = os.pipe()
        self._told, telling = os.pipe()
        self._buffer = b""
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(reading)
                os.close(telling)
                self._writing = writing
                work(self)
                status = 0
            except BaseException:
                os.write(writing, f"\n{traceback.format_exc()}\n".encode())
            finally:
                os._exit(status)
        os.close(writing)
        os.close(self._told)
        self._reading = reading
        self._telling = telling
        self.status: int | None = None

    def say(self, text: str) -> None:
        """Report a line; called in the child."""
        os.write(self._writing, f"{text}\n".encode())

    def wait_for_word(self) -> None:
        """Wait until the parent calls `go`; called in the child."""
        os.read(self._told, 1)

    def go(self) -> None:
        """Let `wait_for_word` return."""
        os.write(self._telling, b"!")

    def line(self) -> str:
        """Return the next line that the child reports; empty where it has ended."""
        while b"\n" not in self._buffer:
            more = os.read(self._reading, 65536)
            if not more:
                rest, self._buffer = self._buffer, b""
                return rest.decode()
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def end(self) -> list[str]:
        """Wait for the end of the child, and return all that it still reports."""
        while more := os.read(self._reading, 65536):
            self._buffer += more
        self.wait()
        lines = self._buffer.decode().splitlines()
        self._buffer = b""
        return lines

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end, and return its exit code: negative for a signal."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._reading)
            os.close(self._telling)
        return self.status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.status is None:
            self.kill()
            self.wait()
