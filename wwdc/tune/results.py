"""What a sweep came to, as a table."""

__all__ = ["mean_over_seeds", "results", "table_of"]

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from wwdc.config import load
from wwdc.products import Product, Tree
from wwdc.stats.resampling import interval
from wwdc.terminal import notice
from wwdc.tune.plan import make_plan
from wwdc.tune.points import Point

_FIXED = ("point_id", "config_id", "sweep", "seed", "status", "job_id", "job_num")
_FINISHED = ("done", "stopped")


def results(
    experiment: str | Path,
    overrides: Sequence[str] = (),
    *,
    over_seeds: bool = False,
    trust: bool = False,
) -> pd.DataFrame:
    """One row for each point of an experiment's plan, finished or not.

    Columns are ``point_id, config_id, sweep, seed, status, job_id, job_num``, one a swept key
    (``lightning_loader.lr``) and one a metric (``val_loss``, ``test_loss``), NaN where there is
    none. ``frame.attrs`` lists the latter two as ``overrides`` and ``metrics``.

    Args:
        experiment: the experiment's folder.
        overrides: as on the command line.
        over_seeds: give `mean_over_seeds` of that table instead.
        trust: whether Python in the experiment folder may be imported.

    Raises:
        ConfigError: the folder or an override is wrong.
        ProductError: an info file is broken.
    """
    composed = load(Path(experiment), list(overrides), trust=trust)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    plan = make_plan(composed, tree)
    for text in plan.notices:
        notice(text)
    frame = table_of(plan.points, tree.finished())
    return mean_over_seeds(frame, frame.attrs["metrics"]) if over_seeds else frame


def mean_over_seeds(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """One row for each configuration: its metrics' means over seeds with 95 % intervals.

    ``NAME`` is the mean, ``NAME_ci_low`` and ``NAME_ci_high`` the limits of Student's interval,
    x̄ ± t(0.975, n − 1) s / √n, over the finished rows that have the metric; the limits are NaN
    where that is one. ``n`` counts the finished rows. Columns that replicates do not share
    (``seed``, ``point_id``, …) are gone.

    Args:
        frame: one row a point, such as `results` gives.
        metrics: columns to average.

    >>> rows = {"config_id": ["a", "a"], "status": ["done", "done"], "val_loss": [1.0, 3.0]}
    >>> row = mean_over_seeds(pd.DataFrame(rows), ["val_loss"]).iloc[0]
    >>> f"{row.val_loss:.1f} in [{row.val_loss_ci_low:.1f}, {row.val_loss_ci_high:.1f}]"
    '2.0 in [-10.7, 14.7]'
    """
    own = {"point_id", "seed", "status", "job_id", "job_num", *metrics}
    shared = [name for name in frame.columns if name not in own]
    done = frame["status"].isin(_FINISHED)
    rows = []
    for _, group in frame.groupby("config_id", sort=False):
        finished = group[done[group.index]]
        row = {name: group[name].iloc[0] for name in shared} | {"n": len(finished)}
        for name in metrics:
            row |= interval(name, finished[name].dropna().to_numpy(float))
        rows.append(row)
    columns = [f"{name}{end}" for name in metrics for end in ("", "_ci_low", "_ci_high")]
    table = pd.DataFrame(rows, columns=[*shared, "n", *columns])
    table.attrs = dict(frame.attrs)
    return table


def table_of(points: Sequence[Point], finished: Mapping[str, Product]) -> pd.DataFrame:
    metrics: dict[str, None] = {}
    overrides: dict[str, None] = {}
    rows = []
    for point in points:
        product = finished.get(point.point_id)
        found = product.info.metrics if product else {}
        metrics |= dict.fromkeys(found)
        overrides |= dict.fromkeys(key for key in point.overrides if key not in _FIXED)
        rows.append({**found, **point.overrides, **_fixed(point, product)})
    names = [name for name in metrics if name not in _FIXED and name not in overrides]
    frame = pd.DataFrame(rows, columns=[*_FIXED, *overrides, *names])
    frame[names] = frame[names].astype(float)
    frame["seed"] = frame["seed"].astype("Int64")  # a point without a seed is not one with NaN
    frame.attrs = {"overrides": [*overrides], "metrics": names}
    return frame


def _fixed(point: Point, product: Product | None) -> dict[str, object]:
    """What every point has; once it is finished, the job is the one that its files are named by."""
    return {
        "point_id": point.point_id,
        "config_id": point.config_id,
        "sweep": point.sweep,
        "seed": point.seed,
        "status": point.status,
        "job_id": product.info.job_id if product else None,
        "job_num": product.info.job_num if product else point.job_num,
    }
