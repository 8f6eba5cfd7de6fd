"""Reports of several experiments on one page, side by side and on the same scales."""

__all__ = ["write_comparison"]

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wwdc import __version__
from wwdc.products import atomic_write, now
from wwdc.report.drawn import Lacking
from wwdc.report.make import Made
from wwdc.report.page import cards, escape, page, picture, table
from wwdc.report.sections import configuration_table, summary_cards
from wwdc.report.settings import SECTIONS
from wwdc.report.tables import Tables

Report = tuple[Tables, Sequence[Made]]


def write_comparison(reports: Sequence[Report]) -> Path:
    """Write ``report/compare_{other}….html`` into the first experiment's tree.

    It has what the experiments came to, their configurations, a table of effects with a column an
    experiment, and every figure that two of them have, side by side. Heat maps of effects have the
    same scale, 0 to 1, everywhere.

    Raises:
        ProductError: it cannot be written.
    """
    first = reports[0][0].tree
    names = [tables.tree.name for tables, _ in reports]
    others = "_".join(t.tree.name.replace("/", "-") for t, _ in reports[1:])
    sections = [("asked", "What they came to", _summaries(reports))]
    sections.append(("effects", "What is left, variable by variable", _effects(reports)))
    for name, heading in SECTIONS.items():
        sections.append((name + "-figures", heading, _side_by_side(reports, name)))
    title = " and ".join(names)
    footer = f"Made by wwdc {__version__}, {now()[:16].replace('T', ' ')} UTC."
    path = first.report / f"compare_{others}.html"
    atomic_write(path, page(title, "Experiments side by side", sections, footer))
    return path


def _summaries(reports: Sequence[Report]) -> str:
    parts = [
        f"<div><h3>{escape(tables.tree.name)}</h3>{cards(summary_cards(tables))}"
        f"{configuration_table(tables)}</div>"
        for tables, _ in reports
    ]
    return "".join(parts)


def _effects(reports: Sequence[Report]) -> str:
    """A row for each sweep and variable, a column of verdict and effect for each experiment."""
    columns: dict[str, pd.Series[str]] = {}
    for tables, _ in reports:
        try:
            summary = tables.summary
        except Lacking:
            continue
        own = summary[summary["space"].isin(["u", "z"]) & (summary["variable"] != "")]
        rows = own.assign(sweep=own["sweep"].fillna("all")).set_index(["sweep", "variable"])
        text = [f"{v} {e:.2f}" for v, e in zip(rows["verdict"], rows["effect"], strict=True)]
        found = pd.Series(text, rows.index)
        columns[tables.tree.name] = found[~found.index.duplicated()]
    if not columns:
        return ""
    joined = pd.DataFrame(columns).fillna("–")
    body = [(*map(str, key), *row) for key, row in zip(joined.index, joined.values, strict=True)]
    return table(("sweep", "variable", *columns), body)


def _side_by_side(reports: Sequence[Report], section: str) -> str:
    names = dict.fromkeys(
        made.plot.name for _, found in reports for made in found if made.plot.section == section
    )
    parts = []
    for name in names:
        shown = [(t, m) for t, found in reports for m in found if m.plot.name == name and m.shown]
        if len(shown) < 2:
            continue
        pictures = "".join(_picture(tables, made) for tables, made in shown)
        parts.append(f'<h3>{escape(shown[0][1].plot.title)}</h3><div class="side">{pictures}</div>')
    return "".join(parts)


def _picture(tables: Tables, made: Made) -> str:
    return (
        f"<figure>{picture(made)}<figcaption><strong>{escape(tables.tree.name)}</strong> "
        f"{escape(made.note)}</figcaption></figure>"
    )
