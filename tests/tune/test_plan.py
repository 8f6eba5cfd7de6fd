"""Axes, points and the plan; nothing is trained here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, SWEEPS, flow_experiment, vae_experiment
from wwdc.config import load
from wwdc.errors import ConfigError
from wwdc.products import Tree
from wwdc.tune.__main__ import main
from wwdc.tune.plan import Plan, make_plan

OUTLINE = REPOSITORY / "tests" / "fixtures" / "outline" / "RGBMNIST_FLOW"
DROPS = "data.x_ds.drop_variables"


def plan_of(folder: Path, *overrides: str) -> Plan:
    composed = load(folder, overrides)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    return make_plan(composed, tree)


def test_outline_plans_twelve_points(data_root, capsys):
    assert main([str(OUTLINE), "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["experiment"] == "COLOUR_MNIST/FLOW"
    assert document["num_points"] == len(document["points"]) == 12
    points = document["points"]
    assert len({point["point_id"] for point in points}) == 12
    assert len({point["config_id"] for point in points}) == 4
    assert {point["sweep"] for point in points} == {f"sweep_{i}" for i in (1, 2, 3, 4)}
    assert points[0]["overrides"] == {DROPS: ["b", "angle", "scale"], "seed": 42}
    assert [point["job_num"] for point in points] == list(range(12))
    assert {point["status"] for point in points} == {"blocked"}
    assert not data_root.exists()


def test_shipped_experiment_plans_the_same_twelve_points(data_root, capsys):
    assert main([str(REPOSITORY / "experiments" / "RGBMNIST_FLOW"), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_points"] == 12


def test_same_science_has_the_same_id_anywhere(tmp_path, monkeypatch):
    ids = []
    for name in ("one", "two"):
        monkeypatch.setenv("DATA_ROOT", str(tmp_path / name / "data"))
        folder = flow_experiment(tmp_path / name / "x y")
        ids.append([point.point_id for point in plan_of(folder, "tune.engine=torch").points])
    assert ids[0] == ids[1]


def test_order_of_dropped_variables_changes_nothing(tmp_path, data_root):
    folder = flow_experiment(tmp_path)
    one = plan_of(folder, "x_ds.drop_variables=[b,angle]").points
    other = plan_of(folder, "x_ds.drop_variables=[angle,b]").points
    assert [point.point_id for point in one] == [point.point_id for point in other]


def test_override_replaces_its_axis(tmp_path, data_root):
    folder = flow_experiment(tmp_path)
    assert len(plan_of(folder).points) == 4
    seeded = plan_of(folder, "+seed=7")
    assert [point.seed for point in seeded.points] == [7, 7]
    assert [point.seed for point in plan_of(folder, "seed=7").points] == [7, 7]
    assert len(plan_of(folder, f"{DROPS}=[b]", "seed=7").points) == 1
    assert plan_of(folder, f"{DROPS}=[b]", "seed=7").points[0].sweep == "only_b"
    assert plan_of(folder, "seed=7").points[0].point_id not in {
        point.point_id for point in plan_of(folder).points
    }


def test_several_values_add_an_axis(tmp_path, data_root):
    plan = plan_of(flow_experiment(tmp_path), "lightning_loader.lr=1e-3,1e-4")
    assert len(plan.points) == 8
    assert {point.overrides["lightning_loader.lr"] for point in plan.points} == {1e-3, 1e-4}


def test_natural_yaml_and_json_are_the_same_value(tmp_path, data_root):
    written = {**SWEEPS, "only_b": {**SWEEPS["only_b"], "val": ["b"]}}
    one = plan_of(flow_experiment(tmp_path / "a"))
    other = plan_of(flow_experiment(tmp_path / "b", sweeps=written))
    assert [p.point_id for p in one.points] == [p.point_id for p in other.points]


def test_sweep_left_out_by_the_sweeper_is_said(tmp_path, data_root):
    hydra = {"sweeper": {"params": {f"+{DROPS}": "${....sweeps.only_b.val}", "+seed": "1, 2"}}}
    folder = flow_experiment(tmp_path, hydra=hydra, seeds=None)
    plan = plan_of(folder)
    assert len(plan.points) == 2
    assert any("only_digit" in text for text in plan.notices)


def test_seeds_twice_is_an_error(tmp_path, data_root):
    hydra = {"sweeper": {"params": {"+seed": "1, 2"}}}
    with pytest.raises(ConfigError, match="seeds"):
        plan_of(flow_experiment(tmp_path, hydra=hydra))


def test_nothing_to_sweep_is_an_error(tmp_path, data_root):
    with pytest.raises(ConfigError, match=r"sweeps\.yaml: no sweeps"):
        plan_of(vae_experiment(tmp_path, seeds=None))


def test_same_point_twice_is_an_error(tmp_path, data_root):
    twins = {"one": {**SWEEPS["only_b"]}, "two": {**SWEEPS["only_b"]}}
    with pytest.raises(ConfigError, match="same configuration"):
        plan_of(flow_experiment(tmp_path, sweeps=twins))


def test_wrong_context_shows_the_sum(tmp_path, data_root):
    with pytest.raises(ConfigError, match=r"digit 10 .*= 1[0-9]"):
        plan_of(flow_experiment(tmp_path), "+lightning_loader.flow.context=9")


def test_unknown_variable_names_the_closest(tmp_path, data_root):
    with pytest.raises(ConfigError, match=r"'angle'"):
        plan_of(flow_experiment(tmp_path), "x_ds.drop_variables=[angel]")


def test_dry_run_imports_neither_ray_nor_torch(tmp_path, data_root):
    folder = flow_experiment(tmp_path)
    code = (
        "import sys; from wwdc.tune.__main__ import main;"
        f"main([{str(folder)!r}, '--dry-run', '--json']);"
        "heavy = {'ray', 'torch', 'lightning'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_points"] == 4


def test_a_thousand_points_are_planned(tmp_path, data_root):
    folder = flow_experiment(tmp_path, sweeps={})
    plan = plan_of(folder, "seed=range(0,1000)")
    assert len({point.point_id for point in plan.points}) == 1000


def test_blocked_names_the_command_that_trains_what_is_missing(tmp_path, data_root, capsys):
    folder = vae_experiment(tmp_path)
    flow = flow_experiment(tmp_path)
    command = f"python -m wwdc.tune {folder}"
    assert main([str(flow), "--dry-run"]) == 0
    assert command in capsys.readouterr().out.replace("\n", "")
    assert main([str(flow)]) == 2
    assert command in capsys.readouterr().err
    assert not data_root.exists()
