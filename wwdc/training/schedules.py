"""Optimizers and learning-rate schedules from YAML partials, and annealing of a temperature."""

__all__ = ["OptimizerFactory", "SchedulerFactory", "anneal", "build_optimizer", "build_scheduler"]

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch import nn

from wwdc.errors import ConfigError

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""A partial that still wants ``params`` and ``lr``."""

SchedulerFactory = Callable[..., Any]
"""A partial that still wants ``optimizer`` and, where it has them, the steps and the top rate."""

_STEPS = ("total_steps", "T_max")


def build_optimizer(
    factory: OptimizerFactory, parameters: Iterable[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """The optimizer of *factory* with learning rate *lr*.

    Raises:
        ConfigError: when the YAML gives the optimizer a learning rate of its own.
    """
    if "lr" in getattr(factory, "keywords", {}):
        raise ConfigError(
            "model.yaml: lightning_loader.optimizer.lr and lightning_loader.lr both set the "
            "learning rate. Keep lightning_loader.lr."
        )
    return factory([p for p in parameters if p.requires_grad], lr=lr)


def build_scheduler(
    factory: SchedulerFactory, optimizer: torch.optim.Optimizer, lr: float, total_steps: float
) -> LRSchedulerConfigType:
    """Lightning's description of the schedule: per step where it counts steps, else per epoch.

    ``total_steps`` (or ``T_max``) and ``max_lr`` are filled in where the schedule takes them and
    the YAML leaves them out.

    Raises:
        ConfigError: when the schedule needs the number of steps and training has no end.
    """
    names = inspect.signature(factory).parameters
    given = getattr(factory, "keywords", {})
    counts = [name for name in _STEPS if name in names]
    extra: dict[str, Any] = {}
    for name in counts:
        if name not in given:
            if not math.isfinite(total_steps):
                raise ConfigError(
                    f"model.yaml: lightning_loader.lr_scheduler needs {name}, but training has no "
                    "end. Set trainer.max_epochs or trainer.max_steps."
                )
            extra[name] = max(1, int(total_steps))
    if "max_lr" in names and "max_lr" not in given:
        extra["max_lr"] = lr
    scheduler = factory(optimizer, **extra)
    return {
        "scheduler": scheduler,
        "interval": "step" if counts else "epoch",
        "monitor": "val_loss",
    }


def anneal(start: float, floor: float, progress: float, part: float = 1.0) -> float:
    """Linear from *start* at progress 0 to *floor* at progress *part*, and *floor* from there on.

    >>> [anneal(4.0, 1.0, t, part=0.5) for t in (0.0, 0.25, 0.5, 1.0)]
    [4.0, 2.5, 1.0, 1.0]
    """
    if progress >= part:
        return floor
    return start + (floor - start) * progress / part
