"""Base64 as `encoding/base64` decodes it. Pure."""

from __future__ import annotations

import binascii
import re
from typing import Final

__all__ = ["Base64Error", "decode_base64"]

_WHOLE: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_DIGITS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_LINE_ENDS: Final = b"\r\n"
_PAD: Final = ord("=")
_GROUP: Final = 4
_LAST: Final = 2


class Base64Error(ValueError):
    """The text is no base64; the message is Go's."""


def decode_base64(text: str) -> bytes:
    r"""Return the bytes; line ends are ignored, and so are bits that pad the last byte.

    Raises:
        Base64Error: It is none.

    Example:
        >>> decode_base64("YW\nI=")
        b'ab'
        >>> decode_base64("YW?=")
        Traceback (most recent call last):
        ...
        checkpointkit.kubelet.gobase64.Base64Error: illegal base64 data at input byte 2
    """
    data = text.encode()
    joined = data.translate(None, _LINE_ENDS)
    if _WHOLE.fullmatch(joined):
        return binascii.a2b_base64(joined)
    raise Base64Error(f"illegal base64 data at input byte {_wrong(data)}")


def _wrong(data: bytes) -> int:
    """Return where Go stops reading text that is no base64."""
    in_group = 0
    for at, byte in enumerate(data):
        if byte in _LINE_ENDS:
            continue
        if byte in _DIGITS:
            in_group = (in_group + 1) % _GROUP
            continue
        if byte != _PAD or in_group < _LAST:
            return at
        rest = at + 1
        if in_group == _LAST:
            rest = _past_line_ends(data, rest)
            if rest == len(data):
                return rest
            if data[rest] != _PAD:
                return rest - 1
            rest += 1
        return _past_line_ends(data, rest)
    return len(data) - in_group


def _past_line_ends(data: bytes, at: int) -> int:
    while at < len(data) and data[at] in _LINE_ENDS:
        at += 1
    return at
