"""Images decoded once into one memory-mapped array, with what is wrong with each of them."""

__all__ = ["BAD_PIXELS", "OK", "UNREADABLE", "WRONG", "ImageStore", "Source", "channels_first"]

import hashlib
import json
import mmap
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from wwdc.data.examples import examples
from wwdc.data.image_files import Unreadable, stored_type
from wwdc.data.row_reader import RowReader
from wwdc.errors import DataError

# Shapes: N images, C channels, H × W pixels.

OK, UNREADABLE, WRONG, BAD_PIXELS = range(4)
"""What an image is: fine, not decodable, of another shape or type, with NaN or infinite pixels."""

Fit = Literal["refuse", "crop", "resize"]
_SCHEMA = 1
_TOGETHER = 256
"""Images of a map that are read at a time, or written before their pages are given back."""

_TOLD_EARLY = 64
"""When none of the first images fits, the others are not looked at."""


class Source(Protocol):
    """Where images come from; see `Folder` and `ImageArray`."""

    path: Path

    @property
    def names(self) -> NDArray[np.str_] | None: ...

    def content(self) -> str: ...

    def __len__(self) -> int: ...

    def arrays(self) -> Iterator[NDArray[Any] | Unreadable]: ...


@dataclass(frozen=True, eq=False)
class Stored:
    """Decoded images.

    Attributes:
        pixels: (N, C, H, W), memory-mapped and read-only; 0 where there is no image.
        state: of each image, (N,): `OK`, `UNREADABLE`, `WRONG` or `BAD_PIXELS`.
        reasons: why, by image.
    """

    pixels: NDArray[Any] = field(repr=False)
    state: NDArray[np.uint8] = field(repr=False)
    reasons: dict[int, str] = field(repr=False)

    @cached_property
    def reader(self) -> RowReader:
        """Reads images in the order of memory that the file has."""
        return RowReader(self.pixels)


