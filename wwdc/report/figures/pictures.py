"""Pictures that the networks of the shown points make."""

__all__ = ["counterfactuals", "reconstructions", "samples", "style_transfer", "traversals"]

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wwdc.data.catalogue import Variable
from wwdc.report.drawn import Drawn, Lacking
from wwdc.report.mosaic import draw_mosaic, mosaic_height
from wwdc.report.names import shown_note
from wwdc.report.shown import Shown
from wwdc.report.style import INK, new_figure
from wwdc.report.tables import Tables

if TYPE_CHECKING:
    from wwdc.report.painter import Painter

_FULL, _HALF = 9.5, 4.75
"""Width of the page, and of what is drawn of one sweep [inch]."""

_MOST = 4
"""Sweeps drawn, the first ones."""


def reconstructions(tables: Tables, *, count: int = 14) -> Drawn:
    """Images, what the VAE makes of them, and the difference, times three."""
    painter = _painter_of_vae(tables)
    rows = painter.choose(count)
    x, made = painter.reconstruct(rows)
    difference = np.clip(0.5 + 1.5 * (made - x), 0, 1)
    errors = np.sqrt(np.mean((made - x) ** 2, axis=(1, 2, 3)))
    figure = new_figure(_FULL, mosaic_height(3, len(rows), _FULL - 1.0) + 0.1)
    names = ("x", "VAE(x)", "3 (VAE(x) − x)")
    draw_mosaic(figure.subplots(), [list(x), list(made), list(difference)], rows=names)
    data = pd.DataFrame({"id": painter.table["id"][rows], "rmse": errors})
    in_units = painter.pixel_errors(rows)
    for band, errors_of in enumerate(() if in_units is None else in_units.T):
        data[f"rmse_band_{band}"] = errors_of
    note = f"Root mean square error {errors.mean():.3f} of a range of 1; {tables.settings.split}."
    return Drawn(figure, data, note)


def traversals(
    tables: Tables, *, latents: int = 8, steps: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3)
) -> Drawn:
    """One object; in each row one latent of z moves through its range, the others rest."""
    painter = _painter_of_vae(tables)
    row = int(painter.choose(4)[-1])
    chosen, spread, pictures = painter.traverse(row, steps, latents, tables.seed)
    half = (len(chosen) + 1) // 2
    figure = new_figure(_FULL, mosaic_height(half, len(steps), _HALF - 0.5) + 0.3)
    columns = {i: f"{step:+g} σ" if step else "mean" for i, step in enumerate(steps)}
    panels = figure.subplots(1, 2, squeeze=False).ravel()
    for axes, part in zip(panels, (slice(0, half), slice(half, None)), strict=True):
        if not len(chosen[part]):
            axes.set_axis_off()
            continue
        names = [f"z[{latent}]" for latent in chosen[part]]
        draw_mosaic(axes, [list(line) for line in pictures[part]], rows=names, columns=columns)
    data = pd.DataFrame({"latent": range(len(spread)), "sd_of_posterior_mean": spread})
    data["shown"] = data["latent"].isin(chosen)
    return Drawn(figure, data, f"Object {painter.table['id'][row]} of {tables.settings.split}.")


def samples(tables: Tables, *, conditions: int = 3, count: int = 6) -> Drawn:
    """What is known of an object, told to the flow, and what the flow draws for it."""
    figure, panels, flows = _panels(tables, conditions, count + 1.2)
    parts = []
    heads = {0: "object", 1: "samples for what is known of it"}
    for axes, shown in zip(panels, flows, strict=True):
        painter = tables.painter(shown)
        rows = painter.choose(conditions)
        drawn = painter.sample(rows, count, tables.seed)
        lines = [[x, *made] for x, made in zip(painter.images(rows), drawn, strict=True)]
        draw_mosaic(axes, lines, columns=heads, apart=True)
        known = {n: painter.table[n][rows] for n in ("id", *painter.kept.names)}
        parts.append(pd.DataFrame(known).assign(sweep=shown.sweep))
    note = f"Seed {tables.seed}. {_note(tables, flows)}"
    return Drawn(figure, pd.concat(parts, ignore_index=True), note)


