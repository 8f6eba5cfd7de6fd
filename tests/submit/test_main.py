"""`python -m wwdc.submit`, from the command line to what Slurm is told."""

import json
import os
import shlex
import sys

import pytest

from tests.conftest import flow_experiment, vae_experiment
from wwdc.cli import STAGES
from wwdc.submit import CLUSTER_STAGES, scripts
from wwdc.submit.__main__ import main

HEAD = str(scripts() / "ray_head.sh")


@pytest.fixture
def vae(tmp_path, data_root):
    return vae_experiment(tmp_path / "my experiments")


def words_after_script(call):
    return call[call.index(HEAD) + 1 :]


def test_a_job_gets_the_stage_with_its_overrides_unharmed(slurm, vae, data_root, capsys):
    override = 'x_ds.drop_variables=["b","angle"]'
    assert main([str(vae), override, "meta.description=a  b", "--site", "arc", "--nodes", "3"]) == 0
    (call,) = slurm.calls
    log = data_root / "DIGITS" / "VAE" / "multiruns" / "slurm"
    assert call[:4] == [
        "sbatch",
        "--parsable",
        "--job-name=wwdc-tiny_vae",
        f"--output={log}/%j.out",
    ]
    assert "--cpus-per-task=16" in call
    assert [word for word in call if word.startswith("--nodes")] == ["--nodes=3"]
    assert call[-6:] == ["--export=ALL", HEAD, "tune", str(vae), override, "meta.description=a  b"]
    assert slurm.variables == [
        {
            "WWDC_CLUSTER": str(scripts()),
            "WWDC_SITE": str(scripts() / "sites" / "arc.env"),
            "WWDC_PYTHON": sys.executable,
            "DATA_ROOT": str(data_root),
        }
    ]
    assert log.is_dir()
    out = capsys.readouterr().out
    assert f"job 41: tune, log {log}/41.out\n" in out
    for command in ("squeue --jobs=41", f"tail -F {log}/41.out", "scancel 41"):
        assert f" {command}\n" in out
    status = shlex.join(["python", "-m", "wwdc.tune", str(vae), override, "meta.description=a  b"])
    assert f" {status} --status\n" in out


def test_commands_name_the_cluster(slurm, vae, capsys):
    slurm.answer(0, "41;htc\n")
    slurm.answer(1, "42;htc\n")
    assert main([str(vae), "--stages=tune,embed"]) == 0
    out = capsys.readouterr().out
    assert "squeue --clusters=htc --jobs=41,42\n" in out
    assert "scancel --clusters=htc 41 42\n" in out


def test_options_of_the_site_then_the_users(slurm, vae, tmp_path):
    site = tmp_path / "mine.env"
    site.write_text('WWDC_SBATCH="--time=5 --nodes=2"\nWWDC_PYTHON=/shared/python\n')
    argv = [str(vae), "--site", str(site), "--sbatch=--time=60 --comment='a b'"]
    assert main(argv) == 0
    (call,) = slurm.calls
    nodes = [word for word in call if word.startswith("--nodes")]
    assert nodes == ["--nodes=1", "--nodes=2"]  # the later counts
    assert call.index("--time=5") < call.index("--time=60")
    assert "--comment=a b" in call
    assert slurm.variables[0]["WWDC_PYTHON"] == "/shared/python"
    assert slurm.variables[0]["WWDC_SITE"] == str(site)


def test_without_a_site_that_of_the_environment_is_not_taken(slurm, vae, monkeypatch):
    monkeypatch.setenv("WWDC_SITE", "arc")
    assert main([str(vae)]) == 0
    assert slurm.variables[0]["WWDC_SITE"] == ""


