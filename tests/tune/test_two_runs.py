"""Two runs of one experiment at once: each point is trained by one of them."""

import pytest

from tests.conftest import vae_experiment
from wwdc.config import load
from wwdc.products import Tree
from wwdc.products.claims import acquire
from wwdc.tune import sweep
from wwdc.tune.__main__ import main
from wwdc.tune.plan import make_plan


@pytest.mark.ray
def test_a_run_with_nothing_of_its_own_waits_for_the_other(
    tmp_path, data_root, ray_session, monkeypatch
):
    """The other holds the only point, and leaves it behind when this run has said that it waits."""
    experiment = vae_experiment(tmp_path)
    tree = Tree(data_root, "DIGITS", "VAE")
    (point,) = make_plan(load(experiment), tree).points
    held = acquire(tree, point.point_id)
    assert held is not None
    told = []

    def leave(text: str) -> None:
        told.append(text)
        held.release()

    monkeypatch.setattr(sweep, "notice", leave)
    assert main([str(experiment), "tune.cpus=1", "tune.engine=inline"]) == 0
    assert told == ["Waiting for another run, which trains 1 of the points."]
    assert [product.info.status for product in tree.products()] == ["done"]
