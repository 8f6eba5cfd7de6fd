"""The rules of fitting: what is dropped, skipped, turned round and refused."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from wwdc.discovery.detectors import ECOD, Density, GivenKnown, Norm
from wwdc.discovery.fitted import CHUNK, MIN_ROWS, fit, seeded
from wwdc.errors import DataError

NAMES = ["a", "b", "c"]


class Plain:
    """A detector that does what it is told."""

    def __init__(self, scores=lambda x: np.square(x).sum(axis=1)):
        self.scores = scores

    def fit(self, x):
        self.seen = x
        return self

    def decision_function(self, x):
        return self.scores(x)


def rows(n=200, seed=0):
    return np.random.default_rng(seed).normal(5.0, 2.0, (n, 3)).astype(np.float32)


def fitted(detector, x=None):
    x = rows() if x is None else x
    return fit(detector, x, np.arange(len(x)), NAMES)


def test_columns_are_standardised_by_the_rows_that_are_fitted():
    detector = Plain()
    fitted(detector)
    np.testing.assert_allclose(detector.seen.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(detector.seen.std(axis=0), 1, atol=1e-5)


def test_a_raw_detector_gets_columns_as_they_are():
    x = rows()
    x[:, 1] = 4.0
    found = fitted(Norm(), x)
    np.testing.assert_allclose(found(x, 0), np.square(x.astype(float)).sum(axis=1))
    assert found.dropped == ()


def test_rows_with_nan_are_skipped_and_counted():
    x = rows()
    x[4, 0], x[5, 2] = np.nan, -np.inf
    detector = Plain()
    found = fitted(detector, x)
    assert found.skipped == 2 and len(detector.seen) == 198
    assert not {4, 5} & set(found.rows.tolist())


def test_too_few_rows():
    with pytest.raises(DataError, match=f"19 rows .* {MIN_ROWS} are needed"):
        fitted(Plain(), rows(19))
    fitted(Plain(), rows(20))


def test_all_columns_constant():
    with pytest.raises(DataError, match="all 3 columns are constant"):
        fitted(Plain(), np.ones((50, 3), np.float32))


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (lambda x: np.full(len(x), np.inf), "not finite"),
        (lambda x: np.zeros(len(x)), "the score 0"),
        (lambda x: -np.square(x).sum(axis=1), "planted far out"),
        (lambda x: np.square(x).sum(axis=1) * len(x), "depends on the rows"),
        (lambda x: np.square(x), "shape"),
        (lambda x: 1 / 0, "cannot be fitted: division by zero"),
    ],
)
def test_scores_that_make_no_sense(scores, reason):
    with pytest.raises(DataError, match=reason):
        fitted(Plain(scores))


def test_rows_that_were_fitted_have_scores_without_themselves():
    class Memory(Plain):
        def fit(self, x):
            self.decision_scores_ = 100.0 + np.arange(len(x))
            return self

    x = rows(60)
    found = fit(Memory(), x[::2], np.arange(0, 60, 2), NAMES)
    scores = found(x, 0)
    assert scores[::2].tolist() == (100.0 + np.arange(30)).tolist()
    assert (scores[1::2] < 100).all()
    part = found(x[10:14], 10)
    assert part[[0, 2]].tolist() == [105.0, 106.0]


def test_detectors_whose_odd_rows_score_low_are_turned_round():
    x = rows()
    new = np.concatenate([x[:50] + 0.01, np.full((1, 3), 60.0, np.float32)])
    for detector in (IsolationForest(random_state=0), LocalOutlierFactor(novelty=True)):
        assert fitted(detector, x)(new, 10**6).argmax() == 50
    from coniferest.isoforest import IsolationForest as Forest

    assert fitted(Forest(random_seed=0), x)(new, 10**6).argmax() == 50


def test_a_global_generator_is_seeded_and_given_back():
    class Draws(Plain):
        def fit(self, x):
            self.weights = np.random.random(x.shape[1])

        def decision_function(self, x):
            return np.square(x) @ self.weights

    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    one, two = (fitted(Draws())(rows(50, 1), 10**6) for _ in range(2))
    assert (one == two).all()
    assert (np.random.get_state()[1] == before).all()


def test_blocks_of_any_size_give_the_same_bits():
    """A detector sees the same rows together: here, one that rounds differently otherwise."""

    class Rounds(Plain):
        def decision_function(self, x):
            return np.square(x).sum(axis=1) * (1 + 1e-9 * len(x))

    x = rows(2 * CHUNK + 100)
    found = fit(Rounds(), x[:50], np.arange(50), NAMES)
    whole = found(x, 0)
    parts = [found(x[low : low + CHUNK], low) for low in range(0, len(x), CHUNK)]
    assert (whole == np.concatenate(parts)).all()


def test_a_density_may_be_odd_in_one_way_only():
    log_prob = rows()[:, :1]
    assert fit(Density(), log_prob, np.arange(200), ["log_prob"])(log_prob, 0).argmax() == (
        log_prob.argmin()
    )
    both = rows()[:, :2]
    assert fit(GivenKnown(), both, np.arange(200), NAMES[:2])(both, 0).shape == (200,)


def test_a_seed_of_its_own():
    state = seeded(IsolationForest, {}, "iforest", 0)
    assert state == seeded(IsolationForest, {}, "iforest", 0)
    assert state != seeded(IsolationForest, {}, "iforest", 1)
    assert 0 <= state < 2**31
    assert seeded(IsolationForest, {"random_state": 4}, "iforest", 0) is None
    assert seeded(ECOD, {}, "ecod", 0) is None
