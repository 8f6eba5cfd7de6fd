"""Test of whether rows say something of a variable that others do not say already."""

__all__ = ["SmoothRegressor", "conditional_independence"]

from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from wwdc.data.catalogue import Variable
from wwdc.stats.kernels import distances
from wwdc.stats.resampling import p_value
from wwdc.stats.result import TestResult, draw, known, not_tested, result_of, why_not

# Shapes: N rows, D columns of u, W of the encoded target, C of what is given, B bootstraps.

_Matrix = NDArray[np.float64]

_LEAST = 50
"""Rows below which the regressions cannot be trusted."""

_DETERMINED = 1e-3
"""Share of a target's variance below which nothing of it is left to test."""

_MULTIPLIERS = 8
"""Stream of a seed."""


def conditional_independence(
    u: NDArray[Any],
    target: Variable,
    y: NDArray[Any],
    given: NDArray[Any],
    *,
    regressor: Any = None,
    folds: int = 5,
    bootstraps: int = 499,
    n_max: int = 2000,
    seed: int = 0,
) -> TestResult:
    """Generalised covariance measure of u and a target, given the context of kept variables.

    Residuals ε_j of u_j and ξ_k of the encoded target, each after a cross-fitted regression on
    what is given, have covariance 0 if u and target are conditionally independent. The statistic
    is max_jk |T_jk|, T_jk = √N mean(ε_j ξ_k) / sd(ε_j ξ_k); its null is the maximum of Gaussian
    multipliers, which keeps how the products depend on each other (Shah & Peters 2020,
    https://arxiv.org/abs/1804.07203). The effect is max_jk of the partial correlation of ε_j and
    ξ_k, absolute: a maximum, so its null mean is not 0. Not seen is what leaves every covariance
    at 0, such as a variance of u that follows the target. The level holds as far as the regressions
    find what u and target have in common with what is given.

    Args:
        u: rows, one an object, (N, D).
        target: what y is.
        y: its values, (N,); rows without a valid one are left out.
        given: encoded context of the kept variables, (N, C); rows not finite are left out. With
            no column the test is of marginal independence.
        regressor: any of scikit-learn that predicts several numbers; None is `SmoothRegressor`.
        folds: parts of the rows, each predicted from the others.
        bootstraps: draws of multipliers, for the p-value.
        n_max: rows used at most.
        seed: of the choice of rows, folds and multipliers.
    """
    usable = known(target, y) & np.isfinite(given).all(1)
    rows = draw(usable, n_max, seed, least=_LEAST)
    u, y, given, n = u[rows], y[rows], given[rows].astype(np.float64), len(rows)
    if reason := why_not(u, bootstraps, least=_LEAST):
        return not_tested(reason, n)
    left, right = _standard(u), _standard(target.encode(y))
    if not right.shape[1]:
        return not_tested(f"it is constant ({y[0]:g})", n)
    wanted = np.concatenate([left, right], axis=1)
    if given.shape[1]:
        cv = KFold(folds, shuffle=True, random_state=seed)
        model = SmoothRegressor(random_state=seed) if regressor is None else clone(regressor)
        wanted -= cross_val_predict(model, given, wanted, cv=cv)
    ours, theirs = (_left(part) for part in np.split(wanted, [left.shape[1]], axis=1))
    if not ours.shape[1] or not theirs.shape[1]:
        return not_tested("the kept variables say all of it, or of the rows", n)
    largest, null = _covariance(ours, theirs, bootstraps, seed)
    correlation = np.abs(_standard(ours).T @ _standard(theirs)).max() / n
    found = result_of(largest * np.sqrt(n), correlation, null, n)
    # of T, which unlike the correlation allows residuals whose spread depends on what is given
    return replace(found, p_value=p_value(largest, null))


class SmoothRegressor(RegressorMixin, BaseEstimator):
    """Ridge regression on columns and on Gaussian kernels of them, fitted closely to each output.

    Columns are standardised. A kernel's width is the median distance of rows, a half or a quarter
    of it, and it is approximated from at most 100 of them (Nyström). Leave-one-out chooses penalty
    and width for each output. Smooth functions and interactions are found, in seconds for a hundred
    outputs; trees are slower, and what their steps leave of a trend would count as dependence.

    Args:
        widths: of kernels, in median distances.
        landmarks: rows that a kernel is approximated from.
        random_state: of the choice of these.
    """

    def __init__(
        self,
        widths: tuple[float, ...] = (1.0, 0.5, 0.25),
        landmarks: int = 100,
        random_state: int = 0,
    ) -> None:
        self.widths = widths
        self.landmarks = landmarks
        self.random_state = random_state

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Fit on rows *X* (N, C) and outputs *y* (N, W), W two or more."""
        rng = np.random.default_rng(self.random_state)
        some = rng.permutation(len(X))[:1000]
        apart = distances(StandardScaler().fit_transform(X)[some])
        median = float(np.median(apart[np.triu_indices(len(apart), 1)])) or 1.0
        self.models_ = [
            make_pipeline(
                StandardScaler(),
                make_union(
                    FunctionTransformer(),
                    Nystroem(
                        gamma=0.5 / (width * median) ** 2,
                        n_components=min(self.landmarks, len(X)),
                        random_state=self.random_state,
                    ),
                ),
                RidgeCV(np.logspace(-4, 4, 9), alpha_per_target=True),
            ).fit(X, y)
            for width in self.widths
        ]
        self.best_ = np.argmax([model[-1].best_score_ for model in self.models_], axis=0)
        return self

    def predict(self, X: NDArray[Any]) -> _Matrix:
        """Outputs (N, W) of rows *X* (N, C)."""
        guesses = np.stack([model.predict(X) for model in self.models_])
        chosen: _Matrix = np.take_along_axis(guesses, self.best_[None, None, :], axis=0)[0]
        return chosen


def _covariance(
    ours: _Matrix, theirs: _Matrix, bootstraps: int, seed: int
) -> tuple[float, _Matrix]:
    """max_jk |T_jk| / √N, and it with Gaussian multipliers, (B,)."""
    n = len(ours)
    rng = np.random.default_rng(np.random.SeedSequence((seed, _MULTIPLIERS)))
    multipliers = rng.normal(size=(bootstraps, n))
    largest, null = 0.0, np.zeros(bootstraps)
    for column in theirs.T:
        products = ours * column[:, None]  # (N, D)
        mean = products.mean(0)
        scaled = (products - mean) / products.std(0)
        largest = max(largest, float(np.abs(mean / products.std(0)).max()))
        null = np.maximum(null, np.abs(multipliers @ scaled).max(1) / n)
    return largest, null


def _left(residual: _Matrix) -> _Matrix:
    """Columns, once of variance 1, of which something is left."""
    return residual[:, np.square(residual).mean(0) > _DETERMINED]


def _standard(columns: NDArray[Any]) -> _Matrix:
    """Columns that vary, of mean 0 and variance 1."""
    values = columns.astype(np.float64)
    values = values[:, np.ptp(values, axis=0) > 0]
    standard: _Matrix = (values - values.mean(0)) / values.std(0)
    return standard
