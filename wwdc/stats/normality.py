"""Tests of whether rows are multivariate normal: of any covariance, or the base N(0, I) itself."""

__all__ = ["energy_normality", "henze_zirkler", "mean_distance_to_normal"]

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from wwdc.errors import ConfigError
from wwdc.stats.kernels import distances
from wwdc.stats.result import TestResult, draw, not_tested, result_of, why_not

# Shapes: N rows, D columns, B draws from the null.

_Matrix = NDArray[np.float64]

_NULL = 9
"""Stream of a seed: normal rows."""

_STEP = 0.4
"""Of the trapezoidal rule."""


def henze_zirkler(
    u: NDArray[Any],
    *,
    beta: float | None = None,
    reps: int = 199,
    n_max: int = 1000,
    seed: int = 0,
) -> TestResult:
    """Henze–Zirkler test of multivariate normality with any mean and covariance.

    With Mahalanobis distances D_j of rows from their mean and D_jk of each other,

    HZ = Σ_jk exp(−β² D_jk² / 2) / N − 2 (1 + β²)^(−D/2) Σ_j exp(−β² D_j² / (2 + 2β²))
    + N (1 + 2β²)^(−D/2),

    β = ((2D + 1) N / 4)^(1 / (D + 4)) / √2 (Henze & Zirkler 1990,
    https://doi.org/10.1080/03610929008830400). HZ is invariant to affine maps, so its null is
    exact by simulation; the published lognormal null is far off in many dimensions. The effect is
    (HZ − 1) / (N (1 + 2β²)^(−D/2)), without the terms j = k: the squared distance between
    characteristic functions over the square of the normal's own, a little below 0 for normal rows
    because their mean and covariance are fitted. In many dimensions the published β compares
    nothing but the closest pairs of rows and has next to no power. One near 1 / √D has: at the
    level 0.05 it saw ten of ten samples of 300 rows of Student's t₈ in 64 columns, the other one.

    Args:
        u: rows, one an object, (N, D).
        beta: inverse width of the kernel; None is the published β.
        reps: draws from the null, for the p-value. They are kept for the next test of this size.
        n_max: rows used at most. Memory grows with its square.
        seed: of the choice of rows and of the null.

    Raises:
        ConfigError: *beta* is not positive.
    """
    if beta is not None and not beta > 0:
        raise ConfigError(f"beta is {beta}: it must be above 0.")
    rows = draw(np.ones(len(u), bool), n_max, seed)
    u, (n, dim) = u[rows].astype(np.float64), (len(rows), u.shape[1])
    if reason := why_not(u, reps):
        return not_tested(reason, n)
    if n <= dim or np.linalg.matrix_rank(u - u.mean(0)) < dim:
        return not_tested(f"the covariance of {dim} columns is singular in {n} rows", n)
    width = ((2 * dim + 1) * n / 4) ** (1 / (dim + 4)) / np.sqrt(2) if beta is None else beta
    effect = _hz_effect(u, width)
    statistic = 1 + effect * n * (1 + 2 * width**2) ** (-dim / 2)
    return result_of(statistic, effect, _hz_null(n, dim, reps, seed, width), n)


def energy_normality(
    u: NDArray[Any], *, reps: int = 199, n_max: int = 1000, seed: int = 0
) -> TestResult:
    """Energy test of rows against N(0, I) itself: mean, covariance and shape all count.

    The statistic is the energy distance 2 E|x − Z| − E|Z − Z'| − E|x − x'| of rows and Z ~ N(0, I)
    (Székely & Rizzo 2005, https://doi.org/10.1016/j.jmva.2003.12.002), in closed form but for the
    mean over pairs of rows, which is without bias. Rows are not standardised. The effect is it
    over 2 E|x − Z|: 0 is N(0, I), the most is 1. The null is simulated.

    Args:
        u: rows, one an object, (N, D).
        reps: draws from the null, for the p-value. They are kept for the next test of this size.
        n_max: rows used at most. Memory grows with its square.
        seed: of the choice of rows and of the null.
    """
    rows = draw(np.ones(len(u), bool), n_max, seed)
    u, n = u[rows].astype(np.float64), len(rows)
    if reason := why_not(u, reps):
        return not_tested(reason, n)
    distance, scale = _energy(u)
    return result_of(distance, distance / scale, _energy_null(n, u.shape[1], reps, seed), n)


