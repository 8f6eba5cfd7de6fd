"""The oddest objects of an embedding as small tables that any program opens."""

__all__ = ["EXPORTS", "write_shortlist"]

import importlib.util
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wwdc.data.catalogue import Catalogue
from wwdc.detect.plan import Scoring
from wwdc.embed.published import Embedding, read_rows
from wwdc.products import atomic_write

EXPORTS = ("shortlist.csv", "shortlist.parquet")
"""Beside scores.parquet; ``shortlist.fits`` too where astropy is installed."""

FITS = "shortlist.fits"


def write_shortlist(scoring: Scoring) -> None:
    """Write the oddest rows with what is known of them: scores, p-values, catalogue.

    ``significant`` marks those with q ≤ ``shortlist.fdr``. Units of catalogue columns are in the
    metadata of the Parquet file's columns and in the FITS table's.

    Raises:
        ProductError: the disk is full.
    """
    settings = scoring.detection.shortlist
    best = pq.read_table(scoring.path, filters=[("rank", "<=", settings.size)]).to_pandas()
    best = best.sort_values("rank", ignore_index=True)
    front = ["rank", "id", "split"]
    best = best[front + [name for name in best.columns if name not in front]]
    best.insert(best.columns.get_loc("q_value") + 1, "significant", best["q_value"] <= settings.fdr)
    known = _catalogue(best, scoring.embedding)
    for text in ("split", "role"):
        best[text] = best[text].astype(str)
    table = best.join(known)
    folder = scoring.path.parent
    catalogue = scoring.embedding.catalogue
    atomic_write(folder / EXPORTS[0], table.to_csv(index=False))
    atomic_write(folder / EXPORTS[1], _parquet(table, catalogue))
    if importlib.util.find_spec("astropy"):
        atomic_write(folder / FITS, _fits(table, catalogue))


def _catalogue(best: pd.DataFrame, embedding: Embedding) -> pd.DataFrame:
    """Object, view and variables of the rows in *best*, in their order."""
    names = [n for n in ("object", "view", *embedding.catalogue.names) if n in embedding.columns]
    parts = []
    for split, group in best.groupby("split", observed=True):
        path = embedding.files[str(split)]
        ids = read_rows(path, ["id"])["id"]
        order = np.argsort(ids, kind="stable")
        rows = order[np.searchsorted(ids, group["id"].to_numpy(), sorter=order)]
        ascending = np.sort(rows)
        found = read_rows(path, names, ascending)
        back = np.searchsorted(ascending, rows)
        columns = {name: column[back] for name, column in found.items()}
        parts.append(pd.DataFrame(columns, index=group.index))
    return pd.concat(parts).sort_index() if parts else pd.DataFrame(columns=names)


def _parquet(table: pd.DataFrame, catalogue: Catalogue) -> bytes:
    known = {variable.name: variable for variable in catalogue}
    found = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    fields = [
        field.with_metadata(known[field.name].metadata()) if field.name in known else field
        for field in found.schema
    ]
    buffer = io.BytesIO()
    pq.write_table(found.cast(pa.schema(fields)), buffer)
    return buffer.getvalue()


def _fits(table: pd.DataFrame, catalogue: Catalogue) -> bytes:
    from astropy.io import fits
    from astropy.table import Table

    units = {v.name: v.units for v in catalogue if v.units and v.name in table.columns}
    found = Table.from_pandas(table)
    hdu = fits.table_to_hdu(found)
    for name, unit in units.items():
        hdu.columns[name].unit = unit
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    return buffer.getvalue()
