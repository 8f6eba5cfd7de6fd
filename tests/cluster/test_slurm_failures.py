"""What can befall a job, and what is left of the sweep then."""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.conftest import Case
from tests.cluster.slurm import requires_slurm
from tests.tune.test_wall_clock import epochs_logged

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900), requires_slurm]

PACE = "tests.cluster.pace.Pace"
SECOND = {"_target_": PACE, "seconds": 1.0}
ONE = ("x_ds.drop_variables=[b]", "seed=1")
SMALL = "/tmp/wwdc-l/s"
START_S = 240.0
CUT_S = 45.0
END_S = 500.0


def hosts_of(case: Case) -> set[str]:
    return {product.info.host for product in case.products().values()}


def private_log(case: Case, host: str) -> str:
    """What Ray said on a host, while the job lives."""
    return "".join(log.read_text() for log in case.root.glob(f".wwdc-*/{host}.log"))


def process(case: Case, host: str, words: str) -> int:
    """The number of the host's one process whose command has *words* in it."""
    (found,) = [p.pid for p in case.slurm.processes(host) if re.search(words, p.command)]
    return found


def epochs_lost(case: Case) -> int:
    """Epochs that were trained again."""
    trained = Counter(epochs_logged(case.root))
    return sum(trained.values()) - len(trained)


def test_data_root_is_not_shared(case: Case):
    root = "/tmp/wwdc-l/root"
    job = case.submit(case.experiment(), nodes=2, DATA_ROOT=root)
    assert job.wait(START_S) == 2, job.text()
    said = job.text()
    assert f"DATA_ROOT={root} is not the same folder on node2 as on the job's first node" in said
    assert "Set DATA_ROOT to a folder on a disk that all nodes share" in said
    assert "to train" not in said
    case.slurm.on("node1", "rmdir", root).check_returncode()
    assert not case.leftovers()


def test_a_host_joins_late(case: Case):
    gate = case.folder / "open"
    experiment = case.experiment(SECOND, seeds=[1, 2, 3])
    job = case.submit(
        experiment,
        "trainer.max_epochs=15",
        nodes=3,
        cpus=1,
        WWDC_PATIENCE="30",
        WWDC_SETUP=f'[ "$(hostname)" != node3 ] || until [ -e {gate} ]; do sleep 0.5; done',
    )
    job.wait_for_text("2 of 3 nodes joined; going on with them", START_S)
    case.until(case.claims, START_S)
    gate.touch()
    case.until(lambda: "node3" in case.claims().values(), START_S)
    assert job.wait(END_S) == 0, job.text()
    assert len(case.products()) == 6
    assert "node3" in hosts_of(case)
    assert not case.leftovers()


def test_a_host_never_joins(case: Case):
    job = case.submit(
        case.experiment(),
        nodes=2,
        WWDC_PATIENCE="5",
        WWDC_SETUP='[ "$(hostname)" != node2 ] || sleep 1000',
    )
    assert job.wait(END_S) == 0, job.text()
    assert "1 of 2 nodes joined; going on with them" in job.text()
    assert hosts_of(case) == {"node1"}
    assert not case.leftovers()


def test_a_point_takes_more_memory_than_there_is(case: Case):
    case.slurm.limit_memory("node1", 2500 * 1024**2)
    try:
        experiment = case.experiment({"_target_": "tests.cluster.pace.Hungry", "seed": 2})
        job = case.submit(experiment, "x_ds.drop_variables=[b]", cpus=1)
        assert job.wait(END_S) == 1, job.text()
    finally:
        case.slurm.limit_memory("node1", 1 << 40)
    (product,) = case.products().values()
    assert product.info.seed == 1
    (failure,) = case.tree.failed()
    assert failure.seed == 2 and "memory" in failure.reason
    assert re.search("failed: #.*memory", job.text()), job.text()
    assert "Ray ended" not in job.text()
    assert not case.leftovers()


