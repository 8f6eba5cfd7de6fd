"""What LightningVAE and LightningFlow share: random streams, averaged weights, epoch logs."""

__all__ = ["PointModule", "check_range"]

import copy
import functools
import math
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from wwdc.errors import ConfigError
from wwdc.training.schedules import (
    OptimizerFactory,
    SchedulerFactory,
    build_optimizer,
    build_scheduler,
)
from wwdc.training.streams import Stream, generator

N = TypeVar("N", bound=nn.Module)

_ADAMW = functools.partial(torch.optim.AdamW, weight_decay=0.01)


def check_range(name: str, value: float, fits: bool, rule: str) -> None:
    """Raise a ConfigError naming the key unless the value *fits* the *rule*."""
    if not fits:
        raise ConfigError(f"model.yaml: lightning_loader.{name} is {value}: it must be {rule}.")


class PointModule(pl.LightningModule, ABC, Generic[N]):
    """Trains one network and evaluates the exponential moving average of its weights.

    The noise of a batch follows from (seed, epoch, stream, rank) alone, so that a run resumed at
    the end of an epoch goes on to the bit; validation and test draw the same noise every time.
    Subclasses name their :attr:`network` and implement :meth:`losses`.

    Args:
        lr: highest learning rate.
        optimizer: partial that wants ``params`` and ``lr``; AdamW by default.
        lr_scheduler: partial that wants ``optimizer``; None keeps the rate constant.
        ema_decay: decay a step of the averaged weights, in [0, 1); 0 evaluates the weights as
            they are.

    Raises:
        ConfigError: when *lr* or *ema_decay* is out of range.
    """

    ema: N
    """The network with averaged weights, which is evaluated and published."""

    def __init__(
        self,
        lr: float,
        optimizer: OptimizerFactory | None,
        lr_scheduler: SchedulerFactory | None,
        ema_decay: float,
    ) -> None:
        super().__init__()
        check_range("lr", lr, 0.0 < lr < math.inf, "a positive number")
        check_range("ema_decay", ema_decay, 0.0 <= ema_decay < 1.0, "in [0, 1)")
        self.lr = lr
        self.ema_decay = ema_decay
        self._optimizer = optimizer or _ADAMW
        self._lr_scheduler = lr_scheduler
        self._seed, self._rank = 0, 0
        self._noise: dict[str, torch.Generator] = {}
        self._sums: dict[str, dict[str, Tensor]] = {"train": {}, "val": {}, "test": {}}
        self._counts = {"train": 0, "val": 0, "test": 0}
        self._averages: tuple[list[Tensor], list[Tensor]] | None = None
        self._total_steps = math.inf

    @property
    @abstractmethod
    def network(self) -> N:
        """The network being trained."""

    @abstractmethod
    def losses(
        self, network: N, batch: dict[str, Tensor], noise: torch.Generator, train: bool
    ) -> dict[str, Tensor]:
        """The parts of the loss for *batch*; ``loss`` is minimised."""

    def seed_streams(self, seed: int, rank: int = 0) -> None:
        """Fix the seed and this worker's rank, from which all noise follows."""
        self._seed, self._rank = seed, rank

    def add_average(self) -> None:
        """Start the averaged copy of the network; its weights are saved as ``ema.*``."""
        self.ema = copy.deepcopy(self.network).requires_grad_(False)

    @property
    def progress(self) -> float:
        """How far training has come, in [0, 1]."""
        return min(1.0, self.global_step / self._total_steps)

    def on_fit_start(self) -> None:
        self._total_steps = float(self.trainer.estimated_stepping_batches)
        self._averages = (list(self.ema.parameters()), list(self.network.parameters()))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return self.optimization(float(self.trainer.estimated_stepping_batches))

    def optimization(self, steps: float) -> OptimizerLRScheduler:
        """The optimizer, with its schedule over *steps* where there is one."""
        optimizer = build_optimizer(self._optimizer, self.network.parameters(), self.lr)
        if self._lr_scheduler is None:
            return optimizer
        schedule = build_scheduler(self._lr_scheduler, optimizer, self.lr, steps)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def training_step(self, batch: dict[str, Tensor], _batch_idx: int) -> Tensor:
        parts = self.losses(self.network, batch, self._noise["train"], train=True)
        self._add("train", parts, batch)
        return parts["loss"]

    def validation_step(self, batch: dict[str, Tensor], _batch_idx: int) -> None:
        self._add("val", self.losses(self.ema, batch, self._noise["val"], train=False), batch)

    def test_step(self, batch: dict[str, Tensor], _batch_idx: int) -> None:
        self._add("test", self.losses(self.ema, batch, self._noise["test"], train=False), batch)

    @torch.no_grad()
    def on_train_batch_end(self, *_: object) -> None:
        if self._averages is None:
            raise RuntimeError("on_fit_start has not run")
        step = self.global_step
        decay = min(self.ema_decay, step / (10.0 + step))  # the first steps are soon forgotten
        averaged, current = self._averages
        torch._foreach_lerp_(averaged, current, 1.0 - decay)

    def on_train_epoch_start(self) -> None:
        self._start("train", self.current_epoch, Stream.TRAIN)

    def on_validation_epoch_start(self) -> None:
        self._start("val", 0, Stream.VAL)

    def on_test_epoch_start(self) -> None:
        self._start("test", 0, Stream.TEST)

    def on_train_epoch_end(self) -> None:
        self._log_means("train")

    def on_validation_epoch_end(self) -> None:
        self._log_means("val")

    def on_test_epoch_end(self) -> None:
        self._log_means("test")

    def _start(self, split: str, epoch: int, stream: Stream) -> None:
        self._noise[split] = generator(self._seed, epoch, stream, self._rank, self.device)
        self._sums[split], self._counts[split] = {}, 0

    def _add(self, split: str, parts: dict[str, Tensor], batch: dict[str, Tensor]) -> None:
        """Sum on the device, so that Lightning logs once an epoch."""
        size = len(batch["index"])
        sums = self._sums[split]
        for name, value in parts.items():
            part = value.detach() * size
            sums[name] = sums[name] + part if name in sums else part
        self._counts[split] += size

    def _log_means(self, split: str) -> None:
        count = self._counts[split]
        if not count:
            return
        means = {f"{split}_{name}": part / count for name, part in self._sums[split].items()}
        self.log_dict(means, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)
