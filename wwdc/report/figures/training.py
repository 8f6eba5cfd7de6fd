"""Figures of the sweep: how points trained, and what their metrics depend on."""

__all__ = ["importance", "importance_left", "parallel", "pareto", "seeds", "training_curves"]

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from wwdc.report.drawn import Drawn, Lacking
from wwdc.report.importance import importance_figure, importances
from wwdc.report.names import configuration_names
from wwdc.report.parallel import parallel_figure
from wwdc.report.pareto import pareto_figure, pareto_table
from wwdc.report.scales import scale_of
from wwdc.report.style import COLOURS, GREY, better, colour_of, grid_of, new_figure, tidy
from wwdc.report.tables import Tables
from wwdc.terminal import counted

LEAST = 4
"""Points below which importance and parallel coordinates say nothing."""


def training_curves(tables: Tables, *, metrics: Sequence[str] | None = None) -> Drawn:
    """A panel a metric: one line a point, coloured by sweep; validation solid, training dotted."""
    table = tables.metrics
    losses = list(metrics) if metrics else _losses(table)
    names = [f"{part}_{name}" for name in losses for part in ("train", "val")]
    found = table[table["metric"].isin(names)]
    if found.empty:
        raise Lacking("no training curve has been logged", "tune")
    sweeps = tables.sweeps
    figure = new_figure(9.5, 3.1)
    panels = figure.subplots(1, len(losses), squeeze=False).ravel()
    for axes, name in zip(panels, losses, strict=True):
        for part, style in (("train", ":"), ("val", "-")):
            own = found[found["metric"] == f"{part}_{name}"]
            for _, line in own.groupby("point_id", sort=False):
                sweep = line["sweep"].fillna("all").iloc[0]
                colour = colour_of(sweeps, sweep)
                axes.plot(line["epoch"], line["value"], style, color=colour, lw=1.2, alpha=0.85)
        axes.set_xlabel("epoch", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_ylabel(_unit(name), fontsize=9)
        axes.set_title(name, fontsize=10, loc="left")
        _focus(axes, found[found["metric"].isin([f"train_{name}", f"val_{name}"])]["value"])
        tidy(axes)
    drawn = [sweep for sweep in sweeps if sweep in set(found["sweep"].fillna("all"))]
    drawn = drawn[: len(COLOURS)]
    handles = [panels[0].plot([], [], color=colour_of(sweeps, sweep))[0] for sweep in drawn]
    handles += [panels[0].plot([], [], style, color=GREY)[0] for style in ("-", ":")]
    names = [*drawn, "validation", "training"]
    figure.legend(handles, names, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    return Drawn(figure, found.reset_index(drop=True))


def seeds(tables: Tables) -> Drawn:
    """The leading metric of every point: a dot a seed, a bar the mean's 95 % interval."""
    metrics, modes = tables.objectives
    name, points, means = metrics[0], tables.points, tables.configurations
    if name not in points:
        raise Lacking(f"no point has logged {name}", "tune")
    means = means[means["n"] > 0].sort_values(name, ascending=modes[0] != "min").tail(20)
    labels = configuration_names(means, tables.points.attrs["overrides"])
    figure = new_figure(9.5, 1.2 + 0.36 * len(means))
    axes = figure.subplots()
    rows = []
    for place, (_, row) in enumerate(means.iterrows()):
        own = points[points["config_id"] == row["config_id"]].dropna(subset=[name])
        axes.scatter(
            own[name],
            [place] * len(own),
            s=34,
            color=COLOURS[0],
            edgecolor="white",
            linewidth=0.7,
            zorder=5,
        )
        if np.isfinite(row[f"{name}_ci_low"]):
            span = [row[f"{name}_ci_low"], row[f"{name}_ci_high"]]
            axes.plot(span, [place] * 2, color=GREY, lw=6, alpha=0.45, solid_capstyle="butt")
        axes.plot([row[name]], [place], "|", color=COLOURS[1], ms=15, mew=2.2, zorder=4)
        rows.append(own[["config_id", "sweep", "seed", name]])
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel(f"{name} ({better(modes[0])})", fontsize=9)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    tidy(axes)
    return Drawn(figure, pd.concat(rows[::-1], ignore_index=True))


def importance(tables: Tables) -> Drawn:
    """Which searched parameters the leading metric depends on."""
    metrics, _ = tables.objectives
    rows, varied = _varied(tables)
    name = metrics[0]
    shares = importances(rows, varied, name, tables.distributions, seed=tables.seed)
    data = pd.DataFrame({"param": list(shares), "metric": name, "share": list(shares.values())})
    return Drawn(importance_figure(shares, name), data, f"{counted(len(rows), 'point')}.")


def importance_left(tables: Tables) -> Drawn:
    """Which searched parameters leakage and retention depend on.

    Leakage is the largest effect of a variable that the flow was told, retention the smallest one
    of a variable that it was not told.
    """
    rows, varied = _varied(tables)
    verdicts = tables.verdicts
    own = verdicts[(verdicts["space"] == "u") & verdicts["conditioned"].notna()]
    told = own[own["conditioned"].astype(bool)].groupby("point_id")["effect"].max()
    kept = own[~own["conditioned"].astype(bool)].groupby("point_id")["effect"].min()
    rows = rows.assign(leakage=rows["point_id"].map(told), retention=rows["point_id"].map(kept))
    names = [name for name in ("leakage", "retention") if rows[name].notna().sum() >= LEAST]
    if not names:
        raise Lacking(f"leakage of fewer than {LEAST} points is known", "stats")
    found = {n: importances(rows, varied, n, tables.distributions, seed=tables.seed) for n in names}
    long = [(p, n, share) for n, shares in found.items() for p, share in shares.items()]
    data = pd.DataFrame(long, columns=["param", "metric", "share"])
    figure, panels = grid_of(1, len(names), 4.6, 1.4 + 0.34 * len(varied))
    for axes, name in zip(panels.ravel(), names, strict=True):
        shares = dict(sorted(found[name].items(), key=lambda item: item[1]))
        axes.barh([p.rsplit(".", 1)[-1] for p in shares], list(shares.values()), color=COLOURS[0])
        axes.set_title(f"What {name} depends on", fontsize=10, loc="left")
        axes.set_xlabel("share (fANOVA)", fontsize=9)
        axes.set_xlim(0, 1)
        tidy(axes)
    return Drawn(figure, data, f"{counted(len(rows), 'point')}.")


def parallel(tables: Tables) -> Drawn:
    """Parallel coordinates: one line a point, from its parameters to its metric."""
    metrics, modes = tables.objectives
    rows, varied = _varied(tables)
    figure = parallel_figure(rows, varied, metrics[0], modes[0], tables.distributions)
    return Drawn(
        figure, _flat(rows[["point_id", *varied, metrics[0]]]), f"{counted(len(rows), 'point')}."
    )


def pareto(tables: Tables) -> Drawn:
    """Points that no other beats in every objective."""
    metrics, modes = tables.objectives
    if len(metrics) < 2:
        raise Lacking("there is one objective")
    rows = tables.asked
    lacking = [name for name in metrics if name not in rows]
    if lacking:
        raise Lacking(f"no point has logged {', '.join(lacking)}", "tune")
    front = pareto_table(rows, metrics, modes)
    data = rows.assign(front=rows["point_id"].isin(front["point_id"]))
    return Drawn(pareto_figure(rows, metrics, modes), _flat(data))


def _varied(tables: Tables) -> tuple[pd.DataFrame, list[str]]:
    """Finished points and the parameters that vary among them, where there is something to say."""
    metrics, _ = tables.objectives
    rows = tables.asked
    if tables.plan.axes is None or not tables.plan.axes.searched:
        raise Lacking("nothing is searched: the sweep lists its points")
    if metrics[0] not in rows or rows[metrics[0]].notna().sum() < LEAST:
        raise Lacking(f"fewer than {LEAST} points are finished", "tune")
    rows = rows[np.isfinite(rows[metrics[0]].to_numpy(float))]
    names = [n for n in rows.attrs["overrides"] if n in rows and n != "seed"]
    scales = {n: scale_of(rows[n], tables.distributions.get(n)) for n in names}
    varied = [n for n in names if not scales[n].constant and rows[n].notna().any()]
    if not varied:
        raise Lacking("no parameter varies among the finished points", "tune")
    return rows, varied


def _losses(table: pd.DataFrame) -> list[str]:
    """What training and validation both log, the loss first."""
    names = list(dict.fromkeys(table["metric"]))
    both = [n.removeprefix("val_") for n in names if n.startswith("val_")]
    both = [name for name in both if f"train_{name}" in names] or both
    return sorted(both, key=lambda name: (name != "loss", both.index(name)))[:3]


def _focus(axes: Axes, values: "pd.Series[float]") -> None:
    """Without the first steps' heights, which would hide all that follows."""
    low, high = float(values.min()), float(values.quantile(0.9))
    margin = 0.08 * (high - low)
    if np.isfinite([low, high]).all() and high > low:
        axes.set_ylim(low - margin, high + margin)


def _unit(name: str) -> str:
    return f"{name} [nats]" if name in ("loss", "kl", "reconstruction") else name


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.map(lambda value: str(value) if isinstance(value, list | dict) else value)
