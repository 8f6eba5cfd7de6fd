"""A pool of actors: order, failures, lost processes, stopping."""

import functools
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from wwdc.cluster.pool import map_on_actors
from wwdc.config.schema import Resources
from wwdc.errors import ClusterError, DataError

pytestmark = pytest.mark.ray

ONE = Resources(cpu=1, gpu=0)


def noting(folder: Path):
    """A function that leaves a file for every process and call, and obeys its item."""
    (folder / f"made-{os.getpid()}").touch()

    def work(item):
        with (folder / "calls").open("a") as file:
            file.write(f"{item}\n")
        if item == "slow":
            time.sleep(120)
        if item == "wrong":
            raise DataError("this one is wrong")
        if item == "bug":
            raise ZeroDivisionError
        if item == "kill" or (item == "kill once" and not (folder / "killed").exists()):
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item, os.getpid(), os.environ["OMP_NUM_THREADS"]

    return work


class Ran:
    """What came of a run."""

    def __init__(self, folder, items, **options):
        self.folder = folder
        self.results, self.failures = {}, {}
        map_on_actors(
            functools.partial(noting, folder),
            items,
            resources=ONE,
            on_result=lambda item, result: self.results.setdefault(item, result),
            on_failure=lambda item, error: self.failures.setdefault(item, error),
            **{"workers": 2, **options},
        )

    @property
    def calls(self):
        return (self.folder / "calls").read_text().split("\n")[:-1]


def test_every_item_is_done_once_by_actors_that_are_made_once(ray_session, tmp_path):
    ran = Ran(tmp_path, iter(range(20)))
    assert sorted(ran.results) == list(range(20))
    assert not ran.failures
    assert sorted(ran.calls, key=int) == [str(n) for n in range(20)]
    pids = {pid for _, pid, _ in ran.results.values()}
    assert pids and {f"made-{pid}" for pid in pids} == {p.name for p in tmp_path.glob("made-*")}
    assert os.getpid() not in pids
    assert {threads for _, _, threads in ran.results.values()} == {"1"}
    assert_gone(pids)


def test_an_item_that_raises_fails_alone_and_is_not_repeated(ray_session, tmp_path):
    ran = Ran(tmp_path, ["a", "wrong", "b", "bug", "c"])
    assert sorted(ran.results) == ["a", "b", "c"]
    assert isinstance(ran.failures["wrong"], DataError)
    assert str(ran.failures["wrong"]) == "this one is wrong"
    assert "ZeroDivisionError" in str(ran.failures["bug"])
    assert sorted(ran.calls) == ["a", "b", "bug", "c", "wrong"]


def test_a_killed_actor_costs_what_it_had(ray_session, tmp_path):
    ran = Ran(tmp_path, ["a", "kill once", "b", "c"], workers=1, max_failures=1)
    assert sorted(ran.results) == ["a", "b", "c", "kill once"]
    assert not ran.failures
    assert ran.calls.count("kill once") == 2
    assert len(ran.calls) <= 6, "more than what the actor had was done again"


def test_an_item_that_kills_its_actors_fails_and_the_others_do_not(ray_session, tmp_path):
    ran = Ran(tmp_path, ["kill", "a", "b", "c"], workers=1, max_failures=1)
    assert sorted(ran.results) == ["a", "b", "c"]
    assert isinstance(ran.failures["kill"], ClusterError)
    assert "died 2 times" in str(ran.failures["kill"])
    assert 2 <= ran.calls.count("kill") <= 3


def test_stopping_kills_the_actors_at_once(ray_session, tmp_path):
    began = time.monotonic()
    ran = Ran(
        tmp_path,
        ["slow", "slow"],
        should_stop=lambda: (tmp_path / "calls").exists(),
    )
    assert time.monotonic() - began < 60
    assert not ran.results and not ran.failures
    assert_gone({int(p.name.split("-")[1]) for p in tmp_path.glob("made-*")})


def test_more_workers_than_room_do_not_hold_items_back(ray_session, tmp_path):
    ran = Ran(tmp_path, range(6), workers=5)
    assert sorted(ran.results) == list(range(6))


def test_what_a_callback_raises_ends_the_run(ray_session, tmp_path):
    def refuse(item, result):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        map_on_actors(
            functools.partial(noting, tmp_path),
            range(3),
            workers=1,
            resources=ONE,
            on_result=refuse,
            on_failure=lambda item, error: None,
        )
    assert_gone({int(p.name.split("-")[1]) for p in tmp_path.glob("made-*")})


def assert_gone(pids):
    end = time.monotonic() + 20
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
