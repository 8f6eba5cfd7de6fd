"""Builds what a point builds and throws it away, so that a mistake shows before anything starts."""

__all__ = ["check_point"]

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from wwdc.data.modules import ImageDataModule
from wwdc.errors import ConfigError, ProductError
from wwdc.models.context import context_groups
from wwdc.models.weights import load_weights, read_checkpoint
from wwdc.training.loop import build_dataset, build_module, check_objectives, check_trainer

_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MisconfigurationException,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What libraries raise when they are given a value that they do not like."""

_TRAINING_STATE = ("epoch", "global_step", "loops", "optimizer_states")
_STEPS = 1000.0  # a schedule's length does not matter here
_ROWS = 2


def check_point(config: Mapping[str, Any], notice: Callable[[str], None]) -> Any:
    """Build dataset, network, trainer and loaders, and compute one loss; the dataset.

    Raises:
        ConfigError: naming the section whose values do not work, or an objective that the point
            does not measure.
        DataError: raw data are missing or of the wrong shape.
        ProductError: a checkpoint that the point starts from is broken or of another shape.
    """
    check_objectives(config)
    dataset = build_dataset(config)
    if not dataset.available:
        dataset.prepare(notice)
    with _blaming("lightning_loader"):
        module = build_module(config, dataset)
    with _blaming("trainer"):
        check_trainer(config)
    with _blaming("data.loader"):
        _check_loader(config["data"]["loader"], dataset)
    with _blaming("lightning_loader"):
        _check_step(module, dataset)
    if config.get("trainer_ckpt_path"):
        _check_resume(Path(config["trainer_ckpt_path"]), module, config)
    return dataset


@contextmanager
def _blaming(key: str) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{key}: these values do not work: {reason}") from error


def _check_loader(loader: Mapping[str, Any], dataset: Any) -> None:
    ImageDataModule(dataset, loader, seed=0).train_dataloader()
    rows = dataset.rows("train")
    if loader["batch_size"] > rows:
        raise ConfigError(
            f"data.loader.batch_size: {loader['batch_size']} is more than the {rows} rows of the "
            f"training split. Take at most {rows}."
        )


def _check_step(module: Any, dataset: Any) -> None:
    """Compute a loss for two images, and build optimizer and schedule."""
    index = torch.arange(_ROWS)
    batch = {"x": dataset.images("train", index), "index": index}
    if module.stage == "flow":
        width = dataset.kept.width
        groups = context_groups(dataset.kept)
        module.set_context(width, torch.zeros(width), torch.ones(width), groups)
        batch["context"] = torch.zeros(_ROWS, width)
    parts = module.losses(module.network, batch, torch.Generator().manual_seed(0), train=True)
    if "loss" not in parts:
        raise ConfigError(f"lightning_loader.loss: it returns {', '.join(parts)} but no `loss`.")
    loss = parts["loss"].item()
    if not math.isfinite(loss):
        raise ConfigError(
            f"lightning_loader: the loss of the first images is {loss} before any "
            "training. Check the loss, and the checkpoint of the VAE where there is one."
        )
    module.optimization(_STEPS)


def _check_resume(path: Path, module: Any, config: Mapping[str, Any]) -> None:
    state = read_checkpoint(path)
    missing = [key for key in _TRAINING_STATE if key not in state]
    if missing:
        raise ProductError(
            f"{path}: training cannot be resumed from it: {', '.join(missing)} missing. Give a "
            "checkpoint that Lightning saved, or set trainer_ckpt_path=null."
        )
    module.on_load_checkpoint(state)
    load_weights(path, state["state_dict"], module)
    trained, wanted = state["epoch"] + 1, config["trainer"].get("max_epochs")
    if wanted is not None and 0 <= wanted <= trained:
        raise ConfigError(
            f"trainer_ckpt_path: {path} has been trained for {trained} epochs and "
            f"trainer.max_epochs is {wanted}: nothing is left to train. Raise trainer.max_epochs."
        )
