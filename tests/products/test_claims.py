"""One holder at a time, and none that is dead."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from wwdc.errors import ProductError
from wwdc.products import Tree, acquire, claim, claimed, holder
from wwdc.products.claims import CLAIM, EXPIRY_S, Claim, _myself, is_stale

FORK = multiprocessing.get_context("fork")
POINT = "0a1b2c3d4e5f"


def _leave(tree: Tree, age_s: float = 0.0, **changes) -> Path:
    """Write a claim as a process with other particulars would have left it."""
    path = tree.point(POINT) / CLAIM
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(replace(_myself(), **changes))))
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return path


def test_claim_and_release(tree):
    assert not claimed(tree, POINT)
    with claim(tree, POINT) as mine:
        assert mine is not None
        assert claimed(tree, POINT)
        assert holder(tree, POINT).pid == os.getpid()
        with claim(tree, POINT) as theirs:
            assert theirs is None
        assert claimed(tree, POINT), "who did not get it does not release it"
    assert not claimed(tree, POINT)
    assert not mine._thread.is_alive()


def test_an_error_inside_releases(tree):
    with pytest.raises(ZeroDivisionError), claim(tree, POINT):
        _ = 1 / 0
    assert not claimed(tree, POINT)


def test_looking_writes_nothing(tree):
    assert not claimed(tree, POINT)
    assert not tree.path.exists()


@pytest.mark.parametrize(
    ("left", "held"),
    [
        ({}, True),
        ({"start": 1.0}, False),  # the number was given to another process
        ({"pid": 2**22 + 1}, False),  # no such process
        ({"machine": "elsewhere", "pid": 2**22 + 1}, True),
        ({"age_s": EXPIRY_S + 5}, False),  # alive, but its thread is not
        ({"machine": "elsewhere", "age_s": EXPIRY_S + 5}, False),
        ({"machine": "elsewhere", "age_s": EXPIRY_S - 30}, True),
    ],
)
def test_whose_claim_counts(tree, left, held):
    path = _leave(tree, **left)
    assert claimed(tree, POINT) is held
    assert is_stale(path) is not held
    with claim(tree, POINT) as mine:
        assert (mine is None) is held


def test_a_wrong_clock_does_not_matter(tree, monkeypatch):
    """Age is measured by the clock of the file system that stamped the claim."""
    _leave(tree, machine="elsewhere")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7200)
    assert claimed(tree, POINT)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_an_unreadable_claim_is_nobodys(tree, content):
    path = tree.point(POINT) / CLAIM
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with claim(tree, POINT) as mine:
        assert mine is not None


def test_a_folder_that_cannot_be(tree):
    tree.path.mkdir(parents=True)
    tree.multiruns.write_text("a file in the way")
    with pytest.raises(ProductError, match="multiruns"):
        acquire(tree, POINT)


def test_heartbeat_and_loss(tree):
    path = _leave(tree, age_s=EXPIRY_S - 5)
    lease = Claim(path, holder(tree, POINT), heartbeat_s=0.02)
    deadline = time.monotonic() + 10
    while path.stat().st_mtime < time.time() - 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.stat().st_mtime > time.time() - 30
    _leave(tree, token="somebody else")
    while not lease.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lease.lost
    lease.release()
    assert claimed(tree, POINT), "what was lost is not released"


def _hold(root: Path, ready) -> None:
    lease = acquire(Tree(root, "COLOUR_MNIST", "FLOW"), POINT)
    ready.put(lease is not None)
    time.sleep(600)


def test_a_killed_holder_is_free_at_once(tree):
    ready = FORK.SimpleQueue()
    process = FORK.Process(target=_hold, args=(tree.data_root, ready))
    process.start()
    assert ready.get()
    assert claimed(tree, POINT)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
    assert not claimed(tree, POINT)
    process.join()
    with claim(tree, POINT) as mine:
        assert mine is not None


def _contend(root: Path, barrier, wins, overlaps) -> None:
    tree = Tree(root, "COLOUR_MNIST", "FLOW")
    busy = root / "busy"
    barrier.wait()
    for _ in range(40):
        lease = acquire(tree, POINT)
        if lease is None:
            continue
        try:
            os.close(os.open(busy, os.O_CREAT | os.O_EXCL))
            wins.put(os.getpid())
            busy.unlink()
        except FileExistsError:
            overlaps.put(os.getpid())
        lease.release()


def test_never_two_holders(tree):
    """Processes that take, release and take over a dead one's claim, as fast as they can."""
    _leave(tree, pid=2**22 + 1)
    barrier, wins, overlaps = FORK.Barrier(5), FORK.SimpleQueue(), FORK.SimpleQueue()
    processes = [
        FORK.Process(target=_contend, args=(tree.data_root, barrier, wins, overlaps))
        for _ in range(5)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert overlaps.empty()
    assert not wins.empty()
    assert not claimed(tree, POINT)


def _take(root: Path, barrier, results) -> None:
    tree = Tree(root, "COLOUR_MNIST", "FLOW")
    barrier.wait()
    lease = acquire(tree, POINT)
    results.put(lease is not None)
    barrier.wait()  # hold it until everybody has tried


@pytest.mark.parametrize("left_behind", [False, True])
def test_exactly_one_of_a_crowd(tree, left_behind):
    tree.data_root.mkdir()
    for _ in range(4):
        if left_behind:
            _leave(tree, pid=2**22 + 1)
        barrier, results = FORK.Barrier(6), FORK.SimpleQueue()
        processes = [
            FORK.Process(target=_take, args=(tree.data_root, barrier, results)) for _ in range(6)
        ]
        for process in processes:
            process.start()
        assert sum(results.get() for _ in processes) == 1
        for process in processes:
            process.join()
