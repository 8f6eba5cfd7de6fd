"""Label efficiency: more labels read more, sizes are nested, and all is all."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from tests.stats.test_probes import BOOSTING, KINDS, LINEAR, PERCEPTRON, edited, pair
from wwdc.errors import ConfigError
from wwdc.stats import curves
from wwdc.stats.curves import label_curve, label_sizes
from wwdc.stats.probes import Probe, run_probe


def mean_by_labels(points, name):
    of = [p for p in points if p.variable == name]
    return {
        n: np.mean([p.value for p in of if p.labels == n]) for n in sorted({p.labels for p in of})
    }


@pytest.mark.parametrize("name", KINDS.names)
def test_more_labels_read_more_and_all_is_what_the_probe_scores(name):
    fit, score = pair(planted=KINDS.names)
    probe = Probe(KNeighborsRegressor(5), KNeighborsClassifier(5))
    curve = mean_by_labels(label_curve(probe, fit, score, KINDS, [10, 50, 300]), name)
    assert list(curve) == [10, 50, 300]
    assert curve[10] < curve[50] < curve[300]
    (whole,) = (s for s in run_probe(probe, fit, score, KINDS) if s.variable == name)
    assert curve[300] == pytest.approx(whole.value)


def test_a_line_needs_few_labels():
    curve = mean_by_labels(label_curve(LINEAR, *pair(planted=["number"]), KINDS), "number")
    assert list(curve) == label_sizes(300)
    assert curve[20] > 0.8


def test_sizes_are_nested_objects_with_all_their_views(monkeypatch):
    seen = []

    def spy(probe, fit, score, variables):
        seen.append(fit.groups)
        return {}

    monkeypatch.setattr(curves, "predict", spy)
    label_curve(LINEAR, *pair(40, views=3), KINDS, [5, 10, 40], repeats=2)
    assert [len(np.unique(groups)) for groups in seen] == [5, 5, 10, 10, 40]
    assert [len(groups) for groups in seen] == [15, 15, 30, 30, 120]
    assert set(seen[0]) < set(seen[2]) and set(seen[1]) < set(seen[3])
    assert set(seen[0]) != set(seen[1])


def test_points_are_ordered_by_variable_size_and_repeat():
    points = label_curve(LINEAR, *pair(60), KINDS, [30, 10, 900], repeats=2)
    order = [(p.variable, p.labels, p.repeat) for p in points]
    sizes = [(10, 0), (10, 1), (30, 0), (30, 1), (60, 0)]
    assert order == [(name, *size) for name in KINDS.names for size in sizes]
    assert {(p.variable, p.metric) for p in points} == {
        *(("number", "r2"), ("phase", "r2"), ("type", "skill"), ("flag", "skill"))
    }
    assert {p.n for p in points} == {60}


def test_labels_are_objects_whose_value_is_known():
    fit, score = pair(80)
    column = fit.table["number"].copy()
    column[:30] = np.nan
    points = label_curve(LINEAR, edited(fit, "number", column), score, KINDS, [1_000])
    assert {p.variable: p.labels for p in points} == {
        **{"number": 50, "phase": 80, "type": 80, "flag": 80}
    }


def test_the_same_seed_gives_the_same_curve():
    a, b, c = (label_curve(LINEAR, *pair(60), KINDS, [20], seed=seed) for seed in (1, 1, 2))
    assert a == b
    assert a != c


@pytest.mark.parametrize("probe", [LINEAR, BOOSTING, PERCEPTRON])
def test_one_label_is_a_constant_guess(probe):
    points = label_curve(probe, *pair(60), KINDS, [1], repeats=1)
    assert all(p.value <= 0.05 for p in points)
    assert [p.value for p in points if p.metric == "skill"] == [0.0, 0.0]


def test_what_cannot_be_tested_has_one_point_with_the_reason():
    fit, score = pair(60)
    points = label_curve(LINEAR, edited(fit, "flag", np.zeros(60)), score, KINDS, [20], repeats=1)
    last = points[-1]
    assert (last.variable, last.labels, last.reason[:14]) == ("flag", 0, "it is constant")
    assert np.isnan(last.value)
    assert [p.variable for p in points] == list(KINDS.names)
    assert last.row()["reason"] == last.reason


def test_sizes_rise_evenly_in_their_logarithm_to_all():
    assert label_sizes(10_000, least=10, count=4) == [10, 100, 1_000, 10_000]
    assert label_sizes(7) == [7]
    assert label_sizes(12, least=10, count=6) == [10, 11, 12]
    with pytest.raises(ConfigError, match="0 of them"):
        label_sizes(100, count=0)


def test_sizes_and_repeats_must_be_positive():
    for given in ({"sizes": [0]}, {"repeats": 0}):
        with pytest.raises(ConfigError, match="must be positive"):
            label_curve(Probe(Ridge(), LogisticRegression()), *pair(30), KINDS, **given)
