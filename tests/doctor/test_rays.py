"""Ray: variables, leftovers, and whether it starts."""

import os
from pathlib import Path

import psutil
import pytest

from wwdc.cluster.folders import hold
from wwdc.doctor import rays
from wwdc.doctor.probe import Steps
from wwdc.doctor.rays import (
    Leftovers,
    check_leftovers,
    check_start,
    check_variables,
    leftover_facts,
    start_ray,
)

ENDED = ({"step": "started", "s": 1.0}, {"step": "ran a task", "s": 2.0}, {"step": "ended", "s": 3})
"""What the process says that comes to its end."""


@pytest.mark.parametrize(
    ("environment", "state", "command"),
    [
        ({}, "ok", None),
        ({"RAY_DEDUP_LOGS": "0", "ARRAY_SIZE": "3"}, "ok", None),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, "note", "unset RAY_ADDRESS"),
        ({"RAY_TMPDIR": "/x", "RAY_ADDRESS": "auto"}, "note", "unset RAY_ADDRESS RAY_TMPDIR"),
        ({"RAY_TMPDIR": "/x"}, "note", "unset RAY_TMPDIR"),
        ({"RAY_ADDRESS": "10.0.0.1:6379", "WWDC_JOB_DIR": "/data/.wwdc-1"}, "ok", None),
    ],
)
def test_variables(environment, state, command):
    check = check_variables(environment)
    assert (check.state, check.command) == (state, command)


def test_leftovers():
    assert check_leftovers(Leftovers()).state == "ok"
    others = check_leftovers(Leftovers(rays=(11, 12)))
    assert (others.state, others.command) == ("note", None)
    assert "2 other Rays of yours (11, 12)" in others.found
    stale = check_leftovers(Leftovers(rays=(11,), stale=(Path("/tmp/wwdc-ray-1-x y"),)))
    assert stale.command == "rm -r '/tmp/wwdc-ray-1-x y'"
    assert "another Ray of yours (11), a folder" in stale.found


@pytest.mark.parametrize(
    ("steps", "early_stop", "state", "found"),
    [
        (None, False, "not here", "--quick"),
        (Steps(ENDED), False, "ok", "started, ran a task, ended, in 3 s"),
        (Steps((), "no end within 120 s"), False, "fails", "did not start: no end"),
        (Steps(ENDED[:1], "GetTimeoutError"), False, "fails", "started, then: GetTimeoutError"),
        (Steps(ENDED[:2], "no end"), True, "fails", "ran a task, then: no end"),
        (Steps(ENDED[:2]), False, "fails", "ran a task"),
    ],
)
def test_start(steps, early_stop, state, found):
    check = check_start(steps, early_stop)
    assert check.state == state
    assert found in check.found
    assert bool(check.fix) == (state == "fails")


def test_trials_that_keep_their_cpus_have_a_remedy_of_their_own():
    check = check_start(Steps(ENDED[:2], "no end"), early_stop=True)
    assert "tune.engine=inline" in check.fix
    assert check.command.endswith("wwdc.doctor.probe ray early-stop")


@pytest.mark.parametrize("name", ["wwdc-ray-1-x", f"wwdc-{os.getuid()}-123"])
def test_a_folder_is_left_over_when_nobody_has_its_lock(monkeypatch, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert folder not in leftover_facts().stale  # being made
    with hold(folder):
        assert folder not in leftover_facts().stale
    assert folder in leftover_facts().stale
    (tmp_path / "other").mkdir()
    assert [path for path in leftover_facts().stale if path.parent == tmp_path] == [folder]


def test_somebody_elses_folder(monkeypatch, tmp_path):
    if os.getuid() != 0:
        pytest.skip("needs root, to give a folder away")
    folder = tmp_path / "wwdc-ray-1-x"
    folder.mkdir()
    hold(folder).close()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert folder in leftover_facts().stale
    os.chown(folder, 12345, -1)
    assert folder not in leftover_facts().stale


HANG = """
import sys, time
if "wwdc.doctor.probe" in sys.orig_argv:
    import ray
    ray.get = lambda *arguments, **options: time.sleep(3600)
"""


@pytest.mark.ray
@pytest.mark.slow
def test_a_ray_that_hangs_is_ended_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(HANG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(rays, "START_S", 40.0)
    steps = start_ray(early_stop=False)
    assert [line["step"] for line in steps.lines] == ["started"]
    assert steps.fault == "no end within 40 s"
    folder = f"wwdc-ray-{steps.pid}-"
    assert not list(Path("/tmp").glob(f"{folder}*"))
    commands = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
    assert not [words for words in commands if folder in " ".join(words)]
