"""`python -m wwdc.run` on real experiments."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import flow_experiment, vae_experiment
from wwdc.cluster.job import BatchJob
from wwdc.products import Tree
from wwdc.run.__main__ import main
from wwdc.terminal import EXIT_STOPPED

INLINE = ("splits=[train,test]", "embed.engine=inline")
QUICK = (
    *(*INLINE, "tests=quick", "detectors=quick", "tune.cpus=1"),
    *("~tests.probes.mlp", "~tests.probes.knn", "tests.permutations=99", "tests.bootstraps=99"),
    *(f"tests.{kind}=null" for kind in ("independence", "two_sample", "conditional", "base")),
)


def no_ray(*_, **__):
    raise AssertionError("Ray was started")


@pytest.fixture
def without_ray(monkeypatch):
    monkeypatch.setattr("wwdc.cluster.cluster", no_ray, raising=False)


def statuses(capsys):
    document = json.loads(capsys.readouterr().out)
    return {row["stage"]: row["status"] for row in document["stages"]}


def test_a_second_run_finds_everything_up_to_date(flow, tree, capsys, without_ray):
    argv = [str(flow), "--until", "stats", *QUICK]
    assert main([*argv, "--json"]) == 0
    first = statuses(capsys)
    assert first == {
        "prepare": "up to date",
        "tune": "up to date",
        "embed": "done",
        "stats": "done",
    }
    before = {path: path.stat().st_mtime_ns for path in tree.path.rglob("*")}
    assert main([*argv, "--json"]) == 0
    assert set(statuses(capsys).values()) == {"up to date"}
    assert {path: path.stat().st_mtime_ns for path in tree.path.rglob("*")} == before
    assert main([*argv, "tests.alpha=0.01", "--dry-run"]) == 0
    assert "settings or points changed" in capsys.readouterr().out


def test_more_embeddings_are_tested_again(flow, tree, capsys):
    argv = [str(flow), *QUICK, "--until=stats", "--json"]
    assert main([*argv, "+seed=1"]) == 0
    capsys.readouterr()
    assert main(argv) == 0
    assert statuses(capsys)["stats"] == "done"


def test_until_and_from(flow, tree, capsys, without_ray):
    assert main([str(flow), "--until", "embed", *INLINE]) == 0
    assert tree.embedded() and not tree.stat_tests.exists()
    out = capsys.readouterr().out
    assert "DIGITS/FLOW tune: up to date" in out and str(tree.path) in out.splitlines()[-1]
    shutil.rmtree(tree.ckpts)
    assert main([str(flow), "--from", "stats", "--until", "stats", "--dry-run", "--json"]) == 0
    assert statuses(capsys) == {"stats": "due"}


def test_a_dry_run_starts_and_writes_nothing(tmp_path, data_root, capsys, without_ray):
    vae_experiment(tmp_path)
    flow = flow_experiment(tmp_path)
    assert main([str(flow), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.index("DIGITS/VAE") < out.index("DIGITS/FLOW") and "Nothing was started" in out
    assert "4 waiting for what they build on" in out
    assert main([str(flow), "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["experiment"] for each in document["first"]] == ["DIGITS/VAE"]
    assert [row["status"] for row in document["stages"]][:3] == ["due", "due", "later"]
    assert document["report"].endswith("DIGITS/FLOW/report/index.html")
    assert not data_root.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lightning_loader.lrr=1"], "lrr"),
        (["tests.alpha=7"], "tests.alpha"),
        (["detectors.seed=-1"], "detectors.seed"),
        (["figures.rows=0"], "figures.rows"),
        (["splits=[tset]"], "Did you mean 'test'?"),
        (["--from=stats", "--until=tune"], "tune comes before stats"),
        (["--from=embed"], "no point is trained"),
    ],
)
def test_a_mistake_starts_nothing(tmp_path, data_root, capsys, without_ray, words, told):
    vae_experiment(tmp_path)
    assert main([str(flow_experiment(tmp_path)), *words]) == 2
    assert told in capsys.readouterr().err
    assert not data_root.exists()


def test_a_vae_that_nobody_makes(tmp_path, data_root, capsys, without_ray):
    assert main([str(flow_experiment(tmp_path))]) == 2
    assert "DIGITS/VAE" in capsys.readouterr().err
    assert not data_root.exists()


def test_an_unknown_stage_is_refused_by_the_parser(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["experiments/digits_flow", "--until", "label"])
    assert ended.value.code == 2 and "prepare" in capsys.readouterr().err


def test_a_stop_says_how_to_go_on(flow, capsys, without_ray):
    words = ["+seed=1", "--until=embed", "tune.time_budget_s=1e-6"]
    assert main([str(flow), *words]) == EXIT_STOPPED
    line = capsys.readouterr().out.splitlines()[-1]
    command = line.split(": ", 1)[1]
    assert shlex.split(command)[:4] == ["python", "-m", "wwdc.run", str(flow)]
    assert "--until=embed" in command


@pytest.mark.parametrize("made", [True, False])
def test_a_job_that_was_started_again_and_gets_nowhere_is_not_repeated(
    flow, tree, monkeypatch, without_ray, made
):
    def embed(self, *_):
        if made:
            (tree.path / "embeddings" / "1_0").mkdir(parents=True)
            (tree.path / "embeddings" / "1_0" / "test_info.yaml").write_text("x")
        raise Stopped(EXIT_STOPPED)

    from wwdc.tune.stopping import Stopped

    monkeypatch.setattr("wwdc.run.drive.Driver.run", embed)
    monkeypatch.setattr("wwdc.run.__main__.batch_job", lambda: BatchJob(restarts=1))
    assert main([str(flow), "--until", "embed"]) == (3 if made else 1)


@pytest.mark.ray
def test_from_nothing_with_the_vae_first(tmp_path, data_root, ray_session, capsys):
    vae_experiment(tmp_path)
    flow = flow_experiment(tmp_path)
    assert main([str(flow), "+seed=1", "--until=embed", "--json", *INLINE]) == 0
    document = json.loads(capsys.readouterr().out)
    done = [(row["experiment"], row["stage"], row["status"]) for row in document["stages"]]
    assert done == [
        ("DIGITS/VAE", "prepare", "done"),
        ("DIGITS/VAE", "tune", "done"),
        ("DIGITS/FLOW", "prepare", "up to date"),
        ("DIGITS/FLOW", "tune", "done"),
        ("DIGITS/FLOW", "embed", "done"),
    ]
    tree = Tree(data_root, "DIGITS", "FLOW")
    assert len(tree.embedded()) == 4 and not (tree.multiruns / "needs.json").exists()


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path, data_root, ray_session):
    """Killed while the VAE's second seed is not done: it is done first, and the first kept."""
    vae_experiment(tmp_path, seeds=[1, 2])
    flow = flow_experiment(tmp_path)
    argv = [str(flow), "+x_ds.drop_variables=[b]", "--until=embed", "tune.cpus=1", *INLINE]
    command = [sys.executable, "-m", "wwdc.run", *argv]
    environment = dict(os.environ)
    for name in ("RAY_ADDRESS", "RAY_GCS_SERVER_PORT"):  # the session's Ray is not this one's
        environment.pop(name, None)
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, env=environment
    )
    tree = Tree(data_root, "DIGITS", "VAE")
    end = time.monotonic() + 400
    while process.poll() is None and not tree.products() and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {product.path: product.info.sha256 for product in tree.products()}
    assert kept
    assert main(argv) == 0
    after = {product.path: product.info.sha256 for product in tree.products()}
    assert len(after) == 2 and kept.items() <= after.items()
    flows = Tree(data_root, "DIGITS", "FLOW").embedded()
    assert len(flows) == 4
