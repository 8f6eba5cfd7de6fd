"""HSIC and distance correlation: against references, in size, in power."""

import dcor
import numpy as np
import pytest
from scipy.stats import binom, ortho_group
from sklearn.metrics.pairwise import rbf_kernel

from wwdc.data.catalogue import Variable
from wwdc.stats.independence import distance_correlation, hsic

NUMBER = Variable("b", "continuous")
ANGLE = Variable("angle", "circular", 2, "deg", (-180.0, 180.0))
DIGIT = Variable("digit", "categorical", 4)
FLAG = Variable("barred", "flag")
every_test = pytest.mark.parametrize("test", [hsic, distance_correlation])


def rejections_at_five_percent(draws):
    """Between these the number of rejections lies with probability 0.99, if the size is 0.05."""
    return binom.ppf(0.005, draws, 0.05), binom.ppf(0.995, draws, 0.05)


def rows(seed=0, n=60, dim=3):
    return np.random.default_rng(seed).normal(size=(n, dim))


def values(variable, u, seed=1):
    """Values of a variable that depend on u a little."""
    mixed = u[:, 0] + np.random.default_rng(seed).normal(size=len(u))
    if variable is NUMBER:
        return mixed
    if variable is ANGLE:
        return (60 * mixed + 180) % 360 - 180
    return np.digitize(mixed, [-1, 0, 1]) if variable is DIGIT else (mixed > 0.5).astype(int)


def numbers(variable, y):
    """What the references take distances of: for classes 0.707 × one-hot, at distance 1."""
    if variable is ANGLE:
        return np.c_[np.cos(np.deg2rad(y)), np.sin(np.deg2rad(y))]
    return y[:, None] if variable is NUMBER else np.eye(4)[y] / np.sqrt(2)


@pytest.mark.parametrize("variable", [NUMBER, ANGLE, DIGIT, FLAG])
def test_distance_correlation_is_dcors(variable):
    u = rows()
    y = values(variable, u)
    found = distance_correlation(u, variable, y, permutations=19)
    encoded = numbers(variable, y)
    assert found.statistic == pytest.approx(dcor.u_distance_covariance_sqr(u, encoded), rel=1e-5)
    assert found.effect == pytest.approx(dcor.u_distance_correlation_sqr(u, encoded), rel=1e-5)
    assert found.n == 60


