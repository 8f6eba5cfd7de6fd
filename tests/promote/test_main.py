"""`python -m wwdc.promote` on real embeddings: what it writes, and what it refuses."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from tests.promote.conftest import label
from wwdc.config import load, load_stage
from wwdc.data.colour_mnist import SPLITS
from wwdc.errors import ConfigError
from wwdc.products import sha256
from wwdc.products.verify import verify
from wwdc.promote.__main__ import main as promote
from wwdc.promote.folder import next_experiment
from wwdc.tune.__main__ import main as tune


def along_z(columns):
    """Odd is what lies far out along a latent: a linear classifier finds it."""
    return columns["z_mean"][:, 0] > np.quantile(columns["z_mean"][:, 0], 0.8)


def by_chance(columns):
    return np.random.default_rng(1).uniform(size=len(columns["id"])) < 0.5


def run(capsys, *arguments):
    """Exit code, the JSON document and what was told of one command."""
    capsys.readouterr()
    code = promote([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else None, captured.err


def test_the_loop_is_closed(embedded, tree, capsys):
    label(tree, along_z)
    code, told, err = run(capsys, embedded, "--labels", "odd", "--variable", "far")
    assert code == 0 and told["written"]
    assert told["quality"]["scores"]["roc_auc"]["low"] > 0.5
    folder = embedded.with_name("tiny_flow_far")
    assert told["folder"] == str(folder)
    assert f"Next: python -m wwdc.tune {folder}" in err
    _check_table(told, tree)
    _check_folder(folder, told)
    capsys.readouterr()
    assert tune([str(folder), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["experiment"] == "DIGITS/FLOW_FAR"
    drops = [p["overrides"]["data.x_ds.drop_variables"] for p in plan["points"]]
    assert drops == [d for d in (["far"], [], ["b"], ["digit"]) for _ in range(2)]
    assert {point["status"] for point in plan["points"]} == {"new"}
    assert promote([str(embedded), "--labels", "odd", "--variable", "far"]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err


def _check_table(told, tree):
    table = pd.read_parquet(told["table"])
    info = yaml.safe_load((tree.data_root / "DIGITS" / "promoted").glob("*.yaml").__next__().open())
    assert (
        info["sha256"] == told["sha256"] == sha256(next(tree.data_root.glob("*/promoted/*.parq*")))
    )
    assert info["labels"]["name"] == "odd" and info["labels"]["events"] == 60
    embeddings = {p.path.stem: p.info.sha256 for p in tree.embedded() if p.info.job == _job(told)}
    assert info["embedding"]["sha256"] == embeddings
    rows = [
        pq.read_table(tree.embeddings / _job(told) / f"{split}.parquet", columns=["id"])["id"]
        for split in SPLITS
    ]
    ids = np.concatenate([column.to_numpy() for column in rows])
    assert sorted(ids) == table["id"].tolist()
    assert table["far"].abs().max() < 6 and table["far"].std() > 0.5


def _job(told):
    return told["embedding"]["name"]


def _check_folder(folder, told):
    staged = load_stage(folder)
    x_ds = staged.training.raw["data"]["x_ds"]
    assert x_ds["_target_"] == "wwdc.data.promoted.Promoted"
    assert x_ds["dataset"]["_target_"] == "wwdc.data.digits.Digits"
    assert x_ds["table"].startswith("${paths.data_dir}/DIGITS/promoted/far-")
    assert x_ds["sha256"] == told["sha256"]
    assert list(staged.training.sweeps) == ["drop_far", "keep_far", "only_b", "only_digit"]
    assert staged.training.seeds == [1, 2]
    for name in ("meta", "sweeps", "model", "train", "embed"):
        head = (folder / f"{name}.yaml").read_text().splitlines()[:2]
        assert any(line.startswith("# From DIGITS/FLOW: labels odd (60 objects") for line in head)


def test_a_promoted_table_is_verified(embedded, tree):
    label(tree, along_z)
    assert promote([str(embedded), "--labels", "odd", "--variable", "far"]) == 0
    assert not [problem for problem in verify(tree) if problem.broken]
    [path] = tree.promoted.glob("far-*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    [problem] = [problem for problem in verify(tree) if problem.broken]
    assert problem.path == path and "SHA-256" in problem.message
    path.unlink()
    [problem] = [problem for problem in verify(tree) if problem.broken]
    assert "is gone" in problem.message


def test_a_dry_run_writes_nothing(embedded, tree, capsys):
    label(tree, along_z)
    code, told, err = run(capsys, embedded, "--labels", "odd", "--dry-run")
    assert code == 0 and not told["written"] and "Nothing was written." in err
    assert not (tree.data_root / "DIGITS" / "promoted").exists()
    assert not embedded.with_name("tiny_flow_label_odd").exists()
    assert told["variable"]["name"] == "label_odd"


def test_labels_by_chance_are_refused_unless_forced(embedded, tree, capsys):
    label(tree, by_chance)
    code, told, err = run(capsys, embedded, "--labels", "odd")
    assert code == 1 and not told["written"] and "WARNING" in err
    assert not (tree.data_root / "DIGITS" / "promoted").exists()
    code, told, _ = run(capsys, embedded, "--labels", "odd", "--force")
    assert code == 0 and told["written"] and told["quality"]["forced"]


def test_grades_alone_become_a_grade(embedded, tree, capsys):
    label(tree, along_z, kind="grade")
    code, told, _ = run(capsys, embedded, "--labels", "odd", "--dry-run")
    assert code == 0
    assert told["variable"]["range"] == [0.0, 5.0]
    assert list(told["quality"]["scores"]) == ["spearman", "r2"]


def test_a_moved_tree_gives_the_same_points(embedded, tree, capsys, monkeypatch, tmp_path):
    label(tree, along_z)
    assert promote([str(embedded), "--labels", "odd", "--variable", "far"]) == 0
    folder = str(embedded.with_name("tiny_flow_far"))

    def ids():
        capsys.readouterr()
        assert tune([folder, "--dry-run", "--json"]) == 0
        return [point["point_id"] for point in json.loads(capsys.readouterr().out)["points"]]

    before = ids()
    shutil.move(tree.data_root, tmp_path / "moved")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "moved"))
    assert ids() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "even"], "DIGITS/FLOW has no such labels. There are few, odd."),
        (["--labels", "few"], "verdicts: 8 objects, 4 anomalous and 4 normal; grades: 0 objects"),
        (["--labels", "odd", "--variable", "b"], "there is a column 'b' already"),
        (["--labels", "odd", "--variable", "u_mean"], "there is a column 'u_mean' already"),
        (["--labels", "odd", "--variable", "1st"], "a letter, then letters, digits and '_'"),
        (["--labels", "odd", "x_ds.views=2", "+seed=1"], "cannot be used"),
    ],
)
def test_a_mistake_is_told(embedded, tree, capsys, arguments, message):
    label(tree, along_z)
    label(tree, along_z, name="few", count=8)
    assert promote([str(embedded), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_split_is_told(embedded, tree, capsys):
    path = label(tree, along_z)
    for product in list(tree.embedded()):
        if product.path.stem == "val":
            product.path.unlink()
            product.info_path.unlink()
    assert promote([str(embedded), "--labels", path.stem]) == 2
    err = capsys.readouterr().err
    assert "the val split is not embedded" in err
    assert f"python -m wwdc.embed {embedded} 'splits=[train,val,test]'" in err


def _next(experiment, data_root, out, told):
    """The next experiment of another, with a table that is there already."""
    return next_experiment(
        load(experiment),
        out,
        variable="far",
        table=data_root / "DIGITS" / "promoted" / told,
        sha256=sha256(data_root / "DIGITS" / "promoted" / told),
        origin=["From a test."],
        notice=lambda text: None,
    )


def test_what_the_old_experiment_may_hold(embedded, tree, capsys, data_root, tmp_path):
    label(tree, along_z)
    assert promote([str(embedded), "--labels", "odd", "--variable", "far"]) == 0
    table = next((data_root / "DIGITS" / "promoted").glob("far-*.parquet")).name
    train = yaml.safe_load((embedded / "train.yaml").read_text())
    model = yaml.safe_load((embedded / "model.yaml").read_text())
    del train["seeds"]
    values = "${....sweeps.only_b.val}"
    params = {"+data.x_ds.drop_variables": values, "+seed": "3, 4"}
    train |= {"hydra": {"sweeper": {"params": params}}, "paths": {"data_dir": str(data_root)}}
    model["lightning_loader"]["flow"]["context"] = 15
    (embedded / "train.yaml").write_text("# @package _global_\n" + yaml.safe_dump(train))
    (embedded / "model.yaml").write_text(yaml.safe_dump(model))
    plan = _next(embedded, data_root, tmp_path / "next", table)
    composed = load(tmp_path / "next")
    assert list(composed.sweeps) == ["drop_far", "keep_far", "only_b"]
    assert composed.seeds == [3, 4] and len(plan.points) == 6
    with pytest.raises(ConfigError, match="is not overwritten"):
        _next(embedded, data_root, tmp_path / "next", table)
    assert not list(tmp_path.glob(".next*"))