def counterfactuals(tables: Tables, *, steps: int = 7, variables: int = 6) -> Drawn:
    """One object keeps its residual u and is told other values of one variable at a time."""
    most = max(min(variables, len(tables.painter(s).kept.names)) for s in _flows(tables))
    figure, panels, flows = _panels(tables, max(most, 1), steps + 1.2, names=0.75)
    rows_of = []
    heads = {0: "object", 1: "told instead: low → high"}
    for axes, shown in zip(panels, flows, strict=True):
        painter = tables.painter(shown)
        row = int(painter.choose(4)[-1])
        [image] = painter.images(np.array([row]))
        lines: list[list[Any]] = []
        kept = list(painter.kept)[:variables]
        for variable in kept:
            values, pictures = painter.vary(row, variable, steps)
            lines.append([image, *pictures])
            known = {"sweep": shown.sweep, "id": painter.table["id"][row]}
            rows_of += [{**known, "variable": variable.name, "value": value} for value in values]
        lines += [[None]] * (max(most, 1) - len(kept))
        if not kept:
            lines[0] = [image]
        draw_mosaic(axes, lines, rows=[_label(v) for v in kept], columns=heads, apart=True)
    names = ["sweep", "id", "variable", "value"]
    return Drawn(figure, pd.DataFrame(rows_of, columns=names), _note(tables, flows))


def style_transfer(tables: Tables, *, objects: int = 5, donors: int = 6) -> Drawn:
    """Each object of the left column, told what is known of each object of the top row."""
    figure, panels, flows = _panels(tables, objects + 1, donors + 1.2)
    rows_of = []
    for axes, shown in zip(panels, flows, strict=True):
        painter = tables.painter(shown)
        chosen = painter.choose(objects + donors)
        rows, given = chosen[:objects], chosen[objects:]
        pictures = painter.swap(rows, given)
        top: list[Any] = [None, *painter.images(given)]
        lines = [[x, *made] for x, made in zip(painter.images(rows), pictures, strict=True)]
        height, width = pictures.shape[2:4]
        draw_mosaic(axes, [top, *lines], apart=True)
        axes.text(
            width / 2, height / 2, "c →\n\nu ↓", ha="center", va="center", fontsize=8.5, color=INK
        )
        ids = painter.table["id"]
        known = [(shown.sweep, ids[row], ids[donor]) for row in rows for donor in given]
        rows_of += known
    data = pd.DataFrame(rows_of, columns=["sweep", "id", "told_of"])
    return Drawn(figure, data, _note(tables, flows))


def _painter_of_vae(tables: Tables) -> "Painter":
    painter = tables.painter(tables.shown[0])
    if painter.of_vectors:
        raise Lacking("the data are vectors, and there is no VAE")
    return painter


def _note(tables: Tables, flows: Sequence[Shown]) -> str:
    return f"{shown_note(flows)} {tables.painter(flows[0]).legend}".strip()


def _flows(tables: Tables) -> list[Shown]:
    flows = [shown for shown in tables.shown if shown.job.kind == "flow"]
    if not flows:
        raise Lacking("this experiment trains no flow")
    return flows[:_MOST]


def _panels(
    tables: Tables, lines: int, images: float, *, names: float = 0.0
) -> tuple[Figure, list[Axes], list[Shown]]:
    """A figure with a titled panel for each sweep, two side by side.

    Args:
        lines: of images in a panel.
        images: in a line.
        names: width of what stands left of lines [inch].
    """
    flows = _flows(tables)
    down, across = (len(flows) + 1) // 2, min(len(flows), 2)
    height = mosaic_height(lines, images, _HALF - 0.15 - names) + 0.5
    figure = new_figure(_HALF * across, height * down)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes in panels[len(flows) :]:
        axes.set_axis_off()
    for axes, shown in zip(panels, flows, strict=False):
        dropped = ", ".join(shown.dropped) or "nothing"
        axes.set_title(f"{shown.sweep}: not told {dropped}", fontsize=9.5, color=INK, pad=19)
    return figure, list(panels[: len(flows)]), flows


def _label(variable: Variable) -> str:
    return f"{variable.name} [{variable.units}]" if variable.units else variable.name
