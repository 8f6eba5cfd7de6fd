"""Agreement against published and computed figures."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from wwdc.discovery.agreement import agreement, cohen_kappa, krippendorff_alpha
from wwdc.errors import DataError

# Krippendorff 2011, section C: four observers, twelve units, values missing
UNITS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ],
    float,
).T
UNITS[UNITS == 0] = np.nan


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("interval", 0.849)])
def test_alpha_is_the_papers(level, alpha):
    assert round(krippendorff_alpha(UNITS, level), 3) == alpha


def test_alpha_where_nothing_can_be_compared():
    assert np.isnan(krippendorff_alpha(np.full((4, 3), np.nan)))
    assert np.isnan(krippendorff_alpha([[1, np.nan], [np.nan, 2]]))
    assert np.isnan(krippendorff_alpha(np.ones((4, 2))))
    assert np.isnan(krippendorff_alpha(np.empty((0, 0))))
    with pytest.raises(DataError, match="objects"):
        krippendorff_alpha([1, 2])


@pytest.mark.parametrize(("level", "weights"), [("nominal", None), ("interval", "quadratic")])
def test_kappa_is_scikit_learns(level, weights):
    rng = np.random.default_rng(0)
    first = rng.integers(6, size=80)
    second = np.where(rng.random(80) < 0.5, first, rng.integers(6, size=80))
    assert np.isclose(
        cohen_kappa(first, second, level), cohen_kappa_score(first, second, weights=weights)
    )


def test_kappa_where_nothing_differs_and_where_nothing_fits():
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))
    with pytest.raises(DataError, match="two answers"):
        cohen_kappa([1, 1], [1])


def event(uuid, labeller, row, kind, value=None):
    return {"uuid": uuid, "labeller": labeller, "id": row, "kind": kind, "value": value}


def test_the_last_answer_that_was_not_undone_counts():
    events = [
        event("1", "ann", 7, "normal"),
        event("2", "ann", 7, "anomaly"),
        event("3", "ann", 8, "normal"),
        event("4", "ann", 9, "anomaly"),
        event("5", "ann", 9, "normal"),
        event("6", "ann", 9, "undo", "5"),
        event("7", "bob", 7, "anomaly"),
        event("8", "bob", 8, "anomaly"),
        event("9", "bob", 9, "anomaly"),
        event("a", "bob", 9, "flag"),
        event("b", "bob", 10, "skip"),
        event("c", "cy", 7, "grade", 4),
        event("d", "cy", 8, "grade", 1),
        event("e", "ann", 7, "grade", 4),
        event("f", "ann", 8, "grade", 2),
    ]
    found = agreement(events)
    pairs = found.pairs.set_index("question")
    assert pairs.loc["verdict", ["first", "second", "n"]].tolist() == ["ann", "bob", 3]
    assert np.isclose(pairs.loc["verdict", "kappa"], cohen_kappa([1, -1, 1], [1, 1, 1]))
    assert pairs.loc["grade", ["first", "second", "n"]].tolist() == ["ann", "cy", 2]
    assert np.isclose(found.alpha["verdict"], krippendorff_alpha([[1, 1], [-1, 1], [1, 1]]))
    assert np.isclose(found.alpha["grade"], krippendorff_alpha([[4, 4], [2, 1]], "interval"))


def test_one_labeller_agrees_with_nobody():
    found = agreement([event("1", "ann", 7, "normal")])
    assert found.pairs.empty and np.isnan(found.alpha["verdict"])
    assert agreement([]).pairs.empty