def test_a_chain_in_the_order_of_the_workflow(slurm, vae):
    argv = [str(vae), "splits=[test]", "+tests.alpha=0.01", "+seed=7", "--trust"]
    assert main([*argv, "--stages", "stats,tune,embed", "--after", "7"]) == 0
    assert [words_after_script(call)[0] for call in slurm.calls] == ["tune", "embed", "stats"]
    waits = [next(w for w in call if w.startswith("--dependency")) for call in slurm.calls]
    assert waits == [f"--dependency=afterany:{job}" for job in ("7", "41", "42")]
    own = ["splits=[test]", "+tests.alpha=0.01"]
    assert words_after_script(slurm.calls[0])[2:] == ["+seed=7", "--trust"]
    assert words_after_script(slurm.calls[1])[2:] == [*own, "+seed=7", "--trust"]
    assert words_after_script(slurm.calls[2])[2:] == [*own, "+seed=7", "--trust"]


def test_json_is_one_document(slurm, vae, data_root, capsys):
    slurm.answer(0, "41;htc\n")
    assert main([str(vae), "--stages=tune,embed", "--json"]) == 0
    captured = capsys.readouterr()
    first, second = json.loads(captured.out)["jobs"]
    log = data_root / "DIGITS" / "VAE" / "multiruns" / "slurm" / "41.out"
    assert list(first) == ["stage", "job_id", "cluster", "command", "log"]
    assert (first["stage"], first["job_id"], first["cluster"]) == ("tune", "41", "htc")
    assert first["log"] == str(log)
    assert shlex.split(first["command"])[4:] == slurm.calls[0]
    assert (second["stage"], second["job_id"], second["cluster"]) == ("embed", "42", None)
    assert "--dependency=afterany:41" in shlex.split(second["command"])
    assert "scancel" in captured.err


def test_print_shows_what_would_be_submitted(slurm, vae, data_root, capsys):
    override = 'x_ds.drop_variables=["b","angle"]'
    assert main([str(vae), override, "--print"]) == 0
    line, script = capsys.readouterr().out.split("\n\n", 1)
    assert script == (scripts() / "ray_head.sh").read_text()
    assert slurm.calls == []
    assert not data_root.exists()
    assert main([str(vae), override]) == 0
    words = shlex.split(line)
    assert words[4:] == slurm.calls[0]
    assert words[:4] == [f"{name}={value}" for name, value in slurm.variables[0].items()]


def test_the_printed_lines_of_a_chain_can_be_run(slurm, vae, capsys):
    assert main([str(vae), "--stages=tune,embed,stats", "--print"]) == 0
    lines = capsys.readouterr().out.split("\n\n", 1)[0]
    slurm.answer(0, "41;htc\n")
    assert os.waitstatus_to_exitcode(os.system(lines)) == 0
    printed = slurm.calls
    assert main([str(vae), "--stages=tune,embed,stats"]) == 0
    submitted = slurm.calls[3:]
    assert [c for c in printed if c[0] == "sbatch"] == [
        [w.replace("afterany:44", "afterany:41").replace("afterany:45", "afterany:42") for w in c]
        for c in submitted
    ]


