"""`python -m wwdc.report` on real products: the page, what is kept, what is missing."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.conftest import flow_experiment, vae_experiment
from wwdc.products import Tree
from wwdc.report.__main__ import main as report
from wwdc.report.settings import SECTIONS

pytestmark = pytest.mark.ray

QUICK = ("figures=quick", "figures.map=true")
LIGHT = (
    *("tests=quick", "tests.probes.mlp=null", "tests.permutations=99", "tests.bootstraps=99"),
    *(f"tests.{kind}=null" for kind in ("independence", "two_sample", "conditional", "base")),
    "tune.cpus=1",
)


@pytest.fixture(scope="module")
def tested(trained_flow, tmp_path_factory) -> tuple[Path, Path]:
    """The tiny flow, embedded, tested, scored and labelled: its folder and DATA_ROOT."""
    from wwdc.detect.__main__ import main as detect
    from wwdc.embed.__main__ import main as embed
    from wwdc.label.events import Posted
    from wwdc.label.log import LabelLog
    from wwdc.stats.__main__ import main as stats

    root, experiment = trained_flow
    copy = tmp_path_factory.mktemp("report") / "root"
    shutil.copytree(root, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(copy))
        splits = "splits=[train,val,test]"
        assert embed([str(experiment), splits, "embed.engine=inline"]) == 0
        assert stats([str(experiment), *LIGHT]) == 0
        assert detect([str(experiment), "detectors=quick", "tune.cpus=1"]) == 0
    tree = Tree(copy, "DIGITS", "FLOW")
    scored = tree.scored()[0]
    ids = pd.read_parquet(scored.path, columns=["id"])["id"][:3]
    log = LabelLog(tree.labels / "look.sqlite", fingerprint="f" * 16, embedding="x")
    for place, object_id in enumerate(ids):
        kind = "anomaly" if place else "normal"
        log.add(Posted(uuid=f"label-{place}x", id=int(object_id), labeller="ann", kind=kind))
    log.close()
    return experiment, copy


@pytest.fixture
def experiment(tested, data_root) -> Path:
    folder, root = tested
    shutil.copytree(root, data_root)
    return folder


def document(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def statuses(found: dict) -> dict[str, str]:
    return {row["name"]: row["status"] for row in found["figures"]}


def test_the_whole_report(experiment, tree, capsys):
    assert report([str(experiment), *QUICK, "--json"]) == 0
    found = document(capsys)
    html = (tree.report / "index.html").read_text()
    assert found["page"] == str(tree.report / "index.html")
    for name, heading in SECTIONS.items():
        assert f'<section id="{name}"><h2>{heading}</h2>' in html
    drawn = [n for n, status in statuses(found).items() if status == "drawn"]
    assert {"seeds", "training_curves", "reconstructions", "samples", "verdicts", "map_pca",
            "gallery", "discovery", "normality"} <= set(drawn)  # fmt: skip
    for name in drawn:
        assert f'<figure id="{name}">' in html
        assert {p.suffix for p in (tree.report / "figures").glob(f"{name}.*")} == {
            ".svg", ".png", ".csv", ".json",
        }  # fmt: skip
    assert len(html) < 10_000_000
    for text in ("only_b", "Drop digit", "4 of 4", "seed with the median val_loss"):
        assert text in html
    digests = [product.info.sha256 for product in tree.products()]
    assert all(digest in html for digest in digests)


def test_a_second_run_keeps_what_did_not_change(experiment, tree, capsys):
    report([str(experiment), *QUICK, "--json"])
    first = document(capsys)
    figures = {p: p.read_bytes() for p in (tree.report / "figures").iterdir()}
    report([str(experiment), *QUICK, "--json"])
    again = statuses(document(capsys))
    drawn = {name for name, status in statuses(first).items() if status == "drawn"}
    assert {name for name, status in again.items() if status == "kept"} == drawn
    assert {p: p.read_bytes() for p in (tree.report / "figures").iterdir()} == figures
    report([str(experiment), *QUICK, "--json", "--fresh"])
    assert statuses(document(capsys)) == statuses(first)
    assert {p: p.read_bytes() for p in (tree.report / "figures").iterdir()} == figures


def test_a_label_redraws_the_figures_that_show_labels(experiment, tree, capsys):
    from wwdc.label.events import Posted
    from wwdc.label.log import LabelLog

    report([str(experiment), *QUICK, "--json"])
    capsys.readouterr()
    log = LabelLog(tree.labels / "look.sqlite", fingerprint="f" * 16, embedding="x")
    log.add(Posted(uuid="label-new", id=1, labeller="bob", kind="anomaly"))
    log.close()
    report([str(experiment), *QUICK, "--json"])
    found = statuses(document(capsys))
    assert found["discovery"] == "drawn" and found["gallery"] == "drawn"
    assert found["verdicts"] == "kept" and found["map_pca"] == "kept"


def test_the_map_file(experiment, tree, capsys):
    report([str(experiment), *QUICK, "--json"])
    paths = [Path(text) for text in document(capsys)["maps"]]
    assert len(paths) == 2 and all(path.parent == tree.report / "map" for path in paths)
    tables = {path.stem: pq.read_table(path).to_pandas() for path in paths}
    for table in tables.values():
        assert list(table.columns[:3]) == ["id", "x", "y"] and table["id"].is_unique
        assert {"r", "digit"} <= set(table)
    scored = [table for table in tables.values() if "score" in table]
    assert scored and scored[0]["iforest"].notna().all() and (scored[0]["rank"] >= 1).all()


def test_what_is_missing_is_told_with_its_command(tmp_path, flow, tree, capsys):
    assert report([str(flow), *QUICK]) == 0
    html = (tree.report / "index.html").read_text()
    for stage in ("embed", "stats", "detect"):
        assert f"<code>python -m wwdc.{stage} " in html
    assert "lacking: verdicts: the embeddings have not been tested" in capsys.readouterr().out


def test_nothing_at_all(tmp_path, data_root, capsys):
    folder = vae_experiment(tmp_path)
    assert report([str(folder), *QUICK]) == 0
    html = (Tree(data_root, "DIGITS", "VAE").report / "index.html").read_text()
    assert "0 of 1" in html and "<code>python -m wwdc.tune " in html


def test_a_dry_run_draws_nothing(experiment, tree, capsys):
    assert report([str(experiment), "--dry-run", "--json"]) == 0
    found = document(capsys)
    assert {row["section"] for row in found["figures"]} == set(SECTIONS) - {"asked", "products"}
    assert report([str(experiment), "--dry-run"]) == 0
    assert "Nothing was drawn." in capsys.readouterr().out
    assert not tree.report.exists()


def test_a_figure_that_fails_does_not_stop_the_others(experiment, tree, capsys, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no such thing")

    monkeypatch.setattr("wwdc.report.figures.left.draw_cell", broken)
    assert report([str(experiment), *QUICK]) == 1
    assert "failed: verdicts: ValueError: no such thing" in capsys.readouterr().out
    html = (tree.report / "index.html").read_text()
    assert "could not be drawn" in html and '<figure id="map_pca">' in html


def test_a_mistake_starts_nothing(experiment, tree, capsys):
    key = "figures.plots.seeds.figure._target_"
    assert report([str(experiment), f"{key}=wwdc.report.figures.training.sedes"]) == 2
    error = capsys.readouterr().err
    assert key.removesuffix("._target_") in error and "Did you mean 'seeds'" in error
    assert not tree.report.exists()


def test_two_experiments_side_by_side(experiment, tree, tmp_path, capsys):
    other = flow_experiment(tmp_path / "other")
    text = (other / "meta.yaml").read_text().replace("experiment_name: FLOW", "experiment_name: B")
    (other / "meta.yaml").write_text(text)
    shutil.copytree(tree.path, tree.path.with_name("B"))
    assert report([str(experiment), str(other), *QUICK, "--json"]) == 0
    found = document(capsys)
    assert [part["experiment"] for part in found["reports"]] == ["DIGITS/FLOW", "DIGITS/B"]
    page = Path(found["comparison"])
    html = page.read_text()
    assert page == tree.report / "compare_DIGITS-B.html"
    assert html.count("Leakage and retention") >= 1
    assert html.count("<strong>DIGITS/FLOW</strong>") == html.count("<strong>DIGITS/B</strong>") > 5
    assert (tree.path.with_name("B") / "report" / "index.html").is_file()


def test_another_experiment_that_is_not_there(experiment, capsys):
    assert report([str(experiment), "experiments/nowhere"]) == 2
    assert "experiments/nowhere" in capsys.readouterr().err
