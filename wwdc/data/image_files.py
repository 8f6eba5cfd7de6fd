"""A folder with one image file an object: found, hashed, and decoded one at a time."""

__all__ = ["FILE_ENDINGS", "Folder", "Unreadable", "decode", "image_shape", "stored_type"]

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.examples import examples
from wwdc.data.hashes import Hashes
from wwdc.errors import DataError

# Shapes: C channels, H × W pixels of an image.

FILE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".fits", ".fit", ".fits.gz")
_TOGETHER = 256
"""Files decoded before the next are asked for: what is in memory at a time."""

_THREADS = 8


class Unreadable(Exception):
    """Why a file holds no image."""


class Folder:
    """Image files below a folder, in the order of their names.

    The stem of a file is the id of its object: ``gal/J0012.png`` is of ``J0012``.

    Args:
        path: of the folder; folders in it are looked through, names that begin with a dot are not.
        hashes: where the hashes of files are remembered.
    """

    def __init__(self, path: Path, hashes: Hashes) -> None:
        self.path, self._hashes = path, hashes

    @cached_property
    def files(self) -> list[Path]:
        """The image files.

        Raises:
            DataError: there are none, or two have one stem.
        """
        found = sorted(
            file
            for file in self.path.rglob("*")
            if file.name.lower().endswith(FILE_ENDINGS) and not file.name.startswith(".")
        )
        if not found:
            raise DataError(
                f"{self.path}: no image files. Their names end in {', '.join(FILE_ENDINGS)}."
            )
        return found

    @cached_property
    def names(self) -> NDArray[np.str_]:
        """The id of each file."""
        names = np.array([_stem(file) for file in self.files], dtype=np.str_)
        values, counts = np.unique(names, return_counts=True)
        doubles = values[counts > 1]
        if len(doubles):
            raise DataError(
                f"{self.path}: {len(doubles)} ids belong to several files: {examples(doubles)}."
            )
        return names

    def content(self) -> str:
        """SHA-256 over the names and contents of all files."""
        return self._hashes.of_folder(self.path, self.files)

    def __len__(self) -> int:
        return len(self.files)

    def arrays(self) -> Iterator[NDArray[Any] | Unreadable]:
        """Every image, as its file has it, or why there is none; several are decoded at a time."""
        files = iter(self.files)
        with ThreadPoolExecutor(_THREADS) as pool:
            while block := list(islice(files, _TOGETHER)):
                yield from pool.map(_attempt, block)


def _stem(file: Path) -> str:
    name = file.name
    ending = next(end for end in sorted(FILE_ENDINGS, key=len)[::-1] if name.lower().endswith(end))
    return name[: -len(ending)]


def _attempt(file: Path) -> NDArray[Any] | Unreadable:
    try:
        return decode(file)
    except Unreadable as error:
        return error


def decode(file: Path) -> NDArray[Any]:
    """The pixels of an image file: (H, W), (H, W, C) or (C, H, W).

    Raises:
        Unreadable: it is truncated or no image.
        DataError: a package is missing that reads such files.
    """
    name = file.name.lower()
    try:
        if name.endswith(".npy"):
            return np.asarray(np.load(file, allow_pickle=False))
        if name.endswith((".fits", ".fit", ".fits.gz")):
            return np.asarray(_fits(file))
        return _picture(file)
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unreadable(reason.replace(str(file), file.name)) from error


def _picture(file: Path) -> NDArray[Any]:
    from PIL import Image

    with Image.open(file) as opened:
        image: Image.Image = opened
        if image.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
            image = image.convert("RGB")
        elif image.mode in ("1", "LA"):
            image = image.convert("L")
        return np.asarray(image)


def image_shape(file: Path) -> tuple[int, ...]:
    """The shape of the image of a FITS file, from its header.

    Raises:
        Unreadable: it holds none.
    """
    shape: tuple[int, ...] = _fits(file, lambda unit: tuple(unit.shape))
    return shape


def _fits(file: Path, what: Callable[[Any], Any] = lambda unit: np.asarray(unit.data)) -> Any:
    """Something of the first HDU that holds an image."""
    try:
        from astropy.io import fits
        from astropy.utils.exceptions import AstropyWarning
    except ModuleNotFoundError:
        raise DataError(
            f"{file}: FITS needs astropy: python -m pip install 'wwdc[fits]'."
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyWarning)  # a truncated file is only warned of
        try:
            with fits.open(file, memmap=False) as units:
                for unit in units:
                    if unit.is_image and len(unit.shape) >= 2:
                        return what(unit)
        except AstropyWarning as error:
            raise Unreadable(str(error)) from error
    raise Unreadable("no image in any of its HDUs")


def stored_type(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The type that pixels of *dtype* are kept in; None where they are no numbers.

    >>> stored_type(np.dtype(">f8")), stored_type(np.dtype("complex64"))
    (dtype('float32'), None)
    """
    if dtype.kind == "b" or dtype == np.uint8:
        return np.dtype(np.uint8)
    if dtype.kind == "u" and dtype.itemsize == 2:
        return np.dtype(np.uint16)
    return np.dtype(np.float32) if dtype.kind in "iuf" else None
