"""`python -m wwdc.detect` on planted embeddings: tables, bad input, resuming, nothing twice."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.detect.planted import ODD, write
from wwdc.detect import run, work
from wwdc.detect.__main__ import main as detect
from wwdc.detect.results import find_scores, read_scores
from wwdc.detect.settings import COLUMNS
from wwdc.errors import ProductError
from wwdc.products import Tree
from wwdc.products.gc import gc
from wwdc.products.verify import verify

ONE = "tune.cpus=1"
FAST = (
    ONE,
    *(
        f"detectors.detectors.{name}=null"
        for name in ("hbos", "pca", "knn", "lof", "norm", "density", "given_known")
    ),
    "detectors.shortlist.size=10",
)
BROKEN = "+detectors.detectors.broken={_target_: pyod.models.knn.KNN, n_neighbors: 100000}"


def table(tree: Tree, number: int = 0) -> pd.DataFrame:
    return read_scores(find_scores(tree)[number].path)


def contents(tree: Tree) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in tree.anomalies.glob("*/scores.parquet")}


def test_the_table(planted, tree, capsys):
    assert detect([str(planted), ONE]) == 0
    found = find_scores(tree)
    assert [scores.name for scores in found] == ["7_0", "7_1", "7_2", "7_3"]
    names = ["iforest", "ecod", "hbos", "pca", "knn", "lof", "norm", "density"]
    assert list(found[0].detectors) == names and found[0].embedding == "7_0"
    scores = table(tree)
    assert list(scores.columns) == [*COLUMNS[:3], *names, *COLUMNS[3:]]
    schema = pq.read_schema(found[0].path)
    assert {str(schema.field(name).type) for name in names} == {"float"}
    assert str(schema.field("score").type) == "double"
    assert "dictionary" in str(schema.field("split").type)
    assert scores["split"].astype(str).tolist() == ["train"] * 600 + ["val"] * 240 + ["test"] * 180
    embedding = pd.concat(
        pd.read_parquet(tree.embeddings / "7_0" / f"{split}.parquet", columns=["id", "object"])
        for split in ("train", "val", "test")
    )
    assert scores["id"].tolist() == embedding["id"].tolist()
    assert scores["rank"].sort_values().tolist() == list(range(1, 1021))
    first = scores.sort_values("rank").head(4)
    assert set(first["id"] % 100_000 - 20_000) == set(ODD)
    assert (first["stability_seeds"] == 1).all() and (first["stability_sweeps"] == 1).all()
    assert (first["stability_detectors"] == 1).all()
    tested = scores["role"] == "tested"
    assert (tested == (scores["split"] == "test")).all()
    assert scores["p_value"].notna().tolist() == tested.tolist()
    assert first["p_value"].tolist() == pytest.approx([1 / 121] * 4)  # an object calibrates once
    out = capsys.readouterr().out
    assert "7_3: 1020 rows, 8 detectors" in out and "20000, 20005" in out


def test_nothing_is_scored_twice(planted, tree, capsys, monkeypatch):
    assert detect([str(planted), *FAST]) == 0
    before = {path: path.stat().st_mtime_ns for path in tree.anomalies.rglob("*")}
    assert not any(path.is_dir() for path in (tree.multiruns / "anomalies").iterdir())
    monkeypatch.setattr(run, "prepare", None)
    capsys.readouterr()
    assert detect([str(planted), *FAST]) == 0
    assert "nothing to score" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tree.anomalies.rglob("*")} == before


def test_the_same_seed_gives_the_same_bytes(planted, tree):
    settings = [str(planted), *FAST, "+seed=1"]
    assert detect(settings) == 0
    first = contents(tree)
    assert detect([*settings, "--fresh"]) == 0
    assert contents(tree) == first
    assert detect([*settings, "detectors.seed=1"]) == 0
    again = contents(tree)
    assert all(again[name] != first[name] for name in first)


def test_another_seed_of_a_point_changes_only_what_is_compared(planted, tree, monkeypatch):
    assert detect([str(planted), *FAST, "+seed=1"]) == 0
    alone = table(tree)
    assert alone["stability_seeds"].isna().all() and alone["stability_sweeps"].notna().all()
    scored = []
    original = run.prepare
    monkeypatch.setattr(run, "prepare", lambda s: scored.append(s.name) or original(s))
    assert detect([str(planted), *FAST]) == 0
    assert len(scored) == 2
    both = table(tree)
    assert both["stability_seeds"].notna().all()
    kept = [name for name in both.columns if name not in ("stability_seeds", "stability_sweeps")]
    pd.testing.assert_frame_equal(both[kept], alone[kept])


@pytest.mark.parametrize("how", ["zmean", "minmax", "moa"])
def test_a_combination_is_the_score(planted, tree, how):
    quick = [str(planted), *FAST, "+seed=1", "detectors.splits=[test]"]
    assert detect([*quick, f"detectors.score={how}"]) == 0
    scores = table(tree)
    assert set(scores["split"]) == {"test"}  # fitted on train, calibrated by val
    assert set(scores["role"]) == {"tested"}
    assert set(scores.nsmallest(4, "rank")["id"] % 100_000 - 20_000) == set(ODD)
    assert not np.allclose(scores["score"], scores["iforest"])


def test_a_detector_that_fails_is_left_out_and_named(planted, tree, capsys):
    assert detect([str(planted), *FAST, "+seed=1", BROKEN]) == 0
    out = capsys.readouterr().out
    assert "left out: 7_0: broken: it cannot be fitted" in out
    found = find_scores(tree)[0]
    assert "n_neighbors" in found.info.config["left_out"]["broken"]
    assert found.detectors == ("iforest", "ecod")
    assert "broken" not in read_scores(found.path).columns


def test_without_the_detector_that_counts_there_are_no_scores(planted, tree, capsys):
    command = [str(planted), *FAST, "+seed=1", BROKEN, "detectors.score=broken"]
    assert detect(command) == 1
    assert "failed: 7_0: broken: it cannot be fitted" in capsys.readouterr().out
    with pytest.raises(ProductError, match=r"python -m wwdc\.detect"):
        find_scores(tree)


def test_a_detector_without_its_columns_is_left_out(planted, tree, capsys):
    node = "{_target_: wwdc.discovery.detectors.GivenKnown, optional: false}"
    assert detect([str(planted), *FAST, f"detectors.detectors.given_known={node}"]) == 0
    reason = find_scores(tree)[0].info.config["left_out"]["given_known"]
    assert "log_prob_unconditional_mean" in reason
    assert "left out: 7_0: given_known" in capsys.readouterr().out


def test_a_refused_argument_starts_nothing(planted, tree, capsys):
    assert detect([str(planted), *FAST, "+detectors.detectors.ecod.bins=3"]) == 2
    assert "detectors.detectors.ecod" in capsys.readouterr().err
    assert not tree.anomalies.exists()


def test_columns_of_the_catalogue_and_densities(planted, tree):
    node = "{_target_: wwdc.discovery.detectors.Density}"
    settings = [f"detectors.detectors.density={node}", "detectors.columns=[u,size,angle,kind]"]
    assert detect([str(planted), *FAST, "+seed=1", *settings]) == 0
    found = find_scores(tree)[0]
    assert found.info.config["columns"] == ["u", "size", "angle", "kind", "log_prob_mean"]
    scores = read_scores(found.path)
    log_prob = pd.concat(
        pd.read_parquet(tree.embeddings / "7_0" / f"{split}.parquet")["log_prob_mean"]
        for split in ("train", "val", "test")
    )
    np.testing.assert_allclose(scores["density"], -log_prob)


def test_rows_with_nan_are_last_and_counted(planted, tree, tmp_path, capsys):
    product = next(p for p in tree.embedded() if p.path.match("7_0/test.parquet"))
    write(tmp_path / "spoilt.parquet", "test", 90, seed=1, spoil=(3, 8))
    from wwdc.products import publish

    publish(tmp_path / "spoilt.parquet", product.path, product.info)
    assert detect([str(planted), *FAST]) == 0
    assert "not scored: 7_0: 2 rows with NaN" in capsys.readouterr().out
    scores = table(tree)
    lost = scores["score"].isna()
    assert lost.sum() == 2 and scores.loc[lost, "rank"].tolist() == [1019, 1020]
    assert scores.loc[lost, "p_value"].isna().all()


def test_the_shortlist(planted, tree):
    from astropy.table import Table

    assert detect([str(planted), *FAST, "detectors.shortlist.fdr=0.4"]) == 0
    folder = tree.anomalies / "7_0"
    listed = pd.read_csv(folder / "shortlist.csv")
    scores = table(tree).sort_values("rank").head(10)
    assert listed["rank"].tolist() == list(range(1, 11))
    assert listed["id"].tolist() == scores["id"].tolist()
    embedding = pd.read_parquet(tree.embeddings / "7_0" / "test.parquet").set_index("id")
    for row in listed[listed["split"] == "test"].itertuples():
        assert row.size == pytest.approx(embedding.loc[row.id, "size"])
        assert row.kind == embedding.loc[row.id, "kind"]
    assert listed["significant"].sum() == (listed["q_value"] <= 0.4).sum() == 4
    field = pq.read_schema(folder / "shortlist.parquet").field("size")
    assert field.metadata[b"units"] == b"arcsec"
    fits = Table.read(folder / "shortlist.fits")
    assert str(fits["size"].unit) == "arcsec" and len(fits) == 10


def test_a_lost_shortlist_is_written_again(planted, tree):
    assert detect([str(planted), *FAST]) == 0
    shortlist = tree.anomalies / "7_0" / "shortlist.csv"
    before = shortlist.read_bytes()
    shortlist.unlink()
    assert detect([str(planted), *FAST]) == 0
    assert shortlist.read_bytes() == before


def test_a_run_that_was_stopped_goes_on(planted, tree, monkeypatch, capsys):
    """Blocks that are written are not written again; drafts are kept."""
    command = [str(planted), *FAST]
    monkeypatch.setattr(work, "BLOCK_ROWS", work.CHUNK)
    done: list[str] = []
    original = work._Scorer.__call__

    def noting(self, task):
        done.append(str(task.path))
        original(self, task)

    monkeypatch.setattr(work._Scorer, "__call__", noting)
    clock = iter([0.0] * 4)
    monkeypatch.setattr(run.time, "time", lambda: next(clock, 2e9))
    assert detect([*command, "tune.time_budget_s=1000"]) == 3
    assert "goes on: python -m wwdc.detect" in capsys.readouterr().out
    assert not list(tree.anomalies.glob("*"))
    first = list(done)
    assert first
    monkeypatch.undo()
    monkeypatch.setenv("DATA_ROOT", str(tree.data_root))
    monkeypatch.setattr(work._Scorer, "__call__", noting)
    assert detect(command) == 0
    assert not set(first) & set(done[len(first) :])
    stopped = contents(tree)
    assert detect([*command, "--fresh"]) == 0
    assert contents(tree) == stopped


def test_a_dry_run_lists_and_writes_nothing(planted, tree, capsys):
    before = sorted(tree.path.rglob("*"))
    assert detect([str(planted), *FAST, "--dry-run", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["embeddings"]
    assert [row["status"] for row in listed] == ["new"] * 4
    assert listed[0]["rows"] == 1020 and listed[0]["detectors"] == ["iforest", "ecod"]
    assert sorted(tree.path.rglob("*")) == before


def test_json(planted, capsys):
    assert detect([str(planted), *FAST, "+seed=1", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["embeddings"][0]
    assert row["status"] == "done" and row["detectors"] == ["iforest", "ecod"]
    assert row["top"][:2] == [20000, 20005] and Path(row["path"]).is_file()


def test_without_embeddings_the_command_is_named(planted, tree, capsys):
    shutil.rmtree(tree.embeddings)
    assert detect([str(planted), *FAST]) == 2
    assert f"python -m wwdc.embed {planted}" in capsys.readouterr().err


def test_a_damaged_embedding_is_named_and_the_others_are_scored(planted, tree, capsys):
    broken = tree.embeddings / "7_0" / "test.parquet"
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 255
    broken.write_bytes(data)
    assert detect([str(planted), *FAST]) == 1
    assert f"not scored: {broken}" in capsys.readouterr().out
    assert [scores.name for scores in find_scores(tree)] == ["7_1", "7_2", "7_3"]


def test_verify_looks_at_scores_and_at_what_they_were_made_from(planted, tree):
    assert detect([str(planted), *FAST]) == 0
    assert not verify(tree)
    scores = tree.anomalies / "7_0" / "scores.parquet"
    whole = scores.read_bytes()
    scores.write_bytes(whole[:-1] + b"x")
    assert [(p.path, p.broken) for p in verify(tree)] == [(scores, True)]
    with pytest.raises(ProductError, match="not the file that was published"):
        find_scores(tree)
    scores.write_bytes(whole)
    shutil.rmtree(tree.embeddings / "7_0")
    notes = [p for p in verify(tree) if p.path == scores]
    assert len(notes) == 3 and not any(p.broken for p in notes)
    assert all("not there any more" in p.message for p in notes)


def test_gc_takes_work_that_nobody_goes_on_with(planted, tree):
    assert detect([str(planted), *FAST]) == 0
    young, old = (tree.multiruns / "anomalies" / name for name in ("a" * 24, "b" * 24))
    for folder in (young, old):
        (folder / "scores").mkdir(parents=True)
        (folder / "scores" / ".x.npy.12-0a1b2c3d.tmp").write_bytes(b"x")
    for path in (*old.rglob("*"), old):
        os.utime(path, (1e9, 1e9))
    assert [garbage.path for garbage in gc(tree, delete=True)] == [old]
    assert young.exists() and not old.exists()
    assert not verify(tree) or all(not p.broken for p in verify(tree))
    orphan = tree.anomalies / "7_9" / "scores.parquet"
    orphan.parent.mkdir()
    orphan.write_bytes(b"x")
    assert orphan in [p.path for p in verify(tree)]


def test_two_commands_do_not_score_one_experiment(planted, tree, capsys):
    from filelock import FileLock

    folder = tree.multiruns / "anomalies"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        assert detect([str(planted), *FAST]) == 2
    assert "another command is scoring it" in capsys.readouterr().err