def test_print_as_json(slurm, vae, capsys):
    assert main([str(vae), "--stages=tune,embed", "--print", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["jobs"]
    assert first["job_id"] is second["job_id"] is None
    assert first["log"].endswith("/multiruns/slurm/%j.out")
    assert shlex.split(first["command"])[4] == "sbatch"
    assert "--dependency=afterany:${tune%%;*} " in second["command"]
    assert slurm.calls == []


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["lightning_loader.lrr=1"], "lightning_loader.lrr"),
        (["splits=[nope]", "--stages=tune,embed"], "there is no split 'nope'"),
        (["tests.alpha=7", "--stages=tune,stats"], "alpha"),
        (["x_ds.drop_variables=[nope]"], "nope"),
        (["embed.shard_rows=5"], "embed.shard_rows"),
        (["hydra/launcher=arc"], "python -m wwdc.submit"),
        (["--site=ark"], "Did you mean 'arc'?"),
        (["--stages=tune,embd"], "Did you mean 'embed'?"),
        (["--stages=prepare"], "'prepare' is no stage that runs on a cluster"),
        (["--sbatch=--comment='a"], "No closing quotation"),
    ],
)
def test_a_mistake_is_told_and_nothing_submitted(slurm, vae, data_root, capsys, arguments, told):
    assert main([str(vae), *arguments]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert captured.out == ""
    assert slurm.calls == []
    assert not data_root.exists()


@pytest.mark.parametrize("flag", ["--nodes=0", "--nodes=two", "--after=tune", "--after=7;htc"])
def test_a_wrong_number(slurm, vae, capsys, flag):
    with pytest.raises(SystemExit) as error:
        main([str(vae), flag])
    assert error.value.code == 2
    assert slurm.calls == []


def test_data_root_has_to_be_set(slurm, vae, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("DATA_ROOT")
    monkeypatch.chdir(tmp_path)
    assert main([str(vae)]) == 2
    assert "export DATA_ROOT=" in capsys.readouterr().err
    assert slurm.calls == []
    assert main([str(vae), f"paths.data_dir={tmp_path}/own"]) == 0
    assert slurm.variables[0]["DATA_ROOT"] == f"{tmp_path}/own"


def test_data_root_is_passed_on_absolute(slurm, vae, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_ROOT", "there")
    assert main([str(vae)]) == 0
    assert slurm.variables[0]["DATA_ROOT"] == str(tmp_path / "there")


def test_a_percent_sign_in_data_root(slurm, vae, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "%j"))
    assert main([str(vae), "--json"]) == 0
    folder = f"{tmp_path}/%%j/DIGITS/VAE/multiruns/slurm"
    assert f"--output={folder}/%j.out" in slurm.calls[0]
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert job["log"] == f"{tmp_path}/%j/DIGITS/VAE/multiruns/slurm/41.out"


def test_a_log_folder_that_cannot_be_made(slurm, vae, data_root, capsys):
    (data_root / "DIGITS" / "VAE" / "multiruns").mkdir(parents=True)
    (data_root / "DIGITS" / "VAE" / "multiruns" / "slurm").touch()
    assert main([str(vae)]) == 2
    assert "multiruns/slurm cannot be made" in capsys.readouterr().err
    assert slurm.calls == []


def test_a_missing_vae_is_refused_unless_a_job_may_make_it(slurm, vae, capsys):
    flow = flow_experiment(vae.parent)
    assert main([str(flow)]) == 2
    command = f"python -m wwdc.tune {shlex.quote(str(vae))}"
    assert command in capsys.readouterr().err
    assert slurm.calls == []
    assert main([str(flow), "--after=7"]) == 0
    assert command in capsys.readouterr().err
    assert "--dependency=afterany:7" in slurm.calls[0]


def test_a_stage_without_what_it_needs_is_refused(slurm, vae, capsys):
    assert main([str(vae), "--stages=embed"]) == 2
    assert "nothing is trained yet that embed could use" in capsys.readouterr().err
    assert slurm.calls == []
    assert main([str(vae), "--stages=embed", "--after=7"]) == 0


def test_no_sbatch_on_the_path(vae, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([str(vae)]) == 2
    assert "there is no sbatch" in capsys.readouterr().err


def test_a_login_node_without_a_gpu_trains_nothing_on_its_cpu(slurm, vae, capsys):
    assert main([str(vae), "trainer=gpu", "--print"]) == 0
    assert "GPU" not in capsys.readouterr().err


def test_stages_are_those_of_the_command():
    assert set(CLUSTER_STAGES) <= set(STAGES)


@pytest.mark.ray
def test_finished_training_is_not_submitted(slurm, flow, capsys):
    assert main([str(flow)]) == 0
    assert "All 4 points are done" in capsys.readouterr().out
    assert slurm.calls == []
    assert main([str(flow), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"jobs": []}
    assert main([str(flow), "--print"]) == 0
    assert "#!" not in capsys.readouterr().out
    assert main([str(flow), "--stages=tune,embed"]) == 0
    assert [words_after_script(call)[0] for call in slurm.calls] == ["embed"]
    assert not any(word.startswith("--dependency") for word in slurm.calls[0])
    assert main([str(flow), "--stages=stats"]) == 2
    assert "nothing is embedded yet" in capsys.readouterr().err
