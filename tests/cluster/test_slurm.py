"""Sweeps as Slurm jobs: over hosts, over time limits, beside other users, cancelled."""

import os
import pwd
import re
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cluster.conftest import SCRIPT, Case
from tests.cluster.slurm import Slurm, requires_slurm
from tests.conftest import REPOSITORY
from tests.tune.test_wall_clock import epochs_logged

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900), requires_slurm]

SECOND = {"_target_": "tests.cluster.pace.Pace", "seconds": 1.0}
ONE = ("x_ds.drop_variables=[b]", "seed=1")


def hosts_of(case: Case) -> set[str]:
    return {product.info.host for product in case.products().values()}


def test_twelve_points_on_three_hosts(case: Case):
    experiment = case.experiment(SECOND, seeds=[1, 2, 3, 4, 5, 6])
    job = case.submit(experiment, nodes=3)
    assert job.wait(400) == 0, job.text()
    assert len(case.products()) == 12
    assert hosts_of(case) == {"node1", "node2", "node3"}
    assert {product.info.job_id for product in case.products().values()} == {job.id}
    assert "all 3 nodes joined" in job.text()
    assert "12 of 12 done" in job.text()
    assert not case.leftovers()


def test_a_job_goes_on_over_its_time_limit(case: Case):
    experiment = case.experiment(SECOND)
    limit = ("--time=3", "--signal=B:USR1@30")  # which comes up to a minute before
    four = "tune.resources.cpu=0.5"  # at a time
    job = case.submit(experiment, "trainer.max_epochs=100", four, options=limit)
    assert job.wait(850) == 0, job.text()
    assert int(job.fields()["Restarts"]) >= 1
    trained = epochs_logged(case.root)
    assert len(trained) == len(set(trained)) == 4 * 100
    assert len(case.products()) == 4
    log = job.text()
    assert "paused" in log and "is back in the queue and will go on where it was" in log
    assert f"job {job.id}, start 2" in log
    assert "Traceback" not in log and "Killed" not in log
    assert not case.leftovers()


def test_a_job_that_may_not_be_requeued_is_submitted_again(case: Case):
    experiment = case.experiment(SECOND)
    job = case.submit(experiment, *ONE, "trainer.max_epochs=20", options=["--no-requeue"])
    _until_saved(case)
    job.cancel("--signal=USR1", "--batch")
    assert job.wait(120) == 3, job.text()
    (again,) = re.findall(r"job (\d+) goes on where this one was", job.text())
    assert again != job.id
    from tests.cluster.slurm import Job

    second = Job(case.slurm, again)
    assert second.wait(200) == 0, second.text()
    assert {product.info.job_id for product in case.products().values()} == {job.id}
    assert [epoch for _, epoch in epochs_logged(case.root)] == list(range(20))
    assert not case.leftovers()


def test_points_of_a_lost_host_go_on_elsewhere(case: Case):
    experiment = case.experiment(SECOND)
    job = case.submit(experiment, "trainer.max_epochs=25", nodes=3, cpus=1)
    end = time.monotonic() + 120
    while "node2" not in case.claims().values():
        assert time.monotonic() < end, job.text()
        time.sleep(0.2)
    case.slurm.kill_host("node2")
    try:
        assert job.wait(400) == 0, job.text()
    finally:
        case.slurm.start_host("node2")
    assert len(case.products()) == 4
    trained = Counter(epochs_logged(case.root))
    assert sum(trained.values()) - len(trained) <= 2, "more than an epoch was lost"
    assert not case.leftovers()


def test_the_first_host_is_lost_and_the_job_starts_again(case: Case):
    experiment = case.experiment(SECOND)
    job = case.submit(experiment, "trainer.max_epochs=15", nodes=2, cpus=1)
    end = time.monotonic() + 120
    while not case.claims():
        assert time.monotonic() < end, job.text()
        time.sleep(0.2)
    case.slurm.kill_host("node1")
    job.wait_for("PENDING", 150)
    case.slurm.start_host("node1")
    assert job.wait(500) == 0, job.text()
    assert int(job.fields()["Restarts"]) == 1
    assert len(case.products()) == 4
    trained = Counter(epochs_logged(case.root))
    assert sum(trained.values()) - len(trained) <= 4, "more than an epoch a point was lost"
    assert not case.leftovers()


def test_scancel_leaves_nothing_behind(case: Case):
    experiment = case.experiment(SECOND)
    job = case.submit(experiment, "trainer.max_epochs=500", nodes=3, cpus=1)
    _until_saved(case)
    job.cancel()
    job.wait_for("CANCELLED", 60)
    assert "submit the same line to go on" in job.text()
    assert "Traceback" not in job.text()
    end = time.monotonic() + 30
    while case.leftovers() and time.monotonic() < end:
        time.sleep(0.5)
    assert not case.leftovers()
    assert case.products() == {}
    assert list(case.tree.points.glob("*/last.ckpt")), "nothing to go on from"


