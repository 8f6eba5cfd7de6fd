"""Points that end early give back what their nested trainers held, with another Ray about."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from tests.conftest import flow_experiment
from wwdc.products import Tree

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

CPUS = 2
PATIENCE_S = 30
CHILD = f"""
import json, sys, time

import ray

from wwdc.cluster import start_local
from wwdc.tune.__main__ import main

local = start_local({CPUS}, dashboard=True)
seen = []
for arguments in json.loads(sys.argv[2]):
    code = main(arguments)
    end = time.monotonic() + {PATIENCE_S}
    while True:
        groups = ray.util.placement_group_table().values()
        held = [group["state"] for group in groups if group["state"] != "REMOVED"]
        free = ray.available_resources().get("CPU", 0)
        if (not held and free == {CPUS}) or time.monotonic() > end:
            break
        time.sleep(0.5)
    seen.append({{"code": code, "held": held, "free": free, "groups": len(groups)}})
with open(sys.argv[1], "w") as out:
    json.dump(seen, out)
local.end()
"""


@pytest.fixture(scope="module")
def ended(trained_vae, tmp_path_factory, ray_session):
    """A process with a Ray of its own ran two sweeps; `ray_session` is the other Ray."""
    folder = tmp_path_factory.mktemp("leaks")
    root, seen = folder / "root", folder / "seen.json"
    shutil.copytree(trained_vae, root)
    torch = [str(flow_experiment(folder)), "tune.engine=torch"]
    asha = ["tune.scheduler=asha", "tune.grace_period=1", "tune.reduction_factor=2"]
    runs = [
        [*torch, *asha, "trainer.max_epochs=15"],
        [*torch, "seed=3", "trainer.max_epochs=100000", "tune.time_budget_s=25"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(seen), json.dumps(runs)],
        env=os.environ | {"DATA_ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert seen.is_file(), done.stdout + done.stderr
    return root, json.loads(seen.read_text()), done.stdout + done.stderr


def test_early_stops_leave_no_placement_group(ended):
    root, (first, _), log = ended
    assert first["code"] == 0, log
    assert first["groups"] >= 4, "the trials made no placement groups: nothing was tested"
    assert not first["held"], log
    assert first["free"] == CPUS, log
    statuses = Counter(p.info.status for p in Tree(root, "DIGITS", "FLOW").products())
    assert statuses.total() == 4
    assert statuses["stopped"] >= 1, log


def test_the_time_budget_leaves_no_placement_group(ended):
    _, (_, second), log = ended
    assert second["code"] == 3, log
    assert not second["held"], log
    assert second["free"] == CPUS, log
