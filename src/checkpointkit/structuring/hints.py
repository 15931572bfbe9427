"""What the annotations of a class mean: strings resolved, type variables replaced.

cattrs and `typing.get_type_hints` read all annotations of a class at once, in the namespace of its
module. Here each field is read alone, so that the field that cannot be resolved has a name; in the
namespace of the class that defines it; and a class inside a function at least knows itself.
"""

from __future__ import annotations

import inspect
import sys
import typing
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

Bindings = dict[Any, dict[Any, Any]]
"""For a generic class and each of its bases, what their type variables stand for."""


def resolve(annotation: Any, owner: type[Any]) -> Any:
    """Return the annotation of a field with every string in it resolved.

    Args:
        annotation: The annotation, a type or a text.
        owner: The class that defines the field.

    Raises:
        Exception: Whatever its evaluation raises, a NameError most of the time.
    """
    module = vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else {}
    local = {parameter.__name__: parameter for parameter in _type_parameters(owner)}
    if "<locals>" in owner.__qualname__:  # its own name is in no namespace that can be reached
        local[owner.__name__] = owner
    carrier = type("carrier", (), {"__annotations__": {"field": annotation}})
    hints = get_type_hints(
        carrier,
        # As in a class body: a name of the module goes before a default in the class.
        globalns={**vars(owner), owner.__name__: owner},
        localns={**module, **local},
        include_extras=True,
    )
    return hints["field"]


def owner_of(field: str, cls: type[Any]) -> type[Any] | None:
    """Return the class among `cls` and its bases whose annotation of `field` counts, if any."""
    for base in cls.__mro__:
        if field in inspect.get_annotations(base):
            return base
    return None


def _type_parameters(cls: Any) -> tuple[Any, ...]:
    parameters: tuple[Any, ...] = getattr(cls, "__type_params__", ())
    return parameters


def bindings(cls: Any, arguments: tuple[Any, ...]) -> Bindings:
    """Return what the type variables of `cls[arguments]` and of its bases stand for."""
    own = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    found: Bindings = {cls: own}
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = get_origin(base) or base
        if origin is not typing.Generic and isinstance(origin, type):
            inner = tuple(substitute(argument, own) for argument in get_args(base))
            found = {**bindings(origin, inner), **found}
    return found


def substitute(annotation: Any, bound: Mapping[Any, Any]) -> Any:
    """Return the annotation with its type variables replaced by what they stand for."""
    if isinstance(annotation, TypeVar):
        return bound.get(annotation, annotation)
    parameters = getattr(annotation, "__parameters__", ())
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation  # a generic class without its arguments
    if not any(parameter in bound for parameter in parameters):
        return annotation
    generic: Any = annotation
    return generic[tuple(bound.get(parameter, parameter) for parameter in parameters)]
