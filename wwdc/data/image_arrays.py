"""All images in one array: NumPy, HDF5, Zarr or a FITS cube."""

__all__ = ["ARRAY_ENDINGS", "ImageArray"]

import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.examples import examples
from wwdc.data.hashes import Hashes
from wwdc.data.hdf5 import arrays_of, open_hdf5
from wwdc.data.image_files import Unreadable, decode, image_shape
from wwdc.errors import DataError, closest

# Shapes: N images, C channels, H × W pixels.

ARRAY_ENDINGS = (".npy", ".npz", ".h5", ".hdf5", ".zarr", ".fits", ".fit")
_TOGETHER = 256
_FAULTS = (OSError, ValueError, KeyError, EOFError, Unreadable, zipfile.BadZipFile)
_IDS = ("ids", "id", "names", "object_id")


class ImageArray:
    """Images along the first axis of an array.

    Args:
        path: of the file, or of the folder of a Zarr array.
        key: name of the array where the file holds several; without one there must be one with
            three or more axes. Another one of its length called ``ids`` (or ``id``, ``names``)
            names the images; else they belong to the rows of the table, in order.
        hashes: where hashes of files are remembered.
        axes: that an array has at least; two are those of vectors.
    """

    def __init__(self, path: Path, key: str | None, hashes: Hashes, axes: int = 3) -> None:
        self.path, self.key, self.axes, self._hashes = path, key, axes, hashes

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_members"}

    @property
    def names(self) -> NDArray[np.str_] | None:
        """The id of each image; None where the array does not say.

        Raises:
            DataError: an id occurs twice.
        """
        found = next((name for name in _IDS if name in self._members and name != self.key), None)
        if found is None:
            return None
        ids = np.asarray(self._members[found][...])
        words = ids.astype("U") if ids.dtype.kind != "O" else np.array([_text(i) for i in ids])
        if len(words) != len(self):
            raise DataError(f"{self.path}: {len(words)} {found} for {len(self)} images.")
        values, counts = np.unique(words, return_counts=True)
        if (counts > 1).any():
            doubles = values[counts > 1]
            raise DataError(
                f"{self.path}: {len(doubles)} {found} occur twice: {examples(doubles)}."
            )
        return words

    @property
    def array(self) -> Any:
        """The images (N, …), read as they are indexed."""
        return self._members[self._chosen]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array of the file, by name."""
        return {name: tuple(array.shape) for name, array in self._members.items()}

    @property
    def mapped(self) -> NDArray[Any] | None:
        """The array where the file itself can be memory-mapped, else None."""
        return self.array if isinstance(self.array, np.memmap) else None

    def content(self) -> str:
        """SHA-256 of the file; of a folder over the names and contents of its files."""
        if self.path.is_file():
            return self._hashes.of([self.path])[0]
        files = sorted(file for file in self.path.rglob("*") if file.is_file())
        return self._hashes.of_folder(self.path, files)

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def arrays(self) -> Iterator[NDArray[Any] | Unreadable]:
        """Every image, some hundred read at a time.

        Raises:
            DataError: the file is damaged.
        """
        for start in range(0, len(self), _TOGETHER):
            try:
                block = np.asarray(self.array[start : start + _TOGETHER])
            except (*_FAULTS, RuntimeError, zlib.error) as error:
                raise DataError(f"{self.path}: damaged at image {start}: {error}") from error
            yield from block

    @cached_property
    def _chosen(self) -> str:
        members = self._members
        if self.key is not None:
            if self.key not in members:
                raise DataError(
                    f"x_ds.key: {self.path} has no array {self.key!r}."
                    f"{closest(self.key, members)} It has {', '.join(members)}."
                )
            return self.key
        images = [name for name, array in members.items() if len(array.shape) >= self.axes]
        if len(images) != 1:
            found = f"{len(images)}: {examples(images)}" if images else "none"
            raise DataError(
                f"{self.path}: arrays with {self.axes} or more axes: {found}. Name one with "
                "x_ds.key."
            )
        return images[0]

    @cached_property
    def _members(self) -> dict[str, Any]:
        """The arrays of the file by name."""
        try:
            return _open(self.path)
        except _FAULTS as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{self.path}: cannot be read as an array: {reason}") from error


def _open(path: Path) -> dict[str, Any]:
    name = path.name.lower()
    if name.endswith(".npy"):
        return {"array": np.load(path, mmap_mode="r", allow_pickle=False)}
    if name.endswith(".npz"):
        return _open_npz(path)
    if name.endswith((".fits", ".fit")):
        return {"array": _Lazy(image_shape(path), lambda: decode(path))}
    return _open_zarr(path) if name.endswith(".zarr") else arrays_of(open_hdf5(path))


class _Lazy:
    """An array that is read as a whole, when the first of it is asked for."""

    def __init__(self, shape: tuple[int, ...], read: Callable[[], NDArray[Any]]) -> None:
        self.shape, self._read = shape, read

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return np.asarray(self._whole[index])

    @cached_property
    def _whole(self) -> NDArray[Any]:
        return self._read()


def _open_npz(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            member = entry.removesuffix(".npy")
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                shape = header(file)[0]
            found[member] = _Lazy(shape, partial(_npz_member, path, member))
    return found


def _npz_member(path: Path, member: str) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive[member])


def _open_zarr(path: Path) -> dict[str, Any]:
    try:
        import zarr
    except ModuleNotFoundError:
        raise DataError(f"{path}: Zarr needs zarr: python -m pip install 'wwdc[zarr]'.") from None
    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return {"array": node}
    return {name: member for name, member in node.members() if isinstance(member, zarr.Array)}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
