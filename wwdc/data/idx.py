"""IDX files, the format MNIST is published in (http://yann.lecun.com/exdb/mnist/)."""

__all__ = ["parse_idx", "read_content"]

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import DataError

_UINT8 = 0x08


def read_content(path: Path) -> bytes:
    """The bytes of a file, decompressed when its name ends in ``.gz``.

    Raises:
        DataError: the file is missing, unreadable, or truncated.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error or 'truncated'}). Remove it and fetch it again."
        ) from error


def parse_idx(data: bytes, path: Path, ndim: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes: two zeros, type, rank, big-endian sizes, values.

    Args:
        data: content of the file, decompressed.
        path: its name, for messages.
        ndim: expected number of dimensions.

    Raises:
        DataError: another format, type or rank, or fewer or more values than the header says.
    """
    head = 4 + 4 * ndim
    expected = bytes([0, 0, _UINT8, ndim])
    if data[:4] != expected:
        raise DataError(
            f"{path}: not an IDX file of {ndim}-dimensional bytes: it begins with "
            f"0x{data[:4].hex()}, expected 0x{expected.hex()}."
        )
    if len(data) < head:
        raise DataError(f"{path}: truncated: {len(data)} bytes, shorter than its header.")
    shape = struct.unpack(f">{ndim}I", data[4:head])
    values = np.frombuffer(data, np.uint8, offset=head)
    wanted = int(np.prod(shape, dtype=np.int64))
    if values.size != wanted:
        state = "truncated" if values.size < wanted else "too long"
        raise DataError(
            f"{path}: {state}: the header announces {' × '.join(map(str, shape))} values, the "
            f"file holds {values.size}."
        )
    return values.reshape(shape)
