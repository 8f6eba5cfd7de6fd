"""What images there are: how many, of which shapes and types, with which values."""

__all__ = ["Seen", "look"]

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.examples import examples
from wwdc.data.hashes import Hashes
from wwdc.data.image_arrays import ImageArray
from wwdc.data.image_files import Unreadable, decode, stored_type
from wwdc.data.sources import open_source
from wwdc.errors import DataError

# Shapes: C channels, H × W pixels, n pixels of a band.

LOOKED_AT = 300
_MOST_BANDS = 8
_PIXELS = 20_000
"""Pixels of an image that are kept for quantiles."""

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Seen:
    """What was found in a sample of the images.

    Attributes:
        path: of the images.
        count: all images.
        looked: those that were opened.
        names: ids of all; None where an array does not say.
        shapes: (C, H, W), the commonest first.
        types: of the pixels, the commonest first.
        unreadable: ids with a reason.
        bad: images with NaN or infinite pixels.
        bands: finite pixels of some images, (C, n).
    """

    path: Path
    count: int
    looked: int
    names: NDArray[np.str_] | None = field(repr=False)
    shapes: Counter[Shape]
    types: Counter[str]
    unreadable: dict[str, str]
    bad: int
    bands: NDArray[np.float64] = field(repr=False)

    @property
    def shape(self) -> Shape:
        """The commonest (C, H, W)."""
        return self.shapes.most_common(1)[0][0]

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The type that pixels are stored in."""
        return stored_type(np.dtype(self.types.most_common(1)[0][0])) or np.dtype(np.float32)


def look(path: Path) -> Seen:
    """Open up to 300 images, evenly spread over all, and see what they are.

    Raises:
        DataError: there are none, none of them can be read, or they differ in their number of
            channels or type of pixels.
    """
    if not path.exists():
        raise DataError(f"--images: {path}: no such file or folder.")
    source = open_source(path, None, Hashes(path.parent))
    names, count = source.names, len(source)
    chosen = np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).round().astype(int))
    shapes, types, unreadable = Counter[Shape](), Counter[str](), dict[str, str]()
    channels, stored = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    kept: list[NDArray[np.float64]] = []
    bad = 0
    for number, image in zip(chosen.tolist(), _images(source, chosen), strict=True):
        name = str(number) if names is None else str(names[number])
        if isinstance(image, Unreadable):
            unreadable[name] = str(image)
            continue
        bands = _channels_first(image)
        if bands is None:
            unreadable[name] = f"no image: shape {image.shape}, {image.dtype}"
            continue
        shapes[_shape(bands)] += 1
        types[image.dtype.name] += 1
        channels[str(len(bands))].append(name)
        stored[str(stored_type(image.dtype))].append(name)
        flat = bands.reshape(len(bands), -1).astype(np.float64)
        bad += not np.isfinite(flat).all()
        kept.append(flat[:, :: max(1, flat.shape[1] // _PIXELS)])
    if not shapes:
        first = next(iter(unreadable.items()))
        raise DataError(f"{path}: no image can be read; the first is {first[0]}: {first[1]}.")
    _refuse_mixed(path, channels, "numbers of channels")
    _refuse_mixed(path, stored, "types of pixels")
    pixels = np.concatenate(kept, axis=1)
    fine = np.where(np.isfinite(pixels), pixels, np.nan)
    return Seen(path, count, len(chosen), names, shapes, types, unreadable, bad, fine)


def _refuse_mixed(path: Path, found: Mapping[str, list[str]], what: str) -> None:
    if len(found) > 1:
        told = "; ".join(f"{value} ({len(ids)}: {examples(ids)})" for value, ids in found.items())
        raise DataError(
            f"{path}: images of different {what}: {told}. Convert them to one, or leave the others "
            "out."
        )


def _images(source: Any, chosen: NDArray[np.int64]) -> Iterator[NDArray[Any] | Unreadable]:
    if isinstance(source, ImageArray):
        for number in chosen.tolist():
            yield np.asarray(source.array[number])
        return
    for number in chosen.tolist():
        try:
            yield decode(source.files[number])
        except Unreadable as error:
            yield error


def _channels_first(image: NDArray[Any]) -> NDArray[Any] | None:
    """(C, H, W) of an image in whatever order; None where it is none."""
    if stored_type(image.dtype) is None or image.ndim not in (2, 3):
        return None
    if image.ndim == 2:
        return image[None]
    if image.shape[2] <= _MOST_BANDS < image.shape[1]:
        opaque = image.shape[2] == 4 and image.dtype == np.uint8 and (image[..., 3] == 255).all()
        return np.moveaxis(image[..., :3] if opaque else image, 2, 0)
    return image


def _shape(bands: NDArray[Any]) -> Shape:
    return int(bands.shape[0]), int(bands.shape[1]), int(bands.shape[2])
