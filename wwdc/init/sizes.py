"""Settings that suit what was found: image size, stretch, networks, epochs."""

__all__ = ["Plan", "plan_images", "plan_vectors"]

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwdc.init.kinds import Guess
from wwdc.init.look import Seen
from wwdc.init.vectors import SeenVectors
from wwdc.models.sides import SIDES

_LARGEST = 96
"""Pixels of a side that a laptop still trains on in minutes."""

_IMAGES_SEEN, _LATENTS_SEEN = 100_000, 400_000
"""Examples in training: epochs times objects."""

_TRAIN = 0.7


@dataclass(frozen=True)
class Plan:
    """What is written.

    Attributes:
        x_ds: the section ``data.x_ds`` but for its target, paths and variables.
        notes: why a setting is as it is, by its key.
        sizes: of networks and batches, and epochs, by their names in the templates.
    """

    x_ds: dict[str, Any]
    notes: dict[str, str]
    sizes: dict[str, int]


def plan_images(
    seen: Seen, guesses: list[Guess], *, id: str | None, split: str | None, unmatched: bool
) -> Plan:
    """Settings for these images and variables.

    Args:
        id: the table's column of ids.
        split: the column that says the splits.
        unmatched: whether there are rows without images or images without rows.
    """
    notes: dict[str, str] = {}
    size = _size(seen, notes)
    x_ds: dict[str, Any] = {"id": id, "size": list(size)}
    if "fit" in notes:
        x_ds["fit"] = "resize"
    stretch = _stretch(seen, notes)
    x_ds |= {"stretch": stretch} if stretch else {}
    x_ds["split"] = _split(guesses, split, notes)
    if unmatched:
        x_ds["unmatched"] = "drop"
    if seen.unreadable:
        x_ds["unreadable"] = "drop"
    if seen.bad:
        x_ds["bad_pixels"] = "fill"
    train = max(20, int(_TRAIN * seen.count))
    side = max(size[1:])
    sizes = {
        "hidden_dim": 8 if side <= 20 else 16 if side <= 40 else 32,
        "channels": 16 if side <= 64 else 32,
        "vae_batch": _batch(train, 128, batches=30),
        "vae_epochs": _epochs(_IMAGES_SEEN, train, 5, 60),
    }
    return Plan(x_ds, notes, sizes | _of_flow(train))


def plan_vectors(
    seen: SeenVectors, guesses: list[Guess], *, id: str | None, split: str | None, unmatched: bool
) -> Plan:
    """Settings for these vectors and variables; the arguments are those of `plan_images`."""
    notes: dict[str, str] = {}
    x_ds: dict[str, Any] = {"id": id, "split": _split(guesses, split, notes)}
    if unmatched:
        x_ds["unmatched"] = "drop"
    if seen.bad.any():
        x_ds["bad_values"] = "drop"
        notes["bad_values"] = f"{int(seen.bad.sum())} vectors hold NaN or infinite numbers"
    hidden = 128 if seen.length <= 128 else 256
    sizes = {"features": seen.length, "hidden": hidden, "rank": min(4, seen.length)}
    return Plan(x_ds, notes, sizes | _of_flow(max(20, int(_TRAIN * seen.count))))


def _of_flow(train: int) -> dict[str, int]:
    return {
        "flow_batch": _batch(train, 256, batches=10),
        "flow_epochs": _epochs(_LATENTS_SEEN, train, 10, 100),
    }


def _size(seen: Seen, notes: dict[str, str]) -> tuple[int, int, int]:
    channels, height, width = seen.shape
    largest, least = max(height, width), min(height, width)
    scale = min(1.0, _LARGEST / largest)
    scale = max(scale, SIDES[0] / least)
    size = (channels, round(height * scale), round(width * scale))
    if size != seen.shape:
        notes["fit"] = f"the images have {height} × {width} pixels; larger sizes train longer"
    elif len(seen.shapes) > 1:
        notes["fit"] = f"the images have {len(seen.shapes)} shapes"
    return size


def _stretch(seen: Seen, notes: dict[str, str]) -> dict[str, Any] | None:
    """Linear, or asinh where a few pixels are far brighter than the noise; None for 8 bits."""
    if seen.dtype == np.uint8:
        return None
    low, middle, high = np.nanquantile(seen.bands, [0.005, 0.5, 0.999], axis=1)
    noise = 1.4826 * np.nanmedian(np.abs(seen.bands - middle[:, None]), axis=1)
    high = np.where(high > low, high, low + 1.0)
    noise = np.where(noise > 0, noise, (high - low) / 100)
    bright = bool(((high - middle) / noise > 30).any())
    notes["stretch"] = "from 0.5 % to 99.9 % of the pixels, of each band" + (
        "; bright pixels are far above the noise" if bright else ""
    )
    found = {"kind": "asinh" if bright else "linear", "low": _short(low), "high": _short(high)}
    return found | ({"softening": _short(2 * noise)} if bright else {})


def _short(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _split(guesses: list[Guess], column: str | None, notes: dict[str, str]) -> dict[str, Any]:
    if column is not None:
        notes["split"] = "this column says train, val or test"
        return {"column": column}
    for guess in guesses:
        if guess.keys.get("kind") == "categorical" and not guess.missing:
            notes["split"] = "the same share of each class in train, val and test"
            return {"fractions": [0.7, 0.1, 0.2], "stratify": guess.column}
    notes["split"] = "shares of train, val and test; also: stratify, group or column: COLUMN"
    return {"fractions": [0.7, 0.1, 0.2]}


def _batch(train: int, most: int, *, batches: int) -> int:
    """A power of two of at least 16, so that an epoch has that many batches or more."""
    return int(min(most, max(16, 2 ** int(math.log2(max(train / batches, 1))))))


def _epochs(seen: int, train: int, least: int, most: int) -> int:
    return min(most, max(least, round(seen / train)))
