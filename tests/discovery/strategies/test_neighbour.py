"""Astronomaly's score, term by term."""

import numpy as np

from tests.discovery.planted import clusters
from wwdc.discovery.pool import make_pool
from wwdc.discovery.strategies import make_strategy


def test_before_the_forest_is_fitted_all_is_of_middling_interest():
    pool = make_pool(clusters(0, 200)[0])
    found = make_strategy("neighbour").rank(pool, [7], [1.0])
    distance = np.linalg.norm(pool.x - pool.x[7], axis=1)
    distance = distance / distance.mean()
    expected = pool.prior * np.tanh(np.exp(distance) - 1 + np.arctanh(0.1 + 0.85 / 2))
    assert np.allclose(found, expected, atol=1e-4)


def test_at_a_label_the_regression_decides():
    x, y = clusters(0, 400)
    pool = make_pool(x)
    rows = np.concatenate([np.flatnonzero(y == 1)[:15], np.flatnonzero(y == 0)[:15]])
    found = make_strategy("neighbour").rank(pool, rows, 2.0 * y[rows] - 1) / (pool.prior + 1e-9)
    assert found[rows[:15]].min() > 0.75 > 0.4 > found[rows[15:]].max()


def test_a_far_row_does_not_overflow():
    x = clusters(0, 400)[0]
    x[5] = 1e6
    assert np.isfinite(make_strategy("neighbour").rank(make_pool(x), [0, 1], [1.0, -1.0])).all()
