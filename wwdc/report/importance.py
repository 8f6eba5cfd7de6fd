"""Which parameters a metric depends on."""

__all__ = ["importance_figure", "importances"]

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from wwdc.report.scales import Scale, absent, as_text, limits, scale_of
from wwdc.report.style import COLOURS, INK, new_figure, short_names, tidy


def importances(
    frame: pd.DataFrame,
    params: Sequence[str],
    metric: str,
    distributions: Mapping[str, BaseDistribution] | None = None,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """Share of each parameter in what *metric* owes to single parameters, largest first.

    fANOVA (Hutter, Hoos and Leyton-Brown, https://proceedings.mlr.press/v32/hutter14.html) as
    Optuna computes it: a random forest is fitted to the rows and its variance split up. Shares are
    normalised to sum to 1, so that they compare parameters and do not say how much is noise.
    Logarithmic parameters take part as logarithms. Outliers of the metric, more than three times
    the interquartile range beyond a quartile, are pulled in to there: a run that diverged would
    otherwise decide alone.

    A conditional parameter, which some rows lack, is given its median (its commonest category)
    there: all rows take part, and rows without it say nothing about it.

    Args:
        frame: one row a point; rows whose metric is not finite are left out.
        params: columns with parameters; one that never varies has importance 0.
        metric: column with the metric.
        distributions: what was searched; inferred from the values where it is left out.
        seed: of the random forest.

    Returns:
        Zeros when there are fewer than two rows or the metric never varies.

    >>> table = pd.DataFrame({"lr": [1, 2, 3, 4], "depth": [1, 2, 1, 2], "loss": [1, 2, 3, 4]})
    >>> list(importances(table, ["depth", "lr"], "loss"))
    ['lr', 'depth']
    """
    rows = frame[np.isfinite(frame[metric].to_numpy(float))]
    scales = {name: scale_of(rows[name], (distributions or {}).get(name)) for name in params}
    varied = [name for name in params if not scales[name].constant and rows[name].notna().any()]
    zeros = dict.fromkeys(params, 0.0)
    if not varied or np.ptp(limits(rows[metric].to_numpy(float))) == 0:
        return zeros
    study = _study(rows, {name: scales[name] for name in varied}, metric)
    found = get_param_importances(
        study, evaluator=FanovaImportanceEvaluator(seed=seed), params=varied
    )
    found = zeros | {name: float(share) for name, share in found.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def importance_figure(importances: Mapping[str, float], metric: str) -> Figure:
    """Horizontal bars, the most important parameter on top."""
    order = sorted(importances, key=lambda name: importances[name])
    shares = [importances[name] for name in order]
    names = short_names(list(importances))
    figure = new_figure(6.4, 1.2 + 0.34 * len(order))
    axes = figure.subplots()
    bars = axes.barh([names[name] for name in order], shares, color=COLOURS[0], height=0.65)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=4, color=INK, fontsize=9)
    axes.set_xlim(0, 1.1 * max([*shares, 0.01]))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xlabel("share of what single parameters explain (fANOVA)", fontsize=9)
    axes.set_title(f"What {metric} depends on", fontsize=11, loc="left")
    tidy(axes)
    axes.tick_params(axis="y", length=0)
    return figure


def _study(rows: pd.DataFrame, scales: Mapping[str, Scale], metric: str) -> optuna.Study:
    """The table as a finished study that Optuna can evaluate."""
    columns = {name: _column(rows[name], scale) for name, scale in scales.items()}
    spaces: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(scale.categories)
        if scale.categories
        else FloatDistribution(0.0, 1.0)
        for name, scale in scales.items()
    }
    with _quiet():
        study = optuna.create_study()
    scores = rows[metric].to_numpy(float)
    for number, value in enumerate(scores.clip(*limits(scores))):
        settings = {name: column[number] for name, column in columns.items()}
        study.add_trial(
            optuna.create_trial(params=settings, distributions=spaces, value=float(value))
        )
    return study


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna announces every study, this one as well."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _column(values: "pd.Series[Any]", scale: Scale) -> list[Any]:
    """A parameter's values as the forest sees them, none absent."""
    if scale.categories:
        texts = [None if absent(value) else as_text(value) for value in values]
        known = [text for text in texts if text is not None]
        usual = max(scale.categories, key=known.count)
        return [usual if text is None else text for text in texts]
    places = scale.positions(values)
    places[np.isnan(places)] = np.nanmedian(places)
    return [float(place) for place in places]
