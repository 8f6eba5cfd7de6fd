"""`python -m wwdc.stats` on real embeddings: tables, bad input, resuming."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import flow_experiment
from wwdc.embed.__main__ import main as embed
from wwdc.products import Tree
from wwdc.products.verify import verify
from wwdc.stats.__main__ import main as stats
from wwdc.stats.evaluate import TESTS, VERDICTS
from wwdc.stats.units import Unit
from wwdc.stats.verdicts import VERDICTS as WORDS
from wwdc.tune.__main__ import main as tune

SMALL = (
    "~tests.probes.boosting",
    "tests.probes.mlp.regressor.epochs=2",
    "tests.probes.mlp.classifier.epochs=2",
    "tests.permutations=99",
    "tests.bootstraps=99",
    "tests.fit_rows=400",
    "tests.score_rows=300",
    "tests.independence.hsic.test.permutations=19",
    "tests.independence.dcor.test.permutations=19",
    "tests.two_sample.energy.test.permutations=19",
    "tests.two_sample.mmd.test.permutations=19",
    "tests.two_sample.c2st.test.permutations=19",
    "tests.base.henze_zirkler.test.reps=19",
    "tests.base.energy.test.reps=19",
    "tests.base.bhep.test.reps=19",
    "+tests.curves.linear.sizes=[20,50]",
)
LINEAR = (
    *("~tests.probes.boosting", "~tests.probes.mlp", "~tests.probes.knn"),
    *(f"tests.{kind}=null" for kind in ("independence", "two_sample", "conditional", "base")),
    *("tests.curves=null", "tests.permutations=99", "tests.bootstraps=99", "tune.cpus=1"),
)


@pytest.fixture
def embedded(flow: Path) -> Path:
    """A flow experiment with its embeddings of train and test."""
    assert embed([str(flow), "splits=[train,test]", "embed.engine=inline"]) == 0
    return flow


def nothing_to_run(units: Sequence[Unit], *_: object, **__: object) -> list[object]:
    assert not units
    return []


def verdicts(tree: Tree) -> pd.DataFrame:
    return pd.read_parquet(tree.path / "stat_tests" / "verdicts.parquet")


def document(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_the_whole_suite_on_ray(embedded, tree, capsys, ray_session):
    assert stats([str(embedded), "--json", *SMALL]) == 0
    found = document(capsys)
    table = verdicts(tree)
    assert list(table.columns) == list(VERDICTS)
    assert set(table["verdict"]) <= set(WORDS)
    assert len(found["verdicts"]) == len(table)
    own = table[table["space"] == "u"]
    assert len(own) == 4 * 6 and own["point_id"].nunique() == 4
    told = own.set_index(["sweep", "variable"])["conditioned"]
    assert not told["only_b", "b"].any() and told["only_b", "digit"].all()
    assert not told["only_digit", "digit"].any()
    assert {"z", "normal", "shuffled"} <= set(table["space"])
    tests = pd.read_csv(tree.path / "stat_tests" / "tests.csv")
    assert list(tests.columns) == list(TESTS)
    kinds = {"probes", "independence", "two_sample", "conditional", "base"}
    assert set(tests["kind"]) == kinds
    assert set(tests["status"]) == {"tested"}, tests[tests["status"] != "tested"]
    assert (tests["p_value"].between(0, 1)).all()
    conditional = tests[(tests["kind"] == "conditional") & (tests["space"] == "u")]
    assert set(conditional["variable"]) == {"b", "digit"}
    curves = pd.read_parquet(tree.path / "stat_tests" / "curves.parquet")
    assert set(curves["labels"]) == {20, 50}
    summary = pd.read_csv(tree.path / "stat_tests" / "summary.csv")
    assert set(summary[summary["space"] == "u"]["seeds"]) == {2}
    assert (tree.path / "stat_tests" / "info.yaml").is_file()


def test_latents_are_tested_once_and_nothing_twice(embedded, tree, capsys, monkeypatch):
    assert stats([str(embedded), *LINEAR]) == 0
    tests = pd.read_parquet(tree.path / "stat_tests" / "tests.parquet")
    assert (tests.groupby(["space", "variable"]).size()[["z", "normal", "shuffled"]] == 1).all()
    assert (tests.groupby(["space", "variable"]).size()["u"] == 4).all()
    first = verdicts(tree)
    monkeypatch.setattr("wwdc.stats.suite.run_units", nothing_to_run)
    capsys.readouterr()
    assert stats([str(embedded), *LINEAR]) == 0
    assert "to run" not in capsys.readouterr().out
    pd.testing.assert_frame_equal(first, verdicts(tree))


def test_verify_looks_at_the_tables(embedded, tree):
    assert stats([str(embedded), *LINEAR]) == 0
    assert not verify(tree)
    table = tree.stat_tests / "verdicts.csv"
    table.write_text(table.read_text().replace("undecided", "removed", 1))
    assert [(p.path, p.broken) for p in verify(tree)] == [(table, True)]
    assert stats([str(embedded), *LINEAR]) == 0
    shutil.rmtree(tree.embedded()[0].path.parent)
    (note,) = verify(tree)
    assert not note.broken and "not there any more" in note.message
    (tree.stat_tests / "info.yaml").write_text("sha256: 3\n")
    (fault,) = verify(tree)
    assert fault.broken and "wwdc.stats again" in fault.message


def test_a_selection_of_points(embedded, tree):
    assert stats([str(embedded), "+seed=1", *LINEAR]) == 0
    assert verdicts(tree)["seed"].dropna().unique().tolist() == [1]


def test_a_dry_run_lists_and_writes_nothing(embedded, tree, capsys):
    before = sorted(tree.path.rglob("*"))
    assert stats([str(embedded), "--dry-run", "--json", *LINEAR]) == 0
    assert document(capsys)["num_tests"] == 2 * 4 + 3
    assert sorted(tree.path.rglob("*")) == before


def test_without_embeddings_the_command_is_named(flow, capsys):
    assert stats([str(flow), *LINEAR]) == 2
    assert f"python -m wwdc.embed {flow}" in capsys.readouterr().err


def test_a_damaged_embedding_is_named_and_the_others_are_tested(embedded, tree, capsys):
    broken = tree.embedded()[0].path
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 255
    broken.write_bytes(data)
    assert stats([str(embedded), *LINEAR]) == 1
    assert str(broken) in capsys.readouterr().out
    table = verdicts(tree)
    lost = table[table["variable"] == ""]
    assert len(lost) == 1 and lost["verdict"].item() == "not tested"
    assert "SHA-256" in lost["reason"].item()
    assert table[table["space"] == "u"]["point_id"].nunique() == 4


def test_an_embedding_of_another_checkpoint_is_refused(embedded, tree):
    first, second = sorted(path for path in tree.embeddings.iterdir() if path.is_dir())[:2]
    shutil.rmtree(second)
    shutil.copytree(first, second)
    assert stats([str(embedded), *LINEAR]) == 1
    reasons = verdicts(tree)["reason"]
    assert reasons.str.contains("embedding of another checkpoint").sum() == 1


def test_a_checkpoint_that_is_not_embedded_is_said(embedded, tree, capsys):
    shutil.rmtree(next(path for path in tree.embeddings.iterdir() if path.is_dir()))
    assert stats([str(embedded), *LINEAR]) == 0
    assert "it is not embedded yet" in capsys.readouterr().out


def test_a_wrong_key_starts_nothing(embedded, tree, capsys):
    assert stats([str(embedded), "tests.alpha=7"]) == 2
    assert "tests.alpha" in capsys.readouterr().err
    assert not (tree.path / "stat_tests").exists()


def test_a_probe_that_is_no_estimator_fails_alone(embedded, tree, capsys):
    bad = "tests.probes.linear.regressor={_target_: sklearn.preprocessing.StandardScaler}"
    keep = [text for text in LINEAR if "knn" not in text]
    assert stats([str(embedded), bad, *keep]) == 1
    assert "probes.linear" in capsys.readouterr().out
    tests = pd.read_parquet(tree.path / "stat_tests" / "tests.parquet")
    assert set(tests[tests["status"] == "tested"]["test"]) == {"knn"}


def test_one_masked_flow_has_verdicts_for_each_drop_set(vae_root, tmp_path, tree, ray_session):
    folder = str(flow_experiment(tmp_path))
    masked = ("+lightning_loader.condition_dropout=0.5", "+seed=1")
    assert tune([folder, *masked]) == 0
    assert embed([folder, *masked, "splits=[train,test]", "embed.engine=inline"]) == 0
    assert stats([folder, *masked, *LINEAR]) == 0
    own = verdicts(tree).query("space == 'u'").set_index(["sweep", "variable"])
    assert set(own.index.get_level_values("sweep")) == {"only_b", "only_digit"}
    assert own["point_id"].nunique() == 1
    assert not own.loc[("only_b", "b"), "conditioned"]
    assert own.loc[("only_digit", "b"), "conditioned"]


def test_a_test_that_fails_now_does_not_show_what_it_found_before(embedded, tree, monkeypatch):
    one = [*LINEAR, "+seed=1", "x_ds.drop_variables=[b]"]
    assert stats([str(embedded), *one]) == 0
    assert set(verdicts(tree)["space"]) == {"u", "u_mean", "z", "normal", "shuffled"}

    def broken(unit: Unit) -> None:
        raise ValueError(f"no figures for {unit.space}")

    monkeypatch.setattr("wwdc.stats.suite.make_worker", lambda: broken)
    assert stats([str(embedded), *one, "--fresh"]) == 1
    assert verdicts(tree).empty


@pytest.mark.slow
def test_a_killed_run_goes_on(embedded, tree, data_root):
    command = [sys.executable, "-m", "wwdc.stats", str(embedded), *LINEAR]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, env=dict(os.environ)
    )
    store = tree.multiruns / "stats"
    while process.poll() is None and not list(store.glob("*.npz")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in store.glob("*.npz")}
    assert kept and not (tree.path / "stat_tests" / "info.yaml").exists()
    assert stats([str(embedded), *LINEAR]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    resumed = verdicts(tree)
    assert stats([str(embedded), "--fresh", *LINEAR]) == 0
    pd.testing.assert_frame_equal(resumed, verdicts(tree))
