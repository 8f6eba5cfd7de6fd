"""Pools: what is refused, what is standardised, what is drawn."""

import numpy as np
import pytest
from pyod.models.iforest import IForest
from scipy.spatial.distance import cdist

from tests.discovery.planted import clusters
from wwdc.discovery import pool as pool_module
from wwdc.discovery.pool import CHUNK, make_pool, ranks, squared_distances, standardise
from wwdc.errors import DataError


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32, bool])
def test_features_of_any_number_type(dtype):
    x = np.arange(24).reshape(8, 3).astype(dtype)
    x[0] = 0
    pool = make_pool(x)
    assert pool.x.dtype == np.float32
    assert np.allclose(pool.x.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(pool.x.std(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -7e15, 1e-30])
def test_a_constant_column_becomes_0(value):
    x = np.column_stack([np.full(CHUNK + 9, value), np.arange(CHUNK + 9)])
    assert (standardise(x)[:, 0] == 0).all()


def test_a_small_column_is_not_a_constant_one():
    x = 1e-20 * np.arange(10.0)[:, None]
    assert np.isclose(standardise(x).std(), 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_told(bad):
    x = np.ones((9, 2))
    x[4, 1] = x[6, 0] = bad
    with pytest.raises(DataError, match="2 of 9 rows hold NaN or infinity, row 4"):
        make_pool(x)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros(3), "table"),
        (np.zeros((0, 3)), "table"),
        (np.zeros((3, 0)), "table"),
        (np.array([["a"]]), "numbers"),
        (np.array([[1j]]), "numbers"),
        (np.array([[1e200], [-1e200]]), "too large"),
    ],
)
def test_what_is_no_table_of_numbers(x, said):
    with pytest.raises(DataError, match=said):
        make_pool(x)


@pytest.mark.parametrize("name", ["scores", "prior"])
def test_scores_fit_the_rows_and_are_finite(name):
    with pytest.raises(DataError, match=f"{name}: expected 4 rows"):
        make_pool(np.zeros((4, 2)), **{name: np.zeros(5)})
    with pytest.raises(DataError, match="NaN"):
        make_pool(np.zeros((4, 2)), **{name: [1.0, 2.0, np.nan, 0.0]})


def test_given_scores_make_the_prior():
    scores = np.array([[0.0, 0.0], [1.0, 100.0], [2.0, 300.0], [9.0, 0.0]])
    pool = make_pool(np.eye(4), scores)
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    assert np.allclose(pool.scores, z, atol=1e-6)
    assert (pool.prior.argsort() == z.mean(axis=1).argsort()).all()
    with_prior = make_pool(np.eye(4), scores, prior=[4, 3, 2, 1])
    assert with_prior.prior.tolist() == [1.0, 2 / 3, 1 / 3, 0.0]
    assert (with_prior.scores == pool.scores).all()


def test_the_forest_finds_the_far_row_and_depends_on_the_seed():
    x = clusters(0, 300)[0]
    x[17] = 40
    pools = [make_pool(x, seed=seed) for seed in (0, 0, 1)]
    assert pools[0].prior[17] == 1
    assert (pools[0].prior == pools[1].prior).all()
    assert (pools[0].prior != pools[2].prior).any()


def test_ranks_are_shares_of_lower_rows():
    rng = np.random.default_rng(0)
    values = rng.integers(10, size=50)
    expected = [(values < value).sum() / 49 for value in values]
    assert np.allclose(ranks(values), expected)
    assert ranks(np.array([-np.inf, 2.0, -np.inf])).tolist() == [0.0, 1.0, 0.0]
    assert ranks(np.array([5.0])).tolist() == [0.0]


def test_the_length_scale_is_twice_the_distance_of_near_rows():
    x = clusters(0, 400)[0]
    pool = make_pool(x)
    near = np.sort(cdist(pool.x, pool.x), axis=1)[:, 1:11].mean(axis=1)
    assert np.isclose(pool.length_scale, 2 * np.median(near), rtol=1e-5)
    assert make_pool(np.ones((5, 2))).length_scale == 1
    assert make_pool(np.ones((1, 2))).length_scale == 1
    assert np.isclose(make_pool([[0.0], [1.0]]).length_scale, 4)


def test_rows_that_are_nearly_all_the_same_have_a_length_scale_of_1():
    x = np.tile(np.random.default_rng(0).normal(size=(1, 6)), (90, 1))
    x[:3] += 1
    assert make_pool(x).length_scale == 1


def test_the_prior_is_pyods_forest_of_that_seed():
    x = clusters(0, 300)[0]
    forest = IForest(random_state=4).fit(standardise(x))
    assert (make_pool(x, seed=4).prior == ranks(forest.decision_scores_)).all()


def test_near_rows_are_found_across_chunks(monkeypatch):
    x = clusters(0, 400)[0]
    whole = make_pool(x).length_scale
    monkeypatch.setattr(pool_module, "CHUNK", 7)
    assert np.isclose(make_pool(x).length_scale, whole)


def test_candidates_are_the_oddest_and_some_others(monkeypatch):
    x = clusters(0, 400)[0]
    assert make_pool(x).candidates.tolist() == list(range(400))
    monkeypatch.setattr(pool_module, "_CANDIDATES", 50)
    pool = make_pool(x)
    found = pool.candidates
    assert len(set(found.tolist())) == 100 and (np.diff(found) > 0).all()
    assert set(pool.prior.argsort()[-50:]) <= set(found.tolist())
    assert (found == make_pool(x).candidates).all()


@pytest.mark.parametrize("part", [slice(None), slice(10, 9000), slice(4096, 8192), slice(3, 3)])
def test_chunks_join_to_the_part_and_are_cut_at_multiples(part):
    pool = make_pool(np.zeros((9001, 1)), prior=np.zeros(9001))
    chunks = list(pool.chunks(part))
    rows = [row for chunk in chunks for row in range(chunk.start, chunk.stop)]
    assert rows == list(range(9001))[part]
    assert all(chunk.start % CHUNK == 0 for chunk in chunks[1:])


def test_distances_keep_their_digits_far_from_the_origin():
    a = np.array([[1e4, 0.0], [1e4, 0.1]], np.float32)
    assert np.allclose(squared_distances(a, a), [[0, 0.01], [0.01, 0]], atol=1e-6)
