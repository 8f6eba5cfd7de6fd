"""`wwdc.Experiment`: what the commands wrote, in Python."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import wwdc
from tests.conftest import flow_experiment
from wwdc.embed.__main__ import main as embed
from wwdc.errors import ConfigError, ProductError
from wwdc.label.events import Posted
from wwdc.label.log import LabelLog


@pytest.fixture
def embedded(flow):
    assert embed([str(flow), "embed.engine=inline"]) == 0
    return wwdc.Experiment(flow)


@pytest.fixture
def nothing(tmp_path, data_root):
    return wwdc.Experiment(flow_experiment(tmp_path))


def test_importing_wwdc_imports_nothing_heavy():
    code = (
        "import sys, wwdc\n"
        "heavy = {'torch', 'ray', 'pandas', 'pyarrow', 'sklearn', 'hydra', 'coniferest'}\n"
        "assert not heavy & set(sys.modules)\n"
        "wwdc.Experiment\n"
        "print(sorted((heavy - {'hydra'}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_plan(flow):
    experiment = wwdc.Experiment(flow)
    frame = experiment.plan()
    assert frame["job_num"].tolist() == [0, 1, 2, 3]
    assert set(frame["status"]) == {"done"} and frame["seed"].tolist() == [1, 2, 1, 2]
    assert frame["data.x_ds.drop_variables"].tolist()[::2] == [["b"], ["digit"]]
    assert experiment.name == "DIGITS/FLOW" and "DIGITS/FLOW" in repr(experiment)


def test_overrides_choose_points(flow):
    experiment = wwdc.Experiment(flow, ["+seed=2", "tests=quick"])
    assert experiment.plan()["seed"].tolist() == [2, 2]
    assert experiment.results()["seed"].tolist() == [2, 2]


def test_results_are_those_of_the_function(flow):
    pd.testing.assert_frame_equal(wwdc.Experiment(flow).results(), wwdc.results(flow))
    assert len(wwdc.Experiment(flow).results(over_seeds=True)) == 2


def test_embeddings_of_the_best_point(embedded):
    results = embedded.results()
    best = results.loc[results["val_loss"].idxmin()]
    frame = embedded.embeddings("test")
    assert frame.attrs["embedding"] == f"{best.job_id}_{best.job_num}"
    u = embedded.vectors("u", "test")
    assert u.shape == (len(frame), 8) and u.dtype == np.float32
    np.testing.assert_array_equal(np.stack(frame["u"]), u)
    assert {"id", "digit", "angle", "log_prob", "z_mean"} <= set(frame.columns)


@pytest.mark.parametrize("by", ["job_num", "point_id", "job"])
def test_embeddings_of_a_point_by_name(embedded, by):
    row = embedded.results().iloc[3]
    job = f"{row.job_id}_{row.job_num}"
    point = {"job_num": 3, "point_id": row.point_id, "job": job}[by]
    table = embedded.embeddings(point=point, columns=["id", "u"], arrow=True)
    assert isinstance(table, pa.Table) and table.column_names == ["id", "u"]
    other = embedded.vectors("u", point=0)
    mine = embedded.vectors("u", point=point)
    assert embedded.embeddings(point=point).attrs["embedding"] == job
    assert not np.array_equal(mine, other)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda e: e.embeddings("tset"), "Did you mean 'test'"),
        (lambda e: e.embeddings("train"), r"python -m wwdc\.embed .* 'splits=\[train\]'"),
        (lambda e: e.embeddings(point=9), "no point 9"),
        (lambda e: e.embeddings(point="20"), "no point '20'"),
        (lambda e: e.embeddings(columns=["uu"]), "no column 'uu'. Did you mean 'u'"),
        (lambda e: e.vectors("angle"), "holds numbers"),
        (lambda e: e.stats("verdict"), "Did you mean 'verdicts'"),
        (lambda e: e.stats(), r"python -m wwdc\.stats"),
        (lambda e: e.anomalies(), r"python -m wwdc\.detect"),
        (lambda e: e.labels(), r"python -m wwdc\.label .* --name default"),
        (lambda e: e.report, r"python -m wwdc\.report"),
    ],
)
def test_errors_say_what_to_do(embedded, ask, told):
    with pytest.raises(ProductError, match=told):
        ask(embedded)


def test_with_nothing_made_the_commands_are_named(nothing):
    assert set(nothing.plan()["status"]) == {"blocked"}
    assert nothing.results()["job_id"].isna().all()
    with pytest.raises(ProductError, match=r"python -m wwdc\.embed"):
        nothing.embeddings()
    with pytest.raises(ProductError, match=r"python -m wwdc\.tune"):
        nothing.load()


def test_a_damaged_embedding_is_refused(embedded):
    product = embedded.tree.embedded()[0]
    data = bytearray(product.path.read_bytes())
    data[len(data) // 2] ^= 255
    product.path.write_bytes(data)
    with pytest.raises(ProductError, match="SHA-256"):
        embedded.embeddings(point=product.path.parent.name)


@pytest.mark.parametrize("point", [None, 0])
def test_a_model_gives_the_published_residuals(embedded, point):
    module = embedded.load(point)
    assert not module.training
    condition = module.condition(torch.from_numpy(embedded.context("test", point)))
    mean = torch.from_numpy(embedded.vectors("z_mean", "test", point))
    u = module.flow(mean, condition)
    known = embedded.vectors("u_mean", "test", point)
    np.testing.assert_allclose(u.numpy(), known, atol=1e-4)


def test_tables_of_the_tests(embedded):
    frame = pd.DataFrame({"variable": ["b"], "verdict": ["present"]})
    embedded.tree.stat_tests.mkdir()
    frame.to_parquet(embedded.tree.stat_tests / "verdicts.parquet")
    pd.testing.assert_frame_equal(embedded.stats(), frame)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_table_is_told_with_its_command(nothing, share):
    nothing.tree.stat_tests.mkdir(parents=True)
    path = nothing.tree.stat_tests / "tests.parquet"
    pd.DataFrame({"variable": ["b"]}).to_parquet(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ProductError, match=r"tests\.parquet is damaged.*python -m wwdc\.stats"):
        nothing.stats("tests")


def test_labels_are_folded(nothing):
    path = nothing.tree.labels / "mine.sqlite"
    log = LabelLog(path, fingerprint="f", embedding="e")
    said = [
        {"id": 1, "kind": "normal"},
        {"id": 1, "kind": "anomaly"},
        {"id": 2, "kind": "grade", "value": 4},
        {"id": 3, "kind": "flag"},
    ]
    for number, event in enumerate(said):
        log.add(Posted(uuid=f"event-{number:04d}", labeller="ann", **event))
    log.close()
    frame = nothing.labels("mine").set_index("id")
    assert frame.loc[1, "verdict"] == "anomaly" and frame.loc[1, "target"] == 1.0
    assert frame.loc[2, "grade"] == 4 and frame.loc[2, "target"] == pytest.approx(0.6)
    assert frame.loc[3, "flagged"] and pd.isna(frame.loc[3, "target"])
    assert len(nothing.labels("mine", events=True)) == 4
    with pytest.raises(ProductError, match="there are mine"):
        nothing.labels("other")


def test_a_wrong_folder_or_override(tmp_path, data_root):
    with pytest.raises(ConfigError, match="no experiment folder"):
        wwdc.Experiment(tmp_path / "none")
    with pytest.raises(ConfigError, match="lrr"):
        wwdc.Experiment(flow_experiment(tmp_path), ["lightning_loader.lrr=1"])
