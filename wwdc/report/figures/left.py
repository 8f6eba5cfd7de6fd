"""What is left in the residual: leakage, retention, label efficiency, flow time, normality."""

__all__ = ["flow_time", "label_curves", "normality", "verdict_map"]

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from wwdc.report.drawn import Drawn, Lacking
from wwdc.report.names import shown_note
from wwdc.report.style import COLOURS, GREY, INK, colour_of, grid_of, new_figure, tidy
from wwdc.report.tables import Tables
from wwdc.report.verdicts import draw_cell, draw_control, effect_scale

_MOST_ROWS = 24


def verdict_map(tables: Tables, *, space: str = "u", seeds: bool = False) -> Drawn:
    """Effect of every variable in every sweep, marked with its verdict; controls below.

    Args:
        space: which residual.
        seeds: a row for each point instead of the mean over seeds.
    """
    table = tables.verdicts if seeds else tables.summary
    if space not in set(table["space"]):
        space = next(iter(table["space"]), space)
    own = table[(table["space"] == space) & table["config_id"].notna() & (table["variable"] != "")]
    if own.empty:
        raise Lacking(f"nothing in {space} has been tested", "stats")
    own = own.assign(row=_row_names(own, seeds))
    controls = tables.verdicts[tables.verdicts["point_id"].isna()]
    controls = controls.groupby(["space", "variable"], sort=False)["effect"].mean().reset_index()
    variables = list(dict.fromkeys(own["variable"]))
    names = list(dict.fromkeys(own["row"]))[:_MOST_ROWS]
    below = [n for n in ("z", "normal", "shuffled") if n in set(controls["space"])]
    figure = new_figure(9.5, 0.95 + 0.52 * len(names) + 0.3 * len(below))
    axes = figure.subplots()
    for y, name in enumerate(names):
        for cell in own[own["row"] == name].to_dict("records"):
            draw_cell(axes, variables.index(cell["variable"]), float(y), cell)
    for step, name in enumerate(below):
        place = len(names) + 0.08 + 0.58 * step
        for cell in controls[controls["space"] == name].to_dict("records"):
            if cell["variable"] in variables:
                draw_control(axes, variables.index(cell["variable"]), place, float(cell["effect"]))
    places = [y + 0.5 for y in range(len(names))]
    places += [len(names) + 0.08 + 0.58 * step + 0.27 for step in range(len(below))]
    words = {"z": "z (before)", "normal": "random numbers", "shuffled": "labels of others"}
    axes.set_yticks(places, [*names, *(words[name] for name in below)])
    axes.set_xticks(np.arange(len(variables)) + 0.5, variables)
    axes.xaxis.tick_top()
    axes.set_xlim(0, len(variables))
    axes.set_ylim(len(names) + 0.08 + 0.58 * len(below), 0)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9.5, labelcolor=INK)
    bar = figure.colorbar(effect_scale(), ax=axes, shrink=0.9, pad=0.012, aspect=14)
    bar.set_label("effect: R², skill of a class", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    data = pd.concat([own.drop(columns="row"), controls], ignore_index=True)
    total = own["row"].nunique()
    note = f"The first {len(names)} of {total} rows." if total > len(names) else ""
    return Drawn(figure, data, note)


def label_curves(tables: Tables) -> Drawn:
    """A panel a variable: how well it is read by the number of labelled objects, a line a sweep."""
    table = tables.label_curves
    found = table[table["effect"].notna() & table["config_id"].notna()]
    if found.empty:
        raise Lacking("there are no label curves: tests.curves is null", "stats", "tests=default")
    found = found.assign(group=found["sweep"].fillna("all"))
    variables = list(dict.fromkeys(found["variable"]))
    dropped = {shown.sweep: shown.dropped for shown in tables.shown}
    figure, panels = _panels(len(variables))
    for axes, name in zip(panels, variables, strict=True):
        for sweep, lines in found[found["variable"] == name].groupby("group", sort=False):
            means = lines.groupby("labels")["effect"].agg(["mean", "min", "max"])
            colour = colour_of(tables.sweeps, str(sweep))
            style = "--" if name in dropped.get(str(sweep), ()) else "-"
            axes.plot(means.index, means["mean"], style, color=colour, marker="o", ms=3.5, lw=1.4)
            axes.fill_between(
                means.index.to_numpy(float),
                means["min"].to_numpy(float),
                means["max"].to_numpy(float),
                color=colour,
                alpha=0.15,
                lw=0,
            )
        axes.set_xscale("log")
        _effect_axis(axes, name)
        axes.set_xlabel("labelled objects", fontsize=8.5)
    _legend(figure, panels[0], list(found["group"]), tables)
    return Drawn(figure, found.drop(columns=["group", "reason"]).reset_index(drop=True))


def flow_time(tables: Tables, *, probe: str = "linear") -> Drawn:
    """A panel a variable: how well a probe reads it along the flow, from z (0) to u (1)."""
    tests = tables.tests
    own = tests[(tests["kind"] == "probes") & (tests["test"] == probe) & tests["config_id"].notna()]
    steps = own[own["space"].str.startswith("u_t") | (own["space"] == "u")]
    if not steps["space"].str.startswith("u_t").any():
        times = "embed.times=[0.25,0.5,0.75]"
        raise Lacking("no states along the flow are embedded", "embed", times)
    time = steps["space"].str.removeprefix("u_t").replace("u", "1").astype(float)
    steps = steps.assign(time=time, group=steps["sweep"].fillna("all"))
    start = tests[(tests["space"] == "z") & (tests["test"] == probe)]
    variables = list(dict.fromkeys(steps["variable"]))
    dropped = {shown.sweep: shown.dropped for shown in tables.shown}
    figure, panels = _panels(len(variables))
    for axes, name in zip(panels, variables, strict=True):
        z = start.loc[start["variable"] == name, "effect"].mean()
        for sweep, lines in steps[steps["variable"] == name].groupby("group", sort=False):
            means = lines.groupby("time")["effect"].mean()
            if np.isfinite(z) and 0.0 not in means.index:
                means = pd.concat([pd.Series({0.0: z}), means])
            style = "--" if name in dropped.get(str(sweep), ()) else "-"
            axes.plot(
                means.index,
                means,
                style,
                color=colour_of(tables.sweeps, str(sweep)),
                marker="o",
                ms=3.5,
                lw=1.4,
            )
        _effect_axis(axes, name)
        axes.set_xlabel("flow time (0: z, 1: u)", fontsize=8.5)
    _legend(figure, panels[0], list(steps["group"]), tables)
    kept = ["point_id", "sweep", "seed", "variable", "time", "effect", "ci_low", "ci_high"]
    return Drawn(figure, steps[kept].reset_index(drop=True))


def normality(tables: Tables, *, rows: int = 20_000) -> Drawn:
    """Whether u is N(0, I): entries against the normal density, |u|² against chi-squared."""
    flows = [shown for shown in tables.shown if shown.job.kind == "flow"]
    if not flows:
        raise Lacking("this experiment trains no flow")
    figure = new_figure(9.5, 3.3)
    left, right = figure.subplots(1, 2)
    edges = np.linspace(-4.5, 4.5, 91)
    middles = (edges[1:] + edges[:-1]) / 2
    normal = stats.norm.pdf(middles)
    left.plot(middles, normal, color=INK, lw=1.2, ls=":", label="N(0, 1)", zorder=5)
    kept: list[pd.DataFrame] = []
    for shown in flows:
        u = tables.columns(shown, ["u"], rows)["u"].astype(float)
        colour = colour_of(tables.sweeps, shown.sweep)
        density = np.histogram(u, edges, density=True)[0]
        left.plot(middles, density, color=colour, lw=1.4, label=shown.sweep)
        share = (np.arange(200) + 0.5) / 200
        expected = stats.chi2.ppf(share, u.shape[1])
        found = np.quantile((u**2).sum(1), share)
        right.plot(expected, found, color=colour, lw=1.6)
        kept += [
            pd.DataFrame({"sweep": shown.sweep, "what": "density", "x": middles, "y": density}),
            pd.DataFrame({"sweep": shown.sweep, "what": "norm_qq", "x": expected, "y": found}),
        ]
    right.axline((float(expected[100]), float(expected[100])), slope=1, color=INK, lw=1.2, ls=":")
    left.set(xlabel="entries of u", ylabel="density", yscale="log", ylim=(1e-5, 1))
    right.set(xlabel=f"quantile of χ² with {u.shape[1]} degrees", ylabel="quantile of |u|²")
    left.legend(frameon=False, fontsize=8.5)
    for axes in (left, right):
        axes.xaxis.label.set_size(9)
        axes.yaxis.label.set_size(9)
        tidy(axes)
    note = f"{len(u)} rows of {tables.settings.split}, seed {tables.seed}. "
    return Drawn(figure, pd.concat(kept, ignore_index=True), note + shown_note(flows))


def _row_names(table: pd.DataFrame, seeds: bool) -> "pd.Series[str]":
    alone = table["sweep"].isna().all() and table["config_id"].nunique() == 1
    names = table["space" if alone else "sweep"].fillna(table["config_id"]).astype(str)
    if table.groupby(names)["config_id"].nunique().max() > 1:
        names = names + " " + table["config_id"].str[:6]
    return names + " seed " + table["seed"].astype(str) if seeds else names


def _panels(count: int) -> tuple[Any, list[Axes]]:
    columns = min(count, 3)
    lines = -(-count // columns)
    figure, panels = grid_of(lines, columns, 9.5 / columns, 2.25)
    flat = list(panels.ravel())
    for axes in flat[count:]:
        axes.set_axis_off()
    return figure, flat[:count]


def _effect_axis(axes: Axes, name: str) -> None:
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set_ylim(-0.12, 1.05)
    axes.set_title(name, fontsize=10, loc="left")
    axes.set_ylabel("effect", fontsize=8.5)
    tidy(axes)


def _legend(figure: Any, axes: Axes, drawn: Sequence[str], tables: Tables) -> None:
    """The sweeps that were *drawn*, and of flows what a line's style says."""
    shown = [sweep for sweep in tables.sweeps if sweep in set(drawn)][: len(COLOURS)]
    handles = [axes.plot([], [], color=colour_of(tables.sweeps, sweep))[0] for sweep in shown]
    labels = list(shown)
    if tables.is_flow:
        handles += [axes.plot([], [], style, color=GREY)[0] for style in ("-", "--")]
        labels += ["told to the flow", "not told"]
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
