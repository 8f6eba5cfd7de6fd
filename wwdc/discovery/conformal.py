"""How surprising a score is: conformal p-values, and which of many to believe."""

__all__ = ["conformal_p", "discoveries"]

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import DataError
from wwdc.stats.resampling import adjust

# Shapes: C calibration rows, N tested rows.


def conformal_p(
    calibration: NDArray[np.floating], scores: NDArray[np.floating]
) -> NDArray[np.float64]:
    """p-values of "this row is like those of the calibration", p = (1 + #{cal ≥ s}) / (C + 1).

    P(p ≤ t) ≤ t for a row that is exchangeable with the calibration rows, whatever the detector,
    which must have seen neither (Bates et al. 2023, "Testing for outliers with conformal
    p-values", arXiv:2104.08279). The least p there can be is 1/(C + 1): few calibration rows let
    nothing be significant among many tested ones.

    Args:
        calibration: scores (C,), higher is odder; NaN do not count.
        scores: of the rows to test, (N,).

    Returns:
        p-values (N,), NaN where the score is.

    Raises:
        DataError: no calibration score is a number.

    >>> conformal_p(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.5, 9.0])).tolist()
    [1.0, 0.5, 0.25]
    """
    known = np.sort(calibration[~np.isnan(calibration)])
    if not len(known):
        raise DataError("no calibration row has a score, so there is nothing to compare with.")
    above = len(known) - np.searchsorted(known, scores, side="left")
    p = (1.0 + above) / (len(known) + 1.0)
    return np.where(np.isnan(scores), np.nan, p)


def discoveries(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """q-values by Benjamini & Hochberg: keep q ≤ a, and a share a of those are false on average.

    The false discovery rate holds for conformal p-values of one calibration set, which depend on
    each other positively (Bates et al. 2023, theorem 2). NaN stay and do not count.

    >>> discoveries(np.array([0.01, float("nan"), 0.04])).tolist()
    [0.02, nan, 0.04]
    """
    return adjust(p, "bh")
