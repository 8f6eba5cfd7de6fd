"""Tests of whether rows are distributed alike in groups: by distances, kernels, a classifier."""

__all__ = ["c2st", "energy_two_sample", "groups_of", "mmd_two_sample", "with_normal_rows"]

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from wwdc.data.catalogue import Variable
from wwdc.stats.kernels import distances, gaussian, within_sums
from wwdc.stats.result import TestResult, draw, known, not_tested, result_of, why_not
from wwdc.stats.scores import CLASSES

# Shapes: N rows, D columns, B permutations, K groups.

_Matrix = NDArray[np.float64]

_ORDERS = 6
"""Stream of a seed: permutations of held-out groups."""

_NORMAL = 7
"""Stream of a seed: rows of noise."""


def groups_of(variable: Variable, y: NDArray[Any]) -> NDArray[np.int64]:
    """Groups (N,) that a variable splits rows into; −1 where it has no valid value.

    Numbers are split at their median (1 is above), circular values at their mean direction and
    the one opposite (1 is up to half a period ahead of the mean), classes and flags are as they
    are.

    >>> groups_of(Variable("b", "continuous"), np.array([3.0, 1.0, 2.0, 9.0, np.nan])).tolist()
    [1, 0, 0, 1, -1]
    """
    groups = np.full(len(y), -1)
    valid = known(variable, y)
    if not valid.any():
        return groups
    values = y[valid].astype(np.float64)
    if variable.kind in CLASSES:
        groups[valid] = values.astype(np.int64)
    elif variable.kind == "circular":
        low, high = variable.limits
        phase = np.exp(2j * np.pi * (values - low) / (high - low))
        groups[valid] = (phase * phase.mean().conj()).imag > 0
    else:
        above = values > np.median(values)
        groups[valid] = above if above.any() else values >= np.median(values)
    return groups


def energy_two_sample(
    u: NDArray[Any],
    groups: NDArray[np.int64],
    *,
    permutations: int = 199,
    n_max: int = 1000,
    seed: int = 0,
) -> TestResult:
    """Energy distance of groups: sees any difference in distribution, given rows enough.

    Between two groups E = 2 E|x − y| − E|x − x'| − E|y − y'|, its estimate without bias (Székely &
    Rizzo 2013, https://doi.org/10.1016/j.jspi.2013.03.018). Of several groups the statistic is the
    mean over pairs, each weighted with n_a n_b. The effect is the share of the mean distance of
    two rows that goes when both are of one group: 1 − Σ_a (n_a / N) d_aa / d, as R² of DISCO
    (Rizzo & Székely 2010, https://arxiv.org/abs/1011.2288) without bias. It has mean 0 under the
    null and is small in many dimensions, where all distances are alike: hold it against
    *detectable*. Columns of u are taken as they are.

    Args:
        u: rows, one an object, (N, D).
        groups: of each row, (N,); rows below 0 are left out.
        permutations: of groups, for the p-value.
        n_max: rows used at most. Memory grows with its square.
        seed: of the choice of rows and of permutations.
    """
    return _dispersion(u, groups, False, permutations, n_max, seed)


def mmd_two_sample(
    u: NDArray[Any],
    groups: NDArray[np.int64],
    *,
    permutations: int = 199,
    n_max: int = 1000,
    seed: int = 0,
) -> TestResult:
    """Maximum mean discrepancy of groups: sees any difference in distribution, given rows enough.

    Between two groups MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y), its estimate without bias
    (Gretton et al. 2012, https://jmlr.org/papers/v13/gretton12a.html), with the Gaussian kernel at
    the median heuristic. It is the energy distance for the distance 1 − k: several groups and the
    effect are as of `energy_two_sample`, and so are the arguments.
    """
    return _dispersion(u, groups, True, permutations, n_max, seed)


