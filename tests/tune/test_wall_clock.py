"""A run that has to leave: points are put aside after an epoch and taken up where they were."""

import math
import os
import time

import pytest

from tests.conftest import flow_experiment
from tests.tune.test_survival import (
    EPOCHS,
    TWO_WORKERS,
    Run,
    broken,
    files_of,
    metrics_of,
    undisturbed,  # noqa: F401  a fixture
)
from wwdc.products import Tree
from wwdc.tune.stopping import WARNING

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


def epochs_logged(root) -> list[tuple[str, int]]:
    """Point and epoch of every epoch that was trained, in all runs of the tree."""
    found = []
    for log in Tree(root, "DIGITS", "FLOW").multiruns.glob("*/logs/*.log"):
        for line in log.read_text().splitlines():
            _, mark, rest = line.partition(" epoch ")
            if mark and rest.partition(":")[0].isdigit():
                found.append((log.stem, int(rest.partition(":")[0])))
    return sorted(found)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


def test_a_warning_puts_points_aside_and_no_epoch_is_trained_twice(
    vae_root,
    tmp_path,
    undisturbed,  # noqa: F811
):
    experiment = flow_experiment(tmp_path)
    points = Tree(vae_root, "DIGITS", "FLOW").points
    job = environment(SLURM_JOB_ID="4711")
    run = Run(vae_root, experiment, EPOCHS, environment=job)
    run.wait_until(lambda: list(points.glob("*/last.ckpt")))
    run.process.send_signal(WARNING)
    assert run.finish(60) == 3, run.log.read_text()
    assert "paused" in run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    assert not broken(vae_root)
    assert not list(points.glob("*/claim.json"))
    again = Run(vae_root, experiment, EPOCHS, environment=job | {"WWDC_RESTARTS": "1"})
    assert again.finish() == 0, again.log.read_text()
    trained = epochs_logged(vae_root)
    assert len(trained) == len(set(trained)) == 4 * 150
    assert metrics_of(vae_root) == undisturbed


def test_a_warning_to_data_parallel_workers(vae_root, tmp_path):
    experiment = flow_experiment(tmp_path)
    points = Tree(vae_root, "DIGITS", "FLOW").points
    job = environment(SLURM_JOB_ID="4711")
    run = Run(vae_root, experiment, *TWO_WORKERS, environment=job)
    run.wait_until(lambda: list(points.glob("*/last.ckpt")))
    run.process.send_signal(WARNING)
    assert run.finish(90) == 3, run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    again = Run(vae_root, experiment, *TWO_WORKERS, environment=job | {"WWDC_RESTARTS": "1"})
    assert again.finish() == 0, again.log.read_text()
    trained = epochs_logged(vae_root)
    assert [epoch for _, epoch in trained] == list(range(40))
    assert not broken(vae_root)


def test_the_end_of_the_job_is_kept_and_points_that_do_not_fit_wait(vae_root, tmp_path):
    end = time.time() + 110  # thirty seconds of which are the script's
    run = Run(
        vae_root,
        flow_experiment(tmp_path),
        "trainer.max_epochs=100000",
        "tune.cpus=1",
        environment=environment(WWDC_END=str(end)),
    )
    assert run.finish(150) == 3, run.log.read_text()
    assert time.time() < end
    assert not broken(vae_root)
    assert "The same command goes on" in run.log.read_text()
    assert run.log.read_text().count("paused") == 1
    assert len({point for point, _ in epochs_logged(vae_root)}) == 1


@pytest.mark.parametrize("restarts, code", [(0, 3), (1, 1)])
def test_a_restart_that_gets_nowhere_fails(vae_root, tmp_path, restarts, code):
    run = Run(
        vae_root,
        flow_experiment(tmp_path),
        environment=environment(WWDC_END=str(time.time() + 1), WWDC_RESTARTS=str(restarts)),
    )
    assert run.finish(90) == code, run.log.read_text()
    assert ("got no further" in run.log.read_text()) == bool(code == 1)
    assert not files_of(vae_root)


def test_a_restart_uses_the_experiment_as_it_was(vae_root, tmp_path):
    experiment = flow_experiment(tmp_path)
    private = tmp_path / "job"
    private.mkdir()
    job = environment(SLURM_JOB_ID="4711", WWDC_JOB_DIR=str(private), WWDC_END=str(time.time() + 1))
    assert Run(vae_root, experiment, environment=job).finish(90) == 3
    (experiment / "train.yaml").write_text("nonsense: [")
    again = Run(
        vae_root,
        experiment,
        environment=job | {"WWDC_RESTARTS": "1", "WWDC_END": str(math.inf)},
    )
    assert again.finish(120) == 0, again.log.read_text()
    assert len(files_of(vae_root)) == 4
