"""Published embeddings as later stages see them: checked files, a catalogue, rows of one space."""

__all__ = [
    "Embedding",
    "Fault",
    "choose_rows",
    "columns",
    "find_embeddings",
    "read_blocks",
    "read_rows",
    "spaces",
]

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue
from wwdc.embed.columns import read_about, read_catalogue
from wwdc.embed.jobs import folder_name
from wwdc.errors import DataError, ProductError
from wwdc.models.context import is_masked
from wwdc.products import Product, Tree, verified
from wwdc.tune.sweeps import Setting

# Shapes: N rows, D latents.

_MISSING = "it is not embedded yet"

VECTORS = ("u", "u_mean", "z", "z_mean")


@dataclass(frozen=True)
class Embedding:
    """The embeddings of one checkpoint, or of one drop set of it: a file a split.

    Attributes:
        name: of its folder.
        files: split → file, each as it was published.
        sha256: split → SHA-256 of the file.
        family: what its latents come from: embeddings of one family share z.
        catalogue: every variable known of the objects.
        dropped: names of the variables that the flow was not told.
    """

    name: str
    point_id: str
    config_id: str
    sweep: str | None
    seed: int | None
    files: Mapping[str, Path] = field(repr=False)
    sha256: Mapping[str, str] = field(repr=False)
    family: str = field(repr=False)
    catalogue: Catalogue = field(repr=False)
    dropped: tuple[str, ...]
    columns: tuple[str, ...] = field(repr=False)

    @property
    def kept(self) -> Catalogue:
        """What the flow was told."""
        return self.catalogue.keep(self.dropped)


@dataclass(frozen=True)
class Fault:
    """An embedding that cannot be used, and why: it is missing, or *broken*."""

    point_id: str
    config_id: str
    sweep: str | None
    seed: int | None
    path: Path
    reason: str
    broken: bool


def find_embeddings(
    tree: Tree, checkpoints: Mapping[str, Product], drops: Sequence[Setting]
) -> tuple[list[Embedding], list[Fault]]:
    """The embeddings of *checkpoints* that are whole, and what is wrong with the others.

    Each file is read once, to see that it is the one that was published.

    Args:
        tree: where they lie.
        checkpoints: point id → the checkpoint that counts.
        drops: the drop sets that a flow with condition_dropout serves.
    """
    found: list[Embedding] = []
    faults: list[Fault] = []
    by_folder: dict[Path, list[Product]] = {}
    for product in tree.embedded():
        by_folder.setdefault(product.path.parent, []).append(product)
    for checkpoint in sorted(checkpoints.values(), key=lambda p: (p.info.job_id, p.info.job_num)):
        masked = is_masked(checkpoint.info.config.get("lightning_loader", {}))
        for drop in drops if masked and drops else (None,):
            name = folder_name(checkpoint.info, drop)
            products = by_folder.get(tree.embeddings / name, [])
            try:
                if products:
                    found.append(_embedding(name, checkpoint, products))
                else:
                    raise _Unusable(tree.embeddings / name, _MISSING)
            except _Unusable as error:
                info = checkpoint.info
                sweep = drop.sweep if drop else info.sweep
                identity = (info.point_id, info.config_id, sweep, info.seed)
                broken = error.reason != _MISSING
                faults.append(Fault(*identity, error.path, error.reason, broken))
    return found, faults


def columns(names: Iterable[str]) -> list[str]:
    """The vector columns among *names*: latents, residuals and states along the flow."""
    return [name for name in names if name in VECTORS or name.startswith("u_t")]


