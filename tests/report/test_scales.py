"""Where the values of a parameter are drawn."""

import math

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from wwdc.report import Scale, scale_of, short_names
from wwdc.report.scales import limits


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1e-4, 1e-2], "log"),
        ([1.0, 2.0], "linear"),
        ([0, 100], "linear"),
        ([-1, 1000], "linear"),
        ([[64], [128]], "category"),
        (["relu", 3], "category"),
        ([True, False], "category"),
        ([math.nan, 2.0, 3.0], "linear"),
        ([pd.NA, None, 2, 3], "linear"),
    ],
)
def test_kind(values, kind):
    assert scale_of(values).kind == kind


def test_positions():
    log = scale_of([1e-4, 1e-3, 1e-2])
    assert log.positions([1e-4, 1e-3, 1e-2]) == pytest.approx([0.0, 0.5, 1.0])
    assert scale_of([2, 4]).positions([3, math.nan])[0] == pytest.approx(0.5)
    assert math.isnan(scale_of([2, 4]).positions([3, math.nan])[1])
    lists = scale_of([[64, 64], [8], [64, 64]])
    assert lists.categories == ("[8]", "[64, 64]")
    assert lists.positions([[8], [64, 64]]) == pytest.approx([0.25, 0.75])


def test_a_distribution_decides_and_stray_values_widen_it():
    assert scale_of([1.0, 2.0], FloatDistribution(0.5, 4.0, log=True)) == Scale("log", 0.5, 4.0)
    assert scale_of([3, 9], IntDistribution(1, 8)) == Scale("linear", 1.0, 9.0)
    assert scale_of([16, 64], CategoricalDistribution([16, 64])).kind == "category"


@pytest.mark.parametrize("values", [[2e-5, 0.03], [0.2, 700.0], [2.0, 9.0], [1, 1000], [3.0, 3.0]])
def test_ticks_are_apart_and_inside(values):
    many = np.linspace(*values, 20) if values[0] < values[1] else values
    places = [place for place, _ in scale_of(many).ticks(many)]
    assert places
    assert all(0.0 <= place <= 1.0 for place in places)
    assert all(np.diff(places) >= 0.07 - 1e-12)


def test_few_values_are_marked_themselves():
    assert [text for _, text in scale_of([64, 128, 256]).ticks([64, 256, 128, 64])] == [
        "64",
        "128",
        "256",
    ]


def test_many_categories_stay_readable():
    texts = [f"name {i}" for i in range(100)]
    assert 5 <= len(scale_of(texts).ticks(texts)) <= 15


def test_limits_leave_out_what_is_far_on_the_bad_side():
    values = np.array([-1000.0, 1.0, 1.0, 2.0, 2.0, 1000.0])
    assert limits(values, "min") == (-1000.0, 5.0)
    assert limits(values, "max") == (-2.0, 1000.0)
    assert limits(values) == (-2.0, 5.0)


def test_limits_of_mostly_one_value_are_its_range():
    assert limits(np.array([1.0] * 9 + [7.0])) == (1.0, 7.0)


def test_short_names_are_unique():
    keys = ["a.lr", "a.flow.width", "a.vae.width", "lr", "seed", "a.optimizer._target_"]
    names = short_names(keys)
    assert len(set(names.values())) == len(keys)
    assert names["seed"] == "seed"
    assert names["a.optimizer._target_"] == "optimizer._target_"
    assert names["a.flow.width"] == "flow.width"
