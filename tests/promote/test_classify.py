"""Classifiers of planted labels: how good they are said to be, and what they give."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from wwdc.promote.classify import (
    LIMIT,
    TASKS,
    Candidate,
    Labelled,
    candidates,
    choose,
    fit,
    measure,
    values,
)

LINEAR = Candidate("linear", ("u_mean",))


def labelled(n=60, *, effect=3.0, space="u_mean", views=1, seed=0, kind="verdict"):
    """A third of the objects are anomalies, moved by *effect* in two directions of one space."""
    rng = np.random.default_rng(seed)
    odd = rng.permutation(np.arange(n) % 3 == 0).astype(float)
    objects = np.repeat(np.arange(n), views)
    spaces = {
        name: rng.normal(size=(n * views, 6)).astype(np.float32) for name in ("u_mean", "z_mean")
    }
    spaces[space][:, :2] += effect * odd[objects, None]
    target = odd[objects]
    if kind == "grade":
        target = np.clip(np.round(4 * target + rng.uniform(0, 1, len(target))), 0, 5)
    return Labelled(spaces, target, objects, kind)


@pytest.fixture(autouse=True)
def no_forest(request, monkeypatch):
    """A forest takes a hundred times as long: only one test has it."""
    if "forest" not in request.node.name:
        linear = [LINEAR, Candidate("linear", ("z_mean",))]
        monkeypatch.setattr("wwdc.promote.classify.candidates", lambda spaces: linear)


@pytest.mark.parametrize("kind", TASKS)
def test_planted_labels_are_told(kind):
    quality = measure(labelled(kind=kind), 0, draws=199)
    main = quality.scores[0]
    assert quality.better_than_chance and quality.p_value == pytest.approx(1 / 200)
    assert quality.chance < main.ci_low < main.value <= main.ci_high
    assert (quality.objects, quality.positives) == (60, 20)


def test_labels_without_relation_are_seldom_told():
    """A test at 5 % that errs towards chance: of 12, at most 3 (binomial, p < 0.003)."""
    told = [measure(labelled(40, effect=0.0, seed=s), s, draws=49) for s in range(12)]
    assert sum(q.better_than_chance for q in told) <= 3
    assert np.mean([q.scores[0].value for q in told]) < 0.58


def test_views_of_an_object_do_not_help_each_other():
    """Rows of an object are alike, and labels are by chance: were they split, all would be told."""
    rng = np.random.default_rng(3)
    target = rng.permutation(np.arange(30) % 2).astype(float)
    base = rng.normal(size=(30, 40)).astype(np.float32)
    x = np.repeat(base, 4, axis=0) + 0.01 * rng.normal(size=(120, 40)).astype(np.float32)
    many = Labelled({"u_mean": x, "z_mean": x}, np.repeat(target, 4), np.repeat(np.arange(30), 4))
    quality = measure(many, 0, draws=99)
    assert quality.objects == 30 and quality.rows == 120
    assert quality.scores[0].value < 0.8 and not quality.better_than_chance


@pytest.mark.parametrize("space", ["u_mean", "z_mean"])
def test_the_space_that_tells_is_chosen(space):
    assert choose(labelled(space=space), 0) == Candidate("linear", (space,))


def test_what_is_tried_with_a_forest():
    tried = [candidate.name for candidate in candidates(["u_mean", "z_mean"])]
    assert tried[2:] == ["linear on u_mean + z_mean", "forest on u_mean + z_mean"]
    planted = labelled()
    model = fit(Candidate("forest", ("u_mean", "z_mean")), planted, 0)
    again = fit(Candidate("forest", ("u_mean", "z_mean")), planted, 0)
    found = [
        values(m, candidates(["u_mean", "z_mean"])[3], "verdict", planted.spaces)
        for m in (model, again)
    ]
    np.testing.assert_array_equal(*found)
    assert roc_auc_score(planted.target, found[0]) > 0.95


def test_values_are_log_odds_within_their_range():
    planted = labelled(300, effect=30.0)
    model = fit(LINEAR, planted, 0)
    found = values(model, LINEAR, "verdict", planted.spaces)
    assert found.dtype == np.float32 and np.abs(found).max() < LIMIT
    assert roc_auc_score(planted.target, found) == 1.0
    odds = model.decision_function(planted.spaces["u_mean"].astype(float))
    near = np.abs(odds) < 10
    np.testing.assert_allclose(found[near], LIMIT * np.tanh(odds[near] / LIMIT), atol=1e-3)
    grades = labelled(kind="grade", effect=30.0)
    told = values(fit(LINEAR, grades, 0), LINEAR, "grade", grades.spaces)
    assert told.min() >= 0.0 and told.max() <= 5.0 and np.ptp(told) > 2.0


def test_same_seed_same_quality():
    assert measure(labelled(effect=1.0), 4, draws=99) == measure(labelled(effect=1.0), 4, draws=99)


def test_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    target = (rng.uniform(size=50) < 0.3).astype(float)
    guess = np.round(rng.normal(size=50) + target, 1)  # with ties
    metrics = TASKS["verdict"].metrics
    assert metrics["roc_auc"](target, guess) == pytest.approx(roc_auc_score(target, guess))
    expected = average_precision_score(target, guess)
    assert metrics["average_precision"](target, guess) == pytest.approx(expected)
    assert all(np.isnan(metric(np.zeros(50), guess)) for metric in metrics.values())