def spaces(patterns: Sequence[str], embedding: Embedding) -> list[str]:
    """The spaces of an embedding that *patterns* such as ``u`` and ``u_t*`` name."""
    there = columns(embedding.columns)
    return [name for name in there if any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def choose_rows(objects: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    """At most *limit* rows, of as many objects as there are: one view of each, then a second …

    Args:
        objects: the object of every row, (N,).
        limit: rows wanted.
        seed: of which objects come first.

    Returns:
        Row numbers, ascending.
    """
    order = np.argsort(objects, kind="stable")
    first = np.r_[True, np.diff(objects[order]) != 0] if len(order) else np.empty(0, bool)
    starts = np.flatnonzero(first)
    lengths = np.diff(np.r_[starts, len(order)])
    view = np.arange(len(order)) - np.repeat(starts, lengths)
    rng = np.random.default_rng(np.random.SeedSequence((seed, len(starts))))
    key = np.repeat(rng.permutation(len(starts)), lengths)
    chosen = order[np.lexsort((key, view))[:limit]]
    return np.sort(chosen)


def read_rows(
    path: Path, names: Sequence[str], rows: NDArray[np.int64] | None = None
) -> dict[str, NDArray[Any]]:
    """Columns of an embedding, all of it or some ascending *rows*, one row group at a time.

    Returns:
        Numbers (N,), vectors (N, D) float32.

    Raises:
        ProductError: the file is no Parquet, or lacks a column.
    """
    parts = list(read_blocks(path, names, rows))
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def read_blocks(
    path: Path, names: Sequence[str], rows: NDArray[np.int64] | None = None
) -> Iterator[dict[str, NDArray[Any]]]:
    """What `read_rows` joins: columns of one row group after the other, in bounded memory.

    Raises:
        ProductError: the file is no Parquet, or lacks a column.
    """
    try:
        # Not iter_batches, which keeps what it has read until the end of the file.
        with pq.ParquetFile(path) as file:
            lacking = [name for name in names if name not in file.schema_arrow.names]
            if lacking:
                raise ProductError(f"{path}: it has no column {', '.join(lacking)}.")
            yield from _row_groups(file, names, rows)
    except (pa.ArrowException, OSError) as error:
        raise ProductError(f"{path}: cannot be read as Parquet ({error}).") from error


def _row_groups(
    file: pq.ParquetFile, names: Sequence[str], rows: NDArray[np.int64] | None
) -> Iterator[dict[str, NDArray[Any]]]:
    start = 0
    for index in range(file.num_row_groups):
        stop = start + file.metadata.row_group(index).num_rows
        wanted = None if rows is None else rows[(rows >= start) & (rows < stop)] - start
        if wanted is None or len(wanted) or index == 0:
            table = file.read_row_group(index, columns=list(names))
            part = {name: _array(table.column(name)) for name in names}
            yield part if wanted is None else {n: column[wanted] for n, column in part.items()}
        start = stop


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_fixed_size_list(column.type):
        flat = column.combine_chunks()
        values = flat.flatten() if isinstance(flat, pa.Array) else pa.concat_arrays(flat.chunks)
        return np.asarray(values, dtype=np.float32).reshape(-1, column.type.list_size)
    return np.asarray(column.to_numpy(zero_copy_only=False))


class _Unusable(Exception):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


def _embedding(name: str, checkpoint: Product, products: Sequence[Product]) -> Embedding:
    files: dict[str, Path] = {}
    for product in products:
        parents = product.info.parents
        if not any(parent.sha256 == checkpoint.info.sha256 for parent in parents.values()):
            reason = f"it is the embedding of another checkpoint than {checkpoint.path.name}"
            raise _Unusable(product.path, f"{reason}: embed again")
        try:
            files[product.path.stem] = verified(product).path
        except ProductError as error:
            raise _Unusable(product.path, str(error)) from error
    info = products[0].info
    schema = _schema(next(iter(files.values())))
    try:
        about, catalogue = read_about(schema), read_catalogue(schema)
    except (ProductError, DataError) as error:
        raise _Unusable(products[0].path, str(error)) from error
    return Embedding(
        name=name,
        point_id=info.point_id,
        config_id=info.config_id,
        sweep=info.sweep,
        seed=info.seed,
        files=files,
        sha256={path.stem: str(p.info.sha256) for p in products for path in (p.path,)},
        family=_family(info.parents, info.config),
        catalogue=catalogue,
        dropped=tuple(about.dropped),
        columns=tuple(schema.names),
    )


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _Unusable(path, f"it is not Parquet: {str(error).splitlines()[0]}") from error


def _family(parents: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Embeddings of the same VAE, data and draws have the same z."""
    vae, data = parents.get("vae"), parents.get("data")
    embed = config.get("embed") or {}
    parts = (vae and vae.sha256, data and data.fingerprint, embed.get("seed"))
    return "/".join(str(part) for part in parts)
