"""A sweep as a table: a row a point, and means over seeds."""

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy import stats

import wwdc
from tests.conftest import vae_experiment
from wwdc.config import load
from wwdc.errors import ConfigError
from wwdc.products import Info, Tree, publish_point
from wwdc.tune.plan import make_plan
from wwdc.tune.results import mean_over_seeds

FIXED = ["point_id", "config_id", "sweep", "seed", "status", "job_id", "job_num"]
LR = "lightning_loader.lr"
SWEEPS = {
    "slow": {"param": LR, "val": 1e-4, "description": "a low learning rate"},
    "fast": {"param": LR, "val": 1e-3, "description": "a high learning rate"},
}


@pytest.fixture
def folder(tmp_path: Path, data_root: Path) -> Path:
    return vae_experiment(tmp_path, sweeps=SWEEPS, seeds=[1, 2, 3])


def _publish(folder: Path, metrics: dict[int, dict[str, float]]) -> None:
    """Make the points of *metrics* (by place in the plan) finished, as job 99."""
    composed = load(folder)
    tree = Tree(composed.data_root, composed.meta.data_name, composed.meta.experiment_name)
    src = folder / "weights.ckpt"
    torch.save({"state_dict": {"w": torch.zeros(1)}}, src)
    for point in make_plan(composed, tree).points:
        if point.job_num in metrics:
            info = Info(
                job_id="99",
                job_num=point.job_num + 10,
                point_id=point.point_id,
                config_id=point.config_id,
                seed=point.seed,
                metrics=metrics[point.job_num],
                status="done",
            )
            publish_point(tree, src, info)


def test_a_row_a_point(folder):
    _publish(folder, {0: {"val_loss": 1.5}, 4: {"val_loss": 2.5, "test_loss": 3.0}})
    frame = wwdc.results(folder)
    assert list(frame.columns) == [*FIXED, LR, "val_loss", "test_loss"]
    assert frame["sweep"].tolist() == ["slow"] * 3 + ["fast"] * 3
    assert frame["seed"].tolist() == [1, 2, 3] * 2
    assert frame[LR].tolist() == [1e-4] * 3 + [1e-3] * 3
    assert frame["status"].tolist() == ["done", "new", "new", "new", "done", "new"]
    assert frame["config_id"].nunique() == 2
    assert frame["point_id"].is_unique
    assert frame["val_loss"].fillna(-1).tolist() == [1.5, -1, -1, -1, 2.5, -1]
    assert frame["test_loss"].fillna(-1).tolist() == [-1, -1, -1, -1, 3.0, -1]
    assert frame.attrs == {"overrides": [LR], "metrics": ["val_loss", "test_loss"]}


def test_a_finished_point_has_the_job_its_files_are_named_by(folder, data_root):
    _publish(folder, {1: {"val_loss": 1.0}})
    frame = wwdc.results(str(folder))
    row = frame.loc[1]
    assert (data_root / "DIGITS" / "VAE" / "ckpts" / f"{row.job_id}_{row.job_num}.ckpt").is_file()
    assert pd.isna(frame["job_id"][0])
    assert frame["job_num"].tolist() == [0, 11, 2, 3, 4, 5]


def test_overrides_make_the_plan(folder):
    frame = wwdc.results(folder, ["seed=7", f"{LR}=1e-3,2e-3"])
    assert frame["seed"].tolist() == [7, 7]
    assert frame[LR].tolist() == [1e-3, 2e-3]
    with pytest.raises(ConfigError, match="nothing_like_it"):
        wwdc.results(folder, ["nothing_like_it=3"])


def test_lists_stay_lists(folder):
    frame = wwdc.results(folder, ["data.x_ds.drop_variables=[b],[angle,scale]", f"{LR}=1e-3"])
    assert frame["data.x_ds.drop_variables"].tolist()[::3] == [["b"], ["angle", "scale"]]


def test_nothing_finished(folder):
    frame = wwdc.results(folder)
    assert list(frame.columns) == [*FIXED, LR]
    means = wwdc.results(folder, over_seeds=True)
    assert means["n"].tolist() == [0, 0]


def test_means_over_seeds(folder):
    values = [1.0, 2.0, 4.5]
    _publish(folder, {i: {"val_loss": v} for i, v in enumerate(values)} | {3: {"val_loss": 9.0}})
    means = wwdc.results(folder, over_seeds=True)
    assert list(means.columns) == [
        "config_id",
        "sweep",
        LR,
        "n",
        "val_loss",
        "val_loss_ci_low",
        "val_loss_ci_high",
    ]
    assert means["n"].tolist() == [3, 1]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert means["val_loss"].tolist() == [2.5, 9.0]
    assert means["val_loss_ci_low"][0] == pytest.approx(expected.low)
    assert means["val_loss_ci_high"][0] == pytest.approx(expected.high)
    assert math.isnan(means["val_loss_ci_low"][1])
    assert math.isnan(means["val_loss_ci_high"][1])


def test_only_finished_rows_with_the_metric_count():
    frame = pd.DataFrame(
        {
            "config_id": ["a", "a", "a", "a", "b"],
            "status": ["done", "stopped", "failed", "done", "new"],
            "val_loss": [1.0, 3.0, 100.0, math.nan, 5.0],
        }
    )
    means = mean_over_seeds(frame, ["val_loss"]).set_index("config_id")
    assert means.loc["a", ["n", "val_loss"]].tolist() == [3, 2.0]
    assert means["n"]["b"] == 0
    assert math.isnan(means["val_loss"]["b"])


@pytest.mark.ray
def test_a_trained_point(tmp_path, vae_root):
    frame = wwdc.results(vae_experiment(tmp_path))
    assert frame["status"].tolist() == ["done"]
    assert frame["seed"].tolist() == [1]
    assert {"val_loss", "test_loss"} <= set(frame.attrs["metrics"])
    assert frame[["val_loss", "test_loss"]].notna().all(axis=None)


def test_importing_wwdc_is_light():
    code = (
        "import sys, wwdc; assert 'results' in wwdc.__all__;"
        "heavy = {'pandas', 'torch', 'ray', 'scipy', 'numpy', 'hydra'} & set(sys.modules);"
        "sys.exit(str(sorted(heavy)) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_attributes_of_wwdc_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'result'"):
        wwdc.result  # noqa: B018
