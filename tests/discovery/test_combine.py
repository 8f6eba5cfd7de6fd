"""Combined scores, ranks and tops."""

import numpy as np
import pytest

from wwdc.discovery.combine import COMBINATIONS, Combination, in_top, ranks
from wwdc.errors import ConfigError, DataError


def scores(n=400, k=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, size=(n, k)) * np.array([1, 10, 100, 1, 5, 1e3])[:k]


@pytest.mark.parametrize("how", COMBINATIONS)
def test_scales_do_not_matter_and_rows_do_not_see_each_other(how):
    found = scores()
    combine = Combination.of(how, found)
    whole = combine(found)
    np.testing.assert_array_equal(combine(found[10:20]), whole[10:20])
    other = Combination.of(how, found * 7.0)(found * 7.0)
    np.testing.assert_allclose(other, whole, atol=1e-12)


@pytest.mark.parametrize("how", COMBINATIONS)
def test_a_row_that_is_odd_to_all_is_first(how):
    found = scores()
    found[33] = found.max(axis=0) * 2
    assert Combination.of(how, found)(found).argmax() == 33


def test_by_hand():
    found = np.array([[0.0, 0.0], [2.0, 4.0]])
    new = np.array([[3.0, 2.0]])
    assert Combination.of("zmean", found)(new).tolist() == [1.0]
    assert Combination.of("minmax", found)(new).tolist() == [1.0]
    assert Combination.of("moa", found)(new).tolist() == [2.0]


def test_moa_is_the_largest_mean_of_its_groups():
    found = scores()
    combine = Combination.of("moa", found, seed=3)
    z = (found - found.mean(axis=0)) / found.std(axis=0)
    groups = combine._groups()
    assert sorted(np.concatenate(groups).tolist()) == list(range(6))
    assert [len(group) for group in groups] == [2, 2, 2]
    expected = np.max([z[:, group].mean(axis=1) for group in groups], axis=0)
    np.testing.assert_allclose(combine(found), expected)
    again = Combination.of("moa", found, seed=3)
    assert (again(found) == combine(found)).all()


def test_rows_without_a_score():
    found = scores(k=2)
    found[5, 1] = np.nan
    combined = Combination.of("zmean", found)(found)
    assert np.flatnonzero(np.isnan(combined)).tolist() == [5]


def test_refusals():
    with pytest.raises(ConfigError, match="Did you mean 'zmean'"):
        Combination.of("z_mean", scores())
    with pytest.raises(DataError, match="same score"):
        Combination.of("zmean", np.ones((30, 2)))
    with pytest.raises(DataError, match="no reference row"):
        Combination.of("zmean", np.full((30, 2), np.nan))


def test_ranks_begin_with_the_oddest_and_end_with_nan():
    found = np.array([0.5, np.nan, 0.9, 0.5, np.nan])
    ids = np.array([7, 9, 3, 5, 1])
    assert ranks(found, ids).tolist() == [3, 5, 1, 2, 4]


def test_the_top():
    found = np.array([3.0, 1.0, 2.0, 2.0, np.nan])
    assert in_top(found, 1).tolist() == [True, False, False, False, False]
    assert in_top(found, 2).sum() == 3
    assert in_top(found, 99).tolist() == [True, True, True, True, False]
    assert not in_top(np.full(3, np.nan), 2).any()
