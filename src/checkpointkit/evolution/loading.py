"""From `pkg.mod:NAME` to what it names. User code runs here, and nowhere else in `evolution`."""

from __future__ import annotations

import sys
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from importlib import import_module, invalidate_caches
from typing import TYPE_CHECKING, Any, Final

from checkpointkit.errors import LockFileError
from checkpointkit.evolution.findings import Broken, Listed
from checkpointkit.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

_FORM: Final = "write it as module:NAME, for example agent.state:LEASES"


def split_reference(reference: str) -> tuple[str, str]:
    """Return the module and the name in it.

    Raises:
        LockFileError: It has another form.

    Example:
        >>> split_reference("agent.state:LEASES")
        ('agent.state', 'LEASES')
        >>> split_reference("agent.state.LEASES")
        Traceback (most recent call last):
        ...
        checkpointkit.errors.LockFileError: agent.state.LEASES: names no module and object; write \
it as module:NAME, for example agent.state:LEASES
    """
    module, colon, name = reference.partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise LockFileError(reference, f"names no module and object; {_FORM}")
    return module, name


@contextmanager
def importable(root: Path) -> Iterator[None]:
    """Put a project's directory and its `src` in front of `sys.path`, for the time of a block.

    The console script does not have them there, and an installed older release of the same
    package must not be taken for the one that is being worked on.
    """
    front = [str(root / "src"), str(root)]
    sys.path[:0] = front
    invalidate_caches()
    try:
        yield
    finally:
        for each in front:  # whatever else was put there in the meantime stays
            if each in sys.path:
                sys.path.remove(each)


def load_object(reference: str) -> Any:
    """Import what a reference names. What its module prints goes to stderr.

    Raises:
        LockFileError: The reference has another form, or its module no such name.
        Exception: Whatever the module raises when it is imported.

    Example:
        >>> load_object("json:JSONDecoder.decode").__name__
        'decode'
    """
    module, name = split_reference(reference)
    return _inside(_imported(module), name, reference)


def load_schema(reference: str) -> Schema[Any]:
    """Import the schema that a reference names, from where Python finds its module.

    Args:
        reference: `pkg.mod:NAME`; `NAME` may have dots.

    Raises:
        LockFileError: There is no such module or name, the module cannot be imported, or it is no
            schema.

    Example:
        >>> load_schema("json:dumps")
        Traceback (most recent call last):
        ...
        checkpointkit.errors.LockFileError: json:dumps: is a function, not a Schema
    """
    try:
        return _schema(load_object(reference), reference)
    except LockFileError:
        raise
    except Exception as error:
        raise LockFileError(reference, f"cannot be imported: {said(error)}") from error


def load_listed(references: Iterable[str]) -> tuple[Listed | Broken, ...]:
    """Import each schema of a list; one that cannot be imported keeps none of the others from it.

    A module is imported once, so that those of its schemas that share its failure share the error.
    """
    modules: dict[str, ModuleType | Exception] = {}
    return tuple(_listed(reference, modules) for reference in references)


def said(error: Exception) -> str:
    """Return what an error of user code says, on one line.

    Example:
        >>> said(ModuleNotFoundError("No module named 'agent'"))
        "ModuleNotFoundError: No module named 'agent'"
        >>> said(KeyError())
        'KeyError'
    """
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _listed(reference: str, modules: dict[str, ModuleType | Exception]) -> Listed | Broken:
    try:
        module, name = split_reference(reference)
        if module not in modules:
            modules[module] = _outcome(module)
        found = modules[module]
        if isinstance(found, Exception):
            return Broken(reference, found)
        return Listed(reference, _schema(_inside(found, name, reference), reference))
    except LockFileError as error:
        return Broken(reference, error)


def _outcome(module: str) -> ModuleType | Exception:
    try:
        return _imported(module)
    except Exception as error:  # noqa: BLE001 - user code: whatever it raises is the finding
        return error


def _imported(module: str) -> ModuleType:
    try:
        with redirect_stdout(sys.stderr):  # stdout may be a document for programs
            return import_module(module)
    except SystemExit:
        pass
    raise ImportError(f"{module} ends the process when it is imported")


def _inside(module: ModuleType, name: str, reference: str) -> Any:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = get_close_matches(part, vars(module), 1)
            meant = f"; is {near[0]} meant?" if near else ""
            raise LockFileError(reference, f"there is no {part} in it{meant}") from None
    return found


def _schema(found: Any, reference: str) -> Schema[Any]:
    if not isinstance(found, Schema):
        raise LockFileError(reference, f"is a {type(found).__name__}, not a Schema")
    return found
