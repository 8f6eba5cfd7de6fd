"""A flow with condition_dropout is embedded once for every drop set."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import wwdc
from tests.conftest import flow_experiment
from tests.embed.conftest import stacked
from wwdc.data.digits import Digits
from wwdc.embed.__main__ import main
from wwdc.embed.columns import read_about
from wwdc.products import Tree
from wwdc.products.export import vae_of
from wwdc.products.verify import verify
from wwdc.training.load import load_flow
from wwdc.tune.__main__ import main as tune

pytestmark = pytest.mark.ray

MASKED = ("+lightning_loader.condition_dropout=0.5", "+seed=1")
INLINE = ("embed.engine=inline", "tune.cpus=1")


def test_one_checkpoint_has_an_embedding_for_each_drop_set(vae_root, tmp_path, capsys):
    experiment = flow_experiment(tmp_path)
    assert tune([str(experiment), *MASKED]) == 0
    capsys.readouterr()
    assert main([str(experiment), *MASKED, *INLINE, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["embeddings"]
    tree = Tree(vae_root, "DIGITS", "FLOW")
    (checkpoint,) = tree.products()
    job = checkpoint.info.job
    assert [(e["job"], e["sweep"]) for e in entries] == [
        (f"{job}-only_b", "only_b"),
        (f"{job}-only_digit", "only_digit"),
    ]
    assert not [problem for problem in verify(tree) if problem.broken]
    loader = checkpoint.info.config["lightning_loader"]
    module = load_flow(checkpoint.path, loader, vae_of(checkpoint, vae_root))
    context = torch.from_numpy(Digits(views=1).context("test"))
    asked = wwdc.Experiment(experiment, MASKED)
    for product, dropped in zip(tree.embedded(), (["b"], ["digit"]), strict=True):
        info = product.info
        assert info.sweep == f"only_{dropped[0]}"
        assert info.param == "x_ds.drop_variables"
        assert json.loads(info.val) == dropped
        assert info.overrides == {"data.x_ds.drop_variables": dropped, "seed": 1}
        about = read_about(pq.read_schema(product.path))
        assert about.dropped == dropped
        given = torch.tensor([name not in dropped for name in Digits.catalogue.names])
        z = torch.from_numpy(stacked(product.path, "z").copy())
        with torch.no_grad():
            u, _ = module.ema.to_base(z, module.condition(context, given))
            told_nothing = module.condition(context, torch.zeros_like(given))
            alone = module.ema.log_prob(z, told_nothing)
        np.testing.assert_allclose(stacked(product.path, "u"), u, rtol=1e-4, atol=1e-4)
        name = product.path.parent.name  # a drop set's name leads to the flow and to its context
        loaded, told = asked.load(name), torch.from_numpy(asked.context("test", name))
        mean = torch.from_numpy(asked.vectors("z_mean", "test", name))
        residual = loaded.flow(mean, loaded.condition(told, given))
        known = asked.vectors("u_mean", "test", name)
        np.testing.assert_allclose(residual, known, rtol=1e-4, atol=1e-4)
        found = stacked(product.path, "log_prob_unconditional")
        np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-4)
        assert "log_prob_unconditional_mean" in pq.read_schema(product.path).names
    first, second = (stacked(product.path, "u") for product in tree.embedded())
    assert not np.allclose(first, second)
    assert main([str(experiment), *MASKED, *INLINE]) == 0
    assert "nothing to do" in capsys.readouterr().out
