"""Tests of normality: against references, in size, in power."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import hyp1f1, poch
from scipy.stats import binom, norm
from sklearn.datasets import load_iris

from wwdc.errors import ConfigError
from wwdc.stats import normality
from wwdc.stats.normality import energy_normality, henze_zirkler, mean_distance_to_normal

every_test = pytest.mark.parametrize("test", [henze_zirkler, energy_normality])


def rows(seed=0, n=60, dim=3):
    return np.random.default_rng(seed).normal(size=(n, dim))


@pytest.mark.parametrize(
    ("count", "statistic"), [(50, 0.9488453160016664), (150, 2.336394200315432)]
)
def test_henze_zirkler_is_pingouins(count, statistic):
    """pingouin 0.7.0's multivariate_normality of the first rows of iris."""
    found = henze_zirkler(load_iris().data[:count], reps=19)
    assert found.statistic == pytest.approx(statistic, rel=1e-9)


@pytest.mark.parametrize("beta", [None, 0.5])
def test_henze_zirkler_is_its_formula(beta):
    u = rows(n=40) ** 3
    n, d = u.shape
    inverse = np.linalg.inv(np.cov(u.T, bias=True))
    b = beta or ((2 * d + 1) * n / 4) ** (1 / (d + 4)) / np.sqrt(2)
    between = np.array([[(x - y) @ inverse @ (x - y) for y in u] for x in u])
    centre = np.array([(x - u.mean(0)) @ inverse @ (x - u.mean(0)) for x in u])
    expected = (
        np.exp(-(b**2) / 2 * between).sum() / n
        - 2 * (1 + b**2) ** (-d / 2) * np.exp(-(b**2) / (2 * (1 + b**2)) * centre).sum()
        + n * (1 + 2 * b**2) ** (-d / 2)
    )
    found = henze_zirkler(u, beta=beta, reps=19)
    assert found.statistic == pytest.approx(expected, rel=1e-9)
    assert found.effect == pytest.approx((expected - 1) / (n * (1 + 2 * b**2) ** (-d / 2)))


def test_henze_zirkler_is_affine_invariant():
    u = rows() ** 3
    moved = u @ np.random.default_rng(1).normal(size=(3, 3)) * 50 - 9
    a, b = (henze_zirkler(x, reps=39) for x in (u, moved))
    assert a.effect == pytest.approx(b.effect, rel=1e-6)
    assert a.p_value == b.p_value


@pytest.mark.parametrize("dim", [1, 2, 3, 20, 65])
def test_mean_distance_is_the_confluent_function(dim):
    u = np.zeros((5, dim))
    u[:, 0] = [0, 0.1, 1, 3, 6]
    mean = np.sqrt(2) * poch(dim / 2, 0.5)
    expected = mean * hyp1f1(-0.5, dim / 2, -0.5 * u[:, 0] ** 2)
    np.testing.assert_allclose(mean_distance_to_normal(u), expected, rtol=1e-9)


