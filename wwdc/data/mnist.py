"""MNIST's four files: where they lie, what they must be, where they come from."""

__all__ = ["MD5", "MIRRORS", "Part", "download", "find", "read_part"]

import gzip
import hashlib
import http.client
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wwdc.data.idx import parse_idx, read_content
from wwdc.errors import DataError
from wwdc.products import atomic_write

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""MD5 of each file's content, decompressed: mirrors compress differently."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)

_SIDE = 28
_CLASSES = 10
_TIMEOUT_S = 15.0


def find(root: Path, name: str) -> Path | None:
    """The file called *name*, or *name* and ``.gz``, in folder *root*."""
    return next((path for path in (root / name, root / f"{name}.gz") if path.exists()), None)


@dataclass(frozen=True)
class Part:
    """One part of MNIST, training or test.

    Attributes:
        grey: images, uint8 (N, 28, 28).
        digit: labels, int64 (N,).
        md5: MD5 of the two files' contents by name, decompressed.
    """

    grey: NDArray[np.uint8]
    digit: NDArray[np.int64]
    md5: dict[str, str]


def read_part(images: Path, labels: Path) -> Part:
    """Read and check a file of images and the file of their labels.

    Both are kept in memory: the points that a process trains read them once.

    Raises:
        DataError: a file is unreadable or truncated, or the two do not belong together.
    """
    return _read_part(images, _stamp(images), labels, _stamp(labels))


def download(
    root: Path,
    names: Sequence[str],
    notice: Callable[[str], None],
    mirrors: Sequence[str] = MIRRORS,
) -> None:
    """Fetch the files *names* (keys of `MD5`) into *root*, from the first mirror that has them.

    Raises:
        DataError: no mirror gave a file with the right content.
        ProductError: *root* cannot be written.
    """
    for name in names:
        notice(f"downloading {name}.gz to {root}")
        failures = []
        for mirror in mirrors:
            url = f"{mirror}{name}.gz"
            try:
                data = _fetch(url, MD5[name])
            except (OSError, EOFError, ValueError, zlib.error, http.client.HTTPException) as error:
                failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
                continue
            atomic_write(root / f"{name}.gz", data)
            break
        else:
            tried = "\n  ".join(failures)
            raise DataError(
                f"MNIST could not be downloaded:\n  {tried}\nPut the files "
                f"{', '.join(f'{name}.gz' for name in MD5)} into {root} by hand; the two t10k "
                "files alone are enough to start."
            )


@lru_cache(maxsize=2)
def _read_part(images: Path, _first: object, labels: Path, _second: object) -> Part:
    content = {path: read_content(path) for path in (images, labels)}
    grey = parse_idx(content[images], images, ndim=3)
    digit = parse_idx(content[labels], labels, ndim=1)
    if grey.shape[1:] != (_SIDE, _SIDE):
        raise DataError(f"{images}: images of {grey.shape[1]} × {grey.shape[2]}, not 28 × 28.")
    if len(grey) != len(digit):
        raise DataError(f"{labels}: {len(digit)} labels for the {len(grey)} images in {images}.")
    wrong = np.flatnonzero(digit >= _CLASSES)
    if len(wrong):
        raise DataError(f"{labels}: label {digit[wrong[0]]} of image {wrong[0]} is no digit 0–9.")
    md5 = {path.name.removesuffix(".gz"): _md5(data) for path, data in content.items()}
    return Part(grey, digit.astype(np.int64), md5)


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file does."""
    try:
        state = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    return state.st_mtime_ns, state.st_size, state.st_ino


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _fetch(url: str, md5: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
        data: bytes = response.read()
    found = _md5(gzip.decompress(data))
    if found != md5:
        raise ValueError(f"the content's MD5 is {found}, expected {md5}")
    return data
