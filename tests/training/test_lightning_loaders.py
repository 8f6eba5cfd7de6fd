"""LightningVAE and LightningFlow: what they check, log, save, freeze and reproduce."""

import functools

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from wwdc.errors import ConfigError
from wwdc.models import digits, rgbmnist
from wwdc.training.lightning_loaders import LightningFlow, LightningVAE, load_vae

D, C = 6, 3
STAGES = ("vae", "flow", "nsf", "masked")
every_stage = pytest.mark.parametrize("stage", STAGES)
ONE_CYCLE = functools.partial(torch.optim.lr_scheduler.OneCycleLR, pct_start=0.3)


def small_vae():
    return digits.VAE(hidden_dim=D, channels=4, width=8)


def make(stage, **settings):
    pl.seed_everything(3, verbose=False)
    settings = {"lr": 1e-3, "lr_scheduler": ONE_CYCLE, **settings}
    if stage == "vae":
        module = LightningVAE(small_vae(), size=D, **settings)
    else:
        kind = rgbmnist.Flow if stage == "nsf" else rgbmnist.CouplingFlow
        flow = kind(D, hidden_features=[8], transforms=2)
        rate = 0.5 if stage == "masked" else 0.0
        module = LightningFlow(small_vae(), flow, size=D, condition_dropout=rate, **settings)
        mean, std = np.full(C, 0.5, np.float32), np.array([2.0, 1.0, 0.0], np.float32)
        module.set_context(C, mean, std, [0, 1, 1])
    module.seed_streams(11)
    return module


def batches(stage, number=3, rows=8):
    generator = torch.Generator().manual_seed(0)
    normal = functools.partial(torch.randn, generator=generator)
    for k in range(number):
        index = torch.arange(k * rows, (k + 1) * rows)
        if stage == "vae":
            yield {"x": torch.rand(rows, 3, 28, 28, generator=generator), "index": index}
        else:
            latents = {"mean": normal(rows, D), "logvar": normal(rows, D) - 3}
            yield {**latents, "context": normal(rows, C), "index": index}


def fit(stage, folder, *, epochs=4, resume=None, **settings):
    module = make(stage, **settings)
    checkpoint = pl.callbacks.ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[checkpoint],
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=5.0,
    )
    train, val = (DataLoader(list(batches(stage, n)), batch_size=None) for n in (3, 1))
    trainer.fit(module, train, val, ckpt_path=resume, weights_only=True)
    fitted = {name: value.item() for name, value in trainer.callback_metrics.items()}
    tested = trainer.test(module, val, verbose=False)[0]
    return module, {**fitted, **tested}


def same(first, second):
    states = first.state_dict(), second.state_dict()
    assert states[0].keys() == states[1].keys()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@every_stage
def test_logs_losses_and_repeats_to_the_bit(stage, tmp_path):
    module, metrics = fit(stage, tmp_path / "a")
    again, metrics_again = fit(stage, tmp_path / "b")
    assert {"train_loss", "val_loss", "test_loss"} <= metrics.keys()
    assert metrics == metrics_again
    assert same(module, again)


@every_stage
def test_resuming_is_the_same_to_the_bit(stage, tmp_path):
    module, metrics = fit(stage, tmp_path / "a")
    resumed, metrics_resumed = fit(stage, tmp_path / "b", resume=tmp_path / "a" / "epoch=1.ckpt")
    assert metrics == metrics_resumed
    assert same(module, resumed)


@every_stage
def test_seed_and_rank_change_the_noise(stage):
    batch = next(batches(stage))
    values = set()
    for seed, rank in ((1, 0), (1, 1), (2, 0)):
        module = make(stage)
        module.seed_streams(seed, rank)
        module.on_validation_epoch_start()
        parts = module.losses(module.network, batch, module._noise["val"], train=False)
        values.add(parts["loss"].item())
    assert len(values) == 3


