"""The parts of an embedding: written whole, kept over a kill, joined to one file in the end."""

__all__ = ["Parts", "write_part"]

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from wwdc.embed.columns import read_about, read_catalogue
from wwdc.errors import ProductError
from wwdc.products.atomic import beside, sync_directory


class Parts:
    """The parts of one embedding in the folder of its work in progress.

    Args:
        folder: of the job; it may hold parts of other contents, which are of no use.
        contents: names what these parts hold.
        shards: how many there are.
    """

    def __init__(self, folder: Path, contents: str, shards: int) -> None:
        self.folder = folder
        self.path = folder / f"parts-{contents}"
        self.shards = shards

    def missing(self) -> list[int]:
        """The shards that are left to do."""
        with contextlib.suppress(FileNotFoundError):
            there = {path.name for path in self.path.iterdir()}
            return [n for n in range(self.shards) if _name(n) not in there]
        return list(range(self.shards))

    def drop_others(self) -> None:
        """Remove parts of other contents, and what a killed process was writing."""
        for path in self.folder.glob("parts-*"):
            if path != self.path:
                shutil.rmtree(path, ignore_errors=True)
        for path in [*self.folder.glob(".*.tmp"), *self.path.glob(".*.tmp")]:
            path.unlink(missing_ok=True)

    def join(self, target: Path) -> int:
        """Write all parts to the Parquet file *target*, a row group each; the number of rows.

        Raises:
            ProductError: a part is missing or broken, or the disk is full. The broken part is
                removed, and done again next time.
        """
        rows = 0
        writer: pq.ParquetWriter | None = None
        with beside(target) as temporary:
            try:
                for number in range(self.shards):
                    table = self._read(number)
                    if writer is None:
                        writer = pq.ParquetWriter(temporary, table.schema, **_options(table.schema))
                    writer.write_table(table, row_group_size=max(len(table), 1))
                    rows += len(table)
            finally:
                if writer is not None:
                    writer.close()
            temporary.replace(target)
            sync_directory(target.parent)
        return rows

    def _read(self, number: int) -> pa.Table:
        path = self.path / _name(number)
        try:
            with pa.OSFile(str(path)) as source:
                return pyarrow.ipc.open_file(source).read_all()
        except (pa.ArrowException, OSError) as error:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            raise ProductError(
                f"{path}: a part that does not read back ({error}). The same command makes it anew."
            ) from error


def write_part(path: Path, number: int, table: pa.Table) -> None:
    """Put a shard's rows into the folder of parts *path*, whole or not at all.

    Raises:
        ProductError: the folder cannot be written, or the disk is full.
    """
    target = path / _name(number)
    with beside(target) as temporary:
        with temporary.open("xb") as file:
            with pyarrow.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_directory(path)


def _name(number: int) -> str:
    return f"{number:06d}.arrow"


def _options(schema: pa.Schema) -> dict[str, Any]:
    """Catalogue columns are compressed; vectors are noise, which nothing makes smaller."""
    known = _compressible(schema)
    return {
        "compression": {
            _leaf(field): "zstd" if field.name in known else "none" for field in schema
        },
        "use_dictionary": known,
        "write_statistics": known,
    }


def _compressible(schema: pa.Schema) -> list[str]:
    read_about(schema)
    names = [*read_catalogue(schema).names]
    return [f.name for f in schema if f.name in names or pa.types.is_integer(f.type)]


def _leaf(field: pa.Field) -> str:
    """A column's path as Parquet calls it."""
    return f"{field.name}.list.element" if pa.types.is_fixed_size_list(field.type) else field.name
