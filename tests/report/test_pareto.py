"""The Pareto front against its definition, and how it is drawn."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wwdc.report import pareto_figure, pareto_mask, pareto_table

MODES = ["min", "max"]
VALUES = st.one_of(st.integers(0, 4).map(float), st.just(math.nan))


def _by_definition(values: np.ndarray, modes: list[str]) -> list[bool]:
    costs = [[v if m == "min" else -v for v, m in zip(row, modes, strict=True)] for row in values]

    def dominates(a: list[float], b: list[float]) -> bool:
        pairs = list(zip(a, b, strict=True))
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    whole = [row for row in costs if not any(map(math.isnan, row))]
    return [row in whole and not any(dominates(other, row) for other in whole) for row in costs]


@given(
    arrays(float, st.tuples(st.integers(0, 12), st.just(3)), elements=VALUES),
    st.lists(st.sampled_from(MODES), min_size=3, max_size=3),
)
def test_mask_is_the_definition(values, modes):
    assert pareto_mask(values, modes).tolist() == _by_definition(values, modes)


def test_duplicates_are_kept_and_nan_is_not():
    values = [[1, 1], [1, 1], [2, 0], [math.nan, -5], [3, 3]]
    assert pareto_mask(values, ["min", "min"]).tolist() == [True, True, True, False, False]


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(size=(30, 3)), columns=["val_loss", "leakage", "retention"])
    table["job_num"] = range(30)
    table.loc[4, "val_loss"] = math.nan
    return table


@pytest.mark.parametrize(("mode", "order"), [("min", 1), ("max", -1)])
def test_table_is_the_front_best_first(frame, mode, order):
    front = pareto_table(frame, ["val_loss", "leakage"], [mode, "min"])
    mask = pareto_mask(frame[["val_loss", "leakage"]], [mode, "min"])
    assert set(front["job_num"]) == set(frame["job_num"][mask])
    assert (np.diff(front["val_loss"]) * order >= 0).all()


def test_figure_of_two_metrics(frame):
    figure = pareto_figure(frame, ["val_loss", "leakage"], ["min", "max"])
    [axes] = figure.axes
    assert axes.get_xlabel() == "val_loss (lower is better)"
    assert axes.get_ylabel() == "leakage (higher is better)"
    drawn = sum(len(points.get_offsets()) for points in axes.collections)
    assert drawn == 29
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    count = int(pareto_mask(frame[["val_loss", "leakage"]], ["min", "max"]).sum())
    assert texts[:2] == [f"dominated ({29 - count})", f"Pareto front ({count})"]


def test_figure_of_three_metrics_has_every_pair(frame):
    figure = pareto_figure(frame, ["val_loss", "leakage", "retention"], ["min", "min", "max"])
    labels = {(axes.get_xlabel()[:5], axes.get_ylabel()[:5]) for axes in figure.axes}
    assert labels == {("val_l", "leaka"), ("val_l", "reten"), ("leaka", "reten")}


def test_an_outlier_is_drawn_at_the_edge_and_said(frame):
    frame.loc[0, ["val_loss", "leakage"]] = [1e6, 0.5]
    figure = pareto_figure(frame, ["val_loss", "leakage"], ["min", "min"])
    assert figure.axes[0].get_xlim()[1] < 10.0
    assert "beyond the axis" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_one_point_and_none(frame):
    for rows in (1, 0):
        pareto_figure(frame.iloc[:rows], ["val_loss", "leakage"], ["min", "min"])
