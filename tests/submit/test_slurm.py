"""Chains on a real Slurm: what is submitted trains and embeds."""

import json

import pytest

from tests.cluster.slurm import Job, Slurm, requires_slurm
from tests.conftest import flow_experiment, vae_experiment
from wwdc.products import Tree
from wwdc.submit.__main__ import main

pytestmark = [pytest.mark.slow, requires_slurm]

JOB_S = 180.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("slurm"), hosts=1) as started:
        yield started


@pytest.fixture
def login_node(cluster, monkeypatch):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    return cluster


def submitted(slurm, capsys):
    return [Job(slurm, job["job_id"]) for job in json.loads(capsys.readouterr().out)["jobs"]]


def test_a_flow_is_trained_and_embedded_after_its_vae(login_node, tmp_path, monkeypatch, capsys):
    root = tmp_path / "100 %j"
    monkeypatch.setenv("DATA_ROOT", str(root))
    experiments = tmp_path / "my experiments"
    vae, flow = vae_experiment(experiments), flow_experiment(experiments)
    assert main([str(vae), "--site=dev", "--json"]) == 0
    (first,) = submitted(login_node, capsys)
    overrides = ["+seed=1", 'x_ds.drop_variables=["b", "angle"]', "splits=[val]"]
    chain = ["--site=dev", "--stages=tune,embed", f"--after={first.id}", "--json"]
    assert main([str(flow), *overrides, *chain]) == 0
    tune, embed = submitted(login_node, capsys)
    for job in (first, tune, embed):
        assert job.wait(JOB_S) == 0, job.text()
    tree = Tree(root, "DIGITS", "FLOW")
    (point,) = tree.products()
    assert point.info.job_id == tune.id
    assert point.info.overrides == {"data.x_ds.drop_variables": ["b", "angle"], "seed": 1}
    (embedding,) = tree.embedded()
    assert embedding.path.stem == "val"
    log = tree.multiruns / "slurm" / f"{tune.id}.out"
    assert f"job {tune.id} ends with code 0" in log.read_text()


def test_a_refusal_is_told_in_slurms_words(login_node, tmp_path, data_root, capsys):
    folder = vae_experiment(tmp_path)
    assert main([str(folder), "--site=dev", "--sbatch=--partition=long"]) == 2
    assert "Invalid partition name specified" in capsys.readouterr().err
    assert login_node.run("squeue", "--noheader", "--name=wwdc-tiny_vae").stdout == ""


@pytest.mark.timeout(900)
def test_the_whole_workflow_is_one_job(login_node, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "root"))
    vae_experiment(tmp_path)
    flow = flow_experiment(tmp_path)
    quick = ["+seed=1", "tests=quick", "tests.permutations=99", "tests.bootstraps=99"]
    quick += ["detectors=quick", "~detectors.detectors.hbos", "~detectors.detectors.pca"]
    quick += ["~detectors.detectors.ecod", "figures=quick"]
    assert main([str(flow), *quick, "--site=dev", "--stages=run", "--json"]) == 0
    (job,) = submitted(login_node, capsys)
    assert job.wait(600) == 0, job.text()
    tree = Tree(tmp_path / "root", "DIGITS", "FLOW")
    assert len(tree.products()) == 2 and tree.scored()
    assert (tree.report / "index.html").is_file()
    assert f"Report: {tree.report / 'index.html'}" in job.text()
