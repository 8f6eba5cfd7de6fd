"""Detectors of our own: each scores a row by itself, whatever rows it is scored with.

A detector has ``fit(x)`` and ``decision_function(x)``, and higher is odder, as in PyOD. Two more
attributes are understood, here and in any other class:

``decision_scores_``
    scores (N,) that ``fit`` gave its own rows as if each had been left out. Rows that were fitted
    get these, as a row is always near itself.
``raw``
    true where columns mean something: they are neither standardised nor left out.
``columns``
    names of the columns it needs, where those of the settings are not meant.
"""

__all__ = ["COPOD", "ECOD", "Density", "GivenKnown", "Norm"]

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew

# Shapes: N rows, D columns.


class ECOD:
    """Empirical tails, column by column: −log of the smaller tail probability, summed.

    s(x) = Σ_d max(−log F_d(x), −log (1 − F_d(x⁻))), with F the empirical distribution of the rows
    it was fitted on (Li et al. 2022, arXiv:2201.00382). PyOD's ECOD joins the rows to be scored to
    F, so that a row's score depends on the others; here F is frozen: F(x) = (#{fit ≤ x} + 1) /
    (n + 1), where the one is the row itself. On the same rows both give the same.

    A column without skewness adds both tails, as in the paper.

    >>> x = np.arange(100.0)[:, None]
    >>> far, middle = ECOD().fit(x).decision_function(np.array([[1000.0], [50.0]]))
    >>> bool(far > middle)
    True
    """

    decision_scores_: NDArray[np.float64]

    def fit(self, x: NDArray[Any], y: None = None) -> "ECOD":
        """Freeze the distributions of the columns of *x*, (N, D)."""
        self._sorted = np.sort(np.asarray(x, np.float64), axis=0)
        self._skewness = np.sign(skew(self._sorted, axis=0))
        self.decision_scores_ = self._scores(x, own=0)
        return self

    def decision_function(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Scores (N,) of rows that were not fitted."""
        return self._scores(x, own=1)

    def _scores(self, x: NDArray[Any], own: int) -> NDArray[np.float64]:
        """*own* is 1 where a row is to be counted besides those fitted, 0 where it is one."""
        total = np.zeros(len(x))
        n = len(self._sorted) + own
        for d, known in enumerate(self._sorted.T):
            column = np.asarray(x[:, d], np.float64)
            upto = np.searchsorted(known, column, "right")
            tied = np.flatnonzero(known[np.maximum(upto, 1) - 1] == column)  # few, or none
            below = upto.copy()
            below[tied] = np.searchsorted(known, column[tied], "left")
            left = -np.log((upto + own) / n)
            right = -np.log((len(known) - below + own) / n)
            total += self._tails(left, right, float(self._skewness[d]))
        return total

    def _tails(
        self, left: NDArray[np.float64], right: NDArray[np.float64], skewness: float
    ) -> NDArray[np.float64]:
        return np.maximum(np.maximum(left, right), _skewed(left, right, skewness))


class COPOD(ECOD):
    """The same with the mean of both tails where the tail of the skewness is not larger.

    s(x) = Σ_d max((l + r)/2, l or r by the sign of the skewness), with l and r the −log of the two
    tails (Li et al. 2020, arXiv:2009.09463).
    """

    def _tails(
        self, left: NDArray[np.float64], right: NDArray[np.float64], skewness: float
    ) -> NDArray[np.float64]:
        return np.maximum((left + right) / 2, _skewed(left, right, skewness))


class Norm:
    """|u|²: how far out a residual is under the base distribution N(0, I) of its flow.

    −2 log p(u) but for a constant. It learns nothing from the rows it is fitted on.
    """

    raw: ClassVar[bool] = True

    def fit(self, x: NDArray[Any], y: None = None) -> "Norm":
        """Nothing to learn."""
        return self

    def decision_function(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Squared lengths (N,) of the rows of *x*, (N, D)."""
        return np.asarray(np.square(np.asarray(x, np.float64)).sum(axis=1))


class Density:
    """−log p(z | c): how rare a latent is for what is known of its object, by the flow."""

    raw: ClassVar[bool] = True
    columns: ClassVar[tuple[str, ...]] = ("log_prob_mean",)

    def fit(self, x: NDArray[Any], y: None = None) -> "Density":
        """Nothing to learn."""
        return self

    def decision_function(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Minus the log density (N,) in the only column of *x*, (N, 1)."""
        return -np.asarray(x, np.float64)[:, 0]


class GivenKnown:
    """log p(z) − log p(z | c): how much rarer a latent is for its own catalogue than at all.

    High where an object and what the catalogue says of it do not go together. Needs a flow trained
    with ``condition_dropout``, which knows both densities.
    """

    raw: ClassVar[bool] = True
    columns: ClassVar[tuple[str, ...]] = ("log_prob_mean", "log_prob_unconditional_mean")

    def fit(self, x: NDArray[Any], y: None = None) -> "GivenKnown":
        """Nothing to learn."""
        return self

    def decision_function(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """The difference (N,) of the second and the first column of *x*, (N, 2)."""
        x = np.asarray(x, np.float64)
        return np.asarray(x[:, 1] - x[:, 0])


def _skewed(
    left: NDArray[np.float64], right: NDArray[np.float64], skewness: float
) -> NDArray[np.float64]:
    if skewness == 0:
        return left + right
    return left if skewness < 0 else right
