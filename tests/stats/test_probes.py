"""Probes from end to end: what is planted is read, nothing else is, and bad input is named."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.errors import ConfigError, DataError
from wwdc.stats import probes, scores
from wwdc.stats.estimators import MLPClassifier, MLPRegressor
from wwdc.stats.probes import Probe, Rows, cross_validated, predict, run_probe, strongest

D = 4
KINDS = Catalogue(
    (
        Variable("number", "continuous"),
        Variable("phase", "circular", 2, "deg", (0.0, 360.0)),
        Variable("type", "categorical", 4),
        Variable("flag", "flag"),
    )
)
LINEAR = Probe(Ridge(), LogisticRegression())
NEIGHBOURS = Probe(KNeighborsRegressor(10), KNeighborsClassifier(10))
BOOSTING = Probe(
    HistGradientBoostingRegressor(max_iter=30), HistGradientBoostingClassifier(max_iter=30)
)
PERCEPTRON = Probe(
    MLPRegressor(hidden=(32,), batch_size=32), MLPClassifier(hidden=(32,), batch_size=32)
)
ALL = {"linear": LINEAR, "knn": NEIGHBOURS, "boosting": BOOSTING, "mlp": PERCEPTRON}
FEW = {"permutations": 99, "bootstraps": 99}


def rows(objects=300, seed=0, planted=(), views=1, first=0):
    """Rows and a catalogue constant per object; *planted* variables follow from x, no others."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(objects, D))
    noise = rng.normal(size=(len(KINDS), objects, D))
    of = {name: seen if name in planted else noise[k] for k, name in enumerate(KINDS.names)}
    table = {
        "number": of["number"][:, 0] + 0.3 * rng.normal(size=objects),
        "phase": np.degrees(np.arctan2(*of["phase"][:, :2].T)) % 360.0,
        "type": (of["type"][:, :2] > 0) @ np.array([1, 2]),
        "flag": of["flag"][:, 0] > 0,
    }
    x = np.repeat(seen, views, axis=0) + 0.1 * rng.normal(size=(objects * views, D)) * (views > 1)
    table = {name: np.repeat(column, views) for name, column in table.items()}
    return Rows(x.astype(np.float32), table, first + np.repeat(np.arange(objects), views))


def pair(objects=300, seed=0, **given):
    return rows(objects, 2 * seed, **given), rows(objects, 2 * seed + 1, first=objects, **given)


def edited(given, name, column):
    return dataclasses.replace(given, table={**given.table, name: column})


@pytest.mark.parametrize("probe", ALL.values(), ids=ALL)
@pytest.mark.parametrize("planted", KINDS.names)
def test_what_is_planted_is_read_and_nothing_else(probe, planted):
    found = {s.variable: s for s in run_probe(probe, *pair(planted=[planted]), KINDS, **FEW)}
    assert list(found) == list(KINDS.names)
    score = found.pop(planted)
    assert score.value > 0.5
    assert score.p_value == 0.01
    assert score.ci_low <= score.value <= score.ci_high
    assert (score.n, score.n_fit, score.status) == (300, 300, "tested")
    assert all(s.value < 0.2 and s.p_value > 0.01 for s in found.values()), found


@pytest.mark.parametrize("kind", ["number", "flag"])
def test_a_score_is_that_of_the_estimator_itself(kind):
    fit, score = pair(planted=[kind])
    found = {s.variable: s for s in run_probe(LINEAR, fit, score, KINDS, **FEW)}[kind]
    scaled = StandardScaler().fit(fit.x)
    x, x_test = scaled.transform(fit.x), scaled.transform(score.x)
    if kind == "number":
        model = Ridge().fit(x, fit.table[kind])
        assert found.value == pytest.approx(r2_score(score.table[kind], model.predict(x_test)))
    else:
        model = LogisticRegression().fit(x, fit.table[kind])
        accuracy = accuracy_score(score.table[kind], model.predict(x_test))
        assert found.accuracy == pytest.approx(accuracy)


