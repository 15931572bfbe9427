"""Processes that are ended by their own id, and with the tests if those are killed."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Process", "child_of", "eventually", "free_ports"]

T = TypeVar("T")


class Process:
    """A program in the background, with its log.

    Args:
        name: What it is called in messages.
        command: Its words.
        log: The file for what it says; appended to.
        environment: Its whole environment; None for that of the tests.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self._log = name, log
        with log.open("ab") as file:
            # setpriv becomes the program: the id is the program's own.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def end(self, patience: float = 20.0) -> int:
        """Ask it to end, and return its exit status; it is killed if it does not listen.

        Args:
            patience: For how many seconds it is waited for.
        """
        self.terminate()
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} did not end when asked:\n{self.said()}") from None

    def wait(self, patience: float = 60.0) -> int:
        """Wait until it has ended by itself, and return its exit status.

        Args:
            patience: For how many seconds it is waited for; it is killed after that.
        """
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} has not ended by itself:\n{self.said()}") from None

    def said(self, lines: int = 30) -> str:
        """Return the end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def until(self, look: Callable[[], T | None], patience: float = 60.0) -> T:
        """Wait until something is there, as long as the process lives.

        Args:
            look: Returns it, or nothing.
            patience: For how many seconds it is looked for.
        """

        def checked() -> T | None:
            if not self.is_alive:
                raise RuntimeError(f"{self.name} has ended:\n{self.said()}")
            return look()

        return eventually(f"{self.name} is ready", checked, patience)


def eventually(
    what: str, look: Callable[[], T | None], patience: float = 120.0, *, pause: float = 0.1
) -> T:
    """Look again and again until something is there, and return it.

    Args:
        what: What is waited for, in words, for the message.
        look: Returns it, or nothing that is true.
        patience: For how many seconds it is looked for.
        pause: Seconds between two looks.
    """
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s, and not: {what}")
        time.sleep(pause)


def child_of(pid: int) -> int | None:
    """Return the id of the only child of a process; None as long as there is none."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on.

    Between this and the start of who is to have them, another program may take one; the next run
    has others.
    """
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