def test_mean_distance_is_the_integral_in_one_dimension():
    expected = quad(lambda z: abs(1.3 - z) * norm.pdf(z), -12, 12, points=[1.3])[0]
    assert mean_distance_to_normal(np.array([[1.3]]))[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("dim", [128, 4096])
def test_mean_distance_holds_in_many_dimensions_and_far_away(dim):
    """√μ (1 − v / 8μ²) of the mean and variance of the squared distance, from its expansion."""
    u = np.zeros((3, dim))
    u[:, 0] = [0, 10, 1e6]
    mean = dim + u[:, 0] ** 2
    variance = 2 * dim + 4 * u[:, 0] ** 2
    expected = np.sqrt(mean) * (1 - variance / (8 * mean**2))
    np.testing.assert_allclose(mean_distance_to_normal(u), expected, rtol=1 / dim**2)


def test_energy_is_its_definition():
    u = rows(n=30, dim=2) * 1.5 + 0.5
    rng = np.random.default_rng(1)
    z, other = rng.normal(size=(2, 20_000, 2))
    to_normal = np.mean([np.linalg.norm(x - z, axis=1).mean() for x in u])
    between = np.linalg.norm(u[:, None] - u, axis=-1)[np.triu_indices(30, 1)].mean()
    expected = 2 * to_normal - np.linalg.norm(z - other, axis=1).mean() - between
    found = energy_normality(u, reps=19)
    assert found.statistic == pytest.approx(expected, abs=0.02)
    assert found.effect == pytest.approx(expected / (2 * to_normal), abs=0.01)


@pytest.mark.parametrize("dim", [2, 16])
@every_test
def test_size(test, dim):
    """Each draw has a null of its own, or all would share the error of one."""
    draws, n = 250, 30
    p = [test(rows(seed + 1000, n, dim), reps=39, seed=seed).p_value for seed in range(draws)]
    rejected = sum(value <= 0.05 for value in p)
    assert binom.ppf(0.005, draws, 0.05) <= rejected <= binom.ppf(0.995, draws, 0.05)


@pytest.mark.parametrize("plant", ["skewed", "tails", "dependent"])
@every_test
def test_power_against_shapes(test, plant):
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(10):
        u = rng.normal(size=(300, 3))
        if plant == "skewed":
            u = rng.exponential(size=(300, 3)) - 1
        elif plant == "tails":
            u = rng.standard_t(3, size=(300, 3)) / np.sqrt(3)
        else:
            u[:, 1] = np.abs(u[:, 1]) * np.sign(u[:, 0])  # margins stay normal
        found += test(u, reps=99).p_value <= 0.05
    assert found >= 9


def test_the_energy_null_is_of_the_base_itself():
    found = energy_normality(rows(n=200, dim=16), reps=199)
    assert abs(found.null_mean) < 0.3 * found.null_sd
    assert 0 < found.effect + 3 * found.null_sd < 6 * found.null_sd


def test_only_energy_sees_another_mean_or_spread():
    u = rows(n=300)
    assert energy_normality(u, reps=99).p_value > 0.05
    for moved in (u + 0.3, u * 1.3):
        assert energy_normality(moved, reps=99).p_value == 0.01
        assert henze_zirkler(moved, reps=99).p_value == henze_zirkler(u, reps=99).p_value


def test_a_smaller_beta_sees_heavy_tails_in_many_dimensions():
    found = {0.15: 0, None: 0}
    for seed in range(6):
        u = np.random.default_rng(seed).standard_t(8, size=(300, 40))
        for beta in found:
            found[beta] += henze_zirkler(u, beta=beta, reps=39).p_value <= 0.05
    assert found[0.15] >= 5
    assert found[None] <= 2


def test_seed_and_subsample():
    u = rows(n=200) ** 3
    a, b, c = (henze_zirkler(u, n_max=50, reps=19, seed=s) for s in (1, 1, 2))
    assert a == b
    assert a.n == 50
    assert a != c


def test_null_is_simulated_once(monkeypatch):
    calls = []
    simulated = normality._simulated
    monkeypatch.setattr(normality, "_simulated", lambda *a: calls.append(a) or simulated(*a))
    for seed in (0, 1):
        henze_zirkler(rows(seed, n=37), reps=21)
        energy_normality(rows(seed, n=37), reps=21)
    assert len(calls) == 2


@every_test
def test_not_tested(test):
    assert test(rows(n=19), reps=19).reason.startswith("there are 19 rows")
    broken = rows()
    broken[3, 1] = np.nan
    assert test(broken, reps=19).reason == "the rows hold values that are not finite"


def test_a_singular_covariance_is_not_tested():
    u = rows()
    twice = np.c_[u, u[:, 0] + u[:, 1]]
    reason = "the covariance of 4 columns is singular in 60 rows"
    assert henze_zirkler(twice, reps=19).reason == reason
    assert henze_zirkler(rows(n=30, dim=30), reps=19).status == "not tested"


def test_beta_is_positive():
    with pytest.raises(ConfigError, match="beta is 0: it must be above 0"):
        henze_zirkler(rows(), beta=0)