@pytest.mark.parametrize(
    "regressor",
    [LinearRegression(), make_pipeline(StandardScaler(), Ridge()), BOOSTING.regressor],
    ids=["together", "pipeline", "one by one"],
)
def test_numbers_predicted_together_are_as_if_alone(regressor):
    fit, score = pair(planted=["number", "phase"])
    probe = Probe(regressor, LINEAR.classifier)
    together = predict(probe, fit, score, KINDS[:2])
    for variable in KINDS[:2]:
        alone = predict(probe, fit, score, Catalogue((variable,)))[variable.name]
        assert together[variable.name].guess.shape == (300, variable.width)
        assert np.allclose(together[variable.name].guess, alone.guess, atol=1e-5)


def test_the_estimators_given_stay_unfitted():
    probe = Probe(Ridge(), LogisticRegression())
    run_probe(probe, *pair(), KINDS, **FEW)
    assert not hasattr(probe.regressor, "coef_") and not hasattr(probe.classifier, "coef_")


def test_units_and_offsets_of_inputs_and_numbers_do_not_matter():
    fit, score = pair(planted=["number"])
    (plain,) = run_probe(NEIGHBOURS, fit, score, KINDS[:1], **FEW)
    stretch = np.array([1e-3, 1.0, 10.0, 1e3])
    fit, score = (
        edited(Rows(r.x * stretch + 5, r.table, r.groups), "number", r.table["number"] * 1e9 - 7)
        for r in (fit, score)
    )
    (stretched,) = run_probe(NEIGHBOURS, fit, score, KINDS[:1], **FEW)
    assert stretched.value == pytest.approx(plain.value, abs=0.01)


def test_the_same_seed_gives_the_same_scores():
    a, b, c = (run_probe(PERCEPTRON, *pair(100), KINDS, seed=seed, **FEW) for seed in (1, 1, 2))
    assert [s.row() for s in a] == [s.row() for s in b]
    assert [s.value for s in a] == [s.value for s in c]
    assert [s.ci_low for s in a] != [s.ci_low for s in c]


def test_probes_combine():
    fit, score = pair(planted=["phase"])
    number = score.x[:, 0] * score.x[:, 1], fit.x[:, 0] * fit.x[:, 1]
    fit, score = edited(fit, "number", number[1]), edited(score, "number", number[0])
    found = {name: run_probe(probe, fit, score, KINDS, **FEW) for name, probe in ALL.items()}
    best = [
        strongest(dict(zip(found, of_one, strict=True)))
        for of_one in zip(*found.values(), strict=True)
    ]
    assert best[0].strongest != "linear" and best[0].value > 0.4
    assert [one.p_value <= 0.05 for one in best[:2]] == [True, True]
    assert best[1].value == max(of_one[1].value for of_one in found.values())


# Size and power, from fit to p-value


@pytest.mark.parametrize("name", ["linear", "knn"])
def test_the_size_is_as_said_also_with_views(name):
    p = np.array(
        [
            [s.p_value for s in run_probe(ALL[name], *pair(60, seed, views=3), KINDS, **FEW)]
            for seed in range(200)
        ]
    )
    low, high = binom.interval(0.99 ** (1 / 4), 200, 0.05)  # four kinds together
    found = (p <= 0.05).sum(0)
    assert (found <= high).all(), found
    assert (found[:2] >= low).all(), found  # ties of classes can only make it smaller


def test_views_taken_for_objects_find_what_is_not_there():
    """The trap: labels are constant per object, its views look alike."""
    found = 0
    for seed in range(100):
        fit, score = pair(60, seed, views=5)
        score = dataclasses.replace(score, groups=1_000 + np.arange(300))
        found += run_probe(NEIGHBOURS, fit, score, KINDS[:1], **FEW)[0].p_value <= 0.05
    assert found > binom.ppf(0.9999, 100, 0.05)


