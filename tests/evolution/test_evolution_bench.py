"""The benchmark of `schema check` measures a real project: small here, and without times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.evolution import VERSIONS, check, history, make_project, time_of_fingerprint

from checkpointkit.fingerprint import fingerprint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    make_project(root, 3)
    return root


def test_the_project_is_whole(project: Path) -> None:
    goldens = sorted((project / "src" / "agent" / "checkpointkit.goldens").iterdir())
    assert len(goldens) == 3 * VERSIONS
    for file in goldens:
        lines = file.read_text(encoding="utf-8").splitlines()
        assert 18 <= sum(line.startswith('{"golden": ') for line in lines) <= 22
    done = check(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 schemas, 15 versions" in done.stdout


def test_a_changed_migration_is_found_in_each_version_before_it(project: Path) -> None:
    file = project / "src" / "agent" / "state0.py"
    good = file.read_text(encoding="utf-8")
    changed = good.replace(
        '2: lambda old: {**old, "mode": "shared"}', '2: lambda old: {**old, "mode": "exclusive"}', 1
    )
    assert changed != good
    file.write_text(changed, encoding="utf-8")
    try:
        done = check(project)
    finally:
        file.write_text(good, encoding="utf-8")
    assert done.returncode == 1
    for version in (1, 2):
        assert f"version {version}, goldens 1 to " in done.stdout
    assert "than the frozen one: mode" in done.stdout
    assert "version 3, golden" not in done.stdout


def test_a_fingerprint_takes_less_than_its_bar_even_on_a_busy_machine() -> None:
    assert time_of_fingerprint() < 1000  # the bar is 100, on an idle one
    schema = history()[-1]
    assert schema.fingerprint is schema.fingerprint == fingerprint(schema.shape)
