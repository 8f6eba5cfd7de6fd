"""The sections of a report that are text and tables: what was asked, configurations, products."""

__all__ = ["asked", "configuration_table", "gallery_table", "products_table", "summary_cards"]

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from wwdc.errors import ProductError
from wwdc.products import Product
from wwdc.products.info import Info
from wwdc.products.report import human_size
from wwdc.report.drawn import Lacking
from wwdc.report.names import configuration_names
from wwdc.report.page import Card, Tone, cards, escape, table
from wwdc.report.tables import Tables
from wwdc.tune.points import short

MOST_ROWS = 30
_METRICS = 6
_COUNTED = ("best_epoch", "epochs")


def asked(tables: Tables) -> str:
    """What the experiment is, its sweeps in words, and with what it was made."""
    meta = tables.staged.composed.meta
    parts = [f"<p>{escape(meta.description)}</p>" if meta.description else ""]
    parts.append(cards(summary_cards(tables)))
    parts.append(table(("sweep", "in words", "what is set", "points"), _sweeps(tables), (3,)))
    parts.append(table(("made with", ""), _circumstances(tables)))
    return "".join(parts)


def summary_cards(tables: Tables) -> list[Card]:
    """What the experiment came to, in a few figures."""
    plan = tables.plan
    done = plan.counts["done"] + plan.counts["stopped"]
    left = len(plan.points) + plan.open - done
    failed = plan.counts["failed"]
    tone: Tone = "bad" if failed else ("good" if not left else "")
    found = [Card(f"{done} of {len(plan.points) + plan.open}", "points finished", tone)]
    metrics, modes = tables.objectives
    means = tables.configurations
    if metrics[0] in means and means[metrics[0]].notna().any():
        order = means.sort_values(metrics[0], ascending=modes[0] == "min")
        name = configuration_names(means, tables.points.attrs["overrides"])[order.index[0]]
        best = order.iloc[0]
        found.append(Card(_interval(best, metrics[0]), f"best {metrics[0]}: {name}"))
    try:
        found += _verdict_cards(tables.summary)
    except Lacking:
        found.append(Card("–", "nothing has been tested for leaks yet"))
    try:
        table = tables.findings.table
    except (Lacking, ProductError):
        return found
    sure = int((table["q_value"] <= 0.1).sum()) if "q_value" in table else 0
    found.append(Card(str(sure), f"of {len(table):,} objects odd at q ≤ 0.1"))
    return found


def _verdict_cards(summary: pd.DataFrame) -> list[Card]:
    """Of u, which verdicts rest on; of a VAE's z."""
    tone: Tone
    space = "u" if "u" in set(summary["space"]) else "z"
    summary = summary[summary["space"] == space]
    told = summary[summary["conditioned"].fillna(False).astype(bool)]
    kept = summary[~summary["conditioned"].fillna(True).astype(bool)]
    removed, leaks = (told["verdict"] == "removed").sum(), (told["verdict"] == "leaks").sum()
    found = []
    if len(told):
        tone = "bad" if leaks else ("good" if removed == len(told) else "")
        text = f"told variables surely removed{f', {leaks} leak' if leaks else ', none leaks'}"
        found.append(Card(f"{removed} of {len(told)}", text, tone))
    if len(kept):
        present = int((kept["verdict"] == "present").sum())
        tone = "good" if present == len(kept) else ""
        text = "variables not told, surely still present"
        found.append(Card(f"{present} of {len(kept)}", text, tone))
    return found


def _sweeps(tables: Tables) -> list[tuple[Any, ...]]:
    plan = tables.plan
    drops = plan.axes.drops if plan.axes else ()
    rows: list[tuple[Any, ...]] = []
    for drop in drops:
        rows.append(
            (
                drop.sweep or "–",
                drop.description,
                f"{drop.key} = {short(drop.value)}",
                "each, when embedding",
            )
        )
    names = dict.fromkeys(point.sweep for point in plan.points)
    for name in names:
        own = [point for point in plan.points if point.sweep == name]
        first = own[0]
        done = sum(point.status in ("done", "stopped") for point in own)
        told = f"{first.param} = {short(first.value)}" if first.param else _varied(tables)
        rows.append((name or "all", first.description, told, f"{done} of {len(own)}"))
    return rows


def _varied(tables: Tables) -> str:
    axes = tables.plan.axes
    if axes is None:
        return ""
    listed = [axis.key for axis in axes.listed] + [f"{a.key} ∈ {a.text}" for a in axes.searched]
    return "; ".join(listed)


def _circumstances(tables: Tables) -> list[tuple[Any, ...]]:
    """Who, when, on what, with which version, data and seeds."""
    meta = tables.staged.composed.meta
    infos = [product.info for product in tables.finished]
    axes = tables.plan.axes
    seeds = [str(seed.value) for seed in axes.seeds] if axes and axes.seeds else []
    rows: list[tuple[Any, ...]] = [("experiment", tables.tree.name)]
    if meta.authors:
        rows.append(("authors", ", ".join(meta.authors)))
    rows.append(("seeds", ", ".join(seeds) or "the configuration's own"))
    config = tables.staged.training.resolve()
    data, loader = config["data"]["x_ds"], config["lightning_loader"]
    rows.append(("data", str(data.get("_target_", "")).rpartition(".")[2]))
    if "vae" in loader and loader["vae"] is None:
        rows.append(("VAE", "none: the data are vectors, and z is the vector"))
    if not infos:
        return rows
    fingerprints = {p.fingerprint for info in infos for n, p in info.parents.items() if n == "data"}
    rows.append(("data fingerprint", ", ".join(sorted(f for f in fingerprints if f))))
    vaes = {p.sha256 for info in infos for n, p in info.parents.items() if n == "vae" and p.sha256}
    if vaes:
        rows.append(("VAE", (", ".join(v[:12] for v in sorted(vaes)), ", ".join(sorted(vaes)))))
    rows.append(("wwdc", ", ".join(sorted({_version(info) for info in infos}))))
    rows.append(("machines", ", ".join(sorted({f"{i.host}, {i.device}" for i in infos}))))
    rows.append(
        (
            "trained",
            f"{min(i.created for i in infos)[:16].replace('T', ' ')} to "
            f"{max(i.finished for i in infos)[:16].replace('T', ' ')} UTC",
        )
    )
    return rows