def test_a_weak_effect_is_found_in_most_draws():
    found = []
    for seed in range(60):
        fit, score = pair(200, seed)
        fit, score = (
            edited(r, "number", 0.35 * r.x[:, 0] + r.table["number"]) for r in (fit, score)
        )
        found.append(run_probe(LINEAR, fit, score, KINDS[:1], **FEW)[0].p_value <= 0.05)
    assert np.mean(found) > 0.9


def test_views_of_one_object_on_both_sides_are_refused():
    fit, score = pair(30)
    mixed = dataclasses.replace(score, groups=score.groups - 1)
    with pytest.raises(DataError, match="1 objects, such as 29"):
        run_probe(LINEAR, fit, mixed, KINDS)


# Cross-validation


def test_every_object_is_scored_once_by_probes_that_did_not_see_it():
    given = rows(100, planted=["number", "flag"], views=2)
    found = {s.variable: s for s in cross_validated(LINEAR, given, KINDS, folds=4, **FEW)}
    assert list(found) == list(KINDS.names)
    assert (found["number"].n, found["number"].n_fit) == (100, 75)
    assert found["number"].value > 0.8 and found["flag"].value > 0.7
    assert len(found["number"].observed) == 4 and len(found["number"].null) == 4 * 99
    assert found["number"].p_value == pytest.approx(0.02)
    assert found["type"].value < 0.1
    copies = dataclasses.replace(given, x=given.groups[:, None].astype(np.float32))
    nearest = Probe(KNeighborsRegressor(1), KNeighborsClassifier(1))
    assert cross_validated(nearest, copies, KINDS[:1], **FEW)[0].value < 0.2


def test_cross_validation_keeps_its_size_though_folds_share_labels(monkeypatch):
    """All folds as one null would find too much: each pair of objects tells twice."""
    right, wrong = [], []

    def both(prediction, **given):
        pooled = dataclasses.replace(prediction, fold=np.zeros_like(prediction.fold))
        wrong.append(scores.score_prediction(pooled, **given).p_value)
        return scores.score_prediction(prediction, **given)

    monkeypatch.setattr(probes, "score_prediction", both)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x, number = rng.normal(size=(200, 20)).astype(np.float32), rng.normal(size=200)
        given = Rows(x, {"number": number}, np.arange(200))
        (score,) = cross_validated(
            LINEAR, given, KINDS[:1], seed=seed, permutations=39, bootstraps=1
        )
        right.append(score.p_value)
    high = binom.ppf(0.99, 300, 0.05)
    assert np.sum(np.array(right) <= 0.05) <= high
    assert np.sum(np.array(wrong) <= 0.05) > high


def test_cross_validated_scores_combine():
    given = rows(100, planted=["number"])
    found = {name: cross_validated(ALL[name], given, KINDS, **FEW)[0] for name in ("linear", "knn")}
    best = strongest(found)
    assert best.value > 0.8 and best.p_value == pytest.approx(0.02)


def test_too_few_folds_or_objects_are_refused():
    with pytest.raises(ConfigError, match="1 folds"):
        cross_validated(LINEAR, rows(30), KINDS, folds=1)
    with pytest.raises(DataError, match="30 objects cannot be split into 31"):
        cross_validated(LINEAR, rows(30), KINDS, folds=31)


# Bad input


def test_unknown_values_are_left_out_for_their_variable_alone():
    fit, score = pair(planted=["number", "phase", "type"])
    number, phase, kind = (score.table[n].astype(float) for n in ("number", "phase", "type"))
    number[:50], phase[:30], kind[:20], kind[20:40] = np.nan, 400.0, 7.0, 0.5
    gaps = score
    for name, column in (("number", number), ("phase", phase), ("type", kind)):
        gaps = edited(gaps, name, column)
    found = {s.variable: s for s in run_probe(LINEAR, fit, gaps, KINDS, **FEW)}
    assert {name: s.n for name, s in found.items()} == {
        **{"number": 250, "phase": 270, "type": 260, "flag": 300}
    }
    known = score.take(np.arange(50, 300))
    (alone,) = run_probe(LINEAR, fit, known, KINDS[:1], **FEW)
    assert alone.value == pytest.approx(found["number"].value)
    assert alone.p_value == found["number"].p_value


