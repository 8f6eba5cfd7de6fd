"""Noise of posterior samples belongs to the object."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wwdc.embed import posterior_noise

IDS = np.array([0, 1, 63, 64, 65, 700, 12_345_678_901, 3])


@given(st.permutations(range(len(IDS))), st.integers(1, len(IDS)))
@settings(max_examples=20, deadline=None)
def test_a_row_depends_on_its_id_alone(order, cut):
    whole = posterior_noise(IDS, 5, seed=1)
    chosen = np.array(order[:cut])
    np.testing.assert_array_equal(posterior_noise(IDS[chosen], 5, seed=1), whole[chosen])


def test_equal_ids_have_equal_rows():
    rows = posterior_noise(np.array([7, 7, 8]), 3, seed=0)
    assert (rows[0] == rows[1]).all() and (rows[0] != rows[2]).all()


def test_seeds_dims_and_ids_differ():
    rows = posterior_noise(IDS, 4, seed=0)
    assert len(np.unique(rows)) == rows.size
    assert not (posterior_noise(IDS, 4, seed=1) == rows).any()


def test_it_is_standard_normal_and_uncorrelated():
    rows = posterior_noise(np.arange(20_000), 6, seed=0)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(rows.T), np.eye(6), atol=0.04)
    neighbours = (rows[1:] * rows[:-1]).mean(0)
    np.testing.assert_allclose(neighbours, 0, atol=0.03)


def test_the_first_numbers_stay_what_they_are():
    """Files of earlier versions hold samples made with them."""
    rows = posterior_noise(np.array([0, 100]), 2, seed=0)
    np.testing.assert_array_equal(rows, np.array(PINNED, np.float32))


def test_negative_ids_are_refused_and_none_are_fine():
    with pytest.raises(ValueError, match="-1"):
        posterior_noise(np.array([3, -1]), 2, seed=0)
    assert posterior_noise(np.array([], np.int64), 2, seed=0).shape == (0, 2)


PINNED = [[0.9551033973693848, -1.2681950330734253], [0.28836727142333984, 0.2496475875377655]]
