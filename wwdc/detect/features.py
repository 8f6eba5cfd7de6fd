"""What detectors look at: an embedding's rows as one matrix that every actor maps."""

__all__ = ["Column", "Features", "columns_of", "write_features"]

import fnmatch
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from wwdc.data.catalogue import Variable
from wwdc.detect.roles import Chosen, Roles, choose
from wwdc.detect.settings import Detection
from wwdc.embed.columns import DENSITIES, UNCONDITIONAL
from wwdc.embed.published import Embedding, columns, read_blocks, read_rows
from wwdc.errors import DataError, closest
from wwdc.products import atomic_write
from wwdc.products.atomic import beside

# Shapes: N scored rows, M of other splits that are only fitted on or calibrate, W columns.

_NOTE = "features.json"


@dataclass(frozen=True)
class Column:
    """A column of an embedding and where it lies in the matrix."""

    name: str
    start: int
    width: int

    @property
    def labels(self) -> list[str]:
        """A name for each of its places."""
        if self.width == 1:
            return [self.name]
        return [f"{self.name}[{i}]" for i in range(self.width)]


@dataclass(frozen=True)
class Features:
    """The matrix of an embedding in its work folder.

    Rows are those of the scored splits, in order, then those of other splits that are fitted on or
    calibrate.

    Attributes:
        rows: N, of the scored splits.
        total: N + M.
        splits: scored split → its number of rows.
    """

    folder: Path = field(repr=False)
    rows: int
    total: int
    splits: Mapping[str, int]
    columns: tuple[Column, ...] = field(repr=False)

    def matrix(self) -> NDArray[np.float32]:
        """(N + M, W), mapped from the disk and read-only."""
        found: NDArray[np.float32] = np.load(self.folder / "features.npy", mmap_mode="r")
        return found

    def array(self, name: str) -> NDArray[Any]:
        """``id``, ``role`` (N,); ``fit``, ``calibration``: rows; ``fit_object``: of those."""
        found: NDArray[Any] = np.load(self.folder / f"{name}.npy", allow_pickle=False)
        return found

    @classmethod
    def load(cls, folder: Path) -> "Features | None":
        """What is complete in a work folder."""
        try:
            note = json.loads((folder / _NOTE).read_text())
        except (FileNotFoundError, ValueError):
            return None
        listed = tuple(Column(**column) for column in note.pop("columns"))
        return cls(folder, columns=listed, **note)


def columns_of(names: Iterable[str], embedding: Embedding) -> list[str]:
    """The columns of an embedding that *names*, which may be patterns, stand for.

    A VAE's embedding has no residual: z stands for u there.

    Raises:
        DataError: it has no such column, or not one of numbers that say something of an object.
    """
    there = [*columns(embedding.columns)]
    there += [name for name in (*DENSITIES, *UNCONDITIONAL) if name in embedding.columns]
    there += [name for name in embedding.catalogue.names if name in embedding.columns]
    found: list[str] = []
    for name in names:
        wanted = name
        if "u" not in embedding.columns and name in ("u", "u_mean"):
            wanted = name.replace("u", "z", 1)
        matching = [column for column in there if fnmatch.fnmatchcase(column, wanted)]
        if not matching:
            raise DataError(
                f"the embedding has no column {name!r}.{closest(name, there)} "
                f"Columns: {', '.join(there)}."
            )
        found += matching
    return list(dict.fromkeys(found))


