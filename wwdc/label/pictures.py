"""Objects as pictures: the viewer, which may be another, and a cache of what it drew."""

__all__ = ["ImageViewer", "Pictures", "Viewer", "png"]

import contextlib
import hashlib
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wwdc.errors import DataError, WWDCError

# Shapes: C channels, H × W pixels of an image, N rows.

Draw = Callable[[int], tuple[Mapping[str, Any], NDArray[np.float32]]]

CACHED_BYTES = 64 * 1024**2
COMPRESSION = 1
"""zlib's fastest: pictures go no further than this machine."""


class Viewer(Protocol):
    """Draws one object. Another one is chosen by ``label.viewer``."""

    def render(
        self, row: Mapping[str, Any], image: NDArray[np.float32], size: int
    ) -> tuple[bytes, str]:
        """The picture of an object and its media type, such as ``image/png``.

        Args:
            row: the object's line of the catalogue, with its ``id``.
            image: (C, H, W) in [0, 1].
            size: wanted pixels of the longer side.
        """
        ...


class ImageViewer:
    """An image as PNG, enlarged without smoothing: a pixel stays a square.

    Args:
        channels: those shown as grey (one) or as red, green, blue (three); null: the first three,
            or the first where there are fewer.

    Raises:
        DataError: neither one nor three channels, or one that the images do not have.
    """

    def __init__(self, channels: Sequence[int] | None = None) -> None:
        if channels is not None and len(channels) not in (1, 3):
            raise DataError(f"channels: one or three are shown, got {list(channels)}.")
        self.channels = None if channels is None else [int(c) for c in channels]

    def render(
        self, row: Mapping[str, Any], image: NDArray[np.float32], size: int
    ) -> tuple[bytes, str]:
        """The picture and ``image/png``."""
        total, height, width = image.shape
        channels = self.channels or list(range(3 if total >= 3 else 1))
        if max(channels) >= total:
            raise DataError(f"channels: {channels} are wanted, the images have {total}.")
        longer = max(height, width)
        rows = np.arange(max(1, size * height // longer)) * longer // size
        columns = np.arange(max(1, size * width // longer)) * longer // size
        rows, columns = np.minimum(rows, height - 1), np.minimum(columns, width - 1)
        chosen = image[channels][:, rows][:, :, columns]
        levels = np.rint(np.nan_to_num(np.clip(chosen, 0, 1)) * 255).astype(np.uint8)
        return png(np.ascontiguousarray(levels.transpose(1, 2, 0))), "image/png"


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W, 1 or 3) as a PNG file: https://www.w3.org/TR/png-3/."""
    height, width, channels = pixels.shape
    colour_type = {1: 0, 3: 2}[channels]
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    data = zlib.compress(lines.tobytes(), COMPRESSION)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


class Pictures:
    """Pictures by row, drawn when they are asked for and kept while there is room.

    Args:
        draw: row → its line of the catalogue and its image (C, H, W). Called by one thread at a
            time.
        viewer: makes the picture.
        identity: what pictures depend on beside the row, for their tags.
    """

    def __init__(self, draw: Draw, viewer: Viewer, identity: str) -> None:
        self._draw, self._viewer, self._identity = draw, viewer, identity
        self._kept: OrderedDict[tuple[int, int], tuple[bytes, str]] = OrderedDict()
        self._bytes = 0
        self._drawing, self._lock = threading.Lock(), threading.Lock()

    def warm(self) -> None:
        """Draw the first object: opening the data takes seconds the first time."""
        with contextlib.suppress(WWDCError):  # told to whoever asks for a picture
            with self._drawing:
                self._draw(0)

    def tag(self, row: int, size: int) -> str:
        """An entity tag: the same as long as the picture is."""
        known = f"{self._identity}/{row}/{size}"
        return f'"{hashlib.sha256(known.encode()).hexdigest()[:24]}"'

    def get(self, row: int, size: int) -> tuple[bytes, str]:
        """The picture of a row and its media type."""
        key = (row, size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._drawing:
            line, image = self._draw(row)
        drawn = self._viewer.render(line, image, size)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = drawn
                self._bytes += len(drawn[0])
            while self._bytes > CACHED_BYTES and len(self._kept) > 1:
                _, (old, _) = self._kept.popitem(last=False)
                self._bytes -= len(old)
        return drawn


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
