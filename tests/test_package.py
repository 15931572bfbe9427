"""What a user installs and reads: the wheel, the import, the README, the guide, the example."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import checkpointkit
from checkpointkit.envelope import open_envelope

ROOT = Path(__file__).parent.parent


def run_python(*arguments: str, directory: Path) -> str:
    """Run a program as a user would, and return what it prints; it must print no warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a Markdown page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


# ---------------------------------------------------------------------------------- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = directory.iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_package_its_types_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    sources = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert "checkpointkit/py.typed" in sources
    assert {name for name in names if ".dist-info/" not in name} == sources


def test_the_metadata_is_what_the_project_promises(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_string(wheel.read(name).decode())
    assert metadata["Name"] == "checkpointkit"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.11"
    required = {re.split(r"[<>=!~; ]", text)[0] for text in metadata.get_all("Requires-Dist", [])}
    assert required == {"attrs", "cattrs", "filelock"}
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert (ROOT / "README.md").read_text(encoding="utf-8") == metadata.get_payload()


def test_the_wheel_has_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "checkpointkit = checkpointkit.cli:main" in wheel.read(name).decode()


# --------------------------------------------------------------------------------- the import


def test_importing_the_package_leaves_out_what_is_slow_or_optional(tmp_path: Path) -> None:
    # -S: no .pth file of an environment, coverage's among them, imports something before
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import sys, checkpointkit; print(*sys.modules)"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "checkpointkit" in loaded
    assert not loaded & {"argparse", "asyncio", "filelock", "sqlite3", "checkpointkit.cli"}


def test_every_public_name_is_there_and_listed_once() -> None:
    names = checkpointkit.__all__
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(checkpointkit, name)] == []


MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(checkpointkit.__path__, "checkpointkit.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["checkpointkit", *MODULES])
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


# ----------------------------------------------------------------------------------- the pages


def test_the_example_of_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    (example,) = blocks("README.md", "python")
    said = re.findall(r"^print\(.*\)  # (.*)$", example, re.MULTILINE)
    assert said
    (tmp_path / "example.py").write_text(example)
    assert run_python("example.py", directory=tmp_path).splitlines() == said


def test_the_example_of_the_readme_is_short() -> None:
    (example,) = blocks("README.md", "python")
    assert len(example.splitlines()) <= 17


def test_the_examples_of_the_guide_run_one_after_the_other(tmp_path: Path) -> None:
    program = "".join(blocks("docs/guide.md", "python"))
    (tmp_path / "guide.py").write_text(program)
    lines = run_python("guide.py", directory=tmp_path).splitlines()
    assert [line.split()[0] for line in lines] == sorted(
        (line.split()[0] for line in lines), key=int, reverse=True
    )


def test_the_envelope_in_the_docs_is_a_real_one() -> None:
    (text,) = blocks("docs/envelope.md", "text")
    envelope = open_envelope(text.removesuffix("\n").encode(), "node-a")
    assert envelope.payload == b'{"ids":["gpu0","gpu3"],"pod":"web"}'


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_says_how_to_set_it_up_in_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^    (make .*)$", text, re.MULTILINE)) == {"make demo", "make test"}


# -------------------------------------------------------------------------------- the example


def test_the_example_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    program = str(ROOT / "examples" / "node_agent.py")
    first = run_python(program, "state", directory=tmp_path)
    assert first.splitlines()[:3] == [
        "given back: True",
        "free: gpu2 gpu3 gpu0",
        "pod-2 has gpu1",
    ]
    second = run_python(program, "state", directory=tmp_path)
    assert second.splitlines()[:4] == [
        "found the state of an earlier run",
        "given back: True",
        "free: gpu3 gpu0 gpu2",
        "pod-2 has gpu1",
    ]


def test_the_example_agent_recovers_from_rot(tmp_path: Path) -> None:
    program = str(ROOT / "examples" / "node_agent.py")
    run_python(program, "state", directory=tmp_path)
    newest = tmp_path / "state" / "node-a" / "current"
    newest.write_bytes(newest.read_bytes().replace(b"gpu2", b"gpu7"))
    done = subprocess.run(
        [sys.executable, program, "state"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "is corrupt: the payload does not match its digest" in done.stdout
    assert "gpu7" not in done.stdout
    assert "recovered from generation 3" in done.stderr  # the library's own warning
