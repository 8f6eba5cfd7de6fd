"""Plans of searches; nothing is trained here."""

import json

import pytest

from tests.conftest import SWEEPS, flow_experiment
from tests.tune.test_plan import plan_of
from wwdc.errors import ConfigError
from wwdc.tune.__main__ import main

LR = "lightning_loader.lr"
TRANSFORMS = "lightning_loader.flow.transforms"
WIDTH = "lightning_loader.flow.hidden_features"
SEARCH = {
    "lr": {"param": LR, "space": "loguniform(1e-4, 1e-2)", "description": "rate"},
    "depth": {"param": TRANSFORMS, "space": "randint(1, 4)"},
    "width": {"param": WIDTH, "space": "choice([8], [16, 16])", "when": f"{TRANSFORMS} > 1"},
}
ONE = "data.x_ds.drop_variables=[b]"


def searching(tmp_path, **more):
    return flow_experiment(tmp_path, sweeps=SWEEPS | SEARCH, **more)


def test_random_samples_are_points_before_anything_starts(tmp_path, data_root):
    plan = plan_of(searching(tmp_path), ONE, "tune.num_samples=6")
    assert len(plan.points) == 6
    assert len({point.point_id for point in plan.points}) == 6
    assert {point.seed for point in plan.points} == {1}
    for point in plan.points:
        values = point.overrides
        assert 1e-4 <= values[LR] <= 1e-2
        assert (WIDTH in values) == (values[TRANSFORMS] > 1)
        assert point.config["lightning_loader"]["lr"] == values[LR]
    assert plan.to_replicate == 1  # the best of them on seed 2


def test_more_samples_keep_the_first_ones(tmp_path, data_root):
    folder = searching(tmp_path)
    few = plan_of(folder, ONE, "tune.num_samples=3").points
    many = plan_of(folder, ONE, "tune.num_samples=6").points
    assert [p.point_id for p in few] == [p.point_id for p in many][:3]
    other = plan_of(folder, ONE, "tune.num_samples=3", "tune.seed=1").points
    assert not {p.point_id for p in few} & {p.point_id for p in other}


def test_listed_and_searched_axes_multiply_with_the_same_draws(tmp_path, data_root):
    plan = plan_of(searching(tmp_path), "tune.num_samples=3", "seed=1")
    assert len(plan.points) == 6
    rates = [[p.overrides[LR] for p in plan.points if p.sweep == name] for name in SWEEPS]
    assert rates[0] == rates[1]


