"""The arrays of an HDF5 file."""

__all__ = ["arrays_of", "open_hdf5"]

from pathlib import Path
from typing import Any

from wwdc.errors import DataError


def open_hdf5(path: Path) -> Any:
    """The file as `h5py.File`, open for reading.

    Raises:
        DataError: h5py is not installed.
        OSError: it is missing or no HDF5.
    """
    try:
        import h5py
    except ModuleNotFoundError:
        raise DataError(f"{path}: HDF5 needs h5py: python -m pip install 'wwdc[hdf5]'.") from None
    return h5py.File(path, "r")


def arrays_of(file: Any) -> dict[str, Any]:
    """Its datasets by name, those in groups as ``group/name``; nothing is read yet."""
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, member: Any) -> None:
        if isinstance(member, h5py.Dataset):
            found[name] = member

    file.visititems(visit)
    return found
