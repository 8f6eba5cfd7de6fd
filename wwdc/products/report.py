"""How products, problems and garbage look: a table for people, lines for pipes, or JSON."""

__all__ = ["human_size", "show_best", "show_garbage", "show_problems", "show_products"]

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from wwdc.products.best import objective
from wwdc.products.gc import Garbage
from wwdc.products.info import Info
from wwdc.products.tree import Product, Tree
from wwdc.products.verify import Problem
from wwdc.terminal import notice

_COLUMNS = ("job", "sweep", "seed", "status", "size", "finished")


def show_products(tree: Tree, *, as_json: bool) -> None:
    """Finished products, oldest first, then the points that failed and were not run again."""
    products = tree.products()
    finished = {product.info.point_id for product in products}
    failed = [info for info in tree.failed() if info.point_id not in finished]
    if as_json:
        rows = [_as_json(p.info, p.path) for p in products] + [_as_json(i, None) for i in failed]
        _write_json({"experiment": tree.name, "path": str(tree.path), "products": rows})
        return
    infos = [product.info for product in products] + failed
    if not infos:
        notice(f"{tree.path} has no products yet.")
        return
    metric, _ = objective(infos[0])
    header = (*_COLUMNS[:4], metric, *_COLUMNS[4:])
    _write_rows(header, [_row(info, metric) for info in infos])


def show_best(product: Product, exported: Sequence[Path] | None = None, *, as_json: bool) -> None:
    """Path and metric of the best checkpoint, and the files it was *exported* to."""
    metric, _ = objective(product.info)
    value = product.info.metrics[metric]
    if as_json:
        document = {**_as_json(product.info, product.path), "metric": metric, "value": value}
        if exported is not None:
            document["exported"] = [str(path) for path in exported]
        _write_json(document)
        return
    sys.stdout.write(f"{product.path}\t{metric}={value:.6g}\n")
    for path in exported or ():
        sys.stdout.write(f"exported\t{path}\n")


def show_problems(tree: Tree, problems: Sequence[Problem], *, as_json: bool) -> None:
    """What is broken first, then what is only worth knowing; one line when there is nothing."""
    broken = sum(problem.broken for problem in problems)
    count = sum(1 for _ in tree.info_files())
    if as_json:
        rows = [{"path": str(p.path), "broken": p.broken, "message": p.message} for p in problems]
        document = {"experiment": tree.name, "products": count, "broken": broken}
        _write_json({**document, "problems": rows})
        return
    rank = sorted(problems, key=lambda problem: not problem.broken)
    if rank:
        lines = [("broken" if p.broken else "note", _short(tree, p.path), p.message) for p in rank]
        _write_rows(("", "file", "what"), lines)
    verdict = f"{broken} broken" if broken else "all good"
    sys.stdout.write(f"{tree.name}: {count} product{'s' * (count != 1)}, {verdict}\n")


def show_garbage(tree: Tree, garbage: Sequence[Garbage], *, deleted: bool, as_json: bool) -> None:
    """What can go, or went, and how much space that is."""
    total = sum(item.bytes for item in garbage)
    if as_json:
        rows = [{"path": str(g.path), "bytes": g.bytes, "reason": g.reason} for g in garbage]
        document = {"experiment": tree.name, "deleted": deleted, "bytes": total}
        _write_json({**document, "garbage": rows})
        return
    if garbage:
        lines = [(_short(tree, g.path), human_size(g.bytes), g.reason) for g in garbage]
        _write_rows(("file", "size", "why"), lines)
    verb = "removed" if deleted else "to remove"
    hint = "" if deleted or not garbage else "; add --delete to do it"
    sys.stdout.write(f"{tree.name}: {len(garbage)} {verb}, {human_size(total)}{hint}\n")


def human_size(count: int) -> str:
    """Bytes for people.

    >>> human_size(512), human_size(1536), human_size(3 * 2**30)
    ('512 B', '1.5 kB', '3.0 GB')
    """
    if count < 1024:
        return f"{count} B"
    power = min(int(math.log(count, 1024)), 4)
    return f"{count / 1024**power:.1f} {'kMGT'[power - 1]}B"


def _row(info: Info, metric: str) -> tuple[str, ...]:
    value = info.metrics.get(metric)
    return (
        info.job,
        info.sweep or info.val or "",
        "" if info.seed is None else str(info.seed),
        info.status,
        "" if value is None else f"{value:.6g}",
        "" if info.bytes is None else human_size(info.bytes),
        info.finished[:19].replace("T", " "),
    )


def _as_json(info: Info, path: Path | None) -> dict[str, Any]:
    row = info.model_dump(by_alias=True, exclude={"config", "lineage", "traceback"})
    return {"path": None if path is None else str(path), **row}


def _write_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, tab-separated lines elsewhere."""
    if not sys.stdout.isatty():
        for row in (header, *rows):
            sys.stdout.write("\t".join(cell.replace("\n", " ") for cell in row) + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in header:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)


def _write_json(document: dict[str, Any]) -> None:
    json.dump(_finite(document), sys.stdout, indent=2, default=str, allow_nan=False)
    sys.stdout.write("\n")


def _finite(value: object) -> object:
    """JSON knows no NaN and no infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(tree: Tree, path: Path) -> str:
    return str(path.relative_to(tree.path)) if path.is_relative_to(tree.path) else str(path)
