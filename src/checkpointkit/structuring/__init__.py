"""Objects to payloads and back, strictly: what goes in comes out equal, or does not go in.

The way in: `compile.py` walks over a class once and makes a codec of it (`codecs.py`, `choices.py`,
`texts.py`, `records.py`, `foreign.py`), with the annotations read by `hints.py`; `hooks.py` is what
a schema says about types that are foreign; `misfit.py` tells what does not fit, and no values.
"""

from __future__ import annotations

from checkpointkit.structuring.codecs import Codec
from checkpointkit.structuring.compile import Compiler, Json
from checkpointkit.structuring.hooks import Hook, Tagged, check_wire_name, tagged
from checkpointkit.structuring.misfit import Misfit

__all__ = ["Codec", "Compiler", "Hook", "Json", "Misfit", "Tagged", "check_wire_name", "tagged"]