class ImageStore:
    """The images of a source as one array, in ``folder/{content key}``.

    They are decoded by `build`, once; a memory-mapped ``.npy`` is used where it lies. One process
    builds while others wait, and what is not whole is built anew.

    Args:
        source: where images come from.
        size: channels, height and width that they must have.
        fit: what becomes of an image of another height or width: ``refuse`` it, ``crop`` its middle
            (of a larger one) or ``resize`` it.
        folder: where decoded images are kept.
    """

    def __init__(self, source: Source, size: Sequence[int], fit: Fit, folder: Path) -> None:
        if fit not in get_args(Fit):
            raise DataError(f"x_ds.fit: {fit!r} is none of {', '.join(get_args(Fit))}.")
        self.source, self.fit, self.folder = source, fit, folder
        self.size = (int(size[0]), int(size[1]), int(size[2]))

    @cached_property
    def key(self) -> str:
        """Names the images: 16 hexadecimal digits."""
        parts = [_SCHEMA, self.source.content(), list(self.size), self.fit]
        parts.append(getattr(self.source, "key", None))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def open(self) -> Stored | None:
        """The images, or None when they are not decoded yet, or not whole."""
        place = self.folder / self.key
        try:
            about = json.loads((place / "about.json").read_text())
            state = np.load(place / "state.npy", allow_pickle=False)
            pixels = self._mapped()
            if pixels is None:
                pixels = np.load(place / "pixels.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if pixels.shape != (about["images"], *self.size) or len(state) != about["images"]:
            return None
        return Stored(pixels, state, {int(i): why for i, why in about["reasons"].items()})

    def build(self, notice: Callable[[str], None]) -> Stored:
        """The images, decoded now unless they are there.

        Raises:
            DataError: none of the first images fits, types are mixed, or there is no room.
        """
        found = self.open()
        if found is not None:
            return found
        place = self.folder / self.key
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f"{self.key}.lock"):
                found = self.open()
                if found is None:
                    notice(f"{self.source.path}: reading {len(self.source):,} images once.")
                    self._build(place)
                    found = self.open()
        except OSError as error:
            raise DataError(
                f"{place}: the decoded images cannot be stored ({error.strerror or error}). Free "
                "some space there, or point DATA_ROOT at a folder you may write to."
            ) from error
        if found is None:
            raise DataError(f"{place}: the images just written do not read back. Check the disk.")
        return found

    def _mapped(self) -> NDArray[Any] | None:
        """The source's own array as (N, C, H, W), where it can be used as it is."""
        array: NDArray[Any] | None = getattr(self.source, "mapped", None)
        if array is None or stored_type(array.dtype) != array.dtype:
            return None
        axes = channels_first(array.shape[1:], self.size)
        if axes is None:
            return None
        return array[:, None] if array.ndim == 3 else array.transpose(0, *(a + 1 for a in axes))

    def _build(self, place: Path) -> None:
        temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        for stale in self.folder.glob(f".{place.name}.*.tmp"):  # left by a killed process
            shutil.rmtree(stale, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
        temporary.mkdir()
        try:
            self._write(temporary)
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        count = len(self.source)
        state, reasons = np.zeros(count, np.uint8), dict[int, str]()
        kinds: Counter[str] = Counter()
        written: NDArray[Any] | None = None
        mapped = self._mapped()
        images = self.source.arrays() if mapped is None else _in_order(mapped)
        for number, found in enumerate(images):
            try:
                image = self._fitted(found)
            except _Misfit as why:
                state[number], reasons[number] = why.state, str(why)
                if number + 1 >= min(_TOLD_EARLY, count) and len(reasons) == number + 1:
                    raise DataError(self._hopeless(reasons)) from None
                continue
            kinds[image.dtype.name] += 1
            if len(kinds) > 1:
                raise DataError(
                    f"{self.source.path}: pixels of several types: {', '.join(kinds)}; "
                    f"the first of another is {self._name(number)}. Convert the images to one."
                )
            if image.dtype.kind == "f" and not np.isfinite(image).all():
                bad = int((~np.isfinite(image)).sum())
                state[number], reasons[number] = BAD_PIXELS, f"{bad} of {image.size} pixels"
            if mapped is None:
                if written is None:
                    path, shape = folder / "pixels.npy", (count, *self.size)
                    written = np.lib.format.open_memmap(path, "w+", image.dtype, shape)
                written[number] = image
                if number % _TOGETHER == 0:
                    _give_back(written)
        if isinstance(written, np.memmap):
            written.flush()
        np.save(folder / "state.npy", state)
        about = {"schema": _SCHEMA, "images": count, "reasons": reasons}
        (folder / "about.json").write_text(json.dumps(about))

    def _fitted(self, found: NDArray[Any] | Unreadable) -> NDArray[Any]:
        """One image as (C, H, W) in the type it is stored in."""
        if isinstance(found, Unreadable):
            raise _Misfit(UNREADABLE, str(found))
        dtype = stored_type(found.dtype)
        if dtype is None:
            raise _Misfit(WRONG, f"pixels of type {found.dtype}")
        if found.dtype.kind == "b":
            found = found * np.uint8(255)  # true is white, as in a file of one bit a pixel
        axes = channels_first(found.shape, self.size, exact=self.fit == "refuse")
        if axes is None and found.ndim == 3 and found.shape[2] == 4 and self.size[0] == 3:
            if (found[..., 3] == 255).all():  # an alpha channel that hides nothing
                return self._fitted(found[..., :3])
        if axes is None:
            shape = " × ".join(map(str, found.shape))
            raise _Misfit(WRONG, f"shape {shape}")
        image = found[None] if found.ndim == 2 else found.transpose(axes)
        if image.shape != self.size:
            image = _crop(image, self.size) if self.fit == "crop" else _resize(image, self.size)
        return np.asarray(image, dtype=dtype)

    def _hopeless(self, reasons: dict[int, str]) -> str:
        first = examples(f"{self._name(i)} ({why})" for i, why in list(reasons.items())[:5])
        wanted = " × ".join(map(str, self.size))
        return (
            f"{self.source.path}: none of the first {len(reasons)} images is one of "
            f"{wanted} (x_ds.size: channels, height, width): {first}. Correct x_ds.size, or write "
            "fit: crop or fit: resize where only height and width differ."
        )

    def _name(self, number: int) -> str:
        names = self.source.names
        return f"image {number}" if names is None else str(names[number])


def _in_order(mapped: NDArray[Any]) -> Iterator[NDArray[Any]]:
    reader = RowReader(mapped)
    for start in range(0, len(mapped), _TOGETHER):
        yield from reader.take(np.arange(start, min(start + _TOGETHER, len(mapped))))


def _give_back(array: Any) -> None:
    """Pages of a map count as the process' memory for as long as they are mapped."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)


class _Misfit(Exception):
    def __init__(self, state: int, why: str) -> None:
        super().__init__(why)
        self.state = state


def channels_first(
    shape: Sequence[int], size: Sequence[int], *, exact: bool = True
) -> tuple[int, ...] | None:
    """The axes that make (C, H, W) of an image's *shape*, or None when it is none of *size*.

    >>> channels_first((28, 30, 3), (3, 28, 30)), channels_first((28, 30), (1, 28, 30))
    ((2, 0, 1), (0, 1))
    """
    channels, pixels = size[0], tuple(size[1:])
    if len(shape) == 2:
        return (0, 1) if channels == 1 and (not exact or tuple(shape) == pixels) else None
    if len(shape) != 3:
        return None
    if shape[0] == channels and (not exact or tuple(shape[1:]) == pixels):
        return 0, 1, 2
    if shape[2] == channels and (not exact or tuple(shape[:2]) == pixels):
        return 2, 0, 1
    return None


def _crop(image: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    _, height, width = image.shape
    if height < size[1] or width < size[2]:
        raise _Misfit(WRONG, f"{height} × {width} pixels are too few to crop")
    top, left = (height - size[1]) // 2, (width - size[2]) // 2
    return image[:, top : top + size[1], left : left + size[2]]


def _resize(image: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    from PIL import Image

    whole = image.dtype.kind in "bu"
    bands = [
        Image.fromarray(np.ascontiguousarray(band, np.float32)).resize(
            (size[2], size[1]), Image.Resampling.BILINEAR
        )
        for band in image
    ]
    found = np.stack([np.asarray(band) for band in bands])
    return np.rint(found) if whole else found
