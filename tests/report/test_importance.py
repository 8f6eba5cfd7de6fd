"""Which parameters matter: planted effects are found, and odd tables do not crash."""

import math

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from wwdc.report import importance_figure, importances


def _table(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    lr = 10 ** rng.uniform(-5, -2, n)
    sizes = [[64, 64], [128, 128], [256]]
    frame = pd.DataFrame(
        {
            "lr": lr,
            "sizes": [sizes[i] for i in rng.integers(0, 3, n)],
            "depth": rng.integers(1, 9, n),
            "noise": rng.normal(size=n),
        }
    )
    frame["val_loss"] = (np.log10(lr) + 3.5) ** 2 + 0.1 * rng.normal(size=n)
    return frame


def test_a_planted_effect_comes_first():
    found = importances(_table(), ["depth", "sizes", "lr"], "val_loss")
    assert next(iter(found)) == "lr"
    assert found["lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1.0)


def test_a_category_can_matter():
    frame = _table()
    frame["val_loss"] = frame["sizes"].map(len) + 0.01 * frame["noise"]
    found = importances(frame, ["lr", "depth", "sizes"], "val_loss")
    assert next(iter(found)) == "sizes"


def test_the_same_seed_gives_the_same_shares():
    frame, params = _table(), ["lr", "sizes", "depth"]
    assert importances(frame, params, "val_loss") == importances(frame, params, "val_loss")


def test_a_conditional_parameter_uses_every_row():
    """One that decides where it is set counts; the rows without it take part all the same."""
    frame = _table()
    frame["rank"] = np.where(frame["depth"] > 4, frame["depth"] * 1.0, math.nan)
    frame["name"] = [("a", "b")[i % 2] if i % 3 else None for i in range(len(frame))]
    frame["val_loss"] = frame["rank"].fillna(frame["rank"].median())
    found = importances(frame, ["rank", "name", "lr"], "val_loss")
    assert next(iter(found)) == "rank"
    assert found["rank"] > 0.8
    assert set(found) == {"rank", "name", "lr"}


def test_rows_without_the_metric_are_left_out():
    frame = _table()
    frame.loc[:3, "val_loss"] = [math.nan, math.inf, math.nan, -math.inf]
    whole = frame.iloc[4:]
    params = ["lr", "depth"]
    assert importances(frame, params, "val_loss") == importances(whole, params, "val_loss")


def test_one_diverged_run_does_not_decide():
    frame = _table()
    frame.loc[frame["depth"].idxmax(), "val_loss"] = 1e9
    found = importances(frame, ["lr", "depth", "sizes"], "val_loss")
    assert next(iter(found)) == "lr"


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows(rows):
    found = importances(_table().iloc[:rows], ["lr", "sizes"], "val_loss")
    assert set(found) == {"lr", "sizes"}
    assert rows == 2 or set(found.values()) == {0.0}


def test_what_never_varies_matters_nothing():
    frame = _table().assign(fixed=3, never=math.nan, flag=[True] * 60)
    found = importances(frame, ["fixed", "never", "flag", "lr"], "val_loss")
    assert found == {"lr": 1.0, "fixed": 0.0, "never": 0.0, "flag": 0.0}
    assert set(importances(frame.assign(val_loss=2.0), ["lr"], "val_loss").values()) == {0.0}


def test_given_distributions_are_used():
    spaces = {
        "lr": FloatDistribution(1e-6, 1e-1, log=True),
        "depth": CategoricalDistribution(list(range(1, 9))),
    }
    found = importances(_table(), ["lr", "depth"], "val_loss", spaces)
    assert next(iter(found)) == "lr"


def test_optuna_keeps_its_verbosity(capsys):
    before = optuna.logging.get_verbosity()
    importances(_table(), ["lr"], "val_loss")
    assert optuna.logging.get_verbosity() == before
    assert "study" not in capsys.readouterr().err


def test_figure_has_a_bar_for_each_parameter():
    figure = importance_figure({"a.lr": 0.9, "a.depth": 0.1, "b.depth": 0.0}, "val_loss")
    [axes] = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["b.depth", "a.depth", "lr"]  # the last is on top
    assert [bar.get_width() for bar in axes.patches] == [0.0, 0.1, 0.9]
    assert "val_loss" in axes.get_title(loc="left")
