"""The score of a prediction: effect, permutation null, bootstrap interval, strongest of several."""

__all__ = [
    "CLASSES",
    "Metric",
    "Prediction",
    "Score",
    "Status",
    "Strongest",
    "effect",
    "metric_of",
    "not_tested",
    "score_prediction",
    "strongest",
]

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Variable
from wwdc.errors import DataError
from wwdc.stats.resampling import (
    bootstrap_sums,
    detectable,
    exchangeable_rows,
    group_permutations,
    p_value,
)

# Shapes: M rows to score, W encoded columns of a variable, F folds, B resamples, K columns that
# are summed.

Metric = Literal["r2", "skill"]
Status = Literal["tested", "not tested"]

CLASSES = ("categorical", "flag")
"""Kinds of variables that are classified."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a fitted probe said of one variable in the rows to score where it is known.

    Args:
        variable: what was predicted.
        guess: predicted encoded columns (M, W) of a number, class (M,) of a class or flag.
        truth: the true ones, of that shape.
        chance: commonest class of the rows fitted on, (M,); zeros for a number.
        groups: object of each row, (M,).
        fold: fold that held the row out, (M,); zeros where there was one split.
        n_fit: objects fitted on.
    """

    variable: Variable
    guess: NDArray[Any]
    truth: NDArray[Any]
    chance: NDArray[Any]
    groups: NDArray[np.int64]
    fold: NDArray[np.int64]
    n_fit: int


@dataclass(frozen=True, eq=False)
class Score:
    """How well one probe reads one variable. All figures are NaN where it was not tested.

    Args:
        variable: name of the variable.
        metric: ``r2`` of a number, of cosine and sine together of a circular variable; ``skill``
            (a − m) / (1 − m) of a class or flag, a the accuracy, m that of always guessing the
            commonest class of the rows fitted on.
        value: the metric: 0 reads nothing, 1 all; negative where a constant does better.
        ci_low: lower end of the bootstrap's percentile interval, at the level asked for.
        ci_high: upper end. Objects to score are resampled, the fitted probe stays.
        p_value: of no relation between prediction and label, by permutation of objects. After
            cross-validation twice the mean over folds, valid though folds depend on each other
            (Vovk & Wang 2020, https://doi.org/10.1093/biomet/asaa027).
        null_mean: mean of the permuted scores.
        null_sd: standard deviation of the permuted scores.
        detectable: the smallest effect that would have had p ≤ 0.05 with probability 0.8. A skill
            is taken to vary as that of these guesses does; NaN where they are all the same, and
            then a value of 0 does not say that there is nothing.
        accuracy: plain accuracy of a class or flag, else None.
        balanced_accuracy: mean over classes of the share recognised, else None.
        n: objects scored.
        n_fit: objects fitted on (the fewest of any fold).
        status: ``tested`` or ``not tested``.
        reason: why not, in words.
        sample: digest of labels, objects and seed: scores can be combined where it is the same.
        observed: the metric on the permuted rows, (F,); *value* unless folds or objects of
            different sizes forbid it (see `exchangeable_rows`).
        null: permuted scores, fold after fold, (F·B,).
        bootstrap: resampled scores, (B,).
    """

    variable: str
    metric: Metric
    value: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan
    null_mean: float = math.nan
    null_sd: float = math.nan
    detectable: float = math.nan
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    n: int = 0
    n_fit: int = 0
    status: Status = "tested"
    reason: str = ""
    sample: str = ""
    observed: NDArray[np.float32] = field(
        default_factory=lambda: np.empty(0, np.float32), repr=False
    )
    null: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32), repr=False)
    bootstrap: NDArray[np.float32] = field(
        default_factory=lambda: np.empty(0, np.float32), repr=False
    )

    def row(self) -> dict[str, float | int | str | None]:
        """The figures without the arrays, for a table."""
        return _scalars(self)


@dataclass(frozen=True, eq=False)
class Strongest:
    """How well the strongest of several probes reads one variable.

    Args:
        variable: name of the variable.
        metric: as in `Score`.
        strongest: name of the probe with the highest score.
        value: its score.
        ci_low: lower end of the percentile interval of the bootstrapped maximum.
        ci_high: upper end of that.
        p_value: of the maximum among maxima over the same permutations: the choice of the
            strongest is paid for.
        p_equivalence: (1 + #{bootstrapped maximum ≥ margin}) / (1 + B), of the hypothesis that
            some probe reads at least *margin*. Small means: nothing that matters is read.
        margin: the effect that matters.
        detectable: an effect that each of the probes, and the maximum, would have shown.
        n: objects scored.
        n_fit: objects fitted on.
        status: ``tested`` or ``not tested``.
        reason: why not, in words.
    """

    variable: str
    metric: Metric
    margin: float
    strongest: str = ""
    value: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan
    p_equivalence: float = math.nan
    detectable: float = math.nan
    n: int = 0
    n_fit: int = 0
    status: Status = "tested"
    reason: str = ""

    def row(self) -> dict[str, float | int | str | None]:
        """The figures, for a table."""
        return _scalars(self)


