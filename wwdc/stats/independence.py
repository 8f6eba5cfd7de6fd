"""Tests of whether a variable depends on the rows at all, by kernels and by distances."""

__all__ = ["distance_correlation", "hsic"]

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Variable
from wwdc.stats.kernels import distances, gaussian, permuted_products, u_centred, within_sums
from wwdc.stats.result import TestResult, draw, known, not_tested, result_of, why_not
from wwdc.stats.scores import CLASSES

# Shapes: N rows, D columns, B permutations.

_Matrix = NDArray[np.float64]


def hsic(
    u: NDArray[Any],
    variable: Variable,
    y: NDArray[Any],
    *,
    permutations: int = 199,
    n_max: int = 1000,
    seed: int = 0,
) -> TestResult:
    """Hilbert–Schmidt independence criterion: sees any dependence, given rows enough.

    The statistic is the unbiased estimate of Song et al. 2012 (eq. 4; Gretton et al. 2005,
    https://doi.org/10.1007/11564089_7), the effect is it over √(HSIC(u, u) HSIC(y, y)): centred
    kernel alignment without bias, at most 1. Kernels are Gaussian at the median heuristic; classes
    have the kernel 1 for equal and 0 for different, a circular variable that of its cosine and
    sine. Columns of u are taken as they are, for those of a base space share a scale.

    Args:
        u: rows, one an object, (N, D).
        variable: what y is.
        y: its values, (N,); rows without a valid one are left out.
        permutations: of y, for the p-value.
        n_max: rows used at most. Memory grows with its square.
        seed: of the choice of rows and of permutations.
    """
    return _alignment(u, variable, y, True, permutations, n_max, seed)


def distance_correlation(
    u: NDArray[Any],
    variable: Variable,
    y: NDArray[Any],
    *,
    permutations: int = 199,
    n_max: int = 1000,
    seed: int = 0,
) -> TestResult:
    """Distance correlation: sees any dependence, given rows enough.

    The statistic is the unbiased squared distance covariance, the effect the bias-corrected
    squared distance correlation, at most 1 (Székely & Rizzo 2013,
    https://doi.org/10.1016/j.jmva.2013.02.012). Distances are Euclidean; between classes 0 for
    equal and 1 for different (Lyons 2013), of a circular variable between cosines and sines. A
    rotation of u changes nothing: columns are taken as they are.

    Args: as of `hsic`.
    """
    return _alignment(u, variable, y, False, permutations, n_max, seed)


def _alignment(
    u: NDArray[Any],
    variable: Variable,
    y: NDArray[Any],
    kernel: bool,
    permutations: int,
    n_max: int,
    seed: int,
) -> TestResult:
    """The test that both are, of a Gaussian *kernel* or else of distances."""
    rows = draw(known(variable, y), n_max, seed)
    u, y, n = u[rows], y[rows], len(rows)
    if reason := why_not(u, permutations) or _constant(variable, y):
        return not_tested(reason, n)
    compare: Callable[[_Matrix], _Matrix] = gaussian if kernel else np.asarray
    classes = np.unique(y, return_inverse=True)[1] if variable.kind in CLASSES else None
    if classes is None:
        theirs = compare(distances(_numbers(variable, y)))
    else:
        theirs = np.equal.outer(classes, classes) * (1.0 if kernel else -1.0)
    ours, theirs = u_centred(compare(distances(u))), u_centred(theirs)
    norms = np.linalg.norm(ours), np.linalg.norm(theirs)
    if not min(norms) > 0:
        return not_tested("all pairs of rows, or of its values, are equally far apart", n)
    ours, theirs = ours / norms[0], theirs / norms[1]
    if classes is None:
        effects = permuted_products(ours, theirs, permutations, seed)
    else:
        sign = (1.0 if kernel else -1.0) / norms[1]
        effects = sign * within_sums(ours, classes, permutations, seed).sum(1)
    statistic = effects[0] * norms[0] * norms[1] / (n * (n - 3))
    return result_of(statistic, effects[0], effects[1:], n)


def _numbers(variable: Variable, y: NDArray[Any]) -> _Matrix:
    """Columns to take distances of, (N, W)."""
    if variable.kind == "circular":
        return variable.encode(y).astype(np.float64)
    return y.astype(np.float64)[:, None]


def _constant(variable: Variable, y: NDArray[Any]) -> str:
    span = np.ptp(_numbers(variable, y), axis=0).max()
    least = 1e-6 if variable.kind == "circular" else 0.0  # both ends of the range are one phase
    return "" if span > least else f"it is constant ({y[0]:g})"
