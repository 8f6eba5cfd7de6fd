"""A search whose processes are all killed goes on: nothing finished is lost or trained again."""

import time

import pytest

from tests.conftest import flow_experiment
from tests.tune.test_searches import LR, ONE, study_of
from tests.tune.test_survival import Run, broken, files_of
from wwdc.products import Tree

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

EPOCHS = 150

SEARCHES = {
    "optuna": ("tune.searcher=optuna", "tune.scheduler=asha", "tune.grace_period=10"),
    "population": ("tune.scheduler=pbt", "tune.perturbation_interval=25"),
    "hyperband": ("tune.scheduler=hyperband",),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_killed_search_goes_on(vae_root, tmp_path, name):
    argv = [
        flow_experiment(tmp_path),
        *(ONE, "seed=1", f"{LR}=loguniform(1e-4,1e-2)"),
        *("tune.num_samples=4", f"trainer.max_epochs={EPOCHS}", *SEARCHES[name]),
    ]
    tree = Tree(vae_root, "DIGITS", "FLOW")
    run = Run(vae_root, *argv)
    end = time.monotonic() + 240
    while not list(tree.points.glob("*/last.ckpt")) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(0.5)
    run.kill_group()
    finished = files_of(vae_root)
    assert len(finished) < 4, "it ended before it was killed: nothing was tested"
    assert not broken(vae_root)
    again = Run(vae_root, *argv)
    assert again.finish(400) == 0, again.log.read_text()
    assert finished.items() <= files_of(vae_root).items()
    assert not broken(vae_root)
    products = tree.products()
    assert len(products) == len({p.info.point_id for p in products}) == 4
    assert max(p.info.metrics["epochs"] for p in products) == EPOCHS
    assert not list(tree.points.glob("*/*.ckpt"))
    if name == "optuna":
        states = [trial.state.name for trial in study_of(vae_root).get_trials()]
        assert "RUNNING" not in states
