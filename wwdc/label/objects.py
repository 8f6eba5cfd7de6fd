"""The objects of a campaign as columns: ids, scores, what is known of them."""

__all__ = ["Objects", "load_objects"]

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue
from wwdc.embed.published import Embedding, read_rows
from wwdc.errors import ConfigError, ProductError, closest

# Shapes: N objects.

Column = NDArray[Any]

STABILITIES = ("detectors", "seeds", "sweeps")
_GIVEN = ("id", "split", "role", "score", "rank", "p_value", "q_value")
_STABILITY = "stability_"


@dataclass(frozen=True, eq=False)
class Objects:
    """Columns (N,) of every object that can be labelled, in the order of scores.parquet.

    Attributes:
        ids: unique.
        split: number in *split_names*.
        index: row of the object in its split.
        files: split → the embedding's file.
        score: higher is odder; NaN where there is none.
        rank: 1 is the oddest of all that were scored.
        detectors: name → scores.
        measures: ``stability_*``, ``p_value`` and ``q_value``.
        table: the catalogue's columns by name.
        catalogue: its variables.
        kept: those that the flow was told.
    """

    ids: NDArray[np.int64]
    split: NDArray[np.int8]
    split_names: tuple[str, ...]
    index: NDArray[np.int64]
    files: Mapping[str, Path] = field(repr=False)
    score: NDArray[np.float64]
    rank: NDArray[np.int64]
    detectors: Mapping[str, Column] = field(repr=False)
    measures: Mapping[str, Column] = field(repr=False)
    table: Mapping[str, Column] = field(repr=False)
    catalogue: Catalogue = field(repr=False)
    kept: Catalogue = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def by_id(self) -> NDArray[np.int64]:
        """Rows in the order of their ids."""
        return np.argsort(self.ids, kind="stable")

    @functools.cached_property
    def _sorted_ids(self) -> NDArray[np.int64]:
        return self.ids[self.by_id]

    def row(self, id: int) -> int | None:
        """The row of an object, if it is one of these."""
        if not -(2**63) <= id < 2**63:
            return None
        place = int(np.searchsorted(self._sorted_ids, id))
        if place == len(self) or self._sorted_ids[place] != id:
            return None
        return int(self.by_id[place])

    def find(self, text: str, limit: int) -> list[int]:
        """Rows whose id begins with *text*; the one that is *text* comes first, then by id."""
        digits = self._id_texts
        matches = np.flatnonzero(np.char.startswith(digits, text.encode()))
        ordered = sorted(matches.tolist(), key=lambda i: (digits[i] != text.encode(), i))
        return [int(self.by_id[i]) for i in ordered[:limit]]

    @functools.cached_property
    def _id_texts(self) -> NDArray[np.bytes_]:
        return self._sorted_ids.astype("S")

    @functools.cached_property
    def prior(self) -> NDArray[np.float32]:
        """The rank among these by score, from 1 (oddest) down to 0: the first acquisition."""
        order = np.lexsort((self.rank, np.isnan(self.score)))
        prior = np.empty(len(self), np.float32)
        prior[order] = np.linspace(1, 0, len(self), dtype=np.float32)
        return prior

    def percentile(self, name: str, row: int) -> float | None:
        """Percentage of objects that a detector (or ``score``) finds less odd than this one."""
        values = self.score if name == "score" else self.detectors[name]
        if not np.isfinite(values[row]):
            return None
        ordered = self._ordered(name)
        return 100.0 * float(np.searchsorted(ordered, values[row])) / len(ordered)

    def _ordered(self, name: str) -> Column:
        if name not in self._orders:
            values = self.score if name == "score" else self.detectors[name]
            self._orders[name] = np.sort(values[np.isfinite(values)])
        return self._orders[name]

    @functools.cached_property
    def _orders(self) -> dict[str, Column]:
        return {}


def load_objects(
    embedding: Embedding, scores: Path, splits: Sequence[str] | None = None
) -> Objects:
    """The scored objects of an embedding.

    Args:
        scores: the scores.parquet made from it.
        splits: those to take; all that are scored by default.

    Raises:
        ProductError: a file is broken, or the two are not of the same objects.
        ConfigError: a split is not scored.
    """
    table = _read(scores)
    names = [str(name) for name in dict.fromkeys(table["split"].tolist())]
    chosen = [name for name in names if splits is None or name in splits]
    for name in splits or ():
        if name not in names:
            raise ConfigError(
                f"label.split: the split {name!r} is not scored in {scores}.{closest(name, names)} "
                f"Scored are {', '.join(names)}."
            )
    parts = {name: np.flatnonzero(table["split"] == name) for name in chosen}
    known = _catalogue_columns(embedding, parts, table["id"], scores)
    rows = np.concatenate(list(parts.values()))
    taken = {name: column[rows] for name, column in table.items()}
    if len(np.unique(taken["id"])) != len(rows):
        raise ProductError(f"{scores}: an id occurs twice; objects cannot be told apart.")
    others = [n for n in taken if n not in _GIVEN and not n.startswith(_STABILITY)]
    measures = [n for n in taken if n.startswith(_STABILITY) or n in ("p_value", "q_value")]
    codes = [np.full(len(part), i, np.int8) for i, part in enumerate(parts.values())]
    return Objects(
        ids=taken["id"],
        split=np.concatenate(codes),
        split_names=tuple(chosen),
        index=np.concatenate([np.arange(len(part)) for part in parts.values()]),
        files={name: embedding.files[name] for name in chosen},
        score=taken["score"].astype(np.float64),
        rank=taken["rank"],
        detectors={name: taken[name] for name in others},
        measures={name: taken[name] for name in measures},
        table=known,
        catalogue=embedding.catalogue,
        kept=embedding.kept,
    )


def _read(path: Path) -> dict[str, Column]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ProductError(f"{path}: cannot be read as Parquet ({error}).") from error
    missing = [name for name in ("id", "split", "score", "rank") if name not in table.column_names]
    if missing:
        raise ProductError(f"{path}: it has no column {', '.join(missing)}.")
    if not len(table):
        raise ProductError(f"{path}: it has no rows.")
    return {name: _plain(table.column(name)) for name in table.column_names}


def _plain(column: pa.ChunkedArray) -> Column:
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        first = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
        words = np.asarray(first.dictionary.to_pylist(), dtype=np.str_)
        found: Column = words[first.indices.to_numpy(zero_copy_only=False)]
        return found
    if pa.types.is_string(column.type):
        return np.asarray(column.to_pylist(), dtype=np.str_)
    return np.asarray(column.to_numpy())


def _catalogue_columns(
    embedding: Embedding,
    parts: Mapping[str, NDArray[np.int64]],
    ids: NDArray[np.int64],
    scores: Path,
) -> dict[str, Column]:
    """What is known of the objects, after their ids were seen to be those of the embedding."""
    names = [name for name in embedding.catalogue.names if name in embedding.columns]
    extra = [name for name in ("object", "view") if name in embedding.columns]
    found: list[dict[str, Column]] = []
    for split, rows in parts.items():
        path = embedding.files.get(split)
        if path is None:
            raise ProductError(f"{scores}: the {split} split of {embedding.name} is gone.")
        columns = read_rows(path, ["id", *extra, *names])
        if not np.array_equal(columns.pop("id"), ids[rows]):
            raise ProductError(
                f"{scores} was made from another embedding than {path}. Run python -m wwdc.detect "
                "again."
            )
        found.append(columns)
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}
