"""Why an object is called odd: which detectors say so, and which known columns are unusual."""

__all__ = ["reasons"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wwdc.data.catalogue import Catalogue
from wwdc.report.findings import Findings

_SAYS_SO = 0.99
"""Share of objects that a detector must find less odd, to count as a reason."""

_TAIL = 0.01
"""Share at each end of a variable's range that is unusual."""


def reasons(
    findings: Findings,
    table: Mapping[str, NDArray[Any]],
    catalogue: Catalogue,
    split: str,
    count: int,
) -> pd.DataFrame:
    """The *count* oddest objects of *split*, or of all splits where none of it was scored.

    Columns are ``rank id split score p_value q_value detectors odd_columns label row``: *row* is
    the object's place in *table*, −1 where it is of another split.

    Args:
        table: the catalogue of *split*, columns (N,).
    """
    scored = findings.table
    own = scored[scored["split"].astype(str) == split]
    top = (own if len(own) else scored).nsmallest(count, "rank")
    places = {int(i): row for row, i in enumerate(table["id"])}
    shares = {n: scored[n].rank(pct=True) for n in findings.detectors}
    rows = []
    for place, index in enumerate(top.index):
        found = top.iloc[place]
        row = places.get(int(found["id"]), -1)
        high = sorted(
            (n for n in shares if shares[n][index] >= _SAYS_SO), key=lambda n: -shares[n][index]
        )
        rows.append(
            {
                "rank": int(found["rank"]),
                "id": int(found["id"]),
                "split": str(found["split"]),
                "score": float(found["score"]),
                "p_value": float(found.get("p_value", np.nan)),
                "q_value": float(found.get("q_value", np.nan)),
                "detectors": ", ".join(high),
                "odd_columns": "; ".join(_odd(table, catalogue, row)) if row >= 0 else "",
                "label": findings.label(int(found["id"])),
                "row": row,
            }
        )
    return pd.DataFrame(rows)


def _odd(table: Mapping[str, NDArray[Any]], catalogue: Catalogue, row: int) -> list[str]:
    """Continuous variables in which the object lies in a tail, the most extreme first."""
    found = []
    for variable in catalogue:
        column = table.get(variable.name)
        if variable.kind != "continuous" or column is None or not np.isfinite(column[row]):
            continue
        share = float(np.mean(column <= column[row]))
        side = min(share, 1 - share)
        if side <= _TAIL:
            word = "low" if share < 0.5 else "high"
            unit = f" {variable.units}" if variable.units else ""
            found.append((side, f"{variable.name} {column[row]:.3g}{unit} {word}"))
    return [text for _, text in sorted(found)]
