"""The handwritten digits that scikit-learn brings along, as COLOUR_MNIST images."""

__all__ = ["Digits"]

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.colour_mnist import ColourMNIST, Raw

_SIDE = 28
_HIGHEST = 16.0
_SPLITS = "7:1:2"


class Digits(ColourMNIST):
    """1 797 digits of the UCI set of handwritten digits, upsampled from 8 × 8 to 28 × 28.

    They come with scikit-learn (``sklearn.datasets.load_digits``), so nothing is downloaded.
    Arguments are those of `ColourMNIST`. Objects are split 7 : 1 : 2.

    Source: https://archive.ics.uci.edu/dataset/80

    >>> Digits(drop_variables=["scale", "b"]).kept.names
    ('r', 'g', 'angle', 'digit')
    """

    @property
    def available(self) -> bool:
        return True

    def prepare(self, notice: Callable[[str], None]) -> None:
        """Nothing to fetch; the images are read once as a check."""
        _ = self._raw

    def content(self) -> Mapping[str, str]:
        images, digit = self._published
        values = images.astype(np.uint8).tobytes() + digit.astype(np.uint8).tobytes()
        return {"sklearn.datasets.load_digits": hashlib.sha256(values).hexdigest()}

    @property
    def split_rule(self) -> str:
        return _SPLITS

    @cached_property
    def _published(self) -> tuple[NDArray[Any], NDArray[Any]]:
        from sklearn.datasets import load_digits  # takes a second to import

        bunch = load_digits()
        return bunch.images, bunch.target

    def _read(self) -> Raw:
        images, digit = self._published
        return Raw(_upsample(images / _HIGHEST), digit.astype(np.int64))


def _upsample(images: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Enlarge digits (N, 8, 8) in [0, 1] to (N, 28, 28): cubic, with a margin as in MNIST."""
    from scipy.ndimage import zoom

    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    side = padded.shape[1]
    # A cubic spline is linear in the pixels and separable: its weights (28, 10) are what it makes
    # of unit vectors.
    factors = (_SIDE / side, 1.0)
    weights = zoom(np.eye(side), factors, order=3, mode="grid-constant", grid_mode=True)
    smooth = weights @ padded @ weights.T
    # Interpolated strokes fade over several pixels; MNIST's have steep edges.
    steep: NDArray[np.float64] = np.clip((smooth - 0.25) / 0.5, 0.0, 1.0)
    return np.rint(255 * steep).astype(np.uint8)
