"""Resampling by object: what it draws, from what, and what is read off it."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, norm

from wwdc.errors import ConfigError, DataError
from wwdc.stats.resampling import (
    adjust,
    bootstrap_sums,
    detectable,
    exchangeable_rows,
    group_bootstrap,
    group_permutations,
    p_value,
    split_groups,
)

VIEWS = np.repeat(np.arange(30), 3)[np.random.default_rng(0).permutation(90)]


def all_permutations(groups, n=130, seed=0):
    return np.concatenate(list(group_permutations(groups, n, seed)))


def test_a_bootstrap_sample_has_as_many_objects_as_there_are():
    counts = group_bootstrap(VIEWS, 200, seed=1)
    assert counts.shape == (200, 30)
    assert (counts.sum(1) == 30).all()
    assert abs(counts.astype(float).var() - 29 / 30) < 0.1  # multinomial


def test_bootstrapped_sums_are_those_of_whole_objects():
    columns = np.random.default_rng(2).normal(size=(90, 2))
    counts = group_bootstrap(VIEWS, 150, seed=1)
    expected = np.stack([(count[VIEWS, None] * columns).sum(0) for count in counts])
    assert np.allclose(bootstrap_sums(VIEWS, columns, 150, seed=1), expected)


def test_a_permutation_moves_whole_objects_view_by_view():
    rows = exchangeable_rows(VIEWS)
    assert sorted(rows) == list(range(90))
    place = np.array([np.count_nonzero(VIEWS[:row] == VIEWS[row]) for row in range(90)])
    for source in all_permutations(VIEWS):
        assert sorted(source) == list(range(90))
        assert (place[source] == place[rows]).all()
        pairs = set(zip(VIEWS[rows].tolist(), VIEWS[source].tolist(), strict=True))
        assert len(pairs) == 30


def test_objects_of_different_sizes_trade_among_their_like():
    groups = np.concatenate([np.repeat(np.arange(40), 2), np.arange(100, 140)])
    size = np.bincount(groups)[groups]
    rows = exchangeable_rows(groups)
    assert sorted(rows) == list(range(120))
    for source in all_permutations(groups):
        assert (size[source] == size[rows]).all()


def test_where_sizes_are_too_many_the_first_row_stands_for_its_object():
    groups = np.repeat(np.arange(30), np.arange(1, 31))
    rows = exchangeable_rows(groups)
    assert groups[rows].tolist() == list(range(30))
    assert (rows == np.searchsorted(groups, np.arange(30))).all()
    assert all(sorted(source) == sorted(rows) for source in all_permutations(groups))


def test_few_objects_of_one_size_are_permuted_all_the_same():
    assert len(exchangeable_rows(np.repeat(np.arange(8), 2))) == 16


def test_every_order_is_as_likely():
    drawn = all_permutations(np.arange(3), n=6_000)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 6
    assert (abs(counts - 1_000) < 150).all()


@pytest.mark.parametrize(
    "draw",
    [
        lambda n, seed: group_bootstrap(VIEWS, n, seed),
        lambda n, seed: all_permutations(VIEWS, n, seed),
    ],
)
def test_draws_follow_from_the_seed_and_more_of_them_begin_alike(draw):
    assert (draw(130, 3) == draw(130, 3)).all()
    assert (draw(64, 3) == draw(130, 3)[:64]).all()
    assert (draw(130, 3) != draw(130, 4)).any()


def test_the_observed_value_is_one_of_its_null():
    null = np.arange(19.0)
    assert p_value(18.5, null) == 0.05
    assert p_value(18.0, null) == 0.1
    assert p_value(-1.0, null) == 1.0


def test_what_cannot_be_computed_is_no_evidence():
    assert p_value(np.nan, np.arange(19.0)) == 1.0
    assert p_value(5.0, np.array([1.0, np.nan, 2.0])) == 0.5


def test_a_detectable_value_is_seen_as_often_as_said():
    rng = np.random.default_rng(0)
    value = detectable(rng.normal(0.3, 2.0, 200_000), alpha=0.01, power=0.9)
    assert abs(value - (0.3 + 2.0 * (norm.ppf(0.99) + norm.ppf(0.9)))) < 0.05
    seen = rng.normal(value, 2.0, 20_000) > 0.3 + 2.0 * norm.ppf(0.99)
    assert abs(seen.mean() - 0.9) < 0.015


def test_a_null_that_does_not_vary_detects_nothing():
    assert np.isnan(detectable(np.zeros(99)))


def test_a_split_parts_objects_and_loses_no_row():
    fit, score = split_groups(VIEWS, 0.3, seed=0)
    assert sorted([*fit, *score]) == list(range(90))
    assert not set(VIEWS[fit]) & set(VIEWS[score])
    assert len(set(VIEWS[score])) == 9
    assert (split_groups(VIEWS, 0.3, seed=0)[1] == score).all()
    assert split_groups(VIEWS, 0.3, seed=1)[1].tolist() != score.tolist()


def test_a_split_leaves_something_on_both_sides():
    assert [len(part) for part in split_groups(np.array([1, 2]), 0.01, seed=0)] == [1, 1]
    with pytest.raises(DataError, match="two objects"):
        split_groups(np.zeros(5, int), 0.5, seed=0)
    with pytest.raises(ConfigError, match=r"1\.5"):
        split_groups(VIEWS, 1.5, seed=0)


@pytest.mark.parametrize("method", ["bh", "by"])
def test_false_discoveries_are_adjusted_as_scipy_does_without_the_untested(method):
    p = np.random.default_rng(0).uniform(size=20) ** 3
    known = np.arange(20) % 4 != 0
    adjusted = adjust(np.where(known, p, np.nan), method)
    assert np.isnan(adjusted[~known]).all()
    assert np.allclose(adjusted[known], false_discovery_control(p[known], method=method))


def test_holm_is_the_step_down_of_bonferroni():
    # By hand: 4·.01, 3·.02, 2·.03, 1·.04, made monotone.
    assert np.allclose(adjust([0.04, 0.01, 0.03, 0.02], "holm"), [0.06, 0.04, 0.06, 0.06])
    assert adjust([0.9, 0.8], "holm").tolist() == [1.0, 1.0]


def test_nothing_tested_is_nothing_adjusted():
    assert np.isnan(adjust([np.nan, np.nan])).all()
    assert adjust([]).shape == (0,)


def test_an_unknown_adjustment_is_named():
    with pytest.raises(ConfigError, match="'fdr' is none of bh, by, holm"):
        adjust([0.1], "fdr")