def test_json_lists_domains_and_says_that_the_plan_is_open(tmp_path, data_root, capsys):
    argv = [str(searching(tmp_path)), ONE, "tune.searcher=optuna", "tune.num_samples=5"]
    assert main([*argv, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["num_points"] == 0
    assert document["open_ended"] is True
    assert document["open"] == 6
    assert {axis["param"]: axis["space"] for axis in document["searched"]} == {
        entry["param"]: entry["space"] for entry in SEARCH.values()
    }
    assert main([*argv, "--dry-run"]) == 0
    assert "loguniform(1e-4, 1e-2)" in capsys.readouterr().out


def test_a_grid_lists_finite_spaces_and_refuses_others(tmp_path, data_root):
    spaces = {"depth": SEARCH["depth"], "width": SEARCH["width"]}
    plan = plan_of(flow_experiment(tmp_path / "a", sweeps=spaces, seeds=[1]), "tune.searcher=grid")
    assert len(plan.points) == 1 + 2 * 2  # the width counts where there is more than one transform
    with pytest.raises(ConfigError, match=r"sweeps\.lr\.space.*grid cannot list"):
        plan_of(searching(tmp_path / "b"), ONE, "tune.searcher=grid")


def test_grid_inside_a_space_is_listed(tmp_path, data_root):
    spaces = {"depth": {"param": TRANSFORMS, "space": "grid(1, 2)"}}
    plan = plan_of(flow_experiment(tmp_path, sweeps=spaces, seeds=[1]))
    assert [point.overrides[TRANSFORMS] for point in plan.points] == [1, 2]
    assert not plan.open


def test_a_small_space_gives_fewer_samples_and_says_so(tmp_path, data_root):
    spaces = {"depth": {"param": TRANSFORMS, "space": "choice(1, 2)"}}
    plan = plan_of(flow_experiment(tmp_path, sweeps=spaces, seeds=[1]), "tune.num_samples=9")
    assert len(plan.points) == 2
    assert any("2 different samples" in text for text in plan.notices)


def test_the_command_line_searches_and_replaces_a_search(tmp_path, data_root):
    folder = searching(tmp_path)
    plan = plan_of(folder, ONE, f"{LR}=uniform(0.5, 0.6)", "tune.num_samples=2", "seed=1")
    assert all(0.5 <= p.overrides[LR] <= 0.6 for p in plan.points)
    plan = plan_of(folder, ONE, f"{LR}=1e-3", "tune.num_samples=2", "seed=1")
    assert all(LR not in p.overrides for p in plan.points)
    plan = plan_of(folder, ONE, f"{LR}=1e-3,1e-4", "tune.num_samples=2", "seed=1")
    assert len(plan.points) == 4
    plan = plan_of(
        folder,
        ONE,
        f"{LR}=choice(1e-3,1e-4)",
        "tune.searcher=random",
        "tune.num_samples=3",
        "seed=1",
    )
    assert len(plan.points) == 3


def test_the_outline_s_sweeper_lines_search_too(tmp_path, data_root):
    params = {
        f"+{LR}": "${....sweeps.lr.space}",
        f"+{TRANSFORMS}": "interval(1, 3)",
        "+seed": "1, 2",
    }
    del params[f"+{TRANSFORMS}"]
    hydra = {"sweeper": {"params": params}}
    folder = flow_experiment(tmp_path, sweeps=SEARCH, hydra=hydra, seeds=None)
    plan = plan_of(folder, "tune.num_samples=3")
    assert len(plan.points) == 3
    assert all(set(p.overrides) == {LR, "seed"} for p in plan.points)
    assert any("depth" in text for text in plan.notices)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"param": LR, "space": "loguniform(0, 1)"}, r"sweeps\.x\.space.*above 0"),
        ({"param": LR, "space": "uniform(-1, 1)"}, "lr"),
        ({"param": "seed", "space": "randint(1, 9)"}, "seeds are replicates"),
        ({"param": "meta.description", "space": "choice(1, 2)"}, "cannot be swept"),
        ({"param": "lightning_loader.lrr", "space": "uniform(0, 1)"}, "lr"),
        ({"param": LR, "space": "uniform(0, 1)", "when": "nothing > 1"}, r"sweeps\.x\.when"),
        ({"param": LR, "space": "uniform(0, 1)", "val": 3}, "either val"),
        ({"param": LR, "space": "uniform(0, 1)", "when": f"{LR} > 1"}, "itself"),
    ],
)
def test_a_wrong_search_is_a_mistake_before_anything_starts(
    tmp_path, data_root, capsys, entry, message
):
    folder = flow_experiment(tmp_path, sweeps={"x": entry}, seeds=[1])
    with pytest.raises(ConfigError, match=message):
        plan_of(folder, "tune.num_samples=2")


def test_values_and_a_space_on_one_key_are_refused(tmp_path, data_root):
    sweeps = {"a": {"param": LR, "val": 1e-3}, "b": SEARCH["lr"]}
    with pytest.raises(ConfigError, match="listed values too"):
        plan_of(flow_experiment(tmp_path, sweeps=sweeps, seeds=[1]))


def test_a_condition_leaves_listed_values_out(tmp_path, data_root):
    sweeps = {
        "one": {"param": TRANSFORMS, "val": 1},
        "two": {"param": TRANSFORMS, "val": 2},
        "wide": {"param": WIDTH, "val": [32], "when": f"{TRANSFORMS} == 2"},
        "wider": {"param": WIDTH, "val": [64], "when": f"{TRANSFORMS} == 2"},
    }
    plan = plan_of(flow_experiment(tmp_path, sweeps=sweeps, seeds=[1]))
    found = [(p.overrides[TRANSFORMS], p.overrides.get(WIDTH)) for p in plan.points]
    assert found == [(1, None), (2, [32]), (2, [64])]
