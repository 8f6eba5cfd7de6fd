"""Kill real processes at random instants: nothing finished is lost, nothing is trained twice."""

import contextlib
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from tests.conftest import flow_experiment
from wwdc.products import Tree
from wwdc.products.verify import verify

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

EPOCHS = "trainer.max_epochs=150"
TWO_WORKERS = (
    "data.x_ds.drop_variables=[b]",
    "seed=1",
    "tune.num_workers=2",
    "trainer.max_epochs=40",
)
AGENTS_S = 120
"""Ray's agents of a node look for a head that is gone for a minute."""


class Run:
    """A sweep in a process group of its own."""

    def __init__(
        self, root: Path, *arguments: object, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.root = root
        self.log = root.parent / "log.txt"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wwdc.tune", *map(str, arguments)],
            env={**environment, "DATA_ROOT": str(root)},
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_for(self, text: str, timeout: float = 120) -> None:
        """Until *text* is in the log, or the process ended."""
        end = time.monotonic() + timeout
        while text not in self.log.read_text() and self.process.poll() is None:
            assert time.monotonic() < end, f"{text!r} did not appear:\n{self.log.read_text()}"
            time.sleep(0.1)

    def wait_until(self, true: Callable[[], object], timeout: float = 120) -> None:
        """Until something is true while the process runs."""
        end = time.monotonic() + timeout
        while not true():
            assert self.process.poll() is None, f"ended too early:\n{self.log.read_text()}"
            assert time.monotonic() < end, f"waited in vain:\n{self.log.read_text()}"
            time.sleep(0.05)

    def kill_group(self) -> None:
        """SIGKILL to every process of the group; whatever else it started must go by itself."""
        everyone = [self.process.pid, *(p.pid for p in self.children())]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        end = time.monotonic() + 60
        while any(psutil.pid_exists(pid) for pid in everyone) and time.monotonic() < end:
            time.sleep(0.1)

    def children(self) -> list[psutil.Process]:
        """The driver's descendants: Ray's daemons and the trials."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def processes(self, title: str) -> list[psutil.Process]:
        """Those descendants whose command line holds *title*."""
        found = []
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if title in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def finish(self, timeout: float = 300) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait(timeout)


def files_of(root: Path) -> dict[str, int]:
    """Published checkpoints of the flow and when they were written."""
    return {p.path.name: p.path.stat().st_mtime_ns for p in Tree(root, "DIGITS", "FLOW").products()}


def metrics_of(root: Path) -> dict[str, tuple[dict[str, float], str]]:
    """Metrics in info file and CSV of every point."""
    tree = Tree(root, "DIGITS", "FLOW")
    return {
        p.info.point_id: (p.info.metrics, (tree.metrics / f"{p.info.job}.csv").read_text())
        for p in tree.products()
    }


def broken(root: Path) -> list[object]:
    return [problem for problem in verify(Tree(root, "DIGITS", "FLOW")) if problem.broken]


@pytest.fixture(scope="module")
def undisturbed(trained_vae):
    """Metrics of the sweep when nothing happens to it; trained once for all modules."""
    return _train_undisturbed(trained_vae)


@functools.cache
def _train_undisturbed(trained_vae):
    folder = trained_vae.parent / "calm"
    root = folder / "root"
    shutil.copytree(trained_vae, root)
    assert Run(root, flow_experiment(folder), EPOCHS).finish() == 0
    return metrics_of(root)


def test_ten_kills_of_the_process_group(vae_root, tmp_path, undisturbed):
    experiment = flow_experiment(tmp_path)
    chance = random.Random(0)
    finished: dict[str, int] = {}
    for attempt in range(10):
        run = Run(vae_root, experiment, EPOCHS)
        if attempt % 5:
            run.wait_for("running")
            time.sleep(chance.uniform(0, 12))
        else:
            time.sleep(chance.uniform(1, 12))  # also while it plans, and while Ray starts
        run.kill_group()
        now = files_of(vae_root)
        assert finished.items() <= now.items(), "a finished point was trained or written again"
        assert not broken(vae_root)
        finished = now
    run = Run(vae_root, experiment, EPOCHS)
    assert run.finish() == 0, run.log.read_text()
    assert finished.items() <= files_of(vae_root).items()
    assert not broken(vae_root)
    assert metrics_of(vae_root) == undisturbed


def test_kill_of_a_trial_process_resumes_it(vae_root, tmp_path, undisturbed):
    run = Run(vae_root, flow_experiment(tmp_path), EPOCHS)
    points = Tree(vae_root, "DIGITS", "FLOW").points
    end = time.monotonic() + 120
    while not list(points.glob("*/last.ckpt")) and time.monotonic() < end:
        time.sleep(0.05)
    victims = [p for p in run.children() if "ray::ImplicitFunc" in " ".join(p.cmdline())]
    victims[0].kill()
    assert run.finish() == 0, run.log.read_text()
    assert not broken(vae_root)
    assert metrics_of(vae_root) == undisturbed


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 3)])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(
    vae_root, tmp_path, undisturbed, number, code
):
    experiment = flow_experiment(tmp_path)
    run = Run(vae_root, experiment, EPOCHS)
    points = Tree(vae_root, "DIGITS", "FLOW").points
    run.wait_until(lambda: list(points.glob("*/last.ckpt")))
    processes = run.children()
    run.process.send_signal(number)
    assert run.finish(60) == code, run.log.read_text()
    assert "The same command goes on" in run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
    assert not broken(vae_root)
    again = Run(vae_root, experiment, EPOCHS)
    assert again.finish() == 0
    assert metrics_of(vae_root) == undisturbed


def test_kill_of_the_driver_alone_ends_everything_it_started(vae_root, tmp_path, undisturbed):
    experiment = flow_experiment(tmp_path)
    run = Run(vae_root, experiment, EPOCHS)
    points = Tree(vae_root, "DIGITS", "FLOW").points
    run.wait_until(lambda: list(points.glob("*/last.ckpt")))
    started = run.children()
    trials = run.processes("ray::ImplicitFunc")
    run.process.kill()
    run.finish()
    killed = time.monotonic()
    assert trials
    assert not psutil.wait_procs(trials, timeout=30)[1], "still training"
    assert not broken(vae_root)
    again = Run(vae_root, experiment, EPOCHS)
    assert again.finish() == 0, again.log.read_text()
    assert metrics_of(vae_root) == undisturbed
    left = max(1, AGENTS_S - (time.monotonic() - killed))
    assert not psutil.wait_procs(started, timeout=left)[1]


@pytest.mark.parametrize("pause", [0.02, 1.0])
def test_a_second_interrupt_ends_at_once_and_leaves_nothing_behind(vae_root, tmp_path, pause):
    run = Run(vae_root, flow_experiment(tmp_path), "trainer.max_epochs=3000")
    points = Tree(vae_root, "DIGITS", "FLOW").points
    run.wait_until(lambda: list(points.glob("*/last.ckpt")))
    started = run.children()
    run.process.send_signal(signal.SIGINT)
    time.sleep(pause)
    run.process.send_signal(signal.SIGINT)
    assert run.finish(60) == 130, run.log.read_text()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive
    assert not broken(vae_root)
    assert list(points.glob("*/last.ckpt")), "nothing to go on from"


def test_two_drivers_share_the_points_of_one_tree(vae_root, tmp_path, undisturbed):
    experiment = flow_experiment(tmp_path)
    first = Run(vae_root, experiment, EPOCHS, "tune.cpus=1")
    second = Run(vae_root, experiment, EPOCHS, "tune.cpus=1")
    assert (first.finish(), second.finish()) == (0, 0)
    assert len(Tree(vae_root, "DIGITS", "FLOW").products()) == 4
    assert metrics_of(vae_root) == undisturbed


def test_disk_full_while_publishing_fails_the_point_cleanly(vae_root, tmp_path, undisturbed):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    experiment = flow_experiment(tmp_path)
    ckpts = Tree(vae_root, "DIGITS", "FLOW").ckpts
    ckpts.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(ckpts)], check=True)
    try:
        run = Run(vae_root, experiment, EPOCHS)
        assert run.finish() == 1, run.log.read_text()
        assert not broken(vae_root)
        assert not list(ckpts.glob("*.tmp"))
        complete = files_of(vae_root)
        assert len(complete) < 4
        failed = Tree(vae_root, "DIGITS", "FLOW").failed()
        assert len(failed) == 4 - len(complete)
        assert "space" in failed[0].reason.lower()
        subprocess.run(["mount", "-o", "remount,size=100m", str(ckpts)], check=True)
        again = Run(vae_root, experiment, EPOCHS)
        assert again.finish() == 0, again.log.read_text()
        assert complete.items() <= files_of(vae_root).items()
        assert metrics_of(vae_root) == undisturbed
    finally:
        subprocess.run(["umount", str(ckpts)], check=True)


@pytest.fixture(scope="module")
def two_workers(trained_vae, tmp_path_factory):
    """Metrics of one point that two workers train when nothing happens to it."""
    folder = tmp_path_factory.mktemp("two")
    root = folder / "root"
    shutil.copytree(trained_vae, root)
    run = Run(root, flow_experiment(folder), *TWO_WORKERS)
    assert run.finish() == 0, run.log.read_text()
    return metrics_of(root)


@pytest.mark.parametrize("victim", ["ray::RayTrainWorker", "ray::ImplicitFunc"])
def test_kill_of_a_process_of_a_two_worker_point_resumes_it(
    vae_root, tmp_path, two_workers, victim
):
    run = Run(vae_root, flow_experiment(tmp_path), *TWO_WORKERS)
    points = Tree(vae_root, "DIGITS", "FLOW").points
    run.wait_until(lambda: list(points.glob("*/last.ckpt")))
    run.processes(victim)[0].kill()
    assert run.finish() == 0, run.log.read_text()
    assert not broken(vae_root)
    assert metrics_of(vae_root) == two_workers
    (log,) = points.parent.glob("*/logs/0.log")
    assert log.read_text().count(" epoch 0:") == 1, "trained from the start again"
    assert log.read_text().count("Restored all states") == 1
