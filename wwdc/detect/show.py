"""What the terminal says of scores: a line an embedding."""

__all__ = ["document", "show_products"]

from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from wwdc.detect.plan import Scoring
from wwdc.products import Product

TOP = 5


def document(
    scorings: Sequence[Scoring], products: Sequence[Product], failures: Sequence[Any]
) -> list[dict[str, Any]]:
    """What ``--json`` prints of every embedding."""
    found = {product.path: product for product in products}
    reasons = {failure.name: failure.reason for failure in failures}
    rows = []
    for scoring in scorings:
        product = found.get(scoring.path)
        row: dict[str, Any] = {"embedding": scoring.name, "sweep": scoring.embedding.sweep}
        row["seed"] = scoring.embedding.seed
        if product is None:
            rows.append({**row, "status": "failed", "reason": reasons.get(scoring.name, "")})
            continue
        about = product.info.config
        row |= {"status": "done", "path": str(product.path), "rows": about["rows"]}
        row |= {"detectors": list(about["detectors"]), "left_out": about["left_out"]}
        row |= {"not_scored": about["not_scored"], "significant": about["significant"]}
        rows.append({**row, "top": _top(product)})
    return rows


def show_products(rows: Sequence[dict[str, Any]], screen: Console) -> None:
    """Print rows, detectors, what was left out, how many are significant, and the oddest ids."""
    if screen.is_terminal:
        screen.print(_table(rows))
    for row in rows:
        if row["status"] != "done":
            _say(screen, f"failed: {row['embedding']}: {row['reason']}")
            continue
        if not screen.is_terminal:
            ids = ", ".join(map(str, row["top"]))
            counts = f"{row['rows']} rows, {len(row['detectors'])} detectors"
            _say(screen, f"{row['embedding']}: {counts}, {row['significant']} significant: {ids}")
        for name, reason in row["left_out"].items():
            _say(screen, f"left out: {row['embedding']}: {name}: {reason}")
        if row["not_scored"]:
            count = row["not_scored"]
            _say(screen, f"not scored: {row['embedding']}: {count} rows with NaN or infinity")


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE, title="The oddest objects", title_justify="left")
    for name in ("embedding", "sweep", "seed", "rows", "detectors", "significant", "oddest ids"):
        table.add_column(name, overflow="fold")
    for row in rows:
        if row["status"] == "done":
            table.add_row(
                row["embedding"],
                row["sweep"] or "–",
                "" if row["seed"] is None else str(row["seed"]),
                str(row["rows"]),
                ", ".join(row["detectors"]),
                str(row["significant"]),
                ", ".join(map(str, row["top"])),
            )
    return table


def _top(product: Product) -> list[int]:
    found = pq.read_table(product.path, columns=["id", "rank"], filters=[("rank", "<=", TOP)])
    pairs = sorted(zip(found["rank"].to_pylist(), found["id"].to_pylist(), strict=True))
    return [number for _, number in pairs]


def _say(screen: Console, text: str) -> None:
    screen.print(text, markup=False, soft_wrap=True)
