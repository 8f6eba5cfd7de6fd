"""What a command knows of the batch job around it."""

import math
import time
from pathlib import Path

import pytest

from wwdc.cluster.job import MARGIN_S, BatchJob, batch_job


def test_outside_of_a_job_nothing_limits_a_command():
    job = batch_job({})
    assert job == BatchJob(id="", end=math.inf, restarts=0, folder=None)
    assert job.deadline(None) == math.inf
    assert job.stopped(progress=False) == 3


@pytest.mark.parametrize(
    "variables, identity",
    [
        ({"SLURM_JOB_ID": "9"}, "9"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}, "7_2"),
        ({"SLURM_JOB_ID": "9", "WWDC_JOB_ID": "4"}, "4"),
    ],
)
def test_a_job_that_is_submitted_again_keeps_its_first_number(variables, identity):
    assert batch_job(variables).id == identity


def test_the_earlier_of_budget_and_limit_counts():
    now = time.time()
    job = batch_job({"WWDC_END": str(now + 1000)})
    assert job.deadline(None) == now + 1000 - MARGIN_S
    assert job.deadline(10_000) == now + 1000 - MARGIN_S
    assert job.deadline(100) < now + 1000 - MARGIN_S


@pytest.mark.parametrize(
    "restarts, progress, code", [(0, False, 3), (0, True, 3), (2, True, 3), (1, False, 1)]
)
def test_a_restart_without_progress_fails(restarts, progress, code):
    assert BatchJob(restarts=restarts).stopped(progress) == code


def test_a_restart_sees_the_experiment_as_it_was(tmp_path: Path):
    experiment = tmp_path / "my exp"
    (experiment / "__pycache__").mkdir(parents=True)
    (experiment / "meta.yaml").write_text("before")
    folder = tmp_path / "job"
    first = BatchJob(folder=folder)
    assert first.frozen(experiment) == experiment
    first.freeze(experiment)
    (experiment / "meta.yaml").write_text("after")
    again = BatchJob(folder=folder, restarts=1)
    again.freeze(experiment)
    copy = again.frozen(experiment)
    assert copy.name == "my exp"
    assert [(path.name, path.read_text()) for path in copy.iterdir()] == [("meta.yaml", "before")]


def test_fresh_is_for_the_first_start():
    assert BatchJob().fresh(True)
    assert not BatchJob(restarts=1).fresh(True)