def _version(info: Info) -> str:
    git = info.git or {}
    commit = str(git.get("commit", ""))[:10]
    edited = ", edited" if git.get("dirty") else ""
    return f"{info.wwdc_version}{f' (commit {commit}{edited})' if commit else ''}"


def configuration_table(tables: Tables) -> str:
    """Metrics of each configuration, mean ± 95 % interval over seeds, the best first."""
    metrics, modes = tables.objectives
    means = tables.configurations
    known = [n for n in means.attrs["metrics"] if n not in _COUNTED and means[n].notna().any()]
    wanted = [n for n in metrics if n in known]
    wanted += [n for n in known if n.startswith("test_") and n not in wanted]
    wanted = [*wanted, *(n for n in _COUNTED if n in means)][:_METRICS]
    if not wanted:
        return ""
    names = configuration_names(means, tables.points.attrs["overrides"])
    means = means.assign(configuration=names)
    if metrics[0] in means:
        means = means.sort_values(metrics[0], ascending=modes[0] == "min")
    rows = [
        (row["configuration"], *(_interval(row, name) for name in wanted), int(row["n"]))
        for _, row in means.head(MOST_ROWS).iterrows()
    ]
    numbers = range(1, len(wanted) + 2)
    more = f"<p>And {len(means) - MOST_ROWS} more.</p>" if len(means) > MOST_ROWS else ""
    return table(("configuration", *wanted, "seeds"), rows, list(numbers)) + more


def gallery_table(path: Path) -> str:
    """The oddest objects with all their reasons, folded away."""
    frame = pd.read_csv(path, keep_default_na=False)
    names = [
        n
        for n in ("rank", "id", "score", "p_value", "q_value", "detectors", "odd_columns", "label")
        if n in frame
    ]
    rows = [[_digits(row[name]) for name in names] for _, row in frame.iterrows()]
    body = table([n.replace("_", " ") for n in names], rows, (2, 3, 4))
    return f"<details><summary>The {len(frame)} objects as a table</summary>{body}</details>"


def products_table(tables: Tables) -> str:
    """Every product with its hash and what it builds on; hashes are short, whole in the title."""
    embeddings = [p for p in tables.tree.embedded() if p.info.point_id in tables.point_ids]
    parts = []
    for name, products in (("checkpoints", tables.finished), ("embeddings", embeddings)):
        rows = [_product(product, tables.tree.path) for product in products]
        if not rows:
            continue
        header = ("file", "sweep", "seed", "size", "SHA-256", "builds on", "finished (UTC)")
        size = human_size(sum(product.info.bytes or 0 for product in products))
        body = table(header, rows, (2, 3))
        is_open = " open" if len(rows) <= MOST_ROWS else ""
        title = f"{len(rows)} {name}, {size}"
        parts.append(f"<details{is_open}><summary>{escape(title)}</summary>{body}</details>")
    others = list(_others(tables))
    if others:
        body = table(("file", "size"), others, (1,))
        title = f"{len(others)} tables of tests, scores and labels"
        parts.append(f"<details><summary>{escape(title)}</summary>{body}</details>")
    return "".join(parts)


def _product(product: Product, root: Path) -> tuple[Any, ...]:
    info = product.info
    parents = [
        (name, parent.sha256 or parent.fingerprint or parent.point_id or "")
        for name, parent in info.parents.items()
    ]
    return (
        str(product.path.relative_to(root)),
        info.sweep or "–",
        "–" if info.seed is None else info.seed,
        human_size(info.bytes or 0),
        (str(info.sha256)[:8], str(info.sha256)),
        (", ".join(f"{n} {h[:8]}" for n, h in parents), "\n".join(f"{n} {h}" for n, h in parents)),
        info.finished[:16].replace("T", " "),
    )


def _others(tables: Tables) -> Iterable[tuple[str, str]]:
    tree = tables.tree
    for folder in (tree.stat_tests, tree.anomalies, tree.labels):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if path.suffix in (".parquet", ".sqlite"):
                yield path.relative_to(tree.path).as_posix(), human_size(path.stat().st_size)


def _interval(row: "pd.Series[Any]", name: str) -> str:
    """Mean ± half the interval, to the second digit of the latter."""
    mean = float(row[name])
    if math.isnan(mean):
        return "–"
    half = float(row.get(f"{name}_ci_high", math.nan)) - mean
    if not half > 0:
        return f"{mean:.4g}"
    decimals = max(0, 1 - math.floor(math.log10(half)))
    return f"{mean:.{decimals}f} ± {half:.{decimals}f}"


def _digits(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
