"""Parallel coordinates: one line a point, from its parameters to its metric."""

__all__ = ["parallel_figure"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from wwdc.report.scales import Scale, limits, scale_of
from wwdc.report.style import ACCENT, INK, better, new_figure, short_names

_COLOURS = "cividis"  # the same to a colour-blind eye
_ABSENT = -0.14
_WIDTH = 24


def parallel_figure(
    frame: pd.DataFrame,
    params: Sequence[str],
    metric: str,
    mode: str = "min",
    distributions: Mapping[str, BaseDistribution] | None = None,
) -> Figure:
    """A vertical axis for each parameter and the metric, a line for each finished point.

    Numbers that span decades get a logarithmic axis, lists and texts a place for each value; a
    parameter that a point lacks is drawn below its axis. Lines are coloured by the metric, the
    best one is emphasised. Outliers on the bad side of the metric (beyond the quartile by three
    times the interquartile range) are drawn at the end of its axis.

    Args:
        frame: one row a point; rows whose metric is not finite are left out.
        params: columns with parameters, left to right.
        metric: column with the metric, the last axis.
        mode: ``min`` or ``max``: which end of the metric is good.
        distributions: what was searched; scales are inferred from the values where left out.
    """
    rows = frame[np.isfinite(frame[metric].to_numpy(float))]
    scores = rows[metric].to_numpy(float)
    scales = {name: scale_of(rows[name], (distributions or {}).get(name)) for name in params}
    low, high = limits(scores, mode)
    spread = high - low or 1.0
    places = [scales[name].positions(rows[name]) for name in params]
    lines = np.stack([*places, np.clip((scores - low) / spread, 0.0, 1.0)], axis=1)
    lines = np.where(np.isnan(lines), _ABSENT, lines)

    figure = new_figure(max(6.0, 1.2 + 1.75 * len(params)), 4.2)
    axes = figure.subplots()
    _draw_lines(axes, lines, scores, Normalize(low, low + spread), mode)
    names = short_names(params)
    for x, name in enumerate(params):
        _draw_axis(axes, x, scales[name].ticks(rows[name]), names[name])
        if rows[name].isna().any():
            _write(axes, x, _ABSENT, "not set")
    _draw_metric(axes, len(params), _metric_ticks(scores, low, high), metric, mode)
    best = scores.min() if mode == "min" else scores.max()
    label = f"best of {len(rows)}: {metric} {best:.4g}"
    axes.plot([], [], color=ACCENT, linewidth=2.6, label=label)
    figure.legend(loc="outside lower left", frameon=False, fontsize=9)
    axes.set_xlim(-0.5, len(params) + 0.45)
    axes.set_ylim(_ABSENT - 0.04 if (lines == _ABSENT).any() else -0.04, 1.22)
    axes.set_axis_off()
    return figure


def _metric_ticks(scores: NDArray[np.float64], low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers, and the end at which outliers were drawn."""
    if low == high:
        return [(0.0, f"{low:.4g}")]
    ticks = Scale("linear", low, high).ticks()
    if scores.max() > high:
        ticks = [tick for tick in ticks if tick[0] < 0.93] + [(1.0, f"≥ {high:.4g}")]
    if scores.min() < low:
        ticks = [(0.0, f"≤ {low:.4g}")] + [tick for tick in ticks if tick[0] > 0.07]
    return ticks


def _draw_lines(
    axes: Axes,
    lines: NDArray[np.float64],
    scores: NDArray[np.float64],
    norm: Normalize,
    mode: str,
) -> None:
    """Worst first, so that good lines lie on top; the best one in a colour of its own."""
    order = np.argsort(scores, kind="stable")
    if mode == "min":
        order = order[::-1]
    x = np.arange(lines.shape[1])
    paths = [np.column_stack([x, lines[row]]) for row in order]
    colours = _colours(mode)(norm(scores[order]))
    axes.add_collection(
        LineCollection(paths[:-1], colors=colours[:-1], linewidths=1.1, alpha=0.75, zorder=1)
    )
    (best,) = axes.plot(*paths[-1].T, color=ACCENT, linewidth=2.6, zorder=2)
    best.set_path_effects([withStroke(linewidth=4.6, foreground="white")])


def _colours(mode: str) -> Any:
    """Dark is good."""
    return colormaps[_COLOURS if mode == "min" else f"{_COLOURS}_r"]


def _draw_metric(
    axes: Axes, x: float, ticks: Sequence[tuple[float, str]], metric: str, mode: str
) -> None:
    """The metric's axis, which is the colour scale too."""
    axes.imshow(
        np.linspace(0.0, 1.0, 256)[:, None],
        cmap=_colours(mode),
        extent=(x, x + 0.05, 0.0, 1.0),
        origin="lower",
        aspect="auto",
        zorder=3,
    )
    _draw_title(axes, x, f"{metric}\n({better(mode)})")
    for y, text in ticks:
        axes.plot([x + 0.05, x + 0.07], [y, y], color=INK, linewidth=1.0, zorder=3)
        axes.text(x + 0.09, y, text, ha="left", va="center", fontsize=8, color=INK)


def _draw_axis(axes: Axes, x: float, ticks: Sequence[tuple[float, str]], name: str) -> None:
    axes.plot([x, x], [0.0, 1.0], color=INK, linewidth=1.0, zorder=3)
    _draw_title(axes, x, name if len(name) <= _WIDTH else name.replace(".", ".\n"))
    for y, text in ticks:
        axes.plot([x - 0.02, x], [y, y], color=INK, linewidth=1.0, zorder=3)
        _write(axes, x, y, text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…")


def _draw_title(axes: Axes, x: float, text: str) -> None:
    axes.text(x, 1.05, text, ha="center", va="bottom", fontsize=9, color=INK, weight="bold")


def _write(axes: Axes, x: float, y: float, text: str) -> None:
    """Text left of an axis, readable across the lines."""
    style: dict[str, Any] = {
        "ha": "right",
        "va": "center",
        "fontsize": 8,
        "color": INK,
        "zorder": 4,
    }
    halo = [withStroke(linewidth=3.0, foreground="white")]
    axes.text(x - 0.04, y, text, path_effects=halo, **style)
