"""What Slurm says, and the job around a process."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.conftest import REPOSITORY
from wwdc.doctor.ask import ask
from wwdc.doctor.slurm import (
    PROGRAMS,
    JobFacts,
    Partition,
    SlurmFacts,
    check_controller,
    check_job,
    check_partitions,
    check_programs,
    check_requeue,
    job_facts,
    slurm_facts,
)

SHORT = Partition("short*", "12:00:00", "20", "48", "380000", "gpu:a100:4", "up")
UP = SlurmFacts(version="slurm 22.05.8", ping=("Slurmctld(primary) at control is UP",))
DOWN = SlurmFacts(ping=("Slurmctld(primary) at control is DOWN",))
ALONE = SlurmFacts(fault="scontrol: fatal: Could not establish a configuration source")
JOB = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_CPUS_ON_NODE": "16",
    "SLURM_GPUS_ON_NODE": "1",
    "SLURM_MEM_PER_NODE": "32000",
    "SLURMD_NODENAME": "node1",
}


@pytest.mark.parametrize(
    ("missing", "state"), [((), "ok"), (PROGRAMS, "not here"), (("srun",), "fails")]
)
def test_programs(missing, state):
    check = check_programs(SlurmFacts(missing, "slurm 22.05.8"))
    assert check.state == state
    assert bool(check.fix) == (state == "fails")


@pytest.mark.parametrize(
    ("facts", "in_job", "state", "found"),
    [
        (UP, False, "ok", "UP"),
        (DOWN, False, "fails", "DOWN"),
        (SlurmFacts(fault="no answer within 10 s"), False, "fails", "no answer within"),
        (ALONE, False, "not here", "no cluster"),
        (ALONE, True, "fails", "configuration source"),
        (replace(ALONE, named=True), False, "fails", "configuration source"),
    ],
)
def test_controller(facts, in_job, state, found):
    check = check_controller(facts, in_job)
    assert check.state == state
    assert found in check.found
    assert bool(check.fix) == (state == "fails")


def test_a_wrong_configuration_is_the_one_to_mend():
    check = check_controller(replace(ALONE, named=True), in_job=False)
    assert check.command == "unset SLURM_CONF"


def test_partitions():
    closed = replace(SHORT, name="long", state="down", gres="(null)")
    check = check_partitions(replace(UP, partitions=(SHORT, closed)))
    assert (check.state, check.found) == ("ok", "1 is up")
    assert check.details == (
        "short*: 12:00:00, 20 × (48 CPUs, 380000 MB, gpu:a100:4)",
        "long: 12:00:00, 20 × (48 CPUs, 380000 MB), down",
    )
    none = check_partitions(replace(UP, partitions=(closed,)))
    assert none.state == "note"
    assert none.fix


@pytest.mark.parametrize(
    ("settings", "state"),
    [({"JobRequeue": "1", "KillWait": "30 sec"}, "ok"), ({"JobRequeue": "0"}, "note"), ({}, "ok")],
)
def test_requeueing(settings, state):
    check = check_requeue(replace(UP, settings=settings))
    assert check.state == state
    assert bool(check.fix) == (state == "note")


@pytest.mark.parametrize(
    ("facts", "state", "found"),
    [
        (JobFacts(None), "not here", "not inside"),
        (JobFacts(None, variables={"SLURM_CONF": "/x", "SLURM_TIME_FORMAT": "x"}), "not here", ""),
        (JobFacts(None, variables={"SLURM_NTASKS": "4"}), "note", "SLURM_NTASKS"),
        (JobFacts("7", "RUNNING", "58:12", variables=JOB), "ok", "58:12 left"),
        (JobFacts("7", "RUNNING", "UNLIMITED", variables=JOB), "ok", "no time limit"),
        (JobFacts("7", "COMPLETED", variables=JOB), "note", "COMPLETED"),
        (JobFacts("7", None, variables=JOB), "note", "unknown to Slurm"),
        (JobFacts("7", None, fault="no answer within 10 s", variables=JOB), "note", "no answer"),
    ],
)
def test_job(facts, state, found):
    check = check_job(facts)
    assert check.state == state
    assert found in check.found
    assert bool(check.fix) == (state == "note")


def test_what_a_job_was_given():
    found = check_job(JobFacts("7", "RUNNING", "58:12", variables=JOB)).found
    assert found == "7: 2 nodes, 16 CPUs here, 1 GPUs here, 32000 MB a node, 58:12 left"


def test_the_variables_of_a_job_that_is_gone_are_unset():
    command = check_job(JobFacts("7", "COMPLETED", variables=JOB)).command
    assert command.startswith("unset SLURM_CPUS_ON_NODE ")
    assert "SLURM_JOB_ID" in command


def test_a_shell_beside_the_jobs_nodes():
    """`salloc` leaves one on the login node."""
    mine = {name: value for name, value in JOB.items() if name != "SLURMD_NODENAME"}
    check = check_job(JobFacts("7", "RUNNING", "58:12", variables=mine))
    assert check.state == "note"
    assert check.command == "srun --pty python -m wwdc.doctor"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Commands of a Slurm that prints what a test says."""

    def make(**answers):
        for name in PROGRAMS:
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{answers.get(name, 'exit 1')}\n")
            path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return make


