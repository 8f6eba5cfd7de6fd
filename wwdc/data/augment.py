"""Flips and quarter turns: views of an image that lose no pixel."""

__all__ = ["AUGMENTATIONS", "Symmetry", "draw", "transform"]

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

# Shapes: N objects, B batch, C channels, H × W pixels.

AUGMENTATIONS = ("flip", "rotate")
_STREAM = 2
Symmetry = NDArray[np.int8]
"""Of each view of an object: quarter turns, 0 … 3, and 4 more where it is flipped first."""


def draw(kinds: Sequence[str], views: int, objects: int, square: bool, seed: int) -> Symmetry:
    """The symmetry of every view of every object, (views, N); the first view is as it is.

    A view's draws do not depend on how many views there are. Images that are not square are
    turned by half turns only.

    Raises:
        DataError: a kind is unknown, or views are asked for and nothing makes them differ.
    """
    unknown = [kind for kind in kinds if kind not in AUGMENTATIONS]
    if unknown or isinstance(kinds, str):
        raise DataError(f"x_ds.augment: {kinds!r}: a list of {', '.join(AUGMENTATIONS)}.")
    if views > 1 and not kinds:
        raise DataError(
            f"x_ds.views is {views}: views of an image differ by x_ds.augment: [flip, rotate]."
        )
    found = np.zeros((views, objects), np.int8)
    for view in range(1, views):
        rng = np.random.default_rng(np.random.SeedSequence((seed, _STREAM, view)))
        turns = rng.integers(0, 4, objects) if square else 2 * rng.integers(0, 2, objects)
        flips = rng.integers(0, 2, objects)
        found[view] += (turns if "rotate" in kinds else 0) + (4 * flips if "flip" in kinds else 0)
    return found


def transform(images: "Tensor", symmetry: NDArray[np.int8]) -> "Tensor":
    """Images (B, C, H, W), each under its symmetry (B,)."""
    import torch

    found = images.clone()
    for kind in np.unique(symmetry):
        rows = torch.from_numpy(np.flatnonzero(symmetry == kind)).to(images.device)
        part = images[rows].flip(3) if kind >= 4 else images[rows]
        found[rows] = torch.rot90(part, int(kind) % 4, (2, 3))
    return found
