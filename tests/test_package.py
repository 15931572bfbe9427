"""What a user installs: the wheel and the import; and what the README promises of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import checkpointkit
from checkpointkit.cli import main
from checkpointkit.envelope import open_envelope

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a Markdown page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


# ---------------------------------------------------------------------------------- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if not (ROOT / "src").is_dir():
        pytest.skip("the source is out of the way: it is a built wheel that is tested")
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
        if path.suffix in {".py", ".pyi", ".proto", ".lock", ".jsonl"} or path.name == "py.typed"
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
    required: dict[str, set[str]] = {}
    for text in metadata.get_all("Requires-Dist", []):
        name, _, marker = text.partition(";")
        extra = re.search(r"extra == '(\w+)'$", marker)
        wanted = required.setdefault(extra[1] if extra else "", set())
        wanted.add(re.split(r"[<>=!~ ]", name)[0])
    assert required == {
        "": {"attrs", "cattrs", "filelock"},
        "archives": {"backports-zstd", "pyyaml"},
        "cri": {"grpcio", "protobuf"},
        "fnv": {"fnv-hash-fast"},
        "kubernetes": {"httpx2", "lightkube"},
        "metrics": {"prometheus-client"},
        "pods": {"grpcio", "httpx2", "lightkube", "prometheus-client", "protobuf"},
        "testing": {"hypothesis", "pytest"},
        "watch": {"watchfiles"},
    }
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert (ROOT / "README.md").read_text(encoding="utf-8") == metadata.get_payload()


def test_the_wheel_has_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "checkpointkit = checkpointkit.cli:main" in wheel.read(name).decode()


# --------------------------------------------------------------------------------- the import


def loaded_with(module: str, directory: Path) -> set[str]:
    # -S: no .pth file of an environment, coverage's among them, imports something before
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys, {module}; print(*sys.modules)"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert module in loaded
    return loaded


def test_importing_the_package_leaves_out_what_is_slow_or_optional(tmp_path: Path) -> None:
    slow = {"argparse", "asyncio", "filelock", "sqlite3", "checkpointkit.cli"}
    assert not loaded_with("checkpointkit", tmp_path) & {*slow, "checkpointkit.evolution"}


def test_formats_are_checked_without_the_extra(tmp_path: Path) -> None:
    # only making goldens, and looking for what a downgrade loses, needs hypothesis
    loaded = loaded_with("checkpointkit.evolution.workspace", tmp_path)
    assert not loaded & {"hypothesis", "pytest"}


def test_the_pod_checkpointer_is_imported_without_what_its_clients_need(tmp_path: Path) -> None:
    loaded = loaded_with("checkpointkit.pods.checkpointer", tmp_path)
    assert not loaded & {"google.protobuf", "grpc", "httpx2", "lightkube", "prometheus_client"}


def test_every_public_name_is_there_and_listed_once() -> None:
    names = checkpointkit.__all__
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(checkpointkit, name)] == []


# ----------------------------------------------------------------------------------- the pages


def test_the_example_of_the_readme_is_short() -> None:
    (example,) = blocks("README.md", "python")
    assert len(example.splitlines()) <= 17


def test_the_envelope_in_the_docs_is_a_real_one() -> None:
    (text,) = blocks("docs/envelope.md", "text")
    envelope = open_envelope(text.removesuffix("\n").encode(), "node-a")
    assert envelope.payload == b'{"ids":["gpu0","gpu3"],"pod":"web"}'


def test_the_readme_says_how_to_set_it_up_in_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^    (make .*)$", text, re.MULTILINE)) == {"make demo", "make test"}


# -------------------------------------------------------------------------------- its formats


def test_the_formats_have_not_drifted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the package that is tested, which may be a built wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    schemas = project["tool"]["checkpointkit"]["schemas"]
    assert len(schemas) == 7
    (tmp_path / "package").symlink_to(Path(checkpointkit.__file__).parent)
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.checkpointkit]\nlock = "package/checkpointkit.lock"\nschemas = {schemas}\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["schema", "check"]) == 0
