"""Every example in the README, the pages and the docstrings runs, and the pages are complete.

A page is one program: its examples go on from one another, in a namespace and a directory of its
own. Three kinds of blocks are run, and what is shown beside them has to be true:

- `python`: what follows a `print(...)` in a comment is what it prints.
- `output`: what the `python` block before it prints, all of it.
- `console`: commands after `$ `, each with its output below it.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sybil import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown.codeblock import CodeBlockParser

import checkpointkit
from checkpointkit.archives.disk.pins import PinError
from checkpointkit.archives.errors import DirectoryError, PolicyError
from checkpointkit.kubernetes.http import SourceConfigError
from checkpointkit.pods.daemon.serving import StartError

if TYPE_CHECKING:
    from sybil import Example

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CONSOLES_ELSEWHERE = {
    "docs/archives.md": "tests/test_cli_archives_docs.py",
    "docs/command-line.md": "tests/test_cli_docs.py",
    "docs/pods.md": "tests/test_cli_pods_docs.py",
}
"""Pages whose commands need a store and a time that their own tests make."""
FOLLOWED_ELSEWHERE = {"docs/formats.md": "tests/evolution/test_howto.py"}
"""Pages that make a project, file by file."""

python = PythonEvaluator()


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ------------------------------------------------------------------------- the examples of a page


def run_python(example: Example) -> None:
    """Run a block, and compare what it prints with what it says that it prints."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        python(example)
    lines = printed.getvalue().splitlines()
    said = re.findall(r"^ *print\(.*\)  # (.*)$", example.parsed, re.MULTILINE)
    if example.document.text[example.region.end :].lstrip("`\n").startswith("output\n"):
        example.namespace["_printed"] = lines
    else:
        assert lines == said


def check_output(example: Example) -> None:
    """Compare a block with what the one before it has printed."""
    assert example.namespace.pop("_printed") == example.parsed.splitlines()


def run_console(example: Example) -> None:
    """Run each command of a block in a shell, and compare what it prints."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for session in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
        command, _, shown = session.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command],
            env=os.environ | {"PATH": programs, "COLUMNS": "100", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.stdout.rstrip("\n") == shown.rstrip("\n"), command


BLOCKS = [
    CodeBlockParser("python", run_python),
    CodeBlockParser("output", check_output),
    CodeBlockParser("console", run_console),
]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_examples_of_a_page_are_true(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if other := FOLLOWED_ELSEWHERE.get(name_of(page)):
        assert page.name in (ROOT / other).read_text(encoding="utf-8")
        return
    blocks = BLOCKS
    if other := CONSOLES_ELSEWHERE.get(name_of(page)):
        assert page.name in (ROOT / other).read_text(encoding="utf-8")
        blocks = [parser for parser in BLOCKS if parser.language != "console"]
    for example in Document.parse(str(page), *blocks).examples():
        example.evaluate()


def test_the_pages_have_blocks_of_known_languages_alone() -> None:
    # one of another language would look like an example and never be run
    ran = {"python", "output", "console"}
    shown = {"text", "json", "toml", "yaml", "dockerfile"}  # `text` is no program, others are files
    known = ran | shown | {"{eval-rst}", "{include} ../CHANGELOG.md", "{toctree}"}
    found = {
        (name_of(page), language)
        for page in PAGES
        for language in re.findall(
            r"^```(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    }
    assert {(page, language) for page, language in found if language not in known} == set()


# ----------------------------------------------------------------------------------- docstrings


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_the_examples_of_docstrings_are_true(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tree = ast.parse(source.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if not isinstance(node, documented):
            continue
        text = ast.get_docstring(node, clean=False) or ""
        if ">>>" not in text:
            continue
        # where it stands in the file, so that a failure names the line
        document = Document("\n" * (node.body[0].lineno - 1) + text, str(source))
        module = ".".join(source.relative_to(ROOT / "src").with_suffix("").parts)
        document.namespace.update(vars(import_module(module.removesuffix(".__init__"))))
        for region in DocTestParser()(document):
            document.add(region)
        for example in document.examples():
            example.evaluate()


# ------------------------------------------------------------------------------- the API's pages


def documented() -> list[str]:
    """Return what the API's pages document, name by name."""
    found = []
    for page in (ROOT / "docs" / "api").glob("*.md"):
        module = "checkpointkit"
        for line in page.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"\.\. currentmodule:: (.+)", line):
                module = match[1]
            elif match := re.match(r"\.\. auto(?:class|exception|function):: (.+)", line):
                found.append(match[1])
            elif match := re.match(r"\.\. py:(?:data|type):: (.+)", line):
                found.append(f"{module}.{match[1]}")
    return found


@pytest.mark.parametrize(
    "module", ["checkpointkit", "checkpointkit.testing", "checkpointkit.testing.crash"]
)
def test_each_public_name_is_documented_once(module: str) -> None:
    public = sorted(f"{module}.{name}" for name in import_module(module).__all__)
    assert sorted(name for name in documented() if name.rpartition(".")[0] == module) == public


def test_each_error_has_its_row() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    errors = {name for name in checkpointkit.__all__ if name.endswith("Error")}
    errors.remove("CheckpointError")  # the base of them all
    errors |= {SourceConfigError.__name__, StartError.__name__}
    errors |= {DirectoryError.__name__, PinError.__name__, PolicyError.__name__}
    assert [name for name in errors if f"\n| `{name}`" not in text] == []


# ------------------------------------------------------------------------------------ the links


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the built pages make them."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lost = []
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        there = page.parent / target if target else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(f"{target}#{anchor}")
    assert lost == []
