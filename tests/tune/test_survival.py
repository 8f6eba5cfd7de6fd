"""Kill real processes at random instants: nothing finished is lost, nothing is trained twice."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import flow_experiment
from wwdc.products import Tree
from wwdc.products.verify import verify

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

EPOCHS = "trainer.max_epochs=150"


class Run:
    """A sweep in a process group of its own."""

    def __init__(self, root: Path, *arguments: object) -> None:
        self.root = root
        self.log = root.parent / "log.txt"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wwdc.tune", *map(str, arguments)],
            env=os.environ | {"DATA_ROOT": str(root)},
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
def undisturbed(trained_vae, tmp_path_factory):
    """Metrics of the sweep when nothing happens to it."""
    folder = tmp_path_factory.mktemp("calm")
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
    run.wait_for("running")
    time.sleep(9)
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
