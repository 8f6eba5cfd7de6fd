"""The score of a prediction: against references, and its null and interval put to the test."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score

from wwdc.data.catalogue import Variable
from wwdc.errors import DataError
from wwdc.stats.resampling import group_bootstrap, group_permutations
from wwdc.stats.scores import (
    Prediction,
    Score,
    effect,
    not_tested,
    score_prediction,
    strongest,
)

NUMBER = Variable("number", "continuous")
PHASE = Variable("phase", "circular", 2, "deg", (0.0, 360.0))
TYPE = Variable("type", "categorical", 3)
FEW = {"permutations": 199, "bootstraps": 199}


def prediction(variable, guess, truth, groups=None, chance=0, fold=0):
    guess, truth = (np.asarray(a) for a in (guess, truth))
    if variable.kind in ("continuous", "circular"):
        guess, truth = (a.reshape(len(a), -1) for a in (guess, truth))
    rows = len(truth)
    groups = np.arange(rows) if groups is None else groups
    chance, fold = (np.broadcast_to(a, rows) for a in (chance, fold))
    return Prediction(variable, guess, truth, chance, groups, fold, n_fit=50)


def numbers(rng, objects=200, r2=0.0, views=1, fresh=0.0):
    """A calibrated guess; views repeat guess and truth but for a share *fresh* of variance."""

    def column():
        shared, own = rng.normal(size=(objects, 1)), rng.normal(size=(objects, views))
        return (np.sqrt(1 - fresh) * shared + np.sqrt(fresh) * own).ravel()

    seen, rest = column(), column()
    truth = np.sqrt(r2) * seen + np.sqrt(1 - r2) * rest
    guess = np.sqrt(r2) * seen if r2 else 0.3 * seen
    return prediction(NUMBER, guess, truth, np.repeat(np.arange(objects), views))


def rate(seen, draws):
    """Share seen, and the bounds of the 99 % interval about 5 % of as many draws."""
    low, high = binom.interval(0.99, draws, 0.05)
    return np.mean(seen), low / draws, high / draws


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_a_number_scores_r2(unit):
    rng = np.random.default_rng(0)
    truth = (1e3 + rng.normal(size=300)) * unit
    guess = truth + rng.normal(size=300) * 0.7 * unit
    score = score_prediction(prediction(NUMBER, guess, truth), **FEW)
    assert score.metric == "r2"
    assert score.value == pytest.approx(r2_score(truth, guess), rel=1e-6)
    assert score.accuracy is None


def test_a_circular_variable_scores_r2_of_both_columns():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0.0, 2.0, 300)
    truth, guess = (
        np.stack([np.cos(a), np.sin(a)], 1) for a in (angle, angle + rng.normal(size=300) * 0.2)
    )
    reference = r2_score(truth, guess, multioutput="variance_weighted")
    assert effect(prediction(PHASE, guess, truth)) == pytest.approx(reference)


def test_a_class_scores_skill_over_the_commonest():
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 400, p=[0.6, 0.3, 0.1])
    guess = np.where(rng.uniform(size=400) < 0.5, truth, 0)
    score = score_prediction(prediction(TYPE, guess, truth), **FEW)
    chance = (truth == 0).mean()
    assert score.metric == "skill"
    assert score.accuracy == pytest.approx(accuracy_score(truth, guess))
    assert score.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, guess))
    assert score.value == pytest.approx((score.accuracy - chance) / (1 - chance))


def test_the_ends_of_the_scale():
    truth = np.random.default_rng(0).choice(3, 100)
    assert effect(prediction(TYPE, truth, truth)) == 1.0
    assert effect(prediction(TYPE, np.zeros(100, int), truth)) == 0.0
    assert effect(prediction(NUMBER, truth, truth)) == 1.0
    assert effect(prediction(NUMBER, np.full(100, truth.mean()), truth)) == pytest.approx(0.0)
    assert effect(prediction(NUMBER, -truth, truth)) < -1.0


def test_resampled_scores_are_scores_of_the_resampled_rows():
    given = numbers(np.random.default_rng(0), objects=60, r2=0.5, views=2, fresh=0.3)
    score = score_prediction(given, permutations=19, bootstraps=3, seed=4)

    for counts, value in zip(group_bootstrap(given.groups, 3, 4), score.bootstrap, strict=True):
        rows = np.repeat(np.arange(120), counts[given.groups])
        assert value == pytest.approx(r2_score(given.truth[rows], given.guess[rows]), rel=1e-5)
    for source, value in zip(
        next(group_permutations(given.groups, 19, 4)), score.null, strict=True
    ):
        assert value == pytest.approx(r2_score(given.truth[source], given.guess), rel=1e-5)
    assert score.observed == pytest.approx(score.value)
    assert score.null_mean == pytest.approx(score.null.mean(), rel=1e-5)
    assert score.null_sd == pytest.approx(score.null.std(), rel=1e-4)


def test_skill_is_permuted_and_resampled_in_the_same_way():
    rng = np.random.default_rng(0)
    truth, guess = rng.choice(3, (2, 90))
    given = prediction(TYPE, guess, truth, np.repeat(np.arange(30), 3), chance=1)
    score = score_prediction(given, permutations=5, bootstraps=3, seed=4)

    def skill(a, rows):
        chance = (truth[rows] == 1).mean()
        return ((a[rows] == truth[rows]).mean() - chance) / (1 - chance)

    for counts, value in zip(group_bootstrap(given.groups, 3, 4), score.bootstrap, strict=True):
        assert value == pytest.approx(skill(guess, np.repeat(np.arange(90), counts[given.groups])))
    chance = (truth == 1).mean()
    for source, value in zip(next(group_permutations(given.groups, 5, 4)), score.null, strict=True):
        expected = ((guess == truth[source]).mean() - chance) / (1 - chance)
        assert value == pytest.approx(expected, abs=1e-6)


def test_views_of_an_object_do_not_count_as_objects():
    """Permuting rows would find something in most of the draws where there is nothing."""
    right, wrong = [], []
    for seed in range(300):
        given = numbers(np.random.default_rng(seed), objects=60, views=5, fresh=0.1)
        right.append(score_prediction(given, permutations=99, bootstraps=1).p_value)
        as_rows = prediction(NUMBER, given.guess, given.truth)
        wrong.append(score_prediction(as_rows, permutations=99, bootstraps=1).p_value)
    found, low, high = rate(np.array(right) <= 0.05, 300)
    assert low <= found <= high
    assert np.mean(np.array(wrong) <= 0.05) > 2 * high


def test_the_interval_covers_and_needs_whole_objects():
    """True R² is 0.3; five views of an object say little more than one."""
    covered, by_rows = [], []
    for seed in range(200):
        given = numbers(np.random.default_rng(seed), r2=0.3, views=5, fresh=0.1)
        for given_, hits in (
            (given, covered),
            (prediction(NUMBER, given.guess, given.truth), by_rows),
        ):
            score = score_prediction(given_, permutations=1, bootstraps=299)
            hits.append(score.ci_low <= 0.3 <= score.ci_high)
    assert 0.89 <= np.mean(covered) <= 0.99
    assert np.mean(by_rows) < 0.8


def test_a_higher_level_is_a_wider_interval():
    given = numbers(np.random.default_rng(0), r2=0.3)
    narrow, wide = (score_prediction(given, level=level) for level in (0.8, 0.99))
    assert wide.ci_low < narrow.ci_low < narrow.value < narrow.ci_high < wide.ci_high


@pytest.mark.parametrize("timid", [1.0, 0.01])
def test_an_effect_of_the_detectable_size_is_found_as_often_as_said(timid):
    """Also where the null came from a guess that hardly dares to differ from the mean."""
    null = numbers(np.random.default_rng(1), objects=300)
    null = prediction(NUMBER, timid * null.guess, null.truth)
    r2 = score_prediction(null, bootstraps=1).detectable
    assert 0.01 < r2 < 0.04  # (1.64 + 0.84)² / 300 = 0.02
    found = [
        score_prediction(numbers(np.random.default_rng(seed), 300, r2), **FEW).p_value <= 0.05
        for seed in range(200)
    ]
    assert 0.7 < np.mean(found) < 0.9


def test_a_guess_that_never_varies_tests_nothing():
    truth = np.random.default_rng(0).choice(3, 100)
    for variable, guess in ((NUMBER, 0.3), (NUMBER, truth.mean()), (TYPE, 0)):
        score = score_prediction(prediction(variable, np.full(100, guess), truth), **FEW)
        assert score.p_value == 1.0
        assert np.isnan(score.detectable)


def test_the_same_seed_gives_the_same_score():
    given = numbers(np.random.default_rng(0), r2=0.1)
    a, b, c = (score_prediction(given, seed=seed) for seed in (1, 1, 2))
    assert a.row() == b.row()
    assert (a.null == b.null).all() and (a.bootstrap == b.bootstrap).all()
    assert a.value == c.value and a.sample != c.sample and (a.null != c.null).any()


def test_a_score_is_rebuilt_from_its_row_and_arrays():
    score = score_prediction(numbers(np.random.default_rng(0), r2=0.1), **FEW)
    arrays = {name: getattr(score, name) for name in ("observed", "null", "bootstrap")}
    assert all(array.dtype == np.float32 for array in arrays.values())
    again = Score(**score.row(), **arrays)
    assert strongest({"a": again}).row() == strongest({"a": score}).row()


# The strongest of several


def probes(seed, r2s, objects=300):
    """Scores of probes that read these shares of one variable, each from inputs of its own."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(len(r2s) + 1, objects))
    truth = np.sqrt(r2s) @ seen[:-1] + np.sqrt(1 - np.sum(r2s)) * seen[-1]
    guesses = [np.sqrt(r2) * x if r2 else 0.2 * x for r2, x in zip(r2s, seen, strict=False)]
    return {
        str(k): score_prediction(prediction(NUMBER, guess, truth), **FEW)
        for k, guess in enumerate(guesses)
    }


