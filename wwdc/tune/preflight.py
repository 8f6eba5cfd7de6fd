"""All that can be known to fail is found before anything starts or is written."""

__all__ = ["preflight"]

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from wwdc.config import ROOT, Composed, check_targets, fill
from wwdc.errors import ConfigError, DataError, ProductError
from wwdc.prepare import write_catalogue
from wwdc.tune.points import Plan, Point


def preflight(plan: Plan, composed: Composed, notice: Callable[[str], None]) -> None:
    """Check that every point left can start: folder, data, model, VAE, callbacks.

    When all is well, the catalogue of each dataset is written unless it is there.

    Raises:
        ConfigError: a target refuses its arguments, or the context does not match.
        DataError: raw data are missing or of the wrong shape, or DATA_ROOT is not writable.
        ProductError: a checkpoint that a point builds on is missing, broken or of another shape.
    """
    blocked = [point for point in plan.points if point.status == "blocked"]
    if blocked:
        raise ProductError(_blocked_message(blocked[0], len(blocked)))
    _check_writable(composed.data_root)
    datasets: dict[str, Any] = {}
    for point in _distinct(plan.left):
        config = fill(point.config, job="0_0", data_root=composed.data_root)
        check_targets(config, composed.allow, resolve=True)
        dataset = _check_point(config, notice)
        datasets.setdefault(dataset.fingerprint, dataset)
    for dataset in datasets.values():
        write_catalogue(dataset, composed.data_root / composed.meta.data_name, notice)


def _blocked_message(point: Point, count: int) -> str:
    named = str(point.config["lightning_loader"].get("vae_ckpt_path")).replace(ROOT, "$DATA_ROOT")
    return (
        f"{count} of the points cannot start. Point {point.job_num} {point.detail} "
        f"(model.yaml: lightning_loader.vae_ckpt_path={named})"
    )


def _check_writable(data_root: Path) -> None:
    parent = data_root
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise DataError(
            f"DATA_ROOT={data_root}: {parent} cannot be written to. "
            "Set DATA_ROOT to a folder of yours."
        )


def _distinct(points: Iterable[Point]) -> list[Point]:
    """One point for each different data, model and trainer section."""
    keys = ("data", "lightning_loader", "trainer", "trainer_ckpt_path", "model_checkpoint")
    kinds: dict[str, Point] = {}
    for point in points:
        kinds.setdefault(json.dumps([point.config.get(k) for k in keys], sort_keys=True), point)
    return list(kinds.values())


def _check_point(config: dict[str, Any], notice: Callable[[str], None]) -> Any:
    """Build what the point builds; its dataset."""
    from wwdc.training.loop import build_dataset, build_module, check_trainer

    dataset = build_dataset(config)
    if not dataset.available:
        dataset.prepare(notice)
    module = build_module(config, dataset)
    try:
        check_trainer(config)
        if module.stage == "vae":
            module.vae.encode(dataset.images("train", _first_rows()))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"trainer, model_checkpoint or vae: {error}") from error
    return dataset


def _first_rows() -> Any:
    import torch

    return torch.arange(2)
