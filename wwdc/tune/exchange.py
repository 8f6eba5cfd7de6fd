"""What a point takes over from another in population-based training, and the record of it."""

__all__ = ["FILES", "SCHEDULE", "Exchange", "last_values", "pack", "schedule", "take_over"]

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wwdc.products import atomic_copy, atomic_write

SCHEDULE = "schedule.json"
FILES = ("last.ckpt", "best.ckpt", "metrics.csv", SCHEDULE)
_OWNER = "point"


@dataclass(frozen=True)
class Exchange:
    """Values to train with from here on, and the checkpoint to go on from.

    Attributes:
        values: dotted key → value, for every searched key.
        files: a folder that `pack` filled, maybe by another point; None to go on as before.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    files: Path | None = None


def pack(keep: Path, point_id: str, folder: Path) -> Path:
    """Copy what a point needs to go on from *keep* to *folder*."""
    for name in FILES:
        if (keep / name).is_file():
            shutil.copyfile(keep / name, folder / name)
    (folder / _OWNER).write_text(point_id)
    return folder


def last_values(keep: Path) -> dict[str, Any]:
    """The values a point was last trained with, where they ever changed."""
    steps = schedule(keep)
    return dict(steps[-1]["values"]) if steps else {}


def take_over(
    keep: Path, point_id: str, initial: Mapping[str, Any], exchange: Exchange
) -> dict[str, tuple[Any, Any]]:
    """Put the checkpoint of *exchange* into *keep* and write the change down.

    Args:
        initial: the values that the point began with.

    Returns:
        dotted key → (old, new) for the values that differ from those of the checkpoint.
    """
    donor = point_id
    if exchange.files is not None:
        donor = (exchange.files / _OWNER).read_text()
        for name in FILES:
            source = exchange.files / name
            if source.is_file():
                atomic_copy(source, keep / name)
            else:
                (keep / name).unlink(missing_ok=True)
    steps = schedule(keep)
    before = dict(steps[-1]["values"]) if steps else dict(initial)
    after = dict(exchange.values)
    if donor != point_id or after != before:
        step = {"epoch": _epochs(keep), "values": after}
        steps = steps or [{"epoch": 0, "values": before}]
        steps.append(step | ({"from": donor} if donor != point_id else {}))
        atomic_write(keep / SCHEDULE, json.dumps(steps))
    return {key: (before[key], after[key]) for key in after if before.get(key) != after[key]}


def schedule(keep: Path) -> list[dict[str, Any]]:
    """The steps a point was trained in: from which epoch, with which values, from whom."""
    try:
        steps: list[dict[str, Any]] = json.loads((keep / SCHEDULE).read_text())
    except FileNotFoundError:
        return []
    return steps


def _epochs(keep: Path) -> int:
    """Epochs that the checkpoint in *keep* has been trained for, by its metrics file."""
    try:
        return len((keep / "metrics.csv").read_text().splitlines()) - 1
    except FileNotFoundError:
        return 0