def metric_of(variable: Variable) -> Metric:
    """The metric of a kind of variable; see `Score`."""
    return "skill" if variable.kind in CLASSES else "r2"


def not_tested(variable: Variable, reason: str) -> Score:
    """The score of a variable that cannot be tested."""
    return Score(variable.name, metric_of(variable), status="not tested", reason=reason)


def effect(prediction: Prediction) -> float:
    """The metric of a prediction; see `Score`."""
    return float(_effect(prediction.variable, _terms(prediction).sum(0)))


def score_prediction(
    prediction: Prediction,
    *,
    permutations: int = 999,
    bootstraps: int = 999,
    seed: int = 0,
    level: float = 0.95,
) -> Score:
    """Score a prediction, with a permutation null and a bootstrap interval over objects.

    The probe is fixed before the rows to score are seen. If these hold nothing about the
    variable, their labels can be exchanged among objects; see `Score` and `run_probe`.
    """
    variable, terms = prediction.variable, _terms(prediction)
    sums = bootstrap_sums(prediction.groups, terms, bootstraps, seed)
    bootstrap = _effect(variable, sums).astype(np.float32)
    nulls = [
        _null(prediction, terms, np.flatnonzero(prediction.fold == fold), permutations, seed)
        for fold in np.unique(prediction.fold)
    ]
    observed = np.array([null.observed for null in nulls], np.float32)
    permuted = np.concatenate([null.values for null in nulls])
    low, high = _interval(bootstrap, level)
    hit = prediction.guess == prediction.truth
    classes = variable.kind in CLASSES
    return Score(
        variable=variable.name,
        metric=metric_of(variable),
        value=float(_effect(variable, terms.sum(0))),
        ci_low=low,
        ci_high=high,
        p_value=_merged(observed, permuted),
        null_mean=float(permuted.mean(dtype=np.float64)),
        null_sd=float(permuted.std(dtype=np.float64)),
        detectable=_largest([null.detectable for null in nulls]),
        accuracy=float(hit.mean()) if classes else None,
        balanced_accuracy=_balanced(hit, prediction.truth) if classes else None,
        n=len(np.unique(prediction.groups)),
        n_fit=prediction.n_fit,
        sample=_digest(prediction, seed),
        observed=observed,
        null=permuted,
        bootstrap=bootstrap,
    )


def strongest(scores: Mapping[str, Score], margin: float = 0.05, level: float = 0.95) -> Strongest:
    """Several probes of one variable, scored on the same rows with the same seed, as one.

    Args:
        scores: a score of each probe, by the probe's name.
        margin: the effect that matters, for ``p_equivalence``.
        level: of the interval.

    Raises:
        DataError: there is no score, or they are of different variables, rows, seeds or numbers
            of resamples.
    """
    if not scores:
        raise DataError("there is no score to combine.")
    tested = {name: score for name, score in scores.items() if score.status == "tested"}
    first = next(iter((tested or scores).values()))
    for name, score in scores.items():
        if score.variable != first.variable or (name in tested and _draws(score) != _draws(first)):
            raise DataError(
                f"the score of probe {name!r} is not of the same variable, rows and draws as the "
                f"others: score every probe with the same rows, seed and numbers of resamples."
            )
    if not tested:
        return Strongest(
            first.variable, first.metric, margin, status="not tested", reason=first.reason
        )
    best = max(tested, key=lambda name: tested[name].value)
    bootstrap, null, observed = (
        np.max([getattr(score, array) for score in tested.values()], axis=0)
        for array in ("bootstrap", "null", "observed")
    )
    # The greatest of several resampled scores has their luck twice over: the lower limit is the
    # highest of each probe's own, at a level that allows for there being several.
    own = 1 - (1 - level) / len(tested)
    low = _largest([_interval(score.bootstrap, own)[0] for score in tested.values()])
    _, high = _interval(bootstrap, level)
    least = [detectable(fold) for fold in np.split(null, len(observed))]
    return Strongest(
        variable=first.variable,
        metric=first.metric,
        margin=margin,
        strongest=best,
        value=tested[best].value,
        ci_low=low,
        ci_high=high,
        p_value=_merged(observed, null),
        p_equivalence=p_value(margin, bootstrap),
        detectable=_largest([*least, *(score.detectable for score in tested.values())]),
        n=first.n,
        n_fit=first.n_fit,
    )


def _scalars(record: Score | Strongest) -> dict[str, float | int | str | None]:
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}