def write_features(
    folder: Path, embedding: Embedding, detection: Detection, roles: Roles, names: Sequence[str]
) -> Features:
    """Write the matrix, the rows' roles and their ids into a work folder; read what is there.

    Columns are read a row group at a time. Circular and categorical variables are encoded as for a
    network. A value that is NaN stays so.

    Raises:
        ProductError: an embedding cannot be read, or the disk is full.
    """
    known = Features.load(folder)
    if known is not None:
        return known
    used = [*dict.fromkeys((*roles.scored, roles.fit, roles.calibration))]
    objects = {split: _objects(embedding, split) for split in used}
    chosen = choose(detection, roles, objects)
    extra = _extra(roles, chosen)
    counts = {split: len(objects[split]) for split in roles.scored}
    starts = dict(zip(roles.scored, itertools.accumulate(counts.values(), initial=0), strict=False))
    rows = sum(counts.values())
    total = rows + sum(map(len, extra.values()))
    listed = _laid_out(embedding, names)
    parts = [(split, None) for split in roles.scored] + list(extra.items())
    _write_matrix(folder / "features.npy", embedding, listed, parts, total)
    ids = np.concatenate(
        [read_rows(embedding.files[split], ["id"])["id"] for split in roles.scored]
    )
    code = np.concatenate([chosen.roles(objects[split]) for split in roles.scored])
    place = _Places(starts, extra, rows)
    arrays = {
        "id": ids.astype(np.int64),
        "role": code,
        "fit": place(roles.fit, chosen.fit),
        "fit_object": objects[roles.fit][chosen.fit],
        "calibration": place(roles.calibration, chosen.calibration),
    }
    for name, array in arrays.items():
        save(folder / f"{name}.npy", array)
    note = {"rows": rows, "total": total, "splits": counts, "columns": [asdict(c) for c in listed]}
    atomic_write(folder / _NOTE, json.dumps(note))
    return Features(folder, rows, total, counts, tuple(listed))


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array as .npy: a reader sees all of it or none.

    Raises:
        ProductError: the disk is full.
    """
    with beside(path) as temporary:
        with temporary.open("xb") as file:
            np.save(file, array, allow_pickle=False)
        temporary.replace(path)


@dataclass(frozen=True)
class _Places:
    """Where rows of a split lie in the matrix."""

    starts: Mapping[str, int]
    extra: Mapping[str, NDArray[np.int64]]
    rows: int

    def __call__(self, split: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if split in self.starts:
            return rows + self.starts[split]
        start = self.rows
        for name, listed in self.extra.items():
            if name == split:
                break
            start += len(listed)
        return start + np.searchsorted(self.extra[split], rows)


def _objects(embedding: Embedding, split: str) -> NDArray[np.int64]:
    """The object of each row; where the data do not tell, each is one of its own."""
    name = "object" if "object" in embedding.columns else "id"
    return read_rows(embedding.files[split], [name])[name].astype(np.int64)


def _extra(roles: Roles, chosen: Chosen) -> dict[str, NDArray[np.int64]]:
    found: dict[str, list[NDArray[np.int64]]] = {}
    for split, rows in ((roles.fit, chosen.fit), (roles.calibration, chosen.calibration)):
        if split not in roles.scored:
            found.setdefault(split, []).append(rows)
    return {split: np.unique(np.concatenate(parts)) for split, parts in found.items()}


def _laid_out(embedding: Embedding, names: Sequence[str]) -> list[Column]:
    schema = pq.read_schema(next(iter(embedding.files.values())))
    widths = {variable.name: variable.width for variable in embedding.catalogue}
    found, start = [], 0
    for name in names:
        kind = schema.field(name).type
        width = kind.list_size if pa.types.is_fixed_size_list(kind) else widths.get(name, 1)
        found.append(Column(name, start, width))
        start += width
    return found


def _write_matrix(
    path: Path,
    embedding: Embedding,
    listed: Sequence[Column],
    parts: Sequence[tuple[str, NDArray[np.int64] | None]],
    total: int,
) -> None:
    variables = {variable.name: variable for variable in embedding.catalogue}
    width = sum(column.width for column in listed)
    with beside(path) as temporary:
        # Written, not mapped: pages of a map count as the process' own.
        with temporary.open("xb") as file:
            about = {"descr": "<f4", "fortran_order": False, "shape": (total, width)}
            write_array_header_1_0(file, about)
            for split, rows in parts:
                for batch in read_blocks(embedding.files[split], [c.name for c in listed], rows):
                    found = [_encoded(batch[c.name], variables.get(c.name)) for c in listed]
                    file.write(np.concatenate(found, axis=1, dtype="<f4").tobytes())
        temporary.replace(path)


def _encoded(values: NDArray[Any], variable: Variable | None) -> NDArray[np.float32]:
    if variable is None:
        found = values.astype(np.float32)
        return found[:, None] if found.ndim == 1 else found
    known = np.isfinite(values) | (variable.fill is not None)
    found = np.full((len(values), variable.width), np.nan, np.float32)
    found[known] = variable.encode(values[known])
    return found
