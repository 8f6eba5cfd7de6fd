"""p-values hold their promise under the null, and find what was planted."""

import numpy as np
import pytest

from wwdc.discovery.conformal import conformal_p, discoveries
from wwdc.errors import DataError

DRAWS, CALIBRATION, TESTED = 400, 200, 100


def test_by_hand():
    p = conformal_p(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 2.0, 2.5, 9.0, np.nan]))
    assert p[:4].tolist() == [1.0, 0.8, 0.4, 0.2]
    assert np.isnan(p[4])


def test_nan_in_the_calibration_does_not_count():
    known = np.array([1.0, np.nan, 3.0])
    assert conformal_p(known, np.array([2.0])).tolist() == [2 / 3]
    with pytest.raises(DataError, match="no calibration row"):
        conformal_p(np.array([np.nan]), np.array([2.0]))


def test_p_values_are_valid_under_the_null():
    """P(p ≤ t) ≤ t at every t, and not much less: scores of any distribution."""
    rng = np.random.default_rng(1)
    p = np.array(
        [conformal_p(rng.gamma(1.0, size=200), rng.gamma(1.0, size=1))[0] for _ in range(4000)]
    )
    for t in (0.05, 0.1, 0.3, 0.7):
        error = 4 * np.sqrt(t * (1 - t) / len(p))
        assert t - error - 1 / CALIBRATION < np.mean(p <= t) < t + error


def test_ties_are_counted_against_an_anomaly():
    rng = np.random.default_rng(2)
    p = conformal_p(rng.integers(4, size=500), rng.integers(4, size=5000))
    assert np.mean(p <= 0.3) <= 0.3 + 0.05


def test_false_discoveries_under_the_null_and_with_anomalies():
    """Mean share of false ones among those kept at q ≤ .1: at most .1, in both cases."""
    rng = np.random.default_rng(3)
    for planted in (0, 20):
        false, power = [], []
        for _ in range(DRAWS):
            tested = rng.standard_normal(TESTED)
            tested[:planted] += 6.0
            q = discoveries(conformal_p(rng.standard_normal(CALIBRATION), tested))
            kept = q <= 0.1
            false.append(kept[planted:].sum() / max(1, kept.sum()))
            power.append(kept[:planted].mean() if planted else 0.0)
        assert np.mean(false) < 0.1 + 3 * np.std(false) / np.sqrt(DRAWS)
        assert not planted or np.mean(power) > 0.9


def test_too_few_calibration_rows_find_nothing():
    """The least p-value is 1/(C + 1): one anomaly among 100 needs C ≥ 999 for q ≤ .1."""
    tested = np.zeros(100)
    tested[0] = 9.0
    rng = np.random.default_rng(4)
    assert discoveries(conformal_p(rng.normal(size=50), tested)).min() > 0.1
    assert discoveries(conformal_p(rng.uniform(-2, 0, size=2000), tested))[0] <= 0.1
