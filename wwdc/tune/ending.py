"""What a sweep came to, shown at its end: means over seeds, the Pareto front, figures."""

__all__ = ["show_results"]

import math
from collections.abc import Sequence

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wwdc.config.schema import TuneConfig
from wwdc.products import Tree, atomic_write
from wwdc.tune.domains import Normal
from wwdc.tune.plan import Plan
from wwdc.tune.points import short
from wwdc.tune.results import mean_over_seeds, table_of

MOST_ROWS = 20
FIGURES = "sweep"


def show_results(plan: Plan, tree: Tree, settings: TuneConfig, screen: Console) -> None:
    """Print the best configurations; of a search, store its front, table and figures too."""
    frame = table_of(plan.points, tree.finished())
    metrics = [name for name in settings.metrics if name in frame]
    if len(metrics) < len(settings.metrics):
        return
    means = mean_over_seeds(frame, metrics)
    means = means[means["n"] > 0]
    swept = [name for name in frame.attrs["overrides"] if name in means]
    if len(means) < 2 or not swept:
        return
    if len(metrics) > 1:
        asked = _asked(frame, plan)
        front = _front(asked, metrics, settings.modes)
        shown = means.set_index("config_id").loc[front["config_id"]].reset_index()
        screen.print(_table(shown, swept, metrics, f"Pareto front: {len(front)} of {len(asked)}"))
        atomic_write(tree.path / "figures" / FIGURES / "pareto.csv", front.to_csv(index=False))
    else:
        order = [False, settings.modes[0] == "min"]  # what was repeated first: it is known better
        best = means.sort_values(["n", metrics[0]], ascending=order)
        title = f"best of {len(means)} by {metrics[0]}, mean ± 95 % interval over seeds"
        screen.print(_table(best.head(MOST_ROWS), swept, metrics, title))
    if plan.axes is not None and plan.axes.searched:
        _figures(frame, plan, tree, settings, screen)


def _asked(frame: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The rows with the first seed: what a search compared."""
    first = {point.point_id for point in plan.first_seed(plan.points)}
    return frame[frame["point_id"].isin(first)]


def _front(rows: pd.DataFrame, metrics: Sequence[str], modes: Sequence[str]) -> pd.DataFrame:
    from wwdc.report import pareto_table

    return pareto_table(rows, metrics, modes)


def _figures(
    frame: pd.DataFrame, plan: Plan, tree: Tree, settings: TuneConfig, screen: Console
) -> None:
    from wwdc.report import write_sweep_figures
    from wwdc.tune.space import distribution

    axes = plan.axes.searched if plan.axes else ()
    bounded = {a.key: distribution(a.domain) for a in axes if not isinstance(a.domain, Normal)}
    rows = _asked(frame, plan)
    params = [name for name in frame.attrs["overrides"] if name in rows]
    folder = tree.path / "figures" / FIGURES
    written = write_sweep_figures(rows, params, settings.metrics, settings.modes, folder, bounded)
    if written:
        screen.print(f"Figures: {folder}", markup=False, soft_wrap=True)


def _table(rows: pd.DataFrame, swept: Sequence[str], metrics: Sequence[str], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE)
    named = "sweep" in rows and rows["sweep"].notna().any()
    varied = [n for n in swept if len(rows) == 1 or len({repr(v) for v in rows[n]}) > 1]
    headings = [*(["sweep"] if named else []), *(name.rsplit(".", 1)[-1] for name in varied)]
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for heading in (*metrics, "seeds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for _, row in rows.iterrows():
        cells = [str(row["sweep"] or "–")] if named else []
        cells += [_value(row[name]) for name in varied]
        cells += [_interval(row, name) for name in metrics]
        table.add_row(*map(Text, cells), str(row["n"]))
    return table


def _value(value: object) -> str:
    absent = value is None or (isinstance(value, float) and math.isnan(value))
    return "–" if absent else short(value)


def _interval(row: "pd.Series[float]", name: str) -> str:
    mean, high = float(row[name]), float(row[f"{name}_ci_high"])
    return f"{mean:.5g}" if math.isnan(high) else f"{mean:.5g} ± {high - mean:.2g}"
