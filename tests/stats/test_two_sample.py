"""Energy, MMD and classifier tests of groups: against references, in size, in power."""

from itertools import combinations

import dcor
import numpy as np
import pytest
from scipy.stats import binom, energy_distance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from wwdc.data.catalogue import Variable
from wwdc.stats.two_sample import (
    c2st,
    energy_two_sample,
    groups_of,
    mmd_two_sample,
    with_normal_rows,
)

every_test = pytest.mark.parametrize("test", [energy_two_sample, mmd_two_sample, c2st])
SIZES = {2: (30, 50), 3: (20, 30, 40)}


def rows(seed=0, n=60, dim=3):
    return np.random.default_rng(seed).normal(size=(n, dim))


def grouped(groups):
    """Rows whose mean rises with the group, in no order."""
    labels = np.random.default_rng(99).permutation(np.repeat(range(groups), SIZES[groups]))
    return rows(n=len(labels)) + labels[:, None], labels


def energy_of(x, y):
    return dcor.energy_distance(x, y, estimation_stat=dcor.EstimationStatistic.U_STATISTIC)


def mmd_of(x, y, gamma):
    """Gretton et al. 2012, A kernel two-sample test, equation 3."""
    inside = [rbf_kernel(z, gamma=gamma) for z in (x, y)]
    means = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in inside]
    return sum(means) - 2 * rbf_kernel(x, y, gamma=gamma).mean()


def over_pairs(distance, u, labels):
    """Mean over pairs of groups, each weighted with its pairs of rows."""
    parts = [u[labels == g] for g in np.unique(labels)]
    pairs = list(combinations(parts, 2))
    weights = [len(a) * len(b) for a, b in pairs]
    return np.average([distance(a, b) for a, b in pairs], weights=weights)


@pytest.mark.parametrize("groups", [2, 3])
def test_energy_is_dcors(groups):
    u, labels = grouped(groups)
    found = energy_two_sample(u, labels, permutations=19)
    assert found.statistic == pytest.approx(over_pairs(energy_of, u, labels), rel=1e-9)


def test_energy_is_scipys_but_for_the_bias():
    u, labels = grouped(2)
    x, y = u[labels == 0, 0], u[labels == 1, 0]
    found = energy_two_sample(u[:, :1], labels, permutations=19).statistic
    bias = sum(np.abs(z[:, None] - z).mean() / (len(z) - 1) for z in (x, y))
    assert found + bias == pytest.approx(energy_distance(x, y) ** 2, rel=1e-9)


@pytest.mark.parametrize("groups", [2, 3])
def test_mmd_is_its_definition(groups):
    u, labels = grouped(groups)
    apart = np.sqrt(((u[:, None] - u) ** 2).sum(-1))[np.triu_indices(len(u), 1)]
    gamma = 0.5 / np.median(apart) ** 2
    found = mmd_two_sample(u, labels, permutations=19)
    expected = over_pairs(lambda x, y: mmd_of(x, y, gamma), u, labels)
    assert found.statistic == pytest.approx(expected, rel=1e-9)


def test_classifier_is_scored_on_rows_it_has_not_seen():
    labels = np.repeat([0, 1], 30)  # of equal size: balanced accuracy is accuracy
    u = rows() + 0.5 * labels[:, None]
    found = c2st(u, labels, classifier=LogisticRegression(), permutations=19, seed=3)
    a, b, one, two = train_test_split(u, labels, test_size=0.5, random_state=3, stratify=labels)
    scaler = StandardScaler().fit(a)
    model = LogisticRegression().fit(scaler.transform(a), one)
    accuracy = model.score(scaler.transform(b), two)
    assert found.statistic == pytest.approx(accuracy)
    assert found.effect == pytest.approx(2 * accuracy - 1)


@pytest.mark.parametrize(
    ("test", "tolerance"), [(energy_two_sample, 0.1), (mmd_two_sample, 0.1), (c2st, 0.2)]
)
@pytest.mark.parametrize("groups", [2, 3])
def test_effect_is_zero_in_the_mean_of_the_null(test, tolerance, groups):
    u, labels = grouped(groups)
    found = test(u, labels, permutations=999)
    assert abs(found.null_mean) < tolerance * found.null_sd
    assert found.p_value == 0.001
    assert found.effect > found.detectable > 0


