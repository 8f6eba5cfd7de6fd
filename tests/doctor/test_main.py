"""`python -m wwdc.doctor`, as a whole."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from wwdc.doctor import Machine, examine
from wwdc.doctor.__main__ import main

NAMES = ["Python", "wwdc", "packages", "host name", "CPUs", "memory", "limits", "temp folders",
         "/dev/shm", "DATA_ROOT", "space", "files", "shared", "torch", "GPUs", "RAY_*",
         "leftovers", "Ray", "Slurm", "job"]  # fmt: skip


def run(*arguments, **environment):
    """The doctor in a shell without RAY_*: a Ray that pytest itself has started sets several."""
    shell = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-m", "wwdc.doctor", *arguments],
        env=shell | environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=400,
    )


def by_name(text):
    return {check["name"]: check for check in json.loads(text)["checks"]}


def test_quick_as_json(tmp_path):
    done = run("--json", "--quick", DATA_ROOT=str(tmp_path))
    checks = by_name(done.stdout)  # one document, or this raises
    assert [name for name in checks if name in NAMES] == NAMES
    assert done.returncode == (1 if json.loads(done.stdout)["failed"] else 0)
    ours = ("Python", "wwdc", "packages", "DATA_ROOT", "files")
    assert {checks[name]["state"] for name in ours} == {"ok"}, done.stdout
    assert checks["Ray"]["state"] == "not here"
    assert list(tmp_path.iterdir()) == []


def test_a_data_root_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("--quick", DATA_ROOT=str(tmp_path / "file" / "root"))
    assert done.returncode == 1
    assert "To mend\n  DATA_ROOT: " in done.stdout
    assert "      export DATA_ROOT=" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_what_is_broken_fails_alone(tmp_path):
    """A package of ours that cannot be imported, and another that kills who imports it."""
    (tmp_path / "psutil.py").write_text("raise ImportError('a library is missing')")
    (tmp_path / "zuko.py").write_text("import os; os.abort()")
    done = run("--json", "--quick", DATA_ROOT=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    checks = by_name(done.stdout)
    assert "a library is missing" in checks["memory"]["found"]
    assert {checks[name]["state"] for name in ("Python", "limits", "temp folders")} == {"ok"}
    assert checks["packages"]["state"] == "fails"
    told = [checks["packages"]["found"], *checks["packages"]["details"]]
    assert any("zuko does not import: killed by signal 6" in text for text in told)
    assert all(check["fix"] for check in checks.values() if check["state"] == "fails")


@pytest.mark.ray
def test_in_full(tmp_path):
    """Another Ray's address in the shell is noticed, and obeyed by nobody."""
    done = run("--json", DATA_ROOT=str(tmp_path), RAY_ADDRESS="127.0.0.1:1")
    checks = by_name(done.stdout)
    assert checks["Ray"]["state"] == "ok", done.stdout + done.stderr
    assert checks["Ray"]["found"].startswith("started, ran a task, ended, in ")
    assert checks["RAY_*"]["command"] == "unset RAY_ADDRESS"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_trials_that_stop_early_give_back_their_cpus():
    from wwdc.doctor.rays import check_start, start_ray

    check = check_start(start_ray(early_stop=True), early_stop=True)
    assert check.state == "ok", check
    assert "stopped trials early" in check.found


def test_what_comes_next_is_told(monkeypatch):
    monkeypatch.setattr(Machine, "imported", ((), None))
    said = []
    groups = list(examine(Machine(environment={}, quick=True), said.append))
    assert said == [group.name for group in groups]
    assert said == ["Python", "Machine", "Data", "GPUs", "Ray", "Slurm"]


def test_flags_that_contradict(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--quick", "--early-stop"])
    assert left.value.code == 2
    assert "--early-stop" in capsys.readouterr().err


def test_an_experiment_is_not_taken():
    with pytest.raises(SystemExit) as left:
        main(["experiments/digits_vae"])
    assert left.value.code == 2
