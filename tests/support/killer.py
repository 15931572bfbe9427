"""A process of its own whose children are killed: small, so that a fork is cheap, and not measured.

Coverage would be started anew in each child, which takes ten times as long as what it is to do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.kills import SCENARIOS, Outcome, kill_everywhere
from tests.support.lanes import Counts, kill_loop
from tests.support.mutants import MUTANTS

if TYPE_CHECKING:
    from types import TracebackType

_ROOT = Path(__file__).parents[2]


class Killer:
    """The process, as a context; it does one thing after the other."""

    def __enter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.killer"],
            cwd=_ROOT,
            env={**kept, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def scenario(self, directory: Path, name: str) -> Outcome:
        """Kill a child at each system call of a scenario."""
        return Outcome(*self._ask("scenario", str(directory), name))

    def mutant(self, directory: Path, name: str) -> Outcome:
        """Do so with a broken protocol."""
        return Outcome(*self._ask("mutant", str(directory), name))

    def loop(self, directory: Path, kills: int) -> Counts:
        """Kill children at random moments."""
        return Counts(*self._ask("loop", str(directory), kills))

    def _ask(self, *question: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, f"{question} failed; its standard error says why"
        return json.loads(answer)


def answer(kind: str, directory: str, what: Any) -> tuple[Any, ...]:
    """Do what was asked for; called in the process."""
    if kind == "loop":
        return kill_loop(Path(directory), what)
    if kind == "mutant":
        mutate, name = MUTANTS[what]
        return kill_everywhere(Path(directory), SCENARIOS[name], mutate)
    return kill_everywhere(Path(directory), SCENARIOS[what])


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), flush=True)  # noqa: T201 - its only way to speak
