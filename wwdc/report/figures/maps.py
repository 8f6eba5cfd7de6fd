"""Maps of the embedding in two dimensions, coloured by what is known."""

__all__ = ["map_pca", "map_umap"]

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wwdc.data.catalogue import Variable
from wwdc.report.drawn import Drawn, Lacking
from wwdc.report.names import shown_note
from wwdc.report.projections import pca, umap
from wwdc.report.shown import Shown
from wwdc.report.style import INK, new_figure
from wwdc.report.tables import Tables

# Shapes: N rows, D latents.

Projection = Callable[[NDArray[np.float32]], NDArray[np.float64]]

DENSE = 5000
"""Points above which a panel shows means in cells: dots would hide each other."""

_CELLS = 36
_FEWEST = 3
"""Points in a cell that is drawn."""

_GONE = 0.001
"""Share of points at each edge that a panel may cut off."""


def map_pca(tables: Tables, *, rows: int = 100_000, variables: int = 6, spaces: int = 4) -> Drawn:
    """The first two principal components of z and of u in each sweep, coloured by each variable.

    Args:
        rows: of an embedding drawn at most.
        variables: columns of panels at most.
        spaces: residuals drawn at most, one a sweep.
    """
    return _maps(tables, lambda x: pca(x, tables.seed), "PC", rows, variables, spaces)


def map_umap(
    tables: Tables,
    *,
    rows: int = 1500,
    variables: int = 6,
    spaces: int = 1,
    neighbours: int = 15,
    distance: float = 0.1,
) -> Drawn:
    """The same after UMAP (McInnes et al., https://arxiv.org/abs/1802.03426).

    Distances between far clusters mean nothing.

    Args:
        neighbours: of each point that UMAP looks at.
        distance: the least between points of the map.
    """
    return _maps(
        tables,
        lambda x: umap(x, tables.seed, neighbours, distance),
        "UMAP",
        rows,
        variables,
        spaces,
    )


def _maps(
    tables: Tables, project: Projection, name: str, rows: int, variables: int, spaces: int
) -> Drawn:
    shown = list(tables.shown)
    flows = [s for s in shown if s.job.kind == "flow"][:spaces]
    catalogue = list(tables.catalogue(shown[0]))[:variables]
    if not catalogue:
        raise Lacking("the embedding has no column of a variable")
    wanted: list[tuple[str, str, Shown]] = [("z", "z", shown[0])]
    wanted += [(f"u, {s.sweep}", "u", s) for s in flows]
    side = 9.1 / len(catalogue)
    figure = new_figure(9.5, 0.65 + len(wanted) * side * 0.94)
    panels = figure.subplots(len(wanted), len(catalogue), squeeze=False)
    parts = []
    drawn: dict[str, ScalarMappable] = {}
    for line, (title, column, point) in zip(panels, wanted, strict=True):
        table = tables.columns(point, ["id", column, *(v.name for v in catalogue)], rows)
        places = project(table[column])
        for axes, variable in zip(line, catalogue, strict=True):
            drawn[variable.name] = _panel(axes, places, table[variable.name], variable)
        dropped = set(point.dropped) if column == "u" else set()
        for axes, variable in zip(line, catalogue, strict=True):
            if column == "u":
                told = "not told" if variable.name in dropped else "told"
                axes.set_xlabel(told, fontsize=8, color=INK, labelpad=2)
        line[0].set_ylabel(title, fontsize=9.5, color=INK)
        part = pd.DataFrame({"space": column, "sweep": point.sweep, "id": table["id"]})
        parts.append(part.assign(x=places[:, 0], y=places[:, 1]))
    for column_of, variable in zip(panels.T, catalogue, strict=True):
        _bar(figure, column_of, drawn[variable.name], variable)
    for axes, variable in zip(panels[0], catalogue, strict=True):
        unit = f" [{variable.units}]" if variable.units else ""
        axes.set_title(f"{variable.name}{unit}", fontsize=10, color=INK)
    data = pd.concat(parts, ignore_index=True).round({"x": 4, "y": 4})
    count = len(parts[0])
    note = f"{name} of {count} rows of {tables.settings.split}, seed {tables.seed}. "
    return Drawn(figure, data, note + shown_note(flows or shown[:1]))


