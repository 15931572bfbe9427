"""Fixtures of checkpointkit for any test, and `schema check` as tests; pytest finds it by itself.

Nothing of checkpointkit is imported until a test asks for one of the fixtures, or the project has
`checkpointkit_schemas = true` in its pytest settings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from checkpointkit import FileStore
    from checkpointkit.evolution.findings import Finding

_INI = "checkpointkit_schemas"
_AGAINST = "--checkpointkit-against"
_SETTINGS = "pyproject.toml"
_WHOLE = "lock"
"""The test of what belongs to no listed schema. No reference looks like that."""

_NOTE = "checkpointkit"
"""The property of a test's report that says so."""

_results = pytest.StashKey["_Results"]()


@pytest.fixture
def checkpoint_dir(tmp_path: Path) -> Path:
    """A directory for a `FileStore`, one for each test; the store makes it."""
    return tmp_path / "checkpoints"


@pytest.fixture
def checkpoint_store(checkpoint_dir: Path) -> Iterator[FileStore]:
    """An empty `FileStore` in `checkpoint_dir`, without syncs; closed at the end of the test."""
    from checkpointkit import FileStore  # noqa: PLC0415 - a test run that does not ask pays nothing

    with FileStore(checkpoint_dir, durability="none") as store:
        yield store


# ------------------------------------------------------------------------ `schema check` as tests


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that makes `schema check` part of a project's tests, and its option."""
    parser.addini(
        _INI,
        "check the schemas that [tool.checkpointkit] lists against their lock file",
        type="bool",
        default=False,
    )
    parser.getgroup("checkpointkit").addoption(
        _AGAINST,
        metavar="REV|WHEEL",
        help=f"with {_INI}: also check that nothing of that release was changed or taken away",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the tests, and refuse an option that would do nothing."""
    config.addinivalue_line("markers", "checkpointkit: a check of a schema against its lock file")
    config.stash[_results] = _Results(config)
    if config.getoption(_AGAINST) is not None and not config.getini(_INI):
        raise pytest.UsageError(f"{_AGAINST} needs {_INI} = true in the settings of pytest")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Add the tests to a run of directories: behind whatever is in them."""
    report = yield
    if isinstance(collector, pytest.Session) and report.passed and _directories(collector.config):
        report.result = [*report.result, _schemas(collector)]
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect them from where they are asked for by name: `pytest pyproject.toml::...`."""
    if file_path == parent.config.rootpath / _SETTINGS and _asked_for(parent.config):
        return _schemas(parent)
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what has to be known of a release that there was nothing to compare with."""
    for report in terminalreporter.getreports("passed"):
        for name, note in report.user_properties:
            if name == _NOTE:
                terminalreporter.line(f"checkpointkit: {note}")


def _schemas(parent: pytest.Collector) -> Schemas:
    found: Schemas = Schemas.from_parent(parent, path=parent.config.rootpath / _SETTINGS)
    return found


def _directories(config: pytest.Config) -> bool:
    """Tell whether whole directories are run: who names a file or a test wants that alone."""
    wanted = config.getini(_INI) and not _asked_for(config)
    return bool(wanted) and any(path.is_dir() for path in _paths(config))


def _asked_for(config: pytest.Config) -> bool:
    """Tell whether an argument names the tests, or one of them."""
    return bool(config.getini(_INI)) and config.rootpath / _SETTINGS in _paths(config)


def _paths(config: pytest.Config) -> list[Path]:
    base = config.invocation_params.dir
    return [Path(os.path.abspath(base / each.partition("::")[0])) for each in config.args]


class Schemas(pytest.File):
    """The schemas of a project, as tests: one for each, and one for the lock as a whole."""

    def collect(self) -> Iterable[pytest.Item]:
        """See `pytest.Collector.collect`."""
        names = [_WHOLE, *self.config.stash[_results].references()]
        return [SchemaCheck.from_parent(self, name=name) for name in names]


class SchemaCheck(pytest.Item):
    """The test of one schema; of the lock, and what belongs to no schema, if it is `_WHOLE`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_marker("checkpointkit")

    def runtest(self) -> None:
        """See `pytest.Item.runtest`."""
        results = self.config.stash[_results]
        text = results.text(self.name)
        if text:
            raise _FindingsError(text)
        if results.note and self.name == _WHOLE:  # reaches the summary from a worker of xdist, too
            self.user_properties.append((_NOTE, results.note))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what was found, without a traceback."""
        if isinstance(excinfo.value, _FindingsError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """See `pytest.Item.reportinfo`."""
        return self.path, None, f"checkpointkit: {self.name}"


class _FindingsError(Exception):
    """What was found, in words: no traceback says more."""


class _Results:
    """What the check of the whole project comes to: made once in a process, when it is needed."""

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._against: str | None = config.getoption(_AGAINST)
        if self._against is not None:
            # The check comes after all other tests, and one of them may have changed the directory.
            file = config.invocation_params.dir / self._against
            self._against = str(file) if file.is_file() else self._against
        self._found: dict[str, list[Finding]] | str | None = None
        self.note = ""

    def references(self) -> tuple[str, ...]:
        """Return the references of the listed schemas; none if there is no telling."""
        from checkpointkit.errors import LockFileError  # noqa: PLC0415 - only where it is wanted
        from checkpointkit.evolution.project import find_project  # noqa: PLC0415 - likewise

        try:
            return find_project(self._root).schemas
        except LockFileError:
            return ()  # the test of the lock says so

    def text(self, name: str) -> str:
        """Return what was found for one test; "" if nothing was."""
        if self._found is None:
            self._found = self._check()
        if isinstance(self._found, str):
            return self._found
        return "\n\n".join(finding.text().rstrip() for finding in self._found.get(name, ()))

    def _check(self) -> dict[str, list[Finding]] | str:
        from checkpointkit.errors import CheckpointError  # noqa: PLC0415 - likewise
        from checkpointkit.evolution.workspace import open_workspace  # noqa: PLC0415 - likewise

        found: dict[str, list[Finding]] = {}
        try:
            with open_workspace(self._root, self._against) as workspace:
                self.note = workspace.released.note if workspace.released else ""
                listed = set(workspace.project.schemas)
                for finding in workspace.findings():
                    reference = finding.reference
                    found.setdefault(reference if reference in listed else _WHOLE, []).append(
                        finding
                    )
        except CheckpointError as error:
            return str(error)
        return found
