"""All that can be known to fail is found before anything starts or is written."""

__all__ = ["preflight"]

import json
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from wwdc.config import ROOT, Composed, check_targets, fill
from wwdc.config.tree import get
from wwdc.errors import ConfigError, DataError, ProductError
from wwdc.tune.plan import Plan
from wwdc.tune.points import Point


def preflight(plan: Plan, composed: Composed, notice: Callable[[str], None]) -> list[Any]:
    """Check that every point left can start: folder, data, model, VAE, callbacks; the datasets.

    Of a search the extremes of its axes are checked, not each sample.

    Raises:
        ConfigError: a target refuses its arguments, or the context does not match.
        DataError: raw data are missing or of the wrong shape, or DATA_ROOT is not writable.
        ProductError: a checkpoint that a point builds on is missing, broken or of another shape.
    """
    blocked = [p for p in (*plan.points, *plan.probes) if p.status == "blocked"]
    if blocked:
        raise ProductError(_blocked_message(blocked[0], len(blocked)))
    _check_writable(composed.data_root, "DATA_ROOT")
    from wwdc.training.check import check_point  # takes seconds to import

    datasets: dict[str, Any] = {}
    for point in _distinct(plan.probes or plan.left):
        config = fill(point.config, job="0_0", data_root=composed.data_root)
        _check_scratch(config["paths"].get("scratch_data_dir"))
        with composed.naming_files():
            check_targets(config, composed.allow, resolve=True)
            dataset = check_point(config, notice)
        datasets.setdefault(dataset.fingerprint, dataset)
    return list(datasets.values())


def _blocked_message(point: Point, count: int) -> str:
    resumed = "missing" in point.lineage.get("resume", {})
    key = "trainer_ckpt_path" if resumed else "lightning_loader.vae_ckpt_path"
    named = str(get(point.config, key)).replace(ROOT, "$DATA_ROOT")
    named = re.sub(r"@MISSING_PRODUCT:([^@]*)@", r"${product:\1}", named)
    return (
        f"{count} of the points cannot start. Point {point.job_num} {point.detail} "
        f"(model.yaml: {key}={named})"
    )


def _check_writable(folder: Path, name: str) -> None:
    """Create and remove a nameless file where *folder* is or would be."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DataError(
            f"{name}={folder}: {there} cannot be written to ({error.strerror}). "
            f"Set {name} to a folder of yours."
        ) from error


def _check_scratch(folder: Any) -> None:
    if folder is not None and (not isinstance(folder, str) or not folder):
        raise ConfigError(f"paths.scratch_data_dir: expected a folder or null, got {folder!r}")
    if folder:
        _check_writable(Path(folder).absolute(), "paths.scratch_data_dir")


def _distinct(points: Iterable[Point]) -> list[Point]:
    """One point for each different data, model and trainer section."""
    keys = ("data", "lightning_loader", "trainer", "trainer_ckpt_path", "model_checkpoint")
    kinds: dict[str, Point] = {}
    for point in points:
        kinds.setdefault(json.dumps([point.config.get(k) for k in keys], sort_keys=True), point)
    return list(kinds.values())
