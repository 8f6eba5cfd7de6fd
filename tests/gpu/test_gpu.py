"""Points on a GPU: both engines, mixed precision, two on one card, embeddings as on the CPU."""

import math
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.conftest import flow_experiment
from tests.gpu.conftest import GPU
from wwdc.embed.__main__ import main as embed
from wwdc.products import Product, Tree, info_path, read_info
from wwdc.products.verify import verify
from wwdc.tune.__main__ import main

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ONE = ("data.x_ds.drop_variables=[b]", "seed=1")
INLINE = ("tune.engine=inline", "tune.resources.gpu=1")


@pytest.fixture
def root(gpu_root: Path, data_root: Path) -> Path:
    """A DATA_ROOT of the test's own that holds the VAE."""
    shutil.copytree(gpu_root, data_root)
    return data_root


def products_of(root: Path) -> list[Product]:
    """The flow's products, all of them sound, finite and made on the card."""
    tree = Tree(root, "DIGITS", "FLOW")
    assert not [problem for problem in verify(tree) if problem.broken]
    found = tree.products()
    for product in found:
        assert product.info.device == torch.cuda.get_device_name()
        assert all(math.isfinite(value) for value in product.info.metrics.values())
    return found


def test_a_vae_trains_on_the_card(gpu_root):
    (product,) = Tree(gpu_root, "DIGITS", "VAE").products()
    assert product.info.device == torch.cuda.get_device_name()
    assert math.isfinite(product.info.metrics["val_loss"])


@pytest.mark.parametrize("engine", [INLINE, ("tune.engine=torch", "tune.resources.gpu=1")])
def test_a_flow_trains_on_the_card(root, tmp_path, engine):
    assert main([str(flow_experiment(tmp_path)), *GPU, *ONE, *engine]) == 0
    (product,) = products_of(root)
    assert {"val_loss", "train_loss", "test_loss"} <= set(product.info.metrics)


def test_the_card_trains_as_the_cpu_does(root, tmp_path):
    experiment = flow_experiment(tmp_path)
    assert main([str(experiment), *GPU, *ONE, *INLINE]) == 0
    assert main([str(experiment), *ONE, "trainer=cpu", "--fresh", "tune.engine=inline"]) == 0
    tree = Tree(root, "DIGITS", "FLOW")
    card, cpu = sorted(tree.products(), key=lambda product: product.info.device.startswith("cpu"))
    assert card.info.point_id == cpu.info.point_id
    assert card.info.metrics["val_loss"] == pytest.approx(cpu.info.metrics["val_loss"], rel=0.05)


def test_mixed_precision_gives_finite_metrics(root, tmp_path):
    precision = "trainer.precision=bf16-mixed"
    assert main([str(flow_experiment(tmp_path)), *GPU, *ONE, *INLINE, precision]) == 0
    (product,) = products_of(root)
    assert product.info.config["trainer"]["precision"] == "bf16-mixed"


def test_two_points_train_on_one_card_at_the_same_time(root, tmp_path):
    quarter = ("tune.engine=inline", "tune.resources.gpu=0.25", "trainer.max_epochs=200")
    points = ("data.x_ds.drop_variables=[b]", "seed=1,2")
    assert main([str(flow_experiment(tmp_path)), *GPU, *points, *quarter]) == 0
    found = products_of(root)
    assert len(found) == 2
    begun = [datetime.fromisoformat(product.info.created).timestamp() for product in found]
    ended = [product.path.stat().st_mtime for product in found]
    assert max(begun) < min(ended), "one after the other"


@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_an_embedding_made_on_the_card_is_that_of_the_cpu(root, tmp_path, engine):
    experiment = str(flow_experiment(tmp_path))
    assert main([experiment, *GPU, *ONE, *INLINE]) == 0
    (path,) = (point.path for point in products_of(root))
    place = path.parents[1] / "embeddings" / path.stem / "test.parquet"
    assert embed([experiment, *ONE, "trainer=cpu", "embed.engine=inline"]) == 0
    cpu = pq.read_table(place)
    on_card = (*GPU, *ONE, f"embed.engine={engine}", "embed.resources.gpu=0.5", "--fresh")
    assert embed([experiment, *on_card]) == 0
    assert read_info(info_path(place)).device == torch.cuda.get_device_name()
    card = pq.read_table(place)
    assert card["id"].equals(cpu["id"])
    for name in ("z", "u", "u_mean", "log_prob"):
        a, b = (np.stack(table[name].to_numpy()).astype(float) for table in (card, cpu))
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
