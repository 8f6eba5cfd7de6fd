"""Splits have the shares asked for, in every stratum, and keep groups whole."""

import numpy as np
import pandas as pd
import pytest

from wwdc.data.splits import SplitRule
from wwdc.errors import DataError

NAMES = np.array([f"n{i}" for i in range(1000)])


def shares(split):
    return np.bincount(split, minlength=3) / len(split)


def test_by_chance_the_shares_are_exact():
    split = SplitRule().assign(None, NAMES, 0)
    assert np.bincount(split).tolist() == [700, 100, 200]
    assert not np.array_equal(split, np.sort(split))


def test_the_seed_alone_decides():
    rule = SplitRule()
    first = rule.assign(None, NAMES, 0)
    np.testing.assert_array_equal(first, rule.assign(None, NAMES, 0))
    assert not np.array_equal(first, rule.assign(None, NAMES, 1))


@pytest.mark.parametrize("numbers", [False, True])
def test_every_stratum_has_the_shares(numbers):
    rng = np.random.default_rng(0)
    rare = pd.Series(np.where(rng.random(1000) < 0.05, "rare", "usual"))
    column = pd.Series(rng.exponential(size=1000)) if numbers else rare
    split = SplitRule(stratify="c").assign(column, NAMES, 3)
    parts = pd.qcut(column, 10, labels=False) if numbers else column
    for part in np.unique(parts):
        np.testing.assert_allclose(shares(split[parts == part]), [0.7, 0.1, 0.2], atol=0.03)


def test_groups_stay_whole():
    groups = pd.Series(np.random.default_rng(1).integers(0, 40, 1000))
    split = SplitRule(group="g").assign(groups, NAMES, 0)
    assert all(len(set(split[groups == g])) == 1 for g in range(40))
    np.testing.assert_allclose(shares(split), [0.7, 0.1, 0.2], atol=0.05)


def test_a_column_decides():
    words = pd.Series(["Train", " test", "validation", "val"] * 250)
    split = SplitRule(column="s").assign(words, NAMES, 0)
    assert split[:4].tolist() == [0, 2, 1, 1]


@pytest.mark.parametrize(
    ("rule", "column", "message"),
    [
        ({"group": "g"}, ["a"] * 1000, "val, test would hold none of the 1000 objects"),
        (
            {"stratify": "g"},
            [None, "a"] * 500,
            "'g' is missing for 500 objects: n0, n2, n4, n6, n8",
        ),
        ({"column": "g"}, ["train", "dev"] * 500, r"of 500 objects: n1 \(dev\), n3 \(dev\)"),
    ],
)
def test_what_cannot_be_split(rule, column, message):
    with pytest.raises(DataError, match=message):
        SplitRule(**rule).assign(pd.Series(column), NAMES, 0)
