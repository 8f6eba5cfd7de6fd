"""Many small images as one: drawn once, and a file of their own pixels."""

__all__ = ["draw_mosaic", "mosaic_height"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from wwdc.report.style import INK

# Shapes: H × W pixels of an image.

_GAP = 2
"""Pixels between images."""

_WIDER = 6
"""Pixels after the column that stands apart."""

Image = NDArray[np.float32]


def draw_mosaic(
    axes: Axes,
    grid: Sequence[Sequence[Image | None]],
    *,
    rows: Sequence[str] = (),
    columns: Mapping[int, str] | None = None,
    apart: bool = False,
) -> None:
    """Draw images (H, W, 3) of one size in lines; where one is None nothing is drawn.

    Args:
        rows: what stands to the left of each line.
        columns: what stands above a column, by its number.
        apart: whether a gap sets the first column apart.
    """
    height, width = next(image.shape[:2] for line in grid for image in line if image is not None)
    count = max(len(line) for line in grid)
    lefts = [i * (width + _GAP) + (_WIDER if apart and i else 0) for i in range(count)]
    tops = [i * (height + _GAP) for i in range(len(grid))]
    canvas = np.zeros((tops[-1] + height, lefts[-1] + width, 4), np.float32)
    for top, line in zip(tops, grid, strict=True):
        for left, image in zip(lefts, line, strict=False):
            if image is not None:
                canvas[top : top + height, left : left + width, :3] = image
                canvas[top : top + height, left : left + width, 3] = 1
    axes.imshow(canvas, interpolation="none")
    axes.set_yticks([top + height / 2 for top in tops[: len(rows)]], list(rows))
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=9, labelcolor=INK, pad=4)
    axes.spines[:].set_visible(False)
    style: dict[str, Any] = {"va": "bottom", "fontsize": 8, "color": INK}
    style["textcoords"] = "offset points"  # as far above images of few pixels as of many
    for number, text in (columns or {}).items():
        wide = len(text) > 10
        place = lefts[number] if wide else lefts[number] + width / 2
        axes.annotate(text, (place, 0), (0, 4), ha="left" if wide else "center", **style)


def mosaic_height(lines: int, images: float, width: float) -> float:
    """Height [inch] of *lines* of square images when *images* of them are *width* [inch] wide."""
    return lines * width / images
