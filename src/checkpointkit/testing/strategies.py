"""Hypothesis strategies of the values of a schema, for tests of a program that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from checkpointkit.evolution.strategies import values

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from checkpointkit.schema import Schema

T = TypeVar("T")


def values_of(schema: Schema[T]) -> SearchStrategy[T]:
    """Return a strategy of values that `schema.dump` takes, made from the shape of the schema.

    Args:
        schema: The schema. What the validators of its class refuse is thrown away, so that they
            should not be narrow. Where Hypothesis does not know how to make the type of a hook,
            tell it: `hypothesis.strategies.register_type_strategy`.

    Raises:
        ValueError: There is no value that ends.

    Example:
        >>> from dataclasses import dataclass
        >>> from checkpointkit import Schema
        >>> from hypothesis import find
        >>> @dataclass
        ... class Lease:
        ...     holder: str
        ...     seconds: int
        >>> schema = Schema(Lease, kind="example.com/lease", version=1)
        >>> find(values_of(schema), lambda lease: lease.seconds > 5)
        Lease(holder='', seconds=6)
    """
    return values(schema, st.text(st.characters(codec="utf-8"))).map(schema.structure)