def c2st(
    u: NDArray[Any],
    groups: NDArray[np.int64],
    *,
    classifier: Any = None,
    permutations: int = 199,
    n_max: int = 2000,
    seed: int = 0,
) -> TestResult:
    """Classifier two-sample test: sees the differences that its classifier learns.

    A classifier is fitted on one half of the rows; the statistic is its accuracy on the other
    (Lopez-Paz & Oquab 2017, https://arxiv.org/abs/1610.06545), the mean over groups where these
    are of unequal size. The effect is the skill (a − 1/K) / (1 − 1/K): 0 is guessing, 1 is always
    right. The null permutes the groups of the held-out rows, where the classifier is fixed.

    Args:
        u: rows, one an object, (N, D); standardised on the half that is fitted on.
        groups: of each row, (N,); rows below 0 are left out.
        classifier: any of scikit-learn; None is a support vector machine with a Gaussian kernel
            that weighs groups alike: it is quick and sees differences of spread, too.
        permutations: of groups, for the p-value.
        n_max: rows used at most.
        seed: of the choice of rows, of halves and of permutations.
    """
    u, groups, reason = _rows(u, groups, permutations, n_max, seed)
    if reason:
        return not_tested(reason, len(u))
    fitted, held, labels, truth = train_test_split(
        u, groups, test_size=0.5, random_state=seed, stratify=groups
    )
    base = SVC(class_weight="balanced") if classifier is None else clone(classifier)
    guess = make_pipeline(StandardScaler(), base).fit(fitted, labels).predict(held)
    count = len(np.unique(groups))
    accuracy = balanced_accuracy_score(truth, guess)
    rng = np.random.default_rng(np.random.SeedSequence((seed, _ORDERS)))
    weight = 1.0 / (count * np.bincount(truth))
    orders = (rng.permutation(truth) for _ in range(permutations))
    null = np.array([weight[order] @ (order == guess) for order in orders])
    chance = 1 / count
    return result_of(
        accuracy, (accuracy - chance) / (1 - chance), (null - chance) / (1 - chance), len(u)
    )


def with_normal_rows(u: NDArray[Any], seed: int = 0) -> tuple[_Matrix, NDArray[np.int64]]:
    """Rows (2N, D) and groups (2N,) for a test of *u* (N, D), group 0, against draws of N(0, I)."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, _NORMAL)))
    rows = np.concatenate([u.astype(np.float64), rng.normal(size=u.shape)])
    return rows, np.repeat([0, 1], len(u))


def _dispersion(
    u: NDArray[Any],
    groups: NDArray[np.int64],
    kernel: bool,
    permutations: int,
    n_max: int,
    seed: int,
) -> TestResult:
    """The test that both are, of distances 1 − k of a Gaussian *kernel* or of Euclidean ones."""
    u, groups, reason = _rows(u, groups, permutations, n_max, seed)
    if reason:
        return not_tested(reason, len(u))
    distance = distances(u)
    if kernel:
        distance = 1.0 - gaussian(distance)
    sizes = np.bincount(groups)
    n = len(u)
    mean = distance.sum() / (n * (n - 1))
    within = within_sums(distance / mean, groups, permutations, seed) / (sizes * (sizes - 1))
    effects = 1.0 - within @ (sizes / n)
    # Σ_{a<b} n_a n_b (2 d_ab − d_aa − d_bb) = N (N − 1) (d − Σ_a (n_a / N) d_aa)
    pairs = (n * n - (sizes**2).sum()) / 2
    return result_of(effects[0] * mean * n * (n - 1) / pairs, effects[0], effects[1:], n)


def _rows(
    u: NDArray[Any], groups: NDArray[np.int64], permutations: int, n_max: int, seed: int
) -> tuple[NDArray[Any], NDArray[np.int64], str]:
    """Rows that are used, their groups numbered from 0, and why they cannot be tested."""
    rows = draw(groups >= 0, n_max, seed)
    u, names, reason = u[rows], groups[rows], why_not(u[rows], permutations)
    values, numbered, sizes = np.unique(names, return_inverse=True, return_counts=True)
    if not reason and len(values) < 2:
        reason = f"all rows are in one group ({values[0]})"
    elif not reason and sizes.min() < 2:
        reason = f"group {values[sizes.argmin()]} has one row of {len(rows)}: two are needed"
    return u, numbered, reason
