"""What a path to images is: a folder of files, or an array."""

__all__ = ["open_source"]

from pathlib import Path

from wwdc.data.hashes import Hashes
from wwdc.data.image_arrays import ARRAY_ENDINGS, ImageArray
from wwdc.data.image_files import Folder
from wwdc.errors import DataError


def open_source(images: Path, key: str | None, hashes: Hashes) -> Folder | ImageArray:
    """The images at a path; nothing is read yet.

    Args:
        key: of the array, in a file with several.
        hashes: where hashes of files are remembered.

    Raises:
        DataError: a *key* of a folder.
    """
    if images.name.lower().endswith(ARRAY_ENDINGS):
        return ImageArray(images, key, hashes)
    if key is not None:
        raise DataError(f"x_ds.key: {images} is a folder, which has no arrays.")
    return Folder(images, hashes)
