"""Distances, kernels and permuted sums against their definitions."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import rbf_kernel

from wwdc.data.catalogue import Variable
from wwdc.errors import ConfigError
from wwdc.stats import kernels
from wwdc.stats.kernels import distances, gaussian, permuted_products, u_centred, within_sums
from wwdc.stats.result import draw, known, not_tested, result_of, why_not


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("dim", [1, 7, 300])
def test_distances_are_scipys(rng, monkeypatch, dim):
    monkeypatch.setattr(kernels, "_CHUNK", 16)  # blocks that do not divide the rows
    rows = 1e4 + rng.normal(size=(50, dim))
    np.testing.assert_allclose(distances(rows), cdist(rows, rows), rtol=1e-6, atol=1e-5)
    assert not np.diagonal(distances(rows)).any()


def test_equal_rows_are_at_distance_zero():
    assert not distances(np.full((30, 3), 0.1)).any()


def test_kernel_is_scikit_learns_at_the_median_distance(rng):
    rows = rng.normal(size=(40, 3))
    found = distances(rows)
    median = np.median(found[np.triu_indices(40, 1)])
    np.testing.assert_allclose(gaussian(found), rbf_kernel(rows, gamma=0.5 / median**2))


def test_kernel_width_is_the_mean_where_the_median_is_zero():
    rows = np.r_[np.zeros(30), np.ones(5)][:, None]
    found = distances(rows)
    mean = found[np.triu_indices(35, 1)].mean()
    np.testing.assert_allclose(gaussian(found)[0, -1], np.exp(-0.5 / mean**2))
    assert (gaussian(np.zeros((5, 5))) == 1).all()


def test_centred_rows_sum_to_zero(rng):
    matrix = u_centred(distances(rng.normal(size=(30, 2))))
    np.testing.assert_allclose(matrix.sum(0), 0, atol=1e-10)
    assert not np.diagonal(matrix).any()


def test_permuted_products_permute_rows_and_columns_together(rng):
    n = 5
    first, second = (u_centred(distances(rng.normal(size=(n, 2)))) for _ in range(2))
    sums = permuted_products(first, second, 400, seed=3)
    assert sums[0] == pytest.approx(np.vdot(first, second), rel=1e-12)
    orders = [rng.permutation(n) for _ in range(2000)]
    possible = np.unique([np.vdot(first, second[np.ix_(o, o)]) for o in orders])
    off = np.abs(sums[:, None] - possible).min(1)
    assert off.max() < 1e-5
    assert np.unique(sums.round(3)).size > 50


@pytest.mark.parametrize("columns", [5, 4096])
def test_within_sums_are_sums_over_a_groups_pairs(rng, monkeypatch, columns):
    monkeypatch.setattr(kernels, "_COLUMNS", columns)  # blocks of one permutation, or all at once
    matrix, groups = distances(rng.normal(size=(30, 2))), rng.integers(0, 3, 30)
    sums = within_sums(matrix, groups, 50, seed=1)
    expected = [matrix[np.ix_(groups == g, groups == g)].sum() for g in range(3)]
    np.testing.assert_allclose(sums[0], expected)
    assert sums.shape == (51, 3)
    assert len(np.unique(sums[:, 0])) > 40


def test_within_sums_permute_as_products_do(rng):
    matrix, groups = u_centred(distances(rng.normal(size=(30, 2)))), rng.integers(0, 3, 30)
    same = (groups[:, None] == groups).astype(float)
    a = within_sums(matrix, groups, 2000, seed=1).sum(1)
    b = permuted_products(matrix, same, 2000, seed=2)
    assert a[0] == pytest.approx(b[0])
    assert np.quantile(a, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(b, [0.1, 0.5, 0.9]), abs=2)
    assert a.std() == pytest.approx(b.std(), rel=0.1)


def test_same_seed_same_sums(rng):
    first, second = (u_centred(distances(rng.normal(size=(30, 2)))) for _ in range(2))
    a, b, c = (permuted_products(first, second, 9, seed) for seed in (1, 1, 2))
    assert (a == b).all()
    assert (a[1:] != c[1:]).any()


def test_rows_are_drawn_by_seed_from_the_usable():
    usable = np.arange(100) % 2 == 0
    rows = draw(usable, 30, seed=1)
    assert len(rows) == 30
    assert usable[rows].all()
    assert (np.diff(rows) > 0).all()
    assert (draw(usable, 30, seed=1) == rows).all()
    assert (draw(usable, 30, seed=2) != rows).any()
    assert draw(usable, 50, seed=1).tolist() == list(range(0, 100, 2))
    with pytest.raises(ConfigError, match="n_max is 5: the test needs 20 rows"):
        draw(usable, 5, seed=1)


def test_what_a_variable_cannot_be_is_not_known():
    digit = Variable("digit", "categorical", 3)
    values = np.array([0, 1.5, 2, 3, np.nan, -1])
    assert known(digit, values).tolist() == [True, False, True, False, False, False]
    number = Variable("b", "continuous")
    assert known(number, np.array([1.0, np.inf, np.nan])).tolist() == [True, False, False]
    assert not known(number, np.array(["a", "b"])).any()


def test_reasons(rng):
    u = rng.normal(size=(30, 2))
    assert why_not(u, 19) == ""
    assert why_not(u[:19], 19) == "there are 19 rows with a valid value: 20 are needed"
    assert why_not(np.ones((30, 2)), 19) == "the rows are all the same"
    u[3, 1] = np.nan
    assert why_not(u, 19) == "the rows hold values that are not finite"
    with pytest.raises(ConfigError, match="18 draws from the null"):
        why_not(u, 18)


def test_result_of_a_null():
    null = np.linspace(0, 1, 99)
    found = result_of(7.0, 0.95, null, 50)
    assert (found.statistic, found.n, found.status) == (7.0, 50, "tested")
    assert found.p_value == pytest.approx((1 + np.sum(null >= 0.95)) / 100)
    assert found.null_mean == pytest.approx(0.5)
    assert found.detectable == pytest.approx(0.95 + 0.8416 * null.std(ddof=1), abs=1e-3)
    missing = not_tested("it is constant", 5)
    assert (missing.status, missing.reason, missing.n) == ("not tested", "it is constant", 5)
    assert np.isnan([missing.statistic, missing.effect, missing.p_value]).all()
