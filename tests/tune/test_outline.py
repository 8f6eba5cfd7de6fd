"""The workflow outline's own YAML, verbatim, runs to products on MNIST's test images."""

import json
import shutil

import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from wwdc.embed.__main__ import main as embed
from wwdc.products import Tree
from wwdc.products.verify import verify
from wwdc.stats.__main__ import main as stats
from wwdc.tune.__main__ import main

pytestmark = [pytest.mark.ray, pytest.mark.slow]

OUTLINE = REPOSITORY / "tests" / "fixtures" / "outline" / "RGBMNIST_FLOW"
VAE = REPOSITORY / "experiments" / "rgbmnist_vae"
SHORT = "trainer.max_epochs=1"


def test_the_outline_runs_to_products(mnist_root, ray_session, tmp_path, capsys):
    """One epoch a point: what is tested is that every key of the outline does its work."""
    experiment = tmp_path / "experiment" / "RGBMNIST_FLOW"
    shutil.copytree(OUTLINE, experiment)
    vae = ["lightning_loader.vae.hidden_dim=64", "seed=42", "data.x_ds.views=1"]
    assert main([str(VAE), SHORT, *vae]) == 0
    (trained,) = Tree(mnist_root, "COLOUR_MNIST", "VAE").products()
    named = trained.path.with_name("5239514.ckpt")  # the path that the outline's train.yaml gives
    trained.path.rename(named)
    trained.info_path.unlink()
    capsys.readouterr()

    assert main([str(experiment), SHORT, "data.x_ds.views=1"]) == 0
    tree = Tree(mnist_root, "COLOUR_MNIST", "FLOW")
    products = tree.products()
    assert len(products) == 12
    assert len(list(tree.ckpts.glob("*_info.yaml"))) == 12
    assert not [problem for problem in verify(tree) if problem.broken]
    values = [json.loads(product.info.val) for product in products]
    assert values.count(["b", "angle", "scale"]) == 3
    assert {product.info.seed for product in products} == {42, 43, 44}
    assert {product.info.vae_fp for product in products} == {str(named)}
    target = products[0].info.config["lightning_loader"]["flow"]["_target_"]
    assert target == "wwdc.models.rgbmnist.Flow"

    capsys.readouterr()
    assert main([str(experiment), SHORT, "data.x_ds.views=1"]) == 0
    assert "All 12 points are done; nothing to train" in capsys.readouterr().out

    assert embed([str(experiment), SHORT, "data.x_ds.views=1"]) == 0
    embedded = tree.embedded()
    assert len(embedded) == 12
    assert {product.path.name for product in embedded} == {"test.parquet"}
    assert {product.info.vae_fp for product in embedded} == {str(named)}
    assert {product.info.model_fp for product in embedded} == {str(p.path) for p in products}
    assert not [problem for problem in verify(tree) if problem.broken]
    quick = ["tests=quick", "~tests.probes.mlp", "tests.independence=null", "tests.base=null"]
    assert stats([str(experiment), SHORT, "data.x_ds.views=1", *quick]) == 0
    verdicts = pd.read_parquet(tree.path / "stat_tests" / "verdicts.parquet")
    assert len(verdicts[verdicts["space"] == "u"]) == 12 * 6
