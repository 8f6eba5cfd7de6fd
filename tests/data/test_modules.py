"""What training reads: the same batches whoever asks, on whichever route, resumed or not."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn

from tests.data.conftest import TinyVAE
from wwdc.data.colour_mnist import SPLITS
from wwdc.data.latents import latent_cache
from wwdc.data.modules import ImageDataModule, LatentDataModule
from wwdc.errors import ConfigError

LOADER = {"batch_size": 512, "num_workers": 0}


@pytest.fixture(scope="module")
def latents(digits, tmp_path_factory):
    root = tmp_path_factory.mktemp("latents")
    return {split: latent_cache(root, TinyVAE(), "tiny", digits, split) for split in SPLITS}


@pytest.fixture(params=["images", "latents"])
def make(request, digits, latents):
    """Builds a data module from loader settings and keyword arguments."""

    def build(loader=LOADER, seed=1, **ranks):
        if request.param == "images":
            return ImageDataModule(digits, loader, seed, **ranks)
        return LatentDataModule(digits, latents, loader, seed, **ranks)

    return build


def read(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(first, second):
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
        for a, b in zip(first, second, strict=True)
    )


def test_training_batches_are_full_and_others_complete(make, digits):
    module = make()
    assert [len(b["index"]) for b in read(module.train_dataloader())] == [512] * 4
    for loader, split in ((module.val_dataloader(), "val"), (module.test_dataloader(), "test")):
        rows = torch.cat([batch["index"] for batch in read(loader)])
        assert rows.tolist() == list(range(digits.rows(split)))


def test_workers_change_nothing(make):
    alone = make().train_dataloader()
    helped = make(LOADER | {"num_workers": 2, "persistent_workers": True}).train_dataloader()
    for epoch in (0, 3):
        assert same(read(alone, epoch), read(helped, epoch))


def test_workers_can_be_spawned(digits, latents):
    options = LOADER | {"num_workers": 1, "multiprocessing_context": "spawn"}
    alone, helped = (LatentDataModule(digits, latents, loader, 1) for loader in (LOADER, options))
    assert same(read(alone.val_dataloader()), read(helped.val_dataloader()))


def test_batches_are_made_on_the_device_asked_for(make, digits):
    batch = make().batches("val", torch.device("meta"))[torch.arange(6)]
    assert {tensor.device.type for tensor in batch.values()} == {"meta"}
    assert {len(tensor) for tensor in batch.values()} == {6}


def test_settings_for_workers_are_ignored_without_them(make):
    options = {"prefetch_factor": 2, "persistent_workers": True}
    assert len(read(make(LOADER | options).val_dataloader())) == 1


def test_two_ranks_make_one_batch(make):
    whole = read(make().train_dataloader(), 2)
    parts = [read(make(rank=rank, world=2).train_dataloader(), 2) for rank in range(2)]
    joined = [{k: torch.cat([a[k], b[k]]) for k in a} for a, b in zip(*parts, strict=True)]
    for one, two in zip(whole, joined, strict=True):
        for name in one:
            torch.testing.assert_close(one[name], two[name])


def test_latent_batches_are_rows_of_the_cache(digits, latents):
    module = LatentDataModule(digits, latents, LOADER, 1)
    batch = read(module.train_dataloader())[0]
    index = batch["index"].numpy()
    np.testing.assert_array_equal(batch["mean"], latents["train"].mean[index])
    np.testing.assert_array_equal(batch["logvar"], latents["train"].logvar[index])
    np.testing.assert_array_equal(batch["context"], digits.context("train")[index])
    assert batch["mean"].dtype == torch.float32


def test_half_precision_latents_become_floats(digits, tmp_path):
    halves = {s: latent_cache(tmp_path, TinyVAE(), "x", digits, s, "float16") for s in SPLITS}
    batch = read(LatentDataModule(digits, halves, LOADER, 1).val_dataloader())[0]
    assert batch["mean"].dtype == torch.float32


def test_latents_of_another_dataset_are_refused(digits, latents):
    with pytest.raises(ValueError, match="val: 2516 latents for 360 rows"):
        LatentDataModule(digits, latents | {"val": latents["train"]}, LOADER, 1)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ({}, "data.loader.batch_size: expected an integer ≥ 1, got None"),
        ({"batch_size": 0}, "data.loader.batch_size: .* got 0"),
        ({"batch_size": 2.5}, "data.loader.batch_size: .* got 2.5"),
        ({"batch_size": 8, "num_workers": -1}, "data.loader.num_workers: .* got -1"),
        ({"batchsize": 8}, "batchsize: unknown key. Did you mean 'batch_size'?"),
        ({"batch_size": 8, "shuffle": True}, "shuffle: unknown key"),
    ],
)
def test_wrong_loader_settings_are_refused(make, loader, message):
    with pytest.raises(ConfigError, match=message):
        make(loader)


class Listener(pl.LightningModule):
    """Trains nothing and remembers which rows it was given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = {}

    def training_step(self, batch, _):
        self.seen.setdefault(self.current_epoch, []).append(batch["index"].tolist())
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module, data, epochs, folder, **options):
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    trainer.fit(module, datamodule=data, **options)
    return trainer


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_sets_the_epoch_also_on_resuming(make, tmp_path, workers):
    loader = LOADER | {"num_workers": workers}
    straight, first, second = Listener(), Listener(), Listener()
    fit(straight, make(loader), 4, tmp_path)
    trainer = fit(first, make(loader), 2, tmp_path)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    fit(second, make(loader), 4, tmp_path, ckpt_path=tmp_path / "x.ckpt")
    assert list(second.seen) == [2, 3]
    assert first.seen | second.seen == straight.seen
    assert len({str(batches) for batches in straight.seen.values()}) == 4
    for epoch, batches in straight.seen.items():
        expected = [b["index"].tolist() for b in read(make().train_dataloader(), epoch)]
        assert batches == expected
