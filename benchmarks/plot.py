"""The plot: an SVG of bars, a panel for each operation, written by hand. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from benchmarks.figures import BARE, FULL
from benchmarks.report import TIMES, duration, ratio

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from benchmarks.figures import Figure

_COLUMNS: Final = 2
_PANEL: Final = 470
_LABELS: Final = 166
_VALUES: Final = 100
_ROW: Final = 19
_TOP: Final = 64
_COLOURS: Final = {BARE: "#5b6470", FULL: "#0b6e4f"}
_DURABLE: Final = "#5b8fd6"
_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#1d2530}"
    ".h{font-weight:600;font-size:13px}.t{font-weight:600;font-size:15px}"
    ".s{fill:#5b6470;font-size:11px}"
)


def length(value: float, low: float, high: float, width: float) -> float:
    """Return the length of a bar on a logarithmic scale that begins at `low`.

    Example:
        >>> length(10, 1, 100, 200), length(1, 1, 100, 200), length(5, 5, 5, 200)
        (100.0, 0.0, 200)
    """
    if high <= low:
        return width
    return width * math.log(value / low) / math.log(high / low)


def svg(
    panels: Mapping[str, Sequence[Figure]], durable: Collection[str], heading: str, caption: str
) -> str:
    """Return the plot.

    Args:
        panels: Figures by the title of the panel.
        durable: The contenders that are durable; the bars of others are hollow.
        heading: The plot's title.
        caption: A line below it.
    """
    tallest = max(len(figures) for figures in panels.values())
    panel_height = 34 + tallest * _ROW + 14
    width = _COLUMNS * _PANEL + 20
    height = _TOP + math.ceil(len(panels) / _COLUMNS) * panel_height + 10
    parts = [
        _tag(
            "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}", role="img"
        ),
        f"<title>{escape(heading)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text class="t" x="20" y="26">{escape(heading)}</text>',
        f'<text class="s" x="20" y="46">{escape(caption)}</text>',
    ]
    for number, (name, figures) in enumerate(panels.items()):
        x = 20 + number % _COLUMNS * _PANEL
        y = _TOP + number // _COLUMNS * panel_height
        parts += _panel(name, figures, durable, x, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(
    name: str, figures: Sequence[Figure], durable: Collection[str], x: int, y: int
) -> list[str]:
    parts = [f'<text class="h" x="{x}" y="{y + 18}">{escape(name)}</text>']
    medians = [figure.median for figure in figures]
    low, high = min(medians) / 2, max(medians)
    for number, figure in enumerate(figures):
        top = y + 28 + number * _ROW
        bar = length(figure.median, low, high, _PANEL - _LABELS - _VALUES)
        colour = _COLOURS.get(figure.contender, _DURABLE)
        fill = colour if figure.contender in durable else "#ffffff"
        value = duration(figure.median)
        if figure.to_bare is not None and figure.contender != BARE:
            value += f" ({ratio(figure.to_bare)}{TIMES})"
        middle = top + 12
        name_at = _tag("text", x=x + _LABELS - 8, y=middle, text_anchor="end")
        bar_at = f'x="{x + _LABELS}" y="{top + 2}" width="{bar:.1f}" height="13"'
        value_at = f'x="{x + _LABELS + bar + 6:.1f}" y="{middle}"'
        parts += [
            f"{name_at}{escape(figure.contender)}</text>",
            f'<rect {bar_at} fill="{fill}" stroke="{colour}"/>',
            f'<text class="s" {value_at}>{value}</text>',
        ]
    return parts


def _tag(name: str, **attributes: object) -> str:
    return (
        f"<{name} "
        + " ".join(f'{key.replace("_", "-")}="{value}"' for key, value in attributes.items())
        + ">"
    )