def test_the_strongest_is_the_highest_with_its_draws():
    scores = probes(0, [0.1, 0.4, 0.0])
    best = strongest(scores)
    assert best.strongest == "1"
    assert best.value == scores["1"].value
    assert best.p_value == 1 / 200
    assert best.ci_low == np.quantile(scores["1"].bootstrap, 0.025 / 3)
    assert best.n == 300 and best.n_fit == 50


def test_one_probe_alone_is_the_strongest():
    (score,) = probes(0, [0.1]).values()
    best = strongest({"only": score})
    for name in ("value", "ci_low", "ci_high", "p_value"):
        assert getattr(best, name) == getattr(score, name)


def test_choosing_the_strongest_of_many_is_paid_for():
    scores = [probes(seed, [0.0] * 6, objects=100) for seed in range(200)]
    found, low, high = rate([strongest(s).p_value <= 0.05 for s in scores], 200)
    assert low <= found <= high
    least = [min(score.p_value for score in s.values()) <= 0.05 for s in scores]
    assert np.mean(least) > 2 * high


def test_the_lower_limit_allows_for_several_probes_that_are_alike():
    true = 0.2
    found = [strongest(probes(seed, [true] * 4)).ci_low > true for seed in range(100)]
    assert np.sum(found) <= binom.ppf(0.995, 100, 0.05)  # 2; of the greatest's own limit, 51