@contextmanager
def small_disk(case: Case, host: str, size: str) -> Iterator[None]:
    """A disk of its own at `SMALL` on a host, which has to be empty in the end."""
    mount = f"mkdir {SMALL} && mount -t tmpfs -o mode=1777,size={size} tmpfs {SMALL}"
    case.slurm.on(host, "sh", "-c", mount).check_returncode()
    try:
        yield
        assert not case.slurm.on(host, "find", SMALL, "-mindepth", "1").stdout
    finally:
        case.slurm.on(host, "sh", "-c", f"umount {SMALL} && rmdir {SMALL}").check_returncode()


def test_scratch_fills_up(case: Case):
    experiment = case.experiment({"_target_": "tests.cluster.pace.Ballast", "seed": 2})
    with small_disk(case, "node1", "40m"):
        job = case.submit(experiment, "x_ds.drop_variables=[b]", cpus=1, WWDC_SCRATCH=SMALL)
        assert job.wait(END_S) == 1, job.text()
    (product,) = case.products().values()
    assert product.info.seed == 1
    (failure,) = case.tree.failed()
    assert failure.seed == 2
    for text in ("No space left on", SMALL, "node1"):
        assert text in failure.reason
    assert re.search("failed: #.*No space left", job.text())
    assert not list(case.tree.points.glob("*/claim.json"))
    assert not case.leftovers()


@pytest.mark.parametrize("host, code", [("node1", 1), ("node2", 0)])
def test_the_disk_of_a_host_is_full(case: Case, host: str, code: int):
    setup = f'[ "$(hostname)" != {host} ] || export TMPDIR={SMALL}'
    with small_disk(case, host, "64k"):
        job = case.submit(case.experiment(), nodes=2, WWDC_SETUP=setup)
        assert job.wait(END_S) == code, job.text()
    assert re.search(rf"{host}: .*no room for .* in {SMALL}/.* on {host}", job.text()), job.text()
    assert len(case.products()) == (0 if code else 4)
    assert not case.leftovers()


def test_a_restart_without_progress_is_the_last(case: Case):
    experiment = case.experiment({"_target_": PACE, "seconds": 300.0})
    job = case.submit(experiment, *ONE, "tune.time_budget_s=8")
    assert job.wait(END_S) == 1, job.text()
    assert int(job.fields()["Restarts"]) == 1
    assert "its time limit is too short for one epoch" in job.text()
    assert not case.products()
    assert not case.leftovers()


def test_ray_dies_on_the_first_host(case: Case):
    job = case.submit(case.experiment(SECOND), "trainer.max_epochs=10", nodes=2, cpus=1)
    case.until(case.claims, START_S)
    os.kill(process(case, "node1", r"^\S+/gcs_server "), signal.SIGKILL)
    job.wait_for_text("Ray ended on node1", 60)
    assert job.wait(END_S) == 0, job.text()
    assert int(job.fields()["Restarts"]) == 1
    assert len(case.products()) == 4
    assert epochs_lost(case) <= 4, "more than an epoch a point was lost"
    assert not case.leftovers()


def test_a_process_of_a_point_and_the_ray_of_a_host_die(case: Case):
    job = case.submit(case.experiment(SECOND), "trainer.max_epochs=20", nodes=2, cpus=1)
    case.until(lambda: len(case.claims()) == 2, START_S)
    os.kill(process(case, "node1", r"ray::.*train"), signal.SIGKILL)
    os.kill(process(case, "node2", r"^\S+/raylet "), signal.SIGKILL)
    case.until(lambda: "joining again (attempt 1 of 3)" in private_log(case, "node2"), 60)
    case.until(lambda: "node2" in case.claims().values(), START_S)
    assert job.wait(END_S) == 0, job.text()
    assert len(case.products()) == 4
    assert epochs_lost(case) <= 2, "more than an epoch a point was lost"
    assert not case.leftovers()


