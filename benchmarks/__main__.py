"""`python -m benchmarks`: checkpointkit beside bare system calls and what else keeps state.

python -m benchmarks --quick            under a minute
python -m benchmarks                    some minutes
python -m benchmarks --repeat 3         and how well the ratios agree
python -m benchmarks --json FILE        all times, in microseconds
python -m benchmarks --docs docs        writes docs/benchmarks.md and docs/benchmarks.svg
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.contenders import CONTENDERS
from benchmarks.figures import AGREEMENT, Times, agreement, figures, pooled, spreads
from benchmarks.machine import describe
from benchmarks.ours import MANY_APART
from benchmarks.page import page, panels
from benchmarks.plot import svg
from benchmarks.report import disagreements, text
from benchmarks.running import FULL_RUN, QUICK_RUN, Run
from benchmarks.syncs import count_syncs

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLOTTED: Final = ("1 KiB", 1_000)


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: under a minute")
    parser.add_argument("--repeat", type=int, default=1, help="how many runs (default: 1)")
    parser.add_argument("--directory", help="on which disk (default: the temporary directory)")
    parser.add_argument("--json", type=Path, help="write all times there")
    parser.add_argument("--docs", type=Path, help="write benchmarks.md and benchmarks.svg there")
    return parser


def _agreement(runs: Sequence[Times]) -> str:
    return agreement(spreads(map(figures, runs))) if len(runs) > 1 else ""


def _write_docs(
    directory: Path, runs: Sequence[Times], machine: dict[str, str], many: int, kind: str
) -> None:
    _say("counting syncs")
    syncs = count_syncs()
    found = figures(pooled(runs))
    contenders = [
        (item.release(), item.durable, syncs.get(item.name, "not counted"), item.note)
        for item in CONTENDERS
        if item.missing() is None
    ]
    text_of_page = page(
        found,
        machine=machine,
        contenders=contenders,
        many=many,
        runs=f"one {kind} run" if len(runs) == 1 else f"{len(runs)} {kind} runs, pooled",
        one_by_one=MANY_APART,
        agreement=_agreement(runs),
    )
    durable = {item.name for item in CONTENDERS if item.durable} | {MANY_APART}
    size, keys = _PLOTTED
    plot = svg(
        panels(found, size, keys),
        durable,
        f"Medians for a state of {size} beside {keys:,} other keys, and their ratio to bare calls",
        f"logarithmic; hollow: not durable; {machine['file system']}, {machine['date']}",
    )
    (directory / "benchmarks.md").write_text(text_of_page, encoding="utf-8")
    (directory / "benchmarks.svg").write_text(plot, encoding="utf-8")


def main() -> None:
    """Run the benchmarks as the command line says."""
    options = _parser().parse_args()
    plan = QUICK_RUN if options.quick else FULL_RUN
    machine = describe(options.directory or tempfile.gettempdir())
    for contender in CONTENDERS:
        if reason := contender.missing():
            _say(f"without {contender.name}: {reason}")
    runs = []
    for number in range(options.repeat):
        _say(f"run {number + 1} of {options.repeat}")
        runs.append(Run(plan, options.directory, _say).times())
    times = pooled(runs)
    machine["load"] += f", {os.getloadavg()[0]:.1f} at the end"
    print(text(figures(times)))
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    if len(runs) > 1:
        found = spreads(map(figures, runs))
        print(f"\n{agreement(found)}\n{disagreements(found, AGREEMENT)}", end="")
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    "machine": machine,
                    "runs": [
                        [{**cell._asdict(), "times": taken} for cell, taken in run.items()]
                        for run in runs
                    ],
                }
            ),
            encoding="utf-8",
        )
    if options.docs:
        kind = "quick" if options.quick else "full"
        _write_docs(options.docs, runs, machine, plan.many, kind)


if __name__ == "__main__":
    main()
