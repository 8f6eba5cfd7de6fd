"""`vae: null`: a flow on a table of vectors, from the plan to embedding, export and report."""

import json

import numpy as np
import pytest
import yaml

import wwdc
from tests.conftest import DEFAULTS, FLOW, write_experiment
from tests.data.test_tabled_vectors import COUNT, VARIABLES, D, lists, vectors
from wwdc.embed.__main__ import main as embed
from wwdc.embed.published import read_rows
from wwdc.products import Tree
from wwdc.products.__main__ import main as products
from wwdc.products.export import load
from wwdc.tune.__main__ import main as tune

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def experiment(tmp_path, data_root):
    x_ds = lists(tmp_path / "v.parquet", vectors())
    node = {
        "_target_": "wwdc.data.tabled_vectors.TabledVectors",
        **{key: str(value) for key, value in x_ds.items()},
        "variables": VARIABLES,
        "cache": "${paths.data_dir}/${meta.data_name}/vectors",
        "drop_variables": [],
    }
    loader = {
        "_target_": "wwdc.training.lightning_loaders.LightningFlow",
        "vae": None,
        "flow": {**FLOW, "features": D},
        "lr": 0.001,
        "size": D,
        "batch_size": "${data.loader.batch_size}",
    }
    own = [name for name in DEFAULTS if name != "/data/digits"]
    folder = write_experiment(
        tmp_path / "vectors",
        "FLOW",
        loader,
        defaults=own,
        data={"x_ds": node, "loader": {"batch_size": 16, "num_workers": 0}},
        sweeps={"drop_m_r": {"param": "x_ds.drop_variables", "val": ["m_r"]}},
        seeds=[1],
    )
    content = {"defaults": [*own[:-1], "train", "_self_"], "splits": ["test"]}
    text = yaml.safe_dump(content, sort_keys=False)
    (folder / "embed.yaml").write_text(f"# @package _global_\n{text}")
    return folder


def test_from_the_plan_to_the_export(experiment, data_root, ray_session, capsys, tmp_path):
    assert tune([str(experiment), "--dry-run", "--json"]) == 0
    assert [p["status"] for p in json.loads(capsys.readouterr().out)["points"]] == ["new"]
    assert tune([str(experiment)]) == 0
    assert embed([str(experiment)]) == 0
    [path] = Tree(data_root, "DIGITS", "FLOW").embeddings.glob("*/test.parquet")
    rows = read_rows(path, ["name", "z_mean", "z", "u", "log_prob"])
    assert rows["u"].shape == (round(0.2 * COUNT), D)
    truth = vectors()[[int(name.removeprefix("J")) for name in rows["name"]]]
    for number in range(D):  # standardised over the training split: a shift and a scale of each
        assert np.corrcoef(rows["z_mean"][:, number], truth[:, number])[0, 1] > 0.9999
    assert 0.02 < np.std(rows["z"] - rows["z_mean"]) < 0.1
    assert products(["verify", str(experiment)]) == 0
    assert products(["best", str(experiment), "--export", str(tmp_path / "out")]) == 0
    assert load(tmp_path / "out").flow.features == D
    assert wwdc.results(experiment)["status"].tolist() == ["done"]