def mean_distance_to_normal(rows: NDArray[Any]) -> _Matrix:
    """E|x − Z| of each row x (N, D) and Z ~ N(0, I): (N,), to 10 digits whatever D and |x|.

    The mean of the root of W = |x − Z|², a noncentral χ² of mean μ = D + |x|², is
    √μ + ∫ (exp(−μs) − E exp(−sW)) s^(−3/2) ds / √(4π), s > 0, here by the trapezoidal rule in
    log s. Equal to √2 Γ((D + 1) / 2) / Γ(D / 2) · ₁F₁(−1/2; D/2; −|x|² / 2), which overflows.

    >>> mean_distance_to_normal(np.zeros((1, 1))).round(4)  # √(2 / π)
    array([0.7979])
    """
    dim, square = rows.shape[1], np.square(rows.astype(np.float64)).sum(1)
    mean = dim + square
    log_s = np.arange(-16.0, 24.0, _STEP)
    s = np.exp(log_s) / mean[:, None]  # (N, 100)
    laplace = np.exp(-0.5 * dim * np.log1p(2 * s) - square[:, None] * s / (1 + 2 * s))
    gap = (np.exp(-np.exp(log_s)) - laplace) @ np.exp(-0.5 * log_s)
    found: _Matrix = np.sqrt(mean) * (1 + _STEP * gap / np.sqrt(4 * np.pi))
    return found


def _hz_effect(u: _Matrix, beta: float) -> float:
    n, dim = u.shape
    centred = u - u.mean(0)
    factor = np.linalg.cholesky(centred.T @ centred / n)
    white = solve_triangular(factor, centred.T, lower=True).T
    square = beta**2
    pairs = np.exp(-0.5 * square * np.square(distances(white)))
    np.fill_diagonal(pairs, 0.0)
    singles = np.exp(-square * np.square(white).sum(1) / (2 + 2 * square))
    # each term over its value for normal rows: they are far too small to be added as they are
    return float(
        1
        + pairs.sum() / n**2 * (1 + 2 * square) ** (dim / 2)
        - 2 * singles.mean() * ((1 + 2 * square) / (1 + square)) ** (dim / 2)
    )


def _energy(u: _Matrix) -> tuple[float, float]:
    """The energy distance from N(0, I), and 2 E|x − Z|."""
    n, dim = u.shape
    to_normal = 2 * float(mean_distance_to_normal(u).mean())
    normal = np.sqrt(2) * float(mean_distance_to_normal(np.zeros((1, dim)))[0])
    return to_normal - normal - float(distances(u).sum()) / (n * (n - 1)), to_normal


@lru_cache(maxsize=64)
def _hz_null(n: int, dim: int, reps: int, seed: int, beta: float) -> _Matrix:
    return _simulated(lambda rows: _hz_effect(rows, beta), n, dim, reps, seed)


@lru_cache(maxsize=64)
def _energy_null(n: int, dim: int, reps: int, seed: int) -> _Matrix:
    def effect(rows: _Matrix) -> float:
        distance, scale = _energy(rows)
        return distance / scale

    return _simulated(effect, n, dim, reps, seed)


def _simulated(
    effect: Callable[[_Matrix], float], n: int, dim: int, reps: int, seed: int
) -> _Matrix:
    """Effects (B,) of rows of N(0, I)."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, _NULL)))
    return np.array([effect(rng.normal(size=(n, dim))) for _ in range(reps)])