@every_stage
def test_averaged_weights_are_evaluated(stage, tmp_path):
    module, _ = fit(stage, tmp_path / "a", ema_decay=0.9)
    raw, _ = fit(stage, tmp_path / "b", ema_decay=0.0)
    pairs = list(zip(module.ema.parameters(), module.network.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in pairs)
    pairs = zip(raw.ema.parameters(), raw.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@every_stage
def test_checkpoint_is_plain_data_without_the_frozen_vae(stage, tmp_path):
    module, _ = fit(stage, tmp_path, epochs=1)
    state = torch.load(tmp_path / "epoch=0.ckpt", weights_only=True)["state_dict"]
    names = {name.partition(".")[0] for name in state}
    if stage == "vae":
        assert names == {"vae", "ema"}
        target = small_vae()
        load_vae(tmp_path / "epoch=0.ckpt", target)
        x = torch.rand(2, 3, 28, 28)
        assert torch.equal(target.encode(x)[0], module.ema.encode(x)[0])
    else:
        context = {"context_mean", "context_std"}
        context |= {"context_groups"} if stage == "masked" else set()
        assert names == {"flow", "ema"} | context


def test_vae_stays_frozen(tmp_path):
    before = make("flow").vae.state_dict()
    module, _ = fit("flow", tmp_path)
    assert all(torch.equal(before[name], value) for name, value in module.vae.state_dict().items())
    assert not module.vae.training
    assert not any(p.requires_grad for p in module.vae.parameters())


def test_images_are_encoded_in_the_step_as_the_cache_was():
    module, batch = make("flow"), next(batches("flow"))
    x = torch.rand(8, 3, 28, 28)
    mean, logvar = module.posterior({"x": x})
    assert not mean.requires_grad
    cached = module.vae.encode(x)
    assert torch.equal(mean, cached[0])
    assert torch.equal(logvar, cached[1])
    assert torch.equal(module.posterior(batch)[0], batch["mean"])


def test_context_is_standardised_and_constant_columns_survive():
    module = make("flow")
    context = torch.tensor([[2.5, 1.5, 0.5]])
    assert torch.equal(module.standardise(context), torch.tensor([[1.0, 1.0, 0.0]]))


def test_temperature_zero_takes_the_mean():
    module, batch = make("flow", beta_init=1.0, beta_floor=0.0), next(batches("flow"))
    losses = set()
    for seed in (1, 2):
        module.seed_streams(seed)
        module.on_validation_epoch_start()
        noise = module._noise["val"]
        losses.add(module.losses(module.flow, batch, noise, train=False)["loss"].item())
    assert len(losses) == 1


@pytest.mark.parametrize("stage", ["vae", "flow"])
def test_loss_and_optimizer_come_from_partials(stage, tmp_path):
    def loss(*arguments):
        network_output = arguments[1] if stage == "vae" else arguments[0](*arguments[1:])
        return {"loss": network_output.square().mean(), "extra": torch.tensor(2.0)}

    sgd = functools.partial(torch.optim.SGD, momentum=0.5)
    plateau = functools.partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=1)
    _, metrics = fit(stage, tmp_path, loss=loss, optimizer=sgd, lr_scheduler=plateau)
    assert metrics["val_extra"] == metrics["test_extra"] == 2.0


def test_sizes_must_agree():
    with pytest.raises(ConfigError, match=r"lightning_loader\.vae 6, lightning_loader\.flow 7"):
        LightningFlow(small_vae(), rgbmnist.CouplingFlow(7), lr=1e-3)
    with pytest.raises(ConfigError, match=r"lightning_loader\.size 64, lightning_loader\.vae 6"):
        LightningVAE(small_vae(), lr=1e-3, size=64)


def test_context_width_must_agree():
    module = LightningFlow(small_vae(), rgbmnist.CouplingFlow(D, 2), lr=1e-3)
    with pytest.raises(ConfigError, match="context is 2, but the kept variables take 3"):
        module.set_context(3, np.zeros(3), np.ones(3))


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 0.0), ("lr", float("nan")), ("lr", -1.0), ("ema_decay", 1.0), ("beta_init", -0.1)],
)
@pytest.mark.parametrize("stage", ["vae", "flow"])
def test_numbers_out_of_range_are_refused(stage, name, value):
    with pytest.raises(ConfigError, match=rf"model\.yaml: lightning_loader\.{name} is"):
        make(stage, **{name: value})
