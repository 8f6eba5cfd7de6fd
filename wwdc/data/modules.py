"""Lightning data modules: images for a VAE, cached latents for a flow, whole batches at a time."""

__all__ = ["ImageDataModule", "LatentDataModule"]

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wwdc.data.colour_mnist import SPLITS, Split
from wwdc.data.dataset import ImageDataset
from wwdc.data.latents import Latents
from wwdc.data.sampler import EpochBatchSampler
from wwdc.errors import ConfigError, closest

Batch = dict[str, Tensor]
T = TypeVar("T")

_RESIDENT_BYTES = 4 << 30
"""Latents up to this size are copied to the accelerator once instead of batch by batch."""


class BatchModule(pl.LightningDataModule, ABC):
    """Batches of a dataset's splits: shuffled for training, in order for validation and test.

    Without loader workers, a batch is made on the trainer's device; workers make it on the CPU.

    Args:
        dataset: where rows come from.
        loader: ``batch_size``, over all ranks, and what else torch's DataLoader takes
            (``num_workers``, ``pin_memory``, ``prefetch_factor``, …).
        seed: the point's seed: it and the epoch decide the order of rows.
        rank: this process.
        world: number of processes; each gets its slice of every batch.

    Raises:
        ConfigError: a loader setting is unknown, missing or out of range.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        loader: Mapping[str, Any],
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.seed = seed
        self.rank = rank
        self.world = world
        self._batch_size, self._options = _loader_options(loader)

    @abstractmethod
    def batches(self, split: Split, device: torch.device) -> "Dataset[Batch]":
        """What makes the batch of a tensor of row indices, on *device*."""

    def train_dataloader(self) -> "DataLoader[Batch]":
        return self._loader("train")

    def val_dataloader(self) -> "DataLoader[Batch]":
        return self._loader("val")

    def test_dataloader(self) -> "DataLoader[Batch]":
        return self._loader("test")

    def _loader(self, split: Split) -> "DataLoader[Batch]":
        rows, shuffle = self.dataset.rows(split), split == "train"
        sampler = EpochBatchSampler(
            rows, self._batch_size, self.seed, shuffle, self.rank, self.world
        )
        if self.trainer is not None:
            # Lightning sets the epoch only after it made the first iterator, whose workers have
            # drawn their first batches by then: a resumed run would begin with those of epoch 0.
            progress: Any = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)
        # A sampler of whole batches with `batch_size=None`: nothing is collated row by row, and
        # Lightning finds `set_epoch` where it looks for it.
        return DataLoader(
            self.batches(split, self._device()),
            batch_size=None,
            sampler=sampler,
            collate_fn=_identity,
            **self._options,
        )

    def _device(self) -> torch.device:
        if self.trainer is None or self._options.get("num_workers"):
            return torch.device("cpu")
        return self.trainer.strategy.root_device


class ImageDataModule(BatchModule):
    """Batches ``{"x": (B, 3, H, W) in [0, 1], "index": (B,)}``, drawn as they are asked for.

    *index* is the row of the split's table. See `BatchModule` for the arguments.
    """

    def batches(self, split: Split, device: torch.device) -> "Dataset[Batch]":
        return _Images(self.dataset, split, device)


class LatentDataModule(BatchModule):
    """Batches ``{"mean": (B, D), "logvar": (B, D), "context": (B, C), "index": (B,)}``.

    Latents come from the cache; the context holds the dataset's kept variables, not standardised.

    Args:
        dataset: the dataset that was encoded.
        latents: its cached latents by split.
        loader: see `BatchModule`, as for the others.
        seed: the point's seed.
        rank: this process.
        world: number of processes.

    Raises:
        ValueError: the latents of a split are not those of the dataset.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        latents: Mapping[Split, Latents],
        loader: Mapping[str, Any],
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(dataset, loader, seed, rank=rank, world=world)
        self.latents = latents
        for split in SPLITS:
            if split in latents and len(latents[split].mean) != dataset.rows(split):
                raise ValueError(
                    f"{split}: {len(latents[split].mean)} latents for {dataset.rows(split)} rows"
                )

    def batches(self, split: Split, device: torch.device) -> "Dataset[Batch]":
        latents = self.latents[split]
        context = self.dataset.context(split)
        return _Rows({"mean": latents.mean, "logvar": latents.logvar, "context": context}, device)


class _Images(Dataset[Batch]):
    def __init__(self, dataset: ImageDataset, split: Split, device: torch.device) -> None:
        self._dataset = dataset
        self._split = split
        self._device = device

    def __getitem__(self, index: Tensor) -> Batch:
        index = index.to(self._device)
        return {"x": self._dataset.images(self._split, index), "index": index}


class _Rows(Dataset[Batch]):
    """Rows of arrays (R, …) as float32 tensors; memory-mapped arrays are read as needed."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], device: torch.device) -> None:
        self._arrays = arrays
        self._device = device
        self._resident: dict[str, Tensor] | None = None
        size = sum(array.nbytes for array in arrays.values())
        if device.type != "cpu" and size <= _RESIDENT_BYTES:
            self._resident = {
                name: torch.tensor(np.asarray(array, np.float32), device=device)
                for name, array in arrays.items()
            }

    def __getitem__(self, index: Tensor) -> Batch:
        if self._resident is not None:
            index = index.to(self._device)
            return {name: rows[index] for name, rows in self._resident.items()} | {"index": index}
        rows = index.numpy()
        batch = {
            name: torch.from_numpy(array[rows].astype(np.float32, copy=False)).to(self._device)
            for name, array in self._arrays.items()
        }
        return batch | {"index": index.to(self._device)}


def _identity(batch: T) -> T:
    return batch


_OPTIONS = (
    "num_workers",
    "pin_memory",
    "prefetch_factor",
    "persistent_workers",
    "timeout",
    "multiprocessing_context",
)


def _loader_options(loader: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The batch size and the arguments for torch's DataLoader."""
    known = ("batch_size", *_OPTIONS)
    for name in loader:
        if name not in known:
            raise ConfigError(
                f"data.loader.{name}: unknown key.{closest(str(name), known)} "
                f"Known keys: {', '.join(known)}."
            )
    for name, least in (("batch_size", 1), ("num_workers", 0)):
        value = loader.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(
                f"data.loader.{name}: expected an integer ≥ {least}, got {loader.get(name)!r}."
            )
    options = {name: value for name, value in loader.items() if name != "batch_size"}
    if not options.get("num_workers"):
        for name in ("prefetch_factor", "persistent_workers", "multiprocessing_context"):
            options.pop(name, None)  # torch refuses them where there are no workers
    return loader["batch_size"], options
