"""SHA-256 of files, remembered between runs by size and time of change."""

__all__ = ["Hashes"]

import contextlib
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from wwdc.errors import DataError, ProductError
from wwdc.products.atomic import atomic_write

_THREADS = 4


class Hashes:
    """Hashes of files, kept in a folder.

    A file is read again when its size or its time of change is another than when it was read.

    Args:
        folder: of what is remembered; where it cannot be written, nothing is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, files: Sequence[Path]) -> list[str]:
        """SHA-256 of each of *files*, which are asked for together every time.

        Raises:
            DataError: one cannot be read.
        """
        try:
            states = tuple((str(f), (s := f.stat()).st_size, s.st_mtime_ns) for f in files)
            return list(_hashes(self.folder, states))
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror}).") from error

    def of_folder(self, folder: Path, files: Sequence[Path]) -> str:
        """SHA-256 over the names, below *folder*, and contents of *files*, in their order.

        Raises:
            DataError: one cannot be read.
        """
        digest = hashlib.sha256()
        for file, one in zip(files, self.of(files), strict=True):
            digest.update(f"{file.relative_to(folder).as_posix()} {one}\n".encode())
        return digest.hexdigest()


@lru_cache(maxsize=8)
def _hashes(folder: Path, states: tuple[tuple[str, int, int], ...]) -> tuple[str, ...]:
    listing = hashlib.sha256("\n".join(name for name, *_ in states).encode()).hexdigest()[:16]
    path = folder / f"hashes-{listing}.json"
    known: dict[str, list[object]] = {}
    with contextlib.suppress(OSError, ValueError):  # none yet, or cut: it is made anew
        known = json.loads(path.read_text())
    unknown = [s for s in states if known.get(s[0], [])[:2] != [s[1], s[2]]]
    if unknown:
        with ThreadPoolExecutor(_THREADS) as pool:
            sums = pool.map(_sha256, [Path(name) for name, *_ in unknown])
            known |= {s[0]: [s[1], s[2], one] for s, one in zip(unknown, sums, strict=True)}
        with contextlib.suppress(ProductError):  # it is only slower without
            atomic_write(path, json.dumps(known))
    return tuple(str(known[name][2]) for name, *_ in states)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
