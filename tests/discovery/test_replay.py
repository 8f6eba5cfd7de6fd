"""Curves of found anomalies, and strategies on labels that were given before."""

import numpy as np
import pandas as pd
import pytest

from tests.discovery.planted import clusters
from wwdc.discovery import simulate
from wwdc.discovery.pool import make_pool
from wwdc.discovery.replay import discovery_curve, mean_curve, replay
from wwdc.errors import DataError


def test_a_curve_counts_what_simulate_finds():
    x, y = clusters(0, 300)
    curve = discovery_curve(x, y, ["gp", "top"], seeds=(0, 4), budget=12)
    assert list(curve.columns) == ["strategy", "seed", "label", "found"]
    assert len(curve) == 2 * 2 * 12
    run = curve[(curve["strategy"] == "gp") & (curve["seed"] == 4)]
    assert run["label"].tolist() == list(range(1, 13))
    assert run["found"].tolist() == y[simulate(x, y, "gp", 12, 4)].cumsum().tolist()
    assert discovery_curve(x, y, [], budget=3).empty


def test_the_mean_of_seeds_lies_within_its_limits():
    rng = np.random.default_rng(0)
    runs = [
        {"strategy": name, "seed": seed, "label": 50 + label, "found": found + label}
        for name in ("a", "b")
        for seed, found in enumerate(rng.normal(9, 2, 20))
        for label in (1, 2)
    ]
    mean = mean_curve(pd.DataFrame(runs))
    found = np.array([run["found"] for run in runs if run["label"] == 51][:20])
    row = mean.iloc[0]
    assert (row["strategy"], row["label"]) == ("a", 51) and len(mean) == 4
    assert np.isclose(row["found"], found.mean())
    half = 2.093 * found.std(ddof=1) / 20**0.5
    assert np.isclose(row["found_ci_high"] - row["found"], half, rtol=1e-3)
    assert np.isclose(row["found"] - row["found_ci_low"], half, rtol=1e-3)


def test_limits_are_possible_numbers_and_one_seed_has_none():
    runs = [{"strategy": "a", "seed": s, "label": 2, "found": s % 3} for s in range(3)]
    row = mean_curve(pd.DataFrame(runs)).iloc[0]
    assert (row["found_ci_low"], row["found_ci_high"]) == (0, 2)
    assert np.isnan(mean_curve(pd.DataFrame(runs[:1])).iloc[0]["found_ci_low"])


@pytest.mark.parametrize("name", ["aadgp", "top", "gp_diverse"])
def test_a_replay_asks_what_was_labelled_and_nothing_else(name):
    x, y = clusters(0, 300)
    pool = make_pool(x)
    labelled = np.random.default_rng(0).permutation(300)[:40]
    targets = np.full(300, np.nan)
    targets[labelled] = 2.0 * y[labelled] - 1
    rows = replay(targets, pool, name)
    assert sorted(rows.tolist()) == sorted(labelled.tolist())
    assert (rows == replay(targets, pool, name)).all()


def test_a_replay_of_all_labels_is_the_simulation():
    x, y = clusters(0, 200)
    rows = replay(2.0 * y - 1, make_pool(x, seed=3), "gp", seed=3)
    assert (rows == simulate(x, y, "gp", 200, seed=3)).all()


def test_targets_of_another_pool():
    with pytest.raises(DataError, match="200 rows"):
        replay(np.zeros(3), make_pool(clusters(0, 200)[0]), "gp")