@every_test
def test_groups_that_lie_apart_have_the_largest_effect(test):
    u, labels = grouped(2)
    assert test(u + 1e4 * labels[:, None], labels, permutations=19).effect > 0.99 * (
        1 if test is c2st else 0.5
    )


@pytest.mark.parametrize("groups", [2, 3])
@every_test
def test_size(test, groups):
    draws = 600 if test is not c2st else 250
    rejected = 0
    for seed in range(draws):
        labels = np.random.default_rng(seed + 10_000).integers(0, groups, 40)
        found = test(rows(seed, 40), labels, permutations=99, seed=seed)
        assert found.status == "tested"
        rejected += found.p_value <= 0.05
    assert rejected <= binom.ppf(0.995, draws, 0.05)
    if test is not c2st:  # accuracies have ties, which count against it
        assert rejected >= binom.ppf(0.005, draws, 0.05)


@every_test
@pytest.mark.parametrize("plant", ["shift", "spread"])
def test_power(test, plant):
    found = 0
    for seed in range(15):
        labels = np.repeat([0, 1], 100)
        u = rows(seed, 200)
        u = u + 0.7 * labels[:, None] if plant == "shift" else u * (1 + labels[:, None])
        found += test(u, labels, permutations=39, seed=seed).p_value <= 0.05
    assert found >= 13


@every_test
def test_a_rare_group_is_seen(test):
    labels = (np.arange(300) % 15 == 0).astype(int)
    found = test(rows(n=300) + 2.0 * labels[:, None], labels, permutations=99)
    assert found.p_value == 0.01


@every_test
def test_seed_and_subsample(test):
    labels = np.repeat([0, 1], 100)
    a, b, c = (test(rows(n=200), labels, n_max=50, permutations=19, seed=s) for s in (1, 1, 2))
    assert a == b
    assert a.n == 50
    assert a != c


@every_test
def test_rows_of_no_group_are_left_out(test):
    u, labels = grouped(2)
    more, gaps = np.r_[u, u[:3] + 99], np.r_[labels, -1, -1, -1]
    assert test(more, gaps, permutations=19) == test(u, labels, permutations=19)


@every_test
@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.zeros(60, int), "all rows are in one group (0)"),
        (np.full(60, -1), "there are 0 rows with a valid value: 20 are needed"),
        (np.r_[np.zeros(59, int), 4], "group 4 has one row of 60: two are needed"),
    ],
)
def test_not_tested(test, labels, reason):
    found = test(rows(), labels, permutations=19)
    assert (found.status, found.reason) == ("not tested", reason)


def test_rows_that_do_not_differ_are_not_tested():
    found = energy_two_sample(np.ones((60, 2)), np.arange(60) % 2, permutations=19)
    assert found.reason == "the rows are all the same"


def test_groups_of_numbers_are_halves():
    number = Variable("b", "continuous")
    assert groups_of(number, np.arange(10.0)).tolist() == [0] * 5 + [1] * 5
    assert groups_of(number, np.array([0.0, 1, 1, 1])).tolist() == [0, 1, 1, 1]
    assert groups_of(number, np.array([0.0, 0, 0, 1])).tolist() == [0, 0, 0, 1]
    assert groups_of(number, np.array([np.nan, np.nan])).tolist() == [-1, -1]


def test_groups_of_angles_lie_either_side_of_their_mean():
    angle = Variable("angle", "circular", 2, "deg", (-180.0, 180.0))
    degrees = np.array([170.0, 175, 178, -178, -175, -170])  # about ±180
    assert groups_of(angle, degrees).tolist() == [0, 0, 0, 1, 1, 1]


def test_groups_of_classes_are_these():
    digit = Variable("digit", "categorical", 10)
    assert groups_of(digit, np.array([3.0, 0, np.nan, 12, 9])).tolist() == [3, 0, -1, -1, 9]


def test_against_normal_rows():
    normal = rows(n=200)
    assert energy_two_sample(*with_normal_rows(normal), permutations=99).p_value > 0.05
    assert energy_two_sample(*with_normal_rows(normal + 1), permutations=99).p_value == 0.01
    assert (with_normal_rows(normal, 1)[0] == with_normal_rows(normal, 1)[0]).all()
