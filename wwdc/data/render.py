"""Grey digits become rotated, scaled and coloured images, a batch at a time on any device."""

__all__ = ["Renderer", "affine"]

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# Shapes: B batch, N objects, R rows (objects × views), H height, W width.


class Renderer:
    """Draws the rows of a split: x = colour · affine(grey; angle, scale), in [0, 1].

    The background is black; a stroke carries the row's colour times its grey value.

    Args:
        grey: one image an object, uint8 (N, H, W).
        table: the split's rows, view after view: ``r``, ``g``, ``b``, ``angle [deg]``, ``scale``,
            each (R,).
        device: where rows are indexed and drawn.
    """

    def __init__(
        self, grey: NDArray[Any], table: Mapping[str, NDArray[Any]], device: torch.device
    ) -> None:
        self._grey = torch.tensor(grey, device=device)
        columns = [torch.as_tensor(table[name]).float() for name in ("r", "g", "b")]
        self._colour = torch.stack(columns, dim=1).to(device)
        self._angle = torch.as_tensor(table["angle"]).float().deg2rad().to(device)
        self._scale = torch.as_tensor(table["scale"]).float().to(device)

    def __call__(self, index: Tensor) -> Tensor:
        """Images (B, 3, H, W) of the rows *index* (B,)."""
        grey = self._grey[index % len(self._grey)].unsqueeze(1).float().div_(255.0)
        stroke = affine(grey, self._angle[index], self._scale[index])
        return stroke * self._colour[index][:, :, None, None]


def affine(images: Tensor, angle: Tensor, scale: Tensor) -> Tensor:
    """Rotate images (B, C, H, W) anticlockwise by *angle* [rad] and enlarge them by *scale*.

    Bilinear, about the centre; what comes in from outside is 0.
    """
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    zero = torch.zeros_like(cos)
    # Rows of the map from output to input coordinates; y points down.
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