def test_one_point_on_two_hosts(case: Case):
    job = case.submit(case.experiment(), *ONE, "tune.num_workers=2", nodes=2, cpus=1)
    assert job.wait(300) == 0, job.text()
    (product,) = case.products().values()
    assert product.info.metrics["epochs"] == 2
    assert not case.leftovers()


USERS = ("games", "nobody")
INTRUDER = """
import sys, urllib.error, urllib.request, ray
try:
    ray.init(sys.argv[1], log_to_driver=False)
except Exception as error:
    print("refused", type(error).__name__)
else:
    print("let in")
try:
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/api/jobs/", timeout=10)
except urllib.error.HTTPError as error:
    print("dashboard", error.code)
"""


def test_two_users_at_a_time_on_the_same_hosts(slurm: Slurm, case: Case):
    slurm.expose(REPOSITORY)
    slurm.expose(Path(sys.base_prefix))
    jobs = {}
    for name in USERS:
        user = pwd.getpwnam(name)
        home = slurm.home(user.pw_uid)
        mine = Case.__new__(Case)
        mine.slurm, mine.folder, mine.root, mine.jobs = slurm, home, home / "root", []
        shutil.copytree(case.root, mine.root)
        experiment = mine.experiment(SECOND)
        for path in [*home.rglob("*")]:
            os.chown(path, user.pw_uid, user.pw_gid)
        jobs[name] = (
            mine,
            slurm.submit(
                SCRIPT.read_text(),
                str(experiment),
                "trainer.max_epochs=15",
                options=["--nodes=3", "--cpus-per-task=1", "--time=10", f"--output={home}/%j.out"],
                uid=user.pw_uid,
                environment=mine.environment()
                | {"WWDC_CLUSTER": str(SCRIPT.parent), "WWDC_PYTHON": sys.executable},
                cwd=home,
            ),
        )
    for _, job in jobs.values():
        job.wait_for_text("running", 200)
        assert job.state() == "RUNNING"
    (theirs, job), intruder = jobs["games"], pwd.getpwnam("nobody").pw_uid
    (private,) = theirs.root.glob(f".wwdc-{pwd.getpwnam('games').pw_uid}-*-{job.id}")
    assert private.stat().st_mode & 0o777 == 0o700
    assert (private / "token").stat().st_mode & 0o777 == 0o600
    command = re.search(
        r"--port=(\d+)[^\n]*--dashboard-port=(\d+)",
        "\n".join(p.command for p in slurm.processes("node1") if "games" in p.user),
    )
    assert command
    port, dashboard = command.groups()
    address = slurm.on("node1", "hostname", "-I").stdout.split()[0]
    told = slurm.on(
        "node1", sys.executable, "-c", INTRUDER, f"{address}:{port}", dashboard, uid=intruder
    )
    assert "let in" not in told.stdout and "refused" in told.stdout, told
    assert "dashboard 401" in told.stdout, told
    for folder in slurm.on("node1", "sh", "-c", "stat -c %a /tmp/wwdc-l/wwdc-*").stdout.split():
        assert folder == "700"
    for mine, job in jobs.values():
        assert job.wait(300) == 0, job.text()
        assert len(mine.products()) == 4
        assert {p.info.job_id for p in mine.products().values()} == {job.id}
        assert not list(mine.root.glob(".wwdc-*"))
    assert not case.leftovers()


def test_without_an_experiment_the_cluster_stays_for_others(case: Case):
    experiment = case.experiment()
    job = case.submit(nodes=2)
    job.wait_for_text("the end:", 120)
    text = job.text()
    (address,) = re.findall(r"tune\.address=(\S+)", text)
    (token,) = re.findall(r"RAY_AUTH_TOKEN_PATH=(\S+)", text)
    (dashboard,) = re.findall(r"ssh -L 8265:127\.0\.0\.1:(\d+)", text)
    found = case.slurm.run(
        *("srun", f"--jobid={job.id}", "--overlap", "--nodelist=node1", "--nodes=1", "--ntasks=1"),
        *("env", "RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN_PATH={token}", f"DATA_ROOT={case.root}"),
        *(sys.executable, "-m", "wwdc.tune", str(experiment), f"tune.address={address}"),
        timeout=200,
    )
    assert "4 of 4 done" in found.stdout
    page = case.slurm.on(
        "node1", sys.executable, "-c", f"import urllib.request as u; "
        f"print(u.urlopen('http://127.0.0.1:{dashboard}', timeout=10).status)",
    )  # fmt: skip
    assert page.stdout.strip() == "200", page
    own = case.slurm.on("node1", "hostname", "-I").stdout.split()[0]
    outside = case.slurm.on("node2", "bash", "-c", f": </dev/tcp/{own}/{dashboard}")
    assert outside.returncode != 0, "other hosts reach the dashboard"
    job.cancel()
    job.wait_for("CANCELLED", 60)
    assert len(case.products()) == 4
    assert not case.leftovers()


def _until_saved(case: Case, timeout: float = 120) -> None:
    end = time.monotonic() + timeout
    while not list(case.tree.points.glob("*/last.ckpt")):
        assert time.monotonic() < end, case.jobs[-1].text()
        time.sleep(0.2)
