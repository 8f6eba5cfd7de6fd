"""What vectors there are: where they lie, how many, of which length, with which values."""

__all__ = ["Place", "SeenVectors", "find_vectors", "look_at_vectors", "without_vectors"]

import fnmatch
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwdc.data.examples import examples
from wwdc.data.hashes import Hashes
from wwdc.data.image_arrays import ARRAY_ENDINGS, ImageArray
from wwdc.data.tabled_vectors import holds_vectors, read_vectors
from wwdc.data.tables import Table
from wwdc.errors import ConfigError, closest

# Shapes: N vectors of D numbers.

_PARQUET = (".parquet", ".pq")
_NUMBERED = 8
"""Columns of one name and a number that are likely to be a vector's components."""


@dataclass(frozen=True)
class Place:
    """Where vectors lie.

    Attributes:
        path: of a Parquet file, or an array.
        column: of the Parquet file; may hold ``*``.
        key: of the array, where it had to be named.
    """

    path: Path
    column: str | None = None
    key: str | None = None


@dataclass(frozen=True, eq=False)
class SeenVectors:
    """What was found in all of the vectors.

    Attributes:
        place: where.
        names: ids, (N,); None where the file does not say.
        values: (N, D).
        bad: which hold NaN or infinite numbers, (N,).
    """

    place: Place
    names: NDArray[np.str_] | None = field(repr=False)
    values: NDArray[np.float32] = field(repr=False)
    bad: NDArray[np.bool_] = field(repr=False)

    @property
    def path(self) -> Path:
        """Of the file."""
        return self.place.path

    @property
    def count(self) -> int:
        """N."""
        return len(self.values)

    @property
    def length(self) -> int:
        """D."""
        return int(self.values.shape[1])


def find_vectors(images: Path | None, catalogue: Path, given: str | None) -> Place | None:
    """Where the vectors are; None where *images* are images.

    Args:
        images: an array of two axes holds vectors; None: they are a column of the catalogue.
        given: the column, or the array's name; None: it is found.

    Raises:
        ConfigError: there are none, or several; those to choose from are listed.
    """
    if images is None:
        return _in_table(catalogue, given)
    if images.name.lower().endswith(_PARQUET):
        raise ConfigError(
            f"--images: {images} is a table. Add the columns of --catalogue to it and give it as "
            "--catalogue, without --images."
        )
    if images.exists() and images.name.lower().endswith(ARRAY_ENDINGS):
        return _in_array(images, given)
    if given is not None:
        raise ConfigError(f"--vectors: {images} is no array and no table.")
    return None


def look_at_vectors(place: Place) -> SeenVectors:
    """Read the vectors.

    Raises:
        ConfigError: they have one component, which is no vector.
        DataError: they cannot be read.
    """
    is_table = place.column is not None
    file = place.path if is_table else _array(place.path, place.key)
    values = read_vectors(file, place.column)
    if values.shape[1] < 2:
        raise ConfigError(f"{place.path}: a vector has 2 components at least; these have 1.")
    names = None if isinstance(file, Path) else file.names
    bad = np.asarray(~np.isfinite(values).all(axis=1))
    return SeenVectors(place, names, values, bad)


def without_vectors(table: Table, place: Place) -> Table:
    """The table without the columns that are components of vectors."""
    gone = fnmatch.filter(map(str, table.frame.columns), place.column or "")
    return Table(table.path, table.frame.drop(columns=gone), table.units)


def _array(path: Path, key: str | None = None) -> ImageArray:
    return ImageArray(path, key, Hashes(path.parent), axes=2)  # nothing is hashed here


def _in_array(path: Path, given: str | None) -> Place | None:
    shapes = _array(path).shapes
    flat = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    if given is not None:
        if given not in flat:
            raise ConfigError(
                f"--vectors: {path} has no array {given!r} of two axes.{closest(given, flat)} "
                f"Its arrays: {_listed(shapes)}."
            )
        return Place(path, key=given)
    if not flat or any(len(shape) > 2 for shape in shapes.values()):
        return None
    if len(flat) > 1:
        raise ConfigError(
            f"{path}: {len(flat)} arrays may hold the vectors: {_listed(flat)}. Name one with "
            "--vectors."
        )
    return Place(path)


def _in_table(path: Path, given: str | None) -> Place:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise ConfigError(f"--catalogue: {path}: no such file.")
    if not path.name.lower().endswith(_PARQUET):
        raise ConfigError(
            f"{path}: give images, or an array of vectors, with --images. Without it, the table is "
            "a Parquet file with a column of vectors."
        )
    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not Parquet: {str(error).splitlines()[0]}") from error
    if given is not None:
        if not (fnmatch.filter(schema.names, given) if "*" in given else given in schema.names):
            raise ConfigError(
                f"--vectors: {path} has no column {given!r}.{closest(given, schema.names)} "
                f"It has {examples(schema.names)}."
            )
        return Place(path, given)
    found = [field.name for field in schema if holds_vectors(field.type)]
    if not found:
        raise ConfigError(
            f"{path}: no column holds lists of numbers. Give images, or an array of vectors, with "
            "--images, or name the columns of the components: "
            f"--vectors '{_pattern(schema.names)}'."
        )
    if len(found) > 1:
        first = next(file.iter_batches(batch_size=1, columns=found)).to_pylist()[0]
        lengths = [f"{name} ({len(first[name] or ())} numbers)" for name in found]
        raise ConfigError(
            f"{path}: {len(found)} columns hold lists of numbers: {examples(lengths)}. Name the "
            "vectors with --vectors."
        )
    return Place(path, found[0])


def _pattern(names: list[str]) -> str:
    """The commonest name that is followed by numbers, with ``*`` for these."""
    stems = Counter(match[1] for name in names if (match := re.fullmatch(r"(\D+)\d+", name)))
    stem, count = next(iter(stems.most_common(1)), ("e", 0))
    return f"{stem}*" if count >= _NUMBERED else "e*"


def _listed(shapes: dict[str, Any]) -> str:
    return examples(f"{name} {' × '.join(map(str, shape))}" for name, shape in shapes.items())