def _panel(
    axes: Axes, places: NDArray[np.float64], values: NDArray[Any], variable: Variable
) -> ScalarMappable:
    known = np.isfinite(values.astype(float))
    x, y, c = places[known, 0], places[known, 1], values[known].astype(float)
    colours = _colours(variable, c)
    for axis, along in ((axes.set_xlim, x), (axes.set_ylim, y)):
        low, high = np.quantile(along, [_GONE, 1 - _GONE]) if len(along) else (0.0, 1.0)
        margin = 0.04 * (high - low) or 1.0
        axis(low - margin, high + margin)
    drawn: ScalarMappable
    if len(x) > DENSE:
        limits = (axes.get_xlim(), axes.get_ylim())
        means = _means(x, y, c, limits, classes=variable.kind == "categorical")
        extent = (*limits[0], *limits[1])
        shown: dict[str, Any] = {"origin": "lower", "aspect": "auto", "interpolation": "none"}
        drawn = axes.imshow(means.T, extent=extent, **shown, **colours)
    else:
        order = np.random.default_rng(0).permutation(len(x))  # no class lies on top
        size = float(np.clip(9000 / max(len(x), 1), 0.6, 9))
        dots: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
        drawn = axes.scatter(x[order], y[order], c=c[order], **dots, **colours)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_box_aspect(1)
    axes.spines[:].set_color("#9a9a9a")
    axes.spines[:].set_linewidth(0.6)
    return drawn


def _bar(figure: Figure, column: Any, drawn: ScalarMappable, variable: Variable) -> None:
    """What the colours of a column of panels say."""
    bar = figure.colorbar(drawn, ax=list(column), location="bottom", aspect=16, pad=0.01)
    low, high = drawn.get_clim()
    if variable.kind in ("categorical", "flag"):
        last = max(variable.levels, 2) - 1
        bar.ax.set_xlim(-0.5, last + 0.5)
        bar.set_ticks([0, last], labels=["0", str(last)])
    else:
        bar.set_ticks([float(low or 0), float(high or 0)], labels=[f"{low:.2g}", f"{high:.2g}"])
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=7.5, length=0)
    first, last_label = bar.ax.get_xticklabels()[0], bar.ax.get_xticklabels()[-1]
    first.set_horizontalalignment("left")
    last_label.set_horizontalalignment("right")
    bar.outline.set_visible(False)


def _colours(variable: Variable, values: NDArray[np.float64]) -> dict[str, Any]:
    """A qualitative map for classes, a cyclic one for circles, an even one for numbers."""
    if variable.kind in ("categorical", "flag"):
        width = max(variable.levels, 2)
        kind = "tab10" if width <= 10 else "turbo"
        return {
            "cmap": kind,
            "norm": BoundaryNorm(np.arange(width + 1) - 0.5, max(width, 10))
            if width <= 10
            else Normalize(0, width - 1),
        }
    if variable.kind == "circular":
        return {"cmap": "twilight", "norm": Normalize(*variable.limits)}
    low, high = np.quantile(values, [0.02, 0.98]) if len(values) else (0.0, 1.0)
    return {"cmap": colormaps["viridis"], "norm": Normalize(low, high or low + 1)}


def _means(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    values: NDArray[np.float64],
    limits: Any,
    *,
    classes: bool,
) -> NDArray[np.float64]:
    """The mean of *values*, or the commonest class, in each cell; NaN where few points are."""
    place: dict[str, Any] = {"bins": _CELLS, "range": limits}
    counts = np.histogram2d(x, y, **place)[0]
    if classes:
        found = np.unique(values)
        each = [np.histogram2d(x[values == v], y[values == v], **place)[0] for v in found]
        cells = found[np.argmax(each, axis=0)]
    else:
        cells = np.histogram2d(x, y, weights=values, **place)[0] / np.maximum(counts, 1)
    return np.where(counts >= _FEWEST, cells, np.nan)
