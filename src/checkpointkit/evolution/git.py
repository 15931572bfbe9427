"""Asking git. Nothing is changed, nobody is asked for a password."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

from checkpointkit.errors import LockFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_OF_A_HOOK: Final = frozenset({"GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE"})
"""What git sets for the hooks that it runs: paths that are right for its own directory alone."""


def run_git(directory: Path, subject: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in a directory, whatever its exit status.

    Args:
        directory: Where.
        subject: What it is about, for the error.
        arguments: Its arguments.

    Raises:
        LockFileError: There is no git.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        return subprocess.run(  # noqa: S603 - no shell, and callers let no option in
            ["git", *arguments],  # noqa: S607 - the user's git
            cwd=directory,
            env={**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise LockFileError(
            subject, f"needs git, which cannot be run: {error.strerror or error}"
        ) from error


def complaint(stderr: bytes) -> str:
    r"""Return the first line of what git has to say.

    Example:
        >>> complaint(b"fatal: not a git repository: .git\nmore")
        'not a git repository: .git'
    """
    lines = stderr.decode(errors="replace").splitlines()
    return lines[0].removeprefix("fatal: ") if lines else "git gives no reason"


def ignored(directory: Path, paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of some paths that git ignores; none where there is no git to ask.

    Args:
        directory: Where the paths begin.
        paths: The paths; files that were committed are not ignored, whatever .gitignore says.
    """
    found = []
    for path in paths:
        try:
            answer = run_git(directory, path, "check-ignore", "--quiet", "--", path)
        except LockFileError:
            return ()  # a project need not have a git
        if answer.returncode == 0:
            found.append(path)
    return tuple(found)
