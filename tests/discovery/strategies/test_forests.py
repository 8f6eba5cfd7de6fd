"""Forests that learn: what they consider, and when they are fitted."""

import numpy as np
import pytest

from tests.discovery.planted import clusters
from wwdc.discovery import pool as pool_module
from wwdc.discovery.pool import make_pool
from wwdc.discovery.strategies import make_strategy


@pytest.fixture
def small_candidates(monkeypatch):
    monkeypatch.setattr(pool_module, "_CANDIDATES", 100)


@pytest.mark.parametrize("name", ["aad", "pine"])
def test_a_large_pool_is_cut_to_its_candidates(name, small_candidates):
    x, y = clusters(0)
    pool = make_pool(x)
    rows = pool.prior.argsort()[::-1][:20]
    strategy = make_strategy(name)
    found = strategy.rank(pool, rows, np.where(y[rows] == 1, 1.0, -1.0))
    others = np.setdiff1d(np.arange(len(x)), pool.candidates)
    assert len(pool.candidates) == 200 and np.isfinite(found).all()
    assert found[others].max() < found[pool.candidates].max()
    assert (found[others] == 0).all()


def test_the_default_still_asks_rows_that_the_forest_does_not_consider(small_candidates):
    x, y = clusters(0)
    pool = make_pool(x)
    rows = pool.prior.argsort()[::-1][:20]
    found = make_strategy("aadgp").rank(pool, rows, np.where(y[rows] == 1, 1.0, -1.0))
    others = np.setdiff1d(np.arange(len(x)), pool.candidates)
    assert len(np.unique(found[others])) > 100


@pytest.mark.parametrize("name", ["aad", "pine", "neighbour"])
def test_a_slow_model_is_fitted_at_its_times(name, monkeypatch):
    x, y = clusters(0, 200)
    pool = make_pool(x)
    strategy = make_strategy(name)
    fitted = []
    real = type(strategy)._refit
    monkeypatch.setattr(
        type(strategy), "_refit", lambda self, p, r, t: fitted.append(len(r)) or real(self, p, r, t)
    )
    for count in range(1, 32):
        strategy.rank(pool, np.arange(count), 2.0 * y[:count] - 1)
    assert fitted == [0, 5, 10, 15, 20, 30]


@pytest.mark.parametrize("name", ["aad", "pine"])
def test_labels_lift_anomalies_and_lower_normal_rows(name):
    x, y = clusters(0)
    pool = make_pool(x)
    rows = np.concatenate([np.flatnonzero(y == 1)[:10], np.flatnonzero(y == 0)[:10]])
    found = make_strategy(name).rank(pool, rows, 2.0 * y[rows] - 1)
    unseen = np.setdiff1d(np.flatnonzero(y == 1), rows)
    assert found[unseen].mean() > pool.prior[unseen].mean() + 0.02


@pytest.mark.parametrize("target", [-1.0, 1.0])
def test_one_kind_of_label_leaves_the_active_forest_at_the_prior(target):
    pool = make_pool(clusters(0, 200)[0])
    found = make_strategy("aad").rank(pool, np.arange(10), np.full(10, target))
    assert (found.argsort() == pool.prior.argsort()).all()
