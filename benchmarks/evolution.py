"""The bars of format evolution: `python benchmarks/evolution.py`.

- check: `checkpointkit schema check` in a project of 200 schemas with 5 versions and 20 goldens of
  each version, as a fresh process: interpreter, imports, 200 classes compiled, lock and goldens
  read, each of the 20,000 goldens run to the newest version and compared with what was frozen.
- fingerprint: that of one schema, computed anew; a schema computes it once.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from timeit import timeit
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.envelope import encode_payload, make_header, seal_envelope
from checkpointkit.evolution.goldens import (
    GOLDEN_KEY,
    Goldens,
    file_name,
    make_goldens,
    render_goldens,
)
from checkpointkit.evolution.judging import payloads_of
from checkpointkit.evolution.lockfile import LockedKind, LockedVersion, LockFile, render_lock
from checkpointkit.fingerprint import fingerprint
from checkpointkit.schema import Schema

if TYPE_CHECKING:
    from checkpointkit.schema import Payload

VERSIONS: Final = 5
_PER_MODULE: Final = 10
_FIELDS: Final = ("node: str", "pods: tuple[Pod{n}, ...]", "seen: datetime")
"""Those of version 1; each newer version has one more."""
_ADDED: Final = (
    "boot_id: str | None",
    "mode: Mode{n}",
    "limits: dict[str, int]",
    "note: str | None",
)
_MODULE: Final = """\
from datetime import datetime
from enum import Enum
from attrs import frozen
from checkpointkit import Schema
"""
_FUTURE: Final = "from __future__ import annotations\n"
_CLASSES: Final = """

class Mode{n}(Enum):
    SHARED = "shared"
    EXCLUSIVE = "exclusive"

@frozen
class Pod{n}:
    uid: str
    devices: dict[str, tuple[str, ...]]
    priority: int

@frozen
class State{n}:
    {fields}
"""
_SCHEMA: Final = """
STATE_{n} = Schema(State{n}, kind="example.com/state-{n}", version=5, migrations={{
    1: lambda old: {{**old, "boot_id": None}},
    2: lambda old: {{**old, "mode": "shared"}},
    3: lambda old: {{**old, "limits": {{pod["uid"]: pod["priority"] for pod in old["pods"]}}}},
    4: lambda old: {{**old, "note": None}},
}})
"""
_SETTINGS: Final = """\
[tool.checkpointkit]
lock = "src/agent/checkpointkit.lock"
schemas = [{schemas}]
"""


def source(number: int, version: int) -> str:
    """Return the source of the classes of one format, as one of its versions had them."""
    fields = [line.format(n=number) for line in (*_FIELDS, *_ADDED[: version - 1])]
    return _CLASSES.format(n=number, fields="\n    ".join(fields))


def history() -> list[Schema[Any]]:
    """Return the schemas of one format, version by version, with all migrations so far."""
    steps = _run(source(0, VERSIONS) + _SCHEMA.format(n=0))["STATE_0"].migrations
    made = []
    for version in range(1, VERSIONS + 1):
        space = _run(source(0, version))
        migrations = {step: steps[step] for step in range(1, version)}
        schema = Schema(space["State0"], kind="a", version=version, migrations=migrations)
        made.append(schema)
    return made


def _run(code: str) -> dict[str, Any]:
    # Without the future of this file, in which annotations are texts.
    space: dict[str, Any] = {"__name__": __name__}
    exec(compile(_MODULE + code, "agent", "exec", dont_inherit=True), space)  # noqa: S102
    return space


def make_project(root: Path, schemas: int) -> None:
    """Write a project with so many schemas, all accepted."""
    package = root / "src" / "agent"
    directory = package / "checkpointkit.goldens"
    directory.mkdir(parents=True)
    versions = history()
    made: dict[int, Goldens] = {}
    for schema in versions:
        made[schema.version] = make_goldens(schema, made)
    kinds = {}
    for number in range(schemas):
        kind = f"example.com/state-{number}"
        locked = {}
        for schema in versions:
            goldens = made[schema.version]
            states = payloads_of(goldens)
            own = Goldens(tuple(_sealed(schema, kind, state) for state in states), goldens.becomes)
            name = file_name(kind, schema.version)
            (directory / name).write_text(render_goldens(own), encoding="utf-8")
            locked[schema.version] = LockedVersion(schema.shape, schema.fingerprint, own.digest)
        kinds[kind] = LockedKind(locked)
    (package / "checkpointkit.lock").write_text(render_lock(LockFile(kinds)), encoding="utf-8")
    (package / "__init__.py").touch()
    names = []
    for first in range(0, schemas, _PER_MODULE):
        numbers = range(first, min(first + _PER_MODULE, schemas))
        parts = [source(number, VERSIONS) + _SCHEMA.format(n=number) for number in numbers]
        (package / f"state{first}.py").write_text(
            _FUTURE + _MODULE + "".join(parts), encoding="utf-8"
        )
        names += [f'"agent.state{first}:STATE_{number}"' for number in numbers]
    settings = _SETTINGS.format(schemas=",\n    ".join(names))
    (root / "pyproject.toml").write_text(settings, encoding="utf-8")


def _sealed(schema: Schema[Any], kind: str, payload: Payload) -> bytes:
    data = encode_payload(payload)
    header = make_header(
        key=GOLDEN_KEY,
        kind=kind,
        schema_version=schema.version,
        fingerprint=schema.fingerprint,
        generation=1,
        created_at="2000-01-01T00:00:00.000000Z",
        previous=None,
        payload=data,
    )
    return seal_envelope(header, data)[0]


def check(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the check of a project in a process of its own."""
    command = [sys.executable, "-m", "checkpointkit", "schema", "check"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def times_of_check(root: Path, rounds: int) -> tuple[float, float]:
    """Return the median times of a check in seconds: by the clock, and of the processor."""
    clock, processor = [], []
    for _ in range(rounds):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = check(root)
        clock.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0, done.stdout + done.stderr
    return statistics.median(clock), statistics.median(processor)


def time_of_fingerprint() -> float:
    """Return the time that the fingerprint of one schema takes, in microseconds."""
    shape = history()[-1].shape
    return min(timeit(lambda: fingerprint(shape), number=200) for _ in range(5)) / 200 * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--schemas", type=int, default=200)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled modules, as a user has them
    with tempfile.TemporaryDirectory() as path:
        make_project(Path(path), options.schemas)
        check(Path(path))  # warms up
        clock, processor = times_of_check(Path(path), options.rounds)
    name = f"check, {options.schemas} schemas"
    print(f"{name:22}{clock:10.2f} s   {processor:8.2f} s of processor{'bar:':>8} 2 s")
    print(f"{'fingerprint':22}{time_of_fingerprint():10.1f} us{'bar:':>34} 100 us")


if __name__ == "__main__":
    main()
