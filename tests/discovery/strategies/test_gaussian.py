"""The Gaussian process against the textbook, and its memory."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from tests.discovery.planted import clusters
from wwdc.discovery.pool import CHUNK, make_pool
from wwdc.discovery.strategies import gaussian, make_strategy


@pytest.fixture(scope="module")
def case():
    x, y = clusters(0, 300)
    rows = np.random.default_rng(1).permutation(300)[:21]
    return make_pool(x), rows, np.where(y[rows] == 1, 1.0, -1.0)


def test_the_posterior_mean_is_scikit_learns(case):
    pool, rows, targets = case
    prior = 2 * pool.prior**4 - 1
    kernel = ConstantKernel(1.0) + Matern(length_scale=pool.length_scale, nu=1.5)
    reference = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=None)
    reference.fit(pool.x[rows], np.where(targets > 0, 3.0, -1.0) - prior[rows])
    found = make_strategy("gp").rank(pool, rows, targets)
    assert np.allclose(found, prior + reference.predict(pool.x), atol=1e-4)


def test_a_grade_counts_in_proportion(case):
    pool, rows, _ = case
    shifts = []
    for target in (0.2, 0.4):
        found = make_strategy("gp").rank(pool, rows[:1], [target])
        none = make_strategy("gp").rank(pool, rows[:1], [0.0])
        shifts.append(found[rows[0]] - none[rows[0]])
    assert np.isclose(shifts[1], 2 * shifts[0], rtol=1e-5)


def test_normal_rows_on_top_say_that_the_prior_promises_too_much(case):
    pool, _, _ = case
    order = pool.prior.argsort()
    rows = order[-20::2]
    found = make_strategy("gp").rank(pool, rows, -np.ones(10))
    far = np.linalg.norm(pool.x[:, None] - pool.x[rows], axis=2).min(axis=1).argmax()
    assert found[far] < 2 * pool.prior[far] ** 4 - 1 - 0.3


def test_it_is_the_same_without_memory_for_kernels(case, monkeypatch):
    pool, rows, targets = case
    kept = make_strategy("gp")
    kept.rank(pool, rows[:17], targets[:17])
    monkeypatch.setattr(gaussian, "_KEPT", 0)
    bare = make_strategy("gp")
    assert (kept.rank(pool, rows, targets) == bare.rank(pool, rows, targets)).all()
    assert not any(bare._kept.values()) and sum(map(len, kept._kept.values())) == 2


def test_a_label_computes_its_group_of_kernels_alone(case, monkeypatch):
    pool, rows, targets = case
    strategy = make_strategy("gp")
    strategy.rank(pool, rows[:20], targets[:20])
    shapes = []
    real = gaussian.squared_distances
    monkeypatch.setattr(
        gaussian, "squared_distances", lambda a, *rest: shapes.append(len(a)) or real(a, *rest)
    )
    strategy.rank(pool, rows, targets)
    assert shapes == [21, 8]  # among the labels, and one group with the pool


def test_a_block_that_ends_elsewhere(case):
    _, rows, targets = case
    pool = make_pool(clusters(0, CHUNK + 500)[0])
    strategy = make_strategy("gp")
    strategy.fit(pool, rows, targets)
    whole = strategy.columns(pool, slice(None))
    assert np.allclose(strategy.columns(pool, slice(0, 300)), whole[:300], atol=1e-12)
    assert np.allclose(strategy.columns(pool, slice(100, 300)), whole[100:300], atol=1e-12)
    assert (strategy.columns(pool, slice(None)) == whole).all()


def test_uncertainty_asks_where_the_mean_is_near_0(case):
    pool, rows, targets = case
    mean = make_strategy("gp").rank(pool, rows, targets)
    assert np.allclose(make_strategy("uncertainty").rank(pool, rows, targets), -np.abs(mean))
