"""Rows of a memory-mapped array, read from its file instead of through the map."""

__all__ = ["RowReader"]

import os
import weakref
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import DataError

# Shapes: N images, C channels, H × W pixels, B chosen rows.

_FIRST, _LAST = (0, 1, 2, 3), (0, 2, 3, 1)
"""Axes as they lie in the file: channels first or last."""


class RowReader:
    """Images of a map without its pages.

    A page that is read through a map counts as memory of the process, and one image brings pages
    around it along: a pass over shuffled images would seem to need as much as the file. What is
    read from the file is the system's alone.

    Args:
        array: (N, C, H, W), the whole of a mapped file, with channels first or last there.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        lying = [axes for axes in (_FIRST, _LAST) if array.transpose(axes).flags.c_contiguous]
        self._axes = lying[0] if lying and isinstance(array, np.memmap) else None

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A copy of images (B, C, H, W), in the order of memory that the file has.

        Raises:
            DataError: the file is gone, or shorter than it was.
        """
        if self._axes is None:  # in Fortran's order an image is all over the file
            return np.asarray(self.array[rows])
        shape = [self.array.shape[axis] for axis in self._axes[1:]]
        found = np.empty((len(rows), *shape), self.array.dtype)
        size, start = found.nbytes // max(len(rows), 1), self._map.offset
        for image, row in zip(found, rows.tolist(), strict=True):
            if os.preadv(self._file, [image.data], start + row * size) != size:
                raise DataError(f"{self._map.filename}: cut at image {row} since it was opened.")
        return found if self._axes == _FIRST else found.transpose(0, 3, 1, 2)

    @property
    def _map(self) -> "np.memmap[Any, Any]":
        assert isinstance(self.array, np.memmap)
        return self.array

    @cached_property
    def _file(self) -> int:
        path = str(self._map.filename)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
        weakref.finalize(self, os.close, descriptor)
        return descriptor
