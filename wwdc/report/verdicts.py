"""Cells of a heat map of effects: a colour from 0 to 1, a verdict's mark, the interval."""

__all__ = ["MARKS", "VERDICT_COLOURS", "draw_cell", "draw_control", "effect_scale"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.patches import Rectangle

from wwdc.stats.show import two_digits

MARKS = {"removed": "✓", "leaks": "✗", "present": "●", "undecided": "?", "not tested": "–"}
VERDICT_COLOURS = {
    "removed": "#00734f",
    "present": "#0b5c8f",
    "leaks": "#b84a00",
    "undecided": "#6b6b6b",
    "not tested": "#6b6b6b",
}
"""Shades of the palette that are dark enough for a pale mark."""

_DARK, _PALE = "#111111", "#fdfdfd"
_UNKNOWN = "#eeeeee"
_PALETTE = ListedColormap(colormaps["GnBu"](np.linspace(0.06, 0.92, 256)))


def effect_scale() -> ScalarMappable:
    """What the colours say: effects from 0 to 1, the same in every report."""
    return ScalarMappable(Normalize(0, 1), _PALETTE)


def draw_cell(axes: Axes, x: float, y: float, cell: Mapping[Any, Any]) -> None:
    """A variable in a row: *cell* has ``effect ci_low ci_high verdict conditioned``."""
    effect = float(cell["effect"]) if pd.notna(cell["effect"]) else np.nan
    fill = _UNKNOWN if np.isnan(effect) else _PALETTE(np.clip(effect, 0, 1))
    axes.add_patch(Rectangle((x + 0.02, y + 0.03), 0.96, 0.94, facecolor=fill, linewidth=0))
    verdict = str(cell["verdict"])
    ink = _ink(fill)
    axes.add_patch(
        Rectangle((x + 0.02, y + 0.03), 0.2, 0.94, facecolor=VERDICT_COLOURS[verdict], linewidth=0)
    )
    style: dict[str, Any] = {"ha": "center", "va": "center"}
    axes.text(x + 0.12, y + 0.5, MARKS[verdict], fontsize=11, color=_PALE, **style)
    told = cell.get("conditioned")
    word = verdict if told is None or pd.isna(told) or told else f"{verdict} †"
    axes.text(x + 0.6, y + 0.32, word, fontsize=9, color=ink, weight="bold", **style)
    if np.isfinite(effect):
        span = f"{two_digits(effect)} [{two_digits(cell['ci_low'])}, {two_digits(cell['ci_high'])}]"
        axes.text(x + 0.6, y + 0.7, span, fontsize=7, color=ink, **style)


def draw_control(axes: Axes, x: float, y: float, effect: float) -> None:
    """A control's effect, in a lower cell."""
    fill = _PALETTE(np.clip(effect, 0, 1)) if np.isfinite(effect) else _UNKNOWN
    axes.add_patch(Rectangle((x + 0.02, y + 0.02), 0.96, 0.5, facecolor=fill, linewidth=0))
    if np.isfinite(effect):
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": _ink(fill)}
        axes.text(x + 0.5, y + 0.27, two_digits(effect), **style)


def _ink(fill: Any) -> str:
    """Dark or pale, whichever has the higher contrast on *fill* (WCAG 2.1)."""
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(fill)
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return _DARK if luminance > 0.18 else _PALE
