"""Optional parts of the package: what they need is imported when it is needed, or asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from checkpointkit.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


def require(extra: str, module: str) -> ModuleType:
    """Import a module that belongs to an extra.

    Args:
        extra: The extra that brings it, for the error.
        module: Its full name.

    Returns:
        The module.

    Raises:
        MissingExtraError: It is not installed. Where the module is there and something that it
            imports itself is missing, its own `ModuleNotFoundError` passes through.

    Example:
        >>> require("testing", "json").__name__
        'json'
        >>> require("testing", "not_installed")
        Traceback (most recent call last):
        ...
        checkpointkit.errors.MissingExtraError: not_installed is missing; install it with: \
pip install 'checkpointkit[testing]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{module}.".startswith(f"{missing}."):
            raise
    raise MissingExtraError(extra, module)
