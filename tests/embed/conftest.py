"""What tests of embeddings share."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from wwdc.products import Tree


def stacked(path: Path, name: str) -> np.ndarray:
    """A column of vectors as (N, D), another as (N,)."""
    column = pq.read_table(path, columns=[name])[name].combine_chunks()
    values = column.flatten() if hasattr(column.type, "list_size") else column
    return values.to_numpy().reshape(len(column), -1).squeeze()


def contents(tree: Tree) -> dict[str, bytes]:
    """Every embedding's bytes by its place."""
    return {str(p.path.relative_to(tree.embeddings)): p.path.read_bytes() for p in tree.embedded()}
