"""Payloads to try a schema with: what a user gives, the edges of the shape, and generated ones."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from checkpointkit._extras import require
from checkpointkit.errors import LockFileError
from checkpointkit.evolution.edges import edges
from checkpointkit.evolution.nodes import harvest, read_shape
from checkpointkit.evolution.strategies import hooks_of, payloads, takes
from checkpointkit.fingerprint import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hypothesis.strategies import SearchStrategy

    from checkpointkit.fingerprint import Shape
    from checkpointkit.schema import Payload, Schema

COUNT: Final = 20
"""So many goldens a version gets, about."""
_EXAMPLES: Final = 8
_EDGES: Final = 16
_OF_A_HOOK: Final = 6
_PARTS: Final = 1500
"""So many parts are generated, about: some tenths of a second."""
_WIDEST: Final = 300
"""Of a shape with more parts Hypothesis gives up before it has made one payload."""
_ABSENT: Final[Any] = object()


def samples(
    schema: Schema[Any], examples: Sequence[Payload], known: Iterable[Payload]
) -> list[Payload]:
    """Return about 20 payloads that a schema takes, no two the same.

    Examples come first, then the edges of the shape, then what Hypothesis makes of it. Where the
    class refuses a payload, as much of it as it takes is put into one that it has taken.

    Args:
        schema: The schema.
        examples: Payloads that are known to be good.
        known: More of them, which are not wanted themselves; they show what hooks write.

    Raises:
        LockFileError: The class takes none.
        MissingExtraError: Hypothesis is not installed.
    """
    hooks = hook_samples(schema, schema.shape, [*examples, *known])
    at_edges = edges(schema.shape, hooks)
    generated = draw(schema.shape, hooks, 2 * COUNT)
    base = next((one for one in [*examples, *at_edges, *generated] if takes(schema, one)), None)
    if base is None:
        raise LockFileError("pyproject.toml", _no_sample(schema.kind))
    found: dict[str, Payload] = {}

    def keep(wanted: Iterable[Payload], most: int) -> None:
        for payload in wanted:
            if len(found) >= most:
                return
            made = nearest(payload, base, lambda candidate: takes(schema, candidate))
            found.setdefault(canonical(made), made)

    keep(examples, _EXAMPLES)
    keep(at_edges, _EDGES)
    # One in four: those that follow one another are often much the same.
    mixed = [one for start in range(4) for one in generated[start::4]]
    keep([*mixed, *examples, *at_edges], COUNT)
    return list(found.values())


def _no_sample(kind: str) -> str:
    return (
        f"nothing can be made up that the class of {kind} takes; name some values of it, in an "
        f'iterable: [tool.checkpointkit.examples] "{kind}" = "package.module:NAME"'
    )


def nearest(wanted: Any, base: Any, fits: Callable[[Any], bool]) -> Any:
    """Return `wanted`, or as much of it as fits, in the place of parts of `base`.

    Example:
        >>> nearest({"a": 1, "b": -1}, {"a": 0, "b": 0}, lambda made: made["b"] >= 0)
        {'a': 1, 'b': 0}
    """
    if fits(wanted):
        return wanted
    if isinstance(wanted, list) and isinstance(base, list):
        items: list[Any] = []
        for item in wanted:
            items += [item] if fits([*items, item]) else []
        return items if fits(items) else base
    if not (isinstance(wanted, dict) and isinstance(base, dict)):
        return base
    made = base
    for name in sorted(wanted):
        part = nearest(wanted[name], made.get(name, _ABSENT), partial(_fits_in, fits, made, name))
        if part is not _ABSENT:
            made = {**made, name: part}
    return made


def _fits_in(fits: Callable[[Any], bool], whole: Payload, name: str, part: Any) -> bool:
    return fits({**whole, name: part})


def hook_samples(
    schema: Schema[Any], shape: Shape, known: Iterable[Payload]
) -> dict[str, list[Any]]:
    """Return what hooks write, by wire name: as it stands in known payloads, and generated."""
    found = {name: list(seen) for name, seen in harvest(read_shape(shape), known).items()}
    for wire, strategy in hooks_of(schema).items():
        generated = found.setdefault(wire, [])
        try:
            made = _run(strategy, _OF_A_HOOK)
            generated += json.loads(canonical(made))  # plain data, or none
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112 - code of the type; or Hypothesis cannot make it
            continue
    return found


def draw(shape: Shape, hooks: Mapping[str, Sequence[Any]], count: int) -> list[Any]:
    """Return generated payloads of a shape, at most so many: the same ones each time.

    Of a wide shape there are fewer, or none, as Hypothesis takes its time for each part.

    The same within a release of Hypothesis, and among programs that have loaded the same modules
    of their own.
    """
    st: Any = require("testing", "hypothesis.strategies")
    parts = canonical(shape).count(",") + 1
    try:
        strategy = payloads(
            shape, {name: st.sampled_from(seen) for name, seen in hooks.items() if seen}
        )
    except ValueError:
        return []
    return _run(strategy, min(count, _PARTS // parts)) if parts <= _WIDEST else []


def _run(strategy: SearchStrategy[Any], count: int) -> list[Any]:
    hypothesis: Any = require("testing", "hypothesis")
    found: list[Any] = []
    run = hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        backend="hypothesis",  # whatever a project has for its own tests
    )

    def collect(payload: Any) -> None:
        found.append(payload)

    hypothesis.seed(0)(run(hypothesis.given(strategy)(collect)))()
    return found