def test_the_cable_of_a_host_is_pulled(case: Case):
    """For longer than Slurm waits for a host: then it takes the host from the job."""
    experiment = case.experiment(SECOND)
    job = case.submit(experiment, "trainer.max_epochs=15", nodes=2, cpus=1)
    case.until(lambda: "node2" in case.claims().values(), START_S)
    case.slurm.cut("node2")
    try:
        time.sleep(CUT_S)
    finally:
        case.slurm.join("node2")
    assert job.wait(END_S) == 0, job.text()
    assert len(case.products()) == 4
    # What Slurm killed there at once could not tidy up: the next job does.
    again = case.submit(experiment, "trainer.max_epochs=15", options=["--nodelist=node2"])
    assert again.wait(START_S) == 0, again.text()
    assert "nothing to train" in again.text()
    assert not case.leftovers()


MISTAKES: dict[tuple[str, ...], tuple[dict[str, str], str]] = {
    ("EXPERIMENT",): ({"WWDC_PYTHON": "/none"}, "WWDC_PYTHON=/none cannot be run on node1"),
    ("embed", "EXPERIMENT"): ({"WWDC_PYTHON": "/bin/false"}, "/bin/false cannot run wwdc"),
    ("tune", "EXPERIMENT"): ({"WWDC_INTERFACE": "ib9"}, "ib9 has no address on node1"),
    ("nowhere",): ({}, "nowhere: there is no such folder"),
    ("tuna", "EXPERIMENT"): ({}, "tuna: there is no such stage"),
    ("stats", "nowhere"): ({}, "error: there is no experiment folder nowhere"),
    ("EXPERIMENT", "tune.schedular=asha"): ({}, "error: .*Did you mean 'tune.scheduler'"),
}


@pytest.mark.parametrize("words", MISTAKES, ids=lambda words: " ".join(words))
def test_a_mistake_of_the_users(case: Case, words: tuple[str, ...]):
    environment, text = MISTAKES[words]
    experiment = case.experiment()
    arguments = [experiment if word == "EXPERIMENT" else word for word in words]
    job = case.submit(*arguments, **environment)
    assert job.wait(START_S) == 2, job.text()
    assert len(re.findall(text, job.text())) == 1, job.text()
    assert "Traceback" not in job.text()
    assert not case.leftovers()


def test_three_stages_as_a_chain_of_jobs(case: Case):
    experiment = case.experiment(seeds=[1])
    jobs = [case.submit("tune", experiment, nodes=2)]
    for stage in ("embed", "stats"):
        after = f"--dependency=afterany:{jobs[-1].id}"
        jobs.append(case.submit(stage, experiment, nodes=2, options=[after]))
    for job in jobs:
        assert job.wait(END_S) == 0, job.text()
    assert len(case.products()) == 2
    assert len(list(case.tree.embeddings.glob("*/test.parquet"))) == 2
    assert (case.tree.path / "stat_tests" / "verdicts.parquet").is_file()
    assert not case.leftovers()


def test_an_array_of_jobs_shares_the_points(case: Case):
    experiment = case.experiment(SECOND)
    array = case.submit(
        experiment,
        "trainer.max_epochs=8",
        cpus=1,
        options=["--array=0-1", f"--output={case.folder}/%A_%a.out"],
    )
    case.until(lambda: _ended(case, array.id), END_S)
    for task in (0, 1):
        said = (case.folder / f"{array.id}_{task}.out").read_text()
        assert f"job {array.id}_{task} ends with code 0" in said
    assert len(case.products()) == 4
    jobs = {product.info.job_id for product in case.products().values()}
    assert jobs == {f"{array.id}_0", f"{array.id}_1"}
    assert epochs_lost(case) == 0
    assert not case.leftovers()


def _ended(case: Case, array: str) -> bool:
    """Whether no task of an array is left in the queue."""
    return not case.slurm.run("squeue", "--noheader", f"--jobs={array}").stdout.strip()
