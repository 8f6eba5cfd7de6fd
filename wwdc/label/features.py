"""What a strategy sees of the objects: columns of the embedding, read where they are needed."""

__all__ = ["Features", "features_of", "project", "read_features", "read_pool"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue
from wwdc.detect.features import columns_of
from wwdc.embed.published import Embedding, read_blocks
from wwdc.errors import ConfigError, DataError
from wwdc.label.objects import Objects

if TYPE_CHECKING:
    from wwdc.discovery.pool import Pool

# Shapes: N objects, D features, S detectors.


@dataclass(frozen=True)
class Features:
    """Where the features of the objects are. Plain data, picklable.

    Attributes:
        files: of each split, in the order of the objects.
        names: columns of the files; variables of the catalogue are encoded as it says.
        scores: the scores.parquet of the detectors.
        detectors: its columns that a strategy sees as well.
        splits: rows of scores.parquet that count.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    catalogue: Catalogue = field(repr=False)
    scores: Path
    detectors: tuple[str, ...]
    splits: tuple[str, ...]


def features_of(
    objects: Objects, embedding: Embedding, names: Sequence[str], scores: Path
) -> Features:
    """The columns that *names*, which may be patterns such as ``u_t*``, stand for.

    Raises:
        ConfigError: one stands for none.
    """
    try:
        found = columns_of(names, embedding)
    except DataError as error:
        raise ConfigError(f"label.columns: {error}") from None
    return Features(
        files=tuple(objects.files[name] for name in objects.split_names),
        names=tuple(found),
        catalogue=embedding.catalogue,
        scores=scores,
        detectors=tuple(objects.detectors),
        splits=objects.split_names,
    )


def read_features(features: Features) -> NDArray[np.float32]:
    """All features (N, D). Values that are not finite are 0."""
    return np.concatenate(list(_blocks(features)))


def read_pool(features: Features, seed: int) -> "Pool":
    """What a strategy chooses from. Objects without a finite score come last in the prior."""
    from wwdc.discovery.pool import make_pool

    table = pq.read_table(features.scores, columns=["split", "score", *features.detectors])
    table = table.filter(
        pc.is_in(table["split"].cast(pa.string()), value_set=pa.array(features.splits))
    )
    columns = [_filled(table[name]) for name in ("score", *features.detectors)]
    return make_pool(read_features(features), np.column_stack(columns), columns[0], seed)


def project(features: Features) -> NDArray[np.float32]:
    """The objects on the first two principal components of the standardised features: (N, 2).

    Two passes over the files: nothing but the result is kept.
    """
    sums = [(len(x), x.sum(axis=0), x.T @ x) for x in _doubles(features)]
    count = sum(n for n, _, _ in sums)
    mean = np.sum([total for _, total, _ in sums], axis=0) / count
    covariance = np.sum([square for _, _, square in sums], axis=0) / count - np.outer(mean, mean)
    sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    scale = np.where(sd > 1e-6 * (1.0 + np.abs(mean)), sd, np.inf)  # a constant column says nothing
    _, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    axes = vectors[:, ::-1][:, :2]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    axes = axes * np.sign(largest)  # eigenvectors have no sign of their own
    parts = [(((x - mean) / scale) @ axes).astype(np.float32) for x in _doubles(features)]
    found = np.concatenate(parts)
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def _doubles(features: Features) -> Iterator[NDArray[np.float64]]:
    return (block.astype(np.float64) for block in _blocks(features))


def _blocks(features: Features) -> Iterator[NDArray[np.float32]]:
    """Features (n, D), some rows at a time."""
    known = {variable.name: variable for variable in features.catalogue}
    for path in features.files:
        for columns in read_blocks(path, features.names):
            parts = [
                known[name].encode(values) if name in known else values
                for name, values in columns.items()
            ]
            block = np.hstack([part.reshape(len(part), -1) for part in parts]).astype(np.float32)
            yield np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _filled(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column whose gaps are its lowest value: what has no score is not odd."""
    values = np.asarray(column.to_numpy(), np.float64)
    finite = np.isfinite(values)
    lowest = values[finite].min() if finite.any() else 0.0
    return np.where(finite, values, lowest)