def test_nothing_is_shown_to_be_nothing_and_the_margin_is_not():
    assert strongest(probes(0, [0.0, 0.0], objects=2_000), margin=0.05).p_equivalence <= 0.01
    assert strongest(probes(0, [0.0, 0.1], objects=2_000), margin=0.05).p_equivalence > 0.9
    assert strongest(probes(0, [0.0, 0.0], objects=30), margin=0.05).p_equivalence > 0.05


def test_an_effect_at_the_margin_is_called_nothing_at_most_as_often_as_allowed():
    found = [
        strongest(probes(seed, [0.05, 0.0]), margin=0.05).p_equivalence <= 0.05
        for seed in range(300)
    ]
    assert np.mean(found) <= binom.ppf(0.995, 300, 0.05) / 300


def test_a_probe_that_could_not_be_tested_is_left_out():
    scores = probes(0, [0.3])
    none = not_tested(NUMBER, "it is constant (1) in the rows to be scored")
    assert strongest({"none": none, **scores}).value == scores["0"].value
    best = strongest({"none": none, "other": none})
    assert best.status == "not tested" and "constant" in best.reason
    assert np.isnan(best.p_equivalence)


def test_scores_of_different_rows_do_not_combine():
    (a,), (b,) = probes(0, [0.3]).values(), probes(1, [0.3]).values()
    with pytest.raises(DataError, match="probe 'b' is not of the same"):
        strongest({"a": a, "b": b})
    with pytest.raises(DataError, match="no score"):
        strongest({})


def test_a_sample_of_one_class_is_no_evidence():
    truth = np.arange(30) // 29
    score = score_prediction(prediction(TYPE, truth, truth), **FEW)
    share = np.isnan(score.bootstrap).mean()
    assert 0.2 < share < 0.5  # e⁻¹ of the samples miss one object
    assert strongest({"a": score}, margin=1.5).p_equivalence >= share
