"""The generalised covariance measure: against its definition, in size, in power."""

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

from wwdc.data.catalogue import Variable
from wwdc.stats.conditional import SmoothRegressor, conditional_independence

NUMBER = Variable("b", "continuous")
DIGIT = Variable("digit", "categorical", 3)


def drawn(seed=0, n=100, dim=3, common=np.sin):
    """Rows and a number that have only a function of what is given in common."""
    rng = np.random.default_rng(seed)
    given = rng.normal(size=(n, 2))
    signal = common(given[:, 0])
    u = rng.normal(size=(n, dim))
    u[:, 0] += signal
    return u, signal + 0.5 * rng.normal(size=n), given


def test_statistic_is_its_definition():
    """Shah & Peters 2020, section 3.1, for one column and one number."""
    u, y, given = drawn(dim=1)
    cv = KFold(5, shuffle=True, random_state=4)
    eps, xi = (
        v - cross_val_predict(LinearRegression(), given, v, cv=cv)
        for v in ((u[:, 0] - u.mean()) / u.std(), (y - y.mean()) / y.std())
    )
    product = eps * xi
    t = np.sqrt(100) * product.mean() / np.sqrt((product**2).mean() - product.mean() ** 2)
    found = conditional_independence(
        u, NUMBER, y, given, regressor=LinearRegression(), bootstraps=4999, seed=4
    )
    assert found.statistic == pytest.approx(abs(t), rel=1e-5)
    assert found.effect == pytest.approx(abs(np.corrcoef(eps, xi)[0, 1]), rel=1e-5)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(t)), abs=0.02)


@pytest.mark.parametrize("common", [np.zeros_like, np.asarray, np.sin], ids=["no", "line", "sine"])
def test_size(common):
    draws, rejected = 200, 0
    for seed in range(draws):
        u, y, given = drawn(seed, common=common)
        regressor = SmoothRegressor((1.0, 0.5)) if common is np.sin else LinearRegression()
        found = conditional_independence(
            u, NUMBER, y, given, regressor=regressor, folds=2, bootstraps=99, seed=seed
        )
        rejected += found.p_value <= 0.05
    assert binom.ppf(0.005, draws, 0.05) <= rejected <= binom.ppf(0.995, draws, 0.05)


def test_what_is_given_explains_what_is_seen_without_it():
    u, y, given = drawn(n=400)
    marginal = conditional_independence(u, NUMBER, y, given[:, :0], bootstraps=199)
    conditional = conditional_independence(u, NUMBER, y, given, bootstraps=199)
    assert marginal.p_value == 0.005
    assert marginal.effect > 0.4
    assert conditional.p_value > 0.05
    assert conditional.effect < conditional.detectable


@pytest.mark.parametrize("target", [NUMBER, DIGIT])
def test_power(target):
    found = 0
    for seed in range(10):
        u, y, given = drawn(seed, n=200)
        y = y + 0.3 * u[:, 2]
        y = np.digitize(y, [-0.5, 0.5]) if target is DIGIT else y
        found += conditional_independence(u, target, y, given, bootstraps=39).p_value <= 0.05
    assert found >= 8


def test_unequal_spread_is_no_dependence():
    """The products' own spread is used: their variance depends on what is given."""
    draws, rejected = 200, 0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        given = rng.normal(size=(200, 1))
        u, y = rng.normal(size=(2, 200, 1)) * given**2
        found = conditional_independence(
            u, NUMBER, y[:, 0], given, regressor=LinearRegression(), bootstraps=99, seed=seed
        )
        rejected += found.p_value <= 0.05
    assert rejected <= binom.ppf(0.995, draws, 0.05)


def test_regressor_finds_smooth_functions_of_each_output():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(600, 2))
    truth = np.c_[x[:, 0], np.sin(3 * x[:, 0]), x[:, 0] * x[:, 1], np.zeros(600)]
    model = SmoothRegressor().fit(x[:500], truth[:500] + 0.3 * rng.normal(size=(500, 4)))
    error = np.square(model.predict(x[500:]) - truth[500:]).mean(0)
    assert (error < 0.02).all()


def test_seed_and_subsample():
    u, y, given = drawn(n=200)
    a, b, c = (
        conditional_independence(u, NUMBER, y, given, n_max=80, bootstraps=19, seed=s)
        for s in (1, 1, 2)
    )
    assert a == b
    assert a.n == 80
    assert a.statistic != c.statistic


def test_rows_not_known_are_left_out():
    u, y, given = drawn()
    y[:5], given[5:8, 1] = np.nan, np.nan
    assert conditional_independence(u, NUMBER, y, given, bootstraps=19).n == 92


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (np.ones(100), "it is constant (1)"),
        (np.full(100, np.nan), "there are 0 rows with a valid value: 50 are needed"),
        (np.r_[np.arange(49.0), np.full(51, np.nan)], "there are 49 rows"),
        (drawn()[2][:, 1] * 2 + 1, "the kept variables say all of it"),
    ],
)
def test_not_tested(y, reason):
    u, _, given = drawn()
    found = conditional_independence(u, NUMBER, y, given, bootstraps=19)
    assert found.status == "not tested"
    assert reason in found.reason
