"""How soon a strategy finds what there is to find, with an oracle or with a log of real labels."""

__all__ = ["discovery_curve", "mean_curve", "replay"]

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wwdc.discovery.pool import Pool, Rows
from wwdc.discovery.simulate import ask, simulate
from wwdc.discovery.strategies import Strategy, make_strategy
from wwdc.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def discovery_curve(
    X: ArrayLike,
    y: ArrayLike,
    strategies: Sequence[str],
    seeds: Iterable[int] = (0, 1, 2),
    budget: int = 50,
) -> "pd.DataFrame":
    """Anomalies found after each label.

    Args:
        X: features (N, D).
        y: the answers (N,), 1 for an anomaly.
        strategies: names of `wwdc.discovery.strategies.STRATEGIES`.
        seeds: each a run of its own.
        budget: labels of a run.

    Returns:
        One row a label, with columns ``strategy``, ``seed``, ``label`` (from 1) and ``found``.
    """
    import pandas as pd

    answers = np.asarray(y)
    runs = [
        pd.DataFrame(
            {
                "strategy": name,
                "seed": seed,
                "label": np.arange(1, budget + 1),
                "found": answers[simulate(X, answers, name, budget, seed)].astype(int).cumsum(),
            }
        )
        for name in strategies
        for seed in seeds
    ]
    columns = ["strategy", "seed", "label", "found"]
    return pd.concat(runs, ignore_index=True) if runs else pd.DataFrame(columns=columns)


def mean_curve(curve: "pd.DataFrame") -> "pd.DataFrame":
    """Mean over seeds of a `discovery_curve`, with Student's 95 % limits.

    Returns:
        One row a strategy and label, with ``strategy``, ``label``, ``found``, ``found_ci_low`` and
        ``found_ci_high``, which are cut to [0, label] and NaN where there is one seed.
    """
    import pandas as pd

    from wwdc.stats.resampling import interval  # SciPy, when limits are asked for

    rows = []
    for (name, label), runs in curve.groupby(["strategy", "label"], sort=False):
        row = interval("found", runs["found"].to_numpy(float))
        rows.append({"strategy": name, "label": label, **row})
    mean = pd.DataFrame(rows)
    limits = ["found_ci_low", "found_ci_high"]
    mean[limits] = mean[limits].clip(lower=0).clip(upper=mean["label"], axis=0)
    return mean


def replay(
    targets: ArrayLike,
    pool: Pool,
    strategy: str | Strategy,
    seed: int = 0,
    batches: Sequence[int] | None = None,
) -> Rows:
    """The order in which a strategy would have asked about the rows that have labels.

    Rows without one are scored but not asked: what a person would have said is not known. The
    order therefore favours the strategy that chose which rows were labelled.

    Args:
        targets: (N,) in [−1, 1], NaN where there is no label.
        pool: all rows.
        strategy: a name, or a strategy that has seen no label.
        seed: of a strategy given by name.
        batches: as in `wwdc.discovery.simulate`.

    Returns:
        The labelled rows, in the order asked.

    Raises:
        DataError: *targets* are not one a row.
    """
    known: NDArray[np.float64] = np.asarray(targets, np.float64)
    if known.shape != (len(pool),):
        raise DataError(f"targets: expected one of each of {len(pool)} rows, got {known.shape}")
    chosen = make_strategy(strategy, seed) if isinstance(strategy, str) else strategy
    unlabelled = np.flatnonzero(np.isnan(known))
    budget = len(pool) - len(unlabelled)
    return ask(pool, chosen, lambda rows: known[rows], budget, batches, unlabelled)
