"""Real sweeps on a real Ray: both engines, products, failures."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import flow_experiment, vae_experiment
from wwdc.products import Tree, read_info
from wwdc.products.verify import verify
from wwdc.tune.__main__ import main

pytestmark = pytest.mark.ray

DROPS = "data.x_ds.drop_variables"
ONE = (f"{DROPS}=[b]", "seed=1")


def metrics_of(root: Path) -> dict[str, dict[str, float]]:
    return {p.info.point_id: p.info.metrics for p in Tree(root, "DIGITS", "FLOW").products()}


@pytest.fixture(scope="module")
def swept(trained_vae, tmp_path_factory):
    """A DATA_ROOT where the tiny flow's four points were trained inline, and its folder."""
    folder = tmp_path_factory.mktemp("flow")
    root = folder / "root"
    shutil.copytree(trained_vae, root)
    experiment = flow_experiment(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        assert main([str(experiment)]) == 0
    return root, experiment


def test_a_sweep_leaves_products_with_info(swept):
    root, _ = swept
    tree = Tree(root, "DIGITS", "FLOW")
    products = tree.products()
    assert len(products) == 4
    assert sorted(p.info.job_num for p in products) == [0, 1, 2, 3]
    assert len({p.info.job_id for p in products}) == 1
    for product in products:
        info = product.info
        assert product.path.name == f"{info.job_id}_{info.job_num}.ckpt"
        assert info.param == "x_ds.drop_variables"
        assert info.val in ('["b"]', '["digit"]')
        assert info.description in ("Drop b", "Drop digit")
        assert info.status == "done"
        assert Path(info.vae_fp).is_file()
        assert Path(info.model_fp) == product.path
        assert info.config["data"]["x_ds"]["drop_variables"] == json.loads(info.val)
        assert {"val_loss", "train_loss", "test_loss"} <= set(info.metrics)
        rows = (tree.metrics / f"{info.job}.csv").read_text().splitlines()
        assert len(rows) == 3
        assert rows[0].startswith("epoch,")
    assert not [problem for problem in verify(tree) if problem.broken]
    assert not list(tree.points.glob("*/last.ckpt"))


def test_run_folder_says_what_was_asked(swept):
    root, experiment = swept
    (run,) = [p for p in Tree(root, "DIGITS", "FLOW").multiruns.iterdir() if p.name != "points"]
    assert json.loads((run / "plan.json").read_text())["num_points"] == 4
    assert (run / "experiment" / "sweeps.yaml").read_text() == (
        experiment / "sweeps.yaml"
    ).read_text()
    assert len(list((run / "configs").glob("*.yaml"))) == 4
    logs = sorted((run / "logs").glob("*.log"))
    assert [path.stem for path in logs] == ["0", "1", "2", "3"]
    assert all("epoch 1: train_loss" in path.read_text() for path in logs)


def test_second_run_trains_nothing_and_says_so(swept, monkeypatch, capsys):
    root, experiment = swept
    monkeypatch.setenv("DATA_ROOT", str(root))
    before = sorted(p.path.stat().st_mtime_ns for p in Tree(root, "DIGITS", "FLOW").products())
    assert main([str(experiment)]) == 0
    assert "nothing to train" in capsys.readouterr().out
    after = sorted(p.path.stat().st_mtime_ns for p in Tree(root, "DIGITS", "FLOW").products())
    assert before == after


def test_json_of_a_finished_sweep_is_one_document(swept, monkeypatch, capsys):
    root, experiment = swept
    monkeypatch.setenv("DATA_ROOT", str(root))
    assert main([str(experiment), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {point["status"] for point in document["points"]} == {"done"}


def test_extending_a_sweep_runs_only_what_is_new(swept, tmp_path, monkeypatch, capsys):
    root, experiment = swept
    mine = tmp_path / "root"
    shutil.copytree(root, mine)
    monkeypatch.setenv("DATA_ROOT", str(mine))
    assert main([str(experiment), f"{DROPS}=[b]", "+seed=1,3"]) == 0
    assert "1 of 2 to train" in capsys.readouterr().out
    assert len(metrics_of(mine)) == 5


def test_fresh_trains_a_finished_point_again_beside_the_first(swept, tmp_path, monkeypatch):
    root, experiment = swept
    mine = tmp_path / "root"
    shutil.copytree(root, mine)
    monkeypatch.setenv("DATA_ROOT", str(mine))
    assert main([str(experiment), *ONE, "--fresh"]) == 0
    products = Tree(mine, "DIGITS", "FLOW").products()
    twins = [p for p in products if p.info.point_id == products[-1].info.point_id]
    assert len(products) == 5
    assert len(twins) == 2
    assert twins[0].info.metrics == twins[1].info.metrics


def test_torch_engine_gives_the_same_metrics_to_the_bit(swept, vae_root):
    root, experiment = swept
    assert main([str(experiment), *ONE, "tune.engine=torch"]) == 0
    ((point, metrics),) = metrics_of(vae_root).items()
    assert metrics == metrics_of(root)[point]


def test_two_workers_train_one_point(swept, vae_root):
    root, experiment = swept
    assert main([str(experiment), *ONE, "tune.num_workers=2"]) == 0
    ((point, metrics),) = metrics_of(vae_root).items()
    alone = metrics_of(root)[point]
    assert metrics["epochs"] == alone["epochs"]
    assert metrics["val_loss"] == pytest.approx(alone["val_loss"], rel=0.05)


def test_a_failing_point_does_not_stop_the_others(vae_root, tmp_path, capsys):
    experiment = flow_experiment(tmp_path)
    assert main([str(experiment), *ONE, "lightning_loader.lr=1e-3,1e30"]) == 1
    tree = Tree(vae_root, "DIGITS", "FLOW")
    assert len(tree.products()) == 1
    (failed,) = tree.failed()
    assert failed.status == "failed"
    assert "Traceback" in failed.traceback
    assert "loss" in failed.reason
    assert "failed: #1" in capsys.readouterr().out
    assert main([str(experiment), *ONE, "lightning_loader.lr=1e-3"]) == 0


@pytest.mark.parametrize("engine", ["inline", "torch"])
def test_a_metric_never_logged_ends_the_sweep_with_those_that_are(
    vae_root, tmp_path, capsys, engine
):
    experiment = flow_experiment(tmp_path)
    assert main([str(experiment), "tune.metric=val_los", f"tune.engine={engine}"]) == 2
    error = capsys.readouterr().err
    assert "val_los" in error
    assert "val_loss" in error
    assert not Tree(vae_root, "DIGITS", "FLOW").products()


def test_checkpoint_holds_plain_data_and_no_vae(swept):
    root, _ = swept
    for product in Tree(root, "DIGITS", "FLOW").products():
        state = torch.load(product.path, weights_only=True)
        assert not [name for name in state["state_dict"] if "vae" in name]


def test_retrained_vae_makes_new_points(swept, tmp_path, monkeypatch, capsys):
    root, experiment = swept
    monkeypatch.setenv("DATA_ROOT", str(root))
    assert main([str(experiment), "--dry-run", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)["points"]
    mine = tmp_path / "root"
    shutil.copytree(root, mine)
    monkeypatch.setenv("DATA_ROOT", str(mine))
    assert main([str(vae_experiment(tmp_path)), "seed=2", "trainer.max_epochs=4"]) == 0
    capsys.readouterr()
    assert main([str(experiment), "--dry-run", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)["points"]
    assert {p["status"] for p in after} == {"new"}
    assert not {p["point_id"] for p in before} & {p["point_id"] for p in after}


def test_info_of_a_product_reads_back(swept):
    root, _ = swept
    for product in Tree(root, "DIGITS", "FLOW").products():
        assert read_info(product.info_path) == product.info