def unbiased_hsic(k, m):
    """Song et al. 2012, Feature selection via dependence maximization, equation 4."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    one = np.ones(n)
    total = np.trace(k @ m) - 2 / (n - 2) * one @ k @ m @ one
    return (total + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))) / (n * (n - 3))


def kernel(x):
    apart = np.sqrt(((x[:, None] - x) ** 2).sum(-1))
    return rbf_kernel(x, gamma=0.5 / np.median(apart[np.triu_indices(len(x), 1)]) ** 2)


@pytest.mark.parametrize("variable", [NUMBER, ANGLE, DIGIT, FLAG])
def test_hsic_is_its_definition(variable):
    u = rows()
    y = values(variable, u)
    k = kernel(u)
    discrete = variable in (DIGIT, FLAG)
    m = (y[:, None] == y).astype(float) if discrete else kernel(numbers(variable, y))
    found = hsic(u, variable, y, permutations=19)
    assert found.statistic == pytest.approx(unbiased_hsic(k, m), rel=1e-5)
    scale = np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(m, m))
    assert found.effect == pytest.approx(unbiased_hsic(k, m) / scale, rel=1e-5)


@pytest.mark.parametrize("variable", [NUMBER, DIGIT])
@every_test
def test_size(test, variable):
    draws, rejected = 600, 0
    for seed in range(draws):
        u = rows(seed, n=30)
        y = values(variable, rows(seed + 10_000, n=30), seed + 20_000)
        rejected += test(u, variable, y, permutations=39, seed=seed).p_value <= 0.05
    low, high = rejections_at_five_percent(draws)
    assert low <= rejected <= high


@every_test
@pytest.mark.parametrize(
    "plant", [lambda x: x, lambda x: x**2 - 1, lambda x: np.abs(x)], ids=["linear", "square", "abs"]
)
def test_power(test, plant):
    found = 0
    for seed in range(20):
        u = rows(seed, n=150)
        y = plant(u[:, 0]) + 0.5 * rows(seed + 1000, n=150)[:, 0]
        result = test(u, NUMBER, y, permutations=39, seed=seed)
        found += result.p_value <= 0.05
    assert found >= 18


@every_test
@pytest.mark.parametrize("variable", [ANGLE, DIGIT, FLAG])
def test_every_kind_is_seen(test, variable):
    u = rows(n=300)
    found = test(u, variable, values(variable, u), permutations=99)
    assert found.p_value == 0.01
    assert found.effect > found.detectable
    assert abs(found.null_mean) < 3 * found.null_sd


@every_test
def test_noise_has_no_effect_and_identity_has_all(test):
    u = rows(n=400, dim=1)
    assert test(u, NUMBER, 3 * u[:, 0] + 7, permutations=19).effect == pytest.approx(1, abs=1e-4)
    noise = test(u, NUMBER, rows(5, n=400)[:, 0], permutations=19)
    assert abs(noise.effect) < noise.detectable < 0.1


@every_test
def test_a_rotation_changes_nothing(test):
    u = rows(dim=5) * [1, 2, 3, 4, 5]
    y = values(NUMBER, u)
    turned = u @ ortho_group.rvs(5, random_state=0) + 3
    first, second = (test(x, NUMBER, y, permutations=19) for x in (u, turned))
    assert first.effect == pytest.approx(second.effect, rel=1e-9)
    assert first.p_value == second.p_value


@every_test
def test_a_circular_variable_has_no_ends(test):
    u = rows(n=100)
    y = values(ANGLE, u)
    turned = (y + 90 + 180) % 360 - 180
    first, second = (test(u, ANGLE, angle, permutations=19) for angle in (y, turned))
    assert first.effect == pytest.approx(second.effect, rel=1e-4)


@every_test
def test_seed_and_subsample(test):
    u = rows(n=200)
    y = values(NUMBER, u)
    a, b, c = (test(u, NUMBER, y, n_max=50, permutations=19, seed=s) for s in (1, 1, 2))
    assert a == b
    assert a.n == 50
    assert a.statistic != c.statistic


@every_test
def test_rows_without_a_value_are_left_out(test):
    u = rows()
    y = values(NUMBER, u)
    gaps = np.r_[y, np.nan, np.inf]
    more = np.r_[u, u[:2]]
    assert test(more, NUMBER, gaps, permutations=19) == test(u, NUMBER, y, permutations=19)


@every_test
@pytest.mark.parametrize(
    ("variable", "y", "reason"),
    [
        (NUMBER, np.ones(60), "it is constant (1)"),
        (NUMBER, np.full(60, np.nan), "there are 0 rows with a valid value: 20 are needed"),
        (NUMBER, np.r_[np.arange(19.0), np.full(41, np.nan)], "there are 19 rows"),
        (ANGLE, np.where(np.arange(60) % 2, 180.0, -180.0), "it is constant (-180)"),
        (Variable("id", "categorical", 60), np.arange(60), "equally far apart"),
    ],
)
def test_not_tested(test, variable, y, reason):
    found = test(rows(), variable, y, permutations=19)
    assert found.status == "not tested"
    assert reason in found.reason
    assert np.isnan(found.p_value)


@every_test
def test_numbers_that_hardly_differ_are_no_constant(test):
    y = 2.46e6 + 1e-3 * np.random.default_rng(0).normal(size=60)  # such as a date
    assert test(rows(), NUMBER, y, permutations=19).status == "tested"
