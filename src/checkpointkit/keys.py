"""The grammar of keys: the kubelet's, matched whole.

A key names a checkpoint. It becomes a directory's name in the file store, so the grammar leaves
out everything that is special there: separators, leading dots, control characters.

Source: `ValidateKey` in Kubernetes' pkg/kubelet/checkpointmanager (`^([A-Za-z0-9][-A-Za-z0-9_.]*)?
[A-Za-z0-9]$`, 250 bytes). In Python `$` also matches before a final newline, hence `fullmatch`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from checkpointkit.errors import InvalidKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_KEY_BYTES = 250

_SHOWN = 80
_RULE = (
    "use 1 to 250 letters, digits, '-', '_' and '.' of ASCII, with a letter or digit at both ends"
)

is_key: Callable[[str], re.Match[str] | None] = re.compile(
    r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,248}[A-Za-z0-9])?"
).fullmatch
"""Match a text that is a key; any other gives None."""


def check_key(key: object) -> str:
    """Return `key` if it is a valid key.

    Args:
        key: What a caller gave as a key.

    Raises:
        InvalidKeyError: It is not a `str`, or breaks the grammar.

    Example:
        >>> check_key("node-a")
        'node-a'
        >>> check_key("../etc/passwd")
        Traceback (most recent call last):
        ...
        checkpointkit.errors.InvalidKeyError: '../etc/passwd' is no key: use 1 to 250 letters, \
digits, '-', '_' and '.' of ASCII, with a letter or digit at both ends
    """
    if isinstance(key, str) and is_key(key):
        return key if type(key) is str else str.__str__(key)  # a StrEnum member is a key, too
    shown = repr(key) if isinstance(key, str) else f"a {type(key).__name__}"
    raise InvalidKeyError(shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "...", _RULE)


def chosen_keys(keys: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the keys that a caller has chosen, checked; None, which stands for all, as it is.

    Raises:
        TypeError: `keys` is one text: its letters would be taken for keys.
        InvalidKeyError: One of them breaks the grammar.

    Example:
        >>> chosen_keys(["node-a", "node-b"])
        ('node-a', 'node-b')
    """
    if isinstance(keys, str):
        raise TypeError("keys is an iterable of keys, not one key")
    return None if keys is None else tuple(check_key(key) for key in keys)