def test_slurm_is_asked(fake):
    fake(
        sinfo='[ "$1" = --version ] && echo slurm 22.05.8 || '
        "{ echo 'short*|12:00:00|20|48|380000|gpu:a100:4|up'; echo 'odd'; }",
        scontrol='[ "$1" = ping ] && echo "Slurmctld(primary) at control is UP" || '
        "printf 'JobRequeue              = 1\\nKillWait                = 30 sec\\n'",
    )
    facts = slurm_facts({})
    assert (facts.missing, facts.version, facts.ping) == ((), UP.version, UP.ping)
    assert facts.partitions == (SHORT,)
    assert facts.settings == {"JobRequeue": "1", "KillWait": "30 sec"}


def test_a_slurm_that_does_not_answer_is_asked_no_more(fake):
    fake(scontrol="echo 'Slurmctld(primary) at control is DOWN'; exit 1")
    facts = slurm_facts({"SLURM_CONF": "/x"})
    assert not facts.answers
    assert facts.named
    assert facts.partitions == ()


def test_a_machine_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm_facts({}).missing == PROGRAMS


@pytest.mark.parametrize(
    ("squeue", "state", "fault"),
    [
        ("echo 'RUNNING|58:12'", "RUNNING", ""),
        ("exit 0", None, ""),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", None, ""),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", None, "Unable to contact slurm"),
    ],
)
def test_the_controller_is_asked_for_the_job(fake, squeue, state, fault):
    fake(squeue=squeue)
    facts = job_facts(JOB)
    assert (facts.id, facts.state) == ("7", state)
    assert facts.fault.startswith(fault)
    assert bool(facts.fault) == bool(fault)
    assert facts.variables == JOB


@pytest.fixture
def real():
    """Which variables lead to a Slurm that runs."""
    if not any(line.endswith("UP") for line in ask("scontrol", "ping").out.splitlines()):
        pytest.skip("no Slurm answers; cluster/dev/up starts one")


def test_a_real_slurm(real):
    facts = slurm_facts(os.environ)
    assert check_programs(facts).state == "ok"
    assert check_controller(facts, in_job=False).state == "ok"
    assert check_partitions(facts).state == "ok"
    assert facts.settings["JobRequeue"] in "01"
    assert job_facts({"SLURM_JOB_ID": "99999999"}).state is None
    assert job_facts({"SLURM_JOB_ID": "99999999"}).fault == ""


def test_inside_of_a_real_job(real):
    """`--quick`: a Ray there would take other hosts' folders in a shared /tmp for its own."""
    command = [sys.executable, "-m", "wwdc.doctor", "--quick"]
    done = subprocess.run(
        ["srun", "-N1", "-n1", "-c2", "--time=5", "--immediate=60", *command],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=REPOSITORY,
    )
    assert re.search(r"ok +job +\d+: 1 node, 2 CPUs here", done.stdout), done.stdout + done.stderr