@pytest.mark.parametrize(
    ("name", "column", "reason"),
    [
        ("number", np.full(300, 2.5), "constant (2.5) in the rows to be"),
        ("number", np.full(300, np.nan), "no valid value in the rows to be"),
        ("number", np.where(np.arange(300) < 19, np.arange(300), np.nan), "known of 19 objects"),
        ("number", np.array(["red"] * 300), "not numbers"),
        ("phase", np.arange(300) % 2 * 360.0, "constant"),
        ("phase", np.full(300, -1.0), "no valid value"),
        ("type", np.zeros(300, int), "constant (0)"),
        ("flag", np.full(300, True), "constant (1)"),
        ("flag", np.arange(300) + 5, "no valid value"),
    ],
)
@pytest.mark.parametrize("side", [0, 1])
def test_what_cannot_be_tested_says_why_and_the_others_are_tested(name, column, reason, side):
    given = list(pair())
    given[side] = edited(given[side], name, column)
    found = {s.variable: s for s in run_probe(LINEAR, *given, KINDS, **FEW)}
    score = found.pop(name)
    assert score.status == "not tested"
    assert reason in score.reason
    assert np.isnan([score.value, score.p_value, score.ci_low]).all()
    assert [s.status for s in found.values()] == ["tested"] * 3


def test_a_class_seen_once_is_not_tested():
    fit, score = pair()
    column = np.where(fit.table["type"] == 3, 0, fit.table["type"])
    column[5] = 3
    (found,) = run_probe(BOOSTING, edited(fit, "type", column), score, KINDS[2:3], **FEW)
    assert found.reason == "class 3 is seen in 1 objects to be fitted on: 2 are needed"


def test_one_fold_that_cannot_be_tested_is_told():
    given = rows(120)
    column = np.zeros(120, int)
    column[:2] = 1
    (found,) = cross_validated(LINEAR, edited(given, "flag", column), KINDS[3:], **FEW)
    assert found.status == "not tested" and found.reason


def test_few_objects_are_not_tested():
    assert {s.reason for s in run_probe(NEIGHBOURS, *pair(12), KINDS)} == {
        "it is known of 12 objects to be fitted on: 20 are needed"
    }


def test_inputs_that_are_not_finite_are_not_tested():
    fit, score = pair(30)
    score.x[3, 1] = np.inf
    found = run_probe(LINEAR, fit, score, KINDS)
    assert {s.reason for s in found} == {"the rows to be scored hold values that are not finite"}


def test_more_neighbours_than_rows_are_cut_down():
    probe = Probe(KNeighborsRegressor(500), KNeighborsClassifier(500))
    found = run_probe(probe, *pair(30), KINDS, **FEW)
    assert [s.status for s in found] == ["tested"] * 4
    assert probe.regressor.n_neighbors == 500


def test_an_input_that_does_not_vary_does_no_harm():
    fit, score = pair(planted=["number"])
    fit.x[:, 3] = score.x[:, 3] = 2.0
    assert run_probe(LINEAR, fit, score, KINDS[:1], **FEW)[0].value > 0.8


def test_a_missing_column_and_odd_lengths_are_mistakes():
    fit, score = pair(30)
    del score.table["flag"]
    with pytest.raises(DataError, match="no column 'flag'; it has number, phase, type"):
        run_probe(LINEAR, fit, score, KINDS)
    with pytest.raises(DataError, match="number has 29 rows, x has 30"):
        edited(fit, "number", np.arange(29))


def test_no_variable_is_no_score():
    assert run_probe(LINEAR, *pair(30), Catalogue()) == []
