"""The command on a trained flow: what it needs, serves, exports and simulates."""

import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pandas as pd
import pytest

import wwdc
from tests.conftest import REPOSITORY, flow_experiment
from wwdc.label.__main__ import main

pytestmark = pytest.mark.ray
TIMEOUT_S = 240


@pytest.fixture(scope="module")
def scored_flow(trained_flow, tmp_path_factory) -> tuple[Path, Path]:
    """A DATA_ROOT with the tiny flow's test split embedded and scored, and the flow's folder."""
    from wwdc.detect.__main__ import main as detect
    from wwdc.embed.__main__ import main as embed

    trained, experiment = trained_flow
    root = tmp_path_factory.mktemp("label") / "root"
    shutil.copytree(trained, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        assert embed([str(experiment), "+seed=1"]) == 0
        assert detect([str(experiment), "+seed=1", "detectors=quick"]) == 0
    return root, experiment


@pytest.fixture
def experiment(scored_flow, data_root) -> Path:
    """The flow's folder, with a DATA_ROOT of the test's own."""
    shutil.copytree(scored_flow[0], data_root)
    return scored_flow[1]


def test_scores_are_needed(flow, capsys):
    assert main([str(flow)]) == 2
    assert f"python -m wwdc.detect {flow}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--name", "../x"], "--name ../x"),
        (["label.strategy=aadgpp"], "Did you mean 'aadgp'"),
        (["label.embedding=9_9"], "label.embedding: 99 has no scores"),
        (["label.embedding=nine"], "label.embedding: 'nine' has no scores"),
        (["label.columns=[u_men]"], "label.columns"),
        (["label.split=train"], "label.split"),
        (["--simulate", "digt=1"], "Did you mean 'digit'"),
        (["--import", "none.sqlite", "--name", "theirs"], "no such file"),
    ],
)
def test_a_mistake_is_told_and_nothing_started(experiment, arguments, text, capsys):
    labels = wwdc.Experiment(experiment).tree.labels
    before = sorted(labels.glob("*"))
    assert main([str(experiment), *arguments]) == 2
    assert text in capsys.readouterr().err
    assert sorted(labels.glob("*")) == before


@pytest.mark.parametrize("arguments", [["--export", "labels.csv"], ["--agreement"]])
def test_labels_of_no_campaign_are_not_told(tmp_path, data_root, arguments, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = flow_experiment(tmp_path)
    labels = wwdc.Experiment(folder).tree.labels
    labels.mkdir(parents=True)
    (labels / "rings.sqlite").touch()
    assert main([str(folder), "--name", "rigns", *arguments]) == 2
    said = capsys.readouterr().err
    assert "--name rigns: DIGITS/FLOW has no such labels. Did you mean 'rings'?" in said
    assert main([str(folder), "--name", "rings", *arguments]) == 2
    assert "an empty file, no log of labels" in capsys.readouterr().err
    assert [path.name for path in labels.iterdir()] == ["rings.sqlite"]
    assert not (labels / "rings.sqlite").stat().st_size and not Path("labels.csv").exists()


def test_a_search_is_simulated(experiment, tree, capsys):
    budget = ["label.budget=12", "label.simulate_seeds=2", "label.strategy=gp"]
    assert main([str(experiment), "--simulate", "digit=7", *budget]) == 0
    out = capsys.readouterr().out
    assert re.search(r"labels\s+gp\s+top\s+random", out)
    curve = pd.read_csv(tree.labels / "simulated" / "digit-is-7.csv")
    assert len(curve) == 3 * 2 * 12
    assert set(curve["strategy"]) == {"gp", "top", "random"}


def test_labels_are_taken_kept_and_exported(experiment, tree, tmp_path, capsys):
    arguments = ["label.strategy=gp", "label.umap=false", "label.labeller=ada"]
    process = subprocess.Popen(
        [sys.executable, "-m", "wwdc.label", str(experiment), *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(TIMEOUT_S, process.kill)
    watchdog.start()
    url = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url)
    base, _, token = url.partition("/?token=")
    with httpx.Client(base_url=base, headers={"X-Token": token}, timeout=TIMEOUT_S) as client:
        first = client.get("/api/next").json()["item"]
        assert first["rank"] == 1
        assert client.get("/api/image", params={"id": first["id"]}).content[:4] == b"\x89PNG"
        event = {"uuid": "event-0001", "id": first["id"], "labeller": "ada", "kind": "anomaly"}
        assert client.post("/api/label", json=event).status_code == 200
        while client.get("/api/state").json()["model"]["version"] < 1:
            assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "SIGTERM received" not in errors  # Ray's own handler prints its stack
    watchdog.cancel()

    assert main([str(experiment), "--export", "labels.exe"]) == 2
    assert "suffix" in capsys.readouterr().err
    table = tmp_path / "labels.csv"
    assert main([str(experiment), "--export", str(table), "--agreement"]) == 0
    assert pd.read_csv(table)["id"].tolist() == [first["id"]]
    assert "Krippendorff's alpha, verdict" in capsys.readouterr().out
    log = str(tree.labels / "default.sqlite")
    assert main([str(experiment), "--name", "other", "--import", log]) == 0
    assert "1 events added" in capsys.readouterr().out
