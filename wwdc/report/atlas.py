"""Maps as files that embedding-atlas, DuckDB and pandas open."""

__all__ = ["write_map"]

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wwdc.products import atomic_write
from wwdc.report.drawn import Lacking
from wwdc.report.projections import pca
from wwdc.report.shown import Shown
from wwdc.report.tables import Tables


def write_map(tables: Tables, shown: Shown, folder: Path) -> Path:
    """Write ``{embedding}.parquet``: a row an example: place, catalogue, scores, label.

    Columns are ``id``, ``x`` and ``y`` (the first two principal components of u, or of z where
    there is no flow), the catalogue's, and of objects that were scored ``score``, ``rank``, one a
    detector, and ``label``. Rows are at most ``figures.rows``, chosen by ``figures.seed``.

    Raises:
        Lacking: the point is not embedded.
        ProductError: the file cannot be written.
    """
    space = "u" if shown.job.kind == "flow" else "z"
    catalogue = tables.catalogue(shown)
    columns = tables.columns(shown, ["id", space, *catalogue.names])
    places = pca(columns[space], tables.seed).astype(np.float32)
    table = {"id": columns["id"], "x": places[:, 0], "y": places[:, 1]}
    table |= {name: columns[name] for name in catalogue.names}
    arrow = pa.table({name: pa.array(values) for name, values in table.items()})
    for name, values in _scores(tables, shown, columns["id"]).items():
        arrow = arrow.append_column(name, values)
    stream = io.BytesIO()
    pq.write_table(arrow, stream)
    path = folder / f"{shown.name}.parquet"
    atomic_write(path, stream.getvalue())
    return path


def _scores(tables: Tables, shown: Shown, ids: NDArray[np.int64]) -> dict[str, pa.Array]:
    """Columns of the objects *ids* (N,), null where an object was not scored or labelled."""
    try:
        findings = tables.findings
    except Lacking:
        return {}
    found: dict[str, pa.Array] = {}
    if findings.embedding == shown.name:
        names = ["score", "rank", *findings.detectors]
        rows = findings.table.set_index("id")[names].reindex(ids)
        found = {name: pa.Array.from_pandas(rows[name]) for name in names}
    labels = [findings.label(int(i)) or None for i in ids]
    return {**found, "label": pa.array(labels, pa.string())} if any(labels) else found
