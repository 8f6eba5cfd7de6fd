"""The figures of a sweep, written beside the tables they show."""

__all__ = ["write_sweep_figures"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution

from wwdc.products import atomic_write
from wwdc.report.importance import importance_figure, importances
from wwdc.report.parallel import parallel_figure
from wwdc.report.pareto import pareto_figure
from wwdc.report.scales import absent, as_text, scale_of
from wwdc.report.style import render

_LEAST = 4


def write_sweep_figures(
    frame: pd.DataFrame,
    params: Sequence[str],
    metrics: Sequence[str],
    modes: Sequence[str],
    folder: Path,
    distributions: Mapping[str, BaseDistribution] | None = None,
) -> list[Path]:
    """Write what a sweep came to into *folder* and return the paths written.

    ``sweep.csv`` holds the whole table, ``importance.csv`` the importance of each parameter for
    each metric. ``importance`` and ``parallel`` (``.svg`` and ``.png``) show the first metric and
    the parameters that vary; ``pareto`` shows all metrics, when there are several. Each file is
    replaced whole. Nothing is written while fewer than four rows have all metrics.

    Args:
        frame: one row a point, such as `wwdc.results` gives.
        params: columns with parameters, the seed not among them.
        metrics: columns with the objectives, the first one leading.
        modes: ``min`` or ``max`` for each metric.
        folder: made when missing.
        distributions: what was searched; inferred from the values where left out.
    """
    finished = np.isfinite(frame[list(metrics)].to_numpy(float)).all(axis=1)
    rows = frame[finished]
    if len(rows) < _LEAST:
        return []
    searched = distributions or {}
    varied = [name for name in params if not scale_of(rows[name], searched.get(name)).constant]
    written = [_write(folder / "sweep.csv", _plain(frame).to_csv(index=False))]
    figures: dict[str, Figure] = {}
    if varied:
        shares = {name: importances(rows, varied, name, searched) for name in metrics}
        table = pd.DataFrame(shares).rename_axis("param").loc[list(shares[metrics[0]])]
        written.append(_write(folder / "importance.csv", table.to_csv()))
        figures["importance"] = importance_figure(shares[metrics[0]], metrics[0])
        figures["parallel"] = parallel_figure(rows, varied, metrics[0], modes[0], searched)
    if len(metrics) > 1:
        figures["pareto"] = pareto_figure(rows, metrics, modes)
    for name, figure in figures.items():
        for kind in ("svg", "png"):
            written.append(_write(folder / f"{name}.{kind}", render(figure, kind)))
    return written


def _write(path: Path, data: bytes | str) -> Path:
    atomic_write(path, data)
    return path


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Lists as JSON text: a CSV file has no other way to hold them."""

    def text(value: Any) -> Any:
        return as_text(value) if isinstance(value, list | dict) and not absent(value) else value

    return frame.map(text)
