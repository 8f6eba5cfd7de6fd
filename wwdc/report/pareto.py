"""Points that no other point beats in every metric."""

__all__ = ["pareto_figure", "pareto_table"]

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wwdc.report.scales import limits
from wwdc.report.style import ACCENT, GREY, INK, better, new_figure, tidy
from wwdc.tune.pareto import pareto_mask

_COLUMNS = 3
_APART = (0.12, 0.07)


def pareto_table(frame: pd.DataFrame, metrics: Sequence[str], modes: Sequence[str]) -> pd.DataFrame:
    """The rows of *frame* on the Pareto front of *metrics*, best in the first metric first."""
    front = frame[pareto_mask(frame[list(metrics)].to_numpy(float), modes)]
    return front.sort_values(metrics[0], ascending=modes[0] == "min", kind="stable")


def pareto_figure(frame: pd.DataFrame, metrics: Sequence[str], modes: Sequence[str]) -> Figure:
    """Every pair of *metrics* against each other; points of the front over all of them stand out.

    With two metrics the front is drawn as a line, and its points are labelled with their
    ``job_num`` where the table has it and there is room. Outliers on the bad side of a metric
    (beyond the quartile by three times the interquartile range) are drawn hollow, at the edge.
    """
    rows = frame.dropna(subset=list(metrics))
    front = pareto_table(rows, metrics, modes)
    drawn = _pulled_in(rows, metrics, modes)
    pairs = list(itertools.combinations(range(len(metrics)), 2))
    columns = min(len(pairs), _COLUMNS)
    lines = math.ceil(len(pairs) / columns)
    figure = new_figure(5.6 if columns == 1 else 4.0 * columns, 0.6 + 3.8 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(pairs) :]:
        panel.set_visible(False)
    for panel, (i, j) in zip(panels, pairs, strict=False):
        x, y = metrics[i], metrics[j]
        if len(metrics) == 2:
            _draw_front(panel, drawn.loc[front.index, [x, y]], modes, front.get("job_num"))
        _draw_points(panel, drawn, rows, front.index, (x, y))
        panel.set_xlabel(f"{x} ({better(modes[i])})", fontsize=9)
        panel.set_ylabel(f"{y} ({better(modes[j])})", fontsize=9)
        panel.margins(0.08)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        tidy(panel)
    entries: dict[str, Any] = {}
    for panel in panels[: len(pairs)]:
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    style: dict[str, Any] = {"ncols": 3, "frameon": False, "fontsize": 9}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", **style)
    figure.suptitle("Trade-off between " + ", ".join(metrics), fontsize=11)
    return figure


def _pulled_in(rows: pd.DataFrame, metrics: Sequence[str], modes: Sequence[str]) -> pd.DataFrame:
    """The metrics as they are drawn: outliers on the bad side at the edge."""
    drawn = rows[list(metrics)].astype(float)
    for name, mode in zip(metrics, modes, strict=True):
        if len(drawn):
            drawn[name] = drawn[name].clip(*limits(drawn[name].to_numpy(), mode))
    return drawn


def _draw_points(
    axes: Axes, drawn: pd.DataFrame, rows: pd.DataFrame, front: pd.Index, pair: tuple[str, str]
) -> None:
    x, y = pair
    best = drawn.index.isin(front)
    beyond = (drawn[[x, y]] != rows[[x, y]]).any(axis=1).to_numpy()
    kinds = ((~best, GREY, 26, "dominated"), (best, ACCENT, 44, "Pareto front"))
    for chosen, colour, size, name in kinds:
        if not chosen.any():
            continue
        inside = drawn[chosen & ~beyond]
        style: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.8}
        label = f"{name} ({chosen.sum()})"
        axes.scatter(inside[x], inside[y], s=size, color=colour, label=label, **style)
        outside = drawn[chosen & beyond]
        style = {"facecolor": "none", "edgecolor": colour, "linewidth": 1.4}
        label = "beyond the axis" if len(outside) else ""
        axes.scatter(outside[x], outside[y], s=size, marker="D", label=label, **style)


def _draw_front(
    axes: Axes, front: pd.DataFrame, modes: Sequence[str], numbers: "pd.Series[Any] | None"
) -> None:
    """The border of what is dominated, a staircase, and the numbers of the jobs on it."""
    x, y = front.to_numpy(float).T
    axes.step(x, y, where="post", color=ACCENT, linewidth=1.2, alpha=0.6, zorder=0)
    if numbers is None or not len(front):
        return
    right, up = (-1 if mode == "min" else 1 for mode in modes)  # where nothing is better
    extent = np.ptp(front.to_numpy(float), axis=0)
    labelled: list[NDArray[np.float64]] = []
    for number, point in zip(numbers, front.to_numpy(float), strict=True):
        place = np.divide(point, extent, out=np.zeros(2), where=extent > 0)
        if any((np.abs(place - other) < _APART).all() for other in labelled):
            continue
        labelled.append(place)
        axes.annotate(
            f"#{number}",
            (point[0], point[1]),
            (5 * right, 5 * up),
            textcoords="offset points",
            ha="left" if right > 0 else "right",
            va="bottom" if up > 0 else "top",
            fontsize=8,
            color=INK,
        )
