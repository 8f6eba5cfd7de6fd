"""A user's own vectors, computed by somebody else's network: no VAE is needed."""

__all__ = ["TabledVectors", "holds_vectors", "read_vectors", "sides"]

import fnmatch
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.examples import examples
from wwdc.data.hashes import Hashes
from wwdc.data.image_arrays import ARRAY_ENDINGS, ImageArray
from wwdc.data.tabled_rows import Refusable, TabledRows, check_policies, digest
from wwdc.data.tables import read_table
from wwdc.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

# Shapes: N objects, B batch, D length of a vector, H × W ≥ D.

_VERSION = 1
RANGE = 8.0
"""Standard deviations of a component that fill [0, 1]; what is further out lies outside."""


class TabledVectors(TabledRows):
    """Vectors of a table's column or of an array, joined by id to the rows of a table.

    Each component is standardised over the training split. So that whatever draws images can draw
    them, a vector comes as a grey image of D pixels, y = ½ + x / 8, and some more of ½ that make it
    nearly square; `wwdc.models.identity.Identity`, which ``vae: null`` stands for, takes it back.

    Args:
        vectors: Parquet file with *column*, or a ``.npy``, ``.npz``, HDF5 or Zarr array (N, D).
        variables: see `TabledRows`, as for what is not said here.
        cache: folder where hashes of files are remembered.
        table: with a row a vector; by default the Parquet file of the vectors.
        column: of the vectors, lists of D numbers; with ``*`` all columns of such names together.
        key: of the array, in a file with several.
        bad_values: what becomes of vectors with NaN or infinite components: ``refuse``, ``drop``.

    Raises:
        DataError: a setting is wrong.
    """

    _thing = "vector"

    def __init__(
        self,
        vectors: str | Path,
        variables: Mapping[str, Any],
        cache: str | Path,
        *,
        table: str | Path | None = None,
        column: str | None = None,
        key: str | None = None,
        id: str | None = None,
        split: Mapping[str, Any] | None = None,
        unmatched: Refusable = "refuse",
        bad_values: Refusable = "refuse",
        unseen: Refusable = "refuse",
        seed: int = 0,
        drop_variables: Iterable[str] | None = (),
        origin: str = "",
    ) -> None:
        path = Path(vectors)
        is_array = path.name.lower().endswith(ARRAY_ENDINGS)
        if is_array == (column is not None) or (is_array and table is None):
            raise DataError(
                f"x_ds.column: {path}: give the column of a Parquet file that holds the vectors, "
                "or an array of them and a table."
            )
        super().__init__(
            path,
            path if table is None else Path(table),
            variables,
            id=id,
            split=split,
            views=1,
            unmatched=unmatched,
            unseen=unseen,
            seed=seed,
            drop_variables=drop_variables,
            origin=origin,
        )
        check_policies(bad_values=bad_values)
        self._column, self._bad_values = column, bad_values
        hashes = Hashes(Path(cache))
        self._file = ImageArray(path, key, hashes, axes=2) if is_array else path
        self._hashes = hashes

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_vectors"}

    @property
    def available(self) -> bool:
        return self._data.exists() and self._table.exists()

    @property
    def size(self) -> tuple[int, int, int]:
        """A vector as an image: (1, H, W)."""
        return 1, *sides(self._vectors.shape[1])

    def prepare(self, notice: Callable[[str], None]) -> None:
        """Check vectors and table.

        Raises:
            DataError: what is wrong, how often, and the first five times.
        """
        for note in [*self._joined.notes, *self._left_out()[1]]:
            notice(note)
        _ = self._scale

    def content(self) -> Mapping[str, str]:
        """Checksums of the vectors and of what is known of them."""
        return {"vectors": self._content, "table": self._values}

    @cached_property
    def images_fingerprint(self) -> str:
        """Of vectors, rows and ids, whatever is known of them."""
        joined = self._joined
        rows = hashlib.sha256(json.dumps([joined.names.tolist(), joined.split.tolist()]).encode())
        return digest([_VERSION, self._content, rows.hexdigest(), self._bad_values])

    def images(self, split: Any, index: "torch.Tensor") -> "torch.Tensor":
        """The rows *index* (B,) of a split's table as images (B, 1, H, W) on the index's device."""
        import torch  # when a vector is asked for

        mean, std = self._scale
        chosen = self._joined.place[self._objects(split)[index.cpu().numpy()]]
        x = (self._vectors[chosen] - mean) / std
        _, height, width = self.size
        y = np.full((len(x), height * width), 0.5, np.float32)
        y[:, : x.shape[1]] += x / RANGE
        return torch.from_numpy(y.reshape(-1, *self.size)).to(index.device)

    @cached_property
    def _content(self) -> str:
        if isinstance(self._file, ImageArray):
            return digest([self._file.content(), self._file.key])
        return digest([self._hashes.of([self._file])[0], self._column])

    @cached_property
    def _scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (D,) over the training split."""
        rows = self._vectors[self._joined.place[self._objects("train")]].astype(np.float64)
        std = rows.std(0)
        return rows.mean(0), np.where(std > 0, std, 1.0)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        """All of them, (N, D)."""
        return read_vectors(self._file, self._column)

    def _names(self) -> NDArray[np.str_] | None:
        if isinstance(self._file, ImageArray):
            return self._file.names
        frame = read_table(self._file).frame
        if self._id is None or self._id not in frame.columns:
            return None
        return np.array([str(value).strip() for value in frame[self._id]], dtype=np.str_)

    def _count(self) -> int:
        return len(self._vectors)

    def _left_out(self) -> tuple[NDArray[np.bool_], list[str]]:
        bad = np.asarray(~np.isfinite(self._vectors[self._joined.place]).all(axis=1))
        if not bad.any():
            return bad, []
        names = self._joined.names
        text = f"{int(bad.sum())} of {len(bad)} vectors hold NaN or infinite values: "
        text += examples(names[bad])
        if self._bad_values == "refuse":
            raise DataError(f"{self._data}: {text}. Mend them, or write bad_values: drop.")
        return bad, [f"{text}; left out."]


def sides(length: int) -> tuple[int, int]:
    """Height and width of the image of a vector.

    >>> sides(12), sides(7)
    ((3, 4), (3, 3))
    """
    width = math.isqrt(length - 1) + 1
    return -(-length // width), width


def read_vectors(file: Path | ImageArray, column: str | None) -> NDArray[np.float32]:
    """All vectors (N, D) of an array, or of *column* of a Parquet file.

    Raises:
        DataError: there are none, they differ in length, or they are not made of numbers.
    """
    if isinstance(file, Path):
        return _columns(file, str(column))
    values = np.asarray(file.array[...])
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise DataError(
            f"{file.path}: shape {values.shape}, {values.dtype}: vectors are numbers in an array "
            "of two axes."
        )
    return values.astype(np.float32)


def holds_vectors(kind: "pa.DataType") -> bool:
    """Whether a Parquet column of this type holds lists of numbers."""
    from pyarrow import types

    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return lists and _is_number(kind.value_type)


def _is_number(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind))


def _columns(path: Path, column: str) -> NDArray[np.float32]:
    """A column of lists, or several columns of numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        every = pq.read_schema(path).names
        names = fnmatch.filter(every, column) if "*" in column else [column]
        if not set(names) <= set(every) or not names:
            raise DataError(f"x_ds.column: {path} has no {column!r}. It has {examples(every)}.")
        table = pq.read_table(path, columns=names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not Parquet: {str(error).splitlines()[0]}") from error
    lists_of = len(names) == 1 and holds_vectors(table.schema.field(0).type)
    words = [field.name for field in table.schema if not (lists_of or _is_number(field.type))]
    if words:
        raise DataError(f"x_ds.column: {path}: no numbers are in {examples(words)}.")
    if not lists_of:
        numbers = [table.column(name).to_numpy(zero_copy_only=False) for name in names]
        return np.stack(numbers, axis=1).astype(np.float32)
    lists = table.column(0).combine_chunks()
    lengths = np.diff(lists.offsets.to_numpy()) if hasattr(lists, "offsets") else None
    if lists.null_count or (lengths is not None and len(np.unique(lengths)) > 1):
        usual = int(np.bincount(lengths).argmax()) if lengths is not None else lists.type.list_size
        wrong = np.flatnonzero(lengths != usual) if lengths is not None else ()
        raise DataError(
            f"{path}: column {column!r}: {lists.null_count} vectors are missing, and {len(wrong)} "
            f"have another length than {usual}: rows {examples(wrong)}."
        )
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return np.asarray(flat.reshape(len(lists), -1))
