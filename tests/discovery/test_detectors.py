"""Every shipped detector keeps the same contract, and ours say what their papers say."""

from importlib.resources import files

import numpy as np
import pytest
import yaml
from scipy.stats import spearmanr

from wwdc.config import instantiate
from wwdc.discovery.detectors import COPOD, ECOD, Density, GivenKnown, Norm
from wwdc.discovery.fitted import fit, seeded

N, D = 300, 5
DEFAULT = yaml.safe_load((files("wwdc.conf.detectors") / "default.yaml").read_text())["detectors"]
SHIPPED = {name: node for name, node in DEFAULT.items() if node and not node.get("optional")}
"""Those that look at any columns; what the others say of theirs has tests of its own."""

OURS = {"COPOD": {"_target_": "wwdc.discovery.detectors.COPOD"}}
ALL = SHIPPED | OURS


def rows(n: int = N, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((n, D), dtype=np.float32)
    found.setflags(write=False)
    return found


def build(node: dict):
    """A detector as the command builds it, seeded."""
    own = {key: value for key, value in node.items() if key not in ("columns", "fit_rows")}
    detector = instantiate(own)
    state = seeded(type(detector), own, "any", 0)
    return detector if state is None else instantiate(own, random_state=state)


def fitted(node: dict, x: np.ndarray):
    return fit(build(node), x, np.arange(len(x)), [f"c{i}" for i in range(x.shape[1])])


@pytest.fixture(scope="module", params=ALL, ids=str)
def node(request):
    return ALL[request.param]


def test_what_is_shipped():
    assert list(SHIPPED) == ["iforest", "ecod", "hbos", "pca", "knn", "lof", "norm"]
    assert set(DEFAULT) - set(SHIPPED) == {"density", "given_known", "copod"}


def test_a_score_for_every_row_and_the_odd_one_highest(node):
    new = np.array(rows(200, 1))
    new[7] = 50.0
    before = new.copy()
    new.setflags(write=False)
    scores = fitted(node, rows())(new, 1_000_000)
    assert scores.shape == (200,) and scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert scores.argmax() == 7
    assert (new == before).all()


def test_the_same_to_the_bit_again(node):
    x, new = rows(), rows(200, 1)
    np.testing.assert_array_equal(fitted(node, x)(new, 10**6), fitted(node, x)(new, 10**6))


def test_a_rows_score_is_its_own(node):
    """Alone, among others, or twice: it is the same."""
    one, new = fitted(node, rows()), np.array(rows(200, 1))
    new[5] = new[150]
    scores = one(new, 10**6)
    assert np.float32(scores[5]) == np.float32(scores[150])
    np.testing.assert_allclose(one(new[40:60], 10**6), scores[40:60], rtol=1e-9)


def test_a_constant_column_changes_nothing(node):
    if "Norm" in node["_target_"]:
        pytest.skip("takes columns as they are")
    x, new = rows(), rows(200, 1)
    wide, wider = (np.hstack([part, np.full((len(part), 1), 3.0, np.float32)]) for part in (x, new))
    there = fitted(node, wide)
    assert there.dropped == (f"c{D}",)
    np.testing.assert_array_equal(there(wider, 10**6), fitted(node, x)(new, 10**6))


def test_a_row_that_was_fitted_is_as_odd_as_one_that_was_not(node):
    """Of the same distribution: the ranks of both are mixed, also of neighbours' distances."""
    x, new = rows(1000), rows(1000, 1)
    one = fitted(node, x)
    own, others = one(x, 0), one(new, 10**6)
    assert abs(np.mean(own[:, None] > others[None]) - 0.5) < 0.05


def test_rows_with_nan_have_no_score(node):
    new = np.array(rows(50, 1))
    new[3, 1], new[9, 0] = np.nan, np.inf
    scores = fitted(node, rows())(new, 10**6)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [3, 9]


def test_units_do_not_matter(node):
    if "Norm" in node["_target_"]:
        pytest.skip("takes columns as they are")
    scale = np.array([1, 1e3, 1e-3, 5, 1], np.float32)
    one = fitted(node, rows())(rows(200, 1), 10**6)
    other = fitted(node, rows() * scale)(rows(200, 1) * scale, 10**6)
    assert spearmanr(one, other).statistic > 0.999


@pytest.mark.parametrize(("ours", "theirs"), [(ECOD, "ecod.ECOD"), (COPOD, "copod.COPOD")])
def test_ours_equals_pyods_on_the_rows_it_was_fitted_on(ours, theirs):
    x = np.round(np.random.default_rng(0).gamma(2.0, size=(200, 4)), 1)  # skewed, and with ties
    expected = instantiate({"_target_": f"pyod.models.{theirs}"}).fit(x).decision_scores_
    np.testing.assert_allclose(ours().fit(x).decision_scores_, expected)


def test_pyods_ecod_depends_on_the_batch_and_is_found_out():
    from wwdc.errors import DataError

    with pytest.raises(DataError, match="depends on the rows"):
        fitted({"_target_": "pyod.models.ecod.ECOD"}, rows())


def test_a_tail_probability_by_hand():
    x = np.array([[1.0], [2.0], [2.0], [5.0]])
    detector = COPOD().fit(x)
    # Skewed to the right. At 2: three of four, and itself, are ≤ 2; three, and itself, are ≥ 2.
    assert detector.decision_function(np.array([[2.0]]))[0] == pytest.approx(-np.log(4 / 5))
    assert detector.decision_function(np.array([[9.0]]))[0] == pytest.approx(-np.log(1 / 5))


def test_norm_density_and_difference():
    x = np.array([[3.0, 4.0], [0.0, 1.0]], np.float32)
    assert Norm().fit(x).decision_function(x).tolist() == [25.0, 1.0]
    assert Density().fit(x).decision_function(x[:, :1]).tolist() == [-3.0, 0.0]
    assert GivenKnown().fit(x).decision_function(x).tolist() == [1.0, 1.0]
    assert all(detector.raw for detector in (Norm, Density, GivenKnown))
