"""Kubernetes objects from files, as JSON or YAML: what `kubectl` prints and takes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from checkpointkit._extras import require
from checkpointkit.cli.outcome import USAGE, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_objects"]

_INPUT = "-"
_DATES = "tag:yaml.org,2002:timestamp"


def read_objects(path: str) -> list[dict[str, Any]]:
    """Return the objects of a file: one of JSON, any number of YAML.

    Args:
        path: The file; `-` for standard input.

    Raises:
        Refused: It cannot be read, or is no such file.
        MissingExtraError: It is no JSON, and nothing here reads YAML.
    """
    shown = "the input" if path == _INPUT else path
    try:
        found = list(_decoded(_text(path)))
    except OSError as error:
        raise Refused(
            f"{shown} cannot be read: {error.strerror}", "see to it", USAGE, "NoFile"
        ) from error
    except (ValueError, RecursionError):
        # what is wrong with it would be shown with a piece of it, which may be secret
        found = [None]
    objects = [each for each in found if isinstance(each, dict)]
    if len(objects) < len(found):
        raise Refused(
            f"{shown} is neither JSON nor YAML of objects",
            "give a file as kubectl get prints it, with -o json or -o yaml",
            USAGE,
            "NoFile",
        )
    return objects


def _text(path: str) -> str:
    if path == _INPUT:
        return sys.stdin.buffer.read().decode()
    with open(path, "rb") as file:
        return file.read().decode()


def _decoded(text: str) -> Iterator[Any]:
    try:
        yield json.loads(text)
    except ValueError:
        pass
    else:
        return
    yaml = require("kubernetes", "yaml")

    class Loader(yaml.SafeLoader):  # type: ignore[misc,name-defined]
        """Leaves a time a text, as it is in JSON."""

    Loader.yaml_implicit_resolvers = {
        first: [each for each in resolvers if each[0] != _DATES]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        yield from (each for each in yaml.load_all(text, Loader) if each is not None)
    except yaml.YAMLError:
        yield None
