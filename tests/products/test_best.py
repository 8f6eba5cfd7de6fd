"""Which checkpoint an experiment offers to others."""

import math

import pytest

from wwdc.errors import ProductError
from wwdc.products import best

NAME = "COLOUR_MNIST/FLOW"


def test_nothing_finished(tmp_path):
    assert best(tmp_path, NAME) is None


@pytest.mark.parametrize(("mode", "winner"), [("min", 1), ("max", 2)])
def test_by_monitor_and_mode(tree, make_product, mode, winner):
    config = {"model_checkpoint": {"monitor": "acc", "mode": mode}}
    for number, value in enumerate([0.5, 0.1, 0.9, math.nan]):
        metrics = {"acc": value, "val_loss": -number}
        make_product(f"{number:012x}", job_num=number, metrics=metrics, config=config)
    assert best(tree.data_root, NAME).info.job_num == winner


def test_falls_back_on_the_sweeps_metric_then_on_val_loss(tree, make_product):
    for number in range(2):
        metrics = {"val_loss": number, "kept": number}
        make_product(f"{number:012x}", job_num=number, metrics=metrics, config={})
    assert best(tree.data_root, NAME).info.job_num == 0
    config = {"tune": {"metric": "kept", "mode": "max"}}
    metrics = {"kept": 2.0}
    make_product(
        "000000000002",
        job_num=2,
        metrics=metrics,
        config=config,
        finished="2099-01-01T00:00:00+00:00",
    )
    assert best(tree.data_root, NAME).info.job_num == 2


def test_stopped_counts_and_failed_does_not(tree, make_product):
    make_product("000000000001", job_num=1, status="failed", metrics={"val_loss": 0.0})
    make_product("000000000002", job_num=2, status="stopped", metrics={"val_loss": 1.0})
    assert best(tree.data_root, NAME).info.job_num == 2


def test_a_metric_nobody_logged(tree, make_product):
    make_product(config={"model_checkpoint": {"monitor": "val_los"}})
    with pytest.raises(ProductError, match=r"'val_los'.*they have val_loss.*Did you mean"):
        best(tree.data_root, NAME)


def test_a_broken_best_is_an_error(tree, make_product):
    product = make_product()
    assert best(tree.data_root, NAME) == product
    product.path.write_bytes(b"x" * product.path.stat().st_size)
    with pytest.raises(ProductError, match="is not the file that was published"):
        best(tree.data_root, NAME)


@pytest.mark.parametrize("name", ["VAE", "", "/VAE", "COLOUR_MNIST/"])
def test_a_name_that_is_none(tmp_path, name):
    with pytest.raises(ProductError, match="DATA_NAME/EXPERIMENT_NAME"):
        best(tmp_path, name)
