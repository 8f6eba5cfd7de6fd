"""A dataset with one more variable: what was learnt from labels, joined to the catalogue by id."""

__all__ = ["Promoted", "dump_table"]

import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.data.colour_mnist import SPLITS, Split
from wwdc.data.dataset import ImageDataset, Sliced, check_dataset, images_fingerprint
from wwdc.errors import DataError

if TYPE_CHECKING:
    import torch

_SCHEMA = 1
_KEY = "wwdc"


class Promoted:
    """A dataset whose catalogue has a further variable, read from a table of ids and values.

    Images, rows, splits and ids are those of *dataset*: a VAE that was trained on it fits, and
    the latents cached for it are used. Several tables are joined by nesting. Building one reads
    the table, but no images, and imports no torch.

    Args:
        dataset: what is promoted, with nothing dropped: which variables a flow is not told is said
            here, for all of them.
        table: Parquet file that ``python -m wwdc.promote`` wrote.
        sha256: of the file; None takes whatever it holds.
        drop_variables: variables of the whole catalogue that a flow is not told.

    Raises:
        DataError: the table is missing, broken, not the one of *sha256*, or made for other data; a
            row has no value.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        table: str | Path,
        *,
        sha256: str | None = None,
        drop_variables: Iterable[str] | None = (),
    ) -> None:
        check_dataset(dataset, "x_ds.dataset")
        if dataset.kept != dataset.catalogue:
            raise DataError(
                "x_ds.dataset.drop_variables: drop variables with x_ds.drop_variables, which "
                "speaks of all of them."
            )
        self.dataset = dataset
        self._values = _read(Path(table), sha256)
        variable = self._values.variable
        if variable.name in dataset.catalogue.names:
            raise DataError(f"{table}: the dataset has a variable {variable.name!r} already.")
        self._catalogue = Catalogue((*dataset.catalogue, variable))
        try:
            self.kept = self._catalogue.keep(drop_variables or ())
        except DataError as error:
            raise DataError(f"x_ds.drop_variables: {error}") from None
        self._tables: dict[Split, dict[str, NDArray[Any]]] = {}
        if dataset.available:
            self._check_data()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tables": {}}  # made again in another process

    @property
    def name(self) -> str:
        return f"{self.dataset.name} with {self._values.variable.name}"

    @property
    def catalogue(self) -> Catalogue:
        """The dataset's variables, and the new one last."""
        return self._catalogue

    @property
    def drop_variables(self) -> tuple[str, ...]:
        """What a flow is not told, in catalogue order."""
        return tuple(name for name in self.catalogue.names if name not in self.kept.names)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the data: the dataset's, with the table's content."""
        identity = [_SCHEMA, self.dataset.fingerprint, self._values.sha256]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]

    @property
    def images_fingerprint(self) -> str:
        """Of the dataset that the images come from."""
        return images_fingerprint(self.dataset)

    @property
    def available(self) -> bool:
        return self.dataset.available

    @property
    def seed(self) -> int:
        return self.dataset.seed

    @property
    def views(self) -> int:
        return self.dataset.views

    @property
    def size(self) -> Sequence[int]:
        return self.dataset.size

    @property
    def split_rule(self) -> str:
        return self.dataset.split_rule

    def prepare(self, notice: Callable[[str], None]) -> None:
        """Fetch and check the raw data, and see that every row has a value."""
        self.dataset.prepare(notice)
        self._check_data()
        for split in SPLITS:
            self.table(split)

    def content(self) -> Mapping[str, str]:
        """Checksums of the raw data, and of the table under its variable's name."""
        return {**self.dataset.content(), self._values.variable.name: self._values.sha256}

    def rows(self, split: Split) -> int:
        return self.dataset.rows(split)

    def table(self, split: Split) -> dict[str, NDArray[Any]]:
        """The dataset's table with a last column, the variable."""
        return self._joined(self.dataset.table(split), split)

    def table_rows(self, split: Split, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Rows [start, stop) of ``table(split)``."""
        if isinstance(self.dataset, Sliced):
            return self._joined(self.dataset.table_rows(split, start, stop), split)
        if split not in self._tables:
            self._tables[split] = self.table(split)
        return {name: column[start:stop] for name, column in self._tables[split].items()}

    def context(self, split: Split) -> NDArray[np.float32]:
        """The kept variables of every row, encoded but not standardised: (rows, width)."""
        return self.kept.encode(self.table(split))

    def images(self, split: Split, index: "torch.Tensor") -> "torch.Tensor":
        """The dataset's images of the rows *index* (B,)."""
        return self.dataset.images(split, index)

    def _joined(self, table: Mapping[str, NDArray[Any]], split: Split) -> dict[str, NDArray[Any]]:
        known, ids = self._values, table["id"]
        place = np.minimum(np.searchsorted(known.ids, ids), len(known.ids) - 1)
        missing = known.ids[place] != ids
        if missing.any():
            raise DataError(
                f"{known.path}: {int(missing.sum())} of {len(ids)} rows of the {split} split have "
                f"no {known.variable.name}, the first is id {ids[np.argmax(missing)]}. Promote it "
                "from embeddings of every split."
            )
        return {**table, known.variable.name: known.values[place]}

    def _check_data(self) -> None:
        found, wanted = self.dataset.fingerprint, self._values.fingerprint
        if found != wanted:
            raise DataError(
                f"{self._values.path}: made for data with the fingerprint {wanted}; those of "
                f"x_ds.dataset have {found}. Give x_ds.dataset the settings that were promoted, or "
                "promote again."
            )


def dump_table(
    ids: NDArray[np.int64], values: NDArray[Any], variable: Variable, fingerprint: str
) -> bytes:
    """The Parquet file that `Promoted` reads: the same arguments give the same bytes.

    Args:
        ids: of the rows, (N,), each once.
        values: of the variable, (N,).
        variable: what they are; its description goes into the file.
        fingerprint: of the dataset that the rows belong to.

    Raises:
        DataError: a value is NaN or outside the variable's range.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    variable.encode(values)
    order = np.argsort(ids, kind="stable")
    columns = [pa.array(ids[order]), pa.array(values[order])]
    about = {"schema": _SCHEMA, "kind": "promoted", "data": fingerprint}
    fields = [
        pa.field("id", columns[0].type, nullable=False),
        pa.field(variable.name, columns[1].type, nullable=False, metadata=variable.metadata()),
    ]
    schema = pa.schema(fields, metadata={_KEY: json.dumps(about)})
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), buffer)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Values:
    """A table in memory: ids ascending, (N,), and the value of each."""

    path: Path
    sha256: str
    fingerprint: str
    variable: Variable
    ids: NDArray[np.int64] = field(repr=False)
    values: NDArray[Any] = field(repr=False)


def _read(path: Path, sha256: str | None) -> _Values:
    try:
        state = path.stat()
        found = _read_once(path, state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError as error:
        raise DataError(
            f"{path}: the table of a promoted variable cannot be read ({error.strerror}). Copy it "
            "there, or run python -m wwdc.promote again."
        ) from error
    if sha256 is not None and found.sha256 != sha256:
        raise DataError(
            f"{path}: its SHA-256 is {found.sha256[:12]}…, x_ds.sha256 is {str(sha256)[:12]}…: it "
            "is not the table that was promoted. Restore it, or run python -m wwdc.promote again."
        )
    return found


@functools.lru_cache(maxsize=8)
def _read_once(path: Path, _mtime_ns: int, _size: int, _inode: int) -> _Values:
    """Read and check a file; the datasets of many points share it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = path.read_bytes()
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not Parquet: {str(error).splitlines()[0]}") from error
    about = _about(path, table.schema)
    name = next(name for name in table.column_names if name != "id")
    variable = Variable.from_metadata(name, table.schema.field(name).metadata or {})
    ids, values = (table.column(column).to_numpy() for column in ("id", name))
    if not len(ids) or not (np.diff(ids) > 0).all():
        raise DataError(f"{path}: its ids are not ascending, each once. Promote again.")
    try:
        variable.encode(values)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    digest = hashlib.sha256(data).hexdigest()
    return _Values(path, digest, about["data"], variable, ids, values)


def _about(path: Path, schema: Any) -> dict[str, Any]:
    text = (schema.metadata or {}).get(_KEY.encode())
    about: dict[str, Any] = json.loads(text) if text else {}
    if about.get("kind") != "promoted" or about.get("schema") != _SCHEMA or len(schema) != 2:
        raise DataError(
            f"{path}: not a promoted table of schema {_SCHEMA}: two columns, id and the variable. "
            "python -m wwdc.promote writes one."
        )
    return about