def _terms(prediction: Prediction) -> NDArray[np.float64]:
    """Per-row terms (M, K) whose sums make the metric.

    Numbers: squared error, squared truth, truth in each column, 1. Classes: right, chance right, 1.
    """
    one = np.ones((len(prediction.groups), 1))
    if prediction.variable.kind in CLASSES:
        right = prediction.guess == prediction.truth, prediction.chance == prediction.truth
        return np.column_stack([*right, one]).astype(np.float64)
    guess, truth = _scaled(prediction)
    missed = np.square(guess - truth).sum(1)
    return np.column_stack([missed, np.square(truth).sum(1), truth, one])


def _scaled(prediction: Prediction) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Guess and truth in units of the truth's spread about its mean: both columns of a circle's."""
    mean = prediction.truth.mean(0)
    width = math.sqrt(np.square(prediction.truth - mean).sum(1).mean()) or 1.0
    return (prediction.guess - mean) / width, (prediction.truth - mean) / width


def _effect(variable: Variable, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The metric from sums (..., K) of `_terms`: (...). NaN where the truth does not vary."""
    n = sums[..., -1]
    if variable.kind in CLASSES:
        top, bottom = sums[..., 0] - sums[..., 1], n - sums[..., 1]
    else:
        bottom = _spread(sums)
        top = bottom - sums[..., 0]
    varies = bottom > 1e-12 * n
    return np.where(varies, top / np.where(varies, bottom, 1.0), np.nan)


def _spread(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squares of the truth about its mean."""
    spread: NDArray[np.float64] = sums[..., 1] - np.square(sums[..., 2:-1]).sum(-1) / sums[..., -1]
    return spread


class _Null(NamedTuple):
    """Of one fold."""

    observed: float
    values: NDArray[np.float32]
    detectable: float


def _null(
    prediction: Prediction,
    terms: NDArray[np.float64],
    rows: NDArray[np.int64],
    permutations: int,
    seed: int,
) -> _Null:
    """The metric on some rows, after permutations of their labels; only the first sum changes."""
    variable, groups = prediction.variable, prediction.groups[rows]
    used = rows[exchangeable_rows(groups)]
    sources = (rows[block] for block in group_permutations(groups, permutations, seed))
    total = terms[used].sum(0)
    sums = np.tile(total, (permutations, 1))
    if variable.kind in CLASSES:
        guess = prediction.guess[used]
        right = [(prediction.truth[source] == guess).sum(1) for source in sources]
        sums[:, 0] = np.concatenate(right)
        values = _effect(variable, sums)
        least = detectable(values)
    else:
        guess, truth = _scaled(prediction)
        guess, base = guess[used], guess[used[0]]
        shape = guess - base  # exactly zero, like all its products, where the guess is constant
        product = np.concatenate([np.einsum("bmw,mw->b", truth[s], shape) for s in sources])
        sums[:, 0] = np.square(guess).sum() + total[1] - 2 * (product + total[2:-1] @ base)
        values = _effect(variable, sums)
        least = _detectable_r2(product, shape, total)
    return _Null(float(_effect(variable, total)), values.astype(np.float32), least)


def _detectable_r2(
    product: NDArray[np.float64], shape: NDArray[np.float64], total: NDArray[np.float64]
) -> float:
    """The smallest detectable R², from the products of permuted labels with the guess's *shape*.

    A calibrated guess that explains R² correlates by √R² with the truth. The null of R² itself
    would not do: its width follows that of the guess, and a timid probe would seem sharp.
    """
    mean = shape.mean(0)
    spread = np.square(shape - mean).sum() * _spread(total)
    if not spread > 0:
        return math.nan
    correlation = detectable((product - total[2:-1] @ mean) / math.sqrt(spread))
    return correlation * abs(correlation)


def _merged(observed: NDArray[np.float32], null: NDArray[np.float32]) -> float:
    """The permutation p-value of one fold, twice the mean of those of several."""
    p = [p_value(*fold) for fold in zip(observed, np.split(null, len(observed)), strict=True)]
    return p[0] if len(p) == 1 else min(1.0, 2 * float(np.mean(p)))


def _interval(bootstrap: NDArray[np.float32], level: float) -> tuple[float, float]:
    if np.isnan(bootstrap).all():
        return math.nan, math.nan
    low, high = np.nanquantile(bootstrap, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _largest(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _balanced(hit: NDArray[np.bool_], truth: NDArray[Any]) -> float:
    return float(np.mean([hit[truth == one].mean() for one in np.unique(truth)]))


def _draws(score: Score) -> tuple[Any, ...]:
    return score.sample, score.null.shape, score.bootstrap.shape, score.observed.shape


def _digest(prediction: Prediction, seed: int) -> str:
    digest = hashlib.sha256(f"{prediction.variable.name} {seed}".encode())
    for array in (prediction.groups, prediction.fold, prediction.truth):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
