"""Kill real processes while they embed: nothing is lost, nothing is made twice or half."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.embed.conftest import contents
from wwdc.embed.__main__ import main
from wwdc.products.verify import verify

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = ("embed.shard_rows=16", "embed.engine=inline", "tune.cpus=1")

SLOW = """
import sys, time
from wwdc.embed import embedder
pause = float(sys.argv.pop(1))
whole = embedder.write_part
def write_part(*arguments):
    time.sleep(pause)
    whole(*arguments)
embedder.write_part = write_part
from wwdc.embed.__main__ import main
sys.exit(main())
"""
"""The command, with a pause before each part is written."""


def start(root, *arguments, pause=0.05):
    command = [sys.executable, "-c", SLOW, str(pause), *map(str, arguments)]
    environment = {**os.environ, "DATA_ROOT": str(root), "OMP_NUM_THREADS": "1"}
    log = root.parent / f"log-{time.monotonic_ns()}.txt"
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return process, log


def parts_of(tree):
    """Parts by path, with the time they were written; folders may go while we look."""
    while True:
        try:
            found = tree.points.glob("embed-*/parts-*/*.arrow")
            return {path: path.stat().st_mtime_ns for path in found}
        except FileNotFoundError:
            continue


def wait_for_parts(tree, process, log, number):
    end = time.monotonic() + 120
    while len(parts_of(tree)) < number:
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.01)


@pytest.fixture
def undisturbed(flow, tree):
    """What an undisturbed run writes; its embeddings are removed again."""
    import shutil

    assert main([str(flow), *SMALL]) == 0
    expected = contents(tree)
    shutil.rmtree(tree.embeddings)
    return expected


def test_a_killed_driver_goes_on_where_it_was(flow, tree, data_root, undisturbed):
    process, log = start(data_root, flow, *SMALL)
    wait_for_parts(tree, process, log, 20)
    process.kill()
    process.wait()
    kept = parts_of(tree)
    assert len(kept) >= 20
    assert not contents(tree)
    again, log = start(data_root, flow, *SMALL)
    wait_for_parts(tree, again, log, len(kept) + 5)
    now = parts_of(tree)
    assert {path: now[path] for path in kept} == kept, "parts were made again"
    assert again.wait(120) == 0, log.read_text()
    assert contents(tree) == undisturbed
    assert not list(tree.points.glob("embed-*"))
    assert not [problem for problem in verify(tree) if problem.broken]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 3), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_stops_it_and_the_same_command_goes_on(
    flow, tree, data_root, undisturbed, number, code
):
    process, log = start(data_root, flow, *SMALL)
    wait_for_parts(tree, process, log, 5)
    process.send_signal(number)
    assert process.wait(60) == code, log.read_text()
    assert "The same command goes on" in log.read_text()
    assert len(contents(tree)) < 4
    assert main([str(flow), *SMALL]) == 0
    assert contents(tree) == undisturbed


def test_the_time_budget_stops_it(flow, tree, data_root):
    process, log = start(data_root, flow, *SMALL, "tune.time_budget_s=2", pause=0.5)
    assert process.wait(120) == 3, log.read_text()
    assert len(contents(tree)) < 4


def test_two_drivers_share_the_work(flow, tree, data_root, undisturbed):
    first, log_1 = start(data_root, flow, *SMALL, pause=0.2)
    wait_for_parts(tree, first, log_1, 5)
    second, log_2 = start(data_root, flow, *SMALL)
    assert first.wait(120) == 0, log_1.read_text()
    assert second.wait(120) == 0, log_2.read_text()
    assert contents(tree) == undisturbed
    made = log_1.read_text().count("done: ") + log_2.read_text().count("done: ")
    assert made == 4, "an embedding was made twice"
    assert "another run" in log_2.read_text()


def test_a_second_driver_takes_over_from_a_killed_one(flow, tree, data_root, undisturbed):
    first, log_1 = start(data_root, flow, *SMALL, pause=0.2)
    wait_for_parts(tree, first, log_1, 10)
    second, log_2 = start(data_root, flow, *SMALL)
    end = time.monotonic() + 60
    while "another run" not in log_2.read_text():
        assert time.monotonic() < end and second.poll() is None, log_2.read_text()
        time.sleep(0.05)
    first.kill()
    first.wait()
    assert second.wait(120) == 0, log_2.read_text()
    assert contents(tree) == undisturbed


@pytest.mark.slow
def test_killed_actors_cost_their_shards_only(flow, tree, data_root, undisturbed):
    argv = (flow, "embed.shard_rows=16", "embed.engine=ray", "tune.cpus=2")
    process, log = start(data_root, *argv)
    killed = 0
    end = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end:
        before = len(parts_of(tree))
        if before > 10 * (killed + 1) and killed < 3:
            actors = [
                child
                for child in psutil.Process(process.pid).children(recursive=True)
                if "_Worker" in " ".join(child.cmdline())
            ]
            if actors:
                actors[0].kill()
                killed += 1
        time.sleep(0.01)
    assert process.wait(60) == 0, log.read_text()
    assert killed, "nothing was tested"
    assert set(contents(tree)) == set(undisturbed)
    assert not [problem for problem in verify(tree) if problem.broken]
